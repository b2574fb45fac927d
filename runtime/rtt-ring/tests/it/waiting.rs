//! Waiting between threads: every strategy, both directions, every end.

use std::thread;

use rtt_ring::{Consumer, Segment, WaitError, WaitOutcome, WaitStrategy, Waited, now, wait_any};
use rtt_units::Nanos;

use crate::{Area, consumer, offset, producer, receive, segment, send};

const CAPACITY: u64 = 4096;
const STRATEGIES: [WaitStrategy; 4] = [
    WaitStrategy::Spin,
    WaitStrategy::Yield { budget: Nanos(1_000) },
    WaitStrategy::Futex { budget: Nanos(0) },
    WaitStrategy::Futex { budget: Nanos(20_000) },
];

/// Waits until the word says that its owner sleeps, or is about to.
fn until_parked(segment: &Segment, offset: u64) {
    let control = Area::control(segment);
    while control.read_u32(offset) == 0 {
        thread::yield_now();
    }
}

/// RING-3, RING-4: numbered records of changing size through a small ring, each side waiting in each way.
#[test]
fn everything_arrives_in_order_however_both_sides_wait() {
    for (index, strategy) in STRATEGIES.into_iter().enumerate() {
        let other = STRATEGIES[(index + 1) % STRATEGIES.len()];
        let segment = segment(CAPACITY);
        let (mut producer, mut consumer) = (producer(&segment), consumer(&segment));
        const COUNT: u64 = 5_000;
        thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..COUNT {
                    let len = 8 + (number * 37 % 700) as usize;
                    producer.wait_space(len, other, None).expect("the consumer lives");
                    let mut grant = producer.reserve(len).expect("room was waited for");
                    grant.fill(number as u8);
                    grant[..8].copy_from_slice(&number.to_le_bytes());
                    grant.commit();
                    if number % 3 == 0 {
                        producer.publish();
                    }
                }
            });
            let mut expected = 0_u64;
            loop {
                match consumer.wait(strategy, None) {
                    Ok(waited) => assert_eq!(waited.outcome, WaitOutcome::Ready),
                    Err(WaitError::Closed) => break,
                    Err(error) => panic!("{strategy:?}: {error}"),
                }
                let record = receive(&mut consumer).expect("a record was waited for");
                assert_eq!(record.len(), 8 + (expected * 37 % 700) as usize, "{strategy:?}: record {expected}");
                assert_eq!(record[..8], expected.to_le_bytes(), "{strategy:?}");
                assert!(record[8..].iter().all(|&byte| byte == expected as u8), "{strategy:?}: record {expected}");
                expected += 1;
            }
            assert_eq!(expected, COUNT, "{strategy:?}: closing publishes what was staged");
        });
    }
}

/// Waits with ever later deadlines until the wait had time for `counted`; on a busy host the first may pass at once.
fn until_counted(mut wait: impl FnMut(Nanos) -> Waited, counted: impl Fn(&Waited) -> bool) -> Waited {
    for shift in 0..12 {
        let deadline = Nanos(now().0 + (1_000_000 << shift));
        let waited = wait(deadline);
        assert_eq!(waited.outcome, WaitOutcome::TimedOut);
        assert!(now() >= deadline, "ended early");
        if counted(&waited) {
            return waited;
        }
    }
    panic!("no deadline left time for the strategy's own step");
}

#[test]
fn a_deadline_ends_a_wait_and_not_before_it() {
    for strategy in STRATEGIES {
        let segment = segment(CAPACITY);
        let (mut producer, mut consumer) = (producer(&segment), consumer(&segment));
        let own_step = |waited: &Waited| match strategy {
            WaitStrategy::Spin => waited.spins > 0,
            WaitStrategy::Yield { .. } => waited.yields > 0,
            WaitStrategy::Futex { .. } => waited.sleeps > 0,
        };
        let wait = |deadline| consumer.wait(strategy, Some(deadline)).expect("a quiet peer is no error");
        let waited = until_counted(wait, own_step);
        match strategy {
            WaitStrategy::Spin => assert_eq!((waited.yields, waited.sleeps), (0, 0)),
            WaitStrategy::Yield { .. } => assert_eq!(waited.sleeps, 0),
            WaitStrategy::Futex { .. } => assert_eq!(waited.yields, 0),
        }
        send(&mut producer, &[0; 4000]);
        let wait = |deadline| producer.wait_space(4000, strategy, Some(deadline)).expect("a slow peer is no error");
        until_counted(wait, own_step);
        let past = consumer.wait(strategy, Some(Nanos(0))).expect("an open ring");
        assert_eq!(past.outcome, WaitOutcome::Ready, "{strategy:?}: what is there counts before the deadline");
    }
}

/// RING-4: a publication that finds the word set wakes its owner, once, and says so.
#[test]
fn a_publication_wakes_a_sleeping_consumer() {
    let segment = segment(CAPACITY);
    let (mut producer, mut consumer) = (producer(&segment), consumer(&segment));
    assert!(!producer.publish(), "nothing staged, nobody woken");
    thread::scope(|scope| {
        let sleeper = scope.spawn(move || {
            let waited = consumer.wait(WaitStrategy::Futex { budget: Nanos(0) }, None).expect("the producer lives");
            (waited.outcome, receive(&mut consumer))
        });
        // The slices end a sleep now and then, so a publication may fall between two of them.
        until_parked(&segment, offset::CONSUMER_PARKED);
        send(&mut producer, b"wake");
        let (outcome, record) = sleeper.join().expect("the consumer ends");
        assert_eq!((outcome, record.as_deref()), (WaitOutcome::Ready, Some(b"wake".as_slice())));
    });
    assert_eq!(Area::control(&segment).read_u32(offset::CONSUMER_PARKED), 0);
}

/// RING-7: closing either side ends the other's wait, asleep or not; records published before come first.
#[test]
fn closing_ends_the_peers_wait() {
    for strategy in STRATEGIES {
        let segment = segment(CAPACITY);
        let (mut producer, mut consumer) = (producer(&segment), consumer(&segment));
        send(&mut producer, b"last");
        producer.close();
        consumer.wait(strategy, None).expect("a record is left");
        assert_eq!(receive(&mut consumer).as_deref(), Some(b"last".as_slice()));
        assert!(matches!(consumer.wait(strategy, None), Err(WaitError::Closed)), "{strategy:?}");
    }
    let segment = segment(CAPACITY);
    let (mut producer, consumer) = (producer(&segment), consumer(&segment));
    send(&mut producer, &[0; 4000]);
    thread::scope(|scope| {
        let sleeper = scope.spawn(move || producer.wait_space(4000, WaitStrategy::Futex { budget: Nanos(0) }, None));
        until_parked(&segment, offset::PRODUCER_PARKED);
        assert!(!consumer.peer_closed());
        consumer.close();
        let waited = sleeper.join().expect("the producer ends");
        assert!(matches!(waited, Err(WaitError::Closed)), "{waited:?}");
    });
}

#[test]
fn revoking_wakes_who_sleeps() {
    let segment = segment(CAPACITY);
    let (_producer, mut consumer) = (producer(&segment), consumer(&segment));
    thread::scope(|scope| {
        let sleeper = scope.spawn(move || consumer.wait(WaitStrategy::Futex { budget: Nanos(0) }, None));
        until_parked(&segment, offset::CONSUMER_PARKED);
        segment.revoke();
        let waited = sleeper.join().expect("the consumer ends");
        assert!(matches!(waited, Err(WaitError::BrokenPeer(_))), "{waited:?}");
    });
}

/// A ring in full use is revoked too: neither side goes on beyond what it knew.
#[test]
fn revoking_ends_a_ring_that_is_neither_empty_nor_full() {
    let segment = segment(CAPACITY);
    let (mut producer, mut consumer) = (producer(&segment), consumer(&segment));
    send(&mut producer, b"first");
    assert_eq!(receive(&mut consumer).as_deref(), Some(&b"first"[..]));
    send(&mut producer, b"second");
    segment.revoke();
    let read = consumer.read(&mut [0; 64]);
    assert!(matches!(read, Err(rtt_ring::ReadError::BrokenPeer(_))), "{read:?}");
    let refused = (0..CAPACITY).find_map(|_| match producer.reserve(8) {
        Ok(grant) => {
            grant.commit();
            None
        }
        Err(error) => Some(error),
    });
    assert!(matches!(refused, Some(rtt_ring::ReserveError::BrokenPeer(_))), "{refused:?}");
}

#[test]
fn a_record_that_never_fits_is_no_wait() {
    let segment = segment(CAPACITY);
    let mut producer = producer(&segment);
    let waited = producer.wait_space(CAPACITY as usize, WaitStrategy::Spin, None);
    assert!(matches!(waited, Err(WaitError::TooLarge { len: 4096, max: 4088 })), "{waited:?}");
}

/// RING-10: three producers that end one after the other; every record arrives, in order per ring.
#[test]
fn a_wait_for_any_ring_hears_each_and_outlives_the_first_ends() {
    const COUNTS: [u64; 3] = [10, 500, 3_000];
    for strategy in STRATEGIES {
        let segments = COUNTS.map(|_| segment(CAPACITY));
        let mut consumers: Vec<Consumer> = segments.iter().map(consumer).collect();
        thread::scope(|scope| {
            for (segment, count) in segments.iter().zip(COUNTS) {
                let mut producer = producer(segment);
                scope.spawn(move || {
                    for number in 0..count {
                        producer.wait_space(8, strategy, None).expect("the consumer lives");
                        send(&mut producer, &number.to_le_bytes());
                    }
                });
            }
            let mut received = [0; COUNTS.len()];
            let end = loop {
                match wait_any(&mut consumers, strategy, None) {
                    Ok(waited) => assert_eq!(waited.outcome, WaitOutcome::Ready),
                    Err(end) => break end,
                }
                for (consumer, received) in consumers.iter_mut().zip(&mut received) {
                    while let Some(record) = receive(consumer) {
                        assert_eq!(record, u64::to_le_bytes(*received), "{strategy:?}");
                        *received += 1;
                    }
                }
            };
            assert!(matches!(end, WaitError::Closed), "{strategy:?}: {end}");
            assert_eq!(received, COUNTS, "{strategy:?}");
        });
    }
}

/// RING-10: a deadline ends it, a sleeper is woken through any of the words, and none stays set.
#[test]
fn a_wait_for_any_ring_sleeps_on_all_of_them() {
    let asleep = WaitStrategy::Futex { budget: Nanos(0) };
    for woken_by in 0..3 {
        let segments = [(); 3].map(|()| segment(CAPACITY));
        let mut producers: Vec<_> = segments.iter().map(producer).collect();
        let mut consumers: Vec<Consumer> = segments.iter().map(consumer).collect();
        let wait = |deadline| wait_any(&mut consumers, asleep, Some(deadline)).expect("quiet peers are no error");
        until_counted(wait, |waited| waited.sleeps > 0);
        thread::scope(|scope| {
            let sleeper = scope.spawn(move || wait_any(&mut consumers, asleep, None).map(|waited| waited.outcome));
            until_parked(&segments[woken_by], offset::CONSUMER_PARKED);
            send(&mut producers[woken_by], b"wake");
            assert_eq!(sleeper.join().expect("the consumer ends").ok(), Some(WaitOutcome::Ready), "ring {woken_by}");
        });
        for segment in &segments {
            assert_eq!(Area::control(segment).read_u32(offset::CONSUMER_PARKED), 0, "ring {woken_by}");
        }
    }
}

/// RING-10: an end is in peace only where every producer closed; one that died has not.
#[test]
fn a_wait_for_any_ring_tells_a_death_from_a_close() {
    for died in [false, true] {
        let segments = [(); 2].map(|()| segment(CAPACITY));
        let mut child = std::process::Command::new("sleep").arg("600").spawn().expect("sleep");
        let pid = rustix::process::Pid::from_child(&child);
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("a living child");
        let peers = [Some(pidfd), None];
        let mut consumers: Vec<Consumer> = segments
            .iter()
            .zip(peers)
            .map(|(segment, peer)| Consumer::attach(segment.consumer_fds().expect("fds"), peer).expect("attached"))
            .collect();
        let closing: Vec<_> = segments.iter().skip(usize::from(died)).map(producer).collect();
        drop(closing);
        child.kill().expect("killed");
        child.wait().expect("reaped");
        for strategy in STRATEGIES {
            let end = wait_any(&mut consumers, strategy, None).expect_err("nobody is left");
            assert_eq!(matches!(end, WaitError::PeerGone), died, "{strategy:?}: {end}");
        }
    }
}
