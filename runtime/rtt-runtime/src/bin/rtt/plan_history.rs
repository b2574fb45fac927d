//! `rtt plan history`: every plan that was begun here, and how it ended.

use crate::failure::{Failure, REFUSED, failure};
use crate::key_commands::KeyDesk;
use crate::site::Site;
use rtt_model::{Action, Reason};
use rtt_plan::{Kind, Plan};
use rtt_reconcile::{Beside, Entry};
use rtt_seal::in_full;
use serde_json::{Value, json};

/// One plan of the history.
struct Row {
    plan: Box<Plan>,
    begun_unix_s: u64,
    ended: &'static str,
    reason: Option<Reason>,
    generation: Option<u64>,
}

/// Prints the plans, oldest first.
pub(crate) fn history(json: bool, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let rows = rows(site, desk)?;
    if json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        writeln!(desk.out, "{}", json!({ "version": 1, "plans": rows }))?;
        return Ok(());
    }
    rows.iter().try_for_each(|row| writeln!(desk.out, "{}", row.words()))?;
    if rows.is_empty() {
        writeln!(desk.out, "no plan was begun here yet")?;
    }
    Ok(())
}

fn rows(site: &Site, desk: &KeyDesk<'_>) -> Result<Vec<Row>, Failure> {
    let mut rows: Vec<Row> = Vec::new();
    for record in &site.read(desk)?.opened.records {
        let entry = Entry::read(record).map_err(|error| failure(REFUSED, in_full(&error)))?;
        let last = rows.last_mut();
        match (entry.action, entry.beside, last) {
            (Action::Begin(begin), Beside::Plan(plan, _), _) => {
                rows.push(Row { plan, begun_unix_s: begin.now_unix_s, ended: "open", reason: None, generation: None });
            }
            (Action::Commit { generation, .. }, _, Some(row)) => row.generation = Some(generation),
            (Action::Verified { .. }, _, Some(row)) => row.ended = "verified",
            (Action::Abort { reason, .. }, _, Some(row)) => (row.ended, row.reason) = ("aborted", Some(reason)),
            (Action::Undo { reason, .. }, _, Some(row)) => row.reason = Some(reason),
            (Action::RolledBack { generation, .. }, _, Some(row)) => {
                (row.ended, row.generation) = ("rolled_back", Some(generation));
            }
            _ => {}
        }
    }
    Ok(rows)
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "plan": self.plan.id(), "kind": self.plan.kind.name(), "planner": self.plan.planner,
            "begun_unix_s": self.begun_unix_s, "ended": self.ended,
            "reason": self.reason.map(|reason| format!("{reason:?}")),
            "generation": self.generation.map(|generation| generation.to_string()),
        })
    }

    fn words(&self) -> String {
        let (plan, begun) = (&self.plan, rtt_profile::utc(self.begun_unix_s));
        let kind = if plan.kind == Kind::Rollback { ", leads back" } else { "" };
        let reason = self.reason.map_or(String::new(), |reason| format!(" ({})", cause(reason)));
        let generation = self.generation.map_or(String::new(), |generation| format!(", generation {generation}"));
        let ended = self.ended.replace('_', " ");
        format!("{begun}  {}  {ended}{reason}{generation}{kind}, by {}", plan.id(), plan.planner)
    }
}

/// A reason of the log in words.
pub(crate) fn cause(reason: Reason) -> &'static str {
    match reason {
        Reason::Recovered => "it was open when the log was left",
        Reason::PrepareFailed => "something could not be prepared",
        Reason::BaseChanged => "what it starts from was changed meanwhile",
        Reason::CommitFailed => "something could not be put into effect",
        Reason::VerifyFailed => "what was read back is not its target",
        Reason::Stopped => "it was stopped",
        Reason::NoSpace => "the disk is full",
    }
}
