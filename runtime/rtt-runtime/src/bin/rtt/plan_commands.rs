//! `rtt plan ...` and `rtt rollback`: from the ops that somebody wants to a signed plan, and from that to what runs.
//!
//! `draft` reads the log and writes what has to be signed; `sign` needs a planner's key and no host; `apply` needs the
//! host and no planner's key. What is applied was verified here, whoever drafted it.

use crate::failure::{Failure, REFUSED, UNEXPECTED, USAGE, failure};
use crate::key_commands::KeyDesk;
use crate::private_key::{Unlock, protect_memory};
use crate::site::{PLAN_REFUSED, Site, in_doubt};
use clap::{Args, Subcommand};
use rtt_plan::{Base, Before, Capability, HostState, Item, Kind, Op, Plan, PlanId, show};
use rtt_reconcile::{ApplyError, Drift, Ended, Entry, Reconciler, Told};
use rtt_seal::{Digest, KeyId, LoadError, Sealed, in_full, strict_json};
use rtt_store::FileDisk;
use rtt_store::wal::read_log;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub(crate) enum PlanAction {
    /// Drafts a plan from ops, on the state that runs now; it says what has to be signed.
    #[command(after_help = "Examples:
  rtt store put app.conf
  rtt plan draft ops.json --planner 0123456789abcdef --out plan.json
  rtt plan draft --rollback --planner 0123456789abcdef --out back.json

Ops are a JSON list; what they expect to find is filled in from the state where `before` is left out:
  [{\"file_put\": {\"path\": \"etc/app.conf\", \"object\": DIGEST, \"mode\": \"0644\"}},
   {\"file_remove\": {\"path\": \"etc/old.conf\"}}]")]
    Draft(Draft),
    /// Signs a plan with a planner's key.
    #[command(after_help = "Example:
  rtt plan sign plan.json --key .rtt/keys/planner.key --out plan.signed.json")]
    Sign {
        /// The plan.
        plan: PathBuf,
        /// The planner's private key.
        #[arg(long, value_name = "FILE", default_value = ".rtt/keys/planner.key")]
        key: PathBuf,
        /// Where the signed plan goes [default: beside the plan, as PLAN.signed.json].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        unlock: Unlock,
    },
    /// Prints a plan, signed or not.
    Show {
        /// The plan.
        plan: PathBuf,
        /// Print the plan as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints what a plan would do to the state that runs now.
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
pub(crate) struct Draft {
    /// The ops, as JSON; `-` is standard input.
    #[arg(required_unless_present = "rollback")]
    ops: Option<PathBuf>,
    /// Lead back to the state before the last plan.
    #[arg(long, conflicts_with = "ops")]
    rollback: bool,
    /// Id of the planner's key that will sign.
    #[arg(long, value_name = "KEYID")]
    planner: KeyId,
    /// Its number for this host [default: the next].
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,
    /// How long it may be begun, in hours.
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=744))]
    hours: u64,
    /// Digests of what led to it: runs, profiles, tickets.
    #[arg(long, value_name = "DIGEST", num_args = 1..)]
    evidence: Vec<Digest>,
    /// Where the plan goes [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
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
        PlanAction::Sign { plan, key, out, unlock } => sign(plan, key, out.as_deref(), unlock, desk),
        PlanAction::Show { plan, json } => {
            let plan = read_plan(plan)?;
            if *json {
                writeln!(desk.out, "{}", json!({ "version": 1, "plan": plan.id(), "document": plan }))?;
            } else {
                writeln!(desk.out, "{}", shown(&plan).trim_end())?;
            }
            Ok(())
        }
        PlanAction::Diff { plan, json } => diff(plan, *json, site, desk),
        PlanAction::Apply(wanted) => apply(wanted, None, site, desk),
        PlanAction::Status { json } => site.with(desk, |reconciler, desk| status(reconciler, *json, desk)),
        PlanAction::History { json } => history(*json, site, desk),
    }
}

/// `rtt rollback`: applies a signed plan that is a rollback, and no other.
pub(crate) fn rollback(wanted: &Apply, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    apply(wanted, Some(Kind::Rollback), site, desk)
}

fn shown(plan: &Plan) -> String {
    let mut text = String::new();
    show(plan, &mut text).expect("a string takes all text");
    text
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| failure(USAGE, format!("{}: {error}", path.display())))
}

/// A plan for looking at: nothing is said of its signature.
fn read_plan(path: &Path) -> Result<Plan, Failure> {
    let bytes = read(path)?;
    let payload = rtt_seal::Envelope::parse(&bytes).map(|envelope| envelope.payload).unwrap_or(bytes);
    let plan: Plan = strict_json::parse(&payload).map_err(|error| malformed(path, &in_full(&error)))?;
    plan.check_fields().map_err(|why| malformed(path, &why))?;
    Ok(plan)
}

fn malformed(path: &Path, why: &str) -> Failure {
    failure(PLAN_REFUSED, format!("{}: no plan: {why}", path.display()))
}

/// The ops of a file; where an op does not say what it expects to find, that is what runs now.
fn read_ops(path: &Path, held: &HostState) -> Result<Vec<Op>, Failure> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes)
            .map_err(|error| failure(UNEXPECTED, format!("standard input: {error}")))?;
        bytes
    } else {
        read(path)?
    };
    let wrong = |why: String| failure(USAGE, format!("{}: {why}", path.display()));
    let mut ops: Vec<BTreeMap<String, BTreeMap<String, Value>>> =
        strict_json::parse(&bytes).map_err(|error| wrong(format!("expected a list of ops: {}", in_full(&error))))?;
    for (name, fields) in ops.iter_mut().flatten() {
        let participant = match name.split('_').next() {
            Some("file") => Op::FILES,
            Some("ring") => Op::RINGS,
            _ => Op::PROFILE,
        };
        let item = fields.get("path").or(fields.get("name")).and_then(Value::as_str).unwrap_or(Op::PROFILE_ITEM);
        let found = held.participants.get(participant).map_or(Before::Absent, |inventory| inventory.at(item));
        fields.entry("before".into()).or_insert_with(|| json!(found));
    }
    let ops = serde_json::to_vec(&ops).expect("it was JSON");
    strict_json::parse(&ops).map_err(|error| wrong(in_full(&error)))
}

/// The ops that lead from `held` to `wanted`.
fn ops_between(held: &HostState, wanted: &HostState) -> Result<Vec<Op>, String> {
    let mut ops = Vec::new();
    for (participant, after) in &wanted.participants {
        let before = held.participants.get(participant).cloned().unwrap_or_default();
        for (item, gone) in before.items.iter().filter(|(item, _)| !after.items.contains_key(*item)) {
            ops.push(removal(participant, item, gone)?);
        }
        for (item, wanted) in after.items.iter().filter(|(item, wanted)| before.items.get(*item) != Some(*wanted)) {
            ops.push(putting(participant, item, wanted, before.at(item))?);
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

fn putting(participant: &str, item: &str, wanted: &Item, before: Before) -> Result<Op, String> {
    match (participant, wanted.mode) {
        (Op::FILES, Some(mode)) => {
            let path = item.parse().map_err(|error| format!("{error}"))?;
            Ok(Op::FilePut { path, object: wanted.object, mode, before })
        }
        (Op::PROFILE, _) => Ok(Op::ProfileSet { object: wanted.object, before }),
        // The knobs of a ring travel in the plan that made it, and a root holds their digest alone.
        _ => Err(format!("{participant} {item}: its earlier knobs are in an earlier plan: draft it from ops")),
    }
}

fn draft(wanted: &Draft, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let (_, trust_version) = site.planners(desk.now_unix_s)?;
    let terms = site.terms(trust_version)?;
    let plan = site.with(desk, |reconciler, desk| {
        let told = reconciler.log().told().clone();
        let ops = match (&wanted.ops, &told.previous) {
            (Some(path), _) => read_ops(path, &told.held)?,
            (None, Some(previous)) => ops_between(&told.held, previous).map_err(|why| failure(USAGE, why))?,
            (None, None) => {
                return Err(failure(USAGE, "no plan was verified here yet, so there is nothing to go back to"));
            }
        };
        let after = told.held.after(&ops).map_err(|error| failure(PLAN_REFUSED, in_full(&error)))?;
        let carries_knobs = ops.iter().any(Op::carries_knobs);
        let capabilities: std::collections::BTreeSet<Capability> =
            ops.iter().map(|op| format!("{}:*", op.participant()).parse().expect("a participant's own")).collect();
        let mut plan = Plan {
            version: Plan::VERSION,
            kind: if wanted.rollback { Kind::Rollback } else { Kind::Apply },
            audience: reconciler.log().host(),
            runtime_build: terms.build,
            trust_root_version: terms.trust_version,
            planner: wanted.planner,
            sequence: 1,
            not_before_unix_s: desk.now_unix_s,
            expires_unix_s: desk.now_unix_s + wanted.hours * 3_600,
            base: Base { generation: told.state.generation(), state_root: told.held.root() },
            target_root: after.root(),
            ops,
            capabilities: capabilities.into_iter().collect(),
            policy: terms.policy.digest(),
            evidence: wanted.evidence.clone(),
            machine: terms.machine.clone().filter(|_| carries_knobs),
        };
        let burnt = reconciler.facts(&plan, &terms).sequences.get(&wanted.planner).copied().unwrap_or(0);
        plan.sequence = wanted.sequence.unwrap_or(burnt + 1);
        plan.evidence.sort();
        plan.check_fields().map_err(|why| failure(USAGE, why))?;
        Ok(plan)
    })?;
    let bytes = plan.to_canonical();
    match &wanted.out {
        None => writeln!(desk.out, "{}", String::from_utf8(bytes).expect("JSON is text"))?,
        Some(path) => {
            std::fs::write(path, bytes).map_err(|error| failure(UNEXPECTED, format!("{}: {error}", path.display())))?;
            writeln!(desk.out, "{}", shown(&plan).trim_end())?;
            writeln!(desk.out, "next: rtt plan sign {}", path.display())?;
        }
    }
    Ok(())
}

fn sign(path: &Path, key: &Path, out: Option<&Path>, unlock: &Unlock, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    protect_memory(desk.warnings)?;
    let key = unlock.load(key, "rtt key new planner", desk.ask)?;
    let bytes = read(path)?;
    let payload = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let sealed = Sealed::<Plan>::sign(payload, &key).map_err(|error| malformed(path, &in_full(&error)))?;
    let out = out.map_or_else(|| path.with_extension("signed.json"), Path::to_path_buf);
    sealed.save(&out).map_err(|error| failure(UNEXPECTED, format!("{}: {error}", out.display())))?;
    writeln!(desk.out, "signed plan {} with key {}: {}", PlanId(Digest::of(payload)), key.id(), out.display())?;
    writeln!(desk.out, "next: rtt plan apply {} --dry-run", out.display())?;
    Ok(())
}

fn diff(path: &Path, json: bool, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let plan = read_plan(path)?;
    site.with(desk, |reconciler, desk| {
        let runs = reconciler.scan().map_err(|error| failure(UNEXPECTED, in_full(&error)))?;
        let difference = plan.diff(&runs);
        if json {
            writeln!(desk.out, "{}", json!({ "version": 1, "plan": plan.id(), "difference": difference }))?;
        } else {
            writeln!(desk.out, "{}", difference.to_string().trim_end())?;
        }
        Ok(())
    })
}

fn apply(wanted: &Apply, only: Option<Kind>, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    protect_memory(desk.warnings)?;
    let (keys, trust_version) = site.planners(desk.now_unix_s)?;
    let terms = site.terms(trust_version)?;
    let sealed = Sealed::<Plan>::load(&wanted.plan).map_err(|error| match &error {
        LoadError::Read { .. } => failure(USAGE, in_full(&error)),
        _ => failure(PLAN_REFUSED, in_full(&error)),
    })?;
    let plan = read_plan(&wanted.plan)?;
    if only.is_some_and(|only| only != plan.kind) {
        return Err(failure(USAGE, "that plan is no rollback: `rtt plan apply` carries it out"));
    }
    let now = desk.now_unix_s;
    site.with(desk, |reconciler, desk| {
        if wanted.dry_run {
            let admitted = reconciler.admit(sealed, &keys, &terms, now).map_err(|error| refused(&error))?;
            let difference = admitted.diff(&reconciler.log().told().held);
            if wanted.json {
                let told = json!({ "version": 1, "plan": plan.id(), "dry_run": true, "difference": difference });
                writeln!(desk.out, "{told}")?;
            } else {
                writeln!(desk.out, "{}\nit would be begun; nothing was written", difference.to_string().trim_end())?;
            }
            return Ok(());
        }
        let ended = reconciler.apply(sealed, &keys, &terms, now).map_err(|error| refused(&error))?;
        told(&plan, &ended, wanted.json, desk)
    })
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

fn refused(error: &ApplyError) -> Failure {
    match error {
        ApplyError::Stuck(error) => in_doubt(error),
        ApplyError::Scan(error) => failure(UNEXPECTED, in_full(error)),
        ApplyError::Drift(items) => {
            let items: Vec<String> = items.iter().map(drift_words).collect();
            failure(PLAN_REFUSED, format!("plan refused: {error}\n{}", items.join("\n")))
        }
        error => failure(PLAN_REFUSED, format!("plan refused: {}", in_full(error))),
    }
}

fn drift_words(drift: &Drift) -> String {
    let item = |item: &Option<Item>| match item {
        None => "nothing".to_owned(),
        Some(item) => {
            let mode = item.mode.map(|mode| format!(", mode {mode}")).unwrap_or_default();
            format!("{}{mode}", item.object.short())
        }
    };
    format!(
        "  {} {}: the log says {}, there is {}",
        drift.participant,
        drift.item,
        item(&drift.held),
        item(&drift.runs)
    )
}

fn status(reconciler: &mut Reconciler<'_, FileDisk>, json: bool, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
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
        return Ok(());
    }
    writeln!(desk.out, "host       {host}")?;
    writeln!(desk.out, "generation {}, state root {}", state.generation(), held.root())?;
    let plan = state.in_force().map_or("none yet".to_owned(), |plan| plan.to_string());
    writeln!(desk.out, "in force   {plan}")?;
    for (name, inventory) in &held.participants {
        writeln!(desk.out, "{name:<10} {} items", inventory.items.len())?;
    }
    match drift.len() {
        0 => writeln!(desk.out, "drift      none: what runs is what the log says")?,
        count => {
            writeln!(desk.out, "drift      {count} items changed behind the log:")?;
            drift.iter().try_for_each(|drift| writeln!(desk.out, "{}", drift_words(drift)))?;
        }
    }
    Ok(())
}

/// One plan of the history.
struct Row {
    plan: String,
    begun_unix_s: u64,
    ended: &'static str,
    reason: Option<String>,
    generation: Option<u64>,
}

fn history(json: bool, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    use rtt_model::Action;
    let (_, host) = site.key(desk)?;
    let opened = read_log(site.disk()?, &Site::options(host)).map_err(|error| failure(REFUSED, in_full(&error)))?;
    let mut rows: Vec<Row> = Vec::new();
    for record in &opened.records {
        let entry = Entry::read(record).map_err(|error| failure(REFUSED, in_full(&error)))?;
        let last = rows.last_mut();
        match (entry.action, last) {
            (Action::Begin(begin), _) => rows.push(Row {
                plan: begin.plan.to_string(),
                begun_unix_s: begin.now_unix_s,
                ended: "open",
                reason: None,
                generation: None,
            }),
            (Action::Commit { generation, .. }, Some(row)) => row.generation = Some(generation),
            (Action::Verified { .. }, Some(row)) => row.ended = "verified",
            (Action::Abort { reason, .. }, Some(row)) => {
                (row.ended, row.reason) = ("aborted", Some(format!("{reason:?}")));
            }
            (Action::Undo { reason, .. }, Some(row)) => row.reason = Some(format!("{reason:?}")),
            (Action::RolledBack { generation, .. }, Some(row)) => {
                (row.ended, row.generation) = ("rolled_back", Some(generation));
            }
            _ => {}
        }
    }
    if json {
        let rows: Vec<Value> = rows
            .iter()
            .map(|row| {
                json!({
                    "plan": row.plan, "begun_unix_s": row.begun_unix_s, "ended": row.ended, "reason": row.reason,
                    "generation": row.generation.map(|generation| generation.to_string()),
                })
            })
            .collect();
        writeln!(desk.out, "{}", json!({ "version": 1, "plans": rows }))?;
        return Ok(());
    }
    for row in &rows {
        let generation = row.generation.map_or(String::new(), |generation| format!(", generation {generation}"));
        let reason = row.reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
        let begun = rtt_profile::utc(row.begun_unix_s);
        writeln!(desk.out, "{begun}  {}  {}{reason}{generation}", row.plan, row.ended)?;
    }
    if rows.is_empty() {
        writeln!(desk.out, "no plan was begun here yet")?;
    }
    Ok(())
}
