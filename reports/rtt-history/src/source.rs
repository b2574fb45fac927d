//! What a row came from: one trial log, of a tune or of a gate, and the file of the data set that holds it.
//!
//! A file is named after its one log, or after the number of the compaction that wrote it. Names with `=` are ours:
//! `<run>`, `gate=<comparison>,log=<log>`, `compact=<number>`, each with `.parquet` behind it.

use crate::run::is_name;
use std::fmt;

/// A trial log by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The log of a tune.
    Tune {
        /// The run: the log's folder.
        run: String,
    },
    /// One of the logs of a gate.
    Gate {
        /// The comparison: the log's folder.
        comparison: String,
        /// The log's file name without its ending, as `000`.
        log: String,
    },
}

/// What a file of the data set holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    /// The rows of one log.
    Log(Source),
    /// The rows of several logs of one machine and day: the compaction of this number.
    Compaction(u64),
}

impl Source {
    /// The name of its file without the ending; also the value of the column `log`.
    pub fn stem(&self) -> String {
        match self {
            Source::Tune { run } => run.clone(),
            Source::Gate { comparison, log } => format!("gate={comparison},log={log}"),
        }
    }

    /// The log whose file has this name, if it is one.
    pub fn of_stem(stem: &str) -> Option<Source> {
        match stem.strip_prefix("gate=") {
            Some(rest) => {
                let (comparison, log) = rest.rsplit_once(",log=").filter(|(a, b)| is_name(a) && is_name(b))?;
                Some(Source::Gate { comparison: comparison.to_owned(), log: log.to_owned() })
            }
            None => (is_name(stem) && !stem.contains('=')).then(|| Source::Tune { run: stem.to_owned() }),
        }
    }

    /// Whether a file can be named after it, so that its name is read back as this very log.
    pub fn has_a_file_name(&self) -> bool {
        Source::of_stem(&self.stem()).as_ref() == Some(self)
    }

    /// `tune` or `gate`: the value of the column `source`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Source::Tune { .. } => "tune",
            Source::Gate { .. } => "gate",
        }
    }
}

/// `run 2026-11-23T08-45`, or `gate main-vs-tip, log 000`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Tune { run } => write!(f, "run {run}"),
            Source::Gate { comparison, log } => write!(f, "gate {comparison}, log {log}"),
        }
    }
}

impl Holds {
    /// The name of its file without the ending.
    pub fn stem(&self) -> String {
        match self {
            Holds::Log(source) => source.stem(),
            Holds::Compaction(number) => format!("compact={number:06}"),
        }
    }

    /// What a file of this name holds, if it is one of the data set.
    pub fn of_stem(stem: &str) -> Option<Holds> {
        let number = stem.strip_prefix("compact=").and_then(|digits| digits.parse().ok());
        match number {
            // One number has one name: with another count of digits it is none of ours.
            Some(number) => Some(Holds::Compaction(number)).filter(|holds| holds.stem() == stem),
            None => Source::of_stem(stem).map(Holds::Log),
        }
    }
}

/// As [`Source`], or `compaction 1`.
impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holds::Log(source) => source.fmt(f),
            Holds::Compaction(number) => write!(f, "compaction {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stem: &str, words: Option<&str>) {
        let holds = Holds::of_stem(stem);
        assert_eq!(holds.as_ref().map(Holds::to_string).as_deref(), words, "{stem}");
        assert!(holds.is_none_or(|holds| holds.stem() == stem), "{stem}");
    }

    #[test]
    fn names_are_read_back() {
        check("2026-11-23T08-45", Some("run 2026-11-23T08-45"));
        check("gate=main-vs-tip,log=000", Some("gate main-vs-tip, log 000"));
        check("gate=a,log=b,log=000", Some("gate a,log=b, log 000"));
        check("compact=000012", Some("compaction 12"));
        check("compact=1234567", Some("compaction 1234567"));
        for stem in ["compact=12", "compact=x", "compact=+00012", "gate=a", "gate=,log=0", "a=b", ".a", ""] {
            check(stem, None);
        }
    }

    #[test]
    fn what_would_be_read_back_as_another_has_no_file() {
        let tune = |run: &str| Source::Tune { run: run.into() };
        let gate = |comparison: &str, log: &str| Source::Gate { comparison: comparison.into(), log: log.into() };
        assert!(tune("a").has_a_file_name() && gate("a", "000").has_a_file_name());
        for source in [tune("gate=a,log=000"), tune("compact=000001"), tune("a/b"), gate("a", "0,log=1"), gate("", "0")]
        {
            assert!(!source.has_a_file_name(), "{source}");
        }
    }
}
