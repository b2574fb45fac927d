//! The program: where pages go, what it answers, how it ends.

use crate::gate_generator::{SLOWER, make_gate};
use crate::generator::{BETTER, Recipe, make};
use std::{
    path::Path,
    process::{Command, Output},
};

fn run(root: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_rtt-report"))
        .args(words)
        .current_dir(root)
        .output()
        .expect("the program runs");
    (status.code(), String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn pages_go_where_they_are_told() {
    let root = tempfile::tempdir().expect("a folder");
    let runs = root.path().join(".rtt/runs");
    make(&runs.join("one"), Recipe { quick: true, log: false, ..BETTER });
    for words in [&["render", ".rtt/runs/one"][..], &["one"], &[], &["render", ".rtt/runs/one/fit.json"]] {
        let (code, page, error) = run(root.path(), words);
        assert_eq!(code, Some(0), "{words:?}: {error}");
        assert!(page.trim_end().ends_with("reports/out/one.html"), "{words:?}: {page}");
        std::fs::remove_file(page.trim_end()).expect("the page is there");
    }
    let (code, json, _) = run(root.path(), &["render", "one", "--out", "deep/page.html", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((code, &json["version"], &json["outcome"]), (Some(0), &1.into(), &"better".into()));
    assert!(root.path().join("deep/page.html").is_file());
}

/// Commands on a page work where they are typed: they name the root where it is another folder.
#[test]
fn commands_on_a_page_name_another_root() {
    let root = tempfile::tempdir().expect("a folder");
    let whole = root.path().canonicalize().expect("a path");
    make(&whole.join(".rtt/runs/one"), Recipe { quick: true, log: false, ..BETTER });
    let page = |from: &Path, words: &[&str]| {
        let (code, page, error) = run(from, words);
        assert_eq!(code, Some(0), "{words:?}: {error}");
        let page = std::fs::read_to_string(from.join(page.trim_end())).expect("the page");
        page.replace("&#x2f;", "/") // A reader sees the character, whatever it is escaped as.
    };
    let elsewhere = tempfile::tempdir().expect("a folder");
    let there = page(elsewhere.path(), &["one", "--root", whole.to_str().expect("UTF-8")]);
    let option = format!(" --root {}", whole.display());
    for command in [format!("cargo xtask tune{option} --budget 15m"), format!("cargo xtask report one{option}<")] {
        assert!(there.contains(&command), "{command}");
    }
    assert!(!page(&whole, &["one"]).contains("--root"));
}

#[test]
fn a_gate_is_drawn_where_it_is_told() {
    let root = tempfile::tempdir().expect("a folder");
    make_gate(&root.path().join(".rtt/gate/main-to-tree"), SLOWER);
    let (code, page, error) = run(root.path(), &["gate", ".rtt/gate/main-to-tree"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(page.trim_end().ends_with("reports/out/gate-main-to-tree.html"), "{page}");
    assert!(std::fs::metadata(page.trim_end()).is_ok_and(|page| page.len() > 10_000));
    let (code, json, _) = run(root.path(), &["gate", ".rtt/gate/main-to-tree", "--out", "deep/gate.html", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let found = (code, &json["version"], &json["comparison"], &json["verdict"]);
    assert_eq!(found, (Some(0), &1.into(), &"main-to-tree".into(), &"fail".into()));
    assert!(root.path().join("deep/gate.html").is_file());
    let (code, _, error) = run(root.path(), &["gate", ".rtt/gate"]);
    assert!(code == Some(4) && error.contains("verdict.json is not there"), "{error}");
    std::fs::write(root.path().join(".rtt/gate/main-to-tree/trials-1.jsonl"), "").expect("written");
    let (code, _, error) = run(root.path(), &["gate", ".rtt/gate/main-to-tree"]);
    assert!(code == Some(1) && error.contains("trials-1.jsonl"), "{error}");
}

#[test]
fn runs_are_listed_also_those_that_cannot_be_read() {
    let root = tempfile::tempdir().expect("a folder");
    let runs = root.path().join(".rtt/runs");
    make(&runs.join("one"), Recipe { quick: true, log: false, ..BETTER });
    make(&runs.join("two"), Recipe { quick: true, outcome: None, ..BETTER });
    std::fs::create_dir_all(runs.join("three")).expect("a folder");
    let (code, listed, _) = run(root.path(), &["list"]);
    assert_eq!(code, Some(0));
    assert!(!listed.contains("running"), "{listed}");
    // The writer of a log holds a lock on it while it is at work.
    let log = std::fs::File::open(runs.join("two/trials.jsonl")).expect("a log");
    log.try_lock().expect("nobody else has it");
    let (_, at_work, _) = run(root.path(), &["list"]);
    assert!(at_work.contains("trials  running") && !at_work.contains("interrupted"), "{at_work}");
    drop(log);
    for part in ["better", "interrupted", "neither trials.jsonl nor fit.json"] {
        assert!(listed.contains(part), "{listed}");
    }
    let (_, json, _) = run(root.path(), &["list", ".rtt/runs", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["runs"].as_array().map(Vec::len), Some(3));
}

#[test]
fn what_is_not_there_is_named() {
    let root = tempfile::tempdir().expect("a folder");
    let (code, _, error) = run(root.path(), &[]);
    assert!(code == Some(4) && error.contains("there is no run yet"), "{error}");
    let (code, _, error) = run(root.path(), &["render", "absent"]);
    assert!(code == Some(4) && error.contains("absent"), "{error}");
    let (code, _, error) = run(root.path(), &["render", "."]);
    assert!(code == Some(4) && error.contains("neither trials.jsonl nor fit.json"), "{error}");
    let (code, ..) = run(root.path(), &["--unknown"]);
    assert_eq!(code, Some(2));
}
