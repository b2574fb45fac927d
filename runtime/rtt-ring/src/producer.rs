//! The writing side of a ring.

use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use rtt_units::{Bytes, Nanos};

use crate::attach::{self, AttachError};
use crate::layout::{encode_header, record_bytes};
use crate::map::WriteMap;
use crate::pages;
use crate::protocol::{Control, Fault, ProducerCursor, close_producer, is_closed};
use crate::segment::{RingCapacity, RingFds};
use crate::shared::{Shared, Side};
use crate::wait::{Wait, WaitError, WaitStrategy, Waited};

/// Writes records: [`reserve`](Producer::reserve), fill, [`commit`](Grant::commit), and after one or
/// many of them [`publish`](Producer::publish). Dropping it closes its side.
#[derive(Debug)]
pub struct Producer {
    shared: Shared,
    data: WriteMap,
    cursor: ProducerCursor,
    capacity: RingCapacity,
    page_bytes: Bytes,
    peer: Option<OwnedFd>,
    looked: Nanos,
}

/// Why room was not reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// No room now; the consumer makes some by releasing.
    #[error("ring is full: {used} of {capacity} used, expected room for the record: wait for space")]
    Full {
        /// Bytes in use, staged ones included.
        used: Bytes,
        /// Capacity of the ring.
        capacity: Bytes,
    },
    /// No room ever.
    #[error("payload is {len} bytes, expected at most {max}: use a ring of larger capacity")]
    TooLarge {
        /// Payload asked for, in bytes.
        len: usize,
        /// Largest payload of this ring, in bytes.
        max: usize,
    },
    /// The consumer wrote what no honest consumer writes, or the ring was revoked.
    #[error("the consumer broke the ring")]
    BrokenPeer(#[source] Fault),
}

impl Producer {
    /// Attaches as the ring's one producer. `peer` is the consumer's pidfd, whose end ends a wait.
    ///
    /// # Errors
    /// [`AttachError`] names what the descriptors or the header have wrong.
    pub fn attach(fds: RingFds, peer: Option<OwnedFd>) -> Result<Producer, AttachError> {
        let ring = attach::check(&fds, Side::Producer)?;
        let (capacity, huge) = (ring.capacity, ring.huge);
        let data = WriteMap::new(fds.data.as_fd(), capacity.bytes().0, huge).map_err(|source| AttachError::Map {
            area: "data",
            side: Side::Producer,
            source,
        })?;
        let (shared, tail, head) = ring.take()?;
        let cursor = ProducerCursor::new(capacity.bytes().0, tail, head).map_err(AttachError::Broken)?;
        let observed = if huge { pages::observed(data.address()) } else { None };
        let page_bytes = observed.unwrap_or_else(pages::base);
        Ok(Producer { shared, data, cursor, capacity, page_bytes, peer, looked: Nanos(0) })
    }

    /// Names the consumer's process after the fact, by its pidfd.
    pub fn watch_peer(&mut self, peer: OwnedFd) {
        self.peer = Some(peer);
    }

    /// Reserves room for a record with `len` bytes of payload. The grant's bytes are of any value.
    ///
    /// # Errors
    /// [`ReserveError::Full`] when the consumer has not released enough, [`ReserveError::TooLarge`] when
    /// no ring of this capacity could hold it, [`ReserveError::BrokenPeer`] when the consumer's cursor lies.
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<Grant<'_>, ReserveError> {
        let max = self.capacity.max_payload();
        if len > max {
            return Err(ReserveError::TooLarge { len, max });
        }
        let payload_len = len as u32; // At most 1 GiB, by the capacity.
        let bytes = record_bytes(payload_len);
        if !self.cursor.is_roomy(bytes) {
            // Before every look at the peer's cursor: a ring that is never full is revoked like any other.
            self.shared.check_epoch().map_err(ReserveError::BrokenPeer)?;
        }
        if !self.cursor.fits(&self.shared, bytes).map_err(ReserveError::BrokenPeer)? {
            return Err(ReserveError::Full { used: Bytes(self.cursor.used()), capacity: self.capacity.bytes() });
        }
        // Before the payload: written after it, the header would need its cache line a second time, which the consumer, or
        // the prefetcher of its CPU, often took in between. Nobody reads it before the tail covers it (RING-3).
        let position = self.cursor.position();
        self.data.set_header(position, encode_header(position, payload_len));
        Ok(Grant { producer: self, len: payload_len })
    }

    /// Makes all committed records visible, with one store; says whether a sleeping consumer was woken.
    #[inline]
    pub fn publish(&mut self) -> bool {
        self.cursor.publish(&self.shared)
    }

    /// Bytes committed and not yet published.
    pub fn unpublished_bytes(&self) -> Bytes {
        Bytes(self.cursor.unpublished())
    }

    /// Waits until a record with `len` bytes of payload fits, the consumer is gone, or `deadline` (an
    /// instant of [`now`](crate::now)) has passed. Publishes what is staged first, since the consumer
    /// could otherwise never make room.
    ///
    /// # Errors
    /// [`WaitError`] when the wait can never succeed.
    pub fn wait_space(
        &mut self,
        len: usize,
        strategy: WaitStrategy,
        deadline: Option<Nanos>,
    ) -> Result<Waited, WaitError> {
        let max = self.capacity.max_payload();
        if len > max {
            return Err(WaitError::TooLarge { len, max });
        }
        self.publish();
        let (shared, cursor) = (&self.shared, &mut self.cursor);
        let wait = Wait {
            shared,
            parked: shared.producer_parked(),
            peer_state: shared.consumer_state(),
            peer: self.peer.as_ref(),
            ready: || cursor.fits(shared, record_bytes(len as u32)),
            deadline,
            looked: &mut self.looked,
        };
        wait.run(strategy)
    }

    /// Bytes in the ring now, staged ones included; what the consumer claims is capped at the capacity.
    pub fn depth_bytes(&self) -> Bytes {
        let staged = self.cursor.position();
        let head = self.shared.head().load(Ordering::Relaxed);
        Bytes(staged.wrapping_sub(head).min(self.capacity.bytes().0))
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

    /// Whether the consumer has closed its side.
    pub fn peer_closed(&self) -> bool {
        is_closed(self.shared.consumer_state())
    }

    /// Publishes what is staged and closes this side: the consumer reads the rest, then learns of the end.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.publish();
        close_producer(&self.shared);
    }
}

/// Room for one record. Dropped without [`commit`](Grant::commit), it leaves nothing behind.
#[derive(Debug)]
pub struct Grant<'a> {
    producer: &'a mut Producer,
    len: u32,
}

impl Grant<'_> {
    /// Stages the record: the next [`publish`](Producer::publish) makes it visible.
    #[inline]
    pub fn commit(self) {
        self.producer.cursor.stage(record_bytes(self.len));
    }

    /// Shortens the payload to its first `len` bytes, for who knows the length only after writing.
    ///
    /// # Panics
    /// When `len` is larger than what was reserved.
    pub fn shorten(&mut self, len: usize) {
        assert!(len <= self.len as usize, "grant of {} bytes cannot be shortened to {len}", self.len);
        self.len = len as u32;
        let Producer { data, cursor, .. } = &mut *self.producer;
        data.set_header(cursor.position(), encode_header(cursor.position(), self.len));
    }
}

impl Deref for Grant<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.producer.data.own_payload(self.producer.cursor.position(), self.len)
    }
}

impl DerefMut for Grant<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.producer.data.payload(self.producer.cursor.position(), self.len)
    }
}
