//! Best knobs by scenario: when one setting wins everywhere, when not, and what the page says of it.

use crate::generator::{BETTER, make};
use crate::markup::judge;
use rtt_measure::{Arm, FitPoint, Origin, TrialRecord, knobs_of, point_of};
use rtt_profile::{Knobs, Wait};
use rtt_report::{Run, render};
use rtt_seal::Digest;
use rtt_units::Nanos;

const ONE: &str = "The run measured one scenario";
const SAME: &str = "One setting won everywhere, in ";
const DIFFER: &str = "The best knobs differ in ";

/// `spin`, `yield` or `futex`, with the other knobs equal.
fn knobs(wait: &str) -> Knobs {
    let wait = match wait {
        "spin" => Wait::Spin,
        "yield" => Wait::Yield,
        "futex" => Wait::Futex,
        other => panic!("{other} is no wait"),
    };
    let knobs = Knobs { wait, spin_us: 100, ..Knobs::default_for(Nanos::from_micros(62)) };
    knobs_of(&point_of(&knobs)).expect("knobs")
}

/// A run whose log is made of `trials`: `SCENARIO CONDITION WAIT P99 [placebo|broken|random|lossy|paired]`, parted by commas.
fn run(trials: &str, fit: bool) -> Run {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("run-7");
    make(&folder, BETTER);
    let mut run = Run::read(&folder).expect("a run");
    let (digest, model) = run.trials[0].clone();
    let mut points = Vec::new();
    run.trials.clear();
    for (index, line) in trials.split(',').enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [scenario, condition, wait, p99, marks @ ..] = words.as_slice() else { panic!("{line}") };
        let mut trial: TrialRecord = model.clone();
        (trial.id, trial.arm, trial.knobs) = (format!("t{index}"), Arm::Search, knobs(wait));
        trial.scenario.name = (*scenario).to_owned();
        trial.faults = (*condition == "faulted").then(|| Digest::of(b"plan"));
        trial.quantiles.as_mut().expect("settled").p99 = p99.parse().expect("a p99");
        let is = |mark: &str| marks.contains(&mark);
        if is("placebo") {
            trial.arm = Arm::Placebo;
        } else {
            points.push(FitPoint {
                point: point_of(&trial.knobs),
                origin: if is("random") { Origin::Random } else { Origin::Model },
                trials: vec![trial.id.clone()],
                objective: None,
                posterior: None,
                feasible: !is("broken"),
                cpu_millicores: None,
            });
        }
        trial.handled -= u64::from(is("lossy"));
        trial.pair = is("paired").then_some(0);
        run.trials.push((digest, trial));
    }
    if let Some(made) = run.fit.as_mut().filter(|_| fit) {
        (made.points, made.recommended, made.lowest) = (points, None, None);
    } else {
        run.fit = None;
    }
    run
}

/// Draws the run and looks for texts in the section of the pick; thin spaces read as spaces.
fn check(run: &Run, expected: &[&str], absent: &[&str]) {
    let page = render(run).expect("a page");
    judge(&page);
    let from = page.find("<section id=\"why\"").expect("the section");
    let section = &page[from..from + page[from..].find("</section>").expect("its end")].replace('\u{202f}', " ");
    for text in expected {
        assert!(section.contains(text), "`{text}` is not in {section}");
    }
    for text in absent {
        assert!(!section.contains(text), "`{text}` is in {section}");
    }
}

const SPIN_WINS: &str = "steady calm spin 600, steady calm futex 9000, steady faulted spin 1600, steady faulted futex 9900, \
     busy calm spin 700, busy calm futex 8000";

#[test]
fn one_setting_that_wins_everywhere_is_said_with_its_reason() {
    let marked = "lowest observations, flattered by noise, not the recommendation";
    check(
        &run(SPIN_WINS, true),
        &[
            marked,
            "One setting won everywhere, in steady and busy: it leads the next lowest by more",
            "It spins: a consumer that never sleeps",
            "With only 2 points to choose from",
            "15 times as high, clear of the noise",
        ],
        &[DIFFER, ONE],
    );
    // Without a rival, the same outcome has another reason.
    check(
        &run("steady calm spin 600, busy calm spin 700", true),
        &[SAME, "it met no other point", "No other wait strategy kept the budgets"],
        &["It spins", DIFFER],
    );
}

#[test]
fn a_lead_is_held_against_the_placebo_of_its_condition() {
    let close = "steady calm spin 600, steady calm futex 660, busy calm spin 700, busy calm futex 770";
    // The fit's own figure stands in where the log has too few runs of the placebo.
    check(
        &run(close, true),
        &[SAME, "it is within the placebo noise", "10 % higher, within", "too few placebo runs"],
        &[],
    );
    let quiet = ", steady calm futex 900 placebo, steady calm futex 901 placebo, steady calm futex 902 placebo";
    check(
        &run(&format!("{close}{quiet}"), true),
        &[SAME, "10 % higher, clear of the noise"],
        &["within the", "too few placebo runs"],
    );
    check(&run(close, false), &[SAME, "cannot be held against the placebo noise"], &["within the noise"]);
}

#[test]
fn settings_that_differ_are_named_knob_by_knob() {
    check(
        &run("steady calm spin 600, steady calm futex 9000, busy calm spin 9000, busy calm futex 600", true),
        &["The best knobs differ in wait (spin in steady; futex in busy)."],
        &[SAME, ONE],
    );
    // Two scenarios agree and one does not: the agreement has its reason too.
    let three = format!("{SPIN_WINS}, frugal calm yield 500, frugal calm spin 501");
    check(
        &run(&three, true),
        &[
            DIFFER,
            "spin in steady and busy",
            "yield in frugal",
            "In frugal the lead is within the placebo noise",
            "One setting won in steady and busy: it leads",
        ],
        &[SAME],
    );
    // One condition of a scenario is not the whole scenario.
    check(
        &run(&format!("{SPIN_WINS}, busy faulted yield 500, busy faulted spin 5000"), true),
        &["spin in steady and busy (calm)", "yield in busy (under faults)"],
        &[SAME],
    );
}

#[test]
fn one_scenario_is_said_with_the_command_for_more() {
    let more = "cargo xtask tune --scenario steady --scenario busy --scenario frugal";
    check(
        &run("steady calm spin 600, steady faulted futex 900", true),
        &[ONE, more, "under faults", "900 ns"],
        &[SAME, DIFFER],
    );
}

#[test]
fn without_a_fit_no_budget_is_judged() {
    check(&run(SPIN_WINS, false), &[SAME, "the budgets are not judged"], &["random search"]);
    let lossy = "steady calm spin 600 lossy, steady calm futex 9000, busy calm futex 900";
    check(&run(lossy, false), &[SAME, "<td class=\"n\">9 µs</td>"], &["600 ns"]);
}

#[test]
fn what_is_no_fair_observation_does_not_compete() {
    let others = ", steady calm futex 900, busy calm futex 900";
    for mark in ["broken", "random", "paired", "placebo"] {
        let trials = format!("steady calm spin 600 {mark}{others}");
        check(&run(&trials, true), &[SAME, "it met no other point", "900 ns"], &["600 ns"]);
    }
    // A scenario whose trials all broke a budget has a row without a figure.
    check(
        &run("steady calm spin 600, busy calm spin 700 broken", true),
        &["Fewer than two scenarios", "none: no settled trial kept the budgets"],
        &[SAME, DIFFER, "700 ns"],
    );
    check(
        &run(&format!("{SPIN_WINS}, frugal calm spin 700 broken"), true),
        &["One setting won wherever a trial kept the budgets, in steady and busy: "],
        &[SAME, DIFFER],
    );
}

#[test]
fn without_a_settled_trial_the_reason_stands_there() {
    let mut empty = run("steady calm spin 600", true);
    empty.trials.clear();
    check(&empty, &["the log holds no settled trial of the search yet"], &[ONE]);
    empty.log_tip = None;
    check(&empty, &["the run has no trial log"], &[ONE]);
}
