//! `cargo xtask doctor`: what is missing to build RTT, and what limits measurement on this host.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::exit::{Exit, Stop};
use crate::host_lock::{Holder, holder};
use crate::limits::{Host, Line, Status};
use crate::packages::{self, Need, TOOLS, Tool, found};
use crate::screen::{print, println};
use crate::workspace::output;

/// What `--help` prints.
pub const HELP: &str = "\
Says what is missing to build RTT and what limits measurement here: a line each, ok, warn or fail, with the next step.

Usage: cargo xtask doctor [--install] [--json]

  --install   install what is missing (root on an apt system; else prints the command and exits with 13)
  --json      one JSON object instead of the table:
              {version: 1, ready: bool, topology: \"hwloc\"|\"sysfs\", holder: null|{pid: null|number, command},
               lines: [{group: \"tool\"|\"limit\", name, status: \"ok\"|\"warn\"|\"fail\", found, next}]}
              Fields may be added; none changes its meaning while `version` is 1.

Exit 0 when RTT can be built and measured here, 13 when a line says `fail`. Warnings do not fail.

Examples:
  cargo xtask doctor
  cargo xtask doctor --install
  cargo xtask doctor --json
";

/// Version of the `--json` document.
const VERSION: u32 = 1;

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
/// A stop when an argument is unknown, or when `--install` is asked of a process that cannot install.
pub fn doctor(mut arguments: Arguments) -> Result<u8, Stop> {
    let install = arguments.take_flag("--install");
    let as_json = arguments.take_flag("--json");
    arguments.finish("doctor", &["--install", "--json"])?;
    if install {
        install_missing()?;
    }
    let findings = look();
    if as_json {
        println!("{:#}", document(&findings));
    } else {
        print!("{}", table(&findings));
    }
    Ok(if ready(&findings) { 0 } else { Exit::Unfit.code() })
}

fn install_missing() -> Result<(), Stop> {
    let wanted: Vec<&str> = packages::missing().iter().flat_map(|tool| tool.packages).copied().collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let powers = packages::powers();
    if !(powers.root && powers.apt) {
        let command = packages::install_command(&wanted, powers);
        return Err(Stop::unfit(format!("doctor: cannot install as this user on this system\nnext: {command}")));
    }
    packages::install(&wanted)
}

fn look() -> Findings {
    let powers = packages::powers();
    let mut tools = vec![rust()];
    tools.extend(TOOLS.into_iter().map(|tool| tool_line(tool, found(tool), powers)));
    Findings { tools, limits: Host::new("/", powers.root).limits(), holder: holder(), topology: packages::present() }
}

fn rust() -> Line {
    let needed = env!("CARGO_PKG_RUST_VERSION");
    match output("rustc", &["--version"]) {
        Some(version) => Line::ok("Rust", format!("{version} (needs {needed})")),
        None => Line::fail("Rust", "no rustc on PATH", format!("install Rust {needed} or later with rustup")),
    }
}

fn tool_line(tool: Tool, found: Option<String>, powers: packages::Powers) -> Line {
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
        let _ = writeln!(text, "Not ready.  Next: cargo xtask doctor --install");
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
    fn the_document_has_its_promised_fields() {
        let document = document(&findings(Line::ok("Rust", "1.89")));
        assert_eq!(document["version"], json!(1));
        assert_eq!(document["holder"], json!({"pid": 7, "command": "rtt-lab"}));
        let line = json!({"group": "limit", "name": "smt", "status": "warn", "found": "on", "next": "boot with nosmt"});
        assert_eq!(document["lines"][1], line);
    }

    #[test]
    fn an_absent_tool_is_as_bad_as_its_need() {
        let powers = packages::Powers { root: false, apt: true };
        let statuses: Vec<&str> = TOOLS.iter().map(|tool| tool_line(*tool, None, powers).status.word()).collect();
        assert_eq!(statuses, ["fail", "warn", "warn", "warn", "warn"]);
        assert_eq!(tool_line(TOOLS[0], Some("cc 12".into()), powers), Line::ok("C compiler", "cc 12"));
    }
}
