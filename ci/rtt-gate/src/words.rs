//! The verdict in words: one sentence, one screen.

use rtt_measure::{Gate, GateBudget, GateScenario, GateVerdict, Interval};
use rtt_units::Nanos;

/// The verdict's word.
pub const fn word(verdict: GateVerdict) -> &'static str {
    match verdict {
        GateVerdict::Pass => "PASS",
        GateVerdict::Undecided => "UNDECIDED",
        GateVerdict::Breach => "SLO BREACH",
        GateVerdict::Fail => "FAIL",
    }
}

/// A ratio and its interval in per cent.
pub fn percent(ratio: &Interval) -> String {
    let percent = |ratio: f64| 100.0 * (ratio - 1.0);
    let Interval { estimate, low, high } = *ratio;
    format!("{:+.1} % ({:+.1} to {:+.1})", percent(estimate), percent(low), percent(high))
}

/// A difference in one cell: `about equal` where the interval holds none.
pub fn difference(scenario: &GateScenario) -> String {
    match &scenario.ratio {
        Some(ratio) if ratio.low <= 1.0 && ratio.high >= 1.0 => format!("about equal, {}", percent(ratio)),
        Some(ratio) => percent(ratio),
        None => "not measured".into(),
    }
}

/// Typical p99 of an arm with its interval.
pub fn p99(latency: Option<&rtt_measure::GateLatency>) -> String {
    let nanos = |value: f64| Nanos(value.round() as u64).to_string();
    match latency {
        Some(found) => {
            let Interval { estimate, low, high } = found.typical_ns_p99;
            format!("{} ({} to {})", nanos(estimate), nanos(low), nanos(high))
        }
        None => "not measured".into(),
    }
}

/// A broken budget in words.
pub fn broken(budget: &GateBudget) -> String {
    let relation = if budget.at_least { "below" } else { "above" };
    let Interval { estimate, low, high } = budget.found;
    let base = budget.base.map_or(String::new(), |base| format!("; the base's is {:.1}", base.estimate));
    format!(
        "{} is {estimate:.1} ({low:.1} to {high:.1}) {}, {relation} its budget of {:.1}{base}",
        budget.name, budget.unit, budget.budget
    )
}

/// The verdict over all scenarios, in one sentence.
pub fn sentence(verdict: GateVerdict, scenarios: &[GateScenario]) -> String {
    let word = word(verdict);
    let of = |verdict: GateVerdict| scenarios.iter().find(|scenario| scenario.verdict == verdict);
    match verdict {
        GateVerdict::Pass => format!("{word}: no scenario is slower by its tolerance"),
        GateVerdict::Fail => match of(GateVerdict::Fail) {
            Some(failed) => {
                let pairs = failed.pairs.iter().filter(|pair| pair.log_ratio.is_some()).count();
                let p99 = failed.ratio.map(|_| format!("; p99 {} in {pairs} pairs", difference(failed)));
                format!("{word}: {}: {}{}", failed.scenario, failed.why, p99.unwrap_or_default())
            }
            None => word.into(),
        },
        GateVerdict::Breach => {
            let first = scenarios.iter().find_map(|scenario| {
                let budget = scenario.budgets.iter().find(|budget| budget.broken && budget.decides)?;
                Some(format!("{}: {}", scenario.scenario, broken(budget)))
            });
            format!("{word}: {}", first.unwrap_or_default())
        }
        GateVerdict::Undecided => match of(GateVerdict::Undecided) {
            Some(open) => format!("{word}: {}: {}", open.scenario, open.why),
            None => word.into(),
        },
    }
}

/// The verdict on one screen.
pub fn screen(gate: &Gate) -> String {
    let mut lines = vec![gate.sentence.clone()];
    let short = |digest: &rtt_seal::Digest| digest.to_string()[..12].to_owned();
    for (name, arm) in [("base", &gate.base), ("candidate", &gate.candidate)] {
        let profile = arm
            .profile
            .as_ref()
            .map_or_else(|| "default knobs".into(), |profile| format!("profile {}", short(profile)));
        let arguments = if arm.arguments.is_empty() { String::new() } else { format!(" {}", arm.arguments.join(" ")) };
        lines.push(format!("  {name:<10} {}: endpoint {}{arguments}, {profile}", arm.name, short(&arm.executable)));
    }
    // Of arms that are one program there is nothing to tell.
    for scenario in gate.scenarios.iter().filter(|_| !gate.alike) {
        let pairs = scenario.pairs.len();
        let void = scenario.pairs.iter().filter(|pair| pair.log_ratio.is_none()).count();
        lines.push(format!("  {:<10} {}: {}", scenario.scenario, word(scenario.verdict), scenario.why));
        lines.push(format!(
            "    p99        base {}, candidate {}",
            p99(scenario.base.as_ref()),
            p99(scenario.candidate.as_ref())
        ));
        lines.push(format!("    difference {}, {pairs} pairs, {void} of them void", difference(scenario)));
        for effect in &scenario.regimes {
            lines.push(format!(
                "    regime     {}: {:+.1} % in {} pairs",
                effect.regime,
                100.0 * (effect.ratio - 1.0),
                effect.runs
            ));
        }
        let detectable = scenario.detectable.map_or_else(
            || "not known of so few pairs, or more than tenfold".into(),
            |ratio| format!("+{:.1} % (found by nine in ten comparisons with this spread)", 100.0 * ratio),
        );
        lines.push(format!("    detectable {detectable}"));
        lines.extend(scenario.budgets.iter().filter(|budget| budget.broken).map(|budget| {
            let word = if budget.decides { "BROKEN" } else { "beyond" };
            format!("    {word:<10} {}", broken(budget))
        }));
        for (name, defects) in ["base", "candidate"].iter().zip(&scenario.defects) {
            lines.extend(defects.iter().take(3).map(|defect| format!("    DEFECT     {name}: {defect}")));
        }
    }
    if !gate.alike {
        lines.push(rate(gate));
    }
    lines.extend(gate.notes.iter().map(|note| format!("  note       {note}")));
    lines.join("\n")
}

/// The rate of false alarms, and what it is of.
fn rate(gate: &Gate) -> String {
    let wealth = if gate.fresh { "fresh wealth" } else { "wealth continued from earlier gates of these arms" };
    let seed = gate.logs.last().map_or_else(String::new, |log| format!(", coins of seed {}", log.seed));
    format!(
        "  rate       FAIL has at most {} % for alike arms; {wealth}, {} pairs run now{seed}",
        (1e4 * rate_of_fail(gate)).round() / 100.0,
        gate.pairs_now
    )
}

/// The rate of FAIL for alike arms: alpha for those that gate; where more scenarios were asked for, their share more.
pub fn rate_of_fail(gate: &Gate) -> f64 {
    gate.alpha * (2.0 * gate.scenarios.len() as f64 / f64::from(gate.processes)).max(1.0)
}
