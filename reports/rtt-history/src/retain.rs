//! Removing partitions that are older than is wanted.
//!
//! A partition goes as one: it is renamed to a hidden name, which no reader takes, and then emptied. The day since which
//! is kept is written first, so that an append does not bring back what a log still has (HISTORY-9).

use crate::{
    HISTORY_PLACE, ReadHistoryError, RemovedPartition, RetainReport,
    dataset::{list_names, partition_of},
    day_of, is_day,
    whole_file::{Failure, replace, sync_folders},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The day since which a data set is kept, in its folder.
const KEPT_SINCE: &str = "kept-since";
/// Ending of a partition that is being removed, behind a leading dot.
const GOING: &str = ".removed";
const DAY_S: u64 = 86_400;

/// Why nothing more was removed.
#[derive(Debug, thiserror::Error)]
pub enum RetainError {
    /// The data set cannot be listed.
    #[error(transparent)]
    List(#[from] ReadHistoryError),
    /// The clock is not on a day that can be named.
    #[error(
        "it is {unix_s} s after 1970 on this host, and {days} days are to be kept: expected a day from 1970 to 9999; correct the host's clock"
    )]
    Clock {
        /// What the clock says.
        unix_s: u64,
        /// Days to keep.
        days: u32,
    },
    /// A file or folder cannot be removed or written.
    #[error("{doing} {} failed; what was not removed is whole", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl From<Failure> for RetainError {
    fn from((doing, path, source): Failure) -> RetainError {
        RetainError::Io { doing, path, source }
    }
}

/// The first day that a data set keeps, as its last retention said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptSince {
    pub(crate) day: String,
}

/// The first day that is kept below `root`; none where nothing was ever removed. A text that is no day counts as none:
/// rows too many are seen, rows too few are not.
pub(crate) fn kept_since(root: &Path) -> Option<KeptSince> {
    let text = fs::read_to_string(root.join(HISTORY_PLACE).join(KEPT_SINCE)).ok()?;
    let day = text.trim_end();
    is_day(day).then(|| KeptSince { day: day.to_owned() })
}

/// Removes the partitions below `root` whose day lies more than `days` days before the day of `now_unix_s`; with
/// `dry_run` only says which.
///
/// # Errors
/// [`RetainError`]; a retention that was stopped goes on when it is asked for again.
pub fn retain(root: &Path, now_unix_s: u64, days: u32, dry_run: bool) -> Result<RetainReport, RetainError> {
    let clock = || RetainError::Clock { unix_s: now_unix_s, days };
    let since_s = now_unix_s.checked_sub(u64::from(days) * DAY_S).ok_or_else(clock)?;
    let kept_since = day_of(since_s).ok_or_else(clock)?;
    let files = list_names(root)?;
    // Days have one length, so their order as text is that of time.
    let old: Vec<_> = files
        .chunk_by(|a, b| a.machine == b.machine && a.day == b.day)
        .filter(|partition| partition[0].day < kept_since)
        .collect();
    let bytes_of = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    let removed = old.iter().map(|partition| RemovedPartition {
        machine: partition[0].machine.clone(),
        day: partition[0].day.clone(),
        files: partition.len(),
        bytes: partition.iter().map(|file| bytes_of(&file.path)).sum(),
    });
    let removed: Vec<RemovedPartition> = removed.collect();
    if !dry_run {
        let top = root.join(HISTORY_PLACE);
        replace(&top, &top.join(KEPT_SINCE), format!("{kept_since}\n").as_bytes())?;
        for partition in &removed {
            hide(&top, &partition_of(root, &partition.machine, &partition.day))?;
        }
        empty_hidden(&top)?;
    }
    Ok(RetainReport { version: 1, dry_run, kept_since, partitions: removed })
}

/// Takes a partition out of sight in one step.
fn hide(top: &Path, partition: &Path) -> Result<(), RetainError> {
    let name = partition.file_name().expect("a partition has a name").to_string_lossy();
    let hidden = partition.with_file_name(format!(".{name}{GOING}"));
    // The rest of a retention that was stopped has the same name: its rows are gone already.
    remove_folder(&hidden)?;
    fs::rename(partition, &hidden).map_err(|error| RetainError::from(("renaming", partition.to_owned(), error)))?;
    Ok(sync_folders(top, partition)?)
}

/// Removes what was hidden, now or by a retention that was stopped, and the folders of machines that have nothing left.
fn empty_hidden(top: &Path) -> Result<(), RetainError> {
    for machine in entries(top)?.into_iter().filter(|path| path.is_dir()) {
        for day in entries(&machine)? {
            let name = day.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(".day=") && name.ends_with(GOING) {
                remove_folder(&day)?;
            }
        }
        // It stays where it has something: then the kernel refuses, which is what is wanted.
        let _ = fs::remove_dir(&machine);
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, RetainError> {
    let failed = |error| RetainError::from(("listing", folder.to_owned(), error));
    let entries = fs::read_dir(folder).map_err(failed)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

fn remove_folder(folder: &Path) -> Result<(), RetainError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(("removing", folder.to_owned(), error).into()),
        _ => Ok(()),
    }
}
