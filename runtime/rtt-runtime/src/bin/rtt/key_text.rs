//! Keys and trust for people, and as rows of JSON.

use rtt_profile::utc;
use rtt_seal::{KeyTextError, Role, TrustRoot, Verified, VerifyingKey};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Days before the end at which `status` begins to warn.
const WARN_DAYS: u64 = 30;

/// Writes which trust is in force, until when, and whose keys it holds.
pub(crate) fn status(
    trust: &Verified<TrustRoot>,
    keys: &[VerifyingKey],
    now_unix_s: u64,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "trust      version {}  {}", trust.version, trust.digest())?;
    let days = trust.expires_unix_s.saturating_sub(now_unix_s) / 86_400;
    let left = match trust.expires_unix_s > now_unix_s {
        false => "over: it gives no keys; rotate it with --days".to_owned(),
        true if days < WARN_DAYS => {
            format!("{days} days left: rotate it soon with --days, or nothing is taken any more")
        }
        true => format!("{days} days left"),
    };
    writeln!(out, "expires    {}, {left}", utc(trust.expires_unix_s))?;
    let signers: Vec<_> = trust.signers().iter().map(ToString::to_string).collect();
    writeln!(out, "signed by  {}", signers.join(", "))?;
    for role in Role::ALL {
        let ids: Vec<_> = keys.iter().filter(|key| key.role() == role).map(|key| key.id().to_string()).collect();
        match trust.thresholds.get(role.name()) {
            Some(count) => writeln!(out, "{role:9}  {count} of {}: {}", ids.len(), ids.join(", "))?,
            None => writeln!(out, "{role:9}  no key")?,
        }
    }
    let revoked: Vec<_> = trust.revoked.iter().map(ToString::to_string).collect();
    writeln!(out, "revoked    {}", if revoked.is_empty() { "none".to_owned() } else { revoked.join(", ") })
}

/// What `new` changes of `old`, a line each: keys that come and go, thresholds, time.
pub(crate) fn changes(old: &TrustRoot, new: &TrustRoot) -> Result<Vec<String>, KeyTextError> {
    let (before, after) = (old.all_keys()?, new.all_keys()?);
    let named = |key: &VerifyingKey| format!("{} {}", key.role(), key.id());
    let mut lines = Vec::new();
    lines.extend(after.iter().filter(|key| !before.contains(key)).map(|key| format!("added: {}", named(key))));
    let gone = before.iter().filter(|key| !after.contains(key) && !new.revoked.contains(&key.id()));
    lines.extend(gone.map(|key| format!("removed: {}", named(key))));
    for id in new.revoked.iter().filter(|id| !old.revoked.contains(id)) {
        let key = before.iter().find(|key| key.id() == *id);
        lines.push(key.map_or(format!("revoked in advance: {id}"), |key| format!("revoked: {}", named(key))));
    }
    for role in Role::ALL {
        let count = |trust: &TrustRoot| trust.thresholds.get(role.name()).copied();
        match (count(old), count(new)) {
            (Some(old), Some(new)) if old != new => lines.push(format!("threshold: {role} {new}, was {old}")),
            (Some(_), None) => lines.push(format!("{role}: no key is left")),
            _ => {}
        }
    }
    if new.expires_unix_s != old.expires_unix_s {
        lines.push(format!("expires: {}, was {}", utc(new.expires_unix_s), utc(old.expires_unix_s)));
    }
    Ok(lines)
}

/// One public key as a row.
pub(crate) fn key_json(key: &VerifyingKey) -> Value {
    json!({ "key": key.id(), "role": key.role().name(), "line": key.to_line().trim_end() })
}
