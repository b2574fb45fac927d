//! Rings between processes. The child is this test program again, told by its environment what to play.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;

use rtt_ring::{Consumer, Producer, RingFds, Segment, WaitError, WaitOutcome, WaitStrategy, wait_any};
use rtt_units::Nanos;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::{Area, offset, receive, segment, send};

const ROLE: &str = "RTT_RING_TEST_ROLE";
const CONTROL: &str = "RTT_RING_TEST_CONTROL";
const DATA: &str = "RTT_RING_TEST_DATA";
const CAPACITY: u64 = 64 << 10;
const COUNT: u64 = 20_000;
const PATIENT: WaitStrategy = WaitStrategy::Futex { budget: Nanos(20_000) };

fn child(role: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("our own program"));
    command.args(["process::the_child_plays_its_role", "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command
}

/// Spawns a child that inherits these descriptors.
fn spawn_with(role: &str, fds: &RingFds, stdout: Stdio) -> Child {
    let [control, data] = fds.inheritable().expect("flags can be set");
    let mut command = child(role);
    command.env(CONTROL, control.to_string()).env(DATA, data.to_string());
    command.stdin(Stdio::piped()).stdout(stdout).spawn().expect("our own program starts")
}

fn pidfd(child: &Child) -> OwnedFd {
    pidfd_open(Pid::from_child(child), PidfdFlags::empty()).expect("a child that was not waited for")
}

/// Reads the child's output until it says so.
fn until_says(child: &mut Child, word: &str) {
    let stdout = child.stdout.take().expect("a pipe");
    let said = BufReader::new(stdout).lines().any(|line| line.expect("text").contains(word));
    assert!(said, "the child ended without saying `{word}`");
}

fn payload(number: u64) -> Vec<u8> {
    let mut payload = vec![number as u8; 8 + (number * 13 % 300) as usize];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}

fn send_numbered(producer: &mut Producer, number: u64) {
    let payload = payload(number);
    producer.wait_space(payload.len(), PATIENT, None).expect("the consumer lives");
    send(producer, &payload);
}

/// Reads numbered records until the ring ends; how many, and how it ended.
fn receive_numbered(consumer: &mut Consumer, mut expected: u64) -> (u64, WaitError) {
    loop {
        if let Err(end) = consumer.wait(PATIENT, None) {
            return (expected, end);
        }
        while let Some(record) = receive(consumer) {
            assert_eq!(record, payload(expected), "RING-3: record {expected}");
            expected += 1;
        }
    }
}

fn inherited() -> RingFds {
    let number = |name| env::var(name).ok().and_then(|text| text.parse::<RawFd>().ok()).expect("set by the parent");
    RingFds::inherited(number(CONTROL), number(DATA)).expect("inherited descriptors")
}

/// The test's own process: a child whose parent fails ends too, instead of waiting for ever.
fn parent() -> Option<OwnedFd> {
    let parent = rustix::process::getppid().expect("a living parent");
    Some(pidfd_open(parent, PidfdFlags::empty()).expect("the parent's pidfd"))
}

/// Says so and then waits to be killed, or for the parent's end.
fn say_and_hang(word: &str) {
    println!("\n{word}");
    std::io::stdout().flush().expect("a pipe");
    let _ = std::io::stdin().lock().read_line(&mut String::new());
}

/// Not a test of its own: the other side of the tests below. Without a role there is nothing to play.
#[test]
fn the_child_plays_its_role() {
    let Ok(role) = env::var(ROLE) else { return };
    match role.as_str() {
        "consume" => {
            let mut consumer = Consumer::attach(inherited(), parent()).expect("the consumer attaches");
            let (count, end) = receive_numbered(&mut consumer, 0);
            assert_eq!(count, COUNT);
            assert!(matches!(end, WaitError::Closed), "{end}");
        }
        "consume from socket" => {
            let stdin = std::io::stdin().as_fd().try_clone_to_owned().expect("a descriptor");
            let fds = RingFds::receive(&UnixStream::from(stdin)).expect("descriptors");
            let mut consumer = Consumer::attach(fds, parent()).expect("the consumer attaches");
            assert_eq!(receive_numbered(&mut consumer, 0).0, COUNT);
        }
        "die in a grant" => {
            let mut producer = Producer::attach(inherited(), parent()).expect("the producer attaches");
            for number in 0..10 {
                send_numbered(&mut producer, number);
            }
            let mut staged = producer.reserve(100).expect("room");
            staged.fill(0xdd);
            staged.commit();
            let mut reserved = producer.reserve(1000).expect("room");
            reserved[..500].fill(0xdd);
            say_and_hang("in the grant");
        }
        "produce for ever" => {
            let mut producer = Producer::attach(inherited(), parent()).expect("the producer attaches");
            for number in 0.. {
                send_numbered(&mut producer, number);
            }
        }
        "attach as consumer" => {
            let _consumer = Consumer::attach(inherited(), parent()).expect("the consumer attaches");
            say_and_hang("attached");
        }
        other => panic!("no role `{other}`"),
    }
}

fn end(mut child: Child) {
    child.kill().expect("SIGKILL");
    child.wait().expect("a status");
}

#[test]
fn records_cross_to_a_process_that_inherited_the_ring() {
    let segment = segment(CAPACITY);
    let fds = segment.consumer_fds().expect("descriptors");
    let mut child = spawn_with("consume", &fds, Stdio::null());
    drop(fds);
    let mut producer =
        Producer::attach(segment.producer_fds().expect("descriptors"), Some(pidfd(&child))).expect("attaches");
    (0..COUNT).for_each(|number| send_numbered(&mut producer, number));
    producer.close();
    assert!(child.wait().expect("a status").success(), "the child read every record");
}

#[test]
fn records_cross_to_a_process_that_got_the_ring_over_a_socket() {
    let segment = segment(CAPACITY);
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let mut child = child("consume from socket")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .expect("our own program starts");
    segment.consumer_fds().expect("descriptors").send(&ours).expect("the child listens");
    let mut producer =
        Producer::attach(segment.producer_fds().expect("descriptors"), Some(pidfd(&child))).expect("attaches");
    (0..COUNT).for_each(|number| send_numbered(&mut producer, number));
    producer.close();
    assert!(child.wait().expect("a status").success(), "the child read every record");
}

/// RING-3, RING-7: a producer killed between reserve and commit leaves what it had published, and an end.
#[test]
fn a_producer_killed_in_a_grant_leaves_whole_records_and_an_end() {
    let segment = segment(CAPACITY);
    let mut child = spawn_with("die in a grant", &segment.producer_fds().expect("descriptors"), Stdio::piped());
    let peer = pidfd(&child);
    until_says(&mut child, "in the grant");
    end(child);
    let mut consumer = Consumer::attach(segment.consumer_fds().expect("descriptors"), Some(peer)).expect("attaches");
    let (count, gone) = receive_numbered(&mut consumer, 0);
    assert_eq!(count, 10, "published records, and neither the staged nor the reserved one");
    assert!(matches!(gone, WaitError::PeerGone), "{gone}");
}

/// RING-3: killed anywhere in its loop, thousands of records from the start.
#[test]
fn a_producer_killed_at_full_speed_leaves_whole_records() {
    for until in [1, 1_000, 5_000] {
        let segment = segment(CAPACITY);
        let child = spawn_with("produce for ever", &segment.producer_fds().expect("descriptors"), Stdio::null());
        let fds = segment.consumer_fds().expect("descriptors");
        let mut consumer = Consumer::attach(fds, Some(pidfd(&child))).expect("attaches");
        let mut read = 0;
        while read < until {
            consumer.wait(PATIENT, None).expect("the producer lives");
            let record = receive(&mut consumer).expect("a record was waited for");
            assert_eq!(record, payload(read), "record {read}");
            read += 1;
        }
        end(child);
        let (_, gone) = receive_numbered(&mut consumer, read);
        assert!(matches!(gone, WaitError::PeerGone), "{gone}");
    }
}

/// Kills the peer of a wait that has begun; `parked` is the word that the waiter sets before it sleeps.
fn check_end<T: Send>(
    segment: &Segment,
    child: Child,
    parked: u64,
    wait: impl FnOnce() -> Result<T, WaitError> + Send,
) {
    thread::scope(|scope| {
        let waiter = scope.spawn(wait);
        let control = Area::control(segment);
        while control.read_u32(parked) == 0 {
            thread::yield_now();
        }
        end(child);
        let waited = waiter.join().expect("the waiter ends").map(|_| "ready");
        assert!(matches!(waited, Err(WaitError::PeerGone)), "{waited:?}");
    });
}

/// RING-7: both sides, asleep while the peer is killed.
#[test]
fn a_killed_peer_ends_a_sleep() {
    let asleep = WaitStrategy::Futex { budget: Nanos(0) };
    let ring = segment(CAPACITY);
    let mut child = spawn_with("die in a grant", &ring.producer_fds().expect("descriptors"), Stdio::piped());
    until_says(&mut child, "in the grant");
    let fds = ring.consumer_fds().expect("descriptors");
    let mut consumer = Consumer::attach(fds, Some(pidfd(&child))).expect("attaches");
    while receive(&mut consumer).is_some() {}
    check_end(&ring, child, offset::CONSUMER_PARKED, move || consumer.wait(asleep, None));

    let ring = segment(CAPACITY);
    let mut child = spawn_with("attach as consumer", &ring.consumer_fds().expect("descriptors"), Stdio::piped());
    until_says(&mut child, "attached");
    let fds = ring.producer_fds().expect("descriptors");
    let mut producer = Producer::attach(fds, Some(pidfd(&child))).expect("attaches");
    let whole = producer.capacity().max_payload();
    send(&mut producer, &vec![1; whole]);
    check_end(&ring, child, offset::PRODUCER_PARKED, move || producer.wait_space(8, asleep, None));
}

/// RING-7: spinning and yielding notice it too, also in waits too short to look each time.
#[test]
fn a_killed_peer_ends_spinning_and_many_short_waits() {
    for (strategy, short) in
        [(WaitStrategy::Spin, false), (WaitStrategy::Yield { budget: Nanos(0) }, false), (WaitStrategy::Spin, true)]
    {
        let segment = segment(CAPACITY);
        let mut child = spawn_with("die in a grant", &segment.producer_fds().expect("descriptors"), Stdio::piped());
        until_says(&mut child, "in the grant");
        let fds = segment.consumer_fds().expect("descriptors");
        let mut consumer = Consumer::attach(fds, Some(pidfd(&child))).expect("attaches");
        while receive(&mut consumer).is_some() {}
        end(child);
        let gone = loop {
            let deadline = short.then(|| Nanos(rtt_ring::now().0 + 10_000));
            if let Err(gone) = consumer.wait(strategy, deadline) {
                break gone;
            }
        };
        assert!(matches!(gone, WaitError::PeerGone), "{gone}");
    }
}

/// RING-10: one killed producer of two does not end the wait; both do.
#[test]
fn a_killed_peer_does_not_end_a_wait_for_other_rings() {
    let segments = [segment(CAPACITY), segment(CAPACITY)];
    let mut children = Vec::new();
    let mut consumers = Vec::new();
    for segment in &segments {
        let mut child = spawn_with("die in a grant", &segment.producer_fds().expect("descriptors"), Stdio::piped());
        until_says(&mut child, "in the grant");
        let fds = segment.consumer_fds().expect("descriptors");
        let mut consumer = Consumer::attach(fds, Some(pidfd(&child))).expect("attaches");
        while receive(&mut consumer).is_some() {}
        consumers.push(consumer);
        children.push(child);
    }
    let asleep = WaitStrategy::Futex { budget: Nanos(0) };
    let soon = || Some(Nanos(rtt_ring::now().0 + 5_000_000));
    end(children.remove(0));
    let waited = wait_any(&mut consumers, asleep, soon()).expect("the second producer lives");
    assert_eq!(waited.outcome, WaitOutcome::TimedOut);
    end(children.remove(0));
    let waited = wait_any(&mut consumers, asleep, None);
    assert!(matches!(waited, Err(WaitError::PeerGone)), "{waited:?}");
}
