//! One trial: a fresh endpoint process, the generator, the faults, and what came of it.
//!
//! LAB-4  A run is a result only when it settled, its generator kept its schedule, every fault struck, and the knobs
//!        that the endpoint read back are those that were asked for. Anything else says why it is none.

use crate::arrivals::Arrivals;
use crate::facts::Facts;
use crate::faults::Strikers;
use crate::generator::{self, Pace, Run, Sent};
use crate::serve::Executable;
use crate::settle::warm_up;
use crate::sliced::{self, Kept, lags, struck_slices};
use hdrhistogram::Histogram;
use rtt_host::{Child, CpuClock, Placement, ProcessCost, Spawn};
use rtt_measure::{
    CounterReading, Disruption, Interference, Quantiles, RegimeProbe, StrikeProof, Verdict, decode_histogram,
    encode_histogram, quantiles,
};
use rtt_profile::Knobs;
use rtt_ring::now;
use rtt_runtime::control::{Configure, Report};
use rtt_runtime::telemetry::{SLICES, SlicedHistogram};
use rtt_runtime::{Client, ClientError, wait_strategy};
use rtt_scenario::{Arrival, FaultPlan, Scenario};
use rtt_units::{CpuSet, Nanos, Rate};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// From the request to start until the first message is due: the loop touches its histograms in it.
const LEAD: Nanos = Nanos(20_000_000);
/// How long an endpoint may take for an answer beyond the run itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is run.
pub struct Trial<'a> {
    /// The endpoint.
    pub endpoint: &'a Executable,
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Messages per second in an open loop; `None` floods, or is a closed loop.
    pub rate: Option<Rate>,
    /// The knobs.
    pub knobs: &'a Knobs,
    /// Seed of arrivals, sizes and faults.
    pub seed: u64,
    /// How long messages are due.
    pub length: Nanos,
    /// Fewest samples of a result.
    pub samples_min: u64,
    /// What waking a sleeper costs on this host.
    pub wake_cost: Nanos,
    /// Faults beside it.
    pub faults: Option<&'a FaultPlan>,
    /// Folder for the faults' nameless files.
    pub folder: &'a Path,
}

/// What came of it; the record's fields but for its identity.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// Why it is no result.
    pub reason: Option<String>,
    /// Knobs as read back.
    pub readback: Option<Knobs>,
    /// CPUs of producer and consumer as read back.
    pub cpus: Option<[String; 2]>,
    /// Bytes of a page of the rings.
    pub page_bytes: Option<u64>,
    /// Latencies after warm-up.
    pub quantiles: Option<Quantiles>,
    /// 99th percentile with the generator's own lag in it.
    pub with_lag_p99_ns: Option<u64>,
    /// Latencies after warm-up, whole.
    pub histogram: Option<String>,
    /// Medians of the slices.
    pub slices_ns_p50: Vec<u64>,
    /// 99th percentiles of the slices.
    pub slices_ns_p99: Vec<u64>,
    /// Slices that the typical p99 is drawn from.
    pub slices_kept: Vec<u32>,
    /// Slices in which the host held the generator up.
    pub slices_held_up: u32,
    /// What decides.
    pub typical_ns_p99: Option<u64>,
    /// What the faults came to.
    pub disruption: Option<Disruption>,
    /// Slices of warm-up.
    pub warm_up_slices: u32,
    /// Messages per second that were handled.
    pub achieved_per_s: u64,
    /// Messages sent.
    pub sent: u64,
    /// Times that a full ring made the generator wait.
    pub blocked: u64,
    /// The endpoint's report.
    pub report: Option<Report>,
    /// Memory of the endpoint in bytes.
    pub memory_bytes: u64,
    /// The rest of the machine.
    pub interference: Interference,
    /// Probes around the run.
    pub regime: Option<RegimeProbe>,
    /// Why there are none.
    pub regime_absent: Option<String>,
    /// Faults.
    pub strikes: Vec<StrikeProof>,
}

/// The endpoint, named with its version, does not take the knobs, for this reason; nothing was run.
#[derive(Debug)]
pub struct NotTaken(pub String);

/// A run that broke off.
enum Broken {
    /// The endpoint does not take the knobs.
    NotTaken(String),
    /// The lab could not do its part: no result, and no fault of the endpoint.
    Lab(String),
    /// The endpoint died or answered something else: a defect.
    Endpoint(String),
    /// The knobs cannot keep up with the load: a finding about them, and no defect.
    Overloaded(String),
}

impl Broken {
    fn lab(error: &dyn std::error::Error) -> Broken {
        Broken::Lab(rtt_seal::in_full(error))
    }
}

impl From<ClientError> for Broken {
    fn from(error: ClientError) -> Broken {
        // A knob that cannot be sent and a ring that this process cannot map are no defects of the endpoint.
        let ours = matches!(error, ClientError::Unread { .. } | ClientError::Attach(_));
        let broken = if ours { Broken::Lab } else { Broken::Endpoint };
        broken(rtt_seal::in_full(&error))
    }
}

impl From<generator::GenerateError> for Broken {
    fn from(error: generator::GenerateError) -> Broken {
        let broken = match error {
            generator::GenerateError::Overloaded { .. } => Broken::Overloaded,
            generator::GenerateError::Behind { .. } => Broken::Lab,
            generator::GenerateError::Stuck | generator::GenerateError::Endpoint { .. } => Broken::Endpoint,
        };
        broken(rtt_seal::in_full(&error))
    }
}

/// What a run leaves, before it is judged.
struct Ran {
    placed: Placement,
    producer_cpus: CpuSet,
    ready: rtt_runtime::control::Ready,
    sent: Sent,
    round_trips: Option<SlicedHistogram>,
    report: Report,
    start: Nanos,
    memory_bytes: u64,
    strikes: Vec<StrikeProof>,
}

/// Runs `trial` once.
///
/// # Errors
/// [`NotTaken`].
pub fn run(facts: &mut Facts, trial: &Trial) -> Result<Outcome, NotTaken> {
    let placed = facts.topology.place(trial.knobs.pin, &facts.allowed, 1);
    let (producer, consumer) = placed
        .map_or_else(|_| (facts.allowed.clone(), facts.allowed.clone()), |placed| (placed.producer, placed.consumer));
    let probed_before = facts.probe_regime(&producer, &consumer);
    let before = rtt_host::Interference::read();
    let ran = drive(facts, trial);
    let interference = before.and_then(|before| Ok(rtt_host::Interference::read()?.since(&before)));
    let probed_after = facts.probe_regime(&producer, &consumer);
    let regime = probed_before.and_then(|(cpus, before_ns)| {
        let (_, after_ns) = probed_after?;
        Ok(RegimeProbe { cpus, before_ns, after_ns })
    });
    let (regime, regime_absent) = match regime {
        Ok(probe) => (Some(probe), None),
        Err(reason) => (None, Some(reason)),
    };
    let micros = |span: Nanos| span.0 / 1_000;
    let interference = interference.map_or_else(
        |_| Interference::default(),
        |seen| Interference {
            steal_us: micros(seen.steal),
            psi_cpu_us: seen.cpu_pressure.map(micros),
            psi_memory_us: seen.memory_pressure.map(micros),
            psi_io_us: seen.io_pressure.map(micros),
        },
    );
    let ended = match ran {
        Ok(ran) => judge(trial, ran),
        Err(Broken::NotTaken(reason)) => return Err(NotTaken(reason)),
        Err(Broken::Endpoint(reason)) => crashed(reason),
        Err(Broken::Lab(reason)) => Outcome { verdict: Verdict::Void, ..crashed(reason) },
        Err(Broken::Overloaded(reason)) => Outcome { verdict: Verdict::NeverSettled, ..crashed(reason) },
    };
    Ok(Outcome { interference, regime, regime_absent, ..ended })
}

/// The outcome of a run that broke off.
pub fn crashed(reason: String) -> Outcome {
    Outcome {
        verdict: Verdict::Crashed,
        reason: Some(reason),
        readback: None,
        cpus: None,
        page_bytes: None,
        quantiles: None,
        with_lag_p99_ns: None,
        histogram: None,
        slices_ns_p50: Vec::new(),
        slices_ns_p99: Vec::new(),
        slices_kept: Vec::new(),
        slices_held_up: 0,
        typical_ns_p99: None,
        disruption: None,
        warm_up_slices: 0,
        achieved_per_s: 0,
        sent: 0,
        blocked: 0,
        report: None,
        memory_bytes: 0,
        interference: Interference::default(),
        regime: None,
        regime_absent: None,
        strikes: Vec::new(),
    }
}

/// An endpoint that was started for one trial.
struct Started {
    child: Child,
    client: Client,
    /// Name and version that it says.
    build: String,
}

fn start_endpoint(trial: &Trial, allowed: &CpuSet) -> Result<Started, Broken> {
    let (ours, theirs) = UnixStream::pair().map_err(|error| Broken::lab(&error))?;
    let child = Spawn::new(&trial.endpoint.path)
        .argument("--control-on-stdin")
        .arguments(&trial.endpoint.arguments)
        .cpus(allowed.clone())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(std::io::stderr()))
        .start()
        .map_err(|error| Broken::Endpoint(rtt_seal::in_full(&error)))?;
    let patience = Some(trial.length.as_duration() + PATIENCE);
    ours.set_read_timeout(patience).map_err(|error| Broken::lab(&error))?;
    let mut client = Client::new(ours);
    let build = client.hello()?.build;
    Ok(Started { child, client, build })
}

fn drive(facts: &Facts, trial: &Trial) -> Result<Ran, Broken> {
    let workload = &trial.scenario.workload;
    let placed = facts.topology.place(trial.knobs.pin, &facts.allowed, 1).map_err(|error| Broken::lab(&error))?;
    let Started { mut child, mut client, build } = start_endpoint(trial, &facts.allowed)?;
    let configured = client.configure(&Configure {
        knobs: Some(trial.knobs.clone()),
        rings: workload.producers,
        reply: workload.reply,
        cpus: Some(placed.consumer.to_string()),
    });
    let ready = configured.map_err(|error| match error {
        ClientError::Refused(reason) => Broken::NotTaken(format!("{build} does not take the knobs: {reason}")),
        error => error.into(),
    })?;
    let pidfd = || child.pidfd().try_clone_to_owned().map_err(|error| Broken::lab(&error));
    let mut rings = Vec::new();
    for ring in 0..workload.producers {
        rings.push(client.attach_producer(ring, Some(pidfd()?))?);
    }
    let replies = if workload.reply { Some(client.attach_replies(0, Some(pidfd()?))?) } else { None };
    let schedule = trial.faults.map(|plan| plan.draw(trial.seed, trial.length));
    let strikers = schedule
        .as_ref()
        .map(|schedule| Strikers::start(schedule, &placed.consumer, trial.folder).map(|strikers| (strikers, schedule)));
    let mut strikers = strikers.transpose().map_err(Broken::Lab)?;
    let start = now().saturating_add(LEAD);
    client.start(start, trial.length)?;
    let shared_cpu = placed.producer.len() == 1 && placed.producer == placed.consumer || facts.allowed.len() == 1;
    let run = Run {
        start,
        length: trial.length,
        batch: trial.knobs.batch,
        wait: wait_strategy(trial.knobs),
        pace: if shared_cpu { Pace::Yield } else { Pace::Spin },
    };
    let faulting = strikers.iter().flat_map(|(strikers, _)| strikers.pids());
    let sharing = std::iter::once(child.pid()).chain(faulting).filter(|_| shared_cpu).map(CpuClock::of);
    let clocks: Vec<CpuClock> = sharing.collect::<Result<_, _>>().map_err(|error| Broken::lab(&error))?;
    let arrivals = Arrivals::new(workload, trial.rate, trial.seed);
    let closed = workload.arrival == Arrival::ClosedLoop;
    let cpus = placed.producer.clone();
    let (generated, strikes) = std::thread::scope(|scope| {
        let generate = move || -> Result<(CpuSet, Sent, Option<SlicedHistogram>), Broken> {
            let pinned = rtt_host::pin_thread(&cpus).map_err(|error| Broken::lab(&error))?;
            match (closed, replies, rings) {
                (true, Some(replies), mut rings) if rings.len() == 1 => {
                    let ring = rings.remove(0);
                    let (sent, round_trips) = generator::closed_loop(run, arrivals, ring, replies)?;
                    Ok((pinned, sent, Some(round_trips)))
                }
                (true, ..) => Err(Broken::Lab("a closed loop needs one ring and its replies".into())),
                (false, _, rings) => Ok((pinned, generator::open_loop(run, &clocks, arrivals, rings)?, None)),
            }
        };
        let thread = std::thread::Builder::new().name("rtt-generator".into()).spawn_scoped(scope, generate);
        let strikes =
            strikers.as_mut().map(|(strikers, schedule)| strikers.strike(schedule, start, trial.length, &child));
        let joined = thread.map(|thread| thread.join());
        (joined, strikes.unwrap_or_default())
    });
    let generated = generated.map_err(|error| Broken::lab(&error))?;
    let generated = generated.map_err(|_| Broken::Lab("the generator panicked".into()))?;
    let (producer_cpus, sent, round_trips) = generated.map_err(|broken| ended_early(&mut child, broken))?;
    // The rings are unmapped by now, and were mapped twice over while they were not: they are counted as what they hold.
    let anonymous = ProcessCost::read(child.pid()).map_or(0, |cost| cost.anonymous.0);
    let memory_bytes = anonymous + ready.ring_bytes_total;
    let report = client.finish().map_err(|error| ended_early(&mut child, error.into()))?;
    Ok(Ran { placed, producer_cpus, ready, sent, round_trips, report, start, memory_bytes, strikes })
}

/// Adds how the endpoint ended, where it did.
fn ended_early(child: &mut Child, broken: Broken) -> Broken {
    match (broken, child.wait(Some(Nanos::from_millis(200)))) {
        (Broken::Endpoint(reason), Ok(ended)) => {
            Broken::Endpoint(format!("{reason}; the endpoint ended with {ended:?}"))
        }
        (broken, _) => broken,
    }
}

fn decoded(slices: &[String]) -> Result<Vec<Histogram<u64>>, String> {
    slices.iter().map(|slice| decode_histogram(slice).map_err(|error| error.to_string())).collect()
}

fn merged(slices: &[Histogram<u64>]) -> Histogram<u64> {
    let mut whole = Histogram::new(3).expect("three digits");
    for slice in slices {
        whole.add(slice).expect("the sum resizes");
    }
    whole
}

/// The slices of a run, from the intended time and without the generator's own lag: the same in a closed loop, which has no
/// schedule to fall behind.
fn slices_of(ran: &Ran) -> Result<[Vec<Histogram<u64>>; 2], String> {
    if let Some(round_trips) = &ran.round_trips {
        let slices: Vec<_> = round_trips.slices().collect();
        return Ok([slices.clone(), slices]);
    }
    let mut both = [Vec::new(), Vec::new()];
    for (slices, told) in both.iter_mut().zip([&ran.report.latencies, &ran.report.lag_free]) {
        *slices = decoded(told).map_err(|error| format!("the endpoint's report: {error}"))?;
        if slices.len() != SLICES {
            return Err(format!("{} slices came, expected {SLICES}", slices.len()));
        }
    }
    Ok(both)
}

/// LAB-4
fn judge(trial: &Trial, ran: Ran) -> Outcome {
    let [latencies, lag_free] = match slices_of(&ran) {
        Ok(both) => both,
        Err(reason) => return crashed(reason),
    };
    let is_open = ran.round_trips.is_none();
    let at = |slices: &[Histogram<u64>], quantile: f64| -> Vec<u64> {
        slices.iter().map(|slice| slice.value_at_quantile(quantile)).collect()
    };
    let slices_ns_p50 = at(&lag_free, 0.5);
    let spacing = Nanos(trial.length.0 / ran.sent.messages.max(1));
    let least_lag = sliced::least_lag(trial.wake_cost, spacing);
    let struck = struck_slices(&ran.strikes, trial.length);
    // Neither a fault nor a generator that the host held up says anything about a steady state.
    let medians: Vec<Option<u64>> = (0..SLICES)
        .map(|index| {
            let [with_lag, own] = [&latencies, &lag_free].map(|slices| slices[index].value_at_quantile(0.99));
            let held_up = lags(with_lag, own, least_lag);
            (!lag_free[index].is_empty() && !struck[index] && !held_up).then_some(slices_ns_p50[index])
        })
        .collect();
    let settled = warm_up(&medians);
    // What a fault does is never warm-up.
    let first_struck = struck.iter().position(|struck| *struck).unwrap_or(SLICES);
    let skipped = (*settled.as_ref().unwrap_or(&0)).min(first_struck);
    let count = sliced::together(lag_free.iter().map(Histogram::len).sum());
    let spoilt: Vec<bool> = (0..SLICES).map(|index| index < skipped || struck[index]).collect();
    let spoilt: Vec<bool> = spoilt.chunks(count).map(|part| part.contains(&true)).collect();
    let slices_ns_p99 = at(&sliced::merged(&lag_free, count), 0.99);
    let with_lag_p99 = at(&sliced::merged(&latencies, count), 0.99);
    let kept = sliced::keep(&slices_ns_p99, &with_lag_p99, &spoilt, least_lag);
    let whole = merged(&lag_free[skipped..]);
    let result = quantiles(&whole);
    let with_lag = is_open.then(|| merged(&latencies[skipped..]).value_at_quantile(0.99));
    let (verdict, reason) = verdict(trial, &ran, &result, &kept, settled.err());
    let disruption = kept
        .typical_ns_p99
        .filter(|_| trial.faults.is_some())
        .map(|calm| sliced::disruption(&lag_free, &struck, &ran.strikes, calm, spacing, trial.wake_cost));
    let handled_for = Nanos(ran.report.last_handled_ns).since(ran.start);
    Outcome {
        verdict,
        reason,
        readback: Some(ran.ready.knobs.clone()),
        cpus: Some([ran.producer_cpus.to_string(), ran.ready.cpus.clone()]),
        page_bytes: Some(ran.ready.page_bytes),
        quantiles: (!whole.is_empty()).then_some(result),
        with_lag_p99_ns: with_lag,
        histogram: (!whole.is_empty()).then(|| encode_histogram(&whole)),
        slices_ns_p50,
        slices_ns_p99,
        slices_kept: kept.slices,
        slices_held_up: kept.held_up,
        typical_ns_p99: kept.typical_ns_p99,
        disruption,
        warm_up_slices: skipped as u32,
        achieved_per_s: Rate::of(ran.report.handled, handled_for).0,
        sent: ran.sent.messages,
        blocked: ran.sent.blocked,
        memory_bytes: ran.memory_bytes,
        strikes: ran.strikes,
        report: Some(ran.report),
        ..crashed(String::new())
    }
}

/// LAB-4 and LAB-8: the first of these that holds.
fn verdict(
    trial: &Trial,
    ran: &Ran,
    result: &Quantiles,
    kept: &Kept,
    unsettled: Option<String>,
) -> (Verdict, Option<String>) {
    let no = |verdict, reason: String| (verdict, Some(reason));
    if ran.report.end != "closed" {
        return no(Verdict::Crashed, format!("the endpoint's loop ended: {}", ran.report.end));
    }
    if ran.ready.knobs != *trial.knobs {
        return no(Verdict::Void, format!("the endpoint read back other knobs: {:?}", ran.ready.knobs));
    }
    if ran.ready.cpus != ran.placed.consumer.to_string() {
        return no(Verdict::Void, format!("the endpoint ran on CPUs {}, not {}", ran.ready.cpus, ran.placed.consumer));
    }
    if let Some(missed) = ran.strikes.iter().find(|strike| strike.struck_at_ns.is_none()) {
        return no(Verdict::Void, format!("fault {} did not strike: {}", missed.fault, missed.proof)); // CHAOS-2
    }
    if kept.typical_ns_p99.is_none() && kept.held_up > 0 {
        let words = format!(
            "the host held the generator up: it fell behind its schedule in {} of {} slices",
            kept.held_up,
            kept.held_up as usize + kept.slices.len()
        );
        return no(Verdict::Void, words);
    }
    if result.n < trial.samples_min {
        return no(Verdict::Void, format!("{} samples, expected at least {}", result.n, trial.samples_min));
    }
    match unsettled {
        Some(reason) => no(Verdict::NeverSettled, reason),
        None if kept.typical_ns_p99.is_none() => no(
            Verdict::NeverSettled,
            format!("too few slices are left beside warm-up and strikes: {}", kept.slices.len()),
        ),
        None => (Verdict::Settled, None),
    }
}

/// The endpoint's counters as records have them.
pub fn counters(report: &Report) -> Vec<CounterReading> {
    let reading = |counter: &rtt_runtime::control::Counter| CounterReading {
        name: counter.name.clone(),
        value: counter.value,
        absent: counter.absent.clone(),
        note: counter.note.clone(),
    };
    report.counters.iter().map(reading).collect()
}

/// Floods of a capacity measurement, and how long each lasts.
const FLOODS: usize = 5;
const FLOOD: Nanos = Nanos(100_000_000);
/// Steps of the search below the flood's rate: the last divides it by 2^6.
const STEPS: u32 = 6;
/// How long a paced step lasts, and in how many of its tries it has to be kept up.
const PACED: Nanos = Nanos(200_000_000);
const TRIES: usize = 2;

/// Measures how many messages of the scenario a second the endpoint keeps up with when they come at their times: the
/// highest paced rate at which a run is by the trial's own rules one, found by bisection below what a flood comes to.
/// A flood alone says too much: it goes out in whole batches, which paced messages do not. `None` where nothing came
/// through.
pub fn capacity(facts: &mut Facts, trial: &Trial) -> Option<Rate> {
    let flood = Trial { rate: None, length: FLOOD, samples_min: 1, faults: None, ..*trial };
    let flooded = (0..FLOODS).filter_map(|_| {
        let ran = drive(facts, &flood).ok()?;
        let handled_for = Nanos(ran.report.last_handled_ns).since(ran.start);
        Some(Rate::of(ran.report.handled, handled_for)).filter(|rate| rate.0 > 0)
    });
    let (mut kept, mut missed) = (0, flooded.min()?.0);
    for _ in 0..STEPS {
        let rate = kept + (missed - kept) / 2;
        if (0..TRIES).any(|_| keeps_up(facts, trial, Rate(rate))) { kept = rate } else { missed = rate }
    }
    Some(Rate(kept)).filter(|rate| rate.0 > 0)
}

/// Whether the endpoint handles all that is due at `rate`, the ring does not fill up, and the generator keeps its times.
fn keeps_up(facts: &mut Facts, trial: &Trial, rate: Rate) -> bool {
    let paced = Trial { rate: Some(rate), length: PACED, samples_min: 1, faults: None, ..*trial };
    let Ok(ran) = drive(facts, &paced) else { return false };
    let (sent, handled) = (ran.sent.messages, ran.report.handled);
    // A hundredth of the messages may find a full ring: a stall of the host does that at any rate.
    if ran.report.end != "closed" || handled != sent || ran.sent.blocked * 100 > sent {
        return false;
    }
    let p99 = |slices: &[String]| decoded(slices).map(|slices| merged(&slices).value_at_quantile(0.99));
    match (p99(&ran.report.latencies), p99(&ran.report.lag_free)) {
        (Ok(with_lag), Ok(lag_free)) => {
            !lags(with_lag, lag_free, sliced::least_lag(trial.wake_cost, Nanos(PACED.0 / sent.max(1))))
        }
        _ => false,
    }
}
