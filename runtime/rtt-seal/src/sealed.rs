//! From bytes of which nothing is known to a document that a trusted key signed.
//!
//! SEAL-8   A [`Verified`] exists only after the signatures of enough distinct trusted keys of the right role fitted the
//!          payload's exact bytes; the document is parsed from those bytes, and after that check.
//! SEAL-9   Distinct keys are counted, not signatures, and a key id only narrows the keys tried.
//!
//! Leaves to the document's crate what the document means: for whom, until when, on which machine.

use crate::envelope::{self, Envelope, EnvelopeError, EnvelopeSignature, pae};
use crate::strict_json::{self, JsonError};
use crate::{Digest, KeyId, SigningKey, TrustedKeys, key_file};
use rustix::fs::{FileType, Mode, OFlags, fstat};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// A document that travels signed.
pub trait Document: DeserializeOwned {
    /// Type and version of the document, `application/vnd.rtt.<kind>.v<number>+json`; one role's keys sign each kind.
    const PAYLOAD_TYPE: &'static str;

    /// Checks what the type cannot say: ranges, order, the canonical form.
    ///
    /// `payload` are the bytes that the document was parsed from.
    ///
    /// # Errors
    /// What is wrong, with the field's name and what was expected.
    fn check(&self, payload: &[u8]) -> Result<(), String>;
}

/// Bytes from disk or socket that should hold a signed `T`. Nothing is known about them yet.
#[derive(Debug, Clone)]
pub struct Sealed<T> {
    bytes: Vec<u8>,
    document: PhantomData<fn() -> T>,
}

/// A document whose bytes were signed by trusted keys.
#[derive(Debug, Clone)]
pub struct Verified<T> {
    document: T,
    payload: Vec<u8>,
    signers: Vec<KeyId>,
}

/// Why a signed document is refused.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The envelope is malformed.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Another kind of document, or another version.
    #[error("payload type is `{}`, expected `{expected}`", strict_json::printable(found))]
    PayloadType {
        /// What the envelope says.
        found: String,
        /// What was asked for.
        expected: &'static str,
    },
    /// None of the signatures names or fits a trusted key.
    #[error("no trusted key signed this: signed by {signed_by}, trusted are {trusted}")]
    NoTrustedKey {
        /// Key ids that the envelope names.
        signed_by: String,
        /// Key ids that are trusted for this document.
        trusted: String,
    },
    /// The envelope names a trusted key, but its signature is not of these bytes.
    #[error(
        "the signature of trusted key {keyid} does not match: the document or the signature was changed after signing"
    )]
    Signature {
        /// The key named.
        keyid: KeyId,
    },
    /// Too few distinct trusted keys signed.
    #[error("{found} of the trusted keys signed this, expected {threshold} distinct ones")]
    Threshold {
        /// Distinct trusted keys that signed.
        found: usize,
        /// Distinct keys needed.
        threshold: usize,
    },
    /// The payload was signed, but is not strict JSON of this document.
    #[error("the signed document is malformed")]
    Payload(#[from] JsonError),
    /// The payload was signed, but the document's own check refuses it.
    #[error("the signed document is refused: {reason}")]
    Document {
        /// What the check said.
        reason: String,
    },
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key's role does not cover the document.
    #[error("key {keyid} has the role `{role}`, which may not sign `{payload_type}`")]
    Role {
        /// The key.
        keyid: KeyId,
        /// Its role.
        role: crate::Role,
        /// The document's type.
        payload_type: String,
    },
    /// The payload is not strict JSON of this document.
    #[error("the document is malformed")]
    Payload(#[from] JsonError),
    /// The document's own check refuses it.
    #[error("the document is refused: {reason}")]
    Document {
        /// What the check said.
        reason: String,
    },
    /// What should be signed by one key more is no envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// What should be signed by one key more is another kind of document.
    #[error("payload type is `{}`, expected `{expected}`", strict_json::printable(found))]
    PayloadType {
        /// What the envelope says.
        found: String,
        /// What was asked for.
        expected: &'static str,
    },
}

/// Why a file was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory, pipe or device.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Larger than any envelope.
    #[error("{} has more than {limit} bytes, expected a signed document", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes allowed.
        limit: usize,
    },
}

/// Signs the exact bytes of `payload` and returns the envelope, one line of JSON.
///
/// The bytes are not looked at: [`Sealed::sign`] refuses those that no verifier would take.
///
/// # Errors
/// [`SignError::Role`] where the key may not sign that type (SEAL-6).
pub fn seal(payload: &[u8], payload_type: &str, key: &SigningKey) -> Result<Vec<u8>, SignError> {
    if !key.role().signs(payload_type) {
        return Err(SignError::Role { keyid: key.id(), role: key.role(), payload_type: payload_type.to_owned() });
    }
    let sig = key.sign(&pae(payload_type, payload));
    let signatures = vec![EnvelopeSignature { keyid: Some(key.id()), sig }];
    Ok(Envelope { payload_type: payload_type.to_owned(), payload: payload.to_vec(), signatures }.to_bytes())
}

impl<T: Document> Sealed<T> {
    /// Takes the bytes of an envelope as they came.
    pub fn from_bytes(bytes: Vec<u8>) -> Sealed<T> {
        Sealed { bytes, document: PhantomData }
    }

    /// Signs `payload`, after checking that [`Sealed::verify`] would take it.
    ///
    /// # Errors
    /// [`SignError`]: wrong role, malformed, or refused by the document's own check.
    pub fn sign(payload: &[u8], key: &SigningKey) -> Result<Sealed<T>, SignError> {
        let document: T = strict_json::parse(payload)?;
        document.check(payload).map_err(|reason| SignError::Document { reason })?;
        seal(payload, T::PAYLOAD_TYPE, key).map(Sealed::from_bytes)
    }

    /// Adds a signature over the same payload, after checking that it is a document that [`Sealed::verify`] would take.
    /// The signatures that are there are kept as they are, unlooked at; one that names this key is replaced.
    ///
    /// # Errors
    /// [`SignError`], as [`Sealed::sign`]; also where there is no room for another signature.
    pub fn cosign(&self, key: &SigningKey) -> Result<Sealed<T>, SignError> {
        let mut envelope = Envelope::parse(&self.bytes)?;
        if envelope.payload_type != T::PAYLOAD_TYPE {
            return Err(SignError::PayloadType { found: envelope.payload_type, expected: T::PAYLOAD_TYPE });
        }
        let own = Sealed::<T>::sign(&envelope.payload, key)?;
        envelope.signatures.retain(|signature| signature.keyid != Some(key.id()));
        envelope.signatures.extend(Envelope::parse(&own.bytes)?.signatures);
        let bytes = envelope.to_bytes();
        Envelope::parse(&bytes)?;
        Ok(Sealed::from_bytes(bytes))
    }

    /// The document that this says it is, unproven: for showing what would be signed, never for acting on it.
    ///
    /// # Errors
    /// [`SealError`] where it would be refused whoever signed it.
    pub fn unproven(&self) -> Result<T, SealError> {
        let envelope = Envelope::parse(&self.bytes)?;
        if envelope.payload_type != T::PAYLOAD_TYPE {
            return Err(SealError::PayloadType { found: envelope.payload_type, expected: T::PAYLOAD_TYPE });
        }
        let document: T = strict_json::parse(&envelope.payload)?;
        document.check(&envelope.payload).map_err(|reason| SealError::Document { reason })?;
        Ok(document)
    }

    /// Reads a file of at most 2 MiB. Nothing is checked yet.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(path: &Path) -> Result<Sealed<T>, LoadError> {
        let fail = |source| LoadError::Read { path: path.into(), source };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY; // A pipe must not hang us.
        let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| fail(errno.into()))?);
        let mode = fstat(&file).map_err(|errno| fail(errno.into()))?.st_mode;
        if FileType::from_raw_mode(mode) != FileType::RegularFile {
            return Err(LoadError::NotAFile { path: path.into() });
        }
        let mut bytes = Vec::new();
        file.take(envelope::LIMIT as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() > envelope::LIMIT {
            return Err(LoadError::TooLarge { path: path.into(), limit: envelope::LIMIT });
        }
        Ok(Sealed::from_bytes(bytes))
    }

    /// Writes the envelope to `path`, durable when this returns. What stood there is replaced whole or not at all;
    /// missing directories are made.
    ///
    /// # Errors
    /// As the operating system words it; what stood at `path` is then still there.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        key_file::write_whole(path, &self.bytes, (0o644, 0o755), |temporary, path| std::fs::rename(temporary, path))
    }

    /// The bytes, as they came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Checks the signatures, then parses the bytes that were signed.
    ///
    /// # Errors
    /// [`SealError`], a variant for each reason.
    pub fn verify(self, keys: &TrustedKeys) -> Result<Verified<T>, SealError> {
        let envelope = Envelope::parse(&self.bytes)?;
        if envelope.payload_type != T::PAYLOAD_TYPE {
            return Err(SealError::PayloadType { found: envelope.payload_type, expected: T::PAYLOAD_TYPE });
        }
        let signers = signers(&envelope, keys)?;
        assert!(!signers.is_empty(), "SEAL-8: a threshold is at least one");
        let document: T = strict_json::parse(&envelope.payload)?;
        document.check(&envelope.payload).map_err(|reason| SealError::Document { reason })?;
        Ok(Verified { document, payload: envelope.payload, signers })
    }
}

impl<T> Verified<T> {
    /// Digest of the signed bytes: the document's identity.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.payload)
    }

    /// The bytes that were signed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The distinct trusted keys that signed, in the order of their ids.
    pub fn signers(&self) -> &[KeyId] {
        &self.signers
    }

    /// The document alone, without the proof that it was signed.
    pub fn into_document(self) -> T {
        self.document
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.document
    }
}

/// The distinct trusted keys that signed, at least as many as the threshold asks for.
fn signers(envelope: &Envelope, keys: &TrustedKeys) -> Result<Vec<KeyId>, SealError> {
    let message = envelope.signed_bytes();
    let trusted = || keys.iter().filter(|key| key.role().signs(&envelope.payload_type)); // SEAL-6
    let mut signers = BTreeSet::new(); // SEAL-9
    let mut mismatch = None;
    for signature in &envelope.signatures {
        let candidates = trusted().filter(|key| signature.keyid.is_none_or(|id| id == key.id()));
        for key in candidates {
            if key.made(&signature.sig, &message) {
                signers.insert(key.id());
            } else if signature.keyid.is_some() {
                mismatch = Some(key.id());
            }
        }
    }
    let (found, threshold) = (signers.len(), keys.threshold());
    match mismatch {
        _ if found >= threshold => Ok(signers.into_iter().collect()),
        Some(keyid) => Err(SealError::Signature { keyid }),
        None if found == 0 => Err(SealError::NoTrustedKey {
            signed_by: listed(envelope.signatures.iter().map(|signature| signature.keyid)),
            trusted: listed(trusted().map(|key| Some(key.id()))),
        }),
        None => Err(SealError::Threshold { found, threshold }),
    }
}

fn listed(ids: impl Iterator<Item = Option<KeyId>>) -> String {
    let names: Vec<_> = ids.map(|id| id.map_or("an unnamed key".to_owned(), |id| id.to_string())).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing_key::tests::fixed;
    use serde::Deserialize;
    use std::num::NonZeroUsize;

    #[derive(Debug, Clone, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Note {
        text: String,
    }

    impl Document for Note {
        const PAYLOAD_TYPE: &'static str = "application/vnd.rtt.profile.v1+json";

        fn check(&self, _payload: &[u8]) -> Result<(), String> {
            if self.text == "bad" { Err("text: expected another than `bad`".into()) } else { Ok(()) }
        }
    }

    /// A document that keys of the role `profile` may not sign.
    #[derive(Debug, Deserialize)]
    struct Plan {}

    impl Document for Plan {
        const PAYLOAD_TYPE: &'static str = "application/vnd.rtt.plan.v1+json";

        fn check(&self, _payload: &[u8]) -> Result<(), String> {
            Ok(())
        }
    }

    const PAYLOAD: &[u8] = br#"{"text":"hi"}"#;

    fn trust(seeds: &[u8]) -> TrustedKeys {
        TrustedKeys::new(seeds.iter().map(|&seed| fixed(seed).public().clone())).expect("keys")
    }

    fn sealed(payload: &[u8], seed: u8) -> Envelope {
        Envelope::parse(&seal(payload, Note::PAYLOAD_TYPE, &fixed(seed)).expect("sealed")).expect("an envelope")
    }

    fn verify(envelope: &Envelope, keys: &TrustedKeys) -> Result<Verified<Note>, SealError> {
        Sealed::from_bytes(envelope.to_bytes()).verify(keys)
    }

    #[test]
    fn a_signed_document_is_verified() {
        let sealed = Sealed::<Note>::sign(PAYLOAD, &fixed(1)).expect("signed");
        let verified = sealed.verify(&trust(&[1, 2])).expect("verified");
        assert_eq!(verified.text, "hi");
        assert_eq!(verified.payload(), PAYLOAD);
        assert_eq!(verified.digest(), Digest::of(PAYLOAD));
        assert_eq!(verified.signers(), [fixed(1).id()]);
    }

    /// SEAL-8: each bit of an envelope, flipped, is refused, or is white space or a hint whose change changes nothing.
    #[test]
    fn a_changed_bit_is_refused_or_changes_nothing() {
        let bytes = sealed(PAYLOAD, 1).to_bytes();
        let keys = trust(&[1]);
        let mut refused = 0;
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                match Sealed::<Note>::from_bytes(flipped).verify(&keys) {
                    Err(_) => refused += 1,
                    Ok(verified) => {
                        assert_eq!(verified.payload(), PAYLOAD, "byte {at} bit {bit}");
                        assert_eq!(verified.signers(), [fixed(1).id()], "byte {at} bit {bit}");
                    }
                }
            }
        }
        assert!(refused >= 8 * (bytes.len() - 2), "{refused} of {} flips refused", 8 * bytes.len());
    }

    /// SEAL-8: the error of each kind of damage is its own.
    #[test]
    fn each_refusal_says_why() {
        let keys = trust(&[1]);
        let good = sealed(PAYLOAD, 1);
        let error = |envelope: &Envelope| verify(envelope, &keys).expect_err("refused");

        let mut changed = good.clone();
        changed.payload = br#"{"text":"ho"}"#.to_vec();
        assert!(matches!(error(&changed), SealError::Signature { keyid } if keyid == fixed(1).id()));

        let mut changed = good.clone();
        changed.signatures[0].sig[40] ^= 1;
        assert!(matches!(error(&changed), SealError::Signature { .. }));

        let wrong = error(&sealed(PAYLOAD, 2));
        assert!(
            matches!(&wrong, SealError::NoTrustedKey { signed_by, trusted }
            if *signed_by == fixed(2).id().to_string() && *trusted == fixed(1).id().to_string()),
            "{wrong:?}"
        );

        let mut retyped = good.clone();
        retyped.payload_type = "application/vnd.rtt.profile.v2+json".into();
        assert!(matches!(error(&retyped), SealError::PayloadType { .. }));

        // Malformed payloads are found out only after the signature fitted.
        for (payload, part) in [
            (&br#"{"text":"a","text":"b"}"#[..], "duplicate key `text`"),
            (br#"{"text":"a","x":1}"#, "unknown field `x`"),
            (br#"{"text":"bad"}"#, "expected another than `bad`"),
            (b"\xff", "is not UTF-8"),
            (b"", "not JSON"),
        ] {
            let said = match error(&sealed(payload, 1)) {
                SealError::Payload(json) => json.to_string(),
                other => other.to_string(),
            };
            assert!(said.contains(part), "{said}");
            assert!(matches!(error(&sealed(payload, 2)), SealError::NoTrustedKey { .. }), "signature first");
            assert!(Sealed::<Note>::sign(payload, &fixed(1)).is_err(), "what no verifier takes is not signed");
        }
    }

    /// SEAL-6
    #[test]
    fn a_key_of_another_role_is_refused() {
        let refused = Sealed::<Plan>::sign(b"{}", &fixed(1));
        assert!(matches!(refused, Err(SignError::Role { .. })));
        // Even a signature that fits, made by going around `seal`, does not count.
        let sig = fixed(1).sign(&pae(Plan::PAYLOAD_TYPE, b"{}"));
        let signatures = vec![EnvelopeSignature { keyid: Some(fixed(1).id()), sig }];
        let envelope = Envelope { payload_type: Plan::PAYLOAD_TYPE.into(), payload: b"{}".to_vec(), signatures };
        let error = Sealed::<Plan>::from_bytes(envelope.to_bytes()).verify(&trust(&[1])).expect_err("refused");
        assert!(matches!(&error, SealError::NoTrustedKey { trusted, .. } if trusted == "none"), "{error:?}");
    }

    /// SEAL-9
    #[test]
    fn thresholds_count_distinct_keys() {
        let two = trust(&[1, 2, 3]).with_threshold(NonZeroUsize::new(2).expect("two")).expect("keys");
        let signature = |seed: u8| sealed(PAYLOAD, seed).signatures.remove(0);
        let signed_by = |seeds: &[u8]| {
            let mut envelope = sealed(PAYLOAD, 1);
            envelope.signatures = seeds.iter().map(|&seed| signature(seed)).collect();
            envelope
        };
        assert!(verify(&signed_by(&[1, 3]), &two).is_ok());
        assert!(verify(&signed_by(&[9, 1, 3]), &two).is_ok(), "a stranger's signature neither helps nor harms");
        for (seeds, expected) in [(&[1][..], 1), (&[1, 1], 1), (&[1, 9], 1)] {
            let error = verify(&signed_by(seeds), &two).expect_err("too few");
            assert!(matches!(error, SealError::Threshold { found, threshold: 2 } if found == expected), "{seeds:?}");
        }
        // The same key, once with and once without its id, is still one key.
        let mut unnamed = signed_by(&[1, 1]);
        unnamed.signatures[1].keyid = None;
        assert!(matches!(verify(&unnamed, &two), Err(SealError::Threshold { found: 1, .. })));
    }

    /// SEAL-9: signatures are gathered one by one, and each counts once.
    #[test]
    fn a_document_is_signed_by_one_key_more() {
        let two = || trust(&[1, 2, 3]).with_threshold(NonZeroUsize::new(2).expect("two")).expect("keys");
        let once = Sealed::<Note>::sign(PAYLOAD, &fixed(1)).expect("signed");
        let again = once.cosign(&fixed(1)).expect("signed");
        assert_eq!(again.as_bytes(), once.as_bytes(), "the same key replaces its signature");
        assert!(matches!(again.verify(&two()), Err(SealError::Threshold { found: 1, threshold: 2 })));
        let mut sealed = once.cosign(&fixed(3)).expect("signed");
        assert_eq!(sealed.clone().verify(&two()).expect("verified").payload(), PAYLOAD);
        assert_eq!(sealed.unproven().expect("a note").text, "hi");
        for seed in 4..18 {
            sealed = sealed.cosign(&fixed(seed)).expect("signed");
        }
        let full = sealed.cosign(&fixed(18)).expect_err("no room");
        assert!(matches!(full, SignError::Envelope(EnvelopeError::TooManySignatures { found: 17 })), "{full:?}");
        let bad =
            Sealed::<Note>::from_bytes(seal(br#"{"text":"bad"}"#, Note::PAYLOAD_TYPE, &fixed(1)).expect("sealed"));
        assert!(matches!(bad.cosign(&fixed(2)), Err(SignError::Document { .. })), "nothing is signed unlooked at");
        assert!(matches!(bad.unproven(), Err(SealError::Document { .. })));
    }

    /// SEAL-9
    #[test]
    fn a_key_id_only_narrows() {
        let mut envelope = sealed(PAYLOAD, 2);
        envelope.signatures[0].keyid = None;
        assert_eq!(verify(&envelope, &trust(&[1, 2])).expect("found by trying").signers(), [fixed(2).id()]);
        assert!(matches!(verify(&envelope, &trust(&[1])), Err(SealError::NoTrustedKey { .. })));
        // Naming a trusted key does not make the signature its own.
        envelope.signatures[0].keyid = Some(fixed(1).id());
        assert!(matches!(verify(&envelope, &trust(&[1, 2])), Err(SealError::Signature { .. })));
    }

    /// SEAL-4: S + L is a second signature of the same message for whoever does not check the range of S.
    #[test]
    fn a_malleated_signature_is_refused() {
        const L: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
        let l: [u8; 32] = crate::digest::from_hex(L).expect("hexadecimal");
        let mut envelope = sealed(PAYLOAD, 1);
        let mut carry = 0;
        for (byte, add) in envelope.signatures[0].sig[32..].iter_mut().zip(l) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert_eq!(carry, 0, "S + L fits 256 bits");
        assert!(matches!(verify(&envelope, &trust(&[1])), Err(SealError::Signature { .. })));
    }

    /// SEAL-4: whoever holds a key can make this signature, with the identity as R; the loose check takes it, and so
    /// would take more than one signature of the same document.
    #[test]
    fn a_signature_with_a_small_order_point_is_refused() {
        use ed25519_dalek::Verifier;
        const S: &str = "fa087cd5df22d7450b276ff790184439a586d53485277a1e6cf777df87bbd60e";
        let mut envelope = sealed(PAYLOAD, 1);
        let sig = &mut envelope.signatures[0].sig;
        sig.fill(0);
        sig[0] = 1;
        sig[32..].copy_from_slice(&crate::digest::from_hex::<32>(S).expect("hexadecimal"));
        let loose = ed25519_dalek::VerifyingKey::from_bytes(fixed(1).public().as_bytes()).expect("a key");
        let signature = ed25519_dalek::Signature::from_bytes(sig);
        assert!(loose.verify(&envelope.signed_bytes(), &signature).is_ok(), "the loose check takes it");
        assert!(matches!(verify(&envelope, &trust(&[1])), Err(SealError::Signature { .. })));
    }

    /// SEAL-3: under the identity key one signature fits every message, for the loose check.
    #[test]
    fn a_weak_signature_fits_every_message_only_for_the_loose_check() {
        use ed25519_dalek::Verifier;
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut sig = [0; 64];
        sig[0] = 1; // R is the identity and S is zero.
        let loose = ed25519_dalek::VerifyingKey::from_bytes(&identity).expect("the library takes it");
        let signature = ed25519_dalek::Signature::from_bytes(&sig);
        for message in [&b"one"[..], b"two"] {
            assert!(loose.verify(message, &signature).is_ok(), "the attack is real");
            assert!(loose.verify_strict(message, &signature).is_err());
        }
        assert!(crate::VerifyingKey::from_bytes(&identity, crate::Role::Profile).is_err());
    }

    #[test]
    fn files_are_loaded_within_limits() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("note.json");
        assert!(matches!(Sealed::<Note>::load(&path), Err(LoadError::Read { .. })));
        assert!(matches!(Sealed::<Note>::load(directory.path()), Err(LoadError::NotAFile { .. })));
        for seed in [2, 1] {
            Sealed::<Note>::from_bytes(sealed(PAYLOAD, seed).to_bytes()).save(&path).expect("written, then replaced");
        }
        assert!(Sealed::<Note>::load(&path).expect("loaded").verify(&trust(&[1])).is_ok());
        std::fs::write(&path, vec![b' '; envelope::LIMIT + 1]).expect("written");
        assert!(matches!(Sealed::<Note>::load(&path), Err(LoadError::TooLarge { .. })));
    }
}
