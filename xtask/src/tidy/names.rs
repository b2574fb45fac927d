//! Names that say nothing are drawers for everything.

use super::Finding;
use super::tree::Tree;

const EMPTY_NAMES: [&str; 7] = ["utils", "common", "core", "helpers", "misc", "base", "imp"];

/// Finds Rust files and folders whose name says nothing.
pub fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let files = tree.paths().filter(|path| path.ends_with(".rs"));
    for path in files.chain(tree.folders()) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let stem = name.strip_suffix(".rs").unwrap_or(name);
        if EMPTY_NAMES.contains(&stem) {
            let message = format!("`{stem}` says nothing: name it after the one noun that it holds");
            findings.push(Finding { file: path.to_owned(), line: 1, rule: "names", message });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_paths(paths: &[&str], expected: &[&str]) {
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (*path, "")).collect();
        let mut findings = Vec::new();
        check(&Tree::of(&files), &mut findings);
        assert_eq!(findings.iter().map(|each| each.file.as_str()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn files_and_folders_are_named_after_what_they_hold() {
        check_paths(&["a/src/ring.rs", "a/src/score.rs", "a/data/common.json"], &[]);
        check_paths(&["a/src/utils.rs", "a/src/core/ring.rs"], &["a/src/utils.rs", "a/src/core"]);
    }
}
