//! The host: topology, the latency matrix as a heat table, where the chosen pins put both ends, and the limits.

use crate::{
    run::Run,
    table::{Cell, Table},
    words,
};
use minijinja::{Value, context};
use rtt_measure::{Limits, PairLatency, Point, RunRecord, Value as Coordinate};
use std::collections::{BTreeMap, BTreeSet};

/// A matrix with more CPUs than this is a list of its measured pairs: it would not fit a page.
const MATRIX_CPUS: usize = 16;
/// Steps of the style sheet's ramp for the matrix.
const STEPS: [&str; 5] = ["n m0", "n m1", "n m2", "n m3", "n m4"];
/// The same for the pair that the recommended pins use.
const PINNED: [&str; 5] = ["n m0 pinned", "n m1 pinned", "n m2 pinned", "n m3 pinned", "n m4 pinned"];

fn shade(value: u64, low: u64, high: u64) -> usize {
    if high <= low || value == 0 || low == 0 {
        return 0;
    }
    let share = (value as f64 / low as f64).ln() / (high as f64 / low as f64).ln();
    // A spread below a quarter is one class of pairs: colour would invent a difference.
    let share = if high as f64 / low as f64 <= 1.25 { 0.0 } else { share };
    ((share * STEPS.len() as f64) as usize).min(STEPS.len() - 1)
}

/// `pinned` is the pair of CPUs that the recommended pins use, where they are single CPUs.
fn matrix(pairs: &[PairLatency], pinned: Option<(u32, u32)>) -> Table {
    let cpus: BTreeSet<u32> = pairs.iter().flat_map(|pair| [pair.a, pair.b]).collect();
    let medians = || pairs.iter().filter_map(|pair| pair.round_trip_ns_p50);
    let (low, high) = (medians().min().unwrap_or(0), medians().max().unwrap_or(0));
    let style = |pair: &PairLatency, p50: u64| {
        let chosen = pinned.is_some_and(|(a, b)| (pair.a, pair.b) == (a, b) || (pair.a, pair.b) == (b, a));
        if chosen { PINNED[shade(p50, low, high)] } else { STEPS[shade(p50, low, high)] }
    };
    if cpus.len() > MATRIX_CPUS {
        let head = ["#CPU", "#CPU", "Class", "#p50", "#p99"];
        let mut table = Table::new("One cache line there and back, by pair", &head);
        for pair in pairs {
            let [p50, p99] = match figures(pair) {
                Ok([p50, p99]) => [Cell::of(style(pair, p50), words::nanos(p50)), Cell::figure(words::nanos(p99))],
                Err(reason) => [Cell::absent(reason), Cell::absent(reason)],
            };
            let class = Cell::text(words::name(&pair.pin));
            table.row(vec![Cell::figure(pair.a.to_string()), Cell::figure(pair.b.to_string()), class, p50, p99]);
        }
        return table;
    }
    let found: BTreeMap<(u32, u32), &PairLatency> =
        pairs.iter().flat_map(|pair| [((pair.a, pair.b), pair), ((pair.b, pair.a), pair)]).collect();
    let names: Vec<String> =
        std::iter::once("CPU".to_owned()).chain(cpus.iter().map(|cpu| format!("#{cpu}"))).collect();
    let head: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut table = Table::new("One cache line there and back: p50, p99, class of the pair", &head).class("matrix");
    let cell = |pair: &PairLatency| {
        let class = words::name(&pair.pin);
        match figures(pair) {
            Ok([p50, p99]) => {
                Cell::of(style(pair, p50), format!("{}\n{}\n{class}", words::nanos(p50), words::nanos(p99)))
            }
            Err(reason) => Cell::absent_but(&class, reason),
        }
    };
    for a in &cpus {
        let cells = cpus.iter().map(|b| match found.get(&(*a, *b)) {
            _ if a == b => Cell::of("self", ""),
            Some(pair) => cell(pair),
            None => Cell::absent("this pair was not measured: its class was sampled by others"),
        });
        table.row(std::iter::once(Cell::of("head", format!("CPU {a}"))).chain(cells).collect());
    }
    table
}

/// The median and the 99th percentile of a pair, or why it has none.
fn figures(pair: &PairLatency) -> Result<[u64; 2], &str> {
    let figures = pair.round_trip_ns_p50.zip(pair.round_trip_ns_p99);
    figures.map(<[u64; 2]>::from).ok_or_else(|| pair.absent.as_deref().unwrap_or("the log does not say why"))
}

fn pin_name(point: &Point) -> Option<&str> {
    match point.get("pin") {
        Some(Coordinate::Text(name)) => Some(name),
        _ => None,
    }
}

fn picked(run: &Run) -> Option<&str> {
    let fit = run.fit.as_ref()?;
    pin_name(&fit.points.get(fit.recommended?)?.point)
}

fn pinned(run: &Run, header: &RunRecord) -> Option<(u32, u32)> {
    let [producer, consumer] = header.placements.get(picked(run)?)?;
    Some((producer.parse().ok()?, consumer.parse().ok()?))
}

fn pins(run: &Run, header: &RunRecord) -> Table {
    let incumbent = run.fit.as_ref().and_then(|fit| pin_name(&fit.incumbent));
    let pick = picked(run);
    let mut table =
        Table::new("Pin classes of this host", &["Class", "Producer on CPU", "Consumer on CPU", "Chosen by"]);
    for (class, [producer, consumer]) in &header.placements {
        let mut chosen = Vec::new();
        if incumbent == Some(class) {
            chosen.push("incumbent");
        }
        if pick == Some(class) {
            chosen.push("recommended");
        }
        let style = if pick == Some(class) { "strong" } else { "" };
        table.row(vec![
            Cell::of(style, words::name(class)),
            Cell::text(producer.clone()),
            Cell::text(consumer.clone()),
            if chosen.is_empty() { Cell::absent("neither uses it") } else { Cell::of(style, chosen.join(", ")) },
        ]);
    }
    table
}

/// The limits of this host, those of a line for the pair of CPUs that the recommended pins use; for the first two CPUs
/// where these pins are no single CPUs, or their pair was not measured.
pub fn limits(run: &Run) -> Option<Limits> {
    let header = run.header.as_ref()?;
    let pair = pinned(run, header);
    let of_pair = |row: &&PairLatency| pair.is_some_and(|(a, b)| [(a, b), (b, a)].contains(&(row.a, row.b)));
    let line = header.latency_matrix.iter().find(of_pair).and_then(|row| figures(row).ok());
    Some(line.map_or(header.limits, |[p50, p99]| Limits {
        line_round_trip_ns_p50: Some(p50),
        line_round_trip_ns_p99: Some(p99),
        ..header.limits
    }))
}

/// `no_line` says why a line has no figures, where it has none.
fn limits_table(limits: &Limits, no_line: &str) -> Table {
    let mut table = Table::new("Limits of this host", &["Limit", "#Figure"]);
    let mut add = |name: &str, cell: Cell| table.row(vec![Cell::text(name), cell]);
    add("one cache line there and back, p50", Cell::or(limits.line_round_trip_ns_p50.map(words::nanos), no_line));
    add("one cache line there and back, p99", Cell::or(limits.line_round_trip_ns_p99.map(words::nanos), no_line));
    add("waking a sleeper on the other CPU, p50", Cell::figure(words::nanos(limits.wake_ns_p50)));
    add("reading the clock", Cell::figure(words::nanos(limits.clock_read_ns)));
    let rate = format!("{}/s", words::bytes(round_bytes(limits.memcpy_bytes_per_s)));
    add("copying within the second-level cache", Cell::figure(rate));
    table
}

/// Three significant digits in binary units, so that a rate does not pretend to more.
fn round_bytes(value: u64) -> u64 {
    let mut unit = 1_u64;
    while value / unit >= 1024 {
        unit *= 1024;
    }
    let step = (unit / 10).max(1);
    value / step * step
}

/// The host for the template.
pub fn section(run: &Run) -> Value {
    let Some(header) = &run.header else {
        let why = if run.log_tip.is_none() {
            "the run has no trial log: a simulated problem has no host"
        } else {
            "the log has no header"
        };
        return context! { absent => why };
    };
    let machine = &header.fingerprint.machine;
    let matrix = matrix(&header.latency_matrix, pinned(run, header));
    let failed = header.latency_matrix.iter().find_map(|pair| figures(pair).err());
    let no_line = failed.unwrap_or("it was not measured: the host has one CPU, or is simulated");
    context! {
        id => machine.id().to_string(),
        name => machine.model_name.as_str(),
        words => format!(
            "{}, {} with {} each, {}, {}\u{202f}GiB class, hypervisor: {}",
            words::counted(u64::from(machine.packages), "package"),
            words::counted(u64::from(machine.cores), "core"),
            words::counted(u64::from(machine.threads_per_core), "thread"),
            words::counted(machine.numa_nodes.len() as u64, "NUMA node"),
            machine.memory_class_gib,
            machine.hypervisor
        ),
        topology => header.topology.as_str(),
        no_matrix => matrix.is_empty(),
        matrix => matrix.value(),
        pins => pins(run, header).value(),
        limits => limits(run).map(|limits| limits_table(&limits, no_line).value()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_machine_is_a_list_and_a_small_one_a_square() {
        let pair = |a, b| measured(a, b, u64::from(b) * 10);
        let head = |pairs: &[PairLatency]| matrix(pairs, Some((1, 0))).value().get_attr("head").expect("a head").len();
        assert_eq!(head(&[pair(0, 1)]), Some(3));
        let many: Vec<_> = (1..40).map(|b| pair(0, b)).collect();
        assert_eq!(head(&many), Some(5));
    }

    fn measured(a: u32, b: u32, p50: u64) -> PairLatency {
        let pin = "same_l3".into();
        PairLatency { a, b, pin, round_trip_ns_p50: Some(p50), round_trip_ns_p99: Some(500), absent: None }
    }

    /// A pair without figures stands with its class and the reason, in the square and in the list.
    #[test]
    fn a_pair_that_could_not_be_measured_is_shown_with_its_class_and_the_reason() {
        let lost = PairLatency {
            pin: "smt_sibling".into(),
            round_trip_ns_p50: None,
            round_trip_ns_p99: None,
            absent: Some("one of the CPUs is kept busy".into()),
            ..measured(0, 2, 0)
        };
        let list = (3..40).map(|b| measured(0, b, 70)).chain([lost.clone()]).collect();
        for (pairs, class_is_in_the_cell) in [(vec![measured(0, 1, 90), lost], true), (list, false)] {
            let shown = matrix(&pairs, Some((0, 2))).value().to_string();
            assert!(shown.contains("one of the CPUs is kept busy"), "{shown}");
            assert!(shown.contains("SMT sibling") && shown.contains("same L3"), "{shown}");
            assert_eq!(shown.contains("one of the CPUs is kept busy (SMT sibling)"), class_is_in_the_cell, "{shown}");
        }
    }

    #[test]
    fn near_levels_share_a_shade() {
        assert_eq!(shade(110, 100, 120), 0);
        assert_eq!(shade(400, 100, 400), 4);
        assert_eq!(shade(0, 0, 0), 0);
    }
}
