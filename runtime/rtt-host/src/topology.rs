//! What CPUs, cores, caches and memory nodes there are, and how two CPUs relate.
//!
//! Every source hands over the same [`Parts`] (sets of CPUs), and [`Topology::from_parts`] numbers and checks them:
//! so hwloc and `/sys` cannot disagree in form, only in fact. Cores, packages and last-level caches are numbered in
//! the order of their lowest CPU; CPUs and NUMA nodes keep the kernel's numbers.
//!
//! HOST-1  Each online CPU is in exactly one core, one package and one NUMA node, and a core lies in one package.
//!
//! What the caller may use of it is not the topology's matter: see `pin` and `placement`.

use rtt_profile::Pin;
use rtt_units::{Bytes, CpuId, CpuSet, NumaNode};
use std::{fmt::Write as _, io, path::PathBuf};

/// Distance of a node to itself where firmware gives none. Source: ACPI 6.5 section 5.2.17; Linux `LOCAL_DISTANCE`.
const LOCAL_DISTANCE: u32 = 10;
/// Distance to any other node where firmware gives none. Source: Linux `REMOTE_DISTANCE`.
const REMOTE_DISTANCE: u32 = 20;

/// One online logical CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// The kernel's number.
    pub id: CpuId,
    /// Physical core, numbered through the machine in the order of lowest CPUs.
    pub core: u32,
    /// Processor package, numbered in the order of lowest CPUs.
    pub package: u32,
    /// Memory node that is local to the CPU.
    pub numa: NumaNode,
    /// Which last-level cache (level 2 or higher, no instruction cache) the CPU uses, numbered in the order of lowest
    /// CPUs; `None` where the source shows no such cache.
    pub l3: Option<u32>,
    /// Whether the kernel keeps other work away (`isolcpus`).
    pub isolated: bool,
}

/// What a cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CacheKind {
    /// Data only.
    Data,
    /// Instructions only.
    Instruction,
    /// Both.
    Unified,
}

impl CacheKind {
    /// `data`, `instruction` or `unified`.
    pub const fn name(self) -> &'static str {
        match self {
            CacheKind::Data => "data",
            CacheKind::Instruction => "instruction",
            CacheKind::Unified => "unified",
        }
    }
}

/// One cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// 1 is nearest to the core.
    pub level: u8,
    /// What it holds.
    pub kind: CacheKind,
    /// Its size.
    pub size: Bytes,
    /// The CPUs that share it.
    pub cpus: CpuSet,
}

/// One NUMA node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The kernel's number.
    pub id: NumaNode,
    /// The CPUs whose local memory it is; empty for a node of memory alone.
    pub cpus: CpuSet,
    /// Its memory, 0 where the source does not say.
    pub memory: Bytes,
    /// Distance to each node, in the order of [`Topology::nodes`]; 10 is local.
    pub distances: Vec<u32>,
}

/// A machine as work is placed on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Online CPUs by number.
    pub cpus: Vec<Cpu>,
    /// CPUs that are present and switched off.
    pub offline: CpuSet,
    /// Caches by level, kind and lowest CPU.
    pub caches: Vec<Cache>,
    /// NUMA nodes by number; at least one.
    pub nodes: Vec<Node>,
    /// Memory of the machine, 0 where the source does not say.
    pub memory: Bytes,
    /// Which source this was read from, in words.
    pub source: String,
}

/// Why there is no topology.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// A file that each Linux host has, or a saved machine, cannot be read.
    #[error("topology: cannot read {}: expected a mounted /sys and /proc, or a saved machine", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file holds what the kernel never writes there.
    #[error("topology: {} holds `{text}`: expected {expected}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it holds, cut to a line.
        text: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// The source shows no CPU.
    #[error("topology from {origin}: no online CPU, expected at least one")]
    Empty {
        /// The source.
        origin: String,
    },
    /// HOST-1 does not hold in what the source shows.
    #[error("topology from {origin}: {what}")]
    Inconsistent {
        /// The source.
        origin: String,
        /// What contradicts what.
        what: String,
    },
    /// hwloc refused.
    #[error("topology from {origin}: hwloc cannot {step}: {message}")]
    Hwloc {
        /// The source.
        origin: String,
        /// What was asked of hwloc.
        step: &'static str,
        /// hwloc's own words.
        message: String,
    },
    /// The environment makes hwloc show another machine.
    #[error(
        "topology from hwloc: it shows another machine than this host; \
         unset HWLOC_XMLFILE, HWLOC_SYNTHETIC, HWLOC_FSROOT and HWLOC_COMPONENTS"
    )]
    NotThisHost,
}

/// Something that shows a topology.
pub trait TopologySource {
    /// Reads it.
    ///
    /// # Errors
    /// [`TopologyError`] where the source cannot be read or contradicts itself.
    fn read(&self) -> Result<Topology, TopologyError>;

    /// The source's name, as reports print it.
    fn name(&self) -> &str;
}

/// The topology of this host: through hwloc where it is compiled in, else from `/sys`.
///
/// # Errors
/// As [`TopologySource::read`].
pub fn topology() -> Result<Topology, TopologyError> {
    #[cfg(feature = "hwloc")]
    return crate::HwlocTopology::ThisHost.read();
    #[cfg(not(feature = "hwloc"))]
    return crate::SysTopology::this_host().read();
}

/// What a source found, before it is checked and numbered.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub origin: String,
    pub online: CpuSet,
    pub offline: CpuSet,
    pub isolated: CpuSet,
    pub cores: Vec<CpuSet>,
    pub packages: Vec<CpuSet>,
    pub caches: Vec<Cache>,
    pub nodes: Vec<Node>,
    pub memory: Bytes,
}

impl Topology {
    /// Checks and numbers what a source found. A CPU that no core claims is a core of its own; CPUs that no package
    /// claims are one package; a machine without nodes is one node.
    pub(crate) fn from_parts(parts: Parts) -> Result<Topology, TopologyError> {
        let Parts { origin, online, offline, isolated, cores, packages, mut caches, nodes, memory } = parts;
        if online.is_empty() {
            return Err(TopologyError::Empty { origin });
        }
        for cache in &mut caches {
            cache.cpus = cache.cpus.intersection(&online);
        }
        caches.retain(|cache| !cache.cpus.is_empty());
        caches.sort_by_key(|cache| (cache.level, cache.kind, cache.cpus.iter().next()));
        caches.dedup();
        let nodes = canonical_nodes(&origin, nodes, &online, memory)?;

        let core_of = owners(&origin, "core", &cores, &online)?;
        let package_of = owners(&origin, "package", &packages, &online)?;
        let (mut core_numbers, mut package_numbers, mut cache_numbers) =
            (Numbers::new(), Numbers::new(), Numbers::new());
        let cpus: Vec<Cpu> = online
            .iter()
            .zip(core_of.iter().zip(&package_of))
            .map(|(id, (core, package))| Cpu {
                id,
                core: core_numbers.number(core.map_or(Owner::Alone(id), Owner::Set)),
                package: package_numbers.number(package.map_or(Owner::Rest, Owner::Set)),
                numa: nodes.iter().find(|node| node.cpus.contains(id)).map_or(nodes[0].id, |node| node.id),
                l3: last_level(&caches, id).map(|cache| cache_numbers.number(Owner::Set(cache))),
                isolated: isolated.contains(id),
            })
            .collect();
        for pair in sorted_by_core(&cpus).windows(2) {
            if pair[0].core == pair[1].core && pair[0].package != pair[1].package {
                let what = format!("CPUs {} and {} share a core and not a package", pair[0].id, pair[1].id); // HOST-1
                return Err(TopologyError::Inconsistent { origin, what });
            }
        }
        Ok(Topology { cpus, offline: offline.difference(&online), caches, nodes, memory, source: origin })
    }

    /// The online CPU with number `id`.
    pub fn cpu(&self, id: CpuId) -> Option<&Cpu> {
        self.cpus.binary_search_by_key(&id, |cpu| cpu.id).ok().map(|index| &self.cpus[index])
    }

    /// All online CPUs.
    pub fn cpu_set(&self) -> CpuSet {
        self.cpus.iter().map(|cpu| cpu.id).collect()
    }

    /// CPUs that the kernel keeps free of other work.
    pub fn isolated(&self) -> CpuSet {
        self.cpus.iter().filter(|cpu| cpu.isolated).map(|cpu| cpu.id).collect()
    }

    /// How many physical cores there are.
    pub fn core_count(&self) -> u32 {
        self.cpus.iter().map(|cpu| cpu.core + 1).max().unwrap_or(0)
    }

    /// How many packages there are.
    pub fn package_count(&self) -> u32 {
        self.cpus.iter().map(|cpu| cpu.package + 1).max().unwrap_or(0)
    }

    /// Hardware threads of the core that has most.
    pub fn threads_per_core(&self) -> u32 {
        let sorted = sorted_by_core(&self.cpus);
        sorted.chunk_by(|a, b| a.core == b.core).map(|core| core.len() as u32).max().unwrap_or(0)
    }

    /// How `a` and `b` relate; `None` where one of them is not online.
    ///
    /// Two CPUs of different NUMA nodes are [`Pin::OtherNuma`] even where both use one cache (sub-NUMA clusters):
    /// the memory of a ring between them is remote to one side.
    pub fn relation(&self, a: CpuId, b: CpuId) -> Option<Pin> {
        Some(relation_of(self.cpu(a)?, self.cpu(b)?))
    }

    /// The smallest cache of `level` that holds data and that `cpu` uses.
    pub fn cache_of(&self, cpu: CpuId, level: u8) -> Option<&Cache> {
        let holds =
            |cache: &&Cache| cache.level == level && cache.kind != CacheKind::Instruction && cache.cpus.contains(cpu);
        self.caches.iter().filter(holds).min_by_key(|cache| cache.cpus.len())
    }

    /// The last-level cache that `cpu` uses.
    pub fn last_level_cache_of(&self, cpu: CpuId) -> Option<&Cache> {
        last_level_of(&self.caches, cpu)
    }

    /// The topology as an indented text: packages, nodes, last-level caches, cores, CPUs.
    pub fn describe(&self) -> String {
        let counts = [
            counted(self.cpus.len(), "CPU"),
            counted(self.core_count() as usize, "core"),
            counted(self.package_count() as usize, "package"),
            counted(self.nodes.len(), "NUMA node"),
        ];
        let mut text = format!("machine: {}, {} (from {})\n", counts.join(", "), self.memory, self.source);
        let mut sorted: Vec<&Cpu> = self.cpus.iter().collect();
        sorted.sort_by_key(|cpu| (cpu.package, cpu.numa, cpu.l3, cpu.core, cpu.id));
        for package in sorted.chunk_by(|a, b| a.package == b.package) {
            let _ = writeln!(text, "  package {}: CPUs {}", package[0].package, set_of(package));
            for node in package.chunk_by(|a, b| a.numa == b.numa) {
                let _ = writeln!(text, "    {}", self.node_in_words(node));
                for cluster in node.chunk_by(|a, b| a.l3 == b.l3) {
                    let _ = writeln!(text, "      {}: CPUs {}", self.cluster_in_words(cluster[0]), set_of(cluster));
                    for core in cluster.chunk_by(|a, b| a.core == b.core) {
                        let isolated = if core.iter().any(|cpu| cpu.isolated) { ", isolated" } else { "" };
                        let _ = writeln!(text, "        core {}: CPUs {}{isolated}", core[0].core, set_of(core));
                    }
                }
            }
        }
        for node in self.nodes.iter().filter(|node| node.cpus.is_empty()) {
            let _ = writeln!(text, "  NUMA node {} without CPUs: {}", node.id, node.memory);
        }
        if !self.offline.is_empty() {
            let _ = writeln!(text, "  offline: CPUs {}", self.offline);
        }
        text
    }

    fn node_in_words(&self, cpus: &[&Cpu]) -> String {
        let id = cpus[0].numa;
        let node = self.nodes.iter().find(|node| node.id == id);
        let words = node.map(|node| format!("{}, distances {:?}", node.memory, node.distances));
        format!("NUMA node {id}: CPUs {}, {}", set_of(cpus), words.unwrap_or_default())
    }

    fn cluster_in_words(&self, cpu: &Cpu) -> String {
        match self.last_level_cache_of(cpu.id) {
            Some(cache) => format!("L{} {}", cache.level, cache.size),
            None => "no cache shown".into(),
        }
    }
}

/// The class of a pair of CPUs of one topology.
pub(crate) fn relation_of(a: &Cpu, b: &Cpu) -> Pin {
    if a.id == b.id {
        Pin::SameCpu
    } else if a.core == b.core {
        Pin::SmtSibling
    } else if a.numa != b.numa {
        Pin::OtherNuma
    } else if a.l3.is_some() && a.l3 == b.l3 {
        Pin::SameL3
    } else {
        Pin::SameNuma
    }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn set_of(cpus: &[&Cpu]) -> CpuSet {
    cpus.iter().map(|cpu| cpu.id).collect()
}

fn sorted_by_core(cpus: &[Cpu]) -> Vec<&Cpu> {
    let mut sorted: Vec<&Cpu> = cpus.iter().collect();
    sorted.sort_by_key(|cpu| cpu.core);
    sorted
}

/// Whom a CPU belongs to: the set at an index, nobody but itself, or with all others that no set claims.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    Set(usize),
    Alone(CpuId),
    Rest,
}

/// Gives owners numbers in the order in which they are first seen.
struct Numbers(Vec<Owner>);

impl Numbers {
    fn new() -> Numbers {
        Numbers(Vec::new())
    }

    fn number(&mut self, owner: Owner) -> u32 {
        let known = self.0.iter().position(|seen| *seen == owner);
        known.unwrap_or_else(|| {
            self.0.push(owner);
            self.0.len() - 1
        }) as u32
    }
}

/// HOST-1: for each online CPU the one set that holds it, where there is one.
fn owners(origin: &str, what: &str, sets: &[CpuSet], online: &CpuSet) -> Result<Vec<Option<usize>>, TopologyError> {
    let mut owner_of = std::collections::BTreeMap::<CpuId, usize>::new();
    for (index, set) in sets.iter().enumerate() {
        for cpu in set.iter() {
            let first = *owner_of.entry(cpu).or_insert(index);
            if sets[first] != *set {
                let what = format!("CPU {cpu} is in two {what}s, of CPUs {} and {set}", sets[first]);
                return Err(TopologyError::Inconsistent { origin: origin.into(), what });
            }
        }
    }
    Ok(online.iter().map(|cpu| owner_of.get(&cpu).copied()).collect())
}

/// Index of the highest data cache of `cpu`.
fn last_level(caches: &[Cache], cpu: CpuId) -> Option<usize> {
    let holds = |cache: &Cache| cache.level >= 2 && cache.kind != CacheKind::Instruction && cache.cpus.contains(cpu);
    caches.iter().enumerate().filter(|(_, cache)| holds(cache)).max_by_key(|(_, cache)| cache.level).map(|(i, _)| i)
}

fn last_level_of(caches: &[Cache], cpu: CpuId) -> Option<&Cache> {
    last_level(caches, cpu).map(|index| &caches[index])
}

/// Nodes by number, each CPU on one of them, with a full matrix of distances.
///
/// hwloc shows a node of memory alone at the CPUs that are near to it, the kernel shows it without CPUs; the node
/// with fewest CPUs, then with the lowest number, has the CPU.
fn canonical_nodes(
    origin: &str,
    mut nodes: Vec<Node>,
    online: &CpuSet,
    memory: Bytes,
) -> Result<Vec<Node>, TopologyError> {
    if nodes.is_empty() {
        nodes.push(Node { id: NumaNode(0), cpus: online.clone(), memory, distances: Vec::new() });
    }
    nodes.sort_by_key(|node| node.id);
    if let Some(pair) = nodes.windows(2).find(|pair| pair[0].id == pair[1].id) {
        let what = format!("NUMA node {} is shown twice", pair[0].id);
        return Err(TopologyError::Inconsistent { origin: origin.into(), what });
    }
    let claimed: Vec<CpuSet> = nodes.iter().map(|node| node.cpus.intersection(online)).collect();
    let home = |cpu: CpuId| {
        let claims = claimed.iter().enumerate().filter(|(_, cpus)| cpus.contains(cpu));
        claims.min_by_key(|(index, cpus)| (cpus.len(), *index)).map_or(0, |(index, _)| index)
    };
    let homes: Vec<(CpuId, usize)> = online.iter().map(|cpu| (cpu, home(cpu))).collect();
    let count = nodes.len();
    for (index, node) in nodes.iter_mut().enumerate() {
        node.cpus = homes.iter().filter(|(_, home)| *home == index).map(|(cpu, _)| *cpu).collect();
        if node.distances.is_empty() {
            node.distances = vec![REMOTE_DISTANCE; count];
            node.distances[index] = LOCAL_DISTANCE;
        }
        if node.distances.len() != count {
            let what = format!("NUMA node {} has {} distances for {count} nodes", node.id, node.distances.len());
            return Err(TopologyError::Inconsistent { origin: origin.into(), what });
        }
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests;
