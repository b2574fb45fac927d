//! Many files of one machine and day into one.
//!
//! HISTORY-8  A file is removed only after another one that has its rows is on the disk, synced, under its name, and
//!            was read back. Killed at any step, the rows are those of before: readers take each log once (HISTORY-6).
//! Memory holds one file's rows, or some thousands, whichever are more.

use crate::{
    COLUMNS, CompactedPartition, HISTORY_PLACE, HistoryFile, Holds, Piece, ReadHistoryError,
    dataset::{list_history, metadata, path_of, read_columns, read_contents},
    whole_file::{ASIDE, Failure, aside_of, sync_folders},
};
use polars::prelude::{DataFrame, PolarsError};
use polars_io::prelude::ParquetWriter;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// Rows that are gathered before they are written: a group of them is what a reader decodes at once.
const GROUP_ROWS: usize = 8_192;

/// Why a partition was not compacted.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadHistoryError),
    /// polars cannot write the rows.
    #[error("{}: its rows cannot be written as Parquet; the files that it was made from are untouched", path.display())]
    Parquet {
        /// The new file.
        path: PathBuf,
        /// What polars says.
        source: PolarsError,
    },
    /// The new file is not what was written.
    #[error("{}: it was read back with other logs than were written; the files that it was made from are untouched", path.display())]
    ReadBack {
        /// The new file.
        path: PathBuf,
    },
    /// A file or folder cannot be written or removed.
    #[error("{doing} {} failed; no row is lost", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl From<Failure> for CompactError {
    fn from((doing, path, source): Failure) -> CompactError {
        CompactError::Io { doing, path, source }
    }
}

/// What is about to be done to a file: told before each step, so that a test can stop there as a crash would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompactStep {
    /// Writing the new file aside, and syncing it.
    Write(PathBuf),
    /// Giving it its name.
    Rename(PathBuf),
    /// Syncing its folder and reading it back.
    Sync(PathBuf),
    /// Removing a file whose rows it has.
    Remove(PathBuf),
}

/// Makes one file of every partition below `root` that has several. `step` hears of each step before it is done and may
/// stop there.
///
/// # Errors
/// [`CompactError`], and what `step` answers.
pub fn compact(
    root: &Path,
    step: &mut dyn FnMut(CompactStep) -> Result<(), CompactError>,
) -> Result<Vec<CompactedPartition>, CompactError> {
    let files = list_history(root)?;
    let partitions = files.chunk_by(|a, b| a.machine == b.machine && a.day == b.day);
    partitions.filter(|partition| partition.len() > 1).map(|partition| compact_one(root, partition, step)).collect()
}

fn compact_one(
    root: &Path,
    partition: &[HistoryFile],
    step: &mut dyn FnMut(CompactStep) -> Result<(), CompactError>,
) -> Result<CompactedPartition, CompactError> {
    let (machine, day) = (&partition[0].machine, &partition[0].day);
    let numbers = partition.iter().filter_map(|file| match file.holds {
        Holds::Compaction(number) => Some(number),
        Holds::Log(_) => None,
    });
    // Above every other: of two compactions the later one counts.
    let holds = Holds::Compaction(numbers.max().unwrap_or(0) + 1);
    let path = path_of(root, machine, day, &holds);
    let mut pieces = Vec::new();
    for file in partition {
        let shown = read_contents(file)?.into_iter().filter(|piece| !file.hidden.contains(&piece.source));
        pieces.extend(shown);
    }
    step(CompactStep::Write(path.clone()))?;
    let aside = aside_of(&path)?;
    remove_asides(&aside)?;
    if let Err(error) = write(partition, &pieces, &path, &aside) {
        // The rest of a failed write is only waste; the first error is the one that tells.
        let _ = fs::remove_file(&aside);
        return Err(error);
    }
    step(CompactStep::Rename(path.clone()))?;
    fs::rename(&aside, &path).map_err(|error| CompactError::from(("renaming to", path.clone(), error)))?;
    step(CompactStep::Sync(path.clone()))?;
    sync_folders(&root.join(HISTORY_PLACE), &path)?;
    let new = HistoryFile { holds, path: path.clone(), hidden: Vec::new(), ..partition[0].clone() };
    // HISTORY-8: from the disk, not from memory.
    if read_contents(&new)? != pieces || rows_in(&new)? != rows_of(&pieces) {
        return Err(CompactError::ReadBack { path });
    }
    for old in partition {
        step(CompactStep::Remove(old.path.clone()))?;
        fs::remove_file(&old.path).map_err(|error| CompactError::from(("removing", old.path.clone(), error)))?;
    }
    sync_folders(&root.join(HISTORY_PLACE), &path)?;
    Ok(CompactedPartition {
        machine: machine.clone(),
        day: day.clone(),
        files: partition.len(),
        rows: rows_of(&pieces),
        path,
    })
}

fn rows_of(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|piece| piece.rows).sum()
}

/// Rows of `file` as decoded: its columns hold what its metadata says.
fn rows_in(file: &HistoryFile) -> Result<u64, ReadHistoryError> {
    Ok(read_columns(file, &["log"])?.height() as u64)
}

/// Writes the rows of `partition` to `aside`, file by file, and syncs it.
fn write(partition: &[HistoryFile], pieces: &[Piece], path: &Path, aside: &Path) -> Result<(), CompactError> {
    let failed = |source| CompactError::Parquet { path: path.to_owned(), source };
    let io = |doing| move |error| CompactError::from((doing, aside.to_owned(), error));
    let columns: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    let mut file = File::create(aside).map_err(io("writing"))?;
    let mut gathered = read_columns(&partition[0], &columns)?;
    let schema = gathered.schema().clone();
    let mut writer = ParquetWriter::new(&mut file)
        .with_key_value_metadata(Some(metadata(pieces)))
        .batched(&schema)
        .map_err(failed)?;
    let mut flush = |frame: &mut DataFrame| {
        frame.rechunk_mut();
        writer.write_batch(frame).map_err(failed)
    };
    for next in &partition[1..] {
        if gathered.height() >= GROUP_ROWS {
            flush(&mut gathered)?;
            gathered = gathered.clear();
        }
        gathered.vstack_mut_owned(read_columns(next, &columns)?).map_err(failed)?;
    }
    flush(&mut gathered)?;
    writer.finish().map_err(failed)?;
    drop(writer);
    file.sync_all().map_err(io("syncing"))
}

/// Removes what writers that were killed left in the folder of `aside`: the data set is locked, so nobody writes now.
fn remove_asides(aside: &Path) -> Result<(), CompactError> {
    let folder = aside.parent().expect("it is in a partition");
    let failed = |error| CompactError::from(("listing", folder.to_owned(), error));
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') && name.ends_with(ASIDE) {
            fs::remove_file(&path).map_err(|error| CompactError::from(("removing", path.clone(), error)))?;
        }
    }
    Ok(())
}
