//! What many runs say together: the history of trials as Parquet, tables over it, and two runs side by side.
//!
//! This is the one crate with polars. It reads trial logs and writes below `.rtt/history` only; it measures nothing
//! and decides nothing: a ratio between two runs is advice, because they were not interleaved.
//!
//! ```text
//! .rtt/runs/<run>/trials.jsonl --export--> .rtt/history/machine=<id>/day=<YYYY-MM-DD>/<run>.parquet --table--> text
//!              two of them     --compare--> text
//! ```
//!
//! HISTORY-1  A run stands in the data set at most once; exported again, its file has the same bytes, or those of the
//!            longer log.
//! HISTORY-2  A file of the data set is whole: it is written aside, synced, and renamed.
//! HISTORY-3  A quantile over several trials is that of their merged histograms, never an average of quantiles.
//! HISTORY-4  Runs of unlike machines are compared only when that was asked for.
//! HISTORY-5  A log that is damaged, or is not the log of one run, adds no row.

mod bootstrap;
mod cell;
mod columns;
mod compare;
mod comparison_text;
mod dataset;
mod day;
mod export;
mod layout;
mod measures;
mod names;
mod output;
mod query;
mod run;
mod table;
mod table_text;

pub use bootstrap::{Pool, RESAMPLES, TRIALS_MIN, ratio_interval};
pub use cell::Cell;
pub use columns::{COLUMNS, ColumnSpec, Kind, PARTITION_COLUMNS, RunRow, frame_of};
pub use compare::{CompareError, compare};
pub use comparison_text::comparison_text;
pub use dataset::{FORMAT, HISTORY_PLACE, HistoryFile, ReadHistoryError, list_history, read_columns};
pub use day::{day_of, is_day, minute_of};
pub use export::{ExportError, Exported, export_run};
pub use layout::{Align, Layout};
pub use measures::{MEASURES, Measure, Unit};
pub use names::{arm_name, pin_name, verdict_name, wait_name};
pub use output::{Comparison, ExportReport, FieldPair, FigurePair, Pair, RegimePair, RunHead, RunOutcome, Side, Table};
pub use query::{Filter, Query, QueryError};
pub use run::{LOG_NAME, RUNS_PLACE, ReadRunError, Run, Trial, list_runs, locate_log, read_run};
pub use table::{TableError, table};
