//! The public keys that a verifier trusts, and how many of them must have signed.

use crate::{KeyId, ReadKeyError, VerifyingKey};
use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Key files that one directory may hold.
const LIMIT: usize = 256;

/// Keys that are trusted, each once, and the threshold of distinct keys that must have signed (1 unless said).
#[derive(Debug, Clone)]
pub struct TrustedKeys {
    keys: BTreeMap<KeyId, VerifyingKey>,
    threshold: NonZeroUsize,
}

/// Why there is no set of trusted keys.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The directory cannot be read.
    #[error("cannot read the directory of trusted keys {}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory holds no key.
    #[error("no trusted key: {} holds no file *.pub; make a key or copy the signer's public key there", directory.display())]
    Empty {
        /// The directory.
        directory: PathBuf,
    },
    /// More key files than anybody can have meant.
    #[error("{} holds more than {LIMIT} files *.pub", directory.display())]
    TooMany {
        /// The directory.
        directory: PathBuf,
    },
    /// A key file is refused. All are refused with it: a directory with a bad key has been tampered with or half copied.
    #[error("a trusted key cannot be used")]
    Key(#[from] ReadKeyError),
    /// A file is named after another key.
    #[error("{}: it holds the key {id}, expected {id}.pub; rename it, or find out who put it there", path.display())]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// The key in it.
        id: KeyId,
    },
    /// Two keys have one id.
    #[error("two different trusted keys have the id {id}; remove one")]
    SameId {
        /// The id.
        id: KeyId,
    },
    /// More signatures are asked for than keys could give.
    #[error("{threshold} distinct keys must sign, but only {keys} are trusted")]
    Threshold {
        /// Distinct keys asked for.
        threshold: usize,
        /// Keys there are.
        keys: usize,
    },
}

impl TrustedKeys {
    /// Trusts these keys; one of them must have signed. A key given twice counts once.
    ///
    /// # Errors
    /// [`TrustError::SameId`].
    pub fn new(keys: impl IntoIterator<Item = VerifyingKey>) -> Result<TrustedKeys, TrustError> {
        let mut trusted = BTreeMap::new();
        for key in keys {
            let id = key.id();
            // Also the same point under two roles: each key has one role.
            if trusted.insert(id, key.clone()).is_some_and(|other| other != key) {
                return Err(TrustError::SameId { id });
            }
        }
        Ok(TrustedKeys { keys: trusted, threshold: NonZeroUsize::MIN })
    }

    /// Trusts every `*.pub` in `directory`; other files are not looked at.
    ///
    /// # Errors
    /// [`TrustError`]; one bad key refuses the directory.
    pub fn load_dir(directory: &Path) -> Result<TrustedKeys, TrustError> {
        let refuse = |source| TrustError::Directory { directory: directory.into(), source };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(refuse)? {
            let path = entry.map_err(refuse)?.path();
            if path.extension().is_some_and(|extension| extension == "pub") {
                paths.push(path);
            }
            if paths.len() > LIMIT {
                return Err(TrustError::TooMany { directory: directory.into() });
            }
        }
        if paths.is_empty() {
            return Err(TrustError::Empty { directory: directory.into() });
        }
        paths.sort(); // The first bad file is the same one in every run.
        let keys = paths.iter().map(|path| VerifyingKey::load(path)).collect::<Result<Vec<_>, _>>()?;
        // A key that is looked for, or removed, by its id must be found under it.
        let named =
            |path: &Path, key: &VerifyingKey| path.file_stem().is_some_and(|stem| *stem == *key.id().to_string());
        if let Some((path, key)) = paths.iter().zip(&keys).find(|(path, key)| !named(path, key)) {
            return Err(TrustError::Misnamed { path: path.clone(), id: key.id() });
        }
        TrustedKeys::new(keys)
    }

    /// Asks for signatures of `threshold` distinct keys.
    ///
    /// # Errors
    /// [`TrustError::Threshold`] where there are fewer keys.
    pub fn with_threshold(self, threshold: NonZeroUsize) -> Result<TrustedKeys, TrustError> {
        if threshold.get() > self.keys.len() {
            return Err(TrustError::Threshold { threshold: threshold.get(), keys: self.keys.len() });
        }
        Ok(TrustedKeys { threshold, ..self })
    }

    /// Distinct keys that must have signed.
    pub fn threshold(&self) -> usize {
        self.threshold.get()
    }

    /// The keys, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing_key::tests::fixed;

    #[test]
    fn every_public_key_of_a_directory_is_trusted() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        assert!(matches!(TrustedKeys::load_dir(directory.path()), Err(TrustError::Empty { .. })));
        assert!(matches!(TrustedKeys::load_dir(&at("none")), Err(TrustError::Directory { .. })));
        for seed in [1, 2] {
            let key = fixed(seed);
            key.public().save(&at(&format!("{}.pub", key.id()))).expect("saved");
        }
        std::fs::write(at("README"), "not a key").expect("written");
        let keys = TrustedKeys::load_dir(directory.path()).expect("keys");
        assert_eq!(keys.iter().count(), 2, "other files are not looked at");
        assert!(matches!(
            keys.with_threshold(NonZeroUsize::new(3).expect("three")),
            Err(TrustError::Threshold { threshold: 3, keys: 2 })
        ));
        // A key under another name is one that its owner would not find.
        let key = fixed(3);
        key.public().save(&at("a.pub")).expect("saved");
        let error = TrustedKeys::load_dir(directory.path()).expect_err("a misnamed key").to_string();
        assert!(error.contains("a.pub: it holds the key") && error.contains(&format!("{}.pub", key.id())), "{error}");
        std::fs::rename(at("a.pub"), at(&format!("{}.pub", key.id()))).expect("renamed");
        assert_eq!(TrustedKeys::load_dir(directory.path()).expect("keys").iter().count(), 3);
        // One bad key spoils the directory, and is named.
        std::fs::write(at("c.pub"), "x").expect("written");
        let error = TrustedKeys::load_dir(directory.path()).expect_err("a bad key");
        assert!(
            matches!(&error, TrustError::Key(ReadKeyError::Text { path, .. }) if path.ends_with("c.pub")),
            "{error:?}"
        );
    }
}
