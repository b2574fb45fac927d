//! Trust documents: what holds together, what follows what, and what an attacker would have followed.

use super::*;
use crate::SigningKey;
use crate::signing_key::tests::fixed_as;

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const END: u64 = NOW + 1_000;

/// Which seeds' keys are root and planner keys, how many must sign, which are revoked.
#[derive(Clone)]
pub(crate) struct Draft {
    pub version: u64,
    pub expires: u64,
    pub roots: Vec<u8>,
    pub threshold: u32,
    pub planners: Vec<u8>,
    pub revoked: Vec<u8>,
}

pub(crate) fn root_key(seed: u8) -> SigningKey {
    fixed_as(seed, Role::Root)
}

/// Version 1: root keys 1, 2 and 3 of which two must sign, planner 11.
pub(crate) fn draft() -> Draft {
    Draft { version: 1, expires: END, roots: vec![1, 2, 3], threshold: 2, planners: vec![11], revoked: vec![] }
}

impl Draft {
    pub(crate) fn document(&self) -> TrustRoot {
        let roots = self.roots.iter().map(|seed| root_key(*seed).public().clone());
        let planners = self.planners.iter().map(|seed| fixed_as(*seed, Role::Planner).public().clone());
        let revoked = self.revoked.iter().map(|seed| fixed_as(*seed, Role::Planner).id()).collect();
        let thresholds = [(Role::Root, self.threshold)].into();
        TrustRoot::new(self.version, self.expires, &thresholds, roots.chain(planners), revoked)
    }

    pub(crate) fn signed(&self, seeds: &[u8]) -> Sealed<TrustRoot> {
        signed(&self.document(), seeds)
    }
}

pub(crate) fn signed(document: &TrustRoot, seeds: &[u8]) -> Sealed<TrustRoot> {
    let mut seeds = seeds.iter().map(|seed| root_key(*seed));
    let first = seeds.next().expect("a signer");
    let sealed = Sealed::sign(&document.to_canonical(), &first).expect("signed");
    seeds.fold(sealed, |sealed, key| sealed.cosign(&key).expect("signed"))
}

fn first() -> Verified<TrustRoot> {
    TrustRoot::first(draft().signed(&[1, 2])).expect("the first version")
}

type Change = fn(&mut Draft);

/// The next version after `change`, signed by `seeds`: followed, or refused with `part`.
fn check(change: Change, seeds: &[u8], part: Option<&str>) {
    let mut next = Draft { version: 2, ..draft() };
    change(&mut next);
    let followed = first().succeed(next.signed(seeds));
    match (followed, part) {
        (Ok(followed), None) => assert_eq!(*followed, next.document()),
        (Err(error), Some(part)) => {
            let said = crate::in_full(&error);
            assert!(said.contains(part), "{part}: {said}");
        }
        (Ok(_), Some(part)) => panic!("followed, expected {part}"),
        (Err(error), None) => panic!("{seeds:?}: {}", crate::in_full(&error)),
    }
}

/// SEAL-14
#[test]
fn the_next_version_is_signed_by_old_and_new() {
    check(|_| {}, &[1, 2], None);
    check(|_| {}, &[3, 1], None);
    check(|_| {}, &[1], Some("version 2: not signed by enough of the old root keys: 1 of the trusted keys"));
    check(|_| {}, &[7, 8], Some("enough of the old root keys: no trusted key signed this"));
    // New root keys: both sides must sign.
    let replaced: Change = |next| next.roots = vec![4, 5, 6];
    check(replaced, &[1, 2, 4, 5], None);
    check(replaced, &[1, 2], Some("enough of the new root keys"));
    check(replaced, &[1, 2, 4], Some("enough of the new root keys: 1 of the trusted keys signed this, expected 2"));
    check(replaced, &[4, 5, 6], Some("enough of the old root keys"));
    check(replaced, &[1, 4, 5, 6], Some("enough of the old root keys"));
    // A higher threshold binds the version that brings it.
    check(|next| next.threshold = 3, &[1, 2, 3], None);
    check(|next| next.threshold = 3, &[1, 2], Some("enough of the new root keys"));
    check(|next| next.threshold = 1, &[1], Some("enough of the old root keys"));
}

/// SEAL-14
#[test]
fn versions_follow_one_by_one_and_revocation_stays() {
    check(|next| next.version = 3, &[1, 2], Some("trust version is 3, expected 2"));
    check(|next| next.version = 1, &[1, 2], Some("trust version is 1, expected 2: versions follow one by one"));
    check(|next| next.version = u64::MAX, &[1, 2], Some("expected 2"));
    check(|next| next.expires = 1, &[1, 2], None); // Its time is asked for at the end of the walk.
    let revoke = Draft { version: 2, planners: vec![12], revoked: vec![11], ..draft() };
    let second = first().succeed(revoke.signed(&[1, 2])).expect("followed");
    let third = Draft { version: 3, ..revoke.clone() };
    assert!(second.succeed(third.signed(&[2, 3])).is_ok());
    let forgetful = Draft { revoked: vec![], ..third };
    let error = second.succeed(forgetful.signed(&[2, 3])).expect_err("refused");
    assert!(matches!(error, TrustRootError::Unrevoked { version: 3, .. }), "{error:?}");
    let returned = Draft { planners: vec![11], ..forgetful };
    assert!(second.succeed(returned.signed(&[2, 3])).is_err(), "a revoked key does not come back");
    assert!(matches!(
        TrustRoot::first(Draft { version: 2, ..draft() }.signed(&[1, 2])),
        Err(TrustRootError::Version { .. })
    ));
    assert!(TrustRoot::first(draft().signed(&[1])).is_err(), "the first is signed by its own threshold");
}

/// SEAL-13, behind signatures that fit.
#[test]
fn a_trust_document_that_does_not_hold_together_is_refused() {
    type Damage = (fn(&mut TrustRoot), &'static str);
    let changes: [Damage; 14] = [
        (|d| d.schema = 2, "schema is 2, expected 1"),
        (|d| d.version = 0, "version is 0"),
        (|d| d.expires_unix_s = 1 << 53, "expires_unix_s is 9007199254740992"),
        (
            |d| {
                d.thresholds.insert("root".into(), 4);
            },
            "thresholds.root is 4, expected 1..=3",
        ),
        (
            |d| {
                d.thresholds.insert("root".into(), 0);
            },
            "thresholds.root is 0, expected 1..=3",
        ),
        (
            |d| {
                d.thresholds.remove("planner");
            },
            "thresholds.planner is missing, expected 1..=1",
        ),
        (
            |d| {
                d.thresholds.insert("release".into(), 1);
            },
            "thresholds.release is 1, expected 1..=0",
        ),
        (
            |d| {
                d.thresholds.insert("king".into(), 1);
            },
            "role `king` is unknown",
        ),
        (|d| d.keys.swap(0, 1), "keys are not sorted"),
        (|d| d.keys.insert(0, d.keys[0].clone()), "stands there twice"),
        (
            |d| {
                d.keys.retain(|key| key.role != "root");
                d.thresholds.remove("root");
            },
            "keys hold none of the role `root`",
        ),
        (|d| d.revoked = vec![d.keys[0].to_key().expect("a key").id()], "is revoked"),
        (|d| d.keys[0].key = format!("AQ{}=", "A".repeat(41)), "is weak: its point has small order"),
        (|d| d.keys.push(TrustedKey { role: "release".into(), ..d.keys[0].clone() }), "expected one role for each key"),
    ];
    assert!(draft().document().check(&draft().document().to_canonical()).is_ok(), "the control");
    for (change, part) in changes {
        let mut wrong = draft().document();
        change(&mut wrong);
        let payload = wrong.to_canonical();
        let refused = Sealed::<TrustRoot>::sign(&payload, &root_key(1)).expect_err(part).to_string();
        assert!(refused.contains(part), "{part}: {refused}");
        let sealed = crate::seal(&payload, TrustRoot::PAYLOAD_TYPE, &root_key(1)).expect("sealed");
        assert!(TrustRoot::first(Sealed::from_bytes(sealed)).is_err(), "{part}");
    }
    let loose = [&draft().document().to_canonical()[..], b"\n"].concat();
    let refused = Sealed::<TrustRoot>::sign(&loose, &root_key(1)).expect_err("another text").to_string();
    assert!(refused.contains("not in canonical form"), "{refused}");
}

/// SEAL-15
#[test]
fn an_expired_document_gives_no_keys() {
    let trust = first();
    assert_eq!(trust.trusted(Role::Planner, END - 1).expect("keys").iter().count(), 1);
    for now in [END, END + 1, u64::MAX] {
        assert!(matches!(trust.trusted(Role::Planner, now), Err(TrustRootError::Expired { .. })), "{now}");
    }
    assert!(matches!(trust.trusted(Role::Release, NOW), Err(TrustRootError::NoKey { role: Role::Release, .. })));
    let roots = trust.trusted(Role::Root, NOW).expect("keys");
    assert_eq!((roots.iter().count(), roots.threshold()), (3, 2));
    assert!(trust.trusted(Role::Planner, NOW).expect("keys").iter().all(|key| key.role() == Role::Planner));
}

/// Every bit of a rotation, flipped, is refused or changes nothing.
#[test]
fn a_changed_bit_of_a_rotation_is_refused_or_changes_nothing() {
    let next = Draft { version: 2, roots: vec![4], threshold: 1, ..draft() };
    let (old, bytes) = (first(), next.signed(&[1, 2, 4]).as_bytes().to_vec());
    assert!(old.succeed(Sealed::from_bytes(bytes.clone())).is_ok());
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        if let Ok(followed) = old.succeed(Sealed::from_bytes(flipped)) {
            assert_eq!(*followed, next.document(), "byte {at}");
        }
    }
}
