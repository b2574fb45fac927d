//! A build of the runtime: `1.20.3`, ordered by its three numbers, so that a host can tell a downgrade.

use crate::item::as_text;
use std::{fmt, str::FromStr};

/// Version of the runtime that a plan was made for, or that a host runs. Each number is below 65 536.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Build {
    /// Major version.
    pub major: u16,
    /// Minor version.
    pub minor: u16,
    /// Patch.
    pub patch: u16,
}

/// A text is no build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("build {found:.80?}: expected three numbers below 65536 apart by dots, as `0.1.0`")]
pub struct BuildError {
    /// What was read.
    pub found: String,
}

impl Build {
    /// One number in the order of builds, for binary records.
    pub const fn to_u64(self) -> u64 {
        (self.major as u64) << 32 | (self.minor as u64) << 16 | self.patch as u64
    }

    /// The build that [`Build::to_u64`] made `number` of.
    pub const fn from_u64(number: u64) -> Option<Build> {
        if number >> 48 != 0 {
            return None;
        }
        Some(Build { major: (number >> 32) as u16, minor: (number >> 16) as u16, patch: number as u16 })
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Build {
    type Err = BuildError;

    fn from_str(text: &str) -> Result<Build, BuildError> {
        let mut numbers = text.split('.').map(|part| part.parse::<u16>().ok());
        let build = match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) => Some(Build { major, minor, patch }),
            _ => None,
        };
        build.filter(|build| build.to_string() == text).ok_or_else(|| BuildError { found: text.to_owned() })
    }
}

as_text! { Build }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_are_ordered_as_their_numbers_and_have_one_text() {
        let build = |text: &str| text.parse::<Build>().expect(text);
        let ordered = ["0.0.0", "0.0.9", "0.0.10", "0.1.0", "0.10.0", "1.0.0", "65535.65535.65535"].map(build);
        assert!(ordered.is_sorted_by(|a, b| a < b && a.to_u64() < b.to_u64()));
        assert!(ordered.iter().all(|each| Build::from_u64(each.to_u64()) == Some(*each)));
        assert_eq!(Build::from_u64(1 << 48), None);
        for wrong in ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.65536", "1.2.-3", "v1.2.3", "1.2.3-rc1", "1.2.3 "] {
            assert!(wrong.parse::<Build>().is_err(), "{wrong}");
        }
    }
}
