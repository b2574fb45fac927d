//! What a run says must be what happened: stalls at their true size, the lab's own lag told apart, deaths as deaths.

use crate::lab_process::{Bench, Lab, request};
use rtt_measure::{Answer, Point, Value, Verdict};
use rtt_ring::now;
use rtt_units::Nanos;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;

/// Length of a stall: a tenth of the run, so that the 99th percentile lies well inside it.
const STALL: Nanos = Nanos(100_000_000);

/// Passes the time until the run is well under way, then stops `pid` for [`STALL`].
fn stall(pid: u32) {
    let until = now().saturating_add(Nanos::from_millis(300));
    while now() < until {
        std::thread::yield_now();
    }
    let pid = Pid::from_raw(pid as i32).expect("a process id");
    kill_process(pid, Signal::STOP).expect("stopped");
    let until = now().saturating_add(STALL);
    while now() < until {
        std::thread::yield_now();
    }
    kill_process(pid, Signal::CONT).expect("continued");
}

fn with(point: &Point, changes: &[(&str, Value)]) -> Point {
    let mut point = point.clone();
    point.extend(changes.iter().map(|(name, value)| (name.to_string(), value.clone())));
    point
}

fn stalled_run(lab: &mut Lab, id: &str, ring_bytes: i64, pin: &str, whom: fn(&Lab) -> u32) -> Answer {
    let changes = [("ring_bytes", Value::Integer(ring_bytes)), ("pin", Value::Text(pin.into()))];
    let point = with(&lab.default_point(), &changes);
    lab.ask(&request(id, "steady", &point));
    let endpoint = lab.running_endpoint();
    assert_ne!(endpoint, lab.child.pid());
    stall(whom(lab));
    lab.answer()
}

/// LAB-3, LAB-4 and LAB-5: a consumer that stood still shows in the tail at its true size, although a full ring kept the
/// generator from sending, and the trial is not void for it. A busy host may void any single trial for lag of its
/// own, so one of a few must hold.
#[test]
fn a_stalled_consumer_is_in_the_tail_at_its_true_size() {
    let bench = Bench::new();
    let mut lab = bench.lab();
    let runs =
        (0..8).map(|i| stalled_run(&mut lab, &format!("stall-{i}"), 16 << 10, "unpinned", Lab::running_endpoint));
    let seen: Vec<Answer> = runs.take_while_inclusive_until(|answer| answer.verdict == Some(Verdict::Settled));
    let answer = seen.last().expect("a run");
    assert_eq!(answer.verdict, Some(Verdict::Settled), "none of {} runs: {answer:?}", seen.len());
    // Messages were due evenly through the stall: the last of a hundred waited for nearly all of it.
    let p99 = answer.calm.expect("quantiles").p99;
    assert!(p99 >= STALL.0 * 8 / 10, "p99 is {}", Nanos(p99));
    let trial = bench.trials().pop().expect("a record");
    assert!(trial.blocked > 0, "the ring was full");
}

/// LAB-5 and LAB-8: a generator that stood still while the ring had room has measured itself: the slices of its pause are left out, and
/// the run is a result without them, also where it shares its CPU with an endpoint that did not use it meanwhile. On a host so
/// busy that the endpoint itself waits as long, the two cannot be told apart, so one of a few must hold.
#[test]
fn a_paused_generator_costs_slices_and_not_the_run() {
    let bench = Bench::new();
    let mut lab = bench.lab();
    for pin in ["unpinned", "same_cpu"] {
        let runs = (0..8).map(|i| stalled_run(&mut lab, &format!("{pin}-{i}"), 4 << 20, pin, |lab| lab.child.pid()));
        let holds = |answer: &Answer| answer.verdict == Some(Verdict::Settled) && answer.slices_held_up >= 2;
        let seen: Vec<Answer> = runs.take_while_inclusive_until(holds);
        let answer = seen.last().expect("a run");
        assert!(holds(answer), "{pin}: none of {} runs: {answer:?}", seen.len());
        assert!(answer.p99.is_some_and(|p99| p99 < STALL.0 as f64 / 2.0), "{pin}: {answer:?}");
        let trial = bench.trials().pop().expect("a record");
        assert_eq!(trial.blocked, 0, "the ring was never full");
        assert!(trial.with_lag_p99_ns.is_some_and(|p99| p99 >= STALL.0 / 2), "the pause is in the record: {trial:?}");
    }
}

/// LAB-7: two that spin on one CPU take turns of milliseconds, a ring's worth each: far from the load that was asked for.
/// The run ends when it is later than it is long, as a finding about the knobs.
#[test]
fn an_endpoint_that_cannot_keep_up_ends_the_run() {
    let bench = Bench::new();
    let mut lab = bench.lab();
    let changes = [
        ("ring_bytes", Value::Integer(16 << 10)),
        ("pin", Value::Text("same_cpu".into())),
        ("wait", Value::Text("spin".into())),
        ("spin_us", Value::Integer(0)),
    ];
    let point = with(&lab.default_point(), &changes);
    let short = rtt_measure::MeasureRequest { share: 0.1, ..request("overloaded", "busy", &point) };
    let answer = lab.measure(&short);
    assert_eq!(answer.verdict, Some(Verdict::NeverSettled), "{answer:?}");
    assert!(answer.reason.as_deref().is_some_and(|reason| reason.starts_with("overloaded")), "{answer:?}");
    assert_eq!(answer.p99, None);
}

/// A delay that an arm's endpoint was started with is in every one of its latencies, and in no other arm's.
#[test]
fn an_argument_of_one_arm_slows_that_arm_down() {
    let bench = Bench::new();
    let endpoint = bench.spawn();
    let mut lab = Lab::start(endpoint.argument("--endpoint-argument").argument("*=--delay-ns=20000"));
    let point = lab.default_point();
    let answer = lab.measure(&rtt_measure::MeasureRequest { share: 0.1, ..request("slow", "ping_pong", &point) });
    let p50 = answer.calm.map(|calm| calm.p50);
    assert!(p50.is_some_and(|p50| p50 >= 19_000), "{answer:?}");
    assert_eq!(lab.hello.endpoints["*"].arguments, ["--delay-ns=20000"], "it is in the log's first record");
}

/// LAB-4: where both ends run is what the pin class says, read back from the kernel.
#[test]
fn pin_is_where_both_ends_run() {
    let bench = Bench::new();
    let mut lab = bench.lab();
    let axis = lab.hello.axes.iter().find(|axis| axis.name == "pin").expect("an axis");
    let classes: Vec<String> = axis.values.iter().map(ToString::to_string).collect();
    for class in &classes {
        let point = with(&lab.default_point(), &[("pin", Value::Text(class.clone()))]);
        let quick = rtt_measure::MeasureRequest { share: 0.1, ..request(class, "ping_pong", &point) };
        assert_ne!(lab.measure(&quick).verdict, Some(Verdict::Crashed), "{class}");
        let [producer, consumer] = bench.trials().pop().expect("a record").cpus.expect("read back");
        let single = |cpus: &String| cpus.parse::<u32>().is_ok();
        match class.as_str() {
            "same_cpu" => assert!(producer == consumer && single(&producer), "{producer} {consumer}"),
            "unpinned" => assert_eq!(producer, consumer, "{class}"),
            _ => assert!(producer != consumer && single(&producer) && single(&consumer), "{producer} {consumer}"),
        }
    }
    assert!(classes.iter().any(|class| class == "same_cpu"), "every host has it: {classes:?}");
}

/// A class that the host does not have is no measurement that failed, and no defect of the endpoint.
#[test]
fn what_the_lab_cannot_do_is_no_crash() {
    let bench = Bench::new();
    let mut lab = bench.lab();
    let absent = lab.hello.absent.iter().find(|absent| absent.axis == "pin").and_then(|absent| absent.value.clone());
    let Some(absent) = absent else {
        let _ = writeln!(std::io::stderr(), "skipped: an absent pin class: this host has all; run on a smaller one");
        return;
    };
    let point = with(&lab.default_point(), &[("pin", Value::Text(absent.clone()))]);
    let answer = lab.measure(&request("absent", "ping_pong", &point));
    assert_eq!(answer.verdict, Some(Verdict::Void), "{answer:?}");
    assert!(answer.reason.as_deref().is_some_and(|reason| reason.contains(&absent)), "{answer:?}");
}

/// The memory that a budget bounds holds the rings, and each of them once.
#[test]
fn memory_grows_with_the_ring_and_by_no_more() {
    let bench = Bench::new();
    let mut lab = bench.lab();
    let mut memory = |ring_bytes: i64| {
        let point = with(&lab.default_point(), &[("ring_bytes", Value::Integer(ring_bytes))]);
        let id = format!("ring-{ring_bytes}");
        lab.measure(&rtt_measure::MeasureRequest { share: 0.1, ..request(&id, "fan_in", &point) });
        bench.trials().pop().expect("a record").memory_bytes as i64
    };
    let (small, large) = (memory(16 << 10), memory(4 << 20));
    let grown = large - small;
    // Four rings. What else the process holds, histograms above all, differs by some MiB from run to run.
    assert!((9 << 20..23 << 20).contains(&grown), "{small} and {large}: {grown} more, expected about 16 MiB");
}

/// LAB-4: what the endpoint could not honour is no result.
#[test]
fn huge_pages_that_the_host_does_not_have_void_the_trial() {
    let bench = Bench::new();
    let mut lab = bench.lab();
    if lab.hello.absent.iter().all(|absent| absent.axis != "huge_pages") {
        let _ = writeln!(std::io::stderr(), "skipped: absent huge pages: this host has some; run without them");
        return;
    }
    let point = with(&lab.default_point(), &[("huge_pages", Value::Text("on".into()))]);
    let answer = lab.measure(&request("huge", "ping_pong", &point));
    assert_eq!(answer.verdict, Some(Verdict::Void), "{answer:?}");
    assert_eq!(answer.knobs.map(|knobs| knobs.huge_pages), Some(false), "as read back");
}

/// CHAOS-2: a fault whose process is gone did not strike, and its trial is no calm one.
#[test]
fn a_fault_that_did_not_strike_voids_the_trial() {
    let bench = Bench::new();
    let mut lab = bench.lab();
    let faults = Some(lab.hello.faults[0].digest);
    let point = lab.default_point();
    lab.ask(&rtt_measure::MeasureRequest { faults, ..request("killed", "steady", &point) });
    let endpoint = lab.running_endpoint();
    for child in lab.children().into_iter().filter(|&child| child != endpoint) {
        let _ = kill_process(Pid::from_raw(child as i32).expect("a process id"), Signal::KILL);
    }
    let answer = lab.answer();
    assert_eq!(answer.verdict, Some(Verdict::Void), "{answer:?}");
    assert!(answer.reason.as_deref().is_some_and(|reason| reason.contains("did not strike")), "{answer:?}");
}

#[test]
fn an_endpoint_that_dies_is_a_crash_with_its_signal() {
    let bench = Bench::new();
    let mut lab = bench.lab();
    let point = lab.default_point();
    lab.ask(&request("death", "steady", &point));
    let endpoint = Pid::from_raw(lab.running_endpoint() as i32).expect("a process id");
    kill_process(endpoint, Signal::KILL).expect("killed");
    let answer = lab.answer();
    assert_eq!(answer.verdict, Some(Verdict::Crashed), "{answer:?}");
    assert!(answer.reason.as_deref().is_some_and(|reason| reason.contains("Signal(9)")), "{answer:?}");
    let again = lab.measure(&request("life", "ping_pong", &point));
    assert_ne!(again.verdict, Some(Verdict::Crashed), "the next trial has an endpoint of its own: {again:?}");
}

/// CHAOS-1 and CHAOS-2: every planned fault struck, at the planned time or later, for both arms alike.
#[test]
fn faults_strike_and_are_proved_the_same_for_every_arm() {
    let bench = Bench::new();
    let mut lab = bench.lab();
    let faults = Some(lab.hello.faults[0].digest);
    let default = lab.default_point();
    let other = with(&default, &[("batch", Value::Integer(1))]);
    // On a busy host a hog may get no CPU and a trial be void for it: each arm has a few tries.
    let mut whole = |name: &str, point: &Point| {
        let missed = |answer: &Answer| answer.reason.as_deref().is_some_and(|why| why.contains("did not strike"));
        let runs = (0..8).map(|i| {
            let id = format!("{name}-{i}");
            let answer = lab.measure(&rtt_measure::MeasureRequest { faults, ..request(&id, "steady", point) });
            assert!(answer.faulted.is_some() && answer.calm.is_none(), "{answer:?}");
            (id, answer)
        });
        let seen: Vec<_> = runs.take_while_inclusive_until(|(_, answer)| !missed(answer));
        seen.last().expect("a run").0.clone()
    };
    let ids = [whole("first", &default), whole("second", &other)];
    let mut trials = bench.trials();
    trials.retain(|trial| ids.contains(&trial.id));
    let planned = |index: usize| -> Vec<(String, u64, u64)> {
        let strikes = trials[index].strikes.iter();
        strikes.map(|strike| (strike.fault.clone(), strike.at_ns, strike.duration_ns)).collect()
    };
    assert_eq!(planned(0), planned(1));
    assert_eq!(planned(0).len(), 5, "each kind of fault");
    for strike in trials.iter().flat_map(|trial| &trial.strikes) {
        let struck = strike.struck_at_ns.unwrap_or_else(|| panic!("{strike:?}"));
        assert!(struck >= strike.at_ns && strike.ended_at_ns >= Some(struck), "{strike:?}");
    }
}

/// The items up to and with the first that `done` holds for.
trait TakeUntil: Iterator + Sized {
    fn take_while_inclusive_until(self, done: impl Fn(&Self::Item) -> bool) -> Vec<Self::Item> {
        let mut taken = Vec::new();
        for item in self {
            let last = done(&item);
            taken.push(item);
            if last {
                break;
            }
        }
        taken
    }
}

impl<I: Iterator> TakeUntil for I {}
