//! The reading side of a ring.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use rtt_units::{Bytes, Nanos};

use crate::attach::{self, AttachError};
use crate::map::ReadMap;
use crate::pages;
use crate::protocol::{ConsumerCursor, Control, Fault, close_consumer, is_closed};
use crate::segment::{RingCapacity, RingFds};
use crate::shared::{Shared, Side};
use crate::wait::{LIVENESS_SPIN, Wait, WaitError, WaitStrategy, Waited, has_ended};

/// Reads records: [`read`](Consumer::read) one or many, then [`release`](Consumer::release) them
/// together. Dropping it closes its side.
#[derive(Debug)]
pub struct Consumer {
    shared: Shared,
    data: ReadMap,
    cursor: ConsumerCursor,
    capacity: RingCapacity,
    page_bytes: Bytes,
    peer: Option<OwnedFd>,
    looked: Nanos,
}

/// Why no record was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The record stays where it is; read it again with more room, or [`skip`](Consumer::skip) it.
    #[error("record is {need} bytes, the buffer {have}: give a larger buffer")]
    BufferTooSmall {
        /// Payload of the record, in bytes.
        need: usize,
        /// Size of the buffer, in bytes.
        have: usize,
    },
    /// The producer wrote what no honest producer writes, or the ring was revoked.
    #[error("the producer broke the ring")]
    BrokenPeer(#[source] Fault),
}

impl Consumer {
    /// Attaches as the ring's one consumer. `peer` is the producer's pidfd, whose end ends a wait.
    ///
    /// # Errors
    /// [`AttachError`] names what the descriptors or the header have wrong.
    pub fn attach(fds: RingFds, peer: Option<OwnedFd>) -> Result<Consumer, AttachError> {
        let ring = attach::check(&fds, Side::Consumer)?;
        let (capacity, huge) = (ring.capacity, ring.huge);
        let data = ReadMap::new(fds.data.as_fd(), capacity.bytes().0, huge).map_err(|source| AttachError::Map {
            area: "data",
            side: Side::Consumer,
            source,
        })?;
        let (shared, tail, head) = ring.take()?;
        let cursor = ConsumerCursor::new(capacity.bytes().0, tail, head).map_err(AttachError::Broken)?;
        let observed = if huge { pages::observed(data.address()) } else { None };
        let page_bytes = observed.unwrap_or_else(pages::base);
        Ok(Consumer { shared, data, cursor, capacity, page_bytes, peer, looked: Nanos(0) })
    }

    /// Names the producer's process after the fact, by its pidfd.
    pub fn watch_peer(&mut self, peer: OwnedFd) {
        self.peer = Some(peer);
    }

    /// Copies the next record into `buffer` and steps over it; its length in bytes, or `None` when all
    /// published records were read. The producer gets the room back at [`release`](Consumer::release).
    ///
    /// # Errors
    /// [`ReadError::BufferTooSmall`] leaves the record; [`ReadError::BrokenPeer`] is final.
    #[inline]
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, ReadError> {
        let Some(len) = self.next_len()? else { return Ok(None) };
        let (need, have) = (len as usize, buffer.len());
        let Some(into) = buffer.get_mut(..need) else { return Err(ReadError::BufferTooSmall { need, have }) };
        self.data.copy_payload(self.cursor.position(), into);
        self.cursor.advance(len);
        Ok(Some(need))
    }

    /// Steps over the next record without copying it; its length in bytes, or `None` when there is none.
    ///
    /// # Errors
    /// [`ReadError::BrokenPeer`] as in [`read`](Consumer::read).
    pub fn skip(&mut self) -> Result<Option<usize>, ReadError> {
        let Some(len) = self.next_len()? else { return Ok(None) };
        self.cursor.advance(len);
        Ok(Some(len as usize))
    }

    /// Lends the next record in place, without stepping over it ([`skip`](Consumer::skip) does).
    ///
    /// # Errors
    /// [`ReadError::BrokenPeer`] as in [`read`](Consumer::read).
    ///
    /// # Safety
    /// Whoever can write the data area must leave published records alone while the slice lives, which
    /// an honest producer does. A producer that is not trusted could change the bytes under a reference.
    #[allow(unsafe_code)] // The contract is the caller's to keep; a safe form is `read`.
    pub unsafe fn peek_in_place(&mut self) -> Result<Option<&[u8]>, ReadError> {
        let Some(len) = self.next_len()? else { return Ok(None) };
        // SAFETY: the producer is trusted by the caller's contract, and the record is released only by
        // methods that end this borrow.
        Ok(Some(unsafe { self.data.payload(self.cursor.position(), len) }))
    }

    /// Payload length of the next record, its header checked; read once, so it cannot change under us.
    #[inline]
    fn next_len(&mut self) -> Result<Option<u32>, ReadError> {
        if self.cursor.is_drained() {
            // Before every look at the peer's cursor: a ring that is never empty is revoked like any other.
            self.shared.check_epoch().map_err(ReadError::BrokenPeer)?;
        }
        if !self.cursor.available(&self.shared).map_err(ReadError::BrokenPeer)? {
            return Ok(None);
        }
        let header = self.data.header(self.cursor.position());
        self.cursor.payload_len(header).map(Some).map_err(ReadError::BrokenPeer)
    }

    /// Gives the room of everything read back, with one store; says whether a sleeping producer was woken.
    #[inline]
    pub fn release(&mut self) -> bool {
        self.cursor.release(&self.shared)
    }

    /// Waits until a record can be read, the producer is gone, or `deadline` (an instant of
    /// [`now`](crate::now)) has passed. Releases what was read first, since the producer could otherwise
    /// wait for that room.
    ///
    /// # Errors
    /// [`WaitError`] when the wait can never succeed.
    pub fn wait(&mut self, strategy: WaitStrategy, deadline: Option<Nanos>) -> Result<Waited, WaitError> {
        self.release();
        let (shared, cursor, data) = (&self.shared, &mut self.cursor, &self.data);
        let next = cursor.position();
        let wait = Wait {
            shared,
            parked: shared.consumer_parked(),
            peer_state: shared.producer_state(),
            peer: self.peer.as_ref(),
            ready: || {
                // The record's lines come along with the tail's, not after it.
                data.prefetch(next);
                cursor.available(shared)
            },
            deadline,
            looked: &mut self.looked,
        };
        wait.run(strategy)
    }

    /// Whether a record can be read, for a wait over several rings.
    pub(crate) fn is_ready(&mut self) -> Result<bool, WaitError> {
        self.cursor.available(&self.shared).map_err(WaitError::BrokenPeer)
    }

    /// Whether no record will follow those already published, for a wait over several rings.
    pub(crate) fn has_ended(&mut self, time: Nanos) -> Result<bool, WaitError> {
        self.shared.check_epoch().map_err(WaitError::BrokenPeer)?;
        if self.peer_closed() {
            return Ok(true);
        }
        let due = time.since(self.looked) >= LIVENESS_SPIN;
        let Some(peer) = self.peer.as_ref().filter(|_| due) else { return Ok(false) };
        let ended = has_ended(peer)?;
        if !ended {
            self.looked = time; // One that has ended is looked at again at once: it must not seem alive in between.
        }
        Ok(ended)
    }

    /// The control area, for a wait over several rings.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Bytes in the ring now, read but unreleased ones included; what the producer claims is capped at
    /// the capacity.
    pub fn depth_bytes(&self) -> Bytes {
        let tail = self.shared.tail().load(Ordering::Relaxed);
        Bytes(tail.wrapping_sub(self.cursor.released()).min(self.capacity.bytes().0))
    }

    /// Capacity of the ring.
    pub fn capacity(&self) -> RingCapacity {
        self.capacity
    }

    /// Epoch at which this side attached.
    pub fn epoch(&self) -> u64 {
        self.shared.epoch()
    }

    /// Page size of this side's map of the data.
    pub fn page_bytes(&self) -> Bytes {
        self.page_bytes
    }

    /// Whether the producer has closed its side; records may still wait.
    pub fn peer_closed(&self) -> bool {
        is_closed(self.shared.producer_state())
    }

    /// Closes this side: a producer that waits for room learns of the end.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.release();
        close_consumer(&self.shared);
    }
}
