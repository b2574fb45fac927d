//! The data set as files: where they are, and reading some of their columns.
//!
//! A file carries its format and its logs in its own metadata, so that an older or newer one is refused by name and not
//! misread. Only the columns that are asked for are read from the disk.
//!
//! HISTORY-6  A row is read once: where two files hold one log, as between the steps of a compaction, the log's own file
//!            counts before any compaction, and a later compaction before an earlier one.

use crate::{
    Holds, PARTITION_COLUMNS, Piece, Source,
    contents::{contents_of, contents_text},
    is_day,
    run::is_name,
};
use polars::prelude::{DataFrame, IntoLazy, PolarsError, PolarsResult, col, lit};
use polars_io::prelude::{KeyValueMetadata, ParquetReader, SerReader};
use std::{
    any::Any,
    collections::BTreeSet,
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// Where a root keeps its data set.
pub const HISTORY_PLACE: &str = ".rtt/history";
/// Format of the files: what [`crate::COLUMNS`] means.
pub const FORMAT: &str = "2";
/// The metadata of a file: its format, and its logs.
const FORMAT_KEY: &str = "rtt.history.format";
const CONTENTS_KEY: &str = "rtt.history.contents";
/// The column that says which log a row is from.
const LOG_COLUMN: &str = "log";

/// One file: one log, or several of one machine and day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryFile {
    /// Id of the machine.
    pub machine: String,
    /// The UTC day on which its logs began.
    pub day: String,
    /// What it holds, as its name says.
    pub holds: Holds,
    /// The file.
    pub path: PathBuf,
    /// Logs in it that another file holds too, and that are read there.
    pub hidden: Vec<Source>,
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
    #[error("{holds}: cannot open {}", path.display())]
    Open {
        /// What it holds.
        holds: Holds,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is of another format.
    #[error("{holds}: {} is of format {found}, expected {FORMAT}; remove it and append its logs again (`rtt-history append`)", path.display())]
    Format {
        /// What it holds.
        holds: Holds,
        /// The file.
        path: PathBuf,
        /// Its format, or `none`.
        found: String,
    },
    /// A file is no Parquet file, or is damaged.
    #[error("{holds}: {} cannot be read; remove it and append its logs again (`rtt-history append`)", path.display())]
    Parquet {
        /// What it holds.
        holds: Holds,
        /// The file.
        path: PathBuf,
        /// What polars says.
        source: PolarsError,
    },
}

/// The files of the data set below `root`, sorted by machine, day and name; none where there is no data set. What does
/// not have the name of a partition or of a file is passed over, such as the rest of an export that was killed.
///
/// # Errors
/// [`ReadHistoryError::List`]; those of [`read_contents`] where a compaction has other files beside it.
pub fn list_history(root: &Path) -> Result<Vec<HistoryFile>, ReadHistoryError> {
    let mut files = list_names(root)?;
    for partition in files.chunk_by_mut(|a, b| a.machine == b.machine && a.day == b.day) {
        hide_twins(partition)?;
    }
    Ok(files)
}

/// As [`list_history`], without a look into any file: what two of them hold is not known.
///
/// # Errors
/// [`ReadHistoryError::List`].
pub(crate) fn list_names(root: &Path) -> Result<Vec<HistoryFile>, ReadHistoryError> {
    let top = root.join(HISTORY_PLACE);
    let mut files = Vec::new();
    for (machine, folder) in named(&top, "machine=", "")? {
        for (day, folder) in named(&folder, "day=", "")? {
            if !is_day(&day) {
                continue;
            }
            for (stem, path) in named(&folder, "", ".parquet")? {
                let Some(holds) = Holds::of_stem(&stem) else { continue };
                files.push(HistoryFile { machine: machine.clone(), day: day.clone(), holds, path, hidden: Vec::new() });
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// HISTORY-6: marks in the compactions of one partition the logs that a file before them holds.
fn hide_twins(partition: &mut [HistoryFile]) -> Result<(), ReadHistoryError> {
    let mut seen: BTreeSet<Source> = BTreeSet::new();
    let mut compactions = Vec::new();
    let alone = partition.len() == 1;
    for file in partition {
        match &file.holds {
            Holds::Log(source) => drop(seen.insert(source.clone())),
            Holds::Compaction(number) => compactions.push((*number, file)),
        }
    }
    // One file alone has no twin, and is not opened.
    compactions.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    for (_, file) in compactions.into_iter().filter(|_| !alone) {
        for piece in read_contents(file)? {
            if !seen.insert(piece.source.clone()) {
                file.hidden.push(piece.source);
            }
        }
    }
    Ok(())
}

/// The logs in `file`, hidden ones too.
///
/// # Errors
/// [`ReadHistoryError::Open`], [`ReadHistoryError::Format`], [`ReadHistoryError::Parquet`].
pub fn read_contents(file: &HistoryFile) -> Result<Vec<Piece>, ReadHistoryError> {
    guarded(file, |mut reader| {
        let text = metadata_of(&mut reader, CONTENTS_KEY)?.unwrap_or_default();
        contents_of(&text).ok_or_else(|| PolarsError::ComputeError("its metadata does not name its logs".into()))
    })
}

/// Reads `columns` of `file`; those of [`PARTITION_COLUMNS`] come from its path. Nothing else is decoded.
///
/// # Errors
/// As [`read_contents`].
pub fn read_columns(file: &HistoryFile, columns: &[&str]) -> Result<DataFrame, ReadHistoryError> {
    guarded(file, |reader| decode(reader, file, columns))
}

/// The metadata of a file that holds `pieces`.
pub(crate) fn metadata(pieces: &[Piece]) -> KeyValueMetadata {
    let entries = [(FORMAT_KEY, FORMAT.to_owned()), (CONTENTS_KEY, contents_text(pieces))];
    KeyValueMetadata::from_static(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The folder of a partition.
pub(crate) fn partition_of(root: &Path, machine: &str, day: &str) -> PathBuf {
    root.join(HISTORY_PLACE).join(format!("machine={machine}")).join(format!("day={day}"))
}

/// The path of the file that holds `holds`.
pub(crate) fn path_of(root: &Path, machine: &str, day: &str, holds: &Holds) -> PathBuf {
    partition_of(root, machine, day).join(format!("{}.parquet", holds.stem()))
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

/// Does `work` with a reader of `file`, once its format is known; whatever goes wrong is an error that names the file.
fn guarded<T>(
    file: &HistoryFile,
    work: impl FnOnce(ParquetReader<File>) -> PolarsResult<T>,
) -> Result<T, ReadHistoryError> {
    let (holds, path) = (file.holds.clone(), file.path.clone());
    let opened = match File::open(&file.path) {
        Ok(opened) => opened,
        Err(source) => return Err(ReadHistoryError::Open { holds, path, source }),
    };
    // polars 0.55 panics on some damaged metadata instead of returning an error. What it was reading is dropped with
    // the panic, so nothing half-made is seen afterwards.
    let done = catch_unwind(AssertUnwindSafe(|| {
        let mut reader = ParquetReader::new(opened);
        match metadata_of(&mut reader, FORMAT_KEY)? {
            Some(format) if format == FORMAT => work(reader).map(Ok),
            found => Ok(Err(found.unwrap_or_else(|| "none".into()))),
        }
    }));
    match done.unwrap_or_else(|panic| Err(gave_up(&*panic))) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(found)) => Err(ReadHistoryError::Format { holds, path, found }),
        Err(source) => Err(ReadHistoryError::Parquet { holds, path, source }),
    }
}

fn metadata_of(reader: &mut ParquetReader<File>, key: &str) -> PolarsResult<Option<String>> {
    let entries = reader.get_metadata()?.key_value_metadata().as_deref().unwrap_or_default();
    Ok(entries.iter().find(|entry| entry.key == key).and_then(|entry| entry.value.clone()))
}

fn gave_up(panic: &(dyn Any + Send)) -> PolarsError {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    PolarsError::ComputeError(format!("the reader gave up: {}", text.unwrap_or("without a word")).into())
}

fn decode(reader: ParquetReader<File>, file: &HistoryFile, columns: &[&str]) -> PolarsResult<DataFrame> {
    let partition = |name: &str| match name {
        "machine" => Some(file.machine.as_str()),
        "day" => Some(file.day.as_str()),
        _ => None,
    };
    debug_assert!(PARTITION_COLUMNS.iter().all(|(name, _)| partition(name).is_some()));
    let mut stored: Vec<String> =
        columns.iter().filter(|name| partition(name).is_none()).map(|name| (*name).to_owned()).collect();
    // Which rows another file holds is known by their log.
    if !file.hidden.is_empty() && !stored.iter().any(|name| name == LOG_COLUMN) {
        stored.push(LOG_COLUMN.to_owned());
    }
    let frame = reader.with_columns(Some(stored)).finish()?;
    let constants = columns.iter().filter_map(|name| partition(name).map(|value| lit(value.to_owned()).alias(*name)));
    let constants: Vec<_> = constants.collect();
    if constants.is_empty() && file.hidden.is_empty() {
        return Ok(frame);
    }
    let hidden = file.hidden.iter().map(Source::stem);
    let shown = hidden.fold(lit(true), |shown, stem| shown.and(col(LOG_COLUMN).neq(lit(stem))));
    frame
        .lazy()
        .filter(shown)
        .with_columns(constants)
        .select(columns.iter().map(|name| col(*name)).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HISTORY-2: what an export that was killed leaves behind is no file of the data set.
    #[test]
    fn only_names_of_the_data_set_are_listed() {
        let root = tempfile::tempdir().expect("a folder");
        let day = path_of(root.path(), "m1", "2026-11-23", &Holds::of_stem("a").expect("a name"));
        fs::create_dir_all(day.parent().expect("its folder")).expect("folders");
        let strays = [".a.parquet.17.tmp", ".a.parquet", ".parquet", "notes.txt", "compact=7.parquet", "x=y.parquet"];
        for name in ["b.parquet", "a.parquet", "gate=c,log=000.parquet"].into_iter().chain(strays) {
            fs::write(day.with_file_name(name), "").expect("a file");
        }
        for stray in ["machine=m1/day=yesterday", "machine=", "elsewhere", "machine=m1/day=2026-11-99"] {
            let folder = root.path().join(HISTORY_PLACE).join(stray);
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("c.parquet"), "").expect("a file");
        }
        fs::write(root.path().join(HISTORY_PLACE).join("machine=file"), "").expect("a file");
        let files = list_history(root.path()).expect("a list");
        let found: Vec<_> = files.iter().map(|file| file.holds.to_string()).collect();
        assert_eq!(found, ["run a", "run b", "gate c, log 000"]);
    }
}
