//! A data set that nobody measured: to learn what a trend costs at a size that takes years to fill.
//!
//! Files have every column and the shape of real ones, but for the histogram, which is absent: it is most of a real
//! file, and a trend does not read it. Each partition has a tune, a gate and a canary, as a night has. p99 is drawn
//! around a level that rises by 8 % halfway, so that there is something to find.

use crate::{FORMAT, GateOrigin, HISTORY_PLACE, Holds, Run, Trial, dataset::path_of, day_of, export::parquet_of};
use polars::prelude::PolarsError;
use rtt_measure::{
    Arm, EndpointRef, GateVerdict, Interference, Limits, Named, Quantiles, RegimeProbe, RunRecord, TrialRecord, Verdict,
};
use rtt_profile::{Conditions, Fingerprint, Knobs, Machine};
use rtt_seal::Digest;
use rtt_units::{Nanos, SplitMix64};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

const DAY_S: u64 = 86_400;
const SCENARIOS: [&str; 8] = ["steady", "burst", "busy", "ping_pong", "poisson", "fan_in", "mixed_payload", "frugal"];
/// Logs of a partition.
const LOGS: u64 = 3;
/// One canary in so many fails.
const FALSE_ALARM_EVERY: u64 = 200;

/// Why it cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SyntheticError {
    /// A file cannot be written.
    #[error("{}: cannot be written", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// polars cannot write the rows.
    #[error("format {FORMAT} cannot be written")]
    Parquet(#[from] PolarsError),
}

/// How much is written.
#[derive(Clone, Copy, Debug)]
pub struct SyntheticSize {
    /// Rows of the whole data set.
    pub rows: u64,
    /// Machines.
    pub machines: u64,
    /// Days, the last of them that of the instant below.
    pub days: u64,
    /// The instant at which it ends, seconds since 1970.
    pub end_unix_s: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Writes a data set of this size below `root`, the same rows for the same size.
///
/// # Errors
/// [`SyntheticError`].
pub fn write_synthetic(root: &Path, size: &SyntheticSize) -> Result<Written, SyntheticError> {
    let logs = size.machines * size.days * LOGS;
    let mut draws = SplitMix64::new(size.rows);
    let mut written = Written { files: 0, bytes: 0 };
    for log in 0..logs {
        // The rest of the division goes to the first logs, a row each.
        let rows = size.rows / logs + u64::from(log < size.rows % logs);
        let (night, kind) = (log / LOGS, log % LOGS);
        let (machine, day) = (night / size.days, night % size.days);
        let run = night_log(size, (machine, day, kind), rows, &mut draws);
        if run.trials.is_empty() {
            continue;
        }
        let id = run.header.fingerprint.machine.id().to_string();
        let name = day_of(run.header.created_unix_s).expect("a day of this century");
        let path = path_of(root, &id, &name, &Holds::Log(run.source()));
        let bytes = parquet_of(&run)?;
        let folder = path.parent().expect("a partition");
        let failed = |source| SyntheticError::Write { path: path.clone(), source };
        fs::create_dir_all(folder).and_then(|()| fs::write(&path, &bytes)).map_err(failed)?;
        written = Written { files: written.files + 1, bytes: written.bytes + bytes.len() as u64 };
    }
    debug_assert!(written.files == 0 || root.join(HISTORY_PLACE).is_dir());
    Ok(written)
}

/// One log of a night: the tune, the gate or the canary.
fn night_log(size: &SyntheticSize, (machine, day, kind): (u64, u64, u64), rows: u64, draws: &mut SplitMix64) -> Run {
    // Midnight, so that a night's runs lie on its day; the last night ends at the end of all.
    let began = (size.end_unix_s / DAY_S + 1 + day - size.days) * DAY_S;
    let name = match kind {
        0 => format!("tune-{machine}-{day}"),
        1 => format!("tip-{machine}-{day}"),
        _ => format!("canary-{machine}-{day}"),
    };
    let failed = kind == 2 && draws.below(FALSE_ALARM_EVERY) == 0;
    let gate = (kind > 0).then(|| GateOrigin {
        comparison: name.clone(),
        log: "000".into(),
        verdict: if failed { GateVerdict::Fail } else { GateVerdict::Pass },
        canary: kind == 2,
        document: Digest::of(name.as_bytes()),
    });
    let rises = if day * 2 >= size.days { 1.08 } else { 1.0 };
    let night = rises * (0.03 * draws.normal()).exp();
    let spacing_ms = (size.end_unix_s.saturating_sub(began).min(DAY_S / 2) * 1_000) / rows.max(1);
    let trial = |at: u64| {
        let record = trial(kind, at, spacing_ms, night, draws);
        Trial { digest: Digest::of(format!("{name}/{at}").as_bytes()), line: at as usize + 2, record }
    };
    let trials = (0..rows).map(trial).collect();
    let digest = Digest::of(name.as_bytes());
    let header = synthetic_header(&name, began, machine as u32);
    Run { path: PathBuf::new(), gate, header, trials, tip: digest, digest, torn_bytes: 0 }
}

fn trial(kind: u64, at: u64, spacing_ms: u64, night: f64, draws: &mut SplitMix64) -> TrialRecord {
    let scenario = if kind == 0 { at % 3 } else { at / 2 % 8 } as usize;
    let (arm, pair) = match (kind, at % 10) {
        (0, 0..=5) => (Arm::Search, None),
        (0, last) if last % 2 == 0 => (Arm::Incumbent, Some((at / 10) as u32)),
        (0, _) => (Arm::Candidate, Some((at / 10) as u32)),
        (_, last) if last % 2 == 0 => (Arm::Base, Some((at / 2) as u32)),
        _ => (Arm::Candidate, Some((at / 2) as u32)),
    };
    let level = 2_000.0 * (1 + scenario) as f64 * night;
    let p99 = (level * (0.1 * draws.normal()).exp()) as u64;
    let settled = draws.below(50) > 0;
    let knobs = Knobs::default_for(Nanos::from_micros(60));
    let name = SCENARIOS[scenario];
    let n = 20_000;
    TrialRecord {
        id: format!("{}{at:04}", if kind == 0 { "s" } else { "p" }),
        arm,
        pair,
        slot: pair.map(|_| at as u32 % 2),
        scenario: Named { name: name.into(), digest: Digest::of(name.as_bytes()) },
        seed: draws.next_u64().to_string(),
        faults: (kind == 0 && at % 2 == 1).then(|| Digest::of(b"plan")),
        share: 1.0,
        readback: Some(knobs.clone()),
        knobs,
        cpus: Some(["0".into(), "1".into()]),
        page_bytes: Some(4096),
        verdict: if settled { Verdict::Settled } else { Verdict::NeverSettled },
        reason: None,
        quantiles: settled.then_some(Quantiles { p50: p99 / 4, p95: p99 / 2, p99, p999: p99 * 3, n }),
        with_lag_p99_ns: Some(p99),
        histogram: None,
        slices_ns_p50: Vec::new(),
        slices_ns_p99: Vec::new(),
        slices_kept: Vec::new(),
        slices_held_up: 0,
        typical_ns_p99: None,
        disruption: None,
        warm_up_slices: 2,
        offered_per_s: Some(n),
        achieved_per_s: n,
        sent: n,
        handled: n,
        blocked: 0,
        depth_bytes_max: 64 * draws.below(512),
        cpu_millicores: 800 + draws.below(200),
        memory_bytes: 8 << 20,
        loop_counts: BTreeMap::from([("batches".to_owned(), draws.below(n)), ("handled".to_owned(), n)]),
        counters: Vec::new(),
        interference: Interference { steal_us: draws.below(50), ..Interference::default() },
        regime: Some(RegimeProbe { cpus: [0, 1], before_ns: 140 + draws.below(9), after_ns: 140 + draws.below(9) }),
        regime_absent: None,
        strikes: Vec::new(),
        spent_ms: at * spacing_ms,
        elapsed_ms: spacing_ms.min(1_000),
    }
}

/// The header of a log that nobody measured, of a machine that differs from another's in its `stepping` alone.
pub fn synthetic_header(run: &str, created_unix_s: u64, stepping: u32) -> RunRecord {
    let machine = Machine {
        architecture: "x86_64".into(),
        vendor: "Synthetic".into(),
        model_name: "Synthetic CPU".into(),
        family: 6,
        model: 143,
        stepping,
        packages: 1,
        cores: 2,
        threads_per_core: 1,
        caches: Vec::new(),
        numa_nodes: Vec::new(),
        memory_class_gib: 8,
        hypervisor: "none".into(),
    };
    let conditions = Conditions {
        kernel: "6.18.1".into(),
        microcode: "0x1".into(),
        governor: "none".into(),
        thp: "madvise".into(),
        mitigations: "none".into(),
    };
    let endpoint = EndpointRef { arguments: Vec::new(), digest: Digest::of(b"endpoint"), hello: 1, knobs: Vec::new() };
    RunRecord {
        version: 1,
        run: run.into(),
        created_unix_s,
        fingerprint: Fingerprint { machine, conditions },
        topology: String::new(),
        latency_matrix: Vec::new(),
        limits: Limits {
            line_round_trip_ns_p50: Some(140),
            line_round_trip_ns_p99: Some(190),
            wake_ns_p50: 60_000,
            clock_read_ns: 30,
            memcpy_bytes_per_s: 10_000_000_000,
        },
        placements: BTreeMap::new(),
        default: Knobs::default_for(Nanos::from_micros(60)),
        absent: Vec::new(),
        scenarios: Vec::new(),
        faults: Vec::new(),
        endpoints: BTreeMap::from([("*".to_owned(), endpoint)]),
        environment: Vec::new(),
        tool: env!("CARGO_PKG_VERSION").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{list_history, read_columns};

    #[test]
    fn as_many_rows_as_asked_for_and_the_same_again() {
        let size = SyntheticSize { rows: 1_001, machines: 2, days: 5, end_unix_s: 1_795_392_000 + 40_000 };
        let root = || tempfile::tempdir().expect("a folder");
        let (one, other) = (root(), root());
        let written = write_synthetic(one.path(), &size).expect("written");
        assert_eq!(write_synthetic(other.path(), &size).expect("written"), written);
        let files = list_history(one.path()).expect("a list");
        assert_eq!((files.len() as u64, written.files), (30, 30));
        let rows: usize = files.iter().map(|file| read_columns(file, &["log"]).expect("rows").height()).sum();
        assert_eq!(rows, 1_001);
        let days = (files[0].day.as_str(), files.last().expect("a file").day.as_str());
        assert_eq!(days, ("2026-11-19", "2026-11-23"));
    }
}
