//! What is printed: `println!` and `eprintln!` of this program.
//!
//! The standard library's panic when nobody reads any more, as under `| head`. These are quiet then, since what a
//! command does counts, and not what it says; any other failure, such as a full disk, ends the command.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write, stderr, stdout};
use std::process;

use crate::exit::Exit;

/// Writes `text` to stdout.
pub fn to_stdout(text: Arguments<'_>) {
    end_unless_written(stdout().write_fmt(text));
}

/// Writes to stdout what a child wrote to its own.
pub fn pass_to_stdout(bytes: &[u8]) {
    end_unless_written(stdout().write_all(bytes));
}

fn end_unless_written(written: io::Result<()>) {
    match written.and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("cannot print: {error}");
            process::exit(Exit::Unexpected.code().into());
        }
        _ => {}
    }
}

/// Writes `text` to stderr; there is no other place to say that it failed.
pub fn to_stderr(text: Arguments<'_>) {
    let _ = stderr().write_fmt(text);
}

/// Writes to stderr what a child wrote to its own.
pub fn pass_to_stderr(bytes: &[u8]) {
    let _ = stderr().write_all(bytes);
}

macro_rules! print {
    ($($part:tt)*) => { $crate::screen::to_stdout(format_args!($($part)*)) };
}

macro_rules! println {
    ($($part:tt)*) => { $crate::screen::to_stdout(format_args!("{}\n", format_args!($($part)*))) };
}

macro_rules! eprintln {
    ($($part:tt)*) => { $crate::screen::to_stderr(format_args!("{}\n", format_args!($($part)*))) };
}

pub(crate) use {eprintln, print, println};
