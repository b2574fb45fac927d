//! `rtt log ...`: the log read without changing it, verified, shown, and proved from.

use crate::failure::{Failure, REFUSED, UNEXPECTED, UNFIT, USAGE, failure};
use crate::key_commands::{KeyDesk, load_public};
use crate::output::{Proof, Proved};
use crate::plan_commands::read;
use crate::plan_history::cause;
use crate::site::{ReadLog, Site, counted};
use clap::Subcommand;
use rtt_model::Action;
use rtt_reconcile::{Beside, Entry};
use rtt_seal::{Digest, Sealed, TrustedKeys, in_full, strict_json};
use rtt_store::wal::{Checkpoint, Opened, Record, merkle};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub(crate) enum LogAction {
    /// Verifies the whole log: each record's digest and parent, the protocol, and what the witness remembers.
    #[command(
        after_help = "Exit codes: 0 whole, 13 there is no log yet, 16 damaged, gone, cut off, rewritten or against the protocol."
    )]
    Verify {
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Verifies the whole log, then gives its last checkpoint to a witness that remembers nothing: a new one, or one that was
    /// lost. What was cut off the log before cannot be told any more.
    Remember,
    /// Prints the records.
    Show {
        /// Only the last N.
        #[arg(long, value_name = "N")]
        last: Option<usize>,
        /// Print one JSON object a record.
        #[arg(long)]
        json: bool,
    },
    /// Writes a proof that a record is in the log, or that the log goes on from an earlier size; check it elsewhere.
    #[command(after_help = "Examples:
  rtt log prove 12 > proof.json
  rtt log prove --from 8 > proof.json
  rtt log check proof.json --host-key .rtt/keys/0123456789abcdef.pub")]
    Prove {
        /// The record.
        #[arg(required_unless_present = "from", conflicts_with = "from")]
        record: Option<u64>,
        /// An earlier size of the log.
        #[arg(long, value_name = "SIZE")]
        from: Option<u64>,
    },
    /// Checks a proof with nothing but the host's public key.
    Check {
        /// The proof.
        proof: PathBuf,
        /// The host's public key, as `rtt host init` wrote it: .rtt/keys/KEYID.pub, `rtt host show` tells the id.
        #[arg(long, value_name = "FILE")]
        host_key: PathBuf,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Does what `action` says.
pub(crate) fn run(action: &LogAction, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    match action {
        LogAction::Verify { json } => verify(*json, site, desk),
        LogAction::Remember => remember(site, desk),
        LogAction::Show { last, json } => show(*last, *json, site, desk),
        LogAction::Prove { record, from } => prove(*record, *from, site, desk),
        LogAction::Check { proof, host_key, json } => check(proof, host_key, *json, desk),
    }
}

fn refused(error: &dyn std::error::Error) -> Failure {
    failure(REFUSED, in_full(error))
}

fn verify(json: bool, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let read = site.read(desk)?;
    let (_, has_trust) = site.audit(&read)?;
    let ReadLog { opened, told, witnessed: size, .. } = read;
    let (records, generation) = (opened.records.len(), told.state.generation());
    if json {
        let found = json!({
            "version": 1, "records": records, "tip": opened.tip, "generation": generation.to_string(),
            "state_root": told.held.root(), "witnessed": size, "torn": opened.torn.map(|torn| torn.to_string()),
            "open": told.state.open().map(|open| open.plan().to_string()), "plans_checked": has_trust,
        });
        writeln!(desk.out, "{found}")?;
        return Ok(());
    }
    writeln!(desk.out, "whole: {records} records, each with the digest of the one before; the protocol holds")?;
    writeln!(desk.out, "  generation {generation}, state root {}", told.held.root())?;
    match size {
        Some(size) => writeln!(desk.out, "  witness    has seen {size} of them, and they are those")?,
        None => writeln!(desk.out, "  witness    remembers nothing yet: an end that was cut off would not be seen")?,
    }
    match has_trust {
        true => writeln!(desk.out, "  signatures this host's under every checkpoint, a planner's under every plan")?,
        false => {
            writeln!(desk.out, "  signatures this host's under every checkpoint; of plans unchecked: no trust here")?
        }
    }
    if let Some(torn) = opened.torn {
        writeln!(desk.out, "  tail       {torn}; it is cut when the log is opened for writing")?;
    }
    if let Some(open) = told.state.open() {
        writeln!(desk.out, "  open       plan {} is {}; `rtt plan status` ends it", open.plan(), open.phase())?;
    }
    Ok(())
}

fn remember(site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let read = site.read_unwitnessed(desk)?;
    if let Some(size) = read.witnessed {
        let name = site.witness_name();
        return Err(failure(USAGE, format!("{name} remembers {size} records already: nothing was given to it")));
    }
    let (last, _) = site.audit(&read)?;
    let last = last.ok_or_else(|| failure(UNFIT, "the log has no checkpoint yet"))?;
    site.make_witness_folder()?;
    site.witness().remember(&last).map_err(|error| failure(UNEXPECTED, in_full(&error)))?;
    let records = counted(read.opened.records.len(), "record");
    writeln!(desk.out, "{} remembers the last checkpoint of {records}", site.witness_name())?;
    Ok(())
}

fn words(record: &Record) -> Result<(String, Value), Failure> {
    let entry = Entry::read(record).map_err(|error| refused(&error))?;
    let (name, text) = match &entry.action {
        Action::Genesis { host, root } => ("genesis", format!("host {host}, root {root}")),
        Action::Begin(begin) => {
            ("begin", format!("plan {}, generation {}, sequence {}", begin.plan, begin.base_generation, begin.sequence))
        }
        Action::Prepared { participant, .. } => ("prepared", format!("participant {participant}")),
        Action::Commit { generation, .. } => ("commit", format!("generation {generation}")),
        Action::Committed { participant, .. } => ("committed", format!("participant {participant}")),
        Action::Verified { root, .. } => ("verified", format!("root {root}")),
        Action::Abort { reason, .. } => ("abort", cause(*reason).to_owned()),
        Action::Undo { reason, .. } => ("undo", cause(*reason).to_owned()),
        Action::RolledBack { generation, root, .. } => ("rolled_back", format!("generation {generation}, root {root}")),
        Action::Grant { capability, .. } => ("grant", format!("capability {capability}")),
        Action::Checkpoint { size, root } => {
            ("checkpoint", format!("{}, root {root}", counted(*size as usize, "record")))
        }
    };
    let plan = match &entry.beside {
        Beside::Plan(plan, _) => json!(plan),
        _ => Value::Null,
    };
    let object = json!({
        "version": 1, "record": record.sequence, "digest": record.digest, "action": name, "text": text, "plan": plan,
    });
    Ok((format!("{:>6}  {}  {name:<11} {text}", record.sequence, record.digest.short()), object))
}

fn show(last: Option<usize>, json: bool, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let opened = site.read(desk)?.opened;
    let from = opened.records.len().saturating_sub(last.unwrap_or(usize::MAX));
    for record in &opened.records[from..] {
        let (line, object) = words(record)?;
        writeln!(desk.out, "{}", if json { object.to_string() } else { line })?;
    }
    Ok(())
}

/// The last checkpoint in the log, and the digests of the records that it covers.
fn last_checkpoint(opened: &Opened) -> Result<(Vec<u8>, Vec<Digest>), Failure> {
    for record in opened.records.iter().rev() {
        let entry = Entry::read(record).map_err(|error| refused(&error))?;
        if let (Action::Checkpoint { size, .. }, Beside::Checkpoint(sealed)) = (entry.action, entry.beside) {
            let digests = opened.records[..size as usize].iter().map(|record| record.digest).collect();
            return Ok((sealed, digests));
        }
    }
    Err(failure(USAGE, "the log has no checkpoint yet"))
}

fn prove(record: Option<u64>, from: Option<u64>, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let opened = site.read(desk)?.opened;
    let (sealed, digests) = last_checkpoint(&opened)?;
    let covered = digests.len() as u64;
    let outside = |what: u64, first: u64, last: u64| {
        let why = format!("the last checkpoint covers {covered} records, expected {first} to {last}");
        failure(USAGE, format!("{what}: {why}"))
    };
    let (of, path) = match (record, from) {
        (Some(index), _) if index < covered => {
            let digest = digests[index as usize];
            (Proved::Record { index, digest }, merkle::prove_inclusion(&digests, index as usize))
        }
        (None, Some(size)) if (1..=covered).contains(&size) => {
            let root = merkle::root(&digests[..size as usize]);
            (Proved::From { size, root }, merkle::prove_consistency(&digests, size as usize))
        }
        (Some(index), _) => return Err(outside(index, 0, covered.saturating_sub(1))),
        (None, size) => return Err(outside(size.unwrap_or_default(), 1, covered)),
    };
    let checkpoint = String::from_utf8(sealed).expect("an envelope is JSON");
    let proof = Proof { version: 1, checkpoint, of, path };
    writeln!(desk.out, "{}", serde_json::to_string(&proof).expect("a proof is JSON"))?;
    Ok(())
}

fn check(path: &Path, host_key: &Path, json: bool, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let keys = TrustedKeys::new([load_public(host_key)?]).map_err(|error| refused(&error))?;
    let bytes = read(path)?;
    let proof: Proof =
        strict_json::parse(bytes.strip_suffix(b"\n").unwrap_or(&bytes)).map_err(|error| refused(&error))?;
    let checkpoint = Sealed::<Checkpoint>::from_bytes(proof.checkpoint.into_bytes())
        .verify(&keys)
        .map_err(|error| refused(&error))?
        .into_document();
    let Checkpoint { size, root, origin, .. } = checkpoint;
    let (holds, words) = match &proof.of {
        Proved::Record { index, digest } => (
            merkle::verify_inclusion(&root, size, *index, digest, &proof.path),
            format!("record {index}, {digest}, is in the log of host {origin}, which had {size} records"),
        ),
        Proved::From { size: old, root: old_root } => (
            merkle::verify_consistency((*old, old_root), (size, &root), &proof.path),
            format!("the log of host {origin} goes on from {old} records of root {old_root} to {size}"),
        ),
    };
    if !holds {
        return Err(failure(
            REFUSED,
            format!("{}: the proof does not hold: it is not so that {words}", path.display()),
        ));
    }
    if json {
        let found =
            json!({ "version": 1, "status": "proved", "host": origin, "size": size, "root": root, "proved": words });
        return Ok(writeln!(desk.out, "{found}")?);
    }
    Ok(writeln!(desk.out, "proved: {words}")?)
}
