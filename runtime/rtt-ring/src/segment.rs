//! A ring's memory: two sealed memfds, made by whoever starts the two sides.
//!
//! RING-8  Both memfds carry the seals SHRINK, GROW and SEAL before anybody else sees them, and the
//!         consumer's data descriptor is open for reading only.
//!
//! The read-only descriptor binds a consumer that runs as another user: the data memfd has mode 0400, so
//! that opening it anew through `/proc` grants no more. A process of the creator's user, or root, can.
//! Passing the descriptors on is `handover`, or inheritance at spawn.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use rtt_units::Bytes;
use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags};

use crate::layout::{ABI_HASH, CONTROL_BYTES, MAGIC};
use crate::map::{ControlMap, WriteMap};
use crate::pages::{self, Pages};
use crate::shared::wake;

/// Seals that both memfds carry; WRITE would forbid the very maps that a ring is.
pub(crate) const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Capacity of a ring in bytes: a power of two from 4 KiB to 1 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingCapacity(u64);

impl RingCapacity {
    /// Smallest capacity.
    pub const MIN: RingCapacity = RingCapacity(4 << 10);
    /// Largest capacity.
    pub const MAX: RingCapacity = RingCapacity(1 << 30);

    /// The capacity of `bytes`, or `None` where that is no power of two or out of range.
    pub const fn new(bytes: u64) -> Option<RingCapacity> {
        if bytes.is_power_of_two() && bytes >= Self::MIN.0 && bytes <= Self::MAX.0 {
            Some(RingCapacity(bytes))
        } else {
            None
        }
    }

    /// The capacity as a size.
    pub const fn bytes(self) -> Bytes {
        Bytes(self.0)
    }

    /// Largest payload of one record, in bytes.
    pub const fn max_payload(self) -> usize {
        (self.0 - crate::layout::HEADER_BYTES) as usize
    }
}

/// What to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingConfig {
    /// Bytes of the data area.
    pub capacity: RingCapacity,
    /// The pages wished for.
    pub pages: Pages,
    /// Number of this incarnation; a ring made anew after a crash carries a larger one.
    pub epoch: u64,
}

/// The descriptors of one side of a ring.
#[derive(Debug)]
pub struct RingFds {
    /// The control memfd, read-write.
    pub control: OwnedFd,
    /// The data memfd: read-write for the producer, read-only for the consumer.
    pub data: OwnedFd,
}

/// Why a ring was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A memfd could not be made, sized, allocated or sealed.
    #[error("{area} memfd of {bytes}: {step} failed")]
    Memfd {
        /// `control` or `data`.
        area: &'static str,
        /// Its size.
        bytes: Bytes,
        /// The step that failed.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The consumer's read-only descriptor could not be opened.
    #[error("data memfd: cannot open {path} for reading only, expected /proc to be mounted")]
    Reopen {
        /// The link under /proc.
        path: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// An area could not be mapped.
    #[error("{area} memfd of {bytes}: cannot map it")]
    Map {
        /// `control` or `data`.
        area: &'static str,
        /// Its size.
        bytes: Bytes,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Why descriptors could not be had from a segment.
#[derive(Debug, thiserror::Error)]
#[error("{area} descriptor: cannot duplicate it, expected a free descriptor below RLIMIT_NOFILE")]
pub struct DuplicateError {
    /// `control` or `data`.
    pub area: &'static str,
    /// The kernel's answer.
    pub source: io::Error,
}

/// The memory of one ring, held by its creator.
///
/// Dropping it does not end the ring: the sides hold their own maps.
#[derive(Debug)]
pub struct Segment {
    control: OwnedFd,
    data: OwnedFd,
    data_read_only: OwnedFd,
    map: ControlMap,
    config: RingConfig,
    page_bytes: Bytes,
}

impl Segment {
    /// Creates, fills with zeros and seals the two memfds, and writes the header.
    ///
    /// Where huge pages are wished for and cannot be had, the ring gets small ones: see
    /// [`page_bytes`](Segment::page_bytes). All memory is allocated now, not at first use.
    ///
    /// # Errors
    /// [`CreateError`] when the kernel refuses a step: too many descriptors, too little memory, no /proc.
    pub fn create(config: &RingConfig) -> Result<Segment, CreateError> {
        let control = memfd("control", CONTROL_BYTES as u64, MemfdFlags::empty())?;
        let capacity = config.capacity.bytes();
        let (data, page_bytes) = create_data(capacity, config.pages)?;
        for (area, fd, bytes, mode) in
            [("control", &control, Bytes(CONTROL_BYTES as u64), 0o600), ("data", &data, capacity, 0o400)]
        {
            // RING-8: sealed before any descriptor leaves this function.
            rustix::fs::fcntl_add_seals(fd, SEALS).map_err(|errno| CreateError::Memfd {
                area,
                bytes,
                step: "F_ADD_SEALS",
                source: errno.into(),
            })?;
            rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)).map_err(|errno| CreateError::Memfd {
                area,
                bytes,
                step: "fchmod",
                source: errno.into(),
            })?;
        }
        let data_read_only = reopen_read_only(data.as_fd())?;
        let map = ControlMap::new(control.as_fd()).map_err(|source| CreateError::Map {
            area: "control",
            bytes: Bytes(CONTROL_BYTES as u64),
            source,
        })?;
        let header = &map.page().header;
        header.abi_hash.store(ABI_HASH, Ordering::Relaxed);
        header.capacity.store(capacity.0, Ordering::Relaxed);
        header.epoch.store(config.epoch, Ordering::Relaxed);
        header.page_bytes.store(page_bytes.0, Ordering::Relaxed);
        // Release pairs with the Acquire in `attach`: who sees the magic sees the whole header.
        header.magic.store(MAGIC, Ordering::Release);
        Ok(Segment { control, data, data_read_only, map, config: *config, page_bytes })
    }

    /// Descriptors for the producer; close-on-exec, as all of them.
    ///
    /// # Errors
    /// [`DuplicateError`] when the process has no descriptor left.
    pub fn producer_fds(&self) -> Result<RingFds, DuplicateError> {
        duplicate(&self.control, &self.data)
    }

    /// Descriptors for the consumer, the data read-only.
    ///
    /// # Errors
    /// [`DuplicateError`] when the process has no descriptor left.
    pub fn consumer_fds(&self) -> Result<RingFds, DuplicateError> {
        duplicate(&self.control, &self.data_read_only)
    }

    /// Page size that the data area really obtained.
    pub fn page_bytes(&self) -> Bytes {
        self.page_bytes
    }

    /// Capacity of the data area.
    pub fn capacity(&self) -> RingCapacity {
        self.config.capacity
    }

    /// Epoch with which the ring was created.
    pub fn epoch(&self) -> u64 {
        self.config.epoch
    }

    /// Revokes the ring: both sides find a changed epoch, whatever they wait for, and stop.
    ///
    /// Open descriptors outlive a grant; this ends their use by every honest side, at the latest when it next looks at
    /// the other's cursor: what it knows of already, a ring full of records at most, it may still read or write.
    pub fn revoke(&self) {
        let page = self.map.page();
        // SeqCst before the wake-ups, as a publication before its own.
        page.header.epoch.fetch_add(1, Ordering::SeqCst);
        for line in [&page.consumer, &page.producer] {
            line.parked.swap(0, Ordering::SeqCst);
            wake(&line.parked);
        }
    }

    /// Whether [`Pages::Huge`] can be honoured on this host now.
    ///
    /// # Errors
    /// The reason in words, with what to set.
    pub fn huge_pages_available() -> Result<(), String> {
        pages::available()
    }
}

/// The data memfd with the best pages to be had, all of them allocated, and their size.
fn create_data(capacity: Bytes, wished: Pages) -> Result<(OwnedFd, Bytes), CreateError> {
    if wished == Pages::Huge && capacity.0 >= pages::HUGETLB.0 && capacity.0.is_multiple_of(pages::HUGETLB.0) {
        // Reserved huge pages first: they cannot be split or reclaimed. None left is the usual answer.
        if let Ok(data) = memfd("data", capacity.0, MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB) {
            return Ok((data, pages::HUGETLB));
        }
    }
    let data = sized_memfd("data", capacity.0, MemfdFlags::empty())?;
    if wished == Pages::Huge && pages::transparent().is_ok() {
        // Transparent ones are given at the first touch through a map that carries the advice.
        let map = WriteMap::new(data.as_fd(), capacity.0, true).map_err(|source| CreateError::Map {
            area: "data",
            bytes: capacity,
            source,
        })?;
        let page_bytes = pages::observed(map.address()).unwrap_or_else(pages::base);
        allocate("data", &data, capacity.0)?;
        return Ok((data, page_bytes));
    }
    allocate("data", &data, capacity.0)?;
    Ok((data, pages::base()))
}

fn memfd(area: &'static str, bytes: u64, flags: MemfdFlags) -> Result<OwnedFd, CreateError> {
    let fd = sized_memfd(area, bytes, flags)?;
    allocate(area, &fd, bytes)?;
    Ok(fd)
}

fn sized_memfd(area: &'static str, bytes: u64, flags: MemfdFlags) -> Result<OwnedFd, CreateError> {
    let failed = |step| move |source| CreateError::Memfd { area, bytes: Bytes(bytes), step, source };
    let flags = flags | MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let name = format!("rtt-ring-{area}");
    // Kernels before 6.3 do not know NOEXEC_SEAL; newer ones may demand it.
    let fd = rustix::fs::memfd_create(&name, flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| rustix::fs::memfd_create(&name, flags))
        .map_err(|errno| failed("memfd_create")(errno.into()))?;
    rustix::fs::ftruncate(&fd, bytes).map_err(|errno| failed("ftruncate")(errno.into()))?;
    Ok(fd)
}

/// Takes the memory now, so that a shortage is an error here and not a SIGBUS in the hot path.
fn allocate(area: &'static str, fd: &OwnedFd, bytes: u64) -> Result<(), CreateError> {
    rustix::fs::fallocate(fd, FallocateFlags::empty(), 0, bytes).map_err(|errno| CreateError::Memfd {
        area,
        bytes: Bytes(bytes),
        step: "fallocate",
        source: errno.into(),
    })
}

fn reopen_read_only(fd: BorrowedFd<'_>) -> Result<OwnedFd, CreateError> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| CreateError::Reopen { path, source: errno.into() })
}

fn duplicate(control: &OwnedFd, data: &OwnedFd) -> Result<RingFds, DuplicateError> {
    let clone = |area, fd: &OwnedFd| fd.try_clone().map_err(|source| DuplicateError { area, source });
    Ok(RingFds { control: clone("control", control)?, data: clone("data", data)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_are_powers_of_two_in_range() {
        for (bytes, valid) in [
            (0, false),
            (1, false),
            (2048, false),
            (4096, true),
            (4097, false),
            (6144, false),
            (1 << 30, true),
            (1 << 31, false),
        ] {
            assert_eq!(RingCapacity::new(bytes).is_some(), valid, "{bytes} bytes");
        }
    }

    #[test]
    fn every_page_wish_gives_a_ring_and_an_honest_page_size() {
        for pages in [Pages::Small, Pages::Huge] {
            for bytes in [4 << 10, 2 << 20, 4 << 20] {
                let capacity = RingCapacity::new(bytes).expect("a power of two");
                let segment = Segment::create(&RingConfig { capacity, pages, epoch: 1 }).expect("a ring");
                let map = WriteMap::new(segment.data.as_fd(), bytes, segment.page_bytes() > pages::base());
                let seen = pages::observed(map.expect("a map").address()).expect("smaps");
                assert_eq!(segment.page_bytes(), seen, "{pages:?} pages for {bytes} bytes");
                if pages == Pages::Small || bytes < pages::HUGETLB.0 {
                    assert_eq!(seen, pages::base(), "{bytes} bytes in small pages");
                }
            }
        }
    }
}
