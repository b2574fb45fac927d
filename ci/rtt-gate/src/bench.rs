//! `rtt-gate bench`: how often the gate, and rules that others use in its place, fail and pass simulated nights.
//!
//! Every rule judges nights of the same seeds, in which the candidate is slower by a known ratio. The nights are
//! RTT-GATE-1, on all CPUs, or those of a program, one line after the other. Nothing here is a threshold: the rows are
//! what was counted.

mod bounds;
mod nights;
mod output;
mod ranks;
mod rules;
mod served;

use crate::arguments::BenchArguments;
use crate::screen::{note, print};
use nights::{Nights, RTT_GATE_1, Synthetic};
use output::{Printed, Row, table};
use rtt_measure::{Decision, Exit, Stop, interrupt};
use rules::{BASELINE_AGE, Judged, RULES, Rule};
use served::Served;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Version of the object that `--json` prints.
const VERSION: u32 = 1;
/// Nights of a row where no count is given: of RTT-GATE-1, and of a program, where each run is a line there and back.
/// The page asks for 600 at least.
const COUNTS: (u64, u64) = (5000, 600);
/// When progress is told: first after so long, then after each such while.
const PROGRESS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// One row while it is counted.
struct Cell {
    rule: &'static Rule,
    delta: f64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    fail: u64,
    pass: u64,
    undecided: u64,
    pairs: u64,
}

impl Tally {
    fn count(&mut self, judged: Judged) {
        self.pairs += u64::from(judged.pairs);
        match judged.decision {
            Decision::Fail => self.fail += 1,
            Decision::Pass => self.pass += 1,
            Decision::Undecided => self.undecided += 1,
        }
    }

    fn add(&mut self, other: Tally) {
        self.fail += other.fail;
        self.pass += other.pass;
        self.undecided += other.undecided;
        self.pairs += other.pairs;
    }

    fn row(self, cell: &Cell) -> Row {
        let nights = self.fail + self.pass + self.undecided;
        // Four decimals: a share such as 0.7 is no 0.7000000000000001.
        let rounded = |value: f64| (1e4 * value).round() / 1e4;
        let share = |count: u64| rounded(100.0 * count as f64 / nights as f64);
        Row {
            gate: cell.rule.name,
            delta: cell.delta,
            nights,
            fail: share(self.fail),
            pass: share(self.pass),
            undecided: share(self.undecided),
            pairs_mean: rounded(self.pairs as f64 / nights as f64),
            fail_low_99: (cell.delta == 0.0).then(|| rounded(100.0 * bounds::share_low_99(self.fail, nights))),
        }
    }
}

/// How far it is, told on stderr where it takes long.
struct Progress {
    started: Instant,
    total: u64,
    done: AtomicU64,
    due_ms: AtomicU64,
}

impl Progress {
    fn new(total: u64) -> Progress {
        let due_ms = AtomicU64::new(PROGRESS.0.as_millis() as u64);
        Progress { started: Instant::now(), total, done: AtomicU64::new(0), due_ms }
    }

    fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let spent = self.started.elapsed();
        let (now, due) = (spent.as_millis() as u64, self.due_ms.load(Ordering::Relaxed));
        let next = now + PROGRESS.1.as_millis() as u64;
        // Relaxed: whoever moves the due time speaks, and nothing else hangs on it.
        let exchange = |due| self.due_ms.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        if now >= due && done < self.total && exchange(due).is_ok() {
            let left = spent.as_secs_f64() * (self.total - done) as f64 / done as f64;
            note(&format!("bench: {done} of {} judgements, about {left:.0} s left", self.total));
        }
    }
}

/// Nights that are judged, each by every cell before the next: whatever part is done has the mixture of the whole.
struct Bench {
    cells: Vec<Cell>,
    /// Seed of the first night.
    first: u64,
    count: u64,
    next: AtomicU64,
    progress: Progress,
}

impl Bench {
    fn new(cells: Vec<Cell>, first: u64, count: u64) -> Bench {
        let progress = Progress::new(count * cells.len() as u64);
        Bench { cells, first, count, next: AtomicU64::new(0), progress }
    }

    /// Judges nights that nobody else has taken until none is left; one tally per cell.
    fn work(&self, nights: &mut dyn Nights) -> Result<Vec<Tally>, Stop> {
        let mut tallies = vec![Tally::default(); self.cells.len()];
        loop {
            // Relaxed: each index is taken once, and what was counted is handed over by joining.
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.count {
                return Ok(tallies);
            }
            for (cell, tally) in self.cells.iter().zip(&mut tallies) {
                let judged = if interrupt::raised() {
                    Err(Stop::new(Exit::Interrupted, "interrupted"))
                } else {
                    (cell.rule.judge)(nights, self.first + index, cell.delta)
                };
                // The others need not go on once one has failed.
                let end = |_: &Stop| self.next.store(self.count, Ordering::Relaxed);
                tally.count(judged.inspect_err(end)?);
                self.progress.step();
            }
        }
    }

    /// The same on all CPUs with RTT-GATE-1; the sums do not hang on who took which night.
    fn work_on_all_cpus(&self) -> Result<Vec<Tally>, Stop> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let found: Vec<Result<Vec<Tally>, Stop>> = std::thread::scope(|scope| {
            let begun: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.work(&mut Synthetic::new()))).collect();
            let joined = begun.into_iter().map(|thread| thread.join());
            joined.map(|found| found.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let mut sums = vec![Tally::default(); self.cells.len()];
        for tallies in found {
            sums.iter_mut().zip(tallies?).for_each(|(sum, tally)| sum.add(tally));
        }
        Ok(sums)
    }
}

fn cells(deltas: &[f64]) -> Vec<Cell> {
    RULES.iter().flat_map(|rule| deltas.iter().map(move |&delta| Cell { rule, delta })).collect()
}

/// Number of the first night: seeds are so far apart that no night is in two of them, and below 2^32, which is as much as
/// some programs take for a seed.
fn first_night(seed: u64) -> u64 {
    const APART: u64 = 1 << 20;
    let place = (seed + SEED_MAX) % (SEED_MAX + 1); // That of seed 1 is the first.
    place * APART + BASELINE_AGE + 1
}

/// Largest seed of nights.
pub const SEED_MAX: u64 = 4_000;

/// Runs the bench and prints its rows.
///
/// # Errors
/// A stop when a program of nights fails.
pub fn bench(arguments: &BenchArguments) -> Result<Exit, Stop> {
    // The first night has nights before it, also where the seed is 0.
    let first = first_night(arguments.seed);
    let start = |count: u64| Bench::new(cells(&arguments.deltas), first, arguments.count.unwrap_or(count));
    let (model, bench, tallies) = if arguments.nights.is_empty() {
        let bench = start(COUNTS.0);
        let tallies = bench.work_on_all_cpus()?;
        (RTT_GATE_1.to_owned(), bench, tallies)
    } else {
        let mut served = Served::start(&arguments.nights)?;
        let bench = start(COUNTS.1);
        note(&format!(
            "bench: {} nights of {} a row, one run after the other, each a line there and back; `--count N` before \
             --nights asks for others",
            bench.count,
            served.name()
        ));
        let tallies = bench.work(&mut served)?;
        (served.name().to_owned(), bench, tallies)
    };
    let rows: Vec<Row> = bench.cells.iter().zip(tallies).map(|(cell, tally)| tally.row(cell)).collect();
    let printed = Printed { version: VERSION, model: &model, seed: arguments.seed, rows: &rows };
    let text = if arguments.json { serde_json::to_string(&printed).expect("rows are JSON") } else { table(&printed) };
    print(&text)?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RTT-GATE-1 with the margins that 1,500 nights ask for.
    #[test]
    fn the_e_process_decides_as_asked_on_rtt_gate_1() {
        let cells = [0.0, 0.05, 0.10].map(|delta| Cell { rule: &RULES[0], delta });
        let bench = Bench::new(cells.into(), 1, 1500);
        let tallies = bench.work_on_all_cpus().expect("it never fails");
        let rows: Vec<Row> = bench.cells.iter().zip(tallies).map(|(cell, tally)| tally.row(cell)).collect();
        let [alike, five, ten] = &rows[..] else { panic!("three cells, {} rows", rows.len()) };
        assert!(alike.fail <= 1.6 && alike.pass >= 90.0 && alike.pairs_mean <= 45.0, "{alike:?}");
        assert!(alike.fail_low_99.is_some_and(|low| low <= 1.0), "{alike:?}");
        assert!(five.fail >= 90.0, "{five:?}");
        assert!(ten.fail >= 99.0 && ten.pass <= 1.0, "{ten:?}");
    }

    #[test]
    fn no_two_seeds_have_a_night_in_common() {
        let mut firsts: Vec<u64> = (0..=SEED_MAX).map(first_night).collect();
        firsts.sort_unstable();
        assert!(firsts.windows(2).all(|pair| pair[1] - pair[0] > 1_000_000 + BASELINE_AGE));
        assert!(firsts.last().is_some_and(|last| last + 1_000_000 < 1 << 32));
        assert!(firsts[0] > BASELINE_AGE, "the first night has nights before it");
    }

    #[test]
    fn shares_add_up_and_counts_do_not_hang_on_threads() {
        let bench = || Bench::new(cells(&[0.0, 0.2]), 40, 30);
        let (alone, together) = (bench(), bench());
        let tallies = alone.work(&mut Synthetic::new()).expect("it never fails");
        assert_eq!(tallies, together.work_on_all_cpus().expect("it never fails"));
        for (cell, tally) in alone.cells.iter().zip(tallies) {
            let row = tally.row(cell);
            assert!((row.fail + row.pass + row.undecided - 100.0).abs() < 1e-3 && row.nights == 30, "{row:?}");
            assert_eq!(row.fail_low_99.is_some(), cell.delta == 0.0);
        }
    }
}
