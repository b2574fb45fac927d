//! Regimes: the levels between which a pair of CPUs switches, found in its probe readings.
//!
//! The readings' logarithms are taken for a mixture of one to four normal distributions, fitted by expectation
//! maximisation from an optimal split and chosen by the Bayesian information criterion; parts between which the
//! density has no valley are one regime. There is no threshold in nanoseconds: each make of machine has other levels.
//!
//! REGIME-1  Regimes are ordered and do not overlap: a slower reading is never in a faster regime.
//!
//! REGIME-2  Readings of different pairs of CPUs are never compared: each pair has regimes of its own.
//!
//! Pure: equal readings in any order give equal regimes. Sources: Schwarz 1978, doi:10.1214/aos/1176344136;
//! Wang and Song 2011, doi:10.32614/RJ-2011-015 (the optimal split in one dimension).

use crate::RegimeProbe;
use rtt_units::Nanos;
use std::collections::BTreeMap;
use std::fmt;

/// Regimes looked for at most.
const REGIMES_MAX: usize = 4;
/// Readings that a regime has at least: one alone may be anything.
const MEMBERS_MIN: f64 = 2.0;
/// By how much the criterion has to fall for one more part: very strong evidence, on the scale of Kass and Raftery
/// 1995, doi:10.1080/01621459.1995.10476572. Readings are not quite normal, and a mixture fits any skew.
const EVIDENCE: f64 = 10.0;
/// Readings used for the fit at most; of more, evenly spaced order statistics stand for all.
const FIT_MAX: usize = 1000;
/// Steps of expectation maximisation: the split it starts from is near.
const STEPS: usize = 200;
/// What the density falls to in a valley, as a share of the lower of the two tops beside it. A share has no unit, so
/// that it suits all makes of machines; shallower dips are what a fit makes of noise.
const VALLEY_DEPTH: f64 = 0.5;
/// Places looked at between two levels for a valley.
const VALLEY_STEPS: usize = 64;

/// One regime.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Geometric middle of its readings, in nanoseconds.
    pub center_ns: u64,
    /// Largest reading, in nanoseconds, that counts as this regime; `u64::MAX` for the slowest.
    pub upper_ns: u64,
    /// Share of the readings, 0 to 1.
    pub share: f64,
}

/// The regimes found in a set of readings, fastest first; at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Regimes {
    levels: Vec<Level>,
}

impl Regimes {
    /// The regimes, fastest first.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Which regime a reading of `ns` nanoseconds belongs to, counted from 0, the fastest.
    pub fn of(&self, ns: u64) -> usize {
        // REGIME-1: bounds rise, so the answer never falls with `ns`; the last bound holds all.
        self.levels.iter().position(|level| ns <= level.upper_ns).unwrap_or(self.levels.len() - 1)
    }
}

/// The regime that a trial ran in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Regime {
    /// Both probes lie in the regime around this many nanoseconds.
    Level(u64),
    /// The probes before and after it lie in different regimes.
    Mixed,
}

impl fmt::Display for Regime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Regime::Level(center_ns) => Nanos(*center_ns).fmt(f),
            Regime::Mixed => f.write_str("mixed"),
        }
    }
}

/// The regimes of every pair of CPUs that was probed in a set of trials.
#[derive(Clone, Debug, Default)]
pub struct PairRegimes(BTreeMap<[u32; 2], Regimes>);

impl PairRegimes {
    /// Finds the regimes in the probes of trials, in any order.
    pub fn find(probes: impl IntoIterator<Item = RegimeProbe>) -> PairRegimes {
        let mut readings: BTreeMap<[u32; 2], Vec<u64>> = BTreeMap::new();
        for RegimeProbe { cpus, before_ns, after_ns } in probes {
            readings.entry(cpus).or_default().extend([before_ns, after_ns]); // REGIME-2
        }
        PairRegimes(readings.into_iter().map(|(cpus, readings)| (cpus, clusters(&readings))).collect())
    }

    /// The regime of a trial with this probe, which was among those that were looked at.
    pub fn of(&self, probe: &RegimeProbe) -> Regime {
        let Some(regimes) = self.0.get(&probe.cpus) else { return Regime::Level(probe.before_ns) };
        match (regimes.of(probe.before_ns), regimes.of(probe.after_ns)) {
            (before, after) if before == after => Regime::Level(regimes.levels()[before].center_ns),
            _ => Regime::Mixed,
        }
    }

    /// The regime that two runs met, or how they differ, under the names that they go by.
    pub fn of_both(&self, names: [&str; 2], probes: [RegimeProbe; 2]) -> String {
        let [one, other] = probes.map(|probe| self.of(&probe));
        match (one, other) {
            (Regime::Mixed, _) | (_, Regime::Mixed) => Regime::Mixed.to_string(),
            (one, other) if one == other => one.to_string(),
            // The host or where they ran moved them apart: told as what it is.
            (one, other) => format!("{} in {one}, {} in {other}", names[0], names[1]),
        }
    }

    /// Every pair of CPUs with its regimes.
    pub fn iter(&self) -> impl Iterator<Item = ([u32; 2], &Regimes)> {
        self.0.iter().map(|(cpus, regimes)| (*cpus, regimes))
    }
}

/// Finds the regimes in probe readings, in nanoseconds. Without readings there is one regime, which holds all.
pub fn clusters(readings_ns: &[u64]) -> Regimes {
    let mut sorted = readings_ns.to_vec();
    sorted.sort_unstable();
    let logs: Vec<f64> = thinned(&sorted).iter().map(|ns| (*ns).max(1) as f64).map(f64::ln).collect();
    let best = (1..=REGIMES_MAX.min(logs.len() / MEMBERS_MIN as usize).max(1))
        .filter_map(|parts| Mixture::fit(&logs, parts))
        .min_by(|a, b| a.criterion.total_cmp(&b.criterion));
    let bounds = best.map(|mixture| mixture.valleys()).unwrap_or_default();
    let mut uppers: Vec<u64> = bounds.into_iter().map(|log| log.exp() as u64).collect();
    uppers.push(u64::MAX);
    uppers.dedup();
    Regimes { levels: levels(&sorted, &uppers) }
}

/// At most [`FIT_MAX`] of the sorted readings, evenly spaced.
fn thinned(sorted: &[u64]) -> Vec<u64> {
    if sorted.len() <= FIT_MAX {
        return sorted.to_vec();
    }
    (0..FIT_MAX).map(|step| sorted[step * (sorted.len() - 1) / (FIT_MAX - 1)]).collect()
}

/// The regimes below each of `uppers` that have readings; a bound without readings below it joins the next.
fn levels(sorted: &[u64], uppers: &[u64]) -> Vec<Level> {
    let mut levels = Vec::new();
    let mut from = 0;
    for (index, upper) in uppers.iter().enumerate() {
        let to = sorted.partition_point(|ns| ns <= upper);
        let members = &sorted[from..to];
        if members.is_empty() && index + 1 < uppers.len() {
            continue;
        }
        let sum: f64 = members.iter().map(|ns| (*ns).max(1) as f64).map(f64::ln).sum();
        let center_ns = if members.is_empty() { 0 } else { (sum / members.len() as f64).exp().round() as u64 };
        let share = if sorted.is_empty() { 1.0 } else { members.len() as f64 / sorted.len() as f64 };
        levels.push(Level { center_ns, upper_ns: *upper, share });
        from = to;
    }
    // The slowest bound is endless; where no reading lies above the bound before it, that one is.
    if levels.len() > 1 && levels.last().is_some_and(|level| level.share == 0.0) {
        levels.pop();
        levels.iter_mut().last().expect("more than one").upper_ns = u64::MAX;
    }
    levels
}

/// Normal distributions of logarithms, by rising mean.
#[derive(Debug)]
struct Mixture {
    parts: Vec<Part>,
    /// Bayesian information criterion: less is better.
    criterion: f64,
}

#[derive(Clone, Debug)]
struct Part {
    share: f64,
    mean: f64,
    variance: f64,
}

impl Part {
    fn density(&self, x: f64) -> f64 {
        let distance = x - self.mean;
        self.share * (-distance * distance / (2.0 * self.variance)).exp()
            / (2.0 * std::f64::consts::PI * self.variance).sqrt()
    }
}

impl Mixture {
    /// Fits `count` parts to sorted logarithms; `None` where a part ends with too few members.
    fn fit(logs: &[f64], count: usize) -> Option<Mixture> {
        let starts = split(logs, count)?;
        let ends = starts.iter().skip(1).copied().chain([logs.len()]);
        let mut parts: Vec<Part> =
            starts.iter().zip(ends).map(|(from, to)| part_of(&logs[*from..to], logs.len())).collect();
        let mut likelihood = f64::NEG_INFINITY;
        for _ in 0..STEPS {
            let (next, reached) = step(logs, &parts);
            parts = next;
            if reached - likelihood < 1e-9 * reached.abs().max(1.0) {
                break;
            }
            likelihood = reached;
        }
        let few = |part: &Part| part.share * (logs.len() as f64) < MEMBERS_MIN - 0.5;
        if parts.iter().any(few) || logs.is_empty() {
            return None;
        }
        parts.sort_by(|a, b| a.mean.total_cmp(&b.mean));
        let (_, likelihood) = step(logs, &parts);
        let parameters = (3 * count - 1) as f64;
        let criterion = parameters * (logs.len() as f64).ln() - 2.0 * likelihood + EVIDENCE * (count - 1) as f64;
        Some(Mixture { parts, criterion })
    }

    /// Where the density is least between neighbours that it separates.
    fn valleys(&self) -> Vec<f64> {
        let density = |x: f64| self.parts.iter().map(|part| part.density(x)).sum::<f64>();
        let mut bounds = Vec::new();
        // The highest place since the last valley: a part on another's slope is no regime of its own.
        let mut left = self.parts[0].mean;
        for pair in self.parts.windows(2) {
            let right = pair[1].mean;
            let between = (1..VALLEY_STEPS).map(|step| left + (right - left) * step as f64 / VALLEY_STEPS as f64);
            let lowest = between.min_by(|a, b| density(*a).total_cmp(&density(*b))).expect("there are steps");
            if density(lowest) < VALLEY_DEPTH * density(left).min(density(right)) {
                bounds.push(lowest);
                left = right;
            } else if density(right) > density(left) {
                left = right;
            }
        }
        bounds
    }
}

/// Least variance of a part: readings are whole nanoseconds, so that equal ones may differ by half of one.
fn variance_floor(mean: f64) -> f64 {
    let unit = 1.0 / mean.exp();
    unit * unit / 12.0 + 1e-8
}

fn part_of(logs: &[f64], total: usize) -> Part {
    let count = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / count;
    let variance = logs.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
    Part { share: count / total as f64, mean, variance: variance + variance_floor(mean) }
}

/// One step of expectation maximisation, and the log likelihood before it.
fn step(logs: &[f64], parts: &[Part]) -> (Vec<Part>, f64) {
    let mut likelihood = 0.0;
    let mut sums = vec![(0.0, 0.0, 0.0); parts.len()];
    for x in logs {
        let densities: Vec<f64> = parts.iter().map(|part| part.density(*x)).collect();
        // A reading far from every part has density 0 in floating point; it counts for none.
        let total = densities.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        likelihood += total.ln();
        for ((weight, first, second), density) in sums.iter_mut().zip(&densities) {
            let share = density / total;
            *weight += share;
            *first += share * x;
            *second += share * x * x;
        }
    }
    let next = parts.iter().zip(&sums).map(|(part, (weight, first, second))| {
        if *weight <= f64::MIN_POSITIVE {
            return Part { share: 0.0, ..part.clone() };
        }
        let mean = first / weight;
        let variance = (second / weight - mean * mean).max(0.0) + variance_floor(mean);
        Part { share: weight / logs.len() as f64, mean, variance }
    });
    (next.collect(), likelihood)
}

/// Where the parts of the split with least squares start: dynamic programming over all splits of the sorted values.
fn split(logs: &[f64], count: usize) -> Option<Vec<usize>> {
    let n = logs.len();
    if count == 0 || n < count {
        return None;
    }
    let mut sums = vec![(0.0, 0.0)];
    for x in logs {
        let (first, second) = sums[sums.len() - 1];
        sums.push((first + x, second + x * x));
    }
    let cost = |from: usize, to: usize| {
        let (first, second) = (sums[to].0 - sums[from].0, sums[to].1 - sums[from].1);
        (second - first * first / (to - from) as f64).max(0.0)
    };
    // least[k][to]: least squares of the first `to` values in k + 1 parts, and where the last of them starts.
    let mut least: Vec<Vec<(f64, usize)>> =
        vec![(0..=n).map(|to| (if to > 0 { cost(0, to) } else { 0.0 }, 0)).collect()];
    for parts in 1..count {
        let row = (0..=n).map(|to| {
            let starts = (parts..to).map(|from| (least[parts - 1][from].0 + cost(from, to), from));
            starts.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::INFINITY, parts))
        });
        let row = row.collect();
        least.push(row);
    }
    let mut starts = vec![0; count];
    let mut to = n;
    for parts in (1..count).rev() {
        starts[parts] = least[parts][to].1;
        to = starts[parts];
    }
    Some(starts)
}

#[cfg(test)]
mod tests;
