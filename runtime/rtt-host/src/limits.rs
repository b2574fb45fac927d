//! What the host can do at best, besides passing a line: copy memory, read the clock.
//!
//! Figures are medians over repetitions on the calling thread, which the caller may have bound.

use crate::topology::Topology;
use rtt_units::{Bytes, Nanos};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// Time given to each figure.
const BUDGET: Duration = Duration::from_millis(30);
/// Repetitions at least, however long they take.
const REPETITIONS: usize = 5;
/// Bound on each of the two buffers of the copy in memory.
const MEMORY_COPY_MAX: Bytes = Bytes(128 << 20);
/// Size of the cached copy where the topology shows no second-level cache.
const CACHED_COPY_DEFAULT: Bytes = Bytes(256 << 10);

/// Bests of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Copying between two buffers that both fit the second-level cache, in bytes per second.
    pub cached_copy_bytes_per_s: u64,
    /// Size of such a buffer.
    pub cached_copy: Bytes,
    /// Copying between two buffers that are each twice the last-level cache, in bytes per second.
    pub memory_copy_bytes_per_s: u64,
    /// Size of such a buffer.
    pub memory_copy: Bytes,
    /// One reading of the monotonic clock.
    pub clock_read: Nanos,
}

/// Measures the limits on the calling thread. Takes about 150 ms and up to 256 MiB.
pub fn limits(topology: &Topology) -> Limits {
    let cpu = topology.cpus.first().map(|cpu| cpu.id);
    let size = |cache: Option<&crate::topology::Cache>| cache.map(|cache| cache.size).filter(|size| size.0 > 0);
    let second = cpu.and_then(|cpu| size(topology.cache_of(cpu, 2)));
    let last = cpu.and_then(|cpu| size(topology.last_level_cache_of(cpu)));
    // A third for each buffer leaves a third of the cache for all else.
    let cached_copy = Bytes(second.map_or(CACHED_COPY_DEFAULT.0, |size| size.0 / 3).clamp(4 << 10, 16 << 20));
    let memory_copy =
        Bytes(last.map_or(MEMORY_COPY_MAX.0, |size| size.0.saturating_mul(2)).clamp(32 << 20, MEMORY_COPY_MAX.0));
    Limits {
        cached_copy_bytes_per_s: copy_rate(cached_copy),
        cached_copy,
        memory_copy_bytes_per_s: copy_rate(memory_copy),
        memory_copy,
        clock_read: clock_read(),
    }
}

fn copy_rate(size: Bytes) -> u64 {
    let from = vec![1_u8; size.0 as usize];
    let mut to = vec![2_u8; size.0 as usize]; // Written once here: page faults are not copying.
    // Small copies are timed together, so that the clock weighs little.
    let copies = ((1 << 20) / size.0).max(1);
    let nanos = median_nanos(|| {
        for _ in 0..copies {
            to.copy_from_slice(black_box(&from));
            black_box(&mut to);
        }
    });
    let bytes = u128::from(size.0) * u128::from(copies);
    u64::try_from(bytes * 1_000_000_000 / u128::from(nanos.max(1))).unwrap_or(u64::MAX)
}

fn clock_read() -> Nanos {
    const READS: u64 = 1024;
    let nanos = median_nanos(|| {
        for _ in 0..READS {
            black_box(Instant::now());
        }
    });
    Nanos((nanos + READS / 2) / READS)
}

/// Median time of `work`, after one run that does not count.
fn median_nanos(mut work: impl FnMut()) -> u64 {
    work();
    let begin = Instant::now();
    let mut nanos = Vec::new();
    while nanos.len() < REPETITIONS || begin.elapsed() < BUDGET {
        let start = Instant::now();
        work();
        nanos.push(start.elapsed().as_nanos() as u64);
    }
    nanos.sort_unstable();
    nanos[nanos.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SysTopology, TopologySource};

    #[test]
    fn this_host_copies_and_reads_its_clock() {
        let topology = SysTopology::this_host().read().expect("a mounted /sys");
        let limits = limits(&topology);
        assert!(limits.cached_copy_bytes_per_s > 0 && limits.memory_copy_bytes_per_s > 0);
        assert!(limits.cached_copy < limits.memory_copy);
    }

    #[test]
    fn the_median_is_that_of_the_repetitions() {
        let mut runs = 0;
        let nanos = median_nanos(|| {
            runs += 1;
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(1) {
                std::hint::spin_loop();
            }
        });
        assert!(runs > REPETITIONS && nanos >= 1_000_000, "{runs} runs of {nanos} ns");
    }
}
