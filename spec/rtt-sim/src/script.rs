//! What happens in one run: a list of lines, each with a seed of its own, so that a line can be left out and the others
//! still mean the same.

use crate::arms::Fault;
use rtt_units::SplitMix64;
use std::fmt;

/// One thing that somebody does, or that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A writer of the feed takes its next step: put an object under a lease, push the record that names it, wait for
    /// its acknowledgement, give the lease back.
    Append(u8),
    /// The feed begins to write its next group.
    Start,
    /// The feed is told what its group ended with.
    Finish,
    /// The planner takes its next step: put objects, have a plan applied, give the lease back.
    Plan,
    /// The putter puts a batch, and names it, leaves it or gives it up.
    Put,
    /// A collection, in whose middle others take steps.
    Collect,
    /// A scrub.
    Scrub,
    /// Somebody reads objects, whole and in part.
    Read,
    /// The clock goes on, or back.
    Clock,
    /// A fault waits for its request.
    Arm(Fault),
    /// A participant's call is cut off.
    StopCall,
    /// Everything ends between two requests; by the power or not.
    Crash(bool),
    /// Synced bits change.
    Rot,
    /// A record of the feed is rewritten with its digest, or the end of the reconciler's log is cut off.
    Forge,
}

/// One line of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// What happens.
    pub event: Event,
    /// What is drawn for it.
    pub seed: u64,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:016x}", self.event, self.seed)
    }
}

/// Writers of the feed.
pub const APPENDERS: u8 = 3;
/// Lines of work in one run, beside its faults and crashes.
const WORK: usize = 200;
/// What is drawn for a line of work, as often as it stands here.
const WEIGHTS: [(Event, u64); 11] = [
    (Event::Plan, 66),
    (Event::Append(0), 16),
    (Event::Append(1), 16),
    (Event::Append(2), 16),
    (Event::Start, 22),
    (Event::Finish, 22),
    (Event::Put, 12),
    (Event::Collect, 8),
    (Event::Read, 8),
    (Event::Clock, 10),
    (Event::Scrub, 2),
];
/// What goes wrong in a run: each with its chance in a hundred, up to three times.
const TROUBLES: [(Event, u64); 9] = [
    (Event::Arm(Fault::Eio), 24),
    (Event::Arm(Fault::Short), 24),
    (Event::Arm(Fault::Misdirected), 22),
    (Event::Arm(Fault::Full), 26),
    (Event::Arm(Fault::Slow), 30),
    (Event::Arm(Fault::PowerCut), 60),
    (Event::Arm(Fault::Kill), 45),
    (Event::Rot, 24),
    (Event::Forge, 18),
];
/// Times that each trouble may come in one run.
const TIMES: usize = 2;

/// The lines of one seed.
pub fn script(seed: u64) -> Vec<Line> {
    let mut draw = SplitMix64::new(seed);
    let total: u64 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let mut lines: Vec<Line> = (0..WORK)
        .map(|_| {
            let mut at = draw.below(total);
            let event = WEIGHTS.iter().find(|(_, weight)| {
                let found = at < *weight;
                at = at.saturating_sub(*weight);
                found
            });
            Line { event: event.expect("within the total").0, seed: draw.next_u64() }
        })
        .collect();
    let mut insert = |event: Event, draw: &mut SplitMix64| {
        let at = draw.below(lines.len() as u64 + 1) as usize;
        let seed = draw.next_u64();
        lines.insert(at, Line { event, seed });
    };
    for (event, percent) in TROUBLES {
        for _ in 0..TIMES {
            if draw.below(100) < percent {
                insert(event, &mut draw);
            }
        }
    }
    insert(Event::StopCall, &mut draw);
    // At least two crashes, whatever else strikes.
    insert(Event::Crash(true), &mut draw);
    let by_power = draw.coin();
    insert(Event::Crash(by_power), &mut draw);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_script_with_two_crashes_and_four_writers() {
        for seed in 0..100 {
            let lines = script(seed);
            assert_eq!(lines, script(seed));
            let count = |wanted: fn(&Event) -> bool| lines.iter().filter(|line| wanted(&line.event)).count();
            assert!(count(|event| matches!(event, Event::Crash(_))) >= 2);
            for writer in 0..APPENDERS {
                assert!(lines.iter().any(|line| line.event == Event::Append(writer)), "seed {seed}");
            }
            assert!(count(|event| *event == Event::Plan) >= 3 && count(|event| *event == Event::Put) >= 1);
        }
        assert_ne!(script(1), script(2));
    }
}
