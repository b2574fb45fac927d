//! The lab as a problem: the hello, one answer for each request, and the log that holds them all.
//!
//! LAB-6  Every measurement is in the log before it is answered. An id that is in the log is answered from it and
//!        never run again; asked for with other knobs, scenario, seed, faults, share or arm, it is an error.

use crate::facts::{Facts, FactsError};
use crate::trial::{self, Trial};
use rtt_host::{Spawn, conditions_now};
use rtt_measure::{
    Answer, Arm, CapacityRecord, Constraint, EndpointRef, Hello, LogError, LogWriter, MeasureRequest, Named, PROTOCOL,
    Record, Request, RunRecord, ScenarioRef, TrialRecord, Verdict, knobs_of, point_of,
};
use rtt_profile::{Conditions, KNOB_NAMES, Knobs};
use rtt_runtime::Client;
use rtt_runtime::control::VERSION;
use rtt_scenario::{FaultPlan, Offered, Pack, Scenario, read_scenario_json};
use rtt_seal::Digest;
use rtt_units::{CpuSet, Nanos, Rate};
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What a trial costs beside its run: start of the processes, probes, the log. Measured trials correct the estimate.
const OVERHEAD_MS: u32 = 60;

/// Why the lab does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The scenarios are refused.
    #[error(transparent)]
    Pack(#[from] rtt_scenario::PackError),
    /// A scenario of the user's is refused.
    #[error(transparent)]
    Scenario(#[from] rtt_scenario::ReadError),
    /// The host is unfit.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// An endpoint cannot be driven.
    #[error("endpoint {} of arm {arm}: {reason}", path.display())]
    Endpoint {
        /// The arm.
        arm: String,
        /// The executable.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The log is of another machine or of other inputs.
    #[error("trial log {}: it was made under other conditions ({reason}); start a new run", path.display())]
    OtherHost {
        /// The log.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// The log does not begin with a run.
    #[error("trial log {}: its first record is not a run; start a new run", path.display())]
    NotARun {
        /// The log.
        path: PathBuf,
    },
    /// The log cannot be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What is started for an arm.
#[derive(Clone, Debug)]
pub struct Executable {
    /// The endpoint.
    pub path: PathBuf,
    /// Its arguments beyond those that every trial gives.
    pub arguments: Vec<String>,
}

/// The lab of one run.
pub struct Lab {
    facts: Facts,
    run: RunRecord,
    scenarios: Vec<Scenario>,
    plans: Vec<FaultPlan>,
    endpoints: BTreeMap<String, Executable>,
    log: LogWriter,
    answered: BTreeMap<String, (Digest, TrialRecord)>,
    capacity: BTreeMap<String, Rate>,
    spent_ms: u64,
    folder: PathBuf,
}

/// What every trial of a run shares and a resumed run must find unchanged.
struct Inputs {
    scenarios: Vec<Scenario>,
    plans: Vec<FaultPlan>,
    endpoints: BTreeMap<String, EndpointRef>,
}

impl Lab {
    /// Opens the log and takes the host's measure, or reads it from the log.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was measured then.
    pub fn open(
        endpoints: BTreeMap<String, Executable>,
        log: &Path,
        pack: &Path,
        own_scenarios: &[PathBuf],
        cpus: Option<&CpuSet>,
    ) -> Result<Lab, OpenError> {
        let pack = Pack::load(pack)?;
        let mut scenarios: Vec<Scenario> = pack.scenarios().map(|(scenario, _)| scenario.clone()).collect();
        for path in own_scenarios {
            let own = read_scenario_json(path)?;
            scenarios.retain(|known| known.name != own.name);
            scenarios.push(own);
        }
        let plans = pack.fault_plans().map(|(plan, _)| plan.clone()).collect();
        let met = endpoints.iter().map(|(arm, endpoint)| Ok((arm.clone(), meet(arm, endpoint)?)));
        let inputs = Inputs { scenarios, plans, endpoints: met.collect::<Result<_, OpenError>>()? };
        let facts = Facts::read(cpus)?;
        let (mut writer, opened) = LogWriter::open(log)?;
        if opened.torn_bytes > 0 {
            eprintln!(
                "rtt-lab: the log ended in {} bytes of a record that was not finished; they were cut",
                opened.torn_bytes
            );
        }
        let mut records = opened.records.into_iter();
        let run = match records.next() {
            None => {
                let run = header(&facts, &inputs, log);
                writer.append(&Record::Run(Box::new(run.clone())))?;
                run
            }
            Some((_, Record::Run(run))) => {
                unchanged(&run, &facts, &inputs).map_err(|reason| OpenError::OtherHost { path: log.into(), reason })?;
                *run
            }
            Some(_) => return Err(OpenError::NotARun { path: log.into() }),
        };
        let folder = log.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut lab = Lab {
            facts,
            run,
            scenarios: inputs.scenarios,
            plans: inputs.plans,
            endpoints,
            log: writer,
            answered: BTreeMap::new(),
            capacity: BTreeMap::new(),
            spent_ms: 0,
            folder: folder.into(),
        };
        for (digest, record) in records {
            lab.remember(digest, record);
        }
        Ok(lab)
    }

    fn remember(&mut self, digest: Digest, record: Record) {
        match record {
            Record::Run(_) => {}
            Record::Capacity(capacity) => {
                self.capacity.insert(capacity.scenario, Rate(capacity.per_s));
            }
            Record::Trial(trial) => {
                self.spent_ms = trial.spent_ms + trial.elapsed_ms;
                self.answered.insert(trial.id.clone(), (digest, *trial));
            }
        }
    }

    /// Answers requests until standard input ends.
    ///
    /// # Errors
    /// A text when the log takes no more records or the tuner is gone.
    pub fn serve(&mut self) -> Result<(), String> {
        let mut out = std::io::stdout().lock();
        let mut say = |line: String| writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| e.to_string());
        say(serde_json::to_string(&self.hello()).expect("a hello is JSON"))?;
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(|error| error.to_string())?;
            let error = |reason: String| serde_json::json!({ "error": reason }).to_string();
            let answer = match Request::parse(&line) {
                Ok(Request::Start(_)) => r#"{"ok":true}"#.to_string(),
                Ok(Request::Truth(_)) => error("a real host tells no truth, it can only be measured".into()),
                Ok(Request::Measure(request)) => match self.measure(&request) {
                    Ok(answer) => serde_json::to_string(&answer).expect("an answer is JSON"),
                    Err(Refused::Request(reason)) => error(reason),
                    Err(Refused::Log(failed)) => return Err(failed.to_string()),
                },
                Err(reason) => error(reason.to_string()),
            };
            say(answer)?;
        }
        Ok(())
    }

    fn hello(&self) -> Hello {
        let limit = |name: &str| Constraint { name: name.into(), max: 0.0 };
        Hello {
            name: "rtt-lab".into(),
            axes: self.facts.axes(),
            constraints: vec![limit(LOSS_OVER), limit(CPU_OVER), limit(MEMORY_OVER)],
            optimum: None,
            protocol: Some(PROTOCOL),
            fingerprint: Some(self.run.fingerprint.clone()),
            scenarios: self.run.scenarios.clone(),
            faults: self.run.faults.clone(),
            endpoints: self.run.endpoints.clone(),
            absent: self.run.absent.clone(),
            default: Some(point_of(&self.run.default)),
            presets: self.facts.presets(),
            overhead_ms: Some(OVERHEAD_MS),
            spent_ms: Some(self.spent_ms),
        }
    }

    /// LAB-6
    fn measure(&mut self, request: &MeasureRequest) -> Result<Answer, Refused> {
        let knobs = knobs_of(&request.measure).map_err(|error| Refused::Request(error.to_string()))?;
        let name = request.scenario.as_deref().ok_or_else(|| Refused::Request("no scenario was named".into()))?;
        let scenario = self.scenarios.iter().find(|scenario| scenario.name == name).cloned();
        let scenario = scenario.ok_or_else(|| Refused::Request(format!("there is no scenario `{name}`")))?;
        let plan = request.faults.map(|digest| {
            let plan = self.plans.iter().find(|plan| plan.digest() == digest).cloned();
            plan.ok_or_else(|| Refused::Request(format!("there is no fault plan {digest}")))
        });
        let plan = plan.transpose()?;
        let id = request.id.clone().unwrap_or_else(|| format!("unnamed-{}", self.answered.len()));
        let arm = request.arm.unwrap_or(Arm::Search);
        if let Some((digest, known)) = self.answered.get(&id) {
            same(known, request, &knobs, &scenario, arm).map_err(Refused::Request)?;
            return Ok(answer(*digest, known, &scenario));
        }
        let record = self.run_once(request, &id, arm, &knobs, &scenario, plan.as_ref())?;
        let digest = self.log.append(&Record::Trial(Box::new(record.clone()))).map_err(Refused::Log)?;
        let answer = answer(digest, &record, &scenario);
        self.remember(digest, Record::Trial(Box::new(record)));
        Ok(answer)
    }

    /// The executable of `arm`: its own, else the one of all.
    fn endpoint_of(&self, arm: Arm) -> Result<Executable, Refused> {
        let name = serde_json::to_value(arm).expect("an arm is a name");
        let found = self.endpoints.get(name.as_str().unwrap_or("*")).or(self.endpoints.get("*")).cloned();
        found.ok_or_else(|| Refused::Request(format!("no endpoint was given for arm {name}")))
    }

    fn run_once(
        &mut self,
        request: &MeasureRequest,
        id: &str,
        arm: Arm,
        knobs: &Knobs,
        scenario: &Scenario,
        plan: Option<&FaultPlan>,
    ) -> Result<TrialRecord, Refused> {
        let began = Instant::now();
        let endpoint = self.endpoint_of(arm)?;
        let rate = self.rate(scenario)?;
        let full = Nanos::from_millis(u64::from(scenario.workload.duration_ms));
        let trial = Trial {
            endpoint: &endpoint,
            scenario,
            rate,
            knobs,
            seed: request.seed.unwrap_or(0),
            length: Nanos((full.0 as f64 * request.share) as u64),
            samples_min: (scenario.workload.samples_min as f64 * request.share) as u64,
            wake_cost: Nanos(self.run.limits.wake_ns_p50),
            faults: plan,
            folder: &self.folder,
        };
        let outcome = match trial::run(&mut self.facts, &trial) {
            Ok(outcome) => outcome,
            // Both sides of a comparison have one point each: there is no other to go on with.
            Err(trial::NotTaken(reason)) if matches!(arm, Arm::Base | Arm::Candidate) => {
                return Err(Refused::Request(format!("{}: {reason}; this is {}", endpoint.path.display(), tool())));
            }
            Err(trial::NotTaken(reason)) => trial::crashed(reason),
        };
        let outcome = under_same_conditions(outcome, &self.run.fingerprint.conditions);
        let spent = (self.spent_ms, began.elapsed().as_millis() as u64);
        Ok(record(request, id, arm, &trial, outcome, spent))
    }

    /// Messages per second of an open loop; a share of capacity is measured when first needed, with the default knobs and
    /// the endpoint of arm `base` where there is one, and is an absolute rate for every arm from then on.
    fn rate(&mut self, scenario: &Scenario) -> Result<Option<Rate>, Refused> {
        let permille = match scenario.workload.offered {
            Offered::AsFast => return Ok(None),
            Offered::RatePerS(rate) => return Ok(Some(Rate(rate))),
            Offered::CapacityPermille(permille) => permille,
        };
        if !self.capacity.contains_key(&scenario.name) {
            let knobs = self.run.default.clone();
            let endpoint =
                ["base", "*"].iter().find_map(|arm| self.endpoints.get(*arm)).or(self.endpoints.values().next());
            let endpoint = endpoint.cloned().ok_or_else(|| Refused::Request("no endpoint was given".into()))?;
            let flood = Trial {
                endpoint: &endpoint,
                scenario,
                rate: None,
                knobs: &knobs,
                seed: 0,
                length: Nanos::from_millis(100),
                samples_min: 1,
                wake_cost: Nanos(self.run.limits.wake_ns_p50),
                faults: None,
                folder: &self.folder,
            };
            let capacity = trial::capacity(&mut self.facts, &flood);
            let capacity = capacity.ok_or_else(|| {
                Refused::Request("capacity: no flood came through, or no paced rate was kept up".into())
            })?;
            let record = CapacityRecord { scenario: scenario.name.clone(), per_s: capacity.0, knobs };
            self.log.append(&Record::Capacity(record)).map_err(Refused::Log)?;
            self.capacity.insert(scenario.name.clone(), capacity);
        }
        let capacity = self.capacity[&scenario.name];
        Ok(Some(Rate((u128::from(capacity.0) * u128::from(permille) / 1000) as u64)))
    }
}

/// What the log holds of a trial; milliseconds spent before it and on it.
fn record(
    request: &MeasureRequest,
    id: &str,
    arm: Arm,
    trial: &Trial,
    outcome: trial::Outcome,
    (spent_ms, elapsed_ms): (u64, u64),
) -> TrialRecord {
    let wall_ns = outcome.report.as_ref().map_or(0, |report| report.wall_ns);
    let per_wall =
        |cpu_ns: u64| if wall_ns == 0 { 0 } else { (u128::from(cpu_ns) * 1000 / u128::from(wall_ns)) as u64 };
    let report = outcome.report.as_ref();
    TrialRecord {
        id: id.into(),
        arm,
        pair: request.pair,
        slot: request.slot,
        scenario: Named { name: trial.scenario.name.clone(), digest: trial.scenario.digest() },
        seed: trial.seed.to_string(),
        faults: request.faults,
        share: request.share,
        knobs: trial.knobs.clone(),
        readback: outcome.readback,
        cpus: outcome.cpus,
        page_bytes: outcome.page_bytes,
        verdict: outcome.verdict,
        reason: outcome.reason,
        quantiles: outcome.quantiles,
        with_lag_p99_ns: outcome.with_lag_p99_ns,
        histogram: outcome.histogram,
        slices_ns_p50: outcome.slices_ns_p50,
        slices_ns_p99: outcome.slices_ns_p99,
        slices_kept: outcome.slices_kept,
        slices_held_up: outcome.slices_held_up,
        typical_ns_p99: outcome.typical_ns_p99,
        disruption: outcome.disruption,
        warm_up_slices: outcome.warm_up_slices,
        offered_per_s: trial.rate.map(|rate| rate.0),
        achieved_per_s: outcome.achieved_per_s,
        sent: outcome.sent,
        handled: report.map_or(0, |report| report.handled),
        blocked: outcome.blocked,
        depth_bytes_max: report.and_then(|report| report.counts.get("depth_bytes_max").copied()).unwrap_or(0),
        cpu_millicores: per_wall(report.map_or(0, |report| report.cpu_ns)),
        memory_bytes: outcome.memory_bytes,
        loop_counts: report.map_or_else(BTreeMap::new, |report| report.counts.clone()),
        counters: report.map_or_else(Vec::new, trial::counters),
        interference: outcome.interference,
        regime: outcome.regime,
        regime_absent: outcome.regime_absent,
        strikes: outcome.strikes,
        spent_ms,
        elapsed_ms,
    }
}

/// The environment stands in the log's first record: a trial under another one is no result of this run.
fn under_same_conditions(outcome: trial::Outcome, then: &Conditions) -> trial::Outcome {
    match (outcome.verdict, then.differences(&conditions_now()).first()) {
        (Verdict::Settled | Verdict::NeverSettled, Some(change)) => trial::Outcome {
            verdict: Verdict::Void,
            reason: Some(format!("the host's conditions changed during the run: {change}")),
            ..outcome
        },
        _ => outcome,
    }
}

/// Names of the constraint values: each is what a run used above its budget, so its bound is 0.
const LOSS_OVER: &str = "loss_over_budget_ppm";
const CPU_OVER: &str = "cpu_over_budget_millicores";
const MEMORY_OVER: &str = "memory_over_budget_bytes";

/// Why a measure was not answered.
#[derive(Debug)]
enum Refused {
    /// The request cannot be served: nothing was run.
    Request(String),
    /// The log takes no more: the lab ends.
    Log(LogError),
}

fn answer(digest: Digest, record: &TrialRecord, scenario: &Scenario) -> Answer {
    let mut values = BTreeMap::new();
    let lost = record.sent.saturating_sub(record.handled);
    let loss_ppm = (lost * 1_000_000).checked_div(record.sent).unwrap_or(0);
    let over = |used: u64, budget: u64| (used as i64 - budget as i64).into();
    values.insert(LOSS_OVER.to_string(), over(loss_ppm, u64::from(scenario.budget.loss_ppm)));
    values.insert("cpu_millicores".into(), record.cpu_millicores.into());
    values.insert("steal_us".into(), record.interference.steal_us.into());
    values.insert("elapsed_ms".into(), record.elapsed_ms.into());
    if let Some(budget) = scenario.budget.cpu_millicores {
        values.insert(CPU_OVER.into(), over(record.cpu_millicores, u64::from(budget)));
    }
    if let Some(budget) = scenario.budget.memory_bytes {
        values.insert(MEMORY_OVER.into(), over(record.memory_bytes, budget));
    }
    let settled = record.verdict == Verdict::Settled;
    let faulted = record.faults.is_some();
    Answer {
        p99: record.typical_ns_p99.filter(|_| settled).map(|ns| ns as f64),
        id: Some(record.id.clone()),
        verdict: Some(record.verdict),
        reason: record.reason.clone(),
        slices_ns_p99: {
            let kept = record.slices_kept.iter().filter_map(|&index| record.slices_ns_p99.get(index as usize).copied());
            kept.collect()
        },
        slices_held_up: record.slices_held_up,
        disruption: record.disruption.filter(|_| settled),
        calm: record.quantiles.filter(|_| !faulted),
        faulted: record.quantiles.filter(|_| faulted),
        knobs: record.readback.clone(),
        regime: record.regime,
        trial: Some(digest),
        error: None,
        values,
    }
}

/// LAB-6: whether `request` is the measurement that the log has under its id.
fn same(
    known: &TrialRecord,
    request: &MeasureRequest,
    knobs: &Knobs,
    scenario: &Scenario,
    arm: Arm,
) -> Result<(), String> {
    let checks = [
        ("knobs", known.knobs == *knobs),
        ("scenario", known.scenario.digest == scenario.digest()),
        ("seed", known.seed == request.seed.unwrap_or(0).to_string()),
        ("faults", known.faults == request.faults),
        ("share", known.share == request.share),
        ("arm", known.arm == arm),
    ];
    match checks.iter().find(|(_, equal)| !equal) {
        Some((field, _)) => {
            Err(format!("measurement {} is in the log with another {field}; nothing was run", known.id))
        }
        None => Ok(()),
    }
}

/// Name and version of this build.
const fn tool() -> &'static str {
    concat!("rtt-lab ", env!("CARGO_PKG_VERSION"))
}

/// Starts the endpoint once and says who it is.
fn meet(arm: &str, Executable { path, arguments }: &Executable) -> Result<EndpointRef, OpenError> {
    let refused = |reason: String| OpenError::Endpoint { arm: arm.into(), path: path.clone(), reason };
    let bytes = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    let (ours, theirs) = UnixStream::pair().map_err(|error| refused(error.to_string()))?;
    ours.set_read_timeout(Some(std::time::Duration::from_secs(10))).map_err(|error| refused(error.to_string()))?;
    let spawn = Spawn::new(path).argument("--control-on-stdin").arguments(arguments);
    // The lab's own standard output is the problem protocol's.
    let child = spawn.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::from(std::io::stderr())).start();
    let _child = child.map_err(|error| refused(error.to_string()))?;
    let hello = Client::new(ours).hello().map_err(|error| {
        let why = rtt_seal::in_full(&error);
        refused(format!("it does not answer as an endpoint ({why}); {} speaks version {VERSION}", tool()))
    })?;
    if let Some(unknown) = hello.knobs.iter().find(|knob| !KNOB_NAMES.contains(&knob.as_str())) {
        return Err(refused(format!(
            "{} reads a knob `{unknown}` that this lab ({}) does not know; use a lab of that build",
            hello.build,
            tool()
        )));
    }
    let (digest, arguments) = (Digest::of(&bytes), arguments.clone());
    Ok(EndpointRef { digest, hello: hello.version, knobs: hello.knobs, arguments })
}

fn header(facts: &Facts, inputs: &Inputs, log: &Path) -> RunRecord {
    let measured = facts.measure();
    let scenario = |scenario: &Scenario| ScenarioRef {
        name: scenario.name.clone(),
        digest: scenario.digest(),
        duration_ms: scenario.workload.duration_ms,
        budgeted: scenario.budget.cpu_millicores.is_some() || scenario.budget.memory_bytes.is_some(),
    };
    let run = log.parent().and_then(Path::file_name).map_or_else(|| "run".into(), |name| name.to_string_lossy());
    RunRecord {
        version: 1,
        run: run.into_owned(),
        created_unix_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        fingerprint: facts.fingerprint.clone(),
        topology: facts.topology.describe(),
        latency_matrix: measured.latency_matrix,
        limits: measured.limits,
        placements: facts.placements(),
        default: measured.default,
        absent: facts.absent(),
        scenarios: inputs.scenarios.iter().map(scenario).collect(),
        faults: inputs.plans.iter().map(|plan| Named { name: plan.name.clone(), digest: plan.digest() }).collect(),
        endpoints: inputs.endpoints.clone(),
        environment: facts.environment(),
        tool: tool().into(),
    }
}

/// Whether a log's trials can be continued here; the first difference in words.
fn unchanged(run: &RunRecord, facts: &Facts, inputs: &Inputs) -> Result<(), String> {
    if let Some(difference) = run.fingerprint.machine.differences(&facts.fingerprint.machine).first() {
        return Err(format!("another machine, {difference}"));
    }
    if let Some(difference) = run.fingerprint.conditions.differences(&facts.fingerprint.conditions).first() {
        return Err(format!("other conditions, {difference}"));
    }
    for scenario in &inputs.scenarios {
        if !run.scenarios.iter().any(|known| known.name == scenario.name && known.digest == scenario.digest()) {
            return Err(format!("scenario {} has changed", scenario.name));
        }
    }
    for plan in &inputs.plans {
        if !run.faults.iter().any(|known| known.digest == plan.digest()) {
            return Err(format!("fault plan {} has changed", plan.name));
        }
    }
    match inputs.endpoints == run.endpoints {
        true => Ok(()),
        false => Err("the endpoint is another build".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_under_other_conditions_is_void_and_names_them() {
        let here = conditions_now();
        let settled = || trial::Outcome { verdict: Verdict::Settled, reason: None, ..trial::crashed(String::new()) };
        assert_eq!(under_same_conditions(settled(), &here).verdict, Verdict::Settled);
        let other = Conditions { governor: format!("{}-other", here.governor), ..here };
        let void = under_same_conditions(settled(), &other);
        assert!(void.verdict == Verdict::Void && void.reason.is_some_and(|reason| reason.contains("governor")));
        let crash = under_same_conditions(trial::crashed("dead".into()), &other);
        assert_eq!(crash.verdict, Verdict::Crashed, "a defect is not hidden by it");
    }
}
