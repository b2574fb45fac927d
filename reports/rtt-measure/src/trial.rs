//! The records of a trial log: the run's header, the capacity that was measured once, and every trial.

use crate::{AbsentValue, Arm, EndpointRef, Named, Quantiles, ScenarioRef, Verdict};
use rtt_profile::{Fingerprint, Knobs};
use rtt_seal::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One record of a trial log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// First record: what all trials share.
    Run(Box<RunRecord>),
    /// Capacity with the default knobs, measured when a scenario first needed it.
    Capacity(CapacityRecord),
    /// One run.
    Trial(Box<TrialRecord>),
}

/// What all trials of a log share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// Format of the log: 1.
    pub version: u32,
    /// Name of the run: the log's folder.
    pub run: String,
    /// When it began, seconds since 1970.
    pub created_unix_s: u64,
    /// The host.
    pub fingerprint: Fingerprint,
    /// The topology as an indented text, machine at the top.
    pub topology: String,
    /// Round trips of one cache line between CPU pairs.
    pub latency_matrix: Vec<PairLatency>,
    /// What the host can do at best, its first two CPUs where it takes two.
    pub limits: Limits,
    /// Where each pin class puts producer and consumer, as lists of CPUs.
    pub placements: BTreeMap<String, [String; 2]>,
    /// The untuned knobs of this host.
    pub default: Knobs,
    /// What the host cannot honour.
    pub absent: Vec<AbsentValue>,
    /// Scenarios by name and digest.
    pub scenarios: Vec<ScenarioRef>,
    /// Fault plans by name and digest.
    pub faults: Vec<Named>,
    /// Endpoints by arm.
    pub endpoints: BTreeMap<String, EndpointRef>,
    /// Governor, THP, clock source, quota and the like: name and value.
    pub environment: Vec<(String, String)>,
    /// Version of the lab.
    pub tool: String,
}

/// Round trip of one cache line between two CPUs: the figures, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairLatency {
    /// One CPU.
    pub a: u32,
    /// The other CPU.
    pub b: u32,
    /// The pin class of the pair, as `same_l3`.
    pub pin: String,
    /// Median in nanoseconds.
    pub round_trip_ns_p50: Option<u64>,
    /// 99th percentile in nanoseconds.
    pub round_trip_ns_p99: Option<u64>,
    /// Why the figures are absent.
    pub absent: Option<String>,
}

/// Physical limits measured in the same run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// One cache line there and back, median in nanoseconds; absent on a host with one CPU.
    pub line_round_trip_ns_p50: Option<u64>,
    /// The same, 99th percentile.
    pub line_round_trip_ns_p99: Option<u64>,
    /// Waking a sleeper on the other CPU, median in nanoseconds.
    pub wake_ns_p50: u64,
    /// Reading the clock once, in nanoseconds.
    pub clock_read_ns: u64,
    /// Copying within the second-level cache, bytes in a second.
    pub memcpy_bytes_per_s: u64,
}

/// Capacity of a scenario with the default knobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapacityRecord {
    /// The scenario whose payloads and producers were used.
    pub scenario: String,
    /// Messages handled in a second.
    pub per_s: u64,
    /// The knobs: the default's.
    pub knobs: Knobs,
}

/// One-line round trips around a trial, in nanoseconds, between the CPUs of producer and consumer, or between the first
/// two CPUs where these are not one CPU each or the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegimeProbe {
    /// The pair of CPUs.
    pub cpus: [u32; 2],
    /// Before the run.
    pub before_ns: u64,
    /// After the run.
    pub after_ns: u64,
}

/// What the rest of the machine did during a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interference {
    /// Time stolen by the hypervisor, all CPUs, in microseconds.
    pub steal_us: u64,
    /// Pressure-stall time of CPU (`some`), in microseconds; absent without PSI.
    pub psi_cpu_us: Option<u64>,
    /// Pressure-stall time of memory (`some`), in microseconds.
    pub psi_memory_us: Option<u64>,
    /// Pressure-stall time of I/O (`some`), in microseconds.
    pub psi_io_us: Option<u64>,
}

/// One counter of the endpoint over a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CounterReading {
    /// Its name, as `context_switches`.
    pub name: String,
    /// Its count; absent where the machine has none.
    pub value: Option<u64>,
    /// Why it is absent, as `absent (ENOENT)`.
    pub absent: Option<String>,
    /// What the count is worth, where it is not the whole count of a performance counter: `user mode only`.
    pub note: Option<String>,
}

/// One fault, and what shows that it struck.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrikeProof {
    /// The kind of fault.
    pub fault: String,
    /// Planned start, nanoseconds after the run's first message.
    pub at_ns: u64,
    /// Planned length in nanoseconds.
    pub duration_ns: u64,
    /// Real start, nanoseconds after the run's first message; absent where it did not strike.
    pub struck_at_ns: Option<u64>,
    /// Real end, nanoseconds after the run's first message.
    pub ended_at_ns: Option<u64>,
    /// What was observed, in words with figures.
    pub proof: String,
}

/// What the faults of a run came to, beyond the calm level of the same run: the slices that no fault touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disruption {
    /// Typical p99 of the slices without a fault, in nanoseconds.
    pub calm_ns_p99: u64,
    /// Latency beyond which a message is over the budget: twice the calm level, and one wake-up above it at least.
    pub budget_ns: u64,
    /// Messages over the budget, in the slices with a fault and the one after each.
    pub over_budget: u64,
    /// How long messages were over the budget, in nanoseconds, without the time in which a fault kept the endpoint
    /// stopped: what is left is what the knobs can change. One message's time at least.
    pub recovery_ns: u64,
    /// Mean latency above the calm level of the messages in these slices, in nanoseconds.
    pub excess_ns_mean: u64,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialRecord {
    /// Unique in the log.
    pub id: String,
    /// Whose run it is.
    pub arm: Arm,
    /// Number of the pair in a confirmation.
    pub pair: Option<u32>,
    /// Place in the pair.
    pub slot: Option<u32>,
    /// What was run.
    pub scenario: Named,
    /// Seed of arrivals, payloads and faults, as a decimal string: it may exceed 2^53.
    pub seed: String,
    /// The fault plan, or null for calm.
    pub faults: Option<Digest>,
    /// Share of a full run.
    pub share: f64,
    /// The knobs that were asked for.
    pub knobs: Knobs,
    /// The knobs as the endpoint read them back; absent where it did not come so far.
    pub readback: Option<Knobs>,
    /// CPUs of the producer and the consumer as read back from the kernel, as lists.
    pub cpus: Option<[String; 2]>,
    /// Bytes of a page of the ring's data.
    pub page_bytes: Option<u64>,
    /// How it ended.
    pub verdict: Verdict,
    /// Why it is no result.
    pub reason: Option<String>,
    /// Latencies from the intended send time, the generator's own lag taken out, after warm-up.
    pub quantiles: Option<Quantiles>,
    /// 99th percentile with that lag in it, nanoseconds; absent in a closed loop. Where the two are too far apart the
    /// run is void.
    pub with_lag_p99_ns: Option<u64>,
    /// Whole histogram of the latencies in `quantiles`: HdrHistogram V2-deflate, base64.
    pub histogram: Option<String>,
    /// Median of each twentieth of the run in nanoseconds, the generator's own lag taken out, 0 where it has no sample: what the steady state was found in.
    pub slices_ns_p50: Vec<u64>,
    /// 99th percentile of each slice in nanoseconds (twentieths of the run, or as many of them together as have samples enough), the generator's own lag taken out, 0 where it has no sample.
    #[serde(default)]
    pub slices_ns_p99: Vec<u64>,
    /// The slices that `typical_ns_p99` is drawn from, counted from 0: neither warm-up, nor with a fault, nor such in which
    /// the host held the generator up.
    #[serde(default)]
    pub slices_kept: Vec<u32>,
    /// Slices that were left out because the host held the generator up.
    #[serde(default)]
    pub slices_held_up: u32,
    /// What decides: the geometric mean of the kept slices' 99th percentiles without the highest two fifths, in nanoseconds.
    #[serde(default)]
    pub typical_ns_p99: Option<u64>,
    /// What the faults came to; absent for calm.
    #[serde(default)]
    pub disruption: Option<Disruption>,
    /// How many slices at the start were warm-up.
    pub warm_up_slices: u32,
    /// Messages per second that the scenario asked for; absent in a closed loop.
    pub offered_per_s: Option<u64>,
    /// Messages per second that were handled.
    pub achieved_per_s: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages handled.
    pub handled: u64,
    /// Times that a full ring made the generator wait.
    pub blocked: u64,
    /// Most bytes that stood in a ring.
    pub depth_bytes_max: u64,
    /// CPU time of the endpoint in thousandths of a CPU.
    pub cpu_millicores: u64,
    /// Memory of rings and endpoint in bytes.
    pub memory_bytes: u64,
    /// The endpoint's own counts: batches, sleeps, yields, wakes.
    pub loop_counts: BTreeMap<String, u64>,
    /// Performance counters of the endpoint.
    pub counters: Vec<CounterReading>,
    /// The rest of the machine.
    pub interference: Interference,
    /// Probes around the run.
    pub regime: Option<RegimeProbe>,
    /// Why there are none: one CPU, or another thread kept it.
    pub regime_absent: Option<String>,
    /// Faults and their proofs.
    pub strikes: Vec<StrikeProof>,
    /// Measuring time spent before this trial, whole log, milliseconds.
    pub spent_ms: u64,
    /// What this trial cost, with set-up, milliseconds.
    pub elapsed_ms: u64,
}
