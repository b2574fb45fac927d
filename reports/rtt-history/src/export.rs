//! Appending one log to the data set.
//!
//! HISTORY-1  One file a log, named after it; the bytes depend on the log and its gate's verdict alone, so a second
//!            export changes nothing.
//! HISTORY-2  Written aside, synced, renamed, and the folder synced: a file under its name is whole.

use crate::{
    HISTORY_PLACE, Holds, Index, ReadHistoryError, ReadRunError, Run, Source,
    dataset::{metadata, path_of},
    day_of, frame_of,
    whole_file::replace,
};
use polars::prelude::PolarsError;
use polars_io::prelude::ParquetWriter;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why a run was not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Its log is no log of one run.
    #[error(transparent)]
    Run(#[from] ReadRunError),
    /// The data set cannot be listed.
    #[error(transparent)]
    History(#[from] ReadHistoryError),
    /// The folder and the log do not agree on the name.
    #[error("run folder {}: its log is that of run `{found}`; give the folder that name, so that no run is counted twice", folder.display())]
    Renamed {
        /// The folder.
        folder: PathBuf,
        /// The name in the log.
        found: String,
    },
    /// Its name would be read back as another's.
    #[error("{log}: the data set cannot have a file of that name; give the folder a name without `=`")]
    Name {
        /// The log.
        log: Source,
    },
    /// The log began in a year of five digits.
    #[error("{log}: it began {unix_s} s after 1970, expected a year up to 9999; correct the host's clock")]
    Clock {
        /// The log.
        log: Source,
        /// When it says that it began.
        unix_s: u64,
    },
    /// The same name stands under another day of the same machine.
    #[error("{log}: another one of that name is in the data set as {}; rename one of the two", path.display())]
    NameTaken {
        /// The log.
        log: Source,
        /// The other's file.
        path: PathBuf,
    },
    /// polars cannot write the rows.
    #[error("{log}: its trials cannot be written as Parquet")]
    Parquet {
        /// The log.
        log: Source,
        /// What polars says.
        source: PolarsError,
    },
    /// The file cannot be written.
    #[error("{log}: {doing} {} failed", path.display())]
    Write {
        /// The log.
        log: Source,
        /// What was tried.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// What an export did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exported {
    /// The file is new, or holds more than before.
    Written {
        /// Its rows.
        trials: usize,
        /// The file.
        path: PathBuf,
    },
    /// The file was there with these very bytes.
    Unchanged {
        /// Its rows.
        trials: usize,
        /// The file.
        path: PathBuf,
    },
    /// The run has no trial yet: nothing was written.
    NoTrials,
}

/// Appends `run`, which was read from its own folder, to the data set below `root`, whose logs are `index`.
///
/// # Errors
/// [`ExportError`]; the data set is then as it was.
pub fn export_run(root: &Path, run: &Run, index: &Index) -> Result<Exported, ExportError> {
    let (source, name) = (run.source(), &run.header.run);
    let log = || source.clone();
    let folder = run.path.parent().unwrap_or(Path::new(""));
    // A gate's verdict names its logs by their digests; a tune's log has only its folder to agree with.
    if run.gate.is_none() && folder.file_name().is_none_or(|folder| folder != name.as_str()) {
        return Err(ExportError::Renamed { folder: folder.to_owned(), found: name.clone() });
    }
    if !source.has_a_file_name() {
        return Err(ExportError::Name { log: log() });
    }
    let unix_s = run.header.created_unix_s;
    let day = day_of(unix_s).ok_or_else(|| ExportError::Clock { log: log(), unix_s })?;
    let machine = run.header.fingerprint.machine.id().to_string();
    // HISTORY-1: the name is the log's only one on its machine, whatever the day.
    if let Some(other) = index.namesake(&source, &machine, &day) {
        return Err(ExportError::NameTaken { log: log(), path: other.path.clone() });
    }
    // HISTORY-5: a histogram that cannot be merged later is refused now, with its line.
    for trial in &run.trials {
        run.histogram(trial)?;
    }
    let trials = run.trials.len();
    if trials == 0 {
        return Ok(Exported::NoTrials);
    }
    let piece = run.piece();
    // HISTORY-1: in a compaction it stands already; its own file is compared byte by byte, which also mends it.
    let standing = index.has(&source, &piece.log, piece.verdict.as_ref());
    if let Some(standing) = standing.filter(|standing| matches!(standing.file.holds, Holds::Compaction(_))) {
        return Ok(Exported::Unchanged { trials, path: standing.file.path.clone() });
    }
    let path = path_of(root, &machine, &day, &Holds::Log(log()));
    let bytes = parquet_of(run).map_err(|source| ExportError::Parquet { log: log(), source })?;
    if fs::read(&path).is_ok_and(|present| present == bytes) {
        return Ok(Exported::Unchanged { trials, path });
    }
    // HISTORY-2: whole or not at all.
    let written = replace(&root.join(HISTORY_PLACE), &path, &bytes);
    written.map_err(|(doing, path, source)| ExportError::Write { log: log(), doing, path, source })?;
    Ok(Exported::Written { trials, path })
}

/// The rows of `run` as the bytes of a file.
pub(crate) fn parquet_of(run: &Run) -> Result<Vec<u8>, PolarsError> {
    let mut bytes = Vec::new();
    let mut frame = frame_of(run)?;
    ParquetWriter::new(&mut bytes).with_key_value_metadata(Some(metadata(&[run.piece()]))).finish(&mut frame)?;
    Ok(bytes)
}
