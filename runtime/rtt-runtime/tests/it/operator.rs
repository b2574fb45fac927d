//! `rtt` as an operator uses it: from keys to a plan that runs, back again, and what is refused on the way.

use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A host's folder, with a planner's key that is trusted there.
struct Host {
    folder: tempfile::TempDir,
    planner: String,
}

impl Host {
    fn new() -> Host {
        let mut host = Host { folder: tempfile::tempdir().expect("a folder"), planner: String::new() };
        host.ok("host init");
        let made = host.ok("key new planner --key planner.key --public keys --json");
        let made: Value = serde_json::from_str(&made).expect("JSON");
        host.planner = made["key"].as_str().expect("a key id").to_owned();
        let public = format!("keys/{}.pub", host.planner);
        host.ok(&format!("key init --root-keys 1 --add {public}"));
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Exit code, stdout and stderr of `rtt` with these words.
    fn run(&self, line: &str) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtt"));
        let output = command.args(line.split(' ')).current_dir(self.folder.path()).output().expect("it starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code().expect("it ends"), text(output.stdout), text(output.stderr))
    }

    fn ok(&self, line: &str) -> String {
        let (code, out, err) = self.run(line);
        assert_eq!(code, 0, "{line}: {out}{err}");
        out
    }

    fn refused(&self, line: &str, code: i32, part: &str) {
        let (found, out, err) = self.run(line);
        assert!(found == code && err.contains(part), "{line}: {found}, expected {code} and {part}: {out}{err}");
    }

    /// A signed plan that puts `text` at etc/app.conf.
    fn plan(&self, name: &str, text: &str) -> String {
        fs::write(self.path("app.conf"), text).expect("written");
        let put = self.ok("store put app.conf");
        let digest = put.split(' ').next().expect("a digest");
        let ops = format!(r#"[{{"file_put": {{"path": "etc/app.conf", "object": "{digest}", "mode": "0644"}}}}]"#);
        fs::write(self.path("ops.json"), ops).expect("written");
        self.ok(&format!("plan draft ops.json --planner {} --out {name}.json", self.planner));
        self.ok(&format!("plan sign {name}.json --key planner.key"));
        format!("{name}.signed.json")
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.ok("plan status --json")).expect("JSON")
    }

    fn runs(&self) -> Option<String> {
        fs::read_to_string(self.path(".rtt/managed/files/current/etc/app.conf")).ok()
    }
}

#[test]
fn a_plan_is_drafted_signed_tried_applied_and_led_back() {
    let host = Host::new();
    let signed = host.plan("one", "one\n");
    assert!(host.ok("plan diff one.json").contains("etc/app.conf: created"));
    assert!(host.ok(&format!("plan apply {signed} --dry-run")).contains("nothing was written"));
    assert_eq!((host.runs(), host.status()["generation"].as_str()), (None, Some("0")));
    let told: Value = serde_json::from_str(&host.ok(&format!("plan apply {signed} --json"))).expect("JSON");
    assert_eq!((told["ended"].as_str(), told["generation"].as_str()), (Some("verified"), Some("1")));
    assert_eq!(host.runs().as_deref(), Some("one\n"));
    host.refused(&format!("plan apply {signed}"), 14, "attempted on this host already");
    let second = host.plan("two", "two\n");
    host.ok(&format!("plan apply {second}"));
    host.ok(&format!("plan draft --rollback --planner {} --out back.json", host.planner));
    host.ok("plan sign back.json --key planner.key");
    host.refused("rollback two.signed.json", 2, "is no rollback");
    host.ok("rollback back.signed.json");
    assert_eq!(host.runs().as_deref(), Some("one\n"));
    let history: Value = serde_json::from_str(&host.ok("plan history --json")).expect("JSON");
    let plans = history["plans"].as_array().expect("plans");
    assert_eq!((plans.len(), plans[2]["generation"].as_str()), (3, Some("3")), "{history}");
    assert!(host.ok("log verify").contains("the protocol holds"));
}

#[test]
fn what_must_not_run_is_refused_and_changes_nothing() {
    let host = Host::new();
    let signed = host.plan("one", "one\n");
    let bytes = fs::read_to_string(host.path(&signed)).expect("a plan");
    let at = bytes.find("\"payload\":\"").expect("a payload") + 60;
    let flipped = if &bytes[at..=at] == "A" { "B" } else { "A" };
    fs::write(host.path("flipped.json"), format!("{}{flipped}{}", &bytes[..at], &bytes[at + 1..])).expect("written");
    host.refused("plan apply flipped.json", 14, "");
    host.refused("plan apply one.json", 14, "");
    host.refused("plan apply nowhere.json", 2, "nowhere.json");
    host.ok("key new planner --key stranger.key --public strangers");
    host.ok("plan sign one.json --key stranger.key --out strange.json");
    host.refused("plan apply strange.json", 14, "no trusted key signed this");
    let other = Host::new();
    fs::copy(host.path(&signed), other.path("foreign.json")).expect("copied");
    other.refused("plan apply foreign.json", 14, "no trusted key");
    assert_eq!((host.runs(), host.status()["generation"].as_str()), (None, Some("0")));
    host.ok(&format!("plan apply {signed}"));
}

#[test]
fn drift_a_cut_log_and_an_old_copy_are_noticed() {
    let host = Host::new();
    let first = host.plan("one", "one\n");
    host.ok(&format!("plan apply {first}"));
    let old: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(host.path(".rtt/store/wal"))
        .expect("a log")
        .map(|entry| entry.expect("one").path())
        .map(|path| (path.clone(), fs::read(&path).expect("readable")))
        .collect();
    let second = host.plan("two", "two\n");
    fs::write(host.path(".rtt/managed/files/current/etc/app.conf"), "mine\n").expect("changed");
    assert_eq!(host.status()["drift"][0]["item"].as_str(), Some("etc/app.conf"));
    host.refused(&format!("plan apply {second}"), 14, "changed behind the log");
    assert_eq!(host.runs().as_deref(), Some("mine\n"), "it was not overwritten");
    fs::write(host.path(".rtt/managed/files/current/etc/app.conf"), "one\n").expect("put back");
    host.ok(&format!("plan apply {second}"));
    for (path, bytes) in &old {
        fs::write(path, bytes).expect("an old copy");
    }
    host.refused("plan status", 16, "were witnessed");
    host.refused("log verify", 16, "were witnessed");
}

#[test]
fn a_proof_needs_the_hosts_public_key_and_no_more() {
    let host = Host::new();
    let signed = host.plan("one", "one\n");
    host.ok(&format!("plan apply {signed}"));
    let key: Value = serde_json::from_str(&host.ok("host show --json")).expect("JSON");
    let key = format!(".rtt/keys/{}.pub", key["key"].as_str().expect("a key id"));
    for what in ["3", "--from 2"] {
        fs::write(host.path("proof.json"), host.ok(&format!("log prove {what}"))).expect("written");
        assert!(host.ok(&format!("log check proof.json --host-key {key}")).starts_with("proved: "));
        let proof = fs::read_to_string(host.path("proof.json")).expect("a proof");
        let changed = proof.replace("\"index\":3", "\"index\":4").replace("\"size\":2", "\"size\":1");
        assert_ne!(changed, proof);
        fs::write(host.path("changed.json"), changed).expect("written");
        host.refused(&format!("log check changed.json --host-key {key}"), 16, "does not hold");
    }
    host.refused("log prove 99", 2, "the last checkpoint covers");
}

#[test]
fn objects_are_put_found_damaged_healed_and_collected() {
    let host = Host::new();
    fs::write(host.path("a"), "some bytes").expect("written");
    let put = host.ok("store put a");
    let digest = put.split(' ').next().expect("a digest").to_owned();
    assert_eq!(host.ok(&format!("store get {digest}")), "some bytes");
    host.refused(&format!("store get {}", "0".repeat(64)), 2, "");
    let object = host.path(&format!(".rtt/store/cas/objects/{}/{}", &digest[..2], &digest[2..]));
    let permissions = fs::metadata(&object).expect("an object").permissions();
    fs::remove_file(&object).expect("removed");
    fs::write(&object, "other bytes").expect("damaged");
    fs::set_permissions(&object, permissions).expect("set");
    host.refused(&format!("store get {digest}"), 16, &digest[..16]);
    host.refused("store scrub", 16, "are damaged");
    host.ok("store put a");
    assert_eq!(host.ok(&format!("store get {digest}")), "some bytes", "healed");
    host.ok("store scrub");
    host.ok(&format!("store pin {digest}"));
    let gc: Value = serde_json::from_str(&host.ok("store gc --grace 0 --json")).expect("JSON");
    assert_eq!((gc["objects"].as_u64(), gc["live"].as_u64()), (Some(1), Some(1)), "{gc}");
    host.ok(&format!("store unpin {digest}"));
    host.refused(&format!("store unpin {digest}"), 2, "is not pinned");
}

/// Two objects go to another host as one archive; a damaged archive brings nothing, and a failed export leaves none.
#[test]
fn objects_go_to_another_host_as_an_archive() {
    let (host, other) = (Host::new(), Host::new());
    fs::write(host.path("a"), "one").expect("written");
    fs::write(host.path("b"), vec![7; 3 << 20]).expect("written");
    let put = host.ok("store put a b");
    let digests: Vec<&str> = put.lines().map(|line| line.split(' ').next().expect("a digest")).collect();
    let (one, large) = (digests[0], digests[1]);
    let out = other.path("objects.rtt").display().to_string();
    let told: Value =
        serde_json::from_str(&host.ok(&format!("store export {one} {large} {one} --out {out} --json"))).expect("JSON");
    assert_eq!(told["objects"].as_array().map(Vec::len), Some(2), "{told}");
    host.refused(&format!("store export {one} --out - --json"), 2, "standard output");

    let whole = fs::read(other.path("objects.rtt")).expect("an archive");
    for (damaged, part) in [(whole[..whole.len() - 1].to_vec(), "it is cut"), (flipped(&whole), "archive: ")] {
        fs::write(other.path("damaged.rtt"), damaged).expect("written");
        other.refused("store import damaged.rtt", 16, part);
        assert_eq!(other.ok("store list"), "");
    }
    other.refused("store import nowhere.rtt", 2, "nowhere.rtt");
    let imported = other.ok("store import objects.rtt");
    assert_eq!(imported.lines().collect::<std::collections::BTreeSet<_>>(), [one, large].into());
    assert_eq!(other.ok(&format!("store get {one}")), "one");
    other.ok("store scrub");

    host.refused(&format!("store export {one} {} --out {out}", "0".repeat(64)), 2, "not in the store");
    assert_eq!(fs::read(other.path("objects.rtt")).expect("still there"), whole);
    assert!(!other.path("objects.rtt.part").exists());
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bytes.len() / 2] ^= 1;
    flipped
}

/// The archive of one host's standard output is another one's standard input.
#[test]
fn an_archive_goes_through_a_pipe() {
    let (host, other) = (Host::new(), Host::new());
    fs::write(host.path("a"), "one").expect("written");
    let put = host.ok("store put a");
    let digest = put.split(' ').next().expect("a digest");
    let rtt = |host: &Host, line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtt"));
        command.args(line.split(' ')).current_dir(host.folder.path());
        command
    };
    let export = format!("store export {digest} --out -");
    let mut exporting = rtt(&host, &export).stdout(Stdio::piped()).spawn().expect("it starts");
    let archive = exporting.stdout.take().expect("a pipe");
    let imported = rtt(&other, "store import - --json").stdin(archive).output().expect("it ends");
    assert!(exporting.wait().expect("it ends").success());
    let told: Value = serde_json::from_slice(&imported.stdout).expect("JSON");
    assert_eq!(told["objects"][0].as_str(), Some(digest));
    assert_eq!(other.ok(&format!("store get {digest}")), "one");
}

/// A lease whose last entry is damaged keeps all, is told, and goes when the operator gives it back.
#[test]
fn a_damaged_lease_is_told_and_released() {
    let host = Host::new();
    fs::write(host.path("a"), "some bytes").expect("written");
    host.ok("store put a");
    let leases = host.path(".rtt/store/cas/leases");
    let entry = fs::read_dir(&leases).expect("leases").next().expect("one").expect("readable");
    let name = entry.file_name().into_string().expect("UTF-8");
    let mut bytes = fs::read(entry.path()).expect("a lease");
    *bytes.last_mut().expect("entries") ^= 1;
    fs::write(entry.path(), bytes).expect("damaged");
    host.refused("store scrub", 16, &format!("rtt store release {name}"));
    let (code, out, err) = host.run("store gc --grace 0 --json");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, told["damaged_leases"][0]["name"].as_str()), (16, Some(&*name)), "{err}");
    assert_eq!((told["condemned"].as_u64(), told["removed"].as_u64()), (Some(0), Some(0)));
    assert!(host.run("store gc --grace 0").1.contains("keeps all objects until it is released"));
    host.refused("store release nobody", 2, "there is no lease nobody");
    host.ok(&format!("store release {name}"));
    for removed in [0, 1] {
        let told: Value = serde_json::from_str(&host.ok("store gc --grace 0 --json")).expect("JSON");
        assert_eq!(told["removed"].as_u64(), Some(removed), "{told}");
    }
    host.ok("store scrub");
}
