//! The folder of a comparison: what the gate decided, and the trial logs that it was decided from.
//!
//! Read [`GateFolder::read`], then [`render_gate`]. As with a run, nothing is judged here: verdicts, intervals and
//! wealth come from the document; the logs give the latency curves and the environment.

mod arms;
mod chapters;
mod latency;
mod page;
mod scenario;

pub use page::render_gate;

use crate::run::{FORMAT, ReadError, Run};
use rtt_measure::{Gate, TrialRecord};
use rtt_seal::Digest;
use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

/// Why a comparison cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ReadGateError {
    /// The folder has no verdict.
    #[error(
        "comparison {}: verdict.json is not there; name the folder of a comparison, as .rtt/gate/COMPARISON",
        folder.display()
    )]
    Nothing {
        /// The folder.
        folder: PathBuf,
    },
    /// A file cannot be read.
    #[error("{}: reading failed", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The verdict is not of the format.
    #[error("verdict {}: it is no verdict of format {FORMAT}; run the gate again to make it anew", path.display())]
    Verdict {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The verdict is of another format.
    #[error("{}: its format is {found}, expected {FORMAT}; draw it with the version that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u32,
    },
    /// The verdict names a log that is no file of its folder.
    #[error("verdict {}: log {file:?} is no file name; expected the name of a file beside the verdict", path.display())]
    OutsideLog {
        /// The verdict.
        path: PathBuf,
        /// What stands for the log.
        file: String,
    },
    /// A log that the verdict names cannot be read.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// A log is not the one that the verdict was made from.
    #[error(
        "verdict {}: it was made from {file} with digest {expected}, beside it is {found}; put the log of this comparison back, or run the gate again",
        path.display()
    )]
    OtherLog {
        /// The verdict.
        path: PathBuf,
        /// The log.
        file: String,
        /// Digest that the verdict names.
        expected: Digest,
        /// Digest of the log that is there.
        found: Digest,
    },
}

/// All that the folder of a comparison holds.
#[derive(Debug)]
pub struct GateFolder {
    /// What was decided.
    pub gate: Gate,
    /// BLAKE3 of the verdict's file.
    pub digest: Digest,
    /// The logs in the order of the verdict, oldest first: runs without a fit.
    pub logs: Vec<Run>,
}

impl GateFolder {
    /// Reads `verdict.json` in `folder` and every log that it names.
    ///
    /// # Errors
    /// [`ReadGateError`]: nothing there, no verdict, a log that is missing, damaged or another one.
    pub fn read(folder: &Path) -> Result<GateFolder, ReadGateError> {
        let path = folder.join("verdict.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                return Err(ReadGateError::Nothing { folder: folder.into() });
            }
            Err(source) => return Err(ReadGateError::Io { path, source }),
        };
        let gate: Gate =
            serde_json::from_slice(&bytes).map_err(|source| ReadGateError::Verdict { path: path.clone(), source })?;
        if gate.version != FORMAT {
            return Err(ReadGateError::Version { path, found: gate.version });
        }
        let mut logs = Vec::new();
        for log in &gate.logs {
            if !is_file_name(&log.file) {
                return Err(ReadGateError::OutsideLog { path, file: log.file.clone() });
            }
            let (run, found) = Run::of_log(&folder.join(&log.file))?;
            if found != log.digest {
                // As REPORT-4 for a fit: a verdict is not drawn over other figures than it was made from.
                return Err(ReadGateError::OtherLog { path, file: log.file.clone(), expected: log.digest, found });
            }
            logs.push(run);
        }
        Ok(GateFolder { gate, digest: Digest::of(&bytes), logs })
    }

    /// The trials of all logs, oldest first.
    fn trials(&self) -> impl Iterator<Item = &TrialRecord> {
        self.logs.iter().flat_map(|log| log.trials.iter().map(|(_, trial)| trial))
    }
}

/// Whether `text` names a file of the same folder: what a document says must not lead elsewhere.
fn is_file_name(text: &str) -> bool {
    let mut parts = Path::new(text).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None) if name == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_lie_in_the_folder() {
        for name in ["trials-1.jsonl", "trials 1", "..x"] {
            assert!(is_file_name(name), "{name}");
        }
        for elsewhere in ["", ".", "..", "/etc/passwd", "a/b", "../a", "a/", "./a"] {
            assert!(!is_file_name(elsewhere), "{elsewhere}");
        }
    }
}
