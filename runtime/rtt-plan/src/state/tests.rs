//! States against a plain model: roots, canonical form, what ops make of them.

use super::*;
use proptest::prelude::*;

fn item(byte: u8) -> Item {
    Item { object: Digest([byte; 32]), mode: None }
}

fn put(path: &str, byte: u8, before: Before) -> Op {
    let mode = FileMode::new(0o644).expect("a mode");
    Op::FilePut { path: path.parse().expect(path), object: Digest([byte; 32]), mode, before }
}

fn remove(path: &str, byte: u8) -> Op {
    Op::FileRemove { path: path.parse().expect(path), before: Digest([byte; 32]) }
}

fn state(files: &[(&str, u8)], rings: &[(&str, u8)]) -> HostState {
    let mut state = HostState::empty();
    for (participant, items) in [(Op::FILES, files), (Op::RINGS, rings)] {
        let items = items.iter().map(|(name, byte)| ((*name).to_owned(), item(*byte))).collect();
        state.participants.insert(participant.to_owned(), Inventory { items });
    }
    state
}

/// PLAN-4
#[test]
fn states_that_differ_have_different_roots() {
    let mut with_mode = state(&[("a", 1)], &[]);
    let files = with_mode.participants.get_mut(Op::FILES).expect("files");
    files.items.get_mut("a").expect("a").mode = FileMode::new(0o600);
    let mut one_more = HostState::empty();
    one_more.participants.insert("views".into(), Inventory::default());
    let states = [
        HostState::default(),
        HostState::empty(),
        one_more,
        state(&[("a", 1)], &[]),
        state(&[("a", 2)], &[]),
        state(&[("b", 1)], &[]),
        state(&[("a", 1), ("b", 1)], &[]),
        state(&[], &[("a", 1)]),
        with_mode,
    ];
    for (index, left) in states.iter().enumerate() {
        for right in &states[..index] {
            assert_ne!(left.root(), right.root(), "{left:?} {right:?}");
        }
        assert_ne!(left.root(), StateRoot(Digest([0; 32])), "also the root of nothing is a hash");
    }
    let parts = [("a", Digest([1; 32])), ("b", Digest([2; 32]))];
    assert_eq!(StateRoot::of(parts), StateRoot::of([parts[1], parts[0]]), "sorted by name");
    assert_ne!(StateRoot::of([("ab", parts[0].1)]), StateRoot::of([("cd", parts[0].1)]), "the name counts");
    // Two participants are not one whose name goes on with the first one's digest.
    let (text, two) = (Digest([b'a'; 32]), Digest([2; 32]));
    let joined = format!("a{}b", "a".repeat(32));
    assert_ne!(StateRoot::of([("a", text), ("b", two)]), StateRoot::of([(joined.as_str(), two)]));
    // What moves between name and digest changes the root.
    assert_ne!(StateRoot::of([("ab", Digest([1; 32]))]), StateRoot::of([("a", Digest([1; 32]))]));
}

#[test]
fn a_state_has_one_text() {
    let files = &state(&[("b", 1), ("a", 2)], &[]).participants[Op::FILES];
    let text = String::from_utf8(files.to_canonical()).expect("text");
    assert!(text.starts_with(r#"{"a":{"object":"0202"#), "{text}");
    assert_eq!(Inventory::from_canonical(text.as_bytes()).as_ref(), Ok(files));
    assert_eq!(Inventory::default().to_canonical(), b"{}");
    for wrong in [
        format!("{text} "),
        text.replace(':', ": "),
        text.replace("\"a\"", "\"\\u0061\""),
        "[]".into(),
        String::new(),
        text.replace("\"b\"", "\"a\""),
        text.replace("\"a\"", "\"z\""),
    ] {
        assert!(Inventory::from_canonical(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

/// PLAN-3
#[test]
fn an_op_is_carried_out_only_where_its_precondition_holds() {
    let object = |byte| Before::Object(Digest([byte; 32]));
    for (files, op, expected) in [
        (&[][..], put("a", 1, Before::Absent), Ok(())),
        (&[("a", 1)], put("a", 2, object(1)), Ok(())),
        (&[("a", 1)], remove("a", 1), Ok(())),
        (&[("a", 1)], put("a", 2, Before::Absent), Err((object(1), Before::Absent))),
        (&[("a", 1)], put("a", 1, Before::Absent), Err((object(1), Before::Absent))),
        (&[("a", 1)], put("a", 2, object(3)), Err((object(1), object(3)))),
        (&[], put("a", 2, object(1)), Err((Before::Absent, object(1)))),
        (&[], remove("a", 1), Err((Before::Absent, object(1)))),
        (&[("a", 2)], remove("a", 1), Err((object(2), object(1)))),
    ] {
        let before = state(files, &[]);
        let after = before.after(std::slice::from_ref(&op));
        match expected {
            Ok(()) => {
                let after = after.unwrap_or_else(|error| panic!("{op:?}: {error}"));
                assert_eq!(after.participants[Op::FILES].items.get("a"), op.after().as_ref());
            }
            Err((found, expected)) => {
                let source = ConflictError::Before { participant: Op::FILES, item: "a".into(), found, expected };
                assert_eq!(after, Err(EffectError::Op { index: 0, source }));
            }
        }
    }
}

#[test]
fn a_file_and_a_directory_of_one_name_exclude_each_other() {
    let before = state(&[("a", 1), ("c", 1)], &[]);
    let error = before.after(&[put("b", 1, Before::Absent), put("a/b", 2, Before::Absent)]).expect_err("refused");
    assert!(
        matches!(&error, EffectError::Op { index: 1, source: ConflictError::FileAndDirectory { file, below } }
        if file == "a" && below == "a/b"),
        "{error:?}"
    );
    assert!(before.after(&[put("a.b", 1, Before::Absent), put("ab/c", 1, Before::Absent)]).is_ok());
    for ops in [[put("a/b", 2, Before::Absent), remove("a", 1)], [remove("a", 1), put("a/b", 2, Before::Absent)]] {
        let after = before.after(&ops).expect("in either order");
        assert_eq!(after.participants[Op::FILES].items.keys().collect::<Vec<_>>(), ["a/b", "c"]);
    }
}

proptest! {
    /// Whatever files there are, ops that say what stands there lead to exactly what they say, and those that take it
    /// back lead to the root from before.
    #[test]
    fn ops_lead_where_they_say_and_back(
        before in prop::collection::btree_map("[a-c]{1,2}", 0_u8..3, 0..6),
        after in prop::collection::btree_map("[a-c]{1,2}", 0_u8..3, 0..6),
    ) {
        let build = |files: &BTreeMap<String, u8>| {
            let files: Vec<_> = files.iter().map(|(name, byte)| (name.as_str(), *byte)).collect();
            let mut state = state(&files, &[]);
            for item in state.participants.get_mut(Op::FILES).expect("files").items.values_mut() {
                item.mode = FileMode::new(0o644);
            }
            state
        };
        let ops = |from: &BTreeMap<String, u8>, to: &BTreeMap<String, u8>| -> Vec<Op> {
            let at = |name: &str| from.get(name).map_or(Before::Absent, |byte| Before::Object(Digest([*byte; 32])));
            let puts = to.iter().map(|(name, byte)| put(name, *byte, at(name)));
            let gone = from.iter().filter(|(name, _)| !to.contains_key(*name));
            puts.chain(gone.map(|(name, byte)| remove(name, *byte))).collect()
        };
        let there = build(&before).after(&ops(&before, &after)).expect("there");
        prop_assert_eq!(&there, &build(&after));
        let back = there.after(&ops(&after, &before)).expect("back");
        prop_assert_eq!(back.root(), build(&before).root());
    }
}

/// What cannot be read back is not begun: the limit counts for what ops make of a state too.
#[test]
fn a_state_that_is_too_large_to_be_told_is_not_made() {
    let mut large = HostState::empty();
    let name = |index: usize| format!("{index:08}{}", "a".repeat(192));
    let each = Inventory { items: [(name(0), item(1))].into() }.to_canonical().len();
    let files = (0..STATE_LIMIT / each).map(|index| (name(index), item(1))).collect();
    large.participants.insert(Op::FILES.to_owned(), Inventory { items: files });
    let room = STATE_LIMIT - large.participants[Op::FILES].to_canonical().len();
    assert!(large.after(&[remove(&name(3), 1)]).is_ok(), "what shrinks is carried out");
    let ops: Vec<Op> =
        (0..=room / each + 1).map(|index| put(&format!("b/{}", name(index)), 1, Before::Absent)).collect();
    let error = large.after(&ops).expect_err("too large");
    let EffectError::Op { index, source: ConflictError::TooLarge { bytes, .. } } = &error else { panic!("{error}") };
    assert!(*index == ops.len() - 1 && *bytes > STATE_LIMIT, "{error}");
}
