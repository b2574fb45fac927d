//! Endpoints of other revisions: built in a worktree beside the checkout, kept by commit.
//!
//! Both arms of a comparison are built by the same compiler with the same flags into executables that hold no path of
//! the place they were built in: a cargo profile of its own leaves debug information and symbols out. So sources that
//! are equal give executables that are equal, and the gate has nothing to ask. The worktree has a target folder of its
//! own: in a shared one cargo would take one checkout's results for the other's, since it compares times of files.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::features;
use crate::exit::Stop;
use crate::packages::Topology;
use crate::screen::eprintln;
use crate::workspace::{Workspace, output, run_or_stop};

/// The cargo profile of both arms, given on the command line: an older revision does not have it.
const PROFILE: [&str; 4] = ["inherits=\"release\"", "debug=false", "strip=\"symbols\"", "codegen-units=4"];

/// A revision as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
    /// As the user called it, with the commit's first digits.
    pub name: String,
}

/// Runs git at the root and returns what it says, or `None` when it fails.
pub fn git(workspace: &Workspace, arguments: &[&str]) -> Option<String> {
    let root = workspace.root.display().to_string();
    output("git", &[&["-C", root.as_str()], arguments].concat())
}

/// The commit that `name` stands for.
///
/// # Errors
/// A stop with 2 when git knows no such commit.
pub fn find(workspace: &Workspace, name: &str) -> Result<Revision, Stop> {
    let commit =
        git(workspace, &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")]);
    let Some(commit) = commit.filter(|commit| commit.len() == 40) else {
        return Err(Stop::usage(format!(
            "gate: `{name}` is no revision, no run below .rtt/gate or .rtt/runs, and no profile; nothing was run; next: \
             name a commit, branch or tag (in a shallow clone, `git fetch --unshallow` first)"
        )));
    };
    let name =
        if commit.starts_with(name) { short(&commit).to_owned() } else { format!("{name} ({})", short(&commit)) };
    Ok(Revision { commit, name })
}

/// The first digits of a commit.
pub fn short(commit: &str) -> &str {
    &commit[..commit.len().min(12)]
}

/// The endpoint of the checkout as it stands, built as the other revisions are.
///
/// # Errors
/// A stop when the build fails.
pub fn candidate(workspace: &Workspace, topology: Topology) -> Result<PathBuf, Stop> {
    build(workspace, &workspace.root, &workspace.target()?, topology)
}

/// Whether the checkout differs from its commit, new files included.
pub fn is_changed(workspace: &Workspace) -> bool {
    git(workspace, &["status", "--porcelain"]).is_none_or(|text| !text.is_empty())
}

/// What to call the checkout as it stands.
pub fn candidate_name(workspace: &Workspace) -> String {
    let Some(commit) = git(workspace, &["rev-parse", "HEAD"]) else { return "working tree".into() };
    if is_changed(workspace) { format!("working tree over {}", short(&commit)) } else { short(&commit).to_owned() }
}

/// The endpoint of `revision`: from an earlier build by this compiler, else built now.
///
/// # Errors
/// A stop when git or the build fails; 13 when the revision has no endpoint that could be compared.
pub fn endpoint(workspace: &Workspace, revision: &Revision, topology: Topology) -> Result<PathBuf, Stop> {
    let compiler = output("rustc", &["-V"]).unwrap_or_default();
    let compiler: String = compiler.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let reader = match topology {
        Topology::Hwloc => "hwloc",
        Topology::Sysfs => "sysfs",
    };
    let gate = workspace.root.join(".rtt/gate");
    let kept = format!("{}-{compiler}-{reader}-{:08x}", revision.commit, flags());
    let kept = gate.join("builds").join(kept).join("rtt-endpoint");
    if kept.exists() {
        return Ok(kept);
    }
    let worktree = gate.join("worktree");
    check_out(workspace, &worktree, &revision.commit)?;
    if !worktree.join("runtime/rtt-runtime/Cargo.toml").exists() {
        return Err(Stop::unfit(format!(
            "gate: {} has no runtime/rtt-runtime, so there is no endpoint to compare",
            revision.name
        )));
    }
    let built = build(workspace, &worktree, &gate.join("target"), topology)?;
    let unexpected = |error: std::io::Error| Stop::unexpected(format!("gate: keeping {}: {error}", kept.display()));
    fs::create_dir_all(kept.parent().unwrap_or(Path::new("."))).map_err(unexpected)?;
    let whole = kept.with_extension("new");
    let synced = fs::copy(&built, &whole).and_then(|_| fs::File::open(&whole)?.sync_all());
    synced.and_then(|()| fs::rename(&whole, &kept)).map_err(unexpected)?;
    Ok(kept)
}

/// A number for what the environment adds to cargo's flags: a build under others is another one.
fn flags() -> u32 {
    let adds = |name: &str| {
        name == "RUSTFLAGS"
            || ["CARGO_ENCODED_", "CARGO_BUILD_", "CARGO_PROFILE_"].iter().any(|start| name.starts_with(start))
    };
    let mut found: Vec<(String, String)> = env::vars().filter(|(name, _)| adds(name)).collect();
    found.sort();
    let mut hasher = DefaultHasher::new();
    (found, PROFILE).hash(&mut hasher);
    hasher.finish() as u32
}

/// Puts `commit` into the worktree at `path`, which is made where it is missing.
fn check_out(workspace: &Workspace, path: &Path, commit: &str) -> Result<(), Stop> {
    let git = |folder: &Path| {
        let mut command = Command::new("git");
        command.arg("-C").arg(folder);
        command
    };
    // One that was copied or moved with its checkout names the place that it was made in, and is git's no more.
    let known = output("git", &["-C", &path.display().to_string(), "rev-parse", "--git-dir"]).is_some();
    if path.join(".git").exists() && !known {
        fs::remove_dir_all(path).map_err(|error| Stop::unexpected(format!("gate: {}: {error}", path.display())))?;
    }
    if path.join(".git").exists() {
        let mut command = git(path);
        command.args(["checkout", "--quiet", "--detach", "--force", commit]);
        return run_or_stop(&mut command, "gate");
    }
    // A worktree whose folder was deleted is still on git's list.
    let mut prune = git(&workspace.root);
    run_or_stop(prune.args(["worktree", "prune"]), "gate")?;
    let mut command = git(&workspace.root);
    command.args(["worktree", "add", "--quiet", "--detach", "--force"]).arg(path).arg(commit);
    run_or_stop(&mut command, "gate")
}

fn build(workspace: &Workspace, folder: &Path, target: &Path, topology: Topology) -> Result<PathBuf, Stop> {
    eprintln!("gate: building the endpoint in {}", folder.display());
    let mut command = workspace.cargo(["build", "--profile", "gate", "--locked", "-p", "rtt-runtime"]);
    command.current_dir(folder).args(["--bin", "rtt-endpoint"]).args(features(topology));
    for setting in PROFILE {
        command.arg("--config").arg(format!("profile.gate.{setting}"));
    }
    // What panics say of the libraries' sources is the one place that would still stand in the executable.
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    if let Some(home) = home {
        command.arg("--config").arg(format!("build.rustflags=[\"--remap-path-prefix={}=cargo\"]", home.display()));
    }
    run_or_stop(command.arg("--target-dir").arg(target), "gate")?;
    Ok(target.join("gate/rtt-endpoint"))
}
