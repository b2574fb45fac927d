//! Topologies from parts, from hwloc and from saved machines. The reader of `/sys` has its own tests.

use super::*;
use rtt_units::CpuSet;

fn set(text: &str) -> CpuSet {
    text.parse().expect(text)
}

fn parts(online: &str, cores: &[&str], packages: &[&str], nodes: &[(u32, &str)]) -> Parts {
    let node =
        |(id, cpus): &(u32, &str)| Node { id: NumaNode(*id), cpus: set(cpus), memory: Bytes(0), distances: Vec::new() };
    Parts {
        origin: "test".into(),
        online: set(online),
        cores: cores.iter().map(|text| set(text)).collect(),
        packages: packages.iter().map(|text| set(text)).collect(),
        nodes: nodes.iter().map(node).collect(),
        ..Parts::default()
    }
}

fn check_refused(parts: Parts, words: &str) {
    let error = Topology::from_parts(parts).expect_err(words).to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn host_1_a_cpu_in_two_cores_packages_or_a_core_across_packages_is_refused() {
    check_refused(parts("0-3", &["0-1", "1-2"], &[], &[]), "CPU 1 is in two cores");
    check_refused(parts("0-3", &[], &["0-2", "2-3"], &[]), "CPU 2 is in two packages");
    check_refused(parts("0-3", &["0-1", "2-3"], &["0", "1-3"], &[]), "CPUs 0 and 1 share a core and not a package");
    check_refused(parts("0-3", &[], &[], &[(0, "0-1"), (0, "2-3")]), "NUMA node 0 is shown twice");
    check_refused(parts("", &[], &[], &[]), "no online CPU");
}

#[test]
fn a_row_of_distances_that_does_not_fit_is_refused() {
    let mut parts = parts("0-1", &[], &[], &[(0, "0"), (1, "1")]);
    parts.nodes[0].distances = vec![10];
    check_refused(parts, "NUMA node 0 has 1 distances for 2 nodes");
}

#[test]
fn numbers_follow_the_lowest_cpu() {
    let topology = Topology::from_parts(parts("0-5", &["1,4", "0,3"], &["2,5", "0-1,3-4"], &[])).expect("a machine");
    let numbers: Vec<_> = topology.cpus.iter().map(|cpu| (cpu.core, cpu.package)).collect();
    assert_eq!(numbers, [(0, 0), (1, 0), (2, 1), (0, 0), (1, 0), (3, 1)]);
}

#[test]
fn of_two_nodes_with_the_same_cpus_the_first_has_them() {
    let topology = Topology::from_parts(parts("0-1", &[], &[], &[(1, "0-1"), (0, "0-1")])).expect("a machine");
    assert!(topology.cpus.iter().all(|cpu| cpu.numa == NumaNode(0)));
    assert_eq!((topology.nodes[0].cpus.len(), topology.nodes[1].cpus.len()), (2, 0));
    assert_eq!(topology.nodes[1].distances, [20, 10]);
}

#[test]
fn two_nodes_that_share_a_cache_are_two_nodes() {
    let mut parts = parts("0-3", &[], &[], &[(0, "0-1"), (1, "2-3")]);
    parts.caches.push(Cache { level: 3, kind: CacheKind::Unified, size: Bytes(1), cpus: set("0-3") });
    let topology = Topology::from_parts(parts).expect("sub-NUMA clusters");
    assert_eq!(topology.relation(CpuId(0), CpuId(1)), Some(Pin::SameL3));
    assert_eq!(topology.relation(CpuId(1), CpuId(2)), Some(Pin::OtherNuma));
}

#[cfg(feature = "hwloc")]
mod with_hwloc {
    use super::*;
    use crate::{HwlocTopology, SysTopology, TopologySource};
    use std::{
        io::{self, Write},
        path::{Path, PathBuf},
    };

    pub(super) fn synthetic(text: &str) -> Topology {
        HwlocTopology::Synthetic(text.into()).read().expect(text)
    }

    #[test]
    fn hwloc_and_sys_show_the_same_host() {
        let hwloc = HwlocTopology::ThisHost.read().expect("hwloc");
        let sys = SysTopology::this_host().read().expect("/sys");
        assert_eq!(hwloc.cpus, sys.cpus);
        assert_eq!(hwloc.offline, sys.offline);
        assert_eq!(hwloc.caches, sys.caches);
        assert_eq!(hwloc.memory, sys.memory);
        // The memory of a node may grow between two readings: only who and how far is compared.
        let nodes = |topology: &Topology| {
            topology.nodes.iter().map(|node| (node.id, node.cpus.clone(), node.distances.clone())).collect::<Vec<_>>()
        };
        assert_eq!(nodes(&hwloc), nodes(&sys));
    }

    #[test]
    fn a_description_gives_a_big_machine() {
        let topology = synthetic("pack:2 numa:1 l3:2 core:4 pu:2");
        assert_eq!((topology.cpus.len(), topology.core_count(), topology.package_count()), (32, 16, 2));
        assert_eq!((topology.nodes.len(), topology.threads_per_core()), (2, 2));
        for (a, b, pin) in
            [(0, 1, Pin::SmtSibling), (0, 2, Pin::SameL3), (0, 8, Pin::SameNuma), (0, 16, Pin::OtherNuma)]
        {
            assert_eq!(topology.relation(CpuId(a), CpuId(b)), Some(pin), "CPUs {a} and {b}");
        }
        assert_eq!(topology.nodes[0].distances, [10, 20]);
        let text = topology.describe();
        assert!(text.starts_with("machine: 32 CPUs, 16 cores, 2 packages, 2 NUMA nodes"), "{text}");
        assert_eq!(text.lines().filter(|line| line.trim_start().starts_with("core ")).count(), 16, "{text}");
    }

    #[test]
    fn what_hwloc_refuses_is_an_error_with_the_place() {
        for text in ["", "pack:0", "nonsense", "pack:2 core:"] {
            let error = HwlocTopology::Synthetic(text.into()).read().expect_err(text);
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
        let error = HwlocTopology::Xml("no/such.xml".into()).read().expect_err("no file");
        assert!(error.to_string().contains("no/such.xml"), "{error}");
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("machine.xml");
        for text in ["", "no xml", "<topology><object/>", "<topology version=\"2.0\"></topology>"] {
            std::fs::write(&path, text).expect("a file");
            let error = HwlocTopology::Xml(path.clone()).read().expect_err(text);
            assert!(matches!(error, TopologyError::Hwloc { .. }), "{error}");
        }
    }

    /// A made-up machine, saved: 2 NUMA nodes, each of 2 L3 caches, of 2 cores, of 2 threads.
    #[test]
    fn a_saved_machine_is_read_with_its_classes_caches_and_distances() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/two_nodes.xml");
        let topology = HwlocTopology::Xml(path.clone()).read().expect("a saved machine");
        assert_eq!((topology.cpus.len(), topology.core_count(), topology.threads_per_core()), (16, 8, 2));
        assert_eq!((topology.package_count(), topology.memory), (2, Bytes(32 << 30)));
        let nodes = [(0, "0-3,8-11", vec![10, 32]), (1, "4-7,12-15", vec![32, 10])].map(|(id, cpus, distances)| Node {
            id: NumaNode(id),
            cpus: set(cpus),
            memory: Bytes(16 << 30),
            distances,
        });
        assert_eq!(topology.nodes, nodes);
        let shared = |level| topology.caches.iter().filter(move |cache| cache.level == level).map(|cache| &cache.cpus);
        assert!(shared(3).eq(&["0-1,8-9", "2-3,10-11", "4-5,12-13", "6-7,14-15"].map(set)));
        assert!(shared(2).eq(&[0, 1, 2, 3, 4, 5, 6, 7].map(|core| CpuSet::from_iter([CpuId(core), CpuId(core + 8)]))));
        let all = topology.cpu_set();
        let classes = [Pin::Unpinned, Pin::SameCpu, Pin::SmtSibling, Pin::SameL3, Pin::SameNuma, Pin::OtherNuma];
        assert_eq!(topology.pin_classes(&all), classes);
        for (b, pin, count) in [
            (0, Pin::SameCpu, 1),
            (8, Pin::SmtSibling, 1),
            (9, Pin::SameL3, 2),
            (11, Pin::SameNuma, 4),
            (12, Pin::OtherNuma, 8),
        ] {
            assert_eq!(topology.relation(CpuId(0), CpuId(b)), Some(pin), "CPUs 0 and {b}");
            for a in all.iter() {
                let of_class = all.iter().filter(|b| topology.relation(a, *b) == Some(pin)).count();
                assert_eq!(of_class, count, "CPU {a}: {pin:?}");
            }
        }
        assert_eq!(topology.source, format!("hwloc, saved {}", path.display()));
        assert!(topology.isolated().is_empty() && topology.offline.is_empty(), "this host's are not those of a file");
    }

    /// The saved machines beside the repository, or `None` with the reason printed.
    fn saved(name: &str) -> Option<Topology> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/topologies");
        let path: PathBuf = directory.join(name);
        if !path.exists() {
            writeln!(
                io::stderr(),
                "skipped: no saved topology {name}; put hwloc's test file into ../shared/topologies"
            )
            .expect("stderr");
            return None;
        }
        Some(HwlocTopology::Xml(path).read().expect(name))
    }

    #[test]
    fn saved_machines_are_read_with_their_distances() {
        if let Some(arm) = saved("128arm-2pa2n8cluster4co.xml") {
            assert_eq!((arm.cpus.len(), arm.core_count(), arm.package_count(), arm.nodes.len()), (128, 128, 2, 4));
            let mut distances: Vec<u32> = arm.nodes.iter().flat_map(|node| node.distances.clone()).collect();
            distances.sort_unstable();
            distances.dedup();
            assert_eq!(distances, [10, 16, 25, 32, 33]);
            let local = arm.nodes.iter().enumerate().map(|(index, node)| node.distances[index]);
            assert!(local.eq([10; 4]), "each node is nearest to itself");
        }
        if let Some(xeon) = saved("96em64t-4n4d3ca2co-pci.xml") {
            assert_eq!((xeon.cpus.len(), xeon.package_count(), xeon.nodes.len()), (96, 16, 4));
            assert!(xeon.pin_classes(&xeon.cpu_set()).contains(&Pin::OtherNuma));
        }
        if let Some(amd) = saved("16amd64-4distances.xml") {
            assert_eq!(amd.cpus.len(), 16);
            assert!(amd.nodes.iter().all(|node| node.distances.len() == amd.nodes.len()));
        }
    }
}
