//! Lower bounds: of a share that was counted, and of the middle of a series that depends on its past.

use rtt_units::SplitMix64;

/// One-sided error rate of the bound of a share.
const SHARE_ALPHA: f64 = 0.01;
/// One-sided error rate of the bound of a middle.
const MIDDLE_ALPHA: f64 = 0.05;
/// Neighbours that are drawn together: pairs of one night drift.
const BLOCK: usize = 4;
/// Series that are drawn to find the bound.
const RESAMPLES: usize = 500;

/// Lower 99 % bound of a share of which `count` in `of` were seen: the share at which so many or more are seen with
/// probability 1 %. Source: Clopper, Pearson 1934, doi:10.1093/biomet/26.4.404.
pub(crate) fn share_low_99(count: u64, of: u64) -> f64 {
    debug_assert!(count <= of, "{count} of {of}");
    if count == 0 {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, count as f64 / of as f64);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if chance_of_fewer(count, of, middle) > 1.0 - SHARE_ALPHA { low = middle } else { high = middle }
    }
    low
}

/// Chance of fewer than `count` in `of` where each has the chance `share`, within 0..1.
fn chance_of_fewer(count: u64, of: u64, share: f64) -> f64 {
    let odds = share.ln() - (-share).ln_1p();
    // Logarithms: the first terms of a large binomial are below what a float holds.
    let mut term = of as f64 * (-share).ln_1p();
    let mut sum = 0.0;
    for seen in 0..count {
        sum += term.exp();
        term += ((of - seen) as f64 / (seen + 1) as f64).ln() + odds;
    }
    sum
}

/// Lower 95 % bound of the middle of `series`, by the percentiles of a circular block bootstrap; `None` of an empty one.
/// Source: Politis, Romano 1992, ISBN 978-0-471-53631-4.
pub(crate) fn middle_low_95(series: &[f64], draw: &mut SplitMix64) -> Option<f64> {
    let count = series.len();
    if count == 0 {
        return None;
    }
    let mut middles: Vec<f64> = Vec::with_capacity(RESAMPLES);
    let mut drawn = Vec::with_capacity(count + BLOCK);
    for _ in 0..RESAMPLES {
        drawn.clear();
        while drawn.len() < count {
            let start = draw.below(count as u64) as usize;
            drawn.extend((start..start + BLOCK).map(|at| series[at % count]));
        }
        drawn.truncate(count);
        middles.push(middle(&mut drawn));
    }
    let rank = (MIDDLE_ALPHA * RESAMPLES as f64) as usize;
    Some(*middles.select_nth_unstable_by(rank, f64::total_cmp).1)
}

/// The mean of the middle half of at least one value, in another order after it: the mean of all would be at the mercy of
/// spikes, and the median is the noisier where there are none.
fn middle(values: &mut [f64]) -> f64 {
    let cut = values.len() / 4;
    values.select_nth_unstable_by(cut, f64::total_cmp);
    let upper = &mut values[cut..];
    let kept = upper.len() - cut;
    upper.select_nth_unstable_by(kept - 1, f64::total_cmp);
    upper[..kept].iter().sum::<f64>() / kept as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of three seen: share^3 = 1 %. One seen of ten: 1 - (1 - share)^10 = 1 %.
    #[test]
    fn shares_have_the_exact_bound() {
        for (count, of, expected) in [
            (0, 10, 0.0),
            (3, 3, 0.01_f64.powf(1.0 / 3.0)),
            (1, 10, 1.0 - 0.99_f64.powf(0.1)),
            (1, 5000, 1.0 - 0.99_f64.powf(1.0 / 5000.0)),
        ] {
            let found = share_low_99(count, of);
            assert!((found - expected).abs() < 1e-9, "{count} of {of}: {found}, expected {expected}");
        }
        assert!((0.0067..0.0075).contains(&share_low_99(50, 5000)), "{}", share_low_99(50, 5000));
        assert!(share_low_99(4000, 5000) > 0.78);
    }

    #[test]
    fn a_quarter_is_cut_off_at_each_end() {
        for (values, expected) in [
            (&[3.0][..], 3.0),
            (&[4.0, 1.0], 2.5),
            (&[9.0, 1.0, 2.0], 4.0),
            (&[4.0, 900.0, 3.0, -7.0], 3.5),
            (&[8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 90.0], 5.0),
        ] {
            assert_eq!(middle(&mut values.to_vec()), expected, "{values:?}");
        }
    }

    #[test]
    fn a_middle_is_bounded_from_below() {
        let mut draw = SplitMix64::new(1);
        assert_eq!(middle_low_95(&[], &mut draw), None);
        assert_eq!(middle_low_95(&[2.0; 40], &mut draw), Some(2.0));
        let series: Vec<f64> = (0..40).map(|_| 1.0 + draw.normal()).collect();
        let bound = middle_low_95(&series, &mut draw).expect("there are values");
        assert!((0.1..0.99).contains(&bound), "a standard error is about 0.2: {bound}");
    }
}
