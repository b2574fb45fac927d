//! One search of ours on a problem program, and the true regret of what it recommends.

use crate::model::{Model, Told, Warm};
use crate::objective::{Ask, Course, Part};
use crate::solver::{LatinHypercube, ModelSearch, Proposer, Random, Surface, search, stop_of};
use crate::space::{Site, Space};
use argmin::core::Error;
use rtt_measure::{Arm, Constraint, Problem, Stop};
use std::cell::{Cell, RefCell};
use std::process::Command;

/// The solvers of this crate, in the order of the rows.
pub(super) const SOLVERS: [&str; 3] = ["random", "latin_hypercube", "model"];
/// Regret in per cent that an infeasible recommendation has at least.
const INFEASIBLE: f64 = 100.0;

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
pub(super) fn regret(program: &[String], solver: &str, evals: usize, seed: u64) -> Result<(String, f64), Stop> {
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
