//! Records of the log: what is beside them, and what is never written.

use crate::host::{Host, NOW, World, put, records, ring};
use rtt_model::Action;
use rtt_reconcile::{Beside, Entry, EntryError, Told, WriteError};
use rtt_seal::Digest;
use rtt_store::wal::Record;

/// A log with two plans.
fn two_plans(host: &Host) -> Vec<Record> {
    let world = World::default();
    let (mut reconciler, _) = host.open(&world);
    for (sequence, op) in [(1, ring("a")), (2, put("b", Digest::of(b"1"), None))] {
        let held = reconciler.log().told().held.clone();
        let plan = host.plan(&held, sequence - 1, sequence, vec![op]);
        reconciler.apply(plan, &host.keys, &host.terms, NOW).expect("applies");
    }
    drop(reconciler);
    records(host)
}

/// ENTRY-1: every record reads back as its own bytes; one with another's plan or state beside it is refused.
#[test]
fn entry_1_what_is_beside_an_action_is_what_it_names() {
    let host = Host::new();
    let log = two_plans(&host);
    for record in &log {
        assert_eq!(Entry::read(record).expect("an entry").payload(), record.payload, "record {}", record.sequence);
    }
    let begins: Vec<&Record> = log.iter().filter(|record| record.kind == 2).collect();
    let [first, second] = begins[..] else { panic!("two plans") };
    let own = rtt_model::ENCODED_MAX;
    let swapped = [&first.payload[..own], &second.payload[own..]].concat();
    let error = Entry::read(&Record { payload: swapped, ..first.clone() }).expect_err("another plan");
    assert!(matches!(error, EntryError::OtherBeside { .. }), "{error}");
    let Action::Begin(mut begin) = Action::decode(&first.payload[..own]).expect("a Begin") else { panic!("a Begin") };
    begin.sequence += 1;
    let lying = [&Action::Begin(begin).encode(), &first.payload[own..]].concat();
    let error = Entry::read(&Record { payload: lying, ..first.clone() }).expect_err("another number");
    assert!(matches!(error, EntryError::OtherBegin { .. }), "{error}");
    let other =
        String::from_utf8(log[0].payload[65..].to_vec()).expect("JSON").replace("{}", r#"{"x":{"object":"OBJECT"}}"#);
    let other = other.replace("OBJECT", &Digest::of(b"1").to_string()).into_bytes();
    let error = Entry::read(&Record { payload: [&log[0].payload[..65], &other].concat(), ..log[0].clone() });
    assert!(matches!(error, Err(EntryError::OtherBeside { .. })), "another genesis: {error:?}");
    for payload in [vec![], first.payload[..own - 1].to_vec(), first.payload[..own].to_vec()] {
        assert!(Entry::read(&Record { payload, ..first.clone() }).is_err(), "cut");
    }
    let kind = Entry::read(&Record { kind: 4, ..log[0].clone() });
    assert!(kind.is_err(), "another kind: {kind:?}");
}

/// LOGGED-1: the log's bytes are as they were.
#[test]
fn logged_1_what_the_spec_refuses_is_not_written() {
    let host = Host::new();
    let before = two_plans(&host);
    let told = Told::of(&before).expect("the spec agrees");
    let plan = told.state.in_force().expect("a plan");
    let mut log = host.log(host.disk());
    let refused = [
        Action::Commit { plan, generation: 3 },
        Action::Verified { plan, root: told.state.root() },
        Action::RolledBack { plan, generation: 3, root: told.state.root() },
        Action::Genesis { host: told.state.host().expect("a host"), root: told.state.root() },
    ];
    for action in refused {
        let error = log.write(Entry { action, beside: Beside::Nothing }).expect_err("nothing is open");
        assert!(matches!(error, WriteError::Broken(_)), "{error}");
        assert_eq!(log.told().state, told.state);
    }
    drop(log);
    assert_eq!(records(&host), before);
    let swapped = [&before[..3], &before[4..]].concat();
    assert!(Told::of(&swapped).is_err(), "a log without one of its records is told as broken");
}
