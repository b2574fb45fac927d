//! The documents that `--json` prints. Each carries its version; names carry their units.
//!
//! A value that is absent is `null`, never 0. Rows of a [`Table`] are objects under the names of [`crate::COLUMNS`] and
//! [`crate::MEASURES`].

use crate::{Cell, Query, Unit};
use rtt_measure::{Interval, Quantiles};
use rtt_profile::Knobs;
use serde::{Serialize, Serializer};
use std::{collections::BTreeMap, path::PathBuf};

/// What an export did.
#[derive(Clone, Debug, Serialize)]
pub struct ExportReport {
    /// Format of this document: 1.
    pub version: u32,
    /// The runs, in the order of their names or of the command line.
    pub runs: Vec<RunOutcome>,
}

/// What became of one run.
#[derive(Clone, Debug, Serialize)]
pub struct RunOutcome {
    /// The run.
    pub run: String,
    /// `written`, `unchanged`, `skipped` or `failed`.
    pub outcome: &'static str,
    /// Trials in its file.
    pub trials: usize,
    /// Its file.
    pub path: Option<PathBuf>,
    /// Why it was skipped, or failed.
    pub reason: Option<String>,
}

/// What an append did.
#[derive(Clone, Debug, Serialize)]
pub struct AppendReport {
    /// Format of this document: 1.
    pub version: u32,
    /// The logs: tunes before gates, each in the order of their names.
    pub logs: Vec<LogOutcome>,
}

/// What became of one log.
#[derive(Clone, Debug, Serialize)]
pub struct LogOutcome {
    /// `tune` or `gate`.
    pub source: &'static str,
    /// The log in words.
    pub log: String,
    /// `written`, `unchanged`, `left_out` or `failed`.
    pub outcome: &'static str,
    /// Trials in its file.
    pub trials: usize,
    /// Its file.
    pub path: Option<PathBuf>,
    /// Why it was left out, or failed.
    pub reason: Option<String>,
}

/// What a compaction did.
#[derive(Clone, Debug, Serialize)]
pub struct CompactReport {
    /// Format of this document: 1.
    pub version: u32,
    /// The partitions that had several files.
    pub partitions: Vec<CompactedPartition>,
}

/// A partition that has one file now.
#[derive(Clone, Debug, Serialize)]
pub struct CompactedPartition {
    /// Id of the machine.
    pub machine: String,
    /// The day.
    pub day: String,
    /// Files before.
    pub files: usize,
    /// Rows, each once.
    pub rows: u64,
    /// The file.
    pub path: PathBuf,
}

/// What a retention removed, or would remove.
#[derive(Clone, Debug, Serialize)]
pub struct RetainReport {
    /// Format of this document: 1.
    pub version: u32,
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// The first day that is kept.
    pub kept_since: String,
    /// The partitions, by machine and day.
    pub partitions: Vec<RemovedPartition>,
}

/// A partition that is older than is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RemovedPartition {
    /// Id of the machine.
    pub machine: String,
    /// The day.
    pub day: String,
    /// Its files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Groups in the order of their keys.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// Format of this document: 1.
    pub version: u32,
    /// The columns that make the groups, in their order.
    pub by: Vec<&'static str>,
    /// The measures, in their order.
    pub measures: Vec<&'static str>,
    /// Files that were read.
    pub files: usize,
    /// Each group: every name of `by` and `measures` with its value.
    pub rows: Vec<BTreeMap<&'static str, Cell>>,
    /// What a reader should know.
    pub notes: Vec<String>,
    #[serde(skip)]
    pub(crate) query: Query,
}

/// What names a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunHead {
    /// Its name.
    pub run: String,
    /// Id of its machine.
    pub machine: String,
    /// When it began, seconds since 1970.
    pub created_unix_s: u64,
    /// Version of the lab.
    pub tool: String,
    /// Digest of its log's last line.
    pub log_tip: String,
    /// Trials by verdict.
    pub verdicts: BTreeMap<&'static str, usize>,
}

/// One field of the two hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldPair {
    /// Its name.
    pub field: String,
    /// In the first run; `absent` where it has no such field.
    pub a: String,
    /// In the second run.
    pub b: String,
}

/// One measured figure of the two hosts, equal or not.
#[derive(Clone, Debug, Serialize)]
pub struct FigurePair {
    /// Its name, with the unit.
    pub figure: &'static str,
    /// In the first run.
    pub a: Cell,
    /// In the second run.
    pub b: Cell,
    /// How it is shown to people.
    #[serde(skip)]
    pub unit: Unit,
}

/// One side of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Trials of any verdict.
    pub trials: usize,
    /// Trials that are a result.
    pub settled: usize,
    /// Trials in which the endpoint died: a defect, whatever the latencies.
    pub crashed: usize,
    /// Latencies of the settled trials' merged histograms, nanoseconds; absent without a sample.
    pub latency_ns: Option<Quantiles>,
    /// CPU of the endpoint, thousandths of a CPU, mean of the settled trials.
    pub cpu_millicores: Option<f64>,
    /// Messages lost in all trials.
    pub lost: u64,
    /// The knobs.
    pub knobs: Knobs,
}

/// The part of a comparison that lies in one regime.
#[derive(Clone, Debug, Serialize)]
pub struct RegimePair {
    /// The pair of CPUs.
    pub cpus: [u32; 2],
    /// The regime's middle: one cache line there and back, nanoseconds.
    pub center_ns: u64,
    /// Settled trials of the first run in it.
    pub trials_a: usize,
    /// Settled trials of the second run in it.
    pub trials_b: usize,
    /// The first run's p99 in it, nanoseconds.
    pub p99_ns_a: u64,
    /// The second run's p99 in it, nanoseconds.
    pub p99_ns_b: u64,
    /// Second over first.
    pub ratio: f64,
    /// Its 95 % interval; absent below five trials on a side.
    pub interval: Option<[f64; 2]>,
}

/// One arm under one scenario and condition, in both runs.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// The scenario.
    pub scenario: String,
    /// Whether faults ran beside it.
    pub faulted: bool,
    /// The arm.
    pub arm: &'static str,
    /// The first run.
    pub a: Side,
    /// The second run.
    pub b: Side,
    /// p99 of the second over the first; absent where a side has no sample.
    pub ratio: Option<f64>,
    /// Its 95 % interval by bootstrap over trials; absent below five trials on a side.
    pub interval: Option<[f64; 2]>,
    /// The same inside each regime that both sides met, where there is more than one.
    pub regimes: Vec<RegimePair>,
    /// In what the two sides differ beside the run.
    pub notes: Vec<String>,
}

/// Two runs side by side.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Format of this document: 1.
    pub version: u32,
    /// The first run: the baseline of every ratio.
    pub a: RunHead,
    /// The second run.
    pub b: RunHead,
    /// In what the hosts, the tools and the endpoints differ.
    pub differences: Vec<FieldPair>,
    /// What was measured of the hosts.
    pub figures: Vec<FigurePair>,
    /// Middles of the regimes found in both runs' probes, nanoseconds, fastest first.
    pub regimes_ns: Vec<u64>,
    /// The arms.
    pub pairs: Vec<Pair>,
    /// What was not compared, and why.
    pub not_compared: Vec<String>,
}

impl Pair {
    /// The estimate and its interval, where both are there.
    pub fn estimate(&self) -> Option<Interval> {
        let [low, high] = self.interval?;
        Some(Interval { estimate: self.ratio?, low, high })
    }
}

/// `null`, a boolean, a number or a string.
impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Cell::Absent => serializer.serialize_unit(),
            Cell::Flag(yes) => serializer.serialize_bool(*yes),
            Cell::Count(n) => serializer.serialize_u64(*n),
            Cell::Real(x) => serializer.serialize_f64(*x),
            Cell::Text(text) => serializer.serialize_str(text),
        }
    }
}
