//! `rtt plan draft`: from the ops that somebody wants to the plan that has to be signed.
//!
//! What an apply would refuse is refused here already: the planner, the objects, the profile. Drift is warned of: it may be
//! put back before the plan is applied.

use crate::disk_choice::StoreDisk;
use crate::drift_text;
use crate::failure::{Failure, PLAN_REFUSED, REFUSED, UNEXPECTED, USAGE, failure};
use crate::key_commands::{KeyDesk, load_public};
use crate::plan_commands::shown;
use crate::plan_ops::{ops_between, read_ops};
use crate::site::{Site, counted};
use clap::Args;
use rtt_plan::{Base, Capability, Kind, Op, Plan, Policy};
use rtt_reconcile::{Reconciler, Terms};
use rtt_seal::{Digest, KeyId, TrustedKeys, VerifyingKey, in_full};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each line of ops and the policy are drafted by a test as they stand here.
pub(crate) const EXAMPLES: &str = r#"Examples:
  rtt store put app.conf
  rtt plan draft ops.json --out plan.json
  rtt plan draft --rollback --planner planner.pub --out back.json

Ops are a JSON list; each DIGEST is one that `rtt store put` printed. What an op expects to find is filled in from the
state that the log tells, where it has no field `before`:
  [{"file_put": {"path": "etc/app.conf", "object": "DIGEST", "mode": "0644"}}]
  [{"ring_put": {"name": "feed", "knobs": {"ring_bytes": 262144, "batch": 32, "window_us": 0, "wait": "futex",
    "spin_us": 50, "pin": "unpinned", "huge_pages": false}}}]
  [{"profile_set": {"object": "DIGEST"}}]
  [{"file_remove": {"path": "etc/app.conf"}}, {"ring_remove": {"name": "feed"}}, {"profile_clear": {}}]

A profile is a signed one (`rtt profile sign`), by a key that the trust document has for the role `profile`.
What plans may do here at all is in .rtt/policy.json; without that file, everything:
  {"version": 1, "grants": ["files:etc", "rings:*", "profile:*"]}"#;

#[derive(Args)]
pub(crate) struct Draft {
    /// The ops, as JSON; `-` is standard input.
    #[arg(required_unless_present = "rollback")]
    ops: Option<PathBuf>,
    /// Lead back to the state before the last plan.
    #[arg(long, conflicts_with = "ops")]
    rollback: bool,
    /// Id or public key file of the planner that will sign [default: the one that is trusted, where there is one].
    #[arg(long, value_name = "KEYID|FILE")]
    planner: Option<String>,
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
    /// Print the result as JSON.
    #[arg(long, requires = "out")]
    json: bool,
}

/// Drafts a plan and says what comes next.
pub(crate) fn draft(wanted: &Draft, site: &Site, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let (keys, trust_version) = site.planners(desk.now_unix_s)?;
    let planner = planner_of(wanted.planner.as_deref(), &keys)?;
    let terms = site.terms(trust_version)?;
    let plan = site.with(desk, |reconciler, desk| {
        warn_of_drift(reconciler, site, desk)?;
        plan_of(wanted, planner, &terms, reconciler, site, desk)
    })?;
    site.check_objects(&plan.ops, desk.now_unix_s)?;
    let bytes = plan.to_canonical();
    let Some(path) = &wanted.out else {
        return Ok(writeln!(desk.out, "{}", String::from_utf8(bytes).expect("JSON is text"))?);
    };
    std::fs::write(path, bytes).map_err(|error| failure(UNEXPECTED, format!("{}: {error}", path.display())))?;
    if wanted.json {
        writeln!(desk.out, "{}", json!({ "version": 1, "plan": plan.id(), "file": path, "document": plan }))?;
        return Ok(());
    }
    writeln!(desk.out, "{}", shown(&plan).trim_end())?;
    writeln!(desk.out, "next: rtt plan sign {} --key PLANNER.key", path.display())?;
    Ok(())
}

/// The key whose sequence will count: one that may sign here.
fn planner_of(wanted: Option<&str>, keys: &TrustedKeys) -> Result<KeyId, Failure> {
    let trusted: Vec<String> = keys.iter().map(|key| key.id().to_string()).collect();
    let trusted = trusted.join(", ");
    let Some(text) = wanted else {
        let mut ids = keys.iter().map(VerifyingKey::id);
        return match (ids.next(), ids.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(failure(USAGE, format!("name the key that will sign with --planner, one of {trusted}"))),
        };
    };
    let id = match text.parse::<KeyId>() {
        Ok(id) => id,
        Err(_) if Path::new(text).exists() => load_public(Path::new(text))?.id(),
        Err(why) => return Err(failure(USAGE, format!("--planner {text}: no such file, and no key id: {why}"))),
    };
    if keys.iter().any(|key| key.id() == id) {
        return Ok(id);
    }
    Err(failure(REFUSED, format!("key {id} is no planner that is trusted here; trusted are {trusted}")))
}

fn warn_of_drift(
    reconciler: &mut Reconciler<'_, StoreDisk>,
    site: &Site,
    desk: &mut KeyDesk<'_>,
) -> Result<(), Failure> {
    let drift = reconciler.drift().map_err(|error| failure(UNEXPECTED, in_full(&error)))?;
    if drift.is_empty() {
        return Ok(());
    }
    let host = reconciler.log().host();
    let count = counted(drift.len(), "item");
    writeln!(desk.warnings, "rtt: warning: {count} changed behind the log; no plan is begun until it is put back:")?;
    Ok(drift.iter().try_for_each(|drift| writeln!(desk.warnings, "{}", drift_text::words(drift, host, site)))?)
}

fn plan_of(
    wanted: &Draft,
    planner: KeyId,
    terms: &Terms,
    reconciler: &Reconciler<'_, StoreDisk>,
    site: &Site,
    desk: &KeyDesk<'_>,
) -> Result<Plan, Failure> {
    let told = reconciler.log().told();
    let ops = match (&wanted.ops, &told.previous) {
        (Some(path), _) => read_ops(path, &told.held)?,
        (None, Some(previous)) => {
            let knobs = |object: &Digest| site.knobs_of(object, reconciler.log().host());
            ops_between(&told.held, previous, &knobs).map_err(|why| failure(USAGE, why))?
        }
        (None, None) => {
            return Err(failure(USAGE, "no plan was verified here yet, so there is nothing to go back to"));
        }
    };
    let after = told.held.after(&ops).map_err(|error| failure(PLAN_REFUSED, in_full(&error)))?;
    let carries_knobs = ops.iter().any(Op::carries_knobs);
    let capabilities = capabilities_of(&ops, &terms.policy)?;
    let mut plan = Plan {
        version: Plan::VERSION,
        kind: if wanted.rollback { Kind::Rollback } else { Kind::Apply },
        audience: reconciler.log().host(),
        runtime_build: terms.build,
        trust_root_version: terms.trust_version,
        planner,
        sequence: 1,
        not_before_unix_s: desk.now_unix_s,
        expires_unix_s: desk.now_unix_s + wanted.hours * 3_600,
        base: Base { generation: told.state.generation(), state_root: told.held.root() },
        target_root: after.root(),
        ops,
        capabilities,
        policy: terms.policy.digest(),
        evidence: wanted.evidence.clone(),
        machine: terms.machine.clone().filter(|_| carries_knobs),
    };
    let burnt = reconciler.facts(&plan, terms).sequences.get(&planner).copied().unwrap_or(0);
    let used_up = || failure(PLAN_REFUSED, format!("the numbers of key {planner} are used up: plan with another key"));
    plan.sequence = wanted.sequence.or(burnt.checked_add(1)).ok_or_else(used_up)?;
    plan.evidence.sort();
    plan.check_fields().map_err(|why| failure(USAGE, why))?;
    Ok(plan)
}

/// The leave that `ops` need, as the policy words it: what it does not give, no plan can ask for.
fn capabilities_of(ops: &[Op], policy: &Policy) -> Result<Vec<Capability>, Failure> {
    let mut needed = BTreeSet::new();
    for (index, op) in ops.iter().enumerate() {
        let grant = policy.grants.iter().find(|grant| grant.allows(op)).ok_or_else(|| {
            let why = format!("op {index}: this host's policy gives no leave for {} {}", op.participant(), op.item());
            failure(PLAN_REFUSED, why)
        })?;
        needed.insert(grant.clone());
    }
    Ok(needed.into_iter().collect())
}
