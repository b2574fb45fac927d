//! `rtt-tuner tune`, from plan to profile, on simulated problems.

use crate::{said, script, surface, tuner};
use rtt_measure::{Fit, Outcome, Record, TimeSpent, read_log};
use rtt_profile::{Policy, Profile};
use rtt_seal::{Sealed, TrustedKeys};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

fn run(root: &Path, words: &[&str]) -> (i32, Value, String) {
    let root = root.to_str().expect("UTF-8");
    let (code, out, err) = said(tuner(&["tune", "--json", "--root", root]).args(words).output().expect("it runs"));
    let object = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error} in {out}\n{err}"));
    (code, object, err)
}

fn fit_of(object: &Value) -> Fit {
    let path = object["fit"].as_str().expect("a path");
    serde_json::from_slice(&fs::read(path).expect("a fit")).expect("of this version")
}

/// What does not hang on when and where a run was made.
fn comparable(fit: Fit) -> Fit {
    Fit { run: String::new(), trial_log: None, spent_ms: 0, time: TimeSpent::default(), ..fit }
}

fn profile(root: &Path, object: &Value) -> Profile {
    let path = PathBuf::from(object["profile"].as_str().expect("a profile"));
    let keys = TrustedKeys::load_dir(&root.join("profiles/keys")).expect("the key that was made");
    Sealed::<Profile>::load(&path).expect("a file").verify(&keys).expect("it verifies").into_document()
}

#[test]
fn a_base_problem_is_tuned_in_every_step_but_the_signature() {
    let root = tempfile::tempdir().expect("a folder");
    let (code, object, err) = run(root.path(), &["--simulate", surface(), "--seed", "11"]);
    assert!([0, 12].contains(&code), "{err}");
    assert_eq!((&object["version"], &object["profile"], &object["report"]), (&1.into(), &Value::Null, &Value::Null));
    let fit = fit_of(&object);
    assert_eq!(fit.recommended.is_some(), fit.posteriors() > 0);
    let origins = |name: &str| fit.points.iter().filter(|p| format!("{:?}", p.origin).starts_with(name)).count();
    assert!(origins("Random") > 0 && origins("Model") > 0 && origins("LatinHypercube") > 0);
    assert_eq!(fit.placebo.len(), 8);
    assert!(fit.noise_log_sd.is_some_and(|sd| sd > 0.0));
    let mut points: Vec<String> = fit.points.iter().map(|p| format!("{:?}", p.point)).collect();
    points.sort();
    points.dedup();
    assert_eq!(points.len(), fit.points.len(), "no point twice");
    if let Some(confirmation) = &fit.confirmation {
        let (low, high) = (confirmation.ratio.low, confirmation.ratio.high);
        assert!(low <= confirmation.ratio.estimate && confirmation.ratio.estimate <= high);
        assert_eq!(object["pairs"], confirmation.pairs.len());
    }
}

trait Posteriors {
    fn posteriors(&self) -> usize;
}

impl Posteriors for Fit {
    fn posteriors(&self) -> usize {
        self.points.iter().filter(|point| point.posterior.is_some()).count()
    }
}

/// TUNER-12 on the way that a host goes, with a lab that is simulated: the first run beats the default, its profile
/// is signed and in force, and the second run starts from it.
#[test]
fn tuner_12_a_profile_is_signed_and_is_the_next_incumbent() {
    let root = tempfile::tempdir().expect("a folder");
    let lab = ["--quick", "--lab", surface(), "--endpoint", "/bin/true"];
    let (code, object, err) = run(root.path(), &[&lab[..], &["--seed", "7"]].concat());
    assert_eq!((code, &object["outcome"]), (0, &"better".into()), "{err}");
    assert!(err.contains("made a key for profiles"), "{err}");
    let fit = fit_of(&object);
    let first = profile(root.path(), &object);
    let tuned = rtt_measure::point_of(&first.knobs);
    assert_eq!(tuned, fit.points[fit.recommended.expect("a point")].point, "TUNER-12");
    assert_eq!(first.rows.len(), 2, "calm and faulted");
    assert!(first.p99_ns.tuned.high < first.p99_ns.incumbent.low);
    let log = fs::read(object["log"].as_str().expect("a path")).expect("the log");
    assert_eq!(first.evidence.trial_log, rtt_seal::Digest::of(&log));
    first.accept(&first.fingerprint, first.created_unix_s, &Policy::default()).expect("in force here");

    let (_, object, err) = run(root.path(), &[&lab[..], &["--seed", "8"]].concat());
    let second = fit_of(&object);
    let replaces =
        |what: &str| err.lines().any(|line| line.starts_with("  replaces    profile ") && line.contains(what));
    assert!(replaces(" (objective geometric mean of the typical p99 over steady") && replaces(", signed 20"), "{err}");
    assert_eq!(second.incumbent, tuned, "{err}");
    assert!(second.incumbent_origin.starts_with("profile "), "{}", second.incumbent_origin);
    let starts = second.points.iter().filter(|p| format!("{:?}", p.origin).contains("Start")).count();
    assert_eq!(starts, 2, "the default is measured beside the profile in force");
    if second.outcome != Outcome::Better {
        assert_eq!(rtt_measure::point_of(&profile(root.path(), &object).knobs), tuned, "TUNER-12");
    }

    // A profile that does not verify is told, and the default takes its place.
    let path = object["profile"].as_str().expect("a path");
    let mut bytes = fs::read(path).expect("a profile");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("written");
    let (_, object, err) = run(root.path(), &[&lab[..], &["--seed", "9"]].concat());
    assert_eq!(fit_of(&object).incumbent_origin, "default");
    assert!(err.contains("is not used"), "{err}");
}

#[test]
fn fixed_and_swept_knobs_hold_for_every_point_but_the_incumbent() {
    let root = tempfile::tempdir().expect("a folder");
    let words = ["--quick", "--no-faults", "--fix", "wait=spin", "--sweep", "ring=64KiB..256KiB:x2", "--seed", "3"];
    let (_, object, err) = run(root.path(), &[&words[..], &["--lab", surface(), "--endpoint", "x"]].concat());
    let fit = fit_of(&object);
    assert!(!fit.faults);
    for point in fit.points.iter().filter(|point| !format!("{:?}", point.origin).contains("Start")) {
        assert_eq!(point.point["wait"].to_string(), "spin", "{err}");
        assert!((65_536.0..=262_144.0).contains(&point.point["ring_bytes"].as_f64().expect("a number")));
        assert!(!point.point.contains_key("spin_us"));
    }
}

#[test]
fn a_dry_run_tells_the_plan_and_leaves_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let words = ["tune", "--dry-run", "--lab", surface(), "--endpoint", "x", "--root"];
    let (code, out, err) = said(tuner(&words).arg(root.path()).output().expect("it runs"));
    assert_eq!(code, 0, "{err}");
    for part in ["objective", "of measuring", "effects", "writes", "dry run: no trial was run"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert_eq!(fs::read_dir(root.path()).expect("a folder").count(), 0, "nothing is left");
}

/// TUNER-9: whatever was in the log when a run was killed, the resumed run asks for the same trials and ends with the
/// same fit as a run that was never killed.
#[test]
fn tuner_9_a_resumed_run_ends_like_one_that_was_not_killed() {
    let words = ["--quick", "--seed", "21", "--lab", surface(), "--endpoint", "x"];
    let whole = tempfile::tempdir().expect("a folder");
    let (code, object, err) = run(whole.path(), &words);
    assert!([0, 12].contains(&code), "{err}");
    let expected = comparable(fit_of(&object));
    let folder = PathBuf::from(object["fit"].as_str().expect("a path")).parent().expect("a folder").to_path_buf();
    let image = fs::read(folder.join("trials.jsonl")).expect("the log");
    let lines: Vec<usize> = image.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
    // After the header, within the design, within a point, within the search, within the pairs, one before the end; a
    // torn line too.
    let cuts = [1, 2, 9, 24, lines.len() - 9, lines.len() - 1].map(|line| lines[line - 1]);
    for (index, cut) in cuts.into_iter().chain([lines[29] + 17]).enumerate() {
        let root = tempfile::tempdir().expect("a folder");
        let run_folder = root.path().join(".rtt/runs").join(folder.file_name().expect("a name"));
        fs::create_dir_all(&run_folder).expect("made");
        fs::copy(folder.join("run.json"), run_folder.join("run.json")).expect("copied");
        fs::write(run_folder.join("trials.jsonl"), &image[..cut]).expect("written");
        let (_, object, err) = run(root.path(), &["--lab", surface(), "--endpoint", "x", "--resume"]);
        assert_eq!(comparable(fit_of(&object)), expected, "cut {index}: {err}");
        let torn = image[cut - 1] != b'\n';
        assert_eq!(err.contains("a record that was not finished"), torn, "LOG-2: cut {index}: {err}");
        let (ours, theirs) = (read_log(&run_folder.join("trials.jsonl")), read_log(&folder.join("trials.jsonl")));
        let ids = |records: Vec<(_, Record)>| -> Vec<String> {
            let id = |record| match record {
                Record::Trial(trial) => Some(trial.id),
                _ => None,
            };
            records.into_iter().filter_map(|(_, record)| id(record)).collect()
        };
        assert_eq!(ids(ours.expect("whole").records), ids(theirs.expect("whole").records), "cut {index}");
    }
}

#[test]
fn a_killed_run_is_resumed_by_name_and_a_finished_one_is_not() {
    let root = tempfile::tempdir().expect("a folder");
    // A lab that dies after a dozen answers.
    let dying = script(
        root.path(),
        "dying.sh",
        &format!(
            "n=0; while [ $n -lt 13 ] && read -r line; do echo \"$line\"; n=$((n+1)); done | {} \"$@\"",
            surface()
        ),
    );
    let dying = dying.to_str().expect("UTF-8");
    let folder = root.path().to_str().expect("UTF-8");
    let words = ["tune", "--quick", "--seed", "4", "--root", folder, "--endpoint", "x", "--lab", dying];
    let (code, _, err) = said(tuner(&words).output().expect("it runs"));
    assert!(code == 1 && err.contains("go on with `cargo xtask tune --resume "), "{code}: {err}");
    let name = err.split("tune --resume ").nth(1).expect("a hint").split(['`', ' ']).next().expect("a name").to_owned();
    let lab = ["--lab", surface(), "--endpoint", "x"];
    let conflict = [&["tune", "--root", folder, "--resume", &name, "--seed", "5"], &lab[..]].concat();
    let (code, _, err) = said(tuner(&conflict).output().expect("it runs"));
    assert!(code == 2 && err.contains("--seed differs"), "{err}");
    let (code, object, err) = run(root.path(), &[&["--resume", &name][..], &lab].concat());
    assert!([0, 12].contains(&code) && object["run"] == name.as_str(), "{err}");
    assert!(err.contains("12 trials are in its log"), "{err}");
    let again = [&["tune", "--root", folder, "--resume", &name], &lab[..]].concat();
    let (code, _, err) = said(tuner(&again).output().expect("it runs"));
    assert!(code == 2 && err.contains("finished"), "{err}");
}

#[test]
fn an_interrupted_run_says_how_to_go_on_and_goes_on() {
    let root = tempfile::tempdir().expect("a folder");
    // A lab that interrupts the tuner, as Ctrl-C does, when it is asked for the ninth time.
    let body = "n=0; while read -r line; do n=$((n+1)); [ $n = 9 ] && kill -INT $PPID; echo \"$line\"; done";
    let lab = script(root.path(), "interrupting.sh", &format!("{body} | {} \"$@\"", surface()));
    let (lab, folder) = (lab.to_str().expect("UTF-8"), root.path().to_str().expect("UTF-8"));
    let words = ["tune", "--quick", "--seed", "4", "--root", folder, "--endpoint", "x", "--lab", lab];
    let (code, out, err) = said(tuner(&words).output().expect("it runs"));
    assert!(
        code == 130 && err.contains("interrupted\nthe log is kept; go on with `cargo xtask tune --resume "),
        "{code}: {out}{err}"
    );
    let (code, object, err) = run(root.path(), &["--resume", "--lab", surface(), "--endpoint", "x"]);
    assert!([0, 12].contains(&code) && err.contains("trials are in its log"), "{err}");
    let whole = tempfile::tempdir().expect("a folder");
    let (_, expected, _) = run(whole.path(), &["--quick", "--seed", "4", "--lab", surface(), "--endpoint", "x"]);
    assert_eq!(comparable(fit_of(&object)), comparable(fit_of(&expected)));
}

/// Nothing is measured, written or signed by a dry run, of a new run or of one that is taken up again.
#[test]
fn a_dry_run_is_dry_in_every_form() {
    let root = tempfile::tempdir().expect("a folder");
    let words = ["--quick", "--seed", "4", "--lab", surface(), "--endpoint", "x"];
    let (_, object, _) = run(root.path(), &words);
    let fit = PathBuf::from(object["fit"].as_str().expect("a path"));
    fs::remove_file(&fit).expect("unfinished");
    let profile = PathBuf::from(object["profile"].as_str().expect("a profile"));
    fs::remove_file(&profile).expect("removed");
    let log = fs::read(fit.with_file_name("trials.jsonl")).expect("the log");
    let torn = &log[..log.len() - 700];
    fs::write(fit.with_file_name("trials.jsonl"), torn).expect("written");
    let (code, object, err) = run(root.path(), &["--resume", "--dry-run", "--lab", surface(), "--endpoint", "x"]);
    assert!(code == 0 && object["dry_run"] == true && object["known"].as_u64() > Some(10), "{object} {err}");
    assert!(err.contains("trials are in its log") && err.contains("dry run: nothing was run"), "{err}");
    assert!(!fit.exists() && !profile.exists());
    assert_eq!(fs::read(fit.with_file_name("trials.jsonl")).expect("the log"), torn, "not even the torn tail was cut");
    let (code, object, _) = run(root.path(), &[&["--dry-run"][..], &words].concat());
    assert_eq!((code, &object["version"], &object["plan"]["pairs_max"]), (0, &1.into(), &400.into()));
}

/// A run that could not be signed is refused before it costs any time.
#[test]
fn a_refused_key_is_told_before_anything_is_measured() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().expect("a folder");
    let words = ["--quick", "--seed", "7", "--lab", surface(), "--endpoint", "x"];
    let (code, ..) = run(root.path(), &words);
    assert_eq!(code, 0);
    let key = root.path().join(".rtt/keys/profile.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("changed");
    let runs = || fs::read_dir(root.path().join(".rtt/runs")).expect("runs").count();
    let folder = root.path().to_str().expect("UTF-8");
    let line = [&["tune", "--root", folder], &words[..]].concat();
    let (code, _, err) = said(tuner(&line).output().expect("it runs"));
    assert!(code == 16 && err.contains("profile.key") && err.contains("nothing was run"), "{code}: {err}");
    assert_eq!(runs(), 1, "the refused run left no folder");
}

/// One crash of the recommended knobs outweighs any p99, and is said.
#[test]
fn a_crash_in_the_confirmation_is_never_better() {
    let root = tempfile::tempdir().expect("a folder");
    let crash = "sed -u '/\"id\":\"c002-candidate\\/steady\\/calm/s/\"settled\"/\"crashed\"/'";
    let lab = script(root.path(), "crashing.sh", &format!("{} \"$@\" | {crash}", surface()));
    let words = ["--quick", "--seed", "7", "--endpoint", "x", "--lab", lab.to_str().expect("UTF-8")];
    let (code, object, err) = run(root.path(), &words);
    assert_eq!((code, &object["outcome"]), (0, &"no_better".into()), "{err}");
    assert!(object["sentence"].as_str().is_some_and(|text| text.contains("crashed in 1 of")), "{object}");
    let fit = fit_of(&object);
    let confirmation = fit.confirmation.expect("pairs");
    assert_eq!((confirmation.crashed, confirmation.broke), ([1, 0], [0, 0]));
    assert_eq!(object["pairs"], confirmation.valid(), "void pairs are not counted");
    assert_eq!(confirmation.valid() + 1, confirmation.pairs.len());
}

/// TUNER-10: a condition that the host disturbed is tried again, both arms of it, and the figures are of that try.
#[test]
fn a_disturbed_condition_of_a_pair_is_tried_again() {
    let root = tempfile::tempdir().expect("a folder");
    let once = "sed -u '/\"id\":\"c001-candidate[/a-z]*calm\"/s/\"settled\"/\"void\"/'";
    let lab = script(root.path(), "disturbed.sh", &format!("{} \"$@\" | {once}", surface()));
    let words = ["--quick", "--seed", "7", "--endpoint", "x", "--lab", lab.to_str().expect("UTF-8")];
    let (_, object, err) = run(root.path(), &words);
    let confirmation = fit_of(&object).confirmation.unwrap_or_else(|| panic!("pairs: {err}"));
    assert_eq!(confirmation.valid(), confirmation.pairs.len(), "no pair was lost");
    let log = read_log(Path::new(object["log"].as_str().expect("a log"))).expect("whole");
    let again = log.records.iter().filter_map(|(_, record)| match record {
        Record::Trial(trial) if trial.id.contains("/again-1") => Some(trial.id.as_str()),
        _ => None,
    });
    let mut again: Vec<&str> = again.collect();
    again.sort_unstable();
    assert_eq!(again, ["c001-candidate/steady/calm/again-1", "c001-incumbent/steady/calm/again-1"]);
}

#[test]
fn pairs_without_a_result_are_told_as_what_they_are() {
    let root = tempfile::tempdir().expect("a folder");
    let lose = "sed -u '/\"id\":\"c[0-9]*-/s/\"settled\"/\"void\"/'";
    let lab = script(root.path(), "losing.sh", &format!("{} \"$@\" | {lose}", surface()));
    let words = ["--quick", "--seed", "7", "--endpoint", "x", "--lab", lab.to_str().expect("UTF-8")];
    let (code, object, err) = run(root.path(), &words);
    assert_eq!((code, &object["outcome"], &object["pairs"]), (12, &"undecided".into(), &0.into()), "{err}");
    assert!(object["sentence"].as_str().is_some_and(|text| text.contains("fewer than two of ")), "{object}");
    assert_eq!(profile(root.path(), &object).pairs, 0);
}

/// TUNER-14: where faults strike too late on a busy host, the calm runs decide alone, and what was lost is told with counts that sum up.
#[test]
fn faults_that_do_not_strike_keep_calm_runs_from_deciding_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let late = "\"void\",\"reason\":\"fault cpu_hog did not strike: late\"";
    let lag = "\"void\",\"reason\":\"the host held the generator up: 5us\"";
    let lose = format!(
        "sed -u -e '/\"id\":\"c[0-9]*-[/a-z0-9-]*faulted/s/\"settled\"/{late}/' -e '/\"id\":\"c00[0-1]-[/a-z0-9-]*calm/s/\"settled\"/{lag}/'"
    );
    let lab = script(root.path(), "late.sh", &format!("{} \"$@\" | {lose}", surface()));
    let lab = lab.to_str().expect("UTF-8");
    let folder = root.path().to_str().expect("UTF-8");
    let words = ["tune", "--root", folder, "--quick", "--seed", "7", "--endpoint", "x", "--lab", lab];
    let (code, out, err) = said(tuner(&words).output().expect("it runs"));
    assert!(code == 0 && out.contains("decided by calm runs in "), "{out}{err}");
    let cause = "6 void (fault cpu_hog struck too late or not at all); 2 void (the host held the generator up)";
    assert!(out.contains(&format!("8 pairs are void: {cause}")), "{out}");
}

/// An A/A run goes the whole way of a confirmation, and finds nothing.
#[test]
fn alike_arms_are_compared_and_not_found_better() {
    let root = tempfile::tempdir().expect("a folder");
    let (code, object, err) =
        run(root.path(), &["--quick", "--alike", "--seed", "5", "--simulate", surface(), "serve"]);
    let fit = fit_of(&object);
    let confirmation = fit.confirmation.as_ref().unwrap_or_else(|| panic!("pairs: {err}"));
    assert!(confirmation.pairs.len() > 4 && confirmation.faulted.is_some(), "{err}");
    assert!([0, 12].contains(&code) && fit.outcome != Outcome::Better, "{}", fit.sentence);
    assert_eq!(fit.points.len(), 1, "nothing was searched");
}

#[test]
fn a_program_without_a_log_is_not_said_to_be_resumable() {
    let root = tempfile::tempdir().expect("a folder");
    let (_, object, _) = run(root.path(), &["--quick", "--seed", "4", "--simulate", surface()]);
    assert_eq!(object["log"], Value::Null);
    let body = "n=0; while read -r line; do n=$((n+1)); [ $n = 9 ] && kill -INT $PPID; echo \"$line\"; done";
    let program = script(root.path(), "interrupting.sh", &format!("{body} | {}", surface()));
    let (program, folder) = (program.to_str().expect("UTF-8"), root.path().to_str().expect("UTF-8"));
    let words = ["tune", "--quick", "--seed", "5", "--root", folder, "--simulate", program];
    let (code, out, err) = said(tuner(&words).output().expect("it runs"));
    assert!(
        code == 130 && err.contains("keeps no log; begin again with `cargo xtask tune --seed 5`"),
        "{code}: {out}{err}"
    );
    let runs = fs::read_dir(root.path().join(".rtt/runs")).expect("runs").map(|run| run.expect("a run").path());
    let left = runs.filter(|run| !run.join("fit.json").exists()).collect::<Vec<_>>();
    let name = left[0].file_name().and_then(|name| name.to_str()).expect("UTF-8");
    let (code, _, err) = said(tuner(&["tune", "--root", folder, "--resume", name]).output().expect("it runs"));
    assert!(code == 2 && err.contains("its problem keeps no log") && err.contains("--seed 5"), "{code}: {err}");
    let (code, _, err) = said(tuner(&["tune", "--root", folder, "--resume"]).output().expect("it runs"));
    assert!(code == 2 && err.contains("no unfinished run"), "it does not stand in the way of others: {err}");
}

/// A closed pipe, as `| head` leaves it, costs words and never a result.
#[test]
fn a_reader_that_leaves_ends_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().to_str().expect("UTF-8");
    for (index, json) in [&["--json"][..], &[]].into_iter().enumerate() {
        let words = [&["tune", "--quick", "--seed", "7", "--root", folder], json, &["--simulate", surface(), "serve"]];
        let mut child = tuner(&words.concat()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        drop((child.stdout.take(), child.stderr.take()));
        // The second run starts from what the first found, and may not tell whether there is more.
        let code = child.wait().expect("an end").code();
        assert!([Some(0), Some(12)].contains(&code), "{json:?}: {code:?}");
        let fits = fs::read_dir(root.path().join(".rtt/runs")).expect("runs");
        let fits = fits.filter(|run| run.as_ref().expect("a run").path().join("fit.json").exists()).count();
        assert_eq!(fits, index + 1, "{json:?}");
    }
}

#[test]
fn a_damaged_log_is_named_and_left_alone() {
    let root = tempfile::tempdir().expect("a folder");
    let (_, object, _) = run(root.path(), &["--quick", "--seed", "4", "--simulate", surface(), "serve"]);
    let log = PathBuf::from(object["log"].as_str().expect("a log"));
    fs::remove_file(object["fit"].as_str().expect("a path")).expect("unfinished");
    let mut bytes = fs::read(&log).expect("the log");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, &bytes).expect("written");
    let folder = root.path().to_str().expect("UTF-8");
    let (code, _, err) = said(tuner(&["tune", "--resume", "--root", folder]).output().expect("it runs"));
    assert!(code == 1 && err.contains("is damaged") && !err.contains("usage:"), "{code}: {err}");
    assert_eq!(fs::read(&log).expect("the log"), bytes);
}

#[test]
fn equal_seeds_give_equal_fits_and_others_do_not() {
    let root = tempfile::tempdir().expect("a folder");
    let fit =
        |seed: &str| comparable(fit_of(&run(root.path(), &["--quick", "--simulate", surface(), "--seed", seed]).1));
    assert_eq!(fit("1"), fit("1"));
    assert_ne!(fit("1").points, fit("2").points);
}

#[test]
fn a_report_program_is_given_the_run_and_its_failure_costs_only_the_report() {
    let root = tempfile::tempdir().expect("a folder");
    let good = script(root.path(), "good.sh", "test -f \"$2/fit.json\" && echo page > \"$4\"");
    let bad = script(root.path(), "bad.sh", "exit 9");
    for (program, drawn) in [(good, true), (bad, false)] {
        let program = program.to_str().expect("UTF-8");
        let (code, object, err) =
            run(root.path(), &["--quick", "--seed", "1", "--report", program, "--simulate", surface()]);
        assert!([0, 12].contains(&code), "{err}");
        assert_eq!(object["report"].is_string(), drawn, "{err}");
        assert_eq!(err.contains("no report: "), !drawn, "{err}");
    }
}

/// TUNER-10 and TUNER-11, with a lab that loses the second pair.
#[test]
fn tuner_10_tuner_11_a_void_pair_bets_nothing_and_the_figures_are_those_of_the_pairs() {
    let root = tempfile::tempdir().expect("a folder");
    let lose = "sed -u '/\"id\":\"c001-/s/\"settled\"/\"void\"/'";
    let lab = script(root.path(), "losing.sh", &format!("{} \"$@\" | {lose}", surface()));
    let words = ["--quick", "--seed", "7", "--endpoint", "x", "--lab", lab.to_str().expect("UTF-8")];
    let (_, object, err) = run(root.path(), &words);
    let confirmation = fit_of(&object).confirmation.unwrap_or_else(|| panic!("pairs: {err}"));
    let pairs = &confirmation.pairs;
    assert!(pairs[1].log_ratio.is_none() && pairs[0].log_ratio.is_some() && pairs.len() > 2, "TUNER-10");
    assert_eq!(pairs[1].wealth_better.to_bits(), pairs[0].wealth_better.to_bits(), "TUNER-10");
    let tuned: Vec<f64> = pairs.iter().filter_map(|pair| pair.candidate).map(f64::ln).collect();
    let mean = (tuned.iter().sum::<f64>() / tuned.len() as f64).exp();
    assert!((mean / confirmation.objective_tuned.estimate - 1.0).abs() < 1e-9, "TUNER-11");
}

/// TUNER-7: runs that never settle are no results, so nothing is recommended and the outcome is open.
#[test]
fn tuner_7_what_never_settles_gives_no_objective() {
    let root = tempfile::tempdir().expect("a folder");
    let hello = r#"{"name": "p", "axes": [{"name": "x", "kind": "integer", "min": 0, "max": 900}]}"#;
    let never = r#"{"verdict": "never_settled", "reason": "drift"}"#;
    let body =
        format!("echo '{hello}'; read -r line; echo '{{\"ok\": true}}'; while read -r line; do echo '{never}'; done");
    let program = script(root.path(), "never.sh", &body);
    let words = ["--quick", "--seed", "1", "--simulate", program.to_str().expect("UTF-8")];
    let (code, object, err) = run(root.path(), &words);
    assert_eq!((code, &object["outcome"], &object["p99_ns"]), (12, &"undecided".into(), &Value::Null), "{err}");
    let fit = fit_of(&object);
    assert!(fit.recommended.is_none() && fit.points.iter().all(|point| point.objective.is_none()));
    assert!(fit.notes.iter().any(|note| note.contains("never settled (drift)")), "{:?}", fit.notes);
}
