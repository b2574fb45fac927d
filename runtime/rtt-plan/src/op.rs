//! One step of a plan, with what must stand there before it and what stands there after.

use crate::item::{Before, FileMode, ItemName, ItemPath};
use crate::state::Item;
use rtt_profile::{Knobs, knobs_json};
use rtt_seal::Digest;
use serde::{Deserialize, Serialize};

/// One change of one item. Objects are digests of bytes in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// Puts a file below the root, or another in its place.
    FilePut {
        /// Where.
        path: ItemPath,
        /// Digest of its bytes.
        object: Digest,
        /// Its permission bits.
        mode: FileMode,
        /// What must stand there.
        before: Before,
    },
    /// Removes a file below the root.
    FileRemove {
        /// Where.
        path: ItemPath,
        /// Digest of the bytes that must stand there.
        before: Digest,
    },
    /// Makes a ring with these knobs, or changes them.
    RingPut {
        /// The ring.
        name: ItemName,
        /// How it is set.
        knobs: Knobs,
        /// What must be there: the digest of [`rtt_profile::knobs_json`] of the knobs in force.
        before: Before,
    },
    /// Ends a ring.
    RingRemove {
        /// The ring.
        name: ItemName,
        /// Digest of the knobs that must be in force.
        before: Digest,
    },
    /// Puts a signed profile into force.
    ProfileSet {
        /// Digest of the sealed profile's bytes.
        object: Digest,
        /// The sealed profile that must be in force.
        before: Before,
    },
    /// Takes the profile out of force.
    ProfileClear {
        /// Digest of the sealed profile that must be in force.
        before: Digest,
    },
}

impl Op {
    /// Name of the participant that carries files.
    pub const FILES: &str = "files";
    /// Name of the participant that carries rings.
    pub const RINGS: &str = "rings";
    /// Name of the participant that carries the profile in force.
    pub const PROFILE: &str = "profile";
    /// Every participant that an op can be for, sorted.
    pub const PARTICIPANTS: [&str; 3] = [Op::FILES, Op::PROFILE, Op::RINGS];
    /// The one item of the participant [`Op::PROFILE`].
    pub const PROFILE_ITEM: &str = "active";

    /// The participant that carries this op out.
    pub const fn participant(&self) -> &'static str {
        match self {
            Op::FilePut { .. } | Op::FileRemove { .. } => Op::FILES,
            Op::RingPut { .. } | Op::RingRemove { .. } => Op::RINGS,
            Op::ProfileSet { .. } | Op::ProfileClear { .. } => Op::PROFILE,
        }
    }

    /// The participant's item that changes.
    pub fn item(&self) -> &str {
        match self {
            Op::FilePut { path, .. } | Op::FileRemove { path, .. } => path.as_str(),
            Op::RingPut { name, .. } | Op::RingRemove { name, .. } => name.as_str(),
            Op::ProfileSet { .. } | Op::ProfileClear { .. } => Op::PROFILE_ITEM,
        }
    }

    /// The pre-condition: what must stand there for this op to be carried out.
    pub const fn before(&self) -> Before {
        match self {
            Op::FilePut { before, .. } | Op::RingPut { before, .. } | Op::ProfileSet { before, .. } => *before,
            Op::FileRemove { before, .. } | Op::RingRemove { before, .. } | Op::ProfileClear { before } => {
                Before::Object(*before)
            }
        }
    }

    /// The post-condition: what stands there once it is carried out; `None` for nothing.
    pub fn after(&self) -> Option<Item> {
        match self {
            Op::FilePut { object, mode, .. } => Some(Item { object: *object, mode: Some(*mode) }),
            Op::RingPut { knobs, .. } => Some(Item { object: Digest::of(knobs_json(knobs).as_bytes()), mode: None }),
            Op::ProfileSet { object, .. } => Some(Item { object: *object, mode: None }),
            Op::FileRemove { .. } | Op::RingRemove { .. } | Op::ProfileClear { .. } => None,
        }
    }

    /// The object that must be in the store before this op can be prepared. The knobs of a ring travel in the plan.
    pub const fn object(&self) -> Option<Digest> {
        match self {
            Op::FilePut { object, .. } | Op::ProfileSet { object, .. } => Some(*object),
            _ => None,
        }
    }

    /// Whether the op sets knobs, which are tuned for one machine.
    pub const fn carries_knobs(&self) -> bool {
        matches!(self, Op::RingPut { .. } | Op::ProfileSet { .. })
    }
}
