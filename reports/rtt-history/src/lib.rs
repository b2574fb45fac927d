//! What many runs say together: the history of trials as Parquet, tables over it, and two runs side by side.
//!
//! This is the one crate with polars. It reads trial logs, fits and verdicts, and writes below `.rtt/history` only; it
//! measures nothing and decides nothing: a ratio between two runs, and a change between two days, is advice, because
//! they were not interleaved.
//!
//! ```text
//! .rtt/runs/<run>/trials.jsonl + fit.json        --append--.
//! .rtt/gate/<comparison>/*.jsonl + verdict.json  --append--+--> .rtt/history/machine=<id>/day=<YYYY-MM-DD>/<log>.parquet
//! .rtt/runs/<run>/trials.jsonl                   --export--'      |           `--compact--> compact=<number>.parquet
//!              two of them --compare--> text                      `--table, trend--> text or JSON
//! ```
//!
//! HISTORY-1   A log stands in the data set at most once; exported again, its file has the same bytes, or those of the
//!             longer log.
//! HISTORY-2   A file of the data set is whole: it is written aside, synced, and renamed.
//! HISTORY-3   A quantile over several trials is that of their merged histograms, never an average of quantiles.
//! HISTORY-4   Runs of unlike machines are compared only when that was asked for.
//! HISTORY-5   A log that is damaged, or is not the log of one run, adds no row.
//! HISTORY-6   A row is read once, also between the steps of a compaction.
//! HISTORY-7   A log that is unfinished adds no row by an append, and does not keep others from being appended.
//! HISTORY-8   A compaction removes a file only after another one with its rows is on the disk and was read back.
//! HISTORY-9   What retention removed is not appended again.
//! HISTORY-10  A trend is advice: its exit code does not depend on what it shows.

mod append;
mod bootstrap;
mod cell;
mod columns;
mod compact;
mod compare;
mod comparison_text;
mod contents;
mod data_set_lock;
mod dataset;
mod day;
mod export;
mod index;
mod layout;
mod measures;
mod names;
mod output;
mod query;
mod retain;
mod run;
mod source;
mod synthetic;
mod table;
mod table_text;
mod trend;
mod whole_file;

pub use append::{AppendError, GATES_PLACE, VERDICT_NAME, append};
pub use bootstrap::{Pool, RESAMPLES, TRIALS_MIN, ratio_interval};
pub use cell::Cell;
pub use columns::{COLUMNS, ColumnSpec, Kind, PARTITION_COLUMNS, RunRow, frame_of};
pub use compact::{CompactError, CompactStep, compact};
pub use compare::{CompareError, compare};
pub use comparison_text::comparison_text;
pub use contents::Piece;
pub use data_set_lock::{DataSetLock, LockHistoryError};
pub use dataset::{FORMAT, HISTORY_PLACE, HistoryFile, ReadHistoryError, list_history, read_columns, read_contents};
pub use day::{day_of, is_day, minute_of};
pub use export::{ExportError, Exported, export_run};
pub use index::Index;
pub use layout::{Align, Layout};
pub use measures::{MEASURES, Measure, Unit};
pub use names::{arm_name, gate_verdict_name, pin_name, verdict_name, wait_name};
pub use output::{
    AppendReport, CompactReport, CompactedPartition, Comparison, ExportReport, FieldPair, FigurePair, LogOutcome, Pair,
    RegimePair, RemovedPartition, RetainReport, RunHead, RunOutcome, Side, Table,
};
pub use query::{Filter, Query, QueryError};
pub use retain::{RetainError, retain};
pub use run::{GateOrigin, LOG_NAME, RUNS_PLACE, ReadRunError, Run, Trial, list_runs, locate_log, read_run};
pub use source::{Holds, Source};
pub use synthetic::{SyntheticError, SyntheticSize, Written, synthetic_header, write_synthetic};
pub use table::{TableError, table};
pub use trend::{
    BUDGET_S, ChangePoint, LEVEL, LEVEL_DAYS, PERMUTATIONS, TARGET, TREND_COLUMNS, TrendError, TrendQuery,
    change_points, exact_interval, output as trend_output, trend,
};
