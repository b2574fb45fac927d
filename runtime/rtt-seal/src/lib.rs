//! Digests, DSSE envelopes, Ed25519 keys: what makes bytes trusted.
//!
//! A document travels as the exact bytes that were signed. [`Sealed`] holds bytes of which nothing is known;
//! [`Sealed::verify`] checks a signature over those bytes and only then parses the same bytes, so that a
//! [`Verified`] document cannot differ from what the signer saw. Nothing here signs a re-serialised value.
//!
//! Not here: which documents exist (each document crate implements [`Document`]), when a document has expired,
//! for which host it is. Those are checks of the document's own crate, after the signature.

pub mod decimal;
mod digest;
mod envelope;
mod host_id;
mod json_objects;
mod json_scan;
mod key_cipher;
mod key_file;
mod near_name;
mod passphrase;
mod role;
mod sealed;
mod signing_key;
pub mod strict_json;
mod trust_root;
mod trust_store;
mod trusted_keys;
mod verifying_key;

pub use digest::{Digest, DigestTextError};
pub use envelope::{Envelope, EnvelopeError, EnvelopeSignature, pae};
pub use host_id::HostId;
pub use key_file::{ReadKeyError, SaveKeyError};
pub use near_name::near_name;
pub use passphrase::{Passphrase, PassphraseError};
pub use role::{Role, UnknownRole};
pub use sealed::{Document, LoadError, SealError, Sealed, SignError, Verified, seal};
pub use signing_key::{KeyRest, SigningKey, forbid_core_dumps};
pub use trust_root::{TrustRoot, TrustRootError, TrustedKey};
pub use trust_store::{TrustStore, TrustStoreError};
pub use trusted_keys::{TrustError, TrustedKeys};
pub use verifying_key::{KeyId, KeyTextError, VerifyingKey};

/// An error with its causes, `what: why: why`, for programs that show one line.
pub fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
