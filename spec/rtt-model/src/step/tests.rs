//! Each rule, by a record that breaks it and nothing else.

use proptest::prelude::*;

use super::*;
use crate::{CapabilityId, Duty, HostId, KeyId, Reason, resolve};

const HOST: HostId = HostId([1; 32]);
const BASE: Root = Root([10; 32]);
const TARGET: Root = Root([11; 32]);
const READY: &str = "genesis, checkpoint 1";
const OPEN: &str = "genesis, checkpoint 1, begin 1, prepared 0";
const COMMITTED: &str = "genesis, checkpoint 1, begin 1, prepared 0, prepared 1, commit 1, committed 0, committed 1";
const UNDOING: &str = "genesis, checkpoint 1, begin 1, prepared 0, prepared 1, commit 1, committed 0, undo";
const VERIFIED: &str =
    "genesis, checkpoint 1, begin 1, prepared 0, prepared 1, commit 1, committed 0, committed 1, verified 11";

/// A good plan for what the log holds: plan and sequence `number`, at second 50.
fn begin(state: &State, number: u8) -> Begin {
    Begin {
        plan: PlanId([number; 32]),
        kind: Kind::Apply,
        key: KeyId([5; 32]),
        sequence: u64::from(number),
        audience: HOST,
        base_generation: state.generation(),
        base_root: state.root(),
        target_root: TARGET,
        participants: 2,
        not_before_unix_s: 40,
        expires_unix_s: 60,
        now_unix_s: 50,
        trust_version: 3,
        build: 4,
    }
}

/// The record that some words stand for: its name, and its number where one decides. Inside of a transaction it is of
/// the open plan, else of plan 1.
fn record(state: &State, words: &str) -> Action {
    let (name, number) = words.split_once(' ').unwrap_or((words, "0"));
    let number: u8 = number.parse().expect(words);
    let plan = state.open().map_or(PlanId([1; 32]), Transaction::plan);
    match name {
        "genesis" => Action::Genesis { host: HOST, root: BASE },
        "begin" => Action::Begin(begin(state, number)),
        "prepared" => Action::Prepared { plan, participant: number },
        "commit" => Action::Commit { plan, generation: number.into() },
        "committed" => Action::Committed { plan, participant: number },
        "verified" => Action::Verified { plan, root: Root([number; 32]) },
        "abort" => Action::Abort { plan, reason: Reason::Recovered },
        "undo" => Action::Undo { plan, reason: Reason::VerifyFailed },
        "rolled_back" => Action::RolledBack { plan, generation: number.into(), root: BASE },
        "restored" => Action::RolledBack { plan, generation: 2, root: Root([number; 32]) },
        "grant" => Action::Grant { plan: PlanId([number; 32]), capability: CapabilityId([0; 32]) },
        "checkpoint" => Action::Checkpoint { size: number.into(), root: Root([0; 32]) },
        "other" => Action::Prepared { plan: PlanId([number; 32]), participant: 1 },
        _ => panic!("{words} stands for no record"),
    }
}

/// The state after a history that breaks nothing.
fn state(history: &str) -> State {
    history.split(", ").filter(|words| !words.is_empty()).fold(State::default(), |state, words| {
        next_state(&state, &record(&state, words)).unwrap_or_else(|broken| panic!("{history}: {words}: {broken}"))
    })
}

/// What is wrong with `last` behind a history, which is what `next_state` answers.
fn check_action(history: &str, state: &State, last: &Action, expected: &str) {
    let found: Vec<String> = objections(state, last).iter().map(Broken::to_string).collect();
    assert_eq!(next_state(state, last).err().map(|broken| broken.to_string()), found.first().cloned());
    assert!(
        found.len() == usize::from(!expected.is_empty()) && found.iter().all(|text| text.starts_with(expected)),
        "{history}, then {last:?}: {found:?}, expected {expected:?}"
    );
}

fn check(history: &str, last: &str, expected: &str) {
    let state = state(history);
    check_action(history, &state, &record(&state, last), expected);
}

fn check_begin(history: &str, change: impl FnOnce(&mut Begin), expected: &str) {
    let state = state(history);
    let mut begin = begin(&state, 2);
    change(&mut begin);
    check_action(history, &state, &Action::Begin(begin), expected);
}

#[test]
fn records_that_follow_each_other() {
    for history in [VERIFIED, OPEN, UNDOING, ""] {
        state(history);
    }
    check(OPEN, "abort", "");
    check(COMMITTED, "undo", "");
    check(UNDOING, "rolled_back 2", "");
    check(VERIFIED, "grant 1", "");
    check(VERIFIED, "checkpoint 9", "");
    check(OPEN, "checkpoint 4", "");
    check_begin(READY, |_| {}, "");
    check_begin(READY, |begin| begin.participants = 0, "");
    check_begin(READY, |begin| begin.participants = 64, "");
}

#[test]
fn records_that_break_an_invariant() {
    check("", "begin 1", "REC-3: the log does not begin with genesis");
    check("", "checkpoint 1", "REC-3: the log does not begin");
    check(READY, "genesis", "REC-3: the log has its genesis already");
    check("genesis", "begin 1", "REC-3: no checkpoint covers the end");
    check(OPEN, "begin 2", "REC-3: plan 0101");
    check(READY, "checkpoint 1", "REC-3: checkpoint covers 1 records, the one before covers 1");
    check(READY, "prepared 0", "REC-1: record is of plan 0101");
    check(OPEN, "other 9", "REC-1: record is of plan 0909");
    check(OPEN, "prepared 2", "REC-2: participant 2 of a plan that has 2");
    check(OPEN, "prepared 255", "REC-2: participant 255 of a plan that has 2");
    check(OPEN, "prepared 0", "REC-2: participant 0 has a record of this already");
    check(OPEN, "commit 1", "REC-2: commit while participants {1} are not prepared");
    check(OPEN, "committed 0", "REC-7: record comes before the commit point");
    check(OPEN, "undo", "REC-7: record comes before");
    check(COMMITTED, "abort", "REC-7: record comes after the commit point, while committing");
    check(UNDOING, "abort", "REC-7: record comes after the commit point, while undoing");
    check(COMMITTED, "committed 0", "REC-2: participant 0 has a record");
    check(COMMITTED, "verified 10", "REC-9: read back root 0a0a");
    check(COMMITTED, "rolled_back 2", "REC-8: rolled back, and no record decided that");
    check(UNDOING, "committed 1", "REC-8: record goes forward");
    check(UNDOING, "undo", "REC-8: record goes forward");
    check(UNDOING, "rolled_back 1", "REC-10: generation 1, the next is 2");
    check(UNDOING, "restored 11", "REC-10: restored root 0b0b");
    check(
        READY,
        "grant 1",
        "REC-1: grant is of plan 0101010101010101010101010101010101010101010101010101010101010101, none",
    );
    check(VERIFIED, "grant 2", "REC-1: grant is of plan 0202");
    let early = "genesis, checkpoint 1, begin 1, prepared 0, prepared 1";
    check(early, "commit 2", "REC-10: generation 2, the next is 1");
    check(&format!("{early}, commit 1, committed 1"), "verified 11", "REC-2: verified while participants {0}");
}

#[test]
fn plans_that_may_not_begin() {
    check_begin(READY, |begin| begin.audience = HostId([2; 32]), "REC-1: plan is for host 0202");
    check_begin(READY, |begin| begin.participants = 65, "REC-2: 65 participants, at most 64");
    check_begin(READY, |begin| begin.base_generation = 1, "REC-6: plan starts from generation 1, the log is at 0");
    check_begin(READY, |begin| begin.base_root = TARGET, "REC-6: plan starts from root 0b0b");
    check_begin(READY, |begin| begin.kind = Kind::Rollback, "REC-10: rollback leads to root 0b0b");
    check_begin(READY, |begin| begin.now_unix_s = 39, "REC-11: clock shows 39 s, plan is valid from 40 s");
    check_begin(READY, |begin| begin.now_unix_s = 60, "REC-11: clock shows 60 s, plan expired at 60 s");
    let aborted = "genesis, checkpoint 1, begin 1, prepared 1, abort, checkpoint 5";
    check_begin(aborted, |_| {}, "");
    check_begin(aborted, |begin| begin.plan = PlanId([1; 32]), "REC-4: plan 0101");
    check_begin(aborted, |begin| begin.sequence = 1, "REC-5: sequence 1 of key 0505");
    check_begin(aborted, |begin| (begin.sequence, begin.key) = (0, KeyId([6; 32])), "");
    check_begin(aborted, |begin| begin.now_unix_s = 49, "REC-11: clock shows 49 s, the log has seen 50 s");
    check_begin(aborted, |begin| begin.trust_version = 2, "REC-12: trust root has version 2, the log has seen 3");
    check_begin(aborted, |begin| begin.build = 3, "REC-12: plan is made for build 3, the log has seen 4");
    let verified = format!("{VERIFIED}, checkpoint 9");
    check_begin(&verified, |begin| (begin.kind, begin.target_root) = (Kind::Rollback, BASE), "");
    check_begin(&verified, |begin| begin.kind = Kind::Rollback, "REC-10: rollback leads to root 0b0b");
}

/// Everything that is wrong is said, not only what is found first.
#[test]
fn objections_are_complete() {
    let state = state(OPEN);
    let wrong = Begin {
        audience: HostId([9; 32]),
        participants: 99,
        base_generation: 7,
        base_root: TARGET,
        kind: Kind::Rollback,
        not_before_unix_s: 9,
        expires_unix_s: 8,
        now_unix_s: 8,
        trust_version: 0,
        build: 0,
        ..begin(&state, 1)
    };
    let ids: Vec<&str> = objections(&state, &Action::Begin(wrong)).iter().map(Broken::id).collect();
    let expected = ["REC-1", "REC-2", "REC-3", "REC-4", "REC-5", "REC-6", "REC-6", "REC-10"];
    assert_eq!(ids, [&expected[..], &["REC-11", "REC-11", "REC-11", "REC-12", "REC-12"]].concat());
}

#[test]
fn generations_end_before_they_begin_anew() {
    let mut state = state(READY);
    for (generation, expected) in [(u64::MAX - 2, ""), (u64::MAX - 1, "REC-10: no generation is left")] {
        state.generation = generation;
        check_action("", &state, &Action::Begin(begin(&state, 1)), expected);
    }
}

/// What is owed, behind each history.
#[test]
fn duties_lead_to_the_end() {
    let plan = PlanId([1; 32]);
    let participants = Participants::first(2);
    let one = Participants::NONE.with(1);
    let committing = "genesis, checkpoint 1, begin 1, prepared 0, prepared 1, commit 1, committed 0";
    for (history, duty) in [
        ("", None),
        ("genesis", Some(Duty::Checkpoint)),
        (READY, None),
        (OPEN, Some(Duty::Abort { plan, participants })),
        (committing, Some(Duty::Commit { plan, participants: one })),
        (COMMITTED, Some(Duty::Verify { plan, target_root: TARGET })),
        (UNDOING, Some(Duty::Undo { plan, participants, base_root: BASE, generation: 2 })),
        (VERIFIED, Some(Duty::Checkpoint)),
    ] {
        assert_eq!(resolve(&state(history)), duty, "{history}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is appended: no panic, and what is refused changes nothing of what the log holds.
    #[test]
    fn any_records_lead_to_a_state_or_an_error(draws in prop::collection::vec((0..13_usize, 0..4_u8), 0..60)) {
        const NAMES: [&str; 13] = [
            "genesis", "begin", "prepared", "commit", "committed", "verified", "abort", "undo", "rolled_back",
            "restored", "grant", "checkpoint", "other",
        ];
        let mut state = State::default();
        for (name, number) in draws {
            let number = if name == 5 || name == 9 { number + 9 } else { number };
            let action = record(&state, &format!("{} {number}", NAMES[name]));
            let applied = apply(&state, &action);
            match next_state(&state, &action) {
                Ok(next) => {
                    prop_assert!(next.generation() >= state.generation());
                    prop_assert!(next.clock_unix_s() >= state.clock_unix_s());
                    prop_assert_eq!(&applied, &next);
                    state = next;
                }
                Err(broken) => prop_assert!(broken.to_string().starts_with("REC-")),
            }
        }
    }
}
