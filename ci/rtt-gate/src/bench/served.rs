//! Nights that a program serves: one JSON line there, one back.
//!
//! What the program writes is input: a line that is malformed or too long, a p99 that is no number above 0, its death or
//! its silence, ends the bench with an error that names the program and the line. The program is started once.

use super::nights::{NightArm, Nights};
use rtt_measure::{Exit, LineChild, LineError, Stop};
use serde::Deserialize;
use std::process::Command;
use std::time::Duration;

/// How long a line is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest name that is shown, in characters.
const NAME_MAX: usize = 80;

/// The program's first line.
#[derive(Deserialize)]
struct Hello {
    name: String,
}

/// What answers a night.
#[derive(Deserialize)]
struct Begun {
    ok: bool,
}

/// What answers a run.
#[derive(Deserialize)]
struct Ran {
    p99: Option<f64>,
    void: Option<String>,
}

/// The running program.
#[derive(Debug)]
pub(crate) struct Served {
    child: LineChild,
    name: String,
    patience: Duration,
    night: u64,
}

/// The stop for what the program did wrong. It may have died of anything, so its exit code says nothing about us.
fn stop(error: LineError) -> Stop {
    match error {
        LineError::Interrupted => Stop::new(Exit::Interrupted, error.to_string()),
        LineError::Spawn { .. } => Stop::usage(rtt_seal::in_full(&error)),
        _ => Stop::unexpected(&error),
    }
}

impl Served {
    /// Starts the program whose path and arguments are `words` and takes its name.
    ///
    /// # Errors
    /// A stop when it does not start or its first line is none.
    pub(crate) fn start(words: &[String]) -> Result<Served, Stop> {
        let (program, arguments) = words.split_first().expect("the command line asks for one word at least");
        let mut command = Command::new(program);
        command.args(arguments);
        Served::start_within(command, PATIENCE)
    }

    fn start_within(command: Command, patience: Duration) -> Result<Served, Stop> {
        let mut child = LineChild::start("nights program", command).map_err(stop)?;
        let hello: Hello = child.read("before its first line", patience).map_err(stop)?;
        // A terminal obeys control characters, so none of the program's gets there.
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let name = hello.name.chars().take(NAME_MAX).map(plain).collect();
        Ok(Served { child, name, patience, night: 0 })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn ask<T: for<'a> Deserialize<'a>>(&mut self, request: &str) -> Result<T, Stop> {
        let name = format!("{request} in night {}, where line {} was expected", self.night, self.child.line() + 1);
        self.child.ask(request, &name, self.patience).map_err(stop)
    }

    fn malformed(&self, reason: String) -> Stop {
        stop(self.child.malformed(reason))
    }
}

impl Nights for Served {
    fn begin(&mut self, seed: u64, delta: f64) -> Result<(), Stop> {
        self.night = seed;
        let begun: Begun = self.ask(&format!(r#"{{"night": {seed}, "delta": {delta}}}"#))?;
        if begun.ok { Ok(()) } else { Err(self.malformed("`ok` is false: expected true, or an `error`".into())) }
    }

    fn run(&mut self, arm: NightArm) -> Result<Option<f64>, Stop> {
        let ran: Ran = self.ask(&format!(r#"{{"run": "{}"}}"#, arm.name()))?;
        match (ran.p99, ran.void) {
            (Some(p99), None) if p99.is_finite() && p99 > 0.0 => Ok(Some(p99)),
            (Some(p99), None) => Err(self.malformed(format!("p99 is {p99}: expected a number above 0"))),
            (None, Some(_)) => Ok(None),
            _ => Err(self.malformed("expected one of `p99` and `void`".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Before the first line, after a request, and in the middle of a line.
    #[test]
    fn a_silent_program_is_given_up_and_named() {
        for (script, when) in [
            ("exec sleep 600", "before its first line"),
            ("echo '{\"name\": \"n\"}'; exec sleep 600", "where line 2 was expected"),
            ("echo '{\"name\": \"n\"}'; printf '{\"ok\"'; exec sleep 600", "where line 2 was expected"),
        ] {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            let served = Served::start_within(command, Duration::from_millis(300));
            let stop = served.and_then(|mut served| served.begin(5, 0.05)).expect_err(script);
            let told = ["nights program `sh`", "has said nothing for 0.3 s", when];
            assert!(told.iter().all(|part| stop.message.contains(part)), "{script}: {}", stop.message);
            assert_eq!(stop.exit, Exit::Unexpected);
        }
    }
}
