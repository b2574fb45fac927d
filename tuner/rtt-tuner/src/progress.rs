//! What is seen while it measures: a bar on a terminal, else a line for every tenth trial and at most one a second.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rtt_units::Nanos;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

/// Trials between two lines where there is no terminal.
const EVERY: u64 = 10;
/// Least measuring time between two of them: a simulated problem answers hundreds of trials in a second.
const APART: Duration = Duration::from_secs(1);

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
    /// Those that were run now: the others came from the log and took no time.
    live: u64,
    expected: u64,
    budget: Duration,
    best: f64,
    phase: &'static str,
    /// Measuring time at the last line.
    said: Option<Duration>,
}

impl Progress {
    /// For about `expected` trials within `budget` of a problem whose p99 is in nanoseconds, or in a unit of its own.
    pub(crate) fn new(expected: u64, nanos: bool, budget: Duration) -> Progress {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(expected), ProgressDrawTarget::stderr());
            let style = "{bar:30} {pos}/{len} trials, {msg}";
            bar.with_style(ProgressStyle::with_template(style).expect("the template is ours"))
        });
        Progress { bar, nanos, trials: 0, live: 0, expected, budget, best: f64::INFINITY, phase: "start", said: None }
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

    /// What is left: as long as the live trials took so far, for all that are to come, and never beyond the budget.
    fn eta(&self, live: Duration, spent: Duration) -> Option<Duration> {
        let to_come = self.expected.saturating_sub(self.trials);
        let each = live.checked_div(u32::try_from(self.live).ok()?)?;
        Some(each.saturating_mul(to_come as u32).min(self.budget.saturating_sub(spent)))
    }

    /// Whether a line would tell something new once `spent` of measuring time are gone.
    fn line_is_due(&self, spent: Duration) -> bool {
        self.trials.is_multiple_of(EVERY) && self.said.is_none_or(|said| spent.saturating_sub(said) >= APART)
    }

    /// One trial came back: run now, with `live` of measuring since the start of this process, or answered by the log;
    /// `spent` is the whole run's measuring time.
    pub(crate) fn trial(&mut self, live: Option<Duration>, spent: Duration) {
        self.trials += 1;
        self.live += u64::from(live.is_some());
        let best = if self.best.is_finite() { shown(self.best, self.nanos) } else { "not yet known".into() };
        let eta = live.and_then(|live| self.eta(live, spent));
        let eta = eta.map_or_else(|| "from the log".into(), |eta| format!("about {:.0} s left", eta.as_secs_f64()));
        let message = format!("{}, best p99 so far {best}, {eta}", self.phase);
        match &self.bar {
            Some(bar) => {
                bar.set_length(self.expected.max(self.trials));
                bar.set_message(message);
                bar.inc(1);
            }
            None if self.line_is_due(spent) => {
                self.said = Some(spent);
                let of = self.expected.max(self.trials);
                // Whoever does not read it misses only the progress.
                let _ = writeln!(stderr(), "trial {} of about {of}: {message}", self.trials);
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
    fn what_is_left_is_estimated_from_what_was_run_now() {
        let mut progress = Progress::new(100, true, Duration::from_secs(600));
        let second = Duration::from_secs(1);
        assert_eq!(progress.eta(Duration::ZERO, second), None, "nothing was run yet");
        (0..40).for_each(|_| progress.trial(None, 300 * second));
        progress.trial(Some(2 * second), 302 * second);
        assert_eq!(progress.eta(2 * second, 302 * second), Some(118 * second), "59 trials of 2 s");
        assert_eq!(progress.eta(2 * second, 590 * second), Some(10 * second), "the budget ends it");
    }

    #[test]
    fn a_line_comes_with_every_tenth_trial_and_not_more_than_once_a_second() {
        let mut progress = Progress::new(100, true, Duration::from_secs(600));
        let due = |progress: &mut Progress, spent_ms: u64| {
            progress.trials += EVERY;
            let due = progress.line_is_due(Duration::from_millis(spent_ms));
            progress.said = if due { Some(Duration::from_millis(spent_ms)) } else { progress.said };
            due
        };
        let found = [0, 300, 999, 1000, 1500, 9000].map(|spent| due(&mut progress, spent));
        assert_eq!(found, [true, false, false, true, false, true]);
    }

    #[test]
    fn values_are_shown_with_three_digits_and_their_unit() {
        for (value, nanos, expected) in
            [(12_345.6, true, "12.3us"), (987.4, true, "987ns"), (31.0, false, "31.00"), (f64::NAN, true, "-")]
        {
            assert_eq!(shown(value, nanos), expected);
        }
    }
}
