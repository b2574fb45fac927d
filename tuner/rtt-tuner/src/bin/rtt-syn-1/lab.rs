//! RTT-SYN-1 under the lab's extension: knobs in place of its axes, scenarios, faults, a trial log.
//!
//! The noise of a run hangs on its id and seed alone, so a log that was cut and continued reads like one that was not.

use crate::host::{Host, Played};
use crate::surface::{Noise, PINS, Place, WAITS};
use crate::{Serve, category, integer};
use rtt_measure::{
    Arm, Axis, Constraint, Disruption, EndpointRef, Hello, Interference, Kind, Limits, LogError, LogWriter,
    MeasureRequest, Named, PROTOCOL, Quantiles, Record, Request, RunRecord, Scale, ScenarioRef, TrialRecord, Value,
    Verdict, When, knobs_of, point_of, typical_p99,
};
use rtt_profile::{Conditions, Fingerprint, Knobs, Machine, MemoryNode, Pin, Preset, Wait};
use rtt_seal::Digest;
use rtt_units::Nanos;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Scenarios: name and how much heavier than RTT-SYN-1's own load.
const SCENARIOS: [(&str, f64); 3] = [("steady", 1.0), ("burst", 1.7), ("busy", 2.4)];
/// What a run is said to cost, in milliseconds: nothing is waited for.
const RUN_MS: (u32, u32) = (2000, 100);
/// CPUs that a run may use.
const CPU_MAX: f64 = 1.3;

/// The lab that is none.
pub(crate) struct Lab {
    log: Option<LogWriter>,
    known: BTreeMap<String, (Digest, TrialRecord)>,
    spent_ms: u64,
    seed: u64,
    /// A recorded host whose interruptions take the place of the surface's own noise.
    host: Option<Host>,
}

/// Why it does not open.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// An option is unknown or has no value.
    Usage(String),
    /// The log cannot be used.
    Log(LogError),
}

impl From<LogError> for OpenError {
    fn from(error: LogError) -> OpenError {
        OpenError::Log(error)
    }
}

fn machine() -> Fingerprint {
    let text = |text: &str| text.to_owned();
    Fingerprint {
        machine: Machine {
            architecture: text("simulated"),
            vendor: text("RTT"),
            model_name: text("RTT-SYN-1"),
            family: 0,
            model: 0,
            stepping: 0,
            packages: 1,
            cores: 2,
            threads_per_core: 2,
            caches: vec![],
            numa_nodes: vec![MemoryNode { cpus: 4, distances: vec![10] }],
            memory_class_gib: 1,
            hypervisor: text("none"),
        },
        conditions: Conditions {
            kernel: text("none"),
            microcode: text("unknown"),
            governor: text("none"),
            thp: text("never"),
            mitigations: String::new(),
        },
    }
}

fn default() -> Knobs {
    Knobs::default_for(Nanos::from_micros(60))
}

/// The surface's point of `knobs`: a slot for each KiB of ring, so that the sizes of both overlap.
fn place_of(knobs: &Knobs) -> Place {
    let wait = match knobs.wait {
        Wait::Spin => 0,
        Wait::Yield => 1,
        Wait::Futex => 2,
    };
    let pin = match knobs.pin {
        Pin::SmtSibling => 1,
        Pin::SameL3 | Pin::SameNuma => 2,
        Pin::OtherNuma => 3,
        Pin::Unpinned | Pin::SameCpu => 0,
    };
    assert!(wait < WAITS.len() && pin < PINS.len(), "classes of the surface");
    Place { r: (knobs.ring_bytes as f64).log2() - 10.0, w: f64::from(knobs.window_us), wait, pin }
}

/// p99 in nanoseconds before noise: the surface, and small terms for the knobs that it does not know.
fn p99_ns(knobs: &Knobs, load: f64, faulted: bool) -> f64 {
    let place = place_of(knobs);
    let batch = 0.5 * (f64::from(knobs.batch) / 24.0).log2().powi(2);
    let spun = (f64::from(knobs.spin_us) / 120.0).min(1.0);
    let wake = if knobs.wait == Wait::Spin { 0.0 } else { 12.0 * (1.0 - spun) };
    let struck = if faulted { 40.0 + 0.4 * f64::from(knobs.window_us) } else { 0.0 };
    1000.0 * ((place.p99_us() + batch + wake) * load + struck)
}

fn cpu(knobs: &Knobs) -> f64 {
    place_of(knobs).cpu() + if knobs.wait == Wait::Spin { 0.0 } else { 0.2 * f64::from(knobs.spin_us) / 1000.0 }
}

fn named(name: &str) -> Named {
    Named { name: name.into(), digest: Digest::of(name.as_bytes()) }
}

impl Lab {
    /// Takes the options of a lab; without a log nothing is kept.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open(options: &[&str]) -> Result<Lab, OpenError> {
        let (mut path, mut host) = (None, None);
        let mut words = options.iter();
        while let Some(option) = words.next() {
            let value = *words.next().ok_or_else(|| OpenError::Usage(format!("{option} needs a value")))?;
            match *option {
                "--log" => path = Some(PathBuf::from(value)),
                "--host" => host = Some(Host::load(Path::new(value)).map_err(OpenError::Usage)?),
                "--endpoint" | "--pack" | "--cpus" => {}
                other => return Err(OpenError::Usage(format!("unknown option {other}"))),
            }
        }
        let mut lab = Lab { log: None, known: BTreeMap::new(), spent_ms: 0, seed: 0, host };
        if let Some(path) = path {
            lab.open_log(&path)?;
        }
        Ok(lab)
    }

    fn open_log(&mut self, path: &Path) -> Result<(), LogError> {
        let (mut log, opened) = LogWriter::open(path)?;
        if opened.records.is_empty() {
            let run = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
            log.append(&Record::Run(Box::new(header(run.unwrap_or_default()))))?;
        }
        for (digest, record) in opened.records {
            if let Record::Trial(trial) = record {
                self.spent_ms = trial.spent_ms + trial.elapsed_ms;
                self.known.insert(trial.id.clone(), (digest, *trial));
            }
        }
        self.log = Some(log);
        Ok(())
    }

    fn measure(&mut self, measure: &MeasureRequest) -> Result<Json, String> {
        let knobs = knobs_of(&measure.measure).map_err(|error| error.to_string())?;
        let id = measure.id.clone().ok_or("a measure needs an id")?;
        let scenario = measure.scenario.as_deref().unwrap_or("steady");
        let (_, load) =
            SCENARIOS.iter().find(|(name, _)| *name == scenario).ok_or_else(|| format!("no scenario {scenario}"))?;
        if let Some((digest, trial)) = self.known.get(&id) {
            let same = trial.knobs == knobs
                && trial.scenario.name == scenario
                && trial.faults == measure.faults
                && trial.seed == measure.seed.unwrap_or(0).to_string();
            return if same {
                Ok(answer(trial, *digest))
            } else {
                Err(format!("{id} is in the log with other settings"))
            };
        }
        let own = Digest::of(format!("{} {id}", self.seed).as_bytes()).0;
        let seed = u64::from_le_bytes(own[..8].try_into().expect("eight bytes"));
        let mut noise = Noise::new(seed >> 12);
        let place = place_of(&knobs);
        let ratio = noise.measure(&place, measure.share) / place.p99_us();
        let faulted = measure.faults.is_some();
        let level = p99_ns(&knobs, *load, faulted);
        let slices: Vec<u64> = match &self.host {
            None => vec![(level * ratio).round() as u64; 20],
            Some(host) => match host.play(self.seed, self.known.len() as u64, faulted) {
                Played::Calm(slices, of) => slices.iter().map(|&ns| (level * ns as f64 / of).max(1.0) as u64).collect(),
                Played::Faulted(share) => vec![(level * share).max(1.0) as u64; 20],
            },
        };
        let trial =
            TrialRecord { seed: measure.seed.unwrap_or(0).to_string(), ..self.record(measure, knobs, slices, id) };
        let digest = match &mut self.log {
            Some(log) => log.append(&Record::Trial(Box::new(trial.clone()))).map_err(|error| error.to_string())?,
            None => Digest::of(trial.id.as_bytes()),
        };
        self.spent_ms += trial.elapsed_ms;
        let answer = answer(&trial, digest);
        self.known.insert(trial.id.clone(), (digest, trial));
        Ok(answer)
    }

    fn record(&self, measure: &MeasureRequest, knobs: Knobs, slices: Vec<u64>, id: String) -> TrialRecord {
        let p99 = typical_p99(&slices).expect("a run has slices").round() as u64;
        TrialRecord {
            id,
            arm: measure.arm.unwrap_or(Arm::Search),
            pair: measure.pair,
            slot: measure.slot,
            scenario: named(measure.scenario.as_deref().unwrap_or("steady")),
            seed: String::new(),
            faults: measure.faults,
            share: measure.share,
            readback: Some(knobs.clone()),
            cpus: None,
            page_bytes: Some(4096),
            verdict: Verdict::Settled,
            reason: None,
            quantiles: Some(Quantiles { p50: p99 / 3, p95: p99 / 2, p99, p999: p99 * 2, n: 100_000 }),
            with_lag_p99_ns: None,
            histogram: None,
            slices_ns_p50: vec![p99 / 3; 20],
            slices_kept: (0..slices.len() as u32).collect(),
            slices_ns_p99: slices,
            slices_held_up: 0,
            typical_ns_p99: Some(p99),
            disruption: measure.faults.map(|_| Disruption {
                calm_ns_p99: p99 / 2,
                budget_ns: p99,
                over_budget: 100,
                recovery_ns: p99,
                excess_ns_mean: p99 / 4,
            }),
            warm_up_slices: 0,
            offered_per_s: Some(500_000),
            achieved_per_s: 500_000,
            sent: 100_000,
            handled: 100_000,
            blocked: 0,
            depth_bytes_max: 0,
            cpu_millicores: (1000.0 * cpu(&knobs)) as u64,
            memory_bytes: knobs.ring_bytes,
            knobs,
            loop_counts: BTreeMap::new(),
            counters: vec![],
            interference: Interference::default(),
            regime: None,
            regime_absent: None,
            strikes: vec![],
            spent_ms: self.spent_ms,
            elapsed_ms: (f64::from(RUN_MS.0) * measure.share) as u64 + u64::from(RUN_MS.1),
        }
    }
}

fn answer(trial: &TrialRecord, digest: Digest) -> Json {
    let mut answer = json!({
        "id": trial.id, "verdict": trial.verdict, "p99": trial.typical_ns_p99, "knobs": trial.readback,
        "loss_ppm": 0.0, "cpu": trial.cpu_millicores as f64 / 1000.0, "trial": digest,
    });
    answer["slices_ns_p99"] = json!(trial.slices_ns_p99);
    answer["disruption"] = json!(trial.disruption);
    answer[if trial.faults.is_some() { "faulted" } else { "calm" }] = json!(trial.quantiles);
    answer
}

fn axes() -> Vec<Axis> {
    let ring = (14..=22).map(|exponent| Value::Integer(1 << exponent)).collect();
    let waits: Vec<Value> = ["yield", "futex"].map(|wait| Value::Text(wait.into())).into();
    let spin = Some(When { axis: "wait".into(), values: waits });
    vec![
        Axis {
            name: "ring_bytes".into(),
            kind: Kind::Integer,
            min: None,
            max: None,
            values: ring,
            scale: Scale::Log2,
            when: None,
        },
        integer("batch", 1.0, 256.0, Scale::Log2),
        integer("window_us", 0.0, 200.0, Scale::Log1p),
        category("wait", &["spin", "yield", "futex"]),
        Axis { when: spin, ..integer("spin_us", 0.0, 1000.0, Scale::Log1p) },
        category("pin", &["unpinned", "smt_sibling", "same_l3"]),
        category("huge_pages", &["off"]),
    ]
}

fn scenarios() -> Vec<ScenarioRef> {
    let scenario = |(name, _): &(&str, f64)| ScenarioRef {
        name: (*name).into(),
        digest: named(name).digest,
        duration_ms: RUN_MS.0,
        budgeted: false,
    };
    SCENARIOS.iter().map(scenario).collect()
}

fn header(run: String) -> RunRecord {
    RunRecord {
        version: 1,
        run,
        created_unix_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        fingerprint: machine(),
        topology: "simulated".into(),
        latency_matrix: vec![],
        limits: Limits {
            line_round_trip_ns_p50: None,
            line_round_trip_ns_p99: None,
            wake_ns_p50: 60_000,
            clock_read_ns: 20,
            memcpy_bytes_per_s: 1 << 33,
        },
        placements: BTreeMap::new(),
        default: default(),
        absent: vec![],
        scenarios: scenarios(),
        faults: vec![named("storm")],
        endpoints: BTreeMap::new(),
        environment: vec![],
        tool: "rtt-syn-1".into(),
    }
}

impl Serve for Lab {
    fn hello(&self) -> Hello {
        let endpoint = EndpointRef { digest: Digest::of(b"simulated"), hello: 1, knobs: vec![], arguments: vec![] };
        let preset = |preset: Preset| (preset.name().to_owned(), point_of(&preset.knobs(&[Pin::SameL3])));
        let limit = |name: &str, max| Constraint { name: name.into(), max };
        Hello {
            name: "RTT-SYN-1 as a lab".into(),
            axes: axes(),
            constraints: vec![limit("loss_ppm", 0.0), limit("cpu", CPU_MAX)],
            optimum: None,
            protocol: Some(PROTOCOL),
            fingerprint: Some(machine()),
            scenarios: scenarios(),
            faults: vec![named("storm")],
            endpoints: BTreeMap::from([("*".into(), endpoint)]),
            absent: vec![],
            default: Some(point_of(&default())),
            presets: Preset::ALL.map(preset).into(),
            overhead_ms: Some(RUN_MS.1),
            spent_ms: Some(self.spent_ms),
        }
    }

    fn answer(&mut self, request: Request) -> Result<Json, String> {
        match request {
            Request::Start(seed) => {
                self.seed = seed;
                Ok(json!({"ok": true}))
            }
            Request::Measure(measure) => self.measure(&measure),
            Request::Truth(point) => {
                let knobs = knobs_of(&point).map_err(|error| error.to_string())?;
                Ok(json!({"p99": p99_ns(&knobs, 1.0, false), "feasible": cpu(&knobs) <= CPU_MAX}))
            }
        }
    }
}
