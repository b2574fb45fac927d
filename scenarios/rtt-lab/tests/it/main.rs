//! The lab as a process, with real endpoints: what a run shows of stalls, pauses, deaths and resumption.
//!
//! One test measures at a time: two at once would disturb each other, which is what the measuring lock is for.

mod lab_process;
mod problem;
mod truth;
