//! The two sides of a comparison: which endpoint, with which arguments, under which knobs.
//!
//! Both executables are copied into `.rtt/gate/endpoints/<digest>/rtt-endpoint` and run from there, so that their paths
//! have one length, a build that is cleaned away can be run again, and a run that was judged can be the next base.

use rtt_measure::{
    EndpointRef, Exit, Fit, Gate, Hello, Outcome, Record, RunRecord, Stop, knobs_of, read_log, write_whole,
};
use rtt_profile::{Acceptance, Fingerprint, Knobs, Policy, Profile};
use rtt_seal::{Digest, Sealed, TrustedKeys, in_full};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What the command line says of one side.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// What a person calls it.
    pub name: String,
    /// Its endpoint.
    pub executable: PathBuf,
    /// Arguments of the endpoint.
    pub arguments: Vec<String>,
    /// Where its knobs come from.
    pub knobs: KnobSource,
}

/// Where knobs come from.
#[derive(Clone, Debug, PartialEq)]
pub enum KnobSource {
    /// The signed profile of this host, else the untuned default.
    Host,
    /// This signed profile.
    Profile(PathBuf),
    /// Those of an earlier run, and the digest of its profile.
    Recorded(Box<Knobs>, Option<Digest>),
}

/// Knobs with where they came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// The knobs; absent where they are the host's untuned default, which the first log of a comparison fixes.
    pub knobs: Option<Knobs>,
    /// BLAKE3 of the profile's payload.
    pub profile: Option<Digest>,
    /// What has to be said about it.
    pub note: Option<String>,
    /// Whether a tune has found these knobs, or kept them as the best.
    pub tuned: bool,
}

fn profile_at(path: &Path, root: &Path, here: &Fingerprint, now_unix_s: u64) -> Result<Chosen, String> {
    let sealed = Sealed::<Profile>::load(path).map_err(|error| in_full(&error))?;
    let keys = TrustedKeys::load_dir(&root.join("profiles/keys")).map_err(|error| in_full(&error))?;
    let profile = sealed.verify(&keys).map_err(|error| in_full(&error))?;
    let accepted = profile.accept(here, now_unix_s, &Policy::default()).map_err(|error| in_full(&error))?;
    let note = match accepted {
        Acceptance::InForce => None,
        Acceptance::Stale { differences } => {
            Some(format!("the profile was tuned under other conditions: {differences}"))
        }
    };
    let tuned = profile.outcome.verdict != rtt_profile::Verdict::Undecided;
    Ok(Chosen { knobs: Some(profile.knobs.clone()), profile: Some(profile.digest()), note, tuned })
}

impl KnobSource {
    /// The knobs that this host is measured with.
    ///
    /// # Errors
    /// A stop with 16 when a profile is refused: nothing is measured under knobs that nobody signed.
    pub fn choose(&self, root: &Path, here: &Fingerprint, now_unix_s: u64) -> Result<Chosen, Stop> {
        let refused = |path: &Path, reason: String| {
            let next = "tune again (`cargo xtask tune`), or move it away to compare under the default knobs";
            Stop::new(Exit::Sealed, format!("profile {}: {reason}; nothing was run; next: {next}", path.display()))
        };
        match self {
            KnobSource::Recorded(knobs, profile) => {
                let tuned = profile.is_some();
                Ok(Chosen { knobs: Some((**knobs).clone()), profile: *profile, note: None, tuned })
            }
            KnobSource::Profile(path) => {
                profile_at(path, root, here, now_unix_s).map_err(|reason| refused(path, reason))
            }
            KnobSource::Host => {
                let path = root.join("profiles/signed").join(format!("{}.json", here.machine.id()));
                if path.exists() {
                    return profile_at(&path, root, here, now_unix_s).map_err(|reason| refused(&path, reason));
                }
                let note = Some("this host has no signed profile, so it runs under the untuned default".into());
                Ok(Chosen { knobs: None, profile: None, note, tuned: false })
            }
        }
    }
}

/// Puts the executable at `path` among the endpoints of the gate; where it is run from, and its digest.
///
/// # Errors
/// A stop when it cannot be read or copied.
pub fn keep(root: &Path, path: &Path) -> Result<(PathBuf, Digest), Stop> {
    let failed =
        |error: &dyn std::fmt::Display| Stop::new(Exit::Unexpected, format!("endpoint {}: {error}", path.display()));
    let bytes = fs::read(path).map_err(|error| failed(&error))?;
    let digest = Digest::of(&bytes);
    let kept = kept(root, &digest);
    if fs::read(&kept).ok().as_deref() != Some(&bytes) {
        write_whole(&kept, &bytes).map_err(|error| failed(&error))?;
    }
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o755)).map_err(|error| failed(&error))?;
    Ok((fs::canonicalize(&kept).map_err(|error| failed(&error))?, digest))
}

/// Where the executable of that digest is kept.
fn kept(root: &Path, digest: &Digest) -> PathBuf {
    root.join(".rtt/gate/endpoints").join(digest.to_string()).join("rtt-endpoint")
}

/// `beside` is the endpoint that the main job uses. The base that an earlier run makes (its build, arguments and knobs) and the host that it ran on. `None` where its executable is not kept any more.
///
/// # Errors
/// A stop when `folder` is neither a run of `tune` nor a comparison.
pub fn recorded(
    root: &Path,
    folder: &Path,
    candidate: &Digest,
    beside: &Path,
) -> Result<Option<(Side, Fingerprint)>, Stop> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let refused = |reason: String| Stop::usage(format!("--against {}: {reason}", folder.display()));
    let (digest, arguments, knobs, profile, log) = if let Ok(bytes) = fs::read(folder.join("verdict.json")) {
        let gate: Gate = serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
        let arm = gate.candidate;
        let log = gate.logs.first().map(|log| folder.join(&log.file)).ok_or_else(|| refused("it has no log".into()))?;
        (arm.executable, arm.arguments, arm.knobs, arm.profile, log)
    } else {
        let (endpoint, knobs) = tuned(folder).map_err(refused)?;
        (endpoint.digest, endpoint.arguments, knobs, None, folder.join("trials.jsonl"))
    };
    let header = header(&log).map_err(refused)?;
    let executable = kept(root, &digest);
    let intact = fs::read(&executable).is_ok_and(|bytes| Digest::of(&bytes) == digest);
    // A tune ran the endpoint of the main job. Where that is still what the checkout builds, its build is the candidate's.
    let same = || digest == *candidate || fs::read(beside).is_ok_and(|bytes| Digest::of(&bytes) == digest);
    if !intact && !same() {
        return Ok(None);
    }
    let executable = if intact { executable } else { kept(root, candidate) };
    let side = Side { name, executable, arguments, knobs: KnobSource::Recorded(Box::new(knobs), profile) };
    Ok(Some((side, header.fingerprint)))
}

/// The first record of a log.
fn header(log: &Path) -> Result<RunRecord, String> {
    let opened = read_log(log).map_err(|error| in_full(&error))?;
    match opened.records.into_iter().next() {
        Some((_, Record::Run(run))) => Ok(*run),
        _ => Err(format!("{} does not begin with a run", log.display())),
    }
}

/// Endpoint and knobs in force after a run of `tune`.
fn tuned(folder: &Path) -> Result<(EndpointRef, Knobs), String> {
    let fit = fs::read(folder.join("fit.json")).map_err(|error| format!("no finished run: fit.json: {error}"))?;
    let fit: Fit = serde_json::from_slice(&fit).map_err(|error| format!("fit.json: {error}"))?;
    let run = header(&folder.join("trials.jsonl"))?;
    let endpoint = run.endpoints.into_values().next().ok_or("its log names no endpoint")?;
    let point = match (fit.outcome, fit.recommended) {
        (Outcome::Better, Some(best)) => {
            &fit.points.get(best).ok_or("fit.json: it recommends no point of its own")?.point
        }
        _ => &fit.incumbent,
    };
    Ok((endpoint, knobs_of(point).map_err(|error| error.to_string())?))
}

/// Refuses knobs that an endpoint does not read, unless they mean as much as their absence.
///
/// # Errors
/// A stop with 13.
pub fn refuse_unread(hello: &Hello, arm: &str, knobs: &Knobs) -> Result<(), Stop> {
    let Some(endpoint) = hello.endpoints.get(arm) else { return Ok(()) };
    let held = serde_json::to_value(knobs).expect("knobs are JSON");
    let unread = held.as_object().into_iter().flatten().find(|(name, value)| {
        !endpoint.knobs.iter().any(|read| read == *name) && Knobs::neutral(name).as_ref() != Some(*value)
    });
    match unread {
        Some((name, value)) => Err(Stop::new(
            Exit::Unfit,
            format!(
                "the {arm}'s endpoint does not read the knob {name}, which the profile sets to {value}; nothing was run"
            ),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtt_units::Nanos;

    #[test]
    fn only_a_knob_that_matters_is_missed() {
        let reads = |names: &[&str]| EndpointRef {
            digest: Digest::of(b"old"),
            hello: 1,
            knobs: names.iter().map(ToString::to_string).collect(),
            arguments: vec![],
        };
        let mut hello: Hello = serde_json::from_str(r#"{"name": "lab", "axes": []}"#).expect("a hello");
        hello.endpoints.insert("base".into(), reads(&["ring_bytes", "batch", "wait", "spin_us", "pin", "window_us"]));
        let knobs = Knobs::default_for(Nanos::from_micros(60));
        assert!(refuse_unread(&hello, "base", &knobs).is_ok(), "huge_pages is off");
        let huge = Knobs { huge_pages: true, ..knobs };
        let stop = refuse_unread(&hello, "base", &huge).expect_err("it matters");
        assert!(stop.exit == Exit::Unfit && stop.message.contains("huge_pages"), "{stop}");
    }

    #[test]
    fn executables_are_kept_under_their_digest() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("endpoint");
        fs::write(&path, b"#!/bin/sh\n").expect("written");
        let (kept_at, digest) = keep(root.path(), &path).expect("kept");
        assert_eq!(digest, Digest::of(b"#!/bin/sh\n"));
        assert_eq!(fs::metadata(&kept_at).expect("there").permissions().mode() & 0o777, 0o755);
        fs::write(&kept_at, b"damaged").expect("written");
        assert_eq!(fs::read(keep(root.path(), &path).expect("healed").0).expect("read"), b"#!/bin/sh\n");
    }
}
