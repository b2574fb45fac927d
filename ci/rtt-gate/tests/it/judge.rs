//! `rtt-gate judge` as a process, against the simulated host `rtt-gate-1`, whose arms do what their arguments say.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with two endpoints that differ by one byte: the simulated host starts neither.
struct Gate {
    root: tempfile::TempDir,
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Gate {
    fn new() -> Gate {
        let root = tempfile::tempdir().expect("a folder");
        fs::write(root.path().join("old"), "old").expect("written");
        fs::write(root.path().join("new"), "new").expect("written");
        Gate { root }
    }

    fn path(&self, name: &str) -> String {
        self.root.path().join(name).display().to_string()
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtt-gate"));
        command.current_dir(checkout()).env_remove("GITHUB_ACTIONS");
        command.args(["judge", "--lab", env!("CARGO_BIN_EXE_rtt-gate-1"), "--candidate", &self.path("new")]);
        command.args(["--root", &self.root.path().display().to_string(), "--seed", "5"]).args(words);
        command.output().expect("it starts")
    }

    /// Against `old`: exit code and document.
    fn judge(&self, words: &[&str]) -> (i32, Value) {
        let old = self.path("old");
        let output = self.run(&[&["--base", old.as_str(), "--json"], words].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        (output.status.code().expect("an exit code"), document)
    }

    fn comparisons(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.path().join(".rtt/gate")).expect("a folder");
        let folders = entries.map(|entry| entry.expect("an entry").path());
        folders.filter(|path| path.file_name().is_some_and(|name| name != "endpoints")).collect()
    }
}

/// What one gate of each kind comes to: exit code, verdict, and a part of the sentence.
#[test]
fn each_kind_of_candidate_gets_its_verdict() {
    let check = |arguments: &[&str], code: i32, verdict: &str, words: &str| {
        let (found, document) = Gate::new().judge(&[&["--scenario", "steady"], arguments].concat());
        let sentence = document["sentence"].as_str().expect("a sentence");
        assert_eq!((found, document["verdict"].as_str()), (code, Some(verdict)), "{arguments:?}: {sentence}");
        assert!(sentence.contains(words), "{arguments:?}: {sentence}");
    };
    check(&[], 0, "pass", "PASS");
    check(&["--candidate-argument", "--slower=0.2"], 11, "fail", "steady: slower");
    check(&["--candidate-argument", "--slower=-0.2"], 0, "pass", "PASS");
    check(&["--candidate-argument", "--crash=3"], 11, "fail", "outside the false-alarm rate");
    check(&["--candidate-argument", "--lose=2"], 11, "fail", "lost 250 messages in a million");
    check(&["--candidate-argument", "--unsettled"], 11, "fail", "never settled");
    check(&["--base-argument", "--unsettled", "--max-pairs", "20"], 12, "undecided", "20 of 20 pairs are void");
    check(&["--candidate-argument", "--void"], 12, "undecided", "too noisy");
    check(
        &["--base-argument", "--crash=1", "--candidate-argument", "--crash=2"],
        12,
        "undecided",
        "both have a defect",
    );
    check(&["--max-pairs", "3"], 12, "undecided", "decide nothing");
    check(&["--candidate-argument", "--slower=1", "--max-pairs", "4"], 12, "undecided", "decide nothing");
}

/// GATE-3 and GATE-4: a second gate of the same arms goes on with the same wealth, one that is decided stays so.
#[test]
fn gate_4_the_wealth_is_what_the_logs_tell() {
    let gate = Gate::new();
    let arguments = ["--scenario", "steady", "--candidate-argument", "--slower=0.2", "--max-pairs", "6"];
    let (code, first) = gate.judge(&arguments);
    assert_eq!((code, first["fresh"].as_bool(), first["pairs_now"].as_u64()), (12, Some(true), Some(6)));
    let (code, second) = gate.judge(&[&arguments[..4], &["--max-pairs", "60"]].concat());
    assert_eq!((code, second["fresh"].as_bool()), (11, Some(false)), "{second}");
    let wealth = |document: &Value, pair: usize| document["scenarios"][0]["pairs"][pair]["wealth_fail"].as_f64();
    assert!(wealth(&first, 5).is_some() && wealth(&first, 5) == wealth(&second, 5), "the first six pairs are the same");
    let (code, third) = gate.judge(&arguments);
    assert_eq!((code, third["pairs_now"].as_u64()), (11, Some(0)), "decided before");
    assert_eq!(third["scenarios"][0]["pairs"], second["scenarios"][0]["pairs"]);
    assert_eq!(gate.comparisons().len(), 1, "no folder is left behind: {:?}", gate.comparisons());
    let (_, other) = gate.judge(&["--scenario", "steady", "--max-pairs", "1"]);
    assert_eq!(other["fresh"].as_bool(), Some(true), "another question has a wealth of its own");
    assert_eq!(gate.comparisons().len(), 2);
}

/// GATE-3: a FAIL cannot be asked away by asking for another scenario.
#[test]
fn a_failed_scenario_is_not_forgotten() {
    let gate = Gate::new();
    let slower = ["--candidate-argument", "--slower=0.2"];
    let (code, _) = gate.judge(&[&slower[..], &["--scenario", "burst"]].concat());
    assert_eq!(code, 11);
    let (code, document) = gate.judge(&[&slower[..], &["--scenario", "steady", "--max-pairs", "2"]].concat());
    assert_eq!((code, document["verdict"].as_str()), (11, Some("fail")), "{document}");
    assert!(document["sentence"].as_str().is_some_and(|sentence| sentence.contains("burst")), "{document}");
    assert_eq!(document["pairs_now"].as_u64(), Some(0), "what failed is decided");
}

/// A night that was too noisy ends undecided, and the next one goes on.
#[test]
fn noise_is_judged_night_by_night() {
    let gate = Gate::new();
    let arguments = ["--scenario", "steady", "--candidate-argument", "--void"];
    for night in 1..=2_u64 {
        let (code, document) = gate.judge(&arguments);
        assert_eq!((code, document["pairs_now"].as_u64()), (12, Some(20)), "night {night}: {document}");
        assert!(document["sentence"].as_str().is_some_and(|sentence| sentence.contains("20 of 20 pairs are void")));
    }
}

/// A log that was cut in the middle of a line goes on from its whole lines; one that was changed is refused.
#[test]
fn a_cut_log_goes_on_and_a_changed_one_is_refused() {
    let gate = Gate::new();
    let arguments = ["--scenario", "steady", "--max-pairs", "5"];
    gate.judge(&arguments);
    let log = gate.comparisons()[0].join("000.jsonl");
    let bytes = fs::read(&log).expect("a log");
    fs::remove_file(log.with_file_name("verdict.json")).expect("a gate that was killed has written none");
    fs::write(&log, &bytes[..bytes.len() - 10]).expect("cut");
    let (code, document) = gate.judge(&arguments);
    assert_eq!(code, 12, "{document}");
    let pairs = document["scenarios"][0]["pairs"].as_array().expect("pairs").len();
    assert_eq!(pairs, 10, "the cut pair stays, as one without a result");
    assert!(document["scenarios"][0]["pairs"][4]["void"].as_str().is_some_and(|void| void.contains("interrupted")));
    let mut changed = bytes.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(&log, &changed).expect("changed");
    let output = gate.run(&["--base", &gate.path("old"), "--scenario", "steady"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("000.jsonl") && said.contains("damaged"), "{said}");
}

/// GATE-3: evidence that went into a verdict cannot be left out of the next: gone, emptied, cut at a line's end, or of
/// another comparison.
#[test]
fn gate_3_what_a_verdict_was_made_from_is_not_forgotten() {
    let check = |change: &dyn Fn(&Path), part: &str| {
        let gate = Gate::new();
        let slower = ["--scenario", "steady", "--candidate-argument", "--slower=0.2"];
        gate.judge(&[&slower[..], &["--max-pairs", "6"]].concat());
        assert_eq!(gate.judge(&slower).0, 11);
        let folder = gate.comparisons().remove(0);
        change(&folder);
        let old = gate.path("old");
        let output = gate.run(&[&["--base", old.as_str(), "--max-pairs", "1"], &slower[..]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(part) && said.contains("fresh wealth"), "{part}: {said}");
    };
    let remove = |folder: &Path, name: &str| fs::remove_file(folder.join(name)).expect("removed");
    check(&|folder| remove(folder, "001.jsonl"), "001.jsonl: it was begun, and is not there");
    check(&|folder| remove(folder, "000.jsonl"), "000.jsonl: it is not there");
    check(&|folder| fs::write(folder.join("001.jsonl"), "").expect("emptied"), "001.jsonl");
    let cut = |folder: &Path| {
        let text = fs::read_to_string(folder.join("001.jsonl")).expect("a log");
        let lines: Vec<&str> = text.split_inclusive('\n').take(3).collect();
        fs::write(folder.join("001.jsonl"), lines.concat()).expect("cut");
    };
    check(&cut, "001.jsonl: it is not what the last verdict was made from");
    let both = |folder: &Path| ["000.jsonl", "001.jsonl"].iter().for_each(|name| remove(folder, name));
    check(&both, "000.jsonl");
    let foreign = |folder: &Path| {
        let other = Gate::new();
        fs::write(other.root.path().join("old"), "older").expect("written");
        other.judge(&["--scenario", "steady", "--max-pairs", "2"]);
        let from = other.comparisons().remove(0);
        for name in ["000.jsonl", "000.json"] {
            fs::copy(from.join(name), folder.join(name.replace("000", "002"))).expect("copied");
        }
    };
    check(&foreign, "002.jsonl: it is of other builds");
}

/// GATE-2: a defect that both have decides nothing, whichever of them the coin puts first.
#[test]
fn gate_2_a_defect_of_both_is_no_matter_of_the_coin() {
    for seed in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        for defect in ["--crash=1", "--lose=1"] {
            let both = ["--base-argument", defect, "--candidate-argument", defect, "--scenario", "steady"];
            let gate = Gate::new();
            let old = gate.path("old");
            let mut command = Command::new(env!("CARGO_BIN_EXE_rtt-gate"));
            command.current_dir(checkout()).args(["judge", "--lab", env!("CARGO_BIN_EXE_rtt-gate-1")]);
            command.args(["--candidate", &gate.path("new"), "--base", &old, "--seed", seed]).args(both);
            let output = command.args(["--root", &gate.root.path().display().to_string()]).output().expect("it starts");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(output.status.code(), Some(12), "{seed} {defect}: {said}");
            assert!(said.contains("both have a defect"), "{said}");
        }
    }
}

/// Equal arms pass at once, and a canary of them does not.
#[test]
fn equal_arms_pass_with_no_pairs() {
    let gate = Gate::new();
    let output = gate.run(&["--base", &gate.path("new")]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("0 pairs were run"), "{said}");
    let output = gate.run(&["--base", &gate.path("new"), "--json"]);
    let document: rtt_measure::Gate = serde_json::from_slice(&output.stdout).expect("a whole document");
    let passed = |scenario: &rtt_measure::GateScenario| scenario.verdict == rtt_measure::GateVerdict::Pass;
    assert!(document.alike && document.pairs_now == 0 && document.scenarios.iter().all(passed), "{document:?}");
    assert_eq!(document.scenarios.len(), 3, "those that gate");
    let written = fs::read(gate.comparisons()[0].join("verdict.json")).expect("a verdict");
    assert_eq!(serde_json::from_slice::<rtt_measure::Gate>(&written).expect("a document").base, document.base);
    let output = gate.run(&["--canary", "3", "--json"]);
    let tally: Value = serde_json::from_slice(&output.stdout).expect("a tally");
    assert_eq!(tally["canaries"].as_u64(), Some(3));
    assert!(tally["pairs_mean"].as_f64().is_some_and(|pairs| pairs > 5.0), "{tally}");
    let again = gate.run(&["--canary", "3", "--json"]);
    assert_eq!(again.stdout, output.stdout, "finished canaries are not run again");
    let more = gate.run(&["--canary", "+2", "--json"]);
    let tally: Value = serde_json::from_slice(&more.stdout).expect("a tally");
    assert_eq!(tally["canaries"].as_u64(), Some(5), "two beside the three");
    let other = Gate::new();
    let few: Value =
        serde_json::from_slice(&other.run(&["--canary", "1", "--max-pairs", "3", "--json"]).stdout).expect("one");
    assert_eq!((few["undecided"].as_u64(), few["pairs_mean"].as_f64()), (Some(1), Some(3.0)));
    let whole: Value = serde_json::from_slice(&other.run(&["--canary", "1", "--json"]).stdout).expect("one");
    assert_eq!(whole["pass"].as_u64(), Some(1), "an open canary goes on: {whole}");
}

/// A run that was judged can be the next base while its executable is kept, and is advice only when it is not.
#[test]
fn a_run_is_run_again_or_nothing_is_decided() {
    let gate = Gate::new();
    gate.judge(&["--scenario", "steady", "--max-pairs", "2"]);
    let run = gate.comparisons()[0].display().to_string();
    fs::write(gate.root.path().join("new"), "newer").expect("written");
    let output = gate.run(&["--against-run", &run, "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
    assert!(document["pairs_now"].as_u64().is_some_and(|pairs| pairs > 0), "{document}");
    fs::remove_dir_all(gate.root.path().join(".rtt/gate/endpoints")).expect("removed");
    let output = gate.run(&["--against-run", &run]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(12), "{said}");
    assert!(said.contains("stored figures are no baseline"), "{said}");
}

/// What is asked wrongly is answered with the thing, the place and the next step, and leaves no comparison.
#[test]
fn refusals_name_the_thing() {
    let gate = Gate::new();
    let check = |words: &[&str], code: i32, part: &str| {
        let old = gate.path("old");
        let output = gate.run(&[&["--base", old.as_str()], words].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(part), "{words:?}: {said}");
    };
    check(&["--scenario", "stedy"], 2, "steady");
    check(&["--max-pairs", "0"], 2, "max-pairs");
    check(&["--budget", "5"], 2, "unit");
    check(&["--slo", "nowhere.json"], 3, "nowhere.json");
    check(&["--slower", "1.2"], 2, "--canary");
    check(&["--canary", "+0"], 2, "expected 1 to 1000");
    check(&["--scenario", "steady", "--base-argument", "--refuse"], 13, "arm base does not take the knobs");
    let output = gate.run(&["--against-profile", &gate.path("no-profile.json")]);
    assert_eq!(output.status.code(), Some(16), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Every form that other programs read is there and says the same.
#[test]
fn the_exports_agree_with_the_verdict() {
    let gate = Gate::new();
    let (code, document) = gate.judge(&["--scenario", "steady", "--candidate-argument", "--slower=0.5"]);
    assert_eq!(code, 11);
    let folder = &gate.comparisons()[0];
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect(name);
    assert_eq!(serde_json::from_str::<Value>(&read("verdict.json")).expect("JSON"), document);
    assert!(read("summary.md").contains("| steady |") && read("summary.md").contains("| FAIL |"));
    let junit = read("junit.xml");
    assert!(junit.contains("failures=\"1\"") && junit.contains("steady: p99 against base"), "{junit}");
    let p99 = &document["scenarios"][0]["candidate"]["latency_ns_p99"];
    let bencher: Value = serde_json::from_str(&read("bencher.json")).expect("JSON");
    assert_eq!(bencher["rtt/steady"]["latency_p99"]["value"], p99["estimate"]);
    let smaller: Value = serde_json::from_str(&read("smaller.json")).expect("JSON");
    assert!(smaller.as_array().is_some_and(|rows| rows.iter().any(|row| row["value"] == p99["estimate"])));
    let old = gate.path("old");
    let words = ["--base", &old, "--scenario", "steady", "--candidate-argument", "--slower=0.5", "--annotate"];
    let said = gate.run(&words).stdout;
    assert!(String::from_utf8_lossy(&said).contains("::error title=p99 gate::steady: slower"));
}
