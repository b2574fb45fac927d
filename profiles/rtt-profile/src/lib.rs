//! Knobs, fingerprint and profile: what is tuned, for which machine, with which evidence.

mod fingerprint;
mod knobs;

pub use fingerprint::{Cache, Conditions, Difference, Fingerprint, Machine, MachineId, MemoryNode};
pub use knobs::{KNOB_NAMES, Knobs, KnobsError, Pin, Preset, Wait};
