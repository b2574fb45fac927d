//! The knobs of a message loop: the only things that `tune` turns.
//!
//! Every field is read by `rtt-endpoint` and read back by the lab. Field names carry the unit; they are also
//! the names of the axes of the search space, of the exported variables and of the command line's `--fix`.
//!
//! PROFILE-1  Knobs that are out of range, or not in the one form that their meaning has (a spin budget under
//!            `spin`), are refused with the field, the value and the range.

use rtt_units::Nanos;
use serde::{Deserialize, Serialize};

/// The names of the knobs, in the order of [`Knobs`]' fields.
pub const KNOB_NAMES: [&str; 7] = ["ring_bytes", "batch", "window_us", "wait", "spin_us", "pin", "huge_pages"];

/// What a side does while there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Busy polling, for ever: least latency, a whole CPU.
    Spin,
    /// Busy polling for the spin budget, then `sched_yield` between polls.
    Yield,
    /// Busy polling for the spin budget, then sleep on a futex until woken.
    Futex,
}

/// Where the two ends of a ring run, relative to each other. A class exists only on hosts whose topology has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// The scheduler decides.
    Unpinned,
    /// Both ends on one logical CPU.
    SameCpu,
    /// Two hardware threads of one core.
    SmtSibling,
    /// Two cores that share a last-level cache.
    SameL3,
    /// Two cores of one NUMA node that share no last-level cache.
    SameNuma,
    /// Two cores of different NUMA nodes.
    OtherNuma,
}

/// How one ring, its batching, its waiting and its placement are set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knobs {
    /// Capacity of a ring in bytes: a power of two in 16 KiB..=4 MiB.
    pub ring_bytes: u64,
    /// Messages handled before the space that they held is given back, and replies published at once: 1..=256.
    pub batch: u32,
    /// How long an endpoint that holds fewer than `batch` messages waits for more before it handles them: 0..=200.
    pub window_us: u32,
    /// What both ends do while they wait.
    pub wait: Wait,
    /// Busy polling before `wait` yields or sleeps, in microseconds: 0..=1000; 0 under `spin`, which knows no end.
    pub spin_us: u32,
    /// Placement of the two ends.
    pub pin: Pin,
    /// Whether the ring's data asks for huge pages.
    pub huge_pages: bool,
}

/// Why knobs are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KnobsError {
    /// A value is outside its range.
    #[error("knob {field} is {value}: expected {expected}")]
    Range {
        /// The knob.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
}

impl Knobs {
    /// Smallest capacity of a ring in bytes: the largest message of the shipped scenarios fits four times.
    pub const RING_BYTES_MIN: u64 = 16 << 10;
    /// Largest capacity of a ring in bytes: beyond it, no cache of a present machine holds a ring.
    pub const RING_BYTES_MAX: u64 = 4 << 20;
    /// Largest batch.
    pub const BATCH_MAX: u32 = 256;
    /// Longest batch window in microseconds.
    pub const WINDOW_US_MAX: u32 = 200;
    /// Largest spin budget in microseconds.
    pub const SPIN_US_MAX: u32 = 1000;

    /// What a careful engineer would ship untuned: spin for twice `wake_cost` (what it costs on this host to wake a
    /// sleeper on another CPU), then sleep; unpinned; no window.
    ///
    /// Source: Karlin et al. 1991, doi:10.1145/121132.286599: spinning for the cost of blocking is 2-competitive;
    /// the second share covers the spread of that cost, since a budget below it makes each side outlast the other.
    pub fn default_for(wake_cost: Nanos) -> Knobs {
        let spin_us = wake_cost.0.saturating_mul(2).div_ceil(1_000).clamp(1, u64::from(Knobs::SPIN_US_MAX)) as u32;
        Knobs {
            ring_bytes: 256 << 10,
            batch: 32,
            window_us: 0,
            wait: Wait::Futex,
            spin_us,
            pin: Pin::Unpinned,
            huge_pages: false,
        }
    }

    /// The value of the knob called `name` that means as much as its absence: a build that does not read the knob behaves
    /// as if it were that. `None` for a knob that every build must read.
    pub fn neutral(name: &str) -> Option<serde_json::Value> {
        match name {
            "window_us" | "spin_us" => Some(0.into()),
            "batch" => Some(1.into()),
            "pin" => Some("unpinned".into()),
            "huge_pages" => Some(false.into()),
            _ => None,
        }
    }

    /// PROFILE-1: refuses what no endpoint may be given.
    ///
    /// # Errors
    /// [`KnobsError::Range`] for the first field, in the order of the fields, that is out of range.
    pub fn check(&self) -> Result<(), KnobsError> {
        let range = |field, value: String, expected| Err(KnobsError::Range { field, value, expected });
        let ring = Knobs::RING_BYTES_MIN..=Knobs::RING_BYTES_MAX;
        if !self.ring_bytes.is_power_of_two() || !ring.contains(&self.ring_bytes) {
            return range("ring_bytes", self.ring_bytes.to_string(), "a power of two in 16384..=4194304");
        }
        if !(1..=Knobs::BATCH_MAX).contains(&self.batch) {
            return range("batch", self.batch.to_string(), "1..=256 messages");
        }
        if self.window_us > Knobs::WINDOW_US_MAX {
            return range("window_us", self.window_us.to_string(), "0..=200 microseconds");
        }
        if self.spin_us > Knobs::SPIN_US_MAX {
            return range("spin_us", self.spin_us.to_string(), "0..=1000 microseconds");
        }
        if self.wait == Wait::Spin && self.spin_us != 0 {
            return range("spin_us", self.spin_us.to_string(), "0 where wait is `spin`, which spins without end");
        }
        Ok(())
    }
}

/// A hand-written setting that `tune` measures beside the found one, to show what tuning is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Least latency, whatever it costs.
    Latency,
    /// Short waits, then a polite yield.
    Balanced,
    /// Least CPU.
    Frugal,
}

impl Preset {
    /// All presets.
    pub const ALL: [Preset; 3] = [Preset::Latency, Preset::Balanced, Preset::Frugal];

    /// The preset's name.
    pub const fn name(self) -> &'static str {
        match self {
            Preset::Latency => "latency",
            Preset::Balanced => "balanced",
            Preset::Frugal => "frugal",
        }
    }

    /// The preset on a host whose topology has the pin classes `pins`, nearest first.
    pub fn knobs(self, pins: &[Pin]) -> Knobs {
        let near = |wanted: &[Pin]| wanted.iter().copied().find(|pin| pins.contains(pin)).unwrap_or(Pin::Unpinned);
        let apart = near(&[Pin::SameL3, Pin::SameNuma, Pin::OtherNuma]);
        match self {
            Preset::Latency => Knobs {
                ring_bytes: 64 << 10,
                batch: 8,
                window_us: 0,
                wait: Wait::Spin,
                spin_us: 0,
                pin: apart,
                huge_pages: false,
            },
            Preset::Balanced => Knobs {
                ring_bytes: 256 << 10,
                batch: 32,
                window_us: 5,
                wait: Wait::Yield,
                spin_us: 50,
                pin: apart,
                huge_pages: false,
            },
            Preset::Frugal => Knobs {
                ring_bytes: 1 << 20,
                batch: 128,
                window_us: 100,
                wait: Wait::Futex,
                spin_us: 0,
                pin: near(&[Pin::SameCpu]),
                huge_pages: false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Knobs), refused: Option<&str>) {
        let mut knobs = Knobs::default_for(Nanos::from_micros(60));
        change(&mut knobs);
        let found = knobs.check().err().map(|KnobsError::Range { field, .. }| field);
        assert_eq!(found, refused, "{knobs:?}");
    }

    #[test]
    fn profile_1_knobs_outside_their_range_are_refused() {
        check(|_| {}, None);
        check(|k| k.ring_bytes = 16 << 10, None);
        check(|k| k.ring_bytes = 8 << 10, Some("ring_bytes"));
        check(|k| k.ring_bytes = 8 << 20, Some("ring_bytes"));
        check(|k| k.ring_bytes = 65_537, Some("ring_bytes"));
        check(|k| k.batch = 0, Some("batch"));
        check(|k| k.batch = 257, Some("batch"));
        check(|k| k.window_us = 201, Some("window_us"));
        check(|k| k.spin_us = 1001, Some("spin_us"));
        check(|k| k.wait = Wait::Spin, Some("spin_us"));
    }

    #[test]
    fn the_default_spins_for_twice_the_wake_cost_within_the_range() {
        assert_eq!(Knobs::default_for(Nanos::from_micros(60)).spin_us, 120);
        assert_eq!(Knobs::default_for(Nanos(0)).spin_us, 1);
        assert_eq!(Knobs::default_for(Nanos::from_millis(50)).spin_us, Knobs::SPIN_US_MAX);
    }

    #[test]
    fn presets_are_knobs_on_every_topology() {
        for preset in Preset::ALL {
            for pins in [&[][..], &[Pin::SameCpu], &[Pin::SameCpu, Pin::SameL3, Pin::OtherNuma]] {
                assert_eq!(preset.knobs(pins).check(), Ok(()), "{}", preset.name());
            }
        }
    }

    #[test]
    fn the_names_are_the_fields() {
        let knobs = serde_json::to_value(Knobs::default_for(Nanos(1))).expect("knobs are JSON");
        let mut fields: Vec<_> = knobs.as_object().expect("an object").keys().map(String::as_str).collect();
        let mut names = KNOB_NAMES.to_vec();
        fields.sort_unstable();
        names.sort_unstable();
        assert_eq!(fields, names);
    }
}
