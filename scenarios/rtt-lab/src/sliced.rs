//! What the slices of one run say: which of them are judged, what is typical of them, and what the faults came to.
//!
//! LAB-5  A slice in which the host held the generator up is left out, by a rule that knows nothing of the arm: its 99th
//!        percentile from the intended time and the one with the generator's own lag taken out differ by more than a
//!        tenth, by more than one wake-up costs on this host, and by more than the time of four messages. Below that the lag is
//!        out of the result all the same, and what went out late made no burst: a timer tick costs tens of microseconds on a
//!        virtual machine, and no slice would be left. What the endpoint itself held up is no lag (LAB-3), so no set of
//!        knobs gains by starving the generator.
//! LAB-8  A run of which fewer than half of the judged slices are kept is void: what is left is too little of it.

use hdrhistogram::Histogram;
use rtt_measure::{Disruption, StrikeProof, typical_p99};
use rtt_runtime::telemetry::SLICES;
use rtt_units::Nanos;

/// Most that the two 99th percentiles may differ, as a share of the smaller.
const LAG_MAX: f64 = 0.10;
/// Messages that may go out at once without being a burst.
const BURST: u64 = 4;
/// Fewest slices that a typical p99 is drawn from.
const KEPT_MIN: usize = 3;
/// Fewest samples that a slice's 99th percentile is taken from; a short run has fewer and longer slices for it.
const SAMPLES_MIN: u64 = 400;
/// How many slices of the endpoint's telemetry may be taken together.
const TOGETHER: [usize; 5] = [1, 2, 4, 5, 10];
/// The budget under faults, as a multiple of the calm level.
const BUDGET: u64 = 2;

/// LAB-5: the least lag that counts, where messages are `spacing` apart.
pub fn least_lag(wake_cost: Nanos, spacing: Nanos) -> Nanos {
    wake_cost.max(Nanos(spacing.0.saturating_mul(BURST)))
}

/// LAB-5: whether the generator's own lag moved a 99th percentile, by more than `least`.
pub fn lags(p99: u64, lag_free_p99: u64, least: Nanos) -> bool {
    let difference = p99.abs_diff(lag_free_p99);
    difference > least.0 && difference as f64 > p99.min(lag_free_p99) as f64 * LAG_MAX
}

/// Slices that a strike falls into.
pub fn struck_slices(strikes: &[StrikeProof], length: Nanos) -> [bool; SLICES] {
    let slice = (length.0 / SLICES as u64).max(1);
    let mut struck = [false; SLICES];
    for strike in strikes {
        let from = strike.struck_at_ns.unwrap_or(strike.at_ns) / slice;
        let to = strike.ended_at_ns.unwrap_or(strike.at_ns + strike.duration_ns) / slice;
        for index in from..=to.min(SLICES as u64 - 1) {
            if let Some(slot) = struck.get_mut(index as usize) {
                *slot = true;
            }
        }
    }
    struck
}

/// The slices that are judged, sorted out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// Slices that the typical p99 is drawn from.
    pub slices: Vec<u32>,
    /// Slices that were left out for the generator's lag.
    pub held_up: u32,
    /// The typical p99 in nanoseconds; absent where too few slices are kept (LAB-8).
    pub typical_ns_p99: Option<u64>,
}

/// How many slices of the telemetry are taken together, so that each has samples enough for a 99th percentile.
pub fn together(samples: u64) -> usize {
    let enough = |&&count: &&usize| samples / SLICES as u64 * count as u64 >= SAMPLES_MIN;
    TOGETHER.iter().find(enough).copied().unwrap_or(TOGETHER[TOGETHER.len() - 1])
}

/// The slices of a run as they are judged: `count` of the telemetry's each.
pub fn merged(slices: &[Histogram<u64>], count: usize) -> Vec<Histogram<u64>> {
    let sum = |part: &[Histogram<u64>]| {
        let mut whole = Histogram::new(3).expect("three digits");
        part.iter().for_each(|slice| whole.add(slice).expect("the sum resizes"));
        whole
    };
    slices.chunks(count).map(sum).collect()
}

/// LAB-5 and LAB-8: sorts out the slices. `lag_free` and `with_lag` are the 99th percentiles of all of them, 0 where one has no
/// sample; those of `spoilt`, by warm-up or a strike, are not judged.
pub fn keep(lag_free: &[u64], with_lag: &[u64], spoilt: &[bool], least_lag: Nanos) -> Kept {
    let mut kept = Kept::default();
    for index in 0..lag_free.len() {
        if spoilt[index] || lag_free[index] == 0 {
            continue;
        }
        // LAB-5: nothing of the arm is asked for.
        match lags(with_lag[index], lag_free[index], least_lag) {
            true => kept.held_up += 1,
            false => kept.slices.push(index as u32),
        }
    }
    let figures: Vec<u64> = kept.slices.iter().map(|&index| lag_free[index as usize]).collect();
    // LAB-8
    let enough = figures.len() >= KEPT_MIN && figures.len() >= kept.held_up as usize;
    kept.typical_ns_p99 = typical_p99(&figures).filter(|_| enough).map(|ns| ns.round() as u64);
    kept
}

/// What the faults came to, in the slices with a strike and the one after each: `lag_free` has all slices, `calm` is the
/// typical p99 of the others, `spacing` the mean time between two messages.
pub fn disruption(
    lag_free: &[Histogram<u64>],
    struck: &[bool; SLICES],
    strikes: &[StrikeProof],
    calm: u64,
    spacing: Nanos,
    wake_cost: Nanos,
) -> Disruption {
    let budget = (calm * BUDGET).max(calm + wake_cost.0);
    let touched = (0..lag_free.len()).filter(|&index| struck[index] || index > 0 && struck[index - 1]);
    let (mut over, mut excess, mut messages) = (0_u64, 0.0, 0_u64);
    for index in touched {
        messages += lag_free[index].len();
        for value in lag_free[index].iter_recorded() {
            let (latency, count) = (value.value_iterated_to(), value.count_at_value());
            over += if latency > budget { count } else { 0 };
            excess += latency.saturating_sub(calm) as f64 * count as f64;
        }
    }
    let stopped = |strike: &StrikeProof| {
        let (from, to) = strike.struck_at_ns.zip(strike.ended_at_ns).filter(|_| strike.fault == "consumer_pause")?;
        Some(to.saturating_sub(from))
    };
    let stopped: u64 = strikes.iter().filter_map(stopped).sum();
    Disruption {
        calm_ns_p99: calm,
        budget_ns: budget,
        over_budget: over,
        recovery_ns: (over * spacing.0).saturating_sub(stopped).max(spacing.0).max(1),
        excess_ns_mean: (excess / messages.max(1) as f64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LAB-5
    #[test]
    fn lag_counts_beyond_a_tenth_and_beyond_the_cost_of_a_wake_up() {
        let check = |p99, lag_free, wake, left_out| assert_eq!(lags(p99, lag_free, Nanos(wake)), left_out, "{p99}");
        check(5_000, 700, 4_300, false);
        check(5_000, 700, 4_299, true);
        check(109_000, 100_000, 20, false);
        check(111_000, 100_000, 20, true);
        check(100_000_000, 50_000_000, 60_000, true);
    }

    #[test]
    fn a_few_messages_at_once_are_no_lag() {
        assert_eq!(least_lag(Nanos(60_000), Nanos(1_000)), Nanos(60_000));
        assert_eq!(least_lag(Nanos(20_000), Nanos(50_000)), Nanos(200_000));
    }

    /// LAB-5 and LAB-8: slices where the generator was late are left out one by one, and a run of which they are most has no
    /// typical p99.
    #[test]
    fn a_held_up_generator_costs_slices_and_at_last_the_run() {
        let lag_free = [500_u64; SLICES];
        for late in 0..=SLICES {
            let mut with_lag = lag_free;
            with_lag[..late].fill(5_000_000);
            let kept = keep(&lag_free, &with_lag, &[false; SLICES], Nanos(60_000));
            assert_eq!((kept.held_up as usize, kept.slices.len()), (late, SLICES - late));
            assert_eq!(kept.typical_ns_p99, (late <= SLICES / 2).then_some(500), "{late} slices");
        }
        // What the endpoint kept the generator from is latency in both stamps, and stays.
        let starved = [5_000_000_u64; SLICES];
        let kept = keep(&starved, &starved, &[false; SLICES], Nanos(60_000));
        assert_eq!((kept.held_up, kept.typical_ns_p99), (0, Some(5_000_000)));
    }

    #[test]
    fn warm_up_strikes_and_empty_slices_are_not_judged() {
        let mut lag_free = [700_u64; SLICES];
        lag_free[4] = 0;
        let mut spoilt = [false; SLICES];
        spoilt[..2].fill(true);
        spoilt[10..12].fill(true);
        let kept = keep(&lag_free, &lag_free, &spoilt, Nanos(1));
        assert_eq!(kept.slices.len(), SLICES - 2 - 1 - 2);
        assert!([0, 1, 4, 10, 11].iter().all(|index| !kept.slices.contains(index)));
    }

    /// A run of an eighth of a second has five slices of five hundred messages, one of a second all twenty.
    #[test]
    fn short_runs_have_fewer_slices_with_samples_enough() {
        for (samples, count) in [(20_000, 1), (10_000, 1), (4_000, 2), (2_500, 4), (1_600, 5), (900, 10), (3, 10)] {
            assert_eq!(together(samples), count, "{samples} samples");
        }
        let mut slice = Histogram::<u64>::new(3).expect("three digits");
        slice.record(7).expect("in range");
        let merged = merged(&vec![slice; SLICES], 4);
        assert_eq!(merged.iter().map(Histogram::len).collect::<Vec<_>>(), [4; 5]);
    }

    /// Two pauses of 5 ms at 20,000 messages a second, after which the endpoint needs 40 messages' time to come back.
    #[test]
    fn the_pause_itself_is_no_recovery() {
        let strike = |at_ms: u64| StrikeProof {
            fault: "consumer_pause".into(),
            at_ns: at_ms * 1_000_000,
            duration_ns: 5_000_000,
            struck_at_ns: Some(at_ms * 1_000_000),
            ended_at_ns: Some((at_ms + 5) * 1_000_000),
            proof: String::new(),
        };
        let strikes = [strike(110), strike(410)];
        let length = Nanos::from_millis(1000);
        let struck = struck_slices(&strikes, length);
        assert_eq!(struck.iter().filter(|struck| **struck).count(), 2);
        let mut slices = vec![Histogram::<u64>::new(3).expect("three digits"); SLICES];
        for (index, slice) in slices.iter_mut().enumerate() {
            let late = if struck[index] { 140 } else { 0 };
            slice.record_n(900, 1000 - late).expect("in range");
            slice.record_n(3_000_000, late.max(1)).expect("in range");
        }
        let found = disruption(&slices, &struck, &strikes, 1_000, Nanos::from_micros(50), Nanos(60_000));
        // The slice after each strike is looked at too.
        assert_eq!((found.over_budget, found.budget_ns), (282, 61_000));
        assert_eq!(found.recovery_ns, 282 * 50_000 - 10_000_000);
        assert!(found.excess_ns_mean > 200_000, "{found:?}");
        let nothing = disruption(&slices, &[false; SLICES], &[], 1_000, Nanos::from_micros(50), Nanos(60_000));
        assert_eq!((nothing.over_budget, nothing.recovery_ns), (0, 50_000));
    }
}
