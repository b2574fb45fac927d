//! `cargo xtask profile`: keys, signatures and contents of profiles, by the operator's program `rtt`.

use std::path::Path;
use std::process::Command;

use crate::arguments::{Arguments, unknown};
use crate::build;
use crate::exit::Stop;
use crate::packages::{self, Topology};
use crate::workspace::{Workspace, exec, forget_this_package};

/// What `--help` prints.
pub const HELP: &str = "\
Makes keys; signs, verifies, shows, compares and exports profiles.

Usage: cargo xtask profile ACTION [ARGUMENTS OF rtt profile]

  keygen    make a signing key (the first `tune` does it by itself)
  sign      sign a profile
  verify    check signature, key, machine and expiry; exit 16 when refused
  show      print knobs, outcome, p99 with its interval, and what is stale
  diff      compare two profiles knob by knob
  export    print the knobs as environment variables or JSON, for other programs

Examples:
  cargo xtask profile show profiles/signed/MACHINE.json
  cargo xtask profile verify profiles/signed/MACHINE.json
  cargo xtask profile diff OLD.json NEW.json
  cargo xtask profile export --json profiles/signed/MACHINE.json
";

const ACTIONS: [&str; 6] = ["keygen", "sign", "verify", "show", "diff", "export"];

/// Builds, then becomes `rtt profile`.
///
/// # Errors
/// A stop when the action is unknown or the build fails.
pub fn profile(workspace: &Workspace, arguments: Arguments) -> Result<u8, Stop> {
    match arguments.words().first().map(String::as_str) {
        None => return Err(Stop::usage(format!("profile: name an action: {}", ACTIONS.join(", ")))),
        Some(action) if !ACTIONS.contains(&action) => return Err(unknown("profile: ", "action", action, &ACTIONS)),
        Some(_) => {}
    }
    let mut command = command(workspace, packages::present())?;
    Err(exec(command.args(arguments.words())))
}

/// Builds, and returns the command that verifies one profile, as seen from the folder `root` it was tuned in.
///
/// # Errors
/// A stop when the build fails.
pub fn verify(workspace: &Workspace, topology: Topology, root: &Path, file: &Path) -> Result<Command, Stop> {
    let mut command = command(workspace, topology)?;
    command.arg("verify").arg(file).current_dir(root);
    Ok(command)
}

fn command(workspace: &Workspace, topology: Topology) -> Result<Command, Stop> {
    let mut command = Command::new(build::stages(workspace, topology)?.path("rtt"));
    command.arg("profile");
    forget_this_package(&mut command);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_action_is_refused_before_anything_is_built() {
        let stop = profile(&Workspace::find(), Arguments::new(["verfiy", "x.json"])).unwrap_err();
        let expected = "profile: unknown action `verfiy`; did you mean `verify`?";
        assert_eq!((stop.exit.code(), stop.message.as_str()), (2, expected));
    }

    #[test]
    fn every_action_stands_in_the_help() {
        for action in ACTIONS {
            assert!(HELP.contains(&format!("\n  {action} ")), "{action}");
        }
    }
}
