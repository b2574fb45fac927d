//! The lock that keeps two measurements from running on one host at once.
//!
//! HOST-5  At most one process of a host holds a measuring lock, and the kernel ends it with the holder.
//!
//! The lock is an advisory `flock` on a directory that every Linux host has and that needs no permission to open for
//! reading, so nothing is written and nothing is left behind. The holder's name is found by the directory's device
//! and inode in `/proc/locks`. Containers that share the host's `/sys` share the lock.

use crate::procfs::text;
use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, fstat, open},
    io::Errno,
};
use std::{
    fmt, fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// The directory that is locked.
pub const MEASURING_LOCK_PLACE: &str = "/sys/devices/system/cpu";

/// Proof that no other measurement runs on the host; dropping it lets the next one in.
#[derive(Debug)]
pub struct MeasuringLock {
    directory: OwnedFd,
}

impl Drop for MeasuringLock {
    fn drop(&mut self) {
        // Closing alone would leave the lock to a child that is between fork and exec just now.
        let _ = flock(&self.directory, FlockOperation::Unlock);
    }
}

/// Who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id; `None` where it is hidden from here (another container).
    pub pid: Option<u32>,
    /// Its command line; `None` where it is hidden from here.
    pub command: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.command) {
            (Some(pid), Some(command)) => write!(f, "process {pid} (`{command}`)"),
            (Some(pid), None) => write!(f, "process {pid}"),
            (None, _) => write!(f, "a process that is hidden from here, in another container"),
        }
    }
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum HeldError {
    /// Another measurement runs.
    #[error("measuring lock on {}: held by {holder}; wait until it ends, or end it", place.display())]
    Held {
        /// The directory.
        place: PathBuf,
        /// Who measures.
        holder: Holder,
    },
    /// The directory cannot be locked.
    #[error("measuring lock on {}: cannot lock; expected a directory that may be read", place.display())]
    Unavailable {
        /// The directory.
        place: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl MeasuringLock {
    /// Takes the host's lock, without waiting.
    ///
    /// # Errors
    /// [`HeldError::Held`] names the measurement that runs.
    pub fn acquire() -> Result<MeasuringLock, HeldError> {
        MeasuringLock::acquire_at(Path::new(MEASURING_LOCK_PLACE))
    }

    /// Takes the lock on another directory: measurements that share a place exclude each other.
    ///
    /// # Errors
    /// As [`MeasuringLock::acquire`].
    pub fn acquire_at(place: &Path) -> Result<MeasuringLock, HeldError> {
        let unavailable = |errno: Errno| HeldError::Unavailable { place: place.into(), source: errno.into() };
        // Close-on-exec: a child that outlived this process would keep the lock with the directory.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(place, flags, Mode::empty()).map_err(unavailable)?;
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(MeasuringLock { directory }), // HOST-5
            Err(Errno::WOULDBLOCK) => {
                let stat = fstat(&directory).map_err(unavailable)?;
                let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
                let locks = text(Path::new("/proc/locks")).unwrap_or_default();
                let pid = holder(&locks, &format!("{major:02x}:{minor:02x}:{}", stat.st_ino));
                let command = pid.and_then(command);
                Err(HeldError::Held { place: place.into(), holder: Holder { pid, command } })
            }
            Err(errno) => Err(unavailable(errno)),
        }
    }
}

/// The process that holds the flock on `identity` (`major:minor:inode`), from rows such as
/// `1: FLOCK  ADVISORY  WRITE 708 00:13:4321 0 EOF`. Rows with `->` are waiters. A pid of 0 or -1 is hidden.
fn holder(locks: &str, identity: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields[..] {
            [_, "FLOCK", _, "WRITE", pid, found, ..] if found == identity => pid.parse().ok().filter(|pid| *pid != 0),
            _ => None,
        }
    })
}

/// The command line of `pid` in one line, cut to what a message can hold.
fn command(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&bytes).replace('\0', " ");
    let line: String = line.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests;
