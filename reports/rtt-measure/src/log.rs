//! The trial log: append-only JSON lines, the only state of a run.
//!
//! Each line is `{"parent":P,"check":C,"record":R}` and a newline. `P` is the digest of the line before it (BLAKE3 of
//! its bytes without the newline; of nothing for the first), `C` the digest of `P`'s text and `R`'s bytes. The digest
//! of a trial is the digest of its line.
//!
//! LOG-1  A record that was acknowledged is found again after a crash at any byte of a later append.
//! LOG-2  A torn tail, which is a last line without its newline, is cut, and said.
//! LOG-3  Any other damage, and any line dropped, repeated or moved, is refused with the line's number; nothing is
//!        written to a damaged log.
//! LOG-4  After a failed write or sync the writer takes no more records.

use crate::Record;
use rtt_seal::Digest;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

/// Why a log cannot be read or extended.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be opened, read or synced.
    #[error("trial log {}: {doing} failed", path.display())]
    Io {
        /// The log.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process writes to it.
    #[error("trial log {}: another process is writing to it; wait for it or stop it", path.display())]
    Busy {
        /// The log.
        path: PathBuf,
    },
    /// A line is not what was written.
    #[error("trial log {}: line {line} is damaged ({reason}); it was left as it is: restore it from a copy, or start a new run", path.display())]
    Damaged {
        /// The log.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// An earlier append failed.
    #[error("trial log {}: an earlier append failed, so nothing more is written; resume the run to continue from what was kept", path.display())]
    Poisoned {
        /// The log.
        path: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    parent: Digest,
    check: Digest,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// A log as it was found.
#[derive(Debug)]
pub struct Opened {
    /// Its records in order, each with the digest of its line.
    pub records: Vec<(Digest, Record)>,
    /// BLAKE3 of the file's bytes, a torn tail included.
    pub digest: Digest,
    /// Bytes of a torn tail behind them: 0 for a log that was closed in peace.
    pub torn_bytes: usize,
    tip: Digest,
    whole_bytes: usize,
}

fn check_of(parent: &Digest, record: &str) -> Digest {
    Digest::of(format!("{parent}{record}").as_bytes())
}

/// LOG-2 and LOG-3: reads the lines of `bytes`; `path` is for the errors.
fn scan(path: &Path, bytes: &[u8]) -> Result<Opened, LogError> {
    let whole_bytes = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let mut tip = Digest::of(b"");
    let mut records = Vec::new();
    for (index, line) in bytes[..whole_bytes].split_inclusive(|&b| b == b'\n').enumerate() {
        let line = &line[..line.len() - 1];
        let damaged = |reason: String| LogError::Damaged { path: path.to_path_buf(), line: index + 1, reason };
        let parsed: Line = serde_json::from_slice(line).map_err(|e| damaged(e.to_string()))?;
        if parsed.parent != tip {
            return Err(damaged("it does not follow the line before it".into()));
        }
        if parsed.check != check_of(&parsed.parent, parsed.record.get()) {
            return Err(damaged("its bytes do not match its check".into()));
        }
        let record = serde_json::from_str(parsed.record.get()).map_err(|e| damaged(e.to_string()))?;
        tip = Digest::of(line);
        records.push((tip, record));
    }
    Ok(Opened { records, digest: Digest::of(bytes), torn_bytes: bytes.len() - whole_bytes, tip, whole_bytes })
}

/// Reads a log without changing it.
///
/// # Errors
/// [`LogError::Io`], [`LogError::Damaged`].
pub fn read_log(path: &Path) -> Result<Opened, LogError> {
    let bytes = std::fs::read(path).map_err(|source| LogError::Io { path: path.into(), doing: "reading", source })?;
    scan(path, &bytes)
}

/// The one writer of a log; it holds an advisory lock on the file.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    file: File,
    tip: Digest,
    poisoned: bool,
}

impl LogWriter {
    /// Opens the log at `path`, or creates it; cuts a torn tail.
    ///
    /// # Errors
    /// [`LogError::Busy`] when another process has it open for writing, [`LogError::Damaged`], [`LogError::Io`].
    pub fn open(path: &Path) -> Result<(LogWriter, Opened), LogError> {
        let failed = |doing| move |source: io::Error| LogError::Io { path: path.into(), doing, source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed("opening"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(LogError::Busy { path: path.into() }),
            locked => locked.map_err(|e| failed("locking")(e.into()))?,
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("reading"))?;
        let opened = scan(path, &bytes)?;
        if opened.torn_bytes > 0 {
            file.set_len(opened.whole_bytes as u64).map_err(failed("cutting the torn tail"))?;
        }
        file.seek(io::SeekFrom::Start(opened.whole_bytes as u64)).map_err(failed("seeking"))?;
        file.sync_all().map_err(failed("syncing"))?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("syncing the folder"))?;
        }
        Ok((LogWriter { path: path.into(), file, tip: opened.tip, poisoned: false }, opened))
    }

    /// Appends one record and returns once it is on the disk, with the digest of its line.
    ///
    /// # Errors
    /// [`LogError::Io`] when it is not known to be on the disk; from then on [`LogError::Poisoned`] (LOG-4).
    pub fn append(&mut self, record: &Record) -> Result<Digest, LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned { path: self.path.clone() });
        }
        let record = serde_json::value::to_raw_value(record).expect("a record is JSON");
        let line = Line { parent: self.tip, check: check_of(&self.tip, record.get()), record: &record };
        let mut bytes = serde_json::to_vec(&line).expect("a line is JSON");
        let digest = Digest::of(&bytes);
        bytes.push(b'\n');
        // LOG-1: nothing is acknowledged before it is on the disk.
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            self.poisoned = true;
            return Err(LogError::Io { path: self.path.clone(), doing: "appending", source });
        }
        self.tip = digest;
        Ok(digest)
    }

    /// Digest of the last line: what names the whole log.
    pub fn tip(&self) -> Digest {
        self.tip
    }
}

impl Opened {
    /// Digest of the last line: what names the whole log.
    pub fn tip(&self) -> Digest {
        self.tip
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CapacityRecord;
    use rtt_profile::Knobs;
    use rtt_units::Nanos;

    fn record(per_s: u64) -> Record {
        let knobs = Knobs::default_for(Nanos::from_micros(60));
        Record::Capacity(CapacityRecord { scenario: "busy".into(), per_s, knobs })
    }

    /// A log of three records and the offsets at which each ends.
    fn three_records() -> (Vec<u8>, Vec<usize>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trials.jsonl");
        let (mut log, found) = LogWriter::open(&path).expect("a new log");
        assert!(found.records.is_empty());
        let mut ends = Vec::new();
        for per_s in 1..=3 {
            log.append(&record(per_s)).expect("appended");
            ends.push(std::fs::metadata(&path).expect("the log").len() as usize);
        }
        (std::fs::read(&path).expect("the log"), ends)
    }

    fn open(bytes: &[u8]) -> Result<usize, LogError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trials.jsonl");
        std::fs::write(&path, bytes).expect("a file");
        match LogWriter::open(&path) {
            Ok((mut log, opened)) => {
                log.append(&record(9)).expect("a recovered log takes records");
                let again = read_log(&path).expect("a recovered log is whole");
                assert_eq!(again.records.len(), opened.records.len() + 1);
                Ok(opened.records.len())
            }
            Err(error) => {
                assert_eq!(std::fs::read(&path).expect("the log"), bytes, "LOG-3: evidence is kept");
                Err(error)
            }
        }
    }

    #[test]
    fn log_1_a_cut_at_any_byte_keeps_the_whole_records_before_it() {
        let (image, ends) = three_records();
        for at in 0..=image.len() {
            let whole = ends.iter().filter(|&&end| end <= at).count();
            assert_eq!(open(&image[..at]).expect("LOG-2: a torn tail is cut"), whole, "cut at byte {at}");
        }
    }

    #[test]
    fn log_3_a_flip_of_any_byte_is_refused_or_cuts_only_the_last_line() {
        let (image, ends) = three_records();
        for at in 0..image.len() {
            let mut flipped = image.clone();
            flipped[at] ^= 1;
            let in_last_newline = at == ends[2] - 1;
            match open(&flipped) {
                Ok(records) => assert!(in_last_newline && records == 2, "flip at byte {at} kept {records}"),
                Err(error) => assert!(matches!(error, LogError::Damaged { .. }), "{error}"),
            }
        }
    }

    #[test]
    fn log_3_a_line_dropped_repeated_or_swapped_is_refused() {
        let (image, ends) = three_records();
        let lines = [&image[..ends[0]], &image[ends[0]..ends[1]], &image[ends[1]..]];
        for order in [&[1, 2][..], &[0, 2], &[0, 0, 1, 2], &[0, 2, 1], &[1, 0, 2]] {
            let spliced: Vec<u8> = order.iter().flat_map(|&i| lines[i].to_vec()).collect();
            assert!(matches!(open(&spliced), Err(LogError::Damaged { .. })), "{order:?}");
        }
        assert_eq!(open(&[lines[0], lines[1], lines[2]].concat()).expect("the whole log"), 3);
    }

    /// LOG-4: a full disk is met with an error, then with refusal, and the log stays readable.
    #[test]
    fn log_4_after_a_failed_append_nothing_more_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trials.jsonl");
        let (mut log, _) = LogWriter::open(&path).expect("a new log");
        log.append(&record(1)).expect("appended");
        log.file = File::open(&path).expect("a handle that cannot write");
        assert!(matches!(log.append(&record(2)), Err(LogError::Io { .. })));
        assert!(matches!(log.append(&record(3)), Err(LogError::Poisoned { .. })));
        assert_eq!(read_log(&path).expect("readable").records.len(), 1);
    }

    #[test]
    fn a_second_writer_is_refused_while_the_first_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trials.jsonl");
        let first = LogWriter::open(&path).expect("a new log");
        assert!(matches!(LogWriter::open(&path), Err(LogError::Busy { .. })));
        drop(first);
        LogWriter::open(&path).expect("the first is gone");
    }
}
