//! `rtt-tuner agreement`: several tunes of one host with different seeds, then all that they found side by side.
//!
//! Each tune begins from the default, in a folder of its own, and ends as any tune does. Afterwards defaults, presets and picks
//! are measured in turns, each set once a round in an order drawn anew, so that a drift of the host meets all alike. What a
//! tune said is then held against the ratio that these rounds show. Whatever is finished is kept: an interrupted run goes on.
//!
//! AGREE-1  No figure of a tune enters the comparison: it rests on rounds that are run after the last of them.

use crate::arguments::AgreementArguments;
use crate::objective::{Ask, Course, Part, seed_for};
use crate::output::{Agreement, PickRow, SetRow};
use crate::progress::shown;
use crate::screen::{print, say};
use rtt_measure::{
    Answer, Arm, Exit, Fit, Hello, Interval, Outcome, Point, Problem, Stop, geometric_mean_interval, mean_interval,
    write_whole,
};
use rtt_seal::in_full;
use rtt_units::SplitMix64;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// How much better a pick has to be for a tune to be asked to say so.
const TWICE: f64 = 2.0;

/// One set of knobs that is measured side by side: its name and what came of each round.
struct Set {
    name: String,
    point: Point,
    /// ln of typical p99 and of p99 over the whole run, by round; absent where a run gave no result.
    rounds: Vec<Option<[f64; 2]>>,
}

fn failed(what: &str, error: &dyn std::error::Error) -> Stop {
    Stop::new(Exit::Unexpected, format!("{what}: {}", in_full(error)))
}

/// The folder of tune `index`.
fn folder(arguments: &AgreementArguments, index: u32) -> PathBuf {
    arguments.root.join(".rtt/agreement").join(arguments.seed.to_string()).join(format!("tune-{index:02}"))
}

/// The fit of a finished tune below `root`.
fn fit_of(root: &Path) -> Option<Fit> {
    let runs = fs::read_dir(root.join(".rtt/runs")).ok()?;
    let fits = runs.filter_map(|run| fs::read(run.ok()?.path().join("fit.json")).ok());
    fits.filter_map(|bytes| serde_json::from_slice(&bytes).ok()).next()
}

/// Runs tune `index` to its end, or goes on with it, unless it is finished.
fn tune(arguments: &AgreementArguments, index: u32) -> Result<Fit, Stop> {
    let root = folder(arguments, index);
    if let Some(fit) = fit_of(&root) {
        return Ok(fit);
    }
    let program = std::env::current_exe().map_err(|error| failed("the tuner", &error))?;
    let mut command = Command::new(program);
    command.arg("tune").arg("--root").arg(&root);
    if arguments.simulate.is_empty() {
        command.arg("--pack").arg(&arguments.pack);
        command.arg("--lab").arg(&arguments.lab).arg("--endpoint").arg(&arguments.endpoint);
    }
    let begun = fs::read_dir(root.join(".rtt/runs")).is_ok_and(|mut runs| runs.next().is_some());
    if begun {
        command.arg("--resume");
    } else {
        command.arg("--seed").arg((u64::from(arguments.seed) + u64::from(index)).to_string());
        command.args(arguments.quick.then_some("--quick")).args(arguments.alike.then_some("--alike"));
        command.args(arguments.no_faults.then_some("--no-faults"));
        command.args(arguments.scenario.iter().flat_map(|scenario| ["--scenario", scenario.as_str()]));
        command.args(arguments.budget.iter().flat_map(|budget| ["--budget", budget.as_str()]));
        if !arguments.simulate.is_empty() {
            command.arg("--simulate").args(&arguments.simulate);
        }
    }
    // Its words are its own; ours go to stderr beside them.
    let status = command.stdout(Stdio::null()).status().map_err(|error| failed("the tuner", &error))?;
    if status.code() == Some(i32::from(Exit::Interrupted.code())) {
        return Err(Stop::new(
            Exit::Interrupted,
            format!("interrupted; go on with `cargo xtask bench agreement --seed {} ...`", arguments.seed),
        ));
    }
    fit_of(&root).ok_or_else(|| {
        // What turned the tune away turns all of them away; it has said why.
        let ends = [Exit::Usage, Exit::Configuration, Exit::Unfit, Exit::Busy, Exit::Sealed];
        let exit = ends.into_iter().find(|exit| status.code() == Some(i32::from(exit.code())));
        let what = format!("tune {index} ended with {status} and without a fit in {}", root.display());
        Stop::new(exit.unwrap_or(Exit::Unexpected), what)
    })
}

/// Starts the lab for the comparison.
fn lab(arguments: &AgreementArguments) -> Result<Problem, Stop> {
    if let [program, words @ ..] = arguments.simulate.as_slice() {
        let mut command = Command::new(program);
        command.args(words);
        return Ok(Problem::start(command)?);
    }
    let log = arguments.root.join(".rtt/agreement").join(arguments.seed.to_string()).join("side-by-side.jsonl");
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).map_err(|error| failed("the folder", &error))?;
    }
    let mut command = Command::new(&arguments.lab);
    command.arg("serve").arg("--endpoint").arg(format!("*={}", arguments.endpoint.display()));
    command.arg("--log").arg(&log).arg("--pack").arg(&arguments.pack);
    Ok(Problem::start(command)?)
}

/// What each tune began with, the presets, and every pick, each point once: a default hangs on what the host measured when its
/// tune began, so there may be several.
fn sets(hello: &Hello, fits: &[Fit]) -> Vec<Set> {
    let mut found: Vec<Set> = Vec::new();
    let mut add = |name: String, point: &Point| {
        if !found.iter().any(|set| set.point == *point) {
            found.push(Set { name, point: point.clone(), rounds: Vec::new() });
        }
    };
    fits.iter().enumerate().for_each(|(index, fit)| add(format!("default {index:02}"), &fit.incumbent));
    hello.presets.iter().for_each(|(name, point)| add(format!("preset {name}"), point));
    for (index, fit) in fits.iter().enumerate() {
        if let Some(best) = fit.recommended {
            add(format!("pick {index:02}"), &fit.points[best].point);
        }
    }
    found
}

/// Measures every set once a round, in an order drawn anew.
fn rounds(
    problem: &mut Problem,
    course: &Course,
    sets: &mut [Set],
    arguments: &AgreementArguments,
) -> Result<(), Stop> {
    let mut draw = SplitMix64::new(seed_for(u64::from(arguments.seed), 0x51de));
    let began = Instant::now();
    for round in 0..arguments.rounds {
        let mut order: Vec<usize> = (0..sets.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, draw.below(last as u64 + 1) as usize);
        }
        for index in order {
            let label = format!("a{round:03}-{index:03}");
            let point = sets[index].point.clone();
            let ask = Ask {
                label: &label,
                point: &point,
                arm: Arm::Search,
                pair: None,
                round: u64::from(round),
                again: true,
                in_turns: false,
            };
            let found = course.measure(problem, &ask, Part::Calm, &mut |_| {}).map_err(Stop::from)?;
            let mean = |value: &dyn Fn(&Answer) -> Option<f64>| {
                let logs: Option<Vec<f64>> =
                    course.indices(Part::Calm).map(|condition| Some(value(found.answer(condition)?)?.ln())).collect();
                logs.map(|logs| logs.iter().sum::<f64>() / logs.len() as f64)
            };
            let typical = mean(&|answer| answer.deciding(false));
            sets[index].rounds.push(typical.zip(mean(&Answer::whole_p99)).map(|(typical, whole)| [typical, whole]));
        }
        let left = began.elapsed().as_secs_f64() / f64::from(round + 1) * f64::from(arguments.rounds - round - 1);
        say(
            true,
            &format!("agreement: round {} of {} side by side; about {left:.0} s left", round + 1, arguments.rounds),
        );
    }
    Ok(())
}

/// Median of one figure (0 typical, 1 whole) of a set over its rounds.
fn median(set: &Set, figure: usize) -> Option<f64> {
    let mut logs: Vec<f64> = set.rounds.iter().flatten().map(|round| round[figure]).collect();
    logs.sort_by(f64::total_cmp);
    let middle = logs.len() / 2;
    let value = match logs.len() {
        0 => return None,
        count if count % 2 == 1 => logs[middle],
        _ => 0.5 * (logs[middle - 1] + logs[middle]),
    };
    Some(value.exp())
}

/// AGREE-1: ratio of `a` to `b` over the rounds in which both gave a result, with its interval.
fn ratio(a: &Set, b: &Set, figure: usize) -> Option<Interval> {
    let pairs = a.rounds.iter().zip(&b.rounds);
    let logs: Vec<f64> = pairs.filter_map(|(a, b)| Some((*a)?[figure] - (*b)?[figure])).collect();
    let logs = mean_interval(&logs, 1)?;
    Some(Interval { estimate: logs.estimate.exp(), low: logs.low.exp(), high: logs.high.exp() })
}

/// What the rounds say of the tunes.
fn judged(arguments: &AgreementArguments, fits: &[Fit], sets: &[Set]) -> Agreement {
    let of = |point: &Point| sets.iter().find(|set| set.point == *point);
    let by_median = |figure: usize| {
        let measured = sets.iter().filter_map(|set| Some((set, median(set, figure)?)));
        measured.min_by(|a, b| a.1.total_cmp(&b.1))
    };
    let best = by_median(0);
    let preset =
        sets.iter().filter(|set| set.name.starts_with("preset")).filter_map(|set| Some((set, median(set, 0)?)));
    let preset = preset.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(set, _)| set);
    let rows: Vec<SetRow> = sets
        .iter()
        .map(|set| {
            let logs = |figure: usize| {
                geometric_mean_interval(
                    &set.rounds.iter().flatten().map(|round| round[figure].exp()).collect::<Vec<_>>(),
                    1,
                )
            };
            SetRow {
                name: set.name.clone(),
                point: set.point.clone(),
                results: set.rounds.iter().flatten().count() as u32,
                typical_p99: median(set, 0),
                typical_p99_mean: logs(0),
                whole_p99: median(set, 1),
                to_best: best.and_then(|(_, best)| Some(median(set, 0)? / best)),
                whole_to_best: by_median(1).and_then(|(_, best)| Some(median(set, 1)? / best)),
            }
        })
        .collect();
    let picks: Vec<PickRow> = fits
        .iter()
        .enumerate()
        .map(|(index, fit)| {
            let set = fit.recommended.and_then(|best| of(&fit.points[best].point));
            let gain = set.zip(of(&fit.incumbent)).and_then(|(set, incumbent)| ratio(incumbent, set, 0));
            PickRow {
                tune: index as u32,
                seed: fit.seed.clone(),
                outcome: fit.outcome,
                set: set.map(|set| set.name.clone()),
                pairs: fit.confirmation.as_ref().map_or(0, |confirmation| confirmation.valid() as u32),
                spent_ms: fit.spent_ms,
                lost_ms: fit.time.lost_ms,
                times_as_fast: gain,
                to_best: set.zip(best).and_then(|(set, (_, best))| Some(median(set, 0)? / best)),
                to_best_preset: set.zip(preset).and_then(|(set, preset)| ratio(set, preset, 0)),
            }
        })
        .collect();
    let twice = |row: &&PickRow| row.times_as_fast.is_some_and(|gain| gain.estimate >= TWICE);
    let better = |row: &&PickRow| row.outcome == Outcome::Better;
    let worst = picks.iter().filter_map(|row| row.to_best).max_by(f64::total_cmp);
    Agreement {
        version: 1,
        seed: arguments.seed.to_string(),
        alike: arguments.alike,
        rounds: arguments.rounds,
        better: picks.iter().filter(better).count() as u32,
        twice_as_fast: picks.iter().filter(twice).count() as u32,
        twice_as_fast_and_better: picks.iter().filter(twice).filter(better).count() as u32,
        slower_than_preset: picks.iter().filter(|row| row.to_best_preset.is_some_and(|r| r.low > 1.0)).count() as u32,
        worst_to_best: worst,
        sets: rows,
        picks,
    }
}

fn table(agreement: &Agreement) -> String {
    let value = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| shown(value, true));
    let times = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.2}"));
    let ends = |ratio: Option<Interval>| {
        ratio.map_or_else(|| "-".into(), |r| format!("{:.2} ({:.2} to {:.2})", r.estimate, r.low, r.high))
    };
    let mut text = format!(
        "side by side over {} rounds, medians; the last column is the p99 of whole runs over the best set's\n{:<18} {:>7} {:>11} {:>11} {:>8} {:>9}",
        agreement.rounds, "set", "results", "typical p99", "whole p99", "to best", "whole"
    );
    let mut rows: Vec<&SetRow> = agreement.sets.iter().collect();
    rows.sort_by(|a, b| a.typical_p99.unwrap_or(f64::INFINITY).total_cmp(&b.typical_p99.unwrap_or(f64::INFINITY)));
    for row in rows {
        text += &format!(
            "\n{:<18} {:>7} {:>11} {:>11} {:>8} {:>9}",
            row.name,
            row.results,
            value(row.typical_p99),
            value(row.whole_p99),
            times(row.to_best),
            times(row.whole_to_best)
        );
    }
    text += &format!(
        "\n\n{:<5} {:<11} {:<18} {:>6} {:>7} {:>26} {:>8} {:>24}",
        "tune", "said", "pick", "pairs", "lost", "default over pick", "to best", "pick over best preset"
    );
    for row in &agreement.picks {
        let said = match row.outcome {
            Outcome::Better => "better",
            Outcome::NoBetter => "no better",
            Outcome::Undecided => "undecided",
        };
        text += &format!(
            "\n{:<5} {said:<11} {:<18} {:>6} {:>6.0}% {:>26} {:>8} {:>24}",
            row.tune,
            row.set.as_deref().unwrap_or("-"),
            row.pairs,
            100.0 * row.lost_ms as f64 / row.spent_ms.max(1) as f64,
            ends(row.times_as_fast),
            times(row.to_best),
            ends(row.to_best_preset)
        );
    }
    text += &format!(
        "\n\n{} of {} tunes ended `better`; of the {} whose pick is at least twice as fast here, {} did. Worst pick against the \
         best set: {}; slower than the best preset beyond its interval: {}",
        agreement.better,
        agreement.picks.len(),
        agreement.twice_as_fast,
        agreement.twice_as_fast_and_better,
        times(agreement.worst_to_best),
        agreement.slower_than_preset
    );
    text
}

/// Runs the tunes, then the comparison, and prints both.
///
/// # Errors
/// A stop when a tune or the lab fails, or the user stops it: what is finished is kept.
pub(crate) fn agreement(arguments: &AgreementArguments) -> Result<Exit, Stop> {
    let mut fits = Vec::new();
    for index in 0..arguments.tunes {
        say(true, &format!("agreement: tune {} of {}", index + 1, arguments.tunes));
        fits.push(tune(arguments, index)?);
    }
    let mut problem = lab(arguments)?;
    let hello = problem.hello().clone();
    problem.begin(u64::from(arguments.seed))?;
    let course = {
        let mut course = Course::plain(&hello, u64::from(arguments.seed));
        let scenarios: BTreeMap<String, f64> =
            fits.first().map_or_else(BTreeMap::new, |fit| fit.weights.iter().cloned().collect());
        let all = scenarios.into_keys();
        let condition = |scenario: String| crate::objective::Condition {
            scenario: Some(scenario),
            faults: None,
            share: 1.0,
            turn_share: 1.0,
        };
        let conditions: Vec<_> = all.map(condition).collect();
        if !conditions.is_empty() {
            course.conditions = conditions;
        }
        course
    };
    let mut sets = sets(&hello, &fits);
    rounds(&mut problem, &course, &mut sets, arguments)?;
    drop(problem);
    let agreement = judged(arguments, &fits, &sets);
    let bytes = serde_json::to_vec(&agreement).expect("it is JSON");
    let kept = arguments.root.join(".rtt/agreement").join(arguments.seed.to_string()).join("agreement.json");
    write_whole(&kept, &bytes).map_err(|error| failed(&kept.display().to_string(), &error))?;
    print(&if arguments.json { String::from_utf8(bytes).expect("JSON is UTF-8") } else { table(&agreement) })?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, rounds: &[Option<f64>]) -> Set {
        let rounds = rounds.iter().map(|ns| ns.map(|ns| [ns.ln(), (2.0 * ns).ln()])).collect();
        Set { name: name.into(), point: Point::new(), rounds }
    }

    /// AGREE-1: ratios are drawn round by round, over rounds in which both gave a result.
    #[test]
    fn a_drift_of_the_host_moves_no_ratio() {
        let a = set("a", &[Some(100.0), Some(1000.0), None, Some(10.0)]);
        let b = set("b", &[Some(50.0), Some(500.0), Some(1.0), Some(5.0)]);
        let found = ratio(&a, &b, 0).expect("three rounds");
        assert!((found.estimate - 2.0).abs() < 1e-9 && (found.low - 2.0).abs() < 1e-9, "{found:?}");
        assert!((median(&a, 0).expect("rounds") - 100.0).abs() < 1e-9);
        assert!((median(&a, 1).expect("rounds") - 200.0).abs() < 1e-9);
        assert_eq!(median(&set("c", &[None]), 0), None);
    }
}
