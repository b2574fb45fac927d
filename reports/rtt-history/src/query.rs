//! What a table is asked for, checked against the columns that there are.

use crate::{
    COLUMNS, Holds, Kind, MEASURES, Measure, PARTITION_COLUMNS, Source, columns::column_of, dataset::HistoryFile,
    is_day, measures::How,
};
use polars::prelude::{Expr, col, lit};
use rtt_seal::near_name;
use std::collections::BTreeSet;

/// Why a table cannot be made as asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// There is no such column to group or filter by.
    #[error("no column `{name}` to {purpose} by{hint}: expected one of {known}; `rtt-history columns` explains them")]
    Column {
        /// What was asked for.
        name: String,
        /// `group` or `filter`.
        purpose: &'static str,
        /// A near name, where there is one.
        hint: String,
        /// The columns that would have been taken.
        known: String,
    },
    /// There is no such measure.
    #[error("no measure `{name}`{hint}: expected one of {known}; `rtt-history columns` explains them")]
    Measure {
        /// What was asked for.
        name: String,
        /// A near name, where there is one.
        hint: String,
        /// The measures that there are.
        known: String,
    },
    /// A name is there twice.
    #[error("`{name}` is there twice: name each column once")]
    Twice {
        /// The name.
        name: String,
    },
    /// A filter is not `COLUMN=VALUE`.
    #[error("filter `{text}`: expected COLUMN=VALUE, such as scenario=steady")]
    Filter {
        /// What was given.
        text: String,
    },
    /// A filter's value is not of its column's kind.
    #[error("filter `{text}`: expected {expected} for that column")]
    Value {
        /// What was given.
        text: String,
        /// What its values are.
        expected: &'static str,
    },
    /// A day is not one.
    #[error("day `{text}`: expected YYYY-MM-DD, such as 2026-11-23")]
    Day {
        /// What was given.
        text: String,
    },
}

/// Rows whose column has one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    column: &'static str,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    Flag(bool),
    Count(u64),
}

/// A table that can be made.
#[derive(Clone, Debug)]
pub struct Query {
    /// Columns that make the groups.
    pub(crate) by: Vec<&'static str>,
    /// What is said of each group.
    pub(crate) measures: Vec<&'static Measure>,
    filters: Vec<Filter>,
    since: Option<String>,
    until: Option<String>,
}

impl Query {
    /// Groups of equal `by`, and what `measures` say of each.
    ///
    /// # Errors
    /// [`QueryError::Column`], [`QueryError::Measure`], [`QueryError::Twice`].
    pub fn new(by: &[String], measures: &[String]) -> Result<Query, QueryError> {
        let by = by.iter().map(|name| groupable(name, "group")).collect::<Result<Vec<_>, _>>()?;
        let unknown = |name: &String| QueryError::Measure {
            name: name.clone(),
            hint: hint(name, MEASURES.iter().flat_map(|m| [m.name].into_iter().chain(m.short))),
            known: MEASURES.iter().map(|m| m.short.unwrap_or(m.name)).collect::<Vec<_>>().join(", "),
        };
        let found = measures.iter().map(|name| Measure::named(name).ok_or_else(|| unknown(name)));
        let measures = found.collect::<Result<Vec<_>, _>>()?;
        let mut seen = BTreeSet::new();
        for name in by.iter().copied().chain(measures.iter().map(|measure| measure.name)) {
            if !seen.insert(name) {
                return Err(QueryError::Twice { name: name.to_owned() });
            }
        }
        Ok(Query { by, measures, filters: Vec::new(), since: None, until: None })
    }

    /// Leaves out the rows that do not meet every one of `filters`, each `COLUMN=VALUE`.
    ///
    /// # Errors
    /// [`QueryError::Filter`], [`QueryError::Column`], [`QueryError::Value`].
    pub fn filtered(mut self, filters: &[String]) -> Result<Query, QueryError> {
        self.filters = filters.iter().map(|text| Filter::parse(text)).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Leaves out the days before `since` and after `until`.
    ///
    /// # Errors
    /// [`QueryError::Day`].
    pub fn between(mut self, since: Option<String>, until: Option<String>) -> Result<Query, QueryError> {
        if let Some(text) = [&since, &until].into_iter().flatten().find(|day| !is_day(day)) {
            return Err(QueryError::Day { text: text.clone() });
        }
        (self.since, self.until) = (since, until);
        Ok(self)
    }

    /// Whether `file` can have a row: what folders say is not asked of the file.
    pub(crate) fn takes(&self, file: &HistoryFile) -> bool {
        // Days have one length, so their order as text is that of time.
        let day = self.since.as_ref().is_none_or(|since| file.day >= *since)
            && self.until.as_ref().is_none_or(|until| file.day <= *until);
        day && self.filters.iter().all(|filter| match (filter.column, &filter.value) {
            ("machine", Value::Text(machine)) => file.machine == *machine,
            ("day", Value::Text(day)) => file.day == *day,
            // Only a tune's file is named after its run alone.
            ("run", Value::Text(run)) => match &file.holds {
                Holds::Log(Source::Tune { run: held }) => held == run,
                Holds::Log(Source::Gate { .. }) | Holds::Compaction(_) => true,
            },
            _ => true,
        })
    }

    /// The columns that the polars measures need: nothing else is read. Without the histogram, which is most of a file.
    pub(crate) fn columns(&self) -> Vec<&'static str> {
        let lazy = self.measures.iter().filter(|measure| matches!(measure.how, How::Lazy(_)));
        self.with_keys(lazy.filter_map(|measure| measure.column))
    }

    /// The columns that merging needs, or `None` where no measure merges.
    pub(crate) fn merge_columns(&self) -> Option<Vec<&'static str>> {
        let merges = self.measures.iter().any(|measure| matches!(measure.how, How::Merged(_)));
        merges.then(|| self.with_keys(["trial", "histogram"]))
    }

    fn with_keys(&self, more: impl IntoIterator<Item = &'static str>) -> Vec<&'static str> {
        let filters = self.filters.iter().map(|filter| filter.column);
        let names: BTreeSet<_> = self.by.iter().copied().chain(filters).chain(["verdict"]).chain(more).collect();
        names.into_iter().collect()
    }

    /// The filters as one expression.
    pub(crate) fn predicate(&self) -> Expr {
        self.filters.iter().fold(lit(true), |all, filter| all.and(filter.expression()))
    }
}

impl Filter {
    fn parse(text: &str) -> Result<Filter, QueryError> {
        let (name, value) = text.split_once('=').ok_or_else(|| QueryError::Filter { text: text.to_owned() })?;
        let column = groupable(name, "filter")?;
        let wrong = |expected| QueryError::Value { text: text.to_owned(), expected };
        let value = match column_of(column).map_or(Kind::Text, |spec| spec.kind) {
            Kind::Text => Value::Text(value.to_owned()),
            Kind::Flag => Value::Flag(value.parse().map_err(|_| wrong("true or false"))?),
            Kind::Count => Value::Count(value.parse().map_err(|_| wrong("a whole number"))?),
            Kind::Real => unreachable!("no key is a real number"),
        };
        Ok(Filter { column, value })
    }

    fn expression(&self) -> Expr {
        match &self.value {
            Value::Text(text) => col(self.column).eq(lit(text.clone())),
            Value::Flag(yes) => col(self.column).eq(lit(*yes)),
            Value::Count(n) => col(self.column).eq(lit(*n)),
        }
    }
}

fn hint(name: &str, known: impl Iterator<Item = &'static str>) -> String {
    near_name(name, known).map(|near| format!(", did you mean `{near}`")).unwrap_or_default()
}

/// The names that a table can be grouped and filtered by.
fn keys() -> impl Iterator<Item = &'static str> {
    let stored = COLUMNS.iter().filter(|column| column.key).map(|column| column.name);
    PARTITION_COLUMNS.into_iter().map(|(name, _)| name).chain(stored)
}

fn groupable(name: &str, purpose: &'static str) -> Result<&'static str, QueryError> {
    let unknown = || QueryError::Column {
        name: name.to_owned(),
        purpose,
        hint: hint(name, keys()),
        known: keys().collect::<Vec<_>>().join(", "),
    };
    keys().find(|known| *known == name).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(by: &str, measures: &str) -> Result<Query, QueryError> {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        Query::new(&words(by), &words(measures))
    }

    #[test]
    fn only_what_is_asked_for_is_read() {
        let plain = query("machine scenario", "trials cpu_millicores").expect("a query");
        assert_eq!(plain.columns(), ["cpu_millicores", "machine", "scenario", "verdict"]);
        assert_eq!(plain.merge_columns(), None);
        let merging = query("arm", "p99").expect("a query").filtered(&["faulted=true".into()]).expect("a filter");
        assert_eq!(merging.columns(), ["arm", "faulted", "verdict"]);
        assert_eq!(merging.merge_columns(), Some(vec!["arm", "faulted", "histogram", "trial", "verdict"]));
    }

    #[test]
    fn what_is_unknown_is_named_with_what_is_known() {
        let error = query("colour", "p99").expect_err("no such column").to_string();
        assert!(error.contains("`colour` to group by") && error.contains("machine, day, source, run"), "{error}");
        assert!(query("histogram", "p99").is_err(), "a histogram is no key");
        let error = query("arm", "p98").expect_err("no such measure").to_string();
        assert!(error.contains("`p98`") && error.contains("p999"), "{error}");
        let near = query("scenaro", "p99").expect_err("a typo").to_string();
        assert!(near.contains("did you mean `scenario`"), "{near}");
        assert!(query("arm", "p9").expect_err("a typo").to_string().contains("did you mean `p9"));
        assert!(matches!(query("arm arm", "p99"), Err(QueryError::Twice { .. })));
        assert!(matches!(query("arm", "p99 latency_ns_p99"), Err(QueryError::Twice { .. })));
        let filtered = |text: &str| query("arm", "p99").expect("a query").filtered(&[text.to_owned()]).err();
        assert!(matches!(filtered("scenario"), Some(QueryError::Filter { .. })));
        assert!(matches!(filtered("colour=red"), Some(QueryError::Column { .. })));
        assert!(matches!(filtered("faulted=yes"), Some(QueryError::Value { expected: "true or false", .. })));
        assert!(matches!(filtered("knob_batch=-1"), Some(QueryError::Value { expected: "a whole number", .. })));
        assert_eq!(filtered("scenario=a=b"), None);
        let day = query("arm", "p99").expect("a query").between(Some("today".into()), None).err();
        assert!(matches!(day, Some(QueryError::Day { .. })));
    }

    #[test]
    fn folders_are_passed_over_by_their_names() {
        let file = |machine: &str, day: &str| HistoryFile {
            machine: machine.into(),
            day: day.into(),
            holds: Holds::of_stem("r").expect("a name"),
            path: "r.parquet".into(),
            hidden: Vec::new(),
        };
        let query = query("arm", "p99").expect("a query").filtered(&["machine=m".into()]).expect("a filter");
        let query = query.between(Some("2026-01-02".into()), Some("2026-01-03".into())).expect("days");
        for (machine, day, taken) in [
            ("m", "2026-01-01", false),
            ("m", "2026-01-02", true),
            ("m", "2026-01-03", true),
            ("m", "2026-01-04", false),
            ("other", "2026-01-02", false),
        ] {
            assert_eq!(query.takes(&file(machine, day)), taken, "{machine} {day}");
        }
    }
}
