//! Files of the store by their paths: opened, used, closed.

use super::Cas;
use crate::disk::{Access, Disk, DiskError, FileId, Request};

impl<D: Disk> Cas<D> {
    /// Runs `reader` on the open file; `None` when there is none. The file is closed however `reader` ends.
    pub(super) fn reading<T, E: From<DiskError>>(
        &mut self,
        path: &str,
        reader: impl FnOnce(&mut Self, FileId) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let file = match self.disk.run(Request::Open { path: path.into(), access: Access::Read }) {
            Err(error) if error.is_missing() => return Ok(None),
            opened => opened?.opened(),
        };
        self.closing(file, reader).map(Some)
    }

    /// Runs `user` on a file that it closes.
    pub(super) fn closing<T, E: From<DiskError>>(
        &mut self,
        file: FileId,
        user: impl FnOnce(&mut Self, FileId) -> Result<T, E>,
    ) -> Result<T, E> {
        let result = user(self, file);
        let closed = self.disk.run(Request::Close { file });
        let value = result?;
        closed?;
        Ok(value)
    }

    pub(super) fn length(&mut self, file: FileId) -> Result<u64, DiskError> {
        Ok(self.disk.run(Request::Length { file })?.length())
    }

    /// Bytes from `offset` on, fewer than `len` only at the end of the file, in `buffer`.
    pub(super) fn read(
        &mut self,
        file: FileId,
        offset: u64,
        len: usize,
        buffer: Vec<u8>,
    ) -> Result<Vec<u8>, DiskError> {
        Ok(self.disk.run(Request::Read { file, offset, len, buffer })?.bytes())
    }

    /// Writes a copy of `bytes`.
    pub(super) fn write(&mut self, file: FileId, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut copy = std::mem::take(&mut self.buffer);
        copy.clear();
        copy.extend_from_slice(bytes);
        self.buffer = self.disk.run(Request::Write { file, offset, bytes: copy })?.bytes();
        Ok(())
    }

    pub(super) fn exists(&mut self, path: &str) -> Result<bool, DiskError> {
        match self.disk.run(Request::Stat { path: path.into() }) {
            Err(error) if error.is_missing() => Ok(false),
            found => found.map(|_| true),
        }
    }

    /// Removes a file; `false` when there was none.
    pub(super) fn remove(&mut self, path: &str) -> Result<bool, DiskError> {
        match self.disk.run(Request::Remove { path: path.into() }) {
            Err(error) if error.is_missing() => Ok(false),
            removed => removed.map(|_| true),
        }
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        self.disk.run(Request::Rename { from: from.into(), to: to.into() }).map(|_| ())
    }

    pub(super) fn sync_directory(&mut self, path: &str) -> Result<(), DiskError> {
        self.disk.run(Request::SyncDirectory { path: path.into() }).map(|_| ())
    }
}
