//! Samples of the ring, of one named peer, and of the machine's limit, in one run.
//!
//! `push_pop` is one thread alone: the cost of the code with the lines in its own cache. `round_trip` is
//! there and back between two pinned CPUs, spinning, payload copied both ways; `one_line` beside it moves
//! nothing but one cache line, the least that two CPUs can do. `stream` is one way, one to the other.
//! The peer, rtrb, passes fixed arrays inside one process and never sleeps, so it does less.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rtt_ring::{Consumer, Pages, Producer, RingCapacity, RingConfig, Segment, WaitStrategy};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const CAPACITY: u64 = 64 << 10;

fn ring() -> (Producer, Consumer) {
    let capacity = RingCapacity::new(CAPACITY).expect("a power of two");
    let segment = Segment::create(&RingConfig { capacity, pages: Pages::Small, epoch: 1 }).expect("a segment");
    let producer = Producer::attach(segment.producer_fds().expect("descriptors"), None).expect("a producer");
    let consumer = Consumer::attach(segment.consumer_fds().expect("descriptors"), None).expect("a consumer");
    (producer, consumer)
}

/// The first two CPUs that this process may use.
fn cpu_pair() -> Option<[usize; 2]> {
    let allowed = sched_getaffinity(None).ok()?;
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu));
    Some([cpus.next()?, cpus.next()?])
}

fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).expect("an allowed CPU");
}

fn send(producer: &mut Producer, payload: &[u8]) {
    loop {
        if let Ok(mut grant) = producer.reserve(payload.len()) {
            grant.copy_from_slice(payload);
            grant.commit();
            return;
        }
        producer.publish();
        spin_loop();
    }
}

fn push_pop(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring/push_pop");
    group.throughput(Throughput::Elements(1));
    for bytes in [8_usize, 64, 1024, 16 << 10] {
        let (mut producer, mut consumer) = ring();
        let (payload, mut buffer) = (vec![7; bytes], vec![0; bytes]);
        group.bench_function(BenchmarkId::new("rtt_ring", bytes), |b| {
            b.iter(|| {
                send(&mut producer, black_box(&payload));
                producer.publish();
                let read = consumer.read(&mut buffer).expect("an honest producer");
                consumer.release();
                black_box(&buffer);
                read
            });
        });
    }
    let (mut push, mut pop) = rtrb::RingBuffer::<[u8; 64]>::new(1024);
    group.bench_function(BenchmarkId::new("rtrb", 64), |b| {
        b.iter(|| {
            push.push(black_box([7; 64])).expect("room");
            black_box(pop.pop().expect("a record"))
        });
    });
    group.finish();
}

/// Times `count` calls of `trip` on one CPU while `echo` answers on the other until the flag falls.
fn timed_pair(cpus: [usize; 2], count: u64, mut trip: impl FnMut() + Send, mut echo: impl FnMut() + Send) -> Duration {
    let running = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(cpus[1]);
            while running.load(Ordering::Relaxed) {
                echo();
            }
        });
        let timed = scope.spawn(|| {
            pin(cpus[0]);
            trip(); // The first waits until the other thread runs.
            let start = Instant::now();
            (0..count).for_each(|_| trip());
            let spent = start.elapsed();
            running.store(false, Ordering::Relaxed);
            spent
        });
        timed.join().expect("the timed side ends")
    })
}

fn ring_round_trips(cpus: [usize; 2], bytes: usize, count: u64) -> Duration {
    let ((mut request, mut requested), (mut answer, mut answered)) = (ring(), ring());
    let (payload, mut buffer, mut echoed) = (vec![7; bytes], vec![0; bytes], vec![0; bytes]);
    let trip = || {
        send(&mut request, &payload);
        request.publish();
        answered.wait(WaitStrategy::Spin, None).expect("the echo lives");
        answered.read(&mut buffer).expect("an honest echo");
        answered.release();
        black_box(&buffer);
    };
    let echo = || {
        if let Some(len) = requested.read(&mut echoed).expect("an honest sender") {
            requested.release();
            send(&mut answer, &echoed[..len]);
            answer.publish();
        } else {
            spin_loop();
        }
    };
    timed_pair(cpus, count, trip, echo)
}

fn rtrb_round_trips(cpus: [usize; 2], count: u64) -> Duration {
    let ((mut request, mut requested), (mut answer, mut answered)) =
        (rtrb::RingBuffer::<[u8; 64]>::new(1024), rtrb::RingBuffer::<[u8; 64]>::new(1024));
    let trip = || {
        request.push(black_box([7; 64])).expect("room");
        while answered.pop().map(black_box).is_err() {
            spin_loop();
        }
    };
    let echo = || match requested.pop() {
        Ok(payload) => answer.push(payload).expect("room"),
        Err(_) => spin_loop(),
    };
    timed_pair(cpus, count, trip, echo)
}

fn line_round_trips(cpus: [usize; 2], count: u64) -> Duration {
    let line = AtomicU64::new(0);
    let trip = || {
        line.store(1, Ordering::Release);
        while line.load(Ordering::Acquire) == 1 {
            spin_loop();
        }
    };
    let echo = || {
        if line.load(Ordering::Acquire) == 1 {
            line.store(0, Ordering::Release);
        } else {
            spin_loop();
        }
    };
    timed_pair(cpus, count, trip, echo)
}

fn round_trip(c: &mut Criterion) {
    let Some(cpus) = cpu_pair() else {
        eprintln!("skipped: ring/round_trip needs two CPUs; allow the process a second one");
        return;
    };
    let mut group = c.benchmark_group("ring/round_trip");
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::new("one_line", 8), |b| b.iter_custom(|count| line_round_trips(cpus, count)));
    for bytes in [64_usize, 1024, 16 << 10] {
        group.bench_function(BenchmarkId::new("rtt_ring", bytes), |b| {
            b.iter_custom(|count| ring_round_trips(cpus, bytes, count));
        });
    }
    group.bench_function(BenchmarkId::new("rtrb", 64), |b| b.iter_custom(|count| rtrb_round_trips(cpus, count)));
    group.finish();
}

/// One way: `count` records of 64 bytes, published `batch` at a time.
fn ring_stream(cpus: [usize; 2], batch: u64, count: u64) -> Duration {
    let (mut producer, mut consumer) = ring();
    let payload = [7; 64];
    thread::scope(|scope| {
        scope.spawn(move || {
            pin(cpus[1]);
            for sent in 1..=count {
                send(&mut producer, &payload);
                if sent % batch == 0 {
                    producer.publish();
                }
            }
        });
        let timed = scope.spawn(move || {
            pin(cpus[0]);
            let mut buffer = [0; 64];
            let (start, mut received) = (Instant::now(), 0);
            while received < count {
                consumer.wait(WaitStrategy::Spin, None).expect("the producer publishes before it ends");
                while consumer.read(&mut buffer).expect("an honest producer").is_some() {
                    black_box(&buffer);
                    received += 1;
                    if received % batch == 0 {
                        consumer.release();
                    }
                }
            }
            start.elapsed()
        });
        timed.join().expect("the consumer ends")
    })
}

fn rtrb_stream(cpus: [usize; 2], count: u64) -> Duration {
    let (mut push, mut pop) = rtrb::RingBuffer::<[u8; 64]>::new(1024);
    thread::scope(|scope| {
        scope.spawn(move || {
            pin(cpus[1]);
            for _ in 0..count {
                while push.push(black_box([7; 64])).is_err() {
                    spin_loop();
                }
            }
        });
        let timed = scope.spawn(move || {
            pin(cpus[0]);
            let (start, mut received) = (Instant::now(), 0);
            while received < count {
                match pop.pop().map(black_box) {
                    Ok(_) => received += 1,
                    Err(_) => spin_loop(),
                }
            }
            start.elapsed()
        });
        timed.join().expect("the consumer ends")
    })
}

fn stream(c: &mut Criterion) {
    let Some(cpus) = cpu_pair() else {
        eprintln!("skipped: ring/stream needs two CPUs; allow the process a second one");
        return;
    };
    let mut group = c.benchmark_group("ring/stream");
    group.throughput(Throughput::Elements(1));
    for batch in [1, 32, 128] {
        group.bench_function(BenchmarkId::new("rtt_ring_batch", batch), |b| {
            b.iter_custom(|count| ring_stream(cpus, batch, count));
        });
    }
    group.bench_function(BenchmarkId::new("rtrb_batch", 1), |b| b.iter_custom(|count| rtrb_stream(cpus, count)));
    group.finish();
}

criterion_group!(benches, push_pop, round_trip, stream);
criterion_main!(benches);
