//! The measuring lock on temporary directories, between processes of this host.

use super::*;
use crate::Spawn;
use std::io::Write;

#[test]
fn host_5_the_second_measurement_is_refused_and_told_who_holds_the_lock() {
    let place = tempfile::tempdir().expect("a directory");
    let first = MeasuringLock::acquire_at(place.path()).expect("nobody holds it");
    let error = MeasuringLock::acquire_at(place.path()).expect_err("held");
    let HeldError::Held { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(holder.pid, Some(std::process::id()));
    assert_eq!(holder.command.as_deref(), command(std::process::id()).as_deref());
    assert!(error.to_string().contains(&format!("held by process {}", std::process::id())), "{error}");
    drop(first);
    MeasuringLock::acquire_at(place.path()).expect("given back");
}

/// HOST-5: a child that outlives the holder would keep the lock, had it inherited the directory.
#[test]
fn the_holders_children_do_not_inherit_the_lock() {
    let place = tempfile::tempdir().expect("a directory");
    let path = fs::canonicalize(place.path()).expect("a path");
    let opens = |pid: u32| {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("own process");
        entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).any(|target| target == path)
    };
    let lock = MeasuringLock::acquire_at(place.path()).expect("nobody holds it");
    // The standard library's own start, which leaves open what is not marked.
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("sleep");
    assert!(opens(std::process::id()), "the positive control");
    assert!(!opens(child.id()));
    child.kill().expect("own child");
    child.wait().expect("own child");
    drop(lock);
}

/// HOST-5: the kernel gives the lock back when the holder is killed.
#[test]
fn a_killed_holder_holds_nothing() {
    let place = tempfile::tempdir().expect("a directory");
    let child = Spawn::new("flock").argument(place.path()).arguments(["sleep", "1000"]).start();
    let Ok(mut child) = child else {
        writeln!(io::stderr(), "skipped: no `flock` program; install util-linux").expect("stderr");
        return;
    };
    // Waits until the child has it: a lock of ours in between makes it wait, and ends at once.
    let holder = loop {
        match MeasuringLock::acquire_at(place.path()) {
            Err(HeldError::Held { holder, .. }) => break holder,
            other => drop(other.expect("a directory that may be read")),
        }
        assert_eq!(child.try_wait().expect("own child"), None, "flock runs");
        std::thread::yield_now();
    };
    assert_ne!(holder.pid, Some(std::process::id()));
    // `flock` has a child of its own that inherits the lock, so the whole family has to go.
    let family = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.pid())).unwrap_or_default();
    child.kill().expect("own child");
    child.wait(None).expect("own child");
    for orphan in family.split_whitespace().filter_map(|pid| pid.parse().ok().and_then(rustix::process::Pid::from_raw))
    {
        let _ = rustix::process::kill_process(orphan, rustix::process::Signal::KILL);
    }
    while let Err(error) = MeasuringLock::acquire_at(place.path()) {
        assert!(matches!(error, HeldError::Held { .. }), "{error}");
        std::thread::yield_now();
    }
}

#[test]
fn a_place_that_cannot_be_locked_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, "").expect("a file");
    for place in [directory.path().join("nowhere"), file] {
        let error = MeasuringLock::acquire_at(&place).expect_err("no directory");
        assert!(matches!(error, HeldError::Unavailable { .. }), "{error}");
    }
}

#[test]
fn the_hosts_own_place_can_be_locked() {
    // Another measurement may run on this host right now: that is an answer as well.
    match MeasuringLock::acquire() {
        Ok(_) | Err(HeldError::Held { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn holders_are_found_by_device_and_inode() {
    let locks = "1: FLOCK  ADVISORY  WRITE 708 00:13:4321 0 EOF\n\
                 2: FLOCK  ADVISORY  READ 5 00:15:42 0 EOF\n\
                 3: POSIX  ADVISORY  WRITE 6 00:15:42 0 EOF\n\
                 4: FLOCK  ADVISORY  WRITE 911 00:15:42 0 EOF\n\
                 4: -> FLOCK  ADVISORY  WRITE 912 00:15:42 0 EOF\n\
                 5: FLOCK  ADVISORY  WRITE 0 00:16:1 0 EOF\n\
                 6: FLOCK  ADVISORY  WRITE -1 00:17:1 0 EOF\n\
                 broken";
    for (identity, pid) in
        [("00:13:4321", Some(708)), ("00:15:42", Some(911)), ("00:16:1", None), ("00:17:1", None), ("00:18:9", None)]
    {
        assert_eq!(holder(locks, identity), pid, "{identity}");
    }
    let hidden = Holder { pid: None, command: None };
    assert!(hidden.to_string().contains("another container"));
}
