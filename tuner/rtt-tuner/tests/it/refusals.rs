//! What the command line refuses, and what it says of problems that misbehave.

use crate::{said, script, surface, tuner};
use std::path::Path;

fn check(root: &Path, words: &[&str], code: i32, part: &str) {
    let root = root.to_str().expect("UTF-8");
    let (found, out, err) = said(tuner(&["tune", "--root", root]).args(words).output().expect("it runs"));
    assert!(found == code && err.contains(part), "{words:?}: exit {found}, expected {code} and `{part}`\n{out}{err}");
}

#[test]
fn options_are_refused_before_anything_runs() {
    let root = tempfile::tempdir().expect("a folder");
    let lab = ["--lab", surface(), "--endpoint", "/bin/true"];
    let with = |words: &[&'static str]| [words, &lab].concat();
    check(root.path(), &["--quick"], 2, "name the lab and the endpoint");
    check(root.path(), &with(&["--fix", "rnig=64KiB"]), 2, "did you mean `ring`?");
    check(root.path(), &with(&["--fix", "wait=spni"]), 2, "did you mean `spin`?");
    check(root.path(), &with(&["--sweep", "window=0..900"]), 2, "a whole number in 0..=200");
    check(root.path(), &with(&["--scenario", "stedy"]), 2, "did you mean `steady`?");
    check(root.path(), &with(&["--scenario", "./nowhere.json"]), 3, "nothing was run");
    check(root.path(), &with(&["--budget", "15"]), 2, "such as 15m");
    check(root.path(), &with(&["--budget", "5s"]), 2, "a search needs");
    check(root.path(), &with(&["--resume", "yesterday"]), 2, "no such run");
    check(root.path(), &with(&["--quik"]), 2, "--quick");
    for words in [["--cpus", "0"], ["--pack", "scenarios"], ["--scenario", "mine.json"]] {
        let words = [&words[..], &["--simulate", surface()]].concat();
        check(root.path(), &words, 2, "has CPUs and scenarios of its own; leave it out; nothing was run");
    }
    check(root.path(), &["--simulate", "/no/such/program"], 2, "does not start");
    let nowhere = root.path().join("not/yet/there");
    check(&nowhere, &with(&["--fix", "wait=spni"]), 2, "did you mean `spin`?");
    let left = std::fs::read_dir(root.path()).expect("a folder").count();
    assert_eq!(left, 0, "a refused run leaves nothing");
    let mine = root.path().join("mine.json");
    std::fs::write(&mine, r#"{"name": "steady"}"#).expect("written");
    let mine = mine.to_str().expect("UTF-8");
    for words in [["--scenario", mine, "--scenario", "steady"], ["--scenario", "steady", "--scenario", mine]] {
        check(root.path(), &[&words[..], &lab].concat(), 2, "is called `steady` like");
    }
}

#[test]
fn the_exit_codes_of_a_lab_that_turns_away_are_passed_through() {
    let root = tempfile::tempdir().expect("a folder");
    for code in [3, 13, 15] {
        let lab = script(root.path(), "lab.sh", &format!("echo 'the lab says why' >&2; exit {code}"));
        let lab = lab.to_str().expect("UTF-8");
        check(root.path(), &["--lab", lab, "--endpoint", "x"], code, "the lab says why");
    }
}

/// PROBLEM-1: whatever a program writes is answered with an error that names it and the line.
#[test]
fn problem_1_misbehaving_problems_are_named_with_the_line() {
    let root = tempfile::tempdir().expect("a folder");
    let hello = r#"echo '{"name": "p", "axes": [{"name": "x", "kind": "integer", "min": 0, "max": 50}]}'; read line"#;
    let ok = r#"echo '{"ok": true}'; read line"#;
    let run = |name: &str, body: &str, code: i32, part: &str| {
        let program = script(root.path(), name, body);
        let program = program.to_str().expect("UTF-8");
        check(root.path(), &["--quick", "--simulate", program], code, part);
    };
    run("silent.sh", "exit 0", 1, "before its first line");
    run("prose.sh", "echo hello", 1, "line 1: expected value");
    run("endless.sh", "head -c 5000000 /dev/zero", 1, "longer than");
    run("future.sh", r#"echo '{"name": "p", "axes": [], "protocol": 9}'"#, 1, "speaks protocol 9");
    run("empty.sh", r#"echo '{"name": "p", "axes": []}'; read line"#, 1, "the problem has no axes");
    run("dies.sh", &format!("{hello}; {ok}; exit 7"), 1, "exit status: 7) during a measure");
    run("refuses.sh", &format!("{hello}; {ok}; echo '{{\"error\": \"no\"}}'; read line"), 1, "refuses a measure: no");
    run("negative.sh", &format!("{hello}; {ok}; echo '{{\"p99\": -1}}'; read line"), 1, "line 3: p99 is -1");
    run("nothing.sh", &format!("{hello}; {ok}; echo '{{}}'; read line"), 1, "a settled run has no p99");
    run("other.sh", &format!("{hello}; {ok}; echo '{{\"p99\": 1, \"id\": \"z\"}}'; read line"), 1, "it answers `z`");
}

#[test]
fn help_has_examples() {
    for (command, part) in [("tune", "--sweep ring=64KiB..4MiB:x2"), ("bench", "--evals 25,50")] {
        let (code, out, _) = said(tuner(&[command, "--help"]).output().expect("it runs"));
        assert!(code == 0 && out.contains("Examples:") && out.contains(part), "{out}");
    }
}
