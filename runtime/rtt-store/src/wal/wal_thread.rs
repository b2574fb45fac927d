//! A log for many writers: one thread commits, each writer awaits its own record.
//!
//! A writer hashes and chains its record itself, while the disk syncs the group before it. The committing thread takes
//! all that has come meanwhile as one group. A second thread makes segments ahead, over a disk of its own, so that
//! nobody waits for zeros but where a disk is that slow. Neither reads a clock.
//!
//! Awaiting needs no runtime: [`Pending`] is a future, and can be waited for by a plain thread.

use super::group_commit::{GroupCommit, PushError, Room};
use super::segment_files::SegmentFiles;
use super::{AppendError, CHECKPOINT_KIND, Checkpoint, CheckpointError, Options, Wal, Witness, state};
use crate::disk::{Disk, DiskError};
use rtt_seal::{Sealed, SigningKey};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};

/// How often the committing thread steps back for writers that come one after the other, before it takes what is there.
const PATIENCE: u32 = 64;

/// A log whose groups are committed by a thread. Dropping it writes what was pushed and ends the threads.
#[derive(Debug)]
pub struct WalThread<D: Disk> {
    shared: Arc<Shared>,
    committing: Option<JoinHandle<SegmentFiles<D>>>,
    making: Option<JoinHandle<()>>,
    options: Options,
}

/// A record that was pushed, until it is durable: then its number.
#[derive(Debug)]
pub struct Pending {
    slot: Arc<Slot>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// There is a group to commit, or the log closes.
    work: Condvar,
    /// A segment is to be made, or the log closes.
    wanted: Condvar,
    /// Copy of [`GroupCommit::waiting`] that is read without the lock.
    waiting: AtomicU64,
}

#[derive(Debug)]
struct State {
    commit: GroupCommit,
    /// Who waits for which record, in their order.
    slots: VecDeque<(u64, Arc<Slot>)>,
    /// Records that came when a segment had to be made first, and all that came after them.
    stalled: VecDeque<Stalled>,
    closing: bool,
}

#[derive(Debug)]
struct Stalled {
    kind: u8,
    payload: Vec<u8>,
    room: Room,
    slot: Arc<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    outcome: Mutex<Outcome>,
}

#[derive(Debug, Default)]
struct Outcome {
    result: Option<Result<u64, AppendError>>,
    waker: Option<Waker>,
}

impl<D: Disk + Send + 'static> WalThread<D> {
    /// Starts the threads. `making` is another disk of the same root, for the thread that makes segments.
    pub fn start(wal: Wal<D>, making: D) -> WalThread<D> {
        let Wal { commit, mut files, options, in_flight } = wal;
        assert!(in_flight.is_none(), "a log is handed over between its groups");
        let state = State { commit, slots: VecDeque::new(), stalled: VecDeque::new(), closing: false };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            work: Condvar::new(),
            wanted: Condvar::new(),
            waiting: AtomicU64::new(0),
        });
        let mut ahead = SegmentFiles::new(making, &options.folder);
        let (for_commit, for_making) = (Arc::clone(&shared), Arc::clone(&shared));
        let segment_bytes = options.segment_bytes as usize;
        let committing = thread::Builder::new().name("rtt-wal-commit".into()).spawn(move || {
            for_commit.commit_groups(&mut files);
            files
        });
        let making = thread::Builder::new()
            .name("rtt-wal-segment".into())
            .spawn(move || for_making.make_segments(&mut ahead, segment_bytes));
        let (committing, making) = (committing.expect("a thread"), making.expect("a thread"));
        WalThread { shared, committing: Some(committing), making: Some(making), options }
    }

    /// Takes a record; it is durable once the answer says so. Records are numbered in the order of these calls.
    pub fn append(&self, kind: u8, payload: &[u8], room: Room) -> Pending {
        let slot = Arc::new(Slot::default());
        let mut state = self.shared.lock();
        if state.stalled.is_empty() {
            let refused = self.shared.push(&mut state, kind, payload, room, &slot);
            drop(state);
            refused.into_iter().for_each(|error| slot.resolve(Err(error)));
        } else {
            state.stalled.push_back(Stalled { kind, payload: payload.to_vec(), room, slot: Arc::clone(&slot) });
        }
        Pending { slot }
    }

    /// Signs the state of the log, appends it as a record, waits for that, and then has it witnessed.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn checkpoint(
        &self,
        key: &SigningKey,
        witness: &mut dyn Witness,
    ) -> Result<Sealed<Checkpoint>, CheckpointError> {
        let payload = self.state().payload();
        let sealed = Sealed::sign(&payload, key)?;
        self.append(CHECKPOINT_KIND, sealed.as_bytes(), Room::Reserve).wait()?;
        witness.remember(&sealed)?;
        Ok(sealed)
    }

    /// The state of the log, with what was pushed and is not durable yet.
    pub fn state(&self) -> Checkpoint {
        state(&mut self.shared.lock().commit, &self.options)
    }

    /// Writes what was pushed, ends the threads and gives the log back.
    pub fn close(mut self) -> Wal<D> {
        let files = self.end_threads().expect("the threads run until here");
        let commit = self.shared.lock().commit.clone();
        Wal { commit, files, options: self.options.clone(), in_flight: None }
    }
}

impl<D: Disk> WalThread<D> {
    fn end_threads(&mut self) -> Option<SegmentFiles<D>> {
        let committing = self.committing.take()?;
        self.shared.lock().closing = true;
        self.shared.work.notify_all();
        self.shared.wanted.notify_all();
        let made = self.making.take().map(JoinHandle::join);
        let files = committing.join();
        match (files, made) {
            (Ok(files), Some(Ok(()))) => Some(files),
            // A panic there is our own mistake, and no reason for a second one while the first unwinds.
            _ if thread::panicking() => None,
            _ => panic!("a thread of the log panicked"),
        }
    }
}

impl<D: Disk> Drop for WalThread<D> {
    fn drop(&mut self) {
        self.end_threads();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the log panicked")
    }

    /// Gives a record to the core, or stalls it; returns why it is refused, for who holds no lock to tell.
    fn push(&self, state: &mut State, kind: u8, payload: &[u8], room: Room, slot: &Arc<Slot>) -> Option<AppendError> {
        match state.commit.push(kind, payload, room) {
            Ok(sequence) => {
                state.slots.push_back((sequence, Arc::clone(slot)));
                let waiting = state.commit.waiting();
                // Relaxed: the committing thread only guesses by it, and looks again under the lock.
                self.waiting.store(waiting, Ordering::Relaxed);
                if waiting == 1 {
                    self.work.notify_one();
                }
                None
            }
            Err(PushError::NeedsSegment) => {
                state.stalled.push_back(Stalled { kind, payload: payload.to_vec(), room, slot: Arc::clone(slot) });
                self.wanted.notify_one();
                None
            }
            Err(PushError::TooLarge { bytes, limit }) => Some(AppendError::TooLarge { bytes, limit }),
            Err(PushError::Poisoned(failure)) => Some(AppendError::Poisoned(failure)),
        }
    }

    fn commit_groups<D: Disk>(&self, files: &mut SegmentFiles<D>) {
        let mut expected = 0;
        while self.wait_for_work() {
            self.gather(expected);
            let mut state = self.lock();
            // Nothing after all: the thread that makes segments failed meanwhile.
            let Some(group) = state.commit.next_group() else { continue };
            self.waiting.store(state.commit.waiting(), Ordering::Relaxed);
            drop(state);
            expected = group.records.end - group.records.start;
            let result = files.request(group).and_then(|request| files.disk.run(request));
            self.completed(result.map(|answer| answer.bytes()));
        }
    }

    /// Waits until something was pushed; false when nothing will be.
    fn wait_for_work(&self) -> bool {
        let mut state = self.lock();
        while state.commit.waiting() == 0 {
            // Stalled records come to an end, good or bad, by the thread that makes segments.
            if state.closing && state.stalled.is_empty() {
                return false;
            }
            state = self.work.wait(state).expect("no thread of the log panicked");
        }
        true
    }

    /// Steps back while writers of the last group come with their next records, one after the other: taking the first
    /// of them alone would cost the others a whole sync.
    fn gather(&self, expected: u64) {
        let (mut seen, mut idle) = (0, 0);
        while idle < PATIENCE {
            let waiting = self.waiting.load(Ordering::Relaxed);
            if waiting >= expected {
                return;
            }
            idle = if waiting > seen { 0 } else { idle + 1 };
            seen = waiting;
            thread::yield_now();
        }
    }

    fn completed(&self, result: Result<Vec<u8>, DiskError>) {
        let mut state = self.lock();
        let buffer = match result {
            Ok(buffer) => buffer,
            Err(error) => return self.poison(state, error),
        };
        let records = state.commit.committed(buffer);
        let durable = state.slots.partition_point(|(sequence, _)| *sequence < records.end);
        let durable: Vec<_> = state.slots.drain(..durable).collect();
        if state.commit.wants_segment().is_some() {
            self.wanted.notify_one();
        }
        drop(state);
        for (sequence, slot) in durable {
            slot.resolve(Ok(sequence));
        }
    }

    /// WAL-5: all that is not durable is refused, and all that comes.
    fn poison(&self, mut state: MutexGuard<'_, State>, error: DiskError) {
        state.commit.failed(error.clone());
        let slots: Vec<_> = state.slots.drain(..).map(|(_, slot)| slot).collect();
        let stalled: Vec<_> = state.stalled.drain(..).map(|stalled| stalled.slot).collect();
        self.work.notify_one();
        drop(state);
        for slot in slots.into_iter().chain(stalled) {
            slot.resolve(Err(AppendError::Poisoned(error.clone())));
        }
    }

    fn make_segments<D: Disk>(&self, files: &mut SegmentFiles<D>, bytes: usize) {
        let mut refused_at = None;
        loop {
            let mut state = self.lock();
            let segment = loop {
                let early = !state.closing && refused_at != Some(state.commit.tip().0);
                let wanted = state.commit.wants_segment().filter(|_| early);
                let needed = (!state.stalled.is_empty()).then(|| state.commit.next_segment());
                if let Some(segment) = needed.or(wanted).filter(|_| state.commit.failure().is_none()) {
                    break segment;
                }
                if state.closing {
                    return;
                }
                state = self.wanted.wait(state).expect("no thread of the log panicked");
            };
            drop(state);
            let made = files.make(segment, bytes);
            files.forget();
            let mut state = self.lock();
            match made {
                Ok(()) => state.commit.segment_made(bytes),
                // It was too early to say so; it is tried again with the next group, and when somebody needs it.
                Err(ref error) if error.is_no_space() => refused_at = Some(state.commit.tip().0),
                Err(error) => {
                    self.poison(state, error);
                    continue;
                }
            }
            self.push_stalled(state, segment, made.err());
        }
    }

    /// Gives what was stalled to the core; what still does not fit is refused when `full` says why.
    fn push_stalled(&self, mut state: MutexGuard<'_, State>, segment: u32, full: Option<DiskError>) {
        let mut refused = Vec::new();
        for stalled in std::mem::take(&mut state.stalled) {
            if !state.stalled.is_empty() {
                state.stalled.push_back(stalled); // In their order, behind one that waits for yet another segment.
                continue;
            }
            let Stalled { kind, payload, room, slot } = stalled;
            let mut error = self.push(&mut state, kind, &payload, room, &slot);
            if let Some(source) = &full
                && state.stalled.pop_back().is_some()
            {
                error = Some(AppendError::NoSpace { segment, source: source.clone() });
            }
            refused.extend(error.map(|error| (slot, error)));
        }
        self.work.notify_one();
        drop(state);
        refused.into_iter().for_each(|(slot, error)| slot.resolve(Err(error)));
    }
}

impl Slot {
    fn resolve(&self, result: Result<u64, AppendError>) {
        let mut outcome = self.outcome.lock().expect("no waiter panicked");
        outcome.result = Some(result);
        let waker = outcome.waker.take();
        drop(outcome);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Pending {
    /// Waits on this thread.
    ///
    /// # Errors
    /// [`AppendError`]; the record is then not known to be durable.
    pub fn wait(mut self) -> Result<u64, AppendError> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl Future for Pending {
    type Output = Result<u64, AppendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut outcome = self.slot.outcome.lock().expect("no waiter panicked");
        match outcome.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                outcome.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
