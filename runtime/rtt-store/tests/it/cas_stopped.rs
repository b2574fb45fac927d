//! A writer in another process, stopped by SIGSTOP before each operation of a put, while this one collects.

use crate::cas::object;
use rtt_seal::Digest;
use rtt_store::cas::Cas;
use rtt_store::{Answer, Cause, Disk, DiskError, FileDisk, FileId, Request, Token};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const FOLDER: &str = "RTT_STORE_TEST_WRITER_FOLDER";
const STOP_AT: &str = "RTT_STORE_TEST_WRITER_STOP_AT";
const FORGETS: &str = "RTT_STORE_TEST_WRITER_FORGETS";

/// A disk that stops its process before an operation. One that forgets names nothing in leases and spares nothing.
struct StoppingDisk {
    disk: FileDisk,
    stop_at: Option<u64>,
    forgets: bool,
    leases: Vec<FileId>,
    refused: Option<Token>,
}

impl Disk for StoppingDisk {
    fn submit(&mut self, request: Request) -> Token {
        if self.stop_at == Some(0) {
            kill_process(getpid(), Signal::STOP).expect("stopped, and continued");
        }
        self.stop_at = self.stop_at.and_then(|left| left.checked_sub(1));
        match request {
            Request::Write { file, ref bytes, .. } if self.forgets && self.leases.contains(&file) => {
                self.disk.submit(Request::Write { file, offset: 0, bytes: bytes[..0].to_vec() })
            }
            Request::Remove { path } if self.forgets && path.contains("condemned") => {
                let token = self.disk.submit(Request::Stat { path: "none".into() });
                self.refused = Some(token);
                token
            }
            other => self.disk.submit(other),
        }
    }

    fn complete(&mut self) -> Option<(Token, Result<Answer, DiskError>)> {
        self.disk.complete()
    }

    fn wait(&mut self, token: Token) -> Result<Answer, DiskError> {
        let answer = self.disk.wait(token);
        assert!(self.refused != Some(token) || answer.as_ref().is_err_and(|error| error.cause == Cause::MISSING));
        answer
    }

    fn run(&mut self, request: Request) -> Result<Answer, DiskError> {
        let is_lease = matches!(&request, Request::Create { path } if path.contains("leases/"));
        let token = self.submit(request);
        let answer = self.wait(token);
        if let (true, Ok(Answer::Opened(file))) = (is_lease, &answer) {
            self.leases.push(*file);
        }
        answer
    }
}

/// What is there already, and what is not, in the round `round`.
fn objects(round: u64) -> [Vec<u8>; 2] {
    [0, 1].map(|which| [&round.to_le_bytes()[..], &object(2000, which)].concat())
}

/// Not a test by itself: the writer's process, which the tests below start.
#[test]
fn the_writers_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let stop_at: u64 = std::env::var(STOP_AT).expect("told").parse().expect("a number");
    let disk = FileDisk::open(Path::new(&folder)).expect("a disk");
    let forgets = std::env::var_os(FORGETS).is_some();
    let disk = StoppingDisk { disk, stop_at: None, forgets: false, leases: Vec::new(), refused: None };
    let mut cas = Cas::open(disk).expect("a store");
    let mut lease = cas.lease(&format!("writer-{stop_at}"), 1).expect("a lease");
    (cas.disk().stop_at, cas.disk().forgets) = (Some(stop_at), forgets);
    let [found, new] = objects(stop_at);
    cas.put_batch(&mut lease, &[&found, &new]).expect("put");
    let was_stopped = cas.disk().stop_at.is_none();
    // Not given back: the record that names the objects is the parent's to write.
    std::process::exit(if was_stopped { 0 } else { 3 });
}

fn start(folder: &Path, stop_at: u64, forgets: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "cas_stopped::the_writers_process", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).env(STOP_AT, stop_at.to_string()).stdout(Stdio::null());
    if forgets {
        command.env(FORGETS, "1");
    }
    command.spawn().expect("started")
}

/// Waits until the writer stops or ends; its exit status, if it ended.
fn wait(writer: &mut Child) -> Option<i32> {
    // Looked at and left: the end is the child's own `wait` to take.
    let changes = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let status = waitid(WaitId::Pid(Pid::from_child(writer)), changes).expect("a child").expect("a change");
    if status.stopped() { None } else { writer.wait().expect("it ended").code() }
}

/// Stops a writer before each operation of its put and collects long after its lease expired; how many objects it lost
/// of those that it was told are stored, and in how many rounds a pass removed other garbage meanwhile.
fn losses(forgets: bool) -> (usize, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cas = Cas::open(FileDisk::open(folder.path()).expect("a disk")).expect("a store");
    let (mut roots, mut lost, mut passed) = (Vec::new(), 0, 0);
    for round in 0.. {
        let start_s = 10_000 * (round + 1);
        let [found, new] = objects(round);
        let collect = |cas: &mut Cas<FileDisk>, after_s: u64, roots: &[Digest]| {
            let listed = roots.to_vec();
            cas.collect(start_s + after_s, 5, &mut |_| Ok(listed.clone()), &mut |_, _| Ok(Vec::new()))
                .expect("collected")
        };
        let garbage = [&b"garbage"[..], &round.to_le_bytes()].concat();
        let mut lease = cas.lease("before", 0).expect("a lease");
        cas.put_batch(&mut lease, &[&found, &garbage]).expect("put");
        cas.release(lease).expect("released");
        collect(&mut cas, 0, &roots);

        let mut writer = start(folder.path(), round, forgets);
        let mut exit = wait(&mut writer);
        if exit.is_none() {
            let passes = [10, 20, 30].map(|after_s| collect(&mut cas, after_s, &roots));
            passed += usize::from(passes.iter().any(|pass| pass.removed.contains(&Digest::of(&garbage))));
            kill_process(Pid::from_child(&writer), Signal::CONT).expect("continued");
            exit = wait(&mut writer);
        }
        if exit == Some(3) {
            assert!(round > 10, "every operation of a put: {round}");
            break;
        }
        assert_eq!(exit, Some(0), "the writer was told that both are stored");
        roots.extend([&found, &new].map(|bytes| Digest::of(bytes)));
        for after_s in [100, 200] {
            collect(&mut cas, after_s, &roots);
        }
        lost += [found, new].iter().filter(|bytes| cas.get(&Digest::of(bytes)).ok().as_ref() != Some(bytes)).count();
        roots.retain(|digest| cas.get(digest).is_ok());
    }
    (lost, passed)
}

/// CAS-7: the stopped writer's lease has expired by any clock, and holds.
#[test]
fn a_stopped_writer_loses_nothing() {
    let (lost, passed) = losses(false);
    assert_eq!(lost, 0);
    assert!(passed > 5, "collections did remove something meanwhile: in {passed} rounds");
}

/// The control: the same rounds with a writer whose leases name nothing.
#[test]
fn a_stopped_writer_whose_leases_name_nothing_does_lose() {
    assert!(losses(true).0 > 0);
}
