//! `cargo xtask test`: every test of the workspace, doc tests included.
//!
//! `rtt-history` runs last and alone: polars takes minutes to build, and united with the rest it would change the
//! features of shared dependencies.

use crate::arguments::Arguments;
use crate::build;
use crate::exit::Stop;
use crate::host_lock::holder;
use crate::packages::{self, Wishes};
use crate::screen::{eprintln, println};
use crate::workspace::{Workspace, run};

/// What `--help` prints.
pub const HELP: &str = "\
Runs every test of the workspace, doc tests included.

Usage: cargo xtask test [OPTIONS] [ARGUMENTS OF cargo test]

  --no-history   leave out rtt-history (its first build takes minutes: polars)
  --no-install   install nothing; print the command and exit 13 where something is missing
  --no-hwloc     build with the /sys reader of the topology
  -p PACKAGE     this package only
Anything else goes to cargo test.

Examples:
  cargo xtask test
  cargo xtask test --no-history
  cargo xtask test -p rtt-ring
  cargo xtask test wraps -- --nocapture
";

/// Runs the tests; the exit code is the first failing cargo's.
///
/// # Errors
/// A stop when a tool is missing or cargo cannot be started.
pub fn test(workspace: &Workspace, mut arguments: Arguments) -> Result<u8, Stop> {
    let wishes =
        Wishes { no_install: arguments.take_flag("--no-install"), no_hwloc: arguments.take_flag("--no-hwloc") };
    let no_history = arguments.take_flag("--no-history");
    if let Some(holder) = holder() {
        eprintln!("warn: these tests disturb a measurement on this host: {}", holder.shown());
    }
    let topology = packages::ensure(wishes)?;
    for words in runs(&arguments, no_history) {
        let mut command = workspace.cargo(["test", "--locked"]);
        // `--no-default-features` must stand before the user's own `--`.
        command.args(build::features(topology)).args(words);
        match run(&mut command)? {
            0 => {}
            code => return Ok(code),
        }
    }
    if no_history {
        println!("skipped: rtt-history, as asked; to run it: cargo xtask test -p rtt-history");
    }
    Ok(0)
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
}
