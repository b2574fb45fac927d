//! Many searches on as many threads as there are CPUs; the order of the results does not hang on them.

use super::regret::regret;
use super::rivals::{RIVALS_NEED, Rivals};
use crate::output::Row;
use crate::screen::say;
use rtt_measure::Stop;
use std::collections::BTreeMap;
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Instant;

/// One search to be made.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Whose row it counts in; the problem's own name where there is none.
    pub(super) family: Option<String>,
    pub(super) program: Vec<String>,
    pub(super) solver: &'static str,
    pub(super) evals: usize,
    pub(super) seed: u64,
}

/// What came of one.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) family: String,
    pub(super) solver: &'static str,
    pub(super) evals: usize,
    pub(super) regret: f64,
}

impl Job {
    fn cost(&self) -> usize {
        self.evals.pow(2) * if ["random", "latin_hypercube"].contains(&self.solver) { 1 } else { 50 }
    }

    fn done(&self, python: &str, rivals: &mut Option<Rivals>) -> Result<Done, Stop> {
        let Job { family, program, solver, evals, seed } = self;
        let (name, regret) = if RIVALS_NEED.iter().any(|need| need.0 == *solver) {
            let rivals = match rivals {
                Some(rivals) => rivals,
                None => rivals.insert(Rivals::start(python)?),
            };
            (String::new(), rivals.regret(program, solver, *evals, *seed)?)
        } else {
            regret(program, solver, *evals, *seed)?
        };
        Ok(Done { family: family.clone().unwrap_or(name), solver, evals: *evals, regret })
    }
}

/// Runs all; what came of them stands in the order of `jobs`. Rivals are run by `python`.
///
/// # Errors
/// The stop of the first that failed.
pub(super) fn run_all(jobs: &[Job], python: &str) -> Result<Vec<Done>, Stop> {
    // Longest first: what runs last should be short.
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|&job| std::cmp::Reverse(jobs[job].cost()));
    let total: usize = jobs.iter().map(Job::cost).sum();
    let (next, spent, started) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
    let found = Mutex::new(BTreeMap::new());
    let failed: Mutex<Option<Stop>> = Mutex::new(None);
    let work = || {
        let mut rivals = None;
        while let Some(&at) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let job = &jobs[at];
            match job.done(python, &mut rivals) {
                Ok(done) => drop(found.lock().expect("no panic holds it").insert(at, done)),
                Err(stop) => {
                    failed.lock().expect("no panic holds it").get_or_insert(stop);
                    next.store(jobs.len(), Ordering::Relaxed);
                }
            }
            let spent = spent.fetch_add(job.cost(), Ordering::Relaxed) + job.cost();
            let left = started.elapsed().as_secs_f64() * (total - spent) as f64 / spent as f64;
            let Job { solver, evals, seed, .. } = job;
            say(true, &format!("bench: {solver} at {evals} evaluations, seed {seed}; about {left:.0} s left"));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    match failed.into_inner().expect("no panic holds it") {
        Some(stop) => Err(stop),
        None => Ok(found.into_inner().expect("no panic holds it").into_values().collect()),
    }
}

/// The quantile by linear interpolation between the sorted values.
fn quantile(sorted: &[f64], at: f64) -> f64 {
    let place = at * (sorted.len() - 1) as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    sorted[low] + part * (sorted[(low + 1).min(sorted.len() - 1)] - sorted[low])
}

fn row(problem: String, solver: &'static str, evals: usize, regrets: Vec<f64>) -> Row {
    let mut sorted = regrets.clone();
    sorted.sort_by(f64::total_cmp);
    let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
    let (median, p90) = (quantile(&sorted, 0.5), quantile(&sorted, 0.9));
    Row { problem, solver, evals, searches: sorted.len() as u64, median, mean, p90, regrets }
}

/// One row for each family, solver and budget, in the order in which they first come.
pub(super) fn rows(done: &[Done]) -> Vec<Row> {
    let mut cells: Vec<(&Done, Vec<f64>)> = Vec::new();
    for one in done {
        let key = |done: &Done| (done.family.clone(), done.solver, done.evals);
        match cells.iter_mut().find(|cell| key(cell.0) == key(one)) {
            Some(cell) => cell.1.push(one.regret),
            None => cells.push((one, vec![one.regret])),
        }
    }
    cells.into_iter().map(|(one, regrets)| row(one.family.clone(), one.solver, one.evals, regrets)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let row = row("p".into(), "random", 25, vec![4.0, 1.0, 2.0, 3.0]);
        assert_eq!((row.median, row.mean, row.searches), (2.5, 2.5, 4));
        assert!((row.p90 - 3.7).abs() < 1e-12);
        assert_eq!(row.regrets, [4.0, 1.0, 2.0, 3.0], "as they came, for comparison in pairs");
    }

    #[test]
    fn rows_gather_what_belongs_together_in_the_order_it_came() {
        let done = |family: &str, solver, regret| Done { family: family.into(), solver, evals: 25, regret };
        let all = [done("a", "model", 1.0), done("b", "model", 2.0), done("a", "random", 9.0), done("a", "model", 3.0)];
        let found: Vec<_> = rows(&all).into_iter().map(|row| (row.problem, row.solver, row.regrets)).collect();
        let expected = [("a", "model", vec![1.0, 3.0]), ("b", "model", vec![2.0]), ("a", "random", vec![9.0])];
        assert_eq!(found, expected.map(|(family, solver, regrets)| (family.to_owned(), solver, regrets)));
    }
}
