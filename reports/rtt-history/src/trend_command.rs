//! `rtt-history trend`: the course of each scenario, for people or as JSON.

use crate::root_option::RootOption;
use crate::screen::{NOTHING, REFUSED, Stop, UNEXPECTED, USAGE, json, now_unix_s, print};
use clap::Args;
use rtt_history::{DataSetLock, TrendError, TrendQuery, trend};
use rtt_scenario::{Lock, SLO_LOCK, Slo};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

#[derive(Args)]
#[command(after_help = "\
Calm, settled runs only. A day's figure is the geometric mean of its runs' p99 with a 95 % interval over runs. Change
points: E-divisive (doi:10.1080/01621459.2013.849605), a new level has at least three days and chance does as well at
most once in a hundred. All of it is advice: exit code 0 whatever it shows; only the gate decides.
A run is bad when its p99 is above the budget in the SLO lock, by the gate's rule: nanoseconds where the lock names the
machine, else a multiple of the limit that the run's own probes measured. 99 % of runs shall be good. Of each rule both
windows must burn: 14.4x over 1h and 5min, 6x over 6h and 30min, 1x over 3d and 6h (SRE Workbook, chapter 5).

Examples:
  rtt-history trend
  rtt-history trend --scenario steady --days 30
  rtt-history trend --machine 3f9a --json")]
pub struct TrendOptions {
    #[command(flatten)]
    root: RootOption,
    /// Only this scenario.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Only the machine whose id is this, or begins so.
    #[arg(long, value_name = "ID")]
    machine: Option<String>,
    /// Only so many days back, today included; the budget is counted over its 30 days all the same.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    days: Option<u32>,
    /// The lock of the budgets (default: ROOT/ci/slo.lock.json, where it is there).
    #[arg(long, value_name = "FILE")]
    slo: Option<PathBuf>,
    /// Look back from this instant, seconds since 1970, instead of from now.
    #[arg(long, value_name = "SECONDS")]
    now: Option<u64>,
    /// Say at the end, on stderr, what it cost: seconds, and the most memory that was held.
    #[arg(long)]
    cost: bool,
    /// One JSON document: {version, advice, now_unix_s, since, partitions, files, rows, columns, machines, notes}.
    #[arg(long)]
    json: bool,
}

pub fn show_trend(options: TrendOptions) -> Result<u8, Stop> {
    let began = Instant::now();
    let slo = budgets(&options.root.folder, options.slo.as_deref())?;
    let _held = DataSetLock::shared(&options.root.folder).map_err(|error| Stop::new(UNEXPECTED, &error))?;
    let now_unix_s = options.now.unwrap_or_else(now_unix_s);
    let TrendOptions { root, scenario, machine, days, .. } = options;
    let query = TrendQuery { root: root.folder, scenario, machine, days, now_unix_s };
    let trend = trend(&query, slo.as_ref()).map_err(|error| {
        let code = match error {
            TrendError::Empty { .. } | TrendError::NothingLeft { .. } => NOTHING,
            TrendError::Machine { .. } => USAGE,
            TrendError::Read(_) | TrendError::Columns { .. } => UNEXPECTED,
        };
        Stop::new(code, &error)
    })?;
    print(&if options.json { json(&trend) } else { trend.to_text() })?;
    if options.cost {
        let memory = peak_kib().map_or("unknown".into(), |kib| format!("{:.1} MiB", kib as f64 / 1024.0));
        eprintln!("cost: {:.2} s, peak memory {memory} (VmHWM), {} rows", began.elapsed().as_secs_f64(), trend.rows);
    }
    Ok(0) // HISTORY-10: advice has one exit code.
}

/// The budgets: those asked for have to be there, those of the root may be.
fn budgets(root: &Path, asked: Option<&Path>) -> Result<Option<Slo>, Stop> {
    let standard = root.join(SLO_LOCK.lock);
    let path = match asked {
        Some(path) => path,
        None if standard.is_file() => &standard,
        None => return Ok(None),
    };
    // The lock lies in a folder of the checkout, whose sources it is compared with where they are there.
    let checkout = path.parent().and_then(Path::parent).unwrap_or(root);
    let checkout = if checkout.as_os_str().is_empty() { Path::new(".") } else { checkout };
    let lock: Lock<Slo> = Lock::load(path, checkout).map_err(|error| Stop::new(REFUSED, &error))?;
    Ok(lock.documents.into_iter().next())
}

/// The most memory that this process had, as the kernel counted it.
fn peak_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
