//! What a log holds: the state that its records lead to, one after the other.
//!
//! Made by [`next_state`](crate::next_state) alone, so a state that exists is one that some log holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::action::Kind;
use crate::id::{HostId, KeyId, PlanId, Root};
use crate::participants::Participants;

/// The state after some records. `State::default()` is the state of an empty log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) host: Option<HostId>,
    pub(crate) generation: u64,
    pub(crate) root: Root,
    pub(crate) previous: Option<Root>,
    pub(crate) in_force: Option<PlanId>,
    pub(crate) open: Option<Transaction>,
    pub(crate) attempted: BTreeSet<PlanId>,
    pub(crate) burnt: BTreeMap<KeyId, u64>,
    pub(crate) clock_unix_s: u64,
    pub(crate) trust_version: u64,
    pub(crate) build: u64,
    pub(crate) checkpoint_size: u64,
    pub(crate) is_unsealed: bool,
}

/// A plan that was begun and is not closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    pub(crate) plan: PlanId,
    pub(crate) kind: Kind,
    pub(crate) base_generation: u64,
    pub(crate) base_root: Root,
    pub(crate) target_root: Root,
    pub(crate) participants: u8,
    pub(crate) prepared: Participants,
    pub(crate) committed: Participants,
    pub(crate) phase: Phase,
}

/// How far a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Before the commit point: nothing runs that did not run before.
    Preparing,
    /// Behind the commit point, going to the target.
    Committing,
    /// Behind the commit point, going back to the base.
    Undoing,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Preparing => "preparing",
            Phase::Committing => "committing",
            Phase::Undoing => "undoing",
        })
    }
}

impl State {
    /// Whose log it is; `None` for an empty log.
    pub fn host(&self) -> Option<HostId> {
        self.host
    }

    /// The generation of [`root`](State::root).
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The root after the last closed transaction: the base of the next plan, and of the open one.
    pub fn root(&self) -> Root {
        self.root
    }

    /// The root before the present one: where a rollback plan leads.
    pub fn previous(&self) -> Option<Root> {
        self.previous
    }

    /// The last plan that was verified, which is the one whose capabilities may be granted.
    pub fn in_force(&self) -> Option<PlanId> {
        self.in_force
    }

    /// The transaction that is not closed.
    pub fn open(&self) -> Option<&Transaction> {
        self.open.as_ref()
    }

    /// True when `plan` was begun at any time.
    pub fn was_attempted(&self, plan: PlanId) -> bool {
        self.attempted.contains(&plan)
    }

    /// The highest sequence of `key` that was burnt; the next plan of that key needs a higher one.
    pub fn burnt(&self, key: KeyId) -> Option<u64> {
        self.burnt.get(&key).copied()
    }

    /// The latest second that any Begin has seen, since the Unix epoch.
    pub fn clock_unix_s(&self) -> u64 {
        self.clock_unix_s
    }

    /// The highest version of the trust root that any Begin was verified with.
    pub fn trust_version(&self) -> u64 {
        self.trust_version
    }

    /// The highest build that any Begin was for.
    pub fn build(&self) -> u64 {
        self.build
    }
}

impl Transaction {
    /// The plan.
    pub fn plan(&self) -> PlanId {
        self.plan
    }

    /// What the plan does.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The root that it started from.
    pub fn base_root(&self) -> Root {
        self.base_root
    }

    /// The root that it leads to.
    pub fn target_root(&self) -> Root {
        self.target_root
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// All of the plan's participants.
    pub fn participants(&self) -> Participants {
        Participants::first(self.participants)
    }

    /// Those that are not prepared.
    pub fn unprepared(&self) -> Participants {
        self.participants().without(self.prepared)
    }

    /// Those that have not committed.
    pub fn uncommitted(&self) -> Participants {
        self.participants().without(self.committed)
    }

    /// The generation that the target gets at the commit point. Begin saw to it that there is one.
    pub fn commit_generation(&self) -> u64 {
        self.base_generation.saturating_add(1)
    }

    /// The generation that the base gets when it is restored. Not the target's: a generation names one root.
    pub fn rollback_generation(&self) -> u64 {
        self.base_generation.saturating_add(2)
    }
}
