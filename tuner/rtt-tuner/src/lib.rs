//! From measurements to a signed profile: search space, objective, solvers, confirmation.
//!
//! The tuner talks to what it tunes over the problem protocol and never links it. Its solvers run under argmin's
//! executor. What it finds is confirmed by the e-process of `rtt-measure` on pairs that the search never saw.
//!
//! Not here: running anything on a host (`rtt-lab`), drawing the report (`rtt-report`), judging builds (`rtt-gate`).

mod agreement;
mod arguments;
mod bench;
mod climb;
mod conclude;
mod confirm;
mod finals;
mod gaussian_process;
mod incumbent;
mod matrix;
mod model;
mod narrow;
mod objective;
mod output;
mod plan;
mod progress;
mod publish;
mod run_folder;
mod screen;
mod session;
mod solver;
mod space;
mod tune;

use arguments::{Arguments, Subject};
use clap::Parser;
use rtt_measure::{Stop, interrupt};

/// Runs the command line of this process and returns its exit code.
pub fn run() -> u8 {
    let arguments = Arguments::parse_from(arguments::reordered(std::env::args().collect()));
    let ended = interrupt::watch().map_err(|error| Stop::unexpected(&error)).and_then(|()| match arguments.command {
        Subject::Tune(options) => tune::tune(&options),
        Subject::Bench(options) => bench::bench(&options),
        Subject::Agreement(options) => agreement::agreement(&options),
    });
    match ended {
        Ok(exit) => exit.code(),
        Err(stop) => {
            if !stop.message.is_empty() {
                screen::say(true, &format!("rtt-tuner: {}", stop.message));
            }
            stop.exit.code()
        }
    }
}
