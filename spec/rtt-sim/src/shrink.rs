//! Makes a failing run short: leaves out lines as long as it still fails.
//!
//! Source: Zeller and Hildebrandt 2002, doi:10.1109/32.988498, without the complements of single lines.

use crate::script::Line;

/// Runs that are tried at most.
const RUNS: usize = 600;

/// The lines without those that the failure does not need.
pub fn shrink(lines: &[Line], mut fails: impl FnMut(&[Line]) -> bool) -> Vec<Line> {
    let mut kept = lines.to_vec();
    let (mut runs, mut piece) = (0, kept.len().div_ceil(2));
    while piece > 0 {
        let (mut at, before) = (0, kept.len());
        while at < kept.len() && runs < RUNS {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + piece).min(kept.len()));
            runs += 1;
            if fails(&fewer) {
                kept = fewer;
            } else {
                at += piece;
            }
        }
        // Single lines are tried again as long as one goes.
        if piece == 1 && kept.len() < before && runs < RUNS {
            continue;
        }
        piece /= 2;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::script;

    #[test]
    fn what_the_failure_needs_is_kept_and_nothing_else() {
        let lines = script(3);
        let needed = [lines[5], lines[90], lines[180]];
        let fails = |lines: &[Line]| needed.iter().all(|line| lines.contains(line));
        assert_eq!(shrink(&lines, fails), needed);
        assert_eq!(shrink(&lines, |_| false), lines);
    }
}
