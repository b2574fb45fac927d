//! The fingerprint from files that are given, and of this host from both sources.

use super::*;
use crate::{SysTopology, TopologySource, allowed_cpus, pin_thread, sys::tests::Tree};
use rtt_units::CpuSet;

const X86: &str = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Xeon(R): 8488C\n\
                   stepping\t: 8\nmicrocode\t: 0x2b000639\n\nprocessor\t: 1\nmodel name\t: Xeon(R): 8488C\nstepping\t: 9\n";
const ARM: &str = "processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\n\
                   CPU part\t: 0xd0c\nCPU revision\t: 1\n\nprocessor\t: 1\nCPU part\t: 0xd4f\n";

#[test]
fn both_forms_of_cpuinfo_are_read() {
    let x86 = CpuInfo::parse(X86);
    assert_eq!((x86.vendor.as_str(), x86.model_name.as_str()), ("GenuineIntel", "Xeon(R): 8488C"));
    assert_eq!((x86.family, x86.model, x86.stepping, x86.microcode.as_str()), (6, 143, 8, "0x2b000639"));
    let arm = CpuInfo::parse(ARM);
    assert_eq!((arm.vendor.as_str(), arm.model_name.as_str()), ("0x41", "part 0xd0c + 0xd4f"));
    assert_eq!((arm.family, arm.model, arm.stepping, arm.microcode.as_str()), (8, 0xd0c, 0x301, "unknown"));
    let nothing = CpuInfo::parse("");
    assert_eq!((nothing.vendor.as_str(), nothing.model_name.as_str(), nothing.family), ("unknown", "unknown", 0));
}

#[test]
fn memory_is_rounded_up_to_a_power_of_two() {
    for (gib_tenths, class) in [(0, 1), (9, 1), (10, 1), (11, 2), (235, 32), (320, 32), (321, 64)] {
        assert_eq!(memory_class_gib((gib_tenths << 30) / 10), class, "{gib_tenths} tenths of a GiB");
    }
}

fn tree() -> Tree {
    let tree = Tree::two_packages();
    tree.write("proc/cpuinfo", X86).write("proc/sys/kernel/osrelease", "6.1.0-18-amd64");
    tree.write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
    tree.write("sys/devices/system/cpu/vulnerabilities/spectre_v2", "Mitigation: Retpolines");
    tree.write("sys/devices/system/cpu/vulnerabilities/meltdown", "Not affected");
    tree
}

#[test]
fn a_tree_has_a_canonical_fingerprint() {
    let tree = tree();
    let found = read(tree.root(), &tree.read().expect("a machine"), "KVM".into()).expect("a fingerprint");
    let machine = &found.machine;
    assert_eq!((machine.packages, machine.cores, machine.threads_per_core, machine.memory_class_gib), (2, 4, 2, 32));
    let caches: Vec<String> = machine
        .caches
        .iter()
        .map(|cache| format!("{}x L{} {} {} by {}", cache.count, cache.level, cache.kind, cache.bytes, cache.shared_by))
        .collect();
    assert_eq!(
        caches,
        [
            "4x L1 data 32768 by 2",
            "4x L1 instruction 32768 by 2",
            "4x L2 unified 1048576 by 2",
            "2x L3 unified 33554432 by 4"
        ]
    );
    assert_eq!(machine.numa_nodes[1], MemoryNode { cpus: 4, distances: vec![21, 10] });
    let conditions = &found.conditions;
    assert_eq!((conditions.kernel.as_str(), conditions.governor.as_str()), ("6.1.0-18-amd64", "none"));
    assert_eq!((conditions.thp.as_str(), conditions.microcode.as_str()), ("madvise", "0x2b000639"));
    assert_eq!(conditions.mitigations, "meltdown=Not affected; spectre_v2=Mitigation: Retpolines");
}

#[test]
fn conditions_never_change_the_machine() {
    let (before, after) = (tree(), tree());
    after
        .write("proc/sys/kernel/osrelease", "6.9")
        .write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave");
    after.remove("sys/kernel/mm/transparent_hugepage").remove("sys/devices/system/cpu/vulnerabilities");
    let of = |tree: &Tree| read(tree.root(), &tree.read().expect("a machine"), "KVM".into()).expect("a fingerprint");
    let (before, after) = (of(&before), of(&after));
    assert_eq!(before.machine.id(), after.machine.id());
    let fields: Vec<_> = before.conditions.differences(&after.conditions).iter().map(|d| d.field).collect();
    assert_eq!(fields, ["kernel", "governor", "thp", "mitigations"]);
}

/// One slow CPU is enough to tell two hosts apart; one that is switched off counts for nothing.
#[test]
fn the_governors_of_all_online_cpus_are_told() {
    let tree = tree();
    let set = |cpu: u32, name: &str| {
        tree.write(&format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"), name);
    };
    let told = || {
        let environment = crate::environment::read(tree.root(), "KVM".into());
        let fact = environment.into_iter().find(|(name, _)| name == "governor").expect("a fact").1;
        (conditions(tree.root(), String::new()).governor, fact)
    };
    assert_eq!(told(), ("none".into(), "absent".into()));
    (0..8).for_each(|cpu| set(cpu, "performance"));
    set(9, "schedutil"); // CPUs 8-9 are switched off.
    assert_eq!(told(), ("performance".into(), "performance".into()));
    set(7, "powersave");
    assert_eq!(told(), ("performance,powersave".into(), "performance,powersave".into()));
}

#[test]
fn a_host_without_cpuinfo_is_an_error() {
    let tree = Tree::two_packages();
    let error = read(tree.root(), &tree.read().expect("a machine"), "KVM".into()).expect_err("no cpuinfo");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.contains("proc/cpuinfo"), "{cause}");
}

#[test]
fn host_4_the_fingerprint_does_not_depend_on_the_source_or_on_the_callers_cpus() {
    let sys = fingerprint_of(&SysTopology::this_host().read().expect("/sys")).expect("a fingerprint");
    assert_eq!(fingerprint().expect("a fingerprint"), sys);
    let first = allowed_cpus().iter().next().expect("a CPU");
    let bound = std::thread::spawn(move || {
        pin_thread(&CpuSet::from_iter([first])).expect("an allowed CPU");
        fingerprint().expect("a fingerprint")
    });
    assert_eq!(bound.join().expect("the thread"), sys);
}
