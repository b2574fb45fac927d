//! The confirmation: recommended point against incumbent in randomised pairs, judged by the e-process.
//!
//! Arm `a` of the e-process is the recommended point, `b` the incumbent: FAIL (b slower) means better, PASS (b not
//! slower by the tolerance) means no better. Every figure printed about the two arms comes from these pairs alone.
//!
//! TUNER-10  A pair in which a condition gave no result, tried again where the host disturbed it, bets nothing and stays
//!           in the record.
//! TUNER-11  No figure of the search enters an interval of the confirmation.

use crate::objective::{Evaluation, seed_for};
use crate::session::{Session, by_fault, cause, causes_in_words};
use rtt_measure::{
    Arm, ArmRow, Confirmation, Decision, EProcess, EProcessConfig, Interval, PairOrder, PairRegimes, PairRow, Point,
    Regime, RegimeEffect, RegimeProbe, Stop, Verdict, geometric_mean_interval, mean_interval,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Error rate of each of the two verdicts.
pub(crate) const ALPHA: f64 = 0.01;
/// A gain below this is not worth a change.
pub(crate) const TOLERANCE: f64 = 0.05;

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
    /// Absent where fewer than two pairs gave a result.
    pub(crate) record: Option<Confirmation>,
    pub(crate) decision: Decision,
    pub(crate) ended: Ended,
    pub(crate) pairs: u32,
    /// Pairs in which the recommended point and the incumbent broke a constraint.
    pub(crate) broke: [u32; 2],
    /// Pairs in which they crashed.
    pub(crate) crashed: [u32; 2],
    /// Why pairs gave no result: each has one cause, so that the counts sum up.
    pub(crate) voided: BTreeMap<String, u64>,
}

impl Confirmed {
    /// What voided pairs, in words.
    pub(crate) fn voided_in_words(&self) -> Option<String> {
        let total: u64 = self.voided.values().sum();
        (total > 0).then(|| format!("{total} of {} pairs are void: {}", self.pairs, causes_in_words(&self.voided)))
    }

    /// Whether faults that did not strike as planned voided most of the void pairs.
    pub(crate) fn voided_by_faults(&self) -> bool {
        let by_faults: u64 = self.voided.iter().filter(|(cause, _)| by_fault(cause)).map(|(_, count)| count).sum();
        2 * by_faults > self.voided.values().sum()
    }
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
    let config =
        EProcessConfig { alpha: ALPHA, processes: 1, tolerance: TOLERANCE, pairs_max, seed: seed_for(seed, 0xc0_14) };
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
    let found = PairRegimes::find(probes(session, &pairs));
    let regimes = by_regime(&mut pairs, session.course.conditions.len(), &found);
    let limits = &session.course.limits;
    let count = |hit: &dyn Fn(&Evaluation) -> bool| {
        [0, 1].map(|arm: usize| pairs.iter().filter(|pair| hit(&pair.arms[arm])).count() as u32)
    };
    let broke = count(&|found| {
        found.constraints.iter().zip(limits).any(|(value, limit)| value.is_some_and(|value| value > limit.max))
    });
    let crashed = count(&|found| matches!(found.reason, Some((Verdict::Crashed, _))));
    let voided = voided(&pairs);
    let decision = process.decision();
    let pairs_run = process.pairs();
    let record = record(session, pairs, pairs_max).map(|record| Confirmation { regimes, broke, crashed, ..record });
    Ok(Confirmed { record, decision, ended, pairs: pairs_run, broke, crashed, voided })
}

/// Why pairs gave no result. The run that ended a pair tells: the first arm's where that one has no p99, since the second
/// was not run then or is no better off, else the second's.
fn voided(pairs: &[Pair]) -> BTreeMap<String, u64> {
    let mut causes = BTreeMap::new();
    for Pair { row, arms: [ours, theirs] } in pairs.iter().filter(|pair| pair.row.log_ratio.is_none()) {
        let order = if row.incumbent_first { [theirs, ours] } else { [ours, theirs] };
        let last = order.into_iter().filter_map(|found| found.runs.last()).find(|run| !run.gave_result());
        *causes.entry(last.map_or_else(|| "without a run".to_owned(), cause)).or_default() += 1;
    }
    causes
}

/// TUNER-11: the figures of the pairs; absent where fewer than two gave a result.
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
        regimes: Vec::new(),
        broke: [0; 2],
        crashed: [0; 2],
    })
}

/// The probes of the whole run: its pairs alone may have seen too little of a regime.
fn probes(session: &Session<'_>, pairs: &[Pair]) -> Vec<RegimeProbe> {
    let measured = session.points().into_iter().map(|point| point.found).chain(session.placebo());
    let mut probes: Vec<RegimeProbe> = measured.flat_map(|found| found.probes().collect::<Vec<_>>()).collect();
    probes.extend(pairs.iter().flat_map(|pair| &pair.arms).flat_map(Evaluation::probes));
    probes
}

/// Runs of one condition that are compared, candidate's and incumbent's, in a regime: its name and ln(incumbent's p99
/// / candidate's).
fn compared(pair: &Pair, condition: usize, regimes: &PairRegimes) -> Option<(String, f64)> {
    let [ours, theirs] = &pair.arms;
    let log_ratio = (theirs.p99(condition)? / ours.p99(condition)?).ln();
    let probes = [ours.probe(condition)?, theirs.probe(condition)?];
    Some((regimes.of_both(["tuned", "incumbent"], probes), log_ratio))
}

/// Names the regime of each pair, and tells the effect in each regime, run by run.
fn by_regime(pairs: &mut [Pair], conditions: usize, regimes: &PairRegimes) -> Vec<RegimeEffect> {
    let mut found: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for pair in pairs {
        let runs: Vec<_> = (0..conditions).filter_map(|condition| compared(pair, condition, regimes)).collect();
        pair.row.regime = runs.first().map(|(first, _)| {
            let one = runs.iter().all(|(name, _)| name == first);
            if one { first.clone() } else { Regime::Mixed.to_string() }
        });
        runs.into_iter().for_each(|(name, log_ratio)| found.entry(name).or_default().push(-log_ratio));
    }
    let effect = |(regime, logs): (String, Vec<f64>)| RegimeEffect {
        regime,
        runs: logs.len() as u32,
        ratio: (logs.iter().sum::<f64>() / logs.len() as f64).exp(),
    };
    found.into_iter().map(effect).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtt_measure::Answer;

    fn run(condition: usize, p99: f64, probes: [u64; 2]) -> crate::objective::Run {
        let probe = RegimeProbe { cpus: [0, 1], before_ns: probes[0], after_ns: probes[1] };
        let answer = Answer { p99: Some(p99), regime: Some(probe), ..Answer::default() };
        crate::objective::Run { id: String::new(), condition, answer }
    }

    /// One condition that met a switch says nothing about the other, and hides nothing of it.
    #[test]
    fn the_effect_is_told_regime_by_regime() {
        let row = PairRow {
            pair: 0,
            incumbent_first: true,
            log_ratio: Some(0.0),
            incumbent: None,
            candidate: None,
            wealth_better: 1.0,
            wealth_no_better: 1.0,
            regime: None,
        };
        let arm = |runs: Vec<crate::objective::Run>| {
            let mut found = Evaluation::default();
            found.runs = runs;
            found
        };
        let pair = |ours, theirs| Pair { row: row.clone(), arms: [arm(ours), arm(theirs)] };
        let (fast, slow) = ([48, 49], [240, 241]);
        let mut pairs = vec![
            pair(vec![run(0, 50.0, fast), run(1, 90.0, fast)], vec![run(0, 100.0, fast), run(1, 90.0, [48, 240])]),
            pair(vec![run(0, 200.0, slow), run(1, 300.0, slow)], vec![run(0, 200.0, slow), run(1, 300.0, slow)]),
            pair(vec![run(0, 70.0, fast)], vec![run(0, 280.0, slow)]),
        ];
        let probes = pairs.iter().flat_map(|pair| &pair.arms).flat_map(Evaluation::probes).collect::<Vec<_>>();
        let regimes = PairRegimes::find(probes);
        let effects = by_regime(&mut pairs, 2, &regimes);
        let told: Vec<_> = effects.iter().map(|e| (e.regime.as_str(), e.runs, (e.ratio * 100.0).round())).collect();
        let [fast, slow] =
            [48, 240].map(|ns| regimes.of(&RegimeProbe { cpus: [0, 1], before_ns: ns, after_ns: ns }).to_string());
        let apart = format!("tuned in {fast}, incumbent in {slow}");
        let expected =
            [(slow.as_str(), 2, 100.0), (fast.as_str(), 1, 50.0), ("mixed", 1, 100.0), (apart.as_str(), 1, 25.0)];
        assert!(told.len() == 4 && expected.iter().all(|row| told.contains(row)), "{told:?}");
        let named: Vec<_> = pairs.iter().map(|pair| pair.row.regime.as_deref()).collect();
        assert_eq!(named, [Some("mixed"), Some(slow.as_str()), Some(apart.as_str())]);
    }
}
