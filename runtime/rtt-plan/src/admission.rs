//! Whether this host may begin a plan, and if not, what exactly is in the way.
//!
//! PLAN-8   A plan is begun only by the host that it names, and only between its two times; a host's time never goes back.
//! PLAN-9   A plan id is attempted at most once, and the number of a planner's key is begun at most once and in order,
//!          also by a plan that changes nothing.
//! PLAN-10  A plan is begun only on the state that it was made on: same generation and same root. The root alone would
//!          fit again after a rollback.
//! PLAN-11  Trust and build never go back: neither the plan's nor the host's own.
//! PLAN-12  Knobs are used only on the machine that they were tuned on.
//!
//! The signature was checked before: only a `Verified<Plan>` is asked about. The reconciler fills [`HostFacts`] from its
//! log, and asks again under its lock before the commit.

use crate::capability::{Capability, Policy};
use crate::plan::{Plan, PlanId};
use crate::runtime_build::Build;
use crate::state::StateRoot;
use rtt_profile::utc;
use rtt_seal::{Digest, HostId, KeyId, Verified};
use std::collections::{BTreeMap, BTreeSet};

/// What a host knows of itself when it is asked to begin a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// This host.
    pub host: HostId,
    /// The build that runs.
    pub build: Build,
    /// The highest build under which a plan was begun here.
    pub build_floor: Build,
    /// How many changes of state there were.
    pub generation: u64,
    /// Root of the state.
    pub root: StateRoot,
    /// The highest number that was begun, for each planner's key.
    pub sequences: BTreeMap<KeyId, u64>,
    /// Every plan that was ever begun here.
    pub attempted: BTreeSet<PlanId>,
    /// The latest time at which a plan was begun here, in seconds of Unix time.
    pub clock_floor_unix_s: u64,
    /// Version of the trust document in force.
    pub trust_version: u64,
    /// The highest version of it under which a plan was begun here.
    pub trust_version_floor: u64,
    /// What plans may do here.
    pub policy: Policy,
    /// This machine's id, or `None` where it cannot be told.
    pub machine: Option<String>,
}

/// Why a plan is not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefuseError {
    /// Made for another host.
    #[error("wrong audience: the plan is for host {audience}, this is host {host}")]
    Audience {
        /// The plan's host.
        audience: HostId,
        /// This host.
        host: HostId,
    },
    /// The key whose sequence counts has not signed.
    #[error("the plan counts as one of key {planner}, which is not among its trusted signers")]
    Planner {
        /// The key.
        planner: KeyId,
    },
    /// Begun before.
    #[error("replayed: plan {plan} was attempted on this host already, and a plan is attempted once")]
    Attempted {
        /// The plan.
        plan: PlanId,
    },
    /// Its number was begun before, or a later one was.
    #[error("replayed: sequence {sequence} of key {planner}, but {burnt} was begun already: number it {} or more", .burnt.saturating_add(1))]
    Sequence {
        /// The key.
        planner: KeyId,
        /// The plan's number.
        sequence: u64,
        /// The highest that was begun.
        burnt: u64,
    },
    /// Its time has not come.
    #[error("not yet valid: the plan holds from {} on, it is {} here", utc(*.not_before_unix_s), utc(*.now_unix_s))]
    NotYetValid {
        /// From when on.
        not_before_unix_s: u64,
        /// This host's time.
        now_unix_s: u64,
    },
    /// Its time is over.
    #[error("expired: the plan held until {}, it is {} here: draft it again", utc(*.expires_unix_s), utc(*.now_unix_s))]
    Expired {
        /// Until when.
        expires_unix_s: u64,
        /// This host's time.
        now_unix_s: u64,
    },
    /// The state was changed since, if only there and back.
    #[error("stale base: {} (generation {generation} now, this one starts from {base}): draft it again", other_generation(*.base, *.generation))]
    Generation {
        /// The plan's.
        base: u64,
        /// The host's.
        generation: u64,
    },
    /// Made on another state.
    #[error("stale base: the plan was made on state root {base}, this host's is {root}: draft it again")]
    Root {
        /// The plan's.
        base: StateRoot,
        /// The host's.
        root: StateRoot,
    },
    /// Drafted under older trust. A signature does not change the version that stands in the plan.
    #[error(
        "downgraded trust: the plan was drafted under trust version {plan}, this host holds {held}: draft it again"
    )]
    TrustDowngrade {
        /// The plan's version.
        plan: u64,
        /// The host's version.
        held: u64,
    },
    /// Drafted under trust that this host has not got.
    #[error(
        "the plan was drafted under trust version {plan}, this host holds {held}: bring the newer trust here first"
    )]
    TrustAhead {
        /// The plan's version.
        plan: u64,
        /// The host's version.
        held: u64,
    },
    /// The host's own trust went back.
    #[error("this host holds trust version {held}, but plans were begun here under {floor}: its trust was put back")]
    HostTrustDowngrade {
        /// The host's version.
        held: u64,
        /// The highest there was.
        floor: u64,
    },
    /// Made for an older build.
    #[error("downgraded build: the plan is for build {plan}, this host has run plans under {floor}: draft it again")]
    BuildDowngrade {
        /// The plan's build.
        plan: Build,
        /// The highest that ran here.
        floor: Build,
    },
    /// Made for another build.
    #[error("other build: the plan is for build {plan}, this host runs {running}")]
    Build {
        /// The plan's build.
        plan: Build,
        /// The host's build.
        running: Build,
    },
    /// The host's own build went back.
    #[error("this host runs build {running}, but plans were begun here under {floor}: its runtime was put back")]
    HostBuildDowngrade {
        /// The host's build.
        running: Build,
        /// The highest there was.
        floor: Build,
    },
    /// Made under another policy.
    #[error("other policy: the plan was made under policy {plan}, this host's is {host}: draft it again")]
    Policy {
        /// The plan's.
        plan: Digest,
        /// The host's.
        host: Digest,
    },
    /// Leave that this host does not give.
    #[error("capability not granted: the plan asks for `{capability}`, which this host's policy does not give")]
    Capability {
        /// What it asks for.
        capability: Capability,
    },
    /// Its knobs are for another machine.
    #[error("other machine: the plan's knobs were tuned on machine {plan}, this is {here}")]
    Machine {
        /// The plan's.
        plan: String,
        /// This one.
        here: String,
    },
    /// Its knobs are for one machine, and this one cannot be told.
    #[error("the plan's knobs were tuned on machine {plan}, and this host cannot tell which machine it is")]
    MachineUnknown {
        /// The plan's.
        plan: String,
    },
}

impl RefuseError {
    /// The reason as programs read it; it does not change with the words.
    pub const fn name(&self) -> &'static str {
        match self {
            RefuseError::Audience { .. } => "wrong_audience",
            RefuseError::Planner { .. } => "planner_has_not_signed",
            RefuseError::Attempted { .. } => "attempted",
            RefuseError::Sequence { .. } => "replayed_sequence",
            RefuseError::NotYetValid { .. } => "not_yet_valid",
            RefuseError::Expired { .. } => "expired",
            RefuseError::Generation { .. } => "stale_generation",
            RefuseError::Root { .. } => "stale_root",
            RefuseError::TrustDowngrade { .. } => "trust_downgrade",
            RefuseError::TrustAhead { .. } => "trust_ahead",
            RefuseError::HostTrustDowngrade { .. } => "host_trust_downgrade",
            RefuseError::BuildDowngrade { .. } => "build_downgrade",
            RefuseError::Build { .. } => "other_build",
            RefuseError::HostBuildDowngrade { .. } => "host_build_downgrade",
            RefuseError::Policy { .. } => "other_policy",
            RefuseError::Capability { .. } => "capability_not_granted",
            RefuseError::Machine { .. } => "other_machine",
            RefuseError::MachineUnknown { .. } => "machine_unknown",
        }
    }
}

/// How the host came to another generation than the plan's.
fn other_generation(base: u64, generation: u64) -> &'static str {
    if generation > base { "another plan came first" } else { "the plan was made on a later state" }
}

impl HostFacts {
    /// The time that counts here: the clock's, but never earlier than the log's.
    pub fn time(&self, now_unix_s: u64) -> u64 {
        now_unix_s.max(self.clock_floor_unix_s) // PLAN-8
    }
}

impl Plan {
    /// Whether the host may begin this plan at `now_unix_s` (its clock, in seconds of Unix time).
    ///
    /// # Errors
    /// [`RefuseError`], the first that holds: whose plan it is, whether it was begun before, its time, its base, its
    /// number, trust and build, leave, machine. The number comes after the base: of two plans drafted on one state the
    /// second has the number of the first, and what is in its way is that the state has moved on.
    pub fn admit(plan: &Verified<Plan>, host: &HostFacts, now_unix_s: u64) -> Result<(), RefuseError> {
        if plan.audience != host.host {
            return Err(RefuseError::Audience { audience: plan.audience, host: host.host }); // PLAN-8
        }
        if !plan.signers().contains(&plan.planner) {
            return Err(RefuseError::Planner { planner: plan.planner });
        }
        let id = plan.id();
        if host.attempted.contains(&id) {
            return Err(RefuseError::Attempted { plan: id }); // PLAN-9
        }
        plan.admit_time(host.time(now_unix_s))?;
        plan.admit_base(host)?;
        plan.admit_sequence(host)?;
        plan.admit_trust(host)?;
        plan.admit_build(host)?;
        plan.admit_policy(&host.policy)?;
        match (&plan.machine, &host.machine) {
            (Some(plan), Some(here)) if plan != here => {
                Err(RefuseError::Machine { plan: plan.clone(), here: here.clone() }) // PLAN-12
            }
            (Some(plan), None) => Err(RefuseError::MachineUnknown { plan: plan.clone() }),
            _ => Ok(()),
        }
    }

    /// The part of [`Plan::admit`] that must hold once more before the commit, when the lock is held.
    ///
    /// # Errors
    /// [`RefuseError::Generation`] or [`RefuseError::Root`].
    pub fn admit_base(&self, host: &HostFacts) -> Result<(), RefuseError> {
        if self.base.generation != host.generation {
            // PLAN-10: asked first, since it is what stops a plan whose root fits again.
            return Err(RefuseError::Generation { base: self.base.generation, generation: host.generation });
        }
        if self.base.state_root != host.root {
            return Err(RefuseError::Root { base: self.base.state_root, root: host.root });
        }
        Ok(())
    }

    /// PLAN-9
    fn admit_sequence(&self, host: &HostFacts) -> Result<(), RefuseError> {
        match host.sequences.get(&self.planner) {
            Some(&burnt) if self.sequence <= burnt => {
                Err(RefuseError::Sequence { planner: self.planner, sequence: self.sequence, burnt })
            }
            _ => Ok(()),
        }
    }

    fn admit_time(&self, now_unix_s: u64) -> Result<(), RefuseError> {
        let Plan { not_before_unix_s, expires_unix_s, .. } = *self;
        if now_unix_s < not_before_unix_s {
            return Err(RefuseError::NotYetValid { not_before_unix_s, now_unix_s });
        }
        if now_unix_s >= expires_unix_s {
            return Err(RefuseError::Expired { expires_unix_s, now_unix_s });
        }
        Ok(())
    }

    /// PLAN-11
    fn admit_trust(&self, host: &HostFacts) -> Result<(), RefuseError> {
        let (plan, held, floor) = (self.trust_root_version, host.trust_version, host.trust_version_floor);
        if held < floor {
            return Err(RefuseError::HostTrustDowngrade { held, floor });
        }
        match plan.cmp(&held) {
            std::cmp::Ordering::Less => Err(RefuseError::TrustDowngrade { plan, held }),
            std::cmp::Ordering::Greater => Err(RefuseError::TrustAhead { plan, held }),
            std::cmp::Ordering::Equal => Ok(()),
        }
    }

    /// PLAN-11
    fn admit_build(&self, host: &HostFacts) -> Result<(), RefuseError> {
        let (plan, running, floor) = (self.runtime_build, host.build, host.build_floor);
        if running < floor {
            return Err(RefuseError::HostBuildDowngrade { running, floor });
        }
        if plan < floor {
            return Err(RefuseError::BuildDowngrade { plan, floor });
        }
        if plan == running { Ok(()) } else { Err(RefuseError::Build { plan, running }) }
    }

    fn admit_policy(&self, policy: &Policy) -> Result<(), RefuseError> {
        let host = policy.digest();
        if self.policy != host {
            return Err(RefuseError::Policy { plan: self.policy, host });
        }
        match self.capabilities.iter().find(|capability| !policy.grants(capability)) {
            Some(capability) => Err(RefuseError::Capability { capability: capability.clone() }),
            None => Ok(()),
        }
    }
}
