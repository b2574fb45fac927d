//! `rtt-endpoint --profile FILE --listen PATH`: production, without a lab.

use crate::endpoint_process::plain;
use rtt_host::{Child, Ended, Spawn};
use rtt_profile::{Condition, Evidence, Interval, Knobs, Outcome, P99, Profile, ScenarioDigest, ScenarioRow, Verdict};
use rtt_runtime::control::Configure;
use rtt_runtime::{Client, ClientError};
use rtt_seal::{Digest, Document, KeyRest, Role, Sealed, SigningKey};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

struct Host {
    folder: tempfile::TempDir,
    key: SigningKey,
}

impl Host {
    fn new() -> Host {
        let folder = tempfile::tempdir().expect("a folder");
        let key = SigningKey::create(
            Role::Profile,
            &folder.path().join("profile.key"),
            &folder.path().join("keys"),
            KeyRest::Plain,
        );
        Host { key: key.expect("a key").0, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Seals a profile for this host, after `change`.
    fn seal(&self, change: impl FnOnce(&mut Profile)) -> PathBuf {
        let file = self.path("profile.json");
        sealed(&self.key, change).save(&file).expect("saved");
        file
    }

    fn start(&self, profile: &Path) -> Child {
        self.start_refusing(profile, "microcode")
    }

    /// As [`Host::start`], under a policy that refuses a change of `condition`.
    fn start_refusing(&self, profile: &Path, condition: &str) -> Child {
        Spawn::new(env!("CARGO_BIN_EXE_rtt-endpoint"))
            .argument("--refuse-on")
            .argument(condition)
            .argument("--profile")
            .argument(profile)
            .argument("--keys")
            .argument(self.path("keys"))
            .argument("--listen")
            .argument(self.path("endpoint.sock"))
            .stderr(Stdio::piped())
            .start()
            .expect("it starts")
    }

    fn connect(&self) -> Client {
        loop {
            if let Ok(socket) = UnixStream::connect(self.path("endpoint.sock")) {
                return Client::new(socket);
            }
            std::thread::yield_now();
        }
    }
}

/// A profile for this host, after `change`, sealed by `key`.
pub fn sealed(key: &SigningKey, change: impl FnOnce(&mut Profile)) -> Sealed<Profile> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let interval = Interval { estimate: 1_000, low: 990, high: 1_010 };
    let mut profile = Profile {
        schema: Profile::SCHEMA,
        knobs: Knobs { batch: 7, ..plain() },
        fingerprint: rtt_host::fingerprint().expect("this host"),
        outcome: Outcome { verdict: Verdict::NoBetter, sentence: "no better: a test".into() },
        whole_p99_ns: None,
        recovery_ns: None,
        p99_ns: P99 { incumbent: interval, tuned: interval },
        pairs: 20,
        objective: "p99 of steady".into(),
        rows: vec![ScenarioRow {
            scenario: "steady".into(),
            condition: Condition::Calm,
            incumbent_p99_ns: interval,
            tuned_p99_ns: interval,
        }],
        evidence: Evidence {
            scenarios: vec![ScenarioDigest { name: "steady".into(), digest: Digest::of(b"steady") }],
            trial_log: Digest::of(b"log"),
            fits: vec![Digest::of(b"fit")],
            seed: 1,
        },
        build: "test".into(),
        created_unix_s: now - 10,
        expires_unix_s: now + 3600,
    };
    change(&mut profile);
    let bytes = profile.to_canonical();
    profile.check(&bytes).expect("a profile");
    Sealed::<Profile>::sign(&bytes, key).expect("signed")
}

fn configure(knobs: Option<Knobs>) -> Configure {
    Configure { knobs, rings: 1, reply: false, cpus: None }
}

#[test]
fn a_signed_profile_is_what_the_endpoint_runs_and_no_client_overrules_it() {
    let host = Host::new();
    let profile = host.seal(|_| {});
    let _endpoint = host.start(&profile);
    let mut client = host.connect();
    assert!(client.hello().expect("hello").profile);
    let refused = client.configure(&configure(Some(plain()))).expect_err("its own knobs");
    assert!(matches!(&refused, ClientError::Refused(reason) if reason.contains("overrule")), "{refused}");
    assert_eq!(client.configure(&configure(None)).expect("ready").knobs.batch, 7);
    drop(client);
    assert!(host.connect().hello().expect("the next client").profile);
}

#[test]
fn a_profile_that_does_not_hold_here_is_refused_before_anything_is_served() {
    let host = Host::new();
    let refused = |file: &Path, part: &str| {
        let mut endpoint = host.start(file);
        assert_eq!(endpoint.wait(None).expect("it ends"), Ended::Code(16), "{part}");
        let mut said = String::new();
        endpoint.take_stderr().expect("piped").read_to_string(&mut said).expect("text");
        assert!(said.contains(part), "{said}");
        assert!(!host.path("endpoint.sock").exists(), "nothing was served");
    };
    refused(&host.seal(|profile| profile.fingerprint.machine.stepping += 1), "CPU stepping");
    refused(&host.seal(|profile| profile.expires_unix_s = profile.created_unix_s + 1), "expired");
    let file = host.seal(|_| {});
    let mut bytes = std::fs::read(&file).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    std::fs::write(&file, bytes).expect("written");
    refused(&file, "profile.json");
}

/// A changed kernel is warned of and served, unless the policy lists it.
#[test]
fn a_policy_makes_a_stale_profile_a_refused_one() {
    let host = Host::new();
    let stale = host.seal(|profile| profile.fingerprint.conditions.kernel = "0.0.1-other".into());
    let mut endpoint = host.start_refusing(&stale, "kernel");
    assert_eq!(endpoint.wait(None).expect("it ends"), Ended::Code(16));
    let mut said = String::new();
    endpoint.take_stderr().expect("piped").read_to_string(&mut said).expect("text");
    assert!(said.contains("0.0.1-other"), "{said}");
    let _served = host.start(&stale);
    assert_eq!(host.connect().configure(&configure(None)).expect("ready").knobs.batch, 7, "stale, and served");
}

#[test]
fn a_stopped_endpoint_takes_its_socket_with_it_and_ends_by_the_signal() {
    use rustix::process::{Pid, Signal, kill_process};
    let host = Host::new();
    let profile = host.seal(|_| {});
    for (signal, number) in [(Signal::TERM, 15), (Signal::INT, 2)] {
        let mut endpoint = host.start(&profile);
        host.connect().hello().expect("it serves, so it waits for signals");
        let pid = Pid::from_raw(endpoint.pid() as i32).expect("a process");
        kill_process(pid, signal).expect("ours");
        assert_eq!(endpoint.wait(None).expect("it ends"), Ended::Signal(number));
        assert!(!host.path("endpoint.sock").exists(), "signal {number}");
    }
}

/// A client that goes away and keeps its ring leaves no loop behind: nobody would ever end it.
#[test]
fn a_client_that_left_leaves_no_loop() {
    let host = Host::new();
    let endpoint = host.start(&host.seal(|profile| profile.knobs.wait = rtt_profile::Wait::Yield));
    let mut client = host.connect();
    client.configure(&configure(None)).expect("ready");
    let kept = client.attach_producer(0, None).expect("a ring");
    client.start(rtt_ring::now(), rtt_units::Nanos::from_millis(1)).expect("started");
    drop(client);
    host.connect().hello().expect("the next client is served once the last one's loop has ended");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", endpoint.pid())).expect("it runs").flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    assert_eq!(names.filter(|name| name.trim() == "rtt-loop").count(), 0);
    drop(kept);
}
