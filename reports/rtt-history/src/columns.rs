//! The columns of the data set, one row a trial: names, kinds, meaning, and where each comes from in the log.
//!
//! A name carries the unit, the most significant word first. `machine` and `day` are the names of the folders and
//! stand in no file. A value that the log does not have is null, never 0. Histograms stay as the log has them
//! (HdrHistogram V2-deflate, base64), so that they can be merged later (HISTORY-3).

use crate::{Cell, Run, Trial, arm_name, gate_verdict_name, pin_name, verdict_name, wait_name};
use polars::prelude::{Column, DataFrame, PolarsResult};
use serde::Serialize;

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// True or false.
    Flag,
    /// A whole number that is not negative.
    Count,
    /// A number.
    Real,
}

/// A trial and its run: what a row is made of.
#[derive(Clone, Copy, Debug)]
pub struct RunRow<'a> {
    /// The run.
    pub run: &'a Run,
    /// One of its trials.
    pub trial: &'a Trial,
}

/// One column of the files.
#[derive(Clone, Copy, Debug)]
pub struct ColumnSpec {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether a table can be grouped by it: it has few values.
    pub key: bool,
    /// What it means.
    pub about: &'static str,
    value: fn(&RunRow<'_>) -> Cell,
}

/// The columns that are folders: name and meaning.
pub const PARTITION_COLUMNS: [(&str, &str); 2] =
    [("machine", "id of the machine, from its hardware"), ("day", "UTC day on which the log began, YYYY-MM-DD")];

const fn key(name: &'static str, kind: Kind, about: &'static str, value: fn(&RunRow<'_>) -> Cell) -> ColumnSpec {
    ColumnSpec { name, kind, key: true, about, value }
}

const fn fact(name: &'static str, kind: Kind, about: &'static str, value: fn(&RunRow<'_>) -> Cell) -> ColumnSpec {
    ColumnSpec { name, kind, key: false, about, value }
}

/// The columns of every file, in their order.
pub const COLUMNS: &[ColumnSpec] = &[
    key("source", Kind::Text, "who measured: tune or gate", |r| text(r.run.source().kind())),
    fact("log", Kind::Text, "the log: the run's name, or gate=<comparison>,log=<file>", |r| {
        text(&r.run.source().stem())
    }),
    key("run", Kind::Text, "name of the run; of a gate, the comparison", |r| text(&r.run.header.run)),
    key("comparison", Kind::Text, "the gate's comparison; absent of a tune", |r| {
        Cell::text(r.run.gate.as_ref().map(|gate| gate.comparison.clone()))
    }),
    key("canary", Kind::Flag, "whether the gate compared two arms known to be alike; absent of a tune", |r| {
        r.run.gate.as_ref().map_or(Cell::Absent, |gate| Cell::Flag(gate.canary))
    }),
    key("gate_verdict", Kind::Text, "what the whole comparison came to; absent of a tune", |r| {
        Cell::text(r.run.gate.as_ref().map(|gate| gate_verdict_name(gate.verdict)))
    }),
    fact("run_unix_s", Kind::Count, "when the log began, seconds since 1970", |r| {
        Cell::Count(r.run.header.created_unix_s)
    }),
    key("tool", Kind::Text, "version of the lab", |r| text(&r.run.header.tool)),
    key("cpu_model", Kind::Text, "CPU model name", |r| text(&r.run.header.fingerprint.machine.model_name)),
    key("hypervisor", Kind::Text, "hypervisor, or none", |r| text(&r.run.header.fingerprint.machine.hypervisor)),
    key("kernel", Kind::Text, "kernel release", |r| text(&r.run.header.fingerprint.conditions.kernel)),
    key("microcode", Kind::Text, "microcode revision", |r| text(&r.run.header.fingerprint.conditions.microcode)),
    key("governor", Kind::Text, "frequency governor", |r| text(&r.run.header.fingerprint.conditions.governor)),
    key("thp", Kind::Text, "transparent huge pages", |r| text(&r.run.header.fingerprint.conditions.thp)),
    fact("limit_line_round_trip_ns_p50", Kind::Count, "one cache line there and back, median", |r| {
        Cell::count(r.run.header.limits.line_round_trip_ns_p50)
    }),
    fact("limit_wake_ns_p50", Kind::Count, "waking a sleeper on the other CPU, median", |r| {
        Cell::Count(r.run.header.limits.wake_ns_p50)
    }),
    fact("trial", Kind::Text, "id of the trial, unique in its run", |r| text(&r.trial.record.id)),
    fact("trial_digest", Kind::Text, "BLAKE3 of the trial's line in the log", |r| digest(&r.trial.digest)),
    fact("spent_ms", Kind::Count, "measuring time of the run before this trial", |r| {
        Cell::Count(r.trial.record.spent_ms)
    }),
    fact("elapsed_ms", Kind::Count, "what the trial cost, with set-up", |r| Cell::Count(r.trial.record.elapsed_ms)),
    key("arm", Kind::Text, "whose run it was", |r| text(arm_name(r.trial.record.arm))),
    fact("pair", Kind::Count, "number of the pair in a confirmation", |r| {
        Cell::count(r.trial.record.pair.map(u64::from))
    }),
    fact("slot", Kind::Count, "place in the pair", |r| Cell::count(r.trial.record.slot.map(u64::from))),
    key("endpoint_digest", Kind::Text, "BLAKE3 of the arm's endpoint", endpoint),
    key("scenario", Kind::Text, "scenario", |r| text(&r.trial.record.scenario.name)),
    key("scenario_digest", Kind::Text, "BLAKE3 of the scenario", |r| digest(&r.trial.record.scenario.digest)),
    key("faulted", Kind::Flag, "whether faults ran beside it", |r| Cell::Flag(r.trial.record.faults.is_some())),
    key("faults_digest", Kind::Text, "BLAKE3 of the fault plan", |r| {
        Cell::text(r.trial.record.faults.map(|plan| plan.to_string()))
    }),
    fact("faults_planned", Kind::Count, "faults of the plan", |r| Cell::Count(r.trial.record.strikes.len() as u64)),
    fact("faults_struck", Kind::Count, "faults that were seen to strike", struck),
    fact("seed", Kind::Text, "seed of arrivals, payloads and faults, decimal", |r| text(&r.trial.record.seed)),
    fact("share", Kind::Real, "share of a full run", |r| Cell::Real(r.trial.record.share)),
    key("knob_ring_bytes", Kind::Count, "capacity of a ring", |r| Cell::Count(r.trial.record.knobs.ring_bytes)),
    key("knob_batch", Kind::Count, "batch", |r| Cell::Count(u64::from(r.trial.record.knobs.batch))),
    key("knob_window_us", Kind::Count, "batch window", |r| Cell::Count(u64::from(r.trial.record.knobs.window_us))),
    key("knob_wait", Kind::Text, "wait strategy", |r| text(wait_name(r.trial.record.knobs.wait))),
    key("knob_spin_us", Kind::Count, "spin budget", |r| Cell::Count(u64::from(r.trial.record.knobs.spin_us))),
    key("knob_pin", Kind::Text, "pin class", |r| text(pin_name(r.trial.record.knobs.pin))),
    key("knob_huge_pages", Kind::Flag, "whether huge pages were asked for", |r| {
        Cell::Flag(r.trial.record.knobs.huge_pages)
    }),
    key("knobs_honoured", Kind::Flag, "whether the endpoint read back the knobs that were asked for", |r| {
        r.trial.record.readback.as_ref().map_or(Cell::Absent, |back| Cell::Flag(*back == r.trial.record.knobs))
    }),
    fact("cpus_producer", Kind::Text, "CPUs of the producer as read back", |r| cpus(r, 0)),
    fact("cpus_consumer", Kind::Text, "CPUs of the consumer as read back", |r| cpus(r, 1)),
    fact("page_bytes", Kind::Count, "page of the ring's data", |r| Cell::count(r.trial.record.page_bytes)),
    key("verdict", Kind::Text, "how it ended", |r| text(verdict_name(r.trial.record.verdict))),
    fact("reason", Kind::Text, "why it is no result", |r| Cell::text(r.trial.record.reason.clone())),
    fact("samples", Kind::Count, "latencies in the histogram", |r| Cell::count(r.trial.record.quantiles.map(|q| q.n))),
    fact("latency_ns_p50", Kind::Count, "median", |r| Cell::count(r.trial.record.quantiles.map(|q| q.p50))),
    fact("latency_ns_p95", Kind::Count, "95th percentile", |r| Cell::count(r.trial.record.quantiles.map(|q| q.p95))),
    fact("latency_ns_p99", Kind::Count, "99th percentile", |r| Cell::count(r.trial.record.quantiles.map(|q| q.p99))),
    fact("latency_ns_p999", Kind::Count, "99.9th percentile; read it with samples", |r| {
        Cell::count(r.trial.record.quantiles.map(|q| q.p999))
    }),
    fact("lag_free_ns_p99", Kind::Count, "99th percentile without the generator's lag", |r| {
        Cell::count(r.trial.record.with_lag_p99_ns)
    }),
    fact("histogram", Kind::Text, "whole histogram: HdrHistogram V2-deflate, base64", |r| {
        Cell::text(r.trial.record.histogram.clone())
    }),
    fact("warm_up_slices", Kind::Count, "slices at the start that were warm-up", |r| {
        Cell::Count(u64::from(r.trial.record.warm_up_slices))
    }),
    fact("offered_per_s", Kind::Count, "messages per second that were asked for", |r| {
        Cell::count(r.trial.record.offered_per_s)
    }),
    fact("achieved_per_s", Kind::Count, "messages per second that were handled", |r| {
        Cell::Count(r.trial.record.achieved_per_s)
    }),
    fact("sent", Kind::Count, "messages sent", |r| Cell::Count(r.trial.record.sent)),
    fact("handled", Kind::Count, "messages handled", |r| Cell::Count(r.trial.record.handled)),
    fact("lost", Kind::Count, "messages sent and never handled", |r| {
        Cell::Count(r.trial.record.sent.saturating_sub(r.trial.record.handled))
    }),
    fact("blocked", Kind::Count, "times that a full ring made the generator wait", |r| {
        Cell::Count(r.trial.record.blocked)
    }),
    fact("depth_bytes_max", Kind::Count, "most bytes in a ring", |r| Cell::Count(r.trial.record.depth_bytes_max)),
    fact("cpu_millicores", Kind::Count, "CPU of the endpoint, thousandths of a CPU", |r| {
        Cell::Count(r.trial.record.cpu_millicores)
    }),
    fact("memory_bytes", Kind::Count, "memory of rings and endpoint", |r| Cell::Count(r.trial.record.memory_bytes)),
    fact("loop_counts", Kind::Text, "the endpoint's own counts, as JSON", |r| json(&r.trial.record.loop_counts)),
    fact("counters", Kind::Text, "performance counters, as JSON", |r| json(&r.trial.record.counters)),
    fact("steal_us", Kind::Count, "time stolen by the hypervisor, all CPUs", |r| {
        Cell::Count(r.trial.record.interference.steal_us)
    }),
    fact("psi_cpu_us", Kind::Count, "pressure-stall time of CPU", |r| {
        Cell::count(r.trial.record.interference.psi_cpu_us)
    }),
    fact("psi_memory_us", Kind::Count, "pressure-stall time of memory", |r| {
        Cell::count(r.trial.record.interference.psi_memory_us)
    }),
    fact("psi_io_us", Kind::Count, "pressure-stall time of I/O", |r| {
        Cell::count(r.trial.record.interference.psi_io_us)
    }),
    fact("regime_cpus", Kind::Text, "the pair of CPUs that was probed around the trial", |r| {
        Cell::text(r.trial.record.regime.map(|probe| format!("{}-{}", probe.cpus[0], probe.cpus[1])))
    }),
    fact("regime_before_ns", Kind::Count, "one-line round trip before the trial", |r| {
        Cell::count(r.trial.record.regime.map(|probe| probe.before_ns))
    }),
    fact("regime_after_ns", Kind::Count, "one-line round trip after the trial", |r| {
        Cell::count(r.trial.record.regime.map(|probe| probe.after_ns))
    }),
];

/// The column called `name`, if files have one.
pub(crate) fn column_of(name: &str) -> Option<&'static ColumnSpec> {
    COLUMNS.iter().find(|column| column.name == name)
}

/// The rows of `run`, a row a trial, in the order of the log.
///
/// # Errors
/// What polars says; it has nothing to say while [`COLUMNS`] has no name twice.
pub fn frame_of(run: &Run) -> PolarsResult<DataFrame> {
    let rows: Vec<RunRow<'_>> = run.trials.iter().map(|trial| RunRow { run, trial }).collect();
    DataFrame::new(rows.len(), COLUMNS.iter().map(|spec| column(spec, &rows)).collect())
}

fn column(spec: &ColumnSpec, rows: &[RunRow<'_>]) -> Column {
    let name = spec.name.into();
    match spec.kind {
        Kind::Text => {
            Column::new(name, values(spec, rows, |cell| if let Cell::Text(text) = cell { Ok(text) } else { Err(cell) }))
        }
        Kind::Flag => {
            Column::new(name, values(spec, rows, |cell| if let Cell::Flag(yes) = cell { Ok(yes) } else { Err(cell) }))
        }
        Kind::Count => {
            Column::new(name, values(spec, rows, |cell| if let Cell::Count(n) = cell { Ok(n) } else { Err(cell) }))
        }
        Kind::Real => {
            Column::new(name, values(spec, rows, |cell| if let Cell::Real(x) = cell { Ok(x) } else { Err(cell) }))
        }
    }
}

/// The values of a column, by what takes one out of its cell or gives the cell back.
fn values<T>(spec: &ColumnSpec, rows: &[RunRow<'_>], take: fn(Cell) -> Result<T, Cell>) -> Vec<Option<T>> {
    let value = |row| match (spec.value)(row) {
        Cell::Absent => None,
        cell => match take(cell) {
            Ok(value) => Some(value),
            Err(cell) => panic!("column {} is {:?} and has the value {cell:?}", spec.name, spec.kind),
        },
    };
    rows.iter().map(value).collect()
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

fn digest(digest: &rtt_seal::Digest) -> Cell {
    Cell::Text(digest.to_string())
}

fn json(value: &impl Serialize) -> Cell {
    Cell::Text(serde_json::to_string(value).expect("counts and names are JSON"))
}

fn cpus(row: &RunRow<'_>, side: usize) -> Cell {
    Cell::text(row.trial.record.cpus.as_ref().map(|cpus| cpus[side].clone()))
}

/// The arm's own endpoint, else the one that serves every arm.
fn endpoint(row: &RunRow<'_>) -> Cell {
    let endpoints = &row.run.header.endpoints;
    let found = endpoints.get(arm_name(row.trial.record.arm)).or_else(|| endpoints.get("*"));
    Cell::text(found.map(|endpoint| endpoint.digest.to_string()))
}

fn struck(row: &RunRow<'_>) -> Cell {
    Cell::Count(row.trial.record.strikes.iter().filter(|strike| strike.struck_at_ns.is_some()).count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_every_knob_has_a_column() {
        let names: BTreeSet<&str> = COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), COLUMNS.len());
        assert!(PARTITION_COLUMNS.iter().all(|(name, _)| !names.contains(name)));
        for knob in rtt_profile::KNOB_NAMES {
            assert!(names.contains(format!("knob_{knob}").as_str()), "{knob}");
        }
    }
}
