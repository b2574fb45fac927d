//! Collection: what nothing names goes, in two passes; what a writer names at any moment stays.

use crate::cas::{LATE, in_memory, lease, object, path_of, references, referring};
use crate::cas_disk::{Failure, MemoryDisk, Names};
use proptest::prelude::*;
use rtt_seal::Digest;
use rtt_store::FileDisk;
use rtt_store::cas::{Cas, CollectError, Collected, Lease, ReadError, Source};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

const GRACE: u64 = 10;

fn collect(cas: &mut Cas<MemoryDisk>, now: u64, roots: &[Digest]) -> Collected {
    cas.collect(now, GRACE, &mut |_| Ok(roots.to_vec()), &mut references).expect("collected")
}

/// For objects of which none refers to another, and some may be missing.
fn none(_: &mut dyn Source, _: &Digest) -> Result<Vec<Digest>, ReadError> {
    Ok(Vec::new())
}

/// An object that nothing names.
fn put_unnamed(cas: &mut Cas<MemoryDisk>, bytes: &[u8]) -> Digest {
    let mut lease = cas.lease("passing", LATE).expect("a lease");
    let digest = cas.put(&mut lease, bytes).expect("put");
    cas.release(lease).expect("released");
    digest
}

#[test]
fn what_nothing_names_goes_by_the_second_pass_after_the_grace_period() {
    let mut cas = in_memory();
    let large = put_unnamed(&mut cas, &object(1 << 20, 1));
    let leaf = put_unnamed(&mut cas, b"leaf");
    let root = put_unnamed(&mut cas, &referring(&[leaf]));
    let pinned = put_unnamed(&mut cas, b"pinned");
    cas.pin("a", &pinned).expect("pinned");
    for (now, roots, condemned, removed) in [
        (100, &[root][..], 1, &[][..]),
        (109, &[root], 0, &[]),
        (110, &[root], 0, &[large]),
        (110, &[], 2, &[]),
        (115, &[root], 0, &[]), // Named again: the grace period begins anew.
        (120, &[], 2, &[]),
        (129, &[], 0, &[]),
        (500, &[], 0, &[leaf, root]),
    ] {
        let collected = collect(&mut cas, now, roots);
        let expected = removed.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!((collected.condemned, BTreeSet::from_iter(collected.removed)), (condemned, expected), "at {now}");
    }
    assert_eq!(cas.list().expect("listed"), [pinned]);
    assert_eq!(cas.disk().paths("cas/objects/"), [path_of(&pinned)], "the tree is gone too");
    assert_eq!(cas.disk().paths("cas/condemned/"), Vec::<String>::new());
    assert_eq!(cas.disk().paths("cas/leases/"), Vec::<String>::new());
}

#[test]
fn a_lease_keeps_while_its_holder_lives_and_then_until_it_expires() {
    let mut cas = in_memory();
    let mut held = cas.lease("held", 50).expect("a lease");
    let digest = cas.put(&mut held, b"x").expect("put");
    for now in [10, 1000, 2000] {
        assert_eq!(collect(&mut cas, now, &[]).condemned, 0, "held at {now}");
    }
    cas.renew(&mut held, 3000).expect("renewed");
    cas.leave(held).expect("left");
    assert_eq!(collect(&mut cas, 2999, &[]).condemned, 0);
    let collected = collect(&mut cas, 3000, &[]);
    assert_eq!((collected.condemned, &collected.leases[..]), (1, &["held".to_owned()][..]));
    assert_eq!(collect(&mut cas, 3010, &[]).removed, [digest]);
}

/// What names a lease is durable when it is taken: a power cut before its first put must not let it go.
#[test]
fn a_lease_has_its_name_after_a_power_cut() {
    let mut cas = in_memory();
    let _lease = lease(&mut cas);
    let mut left = Cas::open(cas.disk().cut_power(Names::Synced)).expect("the same store");
    assert_eq!(left.leases().expect("listed").expect("nobody is in a section").len(), 1);
}

/// CAS-12: what a file says of its length is not believed: a lease that is longer than any can be is a damaged one, keeps
/// all, takes no object more, and goes when who takes it gives it back.
#[test]
fn cas_12_a_lease_that_is_too_long_is_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || Cas::open(FileDisk::open(folder.path()).expect("a disk")).expect("a store");
    let mut cas = open();
    let mut dead = cas.lease("long", 50).expect("a lease");
    cas.put(&mut dead, b"x").expect("put");
    cas.leave(dead).expect("left");
    let mut none = |_: &mut dyn Source, _: &Digest| Ok(Vec::new());
    for (bytes, damaged) in [(1 << 30, 0), ((1 << 30) + 1, 1), (8 << 40, 1)] {
        let file = std::fs::File::options().write(true).open(folder.path().join("cas/leases/long")).expect("there");
        file.set_len(bytes).expect("a sparse file");
        let leases = cas.leases().expect("listed").expect("nobody is in a section");
        assert_eq!((leases.len(), leases[0].damaged), (1, damaged), "{bytes} bytes");
    }
    let collected = cas.collect(100, GRACE, &mut |_| Ok(Vec::new()), &mut none).expect("collected");
    assert_eq!((collected.condemned, collected.damaged_leases.len()), (0, 1));
    let mut taken = cas.lease("long", LATE).expect("taken");
    assert!(cas.put(&mut taken, b"y").is_err(), "it cannot name what it could not keep");
    cas.release(taken).expect("given back");
    assert!(cas.leases().expect("listed").expect("nobody is in a section")[0].damaged == 0);
}

/// CAS-7: a lease that had ended when it was listed, and was taken again before the pass came to remove it, stays.
#[test]
fn cas_7_an_ended_lease_that_is_taken_again_during_a_pass_stays() {
    let mut cas = in_memory();
    let mut writer = Cas::open(cas.disk().process()).expect("the same store");
    let left = cas.lease("again", 50).expect("a lease");
    cas.leave(left).expect("left");
    let mut taken = None;
    let mut roots = |_: &mut Cas<MemoryDisk>| {
        taken.get_or_insert_with(|| writer.lease("again", LATE).expect("taken again"));
        Ok(Vec::new())
    };
    let collected = cas.collect(100, GRACE, &mut roots, &mut references).expect("collected");
    assert_eq!(collected.leases, Vec::<String>::new());
    assert_eq!(cas.leases().expect("listed").expect("nobody is in a section").len(), 1);
    assert!(taken.is_some());
}

/// A put that finds an object takes back its condemnation, and the grace period begins anew.
#[test]
fn a_put_that_finds_an_object_renews_it() {
    let mut cas = in_memory();
    let digest = put_unnamed(&mut cas, b"x");
    assert_eq!(collect(&mut cas, 100, &[]).condemned, 1);
    assert_eq!(put_unnamed(&mut cas, b"x"), digest);
    let collected = collect(&mut cas, 200, &[]);
    assert_eq!((collected.condemned, collected.removed.len()), (1, 0));
    assert_eq!(collect(&mut cas, 210, &[]).removed, [digest]);
}

/// CAS-6: while the roots are listed, the name moves from the lease to a record that the list has just missed.
#[test]
fn cas_6_a_name_that_moves_from_a_lease_to_a_root_is_seen() {
    let mut cas = in_memory();
    let mut writer = Cas::open(cas.disk().process()).expect("the same store");
    let digest = put_unnamed(&mut cas, b"x");
    collect(&mut cas, 100, &[]);
    let mut lease = lease(&mut writer);
    writer.put(&mut lease, b"x").expect("found");
    let (mut committed, mut lease) = (Vec::new(), Some(lease));
    for now in [200, 300, 400] {
        let mut roots = |_: &mut Cas<MemoryDisk>| {
            let listed = committed.clone();
            if let Some(lease) = lease.take() {
                committed.push(digest);
                writer.release(lease)?;
            }
            Ok(listed)
        };
        let collected = cas.collect(now, 0, &mut roots, &mut references).expect("collected");
        assert_eq!((collected.condemned, collected.removed.len()), (0, 0), "at {now}");
    }
}

#[test]
fn what_a_dead_writer_left_goes_with_its_lease() {
    let mut cas = in_memory();
    let mut dying = Cas::open(cas.disk().process()).expect("the same store");
    let mut lease = dying.lease("dying", 50).expect("a lease");
    let mut orphan = String::new();
    for at in 0.. {
        dying.disk().fail_at(at, Failure::Dies);
        let put = dying.put(&mut lease, &object(1 << 20, 7));
        let paths = cas.disk().paths("cas/objects/");
        if let ([path], true) = (&paths[..], orphan.is_empty()) {
            orphan.clone_from(path);
        }
        if put.is_ok() {
            break;
        }
    }
    assert!(orphan.ends_with(".tree"), "a tree was there before its object: {orphan}");
    assert!(!cas.disk().paths("cas/tmp/").is_empty());
    assert_eq!(collect(&mut cas, 1000, &[]).leftovers, 0, "the writer lives");
    drop(dying);
    let object = cas.list().expect("listed")[0];
    cas.disk().change(&path_of(&object), |_| {});
    collect(&mut cas, 1001, &[]);
    assert_eq!(cas.disk().paths("cas/tmp/"), Vec::<String>::new());
    assert_eq!(cas.disk().paths("cas/leases/"), Vec::<String>::new());
}

/// When it is not known what is named, nothing is removed and the thing is told.
#[test]
fn nothing_is_removed_when_names_cannot_be_read() {
    let mut cas = in_memory();
    let garbage = put_unnamed(&mut cas, b"garbage");
    let root = put_unnamed(&mut cas, &referring(&[put_unnamed(&mut in_memory(), b"leaf")]));
    cas.collect(1, 0, &mut |_| Ok(vec![root]), &mut none).expect("condemned");
    let failing = |cas: &mut Cas<MemoryDisk>, roots: &[Digest], part: &str| {
        let mut listed = |_: &mut Cas<MemoryDisk>| match roots {
            [] => Err("the log is elsewhere".into()),
            roots => Ok(roots.to_vec()),
        };
        let error = cas.collect(1000, 0, &mut listed, &mut references).expect_err(part);
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(cas.get(&garbage).expect("still there"), b"garbage");
        error
    };
    failing(&mut cas, &[], "roots cannot be listed");
    // The leaf is not in this store, and refers to nothing that is known.
    let error = failing(&mut cas, &[root], "what it refers to is unknown");
    assert!(matches!(error, CollectError::References { source: ReadError::Missing { .. }, .. }));
    cas.disk().change(&path_of(&root), |bytes| bytes[10] ^= 1);
    failing(&mut cas, &[root], &format!("object {root}"));
}

/// CAS-12: what a damaged entry names is unknown, and whether it moved the end: an entry after it tells.
#[test]
fn cas_12_a_damaged_lease_keeps_all_until_it_ends_by_a_later_entry_or_is_given_back() {
    const LEASE: &str = "cas/leases/rotten";
    for (entry, ends_by_itself) in [(0, true), (1, true), (2, false)] {
        let mut cas = in_memory();
        let garbage = put_unnamed(&mut cas, b"garbage");
        collect(&mut cas, 1, &[]);
        let mut lease = cas.lease("rotten", 1000).expect("a lease");
        cas.put(&mut lease, b"leased").expect("put");
        cas.renew(&mut lease, 2000).expect("renewed");
        cas.leave(lease).expect("left");
        cas.disk().change(LEASE, |bytes| {
            let at = entry * bytes.len() / 3;
            bytes[at] ^= 1;
        });
        for now in [500, 1999, if ends_by_itself { 1999 } else { u64::MAX }] {
            let Collected { condemned, removed, damaged_leases, leases, .. } = collect(&mut cas, now, &[]);
            assert_eq!((condemned, &removed[..], &leases[..]), (0, &[][..], &[][..]), "entry {entry} at {now}");
            assert_eq!(damaged_leases.len(), 1, "it is told");
        }
        if !ends_by_itself {
            let taken = cas.lease("rotten", 0).expect("its holder is gone");
            cas.release(taken).expect("given back");
        }
        let collected = collect(&mut cas, 2000, &[]);
        assert_eq!((collected.condemned, &collected.removed[..]), (1, &[garbage][..]), "entry {entry}");
        assert_eq!(collected.leases, ["rotten"]);
    }
}

/// The next holder's first write would lie among the entries of a lease that a power cut brings back.
#[test]
fn a_lease_that_was_given_back_stays_so() {
    let mut cas = in_memory();
    put_unnamed(&mut cas, b"x");
    let mut after = Cas::open(cas.disk().cut_power(Names::All)).expect("a store");
    let leases = after.leases().expect("listed").expect("nobody else is there");
    assert_eq!(leases.iter().map(|lease| (lease.expires_unix_s, lease.digests.len())).collect::<Vec<_>>(), [(None, 0)]);
}

/// What a write that failed left behind the lease's end does not count after a renewal.
#[test]
fn an_acknowledged_end_is_the_last_whatever_failed_before() {
    for at in 0.. {
        let mut cas = in_memory();
        let mut lease = cas.lease("writer", 100).expect("a lease");
        cas.disk().fail_at(at, Failure::LosesAnswer);
        let put = cas.put_batch(&mut lease, &[b"1", b"2", b"3"]);
        if !cas.disk().has_failed() {
            put.expect("put");
            break;
        }
        cas.disk().fail_at(u64::MAX, Failure::LosesAnswer);
        cas.renew(&mut lease, 200).expect("renewed");
        let leases = cas.leases().expect("listed").expect("nobody else is there");
        assert_eq!(leases[0].expires_unix_s, Some(200), "failed at operation {at}");
    }
}

#[test]
fn one_pass_at_a_time_and_none_beside_a_writer_in_its_section() {
    let mut cas = in_memory();
    let digest = put_unnamed(&mut cas, b"x");
    collect(&mut cas, 1, &[]);
    let mut other = Cas::open(cas.disk().process()).expect("the same store");
    let mut roots = |_: &mut Cas<MemoryDisk>| {
        let second = collect(&mut other, 100, &[]);
        assert_eq!(second, Collected { busy: true, ..Collected::default() });
        Ok(vec![digest])
    };
    cas.collect(100, 0, &mut roots, &mut references).expect("collected");
}

/// A writer that acts in between two operations of a pass: puts, commits, gives its lease back.
type Act = fn(&mut Cas<MemoryDisk>, &[u8]) -> bool;

fn puts(writer: &mut Cas<MemoryDisk>, bytes: &[u8]) -> bool {
    let Ok(mut lease) = writer.lease("writer", LATE) else { return false };
    let put = writer.put(&mut lease, bytes).is_ok();
    writer.release(lease).expect("released");
    put
}

fn pins(writer: &mut Cas<MemoryDisk>, bytes: &[u8]) -> bool {
    writer.pin("a", &Digest::of(bytes)).is_ok()
}

/// The mistake that leases are for: what was seen a moment ago is named.
fn only_looks(writer: &mut Cas<MemoryDisk>, bytes: &[u8]) -> bool {
    writer.get(&Digest::of(bytes)).is_ok()
}

/// At how many of a pass's operations a writer that acts there loses the object that it was told it has.
fn losses_of_a_writer_in_between(act: Act) -> (usize, u64) {
    let bytes = object(100, 9);
    let mut before = in_memory();
    let digest = put_unnamed(&mut before, &bytes);
    collect(&mut before, 1, &[]);
    let mut losses = 0;
    for at in 0.. {
        let mut cas = Cas::open(before.disk().copy()).expect("a store");
        let mut writer = Cas::open(cas.disk().process()).expect("the same store");
        let committed = Rc::new(RefCell::new(Vec::new()));
        let (log, put) = (Rc::clone(&committed), bytes.clone());
        cas.disk().interrupt_at(at, move || {
            if act(&mut writer, &put) {
                log.borrow_mut().push(digest);
            }
        });
        for now in [100, 200] {
            cas.collect(now, 0, &mut |_| Ok(committed.borrow().clone()), &mut none).expect("collected");
        }
        if !cas.disk().was_interrupted() {
            return (losses, at);
        }
        let is_named = !committed.borrow().is_empty();
        losses += usize::from(is_named && cas.get(&digest).ok().as_ref() != Some(&bytes));
    }
    unreachable!("a pass has an end");
}

/// CAS-5, from the writer's side; the control shows that there is something to lose.
#[test]
fn a_writer_between_any_two_operations_of_a_pass_loses_nothing() {
    for act in [puts as Act, pins] {
        let (losses, operations) = losses_of_a_writer_in_between(act);
        assert!(operations > 500, "all of two passes: {operations}");
        assert_eq!(losses, 0);
    }
    assert!(losses_of_a_writer_in_between(only_looks).0 > 0, "a writer without a lease does lose it");
}

/// CAS-4: two passes, long after the lease's expiry, between any two operations of a put.
#[test]
fn cas_4_a_pass_between_any_two_operations_of_a_writer_costs_it_nothing() {
    let (found, new) = (object(1 << 20, 9), object(100, 8));
    let mut before = in_memory();
    put_unnamed(&mut before, &found);
    collect(&mut before, 1, &[]);
    for at in 0.. {
        let mut writer = Cas::open(before.disk().copy()).expect("a store");
        let mut collector = Cas::open(writer.disk().process()).expect("the same store");
        let busy = Rc::new(RefCell::new(0));
        let told = Rc::clone(&busy);
        let mut lease = writer.lease("writer", 5).expect("a lease");
        writer.disk().interrupt_at(at, move || {
            for now in [100, 200, 300] {
                *told.borrow_mut() += usize::from(collect(&mut collector, now, &[]).busy);
            }
        });
        let digests = writer.put_batch(&mut lease, &[&found, &new]).expect("put");
        if !writer.disk().was_interrupted() {
            assert!(at > 20, "all of a put");
            break;
        }
        for now in [400, 500] {
            collect(&mut writer, now, &digests);
        }
        for (digest, bytes) in digests.iter().zip([&found, &new]) {
            assert_eq!(&writer.get(digest).unwrap_or_else(|error| panic!("passes at {at}: {error}")), bytes);
        }
    }
}

/// What one user does to the store.
#[derive(Clone, Debug)]
enum Action {
    Put(usize),
    Name(usize),
    Forget(usize),
    Pin(usize),
    Unpin(usize),
    Release,
    Leave(u64),
    Damage(usize),
    Collect(u64),
    Scrub,
}

const OBJECTS: usize = 6;

fn bytes_of(index: usize) -> Vec<u8> {
    object(if index == 0 { (1 << 20) + 5 } else { index - 1 }, index as u8)
}

/// The store as a map; what condemns and names is as it is told in the headers.
#[derive(Debug, Default)]
struct Model {
    objects: BTreeMap<Digest, bool>,
    condemned: BTreeMap<Digest, u64>,
    roots: BTreeSet<Digest>,
    pins: BTreeSet<Digest>,
    held: BTreeSet<Digest>,
    left: Option<(u64, BTreeSet<Digest>)>,
    now: u64,
}

impl Model {
    fn collect(&mut self) -> Vec<Digest> {
        let mut live: BTreeSet<Digest> = &self.roots | &self.pins;
        live.extend(&self.held);
        self.left.take_if(|(expires, _)| *expires <= self.now);
        live.extend(self.left.iter().flat_map(|(_, digests)| digests));
        let old = std::mem::take(&mut self.condemned);
        let mut removed = Vec::new();
        for digest in self.objects.keys().filter(|digest| !live.contains(digest)) {
            match old.get(digest) {
                Some(since) if since + GRACE <= self.now => removed.push(*digest),
                since => {
                    self.condemned.insert(*digest, *since.unwrap_or(&self.now));
                }
            }
        }
        self.objects.retain(|digest, _| !removed.contains(digest));
        removed
    }
}

/// Does the same to both; `lease` is taken for the next put after it was given up.
fn apply(cas: &mut Cas<MemoryDisk>, model: &mut Model, lease: &mut Option<Lease>, action: &Action) {
    let digest = |index: &usize| Digest::of(&bytes_of(*index));
    match action {
        Action::Put(index) => {
            let held = lease.get_or_insert_with(|| cas.lease("writer", LATE).expect("a lease"));
            // Taken over, it names what it named.
            model.held.extend(model.left.take().into_iter().flat_map(|(_, digests)| digests));
            assert_eq!(cas.put(held, &bytes_of(*index)).expect("put"), digest(index));
            model.objects.insert(digest(index), true);
            model.condemned.remove(&digest(index));
            model.held.insert(digest(index));
        }
        Action::Name(index) => drop(model.roots.insert(digest(index))),
        Action::Forget(index) => drop(model.roots.remove(&digest(index))),
        Action::Pin(index) => {
            let is_whole = model.objects.get(&digest(index)) == Some(&true);
            assert_eq!(cas.pin("a", &digest(index)).is_ok(), is_whole);
            model.condemned.remove(&digest(index));
            if is_whole {
                model.pins.insert(digest(index));
            }
        }
        Action::Unpin(index) => {
            assert_eq!(cas.unpin("a", &digest(index)).expect("unpinned"), model.pins.remove(&digest(index)));
        }
        Action::Release => {
            lease.take().map_or(Ok(()), |lease| cas.release(lease)).expect("released");
            model.held.clear();
        }
        Action::Leave(seconds) => {
            if let Some(mut held) = lease.take() {
                cas.renew(&mut held, model.now + seconds).expect("renewed");
                cas.leave(held).expect("left");
                model.left = Some((model.now + seconds, std::mem::take(&mut model.held)));
            }
        }
        Action::Damage(index) => {
            if let Some(whole) = model.objects.get_mut(&digest(index)) {
                *whole = false;
                cas.disk().change(&path_of(&digest(index)), |bytes| *bytes = b"something else".to_vec());
            }
        }
        Action::Collect(seconds) => {
            model.now += seconds;
            let roots = Vec::from_iter(model.roots.iter().copied());
            let collected = cas.collect(model.now, GRACE, &mut |_| Ok(roots.clone()), &mut none).expect("collected");
            assert_eq!(collected.removed, model.collect());
        }
        Action::Scrub => {
            let mut scrubbing = cas.lease("scrub", LATE).expect("a lease");
            let scrubbed = cas.scrub(&mut scrubbing, None).expect("scrubbed");
            let damaged = model.objects.values().filter(|whole| !**whole).count();
            assert_eq!((scrubbed.objects, scrubbed.damaged.len()), (model.objects.len(), damaged));
            model.objects.retain(|_, whole| *whole);
            cas.release(scrubbing).expect("released");
        }
    }
}

fn action() -> impl Strategy<Value = Action> {
    let index = 0..OBJECTS;
    prop_oneof![
        4 => index.clone().prop_map(Action::Put),
        1 => index.clone().prop_map(Action::Name),
        1 => index.clone().prop_map(Action::Forget),
        1 => index.clone().prop_map(Action::Pin),
        1 => index.clone().prop_map(Action::Unpin),
        2 => Just(Action::Release),
        1 => (0..30u64).prop_map(Action::Leave),
        1 => index.prop_map(Action::Damage),
        5 => (0..20u64).prop_map(Action::Collect),
        1 => Just(Action::Scrub),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_map(actions in prop::collection::vec(action(), 1..40)) {
        let (mut cas, mut model, mut lease) = (in_memory(), Model::default(), None);
        for action in &actions {
            apply(&mut cas, &mut model, &mut lease, action);
            let expected: Vec<Digest> = model.objects.keys().copied().collect();
            prop_assert_eq!(cas.list().expect("listed"), expected, "after {:?}", action);
        }
        for index in 0..OBJECTS {
            let digest = Digest::of(&bytes_of(index));
            match (cas.get(&digest), model.objects.get(&digest)) {
                (Ok(bytes), Some(true)) => prop_assert_eq!(bytes, bytes_of(index)),
                (Err(ReadError::Damaged { .. }), Some(false)) | (Err(ReadError::Missing { .. }), None) => {}
                other => prop_assert!(false, "object {}: {:?}", index, other),
            }
        }
    }
}
