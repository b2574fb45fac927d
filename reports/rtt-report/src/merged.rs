//! Histograms of several runs as one. Quantiles are never averaged: histograms are added, and quantiles read from the sum.

use hdrhistogram::Histogram;
use rtt_measure::{TrialRecord, decode_histogram};

/// The runs of one arm in one condition.
#[derive(Debug)]
pub struct Merged {
    /// The sum.
    pub histogram: Histogram<u64>,
    /// How many runs were added.
    pub runs: usize,
}

impl Default for Merged {
    fn default() -> Merged {
        // What comes out of a file has fixed bounds; the sum must be able to grow.
        Merged { histogram: Histogram::new(3).expect("three digits are allowed"), runs: 0 }
    }
}

impl Merged {
    /// Adds the histogram of `trial`, if it has one; says why one cannot be read.
    pub fn add(&mut self, trial: &TrialRecord) -> Result<(), String> {
        let Some(text) = &trial.histogram else { return Ok(()) };
        let decoded = decode_histogram(text).map_err(|e| e.to_string());
        let added = decoded.and_then(|histogram| self.histogram.add(&histogram).map_err(|e| e.to_string()));
        self.runs += usize::from(added.is_ok());
        added.map_err(|why| format!("the histogram of trial {} cannot be read: {why}", trial.id))
    }
}
