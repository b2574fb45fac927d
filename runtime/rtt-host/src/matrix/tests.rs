//! Which pairs are measured and how they are summed up. No figure is asserted.

use super::*;
use crate::{SysTopology, TopologySource, allowed_cpus, sys::tests::Tree};

#[test]
fn small_hosts_measure_all_pairs_of_allowed_cpus() {
    let topology = Tree::two_packages().read().expect("a machine");
    let all = pairs_to_measure(&topology, &topology.cpu_set());
    assert_eq!(all.len(), 28);
    assert!(all.iter().all(|(a, b, pin)| a < b && topology.relation(*a, *b) == Some(*pin)));
    let some = pairs_to_measure(&topology, &"0,4,9".parse().expect("a list"));
    assert_eq!(some, [(CpuId(0), CpuId(4), Pin::SmtSibling)]);
    assert!(pairs_to_measure(&topology, &"3".parse().expect("a list")).is_empty());
}

#[cfg(feature = "hwloc")]
#[test]
fn large_hosts_measure_eight_pairs_of_each_class() {
    let topology = crate::HwlocTopology::Synthetic("pack:2 numa:1 l3:2 core:4 pu:2".into()).read().expect("hwloc");
    let pairs = pairs_to_measure(&topology, &topology.cpu_set());
    for class in [Pin::SmtSibling, Pin::SameL3, Pin::SameNuma, Pin::OtherNuma] {
        let of_class: Vec<_> = pairs.iter().filter(|(_, _, pin)| *pin == class).collect();
        assert_eq!(of_class.len(), PAIRS_OF_CLASS, "{class:?}");
    }
    let distinct: std::collections::BTreeSet<_> = pairs.iter().map(|(a, b, _)| (*a, *b)).collect();
    assert_eq!(distinct.len(), pairs.len(), "no pair twice");
}

#[test]
fn pairs_are_spread_from_the_first_to_the_last() {
    let pairs: Vec<_> = (0..15).map(|index| (CpuId(index), CpuId(index + 1))).collect();
    for (keep, firsts) in [(8, &[0, 2, 4, 6, 8, 10, 12, 14][..]), (2, &[0, 14]), (1, &[0])] {
        let found: Vec<u32> = spread(&pairs, keep).map(|(a, _)| a.0).collect();
        assert_eq!(found, firsts);
    }
    assert_eq!(spread(&pairs, usize::MAX).collect::<Vec<_>>(), pairs);
    assert_eq!(spread(&[], 8).count(), 0);
}

#[test]
fn this_host_is_measured_or_says_why_not() {
    let topology = SysTopology::this_host().read().expect("a mounted /sys");
    let cpus: CpuSet = allowed_cpus().iter().take(3).collect();
    let matrix = latency_matrix(&topology, &cpus, 400);
    assert_eq!(matrix.pairs.len(), cpus.len() * (cpus.len() - 1) / 2);
    let mut readings = matrix.pairs.iter().filter_map(|pair| pair.reading.as_ref().ok());
    assert!(readings.all(|reading| reading.p50 > Nanos(0) && reading.p50 <= reading.p99));
    assert_eq!(matrix.to_string().lines().count(), matrix.pairs.len());
}

/// No pair is lost for a CPU that the kernel refuses: it keeps its class and says why.
#[test]
fn a_pair_that_cannot_be_measured_has_its_class_and_the_reason() {
    let here = allowed_cpus().iter().next().expect("a CPU");
    let tree = Tree::new();
    tree.write("sys/devices/system/cpu/online", &format!("{here},1023"));
    let topology = tree.read().expect("a machine");
    let matrix = latency_matrix(&topology, &topology.cpu_set(), 400);
    let [pair] = matrix.pairs.as_slice() else { panic!("{matrix}") };
    assert_eq!((pair.a, pair.b, pair.pin), (here, CpuId(1023), Pin::SameNuma));
    let reason = pair.reading.as_ref().expect_err("no test host has CPU 1023");
    assert!(reason.contains("1023") && reason.contains("refused"), "{reason}");
    assert!(matrix.to_string().contains(reason), "{matrix}");
    assert_eq!(matrix.by_class(), []);
}

#[test]
fn classes_are_summed_up_by_their_median() {
    let pair = |a: u32, pin: Pin, p50: u64| PairLatency {
        a: CpuId(a),
        b: CpuId(a + 1),
        pin,
        reading: Ok(ProbeReading { p50: Nanos(p50), p99: Nanos(p50), rounds: 8 }),
    };
    let pairs = vec![
        pair(0, Pin::OtherNuma, 500),
        pair(1, Pin::SameL3, 90),
        pair(2, Pin::SameL3, 50),
        pair(3, Pin::SameL3, 70),
    ];
    let matrix = LatencyMatrix { pairs };
    assert_eq!(matrix.by_class(), [(Pin::SameL3, Nanos(70)), (Pin::OtherNuma, Nanos(500))]);
}
