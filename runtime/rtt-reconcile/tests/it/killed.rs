//! A process that is killed at any moment, and one whose write is cut off in its middle by the kernel.

use crate::struck::{Acks, ENDLESS, Place, Struck, WRITES, Work, check};
use rtt_units::SplitMix64;

const SEED: u64 = 0x6b69_6c6c;
const KILLS: u64 = 25;

/// WAL-2, REC-7: all that was acknowledged is there, and the base or the target runs.
#[test]
fn what_was_acknowledged_outlives_sigkill() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(folder.path(), &folder.path().join("root"), 32 << 10);
    let (mut draw, mut acks, mut torn, mut early) = (SplitMix64::new(SEED), Acks::default(), 0, 0);
    for kill in 0..KILLS {
        let mut process = Struck::start(&mut place.command(ENDLESS));
        // Soon after it has begun there is nothing acknowledged yet.
        let (what, count, writes) = match kill % 5 {
            0 => ("begun", 1, WRITES / 8),
            1 | 2 => ("ack plan ", 1 + draw.below(2), WRITES),
            _ => ("ack record ", 1 + draw.below(20), WRITES),
        };
        let before = acks;
        process.wait_for(what, count, &mut acks);
        process.wait_for_writes(draw.below(writes));
        process.kill(&mut acks);
        early += u64::from(acks == before);
        torn += check(&place, &mut acks).unwrap_or_else(|why| panic!("seed {SEED:#x}, kill {kill}: {why}")).len();
    }
    // Each round acknowledges what it was waited for, and `check` appends one record.
    assert!(acks.plans >= 2 * KILLS / 5 && acks.records >= KILLS, "{acks:?}");
    eprintln!("{KILLS} kills, {early} before the first acknowledgement: {acks:?}, {torn} torn tails");
}

/// WAL-3, WAL-5: a write that the kernel cuts off leaves half a group on the disk. The process stops; the half is cut,
/// and said.
#[test]
fn a_write_that_the_kernel_cuts_off_is_a_torn_tail() {
    let (mut draw, mut tails) = (SplitMix64::new(SEED), 0);
    for round in 0..12 {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place::new(folder.path(), &folder.path().join("root"), 1 << 20);
        let mut acks = Acks::default();
        check(&place, &mut acks).expect("a new log");
        let limit = 8192 + draw.below(64 << 10);
        let context = format!("seed {SEED:#x}, round {round}, limit {limit}");
        let work = Work { job: "records", most: u64::MAX, syncs: true, limit };
        let lines = Struck::start(&mut place.command(work)).finish(&mut acks);
        let torn = check(&place, &mut acks).unwrap_or_else(|why| panic!("{context}: {why}"));
        for torn in &torn {
            assert!(torn.bytes > 0 && torn.offset + torn.bytes <= limit, "{context}: {torn}");
        }
        // A limit in the zeros behind a group is met by the start of the next: a signal ends the process, nothing is torn.
        let stopped = lines.iter().any(|line| line.starts_with("stopped: ") && line.contains("bytes were written"));
        assert!(stopped || torn.is_empty(), "{context}: torn, but not told: {lines:?}");
        tails += torn.len();
    }
    assert!(tails >= 3, "seed {SEED:#x}: {tails} torn tails of 12 writes cut off");
}
