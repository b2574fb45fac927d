//! Trends: figures against a plain model, change points, canaries, budgets; advice with one exit code.

use crate::lab::{BEGAN, Lab, header, named, paired};
use rtt_measure::{Arm, GateVerdict, RegimeProbe, TrialRecord, Verdict, geometric_mean_interval};
use rtt_scenario::{Lock, Objective, Slo};
use rtt_units::SplitMix64;
use serde_json::Value;
use std::fs;

const DAY_S: u64 = 86_400;
/// The day of [`BEGAN`] is day 0; windows end here, an hour after the last night began.
const NIGHTS: u64 = 30;
const NOW: u64 = BEGAN + (NIGHTS - 1) * DAY_S + 3_600;

/// Thirty nights of a gate, whose candidate is a third slower from night 20 on, in the data set.
fn nights() -> Lab {
    let lab = Lab::new();
    let mut draws = SplitMix64::new(3);
    for night in 0..NIGHTS {
        let mut header = header(&format!("night-{night:02}"));
        header.created_unix_s = BEGAN + night * DAY_S;
        header.fingerprint.conditions.kernel = if night < 20 { "6.18.1".into() } else { "6.19.0".into() };
        let level = if night < 20 { 3_000.0 } else { 4_000.0 };
        let mut trial = |arm, at| paired(arm, at, (level * (0.03 * draws.normal()).exp()) as u64);
        let mut trials: Vec<TrialRecord> =
            (0..6).flat_map(|at| [trial(Arm::Base, at), trial(Arm::Candidate, at)]).collect();
        // None of these is a calm, settled run of the candidate.
        trials.extend([(7, Verdict::NeverSettled, false), (8, Verdict::Settled, true)].map(
            |(at, verdict, faulted)| {
                let mut stray = paired(Arm::Candidate, at, 90_000_000);
                (stray.verdict, stray.faults) = (verdict, faulted.then(|| rtt_seal::Digest::of(b"plan")));
                stray
            },
        ));
        lab.gate(header, trials, GateVerdict::Pass, false);
    }
    assert_eq!(lab.rtt(&["append"]).code, 0);
    lab
}

fn trend(lab: &Lab, words: &[&str]) -> Value {
    let now = NOW.to_string();
    lab.rtt(&[&["trend", "--json", "--now", &now], words].concat()).json()
}

/// The budgets of `steady`: p99 in thousandths of the limit, and in nanoseconds on each machine named.
fn budgets(lab: &Lab, permille: u32, machines: &[(&str, u64)]) {
    let absolute = |(machine, p99_ns): &(&str, u64)| {
        serde_json::json!({
            "machine": machine, "latency_ns_p50": 1, "latency_ns_p95": 1, "latency_ns_p99": p99_ns,
            "latency_ns_p999": 100_000_000,
        })
    };
    let objective: Objective = serde_json::from_value(serde_json::json!({
        "scenario": "steady", "gating": true, "latency_permille_of_limit_p50": 1000,
        "latency_permille_of_limit_p95": 1000, "latency_permille_of_limit_p99": permille,
        "latency_permille_of_limit_p999": 100_000_000, "loss_ppm": 0, "tolerance_permille": 50,
        "machines": machines.iter().map(absolute).collect::<Vec<_>>(),
    }))
    .expect("an objective");
    let slo = Slo { about: "For tests.".into(), objectives: vec![objective] };
    fs::create_dir_all(lab.root().join("ci")).expect("a folder");
    fs::write(lab.root().join("ci/slo.lock.json"), Lock::new(Vec::new(), vec![slo]).text()).expect("a lock");
}

/// HISTORY-3: a day is the geometric mean of its runs, as a plain model has it; the step is found, with what changed.
#[test]
fn days_are_those_of_a_plain_model_and_the_step_is_found() {
    let lab = nights();
    let document = trend(&lab, &[]);
    assert_eq!((&document["version"], &document["advice"]), (&1.into(), &true.into()));
    assert_eq!((&document["partitions"], &document["rows"]), (&NIGHTS.into(), &(NIGHTS * 14).into()));
    let series = &document["machines"][0]["scenarios"][0]["series"];
    assert_eq!(series.as_array().map(Vec::len), Some(1), "{series}");
    assert_eq!(series[0]["series"], "gate_candidate");
    let days = series[0]["days"].as_array().expect("days");
    assert_eq!(days.len() as u64, NIGHTS);
    let log = rtt_history::read_run(&lab.gate_folder("night-04").join("000.jsonl")).expect("a log");
    let candidate = log.trials.iter().map(|trial| &trial.record);
    let candidate =
        candidate.filter(|t| t.arm == Arm::Candidate && t.faults.is_none() && t.verdict == Verdict::Settled);
    let p99s: Vec<f64> = candidate.map(|trial| trial.quantiles.expect("settled").p99 as f64).collect();
    let expected = geometric_mean_interval(&p99s, 1).expect("six runs");
    assert_eq!((&days[4]["day"], &days[4]["runs"]), (&"2026-11-27".into(), &6.into()));
    let found = days[4]["latency_ns_p99"].as_f64().expect("a figure");
    assert!((found / expected.estimate - 1.0).abs() < 1e-12, "{found}");
    let [low, high] = [0, 1].map(|at| days[4]["interval"][at].as_f64().expect("an end"));
    assert!((low / expected.low - 1.0).abs() < 0.02 && (high / expected.high - 1.0).abs() < 0.02, "{low} {high}");
    let changes = series[0]["change_points"].as_array().expect("changes");
    assert_eq!((changes.len(), &changes[0]["day"]), (1, &"2026-12-13".into()), "{changes:?}");
    assert!((changes[0]["ratio"].as_f64().expect("a ratio") - 4.0 / 3.0).abs() < 0.1, "{changes:?}");
    assert_eq!(changes[0]["beside"], serde_json::json!(["kernel 6.18.1 -> 6.19.0"]));
    assert_eq!(trend(&lab, &[]), document, "equal data give equal advice");
    let text = lab.rtt(&["trend", "--now", &NOW.to_string(), "--cost"]);
    for part in
        ["advice, not a verdict", "gate candidate: 30 days, the last 14", "change from 2026-12-13 on: 3", "p 0.005"]
    {
        assert!(text.out.contains(part), "{part}: {}", text.out);
    }
    assert!(text.err.starts_with("cost: ") && text.err.contains("VmHWM"), "{text:?}");
}

/// The same rows in compacted files, and the last days only: what is asked for is what is read.
#[test]
fn compaction_and_filters_change_what_they_should() {
    let lab = nights();
    let mut other = header("other");
    other.fingerprint.machine.stepping = 9;
    let mut trials = vec![paired(Arm::Candidate, 0, 500), paired(Arm::Incumbent, 0, 600)];
    trials[1].scenario = named("burst");
    lab.tune(other, trials);
    assert_eq!(lab.rtt(&["append"]).code, 0);
    let whole = trend(&lab, &[]);
    assert_eq!(whole["machines"].as_array().map(Vec::len), Some(2));
    assert_eq!(lab.rtt(&["compact"]).code, 0);
    assert_eq!(trend(&lab, &[])["machines"], whole["machines"]);
    let burst = trend(&lab, &["--scenario", "burst"]);
    let machines = burst["machines"].as_array().expect("machines");
    let named: Vec<_> = machines.iter().flat_map(|m| m["scenarios"].as_array().expect("scenarios")).collect();
    assert_eq!((named.len(), &named[0]["series"][0]["series"]), (1, &"incumbent".into()));
    let id = whole["machines"][0]["machine"].as_str().expect("an id");
    assert_eq!(trend(&lab, &["--machine", &id[..8]])["machines"][0], whole["machines"][0]);
    let days = trend(&lab, &["--days", "3", "--scenario", "steady"]);
    assert_eq!(days["since"], "2026-12-20");
    let series = days["machines"].as_array().expect("machines").iter().flat_map(|m| m["scenarios"].as_array().unwrap());
    let days: usize =
        series.flat_map(|s| s["series"].as_array().unwrap()).map(|s| s["days"].as_array().unwrap().len()).sum();
    assert_eq!(days, 3);
}

/// One canary is one comparison, however many logs and rows it has; the interval is the exact one.
#[test]
fn false_alarms_are_counted_by_comparison() {
    let lab = nights();
    let none = trend(&lab, &[]);
    assert_eq!(none["machines"][0]["canary"]["false_alarm_rate"], Value::Null);
    let text = lab.rtt(&["trend", "--now", &NOW.to_string()]).out;
    assert!(text.contains("canary: none yet") && text.contains("cargo xtask gate --canary 20"), "{text}");
    for at in 0..20 {
        let verdict = [GateVerdict::Fail, GateVerdict::Undecided, GateVerdict::Pass][at.min(2)];
        let name = format!("canary-{at}");
        let log = |log: &str| lab.gate_log(log, header(&name), vec![paired(Arm::Candidate, 0, 3_000)]);
        log("000");
        log("001");
        lab.decide(&name, &["000", "001"], verdict, true);
    }
    assert_eq!(lab.rtt(&["append"]).code, 0);
    let canary = trend(&lab, &[])["machines"][0]["canary"].clone();
    assert_eq!((&canary["canaries"], &canary["failed"], &canary["undecided"]), (&20.into(), &1.into(), &1.into()));
    let [low, high] = [0, 1].map(|at| canary["false_alarm_interval"][at].as_f64().expect("an end"));
    assert!((low - 0.001_265).abs() < 1e-6 && (high - 0.248_733).abs() < 1e-6, "{low} {high}");
    let text = lab.rtt(&["trend", "--now", &NOW.to_string()]).out;
    assert!(
        text.contains("canary: 1 of 20 ended with FAIL: false-alarm rate 5 %, exact 95 % interval 0.13 % to 24.87 %"),
        "{text}"
    );
}

/// The limit of logs and runs is 140 ns: 25 times that lies between the two levels, so the last ten nights are bad.
#[test]
fn budgets_burn_by_windows_and_decide_nothing() {
    let lab = nights();
    let without = trend(&lab, &[]);
    assert_eq!(without["machines"][0]["scenarios"][0]["slo"], Value::Null);
    assert!(without["notes"][0].as_str().is_some_and(|note| note.contains("--slo")), "{without}");
    budgets(&lab, 25_000, &[]);
    let slo = trend(&lab, &[])["machines"][0]["scenarios"][0]["slo"].clone();
    assert_eq!((&slo["budget"]["runs"], &slo["budget"]["bad"]), (&180.into(), &60.into()));
    let rule = |at: usize| (slo["rules"][at]["burns"].clone(), slo["rules"][at]["long"]["runs"].clone());
    // A night's six runs end within its first seconds: an hour ago.
    assert_eq!(rule(0), (Value::Null, 6.into()), "five minutes without a run");
    assert_eq!(rule(1), (Value::Null, 6.into()), "thirty minutes without a run");
    assert_eq!(rule(2), (true.into(), 18.into()), "{slo}");
    // HISTORY-10: it burns, it changed, and it was shown: that is success.
    let text = lab.rtt(&["trend", "--now", &NOW.to_string()]);
    assert!(text.code == 0 && text.out.contains("   1x: BURNS; 3d 100.0x on 18 runs, 6h 100.0x on 6 runs"), "{text:?}");
    let recent = trend(&lab, &["--days", "1"])["machines"][0]["scenarios"][0]["slo"].clone();
    assert_eq!(recent, slo, "the budget has its month, however few days are shown");
    budgets(&lab, 40_000, &[]);
    let good = trend(&lab, &[])["machines"][0]["scenarios"][0]["slo"].clone();
    assert_eq!((&good["budget"]["bad"], &good["rules"][2]["burns"]), (&0.into(), &false.into()));
}

fn burn(lab: &Lab) -> Value {
    trend(lab, &[])["machines"][0]["scenarios"][0]["slo"].clone()
}

/// A budget in nanoseconds holds on the machine that it names, and there in place of the multiple.
#[test]
fn a_machine_that_is_named_has_its_own_budget() {
    let lab = nights();
    let machine = header("any").fingerprint.machine.id().to_string();
    let [all, bad] = [180, 60];
    // By the limit every run is good; by nanoseconds those of the last ten nights are bad.
    budgets(&lab, 100_000, &[("0123456789abcdef", 1), (&machine, 3_500)]);
    let slo = burn(&lab);
    assert_eq!((&slo["budget"]["runs"], &slo["budget"]["bad"]), (&all.into(), &bad.into()), "{slo}");
    assert_eq!((&slo["p99_ns"], &slo["p99_permille_of_limit"]), (&3_500.into(), &Value::Null));
    let text = lab.rtt(&["trend", "--now", &NOW.to_string()]).out;
    assert!(text.contains("  budget: p99 at most 3.5us on this machine in 99 % of runs; 30d: "), "{text}");
    // The other way about.
    budgets(&lab, 1_000, &[(&machine, 90_000_000)]);
    assert_eq!(burn(&lab)["budget"]["bad"], 0);
    budgets(&lab, 25_000, &[("0123456789abcdef", 1)]);
    let slo = burn(&lab);
    assert_eq!((&slo["budget"]["bad"], &slo["p99_ns"]), (&bad.into(), &Value::Null), "another machine's");
    let text = lab.rtt(&["trend", "--now", &NOW.to_string()]).out;
    assert!(text.contains("  budget: p99 at most 25x the limit in 99 % of runs; 30d: "), "{text}");
}

/// The probes around a run are its limit; only where it has none, or one of them is nothing, is it that of its log.
#[test]
fn a_run_is_judged_by_the_limit_that_its_own_probes_measured() {
    // p99, the probes of the run, the limit of its log; what 10 times the limit makes of it: runs, bad, without limit.
    for (p99_ns, probes, log_ns, expected) in [
        (1_500, Some([100, 400]), Some(140), [1, 0, 0]),
        (1_300, Some([50, 200]), Some(140), [1, 1, 0]),
        (2_001, Some([100, 400]), Some(140), [1, 1, 0]),
        (1_500, Some([100, 400]), None, [1, 0, 0]),
        (1_500, None, Some(140), [1, 1, 0]),
        (1_300, None, Some(140), [1, 0, 0]),
        (1_500, Some([0, 400]), Some(140), [1, 1, 0]),
        (1_500, None, None, [0, 0, 1]),
    ] {
        let lab = Lab::new();
        let mut header = header("tip");
        header.created_unix_s = NOW - 60;
        header.limits.line_round_trip_ns_p50 = log_ns;
        let mut run = paired(Arm::Candidate, 0, p99_ns);
        run.regime = probes.map(|[before_ns, after_ns]| RegimeProbe { cpus: [0, 1], before_ns, after_ns });
        lab.gate(header, vec![run], GateVerdict::Pass, false);
        assert_eq!(lab.rtt(&["append"]).code, 0);
        budgets(&lab, 10_000, &[]);
        let slo = burn(&lab);
        let found = [&slo["budget"]["runs"], &slo["budget"]["bad"], &slo["runs_without_limit"]];
        assert_eq!(found, expected.map(Value::from).each_ref(), "{p99_ns} {probes:?} {log_ns:?}: {slo}");
    }
}

#[test]
fn what_cannot_be_shown_is_said() {
    let lab = Lab::new();
    let empty = lab.rtt(&["trend"]);
    assert!(empty.code == 4 && empty.err.contains("cargo xtask tune"), "{empty:?}");
    lab.gate(header("c"), vec![paired(Arm::Candidate, 0, 500)], GateVerdict::Pass, false);
    assert_eq!(lab.rtt(&["append"]).code, 0);
    let unknown = lab.rtt(&["trend", "--scenario", "stedy"]);
    assert!(
        unknown.code == 4
            && unknown.err.contains("no calm, settled run of stedy in 1 files; there are runs of: steady"),
        "{unknown:?}"
    );
    let machine = lab.rtt(&["trend", "--machine", "zz"]);
    assert!(machine.code == 2 && machine.err.contains("no machine `zz`"), "{machine:?}");
    budgets(&lab, 25_000, &[]);
    let path = lab.root().join("ci/slo.lock.json");
    let text = fs::read_to_string(&path).expect("a lock").replace("25000", "26000");
    fs::write(&path, text).expect("edited");
    let refused = lab.rtt(&["trend"]);
    assert!(refused.code == 3 && refused.err.contains("edited by hand"), "{refused:?}");
    let absent = lab.rtt(&["trend", "--slo", "absent.json"]);
    assert!(absent.code == 3 && absent.err.contains("absent.json"), "{absent:?}");
}

/// The bench writes, shows what a trend cost, and leaves nothing behind.
#[test]
fn a_bench_says_what_a_trend_costs() {
    let lab = Lab::new();
    let scratch = lab.root().join("scratch");
    fs::create_dir(&scratch).expect("a folder");
    let mut bench = std::process::Command::new(env!("CARGO_BIN_EXE_rtt-history"));
    let output =
        bench.args(["bench", "--rows", "2000", "--machines", "2", "--days", "7"]).env("TMPDIR", &scratch).output();
    let output = output.expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && out.starts_with("written: 2000 rows in 42 files of 14 partitions, "),
        "{out}{err}"
    );
    assert!(err.contains("cost: ") && err.contains("(VmHWM), 2000 rows"), "{err}");
    assert_eq!(fs::read_dir(&scratch).expect("a list").count(), 0);
}
