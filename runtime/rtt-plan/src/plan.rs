//! The plan: what a host is to change, from which state to which, for whom, until when, with whose leave.
//!
//! A plan is canonical JSON: the fields in the order of the structs below, no white space; what may exceed 2^53 is a
//! decimal string. It travels in a DSSE envelope of type [`Plan::PAYLOAD_TYPE`]. Its id is the BLAKE3 of its payload, and
//! so no field of it.
//!
//! PLAN-6  A plan has one text: bytes that are not the canonical form of what they say are refused, signed or not.
//! PLAN-7  A plan holds together: each item is changed once, each op is covered by a capability, knobs name their
//!         machine, no op means no change, and a plan ends.
//!
//! Not here: whether this host may begin it (`admission`), who may sign it (`rtt-seal`).

use crate::capability::Capability;
use crate::item::as_text;
use crate::op::Op;
use crate::runtime_build::Build;
use crate::state::{EffectError, HostState, StateRoot};
use rtt_seal::{Digest, DigestTextError, Document, HostId, KeyId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::{fmt, str::FromStr};

/// Identity of a plan: BLAKE3 of the bytes that were signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanId(pub Digest);

/// What a host obeys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this format: 1.
    pub version: u32,
    /// Whether this goes forward or restores an earlier state.
    pub kind: Kind,
    /// The one host that it is for.
    pub audience: HostId,
    /// The build of the runtime that it was made for.
    pub runtime_build: Build,
    /// Version of the trust document under which it was signed.
    #[serde(with = "rtt_seal::decimal")]
    pub trust_root_version: u64,
    /// The key whose sequence counts. It must be among the signers, so that nobody can choose by leaving a signature out.
    pub planner: KeyId,
    /// Number of this plan among those of that key for that host, from 1: a number that was begun is never begun again.
    #[serde(with = "rtt_seal::decimal")]
    pub sequence: u64,
    /// From when on it may be begun, in seconds of Unix time.
    pub not_before_unix_s: u64,
    /// From when on it may not be begun any more, in seconds of Unix time.
    pub expires_unix_s: u64,
    /// The state that it was made on.
    pub base: Base,
    /// What changes, in the order in which it is carried out.
    pub ops: Vec<Op>,
    /// Root of the state that the ops lead to.
    pub target_root: StateRoot,
    /// What it needs leave for, sorted.
    pub capabilities: Vec<Capability>,
    /// Digest of the host's policy that it was made under.
    pub policy: Digest,
    /// What its author looked at: runs, profiles, tickets; sorted.
    pub evidence: Vec<Digest>,
    /// The machine that its knobs were tuned on; there exactly where it carries knobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Goes forward.
    Apply,
    /// Restores an earlier state, under a new generation. It is a plan like any other: signed, numbered, used up.
    Rollback,
}

/// The state that a plan was made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// How many changes of state the host has seen: grows by one with each, also with one that goes back.
    #[serde(with = "rtt_seal::decimal")]
    pub generation: u64,
    /// Root of the state.
    pub state_root: StateRoot,
}

impl Plan {
    /// Version of the format that this build reads and writes.
    pub const VERSION: u32 = 1;
    /// How long a plan may hold at most, in seconds: 31 days. What a host never saw it cannot miss, so a plan that was
    /// held back must run out.
    pub const LIFE_S_MAX: u64 = 31 * 86_400;
    /// Ops of one plan.
    pub const OPS_MAX: usize = 4_096;
    /// Digests of evidence in one plan.
    pub const EVIDENCE_MAX: usize = 64;
    /// Latest time, in seconds of Unix time: what every JSON reader takes for an exact integer.
    const TIME_MAX_S: u64 = (1 << 53) - 1;

    /// The one text of this plan: what is signed.
    pub fn to_canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a plan is strings and integers")
    }

    /// Identity of this plan.
    pub fn id(&self) -> PlanId {
        PlanId(Digest::of(&self.to_canonical()))
    }

    /// The state that `state` becomes by this plan.
    ///
    /// # Errors
    /// [`EffectError`] where a pre-condition does not hold, or the ops do not lead to [`Plan::target_root`].
    pub fn effect(&self, state: &HostState) -> Result<HostState, EffectError> {
        let after = state.after(&self.ops)?;
        let (found, stated) = (after.root(), self.target_root);
        if found == stated { Ok(after) } else { Err(EffectError::Target { found, stated }) }
    }

    /// The ops of one participant, in their order.
    pub fn ops_of(&self, participant: &str) -> Vec<Op> {
        self.ops.iter().filter(|op| op.participant() == participant).cloned().collect()
    }

    /// The participants that it changes, sorted.
    pub fn participants(&self) -> BTreeSet<&'static str> {
        self.ops.iter().map(Op::participant).collect()
    }

    /// PLAN-7. [`Document::check`] adds the canonical form.
    ///
    /// # Errors
    /// The first field that is wrong, what it holds, and what was expected.
    pub fn check_fields(&self) -> Result<(), String> {
        if self.version != Plan::VERSION {
            return Err(format!("version is {}, expected {}", self.version, Plan::VERSION));
        }
        for (field, number) in [("trust_root_version", self.trust_root_version), ("sequence", self.sequence)] {
            if number == 0 {
                return Err(format!("{field} is 0, expected at least 1"));
            }
        }
        let life = self.expires_unix_s.checked_sub(self.not_before_unix_s);
        if !matches!(life, Some(1..=Plan::LIFE_S_MAX)) || self.expires_unix_s > Plan::TIME_MAX_S {
            let (max, from) = (Plan::LIFE_S_MAX, self.not_before_unix_s);
            return Err(format!(
                "expires_unix_s is {}, expected 1..={max} seconds after not_before_unix_s, which is {from}, and below 2^53",
                self.expires_unix_s
            ));
        }
        self.check_ops()?;
        sorted("capabilities", &self.capabilities, usize::MAX)?;
        sorted("evidence", &self.evidence, Plan::EVIDENCE_MAX)?;
        let carries_knobs = self.ops.iter().any(Op::carries_knobs);
        match &self.machine {
            None if carries_knobs => Err("machine is missing, expected the machine that the knobs are for".into()),
            Some(_) if !carries_knobs => Err("machine is there, expected none: no op carries knobs".into()),
            Some(id) if id.len() != 16 || !id.bytes().all(|byte| b"0123456789abcdef".contains(&byte)) => {
                Err(format!("machine is {id:.80?}, expected a machine id, 16 lower-case hexadecimal digits"))
            }
            _ => Ok(()),
        }
    }

    fn check_ops(&self) -> Result<(), String> {
        if self.ops.len() > Plan::OPS_MAX {
            return Err(format!("ops are {}, expected at most {}", self.ops.len(), Plan::OPS_MAX));
        }
        if self.ops.is_empty() && self.target_root != self.base.state_root {
            let (target, base) = (self.target_root, self.base.state_root);
            return Err(format!("target_root is {target}, expected {base}, the base, since there is no op"));
        }
        let mut seen = BTreeSet::new();
        for (index, op) in self.ops.iter().enumerate() {
            let (participant, item) = (op.participant(), op.item());
            if !seen.insert((participant, item)) {
                return Err(format!("ops[{index}] changes {participant} {item} again, expected each item once"));
            }
            if let Op::RingPut { knobs, .. } = op {
                knobs.check().map_err(|error| format!("ops[{index}]: {error}"))?;
            }
            if !self.capabilities.iter().any(|capability| capability.allows(op)) {
                return Err(format!(
                    "ops[{index}] changes {participant} {item}, which none of the plan's capabilities covers"
                )); // PLAN-7
            }
        }
        Ok(())
    }
}

impl Document for Plan {
    const PAYLOAD_TYPE: &'static str = "application/vnd.rtt.plan.v1+json";

    fn check(&self, payload: &[u8]) -> Result<(), String> {
        self.check_fields()?;
        let canonical = self.to_canonical();
        if canonical != payload {
            let at = canonical.iter().zip(payload).take_while(|(a, b)| a == b).count(); // PLAN-6
            return Err(format!(
                "not in canonical form from byte {at} on: expected the fields in order, no white space"
            ));
        }
        Ok(())
    }
}

impl Kind {
    /// The kind as the document spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Apply => "apply",
            Kind::Rollback => "rollback",
        }
    }
}

fn sorted<T: Ord>(field: &str, values: &[T], limit: usize) -> Result<(), String> {
    if values.len() > limit || !values.is_sorted_by(|a, b| a < b) {
        return Err(format!("{field} are {}, expected at most {limit}, sorted, each once", values.len()));
    }
    Ok(())
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PlanId {
    type Err = DigestTextError;

    fn from_str(text: &str) -> Result<PlanId, DigestTextError> {
        text.parse().map(PlanId)
    }
}

as_text! { PlanId }
