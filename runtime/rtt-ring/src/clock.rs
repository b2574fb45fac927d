//! The one clock of rings and latencies.

use rtt_units::Nanos;
use rustix::time::{ClockId, clock_gettime};

/// The present instant on `CLOCK_MONOTONIC`, the same for every process of the host.
pub fn now() -> Nanos {
    let time = clock_gettime(ClockId::Monotonic);
    // The monotonic clock starts at boot and never shows negative fields.
    Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
