//! The page of a run: all its sections put into the template.

use crate::{
    by_scenario, confirmation, environment, evidence, machine,
    run::Run,
    search,
    template::{RenderError, fill},
    trials, verdict, words,
};
use minijinja::{Value, context};
use rtt_measure::Outcome;

/// What else a reader should know, from the tuner and from reading.
fn notes(run: &Run) -> Vec<String> {
    let mut notes: Vec<String> = run.fit.iter().flat_map(|fit| fit.notes.clone()).collect();
    if run.fit.is_none() {
        notes.push("There is no fit.json: the run was interrupted, or is still going. Figures of the search are the log\u{2019}s own, without the tuner\u{2019}s weights and model.".into());
    }
    if run.log_tip.is_none() {
        notes.push("There is no trial log: a simulated problem answers with figures alone, so this page has no latency curves, host, faults or trials.".into());
    }
    if run.torn_bytes > 0 {
        notes.push(format!(
            "The log ends in {} bytes of a line that was never finished; they were not read.",
            run.torn_bytes
        ));
    }
    if run.fit.as_ref().is_some_and(|fit| fit.quick) {
        notes
            .push("This was a quick run: few points, short trials. Take its verdict, not its fine differences.".into());
    }
    notes
}

fn header(run: &Run) -> Value {
    let outcome = run.fit.as_ref().map(|fit| fit.outcome);
    let place = match (&run.header, &run.fit) {
        (Some(header), _) => header.fingerprint.machine.model_name.clone(),
        (None, Some(fit)) => format!("simulated problem {}", fit.problem),
        (None, None) => "a host that the log does not name".into(),
    };
    let mut place = vec![run.name.clone(), place];
    place.extend(run.header.as_ref().map(|header| words::date(header.created_unix_s)));
    place.extend((run.simulated() && run.header.is_some()).then(|| "simulated".into()));
    place.extend(run.fit.as_ref().filter(|fit| fit.quick).map(|_| "quick run".into()));
    context! {
        kind => "tuning report",
        title => format!("{} \u{2013} {}", words::outcome(outcome), run.name),
        place => place,
        source => "Drawn from the trial log and the fit alone.",
        keeps => matches!(outcome, Some(Outcome::NoBetter | Outcome::Undecided)),
    }
}

/// The page of `run`: one file that needs nothing else.
///
/// # Errors
/// [`RenderError`], which only a defect of this program causes.
pub fn render(run: &Run) -> Result<String, RenderError> {
    let values = context! {
        header => header(run),
        verdict => verdict::section(run),
        knobs => search::knobs(run),
        search => search::sections(run),
        by_scenario => by_scenario::section(run),
        confirmation => confirmation::sections(run),
        machine => machine::section(run),
        faults => trials::faults(run),
        trials => trials::section(run),
        environment => environment::section(run),
        evidence => evidence::section(run),
        notes => notes(run),
    };
    // REPORT-1: `fill` escapes every text in these values.
    fill("page.html", &run.name, values)
}
