//! What the run ran under, how quiet it was, and what the host could not give.

use crate::{
    run::Run,
    table::{Cell, Table},
    words,
};
use minijinja::{Value, context};
use rtt_measure::{Regime, RunRecord, TrialRecord, Verdict};
use std::collections::{BTreeMap, BTreeSet};

fn conditions(header: &RunRecord) -> Table {
    let conditions = &header.fingerprint.conditions;
    let mut table = Table::new("Conditions and environment", &["Name", "Value"]);
    let mut add = |name: &str, value: &str| table.row(vec![Cell::text(words::name(name)), Cell::text(value)]);
    add("kernel", &conditions.kernel);
    add("microcode", &conditions.microcode);
    add("governor", &conditions.governor);
    add("transparent huge pages", &conditions.thp);
    for (name, value) in &header.environment {
        add(name, value);
    }
    add("mitigations", &conditions.mitigations);
    table
}

/// What the rest of the machine did, summed over trials.
fn interference(trials: &[&TrialRecord]) -> Table {
    let mut table = Table::new("The rest of the machine during all trials", &["What", "#Sum", "#Worst trial"]);
    let mut add = |name: &str, of: &dyn Fn(&TrialRecord) -> Option<u64>| {
        let values: Vec<u64> = trials.iter().filter_map(|t| of(t)).collect();
        let print = |us: u64| if us == 0 { "0".into() } else { words::nanos(us.saturating_mul(1000)) };
        let absent = "the kernel has no pressure-stall information";
        table.row(vec![
            Cell::text(name),
            Cell::or((!values.is_empty()).then(|| print(values.iter().sum())), absent),
            Cell::or(values.iter().max().map(|us| print(*us)), absent),
        ]);
    };
    add("stolen by the hypervisor", &|t| Some(t.interference.steal_us));
    add("stalled for CPU", &|t| t.interference.psi_cpu_us);
    add("stalled for memory", &|t| t.interference.psi_memory_us);
    add("stalled for I/O", &|t| t.interference.psi_io_us);
    table
}

/// One counter over all trials.
#[derive(Default)]
struct Present<'a> {
    present: usize,
    of: usize,
    absent: Option<&'a str>,
    notes: BTreeSet<&'a str>,
}

/// Counters of the endpoint: how many trials have each and what the count is worth, or why it is absent.
fn counters(trials: &[&TrialRecord]) -> Table {
    let mut seen: BTreeMap<&str, Present> = BTreeMap::new();
    for counter in trials.iter().flat_map(|t| &t.counters) {
        let entry = seen.entry(counter.name.as_str()).or_default();
        entry.of += 1;
        entry.present += usize::from(counter.value.is_some());
        entry.absent = entry.absent.or(counter.absent.as_deref());
        entry.notes.extend(counter.note.as_deref());
    }
    let mut table = Table::new("Performance counters of the endpoint", &["Counter", "Present"]);
    for (name, Present { present, of, absent, notes }) in seen {
        let mut state = match absent {
            Some(why) if present == 0 => why.to_owned(),
            _ => format!("in {}", words::share(present, of)),
        };
        for note in notes {
            state.push_str(&format!(", {note}"));
        }
        table.row(vec![Cell::text(words::name(name)), Cell::text(state)]);
    }
    table
}

/// The noise of the run in words, most telling first.
fn noise(run: &Run) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(fit) = &run.fit {
        said.push(fit.noise.clone());
        if let Some(sd) = fit.noise_log_sd.filter(|sd| sd.is_finite()) {
            // Two runs of equal knobs differ by less than this in 95 of 100 cases.
            let apart = words::significant_digits(((1.96 * std::f64::consts::SQRT_2 * sd).exp() - 1.0) * 100.0, 2);
            said.push(format!(
                "Two single runs must differ by more than {apart}\u{202f}% before noise is an unlikely cause."
            ));
        } else {
            said.push("The placebo did not run often enough to know the noise.".into());
        }
    }
    let of = run.trials.len();
    if of > 0 {
        let lost = of - run.count(Verdict::Settled);
        said.push(match lost {
            0 => "Every trial settled.".into(),
            lost => format!("{} trials gave no result.", words::share(lost, of)),
        });
    }
    let regimes = run.regimes();
    let probed: Vec<_> = run.trials.iter().filter_map(|(_, trial)| trial.regime).collect();
    for ([a, b], found) in regimes.iter() {
        let levels: Vec<String> = found.levels().iter().map(|level| words::nanos(level.center_ns)).collect();
        let of_pair: Vec<_> = probed.iter().filter(|probe| probe.cpus == [a, b]).collect();
        let mixed = of_pair.iter().filter(|probe| regimes.of(probe) == Regime::Mixed).count();
        said.push(match levels.as_slice() {
            [one] => format!("One line went between CPUs {a} and {b} and back in about {one} throughout: the pair has one regime."),
            _ => format!(
                "One line went between CPUs {a} and {b} and back in {}: the pair has {} regimes, and {} met a switch (mixed).",
                levels.join(" or "),
                levels.len(),
                words::share(mixed, of_pair.len())
            ),
        });
    }
    said.retain(|sentence| !sentence.is_empty());
    said
}

/// The environment for the template.
pub fn section(run: &Run) -> Value {
    let noise = noise(run);
    let Some(header) = &run.header else {
        let why = if run.log_tip.is_none() {
            "the run has no trial log: a simulated problem runs in no environment"
        } else {
            "the log has no header"
        };
        return context! { absent => why, noise => noise };
    };
    let trials: Vec<&TrialRecord> = run.trials.iter().map(|(_, trial)| trial).collect();
    let mut absent = Table::new("What this host cannot honour", &["Knob", "Value", "Why, and how to get it"]);
    for value in &header.absent {
        absent.row(vec![
            Cell::text(words::axis_name(&value.axis)),
            Cell::text(value.value.as_deref().map_or_else(|| "all".into(), words::name)),
            Cell::text(value.reason.clone()),
        ]);
    }
    let counters = counters(&trials);
    context! {
        noise => noise,
        conditions => conditions(header).value(),
        interference => interference(&trials).value(),
        no_trials => trials.is_empty(),
        counters => counters.value(),
        no_counters => counters.is_empty(),
        missing => absent.value(),
        none_missing => absent.is_empty(),
    }
}
