//! The page of a comparison: all its sections put into the template.

use super::{GateFolder, arms, chapters, scenario};
use crate::{
    charts, environment,
    template::{RenderError, fill},
    words,
};
use minijinja::{Value, context};
use rtt_measure::Gate;

fn header(folder: &GateFolder) -> Value {
    let gate = &folder.gate;
    let host = folder.logs.first().and_then(|log| log.header.as_ref());
    let host = host.map_or_else(|| gate.machine.clone(), |header| header.fingerprint.machine.model_name.clone());
    let mut place = vec![gate.comparison.clone(), host, words::date(gate.decided_unix_s)];
    if gate.canary {
        place.push("canary".into());
    }
    context! {
        kind => "gate",
        title => format!("{} \u{2013} {}", words::gate_verdict(gate.verdict), gate.comparison),
        place => place,
        source => "Drawn from the verdict and its trial logs alone.",
    }
}

fn verdict(gate: &Gate) -> Value {
    context! {
        class => words::gate_class(gate.verdict),
        word => words::gate_verdict(gate.verdict),
        sentence => gate.sentence.as_str(),
        base => gate.base.name.as_str(),
        candidate => gate.candidate.name.as_str(),
        chart => charts::gate_ratios(gate).map(|chart| chart.value()),
        absent => if gate.scenarios.is_empty() { "the verdict holds no scenario" } else { "no scenario has a ratio" },
    }
}

/// The page of a comparison: one file that needs nothing else.
///
/// # Errors
/// [`RenderError`], which only a defect of this program causes.
pub fn render_gate(folder: &GateFolder) -> Result<String, RenderError> {
    let gate = &folder.gate;
    let scenarios = gate.scenarios.iter().enumerate();
    let values = context! {
        header => header(folder),
        verdict => verdict(gate),
        arms => arms::section(gate),
        scenarios => scenarios.map(|(index, of)| scenario::section(folder, of, index)).collect::<Value>(),
        notes => chapters::notes(folder),
        logs => chapters::logs(folder),
        environment => match folder.logs.first() {
            Some(log) => environment::section(log),
            None => context! { absent => "the verdict names no log", noise => Vec::<String>::new() },
        },
        first_log => gate.logs.first().map_or(String::new(), |log| log.file.clone()),
        pairs => chapters::pairs(folder),
        evidence => chapters::evidence(folder),
    };
    // REPORT-1: `fill` escapes every text in these values.
    fill("gate.html", &gate.comparison, values)
}
