//! Names of the simulated disk: as the kernel has them, as the device has them, and what lies between.
//!
//! A rename is kept or lost as one; otherwise each change since the last sync of its directory is kept or lost alone.

use crate::strike::Strike;
use rtt_units::SplitMix64;
use std::collections::{BTreeMap, BTreeSet};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// A file, by its number.
    File(usize),
    /// A directory.
    Directory,
}

#[derive(Clone, Debug)]
struct Change {
    removed: Option<String>,
    added: Option<(String, Node)>,
}

impl Change {
    fn paths(&self) -> impl Iterator<Item = &String> {
        self.removed.iter().chain(self.added.iter().map(|(path, _)| path))
    }
}

/// The names.
#[derive(Debug, Default)]
pub struct Names {
    now: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    pending: Vec<Change>,
}

impl Names {
    /// What stands at a path.
    pub fn get(&self, path: &str) -> Option<Node> {
        if path.is_empty() { Some(Node::Directory) } else { self.now.get(path).copied() }
    }

    /// Gives a node a name, in place of what stood there.
    pub fn add(&mut self, path: &str, node: Node) {
        self.push(Change { removed: None, added: Some((path.to_owned(), node)) });
    }

    /// Takes a name away.
    pub fn remove(&mut self, path: &str) {
        self.push(Change { removed: Some(path.to_owned()), added: None });
    }

    /// Gives a node another name.
    pub fn rename(&mut self, from: &str, to: &str, node: Node) {
        self.push(Change { removed: Some(from.to_owned()), added: Some((to.to_owned(), node)) });
    }

    /// The names in a directory, sorted, each the last part of its path.
    pub fn list(&self, directory: &str) -> impl Iterator<Item = (&str, Node)> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let length = prefix.len();
        let below = self.now.range(prefix.clone()..).take_while(move |(path, _)| path.starts_with(&prefix));
        below.map(move |(path, node)| (&path[length..], *node)).filter(|(name, _)| !name.contains('/'))
    }

    /// All files with their paths, sorted.
    pub fn files(&self) -> impl Iterator<Item = (&str, usize)> {
        self.now.iter().filter_map(|(path, node)| match node {
            Node::File(file) => Some((path.as_str(), *file)),
            Node::Directory => None,
        })
    }

    /// Makes the names in one directory durable, with what they came from.
    pub fn sync(&mut self, directory: &str) {
        let mut needed: BTreeSet<String> = BTreeSet::new();
        let mut synced = Vec::new();
        for index in (0..self.pending.len()).rev() {
            let change = &self.pending[index];
            if change.paths().any(|path| parent(path) == directory || needed.contains(path)) {
                needed.extend(change.paths().cloned());
                synced.push(self.pending.remove(index));
            }
        }
        synced.iter().rev().for_each(|change| apply(&mut self.durable, change));
    }

    /// Makes all names durable.
    pub fn sync_all(&mut self) {
        std::mem::take(&mut self.pending).iter().for_each(|change| apply(&mut self.durable, change));
    }

    /// The power is cut: each change that was not synced is kept or lost.
    pub fn cut(&mut self, draw: &mut SplitMix64, mut struck: impl FnMut(Strike)) {
        let mode = draw.below(4);
        for change in std::mem::take(&mut self.pending) {
            let kept = match mode {
                0 => false,
                1 => true,
                _ => draw.coin(),
            };
            if kept {
                apply(&mut self.durable, &change);
            } else {
                struck(Strike::Names);
            }
        }
        // A directory that is lost takes what is in it along; parents are sorted before what is below them.
        let mut kept: BTreeMap<String, Node> = BTreeMap::new();
        for (path, node) in std::mem::take(&mut self.durable) {
            if parent(&path).is_empty() || kept.contains_key(parent(&path)) {
                kept.insert(path, node);
            }
        }
        self.now.clone_from(&kept);
        self.durable = kept;
    }

    fn push(&mut self, change: Change) {
        apply(&mut self.now, &change);
        self.pending.push(change);
    }
}

fn apply(names: &mut BTreeMap<String, Node>, change: &Change) {
    if let Some(path) = &change.removed {
        names.remove(path);
    }
    if let Some((path, node)) = &change.added {
        names.insert(path.clone(), *node);
    }
}

/// The directory of a path.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(names: &Names) -> Vec<String> {
        names.list("d").map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn what_is_synced_survives_and_the_rest_may_not() {
        let mut seen = BTreeSet::new();
        for seed in 0..100 {
            let mut names = Names::default();
            names.add("d", Node::Directory);
            names.add("d/a", Node::File(0));
            names.sync("");
            names.sync("d");
            names.add("t", Node::File(1));
            names.rename("t", "d/b", Node::File(1));
            names.remove("d/a");
            names.cut(&mut SplitMix64::new(seed), |_| {});
            seen.insert(listed(&names));
        }
        let expected: [&[&str]; 4] = [&[], &["a"], &["a", "b"], &["b"]];
        assert_eq!(seen, expected.map(|each| each.iter().map(|name| (*name).to_owned()).collect()).into());
    }

    #[test]
    fn a_directory_that_is_lost_takes_its_names_along() {
        let mut names = Names::default();
        names.add("d", Node::Directory);
        names.add("d/a", Node::File(0));
        names.sync("d");
        let lost = (0..100).find(|seed| {
            let mut draw = SplitMix64::new(*seed);
            draw.below(4) == 0
        });
        names.cut(&mut SplitMix64::new(lost.expect("one in four")), |_| {});
        assert_eq!(names.get("d/a"), None);
    }
}
