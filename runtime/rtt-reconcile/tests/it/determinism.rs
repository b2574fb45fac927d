//! The same plans on the same state give the same roots, the same bytes of the log, and the same order of calls.

use crate::host::{Host, NOW, World, profile, put, ring};
use rtt_plan::{HostState, Op};
use rtt_seal::{Digest, Role, SigningKey};
use rtt_units::SplitMix64;

const PLANS: u64 = 1_000;

/// Up to six ops that fit `held`, each for an item of its own.
fn ops(draw: &mut SplitMix64, held: &HostState) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    for _ in 0..draw.next_u64() % 7 {
        let path = format!("d{}/f{}", draw.next_u64() % 3, draw.next_u64() % 5);
        let object = Digest::of(&draw.next_u64().to_le_bytes());
        let file = held.participants[Op::FILES].items.get(&path).map(|item| item.object);
        let name = format!("r{}", draw.next_u64() % 4);
        let has_ring = held.participants[Op::RINGS].items.get(&name).map(|item| item.object);
        let active = held.participants[Op::PROFILE].items.get(Op::PROFILE_ITEM).map(|item| item.object);
        let op = match (draw.next_u64() % 6, file, has_ring, active) {
            (0, Some(before), ..) => Op::FileRemove { path: path.parse().expect("a path"), before },
            (0..=2, before, ..) => put(&path, object, before),
            (3, _, Some(before), _) => Op::RingRemove { name: name.parse().expect("a name"), before },
            (3, _, None, _) => ring(&name),
            (_, _, _, Some(before)) => Op::ProfileClear { before },
            _ => profile(object),
        };
        if ops.iter().all(|other| (other.participant(), other.item()) != (op.participant(), op.item())) {
            ops.push(op);
        }
    }
    ops
}

/// Applies the plans of one seed, some of which fail in a participant; the log's bytes, calls and root.
fn run(keys: &[std::path::PathBuf; 2], seed: u64, plans: u64) -> (Vec<Vec<u8>>, Vec<String>, Digest) {
    let load = |path: &std::path::PathBuf| SigningKey::load(path).expect("a key");
    let host = Host::with(load(&keys[0]), load(&keys[1]));
    let world = World::default();
    let (mut reconciler, _) = host.open(&world);
    let mut draw = SplitMix64::new(seed);
    for sequence in 1..=plans {
        let told = reconciler.log().told();
        let (held, generation) = (told.held.clone(), told.state.generation());
        let ops = ops(&mut draw, &held);
        if draw.next_u64().is_multiple_of(8) {
            let (at, method) = (draw.next_u64() as usize % 3, draw.next_u64() as usize % 2);
            world.fail(Op::PARTICIPANTS[at], ["prepare", "commit"][method]);
        }
        reconciler
            .apply(host.plan(&held, generation, sequence, ops), &host.keys, &host.terms, NOW + sequence)
            .expect("ends");
        world.0.borrow_mut().failing = None;
    }
    drop(reconciler);
    let folder = host.store().join("wal");
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).expect("a log").map(|entry| entry.expect("one").path()).collect();
    names.sort();
    let bytes = names.iter().map(|path| std::fs::read(path).expect("readable")).collect();
    let calls = world.0.borrow().calls.clone();
    (bytes, calls, world.runs().root().0)
}

#[test]
fn a_thousand_random_plans_leave_the_same_bytes_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = ["host", "planner"].map(|name| folder.path().join(name));
    for (path, role) in keys.iter().zip([Role::Host, Role::Planner]) {
        SigningKey::generate(role).expect("a key").save(path, rtt_seal::KeyRest::Plain).expect("saved");
    }
    let (first, second) = (run(&keys, 7, PLANS), run(&keys, 7, PLANS));
    assert_eq!(first.2, second.2, "the state root");
    assert_eq!(first.1, second.1, "the order of calls");
    assert!(first.0 == second.0, "the log's bytes");
    assert!(first.0.iter().map(Vec::len).sum::<usize>() > 1 << 20, "it was written");
    assert!(run(&keys, 8, 50).0 != run(&keys, 7, 50).0, "another seed is another course");
}
