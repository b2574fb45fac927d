//! What is built from other people's crates: licences, duplicates, and crates that stay out.
//!
//! The graph of what is built for this platform is checked, not the lock file, which also lists crates of other
//! platforms and of features that are off. Duplicates that cannot be avoided are accepted, a line each with the
//! reason, in `ci/duplicates.txt`; a line that is no longer needed is a finding too.

use std::collections::BTreeMap;
use std::fs;

use crate::exit::Stop;
use crate::metadata::{self, Crate};
use crate::screen::println;
use crate::workspace::Workspace;

/// Accepted duplicates: `name reason`, `#` begins a comment.
const DUPLICATES: &str = "ci/duplicates.txt";

/// Licences under which RTT may be shipped as MIT OR Apache-2.0.
const PERMITTED: [&str; 13] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "Zlib",
    "0BSD",
    "Unicode-3.0",
    "CC0-1.0",
    "Unlicense",
];

/// Crates that stay out, and what to use instead.
const BANNED: [(&str, &str); 15] = [
    ("reqwest", "an HTTP client has no place in a lab; take polars-io with `parquet` instead of polars's own feature"),
    ("hyper", "an HTTP stack has no place in a lab; see reqwest"),
    ("object_store", "brings an HTTP client; see reqwest"),
    ("openssl", "links a system library; signatures are ed25519-dalek's"),
    ("openssl-sys", "links a system library; signatures are ed25519-dalek's"),
    ("native-tls", "links a system library; nothing here speaks TLS"),
    ("ring", "confusable with rtt-ring, and not needed: signatures are ed25519-dalek's"),
    ("tokio-uring", "no longer kept up; use io-uring on a thread of its own"),
    ("perf-event2", "its work went back into perf-event"),
    ("charming", "its pages load scripts from the network; reports draw their own SVG"),
    ("plotly", "its pages load scripts from the network; reports draw their own SVG"),
    ("cuengine", "AGPL-3.0"),
    ("cue-wasm", "has no licence"),
    ("egobox", "assumes measurements without noise; the tuner has its own model"),
    ("bincode", "no longer kept up (RUSTSEC-2025-0141)"),
];

/// Every finding about the crates that are built here, as lines to print.
///
/// # Errors
/// A stop when the graph or the list of accepted duplicates cannot be read.
pub fn check(workspace: &Workspace) -> Result<Vec<String>, Stop> {
    let crates = metadata::graph(workspace)?;
    let path = workspace.root.join(DUPLICATES);
    let accepted = fs::read_to_string(&path).map_err(|error| {
        Stop::unexpected(format!("{DUPLICATES}: cannot read: {error}; expected `name reason` lines"))
    })?;
    let findings = findings(&crates, &accepted);
    println!("{} crates of others are built here", crates.len());
    Ok(findings)
}

fn findings(crates: &[Crate], accepted: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for Crate { name, version, licence } in crates {
        match licence {
            None => findings.push(format!("{name} {version}: states no licence")),
            Some(licence) if !is_permitted(licence) => {
                findings.push(format!("{name} {version}: licence `{licence}` is not permitted"));
            }
            Some(_) => {}
        }
        if let Some((_, reason)) = BANNED.iter().find(|(banned, _)| banned == name) {
            findings.push(format!("{name} {version}: banned: {reason}; `cargo tree -i {name}` shows who wants it"));
        }
    }
    duplicates(crates, accepted, &mut findings);
    findings
}

/// Two versions of one crate are built twice, and their types do not fit together.
fn duplicates(crates: &[Crate], accepted: &str, findings: &mut Vec<String>) {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for each in crates {
        versions.entry(&each.name).or_default().push(&each.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let mut reasons = BTreeMap::new();
    for (index, line) in accepted.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.split_once(char::is_whitespace) {
            Some((name, reason)) => {
                reasons.insert(name, (index + 1, reason));
            }
            None if line.is_empty() => {}
            None => findings.push(format!("{DUPLICATES}:{}: `{line}` has no reason after its name", index + 1)),
        }
    }
    for (name, versions) in &versions {
        if !reasons.contains_key(name) {
            let versions = versions.join(", ");
            findings.push(format!(
                "{name}: built in versions {versions}; unite them (`cargo tree -d`), or accept it in {DUPLICATES} with the reason"
            ));
        }
    }
    for (name, (line, _)) in reasons.iter().filter(|(name, _)| !versions.contains_key(**name)) {
        findings.push(format!("{DUPLICATES}:{line}: {name} is built once: remove the line"));
    }
}

/// True when an SPDX expression can be met by permitted licences alone.
fn is_permitted(expression: &str) -> bool {
    // Before SPDX expressions, crates wrote a slash for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    // Words left over make no expression: then nothing is known, and nothing is permitted.
    either(&words, &mut at) == Some(true) && at == words.len()
}

fn either(words: &[&str], at: &mut usize) -> Option<bool> {
    let mut permitted = both(words, at)?;
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        permitted |= both(words, at)?;
    }
    Some(permitted)
}

fn both(words: &[&str], at: &mut usize) -> Option<bool> {
    let mut permitted = one(words, at)?;
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        permitted &= one(words, at)?;
    }
    Some(permitted)
}

fn one(words: &[&str], at: &mut usize) -> Option<bool> {
    let word = *words.get(*at)?;
    *at += 1;
    if word == "(" {
        let permitted = either(words, at)?;
        let closes = words.get(*at) == Some(&")");
        *at += 1;
        return closes.then_some(permitted);
    }
    if words.get(*at) == Some(&"WITH") {
        let exception = words.get(*at + 1)?;
        *at += 2;
        return Some(PERMITTED.contains(&format!("{word} WITH {exception}").as_str()) || PERMITTED.contains(&word));
    }
    Some(PERMITTED.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        for (expression, expected) in [
            ("MIT", true),
            ("MIT OR AGPL-3.0", true),
            ("MIT/GPL-2.0", true),
            ("MIT AND GPL-2.0", false),
            ("(MIT OR GPL-2.0) AND Unicode-3.0", true),
            ("MIT OR Apache-2.0 AND GPL-2.0", true),
            ("GPL-2.0 OR MPL-2.0", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-2.0 WITH Classpath-exception-2.0", false),
            ("(MIT", false),
            ("MIT MIT", false),
            ("MIT OR", false),
            ("", false),
        ] {
            assert_eq!(is_permitted(expression), expected, "{expression}");
        }
    }

    fn check_crates(crates: &[(&str, &str, &str)], accepted: &str, expected: &[&str]) {
        let crates: Vec<Crate> = crates
            .iter()
            .map(|(name, version, licence)| Crate {
                name: (*name).to_owned(),
                version: (*version).to_owned(),
                licence: (!licence.is_empty()).then(|| (*licence).to_owned()),
            })
            .collect();
        let got = findings(&crates, accepted);
        assert_eq!(got.len(), expected.len(), "{got:?}");
        assert!(got.iter().zip(expected).all(|(got, start)| got.starts_with(start)), "{got:?}");
    }

    #[test]
    fn licences_and_banned_crates_are_found() {
        check_crates(&[("a", "1.0.0", "MIT"), ("b", "1.0.0", "")], "", &["b 1.0.0: states no licence"]);
        check_crates(&[("a", "1.0.0", "GPL-3.0")], "", &["a 1.0.0: licence `GPL-3.0` is not permitted"]);
        check_crates(&[("reqwest", "0.12.0", "MIT")], "", &["reqwest 0.12.0: banned: an HTTP client"]);
    }

    #[test]
    fn a_duplicate_is_accepted_with_a_reason_and_while_it_lasts() {
        let twice = [("a", "1.0.0", "MIT"), ("a", "2.0.0", "MIT")];
        check_crates(&twice, "", &["a: built in versions 1.0.0, 2.0.0; unite them"]);
        check_crates(&twice, "# accepted\na b and c disagree # still\n", &[]);
        check_crates(&twice, "a\n", &["ci/duplicates.txt:1: `a` has no reason", "a: built in versions"]);
        check_crates(&twice[..1], "\na b\n", &["ci/duplicates.txt:2: a is built once: remove the line"]);
    }
}
