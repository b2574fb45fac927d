//! Reconcilers with one mistake each, of those that somebody made or may make.

use crate::{Action, Broken};

macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident => $killer:literal,)*) => {
        /// One mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[$doc])* $name,)*
        }

        /// Every mutant, and the invariant whose property has to notice it.
        pub const MUTANTS: &[(Mutant, &str)] = &[$((Mutant::$name, $killer),)*];
    };
}

mutants! {
    /// The signature is not verified.
    NoSig => "REC-1",
    /// A plan for another host is taken.
    NoHost => "REC-1",
    /// Any plan's capabilities are granted.
    GrantAnything => "REC-1",
    /// Commit as soon as one participant is prepared.
    CommitUnprepared => "REC-2",
    /// Participants abort because Commit could not be synced, though nobody knows whether it is durable.
    AbortInDoubt => "REC-2",
    /// Abort is written, and what was prepared is left behind.
    AbortLeaves => "REC-2",
    /// The base is said to be restored before every participant is.
    UndoPartly => "REC-2",
    /// A restart serves on without ending what was open.
    RecoverForgets => "REC-3",
    /// A plan begins while another is open.
    DoubleBegin => "REC-3",
    /// No checkpoint at the end of a transaction.
    NoCheckpoint => "REC-3",
    /// Plan and sequence are burnt only with the commit.
    SeqAfter => "REC-4",
    /// A plan is known by its sequence alone.
    ReplayAllowed => "REC-4",
    /// Sequences are not compared.
    NoSeq => "REC-5",
    /// The base is not compared.
    NoBase => "REC-6",
    /// The base is compared by content and not by generation.
    BaseByContent => "REC-6",
    /// What runs is not scanned before a plan begins.
    NoScan => "REC-6",
    /// Participants commit before Commit is durable.
    CommitEarly => "REC-7",
    /// Participants commit without a Commit.
    NoCommitRecord => "REC-7",
    /// Preparing already changes what runs.
    ApplyInPrepare => "REC-7",
    /// A restart aborts what was committed.
    AbortAfterCommit => "REC-7",
    /// The operator is told before Verified is durable.
    AcknowledgeEarly => "REC-7",
    /// A restart goes forward with what was to be undone.
    RestartRedecides => "REC-8",
    /// Verified is written without reading back.
    VerifySkipped => "REC-9",
    /// An automatic rollback goes back to the base's generation.
    RollbackKeepsGeneration => "REC-10",
    /// A rollback plan may lead anywhere.
    RollbackElsewhere => "REC-10",
    /// A plan's time is not compared.
    NoExpiry => "REC-11",
    /// The clock may go back.
    ClockBack => "REC-11",
    /// An older trust root is taken.
    OldTrustRoot => "REC-12",
    /// A plan for an older build is taken.
    OldBuild => "REC-12",
    /// What was not the target is read back again and again.
    VerifyRetries => "REC-13",
}

impl Mutant {
    /// True for what the mutant takes for fine. The other rules of `next_state` stay on.
    pub fn silences(self, broken: &Broken) -> bool {
        use Broken::*;
        match self {
            Mutant::NoHost => matches!(broken, Audience { .. }),
            Mutant::GrantAnything => matches!(broken, NotInForce { .. }),
            Mutant::CommitUnprepared => matches!(broken, Unprepared { .. }),
            Mutant::DoubleBegin => matches!(broken, StillOpen { .. } | Unsealed),
            Mutant::RecoverForgets => matches!(broken, StillOpen { .. }),
            Mutant::NoCheckpoint => matches!(broken, Unsealed),
            Mutant::ReplayAllowed => matches!(broken, Attempted { .. }),
            Mutant::NoSeq => matches!(broken, Sequence { .. }),
            Mutant::NoBase => matches!(broken, BaseGeneration { .. } | BaseRoot { .. }),
            Mutant::BaseByContent => matches!(broken, BaseGeneration { .. }),
            Mutant::NoCommitRecord => matches!(broken, BeforeCommit),
            Mutant::AbortAfterCommit => matches!(broken, AfterCommit { .. }),
            Mutant::RestartRedecides => matches!(broken, AfterUndo),
            Mutant::RollbackKeepsGeneration => matches!(broken, Generation { .. }),
            Mutant::RollbackElsewhere => matches!(broken, RollbackTarget { .. }),
            Mutant::NoExpiry => matches!(broken, Expired { .. } | NotYetValid { .. }),
            Mutant::ClockBack => matches!(broken, ClockBack { .. }),
            Mutant::OldTrustRoot => matches!(broken, TrustVersion { .. }),
            Mutant::OldBuild => matches!(broken, Build { .. }),
            _ => false,
        }
    }

    /// True when the mutant goes on before this record is durable.
    pub fn does_not_wait(self, action: &Action) -> bool {
        match self {
            Mutant::SeqAfter => matches!(action, Action::Begin(_)),
            Mutant::CommitEarly => matches!(action, Action::Commit { .. }),
            _ => false,
        }
    }
}
