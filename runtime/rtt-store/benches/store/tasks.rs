//! Tasks on one thread, each awaiting its own record: a loop that polls those that were woken.

use rtt_store::Disk;
use rtt_store::wal::{Pending, Room, WalThread};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

struct Woken {
    flag: AtomicBool,
    executor: Thread,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.flag.store(true, Ordering::Release); // Pairs with the swap in `run`.
        self.executor.unpark();
    }
}

struct Task {
    pending: Pending,
    left: usize,
    woken: Arc<Woken>,
    waker: Waker,
}

/// Appends `each` records by each of `tasks`, a task's next one as soon as its last is durable.
pub fn run<D: Disk + Send + 'static>(log: &WalThread<D>, tasks: usize, each: usize, payload: &[u8]) {
    let append = || log.append(1, payload, Room::Ordinary);
    let mut running: Vec<Task> = (0..tasks)
        .map(|_| {
            let woken = Arc::new(Woken { flag: AtomicBool::new(true), executor: thread::current() });
            let waker = Waker::from(Arc::clone(&woken));
            Task { pending: append(), left: each - 1, woken, waker }
        })
        .collect();
    let mut unfinished = tasks;
    while unfinished > 0 {
        let mut idle = true;
        for task in &mut running {
            while task.woken.flag.swap(false, Ordering::Acquire) {
                idle = false;
                let polled = Pin::new(&mut task.pending).poll(&mut Context::from_waker(&task.waker));
                let Poll::Ready(result) = polled else { continue };
                result.expect("a durable record");
                if task.left == 0 {
                    unfinished -= 1;
                    break;
                }
                task.left -= 1;
                task.pending = append();
                task.woken.flag.store(true, Ordering::Release);
            }
        }
        if idle {
            thread::park();
        }
    }
}
