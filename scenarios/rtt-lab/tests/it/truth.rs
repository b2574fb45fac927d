//! What a run says must be what happened: stalls at their true size, the lab's own lag told apart, deaths as deaths.

use crate::lab_process::{Bench, Lab, request};
use rtt_measure::{Answer, Point, Value, Verdict};
use rtt_ring::now;
use rtt_units::Nanos;
use rustix::process::{Pid, Signal, kill_process};

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

fn stalled_run(lab: &mut Lab, id: &str, ring_bytes: i64, whom: fn(&Lab) -> u32) -> Answer {
    let point = with(&lab.default_point(), &[("ring_bytes", Value::Integer(ring_bytes))]);
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
    let runs = (0..8).map(|i| stalled_run(&mut lab, &format!("stall-{i}"), 16 << 10, Lab::running_endpoint));
    let seen: Vec<Answer> = runs.take_while_inclusive_until(|answer| answer.verdict == Some(Verdict::Settled));
    let answer = seen.last().expect("a run");
    assert_eq!(answer.verdict, Some(Verdict::Settled), "none of {} runs: {answer:?}", seen.len());
    // Messages were due evenly through the stall: the last of a hundred waited for nearly all of it.
    let p99 = answer.calm.expect("quantiles").p99;
    assert!(p99 >= STALL.0 * 8 / 10, "p99 is {}", Nanos(p99));
    let trial = bench.trials().pop().expect("a record");
    assert!(trial.blocked > 0, "the ring was full");
}

/// LAB-5: a generator that stood still while the ring had room has measured itself: the trial is void. On a host so busy
/// that the endpoint itself waits as long, the two cannot be told apart, so one of a few must hold.
#[test]
fn a_paused_generator_voids_the_trial() {
    let bench = Bench::new();
    let mut lab = bench.lab();
    let runs = (0..8).map(|i| stalled_run(&mut lab, &format!("pause-{i}"), 4 << 20, |lab| lab.child.pid()));
    let seen: Vec<Answer> = runs.take_while_inclusive_until(|answer| answer.verdict == Some(Verdict::Void));
    let answer = seen.last().expect("a run");
    assert_eq!(answer.verdict, Some(Verdict::Void), "none of {} runs: {answer:?}", seen.len());
    assert!(answer.reason.as_deref().is_some_and(|reason| reason.contains("fell behind")), "{answer:?}");
    assert_eq!(answer.p99, None, "a void trial has no p99");
    assert_eq!(bench.trials().pop().expect("a record").blocked, 0, "the ring was never full");
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
