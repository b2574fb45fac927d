//! `cargo xtask trend`: what was measured so far is appended to the history, and its course is shown.
//!
//! `rtt-history` does all of it. It is built at first use, and never while a measurement holds the host: its build would
//! keep every CPU busy for minutes. What the append says goes to stderr, so that stdout is the trend's own.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Stdio;

use crate::arguments::{Arguments, unknown};
use crate::build;
use crate::exit::{Exit, Stop};
use crate::history_options::refuse_unknown;
use crate::host_lock::refuse_while_held;
use crate::screen::eprintln;
use crate::workspace::{Workspace, exec, run};

/// What `--help` prints.
pub const HELP: &str = "\
Shows the course of each scenario over days: p99, change points, false alarms of the gate, burnt budget.

Usage: cargo xtask trend [OPTIONS]
       cargo xtask trend compact [--root DIR] [--json]
       cargo xtask trend retain --days N [--dry-run] [--root DIR] [--json]

Appends every finished tune and gate to the history first (.rtt/history: Parquet by machine and day), then shows it.
All of it is advice and ends with exit code 0: nights are not interleaved; only the gate decides.
  --scenario NAME  only this scenario
  --machine ID     only the machine whose id begins so
  --days N         only so many days back
  --slo FILE       the lock of the budgets (default: ci/slo.lock.json)
  --cost           say on stderr what it cost: seconds and memory
  --json           one JSON document on stdout
  --root DIR       the folder that holds .rtt, instead of this checkout
Actions:
  compact          one file of the files of each machine and day; no row is lost, wherever it is stopped
  retain           removes days before the last N from the history; logs stay, and --dry-run only says what would go
It is built at first use (minutes: polars); while a measurement holds the host it is refused with exit 15. A log that is
damaged is named, the rest is shown all the same, and the exit code is 1.

Examples:
  cargo xtask trend
  cargo xtask trend --scenario steady --days 30
  cargo xtask trend --json
  cargo xtask trend compact
  cargo xtask trend retain --days 400 --dry-run
";

/// Where the budgets lie in this checkout.
const SLO_LOCK: &str = "ci/slo.lock.json";

/// Builds `rtt-history`, appends, and shows; or does an action.
///
/// # Errors
/// A stop when a word is misspelt, a measurement holds the host, or the build fails.
pub fn trend(workspace: &Workspace, arguments: Arguments) -> Result<u8, Stop> {
    let asked = asked(arguments, &workspace.root.join(SLO_LOCK))?;
    refuse_while_held("trend")?;
    let program = build::history(workspace)?.path("rtt-history");
    let (append, words) = match asked {
        Asked::Action(words) => return Err(exec(&mut workspace.program(&program, &words))),
        Asked::Trend { append, words } => (append, words),
    };
    let mut command = workspace.program(&program, &append);
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    command.stdout(stderr.map_or_else(|_| Stdio::null(), Stdio::from));
    let appended = run(&mut command)?;
    // Where nothing was measured yet, there may be a history all the same; so may there be beside a damaged log.
    if appended != Exit::Success.code() && appended != Exit::Nothing.code() {
        eprintln!("note: not everything could be appended; the trend is of the rest");
    }
    let shown = run(&mut workspace.program(&program, &words))?;
    Ok(if shown == Exit::Success.code() && appended != Exit::Nothing.code() { appended } else { shown })
}

/// What `rtt-history` is told.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// One action.
    Action(Vec<String>),
    /// An append, then the trend.
    Trend { append: Vec<String>, words: Vec<String> },
}

fn asked(mut arguments: Arguments, budgets: &Path) -> Result<Asked, Stop> {
    match arguments.take_name().as_deref() {
        Some(action @ ("compact" | "retain")) => {
            let words = [&[action.to_owned()], arguments.words()].concat();
            refuse_unknown(&format!("trend {action}"), &words)?;
            return Ok(Asked::Action(words));
        }
        Some(other) => return Err(unknown("trend: ", "action", other, &["compact", "retain"])),
        None => {}
    }
    let words = arguments.words();
    let given = |option: &str| words.iter().any(|word| word == option || word.starts_with(&format!("{option}=")));
    let mut append = vec!["append".to_owned()];
    for (at, word) in words.iter().enumerate() {
        if word.starts_with("--root=") {
            append.push(word.clone());
        } else if word == "--root" {
            append.extend(words[at..].iter().take(2).cloned());
        }
    }
    let mut shown = vec!["trend".to_owned()];
    if !given("--slo") {
        // This checkout's budgets, wherever `--root` has the history.
        shown.extend(["--slo".to_owned(), budgets.display().to_string()]);
    }
    shown.extend(words.iter().cloned());
    refuse_unknown("trend", &shown)?;
    Ok(Asked::Trend { append, words: shown })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let got = match asked(Arguments::new(line.split_whitespace()), Path::new("/checkout/slo")) {
            Ok(Asked::Action(words)) => words.join(" "),
            Ok(Asked::Trend { append, words }) => format!("{}; {}", append.join(" "), words.join(" ")),
            Err(stop) => format!("{}: {}", stop.exit.code(), stop.message),
        };
        assert_eq!(got, expected, "{line}");
    }

    #[test]
    fn a_trend_appends_first_below_the_same_root() {
        check("", "append; trend --slo /checkout/slo");
        check("--json --days 3", "append; trend --slo /checkout/slo --json --days 3");
        check("--root x --json", "append --root x; trend --slo /checkout/slo --root x --json");
        check("--root=x --slo=y", "append --root=x; trend --root=x --slo=y");
    }

    #[test]
    fn actions_append_nothing() {
        check("compact --json", "compact --json");
        check("retain --days 9 --dry-run", "retain --days 9 --dry-run");
        check("retain --dayz 9", "2: trend retain: unknown option `--dayz`; did you mean `--days`?");
        check("--days x", "2: trend: --days x: expected a whole number of days, 1 or more");
        check("compcat", "2: trend: unknown action `compcat`; did you mean `compact`?");
    }
}
