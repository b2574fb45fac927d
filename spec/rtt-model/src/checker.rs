//! The reconciler, its disk, its participants and everything that happens to them, explored by Stateright.
//!
//! `world` is the reconciler's volatile side, three participants and a log of which a crash keeps any prefix behind what
//! was synced. What it appends goes through the production `next_state`, and what it owes is the production `resolve`.
//! `documents` are the plans that anybody may hand in at any time and any number of times. `observer` keeps books of its
//! own and judges; `drain` lets a world run to its rest. `mutant` switches off one rule at a time.

mod documents;
mod drain;
mod mutant;
mod observer;
mod properties;
mod world;

use stateright::{Model, Property};

use self::mutant::Mutant;
use self::properties::PROPERTIES;
use self::world::{Move, World};

/// What is explored: the reconciler as it is meant, or a mutant of it, and how much may happen to it.
#[derive(Clone, Copy, Debug)]
struct Explored {
    mutant: Option<Mutant>,
    bounds: Bounds,
}

/// How much may happen in one history. Plans are handed in without bound; an attempt burns, so attempts are few.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    crashes: u8,
    failures: u8,
    attempts: u8,
    grants: u8,
}

impl Model for Explored {
    type State = World;
    type Action = Move;

    fn init_states(&self) -> Vec<World> {
        vec![World::genesis()]
    }

    fn actions(&self, world: &World, moves: &mut Vec<Move>) {
        moves.extend(self.own_moves(world));
        self.push_foreign_moves(world, moves);
    }

    fn next_state(&self, world: &World, step: Move) -> Option<World> {
        self.after(world, step)
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.observer.attempts() <= self.bounds.attempts
    }

    fn properties(&self) -> Vec<Property<Explored>> {
        let always = PROPERTIES.map(|(name, holds)| Property::always(name, holds));
        let reached = properties::REACHED.map(|(name, is_there)| Property::sometimes(name, is_there));
        always.into_iter().chain(reached).collect()
    }
}

#[cfg(test)]
mod tests;
