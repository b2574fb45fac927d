//! `cargo xtask bench`: the tuner against a known surface, or the ring's own benches.

use crate::arguments::{Arguments, unknown};
use crate::build;
use crate::exit::Stop;
use crate::host_lock::refuse_while_held;
use crate::packages;
use crate::workspace::{Workspace, exec};

/// What `--help` prints.
pub const HELP: &str = "\
Measures RTT's own parts.

Usage: cargo xtask bench tuner [OPTIONS]
       cargo xtask bench ring [ARGUMENTS OF criterion]

tuner: true regret of each solver in per cent, on a surface whose best point is known
  --evals LIST             evaluations per search, such as 25,50,100
  --seeds N                searches per row
  --json                   {version, rows: [{problem, solver, evals, seeds, median, mean, p90}]}
  --problem PROGRAM ARG..  another problem program (it speaks the problem protocol on stdin and stdout)
ring: criterion's benches of rtt-ring; the samples are judged by a report, never by the bench

Examples:
  cargo xtask bench tuner --evals 25,50 --seeds 20
  cargo xtask bench tuner --json
  cargo xtask bench ring
  cargo xtask bench ring push_pop
";

const SUBJECTS: [&str; 2] = ["tuner", "ring"];

/// Builds, then becomes the bench.
///
/// # Errors
/// A stop when the subject is unknown, another measurement runs, or the build fails.
pub fn bench(workspace: &Workspace, mut arguments: Arguments) -> Result<u8, Stop> {
    let subject = arguments.take_name().unwrap_or_default();
    let mut command = match subject.as_str() {
        "tuner" => {
            refuse_while_held("bench tuner")?;
            let programs = build::stages(workspace, packages::announced())?;
            let words = [&["bench".to_owned()], arguments.words()].concat();
            workspace.program(&programs.path("rtt-tuner"), &words)
        }
        "ring" => {
            refuse_while_held("bench ring")?;
            // Named targets only: the test harness of the library knows none of criterion's arguments.
            let mut command = workspace.cargo(["bench", "--locked", "-p", "rtt-ring", "--bench", "*", "--"]);
            command.args(arguments.words());
            command
        }
        "" => return Err(Stop::usage(format!("bench: name what to measure: {}", SUBJECTS.join(" or ")))),
        other => return Err(unknown("bench: ", "subject", other, &SUBJECTS)),
    };
    Err(exec(&mut command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_subject_is_refused_before_anything_is_built() {
        for (words, expected) in [
            (&["rng"][..], "bench: unknown subject `rng`; did you mean `ring`?"),
            (&[][..], "bench: name what to measure: tuner or ring"),
        ] {
            let stop = bench(&Workspace::find(), Arguments::new(words.iter().copied())).unwrap_err();
            assert_eq!((stop.exit.code(), stop.message.as_str()), (2, expected));
        }
    }
}
