//! `cargo xtask tidy`: the rules that no compiler checks.
//!
//! Each rule is a function from the checkout to findings; all of them run, and every finding is printed as
//! `file:line: message`. The same run is a test of this crate, so that no merge can forget it.

mod home;
mod invariants;
mod layers;
mod map;
mod names;
mod sizes;
mod source;
mod tree;
mod unsafe_places;

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::exit::{Exit, Stop};
use crate::metadata::{self, Packages};
use crate::screen::{eprintln, println};
use crate::workspace::Workspace;

use self::tree::Tree;

/// What `--help` prints.
pub const HELP: &str = "\
Checks the rules of the code base and prints every finding as `file:line: message`.

Usage: cargo xtask tidy [--json]

  layers      a crate links only crates of lower layers, as ARCHITECTURE.md tells them; stages never link each other;
              polars stays in rtt-history, hwlocality in rtt-host
  map         ARCHITECTURE.md names every crate and top-level folder, and every path in it exists
  invariants  each id of spec/invariants.md has a check and a `#[test]` that name it, each id in a header has a row
  names       no file is called utils, common, core, helpers, misc, base or imp
  sizes       a file has at most 800 lines, a function 70 (120 in tests)
  header      every .rs file begins with `//!`, and its test module stands last
  unsafe      `unsafe`, or a lint level that lets it in, stands only in ring, host, connector and store, each block
              with a SAFETY comment
  serialize   only document crates, and files of --json output and protocols, derive Serialize

  --json      {version: 1, findings: [{file, line, rule, message}]}

Exit 1 when there are findings.

Examples:
  cargo xtask tidy
  cargo xtask tidy --json
";

/// Version of the `--json` document.
const VERSION: u32 = 1;

/// One broken rule, at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path from the root of the checkout.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// The rule's short name, as in `--help`.
    pub rule: &'static str,
    /// What is wrong, and what is expected.
    pub message: String,
}

/// Runs every rule and prints the findings.
///
/// # Errors
/// A stop when an argument is unknown, or the checkout cannot be read.
pub fn tidy(workspace: &Workspace, mut arguments: Arguments) -> Result<u8, Stop> {
    let as_json = arguments.take_flag("--json");
    arguments.finish("tidy", &["--json"])?;
    let findings = check(workspace)?;
    if as_json {
        println!("{:#}", document(&findings));
    } else {
        for Finding { file, line, message, .. } in &findings {
            println!("{file}:{line}: {message}");
        }
        eprintln!("tidy: {} findings", findings.len());
    }
    Ok(if findings.is_empty() { 0 } else { Exit::Unexpected.code() })
}

/// Every finding in the checkout, sorted by place.
///
/// # Errors
/// A stop when a file or the manifests cannot be read.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>, Stop> {
    let tree = Tree::read(&workspace.root)
        .map_err(|error| Stop::unexpected(format!("tidy: cannot read the checkout: {error}")))?;
    let packages = metadata::workspace(workspace)?;
    Ok(findings(&tree, &relative(packages, workspace)))
}

fn findings(tree: &Tree, packages: &Packages) -> Vec<Finding> {
    let mut findings = Vec::new();
    layers::check(tree, packages, &mut findings);
    map::check(tree, packages, &mut findings);
    invariants::check(tree, &mut findings);
    names::check(tree, &mut findings);
    for file in tree.sources() {
        sizes::check(&file, &mut findings);
        home::check_header(&file, &mut findings);
        home::check_serialize(&file, &mut findings);
        unsafe_places::check(&file, &mut findings);
    }
    findings.sort();
    findings
}

/// Manifests as paths from the root, as the tree has them.
fn relative(mut packages: Packages, workspace: &Workspace) -> Packages {
    for member in &mut packages.members {
        if let Ok(path) = member.manifest.strip_prefix(&workspace.root) {
            member.manifest = path.to_owned();
        }
    }
    packages
}

fn document(findings: &[Finding]) -> Value {
    let row = |finding: &Finding| {
        json!({
            "file": finding.file, "line": finding.line, "rule": finding.rule, "message": finding.message,
        })
    };
    json!({"version": VERSION, "findings": findings.iter().map(row).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_checkout_is_tidy() {
        let findings = check(&Workspace::find()).unwrap();
        let lines: Vec<String> =
            findings.iter().map(|each| format!("{}:{}: {}", each.file, each.line, each.message)).collect();
        assert!(lines.is_empty(), "{} findings:\n{}", lines.len(), lines.join("\n"));
    }

    #[test]
    fn a_bare_tree_breaks_every_rule_at_once() {
        let long = "// line\n".repeat(801);
        let tree = Tree::of(&[
            ("runtime/rtt-odd/src/utils.rs", &long),
            ("runtime/rtt-odd/src/lib.rs", "#[derive(Serialize)]\nstruct A;\nfn f() { unsafe { g() } }\n"),
        ]);
        let packages = Packages {
            members: vec![metadata::Member { name: "rtt-odd".into(), ..metadata::Member::default() }],
            ..Packages::default()
        };
        let mut rules: Vec<&str> = findings(&tree, &packages).iter().map(|finding| finding.rule).collect();
        rules.sort();
        rules.dedup();
        assert_eq!(rules, ["header", "invariants", "layers", "map", "names", "serialize", "sizes", "unsafe"]);
    }

    #[test]
    fn the_document_has_its_promised_fields() {
        let finding = Finding { file: "a.rs".into(), line: 3, rule: "sizes", message: "long".into() };
        let row = json!({"file": "a.rs", "line": 3, "rule": "sizes", "message": "long"});
        assert_eq!(document(&[finding]), json!({"version": 1, "findings": [row]}));
    }
}
