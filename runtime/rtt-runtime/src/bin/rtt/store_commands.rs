//! `rtt store ...`: objects by their digest.

use crate::failure::{Failure, REFUSED, UNEXPECTED, USAGE, failure};
use crate::key_commands::KeyDesk;
use crate::site::Site;
use clap::Subcommand;
use rtt_reconcile::Told;
use rtt_seal::{Digest, in_full};
use rtt_store::cas::{Lease, PutError, ReadError};
use rtt_store::wal::read_log;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// How long what was put is kept without a plan that names it, in seconds: a day, in which the plan is made.
const KEPT_S: u64 = 86_400;

#[derive(Subcommand)]
pub(crate) enum StoreAction {
    /// Puts files, all or none of them durable, and prints their digests; they are kept for a day without a plan.
    Put {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Writes an object, verified.
    Get {
        /// The object.
        digest: Digest,
        /// Where it goes [default: standard output].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Prints the digest of every object.
    List,
    /// Keeps an object until it is unpinned.
    Pin {
        /// The object.
        digest: Digest,
        /// What it is kept for.
        #[arg(long, value_name = "NAME", default_value = "operator")]
        name: String,
    },
    /// Lets a pinned object go.
    Unpin {
        /// The object.
        digest: Digest,
        /// What it was kept for.
        #[arg(long, value_name = "NAME", default_value = "operator")]
        name: String,
    },
    /// Reads all objects; what is damaged is moved aside. Exit 16 when something was.
    Scrub {
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Removes what no plan, pin or lease names, when it was so at an earlier collection too.
    Gc {
        /// How long an object has to be without a name before it is removed, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
        grace: u64,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
}

fn unexpected(error: &dyn std::error::Error) -> Failure {
    failure(UNEXPECTED, in_full(error))
}

/// Does what `action` says.
pub(crate) fn run(action: &StoreAction, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let mut objects = site.objects()?;
    match action {
        StoreAction::Put { files } => {
            let name = format!("put-{}-{}", desk.now_unix_s, std::process::id());
            let mut lease: Lease =
                objects.lease(&name, desk.now_unix_s + KEPT_S).map_err(|error| unexpected(&error))?;
            for path in files {
                let put = objects.put_file(&mut lease, path).map_err(|error| match &error {
                    PutError::File { .. } => failure(USAGE, in_full(&error)),
                    _ => unexpected(&error),
                })?;
                writeln!(desk.out, "{put}  {}", path.display())?;
            }
            objects.leave(lease).map_err(|error| unexpected(&error))?;
            Ok(())
        }
        StoreAction::Get { digest, out } => {
            let bytes = objects.get(digest).map_err(|error| match &error {
                ReadError::Missing { .. } => failure(USAGE, in_full(&error)),
                ReadError::Damaged { .. } => failure(REFUSED, in_full(&error)),
                _ => unexpected(&error),
            })?;
            match out {
                None => Ok(desk.out.write_all(&bytes)?),
                Some(path) => std::fs::write(path, bytes)
                    .map_err(|error| failure(UNEXPECTED, format!("{}: {error}", path.display()))),
            }
        }
        StoreAction::List => {
            let all = objects.list().map_err(|error| unexpected(&error))?;
            Ok(all.iter().try_for_each(|digest| writeln!(desk.out, "{digest}"))?)
        }
        StoreAction::Pin { digest, name } => objects.pin(name, digest).map_err(|error| failure(USAGE, in_full(&error))),
        StoreAction::Unpin { digest, name } => match objects.unpin(name, digest) {
            Ok(true) => Ok(()),
            Ok(false) => Err(failure(USAGE, format!("{digest} is not pinned for {name}"))),
            Err(error) => Err(unexpected(&error)),
        },
        StoreAction::Scrub { json } => scrub(*json, site, desk),
        StoreAction::Gc { grace, json } => collect(*grace, *json, site, desk),
    }
}

fn scrub(json: bool, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let mut objects = site.objects()?;
    let name = format!("scrub-{}", std::process::id());
    let mut lease = objects.lease(&name, desk.now_unix_s + KEPT_S).map_err(|error| unexpected(&error))?;
    let found = objects.scrub(&mut lease, None).map_err(|error| unexpected(&error))?;
    objects.release(lease).map_err(|error| unexpected(&error))?;
    let damaged: Vec<String> = found.damaged.iter().map(|damage| damage.digest.to_string()).collect();
    if json {
        let told = json!({
            "version": 1, "objects": found.objects, "trees": found.trees, "damaged": damaged,
        });
        writeln!(desk.out, "{told}")?;
    } else {
        writeln!(desk.out, "{} objects read, {} damaged", found.objects, damaged.len())?;
    }
    match damaged.first() {
        None => Ok(()),
        Some(first) => Err(failure(
            REFUSED,
            format!("{} objects are damaged and were moved aside, {first} the first: put them again", damaged.len()),
        )),
    }
}

/// What the log names: the objects of the state that runs, of the one before, and of a plan that is open.
fn roots(site: &Site, desk: &KeyDesk<'_>) -> Result<BTreeSet<Digest>, Failure> {
    let mut named = BTreeSet::new();
    if !site.has_log() {
        return Ok(named);
    }
    let (_, host) = site.key(desk)?;
    let opened = read_log(site.disk()?, &Site::options(host)).map_err(|error| failure(REFUSED, in_full(&error)))?;
    let told = Told::of(&opened.records).map_err(|error| failure(REFUSED, in_full(&error)))?;
    for state in std::iter::once(&told.held).chain(&told.previous) {
        named.extend(state.participants.values().flat_map(|i| i.items.values()).map(|item| item.object));
    }
    named.extend(told.plan.iter().flat_map(|plan| &plan.ops).filter_map(rtt_plan::Op::object));
    Ok(named)
}

fn collect(grace: u64, json: bool, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let mut objects = site.objects()?;
    // Read here once to tell what is wrong with the log; asked for again by the pass, after it has listed the leases.
    roots(site, desk)?;
    let again = &mut |_: &mut rtt_store::cas::Cas<rtt_store::FileDisk>| {
        roots(site, desk).map_err(|failure| failure.message.into()).map(|named| named.into_iter().collect())
    };
    let collected = objects
        .collect(desk.now_unix_s, grace, again, &mut |_, _| Ok(Vec::new()))
        .map_err(|error| unexpected(&error))?;
    if json {
        let told = json!({
            "version": 1, "objects": collected.objects, "live": collected.live, "condemned": collected.condemned,
            "removed": collected.removed.len(), "busy": collected.busy,
        });
        writeln!(desk.out, "{told}")?;
        return Ok(());
    }
    let (removed, live, condemned) = (collected.removed.len(), collected.live, collected.condemned);
    writeln!(
        desk.out,
        "{} objects: {live} named, {condemned} newly without a name, {removed} removed",
        collected.objects
    )?;
    if collected.busy {
        writeln!(desk.out, "a writer or another collection was at work, so this one is not complete: run it again")?;
    }
    Ok(())
}
