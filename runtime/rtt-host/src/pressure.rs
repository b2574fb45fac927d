//! What else went on on the host: stolen time, pressure stalls, context switches.
//!
//! A reading is a set of totals since boot; two readings, taken before and after a trial, give the trial's share.
//! Source: Documentation/accounting/psi.rst, proc_stat(5).

use crate::procfs::text;
use rtt_units::Nanos;
use std::path::{Path, PathBuf};

/// `/proc/stat` counts in units of 1/100 s on every architecture (`USER_HZ`). Source: proc_stat(5).
const NANOS_PER_TICK: u64 = 10_000_000;

/// Totals since boot, or between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interference {
    /// Time that the hypervisor gave to others while a CPU here had work, summed over the CPUs, to 10 ms.
    pub steal: Nanos,
    /// Time that CPUs here spent working, summed over the CPUs, to 10 ms.
    pub busy: Nanos,
    /// Context switches of all CPUs.
    pub context_switches: u64,
    /// Time in which some task waited for a CPU; `None` on kernels without pressure stall information.
    pub cpu_pressure: Option<Nanos>,
    /// Time in which some task waited for memory.
    pub memory_pressure: Option<Nanos>,
    /// Time in which some task waited for input or output.
    pub io_pressure: Option<Nanos>,
}

/// Why the totals cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InterferenceError {
    /// `/proc/stat` is not there or not as the kernel writes it.
    #[error("interference: {} shows no `cpu` row with a steal column, expected a mounted /proc", path.display())]
    Stat {
        /// The file.
        path: PathBuf,
    },
}

impl Interference {
    /// The totals since boot.
    ///
    /// # Errors
    /// [`InterferenceError::Stat`] where `/proc/stat` cannot be read.
    pub fn read() -> Result<Interference, InterferenceError> {
        Interference::below(Path::new("/"))
    }

    fn below(root: &Path) -> Result<Interference, InterferenceError> {
        let path = root.join("proc/stat");
        let stat = text(&path).unwrap_or_default();
        let wrong = || InterferenceError::Stat { path: path.clone() };
        let row = stat.lines().find_map(|line| line.strip_prefix("cpu ")).ok_or_else(wrong)?;
        let ticks: Result<Vec<u64>, _> = row.split_whitespace().map(str::parse).collect();
        let ticks = ticks.map_err(|_| wrong())?;
        // user nice system idle iowait irq softirq steal
        let [user, nice, system, _, _, irq, softirq, steal, ..] = ticks[..] else { return Err(wrong()) };
        let busy = [user, nice, system, irq, softirq].iter().fold(0_u64, |sum, ticks| sum.saturating_add(*ticks));
        let switches = stat.lines().find_map(|line| line.strip_prefix("ctxt ")).and_then(|count| count.parse().ok());
        let pressure = |of: &str| some_total(&text(&root.join("proc/pressure").join(of))?);
        Ok(Interference {
            steal: Nanos(steal.saturating_mul(NANOS_PER_TICK)),
            busy: Nanos(busy.saturating_mul(NANOS_PER_TICK)),
            context_switches: switches.unwrap_or(0),
            cpu_pressure: pressure("cpu"),
            memory_pressure: pressure("memory"),
            io_pressure: pressure("io"),
        })
    }

    /// What was added since `earlier`. The kernel's totals may step back by a tick; such a part is zero.
    pub fn since(&self, earlier: &Interference) -> Interference {
        let part = |later: Option<Nanos>, earlier: Option<Nanos>| Some(later?.since(earlier?));
        Interference {
            steal: self.steal.since(earlier.steal),
            busy: self.busy.since(earlier.busy),
            context_switches: self.context_switches.saturating_sub(earlier.context_switches),
            cpu_pressure: part(self.cpu_pressure, earlier.cpu_pressure),
            memory_pressure: part(self.memory_pressure, earlier.memory_pressure),
            io_pressure: part(self.io_pressure, earlier.io_pressure),
        }
    }
}

/// `total` of the row `some`, which is in microseconds.
fn some_total(text: &str) -> Option<Nanos> {
    let row = text.lines().find(|line| line.starts_with("some "))?;
    let total = row.split_whitespace().find_map(|field| field.strip_prefix("total="))?;
    total.parse().ok().map(Nanos::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const STAT: &str = "cpu  10 2 30 400 5 6 7 8 0 0\ncpu0 10 2 30 400 5 6 7 8 0 0\nintr 1\nctxt 99\n";
    const PSI: &str = "some avg10=0.00 avg60=0.00 avg300=0.00 total=13\nfull avg10=0.00 avg60=0.00 total=1\n";

    fn tree(stat: &str, psi: Option<&str>) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(root.path().join("proc/pressure")).expect("proc");
        fs::write(root.path().join("proc/stat"), stat).expect("stat");
        for of in ["cpu", "memory", "io"] {
            if let Some(psi) = psi {
                fs::write(root.path().join("proc/pressure").join(of), psi).expect("pressure");
            }
        }
        root
    }

    #[test]
    fn totals_are_read_in_nanoseconds() {
        let read = Interference::below(tree(STAT, Some(PSI)).path()).expect("totals");
        assert_eq!(read.steal, Nanos::from_millis(80));
        assert_eq!(read.busy, Nanos::from_millis(550));
        assert_eq!(read.context_switches, 99);
        assert_eq!(read.cpu_pressure, Some(Nanos::from_micros(13)));
    }

    #[test]
    fn what_the_kernel_lacks_is_none_and_not_zero() {
        let read = Interference::below(tree(STAT, None).path()).expect("totals");
        assert_eq!((read.cpu_pressure, read.memory_pressure, read.io_pressure), (None, None, None));
        assert_eq!(read.since(&read).io_pressure, None);
    }

    #[test]
    fn a_file_that_is_no_stat_is_refused() {
        for stat in ["", "cpu  1 2 3\n", "cpu  a b c d e f g h\n", "cpu0 1 2 3 4 5 6 7 8\n"] {
            let error = Interference::below(tree(stat, None).path()).expect_err(stat);
            assert!(error.to_string().contains("steal column"), "{error}");
        }
    }

    #[test]
    fn a_total_that_steps_back_counts_as_nothing() {
        let later = Interference { steal: Nanos(5), context_switches: 7, ..Interference::default() };
        let earlier = Interference { steal: Nanos(9), context_switches: 3, ..Interference::default() };
        let part = later.since(&earlier);
        assert_eq!((part.steal, part.context_switches), (Nanos(0), 4));
    }

    #[test]
    fn this_host_has_worked() {
        let read = Interference::read().expect("a mounted /proc");
        assert!(read.context_switches > 0);
    }
}
