//! The problem protocol: how a tuner talks to what it tunes, as JSON lines over the program's stdin and stdout.
//!
//! The problem speaks first: one [`Hello`]. Then each [`Request`] line is answered by one line: `{"ok":true}` to a
//! start, an [`Answer`] to a measure, `{"p99":..,"feasible":..}` to a truth, `{"error":".."}` to what is malformed,
//! which changes nothing. A program that knows only the base protocol (no `protocol` field) works too: every field
//! of the extension is optional.

use crate::{Disruption, Point, RegimeProbe, Value};
use rtt_profile::{Fingerprint, Knobs};
use rtt_seal::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the extension for programs that measure a real host.
pub const PROTOCOL: u32 = 1;

/// What kind of values an axis has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Whole numbers `min..=max`, or those of `values`.
    Integer,
    /// Numbers `min..=max`.
    Real,
    /// One of `values`.
    Category,
}

/// On which scale equal steps of an axis are equally interesting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// x
    #[default]
    Linear,
    /// log2(x)
    Log2,
    /// ln(1 + x)
    Log1p,
}

/// An axis exists only where another has one of these values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The other axis.
    pub axis: String,
    /// Its values under which this axis exists.
    pub values: Vec<Value>,
}

/// One axis of the search space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
    /// Least value of a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Greatest value of a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The values of a category, or all values that an integer may have, rising.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Value>,
    /// Its scale.
    #[serde(default)]
    pub scale: Scale,
    /// Where it exists; everywhere if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
}

/// A named number of each answer that must not exceed `max`. An answer without it is under no such constraint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constraint {
    /// Its name in the answer.
    pub name: String,
    /// Its greatest allowed value.
    pub max: f64,
}

/// A document by name and digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// The BLAKE3 of its canonical JSON.
    pub digest: Digest,
}

/// A scenario that the problem can run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScenarioRef {
    /// Its name.
    pub name: String,
    /// The BLAKE3 of its canonical JSON.
    pub digest: Digest,
    /// Length of a full run (share 1.0) in milliseconds, without set-up.
    pub duration_ms: u32,
    /// Whether the scenario has a CPU or memory budget beyond the common ones.
    pub budgeted: bool,
}

/// An endpoint that an arm drives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRef {
    /// BLAKE3 of the executable.
    pub digest: Digest,
    /// Version of the hello that it speaks.
    pub hello: u32,
    /// Names of the knobs that it reads.
    pub knobs: Vec<String>,
    /// Its arguments beyond those that every trial gives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

/// An axis, or one value of it, that this host cannot honour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsentValue {
    /// The axis.
    pub axis: String,
    /// The value that is missing; `None` where the whole axis is.
    pub value: Option<String>,
    /// Why, and how to get it.
    pub reason: String,
}

/// The problem's first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The problem's name.
    pub name: String,
    /// The search space.
    pub axes: Vec<Axis>,
    /// What a point must hold to be feasible.
    #[serde(default)]
    pub constraints: Vec<Constraint>,
    /// True optimum, of simulated problems, in the unit of `p99`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimum: Option<f64>,
    /// Version of the extension; absent for a base problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    /// The host that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// What can be run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scenarios: Vec<ScenarioRef>,
    /// Fault plans that can be put beside a run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Named>,
    /// Endpoints by arm; `*` serves every arm that is not named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<String, EndpointRef>,
    /// What is not in the space, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<AbsentValue>,
    /// The untuned point of this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Point>,
    /// Hand-written points by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub presets: BTreeMap<String, Point>,
    /// What one measure costs beside the run itself, in milliseconds: for the estimate of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overhead_ms: Option<u32>,
    /// Measuring time that the log already holds, in milliseconds: what a resumed budget has spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent_ms: Option<u64>,
}

/// Whose run a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// A point that a solver proposed.
    Search,
    /// The untuned default.
    Default,
    /// What is in force.
    Incumbent,
    /// A duplicate of the incumbent, to see the noise.
    Placebo,
    /// A preset or random search, for comparison.
    Control,
    /// A gate's old build.
    Base,
    /// A gate's new build, or the point that a confirmation tries.
    Candidate,
}

/// One run that is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasureRequest {
    /// The point.
    pub measure: Point,
    /// Share of a full run, above 0, at most 1.
    #[serde(default = "full_share")]
    pub share: f64,
    /// Name of this measurement, unique in a log; asking for it again is answered from the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Scenario by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Seed of arrivals, payloads and faults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Digest of the fault plan, or null for calm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<Digest>,
    /// Whose run it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<Arm>,
    /// Number of the pair in a confirmation or a gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<u32>,
    /// 0 for the first run of a pair, 1 for the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
}

const fn full_share() -> f64 {
    1.0
}

/// One line from the tuner.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Begin a tuning run with this noise seed.
    Start(u64),
    /// Run once.
    Measure(Box<MeasureRequest>),
    /// The true value of a point, for the scorer of simulated problems.
    Truth(Point),
}

/// Why a line is no request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not JSON, or not of the request's shape.
    #[error("malformed request: {0}")]
    Malformed(#[from] serde_json::Error),
    /// JSON, but none of the requests.
    #[error("expected an object with `start`, `measure` or `truth`")]
    Unknown,
    /// The share is no share.
    #[error("share is {0}: expected above 0 and at most 1")]
    Share(f64),
}

impl Request {
    /// Reads one line.
    ///
    /// # Errors
    /// [`RequestError`], whose text is fit for an `error` line.
    pub fn parse(line: &str) -> Result<Request, RequestError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Start {
            start: u64,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Truth {
            truth: Point,
        }
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line)?;
        if object.contains_key("start") {
            return Ok(Request::Start(serde_json::from_str::<Start>(line)?.start));
        }
        if object.contains_key("truth") {
            return Ok(Request::Truth(serde_json::from_str::<Truth>(line)?.truth));
        }
        if !object.contains_key("measure") {
            return Err(RequestError::Unknown);
        }
        let measure: MeasureRequest = serde_json::from_str(line)?;
        if !(measure.share > 0.0 && measure.share <= 1.0) {
            return Err(RequestError::Share(measure.share));
        }
        Ok(Request::Measure(Box::new(measure)))
    }
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A steady state was found: the quantiles are a result.
    Settled,
    /// The latency kept drifting: no result.
    NeverSettled,
    /// The measurement itself was disturbed (generator lag, a fault that did not strike): no result.
    Void,
    /// The endpoint died or stopped answering: no result, and a defect.
    Crashed,
}

/// Latencies of one run in whole nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantiles {
    /// Median.
    pub p50: u64,
    /// 95th percentile.
    pub p95: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile; read it with `n`.
    pub p999: u64,
    /// Samples.
    pub n: u64,
}

/// The answer to a measure. Constraint values stand beside the named fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The objective's quantity in the problem's own unit; absent where there is no result. The lab's, in nanoseconds, is the
    /// typical p99 of the run (see `slices.rs`); p99 over the whole run stands in `calm` or `faulted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
    /// The measurement that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How it ended; a base problem leaves it out and means `settled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why it is no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// p99 of each slice that `p99` is drawn from, in nanoseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices_ns_p99: Vec<u64>,
    /// Slices that were left out, since the host held the generator up in them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub slices_held_up: u32,
    /// What faults came to: of a run under them that gave a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption: Option<Disruption>,
    /// Latencies of a calm run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calm: Option<Quantiles>,
    /// Latencies of a run under faults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faulted: Option<Quantiles>,
    /// The knobs as read back from the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knobs: Option<Knobs>,
    /// One-line round trip of the CPU pair before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regime: Option<RegimeProbe>,
    /// Digest of the trial record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Digest>,
    /// What went wrong with the request itself: nothing was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Values of the constraints, and whatever else the problem tells.
    #[serde(flatten)]
    pub values: BTreeMap<String, serde_json::Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Answer {
    /// What decides, of a run that settled: calm, the typical p99; under faults, how long it took to recover, where the
    /// problem tells that.
    pub fn deciding(&self, faulted: bool) -> Option<f64> {
        let settled = self.verdict.is_none_or(|verdict| verdict == Verdict::Settled);
        let recovery = self.disruption.filter(|_| faulted).map(|disruption| disruption.recovery_ns as f64);
        recovery.or(self.p99).filter(|_| settled)
    }

    /// p99 over the whole run, interruptions included, of a run that settled.
    pub fn whole_p99(&self) -> Option<f64> {
        let settled = self.verdict.is_none_or(|verdict| verdict == Verdict::Settled);
        let whole = self.calm.or(self.faulted).map(|whole| whole.p99 as f64);
        whole.or(self.p99).filter(|_| settled)
    }

    /// The constraint value called `name`, where the answer has it.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.values.get(name).and_then(serde_json::Value::as_f64)
    }

    /// Whether every one of `constraints` that the answer speaks of is kept.
    pub fn feasible(&self, constraints: &[Constraint]) -> bool {
        constraints.iter().all(|c| self.value(&c.name).is_none_or(|value| value <= c.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let found = match Request::parse(line) {
            Ok(Request::Start(seed)) => format!("start {seed}"),
            Ok(Request::Measure(m)) => format!("measure {} axes, share {}, id {:?}", m.measure.len(), m.share, m.id),
            Ok(Request::Truth(point)) => format!("truth {} axes", point.len()),
            Err(error) => error.to_string(),
        };
        assert!(found.starts_with(expected), "{line}: {found}");
    }

    #[test]
    fn requests_of_both_protocols_are_read() {
        check(r#"{"start": 3}"#, "start 3");
        check(r#"{"measure": {"r": 8, "wait": "yield"}, "share": 0.5}"#, "measure 2 axes, share 0.5, id None");
        check(r#"{"measure": {"r": 8}, "id": "a", "arm": "placebo", "faults": null}"#, "measure 1 axes, share 1, id");
        check(r#"{"truth": {"r": 8}}"#, "truth 1 axes");
    }

    #[test]
    fn malformed_requests_are_named() {
        check("", "malformed request");
        check("[1]", "malformed request");
        check("{}", "expected an object");
        check(r#"{"start": -1}"#, "malformed request");
        check(r#"{"measure": {}, "share": 0}"#, "share is 0");
        check(r#"{"measure": {}, "share": 1.5}"#, "share is 1.5");
        check(r#"{"measure": {}, "colour": 1}"#, "malformed request: unknown field `colour`");
    }

    #[test]
    fn a_base_answer_and_its_constraints_are_read() {
        let answer: Answer = serde_json::from_str(r#"{"p99": 36.06, "loss_ppm": 0.1, "cpu": 0.8}"#).expect("an answer");
        let limit = |name: &str, max| Constraint { name: name.into(), max };
        assert_eq!(answer.p99, Some(36.06));
        assert!(answer.feasible(&[limit("loss_ppm", 1.0), limit("cpu", 0.8), limit("unspoken", 0.0)]));
        assert!(!answer.feasible(&[limit("cpu", 0.79)]));
    }
}
