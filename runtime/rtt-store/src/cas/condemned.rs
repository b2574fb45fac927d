//! Notes of condemned objects: a collection found that nothing named them, and when.
//!
//! A note is `since: u64 | check: 8`, the check being the first bytes of BLAKE3 over digest and time. A note that is not
//! what was written says nothing: it is written anew, and the grace period begins again.

use super::Cas;
use super::layout::{CONDEMNED, note_path};
use crate::disk::{Disk, DiskError, Request};
use rtt_seal::Digest;
use std::collections::BTreeMap;

const NOTE_BYTES: usize = 16;
const CONTEXT: &str = "rtt-store 2025 cas condemned note";
/// Up to this many notes are removed by name; for more the directory is listed first.
const BY_NAME: usize = 8;

fn encode(digest: &Digest, since_unix_s: u64) -> [u8; NOTE_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&digest.0).update(&since_unix_s.to_le_bytes());
    let mut note = [0; NOTE_BYTES];
    note[..8].copy_from_slice(&since_unix_s.to_le_bytes());
    note[8..].copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    note
}

fn decode(digest: &Digest, note: &[u8]) -> Option<u64> {
    let since = u64::from_le_bytes(note.get(..8)?.try_into().expect("8 bytes"));
    (note == encode(digest, since)).then_some(since)
}

impl<D: Disk> Cas<D> {
    /// Since when each object is condemned; `None` for a note that is not what was written.
    pub(super) fn condemned(&mut self) -> Result<BTreeMap<Digest, Option<u64>>, DiskError> {
        let mut condemned = BTreeMap::new();
        for entry in self.disk.run(Request::List { path: CONDEMNED.into() })?.names() {
            let Ok(digest) = entry.name.parse() else { continue };
            let note = self.reading(&note_path(&digest), |cas, file| cas.read(file, 0, NOTE_BYTES + 1, Vec::new()))?;
            if let Some(note) = note {
                condemned.insert(digest, decode(&digest, &note));
            }
        }
        Ok(condemned)
    }

    /// Writes a note, in place of any that is there. Not synced: one that is lost makes the object live longer.
    pub(super) fn condemn(&mut self, digest: &Digest, since_unix_s: u64) -> Result<(), DiskError> {
        let path = note_path(digest);
        self.remove(&path)?;
        let file = self.disk.run(Request::Create { path })?.opened();
        self.closing(file, |cas, file| cas.write(file, 0, &encode(digest, since_unix_s)))
    }

    /// Removes the notes of these objects.
    pub(super) fn spare(&mut self, digests: &[Digest]) -> Result<(), DiskError> {
        if digests.len() <= BY_NAME {
            return digests.iter().try_for_each(|digest| self.remove(&note_path(digest)).map(|_| ()));
        }
        let noted = self.disk.run(Request::List { path: CONDEMNED.into() })?.names();
        let noted: BTreeMap<Digest, ()> = noted.iter().filter_map(|e| Some((e.name.parse().ok()?, ()))).collect();
        let to_spare = digests.iter().filter(|digest| noted.contains_key(digest));
        for digest in to_spare {
            self.remove(&note_path(digest))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_that_is_not_what_was_written_says_nothing() {
        let digest = Digest([3; 32]);
        let note = encode(&digest, 77);
        assert_eq!(decode(&digest, &note), Some(77));
        assert_eq!(decode(&Digest([4; 32]), &note), None, "another object's note");
        for at in 0..NOTE_BYTES {
            let mut changed = note;
            changed[at] ^= 1;
            assert_eq!(decode(&digest, &changed), None, "byte {at}");
            assert_eq!(decode(&digest, &note[..at]), None, "{at} bytes");
        }
        assert_eq!(decode(&digest, &[&note[..], &[0]].concat()), None, "a byte more");
    }
}
