//! What runs on the simulated host: participants in memory, which outlive every crash and fail when told to.
//!
//! They keep their word: what a call did is there when it answers, a call that is cut off did its part or not, and a
//! process that is dead does nothing any more.

use crate::arms::Death;
use crate::sim_disk::Device;
use rtt_plan::{HostState, Inventory, Op, Participant, ParticipantError, PlanId};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

/// The participants' states.
#[derive(Clone, Default)]
pub struct Shelves(pub Rc<RefCell<Room>>);

/// What all participants hold, and what goes wrong there.
#[derive(Default)]
pub struct Room {
    held: BTreeMap<&'static str, Shelf>,
    /// The call that fails next.
    pub failing: Option<(&'static str, &'static str)>,
    /// A participant whose next commit does something else.
    pub crooked: Option<&'static str>,
    /// Calls until everything stops, how, and whether the call does its part first.
    pub stopping: Option<(u64, Death, bool)>,
    /// Plans that some participant was told to abort.
    pub aborted: BTreeSet<PlanId>,
}

#[derive(Default)]
struct Shelf {
    runs: Inventory,
    staged: BTreeMap<PlanId, Inventory>,
    before: BTreeMap<PlanId, Inventory>,
    /// What should run, while something else does.
    meant: Option<Inventory>,
}

impl Shelves {
    /// The participants, for a reconciler of the process that runs now.
    pub fn participants(&self, device: &Device) -> Vec<Box<dyn Participant>> {
        let process = device.with(|medium| medium.crashes);
        let member = |name| {
            Box::new(Member { name, shelves: self.clone(), device: device.clone(), process }) as Box<dyn Participant>
        };
        Op::PARTICIPANTS.into_iter().map(member).collect()
    }

    /// What runs.
    pub fn runs(&self) -> HostState {
        let room = self.0.borrow();
        let inventory = |name: &'static str| room.held.get(name).map(|shelf| shelf.runs.clone()).unwrap_or_default();
        HostState { participants: Op::PARTICIPANTS.map(|name| (name.to_owned(), inventory(name))).into() }
    }

    /// Puts back what a participant did that it was not told, as an operator does; whether there was any.
    pub fn put_back(&self) -> bool {
        let mut room = self.0.borrow_mut();
        let crooked = room.held.values_mut().filter_map(|shelf| Some((shelf.meant.take()?, &mut shelf.runs)));
        crooked.map(|(meant, runs)| *runs = meant).count() > 0
    }

    /// Forgets what is to go wrong.
    pub fn calm(&self) {
        let mut room = self.0.borrow_mut();
        (room.failing, room.crooked, room.stopping) = (None, None, None);
    }
}

struct Member {
    name: &'static str,
    shelves: Shelves,
    device: Device,
    process: u64,
}

impl Member {
    /// Runs `act` unless the call fails or is cut off before it.
    fn call<T>(&self, method: &'static str, act: impl FnOnce(&mut Shelf) -> T) -> Result<T, ParticipantError> {
        let fails = |words: &'static str| {
            let source = io::Error::other(words).into();
            ParticipantError::Host { participant: self.name.into(), what: method.into(), source }
        };
        if self.device.is_dead() || self.device.with(|medium| medium.crashes) != self.process {
            return Err(fails("dead"));
        }
        let mut room = self.shelves.0.borrow_mut();
        let stops = match &mut room.stopping {
            Some((0, ..)) => room.stopping.take(),
            Some((left, ..)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        if let Some((_, death, first)) = stops {
            self.device.with(|medium| medium.death = Some(death));
            if first {
                act(room.held.entry(self.name).or_default());
            }
            return Err(fails("cut off"));
        }
        if room.failing == Some((self.name, method)) {
            room.failing = None;
            return Err(fails("injected"));
        }
        Ok(act(room.held.entry(self.name).or_default()))
    }
}

impl Participant for Member {
    fn name(&self) -> &str {
        self.name
    }

    fn scan(&mut self) -> Result<Vec<u8>, ParticipantError> {
        self.call("scan", |shelf| shelf.runs.to_canonical())
    }

    fn prepare(&mut self, plan: PlanId, ops: &[Op]) -> Result<(), ParticipantError> {
        let state = self.call("look", |shelf| shelf.runs.to_canonical())?;
        let after = Inventory::from_canonical(&self.apply_to(&state, ops)?).expect("canonical");
        self.call("prepare", |shelf| drop(shelf.staged.insert(plan, after)))
    }

    fn commit(&mut self, plan: PlanId) -> Result<(), ParticipantError> {
        let crooked = self.shelves.0.borrow_mut().crooked.take_if(|name| *name == self.name).is_some();
        let done = self.call("commit", |shelf| {
            if let Some(after) = shelf.staged.remove(&plan) {
                let before = std::mem::replace(&mut shelf.runs, after);
                shelf.before.clear(); // One transaction at a time: what was before an earlier one is never asked for.
                shelf.before.insert(plan, before);
            }
            if crooked {
                shelf.meant = Some(std::mem::take(&mut shelf.runs));
            }
            shelf.before.contains_key(&plan)
        })?;
        let name = || self.name.to_owned();
        if done { Ok(()) } else { Err(ParticipantError::NotPrepared { participant: name(), plan }) }
    }

    fn abort(&mut self, plan: PlanId) -> Result<(), ParticipantError> {
        self.call("abort", |shelf| drop(shelf.staged.remove(&plan)))?;
        self.shelves.0.borrow_mut().aborted.insert(plan);
        Ok(())
    }

    fn undo(&mut self, plan: PlanId) -> Result<(), ParticipantError> {
        self.call("undo", |shelf| {
            if let Some(before) = shelf.before.remove(&plan) {
                (shelf.runs, shelf.meant) = (before, None);
            }
            shelf.staged.remove(&plan);
        })
    }
}
