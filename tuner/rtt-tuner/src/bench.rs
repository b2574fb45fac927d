//! `rtt-tuner bench`: true regret of the solvers on a problem whose optimum is known.
//!
//! A solver sees noisy measurements only; the true value of what is recommended is asked afterwards. Every
//! measurement counts as an evaluation. A recommendation that breaks a constraint counts as 100 % regret at least.

mod coco;
mod jobs;
mod regret;
mod rivals;

use crate::arguments::{BenchArguments, Suite};
use crate::output::Row;
use crate::screen::print;
use jobs::{Job, rows, run_all};
use regret::SOLVERS;
use rtt_measure::{Exit, Stop};

/// What others reach on RTT-SYN-1, from the benchmark's page: median, mean and p90 at 25, 50 and 100 evaluations.
const PUBLISHED: [(&str, [[f64; 3]; 3]); 10] = [
    ("random (A)", [[85.0, 86.0, 134.0], [70.0, 64.0, 112.0], [37.0, 42.0, 85.0]]),
    ("argmin simulated annealing (A)", [[193.0, 211.0, 384.0], [111.0, 138.0, 279.0], [66.0, 115.0, 266.0]]),
    ("argmin particle swarm, log window (C)", [[55.0, 52.0, 82.0], [12.0, 21.0, 57.0], [3.6, 7.8, 14.0]]),
    ("Optuna 5.0 TPE (A)", [[40.0, 39.0, 69.0], [12.0, 16.0, 24.0], [3.9, 6.0, 13.0]]),
    ("Optuna TPE, log window (C)", [[5.6, 20.0, 37.0], [1.8, 6.8, 13.0], [3.0, 3.7, 9.2]]),
    ("Optuna TPE, log window (B)", [[10.0, 31.0, 75.0], [3.7, 15.0, 25.0], [1.2, 4.7, 7.3]]),
    ("SMAC 2.4.1, 7 seeds (A)", [[88.0, 90.0, 123.0], [54.0, 62.0, 110.0], [13.0, 11.0, 19.0]]),
    ("egobox 1.0, log window, 10 seeds (C)", [[23.0, 23.0, 33.0], [4.7, 6.5, 11.0], [1.2, 2.6, 6.8]]),
    ("small GP, log window (posterior)", [[12.0, 18.0, 59.0], [4.7, 8.1, 17.0], [1.2, 4.1, 11.0]]),
    ("the same, warm start, 5 seeds", [[6.1, 7.0, 12.0], [1.7, 6.1, 14.0], [3.5, 2.5, 4.5]]),
];

/// The program that is measured where none is named: RTT-SYN-1 beside this executable.
fn beside() -> Result<Vec<String>, Stop> {
    let here = std::env::current_exe().map_err(|error| Stop::unexpected(&error))?;
    let path = here.with_file_name("rtt-syn-1");
    if !path.exists() {
        let message =
            format!("bench: {} is not there; build it with `cargo build --release -p rtt-tuner`", path.display());
        return Err(Stop::new(Exit::Unexpected, message));
    }
    Ok(vec![path.to_string_lossy().into_owned()])
}

/// The rows of one problem program.
fn problem(arguments: &BenchArguments) -> Result<Vec<Row>, Stop> {
    let program = if arguments.problem.is_empty() { beside()? } else { arguments.problem.clone() };
    let solvers = SOLVERS.into_iter().filter(|solver| arguments.takes(solver));
    let job = |solver, evals, seed| Job { family: None, program: program.clone(), solver, evals, seed };
    let jobs: Vec<Job> = solvers
        .flat_map(|solver| arguments.evals.iter().map(move |&evals| (solver, evals)))
        .flat_map(|(solver, evals)| (0..arguments.seeds).map(move |seed| job(solver, evals, seed)))
        .collect();
    Ok(rows(&run_all(&jobs, &arguments.python)?))
}

fn table(rows: &[Row]) -> String {
    let mut text =
        format!("true regret in per cent: median / mean / p90 over {} seeds, measured now", rows[0].searches);
    for row in rows {
        let Row { problem, solver, evals, median, mean, p90, .. } = row;
        text += &format!("\n{problem:<24} {solver:<18} {evals:>4} evaluations  {median:6.1} / {mean:6.1} / {p90:6.1}");
    }
    if rows[0].problem == "RTT-SYN-1" {
        text += "\n\npublished with RTT-SYN-1, not measured here (25, 50, 100 evaluations); recommended is A the lowest \
                 observed, B the best of re-measurements in the last quarter, C the best posterior mean:";
        for (method, cells) in PUBLISHED {
            let cell = |[median, mean, p90]: [f64; 3]| format!("{median:>5} / {mean:>4} / {p90:>4}");
            text += &format!("\n{method:<36} {}", cells.map(cell).join("   "));
        }
    }
    text
}

/// Runs the bench and prints its rows.
///
/// # Errors
/// A stop when the problem fails or has no known optimum.
pub(crate) fn bench(arguments: &BenchArguments) -> Result<Exit, Stop> {
    let (rows, skipped) = match arguments.suite {
        Some(Suite::Coco) => coco::suite(arguments)?,
        None => (problem(arguments)?, vec![]),
    };
    let text = match arguments.suite {
        _ if arguments.json => {
            serde_json::to_string(&serde_json::json!({"version": 1, "rows": rows, "skipped": skipped})).expect("JSON")
        }
        Some(Suite::Coco) => coco::table(&rows, &skipped),
        None => table(&rows),
    };
    print(&text)?;
    Ok(Exit::Ok)
}
