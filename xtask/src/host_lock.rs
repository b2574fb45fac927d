//! Who measures on this host right now.
//!
//! A measurement holds an exclusive `flock` on the folder [`LOCKED`], opened read-only: no file is written, no right
//! is needed, and the kernel drops the lock with the last descriptor, also after `kill -9`. This module only reads:
//! it finds the holder in `/proc/locks` by device and inode, and never takes the lock, not even for an instant, since
//! a measurement that starts in that instant would be turned away. A holder in another PID namespace may be hidden
//! from it: then the tuner itself, which does take the lock, refuses.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::exit::{Exit, Stop};

/// The folder whose lock means "this host is being measured".
pub const LOCKED: &str = "/sys/devices/system/cpu";

/// The process that holds the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id; `None` when no signal can reach it: it has ended, or lives in another PID namespace.
    pub pid: Option<u32>,
    /// Its command line, or why that is not known.
    pub command: String,
}

impl Holder {
    /// The holder in a few words.
    pub fn shown(&self) -> String {
        match self.pid {
            Some(pid) => format!("process {pid}: {}", self.command),
            None => self.command.clone(),
        }
    }

    /// What to do about it.
    pub fn next(&self) -> String {
        let stop = self.pid.map(|pid| format!(", or stop it with `kill -INT {pid}` (its log can be resumed)"));
        format!("wait for it to end{}", stop.unwrap_or_default())
    }
}

/// The process that measures on this host, if there is one.
pub fn holder() -> Option<Holder> {
    holder_of(Path::new(LOCKED))
}

/// Stops when a measurement runs, because `what` would disturb it.
///
/// # Errors
/// A stop with exit code 15 that names the holder.
pub fn refuse_while_held(what: &str) -> Result<(), Stop> {
    refuse_for(what, holder())
}

fn refuse_for(what: &str, holder: Option<Holder>) -> Result<(), Stop> {
    match holder {
        None => Ok(()),
        Some(holder) => Err(Stop {
            exit: Exit::Held,
            message: format!("{what}: a measurement holds this host: {}\nnext: {}", holder.shown(), holder.next()),
        }),
    }
}

fn holder_of(folder: &Path) -> Option<Holder> {
    let meta = fs::metadata(folder).ok()?;
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid = exclusive_holder(&locks, meta.dev(), meta.ino())?;
    // The kernel writes 0 or -1 for a process that this namespace cannot see.
    let Some(pid) = u32::try_from(pid).ok().filter(|pid| *pid != 0) else {
        return Some(Holder { pid: None, command: "a process of another PID namespace".to_owned() });
    };
    // The lock outlives the process that took it while a child still has the descriptor.
    let ended =
        || Holder { pid: None, command: format!("process {pid}, which has ended; a child of it keeps the lock") };
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
    Some(if command.is_empty() { ended() } else { Holder { pid: Some(pid), command } })
}

/// Finds the exclusive `flock` on one inode in the text of `/proc/locks`, whose lines are
/// `1: FLOCK  ADVISORY  WRITE 6858 00:16:3562 0 EOF`; a waiting request has `->` after the number and is no holder.
fn exclusive_holder(locks: &str, device: u64, inode: u64) -> Option<i64> {
    // The kernel packs a device number as the C library's `makedev` does.
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & !0xff);
    let place = format!("{major:02x}:{minor:02x}:{inode}");
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [_, "FLOCK", _, "WRITE", pid, at, ..] if at == place => pid.parse().ok(),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::screen::eprintln;

    const LOCKS: &str = "1: POSIX  ADVISORY  WRITE 11 00:16:3562 0 EOF\n\
                         2: FLOCK  ADVISORY  READ 12 00:16:3562 0 EOF\n\
                         3: FLOCK  ADVISORY  WRITE 13 00:17:3562 0 EOF\n\
                         4: FLOCK  ADVISORY  WRITE 14 00:16:3562 0 EOF\n\
                         4: -> FLOCK  ADVISORY  WRITE 15 00:16:3562 0 EOF\n\
                         5: FLOCK  ADVISORY  WRITE 16 103:02:77 0 EOF\n\
                         6: FLOCK  ADVISORY  WRITE -1 00:16:9 0 EOF\n\
                         garbage\n";

    fn check(device: u64, inode: u64, expected: Option<i64>) {
        assert_eq!(exclusive_holder(LOCKS, device, inode), expected, "device {device:#x}, inode {inode}");
    }

    #[test]
    fn only_an_exclusive_flock_on_that_inode_counts() {
        check(0x16, 3562, Some(14));
        check(0x17, 3562, Some(13));
        check(0x16, 3563, None);
        check(0x10302, 77, Some(16));
        check(0x16, 9, Some(-1));
    }

    #[test]
    fn a_holder_is_named_with_what_to_do_and_nobody_refuses_nothing() {
        let holder = Holder { pid: Some(7), command: "rtt-tuner tune".into() };
        let stop = refuse_for("test", Some(holder)).unwrap_err();
        let expected = "test: a measurement holds this host: process 7: rtt-tuner tune\n\
                        next: wait for it to end, or stop it with `kill -INT 7` (its log can be resumed)";
        assert_eq!((stop.exit, stop.message.as_str()), (Exit::Held, expected));
        assert_eq!(refuse_for("test", None), Ok(()));
    }

    #[test]
    fn a_lock_is_seen_with_its_command_and_goes_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        if fs::read_to_string("/proc/locks").is_err() {
            eprintln!("skipped: /proc/locks cannot be read; mount /proc");
            return;
        }
        assert_eq!(holder_of(folder.path()), None);
        let file = File::open(folder.path()).unwrap();
        file.try_lock().unwrap();
        let found = holder_of(folder.path()).unwrap();
        assert_eq!(found.pid, Some(std::process::id()));
        assert!(!found.command.is_empty() && !found.command.contains('\0'), "{}", found.command);
        drop(file);
        assert_eq!(holder_of(folder.path()), None);
    }
}
