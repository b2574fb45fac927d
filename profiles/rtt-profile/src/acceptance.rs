//! Whether a host may run with a profile.
//!
//! PROFILE-5  A profile of another machine, an expired one, and one from the future are refused; changed conditions make
//!            it stale, and refuse it only where the policy lists the field.
//!
//! The signature is checked before: who holds a `Verified<Profile>` asks here.

use crate::{Conditions, Difference, Fingerprint, Machine, MachineId, Profile, utc};
use std::fmt;

/// How far ahead of this host's clock a profile's creation may lie, in seconds: an hour.
const CLOCK_SKEW_S: u64 = 3_600;

/// Conditions whose change refuses a profile instead of making it stale. None, unless said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    refuse_on: Vec<&'static str>,
}

/// A policy lists a field that is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy lists `{found}`, expected one of {}", Conditions::FIELDS.join(", "))]
pub struct PolicyError {
    /// What was listed.
    pub found: String,
}

/// The fields in which two fingerprints differ. Prints as `cores: 2 against 4; memory class: 32 GiB against 64 GiB`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differences(pub Vec<Difference>);

/// A profile that this host may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// As it was measured.
    InForce,
    /// Measured under other conditions: use it with a warning, and tune again.
    Stale {
        /// The conditions, at the measurement and now.
        differences: Differences,
    },
}

/// Why this host may not use a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// Tuned on another machine.
    #[error(
        "the profile is for machine {theirs}, this is {here}: {} of {} fields differ, there against here: {}",
        .differences.0.len(), Machine::FIELD_COUNT, .differences
    )]
    OtherMachine {
        /// The profile's machine.
        theirs: MachineId,
        /// This machine.
        here: MachineId,
        /// The fields that differ: the profile's machine left, this one right.
        differences: Differences,
    },
    /// Its time is over.
    #[error("the profile expired on {}, it is {} now: tune again", utc(*.expired_unix_s), utc(*.now_unix_s))]
    Expired {
        /// When it expired, in seconds of Unix time.
        expired_unix_s: u64,
        /// This host's clock, in seconds of Unix time.
        now_unix_s: u64,
    },
    /// Made after now.
    #[error("the profile was made on {}, but it is {} here: set this host's clock", utc(*.created_unix_s), utc(*.now_unix_s))]
    FromTheFuture {
        /// When it was made, in seconds of Unix time.
        created_unix_s: u64,
        /// This host's clock, in seconds of Unix time.
        now_unix_s: u64,
    },
    /// A condition has changed that the policy does not forgive.
    #[error("conditions changed that the policy does not allow to change, then against now: {differences}: tune again")]
    Conditions {
        /// The conditions that the policy lists, at the measurement and now.
        differences: Differences,
    },
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(Difference::to_string).collect();
        f.pad(&words.join("; "))
    }
}

impl Policy {
    /// Refuses a profile when one of `fields` (of [`Conditions::FIELDS`]) has changed.
    ///
    /// # Errors
    /// [`PolicyError`] for a field that is no condition.
    pub fn refusing<'a>(fields: impl IntoIterator<Item = &'a str>) -> Result<Policy, PolicyError> {
        let known = |field: &str| Conditions::FIELDS.into_iter().find(|known| *known == field);
        let fields =
            fields.into_iter().map(|field| known(field).ok_or_else(|| PolicyError { found: field.to_owned() }));
        fields.collect::<Result<_, _>>().map(|refuse_on| Policy { refuse_on })
    }
}

impl Profile {
    /// PROFILE-5: whether the host `here` may use this profile at `now_unix_s`.
    ///
    /// # Errors
    /// [`AcceptError`]; the machine is compared first, since a profile of another machine is of no use at any time.
    pub fn accept(&self, here: &Fingerprint, now_unix_s: u64, policy: &Policy) -> Result<Acceptance, AcceptError> {
        let differences = self.fingerprint.machine.differences(&here.machine);
        if self.fingerprint.machine != here.machine {
            let (theirs, here_id) = (self.machine_id(), here.machine.id());
            return Err(AcceptError::OtherMachine { theirs, here: here_id, differences: Differences(differences) });
        }
        self.check_time(now_unix_s)?;
        let differences = self.fingerprint.conditions.differences(&here.conditions);
        let refused: Vec<_> =
            differences.iter().filter(|difference| policy.refuse_on.contains(&difference.field)).cloned().collect();
        match (differences.is_empty(), refused.is_empty()) {
            (true, _) => Ok(Acceptance::InForce),
            (false, true) => Ok(Acceptance::Stale { differences: Differences(differences) }),
            (false, false) => Err(AcceptError::Conditions { differences: Differences(refused) }),
        }
    }

    /// The part of [`Profile::accept`] that holds on any host.
    ///
    /// # Errors
    /// [`AcceptError::Expired`] or [`AcceptError::FromTheFuture`].
    pub fn check_time(&self, now_unix_s: u64) -> Result<(), AcceptError> {
        if now_unix_s >= self.expires_unix_s {
            return Err(AcceptError::Expired { expired_unix_s: self.expires_unix_s, now_unix_s });
        }
        if self.created_unix_s > now_unix_s.saturating_add(CLOCK_SKEW_S) {
            return Err(AcceptError::FromTheFuture { created_unix_s: self.created_unix_s, now_unix_s });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::tests::{fingerprint, profile};

    const NOW: u64 = 1_800_000_001;

    fn accept(change: impl FnOnce(&mut Fingerprint), now: u64, policy: &[&str]) -> Result<Acceptance, String> {
        let mut here = fingerprint();
        change(&mut here);
        let policy = Policy::refusing(policy.iter().copied()).expect("conditions");
        profile().accept(&here, now, &policy).map_err(|error| error.to_string())
    }

    /// PROFILE-5
    #[test]
    fn the_same_machine_within_its_time_is_in_force() {
        assert_eq!(accept(|_| {}, NOW, &Conditions::FIELDS), Ok(Acceptance::InForce));
        let p = profile();
        for (now, refused) in [
            (
                p.created_unix_s - CLOCK_SKEW_S - 1,
                Some("the profile was made on 2027-01-15 08:00:00 UTC, but it is 2027-01-15 06:59:59"),
            ),
            (p.created_unix_s - CLOCK_SKEW_S, None),
            (p.expires_unix_s - 1, None),
            (
                p.expires_unix_s,
                Some("the profile expired on 2027-04-15 08:00:00 UTC, it is 2027-04-15 08:00:00 UTC now"),
            ),
            (u64::MAX, Some("expired")),
        ] {
            let found = accept(|_| {}, now, &[]).err();
            assert_eq!(found.is_some(), refused.is_some(), "{now}: {found:?}");
            assert!(found.unwrap_or_default().contains(refused.unwrap_or_default()), "{now}");
        }
    }

    /// PROFILE-5
    #[test]
    fn another_machine_is_refused_in_words_at_any_time() {
        for now in [NOW, u64::MAX] {
            let error = accept(|here| here.machine.cores = 4, now, &[]).expect_err("another machine");
            assert!(error.contains("1 of 13 fields differ, there against here: cores: 2 against 4"), "{error}");
            assert!(error.contains(&fingerprint().machine.id().to_string()), "{error}");
            let apart = |here: &mut Fingerprint| {
                here.machine.stepping += 1;
                here.machine.hypervisor = "KVM".into();
            };
            assert!(accept(apart, now, &[]).expect_err("another machine").contains("2 of 13 fields differ"));
        }
    }

    /// PROFILE-5
    #[test]
    fn changed_conditions_are_stale_unless_the_policy_refuses_them() {
        let update = |here: &mut Fingerprint| here.conditions.kernel = "6.2.0".into();
        let stale = accept(update, NOW, &["microcode"]).expect("stale");
        let Acceptance::Stale { differences } = stale else { panic!("{stale:?}") };
        assert_eq!(differences.to_string(), "kernel: 6.1.0 against 6.2.0");
        let error = accept(update, NOW, &["microcode", "kernel"]).expect_err("refused");
        assert!(error.contains("then against now: kernel: 6.1.0 against 6.2.0: tune again"), "{error}");
        let unknown = Policy::refusing(["colour"]).expect_err("unknown").to_string();
        assert_eq!(unknown, "policy lists `colour`, expected one of kernel, microcode, governor, thp, mitigations");
    }
}
