//! The program that measures, as a child that speaks the problem protocol: one JSON line out, one in.
//!
//! PROBLEM-1  Whatever the program writes is input: a line that is too long, malformed or answers something else, or its
//!          death or its silence, is an error that names the program and the line, never a panic and never a wait
//!          without end.
//!
//! Lines are sent, read and waited for by `line_child`; this knows what they mean.

use crate::line_child::{LineChild, LineError};
use crate::{Answer, Constraint, Hello, MeasureRequest, PROTOCOL, Point, Verdict};
use serde::{Deserialize, Serialize};
use std::process::Command;
use std::time::Duration;

/// How long a line is waited for: the first one, before which a lab measures the host's CPU pairs; any other, for which
/// it runs a trial of a minute at most, twice where capacity is measured.
const FIRST_LINE: Duration = Duration::from_secs(60);
const NEXT_LINE: Duration = Duration::from_secs(600);

/// What the program did wrong.
pub type ProblemError = LineError;

#[derive(Serialize)]
struct StartRequest {
    start: u64,
}

#[derive(Serialize)]
struct TruthRequest<'a> {
    truth: &'a Point,
}

/// True value of a point of a simulated problem.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Truth {
    /// p99 without noise.
    pub p99: f64,
    /// Whether it keeps the constraints.
    pub feasible: bool,
}

/// A running problem.
#[derive(Debug)]
pub struct Problem {
    child: LineChild,
    hello: Hello,
}

impl Problem {
    /// Starts `command` and takes its hello. An interrupt that [`crate::interrupt::watch`] has noted ends every wait.
    ///
    /// # Errors
    /// [`ProblemError`].
    pub fn start(command: Command) -> Result<Problem, ProblemError> {
        Problem::start_within(command, FIRST_LINE)
    }

    fn start_within(command: Command, patience: Duration) -> Result<Problem, ProblemError> {
        let mut child = LineChild::start("problem", command)?;
        let hello: Hello = child.read("before its first line", patience)?;
        if let Some(protocol) = hello.protocol.filter(|&protocol| protocol != PROTOCOL) {
            return Err(child.malformed(format!("it speaks protocol {protocol}, expected {PROTOCOL}")));
        }
        Ok(Problem { child, hello })
    }

    /// Its first line.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    fn malformed(&self, reason: String) -> ProblemError {
        self.child.malformed(reason)
    }

    fn ask<T: for<'a> Deserialize<'a>>(&mut self, request: &impl Serialize, name: &str) -> Result<T, ProblemError> {
        let request = serde_json::to_string(request).expect("a request is JSON");
        self.child.ask(&request, name, NEXT_LINE)
    }

    /// Begins one tuning run.
    ///
    /// # Errors
    /// [`ProblemError`].
    pub fn begin(&mut self, seed: u64) -> Result<(), ProblemError> {
        self.ask::<serde_json::Value>(&StartRequest { start: seed }, "the start").map(|_| ())
    }

    /// PROBLEM-1: measures once; an answer to anything else, or with a value that is none, is refused.
    ///
    /// # Errors
    /// [`ProblemError`], also when the answer is of another measure or its p99 is no positive number.
    pub fn measure(&mut self, request: &MeasureRequest) -> Result<Answer, ProblemError> {
        let name = request.id.clone().unwrap_or_else(|| "a measure".into());
        let answer: Answer = self.ask(request, &name)?;
        if answer.id.is_some() && answer.id != request.id {
            return Err(self.malformed(format!("it answers `{}`, asked was `{name}`", answer.id.unwrap_or_default())));
        }
        let told = |limit: &&Constraint| answer.values.get(&limit.name).filter(|value| !value.is_null());
        let no_number = self.hello.constraints.iter().find(|limit| told(limit).is_some_and(|value| !value.is_number()));
        if let Some(limit) = no_number {
            let name = &limit.name;
            return Err(self.malformed(format!("constraint `{name}` is {}: expected a number", answer.values[name])));
        }
        match answer.p99 {
            Some(p99) if !(p99.is_finite() && p99 > 0.0) => {
                Err(self.malformed(format!("p99 is {p99}: expected a number above 0")))
            }
            None if answer.verdict.is_none_or(|verdict| verdict == Verdict::Settled) => {
                Err(self.malformed("a settled run has no p99".into()))
            }
            _ => Ok(answer),
        }
    }

    /// The true value at `point`, for scoring only.
    ///
    /// # Errors
    /// [`ProblemError`].
    pub fn truth(&mut self, point: &Point) -> Result<Truth, ProblemError> {
        self.ask(&TruthRequest { truth: point }, "the truth")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// PROBLEM-1: one that never speaks and one that stops in the middle of a line are waited for so long and no longer.
    #[test]
    fn a_silent_problem_is_given_up_and_stopped() {
        for script in ["exec cat", "printf '{'; exec cat"] {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            let began = Instant::now();
            let error = Problem::start_within(command, Duration::from_millis(200)).expect_err(script);
            assert!(matches!(error, ProblemError::Silent { .. }), "{script}: {error}");
            assert!(began.elapsed() >= Duration::from_millis(200), "{script}: not waited for");
            assert!(error.to_string().contains("said nothing for 0.2 s before its first line"), "{error}");
        }
    }

    /// Who stops the program that measures stops the run, as Ctrl-C does; one that is killed or ends by itself has died.
    #[test]
    fn a_problem_that_is_told_to_stop_is_an_interruption() {
        for (script, interrupted) in [
            // Not INT or HUP: what a shell starts in the background, or nohup, ignores them, and so do its children.
            ("kill -TERM $$", true),
            ("kill -KILL $$", false),
            ("kill -SEGV $$", false),
            ("exit 1", false),
        ] {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            let error = Problem::start(command).expect_err(script);
            assert_eq!(matches!(error, ProblemError::Interrupted), interrupted, "{script}: {error}");
        }
    }
}
