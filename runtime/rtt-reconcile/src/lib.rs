//! What changes a host: a verified plan, carried out in two phases over all participants, and the way back.
//!
//! [`Reconciler`] is the protocol of `spec/reconcile.md`, whose rules are `rtt-model`'s; [`Log`] writes its actions;
//! [`Tree`] is the participant behind files, rings and the profile in force. The running state is read back, never
//! remembered: what the log says and what runs are compared, and never made equal behind anybody's back.

mod admission;
mod entry;
mod log;
mod objects;
mod owned_tree;
mod reconciler;
mod tree;

pub use admission::{Terms, admit, scan};
pub use entry::{Beside, Entry, EntryError};
pub use log::{Log, LogError, Planners, Told, WriteError, audit, unwitnessed};
pub use objects::Objects;
pub use reconciler::{ApplyError, Drift, Ended, Reconciler, SettleError};
pub use tree::Tree;
