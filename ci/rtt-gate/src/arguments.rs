//! The command line.

use crate::judge::lane_budget;
use crate::pairs::Plan;
use clap::{Args, Parser, Subcommand, ValueEnum};
use rtt_units::Nanos;
use std::path::PathBuf;
use std::time::Duration;

/// Judges whether a change made p99 worse on this host.
#[derive(Clone, Debug, Parser)]
#[command(name = "rtt-gate", version)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub command: Subject,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Subject {
    /// Runs pairs of a base and a candidate, and judges
    Judge(Box<JudgeArguments>),
    /// Judges the gate itself on simulated nights: shares of fail, pass and undecided
    Bench(BenchArguments),
}

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lane {
    /// The first gating scenario, 10 minutes at most
    Quick,
    /// Every gating scenario, 60 minutes at most
    Full,
}

/// Options of `judge`.
#[derive(Clone, Debug, Args)]
pub struct JudgeArguments {
    /// The candidate's endpoint
    #[arg(long, value_name = "PATH")]
    pub candidate: PathBuf,
    /// The base's endpoint; the candidate's where it is left out
    #[arg(long, value_name = "PATH")]
    pub base: Option<PathBuf>,
    /// Take the build, arguments and knobs of this run as base: its folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["base", "against_profile"])]
    pub against_run: Option<PathBuf>,
    /// Take the candidate's build under this signed profile as base
    #[arg(long, value_name = "FILE", conflicts_with = "base")]
    pub against_profile: Option<PathBuf>,
    /// What to call the candidate
    #[arg(long, value_name = "NAME", default_value = "candidate")]
    pub candidate_name: String,
    /// What to call the base
    #[arg(long, value_name = "NAME", default_value = "base")]
    pub base_name: String,
    /// A further argument of the candidate's endpoint; repeat it
    #[arg(long = "candidate-argument", value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub candidate_arguments: Vec<String>,
    /// A further argument of the base's endpoint; repeat it
    #[arg(long = "base-argument", value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub base_arguments: Vec<String>,
    /// The program that measures
    #[arg(long, value_name = "PATH")]
    pub lab: PathBuf,
    /// A word of the lab's command line before its own; repeat it
    #[arg(long = "lab-argument", value_name = "WORD", allow_hyphen_values = true, hide = true)]
    pub lab_arguments: Vec<String>,
    /// The program that draws the page; none is drawn without it
    #[arg(long, value_name = "PATH")]
    pub report: Option<PathBuf>,
    /// The program that keeps the history; without it the verdict is not appended
    #[arg(long, value_name = "PATH")]
    pub history: Option<PathBuf>,
    /// Folder of the locked scenarios
    #[arg(long, value_name = "DIR", default_value = "scenarios")]
    pub pack: PathBuf,
    /// The locked objectives
    #[arg(long, value_name = "FILE", default_value = "ci/slo.lock.json")]
    pub slo: PathBuf,
    /// Write below this folder: .rtt/gate, reports/out; profiles are read from it
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub root: PathBuf,
    /// Run this scenario; repeat it; default: the gating ones
    #[arg(long, value_name = "NAME")]
    pub scenario: Vec<String>,
    /// How much is run
    #[arg(long, value_enum, default_value = "full")]
    pub lane: Lane,
    /// Most pairs of each scenario now, beside those of earlier gates
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_pairs: u32,
    /// Most time, such as 20m
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub budget: Option<Duration>,
    /// Share of a scenario's length that each run has, above 0 and at most 1: many short runs tell more than few long ones
    #[arg(long, value_name = "SHARE", default_value_t = 0.125, value_parser = share)]
    pub share: f64,
    /// Keep every trial on these CPUs, such as 2-7
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<String>,
    /// The same coins and arrivals again
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// One JSON object on stdout: the verdict's document
    #[arg(long)]
    pub json: bool,
    /// Tell broken budgets, and give no verdict for them
    #[arg(long)]
    pub ignore_budgets: bool,
    /// Print the worst ten findings as annotations of hosted CI, as under GITHUB_ACTIONS
    #[arg(long)]
    pub annotate: bool,
    /// Put the gate itself on trial: N comparisons of the candidate with itself, each with a wealth of its own; +N: so many
    /// beside those that are finished
    #[arg(long, value_name = "[+]N", value_parser = canaries, allow_hyphen_values = false)]
    pub canary: Option<Canaries>,
    /// Read what is asked, and run nothing
    #[arg(long, hide = true)]
    pub check: bool,
    /// With --canary: slow the candidate down until its p99 is this many times the base's, such as 1.2
    #[arg(long, value_name = "RATIO", requires = "canary", value_parser = slower)]
    pub slower: Option<f64>,
}

impl JudgeArguments {
    /// Whether only the first gating scenario is run.
    pub fn is_quick(&self) -> bool {
        self.lane == Lane::Quick
    }

    /// How much may be run.
    pub fn plan(&self) -> Plan {
        let budget = self.budget.unwrap_or_else(|| lane_budget(self.is_quick()));
        Plan { pairs_max: self.max_pairs, budget, share: self.share }
    }
}

fn span(text: &str) -> Result<Duration, String> {
    let minutes = text.strip_suffix('m').and_then(|number| number.parse::<f64>().ok()).map(|minutes| minutes * 60.0);
    let hours = text.strip_suffix('h').and_then(|number| number.parse::<f64>().ok()).map(|hours| hours * 3600.0);
    match minutes.or(hours).or_else(|| text.parse::<Nanos>().ok().map(Nanos::as_secs_f64)) {
        Some(seconds) if (1.0..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected a time of 1s to 24h with its unit, such as 20m".into()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("expected a share above 0 and at most 1".into()),
    }
}

/// How many canaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Canaries {
    /// Whether beside those that are finished.
    pub more: bool,
    /// So many.
    pub number: u32,
}

fn canaries(text: &str) -> Result<Canaries, String> {
    match text.strip_prefix('+').unwrap_or(text).parse::<u32>() {
        Ok(number @ 1..=1000) => Ok(Canaries { more: text.starts_with('+'), number }),
        _ => Err("expected 1 to 1000, such as 20, or +5 for five beside those that are finished".into()),
    }
}

fn slower(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if ratio > 1.0 && ratio <= 10.0 => Ok(ratio),
        _ => Err("expected a ratio above 1 and at most 10, such as 1.2".into()),
    }
}

/// Options of `bench`.
#[derive(Clone, Debug, Args)]
pub struct BenchArguments {
    /// One JSON object: {version, model, seed, rows: [{gate, delta, nights, fail, pass, undecided, pairs_mean}]}; delta is a
    /// ratio, shares are in per cent; rows of delta 0 also have fail_low_99, the lower 99 % bound of fail
    #[arg(long)]
    pub json: bool,
    /// Nights of each row; default 5000, with --nights 600, since there each run is a line there and back
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub count: Option<u64>,
    /// Other nights for another seed, the same for the same
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=crate::bench::SEED_MAX))]
    pub seed: u64,
    /// How much slower the candidate is, as ratios; 0 is A/A
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0,0.03,0.05,0.10,0.20", value_parser = delta)]
    pub deltas: Vec<f64>,
    /// Judge on the nights of this program, not on RTT-GATE-1: the program and its arguments, the rest of the line
    #[arg(long, value_name = "PROGRAM", num_args = 1.., allow_hyphen_values = true)]
    pub nights: Vec<String>,
}

/// A ratio by which a candidate can be slower, or faster.
fn delta(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(delta) if delta > -1.0 && delta <= 10.0 => Ok(delta),
        _ => Err("expected ratios above -1 and at most 10, such as 0,0.05,0.10".into()),
    }
}
