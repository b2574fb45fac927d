//! Folders of comparisons made of nothing: trial logs of two arms, and the verdict over them.

use crate::generator::{BETTER, Maker, Recipe, interval};
use rtt_measure::{
    Arm, Gate, GateArm, GateBudget, GateLatency, GateLog, GatePair, GateScenario, GateVerdict, LogWriter, Record,
    RegimeEffect, StallRow, TrialRecord, Verdict,
};
use rtt_profile::{Knobs, Pin, Wait};
use rtt_seal::Digest;
use rtt_units::Nanos;
use std::{fs, path::Path};

/// What kind of comparison to make.
#[derive(Clone, Copy)]
pub struct GateRecipe {
    /// Verdict of the gate and of its first scenario.
    pub verdict: GateVerdict,
    /// How many logs the pairs were run in.
    pub logs: u32,
    /// Pairs of each scenario.
    pub pairs: u32,
    /// Whether every name and sentence is made to break the page.
    pub hostile: bool,
}

/// A candidate that is slower, found over two logs.
pub const SLOWER: GateRecipe = GateRecipe { verdict: GateVerdict::Fail, logs: 2, pairs: 14, hostile: false };

/// The last one is without a result of any kind.
const SCENARIOS: [&str; 3] = ["steady", "ping_pong", "mixed_payload"];
/// This pair is void.
const VOID: u32 = 2;

/// Writes the folder of a comparison.
pub fn make_gate(folder: &Path, recipe: GateRecipe) {
    fs::create_dir_all(folder).expect("a folder");
    let mut maker = Maker::new(Recipe { hostile: recipe.hostile, ..BETTER });
    let logs = (0..recipe.logs).map(|index| log(&mut maker, folder, recipe, index)).collect();
    let gate = gate(&mut maker, folder, recipe, logs);
    fs::write(folder.join("verdict.json"), serde_json::to_vec(&gate).expect("a verdict is JSON")).expect("written");
}

/// Knobs of base and candidate.
fn knobs(arm: Arm) -> Knobs {
    let base = Knobs { wait: Wait::Yield, pin: Pin::SameL3, ..Knobs::default_for(Nanos::from_micros(62)) };
    if arm == Arm::Base { base } else { Knobs { spin_us: 90, ring_bytes: 64 << 10, ..base } }
}

/// What a run without a result looks like.
fn unsettle(trial: &mut TrialRecord, reason: String) {
    (trial.verdict, trial.reason) = (Verdict::NeverSettled, Some(reason));
    (trial.quantiles, trial.with_lag_p99_ns, trial.histogram) = (None, None, None);
}

/// Writes the log of every `logs`th pair from `index` on.
fn log(maker: &mut Maker, folder: &Path, recipe: GateRecipe, index: u32) -> GateLog {
    let file = format!("trials-{index}.jsonl");
    let (mut writer, _) = LogWriter::open(&folder.join(&file)).expect("a new log");
    let mut append = |record: &Record| assert_ne!(writer.append(record).expect("appended"), Digest::of(b""));
    append(&Record::Run(Box::new(maker.header(folder))));
    for pair in (index..recipe.pairs).step_by(recipe.logs as usize) {
        for arm in [Arm::Base, Arm::Candidate] {
            for scenario in SCENARIOS {
                let id = format!("g{pair:03}/{scenario}/{arm:?}");
                let mut record = maker.trial(&id, arm, Some(pair), scenario, false, &knobs(arm));
                let void = scenario == SCENARIOS[2] || pair == VOID && arm == Arm::Candidate;
                if let (true, Record::Trial(trial)) = (void, &mut record) {
                    unsettle(trial, maker.name("the median drifted by 31 % between slices 9 and 20"));
                }
                append(&record);
            }
        }
    }
    let digest = Digest::of(&fs::read(folder.join(&file)).expect("the log"));
    let changes = if index == 0 { Vec::new() } else { vec![maker.name("microcode: 0x2b000603, was 0x2b000590")] };
    let created_unix_s = 1_795_423_500 + u64::from(index) * 86_400;
    GateLog { file, digest, created_unix_s, seed: format!("1844674407370955{index:04}"), changes }
}

fn pairs(maker: &mut Maker, recipe: GateRecipe, ratio: f64, settle: bool) -> Vec<GatePair> {
    let (mut fail, mut pass) = (1.0_f64, 1.0_f64);
    let mut rows = Vec::new();
    for pair in 0..recipe.pairs {
        let void = pair == VOID || !settle;
        let log_ratio = ratio.ln() + maker.normal() * 0.04;
        if !void {
            fail *= if ratio > 1.03 { 1.71 } else { 0.81 };
            pass *= if ratio < 1.03 { 1.52 } else { 0.62 };
        }
        let base = 3_120.0 * (maker.normal() * 0.03).exp();
        rows.push(GatePair {
            pair,
            candidate_first: maker.coin(),
            base_ns_p99: settle.then_some(base as u64),
            candidate_ns_p99: (!void).then_some((base * log_ratio.exp()) as u64),
            log_ratio: (!void).then_some(log_ratio),
            void: void.then(|| maker.name("the candidate never settled: the median drifted by 31 %")),
            wealth_fail: fail,
            wealth_pass: pass,
            wealth_lapses: if pair < VOID { 1.0 } else { 1.6 },
            regime: (pair != 1).then(|| maker.name(if pair % 5 == 3 { "mixed" } else { "far, about 233 ns" })),
        });
    }
    rows
}

fn latency(runs: u32, p99: f64) -> GateLatency {
    let at = |share: f64, width: f64| interval(p99 * share, width);
    GateLatency {
        runs,
        latency_ns_p50: at(0.42, 0.021),
        latency_ns_p95: at(0.81, 0.032),
        typical_ns_p99: at(0.9, 0.02),
        latency_ns_p99: at(1.0, 0.043),
        latency_ns_p999: at(2.7, 0.14),
    }
}

fn budgets(maker: &Maker) -> Vec<GateBudget> {
    let budget = |name: &str, unit: &str, found, budget, at_least, broken| GateBudget {
        name: maker.name(name),
        unit: maker.name(unit),
        found: interval(found, 0.07),
        base: Some(interval(found * 0.93, 0.06)),
        budget,
        at_least,
        broken,
        decides: true,
    };
    vec![
        budget("p99", "x the limit", 14.7, 500.0, false, false),
        budget("p99.9", "x the limit", 38.4, 37.5, false, false),
        budget("cpu", "CPU", 0.971, 0.25, false, true),
        budget("achieved", "of the offered load", 0.63, 0.99, true, true),
    ]
}

fn scenario(maker: &mut Maker, recipe: GateRecipe, index: usize) -> GateScenario {
    let name = SCENARIOS[index];
    let settle = index != 2;
    let (verdict, ratio) = match (index, recipe.verdict) {
        (0, GateVerdict::Fail) => (GateVerdict::Fail, 1.087),
        (0, verdict) => (verdict, 1.004),
        (1, _) => (GateVerdict::Pass, 0.962),
        _ => (GateVerdict::Undecided, 1.0),
    };
    let why = match verdict {
        GateVerdict::Fail => "The bet on slower reached 600 after 13 pairs.",
        GateVerdict::Pass => "The bet on not slower by the tolerance reached 100.",
        GateVerdict::Breach => "The candidate is not slower, but CPU is over its budget.",
        GateVerdict::Undecided => "The pairs ran out before a bet won.",
    };
    let (settled, regime) = (settle.then_some(()), maker.name("far, about 233 ns"));
    let crash = maker.name("trial g005/steady/Candidate: the endpoint ended with signal 9");
    GateScenario {
        scenario: maker.name(name),
        digest: Digest::of(name.as_bytes()),
        gating: true,
        tolerance: if index == 0 { 0.05 } else { 0.1 },
        verdict,
        why: maker.name(why),
        pairs: pairs(maker, recipe, ratio, settle),
        unsettled: if settle { [0, 1] } else { [17, 19] },
        stalls: StallRow { slices: [240, 236], stalled: [9, 4], held_up: [3, 6], wealth_second_more: 0.7 },
        defects: [Vec::new(), if index == 0 { vec![crash] } else { Vec::new() }],
        base: settled.map(|()| latency(recipe.pairs, 3_120.0)),
        candidate: settled.map(|()| latency(recipe.pairs - 1, 3_120.0 * ratio)),
        ratio: settled.map(|()| interval(ratio, 0.023)),
        regimes: settled
            .map(|()| {
                vec![
                    RegimeEffect { regime, runs: 9, ratio },
                    RegimeEffect { regime: "mixed".into(), runs: 4, ratio: 1.13 },
                ]
            })
            .unwrap_or_default(),
        detectable: settled.map(|()| 0.0617),
        budgets: if index == 0 { budgets(maker) } else { Vec::new() },
    }
}

fn gate(maker: &mut Maker, folder: &Path, recipe: GateRecipe, logs: Vec<GateLog>) -> Gate {
    let arm = |maker: &Maker, arm: Arm, name: &str| GateArm {
        name: maker.name(name),
        executable: Digest::of(name.as_bytes()),
        arguments: if arm == Arm::Base { Vec::new() } else { vec!["--wait".into(), maker.name("a b")] },
        profile: (arm == Arm::Candidate).then(|| Digest::of(b"profile")),
        knobs: knobs(arm),
    };
    let sentence = match recipe.verdict {
        GateVerdict::Pass => "The candidate is not slower than its base in any scenario that gates.",
        GateVerdict::Undecided => {
            "It cannot be told from 14 pairs whether the candidate is slower: run the gate again to go on."
        }
        GateVerdict::Breach => "The candidate is not slower, but it breaks the budget of CPU in steady.",
        GateVerdict::Fail => "The candidate is slower than its base in steady: p99 is 8.7 % higher (6.2 to 11.2 %).",
    };
    Gate {
        version: 1,
        comparison: folder.file_name().expect("a named folder").to_string_lossy().into_owned(),
        decided_unix_s: 1_795_600_000,
        machine: "ab12cd34ef56".into(),
        kernel: maker.name("6.18.5"),
        base: arm(maker, Arm::Base, "4f2c91e main"),
        candidate: arm(maker, Arm::Candidate, "working tree"),
        alpha: 0.01,
        processes: 6,
        canary: false,
        alike: false,
        fresh: true,
        pairs_now: 7,
        pairs_max: 80,
        verdict: recipe.verdict,
        sentence: maker.name(sentence),
        notes: vec![maker.name("mixed_payload does not gate: it is shown, and decides nothing.")],
        scenarios: (0..SCENARIOS.len()).map(|index| scenario(maker, recipe, index)).collect(),
        logs,
    }
}
