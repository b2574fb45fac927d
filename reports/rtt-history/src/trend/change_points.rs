//! On which days a series changed its level: hierarchical divisive estimation with energy statistics (E-divisive).
//!
//! Each step takes the division of one segment that tells its two sides apart best, and asks by permutation inside the
//! segments how often chance alone would do as well; it goes on until chance would more often than [`LEVEL`]. It
//! assumes no distribution, but that days of one level could stand in any order: drift or a weekly rhythm breaks that,
//! and so a change point is advice.
//!
//! Source: Matteson and James 2014, doi:10.1080/01621459.2013.849605, with exponent 1, the right side of a division
//! reaching to its segment's end, as Daly et al. 2020, doi:10.1145/3358960.3375791, use it for nightly figures.

use rtt_units::SplitMix64;

/// How often chance may do as well as a change point that is told.
pub const LEVEL: f64 = 0.01;
/// Days that a level has at least: fewer cannot be told from an outlier.
pub const LEVEL_DAYS: usize = 3;
/// Permutations of one test.
pub const PERMUTATIONS: usize = 199;
/// Two statistics this close are equal: a permutation that gives the same sides sums them in another order.
const ROUNDING: f64 = 1e-9;
/// Fixed, so that equal data give equal advice.
const SEED: u64 = 0x5EED_CA9E;

/// Where a new level begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChangePoint {
    /// Index of its first value.
    pub at: usize,
    /// Share of permutations that did as well, the data themselves counted among them.
    pub p_value: f64,
}

/// The change points of `values`, in their order.
pub fn change_points(values: &[f64]) -> Vec<ChangePoint> {
    let mut draws = SplitMix64::new(SEED);
    // The ends of the segments, and the change points among them.
    let mut ends = vec![0, values.len()];
    let mut found: Vec<ChangePoint> = Vec::new();
    while let Some((at, statistic)) = best(values, &ends) {
        let Some(p_value) = chance(values, &ends, statistic, &mut draws) else { break };
        ends.insert(ends.partition_point(|end| *end < at), at);
        found.push(ChangePoint { at, p_value });
    }
    found.sort_by_key(|change| change.at);
    found
}

/// The best division of any segment, and what its statistic is; none where no segment can be divided.
fn best(values: &[f64], ends: &[usize]) -> Option<(usize, f64)> {
    let divided = ends.windows(2).filter_map(|segment| {
        let (at, statistic) = divide(&values[segment[0]..segment[1]])?;
        Some((segment[0] + at, statistic))
    });
    // The first of equals.
    divided.fold(None, |best: Option<(usize, f64)>, next| match best {
        Some(best) if best.1 >= next.1 => Some(best),
        _ => Some(next),
    })
}

/// Where `segment` is best divided, and the statistic there; none where it is too short, or all values are equal.
fn divide(segment: &[f64]) -> Option<(usize, f64)> {
    let count = segment.len();
    if count < 2 * LEVEL_DAYS {
        return None;
    }
    // Distances of each value to those before it and behind it, summed.
    let before: Vec<f64> =
        (0..count).map(|at| segment[..at].iter().map(|other| (segment[at] - other).abs()).sum()).collect();
    let behind: Vec<f64> =
        (0..count).map(|at| segment[at + 1..].iter().map(|other| (segment[at] - other).abs()).sum()).collect();
    let total: f64 = before.iter().sum();
    let pairs = |count: usize| (count * (count - 1)) as f64 / 2.0;
    let (mut left, mut right) = (0.0, total);
    let mut best: Option<(usize, f64)> = None;
    for at in 0..=count - LEVEL_DAYS {
        if at >= LEVEL_DAYS {
            let (ours, theirs) = (at as f64, (count - at) as f64);
            let between = (total - left - right) * 2.0 / (ours * theirs);
            let energy = between - left / pairs(at) - right / pairs(count - at);
            let statistic = energy * ours * theirs / (ours + theirs);
            if best.is_none_or(|best| statistic > best.1) {
                best = Some((at, statistic));
            }
        }
        left += before[at];
        right -= behind[at];
    }
    best.filter(|_| total > 0.0)
}

/// How often a permutation inside the segments does as well as `statistic`; none where it is more often than [`LEVEL`].
fn chance(values: &[f64], ends: &[usize], statistic: f64, draws: &mut SplitMix64) -> Option<f64> {
    let most = (LEVEL * (PERMUTATIONS + 1) as f64) as usize;
    let mut permuted = values.to_vec();
    let enough = statistic * (1.0 - ROUNDING);
    let mut as_good = 1; // The data themselves.
    for _ in 0..PERMUTATIONS {
        for segment in ends.windows(2) {
            shuffle(&mut permuted[segment[0]..segment[1]], draws);
        }
        as_good += usize::from(best(&permuted, ends).is_some_and(|(_, chance)| chance >= enough));
        if as_good > most {
            return None; // More permutations cannot take one back.
        }
    }
    Some(as_good as f64 / (PERMUTATIONS + 1) as f64)
}

/// Fisher and Yates.
fn shuffle(values: &mut [f64], draws: &mut SplitMix64) {
    for last in (1..values.len()).rev() {
        values.swap(last, draws.below(last as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy(seed: u64, levels: &[(usize, f64)]) -> Vec<f64> {
        let mut draws = SplitMix64::new(seed);
        let days = levels.iter().flat_map(|(days, level)| vec![*level; *days]);
        days.map(|level| level + 0.03 * draws.normal()).collect()
    }

    fn places(values: &[f64]) -> Vec<usize> {
        change_points(values).iter().map(|change| change.at).collect()
    }

    /// The statistic as the paper has it, sum by sum.
    fn plain(segment: &[f64], at: usize) -> f64 {
        let (left, right) = segment.split_at(at);
        let within = |side: &[f64]| {
            let pairs = (0..side.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
            let distances: Vec<f64> = pairs.map(|(i, j)| (side[i] - side[j]).abs()).collect();
            distances.iter().sum::<f64>() / distances.len() as f64
        };
        let across = left.iter().flat_map(|a| right.iter().map(move |b| (a - b).abs())).sum::<f64>();
        let (n, m) = (left.len() as f64, right.len() as f64);
        n * m / (n + m) * (2.0 * across / (n * m) - within(left) - within(right))
    }

    #[test]
    fn the_statistic_is_that_of_the_paper() {
        for seed in 0..20 {
            let values = noisy(seed, &[(5 + seed as usize, 0.0), (7, 0.1 * seed as f64)]);
            let (at, statistic) = divide(&values).expect("it is long enough");
            let all: Vec<f64> = (LEVEL_DAYS..=values.len() - LEVEL_DAYS).map(|at| plain(&values, at)).collect();
            let highest = all.iter().copied().fold(f64::MIN, f64::max);
            assert!((statistic - highest).abs() < 1e-9 && (plain(&values, at) - highest).abs() < 1e-9, "seed {seed}");
        }
    }

    #[test]
    fn steps_are_found_where_they_are() {
        assert_eq!(places(&noisy(1, &[(20, 7.0), (15, 7.2)])), [20]);
        assert_eq!(places(&noisy(2, &[(12, 7.0), (10, 7.3), (14, 6.9)])), [12, 22]);
        assert_eq!(places(&noisy(3, &[(20, 7.0), (3, 7.4)])), [20], "the last three days");
    }

    /// How often a level series is said to change, over series of many lengths: at most about [`LEVEL`].
    #[test]
    fn noise_is_seldom_a_change() {
        let false_alarms = (0..400).filter(|&seed| !places(&noisy(seed, &[(8 + seed as usize % 50, 7.0)])).is_empty());
        let count = false_alarms.count();
        assert!(count <= 10, "{count} of 400");
    }

    #[test]
    fn equal_data_give_equal_advice_and_few_or_equal_values_none() {
        let values = noisy(1, &[(20, 7.0), (15, 7.2)]);
        assert_eq!(change_points(&values), change_points(&values));
        for values in [vec![], vec![1.0; 5], vec![1.0, 1.0, 1.0, 9.0, 9.0], vec![3.0; 40]] {
            assert_eq!(places(&values), [] as [usize; 0], "{values:?}");
        }
        // Six days: of 20 ways to choose three of them two do as well, which chance does too often.
        assert_eq!(places(&[1.0, 1.01, 1.02, 9.0, 9.01, 9.02]), [] as [usize; 0]);
    }
}
