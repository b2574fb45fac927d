//! A host for tests: its keys, its log in a folder, participants that hold their items in memory or in files.

use rtt_model::Begin;
use rtt_plan::{
    Base, Build, HostState, Inventory, Item, Kind, Op, Participant, ParticipantError, Plan, PlanId, Policy, StateRoot,
};
use rtt_profile::Knobs;
use rtt_reconcile::{Ended, Log, Objects, Reconciler, Terms};
use rtt_seal::{Digest, HostId, Role, Sealed, SigningKey, TrustedKeys};
use rtt_store::wal::{Checkpoint, FileWitness, Options, Witness};
use rtt_store::{Disk, FileDisk};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::rc::Rc;

pub const NOW: u64 = 1_800_000_000;
pub const MACHINE: &str = "0123456789abcdef";

/// Keys and a folder.
pub struct Host {
    pub folder: tempfile::TempDir,
    pub key: SigningKey,
    pub planner: SigningKey,
    pub keys: TrustedKeys,
    pub terms: Terms,
}

impl Host {
    pub fn new() -> Host {
        let key = SigningKey::generate(Role::Host).expect("a key");
        let planner = SigningKey::generate(Role::Planner).expect("a key");
        Host::with(key, planner)
    }

    pub fn with(key: SigningKey, planner: SigningKey) -> Host {
        let keys = TrustedKeys::new([planner.public().clone()]).expect("keys");
        let build = Build { major: 0, minor: 1, patch: 0 };
        let terms = Terms { build, trust_version: 1, policy: Policy::everything(), machine: Some(MACHINE.to_owned()) };
        Host { folder: tempfile::tempdir().expect("a folder"), key, planner, keys, terms }
    }

    pub fn id(&self) -> HostId {
        HostId::of(self.key.public()).expect("a host key")
    }

    pub fn options(&self) -> Options {
        Options { segment_bytes: 512 << 10, reserve_bytes: 64 << 10, ..Options::new(self.id()) }
    }

    pub fn store(&self) -> PathBuf {
        let path = self.folder.path().join("store");
        std::fs::create_dir_all(&path).expect("made");
        path
    }

    pub fn disk(&self) -> FileDisk {
        FileDisk::open(&self.store()).expect("a disk")
    }

    pub fn witness(&self) -> Box<dyn Witness> {
        Box::new(FileWitness { path: self.folder.path().join("witness") })
    }

    /// The log over `disk`.
    pub fn log<D: Disk>(&self, disk: D) -> Log<'_, D> {
        Log::open(disk, &self.options(), &self.key, self.witness()).expect("a log").0
    }

    /// The planners, whatever version of trust is asked for.
    pub fn planners(&self) -> impl Fn(&Begin) -> Option<TrustedKeys> {
        let keys = self.keys.clone();
        move |_| Some(keys.clone())
    }

    /// A reconciler over real disk, participants in memory.
    pub fn open(&self, world: &World) -> (Reconciler<'_, FileDisk>, Option<Ended>) {
        Reconciler::open(self.log(self.disk()), world.participants(), &self.planners()).expect("opens")
    }

    /// A signed plan from what the log holds.
    pub fn plan(&self, held: &HostState, generation: u64, sequence: u64, ops: Vec<Op>) -> Sealed<Plan> {
        let plan = self.draft(held, generation, sequence, ops);
        self.sign(&plan)
    }

    pub fn draft(&self, held: &HostState, generation: u64, sequence: u64, ops: Vec<Op>) -> Plan {
        let target_root = held.after(&ops).map_or(StateRoot(Digest([0; 32])), |state| state.root());
        let carries_knobs = ops.iter().any(Op::carries_knobs);
        Plan {
            version: 1,
            kind: Kind::Apply,
            audience: self.id(),
            runtime_build: self.terms.build,
            trust_root_version: 1,
            planner: self.planner.id(),
            sequence,
            not_before_unix_s: NOW - 10,
            expires_unix_s: NOW + 1_000_000,
            base: Base { generation, state_root: held.root() },
            ops,
            target_root,
            capabilities: self.terms.policy.grants.clone(),
            policy: self.terms.policy.digest(),
            evidence: Vec::new(),
            machine: carries_knobs.then(|| MACHINE.to_owned()),
        }
    }

    pub fn sign(&self, plan: &Plan) -> Sealed<Plan> {
        Sealed::sign(&plan.to_canonical(), &self.planner).expect("signed")
    }
}

/// What participants in memory hold, and what goes wrong there. It outlives a crash of the reconciler.
#[derive(Clone, Default)]
pub struct World(pub Rc<RefCell<Shelves>>);

#[derive(Default)]
pub struct Shelves {
    pub held: BTreeMap<&'static str, Shelf>,
    /// The call that fails next: participant, method, and after how many such calls.
    pub failing: Option<(&'static str, &'static str)>,
    /// Calls so far, as `files.prepare`.
    pub calls: Vec<String>,
    /// A participant whose commit does something else.
    pub crooked: Option<&'static str>,
    /// A participant whose state somebody changes while the next plan is prepared.
    pub meddler: Option<&'static str>,
    /// A participant whose undo does nothing and says it did.
    pub stubborn: Option<&'static str>,
    /// A participant that cannot tell what runs while a plan's work does.
    pub blind: Option<&'static str>,
    /// The call, counted from 0, in which everything stops, and what says so to the disk.
    pub stopping: Option<(usize, Rc<Cell<u64>>)>,
}

#[derive(Clone, Default)]
pub struct Shelf {
    pub runs: Inventory,
    staged: BTreeMap<PlanId, Inventory>,
    before: BTreeMap<PlanId, Inventory>,
}

impl World {
    pub fn participants(&self) -> Vec<Box<dyn Participant>> {
        let member = |name| Box::new(Member { name, world: self.clone() }) as Box<dyn Participant>;
        Op::PARTICIPANTS.into_iter().map(member).collect()
    }

    pub fn runs(&self) -> HostState {
        let shelves = self.0.borrow();
        let inventory = |name: &'static str| shelves.held.get(name).map(|shelf| shelf.runs.clone()).unwrap_or_default();
        HostState { participants: Op::PARTICIPANTS.map(|name| (name.to_owned(), inventory(name))).into() }
    }

    pub fn fail(&self, participant: &'static str, method: &'static str) {
        self.0.borrow_mut().failing = Some((participant, method));
    }

    /// What is staged or could be undone and should not be.
    pub fn leftovers(&self) -> usize {
        self.0.borrow().held.values().map(|shelf| shelf.staged.len()).sum()
    }
}

struct Member {
    name: &'static str,
    world: World,
}

impl Member {
    fn called(&self, method: &'static str) -> Result<(), ParticipantError> {
        let mut shelves = self.world.0.borrow_mut();
        let call = shelves.calls.len();
        shelves.calls.push(format!("{}.{method}", self.name));
        if let Some((_, left)) = shelves.stopping.as_ref().filter(|(at, _)| call >= *at) {
            left.set(0);
            let source = io::Error::other("stopped").into();
            return Err(ParticipantError::Host { participant: self.name.into(), what: method.into(), source });
        }
        if shelves.failing != Some((self.name, method)) {
            return Ok(());
        }
        shelves.failing = None;
        let source = io::Error::other("injected").into();
        Err(ParticipantError::Host { participant: self.name.into(), what: method.into(), source })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Shelf) -> T) -> T {
        act(self.world.0.borrow_mut().held.entry(self.name).or_default())
    }
}

impl Participant for Member {
    fn name(&self) -> &str {
        self.name
    }

    fn scan(&mut self) -> Result<Vec<u8>, ParticipantError> {
        self.called("scan")?;
        if self.world.0.borrow().blind == Some(self.name) && self.with(|shelf| !shelf.before.is_empty()) {
            let source = io::Error::other("blind").into();
            return Err(ParticipantError::Host { participant: self.name.into(), what: "scan".into(), source });
        }
        Ok(self.with(|shelf| shelf.runs.to_canonical()))
    }

    fn prepare(&mut self, plan: PlanId, ops: &[Op]) -> Result<(), ParticipantError> {
        let state = self.with(|shelf| shelf.runs.to_canonical());
        let after = Inventory::from_canonical(&self.apply_to(&state, ops)?).expect("canonical");
        let meddled = self.world.0.borrow().meddler == Some(self.name);
        self.with(|shelf| {
            shelf.staged.insert(plan, after);
            if meddled {
                shelf.runs.items.insert("mine".into(), Item { object: Digest::of(b"by hand"), mode: None });
            }
        });
        self.called("prepare") // What is half done before it fails is `abort`'s to remove.
    }

    fn commit(&mut self, plan: PlanId) -> Result<(), ParticipantError> {
        let crooked = self.world.0.borrow().crooked == Some(self.name);
        self.with(|shelf| {
            let Some(after) = shelf.staged.get(&plan).cloned() else { return };
            let before = std::mem::replace(&mut shelf.runs, after);
            shelf.before.entry(plan).or_insert(before);
            if crooked {
                shelf.runs.items.clear();
            }
        });
        self.called("commit")
    }

    fn abort(&mut self, plan: PlanId) -> Result<(), ParticipantError> {
        self.called("abort")?;
        self.with(|shelf| shelf.staged.remove(&plan));
        Ok(())
    }

    fn undo(&mut self, plan: PlanId) -> Result<(), ParticipantError> {
        self.called("undo")?;
        if self.world.0.borrow().stubborn == Some(self.name) {
            return Ok(());
        }
        self.with(|shelf| {
            if let Some(before) = shelf.before.remove(&plan) {
                shelf.runs = before;
            }
            shelf.staged.remove(&plan);
        });
        Ok(())
    }
}

/// Objects in memory.
#[derive(Clone, Default)]
pub struct Shed(pub Rc<RefCell<BTreeMap<Digest, Vec<u8>>>>);

impl Shed {
    pub fn put(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.0.borrow_mut().insert(digest, bytes.to_vec());
        digest
    }
}

impl Objects for Shed {
    fn open(&mut self, object: Digest) -> io::Result<Option<Box<dyn Read + '_>>> {
        let bytes = self.0.borrow().get(&object).cloned();
        Ok(bytes.map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn Read>))
    }
}

pub fn put(path: &str, object: Digest, before: Option<Digest>) -> Op {
    let before = before.map_or(rtt_plan::Before::Absent, rtt_plan::Before::Object);
    let mode = rtt_plan::FileMode::new(0o640).expect("a mode");
    Op::FilePut { path: path.parse().expect("a path"), object, mode, before }
}

pub fn ring(name: &str) -> Op {
    let knobs = Knobs::default_for(rtt_units::Nanos::from_micros(50));
    Op::RingPut { name: name.parse().expect("a name"), knobs, before: rtt_plan::Before::Absent }
}

pub fn profile(object: Digest) -> Op {
    Op::ProfileSet { object, before: rtt_plan::Before::Absent }
}

/// The log's records, whole.
pub fn records(host: &Host) -> Vec<rtt_store::wal::Record> {
    rtt_store::wal::read_log(host.disk(), &host.options()).expect("a whole log").records
}

/// The last signed checkpoint that the witness has.
pub fn witnessed(host: &Host) -> Checkpoint {
    let keys = TrustedKeys::new([host.key.public().clone()]).expect("keys");
    let sealed = host.witness().recall().expect("readable").expect("one");
    sealed.verify(&keys).expect("signed by the host").into_document()
}
