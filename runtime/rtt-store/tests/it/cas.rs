//! Objects as their users see them: put, read, listed, pinned, over a directory and over a disk in memory.

use crate::cas_disk::MemoryDisk;
use proptest::prelude::*;
use rtt_seal::Digest;
use rtt_store::cas::{Cas, Lease, LeaseError, PinError, ReadError, Source};
use rtt_store::{Counts, Disk, FileDisk};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;

/// When every lease of these tests ends, unless it says otherwise.
pub const LATE: u64 = 1_000_000;

/// Bytes that differ from those of every other `salt`, and between their groups.
pub fn object(bytes: usize, salt: u8) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8 ^ (at / 65_521) as u8 ^ salt).collect()
}

pub fn in_memory() -> Cas<MemoryDisk> {
    Cas::open(MemoryDisk::new()).expect("a store")
}

pub fn lease<D: Disk>(cas: &mut Cas<D>) -> Lease {
    cas.lease("writer", LATE).expect("a lease")
}

pub fn path_of(digest: &Digest) -> String {
    let hex = digest.to_string();
    format!("cas/objects/{}/{}", &hex[..2], &hex[2..])
}

/// Objects that refer to others begin with `refers:`, and are nothing but their digests.
pub fn references(source: &mut dyn Source, digest: &Digest) -> Result<Vec<Digest>, ReadError> {
    let bytes = source.get(digest)?;
    let digests = bytes.strip_prefix(b"refers:").unwrap_or_default();
    Ok(digests.chunks_exact(32).map(|digest| Digest(digest.try_into().expect("32 bytes"))).collect())
}

pub fn referring(digests: &[Digest]) -> Vec<u8> {
    let mut bytes = b"refers:".to_vec();
    digests.iter().for_each(|digest| bytes.extend(digest.0));
    bytes
}

/// Sizes around every border: of an object with a tree, of its groups, of the steps in which it is read.
const SIZES: [usize; 11] = [
    0,
    1,
    4096,
    65_536,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    (1 << 20) + 65_536,
    (2 << 20) - 1,
    2 << 20,
    (3 << 20) + 70_001,
];

/// A stream that gives its bytes in pieces of uneven length.
struct Uneven<'a>(&'a [u8]);

impl Read for Uneven<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let piece = (self.0.len() % 7_919 + 1).min(into.len());
        self.0.read(&mut into[..piece])
    }
}

/// CAS-1: what was put is read, whole, by range and from its descriptor; nothing else is there.
#[test]
fn cas_1_what_was_put_is_read_however_it_was_put() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cas = Cas::open(FileDisk::open(folder.path()).expect("a disk")).expect("a store");
    let mut lease = lease(&mut cas);
    let mut expected = Vec::new();
    for (salt, bytes) in SIZES.into_iter().enumerate() {
        let [one, two, three] = [1, 2, 3].map(|way| object(bytes, 3 * salt as u8 + way));
        let file = folder.path().join("file");
        std::fs::write(&file, &three).expect("written");
        for (digest, object) in [
            (cas.put(&mut lease, &one).expect("bytes"), one),
            (cas.put_stream(&mut lease, &mut Uneven(&two)).expect("a stream"), two),
            (cas.put_file(&mut lease, &file).expect("a file"), three),
        ] {
            assert_eq!(digest, Digest::of(&object), "{bytes} bytes");
            check_reads(&mut cas, &digest, &object);
            let mode = std::fs::metadata(folder.path().join(path_of(&digest))).expect("a file").permissions().mode();
            assert_eq!(mode & 0o7777, 0o444, "{bytes} bytes");
            expected.push(digest);
        }
    }
    expected.sort();
    expected.dedup(); // The three empty ones are the same object.
    assert_eq!(cas.list().expect("listed"), expected);
    let none = Digest::of(b"never put");
    assert!(matches!(cas.get(&none), Err(ReadError::Missing { digest }) if digest == none));
    assert!(matches!(cas.range(&none, 0, 0), Err(ReadError::Missing { .. })), "missing is not empty");
    assert!(cas.open_object(&none).is_err());
    assert!(std::fs::read_dir(folder.path().join("cas/tmp")).expect("tmp").next().is_none());
}

fn check_reads(cas: &mut Cas<FileDisk>, digest: &Digest, object: &[u8]) {
    assert_eq!(cas.get(digest).expect("whole"), object);
    assert_eq!(cas.object_length(digest).expect("a length"), object.len() as u64);
    let mut read = Vec::new();
    cas.open_object(digest).expect("open").read_to_end(&mut read).expect("read");
    assert_eq!(read, object);
    let ends = [0, 1, 65_535, 65_536, 65_537, 1 << 20, object.len(), object.len() + 1, object.len() / 2];
    for start in ends {
        for len in [0, 1, 65_536, 100_000, object.len(), usize::MAX] {
            let from = start.min(object.len());
            let expected = &object[from..object.len().min(from.saturating_add(len))];
            assert_eq!(cas.range(digest, start as u64, len).expect("a range"), expected, "{len} at {start}");
        }
    }
}

/// CAS-2: one sync of the file system for a batch, none of a file, one of each directory that got a name.
#[test]
fn cas_2_a_batch_syncs_once_and_no_object_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = FileDisk::open(folder.path()).expect("a disk");
    let counters = disk.counters();
    let mut cas = Cas::open(disk).expect("a store");
    let mut lease = lease(&mut cas);
    let objects: Vec<Vec<u8>> = (0..1000u32).map(|n| n.to_le_bytes().repeat(100)).collect();
    let objects: Vec<&[u8]> = objects.iter().map(Vec::as_slice).collect();
    let large = object(1 << 20, 1);
    for (batch, renames) in [(&objects[..], 1000), (&objects[..], 0), (&[&large[..]][..], 2)] {
        let before = counters.now();
        let digests = cas.put_batch(&mut lease, batch).expect("put");
        let shards: std::collections::BTreeSet<u8> = digests.iter().map(|digest| digest.0[0]).collect();
        let Counts { data_syncs, directory_syncs, file_system_syncs, renames: renamed, .. } = counters.now();
        assert_eq!(file_system_syncs - before.file_system_syncs, 1);
        assert_eq!(data_syncs - before.data_syncs, 0);
        assert_eq!(renamed - before.renames, renames);
        let expected = if renames == 0 { 0 } else { shards.len() as u64 };
        assert_eq!(directory_syncs - before.directory_syncs, expected);
    }
}

/// CAS-2: the order of the steps, as the disk saw them.
#[test]
fn a_name_is_given_after_the_sync_and_synced_after_that() {
    let mut cas = in_memory();
    let mut lease = lease(&mut cas);
    cas.disk().take_log();
    let digest = cas.put(&mut lease, &object(1 << 20, 1)).expect("put");
    let log = cas.disk().take_log();
    let steps: Vec<&str> = log.iter().map(|line| line.split([' ', '{']).next().unwrap_or_default()).collect();
    let position = |step: &str| steps.iter().position(|each| *each == step).expect(step);
    let last = |step: &str| steps.iter().rposition(|each| *each == step).expect(step);
    assert!(position("Write") < position("Open"), "the lease before the look: {log:#?}");
    assert!(last("Write") < position("SyncAll") && last("SetMode") < position("SyncAll"), "{log:#?}");
    assert!(position("SyncAll") < position("Rename") && last("Rename") < position("SyncDirectory"), "{log:#?}");
    // A scrub that holds the lock alone may read an object and move it aside: no name may be given in between.
    assert!(last("LockShared") < position("Rename") && last("Rename") < last("Unlock"), "{log:#?}");
    assert!(position("Unlock") < last("LockShared"), "nothing is written while the lock is held: {log:#?}");
    let renames: Vec<&String> = log.iter().filter(|line| line.starts_with("Rename")).collect();
    assert!(
        renames[0].contains(".tree") && renames[1].contains(&digest.to_string()[2..]),
        "the tree first: {renames:?}"
    );
}

/// What a stream gives is held only by pieces: an object of many steps passes in buffers of one.
#[test]
fn a_stream_passes_in_bounded_memory() {
    let mut cas = in_memory();
    let mut lease = lease(&mut cas);
    cas.disk().take_log();
    let bytes = 9 << 20;
    let digest = cas.put_stream(&mut lease, &mut io::repeat(7).take(bytes)).expect("put");
    cas.range(&digest, bytes / 2, 10).expect("a range");
    for line in cas.disk().take_log() {
        let asked = line.strip_suffix(" bytes").and_then(|line| line.rsplit(' ').next()).map(|n| n.parse::<u64>());
        assert!(asked.is_none_or(|bytes| bytes.expect("a number") <= 1 << 20), "{line}");
    }
    let read_for_a_range = |cas: &mut Cas<MemoryDisk>| {
        cas.disk().take_log();
        cas.range(&digest, bytes / 2, 10).expect("a range");
        let reads = cas.disk().take_log();
        reads.iter().filter(|line| line.starts_with("Read")).count()
    };
    assert_eq!(read_for_a_range(&mut cas), 2, "one piece of the tree, one group");
}

/// Two writers of the same object, interleaved at every operation of the second, each see it whole.
#[test]
fn two_writers_of_one_object_never_publish_a_part_of_it() {
    let bytes = object(2 << 20, 9);
    let digest = Digest::of(&bytes);
    for at in 0.. {
        let mut first = in_memory();
        let mut lease = lease(&mut first);
        let mut second = Cas::open(first.disk().process()).expect("the same store");
        let mut other = second.lease("other", LATE).expect("another lease");
        second.disk().fail_at(at, super::cas_disk::Failure::Dies);
        let stopped = second.put_stream(&mut other, &mut &bytes[..]);
        if let Ok(read) = first.get(&digest) {
            assert_eq!(read, bytes, "stopped at {at}");
        }
        // A process that is gone left the lock.
        drop(second);
        first.put(&mut lease, &bytes).expect("put");
        assert_eq!(first.get(&digest).expect("there"), bytes, "stopped at {at}");
        if stopped.is_ok() {
            break;
        }
    }
}

#[test]
fn a_stream_that_breaks_leaves_nothing() {
    struct Breaks(u64);
    impl Read for Breaks {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let bytes = (self.0).min(into.len() as u64);
            self.0 -= bytes;
            if bytes == 0 { Err(io::Error::other("the line is dead")) } else { Ok(bytes as usize) }
        }
    }
    for bytes in [0, 100, 1 << 20, (3 << 20) + 5] {
        let mut cas = in_memory();
        let mut lease = lease(&mut cas);
        let error = cas.put_stream(&mut lease, &mut Breaks(bytes)).expect_err("broken");
        assert_eq!(error.to_string(), format!("stream: reading failed after {bytes} bytes"));
        assert_eq!(cas.list().expect("listed"), []);
        assert_eq!(cas.disk().paths("cas/tmp/"), Vec::<String>::new());
    }
}

#[test]
fn a_lease_has_one_holder_and_is_taken_over_from_a_dead_one() {
    let mut first = in_memory();
    let held = lease(&mut first);
    let mut second = Cas::open(first.disk().process()).expect("the same store");
    assert!(matches!(second.lease("writer", LATE), Err(LeaseError::Held { .. })));
    assert!(matches!(second.lease("../up", LATE), Err(LeaseError::Name { .. })));
    assert_eq!(held.name(), "writer");
    let digest = Digest::of(b"x");
    let mut held = held;
    first.put(&mut held, b"x").expect("put");
    drop(first);
    let mut taken = second.lease("writer", LATE + 1).expect("its holder is gone");
    let leases = second.leases().expect("listed").expect("nobody else");
    assert_eq!(leases.len(), 1);
    assert!(leases[0].held && leases[0].digests.contains(&digest));
    assert_eq!(leases[0].expires_unix_s, Some(LATE + 1));
    second.renew(&mut taken, LATE + 2).expect("renewed");
    second.leave(taken).expect("left");
    let leases = second.leases().expect("listed").expect("nobody else");
    assert!(!leases[0].held && leases[0].expires_unix_s == Some(LATE + 2));
}

#[test]
fn pins_are_of_whole_objects_and_count_by_name() {
    let mut cas = in_memory();
    let mut lease = lease(&mut cas);
    let digest = cas.put(&mut lease, b"x").expect("put");
    for name in ["a", "b", "a"] {
        cas.pin(name, &digest).expect("pinned");
    }
    assert_eq!(cas.pins().expect("listed"), [("a".into(), digest), ("b".into(), digest)]);
    assert!(cas.unpin("a", &digest).expect("taken away"));
    assert!(!cas.unpin("a", &digest).expect("none"));
    let none = Digest::of(b"y");
    assert!(matches!(cas.pin("c", &none), Err(PinError::Object { source: ReadError::Missing { .. }, .. })));
    assert!(matches!(cas.pin("../c", &digest), Err(PinError::Name { .. })));
    cas.disk().change(&path_of(&digest), |bytes| bytes[0] ^= 1);
    assert!(matches!(cas.pin("c", &digest), Err(PinError::Object { source: ReadError::Damaged { .. }, .. })));
    assert_eq!(cas.pins().expect("listed"), [("b".into(), digest)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any range of an object with a tree is the same range of its bytes.
    #[test]
    fn ranges_are_those_of_the_bytes(bytes in (1usize << 20)..(2 << 20), offset in 0usize..(2 << 20), len in 0usize..200_000) {
        let mut cas = in_memory();
        let mut lease = lease(&mut cas);
        let object = object(bytes, 5);
        let digest = cas.put(&mut lease, &object).expect("put");
        let from = offset.min(bytes);
        let expected = &object[from..bytes.min(from + len)];
        prop_assert_eq!(cas.range(&digest, offset as u64, len).expect("a range"), expected);
    }
}
