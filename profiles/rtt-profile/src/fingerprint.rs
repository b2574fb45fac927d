//! What a profile is for: the machine, and the conditions it was tuned under.
//!
//! `machine` is hardware, or what the hypervisor shows of it; its digest is the profile's name. `conditions` are what
//! an update changes. Another machine refuses a profile; other conditions make it stale.
//!
//! PROFILE-2  Two machines that differ in any field have different ids; conditions never enter the id.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Short printable name of a machine: 16 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MachineId(String);

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One kind of cache of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// 1, 2, 3 or 4.
    pub level: u8,
    /// `data`, `instruction` or `unified`.
    pub kind: String,
    /// Size of one such cache in bytes.
    pub bytes: u64,
    /// Logical CPUs that share one.
    pub shared_by: u32,
    /// How many there are.
    pub count: u32,
}

/// One NUMA node of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryNode {
    /// Logical CPUs on the node.
    pub cpus: u32,
    /// Distances to each node in the order of the nodes, as firmware gives them (10 is local).
    pub distances: Vec<u32>,
}

/// The hardware part of a fingerprint, in a canonical form: equal machines give equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Instruction set, as `x86_64`.
    pub architecture: String,
    /// CPU vendor, as `AuthenticAMD`.
    pub vendor: String,
    /// CPU model name as the CPU gives it.
    pub model_name: String,
    /// CPU family.
    pub family: u32,
    /// CPU model.
    pub model: u32,
    /// CPU stepping.
    pub stepping: u32,
    /// Processor packages.
    pub packages: u32,
    /// Physical cores, of all packages.
    pub cores: u32,
    /// Hardware threads of a core.
    pub threads_per_core: u32,
    /// Caches, by level and kind.
    pub caches: Vec<Cache>,
    /// NUMA nodes, in the kernel's order.
    pub numa_nodes: Vec<MemoryNode>,
    /// Memory rounded up to a power of two, in GiB.
    pub memory_class_gib: u32,
    /// Hypervisor's name, or `none`.
    pub hypervisor: String,
}

/// The part of a fingerprint that an update, a boot option or an administrator changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// Kernel release, as `uname -r`.
    pub kernel: String,
    /// Microcode revision, or `unknown`.
    pub microcode: String,
    /// Distinct frequency governors of the online CPUs, sorted, as `performance,powersave`; or `none`.
    pub governor: String,
    /// Mode of transparent huge pages, as `madvise`.
    pub thp: String,
    /// Digest-free one-line summary of the CPU's mitigations, `name=state; ...` sorted by name.
    pub mitigations: String,
}

/// A machine and its conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// What the hardware is.
    pub machine: Machine,
    /// What it ran under.
    pub conditions: Conditions,
}

/// One field in which two fingerprints differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field's name.
    pub field: &'static str,
    /// Its value in the first.
    pub left: String,
    /// Its value in the second.
    pub right: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} against {}", self.field, self.left, self.right)
    }
}

impl Machine {
    /// How many fields [`Machine::differences`] compares.
    pub const FIELD_COUNT: usize = 13;

    /// PROFILE-2: the name of the machine, from the BLAKE3 of its canonical JSON under a domain of its own.
    pub fn id(&self) -> MachineId {
        let canonical = serde_json::to_vec(self).expect("a machine is strings and integers");
        let mut hasher = blake3::Hasher::new_derive_key("rtt 2026 machine fingerprint v1");
        hasher.update(&canonical);
        MachineId(hasher.finalize().to_hex()[..16].to_owned())
    }

    /// The fields in which `self` and `other` differ; empty for equal machines.
    pub fn differences(&self, other: &Machine) -> Vec<Difference> {
        let rows: [(&'static str, String, String); Machine::FIELD_COUNT] = [
            ("architecture", self.architecture.clone(), other.architecture.clone()),
            ("CPU vendor", self.vendor.clone(), other.vendor.clone()),
            ("CPU model", self.model_name.clone(), other.model_name.clone()),
            ("CPU family", self.family.to_string(), other.family.to_string()),
            ("CPU model number", self.model.to_string(), other.model.to_string()),
            ("CPU stepping", self.stepping.to_string(), other.stepping.to_string()),
            ("packages", self.packages.to_string(), other.packages.to_string()),
            ("cores", self.cores.to_string(), other.cores.to_string()),
            ("threads per core", self.threads_per_core.to_string(), other.threads_per_core.to_string()),
            ("caches", caches_in_words(&self.caches), caches_in_words(&other.caches)),
            ("NUMA nodes", nodes_in_words(&self.numa_nodes), nodes_in_words(&other.numa_nodes)),
            ("memory class", format!("{} GiB", self.memory_class_gib), format!("{} GiB", other.memory_class_gib)),
            ("hypervisor", self.hypervisor.clone(), other.hypervisor.clone()),
        ];
        differing(rows)
    }
}

impl Conditions {
    /// The names of the conditions, as a policy lists them.
    pub const FIELDS: [&'static str; 5] = ["kernel", "microcode", "governor", "thp", "mitigations"];

    /// The fields in which `self` and `other` differ, named as in [`Conditions::FIELDS`].
    pub fn differences(&self, other: &Conditions) -> Vec<Difference> {
        let rows: [(&'static str, String, String); 5] = [
            ("kernel", self.kernel.clone(), other.kernel.clone()),
            ("microcode", self.microcode.clone(), other.microcode.clone()),
            ("governor", self.governor.clone(), other.governor.clone()),
            ("thp", self.thp.clone(), other.thp.clone()),
            ("mitigations", self.mitigations.clone(), other.mitigations.clone()),
        ];
        differing(rows)
    }
}

fn differing<const N: usize>(rows: [(&'static str, String, String); N]) -> Vec<Difference> {
    let different = rows.into_iter().filter(|(_, left, right)| left != right);
    different.map(|(field, left, right)| Difference { field, left, right }).collect()
}

fn caches_in_words(caches: &[Cache]) -> String {
    let words = caches.iter().map(|c| {
        format!("{} x L{} {} {} for {} CPUs", c.count, c.level, c.kind, rtt_units::Bytes(c.bytes), c.shared_by)
    });
    words.collect::<Vec<_>>().join(", ")
}

fn nodes_in_words(nodes: &[MemoryNode]) -> String {
    let words = nodes.iter().map(|n| format!("{} CPUs, distances {:?}", n.cpus, n.distances));
    words.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            architecture: "x86_64".into(),
            vendor: "V".into(),
            model_name: "M".into(),
            family: 6,
            model: 1,
            stepping: 2,
            packages: 1,
            cores: 2,
            threads_per_core: 1,
            caches: vec![Cache { level: 3, kind: "unified".into(), bytes: 32 << 20, shared_by: 2, count: 1 }],
            numa_nodes: vec![MemoryNode { cpus: 2, distances: vec![10] }],
            memory_class_gib: 32,
            hypervisor: "none".into(),
        }
    }

    #[test]
    fn profile_2_each_field_of_the_machine_changes_the_id_and_is_named() {
        type Change = (&'static str, fn(&mut Machine));
        let changes: [Change; Machine::FIELD_COUNT] = [
            ("architecture", |m| m.architecture.push('x')),
            ("CPU vendor", |m| m.vendor.push('x')),
            ("CPU model", |m| m.model_name.push('x')),
            ("CPU family", |m| m.family += 1),
            ("CPU model number", |m| m.model += 1),
            ("CPU stepping", |m| m.stepping += 1),
            ("packages", |m| m.packages += 1),
            ("cores", |m| m.cores += 1),
            ("threads per core", |m| m.threads_per_core += 1),
            ("caches", |m| m.caches[0].bytes *= 2),
            ("NUMA nodes", |m| m.numa_nodes[0].distances[0] += 1),
            ("memory class", |m| m.memory_class_gib *= 2),
            ("hypervisor", |m| m.hypervisor.push('x')),
        ];
        for (field, change) in changes {
            let (left, mut right) = (machine(), machine());
            assert_eq!(left.id(), right.id());
            change(&mut right);
            assert_ne!(left.id(), right.id(), "{field}");
            let fields: Vec<_> = left.differences(&right).iter().map(|d| d.field).collect();
            assert_eq!(fields, [field]);
        }
    }
}
