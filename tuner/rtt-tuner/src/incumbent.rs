//! What is in force on this machine before the search: the signed profile, else the default.

use crate::space::Space;
use rtt_measure::{Hello, Point, point_of};
use rtt_profile::{Acceptance, Fingerprint, Policy, Profile, utc};
use rtt_seal::{Sealed, TrustedKeys, in_full};
use std::path::{Path, PathBuf};

/// The incumbent, and what has to be said about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Incumbent {
    pub(crate) point: Point,
    pub(crate) origin: String,
    /// The signed profile whose place that of this run will take, in words.
    pub(crate) replaced: Option<String>,
    pub(crate) notes: Vec<String>,
}

/// Where the profile of the machine is kept.
pub(crate) fn profile_path(root: &Path, here: &Fingerprint) -> PathBuf {
    root.join("profiles/signed").join(format!("{}.json", here.machine.id()))
}

/// Where the public keys are.
pub(crate) fn keys_path(root: &Path) -> PathBuf {
    root.join("profiles/keys")
}

/// A profile for the plan of the run that will take its place.
fn in_words(profile: &Profile, id: &str) -> String {
    // The plan is read at a glance: of the time of day nobody remembers a run.
    let signed = utc(profile.created_unix_s).chars().take(10).collect::<String>();
    format!("profile {id} (objective {}, signed {signed})", profile.objective)
}

/// The point of the profile in force, the profile in words, and a note where its conditions changed.
fn in_force(
    root: &Path,
    here: &Fingerprint,
    space: &Space,
    now_unix_s: u64,
) -> Result<(Point, String, Option<String>), String> {
    let sealed = Sealed::<Profile>::load(&profile_path(root, here)).map_err(|error| in_full(&error))?;
    let keys = TrustedKeys::load_dir(&keys_path(root)).map_err(|error| in_full(&error))?;
    let profile = sealed.verify(&keys).map_err(|error| in_full(&error))?;
    let accepted = profile.accept(here, now_unix_s, &Policy::default()).map_err(|error| in_full(&error))?;
    let point = point_of(&profile.knobs);
    space.site(&point).map_err(|error| format!("this host cannot honour it now: {error}"))?;
    Ok((
        point,
        in_words(&profile, &here.machine.id().to_string()),
        match accepted {
            Acceptance::InForce => None,
            Acceptance::Stale { differences } => Some(format!(
                "the profile in force was tuned under other conditions ({differences}); it is the incumbent all the same"
            )),
        },
    ))
}

/// Finds the incumbent of the problem of `hello`; `root` is the checkout.
///
/// # Errors
/// A text when the problem's own default is no point of its space.
pub(crate) fn incumbent(root: &Path, hello: &Hello, space: &Space, now_unix_s: u64) -> Result<Incumbent, String> {
    let mut notes = Vec::new();
    let mut replaced = None;
    if let Some(here) = &hello.fingerprint {
        let path = profile_path(root, here);
        if path.exists() {
            match in_force(root, here, space, now_unix_s) {
                Ok((point, profile, note)) => {
                    notes.extend(note);
                    let origin = format!("profile {}", here.machine.id());
                    return Ok(Incumbent { point, origin, replaced: Some(profile), notes });
                }
                Err(reason) => {
                    replaced = Some(format!("profile {}, which is not used", here.machine.id()));
                    notes.push(format!(
                        "the profile {} is not used: {reason}; the incumbent is the default",
                        path.display()
                    ));
                }
            }
        }
    }
    if let Some(point) = &hello.default {
        space.site(point).map_err(|error| format!("the problem's default: {error}"))?;
        return Ok(Incumbent { point: point.clone(), origin: "default".into(), replaced, notes });
    }
    let point = space.point(&space.site_at(&vec![0.5; space.axes().len()]));
    notes.push("the problem names no default, so the middle of every axis is the incumbent".into());
    Ok(Incumbent { point, origin: "default (the middle of every axis)".into(), replaced, notes })
}
