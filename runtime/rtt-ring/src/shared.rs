//! The control area as the protocol sees it: atomics in a map, futexes, fences or membarriers.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence, fence};

use rtt_units::Nanos;
use rustix::io::Errno;
use rustix::thread::futex;
use rustix::time::Timespec;

use crate::barrier::Membarrier;
use crate::layout::{PARKED, ParkLine};
use crate::map::ControlMap;
use crate::protocol::{Control, CursorCell, Fault, WordCell};

impl CursorCell for AtomicU64 {
    #[inline]
    fn load(&self, order: Ordering) -> u64 {
        AtomicU64::load(self, order)
    }
    #[inline]
    fn store(&self, position: u64, order: Ordering) {
        AtomicU64::store(self, position, order);
    }
}

impl WordCell for AtomicU32 {
    #[inline]
    fn load(&self, order: Ordering) -> u32 {
        AtomicU32::load(self, order)
    }
    #[inline]
    fn store(&self, word: u32, order: Ordering) {
        AtomicU32::store(self, word, order);
    }
    #[inline]
    fn swap(&self, word: u32, order: Ordering) -> u32 {
        AtomicU32::swap(self, word, order)
    }
}

/// Which side of the ring holds a [`Shared`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Writes records.
    Producer,
    /// Reads records.
    Consumer,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Side::Producer => "producer",
            Side::Consumer => "consumer",
        })
    }
}

/// The control area in the hands of one side.
#[derive(Debug)]
pub(crate) struct Shared {
    map: ControlMap,
    side: Side,
    membarrier: Membarrier,
    epoch: u64,
}

impl Shared {
    /// `epoch` was read once, when the header was checked.
    pub(crate) fn new(map: ControlMap, side: Side, epoch: u64) -> Shared {
        Shared { map, side, membarrier: Membarrier::probe(), epoch }
    }

    /// Tells the peer that this side, now its owner, issues a membarrier before each sleep.
    pub(crate) fn announce(&self) {
        // Before this side's first sleep; a publisher that reads 0 until then fences, which is safe.
        self.own_line().membarrier.store(u32::from(self.membarrier.usable()), Ordering::Release);
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The epoch belongs to the creator: another one means that this side's ring is no more.
    #[inline]
    pub(crate) fn check_epoch(&self) -> Result<(), Fault> {
        let found = self.map.page().header.epoch.load(Ordering::Relaxed);
        if found == self.epoch { Ok(()) } else { Err(Fault::Epoch { found, expected: self.epoch }) }
    }

    fn own_line(&self) -> &ParkLine {
        match self.side {
            Side::Producer => &self.map.page().producer,
            Side::Consumer => &self.map.page().consumer,
        }
    }

    #[inline]
    fn peer_line(&self) -> &ParkLine {
        match self.side {
            Side::Producer => &self.map.page().consumer,
            Side::Consumer => &self.map.page().producer,
        }
    }
}

impl Control for Shared {
    type Cursor = AtomicU64;
    type Word = AtomicU32;

    #[inline]
    fn tail(&self) -> &AtomicU64 {
        &self.map.page().tail.position
    }
    #[inline]
    fn head(&self) -> &AtomicU64 {
        &self.map.page().head.position
    }
    #[inline]
    fn consumer_parked(&self) -> &AtomicU32 {
        &self.map.page().consumer.parked
    }
    #[inline]
    fn producer_parked(&self) -> &AtomicU32 {
        &self.map.page().producer.parked
    }
    #[inline]
    fn consumer_state(&self) -> &AtomicU32 {
        &self.map.page().consumer_state.state
    }
    #[inline]
    fn producer_state(&self) -> &AtomicU32 {
        &self.map.page().producer_state.state
    }

    #[inline]
    fn publisher_fence(&self) {
        // The word is set once, before its owner first sleeps. Read as 1, the owner's membarrier orders
        // our store before our load of its parked word, provided that it reaches this process.
        if self.membarrier.usable() && self.peer_line().membarrier.load(Ordering::Relaxed) == 1 {
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }

    fn sleeper_fence(&self) {
        fence(Ordering::SeqCst);
        // A publisher that could not register fences by itself; then this barrier is merely redundant. One that is refused
        // after it was granted, as by a filter that came later, is told to fence from now on; what it published in
        // between is found by the next look, a slice of the wait later.
        if self.membarrier.usable() && !self.membarrier.issue() {
            self.own_line().membarrier.store(0, Ordering::Relaxed);
        }
    }

    fn wake(&self, word: &AtomicU32) {
        wake(word);
    }
}

/// Wakes one sleeper on `word`; not private, since the peer is another process.
pub(crate) fn wake(word: &AtomicU32) {
    // The only errors are those of a bad address or flag, and neither can occur here.
    let outcome = futex::wake(word, futex::Flags::empty(), 1);
    debug_assert!(outcome.is_ok(), "futex wake: {outcome:?}");
}

/// Sleeps while `word` is [`PARKED`], at most for `slice`. Waking early for any reason is fine.
pub(crate) fn park(word: &AtomicU32, slice: Nanos) -> io::Result<()> {
    let timeout = Timespec { tv_sec: (slice.0 / 1_000_000_000) as i64, tv_nsec: (slice.0 % 1_000_000_000) as _ };
    match futex::wait(word, futex::Flags::empty(), PARKED, Some(&timeout)) {
        Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
