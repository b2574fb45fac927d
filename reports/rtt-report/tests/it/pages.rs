//! What every page holds, whatever the run was.

use crate::generator::{BETTER, HOSTILE, Recipe, bare_fit, make};
use crate::markup::{attribute, judge};
use rtt_measure::{Fit, Interval, Outcome};
use rtt_report::{ReadError, Run, render};
use std::{fs, path::Path};

const SECTIONS: [&str; 14] = [
    "verdict",
    "knobs",
    "latency",
    "cost",
    "search",
    "why",
    "rivals",
    "confirmation",
    "machine",
    "faults",
    "trials",
    "environment",
    "notes",
    "evidence",
];

fn draw(folder: &Path) -> String {
    render(&Run::read(folder).expect("a run")).expect("a page")
}

/// Makes a run, draws it, judges the page, and looks for `expected` in it.
fn check(recipe: Recipe, expected: &[&str]) -> String {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("run-7");
    make(&folder, recipe);
    let page = draw(&folder);
    let tags = judge(&page);
    for section in SECTIONS {
        assert!(
            tags.iter().any(|t| t.name == "section" && attribute(t, "id") == Some(section)),
            "no section {section}"
        );
    }
    for text in expected {
        assert!(page.contains(text), "`{text}` is not in the page");
    }
    page
}

#[test]
fn a_better_run_has_every_chart_with_its_words_and_its_table() {
    let page =
        check(BETTER, &[">Better<", "7.1 times as fast", "÷ waking a sleeper", "cargo xtask tune --budget 15m --seed"]);
    let charts =
        ["intervals", "cdf-0", "cdf-5", "front", "convergence", "heatmap", "effects", "comparison", "pairs", "wealth"];
    for chart in charts {
        // REPORT-3: a figure with a drawing, its title and description, and a table.
        let from = page.find(&format!("<figure id=\"{chart}\"")).unwrap_or_else(|| panic!("no chart {chart}"));
        let figure = &page[from..from + page[from..].find("</figure>").expect("its end")];
        for part in
            ["<svg", &format!("<title id=\"{chart}"), &format!("<desc id=\"{chart}"), "<details", "<tbody", "<td"]
        {
            assert!(figure.contains(part), "chart {chart} has no {part}");
        }
    }
    assert!(!page.contains("Not here"), "all is there");
}

#[test]
fn each_outcome_has_its_word() {
    check(
        Recipe { outcome: Some(Outcome::NoBetter), ..BETTER },
        &[">No better<", "nothing better was found", ">Recommended<"],
    );
    check(
        Recipe { outcome: Some(Outcome::Undecided), ..BETTER },
        &[">Undecided<", "whether there is better is undecided"],
    );
    check(Recipe { outcome: None, ..BETTER }, &[">Interrupted<", "There is no fit.json", "--resume run-7"]);
}

#[test]
fn what_is_absent_is_left_out_with_its_reason() {
    check(Recipe { quick: true, ..BETTER }, &["a quick run leaves presets and random search out", "quick run"]);
    let simulated = check(
        Recipe { log: false, ..BETTER },
        &["There is no trial log", "a simulated problem has no host", "simulated problem rtt-syn-1"],
    );
    assert!(!simulated.contains("id=\"cdf-0\""));
    for part in ["Simulated: the figures are of a made-up machine", "the problem is simulated"] {
        assert!(simulated.contains(part), "{part}");
    }
}

/// A simulated lab keeps a log and names a machine: the page says all the same that nothing was measured.
#[test]
fn a_simulated_run_with_a_log_says_so() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("run-7");
    make(&folder, BETTER);
    let mut run = Run::read(&folder).expect("a run");
    run.fit.as_mut().expect("a fit").options.extend(["--simulate", "rtt-syn-1", "serve"].map(String::from));
    run.trials.iter_mut().for_each(|(_, trial)| trial.histogram = None);
    let page = render(&run).expect("a page");
    judge(&page);
    let parts =
        ["Simulated: the figures", "the problem is simulated", "a simulated problem gives figures, not histograms"];
    for part in parts {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("÷ waking a sleeper") && !page.contains("or the limit was not measured"));
}

#[test]
fn report_1_hostile_names_are_shown_and_never_obeyed() {
    let page = check(Recipe { hostile: true, ..BETTER }, &["&lt;script&gt;", "{{ 7*7 }}"]);
    assert!(!page.contains(HOSTILE));
    check(Recipe { hostile: true, outcome: None, ..BETTER }, &["&lt;script&gt;"]);
}

#[test]
fn a_void_trial_and_a_crash_are_named_with_their_reasons() {
    check(
        BETTER,
        &[
            "did not strike",
            "endpoint ended with signal 9",
            "never settled",
            "absent (ENOENT)",
            "in 220 of 220 (100\u{202f}%), user mode only",
            "probe of CPUs 2 and 3: one of the CPUs is kept busy (same L3)",
            "220 trials: 215 settled, 1 never settled, 3 void, 1 crashed",
        ],
    );
}

fn with_fit(change: impl FnOnce(&mut Fit)) -> String {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("run-7");
    make(&folder, Recipe { log: false, ..BETTER });
    let path = folder.join("fit.json");
    let mut fit: Fit = serde_json::from_slice(&fs::read(&path).expect("a fit")).expect("a fit");
    change(&mut fit);
    let mut run = Run::read(&folder).expect("a run");
    run.fit = Some(fit); // Not through JSON, which has no word for what is not finite.
    let page = render(&run).expect("a page");
    judge(&page);
    page
}

#[test]
fn report_2_figures_that_are_not_finite_are_never_printed() {
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0] {
        let bad = Interval { estimate: wrong, low: wrong, high: wrong };
        with_fit(|fit| {
            for point in &mut fit.points {
                (point.objective, point.cpu_millicores, point.posterior) = (Some(wrong), Some(wrong), Some(bad));
            }
        });
        with_fit(|fit| {
            fit.noise_log_sd = Some(wrong);
            fit.effects[0].ratio = bad;
            for axis in &mut fit.space {
                (axis.min, axis.max, axis.values) = (Some(wrong), Some(wrong), Vec::new());
            }
            let confirmation = fit.confirmation.as_mut().expect("a confirmation");
            (confirmation.alpha, confirmation.tolerance, confirmation.ratio) = (wrong, wrong, bad);
            (confirmation.objective_tuned, confirmation.arms[0].tuned) = (bad, bad);
            confirmation.regimes[0].ratio = wrong;
            for pair in &mut confirmation.pairs {
                (pair.log_ratio, pair.wealth_better, pair.wealth_no_better) = (Some(wrong), wrong, wrong);
            }
        });
    }
}

#[test]
fn indices_that_point_nowhere_are_no_panic() {
    let page = with_fit(|fit| (fit.recommended, fit.lowest) = (Some(999), Some(998)));
    assert!(page.contains("Nothing is recommended"));
    with_fit(|fit| fit.space.truncate(1));
    with_fit(|fit| fit.confirmation.as_mut().expect("a confirmation").pairs.clear());
}

#[test]
fn empty_runs_are_drawn() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("run-7");
    fs::create_dir_all(&folder).expect("a folder");
    assert!(matches!(Run::read(&folder), Err(ReadError::Nothing { .. })));
    fs::write(folder.join("trials.jsonl"), "").expect("written");
    assert!(matches!(Run::read(&folder), Err(ReadError::EmptyLog { .. })));
    fs::remove_file(folder.join("trials.jsonl")).expect("removed");
    for outcome in [Outcome::Better, Outcome::NoBetter, Outcome::Undecided] {
        let fit = serde_json::to_vec(&bare_fit("run-7", outcome)).expect("JSON");
        fs::write(folder.join("fit.json"), fit).expect("written");
        let page = draw(&folder);
        judge(&page);
        assert!(page.contains("Nothing was confirmed"));
    }
}

/// REPORT-4: whatever was done to the log after the fit was made, the fit is not drawn over it.
#[test]
fn report_4_a_fit_is_drawn_over_its_own_log_only() {
    let root = tempfile::tempdir().expect("a folder");
    let (folder, other) = (root.path().join("run-7"), root.path().join("run-8"));
    make(&folder, Recipe { quick: true, ..BETTER });
    make(&other, Recipe { quick: true, ..BETTER });
    let log = folder.join("trials.jsonl");
    let whole = fs::read(&log).expect("a log");
    judge(&draw(&folder)); // Positive control.
    let last = whole[..whole.len() - 1].iter().rposition(|&byte| byte == b'\n').expect("lines") + 1;
    let foreign = fs::read(other.join("trials.jsonl")).expect("a log");
    for (what, bytes) in
        [("torn", &whole[..whole.len() - 9]), ("a record short", &whole[..last]), ("foreign", &foreign)]
    {
        fs::write(&log, bytes).expect("written");
        let error = Run::read(&folder).expect_err(what);
        assert!(matches!(error, ReadError::OtherLog { .. }), "{what}: {error}");
    }
    fs::remove_file(&log).expect("removed");
    let error = Run::read(&folder).expect_err("no log").to_string();
    assert!(error.contains("beside it is no log"), "{error}");
    // Without a log of its own, a fit is not drawn over one that is there.
    fs::write(folder.join("fit.json"), serde_json::to_vec(&bare_fit("run-7", Outcome::Better)).expect("JSON"))
        .expect("written");
    judge(&draw(&folder));
    fs::write(&log, &whole).expect("written");
    assert!(matches!(Run::read(&folder), Err(ReadError::OtherLog { expected: None, .. })));
}

#[test]
fn damaged_files_are_refused_and_a_torn_tail_is_said() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("run-7");
    make(&folder, Recipe { outcome: None, quick: true, ..BETTER });
    let log = folder.join("trials.jsonl");
    let whole = fs::read(&log).expect("a log");
    fs::write(&log, &whole[..whole.len() - 9]).expect("written");
    assert!(draw(&folder).contains("a line that was never finished"));
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&log, damaged).expect("written");
    assert!(matches!(Run::read(&folder), Err(ReadError::Log(_))));
    fs::write(&log, whole).expect("written");
    for (text, part) in [("{}", "no fit of format 1"), ("", "no fit of format 1"), ("\u{0}", "no fit of format 1")] {
        fs::write(folder.join("fit.json"), text).expect("written");
        let error = Run::read(&folder).expect_err("no fit").to_string();
        assert!(error.contains(part), "{error}");
    }
    let later = Fit { version: 2, ..bare_fit("run-7", Outcome::Better) };
    fs::write(folder.join("fit.json"), serde_json::to_vec(&later).expect("JSON")).expect("written");
    assert!(matches!(Run::read(&folder), Err(ReadError::Version { found: 2, .. })));
}
