//! The confirmation: recommended point against incumbent in randomised pairs, judged by the e-process.
//!
//! Arm `a` of the e-process is the recommended point, `b` the incumbent: FAIL (b slower) means better, PASS (b not
//! slower by the tolerance) means no better. Every figure printed about the two arms comes from these pairs alone.
//!
//! TUNER-10  A pair in which a run gave no result bets nothing; it is not run again and stays in the record.
//! TUNER-11  No figure of the search enters an interval of the confirmation.

use crate::exit::Stop;
use crate::objective::{Evaluation, seed_for};
use crate::session::Session;
use rtt_measure::{
    Arm, ArmRow, Confirmation, Decision, EProcess, EProcessConfig, Interval, PairOrder, PairRow, Point, RegimeEffect,
    Verdict, geometric_mean_interval, mean_interval,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Error rate of each of the two verdicts.
pub(crate) const ALPHA: f64 = 0.01;
/// A gain below this is not worth a change.
pub(crate) const TOLERANCE: f64 = 0.05;
/// Neighbouring probes further apart than this ratio belong to different regimes. Noise within one is a tenth.
const REGIME_GAP: f64 = 1.4;

/// Why a confirmation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Decided,
    Pairs,
    Time,
}

/// A confirmation and what else was seen in it.
#[derive(Debug)]
pub(crate) struct Confirmed {
    /// Absent where no pair gave a result.
    pub(crate) record: Option<Confirmation>,
    pub(crate) decision: Decision,
    pub(crate) ended: Ended,
    pub(crate) pairs: u32,
    /// Pairs in which the recommended point and the incumbent broke a constraint.
    pub(crate) broke: [u32; 2],
    /// Pairs in which they crashed.
    pub(crate) crashed: [u32; 2],
}

/// One pair as it was run: recommended point, incumbent.
struct Pair {
    row: PairRow,
    arms: [Evaluation; 2],
}

/// Runs pairs until the e-process decides, the pairs are used up, or the next would end after `deadline`.
///
/// # Errors
/// What the problem did wrong.
pub(crate) fn confirm(
    session: &Session<'_>,
    candidate: &Point,
    incumbent: &Point,
    pairs_max: u32,
    deadline: Duration,
) -> Result<Confirmed, Stop> {
    let seed = session.course.seed;
    let config = EProcessConfig { alpha: ALPHA, tolerance: TOLERANCE, pairs_max, seed: seed_for(seed, 0xc0_14) };
    let mut process = EProcess::new(config);
    let mut pairs: Vec<Pair> = Vec::new();
    let mut ended = Ended::Pairs;
    loop {
        let number = process.pairs();
        let labels = [format!("c{number:03}-candidate"), format!("c{number:03}-incumbent")];
        // Only a pair that is going to be run may take a coin from the process.
        if !session.may_begin(&labels[0], deadline) && !session.may_begin(&labels[1], deadline) {
            ended = Ended::Time;
            break;
        }
        let Some(order) = process.next() else { break };
        let ours = (labels[0].as_str(), candidate, Arm::Candidate);
        let theirs = (labels[1].as_str(), incumbent, Arm::Incumbent);
        let arms = match order {
            PairOrder::AFirst => session.evaluate_pair(number, ours, theirs)?,
            PairOrder::BFirst => {
                let [theirs, ours] = session.evaluate_pair(number, theirs, ours)?;
                [ours, theirs]
            }
        };
        let log_ratio = arms[1].log_objective.zip(arms[0].log_objective).map(|(b, a)| b - a);
        match log_ratio {
            Some(log_ratio) => process.observe(log_ratio),
            None => process.void(), // TUNER-10
        }
        let row = PairRow {
            pair: number,
            incumbent_first: order == PairOrder::BFirst,
            log_ratio,
            incumbent: log_ratio.and(arms[1].log_objective).map(f64::exp),
            candidate: log_ratio.and(arms[0].log_objective).map(f64::exp),
            wealth_better: process.wealth_fail(),
            wealth_no_better: process.wealth_pass(),
            regime: None,
        };
        pairs.push(Pair { row, arms });
        let left = u64::from(pairs_max - process.pairs()) * 2 * session.course.conditions.len() as u64;
        session.left(if process.decision() == Decision::Undecided { left } else { 0 });
        if process.decision() != Decision::Undecided {
            ended = Ended::Decided;
            break;
        }
    }
    name_regimes(&mut pairs);
    let limits = &session.course.limits;
    let count = |hit: &dyn Fn(&Evaluation) -> bool| {
        [0, 1].map(|arm: usize| pairs.iter().filter(|pair| hit(&pair.arms[arm])).count() as u32)
    };
    let broke = count(&|found| {
        found.constraints.iter().zip(limits).any(|(value, limit)| value.is_some_and(|value| value > limit.max))
    });
    let crashed = count(&|found| matches!(found.reason, Some((Verdict::Crashed, _))));
    let decision = process.decision();
    let pairs_run = process.pairs();
    Ok(Confirmed { record: record(session, pairs, pairs_max), decision, ended, pairs: pairs_run, broke, crashed })
}

/// TUNER-11: the record of the pairs; absent where none gave a result.
fn record(session: &Session<'_>, pairs: Vec<Pair>, pairs_max: u32) -> Option<Confirmation> {
    let seed = session.course.seed;
    let whole: Vec<&Pair> = pairs.iter().filter(|pair| pair.row.log_ratio.is_some()).collect();
    let over = |value: &dyn Fn(&Pair) -> Option<f64>| {
        let values: Vec<f64> = whole.iter().filter_map(|pair| value(pair)).collect();
        geometric_mean_interval(&values, seed)
    };
    let objective_incumbent = over(&|pair| pair.row.incumbent)?;
    let objective_tuned = over(&|pair| pair.row.candidate)?;
    let gains: Vec<f64> = whole.iter().filter_map(|pair| Some(-pair.row.log_ratio?)).collect();
    let logs = mean_interval(&gains, seed)?;
    let ratio = Interval { estimate: logs.estimate.exp(), low: logs.low.exp(), high: logs.high.exp() };
    let arms = (0..session.course.conditions.len()).filter_map(|index| {
        let condition = &session.course.conditions[index];
        Some(ArmRow {
            scenario: condition.scenario.clone().unwrap_or_else(|| "base".into()),
            faulted: condition.faults.is_some(),
            incumbent: over(&|pair| pair.arms[1].p99(index))?,
            tuned: over(&|pair| pair.arms[0].p99(index))?,
        })
    });
    let arms = arms.collect();
    let regimes = regime_effects(&whole);
    let pairs = pairs.into_iter().map(|pair| pair.row).collect();
    Some(Confirmation {
        alpha: ALPHA,
        tolerance: TOLERANCE,
        pairs_max,
        pairs,
        arms,
        objective_incumbent,
        objective_tuned,
        ratio,
        regimes,
    })
}

fn probes(pair: &Pair) -> impl Iterator<Item = u64> + '_ {
    pair.arms.iter().flat_map(|arm| &arm.runs).filter_map(|run| run.answer.regime).flatten()
}

/// Upper ends of the clusters of `probes`: neighbours closer than [`REGIME_GAP`] belong together.
fn clusters(mut probes: Vec<u64>) -> Vec<(u64, u64)> {
    probes.sort_unstable();
    let mut found: Vec<Vec<u64>> = Vec::new();
    for probe in probes {
        match found.last_mut() {
            Some(cluster) if (probe as f64) < REGIME_GAP * (*cluster.last().expect("never empty")).max(1) as f64 => {
                cluster.push(probe);
            }
            _ => found.push(vec![probe]),
        }
    }
    found.iter().map(|cluster| (cluster[cluster.len() - 1], cluster[cluster.len() / 2])).collect()
}

fn name_regimes(pairs: &mut [Pair]) {
    let clusters = clusters(pairs.iter().flat_map(probes).collect());
    let of = |probe: u64| clusters.iter().position(|(high, _)| probe <= *high);
    for pair in pairs {
        let mut found: Vec<Option<usize>> = probes(pair).map(of).collect();
        found.dedup();
        pair.row.regime = match found.as_slice() {
            [] => None,
            [Some(one)] => Some(format!("{}ns", clusters[*one].1)),
            _ => Some("mixed".into()),
        };
    }
}

fn regime_effects(pairs: &[&Pair]) -> Vec<RegimeEffect> {
    let mut by_regime: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for pair in pairs {
        if let (Some(regime), Some(log_ratio)) = (&pair.row.regime, pair.row.log_ratio) {
            by_regime.entry(regime).or_default().push(-log_ratio);
        }
    }
    let effect = |(regime, logs): (&str, Vec<f64>)| RegimeEffect {
        regime: regime.into(),
        pairs: logs.len() as u32,
        ratio: (logs.iter().sum::<f64>() / logs.len() as f64).exp(),
    };
    by_regime.into_iter().map(effect).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regimes_are_clusters_of_the_data() {
        let found = clusters(vec![48, 200, 50, 290, 47, 230, 49]);
        assert_eq!(found, [(50, 49), (290, 230)]);
        assert_eq!(clusters(vec![]), []);
        assert_eq!(clusters(vec![0, 0]).len(), 1);
    }
}
