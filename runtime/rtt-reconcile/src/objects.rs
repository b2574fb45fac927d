//! Where a participant gets the bytes that a plan names by digest.

use rtt_seal::Digest;
use std::io;

/// Bytes by digest. What is returned has that digest.
pub trait Objects {
    /// The bytes of `object`; `None` where the store has no such object.
    ///
    /// # Errors
    /// Where they cannot be read, or are damaged.
    fn fetch(&mut self, object: Digest) -> io::Result<Option<Vec<u8>>>;
}
