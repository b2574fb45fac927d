//! `rtt` as an operator uses it: from keys to a plan that runs, back again, and what is refused on the way.

use rtt_plan::{Before, HostState, Inventory, Op, Participant, ParticipantError, Plan, PlanId, Policy};
use rtt_profile::Profile;
use rtt_reconcile::{Log, Reconciler, Terms};
use rtt_seal::{Digest, HostId, KeyRest, Role, Sealed, SigningKey, TrustStore};
use rtt_store::FileDisk;
use rtt_store::wal::{FileWitness, Options};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// A host's folder, with a planner's key that is trusted there.
pub struct Host {
    pub folder: tempfile::TempDir,
    planner: String,
}

impl Host {
    pub fn new() -> Host {
        let mut host = Host { folder: tempfile::tempdir().expect("a folder"), planner: String::new() };
        host.ok("host init");
        let made = host.ok("key new planner --key planner.key --public keys --json");
        let made: Value = serde_json::from_str(&made).expect("JSON");
        host.planner = made["key"].as_str().expect("a key id").to_owned();
        let public = format!("keys/{}.pub", host.planner);
        host.ok(&format!("key init --root-keys 1 --add {public}"));
        host
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Exit code, stdout and stderr of `rtt` with these words.
    pub fn run(&self, line: &str) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtt"));
        let output = command.args(line.split(' ')).current_dir(self.folder.path()).output().expect("it starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code().expect("it ends"), text(output.stdout), text(output.stderr))
    }

    pub fn ok(&self, line: &str) -> String {
        let (code, out, err) = self.run(line);
        assert_eq!(code, 0, "{line}: {out}{err}");
        out
    }

    pub fn refused(&self, line: &str, code: i32, part: &str) {
        let (found, out, err) = self.run(line);
        assert!(found == code && err.contains(part), "{line}: {found}, expected {code} and {part}: {out}{err}");
    }

    /// Digest of `bytes`, which are in the store then.
    pub fn put(&self, bytes: &[u8]) -> String {
        fs::write(self.path("app.conf"), bytes).expect("written");
        self.ok("store put app.conf").split(' ').next().expect("a digest").to_owned()
    }

    pub fn ops(&self, ops: &str) {
        fs::write(self.path("ops.json"), ops).expect("written");
    }

    /// A signed plan that puts `text` at etc/app.conf.
    pub fn plan(&self, name: &str, text: &str) -> String {
        let digest = self.put(text.as_bytes());
        self.ops(&format!(r#"[{{"file_put": {{"path": "etc/app.conf", "object": "{digest}", "mode": "0644"}}}}]"#));
        self.ok(&format!("plan draft ops.json --planner {} --out {name}.json", self.planner));
        self.ok(&format!("plan sign {name}.json --key planner.key"));
        format!("{name}.signed.json")
    }

    /// Drafts, signs and applies the ops that were written.
    pub fn apply(&self, name: &str) {
        self.ok(&format!("plan draft ops.json --out {name}.json"));
        self.ok(&format!("plan sign {name}.json --key planner.key"));
        self.ok(&format!("plan apply {name}.signed.json"));
    }

    /// Runs `script` in the folder, with this build's `rtt` first on the path.
    pub fn shell(&self, script: &str) -> String {
        let bin = PathBuf::from(env!("CARGO_BIN_EXE_rtt"));
        let path = std::env::var("PATH").expect("a path");
        let path = format!("{}:{path}", bin.parent().expect("a folder").display());
        let mut command = Command::new("bash");
        let output = command.args(["-euc", script]).current_dir(self.folder.path()).env("PATH", path).output();
        let output = output.expect("it starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{script}: {out}{err}");
        out
    }

    /// Runs the commands that `status` prints, until nothing has drifted; what it said first.
    fn heal(&self) -> String {
        let (_, first, _) = self.run("plan status");
        for _ in 0..3 {
            let (code, out, _) = self.run("plan status");
            if code == 0 {
                return first;
            }
            let commands = out.lines().filter_map(|line| line.trim().strip_prefix("to put it back: "));
            let commands: Vec<&str> = commands.map(|line| line.trim_end_matches("; rtt plan status")).collect();
            self.shell(commands.first().expect("a command"));
        }
        panic!("not healed: {}", self.run("plan status").1)
    }

    /// Begins a plan and dies in its first prepare.
    fn die_in(&self, signed: &str) {
        let key = SigningKey::load(&self.path(".rtt/keys/host.key")).expect("the key");
        let id = HostId::of(key.public()).expect("a host key");
        let disk = FileDisk::open(&self.path(".rtt/store")).expect("a store");
        let witness = Box::new(FileWitness { path: self.path(".rtt/witness/checkpoint.json") });
        let (log, _) = Log::open(disk, &Options::new(id), &key, witness).expect("a log");
        let participants = Op::PARTICIPANTS.map(|name| Box::new(Dies(name)) as Box<dyn Participant>);
        let (mut reconciler, _) = Reconciler::open(log, participants.into(), &|_| None).expect("opened");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let trust = TrustStore::load(&self.path(".rtt/trust")).expect("trust");
        let keys = trust.trusted(Role::Planner, now).expect("a planner");
        let build = env!("CARGO_PKG_VERSION").parse().expect("a build");
        let terms = Terms { build, trust_version: 1, policy: Policy::everything(), machine: None };
        let sealed = Sealed::<Plan>::load(&self.path(signed)).expect("a plan");
        let died = catch_unwind(AssertUnwindSafe(|| drop(reconciler.apply(sealed, &keys, &terms, now))));
        assert!(died.is_err(), "the power fails in prepare");
        drop(reconciler);
    }

    pub fn status(&self) -> Value {
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
    assert!(host.ok("plan show one.json").contains("signed by  not signed"));
    assert!(host.ok(&format!("plan show {signed}")).contains(&format!("signed by  key {}: holds", host.planner)));
    host.ok("plan status");
    let all = || host.shell("find .rtt -printf '%p %T@ %C@ %s\\n' | sort");
    let before = all();
    assert!(host.ok(&format!("plan apply {signed} --dry-run")).contains("nothing was written"));
    assert_eq!(all(), before, "nothing was written");
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
    host.refused("plan show flipped.json", 16, "was changed after signing");
    host.refused("plan apply one.json", 14, "one.json is not signed: rtt plan sign one.json");
    host.refused("plan apply nowhere.json", 2, "nowhere.json");
    host.ok("key new planner --key stranger.key --public strangers");
    let stranger = SigningKey::load(&host.path("stranger.key")).expect("the key");
    host.refused(
        "plan sign one.json --key stranger.key --out strange.json",
        16,
        &format!("this key is {}", stranger.id()),
    );
    let plan = fs::read(host.path("one.json")).expect("a plan");
    Sealed::<Plan>::sign(&plan, &stranger).expect("signed").save(&host.path("strange.json")).expect("saved");
    host.refused("plan apply strange.json", 14, "no trusted key signed this");
    assert!(host.ok("plan show strange.json").contains("DOES NOT HOLD HERE: no trusted key signed this"));
    let trusted = format!("trusted are {}", host.planner);
    host.refused(&format!("plan draft ops.json --planner {}", stranger.id()), 16, &trusted);
    let other = Host::new();
    fs::copy(host.path(&signed), other.path("foreign.json")).expect("copied");
    other.refused("plan apply foreign.json", 14, "no trusted key");
    other.refused("plan diff foreign.json", 14, "wrong audience: the plan is for host");
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
    let (code, out, _) = host.run("plan status --json");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, told["drift"][0]["item"].as_str()), (17, Some("etc/app.conf")));
    host.refused(&format!("plan apply {second}"), 14, "changed behind the log");
    assert_eq!(host.runs().as_deref(), Some("mine\n"), "it was not overwritten");
    host.heal();
    host.ok(&format!("plan apply {second}"));
    for (path, bytes) in &old {
        fs::write(path, bytes).expect("an old copy");
    }
    for line in ["plan status", "plan history", "log verify", "log show", "log prove 1"] {
        host.refused(line, 16, "were witnessed");
    }
    fs::remove_dir_all(host.path(".rtt/store/wal")).expect("removed");
    for line in ["plan history", "log verify", "log show", "log prove 1", "plan status"] {
        host.refused(line, 16, "");
    }
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
    host.refused("log prove 99", 2, "expected 0 to ");
    // The log is read with the public half alone.
    fs::rename(host.path(".rtt/keys/host.key"), host.path("host.key")).expect("moved");
    for line in ["log verify", "log show", "plan history", "log prove 3"] {
        host.ok(line);
    }
}

/// Two planners must sign: at once, one after the other, and never over what is there.
#[test]
fn two_planners_sign_one_plan() {
    let host = Host::new();
    host.ok("key new planner --key second.key --public keys");
    let second = SigningKey::load(&host.path("second.key")).expect("the key").id();
    let said = host.ok(&format!("key rotate --add keys/{second}.pub --threshold planner=2 --key .rtt/keys/root-1.key"));
    assert!(said.contains(&format!("added: planner {second}\n")) && said.contains("threshold: planner 2, was 1"));
    let digest = host.put(b"one\n");
    host.ops(&format!(r#"[{{"file_put": {{"path": "etc/app.conf", "object": "{digest}", "mode": "0644"}}}}]"#));
    host.refused("plan draft ops.json", 2, "name the key that will sign with --planner");
    host.ok(&format!("plan draft ops.json --planner keys/{}.pub --out one.json", host.planner));
    host.refused("plan sign one.json --key .rtt/keys/root-1.key", 16, "is a root key, expected a planner's");
    host.refused("plan sign one.json --key second.key", 16, &format!("let {} sign first", host.planner));
    host.ok("plan sign one.json --key planner.key");
    host.refused("plan apply one.signed.json", 14, "1 of the trusted keys signed this, expected 2");
    let (_, _, err) = host.run("plan sign one.signed.json --key planner.key");
    assert!(err.contains("has signed this plan already"), "{err}");
    host.refused("plan apply one.signed.json", 14, "1 of the trusted keys");
    host.ok("plan sign one.signed.json --key second.key");
    assert!(host.ok("plan show one.signed.json").contains(&format!("{second}: holds")));
    host.ok("plan apply one.signed.json");
    // Both at once; then a second signature to the file that the first has made, and no other plan over it.
    host.ok(&format!("plan draft --rollback --planner {} --out back.json", host.planner));
    host.ok("plan sign back.json --key planner.key second.key");
    host.ok("plan apply back.signed.json --dry-run");
    host.ok("plan sign back.json --key planner.key --out slow.json");
    let said: Value =
        serde_json::from_str(&host.ok("plan sign back.json --key second.key --out slow.json --json")).expect("JSON");
    assert_eq!(said["signed_by"].as_array().map(Vec::len), Some(2), "{said}");
    host.refused("plan sign one.json --key planner.key --out slow.json", 2, "not replaced");
    host.ok("rollback slow.json");
    host.ok("plan sign one.json --key planner.key --out slow.json --force");
}

/// A profile for this host, sealed by `key`.
fn profile(key: &SigningKey, change: impl FnOnce(&mut Profile)) -> Vec<u8> {
    crate::shipped_profile::sealed(key, change).as_bytes().to_vec()
}

/// PROFILE-7: only what `rtt profile verify` takes becomes the profile, whoever signs the plan.
#[test]
fn a_plan_sets_a_profile_that_verifies_here_and_no_other() {
    let host = Host::new();
    let (keys, file) = (host.path("profile-keys"), host.path("profile.key"));
    let (key, public) = SigningKey::create(Role::Profile, &file, &keys, KeyRest::Plain).expect("a key");
    let set = |bytes: &[u8]| {
        let digest = host.put(bytes);
        host.ops(&format!(r#"[{{"profile_set": {{"object": "{digest}"}}}}]"#));
        digest.parse::<Digest>().expect("a digest")
    };
    set(&profile(&key, |_| {}));
    host.refused("plan draft ops.json", 14, "has no key of the role `profile`");
    host.ok(&format!("key rotate --add {} --key .rtt/keys/root-1.key", public.display()));
    host.ok("plan draft ops.json --out good.json");
    let stranger = SigningKey::generate(Role::Profile).expect("random");
    let late = |profile: &mut Profile| profile.expires_unix_s = profile.created_unix_s + 1;
    let elsewhere = |profile: &mut Profile| profile.fingerprint.machine.stepping += 1;
    let bad = [
        (b"junk".to_vec(), "envelope"),
        (profile(&stranger, |_| {}), "no trusted key signed this"),
        (profile(&key, late), "expired"),
        (profile(&key, elsewhere), "CPU stepping"),
    ];
    let text = fs::read_to_string(host.path("good.json")).expect("a plan");
    let mut plan: Plan = serde_json::from_str(&text).expect("a plan");
    let planner = SigningKey::load(&host.path("planner.key")).expect("the key");
    for (index, (bytes, why)) in bad.into_iter().enumerate() {
        let object = set(&bytes);
        host.refused("plan draft ops.json", 14, why);
        // Who drafts without asking takes the good plan, with another object, and has the planner's key.
        plan.ops = vec![Op::ProfileSet { object, before: Before::Absent }];
        plan.sequence = 1 + index as u64;
        plan.target_root = HostState::empty().after(&plan.ops).expect("an effect").root();
        let sealed = Sealed::<Plan>::sign(&plan.to_canonical(), &planner).expect("signed");
        sealed.save(&host.path("bad.json")).expect("saved");
        host.refused("plan apply bad.json --dry-run", 14, why);
        host.refused("plan apply bad.json", 14, why);
        assert!(!host.path(".rtt/managed/profile/current/active").exists(), "{why}");
    }
    set(&profile(&key, |_| {}));
    host.apply("again");
    assert!(host.path(".rtt/managed/profile/current/active").exists(), "the positive control");
}

/// What is refused at the draft and at the dry run is what an apply would refuse, in words that say what to do.
#[test]
fn a_draft_is_refused_for_what_an_apply_would_refuse() {
    let host = Host::new();
    let digest = Digest::of(b"nowhere");
    host.ops(&format!(r#"[{{"file_put": {{"path": "etc/a", "object": "{digest}", "mode": "0644"}}}}]"#));
    host.refused(
        "plan draft ops.json",
        14,
        &format!("op 0: object {digest} for etc/a is not in the store: rtt store put"),
    );
    for (ops, why) in [
        (r#"[{"file_remove": {"path": "etc/a"}}]"#.to_owned(), "op 0: etc/a is not there, so it cannot be removed"),
        (r#"[{"ring_remove": {"name": "feed"}}]"#.to_owned(), "op 0: feed is not there"),
        (r#"[{"profile_clear": {}}]"#.to_owned(), "op 0: active is not there"),
        (
            format!(
                r#"[{{"file_put": {{"path": "a", "object": "{digest}", "mode": "0644"}}}}, {{"file_remove": {{"path": "a"}}}}]"#
            ),
            "op 1: op 0 changes a already",
        ),
        (
            r#"[{"ring_put": {"name": "r", "knobs": {"batch": 1, "wait": "spin"}}}]"#.to_owned(),
            "ring_bytes, window_us, spin_us, pin, huge_pages",
        ),
    ] {
        host.ops(&ops);
        host.refused("plan draft ops.json", 2, why);
    }
    let signed = host.plan("one", "one\n");
    let object = host.put(b"one\n");
    fs::remove_file(host.path(&format!(".rtt/store/cas/objects/{}/{}", &object[..2], &object[2..]))).expect("removed");
    for line in ["plan diff one.json", &format!("plan apply {signed} --dry-run")] {
        host.refused(line, 14, "for etc/app.conf is not in the store");
    }
    fs::write(host.path(".rtt/policy.json"), r#"{"version": 1, "grants": ["files:opt"]}"#).expect("written");
    host.refused("plan draft ops.json", 14, "this host's policy gives no leave for files etc/app.conf");
}

/// Of two plans on one state the second is told that the first came, and not that it was replayed.
#[test]
fn the_second_of_two_plans_is_stale_and_one_of_older_trust_is_drafted_again() {
    let host = Host::new();
    let (first, second) = (host.plan("one", "one\n"), host.plan("two", "two\n"));
    host.ok(&format!("plan apply {first}"));
    host.refused(
        &format!("plan apply {second}"),
        14,
        "another plan came first (generation 1 now, this one starts from 0)",
    );
    host.refused(&format!("plan apply {first}"), 14, "replayed: plan ");
    host.refused("plan diff two.json", 14, "");
    let third = host.plan("three", "three\n");
    host.ok("key rotate --days 30 --key .rtt/keys/root-1.key");
    host.refused(
        &format!("plan apply {third}"),
        14,
        "drafted under trust version 1, this host holds 2: draft it again",
    );
}

#[test]
fn a_lost_host_key_and_a_lost_witness_are_told() {
    let host = Host::new();
    let first = host.plan("one", "one\n");
    host.ok(&format!("plan apply {first}"));
    fs::rename(host.path(".rtt/keys/host.key"), host.path("host.key")).expect("moved");
    for line in ["plan status", "host init"] {
        host.refused(line, 13, "restore the key from a copy. A new key makes another host");
    }
    fs::rename(host.path("host.key"), host.path(".rtt/keys/host.key")).expect("moved back");
    let witness = host.path(".rtt/witness/checkpoint.json");
    let remembered = fs::read(&witness).expect("a witness");
    fs::write(&witness, "junk").expect("written");
    for line in ["plan status", "log verify", "log show", "plan history"] {
        host.refused(line, 16, ".rtt/witness/checkpoint.json");
    }
    fs::remove_file(&witness).expect("removed");
    for line in ["log verify", "log show", "plan history", "plan status", "store gc"] {
        host.refused(line, 16, "the witness remembers nothing: bring its memory back");
    }
    assert!(!witness.exists(), "nobody takes a witness without memory for a new one");
    fs::write(&witness, &remembered).expect("put back");
    host.ok("plan status");
    fs::remove_file(&witness).expect("removed");
    assert!(host.ok("log remember").contains("remembers the last checkpoint"));
    assert_eq!(fs::read(&witness).expect("a witness"), remembered);
    host.ok("log verify");
    fs::rename(host.path(".rtt/managed"), host.path("elsewhere")).expect("moved");
    host.refused("plan status", 13, "the managed folder .rtt/managed is not there, but the log has 1 item in it");
}

/// Each change is told as what it is, and the commands that are printed heal it.
#[test]
fn drift_is_told_as_what_it_is_and_healed_by_what_is_printed() {
    let host = Host::new();
    let first = host.plan("one", "one\n");
    host.ok(&format!("plan apply {first}"));
    host.ops(
        r#"[{"ring_put": {"name": "feed", "knobs": {"ring_bytes": 65536, "batch": 1, "window_us": 0, "wait": "futex",
        "spin_us": 5, "pin": "unpinned", "huge_pages": false}}}]"#,
    );
    host.apply("ring");
    let current = ".rtt/managed/files/current";
    for (script, part) in [
        ("echo mine > C/etc/app.conf", "there is "),
        ("chmod 600 C/etc/app.conf", "mode 0600\n    to put it back: chmod 0644"),
        ("rm C/etc/app.conf", "there is nothing"),
        ("rm -r C/etc", "there is nothing"),
        ("rm C/etc/app.conf; mkdir C/etc/app.conf", "there is a folder"),
        ("ln -sf /etc/hostname C/etc/app.conf", "there is a link to \"/etc/hostname\""),
        ("echo more > C/etc/more.conf", "the log says nothing"),
        ("rm C", "ln -s generations/"),
        (
            "rm -r C/etc .rtt/managed/files/generations/*; rm C",
            "mkdir -p .rtt/managed/files/generations/restored && ln -s",
        ),
        ("rm .rtt/managed/rings/current/feed", "printf %s"),
        ("echo > .rtt/managed/rings/current/feed", "printf %s"),
    ] {
        host.shell(&script.replace('C', current));
        host.refused("plan status", 17, "item changed behind the log");
        assert!(host.run("plan draft --rollback").2.contains("changed behind the log"), "{script}");
        let said = host.heal();
        assert!(said.contains(part), "{script}: {part}: {said}");
        assert_eq!(host.runs().as_deref(), Some("one\n"), "{script}");
    }
    host.shell(&format!("rm {current}; ln -s generations/none {current}"));
    host.refused("plan status", 1, "remove the link .rtt/managed/files/current");
    host.shell(&format!("rm {current}"));
    host.heal();
}

/// What the help shows is drafted as it stands there.
#[test]
fn the_examples_of_the_help_are_drafted() {
    let host = Host::new();
    let help = host.ok("plan draft --help");
    let (mut examples, mut open) = (Vec::new(), false);
    for line in help.lines() {
        if line.starts_with("  [{") {
            examples.push(String::new());
            open = true;
        }
        if open {
            examples.last_mut().expect("one").push_str(line.trim());
            open = !line.ends_with(']');
        }
    }
    let policy = help.lines().find(|line| line.starts_with("  {\"version\"")).expect("a policy");
    fs::write(host.path(".rtt/policy.json"), policy.trim()).expect("written");
    let key = SigningKey::create(Role::Profile, &host.path("p.key"), &host.path("p"), KeyRest::Plain).expect("a key");
    host.ok(&format!("key rotate --add {} --key .rtt/keys/root-1.key", key.1.display()));
    let digest = host.put(&profile(&key.0, |_| {}));
    assert_eq!(examples.len(), 4, "{help}");
    for (index, ops) in examples.iter().enumerate() {
        host.ops(&ops.replace("DIGEST", &digest));
        host.apply(&format!("example-{index}"));
    }
    for name in ["file_put", "file_remove", "ring_put", "ring_remove", "profile_set", "profile_clear"] {
        assert!(examples.iter().any(|ops| ops.contains(name)), "{name}");
    }
}

/// A participant in whose prepare the power fails.
struct Dies(&'static str);

impl Participant for Dies {
    fn name(&self) -> &str {
        self.0
    }

    fn scan(&mut self) -> Result<Vec<u8>, ParticipantError> {
        Ok(Inventory::default().to_canonical())
    }

    fn prepare(&mut self, _: PlanId, _: &[Op]) -> Result<(), ParticipantError> {
        panic!("the power fails")
    }

    fn commit(&mut self, _: PlanId) -> Result<(), ParticipantError> {
        unreachable!("nothing was prepared")
    }

    fn abort(&mut self, _: PlanId) -> Result<(), ParticipantError> {
        Ok(())
    }

    fn undo(&mut self, _: PlanId) -> Result<(), ParticipantError> {
        unreachable!("nothing was prepared")
    }
}

/// The plan that a crash left open is named by the command that ends it, and in the history.
#[test]
fn a_plan_that_a_crash_left_open_is_named_when_it_is_ended() {
    let host = Host::new();
    let signed = host.plan("one", "one\n");
    host.die_in(&signed);
    let plan: Value = serde_json::from_str(&host.ok("plan show one.json --json")).expect("JSON");
    let plan = plan["plan"].as_str().expect("an id");
    // A dry run writes nothing, so that what the crash left is not its to end.
    let log = || fs::read(host.path(".rtt/store/wal/00000000.seg")).expect("a segment");
    let left = log();
    host.refused(&format!("plan apply {signed} --dry-run"), 13, "`rtt plan status` ends that; nothing was written");
    assert!(log() == left);
    let (_, _, err) = host.run("plan status");
    assert!(err.contains(&format!("plan {plan} was open when the log was left: aborted")), "{err}");
    assert!(err.contains("; draft it again"), "{err}");
    let history = host.ok("plan history");
    assert!(
        history.contains(&format!("{plan}  aborted (it was open when the log was left), by {}", host.planner)),
        "{history}"
    );
}

/// What goes wrong has one document too where JSON is asked for, and a code of its own.
#[test]
fn failures_have_a_document_and_a_code() {
    let empty = Host { folder: tempfile::tempdir().expect("a folder"), planner: String::new() };
    empty.refused("plan draft ops.json", 13, "no trust in .rtt/trust");
    empty.refused("key status", 13, "no trust in .rtt/trust");
    empty.refused("plan status", 13, "make one: rtt host init");
    empty.refused("aply", 2, "did you mean `rtt plan apply`?");
    empty.refused("verify", 2, "did you mean `rtt log verify`?");
    empty.refused("plan aply", 2, "'apply'");
    let host = Host::new();
    for line in ["log verify", "log show", "plan history"] {
        host.refused(line, 13, "there is no log yet");
    }
    let signed = host.plan("one", "one\n");
    host.ok(&format!("plan apply {signed} --json"));
    let document = |line: &str, code: i32| {
        let (found, out, err) = host.run(line);
        assert_eq!((found, out.lines().count()), (code, 1), "{line}: {out}{err}");
        serde_json::from_str::<Value>(&out).expect("JSON")
    };
    let refused = document(&format!("plan apply {signed} --json"), 14);
    assert_eq!((&refused["status"], &refused["code"]), (&"refused".into(), &14.into()), "{refused}");
    assert!(refused["reason"].as_str().is_some_and(|reason| reason.contains("replayed")), "{refused}");
    assert_eq!(document("log check nowhere.json --host-key nowhere --json", 2)["status"], "failed");
    fs::write(host.path(".rtt/managed/files/current/etc/app.conf"), "mine\n").expect("changed");
    assert_eq!(document("plan status --json", 17)["drift"].as_array().map(Vec::len), Some(1));
    // Somebody else writes the log.
    let rtt = env!("CARGO_BIN_EXE_rtt");
    let busy = host.shell(&format!("flock .rtt/store/wal/lock {rtt} plan status 2>&1 || echo code $?"));
    assert!(busy.contains("another process is writing to the log") && busy.contains("code 15"), "{busy}");
}

/// The section of the README is followed as it stands there, in an empty folder.
#[test]
fn the_readme_is_followed_by_copy_and_paste() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).expect("the README");
    let section = readme.split("## Changing a host").nth(1).expect("the section");
    let block = section.split("```").nth(1).expect("its block");
    let host = Host { folder: tempfile::tempdir().expect("a folder"), planner: String::new() };
    let said = host.shell(block);
    for part in ["greeting = \"hello\"\n", "drift      none", "the protocol holds", "verified: generation 2"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// Who reads the output changes neither what is done nor the exit code.
#[test]
fn a_reader_that_left_changes_nothing() {
    let host = Host::new();
    let signed = host.plan("one", "one\n");
    // Both ends are made here, and the reader's is gone before `rtt` begins.
    let nobody = || Stdio::from(std::io::pipe().expect("a pipe").1);
    let code = |line: &str, errors: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtt"));
        command.args(line.split(' ')).current_dir(host.folder.path()).stdout(nobody()).stderr(errors);
        command.status().expect("it starts").code()
    };
    assert_eq!(code(&format!("plan apply {signed} --json"), nobody()), Some(0));
    assert_eq!(host.runs().as_deref(), Some("one\n"), "it was applied");
    assert_eq!(code(&format!("plan apply {signed} --json"), Stdio::null()), Some(14), "a refusal stays one");
    assert_eq!(code(&format!("plan apply {signed}"), nobody()), Some(14), "also with nobody at standard error");
    assert_eq!(code("plan status", nobody()), Some(0));
}

/// What the log's signatures say is checked again, as far as this host knows who could sign.
#[test]
fn a_log_is_verified_down_to_its_signatures() {
    let host = Host::new();
    let signed = host.plan("one", "one\n");
    host.ok(&format!("plan apply {signed}"));
    host.ok("key rotate --days 30 --key .rtt/keys/root-1.key");
    assert!(host.ok("log verify").contains("a planner's under every plan"), "under the trust of its time");
    let (trust, aside) = (host.path(".rtt/trust"), host.path("trust"));
    fs::rename(&trust, &aside).expect("moved");
    assert!(host.ok("log verify").contains("of plans unchecked: no trust here"));
    let told: Value = serde_json::from_str(&host.ok("log verify --json")).expect("JSON");
    assert_eq!(told["plans_checked"].as_bool(), Some(false));
    let other = Host::new();
    fs::rename(other.path(".rtt/trust"), &trust).expect("moved");
    host.refused("log verify", 16, "but no planner of trust version 1 signed it");
    host.refused("log remember", 2, "remembers");
}

/// A policy that is not one, or that others may write, gives leave for nothing.
#[test]
fn a_policy_is_what_it_says_or_refused() {
    let host = Host::new();
    let signed = host.plan("one", "one\n");
    host.refused(&format!("plan apply {signed} --policy polcy.json"), 2, "policy polcy.json: No such file");
    let policy = host.path(".rtt/policy.json");
    for (text, mode, part) in [
        (r#"{"version":2,"grants":["files:*"]}"#, 0o644, "version is 2, expected 1"),
        (r#"{"version":1,"grants":["files:*"]}"#, 0o666, "mode is 0666, expected one that nobody else may write"),
        ("{}", 0o644, "missing field"),
    ] {
        fs::write(&policy, text).expect("written");
        fs::set_permissions(&policy, fs::Permissions::from_mode(mode)).expect("set");
        host.refused(&format!("plan apply {signed}"), 16, part);
    }
    fs::write(&policy, r#"{"version":1,"grants":["files:etc"]}"#).expect("written");
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o644)).expect("set");
    host.refused(&format!("plan apply {signed}"), 14, "policy");
    let within = host.plan("two", "two\n");
    host.ok(&format!("plan apply {within}"));
}

/// The knobs that a ring had are in the log: a rollback brings them back.
#[test]
fn a_rings_earlier_knobs_come_back() {
    let host = Host::new();
    let ring = |batch: u32| {
        format!(
            r#"[{{"ring_put": {{"name": "feed", "knobs": {{"ring_bytes": 65536, "batch": {batch}, "window_us": 0,
            "wait": "futex", "spin_us": 5, "pin": "unpinned", "huge_pages": false}}}}}}]"#
        )
    };
    let runs = || fs::read(host.path(".rtt/managed/rings/current/feed")).expect("a ring");
    host.ops(&ring(1));
    host.apply("one");
    let first = runs();
    host.ops(&ring(2));
    host.apply("two");
    assert_ne!(runs(), first);
    host.ok("plan draft --rollback --out back.json");
    host.ok("plan sign back.json --key planner.key");
    host.ok("rollback back.signed.json");
    assert_eq!(runs(), first);
}

/// What stands in the managed folder is somebody's: its names reach neither a shell nor a terminal as they are.
#[test]
fn names_that_somebody_chose_are_spelt_out() {
    use std::os::unix::ffi::OsStrExt;
    let host = Host::new();
    let signed = host.plan("one", "one\n");
    host.ok(&format!("plan apply {signed}"));
    let current = host.path(".rtt/managed/files/current");
    fs::write(current.join("a\nto put it back: evil\u{1b}[31m"), "x").expect("written");
    fs::write(current.join(std::ffi::OsStr::from_bytes(b"\xff")), "x").expect("written");
    let (code, out, _) = host.run("plan status");
    assert_eq!((code, out.matches("to put it back: ").count()), (17, 3), "{out}");
    assert!(out.contains(r"a\nto put it back: evil\u{1b}[31m: the log says nothing"), "{out}");
    assert!(out.contains("its name is not UTF-8") && !out.contains('\u{1b}'), "{out}");
    fs::create_dir(host.path(".rtt/managed/files/generations/z;touch PWNED;#")).expect("made");
    fs::remove_file(&current).expect("removed");
    let (_, out, _) = host.run("plan status");
    assert!(out.contains("ln -s generations/") && !out.contains("PWNED"), "{out}");
}
