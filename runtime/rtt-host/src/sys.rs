//! Topology from `/sys` and `/proc`, for hosts without hwloc.
//!
//! Files below `sys/devices/system`: `cpu/{online,present,isolated}`, `cpu/cpuN/topology/*_cpus_list`,
//! `cpu/cpuN/cache/indexM/{level,type,size,shared_cpu_list}`, `node/{online,nodeN/{cpulist,distance,meminfo}}`.
//! Source: Documentation/admin-guide/cputopology.rst and Documentation/ABI/stable/sysfs-devices-node of the kernel.
//!
//! Only `cpu/online` is demanded: a kernel without NUMA or without cache information still has a topology.

use crate::{
    procfs::{content, kib_after, list, memory_total, needed, needed_list, numbered, text},
    topology::{Cache, CacheKind, Node, Parts, Topology, TopologyError, TopologySource},
};
use rtt_units::{Bytes, CpuId, CpuSet, NumaNode};
use std::path::{Path, PathBuf};

/// Reader of `/sys` and `/proc`.
#[derive(Clone, Debug)]
pub struct SysTopology {
    root: PathBuf,
}

impl SysTopology {
    /// The reader of this host.
    pub fn this_host() -> SysTopology {
        SysTopology::below("/")
    }

    /// The reader of a tree that holds `sys` and `proc`.
    pub fn below(root: impl Into<PathBuf>) -> SysTopology {
        SysTopology { root: root.into() }
    }

    fn cpu_directory(&self) -> PathBuf {
        self.root.join("sys/devices/system/cpu")
    }

    fn nodes(&self) -> Result<Vec<Node>, TopologyError> {
        let directory = self.root.join("sys/devices/system/node");
        let online = list(&directory.join("online"))?.unwrap_or_default();
        online.iter().map(|id| node(&directory.join(format!("node{id}")), NumaNode(id.0), online.len())).collect()
    }
}

impl TopologySource for SysTopology {
    fn read(&self) -> Result<Topology, TopologyError> {
        let directory = self.cpu_directory();
        let online = needed_list(&directory.join("online"))?;
        let mut parts = Parts {
            origin: self.name().into(),
            nodes: self.nodes()?,
            memory: memory_total(&self.root),
            ..switches(&self.root, &online)?
        };
        for cpu in online.iter() {
            let directory = directory.join(format!("cpu{cpu}"));
            let topology = directory.join("topology");
            push_new(&mut parts.cores, either(&topology, "core_cpus_list", "thread_siblings_list")?, &online);
            push_new(&mut parts.packages, either(&topology, "package_cpus_list", "core_siblings_list")?, &online);
            for (_, index) in numbered(&directory.join("cache"), "index") {
                if let Some(cache) = cache(&index, cpu)?
                    && !parts.caches.contains(&cache)
                {
                    parts.caches.push(cache);
                }
            }
        }
        parts.online = online;
        Topology::from_parts(parts)
    }

    fn name(&self) -> &str {
        "/sys"
    }
}

/// What is switched off and what is isolated on the machine below `root`: hwloc does not tell, so it is read here.
pub(crate) fn switches(root: &Path, online: &CpuSet) -> Result<Parts, TopologyError> {
    let directory = root.join("sys/devices/system/cpu");
    let present = list(&directory.join("present"))?.unwrap_or_else(|| online.clone());
    let isolated = list(&directory.join("isolated"))?.unwrap_or_default();
    Ok(Parts { offline: present.difference(online), isolated, ..Parts::default() })
}

/// The list under its present name, or under the one that kernels before 5.3 have.
fn either(directory: &Path, name: &str, old_name: &str) -> Result<Option<CpuSet>, TopologyError> {
    match list(&directory.join(name))? {
        Some(set) => Ok(Some(set)),
        None => list(&directory.join(old_name)),
    }
}

fn push_new(sets: &mut Vec<CpuSet>, set: Option<CpuSet>, online: &CpuSet) {
    let set = set.map(|set| set.intersection(online)).unwrap_or_default();
    if !set.is_empty() && !sets.contains(&set) {
        sets.push(set);
    }
}

/// One cache of `cpu`; `None` where the kernel does not know its level, kind or size (virtual machines).
fn cache(directory: &Path, cpu: CpuId) -> Result<Option<Cache>, TopologyError> {
    let (Some(level), Some(kind), Some(size)) =
        (text(&directory.join("level")), text(&directory.join("type")), text(&directory.join("size")))
    else {
        return Ok(None);
    };
    let path = directory.join("level");
    let level = level.parse().map_err(|_| content(&path, &level, "a cache level such as 3"))?;
    let kind = match kind.as_str() {
        "Data" => CacheKind::Data,
        "Instruction" => CacheKind::Instruction,
        "Unified" => CacheKind::Unified,
        other => return Err(content(&directory.join("type"), other, "Data, Instruction or Unified")),
    };
    let path = directory.join("size");
    let size = cache_bytes(&size).ok_or_else(|| content(&path, &size, "a size such as 32768K"))?;
    let cpus = list(&directory.join("shared_cpu_list"))?.unwrap_or_else(|| CpuSet::from_iter([cpu]));
    Ok(Some(Cache { level, kind, size, cpus }))
}

/// `32768K`, `8M` or plain bytes.
fn cache_bytes(text: &str) -> Option<Bytes> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(scale).map(Bytes)
}

fn node(directory: &Path, id: NumaNode, count: usize) -> Result<Node, TopologyError> {
    let cpus = list(&directory.join("cpulist"))?.unwrap_or_default();
    let path = directory.join("distance");
    let shown = if path.exists() { needed(&path)? } else { String::new() };
    let distances: Result<Vec<u32>, _> = shown.split_whitespace().map(str::parse).collect();
    let distances = distances.map_err(|_| content(&path, &shown, "distances such as `10 21`"))?;
    if !distances.is_empty() && distances.len() != count {
        return Err(content(&path, &shown, "one distance for each online node"));
    }
    let memory = text(&directory.join("meminfo")).and_then(|text| kib_after(&text, "MemTotal:")).unwrap_or_default();
    Ok(Node { id, cpus, memory, distances })
}

#[cfg(test)]
pub(crate) mod tests;
