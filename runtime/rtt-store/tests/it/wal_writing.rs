//! Logs over real files, by one writer and by many: what is acknowledged is there, and each group costs one write and one
//! sync.

use crate::wal_damage::{options, payload};
use crate::wal_disk::{Beside, Fault, LogDisk};
use proptest::prelude::*;
use rtt_seal::{Role, Sealed, SigningKey, TrustedKeys};
use rtt_store::wal::{
    AppendError, BLOCK, CHECKPOINT_KIND, Checkpoint, CommandWitness, FileWitness, OpenError, Opened, Options, Pending,
    Room, Wal, WalThread, Witness, read_log,
};
use rtt_store::{Backend, Cause, Counters, Counts, Disk, open_disk};
use std::sync::Arc;
use std::thread;

pub fn large() -> Options {
    Options { segment_bytes: 8 << 20, ..options() }
}

pub type AnyDisk = Box<dyn Disk + Send>;

/// Runs a test over each way to the disk that this host has; `open` opens the same folder as often as it is called.
pub fn on_each_backend(test: impl Fn(&dyn Fn() -> AnyDisk)) {
    for backend in [Backend::File, Backend::Uring] {
        let folder = tempfile::tempdir().expect("a folder");
        match open_disk(folder.path(), backend) {
            Ok(_) => test(&|| open_disk(folder.path(), backend).expect("a disk")),
            Err(error) if backend == Backend::Uring => eprintln!("skipped: no io_uring on this host: {error}"),
            Err(error) => panic!("{error}"),
        }
    }
}

pub fn counters(disk: &AnyDisk) -> Arc<Counters> {
    disk.counters().expect("a disk of this host")
}

/// Counted, as the budget says: one write and one fdatasync for each group, whatever is in it.
#[test]
fn a_group_is_one_write_and_one_sync() {
    on_each_backend(|open| {
        let disk = open();
        let counters = counters(&disk);
        let (mut wal, _) = Wal::open(disk, &large(), None).expect("a new log");
        let before = counters.now();
        for group in 1..=20 {
            for each in 0..group {
                wal.push(1, &payload(each), Room::Ordinary).expect("pushed");
            }
            wal.flush().expect("durable");
            let now = counters.now();
            assert_eq!((now.writes - before.writes, now.data_syncs - before.data_syncs), (group, group));
        }
        let after = counters.now();
        let others = |counts: Counts| (counts.directory_syncs, counts.file_system_syncs, counts.renames);
        assert_eq!(others(after), others(before));
    });
}

/// No write shares a block with an earlier one, so that tearing it cannot touch what was acknowledged.
#[test]
fn a_group_is_written_in_whole_blocks() {
    let disk = LogDisk::default();
    let (mut wal, _) = Wal::open(disk.clone(), &options(), None).expect("a new log");
    for each in 0..40 {
        wal.append(1, &payload(each), Room::Ordinary).expect("appended");
    }
    let groups = disk.groups();
    let is_whole =
        |(offset, bytes): &(u64, usize)| (*offset as usize).is_multiple_of(BLOCK) && bytes.is_multiple_of(BLOCK);
    assert!(groups.len() >= 40 && groups.iter().all(is_whole), "{groups:?}");
}

/// Whatever the writer gets done between two requests of a reader, in this segment and into the next ones, the reader finds
/// a whole log with all that was acknowledged before it began. Damage is found as ever.
#[test]
fn a_log_is_read_beside_its_writer() {
    for first in 1..16 {
        for (more, damaged) in [(0, false), (1, false), (9, false), (30, false), (9, true)] {
            for before in 0.. {
                let disk = LogDisk::default();
                let (mut wal, _) = Wal::open(disk.clone(), &options(), None).expect("a new log");
                let mut append = |each| {
                    wal.append(1, &payload(each), Room::Ordinary).expect("appended");
                };
                (0..first).for_each(&mut append);
                if damaged {
                    disk.change("wal/00000000.seg", |bytes| bytes[BLOCK + 70] ^= 1);
                }
                let act = Some(|| (first..first + more).for_each(&mut append));
                let mut beside = Beside { disk: disk.clone(), before, act };
                let found = read_log(&mut beside, &options());
                check_beside(found, first, damaged, &format!("{first} records, {more} more before request {before}"));
                if beside.act.is_some() {
                    break;
                }
            }
        }
    }
}

fn check_beside(found: Result<Opened, OpenError>, first: u64, damaged: bool, context: &str) {
    match found {
        // The only group there is may be damaged: then it counts as torn.
        Ok(opened) if damaged => assert!(first == 1 && opened.torn.is_some(), "{context}"),
        Ok(opened) => {
            assert!(opened.records.len() as u64 >= first && opened.torn.is_none(), "{context}");
            assert!(opened.records.iter().all(|record| record.payload == payload(record.sequence)), "{context}");
        }
        Err(error) => assert!(damaged && matches!(error, OpenError::Damaged(_)), "{context}: {error}"),
    }
}

#[test]
fn many_threads_append_to_one_log() {
    const WRITERS: u64 = 64;
    const EACH: u64 = 20;
    on_each_backend(|open| {
        let disk = open();
        let counters = counters(&disk);
        let (wal, _) = Wal::open(disk, &large(), None).expect("a new log");
        let before = counters.now();
        let log = WalThread::start(wal, open());
        let log = &log;
        let write = |writer: u64| {
            let append = move |each| {
                let payload = format!("{writer} {each}").into_bytes();
                (log.append(1, &payload, Room::Ordinary).wait().expect("durable"), payload)
            };
            let written: Vec<_> = (0..EACH).map(append).collect();
            assert!(written.is_sorted(), "a writer's records are in its order");
            written
        };
        let mut acknowledged: Vec<(u64, Vec<u8>)> = thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
            writers.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect()
        });
        let (now, groups) = (counters.now(), counters.now().writes - before.writes);
        assert_eq!(now.data_syncs - before.data_syncs, groups, "one sync for each write");
        assert!((EACH..=WRITERS * EACH).contains(&groups));
        acknowledged.sort();
        let found = read_log(open(), &large()).expect("read");
        let found: Vec<_> = found.records.into_iter().map(|record| (record.sequence, record.payload)).collect();
        assert_eq!(found, acknowledged);
    });
}

/// Over small segments, with the second thread making them ahead.
#[test]
fn a_log_by_threads_goes_on_from_segment_to_segment() {
    let disk = LogDisk::default();
    let (wal, _) = Wal::open(disk.clone(), &options(), None).expect("a new log");
    let log = WalThread::start(wal, disk.clone());
    let pending: Vec<_> = (0..200).map(|each| log.append(1, &payload(each), Room::Ordinary)).collect();
    for (expected, pending) in pending.into_iter().enumerate() {
        assert_eq!(pending.wait(), Ok(expected as u64));
    }
    drop(log);
    assert!(disk.image().len() > 4);
    let found = read_log(LogDisk::of(&disk.durable()), &options()).expect("read");
    assert!(found.records.iter().all(|record| record.payload == payload(record.sequence)));
    assert_eq!((found.records.len(), found.torn), (200, None));
}

/// WAL-5 and WAL-6 by threads: all that waits is told, and a full disk poisons nothing.
#[test]
fn every_writer_is_told_of_a_failure() {
    let disk = LogDisk::default();
    let (wal, _) = Wal::open(disk.clone(), &options(), None).expect("a new log");
    disk.fail(disk.operations() + 3, Fault::Refused(Cause::INPUT_OUTPUT));
    let log = WalThread::start(wal, disk.clone());
    let pending: Vec<_> = (0..50).map(|each| log.append(1, &payload(each), Room::Ordinary)).collect();
    let results: Vec<_> = pending.into_iter().map(Pending::wait).collect();
    let acknowledged = results.iter().take_while(|result| result.is_ok()).count();
    assert!(
        acknowledged < 50 && results[acknowledged..].iter().all(|each| matches!(each, Err(AppendError::Poisoned(_))))
    );
    assert!(matches!(log.append(1, b"more", Room::Reserve).wait(), Err(AppendError::Poisoned(_))));
    let found = read_log(LogDisk::of(&log.close().disk().durable()), &options()).expect("whole");
    assert!(found.records.len() >= acknowledged);

    let disk = LogDisk::default();
    let (wal, _) = Wal::open(disk.clone(), &options(), None).expect("a new log");
    disk.set_capacity(Some(options().segment_bytes as usize));
    let log = WalThread::start(wal, disk.clone());
    let pending: Vec<_> = (0..50).map(|each| log.append(1, &payload(each), Room::Ordinary)).collect();
    let results: Vec<_> = pending.into_iter().map(Pending::wait).collect();
    let refused =
        results.iter().filter(|result| matches!(result, Err(AppendError::NoSpace { segment: 1, .. }))).count();
    assert!(refused > 0 && results.iter().filter(|result| result.is_ok()).count() == 50 - refused);
    assert!(log.append(1, b"the end", Room::Reserve).wait().is_ok(), "WAL-6");
    disk.set_capacity(None);
    assert!(log.append(1, &payload(2), Room::Ordinary).wait().is_ok());
}

#[test]
fn a_checkpoint_is_in_the_log_and_with_the_witness() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = SigningKey::generate(Role::Host).expect("a key");
    let keys = TrustedKeys::new([key.public().clone()]).expect("keys");
    let file = folder.path().join("witness");
    let script =
        format!(r#"if [ "$1" = remember ]; then cat > {0}; elif [ -e {0} ]; then cat {0}; fi"#, file.display());
    let command = CommandWitness { program: "sh".into(), arguments: vec!["-c".into(), script, "witness".into()] };
    for mut witness in [Box::new(FileWitness { path: file.clone() }) as Box<dyn Witness>, Box::new(command)] {
        let _ = std::fs::remove_file(&file);
        assert!(witness.recall().expect("answered").is_none(), "nothing yet");
        let disk = LogDisk::default();
        let (mut wal, _) = Wal::open(disk.clone(), &options(), None).expect("a new log");
        wal.append(1, &payload(0), Room::Ordinary).expect("appended");
        let sealed = wal.checkpoint(&key, witness.as_mut()).expect("a checkpoint");
        drop(wal);
        let recalled = witness.recall().expect("answered").expect("remembered");
        assert_eq!(recalled.as_bytes(), sealed.as_bytes());
        let checkpoint = recalled.verify(&keys).expect("signed");
        assert_eq!(checkpoint.size, 1);
        let image = LogDisk::of(&disk.durable());
        let (mut wal, opened) = Wal::open(image, &options(), Some(&checkpoint)).expect("as it was witnessed");
        assert_eq!((opened.records[1].kind, &opened.records[1].payload[..]), (CHECKPOINT_KIND, sealed.as_bytes()));
        assert!(Sealed::<Checkpoint>::from_bytes(opened.records[1].payload.clone()).verify(&keys).is_ok());
        let state = wal.state();
        let log = WalThread::start(wal, disk);
        let second = log.checkpoint(&key, witness.as_mut()).expect("signed");
        let recalled = witness.recall().expect("answered").expect("remembered");
        assert_eq!(recalled.as_bytes(), second.as_bytes(), "the witness has the thread's checkpoint too");
        assert_eq!(*second.verify(&keys).expect("signed"), state);
    }
    let mut missing = CommandWitness { program: "sh".into(), arguments: vec!["-c".into(), "exit 3".into()] };
    let error = missing.recall().expect_err("failed");
    assert!(error.to_string().starts_with("witness command `sh recall` ended with exit status: 3"), "{error}");
}

#[derive(Clone, Debug)]
enum Step {
    Push(u8, Vec<u8>),
    Flush,
    Start,
    Finish,
    Reopen,
    CutPower,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..3000)).prop_map(|(kind, bytes)| Step::Push(kind, bytes)),
        2 => Just(Step::Flush),
        2 => Just(Step::Start),
        2 => Just(Step::Finish),
        1 => Just(Step::Reopen),
        1 => Just(Step::CutPower),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a plain list: what is durable is a prefix of what was pushed, and at least what was acknowledged.
    #[test]
    fn a_log_is_the_list_of_what_was_pushed(steps in proptest::collection::vec(step(), 1..60)) {
        let mut disk = LogDisk::default();
        let (mut wal, _) = Wal::open(disk.clone(), &options(), None).expect("a new log");
        let mut model: Vec<(u8, Vec<u8>)> = Vec::new();
        for step in steps {
            match step {
                Step::Push(kind, bytes) => {
                    prop_assert_eq!(wal.push(kind, &bytes, Room::Ordinary).expect("pushed"), model.len() as u64);
                    model.push((kind, bytes));
                }
                Step::Flush => {
                    wal.flush().expect("durable");
                    prop_assert_eq!(wal.acknowledged(), model.len() as u64);
                }
                Step::Start => drop(wal.start().expect("begun")),
                Step::Finish => drop(wal.finish().expect("ended")),
                Step::Reopen | Step::CutPower => {
                    let acknowledged = wal.acknowledged() as usize;
                    let image = if matches!(step, Step::Reopen) { disk.image() } else { disk.durable() };
                    let image = image.into_iter().filter(|(name, _)| name.ends_with(".seg")).collect();
                    drop(wal);
                    disk = LogDisk::of(&image);
                    let opened;
                    (wal, opened) = Wal::open(disk.clone(), &options(), None).expect("opened");
                    let found: Vec<_> = opened.records.into_iter().map(|each| (each.kind, each.payload)).collect();
                    prop_assert!(found.len() >= acknowledged && opened.torn.is_none());
                    model.truncate(found.len());
                    prop_assert_eq!(&found, &model);
                }
            }
        }
    }
}
