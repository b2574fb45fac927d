//! A fault plan: which faults strike a run, and within which bounds. The seed of a run draws the rest.
//!
//! SCEN-1  Numbers lie in their ranges, lower ends do not lie above upper ends ([`FaultPlan::check`]).
//! SCEN-5  The same plan, seed and length of run give the same schedule ([`FaultPlan::draw`]).
//!
//! The same rules stand in `spec/schema/chaos.cue`. How a fault is struck and undone is the lab's.

use crate::{
    bounds::{CheckError, Checker},
    fault_schedule::{FaultSchedule, Strike},
};
use rtt_seal::Digest;
use rtt_units::{Nanos, SplitMix64};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Faults under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// Name in command lines, logs and reports, of the same form as a scenario's.
    pub name: String,
    /// What it stands for, at most 1000 characters.
    pub about: String,
    /// The faults: 1..=16. The same kind may strike more than once.
    pub faults: Vec<FaultSpec>,
}

/// One fault and the ranges that it is drawn from; both ends are in the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// What strikes.
    pub kind: FaultKind,
    /// First and last thousandth of the run at which it may begin: 0..=999, rising.
    pub start_permille: [u32; 2],
    /// Shortest and longest time that it lasts, in microseconds: 100..=10 000 000, rising.
    pub duration_us: [u32; 2],
}

/// What can strike. Each is confined to the lab's own processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A busy process on the consumer's CPU.
    CpuHog,
    /// The consumer is stopped and continued.
    ConsumerPause,
    /// Another process sends messages of its own through rings of its own.
    NeighbourBurst,
    /// A process takes memory and touches it.
    MemoryPressure,
    /// A process reads and writes files, which pushes pages out.
    PageCachePressure,
}

impl FaultKind {
    /// Every kind, in the order of the type.
    pub const ALL: [FaultKind; 5] = [
        FaultKind::CpuHog,
        FaultKind::ConsumerPause,
        FaultKind::NeighbourBurst,
        FaultKind::MemoryPressure,
        FaultKind::PageCachePressure,
    ];

    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            FaultKind::CpuHog => "cpu_hog",
            FaultKind::ConsumerPause => "consumer_pause",
            FaultKind::NeighbourBurst => "neighbour_burst",
            FaultKind::MemoryPressure => "memory_pressure",
            FaultKind::PageCachePressure => "page_cache_pressure",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FaultPlan {
    /// BLAKE3 of the canonical JSON: fields in the order of the type, no white space.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("a fault plan is plain data"))
    }

    /// Whether every value lies in its range.
    ///
    /// # Errors
    /// All violations at once, in the order of the document.
    pub fn check(&self) -> Result<(), CheckError> {
        let mut checker = Checker::default();
        checker.name("name", &self.name);
        checker.text("about", &self.about);
        if !(1..=16).contains(&self.faults.len()) {
            checker.refuse("faults", &format!("found {} faults", self.faults.len()));
        }
        for (index, fault) in self.faults.iter().enumerate() {
            for (field, range) in [("start_permille", fault.start_permille), ("duration_us", fault.duration_us)] {
                let field = format!("faults[{index}].{field}");
                for (end, value) in range.into_iter().enumerate() {
                    checker.integer(&format!("{field}[{end}]"), value.into());
                }
                if range[0] > range[1] {
                    checker.refuse(&field, &format!("found {} before {}", range[0], range[1]));
                }
            }
        }
        checker.finish()
    }

    /// Draws when each fault strikes a run of length `run`, and for how long.
    ///
    /// SCEN-5: equal plan, seed and length give an equal schedule, on every machine. Each fault has a sequence of its own,
    /// so a fault added at the end leaves the others where they were. A strike that would outlast the run begins
    /// earlier; one longer than the run is cut to it. Strikes may overlap where the plan's ranges do.
    pub fn draw(&self, seed: u64, run: Nanos) -> FaultSchedule {
        let mut seeds = SplitMix64::new(seed);
        let strikes = self.faults.iter().map(|fault| {
            let mut draw = SplitMix64::new(seeds.next_u64());
            // In nanoseconds rather than in thousandths, so that two faults of equal ranges do not start together.
            let [first, last] = fault.start_permille.map(|permille| share(run, permille));
            let [shortest, longest] = fault.duration_us.map(|us| Nanos::from_micros(us.into()).0);
            let at = between(&mut draw, first, last);
            let duration = between(&mut draw, shortest, longest).min(run.0);
            Strike { kind: fault.kind, at: Nanos(at.min(run.0 - duration)), duration: Nanos(duration) }
        });
        FaultSchedule::new(strikes.collect(), run)
    }
}

/// `permille` thousandths of `run`, in nanoseconds.
fn share(run: Nanos, permille: u32) -> u64 {
    // At most `run`, since a checked plan has at most 999 here; a plan that skipped the check saturates.
    u64::try_from(u128::from(run.0) * u128::from(permille) / 1_000).unwrap_or(u64::MAX)
}

/// Uniform in `low..=high`; `low` where the range is empty.
fn between(draw: &mut SplitMix64, low: u64, high: u64) -> u64 {
    low + draw.below(high.saturating_sub(low).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plan(faults: &[(FaultKind, [u32; 2], [u32; 2])]) -> FaultPlan {
        let faults =
            faults.iter().map(|&(kind, start_permille, duration_us)| FaultSpec { kind, start_permille, duration_us });
        FaultPlan { name: "drawn".into(), about: "For tests.".into(), faults: faults.collect() }
    }

    fn any_plan() -> impl Strategy<Value = FaultPlan> {
        let fault = (0..5_usize, 0..1_000_u32, 0..1_000_u32, 100..10_000_001_u32, 100..10_000_001_u32);
        prop::collection::vec(fault, 1..=16).prop_map(|faults| {
            let faults: Vec<_> = faults
                .into_iter()
                .map(|(kind, a, b, c, d)| (FaultKind::ALL[kind], [a.min(b), a.max(b)], [c.min(d), c.max(d)]))
                .collect();
            plan(&faults)
        })
    }

    proptest! {
        /// SCEN-5
        #[test]
        fn a_schedule_repeats_and_stays_within_the_run(plan in any_plan(), seed in any::<u64>(), run in 1_u64..120_000_000_000) {
            prop_assert_eq!(plan.check(), Ok(()));
            let schedule = plan.draw(seed, Nanos(run));
            prop_assert_eq!(&schedule, &plan.draw(seed, Nanos(run)));
            prop_assert_eq!(schedule.strikes.len(), plan.faults.len());
            prop_assert!(schedule.strikes.is_sorted_by_key(|strike| strike.at));
            for strike in &schedule.strikes {
                prop_assert!(strike.at.0 + strike.duration.0 <= run, "{:?} in {}", strike, run);
            }
        }

        #[test]
        fn a_strike_comes_from_its_own_ranges(seed in any::<u64>()) {
            let strike = plan(&[(FaultKind::CpuHog, [200, 400], [1_000, 2_000])]).draw(seed, Nanos::from_millis(1_000)).strikes[0];
            prop_assert!((200_000_000..=400_000_000).contains(&strike.at.0));
            prop_assert!((1_000_000..=2_000_000).contains(&strike.duration.0));
        }
    }

    /// SCEN-5: the figures are part of the contract, since a printed seed must repeat a trial years later.
    #[test]
    fn a_seed_means_the_same_for_ever() {
        let plan = plan(&[
            (FaultKind::CpuHog, [100, 200], [5_000, 60_000]),
            (FaultKind::ConsumerPause, [300, 400], [2_000, 8_000]),
        ]);
        let drawn = |seed| {
            let strikes = plan.draw(seed, Nanos::from_millis(1_000)).strikes;
            strikes.iter().map(|s| (s.kind.name(), s.at.0, s.duration.0)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert_eq!(drawn(7), [("cpu_hog", 172_150_818, 40_733_739), ("consumer_pause", 350_910_934, 6_507_578)]);
    }

    #[test]
    fn a_fault_added_at_the_end_leaves_the_others_in_place() {
        let specs = [(FaultKind::CpuHog, [0, 100], [100, 900]), (FaultKind::ConsumerPause, [500, 900], [100, 900])];
        let (short, long) = (plan(&specs[..1]).draw(3, Nanos(1 << 30)), plan(&specs).draw(3, Nanos(1 << 30)));
        assert_eq!(short.strikes[0], long.strikes[0]);
    }

    #[test]
    fn a_range_upside_down_is_refused() {
        let error = plan(&[(FaultKind::CpuHog, [2, 1], [100, 100])]).check().expect_err("falls").to_string();
        assert_eq!(error, "faults[0].start_permille: found 2 before 1, expected two rising integers in 0..=999");
        assert!(plan(&[]).check().is_err());
    }

    #[test]
    fn the_names_are_those_of_the_documents() {
        for kind in FaultKind::ALL {
            assert_eq!(serde_json::to_string(&kind).expect("json"), format!("\"{kind}\""));
        }
    }
}
