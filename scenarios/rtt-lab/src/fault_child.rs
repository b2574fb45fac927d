//! What a fault's own process does: `rtt-lab fault KIND`, one order a line on standard input, one proof a line back.
//!
//! An order is the length of the strike in nanoseconds and, where one is to be near, a CPU. The process was started, placed and confined before the run,
//! so that nothing but the strike happens in it; it dies with the lab.

use crate::control::Proof;
use rtt_ring::{Consumer, Pages, Producer, RingCapacity, RingConfig, Segment, now};
use rtt_scenario::FaultKind;
use rtt_units::{CpuSet, Nanos};
use rustix::fs::{Advice, CWD, Mode, OFlags, fadvise, openat};
use rustix::time::{ClockId, clock_gettime};
use std::io::{BufRead, Read, Seek, Write};
use std::path::Path;

/// Fresh memory that the pressure fault takes and gives back over and over, in bytes.
const MEMORY_BYTES: usize = 64 << 20;
/// File that the page-cache fault writes, drops and reads again, in bytes: small, so that a strike holds several rounds.
const FILE_BYTES: usize = 1 << 20;
/// Records of one burst between the neighbour's two ends.
const BURST_RECORDS: u32 = 256;

/// Serves orders until standard input ends. `folder` is where the page-cache fault has its nameless file.
///
/// # Errors
/// A text that names what failed.
pub fn serve(kind: FaultKind, folder: &Path) -> Result<(), String> {
    crate::confinement::limit_own_memory().map_err(|error| format!("no limit on memory: {error}"))?;
    let mut strike = Strike::prepare(kind, folder)?;
    println!("ready");
    for order in std::io::stdin().lock().lines() {
        let order = order.map_err(|error| error.to_string())?;
        let expected = || format!("order `{order}`: expected nanoseconds and a CPU");
        let (length, near) = order.split_once(' ').map_or((order.as_str(), None), |(length, cpu)| (length, Some(cpu)));
        let length: u64 = length.parse().map_err(|_| expected())?;
        if let (FaultKind::CpuHog, Some(cpu)) = (kind, near) {
            let cpu: CpuSet = cpu.parse().map_err(|_| expected())?;
            rtt_host::pin_thread(&cpu).map_err(|error| error.to_string())?;
        }
        let (began, cpu) = (now(), cpu_time());
        let amount = strike.run(began.saturating_add(Nanos(length)))?;
        let proof = Proof {
            began_ns: began.0,
            ended_ns: now().0,
            cpu_ns: cpu_time().since(cpu).0,
            amount,
            unit: strike.unit().into(),
        };
        println!("{}", serde_json::to_string(&proof).expect("a proof is plain data"));
    }
    Ok(())
}

enum Strike {
    Hog,
    Neighbour(Box<(Producer, Consumer)>),
    Memory,
    PageCache { file: std::fs::File, block: Vec<u8> },
}

impl Strike {
    fn prepare(kind: FaultKind, folder: &Path) -> Result<Strike, String> {
        match kind {
            FaultKind::CpuHog => Ok(Strike::Hog),
            FaultKind::NeighbourBurst => {
                let capacity = RingCapacity::new(1 << 20).expect("a power of two");
                let segment = Segment::create(&RingConfig { capacity, pages: Pages::Small, epoch: 1 });
                let segment = segment.map_err(|error| error.to_string())?;
                let fds = |fds: Result<_, rtt_ring::DuplicateError>| fds.map_err(|error| error.to_string());
                let producer = Producer::attach(fds(segment.producer_fds())?, None);
                let consumer = Consumer::attach(fds(segment.consumer_fds())?, None);
                let producer = producer.map_err(|error| error.to_string())?;
                Ok(Strike::Neighbour(Box::new((producer, consumer.map_err(|error| error.to_string())?))))
            }
            FaultKind::MemoryPressure => Ok(Strike::Memory),
            FaultKind::PageCachePressure => {
                // A file without a name: nothing is left behind, however this process ends.
                let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
                let file = openat(CWD, folder, flags, Mode::from_raw_mode(0o600));
                let file = file.map_err(|error| format!("a nameless file in {}: {error}", folder.display()))?;
                Ok(Strike::PageCache { file: file.into(), block: vec![7; FILE_BYTES] })
            }
            FaultKind::ConsumerPause => Err("a pause is a signal, and has no process of its own".into()),
        }
    }

    fn unit(&self) -> &'static str {
        match self {
            Strike::Hog => "rounds of work",
            Strike::Neighbour(_) => "messages passed",
            Strike::Memory => "page faults for fresh memory",
            Strike::PageCache { .. } => "bytes written, dropped and read from the disk again",
        }
    }

    fn run(&mut self, until: Nanos) -> Result<u64, String> {
        let mut amount = 0_u64;
        while now() < until {
            amount += match self {
                Strike::Hog => {
                    std::hint::black_box((0..10_000_u64).fold(0_u64, |sum, x| sum.wrapping_mul(31).wrapping_add(x)));
                    1
                }
                Strike::Neighbour(ends) => pass_burst(&mut ends.0, &mut ends.1)?,
                Strike::Memory => take_memory(until)?,
                Strike::PageCache { file, block } => churn(file, block)?,
            };
        }
        Ok(amount)
    }
}

fn pass_burst(producer: &mut Producer, consumer: &mut Consumer) -> Result<u64, String> {
    let mut buffer = [0_u8; 1024];
    for _ in 0..BURST_RECORDS {
        let mut grant = producer.reserve(buffer.len()).map_err(|error| error.to_string())?;
        grant.copy_from_slice(&buffer);
        grant.commit();
    }
    producer.publish();
    let mut passed = 0;
    while consumer.read(&mut buffer).map_err(|error| error.to_string())?.is_some() {
        passed += 1;
    }
    consumer.release();
    Ok(passed)
}

/// Takes fresh memory from the kernel, writes to each page of it until `until`, and gives it back; how many faults that
/// took by the kernel's account.
fn take_memory(until: Nanos) -> Result<u64, String> {
    let before = page_faults()?;
    let mut memory = vec![0_u8; MEMORY_BYTES]; // Not from the heap: a piece of this size is a map of its own.
    for stretch in memory.chunks_mut(1 << 20) {
        stretch.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        if now() >= until {
            break;
        }
    }
    std::hint::black_box(&mut memory);
    Ok(page_faults()?.saturating_sub(before))
}

/// Writes the file, drops it from the page cache and reads it back; how many bytes came from the disk by the kernel's
/// account. Only what was written back can be dropped.
fn churn(file: &mut std::fs::File, block: &mut [u8]) -> Result<u64, String> {
    let before = disk_bytes()?;
    let mut moved = || {
        file.rewind()?;
        file.write_all(block)?;
        file.sync_data()?;
        fadvise(&*file, 0, None, Advice::DontNeed)?;
        file.rewind()?;
        file.read_exact(block)
    };
    moved().map_err(|error: std::io::Error| error.to_string())?;
    Ok(disk_bytes()?.saturating_sub(before))
}

/// Minor faults of this process: field 10 of `/proc/self/stat`, counted from behind the name (proc_pid_stat(5)).
fn page_faults() -> Result<u64, String> {
    let stat = std::fs::read_to_string("/proc/self/stat").map_err(|error| error.to_string())?;
    let faults = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(7)?.parse().ok());
    faults.ok_or_else(|| "/proc/self/stat tells no page faults".into())
}

/// Bytes that this process had read from a disk, of `/proc/self/io`.
fn disk_bytes() -> Result<u64, String> {
    let io = std::fs::read_to_string("/proc/self/io").map_err(|error| format!("/proc/self/io: {error}"))?;
    let bytes = io.lines().find_map(|line| line.strip_prefix("read_bytes:")?.trim().parse().ok());
    bytes.ok_or_else(|| "/proc/self/io tells no bytes read".into())
}

fn cpu_time() -> Nanos {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CHAOS-2: what a strike tells is the kernel's account and not its own. The sources are on a disk.
    #[test]
    fn a_strike_moves_what_it_says() {
        let soon = || now().saturating_add(Nanos::from_millis(1_000));
        assert!(take_memory(soon()).expect("faults") >= (MEMORY_BYTES >> 21) as u64, "a fault for each huge page");
        let Ok(Strike::PageCache { mut file, mut block }) =
            Strike::prepare(FaultKind::PageCachePressure, Path::new(env!("CARGO_MANIFEST_DIR")))
        else {
            panic!("a nameless file")
        };
        assert!(churn(&mut file, &mut block).expect("read") >= FILE_BYTES as u64);
    }
}
