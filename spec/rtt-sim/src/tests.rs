//! The simulator itself: a seed replays exactly, what is right passes, and each mistake is found.

use crate::keys::Keys;
use crate::mutant::Mutant;
use crate::run::run;
use crate::script::script;
use crate::sweep::sweep;

/// Seeds in which every mistake is found, and in which what is right passes.
const SEEDS: u64 = 200;

#[test]
fn a_seed_replays_exactly() {
    let keys = Keys::load().expect("keys");
    for seed in 0..5 {
        let [first, second] = [0; 2].map(|_| run(&keys, seed, &script(seed), Mutant::None));
        assert_eq!(first, second, "seed {seed}");
        assert_ne!(first.trace, run(&keys, seed + 1, &script(seed + 1), Mutant::None).trace);
    }
}

#[test]
fn the_last_seed_is_run_and_the_sweep_ends() {
    let keys = Keys::load().expect("keys");
    for count in [1, 7, u64::MAX] {
        assert_eq!(sweep(&keys, u64::MAX, count, Mutant::None, None).seeds, 1, "{count} seeds");
    }
}

/// SIM-1, SIM-2, SIM-3: the positive control of the mutants below.
#[test]
fn sim_1_sim_2_sim_3_what_is_right_passes() {
    let tally = sweep(&Keys::load().expect("keys"), 0, SEEDS, Mutant::None, None);
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    assert!(tally.rare().is_empty(), "{:?}", tally.struck);
}

#[test]
fn each_mistake_is_found() {
    let keys = Keys::load().expect("keys");
    for (mutant, word) in [
        (Mutant::NoSync, ""),
        (Mutant::NoChainCheck, "feed: record"),
        (Mutant::NoSequenceCheck, "feed: record"),
        (Mutant::CutsDamage, "feed: SIM-2: damage counts as a torn write"),
        (Mutant::CutsUnsaid, "feed: SIM-2: None was said of the end"),
        (Mutant::NoWitness, "WAL-8"),
        (Mutant::LeaseAfterRoots, "condemned"),
    ] {
        let tally = sweep(&keys, 0, SEEDS, mutant, Some(word));
        let found = tally.failures.values().any(|why| why.contains(word));
        println!("{mutant:?}: found after {} seeds: {:?}", tally.seeds, tally.failures);
        assert!(found, "{mutant:?}: {:?}", tally.failures);
    }
}
