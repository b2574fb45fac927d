//! The quantile of several trials together, and how sure a ratio of two such quantiles is.
//!
//! HISTORY-3: the trials' histograms are merged, each weighted by how often the trial was drawn; with every weight 1
//! the result is that of `Histogram::add` and `value_at_quantile`. The interval is a percentile bootstrap over whole
//! trials: messages of one trial hang together, so trials are what is drawn.
//!
//! Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13. With few trials the interval is
//! somewhat too narrow, and drift between two runs is not in it: it is for reading, not for a gate.

use hdrhistogram::Histogram;
use rtt_units::SplitMix64;
use std::collections::BTreeMap;

/// How many times the trials are drawn anew.
pub const RESAMPLES: usize = 2_000;
/// Fewer trials on a side give no interval: drawing from four values says too little about their spread.
pub const TRIALS_MIN: usize = 5;
/// Fixed, so that equal runs give equal text.
const SEED: u64 = 0x5EED_4157;

/// The histograms of some trials, laid out for weighted quantiles.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// Bucket by bucket from the highest: its highest value, and which trial has how many samples there.
    buckets: Vec<(u64, Vec<(usize, u64)>)>,
    /// Samples of each trial.
    sizes: Vec<u64>,
}

impl Pool {
    /// A pool of `histograms`, one a trial. Histograms without a sample say nothing and are left out.
    pub fn new<'a>(histograms: impl IntoIterator<Item = &'a Histogram<u64>>) -> Pool {
        let mut buckets: BTreeMap<u64, Vec<(usize, u64)>> = BTreeMap::new();
        let mut sizes = Vec::new();
        for histogram in histograms.into_iter().filter(|histogram| !histogram.is_empty()) {
            for bucket in histogram.iter_recorded() {
                buckets.entry(bucket.value_iterated_to()).or_default().push((sizes.len(), bucket.count_at_value()));
            }
            sizes.push(histogram.len());
        }
        Pool { buckets: buckets.into_iter().rev().collect(), sizes }
    }

    /// Trials in the pool.
    pub fn trials(&self) -> usize {
        self.sizes.len()
    }

    /// Samples of all trials.
    pub fn samples(&self) -> u64 {
        self.sizes.iter().fold(0, |sum, size| sum.saturating_add(*size))
    }

    /// The value at `quantile` (0 to 1) of all trials merged, or `None` for an empty pool.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        self.weighted(quantile, &vec![1; self.sizes.len()])
    }

    /// The same with trial `i` merged `weights[i]` times. Walks down from the highest bucket: a high quantile is near.
    fn weighted(&self, quantile: f64, weights: &[u64]) -> Option<u64> {
        assert_eq!(weights.len(), self.sizes.len(), "one weight a trial");
        // 128 bits: sizes come from a file, and their sum must not wrap.
        let weigh = |trial: usize, count: u64| u128::from(weights[trial]) * u128::from(count);
        let total: u128 = self.sizes.iter().enumerate().map(|(trial, size)| weigh(trial, *size)).sum();
        if total == 0 {
            return None;
        }
        // The rank as `Histogram::value_at_quantile` has it.
        let rank = ((quantile.clamp(0.0, 1.0) * total as f64).ceil() as u128).clamp(1, total);
        let mut at_or_below = total;
        for (value, counts) in &self.buckets {
            let here: u128 = counts.iter().map(|(trial, count)| weigh(*trial, *count)).sum();
            at_or_below -= here;
            if at_or_below < rank {
                return Some(*value);
            }
        }
        unreachable!("the lowest bucket has nothing below it, and a rank is at least 1")
    }

    /// One draw of as many trials as there are, with replacement.
    fn draw(&self, draws: &mut SplitMix64, weights: &mut Vec<u64>) {
        weights.clear();
        weights.resize(self.sizes.len(), 0);
        for _ in 0..self.sizes.len() {
            weights[draws.below(self.sizes.len() as u64) as usize] += 1;
        }
    }
}

/// The 95 % interval of `candidate`'s quantile over `baseline`'s; `None` below [`TRIALS_MIN`] trials on a side.
/// Equal inputs give equal output.
pub fn ratio_interval(baseline: &Pool, candidate: &Pool, quantile: f64) -> Option<[f64; 2]> {
    if baseline.trials().min(candidate.trials()) < TRIALS_MIN {
        return None;
    }
    let mut draws = SplitMix64::new(SEED);
    let mut weights = Vec::new();
    let mut once = |pool: &Pool| {
        pool.draw(&mut draws, &mut weights);
        // A latency of 0 ns is below the clock's step: 1 keeps the ratio finite.
        pool.weighted(quantile, &weights).map(|value| value.max(1) as f64)
    };
    let mut ratios = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let below = once(baseline)?;
        ratios.push(once(candidate)? / below);
    }
    ratios.sort_unstable_by(f64::total_cmp);
    let cut = RESAMPLES / 40; // 2.5 % at each end.
    Some([ratios[cut], ratios[RESAMPLES - 1 - cut]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).expect("three digits");
        values.into_iter().for_each(|value| histogram.record(value).expect("it grows"));
        histogram
    }

    fn drawn(seed: u64, trials: usize, scale: u64) -> Vec<Histogram<u64>> {
        let mut draws = SplitMix64::new(seed);
        let trial = |draws: &mut SplitMix64| {
            let samples = draws.below(400) + 1;
            let level = scale * (1 + draws.below(3));
            histogram((0..samples).map(|_| (draws.exponential() * level as f64) as u64))
        };
        (0..trials).map(|_| trial(&mut draws)).collect()
    }

    /// HISTORY-3: for any trials and any weights, the same as merging the histograms with the histogram's own `add`.
    #[test]
    fn a_quantile_is_that_of_the_merged_histograms() {
        for seed in 0..60 {
            let trials = drawn(seed, 1 + (seed as usize % 7), 10_u64.pow(1 + (seed % 6) as u32));
            let pool = Pool::new(&trials);
            let mut draws = SplitMix64::new(seed ^ 99);
            let weights: Vec<u64> = trials.iter().map(|_| draws.below(4)).collect();
            let (mut plain, mut weighted) = (histogram([]), histogram([]));
            for (trial, weight) in trials.iter().zip(&weights) {
                plain.add(trial).expect("it grows");
                (0..*weight).for_each(|_| weighted.add(trial).expect("it grows"));
            }
            assert_eq!(pool.samples(), plain.len());
            for quantile in [0.0001, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
                assert_eq!(pool.quantile(quantile), Some(plain.value_at_quantile(quantile)), "seed {seed}: {quantile}");
                let expected = (!weighted.is_empty()).then(|| weighted.value_at_quantile(quantile));
                assert_eq!(pool.weighted(quantile, &weights), expected, "seed {seed}: {quantile}, {weights:?}");
            }
        }
    }

    #[test]
    fn an_interval_sees_a_difference_and_only_a_difference() {
        let base = Pool::new(&drawn(1, 40, 1_000));
        let again = Pool::new(&drawn(2, 40, 1_000));
        let tripled = Pool::new(&drawn(3, 40, 3_000));
        let [low, high] = ratio_interval(&base, &again, 0.99).expect("an interval");
        assert!(low < 1.0 && 1.0 < high, "{low}..{high}");
        let [low, high] = ratio_interval(&base, &tripled, 0.99).expect("an interval");
        assert!(1.5 < low && low < high, "{low}..{high}");
        assert_eq!(ratio_interval(&base, &tripled, 0.99), Some([low, high]), "equal inputs give equal output");
    }

    #[test]
    fn few_trials_give_no_interval_and_none_no_quantile() {
        let few = Pool::new(&drawn(1, TRIALS_MIN - 1, 100));
        assert_eq!(ratio_interval(&few, &Pool::new(&drawn(2, 9, 100)), 0.99), None);
        assert_eq!(Pool::new(&[histogram([])]).quantile(0.99), None);
        assert_eq!(Pool::new(&[histogram([]), histogram([0])]).trials(), 1);
    }
}
