//! One round between two processes, one pinned to each CPU: the same loops for every kind of ring, ours and others.
//!
//! A program that plays rounds is called `PROGRAM play KIND MEASURE COUNT CPU CPU` and prints the figures of one round: `p50 p99` of a
//! `round_trip` in nanoseconds, or messages a second of a `stream`, in the
//! median window. It starts itself once more for the other side:
//! `PROGRAM peer KIND MEASURE COUNT CPU` and words of its own by which that side attaches.
//!
//! Both sides copy each message in and out, and check its number. Both spin.

use std::env;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::thread::{CpuSet, sched_setaffinity};

/// Bytes of a message; its number stands in the first eight.
pub const MESSAGE_BYTES: usize = 64;
/// Messages of a stream that are published and received together.
pub const BATCH: usize = 32;
/// Room of a ring, in messages (ours counts bytes, and holds a few less).
pub const SLOTS: u64 = 1024;

/// Round trips before the counted ones: caches, branches and page tables settle.
const WARM_UP: u64 = 2_000;
/// Messages of a stream between two looks at the clock.
const WINDOW: u64 = 4_096;
/// The number that ends the echo.
const STOP: u64 = u64::MAX;

/// What is sent.
pub type Message = [u8; MESSAGE_BYTES];

/// The writing end of a ring.
pub trait Sender {
    /// Sends one message, at once visible; there is room.
    fn send(&mut self, message: &Message);
    /// Sends a batch, visible together; waits for room.
    fn send_batch(&mut self, batch: &[Message; BATCH]);
}

/// The reading end of a ring.
pub trait Receiver {
    /// Waits for the next message.
    fn receive(&mut self, message: &mut Message);
    /// Waits for messages; how many it took, at most a batch.
    fn receive_batch(&mut self, batch: &mut [Message; BATCH]) -> usize;
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// There and back, one at a time.
    RoundTrip,
    /// One way, as fast as it goes.
    Stream,
}

/// One round: what is measured, over how many messages, and the CPUs of this side and the other.
pub struct Round {
    pub measure: Measure,
    pub count: u64,
    pub cpus: Vec<usize>,
}

/// The side that this process plays, and the words that follow the round's.
pub struct Part {
    pub is_peer: bool,
    pub kind: String,
    pub round: Round,
    pub words: Vec<String>,
}

/// What the command line asks for, if it asks for a round.
pub fn part() -> Option<Part> {
    let words: Vec<String> = env::args().skip(1).collect();
    let is_peer = match words.first()?.as_str() {
        "play" => false,
        "peer" => true,
        _ => return None,
    };
    let measure = if words.get(2)? == "stream" { Measure::Stream } else { Measure::RoundTrip };
    let first = 4 + if is_peer { 1 } else { 2 };
    let cpus = words.get(4..first)?.iter().map_while(|word| word.parse().ok()).collect();
    let round = Round { measure, count: words.get(3)?.parse().ok()?, cpus };
    Some(Part { is_peer, kind: words.get(1)?.clone(), round, words: words[first..].to_vec() })
}

impl Part {
    /// Starts the other side, which attaches by `words`; sockets and files that it inherits are the caller's to prepare.
    pub fn start_peer(&self, words: &[String]) -> Child {
        let measure = if self.round.measure == Measure::Stream { "stream" } else { "round_trip" };
        let (count, cpu) = (self.round.count.to_string(), self.round.cpus[1].to_string());
        let mut command = Command::new(env::current_exe().expect("our own program"));
        command.args(["peer", &self.kind, measure, &count, &cpu]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("our own program starts")
    }

    /// Plays the measuring side over the two ends, prints the figures and waits for the other side's end.
    pub fn measure(&self, sender: &mut impl Sender, receiver: &mut impl Receiver, mut peer: Child) {
        pin(self.round.cpus[0]);
        match self.round.measure {
            Measure::RoundTrip => {
                let [p50, p99] = round_trips(sender, receiver, self.round.count);
                println!("{p50} {p99}");
            }
            Measure::Stream => println!("{:.0}", receive_stream(receiver, self.round.count)),
        }
        assert!(peer.wait().expect("a status").success(), "the other side failed");
    }

    /// Plays the other side over its two ends.
    pub fn answer(&self, sender: &mut impl Sender, receiver: &mut impl Receiver) {
        pin(self.round.cpus[0]);
        match self.round.measure {
            Measure::RoundTrip => echo(sender, receiver),
            Measure::Stream => send_stream(sender, self.round.count),
        }
    }
}

fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).expect("an allowed CPU");
}

fn numbered(number: u64) -> Message {
    let mut message = [number as u8; MESSAGE_BYTES];
    message[..8].copy_from_slice(&number.to_le_bytes());
    message
}

fn number(message: &Message) -> u64 {
    u64::from_le_bytes(message[..8].try_into().expect("eight bytes"))
}

fn round_trips(sender: &mut impl Sender, receiver: &mut impl Receiver, count: u64) -> [u64; 2] {
    let mut spans = Vec::with_capacity(count as usize);
    let mut answer = [0; MESSAGE_BYTES];
    let mut before = Instant::now();
    for trip in 0..WARM_UP + count {
        let message = numbered(trip);
        sender.send(&message);
        receiver.receive(&mut answer);
        assert_eq!(answer, message, "round trip {trip}");
        // One look at the clock a trip: the end of one is the beginning of the next.
        let now = Instant::now();
        if trip >= WARM_UP {
            spans.push((now - before).as_nanos() as u64);
        }
        before = now;
    }
    sender.send(&numbered(STOP));
    spans.sort_unstable();
    [50, 99].map(|percent| spans[spans.len() * percent / 100])
}

fn echo(sender: &mut impl Sender, receiver: &mut impl Receiver) {
    let mut message = [0; MESSAGE_BYTES];
    loop {
        receiver.receive(&mut message);
        if number(&message) == STOP {
            return;
        }
        sender.send(&message);
    }
}

/// Messages a second in the median window: a side that the scheduler stops for a while stops both.
fn receive_stream(receiver: &mut impl Receiver, count: u64) -> f64 {
    let mut batch = [[0; MESSAGE_BYTES]; BATCH];
    let mut spans = Vec::with_capacity((count / WINDOW) as usize);
    let (mut received, mut begun, mut begin) = (0, 0, Instant::now());
    while received < count {
        let got = receiver.receive_batch(&mut batch);
        for message in &batch[..got] {
            assert_eq!(number(message), received, "a message of the stream");
            received += 1;
        }
        if received - begun >= WINDOW {
            let now = Instant::now();
            spans.push((now - begin).as_secs_f64() / (received - begun) as f64);
            (begun, begin) = (received, now);
        }
    }
    spans.sort_unstable_by(f64::total_cmp);
    1.0 / spans[spans.len() / 2]
}

fn send_stream(sender: &mut impl Sender, count: u64) {
    let mut batch = [[7; MESSAGE_BYTES]; BATCH];
    for first in (0..count).step_by(BATCH) {
        for (message, number) in batch.iter_mut().zip(first..) {
            message[..8].copy_from_slice(&number.to_le_bytes());
        }
        sender.send_batch(&batch);
    }
}
