//! The state of a host: what each participant holds, its one text, its root, and what an op makes of it.
//!
//! A participant's canonical state is the JSON of its [`Inventory`]: items sorted by name, no white space. The root of
//! a host is BLAKE3, in a domain of its own, over `length of the name, name, digest of the canonical state` of each
//! participant, sorted by name; so an empty state has a root like any other, and a plan made on it names that root.
//!
//! PLAN-3  An op changes a state only where its pre-condition holds there, and only its own item.
//! PLAN-4  States that differ in anything have different roots.

use crate::item::{Before, FileMode, as_text, is_below};
use crate::op::Op;
use rtt_seal::strict_json::{self, JsonError};
use rtt_seal::{Digest, DigestTextError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::{fmt, str::FromStr};

/// Largest canonical state of one participant, in bytes: some 100,000 files.
const STATE_LIMIT: usize = 16 << 20;

/// Root of a host's state: equal roots mean equal states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateRoot(pub Digest);

/// What stands in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Digest of its bytes.
    pub object: Digest,
    /// Permission bits, where it is a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
}

/// What one participant holds: its items by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inventory {
    /// Item by path or name.
    pub items: BTreeMap<String, Item>,
}

/// What every participant holds, by the participant's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostState {
    /// Inventory by participant. A participant that holds nothing is there all the same: it counts in the root.
    pub participants: BTreeMap<String, Inventory>,
}

/// Why an op cannot be carried out on a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConflictError {
    /// The pre-condition does not hold.
    #[error("{participant} {item}: {} stands there, the plan expects {}", standing(*.found), standing(*.expected))]
    Before {
        /// The participant.
        participant: &'static str,
        /// The item.
        item: String,
        /// What stands there.
        found: Before,
        /// What the op asks for.
        expected: Before,
    },
    /// A file would stand where other files need a directory.
    #[error("files {file}: a file would stand there, and {below} below it: one of them must go first")]
    FileAndDirectory {
        /// The file.
        file: String,
        /// The file below it.
        below: String,
    },
    /// The participant's state would be too large to be told.
    #[error("{participant} {item}: the state would be {bytes} bytes of canonical text, expected at most {STATE_LIMIT}")]
    TooLarge {
        /// The participant.
        participant: &'static str,
        /// The item.
        item: String,
        /// Bytes of the state with it.
        bytes: usize,
    },
    /// The host has no such participant.
    #[error("{participant} {item}: this host has no participant `{participant}`")]
    NoParticipant {
        /// The participant that is asked for.
        participant: &'static str,
        /// The item.
        item: String,
    },
}

/// Why a plan does not lead from a state to the root that it states.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EffectError {
    /// An op cannot be carried out.
    #[error("op {index} cannot be carried out")]
    Op {
        /// The op, counted from 0.
        index: usize,
        /// Why.
        source: ConflictError,
    },
    /// The ops can be carried out, but lead elsewhere.
    #[error("the plan's ops lead to the state root {found}, but the plan states {stated}")]
    Target {
        /// Where they lead.
        found: StateRoot,
        /// What the plan states.
        stated: StateRoot,
    },
}

fn standing(before: Before) -> String {
    before.object().map_or_else(|| "nothing".to_owned(), |digest| digest.to_string())
}

impl Inventory {
    /// The one text of this inventory, of which the root is made.
    pub fn to_canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an inventory is strings")
    }

    /// Reads a canonical state back.
    ///
    /// # Errors
    /// [`JsonError`], also for another text of the same state.
    pub fn from_canonical(bytes: &[u8]) -> Result<Inventory, JsonError> {
        let inventory: Inventory = strict_json::parse_within(bytes, STATE_LIMIT)?;
        if inventory.to_canonical() == bytes {
            return Ok(inventory);
        }
        let place = strict_json::Place { line: 1, column: 1, field: String::new() };
        Err(JsonError::Value { place, message: "not in canonical form: expected sorted items, no white space".into() })
    }

    /// Digest of the canonical state: what the root counts, and what `verify` of a participant answers.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_canonical())
    }

    /// What stands at `item`.
    pub fn at(&self, item: &str) -> Before {
        self.items.get(item).map_or(Before::Absent, |item| Before::Object(item.object))
    }

    /// Carries one op out, or changes nothing.
    ///
    /// # Errors
    /// [`ConflictError`].
    pub fn apply(&mut self, op: &Op) -> Result<(), ConflictError> {
        let (participant, item, found, expected) = (op.participant(), op.item(), self.at(op.item()), op.before());
        if found != expected {
            return Err(ConflictError::Before { participant, item: item.to_owned(), found, expected }); // PLAN-3
        }
        match op.after() {
            None => drop(self.items.remove(item)),
            Some(after) => {
                self.items.insert(item.to_owned(), after);
            }
        }
        assert_eq!(self.items.get(item), op.after().as_ref(), "PLAN-3: {participant} {item} is not what the op makes");
        Ok(())
    }

    /// Whether every file can have the directories that it needs. Asked once all ops are carried out, so that a file may
    /// give way to a directory in one plan, in any order.
    fn check_directories(&self) -> Result<(), ConflictError> {
        for below in self.items.keys() {
            let directories = below.match_indices('/').map(|(at, _)| &below[..at]);
            if let Some(file) = directories.into_iter().find(|directory| self.items.contains_key(*directory)) {
                debug_assert!(is_below(below, file));
                return Err(ConflictError::FileAndDirectory { file: file.to_owned(), below: below.clone() });
            }
        }
        Ok(())
    }
}

impl HostState {
    /// A host that holds nothing yet: the participants that ops can be for, each empty.
    pub fn empty() -> HostState {
        let participants = Op::PARTICIPANTS.map(|name| (name.to_owned(), Inventory::default()));
        HostState { participants: participants.into() }
    }

    /// The root of this state.
    pub fn root(&self) -> StateRoot {
        StateRoot::of(self.participants.iter().map(|(name, inventory)| (name.as_str(), inventory.digest())))
    }

    /// The state once `ops` are carried out in their order. This state is left as it is.
    ///
    /// # Errors
    /// [`EffectError::Op`] for the first that cannot be.
    pub fn after(&self, ops: &[Op]) -> Result<HostState, EffectError> {
        let mut state = self.clone();
        for (index, op) in ops.iter().enumerate() {
            let (participant, item) = (op.participant(), op.item().to_owned());
            let conflict = |source| EffectError::Op { index, source };
            let inventory = state.participants.get_mut(participant);
            let inventory = inventory.ok_or_else(|| conflict(ConflictError::NoParticipant { participant, item }))?;
            inventory.apply(op).map_err(conflict)?;
        }
        let directories = state.participants.get(Op::FILES).map_or(Ok(()), Inventory::check_directories);
        directories.map_err(|source| {
            let ConflictError::FileAndDirectory { file, below } = &source else { unreachable!("the only one") };
            let index = ops.iter().rposition(|op| op.item() == file || op.item() == below).unwrap_or_default();
            EffectError::Op { index, source }
        })?;
        state.check_sizes(ops)?;
        Ok(state)
    }
}

impl HostState {
    /// Whether each participant's text can be read back: the last op of one that is too large is told.
    fn check_sizes(&self, ops: &[Op]) -> Result<(), EffectError> {
        for (name, inventory) in &self.participants {
            let last = ops.iter().enumerate().rfind(|(_, op)| op.participant() == name);
            let Some((index, op)) = last else { continue };
            let bytes = inventory.to_canonical().len();
            if bytes > STATE_LIMIT {
                let (participant, item) = (op.participant(), op.item().to_owned());
                return Err(EffectError::Op { index, source: ConflictError::TooLarge { participant, item, bytes } });
            }
        }
        Ok(())
    }
}

impl StateRoot {
    /// The root over the digests of each participant's canonical state. The order in which they are given does not count;
    /// of a name that is given twice, the last one does.
    pub fn of<'a>(states: impl IntoIterator<Item = (&'a str, Digest)>) -> StateRoot {
        let sorted: BTreeMap<&str, Digest> = states.into_iter().collect();
        let mut hasher = blake3::Hasher::new_derive_key("rtt 2026-11 state root v1");
        for (name, digest) in sorted {
            hasher.update(&(name.len() as u64).to_le_bytes()); // PLAN-4: the length parts the name from what follows.
            hasher.update(name.as_bytes());
            hasher.update(&digest.0);
        }
        StateRoot(Digest(*hasher.finalize().as_bytes()))
    }
}

impl fmt::Display for StateRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for StateRoot {
    type Err = DigestTextError;

    fn from_str(text: &str) -> Result<StateRoot, DigestTextError> {
        text.parse().map(StateRoot)
    }
}

as_text! { StateRoot }

#[cfg(test)]
mod tests;
