//! The planner: puts what a plan names, has the plan applied, and gives the lease back; sometimes it goes wrong, or back.

use crate::keys::MACHINE;
use crate::ledger::End;
use crate::world::{NOW, World};
use rtt_plan::{Base, Before, FileMode, HostState, Kind, Op, Plan, PlanId, StateRoot};
use rtt_profile::Knobs;
use rtt_reconcile::{ApplyError, Ended, SettleError};
use rtt_seal::{Digest, Sealed};
use rtt_units::{Nanos, SplitMix64};

const LEASE: &str = "planner";

/// What the planner is about to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Put objects.
    Idle,
    /// Have a plan applied that names them.
    Put(Vec<Digest>),
    /// Give the lease back.
    Applied,
}

/// A plan whose end was not told.
#[derive(Clone, Debug)]
pub struct InDoubt {
    base: HostState,
    target: HostState,
}

impl World<'_> {
    /// The planner's next step.
    pub(crate) fn plan(&mut self, draw: &mut SplitMix64) -> Result<(), String> {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Idle => {
                let objects: Vec<Vec<u8>> = (0..draw.below(4)).map(|_| self.object(draw)).collect();
                let put = if objects.is_empty() { Some(Vec::new()) } else { self.put(LEASE, &objects, draw)? };
                self.stage = put.map_or(Stage::Idle, Stage::Put);
                Ok(())
            }
            Stage::Put(objects) => {
                if draw.below(12) == 0 {
                    self.replay()?;
                }
                self.apply(&objects, draw)
            }
            Stage::Applied => self.release(LEASE),
        }
    }

    /// A plan that was begun once is never begun again.
    fn replay(&mut self) -> Result<(), String> {
        let (Some(plan), Some(reconciler)) = (self.last_plan.clone(), &mut self.reconciler) else { return Ok(()) };
        match reconciler.apply(plan, &self.keys.trusted, &self.keys.terms, self.now) {
            Ok(ended) => Err(format!("REC-4: a plan was attempted twice: {ended:?}")),
            Err(ApplyError::Refused(_)) => Ok(()),
            Err(error) => Err(format!("REC-4: a plan was not refused, but {}", rtt_seal::in_full(&error))),
        }
    }

    /// Has a plan applied, and compares what is told with what runs.
    pub(crate) fn apply(&mut self, objects: &[Digest], draw: &mut SplitMix64) -> Result<(), String> {
        let Some(reconciler) = &self.reconciler else { return Ok(()) };
        let told = reconciler.log().told();
        let (base, generation) = (told.held.clone(), told.state.generation());
        let back = self.previous.clone().filter(|_| draw.below(8) == 0);
        let (kind, ops) = match &back {
            // Back to the root before this one, which is what the log knows as well.
            Some(previous) if told.state.previous().is_some_and(|root| root.0 == previous.root().0.0) => {
                (Kind::Rollback, way_back(&base, previous))
            }
            _ => (Kind::Apply, forward(&base, objects, draw)),
        };
        if kind == Kind::Rollback && !self.put_again(&ops, draw)? {
            return Ok(());
        }
        let Ok(target) = base.after(&ops) else { return Err("the planner drew ops that do not fit".into()) };
        self.sequence += 1;
        let plan = self.draft(kind, &base, (generation, target.root()), ops);
        let id = plan.id();
        let sealed = Sealed::sign(&plan.to_canonical(), &self.keys.planner).expect("the planner's own plan");
        if !self.is_draining && draw.below(5) == 0 {
            self.trouble(draw);
        }
        let injected = self.injected();
        let has_trouble = self.has_trouble();
        let reconciler = self.reconciler.as_mut().expect("looked at above");
        let result = reconciler.apply(sealed.clone(), &self.keys.trusted, &self.keys.terms, self.now);
        let is_excused = self.is_excused(injected) || has_trouble;
        self.shelves.0.borrow_mut().failing = None;
        self.shelves.0.borrow_mut().crooked = None;
        match result {
            Ok(ended) => {
                self.last_plan = Some(sealed);
                self.stage = Stage::Applied;
                self.ended(id, &ended, base, target, is_excused)
            }
            Err(error) => self.not_ended(error, InDoubt { base, target }, is_excused),
        }
    }

    /// What a rollback names may have been collected since; `false` where it cannot be put again now.
    fn put_again(&mut self, ops: &[Op], draw: &mut SplitMix64) -> Result<bool, String> {
        let objects: Vec<Vec<u8>> =
            ops.iter().filter_map(Op::object).map(|object| self.objects.known[&object].clone()).collect();
        Ok(objects.is_empty() || self.put(LEASE, &objects, draw)?.is_some())
    }

    fn ended(
        &mut self,
        plan: PlanId,
        ended: &Ended,
        base: HostState,
        target: HostState,
        is_excused: bool,
    ) -> Result<(), String> {
        let end = End::of(ended);
        if end != End::Verified && !is_excused {
            return Err(format!("no fault struck, and plan {plan} ended as {ended:?}"));
        }
        self.plan_ledger.ended(plan, end);
        self.closed += 1;
        if end == End::Verified {
            self.previous = Some(base.clone());
        }
        self.expected = if end == End::Verified { target } else { base };
        self.check_state("after a plan")
    }

    fn not_ended(&mut self, error: ApplyError, in_doubt: InDoubt, is_excused: bool) -> Result<(), String> {
        if !is_excused {
            return Err(format!("no fault struck, and {}", rtt_seal::in_full(&error)));
        }
        match &error {
            ApplyError::Stuck(SettleError::Write(write)) if write.is_no_space() => {
                return Err(format!("WAL-6: the end of a transaction found no room: {}", rtt_seal::in_full(&error)));
            }
            ApplyError::Scan(_) => return Ok(()),
            ApplyError::Begin(write) if write.is_no_space() => return self.check_state("after a full disk"),
            ApplyError::Begin(_) | ApplyError::Stuck(_) => {}
            _ => return Err(format!("a good plan was refused: {}", rtt_seal::in_full(&error))),
        }
        self.in_doubt = Some(in_doubt);
        self.must_restart = true;
        Ok(())
    }

    /// A log was opened and what it owed was done: what runs is the base or the target, and the log says so.
    pub(crate) fn check_recovered(&mut self) -> Result<(), String> {
        let reconciler = self.reconciler.as_ref().expect("opened");
        if let Some(duty) = reconciler.log().duty() {
            return Err(format!("REC-13: {duty:?} is still owed after recovery"));
        }
        let held = reconciler.log().told().held.clone();
        if let Some(InDoubt { base, target }) = self.in_doubt.take() {
            if held != base && held != target {
                return Err("REC-2: neither base nor target after recovery".into());
            }
            if held == target && held != base {
                self.previous = Some(base);
            }
            self.expected = held;
        }
        self.check_state("after recovery")
    }

    /// What runs is what the log holds and what was told.
    fn check_state(&self, when: &str) -> Result<(), String> {
        if self.device.is_dead() {
            return Ok(());
        }
        let held = self.reconciler.as_ref().map(|reconciler| &reconciler.log().told().held);
        if held.is_some_and(|held| *held != self.expected) {
            return Err(format!("REC-7: {when} the log holds another state than was told"));
        }
        if self.shelves.runs() != self.expected {
            return Err(format!("REC-2: {when} another state runs than was told"));
        }
        Ok(())
    }

    /// Something goes wrong in a participant.
    fn trouble(&self, draw: &mut SplitMix64) {
        let participant = Op::PARTICIPANTS[draw.below(3) as usize];
        let mut room = self.shelves.0.borrow_mut();
        if draw.below(4) == 0 {
            room.crooked = Some(participant);
        }
        let methods = ["prepare", "commit", "undo", "abort", "scan"];
        room.failing = Some((participant, methods[draw.below(5) as usize]));
    }

    fn has_trouble(&self) -> bool {
        let room = self.shelves.0.borrow();
        room.failing.is_some() || room.crooked.is_some()
    }

    fn draft(&self, kind: Kind, base: &HostState, target: (u64, StateRoot), ops: Vec<Op>) -> Plan {
        let (generation, target_root) = target;
        let carries_knobs = ops.iter().any(Op::carries_knobs);
        Plan {
            version: 1,
            kind,
            audience: self.keys.id,
            runtime_build: self.keys.terms.build,
            trust_root_version: 1,
            planner: self.keys.planner.id(),
            sequence: self.sequence,
            not_before_unix_s: NOW - 100_000,
            expires_unix_s: NOW + 1_000_000,
            base: Base { generation, state_root: base.root() },
            ops,
            target_root,
            capabilities: self.keys.terms.policy.grants.clone(),
            policy: self.keys.terms.policy.digest(),
            evidence: Vec::new(),
            machine: carries_knobs.then(|| MACHINE.to_owned()),
        }
    }
}

/// Ops that fit `held`: files of these objects, a ring, the profile; each item once.
fn forward(held: &HostState, objects: &[Digest], draw: &mut SplitMix64) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    let mut add = |op: Op| {
        if ops.iter().all(|other| (other.participant(), other.item()) != (op.participant(), op.item())) {
            ops.push(op);
        }
    };
    for object in objects {
        let before = |participant: &str, item: &str| held.participants[participant].at(item);
        if draw.below(4) == 0 {
            add(Op::ProfileSet { object: *object, before: before(Op::PROFILE, Op::PROFILE_ITEM) });
        } else {
            let path = format!("d{}/f{}", draw.below(3), draw.below(4));
            let mode = FileMode::new(0o640).expect("a mode");
            add(Op::FilePut {
                before: before(Op::FILES, &path),
                path: path.parse().expect("a path"),
                object: *object,
                mode,
            });
        }
    }
    let name = format!("r{}", draw.below(3));
    match (draw.below(3), held.participants[Op::RINGS].at(&name)) {
        (0, before) => {
            let knobs = Knobs::default_for(Nanos::from_micros(20 + draw.below(4) * 20));
            add(Op::RingPut { name: name.parse().expect("a name"), knobs, before });
        }
        (1, Before::Object(before)) => add(Op::RingRemove { name: name.parse().expect("a name"), before }),
        _ => {}
    }
    let files = &held.participants[Op::FILES].items;
    if let Some((path, item)) = files.iter().nth(draw.below(8) as usize) {
        add(Op::FileRemove { path: path.parse().expect("a path"), before: item.object });
    }
    ops
}

/// Ops that lead from one state to another.
fn way_back(from: &HostState, to: &HostState) -> Vec<Op> {
    let mut ops = Vec::new();
    let items = |state: &HostState, participant: &str| state.participants[participant].items.clone();
    for (path, item) in items(to, Op::FILES) {
        let before = from.participants[Op::FILES].at(&path);
        if before != Before::Object(item.object) {
            let path = path.parse().expect("a path");
            ops.push(Op::FilePut { path, object: item.object, mode: item.mode.expect("a file's mode"), before });
        }
    }
    for (path, item) in items(from, Op::FILES) {
        if to.participants[Op::FILES].at(&path) == Before::Absent {
            ops.push(Op::FileRemove { path: path.parse().expect("a path"), before: item.object });
        }
    }
    let knobs = |digest: Digest| {
        let all = (0..4).map(|step| Knobs::default_for(Nanos::from_micros(20 + step * 20)));
        all.into_iter().find(|knobs| Digest::of(rtt_profile::knobs_json(knobs).as_bytes()) == digest)
    };
    for (name, item) in items(to, Op::RINGS) {
        let before = from.participants[Op::RINGS].at(&name);
        if before != Before::Object(item.object) {
            let knobs = knobs(item.object).expect("knobs that the planner drew");
            ops.push(Op::RingPut { name: name.parse().expect("a name"), knobs, before });
        }
    }
    for (name, item) in items(from, Op::RINGS) {
        if to.participants[Op::RINGS].at(&name) == Before::Absent {
            ops.push(Op::RingRemove { name: name.parse().expect("a name"), before: item.object });
        }
    }
    let profile = |state: &HostState| state.participants[Op::PROFILE].at(Op::PROFILE_ITEM);
    match (profile(from), profile(to)) {
        (before, Before::Object(object)) if before != Before::Object(object) => {
            ops.push(Op::ProfileSet { object, before });
        }
        (Before::Object(before), Before::Absent) => ops.push(Op::ProfileClear { before }),
        _ => {}
    }
    ops
}
