//! What a process has used: CPU time and memory.
#![allow(unsafe_code)] // CPU-time clocks of other processes have no safe binding.

use crate::procfs::{kib_after, text};
use rtt_units::{Bytes, Nanos};
use std::{io, mem::MaybeUninit, path::PathBuf};

/// Totals of a process since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessCost {
    /// CPU time of all its threads, those that ended included, in user and kernel mode.
    pub cpu: Nanos,
    /// Memory resident now.
    pub resident: Bytes,
    /// Most memory ever resident.
    pub resident_peak: Bytes,
    /// Memory resident now that is this process' alone: no map of a file or of shared memory, rings among them.
    pub anonymous: Bytes,
}

/// Why the totals cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ProcessCostError {
    /// There is no such process, or no more.
    #[error("cost of process {pid}: no CPU clock; expected a process that has not been waited for")]
    Clock {
        /// The process.
        pid: u32,
        /// The cause.
        source: io::Error,
    },
    /// `/proc/PID/status` shows no memory: the process has ended.
    #[error("cost of process {pid}: {} shows no resident memory; expected a running process", path.display())]
    Status {
        /// The process.
        pid: u32,
        /// The file.
        path: PathBuf,
    },
}

impl ProcessCost {
    /// Reads the totals of process `pid`.
    ///
    /// # Errors
    /// [`ProcessCostError`] where the process has ended.
    pub fn read(pid: u32) -> Result<ProcessCost, ProcessCostError> {
        let cpu = cpu_time(pid).map_err(|source| ProcessCostError::Clock { pid, source })?;
        let path = PathBuf::from(format!("/proc/{pid}/status"));
        let status = text(&path).unwrap_or_default();
        let kib = |name| kib_after(&status, name);
        match (kib("VmRSS:"), kib("VmHWM:"), kib("RssAnon:")) {
            (Some(resident), Some(resident_peak), Some(anonymous)) => {
                Ok(ProcessCost { cpu, resident, resident_peak, anonymous })
            }
            _ => Err(ProcessCostError::Status { pid, path }),
        }
    }
}

/// The clock of a process' CPU time, to the scheduler's precision, which `/proc/PID/stat` rounds to 10 ms. Reading it is
/// one system call.
#[derive(Clone, Copy, Debug)]
pub struct CpuClock(libc::clockid_t);

impl CpuClock {
    /// The clock of process `pid`.
    ///
    /// # Errors
    /// What the kernel says: there is no such process.
    pub fn of(pid: u32) -> io::Result<CpuClock> {
        let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
        let mut clock = MaybeUninit::<libc::clockid_t>::uninit();
        // SAFETY: `clock` is valid for a write of a clock id.
        let error = unsafe { libc::clock_getcpuclockid(pid, clock.as_mut_ptr()) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error)); // This call returns its error instead of setting errno.
        }
        // SAFETY: the call answered 0, so `clock` is written.
        Ok(CpuClock(unsafe { clock.assume_init() }))
    }

    /// CPU time of all threads of the process until now, those that ended included.
    ///
    /// # Errors
    /// What the kernel says: the process was waited for.
    pub fn read(self) -> io::Result<Nanos> {
        read_clock(self.0)
    }
}

/// CPU time of process `pid`.
pub(crate) fn cpu_time(pid: u32) -> io::Result<Nanos> {
    CpuClock::of(pid)?.read()
}

/// CPU time of a thread of this process, to the same precision.
pub(crate) fn cpu_time_of_thread(thread: i32) -> io::Result<Nanos> {
    // The kernel's name of the clock, for which the C library asks a pthread: the thread's number inverted, above the
    // bits of a thread's clock (4) and of the scheduler's time (2). Source: MAKE_THREAD_CPUCLOCK of the kernel.
    read_clock((!thread << 3) | 4 | 2)
}

fn read_clock(clock: libc::clockid_t) -> io::Result<Nanos> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `time` is valid for a write; a clock that is not there is answered with an error.
    let result = unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call answered 0, so `time` is written.
    let time = unsafe { time.assume_init() };
    Ok(Nanos((time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_shows_in_the_cost_of_this_process() {
        let pid = std::process::id();
        let before = ProcessCost::read(pid).expect("this process runs");
        let mut after = before;
        // Waits on the condition; a clock that stood still would hang here and be killed by the test's own limit.
        while after.cpu <= before.cpu {
            std::hint::black_box((0..10_000_u64).sum::<u64>());
            after = ProcessCost::read(pid).expect("this process runs");
        }
        assert!(after.resident.0 > 0 && after.resident_peak >= after.resident);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        let mut child = std::process::Command::new("true").spawn().expect("true");
        child.wait().expect("wait");
        let error = ProcessCost::read(child.id()).expect_err("the process was waited for");
        assert!(error.to_string().contains("no CPU clock"), "{error}");
    }
}
