//! Performance counters of a process, each probed: what the host lacks is absent, never zero.
//!
//! HOST-6  A counter that cannot be opened or read has no value and names the errno; it is never 0.
//!
//! What the kernel forbids is counted without the kernel's part, where that says something, else taken from the kernel's
//! accounting (`accounting`), where it has such a count: so an ordinary user has CPU time, context switches and page
//! faults on every host. A counter that opens and yet stays at zero over work that must move it is `suspicious`: virtual
//! machines show such ones. Each thread that exists when the counters are opened is counted, with all threads that it
//! starts later.

use crate::accounting::{Account, Accounting, Task};
use perf_event::{
    Builder,
    events::{Event, Hardware, Software},
};
use rustix::io::Errno;
use std::{fmt, fs, hint::black_box, io, sync::OnceLock};

/// What is left of an event without the kernel's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UserPart {
    /// All of it: the task's clock runs in both modes, whatever was left out.
    All,
    /// What happens in user mode.
    Some,
    /// Nothing: it happens in the kernel, so that such a counter would read 0.
    None,
}

/// An event that is counted.
struct Counted {
    name: &'static str,
    event: Event,
    user_part: UserPart,
    /// The kernel's own account of it.
    account: Option<Account>,
    /// Whether the work of [`exercise`] must move it.
    must_move: bool,
}

impl Counted {
    const fn software(name: &'static str, event: Software, user_part: UserPart, account: Account) -> Counted {
        Counted { name, event: Event::Software(event), user_part, account: Some(account), must_move: true }
    }

    const fn hardware(name: &'static str, event: Hardware) -> Counted {
        Counted { name, event: Event::Hardware(event), user_part: UserPart::Some, account: None, must_move: true }
    }
}

const EVENTS: [Counted; 8] = [
    Counted::software("task_clock", Software::TASK_CLOCK, UserPart::All, Account::CpuTime),
    Counted::software("context_switches", Software::CONTEXT_SWITCHES, UserPart::None, Account::ContextSwitches),
    Counted {
        name: "cpu_migrations",
        event: Event::Software(Software::CPU_MIGRATIONS),
        user_part: UserPart::None,
        account: None,
        must_move: false, // One CPU may be all there is.
    },
    Counted::software("page_faults", Software::PAGE_FAULTS, UserPart::Some, Account::PageFaults),
    Counted::hardware("cycles", Hardware::CPU_CYCLES),
    Counted::hardware("instructions", Hardware::INSTRUCTIONS),
    Counted::hardware("cache_misses", Hardware::CACHE_MISSES),
    Counted::hardware("branch_misses", Hardware::BRANCH_MISSES),
];

/// Why a counter has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("absent ({errno})")]
pub struct Absent {
    /// Name of the error, as `ENOENT`.
    pub errno: String,
}

/// What a count is worth, where it is not the whole count of a performance counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The kernel's part is left out (`perf_event_paranoid` forbids it).
    UserOnly,
    /// The kernel's accounting counted.
    Accounting(Account),
    /// The counter stays at zero where it cannot be zero: its value means nothing.
    Suspicious,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::UserOnly => f.pad("user mode only"),
            Note::Accounting(account) => account.fmt(f),
            Note::Suspicious => f.pad("suspicious: it stays at 0 over work that must move it"),
        }
    }
}

/// One counter's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What is counted: `task_clock` in nanoseconds, all others in events.
    pub name: &'static str,
    /// The count since the counters were opened, scaled where the hardware shared its counters in turns.
    pub value: Result<u64, Absent>,
    /// What the count is worth.
    pub note: Option<Note>,
}

/// Open counters of a process.
#[derive(Debug)]
pub struct Counters {
    events: Vec<OpenEvent>,
}

#[derive(Debug)]
struct OpenEvent {
    name: &'static str,
    source: Result<Source, Absent>,
}

#[derive(Debug)]
enum Source {
    Perf { threads: Vec<perf_event::Counter>, note: Option<Note> },
    Kernel(Accounting),
}

impl Counters {
    /// Opens and starts the counters of every thread of process `pid`.
    pub fn open(pid: u32) -> Counters {
        Counters::of(Task::Process(pid), &threads_of(pid))
    }

    /// Opens and starts the counters of the calling thread and of the threads that it starts.
    pub fn open_thread() -> Counters {
        let task = Task::Thread(rustix::thread::gettid().as_raw_nonzero().get());
        Counters::of(task, &Ok(vec![0])) // 0 is the caller itself to perf_event_open(2).
    }

    fn of(task: Task, threads: &Result<Vec<i32>, Absent>) -> Counters {
        let open = |counted: &Counted| {
            let perf = threads.clone().and_then(|threads| open_event(counted, &threads));
            let source = perf.or_else(|absent| {
                let accounting = counted.account.and_then(|account| Accounting::open(task, account).ok());
                accounting.map(Source::Kernel).ok_or(absent)
            });
            OpenEvent { name: counted.name, source }
        };
        Counters { events: EVENTS.iter().map(open).collect() }
    }

    /// The counts so far, in the order of the events; those of performance counters also after the process has ended.
    pub fn read(&mut self) -> Vec<Reading> {
        let suspects = suspects();
        let read = |event: &mut OpenEvent| {
            let value = event.read();
            let suspicious = value.is_ok() && suspects.contains(&event.name);
            let note = event.source.as_ref().ok().and_then(Source::note).filter(|_| value.is_ok());
            Reading { name: event.name, value, note: if suspicious { Some(Note::Suspicious) } else { note } }
        };
        self.events.iter_mut().map(read).collect()
    }
}

impl Source {
    fn note(&self) -> Option<Note> {
        match self {
            Source::Perf { note, .. } => *note,
            Source::Kernel(accounting) => Some(Note::Accounting(accounting.account())),
        }
    }
}

impl OpenEvent {
    fn read(&mut self) -> Result<u64, Absent> {
        let threads = match &mut self.source {
            Ok(Source::Perf { threads, .. }) => threads,
            Ok(Source::Kernel(accounting)) => return accounting.read().map_err(|error| absent(&error)),
            Err(absent) => return Err(absent.clone()), // HOST-6
        };
        let mut sum = 0_u64;
        for counter in threads {
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
        let must_move = EVENTS.iter().filter(|counted| counted.must_move).map(|counted| counted.name);
        must_move.filter(|name| readings.contains(&(*name, Ok(0)))).collect()
    })
}

/// Work that takes time, touches new pages, misses caches, mispredicts branches and gives up the CPU.
pub(crate) fn exercise() {
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

/// Opens the event on each thread, with the kernel's part where that is allowed.
fn open_event(counted: &Counted, threads: &[i32]) -> Result<Source, Absent> {
    let whole = open_all(&counted.event, threads, false);
    let opened = match whole {
        Err(error) if forbidden(&error) && counted.user_part != UserPart::None => {
            let note = (counted.user_part == UserPart::Some).then_some(Note::UserOnly);
            open_all(&counted.event, threads, true).map(|threads| Source::Perf { threads, note })
        }
        whole => whole.map(|threads| Source::Perf { threads, note: None }),
    };
    opened.map_err(|error| absent(&error))
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
