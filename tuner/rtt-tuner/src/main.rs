//! The tuner's executable: all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(rtt_tuner::run())
}
