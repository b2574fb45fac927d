//! What a finished run leaves: `fit.json`, the signed profile, the report.
//!
//! TUNER-12  A profile holds the tuned knobs only after `better`; after `no_better` and `undecided` the incumbent's.

use crate::incumbent::{keys_path, profile_path};
use crate::run_folder::RunFolder;
use rtt_measure::{ArmsP99, Exit, Fit, Hello, Interval, Outcome, Stop, knobs_of, write_whole};
use rtt_profile::{Condition, Evidence, Fingerprint, P99, Profile, ScenarioDigest, ScenarioRow, Verdict};
use rtt_seal::{Digest, KeyRest, Role, Sealed, SigningKey, forbid_core_dumps, in_full};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An interval in whole nanoseconds that still encloses its estimate.
fn nanos(interval: Interval) -> rtt_profile::Interval {
    let whole = |value: f64| value.clamp(0.0, 9e15).round() as u64;
    let estimate = whole(interval.estimate);
    rtt_profile::Interval { estimate, low: whole(interval.low).min(estimate), high: whole(interval.high).max(estimate) }
}

fn rows(fit: &Fit) -> Vec<ScenarioRow> {
    let arms = fit.confirmation.iter().flat_map(|confirmation| &confirmation.arms);
    arms.map(|row| ScenarioRow {
        scenario: row.scenario.clone(),
        condition: if row.faulted { Condition::Faulted } else { Condition::Calm },
        incumbent_p99_ns: nanos(if row.faulted { row.whole_incumbent } else { row.incumbent }),
        tuned_p99_ns: nanos(if row.faulted { row.whole_tuned } else { row.tuned }),
    })
    .collect()
}

/// A finished run that a profile can tell.
#[derive(Debug)]
pub(crate) struct Published<'a> {
    pub(crate) fit: &'a Fit,
    pub(crate) hello: &'a Hello,
    pub(crate) here: &'a Fingerprint,
    pub(crate) key: &'a SigningKey,
    pub(crate) p99: ArmsP99,
    /// Digest of the trial log.
    pub(crate) trial_log: Digest,
    /// Digest of the fit's bytes.
    pub(crate) fit_digest: Digest,
    /// What was minimised, in words.
    pub(crate) objective: String,
}

/// The profile of a finished run.
///
/// # Errors
/// A text when a point is no knobs.
fn profile(published: &Published<'_>, now_unix_s: u64) -> Result<Profile, String> {
    let Published { fit, hello, here, p99, trial_log, fit_digest, .. } = *published;
    let tuned = fit.recommended.map(|index| &fit.points[index].point);
    // TUNER-12
    let (verdict, point) = match (fit.outcome, tuned) {
        (Outcome::Better, Some(tuned)) => (Verdict::Better, tuned),
        (Outcome::Undecided, _) => (Verdict::Undecided, &fit.incumbent),
        _ => (Verdict::NoBetter, &fit.incumbent),
    };
    let mut scenarios: Vec<ScenarioDigest> = hello
        .scenarios
        .iter()
        .filter(|scenario| fit.weights.iter().any(|(name, _)| *name == scenario.name))
        .map(|scenario| ScenarioDigest { name: scenario.name.clone(), digest: scenario.digest })
        .collect();
    scenarios.sort_by(|a, b| a.name.cmp(&b.name));
    let faulted = fit.confirmation.as_ref().and_then(|confirmation| confirmation.faulted.as_ref());
    Ok(Profile {
        schema: Profile::SCHEMA,
        knobs: knobs_of(point).map_err(|error| in_full(&error))?,
        fingerprint: here.clone(),
        outcome: rtt_profile::Outcome { verdict, sentence: fit.sentence.clone() },
        p99_ns: P99 { incumbent: nanos(p99.incumbent), tuned: nanos(p99.tuned) },
        whole_p99_ns: fit.whole_p99.map(|whole| P99 { incumbent: nanos(whole.incumbent), tuned: nanos(whole.tuned) }),
        recovery_ns: faulted
            .map(|part| P99 { incumbent: nanos(part.recovery_incumbent), tuned: nanos(part.recovery_tuned) }),
        pairs: fit.confirmation.as_ref().map_or(0, |confirmation| confirmation.valid() as u32),
        objective: published.objective.clone(),
        rows: rows(fit),
        evidence: Evidence {
            scenarios,
            trial_log,
            fits: vec![fit_digest],
            seed: fit.seed.parse().expect("a fit's seed is a number of ours"),
        },
        build: format!("rtt-tuner {}", env!("CARGO_PKG_VERSION")),
        created_unix_s: now_unix_s,
        expires_unix_s: now_unix_s + Profile::LIFE_S,
    })
}

/// The key that signs profiles here; one is made where there is none, which the text says.
///
/// # Errors
/// A stop when it cannot be used: before anything is measured, since a run that cannot be signed is a run lost.
pub(crate) fn signing_key(root: &Path) -> Result<(SigningKey, Option<String>), Stop> {
    let failed =
        |reason: String| Stop::new(Exit::Sealed, format!("profiles cannot be signed here: {reason}; nothing was run"));
    let mut said = forbid_core_dumps().err().map(|error| format!("core dumps cannot be forbidden: {error}"));
    let private = root.join(".rtt/keys/profile.key");
    if !private.exists() {
        let (key, public) = SigningKey::create(Role::Profile, &private, &keys_path(root), KeyRest::Plain)
            .map_err(|error| failed(in_full(&error)))?;
        let text = format!(
            "made a key for profiles, {}: the private half is {}; hosts that shall trust it need {}",
            key.id(),
            private.display(),
            public.display()
        );
        return Ok((key, Some(text)));
    }
    let key = SigningKey::load(&private).map_err(|error| failed(in_full(&error)))?;
    let public = keys_path(root).join(format!("{}.pub", key.id()));
    if !public.exists() {
        key.public().save(&public).map_err(|error| failed(in_full(&error)))?;
        said = Some(format!("the public half of the key {} was not there; it is {} now", key.id(), public.display()));
    }
    Ok((key, said))
}

/// Signs and writes the profile for the machine `here`; returns its path.
///
/// # Errors
/// A stop with what failed.
pub(crate) fn publish_profile(root: &Path, published: &Published<'_>, now_unix_s: u64) -> Result<PathBuf, Stop> {
    let failed = |reason: String| Stop::new(Exit::Unexpected, format!("the profile cannot be signed: {reason}"));
    let profile = profile(published, now_unix_s).map_err(failed)?;
    let sealed =
        Sealed::<Profile>::sign(&profile.to_canonical(), published.key).map_err(|error| failed(in_full(&error)))?;
    let path = profile_path(root, published.here);
    write_whole(&path, sealed.as_bytes()).map_err(|error| failed(in_full(&error)))?;
    Ok(path)
}

/// Has the report drawn; a failure is told and costs nothing but the report.
///
/// # Errors
/// A text for the user.
pub(crate) fn draw_report(program: &Path, root: &Path, run: &RunFolder) -> Result<PathBuf, String> {
    let out = root.join("reports/out").join(format!("{}.html", run.name));
    fs::create_dir_all(root.join("reports/out")).map_err(|error| format!("no report: {error}"))?;
    let mut command = Command::new(program);
    // What it says goes to stderr: stdout is ours, for the result.
    command.arg("render").arg(&run.path).arg("--out").arg(&out).stdin(Stdio::null()).stdout(Stdio::null());
    match command.status() {
        Ok(status) if status.success() && out.exists() => Ok(out),
        Ok(status) => Err(format!("no report: {} ended with {status}", program.display())),
        Err(error) => Err(format!("no report: {} does not start: {error}", program.display())),
    }
}
