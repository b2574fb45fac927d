//! The course of each scenario on each machine: p99 by day, change points, the gate's false alarms, burnt budget.
//!
//! One partition at a time and only the columns of [`TREND_COLUMNS`]: a day's runs become one figure before the next day
//! is read, so memory holds one file's columns, one day's p99, and one figure a series and day.
//!
//! HISTORY-10  Nothing here is a verdict: whatever a trend shows, it was shown, and that is success. Nights are not
//!             interleaved, so what changed between them may be the host; only the gate decides.

mod binomial;
mod burn;
mod change_points;
mod gather;
pub mod output;
mod text;

pub use binomial::exact_interval;
pub use burn::{BUDGET_S, TARGET};
pub use change_points::{ChangePoint, LEVEL, LEVEL_DAYS, PERMUTATIONS, change_points};
pub use gather::TREND_COLUMNS;

use crate::{HISTORY_PLACE, HistoryFile, Holds, ReadHistoryError, day_of, list_history, read_columns};
use burn::BurnCount;
use gather::{Gathered, Kind, SeriesDay};
use output::{Canary, Change, MachineTrend, ScenarioTrend, SeriesTrend, Trend};
use polars::prelude::PolarsError;
use rtt_scenario::Slo;
use std::{collections::BTreeSet, path::PathBuf};

const DAY_S: u64 = 86_400;
/// A run can end on the day after the one on which its log began, which names the partition.
const MARGIN_S: u64 = DAY_S;

/// Why there is no trend.
#[derive(Debug, thiserror::Error)]
pub enum TrendError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadHistoryError),
    /// There is no file.
    #[error("no data set in {}: nothing is in it yet; measure with `cargo xtask tune` or `cargo xtask gate`", folder.display())]
    Empty {
        /// Where it should be.
        folder: PathBuf,
    },
    /// A file's columns are of other kinds.
    #[error("{holds}: {} has other columns than expected; remove it and append its logs again (`rtt-history append`)", path.display())]
    Columns {
        /// What it holds.
        holds: Holds,
        /// The file.
        path: PathBuf,
        /// What polars says.
        source: PolarsError,
    },
    /// No machine has an id that begins so.
    #[error("no machine `{machine}` in the data set: expected the id, or its beginning, of {known}")]
    Machine {
        /// What was asked for.
        machine: String,
        /// The machines that there are.
        known: String,
    },
    /// No run is left.
    #[error("no calm, settled run of {what} in {files} files; there are runs of: {known}")]
    NothingLeft {
        /// What was asked for.
        what: String,
        /// Files that were read.
        files: usize,
        /// The scenarios that were seen.
        known: String,
    },
}

/// What a trend is asked for.
#[derive(Clone, Debug)]
pub struct TrendQuery {
    /// The folder that holds `.rtt`.
    pub root: PathBuf,
    /// Only this scenario.
    pub scenario: Option<String>,
    /// Only machines whose id begins so.
    pub machine: Option<String>,
    /// Only so many days back, today included.
    pub days: Option<u32>,
    /// The instant at which windows end.
    pub now_unix_s: u64,
}

impl TrendQuery {
    /// The first day of the series.
    fn since(&self) -> Option<String> {
        let back_s = u64::from(self.days?.saturating_sub(1)) * DAY_S;
        day_of(self.now_unix_s.saturating_sub(back_s))
    }
}

/// Makes the trend that `query` asks for; `slo` are the budgets, where there are some.
///
/// # Errors
/// [`TrendError`].
pub fn trend(query: &TrendQuery, slo: Option<&Slo>) -> Result<Trend, TrendError> {
    let all = list_history(&query.root)?;
    if all.is_empty() {
        return Err(TrendError::Empty { folder: query.root.join(HISTORY_PLACE) });
    }
    let since = query.since();
    // Budgets need their month, however few days are shown.
    let month = day_of(query.now_unix_s.saturating_sub(BUDGET_S + MARGIN_S));
    let shown = |day: &String| since.as_ref().is_none_or(|since| day >= since);
    let wanted = |file: &&HistoryFile| {
        let machine = query.machine.as_ref().is_none_or(|prefix| file.machine.starts_with(prefix.as_str()));
        machine && (shown(&file.day) || month.as_ref().is_some_and(|month| file.day >= *month))
    };
    let files: Vec<&HistoryFile> = all.iter().filter(wanted).collect();
    if let Some(machine) = query.machine.as_ref().filter(|prefix| all.iter().all(|f| !f.machine.starts_with(*prefix))) {
        let known: BTreeSet<&str> = all.iter().map(|file| file.machine.as_str()).collect();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(TrendError::Machine { machine: machine.clone(), known });
    }
    let mut gathered = Gathered::new(query, slo);
    let mut partitions = 0;
    for partition in files.chunk_by(|a, b| a.machine == b.machine && a.day == b.day) {
        partitions += 1;
        for file in partition {
            let mut frame = read_columns(file, TREND_COLUMNS)?;
            frame.rechunk_mut();
            let failed = |source| TrendError::Columns { holds: file.holds.clone(), path: file.path.clone(), source };
            gathered.take(&file.machine, &frame, shown(&file.day)).map_err(failed)?;
        }
        gathered.end_day(&partition[0].machine, &partition[0].day);
    }
    if gathered.is_empty() {
        let what = query.scenario.clone().unwrap_or_else(|| "any scenario".into());
        let known = gathered.scenarios.iter().cloned().collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "none".into() } else { known };
        return Err(TrendError::NothingLeft { what, files: files.len(), known });
    }
    Ok(document(query, since, (partitions, files.len()), gathered, slo.is_some()))
}

fn document(
    query: &TrendQuery,
    since: Option<String>,
    (partitions, files): (usize, usize),
    gathered: Gathered<'_>,
    budgets: bool,
) -> Trend {
    let mut notes = Vec::new();
    if !budgets {
        notes.push("no budgets were read, so no burn rate is told; give the lock of ci/slo.cue with --slo".to_owned());
    }
    let rows = gathered.rows;
    let machines = gathered.machines.into_iter().map(|(machine, seen)| {
        let canary = canary(seen.canaries.values().map(String::as_str));
        let mut series = seen.series;
        let scenarios: BTreeSet<String> =
            series.keys().map(|(scenario, _)| scenario).chain(seen.burns.keys()).cloned().collect();
        let scenarios = scenarios.into_iter().map(|scenario| ScenarioTrend {
            series: Kind::ALL
                .into_iter()
                .filter_map(|kind| Some(line(kind, series.remove(&(scenario.clone(), kind))?)))
                .collect(),
            slo: seen.burns.get(&scenario).and_then(BurnCount::burn),
            scenario,
        });
        MachineTrend { machine, canary, scenarios: scenarios.collect() }
    });
    Trend {
        version: 1,
        advice: true,
        now_unix_s: query.now_unix_s,
        since,
        partitions,
        files,
        rows,
        columns: TREND_COLUMNS.to_vec(),
        machines: machines.collect(),
        notes,
    }
}

/// One series with the days on which its level changed.
fn line(kind: Kind, days: Vec<SeriesDay>) -> SeriesTrend {
    let logs: Vec<f64> = days.iter().map(|day| day.point.latency_ns_p99.ln()).collect();
    let found = change_points(&logs);
    let ends: Vec<usize> = [0].into_iter().chain(found.iter().map(|change| change.at)).chain([logs.len()]).collect();
    let level = |at: usize| {
        let segment = &logs[ends[at]..ends[at + 1]];
        (segment.iter().sum::<f64>() / segment.len() as f64).exp()
    };
    let changes = found.iter().enumerate().map(|(at, change)| Change {
        day: days[change.at].point.day.clone(),
        before_ns_p99: level(at),
        after_ns_p99: level(at + 1),
        ratio: level(at + 1) / level(at),
        p_value: change.p_value,
        beside: days[change.at - 1].facts.differences(&days[change.at].facts),
    });
    let change_points = changes.collect();
    SeriesTrend { series: kind.name(), days: days.into_iter().map(|day| day.point).collect(), change_points }
}

/// The false alarms among the verdicts of canaries, one a comparison.
fn canary<'a>(verdicts: impl Iterator<Item = &'a str>) -> Canary {
    let verdicts: Vec<&str> = verdicts.collect();
    let count = |name| verdicts.iter().filter(|verdict| **verdict == name).count() as u64;
    let (canaries, failed) = (verdicts.len() as u64, count("fail"));
    Canary {
        canaries,
        failed,
        undecided: count("undecided"),
        false_alarm_rate: (canaries > 0).then(|| failed as f64 / canaries as f64),
        false_alarm_interval: (canaries > 0).then(|| exact_interval(failed, canaries)),
    }
}
