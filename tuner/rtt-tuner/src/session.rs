//! One run at work: points are measured, counted, timed and kept in order.
//!
//! Ids of trials follow from the order alone, so equal seeds ask for equal ids, and a log answers those that it holds.
//!
//! TUNER-9  Whether there is time for more is never asked about a trial that the log holds already: a resumed run goes
//!          the way of the first.

use crate::model::Told;
use crate::objective::{Ask, Course, Evaluation, Part, Run};
use crate::progress::Progress;
use crate::solver::{Proposer, Surface};
use crate::space::{Site, Space};
use argmin::core::Error;
use rtt_measure::{Arm, Origin, Point, Problem, Stop, TimeSpent, Verdict};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// One measured point.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) site: Site,
    pub(crate) point: Point,
    pub(crate) origin: Origin,
    pub(crate) found: Evaluation,
    /// What came of it when it was measured again beside the other finalists.
    pub(crate) again: Vec<Evaluation>,
}

impl Measured {
    /// What a solver is told of it.
    pub(crate) fn told(&self) -> Told {
        Told::of(self.site.clone(), &self.found)
    }

    /// All that was measured of it.
    pub(crate) fn evaluations(&self) -> impl Iterator<Item = &Evaluation> {
        std::iter::once(&self.found).chain(&self.again)
    }
}

/// Verdict and first clause of the reason of a run without a result.
pub(crate) fn cause(run: &Run) -> String {
    let verdict = match run.answer.verdict {
        Some(Verdict::Void) => "void",
        Some(Verdict::NeverSettled) => "never settled",
        Some(Verdict::Crashed) => "crashed",
        Some(Verdict::Settled) | None => "without p99",
    };
    // What follows the colon has figures, which differ from run to run.
    match run.answer.reason.as_deref().and_then(|reason| reason.split(':').next()) {
        Some(reason) if !reason.is_empty() => {
            // To the lab a strike that began late is none; most of those that are missed are of that kind.
            format!("{verdict} ({})", reason.replace("did not strike", "struck too late or not at all"))
        }
        _ => verdict.to_owned(),
    }
}

/// All causes with their counts, the most frequent first.
pub(crate) fn causes_in_words(causes: &BTreeMap<String, u64>) -> String {
    let mut causes: Vec<(&String, &u64)> = causes.iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    causes.iter().map(|(cause, count)| format!("{count} {cause}")).collect::<Vec<_>>().join("; ")
}

/// Rounds of the finalists have numbers of their own: they share no arrivals with a pair.
const FINALS: u64 = 1 << 32;

/// Label of the finalist of index `index` in its round.
pub(crate) fn finalist(index: usize, round: u32) -> String {
    format!("f{round:02}-{index:04}")
}

/// What is left of the budget.
#[derive(Debug)]
struct Clock {
    known: BTreeSet<String>,
    before: Duration,
    live: Duration,
}

/// A run at work.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) space: &'a Space,
    pub(crate) course: Course,
    problem: RefCell<Problem>,
    clock: RefCell<Clock>,
    progress: RefCell<Progress>,
    points: RefCell<Vec<Measured>>,
    placebo: RefCell<Vec<Evaluation>>,
    trials: RefCell<u64>,
    /// Trials without a result, by verdict and the first words of the reason.
    lost: RefCell<BTreeMap<String, u64>>,
    /// Measuring time by phase, and what of it the host took.
    time: RefCell<TimeSpent>,
    /// Time that the hypervisor stole while trials ran, in microseconds.
    stolen_us: RefCell<f64>,
    /// The incumbent, measured again after every so many points of the search.
    echo: Option<(Point, usize, usize)>,
    /// No point of the search is begun beyond this.
    deadline: RefCell<Duration>,
    random: bool,
}

impl<'a> Session<'a> {
    /// A run on `problem`, whose log holds the trials `known` and `before` of measuring time.
    pub(crate) fn new(
        space: &'a Space,
        course: Course,
        problem: Problem,
        known: BTreeSet<String>,
        progress: Progress,
    ) -> Session<'a> {
        let before = Duration::from_millis(problem.hello().spent_ms.unwrap_or(0));
        Session {
            space,
            course,
            problem: RefCell::new(problem),
            clock: RefCell::new(Clock { known, before, live: Duration::ZERO }),
            progress: RefCell::new(progress),
            points: RefCell::default(),
            placebo: RefCell::default(),
            trials: RefCell::new(0),
            lost: RefCell::default(),
            time: RefCell::default(),
            stolen_us: RefCell::default(),
            echo: None,
            deadline: RefCell::new(Duration::MAX),
            random: false,
        }
    }

    /// Measures `incumbent` again after every `every` points, `count` times at most: the placebo.
    pub(crate) fn echo(&mut self, incumbent: Point, every: usize, count: usize) {
        self.echo = Some((incumbent, every.max(1), count));
    }

    /// From now on points are those of random search, and none is begun once `deadline` of measuring time is spent.
    pub(crate) fn turn(&mut self, random: bool, deadline: Duration) {
        self.random = random;
        *self.deadline.borrow_mut() = deadline;
    }

    /// Says which part begins.
    pub(crate) fn phase(&self, phase: &'static str) {
        self.progress.borrow_mut().phase(phase);
        self.time.borrow_mut().parts.push((phase.to_owned(), 0));
    }

    /// Where the measuring time went.
    pub(crate) fn time(&self) -> TimeSpent {
        self.time.borrow().clone()
    }

    /// Time that the hypervisor stole while trials ran.
    pub(crate) fn stolen(&self) -> Duration {
        Duration::from_micros(*self.stolen_us.borrow() as u64)
    }

    /// Says how many trials are left at most.
    pub(crate) fn left(&self, trials: u64) {
        self.progress.borrow_mut().left(trials);
    }

    /// Ends the progress and gives up the problem.
    pub(crate) fn close(&self) {
        self.progress.borrow().end();
    }

    /// Measuring time so far, what the log held included.
    pub(crate) fn spent(&self) -> Duration {
        let clock = self.clock.borrow();
        clock.before + clock.live
    }

    /// Trials so far, those that the log answered included.
    pub(crate) fn trials(&self) -> u64 {
        *self.trials.borrow()
    }

    /// Share of the trials that gave no result.
    pub(crate) fn lost_share(&self) -> f64 {
        self.lost.borrow().values().sum::<u64>() as f64 / (*self.trials.borrow()).max(1) as f64
    }

    /// Why trials gave no result, the most frequent reasons first, in words.
    pub(crate) fn lost_words(&self) -> Option<String> {
        let lost = self.lost.borrow();
        let total: u64 = lost.values().sum();
        (total > 0).then(|| format!("{total} of {} trials gave no result: {}", self.trials(), causes_in_words(&lost)))
    }

    /// The measured points in order.
    pub(crate) fn points(&self) -> Vec<Measured> {
        self.points.borrow().clone()
    }

    /// Everything that was measured outside of the confirmation.
    pub(crate) fn evaluations(&self) -> Vec<Evaluation> {
        let points = self.points.borrow();
        points.iter().flat_map(Measured::evaluations).cloned().chain(self.placebo()).collect()
    }

    /// The placebo's runs in order.
    pub(crate) fn placebo(&self) -> Vec<Evaluation> {
        self.placebo.borrow().clone()
    }

    /// TUNER-9: whether what is called `label` may begin while `deadline` is not spent.
    pub(crate) fn may_begin(&self, label: &str, part: Part, deadline: Duration) -> bool {
        let first = self.course.first_id(label, part);
        first.is_some_and(|first| self.clock.borrow().known.contains(&first)) || self.spent() < deadline
    }

    fn run<T>(&self, measure: impl FnOnce(&mut Problem, &mut dyn FnMut(&Run)) -> Result<T, Stop>) -> Result<T, Stop> {
        let mut began = Instant::now();
        let mut seen = |run: &Run| {
            let mut clock = self.clock.borrow_mut();
            let live = !clock.known.contains(&run.id);
            let elapsed = began.elapsed();
            if live {
                clock.live += elapsed; // What the log answers is in `before`.
            }
            began = Instant::now();
            self.account(run, elapsed);
            *self.trials.borrow_mut() += 1;
            if !run.gave_result() {
                *self.lost.borrow_mut().entry(cause(run)).or_default() += 1;
            }
            self.progress.borrow_mut().trial(live.then_some(clock.live), clock.before + clock.live);
        };
        measure(&mut self.problem.borrow_mut(), &mut seen)
    }

    /// Books the time of one run: as the problem tells it, so that a resumed run tells the same, else as it was seen.
    fn account(&self, run: &Run, elapsed: Duration) {
        let ms = run.answer.value("elapsed_ms").map_or(elapsed.as_millis() as u64, |ms| ms as u64);
        *self.stolen_us.borrow_mut() += run.answer.value("steal_us").unwrap_or(0.0);
        let mut time = self.time.borrow_mut();
        if let Some((_, spent)) = time.parts.last_mut() {
            *spent += ms;
        }
        let (kept, held_up) = (run.answer.slices_ns_p99.len() as u64, u64::from(run.answer.slices_held_up));
        time.lost_ms += if run.gave_result() { (ms * held_up).checked_div(kept + held_up).unwrap_or(0) } else { ms };
    }

    /// Measures `point` once, calm, in round `round`: points of one round share arrivals.
    fn evaluate(&self, label: &str, point: &Point, arm: Arm, round: u64) -> Result<Evaluation, Stop> {
        let ask = Ask { label, point, arm, pair: None, round, again: true, in_turns: round >= FINALS };
        self.run(|problem, seen| Ok(self.course.measure(problem, &ask, Part::Calm, seen)?))
    }

    /// Measures the point of index `index` once more, in round `round` of the finalists.
    ///
    /// # Errors
    /// What the problem did wrong.
    pub(crate) fn measure_again(&self, index: usize, round: u32) -> Result<Option<f64>, Stop> {
        let point = self.points.borrow()[index].point.clone();
        let label = finalist(index, round);
        let found = self.evaluate(&label, &point, Arm::Search, FINALS | u64::from(round))?;
        let log_objective = found.log_objective;
        self.points.borrow_mut()[index].again.push(found);
        Ok(log_objective)
    }

    /// Measures the pair `number` of one part, `first` before `second`.
    ///
    /// # Errors
    /// What the problem did wrong.
    pub(crate) fn evaluate_pair(
        &self,
        number: u32,
        first: (&str, &Point, Arm),
        second: (&str, &Point, Arm),
        part: Part,
    ) -> Result<[Evaluation; 2], Stop> {
        let round = 1 + u64::from(number);
        let ask = |(label, point, arm), slot| Ask {
            label,
            point,
            arm,
            pair: Some((number, slot)),
            round,
            again: false,
            in_turns: true,
        };
        let (first, second) = (ask(first, 0), ask(second, 1));
        self.run(|problem, seen| Ok(self.course.measure_pair(problem, [&first, &second], part, seen)?))
    }

    /// Measures `site` as a point of the run.
    ///
    /// # Errors
    /// What the problem did wrong.
    pub(crate) fn add(&self, label: &str, site: Site, origin: Origin, arm: Arm) -> Result<Told, Stop> {
        let point = self.space.point(&site);
        let found = self.evaluate(label, &point, arm, 0)?;
        let measured = Measured { site, point, origin, found, again: Vec::new() };
        let told = measured.told();
        if let Some(log) = told.log_objective.filter(|_| told.feasible(&self.course.limits)) {
            self.progress.borrow_mut().point(log.exp());
        }
        self.points.borrow_mut().push(measured);
        Ok(told)
    }

    /// One more run of the placebo where its time has come.
    fn echoed(&self) -> Result<(), Stop> {
        let Some((incumbent, every, count)) = &self.echo else { return Ok(()) };
        let done = self.placebo.borrow().len();
        if done < *count && self.points.borrow().len().is_multiple_of(*every) {
            let found = self.evaluate(&format!("p{done:02}"), incumbent, Arm::Placebo, 0)?;
            self.placebo.borrow_mut().push(found);
        }
        Ok(())
    }

    /// The runs of the placebo that the search left over.
    ///
    /// # Errors
    /// What the problem did wrong.
    pub(crate) fn finish_echo(&self) -> Result<(), Stop> {
        let Some((incumbent, _, count)) = &self.echo else { return Ok(()) };
        while self.placebo.borrow().len() < *count {
            let label = format!("p{:02}", self.placebo.borrow().len());
            if !self.may_begin(&label, Part::Calm, *self.deadline.borrow()) {
                break;
            }
            let found = self.evaluate(&label, incumbent, Arm::Placebo, 0)?;
            self.placebo.borrow_mut().push(found);
        }
        Ok(())
    }

    fn search_step(&self, site: &Site, from: Proposer) -> Result<Option<Told>, Stop> {
        let number = self.points.borrow().len();
        let (label, arm) =
            if self.random { (format!("r{number:04}"), Arm::Control) } else { (format!("s{number:04}"), Arm::Search) };
        if !self.may_begin(&label, Part::Calm, *self.deadline.borrow()) {
            return Ok(None);
        }
        let origin = match from {
            Proposer::Design => Origin::LatinHypercube,
            Proposer::Model => Origin::Model,
            Proposer::Random => Origin::Random,
        };
        let told = self.add(&label, site.clone(), origin, arm)?;
        self.echoed()?;
        Ok(Some(told))
    }
}

impl Surface for Session<'_> {
    fn measure(&self, site: &Site, from: Proposer) -> Result<Option<Told>, Error> {
        Ok(self.search_step(site, from)?)
    }
}
