//! Which record may follow which log, and where it leads.
//!
//! [`objections`] holds the rules, `apply` what a record does. They are apart so that the model can switch off one rule
//! and see which property notices.

use crate::action::{Action, Begin, Kind};
use crate::broken::Broken;
use crate::id::{PlanId, Root};
use crate::participants::{PARTICIPANTS_MAX, Participants};
use crate::state::{Phase, State, Transaction};

/// A rule: whether it holds, and what is broken when it does not.
type Rule = (bool, Broken);

/// The state after `action`.
///
/// # Errors
/// The first of the [`objections`], when the action must not follow.
pub fn next_state(state: &State, action: &Action) -> Result<State, Broken> {
    match objections(state, action).first() {
        Some(broken) => Err(*broken),
        None => Ok(apply(state, action)),
    }
}

/// Everything that is wrong with `action` as the next record; nothing when it may follow.
///
/// Tells an operator all at once why a plan would be refused. Writes nothing and burns nothing.
pub fn objections(state: &State, action: &Action) -> Vec<Broken> {
    if let Action::Genesis { .. } = action {
        return broken([(state.host.is_none(), Broken::SecondGenesis)]);
    }
    let Some(host) = state.host else { return vec![Broken::NoGenesis] };
    match action {
        Action::Genesis { .. } => Vec::new(),
        Action::Begin(begin) => {
            let audience = Broken::Audience { found: begin.audience, expected: host };
            let mut all = broken([(begin.audience == host, audience)]); // REC-1
            all.extend(broken(rules_of_order(state, begin)));
            all.extend(broken(rules_of_base(state, begin)));
            all.extend(broken(rules_of_time(state, begin)));
            all
        }
        Action::Grant { plan, .. } => broken(rules_of_grant(state, *plan)),
        Action::Checkpoint { size, .. } => {
            let last = state.checkpoint_size;
            broken([(*size > last, Broken::CheckpointSize { found: *size, last })])
        }
        Action::Prepared { plan, .. }
        | Action::Commit { plan, .. }
        | Action::Committed { plan, .. }
        | Action::Verified { plan, .. }
        | Action::Abort { plan, .. }
        | Action::Undo { plan, .. }
        | Action::RolledBack { plan, .. } => match &state.open {
            Some(open) if open.plan == *plan => objections_inside(open, action),
            open => vec![Broken::OtherPlan { found: *plan, open: open.as_ref().map(|open| open.plan) }], // REC-1
        },
    }
}

fn broken<const N: usize>(rules: [Rule; N]) -> Vec<Broken> {
    rules.into_iter().filter_map(|(holds, broken)| (!holds).then_some(broken)).collect()
}

/// REC-3: one transaction after the other. REC-4, REC-5: each plan and each sequence once.
fn rules_of_order(state: &State, begin: &Begin) -> [Rule; 5] {
    let open = state.open.as_ref().map_or(PlanId::default(), |open| open.plan);
    let burnt = state.burnt.get(&begin.key).copied();
    let sequence = Broken::Sequence { key: begin.key, found: begin.sequence, burnt: burnt.unwrap_or_default() };
    [
        (begin.participants <= PARTICIPANTS_MAX, Broken::TooMany { found: begin.participants }), // REC-2
        (state.open.is_none(), Broken::StillOpen { open }),
        (!state.is_unsealed, Broken::Unsealed),
        (!state.attempted.contains(&begin.plan), Broken::Attempted { plan: begin.plan }),
        (burnt.is_none_or(|burnt| begin.sequence > burnt), sequence),
    ]
}

/// REC-6: a plan starts from the state that it was made for; the root alone would come back after a rollback.
fn rules_of_base(state: &State, begin: &Begin) -> [Rule; 4] {
    let (generation, root) = (state.generation, state.root);
    let leads_back = begin.kind != Kind::Rollback || state.previous == Some(begin.target_root); // REC-10
    [
        (
            begin.base_generation == generation,
            Broken::BaseGeneration { found: begin.base_generation, expected: generation },
        ),
        (begin.base_root == root, Broken::BaseRoot { found: begin.base_root, expected: root }),
        (generation.checked_add(2).is_some(), Broken::NoGeneration),
        (leads_back, Broken::RollbackTarget { found: begin.target_root, previous: state.previous }),
    ]
}

/// REC-11: valid now, by a clock that does not go back. REC-12: no older trust root, no older build.
fn rules_of_time(state: &State, begin: &Begin) -> [Rule; 5] {
    let Begin { not_before_unix_s, expires_unix_s, now_unix_s, trust_version, build, .. } = *begin;
    let floor_unix_s = state.clock_unix_s;
    [
        (now_unix_s >= not_before_unix_s, Broken::NotYetValid { now_unix_s, not_before_unix_s }),
        (now_unix_s < expires_unix_s, Broken::Expired { now_unix_s, expires_unix_s }),
        (now_unix_s >= floor_unix_s, Broken::ClockBack { now_unix_s, floor_unix_s }),
        (
            trust_version >= state.trust_version,
            Broken::TrustVersion { found: trust_version, floor: state.trust_version },
        ),
        (build >= state.build, Broken::Build { found: build, floor: state.build }),
    ]
}

/// REC-1: capabilities are those of the plan in force, which a plan behind its commit point is about to replace.
fn rules_of_grant(state: &State, plan: PlanId) -> [Rule; 2] {
    let phase = state.open.as_ref().map_or(Phase::Preparing, |open| open.phase);
    [
        (state.in_force == Some(plan), Broken::NotInForce { found: plan, in_force: state.in_force }),
        (phase == Phase::Preparing, Broken::AfterCommit { phase }),
    ]
}

/// What is wrong with a record of the open transaction's own plan.
fn objections_inside(open: &Transaction, action: &Action) -> Vec<Broken> {
    let phase = open.phase;
    let before_commit = (phase == Phase::Preparing, Broken::AfterCommit { phase }); // REC-7
    let behind_commit = (phase != Phase::Preparing, Broken::BeforeCommit); // REC-7
    let goes_forward = (phase != Phase::Undoing, Broken::AfterUndo); // REC-8
    match *action {
        Action::Prepared { participant, .. } => {
            let [exists, is_new] = rules_of_participant(open, open.prepared, participant);
            broken([before_commit, exists, is_new])
        }
        Action::Commit { generation, .. } => {
            let missing = open.unprepared();
            let next = rule_of_generation(generation, open.commit_generation());
            broken([before_commit, (missing.is_empty(), Broken::Unprepared { missing }), next]) // REC-2
        }
        Action::Committed { participant, .. } => {
            let [exists, is_new] = rules_of_participant(open, open.committed, participant);
            broken([behind_commit, goes_forward, exists, is_new])
        }
        Action::Verified { root, .. } => {
            let missing = open.uncommitted();
            let all = (missing.is_empty(), Broken::Uncommitted { missing }); // REC-2
            broken([behind_commit, goes_forward, all, rule_of_read_back(root, open.target_root)])
        }
        Action::Undo { .. } => broken([behind_commit, goes_forward]),
        Action::RolledBack { generation, root, .. } => {
            let decided = (phase == Phase::Undoing, Broken::NotUndone); // REC-8
            let restored = (root == open.base_root, Broken::Restored { found: root, expected: open.base_root });
            let next = rule_of_generation(generation, open.rollback_generation());
            broken([behind_commit, decided, restored, next])
        }
        _ => broken([before_commit]),
    }
}

/// REC-2: each participant counts once.
fn rules_of_participant(open: &Transaction, those: Participants, participant: u8) -> [Rule; 2] {
    let exists = open.participants().contains(participant);
    [
        (exists, Broken::NoParticipant { found: participant, participants: open.participants }),
        (!those.contains(participant), Broken::Repeated { participant }),
    ]
}

/// REC-9: verified is what was read back.
fn rule_of_read_back(found: Root, expected: Root) -> Rule {
    (found == expected, Broken::ReadBack { found, expected })
}

/// REC-10: a generation names one root, so each end of a transaction that ran has a number of its own.
fn rule_of_generation(found: u64, expected: u64) -> Rule {
    (found == expected, Broken::Generation { found, expected })
}

/// What `action` does, whether it may follow or not. Of the wrong plan it does nothing.
pub(crate) fn apply(state: &State, action: &Action) -> State {
    let mut next = state.clone();
    match *action {
        Action::Genesis { host, root } => {
            next.host = Some(host);
            next.root = root;
            next.is_unsealed = true;
        }
        Action::Begin(ref begin) => apply_begin(&mut next, begin),
        Action::Prepared { participant, .. } => {
            with_open(&mut next, |open| open.prepared = open.prepared.with(participant));
        }
        Action::Commit { .. } => with_open(&mut next, |open| open.phase = Phase::Committing),
        Action::Committed { participant, .. } => {
            with_open(&mut next, |open| open.committed = open.committed.with(participant));
        }
        Action::Undo { .. } => with_open(&mut next, |open| open.phase = Phase::Undoing),
        Action::Verified { plan, root } => {
            let generation = next.open.as_ref().map_or(next.generation, Transaction::commit_generation);
            next.previous = Some(next.root);
            next.in_force = Some(plan);
            close(&mut next, generation, root);
        }
        Action::Abort { .. } => close(&mut next, state.generation, state.root),
        Action::RolledBack { generation, root, .. } => close(&mut next, generation, root),
        Action::Grant { .. } => {}
        Action::Checkpoint { size, .. } => {
            next.checkpoint_size = size;
            next.is_unsealed &= next.open.is_some();
        }
    }
    next
}

/// Burns the plan and its sequence, and raises what never goes back: all of it stays, whatever becomes of the plan.
fn apply_begin(next: &mut State, begin: &Begin) {
    next.attempted.insert(begin.plan);
    next.burnt.insert(begin.key, begin.sequence);
    next.clock_unix_s = begin.now_unix_s;
    next.trust_version = begin.trust_version;
    next.build = begin.build;
    next.open = Some(Transaction {
        plan: begin.plan,
        kind: begin.kind,
        base_generation: begin.base_generation,
        base_root: begin.base_root,
        target_root: begin.target_root,
        participants: begin.participants,
        prepared: Participants::NONE,
        committed: Participants::NONE,
        phase: Phase::Preparing,
    });
}

fn with_open(next: &mut State, change: impl FnOnce(&mut Transaction)) {
    if let Some(open) = &mut next.open {
        change(open);
    }
}

fn close(next: &mut State, generation: u64, root: Root) {
    next.open = None;
    next.generation = generation;
    next.root = root;
    next.is_unsealed = true;
}

#[cfg(test)]
mod tests;
