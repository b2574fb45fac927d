//! The reconciler's log: an action is checked by the spec, then made durable, then true.
//!
//! LOGGED-1  No record is written that `next_state` refuses, and none counts before it is in the log.
//!
//! Beside the spec's state it keeps what each participant should hold, told from the log alone: genesis, and the ops of
//! each plan that was verified since.

use crate::entry::{Beside, Entry, EntryError};
use rtt_model::{Action, Begin, Broken, Duty, State, next_state, resolve};
use rtt_plan::{EffectError, HostState, Plan};
use rtt_seal::{HostId, LoadError, SealError, Sealed, SigningKey, TrustError, TrustedKeys};
use rtt_store::Disk;
use rtt_store::wal::{
    AppendError, CHECKPOINT_KIND, Checkpoint, CheckpointError, OpenError, Options, Record, Room, Torn, Wal, Witness,
    WitnessError, merkle,
};

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The store refuses it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The witness does not tell what it has seen, or does not take what it has not.
    #[error("the witness does not answer")]
    Witness(#[from] WitnessError),
    /// The witness lost what it was given.
    #[error(
        "the log has {records} records and was witnessed before, but the witness remembers nothing: bring its memory back, or, \
         where nobody took it away on purpose, `rtt log remember` gives it the last checkpoint again"
    )]
    WitnessGone {
        /// Records in the log.
        records: u64,
    },
    /// A checkpoint was not signed by this host.
    #[error("record {record}: the checkpoint is not this host's")]
    Checkpoint {
        /// The record.
        record: u64,
        /// Why.
        source: Box<SealError>,
    },
    /// A checkpoint tells other records than those before it.
    #[error("record {record}: the checkpoint tells other records than the log has")]
    OtherRecords {
        /// The record.
        record: u64,
    },
    /// A plan was begun that no planner of its time signed.
    #[error(
        "plan {plan} was begun in the log, but no planner of trust version {trust_version} signed it: it is not carried out"
    )]
    Unsigned {
        /// The plan.
        plan: rtt_model::PlanId,
        /// Version of the trust document that was in force.
        trust_version: u64,
        /// Why; `None` where that version is not known here.
        source: Option<Box<SealError>>,
    },
    /// What the witness remembers was not signed by this host.
    #[error(
        "what the witness remembers is not this host's, or is damaged: ask who keeps it; where it is beyond repair, take it away, \
         and `rtt log remember` gives it the last checkpoint again"
    )]
    Witnessed(#[source] SealError),
    /// The host key is no key for checkpoints.
    #[error("the host's key cannot be used")]
    Key(#[from] TrustError),
    /// A key cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A record is none of the reconciler's.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A record breaks the protocol.
    #[error("record {record} breaks the protocol")]
    Broken {
        /// The record.
        record: u64,
        /// Which invariant.
        source: Broken,
    },
    /// A plan that was verified does not apply to the state that the log tells.
    #[error("record {record}: the plan that was verified does not lead from the state before it")]
    Effect {
        /// The record.
        record: u64,
        /// Why.
        source: Box<EffectError>,
    },
}

/// Why an action was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The protocol forbids it: a mistake of the reconciler, or a plan that it must not begin.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The log does not take it.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The checkpoint that ends a transaction cannot be made.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl WriteError {
    /// Whether the disk is full: nothing was written, and the reserve is there for the record that ends the transaction.
    pub fn is_no_space(&self) -> bool {
        matches!(self, WriteError::Append(AppendError::NoSpace { .. }))
    }
}

/// What the log tells, record by record.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The spec's state.
    pub state: State,
    /// What each participant should hold.
    pub held: HostState,
    /// What they held before the last plan that was verified: where a rollback leads.
    pub previous: Option<HostState>,
    /// The plan of the open transaction.
    pub plan: Option<Plan>,
}

impl Told {
    /// What `records` tell.
    ///
    /// # Errors
    /// [`LogError`] for the first record that is malformed or breaks the protocol.
    pub fn of(records: &[Record]) -> Result<Told, LogError> {
        let mut told = Told::default();
        for record in records {
            let entry = Entry::read(record)?;
            let broken = |source| LogError::Broken { record: record.sequence, source };
            let state = next_state(&told.state, &entry.action).map_err(broken)?;
            told.take(state, entry)
                .map_err(|source| LogError::Effect { record: record.sequence, source: Box::new(source) })?;
        }
        Ok(told)
    }

    /// Takes an entry whose action leads to `state`.
    fn take(&mut self, state: State, entry: Entry) -> Result<(), EffectError> {
        match (&entry.action, entry.beside) {
            (Action::Genesis { .. }, Beside::State(held)) => self.held = held,
            (Action::Begin(_), Beside::Plan(plan, _)) => self.plan = Some(*plan),
            (Action::Verified { .. }, _) => {
                let plan = self.plan.take().expect("LOGGED-1: what is verified was begun");
                let after = plan.effect(&self.held)?;
                self.previous = Some(std::mem::replace(&mut self.held, after));
            }
            (Action::Abort { .. } | Action::RolledBack { .. }, _) => self.plan = None,
            _ => {}
        }
        self.state = state;
        Ok(())
    }
}

/// The last checkpoint of a log, where it tells more than the witness has seen: a crash or a failure came between the two,
/// and until the witness has it too, an end could be cut off unseen.
///
/// # Errors
/// [`LogError::WitnessGone`]: of all checkpoints but the very first, the one before it was witnessed.
pub fn unwitnessed(
    records: &[Record],
    witnessed: Option<u64>,
    keys: &TrustedKeys,
) -> Result<Option<Sealed<Checkpoint>>, LogError> {
    let mut checkpoints = records.iter().rev().filter(|record| record.kind == CHECKPOINT_KIND);
    let Some(last) = checkpoints.next() else { return Ok(None) };
    if witnessed.is_none() && checkpoints.next().is_some() {
        return Err(LogError::WitnessGone { records: records.len() as u64 });
    }
    let (sealed, checkpoint) = checkpoint_of(last, keys)?;
    Ok(witnessed.is_none_or(|size| size < checkpoint.size).then_some(sealed))
}

fn checkpoint_of(record: &Record, keys: &TrustedKeys) -> Result<(Sealed<Checkpoint>, Checkpoint), LogError> {
    let sealed = Sealed::<Checkpoint>::from_bytes(record.payload.clone());
    let verified = sealed.clone().verify(keys);
    let verified =
        verified.map_err(|source| LogError::Checkpoint { record: record.sequence, source: Box::new(source) })?;
    Ok((sealed, verified.into_document()))
}

/// Whose signature a plan needed when it was begun: the planners of that trust version at that time, where it is known.
pub type Planners<'a> = dyn Fn(&Begin) -> Option<TrustedKeys> + 'a;

/// Checks again what was checked when the records were written: this host signed every checkpoint, and each tells the records
/// before it; a planner signed every plan that was begun, where it is known who could. Returns the last checkpoint.
///
/// # Errors
/// [`LogError`] for the first record that does not hold.
pub fn audit(
    records: &[Record],
    host: &TrustedKeys,
    planners: Option<&Planners<'_>>,
) -> Result<Option<Sealed<Checkpoint>>, LogError> {
    let (mut frontier, mut last) = (merkle::Frontier::default(), None);
    for record in records {
        if record.kind == CHECKPOINT_KIND {
            let (sealed, checkpoint) = checkpoint_of(record, host)?;
            if (checkpoint.size, checkpoint.root) != (record.sequence, frontier.root()) {
                return Err(LogError::OtherRecords { record: record.sequence });
            }
            last = Some(sealed);
        } else if let Some(planners) = planners
            && let Entry { action: Action::Begin(begin), beside: Beside::Plan(_, envelope) } = Entry::read(record)?
        {
            signed_by_planner(&begin, &envelope, planners)?;
        }
        frontier.push(&record.digest);
    }
    Ok(last)
}

fn signed_by_planner(begin: &Begin, envelope: &[u8], planners: &Planners<'_>) -> Result<(), LogError> {
    let unsigned = |source| LogError::Unsigned { plan: begin.plan, trust_version: begin.trust_version, source };
    let keys = planners(begin).ok_or_else(|| unsigned(None))?;
    Sealed::<Plan>::from_bytes(envelope.to_vec()).verify(&keys).map_err(|source| unsigned(Some(Box::new(source))))?; // REC-1
    Ok(())
}

/// A log that is open for writing.
pub struct Log<'a, D> {
    wal: Wal<D>,
    told: Told,
    host: HostId,
    key: &'a SigningKey,
    witness: Box<dyn Witness + 'a>,
    /// The checkpoint that the witness has not seen.
    missed: Option<Sealed<Checkpoint>>,
    /// What was begun since the last one that it has.
    unseen: Vec<(Begin, Vec<u8>)>,
}

/// Begins, and the envelopes of their plans, from record `from` on.
fn begun_since(records: &[Record], from: u64) -> Result<Vec<(Begin, Vec<u8>)>, LogError> {
    let mut begun = Vec::new();
    for record in &records[from.min(records.len() as u64) as usize..] {
        if let Entry { action: Action::Begin(begin), beside: Beside::Plan(_, envelope) } = Entry::read(record)? {
            begun.push((begin, envelope));
        }
    }
    Ok(begun)
}

impl<'a, D: Disk> Log<'a, D> {
    /// Opens the log of the host whose key is `key`, and tells what was cut off a torn tail. An empty log is begun with
    /// `genesis`, what each participant holds.
    ///
    /// # Errors
    /// [`LogError`]; nothing was written, but for the cut.
    pub fn open(
        disk: D,
        options: &Options,
        key: &'a SigningKey,
        mut witness: Box<dyn Witness + 'a>,
    ) -> Result<(Log<'a, D>, Option<Torn>), LogError> {
        let keys = TrustedKeys::new([key.public().clone()])?;
        let witnessed =
            witness.recall()?.map(|sealed| sealed.verify(&keys)).transpose().map_err(LogError::Witnessed)?;
        let (wal, opened) = Wal::open(disk, options, witnessed.as_deref())?;
        let told = Told::of(&opened.records)?;
        let seen = witnessed.map(|witnessed| witnessed.size);
        let missed = unwitnessed(&opened.records, seen, &keys)?;
        let unseen = begun_since(&opened.records, seen.unwrap_or_default())?;
        Ok((Log { wal, told, host: options.origin, key, witness, missed, unseen }, opened.torn))
    }

    /// What the log tells.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// REC-1: whether every plan that was begun since the witness last looked is one that a planner signed. What the witness
    /// saw, this host had written itself; what came after it, whoever can write the log may have.
    ///
    /// # Errors
    /// [`LogError::Unsigned`].
    pub fn check_begun(&self, planners: &Planners<'_>) -> Result<(), LogError> {
        self.unseen.iter().try_for_each(|(begin, envelope)| signed_by_planner(begin, envelope, planners))
    }

    /// Gives the witness the checkpoint that it missed, once the log was looked at.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn catch_up(&mut self) -> Result<(), WitnessError> {
        match self.missed.take() {
            Some(newer) => self.witness.remember(&newer),
            None => Ok(()),
        }
    }

    /// The host whose log it is.
    pub fn host(&self) -> HostId {
        self.host
    }

    /// The disk, for who shares it with the log.
    pub fn disk(&mut self) -> &mut D {
        self.wal.disk()
    }

    /// What is owed.
    pub fn duty(&self) -> Option<Duty> {
        resolve(&self.told.state)
    }

    /// LOGGED-1: writes an action. When this returns it is durable, or will be with the next that must be.
    ///
    /// # Errors
    /// [`WriteError`]; what the log tells is as it was.
    pub fn write(&mut self, entry: Entry) -> Result<(), WriteError> {
        let state = next_state(&self.told.state, &entry.action)?;
        // Behind the commit point the end has to be reached, full disk or not.
        let ends = !matches!(entry.action, Action::Begin(_) | Action::Prepared { .. } | Action::Commit { .. });
        let room = if ends { Room::Reserve } else { Room::Ordinary };
        self.wal.push(entry.action.kind(), &entry.payload(), room)?;
        if entry.action.is_forced() {
            self.wal.flush()?;
        }
        self.told.take(state, entry).expect("REC-9: what was read back is the plan's target");
        Ok(())
    }

    /// Ends a transaction with a signed checkpoint, in the log and with the witness.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn checkpoint(&mut self) -> Result<(), WriteError> {
        let state = self.wal.state();
        let action = Action::Checkpoint { size: state.size, root: rtt_model::Root(state.root.0) };
        assert_eq!(action.kind(), CHECKPOINT_KIND, "the spec and the store count alike");
        let next = next_state(&self.told.state, &action)?;
        self.wal.checkpoint(self.key, &mut *self.witness)?;
        self.told.state = next;
        Ok(())
    }
}
