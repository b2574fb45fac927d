//! Sixty-four tasks on one thread, each awaiting its own record before it appends the next.

use futures_executor::LocalPool;
use futures_util::task::LocalSpawnExt;
use rtt_store::Disk;
use rtt_store::wal::{LocalWal, Room, WalThread};
use std::rc::Rc;

/// Tasks that commit on their own thread whenever none of them can go on.
pub fn on_one_thread<D: Disk + 'static>(log: &LocalWal<D>, tasks: usize, each: usize, payload: &'static [u8]) {
    let mut pool = LocalPool::new();
    for _ in 0..tasks {
        let log = log.clone();
        let task = async move {
            for _ in 0..each {
                log.append(1, payload, Room::Ordinary).expect("taken").await.expect("durable");
            }
        };
        pool.spawner().spawn_local(task).expect("a task");
    }
    loop {
        pool.run_until_stalled();
        if log.commit().expect("durable") == 0 {
            break;
        }
    }
}

/// The same tasks over a log that another thread commits.
pub fn handed_over<D: Disk + Send + 'static>(log: WalThread<D>, tasks: usize, each: usize, payload: &'static [u8]) {
    let log = Rc::new(log);
    let mut pool = LocalPool::new();
    for _ in 0..tasks {
        let log = Rc::clone(&log);
        let task = async move {
            for _ in 0..each {
                log.append(1, payload, Room::Ordinary).await.expect("durable");
            }
        };
        pool.spawner().spawn_local(task).expect("a task");
    }
    pool.run();
}
