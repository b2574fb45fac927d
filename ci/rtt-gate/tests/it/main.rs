//! The gate as its users meet it: the command line.

mod bench;
mod judge;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The gate.
fn gate(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtt-gate"));
    command.args(words);
    command
}

/// What a command said, as (exit code, stdout, stderr).
fn said(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// A program of the shell.
fn script(folder: &Path, name: &str, body: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it may run");
    path
}
