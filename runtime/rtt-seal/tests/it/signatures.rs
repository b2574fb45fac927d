//! Ed25519 by cases, in the manner of Wycheproof: what is almost a signature of a document, and is none.
//!
//! The cases are derived here from one good signature: scalars out of range, points in other encodings, of small order and
//! outside the group, other messages, other variants of the scheme, other lengths. Where the library's looser check
//! takes a case, the table says so: the attack is real and the strict check is what stops it.

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier};
use rtt_seal::{Document, Envelope, EnvelopeSignature, Role, SealError, Sealed, TrustedKeys, VerifyingKey, pae};
use serde::Deserialize;

const PAYLOAD: &[u8] = br#"{"text":"hi"}"#;
/// The order of the group, little endian.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    #[allow(dead_code)]
    text: String,
}

impl Document for Note {
    const PAYLOAD_TYPE: &'static str = "application/vnd.rtt.profile.v1+json";

    fn check(&self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn message() -> Vec<u8> {
    pae(Note::PAYLOAD_TYPE, PAYLOAD)
}

fn good() -> [u8; 64] {
    key().sign(&message()).to_bytes()
}

/// Whether the strict reader, and whether the library's loose check, takes `sig` for the note under the key.
fn taken(sig: [u8; 64]) -> (bool, bool) {
    let public = VerifyingKey::from_bytes(key().verifying_key().as_bytes(), Role::Profile).expect("a key");
    let keys = TrustedKeys::new([public.clone()]).expect("keys");
    let verify = |keyid| {
        let signatures = vec![EnvelopeSignature { keyid, sig }];
        let envelope = Envelope { payload_type: Note::PAYLOAD_TYPE.into(), payload: PAYLOAD.into(), signatures };
        match Sealed::<Note>::from_bytes(envelope.to_bytes()).verify(&keys) {
            Ok(_) => true,
            Err(SealError::Signature { .. } | SealError::NoTrustedKey { .. }) => false,
            Err(other) => panic!("{other}"),
        }
    };
    let (named, unnamed) = (verify(Some(public.id())), verify(None));
    assert_eq!(named, unnamed, "a key id only narrows");
    (named, key().verifying_key().verify(&message(), &Signature::from_bytes(&sig)).is_ok())
}

fn check(name: &str, sig: [u8; 64], loose: bool) {
    assert_ne!(sig, good(), "{name} is another signature");
    assert_eq!(taken(sig), (false, loose), "{name}");
}

fn with_r(r: [u8; 32]) -> [u8; 64] {
    let mut sig = good();
    sig[..32].copy_from_slice(&r);
    sig
}

fn with_s(s: [u8; 32]) -> [u8; 64] {
    let mut sig = good();
    sig[32..].copy_from_slice(&s);
    sig
}

/// Little-endian sum, and whether it fits.
fn sum(left: [u8; 32], right: [u8; 32]) -> Option<[u8; 32]> {
    let (mut sum, mut carry) = ([0; 32], 0);
    for ((out, a), b) in sum.iter_mut().zip(left).zip(right) {
        carry += u16::from(a) + u16::from(b);
        *out = carry as u8;
        carry >>= 8;
    }
    (carry == 0).then_some(sum)
}

/// The encodings of the points of small order, the canonical eight first.
fn small_order() -> Vec<[u8; 32]> {
    let order_8: [u8; 32] = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ];
    let other_8: [u8; 32] = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ];
    let p = |low: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (low, 0x7f);
        bytes
    };
    let one = |low: u8| {
        let mut bytes = [0; 32];
        bytes[0] = low;
        bytes
    };
    let negative = |mut bytes: [u8; 32]| {
        bytes[31] |= 0x80;
        bytes
    };
    let points = [one(1), p(0xec), one(0), order_8, other_8, p(0xed), p(0xee)];
    points.into_iter().flat_map(|point| [point, negative(point)]).collect()
}

#[test]
fn the_good_signature_is_taken() {
    assert_eq!(taken(good()), (true, true));
}

#[test]
fn scalars_out_of_range_are_refused() {
    let mut s: [u8; 32] = good()[32..].try_into().expect("32 bytes");
    let mut times = 0;
    while let Some(next) = sum(s, L) {
        (s, times) = (next, times + 1);
        check(&format!("S + {times} L"), with_s(s), false);
    }
    assert!(times >= 14, "{times}");
    let minus_one = {
        let mut bytes = L;
        bytes[0] -= 1;
        bytes
    };
    for (name, s) in [("0", [0; 32]), ("L - 1", minus_one), ("L", L), ("2^256 - 1", [0xff; 32])] {
        check(&format!("S = {name}"), with_s(s), false);
    }
    for bit in 252..256 {
        let mut sig = good();
        sig[32 + bit / 8] ^= 1 << (bit % 8);
        check(&format!("S with bit {bit}"), sig, false);
    }
}

#[test]
fn other_points_in_place_of_r_are_refused() {
    for point in small_order() {
        check(&format!("R = {point:02x?}"), with_r(point), false);
    }
    // y from p to 2^255 - 1, each sign: second encodings, and what is no point at all.
    for (low, high) in (0xed..=0xff_u8).flat_map(|low| [(low, 0x7f), (low, 0xff)]) {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (low, high);
        check(&format!("R = {low:02x}ff..{high:02x}"), with_r(bytes), false);
    }
    let mut negative: [u8; 32] = good()[..32].try_into().expect("32 bytes");
    negative[31] ^= 0x80;
    check("-R", with_r(negative), false);
    check("R = A", with_r(key().verifying_key().to_bytes()), false);
}

/// R plus a point of small order: the equation with the cofactor holds, and the one without does not. Whoever checks
/// batches takes it; a single check of either kind in the library does not.
#[test]
fn r_outside_of_the_group_is_refused() {
    let point = |bytes: &[u8; 32]| ed25519_dalek::VerifyingKey::from_bytes(bytes).expect("a point").to_edwards();
    let r = point(&good()[..32].try_into().expect("32 bytes"));
    let mut different = 0;
    for torsion in small_order().iter().skip(1) {
        let moved = (r + point(torsion)).compress().to_bytes();
        if moved != good()[..32] {
            different += 1;
            check(&format!("R + {torsion:02x?}"), with_r(moved), false);
        }
    }
    assert!(different >= 7, "{different}");
}

/// The holder of the key can make this one: R is the identity and S = H(R, A, M) a. The loose check takes it, so that a
/// document would have more than one signature; the strict check does not.
#[test]
fn a_signature_over_a_small_order_r_fits_only_the_loose_check() {
    // Computed apart from this code, for the key of the seed [1; 32] and this message.
    const S: [u8; 32] = [
        0xfa, 0x08, 0x7c, 0xd5, 0xdf, 0x22, 0xd7, 0x45, 0x0b, 0x27, 0x6f, 0xf7, 0x90, 0x18, 0x44, 0x39, 0xa5, 0x86,
        0xd5, 0x34, 0x85, 0x27, 0x7a, 0x1e, 0x6c, 0xf7, 0x77, 0xdf, 0x87, 0xbb, 0xd6, 0x0e,
    ];
    let mut sig = with_s(S);
    sig[..32].fill(0);
    sig[0] = 1;
    check("R = identity, S = k a", sig, true);
    sig[31] |= 0x80; // The identity in another encoding, which no check takes.
    check("R = -0 identity, S = k a", sig, false);
}

#[test]
fn signatures_of_anything_else_are_refused() {
    let sign = |message: &[u8]| key().sign(message).to_bytes();
    let other = SigningKey::from_bytes(&[6; 32]);
    check("of the bare payload", sign(PAYLOAD), false);
    check("of nothing", sign(b""), false);
    check("of another type", sign(&pae("application/vnd.rtt.plan.v1+json", PAYLOAD)), false);
    check("of another payload", sign(&pae(Note::PAYLOAD_TYPE, b"{}")), false);
    check("of the encoding with a byte more", sign(&[&message()[..], b"\0"].concat()), false);
    check("of the encoding's digest", sign(&rtt_seal::Digest::of(&message()).0), false);
    check("by another key", other.sign(&message()).to_bytes(), false);
    let mut swapped = good();
    swapped.rotate_left(32);
    check("S before R", swapped, false);
    let mut reversed = good();
    reversed.reverse();
    check("backward", reversed, false);
    check("zeros", [0; 64], false);
    check("ones", [0xff; 64], false);
    check("of another nonce, S of this one", with_r(sign(b"x")[..32].try_into().expect("32 bytes")), false);
    for bit in 0..512 {
        let mut flipped = good();
        flipped[bit / 8] ^= 1 << (bit % 8);
        check(&format!("bit {bit}"), flipped, false);
    }
}

#[test]
fn signatures_of_another_length_are_refused() {
    let keys =
        TrustedKeys::new([VerifyingKey::from_bytes(key().verifying_key().as_bytes(), Role::Profile).expect("a key")]);
    let keys = keys.expect("keys");
    for length in [0, 1, 32, 63, 64, 65, 96, 128] {
        let bytes: Vec<u8> = good().into_iter().chain(good()).take(length).collect();
        let text = format!(
            r#"{{"payloadType":"{}","payload":"{}","signatures":[{{"sig":"{}"}}]}}"#,
            Note::PAYLOAD_TYPE,
            STANDARD.encode(PAYLOAD),
            STANDARD.encode(bytes)
        );
        let verified = Sealed::<Note>::from_bytes(text.into_bytes()).verify(&keys);
        assert_eq!(verified.is_ok(), length == 64, "{length} bytes");
    }
}
