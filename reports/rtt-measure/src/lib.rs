//! What a measurement is: one trial and its append log, the protocol between tuner and problem, the e-process.
//!
//! The tuner, the lab, the report and the history meet only here. Scenarios and fault schedules are named by digest.

mod append;
mod eprocess;
mod exit;
mod fit;
mod gate;
mod histogram;
pub mod interrupt;
mod interval;
mod line_child;
mod log;
mod point;
mod problem;
mod protocol;
mod regime;
mod slices;
mod trial;
mod whole;

pub use append::append_to_history;
pub use eprocess::{Decision, EProcess, EProcessConfig, PairOrder, SignProcess};
pub use exit::{Exit, Stop};
pub use fit::{
    ArmRow, ArmsP99, Confirmation, FaultedPart, Fit, FitPoint, Interval, KnobEffect, Origin, Outcome, PairRow,
    PresetCheck, RegimeEffect, StallRow, TimeSpent,
};
pub use gate::{Gate, GateArm, GateBudget, GateLatency, GateLog, GatePair, GateScenario, GateVerdict};
pub use histogram::{HistogramError, decode_histogram, encode_histogram, quantiles};
pub use interval::{geometric_mean_interval, mean_interval};
pub use line_child::{LineChild, LineError};
pub use log::{LogError, LogWriter, Opened, read_log};
pub use point::{Point, PointError, Value, knobs_of, point_of};
pub use problem::{Problem, ProblemError, Truth};
pub use protocol::{
    AbsentValue, Answer, Arm, Axis, Constraint, EndpointRef, Hello, Kind, MeasureRequest, Named, PROTOCOL, Quantiles,
    Request, RequestError, Scale, ScenarioRef, Verdict, When,
};
pub use regime::{Level, PairRegimes, Regime, Regimes, clusters};
pub use slices::{Stalls, typical_p99};
pub use trial::{
    CapacityRecord, CounterReading, Disruption, Interference, Limits, PairLatency, Record, RegimeProbe, RunRecord,
    StrikeProof, TrialRecord,
};
pub use whole::write_whole;
