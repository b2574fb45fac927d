//! What an op names: a file below the root, a ring, a mode, and what stood there before.
//!
//! Each has one text, which is also its form in JSON: what parses prints back as the same characters.
//!
//! PLAN-1  A path of a plan stays below the root that it is relative to, whatever it says.

use rtt_seal::Digest;
use serde::de;
use std::marker::PhantomData;
use std::{fmt, str::FromStr};

/// Longest path in bytes, and longest component in bytes: below those of the file systems that we know, so that a
/// temporary name beside the file still fits.
const PATH_LIMIT: usize = 1_024;
const COMPONENT_LIMIT: usize = 200;
/// Longest name of a ring in bytes.
const NAME_LIMIT: usize = 64;

/// A file below the managed root: components apart by `/`, none of them empty, `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemPath(String);

/// Name of a ring: `a` to `z`, digits, `_`, `-` and `.`; the first is a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemName(String);

/// Permission bits of a file, printed as four octal digits. No set-id and no sticky bit, never writable for
/// others, and readable for the owner, for what runs is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileMode(u16);

/// What must stand in the place that an op changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Before {
    /// Nothing.
    Absent,
    /// The object with this digest.
    Object(Digest),
}

/// Why a text is none of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// No path below a root.
    #[error(
        "path {found:.80?}: expected components of 1..={COMPONENT_LIMIT} bytes apart by single `/`, none of them `.` or \
         `..`, without control characters, at most {PATH_LIMIT} bytes in all"
    )]
    Path {
        /// What was read.
        found: String,
    },
    /// No name.
    #[error(
        "name {found:.80?}: expected 1..={NAME_LIMIT} of a-z, 0-9, `_`, `-` and `.`, the first a letter or a digit"
    )]
    Name {
        /// What was read.
        found: String,
    },
    /// No mode.
    #[error(
        "mode {found:.80?}: expected four octal digits `0400`..=`0775`, readable for the owner, not writable for others"
    )]
    Mode {
        /// What was read.
        found: String,
    },
    /// Neither absence nor a digest.
    #[error("before is {found:.80?}: expected `absent` or a digest, 64 lower-case hexadecimal digits")]
    Before {
        /// What was read.
        found: String,
    },
}

impl ItemPath {
    /// The path as it stands in the plan.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `directory` itself or stands below it.
    pub fn is_below(&self, directory: &ItemPath) -> bool {
        is_below(&self.0, &directory.0)
    }
}

/// Whether `path` is `directory` or below it, by components: `etc/ab` is not below `etc/a`.
pub(crate) fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl ItemName {
    /// The name as it stands in the plan.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FileMode {
    /// The mode with these bits, where a plan may set them.
    pub const fn new(bits: u16) -> Option<FileMode> {
        if bits <= 0o777 && bits & 0o402 == 0o400 { Some(FileMode(bits)) } else { None }
    }

    /// The permission bits.
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl Before {
    /// The digest, where something must stand there.
    pub const fn object(self) -> Option<Digest> {
        match self {
            Before::Absent => None,
            Before::Object(digest) => Some(digest),
        }
    }
}

impl FromStr for ItemPath {
    type Err = ItemError;

    fn from_str(text: &str) -> Result<ItemPath, ItemError> {
        // PLAN-1: checked where a path is made, so that no other code can be handed one that leaves the root.
        let component = |part: &str| (1..=COMPONENT_LIMIT).contains(&part.len()) && part != "." && part != "..";
        let taken = text.len() <= PATH_LIMIT && text.split('/').all(component) && !text.chars().any(char::is_control);
        if taken { Ok(ItemPath(text.to_owned())) } else { Err(ItemError::Path { found: text.to_owned() }) }
    }
}

impl FromStr for ItemName {
    type Err = ItemError;

    fn from_str(text: &str) -> Result<ItemName, ItemError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let taken = (1..=NAME_LIMIT).contains(&text.len())
            && text.bytes().next().is_some_and(plain)
            && text.bytes().all(|byte| plain(byte) || b"_-.".contains(&byte));
        if taken { Ok(ItemName(text.to_owned())) } else { Err(ItemError::Name { found: text.to_owned() }) }
    }
}

impl FromStr for FileMode {
    type Err = ItemError;

    fn from_str(text: &str) -> Result<FileMode, ItemError> {
        let bits = u16::from_str_radix(text, 8).ok().and_then(FileMode::new);
        let mode = bits.filter(|mode| mode.to_string() == text);
        mode.ok_or_else(|| ItemError::Mode { found: text.to_owned() })
    }
}

impl FromStr for Before {
    type Err = ItemError;

    fn from_str(text: &str) -> Result<Before, ItemError> {
        match text {
            "absent" => Ok(Before::Absent),
            _ => text.parse().map(Before::Object).map_err(|_| ItemError::Before { found: text.to_owned() }),
        }
    }
}

impl fmt::Display for ItemPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for ItemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Display for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Before::Absent => f.pad("absent"),
            Before::Object(digest) => digest.fmt(f),
        }
    }
}

/// Gives a type whose text is its form that text in JSON.
macro_rules! as_text {
    ($($type:ty)*) => { $(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                deserializer.deserialize_str($crate::item::Text(std::marker::PhantomData))
            }
        }
    )* };
}
pub(crate) use as_text;

as_text! { ItemPath ItemName FileMode Before }

/// Refuses inside the reader of the string, so that a JSON error stands at the value and not behind its parent.
pub(crate) struct Text<T>(pub PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = ItemError> + fmt::Display>(taken: &[&str], refused: &[&str]) {
        for text in taken {
            assert_eq!(text.parse::<T>().unwrap_or_else(|error| panic!("{error}")).to_string(), *text);
        }
        for text in refused {
            assert!(text.parse::<T>().is_err(), "{text:?}");
        }
    }

    /// PLAN-1
    #[test]
    fn a_path_never_leaves_its_root() {
        let long = "a".repeat(COMPONENT_LIMIT);
        let deep = ["a"; PATH_LIMIT / 2].join("/");
        check::<ItemPath>(
            &["a", "etc/app.conf", "..a/.b/c..", "Ä ö", &long, &deep],
            &[
                "",
                "/",
                "/a",
                "a/",
                "a//b",
                ".",
                "..",
                "../a",
                "a/..",
                "a/../b",
                "a/./b",
                "a\0",
                "a\nb",
                "\u{7f}",
                &format!("{long}a"),
                &format!("{deep}/aa"),
            ],
        );
        let path = |text: &str| text.parse::<ItemPath>().expect(text);
        assert!(path("etc/a/b").is_below(&path("etc/a")) && path("etc/a").is_below(&path("etc/a")));
        assert!(!path("etc/ab").is_below(&path("etc/a")) && !path("etc").is_below(&path("etc/a")));
    }

    #[test]
    fn names_modes_and_what_stood_before_have_one_text() {
        check::<ItemName>(&["feed", "0", "a.b-c_d"], &["", "-a", ".a", "A", "a/b", "a b", &"a".repeat(65)]);
        check::<FileMode>(
            &["0400", "0644", "0755", "0775"],
            &[
                "0000", "0244", "0077", "644", "00644", "0o644", "0888", "1644", "4755", "0646", "0777", "+644", "",
                " 644",
            ],
        );
        let digest = "ab".repeat(32);
        check::<Before>(&["absent", &digest], &["", "Absent", &digest.to_uppercase(), &digest[1..]]);
    }
}
