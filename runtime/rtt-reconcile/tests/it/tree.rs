//! Files behind a participant: what runs is switched as a whole, and read back from the files themselves.

use crate::host::{Host, NOW, Shed, put, records, ring};
use rtt_plan::{Op, Participant, ParticipantError, PlanId};
use rtt_reconcile::{Ended, Objects, Reconciler, Told, Tree};
use rtt_seal::Digest;
use std::cell::Cell;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::rc::Rc;

fn tree(root: &Path, shed: &Shed) -> Tree<Shed> {
    Tree::new(Op::FILES, root.to_path_buf(), shed.clone())
}

fn plan(tag: &str) -> PlanId {
    PlanId(Digest::of(tag.as_bytes()))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("one").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// TREE-1, TREE-2: each of the calls twice, in the order of a transaction and of its ends.
#[test]
fn tree_2_nothing_runs_before_commit_and_nothing_is_left_after_the_way_back() {
    let (folder, shed) = (tempfile::tempdir().expect("a folder"), Shed::default());
    let mut files = tree(folder.path(), &shed);
    let ops = [put("etc/a", shed.put(b"one"), None), put("b", shed.put(b"two"), None)];
    let empty = files.scan().expect("a state");
    let twice = |files: &mut Tree<Shed>, act: fn(&mut Tree<Shed>, PlanId) -> Result<(), ParticipantError>, id| {
        act(files, id).expect("once");
        act(files, id).expect("twice");
    };
    files.prepare(plan("1"), &ops).expect("prepared");
    files.prepare(plan("1"), &ops).expect("prepared again");
    assert_eq!(files.scan().expect("a state"), empty, "TREE-2");
    assert!(!folder.path().join("current").exists());
    twice(&mut files, Tree::abort, plan("1"));
    assert!(names(&folder.path().join("generations")).is_empty() && names(&folder.path().join("undo")).is_empty());
    assert!(matches!(files.commit(plan("1")), Err(ParticipantError::NotPrepared { .. })));

    files.prepare(plan("2"), &ops).expect("prepared");
    twice(&mut files, Tree::commit, plan("2"));
    let after = files.apply_to(&empty, &ops).expect("an effect");
    assert_eq!(files.scan().expect("a state"), after);
    assert_eq!(fs::read(folder.path().join("current/etc/a")).expect("a file"), b"one");
    let mode = fs::metadata(folder.path().join("current/b")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    assert!(files.abort(plan("2")).is_err(), "what runs is not forgotten");

    let next = [Op::FileRemove { path: "b".parse().expect("a path"), before: Digest::of(b"two") }];
    files.prepare(plan("3"), &next).expect("prepared");
    files.commit(plan("3")).expect("committed");
    assert_eq!(names(&folder.path().join("current")), ["etc"]);
    twice(&mut files, Tree::undo, plan("3"));
    assert_eq!(files.scan().expect("a state"), after);
    twice(&mut files, Tree::undo, plan("2"));
    assert_eq!(files.scan().expect("a state"), empty);
    assert_eq!(names(folder.path()), ["generations", "undo"]);
}

/// TREE-1: what a crash left in the middle of each step is no state, and the step is done again over it.
#[test]
fn tree_1_a_switch_that_was_cut_off_is_done_again() {
    let (folder, shed) = (tempfile::tempdir().expect("a folder"), Shed::default());
    let mut files = tree(folder.path(), &shed);
    let ops = [put("etc/a", shed.put(b"one"), None)];
    let stage = folder.path().join(format!("generations/{}.new", plan("1")));
    fs::create_dir_all(stage.join("etc")).expect("half a stage");
    fs::write(stage.join("etc/stranger"), b"half").expect("written");
    files.prepare(plan("1"), &ops).expect("prepared over it");
    symlink("nowhere", folder.path().join("current.new")).expect("half a switch");
    files.commit(plan("1")).expect("committed over it");
    assert_eq!(names(&folder.path().join("current/etc")), ["a"]);
    assert!(!folder.path().join("current.new").is_symlink());
    fs::remove_dir_all(folder.path().join("generations").join(plan("1").to_string())).expect("removed");
    assert!(files.scan().is_err(), "a generation that is gone is not an empty one");
}

/// TREE-3: a folder that leads elsewhere is refused before anything is removed or written there.
#[test]
fn tree_3_a_folder_that_is_a_link_is_refused_and_what_it_leads_to_stays() {
    let (folder, shed) = (tempfile::tempdir().expect("a folder"), Shed::default());
    let root = folder.path().join("root");
    let mut files = tree(&root, &shed);
    let first = [put("a", shed.put(b"one"), None)];
    files.prepare(plan("1"), &first).expect("prepared");
    files.commit(plan("1")).expect("committed");
    let next = [put("b", shed.put(b"two"), None)];
    for kind in ["generations", "undo"] {
        let (own, aside, victim) = (root.join(kind), folder.path().join("aside"), folder.path().join("victim"));
        fs::create_dir_all(victim.join("deep")).expect("a folder");
        fs::write(victim.join("deep/treasure"), b"mine").expect("written");
        fs::rename(&own, &aside).expect("moved");
        symlink(&victim, &own).expect("a link");
        for refused in
            [files.prepare(plan("2"), &next), files.abort(plan("2")), files.undo(plan("1")), files.scan().map(drop)]
        {
            let error = rtt_seal::in_full(&refused.expect_err("a link"));
            assert!(error.contains("is no directory: expected a directory beside `current`"), "{error}");
        }
        assert_eq!((names(&victim), names(&victim.join("deep"))), (vec!["deep".into()], vec!["treasure".into()]));
        fs::remove_file(&own).expect("removed");
        fs::rename(&aside, &own).expect("back");
    }
    files.prepare(plan("2"), &next).expect("the control");
}

/// TREE-3: what was planted where a plan's items go is not what the plan makes, and does not run.
#[test]
fn tree_3_what_was_planted_does_not_run() {
    let (folder, shed) = (tempfile::tempdir().expect("a folder"), Shed::default());
    let (mut files, victim) = (tree(folder.path(), &shed), folder.path().join("victim"));
    let ops = [put("a", shed.put(b"one"), None)];
    fs::create_dir_all(folder.path().join("undo")).expect("a folder");
    fs::write(&victim, b"mine").expect("written");
    for number in ["1", "2", "3"] {
        let made = folder.path().join("generations").join(plan(number).to_string());
        fs::create_dir_all(made.parent().expect("a folder")).expect("made");
        match number {
            "1" => fs::create_dir(&made).and_then(|()| fs::write(made.join("evil"), b"evil")).expect("planted"),
            "2" => symlink(folder.path(), &made).expect("planted"),
            _ => symlink(&victim, folder.path().join("undo").join(plan(number).to_string())).expect("planted"),
        }
        files.prepare(plan(number), &ops).expect("prepared over it");
        files.commit(plan(number)).expect("committed");
        assert_eq!(names(&folder.path().join("current")), ["a"], "plan {number}");
        files.undo(plan(number)).expect("undone");
        assert!(!folder.path().join("current").exists(), "plan {number}");
    }
    assert_eq!(fs::read(&victim).expect("there"), b"mine", "nothing is written through a link");
}

/// An object that is not there, or is another, fails the prepare and leaves what runs.
#[test]
fn what_cannot_be_had_is_refused_by_name() {
    let (folder, shed) = (tempfile::tempdir().expect("a folder"), Shed::default());
    let mut files = tree(folder.path(), &shed);
    let missing = Digest::of(b"nowhere");
    let error = files.prepare(plan("1"), &[put("a/b", missing, None)]).expect_err("missing").to_string();
    assert!(error.contains("a/b") && error.contains(&missing.to_string()), "{error}");
    shed.0.borrow_mut().insert(missing, b"something else".to_vec());
    let error = files.prepare(plan("1"), &[put("a/b", missing, None)]).expect_err("another");
    assert!(rtt_seal::in_full(&error).contains("expected"), "{}", rtt_seal::in_full(&error));
    files.abort(plan("1")).expect("forgotten");
    assert!(names(&folder.path().join("generations")).is_empty());
}

/// One object of zeros that is never in memory as a whole; tells the largest piece that was asked for.
struct Large {
    bytes: u64,
    largest: Rc<Cell<usize>>,
}

impl Objects for Large {
    fn open(&mut self, _: Digest) -> io::Result<Option<Box<dyn Read + '_>>> {
        Ok(Some(Box::new(Pieces { inner: io::repeat(0).take(self.bytes), largest: &self.largest })))
    }
}

struct Pieces<'a> {
    inner: io::Take<io::Repeat>,
    largest: &'a Cell<usize>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.largest.set(self.largest.get().max(into.len()));
        self.inner.read(into)
    }
}

/// What is asked for at once does not grow with the object, and an object that is cut is refused all the same.
#[test]
fn a_large_object_is_never_in_memory_as_a_whole() {
    const BYTES: u64 = 8 << 20;
    let zeros = Digest::of(&vec![0; BYTES as usize]);
    for (bytes, is_whole) in [(BYTES, true), (BYTES - 1, false)] {
        let (folder, largest) = (tempfile::tempdir().expect("a folder"), Rc::new(Cell::new(0)));
        let objects = Large { bytes, largest: Rc::clone(&largest) };
        let mut files = Tree::new(Op::FILES, folder.path().to_path_buf(), objects);
        let prepared = files.prepare(plan("1"), &[put("large", zeros, None)]);
        assert_eq!(prepared.is_ok(), is_whole, "{prepared:?}");
        assert!((1..=1 << 20).contains(&largest.get()), "{} bytes at once", largest.get());
    }
}

/// Every way to change what runs shows in the scan.
#[test]
fn what_somebody_changed_shows() {
    let (folder, shed) = (tempfile::tempdir().expect("a folder"), Shed::default());
    let mut files = tree(folder.path(), &shed);
    files.prepare(plan("1"), &[put("etc/a", shed.put(b"one"), None)]).expect("prepared");
    files.commit(plan("1")).expect("committed");
    let clean = files.scan().expect("a state");
    let (a, other) = (folder.path().join("current/etc/a"), folder.path().join("current/etc/other"));
    let check = |files: &mut Tree<Shed>, change: &dyn Fn(), back: &dyn Fn()| {
        change();
        assert_ne!(files.scan().expect("a state"), clean);
        back();
        assert_eq!(files.scan().expect("a state"), clean, "the positive control");
    };
    let mode = |bits| fs::set_permissions(&a, fs::Permissions::from_mode(bits)).expect("set");
    check(&mut files, &|| fs::write(&a, b"two").expect("written"), &|| fs::write(&a, b"one").expect("written"));
    check(&mut files, &|| mode(0o600), &|| mode(0o640));
    check(&mut files, &|| mode(0o4640), &|| mode(0o640));
    check(&mut files, &|| fs::write(&other, b"").expect("written"), &|| fs::remove_file(&other).expect("removed"));
    check(&mut files, &|| symlink("a", &other).expect("made"), &|| fs::remove_file(&other).expect("removed"));
    let away = folder.path().join("away");
    check(&mut files, &|| fs::rename(&a, &away).expect("moved"), &|| fs::rename(&away, &a).expect("moved"));
    let current = folder.path().join("current");
    fs::remove_file(&current).expect("removed");
    symlink("/etc", &current).expect("made");
    assert!(files.scan().is_err(), "a link that leads elsewhere is no state");
}

/// All three participants as files, through the reconciler.
#[test]
fn a_plan_over_three_trees_runs_and_goes_back() {
    let (host, shed) = (Host::new(), Shed::default());
    let root = host.folder.path().join("managed");
    let participants = || -> Vec<Box<dyn Participant>> {
        let tree = |name| Box::new(Tree::new(name, root.join(name), shed.clone())) as Box<dyn Participant>;
        Op::PARTICIPANTS.into_iter().map(tree).collect()
    };
    let (mut reconciler, _) = Reconciler::open(host.log(host.disk()), participants(), &host.planners()).expect("opens");
    let held = reconciler.log().told().held.clone();
    let ops = vec![put("etc/a", shed.put(b"one"), None), ring("feed"), crate::host::profile(shed.put(b"sealed"))];
    let ended = reconciler.apply(host.plan(&held, 0, 1, ops), &host.keys, &host.terms, NOW).expect("applies");
    assert!(matches!(ended, Ended::Verified { generation: 1, .. }), "{ended:?}");
    assert_eq!(fs::read(root.join("files/current/etc/a")).expect("a file"), b"one");
    let knobs: rtt_profile::Knobs =
        serde_json::from_slice(&fs::read(root.join("rings/current/feed")).expect("a ring")).expect("knobs");
    knobs.check().expect("knobs that hold");
    assert_eq!(fs::read(root.join("profile/current/active")).expect("a profile"), b"sealed");
    let held = reconciler.log().told().held.clone();
    let ops = vec![put("etc/b", shed.put(b"two"), None), put("c", Digest::of(b"not there"), None)];
    let ended = reconciler.apply(host.plan(&held, 1, 2, ops), &host.keys, &host.terms, NOW).expect("ends");
    assert!(matches!(&ended, Ended::Aborted { cause, .. } if cause.contains("is not in the store")), "{ended:?}");
    assert_eq!(names(&root.join("files/current/etc")), ["a"]);
    assert_eq!(names(&root.join("files/generations")).len(), 1);
    drop(reconciler);
    Told::of(&records(&host)).expect("the spec agrees");
}
