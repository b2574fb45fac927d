//! Child processes that get exactly the files they are given and end with their parent.
//!
//! HOST-7  A child inherits its standard streams and the descriptors that were passed, nothing else.
//! HOST-8  A child does not outlive the process that spawned it.
//!
//! Passed descriptors keep their number, which the child learns from its arguments (`--control 7`). All children are
//! started by one thread that lives as long as the process, because the kernel sends the parent-death signal when the
//! *thread* that forked ends. A pidfd stands for the child, so no signal can meet a stranger with a reused number.
#![allow(unsafe_code)] // `pre_exec`: nothing else runs between fork and exec.

use crate::pin::{PinError, allowed_cpus, mask_of};
use rtt_units::{CpuSet, Nanos};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
    thread::sched_setaffinity,
};
use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{Mutex, OnceLock, PoisonError, mpsc},
    time::Instant,
};

/// First descriptor after the standard streams.
const FIRST_FD: libc::c_uint = 3;

/// Why no child was started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// A descriptor to pass is one of the standard streams, or is passed twice.
    #[error("spawn {}: descriptor {fd} for {argument:?} is a standard stream or passed twice", program.display())]
    Descriptor {
        /// The program.
        program: PathBuf,
        /// The descriptor.
        fd: RawFd,
        /// Its name.
        argument: OsString,
    },
    /// The CPUs for the child are no mask.
    #[error("spawn {}: no CPUs to run on", program.display())]
    Cpus {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: PinError,
    },
    /// The program cannot be started; the cause is that of `execve` or of a step before it.
    #[error("spawn {}: cannot start; expected an executable file", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The kernel gives no pidfd (before Linux 5.3); the child was killed.
    #[error("spawn {}: no pidfd; expected Linux 5.3 or later", program.display())]
    Pidfd {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Why a child was not signalled or waited for.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The signal was not sent.
    #[error("child {pid} ({program}): cannot send {signal}")]
    Signal {
        /// The child.
        pid: u32,
        /// Its program.
        program: String,
        /// What was to be sent.
        signal: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// Waiting failed.
    #[error("child {pid} ({program}): cannot wait")]
    Wait {
        /// The child.
        pid: u32,
        /// Its program.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// The child did not end in time; it runs on.
    #[error("child {pid} ({program}): still runs after {waited}; kill it or wait longer")]
    Deadline {
        /// The child.
        pid: u32,
        /// Its program.
        program: String,
        /// How long was waited.
        waited: Nanos,
    },
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl Ended {
    /// Whether the exit code is 0.
    pub const fn is_success(self) -> bool {
        matches!(self, Ended::Code(0))
    }

    fn of(status: ExitStatus) -> Ended {
        match status.code() {
            Some(code) => Ended::Code(code),
            None => Ended::Signal(status.signal().unwrap_or(0)),
        }
    }
}

/// What to start, and with what.
///
/// Standard input is empty, standard output and error are the parent's unless set. A child runs on the CPUs of the
/// thread that calls [`Spawn::start`] unless [`Spawn::cpus`] says others.
#[derive(Debug)]
pub struct Spawn<'fd> {
    program: PathBuf,
    arguments: Vec<OsString>,
    descriptors: Vec<(OsString, BorrowedFd<'fd>)>,
    cpus: Option<CpuSet>,
    environment: Vec<(OsString, OsString)>,
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
}

impl<'fd> Spawn<'fd> {
    /// Prepares to start `program`, a path, or a name to look for on `PATH`.
    pub fn new(program: impl AsRef<Path>) -> Spawn<'fd> {
        Spawn {
            program: program.as_ref().into(),
            arguments: Vec::new(),
            descriptors: Vec::new(),
            cpus: None,
            environment: Vec::new(),
            stdin: Stdio::null(),
            stdout: Stdio::inherit(),
            stderr: Stdio::inherit(),
        }
    }

    /// Adds an argument.
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Spawn<'fd> {
        self.arguments.push(argument.as_ref().into());
        self
    }

    /// Adds arguments.
    pub fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Spawn<'fd> {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Passes `fd` under its number and adds the arguments `argument` and that number.
    pub fn descriptor(mut self, argument: impl AsRef<OsStr>, fd: BorrowedFd<'fd>) -> Spawn<'fd> {
        self.descriptors.push((argument.as_ref().into(), fd));
        self
    }

    /// Binds the child to `cpus` before its program starts.
    pub fn cpus(mut self, cpus: CpuSet) -> Spawn<'fd> {
        self.cpus = Some(cpus);
        self
    }

    /// Sets a variable of the child's environment, beside those that this process has.
    pub fn variable(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Spawn<'fd> {
        self.environment.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// Sets standard input.
    pub fn stdin(mut self, stdin: Stdio) -> Spawn<'fd> {
        self.stdin = stdin;
        self
    }

    /// Sets standard output.
    pub fn stdout(mut self, stdout: Stdio) -> Spawn<'fd> {
        self.stdout = stdout;
        self
    }

    /// Sets standard error.
    pub fn stderr(mut self, stderr: Stdio) -> Spawn<'fd> {
        self.stderr = stderr;
        self
    }

    /// Starts the program and returns when `execve` has succeeded.
    ///
    /// # Errors
    /// [`SpawnError`]; no process is left behind then.
    pub fn start(self) -> Result<Child, SpawnError> {
        let program = self.program.clone();
        let mut inherited: Vec<RawFd> = Vec::with_capacity(self.descriptors.len());
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment);
        command.stdin(self.stdin).stdout(self.stdout).stderr(self.stderr);
        for (argument, fd) in &self.descriptors {
            let fd = fd.as_raw_fd();
            if fd < FIRST_FD as RawFd || inherited.contains(&fd) {
                return Err(SpawnError::Descriptor { program, fd, argument: argument.clone() });
            }
            command.arg(argument).arg(fd.to_string());
            inherited.push(fd);
        }
        // Empty where the kernel has more CPUs than a mask here: such a child runs where the spawner's thread may.
        let here = Some(allowed_cpus()).filter(|cpus| !cpus.is_empty());
        let mask = self.cpus.or(here).map(|cpus| mask_of(&cpus)).transpose();
        let mask = mask.map_err(|source| SpawnError::Cpus { program: program.clone(), source })?;
        let parent = std::process::id() as libc::pid_t;
        let prepare = move || {
            if let Some(mask) = &mask {
                sched_setaffinity(None, mask)?;
            }
            die_with_parent(parent)?;
            keep_only(&inherited)
        };
        // SAFETY: between fork and exec only async-signal-safe work is allowed. `prepare` makes system calls on
        // values that were made before the fork: it takes no lock and allocates nothing.
        unsafe { command.pre_exec(prepare) };
        // The descriptors are borrowed by `self` until the answer has come, so they are open when the fork copies them.
        let child =
            start_on_spawner(command).map_err(|source| SpawnError::Start { program: program.clone(), source })?;
        Child::adopt(child, program)
    }
}

/// Starts `program` with `arguments`, then `--name number` for each of `descriptors`, named as their flags.
///
/// # Errors
/// As [`Spawn::start`].
pub fn spawn(
    program: &Path,
    arguments: &[OsString],
    descriptors: &[(&str, BorrowedFd<'_>)],
) -> Result<Child, SpawnError> {
    let prepared = Spawn::new(program).arguments(arguments);
    descriptors.iter().fold(prepared, |spawn, (argument, fd)| spawn.descriptor(argument, *fd)).start()
}

/// The two arguments that tell a child of a passed descriptor: its name and its number.
pub fn fd_argument(name: &str, fd: BorrowedFd<'_>) -> [OsString; 2] {
    [name.into(), fd.as_raw_fd().to_string().into()]
}

/// HOST-8: asks for SIGKILL at the parent's death; a parent that died before the request is seen by its absence.
fn die_with_parent(parent: libc::pid_t) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and touches no memory.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: no preconditions.
    if unsafe { libc::getppid() } != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(())
}

/// HOST-7: marks every descriptor close-on-exec, then takes the mark from those that are passed.
fn keep_only(inherited: &[RawFd]) -> io::Result<()> {
    // By number: the C library's own wrapper is younger than the kernels that have the call.
    // SAFETY: with CLOSE_RANGE_CLOEXEC the call sets marks and closes nothing.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST_FD, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    for fd in inherited {
        // SAFETY: F_SETFD takes flags and touches no memory; the descriptor was open at the fork.
        if unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

type Started = io::Result<std::process::Child>;

/// Has `command` started by the thread that lives as long as this process.
fn start_on_spawner(command: Command) -> Started {
    type Job = (Command, mpsc::Sender<Started>);
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let ended = || io::Error::other("the thread that starts children has ended");
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        let run = move || {
            for (mut command, answer) in queue {
                // A caller that is gone takes its child along: `Started` is dropped, and killed by hand here.
                if let Err(mpsc::SendError(Ok(mut orphan))) = answer.send(command.spawn()) {
                    let _ = orphan.kill();
                    let _ = orphan.wait();
                }
            }
        };
        // Without the thread the receiver is dropped, and each start is answered with `ended`.
        let _ = std::thread::Builder::new().name("rtt-spawner".into()).spawn(run);
        Mutex::new(jobs)
    });
    let (answer, started) = mpsc::channel();
    let jobs = spawner.lock().unwrap_or_else(PoisonError::into_inner).clone();
    jobs.send((command, answer)).map_err(|_| ended())?;
    started.recv().map_err(|_| ended())?
}

/// A child process; dropping it kills and reaps it.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    program: String,
    pidfd: OwnedFd,
    ended: Option<Ended>,
}

impl Child {
    fn adopt(mut child: std::process::Child, program: PathBuf) -> Result<Child, SpawnError> {
        // The number cannot have been reused: the child is not reaped before this handle does it.
        let pid = Pid::from_child(&child);
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Child { child, program: program.display().to_string(), pidfd, ended: None }),
            Err(errno) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(SpawnError::Pidfd { program, source: errno.into() })
            }
        }
    }

    /// The child's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A descriptor that stands for the child: readable once it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The child's standard input, where it was piped; taken once.
    pub fn take_stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// The child's standard output, where it was piped; taken once.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// The child's standard error, where it was piped; taken once.
    pub fn take_stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.child.stderr.take()
    }

    /// Asks the child to end (SIGTERM).
    ///
    /// # Errors
    /// [`ControlError::Signal`] where the child has ended.
    pub fn terminate(&self) -> Result<(), ControlError> {
        self.signal(Signal::TERM, "SIGTERM")
    }

    /// Ends the child (SIGKILL); a child that has ended stays ended.
    ///
    /// # Errors
    /// [`ControlError::Signal`] where the kernel refuses.
    pub fn kill(&self) -> Result<(), ControlError> {
        match self.signal(Signal::KILL, "SIGKILL") {
            Err(ControlError::Signal { source, .. }) if source.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            sent => sent,
        }
    }

    /// Pauses the child (SIGSTOP). The pause begins when [`Child::is_stopped`] says so.
    ///
    /// # Errors
    /// [`ControlError::Signal`] where the child has ended.
    pub fn stop(&self) -> Result<(), ControlError> {
        self.signal(Signal::STOP, "SIGSTOP")
    }

    /// Lets a paused child run on (SIGCONT).
    ///
    /// # Errors
    /// [`ControlError::Signal`] where the child has ended.
    pub fn cont(&self) -> Result<(), ControlError> {
        self.signal(Signal::CONT, "SIGCONT")
    }

    /// Whether all threads of the child are stopped now; `None` where it has ended.
    pub fn is_stopped(&self) -> Option<bool> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).ok()?;
        let states: Vec<char> = tasks.filter_map(|task| state_of(&task.ok()?.path().join("stat"))).collect();
        (!states.is_empty()).then(|| states.iter().all(|state| matches!(state, 'T' | 't')))
    }

    /// Waits until the child has ended, for at most `patience`, or for ever.
    ///
    /// # Errors
    /// [`ControlError::Deadline`] where it runs on; it can be waited for again.
    pub fn wait(&mut self, patience: Option<Nanos>) -> Result<Ended, ControlError> {
        if let Some(ended) = self.ended {
            return Ok(ended);
        }
        let start = Instant::now();
        let failed = |source| ControlError::Wait { pid: self.child.id(), program: self.program.clone(), source };
        loop {
            let left = patience.map(|patience| patience.as_duration().saturating_sub(start.elapsed()));
            let timeout = left.map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], timeout.as_ref()) {
                Ok(0) => {
                    let waited = patience.unwrap_or_default();
                    return Err(ControlError::Deadline { pid: self.child.id(), program: self.program.clone(), waited });
                }
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno.into())),
            }
        }
        // A readable pidfd means that this returns at once.
        let status = self.child.wait().map_err(|source| ControlError::Wait {
            pid: self.child.id(),
            program: self.program.clone(),
            source,
        })?;
        Ok(*self.ended.insert(Ended::of(status)))
    }

    /// How the child ended, `None` while it runs.
    ///
    /// # Errors
    /// [`ControlError::Wait`] where the kernel does not tell.
    pub fn try_wait(&mut self) -> Result<Option<Ended>, ControlError> {
        match self.wait(Some(Nanos(0))) {
            Ok(ended) => Ok(Some(ended)),
            Err(ControlError::Deadline { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn signal(&self, signal: Signal, name: &'static str) -> Result<(), ControlError> {
        let failed = |errno: Errno| ControlError::Signal {
            pid: self.pid(),
            program: self.program.clone(),
            signal: name,
            source: errno.into(),
        };
        pidfd_send_signal(&self.pidfd, signal).map_err(failed)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.kill(); // The errors are those of a child that has ended, and it is reaped either way.
            let _ = self.child.wait();
        }
    }
}

/// The state letter of a `/proc/.../stat`, which follows the name in brackets, which may hold brackets itself.
fn state_of(path: &Path) -> Option<char> {
    let stat = fs::read_to_string(path).ok()?;
    stat[stat.rfind(')')? + 1..].trim_start().chars().next()
}

#[cfg(test)]
mod tests;
