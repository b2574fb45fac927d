//! Offered and achieved load.

use crate::{Grammar, Nanos, ParseError, Unit, format_scaled, parse_scaled};
use std::{fmt, str::FromStr};

/// Messages per second. Prints as `1.5M/s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(pub u64);

const UNITS: &[Unit] = &[("/s", 1), ("k/s", 1_000), ("M/s", 1_000_000), ("G/s", 1_000_000_000)];
const GRAMMAR: Grammar = Grammar { quantity: "rate", example: "20k/s", known: "/s, k/s, M/s, G/s", units: UNITS };

impl Rate {
    /// Mean span between two messages in nanoseconds, with its fraction; infinite at rate zero.
    pub fn interval_ns(self) -> f64 {
        if self.0 == 0 { f64::INFINITY } else { 1e9 / self.0 as f64 }
    }

    /// `count` messages in `span`; zero for an empty span.
    pub fn of(count: u64, span: Nanos) -> Rate {
        if span.0 == 0 { Rate(0) } else { Rate((u128::from(count) * 1_000_000_000 / u128::from(span.0)) as u64) }
    }
}

impl FromStr for Rate {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Rate, ParseError> {
        parse_scaled(text, &GRAMMAR).map(Rate)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        format_scaled(self.0, UNITS, f)
    }
}
