//! The store against what its disk can do: ratios of one run, each the median of interleaved rounds.
//!
//! `cargo bench -p rtt-store --bench store -- [--json] [--only cas|wal] [--root FOLDER] [--rounds N] [--peers PROGRAM]`. A ratio is the limit's time over
//! ours, so that 1 is the limit and more is better; `low` and `high` bound its median with 95 % confidence; `bar` is what
//! it must reach, where something is promised. The folder's disk is what is measured.
//!
//! Peers that are libraries (SQLite, raft-engine, cacache) are in a program of their own, `peers`, which is no part of the
//! workspace: what they depend on is built where they are measured, and nowhere else.

mod cas;
mod progress;
mod race;
mod ratio;
mod tasks;
mod wal;

use race::Peers;
use ratio::Row;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Fewest rounds whose median has an interval worth its name.
const LEAST_ROUNDS: usize = 7;

/// A part of the store.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Cas,
    Wal,
}

/// How much is run.
#[derive(Clone, Copy)]
struct Size {
    /// Rounds of each case.
    rounds: usize,
    /// Commits of a round of the log.
    commits: usize,
    /// One in so many objects is put and got.
    objects_share: usize,
}

impl Size {
    /// What a measurement takes.
    const WHOLE: Size = Size { rounds: 9, commits: 150, objects_share: 1 };
    /// Every path once, for a test: its figures say nothing.
    const TEST: Size = Size { rounds: 2, commits: 3, objects_share: 100 };
}

struct Arguments {
    json: bool,
    only: Option<Part>,
    root: PathBuf,
    size: Size,
    peers: Option<Peers>,
    is_test: bool,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(reason) => {
            eprintln!("{reason}; usage: [--json] [--only cas|wal] [--root FOLDER] [--rounds N] [--peers PROGRAM]");
            return ExitCode::from(2);
        }
    };
    let peers = arguments.peers.as_ref();
    if peers.is_none() {
        eprintln!(
            "skipped: SQLite, raft-engine, cacache: they are measured by `cargo xtask bench store`, which builds them"
        );
    }
    let courses = |part: Part, courses: usize| if arguments.only.is_none_or(|only| only == part) { courses } else { 0 };
    progress::begin(arguments.size.rounds * (courses(Part::Cas, cas::COURSES) + courses(Part::Wal, wal::COURSES)));
    let mut rows = Vec::new();
    if arguments.only != Some(Part::Wal) {
        rows.extend(cas::measure(&arguments.root, arguments.size, peers));
    }
    if arguments.only != Some(Part::Cas) {
        rows.extend(wal::measure(&arguments.root, arguments.size, peers));
    }
    if arguments.is_test {
        rows.iter().for_each(|row| println!("ran {}", row.case));
    } else if arguments.json {
        let rows: Vec<_> = rows.iter().map(Row::json).collect();
        println!("{}", serde_json::json!({ "version": 1, "rows": rows }));
    } else {
        rows.iter().for_each(|row| println!("{row}"));
    }
    let missed = rows.iter().any(Row::is_missed);
    if missed && !arguments.is_test { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn arguments() -> Result<Arguments, String> {
    let (root, size) = (std::env::temp_dir(), Size::WHOLE);
    let mut arguments = Arguments { json: false, only: None, root, size, peers: None, is_test: false };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--json" => arguments.json = true,
            "--only" => {
                arguments.only = Some(match value()?.as_str() {
                    "cas" => Part::Cas,
                    "wal" => Part::Wal,
                    other => return Err(format!("--only {other}: expected `cas` or `wal`")),
                });
            }
            "--root" => arguments.root = value()?.into(),
            "--rounds" => {
                arguments.size.rounds = value()?.parse().map_err(|_| "--rounds: expected a number".to_owned())?
            }
            "--peers" => {
                let program = PathBuf::from(value()?);
                let found =
                    program.canonicalize().map_err(|error| format!("--peers {}: {error}", program.display()))?;
                arguments.peers = Some(Peers::new(found));
            }
            "--bench" => {} // cargo says so.
            "--test" => (arguments.size, arguments.is_test) = (Size::TEST, true),
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    if arguments.size.rounds < LEAST_ROUNDS && !arguments.is_test {
        return Err(format!("--rounds {}: expected at least {LEAST_ROUNDS}", arguments.size.rounds));
    }
    Ok(arguments)
}

fn timed(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}
