//! `cargo xtask ci`: everything that a merge needs, as steps that can also be run one by one.
//!
//! A failing step does not stop the next: one run shows everything that is wrong. What cannot be checked here is
//! printed as skipped, with the reason and how to get it; it is never counted as passed.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Instant;

use crate::arguments::{Arguments, unknown};
use crate::config::{self, Cue};
use crate::exit::{Exit, Stop};
use crate::gate;
use crate::host_lock::refuse_while_held;
use crate::licences;
use crate::metadata;
use crate::packages::{self, Topology, Wishes};
use crate::profile;
use crate::revision;
use crate::screen::{eprintln, println};
use crate::sim;
use crate::test;
use crate::tidy::{self, Finding};
use crate::transcript::Transcript;
use crate::tune;
use crate::workspace::{Workspace, on_path, run};

/// What `--help` prints.
pub const HELP: &str = "\
Runs everything that a merge needs, each step with its time; exit 1 when a step fails.

Usage: cargo xtask ci [STEP]... [OPTIONS]

  fmt       rustfmt agrees with every file
  clippy    no warning in any target, with hwloc and without
  tidy      the rules of `cargo xtask tidy`
  licences  licences, duplicates and banned crates of what is built here
  config    `cargo xtask config check` with the real `cue`
  test      `cargo xtask test`
  benches   every bench once, as a test
  sim       10,000 seeds of `cargo xtask sim`
  tune      `tune --quick` in a folder of its own (exit 0 or 12), and its profile verifies
  gate      HEAD, built beside the checkout, against the checkout: equal sources pass with no pair

  --no-skips    a skipped step fails, and a skipped test
  --no-install  install nothing; print the command and exit 13 where something is missing
  --no-hwloc    build with the /sys reader of the topology

Examples:
  cargo xtask ci
  cargo xtask ci fmt clippy tidy
  cargo xtask ci --no-skips
";

const STEPS: [(&str, StepFn); 10] = [
    ("fmt", fmt),
    ("clippy", clippy),
    ("tidy", tidy_step),
    ("licences", licences_step),
    ("config", config_step), // It builds the evaluator, without which tests are skipped.
    ("test", test_step),
    ("benches", benches),
    ("sim", sim_step),
    ("tune", smoke),
    ("gate", gate_step),
];

/// Steps that build nothing, so they need no tools and disturb no measurement.
const LIGHT: [&str; 3] = ["fmt", "tidy", "licences"];

type StepFn = fn(&Context<'_>) -> Result<Outcome, Stop>;

/// What every step needs to know.
struct Context<'a> {
    workspace: &'a Workspace,
    topology: Topology,
    wishes: Wishes,
    no_skips: bool,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

impl Outcome {
    fn of_code(code: u8) -> Outcome {
        if code == 0 { Outcome::Passed } else { Outcome::Failed(format!("exit {code}")) }
    }
}

/// Runs the named steps, or all of them.
///
/// # Errors
/// A stop when a name is unknown, a measurement holds the host, or a tool is missing.
pub fn ci(workspace: &Workspace, mut arguments: Arguments) -> Result<u8, Stop> {
    let no_skips = arguments.take_flag("--no-skips");
    let wishes =
        Wishes { no_install: arguments.take_flag("--no-install"), no_hwloc: arguments.take_flag("--no-hwloc") };
    let steps = chosen(arguments.words())?;
    let builds = steps.iter().any(|(name, _)| !LIGHT.contains(name));
    let topology = if builds {
        refuse_while_held("ci")?;
        packages::ensure(wishes)?
    } else {
        packages::present()
    };
    let context = Context { workspace, topology, wishes, no_skips };
    let started = Instant::now();
    let mut outcomes = Vec::new();
    for (name, step) in steps {
        eprintln!("\n[ci] {name}");
        let began = Instant::now();
        // A step that cannot even run has failed; the next ones still tell something.
        let outcome = step(&context).unwrap_or_else(|stop| Outcome::Failed(stop.message));
        let seconds = began.elapsed().as_secs_f64();
        match &outcome {
            Outcome::Passed => println!("[ci] {name}: passed in {seconds:.1} s"),
            Outcome::Failed(why) => println!("[ci] {name}: FAILED in {seconds:.1} s: {why}"),
            Outcome::Skipped(why) => println!("[ci] {name}: skipped: {why}"),
        }
        outcomes.push((name, outcome));
    }
    let (line, failed) = verdict(&outcomes, no_skips);
    println!("\n[ci] {line} in {:.0} s", started.elapsed().as_secs_f64());
    Ok(if failed { Exit::Unexpected.code() } else { 0 })
}

fn chosen(words: &[String]) -> Result<Vec<(&'static str, StepFn)>, Stop> {
    let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
    let find = |word: &String| {
        let step = STEPS.iter().find(|(name, _)| name == word);
        step.copied().ok_or_else(|| unknown("ci: ", "step or option", word, &names))
    };
    if words.is_empty() { Ok(STEPS.to_vec()) } else { words.iter().map(find).collect() }
}

/// The last line, and whether the run failed.
fn verdict(outcomes: &[(&str, Outcome)], no_skips: bool) -> (String, bool) {
    let names = |keep: fn(&Outcome) -> bool| -> Vec<&str> {
        outcomes.iter().filter(|(_, outcome)| keep(outcome)).map(|(name, _)| *name).collect()
    };
    let failed = names(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = names(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let mut parts = Vec::new();
    if !failed.is_empty() {
        parts.push(format!("failed: {}", failed.join(", ")));
    }
    if !skipped.is_empty() {
        parts.push(format!("skipped: {}", skipped.join(", ")));
    }
    parts.push(format!("{} of {} passed", outcomes.len() - failed.len() - skipped.len(), outcomes.len()));
    (parts.join("; "), !failed.is_empty() || (no_skips && !skipped.is_empty()))
}

fn fmt(context: &Context<'_>) -> Result<Outcome, Stop> {
    component(context, "fmt", "rustfmt")?;
    run(&mut context.workspace.cargo(["fmt", "--all", "--check"])).map(Outcome::of_code)
}

fn clippy(context: &Context<'_>) -> Result<Outcome, Stop> {
    component(context, "clippy", "clippy")?;
    for words in lints(context.topology) {
        let mut command = context.workspace.cargo(["clippy", "--workspace", "--all-targets", "--locked"]);
        match run(command.args(*words).args(["--", "--deny", "warnings"]))? {
            0 => {}
            code => return Ok(Outcome::of_code(code)),
        }
    }
    Ok(Outcome::Passed)
}

/// The builds that are linted: what is built here, and the build without hwloc, which on most hosts nobody else tries.
fn lints(topology: Topology) -> &'static [&'static [&'static str]] {
    match topology {
        // rtt-history has no such feature, and with other features of its dependencies polars is compiled again.
        Topology::Hwloc => &[&[], &["--exclude", "rtt-history", "--no-default-features"]],
        Topology::Sysfs => &[&["--no-default-features"]],
    }
}

/// rustup's minimal profile brings neither rustfmt nor clippy.
fn component(context: &Context<'_>, subcommand: &str, component: &str) -> Result<(), Stop> {
    let mut probe = context.workspace.cargo([subcommand, "--version"]);
    if probe.output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    let next = format!("rustup component add {component}");
    if context.wishes.no_install || on_path("rustup").is_none() {
        return Err(Stop::unfit(format!("cargo {subcommand} is missing; next: {next}")));
    }
    match run(process::Command::new("rustup").args(["component", "add", component]))? {
        0 => Ok(()),
        code => Err(Stop::unfit(format!("`{next}` ended with {code}"))),
    }
}

fn tidy_step(context: &Context<'_>) -> Result<Outcome, Stop> {
    let findings = tidy::check(context.workspace)?;
    for Finding { file, line, message, .. } in &findings {
        println!("{file}:{line}: {message}");
    }
    Ok(of_count(findings.len()))
}

fn licences_step(context: &Context<'_>) -> Result<Outcome, Stop> {
    let findings = licences::check(context.workspace)?;
    for finding in &findings {
        println!("{finding}");
    }
    Ok(of_count(findings.len()))
}

fn of_count(findings: usize) -> Outcome {
    if findings == 0 { Outcome::Passed } else { Outcome::Failed(format!("{findings} findings")) }
}

fn test_step(context: &Context<'_>) -> Result<Outcome, Stop> {
    let mut words = Vec::new();
    if context.no_skips {
        words.push("--no-skips");
    }
    if context.wishes.no_install {
        words.push("--no-install");
    }
    if context.wishes.no_hwloc {
        words.push("--no-hwloc");
    }
    test::test(context.workspace, Arguments::new(words)).map(Outcome::of_code)
}

fn benches(context: &Context<'_>) -> Result<Outcome, Stop> {
    let members = metadata::workspace(context.workspace)?.members;
    let with_benches = members.iter().filter(|member| member.has_benches).map(|member| member.name.as_str());
    let packages: Vec<&str> = with_benches.flat_map(|name| ["-p", name]).collect();
    if packages.is_empty() {
        return Ok(Outcome::Skipped("no crate has a bench".to_owned()));
    }
    // Named targets only: the test harness of the libraries would run every unit test again.
    let mut command = context.workspace.cargo(["bench", "--locked", "--bench", "*"]);
    command.args(packages).args(["--", "--test"]);
    let mut transcript = Transcript::default();
    let code = transcript.run(&mut command)?;
    let skips: Vec<&str> = transcript.skips().collect();
    Ok(if code == 0 && !skips.is_empty() { Outcome::Skipped(skips.join("; ")) } else { Outcome::of_code(code) })
}

fn sim_step(context: &Context<'_>) -> Result<Outcome, Stop> {
    sim::merge_seeds(context.workspace).map(Outcome::of_code)
}

/// Tunes in a folder of its own, so that the checkout stays as it was, then verifies the profile as a user would.
fn smoke(context: &Context<'_>) -> Result<Outcome, Stop> {
    let folder =
        Scratch::new().map_err(|error| Stop::unexpected(format!("cannot make a folder to tune in: {error}")))?;
    let root = folder.path.display().to_string();
    let mut words = vec!["--quick", "--root", &root];
    if context.wishes.no_install {
        words.push("--no-install");
    }
    if context.wishes.no_hwloc {
        words.push("--no-hwloc");
    }
    let code = run(&mut tune::command(context.workspace, Arguments::new(words))?)?;
    if code != Exit::Success.code() && code != Exit::Undecided.code() {
        return Ok(Outcome::Failed(format!("tune --quick: exit {code}, expected 0 or 12")));
    }
    let profiles = signed(&folder.path);
    let [profile] = &profiles[..] else {
        return Ok(Outcome::Failed(format!("tune --quick wrote {} signed profiles, expected one", profiles.len())));
    };
    let code = run(&mut profile::verify(context.workspace, context.topology, &folder.path, profile)?)?;
    Ok(if code == 0 { Outcome::Passed } else { Outcome::Failed(format!("the profile does not verify: exit {code}")) })
}

/// Equal sources give equal executables wherever they are built, so that a change of documents is never measured. Of a
/// checkout with changes two pairs are run, which decide nothing and show that both endpoints are driven.
fn gate_step(context: &Context<'_>) -> Result<Outcome, Stop> {
    let mut words = vec!["--against", "HEAD", "--lane", "quick", "--max-pairs", "2"];
    if context.wishes.no_install {
        words.push("--no-install");
    }
    if context.wishes.no_hwloc {
        words.push("--no-hwloc");
    }
    if revision::git(context.workspace, &["rev-parse", "HEAD"]).is_none() {
        return Ok(Outcome::Skipped("this is no git checkout; clone the repository".to_owned()));
    }
    let changed = revision::is_changed(context.workspace);
    let code = gate::gate(context.workspace, Arguments::new(words))?;
    let expected: &[u8] = if changed { &[0, Exit::Undecided.code()] } else { &[0] };
    Ok(if expected.contains(&code) {
        Outcome::Passed
    } else {
        Outcome::Failed(format!("exit {code}, expected {expected:?}"))
    })
}

/// The profiles below a root that `tune` wrote to.
fn signed(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join("profiles/signed")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "json")).collect()
}

fn config_step(context: &Context<'_>) -> Result<Outcome, Stop> {
    let found = config::find(context.workspace)?;
    let cue = match &found {
        Cue::Found(cue) => Some(cue.as_path()),
        Cue::Absent(_) => None,
    };
    let code = run(&mut config::command(context.workspace, cue, &["check".to_owned()]))?;
    // Half a check that found something has failed; half a check that found nothing has not passed.
    Ok(match (code, found) {
        (0, Cue::Absent(reason)) => Outcome::Skipped(reason),
        _ => Outcome::of_code(code),
    })
}

/// A folder that goes when it is dropped.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> io::Result<Scratch> {
        use std::os::unix::fs::DirBuilderExt;
        let path = env::temp_dir().join(format!("rtt-ci-{}", process::id()));
        // The first `tune` puts a private key below it.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Scratch { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("warn: cannot remove {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_verdict(outcomes: &[Outcome], no_skips: bool, expected: (&str, bool)) {
        let named: Vec<(&str, Outcome)> = ["a", "b", "c"].into_iter().zip(outcomes.iter().cloned()).collect();
        let (line, failed) = verdict(&named, no_skips);
        assert_eq!((line.as_str(), failed), expected, "{outcomes:?}");
    }

    #[test]
    fn the_last_line_names_what_failed_and_what_was_skipped() {
        let (passed, failed, skipped) =
            (Outcome::Passed, Outcome::Failed("x".to_owned()), Outcome::Skipped("y".to_owned()));
        check_verdict(&[passed.clone(), passed.clone()], true, ("2 of 2 passed", false));
        check_verdict(&[passed.clone(), skipped.clone()], false, ("skipped: b; 1 of 2 passed", false));
        check_verdict(&[passed, skipped.clone()], true, ("skipped: b; 1 of 2 passed", true));
        check_verdict(&[failed.clone(), skipped, failed], false, ("failed: a, c; skipped: b; 0 of 3 passed", true));
    }

    #[test]
    fn steps_are_chosen_by_name() {
        let names = |words: &[&str]| -> Result<Vec<&str>, String> {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            chosen(&words).map(|steps| steps.iter().map(|(name, _)| *name).collect()).map_err(|stop| stop.message)
        };
        assert_eq!(names(&[]).unwrap().len(), STEPS.len());
        assert_eq!(names(&["tidy", "fmt"]).unwrap(), ["tidy", "fmt"]);
        assert_eq!(names(&LIGHT).unwrap(), LIGHT);
        assert_eq!(names(&["clipy"]).unwrap_err(), "ci: unknown step or option `clipy`; did you mean `clippy`?");
    }

    #[test]
    fn the_build_without_hwloc_is_linted_on_every_host() {
        for topology in [Topology::Hwloc, Topology::Sysfs] {
            assert!(lints(topology).iter().any(|words| words.contains(&"--no-default-features")), "{topology:?}");
        }
        assert_eq!(lints(Topology::Hwloc)[0], [""; 0], "what ships is linted whole");
    }

    #[test]
    fn every_step_stands_in_the_help() {
        for (name, _) in STEPS {
            assert!(HELP.contains(&format!("\n  {name} ")), "{name}");
        }
    }

    #[test]
    fn only_signed_json_is_a_profile() {
        let root = tempfile::tempdir().unwrap();
        assert!(signed(root.path()).is_empty());
        fs::create_dir_all(root.path().join("profiles/signed")).unwrap();
        for name in ["a.json", "a.json.tmp"] {
            fs::write(root.path().join("profiles/signed").join(name), "").unwrap();
        }
        assert_eq!(signed(root.path()), [root.path().join("profiles/signed/a.json")]);
    }
}
