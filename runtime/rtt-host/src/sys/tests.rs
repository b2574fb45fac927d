//! The reader of `/sys` on a made-up tree, whole and damaged; the tree serves other modules' tests too.

use super::*;
use rtt_profile::Pin;
use std::fs;

/// A made-up machine below a temporary directory, in the kernel's own files.
pub(crate) struct Tree(tempfile::TempDir);

impl Tree {
    pub(crate) fn new() -> Tree {
        Tree(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) -> &Tree {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, format!("{text}\n")).expect("a file");
        self
    }

    pub(crate) fn remove(&self, path: &str) -> &Tree {
        let path = self.0.path().join(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("there before");
        self
    }

    pub(crate) fn read(&self) -> Result<Topology, TopologyError> {
        SysTopology::below(self.root()).read()
    }

    /// Two packages, each one NUMA node and one L3, of two cores with two threads each. Threads are numbered as Linux
    /// does: 0-3 are the cores' first threads, 4-7 their second ones. CPUs 8-9 are present and switched off.
    pub(crate) fn two_packages() -> Tree {
        let tree = Tree::new();
        let cpu = "sys/devices/system/cpu";
        let node = "sys/devices/system/node";
        tree.write(&format!("{cpu}/online"), "0-7").write(&format!("{cpu}/present"), "0-9");
        tree.write(&format!("{cpu}/isolated"), "").write("proc/meminfo", "MemTotal:       33000000 kB");
        for id in 0..8 {
            let core = format!("{},{}", id % 4, id % 4 + 4);
            let package = if id % 4 < 2 { "0-1,4-5" } else { "2-3,6-7" };
            let topology = format!("{cpu}/cpu{id}/topology");
            tree.write(&format!("{topology}/core_cpus_list"), &core);
            tree.write(&format!("{topology}/package_cpus_list"), package);
            let caches =
                [("1", "Data", "32K", &*core), ("1", "Instruction", "32K", &core), ("2", "Unified", "1M", &core)];
            let caches = caches.into_iter().chain([("3", "Unified", "32768K", package)]);
            for (index, (level, kind, size, shared)) in caches.enumerate() {
                let cache = format!("{cpu}/cpu{id}/cache/index{index}");
                tree.write(&format!("{cache}/level"), level).write(&format!("{cache}/type"), kind);
                tree.write(&format!("{cache}/size"), size).write(&format!("{cache}/shared_cpu_list"), shared);
            }
        }
        tree.write(&format!("{node}/online"), "0-1");
        for (id, (cpus, distance)) in [("0-1,4-5", "10 21"), ("2-3,6-7", "21 10")].into_iter().enumerate() {
            let node = format!("{node}/node{id}");
            tree.write(&format!("{node}/cpulist"), cpus).write(&format!("{node}/distance"), distance);
            tree.write(&format!("{node}/meminfo"), &format!("Node {id} MemTotal:       16500000 kB"));
        }
        tree
    }
}

const CPU0: &str = "sys/devices/system/cpu/cpu0";

#[test]
fn a_tree_with_two_packages_is_read_whole() {
    let topology = Tree::two_packages().read().expect("a machine");
    assert_eq!((topology.cpus.len(), topology.core_count(), topology.package_count()), (8, 4, 2));
    assert_eq!(topology.threads_per_core(), 2);
    assert_eq!(topology.offline.to_string(), "8-9");
    assert_eq!(topology.memory, Bytes(33_000_000 << 10));
    assert_eq!(topology.nodes[1].distances, [21, 10]);
    assert_eq!(topology.nodes[1].memory, Bytes(16_500_000 << 10));
    let cpu = topology.cpu(CpuId(6)).expect("CPU 6");
    assert_eq!((cpu.core, cpu.package, cpu.numa, cpu.l3), (2, 1, NumaNode(1), Some(1)));
    let kinds: Vec<_> = topology.caches.iter().map(|cache| (cache.level, cache.kind.name(), cache.size.0)).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == (2, "unified", 1 << 20)).count(), 4);
    assert_eq!(kinds.iter().filter(|kind| **kind == (3, "unified", 32 << 20)).count(), 2);
    assert_eq!(kinds.len(), 4 + 4 + 4 + 2);
}

#[test]
fn pairs_of_the_tree_have_their_classes() {
    let topology = Tree::two_packages().read().expect("a machine");
    for (a, b, pin) in [
        (0, 0, Some(Pin::SameCpu)),
        (0, 4, Some(Pin::SmtSibling)),
        (0, 1, Some(Pin::SameL3)),
        (4, 1, Some(Pin::SameL3)),
        (0, 2, Some(Pin::OtherNuma)),
        (0, 8, None),
    ] {
        assert_eq!(topology.relation(CpuId(a), CpuId(b)), pin, "CPUs {a} and {b}");
        assert_eq!(topology.relation(CpuId(b), CpuId(a)), pin, "CPUs {b} and {a}");
    }
}

#[test]
fn what_older_or_smaller_kernels_lack_is_done_without() {
    let tree = Tree::two_packages();
    for id in 0..8 {
        let topology = format!("sys/devices/system/cpu/cpu{id}/topology");
        tree.remove(&format!("{topology}/core_cpus_list")).remove(&format!("{topology}/package_cpus_list"));
        tree.write(&format!("{topology}/thread_siblings_list"), &format!("{},{}", id % 4, id % 4 + 4));
        tree.write(&format!("{topology}/core_siblings_list"), if id % 4 < 2 { "0-1,4-5" } else { "2-3,6-7" });
    }
    let old = tree.read().expect("an old kernel");
    assert_eq!(old.cpus, Tree::two_packages().read().expect("a machine").cpus);

    tree.remove("sys/devices/system/node").remove("sys/devices/system/cpu/present").remove("proc/meminfo");
    (0..8).for_each(|id| _ = tree.remove(&format!("sys/devices/system/cpu/cpu{id}")));
    let bare = tree.read().expect("a kernel that shows its CPUs and nothing else");
    assert_eq!((bare.core_count(), bare.package_count(), bare.threads_per_core()), (8, 1, 1));
    assert_eq!((bare.nodes.len(), &bare.nodes[0].distances[..]), (1, &[10][..]));
    assert_eq!((bare.cpus[0].l3, bare.caches.len(), bare.memory), (None, 0, Bytes(0)));
    assert_eq!(bare.relation(CpuId(0), CpuId(1)), Some(Pin::SameNuma));
}

#[test]
fn a_node_without_cpus_and_a_cache_without_size_are_no_error() {
    let tree = Tree::two_packages();
    tree.write("sys/devices/system/node/online", "0-2").write("sys/devices/system/node/node2/cpulist", "");
    for (id, distance) in ["10 21 17", "21 10 28", "17 28 10"].iter().enumerate() {
        tree.write(&format!("sys/devices/system/node/node{id}/distance"), distance);
    }
    tree.remove(&format!("{CPU0}/cache/index0/size"));
    let topology = tree.read().expect("a machine");
    assert_eq!((topology.nodes.len(), topology.nodes[2].cpus.len()), (3, 0));
    assert!(topology.describe().contains("NUMA node 2 without CPUs"), "{}", topology.describe());
}

/// Whatever a file holds, the answer is a topology or an error that names the file.
#[test]
fn a_damaged_file_is_named_and_never_a_panic() {
    let damage = ["", "x", "-1", "0-", "99999999999999999999", "0-4000000000", "8191", "\u{fffd}", "3-1"];
    let files = [
        "sys/devices/system/cpu/online",
        "sys/devices/system/cpu/present",
        "sys/devices/system/cpu/isolated",
        "sys/devices/system/cpu/cpu0/topology/core_cpus_list",
        "sys/devices/system/cpu/cpu0/topology/package_cpus_list",
        "sys/devices/system/cpu/cpu0/cache/index3/level",
        "sys/devices/system/cpu/cpu0/cache/index3/type",
        "sys/devices/system/cpu/cpu0/cache/index3/size",
        "sys/devices/system/cpu/cpu0/cache/index3/shared_cpu_list",
        "sys/devices/system/node/online",
        "sys/devices/system/node/node0/cpulist",
        "sys/devices/system/node/node0/distance",
        "sys/devices/system/node/node0/meminfo",
        "proc/meminfo",
    ];
    let mut refused = 0;
    let tree = Tree::two_packages();
    for file in files {
        let whole = fs::read_to_string(tree.root().join(file)).expect("a file of the tree");
        for text in damage {
            tree.write(file, text);
            match tree.read() {
                Ok(topology) => {
                    let _ = (topology.describe(), topology.pin_classes(&topology.cpu_set()));
                }
                Err(error) => {
                    refused += 1;
                    let content = matches!(error, TopologyError::Content { .. });
                    assert!(!content || error.to_string().contains(file), "{file} with `{text}`: {error}");
                }
            }
        }
        tree.write(file, whole.trim_end());
    }
    assert!(refused > files.len(), "most damage is refused");
}

#[test]
fn a_host_without_the_list_of_cpus_is_refused() {
    let error = Tree::new().read().expect_err("an empty tree");
    assert!(error.to_string().contains("sys/devices/system/cpu/online"), "{error}");
    let tree = Tree::new();
    tree.write("sys/devices/system/cpu/online", "");
    assert!(matches!(tree.read(), Err(TopologyError::Empty { .. })));
}

#[test]
fn this_host_is_read() {
    let topology = SysTopology::this_host().read().expect("a mounted /sys");
    assert!(!topology.cpus.is_empty() && topology.memory.0 > 0);
}
