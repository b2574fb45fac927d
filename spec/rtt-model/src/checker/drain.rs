//! A world left alone: no plan is handed in, nothing fails, nothing crashes.

use super::Explored;
use super::documents::PARTICIPANTS;
use super::world::World;

/// Moves within which every world comes to rest: begin, prepare, commit, commit each, verify, decide to go back, undo
/// each, roll back and seal, with a sync behind each record that is waited for.
pub const DRAIN_MOVES: usize = 12 + 3 * PARTICIPANTS;

/// Which of the moves that stand open is taken.
#[derive(Clone, Copy)]
pub enum Order {
    First,
    Last,
}

impl Explored {
    /// The rest that a world comes to, or `None` when it takes more than [`DRAIN_MOVES`].
    pub fn drain(&self, world: &World, order: Order) -> Option<World> {
        let mut world = world.clone();
        for _ in 0..=DRAIN_MOVES {
            let moves = self.own_moves(&world);
            let next = match order {
                Order::First => moves.first(),
                Order::Last => moves.last(),
            };
            let Some(next) = next else {
                return Some(world);
            };
            world = self.after(&world, *next)?;
        }
        None
    }

    /// REC-13: whatever happened, there is an end.
    pub fn ends(&self, world: &World) -> bool {
        [Order::First, Order::Last].into_iter().all(|order| self.drain(world, order).is_some())
    }

    /// REC-8: a recovery that is cut off anywhere and begun again comes to the same rest. One crash suffices: the world
    /// behind it is recovering too, and is asked the same. Only a failure of which no durable record tells may be
    /// forgotten, and so only where such a record is lost.
    pub fn recovers_alike(&self, world: &World) -> bool {
        if world.doomed.is_none() {
            return true; // Nobody has failed or crashed: the plan goes on, and after a crash it does not.
        }
        let rest =
            |world: &World, order| self.drain(world, order).map(|world| (world.log, world.running, world.staged));
        let expected = rest(world, Order::First);
        let fewest = if world.is_unsettled { world.pending.len() } else { 0 };
        (fewest..=world.pending.len()).all(|kept| rest(&world.after_crash(kept), Order::Last) == expected)
    }
}
