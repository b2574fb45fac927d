//! The write-ahead log: records in order, each durable once it is acknowledged, none changed unnoticed.
//!
//! A log is a folder of segments, [`format`](mod@format) says how. [`GroupCommit`] decides what is written, without a
//! disk; [`Wal`] carries it out over a [`Disk`], on the caller's thread, [`LocalWal`] there too, for many tasks, and
//! [`WalThread`] on a thread of its own for many threads. The log knows of a record only its kind and its bytes; kind 255
//! is its own, a signed [`Checkpoint`].
//!
//! WAL-8   A log that is shorter than what a witness saw of it, or another, is refused before anything is written.
//!
//! Leaves to others what records mean, when to make a checkpoint, and what time it is.

mod checkpoint;
mod format;
mod group_commit;
mod local_wal;
pub mod merkle;
mod scan;
mod segment_files;
mod wal_thread;
mod witness;

pub use checkpoint::Checkpoint;
pub use format::{BLOCK, CHECKPOINT_KIND, Record};
pub use group_commit::{GROUP_BYTES, Group, GroupCommit, PAYLOAD_MAX, PushError, Room};
pub use local_wal::{LocalPending, LocalWal};
pub use wal_thread::{Pending, WalThread};
pub use witness::{CommandWitness, FileWitness, Witness, WitnessError};

use crate::disk::{Access, Answer, Cause, Disk, DiskError, Request, Token};
use rtt_seal::{Digest, HostId, Sealed, SignError, SigningKey};
use scan::{Scanned, scan};
use segment_files::SegmentFiles;
use std::ops::Range;

/// Folder of a log in its usual place.
pub const WAL_FOLDER: &str = "wal";

/// Where a log is and how it is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Folder of the log, relative to the disk's root.
    pub folder: String,
    /// The host whose log it is.
    pub origin: HostId,
    /// Length of a new segment: whole blocks, and at least four more than the reserve.
    pub segment_bytes: u32,
    /// Bytes that only records of [`Room::Reserve`] may use when no further segment can be made: whole blocks.
    pub reserve_bytes: u32,
}

impl Options {
    /// A log in `wal`, in segments of 4 MiB with a reserve of 64 KiB.
    pub fn new(origin: HostId) -> Options {
        Options { folder: WAL_FOLDER.into(), origin, segment_bytes: 4 << 20, reserve_bytes: 64 << 10 }
    }

    fn check(&self) {
        let block = BLOCK as u32;
        assert!(self.segment_bytes.is_multiple_of(block) && self.reserve_bytes.is_multiple_of(block), "whole blocks");
        assert!(self.segment_bytes >= self.reserve_bytes.saturating_add(4 * block), "a segment holds its reserve");
    }
}

/// A log as it was found.
#[derive(Debug)]
pub struct Opened {
    /// Its records in order.
    pub records: Vec<Record>,
    /// Digest of the last record, or what the first will name as its parent.
    pub tip: Digest,
    /// What was cut, if a write was torn.
    pub torn: Option<Torn>,
}

impl From<Scanned> for Opened {
    fn from(scanned: Scanned) -> Opened {
        Opened { records: scanned.records, tip: scanned.end.tip, torn: scanned.torn }
    }
}

impl Opened {
    /// Digests of the records: leaves of the Merkle tree, for proofs.
    pub fn digests(&self) -> Vec<Digest> {
        self.records.iter().map(|record| record.digest).collect()
    }
}

/// The end of a log that was being written when the writer stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment.
    pub path: String,
    /// Where the log's whole records end in it, or where the segment itself does.
    pub offset: u64,
    /// Bytes from the first that is not zero to the last.
    pub bytes: u64,
    /// Number of the record that was being written.
    pub record: u64,
}

impl std::fmt::Display for Torn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Torn { path, offset, bytes, record } = self;
        write!(
            f,
            "{path}: torn tail of {bytes} bytes at byte {offset}, from record {record} on; it was never acknowledged"
        )
    }
}

/// Damage that no crash explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub path: String,
    /// First byte in it that is not as it must be.
    pub offset: u64,
    /// Number of the record that should stand there.
    pub record: u64,
    /// What is wrong.
    pub reason: String,
}

/// Why a log is not opened. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk failed.
    #[error("the log cannot be read or repaired")]
    Disk(#[from] DiskError),
    /// Another process writes to it.
    #[error("{path}: another process is writing to the log; wait for it or stop it")]
    Busy {
        /// The lock's file.
        path: String,
    },
    /// The log is damaged in its middle.
    #[error(
        "{}: damaged at byte {}, record {}: {}; the log was left as it is: restore it from a copy",
        .0.path, .0.offset, .0.record, .0.reason
    )]
    Damaged(Damage),
    /// It is the log of another host.
    #[error("{path}: the log is of host {found}, expected {expected}")]
    OtherOrigin {
        /// The segment.
        path: String,
        /// The host that it names.
        found: HostId,
        /// This host.
        expected: HostId,
    },
    /// It was written by another version.
    #[error("{path}: the log has version {found}, expected 1")]
    Version {
        /// The segment.
        path: String,
        /// Its version.
        found: u32,
    },
    /// The log lost its end.
    #[error("the log has {found} records, but {witnessed} were witnessed: its end was cut off, or it is an old copy")]
    Shorter {
        /// Whole records found.
        found: u64,
        /// Records that the witness saw.
        witnessed: u64,
    },
    /// The log is not the one that was witnessed.
    #[error("the first {witnessed} records of the log are not those that were witnessed: its history was rewritten")]
    Rewritten {
        /// Records that the witness saw.
        witnessed: u64,
    },
}

/// Why a record is not known to be durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// It does not fit into a segment. Nothing was written.
    #[error("a record of {bytes} bytes cannot be appended, expected at most {limit}")]
    TooLarge {
        /// Bytes of the payload.
        bytes: usize,
        /// Most bytes that a payload may have.
        limit: usize,
    },
    /// The disk is full. Nothing was written, and the log goes on when there is room again.
    #[error("segment {segment} of the log cannot be made, the record was not appended")]
    NoSpace {
        /// The segment.
        segment: u32,
        /// Why.
        source: DiskError,
    },
    /// A write or a sync failed, now or before: nothing more is written until the log is opened again.
    #[error("the log took no more records after a failure; open it again to go on from what is durable")]
    Poisoned(#[source] DiskError),
}

/// Why there is no new checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be signed.
    #[error("the checkpoint cannot be signed")]
    Sign(#[from] SignError),
    /// It is not in the log.
    #[error("the checkpoint cannot be appended to the log")]
    Append(#[from] AppendError),
    /// It is in the log, but the witness may not have it.
    #[error("the checkpoint is in the log, but was not witnessed")]
    Witness(#[from] WitnessError),
}

/// Reads a log without changing it, also while another process writes to it: what is being written may then count as torn.
///
/// # Errors
/// [`OpenError`]; a log that does not exist is [`OpenError::Disk`].
pub fn read_log(disk: impl Disk, options: &Options) -> Result<Opened, OpenError> {
    let mut files = SegmentFiles::new(disk, &options.folder);
    let mut found = scan(&mut files, options);
    // A writer may go on between two reads, so that a later one finds what follows records that an earlier one came too
    // soon for. Those were durable before, and the next scan has them: damage that it finds as it was is the log's own.
    while let Err(OpenError::Damaged(before)) = &found {
        let again = scan(&mut files, options);
        if matches!(&again, Err(OpenError::Damaged(after)) if after == before) {
            return again.map(Opened::from);
        }
        found = again;
    }
    found.map(Opened::from)
}

/// WAL-8: whether the log that was found goes on from `witnessed`.
///
/// # Errors
/// [`OpenError::Shorter`], [`OpenError::Rewritten`], [`OpenError::OtherOrigin`].
pub fn check_witnessed(records: &[Record], options: &Options, witnessed: &Checkpoint) -> Result<(), OpenError> {
    if witnessed.origin != options.origin {
        let (found, expected) = (witnessed.origin, options.origin);
        return Err(OpenError::OtherOrigin { path: "the witness".into(), found, expected });
    }
    let found = records.len() as u64;
    if found < witnessed.size {
        return Err(OpenError::Shorter { found, witnessed: witnessed.size });
    }
    let digests: Vec<Digest> = records[..witnessed.size as usize].iter().map(|record| record.digest).collect();
    let tip = digests.last().copied().unwrap_or_else(|| format::genesis(&options.origin));
    if (merkle::root(&digests), tip) != (witnessed.root, witnessed.tip) {
        return Err(OpenError::Rewritten { witnessed: witnessed.size });
    }
    Ok(())
}

/// The one writer of a log, on its caller's thread. It holds the lock of the log's folder.
#[derive(Debug)]
pub struct Wal<D> {
    commit: GroupCommit,
    files: SegmentFiles<D>,
    options: Options,
    in_flight: Option<Token>,
}

impl<D: Disk> Wal<D> {
    /// Opens the log, or makes an empty one; cuts a torn tail. `witnessed` is the last checkpoint that a witness has.
    ///
    /// # Errors
    /// [`OpenError`]. A log that is refused was not changed.
    pub fn open(disk: D, options: &Options, witnessed: Option<&Checkpoint>) -> Result<(Wal<D>, Opened), OpenError> {
        options.check();
        let mut files = SegmentFiles::new(disk, &options.folder);
        files.disk.run(Request::CreateDirectory { path: options.folder.clone() })?;
        hold(&mut files.disk, &options.folder)?;
        let scanned = scan(&mut files, options)?;
        if let Some(witnessed) = witnessed {
            check_witnessed(&scanned.records, options, witnessed)?;
        }
        files.remove_unfinished()?;
        for (segment, range) in &scanned.clear {
            files.clear(*segment, range.start, range.end)?; // WAL-3
        }
        if let Some((segment, range)) = scanned.last_group.clone() {
            // WAL-2: a writer that was killed, or whose sync failed, may have left its last group with the kernel alone, in
            // pages that count as clean. Written once more it is on the disk before anybody counts on it.
            files.rewrite(segment, range.start, range.end)?;
        }
        // Names may be known to the kernel alone, when the writer before us stopped in between.
        files.disk.run(Request::SyncDirectory { path: options.folder.clone() })?;
        files.disk.run(Request::SyncDirectory { path: String::new() })?;
        let Scanned { records, end, torn, .. } = scanned;
        let opened = Opened { records, tip: end.tip, torn };
        if end.offset == 0 && files.list()?.is_empty() {
            files.make(0, options.segment_bytes as usize)?;
        }
        let commit =
            GroupCommit::new(options.origin, options.segment_bytes as usize, options.reserve_bytes as usize, end);
        Ok((Wal { commit, files, options: options.clone(), in_flight: None }, opened))
    }

    /// Appends one record and returns its number once it is durable.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append(&mut self, kind: u8, payload: &[u8], room: Room) -> Result<u64, AppendError> {
        let sequence = self.push(kind, payload, room)?;
        self.flush()?;
        Ok(sequence)
    }

    /// Takes a record into the group that is written next, and returns its number. It is not durable yet.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn push(&mut self, kind: u8, payload: &[u8], room: Room) -> Result<u64, AppendError> {
        loop {
            match self.commit.push(kind, payload, room) {
                Ok(sequence) => return Ok(sequence),
                Err(PushError::NeedsSegment) => self.make_segment()?,
                Err(PushError::TooLarge { bytes, limit }) => return Err(AppendError::TooLarge { bytes, limit }),
                Err(PushError::Poisoned(failure)) => return Err(AppendError::Poisoned(failure)),
            }
        }
    }

    /// Begins to write the next group; `None` while one is in flight or when nothing was pushed.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`].
    pub fn start(&mut self) -> Result<Option<Token>, AppendError> {
        if let Some(failure) = self.commit.failure() {
            return Err(AppendError::Poisoned(failure.clone()));
        }
        let Some(group) = self.commit.next_group() else { return Ok(None) };
        let request = self.files.request(group).map_err(|error| self.poison(error))?;
        self.in_flight = Some(self.files.disk.submit(request));
        Ok(self.in_flight)
    }

    /// What the group in flight ended with, for who takes the disk's completions itself: its records are durable.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`] (WAL-5).
    ///
    /// # Panics
    /// When no group is in flight.
    pub fn completed(&mut self, result: Result<Answer, DiskError>) -> Result<Range<u64>, AppendError> {
        self.in_flight.take().expect("a group is in flight");
        let answer = result.map_err(|error| self.poison(error))?;
        let records = self.commit.committed(answer.bytes());
        if self.commit.wants_segment().is_some() {
            // What was acknowledged is durable, whatever comes of this. A full disk is told when somebody needs the
            // segment; any other failure has poisoned the log, which the next record is told.
            let _ = self.make_segment();
        }
        Ok(records)
    }

    /// Waits for the group in flight; `None` when there is none.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`].
    pub fn finish(&mut self) -> Result<Option<Range<u64>>, AppendError> {
        let Some(token) = self.in_flight else { return Ok(None) };
        let result = self.files.disk.wait(token);
        self.completed(result).map(Some)
    }

    /// Writes all that was pushed; it is durable when this returns.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`].
    pub fn flush(&mut self) -> Result<(), AppendError> {
        self.finish()?;
        while self.start()?.is_some() {
            self.finish()?;
        }
        Ok(())
    }

    /// Signs the state of the log, appends it as a record, and then has it witnessed.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn checkpoint(
        &mut self,
        key: &SigningKey,
        witness: &mut dyn Witness,
    ) -> Result<Sealed<Checkpoint>, CheckpointError> {
        let sealed = Sealed::sign(&self.state().payload(), key)?;
        self.append(CHECKPOINT_KIND, sealed.as_bytes(), Room::Reserve)?;
        witness.remember(&sealed)?;
        Ok(sealed)
    }

    /// The state of the log, with what was pushed and is not durable yet.
    pub fn state(&mut self) -> Checkpoint {
        state(&mut self.commit, &self.options)
    }

    /// Number of records that are durable.
    pub fn acknowledged(&self) -> u64 {
        self.commit.acknowledged()
    }

    /// The disk, for who shares it with the log.
    pub fn disk(&mut self) -> &mut D {
        &mut self.files.disk
    }

    fn make_segment(&mut self) -> Result<(), AppendError> {
        let segment = self.commit.next_segment();
        let bytes = self.options.segment_bytes as usize;
        match self.files.make(segment, bytes) {
            Ok(()) => {
                self.commit.segment_made(bytes);
                Ok(())
            }
            Err(source) if source.is_no_space() => Err(AppendError::NoSpace { segment, source }),
            Err(error) => Err(self.poison(error)),
        }
    }

    /// WAL-5
    fn poison(&mut self, error: DiskError) -> AppendError {
        self.commit.failed(error.clone());
        AppendError::Poisoned(error)
    }
}

fn state(commit: &mut GroupCommit, options: &Options) -> Checkpoint {
    let (size, tip) = commit.tip();
    Checkpoint { origin: options.origin, size, root: commit.root(), tip }
}

/// Takes the lock of the log in `folder` for who must not meet its writer; it ends with the disk, or with this process.
///
/// # Errors
/// [`OpenError::Busy`], [`OpenError::Disk`].
pub fn hold(disk: &mut impl Disk, folder: &str) -> Result<(), OpenError> {
    let path = format!("{folder}/lock");
    let file = match disk.run(Request::Create { path: path.clone() }) {
        Err(error) if error.is_existing() => disk.run(Request::Open { path: path.clone(), access: Access::Write })?,
        created => created?,
    };
    match disk.run(Request::Lock { file: file.opened() }) {
        Err(DiskError { cause: Cause::WOULD_BLOCK, .. }) => Err(OpenError::Busy { path }),
        locked => Ok(locked.map(drop)?),
    }
}
