//! The disk of a directory, with the write and the sync of a group linked through io_uring.
//!
//! Only [`Request::WriteSync`] goes through the ring: a write linked to an fdatasync, two entries and one system call. A
//! short write breaks the link, so that the kernel cancels the sync. All other requests are [`FileDisk`]'s.
//!
//! DISK-1  A buffer that the kernel was given lives until the kernel told that it is done with it.
#![allow(unsafe_code)] // Entries of the ring hold pointers, which nobody but us can answer for.

use crate::disk::{Answer, Counters, Disk, DiskError, FileId, Request, Token, count};
use crate::file_disk::{FileDisk, failed, short};
use io_uring::{IoUring, Probe, opcode, squeue::Flags, types};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

/// Entries of the ring: a log has one group in flight, which is two.
const ENTRIES: u32 = 16;
/// Part of an entry's tag: which of the two it is.
const IS_SYNC: u64 = 1;

/// A directory as a [`Disk`] with io_uring.
pub struct UringDisk {
    files: FileDisk,
    ring: IoUring,
    in_flight: HashMap<Token, Flight>,
    /// Of entries that were told to have failed, but that the kernel may still come to.
    abandoned: HashMap<Token, Flight>,
}

/// A write and its sync, until both are done.
struct Flight {
    path: String,
    bytes: Vec<u8>,
    write: Option<i32>,
    sync: Option<i32>,
}

impl UringDisk {
    /// Opens the directory `root`, which must exist.
    ///
    /// # Errors
    /// [`DiskError`] when it cannot be opened, or when this kernel has no io_uring for us.
    pub fn open(root: &Path) -> Result<UringDisk, DiskError> {
        let files = FileDisk::open(root)?;
        let refused = |error: io::Error| failed("io_uring_setup", &root.display().to_string(), errno_of(&error));
        let ring = IoUring::new(ENTRIES).map_err(refused)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe).map_err(refused)?;
        if !probe.is_supported(opcode::Write::CODE) || !probe.is_supported(opcode::Fsync::CODE) {
            return Err(failed("io_uring_setup", &root.display().to_string(), Errno::OPNOTSUPP));
        }
        Ok(UringDisk { files, ring, in_flight: HashMap::new(), abandoned: HashMap::new() })
    }

    /// What this disk has asked of the kernel so far; an entry of the ring counts as the call that it replaces.
    pub fn counters(&self) -> Arc<Counters> {
        self.files.counters()
    }

    fn submit_write_sync(&mut self, file: FileId, offset: u64, bytes: Vec<u8>) -> Token {
        let token = self.files.next_token();
        let (descriptor, path) = self.files.file(file);
        let fd = types::Fd(descriptor.as_raw_fd());
        let len = u32::try_from(bytes.len()).expect("a write is shorter than 4 GiB");
        let write = opcode::Write::new(fd, bytes.as_ptr(), len).offset(offset).build();
        let sync = opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build();
        let entries = [write.flags(Flags::IO_LINK).user_data(token.0 << 1), sync.user_data(token.0 << 1 | IS_SYNC)];
        let flight = Flight { path: path.to_owned(), bytes, write: None, sync: None };
        // DISK-1: kept before the kernel can know of it. Moving a vector leaves its bytes where they are.
        self.in_flight.insert(token, flight);
        // SAFETY: DISK-1. `in_flight` or `abandoned` keeps the bytes until both completions were taken, also in `drop`;
        // the kernel holds the file itself from the submission on.
        let pushed = unsafe { self.ring.submission().push_multiple(&entries) };
        let counters = self.files.counters();
        count(&counters.writes);
        count(&counters.data_syncs);
        if pushed.is_err() {
            let flight = self.in_flight.remove(&token).expect("inserted above"); // The kernel never saw it.
            self.files.push_done(token, Err(failed("submit a write", &flight.path, Errno::BUSY)));
        } else if let Err(error) = enter(&self.ring, 0) {
            let flight = self.in_flight.remove(&token).expect("inserted above");
            self.files.push_done(token, Err(failed("submit a write", &flight.path, error)));
            self.abandoned.insert(token, flight);
        }
        token
    }

    /// Takes completions from the ring, and waits for at least one when `wait` says so.
    fn reap(&mut self, wait: bool) -> Result<(), Errno> {
        if wait && self.ring.completion().is_empty() {
            enter(&self.ring, 1)?;
        }
        let entries: Vec<(u64, i32)> =
            self.ring.completion().map(|entry| (entry.user_data(), entry.result())).collect();
        for (tag, result) in entries {
            let token = Token(tag >> 1);
            let told = self.in_flight.contains_key(&token);
            let flights = if told { &mut self.in_flight } else { &mut self.abandoned };
            let flight = flights.get_mut(&token).expect("DISK-1: a flight is kept until it is done");
            *(if tag & IS_SYNC == 0 { &mut flight.write } else { &mut flight.sync }) = Some(result);
            if let (Some(write), Some(sync)) = (flight.write, flight.sync) {
                let flight = flights.remove(&token).expect("there");
                if told {
                    self.files.push_done(token, outcome(flight, write, sync));
                }
            }
        }
        Ok(())
    }
}

impl Disk for UringDisk {
    fn submit(&mut self, request: Request) -> Token {
        match request {
            Request::WriteSync { file, offset, bytes } => self.submit_write_sync(file, offset, bytes),
            other => self.files.submit(other),
        }
    }

    fn complete(&mut self) -> Option<(Token, Result<Answer, DiskError>)> {
        loop {
            if let Some(done) = self.files.complete() {
                return Some(done);
            }
            let token = *self.in_flight.keys().next()?;
            if let Err(errno) = self.reap(true) {
                self.give_up(token, errno);
            }
        }
    }

    fn wait(&mut self, token: Token) -> Result<Answer, DiskError> {
        while self.in_flight.contains_key(&token) {
            if let Err(errno) = self.reap(true) {
                self.give_up(token, errno);
            }
        }
        self.files.wait(token)
    }

    fn descriptor(&mut self, file: FileId) -> Option<io::Result<File>> {
        self.files.descriptor(file)
    }

    fn counters(&self) -> Option<Arc<Counters>> {
        Some(UringDisk::counters(self))
    }
}

impl UringDisk {
    /// The kernel does not tell what became of it: it failed, as far as anybody may rely on it.
    fn give_up(&mut self, token: Token, errno: Errno) {
        let flight = self.in_flight.remove(&token).expect("in flight");
        self.files.push_done(token, Err(failed("wait for a write", &flight.path, errno)));
        self.abandoned.insert(token, flight);
    }
}

impl Drop for UringDisk {
    fn drop(&mut self) {
        // DISK-1: the kernel may still read the buffers.
        while !(self.in_flight.is_empty() && self.abandoned.is_empty()) {
            if self.reap(true).is_err() {
                let kept = self.in_flight.drain().chain(self.abandoned.drain());
                kept.for_each(|(_, flight)| std::mem::forget(flight.bytes)); // Lost bytes are better than reused ones.
            }
        }
    }
}

impl fmt::Debug for UringDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UringDisk").field("files", &self.files).finish_non_exhaustive()
    }
}

fn outcome(flight: Flight, write: i32, sync: i32) -> Result<Answer, DiskError> {
    let Flight { path, bytes, .. } = flight;
    match usize::try_from(write) {
        Err(_) => Err(failed("write", &path, Errno::from_raw_os_error(-write))),
        Ok(written) if written != bytes.len() => Err(short("write", &path, written, bytes.len())),
        Ok(_) if sync < 0 => Err(failed("sync", &path, Errno::from_raw_os_error(-sync))),
        Ok(_) => Ok(Answer::Written(bytes)),
    }
}

/// Submits what is queued and waits for `want` completions. Only a signal is a reason to try again.
fn enter(ring: &IoUring, want: usize) -> Result<(), Errno> {
    loop {
        match ring.submitter().submit_and_wait(want).map_err(|error| errno_of(&error)) {
            Err(Errno::INTR) => {}
            entered => return entered.map(drop),
        }
    }
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cause;

    fn flight() -> Flight {
        Flight { path: "a".into(), bytes: vec![1; 8], write: None, sync: None }
    }

    /// What the kernel answers to the two entries, and what that means: nothing is acknowledged but a whole write with
    /// its sync.
    #[test]
    fn only_a_whole_write_and_its_sync_are_a_success() {
        let canceled = -Errno::CANCELED.raw_os_error();
        let (io, nospace) = (Errno::IO.raw_os_error(), Errno::NOSPC.raw_os_error());
        for (write, sync, operation, cause) in [
            (4, canceled, "write", Cause::Short { written: 4, expected: 8 }),
            (4, 0, "write", Cause::Short { written: 4, expected: 8 }),
            (0, canceled, "write", Cause::Short { written: 0, expected: 8 }),
            (-nospace, canceled, "write", Cause::NO_SPACE),
            (8, -io, "sync", Cause::INPUT_OUTPUT),
            (8, canceled, "sync", Cause::Errno(-canceled)),
        ] {
            let error = outcome(flight(), write, sync).expect_err("not durable");
            assert_eq!((error.operation, error.cause), (operation, cause), "{write} {sync}");
        }
        assert_eq!(outcome(flight(), 8, 0), Ok(Answer::Written(vec![1; 8])));
    }

    /// DISK-1: a disk that is dropped with writes in flight waits for them, so that their bytes are on the disk.
    #[test]
    fn disk_1_a_dropped_disk_has_let_the_kernel_finish() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut disk = match UringDisk::open(folder.path()) {
            Ok(disk) => disk,
            Err(error) => return eprintln!("skipped: {error}"),
        };
        let file = disk.run(Request::Create { path: "a".into() }).expect("created").opened();
        for block in 0..4 {
            disk.submit(Request::WriteSync { file, offset: block << 16, bytes: vec![block as u8 + 1; 1 << 16] });
        }
        drop(disk);
        let written = std::fs::read(folder.path().join("a")).expect("read");
        assert!(written.len() == 4 << 16 && written.iter().enumerate().all(|(at, byte)| *byte == (at >> 16) as u8 + 1));
    }
}
