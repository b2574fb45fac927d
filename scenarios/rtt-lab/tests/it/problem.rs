//! The problem protocol, the log and the lock, from outside.

use crate::lab_process::{Bench, Lab, request};
use rtt_host::{Ended, reachable_cpus};
use rtt_measure::{Arm, MeasureRequest, Value, Verdict};
use rtt_units::{CpuId, CpuSet};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

#[test]
fn the_hello_says_what_can_be_run_here() {
    let bench = Bench::new();
    let lab = bench.lab();
    let names: Vec<&str> = lab.hello.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
    for name in ["ping_pong", "steady", "poisson", "burst", "fan_in", "mixed_payload", "busy", "frugal"] {
        assert!(names.contains(&name), "{name} is none of {names:?}");
    }
    assert_eq!(lab.hello.protocol, Some(1));
    assert_eq!(lab.hello.endpoints["*"].knobs, rtt_profile::KNOB_NAMES);
    rtt_measure::knobs_of(&lab.default_point()).expect("the default is knobs");
}

#[test]
fn what_is_no_measurement_is_answered_and_runs_nothing() {
    let bench = Bench::new();
    let mut lab = bench.lab();
    let point = lab.default_point();
    let mut far = point.clone();
    far.insert("batch".into(), Value::Integer(100_000));
    let json = |request: &MeasureRequest| serde_json::to_string(request).expect("JSON");
    for (line, part) in [
        ("nonsense".into(), "malformed"),
        ("{}".into(), "expected an object"),
        (r#"{"truth": {}}"#.into(), "no truth"),
        (json(&request("a", "no_such", &point)), "no scenario `no_such`"),
        (json(&request("a", "steady", &far)), "1..=256"),
        (json(&MeasureRequest { scenario: None, ..request("a", "steady", &point) }), "no scenario was named"),
    ] {
        lab.say(&line);
        let answer = lab.answer();
        assert!(answer.error.as_deref().is_some_and(|error| error.contains(part)), "{line}: {answer:?}");
    }
    assert!(bench.trials().is_empty());
}

/// An endpoint of another build that does not take a knob's value: one side of a comparison has no other point, so it is
/// answered with both versions and leaves no record; a search goes on, and its record says why.
#[test]
fn an_endpoint_that_does_not_take_the_knobs_is_named() {
    let bench = Bench::new();
    let path = bench.folder.path().join("old-endpoint");
    let hello = serde_json::json!({
        "hello": { "version": 1, "build": "rtt-endpoint 0.0.7", "knobs": rtt_profile::KNOB_NAMES, "profile": false },
    });
    let script = format!(
        "#!/bin/sh\nread -r hello\necho '{hello}' >&0\nread -r configure\necho '{{\"error\": \"spin_us: too long\"}}' >&0\n"
    );
    std::fs::write(&path, script).expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it may run");
    let mut lab = Lab::start(bench.spawn_on(&path));
    let point = lab.default_point();
    let base = MeasureRequest { arm: Some(Arm::Base), ..request("base", "steady", &point) };
    let refused = lab.measure(&base).error.expect("it is no trial");
    for part in ["old-endpoint", "rtt-endpoint 0.0.7", "spin_us: too long", "rtt-lab"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert!(bench.trials().is_empty());
    let searched = lab.measure(&request("search", "steady", &point));
    assert_eq!(searched.verdict, Some(Verdict::Crashed));
    assert!(searched.reason.is_some_and(|reason| reason.contains("spin_us: too long")));
}

/// LAB-6: a lab that was killed in the middle of a trial answers the trials before it from the log.
#[test]
fn a_killed_lab_is_resumed_from_its_log() {
    let bench = Bench::new();
    let mut lab = bench.lab();
    let point = lab.default_point();
    let first = lab.measure(&request("one", "ping_pong", &point));
    lab.ask(&request("two", "ping_pong", &point));
    lab.running_endpoint();
    lab.child.kill().expect("killed");
    lab.child.wait(None).expect("reaped");
    assert_eq!(bench.trials().len(), 1);

    let mut lab = bench.lab();
    assert_eq!(lab.default_point(), point, "the default is the log's, not measured again");
    assert_eq!(lab.measure(&request("one", "ping_pong", &point)), first, "answered from the log");
    assert_eq!(bench.trials().len(), 1, "and not run again");
    let changed = MeasureRequest { arm: Some(Arm::Placebo), ..request("one", "ping_pong", &point) };
    let refused = lab.measure(&changed).error.expect("another arm under the same id");
    assert!(refused.contains("another arm"), "{refused}");
    let second = lab.measure(&request("two", "ping_pong", &point));
    assert_ne!(second.verdict, Some(Verdict::Crashed), "{second:?}");
    assert_eq!(bench.trials().len(), 2);
}

/// The state of process `pid`, as `/proc/PID/stat` has it.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Nothing outlives a lab that was killed in the middle of a faulted run, and its undo with it: not the endpoint while it
/// is paused, and no fault.
#[test]
fn what_a_killed_lab_started_dies_with_it() {
    let bench = Bench::new();
    let mut lab = bench.lab();
    let point = lab.default_point();
    let faults = Some(lab.hello.faults[0].digest);
    // A pause lasts some milliseconds: one of a few runs is caught in it.
    let paused = (0..20).any(|attempt| {
        lab.ask(&MeasureRequest { faults, ..request(&format!("killed-{attempt}"), "steady", &point) });
        let endpoint = lab.running_endpoint();
        let caught = loop {
            match state(endpoint) {
                Some('T') => break true,
                Some(_) if !lab.children().is_empty() => {}
                _ => break false,
            }
        };
        if !caught {
            lab.answer();
        }
        caught
    });
    assert!(paused, "no run was caught while its endpoint was paused");
    let started = lab.children();
    assert!(started.len() > 1, "an endpoint and the faults' processes: {started:?}");
    lab.child.kill().expect("killed");
    lab.child.wait(None).expect("reaped");
    for pid in started {
        // Dead is gone, or a zombie that its new parent has not reaped yet, or another process under the old number.
        let lives = |stat: String| stat.contains("(rtt-") && !stat.contains(") Z ");
        while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(lives) {
            std::thread::yield_now();
        }
    }
}

/// A lab that was started on one CPU, as the kernel starts it off the isolated ones, and is told another.
#[test]
fn all_that_a_lab_starts_runs_on_the_cpus_it_is_told() {
    let cpus: Vec<CpuId> = reachable_cpus().iter().collect();
    let [first, .., last] = cpus.as_slice() else {
        writeln!(std::io::stderr(), "skipped: one CPU can be reached; run with two or more").expect("stderr");
        return;
    };
    let bench = Bench::new();
    let spawn = bench.spawn().cpus(CpuSet::from_iter([*first])).argument("--cpus").argument(last.to_string());
    let mut lab = Lab::start(spawn);
    let point = lab.default_point();
    let faults = Some(lab.hello.faults[0].digest);
    lab.ask(&MeasureRequest { faults, ..request("elsewhere", "steady", &point) });
    lab.running_endpoint();
    let started = lab.children();
    assert!(started.len() > 1, "an endpoint and the faults' processes: {started:?}");
    for pid in started {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a row");
        assert_eq!(list.trim(), last.to_string(), "{status}");
    }
    lab.answer();
    let trial = bench.trials().pop().expect("a record");
    assert_eq!(trial.cpus, Some([last.to_string(), last.to_string()]), "{:?}", trial.reason);
}

#[test]
fn a_second_measurement_is_refused_with_the_holder_named() {
    let bench = Bench::new();
    let lab = bench.lab();
    let mut second = bench.spawn().stderr(Stdio::piped()).start().expect("it starts");
    assert_eq!(second.wait(None).expect("it ends"), Ended::Code(15));
    let mut message = String::new();
    second.take_stderr().expect("piped").read_to_string(&mut message).expect("text");
    assert!(message.contains(&lab.child.pid().to_string()), "{message}");
}

#[test]
fn a_log_of_other_inputs_or_with_damage_is_refused() {
    let bench = Bench::new();
    drop(bench.lab());
    let refused = |code: i32, part: &str| {
        let mut lab = bench.spawn().stderr(Stdio::piped()).start().expect("it starts");
        assert_eq!(lab.wait(None).expect("it ends"), Ended::Code(code));
        let mut message = String::new();
        lab.take_stderr().expect("piped").read_to_string(&mut message).expect("text");
        assert!(message.contains(part), "{message}");
    };
    let log = std::fs::read(bench.log()).expect("the log");
    let mut damaged = log.clone();
    damaged[log.len() / 2] ^= 1;
    std::fs::write(bench.log(), damaged).expect("written");
    refused(1, "line 1 is damaged");
    let mut foreign = std::fs::File::create(bench.log()).expect("a file");
    foreign.write_all(b"{}\n").expect("written");
    refused(1, "line 1 is damaged");
}
