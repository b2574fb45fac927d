//! The head of every message: what the endpoint's telemetry needs.
//!
//! Layout, little-endian: `0 intended_ns: u64 | 8 excused_ns: u64 | 16 sequence: u64`, then the payload.
//!
//! ENDPOINT-1  Bytes shorter than a head are no message: they are counted as malformed and never read beyond.

use rtt_units::Nanos;

/// Size of the head in bytes.
pub const STAMP_BYTES: usize = 24;

/// When a message was due, and where it stands in its sender's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Intended send time on `CLOCK_MONOTONIC`: latency counts from here.
    pub intended: Nanos,
    /// The send time with the sender's own lag taken out: the attempt, less what a full ring had held up.
    pub excused: Nanos,
    /// Place in the sender's order, from 0.
    pub sequence: u64,
}

impl Stamp {
    /// Writes the head.
    ///
    /// # Panics
    /// When `message` is shorter than [`STAMP_BYTES`]: the sender's own mistake.
    #[inline]
    pub fn write(&self, message: &mut [u8]) {
        message[..8].copy_from_slice(&self.intended.0.to_le_bytes());
        message[8..16].copy_from_slice(&self.excused.0.to_le_bytes());
        message[16..24].copy_from_slice(&self.sequence.to_le_bytes());
    }

    /// Reads the head; `None` where there is not enough (ENDPOINT-1).
    #[inline]
    pub fn read(message: &[u8]) -> Option<Stamp> {
        let word = |at: usize| Some(u64::from_le_bytes(message.get(at..at + 8)?.try_into().ok()?));
        Some(Stamp { intended: Nanos(word(0)?), excused: Nanos(word(8)?), sequence: word(16)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ENDPOINT-1
    #[test]
    fn a_stamp_is_read_back_and_short_bytes_are_no_message() {
        let stamp = Stamp { intended: Nanos(1), excused: Nanos(u64::MAX), sequence: 3 };
        let mut message = [0xAA; 32];
        stamp.write(&mut message);
        assert_eq!(Stamp::read(&message), Some(stamp));
        assert_eq!(message[24..], [0xAA; 8]);
        for short in 0..STAMP_BYTES {
            assert_eq!(Stamp::read(&message[..short]), None);
        }
    }
}
