//! The fingerprint of this host, from its topology, `/proc/cpuinfo` and `/sys`.
//!
//! HOST-4  The machine part depends neither on where the caller may run nor on which source gave the topology.
//!
//! What is hashed and how two fingerprints are compared is `rtt-profile`'s matter.

use crate::{
    hypervisor::hypervisor,
    procfs::{list, needed, text},
    topology::{Topology, TopologyError, topology},
};
use rtt_profile::{Conditions, Fingerprint, Machine, MemoryNode};
use rtt_units::CpuId;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Why there is no fingerprint.
#[derive(Debug, thiserror::Error)]
pub enum FingerprintError {
    /// The topology or a file that it needs cannot be read.
    #[error("fingerprint: no topology")]
    Topology(#[from] TopologyError),
}

/// The fingerprint of this host.
///
/// # Errors
/// [`FingerprintError`] where topology or `/proc/cpuinfo` cannot be read.
pub fn fingerprint() -> Result<Fingerprint, FingerprintError> {
    fingerprint_of(&topology()?)
}

/// The fingerprint of this host, whose topology is `topology`.
///
/// # Errors
/// [`FingerprintError`] where `/proc/cpuinfo` cannot be read.
pub fn fingerprint_of(topology: &Topology) -> Result<Fingerprint, FingerprintError> {
    let root = Path::new("/");
    read(root, topology, hypervisor(root))
}

/// The fingerprint of the machine whose files lie below `root`.
fn read(root: &Path, topology: &Topology, hypervisor: String) -> Result<Fingerprint, FingerprintError> {
    let cpuinfo = CpuInfo::parse(&needed(&root.join("proc/cpuinfo"))?);
    let machine = Machine {
        architecture: std::env::consts::ARCH.into(),
        vendor: cpuinfo.vendor,
        model_name: cpuinfo.model_name,
        family: cpuinfo.family,
        model: cpuinfo.model,
        stepping: cpuinfo.stepping,
        packages: topology.package_count(),
        cores: topology.core_count(),
        threads_per_core: topology.threads_per_core(),
        caches: caches(topology),
        numa_nodes: topology
            .nodes
            .iter()
            .map(|node| MemoryNode { cpus: node.cpus.len() as u32, distances: node.distances.clone() })
            .collect(),
        memory_class_gib: memory_class_gib(topology.memory.0),
        hypervisor,
    };
    Ok(Fingerprint { machine, conditions: conditions(root, cpuinfo.microcode) })
}

/// Kinds of caches with their counts, by level, kind, size and sharers: a form without CPU numbers (HOST-4).
fn caches(topology: &Topology) -> Vec<rtt_profile::Cache> {
    let mut counts = BTreeMap::new();
    for cache in &topology.caches {
        *counts.entry((cache.level, cache.kind, cache.size, cache.cpus.len())).or_insert(0_u32) += 1;
    }
    let kinds = counts.into_iter().map(|((level, kind, size, sharers), count)| rtt_profile::Cache {
        level,
        kind: kind.name().into(),
        bytes: size.0,
        shared_by: sharers as u32,
        count,
    });
    kinds.collect()
}

/// Memory rounded up to a power of two, at least 1 GiB: the kernel keeps a part for itself that varies by release.
fn memory_class_gib(bytes: u64) -> u32 {
    let gib = bytes.div_ceil(1 << 30).max(1);
    gib.checked_next_power_of_two().and_then(|class| u32::try_from(class).ok()).unwrap_or(u32::MAX)
}

/// What `/proc/cpuinfo` says of the CPUs.
#[derive(Debug, Default, PartialEq)]
struct CpuInfo {
    vendor: String,
    model_name: String,
    family: u32,
    model: u32,
    stepping: u32,
    microcode: String,
}

impl CpuInfo {
    /// Reads the x86 and arm64 forms. Hosts with several kinds of CPUs get all model names, sorted; the numbers are
    /// those of the first CPU. What is not shown is `unknown` or 0.
    fn parse(text: &str) -> CpuInfo {
        let first = |keys: &[&str]| {
            let rows = text.lines().filter_map(|line| line.split_once(':'));
            rows.map(|(key, value)| (key.trim(), value.trim()))
                .find(|(key, value)| keys.contains(key) && !value.is_empty())
                .map(|(_, value)| value.to_owned())
        };
        let number = |keys: &[&str]| first(keys).and_then(|value| integer(&value)).unwrap_or(0);
        let unknown = || "unknown".to_owned();
        let named = |key| {
            let rows = text.lines().filter_map(|line| line.split_once(':'));
            let mut names: Vec<String> =
                rows.filter(|(k, _)| k.trim() == key).map(|(_, name)| name.trim().to_owned()).collect();
            names.sort();
            names.dedup();
            names.join(" + ")
        };
        let model_name = match named("model name") {
            name if !name.is_empty() => name,
            _ => match named("CPU part") {
                part if !part.is_empty() => format!("part {part}"),
                _ => unknown(),
            },
        };
        // arm64 splits the stepping in a variant and a revision, as `r1p2`.
        let variant = number(&["CPU variant"]);
        let stepping = if variant > 0 { variant << 8 | number(&["CPU revision"]) } else { 0 };
        CpuInfo {
            vendor: first(&["vendor_id", "CPU implementer"]).unwrap_or_else(unknown),
            model_name,
            family: number(&["cpu family", "CPU architecture"]),
            model: number(&["model", "CPU part"]),
            stepping: if stepping > 0 { stepping } else { number(&["stepping", "CPU revision"]) },
            microcode: first(&["microcode"]).unwrap_or_else(unknown),
        }
    }
}

/// A decimal or `0x` number.
fn integer(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok(),
        None => text.parse().ok(),
    }
}

/// What of this host may change while it runs, now.
pub fn conditions_now() -> Conditions {
    let root = Path::new("/");
    conditions(root, CpuInfo::parse(&text(&root.join("proc/cpuinfo")).unwrap_or_default()).microcode)
}

fn conditions(root: &Path, microcode: String) -> Conditions {
    let cpu = root.join("sys/devices/system/cpu");
    let kernel = text(&root.join("proc/sys/kernel/osrelease")).unwrap_or_else(|| "unknown".into());
    let governor = governors(root).unwrap_or_else(|| "none".into());
    Conditions { kernel, microcode, governor, thp: thp(root), mitigations: mitigations(&cpu.join("vulnerabilities")) }
}

/// The distinct frequency governors of the online CPUs, as `performance,powersave`; `None` where no CPU shows one.
pub(crate) fn governors(root: &Path) -> Option<String> {
    let cpu = root.join("sys/devices/system/cpu");
    let online = list(&cpu.join("online")).ok()??;
    let of = |id: CpuId| text(&cpu.join(format!("cpu{id}/cpufreq/scaling_governor"))).filter(|name| !name.is_empty());
    let names: BTreeSet<String> = online.iter().filter_map(of).collect();
    (!names.is_empty()).then(|| Vec::from_iter(names).join(","))
}

/// The mode of transparent huge pages: the word in brackets, or `none` on a kernel without them.
pub(crate) fn thp(root: &Path) -> String {
    let shown = text(&root.join("sys/kernel/mm/transparent_hugepage/enabled")).unwrap_or_default();
    let chosen = shown.split_once('[').and_then(|(_, after)| after.split_once(']')).map(|(mode, _)| mode.to_owned());
    chosen.unwrap_or_else(|| "none".into())
}

/// `name=state; ...`, sorted by name; `unknown` where the kernel does not tell.
fn mitigations(directory: &Path) -> String {
    let Ok(entries) = fs::read_dir(directory) else { return "unknown".into() };
    let mut states: Vec<String> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some(format!("{}={}", entry.file_name().to_str()?, text(&entry.path())?))
        })
        .collect();
    states.sort();
    states.join("; ")
}

#[cfg(test)]
mod tests;
