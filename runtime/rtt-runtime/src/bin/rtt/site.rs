//! Where this host's state is: its store and log, what plans manage, its key, its trust, its policy, its witness.

use crate::checked_profile::{CheckedProfile, ProfileRefusal, ProfileRules};
use crate::disk_choice::{self, StoreDisk};
use crate::drift_text;
use crate::failure::{BUSY, Failure, PLAN_REFUSED, REFUSED, UNEXPECTED, UNFIT, failure};
use crate::key_commands::{KeyDesk, trust_refused};
use crate::private_key::Unlock;
use clap::Args;
use rtt_model::Begin;
use rtt_plan::{Build, Op, Participant, Plan, Policy};
use rtt_profile::Knobs;
use rtt_reconcile::{
    ApplyError, Beside, Ended, Entry, Log, LogError, Objects, Planners, Reconciler, SettleError, Terms, Told, Tree,
    admit, audit, unwitnessed,
};
use rtt_seal::{
    Digest, HostId, Role, Sealed, SigningKey, TrustStore, TrustStoreError, TrustedKeys, Verified, VerifyingKey,
    in_full, strict_json,
};
use rtt_store::cas::{self, Cas, ReadError};
use rtt_store::wal::{
    Checkpoint, CommandWitness, FileWitness, OpenError, Opened, Options, Record, Witness, check_witnessed, read_log,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where a host's store is, where nothing else is said.
pub(crate) const STORE: &str = ".rtt/store";
/// Where the last checkpoint is remembered, where nothing else is said.
const WITNESS: &str = ".rtt/witness/checkpoint.json";
/// Where the policy is, if there is one.
const POLICY: &str = ".rtt/policy.json";

#[derive(Args)]
pub(crate) struct Site {
    /// Directory of the store: objects and log.
    #[arg(long, value_name = "DIR", default_value = STORE, global = true)]
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
    #[arg(long, value_name = "FILE", default_value = POLICY, global = true)]
    policy: PathBuf,
    /// File that remembers the log's last checkpoint; best on another disk, or with another owner.
    #[arg(long, value_name = "FILE", default_value = WITNESS, global = true)]
    witness: PathBuf,
    /// Program that remembers it instead. With `remember` as its last argument it gets a checkpoint on its standard input;
    /// with `recall` it writes the last one to its standard output, nothing where it has none. It exits with 0 when it did.
    #[arg(long, value_name = "PROGRAM", conflicts_with = "witness", global = true)]
    witness_command: Option<String>,
}

/// A log as it was read and not opened for writing: whole, by the protocol, and what the witness remembers of it.
pub(crate) struct ReadLog {
    /// Its records.
    pub opened: Opened,
    /// What they tell.
    pub told: Told,
    /// How many records the witness has seen; `None` where it remembers nothing.
    pub witnessed: Option<u64>,
    /// This host's public key.
    pub keys: TrustedKeys,
    /// This host.
    pub host: HostId,
}

/// The objects of the store, for participants.
struct Stored(Cas<StoreDisk>);

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
    pub(crate) fn disk(&self) -> Result<StoreDisk, Failure> {
        let failed = |error: &dyn std::error::Error| {
            failure(UNEXPECTED, format!("store {}: {}", self.store.display(), in_full(error)))
        };
        std::fs::create_dir_all(&self.store).map_err(|error| failed(&error))?;
        disk_choice::open(&self.store)
    }

    /// Probes the store's disk and keeps the choice; in words and as a document.
    pub(crate) fn probe(&self) -> Result<(String, String), Failure> {
        disk_choice::choose(&self.store)
    }

    /// Refuses where there is no store: reading makes none, so that a wrong folder is not an empty store.
    pub(crate) fn check_store(&self) -> Result<(), Failure> {
        if self.store.is_dir() {
            return Ok(());
        }
        let store = self.store.display();
        Err(failure(UNFIT, format!("no store in {store}: name it with --store, or make one: rtt host init")))
    }

    /// Whether this folder is a host's.
    pub(crate) fn has_key(&self) -> bool {
        self.host_key.symlink_metadata().is_ok()
    }

    /// Whether the log was begun.
    pub(crate) fn has_log(&self) -> bool {
        has_log(&self.store)
    }

    /// The objects.
    pub(crate) fn objects(&self) -> Result<Cas<StoreDisk>, Failure> {
        Cas::open(self.disk()?).map_err(|error| failure(UNEXPECTED, in_full(&error)))
    }

    /// The host's key and id.
    pub(crate) fn key(&self, desk: &KeyDesk<'_>) -> Result<(SigningKey, HostId), Failure> {
        check_key_is_there(&self.host_key, &self.store)?;
        if let Err(error) = self.host_key.symlink_metadata() {
            let key = self.host_key.display();
            if error.kind() != io::ErrorKind::NotFound {
                return Err(failure(UNFIT, format!("this host's key {key} cannot be reached: {error}")));
            }
            return Err(failure(UNFIT, format!("this host's key {key} is not there; make one: rtt host init")));
        }
        let key = Unlock::default().load(&self.host_key, "rtt host init", desk.ask)?;
        let host = self.host_of(key.public())?;
        Ok((key, host))
    }

    fn host_of(&self, key: &VerifyingKey) -> Result<HostId, Failure> {
        HostId::of(key).ok_or_else(|| {
            failure(REFUSED, format!("{} is a {} key, expected a host key", self.host_key.display(), key.role()))
        })
    }

    /// The public half of the host's key, which is enough for reading the log: of the private file where it is there,
    /// else of the one host key among the public files beside it.
    fn public_key(&self, desk: &KeyDesk<'_>) -> Result<VerifyingKey, Failure> {
        if self.host_key.exists() {
            return Ok(self.key(desk)?.0.public().clone());
        }
        let beside = self.host_key.parent().and_then(|folder| std::fs::read_dir(folder).ok());
        let files = beside.into_iter().flatten().flatten().map(|entry| entry.path());
        let public = files.filter(|file| file.extension().is_some_and(|extension| extension == "pub"));
        let mut keys = public.filter_map(|file| VerifyingKey::load(&file).ok()).filter(|key| key.role() == Role::Host);
        match (keys.next(), keys.next()) {
            (Some(key), None) => Ok(key),
            _ => Ok(self.key(desk)?.0.public().clone()),
        }
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

    pub(crate) fn make_witness_folder(&self) -> Result<(), Failure> {
        // Only in its usual place: elsewhere a folder that is not there is a disk that is not mounted, or a wrong name.
        let usual = self.witness_command.is_none() && self.witness == Path::new(WITNESS);
        let Some(folder) = self.witness.parent().filter(|_| usual) else { return Ok(()) };
        let failed = |error| failure(UNEXPECTED, format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)
    }

    /// The witness, for a message.
    pub(crate) fn witness_name(&self) -> String {
        match &self.witness_command {
            Some(program) => format!("witness command `{program}`"),
            None => format!("witness {}", self.witness.display()),
        }
    }

    /// What the witness remembers, where it remembers anything.
    fn recall(&self, keys: &TrustedKeys) -> Result<Option<Verified<Checkpoint>>, Failure> {
        let recalled = self.witness().recall().map_err(|error| failure(UNEXPECTED, in_full(&error)))?;
        let not_ours = |error| failure(REFUSED, self.witness_words(&LogError::Witnessed(error)));
        recalled.map(|sealed| sealed.verify(keys)).transpose().map_err(not_ours)
    }

    fn witness_words(&self, error: &LogError) -> String {
        format!("{}: {}", self.witness_name(), in_full(error))
    }

    /// Reads the log, checks it against the protocol and what the witness remembers, if anything.
    pub(crate) fn read_unwitnessed(&self, desk: &KeyDesk<'_>) -> Result<ReadLog, Failure> {
        let refused = |error: &dyn std::error::Error| {
            failure(REFUSED, format!("log in {}: {}", self.store.display(), in_full(error)))
        };
        let key = self.public_key(desk)?;
        let host = self.host_of(&key)?;
        let keys = TrustedKeys::new([key]).map_err(|error| refused(&error))?;
        let witnessed = self.recall(&keys)?;
        if !self.has_log() {
            return Err(match witnessed {
                Some(witnessed) => {
                    let (store, witness, size) = (self.store.display(), self.witness_name(), witnessed.size);
                    let why = format!("the log in {store} is gone, but {witness} has seen {size} records of it");
                    failure(REFUSED, format!("{why}: restore it from a copy"))
                }
                None => failure(UNFIT, "there is no log yet: `rtt plan status` begins it"),
            });
        }
        // The witness was asked before: the log may grow meanwhile, and never shrinks.
        let opened = read_log(self.disk()?, &Site::options(host)).map_err(|error| refused(&error))?;
        let told = Told::of(&opened.records).map_err(|error| refused(&error))?;
        if let Some(witnessed) = &witnessed {
            check_witnessed(&opened.records, &Site::options(host), witnessed).map_err(|error| refused(&error))?;
        }
        Ok(ReadLog { opened, told, witnessed: witnessed.map(|witnessed| witnessed.size), keys, host })
    }

    /// Reads the log, checks it against the protocol and the witness, and writes nothing.
    pub(crate) fn read(&self, desk: &KeyDesk<'_>) -> Result<ReadLog, Failure> {
        let read = self.read_unwitnessed(desk)?;
        self.missed(&read)?;
        Ok(read)
    }

    /// The checkpoint that the witness has not seen; refuses a witness that lost its memory.
    pub(crate) fn missed(&self, read: &ReadLog) -> Result<Option<Sealed<Checkpoint>>, Failure> {
        let missed = unwitnessed(&read.opened.records, read.witnessed, &read.keys);
        missed.map_err(|error| failure(REFUSED, self.witness_words(&error)))
    }

    /// Whether opening the log for writing would only read: what a crash left to do is not for a dry run.
    pub(crate) fn check_settled(&self, desk: &KeyDesk<'_>) -> Result<ReadLog, Failure> {
        let read = self.read(desk)?;
        let open = read.told.state.open().map(|open| format!("plan {} is {}", open.plan(), open.phase()));
        let torn = read.opened.torn.as_ref().map(ToString::to_string);
        let unsealed = rtt_model::resolve(&read.told.state).map(|_| "the last plan is not sealed".to_owned());
        let missed = self.missed(&read)?.map(|_| "the witness has not seen the last checkpoint".to_owned());
        match open.or(torn).or(unsealed).or(missed) {
            None => Ok(read),
            Some(why) => Err(failure(UNFIT, format!("{why}: `rtt plan status` ends that; nothing was written"))),
        }
    }

    /// Whether a plan would be begun on the log that was read, and on what runs. Writes nothing.
    pub(crate) fn admit(
        &self,
        read: &ReadLog,
        sealed: Sealed<Plan>,
        keys: &TrustedKeys,
        terms: &Terms,
        now_unix_s: u64,
    ) -> Result<Result<Verified<Plan>, ApplyError>, Failure> {
        let mut participants = self.participants(now_unix_s)?;
        Ok(admit(&read.told, read.host, &mut participants, sealed, keys, terms, now_unix_s))
    }

    /// Checks every signature in the log again; the last checkpoint, and whether the plans' signatures could be checked,
    /// which needs this host's trust.
    pub(crate) fn audit(&self, read: &ReadLog) -> Result<(Option<Sealed<Checkpoint>>, bool), Failure> {
        let has_trust = !matches!(TrustStore::load(&self.trust), Err(TrustStoreError::Empty { .. }));
        let known: RefCell<BTreeMap<u64, Option<TrustStore>>> = RefCell::default();
        let planners = |begin: &Begin| {
            let mut known = known.borrow_mut();
            let version = begin.trust_version;
            let trust = known.entry(version).or_insert_with(|| TrustStore::load_at(&self.trust, version).ok());
            trust.as_ref()?.trusted(Role::Planner, begin.now_unix_s).ok()
        };
        let planners: Option<&Planners<'_>> = if has_trust { Some(&planners) } else { None };
        let last = audit(&read.opened.records, &read.keys, planners);
        let refused = |error| failure(REFUSED, format!("log in {}: {}", self.store.display(), in_full(&error)));
        Ok((last.map_err(refused)?, has_trust))
    }

    /// A ring's knobs, from the last plan in the log that set them.
    pub(crate) fn knobs_of(&self, object: &Digest, host: HostId) -> Option<Knobs> {
        let opened = read_log(self.disk().ok()?, &Site::options(host)).ok()?;
        let plan = |record: &Record| match Entry::read(record).ok()?.beside {
            Beside::Plan(plan, _) => Some(plan),
            _ => None,
        };
        let ops = opened.records.iter().rev().filter_map(plan).flat_map(|plan| plan.ops);
        let mut set = ops.filter(|op| op.after().is_some_and(|item| item.object == *object));
        set.find_map(|op| match op {
            Op::RingPut { knobs, .. } => Some(knobs),
            _ => None,
        })
    }

    /// This host's trust.
    pub(crate) fn trust(&self) -> Result<TrustStore, Failure> {
        TrustStore::load(&self.trust).map_err(|error| trust_refused(&error))
    }

    /// The keys that may sign plans, and the version of the trust that says so.
    pub(crate) fn planners(&self, now_unix_s: u64) -> Result<(TrustedKeys, u64), Failure> {
        let trust = self.trust()?;
        let keys = trust.trusted(Role::Planner, now_unix_s).map_err(|error| failure(REFUSED, in_full(&error)))?;
        Ok((keys, trust.current().version))
    }

    /// The keys that could sign a plan when it was begun; `None` where that trust is not known here.
    pub(crate) fn planners_of(&self, begin: &Begin) -> Option<TrustedKeys> {
        let trust = TrustStore::load_at(&self.trust, begin.trust_version).ok()?;
        trust.trusted(Role::Planner, begin.now_unix_s).ok()
    }

    /// Whether all that `ops` put is in the store and whole, and a profile one that may be used here.
    ///
    /// # Errors
    /// The first that is not, with its op.
    pub(crate) fn check_objects(&self, ops: &[Op], now_unix_s: u64) -> Result<(), Failure> {
        let mut objects = self.objects()?;
        for (index, op) in ops.iter().enumerate() {
            let Some(object) = op.object() else { continue };
            let refused =
                |why: String| failure(PLAN_REFUSED, format!("op {index}: object {object} for {} {why}", op.item()));
            let found = match op {
                Op::ProfileSet { .. } => self.profile_rules(now_unix_s).check(&object, &mut objects),
                _ => objects.open_object(&object).map(drop).map_err(|error| match error {
                    cas::OpenError::Read(error) => ProfileRefusal::Object(error),
                    error => ProfileRefusal::Profile(in_full(&error)),
                }),
            };
            found.map_err(|refusal| match refusal {
                ProfileRefusal::Object(ReadError::Missing { .. }) => {
                    refused("is not in the store: rtt store put FILE".into())
                }
                ProfileRefusal::Object(error) => refused(format!("cannot be used: {}", in_full(&error))),
                ProfileRefusal::Profile(why) => refused(format!("cannot be used: {why}")),
            })?;
        }
        Ok(())
    }

    /// Whether all that `ops` put is in the store; whether all of it is whole, the plan's prepare finds out.
    pub(crate) fn check_present(&self, ops: &[Op]) -> Result<(), Failure> {
        let mut objects = self.objects()?;
        for (index, op) in ops.iter().enumerate() {
            let Some(object) = op.object() else { continue };
            if let Err(ReadError::Missing { .. }) = objects.range(&object, 0, 1) {
                let why = format!("op {index}: object {object} for {} is not in the store", op.item());
                return Err(failure(PLAN_REFUSED, format!("the plan was not begun: {why}: rtt store put FILE")));
            }
        }
        Ok(())
    }

    fn profile_rules(&self, now_unix_s: u64) -> ProfileRules {
        ProfileRules { trust: self.trust.clone(), now_unix_s }
    }

    /// Where a participant's items are read by who runs on them.
    pub(crate) fn current_path(&self, participant: &str) -> PathBuf {
        self.managed.join(participant).join("current")
    }

    /// The option that names the store, where it is not in its usual place.
    pub(crate) fn store_option(&self) -> String {
        let usual = self.store == Path::new(STORE);
        if usual { String::new() } else { format!(" --store {}", drift_text::quoted(&self.store)) }
    }

    /// What this host holds against a plan.
    pub(crate) fn terms(&self, trust_version: u64) -> Result<Terms, Failure> {
        let policy = self.policy()?;
        let build: Build = env!("CARGO_PKG_VERSION").parse().expect("the version of this build");
        let machine = rtt_host::fingerprint().ok().map(|here| here.machine.id().to_string());
        Ok(Terms { build, trust_version, policy, machine })
    }

    fn policy(&self) -> Result<Policy, Failure> {
        let named = |code, why: String| failure(code, format!("policy {}: {why}", self.policy.display()));
        let bytes = match crate::plan_commands::read(&self.policy) {
            Ok(bytes) => bytes,
            // Only where none was asked for: a name that was mistyped must not give leave for everything.
            Err(_) if self.policy == Path::new(POLICY) && self.policy.symlink_metadata().is_err() => {
                return Ok(Policy::everything());
            }
            Err(Failure { code, message }) => return Err(failure(code, format!("policy {message}"))),
        };
        let found = std::fs::metadata(&self.policy).map_err(|error| named(UNEXPECTED, error.to_string()))?;
        let (mode, user) = (found.permissions().mode(), rustix::process::geteuid().as_raw());
        if ![0, user].contains(&found.uid()) {
            let owner = found.uid();
            return Err(named(REFUSED, format!("it belongs to user {owner}, expected user {user} or root")));
        }
        if mode & 0o022 != 0 {
            let mode = mode & 0o7777;
            return Err(named(
                REFUSED,
                format!("mode is {mode:04o}, expected one that nobody else may write: chmod go-w"),
            ));
        }
        let policy: Policy = strict_json::parse(&bytes).map_err(|error| named(REFUSED, in_full(&error)))?;
        match policy.version {
            1 => Ok(policy),
            version => Err(named(REFUSED, format!("version is {version}, expected 1"))),
        }
    }

    fn participants(&self, now_unix_s: u64) -> Result<Vec<Box<dyn Participant>>, Failure> {
        let mut participants: Vec<Box<dyn Participant>> = Vec::new();
        for name in Op::PARTICIPANTS {
            let inner = Tree::new(name, self.managed.join(name), Stored(self.objects()?));
            participants.push(if name == Op::PROFILE {
                Box::new(CheckedProfile { inner, objects: self.objects()?, rules: self.profile_rules(now_unix_s) })
            } else {
                Box::new(inner)
            });
        }
        Ok(participants)
    }

    /// A log is begun once: where plans have put something in place and no log tells of it, it was lost.
    pub(crate) fn check_not_lost(&self) -> Result<(), Failure> {
        let runs =
            Op::PARTICIPANTS.iter().map(|name| self.current_path(name)).find(|path| path.symlink_metadata().is_ok());
        let Some(current) = runs.filter(|_| !self.has_log()) else { return Ok(()) };
        let (current, store, managed) = (current.display(), self.store.display(), self.managed.display());
        let why = format!(
            "{current} is there, but {store} has no log that tells how it came there: restore the log from a copy"
        );
        Err(failure(REFUSED, format!("{why}; to begin anew, move {managed} away")))
    }

    /// A folder that is gone is not the same as one whose items somebody removed.
    fn check_managed(&self, told: &Told) -> Result<(), Failure> {
        let items: usize = told.held.participants.values().map(|inventory| inventory.items.len()).sum();
        if items == 0 || self.managed.is_dir() {
            return Ok(());
        }
        let folder = self.managed.display();
        let why = format!("the managed folder {folder} is not there, but the log has {} in it", counted(items, "item"));
        let lost = format!("where it is lost, `mkdir {folder}`, and `rtt plan status` says how to fill it");
        Err(failure(UNFIT, format!("{why}: mount it, or name it with --managed; {lost}")))
    }

    /// What could not be ended now, and what puts back what is in its way.
    pub(crate) fn in_doubt(&self, error: &SettleError, host: HostId) -> Failure {
        let drift = match error {
            SettleError::Drift { drift, .. } => &drift[..],
            _ => &[],
        };
        let lines = drift.iter().map(|drift| format!("\n{}", drift_text::words(drift, host, self)));
        failure(UNFIT, in_full(error) + &lines.collect::<String>())
    }

    /// A log that is not opened: held by another, or no longer what it was.
    fn log_refused(&self, error: &LogError) -> Failure {
        let code = match error {
            LogError::Witnessed(_) | LogError::WitnessGone { .. } => {
                return failure(REFUSED, self.witness_words(error));
            }
            LogError::Open(OpenError::Busy { .. }) => BUSY,
            LogError::Open(OpenError::Disk(_)) | LogError::Witness(_) => UNEXPECTED,
            _ => REFUSED,
        };
        failure(code, format!("log in {}: {}", self.store.display(), in_full(error)))
    }

    /// Opens the log and ends what a crash left open, which is told on stderr; then does `act`.
    pub(crate) fn with<T>(
        &self,
        desk: &mut KeyDesk<'_>,
        act: impl FnOnce(&mut Reconciler<'_, StoreDisk>, &mut KeyDesk<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (key, host) = self.key(desk)?;
        self.make_witness_folder()?;
        self.check_not_lost()?;
        let opened = Log::open(self.disk()?, &Site::options(host), &key, self.witness());
        let (log, torn) = opened.map_err(|error| self.log_refused(&error))?;
        if let Some(torn) = torn {
            writeln!(desk.warnings, "rtt: {torn}; it was cut")?;
        }
        self.check_managed(log.told())?;
        let open = log.told().plan.as_ref().map(Plan::id);
        let participants = self.participants(desk.now_unix_s)?;
        let settled = Reconciler::open(log, participants, &|begin| self.planners_of(begin));
        let (mut reconciler, ended) = settled.map_err(|error| self.in_doubt(&error, host))?;
        if let (Some(ended), Some(plan)) = (ended, open) {
            let again = if matches!(ended, Ended::Verified { .. }) { "" } else { "; draft it again" };
            writeln!(desk.warnings, "rtt: plan {plan} was open when the log was left: {ended}{again}")?;
        }
        act(&mut reconciler, desk)
    }
}

/// Refuses where this host's key is gone and its log is not: a new key makes another host, which no plan was made for.
pub(crate) fn check_key_is_there(key: &Path, store: &Path) -> Result<(), Failure> {
    if key.symlink_metadata().is_ok() || !has_log(store) {
        return Ok(());
    }
    let (key, store) = (key.display(), store.display());
    let why = format!("{key} is not there, but {store} holds the log of this host: restore the key from a copy");
    Err(failure(UNFIT, format!("{why}. A new key makes another host: for that, move {store} away first")))
}

/// Whether a log was begun in this store.
pub(crate) fn has_log(store: &Path) -> bool {
    store.join("wal").is_dir()
}

/// A count and what is counted.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
