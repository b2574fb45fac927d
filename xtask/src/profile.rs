//! `cargo xtask profile`: keys, signatures and contents of profiles, by the operator's program `rtt`.

use std::path::Path;
use std::process::Command;

use crate::arguments::{Arguments, unknown};
use crate::build;
use crate::exit::Stop;
use crate::packages::{self, Topology};
use crate::workspace::{Workspace, exec};

/// What `--help` prints.
pub const HELP: &str = "\
Makes keys; signs, verifies, shows, compares and exports profiles.

Usage: cargo xtask profile ACTION [ARGUMENTS OF rtt profile]

A profile is a file, or the id of a machine, which is looked up in profiles/signed.

  keygen    make a signing key (the first `tune` does it by itself)
  sign      sign a profile
  verify    check signature, key, machine and expiry; exit 16 when refused
  show      print knobs, outcome, p99 with its interval, and what is stale
  diff      compare two profiles knob by knob
  export    print the knobs as environment variables or JSON, for other programs

  --keys DIR        folder of trusted public keys (default profiles/keys); verify, show, diff, export
  --any-host        do not compare the machine: the profile is meant for another host; verify, export
  --refuse-on LIST  refuse, instead of warning, when one of kernel,microcode,governor,thp,mitigations changed; verify,
                    export
  --format FORM     env (default) or json; export
  --json            verify, show, diff, export; one object on stdout:
                    verify  {version, status: in_force|stale, differences, machine, machine_compared, digest, signed_by,
                            expires_unix_s}, refused {version, status: refused, reason}
                    show    {version, status, reason, machine, digest, signed_by, profile}
                    diff    {version, rows: [{name, left, right}]}; names are those of the document, where p99_ns.tuned
                            is the candidate's figure, in force only where outcome.verdict is better
                    export  the knobs alone, each under its name, for programs that read no more than that
  --key FILE        the private key (default .rtt/keys/profile.key); keygen, sign
  --public DIR      where the public key goes (default profiles/keys); keygen
  --passphrase      encrypt the new key, with a passphrase that is asked for; keygen
  --passphrase-file FILE
                    file of mode 0600 or pipe with the passphrase of an encrypted key; keygen, sign
  --out FILE        where the signed profile goes (default profiles/signed/MACHINE.json); sign

Examples:
  cargo xtask profile show MACHINE
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
    Err(exec(&mut command(workspace, packages::announced(), arguments.words())?))
}

/// Builds, and returns the command that verifies one profile, as seen from the folder `root` it was tuned in.
///
/// # Errors
/// A stop when the build fails.
pub fn verify(workspace: &Workspace, topology: Topology, root: &Path, file: &Path) -> Result<Command, Stop> {
    let words = ["verify".to_owned(), file.display().to_string()];
    let mut command = command(workspace, topology, &words)?;
    command.current_dir(root);
    Ok(command)
}

fn command(workspace: &Workspace, topology: Topology, words: &[String]) -> Result<Command, Stop> {
    let program = build::stages(workspace, topology)?.path("rtt");
    Ok(workspace.program(&program, &[&["profile".to_owned()], words].concat()))
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
