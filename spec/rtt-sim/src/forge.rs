//! Rewrites records of a log together with their digests, as no device does and somebody with the format can; or takes its
//! last ones away.
//!
//! A forged payload leaves the next record's parent wrong, and nothing else: only the check of the chain notices. A record
//! that is cut out with everything behind it chained anew leaves the numbers wrong: only the check of sequences notices.
//! [`heal`] plays a scan without one of the two: what that scan would let pass is rewritten so that the production scan
//! lets it pass; where the other check would still refuse, nothing is rewritten.

use rtt_units::SplitMix64;

pub(crate) const BLOCK: usize = 4096;
const HEAD: usize = 64;
const DIGEST: usize = 32;
/// Where fields stand in a record, and in a segment's header.
pub(crate) const SEQUENCE: usize = 8;
pub(crate) const GROUP_FIRST: usize = 16;
const OFFSET: usize = 28;
pub(crate) const PARENT: usize = 32;
pub(crate) const HEADER_FIRST: usize = 56;
pub(crate) const HEADER_PARENT: usize = 64;
const HEADER_DIGEST: usize = 96;

/// Which check a scan lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacks {
    /// That a record names the one before it as its parent.
    Chain,
    /// That numbers grow by one.
    Sequence,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    segment: usize,
    at: usize,
    bytes: usize,
}

/// Forges one record among the first `records`; `false` where none can be.
pub fn forge(segments: &mut [Vec<u8>], records: usize, draw: &mut SplitMix64) -> bool {
    let mut places = places(segments);
    places.truncate(records);
    let cuts_out = draw.coin();
    let alone = |index: usize| {
        let first = |place: &Place| number(segments, place, SEQUENCE) == number(segments, place, GROUP_FIRST);
        index > 0 && first(&places[index]) && first(&places[index + 1])
    };
    let last = places.len().saturating_sub(1);
    let candidates: Vec<usize> = (0..last).filter(|index| !cuts_out || alone(*index)).collect();
    if candidates.is_empty() {
        return false;
    }
    let index = candidates[draw.below(candidates.len() as u64) as usize];
    let place = places[index];
    if !cuts_out {
        segments[place.segment][place.at + HEAD] ^= 1;
        seal(segments, &place);
        return true;
    }
    cut_out(segments, place);
    true
}

/// Takes a group of one record out of its segment, moves up what is behind it there, and chains all of that anew.
fn cut_out(segments: &mut [Vec<u8>], place: Place) {
    let mut tip = parent(segments, &place);
    let moved = place.bytes.next_multiple_of(BLOCK);
    let behind: Vec<Place> =
        places(segments).into_iter().filter(|next| (next.segment, next.at) > (place.segment, place.at)).collect();
    let bytes = &mut segments[place.segment];
    bytes.drain(place.at..place.at + moved);
    bytes.resize(bytes.len() + moved, 0);
    let mut segment = place.segment;
    for mut next in behind {
        if next.segment == place.segment {
            next.at -= moved;
            let offset = (next.at as u32).to_le_bytes();
            segments[next.segment][next.at + OFFSET..][..4].copy_from_slice(&offset);
        } else if next.segment != segment {
            segment = next.segment;
            put(&mut segments[segment], HEADER_PARENT, &tip);
            seal_header(&mut segments[segment]);
        }
        put(&mut segments[next.segment], next.at + PARENT, &tip);
        tip = seal(segments, &next);
    }
}

/// What a scan that lacks a check takes for whole, as a log that the production scan takes for whole.
pub fn heal(segments: &mut [Vec<u8>], origin: &[u8; 32], lacks: Lacks) -> Option<()> {
    let genesis = *blake3::keyed_hash(&key("rtt-store 2026 wal origin v1"), origin).as_bytes();
    let (mut found, mut tip, mut expected, mut group) = (genesis, genesis, 0, 0);
    let mut segment = usize::MAX;
    for place in places(segments) {
        let bytes = &mut segments[place.segment];
        if place.segment != segment {
            segment = place.segment;
            check(bytes, (HEADER_FIRST, HEADER_PARENT), (expected, found), lacks)?;
            bytes[HEADER_FIRST..HEADER_FIRST + 8].copy_from_slice(&u64::to_le_bytes(expected));
            put(bytes, HEADER_PARENT, &tip);
            seal_header(bytes);
        }
        check(bytes, (place.at + SEQUENCE, place.at + PARENT), (expected, found), lacks)?;
        found = *digest_at(bytes, place.at + place.bytes - DIGEST);
        if u64_at(bytes, place.at + SEQUENCE) == u64_at(bytes, place.at + GROUP_FIRST) {
            group = expected;
        }
        bytes[place.at + SEQUENCE..][..8].copy_from_slice(&u64::to_le_bytes(expected));
        bytes[place.at + GROUP_FIRST..][..8].copy_from_slice(&u64::to_le_bytes(group));
        put(bytes, place.at + PARENT, &tip);
        tip = seal(segments, &place);
        expected += 1;
    }
    Some(())
}

/// The check that is not lacking.
fn check(bytes: &[u8], (number, parent): (usize, usize), expected: (u64, [u8; 32]), lacks: Lacks) -> Option<()> {
    let holds = match lacks {
        Lacks::Chain => u64_at(bytes, number) == expected.0,
        Lacks::Sequence => *digest_at(bytes, parent) == expected.1,
    };
    holds.then_some(())
}

/// Every whole record, in order.
fn places(segments: &[Vec<u8>]) -> Vec<Place> {
    let mut places = Vec::new();
    for (segment, bytes) in segments.iter().enumerate() {
        let mut at = BLOCK;
        while at + HEAD + DIGEST <= bytes.len() {
            if let Some(total) = whole(bytes, at) {
                places.push(Place { segment, at, bytes: total });
                at += total;
            } else {
                at = (at + 1).next_multiple_of(BLOCK);
            }
        }
    }
    places
}

/// Bytes of the record at `at`, if a whole one stands there.
pub(crate) fn whole(bytes: &[u8], at: usize) -> Option<usize> {
    if at + HEAD + DIGEST > bytes.len() || &bytes[at..at + 3] != b"rec" {
        return None;
    }
    let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().expect("four bytes")) as usize;
    let total = length.next_multiple_of(8) + HEAD + DIGEST;
    let end = Some(at + total - DIGEST).filter(|_| at + total <= bytes.len())?;
    (keyed("rtt-store 2026 wal record v1", &bytes[at..end]) == *digest_at(bytes, end)).then_some(total)
}

/// Whether a segment begins with a whole header.
pub(crate) fn is_header(bytes: &[u8]) -> bool {
    let end = HEADER_DIGEST + DIGEST;
    bytes.len() >= BLOCK
        && keyed("rtt-store 2026 wal segment v1", &bytes[..HEADER_DIGEST]) == *digest_at(bytes, HEADER_DIGEST)
        && bytes[end..BLOCK].iter().all(|byte| *byte == 0)
}

/// Cuts some of the last groups off: what is left is whole in itself. `false` where there are too few.
pub fn cut_off(segments: &mut [Vec<u8>], draw: &mut SplitMix64) -> bool {
    let mut places = places(segments);
    places.retain(|place| number(segments, place, SEQUENCE) == number(segments, place, GROUP_FIRST));
    let Some(first) = places.len().checked_sub(1 + draw.below(4) as usize) else { return false };
    let place = places[first];
    // A segment's header is of its first group.
    segments[place.segment][if place.at == BLOCK { 0 } else { place.at }..].fill(0);
    segments[place.segment + 1..].iter_mut().for_each(|bytes| bytes.fill(0));
    true
}

/// Cuts everything from a place on, as if one write had been torn there: one byte of it stays.
pub fn cut(segments: &mut [Vec<u8>], (segment, at): (usize, usize)) -> bool {
    for bytes in segments.iter_mut().skip(segment + 1) {
        bytes.fill(0);
    }
    let Some(bytes) = segments.get_mut(segment).filter(|bytes| at < bytes.len()) else { return false };
    bytes[at..].fill(0);
    bytes[at] = 1;
    true
}

/// Writes a record's digest anew and returns it.
fn seal(segments: &mut [Vec<u8>], place: &Place) -> [u8; 32] {
    let bytes = &mut segments[place.segment];
    let end = place.at + place.bytes - DIGEST;
    let digest = keyed("rtt-store 2026 wal record v1", &bytes[place.at..end]);
    put(bytes, end, &digest);
    digest
}

fn seal_header(bytes: &mut [u8]) {
    let digest = keyed("rtt-store 2026 wal segment v1", &bytes[..HEADER_DIGEST]);
    put(bytes, HEADER_DIGEST, &digest);
}

fn number(segments: &[Vec<u8>], place: &Place, field: usize) -> u64 {
    u64_at(&segments[place.segment], place.at + field)
}

fn parent(segments: &[Vec<u8>], place: &Place) -> [u8; 32] {
    *digest_at(&segments[place.segment], place.at + PARENT)
}

fn put(bytes: &mut [u8], at: usize, digest: &[u8; 32]) {
    bytes[at..at + DIGEST].copy_from_slice(digest);
}

pub(crate) fn digest_at(bytes: &[u8], at: usize) -> &[u8; 32] {
    bytes[at..at + DIGEST].try_into().expect("32 bytes")
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn keyed(context: &str, bytes: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(&key(context), bytes).as_bytes()
}

fn key(context: &str) -> [u8; 32] {
    blake3::derive_key(context, b"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_disk::Device;
    use rtt_seal::{Digest, HostId};
    use rtt_store::wal::{OpenError, Options, Room, Wal, read_log};

    fn check_forged(seed: u64) -> String {
        let options =
            Options { segment_bytes: 64 << 10, reserve_bytes: 4096, ..Options::new(HostId(Digest::of(b"h"))) };
        let device = Device::default();
        let (mut wal, _) = Wal::open(device.handle(), &options, None).expect("opens");
        for record in 0..20 {
            wal.append(1, &[record; 3000], Room::Ordinary).expect("appended");
        }
        drop(wal);
        let names = ["wal/00000000.seg", "wal/00000001.seg"];
        let found: Vec<_> = device
            .with(|medium| medium.contents("wal"))
            .into_iter()
            .filter(|(name, _)| name.ends_with("seg"))
            .collect();
        let mut segments: Vec<Vec<u8>> = found.into_iter().map(|(_, bytes)| bytes).collect();
        let write = |segments: &[Vec<u8>]| {
            for (name, bytes) in names.iter().zip(segments) {
                assert!(device.with(|medium| medium.overwrite(name, bytes)));
            }
            read_log(device.handle(), &options)
        };
        assert!(forge(&mut segments, 20, &mut SplitMix64::new(seed)));
        let Err(OpenError::Damaged(damage)) = write(&segments) else { panic!("seed {seed}: not refused") };
        let mut passed = Vec::new();
        for lacks in [Lacks::Chain, Lacks::Sequence] {
            let mut healed = segments.clone();
            if heal(&mut healed, &options.origin.0.0, lacks).is_some() {
                passed.push(format!("{lacks:?}: {} records", write(&healed).expect("whole").records.len()));
            }
        }
        format!("{}; {}", damage.reason, passed.join(", "))
    }

    /// Each forgery is refused by one check and passes a scan that lacks that one, and only that.
    #[test]
    fn one_check_alone_stands_against_each_forgery() {
        let mut seen: Vec<String> = (0..40).map(check_forged).collect();
        seen.sort();
        seen.dedup();
        let expected = [
            "a record that does not follow the one before it; Chain: 20 records",
            "a record with another number; Sequence: 19 records",
            "the segment does not follow the record before it; Chain: 20 records",
            "the segment does not follow the record before it; Sequence: 19 records",
        ];
        assert!(seen.iter().all(|line| expected.contains(&line.as_str())), "{seen:?}");
        assert!(expected[..2].iter().all(|line| seen.iter().any(|seen| seen == line)), "{seen:?}");
    }
}
