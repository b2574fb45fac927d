//! Rings as their users see them: against a model, a corrupt peer, other processes, and the kernel's seals.

mod corrupt;
mod model;
mod process;
mod seals;
mod waiting;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rtt_ring::{Consumer, Pages, Producer, RingCapacity, RingConfig, Segment};

/// Offsets of the control area, as the layout's table gives them.
mod offset {
    pub const MAGIC: u64 = 0;
    pub const ABI_HASH: u64 = 8;
    pub const CAPACITY: u64 = 16;
    pub const EPOCH: u64 = 24;
    pub const TAIL: u64 = 128;
    pub const HEAD: u64 = 256;
    pub const CONSUMER_PARKED: u64 = 384;
    pub const PRODUCER_PARKED: u64 = 512;
}

fn segment(bytes: u64) -> Segment {
    let capacity = RingCapacity::new(bytes).expect("a valid capacity");
    Segment::create(&RingConfig { capacity, pages: Pages::Small, epoch: 1 }).expect("a segment")
}

fn producer(segment: &Segment) -> Producer {
    Producer::attach(segment.producer_fds().expect("descriptors"), None).expect("the producer attaches")
}

fn consumer(segment: &Segment) -> Consumer {
    Consumer::attach(segment.consumer_fds().expect("descriptors"), None).expect("the consumer attaches")
}

/// One of the ring's memfds as a file: what a peer can write through its map it can also write here.
struct Area(File);

impl Area {
    fn control(segment: &Segment) -> Area {
        Area::from(segment.producer_fds().expect("descriptors").control)
    }

    fn data(segment: &Segment) -> Area {
        Area::from(segment.producer_fds().expect("descriptors").data)
    }

    fn from(fd: OwnedFd) -> Area {
        Area(File::from(fd))
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        self.0.write_all_at(bytes, offset).expect("the area is writable");
    }

    fn write_u64(&self, offset: u64, word: u64) {
        self.write(offset, &word.to_le_bytes());
    }

    fn read_u32(&self, offset: u64) -> u32 {
        let mut word = [0; 4];
        self.0.read_exact_at(&mut word, offset).expect("the area is readable");
        u32::from_le_bytes(word)
    }
}

/// Reserves, fills, commits and publishes one record.
fn send(producer: &mut Producer, payload: &[u8]) {
    let mut grant = producer.reserve(payload.len()).expect("room");
    grant.copy_from_slice(payload);
    grant.commit();
    producer.publish();
}

/// The next record, released.
fn receive(consumer: &mut Consumer) -> Option<Vec<u8>> {
    let mut buffer = vec![0; consumer.capacity().max_payload()];
    let len = consumer.read(&mut buffer).expect("an honest producer")?;
    consumer.release();
    buffer.truncate(len);
    Some(buffer)
}
