//! What a state still owes. After a crash the log alone decides, and the way on from the commit point is the same
//! with and without a crash.
//!
//! Each duty is idempotent: done in part, lost and done again, it leads to the same end. The record that ends a duty
//! is written after the participants have done their part, so that a crash in between only repeats it.

use crate::id::{PlanId, Root};
use crate::participants::Participants;
use crate::state::{Phase, State};

/// What has to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Duty {
    /// Presumed abort: abort every participant, prepared or not, then write Abort.
    Abort {
        /// The open transaction's plan.
        plan: PlanId,
        /// All of its participants.
        participants: Participants,
    },
    /// Commit each of these, with its Committed behind it. A participant that fails is answered with Undo.
    Commit {
        /// The open transaction's plan.
        plan: PlanId,
        /// Those that have not committed.
        participants: Participants,
    },
    /// Read back what runs: write Verified when it is the target, else Undo.
    Verify {
        /// The open transaction's plan.
        plan: PlanId,
        /// Its target.
        target_root: Root,
    },
    /// Undo every participant, committed or not, read back what runs, and write RolledBack.
    Undo {
        /// The open transaction's plan.
        plan: PlanId,
        /// All of its participants.
        participants: Participants,
        /// What has to be read back.
        base_root: Root,
        /// The generation that the base gets.
        generation: u64,
    },
    /// Write a checkpoint over the transaction that ended last.
    Checkpoint,
}

/// What recovery has to do next; `None` when nothing is owed and a plan may begin.
///
/// REC-13: each duty ends with a record that leads to a later one, so that there is an end.
///
/// A transaction that is preparing owes its abort as soon as somebody asks: whoever is preparing it asks only when it
/// fails, and after a restart nobody is preparing it.
pub fn resolve(state: &State) -> Option<Duty> {
    let Some(open) = &state.open else {
        return state.is_unsealed.then_some(Duty::Checkpoint);
    };
    let (plan, participants) = (open.plan, open.participants());
    Some(match open.phase {
        Phase::Preparing => Duty::Abort { plan, participants },
        Phase::Committing if open.uncommitted().is_empty() => Duty::Verify { plan, target_root: open.target_root },
        Phase::Committing => Duty::Commit { plan, participants: open.uncommitted() },
        Phase::Undoing => {
            let (base_root, generation) = (open.base_root, open.rollback_generation());
            Duty::Undo { plan, participants, base_root, generation }
        }
    })
}
