//! Sizes.

use crate::{Grammar, ParseError, Unit, format_scaled, parse_scaled};
use std::{fmt, str::FromStr};

/// Size in bytes. Prints in binary units, as `64KiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

const UNITS: &[Unit] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
const GRAMMAR: Grammar = Grammar { quantity: "size", example: "64KiB", known: "B, KiB, MiB, GiB, TiB", units: UNITS };

impl Bytes {
    /// `kib` times 1024 bytes.
    pub const fn from_kib(kib: u32) -> Bytes {
        Bytes((kib as u64) << 10)
    }

    /// Sum, or `None` on overflow.
    pub fn checked_add(self, other: Bytes) -> Option<Bytes> {
        self.0.checked_add(other.0).map(Bytes)
    }
}

impl FromStr for Bytes {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Bytes, ParseError> {
        parse_scaled(text, &GRAMMAR).map(Bytes)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        format_scaled(self.0, UNITS, f)
    }
}
