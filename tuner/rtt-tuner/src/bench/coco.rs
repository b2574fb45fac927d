//! The suite `coco`: functions of the COCO platform that nobody here wrote, noisy and mixed-integer, in 5 and 10
//! dimensions, served by a Python program; Optuna's TPE and SMAC beside our solvers on the very same problems.
//!
//! Each seed is another instance of each function (shifted and rotated) and another noise.

use super::jobs::{Done, Job, rows, run_all};
use super::regret::SOLVERS;
use super::rivals::{RIVALS_NEED, Rivals, skipped};
use crate::arguments::BenchArguments;
use crate::output::Row;
use rtt_measure::{Exit, Stop};

/// The program that serves a function.
const COCO: &str = include_str!("../../peers/coco.py");
/// The families with their functions. Of the noisy ones with Gaussian or Cauchy noise (two of three; what the uniform
/// noise hides cannot be asked) every third, of the mixed-integer ones every fourth, from the first on.
const FAMILIES: [(&str, &[u32]); 2] =
    [("bbob-noisy", &[1, 6, 10, 15, 19, 24, 28]), ("bbob-mixint", &[1, 5, 9, 13, 17, 21])];
const DIMENSIONS: [u32; 2] = [5, 10];
/// Instances that COCO has of each function of both families.
const INSTANCES: u64 = 15;
/// The rows over all families.
const ALL: &str = "all";

/// What the table says first.
const HEADER: &str = "\
true regret in per cent: median / mean / p90, measured now. COCO's value f is served as a p99 of
1 + 9 * max(0, f - f_best) / scale, scale the median of f - f_best over uniform draws: 0 is the best point, 900 a point
drawn blindly. Noise is COCO's own (bbob-noisy, Gaussian and Cauchy; bbob-mixint has none). Recommended is by ours the
best posterior mean, by optuna_tpe its best trial, by smac its incumbent.";

fn jobs(arguments: &BenchArguments, solvers: &[&'static str]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (family, functions) in FAMILIES {
        for dimension in DIMENSIONS {
            for &solver in solvers {
                for &evals in &arguments.evals {
                    for function in functions {
                        jobs.extend((0..arguments.seeds).map(|seed| {
                            let words = [
                                arguments.python.as_str(),
                                "-c",
                                COCO,
                                family,
                                &function.to_string(),
                                &dimension.to_string(),
                                &(1 + seed % INSTANCES).to_string(),
                            ];
                            let program = words.map(str::to_owned).to_vec();
                            Job { family: Some(format!("{family} {dimension}-D")), program, solver, evals, seed }
                        }));
                    }
                }
            }
        }
    }
    jobs
}

/// The rows of each family, then those over all.
fn with_all(done: Vec<Done>) -> Vec<Row> {
    let all: Vec<Done> = done.iter().map(|done| Done { family: ALL.into(), ..done.clone() }).collect();
    rows(&[done, all].concat())
}

/// Runs the suite: its rows, and a line for each solver that was left out.
///
/// # Errors
/// A stop when there is no Python with COCO, or a search failed.
pub(super) fn suite(arguments: &BenchArguments) -> Result<(Vec<Row>, Vec<String>), Stop> {
    let python = &arguments.python;
    let rivals = Rivals::start(python)?;
    if rivals.version("cocoex").is_none() {
        return Err(Stop::new(Exit::Unfit, format!("bench: {}", skipped("suite coco", python, "coco-experiment"))));
    }
    let mut solvers = SOLVERS.to_vec();
    let mut left_out = Vec::new();
    for (solver, module, package) in RIVALS_NEED {
        match rivals.version(module) {
            Some(_) => solvers.push(solver),
            None => left_out.push(skipped(solver, python, package)),
        }
    }
    drop(rivals);
    solvers.retain(|solver| arguments.takes(solver));
    Ok((with_all(run_all(&jobs(arguments, &solvers), python)?), left_out))
}

/// The rows for people.
pub(super) fn table(rows: &[Row], skipped: &[String]) -> String {
    let mut text = HEADER.to_owned();
    for Row { problem, solver, evals, searches, median, mean, p90, .. } in rows {
        text += &format!(
            "\n{problem:<16} {solver:<16} {evals:>4} evaluations, {searches:>4} searches  {median:7.1} / {mean:7.1} / {p90:7.1}"
        );
    }
    skipped.iter().for_each(|line| text += &format!("\n{line}"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments() -> BenchArguments {
        BenchArguments { evals: vec![10, 20], seeds: 16, ..BenchArguments::default() }
    }

    #[test]
    fn every_solver_gets_the_same_problems_and_seeds() {
        let of = |solver: &'static str| -> Vec<_> {
            let jobs = jobs(&arguments(), &["model", "smac"]);
            jobs.into_iter().filter(|job| job.solver == solver).map(|job| (job.program, job.evals, job.seed)).collect()
        };
        assert_eq!(of("model"), of("smac"));
        assert_eq!(of("model").len(), 13 * 2 * 2 * 16);
        let last = &of("smac")[15];
        assert_eq!((last.0[3].as_str(), last.0[6].as_str(), last.2), ("bbob-noisy", "1", 15), "instances come round");
    }

    #[test]
    fn all_is_over_every_family() {
        let done = |family: &str, regret| Done { family: family.into(), solver: "model", evals: 10, regret };
        let rows = with_all(vec![done("a", 1.0), done("b", 3.0)]);
        let found: Vec<_> = rows.iter().map(|row| (row.problem.as_str(), row.mean)).collect();
        assert_eq!(found, [("a", 1.0), ("b", 3.0), ("all", 2.0)]);
        let text = table(&rows, &["skipped: smac".into()]);
        assert!(text.lines().count() == 8 && text.ends_with("skipped: smac"), "{text}");
    }
}
