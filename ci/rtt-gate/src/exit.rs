//! How the command ends: a code that scripts may rely on, and what is said.

use rtt_measure::ProblemError;
use rtt_seal::in_full;

/// Exit codes, those that the gate can end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Passed.
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
    /// Stopped by a signal; the next gate of the same arms goes on.
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

impl From<ProblemError> for Stop {
    fn from(error: ProblemError) -> Stop {
        // A program that turned the run away has said why on the same stderr; there is nothing to add.
        let silent = |exit| Stop::new(exit, "");
        match (&error, error.turned_away()) {
            (_, Some(2)) => silent(Exit::Usage),
            (_, Some(3)) => silent(Exit::Configuration),
            (_, Some(13)) => silent(Exit::Unfit),
            (_, Some(15)) => silent(Exit::Busy),
            (ProblemError::Interrupted, _) => {
                Stop::new(Exit::Interrupted, "interrupted; what was run is kept: the same command goes on with it")
            }
            (ProblemError::Spawn { .. }, _) => Stop::usage(in_full(&error)),
            _ => Stop::unexpected(&error),
        }
    }
}
