//! What `--json` prints.

use serde::Serialize;
use std::collections::BTreeMap;

/// Version of the document.
pub const VERSION: u32 = 1;

/// What a sweep found.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    /// 1.
    pub version: u32,
    /// Seeds that were run.
    pub seeds: u64,
    /// Seeds that failed.
    pub failures: u64,
    /// In how many seeds each kind of fault struck.
    pub strikes: BTreeMap<&'static str, u64>,
}
