//! Round trip of one cache line between two CPUs: the limit of any ring between them, and the probe of the regime.
//!
//! Two threads, one bound to each CPU, write a growing number in turn to one line: the client the odd ones, the server
//! the even ones. Rounds are timed in groups of [`GROUP`], so that reading the clock weighs little; quantiles are
//! therefore those of a group's mean. The threads of a [`Prober`] sleep between probes; starting them is not measured.
//!
//! HOST-9  A probe ends by its deadline even where the other CPU never runs its thread.

use crate::pin::{PinError, pin_thread};
use rtt_units::{CpuId, CpuSet, Nanos};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Round trips timed together.
const GROUP: u32 = 8;
/// Round trips before the first timed one: they wake both threads and fetch the line.
const WARM_UP: u32 = 64;
/// When a probe gives up. Ten thousand rounds take less than 10 ms even between packages.
const DEADLINE: Duration = Duration::from_millis(200);
/// Looks at the line between looks at the clock.
const LOOKS: u32 = 1 << 12;

/// One probe's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeReading {
    /// Median round trip.
    pub p50: Nanos,
    /// 99th percentile, of the means of groups of eight round trips.
    pub p99: Nanos,
    /// Round trips timed.
    pub rounds: u32,
}

/// Why there is no reading.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A line is not passed between a CPU and itself.
    #[error("probe of CPUs {cpu} and {cpu}: expected two CPUs")]
    SameCpu {
        /// The CPU.
        cpu: CpuId,
    },
    /// Fewer rounds than one group.
    #[error("probe of {rounds} rounds: expected at least {GROUP}")]
    TooFew {
        /// What was asked for.
        rounds: u32,
    },
    /// A thread could not be bound.
    #[error("probe of CPUs {a} and {b}: a thread is not bound")]
    Pin {
        /// The client's CPU.
        a: CpuId,
        /// The server's CPU.
        b: CpuId,
        /// The cause.
        source: PinError,
    },
    /// The threads did not meet in time: something else keeps one of the CPUs.
    #[error("probe of CPUs {a} and {b}: {done} of {rounds} rounds done in {deadline}; one of the CPUs is kept busy")]
    Busy {
        /// The client's CPU.
        a: CpuId,
        /// The server's CPU.
        b: CpuId,
        /// Rounds done.
        done: u32,
        /// Rounds asked for.
        rounds: u32,
        /// When the probe gave up.
        deadline: Nanos,
    },
    /// A thread of the prober is gone, or could not be started.
    #[error("probe of CPUs {a} and {b}: no thread; expected room for two more")]
    Thread {
        /// The client's CPU.
        a: CpuId,
        /// The server's CPU.
        b: CpuId,
    },
}

/// Two threads that are bound to a pair of CPUs and sleep until they are asked for a reading.
#[derive(Debug)]
pub struct Prober {
    a: CpuId,
    b: CpuId,
    shared: Arc<Shared>,
    client: Worker<Vec<u64>>,
    server: Worker<()>,
}

/// The line, alone on the two lines that adjacent-line prefetch fetches together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(AtomicU64);

#[derive(Debug, Default)]
struct Shared {
    line: Line,
    give_up: AtomicBool,
}

impl Prober {
    /// Starts the threads, the client on `a` and the server on `b`.
    ///
    /// # Errors
    /// [`ProbeError::SameCpu`], or [`ProbeError::Pin`] where a CPU is not allowed.
    pub fn new(a: CpuId, b: CpuId) -> Result<Prober, ProbeError> {
        if a == b {
            return Err(ProbeError::SameCpu { cpu: a });
        }
        let shared = Arc::new(Shared::default());
        let (line, answering) = (Arc::clone(&shared), Arc::clone(&shared));
        let client = Worker::start(a, move |rounds, until| client(&line, rounds, until));
        let client = client.map_err(|error| error.into_probe_error(a, b))?;
        let server = Worker::start(b, move |rounds, until| server(&answering, rounds, until));
        let server = server.map_err(|error| error.into_probe_error(a, b))?;
        Ok(Prober { a, b, shared, client, server })
    }

    /// The CPUs of client and server.
    pub fn cpus(&self) -> (CpuId, CpuId) {
        (self.a, self.b)
    }

    /// Passes the line `rounds` times there and back. Ten thousand rounds take 1 to 5 ms.
    ///
    /// # Errors
    /// [`ProbeError::Busy`] where the threads did not meet by the deadline.
    pub fn probe(&mut self, rounds: u32) -> Result<ProbeReading, ProbeError> {
        let groups = rounds / GROUP;
        if groups == 0 {
            return Err(ProbeError::TooFew { rounds });
        }
        let (a, b) = (self.a, self.b);
        self.shared.line.0.store(0, Ordering::Release);
        self.shared.give_up.store(false, Ordering::Release);
        let until = Instant::now() + DEADLINE;
        let gone = || ProbeError::Thread { a, b };
        self.server.ask(groups * GROUP, until).ok_or_else(gone)?;
        self.client.ask(groups * GROUP, until).ok_or_else(gone)?;
        // Both have finished with the line before it is used again.
        let timed = self.client.answer().ok_or_else(gone);
        self.server.answer().ok_or_else(gone)?;
        let mut timed = timed?;
        if timed.len() < groups as usize {
            let (done, deadline) = (timed.len() as u32 * GROUP, Nanos(DEADLINE.as_nanos() as u64));
            return Err(ProbeError::Busy { a, b, done, rounds, deadline }); // HOST-9
        }
        timed.sort_unstable();
        let mean = |group: u64| Nanos((group + u64::from(GROUP) / 2) / u64::from(GROUP));
        Ok(ProbeReading {
            p50: mean(timed[timed.len() / 2]),
            p99: mean(timed[(timed.len() * 99 / 100).min(timed.len() - 1)]),
            rounds: groups * GROUP,
        })
    }
}

/// One reading of the pair `a`, `b`, with threads of its own.
///
/// # Errors
/// As [`Prober::new`] and [`Prober::probe`].
pub fn one_line_probe(a: CpuId, b: CpuId, rounds: u32) -> Result<ProbeReading, ProbeError> {
    Prober::new(a, b)?.probe(rounds)
}

/// Times groups of round trips, in nanoseconds each; fewer than asked for where the deadline passed.
fn client(shared: &Shared, rounds: u32, until: Instant) -> Vec<u64> {
    let mut timed = Vec::with_capacity((rounds / GROUP) as usize);
    let mut turn = 0;
    let mut round_trip = || {
        turn += 2;
        // Release pairs with the Acquire in `wait_for`, as in the server: each sees what the other wrote before.
        shared.line.0.store(turn - 1, Ordering::Release);
        wait_for(shared, turn, until)
    };
    if !(0..WARM_UP).all(|_| round_trip()) {
        return timed;
    }
    for _ in 0..rounds / GROUP {
        let start = Instant::now();
        if !(0..GROUP).all(|_| round_trip()) {
            return timed;
        }
        timed.push(start.elapsed().as_nanos() as u64);
    }
    timed
}

/// Answers each odd number with the even one after it.
fn server(shared: &Shared, rounds: u32, until: Instant) {
    for round in 1..=u64::from(WARM_UP + rounds) {
        if !wait_for(shared, 2 * round - 1, until) {
            return;
        }
        shared.line.0.store(2 * round, Ordering::Release);
    }
}

/// Looks at the line until it holds `turn`; false when the deadline has passed for either side.
///
/// No pause instruction between the looks: its length differs by a factor of ten among makes of CPUs.
fn wait_for(shared: &Shared, turn: u64, until: Instant) -> bool {
    loop {
        for _ in 0..LOOKS {
            if shared.line.0.load(Ordering::Acquire) == turn {
                return true;
            }
        }
        // HOST-9: the side that gives up first frees the other.
        if shared.give_up.load(Ordering::Acquire) || Instant::now() >= until {
            shared.give_up.store(true, Ordering::Release);
            return false;
        }
    }
}

/// A thread that is bound to a CPU and works when asked.
#[derive(Debug)]
struct Worker<T> {
    questions: Option<mpsc::Sender<(u32, Instant)>>,
    answers: mpsc::Receiver<T>,
    thread: Option<JoinHandle<()>>,
}

enum StartError {
    Thread,
    Pin(PinError),
}

impl StartError {
    fn into_probe_error(self, a: CpuId, b: CpuId) -> ProbeError {
        match self {
            StartError::Thread => ProbeError::Thread { a, b },
            StartError::Pin(source) => ProbeError::Pin { a, b, source },
        }
    }
}

impl<T: Send + 'static> Worker<T> {
    fn start(cpu: CpuId, work: impl Fn(u32, Instant) -> T + Send + 'static) -> Result<Worker<T>, StartError> {
        let (questions, asked) = mpsc::channel::<(u32, Instant)>();
        let (answering, answers) = mpsc::channel();
        let (bound, is_bound) = mpsc::channel();
        let run = move || {
            let pinned = pin_thread(&CpuSet::from_iter([cpu]));
            let failed = pinned.is_err();
            if bound.send(pinned).is_err() || failed {
                return;
            }
            for (rounds, until) in asked {
                if answering.send(work(rounds, until)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("rtt-probe".into()).spawn(run).map_err(|_| StartError::Thread)?;
        let worker = Worker { questions: Some(questions), answers, thread: Some(thread) };
        match is_bound.recv() {
            Ok(Ok(_)) => Ok(worker),
            Ok(Err(error)) => Err(StartError::Pin(error)),
            Err(mpsc::RecvError) => Err(StartError::Thread),
        }
    }

    fn ask(&self, rounds: u32, until: Instant) -> Option<()> {
        self.questions.as_ref()?.send((rounds, until)).ok()
    }

    fn answer(&self) -> Option<T> {
        self.answers.recv().ok()
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.questions = None; // Ends the thread's loop.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
