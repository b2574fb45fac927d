//! What a table can say of a group of trials.
//!
//! Most measures are polars expressions over one column. A latency quantile is not: it is that of the group's merged
//! histograms (HISTORY-3). `trial_ns_p99_*` speak of the spread of p99 between trials, and are named so. Latencies
//! and costs are of settled trials only, since the others are no result; losses are of all.

use crate::Cell;
use polars::prelude::{DataType, Expr, col, len, lit};
use rtt_units::{Bytes, Nanos};

/// How a measure's value is shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A count.
    Number,
    /// Nanoseconds.
    Nanos,
    /// Microseconds.
    Micros,
    /// Thousandths of a CPU.
    Millicores,
    /// Bytes.
    Bytes,
}

/// How a measure is computed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    /// By polars, from one column.
    Lazy(fn() -> Expr),
    /// The quantile of the merged histograms.
    Merged(f64),
}

/// One measure.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Its name, with the unit.
    pub name: &'static str,
    /// A short name that is taken too.
    pub short: Option<&'static str>,
    /// What it means.
    pub about: &'static str,
    /// How it is shown.
    pub unit: Unit,
    /// The column that it reads, if not `verdict` alone.
    pub(crate) column: Option<&'static str>,
    pub(crate) how: How,
}

const fn lazy(
    name: &'static str,
    column: Option<&'static str>,
    unit: Unit,
    about: &'static str,
    how: fn() -> Expr,
) -> Measure {
    Measure { name, short: None, about, unit, column, how: How::Lazy(how) }
}

const fn merged(name: &'static str, short: &'static str, quantile: f64, about: &'static str) -> Measure {
    let how = How::Merged(quantile);
    Measure { name, short: Some(short), about, unit: Unit::Nanos, column: Some("histogram"), how }
}

/// All measures.
pub const MEASURES: &[Measure] = &[
    lazy("trials", None, Unit::Number, "trials of any verdict", len),
    lazy("settled", None, Unit::Number, "trials that are a result", || settled().sum()),
    lazy("samples", Some("samples"), Unit::Number, "latencies in settled trials", || of_settled("samples").sum()),
    merged("latency_ns_p50", "p50", 0.50, "median of the merged histograms"),
    merged("latency_ns_p95", "p95", 0.95, "95th percentile of the merged histograms"),
    merged("latency_ns_p99", "p99", 0.99, "99th percentile of the merged histograms"),
    merged("latency_ns_p999", "p999", 0.999, "99.9th percentile of the merged histograms; read it with samples"),
    lazy("trial_ns_p99_min", Some("latency_ns_p99"), Unit::Nanos, "lowest p99 of a settled trial", || {
        of_settled("latency_ns_p99").min()
    }),
    lazy("trial_ns_p99_median", Some("latency_ns_p99"), Unit::Nanos, "median over settled trials of their p99", || {
        of_settled("latency_ns_p99").median()
    }),
    lazy("trial_ns_p99_max", Some("latency_ns_p99"), Unit::Nanos, "highest p99 of a settled trial", || {
        of_settled("latency_ns_p99").max()
    }),
    lazy(
        "cpu_millicores",
        Some("cpu_millicores"),
        Unit::Millicores,
        "CPU of the endpoint, mean of settled trials",
        || of_settled("cpu_millicores").mean(),
    ),
    lazy("memory_bytes_max", Some("memory_bytes"), Unit::Bytes, "most memory of rings and endpoint", || {
        of_settled("memory_bytes").max()
    }),
    lazy("lost", Some("lost"), Unit::Number, "messages lost, all trials", || col("lost").sum()),
    lazy("blocked", Some("blocked"), Unit::Number, "waits for a full ring, all trials", || col("blocked").sum()),
    lazy("steal_us", Some("steal_us"), Unit::Micros, "time stolen by the hypervisor, all trials", || {
        col("steal_us").sum()
    }),
    lazy("psi_cpu_us_max", Some("psi_cpu_us"), Unit::Micros, "most pressure-stall time of CPU in a trial", || {
        col("psi_cpu_us").max()
    }),
    lazy("psi_io_us_max", Some("psi_io_us"), Unit::Micros, "most pressure-stall time of I/O in a trial", || {
        col("psi_io_us").max()
    }),
    lazy("elapsed_ms", Some("elapsed_ms"), Unit::Number, "what the trials cost, milliseconds", || {
        col("elapsed_ms").sum()
    }),
];

/// Whether a trial is a result.
pub(crate) fn settled() -> Expr {
    // Cast before a sum: a group's count must not depend on the type that polars counts in.
    col("verdict").eq(lit("settled")).cast(DataType::UInt64)
}

fn of_settled(column: &'static str) -> Expr {
    col(column).filter(col("verdict").eq(lit("settled")))
}

impl Measure {
    /// The measure called `name`, by its full or its short name.
    pub fn named(name: &str) -> Option<&'static Measure> {
        MEASURES.iter().find(|measure| measure.name == name || measure.short == Some(name))
    }

    /// `cell` for people, with its unit; a dash where there is none.
    pub fn show(&self, cell: &Cell) -> String {
        self.unit.show(cell)
    }
}

impl Unit {
    /// `cell` in this unit for people; a dash where there is none.
    pub fn show(self, cell: &Cell) -> String {
        let Some(value) = cell.as_f64() else { return "-".into() };
        let whole = value.round() as u64;
        match self {
            Unit::Number => whole.to_string(),
            Unit::Nanos => Nanos(whole).to_string(),
            Unit::Micros => Nanos::from_micros(whole).to_string(),
            Unit::Millicores => format!("{value:.0}m"),
            Unit::Bytes => Bytes(whole).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_read_what_is_there() {
        let names: Vec<&str> = MEASURES.iter().flat_map(|m| [Some(m.name), m.short]).flatten().collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for measure in MEASURES {
            assert!(measure.column.is_none_or(|name| crate::columns::column_of(name).is_some()), "{}", measure.name);
            assert_eq!(Measure::named(measure.name).expect("by name").name, measure.name);
        }
        assert_eq!(Measure::named("p99").map(|measure| measure.name), Some("latency_ns_p99"));
    }

    #[test]
    fn values_are_shown_with_their_units() {
        let shown = |name: &str, cell: Cell| Measure::named(name).expect("a measure").show(&cell);
        assert_eq!(shown("p99", Cell::Count(1_500)), "1.5us");
        assert_eq!(shown("steal_us", Cell::Count(2_000)), "2ms");
        assert_eq!(shown("cpu_millicores", Cell::Real(999.6)), "1000m");
        assert_eq!(shown("memory_bytes_max", Cell::Count(65_536)), "64KiB");
        assert_eq!(shown("p99", Cell::Absent), "-");
    }
}
