//! What both sides do to attach: check all that the descriptors claim, then map it.
//!
//! RING-9  A side attaches only to what it has checked: magic, ABI, sizes, seals and start cursors, each
//!         read once. At most one producer and one consumer ever attach to a ring.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;

use rtt_units::Bytes;
use rustix::fs::SealFlags;

use crate::layout::{ABI_HASH, ATTACHED, CONTROL_BYTES, FREE, MAGIC};
use crate::map::ControlMap;
use crate::protocol::{Control, Fault};
use crate::segment::{RingCapacity, RingFds, SEALS};
use crate::shared::{Shared, Side};

/// Why a side could not attach.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// A descriptor does not answer.
    #[error("{area} descriptor: {step} failed, expected a sealed memfd")]
    Descriptor {
        /// `control` or `data`.
        area: &'static str,
        /// The call that failed.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A memfd could still be resized, or can never be written.
    #[error(
        "{area} memfd: seals are {found:#x}, expected SHRINK, GROW and SEAL (0x7) without WRITE (0x8) or FUTURE_WRITE (0x10)"
    )]
    Seals {
        /// `control` or `data`.
        area: &'static str,
        /// Its seals.
        found: u32,
    },
    /// A memfd has the wrong size.
    #[error("{area} memfd: size is {found}, expected {expected}")]
    Size {
        /// `control` or `data`.
        area: &'static str,
        /// Its size.
        found: Bytes,
        /// The size that the header implies.
        expected: Bytes,
    },
    /// An area could not be mapped with the access that this side needs.
    #[error("{area} memfd: the {side} cannot map it, expected its own descriptors of the ring")]
    Map {
        /// `control` or `data`.
        area: &'static str,
        /// Who wanted to attach.
        side: Side,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The control area is no ring's.
    #[error("control area: magic is {found:#018x}, expected {MAGIC:#018x}")]
    Magic {
        /// What stands there.
        found: u64,
    },
    /// The ring was made by a build with another layout.
    #[error("control area: layout is {found:#018x}, expected {ABI_HASH:#018x}: use the same version on both sides")]
    Abi {
        /// What stands there.
        found: u64,
    },
    /// The capacity is none.
    #[error("control area: capacity is {found}, expected a power of two from 4KiB to 1GiB")]
    Capacity {
        /// What stands there.
        found: Bytes,
    },
    /// The side is or was in use.
    #[error("the ring's {side} is in state {state}, expected 0 (free): create a new ring")]
    Taken {
        /// The side wanted.
        side: Side,
        /// 1 attached, 2 closed; else broken.
        state: u32,
    },
    /// The cursors are impossible, or the epoch changed meanwhile.
    #[error("the ring is broken before its first use")]
    Broken(#[source] Fault),
}

/// A ring whose descriptors and header were checked; no side is taken yet.
#[derive(Debug)]
pub(crate) struct Checked {
    shared: Shared,
    side: Side,
    pub(crate) capacity: RingCapacity,
    /// The creator got huge pages: advise the own map too.
    pub(crate) huge: bool,
}

/// Checks the descriptors and the header that they lead to.
pub(crate) fn check(fds: &RingFds, side: Side) -> Result<Checked, AttachError> {
    check_seals("control", fds.control.as_fd())?;
    check_seals("data", fds.data.as_fd())?;
    check_size("control", fds.control.as_fd(), Bytes(CONTROL_BYTES as u64))?;
    let map =
        ControlMap::new(fds.control.as_fd()).map_err(|source| AttachError::Map { area: "control", side, source })?;
    let header = &map.page().header;
    // Acquire pairs with the Release in `Segment::create`.
    let magic = header.magic.load(Ordering::Acquire);
    if magic != MAGIC {
        return Err(AttachError::Magic { found: magic });
    }
    let abi = header.abi_hash.load(Ordering::Relaxed);
    if abi != ABI_HASH {
        return Err(AttachError::Abi { found: abi }); // RING-5
    }
    // Read once: the peer may change it after the check, but not our copy.
    let claimed = Bytes(header.capacity.load(Ordering::Relaxed));
    let capacity = RingCapacity::new(claimed.0).ok_or(AttachError::Capacity { found: claimed })?;
    check_size("data", fds.data.as_fd(), claimed)?;
    let epoch = header.epoch.load(Ordering::Relaxed);
    let huge = header.page_bytes.load(Ordering::Relaxed) > crate::pages::base().0;
    Ok(Checked { shared: Shared::new(map, side, epoch), side, capacity, huge })
}

impl Checked {
    /// Takes the side, as the last step, so that a failed attempt leaves it free; tail and head follow.
    pub(crate) fn take(self) -> Result<(Shared, u64, u64), AttachError> {
        let Checked { shared, side, .. } = self;
        let state = match side {
            Side::Producer => shared.producer_state(),
            Side::Consumer => shared.consumer_state(),
        };
        // RING-9: the exchange lets one through, whoever else tries at the same time.
        if let Err(state) = state.compare_exchange(FREE, ATTACHED, Ordering::AcqRel, Ordering::Acquire) {
            return Err(AttachError::Taken { side, state });
        }
        shared.announce();
        let tail = shared.tail().load(Ordering::Acquire);
        let head = shared.head().load(Ordering::Acquire);
        Ok((shared, tail, head))
    }
}

fn check_seals(area: &'static str, fd: BorrowedFd<'_>) -> Result<(), AttachError> {
    let seals = rustix::fs::fcntl_get_seals(fd).map_err(|errno| AttachError::Descriptor {
        area,
        step: "F_GET_SEALS",
        source: errno.into(),
    })?;
    // RING-8: without them a peer could shrink the file under our map, and every access would trap.
    if !seals.contains(SEALS) || seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE) {
        return Err(AttachError::Seals { area, found: seals.bits() });
    }
    Ok(())
}

fn check_size(area: &'static str, fd: BorrowedFd<'_>, expected: Bytes) -> Result<(), AttachError> {
    let stat =
        rustix::fs::fstat(fd).map_err(|errno| AttachError::Descriptor { area, step: "fstat", source: errno.into() })?;
    let found = Bytes(u64::try_from(stat.st_size).unwrap_or(0));
    if found != expected { Err(AttachError::Size { area, found, expected }) } else { Ok(()) }
}
