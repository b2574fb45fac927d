//! One round of another ring, by the loops of `benches/processes/pair.rs`: `rtt-ring-peers play ringfire MEASURE COUNT CPU CPU`.

use std::hint::spin_loop;
use std::process::ExitCode;

use ringfire::{FlowControl, RingConsumer, RingProducer, RingProducerBuilder};

use pair::{BATCH, Measure, Message, Part, Receiver, SLOTS, Sender};

#[path = "../../benches/processes/pair.rs"]
mod pair;

struct Writer(RingProducer<Message>);
struct Reader(RingConsumer<Message>);

fn main() -> ExitCode {
    let Some(part) = pair::part().filter(|part| part.kind == "ringfire") else {
        eprintln!("usage: rtt-ring-peers play ringfire round_trip|stream COUNT CPU CPU");
        return ExitCode::from(2);
    };
    if part.is_peer {
        answer(&part)
    } else {
        play(&part)
    }
    ExitCode::SUCCESS
}

/// A ring belongs to its producer, so each side makes one and waits for the other's.
fn play(part: &Part) {
    let name = format!("/dev/shm/rtt-ring-peers-{}", std::process::id());
    let [there, back] = ["there", "back"].map(|way| format!("{name}-{way}"));
    let mut sender = producer(part, &there);
    let peer = part.start_peer(&[there, back.clone()]);
    let mut receiver = consumer(&back);
    part.measure(&mut sender, &mut receiver, peer);
}

fn answer(part: &Part) {
    let mut sender = producer(part, &part.words[1]);
    let mut receiver = consumer(&part.words[0]);
    // Until somebody reads a ring, its producer waits for nobody and overwrites what was not read.
    while sender.0.registry().is_some_and(|readers| readers.min_cursor().is_none()) {
        spin_loop();
    }
    part.answer(&mut sender, &mut receiver);
}

/// The lossy form is this ring's fastest, and with one message under way it loses none; a stream must not lose any.
fn producer(part: &Part, path: &str) -> Writer {
    let flow_control = match part.round.measure {
        Measure::RoundTrip => FlowControl::LossyLatestWins,
        Measure::Stream => FlowControl::LosslessBackpressure,
    };
    Writer(RingProducerBuilder::new(SLOTS).flow_control(flow_control).build(path).expect("a ring"))
}

fn consumer(path: &str) -> Reader {
    loop {
        if let Ok(consumer) = RingConsumer::attach(path) {
            return Reader(consumer);
        }
        std::thread::yield_now();
    }
}

impl Sender for Writer {
    fn send(&mut self, message: &Message) {
        self.0.push(message);
    }

    fn send_batch(&mut self, batch: &[Message; BATCH]) {
        self.0.push_batch(batch);
    }
}

impl Receiver for Reader {
    fn receive(&mut self, message: &mut Message) {
        *message = loop {
            match self.0.try_recv() {
                Some(message) => break message,
                None => spin_loop(),
            }
        };
    }

    fn receive_batch(&mut self, batch: &mut [Message; BATCH]) -> usize {
        loop {
            match self.0.recv_batch(batch) {
                0 => spin_loop(),
                got => return got,
            }
        }
    }
}
