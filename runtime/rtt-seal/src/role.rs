//! What a key may sign.
//!
//! SEAL-6  A key signs, and its signature counts for, only the documents of its own role.

use std::{fmt, str::FromStr};

/// What a key may sign. A key of one role is worth nothing for the documents of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Tuned profiles.
    Profile,
}

/// A role that this build does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("role `{found}` is unknown, expected `profile`")]
pub struct UnknownRole {
    /// What was read.
    pub found: String,
}

impl Role {
    /// The role's name in key files.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Profile => "profile",
        }
    }

    /// Whether a key of this role may sign documents of `payload_type`: `application/vnd.rtt.<role>.v<number>+json`.
    pub fn signs(self, payload_type: &str) -> bool {
        let version = payload_type
            .strip_prefix("application/vnd.rtt.")
            .and_then(|rest| rest.strip_prefix(self.name()))
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
        match text {
            "profile" => Ok(Role::Profile),
            _ => Err(UnknownRole { found: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_signs_its_own_documents_only() {
        for (payload_type, signs) in [
            ("application/vnd.rtt.profile.v1+json", true),
            ("application/vnd.rtt.profile.v12+json", true),
            ("application/vnd.rtt.plan.v1+json", false),
            ("application/vnd.rtt.profile.v+json", false),
            ("application/vnd.rtt.profile.vx+json", false),
            ("application/vnd.rtt.profiles.v1+json", false),
            ("application/vnd.rtt.profile.v1", false),
            ("", false),
        ] {
            assert_eq!(Role::Profile.signs(payload_type), signs, "{payload_type}"); // SEAL-6
        }
        assert_eq!("profile".parse(), Ok(Role::Profile));
        assert_eq!(
            "plan".parse::<Role>().expect_err("later").to_string(),
            "role `plan` is unknown, expected `profile`"
        );
    }
}
