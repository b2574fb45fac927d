//! `rtt-history append`, `compact` and `retain`: what a data set takes in, how it is laid out, and what it lets go.

use crate::root_option::RootOption;
use crate::screen::{NOTHING, Stop, UNEXPECTED, json, now_unix_s, print};
use clap::Args;
use rtt_history::{
    AppendReport, CompactReport, DataSetLock, GATES_PLACE, LogOutcome, RUNS_PLACE, RetainReport, append, compact,
    retain,
};
use rtt_units::Bytes;
use std::path::Path;

#[derive(Args)]
#[command(after_help = "\
Takes in every tune below ROOT/.rtt/runs that has its fit, and every log below ROOT/.rtt/gate that a verdict was made
from. A log that is there already is not read again; one that is unfinished is left out and named; one that is damaged
is named too, the exit code is then 1, and the others are appended.

Examples:
  rtt-history append
  rtt-history append --root /srv/lab --json")]
pub struct AppendOptions {
    #[command(flatten)]
    root: RootOption,
    /// One JSON document: {version, logs: [{source, log, outcome, trials, path, reason}]}.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Every row stays, and every answer: a file is removed only after the new one is on the disk and was read back. Stopped
at any point, nothing is lost and nothing counts twice; run it again to go on.

Examples:
  rtt-history compact
  rtt-history compact --root /srv/lab --json")]
pub struct CompactOptions {
    #[command(flatten)]
    root: RootOption,
    /// One JSON document: {version, partitions: [{machine, day, files, rows, path}]}.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Removes rows of the data set only: trial logs, fits and verdicts stay, and `append` does not bring their rows back
(`export` does, for a run that is named). The day on which a log began counts.

Examples:
  rtt-history retain --days 400 --dry-run
  rtt-history retain --days 400")]
pub struct RetainOptions {
    /// How many days back are kept.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    days: u32,
    /// Only say what would be removed.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    root: RootOption,
    /// Count back from this instant, seconds since 1970, instead of from now.
    #[arg(long, value_name = "SECONDS")]
    now: Option<u64>,
    /// One JSON document: {version, dry_run, kept_since, partitions: [{machine, day, files, bytes}]}.
    #[arg(long)]
    json: bool,
}

fn alone(root: &Path) -> Result<DataSetLock, Stop> {
    DataSetLock::alone(root).map_err(|error| Stop::new(UNEXPECTED, &error))
}

pub fn append_logs(options: &AppendOptions) -> Result<u8, Stop> {
    let root = &options.root.folder;
    let held = alone(root)?;
    let logs = append(root).map_err(|error| Stop::new(UNEXPECTED, &error))?;
    drop(held);
    let count = |outcome: &str| logs.iter().filter(|log| log.outcome == outcome).count();
    let (written, unchanged, left_out, failed) =
        (count("written"), count("unchanged"), count("left_out"), count("failed"));
    if logs.is_empty() && !options.json {
        let (runs, gates) = (root.join(RUNS_PLACE), root.join(GATES_PLACE));
        let message = format!("nothing in {} and {}: measure with `cargo xtask tune`", runs.display(), gates.display());
        return Err(Stop { code: NOTHING, message });
    }
    if options.json {
        print(&json(&AppendReport { version: 1, logs }))?;
    } else {
        let words = |outcome: &str| logs.iter().filter(|log| log.outcome == outcome).map(in_words).collect::<String>();
        let summary =
            format!("appended {written} logs; {unchanged} were there, {left_out} left out, {failed} failed\n");
        print(&(words("written") + &words("left_out") + &summary))?;
        eprint!("{}", words("failed"));
    }
    Ok(if failed > 0 {
        UNEXPECTED
    } else if left_out == 0 || written + unchanged > 0 {
        0
    } else {
        NOTHING
    })
}

fn in_words(log: &LogOutcome) -> String {
    match (&log.reason, &log.path) {
        (Some(reason), _) if log.outcome == "failed" => format!("error: {} was not appended: {reason}\n", log.log),
        (Some(reason), _) => format!("left out: {}: {reason}\n", log.log),
        (None, path) => {
            let path = path.as_ref().map(|path| format!(" in {}", path.display())).unwrap_or_default();
            format!("{}: {}: {} trials{path}\n", log.outcome, log.log, log.trials)
        }
    }
}

pub fn compact_partitions(options: &CompactOptions) -> Result<u8, Stop> {
    let held = alone(&options.root.folder)?;
    let partitions = compact(&options.root.folder, &mut |_| Ok(())).map_err(|error| Stop::new(UNEXPECTED, &error))?;
    drop(held);
    if options.json {
        return print(&json(&CompactReport { version: 1, partitions })).map(|()| 0);
    }
    let mut text = String::new();
    for made in &partitions {
        let (files, rows, path) = (made.files, made.rows, made.path.display());
        text += &format!("compacted: machine {}, {}: {files} files, {rows} rows in {path}\n", made.machine, made.day);
    }
    if partitions.is_empty() {
        text += "nothing to compact: every machine and day has one file at most\n";
    }
    print(&text).map(|()| 0)
}

pub fn retain_days(options: &RetainOptions) -> Result<u8, Stop> {
    let held = alone(&options.root.folder)?;
    let now = options.now.unwrap_or_else(now_unix_s);
    let report = retain(&options.root.folder, now, options.days, options.dry_run);
    let report = report.map_err(|error| Stop::new(UNEXPECTED, &error))?;
    drop(held);
    print(&if options.json { json(&report) } else { retained(&report) }).map(|()| 0)
}

fn retained(report: &RetainReport) -> String {
    let verb = if report.dry_run { "would remove" } else { "removed" };
    let mut text = String::new();
    for gone in &report.partitions {
        let (files, bytes) = (gone.files, Bytes(gone.bytes));
        text += &format!("{verb}: machine {}, {}: {files} files, {bytes}\n", gone.machine, gone.day);
    }
    if report.partitions.is_empty() {
        text += &format!("nothing to remove: no machine has a day before {}\n", report.kept_since);
    }
    let kept = if report.dry_run { "would be kept" } else { "kept" };
    text + &format!("{kept}: everything since {}\n", report.kept_since)
}
