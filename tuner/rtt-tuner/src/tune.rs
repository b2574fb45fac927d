//! `rtt-tuner tune`: plan, search, compare, confirm, publish.
//!
//! The order is fixed, and with it the ids of all trials: incumbent, default, presets, design and model (the placebo between
//! them), random search, the finalists in turns, pairs against the incumbent, pairs against the best preset. The log of the
//! problem is all that a resumed run needs besides `run.json`.

use crate::arguments::TuneArguments;
use crate::conclude::{self, Searched};
use crate::confirm::{Confirmed, Duel, confirm};
use crate::finals::{Finals, STAGES, finals};
use crate::incumbent::{Incumbent, incumbent};
use crate::narrow::narrow;
use crate::objective::{Course, Part, seed_for};
use crate::output::{Begun, Options, Plan};
use crate::plan::{CONFIRMED, Wishes};
use crate::progress::Progress;
use crate::publish::{self, Published};
use crate::run_folder::RunFolder;
use crate::screen::{self, Ending};
use crate::session::Session;
use crate::solver::{ModelSearch, Random, search};
use crate::space::Space;
use rtt_measure::{Arm, Decision, Exit, Hello, Origin, Outcome, PresetCheck, Problem, Stop, append_to_history};
use rtt_seal::{Digest, SigningKey};
use rtt_units::Nanos;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Measuring time where none is given, in milliseconds.
const BUDGET_MS: u64 = 15 * 60_000;
/// The same for a quick run.
const BUDGET_QUICK_MS: u64 = 3 * 60_000;
/// Pairs against the best preset: it is a control, and what they do not tell apart is as good.
const PRESET_PAIRS: u32 = 100;

fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A seed that no other run has, short enough to be typed again.
fn fresh_seed() -> u64 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64);
    seed_for(nanos ^ u64::from(std::process::id()), 0) & 0xffff_ffff
}

fn budget_ms(text: &str) -> Result<u64, Stop> {
    let minutes =
        text.strip_suffix('m').and_then(|number| number.parse::<f64>().ok()).map(|minutes| minutes * 60_000.0);
    let hours = text.strip_suffix('h').and_then(|number| number.parse::<f64>().ok()).map(|hours| hours * 3_600_000.0);
    let parsed = minutes.or(hours).or_else(|| text.parse::<Nanos>().ok().map(|nanos| nanos.0 as f64 / 1e6));
    match parsed {
        Some(ms) if (1_000.0..=86_400_000.0).contains(&ms) => Ok(ms as u64),
        Some(_) => Err(Stop::usage(format!("--budget {text}: expected 1s to 24h"))),
        None => Err(Stop::usage(format!("--budget {text}: expected a time with its unit, such as 15m, 90s or 1h"))),
    }
}

/// Whether a value of `--scenario` is a file.
fn is_file(given: &str) -> bool {
    given.ends_with(".json") || given.contains('/')
}

/// `--scenario` takes a name or a file; a file is handed to the lab and known by the name in it.
fn scenario_name(given: &str) -> Result<(String, Option<PathBuf>), Stop> {
    if !is_file(given) {
        return Ok((given.to_owned(), None));
    }
    let refuse =
        |reason: String| Stop::new(Exit::Configuration, format!("--scenario {given}: {reason}; nothing was run"));
    let bytes = fs::read(given).map_err(|error| refuse(error.to_string()))?;
    let document: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
    let name = document.get("name").and_then(|name| name.as_str()).ok_or_else(|| refuse("it has no `name`".into()))?;
    let path = fs::canonicalize(given).map_err(|error| refuse(error.to_string()))?;
    Ok((name.to_owned(), Some(path)))
}

/// What means something on this host alone is refused beside a simulated surface, instead of being passed over.
fn refuse_beside_simulate(arguments: &TuneArguments) -> Result<(), Stop> {
    let file = arguments.scenario.iter().find(|given| is_file(given));
    let given = [
        ("--cpus", arguments.cpus.clone()),
        ("--pack", arguments.pack.as_ref().map(|path| path.display().to_string())),
        ("--scenario", file.cloned()),
    ];
    match given.into_iter().find_map(|(option, value)| Some((option, value?))) {
        Some((option, value)) if !arguments.simulate.is_empty() => Err(Stop::usage(format!(
            "{option} {value}: a simulated surface has CPUs and scenarios of its own; leave it out"
        ))),
        _ => Ok(()),
    }
}

/// A file whose scenario is called like another one that is asked for would silently take its place.
fn refuse_two_of_a_name(given: &[String]) -> Result<(), Stop> {
    let mut seen: BTreeMap<String, &String> = BTreeMap::new();
    for given in given {
        let (name, file) = scenario_name(given)?;
        if let Some(other) =
            seen.insert(name.clone(), given).filter(|other| *other != given && (file.is_some() || is_file(other)))
        {
            return Err(Stop::usage(format!(
                "--scenario {given}: it is called `{name}` like {other}; give it a name of its own"
            )));
        }
    }
    Ok(())
}

fn options(arguments: &TuneArguments) -> Result<Options, Stop> {
    refuse_beside_simulate(arguments)?;
    refuse_two_of_a_name(&arguments.scenario)?;
    let scenario = arguments.scenario.iter().map(|given| {
        // A file is kept by its full path, so that a resumed run finds it from anywhere.
        scenario_name(given).map(|(name, path)| path.map_or(name, |path| path.to_string_lossy().into_owned()))
    });
    Ok(Options {
        quick: arguments.quick,
        scenario: scenario.collect::<Result<_, _>>()?,
        budget_ms: arguments.budget.as_deref().map(budget_ms).transpose()?,
        fix: arguments.fix.clone(),
        sweep: arguments.sweep.clone(),
        cpus: arguments.cpus.clone(),
        no_faults: arguments.no_faults,
        alike: arguments.alike,
        simulate: arguments.simulate.clone(),
        seed: arguments.seed.map(|seed| seed.to_string()),
    })
}

/// The command that starts the problem.
fn problem_command(arguments: &TuneArguments, options: &Options, log: &Path) -> Result<Command, Stop> {
    if let [program, rest @ ..] = options.simulate.as_slice() {
        let mut command = Command::new(program);
        command.args(rest);
        if options.keeps_log() {
            command.arg("--log").arg(log);
        }
        return Ok(command);
    }
    let (Some(lab), Some(endpoint)) = (&arguments.lab, &arguments.endpoint) else {
        return Err(Stop::usage(
            "tune: name the lab and the endpoint (--lab PATH --endpoint PATH), or --simulate PROGRAM",
        ));
    };
    let mut command = Command::new(lab);
    command.arg("serve").arg("--endpoint").arg(format!("*={}", endpoint.display()));
    let pack = arguments.pack.clone().unwrap_or_else(|| arguments.root.join("scenarios"));
    command.arg("--log").arg(log).arg("--pack").arg(pack);
    if let Some(cpus) = &options.cpus {
        command.arg("--cpus").arg(cpus);
    }
    for given in &options.scenario {
        if let (_, Some(path)) = scenario_name(given)? {
            command.arg("--scenario-file").arg(path);
        }
    }
    Ok(command)
}

fn space_of(hello: &Hello, options: &Options) -> Result<Space, Stop> {
    let mut space = Space::new(hello.axes.clone()).map_err(|error| Stop::unexpected(&error))?;
    narrow(&mut space, &options.fix, &options.sweep).map_err(|error| {
        let absent = hello.absent.iter().filter(|absent| {
            let text = error.to_string();
            let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            absent.value.as_ref().map_or(words.contains(&absent.axis.as_str()), |value| words.contains(&value.as_str()))
        });
        let absent: String = absent.map(|absent| format!("\n  not on this host: {}", screen::absent(absent))).collect();
        Stop::usage(format!("{error}{absent}"))
    })?;
    Ok(space)
}

fn plan_of(hello: &Hello, options: &Options) -> Result<Plan, Stop> {
    let names = options.scenario.iter().map(|given| scenario_name(given).map(|(name, _)| name));
    let wishes = Wishes {
        quick: options.quick,
        scenarios: names.collect::<Result<_, _>>()?,
        faults: !options.no_faults,
        budget_ms: options.budget_ms.unwrap_or(if options.quick { BUDGET_QUICK_MS } else { BUDGET_MS }),
    };
    Plan::make(hello, &wishes)
}

/// A run that is ready to measure.
struct Ready {
    run: RunFolder,
    begun: Begun,
    problem: Problem,
    space: Space,
    known: BTreeSet<String>,
    /// Absent where nothing will be signed: no machine, or no log that could stand behind a profile.
    key: Option<SigningKey>,
}

/// The key that will sign, before anything is measured.
fn signing_key(arguments: &TuneArguments, hello: &Hello, options: &Options) -> Result<Option<SigningKey>, Stop> {
    if hello.fingerprint.is_none() || !options.keeps_log() {
        return Ok(None);
    }
    let (key, said) = publish::signing_key(&arguments.root)?;
    said.iter().for_each(|line| screen::say(arguments.json, line));
    Ok(Some(key))
}

/// Removes the folder of a run that never began, and those above it that were made for it and hold nothing else.
struct Scaffold {
    run: Option<PathBuf>,
    /// What was there before.
    stands: PathBuf,
}

impl Scaffold {
    /// The nearest folder on the way to the runs below `root` that is there already.
    fn ground(root: &Path) -> PathBuf {
        let runs = root.join(".rtt/runs");
        let stands = runs.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new(""));
        stands.to_path_buf()
    }
}

impl Drop for Scaffold {
    fn drop(&mut self) {
        if let Some(path) = self.run.take() {
            let _ = fs::remove_dir_all(&path); // What is left behind is an empty run, which nobody resumes.
            for above in path.ancestors().skip(1).take_while(|above| **above != *self.stands) {
                let _ = fs::remove_dir(above); // Refused where another run lives.
            }
        }
    }
}

/// Starts the problem and makes the plan, or takes up that of the run to resume. `None` after a dry run.
fn begin(arguments: &TuneArguments) -> Result<Option<Ready>, Stop> {
    let given = options(arguments)?;
    if let Some(name) = &arguments.resume {
        let run = RunFolder::find(&arguments.root, name.as_deref())?;
        let begun = run.begun(&given)?;
        if !begun.options.keeps_log() {
            return Err(Stop::usage(format!(
                "--resume {}: its problem keeps no log, so there is nothing to go on from; begin it again: tune --seed {} --simulate {}",
                run.name,
                begun.seed,
                begun.options.simulate.join(" ")
            )));
        }
        let known = run.known()?;
        if arguments.dry_run {
            // The lab is not started: it would cut a torn tail of the log.
            screen::resumable(arguments, &run, &begun, known.len())?;
            return Ok(None);
        }
        let problem = Problem::start(problem_command(arguments, &begun.options, &run.log())?)?;
        let space = space_of(problem.hello(), &begun.options)?;
        let key = signing_key(arguments, problem.hello(), &begun.options)?;
        screen::say(arguments.json, &format!("resuming {}: {} trials are in its log", run.name, known.len()));
        return Ok(Some(Ready { run, begun, problem, space, known, key }));
    }
    let seed = arguments.seed.unwrap_or_else(fresh_seed);
    // Without a program there is nothing to make a folder for.
    problem_command(arguments, &given, Path::new(""))?;
    let stands = Scaffold::ground(&arguments.root);
    let run = RunFolder::create(&arguments.root, now_unix_s(), seed)?;
    let mut scaffold = Scaffold { run: Some(run.path.clone()), stands };
    let problem = Problem::start(problem_command(arguments, &given, &run.log())?)?;
    let space = space_of(problem.hello(), &given)?;
    let plan = plan_of(problem.hello(), &given)?;
    let found = incumbent(&arguments.root, problem.hello(), &space, now_unix_s())
        .map_err(|reason| Stop::new(Exit::Unexpected, reason))?;
    let Incumbent { point, origin, replaced, notes } = found;
    let begun = RunFolder::description(given, seed, plan, (point, origin), notes);
    screen::plan(arguments, &run, &begun, problem.hello(), &space, replaced.as_deref())?;
    if arguments.dry_run {
        drop(problem); // It writes to the folder until it ends.
        return Ok(None);
    }
    let key = signing_key(arguments, problem.hello(), &begun.options)?;
    run.begin(&begun)?;
    scaffold.run = None;
    Ok(Some(Ready { run, begun, problem, space, known: BTreeSet::new(), key }))
}

/// Incumbent, default, presets, search, random search, finalists.
fn explore(
    session: &mut Session<'_>,
    begun: &Begun,
    hello: &Hello,
    seed: u64,
) -> Result<(Searched, Vec<String>), Stop> {
    let (plan, space) = (&begun.plan, session.space);
    let [search_until, random_until, finals_until] = plan.deadlines();
    let nanos = hello.protocol.is_some();
    let mut notes = begun.notes.clone();
    let own = |error: crate::space::SpaceError| Stop::unexpected(&error);
    session.phase("start");
    let site = space.site(&begun.incumbent).map_err(own)?;
    session.add("i0000", site, Origin::Start("incumbent".into()), Arm::Incumbent)?;
    session.echo(begun.incumbent.clone(), plan.points.div_ceil(plan.placebo), plan.placebo);
    session.turn(false, search_until);
    if begun.options.alike {
        session.finish_echo()?;
        notes.push("the incumbent was compared with itself (--alike): `better` would be a false alarm".into());
        return Ok((conclude::look(session, Finals::default(), nanos), notes));
    }
    if let Some(default) = hello.default.as_ref().filter(|default| **default != begun.incumbent) {
        let site = space.site(default).map_err(own)?;
        session.add("d0000", site, Origin::Start("default".into()), Arm::Default)?;
    }
    notes.extend(presets(session, begun, hello)?);
    session.phase("search");
    let known: Vec<_> = session.points().iter().map(crate::session::Measured::told).collect();
    let before = known.len();
    let limits = &hello.constraints;
    let solver = ModelSearch::new(space, seed_for(seed, 1), plan.points);
    let found = search(&*session, solver, limits, known, plan.points)?.len() - before;
    session.finish_echo()?;
    if found < plan.points {
        notes.push(format!("the search got {found} points of {}: time or space ran out", plan.points));
    }
    if plan.random > 0 {
        session.phase("random");
        session.turn(true, random_until);
        let known = session.points().iter().map(crate::session::Measured::told).collect::<Vec<_>>();
        let before = known.len();
        let solver = Random::new(space, seed_for(seed, 2));
        let random = search(&*session, solver, limits, known, plan.random)?.len() - before;
        if random < plan.random {
            notes.push(format!("random search got {random} points of {}: time or space ran out", plan.random));
        }
    } else {
        notes.push("a quick run makes no random search, so it cannot say whether that does as well".into());
    }
    session.phase("finals");
    let field = conclude::finalists(session, STAGES[0].0);
    let finals = finals(session, &field, finals_until)?;
    Ok((conclude::look(session, finals, nanos), notes))
}

/// Measures the presets: they are part of the first design, so that no tune knows less than a person who tries them.
fn presets(session: &Session<'_>, begun: &Begun, hello: &Hello) -> Result<Vec<String>, Stop> {
    let mut notes = Vec::new();
    for (name, point) in &hello.presets {
        let known = session.points().iter().find(|known| known.point == *point).map(|known| known.origin.clone());
        match (known, session.space.site(point)) {
            (Some(Origin::Start(what)), _) => notes.push(format!("preset `{name}` is the {what} itself")),
            (Some(_), _) => notes.push(format!("preset `{name}` is another preset here")),
            (None, Ok(site)) if session.space.drawable(&site) || begun.options.fix.is_empty() => {
                let label = format!("preset-{name}");
                session.add(&label, site, Origin::Preset(name.clone()), Arm::Control)?;
            }
            (None, Ok(_)) => {
                notes.push(format!("preset `{name}` was not measured: it is not in the space that was asked for"))
            }
            (None, Err(error)) => notes.push(format!("preset `{name}` was not measured: {error}")),
        }
    }
    Ok(notes)
}

/// The pairs; `None` where there is nothing to confirm.
fn confirmation(session: &Session<'_>, searched: &Searched, begun: &Begun) -> Result<Option<Confirmed>, Stop> {
    let same = |best: usize| searched.points[best].point == begun.incumbent;
    let Some(best) = searched.recommended.filter(|&best| begun.options.alike || !same(best)) else {
        return Ok(None);
    };
    session.phase("confirm");
    session.left(u64::from(begun.plan.pairs_max) * 2 * session.course.indices(Part::Calm).count() as u64);
    // The last pair shall end within the budget, not begin there.
    let budget = Duration::from_millis(begun.plan.budget_ms);
    let duel = Duel {
        letter: 'c',
        candidate: &searched.points[best].point,
        rival: &begun.incumbent,
        rival_arm: Arm::Incumbent,
        faults: true,
        pairs_max: begun.plan.pairs_max,
        deadline: budget.mul_f64(CONFIRMED).saturating_sub(Duration::from_millis(begun.plan.pair_ms)),
    };
    let confirmed = confirm(session, &duel)?;
    Ok(Some(confirmed).filter(|confirmed| confirmed.pairs > 0))
}

/// With what is left of the budget: the recommended point against the best preset.
fn preset_check(session: &Session<'_>, searched: &Searched, begun: &Begun) -> Result<Option<PresetCheck>, Stop> {
    let Some((preset, rival)) = searched.best_preset() else { return Ok(None) };
    let Some(best) = searched.recommended.filter(|&best| searched.points[best].point != *rival) else {
        return Ok(None);
    };
    if *rival == begun.incumbent || begun.options.alike {
        return Ok(None); // It is the rival of the confirmation.
    }
    session.phase("preset");
    let budget = Duration::from_millis(begun.plan.budget_ms);
    let duel = Duel {
        letter: 'v',
        candidate: &searched.points[best].point,
        rival,
        rival_arm: Arm::Control,
        faults: false,
        pairs_max: begun.plan.pairs_max.min(PRESET_PAIRS),
        deadline: budget.saturating_sub(Duration::from_millis(2 * begun.plan.turn_ms)),
    };
    let Confirmed { record, gain, harm, pairs, .. } = confirm(session, &duel)?;
    let says = match (gain[0], harm[0]) {
        (Decision::Fail, _) => "faster",
        (_, Decision::Fail) => "slower",
        _ => "undecided",
    };
    let valid = record.as_ref().map_or(0, |record| record.valid() as u32);
    let check = PresetCheck { preset, pairs: valid, ratio: record.map(|record| record.ratio), says: says.into() };
    Ok(Some(check).filter(|_| pairs > 0))
}

/// Why no profile was signed.
fn unsigned(is_unmeasured: bool) -> &'static str {
    if is_unmeasured {
        "the incumbent gave fewer than two results, so its p99 has no interval"
    } else {
        "this problem has no machine, or keeps no log that could stand behind one"
    }
}

/// Measures, concludes, publishes.
fn finish(arguments: &TuneArguments, ready: Ready) -> Result<Exit, Stop> {
    let Ready { run, begun, mut problem, space, known, key } = ready;
    let seed: u64 =
        begun.seed.parse().map_err(|_| Stop::new(Exit::Unexpected, format!("{}: its seed is no number", run.name)))?;
    let hello = problem.hello().clone();
    let nanos = hello.protocol.is_some();
    let course =
        Course { conditions: begun.plan.conditions(&hello)?, limits: hello.constraints.clone(), extended: nanos, seed };
    let plan = &begun.plan;
    let points = plan.others(hello.presets.len()) + plan.points + plan.random + plan.finals();
    let calm = course.indices(Part::Calm).count() as u64;
    let expected = points as u64 * calm + 2 * u64::from(plan.pairs_max) * calm;
    problem.begin(seed)?;
    let mut session = Session::new(
        &space,
        course,
        problem,
        known,
        Progress::new(expected, nanos, Duration::from_millis(plan.budget_ms)),
    );
    let (searched, mut notes) = explore(&mut session, &begun, &hello, seed)?;
    let confirmed = confirmation(&session, &searched, &begun)?;
    let against_preset = preset_check(&session, &searched, &begun)?;
    session.close();
    notes.extend(hello.absent.iter().map(|absent| format!("not in the space: {}", screen::absent(absent))));
    notes.extend(session.lost_words());
    notes.extend(confirmed.as_ref().and_then(Confirmed::voided_in_words));
    notes.extend(conclude::limits_in_words(&searched, &hello));
    if confirmed.as_ref().is_none_or(|confirmed| confirmed.record.is_none()) {
        notes.push("no two pairs gave a result; p99 of the incumbent is that of its placebo runs".into());
    }
    notes.extend(conclude::pairs_in_notes(&session, confirmed.as_ref(), against_preset.as_ref()));
    let solver = "Latin hypercube, then a Gaussian process (Matern 5/2, expected improvement)";
    let mut fit =
        conclude::fit(&run.name, &begun, &hello, &session, searched, confirmed, against_preset, notes, solver);
    let trials = session.trials();
    drop(session); // The problem ends, and with it its hold on the host, before anything is drawn.
    fit.trial_log = run.log_digest()?;
    let bytes = serde_json::to_vec(&fit).expect("a fit is JSON");
    let mut said = Vec::new();
    let profile = match (&key, &hello.fingerprint, fit.trial_log, fit.p99) {
        (Some(key), Some(here), Some(trial_log), Some(p99)) => {
            let (fit_digest, objective) = (Digest::of(&bytes), plan.objective());
            let published = Published { fit: &fit, hello: &hello, here, key, p99, trial_log, fit_digest, objective };
            Some(publish::publish_profile(&arguments.root, &published, now_unix_s())?)
        }
        (key, _, _, p99) => {
            said.push(format!("no profile was signed: {}", unsigned(key.is_some() && p99.is_none())));
            None
        }
    };
    run.finish(&bytes)?; // Last: until then the run can be resumed, and its profile signed again.
    let report = arguments.report.as_deref().and_then(|program| {
        publish::draw_report(program, &arguments.root, &run).map_err(|reason| said.push(reason)).ok()
    });
    if let (Some(program), Some(_)) = (&arguments.history, &fit.trial_log) {
        said.extend(append_to_history(program, &arguments.root).err());
    }
    let ending = Ending { run: &run, fit: &fit, profile, report, said, trials };
    screen::end(arguments, &ending)?;
    Ok(if fit.outcome == Outcome::Undecided { Exit::Undecided } else { Exit::Ok })
}

/// `--root` as it was given, where it was.
fn root_words(arguments: &TuneArguments) -> String {
    let root = &arguments.root;
    if root == Path::new(".") { String::new() } else { format!(" --root {}", root.display()) }
}

/// Runs the command.
///
/// # Errors
/// A stop with its exit code.
pub(crate) fn tune(arguments: &TuneArguments) -> Result<Exit, Stop> {
    let Some(ready) = begin(arguments)? else { return Ok(Exit::Ok) };
    let hint = if ready.begun.options.keeps_log() {
        format!("the log is kept; go on with `cargo xtask tune --resume {}{}`", ready.run.name, root_words(arguments))
    } else {
        format!("this problem keeps no log; begin again with `cargo xtask tune --seed {}`", ready.begun.seed)
    };
    let fit = ready.run.fit();
    finish(arguments, ready).map_err(|stop| {
        if fit.exists() {
            return stop; // The run is finished; what failed is the telling of it.
        }
        let what = if stop.exit == Exit::Interrupted { "interrupted" } else { &stop.message };
        Stop::new(stop.exit, format!("{what}\n{hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_times_with_units() {
        for (text, ms) in [("15m", 900_000), ("90s", 90_000), ("1h", 3_600_000), ("2.5m", 150_000), ("1500ms", 1500)] {
            assert_eq!(budget_ms(text).expect(text), ms);
        }
        for text in ["15", "m", "0s", "2d", "25h", "-1m"] {
            assert_eq!(budget_ms(text).expect_err(text).exit, Exit::Usage, "{text}");
        }
    }
}
