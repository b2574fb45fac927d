//! The checkout as the rules see it: every path, and the text of what they read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use super::source::Source;

/// Folders that no rule looks into: what builds, runs and tools leave behind.
const SKIPPED: [&str; 3] = ["target", "reports/out", "node_modules"];
/// Endings of the files whose text a rule reads.
const READ: [&str; 3] = [".rs", ".md", ".toml"];

/// Every file and folder of a checkout, by its path from the root with `/`.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, String>,
    folders: BTreeSet<String>,
}

impl Tree {
    /// Reads a checkout. Hidden folders and what builds leave behind are passed over.
    ///
    /// # Errors
    /// The first folder or file that cannot be read, by its path.
    pub fn read(root: &Path) -> io::Result<Tree> {
        let mut tree = Tree::default();
        tree.add_folder(root, "").map_err(|(path, error)| io::Error::new(error.kind(), format!("{path}: {error}")))?;
        Ok(tree)
    }

    /// A made-up checkout of `(path, text)` pairs.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in files {
            tree.files.insert((*path).to_owned(), (*text).to_owned());
            tree.folders.extend(path.match_indices('/').map(|(end, _)| path[..end].to_owned()));
        }
        tree
    }

    /// Every path of a file.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Every path of a folder.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().map(String::as_str)
    }

    /// The text of a file; empty for kinds that no rule reads.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// True when a file or folder has this path, or a path that ends in it.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let ends = |each: &str| each == path || each.strip_suffix(path).is_some_and(|head| head.ends_with('/'));
        self.paths().any(ends) || self.folders().any(ends)
    }

    /// Every Rust file.
    pub fn sources(&self) -> impl Iterator<Item = Source<'_>> {
        self.files.iter().filter(|(path, _)| path.ends_with(".rs")).map(|(path, text)| Source::new(path, text))
    }

    fn add_folder(&mut self, root: &Path, prefix: &str) -> Result<(), (String, io::Error)> {
        let here = |error| (format!("{}/", prefix.trim_end_matches('/')), error);
        for entry in fs::read_dir(root.join(prefix)).map_err(here)? {
            let entry = entry.map_err(here)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if name.starts_with('.') || SKIPPED.iter().any(|skipped| path == *skipped || name == *skipped) {
                continue;
            }
            let kind = entry.file_type().map_err(|error| (path.clone(), error))?;
            if kind.is_dir() {
                self.folders.insert(path.clone());
                self.add_folder(root, &format!("{path}/"))?;
            } else if kind.is_file() {
                let text = if READ.iter().any(|ending| name.ends_with(ending)) {
                    let bytes = fs::read(entry.path()).map_err(|error| (path.clone(), error))?;
                    String::from_utf8_lossy(&bytes).into_owned()
                } else {
                    String::new()
                };
                self.files.insert(path, text);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_is_read_without_what_builds_leave() {
        let root = tempfile::tempdir().unwrap();
        for path in ["a/src/lib.rs", "a/data.bin", "target/debug/x.rs", ".git/config", "reports/out/r.md"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        let tree = Tree::read(root.path()).unwrap();
        assert_eq!(tree.paths().collect::<Vec<_>>(), ["a/data.bin", "a/src/lib.rs"]);
        assert_eq!(tree.folders().collect::<Vec<_>>(), ["a", "a/src", "reports"]);
        assert_eq!((tree.text("a/src/lib.rs"), tree.text("a/data.bin")), (Some("text"), Some("")));
        assert!(Tree::read(&root.path().join("none")).is_err());
    }

    #[test]
    fn a_path_may_be_shortened_from_the_left_at_a_slash() {
        let tree = Tree::of(&[("runtime/rtt-ring/src/lib.rs", "")]);
        for (path, expected) in
            [("runtime/", true), ("rtt-ring/src", true), ("lib.rs", true), ("ring/src/lib.rs", false), ("x", false)]
        {
            assert_eq!(tree.has(path), expected, "{path}");
        }
    }
}
