//! Where an object, its tree, and what stands around them lie.
//!
//! ```text
//! cas/objects/<2 hex>/<62 hex>        an object, mode 0444
//! cas/objects/<2 hex>/<62 hex>.tree   the tree of one that has `LARGE_BYTES` or more
//! cas/tmp/<lease>~<n>                 what a writer has not published yet
//! cas/quarantine/<64 hex>.<n>         what a scrub found damaged
//! cas/leases/<name>                   what a writer is about to name, and until when
//! cas/pins/<64 hex>.<name>            an object that stays
//! cas/condemned/<64 hex>              an object that nothing named, and since when
//! cas/lock, cas/collector             files to lock
//! ```
//!
//! A name that is none of these is no object: it is left alone.

use rtt_seal::Digest;

pub(super) const ROOT: &str = "cas";
pub(super) const TEMPORARY: &str = "cas/tmp";
pub(super) const QUARANTINE: &str = "cas/quarantine";
pub(super) const LEASES: &str = "cas/leases";
pub(super) const PINS: &str = "cas/pins";
pub(super) const CONDEMNED: &str = "cas/condemned";
pub(super) const LOCK: &str = "cas/lock";
pub(super) const COLLECTOR: &str = "cas/collector";
const OBJECTS: &str = "cas/objects";
const TREE: &str = ".tree";
/// Characters of the longest name of a lease or a pin.
const NAME_CHARACTERS: usize = 64;

/// Where an object lies: under its name, or not published yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) object: String,
    pub(super) tree: String,
}

impl Place {
    pub(super) fn of(digest: &Digest) -> Place {
        let object = format!("{OBJECTS}/{}", split(digest));
        Place { tree: format!("{object}{TREE}"), object }
    }

    pub(super) fn temporary(lease: &str, number: u64) -> Place {
        let object = format!("{TEMPORARY}/{lease}~{number}");
        Place { tree: format!("{object}{TREE}"), object }
    }
}

fn split(digest: &Digest) -> String {
    let mut text = digest.to_string();
    text.insert(2, '/');
    text
}

/// The directories, parents first.
pub(super) fn directories() -> impl Iterator<Item = String> {
    let flat = [ROOT, OBJECTS, TEMPORARY, QUARANTINE, LEASES, PINS, CONDEMNED].map(String::from);
    flat.into_iter().chain((0..=u8::MAX).map(shard))
}

/// The directory of the objects whose digests begin with `first`.
pub(super) fn shard(first: u8) -> String {
    format!("{OBJECTS}/{first:02x}")
}

/// What a name in a shard stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Object(Digest),
    Tree(Digest),
}

/// Reads a name in the shard `first`.
pub(super) fn stored(first: u8, name: &str) -> Option<Stored> {
    let (hex, is_tree) = name.strip_suffix(TREE).map_or((name, false), |hex| (hex, true));
    let digest = format!("{first:02x}{hex}").parse().ok()?;
    Some(if is_tree { Stored::Tree(digest) } else { Stored::Object(digest) })
}

/// The lease whose writer made a name in `tmp`.
pub(super) fn lease_of_temporary(name: &str) -> Option<&str> {
    name.rsplit_once('~').map(|(lease, _)| lease)
}

/// Whether a lease or a pin may be called so: what a file may be called, without a path, `~` or a leading dot.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    (1..=NAME_CHARACTERS).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.')
}

pub(super) fn lease_path(name: &str) -> String {
    format!("{LEASES}/{name}")
}

pub(super) fn pin_path(name: &str, digest: &Digest) -> String {
    format!("{PINS}/{digest}.{name}")
}

/// Reads a name in `pins`.
pub(super) fn pin(file: &str) -> Option<(&str, Digest)> {
    let (hex, name) = file.split_once('.')?;
    Some((name, hex.parse().ok()?)).filter(|(name, _)| is_name(name))
}

pub(super) fn note_path(digest: &Digest) -> String {
    format!("{CONDEMNED}/{digest}")
}

pub(super) fn quarantine_path(digest: &Digest, number: u64) -> String {
    format!("{QUARANTINE}/{digest}.{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let digest = Digest([0xa7; 32]);
        let Place { object, tree } = Place::of(&digest);
        let in_shard = |path: &str| path.strip_prefix("cas/objects/a7/").expect("the shard").to_owned();
        assert_eq!(stored(0xa7, &in_shard(&object)), Some(Stored::Object(digest)));
        assert_eq!(stored(0xa7, &in_shard(&tree)), Some(Stored::Tree(digest)));
        let temporary = Place::temporary("a.1-b", 7).tree;
        assert_eq!(lease_of_temporary(temporary.strip_prefix("cas/tmp/").expect("tmp")), Some("a.1-b"));
        let path = pin_path("base.v1", &digest);
        assert_eq!(pin(path.strip_prefix("cas/pins/").expect("pins")), Some(("base.v1", digest)));
        assert_eq!(directories().count(), 7 + 256);
    }

    #[test]
    fn other_names_are_no_objects() {
        for name in ["", ".tree", "a7", &"A".repeat(62), &"a".repeat(64), &format!("{}.tmp", "a".repeat(62))] {
            assert_eq!(stored(0xa7, name), None, "{name}");
        }
        for name in ["", ".a", "a/b", "a~1", "A", "ä", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
        assert_eq!(pin(&format!("{}.", "a".repeat(64))), None);
    }
}
