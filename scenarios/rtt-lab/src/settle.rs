//! Whether a run reached a steady state, and where: found in the data, never assumed.
//!
//! The run is cut in slices. Warm-up ends at the first slice whose median is like those behind it; a run that shows a
//! trend from there on, or that has not settled by its half, never settled. A trend is a Mann-Kendall score beyond its
//! 99.9 % point together with a drift that matters: more than half of the median, first slice to last. Short runs on a shared
//! host meet a change of its load often enough that less of both is no finding about the endpoint.
//! A stall later in the run is no warm-up and is never cut: it is what the tail is there to show.
//!
//! LAB-2  A latency that keeps growing never settles; a level that jumps to and fro, as on a shared host, does.
//!
//! Sources: Mann 1945, doi:10.2307/1907187; Sen 1968, doi:10.1080/01621459.1968.10480934.

/// Fewest slices that a verdict can rest on.
const SLICES_MIN: usize = 6;
/// 99.9 % point of the standard normal, two-sided.
const SCORE_MAX: f64 = 3.291;
/// Drift over the whole run, as a share of the median, below which a trend does not matter.
const DRIFT_MAX: f64 = 0.5;

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
        return Err(format!("too few slices can be judged: {found} of {all} slices, expected at least {SLICES_MIN}"));
    }
    let half = judged.len() / 2;
    let Some(skipped) = (0..=half).find(|&first| is_like(judged[first].1, &judged[first + 1..])) else {
        return Err("the median latency was still unlike that of the rest when half of the run was over".into());
    };
    let rest = &judged[skipped..];
    let (score, drift) = (mann_kendall(rest), drift(rest)); // LAB-2
    if score.abs() < SCORE_MAX || drift.abs() < DRIFT_MAX {
        return Ok(rest[0].0 as usize);
    }
    Err(format!(
        "the median latency kept {}: by {:.0} % of itself over the run (Mann-Kendall score {score:.1})",
        if drift > 0.0 { "growing" } else { "falling" },
        drift.abs() * 100.0,
    ))
}

/// Whether `ns` lies within three median deviations of the rest, or within a quarter of their median.
fn is_like(ns: f64, rest: &[(f64, f64)]) -> bool {
    let log = |ns: f64| ns.max(1.0).ln();
    let center = median(rest.iter().map(|point| log(point.1)).collect());
    let spread = median(rest.iter().map(|point| (log(point.1) - center).abs()).collect());
    (log(ns) - center).abs() <= (3.0 * 1.4826 * spread).max(1.25_f64.ln())
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
        assert!((4..=6).contains(&cut), "{cut} slices of warm-up");
    }

    /// The tail of a stall must not vanish with the slices before it.
    #[test]
    fn a_stall_in_the_middle_is_no_warm_up() {
        check((0..20).map(|i| if (6..9).contains(&i) { 60_000_000 } else { 5000 + 100 * (i % 3) }), Ok(0));
    }

    #[test]
    fn slices_without_a_judgement_are_left_out_until_too_few_are_left() {
        let mut medians: Vec<Option<u64>> = (0..20).map(|i| Some(1000 + i % 3)).collect();
        medians[4] = None;
        assert_eq!(warm_up(&medians), Ok(0));
        medians[..15].fill(None);
        assert!(warm_up(&medians).is_err_and(|why| why.contains("5 of 20 slices")));
    }
}
