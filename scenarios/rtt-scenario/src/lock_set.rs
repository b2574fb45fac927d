//! The three locks of the repository: where they lie, which sources they are made from, and how.

use crate::{
    bounds::near_field,
    cue::{Cue, CueError},
    document::{ConfigDocument, ReadError, parse_json},
    lock::{Lock, LockError, cue_files, sources},
};
use rtt_seal::strict_json::{self, JsonError};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// The closed definitions that every source is unified with, from the root.
pub(crate) const SCHEMA: &str = "spec/schema";

/// The page written from `ci/slo.cue`, from the root.
pub const SLO_PAGE: &str = "SLO.md";

/// Where a lock and its sources lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockPlace {
    /// The lock, from the root.
    pub lock: &'static str,
    /// The folder of its sources, from the root. The schema's files are sources of every lock.
    pub folder: &'static str,
    /// What is exported.
    pub expression: &'static str,
    /// Whether that is one document rather than one for each name.
    pub single: bool,
}

/// The scenarios that RTT ships.
pub const PACK_LOCK: LockPlace =
    LockPlace { lock: "scenarios/pack.lock.json", folder: "scenarios/pack", expression: "scenarios", single: false };

/// The fault plans that RTT ships.
pub const CHAOS_LOCK: LockPlace = LockPlace {
    lock: "scenarios/chaos.lock.json",
    folder: "scenarios/chaos",
    expression: "fault_plans",
    single: false,
};

/// The service level objectives.
pub const SLO_LOCK: LockPlace = LockPlace { lock: "ci/slo.lock.json", folder: "ci", expression: "slo", single: true };

/// Why a lock was not made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// `cue` refused the sources or could not be run.
    #[error(transparent)]
    Cue(#[from] CueError),
    /// The sources cannot be read.
    #[error(transparent)]
    Sources(#[from] LockError),
    /// There are no sources.
    #[error("{folder}: no .cue files, expected the sources of {lock} under {}; nothing was run", root.display())]
    NoSources {
        /// The folder, from the root.
        folder: &'static str,
        /// The lock, from the root.
        lock: &'static str,
        /// The root.
        root: PathBuf,
    },
    /// What `cue` printed is not JSON.
    #[error("{folder}: `cue export` did not print the documents; nothing was run")]
    Export {
        /// The folder, from the root.
        folder: &'static str,
        /// Where and why.
        source: Box<JsonError>,
    },
    /// CUE accepted what the reader refuses: the two schemas have come apart.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The lock cannot be written.
    #[error("{}: cannot be written; nothing was run", path.display())]
    Write {
        /// The lock.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Evaluates the sources of `place` under `root` and returns the lock that they make, without writing it.
///
/// # Errors
/// See [`BuildError`].
pub fn export_lock<T: ConfigDocument>(place: LockPlace, root: &Path, cue: &Cue) -> Result<Lock<T>, BuildError> {
    let files = files(place, root)?;
    let exported = cue.export(root, &files, place.expression).map_err(|error| match error {
        CueError::Refused { message } => CueError::Refused { message: with_near_names(place, &message) },
        other => other,
    })?;
    let no_json = |source| BuildError::Export { folder: place.folder, source: Box::new(source) };
    let values: BTreeMap<String, Value> = if place.single {
        BTreeMap::from([(place.expression.to_owned(), strict_json::parse(&exported).map_err(no_json)?)])
    } else {
        strict_json::parse(&exported).map_err(no_json)?
    };
    let read = |(name, value): (&String, &Value)| {
        let bytes = serde_json::to_vec(value).expect("a JSON value is plain data");
        parse_json::<T>(&format!("{} ({} `{name}`)", place.folder, T::KIND), &bytes)
    };
    let documents = values.iter().map(read).collect::<Result<Vec<T>, ReadError>>()?;
    Ok(Lock::new(sources(root, &files)?, documents))
}

/// Replaces a file whole, unless it already says that: a reader sees the old text or the new one.
/// Returns whether it was replaced.
///
/// # Errors
/// [`BuildError::Write`].
pub fn write_if_changed(path: &Path, text: &str) -> Result<bool, BuildError> {
    if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(false);
    }
    let failed = |source| BuildError::Write { path: path.to_owned(), source };
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    fs::write(&temporary, text).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)?;
    Ok(true)
}

/// The evaluator's message, with the near name behind each field that the schema does not have.
fn with_near_names(place: LockPlace, message: &str) -> String {
    // As `slo.objectives.3.latency_p99: field not allowed:`; under a pack, the document's name comes after the expression.
    let hinted = |line: &str| -> Option<String> {
        let (path, _) = line.split_once(": field not allowed")?;
        let inside = path.strip_prefix(place.expression)?.strip_prefix('.')?;
        let inside = if place.single { inside } else { inside.split_once('.')?.1 };
        let segments = inside.split('.').map(|segment| match segment.parse::<usize>() {
            Ok(index) => format!("[{index}]"),
            Err(_) => format!(".{segment}"),
        });
        let field = segments.collect::<String>();
        let near = near_field(field.trim_start_matches('.'))?;
        Some(format!("{path}: field not allowed; did you mean `{near}`?"))
    };
    message.lines().map(|line| hinted(line).unwrap_or_else(|| line.to_owned())).collect::<Vec<_>>().join("\n")
}

/// The CUE files of a lock: the schema's, then its own.
fn files(place: LockPlace, root: &Path) -> Result<Vec<String>, BuildError> {
    let own = cue_files(root, place.folder)?;
    if own.is_empty() {
        return Err(BuildError::NoSources { folder: place.folder, lock: place.lock, root: root.to_owned() });
    }
    Ok(cue_files(root, SCHEMA)?.into_iter().chain(own).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_by_other_text() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.lock.json");
        for (text, changed) in [("a", true), ("a", false), ("b", true)] {
            assert_eq!(write_if_changed(&path, text).expect("write"), changed);
            assert_eq!(fs::read_to_string(&path).expect("read"), text);
        }
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_field_that_cue_does_not_know_is_answered_with_a_near_name() {
        for (place, line, hinted) in [
            (
                SLO_LOCK,
                "slo.objectives.3.latency_p99: field not allowed:",
                "slo.objectives.3.latency_p99: field not allowed; did you mean `latency_permille_of_limit_p99`?",
            ),
            (
                PACK_LOCK,
                "scenarios.steady.workload.payload.0.byte: field not allowed:",
                "scenarios.steady.workload.payload.0.byte: field not allowed; did you mean `bytes`?",
            ),
            (PACK_LOCK, "scenarios.steady.colour: field not allowed:", "scenarios.steady.colour: field not allowed:"),
            (SLO_LOCK, "slo.objectives.0.loss_ppm: invalid value", "slo.objectives.0.loss_ppm: invalid value"),
        ] {
            let place_line = "\n    ./ci/slo.cue:19:73";
            assert_eq!(with_near_names(place, &format!("{line}{place_line}")), format!("{hinted}{place_line}"));
        }
    }

    #[test]
    fn a_root_without_sources_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let error = export_lock::<crate::Scenario>(PACK_LOCK, dir.path(), &Cue::at(Path::new("false")));
        let error = error.expect_err("no sources").to_string();
        assert!(
            error.starts_with("scenarios/pack: no .cue files, expected the sources of scenarios/pack.lock.json"),
            "{error}"
        );
    }
}
