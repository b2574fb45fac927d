//! The exploration, the mutants, and the names that page, model and code share.

use std::collections::BTreeSet;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use super::mutant::MUTANTS;
use super::{Bounds, Explored, PROPERTIES};

const BOUNDS: Bounds = Bounds { crashes: 2, failures: 2, attempts: 9, grants: 1 };

#[test]
fn every_property_holds_in_every_world() {
    let start = Instant::now();
    let explored = Explored { mutant: None, bounds: BOUNDS };
    let checker = explored.checker().threads(2).spawn_bfs().join();
    println!(
        "{} worlds, {} moves, depth {}, {:.1} s, {BOUNDS:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        start.elapsed().as_secs_f64(),
    );
    checker.assert_properties();
}

#[test]
fn every_mutant_is_killed_by_its_property() {
    let mut survivors = Vec::new();
    for (mutant, killer) in MUTANTS {
        let start = Instant::now();
        let (name, _) = PROPERTIES.into_iter().find(|(name, _)| name.split(' ').next() == Some(killer)).unwrap();
        let explored = Explored { mutant: Some(*mutant), bounds: BOUNDS };
        let until = HasDiscoveries::AllOf(BTreeSet::from([name]));
        let checker = explored.checker().threads(2).finish_when(until).spawn_bfs().join();
        let (worlds, seconds) = (checker.unique_state_count(), start.elapsed().as_secs_f64());
        match checker.discovery(name) {
            Some(path) => {
                println!("{mutant:?}: {name}, {} moves, {worlds} worlds, {seconds:.1} s", path.into_actions().len())
            }
            None => survivors.push(format!("{mutant:?} survives {name} in {worlds} worlds, {seconds:.1} s")),
        }
    }
    assert!(survivors.is_empty(), "{survivors:#?}");
}
