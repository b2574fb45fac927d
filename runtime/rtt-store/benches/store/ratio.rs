//! Ratios of interleaved rounds: their median, and an interval for it that assumes nothing of their distribution.

use serde_json::{Value, json};
use std::fmt;

/// One case's ratio to its limit.
pub struct Row {
    pub case: String,
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
    /// What the ratio must reach, where something is promised.
    pub bar: Option<f64>,
    /// What a person wants to know beside it.
    pub note: String,
}

impl Row {
    /// A row from the ratios of its rounds.
    pub fn of(case: &str, mut ratios: Vec<f64>, bar: Option<f64>, note: String) -> Row {
        ratios.sort_by(f64::total_cmp);
        let skip = outside(ratios.len());
        let (low, high) = (ratios[skip], ratios[ratios.len() - 1 - skip]);
        let ratio = (ratios[(ratios.len() - 1) / 2] + ratios[ratios.len() / 2]) / 2.0;
        Row { case: case.to_owned(), ratio, low, high, bar, note }
    }

    /// The bar lies above the whole interval: no luck of the rounds explains it.
    pub fn is_missed(&self) -> bool {
        self.bar.is_some_and(|bar| self.high < bar)
    }

    pub fn json(&self) -> Value {
        json!({ "case": self.case, "ratio": self.ratio, "low": self.low, "high": self.high, "bar": self.bar })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bar = self.bar.map_or(String::new(), |bar| format!(", bar {bar}"));
        let missed = match self.bar {
            Some(_) if self.is_missed() => ", MISSED",
            // The rounds differ too much to tell: more of them, or a quieter host.
            Some(bar) if self.low < bar => ", not certain",
            _ => "",
        };
        let Row { case, ratio, low, high, note, .. } = self;
        write!(f, "{case:28} {ratio:.3} ({low:.3} to {high:.3}{bar}{missed})  {note}")
    }
}

/// How many ordered rounds may be left out at each end so that what is between covers the median with 95 % confidence:
/// each round lies below it with probability one half.
fn outside(rounds: usize) -> usize {
    let mut tail = 0.5_f64.powi(rounds as i32);
    let (mut term, mut skip) = (tail, 0);
    loop {
        term *= (rounds - skip) as f64 / (skip + 1) as f64;
        tail += term;
        if tail > 0.025 {
            return skip;
        }
        skip += 1;
    }
}
