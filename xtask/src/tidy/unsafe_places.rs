//! Where `unsafe` may stand, and that each use names the invariant it leans on.

use super::Finding;
use super::source::{Source, words};

/// The crates whose reason to exist is an unsafe or privilege boundary.
const PLACES: [&str; 4] = ["rtt-ring", "rtt-host", "rtt-connector", "rtt-store"];
/// How many lines above a use its comment may begin.
const NEAR: usize = 10;

/// Finds `unsafe` in other crates, and blocks and implementations without a `SAFETY:` comment.
pub fn check(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let allowed = PLACES.contains(&source.package());
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
        check_file("runtime/rtt-vfs/src/lib.rs", "// unsafe\nlet a = \"unsafe\"; let unsafe_code = 1;\n", &[]);
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
