//! What must be installed to build RTT, how to see it, and how to get it on an apt system.
//!
//! A tool is looked for by what it does (`pkg-config --exists`), not by a package's name, so that other
//! distributions pass too. Only the C compiler is a must: without hwloc the product is built with its /sys reader.

use std::env;
use std::fs;
use std::process::Command;

use crate::exit::Stop;
use crate::screen::eprintln;
use crate::workspace::{on_path, output, run};

/// Oldest hwloc whose bindings are built (`hwloc-2_8_0` in the workspace's manifest).
const HWLOC_MINIMUM: &str = "2.8.0";

/// Something that RTT is built or tested with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Short name, for messages.
    pub name: &'static str,
    /// Debian packages that bring it.
    pub packages: &'static [&'static str],
    /// What it is for.
    pub purpose: &'static str,
    /// How much depends on it.
    pub need: Need,
}

/// How much depends on a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing builds without it.
    Must,
    /// The topology is read by hwloc with it, by the /sys reader without.
    Hwloc,
    /// One test is skipped without it.
    Optional,
}

/// Which reader of the host's topology is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// The hwloc library.
    Hwloc,
    /// The reader of /sys alone.
    Sysfs,
}

/// What the person at the terminal asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `--no-install`: change nothing on this host.
    pub no_install: bool,
    /// `--no-hwloc`: go on with the /sys reader.
    pub no_hwloc: bool,
}

/// What this process may do about a missing package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Powers {
    /// The effective user is root.
    pub root: bool,
    /// `apt-get` is there.
    pub apt: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Build(Topology),
    Install(Vec<&'static str>),
    Stop(String),
}

const COMPILER: Tool = Tool {
    name: "C compiler",
    packages: &["gcc", "libc6-dev"],
    purpose: "linking, and blake3's C code",
    need: Need::Must,
};
const PKG_CONFIG: Tool =
    Tool { name: "pkg-config", packages: &["pkg-config"], purpose: "finding hwloc", need: Need::Hwloc };
const HWLOC: Tool =
    Tool { name: "hwloc", packages: &["libhwloc-dev"], purpose: "topology of large hosts", need: Need::Hwloc };
// Debian's libhwloc-dev does not depend on it, although hwloc's list of static libraries names -ludev.
const UDEV: Tool = Tool { name: "libudev", packages: &["libudev-dev"], purpose: "linking hwloc", need: Need::Hwloc };
const CHROMIUM: Tool =
    Tool { name: "chromium", packages: &["chromium"], purpose: "the test of the report's page", need: Need::Optional };

/// Every tool, in the order in which `doctor` lists them.
pub const TOOLS: [Tool; 5] = [COMPILER, PKG_CONFIG, HWLOC, UDEV, CHROMIUM];

/// What is found of a tool: its version or place, or `None`.
pub fn found(tool: Tool) -> Option<String> {
    let pkg_config = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_owned());
    if tool == COMPILER {
        let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        output(&compiler, &["--version"]).and_then(|text| text.lines().next().map(str::to_owned))
    } else if tool == PKG_CONFIG {
        output(&pkg_config, &["--version"])
    } else if tool == HWLOC {
        output(&pkg_config, &[&format!("--atleast-version={HWLOC_MINIMUM}"), "hwloc"])?;
        output(&pkg_config, &["--modversion", "hwloc"])
    } else if tool == UDEV {
        output(&pkg_config, &["--modversion", "libudev"])
    } else {
        ["chromium", "chromium-browser", "google-chrome"]
            .iter()
            .find_map(|name| on_path(name))
            .map(|path| path.display().to_string())
    }
}

/// The tools that are not here, optional ones left out.
pub fn missing() -> Vec<Tool> {
    TOOLS.into_iter().filter(|tool| tool.need != Need::Optional && found(*tool).is_none()).collect()
}

/// What this process may do.
pub fn powers() -> Powers {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    Powers { root: effective_user(&status) == Some(0), apt: on_path("apt-get").is_some() }
}

/// The effective user in the text of `/proc/self/status`: `Uid: real effective saved filesystem`.
fn effective_user(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}

/// The command that installs `packages`, as a person types it.
pub fn install_command(packages: &[&str], powers: Powers) -> String {
    let sudo = if powers.root { "" } else { "sudo " };
    format!("{sudo}apt-get install --no-install-recommends {}", packages.join(" "))
}

/// The reader that can be built with what is here now; installs nothing, says nothing.
pub fn present() -> Topology {
    let complete = missing().iter().all(|tool| tool.need != Need::Hwloc);
    if complete { Topology::Hwloc } else { Topology::Sysfs }
}

/// As [`present`], for a build: when it is the /sys reader, that is said.
pub fn announced() -> Topology {
    let topology = present();
    if let Some(note) = note(topology, "hwloc is not installed") {
        eprintln!("{note}");
    }
    topology
}

/// What is said before a build with the /sys reader.
fn note(topology: Topology, why: &str) -> Option<String> {
    let sentence = || format!("note: {why}: building with the /sys reader of the topology instead of hwloc");
    (topology == Topology::Sysfs).then(sentence)
}

/// Sees to it that RTT can be built: installs what is missing where that is possible and allowed, else falls back to
/// the /sys reader and says so.
///
/// # Errors
/// A stop with exit code 13 that holds the exact command, when something is missing and a person must bring it.
pub fn ensure(wishes: Wishes) -> Result<Topology, Stop> {
    let powers = powers();
    let packages = match decide(&missing(), powers, wishes, false) {
        Decision::Install(packages) => packages,
        other => return concluded(other, wishes),
    };
    install(&packages)?;
    concluded(decide(&missing(), powers, wishes, true), wishes)
}

/// Installs Debian packages. A failure is only said: what is still missing afterwards is seen by looking again.
///
/// # Errors
/// A stop when `apt-get` cannot be started.
pub fn install(packages: &[&str]) -> Result<(), Stop> {
    eprintln!("installing {} (--no-install forbids this)", packages.join(", "));
    // A fresh image has no package lists. Another apt may hold the lock for a moment: wait for it.
    let wait = ["-o", "DPkg::Lock::Timeout=120"];
    let apt = || {
        let mut command = Command::new("apt-get");
        command.args(wait).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    if run(apt().args(["update", "--quiet"]))? != 0 {
        eprintln!("warn: `apt-get update` failed; going on with the package lists that are here");
    }
    if run(apt().args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(packages))? != 0 {
        eprintln!("warn: `apt-get install` failed");
    }
    Ok(())
}

fn concluded(decision: Decision, wishes: Wishes) -> Result<Topology, Stop> {
    match decision {
        Decision::Build(topology) => {
            let why = if wishes.no_hwloc { "as asked" } else { "hwloc cannot be had here" };
            if let Some(note) = note(topology, why) {
                eprintln!("{note}");
            }
            Ok(topology)
        }
        Decision::Install(packages) => Err(Stop::unfit(format!("still missing: {}", packages.join(", ")))),
        Decision::Stop(message) => Err(Stop::unfit(message)),
    }
}

fn decide(missing: &[Tool], powers: Powers, wishes: Wishes, tried: bool) -> Decision {
    let wanted: Vec<&Tool> = missing.iter().filter(|tool| !wishes.no_hwloc || tool.need == Need::Must).collect();
    if wanted.is_empty() {
        return Decision::Build(if wishes.no_hwloc { Topology::Sysfs } else { Topology::Hwloc });
    }
    let packages: Vec<&'static str> = wanted.iter().flat_map(|tool| tool.packages).copied().collect();
    if powers.apt && powers.root && !wishes.no_install && !tried {
        return Decision::Install(packages);
    }
    let must = wanted.iter().any(|tool| tool.need == Need::Must);
    let can_be_had = powers.apt && !tried;
    if !must && !can_be_had {
        return Decision::Build(Topology::Sysfs);
    }
    let names: Vec<&str> = wanted.iter().map(|tool| tool.name).collect();
    let names = names.join(", ");
    let next = if powers.apt {
        format!("next: {}", install_command(&packages, powers))
    } else {
        format!("next: install {names} with this system's package manager (on Debian: {})", packages.join(" "))
    };
    let way_round = if must { "" } else { "\n  or: add --no-hwloc to build with the /sys reader" };
    Decision::Stop(format!("missing: {names}\n{next}{way_round}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Powers = Powers { root: true, apt: true };
    const USER: Powers = Powers { root: false, apt: true };
    const OTHER: Powers = Powers { root: true, apt: false };
    const PLAIN: Wishes = Wishes { no_install: false, no_hwloc: false };
    const NO_INSTALL: Wishes = Wishes { no_install: true, no_hwloc: false };
    const NO_HWLOC: Wishes = Wishes { no_install: false, no_hwloc: true };

    fn check(missing: &[Tool], powers: Powers, wishes: Wishes, tried: bool, expected: &str) {
        let got = match decide(missing, powers, wishes, tried) {
            Decision::Build(topology) => format!("{topology:?}"),
            Decision::Install(packages) => format!("install {}", packages.join(" ")),
            Decision::Stop(message) => message,
        };
        assert_eq!(got, expected, "{missing:?} {powers:?} {wishes:?} tried: {tried}");
    }

    #[test]
    fn nothing_missing_builds_with_hwloc_unless_unwanted() {
        check(&[], USER, PLAIN, false, "Hwloc");
        check(&[], USER, NO_HWLOC, false, "Sysfs");
    }

    #[test]
    fn root_installs_once_then_falls_back() {
        check(&[HWLOC, UDEV], ROOT, PLAIN, false, "install libhwloc-dev libudev-dev");
        check(&[HWLOC], ROOT, PLAIN, true, "Sysfs");
    }

    #[test]
    fn the_fallback_is_never_silent() {
        let expected = "note: x: building with the /sys reader of the topology instead of hwloc";
        assert_eq!(note(Topology::Sysfs, "x").as_deref(), Some(expected));
        assert_eq!(note(Topology::Hwloc, "x"), None);
    }

    #[test]
    fn a_user_gets_the_exact_command() {
        let expected = "missing: hwloc, libudev\n\
                        next: sudo apt-get install --no-install-recommends libhwloc-dev libudev-dev\n  \
                        or: add --no-hwloc to build with the /sys reader";
        check(&[HWLOC, UDEV], USER, PLAIN, false, expected);
        check(&[HWLOC, UDEV], USER, NO_HWLOC, false, "Sysfs");
        check(&[HWLOC, UDEV], ROOT, NO_INSTALL, false, &expected.replace("sudo ", ""));
    }

    #[test]
    fn without_apt_only_the_compiler_stops_the_build() {
        check(&[PKG_CONFIG, HWLOC], OTHER, PLAIN, false, "Sysfs");
        let expected = "missing: C compiler\n\
                        next: install C compiler with this system's package manager (on Debian: gcc libc6-dev)";
        check(&[COMPILER], OTHER, NO_HWLOC, false, expected);
    }

    #[test]
    fn a_compiler_that_apt_did_not_bring_stops_the_build() {
        let expected = "missing: C compiler\nnext: apt-get install --no-install-recommends gcc libc6-dev";
        check(&[COMPILER], ROOT, PLAIN, true, expected);
    }

    #[test]
    fn the_effective_user_decides() {
        assert_eq!(effective_user("Name:\tx\nUid:\t1000\t0\t0\t0\n"), Some(0));
        assert_eq!(effective_user("Name:\tx\n"), None);
    }
}
