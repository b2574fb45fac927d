//! Our ring between two processes: two rings for a round trip, of which a stream uses one.

use std::hint::spin_loop;
use std::os::fd::RawFd;

use rtt_ring::{Consumer, Pages, Producer, RingCapacity, RingConfig, RingFds, Segment, WaitStrategy};

use crate::pair::{BATCH, MESSAGE_BYTES, Message, Part, Receiver, SLOTS, Sender};

struct Writer(Producer);
struct Reader(Consumer);

pub fn play(part: &Part) {
    let (there, back) = (segment(), segment());
    let producer = Producer::attach(there.producer_fds().expect("descriptors"), None).expect("a producer");
    let consumer = Consumer::attach(back.consumer_fds().expect("descriptors"), None).expect("a consumer");
    let [theirs, answers] = [back.producer_fds(), there.consumer_fds()].map(|fds| fds.expect("descriptors"));
    let words: Vec<String> = [&theirs, &answers]
        .iter()
        .flat_map(|fds| fds.inheritable().expect("flags can be set"))
        .map(|fd| fd.to_string())
        .collect();
    let peer = part.start_peer(&words);
    part.measure(&mut Writer(producer), &mut Reader(consumer), peer);
}

pub fn answer(part: &Part) {
    let numbers: Vec<RawFd> = part.words.iter().map(|word| word.parse().expect("a descriptor")).collect();
    let inherited = |at: usize| RingFds::inherited(numbers[at], numbers[at + 1]).expect("inherited descriptors");
    let producer = Producer::attach(inherited(0), None).expect("a producer");
    let consumer = Consumer::attach(inherited(2), None).expect("a consumer");
    part.answer(&mut Writer(producer), &mut Reader(consumer));
}

fn segment() -> Segment {
    let capacity = RingCapacity::new(SLOTS * MESSAGE_BYTES as u64).expect("a power of two");
    Segment::create(&RingConfig { capacity, pages: Pages::Small, epoch: 1 }).expect("a segment")
}

impl Writer {
    fn stage(&mut self, message: &Message) {
        loop {
            if let Ok(mut grant) = self.0.reserve(MESSAGE_BYTES) {
                grant.copy_from_slice(message);
                grant.commit();
                return;
            }
            self.0.publish();
            spin_loop();
        }
    }
}

impl Sender for Writer {
    fn send(&mut self, message: &Message) {
        self.stage(message);
        self.0.publish();
    }

    fn send_batch(&mut self, batch: &[Message; BATCH]) {
        for message in batch {
            self.stage(message);
        }
        self.0.publish();
    }
}

impl Receiver for Reader {
    fn receive(&mut self, message: &mut Message) {
        self.0.wait(WaitStrategy::Spin, None).expect("the other side lives");
        let read = self.0.read(message).expect("an honest producer");
        debug_assert_eq!(read, Some(MESSAGE_BYTES), "a wait ends with a message");
        self.0.release();
    }

    fn receive_batch(&mut self, batch: &mut [Message; BATCH]) -> usize {
        self.0.wait(WaitStrategy::Spin, None).expect("the other side lives");
        let mut got = 0;
        while got < BATCH && self.0.read(&mut batch[got]).expect("an honest producer").is_some() {
            got += 1;
        }
        self.0.release();
        got
    }
}
