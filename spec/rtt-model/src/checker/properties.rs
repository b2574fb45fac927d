//! What must hold in every world, by the ids of `spec/reconcile.md`, and what has to be reached at all.

use super::Explored;
use super::documents::{PARTICIPANTS, root};
use super::world::World;
use crate::{Participants, Phase, PlanId, Reason};

/// Whether something holds in a world.
pub type Holds = fn(&Explored, &World) -> bool;

/// The invariants.
pub const PROPERTIES: [(&str, Holds); 13] = [
    ("REC-1 only a verified plan has effects", |_, world| world.observer.is_kept(1)),
    ("REC-2 all or nothing", |_, world| world.observer.is_kept(2) && is_whole(world)),
    ("REC-3 every Begin is closed and sealed", |explored, world| {
        world.observer.is_kept(3) && (!explored.own_moves(world).is_empty() || is_at_rest(world))
    }),
    ("REC-4 a plan is attempted at most once", |_, world| world.observer.is_kept(4)),
    ("REC-5 a sequence is burnt at Begin", |_, world| world.observer.is_kept(5)),
    ("REC-6 a plan changes only the state it was made for", |_, world| {
        world.observer.is_kept(6) && world.observer.keeps_drift(world.running)
    }),
    ("REC-7 committed is durable", |_, world| {
        world.observer.is_kept(7) && world.observer.acknowledged() <= world.durable.generation()
    }),
    ("REC-8 recovery is idempotent", |explored, world| world.observer.is_kept(8) && explored.recovers_alike(world)),
    ("REC-9 Verified is what was read back", |_, world| world.observer.is_kept(9)),
    ("REC-10 rollback restores the previous root under a new generation", |_, world| {
        world.observer.is_kept(10) && world.durable.generation() == world.observer.generation()
    }),
    ("REC-11 a plan is valid now, and the clock never goes back", |_, world| world.observer.is_kept(11)),
    ("REC-12 trust root and build never go back", |_, world| world.observer.is_kept(12)),
    ("REC-13 a drain without faults ends", |explored, world| explored.ends(world)),
];

/// What the exploration has to come by, so that the properties say something.
pub const REACHED: [(&str, Holds); 9] = [
    ("a plan is verified", |_, world| world.durable.generation() == 1),
    ("a plan without operations is verified", |_, world| world.durable.in_force() == Some(PlanId([9; 32]))),
    ("a rollback plan is verified", |_, world| world.durable.in_force() == Some(PlanId([1; 32]))),
    ("a plan is rolled back on its own", |_, world| {
        world.durable.generation() == 2 && world.durable.in_force().is_none()
    }),
    ("a plan is verified on what a rollback left", |_, world| {
        world.durable.generation() == 3 && world.durable.in_force() == Some(PlanId([3; 32]))
    }),
    ("a crash between two participants' commits", |_, world| {
        is_recovering(world, Phase::Committing) && world.running != [world.running[0]; PARTICIPANTS]
    }),
    ("a crash while a restart undoes", |_, world| {
        world.crashes == 2 && is_recovering(world, Phase::Undoing) && world.running != [world.running[0]; PARTICIPANTS]
    }),
    ("a crash while a restart aborts", |_, world| {
        let some_staged = world.staged.iter().flatten().count() == 1;
        world.crashes == 2 && is_recovering(world, Phase::Preparing) && some_staged
    }),
    ("a capability is granted after two crashes", |_, world| world.grants == 1 && world.crashes == 2),
];

/// REC-2: between transactions everybody runs what the log says, and nobody has anything prepared.
fn is_whole(world: &World) -> bool {
    let runs_the_root = root(world.running) == world.log.root() || world.observer.is_drifted();
    world.log.open().is_some() || (runs_the_root && world.staged == [None; PARTICIPANTS])
}

/// REC-3: who has nothing to do has nothing open, nothing unsynced and nothing unsealed.
fn is_at_rest(world: &World) -> bool {
    world.pending.is_empty() && world.log.open().is_none() && crate::resolve(&world.log).is_none()
}

fn is_recovering(world: &World, phase: Phase) -> bool {
    let is_new = world.swept == Participants::NONE && world.pending.is_empty();
    is_new && world.doomed == Some(Reason::Recovered) && world.log.open().is_some_and(|open| open.phase() == phase)
}
