//! What `rtt` writes for other programs that reads it again.

use rtt_seal::Digest;
use serde::{Deserialize, Serialize};

/// A proof, version 1: all that a verifier needs but the host's public key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    /// Format: 1.
    pub version: u32,
    /// The signed checkpoint, as it was sealed.
    pub checkpoint: String,
    /// What is proved.
    pub of: Proved,
    /// Digests of the Merkle tree.
    pub path: Vec<Digest>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Proved {
    /// That this record is in the log.
    Record { index: u64, digest: Digest },
    /// That the log goes on from this size, whose root it was.
    From { size: u64, root: Digest },
}

/// Which way to its disk a store is opened by, version 1.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiskChoice {
    /// Format: 1.
    pub version: u32,
    /// `file` or `io_uring`.
    pub backend: String,
    /// io_uring's time over that of the plain calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}
