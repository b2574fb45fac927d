//! Scrubbing: reads every object, moves aside what is damaged, and puts it anew from a copy when one is given.
//!
//! CAS-11 Only what is found damaged while no writer may publish is moved aside: a writer that heals an object meanwhile
//!        keeps it.
//!
//! A tree that is damaged is built again from its object. What cannot be read at all stays where it is unless there is
//! a copy: the device may answer later.

use super::Cas;
use super::layout::{Place, QUARANTINE, quarantine_path, shard};
use super::lease::{Lease, LeaseStatus};
use super::put::PutError;
use super::read::{Condition, ReadError, STEP_BYTES, Source};
use super::tree::TreeBuilder;
use crate::disk::{Cause, Disk, DiskError, Request};
use rtt_seal::Digest;
use std::io::{self, Read};

/// Why a scrub stopped.
#[derive(Debug, thiserror::Error)]
pub enum ScrubError {
    /// The disk failed at something else than reading an object.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What a scrub found.
#[derive(Debug, Default)]
pub struct Scrubbed {
    /// Objects that were read.
    pub objects: usize,
    /// Trees that were built anew.
    pub trees: usize,
    /// Objects that were not what their digest stands for, or could not be read.
    pub damaged: Vec<Damage>,
    /// Leases that are damaged, which a scrub does not mend; `None` when a writer was where they cannot be read.
    pub damaged_leases: Option<Vec<LeaseStatus>>,
}

/// A damaged object.
#[derive(Debug)]
pub struct Damage {
    /// The object.
    pub digest: Digest,
    /// What the disk said, if its bytes cannot be read.
    pub unreadable: Option<DiskError>,
    /// Where it was moved; `None` when it stays, because a writer was publishing or because it cannot be read.
    pub quarantined: Option<String>,
    /// Whether it is whole again; `None` when no copy was given.
    pub repair: Option<Result<(), PutError>>,
}

enum Finding {
    Whole,
    Tree,
    Damaged(Damage),
}

impl<D: Disk> Cas<D> {
    /// Reads all objects and their trees; `copies` is another store, or whatever else has whole ones.
    ///
    /// # Errors
    /// [`ScrubError`]; what was found before is lost with it, and found again by the next scrub.
    pub fn scrub(&mut self, lease: &mut Lease, mut copies: Option<&mut dyn Source>) -> Result<Scrubbed, ScrubError> {
        let mut scrubbed = Scrubbed::default();
        for digest in self.list()? {
            scrubbed.objects += 1;
            // Written out, because `Option::as_deref_mut` would borrow the copies for as long as the caller does.
            let copies: Option<&mut dyn Source> = match &mut copies {
                Some(copies) => Some(&mut **copies),
                None => None,
            };
            match self.scrub_object(lease, &digest, copies)? {
                Finding::Whole => {}
                Finding::Tree => scrubbed.trees += 1,
                Finding::Damaged(damage) => scrubbed.damaged.push(damage),
            }
        }
        let leases = self.leases()?;
        scrubbed.damaged_leases = leases.map(|leases| leases.into_iter().filter(|each| each.damaged > 0).collect());
        Ok(scrubbed)
    }

    fn scrub_object(
        &mut self,
        lease: &mut Lease,
        digest: &Digest,
        copies: Option<&mut dyn Source>,
    ) -> Result<Finding, ScrubError> {
        let unreadable = match self.condition(&Place::of(digest), digest) {
            Err(error) if error.cause == Cause::INPUT_OUTPUT => Some(error),
            Err(error) => return Err(error.into()),
            // Removed by a collection since it was listed.
            Ok(Condition::Whole | Condition::Missing) => return Ok(Finding::Whole),
            Ok(Condition::WithoutTree) => {
                self.build_tree(lease, digest)?;
                return Ok(Finding::Tree);
            }
            Ok(Condition::Damaged) => None,
        };
        let mut damage = Damage { digest: *digest, unreadable, quarantined: None, repair: None };
        if damage.unreadable.is_none() {
            match self.move_aside(digest)? {
                Moved::To(path) => damage.quarantined = Some(path),
                Moved::Healed => return Ok(Finding::Whole),
                Moved::Busy => {}
            }
        }
        damage.repair = copies.map(|copies| self.put_copy(lease, digest, copies));
        Ok(Finding::Damaged(damage))
    }

    fn move_aside(&mut self, digest: &Digest) -> Result<Moved, DiskError> {
        let moved = self.alone(|cas| {
            let place = Place::of(digest);
            // CAS-11: read again, now that nobody can put a whole one there.
            if cas.condition(&place, digest)? != Condition::Damaged {
                return Ok(Moved::Healed);
            }
            let mut number = 0;
            while cas.exists(&quarantine_path(digest, number))? {
                number += 1;
            }
            let path = quarantine_path(digest, number);
            cas.rename(&place.object, &path)?;
            // Worth nothing without its object.
            cas.remove(&place.tree)?;
            cas.sync_directory(QUARANTINE)?;
            cas.sync_directory(&shard(digest.0[0]))?;
            Ok::<_, DiskError>(Moved::To(path))
        })?;
        Ok(moved.unwrap_or(Moved::Busy))
    }

    /// Puts the object from another place that has it.
    fn put_copy(&mut self, lease: &mut Lease, digest: &Digest, copies: &mut dyn Source) -> Result<(), PutError> {
        self.protect(lease, &[*digest])?;
        self.staging(lease, |cas, lease, staged| {
            let mut reader = Copy { copies, digest, at: 0, step: Vec::new(), step_at: 0 };
            cas.stage_stream(lease, staged, &mut reader)?;
            if staged[0].digest != *digest {
                let source = io::Error::new(io::ErrorKind::InvalidData, "the copy is not what the digest stands for");
                return Err(PutError::Stream { bytes: staged[0].bytes, source });
            }
            Ok(())
        })
    }

    /// Builds the tree of an object again.
    fn build_tree(&mut self, lease: &mut Lease, digest: &Digest) -> Result<(), DiskError> {
        let (place, temporary) = (Place::of(digest), lease.temporary());
        let built = self.creating(&temporary.tree, |cas, tree| {
            let mut builder = TreeBuilder::new();
            cas.reading(&place.object, |cas, file| {
                cas.hash(file, |_, (_, bytes)| {
                    builder.update(bytes);
                    Ok(())
                })
            })?;
            let (found, nodes) = builder.finish();
            cas.write(tree, 0, &nodes)?;
            cas.disk.run(Request::Sync { file: tree })?;
            Ok::<_, DiskError>(found == *digest)
        });
        // What the object has become since is for the next scrub to say.
        let renamed = match built {
            Ok(true) => self.beside_writers(|cas| cas.rename(&temporary.tree, &place.tree)),
            Ok(false) => self.remove(&temporary.tree).map(|_| ()),
            Err(error) => Err(error),
        };
        if renamed.is_err() {
            let _ = self.remove(&temporary.tree); // The first error is the one to tell.
        }
        renamed
    }
}

enum Moved {
    To(String),
    Healed,
    Busy,
}

/// An object of another place as a stream.
struct Copy<'a> {
    copies: &'a mut dyn Source,
    digest: &'a Digest,
    at: u64,
    step: Vec<u8>,
    step_at: usize,
}

impl Read for Copy<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.step_at == self.step.len() {
            self.step = self.copies.range(self.digest, self.at, STEP_BYTES).map_err(|error| match error {
                ReadError::Missing { .. } => io::Error::new(io::ErrorKind::NotFound, error),
                other => io::Error::other(other),
            })?;
            self.at += self.step.len() as u64;
            self.step_at = 0;
        }
        let bytes = into.len().min(self.step.len() - self.step_at);
        into[..bytes].copy_from_slice(&self.step[self.step_at..self.step_at + bytes]);
        self.step_at += bytes;
        Ok(bytes)
    }
}
