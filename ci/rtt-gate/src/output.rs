//! The JSON forms that the gate writes beside the documents of `rtt-measure`: what a comparison is named after, and
//! `NNN.json`, what was asked when a log was begun.

use rtt_profile::Knobs;
use rtt_seal::Digest;
use serde::{Deserialize, Serialize};

/// What makes two gates the same question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Question {
    /// Base and candidate.
    pub arms: [ArmKey; 2],
    /// BLAKE3 of the scenario lock.
    pub scenarios: Digest,
    /// Id of the machine.
    pub machine: String,
    /// Error rate, as printed.
    pub alpha: String,
    /// Number of the canary; absent in a gate.
    pub canary: Option<u32>,
}

/// What makes two arms the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmKey {
    /// BLAKE3 of the executable.
    pub executable: Digest,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// BLAKE3 of the profile's payload.
    pub profile: Option<Digest>,
    /// Knobs that came without a profile; absent where they are the host's default.
    pub knobs: Option<Knobs>,
}

/// What was asked when a log was begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    /// Format: 1.
    pub version: u32,
    /// Seed of the coins, as a decimal string.
    pub seed: String,
    /// Knobs of base and candidate.
    pub knobs: [Knobs; 2],
}
