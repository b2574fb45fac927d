//! `cargo xtask config`: finds the real `cue` and hands it to `rtt-config`, which makes and checks the locks.
//!
//! The pinned evaluator is a Go tool module in `spec/cue`; it is built where Go is recent enough. A `cue` on `PATH` is
//! the second choice. Without either, sources cannot be compared with their locks: that is said, never passed over.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::arguments::{Arguments, unknown};
use crate::exit::Stop;
use crate::host_lock::refuse_while_held;
use crate::screen::eprintln;
use crate::workspace::{Workspace, exec, on_path, output, run};

/// What `--help` prints.
pub const HELP: &str = "\
Builds or checks the locks of the CUE sources (spec/schema, scenarios, ci/slo.cue).

Usage: cargo xtask config build|check|validate [ARGUMENTS OF rtt-config]

  build      export each source to the canonical JSON lock beside it
  check      prove that locks and sources agree, and that `cue` and the Rust reader accept and refuse the same corpus
  validate   read a scenario of your own, as JSON, and say what is wrong with it
  --json     check, validate: one object on stdout, {version, ok, refused, skipped}, each a list of sentences

Uses the real `cue`: the pinned one is built with Go 1.24 or later, else `cue` on PATH is taken. Without one, `check`
prints `skipped: ...` and compares the locks with the digests of their sources only, and `build` stops with exit 13.
Running RTT needs neither: the locks are committed.

Examples:
  cargo xtask config check
  cargo xtask config build
  cargo xtask config validate my-scenario.json
";

const ACTIONS: [&str; 3] = ["build", "check", "validate"];
/// The program that does the work.
const PROGRAM: &str = "rtt-config";
/// First minor release of Go 1 that has tool modules.
const GO_MINOR: u32 = 24;

/// Where the evaluator is, or why there is none and how to get one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cue {
    /// The program.
    Found(PathBuf),
    /// The reason and the next step.
    Absent(String),
}

/// Finds or builds `cue`, then becomes `rtt-config`.
///
/// # Errors
/// A stop when the action is unknown, when `build` has no evaluator, or when cargo cannot be started.
pub fn config(workspace: &Workspace, arguments: Arguments) -> Result<u8, Stop> {
    let action = match arguments.words().first().map(String::as_str) {
        None => return Err(Stop::usage(format!("config: name an action: {}", ACTIONS.join(" or ")))),
        Some(action) if !ACTIONS.contains(&action) => return Err(unknown("config: ", "action", action, &ACTIONS)),
        Some(action) => action,
    };
    let held = refuse_while_held("config"); // It builds.
    if action == "validate" {
        let built = workspace.target()?.join("debug").join(PROGRAM);
        return match held {
            Ok(()) => Err(exec(&mut command(workspace, None, arguments.words()))),
            // Reading a file disturbs nothing, where the program that reads it was built before.
            Err(_) if built.exists() => {
                eprintln!("note: a measurement runs here, so nothing is built now: the last build is taken");
                Err(exec(&mut workspace.program(&built, arguments.words())))
            }
            Err(held) => Err(held),
        };
    }
    held?;
    let cue = match find(workspace)? {
        Cue::Found(cue) => Some(cue),
        Cue::Absent(reason) if action == "build" => {
            return Err(Stop::unfit(format!("config build: {reason}; nothing was run")));
        }
        Cue::Absent(reason) => {
            // Not on stdout, which is the document's alone where one was asked for; `rtt-config` says it there as well.
            eprintln!("skipped: comparing with the sources: {reason}");
            None
        }
    };
    Err(exec(&mut command(workspace, cue.as_deref(), arguments.words())))
}

/// The command that runs `rtt-config`. Without an evaluator it compares the locks with the digests of their sources.
pub fn command(workspace: &Workspace, cue: Option<&Path>, words: &[String]) -> Command {
    let mut command = workspace.cargo(["run", "--quiet", "--locked", "-p", "rtt-scenario", "--bin", PROGRAM, "--"]);
    command.args(&words[..1]);
    if let Some(cue) = cue {
        command.arg("--cue").arg(cue);
    }
    command.args(&words[1..]);
    command
}

/// Finds the evaluator, building the pinned one where that is possible.
///
/// # Errors
/// A stop when cargo or Go cannot be started.
pub fn find(workspace: &Workspace) -> Result<Cue, Stop> {
    let module = workspace.root.join("spec/cue");
    let go = output("go", &["version"]).as_deref().and_then(go_minor);
    if module.join("go.mod").is_file() && go.is_some_and(|minor| minor >= GO_MINOR) {
        let cue = workspace.target()?.join("cue");
        let mut build = Command::new("go");
        build.arg("build").arg("-C").arg(&module).arg("-o").arg(&cue).arg("cuelang.org/go/cmd/cue");
        // The Go that is here, and exactly the locked modules: a build must not fetch another compiler.
        if run(build.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=readonly"))? == 0 {
            return Ok(Cue::Found(cue));
        }
        eprintln!("warn: the pinned cue could not be built; looking for `cue` on PATH");
    }
    Ok(on_path("cue").map_or_else(|| Cue::Absent(absent(go)), Cue::Found))
}

fn absent(go: Option<u32>) -> String {
    let go = match go {
        None => "no Go".to_owned(),
        Some(minor) if minor < GO_MINOR => format!("Go 1.{minor} is older than 1.{GO_MINOR}"),
        Some(_) => "the pinned one could not be built".to_owned(),
    };
    format!("no `cue` ({go}, and no `cue` on PATH); install Go 1.{GO_MINOR} or later, or put `cue` on PATH")
}

/// The minor number in `go version go1.24.5 linux/amd64`.
fn go_minor(version: &str) -> Option<u32> {
    let number = version.split_whitespace().find_map(|word| word.strip_prefix("go1."))?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::shown;

    #[test]
    fn the_version_of_go_is_read() {
        assert_eq!(go_minor("go version go1.24.5 linux/amd64"), Some(24));
        assert_eq!(go_minor("go version go1.19.8 linux/amd64"), Some(19));
        assert_eq!(go_minor("go version go1.26rc1 linux/arm64"), Some(26));
        assert_eq!(go_minor("go version devel +abc"), None);
    }

    #[test]
    fn what_is_absent_is_said_with_the_next_step() {
        assert!(absent(Some(19)).contains("Go 1.19 is older than 1.24"));
        assert!(absent(None).starts_with("no `cue` (no Go, and"));
    }

    #[test]
    fn the_evaluator_is_passed_after_the_action() {
        let words = ["check".to_owned(), "--json".to_owned()];
        let with = shown(&command(&Workspace::find(), Some(Path::new("/x/cue")), &words));
        assert!(with.ends_with("--bin rtt-config -- check --cue /x/cue --json"), "{with}");
        let without = shown(&command(&Workspace::find(), None, &words));
        assert!(without.ends_with("--bin rtt-config -- check --json"), "{without}");
    }

    #[test]
    fn an_unknown_action_is_refused() {
        let stop = config(&Workspace::find(), Arguments::new(["chek"])).unwrap_err();
        assert_eq!(stop.message, "config: unknown action `chek`; did you mean `check`?");
    }
}
