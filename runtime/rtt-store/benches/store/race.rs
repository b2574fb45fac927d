//! Contestants in turn: each round runs the limit and every contestant once, and another one goes first.

use crate::progress;
use crate::ratio::Row;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Somebody who does the limit's work, in a folder of its own, and tells how long it took.
pub struct Contestant<'a> {
    pub case: String,
    /// What the ratio must reach, where something is promised.
    pub bar: Option<f64>,
    pub run: Box<dyn FnMut(&Path) -> Duration + 'a>,
    /// What a person wants to know beside the rates.
    pub note: &'static str,
}

impl<'a> Contestant<'a> {
    pub fn new(case: String, run: impl FnMut(&Path) -> Duration + 'a) -> Contestant<'a> {
        Contestant { case, bar: None, run: Box::new(run), note: "" }
    }

    pub fn with_bar(self, bar: f64) -> Contestant<'a> {
        Contestant { bar: Some(bar), ..self }
    }

    pub fn with_note(self, note: &'static str) -> Contestant<'a> {
        Contestant { note, ..self }
    }
}

/// Where it is run, how often, and what work a round is: so many of `unit`.
pub struct Course<'a> {
    pub root: &'a Path,
    pub rounds: usize,
    pub work: usize,
    pub unit: &'static str,
}

/// Runs them all; a row for each contestant, against the limit of the same rounds.
pub fn race(course: &Course<'_>, limit: impl FnMut(&Path) -> Duration, contestants: Vec<Contestant<'_>>) -> Vec<Row> {
    let mut all = vec![Contestant::new("limit".to_owned(), limit)];
    all.extend(contestants);
    let mut times = vec![Vec::new(); all.len()];
    for round in 0..course.rounds {
        // Whoever comes later finds the others' leavings: the turns change.
        for turn in 0..all.len() {
            let at = (round + turn) % all.len();
            let folder = tempfile::tempdir_in(course.root).expect("a folder");
            times[at].push((all[at].run)(folder.path()));
        }
        progress::step();
    }
    let (limits, ours) = times.split_first().expect("the limit");
    let row = |(contestant, times): (&Contestant<'_>, &Vec<Duration>)| {
        let ratios = limits.iter().zip(times).map(|(limit, ours)| limit.as_secs_f64() / ours.as_secs_f64()).collect();
        let rate = |times: &[Duration]| course.work as f64 / median(times).as_secs_f64();
        let unit = course.unit;
        let note = format!("{:.0} {unit}/s, limit {:.0}{}", rate(times), rate(limits), contestant.note);
        Row::of(&contestant.case, ratios, contestant.bar, note)
    };
    all[1..].iter().zip(ours).map(row).collect()
}

/// Other stores, in a program of their own that times itself.
#[derive(Clone)]
pub struct Peers {
    program: PathBuf,
}

/// What a peer is asked to do: each of `writers` makes `commits` commits of `records` records of `bytes` bytes.
#[derive(Clone, Copy)]
pub struct PeerLoad {
    pub writers: usize,
    pub commits: usize,
    pub records: usize,
    pub bytes: usize,
}

impl Peers {
    pub fn new(program: PathBuf) -> Peers {
        Peers { program }
    }

    /// One round of a peer in an empty folder.
    pub fn round(&self, peer: &str, folder: &Path, load: PeerLoad) -> Duration {
        let PeerLoad { writers, commits, records, bytes } = load;
        let mut command = Command::new(&self.program);
        command.arg(peer).arg(folder).args([writers, commits, records, bytes].map(|number| number.to_string()));
        let told = command.stderr(Stdio::inherit()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let nanos = String::from_utf8(told.stdout).ok().and_then(|text| text.trim().parse().ok());
        Duration::from_nanos(nanos.unwrap_or_else(|| panic!("{command:?}: {}: expected nanoseconds", told.status)))
    }
}

pub fn median(times: &[Duration]) -> Duration {
    quantile(times, 0.5)
}

pub fn quantile(times: &[Duration], at: f64) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[((times.len() - 1) as f64 * at).round() as usize]
}
