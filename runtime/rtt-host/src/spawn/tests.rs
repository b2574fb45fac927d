//! Children of this program: what they inherit, how they end, and that they end with their parent.

use super::*;
use rustix::{
    fs::{MemfdFlags, memfd_create},
    io::{FdFlags, fcntl_setfd},
};
use std::io::Read;

fn memfd(text: &[u8]) -> OwnedFd {
    let fd = memfd_create("rtt-test", MemfdFlags::CLOEXEC).expect("a memfd");
    rustix::io::write(&fd, text).expect("room");
    fd
}

/// What a shell prints.
fn output(spawn: Spawn<'_>) -> (String, Ended) {
    let mut child = spawn.stdout(Stdio::piped()).start().expect("a shell");
    let mut text = String::new();
    child.take_stdout().expect("piped").read_to_string(&mut text).expect("text");
    (text, child.wait(None).expect("own child"))
}

fn shell(script: &str) -> Spawn<'static> {
    Spawn::new("/bin/sh").arguments(["-c", script, "sh"])
}

/// HOST-7, with its positive control: the descriptor that is passed is read under its number, one that is not passed
/// is closed although it was inheritable.
#[test]
fn host_7_a_child_has_the_descriptors_passed_and_no_others() {
    let (passed, kept) = (memfd(b"passed\n"), memfd(b"kept"));
    fcntl_setfd(&kept, FdFlags::empty()).expect("own descriptor");
    // `--control N` are the script's first two arguments. It waits for input, so that it can be looked at from here.
    let script = "cat /proc/self/fd/$2; read line";
    let spawn = shell(script).descriptor("--control", passed.as_fd()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = spawn.start().expect("a shell");
    let mut line = String::new();
    let mut output = io::BufReader::new(child.take_stdout().expect("piped"));
    io::BufRead::read_line(&mut output, &mut line).expect("text");
    assert_eq!(line, "passed\n");
    let entries = fs::read_dir(format!("/proc/{}/fd", child.pid())).expect("own child");
    let mut open: Vec<i32> = entries
        .map(|entry| entry.expect("an entry").file_name().to_str().and_then(|fd| fd.parse().ok()).expect("a number"))
        .collect();
    open.sort_unstable();
    assert_eq!(open, [0, 1, 2, passed.as_raw_fd()], "standard streams and what was passed");
    drop(child.take_stdin());
    child.wait(None).expect("own child");
}

#[test]
fn descriptors_are_told_by_argument() {
    let fd = memfd(b"");
    let [name, number] = fd_argument("--ring", fd.as_fd());
    assert_eq!((name.to_str(), number.to_str()), (Some("--ring"), Some(fd.as_raw_fd().to_string().as_str())));
    let (text, _) = output(shell("echo $1 $2 $3").descriptor("--ring", fd.as_fd()).argument("first"));
    assert_eq!(text.trim(), format!("first --ring {}", fd.as_raw_fd()));
}

#[test]
fn standard_streams_and_doubles_are_not_passed() {
    let fd = memfd(b"");
    let stdin = io::stdin();
    let twice = shell("true").descriptor("--a", fd.as_fd()).descriptor("--b", fd.as_fd());
    for spawn in [shell("true").descriptor("--a", stdin.as_fd()), twice] {
        assert!(matches!(spawn.start(), Err(SpawnError::Descriptor { .. })));
    }
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    let error = spawn(Path::new("/no/such/program"), &[], &[]).expect_err("no program");
    assert!(error.to_string().contains("/no/such/program"), "{error}");
    let SpawnError::Start { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), io::ErrorKind::NotFound);
}

#[test]
fn ends_are_told_apart() {
    for (script, ended) in [("exit 0", Ended::Code(0)), ("exit 7", Ended::Code(7)), ("kill -9 $$", Ended::Signal(9))] {
        let mut child = shell(script).start().expect("a shell");
        assert_eq!(child.wait(None).expect("own child"), ended, "{script}");
        assert_eq!(child.wait(Some(Nanos(0))).expect("told again"), ended);
        assert_eq!(ended.is_success(), script == "exit 0");
        assert!(child.kill().is_ok(), "a child that has ended stays ended");
        assert!(matches!(child.stop(), Err(ControlError::Signal { .. })), "and is told to nobody else");
    }
}

#[test]
fn waiting_ends_at_the_deadline_and_not_before() {
    let mut child = Spawn::new("sleep").argument("1000").start().expect("sleep");
    let start = Instant::now();
    let patience = Nanos::from_millis(20);
    assert!(matches!(child.wait(Some(patience)), Err(ControlError::Deadline { .. })));
    assert!(start.elapsed() >= patience.as_duration());
    assert_eq!(child.try_wait().expect("own child"), None);
    child.terminate().expect("own child");
    assert_eq!(child.wait(None).expect("own child"), Ended::Signal(15));
}

#[test]
fn a_child_is_paused_and_runs_on() {
    let child = Spawn::new("sleep").argument("1000").start().expect("sleep");
    assert_eq!(child.is_stopped(), Some(false));
    child.stop().expect("own child");
    while child.is_stopped() != Some(true) {
        std::thread::yield_now();
    }
    child.cont().expect("own child");
    while child.is_stopped() != Some(false) {
        std::thread::yield_now();
    }
}

#[test]
fn a_dropped_child_is_killed_and_reaped() {
    let child = Spawn::new("sleep").argument("1000").start().expect("sleep");
    let place = PathBuf::from(format!("/proc/{}", child.pid()));
    assert!(place.exists());
    drop(child);
    assert!(!place.exists());
}

#[test]
fn a_child_runs_where_it_is_told() {
    let last = allowed_cpus().iter().last().expect("a CPU");
    let script = "while read name value; do [ $name = Cpus_allowed_list: ] && echo $value; done < /proc/self/status; :";
    let (text, _) = output(shell(script).cpus(CpuSet::from_iter([last])));
    assert_eq!(text.trim(), last.to_string());
    let (text, _) = output(shell(script));
    assert_eq!(text.trim(), allowed_cpus().to_string());
    let error = shell("true").cpus(CpuSet::default()).start().expect_err("no CPU");
    assert!(matches!(error, SpawnError::Cpus { .. }), "{error}");
}

/// HOST-8: the child lives on when the thread that asked for it ends, and dies when its parent process does.
///
/// The parent is this test program once more, which runs the test below alone and is killed there.
#[test]
fn host_8_a_child_does_not_outlive_its_parent() {
    let program = std::env::current_exe().expect("a path");
    let test = ["spawn::tests::parent_that_is_killed", "--exact", "--nocapture", "--test-threads=1"];
    let mut parent =
        Spawn::new(program).arguments(test).variable(PARENT, "1").stdout(Stdio::piped()).start().expect("itself");
    let mut reader = io::BufReader::new(parent.take_stdout().expect("piped"));
    let mut line = String::new();
    let grandchild = loop {
        line.clear();
        assert_ne!(io::BufRead::read_line(&mut reader, &mut line).expect("text"), 0, "the parent names its child");
        if let Some((_, pid)) = line.split_once("child ") {
            break Pid::from_raw(pid.trim().parse().expect("a pid")).expect("a pid");
        }
    };
    let grandchild = pidfd_open(grandchild, PidfdFlags::empty()).expect("it runs");
    let ended = |timeout: Option<&Timespec>| poll(&mut [PollFd::new(&grandchild, PollFlags::IN)], timeout);
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    assert_eq!(ended(Some(&now)), Ok(0), "it lives while its parent does, though the asking thread has ended");
    parent.kill().expect("own child");
    assert_eq!(ended(None), Ok(1), "HOST-8");
}

const PARENT: &str = "RTT_HOST_TEST_PARENT";

#[test]
fn parent_that_is_killed() {
    if std::env::var_os(PARENT).is_none() {
        return; // Does nothing but in the process that the test above starts.
    }
    let asking = std::thread::spawn(|| {
        let cat = Spawn::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).start().expect("cat");
        (cat, rustix::thread::gettid())
    });
    let (mut child, asking) = asking.join().expect("the asking thread");
    // The kernel sends the signals before the thread leaves this directory, which is later than the join.
    while Path::new(&format!("/proc/self/task/{}", asking.as_raw_nonzero())).exists() {
        std::thread::yield_now();
    }
    // A child that has been sent SIGKILL never again runs its own code, so that it could not answer.
    let mut input = child.take_stdin().expect("piped");
    io::Write::write_all(&mut input, b"alive\n").expect("the child reads");
    let mut line = String::new();
    let mut output = io::BufReader::new(child.take_stdout().expect("piped"));
    io::BufRead::read_line(&mut output, &mut line).expect("text");
    assert_eq!(line, "alive\n");
    println!("child {}", child.pid());
    loop {
        std::thread::park();
    }
}
