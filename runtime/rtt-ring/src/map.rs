//! The two memory maps of a side: the control area, and the data area twice in a row.
//!
//! The data area is mapped back to back with itself, so that a record which runs over the end of the
//! area is contiguous in memory: the wrap needs no padding record and no split copy.
//!
//! RING-6  No safe function lends memory that the peer may write: the reader copies with volatile
//!         loads, the writer's data is mapped read-only by the consumer.
//!
//! Positions may be any value, they are masked; lengths are asserted, since callers check them first.
#![allow(unsafe_code)] // Maps are raw memory; everything above this file is safe Rust.

use std::ffi::c_void;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

use crate::layout::{CONTROL_BYTES, ControlPage, HEADER_BYTES};

/// Alignment of large data maps, in bytes: the size of a huge page, which the kernel demands for
/// hugetlb files and needs to map a transparent huge page whole.
const HUGE_ALIGN: usize = 2 << 20;

/// One region of address space, unmapped on drop.
#[derive(Debug)]
struct Region {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a region is plain address space; it belongs to no thread.
unsafe impl Send for Region {}
// SAFETY: a shared reference gives only the address; who dereferences it argues for itself.
unsafe impl Sync for Region {}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: base and len are those of a map that this region alone owns, and borrows of its
        // memory end before their owner drops.
        let outcome = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(outcome.is_ok(), "munmap of an owned region: {outcome:?}");
    }
}

/// The control area, mapped read-write.
#[derive(Debug)]
pub(crate) struct ControlMap {
    region: Region,
}

impl ControlMap {
    /// Maps the control memfd; its size was checked to be [`CONTROL_BYTES`] and sealed.
    pub(crate) fn new(fd: BorrowedFd<'_>) -> io::Result<ControlMap> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new map at an address of the kernel's choice aliases no Rust object.
        let base = unsafe { mmap(ptr::null_mut(), CONTROL_BYTES, access, MapFlags::SHARED, fd, 0)? };
        Ok(ControlMap { region: Region { base: non_null(base)?, len: CONTROL_BYTES } })
    }

    #[inline]
    pub(crate) fn page(&self) -> &ControlPage {
        // SAFETY: the region is page-aligned, CONTROL_BYTES long (at least size_of::<ControlPage>(), a
        // const assertion), sealed against shrinking, and every field is an atomic valid for all bits.
        unsafe { self.region.base.cast::<ControlPage>().as_ref() }
    }
}

/// The data area twice in a row.
#[derive(Debug)]
struct Mirror {
    // Holds the reserved range, alignment slack included; both maps lie inside.
    _region: Region,
    base: NonNull<u8>,
    capacity: u64,
}

// SAFETY: as for `Region`: the base is an address inside the region that travels with it.
unsafe impl Send for Mirror {}

impl Mirror {
    fn new(fd: BorrowedFd<'_>, capacity: u64, access: ProtFlags) -> io::Result<Mirror> {
        let size = usize::try_from(capacity).map_err(|_| io::ErrorKind::InvalidInput)?;
        let slack = if size >= HUGE_ALIGN { HUGE_ALIGN } else { 0 };
        let len =
            size.checked_mul(2).and_then(|double| double.checked_add(slack)).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a new reservation at an address of the kernel's choice aliases no Rust object.
        let start = unsafe {
            mmap_anonymous(ptr::null_mut(), len, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE)?
        };
        let region = Region { base: non_null(start)?, len };
        let skip = if slack == 0 { 0 } else { region.base.as_ptr().align_offset(HUGE_ALIGN) };
        assert!(skip <= slack, "alignment of {skip} bytes exceeds the slack of {slack}");
        // SAFETY: skip <= slack, so base, base + size and base + 2 * size lie inside the region.
        let base = unsafe { region.base.add(skip) };
        for half in 0..2 {
            // SAFETY: as above for the address; the fixed map replaces pages of our own reservation
            // only, to which nothing points yet.
            unsafe {
                let at = base.add(half * size).as_ptr().cast::<c_void>();
                mmap(at, size, access, MapFlags::SHARED | MapFlags::FIXED, fd, 0)?;
            }
        }
        Ok(Mirror { _region: region, base, capacity })
    }

    /// Address of `len` bytes at `position`, contiguous thanks to the second map.
    #[inline]
    fn at(&self, position: u64, len: u64) -> *mut u8 {
        // RING-2: an offset below capacity plus at most one capacity stays inside the two maps.
        assert!(len <= self.capacity, "RING-2: {len} bytes in a ring of {}", self.capacity);
        let offset = (position & (self.capacity - 1)) as usize;
        // SAFETY: offset < capacity, and the region holds capacity bytes more behind it.
        unsafe { self.base.add(offset).as_ptr() }
    }

    /// Advice is a wish: an old kernel or another page size leaves the map as it is.
    fn advise(&self, huge: bool, populate: Advice) {
        let size = self.capacity as usize;
        for half in 0..2 {
            // SAFETY: both halves lie inside the region; neither advice changes contents.
            unsafe {
                let at = self.base.add(half * size).as_ptr().cast::<c_void>();
                if huge {
                    let _ = madvise(at, size, Advice::LinuxHugepage);
                }
                let _ = madvise(at, size, populate);
            }
        }
    }
}

/// The producer's view of the data area. At most one exists for a ring (the state words see to it).
#[derive(Debug)]
pub(crate) struct WriteMap {
    mirror: Mirror,
}

impl WriteMap {
    pub(crate) fn new(fd: BorrowedFd<'_>, capacity: u64, huge: bool) -> io::Result<WriteMap> {
        let mirror = Mirror::new(fd, capacity, ProtFlags::READ | ProtFlags::WRITE)?;
        mirror.advise(huge, Advice::LinuxPopulateWrite);
        Ok(WriteMap { mirror })
    }

    pub(crate) fn address(&self) -> usize {
        self.mirror.base.as_ptr() as usize
    }

    #[inline]
    pub(crate) fn set_header(&mut self, position: u64, header: u64) {
        assert!(position.is_multiple_of(HEADER_BYTES), "record at {position} is not aligned");
        // SAFETY: in bounds by `at`, aligned by the assertion; the consumer reads it atomically too.
        let cell = unsafe { AtomicU64::from_ptr(self.mirror.at(position, HEADER_BYTES).cast()) };
        cell.store(header, Ordering::Relaxed); // Ordered by the later Release of the tail.
    }

    /// The payload of a record at `position`, to be filled.
    #[inline]
    pub(crate) fn payload(&mut self, position: u64, len: u32) -> &mut [u8] {
        let whole = self.mirror.at(position, HEADER_BYTES + u64::from(len));
        // SAFETY: in bounds by `at`; `&mut self` of the ring's only writer makes it the only Rust
        // reference in this process, the consumer maps the area read-only and copies with volatile
        // loads only what is published (RING-2), which the caller's cursor keeps apart from this.
        unsafe { std::slice::from_raw_parts_mut(whole.add(HEADER_BYTES as usize), len as usize) }
    }

    /// The same bytes, to be looked at by who fills them.
    pub(crate) fn own_payload(&self, position: u64, len: u32) -> &[u8] {
        let whole = self.mirror.at(position, HEADER_BYTES + u64::from(len));
        // SAFETY: in bounds by `at`; only `payload` writes here, and it borrows this map mutably.
        unsafe { std::slice::from_raw_parts(whole.add(HEADER_BYTES as usize), len as usize) }
    }
}

/// The consumer's view of the data area: read-only, and volatile, for the producer may write at any time.
#[derive(Debug)]
pub(crate) struct ReadMap {
    mirror: Mirror,
}

impl ReadMap {
    pub(crate) fn new(fd: BorrowedFd<'_>, capacity: u64, huge: bool) -> io::Result<ReadMap> {
        let mirror = Mirror::new(fd, capacity, ProtFlags::READ)?;
        mirror.advise(huge, Advice::LinuxPopulateRead);
        Ok(ReadMap { mirror })
    }

    pub(crate) fn address(&self) -> usize {
        self.mirror.base.as_ptr() as usize
    }

    #[inline]
    pub(crate) fn header(&self, position: u64) -> u64 {
        assert!(position.is_multiple_of(HEADER_BYTES), "record at {position} is not aligned");
        // SAFETY: in bounds by `at` and aligned. A relaxed load never writes, so read-only memory is fine.
        unsafe { AtomicU64::from_ptr(self.mirror.at(position, HEADER_BYTES).cast()) }.load(Ordering::Relaxed)
    }

    /// Asks for the lines of a small record at `position`, its header and 64 bytes, without reading them.
    #[inline]
    pub(crate) fn prefetch(&self, position: u64) {
        #[cfg(target_arch = "x86_64")]
        for line in [0, CACHE_LINE_BYTES] {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let at = self.mirror.at(position, HEADER_BYTES).wrapping_add(line);
            // SAFETY: a hint: it reads nothing, and no address makes it fault.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = position; // No stable hint elsewhere.
    }

    /// Copies the payload of the record at `position` (RING-6: bytes that change meanwhile are merely wrong).
    #[inline]
    pub(crate) fn copy_payload(&self, position: u64, into: &mut [u8]) {
        let whole = self.mirror.at(position, HEADER_BYTES + into.len() as u64);
        // SAFETY: the source is in bounds by `at` and 8-aligned with its header; the target is ours.
        unsafe { volatile_copy(whole.add(HEADER_BYTES as usize), into) }
    }

    /// The payload in place.
    ///
    /// # Safety
    /// The producer must not write these bytes while the slice lives: it is trusted not to touch
    /// published records, and the caller releases the record only afterwards.
    pub(crate) unsafe fn payload(&self, position: u64, len: u32) -> &[u8] {
        let whole = self.mirror.at(position, HEADER_BYTES + u64::from(len));
        // SAFETY: in bounds by `at`, initialised as every map is; unchanging by the caller's promise.
        unsafe { std::slice::from_raw_parts(whole.add(HEADER_BYTES as usize), len as usize) }
    }
}

/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const CACHE_LINE_BYTES: usize = 64;
/// From this size on the string instruction beats a loop of words.
#[cfg(target_arch = "x86_64")]
const STRING_COPY_BYTES: usize = 256;

/// Copies `into.len()` bytes out of memory that another process may be writing.
///
/// # Safety
/// `from` must be readable for `into.len()` bytes, and aligned to 8.
#[inline]
unsafe fn volatile_copy(from: *const u8, into: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if into.len() >= STRING_COPY_BYTES {
        // SAFETY: source and target are valid for the length by the contract and do not overlap (the
        // target is a Rust reference). Assembly may read what another process writes: it sees some
        // bytes, and the compiler assumes nothing about them. The direction flag is clear by the ABI.
        unsafe {
            std::arch::asm!(
                "rep movsb",
                inout("rcx") into.len() => _,
                inout("rsi") from => _,
                inout("rdi") into.as_mut_ptr() => _,
                options(nostack, preserves_flags)
            );
        }
        return;
    }
    let (words, rest) = into.as_chunks_mut::<8>();
    let tail = words.len() * 8;
    for (index, word) in words.iter_mut().enumerate() {
        // SAFETY: index * 8 + 8 <= into.len(), aligned as `from` is.
        *word = unsafe { from.cast::<u64>().add(index).read_volatile() }.to_ne_bytes();
    }
    for (index, byte) in rest.iter_mut().enumerate() {
        // SAFETY: tail + index < into.len().
        *byte = unsafe { from.add(tail + index).read_volatile() };
    }
}

fn non_null(address: *mut c_void) -> io::Result<NonNull<u8>> {
    NonNull::new(address.cast()).ok_or_else(|| io::Error::other("the kernel mapped at address 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RING-6: every length and both copy loops give the bytes that stand there.
    #[test]
    fn volatile_copy_copies_every_length() {
        let source: Vec<u64> = (0..80_u64).map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let bytes: Vec<u8> = source.iter().flat_map(|word| word.to_ne_bytes()).collect();
        for len in 0..=bytes.len() {
            let mut into = vec![0xa5; len];
            // SAFETY: `source` holds at least `len` bytes and is aligned to 8.
            unsafe { volatile_copy(source.as_ptr().cast(), &mut into) };
            assert_eq!(into, bytes[..len], "{len} bytes");
        }
    }
}
