//! A log as it lies on the disk, read once more in the plainest way: what every reader must say of it.
//!
//! The log is what follows, record by record, from the first. What lies behind that may be taken for a write that was torn
//! only where it is in one segment and every whole record in it is of that write; then it must be said. Damage to more
//! than the last group leaves a whole record of another group behind itself, so that it must be refused, at that record.

use crate::forge::{self, BLOCK, GROUP_FIRST, HEADER_FIRST, HEADER_PARENT, PARENT, SEQUENCE, digest_at, u64_at};
use rtt_store::wal::{Damage, OpenError, Opened};

const SEGMENT: usize = 24;

/// Segments of a log, and where it ends in them.
#[derive(Debug)]
pub struct Image {
    segments: Vec<(String, Vec<u8>)>,
    segment_bytes: usize,
    size: u64,
    /// First record of the last group.
    group_first: u64,
    /// Segment and byte behind the last record.
    end: (usize, usize),
}

impl Image {
    /// Reads the log in these files, whose segments have `segment_bytes`.
    pub fn of(files: Vec<(String, Vec<u8>)>, segment_bytes: usize) -> Image {
        let segments = files.into_iter().filter(|(name, _)| name.ends_with(".seg")).collect();
        let mut image = Image { segments, segment_bytes, size: 0, group_first: 0, end: (0, 0) };
        image.follow();
        image
    }

    fn follow(&mut self) {
        let mut tip = None;
        for (segment, (name, bytes)) in self.segments.iter().enumerate() {
            let follows =
                |tip: [u8; 32]| (u64_at(bytes, HEADER_FIRST), *digest_at(bytes, HEADER_PARENT)) == (self.size, tip);
            if *name != name_of(segment) || !forge::is_header(bytes) || !tip.is_none_or(follows) {
                return;
            }
            let (mut at, mut between) = (BLOCK, true);
            while at < bytes.len() {
                let parent = tip.unwrap_or(*digest_at(bytes, HEADER_PARENT));
                if let Some((len, group_first)) = self.next(bytes, (segment, at), parent, between) {
                    at += len;
                    tip = Some(*digest_at(bytes, at - 32));
                    (self.size, self.group_first, between) = (self.size + 1, group_first, false);
                } else if at.is_multiple_of(BLOCK) || !is_zero(&bytes[at..at.next_multiple_of(BLOCK)]) {
                    break;
                } else {
                    (at, between) = (at.next_multiple_of(BLOCK), true);
                }
            }
            self.end = (segment, at);
            if !is_zero(&bytes[at..]) {
                return;
            }
        }
    }

    /// Length and group of the record at a place, if it is the next.
    fn next(
        &self,
        bytes: &[u8],
        (segment, at): (usize, usize),
        parent: [u8; 32],
        between: bool,
    ) -> Option<(usize, u64)> {
        let len = forge::whole(bytes, at)?;
        let group_first = u64_at(bytes, at + GROUP_FIRST);
        let begins = group_first == self.size && at.is_multiple_of(BLOCK);
        let is_next = u64_at(bytes, at + SEQUENCE) == self.size
            && *digest_at(bytes, at + PARENT) == parent
            && place_at(bytes, at) == (segment, at)
            && (begins || (!between && group_first == self.group_first));
        is_next.then_some((len, group_first))
    }

    /// Segments that hold anything behind the end, with the byte from which on they are behind it.
    fn behind(&self) -> impl Iterator<Item = (usize, usize)> {
        let from = |segment: usize| if segment == self.end.0 { self.end.1 } else { 0 };
        let segments = (self.end.0..self.segments.len()).map(move |segment| (segment, from(segment)));
        segments.filter(|(segment, from)| !is_zero(&self.segments[*segment].1[*from..]))
    }

    /// Why this is no log with a torn end, if it is none.
    fn refusal(&self) -> Option<String> {
        if let Some(segment) = (0..self.segments.len()).find(|index| self.segments[*index].0 != name_of(*index)) {
            return Some(format!("segment {segment} is missing"));
        }
        if self.behind().count() > 1 {
            return Some("something lies behind the end in two segments".into());
        }
        let (segment, from) = self.behind().next()?;
        let bytes = &self.segments[segment].1;
        if from == 0 && forge::is_header(bytes) && u64_at(bytes, HEADER_FIRST) != self.size {
            return Some(format!("segment {segment} begins behind the end"));
        }
        let is_other = |at: &usize| {
            let (sequence, group_first) = (u64_at(bytes, at + SEQUENCE), u64_at(bytes, at + GROUP_FIRST));
            let of_one_write = group_first == self.size || group_first == self.group_first;
            sequence < self.size || !of_one_write || place_at(bytes, *at) != (segment, *at)
        };
        let wholes = (from & !7..bytes.len()).step_by(8).filter(|at| forge::whole(bytes, *at).is_some());
        let other = wholes.into_iter().find(is_other)?;
        Some(format!("a whole record of another write stands at byte {other} of segment {segment}"))
    }

    /// SIM-2: what a reader said of it.
    ///
    /// # Errors
    /// What it should have said.
    pub fn judge(&self, found: &Result<Opened, OpenError>) -> Result<(), String> {
        let size = self.size;
        match found {
            Ok(opened) => {
                if opened.records.len() as u64 != size {
                    return Err(format!("{} records were read, but {size} follow each other", opened.records.len()));
                }
                if let Some(why) = self.refusal() {
                    return Err(format!("SIM-2: damage counts as a torn write behind record {size}, but {why}"));
                }
                let short = self.segments.iter().any(|(_, bytes)| bytes.len() < self.segment_bytes);
                let is_torn = short || self.behind().next().is_some();
                if opened.torn.is_some() != is_torn || opened.torn.as_ref().is_some_and(|torn| torn.record != size) {
                    return Err(format!("SIM-2: {:?} was said of the end, record {size}", opened.torn));
                }
                Ok(())
            }
            Err(OpenError::Damaged(damage)) if !self.is_named(damage) => {
                Err(format!("SIM-2: {damage:?} was named, but record {size} should stand at {:?}", self.end))
            }
            Err(_) => Ok(()),
        }
    }

    /// Whether damage is named where the log ends: behind its last record, or at the start of a later segment.
    fn is_named(&self, damage: &Damage) -> bool {
        let is_end =
            |segment: usize, offset: usize| (segment, offset) == self.end || (segment > self.end.0 && offset == 0);
        let segment = (0..=self.segments.len()).find(|segment| damage.path.ends_with(&name_of(*segment)));
        damage.record == self.size && segment.is_some_and(|segment| is_end(segment, damage.offset as usize))
    }
}

fn name_of(segment: usize) -> String {
    format!("{segment:08}.seg")
}

/// Where a record says that it stands.
fn place_at(bytes: &[u8], at: usize) -> (usize, usize) {
    let place = u64_at(bytes, at + SEGMENT);
    (place as u32 as usize, (place >> 32) as usize)
}

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}
