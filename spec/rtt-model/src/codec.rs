//! An action's bytes, which are the payload of its record.
//!
//! Layout: the kind, then the fields in the order in which they are declared, integers little-endian, ids raw. Each
//! kind has one length.
//!
//! MODEL-1  An action has one encoding: bytes that decode encode back to themselves, all others are an error.

use std::{error, fmt};

use crate::action::{Action, Begin, Kind, Reason};
use crate::id::{CapabilityId, HostId, KeyId, PlanId, Root};

/// Length of the longest encoding, that of [`Action::Begin`].
pub const ENCODED_MAX: usize = 1 + 32 + 1 + 32 + 8 + 32 + 8 + 32 + 32 + 1 + 5 * 8;

/// Why bytes are no action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// There is no byte.
    Empty,
    /// No action has this kind.
    Kind {
        /// What was found.
        found: u8,
    },
    /// The kind has another length.
    Length {
        /// The record's kind.
        kind: u8,
        /// Bytes found.
        found: usize,
        /// Bytes that the kind has.
        expected: usize,
    },
    /// A byte stands for nothing in its place.
    Code {
        /// Position of the byte.
        at: usize,
        /// What was found.
        found: u8,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Empty => write!(f, "record is empty, expected an action"),
            DecodeError::Kind { found } => write!(f, "record has kind {found}, which no action has"),
            DecodeError::Length { kind, found, expected } => {
                write!(f, "record of kind {kind} has {found} bytes, expected {expected}")
            }
            DecodeError::Code { at, found } => {
                write!(f, "record has {found} at byte {at}, where it stands for nothing")
            }
        }
    }
}

impl error::Error for DecodeError {}

impl Action {
    /// The action's bytes, at most [`ENCODED_MAX`].
    pub fn encode(&self) -> Vec<u8> {
        let mut to = vec![self.kind()];
        match self {
            Action::Genesis { host, root } => put(&mut to, &[&host.0, &root.0]),
            Action::Begin(begin) => encode_begin(begin, &mut to),
            Action::Prepared { plan, participant } | Action::Committed { plan, participant } => {
                put(&mut to, &[&plan.0, &[*participant]]);
            }
            Action::Commit { plan, generation } => put(&mut to, &[&plan.0, &generation.to_le_bytes()]),
            Action::Verified { plan, root } => put(&mut to, &[&plan.0, &root.0]),
            Action::Abort { plan, reason } | Action::Undo { plan, reason } => {
                put(&mut to, &[&plan.0, &[reason.code()]]);
            }
            Action::RolledBack { plan, generation, root } => {
                put(&mut to, &[&plan.0, &generation.to_le_bytes(), &root.0]);
            }
            Action::Grant { plan, capability } => put(&mut to, &[&plan.0, &capability.0]),
            Action::Checkpoint { size, root } => put(&mut to, &[&size.to_le_bytes(), &root.0]),
        }
        to
    }

    /// The action that `bytes` encode.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that [`encode`](Action::encode) never gives.
    pub fn decode(bytes: &[u8]) -> Result<Action, DecodeError> {
        let (&kind, _) = bytes.split_first().ok_or(DecodeError::Empty)?;
        let expected = encoded_length(kind).ok_or(DecodeError::Kind { found: kind })?;
        if bytes.len() != expected {
            return Err(DecodeError::Length { kind, found: bytes.len(), expected });
        }
        let mut from = Cursor { bytes, at: 1 };
        let action = match kind {
            1 => Action::Genesis { host: HostId(from.take()), root: Root(from.take()) },
            2 => Action::Begin(decode_begin(&mut from)?),
            3 => Action::Prepared { plan: PlanId(from.take()), participant: from.byte() },
            4 => Action::Commit { plan: PlanId(from.take()), generation: from.number() },
            5 => Action::Committed { plan: PlanId(from.take()), participant: from.byte() },
            6 => Action::Verified { plan: PlanId(from.take()), root: Root(from.take()) },
            7 => Action::Abort { plan: PlanId(from.take()), reason: from.reason()? },
            8 => Action::Undo { plan: PlanId(from.take()), reason: from.reason()? },
            9 => Action::RolledBack { plan: PlanId(from.take()), generation: from.number(), root: Root(from.take()) },
            10 => Action::Grant { plan: PlanId(from.take()), capability: CapabilityId(from.take()) },
            _ => Action::Checkpoint { size: from.number(), root: Root(from.take()) },
        };
        assert_eq!(from.at, bytes.len(), "MODEL-1: kind {kind} is read to its end");
        Ok(action)
    }
}

/// Bytes that each kind has, `None` for what is no kind.
const fn encoded_length(kind: u8) -> Option<usize> {
    Some(match kind {
        1 | 6 | 10 => 1 + 32 + 32,
        2 => ENCODED_MAX,
        3 | 5 | 7 | 8 => 1 + 32 + 1,
        4 => 1 + 32 + 8,
        9 => 1 + 32 + 8 + 32,
        255 => 1 + 8 + 32,
        _ => return None,
    })
}

fn put(to: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| to.extend_from_slice(part));
}

fn encode_begin(begin: &Begin, to: &mut Vec<u8>) {
    put(to, &[&begin.plan.0, &[begin.kind.code()], &begin.key.0, &begin.sequence.to_le_bytes(), &begin.audience.0]);
    put(to, &[&begin.base_generation.to_le_bytes(), &begin.base_root.0, &begin.target_root.0, &[begin.participants]]);
    for number in [begin.not_before_unix_s, begin.expires_unix_s, begin.now_unix_s, begin.trust_version, begin.build] {
        to.extend_from_slice(&number.to_le_bytes());
    }
}

fn decode_begin(from: &mut Cursor<'_>) -> Result<Begin, DecodeError> {
    Ok(Begin {
        plan: PlanId(from.take()),
        kind: from.plan_kind()?,
        key: KeyId(from.take()),
        sequence: from.number(),
        audience: HostId(from.take()),
        base_generation: from.number(),
        base_root: Root(from.take()),
        target_root: Root(from.take()),
        participants: from.byte(),
        not_before_unix_s: from.number(),
        expires_unix_s: from.number(),
        now_unix_s: from.number(),
        trust_version: from.number(),
        build: from.number(),
    })
}

/// Reads one field after the other from bytes whose length was compared with the kind's.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        taken.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        taken
    }

    fn byte(&mut self) -> u8 {
        u8::from_le_bytes(self.take())
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn plan_kind(&mut self) -> Result<Kind, DecodeError> {
        let found = self.byte();
        let code = DecodeError::Code { at: self.at - 1, found };
        Kind::ALL.into_iter().find(|kind| kind.code() == found).ok_or(code)
    }

    fn reason(&mut self) -> Result<Reason, DecodeError> {
        let found = self.byte();
        let code = DecodeError::Code { at: self.at - 1, found };
        Reason::ALL.into_iter().find(|reason| reason.code() == found).ok_or(code)
    }
}

#[cfg(test)]
mod tests;
