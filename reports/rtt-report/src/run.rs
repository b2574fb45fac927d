//! A run folder: what of it is there, read and checked.

use rtt_measure::{CapacityRecord, Fit, LogError, PairRegimes, Record, RunRecord, TrialRecord, Verdict, read_log};
use rtt_seal::Digest;
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// Format of a log, a fit and a verdict that this program reads.
pub(crate) const FORMAT: u32 = 1;

/// Why a run cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The folder holds neither a log nor a fit.
    #[error(
        "run {}: neither trials.jsonl nor fit.json is there; name a run folder, as .rtt/runs/RUN, or measure one with `cargo xtask tune`",
        folder.display()
    )]
    Nothing {
        /// The folder.
        folder: PathBuf,
    },
    /// The log is damaged or cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A file cannot be read.
    #[error("{}: reading failed", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The fit is not of the format.
    #[error(
        "fit {}: it is no fit of format {FORMAT}; render without it by moving it away, or run `cargo xtask tune --resume` to make it again",
        path.display()
    )]
    Fit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The log holds nothing.
    #[error("trial log {}: it holds no record, so the run never began to measure; start a new one with `cargo xtask tune`", path.display())]
    EmptyLog {
        /// The log.
        path: PathBuf,
    },
    /// The log beside the fit is not the one that the fit was made from.
    #[error(
        "fit {}: it was made from a log with digest {}, beside it is {}; put the log of this run back, or draw the log alone by moving the fit away",
        path.display(), digest_or(expected.as_ref(), "none"), digest_or(found.as_ref(), "no log")
    )]
    OtherLog {
        /// The fit.
        path: PathBuf,
        /// Digest that the fit names.
        expected: Option<Digest>,
        /// Digest of the log that is there.
        found: Option<Digest>,
    },
    /// A file is of another format.
    #[error("{}: its format is {found}, expected {FORMAT}; draw it with the version that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u32,
    },
}

fn digest_or(digest: Option<&Digest>, absent: &str) -> String {
    digest.map_or_else(|| absent.into(), ToString::to_string)
}

/// All that a run folder holds.
#[derive(Debug)]
pub struct Run {
    /// The folder that holds `.rtt`, where commands on the page have to name it; the caller knows where they are typed.
    pub root: Option<PathBuf>,
    /// Name of the run: the folder's, or the one that its files agree on.
    pub name: String,
    /// The log's first record.
    pub header: Option<RunRecord>,
    /// Capacities that were measured.
    pub capacities: Vec<CapacityRecord>,
    /// The trials in order, with the digests of their lines.
    pub trials: Vec<(Digest, TrialRecord)>,
    /// Digest of the log's last line; absent without a log.
    pub log_tip: Option<Digest>,
    /// Bytes of a torn tail, which were not read.
    pub torn_bytes: usize,
    /// The fit; absent in a run that was interrupted.
    pub fit: Option<Fit>,
    /// BLAKE3 of the fit's file.
    pub fit_digest: Option<Digest>,
}

impl Run {
    /// Reads `trials.jsonl` and `fit.json` in `folder`, whichever are there.
    ///
    /// # Errors
    /// [`ReadError`]: nothing there, a damaged log, a fit that is none or belongs to another log.
    pub fn read(folder: &Path) -> Result<Run, ReadError> {
        let mut run = Run::empty(folder_name(folder));
        let (log, fit) = (folder.join("trials.jsonl"), folder.join("fit.json"));
        if !log.exists() && !fit.exists() {
            return Err(ReadError::Nothing { folder: folder.into() });
        }
        let found = log.exists().then(|| run.read_log(&log)).transpose()?;
        if fit.exists() {
            let bytes = fs::read(&fit).map_err(|source| ReadError::Io { path: fit.clone(), source })?;
            let parsed: Fit =
                serde_json::from_slice(&bytes).map_err(|source| ReadError::Fit { path: fit.clone(), source })?;
            if parsed.version != FORMAT {
                return Err(ReadError::Version { path: fit, found: parsed.version });
            }
            if parsed.trial_log != found {
                // REPORT-4
                return Err(ReadError::OtherLog { path: fit, expected: parsed.trial_log, found });
            }
            run.name = parsed.run.clone();
            run.fit_digest = Some(Digest::of(&bytes));
            run.fit = Some(parsed);
        }
        Ok(run)
    }

    /// A log alone, as a run without a fit, and the digest of its bytes.
    ///
    /// # Errors
    /// [`ReadError`]: a damaged log, an empty one, one of another format.
    pub fn of_log(path: &Path) -> Result<(Run, Digest), ReadError> {
        let mut run = Run::empty(String::new());
        let digest = run.read_log(path)?;
        Ok((run, digest))
    }

    fn empty(name: String) -> Run {
        Run {
            root: None,
            name,
            header: None,
            capacities: Vec::new(),
            trials: Vec::new(),
            log_tip: None,
            torn_bytes: 0,
            fit: None,
            fit_digest: None,
        }
    }

    /// Reads the log; returns the digest of its bytes.
    fn read_log(&mut self, path: &Path) -> Result<Digest, ReadError> {
        let opened = read_log(path)?;
        if opened.records.is_empty() {
            return Err(ReadError::EmptyLog { path: path.into() });
        }
        self.log_tip = Some(opened.tip());
        self.torn_bytes = opened.torn_bytes;
        for (digest, record) in opened.records {
            match record {
                Record::Run(header) if header.version != FORMAT => {
                    return Err(ReadError::Version { path: path.into(), found: header.version });
                }
                Record::Run(header) => {
                    self.name.clone_from(&header.run);
                    self.header = Some(*header);
                }
                Record::Capacity(capacity) => self.capacities.push(capacity),
                Record::Trial(trial) => self.trials.push((digest, *trial)),
            }
        }
        Ok(opened.digest)
    }

    /// Unit of p99: the fit's, or nanoseconds, which a log always holds.
    pub fn unit(&self) -> &str {
        self.fit.as_ref().map_or("ns", |fit| fit.unit.as_str())
    }

    /// The regimes that its probes show, for each pair of CPUs.
    pub fn regimes(&self) -> PairRegimes {
        PairRegimes::find(self.trials.iter().filter_map(|(_, trial)| trial.regime))
    }

    /// Whether nothing of it was measured on a host.
    pub fn simulated(&self) -> bool {
        let asked = self.fit.iter().flat_map(|fit| &fit.options).any(|word| word == "--simulate");
        asked || (self.log_tip.is_none() && self.fit.is_some())
    }

    /// How many trials ended with `verdict`.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.trials.iter().filter(|(_, trial)| trial.verdict == verdict).count()
    }
}

fn folder_name(folder: &Path) -> String {
    let whole = fs::canonicalize(folder).unwrap_or_else(|_| folder.into());
    whole.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy().into_owned())
}

/// Whether somebody writes to the log of the run: its one writer holds a lock on it, which ends with the process.
fn is_written(folder: &Path) -> bool {
    // A shared lock, for an instant, and only on logs without a fit: a run that is taken up in that instant is refused
    // once, and nothing is lost.
    let held = |log: File| matches!(log.try_lock_shared(), Err(TryLockError::WouldBlock));
    !folder.join("fit.json").exists() && File::open(folder.join("trials.jsonl")).is_ok_and(held)
}

/// A run as `list` shows it.
#[derive(Debug)]
pub struct ListedRun {
    /// The run's folder.
    pub folder: PathBuf,
    /// Whether it is at work now.
    pub running: bool,
    /// What was read, or why it could not be.
    pub run: Result<Run, ReadError>,
}

/// The run folders in `runs`, by name; a run that cannot be read is listed with its error.
///
/// # Errors
/// [`ReadError::Io`] when `runs` itself cannot be read.
pub fn list(runs: &Path) -> Result<Vec<ListedRun>, ReadError> {
    let failed = |source| ReadError::Io { path: runs.into(), source };
    let mut folders = Vec::new();
    for entry in fs::read_dir(runs).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    let listed = |folder: PathBuf| ListedRun { running: is_written(&folder), run: Run::read(&folder), folder };
    Ok(folders.into_iter().map(listed).collect())
}
