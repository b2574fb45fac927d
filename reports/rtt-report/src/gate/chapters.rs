//! What stands behind the scenarios: notes, logs, every pair, and how it was decided.

use super::GateFolder;
use crate::{
    charts::{self, wealth_text},
    table::{Cell, Table},
    words,
};
use minijinja::{Value, context};
use rtt_measure::{GatePair, GateScenario};

/// What else a reader should know, from the gate and from reading.
pub fn notes(folder: &GateFolder) -> Vec<String> {
    let gate = &folder.gate;
    let mut notes = gate.notes.clone();
    if gate.canary {
        notes.push(
            "This is a canary: both arms were known to be alike, and the gate itself was on trial. A FAIL here is a false alarm."
                .into(),
        );
    }
    for (log, run) in gate.logs.iter().zip(&folder.logs) {
        if run.torn_bytes > 0 {
            notes.push(format!(
                "Log {} ends in {} bytes of a line that was never finished; they were not read.",
                log.file, run.torn_bytes
            ));
        }
    }
    notes
}

/// The logs, and how their hosts differ, for the template.
pub fn logs(folder: &GateFolder) -> Value {
    let mut table = Table::new("Trial logs, oldest first", &["Log", "Began", "Seed of its coins", "#Trials"]);
    let mut changes = Table::new("How the host differed from that of the log before", &["Log", "Difference"]);
    for (log, run) in folder.gate.logs.iter().zip(&folder.logs) {
        table.row(vec![
            Cell::code(log.file.clone()),
            Cell::text(words::date(log.created_unix_s)),
            Cell::code(log.seed.clone()),
            Cell::figure(run.trials.len().to_string()),
        ]);
        for change in &log.changes {
            changes.row(vec![Cell::code(log.file.clone()), Cell::text(change.clone())]);
        }
    }
    let alike = match folder.logs.len() {
        0 => "The verdict names no log.",
        1 => "There is one log: all pairs ran in it.",
        _ => "No difference between the hosts of the logs was recorded.",
    };
    context! {
        none => table.is_empty(),
        table => table.value(),
        alike => if changes.is_empty() { alike } else { "" },
        changes => changes.value(),
    }
}

fn pair_row(pair: &GatePair) -> Vec<Cell> {
    let p99 = |value: Option<u64>| Cell::or(value.map(words::nanos), "its run did not settle");
    let wealth = |value: f64| Cell::or(Some(wealth_text(value)), "");
    vec![
        Cell::figure(pair.pair.to_string()),
        Cell::text(charts::pair_first(pair)),
        p99(pair.base_ns_p99),
        p99(pair.candidate_ns_p99),
        Cell::or(charts::pair_ratio(pair).map(words::ratio), charts::pair_void(pair)),
        wealth(pair.wealth_fail),
        wealth(pair.wealth_pass),
        wealth(pair.wealth_lapses),
        pair.regime.clone().map_or_else(|| Cell::absent("no probe ran around the pair"), Cell::text),
        match &pair.void {
            Some(why) => Cell::of("bad", format!("void: {why}")),
            None if charts::pair_ratio(pair).is_none() => Cell::of("bad", "void"),
            None => Cell::of("ok", "bets"),
        },
    ]
}

fn pairs_of(scenario: &GateScenario) -> Value {
    let mut table = Table::new(
        format!("All pairs of {}: p99, ratio, and the wealth of each bet after the pair", scenario.scenario),
        &["#Pair", "First", "#Base", "#Candidate", "#Ratio", "#FAIL", "#PASS", "#Unsettled", "Regime", "Standing"],
    )
    .class("pairs");
    for pair in &scenario.pairs {
        table.row(pair_row(pair));
    }
    context! { name => scenario.scenario.as_str(), count => table.len(), none => table.is_empty(), table => table.value() }
}

/// Every pair of every scenario for the template.
pub fn pairs(folder: &GateFolder) -> Value {
    folder.gate.scenarios.iter().map(pairs_of).collect()
}

fn setup(folder: &GateFolder) -> Table {
    let gate = &folder.gate;
    let mut table = Table::new("How it was decided", &["What", "Value"]);
    let mut add = |what: &str, value: String| table.row(vec![Cell::text(what), Cell::text(value)]);
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    add("comparison", gate.comparison.clone());
    add("decided", words::date(gate.decided_unix_s));
    add("machine", gate.machine.clone());
    add("kernel", gate.kernel.clone());
    add("error rate α of each verdict", words::significant(gate.alpha));
    add("bets k that share FAIL: two for each scenario that gates", gate.processes.to_string());
    add("FAIL at a wealth of k/α", words::significant(f64::from(gate.processes) / gate.alpha));
    add("PASS at a wealth of 1/α", words::significant(1.0 / gate.alpha));
    add("pairs run now, beside those that were there", gate.pairs_now.to_string());
    add("most pairs of each scenario asked for now", gate.pairs_max.to_string());
    add("one program under the same knobs on both sides", yes(gate.alike).into());
    let gating = gate.scenarios.iter().filter(|scenario| scenario.gating);
    add("scenarios that gate", gating.map(|scenario| scenario.scenario.as_str()).collect::<Vec<_>>().join(", "));
    add("first gate of these arms", yes(gate.fresh).into());
    add("canary: both arms known to be alike", yes(gate.canary).into());
    add("drawn by", format!("rtt-report {}", env!("CARGO_PKG_VERSION")));
    table
}

fn digests(folder: &GateFolder) -> Table {
    let gate = &folder.gate;
    let mut table = Table::new("Digests (BLAKE3)", &["What", "Name", "Digest"]);
    let mut add = |what: &str, name: &str, digest: String| {
        table.row(vec![Cell::text(what), Cell::text(name), Cell::code(digest)]);
    };
    add("verdict", "verdict.json", folder.digest.to_string());
    for log in &gate.logs {
        add("trial log, all its bytes", &log.file, log.digest.to_string());
    }
    for scenario in &gate.scenarios {
        add("scenario", &scenario.scenario, scenario.digest.to_string());
    }
    table
}

/// The evidence for the template.
pub fn evidence(folder: &GateFolder) -> Value {
    context! { setup => setup(folder).value(), digests => digests(folder).value() }
}
