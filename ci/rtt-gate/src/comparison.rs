//! The folder of one comparison, `.rtt/gate/<name>`: the trial logs of every gate of the same arms, and its last verdict.
//!
//! The name follows from both arms (executable, arguments, profile), the locked scenarios, the machine and alpha, so a
//! second gate of the same question goes on where the first one ended. The logs are the only state: the wealth is what
//! telling their runs again comes to. `NNN.jsonl` is a log, `NNN.json` what was asked when it was begun.
//!
//! GATE-3  Wealth is never begun anew for the same question, and never shared by different ones.

use crate::output::{Begun, Question};
use rtt_measure::{Exit, Gate, GateLog, Record, RunRecord, Stop, TrialRecord, read_log, write_whole};
use rtt_seal::{Digest, in_full};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

impl Question {
    /// The folder's name: 16 hexadecimal digits.
    pub fn name(&self) -> String {
        Digest::of(&serde_json::to_vec(self).expect("a question is JSON")).to_string()[..16].to_owned()
    }

    /// Whether there is nothing to ask: the same program under the same knobs.
    pub fn is_idle(&self) -> bool {
        self.canary.is_none() && self.arms[0] == self.arms[1]
    }
}

/// One log of a comparison.
#[derive(Clone, Debug)]
pub struct Log {
    /// Its file name.
    pub file: String,
    /// BLAKE3 of its bytes.
    pub digest: Digest,
    /// What was asked.
    pub begun: Begun,
    /// Its first record.
    pub run: RunRecord,
    /// Its trials, in order.
    pub trials: Vec<TrialRecord>,
}

impl Log {
    /// Whether it was made for `question`: these executables, on this machine.
    fn is_of(&self, question: &Question) -> bool {
        let endpoint = |arm: &str| self.run.endpoints.get(arm).map(|endpoint| endpoint.digest);
        let arms = ["base", "candidate"].iter().zip(&question.arms);
        arms.into_iter().all(|(name, arm)| endpoint(name) == Some(arm.executable))
            && self.run.fingerprint.machine.id().to_string() == question.machine
    }
}

/// A comparison's folder.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Its name.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
}

fn failed(path: &Path, doing: &str, error: &dyn std::error::Error) -> Stop {
    Stop::new(Exit::Unexpected, format!("{}: {doing}: {}", path.display(), in_full(error)))
}

impl Comparison {
    /// The folder of that name below `root`, made where it is missing.
    ///
    /// # Errors
    /// A stop when it cannot be made.
    pub fn open(root: &Path, name: &str) -> Result<Comparison, Stop> {
        let folder = root.join(".rtt/gate").join(name);
        fs::create_dir_all(&folder).map_err(|error| failed(&folder, "making the folder", &error))?;
        Ok(Comparison { name: name.into(), folder })
    }

    fn numbers(&self) -> Result<Vec<u32>, Stop> {
        let entries = fs::read_dir(&self.folder).map_err(|error| failed(&self.folder, "reading", &error))?;
        let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
        let number = |name: String| name.strip_suffix(".jsonl")?.parse::<u32>().ok();
        let mut numbers: Vec<u32> = entries.filter_map(|entry| number(name(entry)?)).collect();
        numbers.sort_unstable();
        // A log that is gone would take its bets with it.
        match numbers.iter().zip(0..).find(|(number, expected)| *number != expected) {
            Some((_, missing)) => {
                Err(self.changed(&self.log_path(missing), "it is not there, and the logs after it go on from it"))
            }
            None => Ok(numbers),
        }
    }

    /// GATE-3: the logs that are there, oldest first. A log without a trial says nothing and is left out.
    ///
    /// # Errors
    /// A stop when one is damaged, of other arms, or gone: what it said cannot be left out of the wealth.
    pub fn logs(&self, question: &Question) -> Result<Vec<Log>, Stop> {
        let mut logs = Vec::new();
        let numbers = self.numbers()?;
        if let Some(begun) = (0..).map(|number| self.log_path(number)).find(|path| !path.exists())
            && begun.with_extension("json").exists()
        {
            return Err(self.changed(&begun, "it was begun, and is not there"));
        }
        for number in numbers {
            let path = self.log_path(number);
            let opened = read_log(&path).map_err(|error| Stop::unexpected(&error))?;
            let begun_path = path.with_extension("json");
            let mut records = opened.records.into_iter().map(|(_, record)| record);
            let Some(Record::Run(run)) = records.next() else { continue };
            let trials: Vec<TrialRecord> = records
                .filter_map(|record| match record {
                    Record::Trial(trial) => Some(*trial),
                    Record::Run(_) | Record::Capacity(_) => None,
                })
                .collect();
            if trials.is_empty() {
                continue;
            }
            let bytes = fs::read(&begun_path).map_err(|error| failed(&begun_path, "reading", &error))?;
            let begun = serde_json::from_slice(&bytes).map_err(|error| failed(&begun_path, "reading", &error))?;
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let log = Log { file, digest: opened.digest, begun, run: *run, trials };
            if !log.is_of(question) {
                return Err(self.changed(&path, "it is of other builds or of another machine"));
            }
            logs.push(log);
        }
        self.check_verdict(&logs)?;
        Ok(logs)
    }

    /// GATE-3: what the last verdict was made from is still there and the same; newer logs may follow it.
    fn check_verdict(&self, logs: &[Log]) -> Result<(), Stop> {
        let Ok(bytes) = fs::read(self.folder.join("verdict.json")) else { return Ok(()) };
        // Of a verdict of another version nothing is known.
        let Ok(gate) = serde_json::from_slice::<Gate>(&bytes) else { return Ok(()) };
        let kept = |told: &GateLog| logs.iter().any(|log| (&log.file, &log.digest) == (&told.file, &told.digest));
        match gate.logs.iter().find(|told| !kept(told)) {
            Some(told) => {
                Err(self.changed(&self.folder.join(&told.file), "it is not what the last verdict was made from"))
            }
            None => Ok(()),
        }
    }

    fn changed(&self, path: &Path, why: &str) -> Stop {
        Stop::new(
            Exit::Unexpected,
            format!(
                "{}: {why}; restore it from a copy, or move the folder away to begin with fresh wealth",
                path.display()
            ),
        )
    }

    fn log_path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{number:03}.jsonl"))
    }

    /// Takes the log at `from`, which its writer has open, into the folder as the next one.
    ///
    /// # Errors
    /// A stop when it cannot be moved.
    pub fn take(&self, from: &Path, begun: &Begun) -> Result<PathBuf, Stop> {
        let number = self.numbers()?.last().map_or(0, |last| last + 1);
        let path = self.log_path(number);
        // First what was asked: a log without it could not be told again.
        let text = serde_json::to_vec_pretty(begun).expect("it is JSON");
        write_whole(&path.with_extension("json"), &text).map_err(|error| failed(&path, "writing", &error))?;
        fs::rename(from, &path).map_err(|error| failed(&path, "taking the log", &error))?;
        let synced = fs::File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| failed(&self.folder, "syncing", &error))?;
        Ok(path)
    }

    /// Keeps a file of the comparison, whole or not at all.
    ///
    /// # Errors
    /// A stop when it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Stop> {
        let path = self.folder.join(name);
        write_whole(&path, bytes).map_err(|error| failed(&path, "writing", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{ArmKey, CanaryKey};

    fn canary(number: u32, scenario: &str) -> CanaryKey {
        CanaryKey { number, scenario: scenario.into(), share: "1".into(), cpus: None }
    }

    fn question() -> Question {
        let arm = |name: &[u8]| ArmKey { executable: Digest::of(name), arguments: vec![], profile: None, knobs: None };
        Question {
            arms: [arm(b"old"), arm(b"new")],
            scenarios: Digest::of(b"lock"),
            machine: "0123456789abcdef".into(),
            statistic: "p99",
            alpha: "0.01".into(),
            canary: None,
        }
    }

    /// GATE-3: every part of the question makes another name.
    #[test]
    fn gate_3_each_question_has_a_name_of_its_own() {
        let names: Vec<String> = [
            question(),
            Question { canary: Some(canary(0, "steady")), ..question() },
            Question { canary: Some(canary(1, "steady")), ..question() },
            Question { canary: Some(canary(1, "burst")), ..question() },
            Question { machine: "f".into(), ..question() },
            Question { alpha: "0.05".into(), ..question() },
            Question { statistic: "another", ..question() },
            Question { scenarios: Digest::of(b"other"), ..question() },
            Question {
                arms: question().arms.map(|arm| ArmKey { arguments: vec!["--delay-ns=1".into()], ..arm }),
                ..question()
            },
            Question {
                arms: question().arms.map(|arm| ArmKey { profile: Some(Digest::of(b"p")), ..arm }),
                ..question()
            },
            {
                let [old, new] = question().arms;
                Question { arms: [new, old], ..question() }
            },
        ]
        .iter()
        .map(Question::name)
        .collect();
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len(), "{names:?}");
        assert_eq!(question().name(), names[0], "the same question has the same name");
        assert_eq!(names[0].len(), 16);
    }

    #[test]
    fn only_equal_arms_are_idle_and_no_canary_is() {
        assert!(!question().is_idle());
        let [old, _] = question().arms;
        let equal = Question { arms: [old.clone(), old], ..question() };
        assert!(equal.is_idle());
        assert!(!Question { canary: Some(canary(3, "steady")), ..equal }.is_idle());
    }
}
