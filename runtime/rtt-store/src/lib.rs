//! The store: objects by their digest and a write-ahead log, both over one [`Disk`].
//!
//! Everything that reaches a disk goes through [`Disk`], submit-and-complete, so that the code that runs in production
//! runs as it is over a disk that a test made: one that tears, forgets, fails or rots.
//!
//! Not here: what a record of the log means, and which objects a state names. Those are their owners' bytes.

pub mod cas;
mod disk;
mod file_disk;
mod probe;
mod uring_disk;
pub mod wal;

pub use disk::{
    Access, Answer, Cause, Counters, Counts, Disk, DiskError, Entry, EntryKind, FileId, Request, Stat, Token,
};
pub use file_disk::FileDisk;
pub use probe::{Backend, Probed, open_disk, probe};
pub use uring_disk::UringDisk;
