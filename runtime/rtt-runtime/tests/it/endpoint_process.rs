//! Starts the real `rtt-endpoint` and drives it as a client does.

use rtt_host::{Child, Spawn};
use rtt_profile::{Knobs, Pin, Wait};
use rtt_ring::{Producer, ReserveError, WaitStrategy, now};
use rtt_runtime::control::{Configure, Ready, Report};
use rtt_runtime::{Client, Stamp};
use rtt_units::Nanos;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

/// A run of an endpoint with one ring, from `configure` to the report.
pub struct Run {
    pub ready: Ready,
    pub producer: Option<Producer>,
    client: Client,
    _child: Child,
}

/// Starts an endpoint whose control socket the caller holds.
pub fn start() -> (Child, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    ours.set_read_timeout(Some(std::time::Duration::from_secs(60))).expect("a timeout");
    let child = Spawn::new(env!("CARGO_BIN_EXE_rtt-endpoint"))
        .argument("--control-on-stdin")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .start();
    (child.expect("the endpoint starts"), ours)
}

/// Knobs that wait without end and batch nothing.
pub fn plain() -> Knobs {
    Knobs {
        ring_bytes: 64 << 10,
        batch: 1,
        window_us: 0,
        wait: Wait::Futex,
        spin_us: 0,
        pin: Pin::Unpinned,
        huge_pages: false,
    }
}

impl Run {
    pub fn configure(knobs: &Knobs) -> Run {
        Run::configure_on(knobs, None)
    }

    pub fn configure_on(knobs: &Knobs, cpus: Option<String>) -> Run {
        let (child, socket) = start();
        let mut client = Client::new(socket);
        client.hello().expect("hello");
        let configure = Configure { knobs: Some(knobs.clone()), rings: 1, reply: false, cpus };
        let ready = client.configure(&configure).expect("ready");
        let endpoint = child.pidfd().try_clone_to_owned().expect("a descriptor");
        let producer = client.attach_producer(0, Some(endpoint)).expect("a ring");
        Run { ready, producer: Some(producer), client, _child: child }
    }

    /// Stages and publishes `count` messages of 64 bytes, waiting for room.
    pub fn send(&mut self, first: u64, count: u64) {
        let producer = self.producer.as_mut().expect("not finished");
        for sequence in first..first + count {
            while !try_stage(producer, sequence) {
                producer.wait_space(64, WaitStrategy::Yield { budget: Nanos(0) }, None).expect("room");
            }
        }
        producer.publish();
    }

    pub fn begin(&mut self) {
        self.client.start(now(), Nanos::from_millis(100)).expect("started");
    }

    /// Waits until the loop has given back the room of everything that was sent.
    pub fn drained(&mut self) {
        let producer = self.producer.as_ref().expect("not finished");
        while producer.depth_bytes().0 > 0 {
            std::thread::yield_now();
        }
    }

    pub fn finish(mut self) -> Report {
        self.producer = None; // Closes the ring.
        self.client.finish().expect("a report")
    }
}

/// Stages one message where there is room.
pub fn try_stage(producer: &mut Producer, sequence: u64) -> bool {
    match producer.reserve(64) {
        Ok(mut grant) => {
            let time = now();
            Stamp { intended: time, excused: time, sequence }.write(&mut grant);
            grant.commit();
            true
        }
        Err(ReserveError::Full { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

impl Run {
    /// Ends a run that only looked at `ready`.
    pub fn finish_unstarted(mut self) {
        self.producer = None;
        let report = self.client.finish().expect("a report");
        assert!(report.end.contains("before the start"), "{}", report.end);
    }
}
