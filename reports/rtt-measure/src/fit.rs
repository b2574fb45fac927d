//! The fit: what the tuner made of a trial log. With the log, all that the report is drawn from.

use crate::{Axis, Point};
use rtt_seal::Digest;
use serde::{Deserialize, Serialize};

/// What came of a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The recommended point beats the incumbent.
    Better,
    /// It does not, by the tolerance.
    NoBetter,
    /// The pairs or the time ran out first.
    Undecided,
}

/// An estimate with a 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Point estimate.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Where a point came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by", content = "name")]
pub enum Origin {
    /// The incumbent or the default.
    Start(String),
    /// Latin hypercube.
    LatinHypercube,
    /// The model.
    Model,
    /// Uniform random search, for comparison.
    Random,
    /// A preset.
    Preset(String),
}

/// One measured point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitPoint {
    /// The point.
    pub point: Point,
    /// Who proposed it.
    pub origin: Origin,
    /// The trials that measured it.
    pub trials: Vec<String>,
    /// Geometric mean over scenarios of the calm typical p99, over all times that it was measured, in the problem's unit;
    /// absent where a trial gave no result.
    pub objective: Option<f64>,
    /// The same under the model, once all was measured.
    pub posterior: Option<Interval>,
    /// Whether every constraint was kept.
    pub feasible: bool,
    /// CPU used, thousandths of a CPU, mean over its trials; absent where the problem does not tell.
    pub cpu_millicores: Option<f64>,
}

/// What one step of one knob away from the recommended point does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnobEffect {
    /// The axis.
    pub axis: String,
    /// The value instead of the recommended one.
    pub value: String,
    /// Objective there over objective at the recommended point, under the model.
    pub ratio: Interval,
}

/// One pair of a confirmation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairRow {
    /// From 0.
    pub pair: u32,
    /// Whether the incumbent ran first, as the coin fell.
    pub incumbent_first: bool,
    /// ln(incumbent's objective / candidate's): above 0 the candidate is faster. Absent in a void pair.
    pub log_ratio: Option<f64>,
    /// The incumbent's objective.
    pub incumbent: Option<f64>,
    /// The candidate's objective.
    pub candidate: Option<f64>,
    /// Wealth against "no faster" after this pair.
    pub wealth_better: f64,
    /// Wealth against "faster by the tolerance" after this pair.
    pub wealth_no_better: f64,
    /// Cluster of the probes around the pair; `mixed` where they disagree; absent without probes.
    pub regime: Option<String>,
}

/// Both arms over the confirmation, one scenario and condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmRow {
    /// The scenario.
    pub scenario: String,
    /// Whether faults ran beside it.
    pub faulted: bool,
    /// What decides, of the incumbent, in the problem's unit: calm, the typical p99; under faults, the time to recover.
    pub incumbent: Interval,
    /// The tuned point's.
    pub tuned: Interval,
    /// p99 over whole runs, interruptions included, of the incumbent.
    pub whole_incumbent: Interval,
    /// The tuned point's.
    pub whole_tuned: Interval,
}

/// The pairs under faults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultedPart {
    /// How much longer a recovery may be before it counts as worse: a ratio, 0.1.
    pub margin: f64,
    /// Time to recover of the incumbent over a run's faults, in the problem's unit.
    pub recovery_incumbent: Interval,
    /// The tuned point's.
    pub recovery_tuned: Interval,
    /// Tuned over incumbent.
    pub ratio: Interval,
    /// Whether these pairs say that the tuned point is better.
    pub better: bool,
    /// Whether they say that it is worse, by more than the margin.
    pub worse: bool,
    /// The pairs in order.
    pub pairs: Vec<PairRow>,
}

/// Slices of calm pairs that stalled or were left out: of the incumbent or base, then of the tuned point or candidate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StallRow {
    /// Slices that were judged.
    pub slices: [u32; 2],
    /// Those beyond three times the slower arm's typical p99.
    pub stalled: [u32; 2],
    /// Slices beside them that were left out, since the host held the generator up.
    pub held_up: [u32; 2],
    /// Wealth against "the second arm stalls no more often"; in a gate, "neither stalls nor fails to settle more often".
    pub wealth_second_more: f64,
}

/// The recommended point against the best preset, in calm pairs of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetCheck {
    /// The preset.
    pub preset: String,
    /// Pairs that gave a result.
    pub pairs: u32,
    /// Recommended point over preset; absent where fewer than two pairs gave a result.
    pub ratio: Option<Interval>,
    /// What the pairs say: `faster`, `slower`, or `undecided` where neither is shown.
    pub says: String,
}

/// Where the measuring time went, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeSpent {
    /// By part of the run, in order.
    pub parts: Vec<(String, u64)>,
    /// Of all that, spent on runs without a result and on slices in which the host held the generator up.
    pub lost_ms: u64,
}

/// How much the effect was in one regime, over runs of one scenario and condition that are compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegimeEffect {
    /// The regime's middle with its unit; `mixed` where a run met a switch; both where the arms met different ones.
    pub regime: String,
    /// Pairs of runs in it.
    pub runs: u32,
    /// Geometric mean of candidate over incumbent.
    pub ratio: f64,
}

/// The confirmation of the recommended point against the incumbent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// Error rate of each verdict.
    pub alpha: f64,
    /// Parts that share the rate of `better`: calm runs, and runs under faults where there are some.
    pub processes: u32,
    /// How much faster counts as better enough to be denied: a ratio, 0.05.
    pub tolerance: f64,
    /// The most pairs that were allowed.
    pub pairs_max: u32,
    /// The calm pairs in order.
    pub pairs: Vec<PairRow>,
    /// Both arms by scenario and condition.
    pub arms: Vec<ArmRow>,
    /// Calm objective of both arms: geometric mean of the typical p99 over scenarios, the problem's unit.
    pub objective_incumbent: Interval,
    /// The tuned point's.
    pub objective_tuned: Interval,
    /// Tuned over incumbent.
    pub ratio: Interval,
    /// The pairs under faults; absent where there were none.
    pub faulted: Option<FaultedPart>,
    /// What the typical p99 leaves out.
    pub stalls: StallRow,
    /// The effect in each regime.
    pub regimes: Vec<RegimeEffect>,
    /// Pairs in which the tuned point and the incumbent broke a constraint.
    pub broke: [u32; 2],
    /// Pairs in which they crashed.
    pub crashed: [u32; 2],
}

impl Confirmation {
    /// Pairs that gave a result; the others are void.
    pub fn valid(&self) -> usize {
        self.pairs.iter().filter(|pair| pair.log_ratio.is_some()).count()
    }
}

/// p99 of both arms with their intervals, in the problem's unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmsP99 {
    /// The incumbent's.
    pub incumbent: Interval,
    /// That of the knobs that the outcome is about: the incumbent's own where nothing was confirmed.
    pub tuned: Interval,
}

/// What the tuner made of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    /// Format: 1.
    pub version: u32,
    /// Name of the run.
    pub run: String,
    /// BLAKE3 of the bytes of the trial log that it was made from; absent where the problem kept none.
    pub trial_log: Option<Digest>,
    /// The problem's name.
    pub problem: String,
    /// Unit of p99 in this file: `ns` for the lab, else the problem's own.
    pub unit: String,
    /// Seed of the whole run, as a decimal string.
    pub seed: String,
    /// Whether this was a quick run.
    pub quick: bool,
    /// The command's options, as given.
    pub options: Vec<String>,
    /// Scenarios and their weights in the objective; empty for a base problem.
    pub weights: Vec<(String, f64)>,
    /// Whether runs under faults were part of the confirmation.
    pub faults: bool,
    /// The space that was searched, after `--fix` and `--sweep`.
    pub space: Vec<Axis>,
    /// Name of the solver.
    pub solver: String,
    /// The measured points in order.
    pub points: Vec<FitPoint>,
    /// The incumbent's point.
    pub incumbent: Point,
    /// Where the incumbent came from: a profile's name, or `default`.
    pub incumbent_origin: String,
    /// Trials of the placebo arm.
    pub placebo: Vec<String>,
    /// Standard deviation of ln(objective) between placebo runs.
    pub noise_log_sd: Option<f64>,
    /// Index in `points` of the recommended point; absent when nothing was feasible.
    pub recommended: Option<usize>,
    /// Index in `points` of the lowest objective seen among the feasible.
    pub lowest: Option<usize>,
    /// Why the recommended one, in words.
    pub why: String,
    /// What each knob does around it.
    pub effects: Vec<KnobEffect>,
    /// The confirmation; absent when nothing could be recommended or it is the incumbent.
    pub confirmation: Option<Confirmation>,
    /// The recommended point against the best preset; absent where time was short or the point is a preset.
    pub against_preset: Option<PresetCheck>,
    /// p99 of both arms over whole runs, interruptions included: geometric mean over scenarios, calm, from the pairs.
    pub whole_p99: Option<ArmsP99>,
    /// Typical p99 of both arms: from the pairs, else from the placebo, which no selection has touched; absent where these gave
    /// fewer than two results.
    pub p99: Option<ArmsP99>,
    /// What came of it.
    pub outcome: Outcome,
    /// The outcome in a sentence.
    pub sentence: String,
    /// The noise in a sentence.
    pub noise: String,
    /// What else a reader should know: skipped comparisons, axes that left the space, time that ran out.
    pub notes: Vec<String>,
    /// Measuring time spent, milliseconds.
    pub spent_ms: u64,
    /// Where it went.
    pub time: TimeSpent,
}
