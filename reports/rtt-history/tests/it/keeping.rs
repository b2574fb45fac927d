//! Compaction and retention: no row is lost or counted twice, wherever they are stopped.

use crate::lab::{BEGAN, Lab, header, paired, trials};
use rtt_history::{CompactError, CompactStep, Holds, compact, list_history, read_columns};
use rtt_measure::{Arm, GateVerdict};
use std::{collections::BTreeSet, fs, io, path::PathBuf};

const DAY_S: u64 = 86_400;

/// Three files on one day and two on the next, of one machine; one on another machine.
fn several(lab: &Lab) {
    for (run, day, stepping) in [("a", 0, 8), ("b", 0, 8), ("c", 1, 8), ("d", 1, 8), ("e", 0, 9)] {
        let mut header = header(run);
        header.created_unix_s = BEGAN + day * DAY_S;
        header.fingerprint.machine.stepping = stepping;
        lab.tune(header, trials(day, 3, 1_000.0));
    }
    let candidate = vec![paired(Arm::Candidate, 0, 500)];
    lab.gate(header("gate"), candidate, GateVerdict::Pass, false);
    assert_eq!(lab.rtt(&["append"]).code, 0);
}

/// Every row as `log/trial` with its digest, sorted; a row read twice stands twice.
fn rows(lab: &Lab) -> Vec<String> {
    let mut rows = Vec::new();
    for file in list_history(lab.root()).expect("a list") {
        let frame = read_columns(&file, &["log", "trial", "trial_digest", "histogram"]).expect("rows");
        for at in 0..frame.height() {
            let cell = |name: &str| frame.column(name).expect(name).get(at).expect("a row").to_string();
            rows.push([cell("log"), cell("trial"), cell("trial_digest"), cell("histogram")].join("/"));
        }
    }
    rows.sort_unstable();
    rows
}

/// Compacts, but is killed before step `stop`; the steps that were done.
fn compact_until(lab: &Lab, stop: usize) -> Result<usize, usize> {
    let mut done = 0;
    let result = compact(lab.root(), &mut |step| {
        if done == stop {
            let source = io::Error::other("killed");
            return Err(CompactError::Io { doing: "a test stops before", path: format!("{step:?}").into(), source });
        }
        done += 1;
        Ok(())
    });
    result.map(|_| done).map_err(|_| done)
}

fn names(lab: &Lab) -> BTreeSet<String> {
    lab.files().into_keys().map(|name| name.rsplit('/').next().expect("a name").to_owned()).collect()
}

/// HISTORY-6, HISTORY-8: stopped before any step, every row is read once; the next compaction ends as if nothing was.
#[test]
fn a_compaction_that_is_killed_at_any_step_loses_and_repeats_nothing() {
    let plain = Lab::new();
    several(&plain);
    let expected = rows(&plain);
    assert_eq!(expected.len(), 16);
    let steps = compact_until(&plain, usize::MAX).expect("it ends");
    // Two partitions of a new file each, and of three and two old ones.
    assert_eq!(steps, 2 * 3 + 3 + 2);
    assert_eq!(rows(&plain), expected);
    assert_eq!(plain.files().len(), 3);
    for stop in 0..steps {
        let lab = Lab::new();
        several(&lab);
        assert_eq!(compact_until(&lab, stop), Err(stop));
        assert_eq!(rows(&lab), expected, "killed before step {stop}");
        let table = lab.rtt(&["table", "--by", "source", "--columns", "trials", "--csv"]);
        assert_eq!(table.out, "source,trials\ngate,1\ntune,15\n", "killed before step {stop}");
        compact_until(&lab, usize::MAX).expect("it goes on");
        assert_eq!(rows(&lab), expected, "gone on after step {stop}");
        assert_eq!(lab.files().len(), 3, "{:?}", names(&lab));
        assert!(names(&lab).iter().all(|name| !name.ends_with(".tmp")), "{:?}", names(&lab));
        let again = lab.rtt(&["append"]);
        assert!(again.out.contains("appended 0 logs; 6 were there"), "{again:?}");
    }
}

/// HISTORY-6: a log that has grown counts before its old rows in a compaction, and a later compaction before an earlier.
#[test]
fn the_newest_rows_of_a_log_are_the_ones_that_are_read() {
    let lab = Lab::new();
    several(&lab);
    assert_eq!(lab.rtt(&["compact"]).code, 0);
    let first = lab.files();
    let compacted = first.keys().find(|name| name.contains("day=2026-11-24")).expect("a compaction").clone();
    // An export by name finds the log in the compaction, and gives it no file of its own.
    assert!(lab.rtt(&["export", "--run", "c"]).out.starts_with("unchanged: run c: 3 trials in "));
    assert_eq!(lab.files(), first);
    lab.append("c", [rtt_measure::Record::Trial(Box::new(paired(Arm::Candidate, 7, 900)))]);
    lab.fit("c");
    assert!(lab.rtt(&["append"]).out.contains("appended 1 logs; 5 were there"));
    let trials_of_c = || lab.rtt(&["table", "--by", "run", "--where", "run=c", "--columns", "trials", "--csv"]).out;
    assert_eq!(trials_of_c(), "run,trials\nc,4\n");
    let expected = rows(&lab);
    assert_eq!(lab.rtt(&["compact"]).code, 0);
    assert_eq!(rows(&lab), expected);
    // The first compaction again, as if its removal had been lost.
    fs::write(lab.root().join(&compacted), &first[&compacted]).expect("it is back");
    assert_eq!((trials_of_c().as_str(), rows(&lab)), ("run,trials\nc,4\n", expected));
    let files = list_history(lab.root()).expect("a list");
    let hidden: Vec<_> = files.iter().filter(|file| !file.hidden.is_empty()).map(|file| &file.holds).collect();
    assert_eq!(hidden, [&Holds::Compaction(1)]);
}

#[test]
fn a_compaction_that_cannot_read_touches_nothing() {
    let lab = Lab::new();
    several(&lab);
    let files = lab.files();
    let (name, whole) = files.iter().find(|(name, _)| name.ends_with("/b.parquet")).expect("a file");
    fs::write(lab.root().join(name), &whole[..whole.len() / 2]).expect("damaged");
    let answer = lab.rtt(&["compact"]);
    assert!(answer.code == 1 && answer.err.contains("run b: ") && answer.err.contains(name), "{answer:?}");
    assert_eq!(lab.files().len(), files.len());
    fs::write(lab.root().join(name), whole).expect("mended");
    let mut steps = Vec::new();
    compact(lab.root(), &mut |step| {
        steps.push(step);
        Ok(())
    })
    .expect("it ends");
    let first: PathBuf = match &steps[0] {
        CompactStep::Write(path) => path.clone(),
        other => panic!("{other:?}"),
    };
    assert!(first.ends_with("compact=000001.parquet") && first.is_file(), "{first:?}");
    let nothing = lab.rtt(&["compact"]);
    assert!(nothing.code == 0 && nothing.out.starts_with("nothing to compact"), "{nothing:?}");
}

fn partitions(lab: &Lab) -> BTreeSet<String> {
    list_history(lab.root()).expect("a list").into_iter().map(|file| file.day).collect()
}

/// Days before the first that is kept go, with a dry run first that says the same and does nothing.
#[test]
fn retention_removes_what_is_older_and_says_so() {
    let lab = Lab::new();
    several(&lab);
    let now = (BEGAN + 3 * DAY_S).to_string();
    let retain = |days: &str, more: &[&str]| lab.rtt(&[&["retain", "--days", days, "--now", &now], more].concat());
    let before = lab.files();
    let dry = retain("2", &["--dry-run"]);
    assert!(
        dry.code == 0 && dry.out.contains("would remove: machine ") && dry.out.contains("2026-11-23: 3 files"),
        "{dry:?}"
    );
    assert_eq!(lab.files(), before);
    assert!(retain("3", &[]).out.starts_with("nothing to remove: no machine has a day before 2026-11-23\n"));
    let removed = retain("2", &["--json"]).json();
    let days: Vec<_> = removed["partitions"].as_array().expect("partitions").iter().map(|p| p["day"].clone()).collect();
    assert_eq!((days, &removed["kept_since"]), (vec![serde_json::Value::from("2026-11-23"); 2], &"2026-11-24".into()));
    assert_eq!(partitions(&lab), BTreeSet::from(["2026-11-24".to_owned()]));
    let machines = fs::read_dir(lab.root().join(".rtt/history")).expect("a list");
    let machines = machines.filter(|entry| entry.as_ref().expect("an entry").path().is_dir()).count();
    assert_eq!(machines, 1, "a machine without a day has no folder");
}

/// HISTORY-9: the logs are still there, and their rows stay away; a wider retention lets them in again.
#[test]
fn what_was_removed_stays_away() {
    let lab = Lab::new();
    several(&lab);
    let now = (BEGAN + 3 * DAY_S).to_string();
    assert_eq!(lab.rtt(&["retain", "--days", "2", "--now", &now]).code, 0);
    let append = lab.rtt(&["append"]);
    assert!(
        append.code == 0 && append.out.contains("left out: run a: older than what is kept: it began on 2026-11-23"),
        "{append:?}"
    );
    assert!(append.out.ends_with("appended 0 logs; 2 were there, 4 left out, 0 failed\n"), "{append:?}");
    // By name it comes back: that is what was asked for.
    assert!(lab.rtt(&["export", "--run", "a"]).out.starts_with("written: run a"));
    assert_eq!(lab.rtt(&["retain", "--days", "9", "--now", &now]).code, 0);
    assert!(lab.rtt(&["append"]).out.contains("appended 3 logs; 3 were there"));
    assert_eq!(rows(&lab).len(), 16);
}

/// A retention that was killed after it hid a partition: nobody reads the rest, and the next one removes it.
#[test]
fn the_rest_of_a_killed_retention_is_nobodys() {
    let lab = Lab::new();
    several(&lab);
    let all = lab.files();
    let name = all.keys().find(|name| name.ends_with("/a.parquet")).expect("a file");
    let day = lab.root().join(name).parent().expect("a partition").to_owned();
    let hidden = day.with_file_name(".day=2026-11-23.removed");
    fs::rename(&day, &hidden).expect("hidden");
    assert_eq!(rows(&lab).len(), 9);
    let now = (BEGAN + 3 * DAY_S).to_string();
    assert_eq!(lab.rtt(&["retain", "--days", "2", "--now", &now]).code, 0);
    assert!(!hidden.exists());
    assert_eq!(partitions(&lab), BTreeSet::from(["2026-11-24".to_owned()]));
}
