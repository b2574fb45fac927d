//! Knobs, fingerprint and profile: what is tuned, for which machine, with which evidence.

mod acceptance;
mod calendar;
mod export;
mod fingerprint;
mod knobs;
mod profile;

pub use acceptance::{AcceptError, Acceptance, Differences, Policy, PolicyError};
pub use calendar::utc;
pub use export::{Row, diff, env_lines, knobs_json};
pub use fingerprint::{Cache, Conditions, Difference, Fingerprint, Machine, MachineId, MemoryNode};
pub use knobs::{KNOB_NAMES, Knobs, KnobsError, Pin, Preset, Wait};
pub use profile::{Condition, Evidence, Interval, Outcome, P99, Profile, ScenarioDigest, ScenarioRow, Verdict};
