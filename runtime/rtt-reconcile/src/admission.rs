//! What a host says to a plan before it begins it: by what the log tells and what runs, without a log that is open.

use crate::entry::{Beside, Entry, begin_of, model_key, model_plan};
use crate::log::Told;
use crate::reconciler::{ApplyError, Drift};
use rtt_model::{Action, Begin, next_state};
use rtt_plan::{Build, HostFacts, HostState, Inventory, Participant, ParticipantError, Plan, Policy, StateRoot};
use rtt_seal::{Digest, HostId, Sealed, TrustedKeys, Verified};
use rtt_store::wal::{AppendError, PAYLOAD_MAX};
use std::collections::BTreeSet;

/// What the host holds against a plan, beside its log.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The build that runs.
    pub build: Build,
    /// Version of the trust document in force.
    pub trust_version: u64,
    /// What plans may do here.
    pub policy: Policy,
    /// This machine's id; `None` where it cannot be told.
    pub machine: Option<String>,
}

/// What runs: every participant, read back.
///
/// # Errors
/// [`ParticipantError`] where one cannot tell.
pub fn scan<'p, 'a: 'p>(
    participants: impl IntoIterator<Item = &'p mut Box<dyn Participant + 'a>>,
) -> Result<HostState, ParticipantError> {
    let mut state = HostState::default();
    for participant in participants {
        let name = participant.name().to_owned();
        let malformed = |source| ParticipantError::State { participant: name.clone(), source: Box::new(source) };
        let inventory = Inventory::from_canonical(&participant.scan()?).map_err(malformed)?;
        state.participants.insert(name, inventory);
    }
    Ok(state)
}

/// What the host knows when it is asked to begin `plan`.
pub fn facts(told: &Told, host: HostId, plan: &Plan, terms: &Terms) -> HostFacts {
    let (state, id, key) = (&told.state, plan.id(), model_key(plan.planner));
    HostFacts {
        host,
        build: terms.build,
        build_floor: Build::from_u64(state.build()).expect("a Begin holds a build"),
        generation: state.generation(),
        root: StateRoot(Digest(state.root().0)),
        sequences: state.burnt(key).map(|burnt| (plan.planner, burnt)).into_iter().collect(),
        attempted: BTreeSet::from_iter(state.was_attempted(model_plan(id)).then_some(id)),
        clock_floor_unix_s: state.clock_unix_s(),
        trust_version: terms.trust_version,
        trust_version_floor: state.trust_version(),
        policy: terms.policy.clone(),
        machine: terms.machine.clone(),
    }
}

/// Whether `sealed` would be begun now, and the plan: signature, terms, base, effect, and room in the log. Writes nothing.
///
/// # Errors
/// [`ApplyError`].
pub fn admit<'p, 'a: 'p>(
    told: &Told,
    host: HostId,
    participants: impl IntoIterator<Item = &'p mut Box<dyn Participant + 'a>>,
    sealed: Sealed<Plan>,
    keys: &TrustedKeys,
    terms: &Terms,
    now_unix_s: u64,
) -> Result<Verified<Plan>, ApplyError> {
    let envelope = sealed.as_bytes().to_vec();
    let plan = sealed.verify(keys)?; // REC-1
    Plan::admit(&plan, &facts(told, host, &plan, terms), now_unix_s)?; // REC-4, REC-5, REC-11, REC-12
    let runs = scan(participants)?;
    let drift = drift(&told.held, &runs);
    if !drift.is_empty() {
        return Err(ApplyError::Drift(drift));
    }
    plan.effect(&runs)?;
    let begin = begin_on(told, &plan, terms, now_unix_s);
    next_state(&told.state, &Action::Begin(begin.clone())).map_err(|broken| ApplyError::Begin(broken.into()))?;
    let beside = Beside::Plan(Box::new((*plan).clone()), envelope);
    let bytes = Entry { action: Action::Begin(begin), beside }.payload().len();
    if bytes > PAYLOAD_MAX {
        return Err(ApplyError::Begin(AppendError::TooLarge { bytes, limit: PAYLOAD_MAX }.into()));
    }
    Ok(plan)
}

/// REC-4, REC-5, REC-12: what `next_state` burns and raises with this record stays, whatever becomes of the plan.
pub(crate) fn begin_on(told: &Told, plan: &Plan, terms: &Terms, now_unix_s: u64) -> Begin {
    let now = now_unix_s.max(told.state.clock_unix_s()); // REC-11
    begin_of(plan, now, terms.trust_version, terms.build.to_u64())
}

/// What differs between what the log says and what runs, item by item.
pub(crate) fn drift(held: &HostState, runs: &HostState) -> Vec<Drift> {
    let mut found = Vec::new();
    let names: BTreeSet<&String> = held.participants.keys().chain(runs.participants.keys()).collect();
    for participant in names {
        let items = |state: &HostState| state.participants.get(participant).cloned().unwrap_or_default().items;
        let (held, runs) = (items(held), items(runs));
        let all: BTreeSet<&String> = held.keys().chain(runs.keys()).collect();
        for item in all.into_iter().filter(|item| held.get(*item) != runs.get(*item)) {
            found.push(Drift {
                participant: participant.clone(),
                item: item.clone(),
                held: held.get(item).copied(),
                runs: runs.get(item).copied(),
            });
        }
    }
    found
}
