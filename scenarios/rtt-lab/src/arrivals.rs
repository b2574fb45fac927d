//! When messages are due, and how large they are: a sequence that a seed repeats.
//!
//! LAB-1  Equal workload, rate and seed give equal arrivals, whatever the knobs: all arms face the same load.

use rtt_scenario::{Arrival, PayloadShare, Workload};
use rtt_units::{Nanos, Rate, SplitMix64};

/// One message that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Nanoseconds after the run's start.
    pub at: Nanos,
    /// The ring that it goes to.
    pub ring: u32,
    /// Bytes of the message, its head included.
    pub bytes: u32,
}

/// The arrivals of one run: every ring has its own sequence, merged by time.
#[derive(Clone, Debug)]
pub struct Arrivals {
    rings: Vec<RingArrivals>,
    sizes: Sizes,
}

#[derive(Clone, Debug)]
struct RingArrivals {
    arrival: Arrival,
    /// Mean gap outside bursts in nanoseconds; 0: as fast as the ring takes them.
    gap_ns: f64,
    next_ns: f64,
    draw: SplitMix64,
}

impl Arrivals {
    /// LAB-1: arrivals of `workload` at `rate` over all rings, drawn from `seed` alone; `None` sends as fast as the rings take it.
    pub fn new(workload: &Workload, rate: Option<Rate>, seed: u64) -> Arrivals {
        let rings = u64::from(workload.producers);
        let gap_ns = rate.map_or(0.0, |rate| rate.interval_ns() * rings as f64);
        let mut seeds = SplitMix64::new(seed);
        let sizes = Sizes::new(&workload.payload, seeds.next_u64());
        // A burst's rest is slower than the mean, so that the mean over a period is what was asked for.
        let stretch = match workload.arrival {
            Arrival::Burst { factor, share_permille, .. } => {
                1.0 + f64::from(factor - 1) * f64::from(share_permille) / 1e3
            }
            _ => 1.0,
        };
        let ring = |index: u64| RingArrivals {
            arrival: workload.arrival,
            gap_ns: gap_ns * stretch,
            // Rings are out of step with each other, as senders are.
            next_ns: gap_ns * index as f64 / rings as f64,
            draw: SplitMix64::new(seeds.next_u64()),
        };
        Arrivals { rings: (0..rings).map(ring).collect(), sizes }
    }

    /// Whether messages are due as fast as the rings take them: every one at once.
    pub fn flood(&self) -> bool {
        self.rings.iter().all(|ring| ring.gap_ns == 0.0)
    }

    /// The next message.
    #[inline]
    pub fn next_due(&mut self) -> Due {
        let mut first = 0;
        for ring in 1..self.rings.len() {
            if self.rings[ring].next_ns < self.rings[first].next_ns {
                first = ring;
            }
        }
        let at = Nanos(self.rings[first].next_ns as u64);
        self.rings[first].step();
        Due { at, ring: first as u32, bytes: self.sizes.next_size() }
    }
}

impl RingArrivals {
    #[inline]
    fn step(&mut self) {
        self.next_ns += match self.arrival {
            Arrival::ClosedLoop | Arrival::Fixed => self.gap_ns,
            Arrival::Poisson => self.gap_ns * self.draw.exponential(),
            Arrival::Burst { factor, share_permille, period_us } => {
                let period_ns = f64::from(period_us) * 1e3;
                let in_burst = self.next_ns % period_ns < period_ns * f64::from(share_permille) / 1e3;
                if in_burst { self.gap_ns / f64::from(factor) } else { self.gap_ns }
            }
        };
    }
}

/// Sizes drawn by weight.
#[derive(Clone, Debug)]
struct Sizes {
    /// Size and the sum of the weights up to it.
    shares: Vec<(u32, u64)>,
    draw: SplitMix64,
}

impl Sizes {
    fn new(payload: &[PayloadShare], seed: u64) -> Sizes {
        let mut sum = 0;
        let shares = payload.iter().map(|share| {
            sum += u64::from(share.weight);
            (share.bytes, sum)
        });
        Sizes { shares: shares.collect(), draw: SplitMix64::new(seed) }
    }

    #[inline]
    fn next_size(&mut self) -> u32 {
        match self.shares.as_slice() {
            [(bytes, _)] => *bytes,
            shares => {
                let drawn = self.draw.below(shares.last().map_or(0, |(_, sum)| *sum));
                shares.iter().find(|(_, sum)| drawn < *sum).map_or(0, |(bytes, _)| *bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtt_scenario::Offered;

    fn workload(arrival: Arrival, producers: u32) -> Workload {
        Workload {
            arrival,
            offered: Offered::RatePerS(100_000),
            producers,
            payload: vec![PayloadShare { bytes: 64, weight: 3 }, PayloadShare { bytes: 512, weight: 1 }],
            reply: false,
            duration_ms: 1000,
            samples_min: 1,
        }
    }

    fn first(arrival: Arrival, producers: u32, seed: u64, n: usize) -> Vec<Due> {
        let mut arrivals = Arrivals::new(&workload(arrival, producers), Some(Rate(100_000)), seed);
        (0..n).map(|_| arrivals.next_due()).collect()
    }

    /// LAB-1
    #[test]
    fn a_seed_repeats_its_arrivals_and_another_does_not() {
        assert_eq!(first(Arrival::Poisson, 2, 7, 500), first(Arrival::Poisson, 2, 7, 500));
        assert_ne!(first(Arrival::Poisson, 2, 7, 500), first(Arrival::Poisson, 2, 8, 500));
    }

    #[test]
    fn each_arrival_keeps_its_mean_rate_and_time_never_goes_back() {
        let burst = Arrival::Burst { factor: 10, share_permille: 100, period_us: 10_000 };
        for (arrival, producers, mean_per_s) in [(Arrival::Fixed, 1, 1e5), (Arrival::Poisson, 4, 1e5), (burst, 1, 1e5)]
        {
            let due = first(arrival, producers, 3, 40_000);
            assert!(due.is_sorted_by_key(|due| due.at), "{arrival:?}");
            let per_s = due.len() as f64 / due.last().expect("arrivals").at.as_secs_f64();
            assert!((per_s / mean_per_s - 1.0).abs() < 0.05, "{arrival:?}: {per_s} per second");
            for ring in 0..producers {
                assert!(due.iter().filter(|d| d.ring == ring).count() > 40_000 / producers as usize / 2);
            }
        }
    }

    #[test]
    fn sizes_follow_their_weights() {
        let large = first(Arrival::Fixed, 1, 3, 40_000).iter().filter(|due| due.bytes == 512).count();
        assert!((9_000..11_000).contains(&large), "{large} of 40000, expected a quarter");
    }
}
