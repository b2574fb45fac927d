//! Counters of this process: software always counts something, hardware that the host lacks is absent.

use super::*;
use std::{
    io::Write,
    process::{Command, Stdio},
};

/// What every user has on every host.
const ALWAYS: [&str; 3] = ["task_clock", "context_switches", "page_faults"];

fn by_name(readings: &[Reading], name: &str) -> Reading {
    readings.iter().find(|reading| reading.name == name).expect(name).clone()
}

#[test]
fn every_event_is_answered_in_order() {
    let names: Vec<&str> = probe_counters().iter().map(|reading| reading.name).collect();
    let expected: Vec<&str> = EVENTS.iter().map(|counted| counted.name).collect();
    assert_eq!(names, expected);
}

/// What this thread counts of work that moves each software counter.
fn work_is_counted() {
    let mut counters = Counters::open_thread();
    let before = counters.read();
    exercise();
    let after = counters.read();
    for name in ALWAYS {
        let (before, after) = (by_name(&before, name), by_name(&after, name));
        assert!(after.value.expect(name) > before.value.expect(name), "{name}");
        assert_ne!(after.note, Some(Note::Suspicious), "{name}");
    }
    // User mode never switches contexts: such a counter would read 0.
    assert_ne!(by_name(&after, "context_switches").note, Some(Note::UserOnly));
    assert_ne!(by_name(&after, "cpu_migrations").note, Some(Note::UserOnly));
}

#[test]
fn work_moves_the_counters_of_this_thread() {
    work_is_counted();
}

const ORDINARY: &str = "RTT_HOST_TEST_ORDINARY";

/// Where this program runs as root it runs once more, as nobody, with the test below alone.
#[test]
fn work_moves_the_counters_of_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        return work_is_counted();
    }
    let program = std::env::current_exe().expect("a path");
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];
    let test = ["counters::tests::ordinary_user", "--exact", "--nocapture", "--test-threads=1"];
    let mut command = Command::new("setpriv");
    command.args(nobody).arg(program).args(test).env(ORDINARY, "1").stdin(Stdio::null());
    let skip = |why: &str| writeln!(io::stderr(), "skipped: no ordinary user: {why}").expect("stderr");
    let ran = match command.output() {
        Ok(ran) => ran,
        Err(error) => return skip(&format!("setpriv: {error}; install util-linux")),
    };
    let (text, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    match ran.status.code() {
        Some(0) => assert!(text.contains("1 passed"), "{text}"),
        Some(101) => panic!("as an ordinary user:\n{text}{errors}"), // The code of a test program that failed.
        _ => skip(&format!("{}; let others read the target folder", errors.trim())),
    }
}

#[test]
fn ordinary_user() {
    if std::env::var_os(ORDINARY).is_none() {
        return; // Does nothing but in the process that the test above starts.
    }
    assert!(!rustix::process::geteuid().is_root());
    work_is_counted();
}

/// Where performance counters are closed entirely, the kernel's accounting counts; what it does not count stays absent.
#[test]
fn without_performance_counters_the_kernel_counts() {
    let closed = Absent { errno: "EACCES".into() };
    let thread = Task::Thread(rustix::thread::gettid().as_raw_nonzero().get());
    for task in [thread, Task::Process(std::process::id())] {
        let mut counters = Counters::of(task, &Err(closed.clone()));
        exercise();
        for reading in counters.read() {
            if ALWAYS.contains(&reading.name) {
                assert!(reading.value.expect(reading.name) > 0, "{}", reading.name);
                assert!(matches!(reading.note, Some(Note::Accounting(_))), "{}: {:?}", reading.name, reading.note);
            } else {
                assert_eq!((reading.value, reading.note), (Err(closed.clone()), None), "{}", reading.name);
            }
        }
    }
}

#[test]
fn threads_of_a_process_are_counted_together_with_those_to_come() {
    let mut counters = Counters::open(std::process::id());
    let before = by_name(&counters.read(), "task_clock").value.expect("CPU time");
    std::thread::scope(|scope| _ = scope.spawn(exercise));
    assert!(by_name(&counters.read(), "task_clock").value.expect("CPU time") > before);
}

/// HOST-6: what cannot be opened has no value.
#[test]
fn host_6_a_process_that_is_not_there_has_absent_counters_and_no_zeros() {
    let mut child = Command::new("true").spawn().expect("true");
    child.wait().expect("wait");
    for reading in Counters::open(child.id()).read() {
        let absent = reading.value.expect_err(reading.name);
        assert!(["ENOENT", "ESRCH"].contains(&absent.errno.as_str()), "{absent}");
        assert_eq!(reading.note, None, "an absent counter is not suspected");
    }
    assert!(open_all(&Event::Software(Software::TASK_CLOCK), &[i32::MAX, i32::MAX - 1], false).is_err());
}

#[test]
fn hardware_that_opens_either_counts_or_is_suspected() {
    let mut counters = Counters::open_thread();
    exercise();
    for reading in counters.read() {
        let must_move = EVENTS.iter().any(|counted| counted.name == reading.name && counted.must_move);
        if reading.value == Ok(0) && must_move {
            assert_eq!(reading.note, Some(Note::Suspicious), "{} reads 0 over work that moves it", reading.name);
        }
    }
}

#[test]
fn a_counter_that_ran_half_the_time_is_doubled() {
    assert_eq!(scaled(10, 100, 50), 20);
    assert_eq!(scaled(10, 100, 100), 10);
    assert_eq!(scaled(0, 100, 0), 0);
    assert_eq!(scaled(u64::MAX, u64::MAX, 1), u64::MAX);
}

#[test]
fn absence_is_told_by_its_name() {
    let reading = absent(&io::Error::from_raw_os_error(libc::ENOENT));
    assert_eq!(reading.to_string(), "absent (ENOENT)");
}
