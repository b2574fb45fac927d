//! The probe between this host's CPUs, and its ends when a side is missing. No figure is asserted.

use super::*;
use crate::pin::allowed_cpus;
use std::io::{self, Write};

/// Two allowed CPUs, or `None` with the reason printed.
fn pair() -> Option<(CpuId, CpuId)> {
    let cpus: Vec<CpuId> = allowed_cpus().iter().collect();
    if cpus.len() < 2 {
        writeln!(io::stderr(), "skipped: one CPU is allowed; run with two or more").expect("stderr");
        return None;
    }
    Some((cpus[0], cpus[1]))
}

fn read(prober: &mut Prober, rounds: u32) -> Option<ProbeReading> {
    match prober.probe(rounds) {
        Ok(reading) => Some(reading),
        Err(error @ ProbeError::Busy { .. }) => {
            writeln!(io::stderr(), "skipped: {error}; run on an idle host").expect("stderr");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_prober_reads_again_and_again() {
    let Some((a, b)) = pair() else { return };
    let mut prober = Prober::new(a, b).expect("allowed CPUs");
    assert_eq!(prober.cpus(), (a, b));
    for rounds in [8, 100, 2000] {
        let Some(reading) = read(&mut prober, rounds) else { continue };
        assert_eq!(reading.rounds, rounds / GROUP * GROUP);
        assert!(reading.p50 > Nanos(0) && reading.p50 <= reading.p99, "{reading:?}");
    }
}

#[test]
fn what_cannot_be_probed_is_an_error() {
    let here = allowed_cpus().iter().next().expect("a CPU");
    assert!(matches!(Prober::new(here, here), Err(ProbeError::SameCpu { .. })));
    for (a, b) in [(here, CpuId(1023)), (CpuId(1023), here)] {
        assert!(matches!(one_line_probe(a, b, 100), Err(ProbeError::Pin { .. })));
    }
    let Some((a, b)) = pair() else { return };
    assert!(matches!(one_line_probe(a, b, 7), Err(ProbeError::TooFew { rounds: 7 })));
}

/// HOST-9: without a server the client ends when the deadline has passed, and it frees a server that still waits.
#[test]
fn host_9_a_side_that_is_left_alone_ends() {
    let shared = Shared::default();
    let until = Instant::now() + Duration::from_millis(5);
    assert!(client(&shared, 800, until).is_empty());
    assert!(Instant::now() >= until);
    assert!(shared.give_up.load(Ordering::Acquire));
    let far = Instant::now() + Duration::from_secs(3600);
    shared.line.0.store(0, Ordering::Release);
    server(&shared, 800, far); // Returns although its own deadline is far: the other side gave up.
}

#[test]
fn both_sides_keep_step_in_one_address_space() {
    let shared = Shared::default();
    let until = Instant::now() + Duration::from_secs(3600);
    let timed = std::thread::scope(|scope| {
        scope.spawn(|| server(&shared, 80, until));
        client(&shared, 80, until)
    });
    assert_eq!(timed.len(), 10);
    assert_eq!(shared.line.0.load(Ordering::Acquire), u64::from(2 * (80 + WARM_UP)));
}
