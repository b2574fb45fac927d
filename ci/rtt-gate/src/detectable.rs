//! What a comparison could have found: simulated pairs with the spread that was measured.
//!
//! The log ratios that were seen, each with its sign drawn anew, stand for the noise of arms that are alike; a slowdown
//! is added to each. Equal ratios and seed give equal answers.

use rtt_measure::{Decision, EProcess, EProcessConfig, PairOrder};
use rtt_units::SplitMix64;

/// Simulated comparisons for one slowdown.
const NIGHTS: u32 = 200;
/// Share of them that must find it.
const POWER: f64 = 0.9;
/// Largest slowdown that is looked for, as a log ratio: tenfold.
const LARGEST: f64 = std::f64::consts::LN_10;
/// Halvings of the interval in which the answer lies: to 0.2 %.
const STEPS: u32 = 10;
/// Fewer pairs tell no spread.
const PAIRS_MIN: usize = 6;

/// Shares of FAIL and PASS over simulated comparisons of at most `config.pairs_max` pairs whose log ratios are those of
/// `ratios` with fair signs, plus `shift`. `None` of too few ratios.
pub fn shares(ratios: &[f64], shift: f64, config: &EProcessConfig) -> Option<(f64, f64)> {
    if ratios.len() < PAIRS_MIN {
        return None;
    }
    let mut draw = SplitMix64::new(config.seed ^ 0x6465_7465);
    let (mut fail, mut pass) = (0, 0);
    for _ in 0..NIGHTS {
        let mut process = EProcess::new(EProcessConfig { seed: draw.next_u64(), ..*config });
        while let Some(order) = process.next() {
            let noise = ratios[draw.below(ratios.len() as u64) as usize];
            let noise = if order == PairOrder::AFirst { noise } else { -noise };
            process.observe(noise + shift);
        }
        match process.decision() {
            Decision::Fail => fail += 1,
            Decision::Pass => pass += 1,
            Decision::Undecided => {}
        }
    }
    let share = |count: u32| f64::from(count) / f64::from(NIGHTS);
    Some((share(fail), share(pass)))
}

/// The smallest slowdown, a ratio above 0, that nine in ten comparisons of at most `config.pairs_max` pairs would find;
/// `None` where the spread is not known or hides even a tenfold one.
pub fn detectable(ratios: &[f64], config: &EProcessConfig) -> Option<f64> {
    let centre = median(ratios)?;
    let centred: Vec<f64> = ratios.iter().map(|ratio| ratio - centre).collect();
    let found = |shift: f64| shares(&centred, shift, config).is_some_and(|(fail, _)| fail >= POWER);
    if !found(LARGEST) {
        return None;
    }
    let (mut low, mut high) = (0.0, LARGEST);
    for _ in 0..STEPS {
        let middle = 0.5 * (low + high);
        if found(middle) { high = middle } else { low = middle }
    }
    Some(high.exp_m1())
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        count if count % 2 == 1 => Some(sorted[middle]),
        _ => Some(0.5 * (sorted[middle - 1] + sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: EProcessConfig =
        EProcessConfig { alpha: 0.01, processes: 6, tolerance: 0.05, pairs_max: 60, seed: 3 };

    #[test]
    fn more_noise_hides_larger_slowdowns() {
        let noise = |size: f64| (0..40).map(|i| size * f64::from(i % 9 - 4) / 4.0).collect::<Vec<_>>();
        let [quiet, loud] = [0.02, 0.2].map(|size| detectable(&noise(size), &CONFIG).expect("a slowdown"));
        assert!(quiet > 0.0 && loud > 3.0 * quiet, "{quiet} {loud}");
        let (fail, pass) = shares(&noise(0.02), 0.0, &CONFIG).expect("shares");
        assert!(fail <= 0.03 && pass >= 0.9, "{fail} {pass}");
        assert_eq!(detectable(&[0.1; 3], &CONFIG), None, "too few");
    }
}
