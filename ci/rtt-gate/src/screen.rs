//! What is said, and to whom: results on stdout, everything else on stderr.

use rtt_measure::{Exit, Stop};
use std::io::{ErrorKind, Write, stderr, stdout};

/// One line for people, on stderr.
pub fn note(line: &str) {
    // A reader that left is no reason to lose the run: what counts is in its folder.
    let _ = writeln!(stderr(), "{line}");
}

/// Prints the result. A reader that left, as under `| head`, is no failure; a full disk is.
///
/// # Errors
/// A stop when it cannot be written.
pub fn print(text: &str) -> Result<(), Stop> {
    match writeln!(stdout(), "{text}").and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Stop::new(Exit::Unexpected, format!("cannot print the result: {error}")))
        }
        _ => Ok(()),
    }
}
