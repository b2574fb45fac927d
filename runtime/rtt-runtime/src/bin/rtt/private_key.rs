//! Private keys on the command line: the one place where `rtt` makes one, and the one where it loads one.
//!
//! A passphrase comes from a file or pipe that `--passphrase-file` names, or from the terminal; never from an argument or
//! a variable, which other processes see.

use crate::failure::{Failure, REFUSED, UNEXPECTED, USAGE, failure};
use clap::Args;
use rtt_seal::{
    KeyRest, Passphrase, PassphraseError, ReadKeyError, Role, SaveKeyError, SigningKey, forbid_core_dumps, in_full,
};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Asks a person for a passphrase; the text is what stands before the cursor.
pub(crate) type Ask<'a> = &'a dyn Fn(&str) -> Result<Passphrase, String>;

/// Where the passphrase of keys that are loaded comes from.
#[derive(Args, Default)]
pub(crate) struct Unlock {
    /// File of mode 0600, or pipe as /dev/fd/3, with the passphrase of encrypted keys [default: ask on the terminal].
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Whether a key that is made gets a passphrase.
#[derive(Args)]
pub(crate) struct Protect {
    /// Encrypt the private key, with a passphrase that is asked for on the terminal.
    #[arg(long)]
    passphrase: bool,
    /// Encrypt the private key, with the passphrase in this file of mode 0600 or pipe as /dev/fd/3.
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase")]
    passphrase_file: Option<PathBuf>,
}

impl Unlock {
    /// Loads the private key `path`, which belongs to a key that `make` makes.
    ///
    /// The passphrase of an encrypted key is read where it is needed.
    pub(crate) fn load(&self, path: &Path, make: &str, ask: Ask<'_>) -> Result<SigningKey, Failure> {
        let refused = |error: ReadKeyError| match &error {
            ReadKeyError::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                failure(USAGE, format!("{}; make one: {make}", in_full(&error)))
            }
            _ => failure(REFUSED, in_full(&error)),
        };
        match SigningKey::load(path) {
            Err(error) if error.is_encrypted() => {
                let passphrase = match &self.passphrase_file {
                    Some(file) => Passphrase::from_file(file).map_err(|error| unusable(&error))?,
                    None => ask(&format!("passphrase of {}: ", path.display())).map_err(|why| {
                        failure(USAGE, format!("{}: {why}; name a file with --passphrase-file", in_full(&error)))
                    })?,
                };
                SigningKey::load_encrypted(path, &passphrase).map_err(refused)
            }
            loaded => loaded.map_err(refused),
        }
    }
}

impl Protect {
    /// The passphrase for a new key, asked for twice on the terminal; `None` where the key is left to its file's mode.
    pub(crate) fn passphrase(&self, ask: Ask<'_>) -> Result<Option<Passphrase>, Failure> {
        if let Some(file) = &self.passphrase_file {
            return Passphrase::from_file(file).map(Some).map_err(|error| unusable(&error));
        }
        if !self.passphrase {
            return Ok(None);
        }
        let ask = |text| ask(text).map_err(|why| failure(USAGE, format!("{why}; name a file with --passphrase-file")));
        let (first, second) = (ask("new passphrase: ")?, ask("once more: ")?);
        if first.is(&second) { Ok(Some(first)) } else { Err(failure(USAGE, "the two passphrases differ")) }
    }
}

/// Makes a key: the only place where `rtt` does.
pub(crate) fn make(
    role: Role,
    private: &Path,
    public: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<(SigningKey, PathBuf), Failure> {
    let rest = passphrase.map_or(KeyRest::Plain, KeyRest::Encrypted);
    SigningKey::create(role, private, public, rest).map_err(|error| match error {
        SaveKeyError::Exists { .. } => failure(USAGE, in_full(&error)),
        _ => failure(UNEXPECTED, in_full(&error)),
    })
}

/// How the private half lies, for people.
pub(crate) fn rest_in_words(passphrase: Option<&Passphrase>) -> &'static str {
    if passphrase.is_some() {
        "mode 0600, encrypted: keep file and passphrase apart, and no copy in a repository"
    } else {
        "mode 0600: keep it here, and no copy in a repository"
    }
}

/// Keeps a private key out of core dumps. A kernel that cannot do it gets a warning: the key file is no safer there.
pub(crate) fn protect_memory(warnings: &mut dyn Write) -> Result<(), Failure> {
    if let Err(error) = forbid_core_dumps() {
        writeln!(warnings, "rtt: warning: core dumps of this process cannot be forbidden: {error}")?;
    }
    Ok(())
}

/// Asks on the terminal of this process, without showing what is typed.
///
/// # Errors
/// Where there is no terminal, or what was typed is no passphrase.
pub(crate) fn ask_on_terminal(text: &str) -> Result<Passphrase, String> {
    let no_terminal = |error: io::Error| format!("there is no terminal to ask for a passphrase on: {error}");
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    let shown = tcgetattr(&terminal).map_err(|errno| no_terminal(errno.into()))?;
    let mut hidden = shown.clone();
    hidden.local_modes -= LocalModes::ECHO;
    // Flush: what was typed before the question was meant for somebody else.
    tcsetattr(&terminal, OptionalActions::Flush, &hidden).map_err(|errno| no_terminal(errno.into()))?;
    let mut line = Zeroizing::new(Vec::with_capacity(4_096)); // The longest line that a terminal gives.
    let read =
        terminal.write_all(text.as_bytes()).and_then(|()| BufReader::new(&terminal).read_until(b'\n', &mut line));
    let restored = tcsetattr(&terminal, OptionalActions::Now, &shown);
    let _ = terminal.write_all(b"\n"); // The newline that was typed was not shown either.
    read.map_err(no_terminal)?;
    restored.map_err(|errno| no_terminal(errno.into()))?;
    Passphrase::new(line).map_err(|error| error.to_string())
}

fn unusable(error: &PassphraseError) -> Failure {
    let code = match error {
        PassphraseError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => USAGE,
        PassphraseError::Read { .. } => UNEXPECTED,
        PassphraseError::Access { .. } => REFUSED,
        _ => USAGE,
    };
    failure(code, in_full(error))
}
