//! How a plan and the running state differ, in words and as data.

use crate::item::Before;
use crate::op::Op;
use crate::plan::Plan;
use crate::state::{HostState, Item, StateRoot};
use serde::Serialize;
use std::fmt;

/// What a plan would do to a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Root that the plan was made on.
    pub base_root: StateRoot,
    /// Root of the state that it was compared with.
    pub running_root: StateRoot,
    /// Root that the plan leads to.
    pub target_root: StateRoot,
    /// A row for each op, in their order.
    pub changes: Vec<Change>,
    /// Why the plan as a whole does not lead from this state to its target; `None` where it does.
    pub conflict: Option<String>,
}

/// What one op would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The participant.
    pub participant: &'static str,
    /// The item.
    pub item: String,
    /// What would become of it.
    pub effect: Effect,
    /// What stands there now.
    pub found: Before,
    /// What the plan expects there.
    pub expected: Before,
    /// What would stand there; `None` for nothing.
    pub after: Option<Item>,
}

/// What would become of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It is not there yet.
    Created,
    /// Another one takes its place.
    Replaced,
    /// It goes.
    Removed,
    /// It stays as it is.
    Kept,
    /// Something else stands there than the plan expects.
    Conflict,
}

impl Plan {
    /// What this plan would do to `state`, which it may not fit.
    pub fn diff(&self, state: &HostState) -> Difference {
        let conflict = self.effect(state).err().map(|error| rtt_seal::in_full(&error));
        Difference {
            base_root: self.base.state_root,
            running_root: state.root(),
            target_root: self.target_root,
            changes: self.ops.iter().map(|op| change(op, state)).collect(),
            conflict,
        }
    }
}

fn change(op: &Op, state: &HostState) -> Change {
    let item = state.participants.get(op.participant()).and_then(|inventory| inventory.items.get(op.item()));
    let found = item.map_or(Before::Absent, |item| Before::Object(item.object));
    let (expected, after) = (op.before(), op.after());
    let effect = match (item, &after) {
        _ if found != expected => Effect::Conflict,
        (None, Some(_)) => Effect::Created,
        (Some(item), Some(after)) if item == after => Effect::Kept,
        (Some(_), Some(_)) => Effect::Replaced,
        (_, None) => Effect::Removed,
    };
    Change { participant: op.participant(), item: op.item().to_owned(), effect, found, expected, after }
}

impl fmt::Display for Change {
    /// One line, as `files etc/app.conf: replaced, 0123456789abcdef by 89abcdef01234567, mode 0644`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = self.after.map_or_else(|| "nothing".to_owned(), |item| short(Before::Object(item.object)));
        let (found, expected) = (short(self.found), short(self.expected));
        write!(f, "{} {}: ", self.participant, self.item)?;
        match self.effect {
            Effect::Created => write!(f, "created, {after}")?,
            Effect::Replaced => write!(f, "replaced, {found} by {after}")?,
            Effect::Removed => return write!(f, "removed, {found}"),
            Effect::Kept => write!(f, "stays as it is, {found}")?,
            Effect::Conflict => return write!(f, "CONFLICT, {found} stands there, the plan expects {expected}"),
        }
        self.after.and_then(|item| item.mode).map_or(Ok(()), |mode| write!(f, ", mode {mode}"))
    }
}

impl fmt::Display for Difference {
    /// A line for each op and one for the roots, each with its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            writeln!(f, "the plan changes nothing")?;
        }
        self.changes.iter().try_for_each(|change| writeln!(f, "{change}"))?;
        let short = |root: StateRoot| root.0.short();
        if self.base_root != self.running_root {
            let (running, base) = (short(self.running_root), short(self.base_root));
            writeln!(f, "the running state is {running}, the plan was made on {base}: it is stale, draft it again")?;
        }
        match &self.conflict {
            Some(why) => writeln!(f, "the plan cannot be carried out here: {why}"),
            None => writeln!(f, "state {} becomes {}", short(self.running_root), short(self.target_root)),
        }
    }
}

fn short(before: Before) -> String {
    before.object().map_or_else(|| "nothing".to_owned(), |digest| digest.short())
}
