//! The reconciler's protocol as code. `spec/reconcile.md` tells it to a person, in the same words.
//!
//! An [`Action`] is one record of the log. [`next_state`] says which state a record leads to, or which invariant it
//! breaks; folding it over the log gives the [`State`] that the log holds, and nothing else counts. [`resolve`] says
//! what a state still owes: the reconciler does that and nothing else, after a crash and without one.
//!
//! ```
//! use rtt_model::{Action, Duty, HostId, Root, State, next_state, resolve};
//!
//! let genesis = Action::Genesis { host: HostId([1; 32]), root: Root([2; 32]) };
//! let bytes = genesis.encode(); // What the log keeps.
//! let state = next_state(&State::default(), &Action::decode(&bytes)?)?;
//! assert_eq!((state.generation(), state.root()), (0, Root([2; 32])));
//! assert_eq!(resolve(&state), Some(Duty::Checkpoint));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Pure and without dependencies. Signatures, clocks, disks and participants are the reconciler's; the model of them,
//! explored with Stateright in `checker`, is built for tests only.

mod action;
mod broken;
mod codec;
mod id;
mod participants;
mod resolve;
mod state;
mod step;

pub use action::{Action, Begin, Kind, Reason};
pub use broken::Broken;
pub use codec::{DecodeError, ENCODED_MAX};
pub use id::{CapabilityId, HostId, KeyId, PlanId, Root};
pub use participants::{PARTICIPANTS_MAX, Participants};
pub use resolve::{Duty, resolve};
pub use state::{Phase, State, Transaction};
pub use step::{next_state, objections};

#[cfg(test)]
mod checker;
