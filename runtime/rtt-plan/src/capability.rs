//! What a plan may touch, and what a host lets plans touch.
//!
//! A capability has one text: `files:*`, `files:etc/app` (that file, and all below that directory), `rings:*`,
//! `rings:feed`, `profile:*`.
//!
//! PLAN-2  An op is covered by a capability of its own plan, and each of these by the host's policy: a plan does not
//!         borrow the authority of the program that carries it out.

use crate::item::{ItemName, ItemPath, as_text, is_below};
use crate::op::Op;
use rtt_seal::Digest;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Leave to change some items of one participant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability {
    participant: &'static str,
    /// Path prefix or name; `None` for every item.
    scope: Option<String>,
}

/// A text is no capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("capability {found:.80?}: expected `files:*`, `files:PATH`, `rings:*`, `rings:NAME` or `profile:*`")]
pub struct CapabilityError {
    /// What was read.
    pub found: String,
}

/// What a host lets plans do. Plans name its digest, so that one that was made under another policy is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Version of this format: 1.
    pub version: u32,
    /// What plans may touch.
    pub grants: Vec<Capability>,
}

impl Capability {
    /// Whether it gives leave for everything that `other` does.
    pub fn covers(&self, other: &Capability) -> bool {
        let within = match (&self.scope, &other.scope) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(scope)) => self.holds(own, scope),
        };
        self.participant == other.participant && within
    }

    /// Whether it gives leave for `op`.
    pub fn allows(&self, op: &Op) -> bool {
        let within = self.scope.as_ref().is_none_or(|own| self.holds(own, op.item()));
        self.participant == op.participant() && within
    }

    fn holds(&self, own: &str, item: &str) -> bool {
        if self.participant == Op::FILES { is_below(item, own) } else { own == item }
    }
}

impl Policy {
    /// A policy that lets plans do all that there are ops for.
    pub fn everything() -> Policy {
        let grants = Op::PARTICIPANTS.map(|participant| Capability { participant, scope: None });
        Policy { version: 1, grants: grants.to_vec() }
    }

    /// Whether it gives leave for everything that `capability` does.
    pub fn grants(&self, capability: &Capability) -> bool {
        self.grants.iter().any(|grant| grant.covers(capability)) // PLAN-2
    }

    /// The one text of this policy.
    pub fn to_canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a policy is numbers and strings")
    }

    /// What a plan names it by.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_canonical())
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.participant, self.scope.as_deref().unwrap_or("*"))
    }
}

impl FromStr for Capability {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Capability, CapabilityError> {
        let parts = text.split_once(':').and_then(|(name, scope)| {
            let participant = Op::PARTICIPANTS.into_iter().find(|known| *known == name)?;
            let known = match participant {
                _ if scope == "*" => return Some(Capability { participant, scope: None }),
                Op::FILES => scope.parse::<ItemPath>().is_ok(),
                Op::RINGS => scope.parse::<ItemName>().is_ok(),
                _ => false,
            };
            known.then(|| Capability { participant, scope: Some(scope.to_owned()) })
        });
        parts.ok_or_else(|| CapabilityError { found: text.to_owned() })
    }
}

as_text! { Capability }

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(text: &str) -> Capability {
        text.parse().expect(text)
    }

    #[test]
    fn a_capability_has_one_text() {
        for text in ["files:*", "files:etc/app", "rings:*", "rings:feed", "profile:*"] {
            assert_eq!(capability(text).to_string(), text);
        }
        for wrong in
            ["", "*", "files", "files:", "files:/etc", "files:../a", "rings:A", "profile:active", "disk:*", "Files:*"]
        {
            assert!(wrong.parse::<Capability>().is_err(), "{wrong}");
        }
    }

    /// PLAN-2: a narrow grant never covers a wider wish.
    #[test]
    fn a_capability_covers_what_lies_in_it() {
        for (grant, wish, covers) in [
            ("files:*", "files:*", true),
            ("files:*", "files:etc", true),
            ("files:etc", "files:etc", true),
            ("files:etc", "files:etc/a/b", true),
            ("files:etc", "files:etcetera", false),
            ("files:etc/a", "files:etc", false),
            ("files:etc", "files:*", false),
            ("files:*", "rings:*", false),
            ("rings:feed", "rings:feed", true),
            ("rings:feed", "rings:feed2", false),
            ("rings:feed", "rings:*", false),
            ("profile:*", "profile:*", true),
        ] {
            assert_eq!(capability(grant).covers(&capability(wish)), covers, "{grant} covers {wish}");
            let policy = Policy { version: 1, grants: vec![capability("rings:other"), capability(grant)] };
            assert_eq!(policy.grants(&capability(wish)), covers, "policy {grant}, wish {wish}");
        }
        assert!(!Policy { version: 1, grants: vec![] }.grants(&capability("profile:*")));
        assert_ne!(Policy::everything().digest(), Policy { version: 1, grants: vec![] }.digest());
    }
}
