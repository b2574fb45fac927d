//! The profile: tuned knobs, the machine they are for, the evidence behind them, and until when they hold.
//!
//! A profile is canonical JSON: the fields in the order of the structs below, no white space, integers only, the seed as
//! a decimal string since it may exceed 2^53. It travels in a DSSE envelope of type [`Profile::PAYLOAD_TYPE`].
//!
//! PROFILE-3  A profile has one text: bytes that are not the canonical form of what they say are refused, signed or not.
//! PROFILE-4  Every interval encloses its estimate, every row names a scenario of the evidence, and a profile ends.
//!
//! Not here: whether a host may use it (`acceptance`), how it was found (`rtt-tuner`), who may sign it (`rtt-seal`).

use crate::{Fingerprint, Knobs, MachineId};
use rtt_seal::{Digest, Document};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What `tune` found for one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Version of this format: 1.
    pub schema: u32,
    /// The knobs to run with: the tuned ones where the outcome is [`Verdict::Better`], else the incumbent's.
    pub knobs: Knobs,
    /// The machine, and the conditions of the measurement.
    pub fingerprint: Fingerprint,
    /// What the confirmation said.
    pub outcome: Outcome,
    /// Typical p99 of both arms in nanoseconds, over all scenarios: what decided. It leaves interruptions by the host out.
    pub p99_ns: P99,
    /// p99 of both arms over whole runs, interruptions included; absent where nothing was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_p99_ns: Option<P99>,
    /// How long both arms took to recover from the faults of a run; absent without runs under faults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_ns: Option<P99>,
    /// Pairs of runs behind the outcome.
    pub pairs: u32,
    /// What was minimised, in words.
    pub objective: String,
    /// p99 of both arms in each scenario: the typical one when calm, that of whole runs under faults.
    pub rows: Vec<ScenarioRow>,
    /// What the figures can be checked against.
    pub evidence: Evidence,
    /// Build of the tool that tuned.
    pub build: String,
    /// When the profile was made, in seconds of Unix time.
    pub created_unix_s: u64,
    /// From when on it is refused, in seconds of Unix time.
    pub expires_unix_s: u64,
}

/// What a confirmation may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The tuned knobs beat the incumbent's.
    Better,
    /// They do not.
    NoBetter,
    /// Too noisy or too little time to say.
    Undecided,
}

/// The verdict and its sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// The same for people: the verdict's words, a colon, and why.
    pub sentence: String,
}

/// An estimate and its 95 % interval, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The estimate.
    pub estimate: u64,
    /// Lower end.
    pub low: u64,
    /// Upper end.
    pub high: u64,
}

/// p99 of both arms of the confirmation, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct P99 {
    /// The knobs in force before.
    pub incumbent: Interval,
    /// The knobs found.
    pub tuned: Interval,
}

/// Whether faults were injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// No fault.
    Calm,
    /// The scenario's fault schedule.
    Faulted,
}

/// p99 in one scenario under one condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioRow {
    /// Name of the scenario.
    pub scenario: String,
    /// Calm or faulted.
    pub condition: Condition,
    /// p99 of the incumbent in nanoseconds.
    pub incumbent_p99_ns: Interval,
    /// p99 of the tuned knobs in nanoseconds.
    pub tuned_p99_ns: Interval,
}

/// A scenario, by name and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioDigest {
    /// Name of the scenario.
    pub name: String,
    /// Digest of its locked text.
    pub digest: Digest,
}

/// What the figures can be checked against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The scenarios that were run, sorted by name.
    pub scenarios: Vec<ScenarioDigest>,
    /// Digest of the trial log, the whole file.
    pub trial_log: Digest,
    /// Digests of the fits behind the recommendation, in the order in which they were made.
    pub fits: Vec<Digest>,
    /// Seed of the run.
    #[serde(with = "rtt_seal::decimal")]
    pub seed: u64,
}

impl Profile {
    /// Version of the format that this build reads and writes.
    pub const SCHEMA: u32 = 1;
    /// How long a profile holds unless said otherwise, in seconds: 90 days.
    pub const LIFE_S: u64 = 90 * 86_400;
    /// How long a profile may hold at most, in seconds: 366 days. Machines, kernels and code drift in a year.
    pub const LIFE_S_MAX: u64 = 366 * 86_400;

    /// The machine that the profile is for.
    pub fn machine_id(&self) -> MachineId {
        self.fingerprint.machine.id()
    }

    /// The one text of this profile: what is signed.
    pub fn to_canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a profile is strings and integers")
    }

    /// PROFILE-4, and PROFILE-1 for the knobs. [`Document::check`] adds the canonical form.
    ///
    /// # Errors
    /// The first field that is wrong, what it holds, and what was expected.
    pub fn check_fields(&self) -> Result<(), String> {
        if self.schema != Profile::SCHEMA {
            return Err(format!("schema is {}, expected {}", self.schema, Profile::SCHEMA));
        }
        self.knobs.check().map_err(|error| error.to_string())?;
        let texts =
            [("outcome.sentence", &self.outcome.sentence), ("objective", &self.objective), ("build", &self.build)];
        texts.into_iter().try_for_each(|(field, text)| check_text(field, text, 1_000))?;
        let Outcome { verdict, sentence } = &self.outcome;
        if !sentence.starts_with(&format!("{}: ", verdict.words())) {
            let expected = verdict.words();
            return Err(format!(
                "outcome.sentence is {sentence:?}, expected `{expected}: ` and why, as its verdict is"
            ));
        }
        self.check_fingerprint()?;
        self.p99_ns.incumbent.check("p99_ns.incumbent")?;
        self.p99_ns.tuned.check("p99_ns.tuned")?;
        for (name, arms) in [("whole_p99_ns", &self.whole_p99_ns), ("recovery_ns", &self.recovery_ns)] {
            if let Some(P99 { incumbent, tuned }) = arms {
                incumbent.check(&format!("{name}.incumbent"))?;
                tuned.check(&format!("{name}.tuned"))?;
            }
        }
        self.check_evidence()?;
        let life = self.expires_unix_s.checked_sub(self.created_unix_s);
        match life {
            Some(1..=Profile::LIFE_S_MAX) => Ok(()),
            _ => Err(format!(
                "expires_unix_s is {}, expected 1..={} seconds after created_unix_s, which is {}",
                self.expires_unix_s,
                Profile::LIFE_S_MAX,
                self.created_unix_s
            )),
        }
    }

    /// The words of a fingerprint are shown on terminals, so none may drive one; some are empty on some machines.
    fn check_fingerprint(&self) -> Result<(), String> {
        let Fingerprint { machine, conditions } = &self.fingerprint;
        let words = [&machine.architecture, &machine.vendor, &machine.model_name, &machine.hypervisor];
        let kinds = machine.caches.iter().map(|cache| &cache.kind);
        let conditions =
            [&conditions.kernel, &conditions.microcode, &conditions.governor, &conditions.thp, &conditions.mitigations];
        let mut all = words.into_iter().chain(kinds).chain(conditions);
        match all.find(|text| text.len() > 8_192 || text.chars().any(char::is_control)) {
            Some(text) => {
                Err(format!("fingerprint holds {text:.80?}, expected at most 8192 bytes without control characters"))
            }
            None => Ok(()),
        }
    }

    fn check_evidence(&self) -> Result<(), String> {
        let names: Vec<&str> = self.evidence.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
        names.iter().try_for_each(|name| check_text("evidence.scenarios.name", name, 100))?;
        if names.is_empty() || !names.is_sorted_by(|a, b| a < b) {
            return Err(format!("evidence.scenarios are {names:?}, expected at least one, sorted by name, each once"));
        }
        let mut seen = BTreeSet::new();
        for (index, row) in self.rows.iter().enumerate() {
            if !names.contains(&row.scenario.as_str()) {
                return Err(format!("rows[{index}].scenario is {:?}, expected one of {names:?}", row.scenario));
            }
            if !seen.insert((&row.scenario, row.condition)) {
                let (scenario, condition) = (&row.scenario, row.condition);
                return Err(format!("rows[{index}]: {scenario} {condition:?} is there twice, expected once"));
            }
            row.incumbent_p99_ns.check(&format!("rows[{index}].incumbent_p99_ns"))?;
            row.tuned_p99_ns.check(&format!("rows[{index}].tuned_p99_ns"))?;
        }
        Ok(())
    }
}

impl Document for Profile {
    const PAYLOAD_TYPE: &'static str = "application/vnd.rtt.profile.v1+json";

    fn check(&self, payload: &[u8]) -> Result<(), String> {
        self.check_fields()?;
        let canonical = self.to_canonical();
        if canonical != payload {
            let at = canonical.iter().zip(payload).take_while(|(a, b)| a == b).count(); // PROFILE-3
            return Err(format!(
                "not in canonical form from byte {at} on: expected the fields in order, no white space"
            ));
        }
        Ok(())
    }
}

impl Interval {
    /// Largest value in nanoseconds: what every JSON reader takes for an exact integer. More than 100 days.
    const MAX_NS: u64 = (1 << 53) - 1;

    fn check(&self, field: &str) -> Result<(), String> {
        let Interval { estimate, low, high } = *self;
        if low <= estimate && estimate <= high && high <= Interval::MAX_NS {
            return Ok(()); // PROFILE-4
        }
        Err(format!("{field} is {low}..={high} around {estimate}, expected low <= estimate <= high <= 2^53 - 1 ns"))
    }
}

impl Verdict {
    /// The verdict as the document spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::NoBetter => "no_better",
            Verdict::Undecided => "undecided",
        }
    }

    /// The verdict as a sentence begins with it.
    pub const fn words(self) -> &'static str {
        match self {
            Verdict::NoBetter => "no better",
            Verdict::Better | Verdict::Undecided => self.name(),
        }
    }
}

impl Condition {
    /// The condition as the document spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Condition::Calm => "calm",
            Condition::Faulted => "faulted",
        }
    }
}

fn check_text(field: &str, text: &str, limit: usize) -> Result<(), String> {
    if text.is_empty() || text.len() > limit || text.chars().any(char::is_control) {
        return Err(format!("{field} has {} bytes, expected 1..={limit} without control characters", text.len()));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Cache, Conditions, Machine, MemoryNode};
    use rtt_seal::strict_json::JsonError;
    use rtt_seal::{KeyTextError, Role, SealError, Sealed, SigningKey, TrustedKeys, Verified, VerifyingKey, seal};
    use rtt_units::Nanos;

    pub(crate) fn fingerprint() -> Fingerprint {
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
                caches: vec![Cache { level: 3, kind: "unified".into(), bytes: 32 << 20, shared_by: 2, count: 1 }],
                numa_nodes: vec![MemoryNode { cpus: 2, distances: vec![10] }],
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

    pub(crate) fn profile() -> Profile {
        let interval = |estimate| Interval { estimate, low: estimate - 10, high: estimate + 10 };
        let row = |condition| ScenarioRow {
            scenario: "steady".into(),
            condition,
            incumbent_p99_ns: interval(900),
            tuned_p99_ns: interval(500),
        };
        Profile {
            schema: Profile::SCHEMA,
            knobs: Knobs::default_for(Nanos::from_micros(60)),
            fingerprint: fingerprint(),
            outcome: Outcome { verdict: Verdict::Better, sentence: "better: tuned beats the incumbent".into() },
            p99_ns: P99 { incumbent: interval(1_000), tuned: interval(600) },
            whole_p99_ns: Some(P99 { incumbent: interval(4_000), tuned: interval(3_000) }),
            recovery_ns: None,
            pairs: 20,
            objective: "weighted log p99".into(),
            rows: vec![row(Condition::Calm), row(Condition::Faulted)],
            evidence: Evidence {
                scenarios: vec![ScenarioDigest { name: "steady".into(), digest: Digest::of(b"steady") }],
                trial_log: Digest::of(b"log"),
                fits: vec![Digest::of(b"fit")],
                seed: u64::MAX,
            },
            build: "rtt 0.1.0".into(),
            created_unix_s: 1_800_000_000,
            expires_unix_s: 1_800_000_000 + Profile::LIFE_S,
        }
    }

    fn key() -> SigningKey {
        SigningKey::generate(Role::Profile).expect("random bytes")
    }

    fn verify(bytes: Vec<u8>, key: &SigningKey) -> Result<Verified<Profile>, SealError> {
        Sealed::from_bytes(bytes).verify(&TrustedKeys::new([key.public().clone()]).expect("keys"))
    }

    /// Signs whatever bytes it is given, as a faulty tool with a good key would.
    fn signed(payload: &str, key: &SigningKey) -> Vec<u8> {
        seal(payload.as_bytes(), Profile::PAYLOAD_TYPE, key).expect("sealed")
    }

    #[test]
    fn a_profile_survives_the_journey() {
        let key = key();
        let sealed = Sealed::<Profile>::sign(&profile().to_canonical(), &key).expect("signed");
        let verified = verify(sealed.as_bytes().to_vec(), &key).expect("verified");
        assert_eq!(*verified, profile());
        assert_eq!(verified.digest(), Digest::of(&profile().to_canonical()));
        let text = String::from_utf8(profile().to_canonical()).expect("text");
        assert!(text.contains(r#""seed":"18446744073709551615""#), "{text}");
    }

    /// PROFILE-3: the same values in another text are refused though the signature fits.
    #[test]
    fn another_text_of_the_same_profile_is_refused() {
        let key = key();
        let text = String::from_utf8(profile().to_canonical()).expect("text");
        let value: serde_json::Value = serde_json::from_str(&text).expect("json");
        for (other, part) in [
            (format!("{text}\n"), "not in canonical form"),
            (text.replacen(':', ": ", 1), "not in canonical form from byte 10 on"),
            (text.replacen("steady", "ste\\u0061dy", 1), "not in canonical form"),
            (value.to_string(), "not in canonical form"), // Another order of the fields.
        ] {
            let error = verify(signed(&other, &key), &key).expect_err(&other).to_string();
            assert!(error.contains(part), "{error}");
        }
        // An array of the fields is another text of the same struct.
        let batch = text.replacen(r#"{"estimate":1000,"low":990,"high":1010}"#, "[1000,990,1010]", 1);
        assert_ne!(batch, text);
        assert!(verify(signed(&batch, &key), &key).is_err());
        assert!(verify(signed(&text, &key), &key).is_ok());
    }

    type Change = (fn(&mut Profile), &'static str);

    /// PROFILE-4, and each other refusal of the document, behind a signature that fits.
    #[test]
    fn a_signed_document_that_is_wrong_is_refused_with_its_own_words() {
        let changes: [Change; 16] = [
            (|p| p.schema = 2, "schema is 2, expected 1"),
            (|p| p.knobs.batch = 0, "knob batch is 0: expected 1..=256"),
            (|p| p.p99_ns.tuned.low = 601, "p99_ns.tuned is 601..=610 around 600"),
            (|p| p.p99_ns.incumbent.high = 1 << 53, "2^53 - 1"),
            (
                |p| p.whole_p99_ns = Some(P99 { tuned: Interval { low: 601, ..p.p99_ns.tuned }, ..p.p99_ns }),
                "whole_p99_ns.tuned",
            ),
            (|p| p.rows[1].tuned_p99_ns.high = 1, "rows[1].tuned_p99_ns"),
            (|p| p.rows[0].scenario = "other".into(), r#"rows[0].scenario is "other""#),
            (|p| p.rows[1].condition = Condition::Calm, "steady Calm is there twice"),
            (|p| p.evidence.scenarios.clear(), "expected at least one"),
            (|p| p.evidence.scenarios.push(p.evidence.scenarios[0].clone()), "each once"),
            (|p| p.expires_unix_s = p.created_unix_s, "expires_unix_s is 1800000000, expected 1..="),
            (|p| p.expires_unix_s += Profile::LIFE_S_MAX, "seconds after created_unix_s"),
            (|p| p.fingerprint.machine.vendor.push('\r'), r#"fingerprint holds "V\r""#),
            (|p| p.outcome.sentence = "\u{1b}[2J".into(), "without control characters"),
            (|p| p.outcome.verdict = Verdict::NoBetter, "expected `no better: ` and why"),
            (|p| p.outcome.sentence = "no better: tuned".into(), "expected `better: ` and why"),
        ];
        let key = key();
        for (change, part) in changes {
            let mut wrong = profile();
            change(&mut wrong);
            let text = String::from_utf8(wrong.to_canonical()).expect("text");
            let error = verify(signed(&text, &key), &key).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
            assert!(Sealed::<Profile>::sign(text.as_bytes(), &key).is_err(), "and is not signed: {part}");
        }
    }

    #[test]
    fn json_that_is_no_profile_is_refused_with_its_own_words() {
        let key = key();
        let text = String::from_utf8(profile().to_canonical()).expect("text");
        let refusal = |from: &str, to: &str| {
            let wrong = text.replacen(from, to, 1);
            assert_ne!(wrong, text, "{from}");
            match verify(signed(&wrong, &key), &key).expect_err(to) {
                SealError::Payload(error) => error,
                other => panic!("{to}: {other}"),
            }
        };
        let duplicate = refusal(r#""batch":32"#, r#""batch":32,"batch":64"#);
        assert!(matches!(&duplicate, JsonError::DuplicateKey { key, .. } if key == "batch"), "{duplicate}");
        let unknown = refusal(r#""batch":32"#, r#""batch":32,"burst":1"#);
        assert!(matches!(&unknown, JsonError::UnknownField { name, .. } if name == "burst"), "{unknown}");
        let float = refusal(r#""pairs":20"#, r#""pairs":20.0"#).to_string();
        assert!(float.contains("(field `pairs`): invalid type: floating point"), "{float}");
        let seed = refusal("18446744073709551615", "007").to_string();
        assert!(seed.contains("(field `evidence.seed`)") && seed.contains("without leading zeros"), "{seed}");
        let number = refusal(r#""18446744073709551615""#, "7").to_string();
        assert!(number.contains("(field `evidence.seed`)"), "{number}");
        let missing = refusal(r#","pairs":20"#, "").to_string();
        assert!(missing.contains("missing field `pairs`"), "{missing}");
    }

    #[test]
    fn signatures_that_do_not_hold_are_refused_with_their_own_words() {
        let (key, stranger) = (key(), key());
        let bytes = signed(std::str::from_utf8(&profile().to_canonical()).expect("text"), &key);
        assert!(verify(bytes.clone(), &key).is_ok());
        assert!(matches!(verify(bytes.clone(), &stranger), Err(SealError::NoTrustedKey { .. })), "wrong key");
        // A changed byte in the middle of the payload.
        let mut changed = bytes.clone();
        let middle = changed.len() / 2;
        changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
        assert!(matches!(verify(changed, &key), Err(SealError::Signature { .. })), "changed byte");
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(
            matches!(VerifyingKey::from_bytes(&identity, Role::Profile), Err(KeyTextError::Weak { .. })),
            "weak key"
        );
    }
}
