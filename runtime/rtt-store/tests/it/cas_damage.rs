//! Damage behind the store's back: found by every read, healed by a put, moved aside and repaired by a scrub.

use crate::cas::{LATE, in_memory, lease, object, path_of};
use crate::cas_disk::{Failure, MemoryDisk, Names};
use rtt_seal::Digest;
use rtt_store::cas::{Cas, OpenError, ReadError, Scrubbed, Source};

const GROUP: usize = 64 * 1024;
const LARGE: usize = 17 * GROUP + 100;

/// A store with one object.
fn store_of(bytes: &[u8]) -> (Cas<MemoryDisk>, Digest) {
    let mut cas = in_memory();
    let mut lease = lease(&mut cas);
    let digest = cas.put(&mut lease, bytes).expect("put");
    cas.release(lease).expect("released");
    (cas, digest)
}

fn is_damaged<T>(read: Result<T, ReadError>, digest: &Digest) -> bool {
    matches!(read, Err(ReadError::Damaged { digest: found }) if found == *digest)
}

/// Every read refuses; a put of the same bytes makes it whole.
fn check_damage(cas: &mut Cas<MemoryDisk>, digest: &Digest, bytes: &[u8], what: &str) {
    assert!(is_damaged(cas.get(digest), digest), "get: {what}");
    assert!(is_damaged(cas.range(digest, 0, usize::MAX), digest), "range: {what}");
    let opened = cas.open_object(digest);
    assert!(matches!(opened, Err(OpenError::Read(ReadError::Damaged { .. }))), "open: {what}");
    let mut lease = lease(cas);
    cas.put(&mut lease, bytes).expect("put");
    assert_eq!(cas.get(digest).expect("whole"), bytes, "after a put: {what}");
    cas.release(lease).expect("released");
}

/// CAS-8: each byte flipped, each length, a byte more.
#[test]
fn cas_8_any_damage_of_a_small_object_is_found_and_healed_by_a_put() {
    let bytes = object(300, 1);
    let (mut cas, digest) = store_of(&bytes);
    let path = path_of(&digest);
    for at in 0..bytes.len() {
        cas.disk().change(&path, |stored| stored[at] ^= 1 << (at % 8));
        check_damage(&mut cas, &digest, &bytes, &format!("byte {at} flipped"));
        cas.disk().change(&path, |stored| stored.truncate(at));
        check_damage(&mut cas, &digest, &bytes, &format!("cut at {at}"));
    }
    cas.disk().change(&path, |stored| stored.push(0));
    check_damage(&mut cas, &digest, &bytes, "a byte more");
}

/// CAS-8 for what is put without its digest known before: a stream, and a file.
#[test]
fn cas_8_a_stream_and_a_file_heal_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    for bytes in [object(300, 1), object(LARGE, 1)] {
        let file = folder.path().join("object");
        std::fs::write(&file, &bytes).expect("written");
        let (mut cas, digest) = store_of(&bytes);
        let mut lease = lease(&mut cas);
        for by_file in [false, true] {
            cas.disk().change(&path_of(&digest), |stored| stored[7] ^= 1);
            assert!(is_damaged(cas.get(&digest), &digest));
            let put = match by_file {
                true => cas.put_file(&mut lease, &file),
                false => cas.put_stream(&mut lease, &mut &bytes[..]),
            };
            assert_eq!(put.expect("put"), digest);
            assert_eq!(cas.get(&digest).expect("whole"), bytes, "{} bytes, by file {by_file}", bytes.len());
        }
    }
}

/// A damaged group spoils the ranges that touch it and no others.
#[test]
fn damage_of_a_large_object_is_found_where_it_is() {
    let bytes = object(LARGE, 2);
    let (mut cas, digest) = store_of(&bytes);
    let path = path_of(&digest);
    for damaged in 0..18 {
        for at in [damaged * GROUP, (damaged * GROUP + 77).min(LARGE - 1), LARGE.min((damaged + 1) * GROUP) - 1] {
            cas.disk().change(&path, |stored| stored[at] ^= 0x80);
            for group in 0..18 {
                let read = cas.range(&digest, (group * GROUP) as u64 + 3, 20);
                if group == damaged {
                    assert!(is_damaged(read, &digest), "byte {at}, group {group}");
                } else {
                    assert_eq!(read.expect("another group"), bytes[group * GROUP + 3..][..20], "byte {at}");
                }
            }
            let across = cas.range(&digest, 0, LARGE);
            assert!(is_damaged(across, &digest), "byte {at}");
            cas.disk().change(&path, |stored| stored[at] ^= 0x80);
        }
    }
    for length in [0, 1, GROUP, (1 << 20) - 1, 1 << 20, 17 * GROUP, LARGE - 1, LARGE + 1, 18 * GROUP, 40 * GROUP] {
        cas.disk().change(&path, |stored| stored.resize(length, 0));
        assert!(cas.object_length(&digest).is_err(), "{length} bytes");
        check_damage(&mut cas, &digest, &bytes, &format!("{length} bytes"));
    }
}

/// CAS-3: no byte of the tree is believed; ranges stay right, and a scrub builds the tree again.
#[test]
fn a_damaged_tree_changes_no_read() {
    let bytes = object(LARGE, 3);
    let (mut cas, digest) = store_of(&bytes);
    let path = format!("{}.tree", path_of(&digest));
    let tree = cas.disk().bytes(&path);
    assert_eq!(tree.len(), 17 * 64);
    let mut lease = lease(&mut cas);
    let check = |cas: &mut Cas<MemoryDisk>, what: &str| {
        let offset = LARGE - 200;
        assert_eq!(cas.range(&digest, offset as u64, 300).expect("a range"), bytes[offset..], "{what}");
    };
    for at in 0..tree.len() {
        cas.disk().change(&path, |stored| stored[at] ^= 4);
        check(&mut cas, &format!("byte {at} flipped"));
        cas.disk().change(&path, |stored| stored[at] ^= 4);
    }
    for length in [0, 63, 64, tree.len() - 1, tree.len() + 1, tree.len() + 64] {
        cas.disk().change(&path, |stored| stored.resize(length, 0));
        check(&mut cas, &format!("{length} bytes"));
        assert_eq!(cas.scrub(&mut lease, None).expect("scrubbed").trees, 1, "{length} bytes");
        assert_eq!(cas.disk().bytes(&path), tree);
    }
    cas.disk().change(&path, |stored| stored[5] ^= 1);
    cas.put(&mut lease, &bytes).expect("put");
    assert_eq!(cas.disk().bytes(&path), tree, "a put heals the tree too");
}

#[test]
fn objects_that_changed_places_are_damaged_both() {
    for bytes in [100, LARGE] {
        let mut cas = in_memory();
        let mut lease = lease(&mut cas);
        let objects = [object(bytes, 4), object(bytes, 5)];
        let digests = objects.each_ref().map(|object| cas.put(&mut lease, object).expect("put"));
        let [one, other] = digests.map(|digest| path_of(&digest));
        cas.disk().swap(&one, &other);
        if bytes == LARGE {
            cas.disk().swap(&format!("{one}.tree"), &format!("{other}.tree"));
        }
        cas.release(lease).expect("released");
        for (digest, object) in digests.iter().zip(&objects) {
            check_damage(&mut cas, digest, object, "swapped");
        }
    }
}

/// What a writer left that died is not an object, and goes when its lease is taken again.
#[test]
fn a_torn_temporary_file_is_no_object() {
    let (mut cas, digest) = store_of(b"whole");
    for at in 0.. {
        let mut dying = Cas::open(cas.disk().process()).expect("the same store");
        let mut lease = dying.lease("dying", LATE).expect("a lease");
        dying.disk().fail_at(at, Failure::Dies);
        let put = dying.put(&mut lease, &object(LARGE, at as u8));
        drop(dying);
        for path in cas.disk().paths("cas/tmp/") {
            cas.disk().change(&path, |bytes| bytes.truncate(bytes.len() / 2));
        }
        let mut again = Cas::open(cas.disk().process()).expect("the same store");
        let lease = again.lease("dying", LATE).expect("taken over");
        assert_eq!(cas.disk().paths("cas/tmp/"), Vec::<String>::new(), "died at {at}");
        again.release(lease).expect("released");
        for each in cas.list().expect("listed") {
            cas.get(&each).unwrap_or_else(|error| panic!("died at {at}: {error}"));
        }
        if put.is_ok() {
            break;
        }
    }
    assert_eq!(cas.get(&digest).expect("whole"), b"whole");
}

fn scrub(cas: &mut Cas<MemoryDisk>, copies: Option<&mut dyn Source>) -> Scrubbed {
    let mut lease = cas.lease("scrub", LATE).expect("a lease");
    let scrubbed = cas.scrub(&mut lease, copies).expect("scrubbed");
    cas.release(lease).expect("released");
    scrubbed
}

/// A scrub reads everything, moves aside what is damaged, keeps it, and repairs it where there is a copy.
#[test]
fn a_scrub_finds_moves_aside_and_repairs() {
    let mut cas = in_memory();
    let mut lease = lease(&mut cas);
    let objects = [object(10, 1), object(LARGE, 2), object(3 * LARGE, 3), object(20, 4)];
    let digests = objects.each_ref().map(|object| cas.put(&mut lease, object).expect("put"));
    let mut copies = Cas::open(cas.disk().copy()).expect("another store");
    let damaged = [digests[1], digests[3]];
    for with_copies in [false, true] {
        for digest in &damaged {
            if !with_copies {
                cas.disk().change(&path_of(digest), |bytes| bytes[7] ^= 1);
            }
        }
        if with_copies {
            cas.put_batch(&mut lease, &[&objects[1], &objects[3]]).expect("put anew");
            damaged.iter().for_each(|digest| cas.disk().change(&path_of(digest), |bytes| bytes[8] ^= 1));
        }
        let scrubbed = scrub(&mut cas, with_copies.then_some(&mut copies as &mut dyn Source));
        assert_eq!((scrubbed.objects, scrubbed.trees, scrubbed.damaged.len()), (4, 0, 2));
        for damage in &scrubbed.damaged {
            let path = format!("cas/quarantine/{}.{}", damage.digest, u8::from(with_copies));
            assert_eq!(damage.quarantined.as_deref(), Some(&path[..]));
            assert!(cas.disk().bytes(&path).len() >= 20, "the evidence is kept");
            assert_eq!(matches!(damage.repair, Some(Ok(()))), with_copies);
        }
        for (digest, object) in digests.iter().zip(&objects) {
            match cas.get(digest) {
                Ok(bytes) => assert_eq!(&bytes, object),
                Err(error) => assert!(!with_copies && matches!(error, ReadError::Missing { .. }), "{error}"),
            }
        }
    }
    assert_eq!(cas.quarantined().expect("listed").len(), 4);
    assert!(scrub(&mut cas, None).damaged.is_empty());
}

/// What a scrub moved aside is gone from its place and kept after a power cut; a tree that it built is whole.
#[test]
fn what_a_scrub_did_survives_a_power_cut() {
    let (mut cas, digest) = store_of(&object(LARGE, 6));
    let tree = format!("{}.tree", path_of(&digest));
    let whole = cas.disk().bytes(&tree);
    cas.disk().change(&tree, |bytes| bytes[5] ^= 1);
    assert_eq!(scrub(&mut cas, None).trees, 1);
    assert_eq!(cas.disk().cut_power(Names::All).bytes(&tree), whole, "its name may be durable at any moment");
    cas.disk().change(&path_of(&digest), |bytes| bytes[0] ^= 1);
    let mut lease = cas.lease("scrub", LATE).expect("a lease");
    let damage = &cas.scrub(&mut lease, None).expect("scrubbed").damaged[0];
    let (aside, left) = (damage.quarantined.clone().expect("moved aside"), cas.disk().cut_power(Names::Synced));
    assert_eq!(left.paths("cas/quarantine/"), [aside], "the evidence is kept");
    assert_eq!(left.paths("cas/objects/"), Vec::<String>::new(), "and stands nowhere else");
}

#[test]
fn a_copy_that_is_damaged_or_missing_repairs_nothing() {
    let (mut cas, digest) = store_of(&object(LARGE, 6));
    let mut copies = Cas::open(cas.disk().copy()).expect("another store");
    copies.disk().change(&path_of(&digest), |bytes| bytes[LARGE - 1] ^= 1);
    for mut copies in [copies, in_memory()] {
        let mut damaged = Cas::open(cas.disk().copy()).expect("a store");
        damaged.disk().change(&path_of(&digest), |bytes| bytes[0] ^= 1);
        let scrubbed = scrub(&mut damaged, Some(&mut copies));
        assert!(matches!(scrubbed.damaged[0].repair, Some(Err(_))));
        assert!(matches!(damaged.get(&digest), Err(ReadError::Missing { .. })));
        assert_eq!(damaged.disk().paths("cas/tmp/"), Vec::<String>::new());
    }
    assert!(cas.get(&digest).is_ok());
}

/// CAS-11: a writer heals the object at any moment of the scrub, and keeps it.
#[test]
fn cas_11_a_scrub_moves_nothing_aside_that_was_healed_meanwhile() {
    let bytes = object(LARGE, 7);
    let (mut before, digest) = store_of(&bytes);
    before.disk().change(&path_of(&digest), |stored| stored[9] ^= 1);
    for at in 0.. {
        let mut cas = Cas::open(before.disk().copy()).expect("a store");
        let mut scrubbing = cas.lease("scrub", LATE).expect("a lease");
        let mut writer = Cas::open(cas.disk().process()).expect("the same store");
        let mut lease = lease(&mut writer);
        let (heal, healed) = (bytes.clone(), std::rc::Rc::new(std::cell::Cell::new(false)));
        let told = std::rc::Rc::clone(&healed);
        cas.disk().interrupt_at(at, move || told.set(writer.put(&mut lease, &heal).is_ok()));
        cas.scrub(&mut scrubbing, None).expect("scrubbed");
        if !cas.disk().was_interrupted() {
            break;
        }
        // A writer that would have waited for the scrub has put nothing yet.
        if healed.get() {
            assert_eq!(cas.get(&digest).unwrap_or_else(|error| panic!("healed at {at}: {error}")), bytes);
        }
    }
}
