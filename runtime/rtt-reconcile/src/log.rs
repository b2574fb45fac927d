//! The reconciler's log: an action is checked by the spec, then made durable, then true.
//!
//! LOGGED-1  No record is written that `next_state` refuses, and none counts before it is in the log.
//!
//! Beside the spec's state it keeps what each participant should hold, told from the log alone: genesis, and the ops of
//! each plan that was verified since.

use crate::entry::{Beside, Entry, EntryError};
use rtt_model::{Action, Broken, Duty, State, next_state, resolve};
use rtt_plan::{EffectError, HostState, Plan};
use rtt_seal::{HostId, LoadError, SealError, SigningKey, TrustError, TrustedKeys};
use rtt_store::Disk;
use rtt_store::wal::{
    AppendError, CHECKPOINT_KIND, CheckpointError, OpenError, Options, Record, Room, Torn, Wal, Witness, WitnessError,
};

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The store refuses it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The witness does not tell what it has seen.
    #[error("the witness cannot be asked")]
    Witness(#[from] WitnessError),
    /// What the witness remembers was not signed by this host.
    #[error("what the witness remembers is not this host's: ask who keeps it")]
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

/// A log that is open for writing.
pub struct Log<'a, D> {
    wal: Wal<D>,
    told: Told,
    host: HostId,
    key: &'a SigningKey,
    witness: Box<dyn Witness + 'a>,
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
        Ok((Log { wal, told, host: options.origin, key, witness }, opened.torn))
    }

    /// What the log tells.
    pub fn told(&self) -> &Told {
        &self.told
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
