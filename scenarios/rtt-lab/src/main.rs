//! `rtt-lab`: load and chaos around the runtime's real processes, served to a tuner as a problem.

mod arrivals;
mod confinement;
mod control;
mod facts;
mod fault_child;
mod faults;
mod generator;
mod serve;
mod settle;
mod sliced;
mod trial;

use clap::{Args, Parser, Subcommand};
use rtt_host::{HeldError, MEASURING_LOCK_PLACE, MeasuringLock};
use rtt_scenario::FaultKind;
use rtt_units::CpuSet;
use serve::{Executable, Lab, OpenError};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures the runtime's endpoint on this host, in real processes.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  rtt-lab serve --endpoint '*=target/release/rtt-endpoint' --log /tmp/run/trials.jsonl --pack scenarios
      then, on standard input: {\"measure\": {...}, \"id\": \"a\", \"scenario\": \"steady\", \"seed\": 1}

Exit codes: 0 ok, 1 unexpected, 2 usage, 3 configuration refused, 13 environment unfit, 15 another measurement holds
the host."
)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Speaks the problem protocol on standard input and output.
    Serve(Serve),
    /// Is a fault's own process; started by `serve`.
    #[command(hide = true)]
    Fault {
        /// The kind of fault.
        kind: String,
        /// Where a nameless file may be made.
        #[arg(long)]
        folder: PathBuf,
    },
}

/// What `serve` is told.
#[derive(Args)]
struct Serve {
    /// Endpoint of an arm (`base=PATH`), or of every arm that is not named (`*=PATH`); repeat it.
    #[arg(long = "endpoint", value_name = "ARM=PATH", required = true, value_parser = arm_and_path)]
    endpoints: Vec<(String, PathBuf)>,
    /// A further argument of an arm's endpoint; repeat it.
    #[arg(long = "endpoint-argument", value_name = "ARM=ARGUMENT", value_parser = arm_and_argument)]
    endpoint_arguments: Vec<(String, String)>,
    /// The trial log: appended to, and answered from.
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// Folder of the locked scenarios and fault plans.
    #[arg(long, value_name = "DIR", default_value = "scenarios")]
    pack: PathBuf,
    /// A scenario of your own, as JSON; repeat it.
    #[arg(long = "scenario-file", value_name = "FILE")]
    scenario_files: Vec<PathBuf>,
    /// Keep every trial on these CPUs, such as 2-7.
    #[arg(long, value_name = "LIST")]
    cpus: Option<CpuSet>,
    /// Directory whose lock keeps a second measurement away.
    #[arg(long, value_name = "DIR", default_value = MEASURING_LOCK_PLACE, hide = true)]
    lock: PathBuf,
}

fn arm_and_path(text: &str) -> Result<(String, PathBuf), String> {
    let (arm, path) = text.split_once('=').ok_or("expected ARM=PATH, such as *=target/release/rtt-endpoint")?;
    let known = ["*", "search", "default", "incumbent", "placebo", "control", "base", "candidate"];
    if !known.contains(&arm) {
        return Err(format!("`{arm}` is no arm: expected one of {}", known.join(", ")));
    }
    Ok((arm.into(), path.into()))
}

fn arm_and_argument(text: &str) -> Result<(String, String), String> {
    let (arm, argument) = text.split_once('=').ok_or("expected ARM=ARGUMENT, such as candidate=--delay-ns=500")?;
    Ok((arm.into(), argument.into()))
}

/// The endpoint of each arm with its arguments.
fn executables(options: &Serve) -> Result<BTreeMap<String, Executable>, String> {
    let endpoint =
        |(arm, path): &(String, PathBuf)| (arm.clone(), Executable { path: path.clone(), arguments: Vec::new() });
    let mut endpoints: BTreeMap<String, Executable> = options.endpoints.iter().map(endpoint).collect();
    for (arm, argument) in &options.endpoint_arguments {
        let endpoint =
            endpoints.get_mut(arm).ok_or_else(|| format!("--endpoint-argument {arm}: no --endpoint {arm}=PATH"))?;
        endpoint.arguments.push(argument.clone());
    }
    Ok(endpoints)
}

const UNEXPECTED: u8 = 1;
const USAGE: u8 = 2;
const CONFIGURATION: u8 = 3;
const UNFIT: u8 = 13;
const HELD: u8 = 15;

fn main() -> ExitCode {
    let done = match Options::parse().command {
        Command::Serve(options) => serve(options),
        Command::Fault { kind, folder } => fault(&kind, &folder),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            eprintln!("rtt-lab: {message}");
            ExitCode::from(code)
        }
    }
}

fn fault(kind: &str, folder: &std::path::Path) -> Result<(), (u8, String)> {
    let found = FaultKind::ALL.into_iter().find(|known| known.name() == kind);
    let kind = found.ok_or_else(|| (CONFIGURATION, format!("`{kind}` is no fault")))?;
    fault_child::serve(kind, folder).map_err(|error| (UNEXPECTED, error))
}

fn serve(options: Serve) -> Result<(), (u8, String)> {
    let _lock = MeasuringLock::acquire_at(&options.lock).map_err(|error| match error {
        HeldError::Held { .. } => (HELD, error.to_string()),
        HeldError::Unavailable { .. } => (UNFIT, error.to_string()),
    })?;
    let endpoints = executables(&options).map_err(|error| (USAGE, error))?;
    let opened = Lab::open(endpoints, &options.log, &options.pack, &options.scenario_files, options.cpus.as_ref());
    let mut lab = opened.map_err(|error| match error {
        OpenError::Pack(_) | OpenError::Scenario(_) => (CONFIGURATION, error.to_string()),
        OpenError::Facts(_) | OpenError::Endpoint { .. } | OpenError::OtherHost { .. } => (UNFIT, error.to_string()),
        OpenError::Log(_) | OpenError::NotARun { .. } => (UNEXPECTED, error.to_string()),
    })?;
    lab.serve().map_err(|error| (UNEXPECTED, error))
}
