//! `cargo xtask sim`: the production store and reconciler over a simulated disk, many seeds or one.

use crate::arguments::Arguments;
use crate::build;
use crate::exit::Stop;
use crate::workspace::{Workspace, exec, run};

/// What `--help` prints.
pub const HELP: &str = "\
Runs the production store and reconciler over a seeded disk, clock and scheduler: writes that are torn, short, reordered,
misdirected or lost, rot, EIO, a full disk, a slow one, forged records, killed processes and power cuts. A checker outside
knows what was acknowledged. Then the faults stop, and all that is owed must end.

Usage: cargo xtask sim [--seeds N] [--seed S] [--json]

  --seeds N  how many seeds, from 0 or S on; default 1000
  --seed S   the first seed; without --seeds that one alone, exactly as it ran before, with the digest of its trace
  --json     {version, seeds, failures, strikes: {kind: seeds in which it struck}}

A seed that fails is printed with why, how to run it again, and as few of its lines as fail as well. Exit 1 when one fails,
or when of 1000 seeds or more a kind of fault struck in less than 5 %.

Examples:
  cargo xtask sim
  cargo xtask sim --seeds 10000 --json
  cargo xtask sim --seed 794
";

const OPTIONS: [&str; 3] = ["--seeds", "--seed", "--json"];
/// Seeds of a merge.
const MERGE_SEEDS: &str = "10000";

/// Builds, then becomes the simulator.
///
/// # Errors
/// A stop when an argument is unknown, or the build fails.
pub fn sim(workspace: &Workspace, arguments: Arguments) -> Result<u8, Stop> {
    check(&arguments)?;
    let program = build::simulator(workspace)?;
    Err(exec(&mut workspace.program(&program, arguments.words())))
}

/// As many seeds as a merge needs; the simulator's exit code.
///
/// # Errors
/// A stop when the build fails.
pub fn merge_seeds(workspace: &Workspace) -> Result<u8, Stop> {
    let program = build::simulator(workspace)?;
    run(&mut workspace.program(&program, &["--seeds".to_owned(), MERGE_SEEDS.to_owned()]))
}

/// Refuses what the simulator would refuse, before anything is built.
fn check(arguments: &Arguments) -> Result<(), Stop> {
    let mut words = arguments.words().iter();
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        if name == "--json" {
            continue;
        }
        if !OPTIONS.contains(&name) {
            return Err(crate::arguments::unknown("sim: ", "argument", word, &OPTIONS));
        }
        let value = value.or_else(|| words.next().map(String::as_str));
        if value.and_then(|value| value.parse::<u64>().ok()).is_none() {
            let found = value.map_or("nothing".to_owned(), |value| format!("`{value}`"));
            return Err(Stop::usage(format!("sim: {name} takes a number, found {found}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_words(words: &[&str], expected: &str) {
        let found = check(&Arguments::new(words.iter().copied())).map_or_else(|stop| stop.message, |()| String::new());
        assert_eq!(found, expected, "{words:?}");
    }

    #[test]
    fn words_are_refused_before_anything_is_built() {
        for words in [&[][..], &["--seeds", "10", "--json"], &["--seed=7"], &["--seed", "7", "--seeds", "2"]] {
            check_words(words, "");
        }
        check_words(&["--sed", "7"], "sim: unknown argument `--sed`; did you mean `--seed`?");
        check_words(&["--seeds"], "sim: --seeds takes a number, found nothing");
        check_words(&["--seeds", "many"], "sim: --seeds takes a number, found `many`");
        check_words(&["7"], "sim: unknown argument `7`; expected one of: --seeds, --seed, --json");
    }
}
