//! A program that answers one JSON line with another, as a child: started, asked, waited for, ended.
//!
//! Whatever it writes is input: a line that is too long or malformed, its death or its silence, is an error that names
//! it, never a panic and never a wait without end. Its stderr is ours, so its words reach the user. It ends when its
//! stdin does, at the latest when this is dropped. What the lines mean is left to whoever asks.

use crate::interrupt;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use serde::Deserialize;
use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// Longest line that is taken, in bytes: the hello of a host with thousands of CPUs stays far below.
const LINE_MAX: usize = 4 << 20;

/// How often a child that was told to end is looked after, every 10 ms, before it is killed: 3 s, in which it can undo
/// a fault that it had put beside a run.
const PATIENCE: u32 = 300;

/// What the program did wrong.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It does not start.
    #[error("{program} does not start; check the path")]
    Spawn {
        /// The program, with its part in this: "problem `name`".
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended.
    #[error("{program} ended ({status}) {when}")]
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
    #[error("{program} has said nothing for {} s {when}; it was stopped", waited.as_secs_f64())]
    Silent {
        /// The program.
        program: String,
        /// How long it was waited for.
        waited: Duration,
        /// What it was asked.
        when: String,
    },
    /// It wrote what is no answer.
    #[error("{program}, line {line}: {reason}")]
    Malformed {
        /// The program.
        program: String,
        /// The line of its output, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// It refused a request.
    #[error("{program} refuses {request}: {reason}")]
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

impl LineError {
    /// The code with which a program that never said hello turned the run away; it has said why on the same stderr.
    pub fn turned_away(&self) -> Option<i32> {
        match self {
            LineError::Died { code: Some(code @ (2 | 3 | 13 | 15)), greeted: false, .. } => Some(*code),
            _ => None,
        }
    }
}

/// The running program.
#[derive(Debug)]
pub struct LineChild {
    program: String,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    line: usize,
    greeted: bool,
}

impl LineChild {
    /// Starts `command`, a program whose part in this is `role`, such as "problem". An interrupt that
    /// [`interrupt::watch`] has noted ends every wait for it.
    ///
    /// # Errors
    /// [`LineError::Spawn`].
    pub fn start(role: &str, mut command: Command) -> Result<LineChild, LineError> {
        let program = format!("{role} `{}`", command.get_program().to_string_lossy());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|source| LineError::Spawn { program: program.clone(), source })?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("stdout was asked for as a pipe"));
        Ok(LineChild { program, child, input, output, line: 0, greeted: false })
    }

    /// Lines that were begun to be read.
    pub fn line(&self) -> usize {
        self.line
    }

    /// What is wrong with the line that was read last.
    pub fn malformed(&self, reason: String) -> LineError {
        LineError::Malformed { program: self.program.clone(), line: self.line, reason }
    }

    /// Closes its input and waits until it has ended, but not for long: how it ended, `None` where it was killed.
    fn end(&mut self) -> Option<ExitStatus> {
        // A program that reads to the end of its input ends by itself and may undo faults on the way.
        self.input = None;
        for _ in 0..PATIENCE {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Ok(status) => return status,
                Err(_) => break,
            }
        }
        // Neither failure leaves anything for us to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        None
    }

    fn died(&mut self, when: &str) -> LineError {
        if interrupt::raised() {
            return LineError::Interrupted;
        }
        let status = self.end();
        // Who stops the program that measures, whose process id the lock's message names, means the whole.
        let stops = [Signal::HUP, Signal::INT, Signal::TERM].map(|signal| Some(signal.as_raw()));
        if status.is_some_and(|status| stops.contains(&status.signal())) {
            return LineError::Interrupted;
        }
        let code = status.and_then(|status| status.code());
        // One that has closed its output and lives on would be waited for without end.
        let status = status.map_or_else(|| "closed its output; it was stopped".into(), |status| status.to_string());
        LineError::Died { program: self.program.clone(), status, code, greeted: self.greeted, when: when.into() }
    }

    /// Waits until more of a line can be read, or the program has closed its output.
    fn wait(&mut self, when: &str, began: Instant, patience: Duration) -> Result<(), LineError> {
        loop {
            if interrupt::raised() {
                return Err(LineError::Interrupted);
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
                    return Err(LineError::Silent { program, waited: patience, when });
                }
                Err(Errno::INTR) => {}           // A signal, which the next round looks at.
                Ok(_) | Err(_) => return Ok(()), // Reading tells what is wrong.
            }
        }
    }

    /// Reads one line as `T`; waits for it no longer than `patience`. `when` tells in an error what it would have been.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn read<T: for<'a> Deserialize<'a>>(&mut self, when: &str, patience: Duration) -> Result<T, LineError> {
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
        let read = serde_json::from_slice(&bytes).map_err(|error| {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).trim_end().to_owned();
            self.malformed(format!("{error}, in `{start}`"))
        })?;
        self.greeted = true;
        Ok(read)
    }

    /// Sends one request, called `name` in errors, and reads what answers it; an `error` line is a refusal.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn ask<T: for<'a> Deserialize<'a>>(
        &mut self,
        request: &str,
        name: &str,
        patience: Duration,
    ) -> Result<T, LineError> {
        debug_assert!(!request.contains('\n'), "a request is one line");
        let input = self.input.as_mut().expect("the input is open until the child dies");
        // One write: a program that reads unbuffered is woken once.
        if input.write_all(format!("{request}\n").as_bytes()).and_then(|()| input.flush()).is_err() {
            return Err(self.died(&format!("before it took {name}")));
        }
        let answer: serde_json::Value = self.read(&format!("during {name}"), patience)?;
        if let Some(reason) = answer.get("error").filter(|error| !error.is_null()) {
            let reason = reason.as_str().map_or_else(|| reason.to_string(), str::to_owned);
            return Err(LineError::Refused { program: self.program.clone(), request: name.into(), reason });
        }
        serde_json::from_value(answer).map_err(|error| self.malformed(error.to_string()))
    }
}

impl Drop for LineChild {
    fn drop(&mut self) {
        self.end();
    }
}
