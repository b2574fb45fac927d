//! Nights: a row of run slots under common noise, from which a rule takes one run after another. RTT-GATE-1 is here.
//!
//! One run's p99 in us is 100 * (1 + delta if candidate) * exp(D + H + S) * spike: D of the night, H drifting from slot
//! to slot, S of the run alone, and a spike that comes and stays a while. Noise belongs to the night and the slot, never
//! to the arm, so every rule meets the same noise in a night of the same seed. Other nights come from a program: `served`.

use rtt_measure::Stop;
use rtt_units::SplitMix64;

/// Which build a slot runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NightArm {
    /// The build as it was.
    Base,
    /// The build that is slower by the night's delta.
    Candidate,
}

impl NightArm {
    /// Its name in the protocol.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            NightArm::Base => "base",
            NightArm::Candidate => "candidate",
        }
    }
}

/// Where nights come from.
pub(crate) trait Nights {
    /// Begins the night of `seed`, at its first slot; the candidate is slower by the ratio `delta`.
    ///
    /// # Errors
    /// A stop when the nights come from a program and it fails.
    fn begin(&mut self, seed: u64, delta: f64) -> Result<(), Stop>;

    /// The p99 of `arm` in the next slot, finite and above 0; `None` where the run is void.
    ///
    /// # Errors
    /// As [`Nights::begin`].
    fn run(&mut self, arm: NightArm) -> Result<Option<f64>, Stop>;
}

/// Name of the nights that are built in.
pub(crate) const RTT_GATE_1: &str = "RTT-GATE-1";

/// Correlation of the levels of consecutive nights, and their standard deviation.
const NIGHT: (f64, f64) = (0.7, 0.04);
/// The same for the slots of a night.
const SLOT: (f64, f64) = (0.9, 0.05);
/// Standard deviation of one run.
const RUN: f64 = 0.05;
/// Chances that a spike begins, and that it ends, from one slot to the next.
const SPIKE: (f64, f64) = (0.03, 0.35);
/// Size and tail index of a spike, and the factor that none exceeds.
const SPIKE_SIZE: (f64, f64, f64) = (0.3, 1.6, 8.0);
/// Nights back that still enter a level: 0.7^50 is below 2e-8.
const MEMORY: u64 = 50;
/// Tags that give each seed separate sequences of draws.
const LEVEL_DRAWS: u64 = 0x6C65_7665_6C00;
const SLOT_DRAWS: u64 = 0x736C_6F74_0000;

/// A sequence of draws for one purpose. Seeds are small and consecutive, so they are mixed first.
pub(crate) fn draws(seed: u64, tag: u64) -> SplitMix64 {
    SplitMix64::new(SplitMix64::new(seed ^ tag).next_u64())
}

/// RTT-GATE-1. Seeds count nights: the levels of consecutive seeds are those of consecutive nights.
#[derive(Debug)]
pub(crate) struct Synthetic {
    draw: SplitMix64,
    level: f64,
    slot: f64,
    spiking: bool,
    delta: f64,
}

impl Synthetic {
    /// Nights of which none has begun.
    pub(crate) fn new() -> Synthetic {
        Synthetic { draw: SplitMix64::new(0), level: 0.0, slot: 0.0, spiking: false, delta: 0.0 }
    }

    /// D, as the sum of what each night before it added: any night can be begun without those before.
    fn night_level(seed: u64) -> f64 {
        let (phi, deviation) = NIGHT;
        let added = |back: u64| draws(seed.wrapping_sub(back), LEVEL_DRAWS).normal();
        // From the oldest to this one, as a recursion would.
        let sum = (0..MEMORY).rev().fold(0.0, |sum, back| phi * sum + added(back));
        sum * deviation * (1.0 - phi * phi).sqrt()
    }
}

impl Nights for Synthetic {
    fn begin(&mut self, seed: u64, delta: f64) -> Result<(), Stop> {
        let mut draw = draws(seed, SLOT_DRAWS);
        let slot = SLOT.1 * draw.normal();
        let spiking = draw.unit() < SPIKE.0 / (SPIKE.0 + SPIKE.1);
        *self = Synthetic { draw, level: Synthetic::night_level(seed), slot, spiking, delta };
        Ok(())
    }

    fn run(&mut self, arm: NightArm) -> Result<Option<f64>, Stop> {
        let run = RUN * self.draw.normal();
        let (size, tail, most) = SPIKE_SIZE;
        // Drawn in every slot, so that each slot takes equally many draws.
        let factor = (1.0 + size * (1.0 - self.draw.unit()).powf(-1.0 / tail)).min(most);
        let spike = if self.spiking { factor } else { 1.0 };
        let slower = if arm == NightArm::Candidate { 1.0 + self.delta } else { 1.0 };
        let p99 = 100.0 * slower * (self.level + self.slot + run).exp() * spike;
        let (phi, deviation) = SLOT;
        self.slot = phi * self.slot + (1.0 - phi * phi).sqrt() * deviation * self.draw.normal();
        self.spiking = self.draw.unit() < if self.spiking { 1.0 - SPIKE.1 } else { SPIKE.0 };
        Ok(Some(p99))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deviation(values: &[f64]) -> f64 {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn consecutive_nights_have_levels_as_the_page_says() {
        let levels: Vec<f64> = (0..8000).map(Synthetic::night_level).collect();
        let spread = deviation(&levels);
        assert!((spread - 0.04).abs() < 0.003, "{spread}");
        // What is left of a level after 0.7 of the one before.
        let added: Vec<f64> = levels.windows(2).map(|pair| pair[1] - 0.7 * pair[0]).collect();
        let spread = deviation(&added);
        assert!((spread - 0.04 * 0.51_f64.sqrt()).abs() < 0.001, "{spread}");
    }

    #[test]
    fn slots_have_drift_and_spikes_as_the_page_says() {
        let mut nights = Synthetic::new();
        let (mut slots, mut spiking, mut count) = (vec![], 0, 0);
        for seed in 0..4000 {
            nights.begin(seed, 0.0).expect("it never fails");
            for _ in 0..6 {
                slots.push(nights.slot);
                spiking += u32::from(nights.spiking);
                count += 1;
                nights.run(NightArm::Base).expect("it never fails");
            }
        }
        let (spread, share) = (deviation(&slots), f64::from(spiking) / f64::from(count));
        assert!((spread - 0.05).abs() < 0.003, "{spread}");
        assert!((share - 0.079).abs() < 0.008, "{share}");
    }

    #[test]
    fn noise_belongs_to_the_slot_and_not_to_the_arm() {
        let runs = |arms: [NightArm; 3], delta: f64| {
            let mut nights = Synthetic::new();
            nights.begin(7, delta).expect("it never fails");
            arms.map(|arm| nights.run(arm).expect("it never fails").expect("never void"))
        };
        let (base, candidate) = (NightArm::Base, NightArm::Candidate);
        let (alike, slower) = (runs([base; 3], 0.2), runs([base, candidate, base], 0.2));
        let ratios = [0, 1, 2].map(|slot| slower[slot] / alike[slot]);
        assert!((ratios[1] - 1.2).abs() < 1e-12 && ratios[0] == 1.0 && ratios[2] == 1.0, "{ratios:?}");
    }
}
