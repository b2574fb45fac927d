//! What is seen while it measures: a bar on a terminal, else a line for every tenth trial.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rtt_units::Nanos;
use std::io::{IsTerminal, Write, stderr};
use std::time::Instant;

/// Trials between two lines where there is no terminal.
const EVERY: u64 = 10;

/// A value of the objective in words: with its unit where the problem's is known.
pub(crate) fn shown(value: f64, nanos: bool) -> String {
    // Three digits of what is known to a few per cent.
    let digits = |value: f64| {
        let step = 10_f64.powi(value.abs().max(1e-300).log10().floor() as i32 - 2);
        (value / step).round() * step
    };
    if !value.is_finite() {
        return "-".into();
    }
    if nanos { Nanos(digits(value).round() as u64).to_string() } else { format!("{value:.2}") }
}

/// The progress of one run.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    nanos: bool,
    trials: u64,
    expected: u64,
    best: f64,
    phase: &'static str,
    started: Instant,
}

impl Progress {
    /// For about `expected` trials of a problem whose p99 is in nanoseconds, or in a unit of its own.
    pub(crate) fn new(expected: u64, nanos: bool) -> Progress {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(expected), ProgressDrawTarget::stderr());
            let style = "{bar:30} {pos}/{len} trials, {msg}, about {eta} left";
            bar.with_style(ProgressStyle::with_template(style).expect("the template is ours"))
        });
        let started = Instant::now();
        Progress { bar, nanos, trials: 0, expected, best: f64::INFINITY, phase: "start", started }
    }

    /// The part of the run that begins, in a word.
    pub(crate) fn phase(&mut self, phase: &'static str) {
        self.phase = phase;
    }

    /// A point came out at `objective`.
    pub(crate) fn point(&mut self, objective: f64) {
        self.best = self.best.min(objective);
    }

    /// Fewer trials than thought are left: `left` more at most.
    pub(crate) fn left(&mut self, left: u64) {
        self.expected = self.trials + left;
        if let Some(bar) = &self.bar {
            bar.set_length(self.expected);
        }
    }

    /// One trial came back.
    pub(crate) fn trial(&mut self) {
        self.trials += 1;
        let best = if self.best.is_finite() { shown(self.best, self.nanos) } else { "not yet known".into() };
        let message = format!("{}, best p99 so far {best}", self.phase);
        match &self.bar {
            Some(bar) => {
                bar.set_length(self.expected.max(self.trials));
                bar.set_message(message);
                bar.inc(1);
            }
            None if self.trials.is_multiple_of(EVERY) => {
                let spent = self.started.elapsed().as_secs_f64();
                let left = spent / self.trials as f64 * self.expected.saturating_sub(self.trials) as f64;
                let _ = writeln!(
                    stderr(), // Whoever does not read it misses only the progress.
                    "trial {} of about {}: {message}, about {left:.0} s left",
                    self.trials,
                    self.expected.max(self.trials)
                );
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_three_digits_and_their_unit() {
        for (value, nanos, expected) in
            [(12_345.6, true, "12.3us"), (987.4, true, "987ns"), (31.0, false, "31.00"), (f64::NAN, true, "-")]
        {
            assert_eq!(shown(value, nanos), expected);
        }
    }
}
