//! The document that `trend --json` prints. It carries its version; names carry their units; absent is `null`.

use serde::Serialize;

/// The course of every scenario on every machine.
#[derive(Clone, Debug, Serialize)]
pub struct Trend {
    /// Format of this document: 1.
    pub version: u32,
    /// Always true: nothing here is a verdict, the gate's is.
    pub advice: bool,
    /// The instant at which windows end, seconds since 1970.
    pub now_unix_s: u64,
    /// The first day of the series.
    pub since: Option<String>,
    /// Partitions that were read.
    pub partitions: usize,
    /// Files that were read.
    pub files: usize,
    /// Rows that were read.
    pub rows: u64,
    /// The columns that were read.
    pub columns: Vec<&'static str>,
    /// Machines by their ids.
    pub machines: Vec<MachineTrend>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// One machine.
#[derive(Clone, Debug, Serialize)]
pub struct MachineTrend {
    /// Its id.
    pub machine: String,
    /// How often a gate of two arms that are alike failed.
    pub canary: Canary,
    /// Scenarios by name.
    pub scenarios: Vec<ScenarioTrend>,
}

/// The measured false-alarm rate of the gate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Canary {
    /// Comparisons of arms that are alike.
    pub canaries: u64,
    /// Those that ended with FAIL: false alarms.
    pub failed: u64,
    /// Those that ended undecided.
    pub undecided: u64,
    /// Share of false alarms; absent without a canary.
    pub false_alarm_rate: Option<f64>,
    /// Its exact 95 % interval (Clopper and Pearson).
    pub false_alarm_interval: Option<[f64; 2]>,
}

/// One scenario on one machine, calm runs only.
#[derive(Clone, Debug, Serialize)]
pub struct ScenarioTrend {
    /// Its name.
    pub scenario: String,
    /// The series that have a run.
    pub series: Vec<SeriesTrend>,
    /// How fast it burns its budget; absent where it has no objective, or no budgets were read.
    pub slo: Option<Burn>,
}

/// Runs of one kind, day by day.
#[derive(Clone, Debug, Serialize)]
pub struct SeriesTrend {
    /// `gate_candidate`, `tuned`, `incumbent` or `default`.
    pub series: &'static str,
    /// Days with a settled run, in order.
    pub days: Vec<DayPoint>,
    /// Where the level changed.
    pub change_points: Vec<Change>,
}

/// One day of a series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DayPoint {
    /// The day.
    pub day: String,
    /// Settled runs.
    pub runs: u64,
    /// Geometric mean of the runs' p99, nanoseconds.
    pub latency_ns_p99: f64,
    /// Its 95 % interval over runs; absent of one run.
    pub interval: Option<[f64; 2]>,
}

/// A change of level.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The first day of the new level.
    pub day: String,
    /// Geometric mean of the days of the level before, nanoseconds.
    pub before_ns_p99: f64,
    /// The same of the level that begins.
    pub after_ns_p99: f64,
    /// After over before.
    pub ratio: f64,
    /// How often chance does as well.
    pub p_value: f64,
    /// What else was another than on the day before: `kernel 6.1 -> 6.2`.
    pub beside: Vec<String>,
}

/// How fast an error budget burns.
#[derive(Clone, Debug, Serialize)]
pub struct Burn {
    /// Share of runs that shall meet the objective.
    pub target: f64,
    /// What p99 may come to, in nanoseconds; absent where the objective does not name the machine.
    pub p99_ns: Option<u64>,
    /// What p99 may come to, in thousandths of the limit that the run's own probes measured; absent where `p99_ns` is
    /// there.
    pub p99_permille_of_limit: Option<u32>,
    /// The whole time of the budget.
    pub budget: BurnWindow,
    /// Share of the budget that is spent; absent without a run.
    pub budget_spent: Option<f64>,
    /// Runs that cannot be judged, since neither their probes nor their log have a limit.
    pub runs_without_limit: u64,
    /// The rules, the fastest first.
    pub rules: Vec<BurnRule>,
}

/// One rule: it burns when both windows do.
#[derive(Clone, Debug, Serialize)]
pub struct BurnRule {
    /// The burn rate above which it burns.
    pub factor: f64,
    /// Whether it burns; absent where a window has no run.
    pub burns: Option<bool>,
    /// The long window.
    pub long: BurnWindow,
    /// The short window.
    pub short: BurnWindow,
}

/// Runs in the time before now.
#[derive(Clone, Debug, Serialize)]
pub struct BurnWindow {
    /// Its length.
    pub seconds: u64,
    /// Settled runs that were judged.
    pub runs: u64,
    /// Those that miss the objective.
    pub bad: u64,
    /// Share of bad runs over the share that may be; absent without a run.
    pub burn_rate: Option<f64>,
}
