//! What a run says by its slices, so that an interruption by the host costs a slice and not the run.
//!
//! A run is cut in equal slices of time, each with a 99th percentile of its own. The *typical p99* of a run is the
//! geometric mean of these, without the highest two fifths: what a hypervisor or a kernel thread does to some slices, it does
//! to these. What the knobs themselves do to a few slices would be left out with it, so the left-out ones are watched
//! apart: a *stall* is a slice far above what is typical of the slower of two arms, and arms are compared by their shares.
//!
//! SLICE-1  The typical p99 is a function of the multiset of slices: neither their order nor the arm enters, and up to a
//!          two fifths of them may take any value without moving it above the highest of the others.
//! SLICE-2  Arms that are exchanged exchange their stalls: the bar of a pair is the same for both.

/// Share of the slices, the highest, that the typical p99 leaves out.
const TRIM: f64 = 0.4;
/// A slice is a stall beyond so many times the slower arm's typical p99.
const STALL: f64 = 3.0;

/// Geometric mean of the slices' 99th percentiles without the highest two fifths; `None` without a slice. All are above 0.
pub fn typical_p99(slices_ns_p99: &[u64]) -> Option<f64> {
    let mut sorted = slices_ns_p99.to_vec();
    sorted.sort_unstable(); // SLICE-1: the order is gone.
    let kept = sorted.len() - (sorted.len() as f64 * TRIM) as usize;
    let logs = sorted[..kept].iter().map(|&ns| (ns.max(1) as f64).ln());
    (kept > 0).then(|| (logs.sum::<f64>() / kept as f64).exp())
}

/// Stalls of two arms and slices that were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalls {
    /// Slices beyond the bar, of each arm.
    pub stalled: [u32; 2],
    /// Slices, of each arm.
    pub slices: [u32; 2],
}

impl Stalls {
    /// Counts those of one pair of runs.
    pub fn of(arms: [&[u64]; 2]) -> Stalls {
        let slower = arms.iter().filter_map(|slices| typical_p99(slices)).fold(0.0, f64::max);
        let stalled = arms.map(|slices| slices.iter().filter(|&&ns| ns as f64 > STALL * slower).count() as u32); // SLICE-2
        Stalls { stalled, slices: arms.map(|slices| slices.len() as u32) }
    }

    /// Whether the second arm has the larger share of stalls, or the first; `None` where they are equal.
    pub fn second_has_more(&self) -> Option<bool> {
        let cross = |own: usize, other: usize| u64::from(self.stalled[own]) * u64::from(self.slices[other]);
        match cross(1, 0).cmp(&cross(0, 1)) {
            std::cmp::Ordering::Greater => Some(true),
            std::cmp::Ordering::Less => Some(false),
            std::cmp::Ordering::Equal => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// SLICE-1
    #[test]
    fn two_fifths_of_the_slices_may_be_anything() {
        let mut slices = [400_u64; 20];
        assert!((typical_p99(&slices).expect("slices") - 400.0).abs() < 1e-6);
        slices[3..11].fill(30_000_000);
        assert!((typical_p99(&slices).expect("slices") - 400.0).abs() < 1e-6);
        slices[11] = 30_000_000;
        assert!(typical_p99(&slices).expect("slices") > 600.0, "one more shows");
        assert_eq!(typical_p99(&[]), None);
        assert!((typical_p99(&[7]).expect("a slice") - 7.0).abs() < 1e-6);
    }

    #[test]
    fn the_slower_arm_sets_the_bar() {
        let check = |a: &[u64], b: &[u64], stalled, more| {
            let found = Stalls::of([a, b]);
            assert_eq!((found.stalled, found.second_has_more()), (stalled, more), "{a:?} {b:?}");
        };
        check(&[10, 10, 10, 10, 10], &[10, 10, 10, 10, 31], [0, 1], Some(true));
        check(&[10, 10, 10, 10, 31], &[10, 10, 10, 10, 10], [1, 0], Some(false));
        // What is ten times as fast and then no slower than the other ever is, stalls not.
        check(&[100, 100, 100, 100, 100], &[10, 10, 10, 10, 250], [0, 0], None);
        // A share, not a count: the host may have left some slices out.
        check(&[10, 10, 10, 10, 99], &[10, 10, 10, 10, 10, 10, 10, 10, 99, 99], [1, 2], None);
        check(&[], &[10], [0, 0], None);
    }

    proptest! {
        /// SLICE-1 and SLICE-2
        #[test]
        fn neither_order_nor_arm_enters(a in prop::collection::vec(1_u64..1 << 40, 1..30), seed: u64) {
            let mut turned = a.clone();
            turned.rotate_left(seed as usize % a.len());
            let typical = typical_p99(&a).expect("slices");
            prop_assert!((typical - typical_p99(&turned).expect("slices")).abs() <= typical * 1e-12);
            let one = Stalls::of([&a, &turned[..a.len().div_ceil(2)]]);
            let other = Stalls::of([&turned[..a.len().div_ceil(2)], &a]);
            prop_assert_eq!([one.stalled[0], one.stalled[1]], [other.stalled[1], other.stalled[0]]);
            let mut sorted = a.clone();
            sorted.sort_unstable();
            let mut spoilt = sorted.clone();
            let kept = sorted.len() - 2 * sorted.len() / 5;
            spoilt[kept..].fill(u64::MAX);
            prop_assert!((typical_p99(&spoilt).expect("slices") - typical).abs() <= typical * 1e-12);
        }
    }
}
