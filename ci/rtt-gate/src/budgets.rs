//! What a scenario promises against what the candidate came to.
//!
//! What a latency is measured by is the rule of `rtt_scenario::LatencyBudget`, which the history's trend follows too. A
//! budget is broken when the whole 95 % interval over runs lies beyond it.

use crate::comparison::Log;
use crate::document::lost_ppm;
use rtt_measure::{Arm, GateBudget, Interval, Quantiles, TrialRecord, Verdict, geometric_mean_interval, mean_interval};
use rtt_scenario::{Objective, limit_of_run_ns};

/// A quantile by its name in the objectives.
fn quantile(found: &Quantiles, name: &str) -> u64 {
    match name {
        "p50" => found.p50,
        "p95" => found.p95,
        "p99" => found.p99,
        _ => found.p999,
    }
}

fn at_most(name: &str, unit: &str, found: Option<Interval>, budget: f64) -> Option<GateBudget> {
    let found = found?;
    Some(GateBudget {
        name: name.into(),
        unit: unit.into(),
        found,
        base: None,
        budget,
        at_least: false,
        broken: found.low > budget,
        decides: false,
    })
}

/// The budgets of `objective` beside what candidate and base came to in `scenario`; those without two runs of the candidate
/// are left out. `decide` says whether a broken one is a verdict.
pub fn budgets(objective: &Objective, scenario: &str, logs: &[Log], decide: bool) -> Vec<GateBudget> {
    let base = of_arm(objective, scenario, logs, Arm::Base);
    let mut found = of_arm(objective, scenario, logs, Arm::Candidate);
    for budget in &mut found {
        budget.base = base.iter().find(|other| other.name == budget.name).map(|other| other.found);
        budget.decides = decide;
    }
    found
}

fn of_arm(objective: &Objective, scenario: &str, logs: &[Log], arm: Arm) -> Vec<GateBudget> {
    let runs: Vec<(&Log, &TrialRecord)> = logs
        .iter()
        .flat_map(|log| log.trials.iter().map(move |trial| (log, trial)))
        .filter(|(_, trial)| trial.arm == arm && trial.scenario.name == scenario)
        .collect();
    let settled: Vec<(&Log, &TrialRecord)> =
        runs.iter().copied().filter(|(_, trial)| trial.verdict == Verdict::Settled).collect();
    let mut found = latencies(objective, &settled, logs);
    let mean = |runs: &[(&Log, &TrialRecord)], value: &dyn Fn(&TrialRecord) -> Option<f64>| {
        let values: Vec<f64> = runs.iter().filter_map(|(_, trial)| value(trial)).collect();
        mean_interval(&values, 1)
    };
    found.extend(at_most("loss", "ppm", mean(&runs, &|trial| Some(lost_ppm(trial) as f64)), objective.loss_ppm.into()));
    if let Some(budget) = objective.cpu_millicores {
        let used = mean(&settled, &|trial| Some(trial.cpu_millicores as f64));
        found.extend(at_most("cpu", "millicores", used, budget.into()));
    }
    if let Some(budget) = objective.depth_bytes_max {
        let depth = mean(&settled, &|trial| Some(trial.depth_bytes_max as f64));
        found.extend(at_most("depth", "bytes", depth, budget as f64));
    }
    if let Some(budget) = objective.throughput_permille_of_offered_min {
        let share = |trial: &TrialRecord| Some(1000.0 * trial.achieved_per_s as f64 / trial.offered_per_s? as f64);
        found.extend(mean(&settled, &share).map(|found| GateBudget {
            name: "throughput".into(),
            unit: "permille of offered".into(),
            found,
            base: None,
            budget: budget.into(),
            at_least: true,
            broken: found.high < f64::from(budget),
            decides: false,
        }));
    }
    found
}

fn latencies(objective: &Objective, settled: &[(&Log, &TrialRecord)], logs: &[Log]) -> Vec<GateBudget> {
    let machine = logs.last().map(|log| log.run.fingerprint.machine.id().to_string()).unwrap_or_default();
    let rows = objective.latency_budgets(&machine).into_iter().filter_map(|(name, budget)| {
        let found = |(log, trial): &(&Log, &TrialRecord)| {
            let around_ns = trial.regime.map(|probe| [probe.before_ns, probe.after_ns]);
            let limit_ns = limit_of_run_ns(around_ns, log.run.limits.line_round_trip_ns_p50);
            budget.found(quantile(trial.quantiles.as_ref()?, name), limit_ns)
        };
        let values: Vec<f64> = settled.iter().filter_map(found).collect();
        at_most(name, budget.unit(), geometric_mean_interval(&values, 1), budget.at_most())
    });
    rows.collect()
}
