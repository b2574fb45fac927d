//! Best knobs by scenario: the lowest p99 that each scenario and condition saw, and whether one setting won everywhere.
//!
//! These are observations, not a verdict: the lowest of many noisy figures owes part of its place to luck.
//! The recommendation is the model's, over all scenarios at once, and stands in `search`.

use crate::{
    run::Run,
    table::{Cell, Table},
    words,
};
use minijinja::{Value, context};
use rtt_measure::{Arm, Fit, Origin, Point, TrialRecord, Verdict, point_of};
use rtt_profile::{KNOB_NAMES, Pin, Wait};
use std::collections::{BTreeMap, BTreeSet};

/// Fewer points than this in a condition cannot spread over seven knobs.
const FEW_POINTS: usize = 10;
/// Two single runs of the same knobs differ by less than this many standard deviations of one, in 95 % of cases: 1.96 √2.
const NOISE_SDS: f64 = 2.772;
const MORE: &str = "cargo xtask tune --scenario steady --scenario busy --scenario frugal";

/// How far the lowest stands from the next, against what equal knobs differ by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead {
    /// The placebo differs from itself by as much.
    Within,
    /// More than the placebo explains.
    Clear,
    /// There is no placebo to compare with.
    Unknown,
    /// No other point has a result here.
    Alone,
}

/// The lowest run of one point in one scenario and condition.
struct Seen<'a> {
    trial: &'a TrialRecord,
    point: Point,
    p99: u64,
}

/// One scenario and condition that has settled trials of the search.
struct Row<'a> {
    scenario: &'a str,
    faulted: bool,
    /// One for each point that kept the budgets, lowest first.
    seen: Vec<Seen<'a>>,
    lead: Lead,
}

impl Row<'_> {
    fn best(&self) -> Option<&Seen<'_>> {
        self.seen.first()
    }

    fn next_ratio(&self) -> Option<f64> {
        let [best, next, ..] = self.seen.as_slice() else { return None };
        Some(next.p99 as f64 / best.p99 as f64)
    }
}

/// p99 of a run that settled, in nanoseconds; at least 1, so that it has a logarithm.
fn settled_p99(trial: &TrialRecord) -> Option<u64> {
    Some(trial.quantiles.filter(|_| trial.verdict == Verdict::Settled)?.p99.max(1))
}

/// The trials that may compete: the ids of the points that kept every budget, without random search.
fn eligible(fit: &Fit) -> BTreeSet<&str> {
    let points = fit.points.iter().filter(|point| point.feasible && point.origin != Origin::Random);
    points.flat_map(|point| point.trials.iter().map(String::as_str)).collect()
}

/// Standard deviation of ln p99 between the placebo's runs of one scenario, pooled over the scenarios of a condition.
///
/// `None` below two degrees of freedom, as three runs of one scenario have.
fn placebo_noise(run: &Run, faulted: bool) -> Option<f64> {
    let mut scenarios: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (_, trial) in &run.trials {
        if trial.arm == Arm::Placebo
            && trial.faults.is_some() == faulted
            && let Some(p99) = settled_p99(trial)
        {
            scenarios.entry(&trial.scenario.name).or_default().push((p99 as f64).ln());
        }
    }
    let (mut squares, mut freedom) = (0.0, 0);
    for logs in scenarios.values() {
        let mean = logs.iter().sum::<f64>() / logs.len() as f64;
        squares += logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>();
        freedom += logs.len() - 1;
    }
    (freedom >= 2).then(|| (squares / freedom as f64).sqrt())
}

/// The noise of one run: the placebo's in the log, or the fit's, which is that of the whole objective.
fn noise(run: &Run, faulted: bool) -> Option<f64> {
    let fitted = || run.fit.as_ref().and_then(|fit| fit.noise_log_sd).filter(|sd| sd.is_finite() && *sd >= 0.0);
    placebo_noise(run, faulted).or_else(fitted)
}

/// The rows of `run` in the order of its header, calm before faulted.
fn rows(run: &Run) -> Vec<Row<'_>> {
    let eligible = run.fit.as_ref().map(eligible);
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (_, trial) in &run.trials {
        let searched = matches!(trial.arm, Arm::Search | Arm::Incumbent | Arm::Default | Arm::Control);
        let Some(p99) = settled_p99(trial).filter(|_| searched && trial.pair.is_none()) else { continue };
        let (scenario, faulted) = (trial.scenario.name.as_str(), trial.faults.is_some());
        let at = rows.iter().position(|row| (row.scenario, row.faulted) == (scenario, faulted)).unwrap_or_else(|| {
            rows.push(Row { scenario, faulted, seen: Vec::new(), lead: Lead::Alone });
            rows.len() - 1
        });
        let kept = match &eligible {
            Some(ids) => ids.contains(trial.id.as_str()),
            None => trial.handled >= trial.sent,
        };
        if !kept {
            continue;
        }
        let (seen, point) = (&mut rows[at].seen, point_of(&trial.knobs));
        match seen.iter_mut().find(|seen| seen.point == point) {
            Some(known) if known.p99 <= p99 => {}
            Some(known) => (known.trial, known.p99) = (trial, p99),
            None => seen.push(Seen { trial, point, p99 }),
        }
    }
    let place =
        |name: &str| run.header.iter().flat_map(|h| &h.scenarios).position(|s| s.name == name).unwrap_or(usize::MAX);
    rows.sort_by_key(|row| (place(row.scenario), row.scenario, row.faulted));
    let noise = [noise(run, false), noise(run, true)];
    for row in &mut rows {
        row.seen.sort_by_key(|seen| seen.p99);
        row.lead = match (row.next_ratio(), noise[usize::from(row.faulted)]) {
            (None, _) => Lead::Alone,
            (Some(_), None) => Lead::Unknown,
            (Some(ratio), Some(sd)) if ratio.ln() <= NOISE_SDS * sd => Lead::Within,
            _ => Lead::Clear,
        };
    }
    rows
}

fn table(rows: &[Row<'_>]) -> Table {
    let head = ["Scenario", "Condition", "#Lowest p99", "#CPU", "#Points", "Next lowest", "Knobs"];
    let mut table =
        Table::new("Best knobs by scenario: lowest observations, flattered by noise, not the recommendation", &head);
    let none = "no settled trial kept the budgets";
    for row in rows {
        let best = row.best();
        let next = row.next_ratio().map(|ratio| {
            let lead = match row.lead {
                Lead::Within => ", within the noise",
                Lead::Clear => ", clear of the noise",
                Lead::Unknown | Lead::Alone => "",
            };
            format!("{}{lead}", words::change(ratio))
        });
        table.row(vec![
            Cell::text(row.scenario),
            Cell::text(words::condition(row.faulted)),
            Cell::or(best.map(|best| words::nanos(best.p99)), none),
            Cell::or(best.map(|best| words::cpus(best.trial.cpu_millicores as f64)), none),
            Cell::figure(row.seen.len().to_string()),
            next.map_or_else(|| Cell::absent("no other point kept the budgets here"), Cell::text),
            best.map_or_else(|| Cell::absent(none), |best| Cell::text(words::point(&best.point))),
        ]);
    }
    table
}

fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The places that `pick` takes of `rows`: a scenario's name alone where it takes all conditions of the scenario.
fn places(rows: &[Row<'_>], pick: impl Fn(&Row<'_>) -> bool) -> String {
    let mut parts = Vec::new();
    for row in rows.iter().filter(|row| pick(row)) {
        let whole = rows.iter().filter(|other| other.scenario == row.scenario).all(&pick);
        let part = if whole {
            row.scenario.to_owned()
        } else {
            format!("{} ({})", row.scenario, words::condition(row.faulted))
        };
        if parts.last() != Some(&part) {
            parts.push(part);
        }
    }
    list(&parts)
}

/// How sure the places that `pick` takes are of their best; they are named only where they are not of one mind.
fn leads(rows: &[Row<'_>], pick: impl Fn(&Row<'_>) -> bool) -> String {
    let mut parts = Vec::new();
    let readings = [
        (Lead::Clear, "leads the next lowest by more than the placebo noise"),
        (Lead::Within, "is within the placebo noise of the next lowest, so chance may have ordered them"),
        (Lead::Unknown, "cannot be held against the placebo noise, which is not known"),
        (Lead::Alone, "met no other point that kept the budgets"),
    ];
    for (lead, reading) in readings {
        let at = places(rows, |row| pick(row) && row.lead == lead);
        if !at.is_empty() {
            let all = at == places(rows, &pick);
            parts.push(if all { format!("it {reading}") } else { format!("in {at} it {reading}") });
        }
    }
    parts.join("; ")
}

/// Why one setting may win at every load, as far as the trials show it.
fn reason(rows: &[&Row<'_>], best: &Seen<'_>) -> String {
    let knobs = &best.trial.knobs;
    let waits = |row: &Row<'_>| row.seen.iter().any(|seen| seen.trial.knobs.wait != knobs.wait);
    // On one CPU the producer is the other work.
    let idle = match knobs.pin {
        Pin::SameCpu => "",
        _ => ", and outside the planned faults its CPU has no other work",
    };
    let mut text = if !rows.iter().any(|row| waits(row)) {
        "No other wait strategy kept the budgets, so the wait could not differ.".to_owned()
    } else {
        match knobs.wait {
            Wait::Spin => format!("It spins: a consumer that never sleeps pays for no wake-up at any load{idle}."),
            Wait::Yield => format!("It yields and never sleeps: it pays for no wake-up at any load{idle}."),
            Wait::Futex if knobs.spin_us == 0 => {
                "It sleeps at once: the load changes how often it sleeps, not what a wake-up costs.".into()
            }
            Wait::Futex => format!(
                "It sleeps after spinning for {}: the load changes how often it sleeps, not what a wake-up costs.",
                words::axis_value("spin_us", &rtt_measure::Value::Integer(i64::from(knobs.spin_us))),
            ),
        }
    };
    let fewest = rows.iter().map(|row| row.seen.len()).min().unwrap_or(0);
    if fewest < FEW_POINTS {
        let points = words::counted(fewest as u64, "point");
        text.push_str(&format!(" With only {points} to choose from where there were fewest, a better one for a single scenario may not have been met."));
    }
    text
}

/// Knobs in which the points differ, each with its values and where they won.
fn differences(rows: &[Row<'_>]) -> String {
    let mut parts = Vec::new();
    for axis in KNOB_NAMES {
        let show = |row: &Row<'_>| {
            // An axis that a wait strategy does not have differs only with the strategy, which is named.
            row.best()?.point.get(axis).map(|value| words::axis_value(axis, value))
        };
        let mut values: Vec<String> = Vec::new();
        for value in rows.iter().filter_map(show) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        if values.len() > 1 {
            let at = |value: &String| format!("{value} in {}", places(rows, |row| show(row).as_ref() == Some(value)));
            parts.push(format!(
                "{} ({})",
                words::axis_name(axis),
                values.iter().map(at).collect::<Vec<_>>().join("; ")
            ));
        }
    }
    list(&parts)
}

/// What the rows say together.
fn reading(rows: &[Row<'_>]) -> String {
    let measured: BTreeSet<&str> = rows.iter().map(|row| row.scenario).collect();
    if measured.len() == 1 {
        return format!(
            "The run measured one scenario, so its best knobs have none to be compared with; `{MORE}` measures more."
        );
    }
    let mut groups: Vec<(&Seen<'_>, Vec<&Row<'_>>)> = Vec::new();
    for row in rows {
        let Some(best) = row.best() else { continue };
        match groups.iter_mut().find(|(known, _)| known.point == best.point) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((best, vec![row])),
        }
    }
    let winners: BTreeSet<&str> = rows.iter().filter(|row| row.best().is_some()).map(|row| row.scenario).collect();
    if winners.len() < 2 {
        return "Fewer than two scenarios have a trial that kept the budgets, so there is nothing to compare.".into();
    }
    if let [(best, same)] = groups.as_slice() {
        let won = places(rows, |row| row.best().is_some());
        let leads = leads(rows, |row| row.best().is_some());
        let all = rows.iter().all(|row| row.best().is_some());
        let reach = if all { "everywhere" } else { "wherever a trial kept the budgets" };
        return format!("One setting won {reach}, in {won}: {leads}. {}", reason(same, best));
    }
    let mut text = format!("The best knobs differ in {}.", differences(rows));
    let noisy = places(rows, |row| row.lead == Lead::Within);
    if !noisy.is_empty() {
        text.push_str(&format!(
            " In {noisy} the lead is within the placebo noise: there the difference may be chance."
        ));
    }
    for (best, same) in &groups {
        let scenarios: BTreeSet<&str> = same.iter().map(|row| row.scenario).collect();
        if scenarios.len() > 1 {
            let shares = |row: &Row<'_>| row.best().is_some_and(|own| own.point == best.point);
            let (won, leads) = (places(rows, shares), leads(rows, shares));
            text.push_str(&format!(" One setting won in {won}: {leads}. {}", reason(same, best)));
        }
    }
    text
}

/// The table and its reading for the template.
pub fn section(run: &Run) -> Value {
    let rows = rows(run);
    if rows.is_empty() {
        let why = if run.log_tip.is_none() {
            "the run has no trial log: a simulated problem does not tell its scenarios apart"
        } else {
            "the log holds no settled trial of the search yet"
        };
        return context! { absent => why };
    }
    let judged = if run.fit.is_some() {
        "A point that broke a budget in any scenario is left out of all, and so is random search."
    } else {
        "There is no fit yet, so the budgets are not judged: only trials that lost a message are left out."
    };
    let borrowed =
        |row: &Row<'_>| matches!(row.lead, Lead::Within | Lead::Clear) && placebo_noise(run, row.faulted).is_none();
    // A mean over scenarios spreads less than one of its runs, so a lead looks clearer than it is.
    let noise = if rows.iter().any(borrowed) {
        " The log has too few placebo runs of their own: the noise is that of the whole objective, and a single run\u{2019}s is larger."
    } else {
        ""
    };
    context! {
        table => table(&rows).value(),
        reading => reading(&rows),
        caveat => format!("Each is the lowest of single observations, which noise flatters. They are not the recommendation, which is one point for all scenarios by the model. {judged}{noise}"),
    }
}
