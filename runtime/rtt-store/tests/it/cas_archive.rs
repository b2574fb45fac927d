//! Archives of closures: whole on the other side, or nothing.

use crate::cas::{in_memory, lease, object, references, referring};
use crate::cas_disk::MemoryDisk;
use rtt_seal::Digest;
use rtt_store::cas::{Cas, ExportError, ImportError, ReadError, Source};
use std::collections::BTreeSet;

/// A root that refers to a manifest and a leaf, and the manifest to the leaf again and to another leaf of `bytes` bytes.
fn store_with_closure(bytes: usize) -> (Cas<MemoryDisk>, Digest, BTreeSet<Digest>) {
    let mut cas = in_memory();
    let mut lease = lease(&mut cas);
    let mut put = |bytes: &[u8]| cas.put(&mut lease, bytes).expect("put");
    let (leaf, other) = (put(b"leaf"), put(&object(bytes, 1)));
    let manifest = put(&referring(&[leaf, other]));
    let root = put(&referring(&[manifest, leaf]));
    put(b"not of the closure");
    (cas, root, BTreeSet::from([leaf, other, manifest, root]))
}

fn export(cas: &mut Cas<MemoryDisk>, root: &Digest) -> Vec<u8> {
    let mut archive = Vec::new();
    cas.export(&[*root], &mut references, &mut archive).expect("exported");
    archive
}

/// Imports into an empty store and says what is there afterwards.
fn import(archive: &[u8]) -> (Result<Vec<Digest>, ImportError>, Cas<MemoryDisk>) {
    let mut cas = in_memory();
    let mut lease = lease(&mut cas);
    let imported = cas.import(&mut lease, &mut &archive[..], &mut references);
    assert_eq!(cas.disk().paths("cas/tmp/"), Vec::<String>::new());
    (imported, cas)
}

fn refused(archive: &[u8], what: &str) -> ImportError {
    let (imported, mut cas) = import(archive);
    assert_eq!(cas.list().expect("listed"), [], "{what}");
    imported.expect_err(what)
}

#[test]
fn a_closure_arrives_as_it_was() {
    for bytes in [0, 5, 1 << 20, (3 << 20) + 1] {
        let (mut cas, root, closure) = store_with_closure(bytes);
        let archive = export(&mut cas, &root);
        assert_eq!(export(&mut cas, &root), archive, "the same objects give the same archive");
        let (imported, mut other) = import(&archive);
        assert_eq!(imported.expect("imported"), [root]);
        assert_eq!(other.list().expect("listed"), Vec::from_iter(closure.clone()));
        for digest in &closure {
            assert_eq!(other.get(digest).expect("whole"), cas.get(digest).expect("whole"));
        }
        // What is there already is not written again, and the rest arrives.
        let mut lease = cas.lease("again", 9).expect("a lease");
        let again = cas.import(&mut lease, &mut &archive[..], &mut references).expect("imported");
        assert_eq!((again, cas.list().expect("listed").len()), (vec![root], closure.len() + 1));
    }
}

/// CAS-9: cut at any byte, any byte changed, a byte more: nothing arrives.
#[test]
fn cas_9_a_damaged_archive_brings_nothing() {
    let (mut cas, root, _) = store_with_closure(5);
    let archive = export(&mut cas, &root);
    for at in 0..archive.len() {
        refused(&archive[..at], &format!("cut at {at}"));
        let mut changed = archive.clone();
        changed[at] ^= 1 << (at % 8);
        refused(&changed, &format!("byte {at} changed"));
    }
    let longer = [&archive[..], &[0]].concat();
    let error = refused(&longer, "a byte more").to_string();
    assert_eq!(error, format!("archive: there is more after the end at byte {}", longer.len()));
}

/// An object is taken out, put in twice, or was never asked for, with every digest and the check right.
#[test]
fn an_archive_that_is_not_the_closure_brings_nothing() {
    let (mut cas, root, _) = store_with_closure(5);
    let mut nothing = |_: &mut dyn Source, _: &Digest| Ok(Vec::new());
    let mut archive = Vec::new();
    cas.export(&[root], &mut nothing, &mut archive).expect("the root alone");
    assert!(matches!(refused(&archive, "objects are missing"), ImportError::Lacks { .. }));

    let more = Digest::of(b"not of the closure");
    let mut with_more = |source: &mut dyn Source, digest: &Digest| {
        let mut listed = references(source, digest)?;
        listed.push(more);
        Ok(listed)
    };
    let mut archive = Vec::new();
    cas.export(&[root], &mut with_more, &mut archive).expect("one more");
    assert!(matches!(refused(&archive, "one more"), ImportError::Excess { digest } if digest == more));

    // Repeats the last object, before its end, and makes the check again.
    let archive = export(&mut cas, &root);
    let objects = &archive[16 + 8 + 32..archive.len() - 33];
    let mut twice = [&archive[..archive.len() - 33], objects, &[0]].concat();
    twice.extend(Digest::of(&twice).0);
    assert!(matches!(refused(&twice, "twice"), ImportError::Excess { .. }));
}

/// Counts and lengths are the archive's word: nothing is reserved for them.
#[test]
fn an_archive_that_promises_much_is_only_cut() {
    let mut archive = b"rtt-cas-archive1".to_vec();
    archive.extend(u64::MAX.to_le_bytes());
    assert!(matches!(refused(&archive, "roots"), ImportError::Archive { what: "it is cut", .. }));
    archive[16..].fill(0);
    archive.push(1);
    archive.extend([7; 32]);
    archive.extend(u64::MAX.to_le_bytes());
    archive.extend([7; 100]);
    assert!(matches!(refused(&archive, "bytes"), ImportError::Archive { what: "it ends in an object", .. }));
}

#[test]
fn what_is_damaged_or_missing_is_not_exported() {
    let (mut cas, root, closure) = store_with_closure(1 << 20);
    for digest in closure {
        let mut broken = Cas::open(cas.disk().copy()).expect("a store");
        broken.disk().change(&crate::cas::path_of(&digest), |bytes| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        });
        let exported = broken.export(&[root], &mut references, &mut Vec::new());
        assert!(matches!(exported, Err(ExportError::Object(ReadError::Damaged { digest: found })) if found == digest));
    }
    let none = Digest::of(b"none");
    let exported = cas.export(&[none], &mut references, &mut Vec::new());
    assert!(matches!(exported, Err(ExportError::Object(ReadError::Missing { digest })) if digest == none));
}
