//! A plan in words, for a terminal. Nothing in it can drive one: paths and names hold no control characters.

use crate::op::Op;
use crate::plan::{Kind, Plan};
use rtt_profile::{env_lines, utc};
use std::fmt::{self, Write};

/// Writes what an operator asks first: for whom, from where to where, until when, and what it changes.
///
/// # Errors
/// Those of `out`.
pub fn show(plan: &Plan, out: &mut dyn Write) -> fmt::Result {
    let kind = match plan.kind {
        Kind::Apply => "applies changes",
        Kind::Rollback => "rolls back to an earlier state",
    };
    writeln!(out, "plan       {}  {kind}", plan.id())?;
    writeln!(out, "for host   {}, build {}", plan.audience, plan.runtime_build)?;
    let (from, until) = (utc(plan.not_before_unix_s), utc(plan.expires_unix_s));
    writeln!(out, "holds      from {from} until {until}")?;
    writeln!(out, "from       generation {}, state root {}", plan.base.generation, plan.base.state_root)?;
    writeln!(out, "to         state root {}", plan.target_root)?;
    let (key, trust) = (plan.planner, plan.trust_root_version);
    writeln!(out, "by         key {key}, number {}, under trust version {trust}", plan.sequence)?;
    if let Some(machine) = &plan.machine {
        writeln!(out, "machine    {machine}: its knobs are for no other")?;
    }
    let capabilities: Vec<_> = plan.capabilities.iter().map(ToString::to_string).collect();
    let capabilities = if capabilities.is_empty() { "nothing".to_owned() } else { capabilities.join(", ") };
    writeln!(out, "may touch  {capabilities}, under policy {}", plan.policy.short())?;
    for digest in &plan.evidence {
        writeln!(out, "evidence   {digest}")?;
    }
    writeln!(
        out,
        "ops        {}",
        if plan.ops.is_empty() { "none: it changes nothing".into() } else { plan.ops.len().to_string() }
    )?;
    plan.ops.iter().enumerate().try_for_each(|(index, op)| show_op(index, op, out))
}

fn show_op(index: usize, op: &Op, out: &mut dyn Write) -> fmt::Result {
    let (participant, item, before) = (op.participant(), op.item(), op.before());
    let after = op.after().map_or_else(|| "absent".to_owned(), |item| item.object.to_string());
    writeln!(out, "  {index:3}  {participant} {item}")?;
    writeln!(out, "         before  {before}")?;
    write!(out, "         after   {after}")?;
    match op {
        Op::FilePut { mode, .. } => writeln!(out, ", mode {mode}"),
        Op::RingPut { knobs, .. } => {
            let knobs = env_lines(knobs).to_lowercase().replace("rtt_", "");
            writeln!(out, "\n         knobs   {}", knobs.trim_end().replace('\n', " "))
        }
        _ => writeln!(out),
    }
}
