//! `cargo xtask test`: every test of the workspace, doc tests included.
//!
//! `rtt-history` runs last and alone: polars takes minutes to build, and united with the rest it would change the
//! features of shared dependencies.

use std::io::{IsTerminal, stdout};

use crate::arguments::Arguments;
use crate::build;
use crate::exit::{Exit, Stop};
use crate::host_lock::refuse_while_held;
use crate::packages::{self, Wishes};
use crate::screen::{eprintln, print, println};
use crate::transcript::{Transcript, wants_colours};
use crate::workspace::Workspace;

/// What `--help` prints.
pub const HELP: &str = "\
Runs every test of the workspace, doc tests included.

Usage: cargo xtask test [OPTIONS] [ARGUMENTS OF cargo test]

  --no-history   leave out rtt-history (its first build takes minutes: polars)
  --no-skips     a skipped test fails
  --no-install   install nothing; print the command and exit 13 where something is missing
  --no-hwloc     build with the /sys reader of the topology
  -p PACKAGE     this package only
Anything else goes to cargo test.

A test that cannot run here passes and says why; these reasons are gathered at the end. Exit 1 when one stands there
with --no-skips, 4 when no test ran at all, 15 while a measurement holds the host; else as cargo.

Examples:
  cargo xtask test
  cargo xtask test --no-history
  cargo xtask test -p rtt-ring
  cargo xtask test wraps -- --nocapture
";

/// Runs the tests; the exit code is the first failing cargo's.
///
/// # Errors
/// A stop when a measurement holds the host, a tool is missing, cargo cannot be started, or no test ran.
pub fn test(workspace: &Workspace, mut arguments: Arguments) -> Result<u8, Stop> {
    let wishes =
        Wishes { no_install: arguments.take_flag("--no-install"), no_hwloc: arguments.take_flag("--no-hwloc") };
    let no_history = arguments.take_flag("--no-history");
    let no_skips = arguments.take_flag("--no-skips");
    refuse_while_held("test")?;
    let topology = packages::ensure(wishes)?;
    let mut transcript = Transcript::default();
    let mut code = 0;
    for words in runs(&arguments, no_history) {
        let mut command = workspace.cargo(["test", "--locked"]);
        // `--no-default-features` must stand before the user's own `--`.
        command.args(build::features(topology)).args(words);
        if wants_colours(stdout().is_terminal()) {
            command.args(colours(&arguments));
        }
        code = transcript.run(&mut command)?;
        if code != 0 {
            break;
        }
    }
    if no_history {
        println!("left out: rtt-history, as asked; to run it: cargo xtask test -p rtt-history");
    }
    print!("{}", transcript.summary());
    verdict(code, &transcript, no_skips)
}

/// What a run comes to whose last cargo ended with `code`.
fn verdict(code: u8, transcript: &Transcript, no_skips: bool) -> Result<u8, Stop> {
    if code != 0 {
        return Ok(code);
    }
    if transcript.ran_nothing() {
        let message = "test: no test matched, so nothing ran\nnext: cargo xtask test -- --list".to_owned();
        return Err(Stop { exit: Exit::Nothing, message });
    }
    if no_skips && transcript.skips().next().is_some() {
        eprintln!("test: --no-skips: a skipped test fails");
        return Ok(Exit::Unexpected.code());
    }
    Ok(0)
}

/// The words that keep libtest's colours, which it gives up for a pipe; none where the user chose already.
fn colours(arguments: &Arguments) -> &'static [&'static str] {
    let words = arguments.words();
    if words.iter().any(|word| word.starts_with("--color")) {
        &[]
    } else if words.iter().any(|word| word == "--") {
        &["--color=always"]
    } else {
        &["--", "--color=always"]
    }
}

/// The cargo runs that these arguments ask for, as the words after `cargo test`.
fn runs(arguments: &Arguments, no_history: bool) -> Vec<Vec<String>> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let names_package =
        arguments.ours().iter().any(|word| word.starts_with("-p") || word.split('=').next() == Some("--package"));
    let heads = if names_package {
        vec![Vec::new()]
    } else if no_history {
        vec![owned(&["--workspace", "--exclude", "rtt-history"])]
    } else {
        vec![owned(&["--workspace", "--exclude", "rtt-history"]), owned(&["-p", "rtt-history"])]
    };
    heads.into_iter().map(|head| [head, arguments.words().to_vec()].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], no_history: bool, expected: &[&str]) {
        let got: Vec<String> =
            runs(&Arguments::new(words.iter().copied()), no_history).iter().map(|words| words.join(" ")).collect();
        assert_eq!(got, expected, "{words:?}");
    }

    #[test]
    fn history_runs_last_and_alone() {
        check(&["wraps"], false, &["--workspace --exclude rtt-history wraps", "-p rtt-history wraps"]);
        check(&[], true, &["--workspace --exclude rtt-history"]);
    }

    #[test]
    fn a_named_package_runs_alone() {
        check(&["-p", "rtt-ring"], false, &["-p rtt-ring"]);
        check(&["--package=rtt-ring"], false, &["--package=rtt-ring"]);
        check(&["--", "-p"], true, &["--workspace --exclude rtt-history -- -p"]);
    }

    #[test]
    fn colours_are_kept_unless_the_user_chose() {
        for (words, expected) in [
            (&["wraps"][..], &["--", "--color=always"][..]),
            (&["--", "--nocapture"], &["--color=always"]),
            (&["--", "--color", "never"], &[]),
        ] {
            assert_eq!(colours(&Arguments::new(words.iter().copied())), expected, "{words:?}");
        }
    }

    fn check_verdict(said: &str, code: u8, no_skips: bool, expected: u8) {
        let got = match verdict(code, &Transcript::of(said), no_skips) {
            Ok(code) => code,
            Err(stop) => stop.exit.code(),
        };
        assert_eq!(got, expected, "{said}, cargo's code {code}, no_skips: {no_skips}");
    }

    #[test]
    fn a_run_of_nothing_ends_with_4_and_one_with_skips_with_1_where_none_may_be() {
        let (none, some) = ("test result: ok. 0 passed; 0 failed;", "test result: ok. 1 passed; 0 failed;");
        check_verdict(none, 0, false, 4);
        check_verdict(none, 101, false, 101);
        check_verdict(some, 0, true, 0);
        check_verdict(&format!("{some}\nskipped: no x; get x"), 0, true, 1);
        check_verdict(&format!("{some}\nskipped: no x; get x"), 0, false, 0);
        check_verdict("a::b: test", 0, true, 0);
    }
}
