//! The verdict for other programs: Markdown, JUnit XML, annotations, and the JSON of two benchmark trackers.

use crate::comparison::Comparison;
use crate::screen::{note, print};
use crate::words::{broken, difference, p99, rate_of_fail, word};
use rtt_measure::{Gate, GateBudget, GateScenario, GateVerdict, Interval, Stop};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Annotations of one kind that hosted CI shows for a step.
const ANNOTATIONS_MAX: usize = 10;

/// Writes every form beside the logs.
///
/// # Errors
/// A stop when one cannot be written.
pub fn write(comparison: &Comparison, gate: &Gate) -> Result<(), Stop> {
    let pretty = |value: &Value| serde_json::to_vec_pretty(value).expect("it is JSON");
    comparison.write("verdict.json", &serde_json::to_vec_pretty(gate).expect("a gate is JSON"))?;
    comparison.write("summary.md", markdown(gate).as_bytes())?;
    comparison.write("junit.xml", junit(gate).as_bytes())?;
    comparison.write("bencher.json", &pretty(&bencher(gate)))?;
    comparison.write("smaller.json", &pretty(&smaller(gate)))
}

/// What a table cell or a heading of Markdown must not hold.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}

/// A table for a pull request.
fn markdown(gate: &Gate) -> String {
    let mut text = format!("### {}\n\n", cell(&gate.sentence));
    text.push_str("| scenario | base p99 | head p99 | difference | verdict |\n|--|--:|--:|--:|--|\n");
    for scenario in &gate.scenarios {
        let (base, head) = (p99(scenario.base.as_ref()), p99(scenario.candidate.as_ref()));
        let row = [&scenario.scenario, &base, &head, &difference(scenario), word(scenario.verdict)].map(cell_of);
        writeln!(text, "| {} |", row.join(" | ")).expect("a string takes all text");
    }
    let arms = [("base", &gate.base), ("head", &gate.candidate)]
        .map(|(name, arm)| format!("{name} {} (`{}`)", cell(&arm.name), &arm.executable.to_string()[..12]));
    writeln!(
        text,
        "\n{}. Machine `{}`. For alike builds FAIL has a rate of at most {} %; {}.",
        arms.join(", "),
        gate.machine,
        (1e4 * rate_of_fail(gate)).round() / 100.0,
        if gate.fresh { "fresh wealth" } else { "wealth continued" }
    )
    .expect("a string takes all text");
    for scenario in &gate.scenarios {
        for budget in scenario.budgets.iter().filter(|budget| budget.broken && budget.decides) {
            writeln!(text, "- `{}`: {}", scenario.scenario, cell(&broken(budget))).expect("a string takes all text");
        }
        if let Some(ratio) = scenario.detectable {
            writeln!(text, "- `{}`: would find +{:.1} % nine times in ten", scenario.scenario, 100.0 * ratio)
                .expect("a string takes all text");
        }
    }
    text
}

fn cell_of(text: impl AsRef<str>) -> String {
    cell(text.as_ref())
}

/// Text of an XML attribute or element; control characters have no place in XML 1.0.
fn xml(text: &str) -> String {
    let clean = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    clean
        .map(|c| match c {
            '&' => "&amp;".into(),
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            '"' => "&quot;".into(),
            c => c.to_string(),
        })
        .collect()
}

/// One case for the comparison of each scenario and one for each of its budgets.
fn junit(gate: &Gate) -> String {
    let mut cases = Vec::new();
    for scenario in &gate.scenarios {
        let name = format!("{}: p99 against base", scenario.scenario);
        cases.push(match scenario.verdict {
            GateVerdict::Fail => case(&name, "failure", &scenario.why),
            GateVerdict::Undecided => case(&name, "skipped", &format!("undecided: {}", scenario.why)),
            GateVerdict::Pass | GateVerdict::Breach => case(&name, "", ""),
        });
        cases.extend(scenario.budgets.iter().map(|budget| {
            let name = format!("{}: {} budget", scenario.scenario, budget.name);
            match (budget.broken, budget.decides) {
                (true, true) => case(&name, "failure", &broken(budget)),
                (true, false) => case(&name, "skipped", &format!("decides nothing: {}", broken(budget))),
                (false, _) => case(&name, "", ""),
            }
        }));
    }
    let count = |kind: &str| cases.iter().filter(|case| case.contains(&format!("<{kind} "))).count();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"rtt-gate\" tests=\"{}\" failures=\"{}\" errors=\"0\" \
         skipped=\"{}\">\n{}</testsuite>\n",
        cases.len(),
        count("failure"),
        count("skipped"),
        cases.concat()
    )
}

fn case(name: &str, kind: &str, message: &str) -> String {
    let name = xml(name);
    match kind {
        "" => format!("  <testcase classname=\"slo\" name=\"{name}\"/>\n"),
        kind => {
            format!("  <testcase classname=\"slo\" name=\"{name}\"><{kind} message=\"{}\"/></testcase>\n", xml(message))
        }
    }
}

fn measures(scenario: &GateScenario) -> Vec<(&'static str, Interval)> {
    let found = scenario.candidate;
    found.map_or_else(Vec::new, |found| {
        vec![
            ("latency_typical_p99", found.typical_ns_p99),
            ("latency_p50", found.latency_ns_p50),
            ("latency_p95", found.latency_ns_p95),
            ("latency_p99", found.latency_ns_p99),
            ("latency_p999", found.latency_ns_p999),
        ]
    })
}

/// Bencher Metric Format: benchmark, measure, value with bounds; latencies in nanoseconds.
fn bencher(gate: &Gate) -> Value {
    let mut benchmarks = Map::new();
    for scenario in &gate.scenarios {
        let measures: Map<String, Value> = measures(scenario)
            .into_iter()
            .map(|(name, found)| {
                let value = json!({"value": found.estimate, "lower_value": found.low, "upper_value": found.high});
                (name.to_owned(), value)
            })
            .collect();
        benchmarks.insert(format!("rtt/{}", scenario.scenario), measures.into());
    }
    benchmarks.into()
}

/// The list of smaller-is-better figures that other trackers read.
fn smaller(gate: &Gate) -> Value {
    let rows = gate.scenarios.iter().flat_map(|scenario| {
        measures(scenario).into_iter().map(|(name, found)| {
            json!({
                "name": format!("{} {name}", scenario.scenario), "unit": "ns", "value": found.estimate,
                "range": format!("{:.0} to {:.0}", found.low, found.high),
            })
        })
    });
    rows.collect()
}

/// One annotation: what is wrong, how wrong (for the order), and its words.
fn findings(gate: &Gate) -> Vec<(f64, String)> {
    let over = |budget: &GateBudget| match budget.at_least {
        true => budget.budget / budget.found.high.max(f64::MIN_POSITIVE),
        false => budget.found.low / budget.budget.max(f64::MIN_POSITIVE),
    };
    let mut found: Vec<(f64, String)> = Vec::new();
    for scenario in &gate.scenarios {
        let name = &scenario.scenario;
        if scenario.verdict == GateVerdict::Fail {
            found.push((f64::INFINITY, format!("{name}: {}; p99 {}", scenario.why, difference(scenario))));
        }
        let budgets = scenario.budgets.iter().filter(|budget| budget.broken && budget.decides);
        found.extend(budgets.map(|budget| (over(budget), format!("{name}: {}", broken(budget)))));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found
}

/// Prints the worst findings in the form that hosted CI turns into annotations, where that is `wanted`.
///
/// # Errors
/// A stop when they cannot be written.
pub fn annotate(gate: &Gate, wanted: bool, json: bool) -> Result<(), Stop> {
    if !wanted {
        return Ok(());
    }
    let escaped = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    for (_, text) in findings(gate).iter().take(ANNOTATIONS_MAX) {
        let line = format!("::error title=p99 gate::{}", escaped(text));
        // Hosted CI reads both streams; stdout is the document's alone where one was asked for.
        if json { note(&line) } else { print(&line)? }
    }
    Ok(())
}
