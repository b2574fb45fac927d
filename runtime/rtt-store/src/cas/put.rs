//! Writing objects: staged under temporary names, synced together, then renamed.
//!
//! CAS-2  An object gets its name after its bytes are durable: one syncfs for all of a batch and none for each, then
//!        the renames, then the syncs of their directories.
//! CAS-8  What lies damaged where an object belongs is replaced by the next put of that object.
//! CAS-10 A put that fails leaves each object as it was, or whole; its temporary files go at once, or with its lease.
//!
//! An object that is there already is read and compared, not written again. A tree is renamed before its object, so
//! that a large object without one is an old accident and no race.

use super::layout::{Place, shard};
use super::lease::Lease;
use super::read::{Condition, STEP_BYTES};
use super::tree::TreeBuilder;
use super::{Cas, LARGE_BYTES};
use crate::disk::{Disk, DiskError, FileId, Request};
use rtt_seal::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Objects are for reading, whoever may write to the directory.
const OBJECT_MODE: u32 = 0o444;
/// Bytes of a tree that wait before they are written.
const TREE_STEP_BYTES: usize = 64 * 1024;

// A stream that fills its first step is large.
const _: () = assert!(STEP_BYTES as u64 == LARGE_BYTES);

/// Why nothing was put, or not everything.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// What was to be put cannot be read.
    #[error("stream: reading failed after {bytes} bytes")]
    Stream {
        /// Bytes that were read before.
        bytes: u64,
        /// Why.
        source: io::Error,
    },
    /// The file to be put cannot be opened.
    #[error("{}: opening failed", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// An object that has its bytes and not yet its name.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) digest: Digest,
    pub(super) place: Place,
    pub(super) bytes: u64,
}

impl Staged {
    fn has_tree(&self) -> bool {
        self.bytes >= LARGE_BYTES
    }
}

impl<D: Disk> Cas<D> {
    /// Puts one object; durable when this returns.
    ///
    /// # Errors
    /// [`PutError`].
    pub fn put(&mut self, lease: &mut Lease, bytes: &[u8]) -> Result<Digest, PutError> {
        Ok(self.put_batch(lease, &[bytes])?[0])
    }

    /// Puts objects, all durable when this returns, with one sync of the file system for all of them.
    ///
    /// The caller's record that names them is written after this, and the lease released after that.
    ///
    /// # Errors
    /// [`PutError`]. Some of the objects may then be there, whole; nothing names them.
    pub fn put_batch(&mut self, lease: &mut Lease, objects: &[&[u8]]) -> Result<Vec<Digest>, PutError> {
        let hashed: Vec<(Digest, Vec<u8>)> = objects.iter().map(|bytes| hash(bytes)).collect();
        let digests: Vec<Digest> = hashed.iter().map(|(digest, _)| *digest).collect();
        // An object that stands twice in the batch is written once.
        let distinct: BTreeMap<Digest, (&[u8], &[u8])> = digests
            .iter()
            .zip(objects.iter().zip(&hashed))
            .map(|(digest, (bytes, (_, nodes)))| (*digest, (*bytes, &nodes[..])))
            .collect();
        self.protect(lease, &digests)?;
        self.staging(lease, |cas, lease, staged| {
            for (digest, (bytes, nodes)) in &distinct {
                if cas.condition(&Place::of(digest), digest)? != Condition::Whole {
                    cas.stage_bytes(lease, staged, digest, bytes, nodes)?;
                }
            }
            Ok::<_, PutError>(())
        })?;
        Ok(digests)
    }

    /// Puts what `reader` gives up to its end, in bounded memory; durable when this returns.
    ///
    /// # Errors
    /// [`PutError`].
    pub fn put_stream(&mut self, lease: &mut Lease, reader: &mut dyn Read) -> Result<Digest, PutError> {
        self.staging(lease, |cas, lease, staged| {
            cas.stage_stream(lease, staged, reader)?;
            let digest = staged[0].digest;
            cas.protect(lease, &[digest])?;
            cas.drop_known(staged)?;
            Ok(digest)
        })
    }

    /// Puts the bytes of a file of the caller's, which is not kept from being changed meanwhile: the digest is that of
    /// what was read.
    ///
    /// # Errors
    /// [`PutError`].
    pub fn put_file(&mut self, lease: &mut Lease, path: &Path) -> Result<Digest, PutError> {
        let opened = std::fs::File::open(path);
        let mut file = opened.map_err(|source| PutError::File { path: path.into(), source })?;
        self.put_stream(lease, &mut file)
    }

    /// Stages by `stage`, then publishes what it staged; removes it when either fails.
    pub(super) fn staging<T, E: From<DiskError>>(
        &mut self,
        lease: &mut Lease,
        stage: impl FnOnce(&mut Self, &mut Lease, &mut Vec<Staged>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut staged = Vec::new();
        let result = match stage(self, lease, &mut staged) {
            Ok(value) => self.publish(lease, &staged).map(|()| value).map_err(E::from),
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.discard(&staged);
        }
        result
    }

    /// CAS-10: the first error is the one to tell; what stays is removed with the lease.
    fn discard(&mut self, staged: &[Staged]) {
        for each in staged {
            let _ = self.remove(&each.place.object);
            let _ = self.remove(&each.place.tree);
        }
    }

    /// Drops what was staged of objects that are whole already; others, CAS-8, stay and replace what lies there.
    pub(super) fn drop_known(&mut self, staged: &mut Vec<Staged>) -> Result<(), DiskError> {
        for index in (0..staged.len()).rev() {
            let digest = staged[index].digest;
            if self.condition(&Place::of(&digest), &digest)? == Condition::Whole {
                self.discard(&[staged.remove(index)]);
            }
        }
        Ok(())
    }

    /// CAS-2: sync, then rename, then sync the directories. Syncs even when there is nothing to rename: the lease's
    /// entries, and the name of an object that another writer has renamed this moment, are to be durable as well.
    fn publish(&mut self, lease: &mut Lease, staged: &[Staged]) -> Result<(), DiskError> {
        self.disk.run(Request::SyncAll)?;
        lease.synced();
        self.beside_writers(|cas| {
            for each in staged {
                let place = Place::of(&each.digest);
                if each.has_tree() {
                    cas.rename(&each.place.tree, &place.tree)?;
                }
                cas.rename(&each.place.object, &place.object)?;
            }
            Ok::<_, DiskError>(())
        })?;
        let shards: BTreeSet<u8> = staged.iter().map(|each| each.digest.0[0]).collect();
        shards.into_iter().try_for_each(|first| self.sync_directory(&shard(first)))
    }

    fn stage_bytes(
        &mut self,
        lease: &mut Lease,
        staged: &mut Vec<Staged>,
        digest: &Digest,
        bytes: &[u8],
        nodes: &[u8],
    ) -> Result<(), DiskError> {
        let place = lease.temporary();
        // Listed before it is made, so that it is removed even when making it fails half-way.
        staged.push(Staged { digest: *digest, place: place.clone(), bytes: bytes.len() as u64 });
        let files = [(&place.tree, nodes), (&place.object, bytes)];
        let wanted = if nodes.is_empty() { &files[1..] } else { &files };
        for (path, bytes) in wanted {
            self.creating(path, |cas, file| {
                let steps = (0u64..).zip(bytes.chunks(STEP_BYTES));
                steps.into_iter().try_for_each(|(step, bytes)| cas.write(file, step * STEP_BYTES as u64, bytes))
            })?;
        }
        Ok(())
    }

    /// Stages one object of unknown length, in bounded memory.
    pub(super) fn stage_stream(
        &mut self,
        lease: &mut Lease,
        staged: &mut Vec<Staged>,
        reader: &mut dyn Read,
    ) -> Result<(), PutError> {
        let mut first = Vec::new();
        read_step(reader, 0, &mut first)?;
        if first.len() < STEP_BYTES {
            let (digest, nodes) = hash(&first);
            return Ok(self.stage_bytes(lease, staged, &digest, &first, &nodes)?);
        }
        let place = lease.temporary();
        // The digest is known at the end.
        staged.push(Staged { digest: Digest([0; 32]), place: place.clone(), bytes: 0 });
        let (digest, bytes) = self.creating(&place.tree, |cas, tree| {
            cas.creating(&place.object, |cas, object| cas.stream_into(object, tree, first, reader))
        })?;
        let last = staged.last_mut().expect("pushed above");
        (last.digest, last.bytes) = (digest, bytes);
        Ok(())
    }

    fn stream_into(
        &mut self,
        object: FileId,
        tree: FileId,
        first: Vec<u8>,
        reader: &mut dyn Read,
    ) -> Result<(Digest, u64), PutError> {
        let mut builder = TreeBuilder::new();
        let (mut step, mut bytes, mut tree_at) = (first, 0, 0);
        while !step.is_empty() {
            builder.update(&step);
            self.write(object, bytes, &step)?;
            bytes += step.len() as u64;
            if builder.waiting_bytes() >= TREE_STEP_BYTES {
                let nodes = builder.take_nodes();
                self.write(tree, tree_at, &nodes)?;
                tree_at += nodes.len() as u64;
            }
            read_step(reader, bytes, &mut step)?;
        }
        let (digest, nodes) = builder.finish();
        self.write(tree, tree_at, &nodes)?;
        Ok((digest, bytes))
    }

    /// Runs `writer` on a new file, which nobody is to write to afterwards.
    pub(super) fn creating<T, E: From<DiskError>>(
        &mut self,
        path: &str,
        writer: impl FnOnce(&mut Self, FileId) -> Result<T, E>,
    ) -> Result<T, E> {
        let file = self.disk.run(Request::Create { path: path.into() })?.opened();
        self.closing(file, |cas, file| {
            let value = writer(cas, file)?;
            cas.disk.run(Request::SetMode { file, mode: OBJECT_MODE })?;
            Ok(value)
        })
    }
}

/// The digest of `bytes`, and the tree's nodes if they are to have one.
fn hash(bytes: &[u8]) -> (Digest, Vec<u8>) {
    if (bytes.len() as u64) < LARGE_BYTES {
        return (Digest::of(bytes), Vec::new());
    }
    let mut builder = TreeBuilder::new();
    builder.update(bytes);
    builder.finish()
}

/// Fills `step` with the next bytes of a stream that has given `before` already, fewer only at its end.
fn read_step(reader: &mut dyn Read, before: u64, step: &mut Vec<u8>) -> Result<(), PutError> {
    step.clear();
    let read = reader.take(STEP_BYTES as u64).read_to_end(step);
    read.map_err(|source| PutError::Stream { bytes: before + step.len() as u64, source })?;
    Ok(())
}
