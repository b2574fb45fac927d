//! The pack: all scenarios and fault plans of a folder, read from its locks.
//!
//! SCEN-3, SCEN-4  A lock that is stale or edited makes the whole pack refused; there is no half of a pack.

use crate::{
    fault_plan::FaultPlan,
    lock::{Lock, LockError},
    scenario::Scenario,
};
use rtt_seal::{Digest, near_name};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Scenarios and fault plans by name, each with the digest that trial records name it by.
#[derive(Clone, Debug)]
pub struct Pack {
    scenarios: Vec<(Scenario, Digest)>,
    fault_plans: Vec<(FaultPlan, Digest)>,
}

/// Why a pack cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// There is no such folder.
    #[error("{}: no pack, expected a folder with pack.lock.json and chaos.lock.json (see --pack); nothing was run", dir.display())]
    NoFolder {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A lock is refused.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Two documents of a kind have one name.
    #[error("{}: {kind} `{name}` stands twice, expected each name once; nothing was run", dir.display())]
    Twice {
        /// The folder.
        dir: PathBuf,
        /// `scenario` or `fault plan`.
        kind: &'static str,
        /// The name.
        name: String,
    },
}

/// A name that the pack does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {kind} `{name}`, expected one of {}{}; nothing was run", .known.join(", "), hint(.near))]
pub struct Unknown {
    /// `scenario` or `fault plan`.
    pub kind: &'static str,
    /// The name asked for.
    pub name: String,
    /// The known name nearest to it, if one is near.
    pub near: Option<String>,
    /// All names that would have been taken.
    pub known: Vec<String>,
}

fn hint(near: &Option<String>) -> String {
    near.as_ref().map_or(String::new(), |near| format!("; did you mean `{near}`?"))
}

impl Pack {
    /// Reads the locks in `dir`. The sources beside them (`dir/pack`, `dir/chaos`, `../spec/schema`) are checked where present.
    ///
    /// # Errors
    /// See [`PackError`].
    pub fn load(dir: &Path) -> Result<Pack, PackError> {
        let no_folder = |source| PackError::NoFolder { dir: dir.to_owned(), source };
        let resolved = fs::canonicalize(dir).map_err(no_folder)?;
        // Recorded paths start at the root of the repository, and the pack is a folder in it.
        let root = resolved.parent().unwrap_or(&resolved);
        Ok(Pack {
            scenarios: named(dir, "scenario", Lock::load(&dir.join("pack.lock.json"), root)?, Scenario::digest, |s| {
                &s.name
            })?,
            fault_plans: named(
                dir,
                "fault plan",
                Lock::load(&dir.join("chaos.lock.json"), root)?,
                FaultPlan::digest,
                |p| &p.name,
            )?,
        })
    }

    /// The scenario of that name.
    ///
    /// # Errors
    /// [`Unknown`], with the nearest name.
    pub fn scenario(&self, name: &str) -> Result<(&Scenario, Digest), Unknown> {
        find(&self.scenarios, "scenario", name, |scenario| &scenario.name)
    }

    /// The fault plan of that name.
    ///
    /// # Errors
    /// [`Unknown`], with the nearest name.
    pub fn fault_plan(&self, name: &str) -> Result<(&FaultPlan, Digest), Unknown> {
        find(&self.fault_plans, "fault plan", name, |plan| &plan.name)
    }

    /// All scenarios with their digests, by name.
    pub fn scenarios(&self) -> impl Iterator<Item = (&Scenario, Digest)> {
        self.scenarios.iter().map(|(scenario, digest)| (scenario, *digest))
    }

    /// All fault plans with their digests, by name.
    pub fn fault_plans(&self) -> impl Iterator<Item = (&FaultPlan, Digest)> {
        self.fault_plans.iter().map(|(plan, digest)| (plan, *digest))
    }
}

/// Puts a lock's documents in the order of their names, each with its digest.
fn named<T>(
    dir: &Path,
    kind: &'static str,
    lock: Lock<T>,
    digest: fn(&T) -> Digest,
    name: fn(&T) -> &String,
) -> Result<Vec<(T, Digest)>, PackError> {
    let mut documents: Vec<(T, Digest)> = lock
        .documents
        .into_iter()
        .map(|document| (digest(&document), document))
        .map(|(d, document)| (document, d))
        .collect();
    documents.sort_by(|(a, _), (b, _)| name(a).cmp(name(b)));
    match documents.windows(2).find(|pair| name(&pair[0].0) == name(&pair[1].0)) {
        Some(pair) => Err(PackError::Twice { dir: dir.to_owned(), kind, name: name(&pair[0].0).clone() }),
        None => Ok(documents),
    }
}

fn find<'a, T>(
    documents: &'a [(T, Digest)],
    kind: &'static str,
    wanted: &str,
    name: fn(&T) -> &String,
) -> Result<(&'a T, Digest), Unknown> {
    if let Some((document, digest)) = documents.iter().find(|(document, _)| name(document) == wanted) {
        return Ok((document, *digest));
    }
    let known: Vec<String> = documents.iter().map(|(document, _)| name(document).clone()).collect();
    let near = near_name(wanted, known.iter().map(String::as_str)).map(str::to_owned);
    Err(Unknown { kind, name: wanted.to_owned(), near, known })
}
