//! Public keys: Ed25519 points that are safe to trust, each bound to a role.
//!
//! File format, one line and a newline, single spaces: `rtt-public-key-v1 <role> <keyid> <base64 of 32 bytes>`.
//! The key id is the first 8 bytes of the BLAKE3 of those 32 bytes, as 16 hexadecimal digits.
//!
//! SEAL-3  A weak key (small order), a second encoding of a key, and a key with a torsion part are refused when made:
//!         under the identity key one signature fits many messages.
//! SEAL-4  Signatures are checked with `verify_strict` only.

use crate::Role;
use crate::digest::{from_hex, to_hex};
use crate::key_file::{self, ReadKeyError, SaveKeyError};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::Signature;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, path::Path, str::FromStr};

/// First word of a public key file.
pub(crate) const VERSION: &str = "rtt-public-key-v1";

/// Name of a key: a hint that narrows which keys are tried, never a reason to trust one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

/// Public half of a key, with the role it was made for. Never weak.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    key: ed25519_dalek::VerifyingKey,
    role: Role,
    id: KeyId,
}

/// Why a line is not a key. What was read is not repeated: it could be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// Not one line of four words, each apart by one space.
    #[error("expected one line `{version} <role> <keyid> <base64>` and a newline")]
    Shape {
        /// The first word expected.
        version: &'static str,
    },
    /// The first word is another.
    #[error("the line does not begin with `{version}`: another kind of file, or another version")]
    Version {
        /// The first word expected.
        version: &'static str,
    },
    /// The second word is no role.
    #[error(transparent)]
    Role(#[from] crate::UnknownRole),
    /// The third word is no key id.
    #[error("key id: expected 16 lower-case hexadecimal digits")]
    KeyId,
    /// The fourth word is not so many bytes of base64.
    #[error("key: expected {bytes} bytes in padded standard base64")]
    Base64 {
        /// Bytes expected.
        bytes: usize,
    },
    /// The key is encrypted, and no passphrase was given.
    #[error("the private key is encrypted: its passphrase is needed")]
    Encrypted {
        /// What the file says that the key may sign.
        role: Role,
    },
    /// Another passphrase, or another file.
    #[error("the passphrase does not fit, or the file was changed")]
    Passphrase,
    /// The bytes are not the one encoding of a point on the curve.
    #[error("key {id}: not the canonical encoding of a point on the curve")]
    NotAPoint {
        /// Id that the bytes would have.
        id: KeyId,
    },
    /// The point has small order: anybody can sign for it.
    #[error("key {id} is weak: its point has small order, so that anybody can sign for it; make a new key")]
    Weak {
        /// Id of the key.
        id: KeyId,
    },
    /// The point is outside the prime-order group, so that no honest key generation made it.
    #[error("key {id} is malformed: its point is outside the prime-order group; make a new key")]
    Torsion {
        /// Id of the key.
        id: KeyId,
    },
    /// The key id belongs to another key.
    #[error("the file says key id {stated}, but the key's id is {actual}: the file was changed")]
    KeyIdMismatch {
        /// Id in the file.
        stated: KeyId,
        /// Id of the key in the file.
        actual: KeyId,
    },
}

impl KeyId {
    /// The id as it stands in binary records.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    pub(crate) fn of(public: &[u8; 32]) -> KeyId {
        let mut id = [0; 8];
        id.copy_from_slice(&blake3::hash(public).as_bytes()[..8]);
        KeyId(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&to_hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeyId, D::Error> {
        deserializer.deserialize_str(KeyIdVisitor)
    }
}

/// Refuses inside the reader of the string, so that a JSON error stands at the key id and not behind its parent.
struct KeyIdVisitor;

impl de::Visitor<'_> for KeyIdVisitor {
    type Value = KeyId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key id, 16 lower-case hexadecimal digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<KeyId, E> {
        text.parse().map_err(E::custom)
    }
}

impl FromStr for KeyId {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<KeyId, KeyTextError> {
        from_hex(text).map(KeyId).map_err(|_| KeyTextError::KeyId)
    }
}

impl VerifyingKey {
    /// The key with these 32 bytes (RFC 8032 encoding).
    ///
    /// # Errors
    /// [`KeyTextError::NotAPoint`], [`KeyTextError::Weak`] or [`KeyTextError::Torsion`].
    pub fn from_bytes(bytes: &[u8; 32], role: Role) -> Result<VerifyingKey, KeyTextError> {
        let id = KeyId::of(bytes);
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyTextError::NotAPoint { id })?;
        let point = key.to_edwards();
        // SEAL-3. The library takes every encoding that ZIP-215 takes, the identity among them.
        if key.is_weak() {
            return Err(KeyTextError::Weak { id });
        }
        if point.compress().as_bytes() != bytes {
            return Err(KeyTextError::NotAPoint { id });
        }
        if !point.is_torsion_free() {
            return Err(KeyTextError::Torsion { id });
        }
        Ok(VerifyingKey { key, role, id })
    }

    /// Reads a public key file's text.
    ///
    /// # Errors
    /// [`KeyTextError`] where the text is not exactly one key line.
    pub fn from_line(line: &[u8]) -> Result<VerifyingKey, KeyTextError> {
        let line = key_file::parse_line(line, VERSION)?;
        let key = VerifyingKey::from_bytes(&line.bytes, line.role)?;
        key.expect_id(line.id)?;
        Ok(key)
    }

    /// Loads a public key file: a regular file (no symbolic link) that not everybody may write.
    ///
    /// # Errors
    /// [`ReadKeyError`], which names the file and what to do.
    pub fn load(path: &Path) -> Result<VerifyingKey, ReadKeyError> {
        let line = key_file::read(path, key_file::Access::Public)?;
        VerifyingKey::from_line(&line).map_err(|source| ReadKeyError::Text { path: path.into(), source })
    }

    /// Writes the public key file, with mode 0644. Never replaces a file.
    ///
    /// # Errors
    /// [`SaveKeyError`], also where the file exists.
    pub fn save(&self, path: &Path) -> Result<(), SaveKeyError> {
        key_file::write_new(path, self.to_line().as_bytes(), key_file::Access::Public)
    }

    /// The public key file's text.
    pub fn to_line(&self) -> String {
        format!("{VERSION} {} {} {}\n", self.role, self.id, STANDARD.encode(self.key.as_bytes()))
    }

    /// The 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Name of the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What the key may sign.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether this key made `signature` over exactly `message`.
    pub(crate) fn made(&self, signature: &[u8; 64], message: &[u8]) -> bool {
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok() // SEAL-4
    }

    pub(crate) fn expect_id(&self, stated: KeyId) -> Result<(), KeyTextError> {
        if stated == self.id { Ok(()) } else { Err(KeyTextError::KeyIdMismatch { stated, actual: self.id }) }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({} {})", self.role, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::from_hex;

    /// The encodings of the points of small order. Source: order 1, 2, 4 by hand; order 8 as listed in
    /// "Taming the many EdDSAs", Chalkias, Garillot and Nikolaenko 2020, table 6a, with their non-canonical twins.
    const SMALL_ORDER: &[&str] = &[
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];

    fn load(bytes: &[u8; 32]) -> Result<VerifyingKey, KeyTextError> {
        VerifyingKey::from_bytes(bytes, Role::Profile)
    }

    /// SEAL-3
    #[test]
    fn weak_keys_are_refused() {
        for hex in SMALL_ORDER {
            let bytes = from_hex(hex).expect("hexadecimal");
            // The library takes them all, so the refusal is ours.
            assert!(ed25519_dalek::VerifyingKey::from_bytes(&bytes).is_ok(), "{hex}");
            assert!(matches!(load(&bytes), Err(KeyTextError::Weak { .. })), "{hex}");
            let line = format!("{VERSION} profile {} {}\n", KeyId::of(&bytes), STANDARD.encode(bytes));
            let error = VerifyingKey::from_line(line.as_bytes()).expect_err(hex).to_string();
            assert!(error.contains("is weak"), "{error}");
        }
    }

    /// SEAL-3: y from p to 2^255 - 1 is a second name for a small y.
    #[test]
    fn second_encodings_are_refused() {
        let mut on_curve = 0;
        for (low, sign) in (0xed..=0xff_u8).flat_map(|low| [(low, 0x7f), (low, 0xff)]) {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, sign);
            on_curve += usize::from(ed25519_dalek::VerifyingKey::from_bytes(&bytes).is_ok());
            assert!(matches!(load(&bytes), Err(KeyTextError::NotAPoint { .. } | KeyTextError::Weak { .. })), "{low:x}");
        }
        assert!(on_curve > 4, "some are points that the library takes");
    }

    /// SEAL-3: seven of eight points on the curve are outside the prime-order group.
    #[test]
    fn points_outside_the_group_are_refused() {
        let (mut inside, mut outside) = (0, 0);
        for y in 2..=255_u8 {
            let mut bytes = [0; 32];
            bytes[0] = y;
            match load(&bytes) {
                Ok(_) => inside += 1,
                Err(KeyTextError::Torsion { .. }) => outside += 1,
                Err(error) => assert!(matches!(error, KeyTextError::NotAPoint { .. }), "{y}: {error}"),
            }
        }
        assert!(inside > 0 && outside > 3 * inside, "{inside} inside, {outside} outside");
    }

    #[test]
    fn a_key_line_has_one_form() {
        let key = load(crate::signing_key::tests::fixed(1).public().as_bytes()).expect("a key");
        let line = key.to_line();
        assert_eq!(VerifyingKey::from_line(line.as_bytes()), Ok(key.clone()));
        let other = crate::signing_key::tests::fixed(2).public().id().to_string();
        for (wrong, part) in [
            (line.trim_end().to_owned(), "and a newline"),
            (format!("{line}\n"), "and a newline"),
            (line.replace(' ', "  "), "expected one line"),
            (format!("{line}{line}"), "expected one line"),
            (line.replace("-v1", "-v2"), "another version"),
            (line.replace("public", "private"), "another kind of file"),
            (line.replace("profile", "plan"), "role `plan` is unknown"),
            (line.replace(&key.id().to_string(), "xyz"), "key id"),
            (line.replace(&key.id().to_string(), &other), "the file was changed"),
            (line.replace('=', ""), "padded standard base64"),
            (String::new(), "expected one line"),
        ] {
            let error = VerifyingKey::from_line(wrong.as_bytes()).expect_err(&wrong).to_string();
            assert!(error.contains(part), "{wrong}: {error}");
        }
    }
}
