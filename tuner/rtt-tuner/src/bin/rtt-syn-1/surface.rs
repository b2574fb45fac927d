//! The surface of RTT-SYN-1 and its noise. Every constant is part of the definition.

use rtt_units::SplitMix64;

/// Classes of the axis `wait`.
pub(crate) const WAITS: [&str; 3] = ["spin", "yield", "park"];
/// Classes of the axis `pin`.
pub(crate) const PINS: [&str; 4] = ["none", "smt", "llc", "numa"];

const LOAD: f64 = 0.5; // messages a microsecond
const PER_MESSAGE: f64 = 0.95; // microseconds of work, as all below
const PER_BATCH: [f64; 3] = [0.60, 0.85, 2.40];
const SLOWER: [f64; 4] = [1.10, 1.18, 1.00, 1.12];
const TRANSFER: [f64; 4] = [0.15, 0.03, 0.08, 0.22];
const WAKE: [f64; 3] = [0.4, 3.0, 18.0];
const WAKE_BY_PIN: [f64; 4] = [2.2, 1.0, 1.0, 1.15];
const PREEMPTED: [[f64; 4]; 3] = [[45.0, 18.0, 11.0, 12.0], [20.0, 9.0, 5.0, 7.0], [12.0, 6.0, 5.0, 6.0]];
const STALL: [f64; 3] = [40.0, 110.0, 260.0];
const STALL_BY_PIN: [f64; 4] = [2.5, 1.0, 1.0, 1.0];
const FOOTPRINT_BY_PIN: [f64; 4] = [1.0, 0.8, 1.0, 1.6];
const IDLE: [f64; 3] = [1.0, 0.55, 0.05];
const EXTRA: [f64; 3] = [0.35, 0.1, 0.0];

const MEMORY: f64 = 0.9; // of the host's state, from one run to the next
const STATE_SD: f64 = 0.05;
const RUN_SD: f64 = 0.04;
const SAMPLE_SD: f64 = 0.06;
const NOISE_BY_PIN: [f64; 4] = [2.0, 1.2, 1.0, 1.1];
const NOISE_BY_WAIT: [f64; 3] = [1.0, 1.1, 1.3];
const SPIKE_CHANCE: [f64; 4] = [0.16, 0.10, 0.07, 0.07];

/// One point of the surface: r = log2 of the ring's slots, w = window in microseconds, indices of the classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) r: f64,
    pub(crate) w: f64,
    pub(crate) wait: usize,
    pub(crate) pin: usize,
}

impl Place {
    fn batch(&self) -> f64 {
        (1.0 + LOAD * self.w).min(self.r.exp2() / 2.0)
    }

    fn service(&self) -> f64 {
        let shared = match (WAITS[self.wait], PINS[self.pin]) {
            ("spin", "smt") => 1.25, // Spinning takes from the sibling.
            ("yield", "smt") => 1.06,
            _ => 1.0,
        };
        SLOWER[self.pin] * shared * (PER_MESSAGE + PER_BATCH[self.wait] / self.batch()) + TRANSFER[self.pin]
    }

    /// Slots that ride out a stall.
    fn need(&self) -> f64 {
        24.0 + LOAD * (self.w + STALL[self.wait] * STALL_BY_PIN[self.pin])
    }

    /// p99 without noise, in microseconds.
    pub(crate) fn p99_us(&self) -> f64 {
        let service = self.service();
        let load = LOAD * service;
        let (over, load) = (400.0 * (load - 0.95).max(0.0), load.min(0.95));
        let queue = service * self.batch().powf(0.25) * load / (1.0 - load) * 100.0_f64.ln();
        let ring = 14.0 * (self.need().log2() - self.r + 1.0).max(0.0).powf(1.5);
        let footprint = 1.1 * (self.r - 9.0).max(0.0).powf(1.5) * FOOTPRINT_BY_PIN[self.pin];
        let wake = WAKE[self.wait] * WAKE_BY_PIN[self.pin];
        4.0 + queue + over + wake + PREEMPTED[self.wait][self.pin] + 0.9 * self.w + ring + footprint
    }

    /// Messages lost of a million.
    pub(crate) fn loss_ppm(&self) -> f64 {
        10.0_f64.powf(3.0 * (self.need().log2() - self.r) + 1.5)
    }

    /// CPUs used.
    pub(crate) fn cpu(&self) -> f64 {
        let load = (LOAD * self.service()).min(1.0);
        load + IDLE[self.wait] * (1.0 - load) + EXTRA[self.wait]
    }

    /// Whether both constraints of the constrained variant hold.
    pub(crate) fn feasible(&self) -> bool {
        self.loss_ppm() <= 1.0 && self.cpu() <= 0.92
    }

    /// All 31,356 points.
    pub(crate) fn all() -> impl Iterator<Item = Place> {
        (0..WAITS.len() * PINS.len()).flat_map(|class| {
            (4..=16).flat_map(move |r| {
                (0..=200).map(move |w| Place {
                    r: r.into(),
                    w: w.into(),
                    wait: class / PINS.len(),
                    pin: class % PINS.len(),
                })
            })
        })
    }

    /// The best point.
    pub(crate) fn optimum(constrained: bool) -> Place {
        let allowed = Place::all().filter(|place| !constrained || place.feasible());
        allowed.min_by(|a, b| a.p99_us().total_cmp(&b.p99_us())).expect("some points are feasible")
    }
}

/// The noise of one tuning run.
#[derive(Clone, Debug)]
pub(crate) struct Noise {
    draw: SplitMix64,
    state: f64,
}

impl Noise {
    pub(crate) fn new(seed: u64) -> Noise {
        let mut draw = SplitMix64::new(seed.wrapping_mul(1_000_003).wrapping_add(17));
        let state = STATE_SD * draw.normal();
        Noise { draw, state }
    }

    /// What the next run of `share` of a full run observes at `place`, in microseconds.
    pub(crate) fn measure(&mut self, place: &Place, share: f64) -> f64 {
        self.state = MEMORY * self.state + (1.0 - MEMORY * MEMORY).sqrt() * STATE_SD * self.draw.normal();
        let sd = (RUN_SD * RUN_SD + SAMPLE_SD * SAMPLE_SD / share).sqrt();
        let own = sd * NOISE_BY_PIN[place.pin] * NOISE_BY_WAIT[place.wait] * self.draw.normal();
        let (hit, size) = (self.draw.unit(), self.draw.unit());
        let spiked = hit < 1.0 - (1.0 - SPIKE_CHANCE[place.pin]).powf(share);
        let spike = if spiked { (1.0 + 0.30 * (1.0 - size).powf(-1.0 / 1.6)).min(8.0) } else { 1.0 };
        place.p99_us() * (self.state + own).exp() * spike
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(r: f64, w: f64, wait: &str, pin: &str) -> Place {
        let index = |names: &[&str], name| names.iter().position(|&n| n == name).expect("a class");
        Place { r, w, wait: index(&WAITS, wait), pin: index(&PINS, pin) }
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 5e-9 * expected.max(1.0), "{found}, expected {expected}");
    }

    /// The check values of the benchmark's page.
    #[test]
    fn the_truth_has_the_published_values() {
        near(place(5.0, 120.0, "park", "none").p99_us(), 331.775_683_314);
        let best = Place::optimum(false);
        assert_eq!(best, place(8.0, 5.0, "yield", "llc"));
        near(best.p99_us(), 30.534_672_447);
        let bound = Place::optimum(true);
        assert_eq!(bound, place(8.0, 8.0, "yield", "llc"));
        near(bound.p99_us(), 31.595_404_125);
        near((place(7.0, 3.0, "spin", "llc").p99_us() * 100.0).round() / 100.0, 30.89);
    }

    #[test]
    fn the_noise_has_the_published_values() {
        let mut noise = Noise::new(3);
        near(noise.measure(&place(8.0, 5.0, "yield", "llc"), 1.0), 36.059_377_314);
        near(noise.measure(&place(7.0, 3.0, "spin", "llc"), 1.0), 31.379_002_647);
    }

    #[test]
    fn as_many_points_are_near_the_best_as_published() {
        let all: Vec<f64> = Place::all().map(|place| place.p99_us()).collect();
        assert_eq!(all.len(), 31_356);
        let best = Place::optimum(false).p99_us();
        let within = |ratio: f64| all.iter().filter(|&&p99| p99 <= ratio * best).count();
        assert_eq!([1.01, 1.03, 1.05, 1.10, 1.20].map(within), [6, 17, 32, 50, 112]);
    }
}
