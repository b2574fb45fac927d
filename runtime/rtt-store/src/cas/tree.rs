//! The tree of a large object: what verifies a range of it without the rest.
//!
//! BLAKE3 hashes a tree already, so the tree needs no hash of its own: its leaves are the chaining values of groups of
//! 64 KiB, its root is the digest. Layout: the parent nodes in post-order, each `left: 32 | right: 32` bytes; `n` groups
//! have `n - 1` parents. A subtree over `n` groups is a run of `n - 1` nodes that ends with its own parent: the left
//! subtree's run, over the largest power of two below `n`, then the right one's. So it is written while the object
//! streams by, and read along one path.
//!
//! CAS-3  A node is used only after it fitted the digest, or a node above it that did.
//!
//! The length of the object is not in the tree; it is what the last group verifies. Leaves files to others.

use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use blake3::{Hasher, OUT_LEN};
use rtt_seal::Digest;
use std::ops::Range;

/// Bytes of a group, whose chaining value is a leaf.
pub(super) const GROUP_BYTES: usize = 64 * 1024;
/// Bytes of a parent node.
pub(super) const NODE_BYTES: usize = 2 * OUT_LEN;

/// Groups of an object of `bytes` bytes; an empty one has a group too.
pub(super) fn group_count(bytes: u64) -> u64 {
    bytes.div_ceil(GROUP_BYTES as u64).max(1)
}

/// Bytes of the tree of an object of `bytes` bytes.
pub(super) fn tree_bytes(bytes: u64) -> u64 {
    (group_count(bytes) - 1) * NODE_BYTES as u64
}

/// Hashes an object as it streams by, and tells its tree's nodes.
pub(super) struct TreeBuilder {
    group: Hasher,
    group_bytes: usize,
    closed_groups: u64,
    /// Subtrees that are complete, largest first: their sizes are the bits of `closed_groups`.
    stack: Vec<ChainingValue>,
    nodes: Vec<u8>,
}

impl TreeBuilder {
    pub(super) fn new() -> TreeBuilder {
        TreeBuilder { group: Hasher::new(), group_bytes: 0, closed_groups: 0, stack: Vec::new(), nodes: Vec::new() }
    }

    /// Takes the next bytes of the object.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            // A full group stays open until more follows: the last one is merged up to the root.
            if self.group_bytes == GROUP_BYTES {
                self.close_group();
            }
            let (now, later) = bytes.split_at(bytes.len().min(GROUP_BYTES - self.group_bytes));
            self.group.update(now);
            self.group_bytes += now.len();
            bytes = later;
        }
    }

    fn close_group(&mut self) {
        let mut value = self.group.finalize_non_root();
        self.closed_groups += 1;
        for _ in 0..self.closed_groups.trailing_zeros() {
            let left = self.stack.pop().expect("a closed subtree for each trailing zero");
            self.push_node(&left, &value);
            value = merge_subtrees_non_root(&left, &value, Mode::Hash);
        }
        self.stack.push(value);
        // `Hasher::reset` keeps the offset that was set before, so a new one.
        self.group = Hasher::new();
        self.group.set_input_offset(self.closed_groups * GROUP_BYTES as u64);
        self.group_bytes = 0;
    }

    fn push_node(&mut self, left: &ChainingValue, right: &ChainingValue) {
        self.nodes.extend_from_slice(left);
        self.nodes.extend_from_slice(right);
    }

    /// Bytes of nodes that wait in [`TreeBuilder::take_nodes`].
    pub(super) fn waiting_bytes(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes since the last call, in the order of the layout.
    pub(super) fn take_nodes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.nodes)
    }

    /// The digest of all the bytes, and the last nodes.
    pub(super) fn finish(mut self) -> (Digest, Vec<u8>) {
        if self.stack.is_empty() {
            return (Digest(*self.group.finalize().as_bytes()), self.nodes);
        }
        let mut value = self.group.finalize_non_root();
        let mut root = None;
        while let Some(left) = self.stack.pop() {
            self.push_node(&left, &value);
            if self.stack.is_empty() {
                root = Some(merge_subtrees_root(&left, &value, Mode::Hash));
            } else {
                value = merge_subtrees_non_root(&left, &value, Mode::Hash);
            }
        }
        let root = root.expect("the stack was not empty");
        (Digest(*root.as_bytes()), self.nodes)
    }
}

/// A node of the tree does not fit the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WrongNode(pub(super) u64);

enum Expected {
    Root(Digest),
    Inner(ChainingValue),
}

/// The chaining values of the groups `wanted` of an object of `groups` groups, in order. `node` reads the tree.
///
/// # Errors
/// What `node` gives, and [`WrongNode`] as such.
pub(super) fn leaves<E: From<WrongNode>>(
    digest: &Digest,
    groups: u64,
    wanted: Range<u64>,
    mut node: impl FnMut(u64) -> Result<[u8; NODE_BYTES], E>,
) -> Result<Vec<ChainingValue>, E> {
    assert!(groups > 1 && wanted.start < wanted.end && wanted.end <= groups, "{wanted:?} of {groups} groups");
    let mut leaves = Vec::new();
    // First node of the subtree's run, its first group, its groups, and what its parent node must hash to.
    let mut open = vec![(0, 0, groups, Expected::Root(*digest))];
    while let Some((first_node, first, count, expected)) = open.pop() {
        if count == 1 {
            if let Expected::Inner(value) = expected {
                leaves.push(value);
            }
            continue;
        }
        let index = first_node + count - 2;
        let bytes = node(index)?;
        let (left, right) = halves(&bytes);
        // CAS-3: what the file says is compared before either half is used.
        let fits = match expected {
            Expected::Root(digest) => *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes() == digest.0,
            Expected::Inner(value) => merge_subtrees_non_root(&left, &right, Mode::Hash) == value,
        };
        if !fits {
            return Err(WrongNode(index).into());
        }
        let left_count = count.div_ceil(2).next_power_of_two();
        let middle = first + left_count;
        // The right half is opened first, so that the left one is told first.
        if wanted.end > middle {
            open.push((first_node + left_count - 1, middle, count - left_count, Expected::Inner(right)));
        }
        if wanted.start < middle {
            open.push((first_node, first, left_count, Expected::Inner(left)));
        }
    }
    Ok(leaves)
}

fn halves(node: &[u8; NODE_BYTES]) -> (ChainingValue, ChainingValue) {
    let (mut left, mut right) = ([0; OUT_LEN], [0; OUT_LEN]);
    left.copy_from_slice(&node[..OUT_LEN]);
    right.copy_from_slice(&node[OUT_LEN..]);
    (left, right)
}

/// Whether `bytes`, whole groups from `first_group` on (the last may be short), have these chaining values.
pub(super) fn groups_fit(bytes: &[u8], first_group: u64, values: &[ChainingValue]) -> bool {
    bytes.len().div_ceil(GROUP_BYTES) == values.len()
        && (first_group..).zip(bytes.chunks(GROUP_BYTES).zip(values)).all(|(group, (bytes, value))| {
            Hasher::new().set_input_offset(group * GROUP_BYTES as u64).update(bytes).finalize_non_root() == *value
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at / 251) as u8 ^ (at % 253) as u8).collect()
    }

    /// Digest and tree of `bytes`, fed in pieces of `step`.
    fn build(bytes: &[u8], step: usize) -> (Digest, Vec<u8>) {
        let (mut builder, mut nodes) = (TreeBuilder::new(), Vec::new());
        for piece in bytes.chunks(step) {
            builder.update(piece);
            nodes.extend(builder.take_nodes());
        }
        let (digest, last) = builder.finish();
        nodes.extend(last);
        (digest, nodes)
    }

    fn leaves_of(
        digest: &Digest,
        nodes: &[u8],
        groups: u64,
        wanted: Range<u64>,
    ) -> Result<Vec<ChainingValue>, WrongNode> {
        leaves(digest, groups, wanted, |index| {
            let at = index as usize * NODE_BYTES;
            Ok(nodes[at..at + NODE_BYTES].try_into().expect("a node"))
        })
    }

    /// Lengths around the borders of groups, for trees of every shape up to nine groups.
    fn lengths() -> impl Iterator<Item = usize> {
        (0..=9usize)
            .flat_map(|groups| [-1, 0, 1].map(|by| (groups * GROUP_BYTES) as i64 + by))
            .filter_map(|n| n.try_into().ok())
    }

    #[test]
    fn the_root_is_the_digest_and_the_tree_has_its_length() {
        for bytes in lengths() {
            let object = object(bytes);
            for step in [4096 + 1, GROUP_BYTES, 1 << 20] {
                let (digest, nodes) = build(&object, step);
                assert_eq!(digest, Digest::of(&object), "{bytes} bytes by {step}");
                assert_eq!(nodes.len() as u64, tree_bytes(bytes as u64), "{bytes} bytes by {step}");
            }
        }
    }

    #[test]
    fn each_range_of_groups_verifies_and_another_groups_bytes_do_not() {
        for groups in 2..=9u64 {
            let object = object(groups as usize * GROUP_BYTES - 7);
            let (digest, nodes) = build(&object, 1 << 20);
            for start in 0..groups {
                for end in start + 1..=groups {
                    let values = leaves_of(&digest, &nodes, groups, start..end).expect("a whole tree");
                    let bytes = &object[start as usize * GROUP_BYTES..object.len().min(end as usize * GROUP_BYTES)];
                    assert!(groups_fit(bytes, start, &values), "{start}..{end} of {groups}");
                    assert!(!groups_fit(bytes, start + 1, &values), "the same bytes elsewhere");
                    assert!(!groups_fit(&bytes[..bytes.len() - 1], start, &values), "a byte short");
                }
            }
        }
    }

    /// CAS-3: each byte of the tree matters, on the paths that pass it; elsewhere the values stay right.
    #[test]
    fn cas_3_a_changed_node_is_found_or_not_used() {
        let object = object(5 * GROUP_BYTES);
        let (digest, nodes) = build(&object, 1 << 20);
        let whole = leaves_of(&digest, &nodes, 5, 0..5).expect("a whole tree");
        for at in 0..nodes.len() {
            let mut changed = nodes.clone();
            changed[at] ^= 1 << (at % 8);
            let found = leaves_of(&digest, &changed, 5, 0..5).expect_err("every node is on a path");
            assert_eq!(found, WrongNode((at / NODE_BYTES) as u64), "byte {at}");
            for group in 0..5 {
                if let Ok(values) = leaves_of(&digest, &changed, 5, group..group + 1) {
                    assert_eq!(values[0], whole[group as usize], "byte {at}, group {group}");
                }
            }
        }
    }

    /// Another length has another shape: the root may fit it, the groups at its end never do.
    #[test]
    fn a_tree_read_with_another_count_of_groups_gives_no_wrong_end() {
        let object = object(3 * GROUP_BYTES);
        let (digest, mut nodes) = build(&object, 1 << 20);
        nodes.resize(16 * NODE_BYTES, 0);
        for groups in (2..=9u64).filter(|groups| *groups != 3) {
            let values = leaves_of(&digest, &nodes, groups, groups - 1..groups);
            assert!(values.is_err(), "{groups} groups");
        }
    }
}
