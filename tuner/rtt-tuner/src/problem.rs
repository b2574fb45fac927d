//! The program that is tuned, as a child that speaks the problem protocol: one JSON line out, one in.
//!
//! TUNER-6  Whatever the program writes is input: a line that is too long, malformed or answers something else, or its
//!          death, is an error that names the program and the line, never a panic.
//!
//! The child's stderr is ours, so its words reach the user. It ends when its stdin does, at the latest when this is
//! dropped.

use crate::interrupt;
use crate::output::{StartRequest, TruthRequest};
use rtt_measure::{Answer, Hello, MeasureRequest, PROTOCOL, Point};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

/// Longest line that is taken, in bytes: the hello of a host with thousands of CPUs stays far below.
const LINE_MAX: u64 = 4 << 20;

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
    pub(crate) fn start(mut command: Command) -> Result<Problem, ProblemError> {
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
        let hello: Hello = problem.read("before its first line")?;
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

    /// TUNER-6: reads one line as `T`.
    fn read<T: for<'a> Deserialize<'a>>(&mut self, when: &str) -> Result<T, ProblemError> {
        let mut bytes = Vec::new();
        let read = (&mut self.output).take(LINE_MAX).read_until(b'\n', &mut bytes);
        if interrupt::raised() {
            return Err(ProblemError::Interrupted);
        }
        self.line += 1;
        match read {
            Ok(0) | Err(_) => return Err(self.died(when)),
            Ok(length) if bytes[length - 1] != b'\n' && length as u64 == LINE_MAX => {
                return Err(self.malformed(format!("it is longer than {LINE_MAX} bytes")));
            }
            Ok(_) => {}
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
        let answer: serde_json::Value = self.read(&format!("during {name}"))?;
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
