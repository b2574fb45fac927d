//! Exit codes, and the one error type of this program.
//!
//! A command ends with a code (its own, or that of the program it started, unchanged) or with a [`Stop`]: a code and
//! one sentence for the person at the terminal. There is no error enum per operation here, because nothing above
//! this program matches on its errors: a caller in a script sees the code only.

/// What an exit code means. The numbers are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command did what it says.
    Success,
    /// A failure without a code of its own.
    Unexpected,
    /// The command line is wrong.
    Usage,
    /// A scenario, schema or lock was refused; nothing was run.
    Refused,
    /// Nothing matched, so nothing ran.
    Nothing,
    /// A service level objective was missed.
    Breached,
    /// A regression was confirmed.
    Regression,
    /// The measurement cannot tell: too noisy, or out of time.
    Undecided,
    /// The host lacks something that is needed.
    Unfit,
    /// A plan was refused or rolled back.
    PlanRefused,
    /// Another measurement holds the host.
    Held,
    /// A signed document or a key was refused.
    SealRefused,
    /// Stopped by a signal; what was measured is kept and `--resume` goes on.
    Interrupted,
}

impl Exit {
    /// Every code, in the order of its number.
    pub const ALL: [Exit; 13] = [
        Exit::Success,
        Exit::Unexpected,
        Exit::Usage,
        Exit::Refused,
        Exit::Nothing,
        Exit::Breached,
        Exit::Regression,
        Exit::Undecided,
        Exit::Unfit,
        Exit::PlanRefused,
        Exit::Held,
        Exit::SealRefused,
        Exit::Interrupted,
    ];

    /// The number that the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Unexpected => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Nothing => 4,
            Exit::Breached => 10,
            Exit::Regression => 11,
            Exit::Undecided => 12,
            Exit::Unfit => 13,
            Exit::PlanRefused => 14,
            Exit::Held => 15,
            Exit::SealRefused => 16,
            Exit::Interrupted => 130,
        }
    }

    /// What the code says, for `--help`.
    pub const fn meaning(self) -> &'static str {
        match self {
            Exit::Success => "ok",
            Exit::Unexpected => "unexpected failure, or findings",
            Exit::Usage => "wrong command line",
            Exit::Refused => "configuration refused, nothing was run",
            Exit::Nothing => "nothing ran",
            Exit::Breached => "service level objective missed",
            Exit::Regression => "regression confirmed",
            Exit::Undecided => "undecided: too noisy, or out of time",
            Exit::Unfit => "this host lacks something that is needed",
            Exit::PlanRefused => "plan refused or rolled back",
            Exit::Held => "another measurement holds this host",
            Exit::SealRefused => "signed document or key refused",
            Exit::Interrupted => "interrupted, --resume goes on",
        }
    }

    /// The table of codes, a line each, as `--help` prints it.
    pub fn table() -> String {
        Exit::ALL.iter().map(|exit| format!("  {:>3}  {}\n", exit.code(), exit.meaning())).collect()
    }
}

/// Why a command ended early: the exit code, and what to say on stderr.
#[derive(Debug, PartialEq, Eq)]
pub struct Stop {
    /// The exit code of the process.
    pub exit: Exit,
    /// One or more lines for the person at the terminal: what, where, and the next step.
    pub message: String,
}

impl Stop {
    /// A failure without a code of its own.
    pub fn unexpected(message: impl Into<String>) -> Stop {
        Stop { exit: Exit::Unexpected, message: message.into() }
    }

    /// A command line that cannot be obeyed.
    pub fn usage(message: impl Into<String>) -> Stop {
        Stop { exit: Exit::Usage, message: message.into() }
    }

    /// A host that lacks something; `message` holds the command that brings it.
    pub fn unfit(message: impl Into<String>) -> Stop {
        Stop { exit: Exit::Unfit, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_ascending() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
        assert_eq!(Exit::table().lines().count(), codes.len());
    }
}
