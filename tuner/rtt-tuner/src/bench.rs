//! `rtt-tuner bench`: true regret of the solvers on a problem whose optimum is known.
//!
//! A solver sees noisy measurements only; the true value of what is recommended is asked afterwards. Every
//! measurement counts as an evaluation. A recommendation that breaks a constraint counts as 100 % regret at least.

use crate::arguments::BenchArguments;
use crate::model::{Model, Told, Warm};
use crate::objective::{Ask, Course, Part};
use crate::output::Row;
use crate::screen::{print, say};
use crate::solver::{LatinHypercube, ModelSearch, Proposer, Random, Surface, search, stop_of};
use crate::space::{Site, Space};
use argmin::core::Error;
use rtt_measure::{Arm, Constraint, Exit, Problem, Stop};
use std::cell::{Cell, RefCell};
use std::process::Command;
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Instant;

/// The solvers, in the order of the rows.
const SOLVERS: [&str; 3] = ["random", "latin_hypercube", "model"];
/// Regret in per cent that an infeasible recommendation has at least.
const INFEASIBLE: f64 = 100.0;
/// What others reach on RTT-SYN-1, from the benchmark's page: median, mean and p90 at 25, 50 and 100 evaluations.
const PUBLISHED: [(&str, [[f64; 3]; 3]); 10] = [
    ("random (A)", [[85.0, 86.0, 134.0], [70.0, 64.0, 112.0], [37.0, 42.0, 85.0]]),
    ("argmin simulated annealing (A)", [[193.0, 211.0, 384.0], [111.0, 138.0, 279.0], [66.0, 115.0, 266.0]]),
    ("argmin particle swarm, log window (C)", [[55.0, 52.0, 82.0], [12.0, 21.0, 57.0], [3.6, 7.8, 14.0]]),
    ("Optuna 5.0 TPE (A)", [[40.0, 39.0, 69.0], [12.0, 16.0, 24.0], [3.9, 6.0, 13.0]]),
    ("Optuna TPE, log window (C)", [[5.6, 20.0, 37.0], [1.8, 6.8, 13.0], [3.0, 3.7, 9.2]]),
    ("Optuna TPE, log window (B)", [[10.0, 31.0, 75.0], [3.7, 15.0, 25.0], [1.2, 4.7, 7.3]]),
    ("SMAC 2.4.1, 7 seeds (A)", [[88.0, 90.0, 123.0], [54.0, 62.0, 110.0], [13.0, 11.0, 19.0]]),
    ("egobox 1.0, log window, 10 seeds (C)", [[23.0, 23.0, 33.0], [4.7, 6.5, 11.0], [1.2, 2.6, 6.8]]),
    ("small GP, log window (posterior)", [[12.0, 18.0, 59.0], [4.7, 8.1, 17.0], [1.2, 4.1, 11.0]]),
    ("the same, warm start, 5 seeds", [[6.1, 7.0, 12.0], [1.7, 6.1, 14.0], [3.5, 2.5, 4.5]]),
];

/// A problem as solvers see it.
struct Bench<'a> {
    problem: &'a RefCell<Problem>,
    space: &'a Space,
    course: Course,
    count: Cell<u32>,
}

impl Surface for Bench<'_> {
    fn measure(&self, site: &Site, _: Proposer) -> Result<Option<Told>, Error> {
        let label = format!("s{:04}", self.count.get());
        self.count.set(self.count.get() + 1);
        let point = self.space.point(site);
        let ask =
            Ask { label: &label, point: &point, arm: Arm::Search, pair: None, round: 0, again: false, in_turns: false };
        let found =
            self.course.measure(&mut self.problem.borrow_mut(), &ask, Part::Calm, &mut |_| {}).map_err(Stop::from)?;
        Ok(Some(Told::of(site.clone(), &found)))
    }
}

/// Index of what is recommended among what was told: the model's pick, else the lowest feasible observation.
fn recommended(space: &Space, limits: &[Constraint], told: &[Told], by_model: bool) -> Option<usize> {
    if by_model
        && let Some(model) = Model::fit(space, limits, told, &mut Warm::default())
        && let Some(index) = model.recommend(|_| true)
    {
        return Some(index);
    }
    let cost = |index: &usize| told[*index].log_objective.unwrap_or(f64::INFINITY);
    let feasible = (0..told.len()).filter(|&index| told[index].feasible(limits));
    feasible.min_by(|a, b| cost(a).total_cmp(&cost(b)))
}

/// One tuning run: name of the problem and regret of the recommendation in per cent.
fn regret(program: &[String], solver: &str, evals: usize, seed: u64) -> Result<(String, f64), Stop> {
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]);
    let mut problem = Problem::start(command)?;
    let hello = problem.hello().clone();
    let optimum = hello.optimum.filter(|optimum| *optimum > 0.0).ok_or_else(|| {
        Stop::usage(format!(
            "bench: problem {} names no optimum above 0, so its regret is unknown; tune it instead",
            hello.name
        ))
    })?;
    let space = Space::new(hello.axes.clone()).map_err(|error| Stop::unexpected(&error))?;
    problem.begin(seed)?;
    let problem = RefCell::new(problem);
    let course = Course::plain(&hello, seed);
    let bench = Bench { problem: &problem, space: &space, course, count: Cell::new(0) };
    let limits = &hello.constraints;
    let mut told = match solver {
        "random" => search(&bench, Random::new(&space, seed), limits, vec![], evals),
        "latin_hypercube" => search(&bench, LatinHypercube::new(&space, seed, evals), limits, vec![], evals),
        _ => search(&bench, ModelSearch::new(&space, seed, evals), limits, vec![], evals),
    }?;
    // Where the space is smaller than the budget, what is left of it measures again what looks best: every row has as
    // many measurements as it says.
    while told.len() < evals {
        let site = Model::fit(&space, limits, &told, &mut Warm::default()).and_then(|model| model.worth_again());
        let site = site.unwrap_or_else(|| told[0].site.clone());
        match bench.measure(&site, Proposer::Model).map_err(stop_of)? {
            Some(again) => told.push(again),
            None => break,
        }
    }
    let Some(index) = recommended(&space, limits, &told, solver != "random") else {
        return Ok((hello.name, INFEASIBLE));
    };
    let truth = problem.borrow_mut().truth(&space.point(&told[index].site))?;
    let regret = 100.0 * (truth.p99 / optimum - 1.0);
    Ok((hello.name, if truth.feasible { regret } else { regret.max(INFEASIBLE) }))
}

/// The quantile by linear interpolation between the sorted values.
fn quantile(sorted: &[f64], at: f64) -> f64 {
    let place = at * (sorted.len() - 1) as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    sorted[low] + part * (sorted[(low + 1).min(sorted.len() - 1)] - sorted[low])
}

fn row(problem: String, solver: &'static str, evals: usize, mut regrets: Vec<f64>) -> Row {
    regrets.sort_by(f64::total_cmp);
    let mean = regrets.iter().sum::<f64>() / regrets.len() as f64;
    let (median, p90) = (quantile(&regrets, 0.5), quantile(&regrets, 0.9));
    Row { problem, solver, evals, seeds: regrets.len() as u64, median, mean, p90 }
}

/// All tuning runs, on as many threads as there are CPUs; the order of the results does not hang on them.
fn run_all(program: &[String], arguments: &BenchArguments) -> Result<Vec<Row>, Stop> {
    let evals = &arguments.evals;
    let cells: Vec<(&'static str, usize)> =
        SOLVERS.iter().flat_map(|&solver| evals.iter().map(move |&evals| (solver, evals))).collect();
    // Longest first: what runs last should be short.
    let mut jobs: Vec<(usize, u64)> =
        (0..cells.len()).flat_map(|cell| (0..arguments.seeds).map(move |seed| (cell, seed))).collect();
    let cost = |cell: usize| cells[cell].1.pow(2) * if cells[cell].0 == "model" { 50 } else { 1 };
    jobs.sort_by_key(|&(cell, _)| std::cmp::Reverse(cost(cell)));
    let total: usize = jobs.iter().map(|&(cell, _)| cost(cell)).sum();
    let (next, done, started) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
    let found = Mutex::new(vec![Vec::new(); cells.len()]);
    let failed: Mutex<Option<Stop>> = Mutex::new(None);
    let work = || {
        while let Some(&(cell, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            match regret(program, cells[cell].0, cells[cell].1, seed) {
                Ok(result) => found.lock().expect("no panic holds it")[cell].push((seed, result)),
                Err(stop) => {
                    failed.lock().expect("no panic holds it").get_or_insert(stop);
                    next.store(jobs.len(), Ordering::Relaxed);
                }
            }
            let spent = done.fetch_add(cost(cell), Ordering::Relaxed) + cost(cell);
            let left = started.elapsed().as_secs_f64() * (total - spent) as f64 / spent as f64;
            say(
                true,
                &format!(
                    "bench: {} at {} evaluations, seed {seed}; about {left:.0} s left",
                    cells[cell].0, cells[cell].1
                ),
            );
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    if let Some(stop) = failed.into_inner().expect("no panic holds it") {
        return Err(stop);
    }
    let found = found.into_inner().expect("no panic holds it");
    Ok(cells
        .iter()
        .zip(found)
        .map(|(&(solver, evals), mut results)| {
            results.sort_by_key(|(seed, _)| *seed);
            let problem = results[0].1.0.clone();
            row(problem, solver, evals, results.into_iter().map(|(_, (_, regret))| regret).collect())
        })
        .collect())
}

/// The program that is measured where none is named: RTT-SYN-1 beside this executable.
fn beside() -> Result<Vec<String>, Stop> {
    let here = std::env::current_exe().map_err(|error| Stop::unexpected(&error))?;
    let path = here.with_file_name("rtt-syn-1");
    if !path.exists() {
        let message =
            format!("bench: {} is not there; build it with `cargo build --release -p rtt-tuner`", path.display());
        return Err(Stop::new(Exit::Unexpected, message));
    }
    Ok(vec![path.to_string_lossy().into_owned()])
}

fn table(rows: &[Row]) -> String {
    let mut text = format!("true regret in per cent: median / mean / p90 over {} seeds, measured now", rows[0].seeds);
    for row in rows {
        let Row { problem, solver, evals, median, mean, p90, .. } = row;
        text += &format!("\n{problem:<24} {solver:<18} {evals:>4} evaluations  {median:6.1} / {mean:6.1} / {p90:6.1}");
    }
    if rows[0].problem == "RTT-SYN-1" {
        text += "\n\npublished with RTT-SYN-1, not measured here (25, 50, 100 evaluations); recommended is A the lowest \
                 observed, B the best of re-measurements in the last quarter, C the best posterior mean:";
        for (method, cells) in PUBLISHED {
            let cell = |[median, mean, p90]: [f64; 3]| format!("{median:>5} / {mean:>4} / {p90:>4}");
            text += &format!("\n{method:<36} {}", cells.map(cell).join("   "));
        }
    }
    text
}

/// Runs the bench and prints its rows.
///
/// # Errors
/// A stop when the problem fails or has no known optimum.
pub(crate) fn bench(arguments: &BenchArguments) -> Result<Exit, Stop> {
    let program = if arguments.problem.is_empty() { beside()? } else { arguments.problem.clone() };
    let rows = run_all(&program, arguments)?;
    let text = if arguments.json {
        serde_json::to_string(&serde_json::json!({"version": 1, "rows": rows})).expect("rows are JSON")
    } else {
        table(&rows)
    };
    print(&text)?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let row = row("p".into(), "random", 25, vec![4.0, 1.0, 2.0, 3.0]);
        assert_eq!((row.median, row.mean, row.seeds), (2.5, 2.5, 4));
        assert!((row.p90 - 3.7).abs() < 1e-12);
    }
}
