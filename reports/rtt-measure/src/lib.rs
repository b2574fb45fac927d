//! What a measurement is: one trial and its append log, the protocol between tuner and problem, the e-process.
//!
//! The tuner, the lab, the report and the history meet only here. Scenarios and fault schedules are named by digest.

mod eprocess;
mod fit;
mod histogram;
mod interval;
mod log;
mod point;
mod protocol;
mod regime;
mod trial;

pub use eprocess::{Decision, EProcess, EProcessConfig, PairOrder};
pub use fit::{
    ArmRow, ArmsP99, Confirmation, Fit, FitPoint, Interval, KnobEffect, Origin, Outcome, PairRow, RegimeEffect,
};
pub use histogram::{HistogramError, decode_histogram, encode_histogram, quantiles};
pub use interval::{geometric_mean_interval, mean_interval};
pub use log::{LogError, LogWriter, Opened, read_log};
pub use point::{Point, PointError, Value, knobs_of, point_of};
pub use protocol::{
    AbsentValue, Answer, Arm, Axis, Constraint, EndpointRef, Hello, Kind, MeasureRequest, Named, PROTOCOL, Quantiles,
    Request, RequestError, Scale, ScenarioRef, Verdict, When,
};
pub use regime::{Level, PairRegimes, Regime, Regimes, clusters};
pub use trial::{
    CapacityRecord, CounterReading, Interference, Limits, PairLatency, Record, RegimeProbe, RunRecord, StrikeProof,
    TrialRecord,
};
