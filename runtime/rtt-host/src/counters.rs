//! Performance counters of a process, each probed: what the host lacks is absent, never zero.
//!
//! HOST-6  A counter that cannot be opened or read has no value and names the errno; it is never 0.
//!
//! A counter that opens and yet stays at zero over work that must move it is `suspicious`: virtual machines show such
//! ones. Each thread that exists when the counters are opened is counted, with all threads that it starts later.

use perf_event::{
    Builder,
    events::{Event, Hardware, Software},
};
use rustix::io::Errno;
use std::{fs, hint::black_box, io, sync::OnceLock};

/// The events: name, what is counted, and whether the work of [`exercise`] must move it.
const EVENTS: [(&str, Event, bool); 8] = [
    ("task_clock", Event::Software(Software::TASK_CLOCK), true),
    ("context_switches", Event::Software(Software::CONTEXT_SWITCHES), true),
    ("cpu_migrations", Event::Software(Software::CPU_MIGRATIONS), false), // One CPU may be all there is.
    ("page_faults", Event::Software(Software::PAGE_FAULTS), true),
    ("cycles", Event::Hardware(Hardware::CPU_CYCLES), true),
    ("instructions", Event::Hardware(Hardware::INSTRUCTIONS), true),
    ("cache_misses", Event::Hardware(Hardware::CACHE_MISSES), true),
    ("branch_misses", Event::Hardware(Hardware::BRANCH_MISSES), true),
];

/// Why a counter has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("absent ({errno})")]
pub struct Absent {
    /// Name of the error, as `ENOENT`.
    pub errno: String,
}

/// One counter's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What is counted: `task_clock` in nanoseconds, all others in events.
    pub name: &'static str,
    /// The count since the counters were opened, scaled where the hardware shared its counters in turns.
    pub value: Result<u64, Absent>,
    /// Whether the kernel's part is left out (`perf_event_paranoid` forbids it).
    pub user_only: bool,
    /// Whether the counter stays at zero where it cannot be zero: its value means nothing.
    pub suspicious: bool,
}

/// Open counters of a process.
#[derive(Debug)]
pub struct Counters {
    events: Vec<OpenEvent>,
}

#[derive(Debug)]
struct OpenEvent {
    name: &'static str,
    user_only: bool,
    threads: Result<Vec<perf_event::Counter>, Absent>,
}

impl Counters {
    /// Opens and starts the counters of every thread of process `pid`.
    pub fn open(pid: u32) -> Counters {
        Counters::of_threads(threads_of(pid))
    }

    /// Opens and starts the counters of the calling thread and of the threads that it starts.
    pub fn open_thread() -> Counters {
        Counters::of_threads(Ok(vec![0])) // 0 is the caller itself to perf_event_open(2).
    }

    fn of_threads(threads: Result<Vec<i32>, Absent>) -> Counters {
        let open = |(name, event, _): (&'static str, Event, bool)| {
            let opened = threads.clone().and_then(|threads| open_event(&event, &threads));
            match opened {
                Ok((counters, user_only)) => OpenEvent { name, user_only, threads: Ok(counters) },
                Err(absent) => OpenEvent { name, user_only: false, threads: Err(absent) },
            }
        };
        Counters { events: EVENTS.into_iter().map(open).collect() }
    }

    /// The counts so far, in the order of the events; readable after the process has ended.
    pub fn read(&mut self) -> Vec<Reading> {
        let suspects = suspects();
        let read = |event: &mut OpenEvent| Reading {
            name: event.name,
            value: event.read(),
            user_only: event.user_only,
            suspicious: event.threads.is_ok() && suspects.contains(&event.name),
        };
        self.events.iter_mut().map(read).collect()
    }
}

impl OpenEvent {
    fn read(&mut self) -> Result<u64, Absent> {
        let counters = match &mut self.threads {
            Ok(counters) => counters,
            Err(absent) => return Err(absent.clone()), // HOST-6
        };
        let mut sum = 0_u64;
        for counter in counters {
            let read = counter.read_count_and_time().map_err(|error| absent(&error))?;
            sum = sum.saturating_add(scaled(read.count, read.time_enabled, read.time_running));
        }
        Ok(sum)
    }
}

/// A count for the whole time enabled, where the counter ran a part of it. Source: perf_event_open(2).
fn scaled(count: u64, enabled: u64, running: u64) -> u64 {
    if running == 0 || running >= enabled {
        return count;
    }
    u64::try_from(u128::from(count) * u128::from(enabled) / u128::from(running)).unwrap_or(u64::MAX)
}

/// Which counters this host has, tried on work that moves each of them. Takes a few milliseconds once.
pub fn probe_counters() -> Vec<Reading> {
    let mut counters = Counters::open_thread();
    counters.read()
}

/// The counters that opened and stayed at zero over work that must move them; found once.
fn suspects() -> &'static [&'static str] {
    static SUSPECTS: OnceLock<Vec<&'static str>> = OnceLock::new();
    SUSPECTS.get_or_init(|| {
        // In a thread of its own: its affinity and its faults are nobody else's matter.
        let tried = std::thread::spawn(|| {
            let mut counters = Counters::open_thread();
            exercise();
            let moved = |event: &mut OpenEvent| (event.name, event.read());
            counters.events.iter_mut().map(moved).collect::<Vec<_>>()
        });
        let readings = tried.join().unwrap_or_default();
        let must_move = EVENTS.iter().zip(readings).filter(|((_, _, must_move), _)| *must_move);
        must_move.filter(|(_, (_, value))| *value == Ok(0)).map(|((name, _, _), _)| *name).collect()
    })
}

/// Work that takes time, touches new pages, misses caches, mispredicts branches and gives up the CPU.
fn exercise() {
    const WORDS: usize = 1 << 20; // 8 MiB: more than a core's own caches.
    // Zeroed and above 32 MiB, the most that glibc's malloc serves from memory it has: its pages are new each time, and
    // only those that are touched are paid for. Source: mallopt(3), M_MMAP_THRESHOLD.
    let mut words = vec![0_u64; (40 << 20) / size_of::<u64>()];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64; // Any odd seed: xorshift, Marsaglia 2003.
    let mut taken = 0_u64;
    for _ in 0..WORDS / 4 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let slot = &mut words[state as usize % WORDS];
        if black_box(state >> 17) & 1 == 1 {
            taken = taken.wrapping_add(*slot);
        }
        *slot = state;
    }
    black_box((taken, words));
    for _ in 0..4 {
        std::thread::sleep(std::time::Duration::from_micros(50)); // Each gives up the CPU: a context switch.
    }
}

fn threads_of(pid: u32) -> Result<Vec<i32>, Absent> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| absent(&error))?;
    let threads: Vec<i32> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    if threads.is_empty() { Err(absent(&Errno::SRCH.into())) } else { Ok(threads) }
}

/// Opens `event` on each thread, with the kernel's part where that is allowed. Context switches and page faults are
/// counted in the kernel, so that a counter without it would read 0: there, refusal is the answer.
fn open_event(event: &Event, threads: &[i32]) -> Result<(Vec<perf_event::Counter>, bool), Absent> {
    match open_all(event, threads, false) {
        Err(error) if forbidden(&error) && !matches!(event, Event::Software(_)) => {
            open_all(event, threads, true).map(|counters| (counters, true)).map_err(|error| absent(&error))
        }
        opened => opened.map(|counters| (counters, false)).map_err(|error| absent(&error)),
    }
}

fn forbidden(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM))
}

fn open_all(event: &Event, threads: &[i32], user_only: bool) -> io::Result<Vec<perf_event::Counter>> {
    let mut counters = Vec::with_capacity(threads.len());
    for thread in threads {
        let mut builder = Builder::new().observe_pid(*thread).any_cpu().kind(event.clone());
        builder.inherit(true);
        if !user_only {
            builder.include_kernel();
        }
        match builder.build() {
            Ok(mut counter) => {
                counter.enable()?;
                counters.push(counter);
            }
            // A thread that ended since the directory was read.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) && threads.len() > 1 => {}
            Err(error) => return Err(error),
        }
    }
    if counters.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::ESRCH)); // HOST-6: a sum over no thread would read 0.
    }
    Ok(counters)
}

fn absent(error: &io::Error) -> Absent {
    let name = error.raw_os_error().map(Errno::from_raw_os_error).map(|errno| format!("{errno:?}"));
    let errno = match error.raw_os_error() {
        Some(libc::ENOENT) => "ENOENT".into(),
        Some(libc::EACCES) => "EACCES".into(),
        Some(libc::EPERM) => "EPERM".into(),
        Some(libc::ENOSYS) => "ENOSYS".into(),
        Some(libc::ESRCH) => "ESRCH".into(),
        Some(libc::EINVAL) => "EINVAL".into(),
        Some(libc::EMFILE) => "EMFILE".into(),
        Some(libc::ENODEV) => "ENODEV".into(),
        Some(libc::EOPNOTSUPP) => "EOPNOTSUPP".into(),
        Some(libc::EBUSY) => "EBUSY".into(),
        _ => name.unwrap_or_else(|| error.to_string()),
    };
    Absent { errno }
}

#[cfg(test)]
mod tests;
