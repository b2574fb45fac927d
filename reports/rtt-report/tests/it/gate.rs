//! What the page of a gate holds, whatever was decided.

use crate::gate_generator::{GateRecipe, SLOWER, make_gate};
use crate::generator::HOSTILE;
use crate::markup::{attribute, judge};
use rtt_measure::{Gate, GateVerdict, Interval};
use rtt_report::{GateFolder, ReadError, ReadGateError, render_gate};
use rtt_seal::Digest;
use serde_json::Value;
use std::{fs, path::Path};

fn draw(folder: &Path) -> String {
    render_gate(&GateFolder::read(folder).expect("a comparison")).expect("a page")
}

/// Makes a comparison, draws it, judges the page, and looks for `expected` in it; thin spaces read as spaces.
fn check(recipe: GateRecipe, expected: &[&str]) -> String {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("main-to-tree");
    make_gate(&folder, recipe);
    let page = draw(&folder);
    let tags = judge(&page);
    for section in [
        "verdict",
        "arms",
        "scenario-0",
        "scenario-1",
        "scenario-2",
        "notes",
        "logs",
        "environment",
        "pairs",
        "evidence",
    ] {
        let found = tags.iter().any(|tag| tag.name == "section" && attribute(tag, "id") == Some(section));
        assert!(found, "no section {section}");
    }
    let spaced = page.replace(['\u{202f}', '\u{a0}'], " ");
    for text in expected {
        assert!(spaced.contains(text), "`{text}` is not in the page");
    }
    page
}

#[test]
fn each_verdict_has_its_word_its_colour_and_its_sentence() {
    for (verdict, class, word, sentence) in [
        (GateVerdict::Fail, "fail", "FAIL", "slower than its base in steady"),
        (GateVerdict::Pass, "pass", "PASS", "not slower than its base in any scenario"),
        (GateVerdict::Undecided, "undecided", "UNDECIDED", "cannot be told from 14 pairs"),
        (GateVerdict::Breach, "breach", "BREACH", "breaks the budget of CPU"),
    ] {
        let page = check(GateRecipe { verdict, ..SLOWER }, &[sentence, &format!("class=\"hero {class}\"")]);
        let (_, main) = page.split_once("<main>").expect("a main part");
        assert!(main.find(&format!("<span>{word}</span>")) < main.find("<h1"), "{word} stands before the sentence");
        assert!(main.find("<h1").is_some_and(|at| main[at..at + 200].contains(sentence)), "{sentence} comes first");
    }
}

#[test]
fn charts_have_their_words_and_their_tables() {
    let page = check(
        SLOWER,
        &[
            "FAIL at k/α = 600",
            "PASS at 1/α = 100",
            "tolerance: 5 % higher",
            "pair 2: void: the candidate never settled",
        ],
    );
    for chart in ["ratios", "cdf-0", "wealth-0", "pairs-0", "cdf-1", "wealth-1", "pairs-1", "wealth-2", "pairs-2"] {
        // REPORT-3: a figure with a drawing, its title and description, and a table.
        let from = page.find(&format!("<figure id=\"{chart}\"")).unwrap_or_else(|| panic!("no chart {chart}"));
        let figure = &page[from..from + page[from..].find("</figure>").expect("its end")];
        let (title, description) = (format!("<title id=\"{chart}"), format!("<desc id=\"{chart}"));
        for part in ["<svg", &title, &description, "<details", "<tbody", "<td"] {
            assert!(figure.contains(part), "chart {chart} has no {part}");
        }
    }
    assert!(!page.contains("id=\"cdf-2\""), "no run of the last scenario settled");
}

#[test]
fn figures_are_printed_with_their_units_and_what_is_absent_with_its_reason() {
    check(
        SLOWER,
        &[
            // Arms, and in what they differ.
            "They differ in executable, arguments, profile and knobs.",
            "<span class=\"code\">--wait &#x27;a b&#x27;</span>",
            "none: the untuned default",
            "none beyond those of every lab",
            // The first scenario.
            "8.7 % higher",
            "1.087×; 95 %: 6.2 % higher to 11 % higher (1.062× to 1.112×)",
            "6.2 %",
            "13 of 14",
            "1 void; base alone never settled in 0, candidate alone in 1",
            "base: 14 settled runs, candidate: 13 settled runs",
            "1.31 µs", // p50 of the base, 0.42 of 3120 ns.
            "9.16 µs", // p99.9 of the candidate, 2.7 of 3391 ns.
            "14.7",
            "at most 500",
            "at least 0.99",
            "beyond it, but its interval is not: not shown to be broken",
            "1.13×",
            "the endpoint ended with signal 9",
            // The last one.
            "fewer than two pairs gave a ratio",
            "fewer than two runs of either arm settled",
            "the spread between pairs is not known",
            "base alone never settled in 17, candidate alone in 19",
            "No defect of either arm",
            "the verdict holds none for it",
            "the logs hold no settled run of it",
            // What stands behind.
            "microcode: 0x2b000603, was 0x2b000590",
            "18446744073709550001",
            "mixed_payload does not gate",
            "ab12cd34ef56",
            "no huge pages are reserved",
            "2026-11-25 09:46 UTC",
        ],
    );
}

/// All ways to a figure or text in `value`, as JSON pointers.
fn leaves(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| leaves(value, format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| leaves(value, format!("{at}/{index}"), found));
        }
        Value::Null => {} // Another element has the field.
        _ => found.push(at),
    }
}

/// Another value of the same kind.
fn other(value: &Value) -> Value {
    let digest = Digest::of(b"").to_string().len();
    match value {
        Value::Bool(yes) => (!yes).into(),
        Value::Number(number) if number.is_f64() => (number.as_f64().expect("a float") * 1.5).into(),
        Value::Number(number) => (number.as_u64().expect("a count") * 2 + 60).into(),
        Value::String(text) => match text.as_str() {
            "fail" | "undecided" => "pass".into(),
            "pass" => "fail".into(),
            "yield" => "futex".into(),
            "same_l3" => "same_cpu".into(),
            digits if digits.len() == digest => Digest::of(digits.as_bytes()).to_string().into(),
            text => format!("{text} otherwise").into(),
        },
        other => panic!("{other} is no leaf"),
    }
}

/// Every field of the verdict is on the page: with another value there, the page is another.
#[test]
fn no_field_of_the_verdict_is_left_out() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("main-to-tree");
    make_gate(&folder, GateRecipe { pairs: 4, ..SLOWER });
    let mut read = GateFolder::read(&folder).expect("a comparison");
    let page = render_gate(&read).expect("a page");
    let whole = serde_json::to_value(&read.gate).expect("JSON");
    let mut fields = Vec::new();
    leaves(&whole, String::new(), &mut fields);
    // One valid pair and the void one stand for all; the last scenario has no more kinds of field than the others.
    fields.retain(|at| {
        let scenario = at.strip_prefix("/scenarios/").unwrap_or_default();
        let pair = at.split_once("/pairs/").is_none_or(|(_, rest)| rest.starts_with('0') || rest.starts_with('2'));
        pair && !scenario.starts_with('2') && at != "/version"
    });
    assert!(fields.len() > 150, "{} fields", fields.len());
    for at in fields {
        let mut changed = whole.clone();
        let place = changed.pointer_mut(&at).expect("a field");
        *place = other(place);
        read.gate = serde_json::from_value::<Gate>(changed).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert!(render_gate(&read).expect("a page") != page, "{at} is not on the page");
    }
}

#[test]
fn hostile_names_are_shown_and_never_obeyed() {
    let page = check(GateRecipe { hostile: true, ..SLOWER }, &["&lt;script&gt;", "{{ 7*7 }}"]);
    assert!(!page.contains(HOSTILE));
}

/// REPORT-2 over the fields of a gate.
#[test]
fn figures_that_are_not_finite_are_never_printed() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("main-to-tree");
    make_gate(&folder, SLOWER);
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0] {
        let bad = Interval { estimate: wrong, low: wrong, high: wrong };
        let mut read = GateFolder::read(&folder).expect("a comparison");
        let scenario = &mut read.gate.scenarios[0];
        (scenario.tolerance, scenario.ratio, scenario.detectable) = (wrong, Some(bad), Some(wrong));
        (scenario.regimes[0].ratio, scenario.budgets[0].budget, scenario.budgets[0].found) = (wrong, wrong, bad);
        scenario.base.as_mut().expect("settled").latency_ns_p99 = bad;
        for pair in &mut scenario.pairs {
            pair.log_ratio = Some(wrong);
            (pair.wealth_fail, pair.wealth_pass, pair.wealth_lapses) = (wrong, wrong, wrong);
        }
        judge(&render_gate(&read).expect("a page"));
        read.gate.alpha = wrong;
        judge(&render_gate(&read).expect("a page"));
    }
}

#[test]
fn an_empty_verdict_is_drawn() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("main-to-tree");
    make_gate(&folder, GateRecipe { logs: 1, ..SLOWER });
    let mut read = GateFolder::read(&folder).expect("a comparison");
    assert!(render_gate(&read).expect("a page").contains("There is one log"));
    read.gate.scenarios[0].pairs.clear();
    judge(&render_gate(&read).expect("a page"));
    (read.gate.scenarios, read.gate.notes, read.gate.logs, read.logs) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    read.gate.candidate = read.gate.base.clone();
    read.gate.canary = true;
    let page = render_gate(&read).expect("a page");
    judge(&page);
    for text in ["Nothing differs between them", "The verdict names no log", "A FAIL here is a false alarm"] {
        assert!(page.contains(text), "`{text}` is not in the page");
    }
}

/// As REPORT-4 for a fit: whatever was done to a log after the verdict, the verdict is not drawn over it.
#[test]
fn a_verdict_is_drawn_over_its_own_logs_only() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("main-to-tree");
    make_gate(&folder, GateRecipe { pairs: 4, ..SLOWER });
    judge(&draw(&folder)); // Positive control.
    for file in ["trials-0.jsonl", "trials-1.jsonl"] {
        let log = folder.join(file);
        let whole = fs::read(&log).expect("a log");
        let last = whole[..whole.len() - 1].iter().rposition(|&byte| byte == b'\n').expect("lines") + 1;
        let foreign = fs::read(folder.join(if file.contains('0') { "trials-1.jsonl" } else { "trials-0.jsonl" }));
        let foreign = foreign.expect("the other log");
        for (what, bytes) in
            [("torn", &whole[..whole.len() - 9]), ("a record short", &whole[..last]), ("foreign", &foreign)]
        {
            fs::write(&log, bytes).expect("written");
            let error = GateFolder::read(&folder).expect_err(what);
            assert!(matches!(&error, ReadGateError::OtherLog { file: named, .. } if named == file), "{what}: {error}");
        }
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        fs::write(&log, flipped).expect("written");
        assert!(
            matches!(GateFolder::read(&folder), Err(ReadGateError::Log(ReadError::Log(_)))),
            "{file}: a flipped bit"
        );
        fs::remove_file(&log).expect("removed");
        assert!(matches!(GateFolder::read(&folder), Err(ReadGateError::Log(_))), "{file} is missing");
        fs::write(&log, whole).expect("written");
    }
    judge(&draw(&folder));
}

#[test]
fn what_is_no_verdict_is_refused() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("main-to-tree");
    assert!(matches!(GateFolder::read(&folder), Err(ReadGateError::Nothing { .. })));
    make_gate(&folder, GateRecipe { pairs: 1, ..SLOWER });
    let path = folder.join("verdict.json");
    let whole: Value = serde_json::from_slice(&fs::read(&path).expect("a verdict")).expect("JSON");
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut changed = whole.clone();
        change(&mut changed);
        fs::write(&path, changed.to_string()).expect("written");
        GateFolder::read(&folder).expect_err("refused")
    };
    assert!(matches!(refused(&|gate| *gate = Value::Null), ReadGateError::Verdict { .. }));
    assert!(matches!(refused(&|gate| gate["surplus"] = 1.into()), ReadGateError::Verdict { .. }));
    assert!(matches!(refused(&|gate| gate["version"] = 2.into()), ReadGateError::Version { found: 2, .. }));
    for elsewhere in ["../main-to-tree/trials-0.jsonl", "/dev/null", "", ".."] {
        let error = refused(&|gate| gate["logs"][0]["file"] = elsewhere.into());
        assert!(matches!(error, ReadGateError::OutsideLog { .. }), "{elsewhere}: {error}");
    }
}
