//! Faults beside a run: a schedule of strikes, each with a proof that it struck.
//!
//! A strike is a process of the lab's own that was started, placed and confined before the run, or a pause of the
//! endpoint by signal. All of them die with the lab, the paused endpoint too (parent-death signal), so that nothing
//! outlives a crash of it.
//!
//! CHAOS-1  Equal plan, seed and length give equal strikes, whatever the knobs: all arms face the same faults.
//! CHAOS-2  A strike without proof makes the trial void; it is never taken for calm. Nor is one that began late or ended
//!          after the run: another arm would have met another fault.

use crate::confinement::Confinement;
use crate::control::Proof;
use rtt_host::{Child, Spawn, pin_process};
use rtt_measure::StrikeProof;
use rtt_ring::now;
use rtt_scenario::{FaultKind, FaultSchedule, Strike};
use rtt_units::{CpuSet, Nanos};
use std::collections::{BTreeMap, btree_map::Entry};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Stdio};

/// Share of a strike that a CPU hog must have spent on the CPU, in thousandths, to count as having struck: the
/// endpoint on the same CPU takes its part.
const CPU_SHARE_MIN_PERMILLE: u64 = 50;

/// How late a strike may begin, or by its own length where that is more, and how long after the run it may end: on a busy
/// host a thread wakes when it can.
const LATE_MAX: Nanos = Nanos(20_000_000);

/// How long the endpoint's threads may take to stop.
const STOP_PATIENCE: Nanos = Nanos(100_000_000);

/// A fault's process, ready for orders.
struct Striker {
    child: Child,
    orders: ChildStdin,
    proofs: BufReader<ChildStdout>,
}

/// The processes of a schedule.
pub struct Strikers {
    by_kind: BTreeMap<FaultKind, Striker>,
    /// After the processes, so that it is empty when it is removed.
    confinement: Option<Confinement>,
}

impl Strikers {
    /// Starts what `schedule` needs on `cpus`, the endpoint's own, and waits until each is ready.
    ///
    /// # Errors
    /// A text that names the fault and what failed.
    pub fn start(schedule: &FaultSchedule, cpus: &CpuSet, folder: &Path) -> Result<Strikers, String> {
        let mut by_kind = BTreeMap::new();
        let confinement = Confinement::make();
        let kinds = schedule.strikes.iter().map(|strike| strike.kind);
        for kind in kinds.filter(|kind| *kind != FaultKind::ConsumerPause) {
            if let Entry::Vacant(place) = by_kind.entry(kind) {
                let striker = Striker::start(kind, cpus, folder, confinement.as_ref());
                place.insert(striker.map_err(|error| format!("fault {}: {error}", kind.name()))?);
            }
        }
        Ok(Strikers { by_kind, confinement })
    }

    /// The faults' processes.
    pub fn pids(&self) -> impl Iterator<Item = u32> + '_ {
        self.by_kind.values().map(|striker| striker.child.pid())
    }

    /// Carries out `schedule` for a run of `length` that begins at `start`; what came of each strike, in order.
    ///
    /// Each kind has a thread, so that one that takes long puts off no other (CHAOS-1: the schedule alone says when).
    pub fn strike(
        &mut self,
        schedule: &FaultSchedule,
        start: Nanos,
        length: Nanos,
        endpoint: &Child,
    ) -> Vec<StrikeProof> {
        let confined = if self.confinement.is_some() { "in a cgroup of its own" } else { "under a memory limit" };
        let mut strikers: Vec<(FaultKind, Option<&mut Striker>)> =
            self.by_kind.iter_mut().map(|(kind, striker)| (*kind, Some(striker))).collect();
        strikers.push((FaultKind::ConsumerPause, None));
        let mut proofs: Vec<(usize, StrikeProof)> = std::thread::scope(|scope| {
            let threads: Vec<_> = strikers
                .into_iter()
                .map(|(kind, mut striker)| {
                    let strikes = schedule.strikes.iter().enumerate().filter(move |(_, strike)| strike.kind == kind);
                    scope.spawn(move || {
                        // A strike comes when it is planned, on a busy host too; without the privilege it may be late.
                        let _ = rustix::process::setpriority_process(None, -19);
                        let prove = |(index, strike): (usize, &Strike)| {
                            std::thread::sleep(start.saturating_add(strike.at).since(now()).as_duration());
                            let struck = match &mut striker {
                                Some(striker) => striker
                                    .strike(strike, loop_cpu(endpoint.pid()))
                                    .map(|(from, to, words)| (from, to, format!("{words}, {confined}"))),
                                None => pause(endpoint, strike),
                            };
                            (index, proof_of(strike, start, length, struck))
                        };
                        strikes.map(prove).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("a striker's thread does not panic")).collect()
        });
        proofs.sort_by_key(|(index, _)| *index);
        proofs.into_iter().map(|(_, proof)| proof).collect()
    }
}

/// The CPU that the endpoint's loop was last on; `None` where it has no such thread any more.
fn loop_cpu(pid: u32) -> Option<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let named = |task: &Path| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "rtt-loop");
    let task = tasks.flatten().map(|task| task.path()).find(|task| named(task))?;
    // Field 39, `processor`, counted from behind the name, which may hold spaces: proc_pid_stat(5).
    let stat = std::fs::read_to_string(task.join("stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(36)?.parse().ok()
}

/// What a strike is known to have done, or why it did not.
type Struck = Result<(Nanos, Nanos, String), String>;

fn proof_of(strike: &Strike, start: Nanos, length: Nanos, struck: Struck) -> StrikeProof {
    let struck = struck.and_then(|(began, ended, words)| {
        let (late, end) = (began.since(start.saturating_add(strike.at)), ended.since(start));
        // CHAOS-2
        if late > strike.duration.max(LATE_MAX) || end > length.saturating_add(LATE_MAX) {
            return Err(format!(
                "it struck at another time than planned: {late} late, until {end} of {length} ({words})"
            ));
        }
        Ok((began, ended, words))
    });
    let (struck_at_ns, ended_at_ns, proof) = match struck {
        Ok((began, ended, proof)) => (Some(began.since(start).0), Some(ended.since(start).0), proof),
        Err(reason) => (None, None, reason),
    };
    StrikeProof {
        fault: strike.kind.name().into(),
        at_ns: strike.at.0,
        duration_ns: strike.duration.0,
        struck_at_ns,
        ended_at_ns,
        proof,
    }
}

impl Striker {
    fn start(
        kind: FaultKind,
        cpus: &CpuSet,
        folder: &Path,
        confinement: Option<&Confinement>,
    ) -> Result<Striker, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let spawn = Spawn::new(program).argument("fault").argument(kind.name()).argument("--folder").argument(folder);
        let spawn = spawn.cpus(cpus.clone()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn.start().map_err(|error| error.to_string())?;
        if let Some(confinement) = confinement {
            confinement.take(child.pid()).map_err(|error| format!("not taken into the cgroup: {error}"))?;
        }
        // Once more, and read back: before Linux 6.2 a process that enters a cgroup may run on all of its cpuset.
        pin_process(child.pid(), cpus).map_err(|error| rtt_seal::in_full(&error))?;
        let orders = child.take_stdin().ok_or("no pipe to it")?;
        let mut proofs = BufReader::new(child.take_stdout().ok_or("no pipe from it")?);
        let mut ready = String::new();
        proofs.read_line(&mut ready).map_err(|error| error.to_string())?;
        if ready.trim() != "ready" {
            return Err(format!("it did not start, and said `{}`", ready.trim()));
        }
        Ok(Striker { child, orders, proofs })
    }

    /// CHAOS-2: one order, and its proof held against what was ordered.
    fn strike(&mut self, strike: &Strike, near: Option<u32>) -> Struck {
        let failed = |error: std::io::Error| format!("it was not carried out: {error}");
        let near = near.map(|cpu| format!(" {cpu}")).unwrap_or_default();
        writeln!(self.orders, "{}{near}", strike.duration.0).map_err(failed)?;
        let mut line = String::new();
        self.proofs.read_line(&mut line).map_err(failed)?;
        let proof: Proof = serde_json::from_str(&line).map_err(|error| format!("no proof came: {error}"))?;
        let elapsed = proof.ended_ns.saturating_sub(proof.began_ns);
        let words = format!("{} {}, {} of CPU time", proof.amount, proof.unit, Nanos(proof.cpu_ns));
        // A hog is what it takes of the CPU; the others are what they moved.
        let idle = strike.kind == FaultKind::CpuHog && proof.cpu_ns * 1000 < strike.duration.0 * CPU_SHARE_MIN_PERMILLE;
        if proof.amount == 0 || elapsed < strike.duration.0 || idle {
            return Err(format!("it did not strike: {words} in {} of {}", Nanos(elapsed), strike.duration));
        }
        Ok((Nanos(proof.began_ns), Nanos(proof.ended_ns), words))
    }
}

/// Pauses the endpoint; the kernel's own word at the start and at the end is the proof.
fn pause(endpoint: &Child, strike: &Strike) -> Struck {
    endpoint.stop().map_err(|error| error.to_string())?;
    let asked = now();
    // A thread that waits for a CPU stops only when it gets one.
    while endpoint.is_stopped() == Some(false) && now().since(asked) < STOP_PATIENCE {
        rustix::thread::sched_yield();
    }
    // It handles nothing from the signal on: a thread that does not get a CPU to stop on does not run either.
    let began = asked;
    std::thread::sleep(asked.saturating_add(strike.duration).since(now()).as_duration());
    let still = endpoint.is_stopped();
    let continued = endpoint.cont();
    let ended = now();
    continued.map_err(|error| error.to_string())?;
    match still {
        Some(true) => Ok((began, ended, format!("all threads stopped for {}", ended.since(began)))),
        Some(false) => Err("the endpoint was not stopped when the pause was over".into()),
        None => Err("the endpoint ended while it was to be paused".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strike(duration: u64) -> Strike {
        Strike { kind: FaultKind::ConsumerPause, at: Nanos(0), duration: Nanos(duration) }
    }

    /// CHAOS-2: what struck late, or beyond the run, is no strike of this schedule.
    #[test]
    fn a_strike_at_another_time_is_none() {
        let ms = |ms: u64| Nanos::from_millis(ms);
        let strike = Strike { kind: FaultKind::CpuHog, at: ms(100), duration: ms(50) };
        let proof = |began: u64, ended: u64| {
            let struck = Ok((ms(1000 + began), ms(1000 + ended), "words".into()));
            proof_of(&strike, ms(1000), ms(400), struck).struck_at_ns
        };
        assert_eq!((proof(100, 150), proof(150, 420)), (Some(ms(100).0), Some(ms(150).0)));
        assert_eq!((proof(151, 201), proof(150, 421)), (None, None));
    }

    #[test]
    fn the_cpu_of_the_loop_is_found_by_the_name_of_its_thread() {
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let looping = std::thread::Builder::new().name("rtt-loop".into()).spawn(move || told.recv());
        let allowed = rtt_host::allowed_cpus();
        // It names itself once it runs.
        let cpu = std::iter::repeat_with(|| loop_cpu(std::process::id())).flatten().next().expect("without end");
        assert!(allowed.iter().any(|one| one.0 == cpu), "{cpu} of {allowed}");
        drop(tell);
        let _ = looping.expect("a thread").join().expect("it ends");
        assert_eq!(loop_cpu(u32::MAX), None);
    }

    /// CHAOS-2: a pause of a process that is gone, or that was continued behind our back, is no strike.
    #[test]
    fn a_pause_is_proved_by_the_kernel() {
        let child = Spawn::new("sleep").argument("600").start().expect("sleep");
        let (began, ended, _) = pause(&child, &strike(2_000_000)).expect("it was paused");
        assert!(ended.since(began).0 > 0);
        assert_eq!(child.is_stopped(), Some(false), "it runs on");
        child.kill().expect("killed");
        let mut child = child;
        child.wait(None).expect("reaped");
        let proof = proof_of(&strike(1000), Nanos(0), Nanos(1 << 60), pause(&child, &strike(1000)));
        assert_eq!(proof.struck_at_ns, None, "{}", proof.proof);
    }
}
