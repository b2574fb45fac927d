//! Which host a plan is for, and whose log a checkpoint speaks of.
//!
//! A host is its host key, made once on the host: equal machines share a fingerprint, and an image that was copied shares
//! everything but what is made afterwards.
//!
//! SEAL-11  A host's id is the digest of its host key's public half: only a key of the role `host` has one.

use crate::{Digest, DigestTextError, Role, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// BLAKE3 of the public half of a host key. Its first 16 digits are that key's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub Digest);

impl HostId {
    /// The host that holds the private half of `key`; `None` where the key has another role.
    pub fn of(key: &VerifyingKey) -> Option<HostId> {
        (key.role() == Role::Host).then(|| HostId(Digest::of(key.as_bytes()))) // SEAL-11
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for HostId {
    type Err = DigestTextError;

    fn from_str(text: &str) -> Result<HostId, DigestTextError> {
        text.parse().map(HostId)
    }
}

impl Serialize for HostId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HostId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HostId, D::Error> {
        Digest::deserialize(deserializer).map(HostId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    /// SEAL-11
    #[test]
    fn a_host_is_its_host_key() {
        let key = SigningKey::generate(Role::Host).expect("random bytes");
        let id = HostId::of(key.public()).expect("a host key");
        assert_eq!(id.0, Digest::of(key.public().as_bytes()));
        assert_eq!(id.to_string()[..16], key.id().to_string());
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(HostId::of(SigningKey::generate(Role::Host).expect("random bytes").public()), Some(id));
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Host) {
            let same = VerifyingKey::from_bytes(key.public().as_bytes(), role).expect("a key");
            assert_eq!(HostId::of(&same), None, "{role}");
        }
    }
}
