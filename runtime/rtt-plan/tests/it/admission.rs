//! Each reason to refuse a plan, alone, beside a host that takes the same plan; and plans that come again.

use crate::bench::{Bench, MACHINE, NOW, file_put, host_id};
use rtt_plan::{Before, Build, Kind, Op, Plan, Policy, StateRoot};
use rtt_seal::{Digest, Role, Sealed, SigningKey};

type Change = fn(&mut Bench);

/// Admitted as it stands; after `change`, which touches one thing of host or plan, answered with `expected`.
fn check(change: Change, expected: &str) {
    let mut bench = Bench::new();
    assert_eq!(bench.answer(), "admitted", "before the change to {expected}");
    change(&mut bench);
    assert_eq!(bench.answer(), expected);
}

fn build(text: &str) -> Build {
    text.parse().expect(text)
}

fn other_root() -> StateRoot {
    StateRoot(Digest([9; 32]))
}

/// PLAN-8. The second host is equal in all that a fingerprint holds, and in every other fact.
#[test]
fn plan_8_another_host_or_another_time_is_refused() {
    check(|b| b.host.host = host_id(2), "wrong_audience");
    check(|b| b.plan.audience = host_id(2), "wrong_audience");
    check(|b| b.plan.not_before_unix_s = NOW + 1, "not_yet_valid");
    check(|b| b.plan.not_before_unix_s = NOW, "admitted");
    check(|b| (b.plan.not_before_unix_s, b.plan.expires_unix_s) = (NOW - 9, NOW + 1), "admitted");
    check(|b| (b.plan.not_before_unix_s, b.plan.expires_unix_s) = (NOW - 9, NOW), "expired");
    // A clock that was set back does not make an old plan young: the log remembers a later time.
    check(|b| b.host.clock_floor_unix_s = b.plan.expires_unix_s, "expired");
    check(|b| b.host.clock_floor_unix_s = b.plan.expires_unix_s - 1, "admitted");
}

/// PLAN-9: each of the three things that stop a second time stops it alone, should the others fail.
#[test]
fn plan_9_a_plan_is_begun_once() {
    check(
        |b| {
            b.host.attempted.insert(b.plan.id());
        },
        "attempted",
    );
    check(
        |b| {
            b.host.attempted.insert(rtt_plan::PlanId(Digest([1; 32])));
        },
        "admitted",
    );
    check(
        |b| {
            b.host.sequences.insert(b.plan.planner, 1);
        },
        "replayed_sequence",
    );
    check(
        |b| {
            b.host.sequences.insert(b.plan.planner, u64::MAX);
        },
        "replayed_sequence",
    );
    check(
        |b| {
            b.host.sequences.insert("0123456789abcdef".parse().expect("an id"), 9);
        },
        "admitted",
    );
    check(
        |b| {
            b.host.sequences.insert(b.plan.planner, 8);
            b.plan.sequence = 9;
        },
        "admitted",
    );
    // As the host's log has it after Begin, whatever came of it.
    check(|b| b.begin(NOW), "attempted");
    let mut bench = Bench::new();
    bench.begin(NOW);
    bench.host.attempted.clear();
    assert_eq!(bench.answer(), "replayed_sequence");
    bench.host.sequences.clear();
    bench.host.generation += 1;
    assert_eq!(bench.answer(), "stale_generation");
}

/// PLAN-9: a plan that changes nothing is used up as well, and so is one on an empty host: neither leaves a root that
/// would not fit again.
#[test]
fn plans_that_change_nothing_or_start_from_nothing_are_used_up() {
    let on_empty = file_put("etc/a", b"1", Before::Absent);
    for (ops, back) in [(vec![], false), (vec![on_empty.clone()], false), (vec![on_empty], true)] {
        let mut bench = Bench::with(ops.clone());
        assert_eq!(bench.answer(), "admitted", "{ops:?}");
        bench.carry_out(back);
        assert_eq!(bench.answer(), "attempted", "{ops:?}");
        bench.host.attempted.clear();
        assert_eq!(bench.answer(), "stale_generation", "{ops:?}");
        (bench.host.generation, bench.host.root) = (bench.plan.base.generation, bench.plan.base.state_root);
        assert_eq!(bench.answer(), "replayed_sequence", "{ops:?}");
    }
}

/// PLAN-10: after a rollback the root is the old one, and only the generation tells.
#[test]
fn plan_10_a_stale_base_is_refused_also_when_its_root_fits_again() {
    check(|b| b.host.generation = 1, "stale_generation");
    check(|b| b.plan.base.generation = 1, "stale_generation");
    check(|b| b.host.root = other_root(), "stale_root");
    check(|b| b.plan.base.state_root = other_root(), "stale_root");

    // ABA: the plan is held back, another one is carried out and rolled back, and then it comes.
    let mut held_back = Bench::with(vec![file_put("etc/a", b"1", Before::Absent)]);
    let mut host = Bench { key: SigningKey::generate(Role::Planner).expect("random"), ..Bench::with(vec![]) };
    host.plan.planner = host.key.id();
    host.plan_again(vec![file_put("etc/b", b"2", Before::Absent)]);
    host.carry_out(true);
    assert_eq!(host.host.root, held_back.plan.base.state_root, "the root fits again");
    held_back.host = host.host.clone();
    assert_eq!(held_back.answer(), "stale_generation");
    held_back.host.generation = 0;
    assert_eq!(held_back.answer(), "admitted", "and nothing else stands in its way");

    // A signed rollback is a plan like any other: it is admitted once, and what came before it stays stale.
    let mut bench = Bench::with(vec![file_put("etc/a", b"1", Before::Absent)]);
    let first = bench.plan.clone();
    bench.carry_out(false);
    bench.plan_again(vec![Op::FileRemove { path: "etc/a".parse().expect("a path"), before: Digest::of(b"1") }]);
    bench.plan.kind = Kind::Rollback;
    assert_eq!(bench.answer(), "admitted");
    bench.carry_out(false);
    assert_eq!((bench.host.root, bench.host.generation), (first.base.state_root, 2));
    assert_eq!(bench.answer(), "attempted");
    bench.plan = first;
    bench.host.attempted.clear();
    bench.host.sequences.clear();
    assert_eq!(bench.answer(), "stale_generation");
}

/// PLAN-11
#[test]
fn plan_11_trust_and_build_never_go_back() {
    check(|b| b.plan.trust_root_version = 2, "trust_downgrade");
    check(|b| b.plan.trust_root_version = 4, "trust_ahead");
    check(|b| (b.host.trust_version, b.plan.trust_root_version) = (2, 2), "host_trust_downgrade");
    check(|b| (b.host.trust_version, b.plan.trust_root_version) = (4, 4), "admitted");
    check(|b| b.plan.runtime_build = build("0.0.9"), "build_downgrade");
    check(|b| b.plan.runtime_build = build("0.2.0"), "other_build");
    check(|b| (b.host.build, b.plan.runtime_build) = (build("0.0.9"), build("0.0.9")), "host_build_downgrade");
    check(|b| (b.host.build, b.plan.runtime_build) = (build("0.10.0"), build("0.10.0")), "admitted");
    check(|b| b.host.build = build("0.10.0"), "other_build");
}

#[test]
fn leave_that_the_host_does_not_give_is_refused() {
    let narrow = |grants: &[&str]| Policy {
        version: 1,
        grants: grants.iter().map(|text| text.parse().expect("a capability")).collect(),
    };
    check(|b| b.plan.policy = Digest([0; 32]), "other_policy");
    check(|b| b.host.policy.grants.truncate(1), "other_policy");
    for (grants, expected) in [
        (&["files:etc", "rings:feed"][..], "admitted"),
        (&["files:*", "rings:*"], "admitted"),
        (&["files:etc/app.conf", "rings:feed"], "capability_not_granted"),
        (&["files:etc"], "capability_not_granted"),
        (&[], "capability_not_granted"),
    ] {
        let mut bench = Bench::new();
        bench.host.policy = narrow(grants);
        bench.plan.policy = bench.host.policy.digest();
        assert_eq!(bench.answer(), expected, "{grants:?}");
    }
}

/// PLAN-12
#[test]
fn plan_12_knobs_are_for_their_machine() {
    check(|b| b.host.machine = Some("fedcba9876543210".into()), "other_machine");
    check(|b| b.host.machine = None, "machine_unknown");
    check(|b| b.plan.machine = Some("fedcba9876543210".into()), "other_machine");
    let mut without = Bench::with(vec![file_put("etc/a", b"1", Before::Absent)]);
    without.host.machine = None;
    assert_eq!(without.answer(), "admitted", "a plan without knobs asks for no machine");
}

/// The key that a plan counts for must have signed: among several signers, leaving one out must not choose the sequence.
#[test]
fn the_planner_is_one_of_the_signers() {
    check(|b| b.plan.planner = "0123456789abcdef".parse().expect("an id"), "planner_has_not_signed");
    let (mut bench, other) = (Bench::new(), SigningKey::generate(Role::Planner).expect("random bytes"));
    let keys = rtt_seal::TrustedKeys::new([bench.key.public().clone(), other.public().clone()]).expect("keys");
    let by_both = |bench: &Bench| {
        let sealed = Sealed::<Plan>::sign(&bench.plan.to_canonical(), &bench.key).expect("signed");
        sealed.cosign(&other).expect("signed").verify(&keys).expect("verified")
    };
    assert_eq!(Plan::admit(&by_both(&bench), &bench.host, NOW), Ok(()));
    bench.plan.planner = other.id();
    assert_eq!(Plan::admit(&by_both(&bench), &bench.host, NOW), Ok(()));
    assert_eq!(bench.answer(), "planner_has_not_signed", "without the other's signature");
}

/// Every refusal names what the plan says, and what the host knows.
#[test]
fn refusals_say_what_is_in_the_way() {
    let changes: [(Change, &[&str]); 9] = [
        (|b| b.host.host = host_id(2), &["wrong audience", "0101", "0202"]),
        (|b| b.plan.not_before_unix_s = NOW + 60, &["not yet valid", "2027-01-15 08:01:00 UTC", "08:00:00 UTC"]),
        (
            |b| {
                b.host.sequences.insert(b.plan.planner, 7);
            },
            &["replayed: sequence 1", "7 was begun", "8 or more"],
        ),
        (
            |b| {
                b.host.generation = 4;
                b.host.sequences.insert(b.plan.planner, 7);
            },
            &["stale base: another plan came first (generation 4 now, this one starts from 0): draft it again"],
        ),
        (|b| b.plan.base.generation = 4, &["stale base: the plan was made on a later state (generation 0 now"]),
        (
            |b| b.plan.trust_root_version = 2,
            &["downgraded trust", "drafted under", "version 2", "holds 3: draft it again"],
        ),
        (|b| b.plan.runtime_build = build("0.0.9"), &["downgraded build", "0.0.9", "0.1.0"]),
        (|b| b.host.policy.grants.clear(), &["other policy"]),
        (|b| b.host.machine = Some("fedcba9876543210".into()), &["other machine", MACHINE, "fedcba9876543210"]),
    ];
    for (change, parts) in changes {
        let mut bench = Bench::new();
        change(&mut bench);
        let said = Plan::admit(&bench.verified(), &bench.host, NOW).expect_err(parts[0]).to_string();
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?}: {said}");
    }
}
