//! A lock: canonical JSON exported from CUE, with the digests of the sources that it came from.
//!
//! ```json
//! {
//!   "version": 1,
//!   "sources": [{"path": "scenarios/pack/steady.cue", "blake3": "..."}],
//!   "content_blake3": "...",
//!   "documents": [...]
//! }
//! ```
//! Paths are relative to the root of the repository. `content_blake3` is the digest of sources and documents as
//! canonical JSON without white space. The file is indented by two spaces and ends with a newline: one form, so that diffs are readable.
//!
//! SCEN-3  A source that is there must have its recorded digest, and no source may be missing from the record or the folder.
//! SCEN-4  The file's bytes are those that its content is written as, and sources and documents have their recorded digest.
//!
//! A folder without any of its sources (a host that got the locks alone) leaves SCEN-3 nothing to check; SCEN-4 holds.
//! Digests find mistakes. Who may change the files is a matter of the repository, not of this format.

use crate::document::{ConfigDocument, Refusal, lines, placed};
use rtt_seal::{Digest, strict_json};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Component, Path, PathBuf},
};

/// Largest lock in bytes: a pack of some hundred scenarios.
const LOCK_BYTES_MAX: usize = 4 << 20;

/// The version of the format.
const VERSION: u32 = 1;

/// What CUE said, and from which files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock<T> {
    /// Always 1.
    pub version: u32,
    /// The CUE files, by path.
    pub sources: Vec<Source>,
    /// Digest of sources and documents as canonical JSON.
    pub content_blake3: Digest,
    /// The documents, checked.
    pub documents: Vec<T>,
}

/// One CUE file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Path from the root, with `/`.
    pub path: String,
    /// Digest of the file's bytes.
    pub blake3: Digest,
}

/// Why a lock is refused.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A file or folder cannot be read.
    #[error("{}: cannot be read: is the checkout whole? `git status` tells; nothing was run", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lock is not JSON of the lock's form.
    #[error("{}: not a lock, expected what `cargo xtask config build` writes; nothing was run", path.display())]
    Form {
        /// The lock.
        path: PathBuf,
        /// Where and why.
        source: Box<strict_json::JsonError>,
    },
    /// The lock has another version.
    #[error("{}: version is {found}, expected {VERSION}; nothing was run", path.display())]
    Version {
        /// The lock.
        path: PathBuf,
        /// The version found.
        found: u32,
    },
    /// The lock was edited.
    #[error("{}: edited by hand ({what}), expected what `cargo xtask config build` writes: edit the .cue files and run that; nothing was run", path.display())]
    Edited {
        /// The lock.
        path: PathBuf,
        /// How that shows.
        what: String,
    },
    /// The sources changed after the lock was written.
    #[error("{}: stale, {source_path} {what}: run `cargo xtask config build`, or undo the change; nothing was run", path.display())]
    Stale {
        /// The lock.
        path: PathBuf,
        /// The source, from the root.
        source_path: String,
        /// What happened to it.
        what: &'static str,
    },
    /// A document is out of its ranges. One line for each reason, then what follows from it.
    #[error("{}nothing was run", lines(&path.display().to_string(), .refusals))]
    Refused {
        /// The lock.
        path: PathBuf,
        /// All violations of one document.
        refusals: Vec<Refusal>,
    },
}

impl<T: ConfigDocument> Lock<T> {
    /// A lock of these documents.
    pub fn new(mut sources: Vec<Source>, documents: Vec<T>) -> Lock<T> {
        sources.sort();
        let content_blake3 = digest(&sources, &documents);
        Lock { version: VERSION, sources, content_blake3, documents }
    }

    /// The bytes of the file.
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a lock is plain data");
        text.push('\n');
        text
    }

    /// Reads a lock, and checks it against its sources under `root` where they are there.
    ///
    /// # Errors
    /// See [`LockError`]. Nothing of a lock that is refused is returned.
    pub fn load(path: &Path, root: &Path) -> Result<Lock<T>, LockError> {
        let unreadable = |source| LockError::Unreadable { path: path.to_owned(), source };
        let lock = Lock::parse(path, &fs::read(path).map_err(unreadable)?)?;
        lock.verify_sources(path, root)?;
        Ok(lock)
    }

    /// Reads a lock from bytes, without a look at its sources; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`Lock::load`], never [`LockError::Stale`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Lock<T>, LockError> {
        let path = || path.to_owned();
        let edited = |what: String| LockError::Edited { path: path(), what };
        let lock: Lock<T> = strict_json::parse_within(bytes, LOCK_BYTES_MAX)
            .map_err(|source| LockError::Form { path: path(), source: Box::new(source) })?;
        if lock.version != VERSION {
            return Err(LockError::Version { path: path(), found: lock.version });
        }
        let text = lock.text();
        if text.as_bytes() != bytes {
            let same = text.bytes().zip(bytes).take_while(|(ours, theirs)| ours == *theirs).count();
            let line = 1 + text.as_bytes()[..same].iter().filter(|&&byte| byte == b'\n').count();
            return Err(edited(format!("line {line} is not in the lock's form"))); // SCEN-4
        }
        if let Some(source) = lock.sources.iter().find(|source| !is_inside(&source.path)) {
            return Err(edited(format!("source {:?} does not lie under the root", source.path)));
        }
        if !lock.sources.is_sorted_by(|a, b| a.path < b.path) {
            return Err(edited("sources are not in the order of their paths".to_owned()));
        }
        let found = digest(&lock.sources, &lock.documents);
        if found != lock.content_blake3 {
            let recorded = lock.content_blake3.short();
            return Err(edited(format!("content has digest {}, recorded is {recorded}", found.short()))); // SCEN-4
        }
        for (index, document) in lock.documents.iter().enumerate() {
            let parent = format!("documents[{index}].");
            document
                .check() // SCEN-1
                .map_err(|error| LockError::Refused { path: path(), refusals: placed(error, bytes, &parent) })?;
        }
        Ok(lock)
    }

    /// SCEN-3: sources that are there are those that the lock was made from, folder by folder.
    fn verify_sources(&self, path: &Path, root: &Path) -> Result<(), LockError> {
        let stale = |source_path: &str, what| LockError::Stale {
            path: path.to_owned(),
            source_path: source_path.to_owned(),
            what,
        };
        let folders: BTreeSet<&str> = self.sources.iter().map(|source| folder_of(&source.path)).collect();
        for folder in folders {
            let found = cue_files(root, folder)?;
            if found.is_empty() {
                continue; // The locks were copied without their sources: there is nothing that could be newer.
            }
            let recorded: Vec<&Source> =
                self.sources.iter().filter(|source| folder_of(&source.path) == folder).collect();
            if let Some(added) = found.iter().find(|file| recorded.iter().all(|source| source.path != **file)) {
                return Err(stale(added, "was added"));
            }
            for source in recorded {
                if !found.contains(&source.path) {
                    return Err(stale(&source.path, "is gone"));
                }
                if source_digest(root, &source.path)? != source.blake3 {
                    return Err(stale(&source.path, "was changed"));
                }
            }
        }
        Ok(())
    }
}

fn digest<T: Serialize>(sources: &[Source], documents: &[T]) -> Digest {
    Digest::of(&serde_json::to_vec(&(sources, documents)).expect("sources and documents are plain data"))
}

/// The digests of `paths`, which are relative to `root`.
pub(crate) fn sources(root: &Path, paths: &[String]) -> Result<Vec<Source>, LockError> {
    paths.iter().map(|path| Ok(Source { path: path.clone(), blake3: source_digest(root, path)? })).collect()
}

/// The CUE files of a folder, from the root and in order; none where the folder is not there.
pub(crate) fn cue_files(root: &Path, folder: &str) -> Result<Vec<String>, LockError> {
    let place = root.join(folder);
    let unreadable = |source| LockError::Unreadable { path: place.clone(), source };
    let entries = match fs::read_dir(&place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        if let Some(name) = name.to_str()
            && name.ends_with(".cue")
        {
            files.push(if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") });
        }
    }
    files.sort();
    Ok(files)
}

fn source_digest(root: &Path, path: &str) -> Result<Digest, LockError> {
    let place = root.join(path);
    fs::read(&place).map(|bytes| Digest::of(&bytes)).map_err(|source| LockError::Unreadable { path: place, source })
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Whether a recorded path stays under the root: a lock is input, and may not make its reader open other files.
fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault_plan::{FaultKind, FaultPlan, FaultSpec};
    use tempfile::TempDir;

    fn plan(name: &str) -> FaultPlan {
        let fault = FaultSpec { kind: FaultKind::CpuHog, start_permille: [1, 2], duration_us: [100, 200] };
        FaultPlan { name: name.into(), about: "For tests.".into(), faults: vec![fault] }
    }

    /// A repository with two sources in two folders and their lock.
    fn repository() -> (TempDir, PathBuf) {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["schema", "chaos"] {
            fs::create_dir(root.path().join(folder)).expect("a folder");
            fs::write(root.path().join(folder).join("a.cue"), folder).expect("a source");
        }
        let paths = ["schema/a.cue".to_owned(), "chaos/a.cue".to_owned()];
        let lock = Lock::new(sources(root.path(), &paths).expect("sources"), vec![plan("a"), plan("b")]);
        let path = root.path().join("chaos.lock.json");
        fs::write(&path, lock.text()).expect("a lock");
        (root, path)
    }

    fn load(root: &TempDir, path: &Path) -> String {
        match Lock::<FaultPlan>::load(path, root.path()) {
            Ok(lock) => format!("{} documents", lock.documents.len()),
            Err(error) => error.to_string(),
        }
    }

    /// SCEN-3
    #[test]
    fn a_lock_whose_sources_changed_is_refused() {
        type Change = fn(&Path);
        let cases: [(Change, &str); 5] = [
            (|_| {}, "2 documents"),
            (|root| fs::write(root.join("chaos/a.cue"), "other").expect("write"), "chaos/a.cue was changed"),
            (|root| fs::write(root.join("chaos/b.cue"), "").expect("write"), "chaos/b.cue was added"),
            (
                |root| fs::rename(root.join("chaos/a.cue"), root.join("chaos/c.cue")).expect("rename"),
                "chaos/c.cue was added",
            ),
            (|root| fs::write(root.join("chaos/notes.txt"), "").expect("write"), "2 documents"),
        ];
        for (change, expected) in cases {
            let (root, path) = repository();
            change(root.path());
            let found = load(&root, &path);
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }

    /// SCEN-3
    #[test]
    fn a_source_that_is_gone_beside_others_is_refused_and_a_lock_alone_is_read() {
        let (root, path) = repository();
        let paths = ["chaos/a.cue".to_owned(), "chaos/b.cue".to_owned()];
        fs::write(root.path().join("chaos/b.cue"), "b").expect("write");
        let lock = Lock::new(sources(root.path(), &paths).expect("sources"), vec![plan("a")]);
        fs::write(&path, lock.text()).expect("a lock");
        assert_eq!(load(&root, &path), "1 documents");
        fs::remove_file(root.path().join("chaos/b.cue")).expect("remove");
        assert!(load(&root, &path).contains("chaos/b.cue is gone"));
        fs::remove_dir_all(root.path().join("chaos")).expect("remove");
        assert_eq!(load(&root, &path), "1 documents");
    }

    /// SCEN-4
    #[test]
    fn a_lock_that_was_edited_is_refused() {
        let (root, path) = repository();
        let good = fs::read_to_string(&path).expect("a lock");
        assert_eq!(load(&root, &path), "2 documents");
        for (from, to, expected) in [
            ("\"a\"", "\"x\"", "content has digest"),
            ("100,", "101,", "content has digest"),
            ("\"version\": 1", "\"version\": 2", "version is 2, expected 1"),
            ("  \"version\"", " \"version\"", "line 2 is not in the lock's form"),
            ("}\n", "}\n\n", "is not in the lock's form"),
            ("\"about\"", "\"abuot\"", "not a lock"),
            ("\"name\": \"a\",", "\"name\": \"a\", \"name\": \"a\",", "not a lock"),
            ("chaos/a.cue", "../x/a.cue", "does not lie under the root"),
            ("chaos/a.cue", "/etc/passwd", "does not lie under the root"),
            ("chaos/a.cue", "zzz/a.cue", "not in the order of their paths"),
        ] {
            assert!(good.contains(from), "{from}");
            fs::write(&path, good.replacen(from, to, 1)).expect("write");
            let found = load(&root, &path);
            assert!(found.contains(expected) && found.ends_with("nothing was run"), "{from} -> {to}: {found}");
        }
    }

    /// SCEN-4: any single byte of the file counts.
    #[test]
    fn every_changed_byte_is_refused() {
        let (root, path) = repository();
        let good = fs::read(&path).expect("a lock");
        for at in 0..good.len() {
            let mut damaged = good.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).expect("write");
            assert!(Lock::<FaultPlan>::load(&path, root.path()).is_err(), "byte {at}");
        }
    }

    /// SCEN-1: a lock with right digests is no excuse for a wrong document.
    #[test]
    fn a_document_out_of_range_is_refused_also_in_a_lock() {
        let mut wrong = plan("a");
        wrong.faults[0].duration_us = [1, 2];
        let text = Lock::new(Vec::new(), vec![wrong]).text();
        let found = Lock::<FaultPlan>::parse(Path::new("x.lock.json"), text.as_bytes()).expect_err("range").to_string();
        let line =
            1 + text.lines().position(|line| line.trim() == "1,").expect("the first value of 1 is the start") + 4;
        let expected = format!("x.lock.json:{line}: documents[0].faults[0].duration_us[0]: found 1, expected");
        assert!(found.starts_with(&expected) && found.ends_with("\nnothing was run"), "{found}");
    }
}
