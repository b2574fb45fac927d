//! A file that is there whole or not at all, also after a power cut: written aside, synced, renamed, its folder synced.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Ending of what is written aside, behind a leading dot: such a name is no file of the data set.
pub(crate) const ASIDE: &str = ".tmp";

/// What was tried, with which file or folder, and why it failed.
pub(crate) type Failure = (&'static str, PathBuf, io::Error);

/// Puts `bytes` under `path`. `top` is the highest folder that may be new.
pub(crate) fn replace(top: &Path, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let aside = aside_of(path)?;
    let written = File::create(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&aside, path)) {
        // The rest of a failed write is only waste; the first error is the one that tells.
        let _ = fs::remove_file(&aside);
        return Err(("writing", path.to_owned(), error));
    }
    sync_folders(top, path)
}

/// Where `path` is written first; its folder is made. One name for each process: two of them each rename a whole file.
pub(crate) fn aside_of(path: &Path) -> Result<PathBuf, Failure> {
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(|error| ("making folder", folder.to_owned(), error))?;
    let name = path.file_name().expect("a file has a name").to_string_lossy();
    Ok(folder.join(format!(".{name}.{}{ASIDE}", std::process::id())))
}

/// Syncs the entry of `path`, and those of its folders below `top` and of `top`, which may be new.
pub(crate) fn sync_folders(top: &Path, path: &Path) -> Result<(), Failure> {
    for folder in folder_of(path).ancestors().take_while(|folder| folder.starts_with(top)) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| ("syncing folder", folder.to_owned(), error))?;
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().expect("a file of the data set is in a folder")
}
