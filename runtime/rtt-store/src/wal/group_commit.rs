//! Group commit without a disk: records are pushed, groups are taken, and what is durable is told back.
//!
//! A record is hashed, chained and given its place when it is pushed. A group is what was pushed since the last one was
//! taken; it is one write, and one group at a time is in flight. Nothing here waits, reads a clock or knows a file, so
//! the same code runs under a thread, in a test and in a simulation.
//!
//! WAL-1   A record names as its parent the digest of the record before it, and numbers grow by one.
//! WAL-2   A record is acknowledged only after its whole group was written and synced, and in order.
//! WAL-5   After the first failed write or sync no record is taken, written or acknowledged.
//! WAL-6   An ordinary record leaves room for the reserve: what ends a transaction fits also where no segment can be made.

use super::format::{self, BLOCK, Head, OVERHEAD, Place, SegmentHeader, record_bytes};
use super::merkle::Frontier;
use crate::DiskError;
use rtt_seal::{Digest, HostId};
use std::collections::VecDeque;
use std::ops::Range;

/// Most bytes of a group: a longer one is split. What is longer cannot have been torn by one write.
pub const GROUP_BYTES: usize = 1 << 20;
/// Most bytes of a payload, where a segment holds a whole group.
pub const PAYLOAD_MAX: usize = GROUP_BYTES - BLOCK - OVERHEAD;
/// Digests that wait for the Merkle tree before they are folded into it, off the way of a lone record.
const UNFOLDED: usize = 1024;

/// What a record may use of the room that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// All but the reserve.
    Ordinary,
    /// The reserve too: for records that end a transaction.
    Reserve,
}

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushError {
    /// It does not fit into any segment.
    TooLarge {
        /// Bytes of the payload.
        bytes: usize,
        /// Most bytes that a payload may have.
        limit: usize,
    },
    /// The next segment must be made first. Nothing was changed.
    NeedsSegment,
    /// An earlier write or sync failed.
    Poisoned(DiskError),
}

/// What one write puts on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Number of the segment.
    pub segment: u32,
    /// First byte in it.
    pub offset: u64,
    /// The records, from the start of a block to the end of one; in a new segment with its header before them.
    pub bytes: Vec<u8>,
    /// The records' numbers.
    pub records: Range<u64>,
}

/// Where a log ends.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub segment: u32,
    pub segment_bytes: usize,
    /// Where the next group begins, 0 for a segment that has no header yet.
    pub offset: usize,
    /// Lengths of the prepared segments behind it.
    pub spares: VecDeque<usize>,
    pub size: u64,
    pub tip: Digest,
    pub frontier: Frontier,
}

/// The end of a log that is being written.
#[derive(Clone, Debug)]
pub struct GroupCommit {
    origin: HostId,
    reserve: usize,
    /// Payloads of at most this many bytes fit into any segment.
    limit: usize,
    end: End,
    open: Vec<u8>,
    open_first: u64,
    ready: VecDeque<Group>,
    in_flight: Option<Range<u64>>,
    acknowledged: u64,
    unfolded: Vec<Digest>,
    used: Vec<u8>,
    failure: Option<DiskError>,
}

impl GroupCommit {
    /// Goes on at the end of a log whose new segments have `segment_bytes`.
    pub(crate) fn new(origin: HostId, segment_bytes: usize, reserve: usize, end: End) -> GroupCommit {
        let least = segment_bytes.min(end.spares.iter().copied().min().unwrap_or(usize::MAX));
        let limit = least.saturating_sub(reserve + BLOCK + OVERHEAD).min(PAYLOAD_MAX);
        GroupCommit {
            origin,
            reserve,
            limit,
            acknowledged: end.size,
            open_first: end.size,
            end,
            open: Vec::new(),
            ready: VecDeque::new(),
            in_flight: None,
            unfolded: Vec::new(),
            used: Vec::new(),
            failure: None,
        }
    }

    /// Takes a record and returns its number. It is durable once [`GroupCommit::committed`] says so.
    ///
    /// # Errors
    /// [`PushError`]; the log's end is then as it was before.
    pub fn push(&mut self, kind: u8, payload: &[u8], room: Room) -> Result<u64, PushError> {
        if let Some(failure) = &self.failure {
            return Err(PushError::Poisoned(failure.clone())); // WAL-5
        }
        if payload.len() > self.limit {
            return Err(PushError::TooLarge { bytes: payload.len(), limit: self.limit });
        }
        self.make_room(record_bytes(payload.len()), room)?;
        if self.open.is_empty() {
            self.open_group();
        }
        let head = Head {
            kind,
            len: payload.len() as u32,
            sequence: self.end.size,
            group_first: self.open_first,
            place: Place { segment: self.end.segment, offset: (self.end.offset + self.open.len()) as u32 },
            parent: self.end.tip, // WAL-1
        };
        self.end.tip = format::encode_record(&mut self.open, &head, payload);
        self.end.size += 1;
        self.unfolded.push(self.end.tip);
        if self.unfolded.len() == UNFOLDED {
            self.fold();
        }
        Ok(head.sequence)
    }

    /// The next group to write; `None` while one is in flight or when nothing was pushed.
    pub fn next_group(&mut self) -> Option<Group> {
        if self.in_flight.is_some() || self.failure.is_some() {
            return None;
        }
        if self.ready.is_empty() && !self.open.is_empty() {
            self.seal_group();
        }
        let group = self.ready.pop_front()?;
        assert_eq!(group.records.start, self.acknowledged, "WAL-2: groups are written in order");
        self.in_flight = Some(group.records.clone());
        Some(group)
    }

    /// The group in flight is written and synced: its records are acknowledged. `buffer` is its write's, for use again.
    ///
    /// # Panics
    /// When no group is in flight.
    pub fn committed(&mut self, buffer: Vec<u8>) -> Range<u64> {
        let records = self.in_flight.take().expect("WAL-2: only a group in flight can be committed");
        self.acknowledged = records.end;
        self.used = buffer;
        records
    }

    /// WAL-5: a write or a sync failed. What was pushed and not acknowledged never will be.
    pub fn failed(&mut self, error: DiskError) {
        self.in_flight = None;
        self.failure.get_or_insert(error);
    }

    /// Why nothing more is taken, if that is so.
    pub fn failure(&self) -> Option<&DiskError> {
        self.failure.as_ref()
    }

    /// Records that can be written and are not; none after a failure.
    pub fn waiting(&self) -> u64 {
        if self.failure.is_some() {
            return 0;
        }
        self.end.size - self.in_flight.as_ref().map_or(self.acknowledged, |records| records.end)
    }

    /// Number of the segment that should be made next, if there is none to go on to and half of this one is used.
    pub fn wants_segment(&self) -> Option<u32> {
        let used = self.end.offset + self.open.len();
        (self.end.spares.is_empty() && used >= self.end.segment_bytes / 2).then(|| self.next_segment())
    }

    /// Number of the next segment to make.
    pub fn next_segment(&self) -> u32 {
        self.end.segment + 1 + self.end.spares.len() as u32
    }

    /// Segment [`GroupCommit::next_segment`] was made, with zeros of this length.
    pub fn segment_made(&mut self, bytes: usize) {
        self.end.spares.push_back(bytes);
    }

    /// Number of records pushed, and the digest of the last: what the next one names as its parent.
    pub fn tip(&self) -> (u64, Digest) {
        (self.end.size, self.end.tip)
    }

    /// Number of records that are durable.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Root of the Merkle tree over the records pushed.
    pub fn root(&mut self) -> Digest {
        self.fold();
        self.end.frontier.root()
    }

    fn fold(&mut self) {
        self.unfolded.drain(..).for_each(|record| self.end.frontier.push(&record));
    }

    /// Sees to it that a record of `bytes` fits behind the open group, in this segment or at the start of the next.
    fn make_room(&mut self, bytes: usize, room: Room) -> Result<(), PushError> {
        if self.open.len() + bytes > GROUP_BYTES {
            self.seal_group();
        }
        let header = if self.end.offset == 0 && self.open.is_empty() { BLOCK } else { 0 };
        let group = self.open.len() + header + bytes;
        // WAL-6: where a prepared segment stands behind this one, that is the reserve.
        let kept = if room == Room::Ordinary && self.end.spares.is_empty() { self.reserve } else { 0 };
        if (self.end.offset + group).next_multiple_of(BLOCK) <= self.end.segment_bytes.saturating_sub(kept) {
            return Ok(());
        }
        let next = self.end.spares.pop_front().ok_or(PushError::NeedsSegment)?;
        self.seal_group();
        self.end.segment += 1;
        self.end.segment_bytes = next;
        self.end.offset = 0;
        Ok(())
    }

    fn open_group(&mut self) {
        self.open = std::mem::take(&mut self.used);
        self.open.clear();
        self.open_first = self.end.size;
        if self.end.offset == 0 {
            let header = SegmentHeader {
                segment: self.end.segment,
                segment_bytes: self.end.segment_bytes as u64,
                origin: self.origin,
                first_sequence: self.end.size,
                parent: self.end.tip,
            };
            self.open.extend_from_slice(&format::encode_header(&header));
        }
    }

    fn seal_group(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let mut bytes = std::mem::take(&mut self.open);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        let offset = self.end.offset;
        self.end.offset += bytes.len();
        let records = self.open_first..self.end.size;
        self.ready.push_back(Group { segment: self.end.segment, offset: offset as u64, bytes, records });
    }
}
