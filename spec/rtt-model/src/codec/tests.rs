//! One encoding for each action, and an error for all other bytes.

use proptest::prelude::*;

use super::*;

fn actions() -> impl Strategy<Value = Action> {
    let id = any::<[u8; 32]>;
    let reason = || (0..Reason::ALL.len()).prop_map(|index| Reason::ALL[index]);
    prop_oneof![
        (id(), id()).prop_map(|(host, root)| Action::Genesis { host: HostId(host), root: Root(root) }),
        begins().prop_map(Action::Begin),
        (id(), any::<u8>()).prop_map(|(plan, participant)| Action::Prepared { plan: PlanId(plan), participant }),
        (id(), any::<u64>()).prop_map(|(plan, generation)| Action::Commit { plan: PlanId(plan), generation }),
        (id(), any::<u8>()).prop_map(|(plan, participant)| Action::Committed { plan: PlanId(plan), participant }),
        (id(), id()).prop_map(|(plan, root)| Action::Verified { plan: PlanId(plan), root: Root(root) }),
        (id(), reason()).prop_map(|(plan, reason)| Action::Abort { plan: PlanId(plan), reason }),
        (id(), reason()).prop_map(|(plan, reason)| Action::Undo { plan: PlanId(plan), reason }),
        (id(), any::<u64>(), id()).prop_map(|(plan, generation, root)| Action::RolledBack {
            plan: PlanId(plan),
            generation,
            root: Root(root)
        }),
        (id(), id()).prop_map(|(plan, row)| Action::Grant { plan: PlanId(plan), capability: CapabilityId(row) }),
        (any::<u64>(), id()).prop_map(|(size, root)| Action::Checkpoint { size, root: Root(root) }),
    ]
}

fn begins() -> impl Strategy<Value = Begin> {
    let ids = prop::array::uniform5(any::<[u8; 32]>());
    let numbers = prop::array::uniform7(any::<u64>());
    (ids, numbers, 0..Kind::ALL.len(), any::<u8>()).prop_map(|(ids, numbers, kind, participants)| Begin {
        plan: PlanId(ids[0]),
        kind: Kind::ALL[kind],
        key: KeyId(ids[1]),
        sequence: numbers[0],
        audience: HostId(ids[2]),
        base_generation: numbers[1],
        base_root: Root(ids[3]),
        target_root: Root(ids[4]),
        participants,
        not_before_unix_s: numbers[2],
        expires_unix_s: numbers[3],
        now_unix_s: numbers[4],
        trust_version: numbers[5],
        build: numbers[6],
    })
}

/// Any bytes, and those that begin with a kind and have its length.
fn byte_strings() -> impl Strategy<Value = Vec<u8>> {
    let shaped = (any::<u8>(), prop::collection::vec(any::<u8>(), ENCODED_MAX)).prop_map(|(draw, mut bytes)| {
        bytes[0] = if draw % 12 == 11 { 255 } else { draw % 12 };
        bytes.truncate(encoded_length(bytes[0]).unwrap_or(usize::from(draw)));
        bytes
    });
    prop_oneof![shaped, prop::collection::vec(any::<u8>(), 0..=ENCODED_MAX + 1)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// MODEL-1
    #[test]
    fn an_action_survives_its_bytes(action in actions()) {
        let bytes = action.encode();
        prop_assert_eq!(bytes[0], action.kind());
        prop_assert!(bytes.len() <= ENCODED_MAX);
        prop_assert_eq!(Action::decode(&bytes), Ok(action));
    }

    /// MODEL-1
    #[test]
    fn any_bytes_are_one_action_or_an_error(bytes in byte_strings()) {
        if let Ok(action) = Action::decode(&bytes) {
            prop_assert_eq!(action.encode(), bytes);
        }
    }

    /// A record that was cut or has something behind it is none.
    #[test]
    fn another_length_is_an_error(action in actions(), cut in any::<prop::sample::Index>(), more in any::<u8>()) {
        let mut bytes = action.encode();
        prop_assert!(Action::decode(&bytes[..cut.index(bytes.len())]).is_err());
        bytes.push(more);
        prop_assert!(Action::decode(&bytes).is_err());
    }
}

/// The bytes are a format: logs that were written stay readable.
#[test]
fn the_layout_is_what_it_was() {
    let plan = PlanId([7; 32]);
    let check = |action: Action, tail: &[u8]| {
        let head = [&[action.kind()][..], &plan.0].concat();
        assert_eq!(action.encode(), [&head[..], tail].concat(), "{action:?}");
    };
    check(Action::Commit { plan, generation: 0x0102 }, &[2, 1, 0, 0, 0, 0, 0, 0]);
    check(Action::Prepared { plan, participant: 9 }, &[9]);
    check(Action::Undo { plan, reason: Reason::VerifyFailed }, &[5]);
    for (reason, code) in Reason::ALL.into_iter().zip(1..) {
        check(Action::Abort { plan, reason }, &[code]);
    }
}

#[test]
fn errors_name_what_was_found() {
    for (bytes, words) in [
        (&[][..], "record is empty, expected an action"),
        (&[11], "record has kind 11, which no action has"),
        (&[0; 9], "record has kind 0, which no action has"),
        (&[255; 9], "record of kind 255 has 9 bytes, expected 41"),
        (&[7; 34], ""),
        (&[8; 34], "record has 8 at byte 33, where it stands for nothing"),
    ] {
        let found = Action::decode(bytes).err().map_or(String::new(), |error| error.to_string());
        assert_eq!(found, words, "{bytes:?}");
    }
}
