//! The actions of the protocol. Each is one record of the log; there is no other kind of record.

use crate::id::{CapabilityId, HostId, KeyId, PlanId, Root};

/// One record of the log. What each does to the state is [`next_state`](crate::next_state)'s to say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The log's first record: whose log it is, and the root that the participants had before any plan.
    Genesis {
        /// The host that owns the log.
        host: HostId,
        /// The root under generation 0.
        root: Root,
    },
    /// A verified plan is attempted. Burns its id and its sequence, whatever becomes of it.
    Begin(Begin),
    /// A participant can commit and can abort, and still runs as before.
    Prepared {
        /// The plan of the open transaction.
        plan: PlanId,
        /// Position among the plan's participants.
        participant: u8,
    },
    /// The commit point: once this record is durable, the plan is never aborted.
    Commit {
        /// The plan of the open transaction.
        plan: PlanId,
        /// The generation that the target gets: the base's and one.
        generation: u64,
    },
    /// A participant runs in the target state.
    Committed {
        /// The plan of the open transaction.
        plan: PlanId,
        /// Position among the plan's participants.
        participant: u8,
    },
    /// What runs was read back and is the target. Closes the transaction.
    Verified {
        /// The plan of the open transaction.
        plan: PlanId,
        /// The root that was read back.
        root: Root,
    },
    /// Nothing of the plan was committed, and nothing of it is left. Closes the transaction.
    Abort {
        /// The plan of the open transaction.
        plan: PlanId,
        /// Why.
        reason: Reason,
    },
    /// The decision to roll a committed plan back. From here the transaction only goes back, also after a crash.
    Undo {
        /// The plan of the open transaction.
        plan: PlanId,
        /// Why.
        reason: Reason,
    },
    /// What runs was read back and is the base again. Closes the transaction.
    RolledBack {
        /// The plan of the open transaction.
        plan: PlanId,
        /// The generation that the restored base gets: one more than the target had.
        generation: u64,
        /// The root that was read back.
        root: Root,
    },
    /// A capability of the plan in force is given out.
    Grant {
        /// The plan in force.
        plan: PlanId,
        /// The capability given.
        capability: CapabilityId,
    },
    /// The host's signature over the log so far; the signed document itself is kept beside the record.
    Checkpoint {
        /// Records covered: all before this one.
        size: u64,
        /// Root of the Merkle tree over them.
        root: Root,
    },
}

/// What a transaction begins with: all of the plan that decides whether it may.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Begin {
    /// The plan.
    pub plan: PlanId,
    /// What the plan does.
    pub kind: Kind,
    /// The key whose signature verified.
    pub key: KeyId,
    /// The plan's number among those of its key for this host.
    pub sequence: u64,
    /// The host that the plan is for.
    pub audience: HostId,
    /// The generation that the plan starts from.
    pub base_generation: u64,
    /// The root that the plan starts from.
    pub base_root: Root,
    /// The root that the plan leads to.
    pub target_root: Root,
    /// Number of participants, at most [`PARTICIPANTS_MAX`](crate::PARTICIPANTS_MAX); none in a plan without operations.
    pub participants: u8,
    /// The first second in which the plan is valid, since the Unix epoch.
    pub not_before_unix_s: u64,
    /// The first second in which it is valid no more.
    pub expires_unix_s: u64,
    /// The host's clock.
    pub now_unix_s: u64,
    /// Version of the trust root that the signature was verified with.
    pub trust_version: u64,
    /// Number of the runtime's build that the plan is made for. Later builds have higher numbers.
    pub build: u64,
}

/// What a plan does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Leads to a new target.
    Apply,
    /// Leads back to the root before the present one.
    Rollback,
}

/// Why a plan was aborted or rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The log was opened again and the commit point had not been reached.
    Recovered,
    /// A participant could not prepare.
    PrepareFailed,
    /// What the plan starts from was no longer there just before the commit point.
    BaseChanged,
    /// A participant could not commit.
    CommitFailed,
    /// What was read back is not the target.
    VerifyFailed,
    /// The operator stopped it.
    Stopped,
    /// The disk has no room but for this record.
    NoSpace,
}

impl Action {
    /// The record's kind, which is also the first byte of its encoding. Numbers are never used again.
    pub const fn kind(&self) -> u8 {
        match self {
            Action::Genesis { .. } => 1,
            Action::Begin(_) => 2,
            Action::Prepared { .. } => 3,
            Action::Commit { .. } => 4,
            Action::Committed { .. } => 5,
            Action::Verified { .. } => 6,
            Action::Abort { .. } => 7,
            Action::Undo { .. } => 8,
            Action::RolledBack { .. } => 9,
            Action::Grant { .. } => 10,
            Action::Checkpoint { .. } => 255,
        }
    }

    /// True when the reconciler must not go on before this record is durable: what follows it in the world cannot be
    /// taken back. The others may wait for the next of these.
    pub const fn is_forced(&self) -> bool {
        !matches!(self, Action::Prepared { .. } | Action::Committed { .. })
    }
}

impl Kind {
    /// The byte that stands for it.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Kind::Apply => 1,
            Kind::Rollback => 2,
        }
    }

    /// Every kind.
    pub(crate) const ALL: [Kind; 2] = [Kind::Apply, Kind::Rollback];
}

impl Reason {
    /// The byte that stands for it.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Reason::Recovered => 1,
            Reason::PrepareFailed => 2,
            Reason::BaseChanged => 3,
            Reason::CommitFailed => 4,
            Reason::VerifyFailed => 5,
            Reason::Stopped => 6,
            Reason::NoSpace => 7,
        }
    }

    /// Every reason.
    pub(crate) const ALL: [Reason; 7] = [
        Reason::Recovered,
        Reason::PrepareFailed,
        Reason::BaseChanged,
        Reason::CommitFailed,
        Reason::VerifyFailed,
        Reason::Stopped,
        Reason::NoSpace,
    ];
}
