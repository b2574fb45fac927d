//! Random operations against a model of queues, at both ends of the positions' range.

use std::collections::VecDeque;

use proptest::prelude::*;
use rtt_ring::layout::record_bytes;
use rtt_ring::{ReadError, ReserveError};
use rtt_units::Bytes;

use crate::{Area, consumer, offset, producer, segment};

#[derive(Clone, Debug)]
enum Operation {
    /// Reserve this many bytes, fill, shorten by so many, commit or drop.
    Reserve {
        len: usize,
        shorten: usize,
        commit: bool,
    },
    Publish,
    Read {
        buffer: usize,
    },
    Skip,
    Peek,
    Release,
}

fn operation(capacity: usize) -> impl Strategy<Value = Operation> {
    let len = prop_oneof![4 => 0..64_usize, 2 => 0..capacity / 2, 1 => capacity - 32..capacity + 16];
    prop_oneof![
        5 => (len, 0..64_usize, prop::bool::weighted(0.8)).prop_map(|(len, shorten, commit)| Operation::Reserve { len, shorten, commit }),
        3 => Just(Operation::Publish),
        5 => prop_oneof![Just(1_usize << 20), 0..128_usize].prop_map(|buffer| Operation::Read { buffer }),
        1 => Just(Operation::Skip),
        1 => Just(Operation::Peek),
        3 => Just(Operation::Release),
    ]
}

/// The ring as three queues: a record moves from staged to published to read, and leaves by release.
#[derive(Default)]
struct Model {
    staged: Vec<Vec<u8>>,
    published: VecDeque<Vec<u8>>,
    unreleased_bytes: u64,
    sent: u64,
}

impl Model {
    fn used(&self) -> u64 {
        let bytes = |record: &Vec<u8>| record_bytes(record.len() as u32);
        let staged: u64 = self.staged.iter().map(bytes).sum();
        staged + self.published.iter().map(bytes).sum::<u64>() + self.unreleased_bytes
    }
}

fn check(capacity: u64, start: u64, operations: &[Operation]) {
    let segment = segment(capacity);
    let control = Area::control(&segment);
    control.write_u64(offset::TAIL, start);
    control.write_u64(offset::HEAD, start);
    let (mut producer, mut consumer) = (producer(&segment), consumer(&segment));
    let mut model = Model::default();
    for (step, operation) in operations.iter().enumerate() {
        apply(&mut producer, &mut consumer, &mut model, capacity, step, operation);
        let published: u64 =
            model.used() - model.staged.iter().map(|record| record_bytes(record.len() as u32)).sum::<u64>();
        assert_eq!(producer.depth_bytes(), Bytes(model.used()), "step {step}: producer's depth");
        assert_eq!(consumer.depth_bytes(), Bytes(published), "step {step}: consumer's depth");
    }
}

#[allow(unsafe_code)] // Borrowing in place is part of what is checked.
fn apply(
    producer: &mut rtt_ring::Producer,
    consumer: &mut rtt_ring::Consumer,
    model: &mut Model,
    capacity: u64,
    step: usize,
    operation: &Operation,
) {
    match *operation {
        Operation::Reserve { len, shorten, commit } => {
            let max = capacity as usize - 8;
            let outcome = producer.reserve(len);
            if len > max {
                assert_eq!(outcome.expect_err("too large"), ReserveError::TooLarge { len, max }, "step {step}");
            } else if model.used() + record_bytes(len as u32) > capacity {
                let full = ReserveError::Full { used: Bytes(model.used()), capacity: Bytes(capacity) };
                assert_eq!(outcome.expect_err("full"), full, "step {step}");
            } else {
                let mut grant = outcome.unwrap_or_else(|error| panic!("step {step}: {error}"));
                grant.shorten(len.saturating_sub(shorten));
                let fill = |at: usize| (model.sent as usize).wrapping_mul(31).wrapping_add(at) as u8;
                grant.iter_mut().enumerate().for_each(|(at, byte)| *byte = fill(at));
                if commit {
                    model.staged.push(grant.to_vec());
                    grant.commit();
                    model.sent += 1;
                }
            }
        }
        Operation::Publish => {
            assert!(!producer.publish(), "step {step}: nobody sleeps");
            model.published.extend(model.staged.drain(..));
        }
        Operation::Read { buffer } => {
            let mut into = vec![0xee; buffer];
            let outcome = consumer.read(&mut into);
            match model.published.front() {
                None => assert_eq!(outcome, Ok(None), "step {step}"),
                Some(record) if record.len() > buffer => {
                    let small = ReadError::BufferTooSmall { need: record.len(), have: buffer };
                    assert_eq!(outcome, Err(small), "step {step}");
                }
                Some(record) => {
                    assert_eq!(outcome, Ok(Some(record.len())), "step {step}");
                    assert_eq!(&into[..record.len()], record, "step {step}");
                    assert!(into[record.len()..].iter().all(|&byte| byte == 0xee), "step {step}: wrote too far");
                    model.unreleased_bytes += record_bytes(record.len() as u32);
                    model.published.pop_front();
                }
            }
        }
        Operation::Skip => {
            let record = model.published.pop_front();
            assert_eq!(consumer.skip(), Ok(record.as_ref().map(Vec::len)), "step {step}");
            model.unreleased_bytes += record.map_or(0, |record| record_bytes(record.len() as u32));
        }
        Operation::Peek => {
            // SAFETY: the producer of this test leaves published records alone.
            let peeked = unsafe { consumer.peek_in_place() };
            assert_eq!(peeked, Ok(model.published.front().map(Vec::as_slice)), "step {step}");
        }
        Operation::Release => {
            assert!(!consumer.release(), "step {step}: nobody sleeps");
            model.unreleased_bytes = 0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// RING-1, RING-2: the ring is the model, also where the positions wrap around 2^64.
    #[test]
    fn the_ring_agrees_with_queues(
        shift in 12..14_u32,
        wrap in any::<bool>(),
        operations in prop::collection::vec(operation(4096), 1..300),
    ) {
        let start = if wrap { u64::MAX - 8191 } else { 0 };
        check(1 << shift, start, &operations);
    }
}
