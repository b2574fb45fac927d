//! Export: what goes in comes out, once, whole, and only from logs that are logs.

use crate::lab::{BEGAN, Lab, drawn, header, trial, trials};
use rtt_history::{COLUMNS, Cell, frame_of, list_history, read_columns, read_run};
use rtt_measure::{Arm, Record, Verdict};
use rtt_profile::{Pin, Wait};
use rtt_units::SplitMix64;
use std::fs;

/// Trials that differ in every field that a row has, null and not.
fn varied() -> Vec<rtt_measure::TrialRecord> {
    let mut draws = SplitMix64::new(7);
    let mut all: Vec<_> = (0..4).map(|at| trial(format!("t{at}"), &drawn(&mut draws, 500, 1_000.0))).collect();
    all[1].arm = Arm::Candidate;
    (all[1].pair, all[1].slot) = (Some(3), Some(1));
    all[1].faults = Some(rtt_seal::Digest::of(b"plan"));
    (all[1].knobs.wait, all[1].knobs.spin_us, all[1].knobs.pin) = (Wait::Spin, 0, Pin::SameL3);
    all[2].verdict = Verdict::Crashed;
    all[2].reason = Some("the endpoint died: \"signal 9\", line\nbreak".into());
    (all[2].quantiles, all[2].histogram, all[2].readback, all[2].cpus) = (None, None, None, None);
    (all[2].page_bytes, all[2].regime, all[2].offered_per_s) = (None, None, None);
    all[2].handled = all[2].sent - 5;
    (all[3].sent, all[3].handled, all[3].share) = (u64::MAX, u64::MAX - 1, 0.25);
    all
}

/// HISTORY-1: what was exported reads back as the rows of the log, cell by cell.
#[test]
fn every_cell_comes_back() {
    let lab = Lab::new();
    lab.run(header("first"), varied());
    let answer = lab.rtt(&["export", "."]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{answer:?}");
    assert!(answer.out.starts_with("written: run first: 4 trials in ./.rtt/history/machine="), "{answer:?}");
    let files = list_history(lab.root()).expect("a list");
    let [file] = files.as_slice() else { panic!("one file: {files:?}") };
    let run = read_run(&lab.log("first")).expect("the run");
    assert_eq!((file.holds.to_string().as_str(), file.day.as_str()), ("run first", "2026-11-23"));
    assert_eq!(file.machine, run.header.fingerprint.machine.id().to_string());
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    let (found, expected) = (read_columns(file, &names).expect("readable"), frame_of(&run).expect("rows"));
    assert_eq!(found.height(), 4);
    for name in names {
        for row in 0..4 {
            let cell = |frame: &polars::prelude::DataFrame| {
                Cell::from(frame.column(name).expect(name).get(row).expect("a row"))
            };
            assert_eq!(cell(&found), cell(&expected), "{name} of row {row}");
        }
    }
    let at = |name: &str, row: usize| {
        Cell::from(read_columns(file, &[name]).expect(name).column(name).expect(name).get(row).expect("a row"))
    };
    let source = (at("source", 0), at("log", 0), at("comparison", 0), at("canary", 0), at("gate_verdict", 0));
    let text = |text: &str| Cell::Text(text.into());
    assert_eq!(source, (text("tune"), text("first"), Cell::Absent, Cell::Absent, Cell::Absent));
    assert_eq!(at("arm", 1), Cell::Text("candidate".into()));
    assert_eq!(at("faulted", 1), Cell::Flag(true));
    assert_eq!((at("lost", 2), at("lost", 3)), (Cell::Count(5), Cell::Count(1)));
    assert_eq!((at("latency_ns_p99", 2), at("psi_memory_us", 0)), (Cell::Absent, Cell::Absent));
    assert_eq!((at("knobs_honoured", 0), at("knobs_honoured", 1)), (Cell::Flag(true), Cell::Flag(false)));
    assert_eq!((at("sent", 3), at("share", 3)), (Cell::Count(u64::MAX), Cell::Real(0.25)));
    assert_eq!((at("day", 0), at("seed", 0)), (Cell::Text("2026-11-23".into()), Cell::Text(u64::MAX.to_string())));
}

/// HISTORY-1: a second export changes no byte; a longer log replaces the file; nothing else lies beside it.
#[test]
fn a_run_stands_in_the_data_set_once() {
    let lab = Lab::new();
    lab.run(header("first"), trials(1, 3, 1_000.0));
    assert_eq!(lab.rtt(&["export", "."]).code, 0);
    let before = lab.files();
    let again = lab.rtt(&["export", "--run", "first"]);
    assert!(again.code == 0 && again.out.starts_with("unchanged: run first: 3 trials"), "{again:?}");
    assert_eq!(lab.files(), before);
    // The same log in another root gives the same bytes: they depend on nothing else.
    let other = Lab::new();
    fs::create_dir_all(other.log("first").parent().expect("a folder")).expect("folders");
    fs::copy(lab.log("first"), other.log("first")).expect("a copy");
    assert_eq!(other.rtt(&["export"]).code, 0);
    assert_eq!(other.files(), before);

    lab.append("first", [Record::Trial(Box::new(trial("t3", &drawn(&mut SplitMix64::new(9), 100, 500.0))))]);
    let longer = lab.rtt(&["export", "."]);
    assert!(longer.out.starts_with("written: run first: 4 trials"), "{longer:?}");
    let after = lab.files();
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    let table = lab.rtt(&["table", "--by", "run", "--columns", "trials", "--csv"]);
    assert_eq!(table.out, "run,trials\nfirst,4\n");
}

/// HISTORY-1: another run cannot take the name on another day, and a copied folder is not counted again.
#[test]
fn a_name_is_not_taken_twice() {
    let lab = Lab::new();
    lab.run(header("first"), trials(1, 2, 1_000.0));
    assert_eq!(lab.rtt(&["export"]).code, 0);
    let before = lab.files();
    fs::create_dir_all(lab.log("copy").parent().expect("a folder")).expect("folders");
    fs::copy(lab.log("first"), lab.log("copy")).expect("a copy");
    let copied = lab.rtt(&["export"]);
    assert!(copied.code == 1 && copied.err.contains("its log is that of run `first`"), "{copied:?}");
    assert!(copied.out.contains("unchanged: run first"), "{copied:?}");
    fs::remove_dir_all(lab.root().join(".rtt/runs")).expect("removed");
    let mut later = header("first");
    later.created_unix_s = BEGAN + 86_400;
    lab.run(later, trials(2, 2, 1_000.0));
    let taken = lab.rtt(&["export"]);
    assert!(taken.code == 1 && taken.err.contains("run first: another one of that name"), "{taken:?}");
    assert_eq!(lab.files(), before);
}

/// HISTORY-2: a write that fails leaves neither half a file nor its aside, and says where; an old aside harms nobody.
#[test]
fn a_failed_write_leaves_nothing() {
    let (lab, name, whole) = Lab::with_one_file("first");
    let path = lab.root().join(&name);
    fs::remove_file(&path).expect("removed");
    fs::create_dir_all(path.join("in the way")).expect("a folder");
    let refused = lab.rtt(&["export"]);
    assert!(refused.code == 1 && refused.err.contains(&format!("run first: writing ./{name} failed")), "{refused:?}");
    assert!(lab.files().is_empty(), "{:?}", lab.files().keys());
    fs::remove_dir_all(&path).expect("removed");
    let aside = path.with_file_name(".first.parquet.1.tmp");
    fs::write(&aside, &whole[..whole.len() / 2]).expect("what a killed export leaves");
    assert_eq!(lab.rtt(&["export"]).code, 0);
    assert_eq!(lab.files()[&name], whole);
    assert_eq!(lab.rtt(&["table", "--by", "run", "--columns", "trials", "--csv"]).out, "run,trials\nfirst,2\n");
}

/// HISTORY-5: damage is refused with run and line; the other runs are exported all the same.
#[test]
fn a_damaged_log_adds_nothing() {
    let lab = Lab::new();
    lab.run(header("bad"), trials(1, 3, 1_000.0));
    lab.run(header("good"), trials(2, 3, 1_000.0));
    let whole = fs::read(lab.log("bad")).expect("the log");
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let mut flipped = whole.clone();
    let third = lines[0].len() + lines[1].len();
    flipped[third + lines[2].len() / 2] ^= 1;
    let damages =
        [(flipped, "line 3"), ([lines[0], lines[2], lines[3]].concat(), "line 2"), (lines[1].to_vec(), "line 1")];
    for (bytes, line) in damages {
        fs::write(lab.log("bad"), bytes).expect("damaged");
        let answer = lab.rtt(&["export"]);
        assert_eq!(answer.code, 1, "{answer:?}");
        assert!(answer.err.starts_with("error: run bad was not exported: trial log ./.rtt/runs/bad"), "{answer:?}");
        assert!(answer.err.contains(line), "{line}: {answer:?}");
        assert!(answer.out.contains("run good: 3 trials"), "{answer:?}");
        let names: Vec<_> = lab.files().into_keys().collect();
        assert!(names.len() == 1 && names[0].ends_with("/good.parquet"), "{names:?}");
    }
    // A torn tail is what a crash leaves: the whole records count.
    fs::write(lab.log("bad"), &whole[..whole.len() - 10]).expect("torn");
    assert!(lab.rtt(&["export"]).out.contains("written: run bad: 2 trials"));
}

/// HISTORY-5: a chain can be whole and yet not the log of one run.
#[test]
fn a_log_that_is_not_one_runs_is_refused() {
    let cases: [(&str, Vec<Record>); 5] = [
        ("line 1: expected the run's header", vec![Record::Trial(Box::new(trials(1, 1, 100.0).remove(0)))]),
        ("line 2: a second header, of run r", vec![run_record(|_| {}), run_record(|_| {})]),
        ("line 1: format 2, expected 1", vec![run_record(|header| header.version = 2)]),
        ("line 3: trial t0 is there twice", [vec![run_record(|_| {})], twice()].concat()),
        ("line 2: trial t0: histogram is not base64", vec![run_record(|_| {}), no_histogram()]),
    ];
    for (reason, records) in cases {
        let lab = Lab::new();
        lab.append("r", records);
        let answer = lab.rtt(&["export", "."]);
        assert!(answer.code == 1 && answer.err.contains(reason), "{reason}: {answer:?}");
        assert!(lab.files().is_empty(), "{reason}");
    }
}

fn run_record(change: impl FnOnce(&mut rtt_measure::RunRecord)) -> Record {
    let mut header = header("r");
    change(&mut header);
    Record::Run(Box::new(header))
}

fn twice() -> Vec<Record> {
    vec![Record::Trial(Box::new(trials(1, 1, 100.0).remove(0))); 2]
}

fn no_histogram() -> Record {
    let mut trial = trials(1, 1, 100.0).remove(0);
    trial.histogram = Some("not base64!".into());
    Record::Trial(Box::new(trial))
}

#[test]
fn what_has_nothing_to_export_is_passed_over_and_said() {
    let lab = Lab::new();
    let none = lab.rtt(&["export", "."]);
    assert!(none.code == 4 && none.err.contains("cargo xtask tune"), "{none:?}");
    lab.run(header("begun"), []);
    fs::create_dir_all(lab.root().join(".rtt/runs/simulated")).expect("a folder");
    let answer = lab.rtt(&["export", ".", "--json"]).json();
    let outcomes: Vec<_> = answer["runs"].as_array().expect("runs").iter().map(|run| run["outcome"].clone()).collect();
    assert_eq!(outcomes, ["skipped", "skipped"]);
    assert!(lab.files().is_empty());
    let asked = lab.rtt(&["export", "--run", "simulated"]);
    assert!(asked.code == 1 && asked.err.contains("simulated"), "{asked:?}");
    let missing = lab.rtt(&["export", "--run", "absent"]);
    assert!(missing.code == 2 && missing.err.contains("run `absent`"), "{missing:?}");
}
