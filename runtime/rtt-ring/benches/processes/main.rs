//! Our ring between two processes, the machine's limit and a peer, interleaved in one run: medians, and ratios inside of a round.
//!
//! `processes [--rounds N] [--peers PROGRAM]`. A round plays every kind once, in turning order, each in two fresh processes pinned to
//! two CPUs; the machine's regime changes between rounds, so only what stands in one round is compared. Without `--peers` (see
//! `runtime/rtt-ring/peers`) the peer is left out.

use std::env;
use std::process::Command;

use rustix::thread::{CpuSet, sched_getaffinity};

mod limit;
mod ours;
mod pair;

/// Figures of one kind in each round, and which of them is better when it is small.
struct Figure {
    name: &'static str,
    measure: &'static str,
    at: usize,
    count: u64,
}

const FIGURES: [Figure; 3] = [
    Figure { name: "round_trip/64 p50, ns", measure: "round_trip", at: 0, count: 20_000 },
    Figure { name: "round_trip/64 p99, ns", measure: "round_trip", at: 1, count: 20_000 },
    Figure { name: "stream/64/batch_32, messages/us", measure: "stream", at: 0, count: 1 << 19 },
];
const ROUNDS: usize = 31;

fn main() {
    if let Some(part) = pair::part() {
        return match (part.kind.as_str(), part.is_peer) {
            ("rtt_ring", false) => ours::play(&part),
            ("rtt_ring", true) => ours::answer(&part),
            ("limit", false) => limit::play(&part),
            ("limit", true) => limit::answer(&part),
            (other, _) => panic!("unknown kind `{other}`"),
        };
    }
    let words: Vec<String> = env::args().skip(1).collect();
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let Some(cpus) = cpu_pair() else {
        eprintln!("skipped: processes needs two CPUs; allow the process a second one");
        return;
    };
    let is_test = words.iter().any(|word| word == "--test");
    let rounds = value("--rounds").map_or(ROUNDS, |word| word.parse().expect("--rounds: a number"));
    let own = env::current_exe().expect("our own program").display().to_string();
    let mut kinds = vec![("limit", own.clone()), ("rtt_ring", own)];
    kinds.extend(value("--peers").map(|program| ("ringfire", program.clone())));
    let runs = play_rounds(&kinds, cpus, if is_test { 1 } else { rounds }, is_test);
    if !is_test {
        FIGURES.iter().for_each(|figure| print(figure, &kinds, &runs));
    }
}

/// The first two CPUs that this process may use.
fn cpu_pair() -> Option<[String; 2]> {
    let allowed = sched_getaffinity(None).ok()?;
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).map(|cpu| cpu.to_string());
    Some([cpus.next()?, cpus.next()?])
}

/// What every kind printed: by measure, round and kind.
type Runs = Vec<(&'static str, Vec<Vec<Vec<f64>>>)>;

fn play_rounds(kinds: &[(&str, String)], cpus: [String; 2], rounds: usize, is_test: bool) -> Runs {
    let mut runs: Runs = ["round_trip", "stream"].map(|measure| (measure, Vec::new())).into();
    for round in 0..rounds {
        for (measure, told) in &mut runs {
            let count = FIGURES.iter().find(|figure| figure.measure == *measure).expect("a figure").count;
            let count = if is_test { 10_000 } else { count };
            let mut figures = vec![Vec::new(); kinds.len()];
            for turn in 0..kinds.len() {
                let at = (round + turn) % kinds.len();
                figures[at] = play(&kinds[at], measure, count, &cpus);
            }
            told.push(figures);
        }
    }
    runs
}

fn play((kind, program): &(&str, String), measure: &str, count: u64, cpus: &[String; 2]) -> Vec<f64> {
    let mut command = Command::new(program);
    command.args(["play", kind, measure, &count.to_string()]).args(cpus);
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> = said.split_whitespace().map_while(|word| word.parse().ok()).collect();
    assert!(output.status.success() && !figures.is_empty(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
    figures
}

fn print(figure: &Figure, kinds: &[(&str, String)], runs: &Runs) {
    let (_, rounds) = runs.iter().find(|(measure, _)| *measure == figure.measure).expect("a measure");
    let scale = if figure.measure == "stream" { 1e-6 } else { 1.0 };
    println!("{} ({} rounds)", figure.name, rounds.len());
    for (at, (kind, _)) in kinds.iter().enumerate() {
        let [low, median, high] = quartiles(rounds.iter().map(|round| round[at][figure.at] * scale));
        print!("  {kind:10} {median:8.1} ({low:.1} to {high:.1})");
        for (beside, (other, _)) in kinds.iter().enumerate().filter(|&(beside, _)| beside != at && at == 1) {
            let ratio = |round: &Vec<Vec<f64>>| round[at][figure.at] / round[beside][figure.at];
            let [low, median, high] = quartiles(rounds.iter().map(ratio));
            print!("   {median:.2} of {other} ({low:.2} to {high:.2})");
        }
        println!();
    }
}

fn quartiles(figures: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| figures[(figures.len() - 1) * quarter / 4])
}
