//! One round of another store, timed by itself: `rtt-store-peers PEER FOLDER WRITERS COMMITS RECORDS BYTES` prints nanoseconds.
//!
//! Each of `WRITERS` threads makes `COMMITS` commits of `RECORDS` records of `BYTES` bytes (at least 8), each commit durable before the
//! next; of `cacache`, which never syncs, a record is an object of its own. Opening and making files is not counted. The
//! folder is the caller's, empty, and stays.

use raft_engine::{Config, Engine, LogBatch, ReadableSize, Version};
use rusqlite::Connection;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: rtt-store-peers cacache|raft-engine|sqlite FOLDER WRITERS COMMITS RECORDS BYTES";

/// What is asked of a peer.
#[derive(Clone, Copy)]
struct Load {
    writers: usize,
    commits: usize,
    records: usize,
    bytes: usize,
}

impl Load {
    /// Makes `bytes` those of one record: they differ from those of every other.
    fn number(&self, bytes: &mut [u8], writer: usize, commit: usize, record: usize) {
        let number = (writer * self.commits + commit) * self.records + record;
        bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    }

    /// Time until every writer has made its commits, each by `commit(buffer, writer, commit)`.
    fn timed(&self, commit: impl Fn(&mut [u8], usize, usize) + Sync) -> Duration {
        let commit = &commit;
        let begin = Instant::now();
        thread::scope(|scope| {
            for writer in 0..self.writers {
                scope.spawn(move || {
                    let mut buffer = vec![7; self.bytes];
                    (0..self.commits).for_each(|index| commit(&mut buffer, writer, index));
                });
            }
        });
        begin.elapsed()
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<usize> = words.iter().skip(2).map_while(|word| word.parse().ok()).collect();
    let (Some(peer), Some(folder), &[writers, commits, records, bytes]) = (words.first(), words.get(1), &numbers[..])
    else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let (folder, load) = (Path::new(folder), Load { writers, commits, records, bytes: bytes.max(8) });
    let elapsed = match peer.as_str() {
        "cacache" => cacache(folder, load),
        "raft-engine" => raft_engine(folder, load),
        "sqlite" => sqlite(folder, load),
        other => {
            eprintln!("unknown peer `{other}`; {USAGE}");
            return ExitCode::from(2);
        }
    };
    println!("{}", elapsed.as_nanos());
    ExitCode::SUCCESS
}

/// A row for each record, in a WAL that is synced at each commit. The writers share a connection: SQLite has one writer at a
/// time, and threads that wait for a lock of ours lose less than those that poll for its own.
fn sqlite(folder: &Path, load: Load) -> Duration {
    let connection = Connection::open(folder.join("peer.sqlite")).expect("a database");
    connection.pragma_update(None, "journal_mode", "WAL").expect("a WAL");
    connection.pragma_update(None, "synchronous", "FULL").expect("synchronous");
    connection.execute("CREATE TABLE log (sequence INTEGER PRIMARY KEY, payload BLOB)", ()).expect("a table");
    let connection = Mutex::new(connection);
    load.timed(|bytes, writer, commit| {
        let mut connection = connection.lock().expect("no writer panicked");
        let transaction = connection.transaction().expect("a transaction");
        for record in 0..load.records {
            let mut insert = transaction.prepare_cached("INSERT INTO log (payload) VALUES (?1)").expect("a statement");
            load.number(bytes, writer, commit, record);
            insert.execute([&*bytes]).expect("a row");
        }
        transaction.commit().expect("durable");
    })
}

/// A key for each record, one batch for each commit; files are filled beforehand, as ours are.
fn raft_engine(folder: &Path, load: Load) -> Duration {
    let config = Config {
        dir: folder.join("peer.raft").to_str().expect("a path that is text").to_owned(),
        format_version: Version::V2,
        target_file_size: ReadableSize::mb(16),
        purge_threshold: ReadableSize::mb(64),
        enable_log_recycle: true,
        prefill_for_recycle: true,
        batch_compression_threshold: ReadableSize(0),
        ..Config::default()
    };
    let engine = Engine::open(config).expect("an engine");
    load.timed(|bytes, writer, commit| {
        let mut batch = LogBatch::default();
        for record in 0..load.records {
            let key = ((commit * load.records + record) as u64).to_le_bytes().to_vec();
            load.number(bytes, writer, commit, record);
            batch.put(writer as u64 + 1, key, bytes.to_vec()).expect("a key");
        }
        engine.write(&mut batch, true).expect("durable");
    })
}

/// An object for each record, by its SHA-256.
fn cacache(folder: &Path, load: Load) -> Duration {
    load.timed(|bytes, writer, commit| {
        for record in 0..load.records {
            load.number(bytes, writer, commit, record);
            cacache::write_hash_sync(folder, &*bytes).expect("an object");
        }
    })
}
