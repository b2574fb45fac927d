//! How fast a scenario burns its error budget: the share of runs that miss the objective, over what may.
//!
//! An event is a settled run; it is bad when its p99 lies above the scenario's budget by the gate's own rule
//! ([`LatencyBudget`]): nanoseconds where the objective names the machine, elsewhere a multiple of the limit that the
//! run's own probes measured. The gate asks whether the interval over runs lies beyond the budget, this counts runs.
//! Every file of the data set's format has the probes (`regime_before_ns`, `regime_after_ns`), so no older data set has
//! to be made anew; a row without them is judged by the limit at the start of its log, as the gate does.
//!
//! Three rules, each with a long and a short window that must both burn: the long one says that it matters, the short
//! one that it still goes on.
//!
//! Source: Beyer et al. 2018, The Site Reliability Workbook, chapter 5, "Alerting on SLOs", table 5-8.

use super::output::{Burn, BurnRule, BurnWindow};
use rtt_scenario::LatencyBudget;

/// Share of runs that shall meet the objective.
pub const TARGET: f64 = 0.99;
/// The time over which the budget is meant.
pub const BUDGET_S: u64 = 30 * 86_400;
/// Burn rate, and the long and the short window in seconds.
const RULES: [(f64, u64, u64); 3] = [(14.4, 3_600, 300), (6.0, 21_600, 1_800), (1.0, 259_200, 21_600)];

/// Runs of one scenario on one machine, counted by window. Runs themselves are not kept.
#[derive(Clone, Debug)]
pub(crate) struct BurnCount {
    now_unix_s: u64,
    /// Budget of p99; absent where the scenario has no objective.
    budget: Option<LatencyBudget>,
    /// Seconds, runs, and bad runs of each window: the budget's, then those of the rules.
    windows: Vec<(u64, u64, u64)>,
    /// Runs that the budget cannot judge, since neither their probes nor their log have a limit.
    without_limit: u64,
}

impl BurnCount {
    /// No run yet; windows end at `now_unix_s`.
    pub(crate) fn new(now_unix_s: u64, budget: Option<LatencyBudget>) -> BurnCount {
        let rules = RULES.iter().flat_map(|(_, long_s, short_s)| [*long_s, *short_s]);
        let windows = [BUDGET_S].into_iter().chain(rules).map(|seconds| (seconds, 0, 0)).collect();
        BurnCount { now_unix_s, budget, windows, without_limit: 0 }
    }

    /// Counts a settled run that ended at `unix_s`. A run in the future is in no window.
    pub(crate) fn add(&mut self, unix_s: u64, p99_ns: u64, limit_ns: Option<f64>) {
        let (Some(age_s), Some(budget)) = (self.now_unix_s.checked_sub(unix_s), self.budget) else { return };
        if age_s >= BUDGET_S {
            return;
        }
        let Some(found) = budget.found(p99_ns, limit_ns) else {
            self.without_limit += 1;
            return;
        };
        let bad = found > budget.at_most();
        for (seconds, runs, bad_runs) in &mut self.windows {
            if age_s < *seconds {
                *runs += 1;
                *bad_runs += u64::from(bad);
            }
        }
    }

    /// What the counts say; nothing where the scenario has no objective.
    pub(crate) fn burn(&self) -> Option<Burn> {
        let (p99_ns, p99_permille_of_limit) = match self.budget? {
            LatencyBudget::Nanos(ns) => (Some(ns), None),
            LatencyBudget::PermilleOfLimit(permille) => (None, Some(permille)),
        };
        let budget = window(self.windows[0]);
        let rules = RULES.iter().zip(self.windows[1..].chunks(2)).map(|((factor, ..), pair)| {
            let (long, short) = (window(pair[0]), window(pair[1]));
            let both = long.burn_rate.zip(short.burn_rate);
            let burns = both.map(|(long, short)| long > *factor && short > *factor);
            BurnRule { factor: *factor, burns, long, short }
        });
        Some(Burn {
            target: TARGET,
            p99_ns,
            p99_permille_of_limit,
            rules: rules.collect(),
            // Over the whole of its time, a burn rate is the share of the budget that is spent.
            budget_spent: budget.burn_rate,
            budget,
            runs_without_limit: self.without_limit,
        })
    }
}

fn window((seconds, runs, bad): (u64, u64, u64)) -> BurnWindow {
    let burn_rate = (runs > 0).then(|| bad as f64 / runs as f64 / (1.0 - TARGET));
    BurnWindow { seconds, runs, bad, burn_rate }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_392_000;

    /// Runs as `age in seconds` and whether each is bad; what is expected of the three rules.
    fn check(runs: &[(u64, bool)], expected: [Option<bool>; 3]) -> Burn {
        let mut count = BurnCount::new(NOW, Some(LatencyBudget::PermilleOfLimit(3_000)));
        for (age_s, bad) in runs {
            count.add(NOW - age_s, if *bad { 301 } else { 300 }, Some(100.0));
        }
        let burn = count.burn().expect("a budget");
        let burns: Vec<_> = burn.rules.iter().map(|rule| rule.burns).collect();
        assert_eq!(burns, expected, "{runs:?}");
        burn
    }

    #[test]
    fn both_windows_must_burn() {
        check(&[], [None; 3]);
        check(&[(10, false)], [Some(false); 3]);
        check(&[(10, true)], [Some(true); 3]);
        // It was bad, and is no more: the short windows say so.
        check(&[(10, false), (2_000, true), (3_000, true)], [Some(false), Some(false), Some(true)]);
        // Bad an hour ago, nothing since: the windows of five and of thirty minutes have no run.
        check(&[(3_500, true)], [None, None, Some(true)]);
    }

    #[test]
    fn windows_end_where_they_say_and_the_budget_is_a_month() {
        let month = BUDGET_S - 1;
        let burn = check(
            &[(299, false), (300, true), (month, false), (month + 1, true)],
            [Some(false), Some(true), Some(true)],
        );
        let counts = |window: &BurnWindow| (window.runs, window.bad);
        assert_eq!(counts(&burn.budget), (3, 1));
        assert_eq!(counts(&burn.rules[0].long), (2, 1));
        assert_eq!(counts(&burn.rules[0].short), (1, 0));
        let spent = burn.budget_spent.expect("runs");
        assert!((spent - 100.0 / 3.0).abs() < 1e-9, "{spent}");
    }

    #[test]
    fn runs_that_cannot_be_judged_are_not_judged() {
        let told = |budget| {
            let mut count = BurnCount::new(NOW, Some(budget));
            count.add(NOW - 1, u64::MAX, None);
            count.add(NOW + 1, u64::MAX, Some(1.0));
            let burn = count.burn().expect("a budget");
            let (p99, counted) = ((burn.p99_ns, burn.p99_permille_of_limit), (burn.budget.runs, burn.budget.bad));
            (p99, counted, burn.runs_without_limit)
        };
        assert_eq!(told(LatencyBudget::PermilleOfLimit(3_000)), ((None, Some(3_000)), (0, 0), 1));
        assert_eq!(told(LatencyBudget::Nanos(9)), ((Some(9), None), (1, 1), 0), "nanoseconds need no limit");
        assert!(BurnCount::new(NOW, None).burn().is_none());
    }
}
