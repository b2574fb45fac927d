//! `rtt-report`: draws one run or one gate as one HTML file, or lists the runs that are there.

mod output;

use clap::{Args, Parser, Subcommand};
use output::{Judged, Listed, ListedRow, Rendered};
use rtt_report::{
    GateFolder, ListedRun, ReadError, ReadGateError, RenderError, Run, WriteError, list, render, render_gate,
    write_page,
};
use std::{
    error::Error,
    io::{self, ErrorKind, Write, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Exit code where there was nothing to draw.
const NOTHING: u8 = 4;

/// Draws one run or one gate as one HTML file: no network, no script, readable on paper.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  rtt-report render .rtt/runs/RUN --out page.html\n  rtt-report list .rtt/runs\n  rtt-report RUN              (a run by name, below --root)\n  rtt-report gate .rtt/gate/COMPARISON --out gate.html\n  rtt-report                  (the newest run)"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    render: RenderArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Draws a run.
    Render(RenderArgs),
    /// Draws what a gate decided.
    Gate(GateArgs),
    /// Lists the runs in a folder.
    List {
        /// The folder that holds the runs.
        #[arg(default_value = ".rtt/runs")]
        runs: PathBuf,
        /// One JSON object on stdout instead of a table: {version, runs: [{run, trials, outcome, error, running}]}.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct RenderArgs {
    /// A run folder, its trials.jsonl or fit.json, or a run's name below ROOT/.rtt/runs; without it, the newest run.
    run: Option<PathBuf>,
    /// Where the page goes [default: ROOT/reports/out/RUN.html for a run below ROOT/.rtt/runs, else RUN/report.html].
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The checkout.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// One JSON object on stdout instead of the page's path: {version, run, page, bytes, outcome}.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct GateArgs {
    /// The comparison's folder: it holds verdict.json and the trial logs.
    folder: PathBuf,
    /// Where the page goes [default: ROOT/reports/out/gate-COMPARISON.html below ROOT/.rtt/gate, else FOLDER/report.html].
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// One JSON object on stdout instead of the page's path: {version, comparison, page, bytes, verdict}.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    ReadGate(#[from] ReadGateError),
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("cannot print")]
    Print(#[source] io::Error),
    #[error("{}: there is no run yet; measure one with `cargo xtask tune`", runs.display())]
    NoRun { runs: PathBuf },
    #[error("run {run}: there is no such folder, and no run of this name in {}; `cargo xtask report list` shows what is there", runs.display())]
    Unknown { run: String, runs: PathBuf },
}

/// Writes a line to stdout; a reader that has seen enough, such as `head`, is no failure.
fn print(line: &str) -> Result<(), Failure> {
    match writeln!(stdout(), "{line}").and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Print(error)),
        _ => Ok(()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Render(args)) => draw(&args),
        Some(Command::Gate(args)) => draw_gate(&args),
        Some(Command::List { runs, json }) => show(&runs, json),
        None => draw(&cli.render),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprint!("error: {failure}");
            let mut cause = failure.source();
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            match failure {
                Failure::NoRun { .. }
                | Failure::Unknown { .. }
                | Failure::Read(ReadError::Nothing { .. } | ReadError::EmptyLog { .. })
                | Failure::ReadGate(ReadGateError::Nothing { .. }) => ExitCode::from(NOTHING),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// The newest run by the time of its files' last change; a run's name carries no order that could be relied on.
fn newest(runs: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(runs).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let changed = |folder: &PathBuf| {
        let times =
            ["trials.jsonl", "fit.json"].map(|name| folder.join(name).metadata().and_then(|m| m.modified()).ok());
        times.into_iter().flatten().max()
    };
    folders.filter_map(|folder| Some((changed(&folder)?, folder))).max().map(|(_, folder)| folder)
}

fn folder_of(args: &RenderArgs) -> Result<PathBuf, Failure> {
    let runs = args.root.join(".rtt/runs");
    let Some(run) = &args.run else {
        return newest(&runs).ok_or(Failure::NoRun { runs });
    };
    if run.is_file() {
        let folder = run.parent().filter(|folder| !folder.as_os_str().is_empty());
        return Ok(folder.map_or_else(|| PathBuf::from("."), Path::to_path_buf));
    }
    if run.is_dir() {
        return Ok(run.clone());
    }
    let named = runs.join(run);
    if named.is_dir() { Ok(named) } else { Err(Failure::Unknown { run: run.display().to_string(), runs }) }
}

/// `ROOT/reports/out/RUN.html` for `ROOT/.rtt/runs/RUN`, `gate-` before the name for `ROOT/.rtt/gate/COMPARISON`; else a
/// file in the folder itself.
fn default_page(folder: &Path) -> PathBuf {
    let whole = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.into());
    let above = whole.parent();
    let is_gate = above.is_some_and(|above| above.ends_with(".rtt/gate"));
    let root = above.filter(|above| is_gate || above.ends_with(".rtt/runs")).and_then(|above| above.parent()?.parent());
    match (root, whole.file_name()) {
        (Some(root), Some(name)) => {
            let kind = if is_gate { "gate-" } else { "" };
            root.join("reports/out").join(format!("{kind}{}.html", name.to_string_lossy()))
        }
        _ => folder.join("report.html"),
    }
}

/// `ROOT` of `ROOT/.rtt/runs/RUN`, where it is not the folder that this process runs in, which is the checkout.
fn other_root(folder: &Path) -> Option<PathBuf> {
    let whole = std::fs::canonicalize(folder).ok()?;
    let root = whole.parent().filter(|runs| runs.ends_with(".rtt/runs"))?.ancestors().nth(2)?;
    let here = std::env::current_dir().and_then(std::fs::canonicalize);
    here.is_ok_and(|here| here != root).then(|| root.to_path_buf())
}

fn draw(args: &RenderArgs) -> Result<(), Failure> {
    let folder = folder_of(args)?;
    let run = Run { root: other_root(&folder), ..Run::read(&folder)? };
    let html = render(&run)?;
    let page = args.out.clone().unwrap_or_else(|| default_page(&folder));
    write_page(&page, &html)?;
    if args.json {
        let outcome = run.fit.as_ref().map(|fit| fit.outcome);
        let done =
            Rendered { version: 1, run: &run.name, page: page.display().to_string(), bytes: html.len(), outcome };
        print(&serde_json::to_string(&done).expect("names and numbers are JSON"))
    } else {
        print(&page.display().to_string())
    }
}

fn draw_gate(args: &GateArgs) -> Result<(), Failure> {
    let folder = GateFolder::read(&args.folder)?;
    let html = render_gate(&folder)?;
    let page = args.out.clone().unwrap_or_else(|| default_page(&args.folder));
    write_page(&page, &html)?;
    if args.json {
        let (comparison, verdict) = (folder.gate.comparison.as_str(), folder.gate.verdict);
        let done = Judged { version: 1, comparison, page: page.display().to_string(), bytes: html.len(), verdict };
        print(&serde_json::to_string(&done).expect("names and numbers are JSON"))
    } else {
        print(&page.display().to_string())
    }
}

fn row(listed: ListedRun) -> ListedRow {
    let name = listed.folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    match listed.run {
        Ok(run) => {
            let outcome = run.fit.map(|fit| fit.outcome);
            ListedRow { run: name, trials: run.trials.len(), outcome, error: None, running: listed.running }
        }
        // The writer of a run that has just begun may not have come to its first record.
        Err(ReadError::EmptyLog { .. }) if listed.running => {
            ListedRow { run: name, trials: 0, outcome: None, error: None, running: true }
        }
        Err(error) => {
            ListedRow { run: name, trials: 0, outcome: None, error: Some(error.to_string()), running: listed.running }
        }
    }
}

fn show(runs: &Path, json: bool) -> Result<(), Failure> {
    if !runs.exists() && !json {
        return Err(Failure::NoRun { runs: runs.into() });
    }
    let rows: Vec<ListedRow> = if runs.exists() { list(runs)?.into_iter().map(row).collect() } else { Vec::new() };
    if json {
        return print(&serde_json::to_string(&Listed { version: 1, runs: rows }).expect("names and numbers are JSON"));
    }
    if rows.is_empty() {
        return Err(Failure::NoRun { runs: runs.into() });
    }
    for row in rows {
        let outcome = match (&row.error, row.outcome) {
            (Some(error), _) => error.clone(),
            (None, Some(rtt_measure::Outcome::Better)) => "better".into(),
            (None, Some(rtt_measure::Outcome::NoBetter)) => "no better".into(),
            (None, Some(rtt_measure::Outcome::Undecided)) => "undecided".into(),
            (None, None) if row.running => "running".into(),
            (None, None) => "interrupted".into(),
        };
        print(&format!("{:<28} {:>6} trials  {outcome}", row.run, row.trials))?;
    }
    Ok(())
}
