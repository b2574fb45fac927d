//! What `rtt-history` may be told, as far as it can be judged without it.
//!
//! Its first build takes minutes, so that a misspelt word has to be refused here. This is a copy of its command line, which
//! a test compares with the source; what a value means is left to it.

use crate::arguments::{near_name, unknown};
use crate::exit::Stop;

/// One command of `rtt-history`: its name there, the options that stand alone, and those with a value.
struct Known {
    command: &'static str,
    flags: &'static [&'static str],
    with_value: &'static [&'static str],
}

const COMMANDS: [Known; 6] = [
    Known {
        command: "trend",
        flags: &["--cost", "--json"],
        with_value: &["--scenario", "--machine", "--days", "--slo", "--root", "--now"],
    },
    Known { command: "compact", flags: &["--json"], with_value: &["--root"] },
    Known { command: "retain", flags: &["--dry-run", "--json"], with_value: &["--days", "--root", "--now"] },
    Known { command: "export", flags: &["--json"], with_value: &["--run"] },
    Known {
        command: "table",
        flags: &["--json", "--csv"],
        with_value: &["--by", "--columns", "--where", "--since", "--until", "--root"],
    },
    Known { command: "compare", flags: &["--any-host", "--json"], with_value: &["--root"] },
];

/// What `--columns` of a table takes.
const MEASURES: [&str; 22] = [
    "trials",
    "settled",
    "samples",
    "p50",
    "p95",
    "p99",
    "p999",
    "latency_ns_p50",
    "latency_ns_p95",
    "latency_ns_p99",
    "latency_ns_p999",
    "trial_ns_p99_min",
    "trial_ns_p99_median",
    "trial_ns_p99_max",
    "cpu_millicores",
    "memory_bytes_max",
    "lost",
    "blocked",
    "steal_us",
    "psi_cpu_us_max",
    "psi_io_us_max",
    "elapsed_ms",
];

/// Refuses the first word after `words[0]`, a command of `rtt-history`, that it would refuse; `ours` is what the user
/// called it.
///
/// # Errors
/// A usage stop with the nearest name that there is.
pub fn refuse_unknown(ours: &str, words: &[String]) -> Result<(), Stop> {
    let Some(known) = words.first().and_then(|name| COMMANDS.iter().find(|known| known.command == name)) else {
        return Ok(());
    };
    let mut rest = words[1..].iter().take_while(|word| *word != "--");
    while let Some(word) = rest.next().map(String::as_str) {
        let (name, given) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        if !word.starts_with("--") || known.flags.contains(&word) {
            continue;
        }
        if !known.with_value.contains(&name) {
            return Err(unknown(&format!("{ours}: "), "option", name, &[known.with_value, known.flags].concat()));
        }
        let Some(value) = given.or_else(|| rest.next().map(String::as_str)) else {
            return Err(Stop::usage(format!("{ours}: {name} needs a value")));
        };
        refuse_value(ours, name, value)?;
    }
    Ok(())
}

fn refuse_value(ours: &str, name: &str, value: &str) -> Result<(), Stop> {
    match name {
        "--days" if !value.parse::<u32>().is_ok_and(|days| days > 0) => {
            Err(Stop::usage(format!("{ours}: --days {value}: expected a whole number of days, 1 or more")))
        }
        "--columns" => match value.split(',').find(|measure| !MEASURES.contains(measure)) {
            Some(measure) => {
                let near = near_name(measure, &MEASURES).map(|near| format!("did you mean `{near}`? "));
                let near = near.unwrap_or_default();
                let all = MEASURES.join(", ");
                Err(Stop::usage(format!("{ours}: --columns: no measure `{measure}`; {near}expected some of: {all}")))
            }
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::workspace::Workspace;

    fn check(line: &str, expected: &str) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let got = refuse_unknown("trend", &words).err().map_or_else(String::new, |stop| stop.message);
        assert!(got.starts_with(expected) && got.is_empty() == expected.is_empty(), "{line}: {got}");
    }

    #[test]
    fn what_is_misspelt_is_refused_with_a_near_name() {
        check("trend --scenarioo steady", "trend: unknown option `--scenarioo`; did you mean `--scenario`?");
        check("trend --days x", "trend: --days x: expected a whole number of days, 1 or more");
        check("retain --days=0", "trend: --days 0: expected");
        check("trend --days", "trend: --days needs a value");
        check("table --columns p50,foo", "trend: --columns: no measure `foo`; expected some of: trials, ");
        check("table --columns=setled", "trend: --columns: no measure `setled`; did you mean `settled`? ");
        check("compare a b --csv", "trend: unknown option `--csv`; expected one of: --root, ");
    }

    #[test]
    fn what_is_right_passes() {
        check("trend --slo /x --scenario steady --days 30 --json --cost", "");
        check("table --by day,machine --columns settled,p50 --where scenario=steady --csv", "");
        check("compare a b --root=/tmp --any-host", "");
        check("export . --run a --run b", "");
        check("bench --rows 7", "");
    }

    fn source(file: &str) -> String {
        let path = Workspace::find().root.join("reports/rtt-history/src").join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The options that a source declares for clap: the name in `long = "name"`, else that of the field below.
    fn declared(source: &str) -> BTreeSet<String> {
        let attributes = source.split("#[arg(").skip(1).filter_map(|rest| rest.split_once(")]"));
        let long = attributes
            .filter(|(attribute, _)| attribute.split([',', '\n']).any(|word| word.trim().starts_with("long")));
        long.map(|(attribute, rest)| match attribute.split_once("long = \"") {
            Some((_, named)) => format!("--{}", named.split('"').next().unwrap_or_default()),
            None => format!("--{}", field(rest).replace('_', "-")),
        })
        .collect()
    }

    fn field(rest: &str) -> &str {
        rest.trim_start().trim_start_matches("pub ").split(':').next().unwrap_or_default()
    }

    #[test]
    fn the_copy_is_that_of_the_source() {
        let files = ["main.rs", "trend_command.rs", "keep_commands.rs", "root_option.rs"];
        let there: BTreeSet<String> = files.iter().flat_map(|file| declared(&source(file))).collect();
        let here = COMMANDS.iter().flat_map(|known| known.flags.iter().chain(known.with_value));
        assert_eq!(here.map(|option| (*option).to_owned()).collect::<BTreeSet<_>>(), there);
        let measures = source("measures.rs");
        let listed = measures.split("pub const MEASURES").nth(1).and_then(|rest| rest.split("];").next()).unwrap();
        let missing: Vec<_> = MEASURES.iter().filter(|name| !listed.contains(&format!("\"{name}\""))).collect();
        assert!(missing.is_empty(), "{missing:?}");
        // One name each, and a short one for each that is merged.
        let there = listed.matches("lazy(").count() + 2 * listed.matches("merged(").count();
        assert_eq!(MEASURES.len(), there);
    }
}
