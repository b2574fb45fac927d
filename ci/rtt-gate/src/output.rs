//! The JSON forms that the gate writes beside the documents of `rtt-measure`: what a comparison is named after, and
//! `NNN.json`, what was asked when a log was begun.

use crate::arguments::JudgeArguments;
use crate::judge::Docket;
use rtt_measure::Interval;
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
    /// What is compared: another statistic is another question.
    pub statistic: &'static str,
    /// Which canary it is; absent in a gate.
    pub canary: Option<CanaryKey>,
}

/// What makes two canaries the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CanaryKey {
    /// Its number.
    pub number: u32,
    /// Its scenario.
    pub scenario: String,
    /// Share of the scenario's length.
    pub share: String,
    /// CPUs that it was kept on.
    pub cpus: Option<String>,
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

/// What a calibration is kept for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CalibrationKey {
    /// BLAKE3 of the executable.
    pub executable: Digest,
    /// BLAKE3 of the profile's payload.
    pub profile: Option<Digest>,
    /// Id of the machine.
    pub machine: String,
    /// What is run.
    pub run: CanaryKey,
    /// The ratio that was wanted.
    pub ratio: String,
}

/// A calibration: `calibration-<key>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// Format: 1.
    pub version: u32,
    /// How much later every message is handled.
    pub delay_ns: u64,
    /// p99 with it over p99 without, with its 95 % interval.
    pub ratio: Interval,
    /// Unjudged pairs behind it.
    pub pairs: u32,
    /// Messages a second that were handled under it.
    pub messages_per_s: f64,
}

impl CanaryKey {
    /// Canary `number` of what is to be judged.
    pub fn of(docket: &Docket, options: &JudgeArguments, number: u32) -> CanaryKey {
        CanaryKey {
            number,
            scenario: docket.subjects[0].scenario.name.clone(),
            share: options.share.to_string(),
            cpus: options.cpus.clone(),
        }
    }
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
