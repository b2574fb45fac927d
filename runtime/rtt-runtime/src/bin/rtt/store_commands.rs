//! `rtt store ...`: objects by their digest.

use crate::disk_choice::{self, StoreDisk};
use crate::failure::{BUSY, Failure, REFUSED, UNEXPECTED, UNFIT, USAGE, failure};
use crate::key_commands::KeyDesk;
use crate::site::{Site, counted};
use clap::Subcommand;
use rtt_profile::utc;
use rtt_seal::{Digest, in_full};
use rtt_store::cas::{
    Cas, Damage, ExportError, ImportError, Lease, LeaseError, LeaseStatus, PutError, ReadError, Source,
};
use rtt_store::wal::{OpenError, WAL_FOLDER, hold};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// How long what was put is kept without a plan that names it, in seconds: a day, in which the plan is made.
const KEPT_S: u64 = 86_400;
/// Bytes of an object that are in memory at once.
const PIECE: usize = 1 << 20;

#[derive(Subcommand)]
pub(crate) enum StoreAction {
    /// Puts files and prints their digests once all are durable; they are kept for a day without a plan. Where one cannot be
    /// read, none is kept.
    Put {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Writes an object, verified.
    Get {
        /// The object.
        digest: Digest,
        /// Where it goes [default: standard output].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Writes objects as one archive, each verified as it is written.
    #[command(after_help = "Examples:
  rtt store export DIGEST DIGEST --out objects.rtt
  rtt store export DIGEST --out - | ssh other rtt store import -

Exit codes: 0 written, 2 an object is not there, 16 one is damaged: then no archive is left.")]
    Export {
        /// The objects.
        #[arg(required = true, value_name = "DIGEST")]
        digests: Vec<Digest>,
        /// Where the archive goes, in place of what is there; `-` is standard output.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Puts all objects of an archive or none, and prints their digests; they are kept for a day without a plan.
    #[command(after_help = "Examples:
  rtt store import objects.rtt
  rtt store import - < objects.rtt

Exit codes: 0 all are durable, 2 there is no such file, 16 the archive is damaged: then nothing was put.")]
    Import {
        /// The archive; `-` is standard input.
        #[arg(value_name = "FILE")]
        archive: PathBuf,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints the digest of every object.
    List {
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
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
    /// Gives back a lease whose holder is gone: for one that is damaged, and keeps all objects.
    #[command(after_help = "Example:
  rtt store release put-1800000000-4711

What only that lease named goes by the next two collections: put again first what is still wanted.")]
    Release {
        /// The lease, as `gc` and `scrub` tell it.
        name: String,
    },
    /// Reads all objects and leases; an object that is damaged is moved aside, and put again where a copy has it. Exit 16
    /// when something is damaged and was not repaired.
    Scrub {
        /// Another store that may have whole copies, as .rtt/store of a backup.
        #[arg(long, value_name = "STORE")]
        copy: Option<PathBuf>,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measures this disk by pwrite and fdatasync and by io_uring in turn, and opens the store by the faster from now on.
    ///
    /// `rtt host init` did it once; do it again on another disk, kernel or machine, while nothing else is busy.
    Probe {
        /// Print the choice as JSON, as it is kept in the store's disk.json.
        #[arg(long)]
        json: bool,
    },
    /// Removes what no plan, pin or lease names, when it was so at an earlier collection too.
    ///
    /// A damaged lease may name anything: until it ends or is released no object is removed, and the exit code is 16.
    Gc {
        /// How long an object has to be without a name before it is removed, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
        grace: u64,
        /// Collect in a store that never had a log, by its pins and leases alone.
        #[arg(long)]
        no_log: bool,
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
    if let StoreAction::Probe { json } = action {
        let (words, document) = site.probe()?;
        return Ok(writeln!(desk.out, "{}", if *json { document } else { words })?);
    }
    if !matches!(action, StoreAction::Put { .. } | StoreAction::Import { .. }) {
        site.check_store()?;
    }
    let mut objects = site.objects()?;
    match action {
        StoreAction::Probe { .. } => unreachable!("done without the objects"),
        StoreAction::Put { files, json } => {
            let name = format!("put-{}-{}", desk.now_unix_s, std::process::id());
            let mut lease: Lease =
                objects.lease(&name, desk.now_unix_s + KEPT_S).map_err(|error| unexpected(&error))?;
            let put: Result<Vec<Digest>, PutError> =
                files.iter().map(|path| objects.put_file(&mut lease, path)).collect();
            let put = match put {
                Ok(put) => put,
                Err(error) => {
                    let _ = objects.release(lease); // The first error is the one to tell.
                    let code = if matches!(error, PutError::File { .. }) { USAGE } else { UNEXPECTED };
                    return Err(failure(code, in_full(&error)));
                }
            };
            objects.leave(lease).map_err(|error| unexpected(&error))?;
            if *json {
                let row = |(digest, path): (&Digest, &PathBuf)| json!({ "object": digest, "file": path });
                let rows: Vec<Value> = put.iter().zip(files).map(row).collect();
                return Ok(writeln!(desk.out, "{}", json!({ "version": 1, "objects": rows }))?);
            }
            let mut lines = put.iter().zip(files);
            Ok(lines.try_for_each(|(digest, path)| writeln!(desk.out, "{digest}  {}", path.display()))?)
        }
        StoreAction::Get { digest, out } => match out {
            None => get(digest, &mut objects, desk.out, "standard output"),
            Some(path) => replace(path, |file| get(digest, &mut objects, file, &path.display().to_string())),
        },
        StoreAction::Export { digests, out, json } => export(digests, out, *json, &mut objects, desk),
        StoreAction::Import { archive, json } => import(archive, *json, &mut objects, desk),
        StoreAction::List { json } => {
            let all = objects.list().map_err(|error| unexpected(&error))?;
            if *json {
                return Ok(writeln!(desk.out, "{}", json!({ "version": 1, "objects": all }))?);
            }
            Ok(all.iter().try_for_each(|digest| writeln!(desk.out, "{digest}"))?)
        }
        StoreAction::Pin { digest, name } => objects.pin(name, digest).map_err(|error| failure(USAGE, in_full(&error))),
        StoreAction::Unpin { digest, name } => match objects.unpin(name, digest) {
            Ok(true) => Ok(()),
            Ok(false) => Err(failure(USAGE, format!("{digest} is not pinned for {name}"))),
            Err(error) => Err(unexpected(&error)),
        },
        StoreAction::Release { name } => release(name, &mut objects, desk),
        StoreAction::Scrub { copy, json } => scrub(copy.as_deref(), *json, site, &mut objects, desk),
        StoreAction::Gc { grace, no_log, json } => {
            let _log = hold_log(*no_log, site, desk)?;
            collect(*grace, *json, site, &mut objects, desk)
        }
    }
}

fn unreadable(error: &ReadError) -> Failure {
    match error {
        ReadError::Missing { .. } => failure(USAGE, in_full(error)),
        ReadError::Damaged { .. } => failure(REFUSED, in_full(error)),
        ReadError::Disk(_) => unexpected(error),
    }
}

/// Writes an object piece by piece, each verified before it is given out.
fn get(digest: &Digest, objects: &mut Cas<StoreDisk>, out: &mut dyn Write, place: &str) -> Result<(), Failure> {
    for offset in (0..).step_by(PIECE) {
        let piece = objects.range(digest, offset, PIECE).map_err(|error| unreadable(&error))?;
        out.write_all(&piece).map_err(|error| failure(UNEXPECTED, format!("{place}: {error}")))?;
        if piece.len() < PIECE {
            break;
        }
    }
    Ok(())
}

/// Objects of the store refer to no others: what lists others is a plan, and that is in the log.
fn no_references(_: &mut dyn Source, _: &Digest) -> Result<Vec<Digest>, ReadError> {
    Ok(Vec::new())
}

fn export(
    digests: &[Digest],
    out: &Path,
    json: bool,
    objects: &mut Cas<StoreDisk>,
    desk: &mut KeyDesk<'_>,
) -> Result<(), Failure> {
    let roots: Vec<Digest> = BTreeSet::from_iter(digests).into_iter().copied().collect();
    let to_stdout = out == Path::new("-");
    if to_stdout && json {
        return Err(failure(USAGE, "--json and --out - both want standard output: give one of them"));
    }
    let told = |error: ExportError| match &error {
        ExportError::Object(ReadError::Missing { .. }) => failure(USAGE, in_full(&error)),
        ExportError::Object(ReadError::Damaged { .. }) => failure(REFUSED, in_full(&error)),
        ExportError::Object(ReadError::Disk(_)) => unexpected(&error),
        ExportError::Write(_) => failure(UNEXPECTED, format!("{}: {}", out.display(), in_full(&error))),
    };
    if to_stdout {
        return objects.export(&roots, &mut no_references, desk.out).map(drop).map_err(told);
    }
    replace(out, |file| objects.export(&roots, &mut no_references, file).map(drop).map_err(told))?;
    if json {
        writeln!(desk.out, "{}", json!({ "version": 1, "objects": roots }))?;
    } else {
        writeln!(desk.out, "{} objects in {}", roots.len(), out.display())?;
    }
    Ok(())
}

/// Writes a file beside `out` and renames it when it is whole: a failure leaves what was there before.
fn replace(out: &Path, write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut beside = out.to_path_buf().into_os_string();
    beside.push(".part");
    let place = |error: io::Error| failure(UNEXPECTED, format!("{}: {error}", out.display()));
    let mut file =
        BufWriter::new(File::create(&beside).map_err(|error| failure(USAGE, format!("{}: {error}", out.display())))?);
    let written = write(&mut file).and_then(|()| file.flush().map_err(place));
    let kept = written.and_then(|()| file.get_ref().sync_all().and_then(|()| fs::rename(&beside, out)).map_err(place));
    if kept.is_err() {
        let _ = fs::remove_file(&beside); // The first error is the one to tell.
    }
    kept
}

fn import(path: &Path, json: bool, objects: &mut Cas<StoreDisk>, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let mut archive: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(path);
        Box::new(BufReader::new(opened.map_err(|error| failure(USAGE, format!("{}: {error}", path.display())))?))
    };
    let name = format!("import-{}-{}", desk.now_unix_s, std::process::id());
    let mut lease = objects.lease(&name, desk.now_unix_s + KEPT_S).map_err(|error| unexpected(&error))?;
    let roots = match objects.import(&mut lease, &mut archive, &mut no_references) {
        Ok(roots) => roots,
        Err(error) => {
            let _ = objects.release(lease); // The first error is the one to tell.
            let code = match &error {
                ImportError::Read { .. } | ImportError::Put(_) | ImportError::Disk(_) => UNEXPECTED,
                _ => REFUSED,
            };
            return Err(failure(code, format!("{}: {}", path.display(), in_full(&error))));
        }
    };
    objects.leave(lease).map_err(|error| unexpected(&error))?;
    if json {
        writeln!(desk.out, "{}", json!({ "version": 1, "objects": roots }))?;
    } else {
        roots.iter().try_for_each(|root| writeln!(desk.out, "{root}"))?;
    }
    Ok(())
}

fn release(name: &str, objects: &mut Cas<StoreDisk>, desk: &KeyDesk<'_>) -> Result<(), Failure> {
    let Some(leases) = objects.leases().map_err(|error| unexpected(&error))? else {
        return Err(failure(UNEXPECTED, "a writer is at work in the store: try again"));
    };
    if !leases.iter().any(|lease| lease.name == name) {
        return Err(failure(USAGE, format!("there is no lease {name}")));
    }
    let taken = objects.lease(name, desk.now_unix_s).map_err(|error| match &error {
        LeaseError::Disk(_) => unexpected(&error),
        LeaseError::Held { .. } | LeaseError::Name { .. } => failure(USAGE, in_full(&error)),
    })?;
    objects.release(taken).map_err(|error| unexpected(&error))
}

/// What is told of damaged leases; `removed` had ended.
fn lease_lines(damaged: &[LeaseStatus], removed: &[String], out: &mut dyn Write) -> io::Result<()> {
    damaged.iter().try_for_each(|LeaseStatus { name, damaged, expires_unix_s, .. }| {
        let what = match expires_unix_s {
            _ if removed.contains(name) => "had ended and was removed".to_owned(),
            Some(expires) => format!("keeps all objects until {}, or until it is released", utc(*expires)),
            None => "keeps all objects until it is released".to_owned(),
        };
        writeln!(out, "lease {name}: {damaged} damaged entries, it {what}")
    })
}

fn lease_json(damaged: &[LeaseStatus], removed: &[String]) -> Vec<Value> {
    let each = |lease: &LeaseStatus| {
        json!({
            "name": lease.name, "damaged": lease.damaged, "expires_unix_s": lease.expires_unix_s, "held": lease.held,
            "removed": removed.contains(&lease.name),
        })
    };
    damaged.iter().map(each).collect()
}

fn damaged_lease(name: &str) -> Failure {
    failure(REFUSED, format!("lease {name} is damaged and may name anything: `rtt store release {name}` gives it back"))
}

fn scrub(
    copy: Option<&Path>,
    json: bool,
    site: &Site,
    objects: &mut Cas<StoreDisk>,
    desk: &mut KeyDesk<'_>,
) -> Result<(), Failure> {
    let mut copies = copy.map(open_copy).transpose()?;
    let name = format!("scrub-{}", std::process::id());
    let mut lease = objects.lease(&name, desk.now_unix_s + KEPT_S).map_err(|error| unexpected(&error))?;
    let source = copies.as_mut().map(|copies| copies as &mut dyn Source);
    let found = objects.scrub(&mut lease, source).map_err(|error| unexpected(&error))?;
    let missing = missing(copies.as_mut(), site, objects, &mut lease, desk)?;
    objects.release(lease).map_err(|error| unexpected(&error))?;
    let leases = found.damaged_leases.as_deref();
    let repaired = |damage: &&Damage| matches!(damage.repair, Some(Ok(())));
    if json {
        let told = json!({
            "version": 1, "objects": found.objects, "trees": found.trees,
            "damaged": found.damaged.iter().map(damage_json).collect::<Vec<_>>(),
            "damaged_leases": leases.map(|leases| lease_json(leases, &[])), "missing": missing,
        });
        writeln!(desk.out, "{told}")?;
    } else {
        let (damaged, repaired) = (found.damaged.len(), found.damaged.iter().filter(repaired).count());
        writeln!(desk.out, "{} objects read, {damaged} damaged, {repaired} repaired", found.objects)?;
        found.damaged.iter().try_for_each(|damage| writeln!(desk.out, "{}", damage_words(damage)))?;
        match leases {
            Some(leases) => lease_lines(leases, &[], desk.out)?,
            None => writeln!(desk.out, "a writer was at work, so leases were not read: run it again")?,
        }
    }
    if let Some(first) = missing.first() {
        let (objects, way) =
            (counted(missing.len(), "object"), "put it again, or name a store that has it with --copy");
        return Err(failure(
            REFUSED,
            format!("{objects} that the log or a pin names not in the store, {first} first: {way}"),
        ));
    }
    let unrepaired = found.damaged.iter().filter(|damage| !repaired(damage)).count();
    match (unrepaired, leases.and_then(<[_]>::first)) {
        (0, None) => Ok(()),
        (0, Some(lease)) => Err(damaged_lease(&lease.name)),
        (count, _) => {
            let objects = counted(count, "object");
            Err(failure(
                REFUSED,
                format!("{objects} damaged: put them again, or name a store that has them with --copy"),
            ))
        }
    }
}

/// What the log or a pin names and the store lacks, after what `copies` has of it was put.
fn missing(
    mut copies: Option<&mut Cas<StoreDisk>>,
    site: &Site,
    objects: &mut Cas<StoreDisk>,
    lease: &mut Lease,
    desk: &KeyDesk<'_>,
) -> Result<Vec<Digest>, Failure> {
    let there: BTreeSet<Digest> = objects.list().map_err(|error| unexpected(&error))?.into_iter().collect();
    let mut named = roots(site, desk)?;
    named.extend(objects.pins().map_err(|error| unexpected(&error))?.into_iter().map(|(_, digest)| digest));
    let mut missing: Vec<Digest> = named.difference(&there).copied().collect();
    if let Some(copies) = &mut copies {
        missing.retain(|digest| {
            let copied = copies.open_object(digest).ok().map(|mut file| objects.put_stream(lease, &mut file));
            !copied.is_some_and(|put| put.is_ok_and(|put| put == *digest))
        });
    }
    Ok(missing)
}

/// Another store, which is only read.
fn open_copy(folder: &Path) -> Result<Cas<StoreDisk>, Failure> {
    if !folder.join("cas").is_dir() {
        return Err(failure(
            USAGE,
            format!("--copy {}: expected a store, a folder with `cas` in it", folder.display()),
        ));
    }
    Cas::open(disk_choice::open(folder)?).map_err(|error| unexpected(&error))
}

fn damage_words(damage: &Damage) -> String {
    let what = match (&damage.quarantined, &damage.unreadable) {
        (_, Some(error)) => format!("cannot be read, and was left: {}", in_full(error)),
        (Some(place), None) => format!("is damaged, and was moved to {place}"),
        (None, None) => "is damaged, and was left, because a writer was at work: run it again".to_owned(),
    };
    let repair = match &damage.repair {
        None => String::new(),
        Some(Ok(())) => "; put again from the copy".to_owned(),
        Some(Err(error)) => format!("; not put again: {}", in_full(error)),
    };
    format!("object {} {what}{repair}", damage.digest)
}

fn damage_json(damage: &Damage) -> Value {
    json!({
        "object": damage.digest, "quarantined": damage.quarantined, "unreadable": damage.unreadable.as_ref().map(|error| in_full(error)),
        "repaired": damage.repair.as_ref().map(Result::is_ok),
    })
}

/// Keeps plans from being begun while objects are removed: what one names then would not be seen any more.
fn hold_log(no_log: bool, site: &Site, desk: &KeyDesk<'_>) -> Result<Option<StoreDisk>, Failure> {
    if !site.has_log() {
        roots(site, desk)?; // Whether the witness remembers one.
        site.check_not_lost()?;
        let way = "name the store with --store, or say --no-log where it never had one";
        return if no_log {
            Ok(None)
        } else {
            Err(failure(UNFIT, format!("there is no log that names objects: {way}")))
        };
    }
    let mut disk = site.disk()?;
    hold(&mut disk, WAL_FOLDER).map_err(|error| match error {
        OpenError::Busy { .. } => failure(BUSY, in_full(&error)),
        error => unexpected(&error),
    })?;
    Ok(Some(disk))
}

/// What the log names: the objects of the state that runs, of the one before, and of a plan that is open.
fn roots(site: &Site, desk: &KeyDesk<'_>) -> Result<BTreeSet<Digest>, Failure> {
    let mut named = BTreeSet::new();
    if !site.has_log() && !site.has_key() {
        return Ok(named);
    }
    let told = match site.read(desk) {
        Ok(read) => read.told,
        // Never begun, and nobody remembers one: a log that is gone is another thing.
        Err(missing) if !site.has_log() && missing.code == UNFIT => return Ok(named),
        Err(refused) => return Err(refused),
    };
    for state in std::iter::once(&told.held).chain(&told.previous) {
        named.extend(state.participants.values().flat_map(|i| i.items.values()).map(|item| item.object));
    }
    named.extend(told.plan.iter().flat_map(|plan| &plan.ops).filter_map(rtt_plan::Op::object));
    Ok(named)
}

fn collect(
    grace: u64,
    json: bool,
    site: &Site,
    objects: &mut Cas<StoreDisk>,
    desk: &mut KeyDesk<'_>,
) -> Result<(), Failure> {
    // Read here once to tell what is wrong with the log; asked for again by the pass, after it has listed the leases.
    roots(site, desk)?;
    let again = &mut |_: &mut Cas<StoreDisk>| {
        roots(site, desk).map_err(|failure| failure.message.into()).map(|named| named.into_iter().collect())
    };
    let collected =
        objects.collect(desk.now_unix_s, grace, again, &mut no_references).map_err(|error| unexpected(&error))?;
    let leases = &collected.damaged_leases;
    let (removed, live, condemned) = (collected.removed.len(), collected.live, collected.condemned);
    let kept_by = leases.iter().find(|lease| !collected.leases.contains(&lease.name));
    if json {
        let told = json!({
            "version": 1, "objects": collected.objects, "live": live, "condemned": condemned, "removed": removed,
            "busy": collected.busy, "damaged_leases": lease_json(leases, &collected.leases),
        });
        writeln!(desk.out, "{told}")?;
    } else {
        match kept_by {
            Some(_) => writeln!(desk.out, "{} objects, none removed", collected.objects)?,
            None => writeln!(
                desk.out,
                "{} objects: {live} named, {condemned} newly without a name, {removed} removed",
                collected.objects
            )?,
        }
        lease_lines(leases, &collected.leases, desk.out)?;
        if collected.busy {
            writeln!(
                desk.out,
                "a writer or another collection was at work, so this one is not complete: run it again"
            )?;
        }
    }
    kept_by.map_or(Ok(()), |lease| Err(damaged_lease(&lease.name)))
}
