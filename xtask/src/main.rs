//! The project's commands: `cargo xtask COMMAND`.
//!
//! This program links none of the stages: it checks the host, builds what a command needs, starts it, and passes its
//! exit code on. So it compiles in seconds from a clean clone. One file per command; this one only dispatches.

mod arguments;
mod bench;
mod bisect;
mod build;
mod ci;
mod config;
mod doctor;
mod exit;
mod gate;
mod history_options;
mod host_lock;
mod licences;
mod limits;
mod metadata;
mod packages;
mod profile;
mod report;
mod revision;
mod screen;
mod sim;
mod test;
mod tidy;
mod transcript;
mod trend;
mod tune;
mod workspace;

use std::env;
use std::process::ExitCode;

use crate::arguments::{Arguments, unknown};
use crate::exit::{Exit, Stop};
use crate::screen::{eprintln, print};
use crate::workspace::Workspace;

struct Command {
    name: &'static str,
    summary: &'static str,
    help: &'static str,
    run: fn(&Workspace, Arguments) -> Result<u8, Stop>,
}

const COMMANDS: [Command; 12] = [
    Command {
        name: "tune",
        summary: "tune this host: measure, search, confirm, write a signed profile and a report",
        help: tune::HELP,
        run: tune::tune,
    },
    Command {
        name: "doctor",
        summary: "say what is missing and what limits measurement here",
        help: doctor::HELP,
        run: |_, arguments| doctor::doctor(arguments),
    },
    Command {
        name: "report",
        summary: "show a run as a page, compare two, or tabulate many",
        help: report::HELP,
        run: report::report,
    },
    Command {
        name: "gate",
        summary: "decide whether a change made p99 worse on this host",
        help: gate::HELP,
        run: gate::gate,
    },
    Command {
        name: "trend",
        summary: "show the course of each scenario over days; keep the history small",
        help: trend::HELP,
        run: trend::trend,
    },
    Command {
        name: "profile",
        summary: "make keys; sign, verify, show, compare and export profiles",
        help: profile::HELP,
        run: profile::profile,
    },
    Command { name: "test", summary: "run every test", help: test::HELP, run: test::test },
    Command { name: "bench", summary: "measure the tuner, the gate or the ring", help: bench::HELP, run: bench::bench },
    Command {
        name: "sim",
        summary: "run store and reconciler over a simulated disk that fails",
        help: sim::HELP,
        run: sim::sim,
    },
    Command {
        name: "config",
        summary: "build or check the locks of the CUE sources",
        help: config::HELP,
        run: config::config,
    },
    Command { name: "tidy", summary: "check the rules of the code base", help: tidy::HELP, run: tidy::tidy },
    Command { name: "ci", summary: "run everything that a merge needs", help: ci::HELP, run: ci::ci },
];

fn main() -> ExitCode {
    let words: Result<Vec<String>, _> = env::args_os().skip(1).map(|word| word.into_string()).collect();
    let outcome = match words {
        Ok(words) => dispatch(words),
        Err(word) => Err(Stop::usage(format!("argument {} is not UTF-8", word.display()))),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(stop) => {
            eprintln!("{}", stop.message);
            ExitCode::from(stop.exit.code())
        }
    }
}

fn dispatch(words: Vec<String>) -> Result<u8, Stop> {
    let mut arguments = Arguments::new(words);
    let name = match arguments.take_name() {
        Some(name) if name == "help" => {
            // `help NAME` is `NAME --help`, and `help` alone is `--help`.
            let name = arguments.take_name();
            arguments = Arguments::new(["--help"]);
            name
        }
        name => name,
    };
    let names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
    let Some(name) = name else {
        if arguments.wants_help() {
            print!("{}", help());
            return Ok(Exit::Success.code());
        }
        return match arguments.words().first() {
            Some(word) => Err(unknown("", "option", word, &["--help"])),
            None => Err(Stop::usage(help())),
        };
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(unknown("", "command", &name, &names));
    };
    if arguments.wants_help() {
        print!("{}", command.help);
        return Ok(Exit::Success.code());
    }
    (command.run)(&Workspace::find(), arguments)
}

fn help() -> String {
    let commands: String =
        COMMANDS.iter().map(|command| format!("  {:<8}  {}\n", command.name, command.summary)).collect();
    format!(
        "RTT's commands. The main one is `cargo xtask tune`.\n\n\
         Usage: cargo xtask COMMAND [OPTIONS]\n\n{commands}\n\
         Each has --help with examples.\n\n\
         Examples:\n  cargo xtask doctor\n  cargo xtask tune --quick\n  cargo xtask report\n\n\
         Exit codes:\n{}",
        Exit::table()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, code: u8, expected: &str) {
        let got = match dispatch(line.split_whitespace().map(str::to_owned).collect()) {
            Ok(code) => (code, String::new()),
            Err(stop) => (stop.exit.code(), stop.message),
        };
        assert_eq!((got.0, got.1.as_str()), (code, expected), "{line}");
    }

    #[test]
    fn an_unknown_command_gets_a_near_name() {
        check("tunne", 2, "unknown command `tunne`; did you mean `tune`?");
        let all = "tune, doctor, report, gate, trend, profile, test, bench, sim, config, tidy, ci";
        check("deploy", 2, &format!("unknown command `deploy`; expected one of: {all}"));
    }

    #[test]
    fn an_unknown_option_gets_a_near_name() {
        check("--hlep", 2, "unknown option `--hlep`; did you mean `--help`?");
        check("doctor --instal", 2, "doctor: unknown argument `--instal`; did you mean `--install`?");
    }

    #[test]
    fn help_is_no_error() {
        for line in ["--help", "help", "help tune", "tune --help", "doctor -h", "bench tuner --help"] {
            check(line, 0, "");
        }
        assert_eq!(dispatch(Vec::new()).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn every_help_shows_usage_and_examples() {
        for command in &COMMANDS {
            assert!(command.help.contains(&format!("Usage: cargo xtask {}", command.name)), "{}", command.name);
            assert!(command.help.contains("\nExamples:\n  cargo xtask "), "{}", command.name);
        }
        assert!(help().contains("  130  interrupted"));
    }
}
