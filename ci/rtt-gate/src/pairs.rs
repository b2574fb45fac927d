//! Runs pairs until every scenario is decided, or pairs or time are used up.
//!
//! The scenarios take turns, pair by pair, so that a drift of the host meets all of them. Both runs of a pair have the
//! same arrivals; the coin alone says which comes first.

use crate::document::Subject;
use crate::screen::note;
use crate::track::{Seen, Standing, Track};
use rtt_measure::{Answer, Arm, Exit, MeasureRequest, PairOrder, Point, Problem, ProblemError, Stop, Verdict};
use rtt_seal::in_full;
use rtt_units::SplitMix64;
use std::time::{Duration, Instant};

/// Pairs between two lines of progress.
const EVERY: u32 = 10;
/// Name of the lab's value for loss beyond the scenario's budget.
const LOSS_OVER: &str = "loss_over_budget_ppm";
/// What a run costs beside its length, until it was measured.
const OVERHEAD: Duration = Duration::from_millis(60);

/// How much may be run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Most pairs of each scenario now.
    pub pairs_max: u32,
    /// Most time.
    pub budget: Duration,
    /// Share of a scenario's full length.
    pub share: f64,
}

impl Plan {
    /// The plan in words.
    pub fn lines(&self, subjects: &[Subject]) -> Vec<String> {
        let each: Duration = subjects.iter().map(|subject| 2 * self.run_of(subject)).sum();
        let longest = each.saturating_mul(self.pairs_max).min(self.budget).as_secs_f64();
        let longest =
            if longest < 120.0 { format!("{longest:.0} s") } else { format!("{:.0} minutes", longest / 60.0) };
        let names: Vec<&str> = subjects.iter().map(|subject| subject.scenario.name.as_str()).collect();
        vec![format!(
            "plan: {}; at most {} pairs of each, {longest} at most; keeps up to all CPUs busy, changes no setting",
            names.join(", "),
            self.pairs_max
        )]
    }

    fn run_of(&self, subject: &Subject) -> Duration {
        Duration::from_millis(u64::from(subject.scenario.workload.duration_ms)).mul_f64(self.share) + OVERHEAD
    }
}

/// What pairs are run with.
pub struct Pairs<'a> {
    pub problem: &'a mut Problem,
    /// Base and candidate.
    pub points: [Point; 2],
    pub seed: u64,
    pub plan: Plan,
}

/// An answer as the track sees it.
fn seen(id: String, answer: &Answer, subject: &Subject) -> Seen {
    // The lab tells it beside the scenario's budget; what a defect is, the objective's says.
    let over = answer.value(LOSS_OVER).unwrap_or(-f64::from(subject.scenario.budget.loss_ppm));
    let lost = over + f64::from(subject.scenario.budget.loss_ppm);
    Seen {
        id,
        verdict: answer.verdict.unwrap_or(Verdict::Settled),
        reason: answer.reason.clone(),
        p99_ns: answer.p99,
        slices_ns_p99: answer.slices_ns_p99.clone(),
        slices_held_up: answer.slices_held_up,
        loss_over_ppm: (lost - f64::from(subject.objective.loss_ppm)).max(0.0) as u64,
        probe: answer.regime,
    }
}

impl Pairs<'_> {
    /// Runs pairs of all open tracks by turns; how many there were.
    ///
    /// # Errors
    /// A stop when the lab fails or the user stops it.
    pub fn run(&mut self, tracks: &mut [Track], subjects: &[Subject]) -> Result<u32, Stop> {
        let began = Instant::now();
        let mut done = 0_u32;
        for round in 0..self.plan.pairs_max {
            let mut any = false;
            for (track, subject) in tracks.iter_mut().zip(subjects) {
                let open = track.standing() == Standing::Open;
                if !open || began.elapsed() + 2 * self.plan.run_of(subject) > self.plan.budget {
                    continue;
                }
                any = true;
                self.pair(track, subject)?;
                done += 1;
                if matches!(track.standing(), Standing::Fail(_)) {
                    return Ok(done); // One that fails decides it.
                }
            }
            if !any {
                break;
            }
            if (round + 1) % EVERY == 0 {
                self.progress(tracks, round + 1, began.elapsed());
            }
        }
        Ok(done)
    }

    fn progress(&self, tracks: &[Track], round: u32, spent: Duration) {
        let left = spent.mul_f64(f64::from(self.plan.pairs_max - round) / f64::from(round));
        let left = left.min(self.plan.budget.saturating_sub(spent)).as_secs_f64();
        let told: Vec<String> = tracks.iter().map(told).collect();
        note(&format!("pair {round} of at most {}: {}; about {left:.0} s left", self.plan.pairs_max, told.join("; ")));
    }

    fn pair(&mut self, track: &mut Track, subject: &Subject) -> Result<(), Stop> {
        let number = track.pairs().len() as u32;
        let Some(order) = track.begin() else { return Ok(()) };
        let arms = match order {
            PairOrder::AFirst => [0, 1],
            PairOrder::BFirst => [1, 0],
        };
        let mut runs: [Option<Seen>; 2] = [None, None];
        for (slot, arm) in arms.into_iter().enumerate() {
            let run = self.once(subject, number, arm, slot as u32)?;
            track.note(arm, &run);
            // A disturbed run is the pair's: the other one would change nothing. A defect of the candidate is none of its
            // own while the base has not run, or the coin would decide between FAIL and UNDECIDED.
            let is_void = run.verdict == Verdict::Void;
            runs[arm] = Some(run);
            if is_void {
                break;
            }
        }
        track.close(order, [runs[0].as_ref(), runs[1].as_ref()]);
        Ok(())
    }

    fn once(&mut self, subject: &Subject, number: u32, arm: usize, slot: u32) -> Result<Seen, Stop> {
        let name = &subject.scenario.name;
        let id = format!("{name}/{number:04}/{}", ["base", "candidate"][arm]);
        let purpose = rtt_seal::Digest::of(name.as_bytes()).0[0];
        let seed = SplitMix64::new(self.seed ^ u64::from(number) << 8 ^ u64::from(purpose)).next_u64() >> 11;
        let request = MeasureRequest {
            measure: self.points[arm].clone(),
            share: self.plan.share,
            id: Some(id.clone()),
            scenario: Some(name.clone()),
            seed: Some(seed),
            faults: None,
            arm: Some([Arm::Base, Arm::Candidate][arm]),
            pair: Some(number),
            slot: Some(slot),
        };
        match self.problem.measure(&request) {
            Ok(answer) => Ok(seen(id, &answer, subject)),
            // What is asked here is well formed: it is the host or an endpoint that cannot be measured.
            Err(error @ ProblemError::Refused { .. }) => Err(Stop::new(Exit::Unfit, in_full(&error))),
            Err(error) => Err(error.into()),
        }
    }
}

fn told(track: &Track) -> String {
    match (track.standing(), track.pairs().last()) {
        (Standing::Open, Some(pair)) => format!(
            "{} wealth for fail {:.1} of {:.0}, for pass {:.1} of {:.0}",
            track.scenario,
            pair.wealth_fail,
            track.config().fails_at(),
            pair.wealth_pass,
            track.config().passes_at()
        ),
        (Standing::Pass(_), _) => format!("{} passed", track.scenario),
        (Standing::Fail(_), _) => format!("{} failed", track.scenario),
        _ => format!("{} cannot be told", track.scenario),
    }
}
