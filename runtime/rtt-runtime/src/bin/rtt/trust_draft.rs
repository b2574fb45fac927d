//! The next version of trust, drafted from the one in force.

use clap::Args;
use rtt_seal::{KeyId, Role, TrustRoot, VerifyingKey, near_name};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What a change of trust changes.
#[derive(Args)]
pub(crate) struct TrustChange {
    /// Public keys to trust from now on.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub add: Vec<PathBuf>,
    /// Ids of keys that are no longer needed. They may come back: a key that was seen by others is revoked instead.
    #[arg(long, value_name = "KEYID", num_args = 1..)]
    pub remove: Vec<KeyId>,
    /// How many keys of a role must sign, as root=2.
    #[arg(long, value_name = "ROLE=N", value_parser = threshold, num_args = 1..)]
    pub threshold: Vec<(Role, u32)>,
    /// Days from now until the new version expires [default: 365].
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3660))]
    pub days: Option<u32>,
}

/// Days until a version expires, where nobody says.
const DAYS: u32 = 365;

/// A change that is not signed yet.
pub(crate) struct Draft<'a> {
    pub current: &'a TrustRoot,
    pub added: Vec<VerifyingKey>,
    pub change: &'a TrustChange,
    pub revoke: &'a [KeyId],
    /// Whether ids may be revoked that no version has seen yet.
    pub in_advance: bool,
    pub now_unix_s: u64,
}

impl Draft<'_> {
    /// The next version.
    ///
    /// # Errors
    /// What the change names that is not there, or must not be.
    pub(crate) fn next(self) -> Result<TrustRoot, String> {
        let Draft { current, added, change, revoke, in_advance, now_unix_s } = self;
        let mut keys = current.all_keys().map_err(|error| error.to_string())?;
        for id in &change.remove {
            check_known(*id, &keys, current.version)?;
        }
        for id in revoke {
            if current.revoked.contains(id) {
                return Err(format!("key {id} is revoked already"));
            }
            if !in_advance {
                let hint = "; to revoke a key that was never trusted, say --in-advance";
                check_known(*id, &keys, current.version).map_err(|why| format!("{why}{hint}"))?;
            }
        }
        keys.retain(|key| !change.remove.contains(&key.id()));
        let revoked: BTreeSet<KeyId> = current.revoked.iter().chain(revoke).copied().collect();
        if let Some(key) = added.iter().find(|key| revoked.contains(&key.id())) {
            return Err(format!("key {} was revoked and is not trusted again; make a new one", key.id()));
        }
        keys.extend(added);
        let known = |(name, count): (&String, &u32)| Some((name.parse::<Role>().ok()?, *count));
        let mut thresholds: BTreeMap<Role, u32> = current.thresholds.iter().filter_map(known).collect();
        thresholds.extend(change.threshold.iter().copied());
        let left = |role: Role| keys.iter().filter(|key| key.role() == role && !revoked.contains(&key.id())).count();
        for (role, count) in &thresholds {
            let keys = left(*role);
            let asked = change.threshold.iter().any(|(own, _)| own == role);
            // A role that loses its last key is gone; one that keeps some must keep enough of them.
            if *count == 0 || (*count as usize > keys && (keys > 0 || asked || *role == Role::Root)) {
                return Err(format!(
                    "{count} {role} keys must sign, but {keys} would be left: add some, or lower it with --threshold {role}=N"
                ));
            }
        }
        let version = current.version.checked_add(1).ok_or("the last version of trust is reached")?;
        let expires = now_unix_s + u64::from(change.days.unwrap_or(DAYS)) * 86_400;
        let next = TrustRoot::new(version, expires, &thresholds, keys, revoked);
        let same =
            (&next.keys, &next.thresholds, &next.revoked) == (&current.keys, &current.thresholds, &current.revoked);
        if same && change.days.is_none() {
            return Err(format!(
                "nothing would change: what is asked for holds in trust version {} already; --days N renews its time",
                current.version
            ));
        }
        Ok(next)
    }
}

fn check_known(id: KeyId, keys: &[VerifyingKey], version: u64) -> Result<(), String> {
    if keys.iter().any(|key| key.id() == id) {
        return Ok(());
    }
    let known: Vec<String> = keys.iter().map(|key| key.id().to_string()).collect();
    let near = near_name(&id.to_string(), known.iter().map(String::as_str));
    let near = near.map_or(String::new(), |near| format!(" (did you mean {near}?)"));
    Err(format!("no key {id} in trust version {version}{near}; `rtt key status` lists them"))
}

fn threshold(text: &str) -> Result<(Role, u32), String> {
    let (role, count) = text.split_once('=').ok_or("expected ROLE=N, as root=2")?;
    let role = role.parse::<Role>().map_err(|error| error.to_string())?;
    Ok((role, count.parse().map_err(|_| format!("`{count}` is no number of keys"))?))
}
