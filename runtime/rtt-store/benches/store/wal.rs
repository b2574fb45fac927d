//! The log and its peers against raw batches: the same bytes, each batch one pwrite and one fdatasync to a file of synced
//! zeros.

use crate::Size;
use crate::race::{Contestant, Course, PeerLoad, Peers, quantile, race};
use crate::ratio::Row;
use crate::{progress, tasks, timed};
use rtt_seal::{Digest, HostId};
use rtt_store::wal::{BLOCK, LocalWal, Options, Room, Wal, WalThread};
use rtt_store::{Answer, Backend, Disk, DiskError, FileId, Request, Token, open_disk};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Courses that are run: in flight, by writers, and the lone writer by each backend.
pub const COURSES: usize = 1 + WRITERS.len() + 2;
/// Threads that write at a time.
const WRITERS: [usize; 3] = [1, 8, 64];
/// Bytes of a payload: some actions.
const PAYLOAD: usize = 256;
/// Bytes of its record.
const RECORD: usize = PAYLOAD + 96;
/// Bytes of a segment: no round comes to half of it, for what is measured is committing.
const SEGMENT: u32 = 16 << 20;
/// What sixty-four appends in flight must reach of raw batches.
const IN_FLIGHT_BAR: f64 = 0.8;
/// Logs of others that are measured beside it.
const PEERS: [&str; 2] = ["sqlite", "raft-engine"];
/// Share of a lone commit that may not be hashing.
const NOT_HASHING: f64 = 0.98;

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

    /// Makes `commits` batches of `records` durable, and tells how long each took.
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
pub fn measure(root: &Path, size: Size, peers: Option<&Peers>) -> Vec<Row> {
    let mut backends = Vec::new();
    for (backend, name) in [(Backend::File, "file"), (Backend::Uring, "uring")] {
        match open_disk(root, backend) {
            Ok(_) => backends.push((backend, name)),
            Err(error) => eprintln!("skipped: {name}: {error}"),
        }
    }
    let mut rows = in_flight(root, size, &backends, peers);
    rows.extend(WRITERS.into_iter().flat_map(|writers| by_writers(root, size, &backends, peers, writers)));
    rows.extend(backends.iter().flat_map(|(backend, name)| lone_writer(root, size, *backend, name)));
    rows
}

/// Sixty-four appends in flight: tasks on one thread, each awaiting its own. The peers get the sixty-four as one batch.
fn in_flight(root: &Path, size: Size, backends: &[(Backend, &str)], peers: Option<&Peers>) -> Vec<Row> {
    const TASKS: usize = 64;
    let (case, commits) = (|name: &str| format!("wal/in_flight/64/{name}"), size.commits);
    let mut contestants = Vec::new();
    for (backend, name) in backends.iter().copied() {
        let ours = Contestant::new(case(name), move |folder| {
            let log = LocalWal::new(open_log(folder, backend));
            timed(|| tasks::on_one_thread(&log, TASKS, commits, &[7; PAYLOAD]))
        });
        // Promised of the default; the other is taken only where a probe of the host finds it no slower.
        contestants.push(if backend == Backend::File { ours.with_bar(IN_FLIGHT_BAR) } else { ours });
    }
    let handed_over = |folder: &Path| {
        let log = start(folder, Backend::File);
        timed(|| tasks::handed_over(log, TASKS, commits, &[7; PAYLOAD]))
    };
    contestants.push(Contestant::new(case("thread"), handed_over).with_note(", committed by another thread"));
    for (name, peers) in PEERS.into_iter().flat_map(|name| peers.map(|peers| (name, peers))) {
        let load = PeerLoad { writers: 1, commits, records: TASKS, bytes: PAYLOAD };
        contestants.push(Contestant::new(case(name), move |folder| peers.round(name, folder, load)));
    }
    race(&course(root, size, TASKS), |folder| limit(folder, size, TASKS), contestants)
}

/// Threads, each waiting for its own record.
fn by_writers(
    root: &Path,
    size: Size,
    backends: &[(Backend, &str)],
    peers: Option<&Peers>,
    writers: usize,
) -> Vec<Row> {
    let (case, commits) = (|name: &str| format!("wal/writers/{writers}/{name}"), size.commits);
    let mut contestants = Vec::new();
    for (backend, name) in backends.iter().copied() {
        contestants.push(Contestant::new(case(name), move |folder| {
            let log = start(folder, backend);
            timed(|| by_threads(&log, writers, commits))
        }));
    }
    let nothing = |_: &Path| {
        let wal = Wal::open(NoDisk::default(), &options(), None).expect("a log").0;
        let log = WalThread::start(wal, NoDisk::default());
        timed(|| by_threads(&log, writers, commits))
    };
    contestants.push(Contestant::new(case("no_disk"), nothing).with_note(", ours on a disk that does nothing"));
    for (name, peers) in PEERS.into_iter().flat_map(|name| peers.map(|peers| (name, peers))) {
        // SQLite commits one writer after the other: fewer commits say as much, and the round ends the same day.
        let fewer = if name == "sqlite" { commits.div_ceil(writers) } else { commits };
        let load = PeerLoad { writers, commits: fewer, records: 1, bytes: PAYLOAD };
        contestants.push(Contestant::new(case(name), move |folder| {
            peers.round(name, folder, load).mul_f64(commits as f64 / fewer as f64)
        }));
    }
    race(&course(root, size, writers), |folder| limit(folder, size, writers), contestants)
}

fn course(root: &Path, size: Size, records: usize) -> Course<'_> {
    Course { root, rounds: size.rounds, work: records * size.commits, unit: "records" }
}

fn limit(folder: &Path, size: Size, records: usize) -> Duration {
    let mut raw = Raw::new(folder);
    timed(|| {
        raw.commit(records, size.commits);
    })
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
        progress::step();
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

fn by_threads<D: Disk + Send + 'static>(log: &WalThread<D>, writers: usize, commits: usize) {
    thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                for _ in 0..commits {
                    log.append(1, &[7; PAYLOAD], Room::Ordinary).wait().expect("durable");
                }
            });
        }
    });
}

fn options() -> Options {
    Options { segment_bytes: SEGMENT, ..Options::new(HostId(Digest::of(b"bench"))) }
}

fn open_log(folder: &Path, backend: Backend) -> Wal<Box<dyn Disk + Send>> {
    Wal::open(open_disk(folder, backend).expect("a disk"), &options(), None).expect("a log").0
}

fn start(folder: &Path, backend: Backend) -> WalThread<Box<dyn Disk + Send>> {
    WalThread::start(open_log(folder, backend), open_disk(folder, backend).expect("a disk"))
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
