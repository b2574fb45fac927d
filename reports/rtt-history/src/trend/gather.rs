//! What a trend keeps of the rows: one figure a series and day, the canaries' verdicts, counts of good and bad runs.

use super::{TrendQuery, burn::BurnCount, output::DayPoint};
use polars::prelude::{BooleanChunked, DataFrame, PolarsResult, StringChunked, UInt64Chunked};
use rtt_measure::geometric_mean_interval;
use rtt_scenario::{Slo, limit_of_run_ns};
use std::collections::{BTreeMap, BTreeSet};

/// The columns that a trend reads, and no other.
pub const TREND_COLUMNS: &[&str] = &[
    "source",
    "arm",
    "pair",
    "scenario",
    "scenario_digest",
    "faulted",
    "verdict",
    "latency_ns_p99",
    "limit_line_round_trip_ns_p50",
    "regime_before_ns",
    "regime_after_ns",
    "run_unix_s",
    "spent_ms",
    "elapsed_ms",
    "comparison",
    "canary",
    "gate_verdict",
    "kernel",
    "tool",
];

/// Up to so many runs a day the interval is drawn anew from them; beyond, the normal law is as good and much faster.
const DRAWN_RUNS: usize = 30;
/// Fixed, so that equal data give equal text.
const SEED: u64 = 0x5EED_DA75;
/// 97.5 % point of the normal law.
const NORMAL: f64 = 1.959_963_985;

/// Whose runs a series has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The new side of a gate, canaries too.
    GateCandidate,
    /// The point that a tune's confirmation tried.
    Tuned,
    /// What was in force, in the same pairs.
    Incumbent,
    /// The untuned default, where a tune measured it.
    Default,
}

/// One day of a series, and what was in force on it.
#[derive(Debug)]
pub(crate) struct SeriesDay {
    pub(crate) point: DayPoint,
    pub(crate) facts: Facts,
}

/// What a level may have changed with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    kernels: BTreeSet<String>,
    tools: BTreeSet<String>,
    scenarios: BTreeSet<String>,
}

/// What was seen of one machine.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) series: BTreeMap<(String, Kind), Vec<SeriesDay>>,
    /// Verdicts of canaries by comparison.
    pub(crate) canaries: BTreeMap<String, String>,
    pub(crate) burns: BTreeMap<String, BurnCount>,
}

/// What was seen so far.
pub(crate) struct Gathered<'a> {
    query: &'a TrendQuery,
    slo: Option<&'a Slo>,
    pub(crate) machines: BTreeMap<String, Seen>,
    /// Every scenario that has a row, asked for or not.
    pub(crate) scenarios: BTreeSet<String>,
    pub(crate) rows: u64,
    /// The day that is being read: p99 of its runs, by scenario and series.
    today: BTreeMap<String, BTreeMap<Kind, (Vec<f64>, Facts)>>,
}

/// The columns of one file.
struct Rows<'a> {
    source: &'a StringChunked,
    arm: &'a StringChunked,
    pair: &'a UInt64Chunked,
    scenario: &'a StringChunked,
    scenario_digest: &'a StringChunked,
    faulted: &'a BooleanChunked,
    verdict: &'a StringChunked,
    p99: &'a UInt64Chunked,
    limit_at_start: &'a UInt64Chunked,
    limit_before: &'a UInt64Chunked,
    limit_after: &'a UInt64Chunked,
    run_unix_s: &'a UInt64Chunked,
    spent_ms: &'a UInt64Chunked,
    elapsed_ms: &'a UInt64Chunked,
    comparison: &'a StringChunked,
    canary: &'a BooleanChunked,
    gate_verdict: &'a StringChunked,
    kernel: &'a StringChunked,
    tool: &'a StringChunked,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::GateCandidate, Kind::Tuned, Kind::Incumbent, Kind::Default];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::GateCandidate => "gate_candidate",
            Kind::Tuned => "tuned",
            Kind::Incumbent => "incumbent",
            Kind::Default => "default",
        }
    }

    /// The series of a row; the points of a search, placebos and the gate's base are in none.
    fn of(source: &str, arm: &str, paired: bool) -> Option<Kind> {
        match (source, arm) {
            ("gate", "candidate") => Some(Kind::GateCandidate),
            ("tune", "candidate") if paired => Some(Kind::Tuned),
            ("tune", "incumbent") if paired => Some(Kind::Incumbent),
            ("tune", "default") => Some(Kind::Default),
            _ => None,
        }
    }

    /// Whether the objectives speak of it: they are promises of what is in force or on its way there.
    const fn promised(self) -> bool {
        !matches!(self, Kind::Default)
    }
}

impl<'a> Rows<'a> {
    fn of(frame: &'a DataFrame) -> PolarsResult<Rows<'a>> {
        let text = |name| frame.column(name)?.str();
        let count = |name| frame.column(name)?.u64();
        let flag = |name| frame.column(name)?.bool();
        Ok(Rows {
            source: text("source")?,
            arm: text("arm")?,
            pair: count("pair")?,
            scenario: text("scenario")?,
            scenario_digest: text("scenario_digest")?,
            faulted: flag("faulted")?,
            verdict: text("verdict")?,
            p99: count("latency_ns_p99")?,
            limit_at_start: count("limit_line_round_trip_ns_p50")?,
            limit_before: count("regime_before_ns")?,
            limit_after: count("regime_after_ns")?,
            run_unix_s: count("run_unix_s")?,
            spent_ms: count("spent_ms")?,
            elapsed_ms: count("elapsed_ms")?,
            comparison: text("comparison")?,
            canary: flag("canary")?,
            gate_verdict: text("gate_verdict")?,
            kernel: text("kernel")?,
            tool: text("tool")?,
        })
    }

    /// The series and p99 of a calm, settled run.
    fn run(&self, at: usize) -> Option<(Kind, u64)> {
        if self.verdict.get(at) != Some("settled") || self.faulted.get(at) != Some(false) {
            return None;
        }
        let kind = Kind::of(self.source.get(at)?, self.arm.get(at)?, self.pair.get(at).is_some())?;
        // A latency of 0 ns is below the clock's step: 1 keeps its logarithm finite.
        Some((kind, self.p99.get(at)?.max(1)))
    }

    /// The limit by which the run is judged, in nanoseconds.
    fn limit_ns(&self, at: usize) -> Option<f64> {
        let around_ns = self.limit_before.get(at).zip(self.limit_after.get(at)).map(<[u64; 2]>::from);
        limit_of_run_ns(around_ns, self.limit_at_start.get(at))
    }

    /// About when the run ended: measuring time after its log began. A pause before a resumption is not in it.
    fn ended_unix_s(&self, at: usize) -> Option<u64> {
        let measured_ms = self.spent_ms.get(at)?.saturating_add(self.elapsed_ms.get(at)?);
        Some(self.run_unix_s.get(at)?.saturating_add(measured_ms / 1_000))
    }
}

impl Facts {
    fn add(&mut self, rows: &Rows<'_>, at: usize) {
        let add = |names: &mut BTreeSet<String>, name: Option<&str>| {
            if let Some(name) = name.filter(|name| !names.contains(*name)) {
                names.insert(name.to_owned());
            }
        };
        add(&mut self.kernels, rows.kernel.get(at));
        add(&mut self.tools, rows.tool.get(at));
        add(&mut self.scenarios, rows.scenario_digest.get(at));
    }

    /// In what `later` differs, in words.
    pub(crate) fn differences(&self, later: &Facts) -> Vec<String> {
        let short = |names: &BTreeSet<String>| names.iter().map(|name| name.chars().take(12).collect()).collect();
        let fields = [
            ("kernel", self.kernels.clone(), later.kernels.clone()),
            ("lab", self.tools.clone(), later.tools.clone()),
            ("scenario digest", short(&self.scenarios), short(&later.scenarios)),
        ];
        let changed = fields.into_iter().filter(|(_, before, after)| before != after);
        let words = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
        changed.map(|(field, before, after)| format!("{field} {} -> {}", words(before), words(after))).collect()
    }
}

impl<'a> Gathered<'a> {
    /// Nothing yet.
    pub(crate) fn new(query: &'a TrendQuery, slo: Option<&'a Slo>) -> Gathered<'a> {
        let (machines, scenarios, today) = Default::default();
        Gathered { query, slo, machines, scenarios, rows: 0, today }
    }

    /// Whether no row was of use.
    pub(crate) fn is_empty(&self) -> bool {
        self.machines.values().all(|seen| seen.series.is_empty() && seen.burns.is_empty())
    }

    /// Takes the rows of one file; its day is shown, or only counts for the budgets.
    pub(crate) fn take(&mut self, machine: &str, frame: &DataFrame, shown: bool) -> PolarsResult<()> {
        let rows = Rows::of(frame)?;
        self.rows += frame.height() as u64;
        if !self.machines.contains_key(machine) {
            self.machines.insert(machine.to_owned(), Seen::default());
        }
        for at in 0..frame.height() {
            if shown && rows.canary.get(at) == Some(true) {
                self.canary(machine, rows.comparison.get(at), rows.gate_verdict.get(at));
            }
            let (Some((kind, p99_ns)), Some(scenario)) = (rows.run(at), rows.scenario.get(at)) else { continue };
            if !self.scenarios.contains(scenario) {
                self.scenarios.insert(scenario.to_owned());
            }
            if self.query.scenario.as_ref().is_some_and(|asked| asked != scenario) {
                continue;
            }
            if shown {
                if !self.today.contains_key(scenario) {
                    self.today.insert(scenario.to_owned(), BTreeMap::new());
                }
                let series = self.today.get_mut(scenario).expect("it was put there").entry(kind).or_default();
                series.0.push(p99_ns as f64);
                series.1.add(&rows, at);
            }
            if let Some(ended) = rows.ended_unix_s(at).filter(|_| kind.promised()) {
                self.burn(machine, scenario).add(ended, p99_ns, rows.limit_ns(at));
            }
        }
        Ok(())
    }

    fn canary(&mut self, machine: &str, comparison: Option<&str>, verdict: Option<&str>) {
        let seen = self.machines.get_mut(machine).expect("its file is being read");
        if let Some((comparison, verdict)) =
            comparison.zip(verdict).filter(|(name, _)| !seen.canaries.contains_key(*name))
        {
            seen.canaries.insert(comparison.to_owned(), verdict.to_owned());
        }
    }

    fn burn(&mut self, machine: &str, scenario: &str) -> &mut BurnCount {
        let burns = &mut self.machines.get_mut(machine).expect("its file is being read").burns;
        if !burns.contains_key(scenario) {
            let objective = self.slo.and_then(|slo| slo.objective(scenario));
            let budgets = objective.map(|objective| objective.latency_budgets(machine));
            let p99 = budgets.into_iter().flatten().find(|(quantile, _)| *quantile == "p99");
            let count = BurnCount::new(self.query.now_unix_s, p99.map(|(_, budget)| budget));
            burns.insert(scenario.to_owned(), count);
        }
        burns.get_mut(scenario).expect("it was put there")
    }

    /// Ends a partition: its runs become one figure a series.
    pub(crate) fn end_day(&mut self, machine: &str, day: &str) {
        let seen = self.machines.get_mut(machine).expect("its files were read");
        for (scenario, kinds) in std::mem::take(&mut self.today) {
            for (kind, (p99s, facts)) in kinds {
                let day = SeriesDay { point: day_point(day, &p99s), facts };
                seen.series.entry((scenario.clone(), kind)).or_default().push(day);
            }
        }
    }
}

/// The geometric mean of p99 over the runs of one day. Quantiles are not averaged: their logarithms are, a run each.
fn day_point(day: &str, p99s: &[f64]) -> DayPoint {
    let runs = p99s.len() as f64;
    let logs = || p99s.iter().map(|p99| p99.ln());
    let mean = logs().sum::<f64>() / runs;
    let interval = if p99s.len() <= DRAWN_RUNS {
        geometric_mean_interval(p99s, SEED).map(|interval| [interval.low, interval.high])
    } else {
        let squares: f64 = logs().map(|log| (log - mean).powi(2)).sum();
        let reach = NORMAL * (squares / (runs * (runs - 1.0))).sqrt();
        Some([(mean - reach).exp(), (mean + reach).exp()])
    };
    DayPoint { day: day.to_owned(), runs: p99s.len() as u64, latency_ns_p99: mean.exp(), interval }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::column_of;

    #[test]
    fn the_columns_are_columns_and_each_is_used_once() {
        let names: BTreeSet<&str> = TREND_COLUMNS.iter().copied().collect();
        assert_eq!(names.len(), TREND_COLUMNS.len());
        assert!(names.iter().all(|name| column_of(name).is_some()));
        assert!(!names.contains("histogram"), "most of a file");
    }

    #[test]
    fn a_day_is_its_runs_geometric_mean() {
        let point = |p99s: &[f64]| day_point("2026-11-23", p99s);
        assert_eq!((point(&[7.0]).runs, point(&[7.0]).interval), (1, None));
        assert!((point(&[100.0, 400.0]).latency_ns_p99 - 200.0).abs() < 1e-9);
        // Both ways to an interval agree where one takes over from the other.
        let many: Vec<f64> = (0..=DRAWN_RUNS).map(|at| 100.0 + (at * 7 % 31) as f64).collect();
        let (drawn, normal) = (point(&many[1..]).interval.expect("runs"), point(&many).interval.expect("runs"));
        assert!(drawn.iter().zip(normal).all(|(a, b)| (a / b - 1.0).abs() < 0.02), "{drawn:?} {normal:?}");
    }

    #[test]
    fn only_pairs_and_defaults_make_a_series() {
        let kind = |source, arm, paired| Kind::of(source, arm, paired).map(Kind::name);
        assert_eq!(kind("gate", "candidate", true), Some("gate_candidate"));
        assert_eq!(kind("gate", "base", true), None);
        assert_eq!(kind("tune", "candidate", true), Some("tuned"));
        assert_eq!(kind("tune", "incumbent", true), Some("incumbent"));
        assert_eq!(kind("tune", "incumbent", false), None, "the start of a search");
        assert_eq!(kind("tune", "default", false), Some("default"));
        assert_eq!(kind("tune", "search", false), None);
    }
}
