//! Every JSON form that the tuner writes: requests to a problem, `run.json`, and what `--json` prints.

use rtt_measure::{ArmsP99, Outcome, Point, ScenarioRef};
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
    /// Shares of a full run, scenario by scenario; one 1.0 for a base problem.
    pub(crate) shares: Vec<f64>,
    /// Name of the fault plan; absent for calm runs only.
    pub(crate) faults: Option<String>,
    /// Points that the model proposes, its first design included.
    pub(crate) points: usize,
    /// Points of random search, for comparison.
    pub(crate) random: usize,
    /// Whether the presets are measured.
    pub(crate) presets: bool,
    /// Runs of the placebo.
    pub(crate) placebo: usize,
    /// Most pairs.
    pub(crate) pairs_max: u32,
    /// Measuring time in milliseconds.
    pub(crate) budget_ms: u64,
    /// What measuring one point takes, in milliseconds: 0 where the problem does not tell.
    pub(crate) point_ms: u64,
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
