//! What a fault's process tells the lab that ordered it, as one JSON line for each order.

use serde::{Deserialize, Serialize};

/// What a fault did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// When it began, `CLOCK_MONOTONIC`.
    pub began_ns: u64,
    /// When it ended.
    pub ended_ns: u64,
    /// CPU time that it took, nanoseconds.
    pub cpu_ns: u64,
    /// How much it did.
    pub amount: u64,
    /// Of what.
    pub unit: String,
}
