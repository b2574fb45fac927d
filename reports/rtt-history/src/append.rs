//! Everything that was measured below a root, brought into its data set: tunes that have their fit, and the logs that a
//! gate's verdict was made from.
//!
//! HISTORY-7  A log that is unfinished adds no row here: a tune's until its `fit.json` names these very bytes, a gate's
//!            until `verdict.json` does. It is named with the reason, and the others are appended.
//! HISTORY-9  What retention removed is not appended again while the log still lies there.
//!
//! A log that stands in the data set with the same bytes is hashed and not read; so appending every night is cheap.

use crate::{
    ExportError, Exported, GateOrigin, Index, LogOutcome, ReadHistoryError, ReadRunError, Source, day_of, export_run,
    list_runs, read_run,
    retain::{KeptSince, kept_since},
    run::{LOG_NAME, RUNS_PLACE, list_folders},
};
use rtt_measure::{Fit, Gate, GateLog, Record};
use rtt_seal::Digest;
use serde::Deserialize;
use std::{
    error::Error,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

/// Where a root keeps its gates, a folder a comparison.
pub const GATES_PLACE: &str = ".rtt/gate";
/// What a comparison came to, in its folder.
pub const VERDICT_NAME: &str = "verdict.json";
/// What a tune came to, in its run's folder.
const FIT_NAME: &str = "fit.json";
/// Ending of a trial log.
const LOG_ENDING: &str = ".jsonl";

/// Why nothing was appended at all.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The runs or the gates cannot be listed.
    #[error(transparent)]
    Runs(#[from] ReadRunError),
    /// The data set cannot be listed.
    #[error(transparent)]
    History(#[from] ReadHistoryError),
}

/// What becomes of one log.
enum Fate {
    Done(Exported),
    /// It is left out for now, and why.
    LeftOut(String),
}

/// Why one log was not appended.
#[derive(Debug, thiserror::Error)]
enum LogFailure {
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Run(#[from] ReadRunError),
    #[error("{}: cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: it is not what a tune writes; finish the run again with `cargo xtask tune --resume`", path.display())]
    Fit { path: PathBuf, source: serde_json::Error },
    #[error("{}: it is not what a gate writes; run the gate again", path.display())]
    Verdict { path: PathBuf, source: serde_json::Error },
    #[error("{}: it is the verdict of comparison `{found}`; give the folder that name, so that no log is counted twice", path.display())]
    Renamed { path: PathBuf, found: String },
    #[error("{}: the verdict was made with it, and it is not there; restore it from a copy", path.display())]
    Gone { path: PathBuf },
}

/// A data set that logs are appended to.
struct Appending<'a> {
    root: &'a Path,
    index: Index,
    kept_since: Option<KeptSince>,
}

/// Appends what is finished below `root` and not yet in its data set: one outcome a log, tunes before gates.
///
/// # Errors
/// [`AppendError`]; a log's own error is its outcome.
pub fn append(root: &Path) -> Result<Vec<LogOutcome>, AppendError> {
    let appending = Appending { root, index: Index::read(root)?, kept_since: kept_since(root) };
    let mut outcomes = Vec::new();
    for run in list_runs(root)? {
        let source = Source::Tune { run: run.clone() };
        let fate = appending.tune(&root.join(RUNS_PLACE).join(&run), &source);
        outcomes.push(outcome(&source, fate));
    }
    for comparison in list_folders(root.join(GATES_PLACE))? {
        appending.gate(&comparison, &mut outcomes);
    }
    Ok(outcomes)
}

impl Appending<'_> {
    fn tune(&self, folder: &Path, source: &Source) -> Result<Fate, LogFailure> {
        let log = folder.join(LOG_NAME);
        let Some(bytes) = read_if_there(&log)? else {
            return Ok(Fate::LeftOut("it has no trial log, as a simulated problem".into()));
        };
        let digest = Digest::of(&bytes);
        drop(bytes);
        let path = folder.join(FIT_NAME);
        let Some(fit) = read_if_there(&path)? else {
            // HISTORY-7
            return Ok(Fate::LeftOut(
                "unfinished, it has no fit yet; `cargo xtask tune --resume` goes on with it".into(),
            ));
        };
        let fit: Fit = serde_json::from_slice(&fit).map_err(|source| LogFailure::Fit { path, source })?;
        if fit.trial_log != Some(digest) {
            // HISTORY-7
            return Ok(Fate::LeftOut("unfinished, its log is not the one that its fit was made from".into()));
        }
        self.log(&log, source, &digest, None)
    }

    /// Appends the logs of one comparison.
    fn gate(&self, comparison: &str, outcomes: &mut Vec<LogOutcome>) {
        let folder = self.root.join(GATES_PLACE).join(comparison);
        let source = |log: &str| Source::Gate { comparison: comparison.to_owned(), log: log.to_owned() };
        let (logs, verdict) = match logs_in(&folder).and_then(|logs| Ok((logs, verdict_in(&folder, comparison)?))) {
            Ok(found) => found,
            Err(failure) => return outcomes.push(outcome(&source("*"), Err(failure))),
        };
        for log in &logs {
            let fate = match &verdict {
                // HISTORY-7
                None => Ok(Fate::LeftOut("unfinished, the gate has no verdict yet; run it again to go on".into())),
                Some((gate, document)) => self.gate_log(&folder, log, gate, document),
            };
            outcomes.push(outcome(&source(log), fate));
        }
        for listed in verdict.iter().flat_map(|(gate, _)| &gate.logs) {
            let log = listed.file.strip_suffix(LOG_ENDING).unwrap_or(&listed.file);
            if logs.iter().all(|there| there != log) {
                outcomes.push(outcome(&source(log), Err(LogFailure::Gone { path: folder.join(&listed.file) })));
            }
        }
    }

    fn gate_log(&self, folder: &Path, log: &str, gate: &Gate, document: &Digest) -> Result<Fate, LogFailure> {
        let file = format!("{log}{LOG_ENDING}");
        let path = folder.join(&file);
        let bytes = fs::read(&path).map_err(|source| LogFailure::Read { path: path.clone(), source })?;
        let digest = Digest::of(&bytes);
        drop(bytes);
        let is_it = |listed: &GateLog| listed.file == file && listed.digest == digest;
        if !gate.logs.iter().any(is_it) {
            // HISTORY-7
            return Ok(Fate::LeftOut(
                "unfinished, the gate's verdict was made without it; the next gate takes it in".into(),
            ));
        }
        let comparison = gate.comparison.clone();
        let origin = GateOrigin {
            comparison,
            log: log.to_owned(),
            verdict: gate.verdict,
            canary: gate.canary,
            document: *document,
        };
        let source = Source::Gate { comparison: origin.comparison.clone(), log: origin.log.clone() };
        self.log(&path, &source, &digest, Some(origin))
    }

    /// Appends one finished log, whose bytes have this digest.
    fn log(&self, path: &Path, source: &Source, digest: &Digest, gate: Option<GateOrigin>) -> Result<Fate, LogFailure> {
        if let Some(standing) = self.index.has(source, digest, gate.as_ref().map(|gate| &gate.document)) {
            let rows = standing.piece.as_ref().map_or(0, |piece| piece.rows as usize);
            return Ok(Fate::Done(Exported::Unchanged { trials: rows, path: standing.file.path.clone() }));
        }
        if let Some(reason) = self.too_old(path) {
            return Ok(Fate::LeftOut(reason));
        }
        let run = crate::Run { gate, ..read_run(path)? };
        Ok(Fate::Done(export_run(self.root, &run, &self.index)?))
    }

    /// HISTORY-9: why a log is older than what is kept. Its first line is enough to know; one that is damaged is not
    /// too old, and the whole log is then refused with its line.
    fn too_old(&self, log: &Path) -> Option<String> {
        let kept = self.kept_since.as_ref()?;
        let day = day_of(began(log)?)?;
        (day < kept.day).then(|| format!("older than what is kept: it began on {day}, kept since {}", kept.day))
    }
}

/// When a log began, by its first line.
fn began(log: &Path) -> Option<u64> {
    #[derive(Deserialize)]
    struct Line {
        record: Record,
    }
    let mut first = Vec::new();
    BufReader::new(File::open(log).ok()?).read_until(b'\n', &mut first).ok()?;
    match serde_json::from_slice::<Line>(&first).ok()?.record {
        Record::Run(header) => Some(header.created_unix_s),
        Record::Capacity(_) | Record::Trial(_) => None,
    }
}

/// The logs in a comparison's folder, by name without the ending, sorted.
fn logs_in(folder: &Path) -> Result<Vec<String>, LogFailure> {
    let failed = |source| LogFailure::Read { path: folder.to_owned(), source };
    let mut logs = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let Ok(name) = entry.map_err(failed)?.file_name().into_string() else { continue };
        if let Some(log) = name.strip_suffix(LOG_ENDING).filter(|log| !log.is_empty() && !log.starts_with('.')) {
            logs.push(log.to_owned());
        }
    }
    logs.sort_unstable();
    Ok(logs)
}

/// The verdict in a comparison's folder and the digest of its bytes; none where there is none yet.
fn verdict_in(folder: &Path, comparison: &str) -> Result<Option<(Gate, Digest)>, LogFailure> {
    let path = folder.join(VERDICT_NAME);
    let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
    let gate: Gate = match serde_json::from_slice(&bytes) {
        Ok(gate) => gate,
        Err(source) => return Err(LogFailure::Verdict { path, source }),
    };
    if gate.comparison != comparison {
        return Err(LogFailure::Renamed { path, found: gate.comparison });
    }
    Ok(Some((gate, Digest::of(&bytes))))
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, LogFailure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LogFailure::Read { path: path.to_owned(), source }),
    }
}

fn outcome(source: &Source, fate: Result<Fate, LogFailure>) -> LogOutcome {
    let plain = |outcome, trials, path, reason| LogOutcome {
        source: source.kind(),
        log: source.to_string(),
        outcome,
        trials,
        path,
        reason,
    };
    match fate {
        Ok(Fate::Done(Exported::Written { trials, path })) => plain("written", trials, Some(path), None),
        Ok(Fate::Done(Exported::Unchanged { trials, path })) => plain("unchanged", trials, Some(path), None),
        Ok(Fate::Done(Exported::NoTrials)) => plain("left_out", 0, None, Some("it has no trial".into())),
        Ok(Fate::LeftOut(reason)) => plain("left_out", 0, None, Some(reason)),
        Err(failure) => {
            let causes = std::iter::successors(failure.source(), |cause| (*cause).source());
            let reason = causes.fold(failure.to_string(), |text, cause| format!("{text}: {cause}"));
            plain("failed", 0, None, Some(reason))
        }
    }
}
