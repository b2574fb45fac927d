//! `rtt-config`: makes the locks of the CUE sources, and checks sources, locks, corpus and page against each other.
//!
//! Exit codes: 0 all is well (what was skipped is printed), 2 usage, 3 refused, with "nothing was run".

use clap::{Parser, Subcommand, ValueEnum};
use rtt_scenario::{
    BuildError, CHAOS_LOCK, ConfigDocument, Cue, FaultPlan, Lock, LockPlace, PACK_LOCK, SLO_LOCK, SLO_PAGE, Scenario,
    Slo, SloError, corpus, cue_verdict, export_lock, only_slo, read_json, slo_of, slo_page, write_if_changed,
};
use std::{
    error::Error,
    io::{Write, stderr, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

const REFUSED: u8 = 3;

#[derive(Parser)]
#[command(version, about = "Makes and checks the locks of the CUE sources", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  rtt-config validate my-scenario.json
  rtt-config check --cue target/cue
  rtt-config build --cue target/cue

Exit codes: 0 ok, 2 usage, 3 refused.";

#[derive(Subcommand)]
enum Command {
    /// Export the CUE sources to the locks beside them, and write SLO.md
    Build {
        /// The `cue` program; default: target/cue, else the one on PATH
        #[arg(long)]
        cue: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Prove that sources, locks, SLO.md and corpus agree
    Check {
        /// The `cue` program; without it, locks are compared with the digests of their sources only
        #[arg(long)]
        cue: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        form: Form,
    },
    /// Check documents that you wrote as JSON
    Validate {
        /// What they are
        #[arg(long, value_enum, default_value_t = Kind::Scenario)]
        kind: Kind,
        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        form: Form,
    },
    /// Print SLO.md, as made from ci/slo.lock.json
    Slo {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(clap::Args)]
struct Place {
    /// Root of the repository; default: the nearest folder above that holds spec/schema
    #[arg(long)]
    root: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Form {
    /// One JSON object on stdout instead of lines: {version, ok, refused, skipped}, each a list of sentences
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Scenario,
    FaultPlan,
    Slo,
}

impl Place {
    fn root(&self) -> Result<PathBuf, Box<dyn Error>> {
        if let Some(root) = &self.root {
            return Ok(root.clone());
        }
        let here = std::env::current_dir()?;
        let root = here.ancestors().find(|folder| folder.join("spec/schema").is_dir());
        root.map(Path::to_owned)
            .ok_or_else(|| "no spec/schema here or above, expected the repository (see --root); nothing was run".into())
    }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Build { cue, place } => place.root().and_then(|root| build(&root, cue)),
        Command::Check { cue, place, form } => {
            place.root().and_then(|root| check(&root, cue.map(|cue| Cue::at(&cue)), Findings::new(&form)))
        }
        Command::Validate { kind, files, form } => validate(kind, &files, Findings::new(&form)),
        Command::Slo { place } => place.root().and_then(|root| print_slo(&root)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {}", with_causes(error.as_ref())));
            ExitCode::from(REFUSED)
        }
    }
}

/// One line on stdout. A reader that left, as under `| head`, changes nothing: what counts is the exit code.
fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// One line on stderr, likewise.
fn complain(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}\n  caused by: {cause}"))
}

fn build(root: &Path, cue: Option<PathBuf>) -> Result<(), Box<dyn Error>> {
    let found = cue.map_or_else(|| Cue::find(root), |cue| Ok(Cue::at(&cue)));
    let cue = &found.map_err(|error| format!("{error}; nothing was run"))?;
    // All sources are evaluated and compared before the first lock is replaced: a mistake in one leaves the set as it was.
    let scenarios = export_lock::<Scenario>(PACK_LOCK, root, cue)?;
    let plans = export_lock::<FaultPlan>(CHAOS_LOCK, root, cue)?;
    let objectives = export_lock::<Slo>(SLO_LOCK, root, cue)?;
    let slo = slo_of(&objectives, Path::new(SLO_LOCK.lock), root, &scenarios.documents)?;
    for (path, text) in [
        (PACK_LOCK.lock, scenarios.text()),
        (CHAOS_LOCK.lock, plans.text()),
        (SLO_LOCK.lock, objectives.text()),
        (SLO_PAGE, slo_page(slo)),
    ] {
        let changed = write_if_changed(&root.join(path), &text)?;
        say(&format!("{path}: {}", if changed { "written" } else { "unchanged" }));
    }
    Ok(())
}

fn validate(kind: Kind, files: &[PathBuf], mut findings: Findings) -> Result<(), Box<dyn Error>> {
    fn one<T: ConfigDocument>(file: &Path, findings: &mut Findings) {
        findings.note(&format!("{}: a good {}", file.display(), T::KIND), read_json::<T>(file));
    }
    for file in files {
        match kind {
            Kind::Scenario => one::<Scenario>(file, &mut findings),
            Kind::FaultPlan => one::<FaultPlan>(file, &mut findings),
            Kind::Slo => one::<Slo>(file, &mut findings),
        }
    }
    findings.finish()
}

fn print_slo(root: &Path) -> Result<(), Box<dyn Error>> {
    let lock = Lock::<Slo>::load(&root.join(SLO_LOCK.lock), root)?;
    say(slo_page(only_slo(&lock, Path::new(SLO_LOCK.lock))?).trim_end());
    Ok(())
}

/// What `check` and `validate` found: everything is looked at, then judged.
struct Findings {
    json: bool,
    ok: Vec<String>,
    refused: Vec<String>,
    skipped: Vec<String>,
}

impl Findings {
    fn new(form: &Form) -> Findings {
        Findings { json: form.json, ok: Vec::new(), refused: Vec::new(), skipped: Vec::new() }
    }

    /// Notes `good`, or why not.
    fn note<T, E: Error>(&mut self, good: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => {
                self.good(good);
                Some(value)
            }
            Err(error) => {
                self.refuse(&with_causes(&error));
                None
            }
        }
    }

    fn good(&mut self, what: &str) {
        if !self.json {
            say(&format!("ok: {what}"));
        }
        self.ok.push(what.into());
    }

    fn skip(&mut self, what: &str) {
        if !self.json {
            say(&format!("skipped: {what}"));
        }
        self.skipped.push(what.into());
    }

    fn refuse(&mut self, why: &str) {
        complain(&format!("refused: {why}"));
        self.refused.push(why.into());
    }

    fn finish(self) -> Result<(), Box<dyn Error>> {
        if self.json {
            let found = serde_json::json!({
                "version": 1, "ok": self.ok, "refused": self.refused, "skipped": self.skipped,
            });
            say(&found.to_string());
        }
        match self.refused.len() {
            0 => Ok(()),
            refused => Err(format!("{refused} refused; nothing was run").into()),
        }
    }
}

fn check(root: &Path, cue: Option<Cue>, mut findings: Findings) -> Result<(), Box<dyn Error>> {
    let scenarios = check_lock::<Scenario>(PACK_LOCK, root, cue.as_ref(), &mut findings);
    check_lock::<FaultPlan>(CHAOS_LOCK, root, cue.as_ref(), &mut findings);
    if let Some(lock) = check_lock::<Slo>(SLO_LOCK, root, cue.as_ref(), &mut findings) {
        let slo = only_slo(&lock, Path::new(SLO_LOCK.lock))?;
        if std::fs::read(root.join(SLO_PAGE)).is_ok_and(|page| page == slo_page(slo).as_bytes()) {
            findings.good(&format!("{SLO_PAGE} is the page of {}", SLO_LOCK.lock));
        } else {
            findings.refuse(&format!("{SLO_PAGE}: not the page of {}: run `cargo xtask config build`", SLO_LOCK.lock));
        }
        if let Some(scenarios) = scenarios {
            check_objectives(&lock, root, &scenarios.documents, &mut findings)?;
        }
    }
    check_corpus(root, cue.as_ref(), &mut findings)?;
    match cue {
        Some(cue) => findings.good(&format!("compared with {}", cue.version()?)),
        None => findings.skip(
            "no `cue` given, so neither exports nor CUE's verdicts on the corpus were compared; `cargo xtask config check` \
             builds it where Go 1.24 or later is installed",
        ),
    }
    findings.finish()
}

/// The lock itself, then whether its sources still say the same.
fn check_lock<T: ConfigDocument>(
    place: LockPlace,
    root: &Path,
    cue: Option<&Cue>,
    findings: &mut Findings,
) -> Option<Lock<T>> {
    let lock = Lock::<T>::load(&root.join(place.lock), root);
    let lock = findings.note(&format!("{} agrees with the digests of its sources", place.lock), lock);
    let Some(cue) = cue else { return lock };
    let exported: Result<Lock<T>, BuildError> = export_lock(place, root, cue);
    let exported = findings.note(&format!("{}/*.cue evaluates", place.folder), exported);
    // A lock that was edited together with its digests is found only here.
    if let (Some(lock), Some(exported)) = (&lock, exported)
        && lock.text() != exported.text()
    {
        findings.refuse(&format!("{}: not what its sources say: run `cargo xtask config build`", place.lock));
    }
    lock
}

/// Each scenario has its objective, and each objective has its scenario.
fn check_objectives(
    lock: &Lock<Slo>,
    root: &Path,
    scenarios: &[Scenario],
    findings: &mut Findings,
) -> Result<(), SloError> {
    let before = findings.refused.len();
    let slo = only_slo(lock, Path::new(SLO_LOCK.lock))?;
    for scenario in scenarios.iter().filter(|scenario| slo.objective(&scenario.name).is_none()) {
        findings.refuse(&format!("ci/slo.cue: scenario `{}` has no objective, expected one for each", scenario.name));
    }
    match slo_of(lock, Path::new(SLO_LOCK.lock), root, scenarios) {
        Ok(_) => {}
        Err(SloError::Refused { refusals }) => {
            refusals.iter().for_each(|refusal| findings.refuse(&refusal.to_string()));
        }
        Err(error) => return Err(error),
    }
    if findings.refused.len() == before {
        findings.good("each scenario has its objective");
    }
    Ok(())
}

/// SCEN-6: the folder of a document is its verdict, for the reader and for CUE.
fn check_corpus(root: &Path, cue: Option<&Cue>, findings: &mut Findings) -> Result<(), Box<dyn Error>> {
    let rows = corpus(root)?;
    let before = findings.refused.len();
    for row in &rows {
        let word = |accepted| if accepted { "accepted" } else { "refused" };
        let mut judge = |who: &str, accepted: bool| {
            if accepted != row.good {
                findings.refuse(&format!("{}: {} by {who}, expected {}", row.path, word(accepted), word(row.good)));
            }
        };
        judge("the Rust reader", row.reader_verdict().accepted());
        if let Some(cue) = cue {
            judge("cue vet", cue_verdict(row, root, cue)?.accepted());
        }
    }
    if findings.refused.len() == before {
        let readers = if cue.is_some() { "the Rust reader and cue vet" } else { "the Rust reader" };
        findings.good(&format!("{} documents of the corpus have the same verdict from {readers}", rows.len()));
    }
    Ok(())
}
