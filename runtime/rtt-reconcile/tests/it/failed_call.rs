//! System calls that fail, one after the other: strace answers them instead of the kernel.
//!
//! Which call fails is counted thread by thread; those before the process's work are not strikes. A short write is answered as
//! such and not carried out at all. The process itself says nothing of its end that is believed: only what it acknowledged,
//! and when.

use crate::struck::{Acks, ENDLESS, Place, Struck, Work, check};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

/// What a process may do after a call of it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// WAL-5: it acknowledges nothing more.
    Stops,
    /// It finds another way, or ends the plan otherwise: what it acknowledges then has to be true as well.
    MayGoOn,
}

/// A group, a new segment and a few groups more; two plans.
const RECORDS: Work = Work { job: "records", most: 24, ..ENDLESS };
const PLANS: Work = Work { job: "plans", most: 2, ..ENDLESS };

/// What one strike did.
enum Strike {
    /// The call was not made as often.
    Late,
    /// The call belongs to the start of the process.
    Early,
    Struck,
}

fn strike(folder: &Path, work: Work, call: &str, fault: &str, at: u64, then: Then) -> Strike {
    let context = format!("{} {call} {fault} {at}", work.job);
    let place = Place::new(folder, &folder.join("root"), 32 << 10);
    let mut acks = Acks::default();
    check(&place, &mut acks).expect("a new log");
    let before = acks;
    let (process, trace) = (place.command(work), folder.join("trace"));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "signal=none", "-e", &format!("trace={call},write")]);
    strace.args(["-e", &format!("inject={call}:{fault}:when={at}"), "-o"]).arg(&trace);
    strace.arg(process.get_program()).args(process.get_args());
    strace.envs(process.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let lines = Struck::start(&mut strace).finish(&mut acks);
    let trace = fs::read_to_string(trace).expect("a trace");
    let mut work_of_it = trace.lines().skip_while(|line| !line.contains(r#""\nbegun"#));
    let strike = match work_of_it.any(|line| line.contains("(INJECTED)")) {
        false if trace.contains("(INJECTED)") => Strike::Early,
        false => Strike::Late,
        true => {
            let after = work_of_it.find(|line| line.contains(r#""\nack "#));
            assert!(then == Then::MayGoOn || after.is_none(), "WAL-5: {context}: goes on with {after:?}");
            let stopped = lines.iter().any(|line| line.starts_with("stopped: "));
            assert!(then == Then::MayGoOn || stopped, "WAL-5: {context}: {lines:?}");
            Strike::Struck
        }
    };
    if matches!(strike, Strike::Late) {
        // Unstruck, it does all that it was told to.
        assert!(acks.records - before.records + acks.plans >= work.most, "{context}: {acks:?}, {lines:?}");
    }
    check(&place, &mut acks).unwrap_or_else(|why| panic!("{context}: {why}"));
    strike
}

/// Strikes every call of each row, and counts them: no fewer than the row says.
fn check_rows(work: Work, rows: &[(&str, &str, Then, u64)]) {
    match Command::new("strace").args(["-o", "/dev/null", "true"]).output() {
        Ok(output) if output.status.success() => {}
        other => {
            let why = other.map_or_else(|e| e.to_string(), |output| String::from_utf8_lossy(&output.stderr).into());
            let text = format!("skipped: no failed system calls: {why}; install strace, and allow ptrace");
            return writeln!(io::stderr(), "{text}").expect("stderr");
        }
    }
    let mut counts = Vec::new();
    for &(call, fault, then, least) in rows {
        let mut struck = 0;
        for at in 1.. {
            // What the disk does is not asked here, so that none is waited for where memory is to be had.
            let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
            match strike(folder.path(), work, call, fault, at, then) {
                Strike::Late => break,
                Strike::Early => {}
                Strike::Struck => struck += 1,
            }
        }
        assert!(struck >= least, "{} {call} {fault}: {struck} strikes, expected {least} or more", work.job);
        counts.push(format!("{call} {fault} {struck}"));
    }
    eprintln!("{}: strikes: {}", work.job, counts.join(", "));
}

/// WAL-2, WAL-5: whichever call fails, nothing acknowledged is lost, and the log opens and goes on.
#[test]
fn records_outlive_every_failed_call() {
    check_rows(
        RECORDS,
        &[
            ("fdatasync", "error=EIO", Then::Stops, 10),
            ("pwrite64", "error=EIO", Then::Stops, 10),
            // A full disk refuses the segment that is made ahead, and nobody needs it yet.
            ("pwrite64", "error=ENOSPC", Then::MayGoOn, 10),
            // The zeros of a new segment are written in as many writes as it takes.
            ("pwrite64", "retval=512", Then::MayGoOn, 10),
            ("fsync", "error=EIO", Then::Stops, 3),
            ("renameat", "error=EIO", Then::Stops, 1),
            ("openat", "error=EMFILE", Then::MayGoOn, 3),
            ("flock", "error=EIO", Then::Stops, 1),
        ],
    );
}

/// REC-7: whichever call fails, the base or the target runs, and a verified plan stays verified.
#[test]
fn plans_outlive_every_failed_call() {
    check_rows(
        PLANS,
        &[
            ("fdatasync", "error=EIO", Then::Stops, 6),
            ("pwrite64", "error=EIO", Then::Stops, 6),
            // Participants and the witness sync as well: their plan ends otherwise, and the next is tried.
            ("fsync", "error=EIO", Then::MayGoOn, 6),
            ("rename", "error=EIO", Then::MayGoOn, 3),
        ],
    );
}
