//! `cargo xtask doctor`: what is missing to build RTT, and what limits measurement on this host.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::exit::{Exit, Stop};
use crate::host_lock::{Holder, holder};
use crate::limits::{Host, Line, Status};
use crate::packages::{self, Need, Powers, TOOLS, Tool, found};
use crate::screen::{print, println};
use crate::workspace::{on_path, output};

/// What `--help` prints.
pub const HELP: &str = "\
Says what is missing to build RTT and what limits measurement here: a line each, ok, warn or fail, with the next step.

Usage: cargo xtask doctor [--install] [--json]

  --install   install what is missing (root on an apt system; else prints the command and exits with 13), then look
  --json      one JSON object instead of the table:
              {version: 1, ready: bool, topology: \"hwloc\"|\"sysfs\", holder: null|{pid: null|number, command},
               lines: [{group: \"tool\"|\"limit\", name, status: \"ok\"|\"warn\"|\"fail\", found, next}]}
              Fields may be added; none changes its meaning while `version` is 1.

Exit 0 when RTT can be built and measured here, 13 when a line says `fail` or --install did not bring what it should.
Warnings do not fail.

Examples:
  cargo xtask doctor
  cargo xtask doctor --install
  cargo xtask doctor --json
";

/// Version of the `--json` document.
const VERSION: u32 = 1;
/// Name of the compiler's line.
const RUST: &str = "Rust";

/// Everything that `doctor` found.
#[derive(Clone, Debug)]
struct Findings {
    tools: Vec<Line>,
    limits: Vec<Line>,
    holder: Option<Holder>,
    topology: packages::Topology,
}

/// Looks, and prints what it found.
///
/// # Errors
/// A stop when an argument is unknown, or when `--install` is asked of a process that cannot install or does not bring
/// all that is missing.
pub fn doctor(mut arguments: Arguments) -> Result<u8, Stop> {
    let install = arguments.take_flag("--install");
    let as_json = arguments.take_flag("--json");
    arguments.finish("doctor", &["--install", "--json"])?;
    let powers = packages::powers();
    let missing = if install { install_missing(packages::missing, powers, packages::install)? } else { Vec::new() };
    let findings = look(powers);
    if as_json {
        println!("{:#}", document(&findings));
    } else {
        print!("{}", table(&findings));
    }
    refuse_missing(&missing, powers)?;
    Ok(if ready(&findings) { 0 } else { Exit::Unfit.code() })
}

/// Installs what is missing, and returns what still is.
fn install_missing(
    missing: impl Fn() -> Vec<Tool>,
    powers: Powers,
    install: impl FnOnce(&[&str]) -> Result<(), Stop>,
) -> Result<Vec<Tool>, Stop> {
    let wanted = debian_packages(&missing());
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    if !(powers.root && powers.apt) {
        let command = packages::install_command(&wanted, powers);
        return Err(Stop::unfit(format!("doctor: cannot install as this user on this system\nnext: {command}")));
    }
    install(&wanted)?;
    Ok(missing())
}

fn refuse_missing(missing: &[Tool], powers: Powers) -> Result<(), Stop> {
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|tool| tool.name).collect();
    let command = packages::install_command(&debian_packages(missing), powers);
    Err(Stop::unfit(format!(
        "doctor: still missing after the installation: {}\nnext: see what apt-get says above, then {command}",
        names.join(", ")
    )))
}

fn debian_packages(tools: &[Tool]) -> Vec<&'static str> {
    tools.iter().flat_map(|tool| tool.packages).copied().collect()
}

fn look(powers: Powers) -> Findings {
    let mut tools = vec![rust(output("rustc", &["--version"]), on_path("rustup").is_some())];
    tools.extend(TOOLS.into_iter().map(|tool| tool_line(tool, found(tool), powers)));
    Findings { tools, limits: Host::new("/", powers.root).limits(), holder: holder(), topology: packages::present() }
}

/// The line about the compiler, by what `rustc --version` prints; apt's own is too old, so the next step is rustup's.
fn rust(version: Option<String>, has_rustup: bool) -> Line {
    const NEEDED: &str = env!("CARGO_PKG_RUST_VERSION");
    let next = if has_rustup {
        "rustup update stable && rustup default stable".to_owned()
    } else {
        format!("install Rust {NEEDED} or later with rustup (https://rustup.rs)")
    };
    let Some(version) = version else { return Line::fail(RUST, "no rustc that runs on PATH", next) };
    match release(version.trim_start_matches("rustc ")) {
        None => Line::warn(RUST, format!("{version}: unknown release (needs {NEEDED})"), next),
        Some(found) if Some(&found) < release(NEEDED).as_ref() => {
            Line::fail(RUST, format!("{version} (needs {NEEDED})"), next)
        }
        Some(_) => Line::ok(RUST, format!("{version} (needs {NEEDED})")),
    }
}

/// The numbers of a release such as `1.89` or `1.95.0-nightly (5980 2026-04-14)`.
fn release(text: &str) -> Option<Vec<u32>> {
    let numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    numbers.split('.').map(|number| number.parse().ok()).collect()
}

fn tool_line(tool: Tool, found: Option<String>, powers: Powers) -> Line {
    let Tool { name, packages, purpose, need } = tool;
    let command = packages::install_command(packages, powers);
    match (found, need) {
        (Some(found), _) => Line::ok(name, found),
        (None, Need::Must) => Line::fail(name, format!("absent; for {purpose}"), command),
        (None, Need::Hwloc) => {
            Line::warn(name, format!("absent; for {purpose}; the /sys reader works without"), command)
        }
        (None, Need::Optional) => Line::warn(name, format!("absent; for {purpose}, which is skipped"), command),
    }
}

fn ready(findings: &Findings) -> bool {
    findings.tools.iter().chain(&findings.limits).all(|line| line.status != Status::Fail)
}

fn holder_line(holder: Option<&Holder>) -> Line {
    match holder {
        None => Line::ok("measurement", "none runs"),
        Some(holder) => Line::warn("measurement", format!("this host is held by {}", holder.shown()), holder.next()),
    }
}

fn table(findings: &Findings) -> String {
    let mut text = String::from("Tools\n");
    let push = |text: &mut String, line: &Line| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:<4}  {:<13}  {}", line.status.word(), line.name, line.found);
        if !line.next.is_empty() {
            let _ = writeln!(text, "  {:<4}  {:<13}  next: {}", "", "", line.next);
        }
    };
    findings.tools.iter().for_each(|line| push(&mut text, line));
    text.push_str("Measurement\n");
    findings.limits.iter().for_each(|line| push(&mut text, line));
    push(&mut text, &holder_line(findings.holder.as_ref()));
    let limits = findings.limits.iter().filter(|line| line.status != Status::Ok).count();
    let reader = match findings.topology {
        packages::Topology::Hwloc => "hwloc",
        packages::Topology::Sysfs => "the /sys reader",
    };
    if ready(findings) {
        let _ = writeln!(text, "Ready with {reader}, and {limits} limits.  Next: cargo xtask tune --quick");
    } else {
        // No package brings the compiler.
        let rust = findings.tools.iter().find(|line| line.name == RUST && line.status == Status::Fail);
        let next = rust.map_or("cargo xtask doctor --install", |line| &line.next);
        let _ = writeln!(text, "Not ready.  Next: {next}");
    }
    text
}

fn document(findings: &Findings) -> Value {
    let rows = |group: &str, lines: &[Line]| -> Vec<Value> {
        let row = |line: &Line| {
            json!({
                "group": group, "name": line.name, "status": line.status.word(),
                "found": line.found, "next": line.next,
            })
        };
        lines.iter().map(row).collect()
    };
    let holder = findings.holder.as_ref().map(|holder| json!({"pid": holder.pid, "command": holder.command}));
    let topology = match findings.topology {
        packages::Topology::Hwloc => "hwloc",
        packages::Topology::Sysfs => "sysfs",
    };
    let lines = [rows("tool", &findings.tools), rows("limit", &findings.limits)].concat();
    json!({
        "version": VERSION,
        "ready": ready(findings),
        "topology": topology,
        "holder": holder,
        "lines": lines,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn findings(tool: Line) -> Findings {
        Findings {
            tools: vec![tool],
            limits: vec![Line::warn("smt", "on", "boot with nosmt")],
            holder: Some(Holder { pid: Some(7), command: "rtt-lab".into() }),
            topology: packages::Topology::Sysfs,
        }
    }

    #[test]
    fn warnings_leave_the_host_ready() {
        let text = table(&findings(Line::ok("Rust", "1.89")));
        let expected = "Tools\n  ok    Rust           1.89\n\
                        Measurement\n  warn  smt            on\n                       next: boot with nosmt\n  \
                        warn  measurement    this host is held by process 7: rtt-lab\n                       \
                        next: wait for it to end, or stop it with `kill -INT 7` (its log can be resumed)\n\
                        Ready with the /sys reader, and 1 limits.  Next: cargo xtask tune --quick\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_failure_is_the_last_word() {
        let findings = findings(Line::fail("C compiler", "absent", "install it"));
        assert!(table(&findings).ends_with("Not ready.  Next: cargo xtask doctor --install\n"));
        assert_eq!(document(&findings)["ready"], json!(false));
    }

    #[test]
    fn a_compiler_is_compared_with_the_manifest_and_brought_by_rustup() {
        for (version, status) in [
            (Some("rustc 1.89.0 (29483883e 2025-08-04)"), Status::Ok),
            (Some("rustc 1.100.0-nightly (0a1b2c 2027-01-01)"), Status::Ok),
            (Some("rustc 2.0.0"), Status::Ok),
            (Some("rustc 1.88.1 (6b00bc388 2025-06-23)"), Status::Fail),
            (Some("rustc 1.9.0"), Status::Fail),
            (Some("rustc unknown"), Status::Warn),
            (None, Status::Fail),
        ] {
            for has_rustup in [true, false] {
                let line = rust(version.map(str::to_owned), has_rustup);
                assert_eq!(line.status, status, "{line:?}");
                assert_eq!(line.next.contains("rustup"), status != Status::Ok, "{line:?}");
            }
        }
        let text = table(&findings(rust(None, false)));
        let expected = concat!(env!("CARGO_PKG_RUST_VERSION"), " or later with rustup (https://rustup.rs)\n");
        assert!(text.ends_with(&format!("Not ready.  Next: install Rust {expected}")), "{text}");
    }

    /// Installs where `before` is missing and `after` still is afterwards: the exit code and what was said or asked for.
    fn check_install(before: &[Tool], after: &[Tool], powers: Powers, expected: (u8, &str)) {
        let asked = RefCell::new(String::new());
        let missing = || if asked.borrow().is_empty() { before.to_vec() } else { after.to_vec() };
        let install = |packages: &[&str]| {
            *asked.borrow_mut() = packages.join(" ");
            Ok(())
        };
        let got = match install_missing(missing, powers, install).and_then(|missing| refuse_missing(&missing, powers)) {
            Ok(()) => (0, asked.take()),
            Err(stop) => (stop.exit.code(), stop.message),
        };
        assert_eq!((got.0, got.1.as_str()), expected, "{before:?} {after:?}");
    }

    #[test]
    fn an_installation_is_looked_at_again() {
        let root = Powers { root: true, apt: true };
        let [_, pkg_config, hwloc, ..] = TOOLS;
        check_install(&[], &[], root, (0, ""));
        check_install(&[pkg_config, hwloc], &[], root, (0, "pkg-config libhwloc-dev"));
        let failed = "doctor: still missing after the installation: hwloc\n\
                      next: see what apt-get says above, then apt-get install --no-install-recommends libhwloc-dev";
        check_install(&[pkg_config, hwloc], &[hwloc], root, (13, failed));
        let refused = "doctor: cannot install as this user on this system\n\
                       next: sudo apt-get install --no-install-recommends libhwloc-dev";
        check_install(&[hwloc], &[hwloc], Powers { root: false, apt: true }, (13, refused));
    }

    #[test]
    fn the_document_has_its_promised_fields() {
        let document = document(&findings(Line::ok("Rust", "1.89")));
        assert_eq!(document["version"], json!(1));
        assert_eq!(document["holder"], json!({"pid": 7, "command": "rtt-lab"}));
        let line = json!({"group": "limit", "name": "smt", "status": "warn", "found": "on", "next": "boot with nosmt"});
        assert_eq!(document["lines"][1], line);
    }

    #[test]
    fn an_absent_tool_is_as_bad_as_its_need() {
        let powers = Powers { root: false, apt: true };
        let statuses: Vec<&str> = TOOLS.iter().map(|tool| tool_line(*tool, None, powers).status.word()).collect();
        assert_eq!(statuses, ["fail", "warn", "warn", "warn", "warn"]);
        assert_eq!(tool_line(TOOLS[0], Some("cc 12".into()), powers), Line::ok("C compiler", "cc 12"));
    }
}
