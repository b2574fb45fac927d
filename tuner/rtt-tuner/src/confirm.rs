//! The confirmation: recommended point against a rival in randomised pairs, judged by e-processes.
//!
//! Calm runs and runs under faults are two contests, each with a coin and wealths of its own; the claim *better* has its
//! error rate shared between them. A contest has two e-processes: `gain` (arm `a` is the candidate, so FAIL means that the
//! rival is slower, PASS that it is not by the tolerance) and `harm`, in which the arms are exchanged. What the typical p99
//! leaves out, slices that stall, is a third bet, against the candidate only. Every figure printed about the two arms comes
//! from these pairs alone.
//!
//! TUNER-10  A pair in which a condition gave no result, tried again where the host disturbed it, bets nothing and stays
//!           in the record.
//! TUNER-11  No figure of the search enters an interval of the confirmation.
//! TUNER-14  Calm and faults never enter one figure: each part has its own pairs, wealth and ratio.

use crate::objective::{Evaluation, Part, seed_for};
use crate::session::{Session, cause, causes_in_words};
use rtt_measure::{
    Arm, ArmRow, Confirmation, Decision, EProcess, EProcessConfig, FaultedPart, Interval, PairRegimes, PairRow, Point,
    Regime, RegimeEffect, RegimeProbe, SignProcess, StallRow, Stalls, Stop, Verdict, geometric_mean_interval,
    mean_interval,
};
use rtt_units::SplitMix64;
use std::collections::BTreeMap;
use std::time::Duration;

/// Error rate of each verdict.
pub(crate) const ALPHA: f64 = 0.01;
/// A gain below this is not worth a change.
pub(crate) const TOLERANCE: f64 = 0.05;
/// A recovery from faults that is longer by less than this is no loss.
pub(crate) const FAULT_MARGIN: f64 = 0.10;
/// Fewest pairs before `better` is final: rare stalls need slices to show in.
pub(crate) const PAIRS_MIN: u32 = 40;
/// Calm pairs for each one under faults, which takes about as long as so many.
pub(crate) const FAULTED_EVERY: u32 = 8;
/// Pairs under faults after which they no longer keep calm runs from deciding.
const PAIRS_FAULTED: u32 = 16;

/// Pairs under faults after which it is seen whether they give results here.
const PAIRS_TRIED: usize = 6;

/// Why a confirmation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Decided,
    Pairs,
    Time,
}

/// Who is compared, and how much may be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Duel<'a> {
    /// First letter of the trials' ids.
    pub(crate) letter: char,
    pub(crate) candidate: &'a Point,
    pub(crate) rival: &'a Point,
    /// Whose runs the rival's are: the incumbent's, or a preset's.
    pub(crate) rival_arm: Arm,
    /// Whether runs under faults are compared too.
    pub(crate) faults: bool,
    pub(crate) pairs_max: u32,
    pub(crate) deadline: Duration,
}

impl Duel<'_> {
    /// First part of the ids of an arm's runs.
    fn label(&self, number: u32, arm: &str) -> String {
        format!("{}{number:03}-{arm}", self.letter)
    }
}

/// A confirmation and what else was seen in it.
#[derive(Debug)]
pub(crate) struct Confirmed {
    /// Absent where fewer than two pairs gave a result.
    pub(crate) record: Option<Confirmation>,
    /// Whether the candidate is faster: calm, and under faults.
    pub(crate) gain: [Decision; 2],
    /// Whether it is slower.
    pub(crate) harm: [Decision; 2],
    /// Whether it stalls more often.
    pub(crate) stalls_more: bool,
    pub(crate) ended: Ended,
    /// Pairs of both parts.
    pub(crate) pairs: u32,
    /// Pairs in which the recommended point and the rival broke a constraint.
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
        (total > 0).then(|| format!("{total} pairs are void: {}", causes_in_words(&self.voided)))
    }
}

/// One pair as it was run: recommended point, rival.
struct Pair {
    row: PairRow,
    arms: [Evaluation; 2],
}

/// One part of the comparison: its coin, its bets, its pairs.
struct Contest {
    part: Part,
    coin: SplitMix64,
    gain: EProcess,
    harm: EProcess,
    /// How much slower the candidate may be before it is harm: ln of a ratio.
    margin: f64,
    pairs: Vec<Pair>,
}

impl Contest {
    fn new(part: Part, seed: u64, processes: u32) -> Contest {
        let config = EProcessConfig { alpha: ALPHA, processes, tolerance: TOLERANCE, pairs_max: u32::MAX, seed };
        let margin = if part == Part::Faulted { FAULT_MARGIN.ln_1p() } else { 0.0 };
        Contest {
            part,
            coin: SplitMix64::new(seed_for(seed, part as u64)),
            gain: EProcess::new(config),
            // A loss that is claimed wrongly keeps the incumbent: it shares no rate with the claim that is made of it.
            harm: EProcess::new(EProcessConfig { processes: 1, ..config }),
            margin,
            pairs: Vec::new(),
        }
    }

    /// Bets on ln(rival / candidate); nothing where the pair gave none (TUNER-10). Order and coin are the contest's, so those
    /// of the processes are not asked for.
    fn bet(&mut self, log_ratio: Option<f64>) {
        for (process, seen) in
            [(&mut self.gain, log_ratio), (&mut self.harm, log_ratio.map(|log_ratio| -log_ratio - self.margin))]
        {
            match (process.next(), seen) {
                (Some(_), Some(seen)) => process.observe(seen),
                (Some(_), None) => process.void(),
                (None, _) => {} // EPROC-3: it is decided.
            }
        }
    }

    /// Runs the pair `number`.
    fn run(&mut self, session: &Session<'_>, duel: &Duel<'_>, number: u32) -> Result<(), Stop> {
        let labels = ["candidate", "incumbent"].map(|arm| duel.label(number, arm));
        let ours = (labels[0].as_str(), duel.candidate, Arm::Candidate);
        let theirs = (labels[1].as_str(), duel.rival, duel.rival_arm);
        let rival_first = self.coin.coin();
        let arms = if rival_first {
            let [theirs, ours] = session.evaluate_pair(number, theirs, ours, self.part)?;
            [ours, theirs]
        } else {
            session.evaluate_pair(number, ours, theirs, self.part)?
        };
        let log_ratio = arms[1].log_objective.zip(arms[0].log_objective).map(|(b, a)| b - a);
        self.bet(log_ratio);
        let row = PairRow {
            pair: number,
            incumbent_first: rival_first,
            log_ratio,
            incumbent: log_ratio.and(arms[1].log_objective).map(f64::exp),
            candidate: log_ratio.and(arms[0].log_objective).map(f64::exp),
            wealth_better: self.gain.wealth_fail(),
            wealth_no_better: self.gain.wealth_pass(),
            regime: None,
        };
        self.pairs.push(Pair { row, arms });
        Ok(())
    }

    /// TUNER-14: both arms' objective and their ratio in this part alone, tuned over incumbent; `None` where fewer than two pairs gave a result.
    fn figures(&self, seed: u64) -> Option<[Interval; 3]> {
        let whole = || self.pairs.iter().filter(|pair| pair.row.log_ratio.is_some());
        let over = |value: &dyn Fn(&Pair) -> Option<f64>| {
            geometric_mean_interval(&whole().filter_map(value).collect::<Vec<_>>(), seed)
        };
        let [incumbent, tuned] = [over(&|pair| pair.row.incumbent)?, over(&|pair| pair.row.candidate)?];
        let logs = mean_interval(&whole().filter_map(|pair| Some(-pair.row.log_ratio?)).collect::<Vec<_>>(), seed)?;
        let ratio = Interval { estimate: logs.estimate.exp(), low: logs.low.exp(), high: logs.high.exp() };
        Some([incumbent, tuned, ratio])
    }

    fn evaluations(&self) -> impl Iterator<Item = &Evaluation> {
        self.pairs.iter().flat_map(|pair| &pair.arms)
    }

    /// Whether the candidate showed a defect in the last pair.
    fn has_defect(&self, session: &Session<'_>) -> bool {
        self.pairs.last().is_some_and(|pair| is_defect(&pair.arms[0], &session.course.limits))
    }

    /// Whether so few pairs give a result that more would only cost time: where a host is too busy, faults strike too late.
    fn is_hopeless(&self) -> bool {
        let valid = self.pairs.iter().filter(|pair| pair.row.log_ratio.is_some()).count();
        self.pairs.len() >= PAIRS_TRIED && 3 * valid < self.pairs.len()
    }
}

/// Runs pairs until they decide, are used up, or the next would end after the deadline.
///
/// # Errors
/// What the problem did wrong.
pub(crate) fn confirm(session: &Session<'_>, duel: &Duel<'_>) -> Result<Confirmed, Stop> {
    let faults = duel.faults && session.course.has_faults();
    let seed = seed_for(session.course.seed, 0xc0_14 ^ u64::from(u32::from(duel.letter)) << 16);
    let processes = if faults { 2 } else { 1 };
    let mut calm = Contest::new(Part::Calm, seed, processes);
    let mut faulted = faults.then(|| Contest::new(Part::Faulted, seed, processes));
    let mut stalls = StallBets::default();
    let mut ended = Ended::Pairs;
    for number in 0..duel.pairs_max {
        let (is_calm_open, is_faulted_open) = open(&calm, faulted.as_ref());
        let defect = [Some(&calm), faulted.as_ref()].into_iter().flatten().any(|contest| contest.has_defect(session));
        if defect || stalls.candidate_stalls_more() || !is_calm_open && !is_faulted_open {
            ended = Ended::Decided;
            break;
        }
        let part = if is_calm_open { Part::Calm } else { Part::Faulted };
        // Either arm may be the first that the log holds of a pair.
        let may_begin = |arm: &str| session.may_begin(&duel.label(number, arm), part, duel.deadline);
        if !may_begin("candidate") && !may_begin("incumbent") {
            ended = Ended::Time;
            break;
        }
        if is_calm_open {
            calm.run(session, duel, number)?;
            stalls.look(session, calm.pairs.last().expect("it was run"));
        }
        let is_turn = !is_calm_open || number % FAULTED_EVERY == FAULTED_EVERY - 1;
        if let Some(faulted) = faulted.as_mut().filter(|_| is_faulted_open && is_turn) {
            faulted.run(session, duel, number)?;
        }
        session.left(u64::from(duel.pairs_max - number - 1) * 2 * session.course.indices(Part::Calm).count() as u64);
    }
    session.left(0);
    Ok(concluded(session, duel, calm, faulted, &stalls, ended))
}

/// Which parts can still change what will be said: calm runs, runs under faults.
fn open(calm: &Contest, faulted: Option<&Contest>) -> (bool, bool) {
    let decided = |process: &EProcess| process.decision() != Decision::Undecided;
    let count = |contest: &Contest| contest.pairs.len() as u32;
    // Rare stalls need slices to show in, so that an early `better` waits for some more pairs.
    let is_calm_open = match calm.gain.decision() {
        Decision::Undecided => true,
        Decision::Fail => count(calm) < PAIRS_MIN,
        Decision::Pass => false,
    };
    let is_faulted_open = faulted.is_some_and(|faulted| {
        let is_patient = is_calm_open || count(faulted) < PAIRS_FAULTED;
        !decided(&faulted.gain) && !decided(&faulted.harm) && !faulted.is_hopeless() && is_patient
    });
    (is_calm_open, is_faulted_open)
}

/// A crash or a broken limit: one is enough.
fn is_defect(found: &Evaluation, limits: &[rtt_measure::Constraint]) -> bool {
    matches!(found.reason, Some((Verdict::Crashed, _))) || breaks(found, limits)
}

fn breaks(found: &Evaluation, limits: &[rtt_measure::Constraint]) -> bool {
    found.constraints.iter().zip(limits).any(|(value, limit)| value.is_some_and(|value| value > limit.max))
}

/// The bet on slices that stall, over the calm pairs.
#[derive(Debug, Default)]
struct StallBets {
    process: SignProcess,
    stalled: [u32; 2],
    slices: [u32; 2],
    held_up: [u32; 2],
}

impl StallBets {
    fn look(&mut self, session: &Session<'_>, pair: &Pair) {
        let [ours, theirs] = &pair.arms;
        let mut seen = Stalls { stalled: [0; 2], slices: [0; 2] };
        for index in session.course.indices(Part::Calm) {
            let (Some(ours), Some(theirs)) = (ours.answer(index), theirs.answer(index)) else { return };
            let found = Stalls::of([&theirs.slices_ns_p99, &ours.slices_ns_p99]);
            for arm in 0..2 {
                seen.stalled[arm] += found.stalled[arm];
                seen.slices[arm] += found.slices[arm];
            }
            self.held_up[0] += theirs.slices_held_up;
            self.held_up[1] += ours.slices_held_up;
        }
        if let Some(candidate_more) = seen.second_has_more() {
            self.process.observe(candidate_more);
        }
        for arm in 0..2 {
            self.stalled[arm] += seen.stalled[arm];
            self.slices[arm] += seen.slices[arm];
        }
    }

    fn candidate_stalls_more(&self) -> bool {
        self.process.wealth() >= 1.0 / ALPHA
    }

    fn row(&self) -> StallRow {
        let [incumbent, tuned] = [0, 1];
        StallRow {
            slices: [self.slices[incumbent], self.slices[tuned]],
            stalled: [self.stalled[incumbent], self.stalled[tuned]],
            held_up: [self.held_up[incumbent], self.held_up[tuned]],
            wealth_second_more: self.process.wealth(),
        }
    }
}

/// All that the pairs came to.
fn concluded(
    session: &Session<'_>,
    duel: &Duel<'_>,
    mut calm: Contest,
    faulted: Option<Contest>,
    stalls: &StallBets,
    ended: Ended,
) -> Confirmed {
    let of_both = |decision: &dyn Fn(&Contest) -> Decision| {
        [decision(&calm), faulted.as_ref().map_or(Decision::Undecided, decision)]
    };
    let gain = of_both(&|contest| contest.gain.decision());
    let harm = of_both(&|contest| contest.harm.decision());
    let found =
        PairRegimes::find(probes(session, calm.evaluations().chain(faulted.iter().flat_map(Contest::evaluations))));
    let indices: Vec<usize> = session.course.indices(Part::Calm).collect();
    let regimes = by_regime(&mut calm.pairs, &indices, &found);
    let limits = &session.course.limits;
    let faulted_pairs = || faulted.iter().flat_map(|faulted| &faulted.pairs);
    let pairs = (calm.pairs.len() + faulted_pairs().count()) as u32;
    let count = |hit: &dyn Fn(&Evaluation) -> bool| {
        [0, 1].map(|arm: usize| {
            calm.pairs.iter().chain(faulted_pairs()).filter(|pair| hit(&pair.arms[arm])).count() as u32
        })
    };
    let broke = count(&|found| breaks(found, limits));
    let crashed = count(&|found| matches!(found.reason, Some((Verdict::Crashed, _))));
    let voided = voided(calm.pairs.iter().chain(faulted_pairs()));
    let record = record(session, duel, &calm, faulted.as_ref(), stalls).map(|record| Confirmation {
        regimes,
        broke,
        crashed,
        ..record
    });
    let stalls_more = stalls.candidate_stalls_more();
    Confirmed { record, gain, harm, stalls_more, ended, pairs, broke, crashed, voided }
}

/// Why pairs gave no result. The run that ended a pair tells: the first arm's where that one has no p99, since the second
/// was not run then or is no better off, else the second's.
fn voided<'a>(pairs: impl Iterator<Item = &'a Pair>) -> BTreeMap<String, u64> {
    let mut causes = BTreeMap::new();
    for Pair { row, arms: [ours, theirs] } in pairs.filter(|pair| pair.row.log_ratio.is_none()) {
        let order = if row.incumbent_first { [theirs, ours] } else { [ours, theirs] };
        let last = order.into_iter().filter_map(|found| found.runs.last()).find(|run| !run.gave_result());
        *causes.entry(last.map_or_else(|| "without a run".to_owned(), cause)).or_default() += 1;
    }
    causes
}

/// TUNER-11 and TUNER-14: the figures of the pairs; absent where fewer than two calm ones gave a result.
fn record(
    session: &Session<'_>,
    duel: &Duel<'_>,
    calm: &Contest,
    faulted: Option<&Contest>,
    stalls: &StallBets,
) -> Option<Confirmation> {
    let seed = session.course.seed;
    let [objective_incumbent, objective_tuned, ratio] = calm.figures(seed)?;
    let rows = |contest: &Contest| -> Vec<ArmRow> {
        let whole: Vec<&Pair> = contest.pairs.iter().filter(|pair| pair.row.log_ratio.is_some()).collect();
        let over = |arm: usize, index: usize, value: &dyn Fn(&rtt_measure::Answer) -> Option<f64>| {
            let values = whole.iter().filter_map(|pair| value(pair.arms[arm].answer(index)?));
            geometric_mean_interval(&values.collect::<Vec<_>>(), seed)
        };
        let row = |index: usize| {
            let condition = &session.course.conditions[index];
            let faulted = condition.faults.is_some();
            Some(ArmRow {
                scenario: condition.scenario.clone().unwrap_or_else(|| "base".into()),
                faulted,
                incumbent: over(1, index, &|answer| answer.deciding(faulted))?,
                tuned: over(0, index, &|answer| answer.deciding(faulted))?,
                whole_incumbent: over(1, index, &rtt_measure::Answer::whole_p99)?,
                whole_tuned: over(0, index, &rtt_measure::Answer::whole_p99)?,
            })
        };
        session.course.indices(contest.part).filter_map(row).collect()
    };
    let arms: Vec<ArmRow> = rows(calm).into_iter().chain(faulted.into_iter().flat_map(rows)).collect();
    let faulted = faulted.and_then(|contest| {
        let [incumbent, tuned, ratio] = contest.figures(seed)?;
        Some(FaultedPart {
            margin: FAULT_MARGIN,
            recovery_incumbent: incumbent,
            recovery_tuned: tuned,
            ratio,
            better: contest.gain.decision() == Decision::Fail,
            worse: contest.harm.decision() == Decision::Fail,
            pairs: contest.pairs.iter().map(|pair| pair.row.clone()).collect(),
        })
    });
    Some(Confirmation {
        alpha: ALPHA,
        processes: calm.gain.config().processes,
        tolerance: TOLERANCE,
        pairs_max: duel.pairs_max,
        pairs: calm.pairs.iter().map(|pair| pair.row.clone()).collect(),
        arms,
        objective_incumbent,
        objective_tuned,
        ratio,
        faulted,
        stalls: stalls.row(),
        regimes: Vec::new(),
        broke: [0; 2],
        crashed: [0; 2],
    })
}

/// The probes of the whole run: its pairs alone may have seen too little of a regime.
fn probes<'a>(session: &Session<'_>, pairs: impl Iterator<Item = &'a Evaluation>) -> Vec<RegimeProbe> {
    let mut probes: Vec<RegimeProbe> = session.evaluations().iter().flat_map(Evaluation::probes).collect();
    probes.extend(pairs.flat_map(Evaluation::probes));
    probes
}

/// Runs of one condition that are compared, candidate's and incumbent's, in a regime: its name and ln(incumbent's p99
/// / candidate's).
fn compared(pair: &Pair, condition: usize, regimes: &PairRegimes) -> Option<(String, f64)> {
    let [ours, theirs] = &pair.arms;
    let p99 = |found: &Evaluation| found.answer(condition)?.deciding(false);
    let log_ratio = (p99(theirs)? / p99(ours)?).ln();
    let probes = [ours.probe(condition)?, theirs.probe(condition)?];
    Some((regimes.of_both(["tuned", "incumbent"], probes), log_ratio))
}

/// Names the regime of each pair, and tells the effect in each regime, run by run.
fn by_regime(pairs: &mut [Pair], conditions: &[usize], regimes: &PairRegimes) -> Vec<RegimeEffect> {
    let mut found: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for pair in pairs {
        let runs: Vec<_> = conditions.iter().filter_map(|&condition| compared(pair, condition, regimes)).collect();
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
        let effects = by_regime(&mut pairs, &[0, 1], &regimes);
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
