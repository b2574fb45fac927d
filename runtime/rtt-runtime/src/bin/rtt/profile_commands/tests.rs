//! Every action over a real directory, with a made-up machine and clock.

use super::*;
use clap::Parser;
use rtt_profile::{Condition, Evidence, Interval, Knobs, Machine, Outcome, P99, ScenarioDigest, ScenarioRow, Verdict};
use rtt_seal::{SigningKey, seal};
use std::os::unix::fs::PermissionsExt;

const NOW: u64 = 1_800_000_001;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    action: ProfileAction,
}

/// A directory with a key, a signed profile of a made-up machine and nothing else.
struct Place {
    directory: tempfile::TempDir,
    here: Fingerprint,
    now: u64,
}

fn fingerprint() -> Fingerprint {
    Fingerprint {
        machine: Machine {
            architecture: "x86_64".into(),
            vendor: "V".into(),
            model_name: "M".into(),
            family: 6,
            model: 1,
            stepping: 2,
            packages: 1,
            cores: 2,
            threads_per_core: 1,
            caches: vec![],
            numa_nodes: vec![],
            memory_class_gib: 32,
            hypervisor: "none".into(),
        },
        conditions: Conditions {
            kernel: "6.1.0".into(),
            microcode: "0x1".into(),
            governor: "none".into(),
            thp: "madvise".into(),
            mitigations: "a=off".into(),
        },
    }
}

fn profile() -> Profile {
    let interval = Interval { estimate: 600, low: 590, high: 610 };
    Profile {
        schema: Profile::SCHEMA,
        knobs: Knobs::default_for(rtt_units::Nanos::from_micros(60)),
        fingerprint: fingerprint(),
        outcome: Outcome { verdict: Verdict::Better, sentence: "better: tuned beats the incumbent".into() },
        whole_p99_ns: None,
        recovery_ns: None,
        p99_ns: P99 { incumbent: Interval { estimate: 1_000, low: 990, high: 1_010 }, tuned: interval },
        pairs: 20,
        objective: "weighted log p99".into(),
        rows: vec![ScenarioRow {
            scenario: "steady".into(),
            condition: Condition::Calm,
            incumbent_p99_ns: interval,
            tuned_p99_ns: interval,
        }],
        evidence: Evidence {
            scenarios: vec![ScenarioDigest { name: "steady".into(), digest: Digest::of(b"steady") }],
            trial_log: Digest::of(b"log"),
            fits: vec![],
            seed: 7,
        },
        build: "rtt 0.1.0".into(),
        created_unix_s: NOW - 1,
        expires_unix_s: NOW - 1 + Profile::LIFE_S,
    }
}

impl Place {
    fn new() -> Place {
        let place = Place { directory: tempfile::tempdir().expect("a directory"), here: fingerprint(), now: NOW };
        place.ok("keygen --key @/profile.key --public @/keys");
        std::fs::write(place.at("candidate.json"), profile().to_canonical()).expect("written");
        place.ok("sign @/candidate.json --key @/profile.key --out @/signed.json");
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs `line`, in which `@` is the directory: what it printed and warned, or its exit code and message.
    /// What it came to, and what was printed.
    fn attempt(&self, line: &str) -> (Result<(), (u8, String)>, [String; 2]) {
        let here = self.directory.path().to_str().expect("text");
        let words = ["rtt profile".to_owned()].into_iter().chain(line.split(' ').map(|word| word.replace('@', here)));
        let action = match Line::try_parse_from(words) {
            Ok(line) => line.action,
            Err(error) => return (Err((USAGE, error.to_string())), Default::default()),
        };
        let (mut out, mut warnings) = (Vec::new(), Vec::new());
        let fingerprint = || Ok(self.here.clone());
        let mut desk = Desk {
            out: &mut out,
            warnings: &mut warnings,
            signed: &self.at("profiles/signed"),
            now_unix_s: self.now,
            fingerprint: &fingerprint,
            ask: &|_| Err("there is no terminal in a test".into()),
        };
        let ended = run(&action, &mut desk).map_err(|failure| (failure.code, failure.message));
        (ended, [out, warnings].map(|bytes| String::from_utf8(bytes).expect("text")))
    }

    fn run(&self, line: &str) -> Result<(String, String), (u8, String)> {
        let (ended, [out, warnings]) = self.attempt(line);
        ended.map(|()| (out, warnings))
    }

    fn ok(&self, line: &str) -> String {
        self.run(line).unwrap_or_else(|error| panic!("{line}: {error:?}")).0
    }

    fn refused(&self, line: &str, code: u8, part: &str) {
        let (found, message) = self.run(line).expect_err(line);
        assert!(found == code && message.contains(part), "{line}: {found}: {message}");
    }

    /// Verifying, showing, comparing and exporting all refuse `file`, as 16 and with `part` in the message.
    fn refused_by_all(&self, file: &str, part: &str) {
        for line in ["verify FILE", "verify FILE --any-host", "show FILE", "diff FILE FILE", "export FILE --any-host"] {
            let line = format!("{} --keys @/keys", line.replace("FILE", file));
            self.refused(&line, REFUSED, part); // PROFILE-6
        }
    }

    /// A signature that fits over `payload`, whatever that is.
    fn sign_blindly(&self, payload: &str, file: &str) {
        let key = SigningKey::load(&self.at("profile.key")).expect("the key");
        let payload_type = <Profile as rtt_seal::Document>::PAYLOAD_TYPE;
        std::fs::write(self.at(file), seal(payload.as_bytes(), payload_type, &key).expect("sealed")).expect("written");
    }
}

#[test]
fn a_profile_is_signed_verified_shown_compared_and_exported() {
    let place = Place::new();
    let verified = place.ok("verify @/signed.json --keys @/keys");
    assert!(verified.contains("signature, form and time hold") && verified.contains(", this host"), "{verified}");
    let shown = place.ok("show @/signed.json --keys @/keys");
    for part in ["in force on this host until 2027-04-15", "better: tuned beats", "tuned 600ns [590ns, 610ns]", "batch"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let env = place.ok("export @/signed.json --keys @/keys --format env");
    assert!(env.starts_with("RTT_RING_BYTES=262144\nRTT_BATCH=32\n"), "{env}");
    let json = place.ok("export @/signed.json --keys @/keys --json");
    assert_eq!(serde_json::from_str::<Knobs>(&json).expect("knobs"), profile().knobs);

    let mut other = profile();
    other.knobs.batch = 64;
    std::fs::write(place.at("other.json"), serde_json::to_string_pretty(&other).expect("json")).expect("written");
    place.ok("sign @/other.json --key @/profile.key --out @/other.signed.json");
    let rows = place.ok("diff @/signed.json @/other.signed.json --keys @/keys");
    assert_eq!(rows, "knobs.batch  32  64\n");
    let rows = place.ok("diff @/signed.json @/other.signed.json --keys @/keys --json");
    assert_eq!(rows, "{\"rows\":[{\"field\":\"knobs.batch\",\"left\":\"32\",\"right\":\"64\"}],\"version\":1}\n");
    assert_eq!(place.ok("diff @/signed.json @/signed.json --keys @/keys"), "the profiles say the same\n");
}

#[test]
fn json_output_carries_its_version_and_the_status() {
    let mut place = Place::new();
    let status = |place: &Place, line: &str| {
        let value: serde_json::Value = serde_json::from_str(&place.ok(line)).expect("json");
        assert_eq!(value["version"], 1);
        value["status"].as_str().expect("a status").to_owned()
    };
    let (verify, show) = ("verify @/signed.json --keys @/keys --json", "show @/signed.json --keys @/keys --json");
    assert_eq!((status(&place, verify), status(&place, show)), ("in_force".into(), "in_force".into()));
    place.here.conditions.kernel = "6.2.0".into();
    assert_eq!((status(&place, verify), status(&place, show)), ("stale".into(), "stale".into()));
    place.now = u64::MAX;
    assert_eq!(status(&place, show), "expired");
    let (ended, [out, _]) = place.attempt(verify);
    let refused: serde_json::Value = serde_json::from_str(&out).expect("json");
    assert_eq!((ended.expect_err("expired").0, refused["status"].as_str()), (REFUSED, Some("refused")));
    assert!(refused["reason"].as_str().is_some_and(|reason| reason.contains("expired")), "{refused}");
    place.here.machine.cores = 4;
    assert_eq!(status(&place, show), "other_machine");
}

/// PROFILE-6
#[test]
fn a_document_that_does_not_hold_is_refused_by_every_action() {
    let place = Place::new();
    let sealed = std::fs::read_to_string(place.at("signed.json")).expect("the profile");
    let payload = String::from_utf8(profile().to_canonical()).expect("text");
    let write = |name: &str, text: String| std::fs::write(place.at(name), text).expect("written");

    let from = sealed.find(r#""payload":""#).expect("a payload") + 40;
    let (before, rest) = sealed.split_at(from);
    let other = if rest.starts_with('A') { 'B' } else { 'A' };
    write("changed", format!("{before}{other}{}", &rest[1..]));
    place.refused_by_all("@/changed", "does not match: the document or the signature was changed");

    place.ok("keygen --key @/stranger.key --public @/strangers");
    place.ok("sign @/candidate.json --key @/stranger.key --out @/strange.json");
    place.refused_by_all("@/strange.json", "no trusted key signed this");
    assert!(place.ok("verify @/strange.json --keys @/strangers").contains("hold"), "for those who trust the key");

    write("unsigned", payload.clone());
    place.refused_by_all("@/unsigned", "the envelope is not what DSSE says");
    write("twice", sealed.replacen(r#"{"payloadType""#, r#"{"payload":"","payloadType""#, 1));
    place.refused_by_all("@/twice", "duplicate key `payload`");
    write("extra", sealed.replacen(r#"{"payloadType""#, r#"{"x":1,"payloadType""#, 1));
    place.refused_by_all("@/extra", "unknown field `x`");

    place.sign_blindly(&payload.replacen(r#""pairs":20"#, r#""pairs":20,"pairs":20"#, 1), "duplicate");
    place.refused_by_all("@/duplicate", "duplicate key `pairs`");
    place.sign_blindly(&payload.replacen(r#""pairs":20"#, r#""pairs":20,"pair":20"#, 1), "unknown");
    place.refused_by_all("@/unknown", "unknown field `pair`; did you mean `pairs`?");
    place.sign_blindly(&format!("{payload}\n"), "loose");
    place.refused_by_all("@/loose", "not in canonical form");
    place.sign_blindly(&payload.replacen(r#""batch":32"#, r#""batch":0"#, 1), "range");
    place.refused_by_all("@/range", "knob batch is 0: expected 1..=256");

    // A weak public key spoils trust, whatever it signed: the identity, whose key id is derived as for any other.
    let id = Digest::of(&[&[1_u8][..], &[0; 31]].concat()).short();
    write("keys/weak.pub", format!("rtt-public-key-v1 profile {id} AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"));
    place.refused_by_all("@/signed.json", "is weak: its point has small order");
}

#[test]
fn another_machine_and_another_time_are_refused_in_words() {
    let mut place = Place::new();
    place.here.machine.cores = 4;
    let words = "1 of 13 fields differ, there against here: cores: 2 against 4";
    place.refused("verify @/signed.json --keys @/keys", REFUSED, words);
    place.refused("export @/signed.json --keys @/keys", REFUSED, words);
    assert!(place.ok("verify @/signed.json --keys @/keys --any-host").contains("not compared"));
    assert!(place.ok("export @/signed.json --keys @/keys --any-host").contains("RTT_BATCH=32"));
    assert!(place.ok("show @/signed.json --keys @/keys").contains("not for use here: the profile is for machine"));
    place.here = fingerprint();
    place.now = NOW - 1 + Profile::LIFE_S;
    for line in ["verify", "verify --any-host", "export", "export --any-host"] {
        place.refused(&format!("{line} @/signed.json --keys @/keys"), REFUSED, "the profile expired on 2027-04-15");
    }
    place.now = NOW - 86_400;
    place.refused("verify @/signed.json --keys @/keys", REFUSED, "set this host's clock");
}

#[test]
fn changed_conditions_warn_unless_the_policy_refuses_them() {
    let mut place = Place::new();
    place.here.conditions.kernel = "6.2.0".into();
    let (_, warnings) = place.run("verify @/signed.json --keys @/keys").expect("stale is in use");
    assert_eq!(
        warnings,
        "rtt: warning: stale, then against now: kernel: 6.1.0 against 6.2.0; tune again when you can\n"
    );
    let line = "verify @/signed.json --keys @/keys --refuse-on";
    assert!(place.run(&format!("{line} thp,governor")).is_ok());
    place.refused(&format!("{line} thp,kernel"), REFUSED, "kernel: 6.1.0 against 6.2.0: tune again");
    place.refused(&format!("{line} colour"), USAGE, "possible values: kernel, microcode");
}

#[test]
fn keys_are_kept_with_care() {
    let place = Place::new();
    place.refused("keygen --key @/profile.key --public @/keys", USAGE, "exists and is not replaced");
    let sign = "sign @/candidate.json --out @/again.json --key";
    place.refused(&format!("{sign} @/none"), USAGE, "make one: rtt profile keygen");
    place.refused(&format!("{sign} @/candidate.json"), REFUSED, "has mode 0644, expected 0600");
    let public = std::fs::read_dir(place.at("keys")).expect("keys").next().expect("a key").expect("a key").path();
    std::fs::set_permissions(&public, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    place.refused(&format!("{sign} {}", public.display()), REFUSED, "does not begin with `rtt-private-key-v1`");
    std::fs::set_permissions(place.at("profile.key"), std::fs::Permissions::from_mode(0o640)).expect("chmod");
    place.refused(&format!("{sign} @/profile.key"), REFUSED, "has mode 0640, expected 0600");
    std::fs::set_permissions(place.at("profile.key"), std::fs::Permissions::from_mode(0o600)).expect("chmod");
    place.ok(&format!("{sign} @/profile.key"));
    assert!(!place.at("none").exists(), "no key is made by the way");
}

#[test]
fn an_encrypted_key_signs_with_its_passphrase() {
    let place = Place::new();
    std::fs::write(place.at("passphrase"), "correct horse\n").expect("written");
    std::fs::set_permissions(place.at("passphrase"), std::fs::Permissions::from_mode(0o600)).expect("chmod");
    let made = place.ok("keygen --key @/locked.key --public @/keys --passphrase-file @/passphrase");
    assert!(made.contains("mode 0600, encrypted"), "{made}");
    let sign = "sign @/candidate.json --key @/locked.key --out @/locked.json";
    place.refused(sign, USAGE, "there is no terminal in a test; name a file with --passphrase-file");
    place.ok(&format!("{sign} --passphrase-file @/passphrase"));
    place.ok("verify @/locked.json --keys @/keys");
}

#[test]
fn what_cannot_be_signed_or_found_is_named() {
    let place = Place::new();
    place.refused("sign @/signed.json --key @/profile.key", REFUSED, "it is a signed document already");
    place.refused("sign @/none --key @/profile.key", USAGE, "cannot read");
    std::fs::write(place.at("bad.json"), r#"{"schema":1,"#).expect("written");
    place.refused("sign @/bad.json --key @/profile.key", REFUSED, "not JSON");
    let mut wrong = profile();
    wrong.knobs.batch = 0;
    std::fs::write(place.at("wrong.json"), wrong.to_canonical()).expect("written");
    place.refused("sign @/wrong.json --key @/profile.key --out @/w", REFUSED, "knob batch is 0");
    assert!(!place.at("w").exists());
    place.refused("verify @/signed.json --keys @/none", REFUSED, "cannot read the directory of trusted keys");
    place.refused("verify @ --keys @/keys", REFUSED, "is not a regular file");
}

#[test]
fn a_machine_id_names_a_signed_profile() {
    let place = Place::new();
    let id = profile().machine_id().to_string();
    let signed = place.ok("sign @/candidate.json --key @/profile.key");
    assert!(signed.contains(&format!("profiles/signed/{id}.json")), "{signed}");
    assert!(place.ok(&format!("show {id} --keys @/keys")).contains(&id));
    assert_eq!(place.ok(&format!("diff {id} @/signed.json --keys @/keys")), "the profiles say the same\n");
    place.refused("verify 0123456789abcdef --keys @/keys", USAGE, "signed/0123456789abcdef.json: no such profile");
}
