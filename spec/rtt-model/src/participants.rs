//! A set of a transaction's participants, by their position among the plan's participants sorted by name.

use std::fmt;

/// Most participants of one transaction.
pub const PARTICIPANTS_MAX: u8 = 64;

/// Some of at most [`PARTICIPANTS_MAX`] participants: bit `n` stands for participant `n`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Participants(u64);

impl Participants {
    /// No participant.
    pub const NONE: Participants = Participants(0);

    /// The participants `0..count`; a count above [`PARTICIPANTS_MAX`] counts as that.
    pub const fn first(count: u8) -> Participants {
        if count >= PARTICIPANTS_MAX { Participants(u64::MAX) } else { Participants((1 << count) - 1) }
    }

    /// True when `participant` is among them.
    pub const fn contains(self, participant: u8) -> bool {
        participant < PARTICIPANTS_MAX && self.0 >> participant & 1 == 1
    }

    /// These and `participant`, which is left out when it is no position.
    #[must_use]
    pub const fn with(self, participant: u8) -> Participants {
        if participant < PARTICIPANTS_MAX { Participants(self.0 | 1 << participant) } else { self }
    }

    /// Those of these that are not among `others`.
    #[must_use]
    pub const fn without(self, others: Participants) -> Participants {
        Participants(self.0 & !others.0)
    }

    /// True when there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    pub const fn count(self) -> u8 {
        self.0.count_ones() as u8
    }

    /// The participants in order, lowest first.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..PARTICIPANTS_MAX).filter(move |participant| self.contains(*participant))
    }
}

impl fmt::Debug for Participants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_the_positions_put_into_it() {
        for count in 0..=PARTICIPANTS_MAX {
            let first = Participants::first(count);
            assert_eq!(first.iter().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
            assert_eq!((first.count(), first.is_empty(), first.contains(count)), (count, count == 0, false));
            assert_eq!(Participants::first(count + 1).without(first), Participants::NONE.with(count), "{count}");
        }
        assert_eq!(Participants::first(255), Participants::first(64));
        assert_eq!(Participants::NONE.with(64).with(255), Participants::NONE);
        assert_eq!(format!("{:?}", Participants::NONE.with(5).with(0)), "{0, 5}");
    }
}
