//! Whether a run reached a steady state, and where: found in the data, never assumed.
//!
//! The run is cut in slices. Warm-up is the prefix (at most half of the run) whose removal leaves the mean of the log
//! medians best known (MSER); a run that still shows a trend behind it never settled. A trend is a Mann-Kendall score
//! beyond its 99 % point together with a drift that matters: more than a quarter of the median, first slice to last.
//!
//! LAB-2  A latency that keeps growing never settles; a level that jumps to and fro, as on a shared host, does.
//!
//! Sources: White 1997, doi:10.1177/003754979706900601; Mann 1945, doi:10.2307/1907187; Sen 1968, doi:10.1080/01621459.1968.10480934.

/// Fewest slices that a verdict can rest on.
const SLICES_MIN: usize = 8;
/// 99 % point of the standard normal, two-sided.
const SCORE_MAX: f64 = 2.576;
/// Drift over the whole run, as a share of the median, below which a trend does not matter.
const DRIFT_MAX: f64 = 0.25;

/// Where a run settled: how many slices were warm-up, or why it never did.
///
/// `medians` has one latency for each slice in nanoseconds, `None` where the slice is not to be judged: it has no
/// sample, or a fault struck in it.
///
/// # Errors
/// The reason, in words.
pub fn warm_up(medians: &[Option<u64>]) -> Result<usize, String> {
    let judged = medians.iter().enumerate().filter_map(|(index, median)| median.map(|ns| (index as f64, ns as f64)));
    let judged: Vec<(f64, f64)> = judged.collect();
    if judged.len() < SLICES_MIN {
        let (found, all) = (judged.len(), medians.len());
        return Err(format!("{found} of {all} slices can be judged, expected at least {SLICES_MIN}"));
    }
    let skipped = (0..=judged.len() / 2).min_by(|&a, &b| mser(&judged[a..]).total_cmp(&mser(&judged[b..])));
    let rest = &judged[skipped.unwrap_or(0)..];
    let (score, drift) = (mann_kendall(rest), drift(rest));
    if score.abs() < SCORE_MAX || drift.abs() < DRIFT_MAX {
        return Ok(rest[0].0 as usize);
    }
    Err(format!(
        "the median latency kept {} by {:.0} % of itself over the run (Mann-Kendall score {score:.1})",
        if drift > 0.0 { "growing" } else { "falling" },
        drift.abs() * 100.0,
    ))
}

/// Squared standard error of the mean log latency.
fn mser(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<f64> = points.iter().map(|point| point.1.max(1.0).ln()).collect();
    let n = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / n;
    logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (n * n)
}

/// Standard score of the number of rising against falling pairs; ties count for neither.
fn mann_kendall(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let pairs = points.iter().enumerate().flat_map(|(i, a)| points[i + 1..].iter().map(move |b| b.1 - a.1));
    let sum: f64 = pairs.map(|rise| if rise == 0.0 { 0.0 } else { rise.signum() }).sum();
    let variance = n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
    (sum - sum.signum() * sum.abs().min(1.0)) / variance.sqrt()
}

/// Theil-Sen slope times the length, over the median.
fn drift(points: &[(f64, f64)]) -> f64 {
    let pairs = points.iter().enumerate().flat_map(|(i, a)| points[i + 1..].iter().map(move |b| (a, b)));
    let slope = median(pairs.map(|(a, b)| (b.1 - a.1) / (b.0 - a.0)).collect());
    let length = points.last().map_or(0.0, |last| last.0) - points.first().map_or(0.0, |first| first.0);
    slope * length / median(points.iter().map(|point| point.1).collect()).max(1.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(medians: impl Iterator<Item = u64>, expected: Result<usize, &str>) {
        let medians: Vec<Option<u64>> = medians.map(Some).collect();
        match (warm_up(&medians), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{medians:?}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => panic!("{medians:?}: {found:?}, expected {expected:?}"),
        }
    }

    /// LAB-2
    #[test]
    fn a_queue_that_grows_never_settles() {
        check((0..20).map(|i| 1000 + 900 * i), Err("growing"));
        check((0..20).map(|i| 40_000 - 1900 * i), Err("falling"));
    }

    #[test]
    fn a_level_with_noise_or_regimes_is_settled_from_the_start() {
        check((0..20).map(|i| 1000 + 13 * (i % 2)), Ok(0));
        let regimes: Vec<Option<u64>> = (0..20).map(|i| Some(if i % 5 < 2 { 50 } else { 240 })).collect();
        assert!(warm_up(&regimes).is_ok_and(|skipped| skipped <= 2));
        check((0..20).map(|_| 5), Ok(0));
    }

    #[test]
    fn a_warm_up_is_cut_and_no_more() {
        let warm = |i: u64| if i < 5 { 9000 - 1500 * i } else { 1000 + (i * 7919) % 13 };
        let medians: Vec<Option<u64>> = (0..20).map(|i| Some(warm(i))).collect();
        let cut = warm_up(&medians).expect("settled");
        assert!((1..=6).contains(&cut), "{cut} slices of warm-up");
    }

    #[test]
    fn slices_without_a_judgement_are_left_out_until_too_few_are_left() {
        let mut medians: Vec<Option<u64>> = (0..20).map(|i| Some(1000 + i % 3)).collect();
        medians[4] = None;
        assert_eq!(warm_up(&medians), Ok(0));
        medians[..13].fill(None);
        assert!(warm_up(&medians).is_err_and(|why| why.contains("7 of 20 slices")));
    }
}
