//! Starts `rtt-lab serve` on a lock of its own and speaks the problem protocol to it.

use rtt_host::{Child, Spawn};
use rtt_measure::{Answer, Hello, MeasureRequest, Point, Record, TrialRecord, read_log};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A folder for one run, which no other test measures beside.
pub struct Bench {
    pub folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// A lab that was started.
pub struct Lab {
    pub child: Child,
    pub hello: Hello,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Bench {
    pub fn new() -> Bench {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        Bench { folder: tempfile::tempdir().expect("a folder"), _turn: turn }
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("trials.jsonl")
    }

    pub fn spawn(&self) -> Spawn<'static> {
        self.spawn_on(&endpoint())
    }

    /// A lab that drives the endpoint at `endpoint`.
    pub fn spawn_on(&self, endpoint: &Path) -> Spawn<'static> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        Spawn::new(env!("CARGO_BIN_EXE_rtt-lab"))
            .argument("serve")
            .argument("--endpoint")
            .argument(format!("*={}", endpoint.display()))
            .argument("--log")
            .argument(self.log())
            .argument("--pack")
            .argument(root.join("scenarios"))
            .argument("--lock")
            .argument(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
    }

    pub fn lab(&self) -> Lab {
        Lab::start(self.spawn())
    }

    pub fn trials(&self) -> Vec<TrialRecord> {
        let records = read_log(&self.log()).expect("a whole log").records.into_iter();
        let trials = records.filter_map(|(_, record)| match record {
            Record::Trial(trial) => Some(*trial),
            _ => None,
        });
        trials.collect()
    }
}

/// The endpoint's executable: built beside this test by the workspace's build, or by cargo when it is asked for.
fn endpoint() -> PathBuf {
    static BUILT: Mutex<bool> = Mutex::new(false);
    let path = Path::new(env!("CARGO_BIN_EXE_rtt-lab")).with_file_name("rtt-endpoint");
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if !*built {
        // A stale executable would test yesterday's loop.
        let cargo = std::process::Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "rtt-runtime", "--bin", "rtt-endpoint"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(cargo.is_ok_and(|status| status.success()), "the endpoint builds");
        *built = true;
    }
    path
}

pub fn request(id: &str, scenario: &str, point: &Point) -> MeasureRequest {
    MeasureRequest {
        measure: point.clone(),
        share: 1.0,
        id: Some(id.into()),
        scenario: Some(scenario.into()),
        seed: Some(7),
        faults: None,
        arm: None,
        pair: None,
        slot: None,
    }
}

impl Lab {
    pub fn start(spawn: Spawn) -> Lab {
        let mut child = spawn.start().expect("the lab starts");
        let requests = child.take_stdin().expect("piped");
        let mut answers = BufReader::new(child.take_stdout().expect("piped"));
        let mut line = String::new();
        answers.read_line(&mut line).expect("a hello");
        let hello = serde_json::from_str(&line).expect("a hello");
        Lab { child, hello, requests, answers }
    }

    pub fn ask(&mut self, request: &MeasureRequest) {
        self.say(&serde_json::to_string(request).expect("JSON"));
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.requests, "{line}").expect("the lab reads");
    }

    pub fn answer(&mut self) -> Answer {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("`{line}`: {error}"))
    }

    pub fn measure(&mut self, request: &MeasureRequest) -> Answer {
        self.ask(request);
        self.answer()
    }

    pub fn default_point(&self) -> Point {
        self.hello.default.clone().expect("a lab has a default")
    }

    /// The lab's child processes now.
    pub fn children(&self) -> Vec<u32> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.pid())).expect("the lab runs");
        let of_task =
            |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let lists: Vec<String> = tasks.flatten().map(of_task).collect();
        lists.iter().flat_map(|list| list.split_whitespace()).filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Waits until the running trial sends, and gives the process id of its endpoint.
    pub fn running_endpoint(&self) -> u32 {
        loop {
            let endpoint = self.children().into_iter().find(|&pid| named(pid, "rtt-loop"));
            if let Some(pid) = endpoint.filter(|_| named(self.child.pid(), "rtt-generator")) {
                return pid;
            }
            std::thread::yield_now();
        }
    }
}

/// Whether process `pid` has a thread called `name`.
fn named(pid: u32, name: &str) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .into_iter()
        .any(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name))
}
