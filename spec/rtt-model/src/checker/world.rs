//! The reconciler's volatile side, its participants and its log, and every move that they or their surroundings make.
//!
//! The log is kept as the states that its records lead to: `durable` behind the last sync, `log` behind all that was
//! appended, `pending` the records in between, of which a crash keeps any number from the first. What participants run
//! and have prepared survives a crash; what the reconciler knows does not. A crash is followed by the restart at once:
//! nothing can happen in between that does not happen after it too.

use super::documents::{A, Content, DOCUMENTS, DRIFT, HOST, PARTICIPANTS, contents, document, root};
use super::mutant::Mutant;
use super::observer::Observer;
use super::{Bounds, Explored};
use crate::step::apply;
use crate::{
    Action, Begin, Broken, CapabilityId, Duty, Participants, Phase, PlanId, Reason, Root, State, Transaction,
    next_state, objections, resolve,
};

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub durable: State,
    pub pending: Vec<Action>,
    pub log: State,
    pub running: [Content; PARTICIPANTS],
    pub staged: [Option<u8>; PARTICIPANTS],
    /// Why the open transaction is only to be ended, or that a restart took it up; volatile.
    pub doomed: Option<Reason>,
    /// The participants that were aborted or undone since the reconciler took it up; volatile.
    pub swept: Participants,
    /// A participant failed and nothing durable tells of it.
    pub is_unsettled: bool,
    pub crashes: u8,
    pub failures: u8,
    pub grants: u8,
    pub observer: Observer,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Prepare(u8),
    WriteCommit,
    Commit(u8),
    Verify,
    Abort(u8),
    WriteAbort,
    Undo(u8),
    WriteRolledBack,
    WriteCheckpoint,
    Sync,
    /// A document, by its position, is handed in while the host's clock shows this second.
    HandIn {
        document: usize,
        now_unix_s: u64,
    },
    /// A capability of a document's plan is asked for.
    AskGrant {
        document: usize,
    },
    PrepareFails(u8),
    CommitFails(u8),
    /// The participant says that it committed, and did not.
    CommitLies(u8),
    Drift,
    Crash {
        kept: usize,
    },
}

impl World {
    /// A host with a new log.
    pub fn genesis() -> World {
        let root = root([A; PARTICIPANTS]);
        let records = [Action::Genesis { host: HOST, root }, Action::Checkpoint { size: 1, root: Root::default() }];
        let log = records.iter().try_fold(State::default(), |state, action| next_state(&state, action));
        let log = log.expect("a log begins like this");
        World {
            durable: log.clone(),
            pending: Vec::new(),
            log,
            running: [A; PARTICIPANTS],
            staged: [None; PARTICIPANTS],
            doomed: None,
            swept: Participants::NONE,
            is_unsettled: false,
            crashes: 0,
            failures: 0,
            grants: 0,
            observer: Observer::new(root),
        }
    }

    /// The world after a crash that keeps the first `kept` of the records that were not synced, and a restart.
    pub fn after_crash(&self, kept: usize) -> World {
        let mut next = self.clone();
        next.pending.truncate(kept);
        next.sync();
        next.log = next.durable.clone();
        next.doomed = next.log.open().map(|_| Reason::Recovered);
        next.swept = Participants::NONE;
        next
    }

    fn fail(&mut self) {
        self.failures += 1;
        self.is_unsettled = true;
    }

    /// All that was appended becomes durable. The rules were asked when it was appended.
    fn sync(&mut self) {
        self.is_unsettled = false;
        for action in std::mem::take(&mut self.pending) {
            self.durable = apply(&self.durable, &action);
            self.observer.sees_durable(&action, self.running);
            if let Action::Checkpoint { .. } = action {
                self.doomed = None; // It is over, and so is the recovery, if it was one.
            }
        }
    }
}

impl Explored {
    /// What the reconciler does next when nothing happens to it: one of these, in any order.
    pub fn own_moves(&self, world: &World) -> Vec<Move> {
        let waits = |last: &Action| last.is_forced() && !self.mutant.is_some_and(|mutant| mutant.does_not_wait(last));
        if world.pending.last().is_some_and(waits) {
            let in_doubt = matches!(world.pending.last(), Some(Action::Commit { .. }));
            if in_doubt && world.swept.is_empty() && self.mutant == Some(Mutant::AbortInDoubt) {
                return vec![Move::Abort(0)];
            }
            return vec![Move::Sync];
        }
        let sweep = |participants: Participants, step: fn(u8) -> Move, end: Move| {
            let left = participants.without(world.swept);
            if left.is_empty() { vec![end] } else { left.iter().map(step).collect() }
        };
        if let Some(moves) = self.mutated_moves(world) {
            return moves;
        }
        match (resolve(&world.log), world.log.open()) {
            (Some(Duty::Abort { .. }), Some(open)) if world.doomed.is_none() => {
                let left = open.unprepared();
                if left.is_empty() { vec![Move::WriteCommit] } else { left.iter().map(Move::Prepare).collect() }
            }
            (Some(Duty::Abort { participants, .. }), _) => sweep(participants, Move::Abort, Move::WriteAbort),
            (Some(Duty::Commit { participants, .. }), _) => participants.iter().map(Move::Commit).collect(),
            (Some(Duty::Verify { .. }), _) => vec![Move::Verify],
            (Some(Duty::Undo { participants, .. }), _) => sweep(participants, Move::Undo, Move::WriteRolledBack),
            (Some(Duty::Checkpoint), _) => vec![Move::WriteCheckpoint],
            (None, _) => Vec::new(),
        }
    }

    /// What a mutant does instead.
    fn mutated_moves(&self, world: &World) -> Option<Vec<Move>> {
        let restarted = world.doomed == Some(Reason::Recovered);
        let Some(open) = world.log.open() else {
            return (self.mutant? == Mutant::NoCheckpoint).then(Vec::new);
        };
        let phase = open.phase();
        let commits = |end: Move| {
            let (left, target) = (open.uncommitted(), contents(open.target_root()));
            let left = if phase == Phase::Undoing { open.participants() } else { left };
            let mut moves: Vec<Move> = left.iter().map(Move::Commit).collect();
            moves.retain(|step| {
                !matches!(step, Move::Commit(at) if phase == Phase::Undoing
                && world.running[usize::from(*at)] == target[usize::from(*at)])
            });
            if moves.is_empty() { vec![end] } else { moves }
        };
        match self.mutant? {
            Mutant::RecoverForgets if restarted => Some(Vec::new()),
            Mutant::NoCommitRecord if !restarted && open.unprepared().is_empty() => Some(commits(Move::Verify)),
            Mutant::CommitUnprepared if phase == Phase::Preparing && open.unprepared().count() == 2 => {
                Some(vec![Move::WriteCommit])
            }
            Mutant::AbortLeaves if phase == Phase::Preparing && world.doomed.is_some() => Some(vec![Move::WriteAbort]),
            Mutant::AbortAfterCommit if restarted && phase == Phase::Committing => Some(vec![Move::WriteAbort]),
            Mutant::UndoPartly if world.swept.count() == 1 && phase == Phase::Undoing => {
                Some(vec![Move::WriteRolledBack])
            }
            Mutant::RestartRedecides if restarted && phase == Phase::Undoing => Some(commits(Move::Verify)),
            _ => None,
        }
    }

    /// What happens to the reconciler: plans, questions, failures, crashes, somebody else's hands.
    pub fn push_foreign_moves(&self, world: &World, moves: &mut Vec<Move>) {
        let Bounds { crashes, failures, grants, .. } = self.bounds;
        if world.failures < failures {
            for own in moves.clone() {
                match own {
                    Move::Prepare(participant) => moves.push(Move::PrepareFails(participant)),
                    Move::Commit(participant) => {
                        moves.extend([Move::CommitFails(participant), Move::CommitLies(participant)]);
                    }
                    _ => {}
                }
            }
        }
        let is_idle = moves.is_empty();
        if world.crashes < crashes {
            moves.extend((0..=world.pending.len()).map(|kept| Move::Crash { kept }));
        }
        if is_idle || self.mutant == Some(Mutant::DoubleBegin) {
            let documents = 0..DOCUMENTS.len();
            moves.extend(
                documents.clone().flat_map(|document| [0, 1].map(|now_unix_s| Move::HandIn { document, now_unix_s })),
            );
            if world.grants < grants {
                moves.extend(documents.map(|document| Move::AskGrant { document }));
            }
        }
        if is_idle && !world.observer.is_drifted() {
            moves.push(Move::Drift);
        }
    }

    /// The world after a move; `None` when it changes nothing.
    pub fn after(&self, world: &World, step: Move) -> Option<World> {
        let mut next = world.clone();
        match step {
            Move::Sync => next.sync(),
            Move::HandIn { document, now_unix_s } => return self.after_hand_in(next, document, now_unix_s),
            Move::AskGrant { document } => {
                let plan = DOCUMENTS[document].begin.plan;
                next.grants += 1;
                let grant = Action::Grant { plan, capability: CapabilityId::default() };
                return self.offer(&mut next, grant).then_some(next);
            }
            Move::Drift => {
                next.running[0] = DRIFT;
                next.observer.sees_drift();
            }
            Move::Crash { kept } => {
                next = next.after_crash(kept);
                next.crashes += 1;
            }
            Move::WriteCheckpoint => {
                let checkpoint = Action::Checkpoint { size: next.log.checkpoint_size + 1, root: Root::default() };
                self.append(&mut next, checkpoint);
            }
            _ => self.go_on(&mut next, &world.log.open()?.clone(), step),
        }
        Some(next)
    }

    /// Verify, scan, begin.
    fn after_hand_in(&self, mut next: World, document: usize, now_unix_s: u64) -> Option<World> {
        let document = &DOCUMENTS[document];
        let is_verified = document.is_signed || self.mutant == Some(Mutant::NoSig);
        let is_undrifted = root(next.running) == next.log.root() || self.mutant == Some(Mutant::NoScan);
        let begin = Action::Begin(Begin { now_unix_s, ..document.begin.clone() });
        if !is_verified || !is_undrifted || !self.offer(&mut next, begin) {
            return None;
        }
        next.observer.sees_begin();
        next.doomed = None;
        Some(next)
    }

    /// A move of the open transaction.
    fn go_on(&self, next: &mut World, open: &Transaction, step: Move) {
        let (plan, target) = (open.plan(), contents(open.target_root()));
        match step {
            Move::Prepare(participant) => self.prepare(next, plan, participant),
            Move::PrepareFails(_) => {
                next.fail();
                next.doomed = Some(Reason::PrepareFailed);
            }
            Move::WriteCommit => self.append(next, Action::Commit { plan, generation: open.commit_generation() }),
            Move::Commit(participant) => {
                self.commit(next, open, participant);
                next.running[usize::from(participant)] = target[usize::from(participant)];
                next.staged[usize::from(participant)] = None;
            }
            Move::CommitLies(participant) => {
                next.fail();
                self.commit(next, open, participant);
            }
            Move::CommitFails(_) => {
                next.fail();
                self.append(next, Action::Undo { plan, reason: Reason::CommitFailed });
            }
            Move::Verify => self.verify(next, open),
            Move::Abort(participant) => {
                next.staged[usize::from(participant)] = None;
                next.swept = next.swept.with(participant);
            }
            Move::WriteAbort => {
                let reason = next.doomed.expect("only what is doomed is aborted");
                self.append(next, Action::Abort { plan, reason });
            }
            Move::Undo(participant) => {
                let at = usize::from(participant);
                next.running[at] = contents(open.base_root())[at];
                next.staged[at] = None;
                next.swept = next.swept.with(participant);
            }
            Move::WriteRolledBack => self.write_rolled_back(next, open),
            _ => unreachable!("{step:?} is no move of a transaction"),
        }
    }

    fn prepare(&self, next: &mut World, plan: PlanId, participant: u8) {
        let (at, before) = (usize::from(participant), next.running);
        let begin = next.pending.iter().find_map(|action| match action {
            Action::Begin(begin) => Some(begin.clone()),
            _ => None, // Durable, and counted when it became so.
        });
        next.staged[at] = Some(plan.0[0]);
        if self.mutant == Some(Mutant::ApplyInPrepare) {
            next.running[at] = document(plan).content;
        }
        let begin = begin.unwrap_or_else(|| document(plan).begin.clone());
        next.observer.sees_prepare(&begin, before, next.running);
        self.append(next, Action::Prepared { plan, participant });
    }

    fn commit(&self, next: &mut World, open: &Transaction, participant: u8) {
        let at = usize::from(participant);
        let is_durable = next.durable.open().is_some_and(|open| open.phase() != Phase::Preparing);
        let has_run = next.running[at] == contents(open.target_root())[at];
        next.observer.sees_commit(is_durable, has_run || next.staged[at] == Some(open.plan().0[0]));
        if open.phase() != Phase::Undoing {
            self.append(next, Action::Committed { plan: open.plan(), participant });
        }
    }

    fn verify(&self, next: &mut World, open: &Transaction) {
        let (plan, target) = (open.plan(), open.target_root());
        let read_back = if self.mutant == Some(Mutant::VerifySkipped) { target } else { root(next.running) };
        if read_back == target {
            self.append(next, Action::Verified { plan, root: read_back });
            if self.mutant == Some(Mutant::AcknowledgeEarly) {
                next.observer.sees_answer(next.log.generation());
            }
        } else if self.mutant != Some(Mutant::VerifyRetries) {
            self.append(next, Action::Undo { plan, reason: Reason::VerifyFailed });
        }
    }

    fn write_rolled_back(&self, next: &mut World, open: &Transaction) {
        let generation = match self.mutant {
            Some(Mutant::RollbackKeepsGeneration) => open.base_generation,
            _ => open.rollback_generation(),
        };
        let read_back = match self.mutant {
            Some(Mutant::UndoPartly) => open.base_root(),
            _ => root(next.running),
        };
        self.append(next, Action::RolledBack { plan: open.plan(), generation, root: read_back });
    }

    /// Appends what the reconciler decided. That it may not follow is a breach by itself.
    fn append(&self, next: &mut World, action: Action) {
        next.observer.sees_end(&action, next.running);
        match self.step(&next.log, &action) {
            Err(broken) => next.observer.expect(broken.id(), false),
            Ok(log) => self.push(next, action, log),
        }
    }

    /// Appends what somebody else wants, when it may follow.
    fn offer(&self, next: &mut World, action: Action) -> bool {
        let log = self.step(&next.log, &action);
        log.map(|log| self.push(next, action, log)).is_ok()
    }

    fn push(&self, next: &mut World, action: Action, log: State) {
        if let Action::Undo { reason, .. } = action {
            next.doomed = Some(reason);
            next.swept = Participants::NONE;
        }
        next.log = log;
        next.pending.push(action);
        if next.log.open().is_none() {
            next.swept = Participants::NONE;
        }
    }

    /// The production rules, but for those that a mutant does not have.
    fn step(&self, state: &State, action: &Action) -> Result<State, Broken> {
        let Some(mutant) = self.mutant else { return next_state(state, action) };
        match objections(state, action).into_iter().find(|broken| !mutant.silences(broken)) {
            Some(broken) => Err(broken),
            None => Ok(apply(state, action)),
        }
    }
}
