//! Many seeds on all CPUs, each on one thread.

use crate::keys::Keys;
use crate::mutant::Mutant;
use crate::output::{Document, VERSION};
use crate::run::{Outcome, run};
use crate::script::script;
use crate::strike::Strike;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Every fault strikes in at least this many of a hundred seeds.
pub const LEAST_PERCENT: u64 = 5;

/// What the seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Seeds that were run.
    pub seeds: u64,
    /// In how many seeds each kind struck.
    pub struck: BTreeMap<&'static str, u64>,
    /// Transactions of all seeds.
    pub transactions: u64,
    /// Crashes of all seeds.
    pub crashes: u64,
    /// Damaged logs that were noticed, of all seeds.
    pub detected: u64,
    /// Seeds that failed, with why.
    pub failures: BTreeMap<u64, String>,
}

impl Tally {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        for strike in Strike::ALL {
            *self.struck.entry(strike.name()).or_default() += u64::from(outcome.strikes.of(strike) > 0);
        }
        self.transactions += outcome.transactions as u64;
        self.crashes += outcome.crashes;
        self.detected += outcome.detected;
        self.failures.extend(outcome.violation.map(|why| (seed, why)));
    }

    /// Kinds that struck in too few seeds.
    pub fn rare(&self) -> Vec<&'static str> {
        let is_rare = |count: &u64| count * 100 < self.seeds * LEAST_PERCENT;
        self.struck.iter().filter(|(_, count)| is_rare(count)).map(|(name, _)| *name).collect()
    }

    /// The document of `--json`.
    pub fn document(&self) -> Document {
        let failures = self.failures.len() as u64;
        Document { version: VERSION, seeds: self.seeds, failures, strikes: self.struck.clone() }
    }
}

/// Runs `count` seeds from `first` on, fewer where the numbers end; none begins after one has failed with the words `until`.
pub fn sweep(keys: &Keys, first: u64, count: u64, mutant: Mutant, until: Option<&str>) -> Tally {
    let count = count.min((u64::MAX - first).saturating_add(1));
    let (next, tally) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let work = || {
        loop {
            // Relaxed: the number is all that is handed over. Counted from 0, so that it does not wrap behind the last seed.
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            let seed = first + index;
            let outcome = run(keys, seed, &script(seed), mutant);
            let mut tally = tally.lock().expect("no run panics");
            tally.add(seed, outcome);
            let is_found = |words: &str| tally.failures.values().any(|why| why.contains(words));
            if until.is_some_and(is_found) {
                next.store(count, Ordering::Relaxed);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    tally.into_inner().expect("no run panics")
}
