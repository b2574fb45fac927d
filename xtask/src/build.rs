//! Builds the programs that the commands start.
//!
//! The stages of the main job are always built together: building them one by one would unite the features of their
//! dependencies differently each time, and compile those again and again.

use std::path::{Path, PathBuf};

use crate::exit::Stop;
use crate::host_lock::refuse_while_held;
use crate::packages::Topology;
use crate::screen::eprintln;
use crate::workspace::{Workspace, run_or_stop};

/// The packages of the main job.
const STAGES: [&str; 5] = ["rtt-lab", "rtt-runtime", "rtt-tuner", "rtt-report", "rtt-gate"];
/// The one package with polars: built at first use only.
const HISTORY: &str = "rtt-history";
/// Runs the store and the reconciler; no part of the main job.
const SIMULATOR: &str = "rtt-sim";

/// A folder of release binaries.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// The program that keeps the history, where it was built before: nobody waits for polars at the end of a measurement.
    pub fn history(&self) -> Option<PathBuf> {
        Some(self.path(HISTORY)).filter(|path| path.exists())
    }

    /// The path of one program.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Builds lab, endpoint, tuner, report and gate in release, with cargo's own progress on stderr. While a measurement holds
/// the host nothing is built: what was built last is taken.
///
/// # Errors
/// A stop when cargo fails, or when a measurement runs and nothing was built before.
pub fn stages(workspace: &Workspace, topology: Topology) -> Result<Programs, Stop> {
    release(workspace, &STAGES, topology)
}

/// Builds the program for tables over many runs in release.
///
/// # Errors
/// A stop when cargo fails.
pub fn history(workspace: &Workspace) -> Result<Programs, Stop> {
    // Polars alone takes minutes: say so before the silence.
    eprintln!("note: the first build of {HISTORY} takes some minutes (polars)");
    release(workspace, &[HISTORY], Topology::Hwloc)
}

/// Builds the simulator in release, and returns its path.
///
/// # Errors
/// A stop when cargo fails.
pub fn simulator(workspace: &Workspace) -> Result<PathBuf, Stop> {
    Ok(release(workspace, &[SIMULATOR], Topology::Hwloc)?.path(SIMULATOR))
}

/// The words that choose the topology reader for a cargo command.
pub fn features(topology: Topology) -> &'static [&'static str] {
    match topology {
        Topology::Hwloc => &[],
        Topology::Sysfs => &["--no-default-features"],
    }
}

fn release(workspace: &Workspace, packages: &[&str], topology: Topology) -> Result<Programs, Stop> {
    let folder = workspace.target()?.join("release");
    if let Err(held) = refuse_while_held("build") {
        // Compiling would disturb the measurement; what was built last disturbs nothing.
        return match packages.iter().all(|package| built(&folder, package)) {
            true => {
                eprintln!("note: a measurement runs here, so nothing is built now: the last build is taken");
                Ok(Programs { folder })
            }
            false => Err(held),
        };
    }
    let mut command = workspace.cargo(["build", "--release", "--locked"]);
    command.args(features(topology)).args(packages.iter().flat_map(|package| ["-p", package]));
    run_or_stop(&mut command, "build")?;
    Ok(Programs { folder })
}

/// Whether a program of `package` is there; that of the runtime is the endpoint's.
fn built(folder: &Path, package: &str) -> bool {
    folder.join(if package == "rtt-runtime" { "rtt-endpoint" } else { package }).exists()
}
