//! `rtt store` as an operator uses it: objects in, out and to another host, damage, leases, and what a collection may remove.

use crate::operator::Host;
use serde_json::Value;
use std::fs;
use std::process::{Command, Stdio};

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
    let backup = host.path("backup");
    host.refused("store scrub --copy backup", 2, "expected a store, a folder with `cas` in it");
    host.shell("rtt store put a --store backup");
    assert!(backup.is_dir());
    let (code, out, _) = host.run("store scrub --copy backup --json");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, told["damaged"][0]["repaired"].as_bool()), (0, Some(true)), "{told}");
    assert_eq!(host.ok(&format!("store get {digest}")), "some bytes", "repaired");
    fs::remove_file(&object).expect("removed");
    fs::write(&object, "other bytes").expect("damaged");
    host.refused("store scrub", 16, "1 object damaged: put them again, or name a store that has them with --copy");
    host.refused("store put a nowhere", 2, "nowhere");
    host.refused(&format!("store get {} --out got", "0".repeat(64)), 2, "not in the store");
    assert!(!host.path("got").exists(), "what is not there makes no file");
    host.ok("store put a");
    assert_eq!(host.ok(&format!("store get {digest}")), "some bytes", "healed");
    host.ok("store scrub");
    host.ok(&format!("store pin {digest}"));
    let gc: Value = serde_json::from_str(&host.ok("store gc --no-log --grace 0 --json")).expect("JSON");
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
    let (code, out, err) = host.run("store gc --no-log --grace 0 --json");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, told["damaged_leases"][0]["name"].as_str()), (16, Some(&*name)), "{err}");
    assert_eq!((told["condemned"].as_u64(), told["removed"].as_u64()), (Some(0), Some(0)));
    assert!(host.run("store gc --no-log --grace 0").1.contains("keeps all objects until it is released"));
    host.refused("store release nobody", 2, "there is no lease nobody");
    host.ok(&format!("store release {name}"));
    for removed in [0, 1] {
        let told: Value = serde_json::from_str(&host.ok("store gc --no-log --grace 0 --json")).expect("JSON");
        assert_eq!(told["removed"].as_u64(), Some(removed), "{told}");
    }
    host.ok("store scrub");
}

/// A collection goes by the log that the witness has seen, and by no other.
#[test]
fn nothing_is_collected_when_the_log_is_gone_or_cut() {
    let host = Host::new();
    let signed = host.plan("one", "one\n");
    host.ok(&format!("plan apply {signed}"));
    let leases = host.path(".rtt/store/cas/leases");
    for lease in fs::read_dir(&leases).expect("leases") {
        fs::remove_file(lease.expect("one").path()).expect("removed");
    }
    let (wal, aside) = (host.path(".rtt/store/wal"), host.path("aside"));
    fs::rename(&wal, &aside).expect("moved");
    for _ in 0..2 {
        host.refused("store gc --grace 0", 16, "is gone, but witness");
    }
    let (witness, forgotten) = (host.path(".rtt/witness/checkpoint.json"), host.path("forgotten"));
    fs::rename(&witness, &forgotten).expect("moved");
    for line in ["store gc --grace 0", "plan status"] {
        host.refused(line, 16, ".rtt/store has no log that tells how it came there");
    }
    fs::rename(&forgotten, &witness).expect("moved back");
    fs::rename(&aside, &wal).expect("moved back");
    let segment = wal.join("00000000.seg");
    let whole = fs::read(&segment).expect("a segment");
    let mut cut = whole.clone();
    cut[3 * 4096..].fill(0);
    fs::write(&segment, cut).expect("cut");
    for line in ["store gc --grace 0", "log verify", "log show", "log prove 0", "plan history", "plan status"] {
        host.refused(line, 16, "its end was cut off");
    }
    fs::write(&segment, whole).expect("put back");
    for _ in 0..2 {
        let told: Value = serde_json::from_str(&host.ok("store gc --grace 0 --json")).expect("JSON");
        assert_eq!((told["live"].as_u64(), told["removed"].as_u64()), (Some(1), Some(0)), "the control: {told}");
    }
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bytes.len() / 2] ^= 1;
    flipped
}

/// What the log names and the store lacks is told, and comes back from a copy also when it was moved aside before.
#[test]
fn what_is_named_and_not_there_is_told_and_comes_back() {
    let host = Host::new();
    let signed = host.plan("one", "one\n");
    host.shell("cp -a .rtt/store backup");
    host.ok(&format!("plan apply {signed}"));
    let digest = host.ok("store list").trim().to_owned();
    let object = host.path(&format!(".rtt/store/cas/objects/{}/{}", &digest[..2], &digest[2..]));
    fs::remove_file(&object).expect("removed");
    fs::write(&object, "other bytes").expect("damaged");
    host.refused("store scrub", 16, &digest);
    host.refused("store scrub", 16, "1 object that the log or a pin names not in the store");
    host.ok("store scrub --copy backup");
    assert_eq!(host.ok(&format!("store get {digest}")), "one\n");
    // A plan whose object is not there is not used up by being tried.
    let next = host.plan("two", "two\n");
    let other = host.ok("store put app.conf").split(' ').next().expect("a digest").to_owned();
    let gone = host.path(&format!(".rtt/store/cas/objects/{}/{}", &other[..2], &other[2..]));
    fs::remove_file(gone).expect("removed");
    host.refused(&format!("plan apply {next}"), 14, "the plan was not begun: op 0: object");
    host.put(b"two\n");
    host.ok(&format!("plan apply {next}"));
    host.refused("store list --store nowhere", 13, "no store in nowhere");
    let kept = host.path("kept");
    fs::write(&kept, "precious").expect("written");
    host.refused(&format!("store get {} --out kept", "0".repeat(64)), 2, "not in the store");
    assert_eq!(fs::read_to_string(&kept).expect("there"), "precious");
}
