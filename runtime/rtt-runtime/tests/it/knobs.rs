//! A knob that changes nothing the endpoint does would be a lie in every profile: each one is counted here.

use crate::endpoint_process::{Run, plain, try_stage};
use rtt_measure::decode_histogram;
use rtt_profile::{Knobs, Wait};
use rtt_ring::{Segment, now};
use rtt_runtime::control::Report;
use rtt_units::Nanos;
use std::io::{self, Write};

/// Sends `messages` one at a time, each after the one before was handled and a pause of `gap`.
fn one_by_one(knobs: &Knobs, messages: u64, gap: Nanos) -> Report {
    let mut run = Run::configure(knobs);
    run.begin();
    for sequence in 0..messages {
        run.send(sequence, 1);
        run.drained();
        let until = now().saturating_add(gap);
        while now() < until {
            std::hint::spin_loop();
        }
    }
    run.finish()
}

/// ENDPOINT-3: all that was published before the start and the close is handled, once and in order.
#[test]
fn messages_published_before_the_close_are_all_handled() {
    let mut run = Run::configure(&plain());
    run.send(0, 500);
    run.begin();
    let report = run.finish();
    assert_eq!((report.end.as_str(), report.handled, report.lost), ("closed", 500, 0));
}

#[test]
fn ring_bytes_is_the_room_that_a_sender_finds() {
    for ring_bytes in [16 << 10, 256 << 10] {
        let mut run = Run::configure(&Knobs { ring_bytes, ..plain() });
        let producer = run.producer.as_mut().expect("not finished");
        let room = (0..).take_while(|&sequence| try_stage(producer, sequence)).count() as u64;
        assert_eq!(room, ring_bytes / rtt_ring::layout::record_bytes(64));
        assert_eq!(run.ready.knobs.ring_bytes, ring_bytes);
        run.begin();
        assert_eq!(run.finish().handled, room);
    }
}

#[test]
fn batch_is_how_many_messages_are_handled_before_room_is_given_back() {
    for (batch, batches) in [(1, 500), (7, 72), (256, 2)] {
        let mut run = Run::configure(&Knobs { batch, ..plain() });
        run.send(0, 500);
        run.begin();
        assert_eq!(run.finish().counts["batches"], batches, "batch {batch}");
    }
}

#[test]
fn window_holds_a_batch_that_is_not_full() {
    for wait in [Wait::Spin, Wait::Yield, Wait::Futex] {
        let without = one_by_one(&Knobs { wait, batch: 64, ..plain() }, 20, Nanos(0));
        assert_eq!(without.counts["windows"], 0, "{wait:?}");
        let with = one_by_one(&Knobs { wait, batch: 64, window_us: 200, ..plain() }, 20, Nanos(0));
        assert!(with.counts["windows"] >= 20, "{wait:?}: {:?}", with.counts);
        // A lower bound on time: nothing is handled before the window that its arrival opened has passed.
        let slices = with.latencies.iter().map(|slice| decode_histogram(slice).expect("a histogram"));
        let soonest = slices.filter(|slice| !slice.is_empty()).map(|slice| slice.min()).min();
        assert!(soonest >= Some(190_000), "{wait:?}: handled after {soonest:?} ns");
    }
}

/// A window is for a batch that is not full: a full one, and a ring that is half full, are handled at once.
#[test]
fn a_full_batch_waits_for_no_window() {
    for wait in [Wait::Spin, Wait::Yield, Wait::Futex] {
        for (batch, messages) in [(8, 8), (256, 120)] {
            let ring_bytes = 16 << 10; // 120 messages of 64 bytes are more than half of it, and fewer than a batch of 256.
            let mut run = Run::configure(&Knobs { wait, batch, window_us: 200, ring_bytes, ..plain() });
            run.send(0, messages);
            run.begin();
            let report = run.finish();
            assert_eq!((report.counts["windows"], report.handled), (0, messages), "{wait:?}, batch {batch}");
        }
    }
}

#[test]
fn wait_is_what_the_loop_does_while_there_is_nothing() {
    let counts = |wait, spin_us| {
        let report = one_by_one(&Knobs { wait, spin_us, ..plain() }, 50, Nanos::from_millis(2));
        ["spins", "yields", "sleeps"].map(|name| report.counts[name] > 0)
    };
    assert_eq!(counts(Wait::Spin, 0), [true, false, false]);
    assert_eq!(counts(Wait::Yield, 0), [false, true, false]);
    assert_eq!(counts(Wait::Futex, 0), [false, false, true]);
}

#[test]
fn spin_us_is_how_long_the_loop_spins_before_it_yields_or_sleeps() {
    for wait in [Wait::Yield, Wait::Futex] {
        let spins =
            |spin_us| one_by_one(&Knobs { wait, spin_us, ..plain() }, 50, Nanos::from_millis(2)).counts["spins"];
        assert_eq!(spins(0), 0, "{wait:?}");
        assert!(spins(1000) > 0, "{wait:?}");
    }
}

/// ENDPOINT-5: the affinity that is told is the kernel's.
#[test]
fn pin_is_where_the_loop_runs() {
    for cpu in rtt_host::allowed_cpus().iter() {
        let run = Run::configure_on(&plain(), Some(cpu.to_string()));
        assert_eq!(run.ready.cpus, cpu.to_string());
        run.finish_unstarted();
    }
    let run = Run::configure_on(&plain(), None);
    assert_eq!(run.ready.cpus, rtt_host::allowed_cpus().to_string());
    run.finish_unstarted();
}

/// ENDPOINT-5: the knobs that are told are the loop's own, and huge pages those that every ring has.
#[test]
fn the_knobs_that_are_told_are_those_that_are_in_force() {
    let asked = Knobs { batch: 9, window_us: 17, wait: Wait::Yield, spin_us: 23, ..plain() };
    assert_eq!(Run::configure(&asked).ready.knobs, asked);
    let spinning = Knobs { wait: Wait::Spin, ..plain() };
    assert_eq!(Run::configure(&spinning).ready.knobs, spinning);
    if Segment::huge_pages_available().is_err() {
        let huge = Run::configure(&Knobs { huge_pages: true, ..plain() });
        assert!(!huge.ready.knobs.huge_pages, "this host has none");
    }
}

/// ENDPOINT-5: the page size that is told is that of the map.
#[test]
fn huge_pages_show_in_the_page_size() {
    let small = Run::configure(&plain()).ready.page_bytes;
    assert_eq!(small, rustix::param::page_size() as u64);
    if let Err(reason) = Segment::huge_pages_available() {
        writeln!(io::stderr(), "skipped: no huge pages: {reason}").expect("stderr");
        return;
    }
    let huge = Knobs { huge_pages: true, ring_bytes: 4 << 20, ..plain() };
    assert!(Run::configure(&huge).ready.page_bytes > small);
}
