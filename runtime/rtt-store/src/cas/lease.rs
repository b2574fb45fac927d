//! Leases: what a writer is about to name, kept from collection until it is named elsewhere.
//!
//! A lease is a file that is only appended to, entries of 64 bytes: `kind: u64 | expires: u64 | digest: 32 | check: 16`,
//! the digest zeros where only the expiry is moved, the check the first bytes of BLAKE3 over the lease's name, the
//! entry's place and what comes before. The last entry's expiry, in seconds, counts. The holder keeps the file locked,
//! which the kernel ends with the process. A length of 0 is a lease that was given back.
//!
//! CAS-4  Before a writer looks whether an object is there, its lease names the object, and no note condemns it.
//! CAS-7  A lease whose holder lives does not end; one of a dead holder ends when it has expired, by an entry after which
//!        nothing is damaged: a damaged entry may have moved the end, and then the lease ends when it is given back.
//!
//! Entries of objects are durable with the objects: the one sync of a put covers both. An entry lies in one sector, so a
//! power cut leaves each whole or not there: zeros, or a short entry at the end, are of a put that was never
//! acknowledged. All else is damage, and so is a file of more than 1 GiB; a collection then removes no object.

use super::Cas;
use super::layout::{LEASES, Place, TEMPORARY, is_name, lease_of_temporary, lease_path};
use crate::disk::{Access, Cause, Disk, DiskError, FileId, Request};
use rtt_seal::Digest;
use std::collections::BTreeSet;

const ENTRY_BYTES: usize = 64;
/// What every device writes whole or not at all.
const SECTOR_BYTES: usize = 512;
/// Most bytes of a lease: a longer file is none that a writer left.
const MOST_BYTES: u64 = 1 << 30;
/// Bytes of a lease that are read at once.
const STEP_BYTES: usize = 1 << 20;
const EXPIRY: u64 = 1;
const OBJECT: u64 = 2;
const CONTEXT: &str = "rtt-store 2026 cas lease entry";

const _: () = assert!(STEP_BYTES.is_multiple_of(ENTRY_BYTES));
// The write of an entry must not tear one beside it that was acknowledged.
const _: () = assert!(SECTOR_BYTES.is_multiple_of(ENTRY_BYTES));

/// Why a lease cannot be taken, renewed or given back.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// It cannot be called so.
    #[error("lease {name:?}: expected 1 to 64 of a-z, 0-9, '-', '_' and '.', not '.' first")]
    Name {
        /// The name.
        name: String,
    },
    /// Its holder lives.
    #[error("lease {name}: its holder still has it; take another name, or wait for the holder to end")]
    Held {
        /// The name.
        name: String,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A lease that this process holds. What is put under it is kept from collection until [`Cas::release`].
///
/// One that is dropped instead stays held until its store's disk is closed, and then until it expires.
#[derive(Debug)]
pub struct Lease {
    pub(super) name: String,
    pub(super) file: FileId,
    /// Where the next entry goes.
    end: u64,
    /// A write failed, so there may be something beyond the end.
    is_torn: bool,
    expires_unix_s: u64,
    /// What durable entries name.
    named: BTreeSet<Digest>,
    /// What the entries name that the next sync makes durable.
    pending: Vec<Digest>,
    next_temporary: u64,
}

impl Lease {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When it ends, should its holder die, in seconds since 1970.
    pub fn expires_unix_s(&self) -> u64 {
        self.expires_unix_s
    }

    /// After a sync. One that failed may have dropped entries that it will never write: they are written again.
    pub(super) fn synced(&mut self) {
        self.named.extend(self.pending.drain(..));
    }

    /// A place in `tmp` that is not used yet.
    pub(super) fn temporary(&mut self) -> Place {
        self.next_temporary += 1;
        Place::temporary(&self.name, self.next_temporary)
    }
}

/// A lease as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseStatus {
    /// Its name.
    pub name: String,
    /// When it ends, should its holder die; `None` for one that was given back or never written, and where the last
    /// entry is damaged.
    pub expires_unix_s: Option<u64>,
    /// Whether its holder lives.
    pub held: bool,
    /// What it names.
    pub digests: BTreeSet<Digest>,
    /// Entries that are not what was written; what they named is unknown.
    pub damaged: usize,
}

impl LeaseStatus {
    /// CAS-7: only the lease of a dead holder ends. One that has no expiry and no damage was never acknowledged.
    pub(super) fn has_ended(&self, now_unix_s: u64) -> bool {
        let expired = match self.expires_unix_s {
            Some(expires) => expires <= now_unix_s,
            None => self.damaged == 0,
        };
        !self.held && expired
    }
}

/// What an entry says: an object to keep, or none, and until when.
#[derive(Clone, Copy)]
struct Entry {
    digest: Option<Digest>,
    expires_unix_s: u64,
}

impl Entry {
    /// The bytes of the entry that lies at `offset` of the lease `name`.
    fn encode(&self, name: &str, offset: u64) -> [u8; ENTRY_BYTES] {
        let kind = if self.digest.is_some() { OBJECT } else { EXPIRY };
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&kind.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.expires_unix_s.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.digest.unwrap_or(Digest([0; 32])).0);
        // The place is in it: an entry that a device wrote over another one is damage, and no second saying of itself.
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&offset.to_le_bytes()).update(name.as_bytes()).update(&bytes[..48]);
        bytes[48..].copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        bytes
    }

    fn decode(name: &str, offset: u64, bytes: &[u8]) -> Option<Entry> {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let digest = Digest(bytes[16..48].try_into().expect("32 bytes"));
        let entry = Entry { digest: (number(0) == OBJECT).then_some(digest), expires_unix_s: number(8) };
        (entry.encode(name, offset) == bytes).then_some(entry)
    }
}

impl LeaseStatus {
    /// Of a lease that has no entry.
    fn empty(name: &str) -> LeaseStatus {
        LeaseStatus { name: name.into(), expires_unix_s: None, held: false, digests: BTreeSet::new(), damaged: 0 }
    }

    /// Takes the entries that lie from `offset` on; whether the lease is held is not in them.
    fn take(&mut self, offset: u64, bytes: &[u8]) {
        for (offset, bytes) in (offset..).step_by(ENTRY_BYTES).zip(bytes.chunks_exact(ENTRY_BYTES)) {
            if bytes.iter().all(|byte| *byte == 0) {
                continue;
            }
            let entry = Entry::decode(&self.name, offset, bytes);
            self.damaged += usize::from(entry.is_none());
            self.expires_unix_s = entry.map(|entry| entry.expires_unix_s);
            self.digests.extend(entry.and_then(|entry| entry.digest));
        }
    }
}

impl<D: Disk> Cas<D> {
    /// Takes the lease `name`: a new one, or one whose holder is gone, with all that it names.
    ///
    /// Durable when this returns. What its former holder had written and not published is removed.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn lease(&mut self, name: &str, expires_unix_s: u64) -> Result<Lease, LeaseError> {
        if !is_name(name) {
            return Err(LeaseError::Name { name: name.into() });
        }
        self.beside_writers(|cas| {
            let file = cas.open_or_create(&lease_path(name))?;
            let taken = cas.take(file, name, expires_unix_s);
            if taken.is_err() {
                // The first error is the one to tell.
                let _ = cas.disk.run(Request::Close { file });
            }
            taken
        })
    }

    fn open_or_create(&mut self, path: &str) -> Result<FileId, DiskError> {
        match self.disk.run(Request::Create { path: path.into() }) {
            Err(error) if error.is_existing() => {
                let access = Access::Write;
                Ok(self.disk.run(Request::Open { path: path.into(), access })?.opened())
            }
            created => Ok(created?.opened()),
        }
    }

    fn take(&mut self, file: FileId, name: &str, expires_unix_s: u64) -> Result<Lease, LeaseError> {
        match self.disk.run(Request::Lock { file }) {
            Err(error) if error.cause == Cause::WOULD_BLOCK => return Err(LeaseError::Held { name: name.into() }),
            locked => locked?,
        };
        let length = self.length(file)?;
        // A short entry at the end is written over.
        let end = length - length % ENTRY_BYTES as u64;
        // What it names already may be in memory only, of a sync that failed: it is named again when it is put again.
        let (named, pending) = (BTreeSet::new(), Vec::new());
        let (name, is_torn, next_temporary) = (name.to_owned(), false, 0);
        let mut lease = Lease { name, file, end, is_torn, expires_unix_s, named, pending, next_temporary };
        for entry in self.disk.run(Request::List { path: TEMPORARY.into() })?.names() {
            if lease_of_temporary(&entry.name) == Some(&*lease.name) {
                self.remove(&format!("{TEMPORARY}/{}", entry.name))?;
            }
        }
        self.renew(&mut lease, expires_unix_s)?;
        self.sync_directory(LEASES)?;
        Ok(lease)
    }

    /// Moves the lease's end; durable when this returns.
    ///
    /// # Errors
    /// [`LeaseError::Disk`].
    pub fn renew(&mut self, lease: &mut Lease, expires_unix_s: u64) -> Result<(), LeaseError> {
        self.append(lease, &[Entry { digest: None, expires_unix_s }])?;
        self.disk.run(Request::Sync { file: lease.file })?;
        lease.expires_unix_s = expires_unix_s;
        Ok(())
    }

    fn append(&mut self, lease: &mut Lease, entries: &[Entry]) -> Result<(), DiskError> {
        if lease.is_torn {
            // Whole entries of a write that failed further on would come after this one, and their expiry would count.
            self.disk.run(Request::SetLength { file: lease.file, bytes: lease.end })?;
        }
        let offsets = (lease.end..).step_by(ENTRY_BYTES);
        let bytes: Vec<u8> =
            entries.iter().zip(offsets).flat_map(|(e, offset)| e.encode(&lease.name, offset)).collect();
        lease.is_torn = true;
        self.write(lease.file, lease.end, &bytes)?;
        lease.is_torn = false;
        lease.end += bytes.len() as u64;
        Ok(())
    }

    /// Gives the lease back: what nothing else names may be collected. For after the log names it.
    ///
    /// # Errors
    /// [`LeaseError::Disk`]; the lease then ends when its holder did and it has expired.
    pub fn release(&mut self, lease: Lease) -> Result<(), LeaseError> {
        // The name stays until a collection removes it: who opened it a moment ago must not lock a file without name.
        let emptied = self.disk.run(Request::SetLength { file: lease.file, bytes: 0 });
        // A lease that came back would only keep too much. Synced for the next holder: a power cut in its first write
        // would leave that among the entries of this one, which is damage.
        let emptied = emptied.and_then(|_| self.disk.run(Request::Sync { file: lease.file }));
        self.disk.run(Request::Close { file: lease.file })?;
        emptied?;
        Ok(())
    }

    /// Lets go of the lease without giving it back, as if its holder had ended: it holds until it expires.
    ///
    /// # Errors
    /// [`LeaseError::Disk`].
    pub fn leave(&mut self, lease: Lease) -> Result<(), LeaseError> {
        self.disk.run(Request::Close { file: lease.file })?;
        Ok(())
    }

    /// CAS-4: names the objects in the lease, and takes back the notes that condemn them.
    ///
    /// A collection removes only what has a note, while nobody is in this section: whatever was decided before is void.
    pub(super) fn protect(&mut self, lease: &mut Lease, digests: &[Digest]) -> Result<(), DiskError> {
        self.beside_writers(|cas| {
            let fresh: BTreeSet<Digest> = digests.iter().filter(|each| !lease.named.contains(each)).copied().collect();
            let expires_unix_s = lease.expires_unix_s;
            let entry = |digest: &Digest| Entry { digest: Some(*digest), expires_unix_s };
            let entries: Vec<Entry> = fresh.iter().map(entry).collect();
            if lease.end + (entries.len() * ENTRY_BYTES) as u64 > MOST_BYTES {
                return Err(DiskError { operation: "write", path: lease_path(&lease.name), cause: Cause::TOO_LARGE });
            }
            if !entries.is_empty() {
                cas.append(lease, &entries)?;
            }
            lease.pending = fresh.into_iter().collect();
            cas.spare(digests)
        })
    }

    /// All leases, sorted by name. Whoever lists holds the lock alone, because looking whether a lease is held takes it.
    pub(super) fn leases_alone(&mut self) -> Result<Vec<LeaseStatus>, DiskError> {
        let names = self.disk.run(Request::List { path: LEASES.into() })?.names();
        let mut leases = Vec::with_capacity(names.len());
        for entry in names {
            leases.extend(self.lease_alone(&entry.name)?);
        }
        Ok(leases)
    }

    /// The lease of that name, if there is one.
    pub(super) fn lease_alone(&mut self, name: &str) -> Result<Option<LeaseStatus>, DiskError> {
        self.reading(&lease_path(name), |cas, file| {
            let held = match cas.disk.run(Request::Lock { file }) {
                Err(error) if error.cause == Cause::WOULD_BLOCK => true,
                locked => locked.map(|_| false)?,
            };
            let mut status = LeaseStatus { held, ..LeaseStatus::empty(name) };
            let length = cas.length(file)?;
            if length > MOST_BYTES {
                status.damaged = 1; // What it names is not to be told from what is not of it.
                return Ok(status);
            }
            let mut bytes = Vec::new();
            for offset in (0..length).step_by(STEP_BYTES) {
                bytes = cas.read(file, offset, STEP_BYTES, bytes)?;
                status.take(offset, &bytes);
            }
            Ok(status)
        })
    }

    /// All leases, sorted by name; `None` while a writer is in a section that keeps others out.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn leases(&mut self) -> Result<Option<Vec<LeaseStatus>>, DiskError> {
        self.alone(Cas::leases_alone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(name: &str, bytes: &[u8]) -> LeaseStatus {
        let mut status = LeaseStatus::empty(name);
        status.take(0, bytes);
        status
    }

    fn three_entries() -> Vec<u8> {
        let entries = [(None, 10), (Some(Digest([7; 32])), 10), (None, 20)];
        let encoded = entries
            .iter()
            .zip((0..).step_by(ENTRY_BYTES))
            .map(|(&(digest, expires_unix_s), offset)| Entry { digest, expires_unix_s }.encode("a", offset));
        encoded.flatten().collect()
    }

    #[test]
    fn the_last_expiry_counts_and_a_torn_end_is_nothing() {
        let whole = three_entries();
        for torn in 0..ENTRY_BYTES {
            let mut bytes = whole.clone();
            bytes.extend(vec![0; ENTRY_BYTES]);
            bytes.extend(vec![1; torn]);
            let status = decode("a", &bytes);
            assert_eq!((status.expires_unix_s, status.damaged), (Some(20), 0), "{torn}");
            assert_eq!(status.digests, BTreeSet::from([Digest([7; 32])]));
        }
        assert_eq!(decode("b", &whole).damaged, 3, "entries of another lease");
    }

    /// Damage to the last entry leaves the end unknown; damage before it does not.
    #[test]
    fn each_changed_byte_is_counted_as_damage() {
        let whole = three_entries();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            let status = decode("a", &bytes);
            let expires = Some(20).filter(|_| at < 2 * ENTRY_BYTES);
            assert_eq!((status.damaged, status.expires_unix_s), (1, expires), "byte {at}");
        }
    }

    #[test]
    fn an_entry_in_another_ones_place_is_damage() {
        let whole = three_entries();
        let entry = |index: usize| index * ENTRY_BYTES..(index + 1) * ENTRY_BYTES;
        for (from, to) in (0..3).flat_map(|from| (0..3).map(move |to| (from, to))).filter(|(from, to)| from != to) {
            let mut bytes = whole.clone();
            bytes.copy_within(entry(from), entry(to).start);
            assert_eq!(decode("a", &bytes).damaged, 1, "{from} over {to}");
        }
    }

    /// CAS-7
    #[test]
    fn cas_7_only_a_dead_holders_lease_ends() {
        let status = |expires, held, damaged| LeaseStatus {
            name: "a".into(),
            expires_unix_s: expires,
            held,
            digests: BTreeSet::new(),
            damaged,
        };
        for (expires, held, damaged, ended) in [
            (Some(100), false, 0, true),
            (Some(101), false, 0, false),
            (Some(0), true, 0, false),
            (None, false, 0, true),
            (None, false, 1, false),
            (None, true, 0, false),
            (Some(0), false, 1, true), // By an entry after the damage.
        ] {
            assert_eq!(status(expires, held, damaged).has_ended(100), ended, "{expires:?} {held} {damaged}");
        }
    }
}
