//! What the store asks of a disk: requests are submitted, and complete later.
//!
//! All paths are relative to the store's root, with `/` between their parts. A request owns its buffer, and its answer
//! gives it back, so that a buffer outlives the kernel's use of it and is used again.
//!
//! Leaves to the caller which order makes a change durable: nothing is synced that was not asked for.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A disk, or what a test says is one. Never retries: what fails is told, and the caller decides.
pub trait Disk {
    /// Begins a request. It may be carried out before this returns; it is told by [`Disk::complete`] or [`Disk::wait`].
    ///
    /// Requests that are in flight together may be carried out in any order.
    fn submit(&mut self, request: Request) -> Token;

    /// Waits for the next completion; `None` when nothing is in flight.
    fn complete(&mut self) -> Option<(Token, Result<Answer, DiskError>)>;

    /// Waits for the completion of one request; others that complete meanwhile are kept for [`Disk::complete`].
    ///
    /// # Errors
    /// [`DiskError`], what the request ended with.
    ///
    /// # Panics
    /// When `token` is not in flight.
    fn wait(&mut self, token: Token) -> Result<Answer, DiskError>;

    /// Carries out one request, whatever else is in flight.
    ///
    /// # Errors
    /// [`DiskError`], what the request ended with.
    fn run(&mut self, request: Request) -> Result<Answer, DiskError> {
        let token = self.submit(request);
        self.wait(token)
    }

    /// Another descriptor of an open file, for readers outside of the store; `None` where no kernel has the file.
    fn descriptor(&mut self, file: FileId) -> Option<io::Result<File>> {
        let _ = file;
        None
    }

    /// What this disk has asked of the kernel so far; `None` where there is no kernel to ask.
    fn counters(&self) -> Option<Arc<Counters>> {
        None
    }
}

/// Names a request from its submission to its completion. Never used twice by one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// An open file of one disk, until it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

/// What is asked of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Makes a new, empty file, open for reading and writing; one that exists is `EEXIST`. Answers [`Answer::Opened`].
    Create {
        /// The file.
        path: String,
    },
    /// Opens a file; a symbolic link is `ELOOP`. Answers [`Answer::Opened`].
    Open {
        /// The file.
        path: String,
        /// What for.
        access: Access,
    },
    /// Forgets an open file. Syncs nothing.
    Close {
        /// The file.
        file: FileId,
    },
    /// Takes the file's advisory lock, which ends with the file's last descriptor; held by another it is `EWOULDBLOCK`.
    Lock {
        /// The file.
        file: FileId,
    },
    /// Takes the file's advisory lock beside others that share it; waits while one holds it alone.
    LockShared {
        /// The file.
        file: FileId,
    },
    /// Gives the file's advisory lock back.
    Unlock {
        /// The file.
        file: FileId,
    },
    /// Reads `len` bytes, fewer only at the end of the file. Answers [`Answer::Read`].
    Read {
        /// The file.
        file: FileId,
        /// First byte.
        offset: u64,
        /// Bytes asked for.
        len: usize,
        /// Where they go; what it held is dropped.
        buffer: Vec<u8>,
    },
    /// Writes all the bytes, in as many writes as it takes. Answers [`Answer::Written`].
    Write {
        /// The file.
        file: FileId,
        /// First byte.
        offset: u64,
        /// What is written.
        bytes: Vec<u8>,
    },
    /// Writes all the bytes in one write and then syncs the file's data. A short write is an error, and then nothing is
    /// synced. Answers [`Answer::Written`].
    WriteSync {
        /// The file.
        file: FileId,
        /// First byte.
        offset: u64,
        /// What is written.
        bytes: Vec<u8>,
    },
    /// Makes the file's data and length durable.
    Sync {
        /// The file.
        file: FileId,
    },
    /// Makes everything in the store's file system durable, in one call.
    SyncAll,
    /// Answers [`Answer::Length`].
    Length {
        /// The file.
        file: FileId,
    },
    /// Cuts the file, or lengthens it with a hole.
    SetLength {
        /// The file.
        file: FileId,
        /// Its length afterwards.
        bytes: u64,
    },
    /// Sets the permissions of the file.
    SetMode {
        /// The file.
        file: FileId,
        /// The permission bits.
        mode: u32,
    },
    /// What stands at a path, `ENOENT` when nothing does. Answers [`Answer::Stat`].
    Stat {
        /// The path.
        path: String,
    },
    /// Makes a directory; that it exists already is no error. Its parent must exist.
    CreateDirectory {
        /// The directory.
        path: String,
    },
    /// Makes the names in a directory durable. The empty path is the root.
    SyncDirectory {
        /// The directory.
        path: String,
    },
    /// The names in a directory, sorted. Answers [`Answer::Names`].
    List {
        /// The directory.
        path: String,
    },
    /// Gives a file another name; what stood there is replaced in the same step.
    Rename {
        /// Its name.
        from: String,
        /// Its name afterwards.
        to: String,
    },
    /// Removes a file's name.
    Remove {
        /// The file.
        path: String,
    },
    /// Removes an empty directory.
    RemoveDirectory {
        /// The directory.
        path: String,
    },
}

/// What a request ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done; there is nothing to tell.
    Done,
    /// The file is open.
    Opened(FileId),
    /// What was read.
    Read(Vec<u8>),
    /// All was written; the buffer comes back.
    Written(Vec<u8>),
    /// Length of the file in bytes.
    Length(u64),
    /// What stands at the path.
    Stat(Stat),
    /// Names in a directory, sorted.
    Names(Vec<Entry>),
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: EntryKind,
    /// Length in bytes; of a file only.
    pub bytes: u64,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The last part of its path.
    pub name: String,
    /// What it names.
    pub kind: EntryKind,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else; the store made none of these.
    Other,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {operation} failed: {cause}")]
pub struct DiskError {
    /// What was tried, as a verb: `write`, `sync`.
    pub operation: &'static str,
    /// The file or directory.
    pub path: String,
    /// Why.
    pub cause: Cause,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The kernel's error number.
    Errno(i32),
    /// Fewer bytes were written than asked for.
    Short {
        /// Bytes written.
        written: usize,
        /// Bytes asked for.
        expected: usize,
    },
}

impl Cause {
    /// Nothing stands at the path.
    pub const MISSING: Cause = Cause::Errno(rustix::io::Errno::NOENT.raw_os_error());
    /// Something stands at the path.
    pub const EXISTS: Cause = Cause::Errno(rustix::io::Errno::EXIST.raw_os_error());
    /// The disk is full.
    pub const NO_SPACE: Cause = Cause::Errno(rustix::io::Errno::NOSPC.raw_os_error());
    /// The file would be longer than it may be.
    pub const TOO_LARGE: Cause = Cause::Errno(rustix::io::Errno::FBIG.raw_os_error());
    /// The device failed.
    pub const INPUT_OUTPUT: Cause = Cause::Errno(rustix::io::Errno::IO.raw_os_error());
    /// Another holds the lock.
    pub const WOULD_BLOCK: Cause = Cause::Errno(rustix::io::Errno::WOULDBLOCK.raw_os_error());
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Cause::Errno(errno) => write!(f, "{}", io::Error::from_raw_os_error(errno)),
            Cause::Short { written, expected } => write!(f, "{written} of {expected} bytes were written"),
        }
    }
}

impl DiskError {
    /// Whether nothing stands at the path.
    pub fn is_missing(&self) -> bool {
        self.cause == Cause::MISSING
    }

    /// Whether something stands at the path already.
    pub fn is_existing(&self) -> bool {
        self.cause == Cause::EXISTS
    }

    /// Whether the disk is full: no blocks, no quota, or a limit on the file.
    pub fn is_no_space(&self) -> bool {
        use rustix::io::Errno;
        let full = [Errno::NOSPC, Errno::DQUOT, Errno::FBIG];
        matches!(self.cause, Cause::Errno(errno) if full.iter().any(|full| full.raw_os_error() == errno))
    }
}

/// The answer was of another kind than the request: the disk's own mistake, never the input's.
fn misanswered(expected: &str, answer: &Answer) -> ! {
    panic!("the disk answered {answer:?}, expected {expected}")
}

impl Answer {
    /// The file that was opened.
    pub fn opened(self) -> FileId {
        if let Answer::Opened(file) = self { file } else { misanswered("an open file", &self) }
    }

    /// The buffer of a read or a write.
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Answer::Read(bytes) | Answer::Written(bytes) => bytes,
            other => misanswered("a buffer", &other),
        }
    }

    /// Length of the file.
    pub fn length(self) -> u64 {
        if let Answer::Length(bytes) = self { bytes } else { misanswered("a length", &self) }
    }

    /// What stands at the path.
    pub fn stat(self) -> Stat {
        if let Answer::Stat(stat) = self { stat } else { misanswered("what stands at a path", &self) }
    }

    /// Names in a directory.
    pub fn names(self) -> Vec<Entry> {
        if let Answer::Names(names) = self { names } else { misanswered("names", &self) }
    }
}

impl<D: Disk + ?Sized> Disk for &mut D {
    fn submit(&mut self, request: Request) -> Token {
        (**self).submit(request)
    }

    fn complete(&mut self) -> Option<(Token, Result<Answer, DiskError>)> {
        (**self).complete()
    }

    fn wait(&mut self, token: Token) -> Result<Answer, DiskError> {
        (**self).wait(token)
    }

    fn descriptor(&mut self, file: FileId) -> Option<io::Result<File>> {
        (**self).descriptor(file)
    }

    fn counters(&self) -> Option<Arc<Counters>> {
        (**self).counters()
    }
}

impl<D: Disk + ?Sized> Disk for Box<D> {
    fn submit(&mut self, request: Request) -> Token {
        (**self).submit(request)
    }

    fn complete(&mut self) -> Option<(Token, Result<Answer, DiskError>)> {
        (**self).complete()
    }

    fn wait(&mut self, token: Token) -> Result<Answer, DiskError> {
        (**self).wait(token)
    }

    fn descriptor(&mut self, file: FileId) -> Option<io::Result<File>> {
        (**self).descriptor(file)
    }

    fn counters(&self) -> Option<Arc<Counters>> {
        (**self).counters()
    }
}

/// What a disk has asked of the kernel so far, for tests and telemetry; shared, so that it is read while a thread owns
/// the disk.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) reads: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) data_syncs: AtomicU64,
    pub(crate) directory_syncs: AtomicU64,
    pub(crate) file_system_syncs: AtomicU64,
    pub(crate) renames: AtomicU64,
}

/// [`Counters`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Syncs of one file: fdatasync.
    pub data_syncs: u64,
    /// Syncs of one directory: fsync.
    pub directory_syncs: u64,
    /// Syncs of everything: syncfs.
    pub file_system_syncs: u64,
    /// Renames.
    pub renames: u64,
}

impl Counters {
    /// The counts now. Relaxed: each counter is exact, and who compares two has stopped the disk before.
    pub fn now(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            reads: read(&self.reads),
            writes: read(&self.writes),
            data_syncs: read(&self.data_syncs),
            directory_syncs: read(&self.directory_syncs),
            file_system_syncs: read(&self.file_system_syncs),
            renames: read(&self.renames),
        }
    }
}

/// Counts one call. Relaxed: a counter publishes nothing but itself.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
