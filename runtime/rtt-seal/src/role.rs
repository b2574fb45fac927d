//! What a key may sign.
//!
//! SEAL-6  A key signs, and its signature counts for, only the documents of its own role.

use std::{fmt, str::FromStr};

/// What a key may sign. A key of one role is worth nothing for the documents of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Trust documents: whose signatures count for everything else.
    Root,
    /// Plans: what a host obeys.
    Planner,
    /// Tuned profiles.
    Profile,
    /// Released builds.
    Release,
    /// A host's own checkpoints of its log, and nothing else: the one private key that a production host holds.
    Host,
}

/// A role that this build does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("role `{found}` is unknown, expected `root`, `planner`, `profile`, `release` or `host`")]
pub struct UnknownRole {
    /// What was read.
    pub found: String,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 5] = [Role::Root, Role::Planner, Role::Profile, Role::Release, Role::Host];

    /// The role's name in key files and trust documents.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Root => "root",
            Role::Planner => "planner",
            Role::Profile => "profile",
            Role::Release => "release",
            Role::Host => "host",
        }
    }

    /// The one kind of document that keys of this role sign.
    const fn document(self) -> &'static str {
        match self {
            Role::Root => "trust",
            Role::Planner => "plan",
            Role::Profile => "profile",
            Role::Release => "release",
            Role::Host => "checkpoint",
        }
    }

    /// Whether a key of this role may sign documents of `payload_type`: `application/vnd.rtt.<kind>.v<number>+json`,
    /// where the role has one kind and no two roles have the same.
    pub fn signs(self, payload_type: &str) -> bool {
        let version = payload_type
            .strip_prefix("application/vnd.rtt.")
            .and_then(|rest| rest.strip_prefix(self.document()))
            .and_then(|rest| rest.strip_prefix(".v"))
            .and_then(|rest| rest.strip_suffix("+json"));
        version.is_some_and(|version| !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Role, UnknownRole> {
        let found = Role::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| UnknownRole { found: crate::strict_json::printable(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEAL-6: each role signs one kind of document, in any version, and no other role signs that kind.
    #[test]
    fn a_role_signs_its_own_documents_only() {
        for (kind, role) in [
            ("trust", Role::Root),
            ("plan", Role::Planner),
            ("profile", Role::Profile),
            ("release", Role::Release),
            ("checkpoint", Role::Host),
        ] {
            for signer in Role::ALL {
                for (payload_type, of_kind) in [
                    (format!("application/vnd.rtt.{kind}.v1+json"), true),
                    (format!("application/vnd.rtt.{kind}.v12+json"), true),
                    (format!("application/vnd.rtt.{kind}.v+json"), false),
                    (format!("application/vnd.rtt.{kind}.vx+json"), false),
                    (format!("application/vnd.rtt.{kind}s.v1+json"), false),
                    (format!("application/vnd.rtt.{kind}.v1"), false),
                    (format!("application/vnd.rtt.{kind}.v1+json "), false),
                    (format!("application/vnd.rtt.{}.v1+json", kind.to_uppercase()), false),
                ] {
                    assert_eq!(signer.signs(&payload_type), of_kind && signer == role, "{signer}: {payload_type}");
                }
            }
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert!(!Role::Profile.signs(""));
        assert_eq!(
            "plan".parse::<Role>().expect_err("no role").to_string(),
            "role `plan` is unknown, expected `root`, `planner`, `profile`, `release` or `host`"
        );
    }
}
