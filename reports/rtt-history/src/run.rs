//! One run as its trial log tells it: a header, and the trials in order.
//!
//! HISTORY-5  is checked here: the log's chain by `rtt_measure`, and that it is one run's log of a known format.
//! Torn tails are not damage: an interrupted run is read up to its last whole record.

use crate::Source;
use hdrhistogram::Histogram;
use rtt_measure::{GateVerdict, HistogramError, LogError, Record, RunRecord, TrialRecord, decode_histogram, read_log};
use rtt_seal::{Digest, near_name};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Where a root keeps its runs, a folder each.
pub const RUNS_PLACE: &str = ".rtt/runs";
/// The trial log in a run's folder.
pub const LOG_NAME: &str = "trials.jsonl";
/// The one format of trial logs that is known.
const LOG_FORMAT: u32 = 1;

/// Why a run cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadRunError {
    /// The log cannot be read, or is damaged.
    #[error(transparent)]
    Log(#[from] LogError),
    /// There is no such run.
    #[error("run `{word}`: no folder {} and no log of that path{hint}; `rtt-history export` lists the runs that are there", folder.display())]
    Missing {
        /// What was asked for.
        word: String,
        /// Where it was looked for.
        folder: PathBuf,
        /// A near name, where there is one.
        hint: String,
    },
    /// The folder of runs or gates cannot be listed.
    #[error("folders in {}: cannot list them", folder.display())]
    List {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A folder without a log: a simulated problem, or a run that was stopped before its first record.
    #[error("run {run}: {} is not there; a simulated problem has none, so there is nothing to read", path.display())]
    NoLog {
        /// The run.
        run: String,
        /// Where its log should be.
        path: PathBuf,
    },
    /// The log has no record.
    #[error("trial log {}: it has no whole record yet; resume the run, or remove its folder", path.display())]
    Empty {
        /// The log.
        path: PathBuf,
    },
    /// The records are not those of one run.
    #[error("trial log {}: line {line}: {reason}; it is left out: restore it from a copy, or remove the run's folder", path.display())]
    NotOneRun {
        /// The log.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// One trial of a run.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Digest of its line.
    pub digest: Digest,
    /// Its line in the log, from 1.
    pub line: usize,
    /// What was measured.
    pub record: TrialRecord,
}

/// What the gate that wrote a log came to.
#[derive(Clone, Debug)]
pub struct GateOrigin {
    /// The comparison: the log's folder.
    pub comparison: String,
    /// The log's file name without its ending.
    pub log: String,
    /// What the comparison came to, over all its logs.
    pub verdict: GateVerdict,
    /// Whether both arms were known to be alike, and the gate itself was on trial.
    pub canary: bool,
    /// BLAKE3 of the document that says so.
    pub document: Digest,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its log.
    pub path: PathBuf,
    /// The gate that wrote it; absent for a tune.
    pub gate: Option<GateOrigin>,
    /// What all its trials share.
    pub header: RunRecord,
    /// Its trials in the order of the log.
    pub trials: Vec<Trial>,
    /// Digest of the log's last whole line: what names the log.
    pub tip: Digest,
    /// BLAKE3 of the log's bytes.
    pub digest: Digest,
    /// Bytes behind the last whole line: 0 for a log that was closed in peace.
    pub torn_bytes: usize,
}

impl Run {
    /// Its log by name.
    pub fn source(&self) -> Source {
        match &self.gate {
            None => Source::Tune { run: self.header.run.clone() },
            Some(gate) => Source::Gate { comparison: gate.comparison.clone(), log: gate.log.clone() },
        }
    }

    /// The whole histogram of `trial`, where it has one.
    ///
    /// # Errors
    /// [`ReadRunError::NotOneRun`] with the trial's line when its text is no histogram.
    pub fn histogram(&self, trial: &Trial) -> Result<Option<Histogram<u64>>, ReadRunError> {
        let decode = |text: &String| decode_histogram(text).map_err(|error| self.bad_histogram(trial, &error));
        trial.record.histogram.as_ref().map(decode).transpose()
    }

    fn bad_histogram(&self, trial: &Trial, error: &HistogramError) -> ReadRunError {
        let reason = format!("trial {}: {error}", trial.record.id);
        ReadRunError::NotOneRun { path: self.path.clone(), line: trial.line, reason }
    }
}

/// The names of the runs below `root`, sorted; none where the folder is not there. Hidden folders are no runs.
///
/// # Errors
/// [`ReadRunError::List`].
pub fn list_runs(root: &Path) -> Result<Vec<String>, ReadRunError> {
    list_folders(root.join(RUNS_PLACE))
}

/// The names of the folders in `folder` that are not hidden, sorted; none where it is not there.
pub(crate) fn list_folders(folder: PathBuf) -> Result<Vec<String>, ReadRunError> {
    let failed = |source| ReadRunError::List { folder: folder.clone(), source };
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        // A name that is no UTF-8 cannot be the name in a header, which is JSON.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !name.starts_with('.') && entry.path().is_dir() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The log that `word` means: the name of a run below `root`, a run's folder, or a log.
///
/// # Errors
/// [`ReadRunError::Missing`].
pub fn locate_log(root: &Path, word: &str) -> Result<PathBuf, ReadRunError> {
    let folder = root.join(RUNS_PLACE).join(word);
    // A name is one component: with a separator in it, a word is a path from here.
    if is_name(word) && folder.is_dir() {
        return Ok(folder.join(LOG_NAME));
    }
    let path = PathBuf::from(word);
    if path.is_dir() {
        Ok(path.join(LOG_NAME))
    } else if path.is_file() {
        Ok(path)
    } else {
        let runs = list_runs(root).unwrap_or_default();
        let near = near_name(word, runs.iter().map(String::as_str));
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        Err(ReadRunError::Missing { word: word.to_owned(), folder, hint })
    }
}

/// Reads the log at `path`.
///
/// # Errors
/// [`ReadRunError::Log`] for a damaged or unreadable log, [`ReadRunError::NoLog`], [`ReadRunError::Empty`],
/// [`ReadRunError::NotOneRun`].
pub fn read_run(path: &Path) -> Result<Run, ReadRunError> {
    let opened = match read_log(path) {
        Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let run = path.parent().and_then(Path::file_name).unwrap_or_default();
            return Err(ReadRunError::NoLog { run: run.to_string_lossy().into_owned(), path: path.to_owned() });
        }
        opened => opened?,
    };
    let (tip, digest, torn_bytes) = (opened.tip(), opened.digest, opened.torn_bytes);
    let refused = |line, reason: String| ReadRunError::NotOneRun { path: path.to_owned(), line, reason };
    let mut records = opened.records.into_iter().zip(1..).map(|((digest, record), line)| (digest, record, line));
    let header = match records.next() {
        None => return Err(ReadRunError::Empty { path: path.to_owned() }),
        Some((_, Record::Run(header), _)) => *header,
        Some((_, Record::Capacity(_) | Record::Trial(_), line)) => {
            return Err(refused(line, "expected the run's header as the first record".into()));
        }
    };
    if header.version != LOG_FORMAT {
        return Err(refused(1, format!("format {}, expected {LOG_FORMAT}", header.version)));
    }
    let mut ids = BTreeSet::new();
    let mut trials = Vec::new();
    for (digest, record, line) in records {
        match record {
            Record::Run(second) => {
                return Err(refused(line, format!("a second header, of run {}", second.run)));
            }
            Record::Capacity(_) => {}
            Record::Trial(record) => {
                if !ids.insert(record.id.clone()) {
                    return Err(refused(line, format!("trial {} is there twice", record.id)));
                }
                trials.push(Trial { digest, line, record: *record });
            }
        }
    }
    Ok(Run { path: path.to_owned(), gate: None, header, trials, tip, digest, torn_bytes })
}

/// Whether `word` can be the name of a run, which becomes the name of a file.
pub(crate) fn is_name(word: &str) -> bool {
    !word.is_empty() && !word.starts_with('.') && !word.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_visible_component() {
        for (word, expected) in [
            ("a", true),
            ("2026-11-23T08", true),
            ("", false),
            (".a", false),
            ("..", false),
            ("a/b", false),
            ("/", false),
        ] {
            assert_eq!(is_name(word), expected, "{word}");
        }
    }

    #[test]
    fn a_root_without_runs_has_none() {
        let root = tempfile::tempdir().expect("a folder");
        assert!(list_runs(root.path()).expect("none").is_empty());
        let error = locate_log(root.path(), "absent").expect_err("not there").to_string();
        assert!(error.contains("run `absent`"), "{error}");
    }
}
