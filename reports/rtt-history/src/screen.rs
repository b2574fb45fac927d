//! What every command of the program prints, and why it ends early.

use serde::Serialize;
use std::{
    error::Error,
    io::{self, Write},
};

pub const UNEXPECTED: u8 = 1;
pub const USAGE: u8 = 2;
pub const REFUSED: u8 = 3;
pub const NOTHING: u8 = 4;
pub const UNFIT: u8 = 13;

/// Why a command ended early: its exit code, and what to say.
pub struct Stop {
    pub code: u8,
    pub message: String,
}

impl Stop {
    pub fn new(code: u8, error: &dyn Error) -> Stop {
        let causes = std::iter::successors(error.source(), |cause| (*cause).source());
        let causes: String = causes.map(|cause| format!("\n  because: {cause}")).collect();
        Stop { code, message: format!("{error}{causes}") }
    }
}

/// Writes to stdout; a reader that has seen enough, such as `head`, is no failure.
pub fn print(text: &str) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Stop::new(UNEXPECTED, &error)),
        _ => Ok(()),
    }
}

/// A document as JSON.
pub fn json(document: &impl Serialize) -> String {
    serde_json::to_string_pretty(document).expect("the document has string keys") + "\n"
}

/// The clock, in seconds since 1970.
pub fn now_unix_s() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
