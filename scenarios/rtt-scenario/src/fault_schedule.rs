//! A fault schedule: what strikes one run, at which instant, and for how long.
//!
//! SCEN-5  Strikes are in the order of their start and end within the run.
//! A schedule is drawn ([`FaultPlan::draw`](crate::FaultPlan::draw)), never written by hand; a trial record names it by its digest.

use crate::fault_plan::FaultKind;
use rtt_seal::Digest;
use rtt_units::Nanos;
use std::fmt::Write as _;

/// The strikes of one run. All arms of a comparison get the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSchedule {
    /// In the order of their start.
    pub strikes: Vec<Strike>,
}

/// One fault of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// What strikes.
    pub kind: FaultKind,
    /// When it begins, counted from the start of the run.
    pub at: Nanos,
    /// How long it lasts.
    pub duration: Nanos,
}

impl FaultSchedule {
    pub(crate) fn new(mut strikes: Vec<Strike>, run: Nanos) -> FaultSchedule {
        strikes.sort_by_key(|strike| (strike.at, strike.kind));
        for strike in &strikes {
            let end = strike.at.checked_add(strike.duration);
            assert!(end.is_some_and(|end| end <= run), "SCEN-5: {strike:?} ends after the run of {run}");
        }
        FaultSchedule { strikes }
    }

    /// BLAKE3 of one line per strike: kind, start and duration in nanoseconds, separated by blanks.
    pub fn digest(&self) -> Digest {
        let mut text = String::from("rtt.fault_schedule.v1\n");
        for strike in &self.strikes {
            writeln!(text, "{} {} {}", strike.kind.name(), strike.at.0, strike.duration.0)
                .expect("a string takes all text");
        }
        Digest::of(text.as_bytes())
    }

    /// When the last strike is over, counted from the start of the run; zero where nothing strikes.
    pub fn end(&self) -> Nanos {
        self.strikes.iter().map(|strike| strike.at.saturating_add(strike.duration)).max().unwrap_or_default()
    }

    /// Whether two strikes are ever under way together.
    pub fn overlaps(&self) -> bool {
        // Sorted by start: a strike that overlaps any earlier one lies before the latest end so far.
        let mut latest = Nanos(0);
        self.strikes.iter().any(|strike| {
            let begun = strike.at < latest;
            latest = latest.max(strike.at.saturating_add(strike.duration));
            begun
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(strikes: &[(u64, u64)]) -> FaultSchedule {
        let strikes = strikes.iter().map(|&(at, duration)| Strike {
            kind: FaultKind::CpuHog,
            at: Nanos(at),
            duration: Nanos(duration),
        });
        FaultSchedule::new(strikes.collect(), Nanos(100))
    }

    #[test]
    fn overlap_is_seen_past_a_short_strike() {
        for (strikes, expected) in [
            (&[][..], false),
            (&[(0, 10), (10, 10)], false),
            (&[(10, 10), (0, 11)], true),
            (&[(0, 50), (5, 1), (30, 1)], true),
            (&[(0, 5), (6, 2), (9, 91)], false),
        ] {
            assert_eq!(schedule(strikes).overlaps(), expected, "{strikes:?}");
        }
        assert_eq!(schedule(&[(0, 50), (5, 1)]).end(), Nanos(50));
        assert_eq!(schedule(&[]).end(), Nanos(0));
    }

    #[test]
    #[should_panic(expected = "SCEN-5")]
    fn a_strike_beyond_the_run_is_our_own_mistake() {
        schedule(&[(60, 41)]);
    }

    #[test]
    fn the_digest_sees_every_part() {
        let digests =
            [schedule(&[]), schedule(&[(1, 2)]), schedule(&[(2, 1)]), schedule(&[(1, 2), (1, 2)])].map(|s| s.digest());
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest));
        }
    }
}
