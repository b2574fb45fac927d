//! The corpus: good and bad documents on which CUE and this crate's reader must agree.
//!
//! SCEN-6  The verdict of each is the folder that the document lies in, `good` or `bad`. What kind of document it is meant
//!         to be stands at the front of its name: `scenario-*.json`, `fault_plan-*.json`, `slo-*.json`.

use crate::{
    cue::{Cue, CueError},
    document::{ReadError, parse_json},
    fault_plan::FaultPlan,
    lock::{LockError, cue_files},
    lock_set::SCHEMA,
    scenario::Scenario,
    slo::Slo,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What a document of the corpus is meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorpusKind {
    /// A [`Scenario`].
    Scenario,
    /// A [`FaultPlan`].
    FaultPlan,
    /// An [`Slo`].
    Slo,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusRow {
    /// Path from the root.
    pub path: String,
    /// What it is meant to be.
    pub kind: CorpusKind,
    /// Whether it must be accepted.
    pub good: bool,
    /// The file.
    pub bytes: Vec<u8>,
}

/// What a reader says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The document is taken.
    Accepted,
    /// The document is not taken, and why.
    Refused(String),
}

/// Why the corpus gives no verdicts.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A file or folder cannot be read.
    #[error("{}: cannot be read, expected documents of the corpus; nothing was run", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file whose name does not say what it is.
    #[error(
        "{path}: unknown kind of document, expected scenario-*.json, fault_plan-*.json or slo-*.json; nothing was run"
    )]
    Name {
        /// Path from the root.
        path: String,
    },
    /// The schema cannot be listed.
    #[error(transparent)]
    Schema(#[from] LockError),
    /// `cue` could not be run.
    #[error(transparent)]
    Cue(#[from] CueError),
}

impl Verdict {
    /// Whether the document is taken.
    pub fn accepted(&self) -> bool {
        *self == Verdict::Accepted
    }
}

impl CorpusRow {
    /// What this crate's reader says.
    pub fn reader_verdict(&self) -> Verdict {
        fn verdict<T>(read: Result<T, ReadError>) -> Verdict {
            read.map_or_else(|error| Verdict::Refused(error.to_string()), |_| Verdict::Accepted)
        }
        match self.kind {
            CorpusKind::Scenario => verdict(parse_json::<Scenario>(&self.path, &self.bytes)),
            CorpusKind::FaultPlan => verdict(parse_json::<FaultPlan>(&self.path, &self.bytes)),
            CorpusKind::Slo => verdict(parse_json::<Slo>(&self.path, &self.bytes)),
        }
    }
}

/// What CUE says of a document of the corpus under `root`.
///
/// # Errors
/// That `cue` could not be run.
pub fn cue_verdict(row: &CorpusRow, root: &Path, cue: &Cue) -> Result<Verdict, CorpusError> {
    let definition = match row.kind {
        CorpusKind::Scenario => "#Scenario",
        CorpusKind::FaultPlan => "#FaultPlan",
        CorpusKind::Slo => "#Slo",
    };
    let schema = cue_files(root, SCHEMA)?;
    Ok(cue.vet(root, &schema, definition, &row.path)?.map_or(Verdict::Accepted, Verdict::Refused))
}

/// All documents of the corpus under `root`, by path.
///
/// # Errors
/// [`CorpusError::Unreadable`] and [`CorpusError::Name`].
pub fn corpus(root: &Path) -> Result<Vec<CorpusRow>, CorpusError> {
    let mut rows = Vec::new();
    for (folder, good) in [("good", true), ("bad", false)] {
        let folder = format!("{SCHEMA}/corpus/{folder}");
        let place = root.join(&folder);
        let unreadable = |source| CorpusError::Unreadable { path: place.clone(), source };
        for entry in fs::read_dir(&place).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let Some(kind) = kind_of(&entry.file_name().to_string_lossy()) else {
                return Err(CorpusError::Name { path });
            };
            let bytes =
                fs::read(entry.path()).map_err(|source| CorpusError::Unreadable { path: entry.path(), source })?;
            rows.push(CorpusRow { path, kind, good, bytes });
        }
    }
    rows.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(rows)
}

fn kind_of(file_name: &str) -> Option<CorpusKind> {
    match file_name.strip_suffix(".json")?.split_once('-')?.0 {
        "scenario" => Some(CorpusKind::Scenario),
        "fault_plan" => Some(CorpusKind::FaultPlan),
        "slo" => Some(CorpusKind::Slo),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_says_what_the_document_is() {
        for (name, expected) in [
            ("scenario-a.json", Some(CorpusKind::Scenario)),
            ("fault_plan-a-b.json", Some(CorpusKind::FaultPlan)),
            ("slo-a.json", Some(CorpusKind::Slo)),
            ("scenario-a.txt", None),
            ("other-a.json", None),
            ("scenario.json", None),
        ] {
            assert_eq!(kind_of(name), expected, "{name}");
        }
    }
}
