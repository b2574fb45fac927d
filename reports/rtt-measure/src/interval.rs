//! Intervals over runs: the run is the unit, so what is drawn again is whole runs, never samples inside one.
//!
//! Quantiles are never averaged; what is averaged here is the logarithm of one quantile over runs.

use crate::Interval;
use rtt_units::SplitMix64;

/// Draws of the bootstrap: the 0.1 % quantile that few runs ask for has four of them beyond it.
const DRAWS: usize = 4000;

/// Student's 97.5 % points from one degree of freedom on: of fewer than six runs the bootstrap would reach from the
/// least to the largest at most, which is too narrow.
const STUDENT: [f64; 4] = [12.706_205, 4.302_653, 3.182_446, 2.776_445];

/// Geometric mean of `values` (each above 0, one a run) with a 95 % interval over the runs.
///
/// Six runs and more are drawn again (bootstrap), and the percentile interval is widened as small samples ask for; of
/// two to five the interval is Student's, on the logarithms. `None` of fewer than two runs, which have no interval, or
/// when a value is not above 0.
///
/// Source: Hesterberg 2015, doi:10.1080/00031305.2015.1089789, section 4.2 (expanded percentiles).
pub fn geometric_mean_interval(values: &[f64], seed: u64) -> Option<Interval> {
    if values.iter().any(|&value| !(value.is_finite() && value > 0.0)) {
        return None;
    }
    let logs: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    mean_interval(&logs, seed).map(|interval| Interval {
        estimate: interval.estimate.exp(),
        low: interval.low.exp(),
        high: interval.high.exp(),
    })
}

/// Mean of `values` with a 95 % interval over them, made as [`geometric_mean_interval`] says; `None` of fewer than two.
pub fn mean_interval(values: &[f64], seed: u64) -> Option<Interval> {
    let count = values.len();
    let estimate = values.iter().sum::<f64>() / count as f64;
    if count < 2 {
        return None;
    }
    if let Some(student) = STUDENT.get(count - 2) {
        let squares: f64 = values.iter().map(|value| (value - estimate).powi(2)).sum();
        let reach = student * (squares / (count * (count - 1)) as f64).sqrt();
        return Some(Interval { estimate, low: estimate - reach, high: estimate + reach });
    }
    let mut draw = SplitMix64::new(seed);
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| (0..count).map(|_| values[draw.below(count as u64) as usize]).sum::<f64>() / count as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    let tail = expanded_tail(count);
    let at = |quantile: f64| means[((quantile * DRAWS as f64) as usize).min(DRAWS - 1)];
    Some(Interval { estimate, low: at(tail).min(estimate), high: at(1.0 - tail).max(estimate) })
}

/// Share left out on each side so that the interval of `count` runs covers 95 %.
fn expanded_tail(count: usize) -> f64 {
    let freedom = (count - 1) as f64;
    // Student's 97.5 % point by the Cornish-Fisher series around the normal's; good to 1 % from 3 degrees on.
    let z = 1.959_963_985_f64;
    let student = z
        + (z.powi(3) + z) / (4.0 * freedom)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * freedom * freedom);
    let wanted = student * (count as f64 / freedom).sqrt();
    normal_tail(wanted)
}

/// Share of a standard normal variable above `z`, for `z` at least 0; error below 1e-7.
///
/// Source: Abramowitz and Stegun 1964, 26.2.17.
fn normal_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let series =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    series * (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_that_of_the_normal_distribution() {
        for (z, tail) in [(0.0, 0.5), (1.0, 0.158_655_25), (1.959_964, 0.025), (3.0, 0.001_349_9)] {
            assert!((normal_tail(z) - tail).abs() < 1e-6, "{z}");
        }
    }

    /// The share of intervals that hold the truth, over samples of few runs with noise of 10 %.
    #[test]
    fn the_interval_covers_the_truth_about_as_often_as_it_says() {
        let mut draw = SplitMix64::new(5);
        for runs in [2, 3, 4, 5, 6, 12, 30] {
            let covered = (0..400)
                .filter(|&seed| {
                    let values: Vec<f64> = (0..runs).map(|_| 100.0 * (0.1 * draw.normal()).exp()).collect();
                    let interval = geometric_mean_interval(&values, seed).expect("an interval");
                    interval.low <= 100.0 && 100.0 <= interval.high
                })
                .count();
            assert!((364..=396).contains(&covered), "{runs} runs: {covered} of 400");
        }
    }

    #[test]
    fn too_little_is_said_and_equal_seeds_give_equal_intervals() {
        assert_eq!(geometric_mean_interval(&[], 1), None);
        assert_eq!(geometric_mean_interval(&[1.0, 0.0], 1), None);
        assert_eq!(geometric_mean_interval(&[7.0], 1), None, "one run has no interval");
        let values = [1.0, 2.0, 4.0, 3.0];
        assert_eq!(geometric_mean_interval(&values, 3), geometric_mean_interval(&values, 3));
    }
}
