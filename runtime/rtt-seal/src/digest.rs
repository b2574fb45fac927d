//! BLAKE3 digests, printed as 64 lower-case hexadecimal digits.
//!
//! SEAL-1  A digest has one text: what parses prints back as the same characters.
//!
//! Leaves domain separation to the caller: [`Digest::of`] hashes the bytes it gets and nothing else.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// BLAKE3 of some bytes: 32 bytes, any value is valid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestTextError {
    /// The text has the wrong length.
    #[error("digest has {found} characters, expected 64 lower-case hexadecimal digits")]
    Length {
        /// Characters found.
        found: usize,
    },
    /// A character is not one of `0-9a-f`.
    #[error("digest has {found:?} at character {at}, expected one of 0-9 or a-f")]
    Character {
        /// What was found.
        found: char,
        /// Position, counted from 0.
        at: usize,
    },
}

impl Digest {
    /// BLAKE3 of `bytes`, without a domain or a key.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    /// The first 16 of the 64 digits: for people and file names, never for a comparison that trust hangs on.
    pub fn short(&self) -> String {
        to_hex(&self.0[..8])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&to_hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestTextError;

    fn from_str(text: &str) -> Result<Digest, DigestTextError> {
        from_hex(text).map(Digest)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        deserializer.deserialize_str(DigestVisitor)
    }
}

/// Refuses inside the reader of the string, so that a JSON error stands at the digest and not behind its parent.
struct DigestVisitor;

impl de::Visitor<'_> for DigestVisitor {
    type Value = Digest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a digest, 64 lower-case hexadecimal digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
        text.parse().map_err(E::custom)
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[digit as usize]))
        .collect()
}

/// The `N` bytes that `2 N` lower-case hexadecimal digits stand for. SEAL-1: upper case has no meaning here.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], DigestTextError> {
    let mut bytes = [0; N];
    for (at, found) in text.chars().enumerate() {
        let digit = match found {
            '0'..='9' => found as u8 - b'0',
            'a'..='f' => found as u8 - b'a' + 10,
            _ => return Err(DigestTextError::Character { found, at }),
        };
        let Some(byte) = bytes.get_mut(at / 2) else {
            return Err(DigestTextError::Length { found: text.chars().count() });
        };
        *byte = *byte << 4 | digit;
    }
    if text.len() == 2 * N { Ok(bytes) } else { Err(DigestTextError::Length { found: text.len() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: the first two cases of BLAKE3's own test vectors (input lengths 0 and 1, the byte 0).
    #[test]
    fn known_digests() {
        for (bytes, text) in [
            (&b""[..], "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
            (&[0], "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
        ] {
            assert_eq!(Digest::of(bytes).to_string(), text);
            assert_eq!(Digest::of(bytes).short(), text[..16]);
        }
    }

    /// SEAL-1
    #[test]
    fn a_digest_has_one_text() {
        let digest = Digest::of(b"x");
        let text = digest.to_string();
        assert_eq!(text.parse(), Ok(digest));
        for (wrong, part) in [
            (text.to_uppercase(), "expected one of 0-9 or a-f"),
            (format!("{text}0"), "65 characters"),
            (text[1..].to_owned(), "63 characters"),
            (format!(" {}", &text[1..]), "' ' at character 0"),
            (String::new(), "0 characters"),
            ("é".repeat(32), "'é' at character 0"),
        ] {
            let error = wrong.parse::<Digest>().expect_err(&wrong).to_string();
            assert!(error.contains(part), "{wrong}: {error}");
        }
    }

    #[test]
    fn in_json_a_digest_is_a_string() {
        let json = serde_json::to_string(&Digest([0xab; 32])).expect("json");
        assert_eq!(json, format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<Digest>(&json).expect("digest"), Digest([0xab; 32]));
        assert!(serde_json::from_str::<Digest>("\"AB\"").is_err());
    }
}
