//! What it costs to wake a sleeper on another CPU: the price of blocking, and so the measure of a spin budget.
//!
//! A thread on one CPU sleeps on a futex; one on the other CPU notes the time, stores, and wakes it; the sleeper notes
//! the time when it runs. Only rounds in which the kernel says that it woke a sleeper count.

use crate::pin::{PinError, pin_thread};
use rtt_units::{CpuId, CpuSet, Nanos};
use rustix::{
    event::Timespec,
    io::Errno,
    thread::futex::{self, Flags},
};
use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Rounds that count.
const ROUNDS: usize = 64;
/// How long the sleeper is left asleep, so that its CPU has gone idle as it does between messages.
const ASLEEP: Duration = Duration::from_micros(200);
/// When the measurement gives up.
const DEADLINE: Duration = Duration::from_secs(2);
/// Sleep of one futex call: the bound within which an abandoned sleeper sees that it is.
const SLICE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Why the cost is not known.
#[derive(Debug, thiserror::Error)]
pub enum WakeError {
    /// A thread could not be bound.
    #[error("wake cost from CPU {waker} to CPU {sleeper}: a thread is not bound")]
    Pin {
        /// The waker's CPU.
        waker: CpuId,
        /// The sleeper's CPU.
        sleeper: CpuId,
        /// The cause.
        source: PinError,
    },
    /// Too few rounds in time.
    #[error(
        "wake cost from CPU {waker} to CPU {sleeper}: {done} of {ROUNDS} rounds in {deadline}; expected an idle CPU"
    )]
    Busy {
        /// The waker's CPU.
        waker: CpuId,
        /// The sleeper's CPU.
        sleeper: CpuId,
        /// Rounds done.
        done: usize,
        /// When the measurement gave up.
        deadline: Nanos,
    },
    /// A thread could not be started.
    #[error("wake cost from CPU {waker} to CPU {sleeper}: no thread; expected room for two more")]
    Thread {
        /// The waker's CPU.
        waker: CpuId,
        /// The sleeper's CPU.
        sleeper: CpuId,
    },
}

#[derive(Debug, Default)]
struct Bed {
    /// Rounds begun by the waker; the futex word.
    begun: AtomicU32,
    /// Rounds that the sleeper has seen.
    seen: AtomicU32,
    /// When the sleeper last ran, in nanoseconds after `epoch`.
    ran_at: AtomicU64,
    /// Set by the waker when it has finished.
    stop: AtomicBool,
    /// Set by the sleeper when it has finished, or never slept.
    gone: AtomicBool,
}

/// Median time from the waker's store on CPU `waker` until the sleeper runs on CPU `sleeper`, which may be the same.
///
/// # Errors
/// [`WakeError::Busy`] where a CPU is kept from the threads for two seconds.
pub fn wake_cost(waker: CpuId, sleeper: CpuId) -> Result<Nanos, WakeError> {
    let bed = Bed::default();
    let epoch = Instant::now();
    let not_bound = |source| WakeError::Pin { waker, sleeper, source };
    let no_thread = |_| WakeError::Thread { waker, sleeper };
    std::thread::scope(|scope| {
        let named = |name: &str| std::thread::Builder::new().name(name.into());
        let asleep = named("rtt-sleeper").spawn_scoped(scope, || {
            let pinned = pin_thread(&CpuSet::from_iter([sleeper]));
            if pinned.is_ok() {
                sleep(&bed, epoch);
            }
            bed.gone.store(true, Ordering::Release);
            pinned.map(|_| ())
        });
        let asleep = asleep.map_err(no_thread)?;
        let awake = named("rtt-waker").spawn_scoped(scope, || {
            let costs = pin_thread(&CpuSet::from_iter([waker])).map(|_| wake(&bed, epoch));
            bed.stop.store(true, Ordering::Release);
            costs
        });
        let awake = awake.inspect_err(|_| bed.stop.store(true, Ordering::Release)).map_err(no_thread)?;
        let costs = awake.join();
        let slept = asleep.join();
        let gone = |_| WakeError::Thread { waker, sleeper };
        slept.map_err(gone)?.map_err(not_bound)?;
        let mut costs = costs.map_err(gone)?.map_err(not_bound)?;
        if costs.len() < ROUNDS {
            let deadline = Nanos(DEADLINE.as_nanos() as u64);
            return Err(WakeError::Busy { waker, sleeper, done: costs.len(), deadline });
        }
        costs.sort_unstable();
        Ok(Nanos(costs[costs.len() / 2]))
    })
}

/// Wakes the sleeper until enough rounds count, the deadline passes or the sleeper is gone.
fn wake(bed: &Bed, epoch: Instant) -> Vec<u64> {
    let mut costs = Vec::with_capacity(ROUNDS);
    let over = || epoch.elapsed() > DEADLINE || bed.gone.load(Ordering::Acquire);
    while costs.len() < ROUNDS && !over() {
        std::thread::sleep(ASLEEP);
        let round = bed.begun.load(Ordering::Relaxed) + 1;
        let start = epoch.elapsed().as_nanos() as u64;
        // Release pairs with the sleeper's Acquire of `begun`.
        bed.begun.store(round, Ordering::Release);
        let woken = futex::wake(&bed.begun, Flags::PRIVATE, 1).unwrap_or(0);
        // Acquire pairs with the sleeper's Release of `seen`: `ran_at` is that of this round.
        while bed.seen.load(Ordering::Acquire) != round {
            if over() {
                return costs;
            }
            std::thread::yield_now(); // The sleeper may be on this very CPU.
        }
        let ran_at = bed.ran_at.load(Ordering::Relaxed);
        if woken == 1 {
            costs.push(ran_at.saturating_sub(start));
        }
    }
    costs
}

/// Sleeps until the next round begins, again and again, until told to stop.
fn sleep(bed: &Bed, epoch: Instant) {
    let mut seen = 0;
    while !bed.stop.load(Ordering::Acquire) {
        let answer = futex::wait(&bed.begun, Flags::PRIVATE, seen, Some(&SLICE));
        let begun = bed.begun.load(Ordering::Acquire);
        if begun != seen {
            bed.ran_at.store(epoch.elapsed().as_nanos() as u64, Ordering::Relaxed);
            bed.seen.store(begun, Ordering::Release);
            seen = begun;
        } else if !matches!(answer, Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT)) {
            return; // A kernel without futexes: the waker sees that the sleeper is gone.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pin::allowed_cpus;
    use std::io::{self, Write};

    #[test]
    fn a_wake_takes_time_on_one_cpu_and_across_two() {
        let cpus: Vec<CpuId> = allowed_cpus().iter().collect();
        let (first, last) = (cpus[0], cpus[cpus.len() - 1]);
        for (waker, sleeper) in [(first, first), (first, last)] {
            match wake_cost(waker, sleeper) {
                Ok(cost) => assert!(cost > Nanos(0)),
                Err(error @ WakeError::Busy { .. }) => {
                    writeln!(io::stderr(), "skipped: {error}; run on an idle host").expect("stderr")
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn a_cpu_that_is_not_there_is_an_error() {
        let (here, nowhere) = (allowed_cpus().iter().next().expect("a CPU"), CpuId(1023));
        for (waker, sleeper) in [(here, nowhere), (nowhere, here)] {
            let error = wake_cost(waker, sleeper).expect_err("no such CPU");
            assert!(matches!(error, WakeError::Pin { .. }), "{error}");
        }
    }
}
