//! Round trips of one cache line between the pairs of a host's CPUs.
//!
//! All pairs where there are few CPUs, else [`PAIRS_OF_CLASS`] pairs spread over each class of the topology. On a
//! virtual machine a pair's level changes under the guest: a matrix is a picture of a moment, not of the machine.

use crate::{
    placement::pin_name,
    probe::{ProbeError, ProbeReading, one_line_probe},
    topology::{Cpu, Topology, relation_of},
};
use rtt_profile::Pin;
use rtt_units::{CpuId, CpuSet, Nanos};
use std::{collections::BTreeMap, fmt};

/// CPUs up to which all pairs are measured: 120 pairs, about a second.
const ALL_PAIRS_UP_TO: usize = 16;
/// Pairs of each class on larger hosts.
const PAIRS_OF_CLASS: usize = 8;

/// One pair that was measured, or was to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairLatency {
    /// The CPU whose thread was timed.
    pub a: CpuId,
    /// The CPU whose thread answered.
    pub b: CpuId,
    /// How they relate.
    pub pin: Pin,
    /// Its round trip, or in words why it could not be measured.
    pub reading: Result<ProbeReading, String>,
}

/// The pairs of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatencyMatrix {
    /// The pairs, by `a` and `b`, with `a` below `b`.
    pub pairs: Vec<PairLatency>,
}

impl LatencyMatrix {
    /// Median of the medians of each class that was measured, nearest class first.
    pub fn by_class(&self) -> Vec<(Pin, Nanos)> {
        let mut classes = BTreeMap::<Pin, Vec<Nanos>>::new();
        for pair in &self.pairs {
            if let Ok(reading) = &pair.reading {
                classes.entry(pair.pin).or_default().push(reading.p50);
            }
        }
        let median = |mut values: Vec<Nanos>| {
            values.sort_unstable();
            values[values.len() / 2]
        };
        classes.into_iter().map(|(pin, values)| (pin, median(values))).collect()
    }
}

impl fmt::Display for LatencyMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for PairLatency { a, b, pin, reading } in &self.pairs {
            write!(f, "{a} - {b}  {:<11}  ", pin_name(*pin))?;
            match reading {
                Ok(reading) => writeln!(f, "p50 {}  p99 {}", reading.p50, reading.p99)?,
                Err(reason) => writeln!(f, "{reason}")?,
            }
        }
        Ok(())
    }
}

/// Measures pairs among the `allowed` CPUs of `topology`, each with `rounds` round trips.
///
/// One CPU gives an empty matrix. A pair that cannot be measured is listed with its reason.
pub fn latency_matrix(topology: &Topology, allowed: &CpuSet, rounds: u32) -> LatencyMatrix {
    let pairs = pairs_to_measure(topology, allowed).into_iter().map(|(a, b, pin)| {
        let reading = one_line_probe(a, b, rounds).map_err(|error| in_words(&error));
        PairLatency { a, b, pin, reading }
    });
    LatencyMatrix { pairs: pairs.collect() }
}

fn in_words(error: &ProbeError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The pairs, by number, `a` below `b`.
fn pairs_to_measure(topology: &Topology, allowed: &CpuSet) -> Vec<(CpuId, CpuId, Pin)> {
    let cpus: Vec<&Cpu> = topology.cpus.iter().filter(|cpu| allowed.contains(cpu.id)).collect();
    let mut classes = BTreeMap::<Pin, Vec<(CpuId, CpuId)>>::new();
    for (index, a) in cpus.iter().enumerate() {
        for b in &cpus[index + 1..] {
            classes.entry(relation_of(a, b)).or_default().push((a.id, b.id));
        }
    }
    let keep = if cpus.len() <= ALL_PAIRS_UP_TO { usize::MAX } else { PAIRS_OF_CLASS };
    let mut chosen: Vec<_> =
        classes.into_iter().flat_map(|(pin, pairs)| spread(&pairs, keep).map(move |(a, b)| (a, b, pin))).collect();
    chosen.sort_by_key(|(a, b, _)| (*a, *b));
    chosen
}

/// At most `keep` of `pairs`, evenly spread from the first to the last.
fn spread(pairs: &[(CpuId, CpuId)], keep: usize) -> impl Iterator<Item = (CpuId, CpuId)> + use<> {
    let count = keep.min(pairs.len());
    let last = pairs.len().saturating_sub(1);
    let indices = (0..count).map(|step| if count > 1 { step * last / (count - 1) } else { 0 });
    indices.map(|index| pairs[index]).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests;
