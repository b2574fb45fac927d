//! Every action over a real directory, with a made-up clock and terminal.

use super::*;
use crate::host_commands::{self, HostAction};
use clap::Parser;
use rtt_seal::{HostId, Passphrase};
use std::os::unix::fs::PermissionsExt;
use zeroize::Zeroizing;

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    topic: Topic,
}

#[derive(clap::Subcommand)]
enum Topic {
    #[command(subcommand)]
    Key(KeyAction),
    #[command(subcommand)]
    Host(HostAction),
}

/// A directory, a clock, and what is typed when a passphrase is asked for.
struct Place {
    directory: tempfile::TempDir,
    now: u64,
    typed: &'static str,
}

impl Place {
    fn empty() -> Place {
        Place { directory: tempfile::tempdir().expect("a directory"), now: NOW, typed: "correct horse" }
    }

    /// Trust version 1 with three root keys, two of which must sign, and a planner's key beside it.
    fn new() -> Place {
        let place = Place::empty();
        place.ok("key init --trust @/trust --keys @/keys --days 100");
        place.ok("key new planner --key @/planner.key --public @/public");
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, line: &str) -> Result<(String, String), (u8, String)> {
        let here = self.directory.path().to_str().expect("a path").to_owned();
        let words = line.split(' ').map(|word| word.replace('@', &here));
        let line = Line::try_parse_from(std::iter::once("rtt".to_owned()).chain(words));
        let topic = line.map_err(|error| (USAGE, error.to_string()))?.topic;
        let (mut out, mut warnings) = (Vec::new(), Vec::new());
        let ask = |_: &str| {
            if self.typed.is_empty() {
                return Err("there is no terminal in this test".to_owned());
            }
            Ok(Passphrase::new(Zeroizing::new(self.typed.as_bytes().to_vec())).expect("a passphrase"))
        };
        let mut desk = KeyDesk { out: &mut out, warnings: &mut warnings, now_unix_s: self.now, ask: &ask };
        let done = match &topic {
            Topic::Key(action) => run(action, &mut desk),
            Topic::Host(action) => host_commands::run(action, &mut desk),
        };
        done.map_err(|failure| (failure.code, failure.message))?;
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ok((text(out), text(warnings)))
    }

    fn ok(&self, line: &str) -> String {
        self.run(line).unwrap_or_else(|error| panic!("{line}: {error:?}")).0
    }

    fn refused(&self, line: &str, code: u8, part: &str) {
        let (found, message) = self.run(line).expect_err(line);
        assert!(found == code && message.contains(part), "{line}: {found}: {message}");
    }

    fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.ok("key status --trust @/trust --json")).expect("json")
    }

    fn planner(&self) -> KeyId {
        SigningKey::load(&self.at("planner.key")).expect("the key").id()
    }

    /// Rotates with two of the root keys.
    fn rotate(&self, change: &str) -> String {
        self.ok(&format!("key rotate --trust @/trust {change} --key @/keys/root-1.key @/keys/root-2.key"))
    }

    fn add_planner(&self) {
        self.rotate(&format!("--add @/public/{}.pub", self.planner()));
    }
}

#[test]
fn trust_is_begun_changed_shown_and_exported() {
    let place = Place::new();
    let shown = place.ok("key status --trust @/trust");
    for part in ["version 1  ", "100 days left", "root       2 of 3: ", "planner    no key", "revoked    none"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    place.add_planner();
    let status = place.status();
    assert_eq!(
        (&status["version"], &status["trust_version"], &status["status"]),
        (&1.into(), &2.into(), &"in_force".into())
    );
    assert_eq!(status["thresholds"], json!({ "root": 2, "planner": 1 }));
    assert_eq!(status["keys"].as_array().map(Vec::len), Some(4));
    assert_eq!(status["expires_unix_s"], NOW + 365 * DAY);
    let lines = place.ok("key export --trust @/trust --role planner");
    let key = VerifyingKey::from_line(lines.as_bytes()).expect("a key line");
    assert_eq!((key.id(), key.role()), (place.planner(), Role::Planner));
    for _ in 0..2 {
        assert!(place.ok("key export --trust @/trust --to @/out").starts_with("4 public keys are in "));
    }
    assert_eq!(std::fs::read_dir(place.at("out")).expect("a directory").count(), 4);
    let json: serde_json::Value = serde_json::from_str(&place.ok("key export --trust @/trust --json")).expect("json");
    assert_eq!((&json["version"], json["keys"].as_array().map(Vec::len)), (&1.into(), Some(4)));
    place.rotate(&format!("--remove {}", place.planner()));
    assert_eq!(place.status()["keys"].as_array().map(Vec::len), Some(3));
    place.add_planner(); // What was only removed may come back.
    assert_eq!(place.status()["trust_version"], 4);
}

#[test]
fn a_change_that_too_few_signed_is_not_in_force_until_others_sign_it() {
    let place = Place::new();
    let change = format!("key rotate --trust @/trust --add @/public/{}.pub", place.planner());
    place.refused(
        &format!("{change} --key @/keys/root-1.key"),
        REFUSED,
        "1 of the trusted keys signed this, expected 2",
    );
    place.refused(&change, USAGE, "name at least one root key with --key");
    place.refused(&format!("{change} --key @/planner.key"), REFUSED, "has the role `planner`, which may not sign");
    place.refused(&format!("{change} --key @/keys/none.key"), USAGE, "make one: rtt key init");
    let said = place.ok(&format!("{change} --key @/keys/root-1.key --out @/next.json"));
    assert!(said.starts_with("not in force yet: "), "{said}");
    assert_eq!(place.status()["trust_version"], 1);
    // A stranger's root key adds a signature that does not count.
    place.ok("key new root --key @/stranger.key --public @/public");
    let said = place.ok("key rotate --trust @/trust --from @/next.json --key @/stranger.key --json");
    let stranger = SigningKey::load(&place.at("stranger.key")).expect("the key").id();
    let uncounted = format!("what {stranger} signed does not count");
    assert!(said.contains(r#""status":"unfinished""#) && said.contains(&uncounted), "{said}");
    let said = place.ok("key rotate --trust @/trust --from @/next.json --key @/keys/root-3.key --json");
    assert!(said.contains(r#""status":"in_force","trust_version":2"#), "{said}");
    assert_eq!(place.status()["trust_version"], 2);
    place.refused(
        "key rotate --trust @/trust --from @/trust/1.json @/trust/2.json --key @/keys/root-1.key",
        USAGE,
        "expected one",
    );
}

#[test]
fn a_revoked_key_never_comes_back() {
    let place = Place::new();
    place.add_planner();
    let id = place.planner();
    place.refused("key revoke --trust @/trust --key @/keys/root-1.key", USAGE, "required arguments");
    place.refused(&format!("key revoke {id} --trust @/trust --key @/keys/root-1.key"), REFUSED, "expected 2");
    place.ok(&format!("key revoke {id} --trust @/trust --key @/keys/root-1.key @/keys/root-2.key"));
    let status = place.status();
    assert_eq!((&status["revoked"], &status["thresholds"]), (&json!([id]), &json!({ "root": 2 })));
    let again = format!("key rotate --trust @/trust --add @/public/{id}.pub --key @/keys/root-1.key @/keys/root-2.key");
    place.refused(&again, USAGE, "was revoked and is not trusted again");
    // A root key: the others go on, as long as enough are left.
    let root = SigningKey::load(&place.at("keys/root-3.key")).expect("the key").id();
    place.ok(&format!("key revoke {root} --trust @/trust --key @/keys/root-1.key @/keys/root-2.key"));
    let root = SigningKey::load(&place.at("keys/root-2.key")).expect("the key").id();
    let line = format!("key revoke {root} --trust @/trust --key @/keys/root-1.key @/keys/root-2.key");
    place.refused(&line, USAGE, "2 root keys must sign, but 1 would be left");
    place.ok(&format!("{line} --threshold root=1"));
    assert_eq!(place.status()["revoked"].as_array().map(Vec::len), Some(3));
}

#[test]
fn trust_that_is_over_gives_nothing_until_it_is_rotated() {
    let mut place = Place::new();
    place.now = NOW + 100 * DAY;
    for line in ["status", "status --json", "export"] {
        place.refused(&format!("key {line} --trust @/trust"), REFUSED, "trust version 1 expired at");
    }
    place.rotate("--days 50");
    assert_eq!(place.status()["expires_unix_s"], place.now + 50 * DAY);
    place.now += 50 * DAY - 1;
    assert!(place.ok("key status --trust @/trust").contains("0 days left: rotate it soon"));
}

#[test]
fn another_host_begins_with_what_was_made_elsewhere() {
    let place = Place::new();
    place.add_planner();
    let first = Sealed::<TrustRoot>::load(&place.at("trust/1.json")).expect("a file");
    let digest = TrustRoot::first(first).expect("the first version").digest();
    let other = digest.to_string().replace(['0', '1'], "2");
    let line = "key init --trust @/there --from @/trust/1.json @/trust/2.json";
    place.refused(&format!("{line} --expect {other}"), REFUSED, "its digest is");
    place.refused("key init --trust @/there --from @/trust/2.json", REFUSED, "trust version is 2, expected 1");
    assert!(!place.at("there").exists());
    place.ok(&format!("{line} --expect {digest}"));
    assert!(place.ok("key status --trust @/there").contains("version 2  "));
    place.refused(line, USAGE, "holds trust already");
    let (_, warnings) = place.run("key init --trust @/third --from @/trust/1.json").expect("taken");
    assert!(warnings.contains(&format!("nothing vouches for {digest}")), "{warnings}");
    // It follows later versions in their order, passes over what it knows, and never goes back.
    place.rotate("--days 30");
    place.rotate("--days 40");
    place.refused("key rotate --trust @/there --from @/trust/4.json", REFUSED, "trust version is 4, expected 3");
    place.ok("key rotate --trust @/there --from @/trust/1.json @/trust/2.json @/trust/3.json @/trust/4.json");
    assert!(place.ok("key status --trust @/there").contains("version 4  "));
}

#[test]
fn keys_are_encrypted_where_that_is_asked_for() {
    let mut place = Place::empty();
    std::fs::write(place.at("passphrase"), "battery staple\n").expect("written");
    let from_file = "key new planner --key @/a.key --public @/public --passphrase-file @/passphrase";
    std::fs::set_permissions(place.at("passphrase"), std::fs::Permissions::from_mode(0o644)).expect("chmod");
    place.refused(from_file, REFUSED, "has mode 0644");
    std::fs::set_permissions(place.at("passphrase"), std::fs::Permissions::from_mode(0o600)).expect("chmod");
    assert!(place.ok(from_file).contains("mode 0600, encrypted"));
    assert!(SigningKey::load(&place.at("a.key")).expect_err("encrypted").is_encrypted());
    place.ok("key init --trust @/trust --keys @/keys --root-keys 1 --passphrase");
    let rotate = "key rotate --trust @/trust --days 365 --key @/keys/root-1.key";
    place.ok(rotate);
    place.refused(&format!("{rotate} --passphrase-file @/passphrase"), REFUSED, "the passphrase does not fit");
    place.refused(&format!("{rotate} --passphrase-file @/none"), USAGE, "cannot read the passphrase");
    place.typed = "";
    place.refused(rotate, USAGE, "there is no terminal in this test; name a file with --passphrase-file");
    place.refused("key new planner --key @/b.key --public @/public --passphrase", USAGE, "no terminal");
    place.refused("key new planner --passphrase hunter2hunter2", USAGE, "unexpected argument"); // Never as an argument.
    assert!(!place.at("b.key").exists());
}

#[test]
fn a_host_is_made_once_and_told_by_its_key() {
    let place = Place::empty();
    let made = place.ok("host init --key @/host.key --public @/public --store @/store");
    let id = HostId::of(SigningKey::load(&place.at("host.key")).expect("the key").public()).expect("a host key");
    assert!(made.starts_with(&format!("host {id}\n")), "{made}");
    assert_eq!(place.ok("host show --key @/host.key"), format!("host {id}\n"));
    assert!(place.ok("host show --key @/host.key --json").contains(&format!(r#""host":"{id}""#)));
    place.refused("host init --key @/host.key --public @/public --store @/store", USAGE, "exists and is not replaced");
    place.refused("host show --key @/none", USAGE, "make one: rtt host init");
    place.refused("key new host --key @/b.key", USAGE, "rtt host init");
    place.ok("key new planner --key @/planner.key --public @/public");
    place.refused("host show --key @/planner.key", REFUSED, "is a planner key, expected a host key");
}

#[test]
fn what_is_there_is_never_made_anew() {
    let place = Place::new();
    place.refused("key init --trust @/trust2 --keys @/keys", USAGE, "root-1.key exists and is not replaced");
    place.refused("key init --trust @/trust --keys @/keys2", USAGE, "holds trust already");
    std::fs::create_dir(place.at("trust3")).expect("made");
    std::fs::write(place.at("trust3/2.json"), "junk").expect("written");
    place.refused("key init --trust @/trust3 --keys @/keys2", REFUSED, "1.json is missing");
    assert!(!place.at("keys2").exists() && !place.at("trust2").exists(), "nothing is left behind");
    place.refused(
        "key init --trust @/t --keys @/k --root-keys 2 --threshold 3",
        USAGE,
        "--threshold is 3, expected 1..=2",
    );
    place.refused("key init --trust @/t --keys @/k --root-keys 0", USAGE, "0 is not in 1..=16");
    place.refused("key new planner --key @/planner.key --public @/public", USAGE, "exists and is not replaced");
    place.refused("key new king", USAGE, "role `king` is unknown");
    place.refused("key status --trust @/none", UNFIT, "make one with `rtt key init`");
    place.refused(
        "key rotate --trust @/trust --threshold root=9 --key @/keys/root-1.key",
        USAGE,
        "9 root keys must sign, but 3",
    );
    place.refused(
        "key rotate --trust @/trust --remove 0123456789abcdef --key @/keys/root-1.key",
        USAGE,
        "`rtt key status` lists",
    );
}

#[test]
fn a_change_says_what_it_changes_and_one_of_nothing_is_refused() {
    let place = Place::new();
    let (id, keys) = (place.planner(), "--key @/keys/root-1.key @/keys/root-2.key");
    let said = place.rotate(&format!("--add @/public/{id}.pub"));
    for part in [&format!("added: planner {id}\n"), "drafted under version 1 have to be drafted again"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let again = format!("key rotate --trust @/trust --add @/public/{id}.pub {keys}");
    place.refused(&again, USAGE, "nothing would change");
    let said = place.rotate("--threshold root=1 --days 30");
    assert!(said.contains("threshold: root 1, was 2\n") && said.contains("expires: "), "{said}");
    // One digit off: it is told, and revoked only where that is meant.
    let text = id.to_string();
    let near = format!("{}{}", &text[..15], if text.ends_with('0') { "1" } else { "0" });
    let line = format!("key revoke {near} --trust @/trust {keys}");
    place.refused(&line, USAGE, &format!("did you mean {id}?"));
    place.refused(&line, USAGE, "--in-advance");
    let said = place.ok(&format!("{line} --in-advance"));
    assert!(said.contains(&format!("revoked in advance: {near}\n")), "{said}");
    let said = place.ok(&format!("key revoke {id} --trust @/trust {keys}"));
    assert!(said.contains(&format!("revoked: planner {id}\n")) && said.contains("planner: no key is left"), "{said}");
    place.refused(&format!("key revoke {id} --trust @/trust {keys}"), USAGE, "is revoked already");
}

/// `--add *.pub` beside a host's own key: it is no matter of trust, and the keys that are count.
#[test]
fn a_hosts_key_is_left_out_of_trust() {
    let place = Place::empty();
    place.ok("host init --key @/host.key --public @/all --store @/store");
    place.ok("key new planner --key @/planner.key --public @/all");
    place.ok("key new root --key @/cold.key --public @/all");
    let files = std::fs::read_dir(place.at("all")).expect("a folder").map(|entry| entry.expect("a file").path());
    let files: Vec<String> = files.map(|file| file.display().to_string()).collect();
    let line = format!("key init --trust @/trust --keys @/keys --root-keys 1 --add {}", files.join(" "));
    let (said, warnings) = place.run(&line).expect("begun");
    assert!(warnings.contains("is left out: ") && warnings.contains("host's key"), "{warnings}");
    assert!(said.contains(&format!("trusted planner key {}\n", place.planner())), "{said}");
    assert!(said.contains("1 of 2 root keys sign a change"), "{said}");
    assert_eq!(place.status()["keys"].as_array().map(Vec::len), Some(3));
    place.refused("key init --trust @/t --keys @/k --add @/none.pub", USAGE, "none.pub");
    assert!(!place.at("k").exists(), "nothing is made before all is there");
}

/// A shell sorts 10.json before 2.json.
#[test]
fn versions_are_followed_in_their_order_or_from_a_folder() {
    let place = Place::new();
    (0..10).for_each(|days| drop(place.rotate(&format!("--days {}", days + 30))));
    place.ok("key init --trust @/there --from @/trust/10.json @/trust/11.json @/trust/1.json @/trust/2.json \
              @/trust/3.json @/trust/4.json @/trust/5.json @/trust/6.json @/trust/7.json @/trust/8.json @/trust/9.json"
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .as_str());
    place.ok("key init --trust @/folder --from @/trust");
    for trust in ["there", "folder"] {
        assert!(place.ok(&format!("key status --trust @/{trust}")).contains("version 11  "));
    }
}
