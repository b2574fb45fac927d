//! The message loop: reads batches from its rings, handles each message, gives the room back, replies where asked.
//!
//! `batch` bounds what is read from a ring before its room is given back and its replies are published. With a batch
//! window, a loop that finds less than a batch (see `has_batch`) holds it for the window before it handles
//! it, waiting in its own way: it spins and yields until there is a batch, or naps for all of it without asking to be woken.
//!
//! ENDPOINT-3  Every message that a sender published before it closed, or died, is handled once and in order.
//! ENDPOINT-4  What a sender gets wrong (a broken ring, a short message) ends the loop or is counted; it never panics.

use crate::message::Stamp;
use crate::telemetry::SlicedHistogram;
use rtt_profile::{Knobs, Wait};
use rtt_ring::{Consumer, Producer, ReadError, ReserveError, WaitError, WaitOutcome, WaitStrategy, now, wait_any};
use rtt_seal::in_full;
use rtt_units::Nanos;
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;

/// Largest message that is read, in bytes.
const MESSAGE_MAX: usize = 8 << 10;

/// Longest wait without a look at the loop's own state.
const WAIT_SLICE: Nanos = Nanos(1_000_000_000);

/// What the loop counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoopCounts {
    /// Messages handled.
    pub handled: u64,
    /// Messages of fewer bytes than a head.
    pub malformed: u64,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// Batches: times that room was given back.
    pub batches: u64,
    /// Times that the batch window was waited for.
    pub windows: u64,
    /// Looks at the rings while spinning.
    pub spins: u64,
    /// Times that the CPU was given away.
    pub yields: u64,
    /// Times that the loop slept.
    pub sleeps: u64,
    /// Times that a sleeping peer was woken.
    pub wakes: u64,
    /// Most bytes seen in a ring.
    pub depth_bytes_max: u64,
}

impl LoopCounts {
    /// The counts by name, for records.
    pub fn by_name(&self) -> [(&'static str, u64); 10] {
        [
            ("handled", self.handled),
            ("malformed", self.malformed),
            ("lost", self.lost),
            ("batches", self.batches),
            ("windows", self.windows),
            ("spins", self.spins),
            ("yields", self.yields),
            ("sleeps", self.sleeps),
            ("wakes", self.wakes),
            ("depth_bytes_max", self.depth_bytes_max),
        ]
    }
}

/// Why a loop ended.
#[derive(Debug)]
pub enum LoopEnd {
    /// Every sender closed its ring, and everything was handled.
    Closed,
    /// A sender died; what it had published was handled.
    PeerGone,
    /// A sender broke its ring, or the kernel refused to wait.
    Failed(String),
}

/// What a loop leaves.
#[derive(Debug)]
pub struct LoopReport {
    /// Why it ended.
    pub end: LoopEnd,
    /// What it counted.
    pub counts: LoopCounts,
    /// Latencies from the intended send time.
    pub latencies: SlicedHistogram,
    /// Latencies from the excused send time.
    pub lag_free: SlicedHistogram,
    /// When the last message was handled.
    pub last_handled: Nanos,
    /// CPU time of the thread.
    pub cpu: Nanos,
    /// Elapsed time.
    pub wall: Nanos,
}

impl LoopReport {
    /// The report of a loop that never ran.
    pub fn empty(end: LoopEnd) -> LoopReport {
        LoopReport {
            end,
            counts: LoopCounts::default(),
            latencies: SlicedHistogram::new(Nanos(0), Nanos(0)),
            lag_free: SlicedHistogram::new(Nanos(0), Nanos(0)),
            last_handled: Nanos(0),
            cpu: Nanos(0),
            wall: Nanos(0),
        }
    }
}

/// The ring's strategy for these knobs.
pub fn wait_strategy(knobs: &Knobs) -> WaitStrategy {
    let budget = Nanos::from_micros(u64::from(knobs.spin_us));
    match knobs.wait {
        Wait::Spin => WaitStrategy::Spin,
        Wait::Yield => WaitStrategy::Yield { budget },
        Wait::Futex => WaitStrategy::Futex { budget },
    }
}

/// A loop over its rings.
#[derive(Debug)]
pub struct MessageLoop {
    consumers: Vec<Consumer>,
    /// One for each consumer where messages are sent back, else none.
    replies: Vec<Producer>,
    next_sequence: Vec<u64>,
    batch: u32,
    window: Nanos,
    wait: WaitStrategy,
    counts: LoopCounts,
    latencies: SlicedHistogram,
    lag_free: SlicedHistogram,
    last_handled: Nanos,
    delay: Nanos,
    buffer: Box<[u8; MESSAGE_MAX]>,
}

impl MessageLoop {
    /// A loop over `consumers`, with `replies` of equal number or none.
    pub fn new(consumers: Vec<Consumer>, replies: Vec<Producer>, knobs: &Knobs) -> MessageLoop {
        assert!(replies.is_empty() || replies.len() == consumers.len(), "a ring of replies for each ring, or none");
        MessageLoop {
            next_sequence: vec![0; consumers.len()],
            consumers,
            replies,
            batch: knobs.batch,
            window: Nanos::from_micros(u64::from(knobs.window_us)),
            wait: wait_strategy(knobs),
            counts: LoopCounts::default(),
            latencies: SlicedHistogram::new(Nanos(0), Nanos(0)),
            lag_free: SlicedHistogram::new(Nanos(0), Nanos(0)),
            last_handled: Nanos(0),
            delay: Nanos(0),
            buffer: Box::new([0; MESSAGE_MAX]),
        }
    }

    /// The same loop, but it handles every message `delay` later: a slowdown of known size.
    pub fn delayed_by(self, delay: Nanos) -> MessageLoop {
        MessageLoop { delay, ..self }
    }

    /// The knobs that it runs by, from its own fields; what is no matter of the loop is the default's.
    pub fn settings(&self) -> Knobs {
        let (wait, budget) = match self.wait {
            WaitStrategy::Spin => (Wait::Spin, Nanos(0)),
            WaitStrategy::Yield { budget } => (Wait::Yield, budget),
            WaitStrategy::Futex { budget } => (Wait::Futex, budget),
        };
        let micros = |span: Nanos| (span.0 / 1_000) as u32;
        Knobs {
            batch: self.batch,
            window_us: micros(self.window),
            wait,
            spin_us: micros(budget),
            ..Knobs::default_for(Nanos(0))
        }
    }

    /// Runs until every sender has closed or died, or one broke its ring; the first message is due at `start`, the last
    /// by `length` after it.
    pub fn run(mut self, start: Nanos, length: Nanos) -> LoopReport {
        (self.latencies, self.lag_free) = (SlicedHistogram::new(start, length), SlicedHistogram::new(start, length));
        let (started, cpu_before) = (now(), thread_cpu());
        let end = self.turn();
        let cpu = thread_cpu().since(cpu_before);
        LoopReport {
            end,
            counts: self.counts,
            latencies: self.latencies,
            lag_free: self.lag_free,
            last_handled: self.last_handled,
            cpu,
            wall: now().since(started),
        }
    }

    fn turn(&mut self) -> LoopEnd {
        loop {
            if let Some(end) = self.wait_for_messages() {
                return end;
            }
            self.hold_for_window();
            loop {
                let mut full_batch = false;
                for ring in 0..self.consumers.len() {
                    match self.handle_batch(ring) {
                        Ok(handled) => full_batch |= handled == self.batch,
                        Err(reason) => return LoopEnd::Failed(reason),
                    }
                }
                if !full_batch {
                    break;
                }
            }
        }
    }

    /// Waits for the first message; `Some` when there will be none.
    fn wait_for_messages(&mut self) -> Option<LoopEnd> {
        loop {
            let deadline = Some(now().saturating_add(WAIT_SLICE));
            let waited = match self.consumers.as_mut_slice() {
                [one] => one.wait(self.wait, deadline),
                several => wait_any(several, self.wait, deadline),
            };
            match waited {
                Ok(waited) => {
                    self.counts.spins += waited.spins;
                    self.counts.yields += waited.yields;
                    self.counts.sleeps += waited.sleeps;
                    if waited.outcome == WaitOutcome::Ready {
                        return None;
                    }
                }
                Err(WaitError::Closed) => return Some(LoopEnd::Closed),
                Err(WaitError::PeerGone) => return Some(LoopEnd::PeerGone),
                Err(error) => return Some(LoopEnd::Failed(in_full(&error))),
            }
        }
    }

    /// Whether a ring holds as many bytes as a batch of 64-byte messages has, or is half full: a window must not keep a
    /// sender from a full ring. Bytes, since the messages are counted only when they are read.
    fn has_batch(&self) -> bool {
        let batch = u64::from(self.batch) * rtt_ring::layout::record_bytes(64);
        self.consumers.iter().any(|ring| ring.depth_bytes().0 >= batch.min(ring.capacity().bytes().0 / 2))
    }

    /// Waits for a fuller batch, at most for the window.
    fn hold_for_window(&mut self) {
        if self.window.0 == 0 || self.batch == 1 {
            return;
        }
        if self.has_batch() {
            return;
        }
        let until = now().saturating_add(self.window);
        self.counts.windows += 1;
        if let WaitStrategy::Futex { .. } = self.wait {
            // A nap that nobody ends: the sender finds no sleeper and makes no system call.
            std::thread::sleep(until.since(now()).as_duration());
            self.counts.sleeps += 1;
            return;
        }
        while now() < until && !self.has_batch() {
            match self.wait {
                WaitStrategy::Yield { .. } => {
                    rustix::thread::sched_yield();
                    self.counts.yields += 1;
                }
                _ => std::hint::spin_loop(),
            }
        }
    }

    /// ENDPOINT-3: handles at most a batch of `ring`, in its order, and gives the room back after that; how many there were.
    fn handle_batch(&mut self, ring: usize) -> Result<u32, String> {
        let depth = self.consumers[ring].depth_bytes().0;
        let mut handled = 0;
        while handled < self.batch {
            let read = self.consumers[ring].read(&mut self.buffer[..]);
            let len = match read {
                Ok(Some(len)) => len,
                Ok(None) => break,
                Err(error @ (ReadError::BufferTooSmall { .. } | ReadError::BrokenPeer(_))) => {
                    return Err(format!("ring {ring}: {}", in_full(&error)));
                }
            };
            self.handle(ring, len);
            if !self.replies.is_empty() {
                self.reply(ring, len)?;
            }
            handled += 1;
        }
        if handled > 0 {
            self.counts.depth_bytes_max = self.counts.depth_bytes_max.max(depth);
            self.counts.batches += 1;
            self.counts.wakes += u64::from(self.consumers[ring].release());
            if let Some(reply) = self.replies.get_mut(ring) {
                self.counts.wakes += u64::from(reply.publish());
            }
        }
        Ok(handled)
    }

    /// ENDPOINT-4: a short message is counted; a gap in the order is a loss.
    #[inline]
    fn handle(&mut self, ring: usize, len: usize) {
        if self.delay > Nanos(0) {
            let until = now().saturating_add(self.delay);
            while now() < until {
                std::hint::spin_loop();
            }
        }
        let message = black_box(&self.buffer[..len]);
        let time = now();
        self.last_handled = time;
        let Some(stamp) = Stamp::read(message) else {
            self.counts.malformed += 1;
            return;
        };
        self.latencies.record(stamp.intended, time.since(stamp.intended));
        self.lag_free.record(stamp.intended, time.since(stamp.excused));
        let gap = stamp.sequence.saturating_sub(self.next_sequence[ring]);
        self.counts.lost = self.counts.lost.saturating_add(gap);
        self.next_sequence[ring] = stamp.sequence.saturating_add(1);
        self.counts.handled += 1;
    }

    fn reply(&mut self, ring: usize, len: usize) -> Result<(), String> {
        let reply = &mut self.replies[ring];
        loop {
            match reply.reserve(len) {
                Ok(mut grant) => {
                    grant.copy_from_slice(&self.buffer[..len]);
                    grant.commit();
                    return Ok(());
                }
                Err(ReserveError::Full { .. }) => {
                    let waited = reply.wait_space(len, self.wait, None);
                    waited.map_err(|error| format!("replies of ring {ring}: {}", in_full(&error)))?;
                }
                Err(error) => return Err(format!("replies of ring {ring}: {}", in_full(&error))),
            }
        }
    }
}

fn thread_cpu() -> Nanos {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
