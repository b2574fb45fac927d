//! `rtt-sim`: the production store and reconciler over a seeded disk, clock and scheduler, beside a checker.
//!
//! One seed is one run and replays exactly: three writers of a log, a planner, a putter and a collector, with crashes and
//! faults drawn for them; then the faults stop and all that is owed must end. A run that fails is printed with its seed, the
//! command that replays it, and as few of its lines as still fail.
//!
//! Not here: real disks and real crashes (the tests of `rtt-store`), every interleaving of the protocol (`rtt-model`).

mod arms;
mod drain;
mod feed;
mod forge;
mod image;
mod inode;
mod keys;
mod ledger;
mod medium;
mod mutant;
mod names;
mod objects;
mod output;
mod planner;
mod run;
mod script;
mod shelves;
mod shrink;
mod sim_disk;
mod stepping;
mod strike;
mod sweep;
mod witness;
mod world;

use clap::Parser;
use keys::Keys;
use mutant::Mutant;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;
use sweep::Tally;

/// Seeds that are run unless told otherwise.
const SEEDS: u64 = 1000;
/// Failing seeds that are shrunk and shown.
const SHOWN: usize = 3;
/// Below this many seeds the share of each fault says nothing.
const SEEDS_THAT_COUNT: u64 = 1000;

/// Runs the store and the reconciler over a simulated disk.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// How many seeds; 1000, or one with --seed
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed; alone it replays that one
    #[arg(long)]
    seed: Option<u64>,
    /// {version, seeds, failures, strikes: {kind: seeds in which it struck}}
    #[arg(long)]
    json: bool,
    /// Runs a mistake that must be found
    #[arg(long, hide = true, value_enum, default_value_t)]
    mutant: Mutant,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let keys = match Keys::load() {
        Ok(keys) => keys,
        Err(error) => {
            say(&format!("rtt-sim: the keys cannot be loaded by way of a temporary folder: {error}"));
            return ExitCode::FAILURE;
        }
    };
    // What panics is told as the run's failure, in one line.
    std::panic::set_hook(Box::new(|_| {}));
    let first = arguments.seed.unwrap_or(0);
    let count = arguments.seeds.unwrap_or(if arguments.seed.is_some() { 1 } else { SEEDS });
    let began = Instant::now();
    let tally = sweep::sweep(&keys, first, count, arguments.mutant, None);
    let seconds = began.elapsed().as_secs_f64();
    for (seed, why) in tally.failures.iter().take(SHOWN) {
        show(&keys, *seed, why, arguments.mutant);
    }
    if arguments.json {
        print(&serde_json::to_string(&tally.document()).expect("integers and names"));
    } else {
        print(&words(&tally, seconds));
        if count == 1 {
            let outcome = run::run(&keys, first, &script::script(first), arguments.mutant);
            print(&format!("trace {}", outcome.trace));
        }
    }
    let rare = if count < SEEDS_THAT_COUNT { Vec::new() } else { tally.rare() };
    if !rare.is_empty() {
        say(&format!("rtt-sim: in less than {} % of the seeds: {}", sweep::LEAST_PERCENT, rare.join(", ")));
    }
    if tally.failures.is_empty() && rare.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A failing seed: why, how to run it again, and what of it is needed to fail.
fn show(keys: &Keys, seed: u64, why: &str, mutant: Mutant) {
    say(&format!("seed {seed}: {why}\n  again: cargo xtask sim --seed {seed}"));
    let lines = script::script(seed);
    let kept = shrink::shrink(&lines, |fewer| run::run(keys, seed, fewer, mutant).violation.is_some());
    let outcome = run::run(keys, seed, &kept, mutant);
    say(&format!("  {} of {} lines fail as well: {}", kept.len(), lines.len(), outcome.violation.unwrap_or_default()));
    kept.iter().for_each(|line| say(&format!("    {line}")));
}

fn words(tally: &Tally, seconds: f64) -> String {
    let per_second = tally.seeds as f64 / seconds.max(1e-9);
    let mut text = format!(
        "{} seeds, {} failed, in {seconds:.1} s ({per_second:.0} a second); {} transactions, {} crashes, {} damaged logs noticed",
        tally.seeds,
        tally.failures.len(),
        tally.transactions,
        tally.crashes,
        tally.detected
    );
    for (kind, count) in &tally.struck {
        let percent = 100.0 * *count as f64 / (tally.seeds as f64).max(1.0);
        text.push_str(&format!("\n  {kind:<12} in {count:>6} seeds, {percent:>5.1} %"));
    }
    text
}

/// To stdout. Nobody may read it any more, which is no failure of the seeds.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// To stderr, where there is no other place to say that it failed.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests;
