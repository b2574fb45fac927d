//! Regimes in readings drawn around known levels, and in whatever else may be read.

use super::*;
use proptest::prelude::*;

/// A generator with a printed seed; Marsaglia's xorshift.
struct Draw(u64);

impl Draw {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Sum of twelve uniform draws: normal enough for noise.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// Readings around `level_ns` with a relative spread.
    fn around(&mut self, level_ns: f64, spread: f64, count: usize) -> Vec<u64> {
        (0..count).map(|_| (level_ns * (spread * self.normal()).exp()).round() as u64).collect()
    }
}

fn centers(readings: &[u64]) -> Vec<u64> {
    clusters(readings).levels().iter().map(|level| level.center_ns).collect()
}

fn near(found: &[u64], expected: &[u64]) -> bool {
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, level)| found.abs_diff(*level) * 10 <= *level)
}

#[test]
fn levels_of_both_known_makes_are_found() {
    for seed in 1..=100 {
        let mut draw = Draw(seed * 0x9E37_79B9);
        let mut first = draw.around(48.0, 0.03, 9);
        first.extend(draw.around(240.0, 0.08, 91));
        assert!(near(&centers(&first), &[48, 240]), "seed {seed}: {:?}", clusters(&first));
        let mut second = draw.around(80.0, 0.02, 30);
        second.extend(draw.around(135.0, 0.03, 60));
        second.extend(draw.around(400.0, 0.06, 20));
        assert!(near(&centers(&second), &[80, 135, 400]), "seed {seed}: {:?}", clusters(&second));
    }
}

#[test]
fn one_level_is_one_regime_however_wide() {
    let mut more = 0;
    for seed in 1..=50 {
        let mut draw = Draw(seed * 0x9E37_79B9);
        for spread in [0.0, 0.01, 0.1] {
            more += usize::from(centers(&draw.around(140.0, spread, 200)).len() > 1);
        }
    }
    assert_eq!(more, 0, "of 150 sets around one level some were split");
}

#[test]
fn few_readings_are_not_overread() {
    for (readings, count) in [
        (&[][..], 1),
        (&[48], 1),
        (&[48, 240], 1),
        (&[140, 141, 139, 140, 142, 140, 2000], 1),
        (&[48, 48, 49, 240, 241, 243], 2),
        (&[7, 7, 7, 7], 1),
        (&[0, 0, 0], 1),
        (&[u64::MAX, u64::MAX, 1, 1], 2),
    ] {
        assert_eq!(clusters(readings).levels().len(), count, "{readings:?}: {:?}", clusters(readings));
    }
}

#[test]
fn a_trial_between_two_regimes_is_mixed() {
    let mut draw = Draw(7);
    let readings: Vec<u64> = draw.around(48.0, 0.03, 40).into_iter().chain(draw.around(240.0, 0.05, 40)).collect();
    let regimes = clusters(&readings);
    assert!(regimes.of(48) != regimes.of(240) && regimes.of(250) != regimes.of(47));
    assert!(regimes.of(46) == regimes.of(50) && regimes.of(230) == regimes.of(260));
    assert_eq!((regimes.of(0), regimes.of(u64::MAX)), (0, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// REGIME-1, for whatever was read: ordered, gapless, complete, and blind to the order of the readings.
    #[test]
    fn regime_1_regimes_are_ordered_and_hold_every_reading(
        mut readings in prop::collection::vec(prop_oneof![any::<u64>(), 1_u64..1000, 40_u64..60], 0..80),
    ) {
        let regimes = clusters(&readings);
        let levels = regimes.levels();
        prop_assert!(!levels.is_empty() && levels.len() <= REGIMES_MAX);
        prop_assert_eq!(levels.last().map(|level| level.upper_ns), Some(u64::MAX));
        prop_assert!(levels.windows(2).all(|pair| pair[0].upper_ns < pair[1].upper_ns));
        prop_assert!(levels.windows(2).all(|pair| pair[0].center_ns <= pair[1].center_ns), "{:?}", levels);
        let total: f64 = levels.iter().map(|level| level.share).sum();
        prop_assert!((total - 1.0).abs() < 1e-9, "{:?}", levels);
        readings.sort_unstable();
        prop_assert!(readings.windows(2).all(|pair| regimes.of(pair[0]) <= regimes.of(pair[1])));
        for (index, level) in levels.iter().enumerate() {
            prop_assert_eq!(regimes.of(level.upper_ns), index);
            prop_assert!(level.upper_ns == u64::MAX || regimes.of(level.upper_ns + 1) == index + 1);
        }
        let every: Vec<usize> = (0..1200).map(|ns| regimes.of(ns)).collect();
        prop_assert!(every.is_sorted(), "{:?}", levels);
        readings.reverse();
        prop_assert_eq!(clusters(&readings), regimes);
    }

    /// Two levels that are well apart are told apart, wherever they lie: nothing depends on nanoseconds.
    #[test]
    fn levels_are_found_at_any_scale(
        seed in 1_u64..u64::MAX,
        fast in 30.0_f64..3000.0,
        ratio in 1.6_f64..8.0,
        counts in (8_usize..60, 8_usize..60),
    ) {
        let mut draw = Draw(seed);
        let mut readings = draw.around(fast, 0.02, counts.0);
        readings.extend(draw.around(fast * ratio, 0.02, counts.1));
        let regimes = clusters(&readings);
        prop_assert!(regimes.of(fast as u64) != regimes.of((fast * ratio) as u64), "{:?}", regimes);
        let wrong = readings[..counts.0].iter().filter(|ns| regimes.of(**ns) != regimes.of(fast as u64)).count();
        prop_assert!(regimes.levels().len() > 2 || wrong == 0, "{:?}", regimes);
    }
}

/// REGIME-2: a pair that is slow for good is not a fast pair in a slow regime, and a trial over a switch is mixed.
#[test]
fn regime_2_each_pair_of_cpus_has_regimes_of_its_own() {
    let mut draw = Draw(7);
    let mut probes = Vec::new();
    for (cpus, level) in [([0, 1], 48.0), ([0, 1], 240.0), ([0, 2], 430.0)] {
        for two in draw.around(level, 0.02, 40).chunks(2) {
            probes.push(RegimeProbe { cpus, before_ns: two[0], after_ns: two[1] });
        }
    }
    let switched = RegimeProbe { cpus: [0, 1], before_ns: 48, after_ns: 240 };
    probes.push(switched);
    let regimes = PairRegimes::find(probes.iter().copied());
    let levels: Vec<_> = regimes.iter().map(|(cpus, regimes)| (cpus, regimes.levels().len())).collect();
    assert_eq!(levels, [([0, 1], 2), ([0, 2], 1)]);
    assert_eq!(regimes.of(&switched), Regime::Mixed);
    assert_eq!(regimes.of(&switched).to_string(), "mixed");
    for (probe, level) in [(probes[0], 48_u64), (probes[20], 240), (probes[40], 430)] {
        let Regime::Level(center) = regimes.of(&probe) else { panic!("{probe:?} is mixed") };
        assert!(center.abs_diff(level) * 10 <= level, "{center}");
    }
    let strange = RegimeProbe { cpus: [0, 1], before_ns: 430, after_ns: 430 };
    assert_eq!(regimes.of(&strange), regimes.of(&probes[20]), "another pair's level is none of this one's");
}
