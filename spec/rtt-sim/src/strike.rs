//! Kinds of fault, and how often each has struck in one run.
//!
//! A fault counts when it did something that the code under test could notice, not when it was armed.

use std::fmt;

/// What a disk does to those who trust it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strike {
    /// At a power cut a write was kept up to one of its sectors.
    Torn,
    /// A write stopped after some of its bytes, and said so.
    Short,
    /// At a power cut a later sector was kept and an earlier one was not.
    Reordered,
    /// A write was acknowledged and went to another place.
    Misdirected,
    /// At a power cut a write that was not synced was lost.
    Lost,
    /// At a power cut a name that was not synced was lost or came back.
    Names,
    /// Bits of synced data changed.
    Rot,
    /// A request failed with EIO: undone, done all the same, or with its dirty pages dropped.
    Eio,
    /// The disk was full for a while.
    Enospc,
    /// A request was carried out after one that was submitted later.
    Slow,
    /// Somebody rewrote a record together with its digest, or cut the last ones off.
    Forged,
}

impl Strike {
    /// Every kind.
    pub const ALL: [Strike; 11] = [
        Strike::Torn,
        Strike::Short,
        Strike::Reordered,
        Strike::Misdirected,
        Strike::Lost,
        Strike::Names,
        Strike::Rot,
        Strike::Eio,
        Strike::Enospc,
        Strike::Slow,
        Strike::Forged,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Strike::Torn => "torn",
            Strike::Short => "short",
            Strike::Reordered => "reordered",
            Strike::Misdirected => "misdirected",
            Strike::Lost => "lost",
            Strike::Names => "names",
            Strike::Rot => "rot",
            Strike::Eio => "eio",
            Strike::Enospc => "enospc",
            Strike::Slow => "slow",
            Strike::Forged => "forged",
        }
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Strikes of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strikes([u64; Strike::ALL.len()]);

impl Strikes {
    /// Counts one.
    pub fn add(&mut self, strike: Strike) {
        self.0[strike as usize] += 1;
    }

    /// How many of a kind.
    pub fn of(&self, strike: Strike) -> u64 {
        self.0[strike as usize]
    }
}
