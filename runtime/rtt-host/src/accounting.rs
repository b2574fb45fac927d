//! What the kernel counts of every thread for itself, open to every user: for hosts that close their performance
//! counters.
//!
//! CPU time is that of the CPU clocks, which `/proc/PID/stat` rounds to 10 ms; context switches are in
//! `/proc/PID/task/TID/status`, page faults in `/proc/PID/stat`. Source: proc(5), clock_getres(2).

use crate::process_cost::{cpu_time, cpu_time_of_thread};
use rustix::io::Errno;
use std::{collections::BTreeMap, fmt, fs, io};

/// Whose totals are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// One thread of this process.
    Thread(i32),
    /// A process with its threads. Those that end take their context switches with them.
    Process(u32),
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// Time on a CPU, in nanoseconds.
    CpuTime,
    /// Context switches, voluntary or not.
    ContextSwitches,
    /// Page faults, minor and major.
    PageFaults,
}

/// Where the account is kept.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Account::CpuTime => "from the CPU clock",
            Account::ContextSwitches => "from /proc/PID/status",
            Account::PageFaults => "from /proc/PID/stat",
        })
    }
}

/// A count since it was opened.
#[derive(Debug)]
pub(crate) struct Accounting {
    task: Task,
    account: Account,
    before: BTreeMap<i32, u64>,
}

impl Accounting {
    pub(crate) fn open(task: Task, account: Account) -> io::Result<Accounting> {
        Ok(Accounting { task, account, before: totals(task, account)? })
    }

    pub(crate) fn account(&self) -> Account {
        self.account
    }

    /// The count so far; an error once the task has ended.
    pub(crate) fn read(&self) -> io::Result<u64> {
        let now = totals(self.task, self.account)?;
        let grown = now.iter().map(|(part, total)| total.saturating_sub(self.before.get(part).copied().unwrap_or(0)));
        Ok(grown.sum())
    }
}

/// The totals since the start of each thread, or of the whole task under one number.
fn totals(task: Task, account: Account) -> io::Result<BTreeMap<i32, u64>> {
    let folder = match task {
        Task::Thread(thread) => format!("/proc/self/task/{thread}"),
        Task::Process(process) => format!("/proc/{process}"),
    };
    let whole = |total| BTreeMap::from([(0, total)]);
    match (account, task) {
        (Account::CpuTime, Task::Thread(thread)) => cpu_time_of_thread(thread).map(|time| whole(time.0)),
        (Account::CpuTime, Task::Process(process)) => cpu_time(process).map(|time| whole(time.0)),
        (Account::PageFaults, _) => parsed(&format!("{folder}/stat"), page_faults).map(whole),
        (Account::ContextSwitches, Task::Thread(_)) => parsed(&format!("{folder}/status"), context_switches).map(whole),
        (Account::ContextSwitches, Task::Process(_)) => {
            let threads = fs::read_dir(format!("{folder}/task"))?
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
            // A thread that ended since the directory was read has nothing to tell.
            let of = |thread| parsed(&format!("{folder}/task/{thread}/status"), context_switches).ok();
            let totals: BTreeMap<i32, u64> = threads.filter_map(|thread| Some((thread, of(thread)?))).collect();
            if totals.is_empty() { Err(Errno::SRCH.into()) } else { Ok(totals) }
        }
    }
}

fn parsed(path: &str, parse: fn(&str) -> Option<u64>) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{path} holds no such count")))
}

fn context_switches(status: &str) -> Option<u64> {
    let row = |key| status.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
    Some(row("voluntary_ctxt_switches:")? + row("nonvoluntary_ctxt_switches:")?)
}

/// Fields 10 and 12, counted from behind the name in brackets, which may hold blanks and brackets itself.
fn page_faults(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(number(10)? + number(12)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::exercise;

    const ACCOUNTS: [Account; 3] = [Account::CpuTime, Account::ContextSwitches, Account::PageFaults];

    #[test]
    fn work_shows_in_the_accounts_of_its_thread_and_of_its_process() {
        exercise(); // Not counted below, where only what came since the opening is.
        for task in [Task::Thread(rustix::thread::gettid().as_raw_nonzero().get()), Task::Process(std::process::id())] {
            let opened = ACCOUNTS.map(|account| Accounting::open(task, account).expect("this process runs"));
            exercise();
            for accounting in opened {
                let counted = accounting.read().expect("this process runs");
                assert!(counted > 0, "{task:?} {:?}", accounting.account());
                let since_start: u64 = totals(task, accounting.account()).expect("it runs").values().sum();
                assert!(
                    counted < since_start,
                    "{task:?} {:?}: only what came since it was opened",
                    accounting.account()
                );
            }
        }
    }

    /// The work of a thread is not that of another.
    #[test]
    fn a_thread_has_accounts_of_its_own() {
        let task = Task::Thread(rustix::thread::gettid().as_raw_nonzero().get());
        let opened = Accounting::open(task, Account::PageFaults).expect("this thread runs");
        let worked = std::thread::spawn(|| {
            let task = Task::Thread(rustix::thread::gettid().as_raw_nonzero().get());
            let opened = Accounting::open(task, Account::PageFaults).expect("this thread runs");
            exercise();
            opened.read().expect("this thread runs")
        });
        let worked = worked.join().expect("the thread");
        assert!(opened.read().expect("this thread runs") < worked);
    }

    #[test]
    fn what_has_ended_is_an_error() {
        let mut child = std::process::Command::new("true").spawn().expect("true");
        child.wait().expect("wait");
        let ended = std::thread::spawn(rustix::thread::gettid).join().expect("the thread").as_raw_nonzero().get();
        // The kernel takes a thread out of the directory later than the join.
        while std::path::Path::new(&format!("/proc/self/task/{ended}")).exists() {
            std::thread::yield_now();
        }
        for account in ACCOUNTS {
            for task in [Task::Process(child.id()), Task::Thread(ended)] {
                assert!(Accounting::open(task, account).is_err(), "{task:?} {account:?}");
            }
        }
    }

    #[test]
    fn rows_are_found_by_their_names_and_fields_behind_the_name() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t5\n";
        assert_eq!(context_switches(status), Some(12));
        assert_eq!(context_switches("nonvoluntary_ctxt_switches:\t5\n"), None);
        assert_eq!(page_faults("1 (a) S (b) S 2 3 4 5 6 7 80 9 2 11 12 13"), Some(82));
        for stat in ["", "1 (a", "1 (a) S 2 3 4 5 6 7 80 9"] {
            assert_eq!(page_faults(stat), None, "{stat}");
        }
    }
}
