//! Tells the history that a run is finished, where the program that keeps it is built.

use std::path::Path;
use std::process::{Command, Stdio};

/// Has `program` (`rtt-history`) append what is finished below `root`.
///
/// # Errors
/// A text for the user: the run itself is whole, and the next append takes it in.
pub fn append_to_history(program: &Path, root: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command.arg("append").arg("--root").arg(root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let next = "`cargo xtask trend` appends it";
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("not in the history yet: {} ended with {status}; {next}", program.display())),
        Err(error) => Err(format!("not in the history yet: {} does not start: {error}; {next}", program.display())),
    }
}
