//! `rtt-history`: runs and gates as Parquet, tables and trends over many of them, two runs side by side.
//!
//! Exit codes: 0 ok; 1 a log or a file could not be read or written; 2 usage, and what does not exist by that name;
//! 3 the lock of the budgets is refused; 4 nothing to append or to show; 13 runs of unlike machines.

mod bench_command;
mod keep_commands;
mod root_option;
mod screen;
mod trend_command;

use bench_command::{BenchOptions, bench};
use clap::{Args, Parser, Subcommand};
use keep_commands::{AppendOptions, CompactOptions, RetainOptions, append_logs, compact_partitions, retain_days};
use root_option::RootOption;
use rtt_history::{
    COLUMNS, CompareError, DataSetLock, ExportError, ExportReport, Exported, Index, MEASURES, PARTITION_COLUMNS, Query,
    RUNS_PLACE, ReadRunError, RunOutcome, TableError, compare, comparison_text, export_run, list_runs, locate_log,
    read_run, table,
};
use screen::{NOTHING, Stop, UNEXPECTED, UNFIT, USAGE, json, print};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use trend_command::{TrendOptions, show_trend};

/// What many runs say together: history as Parquet, tables, trends, two runs side by side.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  rtt-history append
  rtt-history trend --scenario steady
  rtt-history table --by scenario,faulted,knob_wait --columns settled,p50,p99,samples
  rtt-history compare RUN OTHER_RUN

Exit codes:
  0   ok
  1   a log or a file of the data set cannot be read or written
  2   wrong command line, or no such run or machine
  3   the lock of the budgets is refused
  4   nothing to append or to show
  13  the runs are of unlike machines"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Appends every finished tune and gate below ROOT/.rtt to the data set ROOT/.rtt/history.
    Append(AppendOptions),
    /// Shows the course of each scenario: p99 by day, change points, false alarms of the gate, burnt budget.
    Trend(TrendOptions),
    /// Makes one file of the files of each machine and day.
    Compact(CompactOptions),
    /// Removes days that are older than is wanted.
    Retain(RetainOptions),
    /// Says what a trend costs on a synthetic data set.
    Bench(BenchOptions),
    /// Appends tunes below ROOT/.rtt/runs to the data set, finished or not, or mends their files.
    Export(Export),
    /// Shows groups of trials over the data set.
    Table(Tabulate),
    /// Shows two runs side by side, the first as the baseline.
    Compare(Compare),
    /// Explains the columns and measures of the data set.
    Columns,
}

#[derive(Args)]
#[command(after_help = "\
A run that is there already is written again only when its log has grown. A damaged log adds nothing, the other runs
are exported all the same, and the exit code is 1.

Examples:
  rtt-history export .
  rtt-history export . --run 2026-11-23T08-45 --run 2026-11-24T08-45
  rtt-history export /srv/lab --json")]
struct Export {
    /// The folder that holds .rtt.
    #[arg(default_value = ".")]
    root: PathBuf,
    /// Only this run; may be given several times.
    #[arg(long = "run", value_name = "RUN")]
    runs: Vec<String>,
    /// One JSON document instead of lines: {version, runs: [{run, outcome, trials, path, reason}]}.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Latencies are quantiles of the group's whole histograms, merged over settled trials. `rtt-history columns` explains
every name.

Examples:
  rtt-history table
  rtt-history table --by machine,day --where scenario=steady --where arm=incumbent --columns settled,p99,trial_ns_p99_max
  rtt-history table --by knob_ring_bytes,knob_window_us --where arm=search --columns trials,p99,cpu_millicores --csv
  rtt-history table --since 2026-11-01 --json")]
struct Tabulate {
    #[command(flatten)]
    root: RootOption,
    /// Columns that make the groups.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,...", default_value = "machine,scenario,faulted,arm")]
    by: Vec<String>,
    /// What to say of each group.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "MEASURE,...",
        default_value = "trials,settled,samples,p50,p99,p999,cpu_millicores,lost"
    )]
    columns: Vec<String>,
    /// Only rows whose column has this value; may be given several times.
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    filters: Vec<String>,
    /// Only from this day on.
    #[arg(long, value_name = "YYYY-MM-DD")]
    since: Option<String>,
    /// Only up to this day.
    #[arg(long, value_name = "YYYY-MM-DD")]
    until: Option<String>,
    /// One JSON document: {version, by, measures, files, rows, notes}.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Comma-separated values under names with units.
    #[arg(long)]
    csv: bool,
}

#[derive(Args)]
#[command(after_help = "\
RUN is the name of a run below ROOT/.rtt/runs, a run's folder, or a trial log. Runs of unlike machines are refused with
the list of differences (exit 13), unless --any-host.

Examples:
  rtt-history compare 2026-11-23T08-45 2026-11-24T08-45
  rtt-history compare old/trials.jsonl .rtt/runs/new --json
  rtt-history compare here there --any-host")]
struct Compare {
    /// The baseline.
    run_a: String,
    /// What is compared with it.
    run_b: String,
    #[command(flatten)]
    root: RootOption,
    /// Compare runs of unlike machines too.
    #[arg(long)]
    any_host: bool,
    /// One JSON document: {version, a, b, differences, figures, regimes_ns, pairs, not_compared}.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Append(options) => append_logs(&options),
        Command::Trend(options) => show_trend(options),
        Command::Compact(options) => compact_partitions(&options),
        Command::Retain(options) => retain_days(&options),
        Command::Bench(options) => bench(&options),
        Command::Export(options) => export(&options),
        Command::Table(options) => tabulate(options),
        Command::Compare(options) => side_by_side(&options),
        Command::Columns => print(&columns()).map(|()| 0),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(stop) => {
            eprintln!("error: {}", stop.message);
            ExitCode::from(stop.code)
        }
    }
}

fn reading(error: &ReadRunError) -> Stop {
    let missing = matches!(error, ReadRunError::Missing { .. } | ReadRunError::NoLog { .. });
    Stop::new(if missing { USAGE } else { UNEXPECTED }, error)
}

fn export(options: &Export) -> Result<u8, Stop> {
    let names = if options.runs.is_empty() {
        list_runs(&options.root).map_err(|error| reading(&error))?
    } else {
        options.runs.clone()
    };
    if names.is_empty() {
        let folder = options.root.join(RUNS_PLACE);
        let message = format!("no run in {}: measure one with `cargo xtask tune`", folder.display());
        return Err(Stop { code: NOTHING, message });
    }
    // A run that was asked for by name has to be there; of all runs, one without a log is passed over.
    let asked = !options.runs.is_empty();
    let unexpected = |error: &dyn std::error::Error| Stop::new(UNEXPECTED, error);
    let held = DataSetLock::alone(&options.root).map_err(|error| unexpected(&error))?;
    let index = Index::read(&options.root).map_err(|error| unexpected(&error))?;
    let mut outcomes = Vec::new();
    for run in names {
        let log = locate_log(&options.root, &run).map_err(|error| reading(&error))?;
        outcomes.push(export_one(&options.root, &index, run, &log, asked));
    }
    drop(held);
    let failed = outcomes.iter().any(|outcome| outcome.outcome == "failed");
    if options.json {
        print(&json(&ExportReport { version: 1, runs: outcomes }))?;
    } else {
        let (mut text, mut errors) = (String::new(), String::new());
        for outcome in &outcomes {
            let to = if outcome.outcome == "failed" { &mut errors } else { &mut text };
            *to += &outcome_in_words(outcome);
        }
        print(&text)?;
        eprint!("{errors}");
    }
    Ok(if failed { UNEXPECTED } else { 0 })
}

fn export_one(root: &Path, index: &Index, run: String, log: &Path, asked: bool) -> RunOutcome {
    let exported = read_run(log).map_err(ExportError::from).and_then(|read| export_run(root, &read, index));
    let plain = |outcome, trials, path, reason| RunOutcome { run, outcome, trials, path, reason };
    match exported {
        Ok(Exported::Written { trials, path }) => plain("written", trials, Some(path), None),
        Ok(Exported::Unchanged { trials, path }) => plain("unchanged", trials, Some(path), None),
        Ok(Exported::NoTrials) => plain("skipped", 0, None, Some("it has no trial yet".into())),
        Err(ExportError::Run(error @ (ReadRunError::NoLog { .. } | ReadRunError::Empty { .. }))) if !asked => {
            plain("skipped", 0, None, Some(error.to_string()))
        }
        Err(error) => plain("failed", 0, None, Some(Stop::new(UNEXPECTED, &error).message)),
    }
}

fn outcome_in_words(outcome: &RunOutcome) -> String {
    let path = outcome.path.as_ref().map(|path| format!(" in {}", path.display())).unwrap_or_default();
    match &outcome.reason {
        Some(reason) if outcome.outcome == "failed" => {
            format!("error: run {} was not exported: {reason}\n", outcome.run)
        }
        Some(reason) => format!("skipped: run {}: {reason}\n", outcome.run),
        None => format!("{}: run {}: {} trials{path}\n", outcome.outcome, outcome.run, outcome.trials),
    }
}

fn tabulate(options: Tabulate) -> Result<u8, Stop> {
    let query = Query::new(&options.by, &options.columns)
        .and_then(|query| query.filtered(&options.filters))
        .and_then(|query| query.between(options.since, options.until))
        .map_err(|error| Stop::new(USAGE, &error))?;
    let _held = DataSetLock::shared(&options.root.folder).map_err(|error| Stop::new(UNEXPECTED, &error))?;
    let table = table(&options.root.folder, query).map_err(|error| {
        let nothing = matches!(error, TableError::Empty { .. } | TableError::NothingLeft { .. });
        Stop::new(if nothing { NOTHING } else { UNEXPECTED }, &error)
    })?;
    let text = if options.json {
        json(&table)
    } else if options.csv {
        table.to_csv()
    } else {
        table.to_text()
    };
    print(&text).map(|()| 0)
}

fn side_by_side(options: &Compare) -> Result<u8, Stop> {
    let read = |word: &str| locate_log(&options.root.folder, word).and_then(|log| read_run(&log));
    let a = read(&options.run_a).map_err(|error| reading(&error))?;
    let b = read(&options.run_b).map_err(|error| reading(&error))?;
    let comparison = compare(&a, &b, options.any_host).map_err(|error| {
        let code = if matches!(error, CompareError::UnlikeMachines { .. }) { UNFIT } else { UNEXPECTED };
        Stop::new(code, &error)
    })?;
    let text = if options.json { json(&comparison) } else { comparison_text(&comparison) };
    print(&text).map(|()| 0)
}

fn columns() -> String {
    let mut text = String::from("Columns of the data set; * marks those that a table can be grouped and filtered by\n");
    let folders = PARTITION_COLUMNS.into_iter().map(|(name, about)| (name, true, about));
    let stored = COLUMNS.iter().map(|column| (column.name, column.key, column.about));
    for (name, key, about) in folders.chain(stored) {
        text += &format!("  {} {name:<29} {about}\n", if key { '*' } else { ' ' });
    }
    text += "\nMeasures of a table\n";
    for measure in MEASURES {
        let short = measure.short.map(|short| format!("  ({short})")).unwrap_or_default();
        text += &format!("    {:<29} {}{short}\n", measure.name, measure.about);
    }
    text
}
