//! Waiting for the peer: spin, spin then yield, spin then sleep; always with an end.
//!
//! RING-7  A wait ends when the peer closed, died or broke the ring, in bounded time: spinning looks for
//!         it each millisecond, sleeping each [`LIVENESS_SLICE`]. What a peer published before it closed
//!         or died is still delivered first.
//!
//! The budget is the caller's: the cost of a wake-up differs per machine and is what gets tuned.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU32;

use rtt_units::Nanos;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::Timespec;

use crate::clock::now;
use crate::protocol::{Fault, is_closed, park_unless};
use crate::shared::{Shared, park};

/// Longest single sleep: after it the peer's life is checked, and a wake-up that a dead or hostile peer
/// withheld is made good.
pub const LIVENESS_SLICE: Nanos = Nanos(100_000_000);

/// Shortest time between two looks at the peer's pidfd while spinning: a system call each.
pub(crate) const LIVENESS_SPIN: Nanos = Nanos(1_000_000);
/// Spins between two looks at the clock and the peer's state.
const SPINS_PER_LOOK: u64 = 128;

/// How to wait. Budgets are spans of spinning before the dearer step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitStrategy {
    /// Spins until the end.
    Spin,
    /// Spins for the budget, then gives the CPU away between looks.
    Yield {
        /// Span of spinning first.
        budget: Nanos,
    },
    /// Spins for the budget, then sleeps on a futex until woken.
    Futex {
        /// Span of spinning first; best above the machine's cost of a wake-up.
        budget: Nanos,
    },
}

/// How a wait ended, and what it cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// Why it ended.
    pub outcome: WaitOutcome,
    /// Looks at the peer's cursor while spinning.
    pub spins: u64,
    /// Times that the CPU was given away.
    pub yields: u64,
    /// Times that the thread went to sleep.
    pub sleeps: u64,
}

/// Why a wait ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// A record waits, or there is room.
    Ready,
    /// The deadline passed first.
    TimedOut,
}

/// Why a wait ended for good.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The peer closed its side, and nothing it published is left.
    #[error("the peer closed the ring, expected it to be open: attach to a new ring")]
    Closed,
    /// The peer's process ended, and nothing it published is left.
    #[error("the peer's process ended without closing the ring: start it again with a new ring")]
    PeerGone,
    /// The peer wrote what no honest peer writes, or the ring was revoked.
    #[error("the peer broke the ring")]
    BrokenPeer(#[source] Fault),
    /// The record can never fit.
    #[error("payload is {len} bytes, expected at most {max}: use a ring of larger capacity")]
    TooLarge {
        /// Payload asked for, in bytes.
        len: usize,
        /// Largest payload of this ring, in bytes.
        max: usize,
    },
    /// The kernel refused to sleep or to tell whether the peer lives.
    #[error("waiting in the kernel by {call} failed")]
    Kernel {
        /// The system call.
        call: &'static str,
        /// Its error.
        source: io::Error,
    },
}

/// One wait: whom it is for and what ends it.
pub(crate) struct Wait<'a, R> {
    pub(crate) shared: &'a Shared,
    pub(crate) parked: &'a AtomicU32,
    pub(crate) peer_state: &'a AtomicU32,
    pub(crate) peer: Option<&'a OwnedFd>,
    pub(crate) ready: R,
    pub(crate) deadline: Option<Nanos>,
    /// When the peer's pidfd was last looked at; kept across waits, so that many short ones see its end too.
    pub(crate) looked: &'a mut Nanos,
}

impl<R: FnMut() -> Result<bool, Fault>> Wait<'_, R> {
    pub(crate) fn run(mut self, strategy: WaitStrategy) -> Result<Waited, WaitError> {
        let mut waited = Waited { outcome: WaitOutcome::Ready, spins: 0, yields: 0, sleeps: 0 };
        self.shared.check_epoch().map_err(WaitError::BrokenPeer)?;
        if self.is_ready()? {
            return Ok(waited);
        }
        let started = now();
        loop {
            let time = now();
            if let Some(outcome) = self.look(time)? {
                return Ok(Waited { outcome, ..waited });
            }
            let spent = time.0.saturating_sub(started.0);
            match strategy {
                WaitStrategy::Yield { budget } if spent >= budget.0 => {
                    rustix::thread::sched_yield();
                    waited.yields += 1;
                    if self.is_ready()? {
                        return Ok(waited);
                    }
                }
                WaitStrategy::Futex { budget } if spent >= budget.0 => {
                    if self.sleep(time, &mut waited)? {
                        return Ok(waited);
                    }
                    *self.looked = Nanos(0); // A sleep is long: look at the peer's process right after it.
                }
                _ => {
                    if self.spin(&mut waited)? {
                        return Ok(waited);
                    }
                }
            }
        }
    }

    fn is_ready(&mut self) -> Result<bool, WaitError> {
        (self.ready)().map_err(WaitError::BrokenPeer)
    }

    fn spin(&mut self, waited: &mut Waited) -> Result<bool, WaitError> {
        for _ in 0..SPINS_PER_LOOK {
            waited.spins += 1;
            if self.is_ready()? {
                return Ok(true);
            }
            std::hint::spin_loop();
        }
        Ok(false)
    }

    /// Sleeps once; says whether readiness was seen on the way.
    fn sleep(&mut self, time: Nanos, waited: &mut Waited) -> Result<bool, WaitError> {
        let left = self.deadline.map_or(LIVENESS_SLICE.0, |deadline| deadline.0.saturating_sub(time.0));
        let slice = Nanos(left.min(LIVENESS_SLICE.0));
        let (shared, peer_state, ready) = (self.shared, self.peer_state, &mut self.ready);
        // The look after the announcement must cover everything that wakes: data, closing, revocation.
        let look_again = || {
            shared.check_epoch().map_err(WaitError::BrokenPeer)?;
            Ok(ready().map_err(WaitError::BrokenPeer)? || is_closed(peer_state))
        };
        let sleep = |word: &AtomicU32| {
            waited.sleeps += 1;
            park(word, slice).map_err(|source| WaitError::Kernel { call: "futex", source })
        };
        park_unless(shared, self.parked, look_again, sleep)?;
        self.is_ready()
    }

    /// Everything but readiness, in the order that lets published records win (RING-7).
    fn look(&mut self, time: Nanos) -> Result<Option<WaitOutcome>, WaitError> {
        self.shared.check_epoch().map_err(WaitError::BrokenPeer)?;
        if is_closed(self.peer_state) {
            // The peer's last store before closing is visible now, so this look is final.
            return if self.is_ready()? { Ok(Some(WaitOutcome::Ready)) } else { Err(WaitError::Closed) };
        }
        let due = time.0.saturating_sub(self.looked.0) >= LIVENESS_SPIN.0;
        if let Some(peer) = self.peer.filter(|_| due) {
            *self.looked = time;
            if has_ended(peer)? {
                return if self.is_ready()? { Ok(Some(WaitOutcome::Ready)) } else { Err(WaitError::PeerGone) };
            }
        }
        if self.deadline.is_some_and(|deadline| time >= deadline) {
            let outcome = if self.is_ready()? { WaitOutcome::Ready } else { WaitOutcome::TimedOut };
            return Ok(Some(outcome));
        }
        Ok(None)
    }
}

/// A pidfd becomes readable when its process has ended.
pub(crate) fn has_ended(peer: &OwnedFd) -> Result<bool, WaitError> {
    let mut fds = [PollFd::new(peer, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut fds, Some(&at_once)) {
        Ok(_) => Ok(!fds[0].revents().is_empty()),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(WaitError::Kernel { call: "poll", source: error.into() }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::layout::{ATTACHED, CLOSED};
    use crate::protocol::Control;
    use crate::segment::{RingCapacity, RingConfig, Segment};
    use crate::shared::Side;

    /// RING-7: the peer publishes its last record and closes, or dies, right after a look that found nothing.
    #[test]
    fn a_record_published_just_before_the_end_is_still_delivered() {
        for strategy in [WaitStrategy::Spin, WaitStrategy::Futex { budget: Nanos(0) }] {
            let config = RingConfig { capacity: RingCapacity::MIN, pages: crate::Pages::Small, epoch: 1 };
            let segment = Segment::create(&config).expect("a segment");
            let fds = segment.consumer_fds().expect("descriptors");
            let ring = crate::attach::check(&fds, Side::Consumer).expect("a sound ring");
            let (shared, _, _) = ring.take().expect("a free side");
            let peer_state = AtomicU32::new(ATTACHED);
            let mut looks = 0;
            let ready = || {
                looks += 1;
                peer_state.store(CLOSED, Ordering::Release);
                Ok(looks > 1)
            };
            let (parked, looked) = (shared.consumer_parked(), &mut Nanos(0));
            let wait =
                Wait { shared: &shared, parked, peer_state: &peer_state, peer: None, ready, deadline: None, looked };
            let waited = wait.run(strategy).map(|waited| waited.outcome);
            assert!(matches!(waited, Ok(WaitOutcome::Ready)), "{strategy:?}: {waited:?}");
        }
    }
}
