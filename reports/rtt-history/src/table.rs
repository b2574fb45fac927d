//! A table over many runs: groups of trials, and what they say together.
//!
//! Two passes over the files. The first reads the columns that polars needs and groups them lazily. The second runs
//! only where a latency quantile is asked for; it reads the histograms a file at a time and merges each into its
//! group (HISTORY-3), so that memory holds one file's histograms and one per group.

use crate::{Cell, HistoryFile, Holds, Query, ReadHistoryError, Table, list_history, measures::How, read_columns};
use hdrhistogram::Histogram;
use polars::prelude::{DataFrame, Expr, IntoLazy, PolarsError, PolarsResult, UnionArgs, col, concat, lit};
use rtt_measure::{HistogramError, decode_histogram};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Name of the count of rows, where there is no key.
const ROWS: &str = "rows of the table";

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadHistoryError),
    /// There is no file.
    #[error("no data set in {}: nothing is in it yet; run `rtt-history append --root {}`", folder.display(), root.display())]
    Empty {
        /// Where it should be.
        folder: PathBuf,
        /// The root that was asked.
        root: PathBuf,
    },
    /// The filters leave nothing.
    #[error("none of the {files} files of the data set has a row that meets the filters; leave one out")]
    NothingLeft {
        /// Files of the data set.
        files: usize,
    },
    /// polars cannot group the rows.
    #[error("the rows of {files} files cannot be grouped")]
    Group {
        /// Files that were read.
        files: usize,
        /// What polars says.
        source: PolarsError,
    },
    /// A histogram is none.
    #[error("{holds}: {}: trial {trial} has a damaged histogram; remove the file and append its logs again (`rtt-history append`)", path.display())]
    Histogram {
        /// What the file holds.
        holds: Holds,
        /// Its file.
        path: PathBuf,
        /// The trial.
        trial: String,
        /// What is wrong.
        source: HistogramError,
    },
    /// Two histograms have no common range.
    #[error("{holds}: {}: the histogram of trial {trial} cannot be merged ({reason}); remove the file and append its logs again", path.display())]
    Merge {
        /// What the file holds.
        holds: Holds,
        /// Its file.
        path: PathBuf,
        /// The trial.
        trial: String,
        /// What the histogram says.
        reason: String,
    },
}

type Key = Vec<Cell>;

/// The histograms of each group, merged, and how many settled trials had none.
#[derive(Default)]
struct Merged {
    groups: BTreeMap<Key, Histogram<u64>>,
    without: usize,
}

/// Makes the table that `query` asks for from the data set below `root`.
///
/// # Errors
/// [`TableError`].
pub fn table(root: &Path, query: Query) -> Result<Table, TableError> {
    let all = list_history(root)?;
    if all.is_empty() {
        return Err(TableError::Empty { folder: root.join(crate::HISTORY_PLACE), root: root.to_owned() });
    }
    let files: Vec<&HistoryFile> = all.iter().filter(|file| query.takes(file)).collect();
    let columns = query.columns();
    let frames = files.iter().map(|file| read_columns(file, &columns)).collect::<Result<Vec<_>, _>>()?;
    let grouped = group(frames, &query).map_err(|source| TableError::Group { files: files.len(), source })?;
    if grouped.is_empty() {
        return Err(TableError::NothingLeft { files: all.len() });
    }
    let merged = match query.merge_columns() {
        Some(columns) => merge(&files, &columns, &query)?,
        None => Merged::default(),
    };
    let rows = grouped.into_iter().map(|(key, lazy)| row(&query, key, lazy, &merged)).collect();
    let mut notes = Vec::new();
    if merged.without > 0 {
        notes.push(format!("{} settled trials have no histogram: the latencies leave them out", merged.without));
    }
    let by = query.by.clone();
    let measures = query.measures.iter().map(|measure| measure.name).collect();
    Ok(Table { version: 1, by, measures, files: files.len(), rows, notes, query })
}

/// Each group's key and the values of the polars measures, by name.
fn group(frames: Vec<DataFrame>, query: &Query) -> PolarsResult<BTreeMap<Key, BTreeMap<&'static str, Cell>>> {
    if frames.is_empty() {
        return Ok(BTreeMap::new());
    }
    let frames: Vec<_> = frames.into_iter().map(IntoLazy::lazy).collect();
    let rows = concat(frames, UnionArgs::default())?.filter(query.predicate());
    let lazy = query.measures.iter().filter_map(|measure| match measure.how {
        How::Lazy(expression) => Some((measure.name, expression().alias(measure.name))),
        How::Merged(_) => None,
    });
    // Without a polars measure the groups are still wanted: the count stands in.
    let lazy: Vec<(&'static str, Expr)> = lazy.collect();
    let expressions: Vec<Expr> = lazy.iter().map(|(_, expression)| expression.clone()).collect();
    let keys: Vec<Expr> = query.by.iter().map(|name| col(*name)).collect();
    let grouped = if keys.is_empty() {
        // One group of all rows; no group where there is no row, as with keys.
        let counted = [polars::prelude::len().alias(ROWS)].into_iter().chain(expressions).collect::<Vec<_>>();
        rows.select(counted).filter(col(ROWS).gt(lit(0_u64))).collect()?
    } else {
        rows.group_by(keys).agg(expressions).collect()?
    };
    let mut groups = BTreeMap::new();
    for at in 0..grouped.height() {
        let cells = lazy.iter().map(|(name, _)| cell(&grouped, name, at).map(|cell| (*name, cell)));
        groups.insert(key(&grouped, query, at)?, cells.collect::<PolarsResult<_>>()?);
    }
    Ok(groups)
}

fn cell(frame: &DataFrame, name: &str, at: usize) -> PolarsResult<Cell> {
    Ok(Cell::from(frame.column(name)?.get(at)?))
}

fn key(frame: &DataFrame, query: &Query, at: usize) -> PolarsResult<Key> {
    query.by.iter().map(|name| cell(frame, name, at)).collect()
}

/// HISTORY-3: the settled trials' histograms, merged by group, a file at a time.
fn merge(files: &[&HistoryFile], columns: &[&str], query: &Query) -> Result<Merged, TableError> {
    let mut merged = Merged::default();
    for file in files {
        let settled = col("verdict").eq(lit("settled"));
        let rows = read_columns(file, columns)?.lazy().filter(query.predicate().and(settled)).collect();
        let failed = |source| TableError::Group { files: 1, source };
        let rows = rows.map_err(failed)?;
        for at in 0..rows.height() {
            let Cell::Text(text) = cell(&rows, "histogram", at).map_err(failed)? else {
                merged.without += 1;
                continue;
            };
            let (holds, path) = (file.holds.clone(), file.path.clone());
            let trial = cell(&rows, "trial", at).map_err(failed)?.to_string();
            let histogram = match decode_histogram(&text) {
                Ok(histogram) => histogram,
                Err(source) => return Err(TableError::Histogram { holds, path, trial, source }),
            };
            let group = merged.groups.entry(key(&rows, query, at).map_err(failed)?);
            let group = group.or_insert_with(|| Histogram::new(3).expect("three digits are allowed"));
            if let Err(error) = group.add(histogram) {
                return Err(TableError::Merge { holds, path, trial, reason: format!("{error:?}") });
            }
        }
    }
    Ok(merged)
}

fn row(
    query: &Query,
    key: Key,
    mut lazy: BTreeMap<&'static str, Cell>,
    merged: &Merged,
) -> BTreeMap<&'static str, Cell> {
    let histogram = merged.groups.get(&key).filter(|histogram| !histogram.is_empty());
    for measure in &query.measures {
        if let How::Merged(quantile) = measure.how {
            let value = histogram.map(|histogram| histogram.value_at_quantile(quantile));
            lazy.insert(measure.name, Cell::count(value));
        }
    }
    lazy.extend(query.by.iter().copied().zip(key));
    lazy
}
