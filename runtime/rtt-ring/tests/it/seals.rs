//! What the kernel refuses to do with a ring's descriptors, each beside the same call where it is allowed.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rtt_ring::{AttachError, Consumer, Producer, RingFds};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::{producer, segment};

const CAPACITY: u64 = 4096;

fn unsealed(bytes: u64) -> OwnedFd {
    let fd = memfd_create("rtt-ring-test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a memfd");
    ftruncate(&fd, bytes).expect("an unsealed memfd can be resized");
    fd
}

/// RING-8: neither area can be shrunk, grown or sealed further; an ordinary memfd can.
#[test]
fn areas_cannot_be_resized_or_resealed() {
    let control = unsealed(CAPACITY);
    ftruncate(&control, 8192).expect("positive control: grows");
    ftruncate(&control, 0).expect("positive control: shrinks");
    fcntl_add_seals(&control, SealFlags::WRITE).expect("positive control: takes a seal");

    let segment = segment(CAPACITY);
    let fds = segment.producer_fds().expect("descriptors");
    for (area, fd) in [("control", &fds.control), ("data", &fds.data)] {
        for bytes in [0, CAPACITY / 2, CAPACITY * 2] {
            assert_eq!(ftruncate(fd, bytes), Err(rustix::io::Errno::PERM), "{area} to {bytes} bytes");
        }
        assert_eq!(fcntl_add_seals(fd, SealFlags::WRITE), Err(rustix::io::Errno::PERM), "{area}");
    }
}

/// RING-6, RING-8: the consumer's data descriptor neither writes nor maps for writing; the producer's does.
#[test]
fn the_consumers_data_is_read_only() {
    let segment = segment(CAPACITY);
    let (writable, read_only) =
        (segment.producer_fds().expect("descriptors"), segment.consumer_fds().expect("descriptors"));
    File::from(writable.data).write_all_at(b"x", 0).expect("positive control: the producer's writes");
    let refused = File::from(read_only.data).write_all_at(b"x", 0).expect_err("a read-only descriptor");
    assert_eq!(refused.raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()));

    // Attaching as producer is what maps for writing.
    let refused = Producer::attach(segment.consumer_fds().expect("descriptors"), None).expect_err("read-only");
    assert!(
        matches!(&refused, AttachError::Map { area: "data", source, .. } if source.kind() == ErrorKind::PermissionDenied),
        "{refused}"
    );
    drop(producer(&segment)); // Positive control; and the failed attempt left the side free.
}

/// RING-8: a memfd that its sender could still shrink is refused before it is mapped.
#[test]
fn unsealed_areas_are_refused() {
    let segment = segment(CAPACITY);
    let sealed = || segment.consumer_fds().expect("descriptors");
    for (area, fds) in [
        ("control", RingFds { control: unsealed(4096), data: sealed().data }),
        ("data", RingFds { control: sealed().control, data: unsealed(CAPACITY) }),
    ] {
        let refused = Consumer::attach(fds, None).expect_err("unsealed");
        assert!(matches!(refused, AttachError::Seals { area: found, found: 0 } if found == area), "{refused}");
    }
    let file = File::open("/proc/self/exe").expect("our own program");
    let fds = RingFds { control: file.as_fd().try_clone_to_owned().expect("a descriptor"), data: file.into() };
    let refused = Consumer::attach(fds, None).expect_err("no memfd");
    assert!(matches!(refused, AttachError::Descriptor { step: "F_GET_SEALS", .. }), "{refused}");
    Consumer::attach(sealed(), None).expect("positive control: the sealed pair attaches");
}
