//! `rtt key ...`: what an operator does with keys and with the trust document that says whose they are.
//!
//! A change of trust is drafted from the version in force, signed by root keys that may lie in different places, and
//! followed once a threshold of the old and of the new ones has signed. Clock and terminal are passed in by [`KeyDesk`].

use crate::failure::{Failure, REFUSED, UNEXPECTED, UNFIT, USAGE, failure};
use crate::key_text;
use crate::private_key::{self, Ask, Protect, Unlock};
use crate::site::{STORE, has_log};
use crate::trust_draft::{Draft, TrustChange};
use clap::{Args, Subcommand};
use rtt_seal::{
    Envelope, KeyId, ReadKeyError, Role, SealError, Sealed, SigningKey, TrustRoot, TrustRootError, TrustStore,
    TrustStoreError, VerifyingKey, in_full,
};
use serde_json::json;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Root keys that are made at once.
const ROOT_KEYS_MAX: u8 = 16;

#[derive(Subcommand)]
pub(crate) enum KeyAction {
    /// Begins trust: makes root keys and the first trust document, or takes another host's.
    #[command(after_help = "Examples:
  rtt key init --root-keys 3 --threshold 2 --add .rtt/keys/0123456789abcdef.pub
  rtt key init --from 1.json 2.json --expect DIGEST

Each root key is a file of its own: move them to different places, out of reach of hosts.")]
    Init(Init),
    /// Makes a key of a role: root, planner, profile or release. A host's own key is made by `rtt host init`.
    #[command(after_help = "Examples:
  rtt key new planner --passphrase
  rtt key new release --key /media/key/release.key --passphrase-file /dev/fd/3 3< <(pass show rtt)")]
    New(New),
    /// Replaces the trust document by its next version: keys that come, keys that go, thresholds, time.
    #[command(after_help = "Examples:
  rtt key rotate --add planner.pub --key root-1.key --key root-2.key
  rtt key rotate --threshold root=3 --key root-1.key --out next.json   # and elsewhere:
  rtt key rotate --from next.json --key root-2.key
  rtt key rotate --from 2.json 3.json                                  # follow what others signed, or a folder of it
  rtt key rotate --days 365 --key root-1.key --key root-2.key          # renew the time
A plan is drafted under one version: those that were drafted under an earlier one have to be drafted again.")]
    Rotate(Rotate),
    /// Replaces the trust document by one in which these keys are never trusted again.
    #[command(after_help = "Example:
  rtt key revoke 0123456789abcdef --key root-1.key --key root-2.key

Plans that were drafted before have to be drafted again. A host's log refuses the trust from before once a plan was begun
under this one: apply a plan on each host, one of no ops (`[]`) will do, so that nobody can put the old trust back there.")]
    Revoke(Revoke),
    /// Prints the trust document in force: version, time, keys by role, thresholds, what is revoked. Exit 16 when expired.
    #[command(after_help = "Example:
  rtt key status --json")]
    Status {
        #[command(flatten)]
        trust: Trust,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints or writes the public keys that are trusted.
    #[command(after_help = "Examples:
  rtt key export --role profile --to profiles/keys
  rtt key export --json")]
    Export(Export),
}

#[derive(Args)]
pub(crate) struct Trust {
    /// Directory of this host's trust.
    #[arg(long, value_name = "DIR", default_value = ".rtt/trust")]
    trust: PathBuf,
}

#[derive(Args)]
pub(crate) struct Init {
    #[command(flatten)]
    trust: Trust,
    /// Root keys to make, as root-1.key, root-2.key, ...
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=i64::from(ROOT_KEYS_MAX)))]
    root_keys: u8,
    /// How many of them must sign a change [default: 2, or 1 of 1].
    #[arg(long, value_name = "N")]
    threshold: Option<u32>,
    /// Directory for the root keys.
    #[arg(long, value_name = "DIR", default_value = ".rtt/keys")]
    keys: PathBuf,
    /// Public keys of other roles to trust from the beginning.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    add: Vec<PathBuf>,
    /// Days until the trust document expires.
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3660))]
    days: u32,
    /// Take these versions, or those of a folder, instead of making keys.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["root_keys", "threshold", "keys", "add", "days"])]
    from: Vec<PathBuf>,
    /// Digest of the first version, as its makers tell it.
    #[arg(long, value_name = "DIGEST", requires = "from")]
    expect: Option<rtt_seal::Digest>,
    #[command(flatten)]
    protect: Protect,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct New {
    /// What the key may sign: root, planner, profile or release.
    role: Role,
    /// File for the private key, made with mode 0600 [default: .rtt/keys/<role>.key].
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Directory for the public key, as <keyid>.pub [default: profiles/keys for profile, .rtt/keys for others].
    #[arg(long, value_name = "DIR")]
    public: Option<PathBuf>,
    #[command(flatten)]
    protect: Protect,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// How a change of trust is signed.
#[derive(Args)]
pub(crate) struct Sign {
    /// Private root keys to sign with.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    key: Vec<PathBuf>,
    /// Where the change goes while signatures are missing.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    unlock: Unlock,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    change: TrustChange,
    /// Versions that were made elsewhere, or a folder of them: to follow, or one of them to sign with --key.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["add", "remove", "threshold", "days"])]
    from: Vec<PathBuf>,
    #[command(flatten)]
    sign: Sign,
}

#[derive(Args)]
pub(crate) struct Revoke {
    /// Ids of the keys.
    #[arg(required = true, value_name = "KEYID")]
    ids: Vec<KeyId>,
    /// Also revoke ids that were never trusted.
    #[arg(long)]
    in_advance: bool,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    change: TrustChange,
    #[command(flatten)]
    sign: Sign,
}

#[derive(Args)]
pub(crate) struct Export {
    #[command(flatten)]
    trust: Trust,
    /// Only keys of this role.
    #[arg(long)]
    role: Option<Role>,
    /// Directory to write them to, as <keyid>.pub; those that are there already are left.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// What an action needs from the world.
pub(crate) struct KeyDesk<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// What does not change the result but should be read.
    pub warnings: &'a mut dyn Write,
    /// This host's clock, in seconds of Unix time.
    pub now_unix_s: u64,
    /// Asks for a passphrase.
    pub ask: Ask<'a>,
}

/// Does what `action` says.
pub(crate) fn run(action: &KeyAction, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    match action {
        KeyAction::Init(init) if !init.from.is_empty() => take(init, desk),
        KeyAction::Init(init) => begin(init, desk),
        KeyAction::New(new) => make(new, desk),
        KeyAction::Rotate(rotate) if !rotate.from.is_empty() => follow(rotate, desk),
        KeyAction::Rotate(Rotate { trust, change, sign, .. }) => {
            replace(&trust.trust, change, Revoked { ids: &[], in_advance: false }, sign, desk)
        }
        KeyAction::Revoke(Revoke { ids, in_advance, trust, change, sign }) => {
            replace(&trust.trust, change, Revoked { ids, in_advance: *in_advance }, sign, desk)
        }
        KeyAction::Status { trust, json } => status(&trust.trust, *json, desk),
        KeyAction::Export(options) => export(options, desk),
    }
}

/// Makes root keys and the first version.
fn begin(init: &Init, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let files: Vec<PathBuf> = (1..=init.root_keys).map(|n| init.keys.join(format!("root-{n}.key"))).collect();
    match TrustStore::load(&init.trust.trust) {
        Err(TrustStoreError::Empty { .. }) => {}
        Err(error) => return Err(trust_refused(&error)),
        Ok(_) => {
            let error = TrustStoreError::Exists { directory: init.trust.trust.clone() };
            return Err(failure(USAGE, in_full(&error)));
        }
    }
    // Looked at before anything is made: half a set of root keys is of no use.
    if let Some(file) = files.iter().find(|file| file.symlink_metadata().is_ok()) {
        return Err(failure(USAGE, format!("{} exists and is not replaced; move it away", file.display())));
    }
    if has_log(Path::new(STORE)) {
        let what = "its plans were signed under a trust that is not here";
        let way =
            "bring that back from a copy, or with `rtt key init --from`: under a new one the log no longer verifies";
        writeln!(desk.warnings, "rtt: warning: {STORE} has a log. Where {what}, {way}")?;
    }
    let threshold = init.threshold.unwrap_or(u32::from(init.root_keys.min(2)));
    if !(1..=u32::from(init.root_keys)).contains(&threshold) {
        let most = init.root_keys;
        return Err(failure(
            USAGE,
            format!("--threshold is {threshold}, expected 1..={most}, as many root keys as are made"),
        ));
    }
    let added = load_added(&init.add, desk)?;
    let passphrase = init.protect.passphrase(desk.ask)?;
    let mut keys = Vec::new();
    for file in &files {
        keys.push(private_key::make(Role::Root, file, &init.keys, passphrase.as_ref())?.0);
    }
    let public = keys.iter().map(|key| key.public().clone()).chain(added.clone());
    let expires = desk.now_unix_s + u64::from(init.days) * 86_400;
    let document = TrustRoot::new(1, expires, &[(Role::Root, threshold)].into(), public, [].into());
    let sealed = sign_all(&document, &keys)?;
    let store = TrustStore::begin(&init.trust.trust, sealed, desk.now_unix_s).map_err(|error| trust_refused(&error))?;
    let private: Vec<_> = keys.iter().map(SigningKey::id).zip(&files).collect();
    if init.json {
        let rows: Vec<_> = private.iter().map(|(id, file)| json!({ "key": id, "private": file })).collect();
        let added: Vec<_> = added.iter().map(key_text::key_json).collect();
        let digest = store.current().digest();
        let result = json!({ "version": 1, "trust_version": 1, "digest": digest, "root_keys": rows, "added": added });
        writeln!(desk.out, "{result}")?;
        return Ok(());
    }
    for (id, file) in private {
        writeln!(
            desk.out,
            "made root key {id}  {}  ({})",
            file.display(),
            private_key::rest_in_words(passphrase.as_ref())
        )?;
    }
    added.iter().try_for_each(|key| writeln!(desk.out, "trusted {} key {}", key.role(), key.id()))?;
    let (digest, trust) = (store.current().digest(), init.trust.trust.display());
    let roots = keys_of(store.current())?.iter().filter(|key| key.role() == Role::Root).count();
    writeln!(desk.out, "trust version 1 is in {trust}: {threshold} of {roots} root keys sign a change")?;
    writeln!(desk.out, "  digest   {digest}  (tell it to whoever runs `rtt key init --from`)")?;
    let next = match added.iter().any(|key| key.role() == Role::Planner) {
        true => "rtt plan draft OPS.json --out plan.json",
        false => "rtt key new planner; rtt key rotate --add PLANNER.pub",
    };
    writeln!(desk.out, "next: move the root keys to different places; {next}")?;
    Ok(())
}

/// Takes versions that were made elsewhere as the beginning.
fn take(init: &Init, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let mut versions = load_versions(&init.from)?;
    let (file, first) = versions.remove(0);
    let digest = TrustRoot::first(first.clone()).map_err(|error| failure(REFUSED, in_full(&error)))?.digest();
    match init.expect {
        Some(expected) if expected != digest => {
            let file = file.display();
            return Err(failure(REFUSED, format!("{file} is refused: its digest is {digest}, expected {expected}")));
        }
        Some(_) => {}
        None => {
            writeln!(desk.warnings, "rtt: warning: nothing vouches for {digest}; compare it with what its makers tell")?
        }
    }
    // A first version whose time is over is still where the walk begins.
    let beginning = if versions.is_empty() { desk.now_unix_s } else { 0 };
    let mut store = TrustStore::begin(&init.trust.trust, first, beginning).map_err(|error| match error {
        TrustStoreError::Exists { .. } => failure(USAGE, in_full(&error)),
        _ => trust_refused(&error),
    })?;
    let later: Vec<_> = versions.into_iter().map(|(_, sealed)| sealed).collect();
    if let Err(error) = if later.is_empty() { Ok(()) } else { store.follow(later, desk.now_unix_s) } {
        writeln!(desk.warnings, "rtt: warning: only the first version was taken: {}", in_full(&error))?;
        return Err(trust_refused(&error));
    }
    changed(None, &store, init.json, desk)
}

fn make(new: &New, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let role = new.role;
    if role == Role::Host {
        return Err(failure(USAGE, "a host's key is made on the host itself: rtt host init"));
    }
    let private = new.key.clone().unwrap_or_else(|| PathBuf::from(format!(".rtt/keys/{role}.key")));
    let public = new
        .public
        .clone()
        .unwrap_or_else(|| PathBuf::from(if role == Role::Profile { "profiles/keys" } else { ".rtt/keys" }));
    let passphrase = new.protect.passphrase(desk.ask)?;
    let (key, public) = private_key::make(role, &private, &public, passphrase.as_ref())?;
    if new.json {
        let result =
            json!({ "version": 1, "key": key.id(), "role": role.name(), "private": private, "public": public });
        writeln!(desk.out, "{result}")?;
        return Ok(());
    }
    writeln!(desk.out, "made {role} key {}", key.id())?;
    writeln!(desk.out, "  private  {}  ({})", private.display(), private_key::rest_in_words(passphrase.as_ref()))?;
    writeln!(desk.out, "  public   {}", public.display())?;
    let public = public.display();
    writeln!(desk.out, "next: rtt key init --add {public}")?;
    writeln!(desk.out, "      or where trust was begun already: rtt key rotate --add {public} --key ROOT.key")?;
    Ok(())
}

/// What a change revokes.
struct Revoked<'a> {
    ids: &'a [KeyId],
    in_advance: bool,
}

/// Drafts the next version, signs it, and follows it where enough keys did.
fn replace(
    trust: &Path,
    change: &TrustChange,
    revoked: Revoked<'_>,
    sign: &Sign,
    desk: &mut KeyDesk<'_>,
) -> Result<(), Failure> {
    let store = TrustStore::load(trust).map_err(|error| trust_refused(&error))?;
    let added = load_added(&change.add, desk)?;
    let Revoked { ids: revoke, in_advance } = revoked;
    let draft = Draft { current: store.current(), added, change, revoke, in_advance, now_unix_s: desk.now_unix_s };
    let document = draft.next().map_err(|reason| failure(USAGE, reason))?;
    let keys = load_private(sign, desk)?;
    let sealed = sign_all(&document, &keys)?;
    finish(store, sealed, sign, sign.out.as_deref(), desk)
}

/// Follows versions that were made elsewhere, after signing the last of them where keys are given.
fn follow(rotate: &Rotate, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let mut store = TrustStore::load(&rotate.trust.trust).map_err(|error| trust_refused(&error))?;
    let mut versions = load_versions(&rotate.from)?;
    if rotate.sign.key.is_empty() {
        let before = store.current().clone();
        let versions = versions.into_iter().map(|(_, sealed)| sealed);
        store.follow(versions, desk.now_unix_s).map_err(|error| trust_refused(&error))?;
        return changed(Some(&before), &store, rotate.sign.json, desk);
    }
    let (Some((file, mut sealed)), true) = (versions.pop(), versions.is_empty()) else {
        return Err(failure(
            USAGE,
            format!("--from names {} files, expected one to sign with --key", rotate.from.len()),
        ));
    };
    for key in load_private(&rotate.sign, desk)? {
        sealed = sealed.cosign(&key).map_err(|error| failure(REFUSED, in_full(&error)))?;
    }
    let out = rotate.sign.out.as_deref().unwrap_or(&file);
    finish(store, sealed, &rotate.sign, Some(out), desk)
}

/// Follows `sealed`, or writes it to `out` where signatures are still missing.
fn finish(
    mut store: TrustStore,
    sealed: Sealed<TrustRoot>,
    sign: &Sign,
    out: Option<&Path>,
    desk: &mut KeyDesk<'_>,
) -> Result<(), Failure> {
    let before = store.current().clone();
    match store.follow([sealed.clone()], desk.now_unix_s) {
        Ok(()) => changed(Some(&before), &store, sign.json, desk),
        Err(error) if lacks_signatures(&error) => {
            let reason = format!("{}{}", in_full(&error), uncounted(&sealed, &before)?);
            let Some(out) = out else {
                let hint = "give more --key, or write it with --out and let others sign it: rtt key rotate --from FILE --key KEY";
                return Err(failure(REFUSED, format!("{reason}; {hint}")));
            };
            let unwritten = |error| failure(UNEXPECTED, format!("cannot write {}: {error}", out.display()));
            sealed.save(out).map_err(unwritten)?;
            if sign.json {
                writeln!(
                    desk.out,
                    "{}",
                    json!({ "version": 1, "status": "unfinished", "reason": reason, "file": out })
                )?;
            } else {
                writeln!(desk.out, "not in force yet: {reason}")?;
                let next = sealed.unproven().map_err(|error| failure(REFUSED, in_full(&error)))?;
                told_changes(&before, &next, desk)?;
                writeln!(desk.out, "next: rtt key rotate --from {} --key ROOT.key", out.display())?;
            }
            Ok(())
        }
        Err(error) => Err(trust_refused(&error)),
    }
}

fn lacks_signatures(error: &TrustStoreError) -> bool {
    let TrustStoreError::Refused { source, .. } = error else { return false };
    let TrustRootError::Seal { source, .. } = &**source else { return false };
    matches!(**source, SealError::Threshold { .. } | SealError::NoTrustedKey { .. })
}

/// The keys that signed a change and do not count, for a message.
fn uncounted(sealed: &Sealed<TrustRoot>, before: &TrustRoot) -> Result<String, Failure> {
    let next = sealed.unproven().map_err(|error| failure(REFUSED, in_full(&error)))?;
    let roots: Vec<KeyId> = keys_of(before)?
        .into_iter()
        .chain(keys_of(&next)?)
        .filter(|key| key.role() == Role::Root)
        .map(|key| key.id())
        .collect();
    let signatures = Envelope::parse(sealed.as_bytes()).map(|envelope| envelope.signatures).unwrap_or_default();
    let strangers = signatures.iter().filter_map(|signature| signature.keyid).filter(|id| !roots.contains(id));
    let strangers: Vec<String> = strangers.map(|id| id.to_string()).collect();
    Ok(match strangers.len() {
        0 => String::new(),
        _ => format!("; what {} signed does not count: no root key of either version", strangers.join(", ")),
    })
}

fn told_changes(before: &TrustRoot, after: &TrustRoot, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let lines = key_text::changes(before, after).map_err(|error| failure(REFUSED, in_full(&error)))?;
    Ok(lines.iter().try_for_each(|line| writeln!(desk.out, "  {line}"))?)
}

/// Says what is in force now, and what it changed of the version before.
fn changed(before: Option<&TrustRoot>, store: &TrustStore, json: bool, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let (trust, digest) = (store.current(), store.current().digest());
    if json {
        let changes = before.map(|before| key_text::changes(before, trust)).transpose();
        let changes = changes.map_err(|error| failure(REFUSED, in_full(&error)))?;
        let result = json!({
            "version": 1, "status": "in_force", "trust_version": trust.version, "digest": digest, "changes": changes,
        });
        writeln!(desk.out, "{result}")?;
        return Ok(());
    }
    writeln!(
        desk.out,
        "trust version {} is in force, until {}",
        trust.version,
        rtt_profile::utc(trust.expires_unix_s)
    )?;
    writeln!(desk.out, "  digest   {digest}")?;
    if let Some(before) = before {
        told_changes(before, trust, desk)?;
        writeln!(desk.out, "  plans that were drafted under version {} have to be drafted again", before.version)?;
        if before.revoked != trust.revoked {
            writeln!(
                desk.out,
                "  apply a plan on each host, one of no ops will do: its log then refuses the trust from before"
            )?;
        }
    }
    let file = store.files().pop().unwrap_or_default();
    writeln!(desk.out, "next: bring {} to other hosts: rtt key rotate --from {}", file.display(), file.display())?;
    Ok(())
}

fn status(trust: &Path, json: bool, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let store = TrustStore::load(trust).map_err(|error| trust_refused(&error))?;
    let current = store.current();
    let over = current.check_time(desk.now_unix_s);
    if json {
        let result = json!({
            "version": 1,
            "status": if over.is_ok() { "in_force" } else { "expired" },
            "trust_version": current.version,
            "digest": current.digest(),
            "signed_by": current.signers(),
            "expires_unix_s": current.expires_unix_s,
            "thresholds": current.thresholds,
            "keys": keys_of(current)?.iter().map(key_text::key_json).collect::<Vec<_>>(),
            "revoked": current.revoked,
        });
        writeln!(desk.out, "{result}")?;
    } else {
        key_text::status(current, &keys_of(current)?, desk.now_unix_s, desk.out)?;
    }
    over.map_err(|error| failure(REFUSED, in_full(&error)))
}

fn export(options: &Export, desk: &mut KeyDesk<'_>) -> Result<(), Failure> {
    let store = TrustStore::load(&options.trust.trust).map_err(|error| trust_refused(&error))?;
    store.current().check_time(desk.now_unix_s).map_err(|error| failure(REFUSED, in_full(&error)))?;
    let mut keys = keys_of(store.current())?;
    keys.retain(|key| options.role.is_none_or(|role| role == key.role()));
    if let Some(directory) = &options.to {
        for key in &keys {
            let file = directory.join(format!("{}.pub", key.id()));
            match key.save(&file) {
                Ok(()) => {}
                Err(rtt_seal::SaveKeyError::Exists { .. })
                    if VerifyingKey::load(&file).is_ok_and(|own| own == *key) => {}
                Err(error) => return Err(failure(UNEXPECTED, in_full(&error))),
            }
        }
    }
    if options.json {
        let rows: Vec<_> = keys.iter().map(key_text::key_json).collect();
        writeln!(desk.out, "{}", json!({ "version": 1, "trust_version": store.current().version, "keys": rows }))?;
    } else if let Some(directory) = &options.to {
        writeln!(desk.out, "{} public keys are in {}", keys.len(), directory.display())?;
    } else {
        keys.iter().try_for_each(|key| write!(desk.out, "{}", key.to_line()))?;
    }
    Ok(())
}

fn keys_of(trust: &TrustRoot) -> Result<Vec<VerifyingKey>, Failure> {
    trust.all_keys().map_err(|error| failure(REFUSED, in_full(&error)))
}

fn sign_all(document: &TrustRoot, keys: &[SigningKey]) -> Result<Sealed<TrustRoot>, Failure> {
    let (first, others) = keys.split_first().ok_or_else(|| failure(USAGE, "name at least one root key with --key"))?;
    let refused = |error| failure(REFUSED, format!("not signed: {}", in_full(&error)));
    let sealed = Sealed::sign(&document.to_canonical(), first).map_err(refused)?;
    others.iter().try_fold(sealed, |sealed, key| sealed.cosign(key)).map_err(refused)
}

fn load_private(sign: &Sign, desk: &mut KeyDesk<'_>) -> Result<Vec<SigningKey>, Failure> {
    sign.key.iter().map(|file| sign.unlock.load(file, "rtt key init, or rtt key new root", desk.ask)).collect()
}

/// A public key that the command line names.
pub(crate) fn load_public(file: &Path) -> Result<VerifyingKey, Failure> {
    VerifyingKey::load(file).map_err(|error| match &error {
        ReadKeyError::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            failure(USAGE, in_full(&error))
        }
        _ => failure(REFUSED, in_full(&error)),
    })
}

/// The public keys that are to be trusted. A host's own key is left out: it signs the checkpoints of its own log, which
/// are checked against that key and no trust document, and `--add *.pub` beside it did not mean it.
fn load_added(files: &[PathBuf], desk: &mut KeyDesk<'_>) -> Result<Vec<VerifyingKey>, Failure> {
    let mut added = Vec::new();
    for file in files {
        let key = load_public(file)?;
        if key.role() == Role::Host {
            let (file, id) = (file.display(), key.id());
            writeln!(desk.warnings, "rtt: {file} is left out: {id} is a host's key, which trust is not asked about")?;
        } else {
            added.push(key);
        }
    }
    Ok(added)
}

/// The versions in these files and folders, oldest first, as a shell does not sort them.
fn load_versions(from: &[PathBuf]) -> Result<Vec<(PathBuf, Sealed<TrustRoot>)>, Failure> {
    let mut files = Vec::new();
    for path in from {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path)
            .map_err(|error| failure(UNEXPECTED, format!("cannot read {}: {error}", path.display())))?;
        let all = entries.flatten().map(|entry| entry.path());
        files.extend(all.filter(|file| file.extension().is_some_and(|extension| extension == "json")));
    }
    let load = |file: PathBuf| match Sealed::load(&file) {
        Ok(sealed) => Ok((file, sealed)),
        Err(error) => Err(failure(USAGE, in_full(&error))),
    };
    let mut versions = files.into_iter().map(load).collect::<Result<Vec<(PathBuf, Sealed<TrustRoot>)>, Failure>>()?;
    if versions.is_empty() {
        return Err(failure(USAGE, "--from names a folder without versions, expected 1.json, 2.json, ..."));
    }
    versions.sort_by_key(|(_, sealed)| sealed.unproven().map_or(u64::MAX, |trust| trust.version));
    Ok(versions)
}

/// The exit code of a trust store's error.
pub(crate) fn trust_refused(error: &TrustStoreError) -> Failure {
    let code = match error {
        TrustStoreError::Empty { .. } => UNFIT,
        TrustStoreError::Io { .. } => UNEXPECTED,
        _ => REFUSED,
    };
    failure(code, in_full(error))
}

#[cfg(test)]
mod tests;
