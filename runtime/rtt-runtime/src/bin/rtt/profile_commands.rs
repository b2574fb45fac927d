//! `rtt profile ...`: what an operator does with keys and profiles.
//!
//! PROFILE-6  No action shows, compares or exports a profile that no trusted key signed, and `export` gives out no knobs
//!            of a profile that this host may not use, unless told that they are for another host.
//!
//! Clock, fingerprint and output are passed in by [`Desk`]. Text for people is `profile_text`.

use crate::failure::{Failure, REFUSED, UNEXPECTED, UNFIT, USAGE, failure};
use crate::private_key::{self, Ask, Protect, Unlock};
use crate::profile_text;
use clap::{Args, Subcommand, ValueEnum};
use rtt_profile::{
    AcceptError, Acceptance, Conditions, Fingerprint, Policy, Profile, diff, env_lines, knobs_json, utc,
};
use rtt_seal::{Digest, Envelope, LoadError, Role, Sealed, TrustedKeys, Verified, in_full, strict_json};
use serde_json::json;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub(crate) enum ProfileAction {
    /// Makes a signing key: the private half stays here, the public half is shipped.
    #[command(after_help = "Example:
  rtt profile keygen --key .rtt/keys/profile.key --public profiles/keys")]
    Keygen {
        /// File for the private key, made with mode 0600; an existing file is never replaced.
        #[arg(long, value_name = "FILE", default_value = ".rtt/keys/profile.key")]
        key: PathBuf,
        /// Directory for the public key, as <keyid>.pub.
        #[arg(long, value_name = "DIR", default_value = "profiles/keys")]
        public: PathBuf,
        #[command(flatten)]
        protect: Protect,
    },
    /// Signs a profile after checking that verifiers would take it.
    #[command(after_help = "Example:
  rtt profile sign candidate.json --key .rtt/keys/profile.key")]
    Sign {
        /// The profile as JSON, not yet signed.
        file: PathBuf,
        /// The private key.
        #[arg(long, value_name = "FILE", default_value = ".rtt/keys/profile.key")]
        key: PathBuf,
        /// Where the signed profile goes [default: profiles/signed/<machine>.json].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        unlock: Unlock,
    },
    /// Checks signature, form, machine and time; exit 16 when refused.
    #[command(after_help = "Examples:
  rtt profile verify 0123456789abcdef
  rtt profile verify profiles/signed/0123456789abcdef.json --any-host --json")]
    Verify {
        #[command(flatten)]
        signed: Signed,
        #[command(flatten)]
        host: ForHost,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints knobs, outcome, p99 with its interval, and whether this host may use them.
    #[command(after_help = "Example:
  rtt profile show 0123456789abcdef --json")]
    Show {
        #[command(flatten)]
        signed: Signed,
        /// Print the whole profile as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints the fields in which two profiles differ.
    #[command(after_help = "Example:
  rtt profile diff old.json profiles/signed/0123456789abcdef.json")]
    Diff {
        /// First profile: a file, or a machine id that is looked up in profiles/signed.
        left: PathBuf,
        /// Second profile.
        right: PathBuf,
        /// Directory of trusted public keys.
        #[arg(long, value_name = "DIR", default_value = "profiles/keys")]
        keys: PathBuf,
        /// Print the rows as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints the knobs for other programs.
    #[command(after_help = "Examples:
  rtt profile export 0123456789abcdef --format env > /etc/default/my-service
  rtt profile export 0123456789abcdef --format json --any-host")]
    Export {
        #[command(flatten)]
        signed: Signed,
        #[command(flatten)]
        host: ForHost,
        /// Form of the output.
        #[arg(long, value_enum, default_value = "env")]
        format: Format,
        /// Short for --format json.
        #[arg(long, conflicts_with = "format")]
        json: bool,
    },
}

#[derive(Args)]
pub(crate) struct Signed {
    /// A signed profile: a file, or a machine id that is looked up in profiles/signed.
    file: PathBuf,
    /// Directory of trusted public keys.
    #[arg(long, value_name = "DIR", default_value = "profiles/keys")]
    keys: PathBuf,
}

#[derive(Args)]
pub(crate) struct ForHost {
    /// Do not compare the machine: the profile is meant for another host.
    #[arg(long)]
    any_host: bool,
    /// Refuse, instead of warning, when one of these has changed since the measurement.
    #[arg(long, value_name = "CONDITION,...", value_delimiter = ',', conflicts_with = "any_host",
          value_parser = clap::builder::PossibleValuesParser::new(Conditions::FIELDS))]
    refuse_on: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines `RTT_RING_BYTES=65536`.
    Env,
    /// One JSON object.
    Json,
}

/// What an action needs from the world.
pub(crate) struct Desk<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// What does not change the result but should be read.
    pub warnings: &'a mut dyn Write,
    /// Directory of signed profiles, each named after its machine.
    pub signed: &'a Path,
    /// This host's clock, in seconds of Unix time.
    pub now_unix_s: u64,
    /// This host, or why it cannot be told.
    pub fingerprint: &'a dyn Fn() -> Result<Fingerprint, String>,
    /// Asks for a passphrase.
    pub ask: Ask<'a>,
}

impl Desk<'_> {
    /// The file itself, or for a machine id without a file of that name its place among the signed profiles.
    fn path_of(&self, file: &Path) -> PathBuf {
        let digits = |text: &&str| text.len() == 16 && text.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
        match file.to_str().filter(digits) {
            Some(id) if !file.exists() => self.signed.join(format!("{id}.json")),
            _ => file.to_path_buf(),
        }
    }
}

/// Does what `action` says.
pub(crate) fn run(action: &ProfileAction, desk: &mut Desk<'_>) -> Result<(), Failure> {
    match action {
        ProfileAction::Keygen { key, public, protect } => keygen(key, public, protect, desk),
        ProfileAction::Sign { file, key, out, unlock } => sign(file, key, out.as_deref(), unlock, desk),
        ProfileAction::Verify { signed, host, json } => {
            let verified = verify(signed, host, *json, desk);
            if let (true, Err(Failure { code: REFUSED, message, .. })) = (*json, &verified) {
                writeln!(desk.out, "{}", json!({ "version": 1, "status": "refused", "reason": message }))?;
            }
            verified
        }
        ProfileAction::Show { signed, json } => show(signed, *json, desk),
        ProfileAction::Diff { left, right, keys, json } => compare(left, right, keys, *json, desk),
        ProfileAction::Export { signed, host, format, json } => {
            export(signed, host, if *json { Format::Json } else { *format }, desk)
        }
    }
}

fn keygen(private: &Path, public: &Path, protect: &Protect, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let passphrase = protect.passphrase(desk.ask)?;
    let (key, public) = private_key::make(Role::Profile, private, public, passphrase.as_ref())?;
    let rest = private_key::rest_in_words(passphrase.as_ref());
    writeln!(desk.out, "made key {} for profiles", key.id())?;
    writeln!(desk.out, "  private  {}  ({rest})", private.display())?;
    writeln!(desk.out, "  public   {}  (ship it: hosts that have it take what the key signs)", public.display())?;
    writeln!(desk.out, "next: rtt profile sign FILE --key {}", private.display())?;
    Ok(())
}

fn sign(file: &Path, key: &Path, out: Option<&Path>, unlock: &Unlock, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let refused = |reason: String| failure(REFUSED, format!("{} is not signed: {reason}", file.display()));
    let bytes = read_document(file)?;
    if Envelope::parse(&bytes).is_ok() {
        return Err(refused("it is a signed document already, expected the profile itself".into()));
    }
    // The file may be laid out for people; what is signed is the one canonical text of what it says.
    let profile: Profile = strict_json::parse(&bytes).map_err(|error| refused(in_full(&error)))?;
    let payload = profile.to_canonical();
    let key = unlock.load(key, "rtt profile keygen", desk.ask)?;
    let sealed = Sealed::<Profile>::sign(&payload, &key).map_err(|error| refused(in_full(&error)))?;
    let out = out.map_or_else(|| desk.signed.join(format!("{}.json", profile.machine_id())), Path::to_path_buf);
    sealed.save(&out).map_err(|error| failure(UNEXPECTED, format!("cannot write {}: {error}", out.display())))?;
    writeln!(desk.out, "signed {} with key {}", out.display(), key.id())?;
    writeln!(desk.out, "  machine  {}", profile.machine_id())?;
    writeln!(desk.out, "  digest   {}", Digest::of(&payload))?;
    writeln!(desk.out, "  expires  {}", utc(profile.expires_unix_s))?;
    if let Err(error) = profile.check_time(desk.now_unix_s) {
        writeln!(desk.warnings, "rtt: warning: {error}")?;
    }
    writeln!(desk.out, "next: rtt profile verify {}", out.display())?;
    Ok(())
}

fn verify(signed: &Signed, host: &ForHost, json: bool, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let path = desk.path_of(&signed.file);
    let profile = load(&path, &signed.keys)?;
    let stale = accept(&profile, &path, host, desk)?;
    if json {
        let status = if stale.is_some() { "stale" } else { "in_force" };
        let result = json!({
            "version": 1,
            "status": status,
            "differences": stale.unwrap_or_default(),
            "machine": profile.machine_id(),
            "machine_compared": !host.any_host,
            "digest": profile.digest(),
            "signed_by": signers(&profile),
            "expires_unix_s": profile.expires_unix_s,
        });
        writeln!(desk.out, "{result}")?;
        return Ok(());
    }
    writeln!(desk.out, "{}: signature, form and time hold", path.display())?;
    writeln!(desk.out, "  signed by  {}", signers(&profile).join(", "))?;
    writeln!(desk.out, "  digest     {}", profile.digest())?;
    let compared = if host.any_host { "not compared with this host" } else { "this host" };
    writeln!(desk.out, "  machine    {}, {compared}", profile.machine_id())?;
    writeln!(desk.out, "  expires    {}", utc(profile.expires_unix_s))?;
    Ok(())
}

fn show(signed: &Signed, json: bool, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let profile = load(&desk.path_of(&signed.file), &signed.keys)?;
    let here = (desk.fingerprint)();
    let (status, reason) = match here {
        Err(reason) => ("unknown", reason),
        Ok(here) => match profile.accept(&here, desk.now_unix_s, &Policy::default()) {
            Ok(Acceptance::InForce) => ("in_force", String::new()),
            Ok(Acceptance::Stale { differences }) => ("stale", differences.to_string()),
            Err(error @ AcceptError::OtherMachine { .. }) => ("other_machine", error.to_string()),
            Err(error @ AcceptError::Expired { .. }) => ("expired", error.to_string()),
            Err(error) => ("refused", error.to_string()),
        },
    };
    if json {
        let result = json!({
            "version": 1,
            "status": status,
            "reason": reason,
            "machine": profile.machine_id(),
            "digest": profile.digest(),
            "signed_by": signers(&profile),
            "profile": &*profile,
        });
        writeln!(desk.out, "{result}")?;
    } else {
        profile_text::show(&profile, status, &reason, desk.out)?;
    }
    Ok(())
}

fn compare(left: &Path, right: &Path, keys: &Path, json: bool, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let rows = diff(&*load(&desk.path_of(left), keys)?, &*load(&desk.path_of(right), keys)?);
    if json {
        writeln!(desk.out, "{}", json!({ "version": 1, "rows": rows }))?;
    } else {
        profile_text::rows(&rows, desk.out)?;
    }
    Ok(())
}

fn export(signed: &Signed, host: &ForHost, format: Format, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let path = desk.path_of(&signed.file);
    let profile = load(&path, &signed.keys)?;
    accept(&profile, &path, host, desk)?; // PROFILE-6
    match format {
        Format::Env => write!(desk.out, "{}", env_lines(&profile.knobs))?,
        Format::Json => writeln!(desk.out, "{}", knobs_json(&profile.knobs))?,
    }
    Ok(())
}

/// Says whether the profile may be used, warns when it is stale, and returns how the conditions differ then.
fn accept(profile: &Profile, file: &Path, host: &ForHost, desk: &mut Desk<'_>) -> Result<Option<String>, Failure> {
    let refused = |error: AcceptError| {
        let hint = if matches!(error, AcceptError::OtherMachine { .. }) {
            "; --any-host verifies and exports it for that machine all the same"
        } else {
            ""
        };
        failure(REFUSED, format!("{} is refused: {error}{hint}", file.display()))
    };
    if host.any_host {
        return profile.check_time(desk.now_unix_s).map(|()| None).map_err(refused);
    }
    let here = (desk.fingerprint)()
        .map_err(|reason| failure(UNFIT, format!("{reason}; --any-host verifies without comparing the machine")))?;
    let policy = Policy::refusing(host.refuse_on.iter().map(String::as_str));
    let policy = policy.map_err(|error| failure(USAGE, error.to_string()))?;
    match profile.accept(&here, desk.now_unix_s, &policy).map_err(refused)? {
        Acceptance::InForce => Ok(None),
        Acceptance::Stale { differences } => {
            writeln!(desk.warnings, "rtt: warning: stale, then against now: {differences}; tune again when you can")?;
            Ok(Some(differences.to_string()))
        }
    }
}

/// PROFILE-6: the only way from a file to a profile.
fn load(path: &Path, keys: &Path) -> Result<Verified<Profile>, Failure> {
    let refused = |reason: String| failure(REFUSED, format!("{} is refused: {reason}", path.display()));
    let sealed = Sealed::<Profile>::load(path).map_err(|error| match &error {
        LoadError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => failure(
            USAGE,
            format!("{}: no such profile; name a file, or a machine id of `profiles/signed`", path.display()),
        ),
        LoadError::Read { .. } => failure(UNEXPECTED, in_full(&error)),
        LoadError::NotAFile { .. } | LoadError::TooLarge { .. } => failure(REFUSED, in_full(&error)),
    })?;
    let keys = TrustedKeys::load_dir(keys).map_err(|error| refused(in_full(&error)))?;
    sealed.verify(&keys).map_err(|error| refused(in_full(&error)))
}

/// Reads a file of at most the size of a document.
fn read_document(path: &Path) -> Result<Vec<u8>, Failure> {
    let fail = |error: io::Error| {
        let code = if error.kind() == io::ErrorKind::NotFound { USAGE } else { UNEXPECTED };
        failure(code, format!("cannot read {}: {error}", path.display()))
    };
    let mut bytes = Vec::new();
    let limit = strict_json::DEFAULT_LIMIT as u64 + 1; // One more, so that the parser sees that it is too large.
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(fail)?;
    Ok(bytes)
}

fn signers(profile: &Verified<Profile>) -> Vec<String> {
    profile.signers().iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests;
