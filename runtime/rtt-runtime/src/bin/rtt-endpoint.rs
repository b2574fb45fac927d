//! `rtt-endpoint`: the message loop that production runs, with a tuned profile or under a client's knobs.

use clap::Parser;
use rtt_profile::{Acceptance, Conditions, Knobs, Policy, Profile};
use rtt_runtime::Endpoint;
use rtt_seal::{Sealed, TrustedKeys, in_full};
use rtt_units::Nanos;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Serves messages over shared-memory rings, as a signed profile or the client says.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  rtt-endpoint --profile profiles/signed/0123456789abcdef.json --listen /run/rtt/endpoint.sock
  rtt-endpoint --profile profiles/signed/0123456789abcdef.json --refuse-on governor,thp --listen /run/rtt/endpoint.sock
  rtt-endpoint --listen /tmp/lab.sock        # each client brings its own knobs

Exit codes: 0 ok, 1 unexpected, 2 usage, 13 environment unfit, 16 profile refused."
)]
struct Options {
    /// Run this sealed profile; clients cannot overrule it.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Trusted public keys.
    #[arg(long, value_name = "DIR", default_value = "profiles/keys")]
    keys: PathBuf,
    /// Refuse the profile, instead of warning, when one of these has changed since it was measured.
    #[arg(long, value_name = "CONDITION,...", value_delimiter = ',', requires = "profile",
          value_parser = clap::builder::PossibleValuesParser::new(Conditions::FIELDS))]
    refuse_on: Vec<String>,
    /// Listen on this Unix socket, which is made with mode 0600 and serves one client at a time.
    #[arg(long, value_name = "PATH", required_unless_present = "control_on_stdin")]
    listen: Option<PathBuf>,
    /// Standard input is the control socket of the one client that started this process; dies with it.
    #[arg(long, conflicts_with = "listen")]
    control_on_stdin: bool,
    /// Handle every message this much later: a slowdown of known size, to try a gate on.
    #[arg(long, value_name = "N", default_value_t = 0, hide = true)]
    delay_ns: u64,
}

const UNEXPECTED: u8 = 1;
const USAGE: u8 = 2;
const UNFIT: u8 = 13;
const REFUSED: u8 = 16;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            eprintln!("rtt-endpoint: {message}");
            ExitCode::from(code)
        }
    }
}

fn run(options: &Options) -> Result<(), (u8, String)> {
    let profile = options.profile.as_deref().map(|file| load(file, options)).transpose()?;
    let endpoint = Endpoint { profile, delay: Nanos(options.delay_ns) };
    let Some(path) = &options.listen else {
        return serve_parent(&endpoint);
    };
    let listener = listen(path).map_err(|error| {
        let folder = path.parent().filter(|folder| error.kind() == ErrorKind::NotFound && !folder.is_dir());
        let next = folder.map(|folder| format!("; make the folder first: mkdir -p {}", folder.display()));
        (UNFIT, format!("{}: {error}{}", path.display(), next.unwrap_or_default()))
    })?;
    remove_when_stopped(path).map_err(|error| (UNEXPECTED, format!("waiting for signals: {error}")))?;
    for client in listener.incoming() {
        let served = client
            .map_err(|error| error.to_string())
            .and_then(|socket| endpoint.serve(socket).map_err(|error| error.to_string()));
        if let Err(error) = served {
            eprintln!("rtt-endpoint: client: {error}"); // One bad client is no reason to stop.
        }
    }
    Ok(())
}

fn serve_parent(endpoint: &Endpoint) -> Result<(), (u8, String)> {
    let unexpected = |error: &dyn std::fmt::Display| (UNEXPECTED, error.to_string());
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| unexpected(&error))?;
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(|error| unexpected(&error))?;
    endpoint.serve(UnixStream::from(socket)).map_err(|error| unexpected(&error))
}

/// Binds the socket for this user alone; a socket that a dead endpoint left is replaced, a live one is not.
fn listen(path: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt;
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        if UnixStream::connect(path).is_ok() {
            return Err(std::io::Error::other("another endpoint listens there; stop it or choose another path"));
        }
        std::fs::remove_file(path)?;
    }
    let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(mask);
    listener
}

/// Takes the socket away when SIGINT or SIGTERM ends this process, by which it ends all the same. Its thread sleeps until
/// then.
fn remove_when_stopped(path: &Path) -> std::io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM] {
        let (mut raised, handler) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(signal, handler)?;
        let path = path.to_owned();
        std::thread::Builder::new().name("stop".into()).spawn(move || {
            if raised.read_exact(&mut [0]).is_ok() {
                let _ = std::fs::remove_file(&path); // What is left is replaced by the next endpoint.
                let _ = signal_hook::low_level::emulate_default_handler(signal); // Does not return.
            }
        })?;
    }
    Ok(())
}

/// The knobs of a profile that is signed by a trusted key, for this machine, and in force.
fn load(file: &Path, options: &Options) -> Result<Knobs, (u8, String)> {
    let refused = |reason: String| (REFUSED, format!("profile {}: {reason}", file.display()));
    if !file.exists() {
        return Err((USAGE, format!("profile {}: there is no such file", file.display())));
    }
    let keys = TrustedKeys::load_dir(&options.keys).map_err(|error| refused(in_full(&error)))?;
    let sealed = Sealed::<Profile>::load(file).map_err(|error| refused(in_full(&error)))?;
    let profile = sealed.verify(&keys).map_err(|error| refused(in_full(&error)))?;
    let here = rtt_host::fingerprint().map_err(|error| (UNFIT, in_full(&error)))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let policy =
        Policy::refusing(options.refuse_on.iter().map(String::as_str)).map_err(|error| refused(in_full(&error)))?;
    match profile.accept(&here, now, &policy).map_err(|error| refused(in_full(&error)))? {
        Acceptance::InForce => {}
        Acceptance::Stale { differences } => {
            eprintln!("rtt-endpoint: profile {} is stale: {differences}; tune again when you can", file.display());
        }
    }
    Ok(profile.knobs.clone())
}
