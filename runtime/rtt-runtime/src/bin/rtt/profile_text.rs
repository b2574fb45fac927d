//! Profiles in words, for a terminal.

use rtt_profile::{Interval, Profile, Row, Verdict, env_lines, utc};
use rtt_seal::Verified;
use rtt_units::Nanos;
use std::io::{self, Write};

/// Writes what an operator asks first: may I use it, what is it worth, what does it set, where is it from.
pub(crate) fn show(profile: &Verified<Profile>, status: &str, reason: &str, out: &mut dyn Write) -> io::Result<()> {
    let machine = &profile.fingerprint.machine;
    let cores = format!("{} cores, {} GiB", machine.cores, machine.memory_class_gib);
    writeln!(out, "machine    {}  {} ({cores})", profile.machine_id(), machine.model_name)?;
    let status = match status {
        "in_force" => format!("in force on this host until {}", utc(profile.expires_unix_s)),
        "stale" => format!("stale: conditions changed, then against now: {reason}; tune again when you can"),
        "unknown" => format!("this host could not be told: {reason}"),
        _ => format!("not for use here: {reason}"),
    };
    writeln!(out, "status     {status}")?;
    writeln!(out, "outcome    {}", profile.outcome.sentence)?;
    writeln!(out, "p99        {}", arms(profile.outcome.verdict, &profile.p99_ns.incumbent, &profile.p99_ns.tuned))?;
    for (name, figures) in [("whole p99", &profile.whole_p99_ns), ("recovery", &profile.recovery_ns)] {
        if let Some(figures) = figures {
            writeln!(out, "{name:<10} {}", arms(profile.outcome.verdict, &figures.incumbent, &figures.tuned))?;
        }
    }
    writeln!(out, "           {} pairs, 95 % intervals; objective: {}", profile.pairs, profile.objective)?;
    let width = profile.rows.iter().map(|row| row.scenario.len()).max().unwrap_or(0);
    for row in &profile.rows {
        let arms = arms(profile.outcome.verdict, &row.incumbent_p99_ns, &row.tuned_p99_ns);
        writeln!(out, "  {:width$} {:7}  {arms}", row.scenario, row.condition.name())?;
    }
    writeln!(out, "knobs")?;
    for line in env_lines(&profile.knobs).lines() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        writeln!(out, "  {:11} {value}", name.trim_start_matches("RTT_").to_lowercase())?;
    }
    writeln!(out, "evidence   trial log {}", profile.evidence.trial_log)?;
    for scenario in &profile.evidence.scenarios {
        writeln!(out, "           scenario {} {}", scenario.name, scenario.digest)?;
    }
    writeln!(out, "           seed {}, {} fits", profile.evidence.seed, profile.evidence.fits.len())?;
    writeln!(out, "made       {} by {}", utc(profile.created_unix_s), profile.build)?;
    let signers: Vec<_> = profile.signers().iter().map(ToString::to_string).collect();
    writeln!(out, "signed by  {}", signers.join(", "))?;
    writeln!(out, "digest     {}", profile.digest())
}

/// Writes the fields that differ, in columns.
pub(crate) fn rows(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "the profiles say the same");
    }
    let field = rows.iter().map(|row| row.field.chars().count()).max().unwrap_or(0).min(40);
    let left = rows.iter().map(|row| shown(&row.left).chars().count()).max().unwrap_or(0).min(40);
    for row in rows {
        writeln!(out, "{:field$}  {:left$}  {}", row.field, shown(&row.left), shown(&row.right))?;
    }
    Ok(())
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "-" } else { value }
}

/// Only under `better` are the knobs of the second arm those of the profile.
fn arms(verdict: Verdict, incumbent: &Interval, other: &Interval) -> String {
    let name = if verdict == Verdict::Better { "tuned" } else { "candidate" };
    format!("incumbent {}, {name} {}", interval(incumbent), interval(other))
}

fn interval(Interval { estimate, low, high }: &Interval) -> String {
    format!("{} [{}, {}]", Nanos(*estimate), Nanos(*low), Nanos(*high))
}
