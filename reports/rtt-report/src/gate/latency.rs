//! Latency of both arms in one scenario: the quantiles of the verdict, and the curves of the merged histograms.

use super::GateFolder;
use crate::{
    charts::{self, Curve},
    merged::Merged,
    svg::Frame,
    table::{Cell, Table},
    words,
};
use minijinja::{Value, context};
use rtt_measure::{Arm, GateLatency, GateScenario, Interval, Verdict};

/// A quantile's name, and where it stands in the verdict.
type Quantile = (&'static str, fn(&GateLatency) -> Interval);

const QUANTILES: [Quantile; 5] = [
    ("typical p99", |latency| latency.typical_ns_p99),
    ("p50", |latency| latency.latency_ns_p50),
    ("p95", |latency| latency.latency_ns_p95),
    ("whole-run p99", |latency| latency.latency_ns_p99),
    ("p99.9", |latency| latency.latency_ns_p999),
];

/// The quantiles of both arms for the template.
pub fn quantiles(scenario: &GateScenario) -> Value {
    let runs = |latency: Option<&GateLatency>| {
        latency.map_or_else(|| "fewer than two settled runs".into(), |l| words::counted(l.runs.into(), "settled run"))
    };
    let (base, candidate) = (scenario.base.as_ref(), scenario.candidate.as_ref());
    if base.or(candidate).is_none() {
        return context! { absent => "fewer than two runs of either arm settled" };
    }
    let mut table = Table::new(
        format!(
            "Latency: geometric means with 95 % intervals over runs; base: {}, candidate: {}",
            runs(base),
            runs(candidate)
        ),
        &["Percentile", "#Base", "#95 %", "#Candidate", "#95 %"],
    );
    for (name, pick) in QUANTILES {
        let mut cells = vec![Cell::text(name)];
        for latency in [base, candidate] {
            let interval = latency.map(pick);
            let why = "fewer than two runs settled";
            cells.push(Cell::or(interval.map(|i| words::latency(i.estimate, "ns")), why));
            cells.push(Cell::or(interval.map(|i| words::ends(&i, "ns")), why));
        }
        table.row(cells);
    }
    context! { table => table.value() }
}

/// The curves of both arms for the template; `index` tells the scenarios' charts apart.
pub fn curves(folder: &GateFolder, scenario: &GateScenario, index: usize) -> Value {
    let (mut base, mut candidate) = (Merged::default(), Merged::default());
    let mut said = Vec::new();
    for trial in folder.trials() {
        if trial.verdict != Verdict::Settled || trial.scenario.name != scenario.scenario {
            continue;
        }
        let merged = match trial.arm {
            Arm::Base => &mut base,
            Arm::Candidate => &mut candidate,
            _ => continue,
        };
        said.extend(merged.add(trial).err());
    }
    let counted = |latency: &Option<GateLatency>| latency.map(|latency| latency.runs as usize);
    let told = [(counted(&scenario.base), base.runs), (counted(&scenario.candidate), candidate.runs)];
    if told.iter().any(|(counted, merged)| counted.is_some_and(|counted| counted != *merged)) {
        said.push(format!(
            "The curves merge {} of the base and {} of the candidate from the logs: not as many as the verdict counts.",
            words::counted(base.runs as u64, "settled run"),
            words::counted(candidate.runs as u64, "settled run"),
        ));
    }
    let curves: Vec<Curve<'_>> = [("base", "incumbent", &base), ("candidate", "tuned", &candidate)]
        .into_iter()
        .filter(|(_, _, merged)| merged.runs > 0)
        .map(|(name, class, merged)| Curve { name, class, histogram: &merged.histogram, runs: merged.runs })
        .collect();
    // Without the machine's limit, far below: here the two curves are to be told apart.
    let frames = [Frame::wide(320.0), Frame::narrow(280.0)];
    let chart = charts::cdf(&format!("cdf-{index}"), "Latency by percentile", &frames, &curves, &[]);
    let chart = chart.map(|chart| curves.iter().fold(chart, |chart, curve| chart.key("line", curve.class, curve.name)));
    context! {
        chart => chart.map(|chart| chart.value()),
        absent => "the logs hold no settled run of it with enough samples for a curve",
        said => said,
    }
}
