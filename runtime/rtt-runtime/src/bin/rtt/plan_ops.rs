//! Ops as somebody writes them, and those that lead from one state to another.
//!
//! What is missing or does not fit is told by the op's position, before anything is drafted.

use crate::failure::{Failure, UNEXPECTED, USAGE, failure};
use rtt_plan::{Before, HostState, Item, Op};
use rtt_profile::{KNOB_NAMES, Knobs};
use rtt_seal::{Digest, in_full, strict_json};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// One op as it was written: its name, and its fields.
type Written = BTreeMap<String, BTreeMap<String, Value>>;

/// The ops of a file, or of standard input for `-`; where an op does not say what it expects to find, that is what `held`
/// has there.
pub(crate) fn read_ops(path: &Path, held: &HostState) -> Result<Vec<Op>, Failure> {
    let wrong = |why: String| failure(USAGE, format!("{}: {why}", path.display()));
    let mut ops: Vec<Written> = strict_json::parse(&read(path)?)
        .map_err(|error| wrong(format!("expected a list of ops, see `rtt plan draft --help`: {}", in_full(&error))))?;
    let mut seen: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for (index, op) in ops.iter_mut().enumerate() {
        for (name, fields) in op {
            let (participant, item) = place_of(name, fields);
            let first = *seen.entry((participant, item.clone())).or_insert(index);
            if first != index {
                let why = format!("op {index}: op {first} changes {item} already; a plan changes each item once");
                return Err(wrong(why));
            }
            let found = held.participants.get(participant).map_or(Before::Absent, |inventory| inventory.at(&item));
            complete(name, fields, found).map_err(|why| wrong(format!("op {index}: {item} {why}")))?;
        }
    }
    let ops = serde_json::to_vec(&ops).expect("it was JSON");
    strict_json::parse(&ops).map_err(|error| wrong(in_full(&error)))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    if path != Path::new("-") {
        return std::fs::read(path).map_err(|error| failure(USAGE, format!("{}: {error}", path.display())));
    }
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes)
        .map_err(|error| failure(UNEXPECTED, format!("standard input: {error}")))?;
    Ok(bytes)
}

/// The participant and the item that an op names, by the op's name alone: its fields are not checked yet.
fn place_of(name: &str, fields: &BTreeMap<String, Value>) -> (&'static str, String) {
    let participant = match name.split('_').next() {
        Some("file") => Op::FILES,
        Some("ring") => Op::RINGS,
        _ => Op::PROFILE,
    };
    let item = fields.get("path").or(fields.get("name")).and_then(Value::as_str).unwrap_or(Op::PROFILE_ITEM);
    (participant, item.to_owned())
}

/// Fills in what the op expects to find, and says what no reader of JSON says well.
fn complete(name: &str, fields: &mut BTreeMap<String, Value>, found: Before) -> Result<(), String> {
    if let Some(Value::Object(knobs)) = fields.get("knobs") {
        let missing: Vec<_> = KNOB_NAMES.into_iter().filter(|knob| !knobs.contains_key(*knob)).collect();
        if !missing.is_empty() {
            return Err(format!("has no value for the knobs {}; all of them are given", missing.join(", ")));
        }
    }
    let removes = matches!(name, "file_remove" | "ring_remove" | "profile_clear");
    if !fields.contains_key("before") {
        if removes && found == Before::Absent {
            return Err("is not there, so it cannot be removed".into());
        }
        fields.insert("before".into(), json!(found));
    }
    Ok(())
}

/// The ops that lead from `held` to `wanted`.
pub(crate) fn ops_between(
    held: &HostState,
    wanted: &HostState,
    knobs_of: &dyn Fn(&Digest) -> Option<Knobs>,
) -> Result<Vec<Op>, String> {
    let mut ops = Vec::new();
    for (participant, after) in &wanted.participants {
        let before = held.participants.get(participant).cloned().unwrap_or_default();
        for (item, gone) in before.items.iter().filter(|(item, _)| !after.items.contains_key(*item)) {
            ops.push(removal(participant, item, gone)?);
        }
        for (item, wanted) in after.items.iter().filter(|(item, wanted)| before.items.get(*item) != Some(*wanted)) {
            ops.push(putting(participant, item, wanted, before.at(item), knobs_of)?);
        }
    }
    Ok(ops)
}

fn removal(participant: &str, item: &str, gone: &Item) -> Result<Op, String> {
    Ok(match participant {
        Op::FILES => Op::FileRemove { path: item.parse().map_err(|e| format!("{e}"))?, before: gone.object },
        Op::RINGS => Op::RingRemove { name: item.parse().map_err(|e| format!("{e}"))?, before: gone.object },
        _ => Op::ProfileClear { before: gone.object },
    })
}

fn putting(
    participant: &str,
    item: &str,
    wanted: &Item,
    before: Before,
    knobs_of: &dyn Fn(&Digest) -> Option<Knobs>,
) -> Result<Op, String> {
    match (participant, wanted.mode) {
        (Op::FILES, Some(mode)) => {
            let path = item.parse().map_err(|error| format!("{error}"))?;
            Ok(Op::FilePut { path, object: wanted.object, mode, before })
        }
        (Op::PROFILE, _) => Ok(Op::ProfileSet { object: wanted.object, before }),
        // The knobs of a ring travel in the plan that made it, and a root holds their digest alone.
        _ => {
            let knobs = knobs_of(&wanted.object);
            let knobs =
                knobs.ok_or_else(|| format!("{participant} {item}: no plan in the log has its earlier knobs"))?;
            Ok(Op::RingPut { name: item.parse().map_err(|error| format!("{error}"))?, knobs, before })
        }
    }
}
