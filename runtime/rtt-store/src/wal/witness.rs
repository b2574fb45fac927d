//! Who remembers a log's last checkpoint outside of the log.
//!
//! A log that lost its end, or was replaced by an old copy of itself, is whole in itself: only somebody else's memory
//! tells. The memory need not be trusted with the truth, for what it gives back is signed by the host.

use super::Checkpoint;
use rtt_seal::Sealed;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

/// Remembers a log's last checkpoint.
pub trait Witness {
    /// Takes the newest checkpoint; it is remembered when this returns.
    ///
    /// # Errors
    /// [`WitnessError`] when it may not be remembered.
    fn remember(&mut self, checkpoint: &Sealed<Checkpoint>) -> Result<(), WitnessError>;

    /// The last checkpoint that was remembered; `None` when there is none yet.
    ///
    /// # Errors
    /// [`WitnessError`] when that cannot be told, which is not the same as none.
    fn recall(&mut self) -> Result<Option<Sealed<Checkpoint>>, WitnessError>;
}

/// Why a witness did not do its part.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The witness file cannot be read or written.
    #[error("witness {}: {doing} failed", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The witness command cannot be started or fed.
    #[error("witness command `{program}` cannot be run")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The witness command ended with a failure.
    #[error("witness command `{program} {mode}` ended with {status}, expected success")]
    Status {
        /// The program.
        program: String,
        /// What it was asked: `remember` or `recall`.
        mode: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
}

/// A file outside of the log, best on another disk, that holds the last checkpoint.
#[derive(Clone, Debug)]
pub struct FileWitness {
    /// The file.
    pub path: PathBuf,
}

/// A program that remembers: `remember` as its last argument feeds it an envelope on its standard input, `recall` asks for
/// the last one on its standard output, which is empty when there is none. It ends with 0 when it did.
#[derive(Clone, Debug)]
pub struct CommandWitness {
    /// The program.
    pub program: String,
    /// Arguments before `remember` or `recall`.
    pub arguments: Vec<String>,
}

impl Witness for FileWitness {
    fn remember(&mut self, checkpoint: &Sealed<Checkpoint>) -> Result<(), WitnessError> {
        let failed = |source| WitnessError::File { path: self.path.clone(), doing: "writing", source };
        checkpoint.save(&self.path).map_err(failed)
    }

    fn recall(&mut self) -> Result<Option<Sealed<Checkpoint>>, WitnessError> {
        match std::fs::read(&self.path) {
            Ok(bytes) => Ok(Some(Sealed::from_bytes(bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(WitnessError::File { path: self.path.clone(), doing: "reading", source }),
        }
    }
}

impl Witness for CommandWitness {
    fn remember(&mut self, checkpoint: &Sealed<Checkpoint>) -> Result<(), WitnessError> {
        self.run("remember", checkpoint.as_bytes()).map(drop)
    }

    fn recall(&mut self) -> Result<Option<Sealed<Checkpoint>>, WitnessError> {
        let bytes = self.run("recall", b"")?;
        Ok((!bytes.is_empty()).then(|| Sealed::from_bytes(bytes)))
    }
}

impl CommandWitness {
    /// An envelope is shorter than a pipe, so that feeding all of it before reading cannot block both ends.
    fn run(&self, mode: &'static str, input: &[u8]) -> Result<Vec<u8>, WitnessError> {
        let failed = |source| WitnessError::Start { program: self.program.clone(), source };
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let fed = child.stdin.take().expect("a pipe was asked for").write_all(input);
        let output = child.wait_with_output().map_err(failed)?;
        if !output.status.success() {
            return Err(WitnessError::Status { program: self.program.clone(), mode, status: output.status });
        }
        fed.map_err(failed)?;
        Ok(output.stdout)
    }
}
