//! How a command that drives a problem ends: a code that scripts may rely on, and what is said.

use crate::LineError;
use rtt_seal::in_full;

/// Exit codes; the numbers are those of every command of this project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command did what it says.
    Ok,
    /// A failure without a code of its own.
    Unexpected,
    /// The command line is wrong.
    Usage,
    /// A scenario or an objective was refused.
    Configuration,
    /// A budget is broken.
    Breach,
    /// The candidate is slower, or has a defect.
    Regression,
    /// It cannot be told.
    Undecided,
    /// The host or an endpoint cannot be measured.
    Unfit,
    /// Another measurement holds the host.
    Busy,
    /// A profile or a key was refused.
    Sealed,
    /// Stopped by a signal; what was measured is kept.
    Interrupted,
}

impl Exit {
    /// The number that the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Unexpected => 1,
            Exit::Usage => 2,
            Exit::Configuration => 3,
            Exit::Breach => 10,
            Exit::Regression => 11,
            Exit::Undecided => 12,
            Exit::Unfit => 13,
            Exit::Busy => 15,
            Exit::Sealed => 16,
            Exit::Interrupted => 130,
        }
    }
}

/// A command that ends before its end.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Stop {
    /// With which code.
    pub exit: Exit,
    /// What is said on stderr; nothing where the child said it.
    pub message: String,
}

impl Stop {
    /// A stop with its code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Stop {
        Stop { exit, message: message.into() }
    }

    /// A command line that cannot be obeyed.
    pub fn usage(message: impl Into<String>) -> Stop {
        Stop::new(Exit::Usage, format!("{}; nothing was run", message.into()))
    }

    /// An error with its causes.
    pub fn unexpected(error: &(dyn std::error::Error + 'static)) -> Stop {
        Stop::new(Exit::Unexpected, in_full(error))
    }
}

impl From<LineError> for Stop {
    fn from(error: LineError) -> Stop {
        let turned_away = match error.turned_away() {
            Some(2) => Some(Exit::Usage),
            Some(3) => Some(Exit::Configuration),
            Some(13) => Some(Exit::Unfit),
            Some(15) => Some(Exit::Busy),
            _ => None,
        };
        match (&error, turned_away) {
            // A program that turned the run away has said why on the same stderr; there is nothing to add.
            (_, Some(exit)) => Stop::new(exit, ""),
            (LineError::Interrupted, _) => Stop::new(Exit::Interrupted, in_full(&error)),
            (LineError::Spawn { .. }, _) => Stop::usage(in_full(&error)),
            _ => Stop::unexpected(&error),
        }
    }
}
