//! The folder of one run, `.rtt/runs/RUN`: `trials.jsonl` is the problem's log, `run.json` what the run was asked to do,
//! `fit.json` what came of it. A run without a fit is unfinished and can be resumed.
//!
//! TUNER-8  A resumed run does what it was asked at first: options that contradict `run.json` are refused.

use crate::output::{Begun, Options, Plan};
use crate::screen::say;
use rtt_measure::{Exit, Point, Record, Stop, read_log, write_whole};
use rtt_profile::utc;
use rtt_seal::{Digest, in_full, near_name};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Version of `run.json`.
const VERSION: u32 = 1;

/// The folder of a run.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

fn failed(path: &Path, doing: &str, error: &io::Error) -> Stop {
    Stop::new(Exit::Unexpected, format!("{}: {doing}: {}", path.display(), in_full(error)))
}

/// Where runs are kept.
fn runs(root: &Path) -> PathBuf {
    root.join(".rtt/runs")
}

impl RunFolder {
    /// A new folder; its name is the time and the seed.
    ///
    /// # Errors
    /// A stop when it cannot be made.
    pub(crate) fn create(root: &Path, now_unix_s: u64, seed: u64) -> Result<RunFolder, Stop> {
        let digits: String = utc(now_unix_s).chars().filter(char::is_ascii_digit).collect();
        let (day, time) = digits.split_at(digits.len().min(8));
        let stem = format!("{day}-{time}-{:04x}", seed & 0xffff);
        fs::create_dir_all(runs(root)).map_err(|error| failed(&runs(root), "making the folder", &error))?;
        for attempt in 0..100 {
            let name = if attempt == 0 { stem.clone() } else { format!("{stem}-{attempt}") };
            let path = runs(root).join(&name);
            match fs::create_dir(&path) {
                Ok(()) => return Ok(RunFolder { name, path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&path, "making the folder", &error)),
            }
        }
        Err(Stop::new(Exit::Unexpected, format!("a hundred runs are called {stem}; remove some")))
    }

    /// The run called `name`, or the newest one that is not finished.
    ///
    /// # Errors
    /// A stop when there is none, or it is finished.
    pub(crate) fn find(root: &Path, name: Option<&str>) -> Result<RunFolder, Stop> {
        let all = fs::read_dir(runs(root)).map(|entries| {
            let named = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            named.collect::<BTreeSet<String>>()
        });
        let all = all.unwrap_or_default();
        let folder = |name: &str| RunFolder { name: name.into(), path: runs(root).join(name) };
        if let Some(name) = name {
            let near = near_name(name, all.iter().map(String::as_str));
            if !all.contains(name) {
                let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                return Err(Stop::usage(format!(
                    "--resume {name}: there is no such run in {}{near}",
                    runs(root).display()
                )));
            }
            return if folder(name).fit().exists() {
                Err(Stop::usage(format!(
                    "--resume {name}: this run is finished; its fit is {}",
                    folder(name).fit().display()
                )))
            } else {
                Ok(folder(name))
            };
        }
        // A run whose problem keeps no log has nothing to go on from; it must not hide an older one that has.
        let unfinished = all
            .iter()
            .rev()
            .map(|name| folder(name))
            .find(|run| run.begun_path().exists() && !run.fit().exists() && run.log().exists());
        unfinished.ok_or_else(|| Stop::usage(format!("--resume: no unfinished run in {}", runs(root).display())))
    }

    /// The problem's log.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("trials.jsonl")
    }

    /// What came of the run.
    pub(crate) fn fit(&self) -> PathBuf {
        self.path.join("fit.json")
    }

    fn begun_path(&self) -> PathBuf {
        self.path.join("run.json")
    }

    /// Keeps what the run was asked to do.
    ///
    /// # Errors
    /// A stop when it cannot be written.
    pub(crate) fn begin(&self, begun: &Begun) -> Result<(), Stop> {
        let bytes = serde_json::to_vec_pretty(begun).expect("it is JSON");
        write_whole(&self.begun_path(), &bytes).map_err(|error| failed(&self.begun_path(), "writing", &error))
    }

    /// What the run was asked to do, checked against what is `given` now.
    ///
    /// # Errors
    /// A stop when it cannot be read, or an option contradicts it (TUNER-8).
    pub(crate) fn begun(&self, given: &Options) -> Result<Begun, Stop> {
        let path = self.begun_path();
        let bytes = fs::read(&path).map_err(|error| failed(&path, "reading", &error))?;
        let begun: Begun =
            serde_json::from_slice(&bytes).ok().filter(|begun: &Begun| begun.version == VERSION).ok_or_else(|| {
                Stop::new(
                    Exit::Unexpected,
                    format!("{}: it is no run of this version; start a new run", path.display()),
                )
            })?;
        let old = &begun.options;
        let conflicts = [
            ("--quick", given.quick && !old.quick),
            ("--scenario", !given.scenario.is_empty() && given.scenario != old.scenario),
            ("--budget", given.budget_ms.is_some() && given.budget_ms != old.budget_ms),
            ("--fix", !given.fix.is_empty() && given.fix != old.fix),
            ("--sweep", !given.sweep.is_empty() && given.sweep != old.sweep),
            ("--cpus", given.cpus.is_some() && given.cpus != old.cpus),
            ("--no-faults", given.no_faults && !old.no_faults),
            ("--alike", given.alike && !old.alike),
            ("--simulate", !given.simulate.is_empty() && given.simulate != old.simulate),
            ("--seed", given.seed.as_ref().is_some_and(|seed| *seed != begun.seed)),
        ];
        match conflicts.iter().find(|(_, conflict)| *conflict) {
            Some((option, _)) => Err(Stop::usage(format!(
                "--resume {}: {option} differs from how this run began; leave it out, or start a new run",
                self.name
            ))),
            None => Ok(begun),
        }
    }

    /// Ids of the trials that the log holds; none where there is no log.
    ///
    /// # Errors
    /// A stop when the log is damaged.
    pub(crate) fn known(&self) -> Result<BTreeSet<String>, Stop> {
        if !self.log().exists() {
            return Ok(BTreeSet::new());
        }
        let opened = read_log(&self.log()).map_err(|error| Stop::unexpected(&error))?;
        if opened.torn_bytes > 0 {
            // LOG-2: whoever writes on cuts them; a problem program need not say so.
            let (bytes, log) = (opened.torn_bytes, self.log());
            say(true, &format!("{}: it ended in {bytes} bytes of a record that was not finished", log.display()));
        }
        let id = |record| match record {
            Record::Trial(trial) => Some(trial.id),
            Record::Run(_) | Record::Capacity(_) => None,
        };
        Ok(opened.records.into_iter().filter_map(|(_, record)| id(record)).collect())
    }

    /// Digest of the bytes of the log; `None` where the problem kept none.
    ///
    /// # Errors
    /// A stop when it cannot be read.
    pub(crate) fn log_digest(&self) -> Result<Option<Digest>, Stop> {
        match fs::read(self.log()) {
            Ok(bytes) => Ok(Some(Digest::of(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&self.log(), "reading", &error)),
        }
    }

    /// Keeps what came of the run, which finishes it.
    ///
    /// # Errors
    /// A stop when it cannot be written.
    pub(crate) fn finish(&self, fit: &[u8]) -> Result<(), Stop> {
        write_whole(&self.fit(), fit).map_err(|error| failed(&self.fit(), "writing", &error))
    }

    /// A new `run.json`.
    pub(crate) fn description(
        options: Options,
        seed: u64,
        plan: Plan,
        incumbent: (Point, String),
        notes: Vec<String>,
    ) -> Begun {
        let (incumbent, incumbent_origin) = incumbent;
        Begun { version: VERSION, options, seed: seed.to_string(), plan, incumbent, incumbent_origin, notes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(options: Options) -> Begun {
        let plan = Plan {
            scenarios: vec![],
            turn_shares: vec![1.0],
            turn_ms: 0,
            faulted_shares: vec![],
            pair_ms: 0,
            shares: vec![1.0],
            faults: None,
            points: 20,
            random: 0,
            placebo: 4,
            pairs_max: 20,
            budget_ms: 1,
            point_ms: 0,
            estimate_ms: (0, 0),
        };
        RunFolder::description(options, 7, plan, (Point::new(), "default".into()), vec![])
    }

    #[test]
    fn tuner_8_only_options_that_contradict_the_run_are_refused() {
        let root = tempfile::tempdir().expect("a folder");
        let run = RunFolder::create(root.path(), 0, 7).expect("a run");
        run.begin(&begun(Options { quick: true, fix: vec!["wait=spin".into()], ..Options::default() })).expect("kept");
        let check = |given: Options, option: Option<&str>| {
            let found = run.begun(&given).err().map(|stop| stop.message);
            assert_eq!(found.is_some(), option.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(option.unwrap_or_default()));
        };
        check(Options::default(), None);
        check(Options { quick: true, seed: Some("7".into()), ..Options::default() }, None);
        check(Options { seed: Some("8".into()), ..Options::default() }, Some("--seed"));
        check(Options { fix: vec!["wait=futex".into()], ..Options::default() }, Some("--fix"));
        check(Options { no_faults: true, ..Options::default() }, Some("--no-faults"));
        check(Options { budget_ms: Some(5), ..Options::default() }, Some("--budget"));
    }

    #[test]
    fn the_newest_unfinished_run_is_found() {
        let root = tempfile::tempdir().expect("a folder");
        assert!(RunFolder::find(root.path(), None).is_err_and(|stop| stop.exit == Exit::Usage));
        let runs: Vec<RunFolder> =
            (0..3).map(|day| RunFolder::create(root.path(), day * 86_400, 7).expect("a run")).collect();
        runs.iter().for_each(|run| run.begin(&begun(Options::default())).expect("kept"));
        runs.iter().for_each(|run| fs::write(run.log(), "").expect("a log"));
        fs::write(runs[2].fit(), "{}").expect("a fit");
        assert_eq!(RunFolder::find(root.path(), None).expect("a run").name, runs[1].name);
        fs::remove_file(runs[1].log()).expect("removed");
        assert_eq!(RunFolder::find(root.path(), None).expect("a run").name, runs[0].name, "one with a log");
        assert!(RunFolder::find(root.path(), Some(&runs[2].name)).is_err_and(|stop| stop.message.contains("finished")));
        assert!(RunFolder::find(root.path(), Some("1970")).is_err_and(|stop| stop.message.contains("no such run")));
        assert_ne!(RunFolder::create(root.path(), 0, 7).expect("another").name, runs[0].name);
    }
}
