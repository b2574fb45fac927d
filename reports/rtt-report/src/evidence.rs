//! Where the figures come from: digests of all that went in, and the commands that make them again.

use crate::{
    run::Run,
    table::{Cell, Table},
    words,
};
use minijinja::{Value, context};
use rtt_measure::Fit;

fn digests(run: &Run) -> Table {
    let mut table = Table::new("Digests (BLAKE3)", &["What", "Name", "Digest"]);
    let mut add = |what: &str, name: &str, digest: Option<String>, why: &str| {
        table.row(vec![Cell::text(what), Cell::text(name), digest.map_or_else(|| Cell::absent(why), Cell::code)]);
    };
    add(
        "trial log, last line",
        "trials.jsonl",
        run.log_tip.map(|d| d.to_string()),
        "the run has no trial log, or an empty one",
    );
    add("fit", "fit.json", run.fit_digest.map(|d| d.to_string()), "the run was interrupted before its fit was written");
    if let Some(header) = &run.header {
        for scenario in &header.scenarios {
            add("scenario", &scenario.name, Some(scenario.digest.to_string()), "");
        }
        for plan in &header.faults {
            add("fault plan", &plan.name, Some(plan.digest.to_string()), "");
        }
        for (arm, endpoint) in &header.endpoints {
            let name = if arm == "*" { "every arm" } else { arm };
            add("endpoint", name, Some(endpoint.digest.to_string()), "");
        }
    }
    table
}

fn has_option(fit: &Fit, option: &str) -> bool {
    fit.options.iter().any(|word| word == option || word.starts_with(&format!("{option}=")))
}

/// The commands for the same run, and for what comes next.
fn commands(run: &Run) -> Table {
    let mut table = Table::new("Commands", &["To", "Type"]);
    let mut add = |what: &str, command: String| table.row(vec![Cell::text(what), Cell::code(command)]);
    let name = words::shell_word(&run.name);
    let root = run.root.as_ref().map(|root| format!(" --root {}", words::shell_word(&root.to_string_lossy())));
    let root = root.unwrap_or_default();
    match &run.fit {
        Some(fit) => {
            // Before the rest: the words of a simulated program end only with the next option.
            let mut command = format!("cargo xtask tune{root}");
            for option in &fit.options {
                command.push(' ');
                command.push_str(&words::shell_word(option));
            }
            if !has_option(fit, "--seed") {
                command.push_str(&format!(" --seed {}", words::shell_word(&fit.seed)));
            }
            add("measure again with the same seed", command);
        }
        None => add("continue where the run stopped", format!("cargo xtask tune --resume {name}{root}")),
    }
    add("draw this page again", format!("cargo xtask report {name}{root}"));
    if run.log_tip.is_some() {
        add("compare with another run", format!("cargo xtask report {name} OTHER_RUN{root}"));
    }
    table
}

fn setup(run: &Run) -> Table {
    let mut table = Table::new("How it was run", &["What", "Value"]);
    let mut add = |what: &str, value: String| table.row(vec![Cell::text(what), Cell::text(value)]);
    add("run", run.name.clone());
    if let Some(fit) = &run.fit {
        add("problem", fit.problem.clone());
        add("solver", fit.solver.clone());
        add("seed", fit.seed.clone());
        add("measuring time", words::span_ms(fit.spent_ms));
        if !fit.weights.is_empty() {
            let weights = fit.weights.iter().map(|(name, weight)| format!("{name} {}", words::significant(*weight)));
            add("weights in the objective", weights.collect::<Vec<_>>().join(", "));
        }
        let parts = fit.time.parts.iter().map(|(part, ms)| format!("{part} {}", words::span_ms(*ms)));
        add("where the time went", parts.collect::<Vec<_>>().join(", "));
        let whole: u64 = fit.time.parts.iter().map(|(_, ms)| ms).sum();
        if let Some(permille) = (1000 * fit.time.lost_ms).checked_div(whole) {
            add("lost to the host", format!("{:.1} %", permille as f64 / 10.0));
        }
        add("runs under faults", if fit.faults { "in the confirmation" } else { "left out" }.into());
    }
    if let Some(header) = &run.header {
        add("began", words::date(header.created_unix_s));
        add("lab", header.tool.clone());
    }
    for capacity in &run.capacities {
        let rate = rtt_units::Rate(capacity.per_s).to_string();
        add("capacity with the default knobs", format!("{}: {rate}", capacity.scenario));
    }
    add("drawn by", format!("rtt-report {}", env!("CARGO_PKG_VERSION")));
    table
}

/// The evidence for the template.
pub fn section(run: &Run) -> Value {
    context! { digests => digests(run).value(), commands => commands(run).value(), setup => setup(run).value() }
}
