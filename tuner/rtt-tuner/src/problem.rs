//! The program that is tuned, as a child that speaks the problem protocol: one JSON line out, one in.
//!
//! TUNER-6  Whatever the program writes is input: a line that is too long, malformed or answers something else, or its
//!          death or its silence, is an error that names the program and the line, never a panic and never a wait
//!          without end.
//!
//! The child's stderr is ours, so its words reach the user. It ends when its stdin does, at the latest when this is
//! dropped.

use crate::interrupt;
use crate::output::{StartRequest, TruthRequest};
use rtt_measure::{Answer, Hello, MeasureRequest, PROTOCOL, Point};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// Longest line that is taken, in bytes: the hello of a host with thousands of CPUs stays far below.
const LINE_MAX: usize = 4 << 20;

/// How long a line is waited for: the first one, before which a lab measures the host's CPU pairs; any other, for which
/// it runs a trial of a minute at most, twice where capacity is measured.
const FIRST_LINE: Duration = Duration::from_secs(60);
const NEXT_LINE: Duration = Duration::from_secs(600);

/// How often a child that was told to end is looked after, every 10 ms, before it is killed: 3 s, in which it can undo
/// a fault that it had put beside a run.
const PATIENCE: u32 = 300;

/// What the program did wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProblemError {
    /// It does not start.
    #[error("problem `{program}` does not start; check the path")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended.
    #[error("problem `{program}` ended ({status}) {when}")]
    Died {
        /// The program.
        program: String,
        /// How it ended.
        status: String,
        /// Its exit code, where it had one.
        code: Option<i32>,
        /// Whether it had said hello.
        greeted: bool,
        /// What it was asked.
        when: String,
    },
    /// It says nothing.
    #[error("problem `{program}` has said nothing for {} s {when}; it was stopped", waited.as_secs_f64())]
    Silent {
        /// The program.
        program: String,
        /// How long it was waited for.
        waited: Duration,
        /// What it was asked.
        when: String,
    },
    /// It wrote what is no answer.
    #[error("problem `{program}`, line {line}: {reason}")]
    Malformed {
        /// The program.
        program: String,
        /// The line of its output, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// It refused a request.
    #[error("problem `{program}` refuses {request}: {reason}")]
    Refused {
        /// The program.
        program: String,
        /// What was asked.
        request: String,
        /// Its words.
        reason: String,
    },
    /// The user wants to stop.
    #[error("interrupted")]
    Interrupted,
}

/// True value of a point of a simulated problem.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Truth {
    /// p99 without noise.
    pub(crate) p99: f64,
    /// Whether it keeps the constraints.
    pub(crate) feasible: bool,
}

/// A running problem.
#[derive(Debug)]
pub(crate) struct Problem {
    program: String,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    line: usize,
    hello: Hello,
}

impl Problem {
    /// Starts `command` and takes its hello.
    ///
    /// # Errors
    /// [`ProblemError`].
    pub(crate) fn start(command: Command) -> Result<Problem, ProblemError> {
        Problem::start_within(command, FIRST_LINE)
    }

    fn start_within(mut command: Command, patience: Duration) -> Result<Problem, ProblemError> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|source| ProblemError::Spawn { program: program.clone(), source })?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("stdout was asked for as a pipe"));
        let hello = Hello {
            name: String::new(),
            axes: vec![],
            constraints: vec![],
            optimum: None,
            protocol: None,
            fingerprint: None,
            scenarios: vec![],
            faults: vec![],
            endpoints: Default::default(),
            absent: vec![],
            default: None,
            presets: Default::default(),
            overhead_ms: None,
            spent_ms: None,
        };
        let mut problem = Problem { program, child, input, output, line: 0, hello };
        let hello: Hello = problem.read("before its first line", patience)?;
        if let Some(protocol) = hello.protocol.filter(|&protocol| protocol != PROTOCOL) {
            return Err(problem.malformed(format!("it speaks protocol {protocol}, expected {PROTOCOL}")));
        }
        problem.hello = hello;
        Ok(problem)
    }

    /// Its first line.
    pub(crate) fn hello(&self) -> &Hello {
        &self.hello
    }

    fn malformed(&self, reason: String) -> ProblemError {
        ProblemError::Malformed { program: self.program.clone(), line: self.line, reason }
    }

    fn died(&mut self, when: &str) -> ProblemError {
        if interrupt::raised() {
            return ProblemError::Interrupted;
        }
        self.input = None; // It may be waiting for us to end.
        let status = self.child.wait();
        let code = status.as_ref().ok().and_then(|status| status.code());
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let greeted = !self.hello.name.is_empty();
        ProblemError::Died { program: self.program.clone(), status, code, greeted, when: when.into() }
    }

    /// Waits until more of a line can be read, or the program has closed its output.
    fn wait(&mut self, when: &str, began: Instant, patience: Duration) -> Result<(), ProblemError> {
        loop {
            if interrupt::raised() {
                return Err(ProblemError::Interrupted);
            }
            if !self.output.buffer().is_empty() {
                return Ok(());
            }
            let left = patience.saturating_sub(began.elapsed());
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(self.output.get_ref(), PollFlags::IN)], Some(&timeout)) {
                Ok(0) => {
                    let (program, when) = (self.program.clone(), when.into());
                    let _ = self.child.kill(); // It may be gone already.
                    return Err(ProblemError::Silent { program, waited: patience, when });
                }
                Err(Errno::INTR) => {}           // A signal, which the next round looks at.
                Ok(_) | Err(_) => return Ok(()), // Reading tells what is wrong.
            }
        }
    }

    /// TUNER-6: reads one line as `T`; waits for it no longer than `patience`.
    fn read<T: for<'a> Deserialize<'a>>(&mut self, when: &str, patience: Duration) -> Result<T, ProblemError> {
        let began = Instant::now();
        let mut bytes = Vec::new();
        self.line += 1;
        while bytes.last() != Some(&b'\n') {
            self.wait(when, began, patience)?;
            let Ok(read @ 1..) = self.output.fill_buf().map(<[u8]>::len) else { break };
            let part = self.output.buffer();
            let end = part.iter().position(|&byte| byte == b'\n').map_or(read, |at| at + 1);
            bytes.extend_from_slice(&part[..end]);
            self.output.consume(end);
            if bytes.len() > LINE_MAX {
                return Err(self.malformed(format!("it is longer than {LINE_MAX} bytes")));
            }
        }
        if bytes.is_empty() {
            return Err(self.died(when));
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).trim_end().to_owned();
            self.malformed(format!("{error}, in `{start}`"))
        })
    }

    /// Sends one request and reads what answers it; an `error` line is a refusal.
    fn ask<T: for<'a> Deserialize<'a>>(&mut self, request: &impl Serialize, name: &str) -> Result<T, ProblemError> {
        let mut line = serde_json::to_vec(request).expect("a request is JSON");
        line.push(b'\n');
        let input = self.input.as_mut().expect("the input is open until the child dies");
        if input.write_all(&line).and_then(|()| input.flush()).is_err() {
            return Err(self.died(&format!("before it took {name}")));
        }
        let answer: serde_json::Value = self.read(&format!("during {name}"), NEXT_LINE)?;
        if let Some(reason) = answer.get("error").filter(|error| !error.is_null()) {
            let reason = reason.as_str().map_or_else(|| reason.to_string(), str::to_owned);
            return Err(ProblemError::Refused { program: self.program.clone(), request: name.into(), reason });
        }
        serde_json::from_value(answer).map_err(|error| self.malformed(error.to_string()))
    }

    /// Begins one tuning run.
    ///
    /// # Errors
    /// [`ProblemError`].
    pub(crate) fn begin(&mut self, seed: u64) -> Result<(), ProblemError> {
        self.ask::<serde_json::Value>(&StartRequest { start: seed }, "the start").map(|_| ())
    }

    /// Measures once.
    ///
    /// # Errors
    /// [`ProblemError`], also when the answer is of another measure or its p99 is no positive number.
    pub(crate) fn measure(&mut self, request: &MeasureRequest) -> Result<Answer, ProblemError> {
        let name = request.id.clone().unwrap_or_else(|| "a measure".into());
        let answer: Answer = self.ask(request, &name)?;
        if answer.id.is_some() && answer.id != request.id {
            return Err(self.malformed(format!("it answers `{}`, asked was `{name}`", answer.id.unwrap_or_default())));
        }
        let told = |limit: &&rtt_measure::Constraint| answer.values.get(&limit.name).filter(|value| !value.is_null());
        let no_number = self.hello.constraints.iter().find(|limit| told(limit).is_some_and(|value| !value.is_number()));
        if let Some(limit) = no_number {
            let name = &limit.name;
            return Err(self.malformed(format!("constraint `{name}` is {}: expected a number", answer.values[name])));
        }
        match answer.p99 {
            Some(p99) if !(p99.is_finite() && p99 > 0.0) => {
                Err(self.malformed(format!("p99 is {p99}: expected a number above 0")))
            }
            None if answer.verdict.is_none_or(|verdict| verdict == rtt_measure::Verdict::Settled) => {
                Err(self.malformed("a settled run has no p99".into()))
            }
            _ => Ok(answer),
        }
    }

    /// The true value at `point`, for scoring only.
    ///
    /// # Errors
    /// [`ProblemError`].
    pub(crate) fn truth(&mut self, point: &Point) -> Result<Truth, ProblemError> {
        self.ask(&TruthRequest { truth: point }, "the truth")
    }
}

impl Drop for Problem {
    fn drop(&mut self) {
        // A program that reads to the end of its input ends by itself and may undo faults on the way; one that does not
        // is killed. Neither failure leaves anything for us to do.
        self.input = None;
        for _ in 0..PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TUNER-6: one that never speaks and one that stops in the middle of a line are waited for so long and no longer.
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
}
