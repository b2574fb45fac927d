//! The program: where pages go, what it answers, how it ends.

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

#[test]
fn runs_are_listed_also_those_that_cannot_be_read() {
    let root = tempfile::tempdir().expect("a folder");
    let runs = root.path().join(".rtt/runs");
    make(&runs.join("one"), Recipe { quick: true, log: false, ..BETTER });
    make(&runs.join("two"), Recipe { quick: true, outcome: None, ..BETTER });
    std::fs::create_dir_all(runs.join("three")).expect("a folder");
    let (code, listed, _) = run(root.path(), &["list"]);
    assert_eq!(code, Some(0));
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
