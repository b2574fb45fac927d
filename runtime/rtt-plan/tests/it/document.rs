//! The plan as a document: one text, whole, strict.

use crate::bench::{Bench, MACHINE, NOW, file_put};
use rtt_plan::{Before, HostState, Op, Plan, PlanId, StateRoot};
use rtt_seal::strict_json::JsonError;
use rtt_seal::{Digest, SealError, Sealed};

fn text(plan: &Plan) -> String {
    String::from_utf8(plan.to_canonical()).expect("text")
}

#[test]
fn a_plan_survives_the_journey() {
    let mut bench = Bench::new();
    bench.plan.sequence = u64::MAX;
    let verified = bench.verified();
    assert_eq!(*verified, bench.plan);
    assert_eq!(bench.plan.id(), PlanId(verified.digest()));
    assert_eq!(verified.signers(), [bench.key.id()]);
    let text = text(&bench.plan);
    for part in [
        r#""sequence":"18446744073709551615""#,
        r#""ops":[{"file_put":{"path":"etc/app.conf","object":""#,
        r#""mode":"0644","before":"absent"}},{"ring_put":{"name":"feed","knobs":{"ring_bytes":262144"#,
        r#""capabilities":["files:etc","rings:feed"]"#,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains(&bench.plan.id().to_string()), "the id is no field");
}

/// PLAN-6: the same values in another text are refused though the signature fits.
#[test]
fn plan_6_another_text_of_the_same_plan_is_refused() {
    let bench = Bench::new();
    let good = text(&bench.plan);
    assert!(bench.blindly(good.as_bytes()).is_ok());
    let value: serde_json::Value = serde_json::from_str(&good).expect("json");
    for (other, part) in [
        (format!("{good}\n"), "not in canonical form"),
        (format!(" {good}"), "not in canonical form from byte 0 on"),
        (good.replacen(':', ": ", 1), "not in canonical form from byte 11 on"),
        (good.replacen("app", "\\u0061pp", 1), "not in canonical form"),
        (value.to_string(), "not in canonical form"), // Another order of the fields.
        (good.replacen(r#","machine":"#, r#" ,"machine":"#, 1), "not in canonical form"),
        (
            text(&Bench::with(vec![]).plan).replacen(r#""evidence""#, r#""machine":null,"evidence""#, 1),
            "not in canonical form",
        ),
        (good.replacen(r#"{"generation":"0""#, r#"["0""#, 1).replacen(r#"},"ops""#, r#"],"ops""#, 1), "malformed"),
    ] {
        assert_ne!(other, good);
        let error = bench.blindly(other.as_bytes()).expect_err(&other).to_string();
        assert!(error.contains(part), "{error}");
        assert!(Sealed::<Plan>::sign(other.as_bytes(), &bench.key).is_err(), "and is not signed");
    }
}

type Change = (fn(&mut Plan), &'static str);

/// PLAN-7, behind a signature that fits.
#[test]
fn plan_7_a_plan_that_does_not_hold_together_is_refused() {
    let changes: [Change; 19] = [
        (|p| p.version = 2, "version is 2, expected 1"),
        (|p| p.sequence = 0, "sequence is 0"),
        (|p| p.trust_root_version = 0, "trust_root_version is 0"),
        (|p| p.expires_unix_s = p.not_before_unix_s, "expires_unix_s is 1800000000, expected 1..="),
        (|p| p.expires_unix_s = NOW + Plan::LIFE_S_MAX + 1, "seconds after not_before_unix_s"),
        (|p| (p.not_before_unix_s, p.expires_unix_s) = ((1 << 53) - 9, 1 << 53), "below 2^53"),
        (|p| p.ops.push(p.ops[0].clone()), "ops[2] changes files etc/app.conf again"),
        (|p| p.ops.push(file_put("etc/app.conf", b"2", Before::Object(Digest::of(b"1")))), "expected each item once"),
        (|p| p.capabilities.truncate(1), "ops[1] changes rings feed, which none of the plan's capabilities covers"),
        (|p| p.capabilities[0] = "files:etc/app".parse().expect("a capability"), "ops[0] changes files etc/app.conf"),
        (|p| p.capabilities.swap(0, 1), "capabilities are 2, expected"),
        (|p| p.capabilities.push(p.capabilities[1].clone()), "sorted, each once"),
        (|p| p.evidence = vec![Digest([1; 32]); 2], "evidence are 2"),
        (|p| p.evidence = (0..65).map(|n| Digest([n; 32])).collect(), "evidence are 65, expected at most 64"),
        (|p| p.machine = None, "machine is missing"),
        (|p| p.machine = Some(MACHINE.to_uppercase()), "16 lower-case hexadecimal digits"),
        (|p| p.ops.truncate(1), "machine is there, expected none: no op carries knobs"),
        (|p| (p.ops, p.machine) = (vec![], None), "since there is no op"),
        (
            |p| {
                let Op::RingPut { knobs, .. } = &mut p.ops[1] else { panic!("a ring") };
                knobs.batch = 0;
            },
            "ops[1]: knob batch is 0",
        ),
    ];
    for (change, part) in changes {
        let mut bench = Bench::new();
        change(&mut bench.plan);
        let payload = bench.plan.to_canonical();
        let error = bench.blindly(&payload).expect_err(part).to_string();
        assert!(error.contains(part), "{part}: {error}");
        assert!(Sealed::<Plan>::sign(&payload, &bench.key).is_err(), "and is not signed: {part}");
    }
    let many = |count: usize| (0..count).map(|n| file_put(&format!("etc/{n}"), b"", Before::Absent)).collect();
    let bench = Bench::with(many(Plan::OPS_MAX));
    assert!(bench.blindly(&bench.plan.to_canonical()).is_ok());
    let bench = Bench::with(many(Plan::OPS_MAX + 1));
    let error = bench.blindly(&bench.plan.to_canonical()).expect_err("too many").to_string();
    assert!(error.contains("ops are 4097, expected at most 4096") || error.contains("malformed"), "{error}");
}

#[test]
fn json_that_is_no_plan_is_refused_with_its_own_words() {
    let bench = Bench::new();
    let good = text(&bench.plan);
    let refusal = |from: &str, to: &str| {
        let wrong = good.replacen(from, to, 1);
        assert_ne!(wrong, good, "{from}");
        match bench.blindly(wrong.as_bytes()).expect_err(to) {
            SealError::Payload(error) => error,
            other => panic!("{to}: {other}"),
        }
    };
    let duplicate = refusal(r#""sequence":"1""#, r#""sequence":"1","sequence":"2""#);
    assert!(matches!(&duplicate, JsonError::DuplicateKey { key, .. } if key == "sequence"), "{duplicate}");
    let hidden = refusal(r#""path":"etc/app.conf""#, r#""path":"etc/app.conf","p\u0061th":"etc/x""#);
    assert!(matches!(&hidden, JsonError::DuplicateKey { key, .. } if key == "path"), "{hidden}");
    let unknown = refusal(r#""version":1"#, r#""version":1,"force":true"#);
    assert!(matches!(&unknown, JsonError::UnknownField { name, .. } if name == "force"), "{unknown}");
    let unknown = refusal(r#""mode":"0644""#, r#""mode":"0644","owner":0"#);
    assert!(matches!(&unknown, JsonError::UnknownField { name, .. } if name == "owner"), "{unknown}");
    for (from, to, part) in [
        (r#""sequence":"1""#, r#""sequence":9007199254740993"#, "(field `sequence`): invalid type: integer"),
        (r#""sequence":"1""#, r#""sequence":1"#, "(field `sequence`)"),
        (r#""sequence":"1""#, r#""sequence":"01""#, "without leading zeros"),
        (r#""sequence":"1""#, r#""sequence":"18446744073709551616""#, "below 2^64"),
        (r#""generation":"0""#, r#""generation":0.0"#, "(field `base.generation`)"),
        (r#""version":1"#, r#""version":1.0"#, "(field `version`): invalid type: floating point"),
        (r#""expires_unix_s":1800003600"#, r#""expires_unix_s":18446744073709551616"#, "(field `expires_unix_s`)"),
        (r#""kind":"apply""#, r#""kind":"aply""#, "did you mean `apply`?"),
        (r#""file_put""#, r#""file_putt""#, "did you mean `file_put`?"),
        (r#""etc/app.conf""#, r#""../app.conf""#, "(field `ops[0].file_put.path`): path"),
        (r#""etc/app.conf""#, r#""/etc/shadow""#, "(field `ops[0].file_put.path`): path"),
        (r#""mode":"0644""#, r#""mode":"4755""#, "(field `ops[0].file_put.mode`): mode"),
        (r#""mode":"0644""#, r#""mode":420"#, "(field `ops[0].file_put.mode`)"),
        (r#""before":"absent""#, r#""before":null"#, "(field `ops[0].file_put.before`)"),
        (r#""files:etc""#, r#""disk:*""#, "(field `capabilities[0]`): capability"),
        (r#""runtime_build":"0.1.0""#, r#""runtime_build":"0.1""#, "(field `runtime_build`): build"),
        (r#""kind":"apply","#, "", "missing field `kind`"),
    ] {
        let error = refusal(from, to).to_string();
        assert!(error.contains(part), "{to}: {error}");
    }
}

/// Limits of size and depth are those of the strict reader, behind a signature that fits.
#[test]
fn a_plan_too_large_or_too_deep_is_refused() {
    let bench = Bench::new();
    let good = text(&bench.plan);
    let padded = |bytes: usize| good.replacen(r#""version""#, &format!("{}\"version\"", " ".repeat(bytes)), 1);
    let limit = rtt_seal::strict_json::DEFAULT_LIMIT;
    let large = bench.blindly(padded(limit - good.len() + 1).as_bytes()).expect_err("too large");
    assert!(
        matches!(&large, SealError::Payload(JsonError::TooLarge { bytes, .. }) if *bytes == limit + 1),
        "{large:?}"
    );
    let fits = bench.blindly(padded(limit - good.len()).as_bytes()).expect_err("white space").to_string();
    assert!(fits.contains("not in canonical form"), "one byte less is read: {fits}");
    let nested = |levels: usize| {
        good.replacen("[]", "[", 1).replacen(r#""evidence":["#, &format!(r#""evidence":[{}"#, "[".repeat(levels)), 1)
    };
    for levels in [65, 500_000] {
        let deep = bench.blindly(nested(levels).as_bytes()).expect_err("too deep");
        assert!(matches!(deep, SealError::Payload(JsonError::TooDeep { .. })), "{deep:?}");
    }
    let envelope = Sealed::<Plan>::from_bytes(vec![b' '; (2 << 20) + 1]).verify(&bench.trust()).expect_err("too large");
    assert!(matches!(envelope, SealError::Envelope(_)), "{envelope:?}");
}

/// The state that a plan leads to is the one whose root it states.
#[test]
fn a_plan_whose_ops_lead_elsewhere_has_no_effect() {
    let mut bench = Bench::new();
    assert_eq!(bench.plan.effect(&bench.state).expect("an effect").root(), bench.plan.target_root);
    bench.plan.target_root = StateRoot(Digest([9; 32]));
    let error = bench.plan.effect(&bench.state).expect_err("elsewhere").to_string();
    assert!(error.contains("but the plan states 0909"), "{error}");
    let mut drifted = HostState::empty();
    let drift = [file_put("etc/app.conf", b"by hand", Before::Absent)];
    drifted = drifted.after(&drift).expect("a state");
    let error = rtt_seal::in_full(&Bench::new().plan.effect(&drifted).expect_err("a conflict"));
    assert!(error.contains("op 0 cannot be carried out: files etc/app.conf: "), "{error}");
}
