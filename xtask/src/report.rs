//! `cargo xtask report`: one run as a page, or many runs as tables.
//!
//! One run is drawn by `rtt-report`, without polars. Two runs, tables and Parquet go to `rtt-history`, which is built
//! at first use, and never while a measurement holds the host: its build would keep every CPU busy for minutes.

use std::process::Command;

use crate::arguments::Arguments;
use crate::build;
use crate::exit::Stop;
use crate::host_lock::refuse_while_held;
use crate::packages;
use crate::workspace::{Workspace, exec, forget_this_package};

/// What `--help` prints.
pub const HELP: &str = "\
Shows what was measured.

Usage: cargo xtask report [RUN] [OPTIONS OF rtt-report]
       cargo xtask report RUN RUN [OPTIONS OF rtt-history]
       cargo xtask report --table|--parquet [OPTIONS OF rtt-history]

RUN is a trial log. Without one, the newest run is drawn.
  one run      writes reports/out/<run>.html: one file, no network
  two runs     compares them, and refuses runs of unlike machines
  --table      a table over all runs
  --parquet    exports all runs, by machine and day
Two runs, --table and --parquet use rtt-history, built at first use (minutes: polars); while a measurement holds
the host they are refused with exit 15.

Examples:
  cargo xtask report
  cargo xtask report RUN
  cargo xtask report RUN OTHER_RUN
  cargo xtask report --table
";

/// Options of the two programs that take the next word as their value: that word is no run.
const WITH_VALUE: [&str; 5] = ["--out", "-o", "--root", "--format", "--machine"];

/// Builds the program that answers, then becomes it.
///
/// # Errors
/// A stop when a measurement holds the host and polars is asked for, or the build fails.
pub fn report(workspace: &Workspace, arguments: Arguments) -> Result<u8, Stop> {
    let program = if needs_history(&arguments) {
        refuse_while_held("report over several runs")?;
        build::history(workspace)?.path("rtt-history")
    } else {
        build::stages(workspace, packages::present())?.path("rtt-report")
    };
    let mut command = Command::new(program);
    forget_this_package(&mut command);
    Err(exec(command.args(arguments.words())))
}

fn needs_history(arguments: &Arguments) -> bool {
    let mut runs = 0;
    let mut is_value = false;
    for word in arguments.ours() {
        if word.starts_with('-') {
            is_value = WITH_VALUE.contains(&word.as_str());
        } else {
            runs += usize::from(!is_value);
            is_value = false;
        }
    }
    runs >= 2 || arguments.has("--table") || arguments.has("--parquet")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: bool) {
        assert_eq!(needs_history(&Arguments::new(words.iter().copied())), expected, "{words:?}");
    }

    #[test]
    fn one_run_needs_no_polars() {
        check(&[], false);
        check(&["a.jsonl"], false);
        check(&["a.jsonl", "--out", "b.html"], false);
        check(&["--out=b.html", "a.jsonl"], false);
    }

    #[test]
    fn several_runs_do() {
        check(&["a.jsonl", "b.jsonl"], true);
        check(&["a.jsonl", "--out", "x", "b.jsonl"], true);
        check(&["--table"], true);
        check(&["--parquet=folder"], true);
    }
}
