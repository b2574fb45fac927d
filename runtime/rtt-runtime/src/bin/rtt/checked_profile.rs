//! The profile in force as a plan may set it: what `rtt profile verify` would take here, and nothing else.
//!
//! A plan is signed by a planner, and names its profile by digest alone; whose knobs these are is for a key of the role
//! `profile` to say. So the object is verified when the plan is prepared, whoever drafted it.
//!
//! PROFILE-7  A plan puts a profile into force only where it verifies under the role `profile` of this host's trust, for
//!            this machine and in its time.

use crate::disk_choice::StoreDisk;
use rtt_plan::{Op, Participant, ParticipantError, PlanId};
use rtt_profile::{Policy, Profile};
use rtt_seal::{Digest, Role, Sealed, TrustStore, in_full};
use rtt_store::cas::{Cas, ReadError};
use std::path::PathBuf;

/// Bytes of an object that are read at most: one more than any sealed profile has.
const READ_BYTES: usize = (2 << 20) + 1;

/// What this host takes as a profile.
pub(crate) struct ProfileRules {
    /// Directory of this host's trust.
    pub trust: PathBuf,
    /// This host's clock, in seconds of Unix time.
    pub now_unix_s: u64,
}

/// Why an object is no profile that may be used here.
pub(crate) enum ProfileRefusal {
    /// It is not in the store, or is damaged there.
    Object(ReadError),
    /// It is another thing, or nobody's whom this host trusts, or another machine's.
    Profile(String),
}

/// The participant of the profile, behind these rules.
pub(crate) struct CheckedProfile<P> {
    pub inner: P,
    pub objects: Cas<StoreDisk>,
    pub rules: ProfileRules,
}

impl ProfileRules {
    /// Signature under the trust document's role `profile`, form, machine and time.
    ///
    /// # Errors
    /// [`ProfileRefusal`].
    pub(crate) fn check(&self, object: &Digest, objects: &mut Cas<StoreDisk>) -> Result<(), ProfileRefusal> {
        let bytes = objects.range(object, 0, READ_BYTES).map_err(ProfileRefusal::Object)?;
        self.check_bytes(bytes).map_err(ProfileRefusal::Profile)
    }

    fn check_bytes(&self, bytes: Vec<u8>) -> Result<(), String> {
        let trust = TrustStore::load(&self.trust).map_err(|error| in_full(&error))?;
        let keys = trust.trusted(Role::Profile, self.now_unix_s).map_err(|error| {
            format!("{}; to trust one: rtt key rotate --add KEY.pub --key ROOT.key", in_full(&error))
        })?;
        let profile = Sealed::<Profile>::from_bytes(bytes).verify(&keys).map_err(|error| in_full(&error))?;
        let here = rtt_host::fingerprint().map_err(|error| in_full(&error))?;
        let accepted = profile.accept(&here, self.now_unix_s, &Policy::default());
        accepted.map(drop).map_err(|error| in_full(&error)) // What is stale may be used, as everywhere.
    }
}

impl<P: Participant> Participant for CheckedProfile<P> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn scan(&mut self) -> Result<Vec<u8>, ParticipantError> {
        self.inner.scan()
    }

    fn prepare(&mut self, plan: PlanId, ops: &[Op]) -> Result<(), ParticipantError> {
        for object in ops.iter().filter_map(Op::object) {
            let (participant, item) = (self.inner.name().to_owned(), Op::PROFILE_ITEM.to_owned());
            // PROFILE-7
            self.rules.check(&object, &mut self.objects).map_err(|refusal| match refusal {
                ProfileRefusal::Object(ReadError::Missing { .. }) => {
                    ParticipantError::Missing { participant, item, object }
                }
                ProfileRefusal::Object(error) => {
                    ParticipantError::Host { participant, what: format!("read object {object}"), source: error.into() }
                }
                ProfileRefusal::Profile(why) => {
                    let what = format!("use object {object} as the profile");
                    ParticipantError::Host { participant, what, source: why.into() }
                }
            })?;
        }
        self.inner.prepare(plan, ops)
    }

    fn commit(&mut self, plan: PlanId) -> Result<(), ParticipantError> {
        self.inner.commit(plan)
    }

    fn abort(&mut self, plan: PlanId) -> Result<(), ParticipantError> {
        self.inner.abort(plan)
    }

    fn verify(&mut self, plan: PlanId) -> Result<Digest, ParticipantError> {
        self.inner.verify(plan)
    }

    fn undo(&mut self, plan: PlanId) -> Result<(), ParticipantError> {
        self.inner.undo(plan)
    }
}
