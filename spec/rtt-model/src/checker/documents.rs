//! The plans of the model: good ones, and those of somebody who wishes us ill.
//!
//! Each participant runs a content: `A` at first. A plan gives all of them another one.

use std::sync::LazyLock;

use crate::{Begin, HostId, KeyId, Kind, PlanId, Root};

/// Participants of every plan but the empty one.
pub const PARTICIPANTS: usize = 3;
/// Number of plan ids, which are the bytes `0..PLANS`, each 32 times.
pub const PLANS: usize = 10;
/// Number of keys, likewise.
pub const KEYS: usize = 2;
/// The host whose log it is.
pub const HOST: HostId = HostId([1; 32]);
/// What a participant runs.
pub type Content = u8;
/// What every participant runs at first.
pub const A: Content = 0;
const B: Content = 1;
const C: Content = 2;
/// What somebody wrote behind the reconciler's back.
pub const DRIFT: Content = 3;

/// A plan in its envelope.
#[derive(Debug)]
pub struct Document {
    /// Whether the signature is that of a key which may sign plans.
    pub is_signed: bool,
    /// What Begin takes from it; the clock is put in when it is handed in.
    pub begin: Begin,
    /// What each participant runs afterwards.
    pub content: Content,
}

/// Every document.
pub static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    vec![
        apply(0, 2, B, |_| {}),
        // Made for the state behind the first: the way back, signed.
        apply(1, 3, A, |begin| (begin.kind, begin.base_generation, begin.base_root) = (Kind::Rollback, 1, all(B))),
        // Good at first. After the way back it meets its root again, and an older sequence, but not its generation.
        apply(2, 4, C, |_| {}),
        // Goes on from what a rollback leaves, signed or automatic.
        apply(3, 5, B, |begin| begin.base_generation = 2),
        Document { is_signed: false, ..apply(4, 6, C, |_| {}) },
        apply(5, 6, C, |begin| begin.audience = HostId([9; 32])),
        // Valid in the first second alone, and verified with an older trust root than the others.
        apply(6, 6, C, |begin| (begin.expires_unix_s, begin.trust_version) = (1, 0)),
        // Valid from the second second on, and made for an older build.
        apply(7, 6, C, |begin| (begin.not_before_unix_s, begin.build) = (1, 0)),
        // Says that it rolls back, and leads to where nobody was.
        apply(8, 7, C, |begin| begin.kind = Kind::Rollback),
        // Changes nothing, and is older than the others.
        apply(9, 1, A, |begin| begin.participants = 0),
        // The first plan in the envelope of another key.
        apply(0, 2, B, |begin| begin.key = KeyId([1; 32])),
    ]
});

/// The document of a plan. Two documents of one plan differ in nothing but the key.
pub fn document(plan: PlanId) -> &'static Document {
    DOCUMENTS.iter().find(|document| document.begin.plan == plan).expect("a plan of the model")
}

/// The root of what the participants run.
pub fn root(contents: [Content; PARTICIPANTS]) -> Root {
    let mut bytes = [0; 32];
    bytes[..PARTICIPANTS].copy_from_slice(&contents);
    Root(bytes)
}

/// What the participants run under a root.
pub fn contents(root: Root) -> [Content; PARTICIPANTS] {
    [root.0[0], root.0[1], root.0[2]]
}

fn all(content: Content) -> Root {
    root([content; PARTICIPANTS])
}

fn apply(plan: u8, sequence: u64, content: Content, change: impl FnOnce(&mut Begin)) -> Document {
    let mut begin = Begin {
        plan: PlanId([plan; 32]),
        kind: Kind::Apply,
        key: KeyId([0; 32]),
        sequence,
        audience: HOST,
        base_generation: 0,
        base_root: all(A),
        target_root: all(content),
        participants: PARTICIPANTS as u8,
        not_before_unix_s: 0,
        expires_unix_s: 9,
        now_unix_s: 0,
        trust_version: 1,
        build: 1,
    };
    change(&mut begin);
    Document { is_signed: true, begin, content }
}
