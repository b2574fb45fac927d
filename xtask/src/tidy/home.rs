//! Where things stand: the header first, tests last, `Serialize` in the crates whose structs are a format.

use super::Finding;
use super::source::{Source, is_test_attribute, words};

/// Crates whose structs are the format, and carry its version.
const DOCUMENT_CRATES: [&str; 6] =
    ["rtt-plan", "rtt-profile", "rtt-scenario", "rtt-measure", "rtt-seal", "rtt-connector"];
/// Files of other crates that hold the types of `--json` output and of protocols.
const OUTPUT_FILES: [&str; 3] = ["output.rs", "protocol.rs", "control.rs"];

/// Finds files without a header, and code after the module of tests.
pub fn check_header(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let mut push = |line: usize, message: &str| {
        let message = message.to_owned();
        findings.push(Finding { file: source.path.to_owned(), line, rule: "header", message });
    };
    if !source.lines.first().is_some_and(|line| line.starts_with("//!")) {
        push(1, "begins without `//!`: say what the file is for, its invariants, and what it leaves to others");
    }
    if let Some(line) = code_after_tests(&source.code) {
        push(line, "code after `mod tests`: the module of tests stands last");
    }
}

/// The first line (from 1) of code that follows the module of tests; other such modules may.
fn code_after_tests(code: &[String]) -> Option<usize> {
    let is_tests = |line: &String| line.starts_with("mod tests;") || line.starts_with("mod tests {");
    let opens = (1..code.len()).find(|index| {
        is_tests(&code[*index])
            && code[..*index].iter().rev().take_while(|line| line.starts_with('#')).any(|line| is_test_attribute(line))
    })?;
    let after = if code[opens].starts_with("mod tests;") {
        opens + 1
    } else {
        // rustfmt closes a module in the first column.
        opens + 1 + code[opens..].iter().position(|line| line.starts_with('}'))?
    };
    let may_follow = |line: &str| {
        line.trim().is_empty() || line.starts_with('#') || (line.starts_with("mod ") && line.ends_with(';'))
    };
    (after..code.len()).find(|index| !may_follow(&code[*index])).map(|index| index + 1)
}

/// Finds `Serialize` derived or implemented where no format is defined.
pub fn check_serialize(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let name = source.name();
    if DOCUMENT_CRATES.contains(&source.package()) || name.contains("json") || OUTPUT_FILES.contains(&name) {
        return;
    }
    let first_test_line = source.first_test_line();
    for (index, code) in source.code.iter().enumerate().take(first_test_line - 1) {
        // As a bound it asks for a format of others; imported it does nothing yet.
        let asks = [": Serialize", "+ Serialize", "impl Serialize"].iter().any(|part| code.contains(part));
        let bound = asks && !code.contains("Serialize for");
        if words(code).any(|word| word == "Serialize") && !bound && !code.trim_start().starts_with("use ") {
            let message = "`Serialize` outside of the document crates: a format belongs to one of them, \
                           `--json` output to `output.rs`"
                .to_owned();
            findings.push(Finding { file: source.path.to_owned(), line: index + 1, rule: "serialize", message });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(check: fn(&Source<'_>, &mut Vec<Finding>), path: &str, text: &str) -> Vec<usize> {
        let mut findings = Vec::new();
        check(&Source::new(path, text), &mut findings);
        findings.iter().map(|finding| finding.line).collect()
    }

    fn header(text: &str, expected: &[usize]) {
        assert_eq!(lines(check_header, "a/src/a.rs", text), expected, "{text}");
    }

    #[test]
    fn a_file_begins_with_its_header() {
        header("//! A.\n", &[]);
        header("use a;\n", &[1]);
        header("", &[1]);
    }

    #[test]
    fn tests_stand_last() {
        header("//! A.\n#[cfg(test)]\nmod tests;\n", &[]);
        header("//! A.\n#[cfg(test)]\nmod tests {\n    fn a() {}\n}\n", &[]);
        header("//! A.\n#[cfg(test)]\nmod tests;\n#[cfg(all(test, loom))]\nmod loom_tests;\n", &[]);
        header("//! A.\n#[cfg(test)]\nmod tests;\n\nfn f() {}\n", &[5]);
        header("//! A.\n#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests {\n}\nfn f() {}\n", &[6]);
        header("//! A.\nmod a;\nmod tests;\nfn f() {}\n", &[]);
    }

    fn serialize(path: &str, text: &str, expected: &[usize]) {
        assert_eq!(lines(check_serialize, path, text), expected, "{path}: {text}");
    }

    #[test]
    fn formats_live_in_document_crates_and_output_files() {
        let text = "//! A.\nuse serde::Serialize;\n#[derive(Debug, Serialize)]\nstruct A;\n";
        serialize("tuner/rtt-tuner/src/fit.rs", text, &[3]);
        serialize("tuner/rtt-tuner/src/output.rs", text, &[]);
        serialize("tuner/rtt-tuner/src/json_lines.rs", text, &[]);
        serialize("profiles/rtt-profile/src/knobs.rs", text, &[]);
        serialize(
            "tuner/rtt-tuner/src/fit.rs",
            "fn f<T: Serialize>(t: T, u: &impl Serialize) {}\n#[derive(Deserialize)]\n",
            &[],
        );
        serialize("tuner/rtt-tuner/src/fit.rs", "impl Serialize for A {}\n", &[1]);
        serialize("tuner/rtt-tuner/src/fit.rs", "#[cfg(test)]\nmod tests {\n#[derive(Serialize)]\n}\n", &[]);
    }
}
