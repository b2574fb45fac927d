//! What `--json` prints: objects with a version, whose fields only ever grow.

use serde::Serialize;

/// What `render --json` prints, version 1.
#[derive(Serialize)]
pub struct Rendered<'a> {
    /// Format: 1.
    pub version: u32,
    /// Name of the run.
    pub run: &'a str,
    /// Where the page was written.
    pub page: String,
    /// Its size.
    pub bytes: usize,
    /// What came of the run; absent while it has no fit.
    pub outcome: Option<rtt_measure::Outcome>,
}

/// What `gate --json` prints, version 1.
#[derive(Serialize)]
pub struct Judged<'a> {
    /// Format: 1.
    pub version: u32,
    /// Name of the comparison.
    pub comparison: &'a str,
    /// Where the page was written.
    pub page: String,
    /// Its size.
    pub bytes: usize,
    /// The verdict over all scenarios.
    pub verdict: rtt_measure::GateVerdict,
}

/// What `list --json` prints, version 1.
#[derive(Serialize)]
pub struct Listed {
    /// Format: 1.
    pub version: u32,
    /// The runs, newest first.
    pub runs: Vec<ListedRow>,
}

/// One run of `list --json`.
#[derive(Serialize)]
pub struct ListedRow {
    /// Name of the run.
    pub run: String,
    /// Trials in the log.
    pub trials: usize,
    /// What came of the run; absent while it has no fit.
    pub outcome: Option<rtt_measure::Outcome>,
    /// Why it cannot be drawn.
    pub error: Option<String>,
    /// Whether it is at work now.
    pub running: bool,
}
