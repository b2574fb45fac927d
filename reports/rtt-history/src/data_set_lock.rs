//! One writer of a data set at a time, and no reader while files are swapped.
//!
//! An advisory lock on the data set's folder; the kernel drops it with the process. Append, compact and retain hold it
//! alone, tables and trends share it: a reader that has listed the files finds them when it opens them.

use crate::HISTORY_PLACE;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The data set's folder cannot be locked.
#[derive(Debug, thiserror::Error)]
#[error("data set {}: cannot lock it", folder.display())]
pub struct LockHistoryError {
    /// The folder.
    pub folder: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// Holds the data set until it is dropped.
#[derive(Debug)]
pub struct DataSetLock {
    _folder: Option<File>,
}

impl DataSetLock {
    /// Waits until nobody else has the data set below `root`; makes its folder.
    ///
    /// # Errors
    /// [`LockHistoryError`].
    pub fn alone(root: &Path) -> Result<DataSetLock, LockHistoryError> {
        let folder = root.join(HISTORY_PLACE);
        let locked = fs::create_dir_all(&folder).and_then(|()| File::open(&folder)).and_then(|opened| {
            opened.lock()?;
            Ok(opened)
        });
        match locked {
            Ok(opened) => Ok(DataSetLock { _folder: Some(opened) }),
            Err(source) => Err(LockHistoryError { folder, source }),
        }
    }

    /// Waits until nobody writes to the data set below `root`; there may be none.
    ///
    /// # Errors
    /// [`LockHistoryError`].
    pub fn shared(root: &Path) -> Result<DataSetLock, LockHistoryError> {
        let folder = root.join(HISTORY_PLACE);
        let locked = File::open(&folder).and_then(|opened| {
            opened.lock_shared()?;
            Ok(opened)
        });
        match locked {
            Ok(opened) => Ok(DataSetLock { _folder: Some(opened) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(DataSetLock { _folder: None }),
            Err(source) => Err(LockHistoryError { folder, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_alone_and_readers_are_not() {
        let root = tempfile::tempdir().expect("a folder");
        DataSetLock::shared(root.path()).expect("no data set is nobody's");
        let writer = DataSetLock::alone(root.path()).expect("the first");
        let other = File::open(root.path().join(HISTORY_PLACE)).expect("the folder");
        assert!(other.try_lock_shared().is_err(), "a reader waits for the writer");
        drop(writer);
        let _reader = DataSetLock::shared(root.path()).expect("a reader");
        other.try_lock_shared().expect("readers share it");
        other.unlock().expect("given back");
        assert!(other.try_lock().is_err(), "a writer waits for the readers");
    }
}
