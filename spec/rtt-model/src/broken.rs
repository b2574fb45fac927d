//! What is wrong with a record, and which invariant of `spec/reconcile.md` it breaks.

use std::{error, fmt};

use crate::id::{HostId, KeyId, PlanId, Root};
use crate::participants::{PARTICIPANTS_MAX, Participants};
use crate::state::Phase;

/// Why a record must not follow the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// The plan is for another host.
    Audience {
        /// The plan's.
        found: HostId,
        /// The log's.
        expected: HostId,
    },
    /// The record is of a plan that is not the open transaction's.
    OtherPlan {
        /// The record's.
        found: PlanId,
        /// The open transaction's, if there is one.
        open: Option<PlanId>,
    },
    /// A capability of a plan that is not in force.
    NotInForce {
        /// The record's.
        found: PlanId,
        /// The plan in force, if there is one.
        in_force: Option<PlanId>,
    },
    /// More participants than a transaction can have.
    TooMany {
        /// The record's.
        found: u8,
    },
    /// The plan has no such participant.
    NoParticipant {
        /// The record's.
        found: u8,
        /// How many the plan has.
        participants: u8,
    },
    /// The participant has said so before.
    Repeated {
        /// The record's.
        participant: u8,
    },
    /// A commit that some participants are not prepared for.
    Unprepared {
        /// Those not prepared.
        missing: Participants,
    },
    /// Verified while some participants have not committed.
    Uncommitted {
        /// Those that have not committed.
        missing: Participants,
    },
    /// The log does not begin with Genesis.
    NoGenesis,
    /// The log has its Genesis.
    SecondGenesis,
    /// Another transaction is open.
    StillOpen {
        /// Its plan.
        open: PlanId,
    },
    /// No checkpoint covers the end of the transaction before.
    Unsealed,
    /// A checkpoint that covers no more than the one before.
    CheckpointSize {
        /// The record's.
        found: u64,
        /// The size of the one before.
        last: u64,
    },
    /// The plan was attempted before.
    Attempted {
        /// The record's.
        plan: PlanId,
    },
    /// The sequence is burnt.
    Sequence {
        /// The key that signed.
        key: KeyId,
        /// The record's.
        found: u64,
        /// The highest that was burnt.
        burnt: u64,
    },
    /// The plan starts from another generation.
    BaseGeneration {
        /// The plan's.
        found: u64,
        /// The log's.
        expected: u64,
    },
    /// The plan starts from another root.
    BaseRoot {
        /// The plan's.
        found: Root,
        /// The log's.
        expected: Root,
    },
    /// The record needs the commit point behind it, and it is not.
    BeforeCommit,
    /// The record is of the time before the commit point.
    AfterCommit {
        /// How far the transaction is.
        phase: Phase,
    },
    /// A transaction that is being undone goes forward.
    AfterUndo,
    /// The base is said to be restored although nobody decided that.
    NotUndone,
    /// What was read back is not the target.
    ReadBack {
        /// What was read back.
        found: Root,
        /// The plan's target.
        expected: Root,
    },
    /// The generation is not the next.
    Generation {
        /// The record's.
        found: u64,
        /// The next.
        expected: u64,
    },
    /// No number is left for the ends that the plan may come to.
    NoGeneration,
    /// What was restored is not the base.
    Restored {
        /// What was read back.
        found: Root,
        /// The transaction's base.
        expected: Root,
    },
    /// A rollback plan that leads elsewhere than back.
    RollbackTarget {
        /// The plan's target.
        found: Root,
        /// The root before the present one, if there is one.
        previous: Option<Root>,
    },
    /// The plan is not valid yet.
    NotYetValid {
        /// The host's clock.
        now_unix_s: u64,
        /// The plan's first second.
        not_before_unix_s: u64,
    },
    /// The plan is valid no more.
    Expired {
        /// The host's clock.
        now_unix_s: u64,
        /// The plan's end.
        expires_unix_s: u64,
    },
    /// The clock shows less than the log has seen.
    ClockBack {
        /// The host's clock.
        now_unix_s: u64,
        /// The latest second in the log.
        floor_unix_s: u64,
    },
    /// The trust root is older than one that was used.
    TrustVersion {
        /// The record's.
        found: u64,
        /// The highest in the log.
        floor: u64,
    },
    /// The plan is made for an older build than one that was used.
    Build {
        /// The record's.
        found: u64,
        /// The highest in the log.
        floor: u64,
    },
}

impl Broken {
    /// The invariant that is broken, as `spec/reconcile.md` names it.
    pub const fn id(&self) -> &'static str {
        match self {
            Broken::Audience { .. } | Broken::OtherPlan { .. } | Broken::NotInForce { .. } => "REC-1",
            Broken::TooMany { .. }
            | Broken::NoParticipant { .. }
            | Broken::Repeated { .. }
            | Broken::Unprepared { .. }
            | Broken::Uncommitted { .. } => "REC-2",
            Broken::NoGenesis
            | Broken::SecondGenesis
            | Broken::StillOpen { .. }
            | Broken::Unsealed
            | Broken::CheckpointSize { .. } => "REC-3",
            Broken::Attempted { .. } => "REC-4",
            Broken::Sequence { .. } => "REC-5",
            Broken::BaseGeneration { .. } | Broken::BaseRoot { .. } => "REC-6",
            Broken::BeforeCommit | Broken::AfterCommit { .. } => "REC-7",
            Broken::AfterUndo | Broken::NotUndone => "REC-8",
            Broken::ReadBack { .. } => "REC-9",
            Broken::Generation { .. }
            | Broken::NoGeneration
            | Broken::Restored { .. }
            | Broken::RollbackTarget { .. } => "REC-10",
            Broken::NotYetValid { .. } | Broken::Expired { .. } | Broken::ClockBack { .. } => "REC-11",
            Broken::TrustVersion { .. } | Broken::Build { .. } => "REC-12",
        }
    }

    fn write_words(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Audience { found, expected } => write!(f, "plan is for host {found}, this is {expected}"),
            Broken::OtherPlan { found, open: Some(open) } => write!(f, "record is of plan {found}, open is {open}"),
            Broken::OtherPlan { found, open: None } => write!(f, "record is of plan {found}, none is open"),
            Broken::NotInForce { found, in_force: Some(plan) } => {
                write!(f, "grant is of plan {found}, in force is {plan}")
            }
            Broken::NotInForce { found, in_force: None } => write!(f, "grant is of plan {found}, none is in force"),
            Broken::TooMany { found } => write!(f, "{found} participants, at most {PARTICIPANTS_MAX}"),
            Broken::NoParticipant { found, participants } => {
                write!(f, "participant {found} of a plan that has {participants}")
            }
            Broken::Repeated { participant } => write!(f, "participant {participant} has a record of this already"),
            Broken::Unprepared { missing } => write!(f, "commit while participants {missing:?} are not prepared"),
            Broken::Uncommitted { missing } => write!(f, "verified while participants {missing:?} are not committed"),
            Broken::NoGenesis => write!(f, "the log does not begin with genesis"),
            Broken::SecondGenesis => write!(f, "the log has its genesis already"),
            Broken::StillOpen { open } => write!(f, "plan {open} is still open"),
            Broken::Unsealed => write!(f, "no checkpoint covers the end of the transaction before"),
            Broken::CheckpointSize { found, last } => {
                write!(f, "checkpoint covers {found} records, the one before covers {last}")
            }
            Broken::Attempted { plan } => write!(f, "plan {plan} was attempted before"),
            Broken::Sequence { key, found, burnt } => {
                write!(f, "sequence {found} of key {key} is burnt, the highest is {burnt}")
            }
            other => other.write_more_words(f),
        }
    }

    fn write_more_words(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::BaseGeneration { found, expected } => {
                write!(f, "plan starts from generation {found}, the log is at {expected}")
            }
            Broken::BaseRoot { found, expected } => {
                write!(f, "plan starts from root {found}, the log is at {expected}")
            }
            Broken::BeforeCommit => write!(f, "record comes before the commit point"),
            Broken::AfterCommit { phase } => write!(f, "record comes after the commit point, while {phase}"),
            Broken::AfterUndo => write!(f, "record goes forward, and the transaction is being undone"),
            Broken::NotUndone => write!(f, "rolled back, and no record decided that"),
            Broken::ReadBack { found, expected } => write!(f, "read back root {found}, the target is {expected}"),
            Broken::Generation { found, expected } => write!(f, "generation {found}, the next is {expected}"),
            Broken::NoGeneration => write!(f, "no generation is left"),
            Broken::Restored { found, expected } => write!(f, "restored root {found}, the base is {expected}"),
            Broken::RollbackTarget { found, previous: Some(previous) } => {
                write!(f, "rollback leads to root {found}, the one before is {previous}")
            }
            Broken::RollbackTarget { found, previous: None } => {
                write!(f, "rollback leads to root {found}, and there was none before")
            }
            Broken::NotYetValid { now_unix_s, not_before_unix_s } => {
                write!(f, "clock shows {now_unix_s} s, plan is valid from {not_before_unix_s} s")
            }
            Broken::Expired { now_unix_s, expires_unix_s } => {
                write!(f, "clock shows {now_unix_s} s, plan expired at {expires_unix_s} s")
            }
            Broken::ClockBack { now_unix_s, floor_unix_s } => {
                write!(f, "clock shows {now_unix_s} s, the log has seen {floor_unix_s} s")
            }
            Broken::TrustVersion { found, floor } => {
                write!(f, "trust root has version {found}, the log has seen {floor}")
            }
            Broken::Build { found, floor } => write!(f, "plan is made for build {found}, the log has seen {floor}"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.id())?;
        self.write_words(f)
    }
}

impl error::Error for Broken {}
