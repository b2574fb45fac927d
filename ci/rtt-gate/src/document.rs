//! The verdict of a comparison, drawn from its logs: what `verdict.json` holds.
//!
//! Pure: equal logs and asks give an equal document. The figures come from the logs' records alone; the standing of each
//! scenario from its track, which was told the same runs.

use crate::budgets::budgets;
use crate::comparison::Log;
use crate::detectable::detectable;
use crate::track::{Seen, Standing, Track};
use rtt_measure::{
    Arm, EProcessConfig, GateLatency, GateLog, GatePair, GateScenario, GateVerdict, Interval, PairOrder, PairRegimes,
    Quantiles, RegimeEffect, TrialRecord, Verdict, geometric_mean_interval, mean_interval,
};
use rtt_scenario::{Objective, Scenario};
use std::collections::BTreeMap;

/// One scenario that is judged.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What is run.
    pub scenario: Scenario,
    /// What it promises.
    pub objective: Objective,
}

impl Subject {
    /// How much slower matters, a ratio.
    pub fn tolerance(&self) -> f64 {
        f64::from(self.objective.tolerance_permille) / 1000.0
    }
}

/// Place of an arm in every array of two: base, candidate.
pub fn place(arm: Arm) -> Option<usize> {
    match arm {
        Arm::Base => Some(0),
        Arm::Candidate => Some(1),
        _ => None,
    }
}

/// A record as the track sees it; `loss_ppm` is the scenario's budget.
pub fn seen(trial: &TrialRecord, loss_ppm: u32) -> Seen {
    Seen {
        id: trial.id.clone(),
        verdict: trial.verdict,
        reason: trial.reason.clone(),
        p99_ns: trial.typical_ns_p99.map(|ns| ns as f64),
        slices_ns_p99: {
            let kept = trial.slices_kept.iter().filter_map(|&index| trial.slices_ns_p99.get(index as usize).copied());
            kept.collect()
        },
        slices_held_up: trial.slices_held_up,
        loss_over_ppm: lost_ppm(trial).saturating_sub(u64::from(loss_ppm)),
        probe: trial.regime,
    }
}

/// Lost messages in a million.
pub fn lost_ppm(trial: &TrialRecord) -> u64 {
    // A run that broke off sent and handled an unknown number.
    let lost = if trial.verdict == Verdict::Crashed { 0 } else { trial.sent.saturating_sub(trial.handled) };
    (lost * 1_000_000).checked_div(trial.sent).unwrap_or(0)
}

/// The trials of one pair, base and candidate, and which of them ran first.
type PairOf<'a> = (PairOrder, [Option<&'a TrialRecord>; 2]);

/// The pairs of `scenario` in the logs, in order.
pub fn pairs_of<'a>(logs: &'a [Log], scenario: &str) -> Vec<PairOf<'a>> {
    let mut pairs: BTreeMap<u32, PairOf<'a>> = BTreeMap::new();
    for trial in logs.iter().flat_map(|log| &log.trials).filter(|trial| trial.scenario.name == scenario) {
        let (Some(number), Some(arm)) = (trial.pair, place(trial.arm)) else { continue };
        let first = if arm == 0 { PairOrder::AFirst } else { PairOrder::BFirst };
        let pair = pairs.entry(number).or_insert((first, [None, None]));
        pair.1[arm] = Some(trial);
    }
    pairs.into_values().collect()
}

/// GATE-4: a track that was told every pair of the logs.
pub fn replayed(mut track: Track, logs: &[Log], loss_ppm: u32) -> Track {
    let name = track.scenario.clone();
    let earlier = pairs_of(&logs[..logs.len().saturating_sub(1)], &name).len();
    for (order, trials) in pairs_of(logs, &name) {
        if track.begin().is_none() {
            break; // What was decided stays.
        }
        let runs = trials.map(|trial| trial.map(|trial| seen(trial, loss_ppm)));
        runs.iter().enumerate().for_each(|(arm, run)| run.iter().for_each(|run| track.note(arm, run)));
        track.close(order, [runs[0].as_ref(), runs[1].as_ref()]);
    }
    track.turn(earlier)
}

fn latency(trials: &[&TrialRecord]) -> Option<GateLatency> {
    let over = |quantile: fn(&Quantiles) -> u64| {
        let values: Vec<f64> =
            trials.iter().filter_map(|trial| trial.quantiles.as_ref()).map(|found| quantile(found) as f64).collect();
        geometric_mean_interval(&values, 1)
    };
    let typical: Vec<f64> = trials.iter().filter_map(|trial| trial.typical_ns_p99).map(|ns| ns as f64).collect();
    Some(GateLatency {
        runs: trials.len() as u32,
        typical_ns_p99: geometric_mean_interval(&typical, 1)?,
        latency_ns_p50: over(|found| found.p50)?,
        latency_ns_p95: over(|found| found.p95)?,
        latency_ns_p99: over(|found| found.p99)?,
        latency_ns_p999: over(|found| found.p999)?,
    })
}

/// Names the regime of each pair, and tells the ratio in each.
fn by_regime(pairs: &mut [GatePair], trials: &[PairOf<'_>]) -> Vec<RegimeEffect> {
    let probes = trials.iter().flat_map(|(_, trials)| trials).flatten().filter_map(|trial| trial.regime);
    let regimes = PairRegimes::find(probes);
    let mut found: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (pair, (_, trials)) in pairs.iter_mut().zip(trials) {
        let probes = trials.map(|trial| trial.and_then(|trial| trial.regime));
        if let [Some(base), Some(candidate)] = probes {
            pair.regime = Some(regimes.of_both(["base", "candidate"], [base, candidate]));
        }
        if let (Some(regime), Some(log_ratio)) = (&pair.regime, pair.log_ratio) {
            found.entry(regime.clone()).or_default().push(log_ratio);
        }
    }
    let effect = |(regime, logs): (String, Vec<f64>)| RegimeEffect {
        regime,
        runs: logs.len() as u32,
        ratio: (logs.iter().sum::<f64>() / logs.len() as f64).exp(),
    };
    found.into_iter().map(effect).collect()
}

/// Most pairs that a detectable slowdown is told for.
const REACH_MAX: u32 = 400;

/// What came of one scenario. `pairs_max` is what the detectable slowdown is told for where the pairs decided; where they
/// did not, it is told for the pairs that gave a result.
pub fn scenario(subject: &Subject, track: &Track, logs: &[Log], pairs_max: u32, judge_budgets: bool) -> GateScenario {
    let name = &subject.scenario.name;
    let trials = pairs_of(logs, name);
    let settled = |arm: usize| -> Vec<&TrialRecord> {
        let of_arm = trials.iter().filter_map(|(_, trials)| trials[arm]);
        of_arm.filter(|trial| trial.verdict == Verdict::Settled).collect()
    };
    let mut pairs = track.pairs().to_vec();
    let regimes = by_regime(&mut pairs, &trials);
    let standing = track.standing();
    let whole = track.log_ratios().len() as u32;
    let reach = if matches!(standing, Standing::Open | Standing::Stuck(_)) { whole } else { pairs_max };
    let config = EProcessConfig { pairs_max: reach.clamp(1, REACH_MAX), ..*track.config() };
    let exp = |logs: Interval| Interval { estimate: logs.estimate.exp(), low: logs.low.exp(), high: logs.high.exp() };
    let detectable = detectable(track.log_ratios(), &config);
    // A host that is too noisy for the comparison is too noisy for the budgets.
    let decide = judge_budgets && !matches!(standing, Standing::Stuck(_));
    let (verdict, why) = match standing {
        Standing::Fail(why) => (GateVerdict::Fail, why),
        Standing::Pass(why) => (GateVerdict::Pass, why),
        Standing::Stuck(why) => (GateVerdict::Undecided, why),
        Standing::Open => (GateVerdict::Undecided, open(&pairs, detectable)),
    };
    GateScenario {
        scenario: name.clone(),
        digest: subject.scenario.digest(),
        gating: subject.objective.gating,
        tolerance: subject.tolerance(),
        verdict,
        why,
        unsettled: track.unsettled(),
        stalls: track.stall_row(),
        defects: track.defects().clone(),
        base: latency(&settled(0)),
        candidate: latency(&settled(1)),
        ratio: mean_interval(track.log_ratios(), 1).map(exp),
        regimes,
        detectable,
        budgets: budgets(&subject.objective, name, logs, decide),
        pairs,
    }
}

/// Why nothing was decided yet.
fn open(pairs: &[GatePair], detectable: Option<f64>) -> String {
    if pairs.is_empty() {
        return "no pair was run: the time is shorter than one".into();
    }
    let void = pairs.iter().filter(|pair| pair.log_ratio.is_none()).count();
    let void = if void > 0 { format!(" ({void} of them void)") } else { String::new() };
    let reach = match detectable {
        Some(ratio) => {
            format!("; of a slowdown by {:.0} % nine in ten such comparisons would have told", 100.0 * ratio)
        }
        None => String::new(),
    };
    format!("{} pairs{void} decide nothing in this noise{reach}", pairs.len())
}

/// The logs as the document names them.
pub fn logs(logs: &[Log]) -> Vec<GateLog> {
    let mut before: Option<&Log> = None;
    let mut told = Vec::new();
    for log in logs {
        let changes = before.map_or_else(Vec::new, |before| {
            let (then, now) = (&before.run.fingerprint.conditions, &log.run.fingerprint.conditions);
            then.differences(now).iter().map(ToString::to_string).collect()
        });
        told.push(GateLog {
            file: log.file.clone(),
            digest: log.digest,
            created_unix_s: log.run.created_unix_s,
            seed: log.begun.seed.clone(),
            changes,
        });
        before = Some(log);
    }
    told
}
