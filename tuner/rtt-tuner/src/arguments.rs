//! The command line.

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What `--help` adds at the end of `tune`.
const TUNE_EXAMPLES: &str = "\
Examples:
  rtt-tuner tune --quick --lab target/release/rtt-lab --endpoint target/release/rtt-endpoint
  rtt-tuner tune --fix wait=spin --sweep ring=64KiB..4MiB:x2 --dry-run --lab ... --endpoint ...
  rtt-tuner tune --simulate target/release/rtt-syn-1
  rtt-tuner tune --resume

Exit codes: 0 better or no better, 1 unexpected (a damaged log), 2 usage, 3 configuration refused, 12 undecided,
13 environment unfit, 15 another measurement holds the host, 16 a key or a profile refused, 130 interrupted (resumable).";

const BENCH_EXAMPLES: &str = "\
Examples:
  rtt-tuner bench --evals 25,50 --seeds 20
  rtt-tuner bench --json --problem python3 rtt_syn_1.py --serve
  rtt-tuner bench --suite coco --evals 50 --seeds 3 --python ~/peers/bin/python";

/// What `bench --solvers` takes.
const SOLVERS: [&str; 5] = ["random", "latin_hypercube", "model", "optuna_tpe", "smac"];

const AGREEMENT_EXAMPLES: &str = "\
Examples:
  rtt-tuner agreement --tunes 10 --quick --lab target/release/rtt-lab --endpoint target/release/rtt-endpoint
  rtt-tuner agreement --tunes 10 --quick --alike --seed 7 --lab ... --endpoint ...

An interrupted run goes on where it is called again with the same --seed.";

/// Finds the knobs that are best for a host.
#[derive(Debug, Parser)]
#[command(name = "rtt-tuner", version, infer_long_args = false)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Subject,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Subject {
    /// Search, confirm, and write a signed profile and a report
    #[command(after_help = TUNE_EXAMPLES)]
    Tune(Box<TuneArguments>),
    /// True regret of each solver on a problem whose best point is known
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(BenchArguments),
    /// Several tunes of this host, then all that they found side by side
    #[command(after_help = AGREEMENT_EXAMPLES)]
    Agreement(AgreementArguments),
}

/// Options of `tune`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TuneArguments {
    /// Scenario `steady`, short runs, at most 32 points and 400 short pairs, about 3 minutes of measuring
    #[arg(long)]
    pub(crate) quick: bool,
    /// Print every effect and the time estimate, measure nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// One JSON object at the end of stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// Order, faults and noise again as in the run that printed this seed
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Measure this scenario (repeatable); default: steady, burst, busy
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) scenario: Vec<String>,
    /// Measuring time on the wall clock; default 15m, with --quick 3m
    #[arg(long, value_name = "TIME")]
    pub(crate) budget: Option<String>,
    /// Go on with the log of an interrupted run, the newest where none is named
    #[arg(long, value_name = "RUN", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "absent, without a name, with a name")]
    pub(crate) resume: Option<Option<String>>,
    /// Keep a knob, such as wait=spin (repeatable)
    #[arg(long, value_name = "KNOB=VALUE")]
    pub(crate) fix: Vec<String>,
    /// Bound and step a knob, such as ring=64KiB..4MiB:x2 or pin=same_cpu,same_l3 (repeatable)
    #[arg(long, value_name = "KNOB=RANGE")]
    pub(crate) sweep: Vec<String>,
    /// Use these CPUs only, such as 2-7
    #[arg(long, value_name = "LIST")]
    pub(crate) cpus: Option<String>,
    /// Calm runs only
    #[arg(long)]
    pub(crate) no_faults: bool,
    /// Compare the incumbent with itself instead of searching: what a false alarm would look like on this host
    #[arg(long, conflicts_with_all = ["fix", "sweep"])]
    pub(crate) alike: bool,
    /// Tune a simulated surface instead of this host: a problem program and its arguments, up to the next option of
    /// this command
    #[arg(long, value_name = "PROGRAM", num_args = 1.., allow_hyphen_values = true)]
    pub(crate) simulate: Vec<String>,
    /// Write under this folder: profiles/, reports/ and .rtt/
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) root: PathBuf,
    /// The lab that measures
    #[arg(long, value_name = "PATH")]
    pub(crate) lab: Option<PathBuf>,
    /// The endpoint that is tuned
    #[arg(long, value_name = "PATH")]
    pub(crate) endpoint: Option<PathBuf>,
    /// The program that draws the report; without it there is none
    #[arg(long, value_name = "PATH")]
    pub(crate) report: Option<PathBuf>,
    /// The program that keeps the history; without it the run is not appended
    #[arg(long, value_name = "PATH")]
    pub(crate) history: Option<PathBuf>,
    /// The folder of locked scenarios and fault plans [default: `scenarios` below --root]
    #[arg(long, value_name = "DIR")]
    pub(crate) pack: Option<PathBuf>,
}

/// Options of `agreement`.
#[derive(Clone, Debug, Args)]
pub(crate) struct AgreementArguments {
    /// How many tunes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) tunes: u32,
    /// Quick tunes
    #[arg(long)]
    pub(crate) quick: bool,
    /// Tunes that compare the default with itself: each `better` is a false alarm
    #[arg(long)]
    pub(crate) alike: bool,
    /// Calm runs only
    #[arg(long)]
    pub(crate) no_faults: bool,
    /// Scenario of the tunes, as `tune` takes it (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Vec<String>,
    /// Measuring time of each tune
    #[arg(long, value_name = "TIME")]
    pub(crate) budget: Option<String>,
    /// Rounds of the comparison, each set once
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(crate) rounds: u32,
    /// Seed of the first tune; the others follow it
    #[arg(long, value_name = "N", default_value_t = 101)]
    pub(crate) seed: u32,
    /// One JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// Write under this folder: .rtt/agreement
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) root: PathBuf,
    /// The lab that measures
    #[arg(long, value_name = "PATH")]
    pub(crate) lab: PathBuf,
    /// The endpoint that is tuned
    #[arg(long, value_name = "PATH")]
    pub(crate) endpoint: PathBuf,
    /// Tune a simulated host instead: a problem program and its arguments, the rest of the line
    #[arg(long, value_name = "PROGRAM", num_args = 1.., allow_hyphen_values = true)]
    pub(crate) simulate: Vec<String>,
    /// The folder of locked scenarios and fault plans
    #[arg(long, value_name = "DIR", default_value = "scenarios")]
    pub(crate) pack: PathBuf,
}

/// Problems that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// Noisy and mixed-integer functions of the COCO platform, with Optuna's TPE and SMAC beside ours
    Coco,
}

/// Options of `bench`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct BenchArguments {
    /// Evaluations for each search
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "25,50,100", value_parser = evaluations)]
    pub(crate) evals: Vec<usize>,
    /// Searches for each row
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) seeds: u64,
    /// These solvers only, such as model,optuna_tpe
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = SOLVERS)]
    pub(crate) solvers: Vec<String>,
    /// One JSON object: {version, rows: [{problem, solver, evals, seeds, median, mean, p90, regrets}], skipped}; a
    /// recommendation that breaks a constraint, or none at all, counts as a regret of 100 at least
    #[arg(long)]
    pub(crate) json: bool,
    /// Many problems in place of one; a row is over all functions of a family, `seeds` of each
    #[arg(long, value_name = "NAME", conflicts_with = "problem")]
    pub(crate) suite: Option<Suite>,
    /// The Python of --suite coco, with the packages coco-experiment, optuna and smac
    #[arg(long, value_name = "PATH", default_value = "python3")]
    pub(crate) python: String,
    /// The problem program and its arguments, the rest of the line; default: RTT-SYN-1
    #[arg(long, value_name = "PROGRAM", num_args = 1.., allow_hyphen_values = true)]
    pub(crate) problem: Vec<String>,
}

impl BenchArguments {
    /// Whether `solver` is to be measured.
    pub(crate) fn takes(&self, solver: &str) -> bool {
        self.solvers.is_empty() || self.solvers.iter().any(|name| name == solver)
    }
}

/// Puts `--simulate` and its words at the end, where they may hold any hyphen: the arguments of its program end where the
/// next option of `tune` begins. After `--` all words are the program's.
pub(crate) fn reordered(words: Vec<String>) -> Vec<String> {
    let tune = Arguments::command();
    let tune = tune.find_subcommand("tune").expect("there is a tune");
    let ours = |word: &String| {
        let name = word.split('=').next().unwrap_or(word);
        name == "--help"
            || name == "-h"
            || tune
                .get_arguments()
                .any(|known| known.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long)))
    };
    if words.get(1).map(String::as_str) != Some("tune") {
        return words;
    }
    let Some(at) = words.iter().position(|word| word == "--simulate") else { return words };
    let given = &words[at + 1..];
    let rest = given.iter().position(|word| word == "--");
    let end = given.iter().position(ours).filter(|&end| rest.is_none_or(|rest| end < rest));
    let (program, after) = given.split_at(end.or(rest).unwrap_or(given.len()));
    let (after, tail) = match (end, rest) {
        (None, Some(_)) => (&[][..], &after[1..]),
        _ => (after, &[][..]),
    };
    [&words[..at], after, &words[at..=at], program, tail].concat()
}

fn evaluations(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(count @ 2..=1000) => Ok(count),
        _ => Err(format!("`{text}`: expected whole numbers of 2 to 1000, such as 25,50,100")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, simulate: &[&str], json: bool) {
        let words = format!("rtt-tuner {line}").split(' ').map(str::to_owned).collect();
        let parsed = Arguments::try_parse_from(reordered(words)).unwrap_or_else(|error| panic!("{line}: {error}"));
        let Subject::Tune(tune) = parsed.command else { panic!("{line}: no tune") };
        assert_eq!(
            (tune.simulate.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), tune.json),
            (simulate, json),
            "{line}"
        );
    }

    #[test]
    fn the_words_of_a_simulated_program_end_at_the_next_option() {
        check("tune --simulate p", &["p"], false);
        check("tune --simulate p --constrained serve --json", &["p", "--constrained", "serve"], true);
        check("tune --json --simulate p --seed 4", &["p"], true);
        check("tune --simulate p --quick --json", &["p"], true);
        check("tune --simulate p -- --json", &["p", "--json"], false);
        check("tune --root x --simulate p -- --json --log y", &["p", "--json", "--log", "y"], false);
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
