//! RTT-SYN-1: a noisy p99 surface whose best point is known, as a problem program.
//!
//! `rtt-syn-1 [--constrained]` speaks the base protocol on stdin and stdout. `rtt-syn-1 serve [OPTIONS OF A LAB]`
//! speaks the lab's extension over the same surface, with knobs, scenarios, faults, a machine that does not exist and
//! a trial log: `tune --simulate` learns and tests the whole path on it, signature and resume included.

mod host;
mod lab;
mod surface;

use lab::OpenError;
use rtt_measure::{Axis, Constraint, Hello, Kind, Point, Request, Scale, Value};
use serde_json::{Value as Json, json};
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use surface::{Noise, PINS, Place, WAITS};

const USAGE: &str = "usage: rtt-syn-1 [--constrained] | rtt-syn-1 serve [--endpoint ARM=PATH] [--log FILE] [--pack DIR] \
                     [--cpus LIST] [--host FILE] | rtt-syn-1 host LOG...";

/// What answers the lines of the protocol.
trait Serve {
    /// The first line.
    fn hello(&self) -> Hello;
    /// The answer to one request.
    fn answer(&mut self, request: Request) -> Result<Json, String>;
}

/// The base protocol.
struct Base {
    constrained: bool,
    noise: Option<Noise>,
}

fn integer(name: &str, min: f64, max: f64, scale: Scale) -> Axis {
    Axis { name: name.into(), kind: Kind::Integer, min: Some(min), max: Some(max), values: vec![], scale, when: None }
}

fn category(name: &str, values: &[&str]) -> Axis {
    let values = values.iter().map(|&value| Value::Text(value.into())).collect();
    Axis { name: name.into(), kind: Kind::Category, min: None, max: None, values, scale: Scale::Linear, when: None }
}

fn place_of(point: &Point) -> Result<Place, String> {
    let number = |name: &str, range: std::ops::RangeInclusive<i64>| match point.get(name) {
        Some(Value::Integer(n)) if range.contains(n) => Ok(*n as f64),
        Some(other) => Err(format!("{name} is {other}: expected a whole number in {range:?}")),
        None => Err(format!("{name} is missing")),
    };
    let class = |name: &str, classes: &[&str]| match point.get(name) {
        Some(Value::Text(text)) => classes
            .iter()
            .position(|class| class == text)
            .ok_or_else(|| format!("{name} is {text}: expected {classes:?}")),
        _ => Err(format!("{name} is missing or no text")),
    };
    if let Some(name) = point.keys().find(|name| !["r", "w", "wait", "pin"].contains(&name.as_str())) {
        return Err(format!("there is no axis {name}"));
    }
    Ok(Place {
        r: number("r", 4..=16)?,
        w: number("w", 0..=200)?,
        wait: class("wait", &WAITS)?,
        pin: class("pin", &PINS)?,
    })
}

impl Serve for Base {
    fn hello(&self) -> Hello {
        let limit = |name: &str, max| Constraint { name: name.into(), max };
        Hello {
            name: if self.constrained { "RTT-SYN-1 constrained" } else { "RTT-SYN-1" }.into(),
            axes: vec![
                integer("r", 4.0, 16.0, Scale::Linear),
                integer("w", 0.0, 200.0, Scale::Log1p),
                category("wait", &WAITS),
                category("pin", &PINS),
            ],
            constraints: if self.constrained { vec![limit("loss_ppm", 1.0), limit("cpu", 0.92)] } else { vec![] },
            optimum: Some(Place::optimum(self.constrained).p99_us()),
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
        }
    }

    fn answer(&mut self, request: Request) -> Result<Json, String> {
        match request {
            Request::Start(seed) => {
                self.noise = Some(Noise::new(seed));
                Ok(json!({"ok": true}))
            }
            Request::Measure(measure) => {
                let place = place_of(&measure.measure)?;
                let noise = self.noise.as_mut().ok_or("measure before start")?;
                let p99 = noise.measure(&place, measure.share);
                Ok(json!({"p99": p99, "loss_ppm": place.loss_ppm(), "cpu": place.cpu()}))
            }
            Request::Truth(point) => {
                let place = place_of(&point)?;
                Ok(json!({"p99": place.p99_us(), "feasible": !self.constrained || place.feasible()}))
            }
        }
    }
}

/// Says hello, then answers line by line until the input ends.
fn converse(mut served: impl Serve) -> io::Result<()> {
    let mut output = io::stdout().lock();
    let mut say = |line: &str| {
        writeln!(output, "{line}")?;
        output.flush()
    };
    say(&serde_json::to_string(&served.hello()).map_err(io::Error::other)?)?;
    for line in io::stdin().lock().lines() {
        let request = Request::parse(&line?).map_err(|error| error.to_string());
        let answer = request.and_then(|request| served.answer(request)).unwrap_or_else(|error| json!({"error": error}));
        say(&answer.to_string())?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [] | ["--serve"] => converse(Base { constrained: false, noise: None }),
        ["--constrained"] | ["--serve", "--constrained"] => converse(Base { constrained: true, noise: None }),
        ["host", logs @ ..] if !logs.is_empty() => match host::Host::draw(logs) {
            Ok(host) => writeln!(io::stdout(), "{}", host.to_json()),
            Err(reason) => {
                eprintln!("rtt-syn-1: {reason}");
                return ExitCode::FAILURE;
            }
        },
        ["serve", options @ ..] => match lab::Lab::open(options) {
            Ok(lab) => converse(lab),
            Err(OpenError::Usage(reason)) => {
                eprintln!("rtt-syn-1: {reason}\n{USAGE}");
                return ExitCode::from(2);
            }
            Err(OpenError::Log(error)) => {
                eprintln!("rtt-syn-1: {error}");
                return ExitCode::FAILURE;
            }
        },
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rtt-syn-1: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(served: &mut Base, line: &str) -> String {
        match Request::parse(line).map_err(|error| error.to_string()).and_then(|request| served.answer(request)) {
            Ok(answer) => answer.to_string(),
            Err(error) => error,
        }
    }

    #[test]
    fn malformed_lines_are_answered_and_change_nothing() {
        let mut served = Base { constrained: false, noise: None };
        let measure = r#"{"measure": {"r": 8, "w": 5, "wait": "yield", "pin": "llc"}}"#;
        assert_eq!(ask(&mut served, measure), "measure before start");
        ask(&mut served, r#"{"start": 3}"#);
        for (line, part) in [
            (r#"{"measure": {"r": 3, "w": 5, "wait": "yield", "pin": "llc"}}"#, "r is 3"),
            (r#"{"measure": {"r": 8, "w": 5, "wait": "nap", "pin": "llc"}}"#, "wait is nap"),
            (r#"{"measure": {"r": 8, "w": 5, "wait": "yield"}}"#, "pin is missing"),
            ("{", "malformed"),
        ] {
            assert!(ask(&mut served, line).contains(part), "{line}");
        }
        assert!(ask(&mut served, measure).contains("36.0593773"), "the noise did not move");
    }
}
