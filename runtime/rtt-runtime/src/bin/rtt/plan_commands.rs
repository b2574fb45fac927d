//! `rtt plan ...` and `rtt rollback`: from the ops that somebody wants to a signed plan, and from that to what runs.
//!
//! `draft` reads the log and writes what has to be signed; `sign` needs a planner's key and no host; `apply` needs the
//! host and no planner's key. What is applied was verified here, whoever drafted it.

use crate::disk_choice::StoreDisk;
use crate::drift_text;
use crate::failure::{DRIFTED, Failure, PLAN_REFUSED, UNEXPECTED, USAGE, failure};
use crate::key_commands::KeyDesk;
use crate::plan_draft::{self, Draft, draft};
use crate::plan_history::history;
use crate::plan_signing::{Sign, check_signed, sign, signatures};
use crate::site::{Site, counted};
use clap::{Args, Subcommand};
use rtt_plan::{Kind, Plan, RefuseError, show};
use rtt_reconcile::{ApplyError, Ended, Reconciler, Told};
use rtt_seal::{HostId, LoadError, Sealed, in_full, strict_json};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub(crate) enum PlanAction {
    /// Drafts a plan from ops, on the state that runs now; it says what has to be signed.
    #[command(after_help = plan_draft::EXAMPLES)]
    Draft(Draft),
    /// Signs a plan with planners' keys; a signature is added to those that are there.
    #[command(after_help = "Examples:
  rtt plan sign plan.json --key .rtt/keys/planner.key
  rtt plan sign plan.json --key first.key second.key      # where two planners must sign
  rtt plan sign plan.signed.json --key second.key         # or one after the other, in two places")]
    Sign(Sign),
    /// Prints a plan, signed or not, and who signed it. Exit 16 when it was changed after a trusted key signed it.
    Show {
        /// The plan.
        plan: PathBuf,
        /// Print the plan as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints what a plan would do to the state that runs now.
    #[command(
        after_help = "Exit codes: 0 it fits what runs here, 14 it does not: `apply` would refuse it. Whether it would also be
begun (signature, time, number, trust) is for `rtt plan apply --dry-run` to say."
    )]
    Diff {
        /// The plan, signed or not.
        plan: PathBuf,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Carries a signed plan out: prepares everything, commits, reads back, and goes back where that fails.
    #[command(after_help = "Examples:
  rtt plan apply plan.signed.json --dry-run
  rtt plan apply plan.signed.json

Exit codes: 0 verified, 13 in doubt (fix the cause; the next command that opens the log goes on), 14 refused, aborted or
rolled back, 16 the log or a key is refused.")]
    Apply(Apply),
    /// Prints generation, root, what runs, and what somebody changed behind the log; ends what a crash left open.
    #[command(
        after_help = "What was changed is never overwritten: `status` prints the commands that put it back, for you to run.

Exit codes: 0 what runs is what the log says, 13 in doubt, or no managed folder, 16 the log is refused, 17 something was
changed behind the log."
    )]
    Status {
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints every plan that was begun here and how it ended.
    History {
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(crate) struct Apply {
    /// The signed plan.
    plan: PathBuf,
    /// Say whether it would be begun and what it would do, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Does what `action` says.
pub(crate) fn run(action: &PlanAction, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    match action {
        PlanAction::Draft(wanted) => draft(wanted, site, desk),
        PlanAction::Sign(wanted) => sign(wanted, desk),
        PlanAction::Show { plan, json } => show_plan(plan, *json, site, desk),
        PlanAction::Diff { plan, json } => diff(plan, *json, site, desk),
        PlanAction::Apply(wanted) => apply(wanted, None, site, desk),
        PlanAction::Status { json } => site.with(desk, |reconciler, desk| status(reconciler, *json, site, desk)),
        PlanAction::History { json } => history(*json, site, desk),
    }
}

/// `rtt rollback`: applies a signed plan that is a rollback, and no other.
pub(crate) fn rollback(wanted: &Apply, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    apply(wanted, Some(Kind::Rollback), site, desk)
}

pub(crate) fn shown(plan: &Plan) -> String {
    let mut text = String::new();
    show(plan, &mut text).expect("a string takes all text");
    text
}

/// Bytes of a document at most: more than any that is taken has.
const DOCUMENT_BYTES: u64 = 4 << 20;

/// A document that somebody hands in: a plain file, so that nobody is waited for, and not without end.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let named = |why: String| failure(USAGE, format!("{}: {why}", path.display()));
    let found = std::fs::metadata(path).map_err(|error| named(error.to_string()))?;
    if !found.is_file() {
        return Err(named("expected a plain file".into()));
    }
    if found.len() > DOCUMENT_BYTES {
        return Err(named(format!("it has {} bytes, expected at most {DOCUMENT_BYTES}", found.len())));
    }
    std::fs::read(path).map_err(|error| named(error.to_string()))
}

/// A plan for looking at: nothing is said of its signature.
pub(crate) fn read_plan(path: &Path) -> Result<Plan, Failure> {
    parse_plan(path, read(path)?)
}

fn parse_plan(path: &Path, bytes: Vec<u8>) -> Result<Plan, Failure> {
    let payload = rtt_seal::Envelope::parse(&bytes).map(|envelope| envelope.payload).unwrap_or(bytes);
    let plan: Plan = strict_json::parse(&payload).map_err(|error| malformed(path, &in_full(&error)))?;
    plan.check_fields().map_err(|why| malformed(path, &why))?;
    Ok(plan)
}

pub(crate) fn malformed(path: &Path, why: &str) -> Failure {
    failure(PLAN_REFUSED, format!("{}: no plan: {why}", path.display()))
}

fn show_plan(path: &Path, json: bool, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let signatures = signatures(path, site, desk.now_unix_s)?;
    // What was changed need not be a plan any more; that it was changed is what there is to say then.
    let plan = read_plan(path).or_else(|unreadable| signatures.check_unchanged().and(Err(unreadable)))?;
    if json {
        let signed = json!({ "status": signatures.name(), "signed_by": signatures.named });
        writeln!(desk.out, "{}", json!({ "version": 1, "plan": plan.id(), "signature": signed, "document": plan }))?;
    } else {
        writeln!(desk.out, "{}", shown(&plan).trim_end())?;
        writeln!(desk.out, "signed by  {}", signatures.words())?;
    }
    signatures.check_unchanged()
}

fn diff(path: &Path, json: bool, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let plan = read_plan(path)?;
    let now = desk.now_unix_s;
    site.with(desk, |reconciler, desk| {
        let (audience, host) = (plan.audience, reconciler.log().host());
        if audience != host {
            let error = RefuseError::Audience { audience, host };
            return Err(failure(PLAN_REFUSED, format!("{}: {error}", path.display())));
        }
        let runs = reconciler.scan().map_err(|error| failure(UNEXPECTED, in_full(&error)))?;
        let difference = plan.diff(&runs);
        if json {
            writeln!(desk.out, "{}", json!({ "version": 1, "plan": plan.id(), "difference": difference }))?;
        } else {
            writeln!(desk.out, "{}", difference.to_string().trim_end())?;
        }
        if let Some(why) = &difference.conflict {
            return Err(failure(PLAN_REFUSED, format!("{}: the plan does not fit what runs: {why}", path.display())));
        }
        if plan.base.generation != reconciler.log().told().state.generation()
            || difference.base_root != difference.running_root
        {
            let why = "the plan was made on another state than the one that runs: draft it again";
            return Err(failure(PLAN_REFUSED, format!("{}: {why}", path.display())));
        }
        site.check_objects(&plan.ops, now)
    })
}

fn apply(wanted: &Apply, only: Option<Kind>, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    check_signed(&wanted.plan)?;
    let (keys, trust_version) = site.planners(desk.now_unix_s)?;
    let terms = site.terms(trust_version)?;
    let sealed = Sealed::<Plan>::load(&wanted.plan).map_err(|error| match &error {
        LoadError::Read { .. } => failure(USAGE, in_full(&error)),
        _ => failure(PLAN_REFUSED, in_full(&error)),
    })?;
    let plan = parse_plan(&wanted.plan, sealed.as_bytes().to_vec())?;
    if only.is_some_and(|only| only != plan.kind) {
        return Err(failure(USAGE, "that plan is no rollback: `rtt plan apply` carries it out"));
    }
    let now = desk.now_unix_s;
    if wanted.dry_run {
        let read = site.check_settled(desk)?;
        let admitted =
            site.admit(&read, sealed, &keys, &terms, now)?.map_err(|error| refused(&error, read.host, site))?;
        site.check_objects(&admitted.ops, now)?;
        return would(&admitted, &read.told, wanted.json, desk);
    }
    site.with(desk, |reconciler, desk| {
        let host = reconciler.log().host();
        // What is not there would use the plan up: it is attempted once.
        if let Err(lacks) = site.check_present(&plan.ops) {
            reconciler.admit(sealed, &keys, &terms, now).map_err(|error| refused(&error, host, site))?;
            return Err(lacks);
        }
        let ended = reconciler.apply(sealed, &keys, &terms, now).map_err(|error| refused(&error, host, site))?;
        told(&plan, &ended, wanted.json, desk)
    })
}

/// What a plan that would be begun would do.
fn would(plan: &Plan, told: &Told, json: bool, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let difference = plan.diff(&told.held);
    if json {
        let told = json!({ "version": 1, "plan": plan.id(), "dry_run": true, "difference": difference });
        return Ok(writeln!(desk.out, "{told}")?);
    }
    Ok(writeln!(desk.out, "{}\nit would be begun; nothing was written", difference.to_string().trim_end())?)
}

fn told(plan: &Plan, ended: &Ended, json: bool, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let words = format!("plan {}: {ended}", plan.id());
    let (name, cause, generation) = match ended {
        Ended::Verified { generation, .. } => ("verified", None, Some(generation)),
        Ended::Aborted { cause, .. } => ("aborted", Some(cause), None),
        Ended::RolledBack { cause, generation, .. } => ("rolled_back", Some(cause), Some(generation)),
    };
    if json {
        let told = json!({
            "version": 1, "plan": plan.id(), "ended": name, "generation": generation.map(u64::to_string), "cause": cause,
        });
        writeln!(desk.out, "{told}")?;
    }
    match name {
        "verified" if json => Ok(()),
        "verified" => Ok(writeln!(desk.out, "{words}")?),
        _ => Err(failure(PLAN_REFUSED, words)),
    }
}

fn refused(error: &ApplyError, host: HostId, site: &Site) -> Failure {
    match error {
        ApplyError::Stuck(error) => site.in_doubt(error, host),
        ApplyError::Scan(error) => failure(UNEXPECTED, in_full(error)),
        ApplyError::Drift(items) => {
            let items: Vec<String> = items.iter().map(|drift| drift_text::words(drift, host, site)).collect();
            failure(PLAN_REFUSED, format!("plan refused: {error}\n{}", items.join("\n")))
        }
        error => failure(PLAN_REFUSED, format!("plan refused: {}", in_full(error))),
    }
}

fn status(
    reconciler: &mut Reconciler<'_, StoreDisk>,
    json: bool,
    site: &Site,
    desk: &mut KeyDesk<'_>,
) -> Result<(), Failure> {
    let drift = reconciler.drift().map_err(|error| failure(UNEXPECTED, in_full(&error)))?;
    let Told { state, held, .. } = reconciler.log().told();
    let host = reconciler.log().host();
    if json {
        let rows: Vec<Value> = drift
            .iter()
            .map(|d| json!({ "participant": d.participant, "item": d.item, "log": d.held, "runs": d.runs }))
            .collect();
        let told = json!({
            "version": 1, "host": host, "generation": state.generation().to_string(), "state_root": held.root(),
            "in_force": state.in_force().map(|plan| plan.to_string()), "participants": held.participants, "drift": rows,
        });
        writeln!(desk.out, "{told}")?;
        return drifted(drift.len());
    }
    writeln!(desk.out, "host       {host}")?;
    writeln!(desk.out, "generation {}, state root {}", state.generation(), held.root())?;
    let plan = state.in_force().map_or("none yet".to_owned(), |plan| plan.to_string());
    writeln!(desk.out, "in force   {plan}")?;
    for (name, inventory) in &held.participants {
        writeln!(desk.out, "{name:<10} {}", counted(inventory.items.len(), "item"))?;
        for (name, item) in &inventory.items {
            let mode = item.mode.map(|mode| format!(", mode {mode}")).unwrap_or_default();
            writeln!(desk.out, "  {name}  {}{mode}", item.object.short())?;
        }
    }
    if drift.is_empty() {
        writeln!(desk.out, "drift      none: what runs is what the log says")?;
    } else {
        writeln!(desk.out, "drift      {} changed behind the log:", counted(drift.len(), "item"))?;
        drift.iter().try_for_each(|drift| writeln!(desk.out, "{}", drift_text::words(drift, host, site)))?;
    }
    drifted(drift.len())
}

fn drifted(count: usize) -> Result<(), Failure> {
    match count {
        0 => Ok(()),
        count => Err(failure(DRIFTED, format!("{} changed behind the log", counted(count, "item")))),
    }
}
