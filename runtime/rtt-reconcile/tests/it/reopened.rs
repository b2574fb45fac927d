//! What a log is held against when it is opened again: its witness, the planners' signatures, and what runs.

use crate::crash::Pulled;
use crate::host::{Host, NOW, World, profile, put, records, ring, witnessed};
use rtt_plan::Op;
use rtt_reconcile::{ApplyError, Ended, Log, LogError, Reconciler, SettleError, audit};
use rtt_seal::{Digest, Role, Sealed, SigningKey, TrustedKeys, in_full};
use rtt_store::FileDisk;
use rtt_store::wal::{CHECKPOINT_KIND, Checkpoint, OpenError, Witness, WitnessError};
use std::cell::Cell;
use std::io;
use std::rc::Rc;

/// The host's witness, which refuses to remember while it is told to.
struct Deaf {
    witness: Box<dyn Witness>,
    deaf: Rc<Cell<bool>>,
}

impl Witness for Deaf {
    fn remember(&mut self, checkpoint: &Sealed<Checkpoint>) -> Result<(), WitnessError> {
        if self.deaf.get() {
            let source = io::Error::other("deaf");
            return Err(WitnessError::File { path: "witness".into(), doing: "writing", source });
        }
        self.witness.remember(checkpoint)
    }

    fn recall(&mut self) -> Result<Option<Sealed<Checkpoint>>, WitnessError> {
        self.witness.recall()
    }
}

/// A reconciler whose witness stops to remember once the cell says so.
fn open_with_deaf<'a>(host: &'a Host, world: &World) -> (Reconciler<'a, FileDisk>, Rc<Cell<bool>>) {
    let deaf = Rc::new(Cell::new(false));
    let witness = Deaf { witness: host.witness(), deaf: Rc::clone(&deaf) };
    let (log, _) = Log::open(host.disk(), &host.options(), &host.key, Box::new(witness)).expect("a log");
    (Reconciler::open(log, world.participants(), &host.planners()).expect("opens").0, deaf)
}

fn witness_file(host: &Host) -> std::path::PathBuf {
    host.folder.path().join("witness")
}

fn ops(tag: &[u8]) -> Vec<Op> {
    vec![put("a", Digest::of(tag), None), ring("r"), profile(Digest::of(b"p"))]
}

/// How it ended is told, and what the witness missed it is given by the next that opens the log: else the end could be cut
/// off unseen.
#[test]
fn what_the_witness_missed_it_is_given_later() {
    let (host, world) = (Host::new(), World::default());
    let (mut reconciler, deaf) = open_with_deaf(&host, &world);
    let (held, seen) = (world.runs(), witnessed(&host).size);
    deaf.set(true);
    let plan = host.plan(&held, 0, 1, ops(b"1"));
    let error = reconciler.apply(plan, &host.keys, &host.terms, NOW).expect_err("not sealed");
    let ApplyError::Stuck(SettleError::Unsealed { ended, .. }) = &error else { panic!("{error}") };
    assert!(matches!(**ended, Ended::Verified { generation: 1, .. }), "{ended}");
    assert!(in_full(&error).starts_with("the plan is verified: generation 1, state root "), "{}", in_full(&error));
    drop(reconciler);
    assert_eq!(witnessed(&host).size, seen);
    let (_, none) = host.open(&world);
    assert!(none.is_none(), "nothing was open");
    let last = records(&host).iter().rfind(|record| record.kind == CHECKPOINT_KIND).map(|record| record.sequence);
    assert_eq!(Some(witnessed(&host).size), last);
    // The same log as it was before the plan is now an old copy.
    let found = Log::open(host.disk(), &host.options(), &host.key, host.witness()).map(drop);
    assert!(found.is_ok(), "the control");
}

/// Of the first checkpoint a crash may have come before the witness; of later ones it has taken one before.
#[test]
fn a_witness_that_lost_its_memory_is_not_taken_for_a_new_one() {
    let (host, world) = (Host::new(), World::default());
    drop(host.open(&world));
    std::fs::remove_file(witness_file(&host)).expect("removed");
    let (mut reconciler, _) = host.open(&world);
    assert_eq!(witnessed(&host).size, 1, "the first checkpoint, once more");
    let held = world.runs();
    reconciler.apply(host.plan(&held, 0, 1, ops(b"1")), &host.keys, &host.terms, NOW).expect("applies");
    drop(reconciler);
    let before = records(&host);
    std::fs::remove_file(witness_file(&host)).expect("removed");
    let refused = Log::open(host.disk(), &host.options(), &host.key, host.witness()).map(drop).expect_err("gone");
    assert!(matches!(refused, LogError::WitnessGone { records } if records == before.len() as u64), "{refused}");
    assert!(host.witness().recall().expect("readable").is_none() && records(&host) == before, "nothing was written");
}

/// A host whose log was written by `planner`, with the first plan behind its commit point.
fn left_open(planner: SigningKey) -> (Host, World) {
    let host = Host::with(SigningKey::generate(Role::Host).expect("a key"), planner);
    let world = World::default();
    drop(host.open(&world));
    let left = Rc::new(Cell::new(u64::MAX));
    let disk = Pulled::new(host.disk(), Rc::clone(&left), false);
    let (mut reconciler, _) = Reconciler::open(host.log(disk), world.participants(), &host.planners()).expect("opens");
    let calls = world.0.borrow().calls.len();
    let held = world.runs();
    // Scans of three, then of three again behind three prepares: the tenth call commits the first.
    world.0.borrow_mut().stopping = Some((calls + 9, left));
    let stuck = reconciler.apply(host.plan(&held, 0, 1, ops(b"1")), &host.keys, &host.terms, NOW);
    assert!(stuck.is_err(), "{stuck:?}");
    drop(reconciler);
    world.0.borrow_mut().stopping = None;
    (host, world)
}

/// REC-1: whoever can write the log cannot have a plan carried out by its recovery.
#[test]
fn rec_1_recovery_carries_out_only_what_a_planner_signed() {
    let (host, world) = left_open(SigningKey::generate(Role::Planner).expect("a key"));
    let runs = world.runs();
    let other = SigningKey::generate(Role::Planner).expect("a key");
    let strangers = TrustedKeys::new([other.public().clone()]).expect("keys");
    for planners in [Some(strangers), None] {
        let refused = Reconciler::open(host.log(host.disk()), world.participants(), &|_| planners.clone());
        let Err(SettleError::Unsigned(error)) = refused.map(drop) else { panic!("carried out") };
        assert!(matches!(*error, LogError::Unsigned { trust_version: 1, .. }), "{error}");
        assert_eq!(world.runs(), runs, "nothing went on");
    }
    let (_, ended) = host.open(&world);
    assert!(matches!(ended, Some(Ended::Verified { generation: 1, .. })), "the control: {ended:?}");
}

/// REC-1: what is closed, or only aborts, is taken over and sealed no more than what runs on.
#[test]
fn rec_1_what_the_witness_has_not_seen_needs_a_signature() {
    let (host, world) = (Host::new(), World::default());
    let (mut reconciler, deaf) = open_with_deaf(&host, &world);
    deaf.set(true);
    let plan = host.plan(&world.runs(), 0, 1, ops(b"1"));
    assert!(reconciler.apply(plan, &host.keys, &host.terms, NOW).is_err(), "closed, and not sealed");
    drop(reconciler);
    let (seen, before) = (witnessed(&host).size, records(&host));
    let other = Host::new();
    let refused = Reconciler::open(host.log(host.disk()), world.participants(), &other.planners()).map(drop);
    assert!(matches!(refused, Err(SettleError::Unsigned(_))), "{refused:?}");
    assert_eq!((witnessed(&host).size, records(&host)), (seen, before), "nothing was sealed");
    drop(host.open(&world));
    assert!(witnessed(&host).size > seen, "the control");
}

/// What somebody changed between a crash and the recovery is shown and not overwritten.
#[test]
fn drift_is_not_overwritten_by_recovery() {
    let (host, world) = left_open(SigningKey::generate(Role::Planner).expect("a key"));
    let changed = rtt_plan::Item { object: Digest::of(b"by hand"), mode: None };
    world.0.borrow_mut().held.get_mut(Op::RINGS).expect("rings").runs.items.insert("mine".into(), changed);
    let runs = world.runs();
    let stuck = Reconciler::open(host.log(host.disk()), world.participants(), &host.planners()).map(drop);
    let Err(SettleError::Drift { drift, .. }) = &stuck else { panic!("{stuck:?}") };
    assert!(drift.iter().any(|change| (change.participant.as_str(), change.item.as_str()) == (Op::RINGS, "mine")));
    assert_eq!(world.runs(), runs, "nothing was overwritten");
    world.0.borrow_mut().held.get_mut(Op::RINGS).expect("rings").runs.items.remove("mine");
    let (_, ended) = host.open(&world);
    assert!(matches!(ended, Some(Ended::Verified { generation: 1, .. })), "once it is put back: {ended:?}");
}

/// REC-6: what changes while the plan is prepared is not overwritten either.
#[test]
fn rec_6_a_base_that_changes_during_prepare_ends_the_plan() {
    let (host, world) = (Host::new(), World::default());
    let (mut reconciler, _) = host.open(&world);
    let held = world.runs();
    world.0.borrow_mut().meddler = Some(Op::RINGS);
    let ended = reconciler.apply(host.plan(&held, 0, 1, ops(b"1")), &host.keys, &host.terms, NOW).expect("ends");
    let Ended::Aborted { reason: rtt_model::Reason::BaseChanged, cause } = &ended else { panic!("{ended:?}") };
    assert!(cause.contains("runs now, expected"), "{cause}");
    let runs = world.runs();
    assert!(runs != held && runs.participants[Op::FILES] == held.participants[Op::FILES], "only the meddler's");
}

/// REC-9: what cannot be read back goes back, and the host is not stuck.
#[test]
fn rec_9_what_cannot_be_read_back_is_rolled_back() {
    let (host, world) = (Host::new(), World::default());
    let (mut reconciler, _) = host.open(&world);
    let held = world.runs();
    world.0.borrow_mut().blind = Some(Op::FILES);
    let ended = reconciler.apply(host.plan(&held, 0, 1, ops(b"1")), &host.keys, &host.terms, NOW).expect("ends");
    let Ended::RolledBack { generation: 2, cause, .. } = &ended else { panic!("{ended:?}") };
    assert!(cause.contains("blind"), "{cause}");
    assert_eq!(world.runs(), held);
}

/// REC-10: a way back that did not lead back is no rollback: nothing begins until the base runs again.
#[test]
fn rec_10_a_participant_that_only_says_that_it_went_back_is_not_believed() {
    let (host, world) = (Host::new(), World::default());
    let (mut reconciler, _) = host.open(&world);
    let held = world.runs();
    world.0.borrow_mut().stubborn = Some(Op::FILES);
    world.fail(Op::RINGS, "commit");
    let plan = host.plan(&held, 0, 1, ops(b"1"));
    let stuck = reconciler.apply(plan, &host.keys, &host.terms, NOW).expect_err("not restored");
    assert!(matches!(&stuck, ApplyError::Stuck(SettleError::Unrestored { .. })), "{stuck}");
    drop(reconciler);
    let again = Reconciler::open(host.log(host.disk()), world.participants(), &host.planners()).map(drop);
    assert!(matches!(again, Err(SettleError::Unrestored { .. })), "{again:?}");
    world.0.borrow_mut().stubborn = None;
    let (_, ended) = host.open(&world);
    assert!(matches!(ended, Some(Ended::RolledBack { generation: 2, .. })), "{ended:?}");
    assert_eq!(world.runs(), held);
}

/// The signatures of a log are checked again, record by record.
#[test]
fn an_audit_finds_what_nobody_signed() {
    let (host, world) = (Host::new(), World::default());
    let (mut reconciler, _) = host.open(&world);
    let held = world.runs();
    reconciler.apply(host.plan(&held, 0, 1, ops(b"1")), &host.keys, &host.terms, NOW).expect("applies");
    drop(reconciler);
    let log = records(&host);
    let own = TrustedKeys::new([host.key.public().clone()]).expect("keys");
    let last = audit(&log, &own, Some(&host.planners())).expect("whole").expect("a checkpoint");
    assert_eq!(last.verify(&own).expect("signed").size, witnessed(&host).size, "the control");
    let other = Host::new();
    let strangers = TrustedKeys::new([other.key.public().clone()]).expect("keys");
    assert!(matches!(audit(&log, &strangers, Some(&host.planners())), Err(LogError::Checkpoint { record: 1, .. })));
    assert!(matches!(audit(&log, &own, Some(&other.planners())), Err(LogError::Unsigned { .. })));
    assert!(matches!(audit(&log, &own, Some(&|_| None)), Err(LogError::Unsigned { source: None, .. })));
    let mut moved = log.clone();
    let at = moved.iter().rposition(|record| record.kind == CHECKPOINT_KIND).expect("a checkpoint");
    moved[at].payload = moved[1].payload.clone();
    assert!(
        matches!(audit(&moved, &own, Some(&host.planners())), Err(LogError::OtherRecords { record }) if record == at as u64)
    );
    let cut = Log::open(
        host.disk(),
        &rtt_store::wal::Options { folder: "empty".into(), ..host.options() },
        &host.key,
        host.witness(),
    );
    assert!(
        matches!(cut.map(drop), Err(LogError::Open(OpenError::Shorter { found: 0, .. }))),
        "no log is a log cut to nothing"
    );
}
