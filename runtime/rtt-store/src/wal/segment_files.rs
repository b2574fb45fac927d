//! The files of a log: made whole, written group by group.
//!
//! WAL-7   A segment has its name only after its zeros are on the disk, and is written to only after its name is.

use super::format::BLOCK;
use super::group_commit::Group;
use crate::disk::{Access, Disk, DiskError, EntryKind, FileId, Request};
use std::collections::BTreeMap;

/// Zeros that are written at once.
const CHUNK: usize = 1 << 20;
/// Ending of a segment's name.
const ENDING: &str = ".seg";
/// Ending of a segment's name while it is made.
const UNFINISHED: &str = ".tmp";

/// The segments of one log, over a disk.
#[derive(Debug)]
pub(crate) struct SegmentFiles<D> {
    pub disk: D,
    folder: String,
    open: BTreeMap<u32, FileId>,
}

/// A segment that is longer than it can be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooLong {
    /// Its length.
    pub bytes: u64,
    /// Bytes that it can have.
    pub most: u32,
}

impl<D: Disk> SegmentFiles<D> {
    pub fn new(disk: D, folder: &str) -> SegmentFiles<D> {
        SegmentFiles { disk, folder: folder.to_owned(), open: BTreeMap::new() }
    }

    /// Path of a segment.
    pub fn path(&self, segment: u32) -> String {
        path(&self.folder, segment)
    }

    /// Numbers of the segments there are, ascending.
    pub fn list(&mut self) -> Result<Vec<u32>, DiskError> {
        let names = self.disk.run(Request::List { path: self.folder.clone() })?.names();
        let files = names.iter().filter(|entry| entry.kind == EntryKind::File);
        let mut numbers: Vec<u32> = files.filter_map(|entry| number(&entry.name, ENDING)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Removes what an interrupted [`SegmentFiles::make`] left.
    pub fn remove_unfinished(&mut self) -> Result<(), DiskError> {
        for entry in self.disk.run(Request::List { path: self.folder.clone() })?.names() {
            if number(&entry.name, UNFINISHED).is_some() {
                self.disk.run(Request::Remove { path: format!("{}/{}", self.folder, entry.name) })?;
            }
        }
        Ok(())
    }

    /// Makes a segment of `bytes` zeros, durable when this returns. Where that fails, nothing has its name.
    pub fn make(&mut self, segment: u32, bytes: usize) -> Result<(), DiskError> {
        let unfinished = format!("{}/{segment:08}{UNFINISHED}", self.folder);
        let file = self.disk.run(Request::Create { path: unfinished.clone() })?.opened();
        let made = self.fill_and_name(file, &unfinished, segment, bytes);
        if made.is_err() {
            // Best effort: what stays is removed when the log is opened, and its blocks are needed now.
            let _ = self.disk.run(Request::Close { file });
            let _ = self.disk.run(Request::Remove { path: unfinished });
        }
        made
    }

    fn fill_and_name(&mut self, file: FileId, path: &str, segment: u32, bytes: usize) -> Result<(), DiskError> {
        self.write_zeros(file, 0, bytes)?;
        self.disk.run(Request::Sync { file })?; // WAL-7
        self.disk.run(Request::Rename { from: path.to_owned(), to: self.path(segment) })?;
        self.disk.run(Request::SyncDirectory { path: self.folder.clone() })?;
        self.open.insert(segment, file);
        Ok(())
    }

    /// All bytes of a segment, or that it has more than `most` says of its first block.
    pub fn read(
        &mut self,
        segment: u32,
        buffer: Vec<u8>,
        most: impl FnOnce(&[u8]) -> u32,
    ) -> Result<Result<Vec<u8>, TooLong>, DiskError> {
        let file = self.disk.run(Request::Open { path: self.path(segment), access: Access::Read })?.opened();
        let read = self.read_open(file, buffer, most);
        self.disk.run(Request::Close { file })?;
        read
    }

    /// Looks at the length before it asks for as many bytes: what the file says of itself need not fit into memory.
    fn read_open(
        &mut self,
        file: FileId,
        buffer: Vec<u8>,
        most: impl FnOnce(&[u8]) -> u32,
    ) -> Result<Result<Vec<u8>, TooLong>, DiskError> {
        let bytes = self.disk.run(Request::Length { file })?.length();
        let head = self.disk.run(Request::Read { file, offset: 0, len: BLOCK, buffer })?.bytes();
        let most = most(&head);
        if bytes > u64::from(most) {
            return Ok(Err(TooLong { bytes, most }));
        }
        Ok(Ok(self.disk.run(Request::Read { file, offset: 0, len: bytes as usize, buffer: head })?.bytes()))
    }

    /// Overwrites a range of a segment with zeros, durable when this returns.
    pub fn clear(&mut self, segment: u32, from: usize, to: usize) -> Result<(), DiskError> {
        let file = self.file(segment)?;
        self.write_zeros(file, from, to)?;
        self.disk.run(Request::Sync { file })?;
        Ok(())
    }

    /// Writes a range of a segment once more as it is read, durable when this returns.
    pub fn rewrite(&mut self, segment: u32, from: usize, to: usize) -> Result<(), DiskError> {
        let file = self.file(segment)?;
        let read = Request::Read { file, offset: from as u64, len: to - from, buffer: Vec::new() };
        let bytes = self.disk.run(read)?.bytes();
        self.disk.run(Request::WriteSync { file, offset: from as u64, bytes })?;
        Ok(())
    }

    /// The one write and one sync that make a group durable.
    pub fn request(&mut self, group: Group) -> Result<Request, DiskError> {
        let file = self.file(group.segment)?;
        while let Some(earlier) = self.open.first_entry().filter(|entry| *entry.key() < group.segment) {
            let file = earlier.remove();
            self.disk.run(Request::Close { file })?;
        }
        Ok(Request::WriteSync { file, offset: group.offset, bytes: group.bytes })
    }

    /// Closes what [`SegmentFiles::make`] left open, for who only makes.
    pub fn forget(&mut self) {
        for (_, file) in std::mem::take(&mut self.open) {
            // Nothing was written since its sync, so that closing has nothing to lose.
            let _ = self.disk.run(Request::Close { file });
        }
    }

    fn file(&mut self, segment: u32) -> Result<FileId, DiskError> {
        if let Some(file) = self.open.get(&segment) {
            return Ok(*file);
        }
        let file = self.disk.run(Request::Open { path: self.path(segment), access: Access::Write })?.opened();
        self.open.insert(segment, file);
        Ok(file)
    }

    fn write_zeros(&mut self, file: FileId, from: usize, to: usize) -> Result<(), DiskError> {
        let mut zeros = Vec::new();
        for offset in (from..to).step_by(CHUNK) {
            zeros.resize(CHUNK.min(to - offset), 0);
            zeros = self.disk.run(Request::Write { file, offset: offset as u64, bytes: zeros })?.bytes();
        }
        Ok(())
    }
}

/// Path of a segment of the log in `folder`.
pub(crate) fn path(folder: &str, segment: u32) -> String {
    format!("{folder}/{segment:08}{ENDING}")
}

fn number(name: &str, ending: &str) -> Option<u32> {
    let digits = name.strip_suffix(ending)?;
    let number = digits.parse().ok()?;
    (format!("{number:08}") == digits).then_some(number)
}
