//! Reading objects: whole, by range, or as an open file; what does not fit the digest is never returned.
//!
//! CAS-1  A read returns bytes that the digest stands for, or an error; missing, damaged and empty differ.

use super::layout::Place;
use super::tree::{GROUP_BYTES, NODE_BYTES, TreeBuilder, WrongNode, group_count, groups_fit, leaves, tree_bytes};
use super::{Cas, LARGE_BYTES};
use crate::disk::{Disk, DiskError, FileId};
use rtt_seal::Digest;
use std::fs::File;
use std::io;

/// Bytes that are read at once where an object streams by.
pub(super) const STEP_BYTES: usize = 1 << 20;
/// Objects up to this size are hashed in one piece when they are read whole.
const GET_BYTES: u64 = 64 << 20;
/// Nodes of a tree that are read at once.
const NODES_AT_ONCE: u64 = 1024;

/// Why an object cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is none of this digest.
    #[error("object {digest}: not in the store")]
    Missing {
        /// The object.
        digest: Digest,
    },
    /// The bytes that lie there are others.
    #[error("object {digest}: the bytes stored are not what the digest stands for; put it again, or scrub with a copy")]
    Damaged {
        /// The object.
        digest: Digest,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Why an object cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is whole, but there is no descriptor to hand out.
    #[error("object {digest}: no descriptor of its file")]
    Descriptor {
        /// The object.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
}

/// Where verified bytes come from: a store, or what an import has staged.
pub trait Source {
    /// `len` bytes from `offset` on, fewer only at the object's end.
    ///
    /// # Errors
    /// [`ReadError`].
    fn range(&mut self, digest: &Digest, offset: u64, len: usize) -> Result<Vec<u8>, ReadError>;

    /// The whole object, which is held in memory.
    ///
    /// # Errors
    /// [`ReadError`].
    fn get(&mut self, digest: &Digest) -> Result<Vec<u8>, ReadError>;
}

impl<D: Disk> Source for Cas<D> {
    fn range(&mut self, digest: &Digest, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        Cas::range(self, digest, offset, len)
    }

    fn get(&mut self, digest: &Digest) -> Result<Vec<u8>, ReadError> {
        Cas::get(self, digest)
    }
}

/// What lies at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Missing,
    Damaged,
    /// The object is whole, its tree is not.
    WithoutTree,
    Whole,
}

/// Why the tree does not answer: the object is read whole then.
enum TreeError {
    Useless,
    Disk(DiskError),
}

impl From<WrongNode> for TreeError {
    fn from(_: WrongNode) -> TreeError {
        TreeError::Useless
    }
}

impl From<DiskError> for TreeError {
    fn from(error: DiskError) -> TreeError {
        TreeError::Disk(error)
    }
}

impl<D: Disk> Cas<D> {
    /// The whole object, which is held in memory: [`Cas::range`] reads large ones piece by piece.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn get(&mut self, digest: &Digest) -> Result<Vec<u8>, ReadError> {
        self.get_at(&Place::of(digest), digest)
    }

    /// `len` bytes from `offset` on, fewer only at the object's end, which is verified too.
    ///
    /// Of an object of 1 MiB or more only the groups of 64 KiB around the range are read, with a path of its tree; where the
    /// tree is damaged the whole object streams by, in bounded memory.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn range(&mut self, digest: &Digest, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        self.range_at(&Place::of(digest), digest, offset, len)
    }

    /// A descriptor of the object's file, open for reading, after all of its bytes were verified through it.
    ///
    /// Bytes that rot afterwards are not noticed by who reads the descriptor: a scrub finds them.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Descriptor`] where the disk has no descriptors.
    pub fn open_object(&mut self, digest: &Digest) -> Result<File, OpenError> {
        let opened = self.reading(&Place::of(digest).object, |cas, file| {
            let (found, _) = cas.hash(file, |_, _| Ok(()))?;
            verified((), digest, &found)?;
            let descriptor = cas.disk.descriptor(file).unwrap_or_else(|| Err(io::ErrorKind::Unsupported.into()));
            descriptor.map_err(|source| OpenError::Descriptor { digest: *digest, source })
        })?;
        opened.ok_or_else(|| missing(digest).into())
    }

    /// Length of the object in bytes, verified with its last bytes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn object_length(&mut self, digest: &Digest) -> Result<u64, ReadError> {
        let place = Place::of(digest);
        let length = self.reading(&place.object, Cas::length)?.ok_or_else(|| missing(digest))?;
        // A range that begins at the end is empty only if the end is there.
        let last = self.range_at(&place, digest, length.saturating_sub(1), 2)?;
        if last.len() as u64 == length.min(1) { Ok(length) } else { Err(ReadError::Damaged { digest: *digest }) }
    }

    pub(super) fn get_at(&mut self, place: &Place, digest: &Digest) -> Result<Vec<u8>, ReadError> {
        let read = self.reading(&place.object, |cas, file| {
            let length = cas.length(file)?;
            if length > GET_BYTES {
                return Ok(None);
            }
            let bytes = cas.read(file, 0, length as usize, Vec::new())?;
            let found = Digest::of(&bytes);
            verified(Some(bytes), digest, &found)
        })?;
        match read {
            None => Err(missing(digest)),
            Some(Some(bytes)) => Ok(bytes),
            Some(None) => self.get_by_steps(place, digest),
        }
    }

    /// A length that rotted is met by the first step's tree, not by memory.
    fn get_by_steps(&mut self, place: &Place, digest: &Digest) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        loop {
            let step = self.range_at(place, digest, bytes.len() as u64, STEP_BYTES)?;
            bytes.extend_from_slice(&step);
            if step.len() < STEP_BYTES {
                return Ok(bytes);
            }
        }
    }

    pub(super) fn range_at(
        &mut self,
        place: &Place,
        digest: &Digest,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, ReadError> {
        let read = self.reading(&place.object, |cas, file| {
            let length = cas.length(file)?;
            if length >= LARGE_BYTES
                && let Some(bytes) = cas.range_by_tree(place, digest, (file, length), offset, len)?
            {
                return Ok(bytes);
            }
            cas.range_by_whole(file, digest, offset, len)
        })?;
        read.ok_or_else(|| missing(digest))
    }

    /// Reads the whole object and keeps the range of it.
    fn range_by_whole(&mut self, file: FileId, digest: &Digest, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        let mut kept = Vec::new();
        let end = offset.saturating_add(len as u64);
        let (found, _) = self.hash(file, |_, (at, bytes)| {
            let clip = |position: u64| position.saturating_sub(at).min(bytes.len() as u64) as usize;
            kept.extend_from_slice(&bytes[clip(offset)..clip(end)]);
            Ok(())
        })?;
        verified(kept, digest, &found)
    }

    /// Reads the groups around the range and a path of the tree; `None` when the tree is of no use.
    fn range_by_tree(
        &mut self,
        place: &Place,
        digest: &Digest,
        (file, length): (FileId, u64),
        offset: u64,
        len: usize,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let group = |byte: u64| byte / GROUP_BYTES as u64;
        let groups = group_count(length);
        let end = offset.saturating_add(len as u64);
        // Where the range is cut short, the last group must show that the object ends there.
        let wanted_end = if end > length { length } else { end };
        let first = group(offset.min(length - 1));
        let last = group(wanted_end.saturating_sub(1)).max(first);
        let values = match self.leaves_of(place, digest, length, first..last + 1) {
            Ok(values) => values,
            Err(TreeError::Useless) => return Ok(None),
            Err(TreeError::Disk(error)) => return Err(error.into()),
        };
        let start = first * GROUP_BYTES as u64;
        let most = (length.min((last + 1) * GROUP_BYTES as u64) - start) as usize;
        let mut bytes = self.read(file, start, most, Vec::new())?;
        // CAS-1
        if bytes.len() != most || !groups_fit(&bytes, first, &values) {
            return Err(ReadError::Damaged { digest: *digest });
        }
        debug_assert!(last < groups);
        bytes.truncate(wanted_end.saturating_sub(start) as usize);
        bytes.drain(..(offset.saturating_sub(start) as usize).min(bytes.len()));
        Ok(Some(bytes))
    }

    /// The chaining values of groups, from the tree's file.
    fn leaves_of(
        &mut self,
        place: &Place,
        digest: &Digest,
        length: u64,
        wanted: std::ops::Range<u64>,
    ) -> Result<Vec<[u8; 32]>, TreeError> {
        let read = self.reading(&place.tree, |cas, tree| {
            if cas.length(tree)? != tree_bytes(length) {
                return Err(TreeError::Useless);
            }
            let (mut first, mut nodes) = (0, Vec::new());
            leaves(digest, group_count(length), wanted, |index| {
                let held = nodes.len() / NODE_BYTES;
                if !(first..first + held as u64).contains(&index) {
                    first = index - index % NODES_AT_ONCE;
                    let bytes = NODES_AT_ONCE as usize * NODE_BYTES;
                    nodes = cas.read(tree, first * NODE_BYTES as u64, bytes, std::mem::take(&mut nodes))?;
                }
                let at = (index - first) as usize * NODE_BYTES;
                let node = nodes.get(at..at + NODE_BYTES).ok_or(TreeError::Useless)?;
                Ok::<_, TreeError>(node.try_into().expect("a node's bytes"))
            })
        })?;
        read.ok_or(TreeError::Useless)
    }

    /// Digest and length of the open file; `each` sees all bytes with their offsets, before it is known whether they fit.
    pub(super) fn hash(
        &mut self,
        file: FileId,
        mut each: impl FnMut(&mut Self, (u64, &[u8])) -> Result<(), DiskError>,
    ) -> Result<(Digest, u64), DiskError> {
        let mut hasher = blake3::Hasher::new();
        let (mut at, mut buffer) = (0, Vec::new());
        loop {
            buffer = self.read(file, at, STEP_BYTES, buffer)?;
            hasher.update(&buffer);
            each(self, (at, &buffer))?;
            at += buffer.len() as u64;
            if buffer.len() < STEP_BYTES {
                return Ok((Digest(*hasher.finalize().as_bytes()), at));
            }
        }
    }

    /// Reads all of an object and its tree.
    pub(super) fn condition(&mut self, place: &Place, digest: &Digest) -> Result<Condition, DiskError> {
        let read = self.reading(&place.object, |cas, file| {
            let length = cas.length(file)?;
            if length < LARGE_BYTES {
                let buffer = std::mem::take(&mut cas.buffer);
                cas.buffer = cas.read(file, 0, length as usize, buffer)?;
                let fits = Digest::of(&cas.buffer) == *digest;
                return Ok(if fits { Condition::Whole } else { Condition::Damaged });
            }
            let compared = cas.reading(&place.tree, |cas, tree| cas.compare(file, Some(tree)))?;
            let (found, tree_fits) = match compared {
                Some(compared) => compared,
                None => cas.compare(file, None)?,
            };
            Ok::<_, DiskError>(match (found == *digest, tree_fits) {
                (false, _) => Condition::Damaged,
                (true, false) => Condition::WithoutTree,
                (true, true) => Condition::Whole,
            })
        })?;
        Ok(read.unwrap_or(Condition::Missing))
    }

    /// The digest of a file, and whether `tree` is its tree.
    fn compare(&mut self, file: FileId, tree: Option<FileId>) -> Result<(Digest, bool), DiskError> {
        let (mut builder, mut tree_at, mut fits) = (TreeBuilder::new(), 0, tree.is_some());
        let (mut at, mut buffer) = (0, Vec::new());
        let mut fits_next = |cas: &mut Self, nodes: Vec<u8>, is_last: bool| -> Result<(), DiskError> {
            if let (Some(tree), true) = (tree, fits) {
                let more = usize::from(is_last); // A byte beyond the tree is one too many.
                fits = cas.read(tree, tree_at, nodes.len() + more, Vec::new())? == nodes;
                tree_at += nodes.len() as u64;
            }
            Ok(())
        };
        loop {
            buffer = self.read(file, at, STEP_BYTES, buffer)?;
            builder.update(&buffer);
            at += buffer.len() as u64;
            if buffer.len() < STEP_BYTES {
                break;
            }
            let nodes = builder.take_nodes();
            fits_next(self, nodes, false)?;
        }
        let (digest, nodes) = builder.finish();
        fits_next(self, nodes, true)?;
        Ok((digest, fits))
    }
}

/// CAS-1: the one way from bytes that were hashed to bytes that are returned.
fn verified<T>(bytes: T, digest: &Digest, found: &Digest) -> Result<T, ReadError> {
    if digest == found { Ok(bytes) } else { Err(ReadError::Damaged { digest: *digest }) }
}

fn missing(digest: &Digest) -> ReadError {
    ReadError::Missing { digest: *digest }
}
