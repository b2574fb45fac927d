//! Why a command of `rtt` failed: one line, and the exit code.

use std::io;

/// Something that is nobody's input.
pub(crate) const UNEXPECTED: u8 = 1;
/// The command line is wrong, or names a file or an object that is not there, or must not be there.
pub(crate) const USAGE: u8 = 2;
/// This host cannot be told, or lacks what every command of its kind needs: key, trust, log, managed folder.
pub(crate) const UNFIT: u8 = 13;
/// A plan that was refused, aborted or rolled back.
pub(crate) const PLAN_REFUSED: u8 = 14;
/// Another process holds the log.
pub(crate) const BUSY: u8 = 15;
/// A signed document or a key is refused.
pub(crate) const REFUSED: u8 = 16;
/// What runs was changed behind the log.
pub(crate) const DRIFTED: u8 = 17;

/// Why an action failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Exit code.
    pub code: u8,
    /// One line for people.
    pub message: String,
}

impl From<io::Error> for Failure {
    /// Errors while printing; those of files are mapped where they happen.
    fn from(error: io::Error) -> Failure {
        failure(UNEXPECTED, format!("cannot print: {error}"))
    }
}

/// A failure with its exit code.
pub(crate) fn failure(code: u8, message: impl Into<String>) -> Failure {
    Failure { code, message: message.into() }
}
