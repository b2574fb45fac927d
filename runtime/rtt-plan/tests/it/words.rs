//! Plans and their differences in words.

use crate::bench::{Bench, file_put};
use rtt_plan::{Before, Effect, Op, show};
use rtt_seal::Digest;

#[test]
fn a_plan_is_told_in_words() {
    let bench = Bench::new();
    let mut text = String::new();
    show(&bench.plan, &mut text).expect("text");
    for part in [
        &format!("plan       {}  applies changes\n", bench.plan.id()),
        "for host   0101",
        "build 0.1.0\n",
        "from 2027-01-15 08:00:00 UTC until 2027-01-15 09:00:00 UTC\n",
        "generation 0, state root",
        "number 1, under trust version 3\n",
        "machine    0123456789abcdef",
        "may touch  files:etc, rings:feed, under policy",
        "ops        2\n",
        "    0  files etc/app.conf\n         before  absent\n",
        ", mode 0644\n",
        "    1  rings feed\n",
        "knobs   ring_bytes=262144 batch=32",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let mut text = String::new();
    show(&Bench::with(vec![]).plan, &mut text).expect("text");
    assert!(text.ends_with("ops        none: it changes nothing\n"), "{text}");
}

#[test]
fn a_plan_is_compared_with_the_running_state() {
    let object = |content: &[u8]| Before::Object(Digest::of(content));
    let mut bench = Bench::with(vec![
        file_put("etc/kept", b"k", Before::Absent),
        file_put("etc/old", b"1", Before::Absent),
        file_put("etc/gone", b"g", Before::Absent),
    ]);
    bench.carry_out(false);
    let removed = Op::FileRemove { path: "etc/gone".parse().expect("a path"), before: Digest::of(b"g") };
    let ops = vec![
        file_put("etc/kept", b"k", object(b"k")),
        file_put("etc/old", b"2", object(b"1")),
        removed,
        file_put("etc/new", b"n", Before::Absent),
    ];
    bench.plan_again(ops);
    let fits = bench.plan.diff(&bench.state);
    let effects: Vec<_> = fits.changes.iter().map(|change| change.effect).collect();
    assert_eq!(effects, [Effect::Kept, Effect::Replaced, Effect::Removed, Effect::Created]);
    let short = |content: &[u8]| Digest::of(content).short();
    assert_eq!(
        fits.to_string(),
        format!(
            "files etc/kept: stays as it is, {}, mode 0644\nfiles etc/old: replaced, {} by {}, mode 0644\n\
             files etc/gone: removed, {}\nfiles etc/new: created, {}, mode 0644\nstate {} becomes {}\n",
            short(b"k"),
            short(b"1"),
            short(b"2"),
            short(b"g"),
            short(b"n"),
            bench.state.root().0.short(),
            bench.plan.target_root.0.short()
        )
    );
    // Somebody changed a file behind the plan's back.
    let by_hand = [file_put("etc/old", b"by hand", object(b"1"))];
    let drifted = bench.plan.diff(&bench.state.after(&by_hand).expect("a state"));
    assert_eq!(drifted.changes[1].effect, Effect::Conflict);
    let said = drifted.to_string();
    for part in [
        format!("files etc/old: CONFLICT, {} stands there, the plan expects {}", short(b"by hand"), short(b"1")),
        "it is stale, draft it again".to_owned(),
        "the plan cannot be carried out here: op 1 cannot be carried out: files etc/old: ".to_owned(),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
    assert!(Bench::with(vec![]).plan.diff(&bench.state).to_string().starts_with("the plan changes nothing\n"));
    let json = serde_json::to_string(&fits).expect("json");
    assert!(json.contains(r#""effect":"replaced""#) && json.contains(r#""conflict":null"#), "{json}");
}
