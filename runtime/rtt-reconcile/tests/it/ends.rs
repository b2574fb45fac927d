//! How a plan ends: verified, aborted, rolled back; what is refused before it begins; what runs is never overwritten.

use crate::host::{Host, NOW, World, profile, put, records, ring, witnessed};
use rtt_model::Action;
use rtt_plan::{Kind, Op, RefuseError};
use rtt_reconcile::{ApplyError, Ended, Entry, SettleError, Told};
use rtt_seal::Digest;

/// Ops for all three participants.
fn three(tag: &[u8]) -> Vec<Op> {
    vec![put("etc/a", Digest::of(tag), None), ring("feed"), profile(Digest::of(b"p"))]
}

fn actions(host: &Host) -> Vec<&'static str> {
    let name = |action: &Action| match action {
        Action::Genesis { .. } => "genesis",
        Action::Begin(_) => "begin",
        Action::Prepared { .. } => "prepared",
        Action::Commit { .. } => "commit",
        Action::Committed { .. } => "committed",
        Action::Verified { .. } => "verified",
        Action::Abort { .. } => "abort",
        Action::Undo { .. } => "undo",
        Action::RolledBack { .. } => "rolled_back",
        Action::Grant { .. } => "grant",
        Action::Checkpoint { .. } => "checkpoint",
    };
    records(host).iter().map(|record| name(&Entry::read(record).expect("an entry").action)).collect()
}

/// REC-2, REC-9: all prepare before Commit, all commit before what runs is read back.
#[test]
fn rec_2_a_plan_runs_whole_and_is_verified() {
    let (host, world) = (Host::new(), World::default());
    let (mut reconciler, none) = host.open(&world);
    assert!(none.is_none(), "nothing was open");
    let held = reconciler.log().told().held.clone();
    let ended = reconciler.apply(host.plan(&held, 0, 1, three(b"1")), &host.keys, &host.terms, NOW).expect("applies");
    let root = held.after(&three(b"1")).expect("an effect").root();
    assert!(matches!(ended, Ended::Verified { generation: 1, root: found } if found == root), "{ended:?}");
    assert_eq!((world.runs().root(), &reconciler.log().told().held), (root, &world.runs()));
    drop(reconciler);
    assert_eq!(
        actions(&host),
        [
            "genesis",
            "checkpoint",
            "begin",
            "prepared",
            "prepared",
            "prepared",
            "commit",
            "committed",
            "committed",
            "committed",
            "verified",
            "checkpoint"
        ]
    );
    assert_eq!(witnessed(&host).size, records(&host).len() as u64 - 1, "the witness has the end of the transaction");
    assert_eq!(Told::of(&records(&host)).expect("the spec agrees").held, world.runs());
}

/// REC-7, REC-8, REC-10: whatever participant fails wherever, the base runs again, and it is said under which generation.
#[test]
fn what_fails_goes_back_whole() {
    for participant in Op::PARTICIPANTS {
        for (method, generation) in [("prepare", 0), ("commit", 2)] {
            let (host, world) = (Host::new(), World::default());
            let (mut reconciler, _) = host.open(&world);
            let held = reconciler.log().told().held.clone();
            world.fail(participant, method);
            let plan = host.plan(&held, 0, 1, three(b"1"));
            let ended = reconciler.apply(plan.clone(), &host.keys, &host.terms, NOW).expect("ends");
            match (&ended, method) {
                (Ended::Aborted { cause, .. }, "prepare") | (Ended::RolledBack { cause, .. }, "commit") => {
                    assert!(cause.contains("injected") && cause.contains(participant), "{cause}");
                }
                _ => panic!("{participant} {method}: {ended:?}"),
            }
            assert_eq!(world.runs(), held, "{participant} {method}");
            assert_eq!(world.leftovers(), 0, "{participant} {method}");
            assert_eq!(reconciler.log().told().state.generation(), generation);
            let again = reconciler.apply(plan, &host.keys, &host.terms, NOW).expect_err("a plan is attempted once");
            assert!(matches!(again, ApplyError::Refused(RefuseError::Attempted { .. })), "REC-4: {again}");
            let next = host.plan(&held, generation, 2, three(b"2"));
            let ended = reconciler.apply(next, &host.keys, &host.terms, NOW).expect("the next one runs");
            assert!(matches!(ended, Ended::Verified { .. }), "{ended:?}");
            drop(reconciler);
            Told::of(&records(&host)).expect("the spec agrees");
        }
    }
}

/// REC-9: a participant that says it committed and did something else.
#[test]
fn rec_9_what_is_not_read_back_as_the_target_is_rolled_back() {
    let (host, world) = (Host::new(), World::default());
    let (mut reconciler, _) = host.open(&world);
    let held = reconciler.log().told().held.clone();
    world.0.borrow_mut().crooked = Some(Op::RINGS);
    let ended = reconciler.apply(host.plan(&held, 0, 1, three(b"1")), &host.keys, &host.terms, NOW).expect("ends");
    assert!(matches!(ended, Ended::RolledBack { generation: 2, .. }), "{ended:?}");
    assert_eq!(world.runs(), held);
}

/// REC-10 and the ABA case: after a rollback the root is as before, and what was made before it stays stale.
#[test]
fn rec_10_a_plan_from_before_a_rollback_stays_stale() {
    let (host, world) = (Host::new(), World::default());
    let (mut reconciler, _) = host.open(&world);
    let held = reconciler.log().told().held.clone();
    let early = host.plan(&held, 0, 5, vec![ring("early")]);
    world.fail(Op::RINGS, "commit");
    reconciler.apply(host.plan(&held, 0, 1, three(b"1")), &host.keys, &host.terms, NOW).expect("rolled back");
    assert_eq!(reconciler.log().told().held.root(), held.root(), "the root is the same again");
    let stale = reconciler.apply(early, &host.keys, &host.terms, NOW).expect_err("stale");
    let expected = matches!(stale, ApplyError::Refused(RefuseError::Generation { base: 0, generation: 2 }));
    assert!(expected, "{stale}");
    let fresh = host.plan(&held, 2, 6, vec![ring("early")]);
    reconciler.apply(fresh, &host.keys, &host.terms, NOW).expect("the positive control");
}

/// REC-5: a plan without ops burns its sequence and its id.
#[test]
fn rec_5_a_plan_that_changes_nothing_is_used_up() {
    let (host, world) = (Host::new(), World::default());
    let (mut reconciler, _) = host.open(&world);
    let held = reconciler.log().told().held.clone();
    let empty = host.plan(&held, 0, 3, Vec::new());
    let ended = reconciler.apply(empty.clone(), &host.keys, &host.terms, NOW).expect("applies");
    assert!(matches!(ended, Ended::Verified { generation: 1, .. }), "{ended:?}");
    assert!(reconciler.apply(empty, &host.keys, &host.terms, NOW).is_err());
    let low = host.plan(&held, 1, 3, vec![ring("a")]);
    let refused = reconciler.apply(low, &host.keys, &host.terms, NOW).expect_err("burnt");
    assert!(matches!(refused, ApplyError::Refused(RefuseError::Sequence { burnt: 3, .. })), "{refused}");
}

/// REC-1, REC-6, REC-11, REC-12: each refusal before anything is written, beside a plan that passes.
#[test]
fn what_is_refused_leaves_no_trace() {
    let (host, world) = (Host::new(), World::default());
    let (mut reconciler, _) = host.open(&world);
    let held = reconciler.log().told().held.clone();
    let good = host.draft(&held, 0, 1, three(b"1"));
    let before = (records(&host).len(), world.runs());
    let stranger = Host::new();
    let mut refused = |plan: rtt_seal::Sealed<rtt_plan::Plan>, now: u64, part: &str| {
        let error = reconciler.apply(plan, &host.keys, &host.terms, now).expect_err(part).to_string();
        assert!(error.contains(part), "{part}: {error}");
        assert_eq!((records(&host).len(), world.runs()), before, "{part}");
    };
    refused(stranger.sign(&good), NOW, "no trusted key");
    let change = |alter: &dyn Fn(&mut rtt_plan::Plan)| {
        let mut plan = good.clone();
        alter(&mut plan);
        host.sign(&plan)
    };
    refused(change(&|plan| plan.audience = stranger.id()), NOW, "wrong audience");
    refused(change(&|plan| plan.base.generation = 1), NOW, "stale base");
    refused(change(&|plan| plan.base.state_root.0 = Digest::of(b"other")), NOW, "stale base");
    refused(host.sign(&good), NOW - 100, "not yet valid");
    refused(host.sign(&good), NOW + 2_000_000, "expired");
    refused(change(&|plan| plan.trust_root_version = 2), NOW, "bring the newer trust");
    refused(change(&|plan| plan.target_root.0 = Digest::of(b"other")), NOW, "does not fit");
    refused(change(&|plan| plan.machine = Some("fedcba9876543210".into())), NOW, "other machine");
    reconciler.apply(host.sign(&good), &host.keys, &host.terms, NOW).expect("the positive control");
}

/// Somebody changed the state: it is shown, and nothing is overwritten.
#[test]
fn drift_is_shown_and_never_overwritten() {
    let (host, world) = (Host::new(), World::default());
    let (mut reconciler, _) = host.open(&world);
    let held = reconciler.log().told().held.clone();
    reconciler.apply(host.plan(&held, 0, 1, three(b"1")), &host.keys, &host.terms, NOW).expect("applies");
    assert!(reconciler.drift().expect("a scan").is_empty());
    let held = reconciler.log().told().held.clone();
    let shelf = |world: &World| world.0.borrow_mut().held.get_mut(Op::FILES).expect("a shelf").runs.items.clone();
    let own = rtt_plan::Item { object: Digest::of(b"mine"), mode: None };
    world.0.borrow_mut().held.get_mut(Op::FILES).expect("a shelf").runs.items.insert("etc/a".into(), own);
    let changed = shelf(&world);
    let drift = reconciler.drift().expect("a scan");
    assert_eq!((drift.len(), drift[0].item.as_str(), drift[0].runs), (1, "etc/a", Some(own)));
    let plan = host.plan(&held, 1, 2, vec![ring("other")]);
    let error = reconciler.apply(plan.clone(), &host.keys, &host.terms, NOW).expect_err("drift");
    assert!(matches!(&error, ApplyError::Drift(items) if items.len() == 1), "{error}");
    assert_eq!(shelf(&world), changed, "as it was found");
    let back = held.participants[Op::FILES].items.clone();
    world.0.borrow_mut().held.get_mut(Op::FILES).expect("a shelf").runs.items = back;
    reconciler.apply(plan, &host.keys, &host.terms, NOW).expect("the positive control");
}

/// A participant that cannot go back: the plan stays in doubt, and opening the log again ends it.
#[test]
fn rec_3_what_is_in_doubt_is_ended_by_the_next_that_opens_the_log() {
    let (host, world) = (Host::new(), World::default());
    let (mut reconciler, _) = host.open(&world);
    let held = reconciler.log().told().held.clone();
    world.0.borrow_mut().crooked = Some(Op::RINGS);
    world.fail(Op::FILES, "undo");
    let stuck = reconciler.apply(host.plan(&held, 0, 1, three(b"1")), &host.keys, &host.terms, NOW).expect_err("stuck");
    let settling = matches!(&stuck, ApplyError::Stuck(SettleError::Participant { doing: "undoing", .. }));
    assert!(settling && stuck.to_string().contains("in doubt"), "{stuck}");
    drop(reconciler);
    let (reconciler, ended) = host.open(&world);
    assert!(matches!(ended, Some(Ended::RolledBack { generation: 2, .. })), "{ended:?}");
    assert_eq!((world.runs(), reconciler.log().duty()), (held, None));
}

/// A rollback plan is a plan: signed, numbered, and it leads to the state before.
#[test]
fn a_signed_rollback_restores_the_state_before() {
    let (host, world) = (Host::new(), World::default());
    let (mut reconciler, _) = host.open(&world);
    let held = reconciler.log().told().held.clone();
    reconciler.apply(host.plan(&held, 0, 1, three(b"1")), &host.keys, &host.terms, NOW).expect("applies");
    let now = reconciler.log().told().held.clone();
    let back = |op: &Op| match op {
        Op::FilePut { path, object, .. } => Op::FileRemove { path: path.clone(), before: *object },
        Op::RingPut { name, .. } => Op::RingRemove { name: name.clone(), before: op.after().expect("an item").object },
        Op::ProfileSet { object, .. } => Op::ProfileClear { before: *object },
        other => panic!("{other:?}"),
    };
    let mut plan = host.draft(&now, 1, 2, three(b"1").iter().map(back).collect());
    plan.machine = None;
    plan.kind = Kind::Rollback;
    let ended = reconciler.apply(host.sign(&plan), &host.keys, &host.terms, NOW).expect("applies");
    assert!(matches!(ended, Ended::Verified { generation: 2, .. }), "{ended:?}");
    assert_eq!(world.runs(), held);
    let mut elsewhere = host.draft(&held, 2, 3, vec![ring("x")]);
    elsewhere.kind = Kind::Rollback;
    let refused =
        reconciler.apply(host.sign(&elsewhere), &host.keys, &host.terms, NOW).expect_err("not the one before");
    assert!(rtt_seal::in_full(&refused).contains("REC-10"), "{}", rtt_seal::in_full(&refused));
}
