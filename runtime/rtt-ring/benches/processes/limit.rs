//! What the machine can do: the same messages by hand, without lengths, checks, sleepers or an end.
//!
//! A round trip is one message and one sequence number, side by side, each way. A stream is a queue of whole cache lines, with cursors
//! that either side reads only when its copy is used up.
#![allow(unsafe_code)] // Shared memory without a ring is raw memory.

use std::hint::spin_loop;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::mm::{MapFlags, ProtFlags, mmap};

use crate::pair::{BATCH, Message, Part, Receiver, SLOTS, Sender};

/// One message that is overwritten by the next.
#[repr(C, align(128))]
struct Mailbox {
    message: Message,
    sequence: AtomicU64,
}

#[repr(C, align(128))]
struct Cursor(AtomicU64);

/// One direction.
#[repr(C)]
struct Lane {
    mailbox: Mailbox,
    tail: Cursor,
    head: Cursor,
    slots: [Message; SLOTS as usize],
}

/// The end of a lane that this process plays, with its own cursor and what it last saw of the other's.
struct End {
    lane: *mut Lane,
    own: u64,
    seen: u64,
}

pub fn play(part: &Part) {
    let memory = rustix::fs::memfd_create("limit", MemfdFlags::CLOEXEC).expect("a memfd");
    rustix::fs::ftruncate(&memory, 2 * size_of::<Lane>() as u64).expect("memory");
    let [mut there, mut back] = ends(&memory);
    let path = format!("/proc/{}/fd/{}", std::process::id(), memory.as_raw_fd());
    let peer = part.start_peer(&[path]);
    part.measure(&mut there, &mut back, peer);
}

pub fn answer(part: &Part) {
    let memory = rustix::fs::open(&part.words[0], OFlags::RDWR, Mode::empty()).expect("the other side's memory");
    let [mut there, mut back] = ends(&memory);
    part.answer(&mut back, &mut there);
}

fn ends(memory: &OwnedFd) -> [End; 2] {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new map of its own, kept until the process ends.
    let base = unsafe {
        mmap(ptr::null_mut(), 2 * size_of::<Lane>(), access, MapFlags::SHARED | MapFlags::POPULATE, memory, 0)
    };
    let base = base.expect("a map").cast::<Lane>();
    // SAFETY: the map holds two lanes.
    [base, unsafe { base.add(1) }].map(|lane| End { lane, own: 0, seen: 0 })
}

impl End {
    fn mailbox_sequence(&self) -> &AtomicU64 {
        // SAFETY: the map lives as long as the process, and the field is an atomic.
        unsafe { &(*self.lane).mailbox.sequence }
    }

    fn mailbox(&self) -> *mut Message {
        // SAFETY: an address inside the map.
        unsafe { &raw mut (*self.lane).mailbox.message }
    }

    fn tail(&self) -> &AtomicU64 {
        // SAFETY: as in `mailbox_sequence`.
        unsafe { &(*self.lane).tail.0 }
    }

    fn head(&self) -> &AtomicU64 {
        // SAFETY: as in `mailbox_sequence`.
        unsafe { &(*self.lane).head.0 }
    }

    fn slot(&self, position: u64) -> *mut Message {
        // SAFETY: the index is below the number of slots.
        unsafe { (&raw mut (*self.lane).slots).cast::<Message>().add((position % SLOTS) as usize) }
    }
}

impl Sender for End {
    fn send(&mut self, message: &Message) {
        self.own += 1;
        // SAFETY: the other side reads the mailbox only after the store of its sequence number, and answers before the next.
        unsafe { ptr::copy_nonoverlapping(message, self.mailbox(), 1) };
        self.mailbox_sequence().store(self.own, Ordering::Release);
    }

    fn send_batch(&mut self, batch: &[Message; BATCH]) {
        while self.own + BATCH as u64 - self.seen > SLOTS {
            self.seen = self.head().load(Ordering::Acquire);
            spin_loop();
        }
        for (message, position) in batch.iter().zip(self.own..) {
            // SAFETY: the slot lies outside of what the other side may read.
            unsafe { ptr::copy_nonoverlapping(message, self.slot(position), 1) };
        }
        self.own += BATCH as u64;
        self.tail().store(self.own, Ordering::Release);
    }
}

impl Receiver for End {
    fn receive(&mut self, message: &mut Message) {
        self.own += 1;
        while self.mailbox_sequence().load(Ordering::Acquire) != self.own {
            spin_loop();
        }
        // SAFETY: the other side writes the mailbox only after our answer.
        unsafe { ptr::copy_nonoverlapping(self.mailbox(), message, 1) };
    }

    fn receive_batch(&mut self, batch: &mut [Message; BATCH]) -> usize {
        while self.seen == self.own {
            self.seen = self.tail().load(Ordering::Acquire);
            spin_loop();
        }
        let got = (BATCH as u64).min(self.seen - self.own) as usize;
        for (message, position) in batch[..got].iter_mut().zip(self.own..) {
            // SAFETY: the slot lies inside of what the other side published.
            unsafe { ptr::copy_nonoverlapping(self.slot(position), message, 1) };
        }
        self.own += got as u64;
        self.head().store(self.own, Ordering::Release);
        got
    }
}
