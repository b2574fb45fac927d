//! The protocol under loom: every interleaving, up to a bound of preemptions, of two threads that publish,
//! park, wake and close. Loom's cells stand for the map's atomics, a lock and a condition for the futex.
//! The mutants at the end take one barrier away each, and loom must find the damage.

use std::convert::Infallible;
use std::process::Command;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, AtomicU64, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::*;
use crate::layout::encode_header;

/// Room for two records of one word each.
const CAPACITY: u64 = 32;
const WORDS: usize = (CAPACITY / 8) as usize;
const RECORD_BYTES: u64 = 16;

/// What a mutant leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    NoPublisherFence,
    NoSleeperFence,
    RelaxedTail,
    RelaxedHead,
}

struct ModelCursor {
    position: AtomicU64,
    relaxed: bool,
}

impl CursorCell for ModelCursor {
    fn load(&self, order: Ordering) -> u64 {
        self.position.load(order)
    }
    fn store(&self, position: u64, order: Ordering) {
        self.position.store(position, if self.relaxed { Ordering::Relaxed } else { order });
    }
}

struct ModelWord {
    word: AtomicU32,
    queue: Mutex<()>,
    bell: Condvar,
}

impl ModelWord {
    fn new() -> ModelWord {
        ModelWord { word: AtomicU32::new(0), queue: Mutex::new(()), bell: Condvar::new() }
    }

    /// As the kernel: compares under the queue's lock, and sleeps without a limit of time, so that a
    /// lost wake-up is a deadlock, which loom reports.
    fn park(&self) {
        let queue = self.queue.lock().expect("no thread panics");
        if self.word.load(Ordering::Relaxed) == PARKED {
            drop(self.bell.wait(queue).expect("no thread panics"));
        }
    }
}

impl WordCell for ModelWord {
    fn load(&self, order: Ordering) -> u32 {
        self.word.load(order)
    }
    fn store(&self, word: u32, order: Ordering) {
        self.word.store(word, order);
    }
    fn swap(&self, word: u32, order: Ordering) -> u32 {
        self.word.swap(word, order)
    }
}

/// One ring under loom. The data cells let loom see any access that the cursors do not order.
struct Model {
    mutant: Mutant,
    tail: ModelCursor,
    head: ModelCursor,
    consumer_parked: ModelWord,
    producer_parked: ModelWord,
    consumer_state: ModelWord,
    producer_state: ModelWord,
    data: Vec<UnsafeCell<u64>>,
}

// SAFETY: the data cells are accessed only as the protocol allows, which is what loom checks.
#[allow(unsafe_code)]
unsafe impl Sync for Model {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Send for Model {}

impl Model {
    fn new(mutant: Mutant) -> Model {
        let cursor = |relaxed| ModelCursor { position: AtomicU64::new(0), relaxed };
        Model {
            mutant,
            tail: cursor(mutant == Mutant::RelaxedTail),
            head: cursor(mutant == Mutant::RelaxedHead),
            consumer_parked: ModelWord::new(),
            producer_parked: ModelWord::new(),
            consumer_state: ModelWord::new(),
            producer_state: ModelWord::new(),
            data: (0..WORDS).map(|_| UnsafeCell::new(0)).collect(),
        }
    }

    #[allow(unsafe_code)]
    fn write(&self, position: u64, word: u64) {
        // SAFETY: loom panics when another thread may access the cell at the same time.
        self.data[(position / 8) as usize % WORDS].with_mut(|cell| unsafe { *cell = word });
    }

    #[allow(unsafe_code)]
    fn read(&self, position: u64) -> u64 {
        // SAFETY: as in `write`.
        self.data[(position / 8) as usize % WORDS].with(|cell| unsafe { *cell })
    }
}

impl Control for Model {
    type Cursor = ModelCursor;
    type Word = ModelWord;
    fn tail(&self) -> &ModelCursor {
        &self.tail
    }
    fn head(&self) -> &ModelCursor {
        &self.head
    }
    fn consumer_parked(&self) -> &ModelWord {
        &self.consumer_parked
    }
    fn producer_parked(&self) -> &ModelWord {
        &self.producer_parked
    }
    fn consumer_state(&self) -> &ModelWord {
        &self.consumer_state
    }
    fn producer_state(&self) -> &ModelWord {
        &self.producer_state
    }
    fn publisher_fence(&self) {
        if self.mutant != Mutant::NoPublisherFence {
            fence(Ordering::SeqCst);
        }
    }
    fn sleeper_fence(&self) {
        if self.mutant != Mutant::NoSleeperFence {
            fence(Ordering::SeqCst);
        }
    }
    fn wake(&self, word: &ModelWord) {
        let _queue = word.queue.lock().expect("no thread panics");
        word.bell.notify_one();
    }
}

fn park(word: &ModelWord) -> Result<(), Fault> {
    word.park();
    Ok(())
}

/// Sends the numbers below `count`, each published alone, parking when the ring is full.
fn produce(ring: &Model, count: u64) {
    let mut cursor = ProducerCursor::new(CAPACITY, 0, 0).expect("a fresh ring");
    for number in 0..count {
        while !cursor.fits(ring, RECORD_BYTES).expect("an honest consumer") {
            let look_again = || cursor.fits(ring, RECORD_BYTES);
            park_unless(ring, ring.producer_parked(), look_again, park).expect("an honest consumer");
        }
        let position = cursor.position();
        ring.write(position, encode_header(position, 8));
        ring.write(position + 8, number);
        cursor.stage(RECORD_BYTES);
        cursor.publish(ring);
    }
    close_producer(ring);
}

/// Reads until the producer has closed, parking when the ring is empty; how many records came.
fn consume(ring: &Model) -> u64 {
    let mut cursor = ConsumerCursor::new(CAPACITY, 0, 0).expect("a fresh ring");
    let mut count = 0;
    loop {
        if cursor.available(ring).expect("an honest producer") {
            let position = cursor.position();
            let len = cursor.payload_len(ring.read(position)).expect("a whole record");
            assert_eq!(ring.read(position + 8), count, "RING-3: record {count} is whole and in order");
            cursor.advance(len);
            cursor.release(ring);
            count += 1;
        } else if is_closed(ring.producer_state()) {
            if !cursor.available(ring).expect("an honest producer") {
                return count;
            }
        } else {
            let look_again = || Ok(cursor.available(ring)? || is_closed(ring.producer_state()));
            park_unless(ring, ring.consumer_parked(), look_again, park).expect("an honest producer");
        }
    }
}

/// Explores two threads that pass `count` records; loom panics on a race or a deadlock.
fn explore(mutant: Mutant, count: u64) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let ring = Arc::new(Model::new(mutant));
        let producer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || produce(&ring, count))
        };
        assert_eq!(consume(&ring), count, "RING-7: all that was published before the close arrives");
        producer.join().expect("the producer ends");
    });
}

/// RING-2, RING-3, RING-4: one record and the close; neither is lost, torn or slept through.
#[test]
fn one_record_and_the_close_always_arrive() {
    explore(Mutant::None, 1);
}

/// RING-2, RING-4: three records through a ring of two, so that both sides wait for each other.
#[test]
fn a_full_ring_neither_tears_nor_sleeps_for_ever() {
    explore(Mutant::None, 3);
}

/// RING-4: a closing consumer ends a producer's sleep.
#[test]
fn a_closing_consumer_wakes_a_producer_that_waits_for_room() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let ring = Arc::new(Model::new(Mutant::None));
        let closing = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || close_consumer(&*ring))
        };
        while !is_closed(ring.consumer_state()) {
            let look_again = || Ok::<_, Infallible>(is_closed(ring.consumer_state()));
            let sleep = |word: &ModelWord| {
                word.park();
                Ok(())
            };
            let Ok(_) = park_unless(&*ring, ring.producer_parked(), look_again, sleep);
        }
        closing.join().expect("the consumer closes");
    });
}

const MUTANT: &str = "RTT_RING_TEST_MUTANT";
const MUTANTS: [Mutant; 5] =
    [Mutant::None, Mutant::NoPublisherFence, Mutant::NoSleeperFence, Mutant::RelaxedTail, Mutant::RelaxedHead];

/// Not a test of its own: explores the mutant that the environment names, if any, in a process of its
/// own, since loom cannot unwind out of a deadlock.
#[test]
fn the_named_mutant_is_explored() {
    let Ok(name) = std::env::var(MUTANT) else { return };
    let mutant = MUTANTS.into_iter().find(|mutant| format!("{mutant:?}") == name);
    explore(mutant.expect("a mutant's name"), 3);
}

/// RING-3, RING-4: without any one of the four barriers the model finds a race or a lost wake-up.
#[test]
fn each_barrier_is_needed() {
    for mutant in MUTANTS {
        let outcome = Command::new(std::env::current_exe().expect("our own program"))
            .args(["protocol::tests::the_named_mutant_is_explored", "--exact", "--nocapture"])
            .env(MUTANT, format!("{mutant:?}"))
            .output()
            .expect("our own program starts");
        let said = String::from_utf8_lossy(&outcome.stderr);
        let found = ["deadlock", "Causality violation"].iter().any(|what| said.contains(what));
        let healthy = mutant == Mutant::None; // The positive control.
        assert_eq!((outcome.status.success(), found), (healthy, !healthy), "{mutant:?}: {said}");
    }
}
