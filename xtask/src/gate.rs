//! `cargo xtask gate`: builds base and candidate, then has `rtt-gate` judge them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::arguments::{Arguments, near_name};
use crate::bisect;
use crate::build::{self, Programs};
use crate::exit::{Exit, Stop};
use crate::host_lock::refuse_while_held;
use crate::packages::{self, Topology, Wishes};
use crate::revision::{self, Revision};
use crate::screen::eprintln;
use crate::workspace::{Workspace, run};

/// What `--help` prints.
pub const HELP: &str = "\
Decides whether a change made p99 worse on this host, with a stated rate of false alarms.

Usage: cargo xtask gate --against REVISION|RUN|PROFILE [OPTIONS]
       cargo xtask gate bisect --good REVISION --bad REVISION [OPTIONS]
       cargo xtask gate --canary N [OPTIONS]

Builds the endpoint of the base beside that of the checkout, with the same flags, and runs both on this host in pairs
whose order a coin decides. Ends in FAIL (exit 11), SLO BREACH (10), UNDECIDED (12) or PASS (0). A second gate of the
same arms goes on with the wealth of the first; equal executables under equal knobs pass at once.

Against what:
  --against REVISION   a commit, branch or tag; `green` is the last revision that --mark-green marked, `release` the
                       last tag v*
  --against RUN        a comparison below .rtt/gate, or a run of tune: its build and knobs are run again
  --against PROFILE    a signed profile's file: the checkout's build under both profiles
  both arms otherwise use the host's signed profile, or its untuned default where there is none
How much:
  --lane quick|full    the first gating scenario and 10 minutes, or every gating scenario and 60 (default: full)
  --scenario NAME      run this scenario (repeatable)
  --max-pairs N        most pairs of each scenario now (default: 80)
  --budget TIME        most time, such as 20m
  --share SHARE        runs of this share of a scenario's length, such as 0.25
  --cpus LIST          use these CPUs only, such as 2-7
  --seed N             the same coins and arrivals again
What comes out:
  --json               one JSON object: the verdict's document, with its version; a search prints one of its own
  --annotate           the worst ten findings as annotations of hosted CI (by itself under GITHUB_ACTIONS)
  written: .rtt/gate/<comparison>/ verdict.json, summary.md, junit.xml, bencher.json, smaller.json, and a page,
  reports/out/gate-<comparison>.html
Every night:
  --mark-green         on PASS of every gating scenario at full length against a revision, HEAD becomes `green`
  --bisect             on FAIL, go on with `gate bisect` between base and HEAD
The gate on trial:
  --canary N|+N        N comparisons of the checkout with itself, each with a wealth of its own; what is finished is kept;
                       +N: so many beside those that are finished
  --slower RATIO       with --canary: slow one side down until p99 is RATIO times the other's, and find that
bisect:
  --good, --bad        a revision that was well, and one that is slower; takes the options of `How much` for each step
Building:
  --no-install         install nothing; print the command and exit 13 where something is missing
  --no-hwloc           build with the /sys reader of the topology

Examples:
  cargo xtask gate --against main --lane quick
  cargo xtask gate --against HEAD~1 --scenario steady --max-pairs 40
  cargo xtask gate --against profiles/signed/0123456789abcdef.json
  cargo xtask gate bisect --good v0.1.0 --bad HEAD
  cargo xtask gate --canary 20 --scenario ping_pong
";

const OPTIONS: [&str; 18] = [
    "--against",
    "--lane",
    "--scenario",
    "--max-pairs",
    "--budget",
    "--share",
    "--cpus",
    "--seed",
    "--json",
    "--annotate",
    "--mark-green",
    "--bisect",
    "--canary",
    "--slower",
    "--good",
    "--bad",
    "--no-install",
    "--no-hwloc",
];

/// Where the commit of the last green revision is kept.
const GREEN: &str = ".rtt/gate/green";

/// What a gate is against.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Against {
    Revision(Revision),
    Run(PathBuf),
    Profile(PathBuf),
}

/// What is built and where.
pub struct Workshop<'a> {
    pub workspace: &'a Workspace,
    pub programs: Programs,
    pub topology: Topology,
    /// Options that every judgement gets.
    pub options: Vec<String>,
    /// Whether stdout is for JSON: one object a line, the gate's and then that of a search.
    pub json: bool,
    /// The commit that the checkout was when it was built; absent where it had changes.
    pub judged: Option<String>,
}

impl Workshop<'_> {
    /// The gate's command for two endpoints.
    pub fn judge(&self, candidate: &Path, candidate_name: &str, rest: &[String]) -> Command {
        let path = |name: &str| self.programs.path(name).display().to_string();
        let root = self.workspace.root.display().to_string();
        let words =
            ["judge", "--lab", &path("rtt-lab"), "--report", &path("rtt-report"), "--root", &root].map(str::to_owned);
        let pack = self.workspace.root.join("scenarios").display().to_string();
        let slo = self.workspace.root.join("ci/slo.lock.json").display().to_string();
        let arms = ["--pack", &pack, "--slo", &slo, "--candidate", &candidate.display().to_string()].map(str::to_owned);
        let mut name = vec!["--candidate-name".to_owned(), candidate_name.to_owned()];
        if let Some(history) = self.programs.history() {
            name.extend(["--history".to_owned(), history.display().to_string()]);
        }
        self.workspace
            .program(&self.programs.path("rtt-gate"), &[&words[..], &arms, &name, rest, &self.options].concat())
    }
}

/// Takes `--name VALUE` or `--name=VALUE` out of the words.
fn take_value(words: &mut Vec<String>, name: &str) -> Result<Option<String>, Stop> {
    let prefix = format!("{name}=");
    let Some(at) = words.iter().position(|word| word == name || word.starts_with(&prefix)) else { return Ok(None) };
    let word = words.remove(at);
    if let Some(value) = word.strip_prefix(&prefix) {
        return Ok(Some(value.to_owned()));
    }
    if at < words.len() && !words[at].starts_with("--") {
        return Ok(Some(words.remove(at)));
    }
    Err(Stop::usage(format!("gate: {name} needs a value; nothing was run")))
}

fn take_flag(words: &mut Vec<String>, name: &str) -> bool {
    let before = words.len();
    words.retain(|word| word != name);
    words.len() != before
}

/// Builds, judges, and does what the night asks of the verdict.
///
/// # Errors
/// A stop when an option is misspelt, another measurement runs, a tool is missing or a build fails.
pub fn gate(workspace: &Workspace, mut arguments: Arguments) -> Result<u8, Stop> {
    refuse_misspelt(&arguments)?;
    let action = arguments.take_name();
    let wishes =
        Wishes { no_install: arguments.take_flag("--no-install"), no_hwloc: arguments.take_flag("--no-hwloc") };
    let mut words = arguments.words().to_vec();
    let ends = match action.as_deref() {
        None => None,
        Some("bisect") => Some([taken(&mut words, "--good")?, taken(&mut words, "--bad")?]),
        Some(other) => {
            return Err(Stop::usage(format!("gate: unknown action `{other}`; expected bisect, or --against")));
        }
    };
    let mark_green = take_flag(&mut words, "--mark-green");
    let bisects = take_flag(&mut words, "--bisect");
    let json = take_flag(&mut words, "--json");
    let against = take_value(&mut words, "--against")?;
    let is_canary = words.iter().any(|word| word == "--canary" || word.starts_with("--canary="));
    if ends.is_none() && !is_canary && against.is_none() {
        return Err(Stop::usage(
            "gate: against what? name a revision, a run or a profile: --against main; nothing was run",
        ));
    }
    refuse_while_held("gate")?;
    let _turn = turn(workspace)?;
    let ends =
        ends.map(|[good, bad]| Ok::<_, Stop>([named(workspace, &good)?, named(workspace, &bad)?])).transpose()?;
    let against = against.map(|name| meaning(workspace, &name)).transpose()?;
    let topology = packages::ensure(wishes)?;
    let programs = build::stages(workspace, topology)?;
    let unchanged = !revision::is_changed(workspace);
    let judged = revision::git(workspace, &["rev-parse", "HEAD"]).filter(|_| unchanged);
    let whole = words.iter().all(|word| !["--scenario", "--lane", "--share"].iter().any(|name| word.starts_with(name)));
    let shop = Workshop { workspace, programs, topology, options: words, json, judged };
    // Before the builds of both arms, which take minutes: what is asked wrongly is told now.
    let nowhere = Path::new("-");
    let checked = shop.judge(nowhere, "", &["--check".to_owned()]).stdout(Stdio::null()).status();
    match checked.map_err(|error| Stop::unexpected(format!("gate: {error}")))?.code() {
        Some(0) => {}
        code => return Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(Exit::Unexpected.code())),
    }
    if let Some([good, bad]) = ends {
        return bisect::bisect(&shop, &good, &bad);
    }
    let candidate = revision::candidate(workspace, topology)?;
    let name = revision::candidate_name(workspace);
    let mut rest = match &against {
        None => Vec::new(),
        Some(Against::Run(folder)) => vec!["--against-run".into(), folder.display().to_string()],
        Some(Against::Profile(path)) => {
            let path = path.display().to_string();
            vec!["--against-profile".into(), path.clone(), "--base-name".into(), path]
        }
        Some(Against::Revision(revision)) => {
            let base = revision::endpoint(workspace, revision, topology)?;
            vec!["--base".into(), base.display().to_string(), "--base-name".into(), revision.name.clone()]
        }
    };
    rest.extend(json.then(|| "--json".to_owned()));
    let code = run(&mut shop.judge(&candidate, &name, &rest))?;
    if mark_green && !(whole && matches!(against, Some(Against::Revision(_)))) {
        eprintln!(
            "gate: nothing is marked green: that takes every gating scenario, at full length, against a revision"
        );
    }
    after(&shop, code, against.as_ref(), mark_green && whole, bisects)
}

/// One gate at a time in this checkout: they share a worktree, and one must not build beside the other's pairs.
fn turn(workspace: &Workspace) -> Result<fs::File, Stop> {
    let folder = workspace.root.join(".rtt/gate");
    let opened = fs::create_dir_all(&folder).and_then(|()| fs::File::create(folder.join("lock")));
    let file = opened.map_err(|error| Stop::unexpected(format!("gate: {}: {error}", folder.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(Stop {
            exit: Exit::Held,
            message: "gate: another gate runs in this checkout\nnext: wait for it to end".into(),
        }),
    }
}

fn taken(words: &mut Vec<String>, name: &str) -> Result<String, Stop> {
    let missing = || Stop::usage(format!("gate bisect: {name} REVISION is missing; nothing was run"));
    take_value(words, name)?.ok_or_else(missing)
}

/// Keeps `commit` as the green one, whole or not at all: an empty file would be no revision every night.
fn mark(workspace: &Workspace, commit: &str) -> Result<(), Stop> {
    let path = workspace.root.join(GREEN);
    let new = path.with_extension("new");
    let written = fs::write(&new, commit).and_then(|()| fs::rename(&new, &path));
    written.map_err(|error| Stop::unexpected(format!("gate: {}: {error}", path.display())))?;
    eprintln!("gate: {} is green now", revision::short(commit));
    Ok(())
}

/// What follows from the verdict.
fn after(
    shop: &Workshop<'_>,
    code: u8,
    against: Option<&Against>,
    mark_green: bool,
    bisects: bool,
) -> Result<u8, Stop> {
    let head = || revision::find(shop.workspace, "HEAD");
    if mark_green && code == Exit::Success.code() && matches!(against, Some(Against::Revision(_))) {
        let commit = head()?.commit;
        if shop.judged.as_ref() == Some(&commit) {
            mark(shop.workspace, &commit)?;
        } else {
            eprintln!("gate: nothing is marked green: what was judged is no commit, or HEAD has moved since");
        }
    }
    if let (true, Some(Against::Revision(good))) = (bisects && code == Exit::Regression.code(), against) {
        eprintln!("\nbisecting between {} and HEAD", good.name);
        // The verdict stands, whatever becomes of the search.
        if let Err(stop) = head().and_then(|head| bisect::bisect(shop, good, &head)) {
            eprintln!("{}", stop.message);
        }
    }
    Ok(code)
}

/// The revision that a name of the user's stands for, `green` and `release` included.
fn named(workspace: &Workspace, name: &str) -> Result<Revision, Stop> {
    match name {
        "green" => match fs::read_to_string(workspace.root.join(GREEN)) {
            Ok(commit) => {
                let found = revision::find(workspace, commit.trim())?;
                Ok(Revision { name: format!("green ({})", revision::short(&found.commit)), ..found })
            }
            Err(_) => {
                eprintln!("gate: no revision is marked green yet ({GREEN}): HEAD is compared with itself");
                revision::find(workspace, "HEAD")
            }
        },
        "release" => {
            let tag = revision::git(workspace, &["describe", "--tags", "--abbrev=0", "--match", "v*"]);
            let tag = tag.ok_or_else(|| Stop {
                exit: Exit::Nothing,
                message:
                    "gate: skipped: there is no release, no tag v* is an ancestor of HEAD; `git tag v0.1.0 COMMIT` \
                          makes one (in a shallow clone, `git fetch --unshallow --tags` first)"
                        .into(),
            })?;
            revision::find(workspace, &tag)
        }
        name => revision::find(workspace, name),
    }
}

fn meaning(workspace: &Workspace, name: &str) -> Result<Against, Stop> {
    let here = Path::new(name);
    if here.is_file() && here.extension().is_some_and(|end| end == "json") {
        return Ok(Against::Profile(here.to_path_buf()));
    }
    let folders =
        [here.to_path_buf(), workspace.root.join(".rtt/gate").join(name), workspace.root.join(".rtt/runs").join(name)];
    let is_run = |folder: &&PathBuf| folder.join("verdict.json").is_file() || folder.join("fit.json").is_file();
    match folders.iter().find(is_run) {
        Some(folder) => Ok(Against::Run(folder.clone())),
        None => named(workspace, name).map(Against::Revision),
    }
}

/// An option that is no known one; its value may look like anything.
fn refuse_misspelt(arguments: &Arguments) -> Result<(), Stop> {
    for word in arguments.ours().iter().filter(|word| word.starts_with("--")) {
        let name = word.split('=').next().unwrap_or(word);
        if OPTIONS.contains(&name) {
            continue;
        }
        let near = near_name(name, &OPTIONS).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(Stop::usage(format!("gate: unknown option `{name}`{near} nothing was run")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_misspelt_or_missing_is_refused_before_the_build() {
        let check = |line: &str, part: &str| {
            let stop = gate(&Workspace::find(), Arguments::new(line.split_whitespace())).unwrap_err();
            assert_eq!(stop.exit, Exit::Usage, "{line}");
            assert!(stop.message.contains(part), "{line}: {}", stop.message);
        };
        check("--agianst main", "did you mean `--against`?");
        check("--json", "against what?");
        check("--against", "--against needs a value");
        check("bisekt --good a --bad b", "unknown action `bisekt`");
        check("bisect --good HEAD", "--bad REVISION is missing");
    }

    #[test]
    fn two_gates_never_run_in_one_checkout() {
        let root = tempfile::tempdir().unwrap();
        let workspace = Workspace { root: root.path().to_path_buf() };
        let first = turn(&workspace).unwrap();
        assert_eq!(turn(&workspace).unwrap_err().exit, Exit::Held);
        drop(first);
        assert!(turn(&workspace).is_ok());
    }

    #[test]
    fn every_option_stands_in_the_help() {
        for option in OPTIONS {
            assert!(HELP.contains(&format!("  {option}")) || HELP.contains(&format!(", {option}")), "{option}");
        }
    }

    #[test]
    fn values_are_taken_in_both_forms() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<String>>();
        let mut given = words("--against main --lane quick");
        assert_eq!(take_value(&mut given, "--against").unwrap().as_deref(), Some("main"));
        assert_eq!(given, words("--lane quick"));
        let mut given = words("--against=main");
        assert_eq!(take_value(&mut given, "--against").unwrap().as_deref(), Some("main"));
        assert_eq!(take_value(&mut given, "--against").unwrap(), None);
    }
}
