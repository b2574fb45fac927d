//! One run: lines, then the drain, and what came of them.

use crate::arms::Death;
use crate::drain::TRANSACTIONS;
use crate::keys::Keys;
use crate::mutant::Mutant;
use crate::script::Line;
use crate::strike::Strikes;
use crate::world::World;
use rtt_units::SplitMix64;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Crashes that each run has at least.
const CRASHES: u64 = 2;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Faults that struck.
    pub strikes: Strikes,
    /// What the checker held against the system; `None` for nothing.
    pub violation: Option<String>,
    /// Digest over every request, its result, and every crash.
    pub trace: String,
    /// Transactions that were closed.
    pub transactions: usize,
    /// Processes that ended.
    pub crashes: u64,
    /// Damaged logs that were noticed.
    pub detected: u64,
}

/// Runs these lines, which are those of `seed` or some of them.
pub fn run(keys: &Keys, seed: u64, lines: &[Line], mutant: Mutant) -> Outcome {
    let mut world = World::new(keys, mutant);
    let ended = catch_unwind(AssertUnwindSafe(|| live(&mut world, seed, lines)));
    let violation = match ended {
        Ok(result) => result.err(),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
            Some(format!("panic: {}", words.unwrap_or_default()))
        }
    };
    let (transactions, detected) = (world.closed, world.detected);
    let device = world.device.clone();
    // A run that panicked may hold the disk still: then there is nothing to tell of it.
    let outcome = device.0.try_borrow().map(|shared| {
        let medium = &shared.medium;
        (medium.strikes.clone(), medium.trace.finalize().to_hex().to_string(), medium.crashes)
    });
    let (strikes, trace, crashes) = outcome.unwrap_or_default();
    let violation = violation.or_else(|| match () {
        () if transactions < TRANSACTIONS => Some(format!("{transactions} transactions, expected {TRANSACTIONS}")),
        () if crashes < CRASHES => Some(format!("{crashes} crashes, expected {CRASHES}")),
        () => None,
    });
    if violation.is_some() {
        // Its parts may be in any state: what they would do when they are dropped is of no interest.
        std::mem::forget(world);
    }
    Outcome { strikes, violation, trace, transactions, crashes, detected }
}

fn live(world: &mut World<'_>, seed: u64, lines: &[Line]) -> Result<(), String> {
    let mut draw = SplitMix64::new(!seed);
    world.restart(Death::Killed, &mut draw)?;
    for line in lines {
        world.take(line)?;
    }
    world.drain(&mut draw)
}
