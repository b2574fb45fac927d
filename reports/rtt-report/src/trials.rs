//! Every trial in a row, and the faults with their proofs.

use crate::{
    run::Run,
    table::{Cell, Table},
    words,
};
use minijinja::{Value, context};
use rtt_measure::{PairRegimes, Regime, TrialRecord, Verdict};
use rtt_units::Rate;
use std::collections::BTreeMap;

/// Strikes that the page lists; more stand in the log.
const STRIKES_LISTED: usize = 300;

fn regime(trial: &TrialRecord, regimes: &PairRegimes) -> Cell {
    match trial.regime {
        Some(probe) => match regimes.of(&probe) {
            Regime::Mixed => Cell::figure(format!("mixed: {}→{}", probe.before_ns, probe.after_ns)),
            level @ Regime::Level(_) => Cell::figure(level.to_string()),
        },
        None => Cell::absent(trial.regime_absent.clone().unwrap_or_else(|| "no probe".into())),
    }
}

fn trial_row(trial: &TrialRecord, regimes: &PairRegimes) -> Vec<Cell> {
    let reason = trial.reason.clone().unwrap_or_else(|| "the trial is no result".into());
    let quantile = |pick: fn(&rtt_measure::Quantiles) -> u64| {
        Cell::or(trial.quantiles.as_ref().map(|q| words::nanos(pick(q))), &reason)
    };
    let p999 = match &trial.quantiles {
        Some(q) => Cell::figure(format!("{} of {}", words::nanos(q.p999), words::count(q.n))),
        None => Cell::absent(reason.clone()),
    };
    let verdict = match (trial.verdict, &trial.reason) {
        (Verdict::Settled, None) => Cell::of("ok", words::verdict(trial.verdict)),
        (verdict, None) => Cell::of("bad", words::verdict(verdict)),
        (Verdict::Settled, Some(reason)) => Cell::of("ok", format!("settled: {reason}")),
        (verdict, Some(reason)) => Cell::of("bad", format!("{}: {reason}", words::verdict(verdict))),
    };
    let arm = match trial.pair {
        Some(pair) => format!("{} {pair}", words::arm(trial.arm)),
        None => words::arm(trial.arm).into(),
    };
    vec![
        Cell::code(trial.id.clone()),
        Cell::text(arm),
        Cell::text(format!("{}{}", trial.scenario.name, if trial.faults.is_some() { " + faults" } else { "" })),
        quantile(|q| q.p50),
        quantile(|q| q.p99),
        p999,
        Cell::figure(Rate(trial.achieved_per_s).to_string()),
        Cell::figure(words::cpus(trial.cpu_millicores as f64)),
        regime(trial, regimes),
        verdict,
    ]
}

/// The per-trial table for the template.
pub fn section(run: &Run) -> Value {
    if run.trials.is_empty() {
        let why = if run.log_tip.is_none() {
            "the run has no trial log: it was simulated"
        } else {
            "the log holds no trial yet"
        };
        return context! { absent => why };
    }
    let head =
        ["Trial", "Arm", "Scenario", "#p50", "#p99", "#p99.9 of samples", "#Handled", "#CPU", "#Regime", "Verdict"];
    let mut table = Table::new("Trials in order", &head);
    let regimes = run.regimes();
    for (_, trial) in &run.trials {
        table.row(trial_row(trial, &regimes));
    }
    let of = run.trials.len();
    let ends = [Verdict::Settled, Verdict::NeverSettled, Verdict::Void, Verdict::Crashed];
    let counts = ends.into_iter().filter(|v| run.count(*v) > 0 || *v == Verdict::Settled);
    let counts: Vec<String> = counts.map(|v| format!("{} {}", run.count(v), words::verdict(v))).collect();
    let mut reasons: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (_, trial) in run.trials.iter().filter(|(_, trial)| trial.verdict != Verdict::Settled) {
        let reason = trial.reason.as_deref().unwrap_or("no reason was recorded");
        *reasons.entry((words::verdict(trial.verdict), reason)).or_default() += 1;
    }
    let mut lost = Table::new("Trials without a result, by reason", &["Verdict", "Reason", "#Trials"]);
    for ((verdict, reason), count) in reasons {
        lost.row(vec![Cell::text(verdict), Cell::text(reason), Cell::figure(count.to_string())]);
    }
    context! {
        count => of,
        counts => counts.join(", "),
        lost => lost.value(),
        none_lost => lost.is_empty(),
        table => table.value(),
    }
}

/// How often one kind of fault was planned and struck.
#[derive(Default)]
struct Tally {
    planned: usize,
    struck: usize,
    late_ns: Vec<u64>,
}

/// Faults, strikes and proofs for the template.
pub fn faults(run: &Run) -> Value {
    let strikes = || run.trials.iter().flat_map(|(_, trial)| trial.strikes.iter().map(move |strike| (trial, strike)));
    if strikes().next().is_none() {
        let why = match (&run.header, &run.fit) {
            (None, _) if run.log_tip.is_none() => {
                "the run has no trial log: a simulated problem is struck by no faults"
            }
            (Some(header), _) if header.faults.is_empty() => "the run had no fault plan",
            (_, Some(fit)) if !fit.faults => "the run left faults out (--no-faults)",
            _ if run.trials.iter().any(|(_, trial)| trial.faults.is_some()) => {
                "the trials under faults carry no proof of a strike: a simulated machine is struck in figures only"
            }
            _ => "no trial ran under faults",
        };
        return context! { absent => why };
    }
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for (_, strike) in strikes() {
        let tally = tallies.entry(strike.fault.as_str()).or_default();
        tally.planned += 1;
        if let Some(at) = strike.struck_at_ns {
            tally.struck += 1;
            tally.late_ns.push(at.saturating_sub(strike.at_ns));
        }
    }
    let mut kinds = Table::new("Faults by kind", &["Fault", "#Struck", "#Median delay", "#Longest delay"]);
    for (fault, tally) in &mut tallies {
        tally.late_ns.sort_unstable();
        let never = "it never struck";
        kinds.row(vec![
            Cell::text(words::name(fault)),
            Cell::figure(words::share(tally.struck, tally.planned)),
            Cell::or(tally.late_ns.get(tally.late_ns.len() / 2).map(|ns| words::nanos(*ns)), never),
            Cell::or(tally.late_ns.last().map(|ns| words::nanos(*ns)), never),
        ]);
    }
    // What did not strike is evidence against its trial, so it is listed first.
    let mut listed: Vec<_> = strikes().collect();
    let total = listed.len();
    listed.sort_by_key(|(_, strike)| strike.struck_at_ns.is_some());
    listed.truncate(STRIKES_LISTED);
    let mut proofs =
        Table::new("Strikes and what shows them", &["Trial", "Fault", "#Planned at", "#Struck at", "#Lasted", "Proof"]);
    for (trial, strike) in listed {
        let lasted =
            strike.struck_at_ns.zip(strike.ended_at_ns).map(|(from, to)| words::nanos(to.saturating_sub(from)));
        proofs.row(vec![
            Cell::code(trial.id.clone()),
            Cell::text(words::name(&strike.fault)),
            Cell::figure(words::nanos(strike.at_ns)),
            Cell::or(strike.struck_at_ns.map(words::nanos), "it struck too late or not at all"),
            Cell::or(lasted, "it struck too late or not at all, or its end was not seen"),
            Cell::text(strike.proof.clone()),
        ]);
    }
    context! {
        kinds => kinds.value(),
        proofs => proofs.value(),
        listed => proofs.len(),
        total => total,
    }
}
