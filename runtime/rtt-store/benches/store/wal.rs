//! The log against raw batches: the same bytes, each batch one pwrite and one fdatasync to a file of synced zeros.

use crate::Size;
use crate::ratio::Row;
use crate::tasks;
use rtt_seal::{Digest, HostId};
use rtt_store::wal::{BLOCK, Options, Room, Wal, WalThread};
use rtt_store::{Answer, Backend, Disk, DiskError, FileId, Request, Token, open_disk};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a payload: some actions.
const PAYLOAD: usize = 256;
/// Bytes of its record.
const RECORD: usize = PAYLOAD + 96;
/// Bytes of a segment: no round comes to half of it, for what is measured is committing.
const SEGMENT: u32 = 16 << 20;
/// Share of a lone commit that may not be hashing.
const NOT_HASHING: f64 = 0.98;

/// Somebody who makes batches of records durable.
trait Peer {
    /// Makes `commits` batches of `records` durable, and tells how long each took.
    fn commit(&mut self, records: usize, commits: usize) -> Vec<Duration>;
}

/// The limit: nothing but the calls.
struct Raw {
    file: File,
}

impl Raw {
    fn new(folder: &Path) -> Raw {
        let path = folder.join("raw");
        let file = File::options().create(true).truncate(true).read(true).write(true).open(path).expect("a file");
        file.write_all_at(&vec![0; SEGMENT as usize], 0).expect("zeros");
        file.sync_all().expect("synced");
        Raw { file }
    }
}

impl Peer for Raw {
    fn commit(&mut self, records: usize, commits: usize) -> Vec<Duration> {
        let batch = vec![7; (records * RECORD).next_multiple_of(BLOCK)];
        let commit = |index: usize| {
            let begin = Instant::now();
            self.file.write_all_at(&batch, (BLOCK + index * batch.len()) as u64).expect("written");
            self.file.sync_data().expect("synced");
            begin.elapsed()
        };
        (0..commits).map(commit).collect()
    }
}

/// Rows of all cases.
pub fn measure(root: &Path, size: Size) -> Vec<Row> {
    let mut rows = Vec::new();
    for backend in [Backend::File, Backend::Uring] {
        let name = if backend == Backend::File { "file" } else { "uring" };
        if let Err(error) = open_disk(root, backend) {
            eprintln!("skipped: {name}: {error}");
            continue;
        }
        rows.push(in_flight(root, size, backend, name));
        rows.extend([1, 8, 64].map(|writers| writers_row(root, size, backend, name, writers)));
        rows.extend(lone_writer(root, size, backend, name));
    }
    rows
}

/// Sixty-four appends in flight: tasks on one thread, each awaiting its own.
fn in_flight(root: &Path, size: Size, backend: Backend, name: &str) -> Row {
    let times = interleaved(root, size, 64, |folder| {
        let log = open_log(folder, backend);
        let begin = Instant::now();
        tasks::run(&log, 64, size.commits, &[7; PAYLOAD]);
        begin.elapsed()
    });
    row(&format!("wal/in_flight/64/{name}"), &times, Some(0.8), 64 * size.commits)
}

/// Threads, each waiting for its own record.
fn writers_row(root: &Path, size: Size, backend: Backend, name: &str, writers: usize) -> Row {
    let times =
        interleaved(root, size, writers, |folder| by_threads(&open_log(folder, backend), writers, size.commits));
    let mut row = row(&format!("wal/writers/{writers}/{name}"), &times, None, writers * size.commits);
    if writers > 1 {
        let nothing = by_threads(
            &start(Wal::open(NoDisk::default(), &options(), None).expect("a log").0, NoDisk::default()),
            writers,
            size.commits,
        );
        row.note += &format!("; on a disk that does nothing {} records/s", rate(nothing, writers * size.commits));
    }
    row
}

/// One writer on its own thread: p99, and the share of a commit that is hashing and chaining.
fn lone_writer(root: &Path, size: Size, backend: Backend, name: &str) -> [Row; 2] {
    let (mut tails, mut shares, mut last) = (Vec::new(), Vec::new(), String::new());
    for round in 0..size.rounds {
        let folder = tempfile::tempdir_in(root).expect("a folder");
        let disk = open_disk(folder.path(), backend).expect("a disk");
        let (mut wal, _) = Wal::open(disk, &options(), None).expect("a log");
        let mut raw = Raw::new(folder.path());
        let mut ours = || -> Vec<Duration> {
            let append = |_| {
                let begin = Instant::now();
                wal.append(1, &[7; PAYLOAD], Room::Ordinary).expect("durable");
                begin.elapsed()
            };
            (0..size.commits).map(append).collect()
        };
        let (ours, limit) = if round.is_multiple_of(2) {
            let ours = ours();
            (ours, raw.commit(1, size.commits))
        } else {
            let limit = raw.commit(1, size.commits);
            (ours(), limit)
        };
        tails.push(quantile(&limit, 0.99).as_secs_f64() / quantile(&ours, 0.99).as_secs_f64());
        let (commit, hashing) = (quantile(&ours, 0.5), hashing());
        shares.push(1.0 - hashing.as_secs_f64() / commit.as_secs_f64());
        last = format!("hashing {hashing:?} of a commit of {commit:?}");
    }
    let note = format!("p99 of one writer beside the raw calls', {} commits a round", size.commits);
    [
        Row::of(&format!("wal/p99/1/{name}"), tails, None, note),
        Row::of(&format!("wal/not_hashing/1/{name}"), shares, Some(NOT_HASHING), last),
    ]
}

/// Time that one record takes until it is hashed, chained and in its group.
fn hashing() -> Duration {
    let (mut wal, _) = Wal::open(NoDisk::default(), &options(), None).expect("a log");
    let count = 1000;
    let begin = Instant::now();
    for _ in 0..count {
        wal.push(1, &[7; PAYLOAD], Room::Ordinary).expect("pushed");
    }
    begin.elapsed() / count
}

/// Runs ours and the limit in turn, each first in every second round; returns the times of both.
fn interleaved(root: &Path, size: Size, records: usize, ours: impl Fn(&Path) -> Duration) -> Vec<(Duration, Duration)> {
    let limit = |folder: &Path| {
        let mut raw = Raw::new(folder);
        let begin = Instant::now();
        raw.commit(records, size.commits);
        begin.elapsed()
    };
    let round = |round: usize| {
        let folder = tempfile::tempdir_in(root).expect("a folder");
        let folder = folder.path();
        if round.is_multiple_of(2) {
            let ours = ours(folder);
            (ours, limit(folder))
        } else {
            let limit = limit(folder);
            (ours(folder), limit)
        }
    };
    (0..size.rounds).map(round).collect()
}

fn row(case: &str, times: &[(Duration, Duration)], bar: Option<f64>, records: usize) -> Row {
    let ratios = times.iter().map(|(ours, limit)| limit.as_secs_f64() / ours.as_secs_f64()).collect();
    let middle =
        |pick: fn(&(Duration, Duration)) -> Duration| quantile(&times.iter().map(pick).collect::<Vec<_>>(), 0.5);
    let (ours, limit) = (middle(|each| each.0), middle(|each| each.1));
    let note = format!("{} records/s, raw {}", rate(ours, records), rate(limit, records));
    Row::of(case, ratios, bar, note)
}

fn by_threads<D: Disk + Send + 'static>(log: &WalThread<D>, writers: usize, commits: usize) -> Duration {
    let begin = Instant::now();
    thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                for _ in 0..commits {
                    log.append(1, &[7; PAYLOAD], Room::Ordinary).wait().expect("durable");
                }
            });
        }
    });
    begin.elapsed()
}

fn options() -> Options {
    Options { segment_bytes: SEGMENT, ..Options::new(HostId(Digest::of(b"bench"))) }
}

fn open_log(folder: &Path, backend: Backend) -> WalThread<Box<dyn Disk + Send>> {
    let open = || open_disk(folder, backend).expect("a disk");
    start(Wal::open(open(), &options(), None).expect("a log").0, open())
}

fn start<D: Disk + Send + 'static>(wal: Wal<D>, making: D) -> WalThread<D> {
    WalThread::start(wal, making)
}

fn rate(time: Duration, records: usize) -> u64 {
    (records as f64 / time.as_secs_f64()) as u64
}

fn quantile(times: &[Duration], at: f64) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[((times.len() - 1) as f64 * at).round() as usize]
}

/// A disk that does nothing: what is left is threads and hashing.
#[derive(Debug, Default)]
struct NoDisk {
    last: u64,
    done: Option<Answer>,
}

impl Disk for NoDisk {
    fn submit(&mut self, request: Request) -> Token {
        self.last += 1;
        self.done = Some(match request {
            Request::Create { .. } | Request::Open { .. } => Answer::Opened(FileId(self.last)),
            Request::Write { bytes, .. } | Request::WriteSync { bytes, .. } => Answer::Written(bytes),
            Request::List { .. } => Answer::Names(Vec::new()),
            _ => Answer::Done,
        });
        Token(self.last)
    }

    fn complete(&mut self) -> Option<(Token, Result<Answer, DiskError>)> {
        self.done.take().map(|answer| (Token(self.last), Ok(answer)))
    }

    fn wait(&mut self, _: Token) -> Result<Answer, DiskError> {
        Ok(self.done.take().expect("in flight"))
    }
}
