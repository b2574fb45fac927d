//! Facts from files that are given; of this host only that each name has a value.

use super::*;
use crate::sys::tests::Tree;
use std::collections::BTreeMap;

fn facts(tree: &Tree) -> BTreeMap<String, String> {
    read(tree.root(), "KVM".into()).into_iter().collect()
}

#[test]
fn what_is_not_shown_is_absent_and_the_names_stay() {
    let (bare, this_host) = (facts(&Tree::new()), environment());
    assert_eq!(bare.keys().collect::<Vec<_>>().len(), this_host.len());
    assert!(this_host.iter().all(|(name, value)| bare.contains_key(name) && !value.is_empty()));
    assert_eq!((bare["governor"].as_str(), bare["hypervisor"].as_str()), ("absent", "KVM"));
    assert_eq!((bare["cgroup"].as_str(), bare["cgroup_cpu_quota"].as_str()), ("absent", "absent"));
}

#[test]
fn facts_are_those_of_the_files() {
    let tree = Tree::two_packages();
    tree.write("proc/sys/kernel/randomize_va_space", "2").write("sys/devices/system/cpu/smt/control", "off");
    tree.write("sys/devices/system/cpu/intel_pstate/no_turbo", "1");
    tree.write(
        "proc/self/limits",
        "Limit   Soft   Hard   Units\nMax locked memory         8388608     8388608   bytes",
    );
    let facts = facts(&tree);
    for (name, value) in [
        ("aslr", "2"),
        ("smt", "off"),
        ("cpu_boost", "off"),
        ("memlock_limit", "8388608"),
        ("online_cpus", "0-7"),
        ("isolated_cpus", "absent"),
        ("thp", "none"),
    ] {
        assert_eq!(facts[name], value, "{name}");
    }
}

fn check_quota(groups: &str, files: &[(&str, &str)], expected: (&str, &str)) {
    let tree = Tree::new();
    tree.write("proc/self/cgroup", groups);
    for (path, text) in files {
        tree.write(&format!("sys/fs/cgroup/{path}"), text);
    }
    let facts = facts(&tree);
    assert_eq!((facts["cgroup"].as_str(), facts["cgroup_cpu_quota"].as_str()), expected, "{groups}");
}

#[test]
fn the_tightest_quota_on_the_way_counts_in_both_versions() {
    check_quota("0::/a/b", &[("a/cpu.max", "150000 100000"), ("a/b/cpu.max", "max 100000")], ("v2", "1.50 CPUs"));
    check_quota("0::/a/b", &[("a/cpu.max", "150000 100000"), ("a/b/cpu.max", "50000 100000")], ("v2", "0.50 CPUs"));
    check_quota("0::/../..", &[], ("v2", "none"));
    let v1 = "4:cpu,cpuacct:/jobs\n0::/";
    let files = [("cpu,cpuacct/jobs/cpu.cfs_quota_us", "200000"), ("cpu,cpuacct/jobs/cpu.cfs_period_us", "100000")];
    check_quota(v1, &files, ("v1", "2.00 CPUs"));
    check_quota("1:cpu:/", &[("cpu/cpu.cfs_quota_us", "-1"), ("cpu/cpu.cfs_period_us", "100000")], ("v1", "none"));
    check_quota("0::/", &[("cpu.max", "nonsense")], ("v2", "none"));
}
