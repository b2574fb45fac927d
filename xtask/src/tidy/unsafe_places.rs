//! Where `unsafe` may stand, and that each use names the invariant it leans on.
//!
//! An attribute that takes back the workspace's `unsafe_code = "deny"` counts as a use: it is the door to one.

use super::Finding;
use super::source::{Source, words};

/// The crates whose reason to exist is an unsafe or privilege boundary.
const PLACES: [&str; 3] = ["rtt-ring", "rtt-host", "rtt-connector"];
/// Single files of other crates that are such a boundary.
const FILES: [&str; 1] = ["runtime/rtt-store/src/uring_disk.rs"];
/// What an attribute can do to a lint.
const LEVELS: [&str; 5] = ["allow", "expect", "warn", "deny", "forbid"];
/// How many lines above a use its comment may begin.
const NEAR: usize = 10;

/// Finds `unsafe` in other crates, and blocks and implementations without a `SAFETY:` comment.
pub fn check(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let allowed = PLACES.contains(&source.package()) || FILES.contains(&source.path);
    if !allowed {
        for line in lines_that_allow(&source.code.join("\n")) {
            let message = format!("the lint `unsafe_code` is relaxed outside of {}", PLACES.join(", "));
            findings.push(Finding { file: source.path.to_owned(), line, rule: "unsafe", message });
        }
    }
    for (index, code) in source.code.iter().enumerate() {
        if !words(code).any(|word| word == "unsafe") {
            continue;
        }
        let message = if !allowed {
            format!("`unsafe` outside of {}", PLACES.join(", "))
        } else if leans_on_an_invariant(code, source.code.get(index + 1)) && !explained(&source.lines, index) {
            "`unsafe` without a `// SAFETY:` comment above it that names the invariant".to_owned()
        } else {
            continue;
        };
        findings.push(Finding { file: source.path.to_owned(), line: index + 1, rule: "unsafe", message });
    }
}

/// The lines (from 1) of attributes that set `unsafe_code` to another level than `deny` and `forbid`.
fn lines_that_allow(code: &str) -> Vec<usize> {
    let relaxes = |at: &usize| {
        let before = &code[..*at];
        let Some(attribute) = before.rfind("#[").max(before.rfind("#![")).map(|start| &before[start..]) else {
            return false;
        };
        let level = words(attribute).filter(|word| LEVELS.contains(word)).last();
        !attribute.contains(']') && !matches!(level, None | Some("deny" | "forbid"))
    };
    let found = code.match_indices("unsafe_code").map(|(at, _)| at).filter(relaxes);
    found.map(|at| code[..at].matches('\n').count() + 1).collect()
}

/// A block or an implementation; a declaration (`unsafe fn`, an attribute) only asks its callers for one.
fn leans_on_an_invariant(code: &str, next: Option<&String>) -> bool {
    code.match_indices("unsafe").any(|(at, word)| {
        let rest = code[at + word.len()..].trim_start();
        let rest = if rest.is_empty() { next.map_or("", |line| line.trim_start()) } else { rest };
        rest.starts_with('{') || words(rest).next() == Some("impl")
    })
}

fn explained(lines: &[&str], index: usize) -> bool {
    lines[index.saturating_sub(NEAR)..=index].iter().any(|line| line.contains("SAFETY:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_file(path: &str, text: &str, expected: &[(usize, &str)]) {
        let mut findings = Vec::new();
        check(&Source::new(path, text), &mut findings);
        assert_eq!(findings.len(), expected.len(), "{text}: {findings:?}");
        for (finding, (line, part)) in findings.iter().zip(expected) {
            assert!(finding.line == *line && finding.message.contains(part), "{text}: {finding:?}");
        }
    }

    #[test]
    fn unsafe_stands_only_in_its_places() {
        let text = "// SAFETY: none needed.\nfn f() { unsafe { g() } }\n";
        check_file("runtime/rtt-ring/src/lib.rs", text, &[]);
        check_file("runtime/rtt-vfs/src/lib.rs", text, &[(2, "outside of rtt-ring")]);
        check_file("runtime/rtt-store/src/uring_disk.rs", text, &[]);
        check_file("runtime/rtt-store/src/wal.rs", text, &[(2, "outside of rtt-ring")]);
        check_file("runtime/rtt-vfs/src/lib.rs", "// unsafe\nlet a = \"unsafe\"; let unsafe_code = 1;\n", &[]);
    }

    #[test]
    fn the_lint_is_relaxed_only_where_unsafe_may_stand() {
        let relaxed = "is relaxed outside of rtt-ring";
        for (text, expected) in [
            ("#![allow(unsafe_code)]\n", Some(1)),
            ("fn f() {}\n#[allow(unsafe_code)] // Why.\nfn g() {}\n", Some(2)),
            ("#[expect(\n    dead_code,\n    unsafe_code,\n)]\nfn f() {}\n", Some(3)),
            ("#![cfg_attr(test, allow(unsafe_code))]\n", Some(1)),
            ("#![warn(unsafe_code)]\n", Some(1)),
            ("#![forbid(unsafe_code)]\n#![cfg_attr(test, deny(unsafe_code))]\n", None),
            ("// #![allow(unsafe_code)]\nlet text = \"#[allow(unsafe_code)]\";\n", None),
            ("#[allow(dead_code)]\nlet unsafe_code = 1;\n", None),
        ] {
            let expected: Vec<(usize, &str)> = expected.map(|line| (line, relaxed)).into_iter().collect();
            check_file("tuner/rtt-tuner/src/lib.rs", text, &expected);
            check_file("runtime/rtt-host/src/spawn.rs", text, &[]);
        }
    }

    #[test]
    fn each_use_is_explained() {
        let path = "runtime/rtt-host/src/lib.rs";
        let missing = "without a `// SAFETY:`";
        check_file(path, "fn f() {\n    unsafe { g() }\n}\n", &[(2, missing)]);
        check_file(path, "unsafe impl Send for A {}\n", &[(1, missing)]);
        check_file(path, "let a = unsafe\n{ g() };\n", &[(1, missing)]);
        check_file(path, "// SAFETY: A holds no pointer.\nunsafe impl Send for A {}\n", &[]);
        check_file(path, "pub unsafe fn f() {}\n", &[]);
        let far = format!("// SAFETY: far away.\n{}unsafe impl Send for A {{}}\n", "\n".repeat(NEAR + 1));
        check_file(path, &far, &[(NEAR + 3, missing)]);
    }
}
