//! The versions of the trust document that this host has followed, in one directory: `1.json`, `2.json`, ...
//!
//! SEAL-16  What the directory holds is the walk itself: each version is checked against the one before whenever it is
//!          read, nothing is written before a whole walk was checked, and the last version never goes back.
//!
//! The first version is the anchor: whoever puts it there vouches for it. A directory that is put back whole is seen by
//! the version that the host's log remembers.

use crate::{Role, Sealed, TrustRoot, TrustRootError, TrustedKeys, Verified, key_file};
use rustix::fs::{Mode, OFlags, fstat};
use std::io;
use std::path::{Path, PathBuf};

/// Versions that one directory may hold.
const LIMIT: u64 = 10_000;

/// The trust of this host: the last version of its walk.
#[derive(Debug)]
pub struct TrustStore {
    directory: PathBuf,
    current: Verified<TrustRoot>,
}

/// Why there is no trust, or none newer.
#[derive(Debug, thiserror::Error)]
pub enum TrustStoreError {
    /// Nothing was put there yet.
    #[error("no trust in {}: make one with `rtt key init`, or put another host's there", directory.display())]
    Empty {
        /// The directory.
        directory: PathBuf,
    },
    /// Trust is there already.
    #[error("{} holds trust already, and it is never begun anew; change it with `rtt key rotate`", directory.display())]
    Exists {
        /// The directory.
        directory: PathBuf,
    },
    /// Others may write where trust is read from.
    #[error(
        "the directory of trust {} has mode {mode:04o} and belongs to user {owner}: expected one of user {user} or root that \
         nobody else may write, so that nobody else chooses whom you trust", directory.display()
    )]
    Writable {
        /// The directory.
        directory: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its owner.
        owner: u32,
        /// Who runs this.
        user: u32,
    },
    /// A file cannot be read or written.
    #[error("cannot reach {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what `rtt` puts there.
    #[error("{} is refused", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// Why.
        source: crate::LoadError,
    },
    /// A version is not followed.
    #[error("{} is refused", path.display())]
    Refused {
        /// The file, or the directory for what came from elsewhere.
        path: PathBuf,
        /// Why.
        source: Box<TrustRootError>,
    },
    /// A version is missing between others.
    #[error("{} is missing, though later versions are known: copy it from where you got them", path.display())]
    Gap {
        /// The file.
        path: PathBuf,
    },
}

impl TrustStore {
    /// Begins with a first version that its own root keys signed.
    ///
    /// # Errors
    /// [`TrustStoreError`]; nothing is written then.
    pub fn begin(directory: &Path, first: Sealed<TrustRoot>, now_unix_s: u64) -> Result<TrustStore, TrustStoreError> {
        let refused = |source| TrustStoreError::Refused { path: directory.into(), source: Box::new(source) };
        let current = TrustRoot::first(first.clone()).map_err(refused)?;
        current.check_time(now_unix_s).map_err(refused)?;
        match versions(directory) {
            Ok(found) if found.is_empty() => {}
            Ok(_) => return Err(TrustStoreError::Exists { directory: directory.into() }),
            Err(TrustStoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        save(directory, 1, &first)?;
        Ok(TrustStore { directory: directory.into(), current })
    }

    /// Walks the versions of the directory. Expiry is not looked at: [`TrustStore::trusted`] asks the last version.
    ///
    /// # Errors
    /// [`TrustStoreError`], which names the file.
    pub fn load(directory: &Path) -> Result<TrustStore, TrustStoreError> {
        TrustStore::walk(directory, LIMIT)
    }

    /// The trust as it was in force with this version, for what was signed then.
    ///
    /// # Errors
    /// [`TrustStoreError`]; [`TrustStoreError::Gap`] for a version that was not followed here yet.
    pub fn load_at(directory: &Path, version: u64) -> Result<TrustStore, TrustStoreError> {
        let then = TrustStore::walk(directory, version)?;
        if then.current.version == version {
            return Ok(then);
        }
        Err(TrustStoreError::Gap { path: path_of(directory, version) })
    }

    fn walk(directory: &Path, until: u64) -> Result<TrustStore, TrustStoreError> {
        let empty = || TrustStoreError::Empty { directory: directory.into() };
        let found = versions(directory).map_err(|error| match error {
            TrustStoreError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => empty(),
            error => error,
        })?;
        let last = (*found.last().ok_or_else(empty)?).min(until);
        check_directory(directory)?;
        let mut current: Option<Verified<TrustRoot>> = None;
        for version in 1..=last {
            let path = path_of(directory, version);
            if !found.contains(&version) {
                return Err(TrustStoreError::Gap { path });
            }
            let sealed = Sealed::load(&path).map_err(|source| TrustStoreError::Load { path: path.clone(), source })?;
            let next = match &current {
                None => TrustRoot::first(sealed),
                Some(current) => current.succeed(sealed), // SEAL-16
            };
            current = Some(next.map_err(|source| TrustStoreError::Refused { path, source: Box::new(source) })?);
        }
        Ok(TrustStore { directory: directory.into(), current: current.ok_or_else(empty)? })
    }

    /// Follows the versions after the current one, in their order; those that were followed before are passed over where
    /// they are the same. All are checked, and the last one's time too, before the first is written.
    ///
    /// # Errors
    /// [`TrustStoreError`]; the trust is then what it was.
    pub fn follow(
        &mut self,
        versions: impl IntoIterator<Item = Sealed<TrustRoot>>,
        now_unix_s: u64,
    ) -> Result<(), TrustStoreError> {
        let refused = |source| TrustStoreError::Refused { path: self.directory.clone(), source: Box::new(source) };
        let mut walk: Vec<(u64, Sealed<TrustRoot>)> = Vec::new();
        let mut current = self.current.clone();
        for sealed in versions {
            let told = sealed.unproven().ok();
            if told.is_some_and(|told| told.version <= self.current.version && self.holds(&sealed, told.version)) {
                continue;
            }
            current = current.succeed(sealed.clone()).map_err(refused)?;
            walk.push((current.version, sealed));
        }
        current.check_time(now_unix_s).map_err(refused)?;
        for (version, sealed) in &walk {
            save(&self.directory, *version, sealed)?; // SEAL-16: after every check, in order, so that any prefix is a walk.
        }
        self.current = current;
        Ok(())
    }

    /// The trust document in force.
    pub fn current(&self) -> &Verified<TrustRoot> {
        &self.current
    }

    /// The keys of a role, while the trust document has not expired.
    ///
    /// # Errors
    /// [`TrustRootError`].
    pub fn trusted(&self, role: Role, now_unix_s: u64) -> Result<TrustedKeys, TrustRootError> {
        self.current.trusted(role, now_unix_s)
    }

    /// Files of the walk, oldest first: what another host follows.
    pub fn files(&self) -> Vec<PathBuf> {
        (1..=self.current.version).map(|version| path_of(&self.directory, version)).collect()
    }

    /// Whether this version was followed with the same payload; its signatures may be others.
    fn holds(&self, sealed: &Sealed<TrustRoot>, version: u64) -> bool {
        let payload = |sealed: &Sealed<TrustRoot>| sealed.unproven().ok().map(|document| document.to_canonical());
        let own = Sealed::load(&path_of(&self.directory, version));
        own.is_ok_and(|own| payload(&own).is_some() && payload(&own) == payload(sealed))
    }
}

fn path_of(directory: &Path, version: u64) -> PathBuf {
    directory.join(format!("{version}.json"))
}

/// The versions that stand in the directory, sorted. Other names are not looked at.
fn versions(directory: &Path) -> Result<Vec<u64>, TrustStoreError> {
    let fail = |source| TrustStoreError::Io { path: directory.into(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_suffix(".json")).and_then(|text| text.parse::<u64>().ok());
        let own = |number: &u64| (1..=LIMIT).contains(number) && *name == *format!("{number}.json");
        found.extend(number.filter(own));
    }
    found.sort();
    Ok(found)
}

/// Nobody else may put files where trust is read from. The files themselves are signed.
fn check_directory(directory: &Path) -> Result<(), TrustStoreError> {
    let fail = |errno: rustix::io::Errno| TrustStoreError::Io { path: directory.into(), source: errno.into() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let stat = fstat(rustix::fs::open(directory, flags, Mode::empty()).map_err(fail)?).map_err(fail)?;
    let (mode, user) = (stat.st_mode & 0o7777, rustix::process::geteuid().as_raw());
    if mode & 0o022 != 0 || ![0, user].contains(&stat.st_uid) {
        return Err(TrustStoreError::Writable { directory: directory.into(), mode, owner: stat.st_uid, user });
    }
    Ok(())
}

/// Writes a version, which must not be there yet.
fn save(directory: &Path, version: u64, sealed: &Sealed<TrustRoot>) -> Result<(), TrustStoreError> {
    let path = path_of(directory, version);
    key_file::write_whole(&path, sealed.as_bytes(), (0o644, 0o755), key_file::publish)
        .map_err(|source| TrustStoreError::Io { path, source })
}

#[cfg(test)]
mod tests;
