//! `cargo xtask tune`: tools, build, then the tuner in place of this process.
//!
//! The tuner's options pass through untouched. A misspelt one is refused here already, since the tuner can say so only
//! after a build of minutes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::arguments::{Arguments, near_name};
use crate::build;
use crate::exit::Stop;
use crate::host_lock::refuse_while_held;
use crate::packages::{self, Wishes};
use crate::workspace::{Workspace, exec, on_path};

/// What `--help` prints.
pub const HELP: &str = "\
Tunes this host: measures, searches, confirms, writes a signed profile and a report.

Usage: cargo xtask tune [OPTIONS]

Installs what the build needs when run as root on an apt system, builds lab, endpoint, tuner and report in
release, then runs the tuner. Changes no kernel setting; writes only under profiles/, reports/ and .rtt/.
The search ends in one of three outcomes, each signed into the profile: better (the new knobs), no better
(the incumbent's knobs), undecided (the incumbent's knobs, exit 12).

How much:
  --quick              scenario `steady`, short runs, about 3 minutes of measuring (default: 15 minutes)
  --budget TIME        measuring time, such as 10m
  --scenario NAME|FILE measure this scenario (repeatable; default: steady, burst, busy); a file is your own, as JSON
  --no-faults          calm runs only
Where:
  --cpus LIST          use these CPUs only, such as 2-7
  --fix KNOB=VALUE     keep a knob, such as wait=spin (repeatable)
  --sweep KNOB=RANGE   bound and step a knob, such as ring=64KiB..4MiB:x2 (repeatable)
Repeating:
  --seed N             the same order and the same faults again
  --resume [RUN]       go on with the log of an interrupted run, the newest where none is named
Before and after:
  --dry-run            print every effect and the time estimate, run no trial; it reads the limits of this host, which
                       keeps its CPUs busy for a second, so it is refused while a measurement runs (exit 15)
  --json               one JSON object at the end of stdout:
                       {version, outcome, profile, report, log, trials, pairs, p99_ns: {incumbent, tuned}, run, fit,
                       sentence, unit, seed}; figures are {estimate, low, high} in `unit`, which is ns but for a
                       simulated surface; `tuned` is the candidate's figure, in force only where `outcome` is
                       better; with --dry-run {version, dry_run, seed, plan, incumbent,
                       incumbent_origin, notes, known}
  --root DIR           write under DIR instead of this checkout
  --simulate PROGRAM [ARGUMENT]...
                       tune a simulated surface in seconds, to learn the tool: rtt-syn-1, or your own problem program;
                       its arguments end at the next option of tune
Building:
  --no-install         install nothing; print the command and exit 13 where something is missing
  --no-hwloc           build with the /sys reader of the topology

Examples:
  cargo xtask tune --quick
  cargo xtask tune --dry-run
  cargo xtask tune --scenario busy --scenario burst --budget 30m
  cargo xtask tune --fix wait=spin --sweep ring=64KiB..4MiB:x2 --cpus 2-7
  cargo xtask tune --resume
  cargo xtask tune --simulate rtt-syn-1
";

/// The simulated surface that is built with the tuner.
const SURFACE: &str = "rtt-syn-1";

const OPTIONS: [&str; 15] = [
    "--quick",
    "--budget",
    "--scenario",
    "--no-faults",
    "--cpus",
    "--fix",
    "--sweep",
    "--seed",
    "--resume",
    "--dry-run",
    "--json",
    "--root",
    "--simulate",
    "--no-install",
    "--no-hwloc",
];

/// Builds, then becomes the tuner: its exit code is this command's.
///
/// # Errors
/// A stop when an option is misspelt, another measurement runs, a tool is missing or the build fails.
pub fn tune(workspace: &Workspace, arguments: Arguments) -> Result<u8, Stop> {
    Err(exec(&mut command(workspace, arguments)?))
}

/// Builds, and returns the tuner's command.
///
/// # Errors
/// As [`tune`].
pub fn command(workspace: &Workspace, mut arguments: Arguments) -> Result<Command, Stop> {
    refuse_misspelt(&arguments)?;
    refuse_values(&arguments)?;
    // Building beside a measurement would disturb it, simulating too.
    refuse_while_held(if arguments.ours().iter().any(|word| word == "--dry-run") {
        "tune --dry-run (it reads the limits of this host, which keeps its CPUs busy for a second)"
    } else {
        "tune"
    })?;
    let wishes =
        Wishes { no_install: arguments.take_flag("--no-install"), no_hwloc: arguments.take_flag("--no-hwloc") };
    let programs = build::stages(workspace, packages::ensure(wishes)?)?;
    let mut words = words_of(arguments.words(), &workspace.root.join("scenarios"), |name| programs.path(name));
    if let Some(history) = programs.history() {
        words.splice(1..1, ["--history".to_owned(), history.display().to_string()]);
    }
    Ok(workspace.program(&programs.path("rtt-tuner"), &words))
}

/// The tuner's command line: what was built, then what was given.
fn words_of(given: &[String], scenarios: &Path, built: impl Fn(&str) -> PathBuf) -> Vec<String> {
    let mut words = vec!["tune".to_owned()];
    let mut add = |option: &str, path: &Path| words.extend([option.to_owned(), path.display().to_string()]);
    add("--report", &built("rtt-report"));
    if !given.iter().any(|word| word == "--simulate") {
        add("--lab", &built("rtt-lab"));
        add("--endpoint", &built("rtt-endpoint"));
        add("--pack", scenarios); // This checkout's, wherever `--root` puts what is written.
    }
    words.extend(with_built_problem(given, built));
    words
}

/// `--simulate rtt-syn-1` means the program that was just built; any other value stays.
fn with_built_problem(words: &[String], built: impl Fn(&str) -> PathBuf) -> Vec<String> {
    let mut words = words.to_vec();
    for index in 1..words.len() {
        if words[index - 1] == "--simulate" && words[index] == SURFACE {
            words[index] = built(SURFACE).display().to_string();
        }
    }
    words
}

/// An option that is close to a known one but is not it. Any other is the tuner's to judge.
fn refuse_misspelt(arguments: &Arguments) -> Result<(), Stop> {
    // After --simulate comes a program with arguments of its own.
    let ours = arguments.ours().iter().take_while(|word| *word != "--simulate");
    for word in ours.filter(|word| word.starts_with("--")) {
        let name = word.split('=').next().unwrap_or(word);
        match near_name(name, &OPTIONS) {
            Some(near) if near != name => {
                return Err(Stop::usage(format!(
                    "tune: unknown option `{name}`; did you mean `{near}`? nothing was run"
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A value whose form alone is wrong, and the surface's name misspelt. Which knobs and scenarios there are, the tuner knows.
fn refuse_values(arguments: &Arguments) -> Result<(), Stop> {
    let words = arguments.ours();
    for (at, word) in words.iter().enumerate() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.as_str(), words.get(at + 1).map(String::as_str)),
        };
        let Some(value) = value else { continue };
        let expected = match name {
            "--budget" if !is_time(value) => "expected a time with its unit, such as 15m, 90s or 1h",
            "--fix" if !value.contains('=') => "expected KNOB=VALUE, such as wait=spin",
            "--sweep" if !value.contains('=') => "expected KNOB=RANGE, such as ring=64KiB..4MiB:x2",
            "--simulate" if is_near_surface(value) => "there is no such program; did you mean `rtt-syn-1`?",
            _ if name == "--simulate" => break, // The rest is its program's.
            _ => continue,
        };
        let end = if expected.ends_with('?') { "" } else { ";" };
        return Err(Stop::usage(format!("tune: {name} {value}: {expected}{end} nothing was run")));
    }
    Ok(())
}

/// Whether it has the form of a time: a number and a unit.
fn is_time(text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    unit.len() < text.len() && ["ns", "us", "ms", "s", "m", "h"].contains(&unit)
}

/// A name that is nearly the surface's, and no program of its own.
fn is_near_surface(value: &str) -> bool {
    value != SURFACE
        && !value.contains('/')
        && near_name(value, &[SURFACE]).is_some()
        && on_path(value).is_none()
        && !Path::new(value).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: Option<&str>) {
        let arguments = Arguments::new(words.iter().copied());
        let got = refuse_misspelt(&arguments).and_then(|()| refuse_values(&arguments)).err().map(|stop| stop.message);
        assert_eq!(got.as_deref(), expected, "{words:?}");
    }

    #[test]
    fn a_misspelt_option_is_refused_before_the_build() {
        check(&["--quik"], Some("tune: unknown option `--quik`; did you mean `--quick`? nothing was run"));
        check(&["--seeed=7"], Some("tune: unknown option `--seeed`; did you mean `--seed`? nothing was run"));
    }

    #[test]
    fn a_value_of_another_form_is_refused_before_the_build() {
        let time = "expected a time with its unit, such as 15m, 90s or 1h; nothing was run";
        check(&["--budget", "ten"], Some(&format!("tune: --budget ten: {time}")));
        check(&["--budget=15"], Some(&format!("tune: --budget 15: {time}")));
        let knob = "expected KNOB=VALUE, such as wait=spin; nothing was run";
        check(&["--quick", "--fix", "wiat"], Some(&format!("tune: --fix wiat: {knob}")));
        let surface = "there is no such program; did you mean `rtt-syn-1`? nothing was run";
        check(&["--simulate", "rtt-syn1", "serve"], Some(&format!("tune: --simulate rtt-syn1: {surface}")));
        check(&["--budget", "2.5m", "--fix", "wait=spin", "--sweep=ring=1..2", "--simulate", "rtt-syn-1"], None);
        check(&["--simulate", "program", "--budget", "ten"], None);
    }

    #[test]
    fn known_and_unlike_options_pass() {
        check(&["--quick", "--seed=7", "--fix", "wait=spin", "--", "--quik"], None);
        check(&["--explain-everything"], None);
        check(&["--simulate", "program", "--seeed"], None);
    }

    #[test]
    fn every_option_stands_in_the_help() {
        for option in OPTIONS {
            assert!(HELP.contains(&format!("\n  {option} ")), "{option}");
        }
    }

    #[test]
    fn a_simulated_run_gets_no_lab_and_no_scenarios() {
        let composed = |line: &str| {
            let given: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            words_of(&given, Path::new("/scenarios"), |name| Path::new("/built").join(name)).join(" ")
        };
        assert_eq!(
            composed("--quick --simulate rtt-syn-1 serve"),
            "tune --report /built/rtt-report --quick --simulate /built/rtt-syn-1 serve"
        );
        let real = composed("--quick");
        assert!(real.contains("--lab /built/rtt-lab") && real.contains("--pack /scenarios"), "{real}");
    }

    #[test]
    fn the_built_surface_is_found_by_its_name() {
        let words = ["--simulate", "rtt-syn-1", "--fix", "rtt-syn-1"].map(str::to_owned);
        let got = with_built_problem(&words, |name| Path::new("/built").join(name));
        assert_eq!(got, ["--simulate", "/built/rtt-syn-1", "--fix", "rtt-syn-1"]);
    }
}
