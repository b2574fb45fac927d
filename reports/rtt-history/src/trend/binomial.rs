//! An exact interval of a share: how often something happens, of which some were seen in some tries.
//!
//! Source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404.

/// Left out at each end of a 95 % interval.
const TAIL: f64 = 0.025;
/// Halvings of the search: the ends are exact to more digits than are printed.
const HALVINGS: usize = 60;

/// The 95 % interval of the share behind `seen` of `tries`; all that is possible where there is no try.
pub fn exact_interval(seen: u64, tries: u64) -> [f64; 2] {
    assert!(seen <= tries, "{seen} of {tries}");
    let at_least = |share: f64| upper_tail(seen, tries, share);
    let at_most = |share: f64| 1.0 - upper_tail(seen + 1, tries, share);
    let low = if seen == 0 { 0.0 } else { search(|share| at_least(share) < TAIL) };
    let high = if seen == tries { 1.0 } else { search(|share| at_most(share) > TAIL) };
    [low, high]
}

/// The share up to which `below` holds.
fn search(below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// How likely at least `seen` of `tries` are when each is with `share`, which lies between 0 and 1.
fn upper_tail(seen: u64, tries: u64, share: f64) -> f64 {
    // Terms from the first on, in logarithms: for many tries they are below what a float holds.
    let (yes, no) = (share.ln(), (-share).ln_1p());
    let mut log_ways = (0..seen).map(|at| ((tries - at) as f64 / (at + 1) as f64).ln()).sum::<f64>();
    let mut sum = 0.0;
    for count in seen..=tries {
        sum += (log_ways + count as f64 * yes + (tries - count) as f64 * no).exp();
        log_ways += ((tries - count) as f64 / (count + 1) as f64).ln();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seen: u64, tries: u64, expected: [f64; 2]) {
        let found = exact_interval(seen, tries);
        let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6);
        assert!(near, "{seen} of {tries}: {found:?}, expected {expected:?}");
    }

    /// Closed forms at the ends, and the values of R's `binom.test`.
    #[test]
    fn intervals_are_those_of_clopper_and_pearson() {
        check(0, 0, [0.0, 1.0]);
        check(0, 20, [0.0, 1.0 - 0.025_f64.powf(1.0 / 20.0)]);
        check(20, 20, [0.025_f64.powf(1.0 / 20.0), 1.0]);
        check(1, 20, [0.001_265_1, 0.248_732_8]);
        check(5, 10, [0.187_086_0, 0.812_914_0]);
        check(0, 3_000, [0.0, 1.0 - 0.025_f64.powf(1.0 / 3_000.0)]);
    }

    /// At either end of the interval, what was seen is as unlikely as the tail says.
    #[test]
    fn many_tries_do_not_vanish() {
        let [low, high] = exact_interval(37, 5_000);
        assert!((upper_tail(37, 5_000, low) - TAIL).abs() < 1e-6, "{low}");
        assert!((1.0 - upper_tail(38, 5_000, high) - TAIL).abs() < 1e-6, "{high}");
    }
}
