//! `cargo xtask gate bisect`: the first revision that is slower than a good one.
//!
//! Every step is a gate of its own against the good revision, with a bounded number of pairs; a step that cannot tell
//! ends the search with the range that is left, since a guess would name the wrong commit.

use crate::exit::{Exit, Stop};
use crate::gate::Workshop;
use crate::revision::{self, Revision};
use crate::screen::{eprintln, println};
use crate::workspace::run;

/// What one step says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Good,
    Bad,
    Unknown,
}

/// How a search ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// The index of the first bad revision.
    First(usize),
    /// It lies behind the first index, and at the second or before it.
    Between(usize, usize),
}

/// Searches 0..count, where 0 is good and `count - 1` bad, asking `step` of an index.
fn search(count: usize, mut step: impl FnMut(usize) -> Result<Step, Stop>) -> Result<Found, Stop> {
    let (mut good, mut bad) = (0, count - 1);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        match step(middle)? {
            Step::Good => good = middle,
            Step::Bad => bad = middle,
            Step::Unknown => return Ok(Found::Between(good, bad)),
        }
    }
    Ok(Found::First(bad))
}

fn step(shop: &Workshop<'_>, good: &Revision, tried: &Revision) -> Result<(Step, u8), Stop> {
    let base = revision::endpoint(shop.workspace, good, shop.topology)?;
    let candidate = match revision::endpoint(shop.workspace, tried, shop.topology) {
        Ok(candidate) => candidate,
        Err(stop) => {
            eprintln!("gate bisect: {} cannot be judged: {}", tried.name, stop.message);
            return Ok((Step::Unknown, Exit::Undecided.code()));
        }
    };
    // Budgets are no matter here: a host that breaks them breaks them with every revision.
    let rest = [
        "--base".to_owned(),
        base.display().to_string(),
        "--base-name".into(),
        good.name.clone(),
        "--ignore-budgets".into(),
    ];
    let mut judge = shop.judge(&candidate, &tried.name, &rest);
    if shop.json {
        judge.stdout(std::io::stderr()); // What the search found is the only thing on stdout.
    }
    let code = run(&mut judge)?;
    let said = match code {
        code if code == Exit::Success.code() => Step::Good,
        code if code == Exit::Regression.code() => Step::Bad,
        // Unfit: an endpoint that this lab cannot drive.
        code if code == Exit::Undecided.code() || code == Exit::Unfit.code() => Step::Unknown,
        // Nothing was said of the revision: interrupted, held.
        code => {
            return Err(Stop {
                exit: exit_of(code),
                message: format!("gate bisect: {} ended with {code}", tried.name),
            });
        }
    };
    Ok((said, code))
}

fn exit_of(code: u8) -> Exit {
    Exit::ALL.into_iter().find(|exit| exit.code() == code).unwrap_or(Exit::Unexpected)
}

/// The revisions from `good` to `bad`, both included, oldest first, along first parents.
fn range(shop: &Workshop<'_>, good: &Revision, bad: &Revision) -> Result<Vec<Revision>, Stop> {
    let is_ancestor =
        revision::git(shop.workspace, &["merge-base", "--is-ancestor", &good.commit, &bad.commit]).is_some();
    let span = format!("{}..{}", good.commit, bad.commit);
    let list = revision::git(shop.workspace, &["rev-list", "--first-parent", "--reverse", &span]).unwrap_or_default();
    let between = list.lines().filter(|line| line.len() == 40);
    let between = between.map(|commit| Revision { commit: commit.into(), name: revision::short(commit).into() });
    let all: Vec<Revision> = std::iter::once(good.clone()).chain(between).collect();
    if !is_ancestor || all.len() < 2 || all.last().is_none_or(|last| last.commit != bad.commit) {
        return Err(Stop::usage(format!("gate bisect: {} is no ancestor of {}; nothing was run", good.name, bad.name)));
    }
    Ok(all)
}

/// Names the first revision after `good` that is slower than it, or says between which it lies.
///
/// # Errors
/// A stop when a build fails or a step is interrupted.
pub fn bisect(shop: &Workshop<'_>, good: &Revision, bad: &Revision) -> Result<u8, Stop> {
    let all = range(shop, good, bad)?;
    let steps = usize::BITS - (all.len() - 1).leading_zeros();
    eprintln!("gate bisect: {} revisions, about {steps} steps, each with the pairs of one gate at most", all.len() - 1);
    let (said, code) = step(shop, good, bad)?;
    if said != Step::Bad {
        let why = if said == Step::Good { "is not slower than" } else { "cannot be told here to be slower than" };
        let words = format!("bisect: {} {why} {}: there is nothing to find", bad.name, good.name);
        tell(shop, &words, [good, bad], None);
        return Ok(code);
    }
    let found = search(all.len(), |index| Ok(step(shop, good, &all[index])?.0))?;
    Ok(match found {
        Found::First(index) => {
            let commit = &all[index].commit;
            let subject = revision::git(shop.workspace, &["log", "-1", "--format=%s", commit]).unwrap_or_default();
            let words = format!("bisect: the first revision that is slower than {} is {commit}: {subject}", good.name);
            tell(shop, &words, [&all[index - 1], &all[index]], Some(commit));
            Exit::Success.code()
        }
        Found::Between(first, last) => {
            let words = format!(
                "bisect: it cannot be told here which: the first slower revision comes after {} and is {} or before it; \
                 next: give it more pairs (--max-pairs) or a quieter host",
                all[first].name, all[last].name
            );
            tell(shop, &words, [&all[first], &all[last]], None);
            Exit::Undecided.code()
        }
    })
}

/// Prints what was found. As JSON: `sentence`, `after` (the last revision that is known to be no slower), `until` (the
/// first that is known to be slower, or the bad end where it was not confirmed) and `first_bad`, null where it is not known.
fn tell(shop: &Workshop<'_>, words: &str, [after, until]: [&Revision; 2], first_bad: Option<&str>) {
    if !shop.json {
        println!("{words}");
        return;
    }
    let found = serde_json::json!({
        "version": 1, "sentence": words, "after": after.commit, "until": until.commit, "first_bad": first_bad,
    });
    println!("{found}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every place of the first bad one among up to nine, and every step that may be unknown.
    #[test]
    fn the_first_bad_one_is_found_or_its_range_told() {
        for count in 2..=9 {
            for first in 1..count {
                let mut asked = 0;
                let found = search(count, |index| {
                    asked += 1;
                    Ok(if index >= first { Step::Bad } else { Step::Good })
                });
                assert_eq!(found, Ok(Found::First(first)), "{first} of {count}");
                assert!(asked <= 3, "{asked} steps for {count}");
                let unknown = search(count, |index| {
                    Ok(if index == first {
                        Step::Unknown
                    } else if index > first {
                        Step::Bad
                    } else {
                        Step::Good
                    })
                });
                match unknown {
                    Ok(Found::Between(good, bad)) => assert!(good < first && first <= bad),
                    Ok(Found::First(index)) => assert!(index >= first, "it was never asked about"),
                    Err(stop) => panic!("{}", stop.message),
                }
            }
        }
    }
}
