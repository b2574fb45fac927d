//! DSSE envelopes, read strictly: `{"payloadType": text, "payload": base64, "signatures": [{"keyid": id, "sig": base64}]}`.
//!
//! Stricter than DSSE 1.0.2 on purpose, since we write what we read: base64 is standard, padded and canonical; unknown
//! and duplicate fields are refused; a `keyid`, where present, is one of ours; 1 to 16 signatures.
//!
//! SEAL-7  The bytes that are signed are the pre-authentication encoding of the payload type and the exact payload.
//!
//! An envelope that parses is not trusted. `sealed` checks its signatures.
//!
//! Source: Dead Simple Signing Envelope, protocol 1.0.2 and envelope 1.0.0, secure-systems-lab/dsse.

use crate::strict_json::{self, JsonError};
use crate::{KeyId, KeyTextError};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// Largest envelope, in bytes: a payload of [`strict_json::DEFAULT_LIMIT`] in base64, and room for the rest.
pub(crate) const LIMIT: usize = 2 << 20;

/// Signatures that one envelope may carry: each costs a verifier a curve operation per key.
const SIGNATURE_LIMIT: usize = 16;

/// A signed payload as it travels. Nothing in it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What the payload claims to be.
    pub payload_type: String,
    /// The bytes that were signed.
    pub payload: Vec<u8>,
    /// Who claims to have signed.
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeSignature {
    /// Key that claims to have signed: a hint that narrows the keys tried.
    pub keyid: Option<KeyId>,
    /// Ed25519 signature.
    pub sig: [u8; 64],
}

/// Why bytes are not an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not strict JSON, or a missing, unknown or duplicate field.
    #[error("the envelope is not what DSSE says")]
    Json(#[from] JsonError),
    /// Not canonical base64.
    #[error("envelope field `{field}`: expected padded standard base64 without spare bits")]
    Base64 {
        /// The field.
        field: String,
    },
    /// No signature.
    #[error("the envelope carries no signature, expected 1 to {SIGNATURE_LIMIT}")]
    Unsigned,
    /// More signatures than allowed.
    #[error("the envelope carries {found} signatures, expected 1 to {SIGNATURE_LIMIT}")]
    TooManySignatures {
        /// Signatures found.
        found: usize,
    },
    /// A signature of the wrong length.
    #[error("envelope field `{field}` has {found} bytes, expected 64")]
    SignatureLength {
        /// The field.
        field: String,
        /// Bytes found.
        found: usize,
    },
    /// A key id that is none of ours.
    #[error("envelope field `{field}` is no key id")]
    KeyId {
        /// The field.
        field: String,
        /// Why.
        source: KeyTextError,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeJson {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<SignatureJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

/// The bytes that a signature covers: lengths make payload type and payload impossible to confuse.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoded = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoded.extend_from_slice(payload);
    encoded
}

impl Envelope {
    /// Reads an envelope of at most 2 MiB.
    ///
    /// # Errors
    /// [`EnvelopeError`] for all that has more than one reading.
    pub fn parse(bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
        let json: EnvelopeJson = strict_json::parse_within(bytes, LIMIT)?;
        match json.signatures.len() {
            0 => return Err(EnvelopeError::Unsigned),
            1..=SIGNATURE_LIMIT => {}
            found => return Err(EnvelopeError::TooManySignatures { found }),
        }
        let payload = decode(&json.payload, || "payload".into())?;
        let signatures = json.signatures.into_iter().enumerate().map(|(index, signature)| {
            let field = |name: &str| format!("signatures[{index}].{name}");
            let keyid = signature.keyid.map(|text| text.parse::<KeyId>()).transpose();
            let keyid = keyid.map_err(|source| EnvelopeError::KeyId { field: field("keyid"), source })?;
            let sig = decode(&signature.sig, || field("sig"))?;
            let found = sig.len();
            let sig = sig.try_into().map_err(|_| EnvelopeError::SignatureLength { field: field("sig"), found })?;
            Ok(EnvelopeSignature { keyid, sig })
        });
        let signatures = signatures.collect::<Result<_, EnvelopeError>>()?;
        Ok(Envelope { payload_type: json.payload_type, payload, signatures })
    }

    /// The envelope as one line of JSON and a newline.
    pub fn to_bytes(&self) -> Vec<u8> {
        let json = EnvelopeJson {
            payload_type: self.payload_type.clone(),
            payload: STANDARD.encode(&self.payload),
            signatures: self.signatures.iter().map(SignatureJson::from).collect(),
        };
        let mut bytes = serde_json::to_vec(&json).expect("text and lists of text are always JSON");
        bytes.push(b'\n');
        bytes
    }

    /// The bytes that each signature must cover. SEAL-7: made of what was decoded, never of anything re-serialised.
    pub fn signed_bytes(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }
}

impl From<&EnvelopeSignature> for SignatureJson {
    fn from(signature: &EnvelopeSignature) -> SignatureJson {
        SignatureJson { keyid: signature.keyid.map(|id| id.to_string()), sig: STANDARD.encode(signature.sig) }
    }
}

fn decode(text: &str, field: impl FnOnce() -> String) -> Result<Vec<u8>, EnvelopeError> {
    STANDARD.decode(text).map_err(|_| EnvelopeError::Base64 { field: field() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEAL-7. The first is the worked example of the DSSE protocol; the others are its corner cases.
    #[test]
    fn pre_authentication_encoding() {
        for (payload_type, payload, expected) in [
            (
                "http://example.com/HelloWorld",
                &b"hello world"[..],
                "DSSEv1 29 http://example.com/HelloWorld 11 hello world",
            ),
            ("", b"", "DSSEv1 0  0 "),
            ("a b", b"c d ", "DSSEv1 3 a b 4 c d "),
            ("é", "é\n".as_bytes(), "DSSEv1 2 é 3 é\n"),
        ] {
            assert_eq!(String::from_utf8(pae(payload_type, payload)).expect("text"), expected);
        }
        // What moves between type and payload changes the encoding.
        assert_ne!(pae("a", b"b c"), pae("a b", b"c"));
    }

    fn parse(text: &str) -> Result<Envelope, String> {
        Envelope::parse(text.as_bytes()).map_err(|error| match &error {
            EnvelopeError::Json(json) => json.to_string(),
            EnvelopeError::KeyId { source, .. } => format!("{error}: {source}"),
            _ => error.to_string(),
        })
    }

    #[test]
    fn an_envelope_is_read_strictly() {
        let sig = STANDARD.encode([1; 64]);
        let good = format!(
            r#"{{"payloadType":"t","payload":"aGk=","signatures":[{{"keyid":"0123456789abcdef","sig":"{sig}"}}]}}"#
        );
        let envelope = parse(&good).expect("an envelope");
        assert_eq!((envelope.payload_type.as_str(), envelope.payload.as_slice()), ("t", &b"hi"[..]));
        assert_eq!(envelope.to_bytes(), format!("{good}\n").into_bytes());
        assert!(parse(&good.replace(r#""keyid":"0123456789abcdef","#, "")).is_ok(), "a key id is a hint");

        let entry = format!(r#"{{"sig":"{sig}"}},"#);
        for (wrong, part) in [
            (good.replace("aGk=", "aGk"), "`payload`: expected padded standard base64"),
            (good.replace("aGk=", "aGl="), "without spare bits"),
            (good.replace("aGk=", "aGk= "), "`payload`: expected padded"),
            (good.replace("aGk=", "aG\\nk="), "`payload`: expected padded"),
            (good.replace("aGk=", "_-8="), "`payload`: expected padded standard"),
            (good.replace(&sig, "aGk="), "`signatures[0].sig` has 2 bytes, expected 64"),
            (good.replace(&sig, "****"), "`signatures[0].sig`: expected padded"),
            (
                good.replace("0123456789abcdef", "0123456789ABCDEF"),
                "`signatures[0].keyid` is no key id: key id: expected 16",
            ),
            (good.replace("0123456789abcdef", ""), "`signatures[0].keyid` is no key id"),
            (good.replace(r#""payload":"#, r#""payload":"","payload":"#), "duplicate key `payload`"),
            (good.replace(r#""sig":"#, r#""sig":"","sig":"#), "duplicate key `sig`"),
            (good.replace(r#"{"payloadType""#, r#"{"x":1,"payloadType""#), "unknown field `x`"),
            (good.replace(r#""sig":"#, r#""cert":1,"sig":"#), "unknown field `cert`"),
            (good.replace(r#""payload":"aGk=","#, ""), "missing field `payload`"),
            (good.replace("payloadType", "payloadtype"), "did you mean `payloadType`?"),
            (format!("{good}{good}"), "something follows the document"),
            (good.replace("[{", &format!("[{}{{", entry.repeat(16))), "carries 17 signatures, expected 1 to 16"),
            (r#"{"payloadType":"t","payload":"aGk=","signatures":[]}"#.into(), "carries no signature"),
            (format!(r#"["t","aGk=",[{{"sig":"{sig}"}}]]"#), "invalid type: sequence, expected an object"),
            (
                format!(r#"{{"payloadType":"t","payload":"aGk=","signatures":[[null,"{sig}"]]}}"#),
                "invalid type: sequence, expected an object",
            ),
        ] {
            let error = parse(&wrong).expect_err(&wrong);
            assert!(error.contains(part), "{wrong}: {error}");
        }
        assert!(parse(&good.replace("[{", &format!("[{}{{", entry.repeat(15)))).is_ok(), "16 signatures are taken");
    }
}
