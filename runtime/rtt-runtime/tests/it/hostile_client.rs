//! Clients that get the protocol wrong: each is answered, and the endpoint serves on.

use crate::endpoint_process::{Run, plain, start, try_stage};
use rtt_host::Ended;
use rtt_profile::Knobs;
use rtt_runtime::control::{Answer, Configure, End, Lines, Request};
use rtt_runtime::{Client, ClientError};
use std::io::Write;

fn ask(lines: &mut Lines, request: &Request) -> String {
    lines.send(request).expect("sent");
    match lines.receive().expect("an answer") {
        Answer::Error(reason) => reason,
        other => format!("{other:?}"),
    }
}

/// ENDPOINT-2
#[test]
fn another_version_is_refused_with_both_named() {
    let (_child, socket) = start();
    let mut lines = Lines::new(socket);
    let answer = ask(&mut lines, &Request::Hello { version: 7 });
    assert!(answer.contains("version 1") && answer.contains("version 7"), "{answer}");
    assert!(ask(&mut lines, &Request::Hello { version: 1 }).contains("rtt-endpoint"));
}

#[test]
fn requests_out_of_order_or_out_of_range_are_answered() {
    let (_child, socket) = start();
    let mut lines = Lines::new(socket);
    let configure = |knobs, rings| Request::Configure(Configure { knobs, rings, reply: false, cpus: None });
    let attach = |ring| Request::Attach { ring, side: End::Producer };
    for (request, part) in [
        (Request::Start { at_ns: 0, length_ns: 1 }, "not configured"),
        (Request::Finish {}, "not configured"),
        (attach(0), "not configured"),
        (configure(None, 1), "no knobs"),
        (configure(Some(plain()), 0), "0 rings"),
        (configure(Some(plain()), 65), "65 rings"),
        (configure(Some(Knobs { batch: 0, ..plain() }), 1), "1..=256"),
        (configure(Some(plain()), 1), "Ready"),
        (configure(Some(plain()), 1), "already configured"),
        (attach(1), "ring 1 of 1"),
        (Request::Attach { ring: 0, side: End::Replies }, "ring 0 of 0"),
    ] {
        let answer = ask(&mut lines, &request);
        assert!(answer.contains(part), "{request:?}: {answer}");
    }
}

#[test]
fn what_is_no_request_is_answered_and_the_next_one_served() {
    let (_child, mut socket) = start();
    let mut lines = Lines::new(socket.try_clone().expect("a socket"));
    for garbage in ["\n", "[]\n", "{\"hello\":{\"version\":1,\"colour\":2}}\n", "\u{0}\u{1}\n"] {
        socket.write_all(garbage.as_bytes()).expect("sent");
        let Answer::Error(reason) = lines.receive().expect("an answer") else { panic!("{garbage:?} was taken") };
        assert!(reason.contains("not a request"), "{reason}");
    }
    assert!(ask(&mut lines, &Request::Hello { version: 1 }).contains("rtt-endpoint"));
}

/// A message of fewer bytes than a head is counted, and the loop goes on (ENDPOINT-1).
#[test]
fn a_short_message_is_counted_as_malformed() {
    let mut run = Run::configure(&plain());
    let producer = run.producer.as_mut().expect("not finished");
    producer.reserve(3).expect("room").commit();
    run.send(0, 1);
    run.begin();
    let report = run.finish();
    assert_eq!((report.end.as_str(), report.counts["malformed"], report.handled), ("closed", 1, 1));
}

/// ENDPOINT-4: a record larger than any message ends the loop with the ring's name, not with a panic.
#[test]
fn a_message_beyond_the_limit_ends_the_run_and_not_the_endpoint() {
    let mut run = Run::configure(&plain());
    let producer = run.producer.as_mut().expect("not finished");
    producer.reserve(16 << 10).expect("room").commit();
    producer.publish();
    run.begin();
    let report = run.finish();
    assert!(report.end.contains("ring 0") && report.end.contains("16384 bytes"), "{}", report.end);
}

/// ENDPOINT-4: numbers that no sender counts to are a loss that is told, and no overflow.
#[test]
fn absurd_sequence_numbers_end_nothing() {
    let mut run = Run::configure(&plain());
    let producer = run.producer.as_mut().expect("not finished");
    for sequence in [u64::MAX, 0, u64::MAX, u64::MAX - 1] {
        assert!(try_stage(producer, sequence));
    }
    producer.publish();
    run.begin();
    let report = run.finish();
    assert_eq!((report.end.as_str(), report.handled, report.lost), ("closed", 4, u64::MAX));
}

/// A client that does not wait for its descriptors is turned away with its mistake, and not with a panic.
#[test]
fn a_line_before_the_descriptors_is_an_error() {
    let (mut child, mut socket) = start();
    let mut lines = Lines::new(socket.try_clone().expect("a socket"));
    let configure = Configure { knobs: Some(plain()), rings: 1, reply: false, cpus: None };
    assert!(ask(&mut lines, &Request::Configure(configure)).contains("Ready"));
    socket.write_all(b"{\"attach\":{\"ring\":0,\"side\":\"producer\"}}\n{\"finish\":{}}\n").expect("sent");
    assert_eq!(child.wait(None).expect("it ends"), Ended::Code(1));
}

/// An endpoint that dies is noticed by its client.
#[test]
fn a_dead_endpoint_is_an_error_of_the_client() {
    let (child, socket) = start();
    let mut client = Client::new(socket);
    client.hello().expect("hello");
    child.kill().expect("killed");
    assert!(matches!(client.finish(), Err(ClientError::Line(_))));
}
