//! Binding threads and processes to CPUs, and reading back what the kernel made of it.
//!
//! HOST-3  A pin that was answered with success is in force: the mask read back is the mask that was asked for.

use rtt_units::{CpuId, CpuSet};
use rustix::{
    io::Errno,
    process::Pid,
    thread::{CpuSet as Mask, sched_getaffinity, sched_setaffinity},
};
use std::{fs, io};

/// Why a pin is not in force.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The set names no CPU.
    #[error("pin to CPUs ``: the set is empty, expected at least one CPU")]
    Empty,
    /// The kernel's mask as used here holds 1024 CPUs.
    #[error("pin to CPUs {cpus}: CPU {cpu} is beyond {}, the last that a mask holds", Mask::MAX_CPU - 1)]
    Beyond {
        /// What was asked for.
        cpus: CpuSet,
        /// The first CPU that does not fit.
        cpu: CpuId,
    },
    /// The kernel refused.
    #[error("pin {who} to CPUs {cpus}: refused; expected online CPUs inside the cpuset")]
    Set {
        /// Thread or process.
        who: String,
        /// What was asked for.
        cpus: CpuSet,
        /// The cause.
        source: io::Error,
    },
    /// The mask cannot be read.
    #[error("read the CPUs of {who}")]
    Get {
        /// Thread or process.
        who: String,
        /// The cause.
        source: io::Error,
    },
    /// The kernel took the mask and runs another (CPUs outside the cpuset or offline are cut away silently).
    #[error("pin {who} to CPUs {cpus}: the kernel made it {found}; expected online CPUs inside the cpuset")]
    Differs {
        /// Thread or process.
        who: String,
        /// What was asked for.
        cpus: CpuSet,
        /// What is in force.
        found: CpuSet,
    },
}

/// Binds the calling thread to `cpus` and returns the mask read back, which is `cpus`.
///
/// # Errors
/// [`PinError`] where the kernel refuses or runs another mask; the thread may then be bound to a part of `cpus`.
pub fn pin_thread(cpus: &CpuSet) -> Result<CpuSet, PinError> {
    let mask = mask_of(cpus)?;
    let who = || "the calling thread".to_owned();
    let mut ids = cpus.iter();
    match (ids.next(), ids.next()) {
        (Some(CpuId(id)), None) => {
            if !core_affinity::set_for_current(core_affinity::CoreId { id: id as usize }) {
                let source = io::Error::last_os_error();
                return Err(PinError::Set { who: who(), cpus: cpus.clone(), source });
            }
        }
        _ => sched_setaffinity(None, &mask).map_err(|errno| PinError::Set {
            who: who(),
            cpus: cpus.clone(),
            source: errno.into(),
        })?,
    }
    read_back(None, who(), cpus)
}

/// Binds every thread of process `pid` to `cpus` and returns the mask read back, which is `cpus`.
///
/// # Errors
/// As [`pin_thread`]; also where a thread that lives on cannot be bound.
pub fn pin_process(pid: u32, cpus: &CpuSet) -> Result<CpuSet, PinError> {
    let mask = mask_of(cpus)?;
    let who = format!("process {pid}");
    let directory = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&directory).map_err(|source| PinError::Get { who: who.clone(), source })?;
    let threads = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    for thread in threads.filter_map(Pid::from_raw) {
        match sched_setaffinity(Some(thread), &mask) {
            // A thread that ended since the directory was read needs no place.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => {
                let who = format!("thread {} of process {pid}", thread.as_raw_nonzero());
                return Err(PinError::Set { who, cpus: cpus.clone(), source: errno.into() });
            }
        }
    }
    let leader = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let gone = || PinError::Get { who: who.clone(), source: Errno::SRCH.into() };
    read_back(Some(leader.ok_or_else(gone)?), who.clone(), cpus)
}

/// The CPUs that the calling thread runs on: its cpuset, cut by its affinity. Empty where the kernel does not say (more
/// CPUs than a mask holds).
pub fn allowed_cpus() -> CpuSet {
    sched_getaffinity(None).map(|mask| set_of(&mask)).unwrap_or_default()
}

/// The CPUs that the calling thread could be bound to: its cpuset, of which its affinity may be a part. [`allowed_cpus`]
/// where the kernel does not say.
pub fn reachable_cpus() -> CpuSet {
    let widest = || {
        let mut mask = Mask::new();
        // The kernel cuts away what is offline, outside the cpuset or not there at all.
        (0..Mask::MAX_CPU).for_each(|cpu| mask.set(cpu));
        sched_setaffinity(None, &mask).and_then(|()| sched_getaffinity(None))
    };
    // In a thread of its own: the caller stays where it is bound.
    let tried = std::thread::Builder::new().spawn(widest).ok().and_then(|thread| thread.join().ok()?.ok());
    tried.map_or_else(allowed_cpus, |mask| set_of(&mask))
}

/// HOST-3: what is in force must be what was asked for.
fn read_back(pid: Option<Pid>, who: String, cpus: &CpuSet) -> Result<CpuSet, PinError> {
    let found = match sched_getaffinity(pid) {
        Ok(mask) => set_of(&mask),
        Err(errno) => return Err(PinError::Get { who, source: errno.into() }),
    };
    if found == *cpus { Ok(found) } else { Err(PinError::Differs { who, cpus: cpus.clone(), found }) }
}

/// The kernel's form of `cpus`.
pub(crate) fn mask_of(cpus: &CpuSet) -> Result<Mask, PinError> {
    if cpus.is_empty() {
        return Err(PinError::Empty);
    }
    if let Some(cpu) = cpus.iter().find(|cpu| cpu.0 as usize >= Mask::MAX_CPU) {
        return Err(PinError::Beyond { cpus: cpus.clone(), cpu });
    }
    let mut mask = Mask::new();
    for cpu in cpus.iter() {
        mask.set(cpu.0 as usize);
    }
    Ok(mask)
}

fn set_of(mask: &Mask) -> CpuSet {
    (0..Mask::MAX_CPU).filter(|cpu| mask.is_set(*cpu)).map(|cpu| CpuId(cpu as u32)).collect()
}

#[cfg(test)]
mod tests;
