//! Base and candidate: what each is, and in what they differ.

use crate::{knobs, words};
use minijinja::{Value, context};
use rtt_measure::{Gate, GateArm, point_of};

fn arm(role: &str, class: &str, arm: &GateArm) -> Value {
    let arguments: Vec<String> = arm.arguments.iter().map(|word| words::shell_word(word)).collect();
    context! {
        role => role,
        class => class,
        name => arm.name.as_str(),
        executable => arm.executable.to_string(),
        arguments => if arguments.is_empty() { "none beyond those of every lab".into() } else { arguments.join(" ") },
        profile => arm.profile.map_or_else(|| "none: the untuned default".into(), |digest| digest.to_string()),
    }
}

/// In what the arms differ, in words.
fn difference(gate: &Gate) -> String {
    let (base, candidate) = (&gate.base, &gate.candidate);
    let differing = [
        ("executable", base.executable != candidate.executable),
        ("arguments", base.arguments != candidate.arguments),
        ("profile", base.profile != candidate.profile),
        ("knobs", base.knobs != candidate.knobs),
    ];
    let names: Vec<&str> = differing.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
    match names.as_slice() {
        [] => "Nothing differs between them: neither executable and arguments nor profile and knobs.".into(),
        [one] => format!("They differ in {one} alone."),
        [others @ .., last] => format!("They differ in {} and {last}.", others.join(", ")),
    }
}

/// The arms for the template.
pub fn section(gate: &Gate) -> Value {
    let (before, after) = (point_of(&gate.base.knobs), point_of(&gate.candidate.knobs));
    let rows = knobs::rows(&before, Some(&after));
    context! {
        arms => vec![arm("Base", "incumbent", &gate.base), arm("Candidate", "tuned", &gate.candidate)],
        difference => difference(gate),
        has_dash => rows.iter().any(|row| row.has_dash),
        knobs => rows.into_iter().map(|row| row.value()).collect::<Value>(),
    }
}
