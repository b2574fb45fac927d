//! The objective of a point: exp of the mean over scenarios of ln of what decides.
//!
//! What decides is told by the answer: calm, the typical p99; under faults, the time to recover. The two are parts of their own
//! and never mixed: a search looks at calm alone, a confirmation at both. A point is measured by one run for each condition
//! of a part. All arms get the same arrivals and the same fault schedule: the seed of a run hangs on the round, never on
//! the arm.
//!
//! TUNER-7  A run that is not settled gives no objective, and neither does its point; a disturbed one is run again
//!          where that is allowed.

use rtt_measure::{Answer, Arm, Constraint, Hello, MeasureRequest, Point, Problem, ProblemError, RegimeProbe, Verdict};
use rtt_seal::Digest;
use rtt_units::SplitMix64;

/// Tries of one condition of a pair, the first included.
const PAIR_ATTEMPTS: u32 = 4;
/// The same under faults, where a run is long and a busy host keeps a fault from striking in time.
const PAIR_ATTEMPTS_FAULTED: u32 = 2;
/// Tries of one condition of a point: short runs are cheap, and a point that the host disturbed is lost to the search.
const POINT_ATTEMPTS: u32 = 3;

/// Bits of a seed, so that programs that read JSON numbers as doubles see it whole.
const SEED_BITS: u32 = 53;

/// Which conditions are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Those without faults.
    Calm,
    /// Those with.
    Faulted,
}

/// One kind of run that every point goes through.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    /// The scenario; absent for a base problem.
    pub(crate) scenario: Option<String>,
    /// The fault plan beside it; absent for calm.
    pub(crate) faults: Option<Digest>,
    /// Share of a full run.
    pub(crate) share: f64,
    /// The same where points are compared in turns: many short runs side by side tell more than few long ones, since a host
    /// changes from second to second.
    pub(crate) turn_share: f64,
}

impl Condition {
    fn name(&self) -> String {
        let scenario = self.scenario.as_deref().unwrap_or("base");
        format!("{scenario}/{}", if self.faults.is_some() { "faulted" } else { "calm" })
    }
}

/// All runs that a point goes through.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) limits: Vec<Constraint>,
    /// Whether the problem speaks the lab's extension: a base problem is not sent what it may not know.
    pub(crate) extended: bool,
    /// Seed of the whole run.
    pub(crate) seed: u64,
}

/// One point that is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    /// First part of the runs' ids.
    pub(crate) label: &'a str,
    pub(crate) point: &'a Point,
    pub(crate) arm: Arm,
    /// Number of the pair and place in it.
    pub(crate) pair: Option<(u32, u32)>,
    /// Runs of one round share arrivals and faults.
    pub(crate) round: u64,
    /// Whether a disturbed run is tried again.
    pub(crate) again: bool,
    /// Whether it is one of points that take turns.
    pub(crate) in_turns: bool,
}

/// One run and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) id: String,
    /// Index of the condition.
    pub(crate) condition: usize,
    pub(crate) answer: Answer,
}

impl Run {
    /// TUNER-7: whether it settled, and with a p99.
    pub(crate) fn gave_result(&self) -> bool {
        self.answer.deciding(false).is_some()
    }
}

/// What came of a point.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evaluation {
    pub(crate) runs: Vec<Run>,
    /// ln(objective); absent where a run gave no result.
    pub(crate) log_objective: Option<f64>,
    /// The worst value of each constraint over the runs.
    pub(crate) constraints: Vec<Option<f64>>,
    /// Mean CPU of the runs in thousandths of a CPU.
    pub(crate) cpu_millicores: Option<f64>,
    /// Why there is no objective.
    pub(crate) reason: Option<(Verdict, String)>,
    sum: f64,
    count: u32,
}

/// Whether the host may have spoilt the run: it held the generator up, or its load changed while the run lasted.
fn is_disturbed(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Void | Verdict::NeverSettled)
}

/// A seed of its own for each purpose under one seed.
pub(crate) fn seed_for(seed: u64, purpose: u64) -> u64 {
    SplitMix64::new(seed ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15)).next_u64() >> (64 - SEED_BITS)
}

impl Course {
    /// The course of a problem whose scenarios do not matter: its first one, calm.
    pub(crate) fn plain(hello: &Hello, seed: u64) -> Course {
        let scenario = hello.scenarios.first().map(|scenario| scenario.name.clone());
        Course {
            conditions: vec![Condition { scenario, faults: None, share: 1.0, turn_share: 1.0 }],
            limits: hello.constraints.clone(),
            extended: hello.protocol.is_some(),
            seed,
        }
    }

    fn request(&self, ask: &Ask<'_>, index: usize, id: &str) -> MeasureRequest {
        let condition = &self.conditions[index];
        let request = MeasureRequest {
            measure: ask.point.clone(),
            share: if ask.in_turns { condition.turn_share } else { condition.share },
            id: None,
            scenario: None,
            seed: None,
            faults: None,
            arm: None,
            pair: None,
            slot: None,
        };
        if !self.extended {
            return request;
        }
        // Calm and faulted runs of a scenario share its arrivals.
        let scenario = self.conditions.iter().position(|other| other.scenario == condition.scenario).unwrap_or(index);
        MeasureRequest {
            id: Some(id.into()),
            scenario: condition.scenario.clone(),
            seed: Some(seed_for(self.seed, ask.round * 64 + scenario as u64 + 1)),
            faults: condition.faults,
            arm: Some(ask.arm),
            pair: ask.pair.map(|pair| pair.0),
            slot: ask.pair.map(|pair| pair.1),
            ..request
        }
    }

    /// Indices of the conditions of `part`.
    pub(crate) fn indices(&self, part: Part) -> impl Iterator<Item = usize> + '_ {
        let wanted = part == Part::Faulted;
        (0..self.conditions.len()).filter(move |&index| self.conditions[index].faults.is_some() == wanted)
    }

    /// Whether any condition is one under faults.
    pub(crate) fn has_faults(&self) -> bool {
        self.indices(Part::Faulted).next().is_some()
    }

    /// Id of the first run that a point called `label` would make in `part`.
    pub(crate) fn first_id(&self, label: &str, part: Part) -> Option<String> {
        self.indices(part).next().map(|index| format!("{label}/{}", self.conditions[index].name()))
    }

    /// What decides of a run.
    fn deciding(&self, run: &Run) -> Option<f64> {
        run.answer.deciding(self.conditions[run.condition].faults.is_some())
    }

    /// One run of `ask` under condition `index`, again where it is disturbed and that is allowed, added to `found`.
    /// `seen` hears of each run. Returns whether it gave a result.
    fn step(
        &self,
        problem: &mut Problem,
        ask: &Ask<'_>,
        index: usize,
        found: &mut Evaluation,
        seen: &mut dyn FnMut(&Run),
    ) -> Result<bool, ProblemError> {
        for attempt in 0..POINT_ATTEMPTS {
            let again = if attempt > 0 { format!("/again-{attempt}") } else { String::new() };
            let id = format!("{}/{}{again}", ask.label, self.conditions[index].name());
            let run = Run { answer: problem.measure(&self.request(ask, index, &id))?, id, condition: index };
            seen(&run);
            let verdict = run.answer.verdict.unwrap_or(Verdict::Settled);
            let deciding = self.deciding(&run);
            let reason = run.answer.reason.clone().unwrap_or_default();
            found.note(run, &self.limits);
            if let Some(deciding) = deciding {
                found.take(deciding);
                return Ok(true);
            }
            found.reason = Some((verdict, reason)); // TUNER-7
            if !is_disturbed(verdict) || !ask.again {
                break;
            }
        }
        Ok(false)
    }

    /// Runs a point through all conditions of `part`; the first run without a result ends it.
    ///
    /// # Errors
    /// [`ProblemError`]: the program failed, which is not the point's fault.
    pub(crate) fn measure(
        &self,
        problem: &mut Problem,
        ask: &Ask<'_>,
        part: Part,
        seen: &mut dyn FnMut(&Run),
    ) -> Result<Evaluation, ProblemError> {
        let mut found = Evaluation::new(self);
        for index in self.indices(part) {
            if !self.step(problem, ask, index, &mut found, seen)? {
                return Ok(found);
            }
        }
        found.close();
        Ok(found)
    }

    /// Runs two points through all conditions of `part`, condition by condition the first before the second, so that the
    /// runs that are compared lie next to each other in time. A condition in which a run was disturbed is run again, both
    /// points in the same order: which of two alike is the void one is as good as a coin, so nothing is preferred. A
    /// condition that gives no result ends the pair for both.
    ///
    /// # Errors
    /// [`ProblemError`].
    pub(crate) fn measure_pair(
        &self,
        problem: &mut Problem,
        asks: [&Ask<'_>; 2],
        part: Part,
        seen: &mut dyn FnMut(&Run),
    ) -> Result<[Evaluation; 2], ProblemError> {
        let mut found = [Evaluation::new(self), Evaluation::new(self)];
        for index in self.indices(part) {
            let mut settled = None;
            for attempt in 0..if part == Part::Calm { PAIR_ATTEMPTS } else { PAIR_ATTEMPTS_FAULTED } {
                settled = self.attempt(problem, asks, (index, attempt), &mut found, seen)?;
                if settled.is_some() {
                    break;
                }
            }
            if settled != Some(true) {
                return Ok(found);
            }
        }
        found.iter_mut().for_each(Evaluation::close);
        Ok(found)
    }

    /// One try of both points under condition `index`: whether both settled; `None` where one was disturbed.
    fn attempt(
        &self,
        problem: &mut Problem,
        asks: [&Ask<'_>; 2],
        (index, attempt): (usize, u32),
        found: &mut [Evaluation; 2],
        seen: &mut dyn FnMut(&Run),
    ) -> Result<Option<bool>, ProblemError> {
        let mut deciding = [None; 2];
        for (slot, ask) in asks.into_iter().enumerate() {
            let again = if attempt > 0 { format!("/again-{attempt}") } else { String::new() };
            let id = format!("{}/{}{again}", ask.label, self.conditions[index].name());
            let run = Run { answer: problem.measure(&self.request(ask, index, &id))?, id, condition: index };
            seen(&run);
            let verdict = run.answer.verdict.unwrap_or(Verdict::Settled);
            deciding[slot] = self.deciding(&run);
            found[slot].reason = Some((verdict, run.answer.reason.clone().unwrap_or_default())); // TUNER-7
            found[slot].note(run, &self.limits);
            if is_disturbed(verdict) {
                return Ok(None);
            }
        }
        let [Some(first), Some(second)] = deciding else { return Ok(Some(false)) };
        for (evaluation, deciding) in found.iter_mut().zip([first, second]) {
            evaluation.take(deciding);
        }
        Ok(Some(true))
    }
}

impl Evaluation {
    fn new(course: &Course) -> Evaluation {
        Evaluation { constraints: vec![None; course.limits.len()], ..Evaluation::default() }
    }

    fn take(&mut self, deciding: f64) {
        self.sum += deciding.ln();
        self.count += 1;
        self.reason = None;
    }

    fn close(&mut self) {
        self.log_objective = (self.count > 0).then(|| self.sum / f64::from(self.count));
    }

    fn note(&mut self, run: Run, limits: &[Constraint]) {
        for (worst, limit) in self.constraints.iter_mut().zip(limits) {
            *worst = match (*worst, run.answer.value(&limit.name)) {
                (Some(a), Some(b)) => Some(f64::max(a, b)),
                (a, b) => a.or(b),
            };
        }
        let cpu = run.answer.value("cpu_millicores").or_else(|| run.answer.value("cpu").map(|cpus| 1000.0 * cpus));
        if let Some(cpu) = cpu {
            let before = self.runs.len() as f64; // The running mean.
            self.cpu_millicores = Some((self.cpu_millicores.unwrap_or(0.0) * before + cpu) / (before + 1.0));
        }
        self.runs.push(run);
    }

    /// The run of condition `index` that settled.
    fn settled(&self, index: usize) -> Option<&Run> {
        let settled = |run: &&Run| run.condition == index && run.answer.verdict.is_none_or(|v| v == Verdict::Settled);
        self.runs.iter().rev().find(settled) // The last: an earlier one had no partner.
    }

    /// The answer of condition `index`, where its run settled.
    pub(crate) fn answer(&self, index: usize) -> Option<&Answer> {
        self.settled(index).map(|run| &run.answer)
    }

    /// The probes around the run of condition `index`, where it settled.
    pub(crate) fn probe(&self, index: usize) -> Option<RegimeProbe> {
        self.settled(index).and_then(|run| run.answer.regime)
    }

    /// The probes around all of its runs.
    pub(crate) fn probes(&self) -> impl Iterator<Item = RegimeProbe> + '_ {
        self.runs.iter().filter_map(|run| run.answer.regime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_of_a_round_share_seeds_and_rounds_do_not() {
        let condition = |scenario: &str, faulted: bool| Condition {
            scenario: Some(scenario.into()),
            faults: faulted.then(|| Digest::of(b"storm")),
            share: 0.5,
            turn_share: 0.125,
        };
        let conditions = vec![condition("steady", false), condition("steady", true), condition("busy", false)];
        let course = Course { conditions, limits: vec![], extended: true, seed: 7 };
        let point = Point::new();
        let ask =
            |label, arm, round| Ask { label, point: &point, arm, pair: None, round, again: true, in_turns: false };
        let seed = |ask: Ask<'_>, index| course.request(&ask, index, "id").seed.expect("a seed");
        let (one, other) = (ask("a", Arm::Candidate, 3), ask("b", Arm::Incumbent, 3));
        assert_eq!(seed(one.clone(), 0), seed(other, 0), "arms");
        assert_eq!(seed(one.clone(), 0), seed(one.clone(), 1), "calm and faulted");
        assert_ne!(seed(one.clone(), 0), seed(one.clone(), 2), "scenarios");
        assert_ne!(seed(one.clone(), 0), seed(ask("a", Arm::Candidate, 4), 0), "rounds");
        let share = |in_turns| course.request(&Ask { in_turns, ..ask("a", Arm::Search, 0) }, 0, "id").share;
        assert_eq!([share(false), share(true)].map(|share| (1000.0 * share) as u32), [500, 125]);
        assert_eq!(course.indices(Part::Calm).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(course.indices(Part::Faulted).collect::<Vec<_>>(), [1]);
        assert_eq!(course.first_id("s0007", Part::Faulted).as_deref(), Some("s0007/steady/faulted"));
        let base = Course { extended: false, ..course.clone() };
        let sent = serde_json::to_string(&base.request(&one, 0, "id")).expect("JSON");
        assert_eq!(sent, r#"{"measure":{},"share":0.5}"#, "a base problem sees the base protocol only");
    }
}
