//! `rtt-gate`: whether a change made p99 worse on this host, with a stated rate of false alarms.
//!
//! `judge` runs pairs of two endpoints over the problem protocol and judges them; `bench` judges the gate itself on
//! simulated nights. Not here: measuring (`rtt-lab`), building revisions (`xtask`), drawing the page (`rtt-report`).

mod arguments;
mod arms;
mod bench;
mod budgets;
mod calibration;
mod canary;
mod comparison;
mod detectable;
mod document;
mod exports;
mod judge;
mod output;
mod pairs;
mod screen;
mod track;
mod words;

use arguments::{Arguments, Subject};
use clap::Parser;
use rtt_measure::{Exit, Stop, interrupt};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = interrupt::watch().map_err(|error| Stop::unexpected(&error)).and_then(|()| match arguments.command {
        Subject::Judge(options) if options.check => judge::docket(&options).map(|_| Exit::Ok),
        Subject::Judge(options) if options.canary.is_some() => canary::canary(&options),
        Subject::Judge(options) => judge::judge(&options),
        Subject::Bench(options) => bench::bench(&options),
    });
    match ended {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(stop) => {
            if stop.exit == Exit::Interrupted {
                screen::note("rtt-gate: what was run is kept: the same command goes on with it");
            }
            if !stop.message.is_empty() {
                screen::note(&format!("rtt-gate: {}", stop.message));
            }
            ExitCode::from(stop.exit.code())
        }
    }
}
