//! Counters of this process. Events that the host lacks are skipped with the reason.

use super::*;
use std::io::Write;

fn by_name(readings: &[Reading], name: &str) -> Reading {
    readings.iter().find(|reading| reading.name == name).expect(name).clone()
}

#[test]
fn every_event_is_answered_in_order() {
    let names: Vec<&str> = probe_counters().iter().map(|reading| reading.name).collect();
    let expected: Vec<&str> = EVENTS.iter().map(|(name, _, _)| *name).collect();
    assert_eq!(names, expected);
}

#[test]
fn work_moves_the_counters_of_this_thread() {
    let mut counters = Counters::open_thread();
    let before = counters.read();
    exercise();
    let after = counters.read();
    for name in ["task_clock", "page_faults", "context_switches"] {
        match (by_name(&before, name).value, by_name(&after, name)) {
            (Ok(before), Reading { value: Ok(after), suspicious: false, .. }) => assert!(after > before, "{name}"),
            (_, reading) => {
                writeln!(io::stderr(), "skipped: {name} is {reading:?}; set kernel.perf_event_paranoid to 1 or less")
                    .expect("stderr")
            }
        }
    }
}

#[test]
fn threads_of_a_process_are_counted_together_with_those_to_come() {
    let mut counters = Counters::open(std::process::id());
    let before = by_name(&counters.read(), "task_clock");
    std::thread::scope(|scope| _ = scope.spawn(exercise));
    let after = by_name(&counters.read(), "task_clock");
    match (before.value, after.value) {
        (Ok(before), Ok(after)) => assert!(after > before),
        (_, Err(absent)) | (Err(absent), _) => {
            writeln!(io::stderr(), "skipped: task_clock is {absent}; set kernel.perf_event_paranoid to 1 or less")
                .expect("stderr")
        }
    }
}

/// HOST-6: what cannot be opened has no value.
#[test]
fn host_6_a_process_that_is_not_there_has_absent_counters_and_no_zeros() {
    let mut child = std::process::Command::new("true").spawn().expect("true");
    child.wait().expect("wait");
    for reading in Counters::open(child.id()).read() {
        let absent = reading.value.expect_err(reading.name);
        assert!(["ENOENT", "ESRCH"].contains(&absent.errno.as_str()), "{absent}");
        assert!(!reading.suspicious, "an absent counter is not suspected");
    }
    assert!(open_all(&Event::Software(Software::TASK_CLOCK), &[i32::MAX, i32::MAX - 1], false).is_err());
}

#[test]
fn hardware_that_opens_either_counts_or_is_suspected() {
    let mut counters = Counters::open_thread();
    exercise();
    for reading in counters.read() {
        let must_move = EVENTS.iter().any(|(name, _, must_move)| *name == reading.name && *must_move);
        if reading.value == Ok(0) && must_move {
            assert!(reading.suspicious, "{} reads 0 over work that moves it", reading.name);
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
