//! The shared layout of one ring, byte by byte: what a foreign language needs to attach.
//!
//! A ring is two memfds. All integers are little-endian as the machine stores them, naturally
//! aligned, and accessed with single loads and stores of their width. Fields that share nothing
//! lie 128 bytes apart, because adjacent-line prefetch couples pairs of 64-byte lines.
//!
//! Control, 4096 bytes, mapped read-write by both sides:
//!
//! | offset | type | written by | meaning |
//! |-------:|------|------------|---------|
//! |      0 | u64  | creator    | magic, [`MAGIC`], written last |
//! |      8 | u64  | creator    | [`ABI_HASH`] |
//! |     16 | u64  | creator    | capacity of the data area in bytes, a power of two |
//! |     24 | u64  | creator    | epoch; a change revokes the ring |
//! |     32 | u64  | creator    | page size of the data area at creation in bytes, a hint |
//! |    128 | u64  | producer   | `tail`: bytes ever published |
//! |    256 | u64  | consumer   | `head`: bytes ever released |
//! |    384 | u32  | both       | consumer parked: 1 sleeping (futex word), else 0 |
//! |    388 | u32  | consumer   | 1: it issues a global membarrier before it sleeps |
//! |    512 | u32  | both       | producer parked: 1 sleeping (futex word), else 0 |
//! |    516 | u32  | producer   | 1: it issues a global membarrier before it sleeps |
//! |    640 | u32  | producer   | producer state: 0 free, 1 attached, 2 closed |
//! |    768 | u32  | consumer   | consumer state: 0 free, 1 attached, 2 closed |
//!
//! Data, `capacity` bytes, written by the producer alone. A record begins at a position that is a
//! multiple of 8; position `p` lives at byte `p & (capacity - 1)`, and a record may run over the end
//! of the area and go on at its beginning (map the area twice in a row to see it in one piece):
//!
//! | offset | type | meaning |
//! |-------:|------|---------|
//! |      0 | u32  | payload length in bytes |
//! |      4 | u32  | stamp: bitwise complement of the low 32 bits of `p / 8` |
//! |      8 | u8[] | payload, then padding of any value up to a multiple of 8 |
//!
//! To publish: write the record, store `tail` with release order, then a full fence (not needed where
//! the consumer's membarrier word is 1 and this process has registered for global expedited
//! membarriers), and when the consumer's parked word is 1, swap it to 0 and futex-wake it. To sleep:
//! store 1 to the own parked word, full fence (or membarrier), look again, futex-wait for 1. A sleep
//! lasts at most a tenth of a second at a time, so that a peer that never wakes costs time, not life.
//!
//! RING-5  The layout is fixed by [`ABI`]: a side built for another layout is refused when it attaches.

use std::mem::{offset_of, size_of};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// First eight bytes of the control area: `RTTRING1` in memory order.
pub const MAGIC: u64 = u64::from_le_bytes(*b"RTTRING1");

/// The layout in one line; [`ABI_HASH`] is computed from it, so every change of the layout changes this.
pub const ABI: &str = "rtt-ring/1 control=4096 magic:u64@0 abi:u64@8 capacity:u64@16 epoch:u64@24 page:u64@32 \
tail:u64@128 head:u64@256 consumer_parked:u32@384 consumer_membarrier:u32@388 producer_parked:u32@512 \
producer_membarrier:u32@516 producer_state:u32@640 consumer_state:u32@768 \
record len:u32@0 stamp:u32@4=!(position/8) payload@8 align=8 wrap=mirror";

/// FNV-1a of [`ABI`], 64 bits, as it stands in the control area.
pub const ABI_HASH: u64 = fnv1a(ABI.as_bytes());

/// Size of the control area, in bytes.
pub const CONTROL_BYTES: usize = 4096;
/// Size of a record's header, in bytes; also the alignment of records.
pub const HEADER_BYTES: u64 = 8;

/// Value of a parked word while its owner sleeps or is about to.
pub(crate) const PARKED: u32 = 1;
/// Side states.
pub(crate) const FREE: u32 = 0;
pub(crate) const ATTACHED: u32 = 1;
pub(crate) const CLOSED: u32 = 2;

/// The words about one side's sleep, on a line of their own: the peer reads them at each publication,
/// and they change only when somebody sleeps, so the line usually stays shared.
#[repr(C, align(128))]
pub(crate) struct ParkLine {
    pub(crate) parked: AtomicU32,
    pub(crate) membarrier: AtomicU32,
}

/// A cursor on a line of its own.
#[repr(C, align(128))]
pub(crate) struct CursorLine {
    pub(crate) position: AtomicU64,
}

/// A side's state on a line of its own.
#[repr(C, align(128))]
pub(crate) struct StateLine {
    pub(crate) state: AtomicU32,
}

/// What the creator writes; read-mostly.
#[repr(C, align(128))]
pub(crate) struct HeaderLine {
    pub(crate) magic: AtomicU64,
    pub(crate) abi_hash: AtomicU64,
    pub(crate) capacity: AtomicU64,
    pub(crate) epoch: AtomicU64,
    pub(crate) page_bytes: AtomicU64,
}

/// The control area. Every field is atomic, since the peer may write any of them at any time.
#[repr(C, align(128))]
pub(crate) struct ControlPage {
    pub(crate) header: HeaderLine,
    pub(crate) tail: CursorLine,
    pub(crate) head: CursorLine,
    pub(crate) consumer: ParkLine,
    pub(crate) producer: ParkLine,
    pub(crate) producer_state: StateLine,
    pub(crate) consumer_state: StateLine,
}

// RING-5: the table above, the ABI line and the struct are one layout.
const _: () = assert!(size_of::<ControlPage>() <= CONTROL_BYTES);
const _: () = assert!(offset_of!(ControlPage, header) + offset_of!(HeaderLine, magic) == 0);
const _: () = assert!(offset_of!(HeaderLine, abi_hash) == 8);
const _: () = assert!(offset_of!(HeaderLine, capacity) == 16);
const _: () = assert!(offset_of!(HeaderLine, epoch) == 24);
const _: () = assert!(offset_of!(HeaderLine, page_bytes) == 32);
const _: () = assert!(offset_of!(ControlPage, tail) == 128);
const _: () = assert!(offset_of!(ControlPage, head) == 256);
const _: () = assert!(offset_of!(ControlPage, consumer) + offset_of!(ParkLine, parked) == 384);
const _: () = assert!(offset_of!(ControlPage, consumer) + offset_of!(ParkLine, membarrier) == 388);
const _: () = assert!(offset_of!(ControlPage, producer) + offset_of!(ParkLine, parked) == 512);
const _: () = assert!(offset_of!(ControlPage, producer) + offset_of!(ParkLine, membarrier) == 516);
const _: () = assert!(offset_of!(ControlPage, producer_state) == 640);
const _: () = assert!(offset_of!(ControlPage, consumer_state) == 768);
#[cfg(target_endian = "big")]
compile_error!("the ring's layout is little-endian");

/// Bytes that a record with `len` bytes of payload takes in the ring; a multiple of 8.
pub const fn record_bytes(len: u32) -> u64 {
    HEADER_BYTES + (len as u64).next_multiple_of(HEADER_BYTES)
}

/// The header of a record with `len` bytes of payload at `position`, as one little-endian word.
pub(crate) const fn encode_header(position: u64, len: u32) -> u64 {
    (stamp(position) as u64) << 32 | len as u64
}

/// Splits a header into payload length and stamp.
pub(crate) const fn decode_header(header: u64) -> (u32, u32) {
    (header as u32, (header >> 32) as u32)
}

/// The stamp that belongs to `position`: complemented, so that zeros (a punched hole) never match at 0.
pub(crate) const fn stamp(position: u64) -> u32 {
    !((position / HEADER_BYTES) as u32)
}

const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RING-5: the hash is the published FNV-1a, and the line names every offset of the table.
    #[test]
    fn abi_hash_is_fnv1a_and_covers_every_field() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
        for offset in [0, 8, 16, 24, 32, 128, 256, 384, 388, 512, 516, 640, 768] {
            assert!(ABI.split(' ').any(|field| field.ends_with(&format!("@{offset}"))), "offset {offset}");
        }
    }

    #[test]
    fn records_are_padded_to_eight_bytes() {
        for (len, bytes) in [(0, 8), (1, 16), (8, 16), (9, 24), (64, 72), (u32::MAX, (1 << 32) + 8)] {
            assert_eq!(record_bytes(len), bytes, "payload of {len} bytes");
        }
    }

    #[test]
    fn headers_survive_encoding_and_differ_by_position() {
        for (position, len) in [(0, 0), (8, 1), (4096, 4088), (u64::MAX - 7, 17)] {
            assert_eq!(decode_header(encode_header(position, len)), (len, stamp(position)));
        }
        assert_ne!(stamp(0), 0, "a punched hole at position 0 is no record");
        assert_ne!(stamp(0), stamp(4096));
    }
}
