//! The map is complete and true: ARCHITECTURE.md names what is there, and what it names is there.

use super::Finding;
use super::tree::Tree;
use crate::metadata::Packages;

const MAP: &str = "ARCHITECTURE.md";
/// Endings that make a word in backticks a path even without a slash. Data files are not among them: a bare `fit.json`
/// is the name that a run gives to its output.
const ENDINGS: [&str; 4] = [".rs", ".md", ".toml", ".cue"];
/// Places that exist only after something ran.
const MADE_BY_RUNS: [&str; 4] = [".rtt", "target", "reports/out", "profiles/signed"];

/// Finds crates and top-level folders that the map lacks, and paths on the map that do not exist.
pub fn check(tree: &Tree, packages: &Packages, findings: &mut Vec<Finding>) {
    let mut push = |line: usize, message: String| {
        findings.push(Finding { file: MAP.to_owned(), line, rule: "map", message });
    };
    let Some(map) = tree.text(MAP) else {
        push(1, "is missing: it is the map of crates, folders and invariants".to_owned());
        return;
    };
    for member in packages.members.iter().filter(|member| !names(map, &member.name)) {
        push(1, format!("does not name the crate {}", member.name));
    }
    for folder in tree.folders().filter(|folder| !folder.contains('/')) {
        if !names(map, &format!("{folder}/")) {
            push(1, format!("does not name the folder {folder}/"));
        }
    }
    for (index, line) in map.lines().enumerate() {
        // Every second piece between backticks is inside of a pair.
        for word in line.split('`').skip(1).step_by(2).filter(|word| is_path(word)) {
            if !tree.has(word) {
                push(index + 1, format!("names `{word}`, which does not exist"));
            }
        }
    }
}

/// True when `name` stands in the text as a word of its own.
fn names(text: &str, name: &str) -> bool {
    let continues = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_');
    text.match_indices(name).any(|(at, _)| {
        let after = text[at + name.len()..].chars().next();
        // A folder's name ends in a slash already: anything may follow.
        !continues(text[..at].chars().next_back()) && (name.ends_with('/') || !continues(after))
    })
}

fn is_path(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let made = MADE_BY_RUNS.iter().any(|place| word == *place || word.starts_with(&format!("{place}/")));
    // An absolute path is the host's, a word such as `.rs` is an ending.
    let ours = !word.starts_with('/') && !word.starts_with("..") && word.chars().all(plain);
    let shaped = word.contains('/') || (ENDINGS.iter().any(|end| word.ends_with(end)) && !word.starts_with('.'));
    ours && shaped && !made && !word.starts_with(".ci") && !word.starts_with(".cargo")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Member;

    fn check_map(map: &str, expected: &[&str]) {
        let tree = Tree::of(&[(MAP, map), ("runtime/rtt-ring/src/lib.rs", ""), ("Cargo.toml", "")]);
        let members = vec![Member { name: "rtt-ring".into(), ..Member::default() }];
        let mut findings = Vec::new();
        check(&tree, &Packages { members, ..Packages::default() }, &mut findings);
        let got: Vec<String> = findings.iter().map(|each| format!("{}: {}", each.line, each.message)).collect();
        assert_eq!(got, expected, "{map}");
    }

    #[test]
    fn a_true_map_passes() {
        check_map(
            "runtime/ holds rtt-ring.\nSee `rtt-ring/src`, `runtime/rtt-ring/`, `Cargo.toml`, `lib.rs`, `fit.json`.\n",
            &[],
        );
        check_map("runtime/ rtt-ring `/sys/devices` `.rtt/keys/` `a b/c` `profiles/signed/<machine>.json` `.rs`", &[]);
    }

    #[test]
    fn what_is_not_named_is_found() {
        check_map("rtt-ringer", &["1: does not name the crate rtt-ring", "1: does not name the folder runtime/"]);
    }

    #[test]
    fn what_does_not_exist_is_found() {
        check_map(
            "runtime/\nrtt-ring `runtime/rtt-rings` `x.rs`",
            &["2: names `runtime/rtt-rings`, which does not exist", "2: names `x.rs`, which does not exist"],
        );
    }

    #[test]
    fn a_checkout_without_a_map_is_found() {
        let mut findings = Vec::new();
        check(&Tree::of(&[]), &Packages::default(), &mut findings);
        assert_eq!(findings.len(), 1);
    }
}
