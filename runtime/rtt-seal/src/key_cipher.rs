//! A private key's seed under a passphrase.
//!
//! `salt (16 bytes) | ChaCha20-Poly1305 of the seed (32 bytes) and its tag (16 bytes)`. The cipher's key is Argon2id of the
//! passphrase and the salt, with 64 MiB, 3 passes and 1 lane. Each salt is drawn anew and so each cipher key is used once,
//! for one message, under the nonce 0. The costs are part of the file's version: no file can ask for others.
//!
//! SEAL-17  A seed opens only with its passphrase, unchanged, and under the role and the key id that it was written with;
//!          no error tells a wrong passphrase from a changed file.
//!
//! Source: RFC 9106, section 4, second recommendation with one lane; RFC 8439.

use crate::Passphrase;
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use std::io;
use zeroize::Zeroizing;

/// Bytes of a sealed seed.
pub(crate) const SEALED_BYTES: usize = SALT_BYTES + 32 + TAG_BYTES;

const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
/// Memory in KiB, passes, lanes.
const COSTS: (u32, u32, u32) = (64 << 10, 3, 1);

/// Seals `seed`; `context` is what must be the same when it is opened.
///
/// # Errors
/// Where the operating system has no random bytes to give.
pub(crate) fn seal_seed(seed: &[u8; 32], passphrase: &Passphrase, context: &str) -> io::Result<[u8; SEALED_BYTES]> {
    let mut sealed = [0; SEALED_BYTES];
    let (salt, rest) = sealed.split_at_mut(SALT_BYTES);
    getrandom::fill(salt).map_err(|error| io::Error::other(error.to_string()))?;
    let (text, tag) = rest.split_at_mut(32);
    text.copy_from_slice(seed);
    let cipher = cipher(passphrase, salt);
    let made = cipher.encrypt_inout_detached(&Nonce::default(), context.as_bytes(), text.into());
    tag.copy_from_slice(&made.expect("32 bytes are no more than the cipher takes"));
    Ok(sealed)
}

/// Opens what [`seal_seed`] made; `None` where passphrase, context or bytes are not those.
pub(crate) fn open_seed(
    sealed: &[u8; SEALED_BYTES],
    passphrase: &Passphrase,
    context: &str,
) -> Option<Zeroizing<[u8; 32]>> {
    let (salt, rest) = sealed.split_at(SALT_BYTES);
    let (text, tag) = rest.split_at(32);
    let mut seed = Zeroizing::new([0; 32]);
    seed.copy_from_slice(text);
    let tag = tag.try_into().ok()?;
    let cipher = cipher(passphrase, salt);
    let opened = cipher.decrypt_inout_detached(&Nonce::default(), context.as_bytes(), seed.as_mut_slice().into(), tag);
    opened.ok().map(|()| seed) // SEAL-17: one answer for whatever is wrong.
}

fn cipher(passphrase: &Passphrase, salt: &[u8]) -> ChaCha20Poly1305 {
    let (memory, passes, lanes) = COSTS;
    let params = Params::new(memory, passes, lanes, Some(32)).expect("the costs are within Argon2's");
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut key[..])
        .expect("passphrase and salt are within Argon2's limits");
    ChaCha20Poly1305::new_from_slice(&key[..]).expect("a key of 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).expect("a passphrase")
    }

    /// SEAL-17
    #[test]
    fn a_sealed_seed_opens_only_with_its_passphrase_and_unchanged() {
        let right = passphrase("correct horse");
        let sealed = seal_seed(&[7; 32], &right, "planner 01").expect("sealed");
        assert_eq!(open_seed(&sealed, &right, "planner 01").expect("opened").as_slice(), [7; 32]);
        assert!(open_seed(&sealed, &passphrase("correct horses"), "planner 01").is_none());
        assert!(open_seed(&sealed, &right, "root 01").is_none(), "another role");
        for at in [0, SALT_BYTES - 1, SALT_BYTES, SALT_BYTES + 31, SALT_BYTES + 32, SEALED_BYTES - 1] {
            let mut changed = sealed;
            changed[at] ^= 1;
            assert!(open_seed(&changed, &right, "planner 01").is_none(), "byte {at}");
        }
        let again = seal_seed(&[7; 32], &right, "planner 01").expect("sealed");
        assert!(again[..SALT_BYTES] != sealed[..SALT_BYTES] && again[SALT_BYTES..] != sealed[SALT_BYTES..]);
        assert!(!sealed.windows(8).any(|window| window == [7; 8]), "the seed does not show");
    }
}
