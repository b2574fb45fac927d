//! Where this host's state is: its store and log, what plans manage, its key, its trust, its policy, its witness.

use crate::failure::{Failure, REFUSED, UNEXPECTED, UNFIT, USAGE, failure};
use crate::key_commands::KeyDesk;
use crate::private_key::Unlock;
use clap::Args;
use rtt_model::Begin;
use rtt_plan::{Build, Op, Participant, Policy};
use rtt_reconcile::{Log, LogError, Objects, Reconciler, SettleError, Terms, Tree};
use rtt_seal::{Digest, HostId, Role, SigningKey, TrustStore, TrustedKeys, in_full, strict_json};
use rtt_store::FileDisk;
use rtt_store::cas::{self, Cas, ReadError};
use rtt_store::wal::{CommandWitness, FileWitness, OpenError, Options, Witness};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A plan that was refused, aborted or rolled back.
pub(crate) const PLAN_REFUSED: u8 = 14;

#[derive(Args)]
pub(crate) struct Site {
    /// Directory of the store: objects and log.
    #[arg(long, value_name = "DIR", default_value = ".rtt/store", global = true)]
    store: PathBuf,
    /// Directory whose files, rings and profile plans change; read what runs at DIR/files/current and so on.
    #[arg(long, value_name = "DIR", default_value = ".rtt/managed", global = true)]
    managed: PathBuf,
    /// This host's private key.
    #[arg(long, value_name = "FILE", default_value = ".rtt/keys/host.key", global = true)]
    host_key: PathBuf,
    /// Directory of this host's trust.
    #[arg(long, value_name = "DIR", default_value = ".rtt/trust", global = true)]
    trust: PathBuf,
    /// What plans may do here, as JSON; without the file, everything.
    #[arg(long, value_name = "FILE", default_value = ".rtt/policy.json", global = true)]
    policy: PathBuf,
    /// File that remembers the log's last checkpoint; best on another disk, or with another owner.
    #[arg(long, value_name = "FILE", default_value = ".rtt/witness/checkpoint.json", global = true)]
    witness: PathBuf,
    /// Program that remembers it instead: it gets `remember` or `recall` as its last argument.
    #[arg(long, value_name = "PROGRAM", conflicts_with = "witness", global = true)]
    witness_command: Option<String>,
}

/// The objects of the store, for participants.
struct Stored(Cas<FileDisk>);

impl Objects for Stored {
    /// The file, after it was verified; whoever reads it verifies what he has read as well.
    fn open(&mut self, object: Digest) -> io::Result<Option<Box<dyn Read + '_>>> {
        match self.0.open_object(&object) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(cas::OpenError::Read(ReadError::Missing { .. })) => Ok(None),
            Err(error) => Err(io::Error::other(in_full(&error))),
        }
    }
}

impl Site {
    /// The disk of the store, made where it is missing.
    pub(crate) fn disk(&self) -> Result<FileDisk, Failure> {
        let failed = |error: &dyn std::error::Error| {
            failure(UNEXPECTED, format!("store {}: {}", self.store.display(), in_full(error)))
        };
        std::fs::create_dir_all(&self.store).map_err(|error| failed(&error))?;
        FileDisk::open(&self.store).map_err(|error| failed(&error))
    }

    /// Whether the log was begun.
    pub(crate) fn has_log(&self) -> bool {
        self.store.join("wal").is_dir()
    }

    /// The objects.
    pub(crate) fn objects(&self) -> Result<Cas<FileDisk>, Failure> {
        Cas::open(self.disk()?).map_err(|error| failure(UNEXPECTED, in_full(&error)))
    }

    /// The host's key and id.
    pub(crate) fn key(&self, desk: &KeyDesk<'_>) -> Result<(SigningKey, HostId), Failure> {
        let key = Unlock::default().load(&self.host_key, "rtt host init", desk.ask)?;
        let host = HostId::of(key.public()).ok_or_else(|| {
            failure(REFUSED, format!("{} is a {} key, expected a host key", self.host_key.display(), key.role()))
        })?;
        Ok((key, host))
    }

    pub(crate) fn options(host: HostId) -> Options {
        Options::new(host)
    }

    pub(crate) fn witness(&self) -> Box<dyn Witness> {
        match &self.witness_command {
            Some(program) => Box::new(CommandWitness { program: program.clone(), arguments: Vec::new() }),
            None => Box::new(FileWitness { path: self.witness.clone() }),
        }
    }

    /// The keys that may sign plans, and the version of the trust that says so.
    pub(crate) fn planners(&self, now_unix_s: u64) -> Result<(TrustedKeys, u64), Failure> {
        let refused = |error: &dyn std::error::Error| failure(REFUSED, in_full(error));
        let trust = TrustStore::load(&self.trust).map_err(|error| refused(&error))?;
        let keys = trust.trusted(Role::Planner, now_unix_s).map_err(|error| refused(&error))?;
        Ok((keys, trust.current().version))
    }

    /// The keys that could sign a plan when it was begun; `None` where that trust is not known here.
    pub(crate) fn planners_of(&self, begin: &Begin) -> Option<TrustedKeys> {
        let trust = TrustStore::load_at(&self.trust, begin.trust_version).ok()?;
        trust.trusted(Role::Planner, begin.now_unix_s).ok()
    }

    /// What this host holds against a plan.
    pub(crate) fn terms(&self, trust_version: u64) -> Result<Terms, Failure> {
        let policy = match std::fs::read(&self.policy) {
            Ok(bytes) => strict_json::parse::<Policy>(&bytes)
                .map_err(|error| failure(REFUSED, format!("policy {}: {}", self.policy.display(), in_full(&error))))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Policy::everything(),
            Err(error) => return Err(failure(UNEXPECTED, format!("policy {}: {error}", self.policy.display()))),
        };
        let build: Build = env!("CARGO_PKG_VERSION").parse().expect("the version of this build");
        let machine = rtt_host::fingerprint().ok().map(|here| here.machine.id().to_string());
        Ok(Terms { build, trust_version, policy, machine })
    }

    fn participants(&self) -> Result<Vec<Box<dyn Participant>>, Failure> {
        let mut participants: Vec<Box<dyn Participant>> = Vec::new();
        for name in Op::PARTICIPANTS {
            participants.push(Box::new(Tree::new(name, self.managed.join(name), Stored(self.objects()?))));
        }
        Ok(participants)
    }

    /// Opens the log and ends what a crash left open, which is told on stderr; then does `act`.
    pub(crate) fn with<T>(
        &self,
        desk: &mut KeyDesk<'_>,
        act: impl FnOnce(&mut Reconciler<'_, FileDisk>, &mut KeyDesk<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (key, host) = self.key(desk)?;
        if let Some(folder) = self.witness.parent().filter(|_| self.witness_command.is_none()) {
            std::fs::create_dir_all(folder)
                .map_err(|error| failure(UNEXPECTED, format!("{}: {error}", folder.display())))?;
        }
        let opened = Log::open(self.disk()?, &Site::options(host), &key, self.witness());
        let (log, torn) = opened.map_err(|error| log_refused(&self.store, &error))?;
        if let Some(torn) = torn {
            writeln!(desk.warnings, "rtt: {torn}; it was cut")?;
        }
        let settled = Reconciler::open(log, self.participants()?, &|begin| self.planners_of(begin));
        let (mut reconciler, ended) = settled.map_err(|error| in_doubt(&error))?;
        if let Some(ended) = ended {
            writeln!(desk.warnings, "rtt: a plan was open when the log was left: {ended}")?;
        }
        act(&mut reconciler, desk)
    }
}

/// A log that is not opened: held by another, or no longer what it was.
pub(crate) fn log_refused(store: &Path, error: &LogError) -> Failure {
    let code = match error {
        LogError::Open(OpenError::Busy { .. }) => USAGE,
        LogError::Open(OpenError::Disk(_)) | LogError::Witness(_) => UNEXPECTED,
        _ => REFUSED,
    };
    failure(code, format!("log in {}: {}", store.display(), in_full(error)))
}

/// What could not be ended now.
pub(crate) fn in_doubt(error: &SettleError) -> Failure {
    failure(UNFIT, in_full(error))
}
