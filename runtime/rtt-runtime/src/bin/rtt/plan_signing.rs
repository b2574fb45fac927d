//! `rtt plan sign`, and who has signed a plan.
//!
//! A signature is added and never takes another's place: where trust asks for two planners, each signs what the one before
//! has written. The planner that a plan names is the first: its numbers count, and without it nobody begins the plan.

use crate::failure::{Failure, PLAN_REFUSED, REFUSED, UNEXPECTED, USAGE, failure};
use crate::key_commands::KeyDesk;
use crate::plan_commands::{malformed, read, read_plan};
use crate::private_key::Unlock;
use crate::site::Site;
use clap::Args;
use rtt_plan::{Plan, PlanId};
use rtt_seal::{Digest, Envelope, KeyId, Role, SealError, Sealed, SigningKey, TrustedKeys, in_full};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(crate) struct Sign {
    /// The plan; to one that is signed already, signatures are added.
    plan: PathBuf,
    /// The planners' private keys.
    #[arg(long, value_name = "FILE", num_args = 1.., default_value = ".rtt/keys/planner.key")]
    key: Vec<PathBuf>,
    /// Where the signed plan goes [default: beside the plan, as PLAN.signed.json; a signed one stays where it is].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace what another plan left where the signed one goes.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    unlock: Unlock,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Who has signed a plan, and what that is worth here.
pub(crate) struct Signatures {
    /// The keys that the envelope names; none where the plan is not signed.
    pub named: Vec<KeyId>,
    found: Found,
}

enum Found {
    /// The plan is not signed.
    Nothing,
    /// There is no trust here that says whose the signatures are, and why.
    Unchecked(String),
    /// The trusted keys that fit.
    Holds(Vec<KeyId>),
    /// Why they are not enough.
    Refused(SealError),
}

/// Signs a plan, or adds signatures to a signed one.
pub(crate) fn sign(wanted: &Sign, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let Sign { plan: path, unlock, .. } = wanted;
    let plan = read_plan(path)?;
    let begun = begun_envelope(wanted)?;
    let load = |file: &PathBuf| unlock.load(file, "rtt key new planner", desk.ask);
    let keys = wanted.key.iter().map(load).collect::<Result<Vec<SigningKey>, Failure>>()?;
    if let Some(key) = keys.iter().find(|key| key.role() != Role::Planner) {
        let why = format!("key {} is a {} key, expected a planner's", key.id(), key.role());
        return Err(failure(REFUSED, format!("{} is not signed: {why}", path.display())));
    }
    let mut named = begun.sealed.as_ref().map(|sealed| signers(sealed.as_bytes())).unwrap_or_default();
    check_planner(&plan, &named, &keys)?;
    let mut sealed = begun.sealed;
    for key in &keys {
        if named.contains(&key.id()) {
            check_own(sealed.as_ref(), key, path)?;
            writeln!(desk.warnings, "rtt: key {} has signed this plan already; it counts once", key.id())?;
        } else {
            named.push(key.id());
        }
        let signed = match &sealed {
            None => Sealed::<Plan>::sign(&begun.payload, key),
            Some(sealed) => sealed.cosign(key),
        };
        sealed = Some(signed.map_err(|error| malformed(path, &in_full(&error)))?);
    }
    let (sealed, out) = (sealed.expect("one key at least"), begun.out);
    sealed.save(&out).map_err(|error| failure(UNEXPECTED, format!("{}: {error}", out.display())))?;
    let id = PlanId(Digest::of(&begun.payload));
    if wanted.json {
        writeln!(desk.out, "{}", json!({ "version": 1, "plan": id, "signed_by": named, "file": out }))?;
        return Ok(());
    }
    writeln!(desk.out, "signed plan {id} with {}: {}", listed(&named), out.display())?;
    writeln!(desk.out, "next: rtt plan apply {} --dry-run", out.display())?;
    Ok(())
}

/// A signature that is there and does not fit tells that the plan was changed: it is not signed anew unlooked at.
fn check_own(sealed: Option<&Sealed<Plan>>, key: &SigningKey, path: &Path) -> Result<(), Failure> {
    let own = TrustedKeys::new([key.public().clone()]).map_err(|error| malformed(path, &in_full(&error)))?;
    match sealed.map(|sealed| sealed.clone().verify(&own)) {
        Some(Err(error)) => {
            let why = format!("was changed after key {} signed it: {}", key.id(), in_full(&error));
            Err(failure(REFUSED, format!("{} {why}; sign the plan that was drafted", path.display())))
        }
        _ => Ok(()),
    }
}

/// What is signed, what was signed before, and where it goes.
struct BegunEnvelope {
    payload: Vec<u8>,
    sealed: Option<Sealed<Plan>>,
    out: PathBuf,
}

fn begun_envelope(wanted: &Sign) -> Result<BegunEnvelope, Failure> {
    let bytes = read(&wanted.plan)?;
    let (payload, own) = match Envelope::parse(&bytes) {
        Ok(envelope) => (envelope.payload, Some(Sealed::from_bytes(bytes))),
        Err(_) => (bytes.strip_suffix(b"\n").unwrap_or(&bytes).to_vec(), None),
    };
    let beside = if own.is_some() { wanted.plan.clone() } else { wanted.plan.with_extension("signed.json") };
    let out = wanted.out.clone().unwrap_or(beside);
    let there = std::fs::read(&out).ok().filter(|_| !wanted.force && out != wanted.plan);
    let Some(there) = there else { return Ok(BegunEnvelope { payload, sealed: own, out }) };
    // The first signature is kept: it may be the only copy of somebody else's.
    match Envelope::parse(&there) {
        Ok(envelope) if envelope.payload == payload && own.is_none() => {
            Ok(BegunEnvelope { payload, sealed: Some(Sealed::from_bytes(there)), out })
        }
        Ok(envelope) if envelope.payload == payload => {
            let (out, plan) = (out.display(), wanted.plan.display());
            let why =
                format!("{out} holds this plan with signatures of its own: sign {out} itself, or name another --out");
            Err(failure(USAGE, format!("{plan} is not signed: {why}")))
        }
        _ => {
            let why = "holds something else, which is not replaced: name another --out, or say --force";
            Err(failure(USAGE, format!("{} {why}", out.display())))
        }
    }
}

/// The planner that the plan names signs first: without it the signatures of others are worth nothing.
fn check_planner(plan: &Plan, named: &[KeyId], keys: &[SigningKey]) -> Result<(), Failure> {
    let signs = |id: &KeyId| named.contains(id) || keys.iter().any(|key| key.id() == *id);
    let Some(other) = keys.iter().map(SigningKey::id).find(|id| *id != plan.planner) else { return Ok(()) };
    if signs(&plan.planner) {
        return Ok(());
    }
    let planner = plan.planner;
    let way = format!("draft with --planner {other}, or let {planner} sign first");
    Err(failure(REFUSED, format!("the plan names the planner {planner}, this key is {other}: {way}")))
}

fn signers(envelope: &[u8]) -> Vec<KeyId> {
    let envelope = Envelope::parse(envelope).map(|envelope| envelope.signatures).unwrap_or_default();
    envelope.iter().filter_map(|signature| signature.keyid).collect()
}

fn listed(ids: &[KeyId]) -> String {
    let ids: Vec<String> = ids.iter().map(KeyId::to_string).collect();
    format!("key{} {}", if ids.len() == 1 { "" } else { "s" }, ids.join(", "))
}

/// Who signed the plan in `path`, against the planners that are trusted here, where there is trust.
pub(crate) fn signatures(path: &Path, site: &Site, now_unix_s: u64) -> Result<Signatures, Failure> {
    let bytes = read(path)?;
    let named = signers(&bytes);
    let found = match (Envelope::parse(&bytes), site.planners(now_unix_s)) {
        (Err(_), _) => Found::Nothing,
        (Ok(_), Err(failure)) => Found::Unchecked(failure.message),
        (Ok(_), Ok((keys, _))) => match Sealed::<Plan>::from_bytes(bytes).verify(&keys) {
            Ok(plan) => Found::Holds(plan.signers().to_vec()),
            Err(error) => Found::Refused(error),
        },
    };
    Ok(Signatures { named, found })
}

impl Signatures {
    /// One line: whose they are, and whether they hold.
    pub(crate) fn words(&self) -> String {
        let by = if self.named.is_empty() { "nobody".to_owned() } else { listed(&self.named) };
        match &self.found {
            Found::Nothing => "not signed".to_owned(),
            Found::Unchecked(why) => format!("{by}; not checked: {why}"),
            Found::Holds(counted) if counted.len() < self.named.len() => {
                format!("{by}: holds by {}; the others do not count here", listed(counted))
            }
            Found::Holds(_) => format!("{by}: holds"),
            Found::Refused(error) => format!("{by}: DOES NOT HOLD HERE: {}", in_full(error)),
        }
    }

    /// `none`, `unchecked`, `holds` or `refused`, as programs read it.
    pub(crate) fn name(&self) -> &'static str {
        match &self.found {
            Found::Nothing => "none",
            Found::Unchecked(_) => "unchecked",
            Found::Holds(_) => "holds",
            Found::Refused(_) => "refused",
        }
    }

    /// Refuses a plan whose signature by a trusted key is not of its bytes: somebody changed it.
    pub(crate) fn check_unchanged(&self) -> Result<(), Failure> {
        match &self.found {
            Found::Refused(error @ SealError::Signature { .. }) => Err(failure(REFUSED, in_full(error))),
            _ => Ok(()),
        }
    }
}

/// Refuses a plan that nobody signed, with the way to a signed one.
pub(crate) fn check_signed(path: &Path) -> Result<(), Failure> {
    let bytes = read(path)?;
    if Envelope::parse(&bytes).is_err() && read_plan(path).is_ok() {
        let path = path.display();
        return Err(failure(PLAN_REFUSED, format!("{path} is not signed: rtt plan sign {path} --key PLANNER.key")));
    }
    Ok(())
}
