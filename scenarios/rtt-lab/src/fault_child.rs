//! What a fault's own process does: `rtt-lab fault KIND`, one order a line on standard input, one proof a line back.
//!
//! An order is the length of the strike in nanoseconds. The process was started, placed and confined before the run,
//! so that nothing but the strike happens in it; it dies with the lab.

use crate::control::Proof;
use rtt_ring::{Consumer, Pages, Producer, RingCapacity, RingConfig, Segment, now};
use rtt_scenario::FaultKind;
use rtt_units::Nanos;
use rustix::fs::{Advice, CWD, Mode, OFlags, fadvise, openat};
use rustix::time::{ClockId, clock_gettime};
use std::io::{BufRead, Read, Seek, Write};
use std::path::Path;

/// Memory that the pressure fault touches over and over, in bytes.
const MEMORY_BYTES: usize = 64 << 20;
/// File that the page-cache fault writes, drops and reads again, in bytes.
const FILE_BYTES: usize = 16 << 20;
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
        let length: u64 = order.trim().parse().map_err(|_| format!("order `{order}`: expected nanoseconds"))?;
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
    Memory(Vec<u8>),
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
            FaultKind::MemoryPressure => Ok(Strike::Memory(vec![1; MEMORY_BYTES])),
            FaultKind::PageCachePressure => {
                // A file without a name: nothing is left behind, however this process ends.
                let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
                let file = openat(CWD, folder, flags, Mode::from_raw_mode(0o600));
                let file = file.map_err(|error| format!("a nameless file in {}: {error}", folder.display()))?;
                Ok(Strike::PageCache { file: file.into(), block: vec![7; FILE_BYTES / 16] })
            }
            FaultKind::ConsumerPause => Err("a pause is a signal, and has no process of its own".into()),
        }
    }

    fn unit(&self) -> &'static str {
        match self {
            Strike::Hog => "rounds of work",
            Strike::Neighbour(_) => "messages passed",
            Strike::Memory(_) => "bytes touched",
            Strike::PageCache { .. } => "bytes written and read",
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
                Strike::Memory(memory) => touch(memory, until),
                Strike::PageCache { file, block } => churn(file, block, until).map_err(|error| error.to_string())?,
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

/// Writes one byte of each cache line; stops at `until` between stretches of a mebibyte.
fn touch(memory: &mut [u8], until: Nanos) -> u64 {
    let mut touched = 0;
    for stretch in memory.chunks_mut(1 << 20) {
        for line in stretch.chunks_mut(64) {
            line[0] = line[0].wrapping_add(1);
        }
        touched += stretch.len() as u64;
        if now() >= until {
            break;
        }
    }
    std::hint::black_box(memory);
    touched
}

/// Writes the file, drops it from the page cache and reads it back.
fn churn(file: &mut std::fs::File, block: &mut [u8], until: Nanos) -> std::io::Result<u64> {
    let mut moved = 0;
    file.rewind()?;
    while moved < FILE_BYTES as u64 && now() < until {
        file.write_all(block)?;
        moved += block.len() as u64;
    }
    fadvise(&*file, 0, None, Advice::DontNeed)?;
    file.rewind()?;
    let mut read = 0;
    while read < moved && now() < until {
        file.read_exact(block)?;
        read += block.len() as u64;
    }
    Ok(moved + read)
}

fn cpu_time() -> Nanos {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
