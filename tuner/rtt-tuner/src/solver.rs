//! The solvers, each an argmin [`Solver`], and the state that argmin's executor carries for them.
//!
//! A solver proposes sites and is told what came of them; it knows nothing of scenarios, children or logs. Equal seed,
//! space and answers give equal proposals, which is what makes a run resumable from its log alone.
//!
//! TUNER-5  No solver measures a site twice, nor one that it was told at the start.

use crate::model::{Aim, Model, Told, Warm};
use crate::space::{Key, Site, Space};
use argmin::core::{Error, Executor, KV, Problem, Solver, State, TerminationReason, TerminationStatus};
use rtt_measure::{Constraint, Exit, Stop};
use rtt_units::SplitMix64;
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// Draws of a site that was not measured yet, before the space counts as used up.
const TRIES: usize = 2000;

/// From which evaluation on the model doubts itself, and at every how many.
const DOUBT: (u64, u64) = (12, 3);

/// How far from every measured site the model looks at first; less and less, down to nothing at the end.
const APART: f64 = 0.1;

/// A search of fewer evaluations has no time to doubt, and keeps half as far away.
const SHORT: u64 = 40;

/// What a solver searches on.
pub(crate) trait Surface {
    /// Measures once; `None` once the budget is spent.
    ///
    /// # Errors
    /// What the problem's program did wrong.
    fn measure(&self, site: &Site, from: Proposer) -> Result<Option<Told>, Error>;
}

impl<T: Surface> Surface for &T {
    fn measure(&self, site: &Site, from: Proposer) -> Result<Option<Told>, Error> {
        (**self).measure(site, from)
    }
}

/// Which part of a solver proposed a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proposer {
    /// The Latin hypercube.
    Design,
    /// The model.
    Model,
    /// Uniform draws.
    Random,
}

/// What argmin carries from one iteration to the next: all that was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct SearchState {
    told: Vec<Told>,
    limits: Vec<Constraint>,
    best: Option<usize>,
    last_best: u64,
    iteration: u64,
    evaluations: u64,
    status: TerminationStatus,
    counts: HashMap<String, u64>,
    time: Option<Duration>,
}

impl SearchState {
    /// Starts from what is known already.
    fn with(mut self, told: Vec<Told>, limits: Vec<Constraint>, evaluations: u64) -> SearchState {
        self.told = told;
        self.limits = limits;
        self.evaluations = evaluations;
        self
    }

    fn keys(&self) -> BTreeSet<Key> {
        self.told.iter().map(|told| Space::key(&told.site)).collect()
    }

    fn cost_of(&self, index: Option<usize>) -> f64 {
        index.and_then(|index| self.told.get(index)?.log_objective).unwrap_or(f64::INFINITY)
    }
}

impl State for SearchState {
    type Param = Site;
    type Float = f64;

    fn new() -> SearchState {
        SearchState::default()
    }

    /// The best of argmin is the lowest feasible observation: good enough to watch, never what is recommended.
    fn update(&mut self) {
        let Some(last) = self.told.len().checked_sub(1) else { return };
        if self.told[last].feasible(&self.limits) && self.cost_of(Some(last)) < self.cost_of(self.best) {
            self.best = Some(last);
            self.last_best = self.iteration;
        }
    }

    fn get_param(&self) -> Option<&Site> {
        self.told.last().map(|told| &told.site)
    }

    fn get_best_param(&self) -> Option<&Site> {
        self.best.map(|best| &self.told[best].site)
    }

    fn get_max_iters(&self) -> u64 {
        self.evaluations
    }

    fn increment_iter(&mut self) {
        self.iteration += 1;
    }

    fn get_iter(&self) -> u64 {
        self.iteration
    }

    fn get_cost(&self) -> f64 {
        self.cost_of(self.told.len().checked_sub(1))
    }

    fn get_best_cost(&self) -> f64 {
        self.cost_of(self.best)
    }

    fn get_target_cost(&self) -> f64 {
        f64::NEG_INFINITY
    }

    fn func_counts<O>(&mut self, problem: &Problem<O>) {
        self.counts = problem.counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    }

    fn get_func_counts(&self) -> &HashMap<String, u64> {
        &self.counts
    }

    fn time(&mut self, time: Option<Duration>) -> &mut SearchState {
        self.time = time;
        self
    }

    fn get_time(&self) -> Option<Duration> {
        self.time
    }

    fn get_last_best_iter(&self) -> u64 {
        self.last_best
    }

    fn is_best(&self) -> bool {
        self.best.is_some() && self.best == self.told.len().checked_sub(1)
    }

    fn terminate_with(mut self, reason: TerminationReason) -> SearchState {
        self.status = TerminationStatus::Terminated(reason);
        self
    }

    fn get_termination_status(&self) -> &TerminationStatus {
        &self.status
    }

    fn get_termination_reason(&self) -> Option<&TerminationReason> {
        match &self.status {
            TerminationStatus::Terminated(reason) => Some(reason),
            TerminationStatus::NotTerminated => None,
        }
    }
}

/// Measures `site` and appends what came of it.
fn measured<O: Surface>(
    problem: &mut Problem<O>,
    mut state: SearchState,
    site: &Site,
    from: Proposer,
) -> Result<(SearchState, Option<KV>), Error> {
    debug_assert!(!state.keys().contains(&Space::key(site)), "TUNER-5: {site:?} again");
    match problem.problem("measure", |surface| surface.measure(site, from))? {
        Some(told) => {
            state.told.push(told);
            Ok((state, None))
        }
        None => Ok((state.terminate_with(TerminationReason::Timeout), None)),
    }
}

fn used_up(state: SearchState) -> (SearchState, Option<KV>) {
    (state.terminate_with(TerminationReason::SolverExit("every point of the space is measured".into())), None)
}

/// A site that `taken` does not hold.
fn fresh(space: &Space, taken: &BTreeSet<Key>, draw: &mut SplitMix64) -> Option<Site> {
    (0..TRIES).map(|_| space.random(draw)).find(|site| !taken.contains(&Space::key(site)))
}

/// Uniform draws over the axes' scales: the control.
#[derive(Debug)]
pub(crate) struct Random<'a> {
    space: &'a Space,
    draw: SplitMix64,
}

impl<'a> Random<'a> {
    pub(crate) fn new(space: &'a Space, seed: u64) -> Random<'a> {
        Random { space, draw: SplitMix64::new(seed) }
    }
}

impl<O: Surface> Solver<O, SearchState> for Random<'_> {
    fn name(&self) -> &str {
        "random"
    }

    fn next_iter(&mut self, problem: &mut Problem<O>, state: SearchState) -> Result<(SearchState, Option<KV>), Error> {
        match fresh(self.space, &state.keys(), &mut self.draw) {
            Some(site) => measured(problem, state, &site, Proposer::Random),
            None => Ok(used_up(state)),
        }
    }
}

/// One Latin hypercube over all evaluations.
#[derive(Debug)]
pub(crate) struct LatinHypercube<'a> {
    space: &'a Space,
    draw: SplitMix64,
    design: Vec<Site>,
}

impl<'a> LatinHypercube<'a> {
    pub(crate) fn new(space: &'a Space, seed: u64, evaluations: usize) -> LatinHypercube<'a> {
        let mut draw = SplitMix64::new(seed);
        let mut design = space.latin_hypercube(evaluations, &mut draw);
        design.reverse(); // Taken from the end.
        LatinHypercube { space, draw, design }
    }

    fn next(&mut self, taken: &BTreeSet<Key>) -> Option<Site> {
        // On a coarse space two of a design may fall on one site: a random one takes its place.
        self.design.pop().map(|site| match taken.contains(&Space::key(&site)) {
            true => fresh(self.space, taken, &mut self.draw),
            false => Some(site),
        })?
    }
}

impl<O: Surface> Solver<O, SearchState> for LatinHypercube<'_> {
    fn name(&self) -> &str {
        "latin_hypercube"
    }

    fn next_iter(&mut self, problem: &mut Problem<O>, state: SearchState) -> Result<(SearchState, Option<KV>), Error> {
        match self.next(&state.keys()) {
            Some(site) => measured(problem, state, &site, Proposer::Design),
            None => Ok(used_up(state)),
        }
    }
}

/// A Latin hypercube first, then whatever the model expects most of, at last what it thinks best.
#[derive(Debug)]
pub(crate) struct ModelSearch<'a> {
    space: &'a Space,
    design: LatinHypercube<'a>,
    draw: SplitMix64,
    warm: Warm,
    evaluations: u64,
}

impl<'a> ModelSearch<'a> {
    pub(crate) fn new(space: &'a Space, seed: u64, evaluations: usize) -> ModelSearch<'a> {
        // A fifth of the budget, but no fewer than the axes need for a first slope each and no more than half.
        let wanted = (evaluations / 5).max(space.axes().len() + 3).min(24);
        let first = wanted.min(evaluations.div_ceil(2));
        let design = LatinHypercube::new(space, seed, first);
        let draw = SplitMix64::new(seed ^ 0x6d6f_6465_6c00_0001);
        ModelSearch { space, design, draw, warm: Warm::default(), evaluations: evaluations as u64 }
    }

    /// The last tenth, and at least the last of a short search, settle on the best; some before it doubt. All before
    /// it keep away from what was measured.
    fn aim(&self, iteration: u64) -> Aim {
        if iteration + (self.evaluations / 10).max(1) >= self.evaluations {
            return Aim::Settle;
        }
        let apart = APART * (1.0 - iteration as f64 / self.evaluations as f64);
        match iteration >= DOUBT.0 && iteration.is_multiple_of(DOUBT.1) {
            _ if self.evaluations < SHORT => Aim::Improve(0.5 * apart),
            true => Aim::Doubt(apart),
            false => Aim::Improve(apart),
        }
    }
}

impl<O: Surface> Solver<O, SearchState> for ModelSearch<'_> {
    fn name(&self) -> &str {
        "model"
    }

    fn next_iter(&mut self, problem: &mut Problem<O>, state: SearchState) -> Result<(SearchState, Option<KV>), Error> {
        let taken = state.keys();
        if let Some(site) = self.design.next(&taken) {
            return measured(problem, state, &site, Proposer::Design);
        }
        let aim = self.aim(state.iteration);
        let model = Model::fit(self.space, &state.limits, &state.told, &mut self.warm);
        let proposed = model.and_then(|model| model.propose(&mut self.draw, aim)).map(|(site, _)| site);
        match proposed.or_else(|| fresh(self.space, &taken, &mut self.draw)) {
            Some(site) => measured(problem, state, &site, Proposer::Model),
            None => Ok(used_up(state)),
        }
    }
}

/// What came through argmin: a stop of ours comes out as it went in.
pub(crate) fn stop_of(error: Error) -> Stop {
    error.downcast::<Stop>().unwrap_or_else(|error| Stop::new(Exit::Unexpected, format!("{error:#}")))
}

/// Runs `solver` for at most `evaluations` measurements beyond what is `known`, and returns all that was told,
/// `known` first.
///
/// # Errors
/// What the surface did wrong.
pub(crate) fn search<O: Surface, S: Solver<O, SearchState>>(
    surface: O,
    solver: S,
    limits: &[Constraint],
    known: Vec<Told>,
    evaluations: usize,
) -> Result<Vec<Told>, Stop> {
    let result = Executor::new(surface, solver)
        .configure(|state: SearchState| state.with(known, limits.to_vec(), evaluations as u64))
        .ctrlc(false) // Interrupts are the run's business: it has a child to end and a hint to print.
        .timer(false)
        .run()
        .map_err(stop_of)?;
    Ok(result.state.told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::tests::mixed;
    use std::cell::RefCell;

    /// A bowl with its bottom at load 1 under `spin`.
    struct Bowl {
        seen: RefCell<Vec<Site>>,
        left: RefCell<usize>,
    }

    impl Bowl {
        fn new(left: usize) -> Bowl {
            Bowl { seen: RefCell::default(), left: RefCell::new(left) }
        }
    }

    impl Surface for Bowl {
        fn measure(&self, site: &Site, _: Proposer) -> Result<Option<Told>, Error> {
            if *self.left.borrow() == 0 {
                return Ok(None);
            }
            *self.left.borrow_mut() -= 1;
            self.seen.borrow_mut().push(site.clone());
            let log = 2.0 + (site[4] - 1.0).powi(2) + 0.4 * site[2];
            Ok(Some(Told { site: site.clone(), log_objective: Some(log), constraints: vec![], lost: None }))
        }
    }

    fn run(name: &str, seed: u64, evaluations: usize, known: Vec<Told>, left: usize) -> Vec<Told> {
        let space = mixed();
        let bowl = Bowl::new(left);
        let told = match name {
            "random" => search(&bowl, Random::new(&space, seed), &[], known, evaluations),
            "latin_hypercube" => search(&bowl, LatinHypercube::new(&space, seed, evaluations), &[], known, evaluations),
            _ => search(&bowl, ModelSearch::new(&space, seed, evaluations), &[], known, evaluations),
        };
        told.expect("a bowl does not fail")
    }

    fn keys(told: &[Told]) -> Vec<Key> {
        told.iter().map(|told| Space::key(&told.site)).collect()
    }

    #[test]
    fn equal_seeds_propose_equal_sites_and_others_do_not() {
        for name in ["random", "latin_hypercube", "model"] {
            let first = keys(&run(name, 3, 20, vec![], 99));
            assert_eq!(first, keys(&run(name, 3, 20, vec![], 99)), "{name}");
            assert_ne!(first, keys(&run(name, 4, 20, vec![], 99)), "{name}");
        }
    }

    /// TUNER-5, with sites known at the start.
    #[test]
    fn tuner_5_no_site_is_measured_twice() {
        for name in ["random", "latin_hypercube", "model"] {
            let known = run(name, 5, 12, vec![], 99);
            let told = run(name, 5, 12, known.clone(), 99);
            assert_eq!(keys(&told)[..12], keys(&known)[..], "{name}: what was known stays first");
            assert_eq!(keys(&told).into_iter().collect::<BTreeSet<_>>().len(), 24, "{name}");
        }
    }

    #[test]
    fn the_model_comes_nearer_than_random_draws() {
        let best = |name: &str, seed| {
            let told = run(name, seed, 30, vec![], 99);
            told.iter().filter_map(|told| told.log_objective).fold(f64::INFINITY, f64::min)
        };
        let mean = |name: &str| (0..5).map(|seed| best(name, seed)).sum::<f64>() / 5.0;
        assert!(mean("model") < 2.02 && mean("model") < mean("random"), "{} {}", mean("model"), mean("random"));
    }

    /// Best in a corner, where a model that believes the slope would go again and again.
    #[test]
    fn the_model_keeps_away_from_what_it_measured_until_it_settles() {
        struct Slope;
        impl Surface for Slope {
            fn measure(&self, site: &Site, _: Proposer) -> Result<Option<Told>, Error> {
                let log = 5.0 - 0.4 * (site[1] / 200.0 + site[4]);
                Ok(Some(Told { site: site.clone(), log_objective: Some(log), constraints: vec![], lost: None }))
            }
        }
        let (space, evaluations) = (mixed(), 40);
        let told = search(&Slope, ModelSearch::new(&space, 2, evaluations), &[], vec![], evaluations);
        let features: Vec<_> = told.expect("a slope").iter().map(|told| space.features(&told.site)).collect();
        for (at, here) in features.iter().enumerate().take(evaluations * 9 / 10).skip(evaluations / 4) {
            let apart = APART * (1.0 - at as f64 / evaluations as f64);
            assert!(features[..at].iter().all(|other| !space.within(here, other, apart)), "{at}: {here:?}");
        }
    }

    #[test]
    fn a_spent_budget_ends_the_search() {
        for name in ["random", "latin_hypercube", "model"] {
            assert_eq!(run(name, 1, 20, vec![], 7).len(), 7, "{name}");
        }
    }
}
