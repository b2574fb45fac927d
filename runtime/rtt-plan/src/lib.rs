//! The signed plan: what a host obeys, when it does, and what becomes of its state.
//!
//! A plan travels sealed ([`rtt_seal::Sealed`]). Who holds a `Verified<Plan>` asks [`Plan::admit`] whether this host may
//! begin it, and [`Plan::effect`] what its state will be. Everything here is a function of its arguments: no clock, no
//! disk, no randomness.
//!
//! Not here: what a participant does to the host, the log of what was done, and the order of the two phases
//! (`rtt-reconcile`).

mod admission;
mod capability;
mod difference;
mod item;
mod op;
mod participant;
mod plan;
mod plan_text;
mod runtime_build;
mod state;

pub use admission::{HostFacts, RefuseError};
pub use capability::{Capability, CapabilityError, Policy};
pub use difference::{Change, Difference, Effect};
pub use item::{Before, FileMode, ItemError, ItemName, ItemPath};
pub use op::Op;
pub use participant::{Participant, ParticipantError};
pub use plan::{Base, Kind, Plan, PlanId};
pub use plan_text::show;
pub use runtime_build::{Build, BuildError};
pub use state::{ConflictError, EffectError, HostState, Inventory, Item, StateRoot};
