//! Waiting for the first of several rings: fan-in without a thread for each producer.
//!
//! RING-10  A wait for any of several rings ends for a record in any of them, and only when every ring has ended does
//!          it end for good: one producer that died does not stop the others.
//!
//! The sleep is `futex_waitv`, at most [`WAITV_MAX`] words: with more rings the wait yields instead of sleeping.

use crate::clock::now;
use crate::consumer::Consumer;
use crate::layout::PARKED;
use crate::protocol::Control;
use crate::wait::{LIVENESS_SLICE, WaitError, WaitOutcome, WaitStrategy, Waited};
use rtt_units::Nanos;
use rustix::io::Errno;
use rustix::thread::futex;
use rustix::time::{ClockId, Timespec};
use std::sync::atomic::Ordering;

/// Looks at the rings between two looks at the clock and the producers' lives, shared out over the rings.
const SPINS_PER_LOOK: u64 = 128;
/// Words that the kernel waits for at once (`FUTEX_WAITV_MAX`).
const WAITV_MAX: usize = 128;

/// Waits until one of `consumers` has a record, all their producers are gone, or `deadline` (an instant of
/// [`now`]) has passed. Releases what was read first. One ring is best waited for by [`Consumer::wait`].
///
/// # Errors
/// [`WaitError::Closed`] when every ring has ended and is empty; [`WaitError::BrokenPeer`] when a producer broke its
/// ring; [`WaitError::Kernel`] where the kernel is older than 5.16, which cannot sleep on several words.
pub fn wait_any(
    consumers: &mut [Consumer],
    strategy: WaitStrategy,
    deadline: Option<Nanos>,
) -> Result<Waited, WaitError> {
    let mut waited = Waited { outcome: WaitOutcome::Ready, spins: 0, yields: 0, sleeps: 0 };
    for consumer in &mut *consumers {
        consumer.release();
    }
    if any_ready(consumers)? {
        return Ok(waited);
    }
    let started = now();
    loop {
        let time = now();
        if let Some(outcome) = look(consumers, time, deadline)? {
            return Ok(Waited { outcome, ..waited });
        }
        let spent = time.since(started);
        let ready = match strategy {
            WaitStrategy::Yield { budget } if spent >= budget => {
                rustix::thread::sched_yield();
                waited.yields += 1;
                any_ready(consumers)?
            }
            WaitStrategy::Futex { budget } if spent >= budget && consumers.len() > WAITV_MAX => {
                rustix::thread::sched_yield();
                waited.yields += 1;
                any_ready(consumers)?
            }
            WaitStrategy::Futex { budget } if spent >= budget => sleep(consumers, time, deadline, &mut waited)?,
            _ => spin(consumers, &mut waited)?,
        };
        if ready {
            return Ok(waited);
        }
    }
}

fn any_ready(consumers: &mut [Consumer]) -> Result<bool, WaitError> {
    for consumer in consumers {
        if consumer.is_ready()? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn spin(consumers: &mut [Consumer], waited: &mut Waited) -> Result<bool, WaitError> {
    for _ in 0..SPINS_PER_LOOK.div_ceil(consumers.len().max(1) as u64) {
        waited.spins += 1;
        if any_ready(consumers)? {
            return Ok(true);
        }
        std::hint::spin_loop();
    }
    Ok(false)
}

/// RING-10: everything but readiness; published records win over a producer's end.
fn look(consumers: &mut [Consumer], time: Nanos, deadline: Option<Nanos>) -> Result<Option<WaitOutcome>, WaitError> {
    let mut ended = 0;
    for consumer in &mut *consumers {
        ended += usize::from(consumer.has_ended(time)?);
    }
    if ended == consumers.len() {
        if any_ready(consumers)? {
            return Ok(Some(WaitOutcome::Ready));
        }
        // One that died has closed nothing: an end is in peace only where all closed.
        let closed = consumers.iter().all(Consumer::peer_closed);
        return Err(if closed { WaitError::Closed } else { WaitError::PeerGone });
    }
    if deadline.is_some_and(|deadline| time >= deadline) {
        return Ok(Some(if any_ready(consumers)? { WaitOutcome::Ready } else { WaitOutcome::TimedOut }));
    }
    Ok(None)
}

/// Sleeps once on the parked words of all rings; the handshake is `park_unless`'s, over several words.
fn sleep(
    consumers: &mut [Consumer],
    time: Nanos,
    deadline: Option<Nanos>,
    waited: &mut Waited,
) -> Result<bool, WaitError> {
    for consumer in &*consumers {
        consumer.shared().consumer_parked().store(PARKED, Ordering::Relaxed);
    }
    if let Some(first) = consumers.first() {
        first.shared().sleeper_fence(); // One fence orders all the stores before all the looks (RING-4).
    }
    let outcome = look_again_and_sleep(consumers, time, deadline, waited);
    for consumer in &*consumers {
        consumer.shared().consumer_parked().store(0, Ordering::Relaxed);
    }
    outcome
}

/// The look after the announcement covers everything that wakes: data, closing, revocation.
fn look_again_and_sleep(
    consumers: &mut [Consumer],
    time: Nanos,
    deadline: Option<Nanos>,
    waited: &mut Waited,
) -> Result<bool, WaitError> {
    for consumer in &*consumers {
        consumer.shared().check_epoch().map_err(WaitError::BrokenPeer)?;
    }
    // A ring that closed before the announcement wakes nobody, so it is not slept on; one that closes after it does.
    // Closing is looked at before data, so that the last records of a closed ring are seen.
    let open: Vec<futex::Wait> = consumers.iter().filter(|ring| !ring.peer_closed()).map(parked_wait).collect();
    if any_ready(consumers)? {
        return Ok(true);
    }
    if open.is_empty() {
        return Ok(false);
    }
    let left = deadline.map_or(LIVENESS_SLICE, |deadline| deadline.since(time));
    waited.sleeps += 1;
    sleep_on(&open, time.saturating_add(left.min(LIVENESS_SLICE)))?;
    any_ready(consumers)
}

fn parked_wait(consumer: &Consumer) -> futex::Wait {
    let mut wait = futex::Wait::new();
    wait.val = u64::from(PARKED);
    wait.uaddr = futex::WaitPtr::new(consumer.shared().consumer_parked().as_ptr().cast());
    wait.flags = futex::WaitFlags::SIZE_U32;
    wait
}

fn sleep_on(waits: &[futex::Wait], until: Nanos) -> Result<(), WaitError> {
    let timeout = Timespec { tv_sec: (until.0 / 1_000_000_000) as i64, tv_nsec: (until.0 % 1_000_000_000) as _ };
    match futex::waitv(waits, futex::WaitvFlags::empty(), Some(&timeout), ClockId::Monotonic) {
        Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => Ok(()),
        Err(error) => Err(WaitError::Kernel { call: "futex_waitv", source: error.into() }),
    }
}
