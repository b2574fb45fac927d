//! The protocol between producer and consumer, generic over the cells that hold the shared words.
//!
//! In production the cells are atomics in a map that a peer can write; in the model-checked tests they
//! are loom's. Positions only grow (wrapping arithmetic, though 2^64 bytes last for centuries).
//!
//! RING-1  `head <= tail <= head + capacity`, both multiples of 8, neither goes backward; a peer's
//!         cursor that says otherwise is a [`Fault`].
//! RING-2  The producer writes only outside `head..tail`; the consumer reads only inside.
//! RING-3  A record becomes visible whole, by the store of `tail`: whatever was only reserved or staged
//!         when a producer dies is never seen.
//! RING-4  Who parks is woken by the next publication: either the sleeper sees it when it looks again,
//!         or the publisher sees the parked word.
//!
//! Own cursors are kept privately and never read back from the map. Waiting is `wait`.

use std::sync::atomic::Ordering;

use crate::layout::{CLOSED, HEADER_BYTES, PARKED, decode_header, record_bytes, stamp};

/// A shared 64-bit cursor.
pub(crate) trait CursorCell {
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, position: u64, order: Ordering);
}

/// A shared 32-bit word: a parked flag or a side's state.
pub(crate) trait WordCell {
    fn load(&self, order: Ordering) -> u32;
    fn store(&self, word: u32, order: Ordering);
    fn swap(&self, word: u32, order: Ordering) -> u32;
}

/// The shared words of one ring, and the barriers and wake-up of whoever holds them.
pub(crate) trait Control {
    type Cursor: CursorCell;
    type Word: WordCell;
    fn tail(&self) -> &Self::Cursor;
    fn head(&self) -> &Self::Cursor;
    fn consumer_parked(&self) -> &Self::Word;
    fn producer_parked(&self) -> &Self::Word;
    fn consumer_state(&self) -> &Self::Word;
    fn producer_state(&self) -> &Self::Word;
    /// Orders the publisher's cursor store before its load of the peer's parked word.
    fn publisher_fence(&self);
    /// Orders the sleeper's store of its parked word before its next look at the peer's cursor.
    fn sleeper_fence(&self);
    /// Wakes whoever sleeps on `word`.
    fn wake(&self, word: &Self::Word);
}

/// What a peer wrote that no honest peer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The consumer's cursor lies outside what was published.
    #[error("head is {found}, expected a multiple of 8 in {low}..={high}")]
    Head {
        /// What stands in the control area, in bytes.
        found: u64,
        /// Its last good value.
        low: u64,
        /// The published tail.
        high: u64,
    },
    /// The producer's cursor went backward or beyond the capacity.
    #[error("tail is {found}, expected a multiple of 8 in {low}..={high}")]
    Tail {
        /// What stands in the control area, in bytes.
        found: u64,
        /// Its last good value.
        low: u64,
        /// Head plus capacity.
        high: u64,
    },
    /// A record claims more bytes than were published.
    #[error("record at {position} claims {len} bytes of payload, expected at most {published} bytes with its header")]
    RecordLength {
        /// Position of the record, in bytes.
        position: u64,
        /// Its length field.
        len: u32,
        /// Bytes from `position` to the published tail.
        published: u64,
    },
    /// A record's stamp does not belong to its position: overwritten, punched out or never written.
    #[error("record at {position} carries stamp {found:#010x}, expected {expected:#010x}")]
    RecordStamp {
        /// Position of the record, in bytes.
        position: u64,
        /// The stamp found.
        found: u32,
        /// The stamp that belongs to the position.
        expected: u32,
    },
    /// The ring was revoked, or created anew, since this side attached.
    #[error("epoch is {found}, expected {expected}: attach to the new ring")]
    Epoch {
        /// The epoch in the control area.
        found: u64,
        /// The epoch at which this side attached.
        expected: u64,
    },
}

const fn aligned(position: u64) -> bool {
    position.is_multiple_of(HEADER_BYTES)
}

/// The producer's private cursors.
#[derive(Debug)]
pub(crate) struct ProducerCursor {
    capacity: u64,
    published: u64,
    staged: u64,
    head: u64,
}

impl ProducerCursor {
    /// Starts from the cursors found at attach; both are input.
    pub(crate) fn new(capacity: u64, tail: u64, head: u64) -> Result<ProducerCursor, Fault> {
        check_start(capacity, tail, head)?;
        Ok(ProducerCursor { capacity, published: tail, staged: tail, head })
    }

    /// Where the next record goes.
    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.staged
    }

    /// Bytes staged and not yet published.
    pub(crate) fn unpublished(&self) -> u64 {
        self.staged.wrapping_sub(self.published)
    }

    /// Bytes in use as far as this side knows, staged ones included.
    #[inline]
    pub(crate) fn used(&self) -> u64 {
        self.staged.wrapping_sub(self.head)
    }

    /// Whether there is room for a record of `bytes` for all that is known, so that `fits` is not going to look at the
    /// peer's cursor.
    #[inline]
    pub(crate) fn is_roomy(&self, bytes: u64) -> bool {
        self.capacity - self.used() >= bytes
    }

    /// Whether `bytes` more fit; looks at the consumer's cursor only when the cached one is too old.
    pub(crate) fn fits<C: Control>(&mut self, control: &C, bytes: u64) -> Result<bool, Fault> {
        if self.is_roomy(bytes) {
            return Ok(true);
        }
        // Acquire pairs with the Release in `ConsumerCursor::release`: the consumer has finished
        // reading what it gave back before we write there again (RING-2).
        let head = control.head().load(Ordering::Acquire);
        if head == self.head {
            return Ok(false);
        }
        // RING-1: the head belongs to the peer, so a wrong value is an error, not a panic.
        let (low, high) = (self.head, self.published);
        if head.wrapping_sub(low) > high.wrapping_sub(low) || !aligned(head) {
            return Err(Fault::Head { found: head, low, high });
        }
        self.head = head;
        Ok(self.capacity - self.used() >= bytes)
    }

    /// Counts a whole record as staged; its bytes are written and room for it was found by `fits`.
    #[inline]
    pub(crate) fn stage(&mut self, bytes: u64) {
        debug_assert!(aligned(bytes) && self.used() + bytes <= self.capacity, "RING-1: stage without room");
        self.staged = self.staged.wrapping_add(bytes);
    }

    /// Publishes all staged records with one store; says whether a sleeping consumer was woken.
    pub(crate) fn publish<C: Control>(&mut self, control: &C) -> bool {
        if self.staged == self.published {
            return false;
        }
        self.published = self.staged;
        // Release pairs with the Acquire in `ConsumerCursor::available`: records are visible whole
        // before the tail that covers them (RING-3).
        control.tail().store(self.published, Ordering::Release);
        wake_parked(control, control.consumer_parked())
    }
}

/// The consumer's private cursors.
#[derive(Debug)]
pub(crate) struct ConsumerCursor {
    capacity: u64,
    released: u64,
    read: u64,
    tail: u64,
}

impl ConsumerCursor {
    /// Starts from the cursors found at attach; both are input.
    pub(crate) fn new(capacity: u64, tail: u64, head: u64) -> Result<ConsumerCursor, Fault> {
        check_start(capacity, tail, head)?;
        Ok(ConsumerCursor { capacity, released: head, read: head, tail })
    }

    /// Where the next record to read stands.
    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.read
    }

    /// The last position given back to the producer.
    pub(crate) fn released(&self) -> u64 {
        self.released
    }

    /// Whether the known records are all read, so that `available` is going to look at the peer's cursor.
    #[inline]
    pub(crate) fn is_drained(&self) -> bool {
        self.read == self.tail
    }

    /// Whether a record waits; looks at the producer's cursor only when the cached one is used up.
    pub(crate) fn available<C: Control>(&mut self, control: &C) -> Result<bool, Fault> {
        if !self.is_drained() {
            return Ok(true);
        }
        // Acquire pairs with the Release in `ProducerCursor::publish` (RING-3).
        let tail = control.tail().load(Ordering::Acquire);
        if tail == self.tail {
            return Ok(false);
        }
        // RING-1: the tail belongs to the peer, so a wrong value is an error, not a panic.
        let (low, high) = (self.tail, self.released.wrapping_add(self.capacity));
        if tail.wrapping_sub(low) > high.wrapping_sub(low) || !aligned(tail) {
            return Err(Fault::Tail { found: tail, low, high });
        }
        self.tail = tail;
        Ok(true)
    }

    /// Checks the header of the record at `position()`; the payload length, in bytes.
    #[inline]
    pub(crate) fn payload_len(&self, header: u64) -> Result<u32, Fault> {
        let (len, found) = decode_header(header);
        let (position, expected) = (self.read, stamp(self.read));
        if found != expected {
            return Err(Fault::RecordStamp { position, found, expected });
        }
        // RING-2: a length that leads beyond the published bytes is the peer's mistake.
        let published = self.tail.wrapping_sub(self.read);
        if record_bytes(len) > published {
            return Err(Fault::RecordLength { position, len, published });
        }
        Ok(len)
    }

    /// Steps over a record that `payload_len` accepted.
    #[inline]
    pub(crate) fn advance(&mut self, len: u32) {
        debug_assert!(record_bytes(len) <= self.tail.wrapping_sub(self.read), "RING-2: advance beyond the tail");
        self.read = self.read.wrapping_add(record_bytes(len));
    }

    /// Gives back everything read, with one store; says whether a sleeping producer was woken.
    pub(crate) fn release<C: Control>(&mut self, control: &C) -> bool {
        if self.read == self.released {
            return false;
        }
        self.released = self.read;
        // Release pairs with the Acquire in `ProducerCursor::fits`: our reads end before it writes.
        control.head().store(self.released, Ordering::Release);
        wake_parked(control, control.producer_parked())
    }
}

fn check_start(capacity: u64, tail: u64, head: u64) -> Result<(), Fault> {
    if !aligned(head) {
        return Err(Fault::Head { found: head, low: tail.wrapping_sub(capacity), high: tail });
    }
    if tail.wrapping_sub(head) > capacity || !aligned(tail) {
        return Err(Fault::Tail { found: tail, low: head, high: head.wrapping_add(capacity) });
    }
    Ok(())
}

/// The waking half of RING-4, after the store that the sleeper waits for.
fn wake_parked<C: Control>(control: &C, parked: &C::Word) -> bool {
    control.publisher_fence();
    // The plain load keeps the usual case, nobody asleep, free of writes to the shared line. The swap
    // makes sure that one sleep costs one system call, however many records follow before it ends.
    if parked.load(Ordering::Relaxed) == 0 || parked.swap(0, Ordering::AcqRel) == 0 {
        return false;
    }
    control.wake(parked);
    true
}

/// The sleeping half of RING-4: announces the sleep, looks once more, then calls `park`, which must
/// return at once when the word is no longer [`PARKED`]. Says whether `ready` was seen before sleeping.
pub(crate) fn park_unless<C: Control, E>(
    control: &C,
    parked: &C::Word,
    ready: impl FnOnce() -> Result<bool, E>,
    park: impl FnOnce(&C::Word) -> Result<(), E>,
) -> Result<bool, E> {
    parked.store(PARKED, Ordering::Relaxed);
    control.sleeper_fence();
    let seen = ready();
    let outcome = match seen {
        Ok(false) => park(parked).map(|()| false),
        other => other,
    };
    parked.store(0, Ordering::Relaxed);
    outcome
}

/// Marks the producer's side closed and wakes a sleeping consumer; records are published before.
pub(crate) fn close_producer<C: Control>(control: &C) {
    // Release pairs with the Acquire in `is_closed`: who sees the end also sees the last records.
    control.producer_state().store(CLOSED, Ordering::Release);
    wake_parked(control, control.consumer_parked());
}

/// Marks the consumer's side closed and wakes a sleeping producer.
pub(crate) fn close_consumer<C: Control>(control: &C) {
    control.consumer_state().store(CLOSED, Ordering::Release);
    wake_parked(control, control.producer_parked());
}

/// Whether the side with this state word has closed.
pub(crate) fn is_closed<W: WordCell>(state: &W) -> bool {
    state.load(Ordering::Acquire) == CLOSED
}

#[cfg(test)]
#[path = "protocol_model.rs"]
mod tests;
