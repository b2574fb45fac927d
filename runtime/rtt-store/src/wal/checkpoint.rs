//! A host's word about its log: so many records, with this root and this tip.
//!
//! Format, canonical JSON: `{"version":1,"origin":O,"size":"N","root":R,"tip":T}`, `O` the host's id, `N` decimal, `R` the
//! root of the Merkle tree over the first `N` records, `T` the digest of the last of them.

use rtt_seal::{Digest, Document, HostId};
use serde::Deserialize;

/// The state of a log at one moment. Signed by the host's key, which signs nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The host whose log it is.
    pub origin: HostId,
    /// Records in the log.
    pub size: u64,
    /// Root of the Merkle tree over them.
    pub root: Digest,
    /// Digest of the last record; of an empty log, what its first record will name as its parent.
    pub tip: Digest,
}

impl Checkpoint {
    /// The document's bytes.
    pub fn payload(&self) -> Vec<u8> {
        let Checkpoint { origin, size, root, tip } = self;
        format!(r#"{{"version":1,"origin":"{}","size":"{size}","root":"{root}","tip":"{tip}"}}"#, origin.0).into_bytes()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    version: u32,
    origin: Digest,
    size: String,
    root: Digest,
    tip: Digest,
}

impl<'de> Deserialize<'de> for Checkpoint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Checkpoint, D::Error> {
        use serde::de::Error;
        let fields = Fields::deserialize(deserializer)?;
        if fields.version != 1 {
            return Err(D::Error::custom(format!("version is {}, expected 1", fields.version)));
        }
        let size = fields.size.parse().map_err(|_| D::Error::custom("size: expected a decimal number below 2^64"))?;
        Ok(Checkpoint { origin: HostId(fields.origin), size, root: fields.root, tip: fields.tip })
    }
}

impl Document for Checkpoint {
    const PAYLOAD_TYPE: &'static str = "application/vnd.rtt.checkpoint.v1+json";

    fn check(&self, payload: &[u8]) -> Result<(), String> {
        // One state has one text, so that its digest names it.
        if self.payload() == payload { Ok(()) } else { Err("expected the canonical text of a checkpoint".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtt_seal::{Role, Sealed, SigningKey, TrustedKeys};

    #[test]
    fn a_checkpoint_is_verified_as_it_was_signed_and_has_one_text() {
        let checkpoint = Checkpoint {
            origin: HostId(Digest::of(b"h")),
            size: u64::MAX,
            root: Digest::of(b"r"),
            tip: Digest::of(b"t"),
        };
        let key = SigningKey::generate(Role::Host).expect("a key");
        let keys = TrustedKeys::new([key.public().clone()]).expect("keys");
        let sealed = Sealed::<Checkpoint>::sign(&checkpoint.payload(), &key).expect("signed");
        assert_eq!(*sealed.verify(&keys).expect("verified"), checkpoint);
        let text = String::from_utf8(checkpoint.payload()).expect("text");
        for other in [
            text.replace(":1,", ":2,"),
            text.replace("\"184", "\"0184"),
            text.replace("\"184", "\"984"),
            text.replace(",\"tip\"", ", \"tip\""),
            text.replace("}", ",\"more\":1}"),
        ] {
            assert_ne!(other, text);
            assert!(Sealed::<Checkpoint>::sign(other.as_bytes(), &key).is_err(), "{other}");
        }
        let planner = SigningKey::generate(Role::Planner).expect("a key");
        assert!(Sealed::<Checkpoint>::sign(text.as_bytes(), &planner).is_err(), "another role");
    }
}
