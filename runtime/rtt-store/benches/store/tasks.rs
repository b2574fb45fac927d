//! Sixty-four tasks on one thread, each awaiting its own record before it appends the next.

use futures_executor::LocalPool;
use futures_util::task::LocalSpawnExt;
use rtt_store::Disk;
use rtt_store::wal::{LocalWal, Room, WalThread};
use std::rc::Rc;
use std::task::{Context, Waker};

/// Tasks that commit on their own thread: a loop that polls them all, then commits what they pushed.
pub fn on_one_thread<D: Disk + 'static>(log: &LocalWal<D>, tasks: usize, each: usize, payload: &'static [u8]) {
    let task = |log: LocalWal<D>| async move {
        for _ in 0..each {
            log.append(1, payload, Room::Ordinary).expect("taken").await.expect("durable");
        }
    };
    let mut tasks: Vec<_> = (0..tasks).map(|_| Box::pin(task(log.clone()))).collect();
    let mut context = Context::from_waker(Waker::noop());
    while !tasks.is_empty() {
        tasks.retain_mut(|task| task.as_mut().poll(&mut context).is_pending());
        log.commit().expect("durable");
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
