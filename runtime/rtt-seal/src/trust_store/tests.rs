//! The walk on disk: begun once, followed whole or not at all, never back.

use super::*;
use crate::trust_root::tests::{Draft, END, NOW, draft};
use std::os::unix::fs::PermissionsExt;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().expect("a directory"));
        TrustStore::begin(&place.trust(), draft().signed(&[1, 2]), NOW).expect("begun");
        place
    }

    fn trust(&self) -> PathBuf {
        self.0.path().join("trust")
    }

    fn load(&self) -> Result<TrustStore, TrustStoreError> {
        TrustStore::load(&self.trust())
    }

    /// Follows `versions` and returns the version that a new process would find.
    fn follow(&self, versions: Vec<Sealed<TrustRoot>>, now: u64) -> (bool, u64) {
        let mut store = self.load().expect("a store");
        let followed = store.follow(versions, now);
        let found = self.load().expect("a store").current().version;
        assert_eq!(store.current().version, found, "memory and disk agree");
        (followed.is_ok(), found)
    }
}

fn version(version: u64) -> Draft {
    Draft { version, ..draft() }
}

/// Signed by root keys that may, each version by those before.
fn good(number: u64) -> Sealed<TrustRoot> {
    version(number).signed(&[1, 3])
}

/// SEAL-16
#[test]
fn a_walk_is_followed_whole_or_not_at_all() {
    for (versions, now, expected) in [
        (vec![], NOW, (true, 1)),
        (vec![good(2)], NOW, (true, 2)),
        (vec![good(2), good(3), good(4)], NOW, (true, 4)),
        (vec![good(1), good(2)], NOW, (true, 2)),
        // The last one is bad, so that the good one before it is not kept either.
        (vec![good(2), version(3).signed(&[1])], NOW, (false, 1)),
        (vec![good(2), good(4)], NOW, (false, 1)),
        (vec![good(2), good(2)], NOW, (false, 1)),
        (vec![good(3)], NOW, (false, 1)),
        // The last one is over, whatever was on the way.
        (vec![good(2), Draft { expires: NOW, ..version(3) }.signed(&[1, 2])], NOW, (false, 1)),
        (vec![Draft { expires: NOW - 5, ..version(2) }.signed(&[1, 2]), good(3)], NOW, (true, 3)),
        (vec![good(2)], END, (false, 1)),
    ] {
        let told: Vec<_> = versions.iter().map(|sealed| sealed.unproven().expect("a document").version).collect();
        assert_eq!(Place::new().follow(versions, now), expected, "{told:?} at {now}");
    }
}

/// SEAL-16: what was followed once is the floor, also for a new process.
#[test]
fn trust_never_goes_back() {
    let place = Place::new();
    assert_eq!(place.follow(vec![good(2), good(3)], NOW), (true, 3));
    assert_eq!(place.follow(vec![good(2)], NOW), (true, 3), "what is known is passed over");
    let fork = Draft { planners: vec![66], ..version(2) }.signed(&[1, 2]);
    assert_eq!(place.follow(vec![fork.clone()], NOW), (false, 3));
    assert_eq!(place.follow(vec![fork, good(3), good(4)], NOW), (false, 3));
    let again = TrustStore::begin(&place.trust(), draft().signed(&[1, 2]), NOW);
    assert!(matches!(again, Err(TrustStoreError::Exists { .. })), "nor is it begun anew");
    assert_eq!(place.load().expect("a store").files().len(), 3);
}

#[test]
fn what_does_not_lie_in_the_directory_as_it_was_put_there_is_refused() {
    let place = Place::new();
    assert_eq!(place.follow(vec![good(2), good(3)], NOW), (true, 3));
    let file = |number| path_of(&place.trust(), number);
    let second = std::fs::read(file(2)).expect("the file");
    std::fs::remove_file(file(2)).expect("removed");
    assert!(matches!(place.load(), Err(TrustStoreError::Gap { path }) if path == file(2)));
    good(3).save(&file(2)).expect("written");
    assert!(matches!(place.load(), Err(TrustStoreError::Refused { path, .. }) if path == file(2)));
    std::fs::write(file(2), &second).expect("written");
    assert!(place.load().is_ok());
    std::fs::set_permissions(place.trust(), std::fs::Permissions::from_mode(0o777)).expect("chmod");
    assert!(matches!(place.load(), Err(TrustStoreError::Writable { mode: 0o777, .. })));
    std::fs::set_permissions(place.trust(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
    assert!(place.load().is_ok());
    for name in ["README", "02.json", "+2.json", "0.json", "2.json.bak"] {
        std::fs::write(place.trust().join(name), "x").expect("written");
    }
    assert_eq!(place.load().expect("other names are not looked at").current().version, 3);
    for version in 1..=3 {
        assert_eq!(TrustStore::load_at(&place.trust(), version).expect("followed").current().version, version);
    }
    let unknown = TrustStore::load_at(&place.trust(), 4);
    assert!(
        matches!(unknown, Err(TrustStoreError::Gap { path }) if path == file(4)),
        "what was not followed is not known"
    );
    assert!(matches!(TrustStore::load(&place.0.path().join("none")), Err(TrustStoreError::Empty { .. })));
}

#[test]
fn a_first_version_that_does_not_hold_leaves_nothing() {
    let place = Place(tempfile::tempdir().expect("a directory"));
    for (sealed, now) in [(draft().signed(&[1]), NOW), (good(2), NOW), (draft().signed(&[1, 2]), END)] {
        assert!(TrustStore::begin(&place.trust(), sealed, now).is_err());
        assert!(!place.trust().exists());
    }
    assert!(TrustStore::begin(&place.trust(), draft().signed(&[1, 2]), NOW).is_ok());
    let keys = place.load().expect("a store").trusted(Role::Planner, NOW).expect("keys");
    assert_eq!(keys.iter().count(), 1);
}
