//! How the command ends: a code of design's table, and what is said.

use rtt_measure::ProblemError;

/// Exit codes that scripts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok,
    Unexpected,
    Usage,
    Configuration,
    Undecided,
    Unfit,
    Busy,
    Sealed,
    Interrupted,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Unexpected => 1,
            Exit::Usage => 2,
            Exit::Configuration => 3,
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
pub(crate) struct Stop {
    /// With which code.
    pub(crate) exit: Exit,
    /// What is said on stderr; nothing where the child said it.
    pub(crate) message: String,
}

impl Stop {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Stop {
        Stop { exit, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Stop {
        Stop::new(Exit::Usage, format!("{}; nothing was run", message.into()))
    }

    /// An error with its causes, on one line.
    pub(crate) fn unexpected(error: &(dyn std::error::Error + 'static)) -> Stop {
        Stop::new(Exit::Unexpected, with_causes(error))
    }
}

/// The text of `error` and of what caused it.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

impl From<ProblemError> for Stop {
    fn from(error: ProblemError) -> Stop {
        let turned_away = match error.turned_away() {
            Some(2) => Some(Exit::Usage),
            Some(3) => Some(Exit::Configuration),
            Some(13) => Some(Exit::Unfit),
            Some(15) => Some(Exit::Busy),
            _ => None,
        };
        match (&error, turned_away) {
            // A lab that turns the run away has said why on the same stderr; there is nothing to add.
            (_, Some(exit)) => Stop::new(exit, ""),
            (ProblemError::Interrupted, _) => Stop::new(Exit::Interrupted, with_causes(&error)),
            (ProblemError::Spawn { .. }, _) => Stop::usage(with_causes(&error)),
            _ => Stop::unexpected(&error),
        }
    }
}

/// What came through argmin: ours comes out as it went in.
impl From<argmin::core::Error> for Stop {
    fn from(error: argmin::core::Error) -> Stop {
        match error.downcast::<Stop>() {
            Ok(stop) => stop,
            Err(error) => Stop::new(Exit::Unexpected, format!("{error:#}")),
        }
    }
}
