//! `rtt-gate-1`: a simulated host for the gate, to learn it and to test it in seconds. It speaks the lab's protocol and
//! keeps a log like the lab's; what each arm does is said by the arguments of its endpoint:
//!
//! `--slower=0.2` p99 is larger by that ratio · `--crash=3` the third run crashes · `--lose=3` it loses messages ·
//! `--unsettled` it never settles · `--void` its runs are void · `--noise=0.1` the spread of its runs (0.05)
//!
//! Nothing is started and no time passes. A log that is there is answered from, as the lab does.

use rtt_measure::{
    Answer, Arm, EndpointRef, Hello, Interference, Limits, LogWriter, MeasureRequest, PROTOCOL, Quantiles, Record,
    Request, RunRecord, ScenarioRef, TrialRecord, Verdict, knobs_of, point_of,
};
use rtt_profile::{Conditions, Fingerprint, Knobs, Machine};
use rtt_scenario::Pack;
use rtt_seal::Digest;
use rtt_units::{Nanos, SplitMix64};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// p99 of an arm that is not slowed, in nanoseconds.
const P99: f64 = 20_000.0;
/// Messages of a run.
const MESSAGES: u64 = 20_000;

/// What the command line says.
#[derive(Debug, Default)]
struct Options {
    log: PathBuf,
    pack: PathBuf,
    endpoints: BTreeMap<String, PathBuf>,
    arguments: BTreeMap<String, Vec<String>>,
}

impl Options {
    fn parse(words: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut words = words.filter(|word| word != "serve");
        let mut options = Options::default();
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word}: expected a value"))?;
            let pair = value.split_once('=').map(|(arm, rest)| (arm.to_owned(), rest.to_owned()));
            match (word.as_str(), pair) {
                ("--log", _) => options.log = value.into(),
                ("--pack", _) => options.pack = value.into(),
                ("--endpoint", Some((arm, path))) => _ = options.endpoints.insert(arm, path.into()),
                ("--endpoint-argument", Some((arm, argument))) => {
                    options.arguments.entry(arm).or_default().push(argument);
                }
                _ => return Err(format!("{word} {value}: expected --log, --pack, --endpoint or --endpoint-argument")),
            }
        }
        Ok(options)
    }

    fn argument(&self, arm: &str, name: &str) -> Option<&str> {
        let arguments = self.arguments.get(arm)?.iter();
        arguments.filter_map(|argument| argument.strip_prefix("--")?.strip_prefix(name)).next_back()
    }

    fn number(&self, arm: &str, name: &str) -> Option<f64> {
        self.argument(arm, name)?.strip_prefix('=')?.parse().ok()
    }
}

/// The simulated machine.
fn fingerprint() -> Fingerprint {
    let machine = Machine {
        architecture: "simulated".into(),
        vendor: "RTT".into(),
        model_name: "RTT-GATE-1".into(),
        family: 0,
        model: 0,
        stepping: 0,
        packages: 1,
        cores: 2,
        threads_per_core: 1,
        caches: Vec::new(),
        numa_nodes: Vec::new(),
        memory_class_gib: 1,
        hypervisor: "none".into(),
    };
    let conditions = Conditions {
        kernel: "simulated".into(),
        microcode: "simulated".into(),
        governor: "simulated".into(),
        thp: "simulated".into(),
        mitigations: "simulated".into(),
    };
    Fingerprint { machine, conditions }
}

fn default_knobs() -> Knobs {
    Knobs::default_for(Nanos::from_micros(50))
}

/// The host at work.
struct Host {
    options: Options,
    pack: Pack,
    log: LogWriter,
    known: BTreeMap<String, (Digest, TrialRecord)>,
    runs: BTreeMap<&'static str, u32>,
}

impl Host {
    fn open(options: Options) -> Result<Host, Box<dyn Error>> {
        let pack = Pack::load(&options.pack)?;
        let (mut log, opened) = LogWriter::open(&options.log)?;
        let mut known = BTreeMap::new();
        if opened.records.is_empty() {
            log.append(&Record::Run(Box::new(header(&options, &pack)?)))?;
        }
        for (digest, record) in opened.records {
            if let Record::Trial(trial) = record {
                known.insert(trial.id.clone(), (digest, *trial));
            }
        }
        Ok(Host { options, pack, log, known, runs: BTreeMap::new() })
    }

    fn hello(&self) -> Result<Hello, Box<dyn Error>> {
        let run = header(&self.options, &self.pack)?;
        let mut hello: Hello = serde_json::from_str(r#"{"name": "RTT-GATE-1 as a lab", "axes": []}"#)?;
        hello.protocol = Some(PROTOCOL);
        hello.fingerprint = Some(run.fingerprint);
        hello.scenarios = run.scenarios;
        hello.endpoints = run.endpoints;
        hello.default = Some(point_of(&run.default));
        Ok(hello)
    }

    fn measure(&mut self, request: &MeasureRequest) -> Result<Answer, Box<dyn Error>> {
        let id = request.id.clone().ok_or("a measure needs an id")?;
        if let Some((digest, trial)) = self.known.get(&id) {
            return Ok(answer(trial, *digest));
        }
        let arm = if request.arm == Some(Arm::Base) { "base" } else { "candidate" };
        if self.options.argument(arm, "refuse").is_some() {
            return Err(format!("the endpoint of arm {arm} does not take the knobs").into());
        }
        let trial = self.run(request, arm, id)?;
        let digest = self.log.append(&Record::Trial(Box::new(trial.clone())))?;
        let answer = answer(&trial, digest);
        self.known.insert(trial.id.clone(), (digest, trial));
        Ok(answer)
    }

    fn run(&mut self, request: &MeasureRequest, arm: &'static str, id: String) -> Result<TrialRecord, Box<dyn Error>> {
        let number = self.runs.entry(arm).or_insert(0);
        *number += 1;
        let at = |name: &str| self.options.number(arm, name).is_some_and(|wanted| wanted == f64::from(*number));
        let is = |name: &str| self.options.argument(arm, name).is_some();
        let seed = Digest::of(format!("{:?} {id}", request.seed).as_bytes()).0;
        let mut draw = SplitMix64::new(u64::from_le_bytes(seed[..8].try_into()?));
        let noise = self.options.number(arm, "noise").unwrap_or(0.05) * draw.normal();
        let p99 = (P99 * (1.0 + self.options.number(arm, "slower").unwrap_or(0.0)) * noise.exp()) as u64;
        let (verdict, reason) = match () {
            () if at("crash") => (Verdict::Crashed, Some("the endpoint's loop ended: simulated".to_owned())),
            () if is("unsettled") => (Verdict::NeverSettled, Some("simulated drift".to_owned())),
            () if is("void") => (Verdict::Void, Some("the generator fell behind its schedule: simulated".to_owned())),
            () => (Verdict::Settled, None),
        };
        let lost = if at("lose") { 5 } else { 0 };
        let scenario = request.scenario.as_deref().ok_or("a measure needs a scenario")?;
        let (scenario, digest) = self.pack.scenario(scenario)?;
        Ok(TrialRecord {
            id,
            arm: request.arm.ok_or("a measure needs an arm")?,
            pair: request.pair,
            slot: request.slot,
            scenario: rtt_measure::Named { name: scenario.name.clone(), digest },
            seed: request.seed.unwrap_or(0).to_string(),
            faults: request.faults,
            share: request.share,
            knobs: knobs_of(&request.measure)?,
            readback: Some(knobs_of(&request.measure)?),
            slices_ns_p99: vec![p99; 20],
            slices_kept: (0..20).collect(),
            typical_ns_p99: Some(p99),
            quantiles: Some(Quantiles { p50: p99 / 4, p95: p99 / 2, p99, p999: p99 * 2, n: MESSAGES }),
            sent: MESSAGES,
            handled: MESSAGES - lost,
            offered_per_s: Some(MESSAGES),
            achieved_per_s: MESSAGES,
            ..broken_off(verdict, reason)
        })
    }
}

/// A run of which nothing is known but how it ended.
fn broken_off(verdict: Verdict, reason: Option<String>) -> TrialRecord {
    TrialRecord {
        id: String::new(),
        arm: Arm::Search,
        pair: None,
        slot: None,
        scenario: rtt_measure::Named { name: String::new(), digest: Digest::of(b"") },
        seed: String::new(),
        faults: None,
        share: 1.0,
        knobs: default_knobs(),
        readback: None,
        cpus: None,
        page_bytes: None,
        verdict,
        reason,
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
        offered_per_s: None,
        achieved_per_s: 0,
        sent: 0,
        handled: 0,
        blocked: 0,
        depth_bytes_max: 0,
        cpu_millicores: 0,
        memory_bytes: 0,
        loop_counts: BTreeMap::new(),
        counters: Vec::new(),
        interference: Interference::default(),
        regime: None,
        regime_absent: Some("simulated".into()),
        strikes: Vec::new(),
        spent_ms: 0,
        elapsed_ms: 0,
    }
}

fn header(options: &Options, pack: &Pack) -> Result<RunRecord, Box<dyn Error>> {
    let mut endpoints = BTreeMap::new();
    for (arm, path) in &options.endpoints {
        let endpoint = EndpointRef {
            digest: Digest::of(&std::fs::read(path)?),
            hello: 1,
            knobs: rtt_profile::KNOB_NAMES.map(String::from).to_vec(),
            arguments: options.arguments.get(arm).cloned().unwrap_or_default(),
        };
        endpoints.insert(arm.clone(), endpoint);
    }
    let scenarios = pack.scenarios().map(|(scenario, digest)| ScenarioRef {
        name: scenario.name.clone(),
        digest,
        duration_ms: scenario.workload.duration_ms,
        budgeted: false,
    });
    Ok(RunRecord {
        version: 1,
        run: "simulated".into(),
        created_unix_s: 0,
        fingerprint: fingerprint(),
        topology: "simulated".into(),
        latency_matrix: Vec::new(),
        limits: Limits {
            line_round_trip_ns_p50: Some(1000),
            line_round_trip_ns_p99: Some(2000),
            wake_ns_p50: 50_000,
            clock_read_ns: 20,
            memcpy_bytes_per_s: 1 << 33,
        },
        placements: BTreeMap::new(),
        default: default_knobs(),
        absent: Vec::new(),
        scenarios: scenarios.collect(),
        faults: Vec::new(),
        endpoints,
        environment: Vec::new(),
        tool: "rtt-gate-1".into(),
    })
}

fn answer(trial: &TrialRecord, digest: Digest) -> Answer {
    let lost_ppm = (trial.sent - trial.handled) * 1_000_000 / trial.sent.max(1);
    Answer {
        p99: trial.quantiles.filter(|_| trial.verdict == Verdict::Settled).map(|quantiles| quantiles.p99 as f64),
        id: Some(trial.id.clone()),
        verdict: Some(trial.verdict),
        reason: trial.reason.clone(),
        slices_ns_p99: trial.slices_ns_p99.clone(),
        calm: trial.quantiles,
        knobs: trial.readback.clone(),
        trial: Some(digest),
        values: BTreeMap::from([("loss_over_budget_ppm".to_owned(), lost_ppm.into())]),
        ..Answer::default()
    }
}

fn serve() -> Result<(), Box<dyn Error>> {
    let mut host = Host::open(Options::parse(std::env::args().skip(1))?)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(&host.hello()?)?)?;
    for line in std::io::stdin().lock().lines() {
        let answer = match Request::parse(&line?) {
            Ok(Request::Measure(request)) => host.measure(&request).map(|answer| serde_json::json!(answer)),
            Ok(Request::Start(_)) => Ok(serde_json::json!({"ok": true})),
            Ok(Request::Truth(_)) => Err("it can only be measured".into()),
            Err(error) => Err(error.into()),
        };
        let answer = answer.unwrap_or_else(|error| serde_json::json!({"error": error.to_string()}));
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rtt-gate-1: {error}");
            ExitCode::from(13)
        }
    }
}
