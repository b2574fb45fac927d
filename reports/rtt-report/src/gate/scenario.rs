//! One scenario of a gate: verdict and why, latency, the bets, the pairs, regimes, budgets and defects.

use super::{GateFolder, latency};
use crate::{
    charts::{self, Chart},
    confirmation::regimes,
    table::{Cell, Table},
    words,
};
use minijinja::{Value, context};
use rtt_measure::{GateBudget, GateScenario, Interval, StallRow};

fn slot(chart: Option<Chart>, why: &str) -> Value {
    context! { chart => chart.map(|chart| chart.value()), absent => why }
}

/// How a budget stands: only a whole interval beyond it breaks it.
fn standing(budget: &GateBudget) -> Cell {
    let estimate = budget.found.estimate;
    let beyond = if budget.at_least { estimate < budget.budget } else { estimate > budget.budget };
    match (budget.broken, beyond, budget.decides) {
        (true, _, true) => Cell::of("bad", "broken"),
        (true, _, false) => {
            Cell::text("beyond it, and decides nothing: no tuned profile ran, or the host is too noisy")
        }
        (false, true, true) => Cell::text("beyond it, but its interval is not: not shown to be broken"),
        (false, true, false) => Cell::text("beyond it, but its interval is not; it would decide nothing"),
        (false, false, true) => Cell::of("ok", "kept"),
        (false, false, false) => Cell::of("ok", "kept; it would decide nothing"),
    }
}

fn budgets(scenario: &GateScenario) -> Table {
    let mut table = Table::new(
        "Budgets of the candidate",
        &["Budget", "#Found", "#95 %", "#Base", "#Base, 95 %", "#Allowed", "Unit", "Standing"],
    );
    for budget in &scenario.budgets {
        let bound = if budget.at_least { "at least" } else { "at most" };
        let figure = |value: f64| Some(words::significant(value));
        let ends = |of: &Interval| format!("{} to {}", words::significant(of.low), words::significant(of.high));
        table.row(vec![
            Cell::text(budget.name.clone()),
            Cell::or(figure(budget.found.estimate), ""),
            Cell::figure(ends(&budget.found)),
            Cell::or(budget.base.and_then(|base| figure(base.estimate)), "the base has fewer than two runs"),
            Cell::or(budget.base.map(|base| ends(&base)), "the base has fewer than two runs"),
            Cell::figure(format!("{bound} {}", words::significant(budget.budget))),
            Cell::text(budget.unit.clone()),
            standing(budget),
        ]);
    }
    table
}

fn defects(scenario: &GateScenario) -> Table {
    let mut table = Table::new("Defects: a crash, a hang, a loss over its budget", &["Arm", "Defect"]);
    for (arm, defects) in ["base", "candidate"].into_iter().zip(&scenario.defects) {
        for defect in defects {
            table.row(vec![Cell::text(arm), Cell::of("bad", defect.clone())]);
        }
    }
    table
}

/// The figures at the top: each with a second line, and the reason where there is none.
fn figures(scenario: &GateScenario) -> Value {
    let void = scenario.pairs.iter().filter(|pair| charts::pair_ratio(pair).is_none()).count();
    let valid = scenario.pairs.len() - void;
    let [base, candidate] = scenario.unsettled;
    let figure = |class: &str, name: &str, value: String, ends: String| {
        context! { class => class, name => name, value => value, ends => ends }
    };
    let ratio = match &scenario.ratio {
        Some(ratio) => {
            let ends = format!(
                "{}; 95\u{a0}%: {} ({} to {})",
                words::ratio(ratio.estimate),
                words::change_ends(ratio),
                words::ratio(ratio.low),
                words::ratio(ratio.high)
            );
            figure("tuned", "Candidate \u{f7} base, typical p99", words::change(ratio.estimate), ends)
        }
        None => {
            let why = "fewer than two pairs gave a ratio";
            figure("tuned", "Candidate \u{f7} base, typical p99", words::DASH.into(), why.into())
        }
    };
    let name = "Smallest slowdown that could be found";
    let detectable = match scenario.detectable {
        Some(share) => {
            let ends = "as many pairs with this spread would be told to be slower nine times in ten";
            figure("", name, words::percent_digits(share, 2), ends.into())
        }
        None => figure("", name, words::DASH.into(), "the spread between pairs is not known".into()),
    };
    let StallRow { stalled, slices, held_up, wealth_second_more } = scenario.stalls;
    let pairs = format!(
        "{void} void; base alone never settled in {base}, candidate alone in {candidate}; slices that stall: base {} of {}, \
         candidate {} of {}, wealth {}; slices left out, since the host held the generator up: {} and {}",
        stalled[0],
        slices[0],
        stalled[1],
        slices[1],
        charts::wealth_text(wealth_second_more),
        held_up[0],
        held_up[1]
    );
    vec![ratio, detectable, figure("", "Valid pairs", format!("{valid} of {}", scenario.pairs.len()), pairs)].into()
}

/// A scenario for the template; `index` tells the scenarios' charts apart.
pub fn section(folder: &GateFolder, scenario: &GateScenario, index: usize) -> Value {
    let gate = &folder.gate;
    let no_pairs = "no pair was run";
    let no_wealth = if scenario.pairs.is_empty() { no_pairs } else { "the error rate gives no wealth to reach" };
    let (regimes, budgets, defects) =
        (regimes(&scenario.regimes, "#Candidate \u{f7} base"), budgets(scenario), defects(scenario));
    context! {
        id => format!("scenario-{index}"),
        name => scenario.scenario.as_str(),
        class => words::gate_class(scenario.verdict),
        word => words::gate_verdict(scenario.verdict),
        why => scenario.why.as_str(),
        tolerance => words::percent(scenario.tolerance),
        figures => figures(scenario),
        latency => latency::quantiles(scenario),
        curves => latency::curves(folder, scenario, index),
        wealth => slot(charts::gate_wealth(&format!("wealth-{index}"), gate, scenario), no_wealth),
        pairs => slot(charts::gate_pairs(&format!("pairs-{index}"), scenario), no_pairs),
        no_regimes => regimes.is_empty(),
        regimes => regimes.value(),
        no_budgets => budgets.is_empty(),
        budgets => budgets.value(),
        no_defects => defects.is_empty(),
        defects => defects.value(),
    }
}
