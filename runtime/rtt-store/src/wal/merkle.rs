//! A Merkle tree over the log's records: the shape of RFC 6962, over BLAKE3.
//!
//! Leaf `i` is the digest of record `i`, hashed in the leaves' own domain; a node is the hash of its two children in the
//! nodes' domain; a tree of `n` leaves splits at the largest power of two below `n`. The domains are BLAKE3 keys and not
//! the prefix bytes of RFC 6962: so a node's input is one block of 64 bytes, and each costs one compression.
//!
//! WAL-9   A proof verifies against a checkpoint's size and root alone, and only for the record, place and history it
//!         was made of.

use rtt_seal::Digest;
use std::sync::LazyLock;

static LEAF_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| blake3::derive_key("rtt-store 2026 wal merkle leaf v1", b""));
static NODE_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| blake3::derive_key("rtt-store 2026 wal merkle node v1", b""));

/// The right edge of a growing tree: enough for its root, in `log n` digests.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of the whole subtrees, the largest first: one for each bit that is set in `size`.
    peaks: Vec<Digest>,
}

impl Frontier {
    /// Adds the next record, by its digest.
    pub fn push(&mut self, record: &Digest) {
        let mut node = leaf(record);
        let mut size = self.size;
        while size & 1 == 1 {
            let left = self.peaks.pop().expect("a peak for each bit");
            node = parent(&left, &node);
            size >>= 1;
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// Number of records.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree; of no record it is the nodes' hash of nothing.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(*last, |right, left| parent(left, &right))
    }
}

/// Root over `records`, by their digests.
pub fn root(records: &[Digest]) -> Digest {
    let mut frontier = Frontier::default();
    records.iter().for_each(|record| frontier.push(record));
    frontier.root()
}

/// Proves that record `index` is part of the tree over `records`: the siblings on its way to the root, from the leaf up.
///
/// # Panics
/// When there is no record `index`.
pub fn prove_inclusion(records: &[Digest], index: usize) -> Vec<Digest> {
    assert!(index < records.len(), "record {index} of {}", records.len());
    let (mut records, mut index) = (records, index);
    let mut siblings = Vec::new();
    while records.len() > 1 {
        let (left, right) = records.split_at(split(records.len()));
        let other = if index < left.len() { right } else { left };
        siblings.push(root(other));
        (records, index) = if index < left.len() { (left, index) } else { (right, index - left.len()) };
    }
    siblings.reverse();
    siblings
}

/// Proves that the tree over `records` begins with the tree over the first `old` of them.
///
/// # Panics
/// When `old` is more than there are.
pub fn prove_consistency(records: &[Digest], old: usize) -> Vec<Digest> {
    assert!(old <= records.len(), "{old} of {} records", records.len());
    let mut proof = Vec::new();
    if old > 0 && old < records.len() {
        subproof(records, old, true, &mut proof);
    }
    proof
}

/// RFC 6962, 2.1.2. `known` says that the verifier has the root of `records` where it is the old tree itself.
fn subproof(records: &[Digest], old: usize, known: bool, proof: &mut Vec<Digest>) {
    if old == records.len() {
        if !known {
            proof.push(root(records));
        }
        return;
    }
    let (left, right) = records.split_at(split(records.len()));
    if old <= left.len() {
        subproof(left, old, known, proof);
        proof.push(root(right));
    } else {
        subproof(right, old - left.len(), false, proof);
        proof.push(root(left));
    }
}

/// WAL-9: whether `proof` shows that `record` is record `index` of the tree of `size` records with this root.
///
/// Source: RFC 9162, 2.1.3.2.
pub fn verify_inclusion(root: &Digest, size: u64, index: u64, record: &Digest, proof: &[Digest]) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut node = leaf(record);
    for sibling in proof {
        if last == 0 {
            return false; // A proof that goes on above the root.
        }
        if at & 1 == 1 || at == last {
            node = parent(sibling, &node);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            node = parent(&node, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && node == *root
}

/// WAL-9: whether `proof` shows that the tree of `new_size` records begins with that of `old_size`.
///
/// Source: RFC 9162, 2.1.4.2.
pub fn verify_consistency(
    (old_size, old_root): (u64, &Digest),
    (new_size, new_root): (u64, &Digest),
    proof: &[Digest],
) -> bool {
    if old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return proof.is_empty() && old_root == new_root;
    }
    if old_size == 0 {
        return proof.is_empty() && *old_root == empty_root();
    }
    let mut proof = proof.iter();
    let (mut at, mut last) = (old_size - 1, new_size - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    // Where the old tree is a whole subtree, the verifier has its root already.
    let first = if at == 0 { Some(old_root) } else { proof.next() };
    let Some(first) = first else { return false };
    let (mut old, mut new) = (*first, *first);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (old, new) = (parent(sibling, &old), parent(sibling, &new));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new = parent(&new, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old == *old_root && new == *new_root
}

fn leaf(record: &Digest) -> Digest {
    Digest(*blake3::keyed_hash(&LEAF_KEY, &record.0).as_bytes())
}

fn parent(left: &Digest, right: &Digest) -> Digest {
    let mut children = [0; 64];
    children[..32].copy_from_slice(&left.0);
    children[32..].copy_from_slice(&right.0);
    Digest(*blake3::keyed_hash(&NODE_KEY, &children).as_bytes())
}

fn empty_root() -> Digest {
    Digest(*blake3::keyed_hash(&NODE_KEY, b"").as_bytes())
}

/// Leaves in the left subtree of `leaves > 1`: the largest power of two below.
fn split(leaves: usize) -> usize {
    1 << (leaves - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: usize = 33;

    fn records(count: usize) -> Vec<Digest> {
        (0..count).map(|index| Digest::of(&index.to_le_bytes())).collect()
    }

    /// The definition in RFC 6962, word for word.
    fn defined(records: &[Digest]) -> Digest {
        match records {
            [] => empty_root(),
            [record] => leaf(record),
            _ => {
                let (left, right) = records.split_at(split(records.len()));
                parent(&defined(left), &defined(right))
            }
        }
    }

    #[test]
    fn the_frontier_has_the_root_of_the_definition() {
        for count in 0..SIZES {
            assert_eq!(root(&records(count)), defined(&records(count)), "{count} records");
        }
        assert_ne!(leaf(&Digest::of(b"")), root(&[]));
    }

    /// WAL-9: every proof verifies, and no other index, size, record, root or change of the proof does.
    #[test]
    fn wal_9_an_inclusion_proof_shows_its_record_at_its_place_only() {
        let all = records(SIZES);
        for size in 1..=SIZES {
            let root = root(&all[..size]);
            for index in 0..size {
                let proof = prove_inclusion(&all[..size], index);
                let holds = |size: usize, index: usize, record: &Digest, proof: &[Digest]| {
                    verify_inclusion(&root, size as u64, index as u64, record, proof)
                };
                assert!(holds(size, index, &all[index], &proof), "{index} of {size}");
                for other in (0..=SIZES).filter(|other| *other != index) {
                    assert!(!holds(size, other, &all[index], &proof), "{index} of {size} as {other}");
                }
                assert!(!holds(size, index, &Digest::of(b"another"), &proof));
                let mut longer = proof.clone();
                longer.push(Digest::of(b"more"));
                assert!(!holds(size, index, &all[index], &longer));
                for at in 0..proof.len() {
                    let mut changed = proof.clone();
                    changed[at].0[0] ^= 1;
                    assert!(!holds(size, index, &all[index], &changed));
                    assert!(!holds(size, index, &all[index], &proof[..at]));
                }
            }
        }
    }

    /// WAL-9
    #[test]
    fn wal_9_a_consistency_proof_shows_its_history_only() {
        let all = records(SIZES);
        for new in 0..=SIZES {
            let new_root = root(&all[..new]);
            for old in 0..=new {
                let old_root = root(&all[..old]);
                let proof = prove_consistency(&all[..new], old);
                let holds = |old_root: &Digest, new_root: &Digest, proof: &[Digest]| {
                    verify_consistency((old as u64, old_root), (new as u64, new_root), proof)
                };
                assert!(holds(&old_root, &new_root, &proof), "{old} of {new}");
                let mut forked = all[..old].to_vec();
                if let Some(last) = forked.last_mut() {
                    last.0[0] ^= 1;
                    assert!(!holds(&root(&forked), &new_root, &proof), "{old} of {new}, another past");
                }
                assert!(!holds(&old_root, &Digest::of(b"another"), &proof) || old == 0);
                for at in 0..proof.len() {
                    let mut changed = proof.clone();
                    changed[at].0[0] ^= 1;
                    assert!(!holds(&old_root, &new_root, &changed), "{old} of {new}, digest {at} changed");
                    assert!(!holds(&old_root, &new_root, &proof[..at]), "{old} of {new}, {at} digests");
                }
            }
        }
        let (one, two) = (root(&all[..1]), root(&all[..2]));
        assert!(!verify_consistency((2, &two), (1, &one), &[]), "a log does not shrink");
    }
}
