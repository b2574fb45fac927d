//! Each operation on the disk fails, is carried out and said to have failed, or is the last; then the power goes.
//! Afterwards what was acknowledged is there, and every object is whole or was never there.

use crate::cas::{LATE, in_memory, object, references, referring};
use crate::cas_disk::{Failure, MemoryDisk, Names};
use rtt_seal::Digest;
use rtt_store::cas::{Cas, Lease};
use std::sync::LazyLock;

/// Something a user does: before it, it, and what is true once it is acknowledged.
struct Case {
    name: &'static str,
    before: fn(&mut Cas<MemoryDisk>, &mut Lease),
    act: fn(&mut Cas<MemoryDisk>, &mut Lease) -> bool,
    after: fn(&mut Cas<MemoryDisk>),
    /// The object that lies damaged before, and may still.
    damaged: Option<fn() -> Vec<u8>>,
}

/// Made once: it is asked for at every operation of every case.
static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| object((1 << 20) + 70_000, 1));

fn large() -> Vec<u8> {
    LARGE.clone()
}

fn small() -> Vec<u8> {
    object(3000, 2)
}

/// Pinned before everything: no failure may cost it.
fn kept() -> Vec<u8> {
    object(5000, 3)
}

fn is_there(cas: &mut Cas<MemoryDisk>, bytes: &[u8]) {
    assert_eq!(cas.get(&Digest::of(bytes)).expect("acknowledged"), bytes);
}

fn damage(cas: &mut Cas<MemoryDisk>, bytes: &[u8]) {
    let path = crate::cas::path_of(&Digest::of(bytes));
    cas.disk().change(&path, |stored| stored[0] ^= 1);
}

const CASES: [Case; 9] = [
    Case {
        name: "put a batch",
        before: |_, _| {},
        act: |cas, lease| cas.put_batch(lease, &[&small(), &kept(), &large(), b""]).is_ok(),
        after: |cas| [small(), kept(), large(), Vec::new()].iter().for_each(|bytes| is_there(cas, bytes)),
        damaged: None,
    },
    Case {
        name: "put a stream",
        before: |_, _| {},
        act: |cas, lease| cas.put_stream(lease, &mut &large()[..]).is_ok(),
        after: |cas| is_there(cas, &large()),
        damaged: None,
    },
    Case {
        name: "heal by a put",
        before: |cas, lease| {
            cas.put(lease, &large()).expect("put");
            damage(cas, &large());
        },
        act: |cas, lease| cas.put(lease, &large()).is_ok(),
        after: |cas| is_there(cas, &large()),
        damaged: Some(large),
    },
    Case {
        name: "repair by a scrub",
        before: |cas, lease| {
            cas.put(lease, &large()).expect("put");
            damage(cas, &large());
        },
        act: |cas, lease| {
            let mut copies = in_memory();
            let mut other = copies.lease("copies", LATE).expect("a lease");
            copies.put(&mut other, &large()).expect("put");
            let scrubbed = cas.scrub(lease, Some(&mut copies));
            scrubbed
                .is_ok_and(|scrubbed| matches!(scrubbed.damaged[..], [ref one] if matches!(one.repair, Some(Ok(())))))
        },
        after: |cas| is_there(cas, &large()),
        damaged: Some(large),
    },
    Case {
        name: "pin",
        before: |cas, lease| {
            cas.put(lease, &small()).expect("put");
        },
        act: |cas, _| cas.pin("new", &Digest::of(&small())).is_ok(),
        after: |cas| {
            assert!(cas.pins().expect("listed").contains(&("new".into(), Digest::of(&small()))));
            collect_all(cas);
            is_there(cas, &small());
        },
        damaged: None,
    },
    Case {
        name: "take a lease and put",
        before: |_, _| {},
        act: |cas, _| {
            let mut lease = match cas.lease("new", 3 * LATE) {
                Ok(lease) => lease,
                Err(_) => return false,
            };
            cas.put(&mut lease, &small()).is_ok()
        },
        after: |cas| {
            collect_all(cas);
            is_there(cas, &small());
        },
        damaged: None,
    },
    Case {
        name: "renew a lease",
        before: |cas, lease| {
            cas.put(lease, &small()).expect("put");
        },
        act: |cas, lease| cas.renew(lease, 3 * LATE).is_ok(),
        after: |cas| {
            collect_all(cas);
            is_there(cas, &small());
        },
        damaged: None,
    },
    Case {
        name: "collect",
        before: |cas, lease| {
            cas.put(lease, &small()).expect("put");
            let mut other = cas.lease("other", 0).expect("a lease");
            cas.put(&mut other, &large()).expect("put");
            cas.release(other).expect("released");
            cas.collect(1, 0, &mut |_| Ok(Vec::new()), &mut references).expect("condemned");
        },
        act: |cas, _| cas.collect(2, 0, &mut |_| Ok(Vec::new()), &mut references).is_ok(),
        after: |cas| is_there(cas, &small()),
        damaged: None,
    },
    Case {
        name: "import",
        before: |_, _| {},
        act: |cas, lease| {
            let mut archive = Vec::new();
            let mut other = in_memory();
            let mut lent = other.lease("export", LATE).expect("a lease");
            let leaf = other.put(&mut lent, &large()).expect("put");
            let root = other.put(&mut lent, &referring(&[leaf])).expect("put");
            other.export(&[root], &mut references, &mut archive).expect("exported");
            cas.import(lease, &mut &archive[..], &mut references).is_ok()
        },
        after: |cas| {
            is_there(cas, &large());
            is_there(cas, &referring(&[Digest::of(&large())]));
        },
        damaged: None,
    },
];

/// Two passes while nothing but pins and leases names anything, at a time when only late leases have not ended.
fn collect_all(cas: &mut Cas<MemoryDisk>) {
    for now in [2 * LATE, 2 * LATE + 1] {
        cas.collect(now, 0, &mut |_| Ok(Vec::new()), &mut |_, _| Ok(Vec::new())).expect("collected");
    }
}

/// What holds however the process ended: on `disk` another one goes on.
fn check_after(case: &Case, disk: MemoryDisk, acknowledged: bool, when: &str) {
    let mut cas = Cas::open(disk).unwrap_or_else(|error| panic!("{when}: {error}"));
    let damaged = case.damaged.map(|bytes| Digest::of(&bytes()));
    for digest in cas.list().expect("listed") {
        if let Err(error) = cas.get(&digest) {
            assert!(Some(digest) == damaged && !acknowledged, "{when}: {error}");
        }
    }
    is_there(&mut cas, &kept());
    if acknowledged {
        (case.after)(&mut cas);
    }
    let mut lease = cas.lease("writer", LATE).unwrap_or_else(|error| panic!("{when}: {error}"));
    assert_eq!(cas.disk().paths("cas/tmp/writer~"), Vec::<String>::new(), "{when}");
    cas.put_batch(&mut lease, &[&small(), &large()]).unwrap_or_else(|error| panic!("{when}: {error}"));
    assert!(cas.scrub(&mut lease, None).expect("scrubbed").damaged.is_empty(), "{when}");
    cas.release(lease).expect("released");
    is_there(&mut cas, &kept());
}

fn check(case: &Case, failure: Failure) {
    // A collection lists 256 directories, one as the other: of many operations every fifth.
    for at in (0..60).chain((60..).step_by(5)) {
        let mut cas = in_memory();
        let mut lease = cas.lease("writer", LATE).expect("a lease");
        let digest = cas.put(&mut lease, &kept()).expect("put");
        cas.pin("kept", &digest).expect("pinned");
        (case.before)(&mut cas, &mut lease);
        cas.disk().fail_at(at, failure);
        let acknowledged = (case.act)(&mut cas, &mut lease);
        let (has_failed, disk) = (cas.disk().has_failed(), cas.disk().process());
        // The process ends with its locks; the machine goes on, or loses what was not synced.
        drop(cas);
        for (disk, how) in [
            (disk.cut_power(Names::All), "power cut, all names"),
            (disk.cut_power(Names::Synced), "power cut, synced names"),
            (disk, "process ended"),
        ] {
            let when = format!("{}: {failure:?} at operation {at}, {how}", case.name);
            check_after(case, disk, acknowledged, &when);
        }
        if !has_failed {
            assert!(acknowledged && at > 1, "{}: without a failure it works", case.name);
            break;
        }
    }
}

/// CAS-10
#[test]
fn cas_10_a_refused_operation_leaves_each_object_whole_or_as_it_was() {
    CASES.iter().for_each(|case| check(case, Failure::Refuses));
}

#[test]
fn an_operation_whose_answer_is_lost_leaves_each_object_whole_or_as_it_was() {
    CASES.iter().for_each(|case| check(case, Failure::LosesAnswer));
}

#[test]
fn a_process_that_ends_at_any_operation_leaves_each_object_whole_or_as_it_was() {
    CASES.iter().for_each(|case| check(case, Failure::Dies));
}

/// A put that was refused can be tried again by the same process, and nothing of the first try is left.
#[test]
fn after_a_refused_operation_the_same_writer_goes_on() {
    for at in 0.. {
        let mut cas = in_memory();
        let mut lease = cas.lease("writer", LATE).expect("a lease");
        cas.disk().fail_at(at, Failure::Refuses);
        let first = cas.put_batch(&mut lease, &[&small(), &large()]);
        if !cas.disk().has_failed() {
            first.expect("put");
            break;
        }
        cas.disk().fail_at(u64::MAX, Failure::Refuses);
        cas.put_batch(&mut lease, &[&small(), &large()]).unwrap_or_else(|error| panic!("again after {at}: {error}"));
        is_there(&mut cas, &small());
        is_there(&mut cas, &large());
    }
}
