//! Placement and pin classes on a tree, on drawn machines and on this host.

use super::*;
use crate::{
    SysTopology, TopologySource,
    sys::tests::Tree,
    topology::{Cache, CacheKind, Node, Parts},
};
use proptest::prelude::*;
use rtt_units::{Bytes, NumaNode};

fn set(text: &str) -> CpuSet {
    text.parse().expect(text)
}

fn two_packages() -> Topology {
    Tree::two_packages().read().expect("a machine")
}

/// `place` on the tree of two packages: `producer consumer`, or the error's words.
fn check(topology: &Topology, pin: Pin, allowed: &str, rings: usize, expected: &str) {
    let found = match topology.place(pin, &set(allowed), rings) {
        Ok(placement) => format!("{} {}", placement.producer, placement.consumer),
        Err(error) => error.to_string(),
    };
    assert!(found.contains(expected) && (found == expected || expected.len() > 9), "{pin:?} in {allowed}: {found}");
}

#[test]
fn pinned_ends_have_their_class_and_leave_cpu_0_alone() {
    let topology = two_packages();
    check(&topology, Pin::Unpinned, "0-7", 1, "0-7 0-7");
    check(&topology, Pin::SameCpu, "0-7", 1, "1 1");
    check(&topology, Pin::SmtSibling, "0-7", 1, "5 1");
    check(&topology, Pin::SameL3, "0-7", 1, "4 1");
    check(&topology, Pin::OtherNuma, "0-7", 1, "2 1");
    check(&topology, Pin::SmtSibling, "0,4", 1, "0 4");
    check(&topology, Pin::SameCpu, "0", 1, "0 0");
}

#[test]
fn several_rings_have_producers_on_cores_of_their_own_first() {
    let topology = two_packages();
    check(&topology, Pin::OtherNuma, "0-7", 2, "2-3 1");
    check(&topology, Pin::OtherNuma, "0-7", 9, "2-3,6-7 1");
    check(&topology, Pin::SmtSibling, "0-7", 4, "5 1");
    check(&topology, Pin::SameCpu, "0-7", 4, "1 1");
    let placement = topology.place(Pin::OtherNuma, &set("0-7"), 2).expect("a placement");
    let turns: Vec<String> = (0..3).map(|ring| placement.producer_of(ring).to_string()).collect();
    assert_eq!(turns, ["2", "3", "2"]);
    let unpinned = topology.place(Pin::Unpinned, &set("1-2"), 2).expect("a placement");
    assert_eq!(unpinned.producer_of(1), set("1-2"));
}

#[test]
fn isolated_cpus_are_for_pinned_ends_and_not_for_unpinned_ones() {
    let tree = Tree::two_packages();
    tree.write("sys/devices/system/cpu/isolated", "3,6-7");
    let topology = tree.read().expect("a machine");
    assert_eq!(topology.isolated(), set("3,6-7"));
    check(&topology, Pin::SameCpu, "0-7", 1, "3 3");
    check(&topology, Pin::SmtSibling, "0-7", 1, "7 3");
    check(&topology, Pin::SameL3, "0-7", 1, "6 3");
    check(&topology, Pin::OtherNuma, "0-7", 1, "1 3");
    check(&topology, Pin::Unpinned, "0-7", 1, "0-2,4-5 0-2,4-5");
    check(&topology, Pin::Unpinned, "6-7", 1, "6-7 6-7");
}

#[test]
fn a_class_that_is_not_there_is_refused_with_the_reason() {
    let topology = two_packages();
    check(&topology, Pin::SameNuma, "0-7", 1, "same_numa: all cores of a NUMA node share its last-level cache");
    check(&topology, Pin::OtherNuma, "0-1", 1, "allowed CPUs `0-1` hold no such pair");
    check(&topology, Pin::SmtSibling, "0-3", 1, "allowed CPUs `0-3` hold no such pair");
    check(&topology, Pin::Unpinned, "8-9", 1, "none of the allowed CPUs `8-9` is online");
    check(&topology, Pin::SameCpu, "", 1, "none of the allowed CPUs `` is online");
}

#[test]
fn classes_are_either_there_or_explained() {
    let topology = two_packages();
    for (allowed, classes) in [
        ("0-7", &[Pin::Unpinned, Pin::SameCpu, Pin::SmtSibling, Pin::SameL3, Pin::OtherNuma][..]),
        ("0,4", &[Pin::Unpinned, Pin::SameCpu, Pin::SmtSibling]),
        ("5", &[Pin::Unpinned, Pin::SameCpu]),
        ("8", &[]),
    ] {
        assert_eq!(topology.pin_classes(&set(allowed)), classes, "{allowed}");
        let absent = topology.absent_classes(&set(allowed));
        let unpinned = usize::from(!classes.is_empty());
        assert_eq!(absent.len() + classes.len() - unpinned, PINNED.len(), "{allowed}: {absent:?}");
        assert!(absent.iter().all(|(pin, reason)| !classes.contains(pin) && !reason.is_empty()));
    }
}

#[test]
fn a_host_with_one_cpu_has_one_pinned_class() {
    let parts = Parts { origin: "test".into(), online: set("0"), ..Parts::default() };
    let topology = Topology::from_parts(parts).expect("a machine");
    assert_eq!(topology.pin_classes(&set("0")), [Pin::Unpinned, Pin::SameCpu]);
    let reasons: Vec<String> = topology.absent_classes(&set("0")).into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons[1], "there is one core");
}

#[test]
fn names_are_those_of_the_documents() {
    for pin in PINNED.into_iter().chain([Pin::Unpinned]) {
        assert_eq!(serde_json::to_value(pin).expect("JSON"), pin_name(pin));
    }
}

#[test]
fn this_host_has_a_placement_for_each_of_its_classes() {
    let topology = SysTopology::this_host().read().expect("a mounted /sys");
    let allowed = crate::allowed_cpus();
    for pin in topology.pin_classes(&allowed) {
        assert!(topology.place(pin, &allowed, 2).is_ok(), "{}", pin_name(pin));
    }
}

/// A machine of `packages` x `clusters` x `cores` x `threads`, with isolated CPUs drawn.
fn machine(packages: u32, clusters: u32, cores: u32, threads: u32, isolated: u64) -> Topology {
    let count = packages * clusters * cores * threads;
    let runs = |length: u32| -> Vec<CpuSet> {
        (0..count / length).map(|run| (run * length..(run + 1) * length).map(CpuId).collect()).collect()
    };
    let cache = |cpus| Cache { level: 3, kind: CacheKind::Unified, size: Bytes(1 << 20), cpus };
    let packages = runs(clusters * cores * threads);
    let node = |(id, cpus): (usize, &CpuSet)| Node {
        id: NumaNode(id as u32),
        cpus: cpus.clone(),
        memory: Bytes(0),
        distances: Vec::new(),
    };
    let parts = Parts {
        origin: "drawn".into(),
        online: (0..count).map(CpuId).collect(),
        isolated: (0..count.min(64)).filter(|cpu| isolated >> cpu & 1 == 1).map(CpuId).collect(),
        cores: runs(threads),
        nodes: packages.iter().enumerate().map(node).collect(),
        packages,
        caches: runs(cores * threads).into_iter().map(cache).collect(),
        ..Parts::default()
    };
    Topology::from_parts(parts).expect("a drawn machine")
}

proptest! {
    /// HOST-2: inside what is allowed, of the class asked for, and refused only where no pair of the class exists.
    #[test]
    fn host_2_placements_keep_to_the_allowed_cpus_and_the_class(
        shape in (1_u32..3, 1_u32..3, 1_u32..4, 1_u32..3),
        isolated in any::<u64>(),
        allowed in any::<u64>(),
        rings in 0_usize..6,
    ) {
        let topology = machine(shape.0, shape.1, shape.2, shape.3, isolated);
        let allowed: CpuSet = (0..64).filter(|cpu| allowed >> cpu & 1 == 1).map(CpuId).collect();
        let online = topology.cpu_set().intersection(&allowed);
        for pin in PINNED.into_iter().chain([Pin::Unpinned]) {
            let related = |a: CpuId, b: CpuId| topology.relation(a, b) == Some(pin);
            let exists = match pin {
                Pin::Unpinned => !online.is_empty(),
                _ => online.iter().any(|a| online.iter().any(|b| related(a, b))),
            };
            let placement = topology.place(pin, &allowed, rings);
            prop_assert_eq!(placement.is_ok(), exists, "{:?} {:?}", pin, placement);
            prop_assert_eq!(topology.pin_classes(&allowed).contains(&pin), exists);
            let Ok(placement) = placement else { continue };
            prop_assert_eq!(&topology.place(pin, &allowed, rings), &Ok(placement.clone()));
            for cpu in placement.producer.iter().chain(placement.consumer.iter()) {
                prop_assert!(online.contains(cpu));
            }
            if pin != Pin::Unpinned {
                prop_assert_eq!(placement.consumer.len(), 1);
                prop_assert!((1..=rings.max(1)).contains(&placement.producer.len()));
                let consumer = placement.consumer.iter().next().expect("one CPU");
                prop_assert!(placement.producer.iter().all(|producer| related(consumer, producer)));
            }
        }
    }
}

#[cfg(feature = "hwloc")]
#[test]
fn big_machines_have_all_classes() {
    let topology = crate::HwlocTopology::Synthetic("pack:2 numa:1 l3:2 core:4 pu:2".into()).read().expect("hwloc");
    let all = topology.cpu_set();
    assert_eq!(topology.pin_classes(&all).len(), 6);
    assert!(topology.absent_classes(&all).is_empty());
    check(&topology, Pin::SameNuma, "0-31", 1, "8 1");
    check(&topology, Pin::OtherNuma, "0-31", 3, "16,18,20 1");
}
