//! Solvers of others, run by a Python program beside ours: Optuna's TPE and SMAC.
//!
//! The programs are part of this executable and handed to the interpreter as text, so nothing has to be found on disk.
//! A package that is not installed is told with the command that installs it; its rows are missing, and nothing else.

use rtt_measure::{LineChild, LineError, Stop};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

/// The program that runs them.
const RIVALS: &str = include_str!("../../peers/rivals.py");
/// How long the interpreter is waited for, and one search.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// The rivals, each with the module that it needs and the package that has it.
pub(super) const RIVALS_NEED: [(&str, &str, &str); 2] = [("optuna_tpe", "optuna", "optuna"), ("smac", "smac", "smac")];

#[derive(Deserialize)]
struct Installed {
    packages: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
struct Found {
    regret: f64,
}

/// A running interpreter with the rivals.
pub(super) struct Rivals {
    child: LineChild,
    installed: Installed,
}

impl Rivals {
    /// Starts `python`.
    ///
    /// # Errors
    /// A stop when it is no Python.
    pub(super) fn start(python: &str) -> Result<Rivals, LineError> {
        let mut command = Command::new(python);
        // One search is one thread here: the searches beside it are what uses the other CPUs.
        command.args(["-c", RIVALS]).envs(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"].map(|name| (name, "1")));
        let mut child = LineChild::start("rivals", command)?;
        let installed = child.read("before its first line", PATIENCE.0)?;
        Ok(Rivals { child, installed })
    }

    /// Version of the package that has `module`; `None` where it is not installed.
    pub(super) fn version(&self, module: &str) -> Option<&str> {
        self.installed.packages.get(module)?.as_deref()
    }

    /// True regret of what `solver` recommends on `program`, in per cent.
    ///
    /// # Errors
    /// A stop when the search failed.
    pub(super) fn regret(&mut self, program: &[String], solver: &str, evals: usize, seed: u64) -> Result<f64, Stop> {
        let request =
            serde_json::json!({"solver": solver, "program": program, "evals": evals, "seed": seed}).to_string();
        let found: Found = self.child.ask(&request, &format!("{solver} with seed {seed}"), PATIENCE.1)?;
        Ok(found.regret)
    }
}

/// The line in place of what cannot be had: why, and how to get it.
pub(super) fn skipped(what: &str, python: &str, package: &str) -> String {
    format!(
        "skipped: {what}: the package {package} is not installed; `{python} -m pip install {package}`, or name another \
         interpreter by --python"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any Python will do: what is missing is told, a search that fails is an error and the next one is still answered.
    #[test]
    fn a_failed_search_names_its_reason_and_ends_nothing() {
        let Ok(mut rivals) = Rivals::start("python3") else {
            println!("skipped: no python3; get it with `apt-get install python3`");
            return;
        };
        assert_eq!(rivals.version("no_such_module"), None);
        for _ in 0..2 {
            let program = ["echo".to_owned(), "no JSON".to_owned()];
            let stop = rivals.regret(&program, "optuna_tpe", 5, 1).expect_err("echo is no problem program");
            assert!(stop.message.contains("JSONDecodeError"), "{}", stop.message);
        }
    }

    #[test]
    fn what_is_missing_is_told_with_the_way_to_get_it() {
        assert_eq!(
            skipped("smac", "python3", "smac"),
            "skipped: smac: the package smac is not installed; `python3 -m pip install smac`, or name another \
             interpreter by --python"
        );
        assert!(Rivals::start("/nowhere/python3").is_err());
    }
}
