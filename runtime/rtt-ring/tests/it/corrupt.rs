//! Peers that write what they like: errors or timeouts, never a panic, never bytes out of range.

use proptest::prelude::*;
use rtt_ring::{AttachError, Consumer, Fault, Producer, ReadError, ReserveError, WaitError, WaitStrategy};
use rtt_units::Nanos;

use crate::{Area, consumer, offset, producer, receive, segment, send};

const CAPACITY: u64 = 4096;
const LONG_AGO: Option<Nanos> = Some(Nanos(0));

/// One store by the peer. Words are drawn near the values that matter.
#[derive(Clone, Debug)]
enum Store {
    Control { offset: u64, word: u64 },
    Data { offset: u64, word: u64 },
}

fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..5000_u64,
        (0..1024_u64).prop_map(|eighth| eighth * 8),
        (0..64_u64).prop_map(|below| u64::MAX - below),
        Just(CAPACITY),
    ]
}

fn store() -> impl Strategy<Value = Store> {
    let field = prop_oneof![
        Just(offset::EPOCH),
        Just(offset::CAPACITY),
        Just(offset::TAIL),
        Just(offset::HEAD),
        Just(offset::CONSUMER_PARKED),
        Just(offset::PRODUCER_PARKED),
        Just(640_u64),
        Just(768_u64),
        (0..512_u64).prop_map(|word| word * 8),
    ];
    prop_oneof![
        3 => (field, word()).prop_map(|(offset, word)| Store::Control { offset, word }),
        1 => (0..CAPACITY / 8, word()).prop_map(|(at, word)| Store::Data { offset: at * 8, word }),
    ]
}

fn drive_consumer(consumer: &mut Consumer) {
    let mut buffer = [0; 256];
    for _ in 0..4 {
        match consumer.read(&mut buffer) {
            Ok(Some(len)) => assert!(len <= buffer.len()),
            Ok(None) | Err(ReadError::BrokenPeer(_)) => {}
            Err(ReadError::BufferTooSmall { need, .. }) => assert!(need <= CAPACITY as usize - 8),
        }
        assert!(consumer.depth_bytes().0 <= CAPACITY);
    }
    consumer.release();
    let futex = WaitStrategy::Futex { budget: Nanos(0) };
    let _ = consumer.wait(futex, LONG_AGO);
    let _ = consumer.skip();
}

fn drive_producer(producer: &mut Producer) {
    for len in [0, 40, 4000, 9000] {
        match producer.reserve(len) {
            Ok(mut grant) => {
                grant.fill(7);
                grant.commit();
            }
            Err(ReserveError::Full { used, .. }) => assert!(used.0 <= CAPACITY),
            Err(ReserveError::TooLarge { max, .. }) => assert_eq!(max, CAPACITY as usize - 8),
            Err(ReserveError::BrokenPeer(_)) => {}
        }
        producer.publish();
        assert!(producer.depth_bytes().0 <= CAPACITY);
    }
    let _ = producer.wait_space(4000, WaitStrategy::Yield { budget: Nanos(0) }, LONG_AGO);
}

fn apply(segment: &rtt_ring::Segment, store: &Store) {
    match *store {
        Store::Control { offset, word } => Area::control(segment).write_u64(offset, word),
        Store::Data { offset, word } => Area::data(segment).write_u64(offset, word),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// RING-1, RING-2: whatever the peer stores between our steps, we answer.
    #[test]
    fn no_store_of_a_peer_makes_a_panic(stores in prop::collection::vec(store(), 1..24), honest in 0..20_usize) {
        let segment = segment(CAPACITY);
        let (mut producer, mut consumer) = (producer(&segment), consumer(&segment));
        for _ in 0..honest {
            send(&mut producer, b"honest");
        }
        for store in &stores {
            apply(&segment, store);
            drive_consumer(&mut consumer);
            drive_producer(&mut producer);
        }
    }

    /// RING-9: whatever stands in the control area before, attaching answers.
    #[test]
    fn no_header_makes_attaching_panic(stores in prop::collection::vec(store(), 1..8)) {
        let segment = segment(CAPACITY);
        stores.iter().for_each(|store| apply(&segment, store));
        let producer = Producer::attach(segment.producer_fds().expect("descriptors"), None);
        let consumer = Consumer::attach(segment.consumer_fds().expect("descriptors"), None);
        if let Ok(mut producer) = producer {
            drive_producer(&mut producer);
        }
        if let Ok(mut consumer) = consumer {
            drive_consumer(&mut consumer);
        }
    }
}

/// RING-1: a ring with one record at 0..16, one word overwritten; the consumer's answer to `read`.
fn check_read(area: fn(&rtt_ring::Segment) -> Area, offset: u64, word: u64, expected: Fault) {
    let segment = segment(CAPACITY);
    let (mut producer, mut consumer) = (producer(&segment), consumer(&segment));
    send(&mut producer, b"12345678");
    area(&segment).write_u64(offset, word);
    assert_eq!(consumer.read(&mut [0; 64]), Err(ReadError::BrokenPeer(expected)), "word {word:#x} at {offset}");
    assert_eq!(consumer.read(&mut [0; 64]), Err(ReadError::BrokenPeer(expected)), "and again");
}

/// RING-1: a tail that no honest producer stores; beside it the heads of records.
#[test]
fn a_consumer_names_what_the_producer_broke() {
    let (low, high) = (0, CAPACITY);
    for found in [CAPACITY + 8, 12, u64::MAX - 7, u64::MAX] {
        check_read(Area::control, offset::TAIL, found, Fault::Tail { found, low, high });
    }
    let stamp = 0xffff_ffff_u64 << 32;
    for len in [9, 4089, u32::MAX] {
        let fault = Fault::RecordLength { position: 0, len, published: 16 };
        check_read(Area::data, 0, stamp | u64::from(len), fault);
    }
    for found in [0, 0xffff_fffe_u32] {
        let fault = Fault::RecordStamp { position: 0, found, expected: u32::MAX };
        check_read(Area::data, 0, u64::from(found) << 32 | 8, fault);
    }
}

/// RING-1: a tail that goes back to before what was read.
#[test]
fn a_tail_that_goes_backward_is_named() {
    let segment = segment(CAPACITY);
    let (mut producer, mut consumer) = (producer(&segment), consumer(&segment));
    send(&mut producer, b"12345678");
    assert_eq!(receive(&mut consumer).as_deref(), Some(b"12345678".as_slice()));
    Area::control(&segment).write_u64(offset::TAIL, 8);
    let fault = Fault::Tail { found: 8, low: 16, high: 16 + CAPACITY };
    assert_eq!(consumer.read(&mut [0; 64]), Err(ReadError::BrokenPeer(fault)));
}

/// RING-1: a head beyond the published tail, or before the last one seen.
#[test]
fn a_producer_names_what_the_consumer_broke() {
    for found in [24, 4, u64::MAX - 7] {
        let segment = segment(CAPACITY);
        let mut producer = producer(&segment);
        send(&mut producer, b"12345678");
        Area::control(&segment).write_u64(offset::HEAD, found);
        let refused = producer.reserve(CAPACITY as usize - 8).expect_err("a lying consumer");
        assert_eq!(refused, ReserveError::BrokenPeer(Fault::Head { found, low: 0, high: 16 }));
    }
}

#[test]
fn a_revoked_ring_refuses_both_sides() {
    let segment = segment(CAPACITY);
    let (mut producer, mut consumer) = (producer(&segment), consumer(&segment));
    segment.revoke();
    let fault = Fault::Epoch { found: 2, expected: 1 };
    assert_eq!(consumer.read(&mut [0; 64]), Err(ReadError::BrokenPeer(fault)));
    let waited = consumer.wait(WaitStrategy::Spin, None);
    assert!(matches!(waited, Err(WaitError::BrokenPeer(found)) if found == fault), "{waited:?}");
    let waited = producer.wait_space(8, WaitStrategy::Spin, None);
    assert!(matches!(waited, Err(WaitError::BrokenPeer(found)) if found == fault), "{waited:?}");
}

/// RING-9: what is wrong before attaching is named, and a second side of a kind is refused.
#[test]
fn attaching_names_what_is_wrong() {
    type Expect = fn(&AttachError) -> bool;
    let cases: [(u64, u64, Expect); 5] = [
        (offset::MAGIC, 1, |error| matches!(error, AttachError::Magic { found: 1 })),
        (offset::ABI_HASH, 2, |error| matches!(error, AttachError::Abi { found: 2 })), // RING-5
        (offset::CAPACITY, 4097, |error| matches!(error, AttachError::Capacity { .. })),
        (offset::CAPACITY, 8192, |error| matches!(error, AttachError::Size { area: "data", .. })),
        (offset::TAIL, 8192, |error| matches!(error, AttachError::Broken(Fault::Tail { found: 8192, .. }))),
    ];
    for (offset, word, expected) in cases {
        let segment = segment(CAPACITY);
        Area::control(&segment).write_u64(offset, word);
        let refused = Consumer::attach(segment.consumer_fds().expect("descriptors"), None).expect_err("corrupt");
        assert!(expected(&refused), "word {word} at {offset}: {refused}");
    }
    let segment = segment(CAPACITY);
    let (first, _consumer) = (producer(&segment), consumer(&segment));
    let again = || Producer::attach(segment.producer_fds().expect("descriptors"), None).expect_err("taken");
    assert!(matches!(again(), AttachError::Taken { state: 1, .. }));
    drop(first);
    assert!(matches!(again(), AttachError::Taken { state: 2, .. }));
}
