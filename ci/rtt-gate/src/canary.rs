//! `--canary N`: the gate on trial. The candidate is compared with itself N times, each time with a wealth of its own, and
//! with `--slower` under a delay that was calibrated before, so that what the gate should say is known.
//!
//! A canary whose verdict is written is finished; one that was interrupted goes on. So N can be reached over days.

use crate::arguments::JudgeArguments;
use crate::arms::Side;
use crate::detectable::shares;
use crate::exit::{Exit, Stop};
use crate::judge::{Arms, Docket, arms, docket, measure, meet, open};
use crate::screen::{note, print};
use rtt_measure::{
    Arm, EProcessConfig, Gate, GateVerdict, Interval, MeasureRequest, Problem, Verdict, mean_interval, point_of,
};
use rtt_units::SplitMix64;
use std::fs;

/// Widest interval of a calibrated ratio, to each side.
const WIDTH: f64 = 0.03;
/// How far the estimate may lie from what was asked.
const OFF: f64 = 0.01;
/// Pairs of one step of the calibration, and steps at most.
const STEP_PAIRS: u32 = 12;
const STEPS: u32 = 60;
/// Most of a CPU that the delay alone may use, at the scenario's rate.
const CPU_MAX: f64 = 0.70;

/// What the canaries came to.
#[derive(Debug, Default)]
struct Tally {
    fail: u32,
    pass: u32,
    undecided: u32,
    pairs: u64,
    ratios: Vec<f64>,
}

impl Tally {
    fn add(&mut self, gate: &Gate) {
        let scenarios = &gate.scenarios;
        // Budgets are no matter of the canary: what is on trial is the comparison.
        match scenarios.iter().map(|scenario| scenario.verdict).max() {
            Some(GateVerdict::Fail) => self.fail += 1,
            Some(GateVerdict::Pass) => self.pass += 1,
            _ => self.undecided += 1,
        }
        let pairs = scenarios.iter().flat_map(|scenario| &scenario.pairs);
        self.pairs += pairs.clone().count() as u64;
        self.ratios.extend(pairs.filter_map(|pair| pair.log_ratio));
    }

    fn count(&self) -> u32 {
        self.fail + self.pass + self.undecided
    }
}

/// Runs the canaries that are not there yet, and tells what all came to.
///
/// # Errors
/// A stop when one ends without a verdict.
pub fn canary(options: &JudgeArguments) -> Result<Exit, Stop> {
    let count = options.canary.unwrap_or(1);
    let mut docket = docket(options)?;
    docket.subjects.truncate(1); // One question a canary: its rate is that of one scenario's processes.
    let mut arms = arms(options)?.ok_or_else(|| Stop::usage("--canary: name no run"))?;
    arms.sides[0] = Side { name: "canary base".into(), ..arms.sides[1].clone() };
    arms.digests[0] = arms.digests[1];
    let delay = options.slower.map(|ratio| calibrated(options, &docket, &arms, ratio)).transpose()?;
    if let Some(delay) = &delay {
        arms.sides[1].arguments.push(format!("--delay-ns={}", delay.ns));
        note(&format!("calibrated: {}", delay.words()));
    }
    let mut tally = Tally::default();
    for number in 0..count {
        let gate = one(options, &mut docket, &arms, number)?;
        tally.add(&gate);
        note(&format!("canary {} of {count}: {}", number + 1, gate.sentence));
    }
    told(options, &docket, &tally, delay.as_ref())
}

/// Canary `number`: from its folder where it is finished, else measured.
fn one(options: &JudgeArguments, docket: &mut Docket, arms: &Arms, number: u32) -> Result<Gate, Stop> {
    docket.rules.seed = SplitMix64::new(docket.rules.seed ^ u64::from(number)).next_u64() & 0xffff_ffff;
    let mut case = open(options, docket, arms, Some(number))?;
    let path = case.comparison.folder.join("verdict.json");
    if let Some(gate) = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Gate>(&bytes).ok()) {
        return Ok(gate);
    }
    measure(&mut case, options, docket, true)
}

fn told(options: &JudgeArguments, docket: &Docket, tally: &Tally, delay: Option<&Delay>) -> Result<Exit, Stop> {
    let count = tally.count();
    let subject = &docket.subjects[0];
    let config = EProcessConfig {
        alpha: docket.rules.alpha,
        processes: docket.rules.processes,
        tolerance: subject.tolerance(),
        pairs_max: docket.plan.pairs_max,
        seed: 1,
    };
    let simulated = shares(&tally.ratios, 0.0, &config);
    let spread =
        (tally.ratios.iter().map(|ratio| ratio * ratio).sum::<f64>() / tally.ratios.len().max(1) as f64).sqrt();
    let percent = |part: u32| 100.0 * f64::from(part) / f64::from(count.max(1));
    let found = match options.slower {
        None => tally.fail <= (count / 20).max(1),
        Some(_) => 10 * tally.fail >= 9 * count,
    };
    if options.json {
        let slowed =
            delay.map(|delay| serde_json::json!({"delay_ns": delay.ns, "ratio": delay.ratio, "pairs": delay.pairs}));
        let simulated_pass = simulated.map(|(_, pass)| 100.0 * pass);
        print(
            &serde_json::json!({
                "version": 1, "scenario": subject.scenario.name, "canaries": count, "fail": tally.fail, "pass": tally.pass,
                "undecided": tally.undecided, "pairs_mean": tally.pairs as f64 / f64::from(count.max(1)),
                "simulated_pass_percent": simulated_pass.filter(|_| delay.is_none()), "slower": slowed,
            })
            .to_string(),
        )?;
    } else {
        let mean = tally.pairs as f64 / f64::from(count.max(1));
        let mut text = format!(
            "{count} canaries of {}: {} FAIL ({:.0} %), {} PASS ({:.0} %), {} UNDECIDED, {mean:.0} pairs on average",
            subject.scenario.name,
            tally.fail,
            percent(tally.fail),
            tally.pass,
            percent(tally.pass),
            tally.undecided
        );
        match (delay, simulated) {
            (Some(delay), _) => text.push_str(&format!("\n  slowed     {}", delay.words())),
            (None, Some((_, pass))) => text.push_str(&format!(
                "\n  simulated  PASS {:.0} % with the spread between pairs that was measured here (root mean square {spread:.3})",
                100.0 * pass
            )),
            (None, None) => text.push_str("\n  simulated  not known of so few pairs"),
        }
        print(&text)?;
    }
    Ok(if found {
        Exit::Ok
    } else if options.slower.is_some() {
        Exit::Undecided
    } else {
        Exit::Regression
    })
}

/// A delay of every message and the ratio of p99 that it makes.
struct Delay {
    ns: u64,
    ratio: Interval,
    pairs: usize,
    /// Share of a CPU that the delay alone uses.
    cpu: f64,
}

impl Delay {
    fn words(&self) -> String {
        let Interval { estimate, low, high } = self.ratio;
        format!(
            "{} ns a message make p99 {estimate:.3} times the base's ({low:.3} to {high:.3}) in {} unjudged pairs; the delay \
             uses {:.0} % of a CPU",
            self.ns,
            self.pairs,
            100.0 * self.cpu
        )
    }
}

/// One unjudged run: p99 in nanoseconds, or none.
fn unjudged(
    problem: &mut Problem,
    docket: &Docket,
    arms: [&rtt_measure::Point; 2],
    id: &str,
    arm: usize,
    seed: u64,
) -> Result<Option<f64>, Stop> {
    let request = MeasureRequest {
        measure: arms[arm].clone(),
        share: docket.plan.share,
        id: Some(id.into()),
        scenario: Some(docket.subjects[0].scenario.name.clone()),
        seed: Some(seed),
        faults: None,
        arm: Some([Arm::Base, Arm::Candidate][arm]),
        pair: None,
        slot: None,
    };
    let answer = problem.measure(&request)?;
    Ok(answer.p99.filter(|_| answer.verdict.is_none_or(|verdict| verdict == Verdict::Settled)))
}

/// Log ratios of so many unjudged pairs with the candidate delayed by `ns`, order by a coin.
fn ratios(
    options: &JudgeArguments,
    docket: &Docket,
    arms: &Arms,
    ns: u64,
    draw: &mut SplitMix64,
) -> Result<(Vec<f64>, f64), Stop> {
    let mut sides = arms.sides.clone();
    sides[1].arguments.push(format!("--delay-ns={ns}"));
    let mut met = meet(options, &sides)?;
    let hello = met.problem.hello().clone();
    let here = hello.fingerprint.as_ref().ok_or_else(|| Stop::new(Exit::Unfit, "the lab names no machine"))?;
    let chosen = sides[1].knobs.choose(&options.root, here, crate::judge::now_unix_s())?;
    let point = match (chosen.knobs, &hello.default) {
        (Some(knobs), _) => point_of(&knobs),
        (None, Some(default)) => default.clone(),
        (None, None) => return Err(Stop::new(Exit::Unexpected, "the lab names no default knobs")),
    };
    let (mut found, mut base) = (Vec::new(), Vec::new());
    for pair in 0..STEP_PAIRS {
        let seed = draw.next_u64() >> 11;
        let mut p99 = [None; 2];
        let first = usize::from(draw.coin());
        for arm in [first, 1 - first] {
            let id = format!("calibrate/{pair}/{arm}");
            p99[arm] = unjudged(&mut met.problem, docket, [&point, &point], &id, arm, seed)?;
        }
        if let [Some(a), Some(b)] = p99 {
            found.push((b / a).ln());
            base.push(a);
        }
    }
    base.sort_by(f64::total_cmp);
    Ok((found, base.get(base.len() / 2).copied().unwrap_or(0.0)))
}

/// Finds the delay that makes p99 `wanted` times the base's.
///
/// # Errors
/// A stop with 12 when this host is too noisy to tell within the steps, or the delay would use too much of a CPU.
fn calibrated(options: &JudgeArguments, docket: &Docket, arms: &Arms, wanted: f64) -> Result<Delay, Stop> {
    let rate = match docket.subjects[0].scenario.workload.offered {
        rtt_scenario::Offered::RatePerS(rate) => rate as f64,
        _ => 0.0,
    };
    let mut draw = SplitMix64::new(docket.rules.seed);
    let (_, base) = ratios(options, docket, arms, 0, &mut draw)?;
    let mut ns = ((wanted - 1.0) * base).max(1.0) as u64;
    let mut kept: Vec<f64> = Vec::new();
    for step in 0..STEPS {
        let (found, _) = ratios(options, docket, arms, ns, &mut draw)?;
        kept.extend(found);
        let Some(logs) = mean_interval(&kept, 1) else { continue };
        let ratio = Interval { estimate: logs.estimate.exp(), low: logs.low.exp(), high: logs.high.exp() };
        let delay = Delay { ns, ratio, pairs: kept.len(), cpu: rate * ns as f64 / 1e9 };
        note(&format!("calibration {}: {}", step + 1, delay.words()));
        if delay.cpu > CPU_MAX {
            return Err(Stop::new(
                Exit::Undecided,
                format!("the delay would use {:.0} % of a CPU: a slower scenario is needed", 100.0 * delay.cpu),
            ));
        }
        let narrow = (ratio.high - ratio.estimate).max(ratio.estimate - ratio.low) <= WIDTH;
        let near = (ratio.estimate - wanted).abs() <= OFF;
        if narrow && near {
            return Ok(delay);
        }
        // Surely off: another delay, and what was seen under this one is of no use for it.
        if ratio.low > wanted + OFF || ratio.high < wanted - OFF || narrow {
            let gain = (ratio.estimate - 1.0).max(0.02);
            ns = ((ns as f64 * ((wanted - 1.0) / gain).clamp(0.3, 3.0)) as u64).max(1);
            kept.clear();
        }
    }
    Err(Stop::new(
        Exit::Undecided,
        format!(
            "calibration: {STEPS} steps did not bring the ratio to {wanted} within {WIDTH}: this host is too noisy"
        ),
    ))
}
