//! Appending one run to the data set.
//!
//! HISTORY-1  One file a run, named after it; the bytes depend on the log alone, so a second export changes nothing.
//! HISTORY-2  Written aside, synced, renamed, and the folder synced: a file under its name is whole.

use crate::{
    ReadRunError, Run,
    dataset::{FORMAT, FORMAT_KEY, HISTORY_PLACE, RUN_KEY, ReadHistoryError, TIP_KEY, list_history, path_of},
    day_of, frame_of,
    run::is_name,
};
use polars::prelude::PolarsError;
use polars_io::prelude::{KeyValueMetadata, ParquetWriter};
use std::{
    fs::{self, File},
    io::{self, Write},
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
    /// The run began in a year of five digits.
    #[error("run {run}: it began {unix_s} s after 1970, expected a year up to 9999; correct the host's clock")]
    Clock {
        /// The run.
        run: String,
        /// When it says that it began.
        unix_s: u64,
    },
    /// The same name stands under another day of the same machine.
    #[error("run {run}: another run of that name is in the data set as {}; rename one of the two", path.display())]
    NameTaken {
        /// The run.
        run: String,
        /// The other's file.
        path: PathBuf,
    },
    /// polars cannot write the rows.
    #[error("run {run}: its trials cannot be written as Parquet")]
    Parquet {
        /// The run.
        run: String,
        /// What polars says.
        source: PolarsError,
    },
    /// The file cannot be written.
    #[error("run {run}: {doing} {} failed", path.display())]
    Write {
        /// The run.
        run: String,
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

/// Appends `run`, which was read from its own folder, to the data set below `root`.
///
/// # Errors
/// [`ExportError`]; the data set is then as it was.
pub fn export_run(root: &Path, run: &Run) -> Result<Exported, ExportError> {
    let name = &run.header.run;
    let folder = run.path.parent().unwrap_or(Path::new(""));
    if !is_name(name) || folder.file_name().is_none_or(|folder| folder != name.as_str()) {
        return Err(ExportError::Renamed { folder: folder.to_owned(), found: name.clone() });
    }
    let unix_s = run.header.created_unix_s;
    let day = day_of(unix_s).ok_or_else(|| ExportError::Clock { run: name.clone(), unix_s })?;
    let machine = run.header.fingerprint.machine.id().to_string();
    let path = path_of(root, &machine, &day, name);
    // HISTORY-1: the name is the run's only file on its machine, whatever the day.
    let same = |file: &crate::HistoryFile| file.machine == machine && file.run == *name && file.path != path;
    if let Some(other) = list_history(root)?.into_iter().find(same) {
        return Err(ExportError::NameTaken { run: name.clone(), path: other.path });
    }
    // HISTORY-5: a histogram that cannot be merged later is refused now, with its line.
    for trial in &run.trials {
        run.histogram(trial)?;
    }
    let trials = run.trials.len();
    if trials == 0 {
        return Ok(Exported::NoTrials);
    }
    let bytes = parquet_of(run).map_err(|source| ExportError::Parquet { run: name.clone(), source })?;
    if fs::read(&path).is_ok_and(|present| present == bytes) {
        return Ok(Exported::Unchanged { trials, path });
    }
    let write = |(doing, path, source)| ExportError::Write { run: name.clone(), doing, path, source };
    replace(root, &path, &bytes).map_err(write)?;
    Ok(Exported::Written { trials, path })
}

fn parquet_of(run: &Run) -> Result<Vec<u8>, PolarsError> {
    let metadata = [(FORMAT_KEY, FORMAT.to_owned()), (RUN_KEY, run.header.run.clone()), (TIP_KEY, run.tip.to_string())];
    let metadata = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let mut bytes = Vec::new();
    let mut frame = frame_of(run)?;
    ParquetWriter::new(&mut bytes)
        .with_key_value_metadata(Some(KeyValueMetadata::from_static(metadata)))
        .finish(&mut frame)?;
    Ok(bytes)
}

/// HISTORY-2: `bytes` under `path`, whole or not at all, also after a power cut.
fn replace(root: &Path, path: &Path, bytes: &[u8]) -> Result<(), (&'static str, PathBuf, io::Error)> {
    let folder = path.parent().expect("a file of the data set is in a partition");
    fs::create_dir_all(folder).map_err(|error| ("making folder", folder.to_owned(), error))?;
    let name = path.file_name().expect("it has a name").to_string_lossy();
    // One name for each process: two exports at once each rename a whole file.
    let aside = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = File::create(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&aside, path)) {
        // The rest of a failed write is only waste; the first error is the one that tells.
        let _ = fs::remove_file(&aside);
        return Err(("writing", path.to_owned(), error));
    }
    // The entry of the file, and those of partitions that may be new.
    let top = root.join(HISTORY_PLACE);
    for folder in folder.ancestors().take_while(|folder| folder.starts_with(&top)) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| ("syncing folder", folder.to_owned(), error))?;
    }
    Ok(())
}
