//! A file of the simulated disk: what the kernel has of it, what the device has, and what the device should have.
//!
//! A write goes to the cache and is dirty until a sync; at a power cut each sector of each dirty write is kept or not.
//! Damage (rot, a write that went astray, a forged record) changes what is *found*; from then on the file has an *intact*
//! twin, to which only what was meant is done: the operator's copy, and the checker's knowledge of what is damaged.

use crate::strike::Strike;
use rtt_units::SplitMix64;

/// Bytes that a device writes whole or not at all.
pub const SECTOR: usize = 512;

/// Bytes of what is told as a whole in a lease.
const ENTRY: usize = 64;

/// One change of a file.
#[derive(Clone, Debug)]
pub enum Change {
    /// Bytes from an offset on.
    Write {
        /// First byte.
        offset: usize,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A new length.
    Length(usize),
}

/// Which of the twins a change is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Both,
    Found,
    Intact,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    cache: Vec<u8>,
    durable: Vec<u8>,
}

/// One file.
#[derive(Debug, Default)]
pub struct Inode {
    found: Content,
    intact: Option<Content>,
    dirty: Vec<(For, Change)>,
    /// Failures of writing back, which each descriptor is told once.
    pub write_errors: u64,
}

impl Inode {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.found.cache.len()
    }

    /// Bytes from `offset` on, fewer at the end.
    pub fn read(&self, offset: usize, len: usize, buffer: &mut Vec<u8>) {
        let bytes = &self.found.cache;
        let from = offset.min(bytes.len());
        buffer.clear();
        buffer.extend_from_slice(&bytes[from..offset.saturating_add(len).min(bytes.len())]);
    }

    /// All bytes as they are read.
    pub fn bytes(&self) -> &[u8] {
        &self.found.cache
    }

    /// Whether anything waits for a sync.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Changes the file.
    pub fn change(&mut self, change: Change) {
        self.push(For::Both, change);
    }

    /// A change that was meant for this file and went elsewhere.
    pub fn miss(&mut self, change: Change) {
        self.twin();
        self.push(For::Intact, change);
    }

    /// A change that was meant for another file or place.
    pub fn receive(&mut self, change: Change) {
        self.twin();
        self.push(For::Found, change);
    }

    /// Makes all changes durable.
    pub fn sync(&mut self) {
        for (side, change) in std::mem::take(&mut self.dirty) {
            self.each(side, |content| apply(&mut content.durable, &change));
        }
    }

    /// A failed write-back: the pages count as clean, and the device never got them.
    pub fn drop_dirty(&mut self) {
        self.dirty.clear();
        self.write_errors += 1;
    }

    /// Changes bits of what is durable and clean, behind everybody's back. Returns whether anything changed.
    pub fn rot(&mut self, draw: &mut SplitMix64) -> bool {
        if self.found.durable.is_empty() || self.is_dirty() {
            return false;
        }
        self.twin();
        let at = draw.below(self.found.durable.len() as u64) as usize;
        for _ in 0..=draw.below(3) {
            let bit = 1 << draw.below(8);
            let at = (at + draw.below(16) as usize).min(self.found.durable.len() - 1);
            self.found.durable[at] ^= bit;
            // After a sync that failed the two need not be as long as each other.
            if let Some(cached) = self.found.cache.get_mut(at) {
                *cached = self.found.durable[at];
            }
        }
        self.is_damaged()
    }

    /// Puts other bytes into what is found, cache and device alike.
    pub fn overwrite(&mut self, bytes: &[u8]) {
        assert!(!self.is_dirty(), "only what is synced is forged");
        self.twin();
        self.found = Content { cache: bytes.to_vec(), durable: bytes.to_vec() };
    }

    /// Whether what is found is not what was meant.
    pub fn is_damaged(&self) -> bool {
        self.intact.as_ref().is_some_and(|intact| *intact != self.found)
    }

    /// Whether an entry that was meant is not there, or there as zeros: damage that looks like a write that was never
    /// acknowledged.
    pub fn is_erased(&self) -> bool {
        let Some(intact) = &self.intact else { return false };
        let found = self.found.cache.chunks_exact(ENTRY).map(Some).chain(std::iter::repeat(None));
        let mut pairs = intact.cache.chunks_exact(ENTRY).zip(found);
        let is_blank = |entry: &[u8]| entry.iter().all(|byte| *byte == 0);
        pairs.any(|(meant, found)| !is_blank(meant) && found.is_none_or(is_blank))
    }

    /// Brings back what was meant, from the operator's copy.
    pub fn restore(&mut self) {
        let Some(intact) = self.intact.take() else { return };
        self.found = intact;
        self.dirty.retain(|(side, _)| *side != For::Found);
        self.dirty.iter_mut().for_each(|(side, _)| *side = For::Both);
    }

    /// What is found is what there is from now on: whoever reads the file has gone on from it, so that what was meant and never
    /// came there is nobody's copy any more.
    pub fn accept(&mut self) {
        self.intact = None;
        self.dirty.retain(|(side, _)| *side != For::Intact);
        self.dirty.iter_mut().for_each(|(side, _)| *side = For::Both);
    }

    /// The power is cut: what was dirty is kept in part. Tells what happened.
    pub fn cut(&mut self, draw: &mut SplitMix64, mut struck: impl FnMut(Strike)) {
        let dirty = std::mem::take(&mut self.dirty);
        if !dirty.is_empty() {
            let pieces: usize = dirty.iter().map(|(_, change)| sectors(change)).sum();
            let kept = kept(pieces, draw, &mut struck);
            let mut at = 0;
            for (side, change) in &dirty {
                let count = sectors(change);
                let mine = &kept[at..at + count];
                at += count;
                for piece in mine.iter().enumerate().filter(|(_, kept)| **kept).map(|(index, _)| part(change, index)) {
                    self.each(*side, |content| apply(&mut content.durable, &piece));
                }
                if (1..count).any(|index| mine[index - 1] && !mine[index]) {
                    struck(Strike::Torn);
                }
            }
        }
        self.each(For::Both, |content| content.cache.clone_from(&content.durable));
    }

    fn push(&mut self, side: For, change: Change) {
        self.each(side, |content| apply(&mut content.cache, &change));
        self.dirty.push((side, change));
    }

    fn twin(&mut self) {
        if self.intact.is_none() {
            self.intact = Some(self.found.clone());
        }
    }

    fn each(&mut self, side: For, mut act: impl FnMut(&mut Content)) {
        if side != For::Intact {
            act(&mut self.found);
        }
        if side != For::Found
            && let Some(intact) = &mut self.intact
        {
            act(intact);
        }
    }
}

/// Which of the dirty sectors are kept, in the order in which they were written.
fn kept(pieces: usize, draw: &mut SplitMix64, struck: &mut impl FnMut(Strike)) -> Vec<bool> {
    let kept: Vec<bool> = match draw.below(6) {
        0 => vec![false; pieces],
        1 => vec![true; pieces],
        2 => {
            let end = draw.below(pieces as u64 + 1) as usize;
            (0..pieces).map(|index| index < end).collect()
        }
        _ => (0..pieces).map(|_| draw.coin()).collect(),
    };
    if kept.iter().any(|kept| !kept) {
        struck(Strike::Lost);
    }
    if kept.windows(2).any(|pair| !pair[0] && pair[1]) {
        struck(Strike::Reordered);
    }
    kept
}

fn sectors(change: &Change) -> usize {
    match change {
        Change::Length(_) => 1,
        Change::Write { offset, bytes } => (offset + bytes.len()).div_ceil(SECTOR) - offset / SECTOR,
    }
}

/// One sector of a change.
fn part(change: &Change, index: usize) -> Change {
    match change {
        Change::Length(length) => Change::Length(*length),
        Change::Write { offset, bytes } => {
            let first = offset / SECTOR;
            let from = ((first + index) * SECTOR).max(*offset);
            let to = ((first + index + 1) * SECTOR).min(offset + bytes.len());
            Change::Write { offset: from, bytes: bytes[from - offset..to - offset].to_vec() }
        }
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => content.resize(*length, 0),
        Change::Write { offset, bytes } => {
            let end = offset + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*offset..end].copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> Inode {
        let mut inode = Inode::default();
        inode.change(Change::Write { offset: 0, bytes: bytes.to_vec() });
        inode
    }

    /// Every cut keeps whole sectors of the old or the new content; all outcomes come up.
    #[test]
    fn a_cut_keeps_sectors_of_what_was_dirty() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut inode = written(&[1; 3 * SECTOR]);
            inode.sync();
            inode.change(Change::Write { offset: 0, bytes: vec![2; 3 * SECTOR] });
            inode.cut(&mut SplitMix64::new(seed), |_| {});
            let sectors: Vec<&[u8]> = inode.bytes().chunks(SECTOR).collect();
            assert!(sectors.iter().all(|sector| sector.iter().all(|byte| *byte == sector[0])), "seed {seed}");
            seen.insert(sectors.iter().map(|sector| sector[0]).collect::<Vec<_>>());
        }
        assert_eq!(seen.len(), 8, "{seen:?}");
    }

    #[test]
    fn what_is_synced_survives_and_what_a_failed_sync_dropped_does_not() {
        for seed in 0..50 {
            let mut inode = written(b"synced");
            inode.sync();
            inode.change(Change::Write { offset: 0, bytes: b"failed".to_vec() });
            inode.drop_dirty();
            inode.sync();
            assert_eq!(inode.bytes(), b"failed", "the cache has it");
            inode.cut(&mut SplitMix64::new(seed), |_| {});
            assert_eq!(inode.bytes(), b"synced");
        }
    }

    #[test]
    fn damage_is_known_until_it_is_restored() {
        let mut inode = written(&[7; 1000]);
        inode.sync();
        assert!(inode.rot(&mut SplitMix64::new(1)) && inode.bytes() != [7; 1000]);
        inode.change(Change::Write { offset: 1000, bytes: vec![8] });
        inode.restore();
        assert_eq!((inode.bytes()[..1000].to_vec(), inode.len(), inode.is_damaged()), (vec![7; 1000], 1001, false));
        inode.miss(Change::Write { offset: 0, bytes: vec![9] });
        assert_eq!((inode.bytes()[0], inode.is_damaged()), (7, true));
    }
}
