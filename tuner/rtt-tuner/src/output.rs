//! Every JSON form that the tuner writes: requests to a problem, `run.json`, and what `--json` prints.

use rtt_measure::{ArmsP99, Interval, Outcome, Point, ScenarioRef};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What the user asked for, as far as it decides what is measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) scenario: Vec<String>,
    pub(crate) budget_ms: Option<u64>,
    pub(crate) fix: Vec<String>,
    pub(crate) sweep: Vec<String>,
    pub(crate) cpus: Option<String>,
    pub(crate) no_faults: bool,
    #[serde(default)]
    pub(crate) alike: bool,
    pub(crate) simulate: Vec<String>,
    /// A decimal string: it may exceed 2^53.
    pub(crate) seed: Option<String>,
}

impl Options {
    /// Whether the problem keeps a trial log, which is what a run is resumed from: the lab does, and a simulated one,
    /// which is a program with `serve` as its first word. A base problem answers and forgets.
    pub(crate) fn keeps_log(&self) -> bool {
        self.simulate.is_empty() || self.simulate.get(1).is_some_and(|word| word == "serve")
    }
}

/// `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begun {
    pub(crate) version: u32,
    pub(crate) options: Options,
    /// The seed that was drawn or given.
    pub(crate) seed: String,
    pub(crate) plan: Plan,
    /// The incumbent, and where it came from.
    pub(crate) incumbent: Point,
    pub(crate) incumbent_origin: String,
    /// What had to be said about it.
    pub(crate) notes: Vec<String>,
}

/// What a run is going to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// Names and digests of the scenarios; empty for a base problem.
    pub(crate) scenarios: Vec<ScenarioRef>,
    /// Shares of a full run, scenario by scenario, of calm runs; one 1.0 for a base problem.
    pub(crate) shares: Vec<f64>,
    /// The same of calm runs of points that take turns: finalists and pairs.
    pub(crate) turn_shares: Vec<f64>,
    /// The same of runs under faults.
    pub(crate) faulted_shares: Vec<f64>,
    /// Name of the fault plan; absent for calm runs only.
    pub(crate) faults: Option<String>,
    /// Points that the model proposes, its first design included.
    pub(crate) points: usize,
    /// Points of random search, for comparison.
    pub(crate) random: usize,
    /// Runs of the placebo.
    pub(crate) placebo: usize,
    /// Most pairs.
    pub(crate) pairs_max: u32,
    /// Measuring time in milliseconds.
    pub(crate) budget_ms: u64,
    /// What measuring one point takes, in milliseconds: 0 where the problem does not tell.
    pub(crate) point_ms: u64,
    /// What measuring one finalist once takes.
    pub(crate) turn_ms: u64,
    /// What one calm pair takes, with its part of those under faults.
    pub(crate) pair_ms: u64,
    /// Least and most measuring time that the plan takes, in milliseconds.
    pub(crate) estimate_ms: (u64, u64),
}

/// One row of the result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) problem: String,
    pub(crate) solver: &'static str,
    pub(crate) evals: usize,
    /// Searches that the row is over; for one problem, one for each seed.
    #[serde(rename = "seeds")]
    pub(crate) searches: u64,
    pub(crate) median: f64,
    pub(crate) mean: f64,
    pub(crate) p90: f64,
    /// By problem and seed, the same order for every solver.
    pub(crate) regrets: Vec<f64>,
}

/// What `--dry-run --json` prints.
#[derive(Serialize)]
pub(crate) struct Planned<'a> {
    pub(crate) version: u32,
    pub(crate) dry_run: bool,
    pub(crate) seed: &'a str,
    pub(crate) plan: &'a Plan,
    pub(crate) incumbent: &'a Point,
    pub(crate) incumbent_origin: &'a str,
    pub(crate) notes: &'a [String],
    /// Trials that the log of a run to resume holds.
    pub(crate) known: usize,
}

/// What `--json` prints. `p99_ns` is in nanoseconds where `unit` is `ns`, else in the simulated problem's own unit.
#[derive(Serialize)]
pub(crate) struct Printed<'a> {
    pub(crate) version: u32,
    pub(crate) outcome: Outcome,
    pub(crate) profile: Option<&'a Path>,
    pub(crate) report: Option<&'a Path>,
    /// Absent where the problem keeps none.
    pub(crate) log: Option<PathBuf>,
    pub(crate) trials: u64,
    /// Pairs that gave a result.
    pub(crate) pairs: usize,
    pub(crate) p99_ns: Option<ArmsP99>,
    pub(crate) run: &'a str,
    pub(crate) fit: PathBuf,
    pub(crate) sentence: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) seed: &'a str,
}

/// What `agreement --json` prints; latencies are in nanoseconds, medians over the rounds.
#[derive(Serialize)]
pub(crate) struct Agreement {
    pub(crate) version: u32,
    pub(crate) seed: String,
    pub(crate) alike: bool,
    pub(crate) rounds: u32,
    /// Tunes that ended `better`.
    pub(crate) better: u32,
    /// Tunes whose pick is at least twice as fast as what they began with in the rounds, and those of them that ended `better`.
    pub(crate) twice_as_fast: u32,
    pub(crate) twice_as_fast_and_better: u32,
    /// Picks that are slower than the best preset, beyond the interval.
    pub(crate) slower_than_preset: u32,
    /// Typical p99 of the worst pick over that of the best set.
    pub(crate) worst_to_best: Option<f64>,
    pub(crate) sets: Vec<SetRow>,
    pub(crate) picks: Vec<PickRow>,
}

/// One set of knobs, side by side with the others.
#[derive(Serialize)]
pub(crate) struct SetRow {
    pub(crate) name: String,
    pub(crate) point: Point,
    /// Rounds that gave a result.
    pub(crate) results: u32,
    pub(crate) typical_p99: Option<f64>,
    pub(crate) typical_p99_mean: Option<Interval>,
    pub(crate) whole_p99: Option<f64>,
    pub(crate) to_best: Option<f64>,
    pub(crate) whole_to_best: Option<f64>,
}

/// One tune, and what the rounds say of its pick.
#[derive(Serialize)]
pub(crate) struct PickRow {
    pub(crate) tune: u32,
    pub(crate) seed: String,
    pub(crate) outcome: Outcome,
    /// Name of the pick's set.
    pub(crate) set: Option<String>,
    pub(crate) pairs: u32,
    pub(crate) spent_ms: u64,
    pub(crate) lost_ms: u64,
    /// Typical p99 of what the tune began with over that of the pick.
    pub(crate) times_as_fast: Option<Interval>,
    pub(crate) to_best: Option<f64>,
    /// Typical p99 of the pick over that of the best preset.
    pub(crate) to_best_preset: Option<Interval>,
}
