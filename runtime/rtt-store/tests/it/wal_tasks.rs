//! Tasks that append to one log, each awaiting its own record: committed by their own thread, or by another.

use crate::wal_damage::{options, payload};
use crate::wal_disk::{Fault, LogDisk};
use crate::wal_writing::{counters, large, on_each_backend};
use futures_executor::LocalPool;
use futures_util::task::LocalSpawnExt;
use rtt_store::wal::{AppendError, LocalWal, Options, Room, Wal, WalThread, read_log};
use rtt_store::{Cause, Disk};
use std::cell::RefCell;
use std::rc::Rc;

const TASKS: u64 = 64;
const ROUNDS: u64 = 10;

/// What each record's task was told, in the order of being told.
type Told = Rc<RefCell<Vec<Result<u64, AppendError>>>>;

fn spawn<D: Disk + 'static>(pool: &LocalPool, log: &LocalWal<D>, rounds: u64) -> Told {
    let told = Told::default();
    for task in 0..TASKS {
        let (log, told) = (log.clone(), Rc::clone(&told));
        let appends = async move {
            for round in 0..rounds {
                let result = match log.append(1, &payload(round * TASKS + task), Room::Ordinary) {
                    Ok(pending) => pending.await,
                    Err(refused) => Err(refused),
                };
                let ends = result.is_err();
                told.borrow_mut().push(result);
                if ends {
                    return;
                }
            }
        };
        pool.spawner().spawn_local(appends).expect("a task");
    }
    told
}

#[test]
fn tasks_that_wait_are_one_group_of_one_write_and_one_sync() {
    on_each_backend(|open| {
        let disk = open();
        let counters = counters(&disk);
        let log = LocalWal::new(Wal::open(disk, &large(), None).expect("a new log").0);
        let mut pool = LocalPool::new();
        let told = spawn(&pool, &log, ROUNDS);
        let before = counters.now();
        for round in 0..ROUNDS {
            pool.run_until_stalled();
            assert_eq!(told.borrow().len() as u64, round * TASKS, "nobody is told before the sync");
            assert_eq!(log.commit(), Ok(TASKS));
            let now = counters.now();
            assert_eq!((now.writes - before.writes, now.data_syncs - before.data_syncs), (round + 1, round + 1));
        }
        pool.run_until_stalled();
        assert_eq!(log.commit(), Ok(0), "nothing was pushed");
        let numbers: Vec<u64> = told.borrow().iter().map(|result| result.clone().expect("durable")).collect();
        assert_eq!(numbers, Vec::from_iter(0..TASKS * ROUNDS));
        let found = read_log(open(), &large()).expect("read");
        assert!(found.records.iter().all(|record| record.payload == payload(record.sequence)));
        assert_eq!((found.records.len() as u64, found.torn), (TASKS * ROUNDS, None));
    });
}

/// WAL-5 and WAL-2: who was acknowledged stays so, all others are told, and none waits for ever.
#[test]
fn every_task_is_told_of_a_failure() {
    for strike in 0..6 {
        let disk = LogDisk::default();
        let roomy = Options { segment_bytes: 64 * options().segment_bytes, ..options() };
        let log = LocalWal::new(Wal::open(disk.clone(), &roomy, None).expect("a new log").0);
        disk.fail(disk.operations() + strike, Fault::Refused(Cause::INPUT_OUTPUT));
        let mut pool = LocalPool::new();
        let told = spawn(&pool, &log, ROUNDS);
        let failed = loop {
            pool.run_until_stalled();
            if let Err(error) = log.commit() {
                break error;
            }
        };
        pool.run();
        assert!(matches!(failed, AppendError::Poisoned(_)));
        let durable = told.borrow().iter().filter(|result| result.is_ok()).count();
        assert_eq!(told.borrow().len() as u64, durable as u64 + TASKS, "each task ends with the failure");
        assert!(told.borrow()[durable..].iter().all(|result| *result == Err(failed.clone())));
        let found = read_log(LogDisk::of(&disk.durable()), &roomy).expect("whole");
        assert!(found.records.len() >= durable);
    }
}

#[test]
fn tasks_await_records_that_another_thread_commits() {
    on_each_backend(|open| {
        let log = Rc::new(WalThread::start(Wal::open(open(), &large(), None).expect("a new log").0, open()));
        let mut pool = LocalPool::new();
        for task in 0..TASKS {
            let log = Rc::clone(&log);
            let appends = async move {
                for _ in 0..ROUNDS {
                    log.append(1, &payload(task), Room::Ordinary).await.expect("durable");
                }
            };
            pool.spawner().spawn_local(appends).expect("a task");
        }
        pool.run();
        let wal = Rc::into_inner(log).expect("the tasks ended").close();
        assert_eq!(wal.acknowledged(), TASKS * ROUNDS);
        drop(wal);
        let found = read_log(open(), &large()).expect("read");
        assert_eq!((found.records.len() as u64, found.torn), (TASKS * ROUNDS, None));
    });
}
