//! How far the rounds are, on a terminal.

use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

static PROGRESS: OnceLock<Progress> = OnceLock::new();

struct Progress {
    begin: Instant,
    rounds: usize,
    done: AtomicUsize,
}

/// Tells from here on how many of `rounds` are done, where somebody looks.
pub fn begin(rounds: usize) {
    if stderr().is_terminal() {
        PROGRESS.get_or_init(|| Progress { begin: Instant::now(), rounds, done: AtomicUsize::new(0) });
    }
}

/// One more round is done.
pub fn step() {
    let Some(Progress { begin, rounds, done }) = PROGRESS.get() else { return };
    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
    let left = begin.elapsed().as_secs_f64() / done as f64 * rounds.saturating_sub(done) as f64;
    eprint!(
        "\r{done} of {rounds} rounds, about {left:.0} s left \x1b[K{}",
        if done == *rounds { "\r\x1b[K" } else { "" }
    );
}
