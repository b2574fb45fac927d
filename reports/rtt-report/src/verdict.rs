//! The top of the page: the outcome in a sentence, both arms with intervals, the distance to the machine's limit.

use crate::{
    charts,
    machine::limits,
    run::Run,
    table::{Cell, Table},
    words,
};
use minijinja::{Value, context};
use rtt_measure::{Confirmation, Fit, Interval, Limits, Outcome, StallRow};

/// The sentence that a reader takes away.
fn headline(fit: Option<&Fit>) -> String {
    let Some(fit) = fit else { return "This run was interrupted: there is no verdict yet.".into() };
    let ratio = fit.confirmation.as_ref().map(|c| c.ratio.estimate).filter(|r| r.is_finite() && *r > 0.0);
    match (fit.outcome, ratio) {
        (Outcome::Better, Some(ratio)) if ratio <= 0.5 => {
            format!(
                "The tuned knobs are {} times as fast at the typical p99.",
                words::significant_digits(1.0 / ratio, 2)
            )
        }
        (Outcome::Better, Some(ratio)) if ratio < 1.0 => {
            format!("The tuned knobs lower the typical p99 by {:.0}\u{202f}%.", (1.0 - ratio) * 100.0)
        }
        (Outcome::Better, _) => "The tuned knobs take over.".into(),
        (Outcome::NoBetter, _) => "The incumbent stays: nothing better was found.".into(),
        (Outcome::Undecided, _) => "The incumbent stays: whether there is better is undecided.".into(),
    }
}

fn arm(interval: &Interval, unit: &str) -> Value {
    context! { estimate => words::latency(interval.estimate, unit), ends => words::ends(interval, unit) }
}

/// How far each p99 is from what the machine can do; `None` where no limit was measured.
fn distance(confirmation: &Confirmation, limits: Option<&Limits>, unit: &str) -> Option<Table> {
    let limits = limits.filter(|_| unit == "ns")?;
    let mut table = Table::new(
        "Distance to what this machine can do: typical p99 as a multiple of its limits",
        &[
            "Scenario",
            "#Candidate, typical p99",
            "#÷ one line, there and back",
            "#÷ waking a sleeper",
            "#Incumbent ÷ one line",
        ],
    );
    let multiple = |p99: f64, limit: Option<u64>| {
        Cell::or(
            limit.filter(|l| *l > 0).map(|l| words::multiple(p99 / l as f64)),
            "the machine has one CPU, or the limit was not measured",
        )
    };
    for row in confirmation.arms.iter().filter(|row| !row.faulted) {
        table.row(vec![
            Cell::text(row.scenario.clone()),
            Cell::figure(words::latency(row.tuned.estimate, unit)),
            multiple(row.tuned.estimate, limits.line_round_trip_ns_p99),
            multiple(row.tuned.estimate, Some(limits.wake_ns_p50)),
            multiple(row.incumbent.estimate, limits.line_round_trip_ns_p99),
        ]);
    }
    (!table.is_empty()).then_some(table)
}

/// What else the pairs say of the arms: p99 over whole runs, recovery from faults, stalls, left-out slices, the best preset.
fn beside(fit: &Fit, confirmation: &Confirmation, unit: &str) -> Table {
    let mut table = Table::new("Beside the typical p99", &["Figure", "#Incumbent", "#Candidate", "#Change"]);
    let mut latency = |name: &str, incumbent: &Interval, tuned: &Interval| {
        table.row(vec![
            Cell::text(name),
            Cell::figure(words::latency(incumbent.estimate, unit)),
            Cell::figure(words::latency(tuned.estimate, unit)),
            Cell::figure(words::change(tuned.estimate / incumbent.estimate)),
        ]);
    };
    if let Some(whole) = &fit.whole_p99 {
        latency("p99 over whole runs, interruptions included", &whole.incumbent, &whole.tuned);
    }
    if let Some(faulted) = &confirmation.faulted {
        latency("time to recover from the faults of a run", &faulted.recovery_incumbent, &faulted.recovery_tuned);
    }
    let StallRow { slices, stalled, held_up, .. } = confirmation.stalls;
    let mut share = |name: &str, parts: [u32; 2], wholes: [u32; 2]| {
        let cell = |arm: usize| match wholes[arm] {
            0 => Cell::or(None, "no slice was judged"),
            whole => Cell::figure(format!("{:.1}\u{202f}%", 100.0 * f64::from(parts[arm]) / f64::from(whole))),
        };
        table.row(vec![Cell::text(name), cell(0), cell(1), Cell::text("")]);
    };
    share("slices that stall: beyond three times the slower arm's typical p99", stalled, slices);
    let all = [0, 1].map(|arm| slices[arm] + held_up[arm]);
    share("slices left out: the host held the generator up", held_up, all);
    if let Some(check) = &fit.against_preset {
        table.row(vec![
            Cell::text(format!("against the preset {}, in {} pairs: {}", check.preset, check.pairs, check.says)),
            Cell::text(""),
            Cell::text(""),
            Cell::or(check.ratio.map(|ratio| words::change(ratio.estimate)), "fewer than two pairs gave a result"),
        ]);
    }
    table
}

fn distance_words(limits: &Limits) -> String {
    let line = match (limits.line_round_trip_ns_p50, limits.line_round_trip_ns_p99) {
        (Some(p50), Some(p99)) => {
            format!("one cache line there and back takes {} (p50) and {} (p99)", words::nanos(p50), words::nanos(p99))
        }
        _ => "how long a cache line takes there and back was not measured".into(),
    };
    format!(
        "Measured in the same run: {line}; waking a sleeper on the other CPU takes {} (p50). Latencies of open loops are one way, from the intended send time; a multiple below 1 of the round trip is possible.",
        words::nanos(limits.wake_ns_p50)
    )
}

/// Why there is no confirmation.
fn unconfirmed(fit: Option<&Fit>) -> &'static str {
    match fit {
        None => "The run was interrupted before a confirmation. What was measured so far stands below.",
        Some(_) => "Nothing was confirmed: the sentence above says why.",
    }
}

/// The verdict for the template.
pub fn section(run: &Run) -> Value {
    let fit = run.fit.as_ref();
    let confirmation = fit.and_then(|fit| fit.confirmation.as_ref());
    let limits = limits(run).filter(|_| !run.simulated()); // Those of a machine that is made up say nothing.
    let limits = limits.as_ref();
    let unit = run.unit();
    let class = match fit.map(|fit| fit.outcome) {
        Some(Outcome::Better) => "better",
        Some(Outcome::NoBetter) => "no-better",
        Some(Outcome::Undecided) => "undecided",
        None => "interrupted",
    };
    let line = limits.filter(|_| unit == "ns").and_then(|l| l.line_round_trip_ns_p99);
    let line = line.map(|ns| (format!("one line {}", words::nanos(ns)), ns as f64));
    let mut value = context! {
        class => class,
        word => words::outcome(fit.map(|fit| fit.outcome)),
        headline => headline(fit),
        simulated => run.simulated(),
        sentence => fit.map_or(String::new(), |fit| fit.sentence.clone()),
        noise => fit.map_or(String::new(), |fit| fit.noise.clone()),
        unconfirmed => if confirmation.is_none() { unconfirmed(fit) } else { "" },
        limit_words => limits.map_or_else(
            || "No limit of a machine stands beside these figures: the problem is simulated, or the log has no header.".into(),
            distance_words,
        ),
    };
    if let Some(p99) = fit.and_then(|fit| fit.p99).filter(|_| confirmation.is_none()) {
        value = context! { incumbent_alone => arm(&p99.incumbent, unit), ..value };
    }
    if let Some(confirmation) = confirmation {
        let valid = confirmation.valid();
        let confirmed = context! {
            incumbent => arm(&confirmation.objective_incumbent, unit),
            tuned => arm(&confirmation.objective_tuned, unit),
            change => words::change(confirmation.ratio.estimate),
            change_ends => words::change_ends(&confirmation.ratio),
            pairs => valid,
            chart => charts::intervals(confirmation, unit, line).map(|chart| chart.value()),
            beside => fit.map(|fit| beside(fit, confirmation, unit).value()),
            distance => distance(confirmation, limits, unit).map(|table| table.value()),
        };
        value = context! { confirmed => confirmed, ..value };
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_fit_there_is_no_verdict() {
        assert!(headline(None).contains("no verdict"));
        assert!(unconfirmed(None).contains("interrupted"));
    }
}
