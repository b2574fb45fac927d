//! Latencies of one run, cut in slices of time: what a steady state is found in, and what is merged into the result.
//!
//! Recording allocates nothing and touches only memory that was touched before the run.

use hdrhistogram::Histogram;
use rtt_units::Nanos;

/// Slices of a run.
pub const SLICES: usize = 20;

/// Largest latency that is told apart: a minute. Anything longer counts as this.
const LONGEST_NS: u64 = 60_000_000_000;

/// Histograms of three significant digits, one for each slice of the run.
#[derive(Clone, Debug)]
pub struct SlicedHistogram {
    start: Nanos,
    slice: Nanos,
    slices: Vec<Histogram<u32>>,
}

impl SlicedHistogram {
    /// For a run that begins at `start` (`CLOCK_MONOTONIC`) and lasts `length`.
    pub fn new(start: Nanos, length: Nanos) -> SlicedHistogram {
        let fresh = || {
            let mut histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("the bounds are valid");
            // One record far up and a reset make the kernel give the pages now, not in the middle of the run.
            for magnitude in 0..36 {
                histogram.saturating_record(1 << magnitude);
            }
            histogram.reset();
            histogram
        };
        let slice = Nanos((length.0 / SLICES as u64).max(1));
        SlicedHistogram { start, slice, slices: (0..SLICES).map(|_| fresh()).collect() }
    }

    /// Counts one latency under the slice in which it was due; what was due after the end counts to the last slice.
    #[inline]
    pub fn record(&mut self, due: Nanos, latency: Nanos) {
        let index = (due.since(self.start).0 / self.slice.0) as usize;
        self.slices[index.min(SLICES - 1)].saturating_record(latency.0);
    }

    /// The slices in order, widened for merging.
    pub fn slices(&self) -> impl Iterator<Item = Histogram<u64>> + '_ {
        self.slices.iter().map(|slice| {
            let mut wide = Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("the bounds are valid");
            for value in slice.iter_recorded() {
                wide.saturating_record_n(value.value_iterated_to(), u64::from(value.count_at_value()));
            }
            wide
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_fall_into_the_slice_in_which_they_were_due() {
        let mut latencies = SlicedHistogram::new(Nanos(1000), Nanos(20_000));
        for (due, latency) in [(1000, 10), (1999, 20), (2000, 30), (20_999, 40), (50_000, 50), (0, 60)] {
            latencies.record(Nanos(due), Nanos(latency));
        }
        let counts: Vec<u64> = latencies.slices().map(|slice| slice.len()).collect();
        assert_eq!((counts[0], counts[1], counts[19]), (3, 1, 2));
        assert_eq!(counts.iter().sum::<u64>(), 6);
        assert_eq!(latencies.slices().nth(1).expect("a slice").max(), 30);
    }

    #[test]
    fn a_latency_beyond_the_range_is_kept_as_the_longest() {
        let mut latencies = SlicedHistogram::new(Nanos(0), Nanos(20));
        latencies.record(Nanos(0), Nanos(u64::MAX));
        assert!(latencies.slices().next().expect("a slice").max() >= LONGEST_NS);
    }
}
