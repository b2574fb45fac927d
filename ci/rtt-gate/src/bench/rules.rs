//! The rules that are judged: the gate's own e-process, and what others use in its place.
//!
//! Every rule takes one night of a seed and says FAIL, PASS or, the e-process alone, that it cannot tell. The rivals take
//! the number of runs that they are published with, whatever they see.

use super::bounds::middle_low_95;
use super::nights::{NightArm, Nights, draws};
use super::ranks::{mann_whitney, signed_rank};
use rtt_measure::{Decision, EProcess, EProcessConfig, PairOrder, Stop};
use rtt_units::SplitMix64;

/// The configuration of the e-process that is judged; each night has a coin of its own.
pub(crate) const E_PROCESS: EProcessConfig =
    EProcessConfig { alpha: 0.01, processes: 1, tolerance: 0.05, pairs_max: 80, seed: 0 };

/// How many nights ago the baseline of the threshold was stored: the night before is the most like this one.
pub(crate) const BASELINE_AGE: u64 = 1;
/// Runs of each arm, and the ratio of the means above which the threshold fails.
const MEAN: (u32, f64) = (10, 1.10);
/// Runs of each arm, and the normal quantile of p = 0.05 for both sides, of which one counts: what tools do unasked, and
/// what the page's row agrees with.
const MANN_WHITNEY: (u32, f64) = (20, 1.959_963_984_540_054);
/// Pairs of the rules that take all of them.
const PAIRS: u32 = 40;
/// The normal quantile of p = 0.01 for one side.
const SIGNED_RANK: f64 = 2.326_347_874_040_841;
/// Tags of the draws of a rule, apart from those of any night.
const COIN_DRAWS: u64 = 0x636F_696E_0000;
const RESAMPLE_DRAWS: u64 = 0x6472_6177_0000;

/// What a rule says of a night.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) decision: Decision,
    /// Pairs that it took, or runs of each arm where it takes no pairs; void ones included.
    pub(crate) pairs: u32,
}

/// One rule.
pub(crate) struct Rule {
    /// Its name in the rows.
    pub(crate) name: &'static str,
    /// Judges the night of a seed in which the candidate is slower by a ratio.
    pub(crate) judge: fn(&mut dyn Nights, u64, f64) -> Result<Judged, Stop>,
}

/// All of them, in the order of the rows.
pub(crate) static RULES: [Rule; 5] = [
    Rule { name: "e-process", judge: e_process },
    Rule { name: "mean +10 %", judge: mean_threshold },
    Rule { name: "Mann-Whitney", judge: rank_sums },
    Rule { name: "paired bootstrap", judge: paired_bootstrap },
    Rule { name: "signed rank", judge: paired_ranks },
];

fn failed(failed: bool, pairs: u32) -> Judged {
    Judged { decision: if failed { Decision::Fail } else { Decision::Pass }, pairs }
}

/// The log ratio of candidate to base of the next two slots; `None` where a run is void, after which the other arm of
/// the pair would tell nothing.
fn pair(nights: &mut dyn Nights, order: PairOrder) -> Result<Option<f64>, Stop> {
    let (first, second) = match order {
        PairOrder::AFirst => (NightArm::Base, NightArm::Candidate),
        PairOrder::BFirst => (NightArm::Candidate, NightArm::Base),
    };
    let Some(earlier) = nights.run(first)? else { return Ok(None) };
    let Some(later) = nights.run(second)? else { return Ok(None) };
    // The difference of logarithms is finite wherever both values are; their ratio need not be.
    let ratio = later.ln() - earlier.ln();
    Ok(Some(if order == PairOrder::AFirst { ratio } else { -ratio }))
}

/// The valid ones of `PAIRS` pairs whose order a coin chose.
fn pairs(nights: &mut dyn Nights, seed: u64) -> Result<Vec<f64>, Stop> {
    let mut coin = draws(seed, COIN_DRAWS);
    let mut ratios = Vec::with_capacity(PAIRS as usize);
    for _ in 0..PAIRS {
        let order = if coin.coin() { PairOrder::AFirst } else { PairOrder::BFirst };
        ratios.extend(pair(nights, order)?);
    }
    Ok(ratios)
}

/// The valid ones of `count` runs of one arm in a row.
fn runs(nights: &mut dyn Nights, arm: NightArm, count: u32) -> Result<Vec<f64>, Stop> {
    let mut found = Vec::with_capacity(count as usize);
    for _ in 0..count {
        found.extend(nights.run(arm)?);
    }
    Ok(found)
}

fn e_process(nights: &mut dyn Nights, seed: u64, delta: f64) -> Result<Judged, Stop> {
    nights.begin(seed, delta)?;
    // A program may draw its night from the same seed by the same generator: the coin must not follow it.
    let coin = draws(seed, COIN_DRAWS).next_u64();
    let mut process = EProcess::new(EProcessConfig { seed: coin, ..E_PROCESS });
    while let Some(order) = process.next() {
        match pair(nights, order)? {
            Some(log_ratio) => process.observe(log_ratio),
            None => process.void(),
        }
    }
    Ok(Judged { decision: process.decision(), pairs: process.pairs() })
}

/// More than 10 % over a mean that was stored the night before.
fn mean_threshold(nights: &mut dyn Nights, seed: u64, delta: f64) -> Result<Judged, Stop> {
    let (count, limit) = MEAN;
    // Without a valid run the mean is no number, which exceeds nothing.
    let mean = |runs: Vec<f64>| runs.iter().sum::<f64>() / runs.len() as f64;
    nights.begin(seed.wrapping_sub(BASELINE_AGE), delta)?;
    let stored = mean(runs(nights, NightArm::Base, count)?);
    nights.begin(seed, delta)?;
    let candidate = mean(runs(nights, NightArm::Candidate, count)?);
    Ok(failed(candidate > limit * stored, count))
}

/// All of the base, then all of the candidate, as if they were independent.
fn rank_sums(nights: &mut dyn Nights, seed: u64, delta: f64) -> Result<Judged, Stop> {
    let (count, limit) = MANN_WHITNEY;
    nights.begin(seed, delta)?;
    let base = runs(nights, NightArm::Base, count)?;
    let candidate = runs(nights, NightArm::Candidate, count)?;
    Ok(failed(mann_whitney(&base, &candidate) > limit, count))
}

fn paired_bootstrap(nights: &mut dyn Nights, seed: u64, delta: f64) -> Result<Judged, Stop> {
    nights.begin(seed, delta)?;
    let ratios = pairs(nights, seed)?;
    let mut draw: SplitMix64 = draws(seed, RESAMPLE_DRAWS);
    Ok(failed(middle_low_95(&ratios, &mut draw).is_some_and(|bound| bound > 0.0), PAIRS))
}

fn paired_ranks(nights: &mut dyn Nights, seed: u64, delta: f64) -> Result<Judged, Stop> {
    nights.begin(seed, delta)?;
    let ratios = pairs(nights, seed)?;
    Ok(failed(signed_rank(&ratios) > SIGNED_RANK, PAIRS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nights whose runs are void as `void` says, by slot; base runs are 100, candidates slower by delta.
    struct Plain {
        void: fn(u32) -> bool,
        slot: u32,
        delta: f64,
        begun: Vec<u64>,
    }

    impl Nights for Plain {
        fn begin(&mut self, seed: u64, delta: f64) -> Result<(), Stop> {
            (self.slot, self.delta) = (0, delta);
            self.begun.push(seed);
            Ok(())
        }

        fn run(&mut self, arm: NightArm) -> Result<Option<f64>, Stop> {
            self.slot += 1;
            let slower = if arm == NightArm::Candidate { 1.0 + self.delta } else { 1.0 };
            Ok((!(self.void)(self.slot)).then_some(100.0 * slower))
        }
    }

    fn judge(rule: &Rule, void: fn(u32) -> bool, delta: f64) -> (Judged, Vec<u64>) {
        let mut nights = Plain { void, slot: 0, delta: 0.0, begun: vec![] };
        let judged = (rule.judge)(&mut nights, 31, delta).expect("it never fails");
        (judged, nights.begun)
    }

    #[test]
    fn a_clear_case_is_found_by_every_rule_and_equal_builds_pass() {
        for rule in &RULES {
            for void in [|_| false, |slot| slot % 3 == 0] as [fn(u32) -> bool; 2] {
                let (slower, begun) = judge(rule, void, 0.2);
                assert_eq!((slower.decision, begun.last()), (Decision::Fail, Some(&31)), "{}", rule.name);
                assert_eq!(judge(rule, void, 0.0).0.decision, Decision::Pass, "{}", rule.name);
            }
        }
    }

    #[test]
    fn a_night_without_a_valid_run_tells_nothing() {
        for rule in &RULES {
            let (judged, _) = judge(rule, |_| true, 0.2);
            let expected = match rule.name {
                "e-process" => (Decision::Undecided, 80),
                "mean +10 %" => (Decision::Pass, 10),
                "Mann-Whitney" => (Decision::Pass, 20),
                _ => (Decision::Pass, 40),
            };
            assert_eq!((judged.decision, judged.pairs), expected, "{}", rule.name);
        }
    }

    #[test]
    fn the_threshold_compares_with_an_earlier_night() {
        assert_eq!(judge(&RULES[1], |_| false, 0.0).1, [30, 31]);
    }
}
