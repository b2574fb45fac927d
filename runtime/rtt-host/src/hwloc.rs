//! Topology through hwloc: of this host, of a saved machine, of a made-up one.
//!
//! hwloc is asked for all CPUs, allowed or not, and never to bind the calling thread: so what it shows does not
//! depend on where the caller runs. What is isolated or switched off it does not tell; that is read from `/sys`.

use crate::{
    procfs::memory_total,
    sys::switches,
    topology::{Cache, CacheKind, Node, Parts, Topology, TopologyError, TopologySource},
};
use hwlocality::{
    Topology as Hwloc,
    object::{
        TopologyObject,
        attributes::ObjectAttributes,
        distance::DistancesKind,
        types::{CacheType, ObjectType},
    },
    topology::builder::{BuildFlags, TopologyBuilder, TypeFilter},
};
use rtt_units::{Bytes, CpuId, CpuSet, NumaNode};
use std::path::{Path, PathBuf};

/// Bound on the CPUs read from one set: hwloc's sets may be endless, the kernel's are not.
const CPUS_MAX: usize = 8192;

/// What hwloc is asked about.
#[derive(Clone, Debug)]
pub enum HwlocTopology {
    /// The host that this program runs on.
    ThisHost,
    /// A description such as `pack:2 numa:1 l3:2 core:4 pu:2`.
    Synthetic(String),
    /// A file that `lstopo --of xml` wrote.
    Xml(PathBuf),
}

impl TopologySource for HwlocTopology {
    fn read(&self) -> Result<Topology, TopologyError> {
        let origin = self.origin();
        let failed = |step: &'static str| {
            let origin = origin.clone();
            move |message: String| TopologyError::Hwloc { origin, step, message }
        };
        let builder = TopologyBuilder::new();
        let builder = match self {
            HwlocTopology::ThisHost => builder,
            HwlocTopology::Synthetic(text) => {
                builder.from_synthetic(text).map_err(|e| failed("take the description")(e.to_string()))?
            }
            HwlocTopology::Xml(path) => {
                // Read here: the binding takes a file that is not there for a bug of hwloc and panics.
                let xml = std::fs::read_to_string(path)
                    .map_err(|source| TopologyError::Read { path: path.clone(), source })?;
                builder.from_xml(&xml).map_err(|e| failed("take the file")(e.to_string()))?
            }
        };
        let flags = BuildFlags::INCLUDE_DISALLOWED | BuildFlags::DONT_CHANGE_BINDING;
        let builder = builder.with_flags(flags).map_err(|e| failed("set its flags")(e.to_string()))?;
        let builder = builder
            .with_cpu_icache_type_filter(TypeFilter::KeepAll)
            .map_err(|e| failed("keep instruction caches")(e.to_string()))?;
        let hwloc = builder.build().map_err(|e| failed("load the topology")(e.to_string()))?;
        let mut parts = parts(&hwloc).map_err(failed("give distances"))?;
        parts.origin = origin.clone();
        if matches!(self, HwlocTopology::ThisHost) {
            if !hwloc.is_this_system() {
                return Err(TopologyError::NotThisHost);
            }
            let root = Path::new("/");
            let Parts { offline, isolated, .. } = switches(root, &parts.online)?;
            // The kernel's total: the nodes' sum leaves out what is given to the nodes only when it is needed.
            parts = Parts { offline, isolated, memory: memory_total(root), ..parts };
        }
        Topology::from_parts(parts)
    }

    fn name(&self) -> &str {
        match self {
            HwlocTopology::ThisHost => "hwloc",
            HwlocTopology::Synthetic(_) => "hwloc, synthetic",
            HwlocTopology::Xml(_) => "hwloc, saved",
        }
    }
}

impl HwlocTopology {
    fn origin(&self) -> String {
        match self {
            HwlocTopology::ThisHost => self.name().into(),
            HwlocTopology::Synthetic(text) => format!("{} `{text}`", self.name()),
            HwlocTopology::Xml(path) => format!("{} {}", self.name(), path.display()),
        }
    }
}

fn parts(hwloc: &Hwloc) -> Result<Parts, String> {
    let sets = |kind| hwloc.objects_with_type(kind).map(cpus_of).filter(|set| !set.is_empty()).collect();
    let online: CpuSet = hwloc.objects_with_type(ObjectType::PU).flat_map(|pu| pu.os_index().map(cpu_id)).collect();
    let caches = CACHES.iter().flat_map(|kind| hwloc.objects_with_type(*kind)).filter_map(cache).collect();
    Ok(Parts {
        offline: CpuSet::default(),
        cores: sets(ObjectType::Core),
        packages: sets(ObjectType::Package),
        caches,
        nodes: nodes(hwloc)?,
        memory: Bytes(hwloc.root_object().total_memory()),
        online,
        ..Parts::default()
    })
}

const CACHES: [ObjectType; 8] = [
    ObjectType::L1Cache,
    ObjectType::L2Cache,
    ObjectType::L3Cache,
    ObjectType::L4Cache,
    ObjectType::L5Cache,
    ObjectType::L1ICache,
    ObjectType::L2ICache,
    ObjectType::L3ICache,
];

fn cpu_id(index: usize) -> CpuId {
    CpuId(u32::try_from(index).unwrap_or(u32::MAX))
}

fn cpus_of(object: &TopologyObject) -> CpuSet {
    let Some(set) = object.cpuset() else { return CpuSet::default() };
    set.iter_set().take(CPUS_MAX).map(|index| cpu_id(usize::from(index))).collect()
}

fn cache(object: &TopologyObject) -> Option<Cache> {
    let Some(ObjectAttributes::Cache(attributes)) = object.attributes() else { return None };
    let kind = match attributes.cache_type() {
        CacheType::Unified => CacheKind::Unified,
        CacheType::Data => CacheKind::Data,
        CacheType::Instruction => CacheKind::Instruction,
        _ => return None,
    };
    let size = Bytes(attributes.size().map_or(0, u64::from));
    Some(Cache { level: u8::try_from(attributes.depth()).ok()?, kind, size, cpus: cpus_of(object) })
}

fn node_id(object: &TopologyObject) -> Option<NumaNode> {
    object.os_index().and_then(|index| u32::try_from(index).ok()).map(NumaNode)
}

fn nodes(hwloc: &Hwloc) -> Result<Vec<Node>, String> {
    let matrix = Latencies::read(hwloc)?;
    let found = hwloc.objects_with_type(ObjectType::NUMANode).filter_map(|object| {
        let memory = match object.attributes() {
            Some(ObjectAttributes::NUMANode(numa)) => Bytes(numa.local_memory().map_or(0, u64::from)),
            _ => Bytes(0),
        };
        Some(Node { id: node_id(object)?, cpus: cpus_of(object), memory, distances: Vec::new() })
    });
    let mut nodes: Vec<Node> = found.collect();
    nodes.sort_by_key(|node| node.id);
    let order: Vec<NumaNode> = nodes.iter().map(|node| node.id).collect();
    for node in &mut nodes {
        node.distances = matrix.as_ref().and_then(|matrix| matrix.row(node.id, &order)).unwrap_or_default();
    }
    Ok(nodes)
}

/// The matrix that firmware gave, or the first that means latency, between all NUMA nodes.
struct Latencies {
    nodes: Vec<Option<NumaNode>>,
    values: Vec<u64>,
}

impl Latencies {
    fn read(hwloc: &Hwloc) -> Result<Option<Latencies>, String> {
        let found = hwloc.distances_with_type(Some(DistancesKind::MEANS_LATENCY), ObjectType::NUMANode);
        let found = found.map_err(|error| error.to_string())?;
        let from_firmware = |name: Option<&std::ffi::CStr>| name.is_some_and(|name| name == c"NUMALatency");
        let chosen = found.iter().find(|matrix| from_firmware(matrix.name())).or(found.first());
        Ok(chosen.map(|matrix| Latencies {
            nodes: matrix.objects().map(|object| object.and_then(node_id)).collect(),
            values: matrix.distances().to_vec(),
        }))
    }

    /// The distances from `from` to each of `order`; `None` where one of them is not in the matrix.
    fn row(&self, from: NumaNode, order: &[NumaNode]) -> Option<Vec<u32>> {
        let position = |node: NumaNode| self.nodes.iter().position(|known| *known == Some(node));
        let row = position(from)? * self.nodes.len();
        let cell = |to: &NumaNode| {
            let value = self.values.get(row + position(*to)?)?;
            Some(u32::try_from(*value).unwrap_or(u32::MAX))
        };
        order.iter().map(cell).collect()
    }
}
