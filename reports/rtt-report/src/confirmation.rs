//! The confirmation: latency curves of both arms, the pairs, the wealth, and the effect in each regime.

use crate::{
    charts::{self, Chart, Curve, Limit},
    machine::limits,
    merged::Merged,
    run::Run,
    svg::Frame,
    table::{Cell, Table},
    words,
};
use minijinja::{Value, context};
use rtt_measure::{Arm, Confirmation, RegimeEffect, TrialRecord, Verdict};
use std::collections::BTreeMap;

/// Scenario and whether faults ran beside it.
type Condition = (String, bool);

/// Merged histograms of the confirmation's settled runs, and what could not be read.
#[derive(Default)]
struct Merges {
    arms: BTreeMap<Condition, BTreeMap<&'static str, Merged>>,
    unreadable: Vec<String>,
}

fn arm_of(trial: &TrialRecord) -> Option<&'static str> {
    match (trial.pair, trial.arm) {
        (Some(_), Arm::Incumbent | Arm::Base) => Some("incumbent"),
        (Some(_), Arm::Candidate) => Some("candidate"),
        _ => None,
    }
}

fn merge(run: &Run) -> Merges {
    let void: Vec<u32> = run
        .fit
        .iter()
        .filter_map(|fit| fit.confirmation.as_ref())
        .flat_map(|c| c.pairs.iter().filter(|pair| pair.log_ratio.is_none()).map(|pair| pair.pair))
        .collect();
    let mut merges = Merges::default();
    for (_, trial) in &run.trials {
        let Some(arm) = arm_of(trial) else { continue };
        if trial.verdict != Verdict::Settled || trial.pair.is_some_and(|pair| void.contains(&pair)) {
            continue;
        }
        let arms = merges.arms.entry((trial.scenario.name.clone(), trial.faults.is_some())).or_default();
        merges.unreadable.extend(arms.entry(arm).or_default().add(trial).err());
    }
    for arms in merges.arms.values_mut() {
        arms.retain(|_, merged| merged.runs > 0);
    }
    merges.arms.retain(|_, arms| !arms.is_empty());
    merges
}

fn distribution(run: &Run) -> Value {
    let merges = merge(run);
    let line = limits(run).and_then(|l| l.line_round_trip_ns_p50).filter(|ns| *ns > 0);
    let limit: Vec<Limit> = line
        .map(|ns| Limit {
            label: format!("the machine: one line there and back, p50 {}", words::nanos(ns)),
            ns: ns as f64,
        })
        .into_iter()
        .collect();
    let mut panels = Vec::new();
    // The scenarios' order in the log's header is the one in which the rest of the page names them.
    let place =
        |name: &str| run.header.iter().flat_map(|h| &h.scenarios).position(|s| s.name == name).unwrap_or(usize::MAX);
    let mut conditions: Vec<_> = merges.arms.iter().collect();
    conditions.sort_by_key(|((scenario, faulted), _)| (place(scenario), *faulted));
    for (index, ((scenario, faulted), arms)) in conditions.into_iter().enumerate() {
        let curves: Vec<Curve<'_>> = [("incumbent", "incumbent"), ("candidate", "tuned")]
            .into_iter()
            .filter_map(|(arm, class)| {
                arms.get(arm).map(|m| Curve { name: arm, class, histogram: &m.histogram, runs: m.runs })
            })
            .collect();
        let title = format!("{scenario}, {}", words::condition(*faulted));
        if let Some(chart) = charts::cdf(&format!("cdf-{index}"), &title, &[Frame::panel()], &curves, &limit) {
            panels.push(chart.value());
        }
    }
    let absent = if !panels.is_empty() {
        ""
    } else if run.log_tip.is_none() {
        "the run has no trial log: a simulated problem gives figures, not histograms"
    } else if run.simulated() {
        "a simulated problem gives figures, not histograms"
    } else {
        "no pair of the confirmation has a settled run with a histogram"
    };
    context! { limited => !limit.is_empty(), panels => panels.into_iter().collect::<Value>(), absent => absent, unreadable => merges.unreadable }
}

/// The effect in each regime; `ratio` names the column of the ratio.
pub fn regimes(effects: &[RegimeEffect], ratio: &str) -> Table {
    let mut table = Table::new("Effect in each regime", &["Regime", "#Pairs of runs", ratio, "Reading"]);
    for regime in effects {
        table.row(vec![
            Cell::text(regime.regime.clone()),
            Cell::figure(regime.runs.to_string()),
            Cell::or(Some(words::times(regime.ratio)), ""),
            Cell::text(words::change(regime.ratio)),
        ]);
    }
    table
}

/// Crashes and broken constraints of both arms, which no p99 makes up for.
fn defects(confirmation: &Confirmation) -> String {
    let ([tuned_broke, incumbent_broke], [tuned_crashed, incumbent_crashed]) =
        (confirmation.broke, confirmation.crashed);
    if tuned_broke + incumbent_broke + tuned_crashed + incumbent_crashed == 0 {
        return "no run crashed or broke a constraint".into();
    }
    format!(
        "the candidate broke a constraint in {tuned_broke} and crashed in {tuned_crashed}, the incumbent in \
         {incumbent_broke} and {incumbent_crashed}"
    )
}

fn pairs(confirmation: &Confirmation, unit: &str) -> Value {
    let chart = |chart: Option<Chart>| chart.map(|chart| chart.value());
    let valid = confirmation.valid();
    let table = regimes(&confirmation.regimes, "#Candidate ÷ incumbent");
    context! {
        summary => format!(
            "{} pairs were run of at most {}, {valid} of them valid; {}. Error rate α = {} for each verdict; \u{201c}no better\u{201d} means: not faster by {}\u{202f}%.",
            confirmation.pairs.len(),
            confirmation.pairs_max,
            defects(confirmation),
            words::significant(confirmation.alpha),
            words::significant(confirmation.tolerance * 100.0),
        ),
        ratios => chart(charts::log_ratios(confirmation, unit)),
        wealth => chart(charts::wealth(confirmation)),
        regimes => table.value(),
        no_regimes => table.is_empty(),
    }
}

/// The sections about the confirmation: distribution, pairs.
pub fn sections(run: &Run) -> Value {
    let confirmation = run.fit.as_ref().and_then(|fit| fit.confirmation.as_ref());
    context! {
        distribution => distribution(run),
        pairs => match confirmation {
            Some(confirmation) if !confirmation.pairs.is_empty() => pairs(confirmation, run.unit()),
            Some(_) => context! { absent => "the time ran out before the first pair" },
            None if run.fit.is_none() => context! { absent => "the run was interrupted before its fit was written" },
            None => context! { absent => "no two pairs gave a result: the verdict above says why" },
        },
    }
}
