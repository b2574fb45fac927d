//! The reconciler over a real log on a real disk, with real files behind its participants.

mod crash;
mod determinism;
mod ends;
mod entries;
mod failed_call;
mod host;
mod killed;
mod power_cut;
mod reopened;
mod struck;
mod tree;
