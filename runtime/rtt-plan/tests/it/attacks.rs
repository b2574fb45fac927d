//! What an attacker can do to the bytes of a signed plan, or hand in for one. Each with the control that passes.

use crate::bench::{Bench, NOW};
use base64::{Engine, engine::general_purpose::STANDARD};
use rtt_plan::Plan;
use rtt_seal::{
    Document, Envelope, EnvelopeSignature, HostId, KeyRest, Role, SealError, Sealed, SignError, SigningKey,
    TrustedKeys, VerifyingKey, pae, seal,
};
use serde::Deserialize;

fn key(role: Role) -> SigningKey {
    SigningKey::generate(role).expect("random bytes")
}

fn sealed(bench: &Bench) -> Envelope {
    let bytes = seal(&bench.plan.to_canonical(), Plan::PAYLOAD_TYPE, &bench.key).expect("sealed");
    Envelope::parse(&bytes).expect("an envelope")
}

/// Every bit of the envelope's bytes, one at a time: refused, or the same payload under the same key, and admitted as
/// the same plan.
#[test]
fn a_flipped_bit_is_refused_or_changes_nothing() {
    let bench = Bench::new();
    let (bytes, keys, payload) = (sealed(&bench).to_bytes(), bench.trust(), bench.plan.to_canonical());
    let mut harmless = Vec::new();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            if let Ok(plan) = Sealed::<Plan>::from_bytes(flipped).verify(&keys) {
                assert_eq!(
                    (plan.payload(), plan.signers()),
                    (&payload[..], &[bench.key.id()][..]),
                    "byte {at} bit {bit}"
                );
                harmless.push(at);
            }
        }
    }
    assert!(harmless.iter().all(|at| bytes[*at].is_ascii_whitespace()), "only white space: {harmless:?}");
}

/// Every bit of the decoded payload and of the decoded signature, so that no encoding stands in between.
#[test]
fn a_flipped_bit_of_payload_or_signature_is_refused() {
    let bench = Bench::new();
    let (good, keys) = (sealed(&bench), bench.trust());
    let verify = |envelope: &Envelope| Sealed::<Plan>::from_bytes(envelope.to_bytes()).verify(&keys);
    assert!(verify(&good).is_ok());
    for bit in 0..8 * good.payload.len() {
        let mut flipped = good.clone();
        flipped.payload[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(verify(&flipped), Err(SealError::Signature { .. })), "payload bit {bit}");
    }
    for bit in 0..8 * 64 {
        let mut flipped = good.clone();
        flipped.signatures[0].sig[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(verify(&flipped), Err(SealError::Signature { .. })), "signature bit {bit}");
    }
}

/// Cut short or grown: no prefix of an envelope is one, and nothing may follow.
#[test]
fn an_envelope_is_taken_whole() {
    let bench = Bench::new();
    let (bytes, keys) = (sealed(&bench).to_bytes(), bench.trust());
    let taken = |bytes: &[u8]| Sealed::<Plan>::from_bytes(bytes.to_vec()).verify(&keys).is_ok();
    let end = bytes.len() - 1; // The newline is white space.
    assert!(taken(&bytes) && taken(&bytes[..end]));
    assert!((0..end).all(|length| !taken(&bytes[..length])));
    assert!(!taken(&[&bytes[..], b"x"].concat()) && !taken(&[&bytes[..], &bytes[..]].concat()));
}

/// A key of another role signs no plan, and where it did by going around the tool, its signature does not count, even
/// among trusted keys.
#[test]
fn a_key_of_another_role_signs_no_plan() {
    for role in Role::ALL {
        let mut bench = Bench::new();
        bench.key = key(role);
        bench.plan.planner = bench.key.id();
        let payload = bench.plan.to_canonical();
        let signed = Sealed::<Plan>::sign(&payload, &bench.key);
        if role == Role::Planner {
            assert!(signed.expect("signed").verify(&bench.trust()).is_ok(), "the control");
            continue;
        }
        assert!(matches!(signed, Err(SignError::Role { .. })), "{role}");
        // The same bytes of the key under the role that may: what a thief of the file could make.
        let forged = Envelope {
            payload_type: Plan::PAYLOAD_TYPE.into(),
            payload: payload.clone(),
            signatures: vec![EnvelopeSignature { keyid: Some(bench.key.id()), sig: forged(&bench.key, &payload) }],
        };
        let forged = |trust: &TrustedKeys| Sealed::<Plan>::from_bytes(forged.to_bytes()).verify(trust);
        assert!(matches!(forged(&bench.trust()), Err(SealError::NoTrustedKey { .. })), "{role}");
        let as_planner = VerifyingKey::from_bytes(bench.key.public().as_bytes(), Role::Planner).expect("a key");
        assert!(forged(&TrustedKeys::new([as_planner]).expect("keys")).is_ok(), "{role}: the signature itself fits");
    }
}

/// A signature over a plan by a key of any role: the key file's line is rewritten to the role that may sign.
fn forged(key: &SigningKey, payload: &[u8]) -> [u8; 64] {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("key");
    key.save(&path, KeyRest::Plain).expect("saved");
    let line = std::fs::read_to_string(&path).expect("a line");
    std::fs::write(&path, line.replace(&format!(" {} ", key.role()), " planner ")).expect("written");
    let key = SigningKey::load(&path).expect("a key");
    let envelope = seal(payload, Plan::PAYLOAD_TYPE, &key).expect("sealed");
    Envelope::parse(&envelope).expect("an envelope").signatures[0].sig
}

/// Two documents with the fields of anything: what is confused must be stopped by the type, not by the fields.
#[derive(Debug, Deserialize)]
struct AnyProfile(#[allow(dead_code)] serde::de::IgnoredAny);
#[derive(Debug, Deserialize)]
struct AnyCheckpoint(#[allow(dead_code)] serde::de::IgnoredAny);

impl Document for AnyProfile {
    const PAYLOAD_TYPE: &'static str = "application/vnd.rtt.profile.v1+json";
    fn check(&self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

impl Document for AnyCheckpoint {
    const PAYLOAD_TYPE: &'static str = "application/vnd.rtt.checkpoint.v1+json";
    fn check(&self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

/// One payload, signed as a plan, a profile and a checkpoint by keys of their roles, all three trusted: each envelope
/// is taken as what it was signed as, and as nothing else, also when its type is rewritten.
#[test]
fn plan_profile_and_checkpoint_are_never_confused() {
    let bench = Bench::new();
    let payload = bench.plan.to_canonical();
    let (profiler, host) = (key(Role::Profile), key(Role::Host));
    let keys = [&bench.key, &profiler, &host].map(|key| key.public().clone());
    let keys = TrustedKeys::new(keys).expect("keys");
    let types = [Plan::PAYLOAD_TYPE, AnyProfile::PAYLOAD_TYPE, AnyCheckpoint::PAYLOAD_TYPE];
    for (key, signed_as) in [&bench.key, &profiler, &host].into_iter().zip(types) {
        for other in types.into_iter().filter(|other| *other != signed_as) {
            assert!(matches!(seal(&payload, other, key), Err(SignError::Role { .. })), "{signed_as} key, {other}");
        }
        let envelope = Envelope::parse(&seal(&payload, signed_as, key).expect("sealed")).expect("an envelope");
        for read_as in types {
            for told in types {
                let retyped = Envelope { payload_type: told.into(), ..envelope.clone() }.to_bytes();
                let taken = match read_as {
                    Plan::PAYLOAD_TYPE => Sealed::<Plan>::from_bytes(retyped).verify(&keys).is_ok(),
                    AnyProfile::PAYLOAD_TYPE => Sealed::<AnyProfile>::from_bytes(retyped).verify(&keys).is_ok(),
                    _ => Sealed::<AnyCheckpoint>::from_bytes(retyped).verify(&keys).is_ok(),
                };
                let genuine = signed_as == told && told == read_as;
                assert_eq!(taken, genuine, "signed as {signed_as}, says {told}, read as {read_as}");
            }
        }
    }
    // What the signature covers cannot be read as another pair of type and payload.
    assert_ne!(pae(types[0], &payload), pae(types[1], &payload));
}

/// A host's own key is worth nothing for plans, though the host trusts it for its log.
#[test]
fn a_host_key_cannot_plan_for_its_host() {
    let mut bench = Bench::new();
    let host = key(Role::Host);
    bench.host.host = HostId::of(host.public()).expect("a host key");
    bench.plan.audience = bench.host.host;
    assert_eq!(Plan::admit(&bench.verified(), &bench.host, NOW), Ok(()), "the control");
    assert!(Sealed::<Plan>::sign(&bench.plan.to_canonical(), &host).is_err());
}

/// S + L: a second signature of the same plan, for whoever does not check the range of S.
#[test]
fn a_malleated_signature_is_refused() {
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let bench = Bench::new();
    let mut envelope = sealed(&bench);
    let verify = |envelope: &Envelope| Sealed::<Plan>::from_bytes(envelope.to_bytes()).verify(&bench.trust());
    assert!(verify(&envelope).is_ok());
    let mut times = 0;
    loop {
        let mut carry = 0;
        for (byte, add) in envelope.signatures[0].sig[32..].iter_mut().zip(L) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = carry as u8;
            carry >>= 8;
        }
        if carry != 0 {
            break; // S + 15 L or so no longer fits 256 bits.
        }
        times += 1;
        assert!(matches!(verify(&envelope), Err(SealError::Signature { .. })), "S + {times} L");
    }
    assert!(times >= 14, "{times}");
}

/// Other encodings of the same bytes: base64 without padding, of another alphabet, with spare bits or white space.
#[test]
fn other_encodings_of_the_same_envelope_are_refused() {
    let mut bench = Bench::new();
    while bench.plan.to_canonical().len() % 3 != 1 {
        bench.plan.sequence *= 10; // One more digit, until the base64 has padding to play with.
    }
    let text = String::from_utf8(sealed(&bench).to_bytes()).expect("text");
    let payload = STANDARD.encode(bench.plan.to_canonical());
    assert!(payload.ends_with("=="));
    let verify = |text: String| Sealed::<Plan>::from_bytes(text.into_bytes()).verify(&bench.trust());
    assert!(verify(text.clone()).is_ok());
    let spare = payload.replace("Q==", "R==").replace("g==", "h==").replace("w==", "x==").replace("A==", "B==");
    for other in [
        payload.trim_end_matches('=').to_owned(),
        spare,
        format!("{payload}="),
        format!(" {payload}"),
        format!("{}\\n{}", &payload[..4], &payload[4..]),
        format!("{payload}{payload}"),
        String::new(),
    ] {
        assert_ne!(other, payload);
        assert!(verify(text.replace(&payload, &other)).is_err(), "{other:.60}");
    }
    for other in [
        text.replacen("\"keyid\"", "\"keyid\":\"0123456789abcdef\",\"keyid\"", 1),
        text.replacen("\"payload\"", "\"payload\":\"\",\"payload\"", 1),
        text.replacen("\"payload\"", "\"extra\":1,\"payload\"", 1),
        text.replacen("\"payloadType\"", "\"PayloadType\"", 1),
    ] {
        assert_ne!(other, text);
        assert!(verify(other.clone()).is_err(), "{other:.80}");
    }
}
