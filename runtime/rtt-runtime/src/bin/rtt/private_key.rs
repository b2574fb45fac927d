//! Private keys on the command line: the one place where `rtt` makes one, and the one where it loads one.
//!
//! A passphrase comes from a file or pipe that `--passphrase-file` names, or from the terminal; never from an argument or
//! a variable, which other processes see.

use crate::failure::{Failure, REFUSED, UNEXPECTED, USAGE, failure};
use clap::Args;
use rtt_seal::{
    KeyRest, Passphrase, PassphraseError, ReadKeyError, Role, SaveKeyError, SigningKey, forbid_core_dumps, in_full,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::{SigId, flag, low_level};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// Encrypt the private key, with a passphrase of 12 bytes or more that is asked for on the terminal.
    #[arg(long)]
    passphrase: bool,
    /// Encrypt the private key, with the passphrase of 12 bytes or more in this file of mode 0600 or pipe as /dev/fd/3.
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
        let (first, second) = (ask("new passphrase, 12 bytes or more: ")?, ask("once more: ")?);
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

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden<'a> {
    terminal: &'a File,
    shown: Termios,
}

impl<'a> Hidden<'a> {
    fn new(terminal: &'a File) -> io::Result<Hidden<'a>> {
        let shown = tcgetattr(terminal)?;
        let mut hidden = shown.clone();
        hidden.local_modes -= LocalModes::ECHO;
        // Flush: what was typed before the question was meant for somebody else.
        tcsetattr(terminal, OptionalActions::Flush, &hidden)?;
        Ok(Hidden { terminal, shown })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.shown);
        let _ = (&mut &*self.terminal).write_all(b"\n"); // The newline that was typed was not shown either.
    }
}

/// Signals that end this process, which wait in a pipe instead while a terminal hides what is typed.
struct HeldSignals {
    pipe: UnixStream,
    came: Arc<AtomicUsize>,
    handlers: Vec<SigId>,
}

impl HeldSignals {
    fn new() -> io::Result<HeldSignals> {
        let (pipe, writer) = UnixStream::pair()?;
        let mut held = HeldSignals { pipe, came: Arc::default(), handlers: Vec::new() };
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            held.handlers.push(flag::register_usize(signal, Arc::clone(&held.came), signal as usize)?);
            held.handlers.push(low_level::pipe::register(signal, writer.try_clone()?)?);
        }
        Ok(held)
    }
}

impl Drop for HeldSignals {
    /// What came meanwhile does what it would have done: the terminal is as it was.
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            low_level::unregister(handler);
        }
        let came = self.came.load(Ordering::Relaxed); // One thread reads and writes it, the handler on top of it.
        if came != 0 {
            let _ = low_level::emulate_default_handler(came as i32);
        }
    }
}

/// Reads a line, or nothing once a signal has come.
fn read_line(mut terminal: &File, signals: &HeldSignals, line: &mut Vec<u8>) -> io::Result<()> {
    let ready = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
    loop {
        let mut both = [ready(terminal.as_fd()), ready(signals.pipe.as_fd())];
        match poll(&mut both, None) {
            Err(Errno::INTR) => continue,
            polled => drop(polled?),
        }
        if !both[1].revents().is_empty() {
            return Ok(());
        }
        let start = line.len();
        line.resize(line.capacity(), 0);
        let read = terminal.read(&mut line[start..])?;
        line.truncate(start + read);
        if read == 0 || line.ends_with(b"\n") {
            return Ok(());
        }
    }
}

/// Asks on the terminal of this process, without showing what is typed. A signal that ends this process ends it once the
/// terminal shows again what is typed.
///
/// # Errors
/// Where there is no terminal, or what was typed is no passphrase.
pub(crate) fn ask_on_terminal(text: &str) -> Result<Passphrase, String> {
    let no_terminal = |error: io::Error| format!("there is no terminal to ask for a passphrase on: {error}");
    let terminal = File::options().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    let mut line = Zeroizing::new(Vec::with_capacity(4_096)); // The longest line that a terminal gives.
    let signals = HeldSignals::new().map_err(no_terminal)?;
    let hidden = Hidden::new(&terminal).map_err(no_terminal)?;
    let read = (&mut &terminal).write_all(text.as_bytes()).and_then(|()| read_line(&terminal, &signals, &mut line));
    drop(hidden); // Before the signals: what came may end this process.
    drop(signals);
    read.map_err(no_terminal)?;
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
