//! What the host is and how to place work on it.
//!
//! Shape: [`Topology`] is read through hwloc or from `/sys` ([`TopologySource`]); placement, fingerprint and latency
//! matrix are drawn from it. [`Interference`], [`Counters`] and [`Prober`] say what happened beside a trial;
//! [`Spawn`] starts a trial's processes and [`MeasuringLock`] keeps a second measurement away.
//!
//! Nothing here changes a setting of the kernel or writes a file. Times are on `CLOCK_MONOTONIC`.

mod accounting;
mod allowance;
mod counters;
mod environment;
mod fingerprint;
#[cfg(feature = "hwloc")]
mod hwloc;
mod hypervisor;
mod limits;
mod matrix;
mod pin;
mod placement;
mod preflight;
mod pressure;
mod probe;
mod process_cost;
mod procfs;
mod spawn;
mod sys;
mod topology;
mod wake;

pub use accounting::Account;
pub use allowance::{AllowanceError, allowance};
pub use counters::{Absent, Counters, Note, Reading, probe_counters};
pub use environment::environment;
pub use fingerprint::{FingerprintError, conditions_now, fingerprint, fingerprint_of};
#[cfg(feature = "hwloc")]
pub use hwloc::HwlocTopology;
pub use limits::{Limits, limits};
pub use matrix::{LatencyMatrix, PairLatency, latency_matrix};
pub use pin::{PinError, allowed_cpus, pin_process, pin_thread, reachable_cpus};
pub use placement::{PlaceError, Placement, pin_name};
pub use preflight::{HeldError, Holder, MEASURING_LOCK_PLACE, MeasuringLock};
pub use pressure::{Interference, InterferenceError};
pub use probe::{ProbeError, ProbeReading, Prober, one_line_probe};
pub use process_cost::{CpuClock, ProcessCost, ProcessCostError};
pub use spawn::{Child, ControlError, Ended, Spawn, SpawnError, fd_argument, spawn};
pub use sys::SysTopology;
pub use topology::{Cache, CacheKind, Cpu, Node, Topology, TopologyError, TopologySource, topology};
pub use wake::{WakeError, wake_cost};
