//! `rtt-history bench`: what a trend costs on a data set of a given size, which is written first and removed again.

use crate::screen::{Stop, UNEXPECTED, print};
use clap::Args;
use rtt_history::{SyntheticSize, write_synthetic};
use rtt_units::Bytes;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// 2026-11-23 10:00 UTC: the rows are the same on every day.
const END_UNIX_S: u64 = 1_795_392_000 + 36_000;

#[derive(Args)]
#[command(after_help = "\
Writes synthetic rows below the folder for temporary files (TMPDIR), three logs a machine and day, then starts
`rtt-history trend --cost` on them, in a process of its own so that the memory is that of the trend alone.

Examples:
  rtt-history bench --rows 10000000
  TMPDIR=/var/tmp rtt-history bench --rows 1000000 --days 90 --machines 2")]
pub struct BenchOptions {
    /// Rows of the data set.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    rows: u64,
    /// Machines.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    machines: u64,
    /// Days.
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    days: u64,
    /// The lock of the budgets, so that burn rates are told too.
    #[arg(long, value_name = "FILE")]
    slo: Option<PathBuf>,
}

/// A folder that goes when it is dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left of it is waste in the folder for waste.
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn bench(options: &BenchOptions) -> Result<u8, Stop> {
    let failed = |error: &dyn std::error::Error| Stop::new(UNEXPECTED, error);
    let scratch = Scratch(env::temp_dir().join(format!("rtt-history-bench-{}", std::process::id())));
    let size =
        SyntheticSize { rows: options.rows, machines: options.machines, days: options.days, end_unix_s: END_UNIX_S };
    let began = Instant::now();
    let written = write_synthetic(&scratch.0, &size).map_err(|error| failed(&error))?;
    let seconds = began.elapsed().as_secs_f64();
    let partitions = options.machines * options.days;
    print(&format!(
        "written: {} rows in {} files of {partitions} partitions, {} on disk, in {seconds:.1} s\n",
        options.rows,
        written.files,
        Bytes(written.bytes)
    ))?;
    let began = Instant::now();
    let mut command = trend_of(&scratch.0, options.slo.as_deref()).map_err(|error| failed(&error))?;
    let status = command.status().map_err(|error| failed(&error))?;
    print(&format!("trend: {:.1} s from start to exit; its own cost is above\n", began.elapsed().as_secs_f64()))?;
    Ok(u8::from(!status.success()))
}

fn trend_of(root: &Path, slo: Option<&Path>) -> std::io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["trend", "--json", "--cost", "--now"]).arg(END_UNIX_S.to_string());
    command.arg("--root").arg(root).stdout(Stdio::null());
    if let Some(slo) = slo {
        command.arg("--slo").arg(slo);
    }
    Ok(command)
}
