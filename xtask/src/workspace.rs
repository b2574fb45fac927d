//! The checkout: its root, its build folder, cargo as a child process, and how children are run.
//!
//! Every command that is run is printed first, on stderr, so that a person can repeat it by hand and stdout stays
//! the child's own (JSON above all).

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use crate::exit::Stop;
use crate::metadata;
use crate::screen::eprintln;

/// The checkout that this program was built from.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    pub root: PathBuf,
}

impl Workspace {
    /// Finds the checkout: cargo names this package's folder at run time, the compiler did at build time.
    pub fn find() -> Workspace {
        let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&here).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        Workspace { root }
    }

    /// A cargo command, run at the root.
    pub fn cargo(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments).current_dir(&self.root);
        forget_this_package(&mut command);
        command
    }

    /// A program of the product, run at the root, where its own default paths lead into the checkout. A word that names
    /// a file from where the user stands keeps its meaning.
    pub fn program(&self, program: &Path, words: &[String]) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        forget_this_package(&mut command);
        let here = env::current_dir().unwrap_or_else(|_| self.root.clone());
        if here == self.root {
            command.args(words);
        } else {
            command.args(words.iter().map(|word| absolute(&here, word)));
        }
        command
    }

    /// The folder that cargo builds into.
    ///
    /// # Errors
    /// A stop when `cargo metadata` fails.
    pub fn target(&self) -> Result<PathBuf, Stop> {
        Ok(metadata::workspace(self)?.target)
    }
}

/// Cargo describes the package that it runs in the environment. A cargo started from here would hand that on to build
/// scripts and rebuild what depends on it.
fn forget_this_package(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if ours.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
}

/// Prints and runs a command, and returns its exit code (128 + signal when a signal ended it, as in a shell).
///
/// # Errors
/// A stop when the program cannot be started.
pub fn run(command: &mut Command) -> Result<u8, Stop> {
    let mut child = start(command)?;
    let status = child.wait().map_err(|error| Stop::unexpected(format!("{}: {error}", shown(command))))?;
    Ok(code(status))
}

/// Prints and starts a command.
///
/// # Errors
/// A stop when the program cannot be started.
pub fn start(command: &mut Command) -> Result<Child, Stop> {
    eprintln!("$ {}", shown(command));
    command.spawn().map_err(|error| cannot_start(command, &error))
}

/// Runs a command whose failure ends this one.
///
/// # Errors
/// A stop when the program cannot be started or does not exit with 0.
pub fn run_or_stop(command: &mut Command, purpose: &str) -> Result<(), Stop> {
    match run(command)? {
        0 => Ok(()),
        code => Err(Stop::unexpected(format!("{purpose}: `{}` ended with {code}", shown(command)))),
    }
}

/// Replaces this process, so that signals and the exit code pass through unchanged.
///
/// # Errors
/// Returns only when the program cannot be started.
pub fn exec(command: &mut Command) -> Stop {
    eprintln!("$ {}", shown(command));
    let error = command.exec();
    cannot_start(command, &error)
}

/// What a quiet command prints on stdout, or `None` when it is absent or fails.
pub fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The first file called `name` on `PATH` that can be executed.
pub fn on_path(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|file| file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0))
}

/// `FILE` or `--option=FILE` with its full path, when there is such a file; any other word unchanged. A bare word is
/// more often a name (of a scenario, of a run) than a file.
fn absolute(here: &Path, word: &str) -> String {
    let (option, value) = match word.split_once('=') {
        Some((option, value)) if option.starts_with("--") => (format!("{option}="), value),
        _ => (String::new(), word),
    };
    let path = here.join(value);
    if value.contains(['/', '.']) && path.exists() { format!("{option}{}", path.display()) } else { word.to_owned() }
}

fn cannot_start(command: &Command, error: &io::Error) -> Stop {
    Stop::unexpected(format!("cannot start {}: {error}", command.get_program().display()))
}

/// The exit code of a child, 128 + signal when a signal ended it.
pub fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(1)
}

/// The command as a person would type it.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    // Cargo is started by its full path; nobody types that.
    let name = if program.ends_with("cargo") { "cargo".into() } else { program.display().to_string() };
    let words = command.get_args().map(|word| quoted(&word.to_string_lossy()));
    std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut command = Command::new("/opt/rust/bin/cargo");
        command.args(["bench", "a b", "it's", ""]);
        assert_eq!(shown(&command), r"cargo bench 'a b' 'it'\''s' ''");
    }

    #[test]
    fn a_file_keeps_its_meaning_at_the_root() {
        let here = tempfile::tempdir().unwrap();
        std::fs::write(here.path().join("own.json"), "").unwrap();
        std::fs::write(here.path().join("steady"), "").unwrap();
        let full = here.path().join("own.json").display().to_string();
        for (word, expected) in [
            ("own.json", full.as_str()),
            ("--scenario=own.json", &format!("--scenario={full}")),
            ("other.json", "other.json"),
            ("steady", "steady"),
            ("wait=own.json", "wait=own.json"),
            ("--quick", "--quick"),
        ] {
            assert_eq!(absolute(here.path(), word), expected);
        }
    }

    #[test]
    fn a_signal_is_reported_as_a_shell_does() {
        // Not INT: what a shell starts in the background ignores it, and so do its children.
        assert_eq!(run(Command::new("sh").args(["-c", "kill -TERM $$"])), Ok(143));
        assert_eq!(run(Command::new("sh").args(["-c", "exit 12"])), Ok(12));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let stop = run(&mut Command::new("rtt-no-such-program")).unwrap_err();
        assert!(stop.message.contains("rtt-no-such-program"), "{}", stop.message);
    }
}
