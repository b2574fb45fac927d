//! `rtt-gate judge`: meets the lab, goes on with the comparison's wealth, runs pairs, writes the verdict.
//!
//! GATE-4  The wealth of a verdict is what telling the logs again comes to: nothing that was seen and is not in them bets.

use crate::arguments::JudgeArguments;
use crate::arms::{self, KnobSource, Side};
use crate::comparison::{Comparison, Log};
use crate::document::{self, Subject, replayed};
use crate::exports;
use crate::output::{ArmKey, Begun, CanaryKey, Question};
use crate::pairs::{Pairs, Plan};
use crate::screen::{note, print};
use crate::track::{Rules, Standing, Track};
use crate::words;
use rtt_measure::{Exit, Gate, GateArm, GateVerdict, Hello, Problem, Stop, append_to_history, knobs_of, point_of};
use rtt_profile::{Fingerprint, Knobs};
use rtt_scenario::{Pack, Slo, load_slo};
use rtt_seal::{Digest, in_full};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Error rate of each verdict over all scenarios.
pub const ALPHA: f64 = 0.01;
/// What the pairs compare, and its version.
const STATISTIC: &str = "typical p99 and stalls 1";
/// Format of the verdict's document.
const VERSION: u32 = 1;

/// Seconds since 1970.
pub fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A seed that no other run has, short enough to be typed again.
fn fresh_seed() -> u64 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64);
    rtt_units::SplitMix64::new(nanos ^ u64::from(std::process::id())).next_u64() & 0xffff_ffff
}

/// What is to be judged and by what rules: read before anything is started.
pub struct Docket {
    pub subjects: Vec<Subject>,
    pub rules: Rules,
    pub plan: Plan,
    /// BLAKE3 of the scenario lock.
    pub scenarios: Digest,
    /// What else these arms may have been asked: a FAIL there is not forgotten by asking something else.
    pub others: Vec<Subject>,
    /// Whether a broken budget is a verdict.
    pub budgets: bool,
}

/// Reads scenarios and objectives and chooses what is run.
///
/// # Errors
/// A stop with 3 when a lock is refused, with 2 when a scenario is not known or has no objective.
pub fn docket(options: &JudgeArguments) -> Result<Docket, Stop> {
    let refused = |error: &(dyn std::error::Error + 'static)| {
        Stop::new(Exit::Configuration, format!("{}; nothing was run", in_full(error)))
    };
    let pack = Pack::load(&options.pack).map_err(|error| refused(&error))?;
    let slo =
        load_slo(&options.slo, pack.scenarios().map(|(scenario, _)| scenario)).map_err(|error| refused(&error))?;
    let lock = options.pack.join("pack.lock.json");
    let lock_bytes = fs::read(&lock).map_err(|error| refused(&error))?;
    let names = chosen(options, &slo);
    let mut others: Vec<Subject> = pack
        .scenarios()
        .filter_map(|(scenario, _)| {
            let objective = slo.objective(&scenario.name)?.clone();
            Some(Subject { scenario: scenario.clone(), objective })
        })
        .collect();
    let subjects = names.iter().map(|name| {
        pack.scenario(name).map_err(|error| Stop::usage(format!("--scenario: {error}")))?;
        let at = others.iter().position(|subject| subject.scenario.name == *name);
        let none = || format!("--scenario {name}: {} has no objective for it, so no tolerance", options.slo.display());
        Ok(others.remove(at.ok_or_else(|| Stop::usage(none()))?))
    });
    let subjects: Vec<Subject> = subjects.collect::<Result<_, Stop>>()?;
    // The same for every lane and every choice of scenarios: else asking in parts would lower what a FAIL needs.
    let processes = 2 * slo.gating().count() as u32;
    let rules = Rules { alpha: ALPHA, processes, seed: options.seed.unwrap_or_else(fresh_seed) };
    let (plan, budgets) = (options.plan(), !options.ignore_budgets);
    Ok(Docket { subjects, rules, plan, scenarios: Digest::of(&lock_bytes), others, budgets })
}

/// The scenarios that are run: those that are named, else the gating ones; in the quick lane the first of these.
fn chosen(options: &JudgeArguments, slo: &Slo) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in &options.scenario {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    if !names.is_empty() {
        return names;
    }
    let gating = slo.gating().map(|objective| objective.scenario.clone());
    if options.is_quick() { gating.take(1).collect() } else { gating.collect() }
}

/// A lab that has said hello, with the log that it has begun.
pub struct Met {
    pub problem: Problem,
    log: PathBuf,
    folder: PathBuf,
}

impl Drop for Met {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder); // Empty but for a log that nobody took.
    }
}

/// Starts the lab with both endpoints and a log of its own.
///
/// # Errors
/// A stop: with 13 when an endpoint cannot be driven, 15 when another measurement holds the host.
pub fn meet(options: &JudgeArguments, sides: &[Side; 2]) -> Result<Met, Stop> {
    // A name of its own also where process ids come again, as in a container: a log that was left there is another one.
    let folder = options.root.join(".rtt/gate").join(format!("begun-{}-{:x}", std::process::id(), fresh_seed()));
    fs::create_dir_all(&folder).map_err(|error| Stop::unexpected(&error))?;
    let log = folder.join("log.jsonl");
    let mut command = Command::new(&options.lab);
    command.args(&options.lab_arguments).arg("serve").arg("--log").arg(&log).arg("--pack").arg(&options.pack);
    for (arm, side) in ["base", "candidate"].iter().zip(sides) {
        command.arg("--endpoint").arg(format!("{arm}={}", side.executable.display()));
        for argument in &side.arguments {
            command.arg("--endpoint-argument").arg(format!("{arm}={argument}"));
        }
    }
    if let Some(cpus) = &options.cpus {
        command.arg("--cpus").arg(cpus);
    }
    let started = Problem::start(command);
    match started {
        Ok(problem) => Ok(Met { problem, log, folder }),
        Err(error) => {
            let _ = fs::remove_dir_all(&folder); // The first error is the one to tell.
            Err(error.into())
        }
    }
}

/// Both sides as they will be run.
pub struct Arms {
    pub sides: [Side; 2],
    pub digests: [Digest; 2],
    /// Where the base was recorded, if it is a run.
    pub recorded_on: Option<Fingerprint>,
}

/// The two sides of the command line, their executables kept; `None` where the base of a run cannot be had any more.
///
/// # Errors
/// A stop when an executable cannot be read.
pub fn arms(options: &JudgeArguments) -> Result<Option<Arms>, Stop> {
    let (path, digest) = arms::keep(&options.root, &options.candidate)?;
    let candidate = Side {
        name: options.candidate_name.clone(),
        executable: path.clone(),
        arguments: options.candidate_arguments.clone(),
        knobs: KnobSource::Host,
    };
    let base = Side { name: options.base_name.clone(), arguments: options.base_arguments.clone(), ..candidate.clone() };
    if let Some(run) = &options.against_run {
        let beside = options.lab.with_file_name("rtt-endpoint");
        let Some((base, host)) = arms::recorded(&options.root, run, &digest, &beside)? else { return Ok(None) };
        let (executable, base_digest) = arms::keep(&options.root, &base.executable)?;
        // The build is what changed: both run under what was recorded.
        let candidate = Side { knobs: base.knobs.clone(), ..candidate };
        let sides = [Side { executable, ..base }, candidate];
        return Ok(Some(Arms { sides, digests: [base_digest, digest], recorded_on: Some(host) }));
    }
    if let Some(profile) = &options.against_profile {
        let base = Side { knobs: KnobSource::Profile(profile.clone()), ..base };
        return Ok(Some(Arms { sides: [base, candidate], digests: [digest, digest], recorded_on: None }));
    }
    let (executable, base_digest) = match &options.base {
        Some(base) => arms::keep(&options.root, base)?,
        None => (path, digest),
    };
    let sides = [Side { executable, ..base }, candidate];
    Ok(Some(Arms { sides, digests: [base_digest, digest], recorded_on: None }))
}

/// A comparison that is ready to be measured.
pub struct Case {
    pub met: Met,
    pub comparison: Comparison,
    question: Question,
    pub logs: Vec<Log>,
    pub arms: [GateArm; 2],
    pub notes: Vec<String>,
    /// Whether the arms are the same and nothing is asked.
    pub idle: bool,
    /// Whether the candidate runs under a profile that a tune has found or kept.
    tuned: bool,
    here: Fingerprint,
    fresh: bool,
}

/// Meets the lab, chooses the knobs and finds the comparison.
///
/// # Errors
/// A stop when the host, an endpoint or a profile is refused; nothing was measured.
pub fn open(options: &JudgeArguments, docket: &Docket, arms: &Arms, canary: Option<u32>) -> Result<Case, Stop> {
    let met = meet(options, &arms.sides)?;
    let hello = met.problem.hello().clone();
    let unfit = |reason: &str| Stop::new(Exit::Unfit, format!("{}: {reason}; nothing was run", options.lab.display()));
    let here = hello.fingerprint.as_ref().ok_or_else(|| unfit("it names no machine"))?;
    if let Some(there) = &arms.recorded_on {
        let differences: Vec<String> =
            there.machine.differences(&here.machine).iter().map(ToString::to_string).collect();
        if !differences.is_empty() {
            return Err(unfit(&format!("{} ran on another machine: {}", arms.sides[0].name, differences.join("; "))));
        }
    }
    let now = now_unix_s();
    let choose = |side: &Side| side.knobs.choose(&options.root, here, now);
    let [base, candidate] = [choose(&arms.sides[0])?, choose(&arms.sides[1])?];
    let key = |index: usize, chosen: &arms::Chosen| ArmKey {
        executable: arms.digests[index],
        arguments: arms.sides[index].arguments.clone(),
        profile: chosen.profile,
        knobs: chosen.knobs.clone().filter(|_| chosen.profile.is_none()),
    };
    let question = Question {
        arms: [key(0, &base), key(1, &candidate)],
        scenarios: docket.scenarios,
        machine: here.machine.id().to_string(),
        alpha: ALPHA.to_string(),
        statistic: STATISTIC,
        canary: canary.map(|number| CanaryKey::of(docket, options, number)),
    };
    let comparison = Comparison::open(&options.root, &question.name())?;
    let logs = comparison.logs(&question)?;
    let told = |name: &str, chosen: &arms::Chosen| chosen.note.as_ref().map(|note| format!("{name}: {note}"));
    let notes = [told("base", &base), told("candidate", &candidate)].into_iter().flatten().collect();
    let untuned = default_knobs(&logs, &hello)?;
    let tuned = candidate.tuned;
    let told = |index: usize, chosen: arms::Chosen| GateArm {
        name: arms.sides[index].name.clone(),
        executable: arms.digests[index],
        arguments: arms.sides[index].arguments.clone(),
        profile: chosen.profile,
        knobs: chosen.knobs.unwrap_or_else(|| untuned[index].clone()),
    };
    let both = [told(0, base), told(1, candidate)];
    arms::refuse_unread(&hello, "base", &both[0].knobs)?;
    arms::refuse_unread(&hello, "candidate", &both[1].knobs)?;
    let (here, fresh, idle) = (here.clone(), logs.is_empty(), question.is_idle());
    Ok(Case { met, here, fresh, idle, tuned, comparison, question, logs, arms: both, notes })
}

/// The untuned knobs: those that the first log was run with, since what a host measures as its default moves.
fn default_knobs(logs: &[Log], hello: &Hello) -> Result<[Knobs; 2], Stop> {
    if let Some(first) = logs.first() {
        return Ok(first.begun.knobs.clone());
    }
    let point = hello.default.as_ref().ok_or_else(|| Stop::new(Exit::Unexpected, "the lab names no default knobs"))?;
    let knobs = knobs_of(point).map_err(|error| Stop::unexpected(&error))?;
    Ok([knobs.clone(), knobs])
}

/// The document of a comparison.
pub fn gate(case: &Case, docket: &Docket, tracks: &[Track], pairs_now: u32, canary: bool) -> Gate {
    let logs = &case.logs;
    let scenarios: Vec<_> = docket
        .subjects
        .iter()
        .zip(tracks)
        .map(|(subject, track)| {
            document::scenario(subject, track, logs, docket.plan.pairs_max, docket.budgets && case.tuned)
        })
        .collect();
    let decided = scenarios.iter().map(|scenario| scenario.verdict).max().unwrap_or(GateVerdict::Undecided);
    let budgets = || scenarios.iter().flat_map(|scenario| &scenario.budgets).filter(|budget| budget.broken);
    let broken = budgets().any(|budget| budget.decides);
    let mut notes = case.notes.clone();
    if docket.budgets && !case.tuned && budgets().next().is_some() {
        notes.push(format!(
            "{} budgets are broken, and decide nothing: they are made for a tuned profile, which the candidate does not run",
            budgets().count()
        ));
    }
    let verdict = if broken { decided.max(GateVerdict::Breach) } else { decided };
    let here = logs.last().map_or(&case.here, |log| &log.run.fingerprint);
    Gate {
        version: VERSION,
        comparison: case.comparison.name.clone(),
        decided_unix_s: now_unix_s(),
        machine: here.machine.id().to_string(),
        kernel: here.conditions.kernel.clone(),
        base: case.arms[0].clone(),
        candidate: case.arms[1].clone(),
        alpha: docket.rules.alpha,
        processes: docket.rules.processes,
        canary,
        alike: case.idle,
        fresh: case.fresh,
        pairs_now,
        pairs_max: docket.plan.pairs_max,
        sentence: words::sentence(verdict, &scenarios),
        verdict,
        notes,
        scenarios,
        logs: document::logs(logs),
    }
}

/// The exit code of a verdict.
pub const fn exit_of(verdict: GateVerdict) -> Exit {
    match verdict {
        GateVerdict::Pass => Exit::Ok,
        GateVerdict::Undecided => Exit::Undecided,
        GateVerdict::Breach => Exit::Breach,
        GateVerdict::Fail => Exit::Regression,
    }
}

fn track_of(subject: &Subject, docket: &Docket, logs: &[Log]) -> Track {
    let track = Track::new(&subject.scenario.name, subject.tolerance(), &docket.rules);
    replayed(track, logs, subject.objective.loss_ppm)
}

/// A scenario that these arms failed before is judged again, whatever is asked now: else a FAIL could be asked away.
fn remember_failures(case: &mut Case, docket: &mut Docket) {
    for subject in std::mem::take(&mut docket.others) {
        if let Standing::Fail(_) = track_of(&subject, docket, &case.logs).standing() {
            case.notes.push(format!("{} failed in an earlier gate of these arms", subject.scenario.name));
            docket.subjects.push(subject);
        }
    }
}

/// Runs the pairs that a comparison still needs, and returns its document; it is written beside the logs.
///
/// # Errors
/// A stop when the lab fails or the user stops it: what was run is in the log.
pub fn measure(case: &mut Case, options: &JudgeArguments, docket: &mut Docket, canary: bool) -> Result<Gate, Stop> {
    remember_failures(case, docket);
    let told = |docket: &Docket, logs: &[Log]| -> Vec<Track> {
        docket.subjects.iter().map(|subject| track_of(subject, docket, logs)).collect()
    };
    let mut tracks: Vec<Track> = told(docket, &case.logs);
    for track in &mut tracks {
        *track = track.clone().turn(usize::MAX);
    }
    let failed = tracks.iter().any(|track| matches!(track.standing(), Standing::Fail(_)));
    let mut pairs_now = 0;
    if !failed && tracks.iter().any(|track| track.standing() == Standing::Open) {
        let knobs = [case.arms[0].knobs.clone(), case.arms[1].knobs.clone()];
        let points = [point_of(&knobs[0]), point_of(&knobs[1])];
        let begun = Begun { version: VERSION, seed: docket.rules.seed.to_string(), knobs };
        case.comparison.take(&case.met.log, &begun)?;
        let mut pairs = Pairs { problem: &mut case.met.problem, points, seed: docket.rules.seed, plan: docket.plan };
        pairs_now = pairs.run(&mut tracks, &docket.subjects)?;
        case.logs = case.comparison.logs(&case.question)?;
    }
    // From the logs alone, as the next gate will see it.
    let again = told(docket, &case.logs);
    let wealth = |tracks: &[Track]| {
        tracks.iter().map(|track| track.pairs().last().map(|pair| pair.wealth_fail)).collect::<Vec<_>>()
    };
    assert_eq!(wealth(&again), wealth(&tracks), "GATE-4: the logs tell another wealth than was seen");
    let gate = gate(case, docket, &again, pairs_now, canary);
    publish(options, &case.comparison, &gate)?;
    Ok(gate)
}

/// Keeps the verdict in every form: beside the logs, as a page, in the history.
fn publish(options: &JudgeArguments, comparison: &Comparison, gate: &Gate) -> Result<(), Stop> {
    exports::write(comparison, gate)?;
    draw(options, comparison)?;
    if let Some(Err(reason)) = options.history.as_ref().map(|program| append_to_history(program, &options.root)) {
        note(&format!("rtt-gate: {reason}"));
    }
    Ok(())
}

/// Has the page drawn; a failure is told and costs nothing but the page.
fn draw(options: &JudgeArguments, comparison: &Comparison) -> Result<(), Stop> {
    let Some(report) = &options.report else { return Ok(()) };
    let out = page(&options.root, &comparison.name);
    fs::create_dir_all(options.root.join("reports/out")).map_err(|error| Stop::unexpected(&error))?;
    let mut command = Command::new(report);
    command.arg("gate").arg(&comparison.folder).arg("--out").arg(&out).stdin(Stdio::null()).stdout(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => note(&format!("rtt-gate: no page: {} ended with {status}", report.display())),
        Err(error) => note(&format!("rtt-gate: no page: {} does not start: {error}", report.display())),
    }
    Ok(())
}

/// Where the page of a comparison is.
fn page(root: &Path, name: &str) -> PathBuf {
    root.join("reports/out").join(format!("gate-{name}.html"))
}

/// The verdict on arms that are one and the same, so that there is nothing to measure.
fn alike(options: &JudgeArguments, case: &Case, docket: &Docket) -> Result<Gate, Stop> {
    let executable = case.arms[1].executable.to_string();
    let why = format!("both arms are one program ({}) under the same knobs", &executable[..12]);
    let tracks: Vec<Track> = docket.subjects.iter().map(|subject| track_of(subject, docket, &[])).collect();
    let mut gate = gate(case, docket, &tracks, 0, false);
    for scenario in &mut gate.scenarios {
        (scenario.verdict, scenario.why) = (GateVerdict::Pass, why.clone());
    }
    (gate.verdict, gate.sentence) = (GateVerdict::Pass, format!("PASS: {why}: 0 pairs were run"));
    publish(options, &case.comparison, &gate)?;
    Ok(gate)
}

/// Tells what is going to be run.
fn announce(case: &Case, docket: &Docket) {
    let wealth = match case.logs.len() {
        0 => "fresh wealth".to_owned(),
        earlier => format!("goes on from {earlier} earlier logs"),
    };
    note(&format!("comparison {}: {wealth}, seed {}", case.comparison.name, docket.rules.seed));
    docket.plan.lines(&docket.subjects).iter().for_each(|line| note(line));
}

/// Judges and prints.
///
/// # Errors
/// A stop when it ends without a verdict.
pub fn judge(options: &JudgeArguments) -> Result<Exit, Stop> {
    let mut docket = docket(options)?;
    let Some(arms) = arms(options)? else {
        let run = options.against_run.as_deref().unwrap_or(Path::new("")).display().to_string();
        let sentence = format!(
            "UNDECIDED: the build of {run} is not kept here any more, so it cannot be run again, and stored figures are no \
             baseline; next: compare with a revision, `cargo xtask gate --against REVISION`"
        );
        let document = serde_json::json!({
            "version": VERSION, "verdict": "undecided", "sentence": sentence, "pairs_now": 0, "scenarios": [],
        });
        print(&if options.json { document.to_string() } else { sentence })?;
        return Ok(Exit::Undecided);
    };
    let mut case = open(options, &docket, &arms, None)?;
    let gate = if case.idle {
        alike(options, &case, &docket)?
    } else {
        announce(&case, &docket);
        measure(&mut case, options, &mut docket, false)?
    };
    if options.json {
        print(&serde_json::to_string(&gate).expect("a gate is JSON"))?;
    } else {
        let mut text = words::screen(&gate);
        text.push_str(&format!(
            "\n  written    {}: verdict.json, summary.md, junit.xml, bencher.json, smaller.json",
            case.comparison.folder.display()
        ));
        let page = page(&options.root, &gate.comparison);
        if page.exists() {
            text.push_str(&format!("\n  page       {}", page.display()));
        }
        print(&text)?;
    }
    exports::annotate(&gate, options.annotate || std::env::var_os("GITHUB_ACTIONS").is_some(), options.json)?;
    Ok(exit_of(gate.verdict))
}

/// How long a run of `--lane` may take.
pub const fn lane_budget(quick: bool) -> Duration {
    Duration::from_secs(if quick { 10 * 60 } else { 60 * 60 })
}
