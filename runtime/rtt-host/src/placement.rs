//! Where the two ends of a ring run.
//!
//! HOST-2  A placement lies inside the allowed CPUs, and a pinned one has exactly the class that was asked for.
//!
//! Deterministic: equal topology and allowed CPUs give an equal placement. Isolated CPUs first, since nothing else
//! runs there; CPU 0 last, since most hosts serve their interrupts on it.

use crate::topology::{Cpu, Topology, relation_of};
use rtt_profile::Pin;
use rtt_units::{CpuId, CpuSet};

/// CPUs for the two ends of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The producer's CPUs: all allowed ones where unpinned; else one for each ring while the host has CPUs of the
    /// class, so exactly one for one ring.
    pub producer: CpuSet,
    /// The consumer's CPU, or all allowed ones where unpinned.
    pub consumer: CpuSet,
    /// The class that was asked for.
    pub pin: Pin,
}

impl Placement {
    /// The CPUs for the producer of ring `ring_index`: one CPU of [`Placement::producer`] in turn, or all of them
    /// where unpinned.
    pub fn producer_of(&self, ring_index: usize) -> CpuSet {
        if self.pin == Pin::Unpinned {
            return self.producer.clone();
        }
        self.producer.iter().nth(ring_index % self.producer.len().max(1)).into_iter().collect()
    }
}

/// Why there is no placement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// None of the allowed CPUs is online.
    #[error("placement: none of the allowed CPUs `{allowed}` is online, expected some of {online}")]
    NoCpu {
        /// What was allowed.
        allowed: CpuSet,
        /// What is online.
        online: CpuSet,
    },
    /// The class does not exist among the allowed CPUs.
    #[error("placement {}: {reason}", pin_name(*pin))]
    Absent {
        /// The class.
        pin: Pin,
        /// Why not, in words.
        reason: String,
    },
}

/// The classes that pin, nearest first.
const PINNED: [Pin; 5] = [Pin::SameCpu, Pin::SmtSibling, Pin::SameL3, Pin::SameNuma, Pin::OtherNuma];

/// The class's name as profiles write it.
pub const fn pin_name(pin: Pin) -> &'static str {
    match pin {
        Pin::Unpinned => "unpinned",
        Pin::SameCpu => "same_cpu",
        Pin::SmtSibling => "smt_sibling",
        Pin::SameL3 => "same_l3",
        Pin::SameNuma => "same_numa",
        Pin::OtherNuma => "other_numa",
    }
}

/// How little a CPU is wanted: not isolated, then CPU 0, then by number.
fn reluctance(cpu: &Cpu) -> (bool, bool, CpuId) {
    (!cpu.isolated, cpu.id == CpuId(0), cpu.id)
}

impl Topology {
    /// The classes that exist among the `allowed` CPUs: `unpinned`, then the pinned ones, nearest first. Empty where
    /// none of `allowed` is online.
    pub fn pin_classes(&self, allowed: &CpuSet) -> Vec<Pin> {
        let usable = self.usable(allowed);
        let unpinned = (!usable.is_empty()).then_some(Pin::Unpinned);
        unpinned.into_iter().chain(PINNED.into_iter().filter(|pin| best_pair(&usable, *pin).is_some())).collect()
    }

    /// The classes that do not exist among the `allowed` CPUs, each with the reason in words.
    pub fn absent_classes(&self, allowed: &CpuSet) -> Vec<(Pin, String)> {
        let usable = self.usable(allowed);
        let absent = PINNED.into_iter().filter(|pin| best_pair(&usable, *pin).is_none());
        absent.map(|pin| (pin, self.why_absent(pin, allowed))).collect()
    }

    /// CPUs of class `pin` for one consumer and the producers of `rings` rings, inside `allowed`.
    ///
    /// Unpinned leaves out isolated CPUs where there are others: the scheduler does not balance among them, so that a
    /// thread would stay on whichever it first met.
    ///
    /// # Errors
    /// [`PlaceError::NoCpu`] where no allowed CPU is online; [`PlaceError::Absent`] where the class does not exist.
    pub fn place(&self, pin: Pin, allowed: &CpuSet, rings: usize) -> Result<Placement, PlaceError> {
        let usable = self.usable(allowed);
        if usable.is_empty() {
            return Err(PlaceError::NoCpu { allowed: allowed.clone(), online: self.cpu_set() });
        }
        if pin == Pin::Unpinned {
            let balanced: CpuSet = usable.iter().filter(|cpu| !cpu.isolated).map(|cpu| cpu.id).collect();
            let all = if balanced.is_empty() { usable.iter().map(|cpu| cpu.id).collect() } else { balanced };
            return Ok(Placement { producer: all.clone(), consumer: all, pin });
        }
        let Some((consumer, first)) = best_pair(&usable, pin) else {
            return Err(PlaceError::Absent { pin, reason: self.why_absent(pin, allowed) });
        };
        let mut producers = vec![first];
        let mut others: Vec<&Cpu> = usable.iter().copied().filter(|cpu| relation_of(consumer, cpu) == pin).collect();
        others.retain(|cpu| cpu.id != first.id);
        while producers.len() < rings.max(1) {
            // A core of its own before the second thread of a core that a producer has.
            let taken = |cpu: &Cpu| producers.iter().any(|producer| producer.core == cpu.core);
            let next = others.iter().enumerate().min_by_key(|(_, cpu)| (taken(cpu), reluctance(cpu)));
            let Some((index, _)) = next else { break };
            producers.push(others.swap_remove(index));
        }
        // HOST-2: all come from `usable`, and each stands to the consumer as asked.
        assert!(producers.iter().all(|producer| relation_of(consumer, producer) == pin), "HOST-2: class {pin:?}");
        let producer = producers.iter().map(|cpu| cpu.id).collect();
        Ok(Placement { producer, consumer: CpuSet::from_iter([consumer.id]), pin })
    }

    /// The online CPUs of `allowed`, most wanted first.
    fn usable(&self, allowed: &CpuSet) -> Vec<&Cpu> {
        let mut usable: Vec<&Cpu> = self.cpus.iter().filter(|cpu| allowed.contains(cpu.id)).collect();
        usable.sort_by_key(|cpu| reluctance(cpu));
        usable
    }

    fn why_absent(&self, pin: Pin, allowed: &CpuSet) -> String {
        let usable = allowed.intersection(&self.cpu_set());
        let elsewhere = best_pair(&self.usable(&self.cpu_set()), pin).is_some();
        if elsewhere {
            let online = self.cpu_set();
            return format!("the allowed CPUs `{usable}` hold no such pair, though the host's CPUs {online} do");
        }
        match pin {
            Pin::Unpinned | Pin::SameCpu => "no CPU is online".into(),
            Pin::SmtSibling => "each core shows one hardware thread".into(),
            Pin::SameL3 if self.core_count() < 2 => "there is one core".into(),
            Pin::SameL3 => "no two cores share a last-level cache".into(),
            Pin::SameNuma if self.core_count() < 2 => "there is one core".into(),
            Pin::SameNuma => "all cores of a NUMA node share its last-level cache".into(),
            Pin::OtherNuma => "all CPUs are on one NUMA node".into(),
        }
    }
}

/// The most wanted (consumer, producer) of class `pin`; `usable` is sorted, most wanted first.
///
/// The first consumer that has any partner wins: no later pair has a more wanted consumer, and its first partner is
/// its most wanted one. A pair with both ends isolated is looked for before one with one end isolated.
fn best_pair<'a>(usable: &[&'a Cpu], pin: Pin) -> Option<(&'a Cpu, &'a Cpu)> {
    let isolated = usable.iter().take_while(|cpu| cpu.isolated).count();
    [&usable[..isolated], usable].into_iter().find_map(|cpus| {
        cpus.iter().find_map(|consumer| {
            let partner = cpus.iter().find(|producer| relation_of(consumer, producer) == pin);
            partner.map(|producer| (*consumer, *producer))
        })
    })
}

#[cfg(test)]
mod tests;
