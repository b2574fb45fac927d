//! A record of the log as the reconciler reads and writes it: an action of the spec, and what must be kept beside it.
//!
//! | kind | payload |
//! |---|---|
//! | Genesis | the action, then the JSON of what each participant held |
//! | Begin | the action, then the sealed plan |
//! | Checkpoint | the sealed checkpoint alone; its action is read out of it |
//! | any other | the action |
//!
//! So recovery needs the log and nothing else.
//!
//! ENTRY-1  What is beside an action is what the action names: the plan of a Begin has its id and says what the Begin says, a
//!          genesis its root.

use rtt_model::{Action, Begin, DecodeError, Root};
use rtt_plan::{HostState, Inventory, Kind, Plan, PlanId};
use rtt_seal::strict_json::{self, JsonError};
use rtt_seal::{Digest, Envelope, EnvelopeError, KeyId};
use rtt_store::wal::{CHECKPOINT_KIND, Checkpoint, Record};
use std::collections::BTreeMap;

/// Kinds whose records have something beside the action, and bytes of their actions.
const GENESIS: (u8, usize) = (1, 1 + 32 + 32);
const BEGIN: (u8, usize) = (2, rtt_model::ENCODED_MAX);
/// Largest state of a host in a genesis, in bytes.
const GENESIS_LIMIT: usize = 64 << 20;

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What happened.
    pub action: Action,
    /// What is kept beside it.
    pub beside: Beside,
}

/// What is kept beside an action.
#[derive(Clone, Debug, PartialEq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// What each participant held before the first plan.
    State(HostState),
    /// The plan that was begun, and the envelope that it came in.
    Plan(Box<Plan>, Vec<u8>),
    /// The signed checkpoint.
    Checkpoint(Vec<u8>),
}

/// Why a record is none of the reconciler's.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The payload is no action.
    #[error("record {record}: not an action")]
    Action {
        /// The record.
        record: u64,
        /// Why.
        source: DecodeError,
    },
    /// The kind of the record and of its action differ.
    #[error("record {record}: the record has kind {found}, its action {expected}")]
    Kind {
        /// The record.
        record: u64,
        /// The record's.
        found: u8,
        /// The action's.
        expected: u8,
    },
    /// What is beside the action is malformed.
    #[error("record {record}: what is kept beside it is malformed")]
    Beside {
        /// The record.
        record: u64,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A Begin says another thing than its plan.
    #[error("record {record}: the Begin does not say what its plan says")]
    OtherBegin {
        /// The record.
        record: u64,
    },
    /// What is beside the action is another thing's.
    #[error("record {record}: it names {named}, but what is kept beside it is {found}")]
    OtherBeside {
        /// The record.
        record: u64,
        /// What the action names.
        named: Digest,
        /// What was found.
        found: Digest,
    },
}

impl Entry {
    /// An action with nothing beside it.
    pub fn of(action: Action) -> Entry {
        Entry { action, beside: Beside::Nothing }
    }

    /// The record's payload.
    pub fn payload(&self) -> Vec<u8> {
        let mut bytes = self.action.encode();
        match &self.beside {
            Beside::Nothing => {}
            Beside::State(state) => bytes.extend(state_json(state)),
            Beside::Plan(_, envelope) => bytes.extend_from_slice(envelope),
            Beside::Checkpoint(sealed) => bytes.clone_from(sealed),
        }
        bytes
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn read(record: &Record) -> Result<Entry, EntryError> {
        let (number, payload) = (record.sequence, &record.payload[..]);
        let malformed = |source| EntryError::Beside { record: number, source };
        if record.kind == CHECKPOINT_KIND {
            let checkpoint = checkpoint(payload).map_err(malformed)?;
            let action = Action::Checkpoint { size: checkpoint.size, root: Root(checkpoint.root.0) };
            return Ok(Entry { action, beside: Beside::Checkpoint(payload.to_vec()) });
        }
        let fixed = [GENESIS, BEGIN].into_iter().find(|(kind, _)| *kind == record.kind).map(|(_, bytes)| bytes);
        let (own, beside) = payload.split_at(fixed.unwrap_or(payload.len()).min(payload.len()));
        let action = Action::decode(own).map_err(|source| EntryError::Action { record: number, source })?;
        if action.kind() != record.kind {
            return Err(EntryError::Kind { record: number, found: record.kind, expected: action.kind() });
        }
        let (named, found, beside) = match &action {
            Action::Genesis { root, .. } => {
                let state = read_state(beside).map_err(|error| malformed(error.into()))?;
                (root.0, state.root().0, Beside::State(state))
            }
            Action::Begin(begin) => {
                let plan = read_plan(beside).map_err(malformed)?;
                if plan.id().0.0 == begin.plan.0 && !says(&plan, begin) {
                    return Err(EntryError::OtherBegin { record: number }); // ENTRY-1
                }
                (begin.plan.0, plan.id().0, Beside::Plan(Box::new(plan), beside.to_vec()))
            }
            _ => return Ok(Entry::of(action)),
        };
        if named != found.0 {
            return Err(EntryError::OtherBeside { record: number, named: Digest(named), found }); // ENTRY-1
        }
        Ok(Entry { action, beside })
    }
}

/// Whether a Begin says what its plan does: only its time, trust and build are the host's own.
fn says(plan: &Plan, begin: &Begin) -> bool {
    let own = begin_of(plan, begin.now_unix_s, begin.trust_version, begin.build);
    own == *begin
}

/// The Begin of a plan, on a host whose clock, trust and build are these.
pub(crate) fn begin_of(plan: &Plan, now_unix_s: u64, trust_version: u64, build: u64) -> Begin {
    Begin {
        plan: model_plan(plan.id()),
        kind: match plan.kind {
            Kind::Apply => rtt_model::Kind::Apply,
            Kind::Rollback => rtt_model::Kind::Rollback,
        },
        key: model_key(plan.planner),
        sequence: plan.sequence,
        audience: rtt_model::HostId(plan.audience.0.0),
        base_generation: plan.base.generation,
        base_root: Root(plan.base.state_root.0.0),
        target_root: Root(plan.target_root.0.0),
        participants: plan.participants().len() as u8,
        not_before_unix_s: plan.not_before_unix_s,
        expires_unix_s: plan.expires_unix_s,
        now_unix_s,
        trust_version,
        build,
    }
}

/// A key's short id in the spec's words: its bytes, then zeros.
pub(crate) fn model_key(key: KeyId) -> rtt_model::KeyId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(key.as_bytes());
    rtt_model::KeyId(bytes)
}

/// The plan's id in the spec's words.
pub fn model_plan(plan: PlanId) -> rtt_model::PlanId {
    rtt_model::PlanId(plan.0.0)
}

fn state_json(state: &HostState) -> Vec<u8> {
    serde_json::to_vec(&state.participants).expect("a state is strings")
}

fn read_state(bytes: &[u8]) -> Result<HostState, JsonError> {
    let participants: BTreeMap<String, Inventory> = strict_json::parse_within(bytes, GENESIS_LIMIT)?;
    Ok(HostState { participants })
}

/// The plan in an envelope whose signature was verified before it was written.
fn read_plan(envelope: &[u8]) -> Result<Plan, Box<dyn std::error::Error + Send + Sync>> {
    let envelope: Envelope = Envelope::parse(envelope).map_err(|error: EnvelopeError| Box::new(error))?;
    Ok(strict_json::parse(&envelope.payload)?)
}

fn checkpoint(sealed: &[u8]) -> Result<Checkpoint, Box<dyn std::error::Error + Send + Sync>> {
    let envelope = Envelope::parse(sealed).map_err(|error: EnvelopeError| Box::new(error))?;
    Ok(strict_json::parse(&envelope.payload)?)
}
