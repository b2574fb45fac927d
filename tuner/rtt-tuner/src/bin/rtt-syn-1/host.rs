//! A host's interruptions as they were recorded: what the runs of one set of knobs looked like, slice by slice, in order.
//!
//! `rtt-syn-1 host LOG...` draws such a file from the trial logs of a real host: of each arm that ran one and the same set of
//! knobs again and again, the slices of every calm run and the time to recover of every run under faults. `serve --host FILE`
//! plays it back from a place that the seed chooses: each measurement is the next run of the recording, whatever it asks for,
//! times what the surface says of its knobs. Interruptions come in bursts as they came there, and know nothing of an arm.

use rtt_measure::{Arm, Record, Verdict, read_log};
use rtt_units::SplitMix64;
use serde::Deserialize;
use std::path::Path;

/// Fewest calm runs that say anything of a host.
const RUNS_MIN: usize = 20;

/// A recording: `{"version": 1, ...}`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Host {
    /// Format: 1.
    version: u32,
    /// Where it was recorded, in words.
    about: String,
    /// 99th percentile of each kept slice of each calm run, in nanoseconds.
    calm: Vec<Vec<u64>>,
    /// Time to recover of each run under faults, in nanoseconds.
    recovery_ns: Vec<u64>,
}

/// What one measurement is multiplied with.
pub(crate) enum Played<'a> {
    /// A calm run: its slices, over the recording's typical level.
    Calm(&'a [u64], f64),
    /// A run under faults: its time to recover over the recording's.
    Faulted(f64),
}

impl Host {
    /// Reads one.
    ///
    /// # Errors
    /// A text that names the file and what is expected.
    pub(crate) fn load(path: &Path) -> Result<Host, String> {
        let refused = |reason: String| format!("--host {}: {reason}", path.display());
        let bytes = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
        let host: Host = serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
        let whole = host.version == 1
            && host.calm.len() >= RUNS_MIN
            && host.calm.iter().all(|run| !run.is_empty() && !run.contains(&0))
            && !host.recovery_ns.is_empty()
            && !host.recovery_ns.contains(&0);
        if whole {
            Ok(host)
        } else {
            Err(refused(format!("expected version 1, {RUNS_MIN} calm runs and one under faults")))
        }
    }

    /// Draws one from trial logs.
    ///
    /// # Errors
    /// A text that names the log and what is wrong with it.
    pub(crate) fn draw(logs: &[&str]) -> Result<Host, String> {
        let mut host = Host { version: 1, about: String::new(), calm: Vec::new(), recovery_ns: Vec::new() };
        for log in logs {
            let opened = read_log(Path::new(log)).map_err(|error| error.to_string())?;
            for (_, record) in opened.records {
                match record {
                    Record::Run(run) if host.about.is_empty() => {
                        let machine = run.fingerprint.machine;
                        let kernel = run.fingerprint.conditions.kernel;
                        let kernel = kernel.split('-').next().unwrap_or_default();
                        host.about = format!("{}, {} CPUs, Linux {kernel}", machine.model_name, machine.cores);
                    }
                    Record::Trial(trial)
                        if trial.verdict == Verdict::Settled
                            && matches!(trial.arm, Arm::Incumbent | Arm::Placebo | Arm::Default) =>
                    {
                        match trial.disruption {
                            Some(disruption) => host.recovery_ns.push(disruption.recovery_ns),
                            None => {
                                let kept = trial.slices_kept.iter();
                                let kept = kept.filter_map(|&index| trial.slices_ns_p99.get(index as usize).copied());
                                host.calm.push(kept.collect());
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        match host.calm.len() {
            runs if runs >= RUNS_MIN => Ok(host),
            runs => Err(format!("{runs} calm runs of an incumbent are in these logs, expected at least {RUNS_MIN}")),
        }
    }

    /// The file.
    pub(crate) fn to_json(&self) -> String {
        let Host { version, about, calm, recovery_ns } = self;
        serde_json::json!({"version": version, "about": about, "calm": calm, "recovery_ns": recovery_ns}).to_string()
    }

    /// What run `number` after the start that `seed` chose looks like.
    pub(crate) fn play(&self, seed: u64, number: u64, faulted: bool) -> Played<'_> {
        let at = |length: usize| {
            let start = SplitMix64::new(seed).below(length as u64);
            ((start + number) % length as u64) as usize
        };
        let middle = |mut values: Vec<u64>| {
            values.sort_unstable();
            values[values.len() / 2] as f64
        };
        if faulted {
            let level = middle(self.recovery_ns.clone());
            return Played::Faulted(self.recovery_ns[at(self.recovery_ns.len())] as f64 / level);
        }
        Played::Calm(&self.calm[at(self.calm.len())], middle(self.calm.iter().flatten().copied().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_played_in_its_order_from_a_place_of_the_seed() {
        let calm: Vec<Vec<u64>> = (1..=20).map(|run| vec![run; 3]).collect();
        let host = Host { version: 1, about: "x".into(), calm, recovery_ns: vec![5, 10, 20] };
        let first = |seed, number| match host.play(seed, number, false) {
            Played::Calm(slices, level) => (slices[0], level),
            Played::Faulted(_) => unreachable!("a calm run was asked for"),
        };
        let (start, level) = first(3, 0);
        assert!((level - 11.0).abs() < 1e-9);
        for number in 0..50 {
            assert_eq!(first(3, number).0, (start - 1 + number) % 20 + 1);
        }
        assert!((0..20).any(|seed| first(seed, 0).0 != start));
        assert!(matches!(host.play(1, 0, true), Played::Faulted(share) if [0.5, 1.0, 2.0].contains(&share)));
        let path = std::env::temp_dir().join(format!("rtt-syn-1-host-{}", std::process::id()));
        std::fs::write(&path, host.to_json()).expect("written");
        let read = Host::load(&path);
        std::fs::write(&path, "{}").expect("written");
        let refused = Host::load(&path);
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(read, Ok(host));
        assert!(refused.is_err_and(|reason| reason.contains("--host ")));
    }
}
