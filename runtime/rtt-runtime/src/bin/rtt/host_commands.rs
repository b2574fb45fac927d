//! `rtt host ...`: the host's own key, which makes its id and signs the checkpoints of its log, and nothing else.
//!
//! It has no passphrase: the host signs while nobody is there.

use crate::disk_choice;
use crate::failure::Failure;
use crate::key_commands::KeyDesk;
use crate::private_key;
use crate::site::{STORE, check_key_is_there};
use clap::Subcommand;
use rtt_seal::{HostId, Role, SigningKey};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub(crate) enum HostAction {
    /// Makes this host's key, once, prints its id, and tries which way to its disk is the faster.
    #[command(after_help = "Example:
  rtt host init

Plans name the id as their audience. Make the key on the host itself, after its image was copied: hosts that share a
key are one host.")]
    Init {
        /// File for the private key, made with mode 0600; an existing file is never replaced.
        #[arg(long, value_name = "FILE", default_value = ".rtt/keys/host.key")]
        key: PathBuf,
        /// Directory for the public key, as <keyid>.pub.
        #[arg(long, value_name = "DIR", default_value = ".rtt/keys")]
        public: PathBuf,
        /// Directory of the store: where it holds a log, this host has a key, and none is made.
        #[arg(long, value_name = "DIR", default_value = STORE)]
        store: PathBuf,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints this host's id.
    #[command(after_help = "Example:
  rtt host show --json")]
    Show {
        /// The private key.
        #[arg(long, value_name = "FILE", default_value = ".rtt/keys/host.key")]
        key: PathBuf,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Does what `action` says.
pub(crate) fn run(action: &HostAction, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    match action {
        HostAction::Init { key, public, store, json } => {
            check_key_is_there(key, store)?;
            let (made, public) = private_key::make(Role::Host, key, public, None)?;
            // The key is made, and a disk that could not be tried is opened by the plain calls.
            let disk = match disk_choice::choose(store) {
                Ok((words, _)) => words,
                Err(failure) => format!("pwrite and fdatasync: {}; `rtt store probe` tries again", failure.message),
            };
            told(&made, key, *json, desk)?;
            if !json {
                writeln!(desk.out, "  private  {}  ({})", key.display(), private_key::rest_in_words(None))?;
                let what = "who holds it can check this host's checkpoints";
                writeln!(desk.out, "  public   {}  ({what})", public.display())?;
                writeln!(desk.out, "  disk     {disk}")?;
                writeln!(desk.out, "next: rtt key new planner, then rtt key init --add its public key")?;
                writeln!(desk.out, "      or, to trust those who plan for it elsewhere: rtt key init --from FILE...")?;
            }
            Ok(())
        }
        HostAction::Show { key: file, json } => {
            let key = private_key::Unlock::default().load(file, "rtt host init", desk.ask)?;
            told(&key, file, *json, desk)
        }
    }
}

fn told(key: &SigningKey, file: &Path, json: bool, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let host = HostId::of(key.public()).ok_or_else(|| {
        let text = format!("{} is a {} key, expected a host key; make one: rtt host init", file.display(), key.role());
        crate::failure::failure(crate::failure::REFUSED, text)
    })?;
    if json {
        writeln!(desk.out, "{}", json!({ "version": 1, "host": host, "key": key.id(), "private": file }))?;
    } else {
        writeln!(desk.out, "host {host}")?;
    }
    Ok(())
}
