//! `rtt-gate bench`.

use crate::{gate, said, script};
use serde_json::{Value, json};
use std::path::Path;

/// A night in which runs differ by their slot, and the candidate is slower by 20 %. It notes what it is asked beside
/// itself, and voids every tenth run.
const TOY: &str = r#"
echo '{"name": "toy"}'
exec 3>"$0.asked"
while read -r line; do
    echo "$line" >&3
    case "$line" in
        *night*) slot=0; echo '{"ok": true}'; continue;;
        *base*) p99=100;;
        *) p99=120;;
    esac
    slot=$((slot + 1))
    if [ $((slot % 10)) = 0 ]; then echo '{"void": "a spoilt run"}'; else echo "{\"p99\": $p99.$((slot % 7))}"; fi
done
"#;

fn rows(words: &[&str]) -> Vec<Value> {
    let (code, out, err) = said(gate(words).output().expect("it runs"));
    assert_eq!(code, 0, "{err}");
    let object: Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!(object["version"], 1);
    object["rows"].as_array().expect("rows").clone()
}

/// What `program` says to a bench of one night, as (exit code, stderr).
fn refused(program: &Path) -> (i32, String) {
    let words = ["bench", "--json", "--count", "1", "--deltas", "0.05", "--nights"];
    let (code, out, err) = said(gate(&words).arg(program).output().expect("it runs"));
    assert_eq!(out, "", "nothing is printed as a result");
    (code, err)
}

#[test]
fn rows_are_counted_and_repeatable() {
    let words = ["bench", "--json", "--count", "40", "--deltas", "0,0.2"];
    let first = rows(&words);
    assert_eq!(first, rows(&words), "equal seeds give equal rows");
    assert_ne!(first, rows(&[&words[..], &["--seed", "9"]].concat()), "another seed gives other nights");
    assert_eq!(first.len(), 10);
    for row in &first {
        let number = |name: &str| row[name].as_f64().expect("a number");
        assert!((number("fail") + number("pass") + number("undecided") - 100.0).abs() < 1e-3, "{row}");
        assert!(row["nights"] == 40 && (1.0..=80.0).contains(&number("pairs_mean")), "{row}");
        assert_eq!(row.get("fail_low_99").is_some(), row["delta"] == 0.0, "{row}");
    }
    assert_eq!(
        (&first[1]["gate"], &first[1]["delta"], &first[1]["fail"]),
        (&json!("e-process"), &json!(0.2), &json!(100.0))
    );
}

#[test]
fn the_table_marks_what_was_published() {
    let (code, out, _) = said(gate(&["bench", "--count", "5"]).output().expect("it runs"));
    let (measured, published) = out.split_once("published with RTT-GATE-1, not measured here").expect("both parts");
    assert!(code == 0 && measured.contains("e-process") && published.contains("Apache Otava"), "{out}");
}

#[test]
fn a_program_is_started_once_and_asked_as_the_page_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = script(folder.path(), "toy", TOY);
    let words = ["bench", "--json", "--count", "2", "--deltas", "0,0.2", "--seed", "5", "--nights"];
    let found = rows(&[&words[..], &[program.to_str().expect("UTF-8")]].concat());
    assert_eq!(found.len(), 10);
    assert!(found.iter().filter(|row| row["delta"] == 0.2).all(|row| row["fail"] == 100.0), "{found:?}");

    let asked = std::fs::read_to_string(folder.path().join("toy.asked")).expect("it was started, once");
    let nights: Vec<&str> = asked.lines().filter(|line| line.contains("night")).collect();
    // Each rule begins the night of the same seed; the threshold's baseline is of the night before.
    let of = |seed: u64, delta: &str| {
        [seed, seed - 1, seed, seed, seed, seed].map(|seed| format!(r#"{{"night": {seed}, "delta": {delta}}}"#))
    };
    for (night, seed) in nights.chunks(12).zip([(4 << 20) + 2, (4 << 20) + 3]) {
        let mut night = night.to_vec();
        let mut expected = [of(seed, "0"), of(seed, "0.2")].concat();
        night.sort_unstable();
        expected.sort_unstable();
        assert_eq!(night, expected);
    }
    assert_eq!(nights.len(), 24);
    let others = asked.lines().filter(|line| !line.contains("night"));
    let known = [r#"{"run": "base"}"#, r#"{"run": "candidate"}"#];
    assert!(others.clone().all(|line| known.contains(&line)), "{asked}");
    let orders: Vec<bool> =
        asked.lines().take(40).filter(|line| !line.contains("night")).map(|line| line == known[0]).collect();
    assert!(orders.chunks(2).any(|pair| pair == [true, false]) && orders.chunks(2).any(|pair| pair == [false, true]));
}

#[test]
fn void_runs_void_the_pair_and_say_nothing_to_a_rival() {
    let folder = tempfile::tempdir().expect("a folder");
    let body = TOY.replace("slot % 10)) = 0", "slot % 10)) -ge 0");
    assert_ne!(body, TOY);
    let program = script(folder.path(), "void", &body);
    let words = ["bench", "--json", "--count", "1", "--deltas", "0.2", "--nights"];
    for row in rows(&[&words[..], &[program.to_str().expect("UTF-8")]].concat()) {
        let expected = if row["gate"] == "e-process" { ("undecided", 80.0) } else { ("pass", 0.0) };
        assert_eq!(row[expected.0], 100.0, "{row}");
        assert!(row["pairs_mean"].as_f64() >= Some(expected.1), "{row}");
    }
}

#[test]
fn the_rest_of_the_line_belongs_to_the_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = script(folder.path(), "words", &format!("echo \"$*\" > \"$0.words\"\n{TOY}"));
    let program = program.to_str().expect("UTF-8");
    let words = ["bench", "--count", "1", "--deltas", "0.1", "--nights", program, "--json", "-x", "--count", "7"];
    let (code, out, err) = said(gate(&words).output().expect("it runs"));
    assert!(code == 0 && out.starts_with("toy, measured now"), "{code}: {out} {err}");
    assert!(!out.contains("published"), "other nights are not compared with the page of RTT-GATE-1: {out}");
    let words = std::fs::read_to_string(folder.path().join("words.words")).expect("it was started");
    assert_eq!(words.trim(), "--json -x --count 7");
}

/// Whatever the program writes is answered with an error that names it and the line.
#[test]
fn misbehaving_programs_are_named_with_the_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let hello = r#"echo '{"name": "n"}'"#;
    let night = |answer: &str| format!("{hello}\nread -r line\necho '{answer}'\ncat >/dev/null");
    let run = |answer: &str| {
        format!("{hello}\nread -r line\necho '{{\"ok\": true}}'\nread -r line\necho '{answer}'\ncat >/dev/null")
    };
    for (name, body, expected) in [
        ("no_json", "echo hello; cat >/dev/null".into(), "line 1: expected value"),
        ("no_name", "echo '{}'; cat >/dev/null".into(), "line 1: missing field `name`"),
        ("mute", "exit 3".into(), "ended (exit status: 3) before its first line"),
        ("no_night", night(r#"{"ok": false}"#), "line 2: `ok` is false"),
        ("night_refused", night(r#"{"error": "no such night"}"#), "line 2 was expected: no such night"),
        ("p99_for_a_night", night(r#"{"p99": 100}"#), "line 2: missing field `ok`"),
        ("zero", run(r#"{"p99": 0}"#), "line 3: p99 is 0: expected a number above 0"),
        ("negative", run(r#"{"p99": -1.5}"#), "line 3: p99 is -1.5"),
        ("huge", run(r#"{"p99": 1e999}"#), "line 3: number out of range"),
        ("nan", run(r#"{"p99": NaN}"#), "line 3: expected value"),
        ("text", run(r#"{"p99": "100"}"#), "line 3: invalid type: string"),
        ("empty", run("{}"), "line 3: expected one of `p99` and `void`"),
        ("both", run(r#"{"p99": 1, "void": "why"}"#), "line 3: expected one of `p99` and `void`"),
        ("run_refused", run(r#"{"error": "no such arm"}"#), "line 3 was expected: no such arm"),
        ("blank", run(""), "line 3: EOF"),
        (
            "dies",
            format!("{hello}\nread -r line\necho '{{\"ok\": true}}'\nread -r line\nexit 7"),
            "ended (exit status: 7)",
        ),
        (
            "closes",
            "exec >&-\nexec sleep 600".into(),
            "ended (closed its output; it was stopped) before its first line",
        ),
        ("half", format!("{hello}\nread -r line\nprintf '{{\"ok\"'"), "line 2: EOF"),
        ("long", format!("{hello}\nread -r line\nhead -c 9000000 /dev/zero | tr '\\0' x"), "line 2: it is longer than"),
    ] {
        let program = script(folder.path(), name, &body);
        let (code, err) = refused(&program);
        let named = err.contains(&format!("nights program `{}`", program.display()));
        assert!(code == 1 && named && err.contains(expected), "{name}, code {code}: {err}");
        assert!(err.contains("line"), "{name}: {err}");
    }
}

#[test]
fn a_wrong_command_line_is_refused() {
    for (words, expected) in [
        (&["--nights", "/no/such/program"][..], "nights program `/no/such/program` does not start"),
        (&["--nights"], "--nights"),
        (&["--deltas", "0.1,much"], "expected ratios above -1"),
        (&["--deltas", "nan"], "expected ratios above -1"),
        (&["--count", "0"], "0 is not in"),
    ] {
        let (code, _, err) = said(gate(&[&["bench"], words].concat()).output().expect("it runs"));
        assert!(code == 2 && err.contains(expected), "{words:?}, code {code}: {err}");
    }
}
