//! The bytes of a log: segments of blocks, groups of records, each chained to the one before.
//!
//! A segment begins with a block of its own:
//! `0 magic: [u8; 8] | 8 version: u32 | 12 segment: u32 | 16 segment_bytes: u64 | 24 origin: [u8; 32] |
//! 56 first_sequence: u64 | 64 parent: [u8; 32] | 96 digest: [u8; 32]`, then zeros. Groups follow, each from the start of
//! a block; behind the last is nothing but zeros. A record is
//! `0 "rec" | 3 kind: u8 | 4 len: u32 | 8 sequence: u64 | 16 group_first: u64 | 24 segment: u32 | 28 offset: u32 |
//! 32 parent: [u8; 32] | 64 payload, padded to 8 bytes | digest: [u8; 32]`. All numbers are little-endian.
//!
//! The digest is BLAKE3 of all before it, in a domain of its own. `segment` and `offset` say where the record stands, so
//! that a write that went astray, or a record that was copied, is known for what it is.

use rtt_seal::{Digest, HostId};
use std::sync::LazyLock;

/// Bytes of a block: what a device writes at once at best, and the unit that groups are padded to.
pub const BLOCK: usize = 4096;
/// Kind of a record that holds a signed checkpoint.
pub const CHECKPOINT_KIND: u8 = 255;
/// Bytes of a record without its payload.
pub(crate) const OVERHEAD: usize = HEAD + 32;

const HEAD: usize = 64;
const MARK: &[u8; 3] = b"rec";
const MAGIC: &[u8; 8] = b"rtt-wal\0";
const VERSION: u32 = 1;
const HEADER_DIGEST: usize = 96;

static RECORD_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| blake3::derive_key("rtt-store 2026 wal record v1", b""));
static HEADER_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| blake3::derive_key("rtt-store 2026 wal segment v1", b""));
static ORIGIN_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| blake3::derive_key("rtt-store 2026 wal origin v1", b""));

/// One record of a log, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 0, without gaps.
    pub sequence: u64,
    /// What the payload is, by its owner's count; [`CHECKPOINT_KIND`] is the log's own.
    pub kind: u8,
    /// The owner's bytes.
    pub payload: Vec<u8>,
    /// Digest of the record: what the next one names as its parent, and a leaf of the Merkle tree.
    pub digest: Digest,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub segment: u32,
    pub offset: u32,
}

/// A record's head, in the order of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub kind: u8,
    pub len: u32,
    pub sequence: u64,
    pub group_first: u64,
    pub place: Place,
    pub parent: Digest,
}

/// A record whose digest fits its bytes, in the buffer that it was found in. Whether it is the right one is the scan's question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole<'a> {
    pub head: Head,
    pub payload: &'a [u8],
    pub digest: Digest,
    /// Bytes that it takes, the padding included.
    pub bytes: usize,
}

/// A segment's first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub segment: u32,
    pub segment_bytes: u64,
    pub origin: HostId,
    pub first_sequence: u64,
    pub parent: Digest,
}

/// The parent of a log's first record: a log of one host is no log of another.
pub(crate) fn genesis(origin: &HostId) -> Digest {
    keyed(&ORIGIN_KEY, &origin.0.0)
}

/// Bytes that a record with a payload of `len` bytes takes.
pub(crate) const fn record_bytes(len: usize) -> usize {
    OVERHEAD + len.next_multiple_of(8)
}

/// Appends a record to `buffer` and returns its digest.
pub(crate) fn encode_record(buffer: &mut Vec<u8>, head: &Head, payload: &[u8]) -> Digest {
    assert_eq!(head.len as usize, payload.len(), "a head tells its payload's length");
    let start = buffer.len();
    buffer.reserve(record_bytes(payload.len()));
    buffer.extend_from_slice(MARK);
    buffer.push(head.kind);
    buffer.extend_from_slice(&head.len.to_le_bytes());
    buffer.extend_from_slice(&head.sequence.to_le_bytes());
    buffer.extend_from_slice(&head.group_first.to_le_bytes());
    buffer.extend_from_slice(&head.place.segment.to_le_bytes());
    buffer.extend_from_slice(&head.place.offset.to_le_bytes());
    buffer.extend_from_slice(&head.parent.0);
    buffer.extend_from_slice(payload);
    buffer.resize(start + HEAD + payload.len().next_multiple_of(8), 0);
    let digest = keyed(&RECORD_KEY, &buffer[start..]);
    buffer.extend_from_slice(&digest.0);
    digest
}

/// The record at the start of `bytes`, if there is a whole one: some head, and a digest that fits.
pub(crate) fn decode_record(bytes: &[u8]) -> Option<Whole<'_>> {
    if bytes.len() < OVERHEAD || &bytes[..3] != MARK {
        return None;
    }
    let len = u32_at(bytes, 4);
    let head = Head {
        kind: bytes[3],
        len,
        sequence: u64_at(bytes, 8),
        group_first: u64_at(bytes, 16),
        place: Place { segment: u32_at(bytes, 24), offset: u32_at(bytes, 28) },
        parent: digest_at(bytes, 32),
    };
    let padded = (len as usize).checked_next_multiple_of(8)?;
    let end = padded.checked_add(OVERHEAD).filter(|end| *end <= bytes.len())?;
    let digest = keyed(&RECORD_KEY, &bytes[..end - 32]);
    let payload = &bytes[HEAD..HEAD + len as usize];
    (digest == digest_at(bytes, end - 32)).then_some(Whole { head, payload, digest, bytes: end })
}

/// A segment's first block.
pub(crate) fn encode_header(header: &SegmentHeader) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..8].copy_from_slice(MAGIC);
    block[8..12].copy_from_slice(&VERSION.to_le_bytes());
    block[12..16].copy_from_slice(&header.segment.to_le_bytes());
    block[16..24].copy_from_slice(&header.segment_bytes.to_le_bytes());
    block[24..56].copy_from_slice(&header.origin.0.0);
    block[56..64].copy_from_slice(&header.first_sequence.to_le_bytes());
    block[64..HEADER_DIGEST].copy_from_slice(&header.parent.0);
    let digest = keyed(&HEADER_KEY, &block[..HEADER_DIGEST]);
    block[HEADER_DIGEST..HEADER_DIGEST + 32].copy_from_slice(&digest.0);
    block
}

/// Why a segment's first block is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// The digest does not fit, or the rest of the block is not zero.
    Broken,
    /// Another format's version, in an otherwise whole block.
    Version(u32),
}

/// Reads a segment's first block.
pub(crate) fn decode_header(block: &[u8]) -> Result<SegmentHeader, NoHeader> {
    let digest = keyed(&HEADER_KEY, &block[..HEADER_DIGEST]);
    let whole = &block[..8] == MAGIC && digest == digest_at(block, HEADER_DIGEST);
    if !whole || !is_zero(&block[HEADER_DIGEST + 32..BLOCK]) {
        return Err(NoHeader::Broken);
    }
    let version = u32_at(block, 8);
    if version != VERSION {
        return Err(NoHeader::Version(version));
    }
    Ok(SegmentHeader {
        segment: u32_at(block, 12),
        segment_bytes: u64_at(block, 16),
        origin: HostId(digest_at(block, 24)),
        first_sequence: u64_at(block, 56),
        parent: digest_at(block, 64),
    })
}

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // In words: most of what is looked at is a prepared segment, and all of it is zero.
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

fn keyed(key: &[u8; 32], bytes: &[u8]) -> Digest {
    Digest(*blake3::keyed_hash(key, bytes).as_bytes())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn digest_at(bytes: &[u8], at: usize) -> Digest {
    Digest(bytes[at..at + 32].try_into().expect("32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(len: u32) -> Head {
        let place = Place { segment: 3, offset: 4096 };
        Head { kind: 7, len, sequence: 9, group_first: 8, place, parent: Digest::of(b"parent") }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for len in [0, 1, 7, 8, 9, 4096] {
            let payload: Vec<u8> = (0..len).map(|byte| byte as u8).collect();
            let mut bytes = Vec::new();
            let digest = encode_record(&mut bytes, &head(len), &payload);
            assert_eq!(bytes.len(), record_bytes(len as usize));
            let whole = decode_record(&bytes).expect("whole");
            assert_eq!((whole.head, whole.payload, whole.digest), (head(len), &payload[..], digest));
            assert_eq!(whole.bytes, bytes.len());
        }
    }

    #[test]
    fn no_bit_of_a_record_or_header_may_change() {
        let mut record = Vec::new();
        encode_record(&mut record, &head(5), b"hello");
        let header = SegmentHeader {
            segment: 1,
            segment_bytes: 1 << 16,
            origin: HostId(Digest::of(b"host")),
            first_sequence: 4,
            parent: Digest::of(b"parent"),
        };
        let block = encode_header(&header);
        assert_eq!(decode_header(&block), Ok(header));
        for bit in 0..8 * record.len() {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_record(&flipped).is_none(), "bit {bit} of a record");
        }
        for bit in 0..8 * BLOCK {
            let mut flipped = block;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_header(&flipped), Err(NoHeader::Broken), "bit {bit} of a header");
        }
        for end in 0..record.len() {
            assert!(decode_record(&record[..end]).is_none(), "cut at {end}");
        }
    }
}
