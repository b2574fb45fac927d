//! The load generator: sends what is due when it is due, and says how late it was and why.
//!
//! One thread drives all senders of a run, each on a ring of its own. It paces itself by spinning, or by giving the
//! CPU away where it shares its only CPU with the endpoint: a timer would wake it later than most messages take.
//!
//! LAB-3  Latency counts from the intended send time. Lateness that the endpoint caused is latency and carries over
//!        to the messages behind it: b(i) = min(attempt(i) - intended(i), b(i-1) + blocked(i-1)), where blocked is the
//!        time in which a full ring, waking the endpoint, or the endpoint on the one CPU that both share, kept the
//!        generator from sending; of a shared CPU no more than the endpoint, and the faults that strike it there, used
//!        of it by the kernel's account.
//!        The rest is the generator's own lag: the second stamp, attempt(i) - b(i), leaves it out.
//! LAB-7  A run whose messages go out later than it is long ends there: overloaded where the endpoint caused that, behind
//!        where the generator did.

use crate::arrivals::{Arrivals, Due};
use rtt_host::CpuClock;
use rtt_ring::{Consumer, Producer, ReserveError, WaitError, WaitOutcome, WaitStrategy, now};
use rtt_runtime::Stamp;
use rtt_runtime::telemetry::SlicedHistogram;
use rtt_units::Nanos;

/// How long an endpoint may take nothing before the run is given up.
const PATIENCE: Nanos = Nanos(5_000_000_000);

/// What one generator did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Messages published.
    pub messages: u64,
    /// Times that a full ring made it wait.
    pub blocked: u64,
}

/// Why a generator stopped early.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The endpoint takes nothing any more.
    #[error("the endpoint took nothing for {PATIENCE}")]
    Stuck,
    /// The endpoint cannot keep up: a message went out later than the whole run is long.
    #[error("overloaded: the endpoint took {messages} of the messages due in {}, and the next is late by {late}", after.since(*late))]
    Overloaded {
        /// Messages sent until then.
        messages: u64,
        /// When that was, from the first message on.
        after: Nanos,
        /// How late the next message was.
        late: Nanos,
    },
    /// The same, but it was mostly the generator that was late.
    #[error("the generator fell behind its schedule: {messages} messages went out of those due in {}, and the next is late by {late}", after.since(*late))]
    Behind {
        /// Messages sent until then.
        messages: u64,
        /// When that was, from the first message on.
        after: Nanos,
        /// How late the next message was.
        late: Nanos,
    },
    /// The endpoint is gone or broke the ring.
    #[error("after {messages} messages: {reason}")]
    Endpoint {
        /// Messages sent until then.
        messages: u64,
        /// What the ring says.
        reason: String,
    },
}

/// How a generator passes the time until the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Spin.
    Spin,
    /// Give the CPU away: the endpoint is on the same one.
    Yield,
}

impl Pace {
    /// Passes the time until `intended`; the time when that was over.
    #[inline]
    fn pass_until(self, intended: Nanos) -> Nanos {
        loop {
            let time = now();
            if time >= intended {
                return time;
            }
            match self {
                Pace::Spin => std::hint::spin_loop(),
                Pace::Yield => rustix::thread::sched_yield(),
            }
        }
    }

    /// Makes other processes less likely to take the generator's CPU; where it shares that CPU with the endpoint it must
    /// not win over it. Needs a privilege: without it, a busy host voids more trials.
    fn claim_cpu(self) {
        if self == Pace::Spin {
            let _ = rustix::process::setpriority_process(None, -19);
        }
    }
}

/// What the endpoint and its faults use of the one CPU that all share; nothing where generator and endpoint have one each.
#[derive(Debug)]
struct SharedCpu<'a> {
    clocks: &'a [CpuClock],
    used: Nanos,
}

impl SharedCpu<'_> {
    fn new(clocks: &[CpuClock]) -> SharedCpu<'_> {
        let mut shared = SharedCpu { clocks, used: Nanos(0) };
        shared.used_since();
        shared
    }

    /// Their CPU time since the last call; a process that is gone adds none, which the ring or its missing proof tells.
    fn used_since(&mut self) -> Nanos {
        let used = self.clocks.iter().filter_map(|clock| clock.read().ok());
        let used = used.fold(Nanos(0), Nanos::saturating_add);
        let since = used.since(self.used);
        self.used = used;
        since
    }

    /// LAB-3: for how long they kept the CPU that was given away, of the `late` that they are to account for. What others
    /// had of it, or a pause of the generator itself, is its own lag.
    fn kept(&mut self, late: Nanos) -> Nanos {
        if self.clocks.is_empty() { Nanos(0) } else { self.used_since().min(late) }
    }

    /// LAB-3: for how long waking the endpoint kept the generator, of the `spent` on it: all where each has its own CPU.
    fn woke(&mut self, spent: Nanos) -> Nanos {
        if self.clocks.is_empty() { spent } else { self.used_since().min(spent) }
    }
}

/// What a generator needs of a run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// When the first message is due.
    pub start: Nanos,
    /// How long messages are due.
    pub length: Nanos,
    /// Most messages published at once: the producer's batch.
    pub batch: u32,
    /// What to do while a ring is full: the producer's wait.
    pub wait: WaitStrategy,
    /// What to do until the next message is due.
    pub pace: Pace,
}

/// What every message carries behind its stamp: a message that is not written whole would move one cache line, whatever
/// its size.
static PAYLOAD: [u8; 8 << 10] = [0x5a; 8 << 10];

/// Sends what `arrivals` hold until the run's end, then closes the rings. `shared_cpu` has the CPU clocks of the endpoint
/// and of the faults beside it where they share the generator's one CPU, and is empty elsewhere.
///
/// # Errors
/// [`GenerateError`] when the endpoint stops taking messages.
pub fn open_loop(
    run: Run,
    shared_cpu: &[CpuClock],
    mut arrivals: Arrivals,
    mut rings: Vec<Producer>,
) -> Result<Sent, GenerateError> {
    let mut sent = Sent::default();
    let mut sequence = vec![0_u64; rings.len()];
    let mut excuse = Excuse::default();
    let mut shared_cpu = SharedCpu::new(shared_cpu);
    run.pace.claim_cpu();
    let flood = arrivals.flood();
    let end = run.start.saturating_add(run.length);
    let mut due = arrivals.next_due();
    // A flood is due at once for ever, so only the clock ends it.
    while due.at < run.length && !(flood && now() >= end) {
        let wanted = run.start.saturating_add(due.at);
        let mut time = run.pace.pass_until(wanted);
        let late = time.since(wanted);
        excuse.blocked = excuse.blocked.saturating_add(shared_cpu.kept(late));
        let mut staged = 0;
        // Whatever else has become due goes out with it, up to a batch. The clock is read again only where the last
        // reading does not show a message to be due, so that a generator that is behind catches up fast.
        while staged < run.batch && due.at < run.length {
            let intended = run.start.saturating_add(due.at);
            if time < intended {
                time = now();
                if time < intended {
                    break;
                }
            }
            let stamp = Stamp {
                intended: if flood { time } else { intended },
                excused: excuse.start(intended, time),
                sequence: sequence[due.ring as usize],
            };
            let blocked = send(&mut rings, due, stamp, run.wait, &mut sent)?;
            if blocked > Nanos(0) {
                excuse.blocked = excuse.blocked.saturating_add(blocked);
                time = now();
            }
            sequence[due.ring as usize] += 1;
            staged += 1;
            due = arrivals.next_due();
        }
        // LAB-7: everything behind it would be later still: a run at a hundred times what the endpoint takes would last a hundred
        // times as long.
        if late > run.length && !flood {
            let (messages, after) = (sent.messages, time.since(run.start));
            return Err(match excuse.carried > Nanos(late.0 / 2) {
                true => GenerateError::Overloaded { messages, after, late },
                false => GenerateError::Behind { messages, after, late },
            });
        }
        let before = now();
        let woke = rings.iter_mut().fold(false, |woke, ring| ring.publish() | woke);
        if woke {
            // On a shared CPU the one that was woken may run at once, and so may anybody else.
            excuse.blocked = excuse.blocked.saturating_add(shared_cpu.woke(now().since(before)));
        }
    }
    Ok(sent)
}

/// LAB-3: what the endpoint excuses.
#[derive(Clone, Copy, Debug, Default)]
struct Excuse {
    /// b(i-1)
    carried: Nanos,
    /// blocked(i-1)
    blocked: Nanos,
}

impl Excuse {
    /// attempt(i) - b(i), and moves on to i.
    #[inline]
    fn start(&mut self, intended: Nanos, attempt: Nanos) -> Nanos {
        self.carried = attempt.since(intended).min(self.carried.saturating_add(self.blocked));
        self.blocked = Nanos(0);
        attempt.since(self.carried)
    }
}

/// Stages one message in its ring, waiting for room; how long that took.
#[inline]
fn send(
    rings: &mut [Producer],
    due: Due,
    stamp: Stamp,
    wait: WaitStrategy,
    sent: &mut Sent,
) -> Result<Nanos, GenerateError> {
    let mut blocked = Nanos(0);
    let at = due.ring as usize;
    loop {
        match rings[at].reserve(due.bytes as usize) {
            Ok(mut grant) => {
                grant.copy_from_slice(&PAYLOAD[..due.bytes as usize]);
                stamp.write(&mut grant);
                grant.commit();
                sent.messages += 1;
                return Ok(blocked);
            }
            Err(ReserveError::Full { .. }) => {
                let began = now();
                sent.blocked += 1;
                // What is staged for other rings must not wait for this one.
                rings.iter_mut().for_each(|ring| _ = ring.publish());
                let waited = rings[at].wait_space(due.bytes as usize, wait, Some(began.saturating_add(PATIENCE)));
                match waited {
                    Ok(waited) if waited.outcome == WaitOutcome::Ready => {}
                    Ok(_) => return Err(GenerateError::Stuck),
                    Err(error) => return Err(lost(sent.messages, &error)),
                }
                blocked = blocked.saturating_add(now().since(began));
            }
            Err(error) => return Err(lost(sent.messages, &error)),
        }
    }
}

fn lost(messages: u64, error: &dyn std::error::Error) -> GenerateError {
    GenerateError::Endpoint { messages, reason: rtt_seal::in_full(error) }
}

/// Sends one message at a time and waits for its reply until the run's end; the round trips, timed here.
///
/// # Errors
/// [`GenerateError`] when a reply does not come.
pub fn closed_loop(
    run: Run,
    mut arrivals: Arrivals,
    mut ring: Producer,
    mut replies: Consumer,
) -> Result<(Sent, SlicedHistogram), GenerateError> {
    let mut sent = Sent::default();
    let mut round_trips = SlicedHistogram::new(run.start, run.length);
    let mut buffer = [0_u8; 8 << 10];
    run.pace.claim_cpu();
    run.pace.pass_until(run.start);
    loop {
        let began = now();
        if began.since(run.start) >= run.length {
            return Ok((sent, round_trips));
        }
        let due = arrivals.next_due();
        let stamp = Stamp { intended: began, excused: began, sequence: sent.messages };
        send(std::slice::from_mut(&mut ring), due, stamp, run.wait, &mut sent)?;
        ring.publish();
        loop {
            match replies.read(&mut buffer) {
                Ok(Some(_)) => break,
                Ok(None) => {}
                Err(error) => return Err(lost(sent.messages, &error)),
            }
            match replies.wait(run.wait, Some(began.saturating_add(PATIENCE))) {
                Ok(waited) if waited.outcome == WaitOutcome::TimedOut => return Err(GenerateError::Stuck),
                Ok(_) => {}
                Err(WaitError::Closed) => return Err(lost(sent.messages, &WaitError::Closed)),
                Err(error) => return Err(lost(sent.messages, &error)),
            }
        }
        replies.release();
        round_trips.record(began, now().since(began));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: intended, attempt, blocked while sending; the excused stamp expected.
    fn check(rows: &[(u64, u64, u64, u64)]) {
        let mut excuse = Excuse::default();
        for &(intended, attempt, blocked, excused) in rows {
            assert_eq!(excuse.start(Nanos(intended), Nanos(attempt)), Nanos(excused), "intended {intended}");
            excuse.blocked = Nanos(blocked);
        }
    }

    /// LAB-3: the message behind a full ring is late because of it, and so is each one until the lateness is made up.
    #[test]
    fn lateness_behind_a_full_ring_is_latency() {
        check(&[(100, 100, 50, 100), (110, 150, 0, 110), (120, 151, 0, 120), (160, 160, 0, 160), (170, 175, 0, 175)]);
    }

    /// LAB-3: a generator that overslept while the ring was never full excuses nothing.
    #[test]
    fn lateness_of_the_generator_itself_is_lag() {
        check(&[(100, 100, 0, 100), (110, 5000, 0, 5000), (120, 5001, 0, 5001)]);
    }

    /// LAB-3: only the part that blocking explains is excused.
    #[test]
    fn lag_behind_a_block_is_told_apart() {
        check(&[(100, 100, 30, 100), (110, 200, 0, 170), (120, 205, 0, 175), (300, 300, 0, 300)]);
    }
}
