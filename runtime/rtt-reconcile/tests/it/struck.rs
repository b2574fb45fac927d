//! A process that works on a store until it is struck, and what has to be found afterwards.
//!
//! The process is this test binary, told by its environment what to do. What is acknowledged to it, it says on its
//! standard output: `ack record N` when the records up to `N` are durable, `ack plan N` when the `N`th plan was verified.
//! Record `N` and what plan `N` leads to are the same in every run, so that what is found can be compared with them.
//!
//! Keys and witness are kept apart from what is struck, as on another disk.

use crate::host::{Host, NOW, Shed, profile, put, ring};
use rtt_plan::{HostState, Op, Participant};
use rtt_reconcile::{Ended, Log, Reconciler, Told, Tree};
use rtt_seal::{Digest, KeyRest, Role, SigningKey, in_full};
use rtt_store::wal::{FileWitness, Options, Room, Torn, Wal, read_log};
use rtt_store::{Answer, Disk, DiskError, FileDisk, Request, Token};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a process may say nothing before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Write calls after the awaited word within which a process is struck: some groups of records, most of a plan.
pub const WRITES: u64 = 24;

/// Where a process works.
#[derive(Clone, Debug)]
pub struct Place {
    /// Keys and witness: no strike reaches them.
    pub kept: PathBuf,
    /// The store and what plans change.
    pub root: PathBuf,
    /// Length of the segments of the log of records.
    pub segment_bytes: u32,
}

/// What the process does.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// `records`, `plans` or `both`, these each on a thread of its own.
    pub job: &'static str,
    /// Records or plans after which it ends by itself.
    pub most: u64,
    /// Whether the disk syncs when it is asked to: the control does not.
    pub syncs: bool,
    /// Byte at which every write is cut off, once the log is open; 0 for none.
    pub limit: u64,
}

/// Until it is struck.
pub const ENDLESS: Work = Work { job: "both", most: u64::MAX, syncs: true, limit: 0 };

/// What was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acks {
    pub records: u64,
    pub plans: u64,
}

impl Acks {
    fn take(&mut self, line: &str) {
        let number = |what: &str| line.strip_prefix(what).and_then(|number| number.parse::<u64>().ok());
        self.records = self.records.max(number("ack record ").map_or(0, |record| record + 1));
        self.plans = self.plans.max(number("ack plan ").unwrap_or(0));
    }
}

impl Place {
    /// A new place, with keys.
    pub fn new(kept: &Path, root: &Path, segment_bytes: u32) -> Place {
        for (name, role) in [("host", Role::Host), ("planner", Role::Planner)] {
            let key = SigningKey::generate(role).expect("a key");
            key.save(&kept.join(name), KeyRest::Plain).expect("saved");
        }
        fs::create_dir_all(root.join("store")).expect("made");
        Place { kept: kept.to_owned(), root: root.to_owned(), segment_bytes }
    }

    fn host(&self) -> Host {
        let load = |name: &str| SigningKey::load(&self.kept.join(name)).expect("a key");
        Host::with(load("host"), load("planner"))
    }

    fn disk(&self) -> Result<FileDisk, DiskError> {
        FileDisk::open(&self.root.join("store"))
    }

    fn records_options(&self, host: &Host) -> Options {
        let segment_bytes = self.segment_bytes;
        Options { folder: "records".into(), segment_bytes, reserve_bytes: 0, ..Options::new(host.id()) }
    }

    fn log<'a, D: Disk>(&self, host: &'a Host, disk: D) -> Result<(Log<'a, D>, Option<Torn>), String> {
        let witness = Box::new(FileWitness { path: self.kept.join("witness") });
        Log::open(disk, &host.options(), &host.key, witness).map_err(|error| in_full(&error))
    }

    fn trees(&self, shed: &Shed) -> Vec<Box<dyn Participant>> {
        let tree = |name| Box::new(Tree::new(name, self.root.join("managed").join(name), shed.clone()));
        Op::PARTICIPANTS.into_iter().map(|name| tree(name) as Box<dyn Participant>).collect()
    }

    /// Number of the plan that runs, as its file tells; 0 before the first.
    fn plan_that_runs(&self) -> u64 {
        let text = fs::read_to_string(self.root.join("managed/files/current/etc/app")).unwrap_or_default();
        text.lines().next().map_or(0, |line| line.parse().expect("a number"))
    }

    /// The command that starts the process.
    pub fn command(&self, work: Work) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "struck::the_process_that_is_struck", "--nocapture", "--test-threads=1"]);
        let Work { job, most, syncs, limit } = work;
        command.env("RTT_TEST_WORK", format!("{job} {most} {syncs} {limit} {}", self.segment_bytes));
        command.env("RTT_TEST_KEPT", &self.kept).env("RTT_TEST_ROOT", &self.root);
        // What a killed process cannot remove goes with the test's own folder.
        command.env("TMPDIR", &self.kept);
        command
    }
}

/// Payload of a record of the log of records.
fn payload(record: u64) -> Vec<u8> {
    let mut bytes = format!("record {record}: ").into_bytes();
    bytes.resize(24 + (record * 97 % 1500) as usize, record as u8);
    bytes
}

/// Content of the file that a plan puts.
fn content(plan: u64) -> Vec<u8> {
    format!("{plan}\n").repeat(1 + plan as usize % 7).into_bytes()
}

/// What a plan does: all three participants change.
fn ops(plan: u64, held: &HostState) -> Vec<Op> {
    let runs = |participant: &str, item: &str| {
        held.participants.get(participant).and_then(|inventory| inventory.items.get(item)).map(|item| item.object)
    };
    let ring = match runs(Op::RINGS, "feed") {
        Some(before) => Op::RingRemove { name: "feed".parse().expect("a name"), before },
        None => ring("feed"),
    };
    let profile = match runs(Op::PROFILE, Op::PROFILE_ITEM) {
        Some(before) => Op::ProfileClear { before },
        None => profile(Digest::of(&content(plan))),
    };
    vec![put("etc/app", Digest::of(&content(plan)), runs(Op::FILES, "etc/app")), ring, profile]
}

/// What runs after so many plans.
fn state(plans: u64) -> HostState {
    let nothing = Op::PARTICIPANTS.map(|name| (name.to_owned(), Default::default()));
    let genesis = HostState { participants: BTreeMap::from(nothing) };
    (1..=plans).fold(genesis, |held, next| held.after(&ops(next, &held)).expect("an effect"))
}

/// A disk that carries out no sync.
struct Unsynced(FileDisk);

impl Disk for Unsynced {
    fn submit(&mut self, request: Request) -> Token {
        self.0.submit(match request {
            Request::WriteSync { file, offset, bytes } => Request::Write { file, offset, bytes },
            // That it is there already is no error: it does nothing, and is answered like a sync.
            Request::Sync { .. } | Request::SyncAll | Request::SyncDirectory { .. } => {
                Request::CreateDirectory { path: ".".into() }
            }
            other => other,
        })
    }

    fn complete(&mut self) -> Option<(Token, Result<Answer, DiskError>)> {
        self.0.complete()
    }

    fn wait(&mut self, token: Token) -> Result<Answer, DiskError> {
        self.0.wait(token)
    }
}

/// Says a line, whatever the test harness has left unfinished before it; ends when nobody listens.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| out.flush()).expect("somebody listens");
}

/// No test: the process that the tests strike. Where nobody told it what to do it does nothing.
#[test]
fn the_process_that_is_struck() {
    let Ok(words) = std::env::var("RTT_TEST_WORK") else { return };
    let path = |name| PathBuf::from(std::env::var_os(name).expect("a path"));
    let words: Vec<&str> = words.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    let job = ["records", "plans", "both"].into_iter().find(|job| *job == words[0]).expect("a job");
    let work = Work { job, most: number(1), syncs: words[2] == "true", limit: number(3) };
    let place = Place { kept: path("RTT_TEST_KEPT"), root: path("RTT_TEST_ROOT"), segment_bytes: number(4) as u32 };
    say("begun");
    let end = |ended: Result<(), String>| match ended {
        Ok(()) => say("done"),
        Err(why) => say(&format!("stopped: {why}")),
    };
    thread::scope(|scope| {
        if job == "both" {
            scope.spawn(|| end(append_records(&place, work)));
        }
        end(if job == "records" { append_records(&place, work) } else { apply_plans(&place, work) });
    });
}

fn disk_for(place: &Place, work: Work) -> Result<Box<dyn Disk + Send>, String> {
    let disk = place.disk().map_err(|error| error.to_string())?;
    Ok(if work.syncs { Box::new(disk) } else { Box::new(Unsynced(disk)) })
}

/// Appends in groups of one to three.
fn append_records(place: &Place, work: Work) -> Result<(), String> {
    let host = place.host();
    let opened = Wal::open(disk_for(place, work)?, &place.records_options(&host), None);
    let (mut wal, opened) = opened.map_err(|error| in_full(&error))?;
    if work.limit > 0 {
        let maximum = getrlimit(Resource::Fsize).maximum;
        setrlimit(Resource::Fsize, Rlimit { current: Some(work.limit), maximum }).expect("a limit");
    }
    let mut next = opened.records.len() as u64;
    let last = next.saturating_add(work.most);
    while next < last {
        for _ in 0..=next % 3 {
            wal.push(1, &payload(next), Room::Ordinary).map_err(|error| in_full(&error))?;
            next += 1;
        }
        wal.flush().map_err(|error| in_full(&error))?;
        say(&format!("ack record {}", next - 1));
    }
    Ok(())
}

fn apply_plans(place: &Place, work: Work) -> Result<(), String> {
    let (host, shed) = (place.host(), Shed::default());
    let (log, _) = place.log(&host, disk_for(place, work)?)?;
    let (mut reconciler, _) =
        Reconciler::open(log, place.trees(&shed), &host.planners()).map_err(|error| in_full(&error))?;
    for _ in 0..work.most {
        let told = reconciler.log().told().clone();
        let next = place.plan_that_runs() + 1;
        shed.put(&content(next));
        let mut plan = host.draft(&told.held, told.state.generation(), 1, ops(next, &told.held));
        let burnt = reconciler.facts(&plan, &host.terms).sequences.get(&plan.planner).copied();
        plan.sequence = burnt.unwrap_or(0) + 1;
        let ended = reconciler.apply(host.sign(&plan), &host.keys, &host.terms, NOW);
        match ended.map_err(|error| in_full(&error))? {
            Ended::Verified { .. } => say(&format!("ack plan {next}")),
            other => say(&format!("ended otherwise: {other:?}")),
        }
    }
    Ok(())
}

/// A process that was started. Dropping it kills it.
pub struct Struck {
    child: Child,
    lines: Receiver<String>,
}

impl Struck {
    /// Starts it.
    pub fn start(command: &mut Command) -> Struck {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a process");
        let out = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            // A line is one write to the pipe, so that a kill leaves none in its middle.
            out.split(b'\n')
                .map_while(Result::ok)
                .all(|line| sender.send(String::from_utf8_lossy(&line).into_owned()).is_ok())
        });
        Struck { child, lines }
    }

    /// Waits until it said `count` lines that begin with `what`; it must not stop or end before.
    pub fn wait_for(&self, what: &str, count: u64, acks: &mut Acks) {
        let (begun, mut left) = (Instant::now(), count);
        while left > 0 {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(line) if line.starts_with("stopped: ") => panic!("unstruck, it {line}"),
                Ok(line) => {
                    acks.take(&line);
                    left -= u64::from(line.starts_with(what));
                }
                Err(RecvTimeoutError::Disconnected) => panic!("unstruck, it ended"),
                Err(RecvTimeoutError::Timeout) => panic!("{what:?} was not said {count} times in {PATIENCE:?}"),
            }
        }
    }

    /// Waits until it has made so many more write calls, or has ended with its work done: a strike then comes between
    /// acknowledgements, in whatever it does next.
    pub fn wait_for_writes(&mut self, count: u64) {
        let path = format!("/proc/{}/io", self.child.id());
        let writes = || -> u64 {
            let told = fs::read_to_string(&path).expect("it runs, and the kernel counts");
            let row = told.lines().find_map(|line| line.strip_prefix("syscw: ")).expect("a row");
            row.parse().expect("a number")
        };
        let (begun, first) = (Instant::now(), writes());
        while writes() < first + count && self.child.try_wait().expect("own child").is_none() {
            assert!(begun.elapsed() < PATIENCE, "{count} writes were not made in {PATIENCE:?}");
            thread::yield_now();
        }
    }

    /// Kills it, waits for its end, and takes what it had said.
    pub fn kill(mut self, acks: &mut Acks) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
        self.lines.iter().for_each(|line| acks.take(&line));
    }

    /// Waits until it has ended; all that it said.
    pub fn finish(mut self, acks: &mut Acks) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("nothing was said for {PATIENCE:?} after {lines:?}"),
            }
        }
        self.child.wait().expect("ended");
        lines.iter().for_each(|line| acks.take(line));
        lines
    }
}

impl Drop for Struck {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

/// Opens both logs again: all that was acknowledged is there, nothing else that was not asked for, and both go on. What
/// is there afterwards counts as acknowledged; returns what was cut.
pub fn check(place: &Place, acks: &mut Acks) -> Result<Vec<Torn>, String> {
    let host = place.host();
    let records = check_records(place, &host, acks)?;
    let plans = check_plans(place, &host, acks)?;
    Ok(records.into_iter().chain(plans).collect())
}

fn check_records(place: &Place, host: &Host, acks: &mut Acks) -> Result<Option<Torn>, String> {
    let options = place.records_options(host);
    let said = |error: &dyn std::error::Error| format!("log of records: {}", in_full(error));
    let (mut wal, opened) =
        Wal::open(place.disk().map_err(|e| said(&e))?, &options, None).map_err(|error| said(&error))?;
    let found = opened.records.len() as u64;
    let least = acks.records;
    ensure(found >= least, || format!("WAL-2: lost {} of {least} acknowledged records", least - found))?;
    for record in &opened.records {
        let number = record.sequence;
        ensure(record.payload == payload(number), || format!("record {number} is not the one that was appended"))?;
    }
    wal.append(1, &payload(found), Room::Ordinary).map_err(|error| said(&error))?;
    drop(wal);
    let again = read_log(place.disk().map_err(|e| said(&e))?, &options).map_err(|error| said(&error))?;
    ensure(again.torn.is_none(), || format!("WAL-3: what was cut is still there: {:?}", again.torn))?;
    acks.records = found + 1;
    ensure(again.records.len() as u64 == acks.records, || "the log did not go on".to_owned())?;
    Ok(opened.torn)
}

fn check_plans(place: &Place, host: &Host, acks: &mut Acks) -> Result<Option<Torn>, String> {
    let (log, torn) = place.log(host, place.disk().map_err(|error| error.to_string())?)?;
    let opened = Reconciler::open(log, place.trees(&Shed::default()), &host.planners());
    let (mut reconciler, _) = opened.map_err(|error| in_full(&error))?;
    let told = reconciler.log().told().clone();
    let (plan, least) = (place.plan_that_runs(), acks.plans);
    ensure(plan >= least, || format!("REC-7: lost {} of {least} verified plans", least - plan))?;
    ensure(plan <= least + 1, || format!("plan {plan} runs, {least} was acknowledged"))?;
    ensure(reconciler.log().duty().is_none(), || "a duty is left".to_owned())?;
    ensure(told.held == state(plan), || format!("plan {plan} runs, and the log tells another"))?;
    let runs = reconciler.scan().map_err(|error| in_full(&error))?;
    ensure(runs == told.held, || format!("REC-7: neither base nor target of plan {plan} runs: {runs:?}"))?;
    drop(reconciler);
    let read = fs::read(place.root.join("managed/files/current/etc/app"));
    let expected = (plan > 0).then(|| content(plan));
    ensure(read.ok() == expected, || format!("the file is not that of plan {plan}"))?;
    let disk = place.disk().map_err(|error| error.to_string())?;
    let opened = read_log(disk, &host.options()).map_err(|error| in_full(&error))?;
    let again = Told::of(&opened.records).map_err(|error| in_full(&error))?;
    ensure(again.held == runs && opened.torn.is_none(), || "REC-13: the log replays to another state".to_owned())?;
    acks.plans = plan;
    Ok(torn)
}
