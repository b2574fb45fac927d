//! What `tune` says: the plan first, the result last. With `--json` stdout carries one object and nothing else.

use crate::arguments::TuneArguments;
use crate::conclude::words;
use crate::incumbent::keys_path;
use crate::output::{Begun, Planned, Printed};
use crate::progress::shown;
use crate::run_folder::RunFolder;
use crate::space::Space;
use rtt_measure::{AbsentValue, ArmsP99, Confirmation, Exit, Fit, Hello, Interval, Outcome, Stop};
use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::{Path, PathBuf};

/// Version of the object that `--json` prints.
const VERSION: u32 = 1;

/// What a finished run has to show.
#[derive(Debug)]
pub(crate) struct Ending<'a> {
    pub(crate) run: &'a RunFolder,
    pub(crate) fit: &'a Fit,
    pub(crate) profile: Option<PathBuf>,
    pub(crate) report: Option<PathBuf>,
    pub(crate) said: Vec<String>,
    pub(crate) trials: u64,
}

/// One line for people: on stdout, or on stderr where stdout is for a program.
pub(crate) fn say(json: bool, line: &str) {
    // A reader that left, as under `| head`, is no reason to lose the run: what counts is in its folder.
    let _ = if json { writeln!(stderr(), "{line}") } else { writeln!(stdout(), "{line}") };
}

/// Why a value or an axis is not in the space.
pub(crate) fn absent(absent: &AbsentValue) -> String {
    match &absent.value {
        Some(value) => format!("{}={value}: {}", absent.axis, absent.reason),
        None => format!("{}: {}", absent.axis, absent.reason),
    }
}

/// What the run is going to do, to the host too.
///
/// # Errors
/// A stop when the object of `--dry-run --json` cannot be written.
pub(crate) fn plan(
    arguments: &TuneArguments,
    run: &RunFolder,
    begun: &Begun,
    hello: &Hello,
    space: &Space,
    replaced: Option<&str>,
) -> Result<(), Stop> {
    let say = |line: &str| say(arguments.json, line);
    let simulated = !begun.options.simulate.is_empty();
    let machine =
        hello.fingerprint.as_ref().map_or_else(String::new, |here| format!(" on machine {}", here.machine.id()));
    say(&format!("plan for run {}: {}{machine}, seed {}", run.name, hello.name, begun.seed));
    begun.plan.lines(simulated).iter().for_each(|line| say(&format!("  {line}")));
    if let Some(words) = begun.plan.unused().filter(|_| begun.options.budget_ms.is_some() && !simulated) {
        say(&format!("  warning     {words}"));
    }
    let axes: Vec<&str> = space.axes().iter().filter(|axis| space.open(axis)).map(|axis| axis.name.as_str()).collect();
    let count = space.points().map(|count| format!("{count:.0} points at most, ")).unwrap_or_default();
    say(&format!("  space       {count}axes {}", axes.join(", ")));
    let narrowed = [("fixed", &begun.options.fix), ("swept", &begun.options.sweep)];
    for (name, given) in narrowed.iter().filter(|(_, given)| !given.is_empty()) {
        say(&format!("  {name:<11} {}; the incumbent keeps its own values", given.join(" ")));
    }
    hello.absent.iter().for_each(|value| say(&format!("  left out    {}", absent(value))));
    say(&format!("  incumbent   {}: {}", begun.incumbent_origin, words(&begun.incumbent)));
    begun.notes.iter().for_each(|note| say(&format!("  note        {note}")));
    replaced.iter().for_each(|profile| say(&format!("  replaces    {profile}")));
    let root = arguments.root.display();
    if simulated {
        say("  effects     on the host: none beyond one busy CPU; nothing here is measured on it");
    } else {
        say(
            "  effects     keeps up to all CPUs that it may use busy, pins its own processes, asks for memory of rings",
        );
        if begun.plan.faults.is_some() {
            say(
                "              faults strike the lab's own processes and page cache only, and are undone; they run in a",
            );
            say("              memory cgroup of their own where one can be made, which is removed afterwards");
        }
        say("              raises its own priority where it may; changes no kernel setting");
    }
    let history = if arguments.history.is_some() { ", .rtt/history/" } else { "" };
    say(&format!("  writes      below {root}: .rtt/runs/{}, .rtt/keys/, profiles/, reports/out/{history}", run.name));
    if !arguments.dry_run {
        return Ok(());
    }
    let read =
        if simulated { "" } else { "; the limits of this host were read, which keeps its CPUs busy for a second" };
    say(&format!("dry run: no trial was run{read}"));
    planned(arguments, begun, 0)
}

/// The object of `--dry-run --json`; `known` trials are in the log.
fn planned(arguments: &TuneArguments, begun: &Begun, known: usize) -> Result<(), Stop> {
    if !arguments.json {
        return Ok(());
    }
    let Begun { seed, plan, incumbent, incumbent_origin, notes, .. } = begun;
    let planned = Planned { version: VERSION, dry_run: true, seed, plan, incumbent, incumbent_origin, notes, known };
    print(&serde_json::to_string(&planned).expect("it is JSON"))
}

/// What a run that is taken up again has done and is going to do.
///
/// # Errors
/// As [`plan`].
pub(crate) fn resumable(arguments: &TuneArguments, run: &RunFolder, begun: &Begun, known: usize) -> Result<(), Stop> {
    let say = |line: &str| say(arguments.json, line);
    say(&format!("run {}, seed {}: {known} trials are in its log and will not be run again", run.name, begun.seed));
    let simulated = !begun.options.simulate.is_empty();
    begun.plan.lines(simulated).iter().for_each(|line| say(&format!("  {line}")));
    say(&format!("  incumbent   {}: {}", begun.incumbent_origin, words(&begun.incumbent)));
    say("dry run: nothing was run");
    planned(arguments, begun, known)
}

fn interval(interval: Interval, nanos: bool) -> String {
    let Interval { estimate, low, high } = interval;
    format!("{} ({} to {})", shown(estimate, nanos), shown(low, nanos), shown(high, nanos))
}

/// Prints what a program is going to read. A reader that left, as under `| head`, is no failure; a full disk is.
///
/// # Errors
/// A stop when it cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Stop> {
    match writeln!(stdout(), "{text}").and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Stop::new(Exit::Unexpected, format!("cannot print the result: {error}")))
        }
        _ => Ok(()),
    }
}

/// The result.
///
/// # Errors
/// A stop when the object of `--json` cannot be written.
pub(crate) fn end(arguments: &TuneArguments, ending: &Ending<'_>) -> Result<(), Stop> {
    if arguments.json {
        ending.said.iter().for_each(|line| say(true, line));
        return print(&json(arguments, ending));
    }
    let fit = ending.fit;
    let out = |line: String| say(false, &line);
    let nanos = fit.unit == "ns";
    out(format!("\n{}", fit.sentence));
    if let Some(ArmsP99 { incumbent, tuned }) = fit.p99 {
        let source =
            if fit.confirmation.is_some() { "95 % interval over pairs" } else { "95 % interval over placebo runs" };
        out(format!("  incumbent   typical p99 {}, {source}", interval(incumbent, nanos)));
        if fit.confirmation.is_some() {
            // Only `better` puts its knobs in force.
            let name = if fit.outcome == Outcome::Better { "tuned" } else { "candidate" };
            out(format!("  {name:<11} typical p99 {}", interval(tuned, nanos)));
        }
    }
    if let Some(ArmsP99 { incumbent, tuned }) = fit.whole_p99 {
        let figures = format!("{} against {}", shown(tuned.estimate, nanos), shown(incumbent.estimate, nanos));
        out(format!("  whole runs  p99 with interruptions {figures}; the typical p99 leaves these out, and decides"));
    }
    if let Some(faulted) = fit.confirmation.as_ref().and_then(|confirmation| confirmation.faulted.as_ref()) {
        let [tuned, incumbent] =
            [faulted.recovery_tuned, faulted.recovery_incumbent].map(|part| shown(part.estimate, nanos));
        out(format!("  faults      {tuned} to recover from those of a run, against {incumbent}"));
    }
    if let Some(confirmation) = &fit.confirmation {
        let percent = |ratio: f64| 100.0 * (ratio - 1.0);
        let ratio = confirmation.ratio;
        let (estimate, low, high) = (percent(ratio.estimate), percent(ratio.low), percent(ratio.high));
        out(format!("  difference  {estimate:+.1} % ({low:+.1} to {high:+.1}) in {} pairs", confirmation.valid()));
    }
    if let Some(best) = fit.recommended {
        out(format!("  found       {}", words(&fit.points[best].point)));
    }
    out(format!("  why         {}", fit.why));
    out(format!("  noise       {}", fit.noise));
    out(format!("  time        {}", time_in_words(fit)));
    fit.notes.iter().for_each(|note| out(format!("  note        {note}")));
    ending.said.iter().for_each(|line| out(format!("  note        {line}")));
    let show = |name: &str, path: &Option<PathBuf>| {
        if let Some(path) = path {
            out(format!("  {name:<11} {}", path.display()));
        }
    };
    show("profile", &ending.profile);
    show("report", &ending.report);
    out(format!("  fit         {}", ending.run.fit().display()));
    out(format!("next: {}", next(&arguments.root, ending)));
    Ok(())
}

/// Where the measuring time went.
fn time_in_words(fit: &Fit) -> String {
    let whole: u64 = fit.time.parts.iter().map(|(_, ms)| ms).sum();
    let parts: Vec<String> =
        fit.time.parts.iter().map(|(part, ms)| format!("{part} {:.0} s", *ms as f64 / 1e3)).collect();
    let lost = 100.0 * fit.time.lost_ms as f64 / whole.max(1) as f64;
    format!("{}; {lost:.0} % of it lost to the host", parts.join(", "))
}

/// The command that is worth typing now.
fn next(root: &Path, ending: &Ending<'_>) -> String {
    match (ending.fit.outcome, &ending.profile) {
        (Outcome::Undecided, _) => {
            "run `cargo xtask tune` again when the host is quieter, or give it a longer --budget".into()
        }
        (_, Some(path)) => {
            // Beside the profile lies the key; only this checkout's own is looked at unasked.
            let keys =
                if root == Path::new(".") { String::new() } else { format!(" --keys {}", keys_path(root).display()) };
            format!("cargo xtask profile show {}{keys}", path.display())
        }
        (_, None) => "cargo xtask tune --quick, to tune this host".into(),
    }
}

fn json(arguments: &TuneArguments, ending: &Ending<'_>) -> String {
    debug_assert!(arguments.json);
    let printed = Printed {
        version: VERSION,
        outcome: ending.fit.outcome,
        profile: ending.profile.as_deref(),
        report: ending.report.as_deref(),
        log: ending.fit.trial_log.map(|_| ending.run.log()),
        trials: ending.trials,
        pairs: ending.fit.confirmation.as_ref().map_or(0, Confirmation::valid),
        p99_ns: ending.fit.p99,
        run: &ending.run.name,
        fit: ending.run.fit(),
        sentence: &ending.fit.sentence,
        unit: &ending.fit.unit,
        seed: &ending.fit.seed,
    };
    serde_json::to_string(&printed).expect("it is JSON")
}
