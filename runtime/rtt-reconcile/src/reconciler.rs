//! Two phases over all participants, from a verified plan to a checkpoint, and the same way on after a crash.
//!
//! `scan -> Begin -> prepare all -> Commit -> commit each -> verify -> Verified`, or back: `Abort` before the commit
//! point, `Undo ... RolledBack` behind it. From the commit point on there is one way, [`Reconciler::settle`], which asks
//! the spec what is owed; a restart takes the same.
//!
//! REC-1   Only a plan that was verified here is begun: [`Reconciler::apply`] takes it sealed and verifies it.
//! REC-2   Commit is written when every participant has prepared; Verified, when every one has committed.
//! REC-3   Each Begin is closed: by this call, or by the next that opens the log.
//! REC-4   A plan is attempted once: its Begin burns it.
//! REC-5   A sequence is burnt by its Begin, also by that of a plan that changes nothing.
//! REC-6   A plan is begun on the state that it was made on, and that is scanned again right before Commit.
//! REC-7   What is behind the commit point is never aborted; what is before it is, after a crash.
//! REC-8   Once Undo is written, the transaction only goes back.
//! REC-9   Verified means that what runs was read back and is the target.
//! REC-10  A rollback restores the base, under a generation of its own.
//! REC-11  A plan is begun in its time, by a clock that does not go back.
//! REC-12  No plan is begun under an older trust root or for an older build than one before it.
//! REC-13  What is owed comes to an end.
//!
//! Not here: keys and files of an operator (`rtt`), what a participant does (`tree`), the log's bytes (`rtt-store`).

use crate::admission::{Terms, admit, begin_on, drift, facts, scan};
use crate::entry::{Beside, Entry, model_plan};
use crate::log::{Log, LogError, Planners, WriteError};
use rtt_model::{Action, Duty, Participants, Reason, Root};
use rtt_plan::{
    EffectError, HostFacts, HostState, Participant, ParticipantError, Plan, PlanId, RefuseError, StateRoot,
};
use rtt_seal::{SealError, Sealed, TrustedKeys, Verified};
use rtt_store::Disk;
use rtt_store::wal::WitnessError;
use std::collections::BTreeMap;
use std::fmt;

/// How a plan ended. Each is in the log.
#[derive(Debug)]
pub enum Ended {
    /// It runs, and was read back.
    Verified {
        /// The new generation.
        generation: u64,
        /// The new root.
        root: StateRoot,
    },
    /// It never ran.
    Aborted {
        /// Why.
        reason: Reason,
        /// What failed.
        cause: String,
    },
    /// It ran in part or whole, and the state before it runs again, under a new generation.
    RolledBack {
        /// Why.
        reason: Reason,
        /// What failed.
        cause: String,
        /// The new generation.
        generation: u64,
    },
}

/// An item that somebody changed behind the log's back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The participant.
    pub participant: String,
    /// The item.
    pub item: String,
    /// What the log says; `None` for nothing.
    pub held: Option<rtt_plan::Item>,
    /// What runs.
    pub runs: Option<rtt_plan::Item>,
}

/// Why a plan was not begun. Nothing was written, and nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The signature, the key or the form.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// This host does not begin it.
    #[error(transparent)]
    Refused(#[from] RefuseError),
    /// The state that runs is not the one in the log.
    #[error("{}: put it back first, `rtt plan status` says how", changed(.0))]
    Drift(Vec<Drift>),
    /// It does not lead where it says.
    #[error("the plan does not fit the state")]
    Effect(#[from] EffectError),
    /// What runs cannot be told.
    #[error(transparent)]
    Scan(#[from] ParticipantError),
    /// The log took no Begin.
    #[error("the plan was not begun")]
    Begin(#[source] WriteError),
    /// It was begun, and its end could not be reached now; the next that opens the log goes on.
    #[error(transparent)]
    Stuck(#[from] SettleError),
}

impl From<WriteError> for ApplyError {
    fn from(error: WriteError) -> ApplyError {
        ApplyError::Stuck(error.into())
    }
}

/// Why what is owed could not be done now. The log says what is owed; opening it again goes on with that.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The log takes no more.
    #[error("the log does not take what happened; nothing is lost: fix the cause and open it again")]
    Write(#[from] WriteError),
    /// What runs cannot be told, so that the log cannot begin with it.
    #[error("the log was not begun")]
    Genesis(#[source] Box<ParticipantError>),
    /// A participant cannot go back, or cannot tell what runs.
    #[error("plan {plan} is in doubt: {doing} did not succeed; fix the cause, then `rtt plan status` goes on")]
    Participant {
        /// The plan.
        plan: PlanId,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: Box<ParticipantError>,
    },
    /// All have gone back, but what runs is not the base.
    #[error(
        "plan {plan} was undone, but root {found} runs, expected {expected}: put it back, then `rtt plan status` goes on"
    )]
    Unrestored {
        /// The plan.
        plan: PlanId,
        /// What runs.
        found: StateRoot,
        /// The base.
        expected: StateRoot,
    },
    /// What is about to be changed was changed by somebody else since the plan was made.
    #[error(
        "plan {plan} is behind its commit point, but {}: put them back, then `rtt plan status` goes on", changed(.drift)
    )]
    Drift {
        /// The plan.
        plan: PlanId,
        /// What was changed.
        drift: Vec<Drift>,
    },
    /// The witness does not take what it missed.
    #[error("the witness does not answer")]
    Witness(#[from] WitnessError),
    /// A plan that was begun since the witness last looked was not signed by a planner.
    #[error(transparent)]
    Unsigned(Box<LogError>),
    /// The transaction is closed, and its checkpoint is not made or not witnessed.
    #[error("the plan is {ended}; but it is not sealed: the next command tries again")]
    Unsealed {
        /// How it ended.
        ended: Box<Ended>,
        /// Why there is no checkpoint.
        source: Box<WriteError>,
    },
    /// The log names a participant that this host does not have.
    #[error("plan {plan} has a participant `{participant}`, which this host lacks")]
    NoParticipant {
        /// The plan.
        plan: PlanId,
        /// The participant.
        participant: String,
    },
}

fn changed(drift: &[Drift]) -> String {
    let first = drift.first().map_or(String::new(), |first| format!(" ({} {})", first.participant, first.item));
    let items = if drift.len() == 1 { "item" } else { "items" };
    format!("{} {items}{first} of the running state changed behind the log", drift.len())
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Verified { generation, root } => write!(f, "verified: generation {generation}, state root {root}"),
            Ended::Aborted { cause, .. } => write!(f, "aborted, nothing of it ran: {cause}"),
            Ended::RolledBack { cause, generation, .. } => {
                write!(f, "rolled back to the state before it, as generation {generation}: {cause}")
            }
        }
    }
}

/// The one writer of a host's state.
pub struct Reconciler<'a, D> {
    log: Log<'a, D>,
    participants: BTreeMap<String, Box<dyn Participant + 'a>>,
}

impl<'a, D: Disk> Reconciler<'a, D> {
    /// Takes the log over, begins it where it is empty, and does what a crash left to do; how the transaction that was
    /// open ended, if one was. `planners` are those whose signature an open plan must have.
    ///
    /// # Errors
    /// [`SettleError`]; nothing was overwritten that the open plan did not put there.
    ///
    /// # Panics
    /// When two participants have one name.
    pub fn open(
        log: Log<'a, D>,
        participants: Vec<Box<dyn Participant + 'a>>,
        planners: &Planners<'_>,
    ) -> Result<(Reconciler<'a, D>, Option<Ended>), SettleError> {
        let count = participants.len();
        let participants: BTreeMap<_, _> = participants.into_iter().map(|p| (p.name().to_owned(), p)).collect();
        assert_eq!(participants.len(), count, "each participant has a name of its own");
        let mut reconciler = Reconciler { log, participants };
        if reconciler.log.told().state.host().is_none() {
            let held = reconciler.scan().map_err(|source| SettleError::Genesis(Box::new(source)))?;
            let host = rtt_model::HostId(reconciler.log.host().0.0);
            let action = Action::Genesis { host, root: Root(held.root().0.0) };
            reconciler.log.write(Entry { action, beside: Beside::State(held) })?;
        }
        // Before anything is written or done: also what only aborts or is closed would be taken over, and sealed.
        reconciler.log.check_begun(planners).map_err(|error| SettleError::Unsigned(Box::new(error)))?;
        reconciler.log.catch_up()?;
        if let Some(Duty::Commit { plan, .. } | Duty::Verify { plan, .. }) = reconciler.log.duty() {
            reconciler.check_others(plan)?;
        }
        let ended = reconciler.settle(Reason::Recovered, "the log was opened again")?;
        Ok((reconciler, ended))
    }

    /// Whether all that the open plan is yet to change is what it was made for, or what it makes: anything else is somebody
    /// else's, and is not overwritten. Before a commit without a crash in between, REC-6 has just seen it.
    fn check_others(&mut self, plan: rtt_model::PlanId) -> Result<(), SettleError> {
        // What cannot be told is not verified either: the transaction goes back.
        let Ok(runs) = self.scan() else { return Ok(()) };
        let told = self.log.told();
        let open = told.plan.as_ref().expect("LOGGED-1: what is open was begun");
        let after = open.effect(&told.held).unwrap_or_else(|_| told.held.clone());
        let mut drift = drift(&told.held, &runs);
        drift.retain(|change| {
            let target = after.participants.get(&change.participant);
            target != runs.participants.get(&change.participant)
        });
        if drift.is_empty() { Ok(()) } else { Err(SettleError::Drift { plan: plan_of(plan), drift }) }
    }

    /// The log.
    pub fn log(&self) -> &Log<'a, D> {
        &self.log
    }

    /// What runs: every participant, read back.
    ///
    /// # Errors
    /// [`ParticipantError`] where one cannot tell.
    pub fn scan(&mut self) -> Result<HostState, ParticipantError> {
        scan(self.participants.values_mut())
    }

    /// What somebody changed behind the log's back.
    ///
    /// # Errors
    /// [`ParticipantError`] where what runs cannot be told.
    pub fn drift(&mut self) -> Result<Vec<Drift>, ParticipantError> {
        let runs = self.scan()?;
        Ok(drift(&self.log.told().held, &runs))
    }

    /// What this host knows when it is asked to begin `plan`.
    pub fn facts(&self, plan: &Plan, terms: &Terms) -> HostFacts {
        facts(self.log.told(), self.log.host(), plan, terms)
    }

    /// Whether `sealed` would be begun now, and the plan: signature, terms, base and effect. Nothing is written.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn admit(
        &mut self,
        sealed: Sealed<Plan>,
        keys: &TrustedKeys,
        terms: &Terms,
        now_unix_s: u64,
    ) -> Result<Verified<Plan>, ApplyError> {
        let participants = self.participants.values_mut();
        admit(self.log.told(), self.log.host(), participants, sealed, keys, terms, now_unix_s)
    }

    /// Carries a plan out, to one of its ends.
    ///
    /// # Errors
    /// [`ApplyError`]. But for [`ApplyError::Stuck`], nothing was written and nothing changed.
    pub fn apply(
        &mut self,
        sealed: Sealed<Plan>,
        keys: &TrustedKeys,
        terms: &Terms,
        now_unix_s: u64,
    ) -> Result<Ended, ApplyError> {
        let envelope = sealed.as_bytes().to_vec();
        let plan = self.admit(sealed, keys, terms, now_unix_s)?;
        let begin = begin_on(self.log.told(), &plan, terms, now_unix_s);
        let id = plan.id();
        let beside = Beside::Plan(Box::new((*plan).clone()), envelope);
        self.log.write(Entry { action: Action::Begin(begin), beside }).map_err(ApplyError::Begin)?;
        let (reason, cause) = match self.prepare_and_commit(id, &plan)? {
            Ok(()) => (Reason::Recovered, String::new()), // Behind the commit point no abort is owed.
            Err(failed) => failed,
        };
        let ended = self.settle(reason, &cause)?;
        Ok(ended.expect("REC-3: a transaction was open"))
    }

    /// REC-2: every participant prepares, then Commit is written; or why the plan has to be aborted.
    ///
    /// # Errors
    /// Where it is not known what the log holds: nobody is told anything then, before the log was opened again.
    fn prepare_and_commit(&mut self, id: PlanId, plan: &Plan) -> Result<Result<(), (Reason, String)>, WriteError> {
        for (position, name) in plan.participants().into_iter().enumerate() {
            let participant = self.participants.get_mut(name).expect("its op had an effect");
            if let Err(error) = participant.prepare(id, &plan.ops_of(name)) {
                return Ok(Err((Reason::PrepareFailed, rtt_seal::in_full(&error)))); // REC-2
            }
            let action = Action::Prepared { plan: model_plan(id), participant: position as u8 };
            if let Err(full) = self.write_where_there_is_room(action)? {
                return Ok(Err(full));
            }
        }
        let changed = match self.scan() {
            Ok(runs) if runs.root() == plan.base.state_root => None, // REC-6
            Ok(runs) => Some(format!("root {} runs now, expected {}", runs.root(), plan.base.state_root)),
            Err(error) => Some(rtt_seal::in_full(&error)),
        };
        if let Some(cause) = changed {
            return Ok(Err((Reason::BaseChanged, cause)));
        }
        let generation = plan.base.generation + 1;
        self.write_where_there_is_room(Action::Commit { plan: model_plan(id), generation })
    }

    /// REC-7: a full disk wrote nothing, so the plan can be aborted. Of any other failure nobody knows whether the record
    /// is durable: it may be the commit point.
    fn write_where_there_is_room(&mut self, action: Action) -> Result<Result<(), (Reason, String)>, WriteError> {
        match self.log.write(Entry::of(action)) {
            Err(error) if error.is_no_space() => Ok(Err((Reason::NoSpace, rtt_seal::in_full(&error)))), // REC-7
            written => written.map(Ok),
        }
    }

    /// REC-13: does what the log says is owed until nothing is; how the open transaction ended.
    fn settle(&mut self, reason: Reason, cause: &str) -> Result<Option<Ended>, SettleError> {
        let (mut reason, mut cause, mut ended) = (reason, cause.to_owned(), None);
        while let Some(duty) = self.log.duty() {
            match duty {
                Duty::Abort { plan, participants } => {
                    self.each(plan, participants, "aborting", |participant, id| participant.abort(id))?;
                    self.log.write(Entry::of(Action::Abort { plan, reason }))?;
                    ended = Some(Ended::Aborted { reason, cause: cause.clone() });
                }
                Duty::Commit { plan, participants, .. } => {
                    if let Err(failed) = self.commit(plan, participants)? {
                        (reason, cause) = (Reason::CommitFailed, failed);
                        self.log.write(Entry::of(Action::Undo { plan, reason }))?; // REC-8
                    }
                }
                // REC-9: what cannot be read back was not read back.
                Duty::Verify { plan, target_root } => match self.read_back(plan) {
                    Ok(found) if found == target_root => {
                        self.log.write(Entry::of(Action::Verified { plan, root: found }))?; // REC-9
                        let state = &self.log.told().state;
                        ended = Some(Ended::Verified { generation: state.generation(), root: root_of(found) });
                    }
                    other => {
                        let told = other.map_or_else(
                            |error| rtt_seal::in_full(&error),
                            |found| format!("root {found} was read back"),
                        );
                        (reason, cause) = (Reason::VerifyFailed, told);
                        self.log.write(Entry::of(Action::Undo { plan, reason }))?;
                    }
                },
                Duty::Undo { plan, participants, base_root, generation } => {
                    self.each(plan, participants, "undoing", |participant, id| participant.undo(id))?;
                    let found = self.read_back(plan)?;
                    if found != base_root {
                        let (found, expected) = (root_of(found), root_of(base_root));
                        return Err(SettleError::Unrestored { plan: plan_of(plan), found, expected }); // REC-10
                    }
                    self.log.write(Entry::of(Action::RolledBack { plan, generation, root: found }))?;
                    ended = Some(Ended::RolledBack { reason, cause: cause.clone(), generation });
                }
                Duty::Checkpoint => match (self.log.checkpoint(), ended.take()) {
                    (Ok(()), told) => ended = told,
                    (Err(error), Some(ended)) => {
                        let (ended, source) = (Box::new(ended), Box::new(error));
                        return Err(SettleError::Unsealed { ended, source });
                    }
                    (Err(source), None) => return Err(source.into()),
                },
            }
            assert_ne!(self.log.duty(), Some(duty), "REC-13: what was done is not owed again");
        }
        Ok(ended)
    }

    /// Commits each of `those`; what the first that fails says.
    fn commit(&mut self, plan: rtt_model::PlanId, those: Participants) -> Result<Result<(), String>, SettleError> {
        for (position, name) in self.names(plan, those)? {
            let participant = self.participants.get_mut(&name).expect("it was looked up");
            if let Err(error) = participant.commit(plan_of(plan)) {
                return Ok(Err(rtt_seal::in_full(&error)));
            }
            self.log.write(Entry::of(Action::Committed { plan, participant: position }))?;
        }
        Ok(Ok(()))
    }

    fn each(
        &mut self,
        plan: rtt_model::PlanId,
        those: Participants,
        doing: &'static str,
        mut act: impl FnMut(&mut dyn Participant, PlanId) -> Result<(), ParticipantError>,
    ) -> Result<(), SettleError> {
        let id = plan_of(plan);
        for (_, name) in self.names(plan, those)? {
            let participant = self.participants.get_mut(&name).expect("it was looked up");
            act(&mut **participant, id).map_err(|source| in_doubt(id, doing, source))?;
        }
        Ok(())
    }

    /// Names of a plan's participants by their position: sorted, as its Begin counted them.
    fn names(&self, plan: rtt_model::PlanId, those: Participants) -> Result<Vec<(u8, String)>, SettleError> {
        let open = self.log.told().plan.as_ref().expect("LOGGED-1: what is open was begun");
        let names = open.participants().into_iter().enumerate().map(|(position, name)| (position as u8, name));
        let mut found = Vec::new();
        for (position, name) in names.filter(|(position, _)| those.contains(*position)) {
            if !self.participants.contains_key(name) {
                return Err(SettleError::NoParticipant { plan: plan_of(plan), participant: name.to_owned() });
            }
            found.push((position, name.to_owned()));
        }
        Ok(found)
    }

    fn read_back(&mut self, plan: rtt_model::PlanId) -> Result<Root, SettleError> {
        let runs = self.scan().map_err(|source| in_doubt(plan_of(plan), "reading back", source))?;
        Ok(Root(runs.root().0.0))
    }
}

fn in_doubt(plan: PlanId, doing: &'static str, source: ParticipantError) -> SettleError {
    SettleError::Participant { plan, doing, source: Box::new(source) }
}

fn root_of(root: Root) -> StateRoot {
    StateRoot(rtt_seal::Digest(root.0))
}

fn plan_of(plan: rtt_model::PlanId) -> PlanId {
    PlanId(rtt_seal::Digest(plan.0))
}
