//! Objects by the BLAKE3 digest of their bytes.
//!
//! Writing goes: a lease names the digest, the bytes are written under a temporary name, one syncfs for all objects of
//! a batch, a rename each, a sync of the directories; the record of the log that names the objects comes after, written
//! by the caller, and only then may the lease be released. An object that no record, pin or lease names is removed by
//! the second collection that finds it so.
//!
//! Several processes may use one store. `cas/lock` is shared by writers in two short sections (naming what they are about
//! to write or found; renaming) and held alone by a collection that removes and by a scrub that moves aside. Who would
//! hold it alone never waits: a stopped writer makes a collection `busy`, and loses nothing.
//!
//! Not here: what an object means and which others it refers to (the caller lists them), and when it is collected.

mod archive;
mod collect;
mod condemned;
mod files;
mod layout;
mod lease;
mod pin;
mod put;
mod read;
mod scrub;
mod tree;

pub use archive::{ExportError, ImportError, References};
pub use collect::{CollectError, Collected, Roots};
pub use lease::{Lease, LeaseError, LeaseStatus};
pub use pin::PinError;
pub use put::PutError;
pub use read::{OpenError, ReadError, Source};
pub use scrub::{Damage, ScrubError, Scrubbed};

use crate::disk::{Access, Cause, Disk, DiskError, FileId, Request};
use layout::{COLLECTOR, LOCK, ROOT, Stored};
use rtt_seal::Digest;

/// Objects of at least this many bytes have a tree; smaller ones are read whole.
const LARGE_BYTES: u64 = 1 << 20;

/// The objects of one store.
#[derive(Debug)]
pub struct Cas<D> {
    disk: D,
    lock: FileId,
    collector: FileId,
    /// Goes to the disk and comes back.
    buffer: Vec<u8>,
}

impl<D: Disk> Cas<D> {
    /// Opens the objects of the store on `disk`, or begins with none.
    ///
    /// What a writer left that died is removed when its lease is taken again or ends, not here: others may be writing.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn open(mut disk: D) -> Result<Cas<D>, DiskError> {
        let collector = match open_lock(&mut disk, COLLECTOR) {
            Err(error) if error.is_missing() => {
                lay_out(&mut disk)?;
                open_lock(&mut disk, COLLECTOR)?
            }
            opened => opened?,
        };
        let lock = open_lock(&mut disk, LOCK)?;
        Ok(Cas { disk, lock, collector, buffer: Vec::new() })
    }

    /// The disk, for what else its owner does with it.
    pub fn disk(&mut self) -> &mut D {
        &mut self.disk
    }

    /// All objects, sorted. Nothing is said of their bytes.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn list(&mut self) -> Result<Vec<Digest>, DiskError> {
        let stored = self.stored()?;
        Ok(stored
            .into_iter()
            .filter_map(|each| if let Stored::Object(digest) = each { Some(digest) } else { None })
            .collect())
    }

    fn stored(&mut self) -> Result<Vec<Stored>, DiskError> {
        let mut all = Vec::new();
        for first in 0..=u8::MAX {
            let names = self.disk.run(Request::List { path: layout::shard(first) })?.names();
            all.extend(names.iter().filter_map(|entry| layout::stored(first, &entry.name)));
        }
        Ok(all)
    }

    /// Runs `section` while no collection removes and no scrub moves anything.
    fn beside_writers<T, E: From<DiskError>>(
        &mut self,
        section: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let file = self.lock;
        self.disk.run(Request::LockShared { file })?;
        let result = section(self);
        // The section's own error is the one to tell.
        let unlocked = self.disk.run(Request::Unlock { file });
        let value = result?;
        unlocked?;
        Ok(value)
    }

    /// Runs `section` while no writer is in a section of its own; `None` when one is.
    fn alone<T, E: From<DiskError>>(
        &mut self,
        section: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        self.holding(self.lock, section)
    }

    /// Runs `section` while the lock of `file` is held alone; `None` when another holds it.
    fn holding<T, E: From<DiskError>>(
        &mut self,
        file: FileId,
        section: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        match self.disk.run(Request::Lock { file }) {
            Err(error) if error.cause == Cause::WOULD_BLOCK => return Ok(None),
            locked => locked?,
        };
        let result = section(self);
        let unlocked = self.disk.run(Request::Unlock { file });
        let value = result?;
        unlocked?;
        Ok(Some(value))
    }
}

fn open_lock<D: Disk>(disk: &mut D, path: &str) -> Result<FileId, DiskError> {
    Ok(disk.run(Request::Open { path: path.into(), access: Access::Read })?.opened())
}

/// Makes directories and locks. The file that says they are there comes last, after they are durable.
fn lay_out<D: Disk>(disk: &mut D) -> Result<(), DiskError> {
    for path in layout::directories() {
        disk.run(Request::CreateDirectory { path })?;
    }
    disk.run(Request::SyncAll)?;
    for path in [LOCK, COLLECTOR] {
        match disk.run(Request::Create { path: path.into() }) {
            Ok(created) => disk.run(Request::Close { file: created.opened() })?,
            // Another process lays out the same store.
            Err(error) if error.is_existing() => continue,
            Err(error) => return Err(error),
        };
    }
    disk.run(Request::SyncDirectory { path: ROOT.into() })?;
    disk.run(Request::SyncDirectory { path: String::new() })?;
    Ok(())
}
