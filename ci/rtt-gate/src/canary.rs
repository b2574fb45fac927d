//! `--canary N`: the gate on trial. The candidate is compared with itself N times, each time with a wealth of its own, and
//! with `--slower` under a delay that was calibrated before, so that what the gate should say is known.
//!
//! A canary that is decided, or has had all its pairs, is finished; any other goes on. So N can be reached over days, and
//! with `+N` the numbers go on behind the finished ones, so that a night adds to what is known of the gate.

use crate::arguments::JudgeArguments;
use crate::arms::Side;
use crate::calibration::calibrated;
use crate::detectable::shares;
use crate::judge::{Arms, Docket, arms, docket, measure, open};
use crate::output::Calibrated;
use crate::screen::{note, print};
use rtt_measure::{EProcessConfig, Exit, Gate, GateVerdict, Stop};
use rtt_units::SplitMix64;
use std::fs;

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
    let count = options.canary.unwrap_or_default();
    let mut docket = docket(options)?;
    docket.subjects.truncate(1); // One question a canary: its rate is that of one scenario's processes.
    let mut arms = arms(options)?.ok_or_else(|| Stop::usage("--canary: name no run"))?;
    arms.sides[0] = Side { name: "canary base".into(), ..arms.sides[1].clone() };
    arms.digests[0] = arms.digests[1];
    let delay = options.slower.map(|ratio| calibrated(options, &docket, &arms, ratio)).transpose()?;
    if let Some(delay) = &delay {
        arms.sides[1].arguments.push(format!("--delay-ns={}", delay.delay_ns));
        note(&format!("calibrated: {}", delay.words()));
    }
    let mut tally = Tally::default();
    let mut measured = 0;
    for number in 0.. {
        if if count.more { measured == count.number } else { number == count.number } {
            break;
        }
        let (gate, is_new) = one(options, &mut docket, &arms, number)?;
        measured += u32::from(is_new);
        tally.add(&gate);
        let of = if count.more { String::new() } else { format!(" of {}", count.number) };
        note(&format!("canary {}{of}: {}", number + 1, gate.sentence));
    }
    told(options, &docket, &tally, delay.as_ref())
}

/// Canary `number`, and whether it was measured now: from its folder where it is finished.
fn one(options: &JudgeArguments, docket: &mut Docket, arms: &Arms, number: u32) -> Result<(Gate, bool), Stop> {
    docket.rules.seed = SplitMix64::new(docket.rules.seed ^ u64::from(number)).next_u64() & 0xffff_ffff;
    let mut case = open(options, docket, arms, Some(number))?;
    let path = case.comparison.folder.join("verdict.json");
    let before = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Gate>(&bytes).ok());
    let all = docket.plan.pairs_max;
    if let Some(gate) = before {
        let scenario = gate.scenarios.first();
        let pairs = scenario.map_or(0, |scenario| scenario.pairs.len() as u32);
        let decided = scenario.is_some_and(|scenario| scenario.verdict != GateVerdict::Undecided);
        if decided || pairs >= all {
            return Ok((gate, false));
        }
        docket.plan.pairs_max = all - pairs;
    }
    // Slowed ones are no false alarms, so they are not told as canaries.
    let gate = measure(&mut case, options, docket, options.slower.is_none());
    docket.plan.pairs_max = all;
    Ok((gate?, true))
}

fn told(options: &JudgeArguments, docket: &Docket, tally: &Tally, delay: Option<&Calibrated>) -> Result<Exit, Stop> {
    let count = tally.count();
    let subject = &docket.subjects[0];
    let config = EProcessConfig {
        alpha: docket.rules.alpha,
        processes: docket.rules.processes,
        tolerance: subject.tolerance(),
        // Void pairs take their share of the plan.
        pairs_max: (f64::from(docket.plan.pairs_max) * tally.ratios.len() as f64 / tally.pairs.max(1) as f64) as u32,
        seed: 1,
    };
    let simulated = shares(&tally.ratios, 0.0, &config);
    let spread =
        (tally.ratios.iter().map(|ratio| ratio * ratio).sum::<f64>() / tally.ratios.len().max(1) as f64).sqrt();
    let percent = |part: u32| 100.0 * f64::from(part) / f64::from(count.max(1));
    let found = match options.slower {
        // Where as many as four in five should pass, three in five are asked for.
        None => {
            let passed = simulated.is_none_or(|(_, pass)| pass < 0.8 || 5 * tally.pass >= 3 * count);
            tally.fail <= (count / 20).max(1) && passed
        }
        Some(_) => 10 * tally.fail >= 9 * count,
    };
    if options.json {
        let slowed = delay
            .map(|delay| serde_json::json!({"delay_ns": delay.delay_ns, "ratio": delay.ratio, "pairs": delay.pairs}));
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
