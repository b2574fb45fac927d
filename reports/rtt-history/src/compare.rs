//! Two runs side by side: each arm under each scenario and condition, and how the hosts differed.
//!
//! HISTORY-3  A side's quantiles are those of its settled trials' merged histograms.
//! HISTORY-4  Runs of unlike machines are refused with the list of differences, unless that was asked for.
//! Figures are also given inside each regime of the pair of CPUs, since a machine that changed its levels between the
//! runs would look like a change of the program. What is compared is one set of knobs with one: the points of a search
//! are not an arm.

use crate::{
    Cell, Comparison, FieldPair, FigurePair, Pair, Pool, ReadRunError, RegimePair, Run, RunHead, Side, Trial, Unit,
    arm_name, ratio_interval, verdict_name,
};
use hdrhistogram::Histogram;
use rtt_measure::{Arm, PairRegimes, Quantiles, Regime, RegimeProbe, Verdict};
use rtt_profile::{Difference, KNOB_NAMES, Knobs};
use std::collections::{BTreeMap, BTreeSet};

/// The quantile whose ratio is given.
const P99: f64 = 0.99;

/// Why two runs are not compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// They ran on unlike machines.
    #[error("run {a} and run {b} are of unlike machines ({machine_a} and {machine_b}), so a ratio would compare the machines; give --any-host to see it all the same\n{}", list(.differences))]
    UnlikeMachines {
        /// The first run.
        a: String,
        /// The second run.
        b: String,
        /// Id of the first's machine.
        machine_a: String,
        /// Id of the second's machine.
        machine_b: String,
        /// In what they differ.
        differences: Vec<Difference>,
    },
    /// A histogram is none.
    #[error(transparent)]
    Run(#[from] ReadRunError),
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(|difference| format!("  {difference}")).collect::<Vec<_>>().join("\n")
}

type GroupKey<'a> = (&'a str, bool, Arm);
/// A histogram and the regime it was measured in, where one is known.
type InRegime = (Option<CpusAndLevel>, Histogram<u64>);
/// A pair of CPUs, and the middle of one of its regimes in nanoseconds.
type CpusAndLevel = ([u32; 2], u64);
type Groups<'a> = BTreeMap<GroupKey<'a>, Vec<&'a Trial>>;

/// Compares `b` with the baseline `a`.
///
/// # Errors
/// [`CompareError::UnlikeMachines`] unless `any_host`; [`CompareError::Run`] for a damaged histogram.
pub fn compare(a: &Run, b: &Run, any_host: bool) -> Result<Comparison, CompareError> {
    let machines = a.header.fingerprint.machine.differences(&b.header.fingerprint.machine);
    // HISTORY-4
    if !machines.is_empty() && !any_host {
        return Err(CompareError::UnlikeMachines {
            a: a.header.run.clone(),
            b: b.header.run.clone(),
            machine_a: a.header.fingerprint.machine.id().to_string(),
            machine_b: b.header.fingerprint.machine.id().to_string(),
            differences: machines,
        });
    }
    let regimes = PairRegimes::find([a, b].into_iter().flat_map(probes));
    let (left, right) = (groups(a), groups(b));
    let keys: BTreeSet<_> = left.keys().chain(right.keys()).copied().collect();
    let (mut pairs, mut not_compared) = (Vec::new(), Vec::new());
    for key in keys {
        let sides = left.get(&key).zip(right.get(&key));
        match sides.ok_or_else(|| only_in(if left.contains_key(&key) { a } else { b })).and_then(alike) {
            Ok((trials_a, trials_b)) => pairs.push(pair(key, (a, trials_a), (b, trials_b), &regimes)?),
            Err(reason) => not_compared.push(format!("{}: {reason}", in_words(key))),
        }
    }
    let regimes_ns = levels(&regimes).map(|(_, center_ns)| center_ns).collect();
    Ok(Comparison {
        version: 1,
        a: head(a),
        b: head(b),
        differences: differences(a, b, &machines),
        figures: figures(a, b),
        regimes_ns,
        pairs,
        not_compared,
    })
}

fn head(run: &Run) -> RunHead {
    let mut verdicts = BTreeMap::new();
    for trial in &run.trials {
        *verdicts.entry(verdict_name(trial.record.verdict)).or_insert(0) += 1;
    }
    RunHead {
        run: run.header.run.clone(),
        machine: run.header.fingerprint.machine.id().to_string(),
        created_unix_s: run.header.created_unix_s,
        tool: run.header.tool.clone(),
        log_tip: run.tip.to_string(),
        verdicts,
    }
}

fn groups(run: &Run) -> Groups<'_> {
    let mut groups = Groups::new();
    for trial in &run.trials {
        let record = &trial.record;
        groups.entry((&record.scenario.name, record.faults.is_some(), record.arm)).or_default().push(trial);
    }
    groups
}

fn in_words((scenario, faulted, arm): GroupKey<'_>) -> String {
    format!("{scenario}, {}, {}", if faulted { "faulted" } else { "calm" }, arm_name(arm))
}

fn only_in(run: &Run) -> String {
    format!("only in run {}", run.header.run)
}

/// The sides again when they can be compared, else why not.
fn alike<'a>(
    (a, b): (&'a Vec<&'a Trial>, &'a Vec<&'a Trial>),
) -> Result<(&'a Vec<&'a Trial>, &'a Vec<&'a Trial>), String> {
    let knobs = |trials: &[&Trial]| trials.windows(2).all(|two| two[0].record.knobs == two[1].record.knobs);
    if !knobs(a) || !knobs(b) {
        return Err("its knobs vary from trial to trial, so it is a set of points and no arm".into());
    }
    let scenarios: BTreeSet<_> = a.iter().chain(b).map(|trial| trial.record.scenario.digest).collect();
    if scenarios.len() > 1 {
        return Err("the scenario itself differs between trials (its digest), so the work is another".into());
    }
    Ok((a, b))
}

/// The probes before and after each trial of `run`.
fn probes(run: &Run) -> impl Iterator<Item = RegimeProbe> {
    run.trials.iter().filter_map(|trial| trial.record.regime)
}

fn levels(regimes: &PairRegimes) -> impl Iterator<Item = CpusAndLevel> {
    regimes.iter().flat_map(|(cpus, regimes)| regimes.levels().iter().map(move |level| (cpus, level.center_ns)))
}

/// The histograms of the settled trials, each with its regime; none for a trial that has no probe or met two.
fn histograms(run: &Run, trials: &[&Trial], regimes: &PairRegimes) -> Result<Vec<InRegime>, ReadRunError> {
    let mut found = Vec::new();
    for trial in trials.iter().filter(|trial| trial.record.verdict == Verdict::Settled) {
        let level = trial.record.regime.and_then(|probe| match regimes.of(&probe) {
            Regime::Level(center_ns) => Some((probe.cpus, center_ns)),
            Regime::Mixed => None,
        });
        if let Some(histogram) = run.histogram(trial)? {
            found.push((level, histogram));
        }
    }
    Ok(found)
}

fn pair(
    (scenario, faulted, arm): GroupKey<'_>,
    (run_a, trials_a): (&Run, &[&Trial]),
    (run_b, trials_b): (&Run, &[&Trial]),
    regimes: &PairRegimes,
) -> Result<Pair, ReadRunError> {
    let (all_a, all_b) = (histograms(run_a, trials_a, regimes)?, histograms(run_b, trials_b, regimes)?);
    let (pool_a, pool_b) = (pool(&all_a, None), pool(&all_b, None));
    let mut within = Vec::new();
    if levels(regimes).count() > 1 {
        for level in levels(regimes) {
            within.extend(regime_pair(level, &pool(&all_a, Some(level)), &pool(&all_b, Some(level))));
        }
    }
    let (a, b) = (side(trials_a, &pool_a), side(trials_b, &pool_b));
    let mut notes = notes(trials_a, trials_b);
    notes.splice(0..0, knobs_in_words(&a.knobs, &b.knobs));
    Ok(Pair {
        scenario: scenario.to_owned(),
        faulted,
        arm: arm_name(arm),
        ratio: ratio(&pool_a, &pool_b),
        interval: ratio_interval(&pool_a, &pool_b, P99),
        a,
        b,
        regimes: within,
        notes,
    })
}

fn pool(histograms: &[InRegime], regime: Option<CpusAndLevel>) -> Pool {
    let taken = histograms.iter().filter(|(found, _)| regime.is_none() || *found == regime);
    Pool::new(taken.map(|(_, histogram)| histogram))
}

/// p99 of `b` over that of `a`; a latency of 0 ns is below the clock's step and counts as 1.
fn ratio(a: &Pool, b: &Pool) -> Option<f64> {
    Some(b.quantile(P99)?.max(1) as f64 / a.quantile(P99)?.max(1) as f64)
}

fn regime_pair((cpus, center_ns): CpusAndLevel, a: &Pool, b: &Pool) -> Option<RegimePair> {
    Some(RegimePair {
        cpus,
        center_ns,
        trials_a: a.trials(),
        trials_b: b.trials(),
        p99_ns_a: a.quantile(P99)?,
        p99_ns_b: b.quantile(P99)?,
        ratio: ratio(a, b)?,
        interval: ratio_interval(a, b, P99),
    })
}

fn side(trials: &[&Trial], pool: &Pool) -> Side {
    let count = |verdict| trials.iter().filter(|trial| trial.record.verdict == verdict).count();
    let settled = count(Verdict::Settled);
    let cpu = trials.iter().filter(|trial| trial.record.verdict == Verdict::Settled).map(|t| t.record.cpu_millicores);
    let lost = trials.iter().map(|trial| trial.record.sent.saturating_sub(trial.record.handled));
    let at = |quantile| pool.quantile(quantile);
    let latency_ns = at(0.50).zip(at(0.95)).zip(at(P99)).zip(at(0.999));
    Side {
        trials: trials.len(),
        settled,
        crashed: count(Verdict::Crashed),
        latency_ns: latency_ns.map(|(((p50, p95), p99), p999)| Quantiles { p50, p95, p99, p999, n: pool.samples() }),
        cpu_millicores: (settled > 0).then(|| cpu.map(|cpu| cpu as f64).sum::<f64>() / settled as f64),
        lost: lost.fold(0, u64::saturating_add),
        knobs: trials[0].record.knobs.clone(), // A group has a trial, and `alike` saw that all have its knobs.
    }
}

fn notes(a: &[&Trial], b: &[&Trial]) -> Vec<String> {
    let plans = |trials: &[&Trial]| trials.iter().filter_map(|trial| trial.record.faults).collect::<BTreeSet<_>>();
    let shares = |trials: &[&Trial]| trials.iter().map(|trial| trial.record.share.to_bits()).collect::<BTreeSet<_>>();
    let plans = (plans(a) != plans(b)).then(|| "the fault plans differ".to_owned());
    let shares = (shares(a) != shares(b)).then(|| "the shares of a full run differ".to_owned());
    plans.into_iter().chain(shares).collect()
}

/// `knobs: batch 32 -> 8, wait futex -> spin`, or nothing.
fn knobs_in_words(a: &Knobs, b: &Knobs) -> Option<String> {
    let json = |knobs| serde_json::to_value(knobs).expect("knobs are JSON");
    let (a, b) = (json(a), json(b));
    let plain = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let changed = KNOB_NAMES.into_iter().filter(|name| a[name] != b[name]);
    let changed: Vec<_> = changed.map(|name| format!("{name} {} -> {}", plain(&a[name]), plain(&b[name]))).collect();
    (!changed.is_empty()).then(|| format!("knobs: {}", changed.join(", ")))
}

fn differences(a: &Run, b: &Run, machines: &[Difference]) -> Vec<FieldPair> {
    let (left, right) = (&a.header, &b.header);
    let conditions = left.fingerprint.conditions.differences(&right.fingerprint.conditions);
    let named = machines.iter().cloned().chain(conditions);
    let mut found: Vec<FieldPair> =
        named.map(|d| FieldPair { field: d.field.to_owned(), a: d.left, b: d.right }).collect();
    let fields = |run: &Run| {
        let endpoints = run.header.endpoints.iter().map(|(arm, e)| (format!("endpoint {arm}"), e.digest.short()));
        let placements = run.header.placements.iter().map(|(pin, cpus)| (format!("CPUs of {pin}"), cpus.join(" and ")));
        let tool = [("lab".to_owned(), run.header.tool.clone())];
        let environment = run.header.environment.iter().cloned();
        environment.chain(placements).chain(endpoints).chain(tool).collect::<BTreeMap<String, String>>()
    };
    let (left, right) = (fields(a), fields(b));
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let known: BTreeSet<String> = found.iter().map(|pair| pair.field.clone()).collect();
    for name in names.into_iter().filter(|name| !known.contains(*name) && left.get(*name) != right.get(*name)) {
        let value = |fields: &BTreeMap<String, String>| fields.get(name).cloned().unwrap_or_else(|| "absent".into());
        found.push(FieldPair { field: name.clone(), a: value(&left), b: value(&right) });
    }
    found
}

fn figures(a: &Run, b: &Run) -> Vec<FigurePair> {
    let figure = |figure, unit, value: fn(&Run) -> Option<u64>| FigurePair {
        figure,
        a: Cell::count(value(a)),
        b: Cell::count(value(b)),
        unit,
    };
    vec![
        figure("limit_line_round_trip_ns_p50", Unit::Nanos, |run| run.header.limits.line_round_trip_ns_p50),
        figure("limit_line_round_trip_ns_p99", Unit::Nanos, |run| run.header.limits.line_round_trip_ns_p99),
        figure("limit_wake_ns_p50", Unit::Nanos, |run| Some(run.header.limits.wake_ns_p50)),
        figure("limit_clock_read_ns", Unit::Nanos, |run| Some(run.header.limits.clock_read_ns)),
        figure("regime_ns_p50", Unit::Nanos, |run| {
            median(probes(run).flat_map(|probe| [probe.before_ns, probe.after_ns]).collect())
        }),
        figure("steal_us_per_s", Unit::Micros, |run| per_s(run, |trial| Some(trial.record.interference.steal_us))),
        figure("psi_cpu_us_per_s", Unit::Micros, |run| per_s(run, |trial| trial.record.interference.psi_cpu_us)),
        figure("psi_memory_us_per_s", Unit::Micros, |run| per_s(run, |trial| trial.record.interference.psi_memory_us)),
        figure("psi_io_us_per_s", Unit::Micros, |run| per_s(run, |trial| trial.record.interference.psi_io_us)),
    ]
}

/// The middle reading, the lower of two.
fn median(mut readings: Vec<u64>) -> Option<u64> {
    readings.sort_unstable();
    readings.get(readings.len().checked_sub(1)? / 2).copied()
}

/// Microseconds of `interference` in a second of trials that tell it; absent where none does.
fn per_s(run: &Run, interference: fn(&Trial) -> Option<u64>) -> Option<u64> {
    let told = run.trials.iter().filter_map(|trial| Some((interference(trial)?, trial.record.elapsed_ms)));
    let (micros, millis) = told
        .fold((0_u128, 0_u128), |(us, ms), (more_us, more_ms)| (us + u128::from(more_us), ms + u128::from(more_ms)));
    u64::try_from((micros * 1_000).checked_div(millis)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtt_units::Nanos;

    #[test]
    fn changed_knobs_are_named() {
        let a = Knobs::default_for(Nanos::from_micros(60));
        let mut b = a.clone();
        assert_eq!(knobs_in_words(&a, &b), None);
        (b.batch, b.huge_pages, b.pin) = (8, true, rtt_profile::Pin::SameL3);
        let words = knobs_in_words(&a, &b).expect("they differ");
        assert_eq!(words, "knobs: batch 32 -> 8, pin unpinned -> same_l3, huge_pages false -> true");
    }

    #[test]
    fn a_median_is_a_reading() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![7]), Some(7));
        assert_eq!(median(vec![9, 1, 5, 7]), Some(5));
    }
}
