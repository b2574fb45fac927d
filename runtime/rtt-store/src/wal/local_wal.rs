//! A log for the tasks of one thread: each pushes and awaits its own record, and the thread commits when none can go on.
//!
//! What a thread hands over to another it waits for twice: until that one wakes, and until it is woken itself. Here nothing
//! is handed over; what is pushed while the tasks run is one group. [`LocalWal::commit`] blocks for a write and a sync, so
//! it is for a loop whose tasks all wait for the log; others share a [`WalThread`](super::WalThread).

use super::{AppendError, Room, Wal};
use crate::disk::Disk;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A log that the tasks of one thread append to. A clone is another handle of the same log.
#[derive(Debug)]
pub struct LocalWal<D> {
    shared: Rc<RefCell<Shared<D>>>,
}

/// A record that was pushed, until it is durable: then its number.
#[derive(Debug)]
pub struct LocalPending<D> {
    shared: Rc<RefCell<Shared<D>>>,
    sequence: u64,
}

#[derive(Debug)]
struct Shared<D> {
    wal: Wal<D>,
    /// Who waits for the records from [`Wal::acknowledged`] on.
    wakers: VecDeque<Option<Waker>>,
}

impl<D> Clone for LocalWal<D> {
    fn clone(&self) -> LocalWal<D> {
        LocalWal { shared: Rc::clone(&self.shared) }
    }
}

impl<D: Disk> LocalWal<D> {
    /// Shares a log among tasks.
    ///
    /// # Panics
    /// When a group is in flight.
    pub fn new(wal: Wal<D>) -> LocalWal<D> {
        assert!(wal.in_flight.is_none(), "a log is handed over between its groups");
        LocalWal { shared: Rc::new(RefCell::new(Shared { wal, wakers: VecDeque::new() })) }
    }

    /// Takes a record; it is durable once the answer says so. Records are numbered in the order of these calls.
    ///
    /// # Errors
    /// [`AppendError`]; the record was then not taken.
    pub fn append(&self, kind: u8, payload: &[u8], room: Room) -> Result<LocalPending<D>, AppendError> {
        let sequence = self.shared.borrow_mut().wal.push(kind, payload, room)?;
        Ok(LocalPending { shared: Rc::clone(&self.shared), sequence })
    }

    /// Writes and syncs all that was pushed, on this thread, and wakes who waited for it. How many records that were.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`]; who waited is woken to be told the same.
    pub fn commit(&self) -> Result<u64, AppendError> {
        let mut shared = self.shared.borrow_mut();
        let before = shared.wal.acknowledged();
        let flushed = shared.wal.flush();
        let durable = shared.wal.acknowledged() - before;
        let woken = if flushed.is_ok() { shared.wakers.len().min(durable as usize) } else { shared.wakers.len() };
        let woken: Vec<_> = shared.wakers.drain(..woken).collect();
        // A waker may run what it wakes, and that may append.
        drop(shared);
        woken.into_iter().flatten().for_each(Waker::wake);
        flushed.map(|()| durable)
    }
}

impl<D: Disk> Future for LocalPending<D> {
    type Output = Result<u64, AppendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Shared { wal, wakers } = &mut *self.shared.borrow_mut();
        let Some(ahead) = self.sequence.checked_sub(wal.acknowledged()) else {
            return Poll::Ready(Ok(self.sequence)); // WAL-2
        };
        if let Some(failure) = wal.commit.failure() {
            return Poll::Ready(Err(AppendError::Poisoned(failure.clone()))); // WAL-5
        }
        let ahead = ahead as usize;
        if wakers.len() <= ahead {
            wakers.resize(ahead + 1, None);
        }
        wakers[ahead] = Some(context.waker().clone());
        Poll::Pending
    }
}
