//! A process's handle of the simulated disk: the production `Disk`, with completions in any order.
//!
//! A handle belongs to the process that opened it. When that process has ended, every request of it fails and does
//! nothing, so that code which unwinds after a crash can do no harm that a dead process could not.

use crate::arms::Death;
use crate::medium::Medium;
use crate::strike::Strike;
use rtt_store::{Answer, Cause, Disk, DiskError, FileId, Request, Token};
use rtt_units::SplitMix64;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

type Completion = (Token, Result<Answer, DiskError>);

struct Queued {
    token: Token,
    handle: usize,
    request: Request,
}

/// What all handles share: the disk, and the requests that wait.
#[derive(Default)]
pub struct Shared {
    /// The disk.
    pub medium: Medium,
    queue: Vec<Queued>,
    done: Vec<(usize, Completion)>,
    /// Write errors that each handle was told of, and the files that it opened.
    handles: Vec<(u64, BTreeSet<FileId>)>,
    last_token: u64,
    order: u64,
}

/// The disk, as the simulation holds it.
#[derive(Clone, Default)]
pub struct Device(pub Rc<RefCell<Shared>>);

/// The disk, as a process holds it.
pub struct SimDisk {
    device: Device,
    handle: usize,
    process: u64,
}

impl Device {
    /// A handle for the process that runs now.
    pub fn handle(&self) -> SimDisk {
        let mut shared = self.0.borrow_mut();
        let told = shared.medium.write_errors;
        shared.handles.push((told, BTreeSet::new()));
        let (handle, process) = (shared.handles.len() - 1, shared.medium.crashes);
        drop(shared);
        SimDisk { device: self.clone(), handle, process }
    }

    /// Looks at or changes the disk.
    pub fn with<T>(&self, act: impl FnOnce(&mut Medium) -> T) -> T {
        act(&mut self.0.borrow_mut().medium)
    }

    /// Whether the running process has ended.
    pub fn is_dead(&self) -> bool {
        self.0.borrow().medium.death.is_some()
    }

    /// Ends the running process. Requests that wait were with the kernel: each is carried out or not.
    pub fn crash(&self, death: Death, draw: &mut SplitMix64) {
        let shared = &mut *self.0.borrow_mut();
        let death = shared.medium.death.take().unwrap_or(death);
        for queued in std::mem::take(&mut shared.queue) {
            if draw.coin() {
                let _ = shared.medium.execute(queued.request, &mut shared.handles[queued.handle].0);
            }
        }
        shared.done.clear();
        shared.medium.crash(death, draw);
    }
}

impl Shared {
    fn carry_out(&mut self, index: usize) {
        if index > 0 {
            self.medium.strikes.add(Strike::Slow); // An older one still waits.
        }
        let Queued { token, handle, request } = self.queue.remove(index);
        self.finish(token, handle, request);
    }

    fn finish(&mut self, token: Token, handle: usize, request: Request) {
        let closes = if let Request::Close { file } = &request { Some(*file) } else { None };
        let result = if self.medium.death.is_some() {
            Err(Cause::INPUT_OUTPUT)
        } else {
            self.medium.execute(request, &mut self.handles[handle].0)
        };
        match (&result, closes) {
            (Ok(Answer::Opened(file)), _) => drop(self.handles[handle].1.insert(*file)),
            (_, Some(file)) => drop(self.handles[handle].1.remove(&file)),
            _ => {}
        }
        let result = result.map_err(|cause| DiskError { operation: "simulate", path: String::new(), cause });
        self.done.push((handle, (token, result)));
    }

    /// Carries out others that wait, then the one that somebody waits for.
    fn reach(&mut self, token: Token) {
        while let Some(at) = self.queue.iter().position(|queued| queued.token == token) {
            self.order = self.order.wrapping_add(token.0);
            let mut draw = SplitMix64::new(self.order);
            let next = if draw.coin() { at } else { draw.below(self.queue.len() as u64) as usize };
            self.carry_out(next);
        }
    }
}

impl Disk for SimDisk {
    fn submit(&mut self, request: Request) -> Token {
        let shared = &mut *self.device.0.borrow_mut();
        shared.last_token += 1;
        let token = Token(shared.last_token);
        if self.process != shared.medium.crashes {
            let error = DiskError { operation: "simulate", path: "dead".into(), cause: Cause::INPUT_OUTPUT };
            shared.done.push((self.handle, (token, Err(error))));
        } else if shared.medium.arms.is_slow() || shared.queue.iter().any(|queued| queued.handle == self.handle) {
            shared.queue.push(Queued { token, handle: self.handle, request });
        } else {
            if !shared.queue.is_empty() {
                shared.medium.strikes.add(Strike::Slow);
            }
            shared.finish(token, self.handle, request);
        }
        token
    }

    fn complete(&mut self) -> Option<Completion> {
        let shared = &mut *self.device.0.borrow_mut();
        let own = |(handle, _): &(usize, Completion)| *handle == self.handle;
        if !shared.done.iter().any(own) {
            let token = shared.queue.iter().find(|queued| queued.handle == self.handle)?.token;
            shared.reach(token);
        }
        let at = shared.done.iter().position(own)?;
        Some(shared.done.remove(at).1)
    }

    fn wait(&mut self, token: Token) -> Result<Answer, DiskError> {
        let shared = &mut *self.device.0.borrow_mut();
        shared.reach(token);
        let at = shared.done.iter().position(|(_, (each, _))| *each == token).expect("the request is in flight");
        shared.done.remove(at).1.1
    }
}

/// A process that lets go of its disk closes its files.
impl Drop for SimDisk {
    fn drop(&mut self) {
        let shared = &mut *self.device.0.borrow_mut();
        if self.process == shared.medium.crashes {
            let files = std::mem::take(&mut shared.handles[self.handle].1);
            shared.medium.close_all(files);
        }
    }
}
