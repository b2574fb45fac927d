//! The objectives as a program uses them: one document, read from its lock, that speaks of scenarios which exist.
//!
//! SCEN-7  An objective names a scenario that there is, and asks of it only what it can have: else a budget would never
//!         be in force and nobody would notice.
//!
//! What is wrong is placed in the `.cue` file where that is at hand and says the name as it is, else in the lock. Ranges
//! are `slo`'s, the lock's form and its sources are `lock`'s, judging is the gate's.

use crate::{
    document::{Refusal, line_of},
    lock::{Lock, LockError},
    lock_set::SCHEMA,
    scenario::{Arrival, Scenario},
    slo::{Objective, Slo},
};
use rtt_seal::near_name;
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// Why there are no objectives to judge by.
#[derive(Debug, thiserror::Error)]
pub enum SloError {
    /// The lock is refused.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The lock does not hold one document.
    #[error("{}: found {found} documents, expected one; nothing was run", path.display())]
    Count {
        /// The lock.
        path: PathBuf,
        /// Documents found.
        found: usize,
    },
    /// Objectives do not fit the scenarios. One line for each, then what follows from it.
    #[error("{}nothing was run", .refusals.iter().map(|refusal| format!("{refusal}\n")).collect::<String>())]
    Refused {
        /// At least one, in the order of the document.
        refusals: Vec<SloRefusal>,
    },
}

/// One objective that does not fit the scenarios.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SloRefusal {
    /// The `.cue` file from the root, or the lock.
    pub file: String,
    /// Line, field, and what was found and what was expected.
    pub refusal: Refusal,
}

impl fmt::Display for SloRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.refusal)
    }
}

/// Reads the objectives' lock, checks it against its sources where they are there, and against `scenarios`, which are
/// all that there are. Recorded paths start at the folder above the lock's own.
///
/// # Errors
/// See [`SloError`]. Nothing of objectives that are refused is returned.
pub fn load_slo<'a>(path: &Path, scenarios: impl IntoIterator<Item = &'a Scenario>) -> Result<Slo, SloError> {
    let unreadable = |source| LockError::Unreadable { path: path.to_owned(), source };
    let resolved = fs::canonicalize(path).map_err(unreadable)?;
    let root = resolved.parent().and_then(Path::parent).unwrap_or(&resolved);
    let lock = Lock::load(path, root)?;
    slo_of(&lock, path, root, scenarios).cloned()
}

/// The objectives of a lock, checked against `scenarios`; `path` is what errors call the lock, `root` is where its
/// sources are looked for.
///
/// # Errors
/// As [`load_slo`], never [`SloError::Lock`].
pub fn slo_of<'lock, 'a>(
    lock: &'lock Lock<Slo>,
    path: &Path,
    root: &Path,
    scenarios: impl IntoIterator<Item = &'a Scenario>,
) -> Result<&'lock Slo, SloError> {
    let scenarios: Vec<&Scenario> = scenarios.into_iter().collect();
    let slo = only_slo(lock, path)?;
    let misfits = slo.objectives.iter().enumerate().filter_map(|(index, objective)| {
        let (name, problem) = misfit(objective, &scenarios)?;
        let field = format!("objectives[{index}].{name}");
        let (file, line) = place(lock, path, root, objective, &field);
        Some(SloRefusal { file, refusal: Refusal { line, field, problem } })
    });
    let refusals: Vec<SloRefusal> = misfits.collect();
    if refusals.is_empty() { Ok(slo) } else { Err(SloError::Refused { refusals }) }
}

/// The one document of the objectives' lock, which errors call `path`.
///
/// # Errors
/// [`SloError::Count`].
pub fn only_slo<'a>(lock: &'a Lock<Slo>, path: &Path) -> Result<&'a Slo, SloError> {
    match lock.documents.as_slice() {
        [slo] => Ok(slo),
        more => Err(SloError::Count { path: path.to_owned(), found: more.len() }),
    }
}

/// SCEN-7: the field of the objective that does not fit, and why.
fn misfit(objective: &Objective, scenarios: &[&Scenario]) -> Option<(&'static str, String)> {
    let wanted = objective.scenario.as_str();
    let Some(scenario) = scenarios.iter().find(|scenario| scenario.name == wanted) else {
        let known: Vec<&str> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
        let hint = match near_name(wanted, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("expected one of {}", known.join(", ")),
        };
        return Some(("scenario", format!("unknown scenario `{wanted}`, {hint}")));
    };
    let permille = objective.throughput_permille_of_offered_min?;
    (scenario.workload.arrival == Arrival::ClosedLoop).then(|| {
        let problem =
            format!("found {permille} for `{wanted}`, expected it to be left out: a closed loop is offered nothing");
        ("throughput_permille_of_offered_min", problem)
    })
}

/// File and line of an objective in the source that names its scenario, else of `field` in the lock.
fn place(lock: &Lock<Slo>, path: &Path, root: &Path, objective: &Objective, field: &str) -> (String, usize) {
    let quoted = format!("\"{}\"", objective.scenario);
    let own = lock.sources.iter().filter(|source| !source.path.starts_with(SCHEMA));
    for source in own {
        let Ok(text) = fs::read_to_string(root.join(&source.path)) else { continue };
        let mut code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        if let Some(index) = code.position(|line| line.contains("scenario") && line.contains(&quoted)) {
            return (source.path.clone(), index + 1);
        }
    }
    (path.display().to_string(), line_of(lock.text().as_bytes(), &format!("documents[0].{field}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lock::Source,
        scenario::{Budget, Offered, PayloadShare, Workload},
    };
    use rtt_seal::Digest;

    fn scenario(name: &str, arrival: Arrival) -> Scenario {
        let closed = arrival == Arrival::ClosedLoop;
        Scenario {
            name: name.into(),
            title: "For tests".into(),
            about: "For tests.".into(),
            workload: Workload {
                arrival,
                offered: if closed { Offered::AsFast } else { Offered::RatePerS(20_000) },
                producers: 1,
                payload: vec![PayloadShare { bytes: 64, weight: 1 }],
                reply: closed,
                duration_ms: 1_000,
                samples_min: 1_000,
            },
            budget: Budget { loss_ppm: 0, cpu_millicores: None, memory_bytes: None },
        }
    }

    fn objective(scenario: &str, throughput_permille_of_offered_min: Option<u32>) -> Objective {
        Objective {
            scenario: scenario.into(),
            gating: true,
            latency_permille_of_limit_p50: 1_000,
            latency_permille_of_limit_p95: 1_000,
            latency_permille_of_limit_p99: 1_000,
            latency_permille_of_limit_p999: 1_000,
            throughput_permille_of_offered_min,
            loss_ppm: 0,
            cpu_millicores: None,
            depth_bytes_max: None,
            tolerance_permille: 50,
            machines: Vec::new(),
        }
    }

    /// What is read from a lock of these objectives under a root that has `source` as `ci/slo.cue`, or has none.
    fn check(objectives: Vec<Objective>, source: Option<&str>, expected: &str) {
        let root = tempfile::tempdir().expect("a folder");
        let ci = root.path().join("ci");
        fs::create_dir(&ci).expect("a folder");
        let blake3 = Digest::of(source.unwrap_or_default().as_bytes());
        if let Some(source) = source {
            fs::write(ci.join("slo.cue"), source).expect("a source");
        }
        let slo = Slo { about: "For tests.".into(), objectives };
        let lock = Lock::new(vec![Source { path: "ci/slo.cue".into(), blake3 }], vec![slo]);
        let path = ci.join("slo.lock.json");
        fs::write(&path, lock.text()).expect("a lock");
        let scenarios = [scenario("ping_pong", Arrival::ClosedLoop), scenario("steady", Arrival::Fixed)];
        let found = match load_slo(&path, &scenarios) {
            Ok(slo) => format!("{} objectives", slo.objectives.len()),
            Err(error) => error.to_string().replace(&ci.display().to_string(), "ci"),
        };
        assert_eq!(found, expected);
    }

    const SOURCE: &str =
        "// Not \"stedy\".\nslo: objectives: [\n\t{scenario: \"ping_pong\"},\n\t{scenario: \"stedy\"},\n]\n";

    /// SCEN-7
    #[test]
    fn an_objective_speaks_of_a_scenario_that_there_is() {
        check(vec![objective("steady", Some(990)), objective("ping_pong", None)], Some(SOURCE), "2 objectives");
        check(
            vec![objective("steady", None), objective("stedy", None)],
            Some(SOURCE),
            "ci/slo.cue:4: objectives[1].scenario: unknown scenario `stedy`, did you mean `steady`?\nnothing was run",
        );
        let in_the_lock = "ci/slo.lock.json:15: objectives[0].scenario: unknown scenario `else`, expected one of ping_pong, \
                           steady\nnothing was run";
        check(vec![objective("else", None)], None, in_the_lock);
        check(vec![objective("else", None)], Some(SOURCE), in_the_lock); // A source may make the name up.
    }

    /// SCEN-7
    #[test]
    fn a_closed_loop_promises_no_share_of_what_is_offered() {
        check(
            vec![objective("ping_pong", Some(990)), objective("stedy", None)],
            Some(SOURCE),
            "ci/slo.cue:3: objectives[0].throughput_permille_of_offered_min: found 990 for `ping_pong`, expected it to be \
             left out: a closed loop is offered nothing\n\
             ci/slo.cue:4: objectives[1].scenario: unknown scenario `stedy`, did you mean `steady`?\nnothing was run",
        );
    }

    #[test]
    fn a_lock_that_is_not_one_document_or_not_there_is_refused() {
        let root = tempfile::tempdir().expect("a folder");
        let lock = Lock::<Slo>::new(Vec::new(), Vec::new());
        let error = slo_of(&lock, Path::new("x.lock.json"), root.path(), []).expect_err("none").to_string();
        assert_eq!(error, "x.lock.json: found 0 documents, expected one; nothing was run");
        let error = load_slo(Path::new("no/such/slo.lock.json"), []).expect_err("none").to_string();
        assert!(
            error.starts_with("no/such/slo.lock.json: cannot be read") && error.ends_with("nothing was run"),
            "{error}"
        );
    }
}
