//! Leases: what a writer is about to name, kept from collection until it is named elsewhere.
//!
//! A lease is a file that is only appended to, entries of 48 bytes: `kind: u64 | payload: 32 | check: 8`, where the payload
//! is an expiry in seconds or a digest, and the check the first bytes of BLAKE3 over the lease's name, kind and payload.
//! The last expiry counts. Its holder keeps the file locked, which the kernel ends with the process. A length of 0 is a
//! lease that was given back.
//!
//! CAS-4  Before a writer looks whether an object is there, its lease names the object, and no note condemns it.
//! CAS-7  A lease whose holder lives does not end; one of a dead holder ends when it has expired.
//!
//! Entries of objects are durable with the objects: the one sync of a put covers both. A power cut before it leaves
//! zeros or a short entry at the end, of a put that was never acknowledged; other damage makes the collection refuse.

use super::Cas;
use super::layout::{LEASES, Place, TEMPORARY, is_name, lease_of_temporary, lease_path};
use crate::disk::{Access, Cause, Disk, DiskError, FileId, Request};
use rtt_seal::Digest;
use std::collections::BTreeSet;

const ENTRY_BYTES: usize = 48;
const EXPIRY: u64 = 1;
const OBJECT: u64 = 2;
const CONTEXT: &str = "rtt-store 2025 cas lease entry";

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
    expires_unix_s: u64,
    named: BTreeSet<Digest>,
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
    /// When it ends, should its holder die; `None` for one that was given back or never written.
    pub expires_unix_s: Option<u64>,
    /// Whether its holder lives.
    pub held: bool,
    /// What it names.
    pub digests: BTreeSet<Digest>,
    /// Entries that are not what was written; what they named is unknown.
    pub damaged: usize,
}

impl LeaseStatus {
    /// CAS-7: only the lease of a dead holder ends. One that never had an expiry was never acknowledged.
    pub(super) fn has_ended(&self, now_unix_s: u64) -> bool {
        let expired = match self.expires_unix_s {
            Some(expires) => expires <= now_unix_s,
            None => self.damaged == 0,
        };
        !self.held && expired
    }
}

fn check_of(name: &str, kind: u64, payload: &[u8; 32]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(name.as_bytes()).update(&kind.to_le_bytes()).update(payload);
    hasher.finalize().as_bytes()[..8].try_into().expect("8 of 32 bytes")
}

fn encode(name: &str, kind: u64, payload: &[u8; 32], into: &mut Vec<u8>) {
    into.extend_from_slice(&kind.to_le_bytes());
    into.extend_from_slice(payload);
    into.extend_from_slice(&check_of(name, kind, payload));
}

fn expiry_payload(unix_s: u64) -> [u8; 32] {
    let mut payload = [0; 32];
    payload[..8].copy_from_slice(&unix_s.to_le_bytes());
    payload
}

/// Reads the file of a lease; whether it is held is not in it.
fn decode(name: &str, bytes: &[u8]) -> LeaseStatus {
    let mut status =
        LeaseStatus { name: name.into(), expires_unix_s: None, held: false, digests: BTreeSet::new(), damaged: 0 };
    for entry in bytes.chunks_exact(ENTRY_BYTES) {
        let (kind, rest) = entry.split_at(8);
        let (payload, check) = rest.split_at(32);
        let kind = u64::from_le_bytes(kind.try_into().expect("8 bytes"));
        let payload: [u8; 32] = payload.try_into().expect("32 bytes");
        match kind {
            _ if entry.iter().all(|byte| *byte == 0) => {}
            _ if check != check_of(name, kind, &payload) => status.damaged += 1,
            EXPIRY => status.expires_unix_s = Some(u64::from_le_bytes(payload[..8].try_into().expect("8 bytes"))),
            OBJECT => {
                status.digests.insert(Digest(payload));
            }
            _ => status.damaged += 1,
        }
    }
    status
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
        let bytes = self.read(file, 0, length as usize, Vec::new())?;
        let named = decode(name, &bytes).digests;
        // A short entry at the end is written over.
        let end = length - length % ENTRY_BYTES as u64;
        let mut lease = Lease { name: name.into(), file, end, expires_unix_s: 0, named, next_temporary: 0 };
        for entry in self.disk.run(Request::List { path: TEMPORARY.into() })?.names() {
            if lease_of_temporary(&entry.name) == Some(name) {
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
        let mut entry = Vec::with_capacity(ENTRY_BYTES);
        encode(&lease.name, EXPIRY, &expiry_payload(expires_unix_s), &mut entry);
        self.write(lease.file, lease.end, &entry)?;
        self.disk.run(Request::Sync { file: lease.file })?;
        lease.end += ENTRY_BYTES as u64;
        lease.expires_unix_s = expires_unix_s;
        Ok(())
    }

    /// Gives the lease back: what nothing else names may be collected. For after the log names it.
    ///
    /// # Errors
    /// [`LeaseError::Disk`]; the lease then ends when its holder did and it has expired.
    pub fn release(&mut self, lease: Lease) -> Result<(), LeaseError> {
        // The name stays until a collection removes it: who opened it a moment ago must not lock a file without name.
        let emptied = self.disk.run(Request::SetLength { file: lease.file, bytes: 0 });
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
            let mut entries = Vec::new();
            let fresh = digests.iter().filter(|digest| !lease.named.contains(digest));
            let fresh: BTreeSet<Digest> = fresh.copied().collect();
            for digest in &fresh {
                encode(&lease.name, OBJECT, &digest.0, &mut entries);
            }
            if !entries.is_empty() {
                cas.write(lease.file, lease.end, &entries)?;
                lease.end += entries.len() as u64;
                lease.named.extend(fresh);
            }
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
            let length = cas.length(file)?;
            let bytes = cas.read(file, 0, length as usize, Vec::new())?;
            Ok(LeaseStatus { held, ..decode(name, &bytes) })
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

    fn three_entries() -> Vec<u8> {
        let mut bytes = Vec::new();
        encode("a", EXPIRY, &expiry_payload(10), &mut bytes);
        encode("a", OBJECT, &[7; 32], &mut bytes);
        encode("a", EXPIRY, &expiry_payload(20), &mut bytes);
        bytes
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

    #[test]
    fn each_changed_byte_is_counted_as_damage() {
        let whole = three_entries();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            assert_eq!(decode("a", &bytes).damaged, 1, "byte {at}");
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
            (Some(0), false, 1, true),
        ] {
            assert_eq!(status(expires, held, damaged).has_ended(100), ended, "{expires:?} {held} {damaged}");
        }
    }
}
