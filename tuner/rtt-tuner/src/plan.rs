//! What a run is going to do: how many points, runs and pairs, and what that costs in time.
//!
//! The plan is made once, from the hello and the budget, and kept beside the log: a resumed run follows the plan that
//! it began with.

use crate::confirm::{FAULTED_EVERY, PAIRS_MIN as PAIRS_LEAST};
use crate::finals::STAGES;
use crate::objective::Condition;
use crate::output::Plan;
use rtt_measure::{Hello, ScenarioRef, Stop};
use rtt_seal::near_name;
use std::time::Duration;

/// Scenarios of a run that names none.
const SCENARIOS: [&str; 3] = ["steady", "burst", "busy"];
/// Scenario of a quick run that names none.
const SCENARIO_QUICK: &str = "steady";
/// Longest calm run of the search, in milliseconds: twenty slices of which each has hundreds of messages.
const CALM_MS: u64 = 500;
/// Calm runs of points that take turns: short, so that what is compared lies close together in time. A host changes from second
/// to second, and there is a start of a process between two of them.
const TURN_MS: u64 = 125;
/// Shortest run that is planned.
const SHORTEST_MS: u64 = 250;
/// Longest run under faults: the fault plans leave each fault the stage to itself in a second.
const FAULTED_MS: u64 = 1000;
/// Points, placebo runs and pairs of a quick run: most.
const QUICK: (usize, usize, u32) = (32, 4, 400);
/// The same of a full run.
const FULL: (usize, usize, u32) = (60, 8, 600);
/// Points below which no model is worth its name.
const POINTS_MIN: usize = 6;
/// Shares of the budget for the search and for the finalists' rounds: the rest is the confirmation's.
const SEARCH: f64 = 0.35;
const FINALS: f64 = 0.15;
/// Share of the budget after which the confirmation leaves what is left to the comparison with the best preset.
pub(crate) const CONFIRMED: f64 = 0.97;

/// The wishes that a plan is made of.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    pub(crate) quick: bool,
    pub(crate) scenarios: Vec<String>,
    pub(crate) faults: bool,
    pub(crate) budget_ms: u64,
}

impl Plan {
    /// Plans for the problem of `hello`.
    ///
    /// # Errors
    /// A stop for a scenario that the problem does not have, or a budget that is too small for any search.
    pub(crate) fn make(hello: &Hello, wishes: &Wishes) -> Result<Plan, Stop> {
        let scenarios = choose(hello, wishes)?;
        let faults = hello.faults.first().filter(|_| wishes.faults).map(|plan| plan.name.clone());
        let runs = scenarios.len().max(1) as u64;
        let overhead = u64::from(hello.overhead_ms.unwrap_or(0));
        let (points_max, placebo, pairs_max) = if wishes.quick { QUICK } else { FULL };
        // A small budget has shorter runs, not fewer pairs than a clear case takes.
        let length = (wishes.budget_ms / (runs * 150)).saturating_sub(overhead).clamp(SHORTEST_MS, CALM_MS);
        let share = |ms: u64| {
            let of = |scenario: &ScenarioRef| (ms as f64 / f64::from(scenario.duration_ms.max(1))).min(1.0);
            if scenarios.is_empty() { vec![1.0] } else { scenarios.iter().map(of).collect() }
        };
        let longest = scenarios.iter().map(|scenario| u64::from(scenario.duration_ms)).max().unwrap_or(0);
        let run_ms = |ms: u64| if scenarios.is_empty() { 0 } else { runs * (ms.min(longest) + overhead) };
        let faulted_ms = if faults.is_some() { run_ms(FAULTED_MS) } else { 0 };
        let mut plan = Plan {
            shares: share(length),
            turn_shares: share(TURN_MS),
            faulted_shares: if faults.is_some() { share(FAULTED_MS) } else { vec![] },
            faults,
            points: points_max,
            random: if wishes.quick { 0 } else { points_max },
            placebo,
            pairs_max,
            budget_ms: wishes.budget_ms,
            point_ms: run_ms(length),
            turn_ms: run_ms(TURN_MS),
            pair_ms: 2 * (run_ms(TURN_MS) + faulted_ms / u64::from(FAULTED_EVERY)),
            estimate_ms: (0, 0),
            scenarios,
        };
        plan.fit_in(hello.presets.len())?;
        Ok(plan)
    }

    /// Points of a whole run beside those of the search: incumbent, default, placebo, presets.
    pub(crate) fn others(&self, presets: usize) -> usize {
        2 + self.placebo + presets
    }

    /// Measurements of the finalists.
    pub(crate) fn finals(&self) -> usize {
        let mut left = self.points;
        let stage = |(field, rounds): (usize, u32)| {
            left = left.min(field);
            left * rounds as usize
        };
        STAGES.into_iter().map(stage).sum()
    }

    /// Cuts the numbers down to what the budget holds.
    fn fit_in(&mut self, presets: usize) -> Result<(), Stop> {
        let others = self.others(presets);
        let search_ms = (self.budget_ms as f64 * SEARCH) as u64;
        if let Some(affordable) = search_ms.checked_div(self.point_ms) {
            let search = (affordable as usize).saturating_sub(others);
            // What random search takes is taken from the search's own.
            let search = if self.random > 0 { search / 2 } else { search };
            self.points = self.points.min(search);
            self.random = self.random.min(self.points);
        }
        if self.points < POINTS_MIN {
            let needed = self.point_ms * (others + 2 * POINTS_MIN) as u64;
            let needed = (needed as f64 / SEARCH / 60_000.0).ceil();
            return Err(Stop::usage(format!(
                "--budget {} holds {} points: a search needs {POINTS_MIN}, and a confirmation its pairs; give about {needed}m, \
                 or fewer scenarios",
                minutes(self.budget_ms),
                self.points
            )));
        }
        let certain = self.point_ms * (others + self.points + self.random) as u64 + self.turn_ms * self.finals() as u64;
        let pairs = |count: u32| self.pair_ms * u64::from(count);
        let within = |ms: u64| ms.min(self.budget_ms);
        self.estimate_ms = (within(certain + pairs(PAIRS_LEAST)), within(certain + pairs(self.pairs_max)));
        Ok(())
    }

    /// Until when points of the search may begin, those of random search, and rounds of the finalists.
    pub(crate) fn deadlines(&self) -> [Duration; 3] {
        let budget = Duration::from_millis(self.budget_ms);
        let search = if self.random > 0 { SEARCH * 0.55 } else { SEARCH };
        [search, SEARCH, SEARCH + FINALS].map(|share| budget.mul_f64(share))
    }

    /// The runs that every point goes through; `hello` is the one that the plan was made for.
    ///
    /// # Errors
    /// A stop when a scenario or fault plan is no longer there.
    pub(crate) fn conditions(&self, hello: &Hello) -> Result<Vec<Condition>, Stop> {
        if self.scenarios.is_empty() {
            return Ok(vec![Condition { scenario: None, faults: None, share: 1.0, turn_share: 1.0 }]);
        }
        let plan =
            match &self.faults {
                None => None,
                Some(name) => {
                    let found = hello.faults.iter().find(|plan| &plan.name == name);
                    Some(found.ok_or_else(|| {
                        Stop::usage(format!("the fault plan `{name}` of this run is no longer there"))
                    })?)
                }
            };
        let mut conditions = Vec::new();
        for (index, scenario) in self.scenarios.iter().enumerate() {
            if !hello.scenarios.contains(scenario) {
                let name = &scenario.name;
                return Err(Stop::usage(format!(
                    "scenario `{name}` of this run has changed or is gone; start a new run"
                )));
            }
            let calm = Condition {
                scenario: Some(scenario.name.clone()),
                faults: None,
                share: self.shares[index],
                turn_share: self.turn_shares[index],
            };
            conditions.push(calm.clone());
            let share = self.faulted_shares.get(index).copied().unwrap_or(1.0);
            conditions.extend(plan.map(|plan| Condition {
                faults: Some(plan.digest),
                share,
                turn_share: share,
                ..calm
            }));
        }
        Ok(conditions)
    }

    /// The objective in words.
    pub(crate) fn objective(&self) -> String {
        let names: Vec<&str> = self.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
        match (names.is_empty(), &self.faults) {
            (true, _) => "p99".into(),
            (false, None) => format!("geometric mean of the typical p99 over {}", names.join(", ")),
            (false, Some(faults)) => format!(
                "geometric mean of the typical p99 over {}; beside it, and never mixed in, the time to recover under fault plan \
                 {faults}",
                names.join(", ")
            ),
        }
    }

    /// What a quick run with this budget of the user's cannot use, in words: its points and pairs are bounded.
    pub(crate) fn unused(&self) -> Option<String> {
        let (_, most) = self.estimate_ms;
        // Less than a point's time is what rounding leaves.
        (self.random == 0 && self.point_ms > 0 && most + self.point_ms < self.budget_ms).then(|| {
            format!(
                "the quick plan needs {} at most; --budget {} buys nothing more but time for disturbed runs; without \
                 --quick it does",
                minutes(most),
                minutes(self.budget_ms)
            )
        })
    }

    /// The plan in lines, for people. A simulated problem answers in its own time, whatever its runs stand for.
    pub(crate) fn lines(&self, simulated: bool) -> Vec<String> {
        let mut lines = vec![format!("objective   {}", self.objective())];
        let random = if self.random > 0 { format!(", {} of random search", self.random) } else { String::new() };
        lines.push(format!(
            "points      {} by the model{random}, the presets; {} placebo runs; {} runs of the best few; at most {} pairs",
            self.points,
            self.placebo,
            self.finals(),
            self.pairs_max
        ));
        if self.point_ms > 0 {
            let runs = self.shares.len();
            let (least, most) = self.estimate_ms;
            if simulated {
                lines
                    .push(format!("time        as long as the simulated problem takes to answer: {runs} runs a point"));
                return lines;
            }
            lines.push(format!(
                "time        {} to {} of measuring: {:.1} s a point, {:.1} s a pair; the budget is {}",
                minutes(least),
                minutes(most),
                self.point_ms as f64 / 1000.0,
                self.pair_ms as f64 / 1000.0,
                minutes(self.budget_ms)
            ));
        }
        lines
    }
}

/// Milliseconds as minutes and seconds.
pub(crate) fn minutes(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {:02} s", seconds / 60, seconds % 60) }
}

fn choose(hello: &Hello, wishes: &Wishes) -> Result<Vec<ScenarioRef>, Stop> {
    if hello.scenarios.is_empty() {
        if wishes.scenarios.is_empty() {
            return Ok(vec![]);
        }
        return Err(Stop::usage(format!("--scenario: problem {} has no scenarios", hello.name)));
    }
    let defaults: &[&str] = if wishes.quick { &[SCENARIO_QUICK] } else { &SCENARIOS };
    let wanted: Vec<&str> = match wishes.scenarios.as_slice() {
        [] => defaults.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    let mut chosen: Vec<ScenarioRef> = Vec::new();
    for name in wanted {
        let Some(scenario) = hello.scenarios.iter().find(|scenario| scenario.name == name) else {
            let names: Vec<&str> = hello.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
            let near = near_name(name, names.iter().copied());
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(Stop::usage(format!(
                "--scenario {name}: there is none of this name{near}; there are {}",
                names.join(", ")
            )));
        };
        if !chosen.contains(scenario) {
            chosen.push(scenario.clone());
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtt_measure::Named;
    use rtt_seal::Digest;

    fn hello() -> Hello {
        let named = |name: &str| Named { name: name.into(), digest: Digest::of(name.as_bytes()) };
        let scenario = |name: &str| ScenarioRef {
            name: name.into(),
            digest: named(name).digest,
            duration_ms: 5000,
            budgeted: false,
        };
        let mut hello: Hello = serde_json::from_str(r#"{"name": "p", "axes": []}"#).expect("a hello");
        hello.scenarios = ["ping_pong", "steady", "burst", "busy"].map(scenario).into();
        hello.faults = vec![named("storm")];
        hello.overhead_ms = Some(300);
        hello
    }

    fn plan(quick: bool, faults: bool, minutes: u64, scenarios: &[&str]) -> Result<Plan, String> {
        let scenarios = scenarios.iter().map(|&name| name.into()).collect();
        let wishes = Wishes { quick, scenarios, faults, budget_ms: minutes * 60_000 };
        Plan::make(&hello(), &wishes).map_err(|stop| stop.message)
    }

    #[test]
    fn a_quick_run_keeps_its_bounds_and_its_budget() {
        for faults in [true, false] {
            let plan = plan(true, faults, 3, &[]).expect("a plan");
            assert!((20..=32).contains(&plan.points) && plan.placebo == 4 && plan.pairs_max == 400, "{plan:?}");
            assert!(plan.estimate_ms.1 <= 180_000 && plan.shares[0] * 5000.0 <= 500.0, "{plan:?}");
            assert_eq!((plan.random, plan.scenarios.len(), plan.faulted_shares.len()), (0, 1, usize::from(faults)));
            let before_pairs =
                plan.point_ms * (plan.others(3) + plan.points) as u64 + plan.turn_ms * plan.finals() as u64;
            assert!(before_pairs + 80 * plan.pair_ms <= 180_000, "time for eighty pairs: {plan:?}");
        }
    }

    #[test]
    fn a_budget_that_a_quick_run_cannot_use_is_told() {
        let said = |quick, minutes| plan(quick, true, minutes, &[]).expect("a plan").unused();
        let told = said(true, 20).expect("a warning");
        assert!(
            told.starts_with("the quick plan needs ") && told.contains("; --budget 20 min 00 s buys nothing"),
            "{told}"
        );
        assert_eq!((said(true, 2), said(false, 20)), (None, None));
    }

    #[test]
    fn a_simulated_run_is_promised_no_time() {
        let plan = plan(false, true, 15, &[]).expect("a plan");
        let [real, simulated] = [false, true].map(|simulated| plan.lines(simulated).join("\n"));
        assert!(
            real.contains("of measuring: ") && real.contains(" s a pair") && !simulated.contains(" min "),
            "{real}\n{simulated}"
        );
    }

    #[test]
    fn a_full_run_searches_compares_and_keeps_time_for_pairs() {
        let plan = plan(false, true, 15, &[]).expect("a plan");
        assert_eq!(plan.scenarios.len(), 3);
        assert!(plan.points >= 16 && plan.random == plan.points, "{plan:?}");
        let searched =
            plan.point_ms * (plan.others(3) + plan.points + plan.random) as u64 + plan.turn_ms * plan.finals() as u64;
        assert!(searched + 80 * plan.pair_ms <= plan.budget_ms, "{plan:?}");
    }

    #[test]
    fn what_cannot_be_is_refused_in_words() {
        assert!(plan(false, true, 0, &[]).is_err_and(|e| e.contains("a search needs")));
        assert!(plan(true, true, 3, &["steedy"]).is_err_and(|e| e.contains("did you mean `steady`?")));
        assert_eq!(plan(true, true, 3, &["busy", "busy"]).expect("a plan").scenarios.len(), 1);
    }

    #[test]
    fn conditions_pair_calm_with_faulted() {
        let plan = plan(true, true, 3, &["steady", "busy"]).expect("a plan");
        let conditions = plan.conditions(&hello()).expect("conditions");
        let faulted: Vec<bool> = conditions.iter().map(|condition| condition.faults.is_some()).collect();
        assert_eq!(faulted, [false, true, false, true]);
        assert!(conditions[1].share > conditions[0].share, "a run under faults leaves each the stage to itself");
        let mut other = hello();
        other.scenarios[1].digest = Digest::of(b"changed");
        assert!(plan.conditions(&other).is_err());
    }
}
