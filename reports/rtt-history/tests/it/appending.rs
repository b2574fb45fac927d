//! Append: every finished tune and gate, once; what is unfinished, damaged or removed is named and stays out.

use crate::lab::{BEGAN, Lab, header, paired, trials};
use rtt_measure::{Arm, GateVerdict, Record};
use std::{collections::BTreeMap, fs};

fn pairs(count: u32, latency_ns: u64) -> Vec<rtt_measure::TrialRecord> {
    (0..count).flat_map(|at| [Arm::Base, Arm::Candidate].map(|arm| paired(arm, at, latency_ns))).collect()
}

/// Two tunes, a gate over two logs, a canary.
fn several(lab: &Lab) {
    lab.tune(header("t1"), trials(1, 3, 1_000.0));
    lab.tune(header("t2"), trials(2, 2, 1_000.0));
    lab.gate_log("000", header("main-tip"), pairs(2, 500));
    let mut later = header("main-tip");
    later.created_unix_s = BEGAN + 86_400;
    lab.gate_log("001", later, pairs(1, 600));
    lab.decide("main-tip", &["000", "001"], GateVerdict::Undecided, false);
    lab.gate(header("canary-1"), pairs(1, 700), GateVerdict::Pass, true);
}

/// Outcome and reason of each log, by its words.
type Outcomes = BTreeMap<String, (String, String)>;

/// What became of each log.
fn outcomes(lab: &Lab, code: i32) -> Outcomes {
    let answer = lab.rtt(&["append", "--json"]);
    assert_eq!(answer.code, code, "{answer:?}");
    let document: serde_json::Value = serde_json::from_str(&answer.out).expect("JSON");
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let logs = document["logs"].as_array().expect("logs").iter();
    logs.map(|log| (word(&log["log"]), (word(&log["outcome"]), word(&log["reason"])))).collect()
}

/// Each of these logs has this outcome, and its reason these words.
fn assert_told(outcomes: &Outcomes, outcome: &str, logs: [(&str, &str); 4]) {
    for (log, words) in logs {
        let (found, reason) = &outcomes[log];
        assert!(found == outcome && reason.contains(words), "{log}: {found}: {reason}");
    }
}

fn table(lab: &Lab, by: &str) -> Vec<String> {
    let answer = lab.rtt(&["table", "--by", by, "--columns", "trials", "--csv"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    answer.out.lines().skip(1).map(str::to_owned).collect()
}

/// HISTORY-1: tunes and gates, each log a file with its kind, verdict and canary; a second time changes nothing.
#[test]
fn tunes_and_gates_are_appended_once() {
    let lab = Lab::new();
    several(&lab);
    let answer = lab.rtt(&["append"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{answer:?}");
    assert!(answer.out.contains("written: gate main-tip, log 001: 2 trials in "), "{answer:?}");
    assert!(answer.out.ends_with("appended 5 logs; 0 were there, 0 left out, 0 failed\n"), "{answer:?}");
    let rows = table(&lab, "source,run,comparison,canary,gate_verdict,day");
    assert_eq!(
        rows,
        [
            "gate,canary-1,canary-1,true,pass,2026-11-23,2",
            "gate,main-tip,main-tip,false,undecided,2026-11-23,4",
            "gate,main-tip,main-tip,false,undecided,2026-11-24,2",
            "tune,t1,,,,2026-11-23,3",
            "tune,t2,,,,2026-11-23,2",
        ]
    );
    assert_eq!(table(&lab, "arm").concat(), "base,4candidate,4incumbent,5");
    let before = lab.files();
    assert!(outcomes(&lab, 0).values().all(|(outcome, _)| outcome == "unchanged"));
    assert_eq!(lab.files(), before);
}

/// HISTORY-1: a gate that goes on has another verdict, also for the logs that were there.
#[test]
fn a_new_verdict_reaches_the_logs_that_were_there() {
    let lab = Lab::new();
    lab.gate(header("c"), pairs(2, 500), GateVerdict::Undecided, false);
    lab.tune(header("t"), trials(1, 2, 1_000.0));
    assert_eq!(lab.rtt(&["append"]).code, 0);
    assert_eq!(lab.rtt(&["compact"]).code, 0);
    lab.gate_log("001", header("c"), pairs(3, 500));
    lab.decide("c", &["000", "001"], GateVerdict::Fail, false);
    let outcomes = outcomes(&lab, 0);
    let outcome = |log: &str| outcomes[log].0.as_str();
    assert_eq!((outcome("gate c, log 000"), outcome("gate c, log 001")), ("written", "written"));
    assert_eq!(outcome("run t"), "unchanged", "it stands in the compaction");
    assert_eq!(table(&lab, "gate_verdict,source"), [",tune,2", "fail,gate,10"]);
}

/// HISTORY-7: named with the reason; the finished ones are appended all the same, and they themselves once they end.
#[test]
fn what_is_unfinished_is_left_out_and_said() {
    let lab = Lab::new();
    several(&lab);
    lab.run(header("begun"), trials(3, 2, 1_000.0));
    lab.append("t1", [Record::Trial(Box::new(trials(4, 9, 1_000.0).remove(8)))]);
    lab.gate_log("000", header("undecided"), pairs(1, 500));
    let mut again = header("canary-1");
    again.created_unix_s += 60;
    lab.gate_log("001", again, pairs(1, 500));
    let left_out = outcomes(&lab, 0);
    let expected = [
        ("run begun", "unfinished, it has no fit yet"),
        ("run t1", "unfinished, its log is not the one"),
        ("gate undecided, log 000", "unfinished, the gate has no verdict yet"),
        ("gate canary-1, log 001", "unfinished, the gate's verdict was made without it"),
    ];
    assert_told(&left_out, "left_out", expected);
    let written = left_out.iter().filter(|(_, (outcome, _))| outcome == "written").map(|(log, _)| log.as_str());
    let written: Vec<_> = written.collect();
    assert_eq!(written, ["gate canary-1, log 000", "gate main-tip, log 000", "gate main-tip, log 001", "run t2"]);
    lab.fit("begun");
    lab.fit("t1");
    lab.decide("undecided", &["000"], GateVerdict::Pass, false);
    lab.decide("canary-1", &["000", "001"], GateVerdict::Pass, true);
    assert!(outcomes(&lab, 0).values().all(|(outcome, _)| outcome != "left_out"));
}

/// HISTORY-5, HISTORY-7: damage of a log, a fit or a verdict is named, and the others are appended.
#[test]
fn what_is_damaged_is_named_and_the_others_are_appended() {
    let lab = Lab::new();
    several(&lab);
    let damage = |path: &std::path::Path, from: &str, to: &str| {
        let text = fs::read_to_string(path).expect("a file");
        assert!(text.contains(from), "{from}");
        fs::write(path, text.replacen(from, to, 1)).expect("damaged");
    };
    // The digests are made again over the damaged bytes: only the chain inside tells.
    damage(&lab.log("t1"), "\"t1\",\"arm\"", "\"t9\",\"arm\"");
    lab.fit("t1");
    damage(&lab.log("t2").with_file_name("fit.json"), "\"version\"", "\"wersion\"");
    damage(&lab.gate_folder("canary-1").join("verdict.json"), "\"canary-1\"", "\"other\"");
    fs::remove_file(lab.gate_folder("main-tip").join("001.jsonl")).expect("removed");
    let outcomes = outcomes(&lab, 1);
    let expected = [
        ("run t1", "line 3 is damaged"),
        ("run t2", "it is not what a tune writes"),
        ("gate canary-1, log *", "it is the verdict of comparison `other`"),
        ("gate main-tip, log 001", "it is not there; restore it"),
    ];
    assert_told(&outcomes, "failed", expected);
    assert_eq!(outcomes["gate main-tip, log 000"].0, "written");
    assert_eq!(lab.files().len(), 1);
    let answer = lab.rtt(&["append"]);
    assert!(answer.code == 1 && answer.err.contains("error: run t1 was not appended: trial log "), "{answer:?}");
}

/// A data set's own file that is damaged, or of an older format, is written again from its log.
#[test]
fn a_damaged_file_is_mended_by_an_append() {
    let (lab, name, whole) = Lab::with_one_file("t");
    fs::write(lab.root().join(&name), &whole[..whole.len() / 2]).expect("damaged");
    assert_eq!(lab.rtt(&["table"]).code, 1);
    assert_eq!(outcomes(&lab, 0)["run t"].0, "written");
    assert_eq!(lab.files()[&name], whole);
}

#[test]
fn names_that_are_ours_are_refused() {
    let lab = Lab::new();
    lab.tune(header("gate=c,log=000"), trials(1, 2, 1_000.0));
    let failed = outcomes(&lab, 1);
    assert!(failed["run gate=c,log=000"].1.contains("a name without `=`"), "{failed:?}");
    let nothing = Lab::new().rtt(&["append"]);
    assert!(nothing.code == 4 && nothing.err.contains("cargo xtask tune"), "{nothing:?}");
}
