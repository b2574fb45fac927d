//! Rank tests, as the number of standard deviations by which the ranks lie above what alike samples give.
//!
//! Both use the normal approximation with half a rank of continuity and the correction for ties; samples of 20 and 40
//! are what they are used on. Source: Hollander, Wolfe, Chicken 2014, chapters 3 and 4.

/// Ranks from 1; equal values share the mean of theirs. Beside them the sum of t^3 - t over groups of t equal values.
fn ranks(values: &[f64]) -> (Vec<f64>, f64) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let (mut ranks, mut ties, mut below) = (vec![0.0; values.len()], 0.0, 0.0);
    for group in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let size = group.len() as f64;
        group.iter().for_each(|&index| ranks[index] = below + 0.5 * (size + 1.0));
        ties += size.powi(3) - size;
        below += size;
    }
    (ranks, ties)
}

/// How far `sum` lies above its mean, less half a rank; 0 where nothing varies.
fn deviations(sum: f64, mean: f64, variance: f64) -> f64 {
    if variance > 0.0 { (sum - mean - 0.5) / variance.sqrt() } else { 0.0 }
}

/// Mann-Whitney: large where `candidate` is larger than `base`.
pub(crate) fn mann_whitney(base: &[f64], candidate: &[f64]) -> f64 {
    let (ranks, ties) = ranks(&[base, candidate].concat());
    let (m, n) = (base.len() as f64, candidate.len() as f64);
    let all = m + n;
    let above = ranks[base.len()..].iter().sum::<f64>() - 0.5 * n * (n + 1.0);
    deviations(above, 0.5 * m * n, m * n / 12.0 * (all + 1.0 - ties / (all * (all - 1.0))))
}

/// Wilcoxon's signed rank: large where the differences lie above 0. Those that are 0 say nothing.
pub(crate) fn signed_rank(differences: &[f64]) -> f64 {
    let told: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    let (ranks, ties) = ranks(&told.iter().map(|difference| difference.abs()).collect::<Vec<_>>());
    let above = told.iter().zip(&ranks).filter(|(difference, _)| **difference > 0.0).map(|(_, rank)| rank).sum::<f64>();
    let n = told.len() as f64;
    deviations(above, 0.25 * n * (n + 1.0), n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
    }

    /// U = 9 of 9; then ranks 1 3 3 | 3 5 6, so U = 8 and three equal values take 24 / 30 from the 7.
    #[test]
    fn mann_whitney_by_hand() {
        check(mann_whitney(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 4.0 / 5.25_f64.sqrt());
        check(mann_whitney(&[2.0, 1.0, 2.0], &[4.0, 2.0, 3.0]), 3.0 / 4.65_f64.sqrt());
        check(mann_whitney(&[5.0, 5.0], &[5.0, 5.0]), 0.0);
        check(mann_whitney(&[], &[1.0]), 0.0);
    }

    /// W = 1 + 3 + 4 + 6 of 21; then ranks 2 2 2 4, so W = 8 and three equal sizes take 24 / 48 from 7.5.
    #[test]
    fn signed_rank_by_hand() {
        check(signed_rank(&[1.0, -2.0, 3.0, 4.0, -5.0, 6.0, 0.0]), 3.0 / 22.75_f64.sqrt());
        check(signed_rank(&[1.0, 1.0, -1.0, 2.0]), 2.5 / 7.0_f64.sqrt());
        check(signed_rank(&[0.0, 0.0]), 0.0);
        check(signed_rank(&[]), 0.0);
    }
}
