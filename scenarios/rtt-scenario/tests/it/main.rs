//! The shipped documents, the corpus, and `rtt-config` on copies of the repository's configuration.

use rtt_scenario::{
    Arrival, CHAOS_LOCK, CorpusKind, Cue, FaultKind, FaultPlan, Lock, PACK_LOCK, Pack, SLO_LOCK, Scenario, Slo, Source,
    corpus, cue_verdict, export_lock, load_slo,
};
use rtt_seal::Digest;
use rtt_units::Nanos;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The pinned `cue`, or the one on PATH, or a printed reason.
fn cue() -> Option<Cue> {
    let cue = Cue::find(&root());
    if let Err(reason) = &cue {
        writeln!(io::stderr(), "skipped: {reason}").expect("stderr");
    }
    cue.ok()
}

#[test]
fn the_pack_holds_the_shipped_scenarios() {
    let pack = Pack::load(&root().join("scenarios")).expect("the committed locks");
    let names: Vec<&str> = pack.scenarios().map(|(scenario, _)| scenario.name.as_str()).collect();
    assert_eq!(names, ["burst", "busy", "fan_in", "frugal", "mixed_payload", "ping_pong", "poisson", "steady"]);
    let (steady, digest) = pack.scenario("steady").expect("steady");
    assert_eq!(digest, steady.digest());
    assert_eq!(steady.workload.arrival, Arrival::Fixed);
    let unknown = pack.scenario("stedy").expect_err("a typo");
    assert_eq!(unknown.near.as_deref(), Some("steady"));
    assert!(unknown.to_string().ends_with("did you mean `steady`?; nothing was run"), "{unknown}");
}

/// SCEN-5
#[test]
fn everyday_strikes_once_with_each_fault_and_never_with_two_at_once() {
    let pack = Pack::load(&root().join("scenarios")).expect("the committed locks");
    let (everyday, _) = pack.fault_plan("everyday").expect("everyday");
    for seed in 0..5_000 {
        let schedule = everyday.draw(seed, Nanos::from_millis(1_000));
        assert!(!schedule.overlaps(), "seed {seed}: {schedule:?}");
        let mut kinds: Vec<FaultKind> = schedule.strikes.iter().map(|strike| strike.kind).collect();
        kinds.sort();
        assert_eq!(kinds, FaultKind::ALL, "seed {seed}");
    }
}

/// SCEN-1, SCEN-2, SCEN-6
#[test]
fn the_reader_gives_the_verdict_of_the_corpus() {
    let rows = corpus(&root()).expect("the corpus");
    let (good, bad) = (rows.iter().filter(|row| row.good).count(), rows.iter().filter(|row| !row.good).count());
    assert!(good >= 10 && bad >= 30, "{good} good and {bad} bad documents");
    let objectives = rows.iter().filter(|row| row.kind == CorpusKind::Slo).count();
    assert!(objectives >= 40, "{objectives} documents of objectives");
    for row in &rows {
        let verdict = row.reader_verdict();
        assert_eq!(verdict.accepted(), row.good, "{}: {verdict:?}", row.path);
        if let rtt_scenario::Verdict::Refused(why) = verdict {
            let place = why.strip_prefix(&row.path).and_then(|rest| rest.strip_prefix(':')).unwrap_or_default();
            assert!(place.starts_with(|c: char| c.is_ascii_digit()), "{why}: expected file:line");
            assert!(why.ends_with("\nnothing was run"), "{why}");
        }
    }
}

/// SCEN-1, SCEN-2: a figure whose unit is missing, and a budget that nothing can keep.
#[test]
fn an_impossible_objective_is_answered_with_line_field_and_range() {
    for (name, expected) in [
        ("without-unit", "12: objectives[0].latency_p99: unknown field; did you mean `latency_permille_of_limit_p99`?"),
        (
            "without-unit-beside",
            "13: objectives[0].latency_p99: unknown field; did you mean `latency_permille_of_limit_p99`?",
        ),
        (
            "machine-without-unit",
            "20: objectives[0].machines[0].latency_p99: unknown field; did you mean `latency_ns_p99`?",
        ),
        (
            "throughput-without-unit",
            "13: objectives[0].throughput_min: unknown field; did you mean `throughput_permille_of_offered_min`?",
        ),
        (
            "quantiles-fall",
            "9: objectives[0].latency_permille_of_limit_p99: found 2999, expected at least 3000, the figure of p95",
        ),
        (
            "machine-p99-below-p50",
            "18: objectives[0].machines[0].latency_ns_p99: found 800, expected at least 2000, the figure of p95",
        ),
        (
            "below-limit",
            "7: objectives[0].latency_permille_of_limit_p50: found 999, expected an integer in 1000..=100000000",
        ),
        (
            "throughput-1001",
            "13: objectives[0].throughput_permille_of_offered_min: found 1001, expected an integer in 1..=1000",
        ),
        ("loss-over", "11: objectives[0].loss_ppm: found 1000001, expected an integer in 0..=1000000"),
        ("depth-over", "13: objectives[0].depth_bytes_max: found 268435457, expected an integer in 1..=268435456"),
        ("machines-empty", "13: objectives[0].machines: the field says nothing here, expected it to be left out"),
    ] {
        let path = format!("spec/schema/corpus/bad/slo-{name}.json");
        let rows = corpus(&root()).expect("the corpus");
        let row = rows.iter().find(|row| row.path == path).expect("a document of the corpus");
        let rtt_scenario::Verdict::Refused(found) = row.reader_verdict() else { panic!("{path}: accepted") };
        assert_eq!(found, format!("{path}:{expected}\nnothing was run"));
    }
}

#[test]
fn the_shipped_objectives_are_those_of_the_shipped_scenarios() {
    let pack = Pack::load(&root().join("scenarios")).expect("the committed locks");
    let slo = load_slo(&root().join(SLO_LOCK.lock), pack.scenarios().map(|(scenario, _)| scenario));
    let slo = slo.expect("the committed lock");
    let gating: Vec<&str> = slo.gating().map(|objective| objective.scenario.as_str()).collect();
    assert_eq!(gating, ["ping_pong", "steady", "burst"]);
    for (scenario, _) in pack.scenarios() {
        let objective = slo.objective(&scenario.name).expect("an objective");
        let open = scenario.workload.arrival != Arrival::ClosedLoop;
        assert_eq!(objective.throughput_permille_of_offered_min.is_some(), open, "{}", scenario.name);
        assert!(objective.machines.is_empty(), "{}: no host's figure is in the repository", scenario.name);
    }
}

/// SCEN-6
#[test]
fn cue_gives_the_verdict_of_the_corpus() {
    let Some(cue) = cue() else { return };
    for row in corpus(&root()).expect("the corpus") {
        let verdict = cue_verdict(&row, &root(), &cue).expect("cue runs");
        assert_eq!(verdict.accepted(), row.good, "{}: {verdict:?}", row.path);
    }
}

#[test]
fn the_committed_locks_are_what_cue_exports() {
    let Some(cue) = cue() else { return };
    let committed = |lock: &str| fs::read_to_string(root().join(lock)).expect(lock);
    let scenarios = export_lock::<Scenario>(PACK_LOCK, &root(), &cue).expect("scenarios");
    assert_eq!(scenarios.text(), committed(PACK_LOCK.lock));
    let plans = export_lock::<FaultPlan>(CHAOS_LOCK, &root(), &cue).expect("fault plans");
    assert_eq!(plans.text(), committed(CHAOS_LOCK.lock));
    let slo = export_lock::<Slo>(SLO_LOCK, &root(), &cue).expect("objectives");
    assert_eq!(slo.text(), committed(SLO_LOCK.lock));
}

/// A copy of all that `rtt-config` reads.
fn repository() -> TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for folder in [
        "spec/schema",
        "spec/schema/corpus/good",
        "spec/schema/corpus/bad",
        "scenarios/pack",
        "scenarios/chaos",
        "scenarios",
        "ci",
        ".",
    ] {
        fs::create_dir_all(copy.path().join(folder)).expect("a folder");
        for entry in fs::read_dir(root().join(folder)).expect(folder) {
            let name = entry.expect("an entry").file_name();
            let wanted =
                name.to_str().is_some_and(|name| [".cue", ".json", "SLO.md"].iter().any(|end| name.ends_with(end)));
            if wanted {
                fs::copy(root().join(folder).join(&name), copy.path().join(folder).join(&name)).expect("a copy");
            }
        }
    }
    copy
}

/// Exit code, standard output and standard error of `rtt-config` in `folder`.
fn rtt_config(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rtt-config"));
    let output = { output }.args(arguments).current_dir(folder).output().expect("rtt-config starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn edit(root: &Path, file: &str, from: &str, to: &str) {
    let path = root.join(file);
    let text = fs::read_to_string(&path).expect(file);
    assert!(text.contains(from), "{file} holds {from}");
    fs::write(&path, text.replacen(from, to, 1)).expect(file);
}

/// SCEN-3, SCEN-4: each edit alone is refused, and none of them leaves `check` content.
#[test]
fn check_refuses_every_edit_that_was_not_built() {
    let (code, out, err) = rtt_config(repository().path(), &["check"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for line in ["ok: SLO.md is the page of", "ok: each scenario has its objective", "skipped: no `cue` given"] {
        assert!(out.contains(&format!("\n{line}")), "{line}: {out}");
    }
    for (file, from, to, expected) in [
        (
            "scenarios/pack/steady.cue",
            "20_000",
            "20_001",
            "scenarios/pack.lock.json: stale, scenarios/pack/steady.cue was changed",
        ),
        ("spec/schema/slo.cue", "// What", "// Which", "ci/slo.lock.json: stale, spec/schema/slo.cue was changed"),
        (
            "scenarios/pack.lock.json",
            "\"samples_min\": 2500",
            "\"samples_min\": 2501",
            "edited by hand (content has digest",
        ),
        ("scenarios/chaos.lock.json", "\"version\": 1,", "\"version\":  1,", "edited by hand (line 2"),
        ("ci/slo.lock.json", "\"version\": 1,", "\"version\": 1, \"more\": 1,", "ci/slo.lock.json: not a lock"),
        ("SLO.md", "steady", "stead", "SLO.md: not the page of ci/slo.lock.json"),
        (
            "spec/schema/corpus/good/scenario-steady.json",
            "\"fixed\"",
            "\"fixd\"",
            "refused by the Rust reader, expected accepted",
        ),
    ] {
        let copy = repository();
        edit(copy.path(), file, from, to);
        let (code, out, err) = rtt_config(copy.path(), &["check"]);
        assert_eq!(code, Some(3), "{file}: {out}{err}");
        assert!(err.contains(expected) && err.ends_with("nothing was run\n"), "{file}: {err}");
    }
}

/// The program that [`cue`] found, from anywhere.
fn cue_program() -> String {
    let built = fs::canonicalize(root().join("target/cue"));
    let program = built.unwrap_or_else(|_| PathBuf::from("cue")); // Else it was found on PATH.
    program.to_str().expect("a path in UTF-8").to_owned()
}

/// SCEN-7: with digests that agree, as after a build by somebody whose `rtt-config` looked away.
#[test]
fn check_refuses_an_objective_without_its_scenario() {
    let copy = repository();
    edit(copy.path(), "ci/slo.cue", "\"steady\"", "\"stedy\"");
    let path = copy.path().join(SLO_LOCK.lock);
    let bytes = fs::read(&path).expect("the lock");
    let Lock { sources, mut documents, .. } = Lock::<Slo>::parse(&path, &bytes).expect("the lock");
    documents[0].objectives[1].scenario = "stedy".into();
    let digest = |path: &str| Digest::of(&fs::read(copy.path().join(path)).expect("a source"));
    let sources = sources.into_iter().map(|source| Source { blake3: digest(&source.path), ..source }).collect();
    fs::write(&path, Lock::new(sources, documents).text()).expect("write");
    let (code, _, err) = rtt_config(copy.path(), &["check"]);
    assert_eq!(code, Some(3), "{err}");
    for expected in [
        "refused: ci/slo.cue: scenario `steady` has no objective, expected one for each\n",
        "objectives[1].scenario: unknown scenario `stedy`, did you mean `steady`?\n",
    ] {
        assert!(err.contains(expected) && err.ends_with("nothing was run\n"), "{err}");
    }
    let line = err.lines().find_map(|line| line.strip_prefix("refused: ci/slo.cue:")?.split_once(": objectives[1]"));
    let line: usize = line.expect("file and line").0.parse().expect("a line");
    let text = fs::read_to_string(copy.path().join("ci/slo.cue")).expect("a source");
    assert!(text.lines().nth(line - 1).is_some_and(|line| line.contains("\"stedy\"")), "line {line}: {text}");
}

/// SCEN-7, and what CUE itself refuses: file, line, field and range are in the answer, and no lock is replaced.
#[test]
fn build_refuses_an_impossible_objective_and_writes_nothing() {
    let Some(_) = cue() else { return };
    for (from, to, expected) in [
        ("\"steady\"", "\"stedy\"", "objectives[1].scenario: unknown scenario `stedy`, did you mean `steady`?"),
        (
            "#Close, ",
            "#Close, throughput_permille_of_offered_min: 990, ",
            "objectives[0].throughput_permille_of_offered_min: found 990 for `ping_pong`, expected it to be left out",
        ),
        (
            "#Close, ",
            "#Close, latency_p99: 5, ",
            "slo.objectives.0.latency_p99: field not allowed; did you mean `latency_permille_of_limit_p99`?",
        ),
        (
            "latency_permille_of_limit_p95:  50_000",
            "latency_permille_of_limit_p95:  4_000",
            "slo.objectives.0.latency_permille_of_limit_p95: invalid value 4000 (out of bound >=15000)",
        ),
        ("#Close, ", "#Close, machines: [], ", "slo.objectives.0.machines: "),
    ] {
        let copy = repository();
        edit(copy.path(), "ci/slo.cue", from, to);
        let (code, _, err) = rtt_config(copy.path(), &["build", "--cue", &cue_program()]);
        assert_eq!(code, Some(3), "{err}");
        assert!(err.contains(expected) && err.ends_with("nothing was run\n"), "{expected}: {err}");
        assert!(err.contains("ci/slo.cue:"), "{err}");
        for lock in [PACK_LOCK.lock, CHAOS_LOCK.lock, SLO_LOCK.lock, "SLO.md"] {
            let read = |root: &Path| fs::read(root.join(lock)).expect(lock);
            assert_eq!(read(copy.path()), read(&root()), "{lock}");
        }
    }
}

/// SCEN-4: digests cannot tell a lock whose digests were forged too; an export can.
#[test]
fn check_with_cue_finds_a_forged_lock_and_build_repairs_it() {
    let Some(_) = cue() else { return };
    let copy = repository();
    let program = &cue_program();
    let path = copy.path().join(PACK_LOCK.lock);
    let lock = Lock::<Scenario>::load(&path, copy.path()).expect("the lock");
    let mut documents = lock.documents.clone();
    documents[0].budget.loss_ppm = 1;
    let forged = Lock::new(lock.sources, documents);
    fs::write(&path, forged.text()).expect("write");
    assert!(Pack::load(&copy.path().join("scenarios")).is_ok(), "digests alone do not see it");
    let (code, _, err) = rtt_config(copy.path(), &["check", "--cue", program]);
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("scenarios/pack.lock.json: not what its sources say"), "{err}");
    let (code, out, err) = rtt_config(copy.path(), &["build", "--cue", program]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(
        out,
        "scenarios/pack.lock.json: written\nscenarios/chaos.lock.json: unchanged\nci/slo.lock.json: unchanged\nSLO.md: unchanged\n"
    );
    assert_eq!(fs::read(&path).expect("read"), fs::read(root().join(PACK_LOCK.lock)).expect("read"));
}

#[test]
fn build_with_a_mistake_in_a_source_writes_nothing() {
    let Some(cue) = cue() else { return };
    let copy = repository();
    edit(copy.path(), "scenarios/pack/burst.cue", "factor: 10", "factor: 101");
    let error = export_lock::<Scenario>(PACK_LOCK, copy.path(), &cue).expect_err("out of range").to_string();
    assert!(error.contains("scenarios/pack/burst.cue:") && error.ends_with("nothing was run"), "{error}");
}

#[test]
fn validate_answers_a_user() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = fs::read_to_string(root().join("spec/schema/corpus/good/scenario-steady.json")).expect("a document");
    fs::write(folder.path().join("good.json"), &good).expect("write");
    fs::write(folder.path().join("bad.json"), good.replace("\"producers\": 1", "\"producer\": 1")).expect("write");
    let (code, out, err) = rtt_config(folder.path(), &["validate", "good.json"]);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "ok: good.json: a good scenario\n", ""));
    let (code, _, err) = rtt_config(folder.path(), &["validate", "good.json", "bad.json"]);
    assert_eq!(code, Some(3));
    assert!(err.starts_with("refused: bad.json:"), "{err}");
    assert!(err.contains("workload.producer: unknown field; did you mean `producers`?\n"), "{err}");
    assert!(err.ends_with("nothing was run\n"), "{err}");
    assert_eq!(rtt_config(folder.path(), &["validat", "good.json"]).0, Some(2));
    for command in ["check", "build", "slo"] {
        let (code, _, err) = rtt_config(folder.path(), &[command]);
        assert_eq!(code, Some(3), "there is no repository here");
        assert!(err.ends_with("nothing was run\n"), "{err}");
    }
}
