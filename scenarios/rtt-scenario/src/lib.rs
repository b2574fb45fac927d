//! Scenarios and fault plans: what to try, typed, read from locks of CUE sources, fail closed.
//!
//! CUE (`spec/schema`, `scenarios/pack`, `scenarios/chaos`, `ci/slo.cue`) is where people write. What programs read is
//! the canonical JSON lock beside it. A user without CUE writes one scenario as JSON; it goes through the same door.
//!
//! SCEN-1  A value out of its range, or one that contradicts another field, never leaves the reader.
//! SCEN-2  A document says nothing that its type does not: unknown fields, duplicate keys, `null` for an absent field and
//!         arrays in place of objects are refused.
//! SCEN-3  A lock whose sources changed is refused.
//! SCEN-4  A lock that was edited, in content or in form, is refused.
//! SCEN-5  A fault schedule is a function of plan, seed and length of the run, and every strike ends within the run.
//! SCEN-6  CUE and this reader give the same verdict on every document of the corpus.
//! SCEN-7  An objective of a scenario that there is not, or one that its scenario cannot have, is refused.
//!
//! Not here: running a scenario (`rtt-lab`), finding or building `cue` (`cargo xtask config`), signatures (`rtt-seal`).

mod bounds;
mod corpus;
mod cue;
mod document;
mod fault_plan;
mod fault_schedule;
mod latency_budget;
mod lock;
mod lock_set;
mod pack;
mod scenario;
mod slo;
mod slo_lock;
mod slo_page;

pub use bounds::{CheckError, Violation};
pub use corpus::{CorpusError, CorpusKind, CorpusRow, Verdict, corpus, cue_verdict};
pub use cue::{Cue, CueError};
pub use document::{
    ConfigDocument, ReadError, Refusal, parse_json, read_fault_plan_json, read_json, read_scenario_json,
};
pub use fault_plan::{FaultKind, FaultPlan, FaultSpec};
pub use fault_schedule::{FaultSchedule, Strike};
pub use latency_budget::{LatencyBudget, limit_of_run_ns};
pub use lock::{Lock, LockError, Source};
pub use lock_set::{BuildError, CHAOS_LOCK, LockPlace, PACK_LOCK, SLO_LOCK, SLO_PAGE, export_lock, write_if_changed};
pub use pack::{Pack, PackError, Unknown};
pub use scenario::{Arrival, Budget, Offered, PayloadShare, Scenario, Workload};
pub use slo::{MachineBudget, Objective, Slo};
pub use slo_lock::{SloError, SloRefusal, load_slo, only_slo, slo_of};
pub use slo_page::slo_page;
