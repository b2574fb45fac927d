//! The exploration, the mutants, hostile plans by name, and the ids that page, model and code share.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;
use std::{fs, io};

use stateright::{Checker, HasDiscoveries, Model};

use super::documents::DOCUMENTS;
use super::drain::Order;
use super::mutant::MUTANTS;
use super::world::{Move, World};
use super::{Bounds, Explored, PROPERTIES};
use crate::{Action, Begin, objections};

/// More attempts than plans can be begun: only mutants get so far.
const BOUNDS: Bounds = Bounds { crashes: 2, failures: 2, attempts: 9, grants: 1 };
const MEANT: Explored = Explored { mutant: None, bounds: BOUNDS };

/// REC-1, REC-2, REC-3, REC-4, REC-5, REC-6, REC-7, REC-8, REC-9, REC-10, REC-11, REC-12, REC-13: in every world that
/// can be reached; and what has to be reached is.
#[test]
fn every_property_holds_in_every_world() {
    let start = Instant::now();
    let checker = MEANT.checker().threads(2).spawn_bfs().join();
    println!(
        "{} worlds, {} moves, depth {}, {:.1} s, {BOUNDS:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        start.elapsed().as_secs_f64(),
    );
    checker.assert_properties();
}

/// Each mutant is noticed by the property of the invariant that it breaks. The test above is the control.
#[test]
fn every_mutant_is_killed_by_its_property() {
    let mut survivors = Vec::new();
    for (mutant, killer) in MUTANTS {
        let start = Instant::now();
        let (name, _) = PROPERTIES.into_iter().find(|(name, _)| id(name) == *killer).expect("a property");
        let explored = Explored { mutant: Some(*mutant), bounds: BOUNDS };
        let until = HasDiscoveries::AllOf(BTreeSet::from([name]));
        let checker = explored.checker().threads(2).finish_when(until).spawn_bfs().join();
        let (worlds, seconds) = (checker.unique_state_count(), start.elapsed().as_secs_f64());
        match checker.discovery(name) {
            Some(path) => {
                let moves = path.into_actions().len();
                println!("{mutant:?}: killed by {name}, {moves} moves, {worlds} worlds, {seconds:.1} s");
            }
            None => survivors.push(format!("{mutant:?} survives {name}, {worlds} worlds, {seconds:.1} s")),
        }
    }
    println!("{} mutants, {} killed", MUTANTS.len(), MUTANTS.len() - survivors.len());
    assert!(survivors.is_empty(), "{survivors:#?}");
    let killers: BTreeSet<&str> = MUTANTS.iter().map(|(_, killer)| *killer).collect();
    assert_eq!(killers, PROPERTIES.iter().map(|(name, _)| id(name)).collect(), "each property kills");
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Verified,
    Abort,
    RolledBack,
}

/// The world after a document was handed in, and came to its end and to rest.
fn attempt(world: &World, document: usize, end: End) -> World {
    let mut world = MEANT.after(world, Move::HandIn { document, now_unix_s: 0 }).expect("a plan that begins");
    loop {
        let step = match (MEANT.own_moves(&world)[0], end) {
            (Move::Prepare(participant), End::Abort) => Move::PrepareFails(participant),
            (Move::Commit(participant), End::RolledBack) => Move::CommitFails(participant),
            (step, _) => step,
        };
        world = MEANT.after(&world, step).expect("a move");
        if matches!(step, Move::PrepareFails(_) | Move::CommitFails(_)) || MEANT.own_moves(&world).is_empty() {
            return MEANT.drain(&world, Order::First).expect("an end");
        }
    }
}

/// What a document meets that is handed in behind some attempts: that it begins, or all that is wrong with it.
fn check(attempts: &[(usize, End)], document: usize, now_unix_s: u64, expected: &str) {
    let world = attempts.iter().fold(World::genesis(), |world, (document, end)| attempt(&world, *document, *end));
    let begin = Action::Begin(Begin { now_unix_s, ..DOCUMENTS[document].begin.clone() });
    let met = match MEANT.after(&world, Move::HandIn { document, now_unix_s }) {
        Some(_) => "begins".to_owned(),
        None if !DOCUMENTS[document].is_signed => "unsigned".to_owned(),
        None => objections(&world.log, &begin).iter().map(|broken| broken.id()).collect::<Vec<_>>().join(" "),
    };
    assert_eq!(met, expected, "{attempts:?}, then {document} at second {now_unix_s}");
}

#[test]
fn hostile_plans_are_refused_for_what_they_are() {
    use End::{Abort, RolledBack, Verified};
    check(&[], 0, 0, "begins");
    check(&[], 4, 0, "unsigned");
    check(&[], 5, 0, "REC-1"); // Another host's.
    check(&[], 6, 0, "begins");
    check(&[], 6, 1, "REC-11"); // Expired.
    check(&[], 7, 1, "begins");
    check(&[], 7, 0, "REC-11"); // Early.
    check(&[], 8, 0, "REC-10"); // A rollback to elsewhere.
    check(&[], 3, 0, "REC-6"); // Made for a generation to come.
    check(&[(0, Verified)], 2, 0, "REC-6 REC-6"); // Stale.
    check(&[(0, Verified)], 0, 0, "REC-4 REC-5 REC-6 REC-6"); // Replayed.
    check(&[(0, Abort)], 0, 0, "REC-4 REC-5"); // Replayed where nothing has changed.
    check(&[(0, Abort)], 10, 0, "REC-4"); // In another envelope.
    check(&[(0, Abort)], 9, 0, "REC-5"); // Older than one that was attempted.
    check(&[(0, Abort)], 6, 0, "REC-12"); // An older trust root.
    check(&[(0, Abort)], 7, 1, "REC-12"); // An older build.
    check(&[(9, Verified)], 9, 0, "REC-4 REC-5 REC-6"); // Nothing to do, twice.
    // The first root is back, and with it the content that the plan was made for: not its generation.
    check(&[(0, Verified), (1, Verified)], 2, 0, "REC-6");
    check(&[(0, Verified), (1, Verified)], 3, 0, "begins");
    check(&[(0, RolledBack)], 2, 0, "REC-6");
    check(&[(0, RolledBack)], 3, 0, "begins");
}

/// The id that a property's name or a line of the page begins with.
fn id(text: &str) -> &str {
    text.split([' ', '*', '|']).find(|word| !word.is_empty()).unwrap_or_default()
}

/// The ids of the lines that begin with `start`, in order.
fn ids<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(start)).map(id).filter(|id| id.starts_with("REC-")).collect()
}

/// What stands in the Rust files of a folder and those within, headers and tests left out.
fn code(folder: &Path) -> io::Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            text += &code(&path)?;
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let file = fs::read_to_string(&path)?;
            let checked = file.split("#[cfg(test)]").next().unwrap_or_default();
            checked.lines().filter(|line| !line.starts_with("//!")).for_each(|line| text = format!("{text}{line}\n"));
        }
    }
    Ok(text)
}

/// What a line that checks something has of these.
const CHECKS: [&str; 6] = ["assert", "return ", "if ", "?", "Err(", "expect("];

/// Whether `text` has the id, and not a longer one that begins with it.
fn names(text: &str, id: &str) -> bool {
    text.match_indices(id).any(|(at, _)| !text[at + id.len()..].starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether the code checks an invariant: its id stands in the code itself, as an error's name, a property's or a message, or
/// in a comment on a line that checks something or right before one. What a function's own comment says is no check.
fn checks(code: &str, id: &str) -> bool {
    let lines: Vec<(&str, &str)> = code.lines().map(|line| line.split_once("//").unwrap_or((line, ""))).collect();
    lines.iter().enumerate().any(|(at, (statement, comment))| {
        let next = || lines[at..].iter().map(|(statement, _)| *statement).find(|each| !each.trim().is_empty());
        let is_check = || next().is_some_and(|statement| CHECKS.iter().any(|check| statement.contains(check)));
        names(statement, id) || (!comment.starts_with('/') && names(comment, id) && is_check())
    })
}

#[test]
fn an_id_in_a_comment_alone_is_no_check() {
    for (code, is_checked) in [
        ("assert!(holds, \"REC-1: it holds\");", true),
        ("Broken::Audience { .. } => \"REC-1\",", true),
        ("if sequence > burnt { return Err(error); } // REC-1", true),
        ("plan.admit(facts)?; // REC-2, REC-1", true),
        ("// REC-1: why.\n// More of it.\nassert!(holds);", true),
        ("// REC-1: why.\nlet holds = true;\nassert!(holds);", false),
        ("let begin = Begin::default(); // REC-1", false),
        ("/// REC-1: what it does.\nif_it_were(code)?;", false),
        ("assert!(holds, \"REC-13: it ends\"); // REC-12", false),
        ("// REC-1", false),
    ] {
        assert_eq!(checks(code, "REC-1"), is_checked, "{code}");
    }
}

/// Page, model, table and reconciler speak of the same invariants.
#[test]
fn every_invariant_is_on_the_page_in_the_model_in_the_table_and_in_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let page = read("spec/reconcile.md");
    let on_page = ids(&page, "- **");
    assert_eq!(on_page, PROPERTIES.map(|(name, _)| id(name)), "page and model");
    assert_eq!(on_page, ids(&read("spec/invariants.md"), "| "), "page and table");
    let reconciler = root.join("runtime/rtt-reconcile/src");
    let folders = [root.join("spec/rtt-model/src"), reconciler];
    for folder in folders {
        let code = code(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let missing: Vec<&&str> = on_page.iter().filter(|id| !checks(&code, id)).collect();
        assert!(missing.is_empty(), "{} checks none of {missing:?}", folder.display());
    }
}
