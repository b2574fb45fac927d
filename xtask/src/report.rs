//! `cargo xtask report`: one run as a page, or many runs as tables.
//!
//! One run is drawn by `rtt-report`, without polars. Two runs, tables and Parquet go to `rtt-history`, which is built
//! at first use, and never while a measurement holds the host: its build would keep every CPU busy for minutes.

use crate::arguments::{Arguments, unknown};
use crate::build;
use crate::exit::Stop;
use crate::history_options::refuse_unknown;
use crate::host_lock::refuse_while_held;
use crate::packages;
use crate::workspace::{Workspace, exec};

/// What `--help` prints.
pub const HELP: &str = "\
Shows what was measured.

Usage: cargo xtask report [RUN] [OPTIONS OF rtt-report render]
       cargo xtask report list
       cargo xtask report gate FOLDER
       cargo xtask report RUN RUN [OPTIONS OF rtt-history compare]
       cargo xtask report --parquet [OPTIONS OF rtt-history export]
       cargo xtask report --table [OPTIONS OF rtt-history table]

RUN is the name of a run below .rtt/runs, or its folder. Without one, the newest run is drawn.
  one run      writes reports/out/<run>.html: one file, no network
  list         lists the runs that are there
  gate FOLDER  draws a comparison of the gate, .rtt/gate/<comparison>
  two runs     compares them, and refuses runs of unlike machines
  --parquet    exports runs to Parquet, by machine and day
  --table      a table over what was exported
One run, list and gate also take these:
  --out FILE   where the page goes; one run, gate
  --root DIR   the folder that holds .rtt and reports, instead of this checkout; one run
  --json       one object on stdout: one run {version, run, page, bytes, outcome}, gate {version, comparison, page, bytes,
               verdict}, list {version, runs: [{run, trials, outcome, error, running}]}
Two runs take --root, --json and --any-host (runs of unlike machines too); --parquet takes --run RUN (repeatable) and
--json; --table takes --by, --columns, --where COLUMN=VALUE, --since DAY, --until DAY, --csv, --json and --root.
Two runs, --table and --parquet use rtt-history, built at first use (minutes: polars); while a measurement holds
the host they are refused with exit 15.

Examples:
  cargo xtask report
  cargo xtask report RUN
  cargo xtask report RUN OTHER_RUN
  cargo xtask report --parquet
  cargo xtask report --table --by scenario --columns settled,p50,p99
";

/// What a page may be told, and the two options that ask for something else.
const OPTIONS: [&str; 6] = ["--out", "--root", "--json", "--table", "--parquet", "--version"];
/// Options of the two programs that take the next word as their value: that word is no run.
const WITH_VALUE: [&str; 3] = ["--out", "-o", "--root"];

/// Builds the program that answers, then becomes it.
///
/// # Errors
/// A stop when an option is unknown, a measurement holds the host and polars is asked for, or the build fails.
pub fn report(workspace: &Workspace, arguments: Arguments) -> Result<u8, Stop> {
    let mut command = match asked(arguments)? {
        Asked::History(words) => {
            refuse_while_held("report over several runs")?;
            workspace.program(&build::history(workspace)?.path("rtt-history"), &words)
        }
        Asked::Page(words) => {
            workspace.program(&build::stages(workspace, packages::announced())?.path("rtt-report"), &words)
        }
    };
    Err(exec(&mut command))
}

/// Which program answers, and what it is told.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Page(Vec<String>),
    History(Vec<String>),
}

fn asked(mut arguments: Arguments) -> Result<Asked, Stop> {
    let action = if arguments.take_flag("--table") {
        "table"
    } else if arguments.take_flag("--parquet") {
        "export"
    } else if runs(&arguments) >= 2 {
        "compare"
    } else {
        let name = |word: &String| word.split('=').next().unwrap_or_default().to_owned();
        let mut names = arguments.ours().iter().map(name).filter(|name| name.starts_with("--"));
        return match names.find(|name| !OPTIONS.contains(&name.as_str())) {
            Some(name) => Err(unknown("report: ", "option", &name, &OPTIONS)),
            None => Ok(Asked::Page(arguments.words().to_vec())),
        };
    };
    let words = [&[action.to_owned()], arguments.words()].concat();
    refuse_unknown("report", &words)?;
    Ok(Asked::History(words))
}

/// How many runs are named.
fn runs(arguments: &Arguments) -> usize {
    // With one of rtt-report's own commands the words after it are that command's.
    if arguments.words().first().is_some_and(|word| ["list", "render", "gate"].contains(&word.as_str())) {
        return 0;
    }
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
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let got = match asked(Arguments::new(line.split_whitespace())) {
            Ok(Asked::Page(words)) => format!("page: {}", words.join(" ")),
            Ok(Asked::History(words)) => format!("history: {}", words.join(" ")),
            Err(stop) => format!("{}: {}", stop.exit.code(), stop.message),
        };
        assert_eq!(got, expected, "{line}");
    }

    #[test]
    fn one_run_needs_no_polars() {
        check("", "page: ");
        check("a", "page: a");
        check("a --out b.html", "page: a --out b.html");
        check("--out=b.html a", "page: --out=b.html a");
        check("list .rtt/runs", "page: list .rtt/runs");
    }

    #[test]
    fn what_is_misspelt_is_refused_before_a_build() {
        check("--tabel", "2: report: unknown option `--tabel`; did you mean `--table`?");
        check("a --rooot=x", "2: report: unknown option `--rooot`; did you mean `--root`?");
        check("--table --colums p50", "2: report: unknown option `--colums`; did you mean `--columns`?");
        check("a b --any-hots", "2: report: unknown option `--any-hots`; did you mean `--any-host`?");
    }

    #[test]
    fn several_runs_do() {
        check("a b --json", "history: compare a b --json");
        check("a --root x b", "history: compare a --root x b");
        check("--table --by day", "history: table --by day");
        check("--parquet", "history: export");
    }
}
