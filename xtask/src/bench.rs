//! `cargo xtask bench`: the tuner against a known surface, several tunes of this host side by side, the gate against known
//! nights, the store against its disk, or the ring's own benches.

use crate::arguments::{Arguments, unknown};
use crate::build;
use crate::exit::Stop;
use crate::host_lock::refuse_while_held;
use crate::packages;
use crate::workspace::{Workspace, exec, run_or_stop};
use std::path::PathBuf;
use std::process::Command;

/// What `--help` prints.
pub const HELP: &str = "\
Measures RTT's own parts.

Usage: cargo xtask bench tuner [OPTIONS]
       cargo xtask bench agreement [OPTIONS]
       cargo xtask bench gate [OPTIONS]
       cargo xtask bench store [OPTIONS]
       cargo xtask bench ring [processes [--rounds N] | ARGUMENTS OF criterion]

tuner: true regret of each solver in per cent, on a surface whose best point is known
  --evals LIST             evaluations per search, such as 25,50,100
  --seeds N                searches per row
  --solvers LIST           these only, such as model,optuna_tpe
  --json                   {version, rows: [{problem, solver, evals, seeds, median, mean, p90, regrets}], skipped}
  --suite coco             noisy and mixed-integer functions of COCO, with Optuna's TPE and SMAC on the same problems;
                           needs the Python packages coco-experiment, optuna and smac, and says which are missing
  --python PATH            the Python of --suite coco; default python3
  --problem PROGRAM ARG..  another problem program (it speaks the problem protocol on stdin and stdout)
agreement: tunes of this host with different seeds, each from the default, then default, presets and picks side by side
  --tunes N                how many; default 10
  --quick                  quick tunes, 3 minutes each
  --alike                  tunes that compare the default with itself: each `better` is a false alarm
  --scenario NAME          scenario of the tunes; may be repeated
  --budget TIME, --no-faults   as in tune
  --rounds N               rounds side by side; default 12
  --simulate PROGRAM ARG.. a simulated host instead; stands last, the rest is the program's
  --seed N                 seed of the first tune; called again with the same one, it goes on where it was interrupted
  --json                   {version, better, twice_as_fast, ..., sets: [..], picks: [..]}
gate: how often the gate and three and more rival rules fail and pass nights whose truth is known, in per cent
  --count N                nights of each row; default 5000, with --nights 600
  --seed N                 other nights
  --deltas LIST            how much slower the candidate is, as ratios; default 0,0.03,0.05,0.10,0.20
  --json                   {version, model, seed, rows: [{gate, delta, nights, fail, pass, undecided, pairs_mean}]}
  --nights PROGRAM ARG..   the nights of a program, by the protocol of RTT-GATE-1; stands last, the rest is the program's
store: objects and log, and SQLite, raft-engine and cacache beside them, as ratios to what this disk can do, each the
  median of interleaved rounds in one run; the peers are built first, a minute or two
  --only cas|wal           one part
  --root FOLDER            on this folder's disk (default: that for temporary files)
  --rounds N               rounds, at least 7; default 9
  --json                   {version, rows: [{case, ratio, low, high, bar}]}: ratio against the limit, low and high its interval
ring: two processes that spin on a ring, beside this machine's limit and ringfire, as ratios inside of interleaved
  rounds, then criterion's benches of rtt-ring; the peer is built first; no figure is judged here
  processes                the former alone; --rounds N, default 31
  ARGUMENTS OF criterion   the latter alone

Examples:
  cargo xtask bench tuner --evals 25,50 --seeds 20
  cargo xtask bench tuner --json
  cargo xtask bench agreement --tunes 10 --quick
  cargo xtask bench tuner --suite coco --evals 50 --seeds 3 --python ~/peers/bin/python
  cargo xtask bench gate
  cargo xtask bench gate --json --nights ./my_nights --quiet
  cargo xtask bench store --root /var/lib --json
  cargo xtask bench ring
  cargo xtask bench ring processes --rounds 101
  cargo xtask bench ring push_pop
";

const SUBJECTS: [&str; 5] = ["tuner", "agreement", "gate", "store", "ring"];

/// Builds, then becomes the bench.
///
/// # Errors
/// A stop when the subject is unknown, another measurement runs, or the build fails.
pub fn bench(workspace: &Workspace, mut arguments: Arguments) -> Result<u8, Stop> {
    let subject = arguments.take_name().unwrap_or_default();
    let mut command = match subject.as_str() {
        "tuner" | "gate" => {
            refuse_while_held(&format!("bench {subject}"))?;
            let programs = build::stages(workspace, packages::announced())?;
            let words = [&["bench".to_owned()], arguments.words()].concat();
            workspace.program(&programs.path(&format!("rtt-{subject}")), &words)
        }
        "agreement" => {
            refuse_while_held("bench agreement")?;
            let programs = build::stages(workspace, packages::announced())?;
            let own = ["agreement".to_owned(), "--lab".into()];
            let mut command = workspace.program(&programs.path("rtt-tuner"), &own);
            command.arg(programs.path("rtt-lab")).arg("--endpoint").arg(programs.path("rtt-endpoint"));
            command.args(arguments.words());
            command
        }
        "store" => {
            refuse_while_held("bench store")?;
            let peers = peers(workspace, "store")?;
            let mut command =
                workspace.cargo(["bench", "--quiet", "--locked", "-p", "rtt-store", "--bench", "store", "--"]);
            command.arg("--peers").arg(peers).args(arguments.words());
            command
        }
        "ring" => {
            refuse_while_held("bench ring")?;
            let words = arguments.words();
            if words.first().is_some_and(|word| word == "processes") {
                ring_processes(workspace, &words[1..])?
            } else {
                if words.is_empty() {
                    run_or_stop(&mut ring_processes(workspace, &[])?, "bench rings between processes")?;
                }
                let mut command = workspace.cargo(["bench", "--locked", "-p", "rtt-ring", "--bench", "ring", "--"]);
                command.args(words);
                command
            }
        }
        "" => return Err(Stop::usage(format!("bench: name what to measure: {}", SUBJECTS.join(", ")))),
        other => return Err(unknown("bench: ", "subject", other, &SUBJECTS)),
    };
    Err(exec(&mut command))
}

/// The bench of rings between two processes, with its peer.
fn ring_processes(workspace: &Workspace, words: &[String]) -> Result<Command, Stop> {
    let peers = peers(workspace, "ring")?;
    let mut command = workspace.cargo(["bench", "--quiet", "--locked", "-p", "rtt-ring", "--bench", "processes", "--"]);
    command.arg("--peers").arg(peers).args(words);
    Ok(command)
}

/// Builds what `rtt-<part>` is measured beside, a workspace of its own, and returns the program.
fn peers(workspace: &Workspace, part: &str) -> Result<PathBuf, Stop> {
    let target = workspace.target()?.join("peers");
    let mut command = workspace.cargo(["build", "--quiet", "--locked", "--release"]);
    command.arg("--manifest-path").arg(workspace.root.join(format!("runtime/rtt-{part}/peers/Cargo.toml")));
    command.arg("--target-dir").arg(&target);
    run_or_stop(&mut command, &format!("build the {part}'s peers"))?;
    Ok(target.join(format!("release/rtt-{part}-peers")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_subject_is_refused_before_anything_is_built() {
        for (words, expected) in [
            (&["rng"][..], "bench: unknown subject `rng`; did you mean `ring`?"),
            (&["gates", "--json"], "bench: unknown subject `gates`; did you mean `gate`?"),
            (&[][..], "bench: name what to measure: tuner, agreement, gate, store, ring"),
        ] {
            let stop = bench(&Workspace::find(), Arguments::new(words.iter().copied())).unwrap_err();
            assert_eq!((stop.exit.code(), stop.message.as_str()), (2, expected));
        }
    }
}
