//! `rtt`: the operator's command. Profiles, keys, hosts.

mod checked_profile;
mod disk_choice;
mod drift_text;
mod failure;
mod host_commands;
mod key_commands;
mod key_text;
mod log_commands;
mod output;
mod plan_commands;
mod plan_draft;
mod plan_history;
mod plan_ops;
mod plan_signing;
mod private_key;
mod profile_commands;
mod profile_text;
mod site;
mod store_commands;
mod trust_draft;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand};
use failure::{Failure, PLAN_REFUSED, REFUSED};
use host_commands::HostAction;
use key_commands::{KeyAction, KeyDesk};
use log_commands::LogAction;
use plan_commands::{Apply, PlanAction};
use profile_commands::{Desk, ProfileAction};
use rtt_seal::near_name;
use serde_json::json;
use site::Site;
use std::io::{self, StdoutLock, Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use store_commands::StoreAction;

/// Looks after what RTT signs and what it runs with.
#[derive(Parser)]
#[command(
    name = "rtt",
    version,
    after_help = "Examples:
  rtt host init
  rtt key new planner
  rtt key init --add .rtt/keys/0123456789abcdef.pub
  rtt plan draft ops.json --out plan.json
  rtt profile verify 0123456789abcdef

Exit codes: 0 ok; 1 unexpected; 2 usage, or a file or an object that is named is not there; 13 this host lacks what is
needed: key, trust, log, managed folder; 14 plan refused, aborted or rolled back; 15 another process holds the log;
16 another signed document or a key refused; 17 what runs was changed behind the log."
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
    /// Makes and replaces keys, and the trust document that says what each may sign.
    #[command(subcommand)]
    Key(KeyAction),
    /// Makes this host's own key, and tells its id.
    #[command(subcommand)]
    Host(HostAction),
    /// Drafts, signs, shows and carries out plans: the only way in which a host changes.
    Plan {
        #[command(flatten)]
        site: Site,
        #[command(subcommand)]
        action: PlanAction,
    },
    /// Carries out a signed plan that leads back to the state before; `rtt plan draft --rollback` drafts one.
    Rollback {
        #[command(flatten)]
        site: Site,
        #[command(flatten)]
        wanted: Apply,
    },
    /// Verifies, shows and proves the log.
    Log {
        #[command(flatten)]
        site: Site,
        #[command(subcommand)]
        action: LogAction,
    },
    /// Puts, gets and looks after objects.
    Store {
        #[command(flatten)]
        site: Site,
        #[command(subcommand)]
        action: StoreAction,
    },
}

/// Standard output, and whether anything was printed there. A reader that left, as `| head` does, changes neither what is
/// done nor the exit code.
struct Out {
    inner: StdoutLock<'static>,
    printed: bool,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.printed |= !bytes.is_empty();
        match self.inner.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.inner.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}

/// Standard error. Whether anybody reads it changes nothing of what is done.
struct Warnings;

impl Write for Warnings {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn main() -> ExitCode {
    let options = Options::try_parse().unwrap_or_else(|error| misspelt(error).exit());
    let mut out = Out { inner: stdout().lock(), printed: false };
    let done = run(&options.topic, &mut out).and_then(|()| Ok(out.flush()?));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Who asked for JSON gets one document, also of a failure: where none was printed, this one.
            if !out.printed && std::env::args_os().any(|argument| argument == "--json") {
                let status = if matches!(failure.code, PLAN_REFUSED | REFUSED) { "refused" } else { "failed" };
                let told = json!({ "version": 1, "status": status, "code": failure.code, "reason": failure.message });
                let _ = writeln!(out, "{told}").and_then(|()| out.flush());
            }
            let _ = writeln!(Warnings, "rtt: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

/// What clap says of the command line; of `rtt apply` also where `apply` is, since clap looks for near names in one place.
fn misspelt(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    if error.get(ContextKind::SuggestedSubcommand).is_some() {
        return error;
    }
    let command = Options::command();
    let actions = command.get_subcommands().flat_map(|topic| {
        topic
            .get_subcommands()
            .map(|action| (action.get_name().to_owned(), format!("rtt {} {}", topic.get_name(), action.get_name())))
    });
    let all: Vec<(String, String)> = actions.collect();
    let Some(near) = near_name(name, all.iter().map(|(name, _)| name.as_str())) else { return error };
    let meant =
        all.iter().filter(|(name, _)| name == near).map(|(_, line)| StyledStr::from(format!("did you mean `{line}`?")));
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(meant.collect()));
    error
}

fn run(topic: &Topic, out: &mut dyn Write) -> Result<(), Failure> {
    let (warnings, ask) = (&mut Warnings, &private_key::ask_on_terminal);
    private_key::protect_memory(warnings)?;
    let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match topic {
        Topic::Profile(action) => {
            let fingerprint = &|| rtt_host::fingerprint().map_err(|error| rtt_seal::in_full(&error));
            let signed = Path::new("profiles/signed");
            profile_commands::run(action, &mut Desk { out, warnings, signed, now_unix_s, fingerprint, ask })
        }
        Topic::Key(action) => key_commands::run(action, &mut KeyDesk { out, warnings, now_unix_s, ask }),
        Topic::Host(action) => host_commands::run(action, &mut KeyDesk { out, warnings, now_unix_s, ask }),
        Topic::Plan { site, action } => {
            plan_commands::run(action, site, &mut KeyDesk { out, warnings, now_unix_s, ask })
        }
        Topic::Rollback { site, wanted } => {
            plan_commands::rollback(wanted, site, &mut KeyDesk { out, warnings, now_unix_s, ask })
        }
        Topic::Log { site, action } => log_commands::run(action, site, &mut KeyDesk { out, warnings, now_unix_s, ask }),
        Topic::Store { site, action } => {
            store_commands::run(action, site, &mut KeyDesk { out, warnings, now_unix_s, ask })
        }
    }
}
