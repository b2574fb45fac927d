//! The program `xtask` as a shell starts it.

use std::io::pipe;
use std::process::{Command, Stdio};

/// The write end of a pipe that nobody reads any more, as after `| head`.
fn closed() -> Stdio {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Exit code of `xtask` where nobody reads its stdout, or neither stream.
fn unread(words: &[&str], stderr: Stdio) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(words).stdout(closed()).stderr(stderr).status().expect("xtask starts").code()
}

#[test]
fn a_reader_that_leaves_changes_no_exit_code() {
    for (words, expected) in [(&["--help"][..], 0), (&["help", "tune"], 0), (&["doctor", "--json"], 0), (&["tnue"], 2)]
    {
        for stderr in [Stdio::null(), closed()] {
            assert_eq!(unread(words, stderr), Some(expected), "{words:?}");
        }
    }
}
