//! Writes a page so that a reader finds the old one or the new one, whole.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Why a page was not written.
#[derive(Debug, thiserror::Error)]
#[error("page {}: {doing} failed; the page that stood there before is untouched", path.display())]
pub struct WriteError {
    /// The page.
    pub path: PathBuf,
    /// What was tried.
    pub doing: &'static str,
    /// Why it failed.
    pub source: io::Error,
}

/// Writes `html` to `path` through a file beside it, which is synced and then renamed; makes the folder if need be.
///
/// # Errors
/// [`WriteError`] with what was tried.
pub fn write_page(path: &Path, html: &str) -> Result<(), WriteError> {
    let failed = |doing| move |source: io::Error| WriteError { path: path.into(), doing, source };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(failed("making its folder"))?;
    let name = path.file_name().map_or_else(|| "page".into(), |name| name.to_string_lossy().into_owned());
    // The process id keeps two renderers apart; the last rename wins, and both pages are whole.
    let beside = folder.join(format!(".{name}.{}.part", std::process::id()));
    let written = File::create(&beside)
        .and_then(|mut file| file.write_all(html.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside); // It may not exist; the error that matters is the one below.
    }
    written.map_err(failed("writing"))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("syncing its folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_replaces_the_one_before_and_leaves_nothing_beside_it() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("out").join("run.html");
        for text in ["one", "two"] {
            write_page(&path, text).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("the page"), text);
        }
        assert_eq!(fs::read_dir(root.path().join("out")).expect("the folder").count(), 1);
    }

    #[test]
    fn a_page_that_cannot_be_written_is_named() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("taken");
        fs::create_dir_all(path.join("full")).expect("a folder in the way");
        let error = write_page(&path, "text").expect_err("a folder stands there");
        assert!(error.to_string().contains("taken"), "{error}");
        assert_eq!(fs::read_dir(root.path()).expect("the folder").count(), 1, "no part is left");
    }
}
