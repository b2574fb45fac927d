//! `rtt`: the operator's command. Now profiles; plans and hosts follow.

mod profile_commands;
mod profile_text;

use clap::{Parser, Subcommand};
use profile_commands::{Desk, ProfileAction};
use std::io::{Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Looks after what RTT signs and what it runs with.
#[derive(Parser)]
#[command(
    name = "rtt",
    version,
    after_help = "Examples:
  rtt profile keygen
  rtt profile verify 0123456789abcdef

Exit codes: 0 ok, 1 unexpected, 2 usage, 13 environment unfit, 16 document or key refused."
)]
struct Options {
    #[command(subcommand)]
    topic: Topic,
}

#[derive(Subcommand)]
enum Topic {
    /// Makes keys; signs, verifies, shows, compares and exports tuned profiles.
    #[command(subcommand)]
    Profile(ProfileAction),
}

fn main() -> ExitCode {
    let Options { topic: Topic::Profile(action) } = Options::parse();
    let mut desk = Desk {
        out: &mut stdout().lock(),
        warnings: &mut stderr(),
        signed: Path::new("profiles/signed"),
        now_unix_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        fingerprint: &|| rtt_host::fingerprint().map_err(|error| rtt_seal::in_full(&error)),
    };
    let done = profile_commands::run(&action, &mut desk).and_then(|()| Ok(stdout().flush()?));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.reader_left => ExitCode::SUCCESS, // As under `| head`.
        Err(failure) => {
            eprintln!("rtt: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}
