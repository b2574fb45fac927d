//! The data set as files: where they are, and reading some of their columns.
//!
//! A file carries its format in its own metadata, so that an older or newer one is refused by name and not misread.
//! Only the columns that are asked for are read from the disk.

use crate::{PARTITION_COLUMNS, is_day, run::is_name};
use polars::prelude::{DataFrame, IntoLazy, PolarsError, PolarsResult, lit};
use polars_io::prelude::{ParquetReader, SerReader};
use std::{
    any::Any,
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// Where a root keeps its data set.
pub const HISTORY_PLACE: &str = ".rtt/history";
/// Format of the files: what [`crate::COLUMNS`] means.
pub const FORMAT: &str = "1";
/// The metadata of a file: format, run, and digest of the log's last line.
pub(crate) const FORMAT_KEY: &str = "rtt.history.format";
pub(crate) const RUN_KEY: &str = "rtt.run";
pub(crate) const TIP_KEY: &str = "rtt.log_tip";

/// One file: one run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryFile {
    /// Id of the machine.
    pub machine: String,
    /// The UTC day on which the run began.
    pub day: String,
    /// Name of the run.
    pub run: String,
    /// The file.
    pub path: PathBuf,
}

/// Why the data set cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadHistoryError {
    /// A folder cannot be listed.
    #[error("data set {}: cannot list it", folder.display())]
    List {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be opened.
    #[error("run {run}: cannot open {}", path.display())]
    Open {
        /// The run.
        run: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is of another format.
    #[error("run {run}: {} is of format {found}, expected {FORMAT}; remove it and export the run again", path.display())]
    Format {
        /// The run.
        run: String,
        /// The file.
        path: PathBuf,
        /// Its format, or `none`.
        found: String,
    },
    /// A file is no Parquet file, or is damaged.
    #[error("run {run}: {} cannot be read; remove it and export the run again", path.display())]
    Parquet {
        /// The run.
        run: String,
        /// The file.
        path: PathBuf,
        /// What polars says.
        source: PolarsError,
    },
}

/// The files of the data set below `root`, sorted by machine, day and run; none where there is no data set. What does
/// not have the name of a partition or of a file is passed over, such as the rest of an export that was killed.
///
/// # Errors
/// [`ReadHistoryError::List`].
pub fn list_history(root: &Path) -> Result<Vec<HistoryFile>, ReadHistoryError> {
    let top = root.join(HISTORY_PLACE);
    let mut files = Vec::new();
    for (machine, folder) in named(&top, "machine=", "")? {
        for (day, folder) in named(&folder, "day=", "")? {
            if !is_day(&day) {
                continue;
            }
            for (run, path) in named(&folder, "", ".parquet")? {
                files.push(HistoryFile { machine: machine.clone(), day: day.clone(), run, path });
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Reads `columns` of `file`; those of [`PARTITION_COLUMNS`] come from its path. Nothing else is decoded.
///
/// # Errors
/// [`ReadHistoryError::Open`], [`ReadHistoryError::Format`], [`ReadHistoryError::Parquet`].
pub fn read_columns(file: &HistoryFile, columns: &[&str]) -> Result<DataFrame, ReadHistoryError> {
    let (run, path) = (file.run.clone(), file.path.clone());
    let opened = match File::open(&file.path) {
        Ok(opened) => opened,
        Err(source) => return Err(ReadHistoryError::Open { run, path, source }),
    };
    // polars 0.55 panics on some damaged metadata instead of returning an error. What it was reading is dropped with
    // the panic, so nothing half-made is seen afterwards.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(opened, file, columns)));
    match decoded.unwrap_or_else(|panic| Err(gave_up(&*panic))) {
        Ok(Ok(frame)) => Ok(frame),
        Ok(Err(found)) => Err(ReadHistoryError::Format { run, path, found }),
        Err(source) => Err(ReadHistoryError::Parquet { run, path, source }),
    }
}

/// The path of a run's file.
pub(crate) fn path_of(root: &Path, machine: &str, day: &str, run: &str) -> PathBuf {
    let folder = root.join(HISTORY_PLACE).join(format!("machine={machine}")).join(format!("day={day}"));
    folder.join(format!("{run}.parquet"))
}

/// The entries of `folder` whose name is `prefix`, a name, and `suffix`.
fn named(folder: &Path, prefix: &str, suffix: &str) -> Result<Vec<(String, PathBuf)>, ReadHistoryError> {
    let failed = |source| ReadHistoryError::List { folder: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        // Not there, or a file that has a folder's name: either way nothing is in it.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let middle = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
        if let Some(middle) = middle.filter(|middle| is_name(middle)) {
            found.push((middle.to_owned(), entry.path()));
        }
    }
    Ok(found)
}

fn gave_up(panic: &(dyn Any + Send)) -> PolarsError {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    PolarsError::ComputeError(format!("the reader gave up: {}", text.unwrap_or("without a word")).into())
}

/// The frame, or the file's format where it is another one.
fn decode(opened: File, file: &HistoryFile, columns: &[&str]) -> PolarsResult<Result<DataFrame, String>> {
    let mut reader = ParquetReader::new(opened);
    let metadata = reader.get_metadata()?.key_value_metadata().as_deref().unwrap_or_default();
    let format = metadata.iter().find(|entry| entry.key == FORMAT_KEY).and_then(|entry| entry.value.clone());
    if format.as_deref() != Some(FORMAT) {
        return Ok(Err(format.unwrap_or_else(|| "none".into())));
    }
    let partition = |name: &str| match name {
        "machine" => Some(file.machine.as_str()),
        "day" => Some(file.day.as_str()),
        _ => None,
    };
    debug_assert!(PARTITION_COLUMNS.iter().all(|(name, _)| partition(name).is_some()));
    let stored = columns.iter().filter(|name| partition(name).is_none()).map(|name| (*name).to_owned());
    let frame = reader.with_columns(Some(stored.collect())).finish()?;
    let constants = columns.iter().filter_map(|name| partition(name).map(|value| lit(value.to_owned()).alias(*name)));
    let constants: Vec<_> = constants.collect();
    if constants.is_empty() { Ok(Ok(frame)) } else { frame.lazy().with_columns(constants).collect().map(Ok) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HISTORY-2: what an export that was killed leaves behind is no file of the data set.
    #[test]
    fn only_names_of_the_data_set_are_listed() {
        let root = tempfile::tempdir().expect("a folder");
        let day = path_of(root.path(), "m1", "2026-11-23", "a");
        fs::create_dir_all(day.parent().expect("its folder")).expect("folders");
        for name in ["b.parquet", "a.parquet", ".a.parquet.17.tmp", ".a.parquet", ".parquet", "notes.txt"] {
            fs::write(day.with_file_name(name), "").expect("a file");
        }
        for stray in ["machine=m1/day=yesterday", "machine=", "elsewhere", "machine=m1/day=2026-11-99"] {
            let folder = root.path().join(HISTORY_PLACE).join(stray);
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("c.parquet"), "").expect("a file");
        }
        fs::write(root.path().join(HISTORY_PLACE).join("machine=file"), "").expect("a file");
        let runs: Vec<_> = list_history(root.path()).expect("a list").into_iter().map(|file| file.run).collect();
        assert_eq!(runs, ["a", "b"]);
    }
}
