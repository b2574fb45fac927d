//! The page: all sections put into the template, and checked before it leaves.

use crate::{by_scenario, confirmation, environment, evidence, machine, run::Run, search, trials, verdict, words};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use rtt_measure::Outcome;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");

/// Why a page could not be made: the template and what fills it do not fit, which is a defect of this program.
#[derive(Debug, thiserror::Error)]
#[error("page of run {run}: the template does not take what was made for it; report this with the run's folder")]
pub struct RenderError {
    /// The run.
    pub run: String,
    /// What the template said.
    pub source: minijinja::Error,
}

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
    context! {
        run => run.name.as_str(),
        title => format!("{} \u{2013} {}", words::outcome(outcome), run.name),
        place => place,
        date => run.header.as_ref().map_or(String::new(), |header| words::date(header.created_unix_s)),
        trials => run.trials.len(),
        spent => run.fit.as_ref().map_or(String::new(), |fit| words::span_ms(fit.spent_ms)),
        quick => run.fit.as_ref().is_some_and(|fit| fit.quick),
        keeps => matches!(outcome, Some(Outcome::NoBetter | Outcome::Undecided)),
    }
}

/// The page of `run`: one file that needs nothing else.
///
/// # Errors
/// [`RenderError`], which only a defect of this program causes.
pub fn render(run: &Run) -> Result<String, RenderError> {
    let failed = |source| RenderError { run: run.name.clone(), source };
    let mut environment = Environment::new();
    // REPORT-1: what is not made by this program passes through the escape, whatever the template's name.
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    // A field that is misspelt in the template is an error, not an empty place.
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.add_template("page.html", TEMPLATE).map_err(failed)?;
    let notes = notes(run);
    let values = context! {
        style => Value::from_safe_string(STYLE.into()),
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
        no_notes => notes.is_empty(),
        notes => notes,
    };
    let page = environment.get_template("page.html").and_then(|page| page.render(values)).map_err(failed)?;
    Ok(page.trim_start().to_owned()) // The macros before the document leave blank lines.
}
