//! Where a participant gets the bytes that a plan names by digest.

use rtt_seal::Digest;
use std::io::{self, Read};

/// Bytes by digest.
pub trait Objects {
    /// The bytes of `object` as they are read, which whoever reads them compares with the digest; `None` where the store
    /// has no such object.
    ///
    /// # Errors
    /// Where they cannot be read, or are known to be damaged.
    fn open(&mut self, object: Digest) -> io::Result<Option<Box<dyn Read + '_>>>;
}
