//! A log over a disk that fails at each of its operations in turn, that loses its power, and that fills up.

use crate::wal_damage::{options, payload};
use crate::wal_disk::{Fault, Image, LogDisk};
use rtt_store::wal::{AppendError, OpenError, Room, Wal, read_log};
use rtt_store::{Cause, Disk};

/// Appends in groups of one to three, into a third segment. Returns what was pushed, and what stopped it.
fn work(wal: &mut Wal<impl Disk>) -> (Vec<Vec<u8>>, Option<AppendError>) {
    let mut pushed = Vec::new();
    for group in 0..16 {
        for _ in 0..=group % 3 {
            let payload = payload(pushed.len() as u64);
            match wal.push(1, &payload, Room::Ordinary) {
                Ok(sequence) => assert_eq!(sequence, pushed.len() as u64),
                Err(error) => return (pushed, Some(error)),
            }
            pushed.push(payload);
        }
        if let Err(error) = wal.flush() {
            return (pushed, Some(error));
        }
    }
    (pushed, None)
}

/// What is found must hold what was acknowledged, and nothing that was not pushed; and it must go on.
fn check_found(image: &Image, pushed: &[Vec<u8>], acknowledged: u64, context: &str) {
    let disk = LogDisk::of(image);
    let (mut wal, opened) = Wal::open(disk, &options(), None).unwrap_or_else(|error| panic!("{context}: {error}"));
    let found: Vec<_> = opened.records.into_iter().map(|record| record.payload).collect();
    assert!(pushed.starts_with(&found), "{context}: {} records, not those of {}", found.len(), pushed.len());
    let least = acknowledged as usize;
    assert!(found.len() >= least, "WAL-2: {context}: {} of {least} acknowledged records", found.len());
    assert_eq!(wal.append(1, b"on", Room::Ordinary).expect(context), found.len() as u64);
}

/// WAL-2 and WAL-5: whatever operation fails and however, nothing that was acknowledged is lost, the log takes nothing
/// more, and is whole when it is opened again, with or without what was not synced.
#[test]
fn wal_2_an_error_at_any_operation_loses_nothing_acknowledged() {
    let whole = LogDisk::default();
    let (mut wal, _) = Wal::open(whole.clone(), &options(), None).expect("a new log");
    assert_eq!(work(&mut wal).1, None);
    let (operations, segments) = (whole.operations(), whole.image().len());
    assert!(segments >= 3 && operations >= 40, "{segments} segments by {operations} operations");
    for at in 0..operations {
        for fault in [Fault::Refused(Cause::INPUT_OUTPUT), Fault::AnswerLost, Fault::Short] {
            let context = format!("operation {at} of {operations}, {}: {fault:?}", whole.log()[at as usize]);
            let disk = LogDisk::default();
            disk.fail(at, fault);
            let (mut pushed, mut acknowledged) = (Vec::new(), 0);
            match Wal::open(disk.clone(), &options(), None) {
                Err(error) => assert!(matches!(error, OpenError::Disk(_)), "{context}: {error}"),
                Ok((mut wal, _)) => {
                    let stopped;
                    (pushed, stopped) = work(&mut wal);
                    let before = disk.operations();
                    let error = wal.append(1, b"more", Room::Reserve).expect_err(&context);
                    assert!(matches!(error, AppendError::Poisoned(_)), "{context}: {error}");
                    assert_eq!(stopped.unwrap_or_else(|| error.clone()), error, "WAL-5: {context}");
                    assert_eq!(disk.operations(), before, "WAL-5: {context}: a poisoned log touched the disk");
                    acknowledged = wal.acknowledged();
                }
            }
            check_found(&disk.image(), &pushed, acknowledged, &format!("{context}, as it is"));
            check_found(&disk.durable(), &pushed, acknowledged, &format!("{context}, after a power cut"));
        }
    }
}

/// WAL-5: without the failure the same record would have been taken.
#[test]
fn wal_5_a_failed_sync_is_never_tried_again() {
    for fault in [None, Some(Fault::Refused(Cause::INPUT_OUTPUT)), Some(Fault::AnswerLost), Some(Fault::Short)] {
        let disk = LogDisk::default();
        let (mut wal, _) = Wal::open(disk.clone(), &options(), None).expect("a new log");
        wal.append(1, &payload(0), Room::Ordinary).expect("appended");
        if let Some(fault) = fault {
            disk.fail(disk.operations(), fault);
        }
        let first = wal.append(1, &payload(1), Room::Ordinary);
        let second = wal.append(1, &payload(2), Room::Ordinary);
        assert_eq!((first.is_err(), second.is_err()), (fault.is_some(), fault.is_some()), "{fault:?}");
        assert_eq!(wal.acknowledged(), if fault.is_some() { 1 } else { 3 });
        let writes = disk.log().iter().filter(|line| line.starts_with("write_sync")).count();
        assert_eq!(writes, if fault.is_some() { 2 } else { 3 }, "WAL-5: {fault:?}");
    }
}

/// WAL-6: on a full disk ordinary records are refused without a trace, the reserve takes what ends a transaction, and
/// with room again the log goes on.
#[test]
fn wal_6_a_full_disk_keeps_the_reserve_and_leaves_no_half_state() {
    for segments in 1..=3 {
        let disk = LogDisk::default();
        disk.set_capacity(Some(segments * options().segment_bytes as usize + 100));
        let (mut wal, _) = Wal::open(disk.clone(), &options(), None).expect("a new log");
        let mut sequence = 0;
        let error = loop {
            match wal.append(1, &payload(sequence), Room::Ordinary) {
                Ok(_) => sequence += 1,
                Err(error) => break error,
            }
        };
        let text = format!("segment {segments} of the log cannot be made, the record was not appended");
        assert!(matches!(error, AppendError::NoSpace { .. }) && error.to_string() == text, "{error}");
        assert!(disk.image().keys().all(|name| name.ends_with(".seg")), "no half segment is left");
        // The same record twice: a refusal changes nothing.
        assert_eq!(wal.append(1, &payload(sequence), Room::Ordinary), Err(error.clone()));
        assert_eq!(wal.append(1, &payload(sequence), Room::Reserve), Ok(sequence), "WAL-6: {segments} segments");
        let found = read_log(LogDisk::of(&disk.durable()), &options()).expect("whole");
        assert_eq!(found.records.len() as u64, sequence + 1);
        disk.set_capacity(None);
        assert_eq!(wal.append(1, &payload(sequence + 1), Room::Ordinary), Ok(sequence + 1));
        let pushed: Vec<_> = (0..sequence + 2).map(payload).collect();
        check_found(&disk.durable(), &pushed, sequence + 2, "with room again");
    }
}

/// WAL-7: the order of a segment's making, as the disk saw it.
#[test]
fn wal_7_a_segment_is_zeroed_synced_named_and_only_then_written() {
    let disk = LogDisk::default();
    let (mut wal, _) = Wal::open(disk.clone(), &options(), None).expect("a new log");
    assert_eq!(work(&mut wal).1, None);
    let log = disk.log();
    for segment in 1..disk.image().len() {
        let (made, name) = (format!("wal/{segment:08}.tmp"), format!("wal/{segment:08}.seg"));
        let position = |line: String| log.iter().position(|each| *each == line);
        let order = [
            position(format!("Create {{ path: {made:?} }}")),
            position(format!("write {made} 0")),
            position(format!("sync {made}")),
            position(format!("Rename {{ from: {made:?}, to: {name:?} }}")),
        ];
        assert!(order.iter().all(Option::is_some) && order.is_sorted(), "WAL-7: segment {segment}: {order:?}");
        let renamed = order[3].expect("checked above");
        assert_eq!(log[renamed + 1], r#"SyncDirectory { path: "wal" }"#);
        let first = position(format!("write_sync {name} 0"));
        assert!(first.is_none_or(|first| first > renamed + 1), "WAL-7: segment {segment}");
    }
}

#[test]
fn what_an_interrupted_making_left_is_removed() {
    let disk = LogDisk::default();
    let (mut wal, _) = Wal::open(disk.clone(), &options(), None).expect("a new log");
    work(&mut wal);
    let mut image = disk.durable();
    image.insert("wal/00000009.tmp".into(), vec![0; 100]);
    let disk = LogDisk::of(&image);
    let (_, opened) = Wal::open(disk.clone(), &options(), None).expect("opened");
    assert_eq!(opened.torn, None);
    assert!(disk.log().iter().any(|line| line.starts_with("Remove") && line.contains("00000009.tmp")));
}

/// WAL-2: a group that a writer left with the kernel alone is on the disk before its records are told to anybody.
#[test]
fn wal_2_what_is_found_at_opening_is_on_the_disk() {
    let disk = LogDisk::default();
    let (mut wal, _) = Wal::open(disk.clone(), &options(), None).expect("a new log");
    wal.append(1, &payload(0), Room::Ordinary).expect("appended");
    disk.fail(disk.operations(), Fault::Unsynced);
    wal.append(1, &payload(1), Room::Ordinary).expect_err("its sync failed");
    let found = |image: Image| read_log(LogDisk::of(&image), &options()).expect("read").records.len();
    assert_eq!([found(disk.image()), found(disk.durable())], [2, 1], "the kernel has one more than the disk");
    // The process is gone, and its lock with it.
    let disk = disk.restarted();
    let (_, opened) = Wal::open(disk.clone(), &options(), None).expect("opened");
    assert_eq!([opened.records.len(), found(disk.durable())], [2, 2]);
}

/// The names of the segments, and of the log's folder, may be with the kernel alone.
#[test]
fn names_are_synced_when_a_log_is_opened() {
    let disk = LogDisk::default();
    drop(Wal::open(disk.clone(), &options(), None).expect("a new log"));
    let disk = disk.restarted();
    let before = disk.log().len();
    Wal::open(disk.clone(), &options(), None).expect("opened");
    for path in ["wal", ""] {
        let line = format!("SyncDirectory {{ path: {path:?} }}");
        assert!(disk.log()[before..].contains(&line), "{line}");
    }
}

#[test]
fn a_second_writer_is_refused() {
    let disk = LogDisk::default();
    let (_first, _) = Wal::open(disk.clone(), &options(), None).expect("a new log");
    assert!(matches!(Wal::open(disk, &options(), None), Err(OpenError::Busy { .. })));
}

#[test]
fn a_record_that_fits_nowhere_is_refused_with_both_sizes() {
    let (mut wal, _) = Wal::open(LogDisk::default(), &options(), None).expect("a new log");
    let Err(AppendError::TooLarge { bytes: 100_000, limit }) = wal.append(1, &[1; 100_000], Room::Ordinary) else {
        panic!("too large")
    };
    assert_eq!(wal.append(1, &vec![1; limit], Room::Ordinary), Ok(0), "the limit fits");
    assert_eq!(wal.append(1, &vec![1; limit], Room::Ordinary), Ok(1), "into each segment");
    assert!(wal.append(1, &vec![1; limit + 1], Room::Ordinary).is_err());
}
