//! Writes synthetic runs and starts the program on them.

use hdrhistogram::Histogram;
use rtt_history::synthetic_header;
use rtt_measure::{
    Arm, Fit, Gate, GateArm, GateLog, GateVerdict, Interference, LogWriter, Named, Record, RegimeProbe, RunRecord,
    TrialRecord, Verdict, encode_histogram, quantiles,
};
use rtt_profile::{Cache, Knobs, MemoryNode};
use rtt_seal::Digest;
use rtt_units::{Nanos, SplitMix64};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// 2026-11-23 08:45 UTC.
pub const BEGAN: u64 = 1_795_392_000 + 31_500;

/// A root with runs.
pub struct Lab {
    folder: TempDir,
}

/// What the program said.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).expect("a JSON document")
    }
}

impl Lab {
    pub fn new() -> Lab {
        Lab { folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn log(&self, run: &str) -> PathBuf {
        self.root().join(".rtt/runs").join(run).join("trials.jsonl")
    }

    /// Appends `records` to the log of `run`, which is made if it is not there.
    pub fn append(&self, run: &str, records: impl IntoIterator<Item = Record>) {
        self.append_to(&self.log(run), records);
    }

    fn append_to(&self, path: &Path, records: impl IntoIterator<Item = Record>) {
        fs::create_dir_all(path.parent().expect("a run's folder")).expect("folders");
        let (mut log, _) = LogWriter::open(path).expect("a log");
        for record in records {
            log.append(&record).expect("appended");
        }
    }

    pub fn run(&self, header: RunRecord, trials: impl IntoIterator<Item = TrialRecord>) {
        let name = header.run.clone();
        let trials = trials.into_iter().map(|trial| Record::Trial(Box::new(trial)));
        self.append(&name, [Record::Run(Box::new(header))].into_iter().chain(trials));
    }

    /// Writes the fit of `run` over its log as it is: the tune is finished.
    pub fn fit(&self, run: &str) {
        let digest = Digest::of(&fs::read(self.log(run)).expect("a log"));
        let fit = serde_json::to_vec(&fit(run, digest)).expect("JSON");
        fs::write(self.log(run).with_file_name("fit.json"), fit).expect("written");
    }

    /// A finished tune.
    pub fn tune(&self, header: RunRecord, trials: impl IntoIterator<Item = TrialRecord>) {
        let name = header.run.clone();
        self.run(header, trials);
        self.fit(&name);
    }

    pub fn gate_folder(&self, comparison: &str) -> PathBuf {
        self.root().join(".rtt/gate").join(comparison)
    }

    /// A gate's log `000`, `001`, ... of a comparison.
    pub fn gate_log(&self, log: &str, header: RunRecord, trials: impl IntoIterator<Item = TrialRecord>) {
        let path = self.gate_folder(&header.run).join(format!("{log}.jsonl"));
        let trials = trials.into_iter().map(|trial| Record::Trial(Box::new(trial)));
        self.append_to(&path, [Record::Run(Box::new(header))].into_iter().chain(trials));
    }

    /// Writes the verdict of a comparison over these of its logs as they are.
    pub fn decide(&self, comparison: &str, logs: &[&str], verdict: GateVerdict, canary: bool) {
        let folder = self.gate_folder(comparison);
        let log = |log: &&str| {
            let file = format!("{log}.jsonl");
            let digest = Digest::of(&fs::read(folder.join(&file)).expect("a log"));
            GateLog { file, digest, created_unix_s: BEGAN, seed: "1".into(), changes: Vec::new() }
        };
        let gate = gate(comparison, logs.iter().map(log).collect(), verdict, canary);
        fs::write(folder.join("verdict.json"), serde_json::to_vec(&gate).expect("JSON")).expect("written");
    }

    /// A gate with one log, decided.
    pub fn gate(&self, header: RunRecord, trials: Vec<TrialRecord>, verdict: GateVerdict, canary: bool) {
        let comparison = header.run.clone();
        self.gate_log("000", header, trials);
        self.decide(&comparison, &["000"], verdict, canary);
    }

    /// A root whose data set has one file, that of a finished tune; beside it the file's path below the root, and its
    /// bytes.
    pub fn with_one_file(run: &str) -> (Lab, String, Vec<u8>) {
        let lab = Lab::new();
        lab.tune(header(run), trials(1, 2, 1_000.0));
        assert_eq!(lab.rtt(&["export"]).code, 0);
        let (name, bytes) = lab.files().pop_first().expect("a file");
        (lab, name, bytes)
    }

    /// Starts the program in the root.
    pub fn rtt(&self, words: &[&str]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_rtt-history")).args(words).current_dir(self.root()).output();
        let output = output.expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Answer { code: output.status.code().expect("no signal"), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Every file of the data set with its bytes, by its path below the root.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.root().join(".rtt/history")];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(self.root()).expect("below the root").to_string_lossy().into_owned();
                    files.insert(name, fs::read(&path).expect("a file"));
                }
            }
        }
        files
    }
}

pub fn named(name: &str) -> Named {
    Named { name: name.into(), digest: Digest::of(name.as_bytes()) }
}

pub fn header(run: &str) -> RunRecord {
    let mut header = synthetic_header(run, BEGAN, 8);
    let machine = &mut header.fingerprint.machine;
    (machine.vendor, machine.model_name) = ("GenuineTest".into(), "Test CPU".into());
    machine.caches = vec![Cache { level: 3, kind: "unified".into(), bytes: 32 << 20, shared_by: 2, count: 1 }];
    machine.numa_nodes = vec![MemoryNode { cpus: 2, distances: vec![10] }];
    header.environment = vec![("clock source".into(), "tsc".into())];
    header
}

fn gate(comparison: &str, logs: Vec<GateLog>, verdict: GateVerdict, canary: bool) -> Gate {
    let arm = |name: &str| GateArm {
        name: name.into(),
        executable: Digest::of(name.as_bytes()),
        arguments: Vec::new(),
        profile: None,
        knobs: Knobs::default_for(Nanos::from_micros(60)),
    };
    Gate {
        version: 1,
        comparison: comparison.into(),
        decided_unix_s: BEGAN,
        machine: "m".into(),
        kernel: "6.18.1".into(),
        base: arm("base"),
        candidate: arm("candidate"),
        alpha: 0.01,
        processes: 6,
        canary,
        alike: false,
        fresh: true,
        pairs_now: 1,
        pairs_max: 1,
        verdict,
        sentence: "For tests.".into(),
        notes: Vec::new(),
        scenarios: Vec::new(),
        logs,
    }
}

fn fit(run: &str, trial_log: Digest) -> Fit {
    let fit = serde_json::json!({
        "version": 1, "run": run, "trial_log": trial_log, "problem": "rtt-lab", "unit": "ns", "seed": "1",
        "quick": true, "options": [], "weights": [], "faults": false, "against_preset": null, "whole_p99": null, "time": {"parts": [], "lost_ms": 0}, "space": [], "solver": "s", "points": [],
        "incumbent": {}, "incumbent_origin": "default", "placebo": [], "noise_log_sd": null, "recommended": null,
        "lowest": null, "why": "", "effects": [], "confirmation": null, "p99": null, "outcome": "undecided",
        "sentence": "", "noise": "", "notes": [], "spent_ms": 0,
    });
    serde_json::from_value(fit).expect("a fit")
}

pub fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("three digits");
    values.into_iter().for_each(|value| histogram.record(value).expect("it grows"));
    histogram
}

/// A settled trial of the incumbent under `steady`, calm, with `histogram`.
pub fn trial(id: impl Into<String>, histogram: &Histogram<u64>) -> TrialRecord {
    let knobs = Knobs::default_for(Nanos::from_micros(60));
    TrialRecord {
        id: id.into(),
        arm: Arm::Incumbent,
        pair: None,
        slot: None,
        scenario: named("steady"),
        seed: "18446744073709551615".into(),
        faults: None,
        share: 1.0,
        readback: Some(knobs.clone()),
        knobs,
        cpus: Some(["0".into(), "1".into()]),
        page_bytes: Some(4096),
        verdict: Verdict::Settled,
        reason: None,
        quantiles: Some(quantiles(histogram)),
        with_lag_p99_ns: None,
        histogram: Some(encode_histogram(histogram)),
        slices_ns_p50: vec![0; 20],
        slices_ns_p99: Vec::new(),
        slices_kept: Vec::new(),
        slices_held_up: 0,
        typical_ns_p99: None,
        disruption: None,
        warm_up_slices: 2,
        offered_per_s: Some(10_000),
        achieved_per_s: 10_000,
        sent: histogram.len(),
        handled: histogram.len(),
        blocked: 0,
        depth_bytes_max: 4096,
        cpu_millicores: 900,
        memory_bytes: 8 << 20,
        loop_counts: BTreeMap::from([("wakes".to_owned(), 3)]),
        counters: Vec::new(),
        interference: Interference { steal_us: 10, psi_cpu_us: Some(5), psi_memory_us: None, psi_io_us: Some(1) },
        regime: Some(RegimeProbe { cpus: [0, 1], before_ns: 140, after_ns: 141 }),
        regime_absent: None,
        strikes: Vec::new(),
        spent_ms: 0,
        elapsed_ms: 1_000,
    }
}

/// `samples` latencies around `scale` nanoseconds.
pub fn drawn(draws: &mut SplitMix64, samples: u64, scale: f64) -> Histogram<u64> {
    histogram((0..samples).map(|_| (scale * (0.5 + draws.exponential())) as u64))
}

/// A settled run of `arm` in pair `at` whose every latency is `latency_ns`.
pub fn paired(arm: Arm, at: u32, latency_ns: u64) -> TrialRecord {
    let mut trial = trial(format!("p{at}/{arm:?}"), &histogram(vec![latency_ns; 100]));
    (trial.arm, trial.pair, trial.slot) = (arm, Some(at), Some(0));
    trial
}

/// Trials `0..count`, each with its own histogram around `scale`.
pub fn trials(seed: u64, count: u64, scale: f64) -> Vec<TrialRecord> {
    let mut draws = SplitMix64::new(seed);
    (0..count).map(|at| trial(format!("t{at}"), &drawn(&mut draws, 2_000, scale))).collect()
}
