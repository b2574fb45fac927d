//! What a gate decided, as a document: two builds or two profiles on one host, scenario by scenario.
//!
//! It is a view of the gate's trial logs: the same logs give the same document, but for the words about the run that
//! wrote it. Page, history and exports read it; what the next gate continues from is the logs.

use crate::{Interval, RegimeEffect, StallRow};
use rtt_profile::Knobs;
use rtt_seal::Digest;
use serde::{Deserialize, Serialize};

/// One of the two sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateArm {
    /// What a person calls it: a revision, a run, a profile, `working tree`.
    pub name: String,
    /// BLAKE3 of the endpoint's executable.
    pub executable: Digest,
    /// Arguments of the endpoint beyond those that every lab gives.
    pub arguments: Vec<String>,
    /// BLAKE3 of the profile's payload; absent where the untuned default was used.
    pub profile: Option<Digest>,
    /// The knobs that it was run with.
    pub knobs: Knobs,
}

/// What the pairs say, and what the budgets say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateVerdict {
    /// The candidate is not slower than its base by the tolerance, and keeps the budgets.
    Pass,
    /// It cannot be told.
    Undecided,
    /// The candidate is not slower, but a budget is broken, by base or no base.
    Breach,
    /// The candidate is slower, or has a defect that the base has not.
    Fail,
}

/// One pair of runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatePair {
    /// Its number in this comparison, from 0, over all runs of the gate.
    pub pair: u32,
    /// Whether the coin put the candidate first.
    pub candidate_first: bool,
    /// Typical p99 of the base in nanoseconds, where its run settled.
    pub base_ns_p99: Option<u64>,
    /// Typical p99 of the candidate.
    pub candidate_ns_p99: Option<u64>,
    /// ln(candidate / base); absent in a void pair.
    pub log_ratio: Option<f64>,
    /// Why the pair bets nothing on the ratio.
    pub void: Option<String>,
    /// Wealth against "the candidate is no slower" after it.
    pub wealth_fail: f64,
    /// Wealth against "the candidate is slower by the tolerance" after it.
    pub wealth_pass: f64,
    /// Wealth against "the candidate lapses no more often" after it: never settles, or has a larger share of slices that stall.
    pub wealth_lapses: f64,
    /// The regime that both runs met, or that they differ.
    pub regime: Option<String>,
}

/// Quantiles of one arm over its settled runs, in nanoseconds: geometric means with 95 % intervals over runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateLatency {
    /// Settled runs.
    pub runs: u32,
    /// Median.
    pub latency_ns_p50: Interval,
    /// 95th percentile.
    pub latency_ns_p95: Interval,
    /// What decides: the typical 99th percentile of a run.
    pub typical_ns_p99: Interval,
    /// 99th percentile of whole runs, interruptions included.
    pub latency_ns_p99: Interval,
    /// 99.9th percentile.
    pub latency_ns_p999: Interval,
}

/// One budget of a scenario and what the candidate came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateBudget {
    /// As `p99`, `loss`, `cpu`.
    pub name: String,
    /// The unit of both figures, as `x the limit`.
    pub unit: String,
    /// What the candidate came to over its runs.
    pub found: Interval,
    /// What the base came to; absent of fewer than two runs.
    #[serde(default)]
    pub base: Option<Interval>,
    /// What it may come to.
    pub budget: f64,
    /// Whether more is better: `found` must not lie below.
    pub at_least: bool,
    /// Whether the whole interval lies beyond the budget.
    pub broken: bool,
    /// Whether that is a verdict: budgets hold for a tuned profile on a host that is quiet enough to be judged.
    #[serde(default)]
    pub decides: bool,
}

/// One scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateScenario {
    /// Its name.
    pub scenario: String,
    /// BLAKE3 of its canonical JSON.
    pub digest: Digest,
    /// Whether it is one of those that share the rate of FAIL and that a gate runs unasked.
    #[serde(default)]
    pub gating: bool,
    /// How much slower matters, a ratio above 0.
    pub tolerance: f64,
    /// Pass, fail or undecided.
    pub verdict: GateVerdict,
    /// Why, in words.
    pub why: String,
    /// All pairs, in order.
    pub pairs: Vec<GatePair>,
    /// Pairs in which the base alone and the candidate alone never settled.
    pub unsettled: [u32; 2],
    /// What the typical p99 leaves out, of base and candidate.
    pub stalls: StallRow,
    /// Defects (crash, hang, loss over budget) of base and candidate, in words with the trial's id.
    pub defects: [Vec<String>; 2],
    /// Latency of the base; absent of fewer than two settled runs.
    pub base: Option<GateLatency>,
    /// Latency of the candidate.
    pub candidate: Option<GateLatency>,
    /// Typical p99 of the candidate over that of the base, with a 95 % interval over pairs.
    pub ratio: Option<Interval>,
    /// The ratio in each regime.
    pub regimes: Vec<RegimeEffect>,
    /// The smallest slowdown, a ratio above 0, that as many pairs with this spread would be told to be one nine times
    /// in ten; absent where the spread is not known.
    pub detectable: Option<f64>,
    /// Budgets.
    pub budgets: Vec<GateBudget>,
}

/// One of the trial logs behind a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateLog {
    /// File name in the comparison's folder.
    pub file: String,
    /// BLAKE3 of its bytes.
    pub digest: Digest,
    /// When it began, seconds since 1970.
    pub created_unix_s: u64,
    /// Seed of its coins, as a decimal string.
    pub seed: String,
    /// How its host differed from that of the log before it, in words.
    pub changes: Vec<String>,
}

/// What a gate decided: `verdict.json` in the comparison's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Format: 1.
    pub version: u32,
    /// Name of the comparison: its folder.
    pub comparison: String,
    /// When it was decided, seconds since 1970.
    pub decided_unix_s: u64,
    /// Id of the machine.
    pub machine: String,
    /// Kernel release.
    pub kernel: String,
    /// The old side.
    pub base: GateArm,
    /// The new side.
    pub candidate: GateArm,
    /// Error rate of each verdict.
    pub alpha: f64,
    /// How many processes share the rate of FAIL: twice the gating scenarios.
    pub processes: u32,
    /// Whether both arms were known to be alike, and the gate itself was on trial.
    pub canary: bool,
    /// Whether both arms are one program under the same knobs, so that there was nothing to measure.
    #[serde(default)]
    pub alike: bool,
    /// Whether no earlier gate of these arms was there to be continued.
    pub fresh: bool,
    /// Pairs run now, beside those that were there.
    pub pairs_now: u32,
    /// Most pairs of each scenario that were asked for now.
    #[serde(default)]
    pub pairs_max: u32,
    /// The verdict over all scenarios.
    pub verdict: GateVerdict,
    /// The verdict in one sentence.
    pub sentence: String,
    /// What else is to be said.
    pub notes: Vec<String>,
    /// Scenario by scenario.
    pub scenarios: Vec<GateScenario>,
    /// The trial logs, oldest first.
    pub logs: Vec<GateLog>,
}
