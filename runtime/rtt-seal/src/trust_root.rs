//! The trust document: which keys may sign what, how many of them must, until when, and which never again.
//!
//! Canonical JSON like every signed document, of type [`TrustRoot::PAYLOAD_TYPE`], signed by keys of the role `root`. It is
//! replaced by the next version only, which a threshold of the old and a threshold of the new root keys sign.
//!
//! SEAL-13  A trust document holds together: each role has at least as many keys as must sign, no key stands twice, none
//!          is revoked, and it ends.
//! SEAL-14  A version is followed by the next number alone, signed by a threshold of the old root keys and by one of the
//!          new, and what was revoked stays revoked.
//! SEAL-15  An expired trust document gives no keys.
//!
//! Where versions are kept is `trust_store`'s. The shape follows The Update Framework, specification 1.0.33, sections
//! 5.3 and 6.1.

use crate::{
    Digest, Document, KeyId, KeyTextError, Role, SealError, Sealed, TrustError, TrustedKeys, Verified, VerifyingKey,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

/// Whose signatures count for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustRoot {
    /// Version of this format: 1.
    pub schema: u32,
    /// Version of the trust: 1 for the first, one more with each change.
    #[serde(with = "crate::decimal")]
    pub version: u64,
    /// From when on it gives no keys, in seconds of Unix time.
    pub expires_unix_s: u64,
    /// How many distinct keys of a role must sign; one entry for each role that has keys, by the role's name.
    pub thresholds: BTreeMap<String, u32>,
    /// The keys, sorted by role and id.
    pub keys: Vec<TrustedKey>,
    /// Ids of keys that are never trusted again, sorted.
    pub revoked: Vec<KeyId>,
}

/// One key of a trust document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// Its role, by name.
    pub role: String,
    /// The public half: 32 bytes in padded standard base64.
    pub key: String,
}

/// Why a trust document is not followed, or not followed by another.
#[derive(Debug, thiserror::Error)]
pub enum TrustRootError {
    /// Not signed as it must be, or malformed.
    #[error("trust version {version}: not signed by enough of the {whose} root keys")]
    Seal {
        /// The version that was asked for.
        version: u64,
        /// `old` or `new`.
        whose: &'static str,
        /// Why.
        source: Box<SealError>,
    },
    /// Another version than the next one.
    #[error("trust version is {found}, expected {expected}: versions follow one by one and never go back")]
    Version {
        /// What the document says.
        found: u64,
        /// What was expected.
        expected: u64,
    },
    /// A key that was revoked is no longer listed.
    #[error("trust version {version} no longer lists the key {id} as revoked, expected that it stays so")]
    Unrevoked {
        /// The version.
        version: u64,
        /// The key.
        id: KeyId,
    },
    /// Its time is over.
    #[error(
        "trust version {version} expired at {expires_unix_s}, it is {now_unix_s} (seconds of Unix time): `rtt key rotate --days N` renews it"
    )]
    Expired {
        /// The version.
        version: u64,
        /// When it expired.
        expires_unix_s: u64,
        /// The time that was given.
        now_unix_s: u64,
    },
    /// No key of that role.
    #[error("trust version {version} has no key of the role `{role}`")]
    NoKey {
        /// The version.
        version: u64,
        /// The role.
        role: Role,
    },
    /// Two keys with one id, which no honest hand made.
    #[error(transparent)]
    Keys(#[from] TrustError),
}

impl TrustedKey {
    /// The entry of `key`.
    pub fn of(key: &VerifyingKey) -> TrustedKey {
        TrustedKey { role: key.role().name().to_owned(), key: STANDARD.encode(key.as_bytes()) }
    }

    /// The key that it stands for: never weak (SEAL-3).
    ///
    /// # Errors
    /// [`KeyTextError`].
    pub fn to_key(&self) -> Result<VerifyingKey, KeyTextError> {
        let role: Role = self.role.parse()?;
        let bytes = STANDARD.decode(&self.key).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        VerifyingKey::from_bytes(&bytes.ok_or(KeyTextError::Base64 { bytes: 32 })?, role)
    }
}

impl TrustRoot {
    /// Version of the format that this build reads and writes.
    pub const SCHEMA: u32 = 1;
    /// Keys that a trust document may hold.
    const KEYS_MAX: usize = 1_024;
    /// Latest expiry, in seconds of Unix time: what every JSON reader takes for an exact integer.
    const TIME_MAX_S: u64 = (1 << 53) - 1;

    /// A document with these keys, sorted as they must be. A key given twice counts once; `revoked` ones are left out.
    pub fn new(
        version: u64,
        expires_unix_s: u64,
        thresholds: &BTreeMap<Role, u32>,
        keys: impl IntoIterator<Item = VerifyingKey>,
        revoked: BTreeSet<KeyId>,
    ) -> TrustRoot {
        let keys: BTreeMap<(Role, KeyId), VerifyingKey> = keys
            .into_iter()
            .filter(|key| !revoked.contains(&key.id()))
            .map(|key| ((key.role(), key.id()), key))
            .collect();
        let roles: BTreeSet<Role> = keys.keys().map(|(role, _)| *role).collect();
        let threshold = |role| (role, thresholds.get(&role).copied().unwrap_or(1));
        TrustRoot {
            schema: TrustRoot::SCHEMA,
            version,
            expires_unix_s,
            thresholds: roles.into_iter().map(threshold).map(|(role, count)| (role.name().to_owned(), count)).collect(),
            keys: keys.values().map(TrustedKey::of).collect(),
            revoked: revoked.into_iter().collect(),
        }
    }

    /// The one text of this document: what is signed.
    pub fn to_canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a trust document is strings and integers")
    }

    /// The distinct keys that may sign for `role`, and how many of them must.
    ///
    /// # Errors
    /// [`TrustRootError::Expired`] from the time of expiry on, [`TrustRootError::NoKey`].
    pub fn trusted(&self, role: Role, now_unix_s: u64) -> Result<TrustedKeys, TrustRootError> {
        self.check_time(now_unix_s)?;
        self.trusted_at_any_time(role)
    }

    /// Whether it still gives keys.
    ///
    /// # Errors
    /// [`TrustRootError::Expired`].
    pub fn check_time(&self, now_unix_s: u64) -> Result<(), TrustRootError> {
        let TrustRoot { version, expires_unix_s, .. } = *self;
        if now_unix_s < expires_unix_s {
            return Ok(());
        }
        Err(TrustRootError::Expired { version, expires_unix_s, now_unix_s }) // SEAL-15
    }

    /// Every key.
    ///
    /// # Errors
    /// [`KeyTextError`] for the first that is none; [`Document::check`] has refused such a document before.
    pub fn all_keys(&self) -> Result<Vec<VerifyingKey>, KeyTextError> {
        self.keys.iter().map(TrustedKey::to_key).collect()
    }

    /// Takes the first version, which its own root keys sign. Nothing older vouches for it: compare its digest with the
    /// one that its makers tell.
    ///
    /// # Errors
    /// [`TrustRootError`].
    pub fn first(sealed: Sealed<TrustRoot>) -> Result<Verified<TrustRoot>, TrustRootError> {
        let verified = TrustRoot::signed_by_itself(sealed, 1)?;
        if verified.version == 1 {
            Ok(verified)
        } else {
            Err(TrustRootError::Version { found: verified.version, expected: 1 })
        }
    }

    /// Takes the version after this one. Its expiry is not looked at: whoever was away for long walks through versions
    /// that are over, and asks the last one for its time.
    ///
    /// # Errors
    /// [`TrustRootError`].
    pub fn succeed(&self, next: Sealed<TrustRoot>) -> Result<Verified<TrustRoot>, TrustRootError> {
        let expected =
            self.version.checked_add(1).ok_or(TrustRootError::Version { found: u64::MAX, expected: u64::MAX })?;
        // SEAL-14: the old keys first, so that nothing a stranger wrote is parsed.
        let old = self.trusted_at_any_time(Role::Root)?;
        let seal = |source| TrustRootError::Seal { version: expected, whose: "old", source: Box::new(source) };
        let told = next.clone().verify(&old).map_err(seal)?;
        if told.version != expected {
            return Err(TrustRootError::Version { found: told.version, expected });
        }
        if let Some(&id) = self.revoked.iter().find(|id| !told.revoked.contains(id)) {
            return Err(TrustRootError::Unrevoked { version: expected, id });
        }
        TrustRoot::signed_by_itself(next, expected)
    }

    fn signed_by_itself(sealed: Sealed<TrustRoot>, version: u64) -> Result<Verified<TrustRoot>, TrustRootError> {
        let seal = |source| TrustRootError::Seal { version, whose: "new", source: Box::new(source) };
        // Whose keys these are, only the document itself can say; it is not acted on until they have signed it.
        let own = sealed.unproven().map_err(seal)?.trusted_at_any_time(Role::Root)?;
        sealed.verify(&own).map_err(seal)
    }

    fn trusted_at_any_time(&self, role: Role) -> Result<TrustedKeys, TrustRootError> {
        let missing = || TrustRootError::NoKey { version: self.version, role };
        let keys = self.keys.iter().filter(|key| key.role == role.name()).filter_map(|key| key.to_key().ok());
        let keys: Vec<_> = keys.filter(|key| !self.revoked.contains(&key.id())).collect();
        let threshold = self.thresholds.get(role.name()).and_then(|count| NonZeroUsize::new(*count as usize));
        if keys.is_empty() {
            return Err(missing());
        }
        Ok(TrustedKeys::new(keys)?.with_threshold(threshold.ok_or_else(missing)?)?)
    }

    /// SEAL-13. [`Document::check`] adds the canonical form.
    fn check_fields(&self) -> Result<(), String> {
        if self.schema != TrustRoot::SCHEMA {
            return Err(format!("schema is {}, expected {}", self.schema, TrustRoot::SCHEMA));
        }
        if self.version == 0 || !(1..=TrustRoot::TIME_MAX_S).contains(&self.expires_unix_s) {
            return Err(format!(
                "version is {}, expires_unix_s is {}: expected both at least 1",
                self.version, self.expires_unix_s
            ));
        }
        if self.keys.len() > TrustRoot::KEYS_MAX || self.revoked.len() > TrustRoot::KEYS_MAX {
            return Err(format!("keys are {}, revoked {}: expected at most 1024", self.keys.len(), self.revoked.len()));
        }
        if !self.revoked.is_sorted_by(|a, b| a < b) {
            return Err("revoked are not sorted, expected each id once, in order".into());
        }
        let mut names: Vec<(Role, KeyId)> = Vec::new();
        for (index, entry) in self.keys.iter().enumerate() {
            let key = entry.to_key().map_err(|error| format!("keys[{index}]: {error}"))?;
            if self.revoked.contains(&key.id()) {
                return Err(format!("keys[{index}]: {} is revoked, expected a key that is not", key.id()));
            }
            if names.iter().any(|(_, id)| *id == key.id()) {
                return Err(format!("keys[{index}]: {} stands there twice, expected one role for each key", key.id()));
            }
            names.push((key.role(), key.id()));
        }
        if !names.is_sorted() {
            return Err("keys are not sorted, expected the order of roles and ids".into());
        }
        self.check_thresholds(&names)
    }

    fn check_thresholds(&self, names: &[(Role, KeyId)]) -> Result<(), String> {
        for name in self.thresholds.keys() {
            name.parse::<Role>().map_err(|error| format!("thresholds: {error}"))?;
        }
        for role in Role::ALL {
            let keys = names.iter().filter(|(own, _)| *own == role).count();
            match (keys, self.thresholds.get(role.name())) {
                (0, None) if role == Role::Root => return Err("keys hold none of the role `root`, expected one".into()),
                (0, None) => {}
                (keys, Some(count)) if (1..=keys).contains(&(*count as usize)) => {}
                (keys, count) => {
                    let count = count.map_or_else(|| "missing".to_owned(), u32::to_string);
                    return Err(format!("thresholds.{role} is {count}, expected 1..={keys}, as many keys as it has"));
                }
            }
        }
        Ok(())
    }
}

impl Document for TrustRoot {
    const PAYLOAD_TYPE: &'static str = "application/vnd.rtt.trust.v1+json";

    fn check(&self, payload: &[u8]) -> Result<(), String> {
        self.check_fields()?;
        if self.to_canonical() == payload {
            return Ok(());
        }
        Err(format!("not in canonical form: expected the text with digest {}", Digest::of(&self.to_canonical())))
    }
}

#[cfg(test)]
pub(crate) mod tests;
