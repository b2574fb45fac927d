//! A delay of every message that makes p99 a wanted number of times what it was: a slowdown of known size, to try the
//! gate on.
//!
//! Found by pairs of unjudged runs, and kept below `.rtt/gate` for the same endpoint, knobs, scenario and ratio, so that
//! canaries that were interrupted go on with it.

use crate::arguments::JudgeArguments;
use crate::judge::{Arms, Docket, meet, now_unix_s};
use crate::output::{Calibrated, CalibrationKey, CanaryKey};
use crate::screen::note;
use rtt_measure::{Answer, Arm, Exit, Interval, MeasureRequest, Point, Problem, Stop, Verdict, point_of, write_whole};
use rtt_seal::Digest;
use rtt_units::SplitMix64;
use std::fs;
use std::path::PathBuf;

/// Widest interval of a calibrated ratio, to each side.
const WIDTH: f64 = 0.03;
/// How far the estimate may lie from what was asked.
const OFF: f64 = 0.01;
/// Pairs of one step, and steps at most.
const STEP_PAIRS: u32 = 12;
const STEPS: u32 = 60;
/// Most of a CPU that the delay alone may use.
const CPU_MAX: f64 = 0.70;

impl Calibrated {
    /// Share of a CPU that the delay alone uses.
    fn cpu(&self) -> f64 {
        self.messages_per_s * self.delay_ns as f64 / 1e9
    }

    /// What was found, in words.
    pub fn words(&self) -> String {
        let Interval { estimate, low, high } = self.ratio;
        format!(
            "{} ns a message make p99 of the median pair {estimate:.3} times the base's ({low:.3} to {high:.3}, {} unjudged pairs); \
             the delay uses {:.0} % of a CPU",
            self.delay_ns,
            self.pairs,
            100.0 * self.cpu()
        )
    }
}

/// Median of the ratios with a 95 % interval between order statistics, which holds whatever the spikes of the host are;
/// `None` of fewer than ten.
///
/// Source: Conover 1999, Practical Nonparametric Statistics, 3.2.
fn median_ratio(logs: &mut [f64]) -> Option<Interval> {
    let count = logs.len() as f64;
    if logs.len() < 10 {
        return None;
    }
    logs.sort_by(f64::total_cmp);
    let at = |rank: f64| logs[(rank.max(0.0) as usize).min(logs.len() - 1)].exp();
    let reach = 0.98 * count.sqrt();
    Some(Interval {
        estimate: (at((count - 1.0) / 2.0) * at(count / 2.0)).sqrt(),
        low: at((count / 2.0 - reach).floor() - 1.0),
        high: at((count / 2.0 + reach).ceil()),
    })
}

/// A lab that measures both arms, and the point that both run under.
struct Bench<'a> {
    options: &'a JudgeArguments,
    docket: &'a Docket,
    arms: &'a Arms,
    point: Point,
    path: PathBuf,
}

/// What a step saw.
#[derive(Default)]
struct Seen {
    logs: Vec<f64>,
    base_ns_p99: f64,
    messages_per_s: f64,
}

impl<'a> Bench<'a> {
    fn new(options: &'a JudgeArguments, docket: &'a Docket, arms: &'a Arms, wanted: f64) -> Result<Bench<'a>, Stop> {
        let met = meet(options, &arms.sides)?;
        let hello = met.problem.hello();
        let here = hello.fingerprint.as_ref().ok_or_else(|| Stop::new(Exit::Unfit, "the lab names no machine"))?;
        let chosen = arms.sides[1].knobs.choose(&options.root, here, now_unix_s())?;
        let key = CalibrationKey {
            executable: arms.digests[1],
            profile: chosen.profile,
            machine: here.machine.id().to_string(),
            run: CanaryKey::of(docket, options, 0),
            ratio: wanted.to_string(),
        };
        let name = Digest::of(&serde_json::to_vec(&key).expect("a key is JSON")).to_string();
        let path = options.root.join(".rtt/gate").join(format!("calibration-{}.json", &name[..16]));
        let point = match (chosen.knobs, &hello.default) {
            (Some(knobs), _) => point_of(&knobs),
            (None, Some(default)) => default.clone(),
            (None, None) => return Err(Stop::new(Exit::Unexpected, "the lab names no default knobs")),
        };
        Ok(Bench { options, docket, arms, point, path })
    }

    fn run(&self, problem: &mut Problem, id: &str, arm: usize, seed: u64) -> Result<Answer, Stop> {
        let request = MeasureRequest {
            measure: self.point.clone(),
            share: self.docket.plan.share,
            id: Some(id.into()),
            scenario: Some(self.docket.subjects[0].scenario.name.clone()),
            seed: Some(seed),
            faults: None,
            arm: Some([Arm::Base, Arm::Candidate][arm]),
            pair: None,
            slot: None,
        };
        Ok(problem.measure(&request)?)
    }

    /// Pairs with the candidate delayed by `ns`, order by a coin.
    fn step(&self, ns: u64, draw: &mut SplitMix64) -> Result<Seen, Stop> {
        let mut sides = self.arms.sides.clone();
        sides[1].arguments.push(format!("--delay-ns={ns}"));
        let mut met = meet(self.options, &sides)?;
        let length = f64::from(self.docket.subjects[0].scenario.workload.duration_ms) * self.docket.plan.share / 1e3;
        let (mut seen, mut base) = (Seen::default(), Vec::new());
        for pair in 0..STEP_PAIRS {
            let seed = draw.next_u64() >> 11;
            let first = usize::from(draw.coin());
            let mut p99 = [None; 2];
            for arm in [first, 1 - first] {
                let answer = self.run(&mut met.problem, &format!("calibrate/{pair}/{arm}"), arm, seed)?;
                let settled = answer.verdict.is_none_or(|verdict| verdict == Verdict::Settled);
                p99[arm] = answer.p99.filter(|_| settled);
                if let Some(calm) = answer.calm.filter(|_| arm == 1) {
                    seen.messages_per_s = seen.messages_per_s.max(calm.n as f64 / length);
                }
            }
            if let [Some(a), Some(b)] = p99 {
                seen.logs.push((b / a).ln());
                base.push(a);
            }
        }
        base.sort_by(f64::total_cmp);
        seen.base_ns_p99 = base.get(base.len() / 2).copied().unwrap_or(0.0);
        Ok(seen)
    }

    fn search(&self, wanted: f64) -> Result<Calibrated, Stop> {
        let mut draw = SplitMix64::new(self.docket.rules.seed);
        let mut delay_ns = ((wanted - 1.0) * self.step(0, &mut draw)?.base_ns_p99).max(1.0) as u64;
        let mut logs: Vec<f64> = Vec::new();
        for step in 0..STEPS {
            let Seen { logs: more, messages_per_s, .. } = self.step(delay_ns, &mut draw)?;
            logs.extend(more);
            let Some(ratio) = median_ratio(&mut logs) else { continue };
            let found = Calibrated { version: 1, delay_ns, ratio, pairs: logs.len() as u32, messages_per_s };
            note(&format!("calibration {}: {}", step + 1, found.words()));
            if found.cpu() > CPU_MAX {
                let words = format!(
                    "calibration: the delay would use {:.0} % of a CPU; name a slower scenario",
                    100.0 * found.cpu()
                );
                return Err(Stop::new(Exit::Undecided, words));
            }
            let narrow = (ratio.high - ratio.estimate).max(ratio.estimate - ratio.low) <= WIDTH;
            if narrow && (ratio.estimate - wanted).abs() <= OFF {
                return Ok(found);
            }
            // Surely off: another delay, and what was seen under this one is of no use for it.
            if ratio.low > wanted + OFF || ratio.high < wanted - OFF || narrow {
                let gain = (ratio.estimate - 1.0).max(0.02);
                delay_ns = ((delay_ns as f64 * ((wanted - 1.0) / gain).clamp(0.3, 3.0)) as u64).max(1);
                logs.clear();
            }
        }
        let words = format!(
            "calibration: {STEPS} steps did not bring the ratio to {wanted} within {WIDTH}: this host is too noisy"
        );
        Err(Stop::new(Exit::Undecided, words))
    }
}

/// The delay that makes p99 `wanted` times the base's: one that was found before, else found now.
///
/// # Errors
/// A stop with 12 when this host is too noisy to tell within the steps, or the delay would use too much of a CPU.
pub fn calibrated(options: &JudgeArguments, docket: &Docket, arms: &Arms, wanted: f64) -> Result<Calibrated, Stop> {
    let bench = Bench::new(options, docket, arms, wanted)?;
    if let Some(kept) = fs::read(&bench.path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        return Ok(kept);
    }
    let found = bench.search(wanted)?;
    let text = serde_json::to_vec_pretty(&found).expect("it is JSON");
    write_whole(&bench.path, &text).map_err(|error| Stop::unexpected(&error))?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a hundred draws of sixty pairs, a tenth of them spikes, nearly all intervals hold the truth.
    #[test]
    fn the_interval_of_the_median_holds_the_truth_beside_spikes() {
        let mut draw = SplitMix64::new(11);
        let held = (0..100).filter(|_| {
            let ratio = |draw: &mut SplitMix64| {
                let spike = if draw.below(10) == 0 { 3.0 * draw.normal() } else { 0.0 };
                1.2_f64.ln() + 0.05 * draw.normal() + spike
            };
            let mut logs: Vec<f64> = (0..60).map(|_| ratio(&mut draw)).collect();
            let found = median_ratio(&mut logs).expect("an interval");
            found.low <= 1.2 && 1.2 <= found.high
        });
        let held = held.count();
        assert!(held >= 90, "{held} of 100");
        assert_eq!(median_ratio(&mut [0.0; 9]), None);
    }
}
