//! Reads a log from its segments: the records it holds, where it ends, and what is wrong with it.
//!
//! WAL-3   A torn tail is what one write left in its middle: bytes behind the last whole record, in one segment, not
//!         longer than a group, among which every whole record is of that group and in its place. It is cut, and said.
//! WAL-4   Anything else behind the last whole record is damage: the log is refused, nothing is written, and segment,
//!         offset and record are named. So is a segment that is longer than its header says, or than offsets can tell.

use super::format::{self, BLOCK, NoHeader, Place, Record, Whole, is_zero};
use super::group_commit::{End, GROUP_BYTES};
use super::merkle::Frontier;
use super::segment_files::{SegmentFiles, TooLong};
use super::{Damage, OpenError, Options, Torn};
use crate::Disk;
use std::collections::VecDeque;
use std::ops::Range;

/// A log as its segments tell it.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub records: Vec<Record>,
    pub end: End,
    pub torn: Option<Torn>,
    /// The last group: from its first block to the log's end. The kernel may have it and the disk not.
    pub last_group: Option<(u32, Range<usize>)>,
    /// What must be zero before the log goes on: the torn tail, and what a segment lacks of its length.
    pub clear: Vec<(u32, Range<usize>)>,
}

struct Scan<'a> {
    options: &'a Options,
    records: Vec<Record>,
    end: End,
    /// First record of the group that the last whole record is of.
    group_first: u64,
    /// Where that group begins, the segment's header before it included.
    group_place: Option<Place>,
    /// Where the first byte stands that is not told by a whole record.
    behind: Place,
    /// No more records are expected; what is not zero from here on remains of something.
    ended: bool,
    remains: Vec<(u32, Range<usize>)>,
    clear: Vec<(u32, Range<usize>)>,
}

/// Reads every segment. Writes nothing.
pub(crate) fn scan<D: Disk>(files: &mut SegmentFiles<D>, options: &Options) -> Result<Scanned, OpenError> {
    let end = End {
        segment: 0,
        segment_bytes: options.segment_bytes as usize,
        offset: 0,
        spares: VecDeque::new(),
        size: 0,
        tip: format::genesis(&options.origin),
        frontier: Frontier::default(),
    };
    let behind = Place { segment: 0, offset: 0 };
    let (records, remains, clear) = (Vec::new(), Vec::new(), Vec::new());
    let (group_first, group_place) = (0, None);
    let mut scan = Scan { options, records, end, group_first, group_place, behind, ended: false, remains, clear };
    let mut image = Vec::new();
    for (index, segment) in files.list()?.into_iter().enumerate() {
        if segment as usize != index {
            return Err(scan.damage(Place { segment: index as u32, offset: 0 }, "the segment is missing"));
        }
        image = match files.read(segment, image, most_bytes)? {
            Ok(bytes) => bytes,
            Err(TooLong { bytes, most }) => {
                let reason = format!("the segment has {bytes} bytes, expected at most {most}");
                return Err(scan.damage(Place { segment, offset: most }, &reason));
            }
        };
        scan.segment(segment, &mut image)?;
    }
    scan.finish()
}

/// Most bytes of a segment that begins with `block`: what its header says, and without one what offsets can tell.
fn most_bytes(block: &[u8]) -> u32 {
    header(block).map_or(u32::MAX, |header| header.segment_bytes.try_into().unwrap_or(u32::MAX))
}

fn header(image: &[u8]) -> Result<format::SegmentHeader, NoHeader> {
    if image.len() < BLOCK { Err(NoHeader::Broken) } else { format::decode_header(&image[..BLOCK]) }
}

impl Scan<'_> {
    fn segment(&mut self, segment: u32, image: &mut Vec<u8>) -> Result<(), OpenError> {
        let found = image.len();
        let header = header(image);
        let nominal = header.map_or(u64::from(self.options.segment_bytes), |header| header.segment_bytes);
        let Ok(nominal) = u32::try_from(nominal).map(|bytes| bytes as usize) else {
            let reason = format!("the segment is said to have {nominal} bytes, expected at most {}", u32::MAX);
            return Err(self.damage(Place { segment, offset: 0 }, &reason));
        };
        if found < nominal {
            image.resize(nominal, 0);
            self.clear.push((segment, found..nominal));
        }
        let (bytes, fresh) = (image.len() / BLOCK * BLOCK, is_zero(image));
        let from = if self.ended || fresh { 0 } else { self.begin(segment, header, bytes)? };
        if from > 0 {
            let from = self.groups(segment, from, &image[..bytes])?;
            self.behind = Place { segment, offset: from as u32 };
            self.end.offset = from.next_multiple_of(BLOCK);
        } else {
            if !self.ended && !fresh {
                self.behind = Place { segment, offset: 0 };
            }
            match segment {
                // No segment stands before it in which the log could go on.
                0 => self.end.segment_bytes = bytes,
                _ => self.end.spares.push_back(bytes),
            }
            self.ended = true;
        }
        let from = if self.behind.segment == segment { self.behind.offset as usize } else { 0 };
        self.remains_of(segment, from, image)
    }

    /// Enters a segment by its header; returns where its groups begin, 0 when the header is broken.
    fn begin(
        &mut self,
        segment: u32,
        header: Result<format::SegmentHeader, NoHeader>,
        bytes: usize,
    ) -> Result<usize, OpenError> {
        let path = || super::segment_files::path(&self.options.folder, segment);
        let header = match header {
            Err(NoHeader::Version(found)) => return Err(OpenError::Version { path: path(), found }),
            Err(NoHeader::Broken) => return Ok(0),
            Ok(header) => header,
        };
        if header.origin != self.options.origin {
            let expected = self.options.origin;
            return Err(OpenError::OtherOrigin { path: path(), found: header.origin, expected });
        }
        let place = Place { segment, offset: 0 };
        let expected = (segment, self.end.size, self.end.tip);
        if (header.segment, header.first_sequence, header.parent) != expected {
            return Err(self.damage(place, "the segment does not follow the record before it"));
        }
        (self.end.segment, self.end.segment_bytes) = (segment, bytes);
        Ok(BLOCK)
    }

    /// Reads groups from `at`; returns the end of the last whole record, or of the zeros that fill its block.
    fn groups(&mut self, segment: u32, mut at: usize, image: &[u8]) -> Result<usize, OpenError> {
        let mut between = true; // Only a new group may begin here.
        while at < image.len() {
            let place = Place { segment, offset: at as u32 };
            if let Some(whole) = format::decode_record(&image[at..]) {
                self.accept(&whole, place, between)?;
                at += whole.bytes;
                between = false;
                continue;
            }
            let block_end = at.next_multiple_of(BLOCK);
            if at == block_end || !is_zero(&image[at..block_end]) {
                break;
            }
            (at, between) = (block_end, true);
        }
        Ok(at)
    }

    /// Takes the record if it is the one that must stand here; a whole one that is not was put here by no crash.
    fn accept(&mut self, whole: &Whole<'_>, place: Place, between: bool) -> Result<(), OpenError> {
        let head = &whole.head;
        let new_group = head.group_first == head.sequence && (place.offset as usize).is_multiple_of(BLOCK);
        let reason = if head.place != place {
            "a record that belongs elsewhere"
        } else if head.sequence != self.end.size {
            "a record with another number"
        } else if head.parent != self.end.tip {
            "a record that does not follow the one before it" // WAL-1
        } else if !new_group && (between || head.group_first != self.group_first) {
            "a record of another group"
        } else {
            if new_group {
                let offset = if place.offset as usize == BLOCK { 0 } else { place.offset };
                self.group_place = Some(Place { offset, ..place });
            }
            self.group_first = head.group_first;
            (self.end.size, self.end.tip) = (head.sequence + 1, whole.digest);
            self.end.frontier.push(&whole.digest);
            let (sequence, kind, payload) = (head.sequence, head.kind, whole.payload.to_vec());
            self.records.push(Record { sequence, kind, payload, digest: whole.digest });
            return Ok(());
        };
        Err(self.damage(place, reason))
    }

    /// WAL-4: refuses what no torn write leaves behind the last whole record.
    fn remains_of(&mut self, segment: u32, from: usize, image: &[u8]) -> Result<(), OpenError> {
        if is_zero(&image[from..]) {
            return Ok(()); // In words, as most segments end.
        }
        let first = image[from..].iter().position(|byte| *byte != 0).expect("one byte is not zero");
        let last = image.iter().rposition(|byte| *byte != 0).expect("one byte is not zero");
        let start = self.behind;
        let damage = |at: usize, what: &str| {
            let beyond = super::segment_files::path(&self.options.folder, segment);
            self.damage(start, &format!("no whole record stands here, but {what} at byte {at} of {beyond}"))
        };
        if from == 0
            && let Ok(header) = format::decode_header(&image[..BLOCK])
            && header.first_sequence != self.end.size
        {
            return Err(damage(0, "a later segment begins"));
        }
        let mut at = (from + first) & !7;
        while at <= last {
            let Some(whole) = format::decode_record(&image[at..]) else {
                at += 8;
                continue;
            };
            let head = &whole.head;
            if head.place != (Place { segment, offset: at as u32 }) {
                return Err(damage(at, &format!("record {}, which belongs elsewhere, stands", head.sequence)));
            }
            // The next record itself can be whole only behind a header that was lost: else it would have been read.
            let told = head.sequence < self.end.size || (head.sequence == self.end.size && from > 0);
            if told || ![self.end.size, self.group_first].contains(&head.group_first) {
                return Err(damage(at, &format!("record {} stands", head.sequence)));
            }
            at += whole.bytes;
        }
        if let Some((other, _)) = self.remains.first() {
            return Err(damage(from + first, &format!("bytes that are not zero stand, as in segment {other},")));
        }
        if last + 1 - from > GROUP_BYTES {
            return Err(damage(last, "more bytes than one write has end"));
        }
        self.remains.push((segment, from + first..last + 1));
        self.ended = true;
        Ok(())
    }

    fn finish(mut self) -> Result<Scanned, OpenError> {
        let short = self.clear.first().map(|(segment, range)| (*segment, range.start..range.start));
        let remains = self.remains.pop();
        self.clear.extend(remains.clone());
        let torn = remains.or(short).map(|(segment, range)| {
            let path = super::segment_files::path(&self.options.folder, segment);
            Torn { path, offset: range.start as u64, bytes: range.len() as u64, record: self.end.size }
        });
        let last_group = match self.group_place {
            Some(place) if place.segment == self.end.segment => {
                Some((place.segment, place.offset as usize..self.end.offset))
            }
            // Of the last group, all but its segment's header was torn off; those before it were synced before it began.
            _ if self.end.offset == BLOCK => Some((self.end.segment, 0..BLOCK)),
            _ => None,
        };
        Ok(Scanned { records: self.records, end: self.end, torn, last_group, clear: self.clear })
    }

    fn damage(&self, place: Place, reason: &str) -> OpenError {
        OpenError::Damaged(Damage {
            path: super::segment_files::path(&self.options.folder, place.segment),
            offset: u64::from(place.offset),
            record: self.end.size,
            reason: reason.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileDisk;
    use format::{Head, SegmentHeader};
    use rtt_seal::{Digest, HostId};

    /// A header that fits its digest is still no reason to ask for as much memory as it says.
    #[test]
    fn a_header_that_says_more_than_offsets_can_tell_is_refused() {
        let options = Options::new(HostId(Digest::of(b"host")));
        for (segment_bytes, is_refused) in [(1 << 16, false), (1 << 32, true), (u64::MAX, true)] {
            let (origin, parent) = (options.origin, format::genesis(&options.origin));
            let header = SegmentHeader { segment: 0, segment_bytes, origin, first_sequence: 0, parent };
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::create_dir(folder.path().join("wal")).expect("a folder");
            std::fs::write(folder.path().join("wal/00000000.seg"), format::encode_header(&header)).expect("a segment");
            let mut files = SegmentFiles::new(FileDisk::open(folder.path()).expect("a disk"), "wal");
            let found = scan(&mut files, &options).map(drop);
            assert_eq!(matches!(found, Err(OpenError::Damaged(_))), is_refused, "{segment_bytes}: {found:?}");
        }
    }

    /// Whole records that cannot be right where they stand: each check alone refuses its own.
    #[test]
    fn a_forged_record_is_refused_by_the_check_that_it_fails() {
        let options = Options { segment_bytes: 8 * BLOCK as u32, ..Options::new(HostId(Digest::of(b"host"))) };
        let parent = format::genesis(&options.origin);
        let place = Place { segment: 0, offset: BLOCK as u32 };
        let good = Head { kind: 1, len: 2, sequence: 0, group_first: 0, place, parent };
        for (head, reason) in [
            (good, None),
            (Head { place: Place { segment: 1, ..place }, ..good }, Some("a record that belongs elsewhere")),
            (Head { place: Place { offset: 8, ..place }, ..good }, Some("a record that belongs elsewhere")),
            (Head { sequence: 1, group_first: 1, ..good }, Some("a record with another number")),
            (Head { parent: Digest::of(b"other"), ..good }, Some("a record that does not follow the one before it")),
            (Head { group_first: 7, ..good }, Some("a record of another group")),
        ] {
            let header = SegmentHeader {
                segment: 0,
                segment_bytes: u64::from(options.segment_bytes),
                origin: options.origin,
                first_sequence: 0,
                parent,
            };
            let mut image = format::encode_header(&header).to_vec();
            format::encode_record(&mut image, &head, b"ab");
            image.resize(options.segment_bytes as usize, 0);
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::create_dir(folder.path().join("wal")).expect("a folder");
            std::fs::write(folder.path().join("wal/00000000.seg"), image).expect("a segment");
            let mut files = SegmentFiles::new(FileDisk::open(folder.path()).expect("a disk"), "wal");
            match (scan(&mut files, &options), reason) {
                (Ok(found), None) => assert_eq!(found.records.len(), 1),
                (Err(OpenError::Damaged(damage)), Some(reason)) => assert_eq!(damage.reason, reason),
                (other, _) => panic!("{head:?}: {other:?}"),
            }
        }
    }
}
