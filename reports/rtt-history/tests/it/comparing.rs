//! Comparison: ratios of merged quantiles, regimes apart, hosts described, unlike machines refused.

use crate::lab::{Lab, header, histogram, named, trial, trials};
use rtt_measure::{Arm, RegimeProbe, TrialRecord, Verdict, decode_histogram};

fn with(mut trials: Vec<TrialRecord>, change: impl Fn(usize, &mut TrialRecord)) -> Vec<TrialRecord> {
    trials.iter_mut().enumerate().for_each(|(at, trial)| change(at, trial));
    trials
}

fn merged_p99<'a>(trials: impl IntoIterator<Item = &'a TrialRecord>) -> u64 {
    let mut merged = histogram([]);
    for trial in trials {
        merged.add(decode_histogram(trial.histogram.as_ref().expect("one")).expect("one")).expect("it grows");
    }
    merged.value_at_quantile(0.99)
}

/// HISTORY-3: the ratio is that of directly merged histograms, inside its interval.
#[test]
fn a_ratio_is_that_of_merged_histograms() {
    let lab = Lab::new();
    let (a, b) = (trials(1, 12, 1_000.0), trials(2, 12, 1_600.0));
    let ratio = merged_p99(&b) as f64 / merged_p99(&a) as f64;
    lab.run(header("a"), a.clone());
    lab.run(header("b"), b.clone());
    let document = lab.rtt(&["compare", "a", "b", "--json"]).json();
    let pair = &document["pairs"][0];
    assert_eq!(pair["a"]["latency_ns"]["p99"], merged_p99(&a));
    assert_eq!(pair["b"]["latency_ns"]["p99"], merged_p99(&b));
    assert_eq!(pair["a"]["latency_ns"]["n"], 24_000);
    let number = |value: &serde_json::Value| value.as_f64().expect("a number");
    assert!((number(&pair["ratio"]) - ratio).abs() < 1e-12);
    let (low, high) = (number(&pair["interval"][0]), number(&pair["interval"][1]));
    assert!(1.0 < low && low <= ratio && ratio <= high, "{low}..{high} around {ratio}");
    let text = lab.rtt(&["compare", "a", "b"]).out;
    assert!(text.contains("B slower") && text.contains(&format!("{ratio:.3}")), "{text}");
    let same = lab.rtt(&["compare", "a", "a"]).out;
    assert!(same.contains("1.000") && same.contains("no difference shown"), "{same}");
}

/// HISTORY-4: other hardware is refused with what differs; asked for, it is shown.
#[test]
fn unlike_machines_are_refused() {
    let lab = Lab::new();
    lab.run(header("here"), trials(1, 6, 1_000.0));
    let mut there = header("there");
    there.fingerprint.machine.model_name = "Other CPU".into();
    there.fingerprint.machine.cores = 64;
    lab.run(there, trials(2, 6, 1_000.0));
    let refused = lab.rtt(&["compare", "here", "there"]);
    assert_eq!((refused.code, refused.out.as_str()), (13, ""), "{refused:?}");
    for part in
        ["run here and run there", "--any-host", "  CPU model: Test CPU against Other CPU\n  cores: 2 against 64"]
    {
        assert!(refused.err.contains(part), "{part}: {refused:?}");
    }
    let shown = lab.rtt(&["compare", "here", "there", "--any-host", "--json"]).json();
    assert_eq!(shown["differences"][0]["field"], "CPU model");
    assert_eq!(shown["pairs"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_changed_beside_the_run_is_listed() {
    let lab = Lab::new();
    lab.run(header("a"), trials(1, 6, 1_000.0));
    let mut changed = header("b");
    changed.fingerprint.conditions.kernel = "6.19.0".into();
    changed.environment = vec![("clock source".into(), "hpet".into()), ("quota".into(), "1.5 CPUs".into())];
    changed.endpoints.get_mut("*").expect("an endpoint").digest = rtt_seal::Digest::of(b"newer");
    changed.limits.line_round_trip_ns_p50 = None;
    let trials = with(trials(2, 6, 1_000.0), |at, trial| {
        trial.knobs.batch = 8;
        trial.interference.steal_us = 500;
        (trial.verdict, trial.reason) =
            if at == 0 { (Verdict::Crashed, Some("gone".into())) } else { (trial.verdict, None) };
        trial.handled -= u64::from(at == 0);
    });
    lab.run(changed, trials);
    let document = lab.rtt(&["compare", "a", "b", "--json"]).json();
    let fields: Vec<_> = document["differences"].as_array().expect("fields").iter().map(|d| &d["field"]).collect();
    assert_eq!(fields, ["kernel", "clock source", "endpoint *", "quota"]);
    assert_eq!(document["differences"][3]["a"], "absent");
    let figure = |name: &str| {
        let figures = document["figures"].as_array().expect("figures");
        figures.iter().find(|figure| figure["figure"] == name).expect(name).clone()
    };
    assert!(figure("limit_line_round_trip_ns_p50")["b"].is_null());
    assert_eq!((&figure("steal_us_per_s")["a"], &figure("steal_us_per_s")["b"]), (&10.into(), &500.into()));
    assert!(figure("psi_memory_us_per_s")["a"].is_null());
    let text = lab.rtt(&["compare", "a", "b"]).out;
    for part in ["knobs: batch 32 -> 8", "B crashed 1 times; B lost 1 messages", "5 settled", "1 crashed", "6.19.0"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn only_an_arm_is_compared_with_an_arm() {
    let lab = Lab::new();
    let a = with(trials(1, 12, 1_000.0), |at, trial| match at {
        0..4 => (trial.arm, trial.knobs.batch) = (Arm::Search, 1 + at as u32),
        4..8 => trial.scenario = named("burst"),
        _ => trial.arm = Arm::Default,
    });
    let b = with(a.clone(), |at, trial| match at {
        4..8 => trial.scenario.digest = rtt_seal::Digest::of(b"burst, edited"),
        8.. => trial.arm = Arm::Base,
        _ => {}
    });
    lab.run(header("a"), a);
    lab.run(header("b"), b);
    let document = lab.rtt(&["compare", "a", "b", "--json"]).json();
    assert_eq!(document["pairs"].as_array().map(Vec::len), Some(0));
    let reasons: Vec<_> =
        document["not_compared"].as_array().expect("reasons").iter().map(ToString::to_string).collect();
    assert_eq!(reasons.len(), 4);
    for (reason, part) in reasons.iter().zip(["burst, calm, incumbent: the scenario itself", "search: its knobs vary"])
    {
        assert!(reason.contains(part), "{part}: {reasons:?}");
    }
    assert!(reasons[2].contains("default: only in run a") && reasons[3].contains("base: only in run b"), "{reasons:?}");
    assert!(lab.rtt(&["compare", "a", "b"]).out.contains("No arm stands in both runs"));
}

/// A machine that changed its level between the runs looks slower; inside each regime it is not.
#[test]
fn regimes_are_told_apart() {
    let lab = Lab::new();
    let at_level = |seed: u64, slow: &dyn Fn(usize) -> bool| {
        let (fast, late) = (trials(seed, 24, 1_000.0), trials(seed, 24, 5_000.0));
        let chosen = fast.into_iter().zip(late).enumerate().map(|(at, (fast, late))| {
            let mut trial = if slow(at) { late } else { fast };
            let level = if slow(at) { 400 } else { 80 } + at as u64 % 5;
            trial.regime = Some(RegimeProbe { cpus: [0, 1], before_ns: level, after_ns: level + 1 });
            trial
        });
        chosen.collect::<Vec<_>>()
    };
    lab.run(header("a"), at_level(1, &|at| at % 4 == 0));
    lab.run(header("b"), at_level(2, &|at| at % 4 != 0));
    let pair = &lab.rtt(&["compare", "a", "b", "--json"]).json()["pairs"][0];
    let number = |value: &serde_json::Value| value.as_f64().expect("a number");
    assert!(number(&pair["ratio"]) > 1.1, "{pair}");
    let regimes = pair["regimes"].as_array().expect("regimes");
    let counts: Vec<_> = regimes.iter().map(|regime| (&regime["trials_a"], &regime["trials_b"])).collect();
    assert_eq!(counts, [(&18.into(), &6.into()), (&6.into(), &18.into())]);
    for regime in regimes {
        assert!((0.8..1.25).contains(&number(&regime["ratio"])), "{regime}");
    }
    assert!(lab.rtt(&["compare", "a", "b"]).out.contains("regime 8"), "the fast level is near 80 ns");
}

#[test]
fn runs_are_named_by_name_folder_or_log_and_few_trials_have_no_interval() {
    let lab = Lab::new();
    lab.run(header("a"), trials(1, 4, 1_000.0));
    lab.run(header("b"), vec![trial("hostile \u{1b}[2J", &histogram([7]))]);
    for words in [["a", "b"], [".rtt/runs/a", ".rtt/runs/b/trials.jsonl"]] {
        let answer = lab.rtt(&["compare", words[0], words[1]]);
        assert!(answer.code == 0 && answer.out.contains("no interval"), "{answer:?}");
    }
    let missing = lab.rtt(&["compare", "a", "absent"]);
    assert!(missing.code == 2 && missing.err.contains("run `absent`"), "{missing:?}");
    std::fs::write(lab.log("b"), "not a log\n").expect("damaged");
    let damaged = lab.rtt(&["compare", "a", "b"]);
    assert!(damaged.code == 1 && damaged.err.contains("line 1 is damaged"), "{damaged:?}");
}
