//! `rtt-tuner bench`.

use crate::{said, surface, tuner};
use serde_json::Value;

fn rows(words: &[&str]) -> Vec<Value> {
    let (code, out, err) = said(tuner(words).output().expect("it runs"));
    assert_eq!(code, 0, "{err}");
    let object: Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!(object["version"], 1);
    object["rows"].as_array().expect("rows").clone()
}

#[test]
fn rows_are_measured_repeatable_and_the_model_leads_its_controls() {
    let words = ["bench", "--evals", "12,30", "--seeds", "4", "--json"];
    let first = rows(&words);
    assert_eq!(first, rows(&words), "equal seeds give equal rows");
    assert_eq!(first.len(), 6);
    for row in &first {
        assert_eq!(row["problem"], "RTT-SYN-1");
        assert_eq!(row["seeds"], 4);
        let regret = |name: &str| row[name].as_f64().expect("a number");
        assert!(regret("median") >= 0.0 && regret("p90") >= regret("median"), "{row}");
    }
    let mean = |solver: &str| {
        let row = first.iter().find(|row| row["solver"] == solver && row["evals"] == 30).expect("a row");
        row["mean"].as_f64().expect("a number")
    };
    assert!(mean("model") < mean("random"), "{} {}", mean("model"), mean("random"));
}

#[test]
fn another_problem_with_its_arguments_is_measured() {
    let found = rows(&["bench", "--evals", "10", "--seeds", "2", "--json", "--problem", surface(), "--constrained"]);
    assert!(found.iter().all(|row| row["problem"] == "RTT-SYN-1 constrained"), "{found:?}");
}

#[test]
fn a_problem_without_an_optimum_is_refused() {
    let words = ["bench", "--evals", "5", "--seeds", "1", "--problem", surface(), "serve"];
    let (code, _, err) = said(tuner(&words).output().expect("it runs"));
    assert!(code == 2 && err.contains("names no optimum"), "{code}: {err}");
}

#[test]
fn the_table_marks_what_was_published() {
    let (code, out, _) = said(tuner(&["bench", "--evals", "5", "--seeds", "1"]).output().expect("it runs"));
    let (measured, published) = out.split_once("published with RTT-SYN-1, not measured here").expect("both parts");
    assert!(code == 0 && measured.contains("model") && published.contains("Optuna"), "{out}");
}

/// Where the packages are, the suite has rows; where they are not, it says how to get them. No Python has COCO here as
/// `true`, which says nothing at all.
#[test]
fn the_suite_without_a_python_measures_nothing_and_says_so() {
    let words = ["bench", "--suite", "coco", "--evals", "5", "--seeds", "1", "--python"];
    let (code, out, err) = said(tuner(&[&words[..], &["true"]].concat()).output().expect("it runs"));
    assert!(code == 1 && out.is_empty() && err.contains("rivals `true` ended"), "{code}: {err}");
}

#[test]
fn chosen_solvers_only_are_measured_and_rows_keep_each_regret() {
    let found = rows(&["bench", "--evals", "5", "--seeds", "3", "--solvers", "random", "--json"]);
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0]["solver"], found[0]["regrets"].as_array().map(Vec::len)), (&"random".into(), Some(3)));
}
