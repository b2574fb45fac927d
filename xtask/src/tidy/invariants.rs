//! Each invariant is written once, checked once and tested once.
//!
//! `spec/invariants.md` is a table with a row per id:
//! `| RING-1 | statement | runtime/rtt-ring/src/layout.rs | runtime/rtt-ring/src/layout.rs: name_of_the_test |`.
//! The third column names the file whose code checks it, the fourth the file and the `#[test]` that tests it. Both name
//! the id (`RING-1`, or `ring_1` in a name): the file in code or a comment outside of header and tests, the test in its
//! comment, its name or its body. A header defines an id by a line that begins with it: `//! RING-1  statement`.

use std::collections::BTreeMap;

use super::Finding;
use super::source::{Function, Source};
use super::tree::Tree;

const TABLE: &str = "spec/invariants.md";
/// Prefixes of standards, specifications and advisories that look like an id.
const FOREIGN: [&str; 8] = ["RTT", "UTF", "SHA", "ISO", "RFC", "CVE", "IEEE", "BLAKE"];

struct Row<'a> {
    line: usize,
    id: &'a str,
    checked: &'a str,
    tested: &'a str,
}

/// Finds ids without a check, without a test, without a row, or with two.
pub fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let Some(table) = tree.text(TABLE) else {
        push(findings, TABLE, 1, "is missing: it holds a row for each invariant".to_owned());
        return;
    };
    let mut first_rows = BTreeMap::new();
    for (index, text) in table.lines().enumerate() {
        match row(index + 1, text) {
            None => {}
            Some(Err(message)) => push(findings, TABLE, index + 1, message),
            Some(Ok(row)) => {
                if let Some(first) = first_rows.insert(row.id, row.line) {
                    push(findings, TABLE, row.line, format!("{} has a row already, in line {first}", row.id));
                }
                check_row(tree, &row, findings);
            }
        }
    }
    for source in tree.sources() {
        for (index, line) in source.lines.iter().enumerate() {
            if let Some(id) = defined_id(line).filter(|id| !first_rows.contains_key(id)) {
                push(findings, source.path, index + 1, format!("{id} has no row in {TABLE}"));
            }
        }
    }
}

fn push(findings: &mut Vec<Finding>, file: &str, line: usize, message: String) {
    findings.push(Finding { file: file.to_owned(), line, rule: "invariants", message });
}

/// Reads a row; `None` for lines that are no row of an invariant.
fn row(line: usize, text: &str) -> Option<Result<Row<'_>, String>> {
    let cells: Vec<&str> = text.trim().strip_prefix('|')?.trim_end_matches('|').split('|').map(str::trim).collect();
    let id = cells.first()?.trim_matches(['`', '*']);
    if leading_id(id) != Some(id) {
        return None;
    }
    // A statement may contain a bar inside of code, so the last two cells are counted from the end.
    Some(match cells[..] {
        [_, statement, .., checked, tested] if ![statement, checked, tested].contains(&"") => {
            Ok(Row { line, id, checked, tested })
        }
        _ => Err(format!("{id}: expected `| id | statement | file that checks | file: test |`")),
    })
}

fn check_row(tree: &Tree, row: &Row<'_>, findings: &mut Vec<Finding>) {
    let mut push = |message: String| push(findings, TABLE, row.line, format!("{}: {message}", row.id));
    let (checked, _) = file_and_rest(row.checked);
    match tree.text(checked) {
        None => push(format!("checked in `{checked}`, which does not exist")),
        Some(text) => {
            let source = Source::new(checked, text);
            let end = source.first_test_line() - 1;
            // A file of tests alone may be the check of what only a model shows: then all of it counts.
            let end = if end == 0 { source.lines.len() } else { end.min(source.lines.len()) };
            if !source.lines[..end].iter().any(|line| !line.starts_with("//!") && contains_id(line, row.id)) {
                push(format!("`{checked}` has no check that names it (outside of header and tests)"));
            }
        }
    }
    let (tested, rest) = file_and_rest(row.tested);
    let Some(text) = tree.text(tested) else {
        push(format!("tested in `{tested}`, which does not exist"));
        return;
    };
    let Some(test) = rest.split_whitespace().next() else {
        push("name the test after its file: `file: test`".to_owned());
        return;
    };
    let name = test.rsplit("::").next().unwrap_or(test);
    if let Some(message) = untested(&Source::new(tested, text), name, row.id) {
        push(format!("`{tested}` {message}"));
    }
}

/// Why the function `name` is no test of an invariant, if it is none.
fn untested(source: &Source<'_>, name: &str, id: &str) -> Option<String> {
    let mut named = source.functions();
    named.retain(|function| function.name == name);
    let tests: Vec<_> = named.iter().filter(|function| function.is_test).collect();
    let names_id = |test: &&Function| source.lines[test.head - 1..test.last].iter().any(|line| contains_id(line, id));
    if named.is_empty() {
        Some(format!("has no test `{name}`"))
    } else if tests.is_empty() {
        Some(format!("has a function `{name}` that is no `#[test]`"))
    } else if !tests.into_iter().any(|test| names_id(&test)) {
        Some(format!("has a test `{name}` that does not name it (in its comment, its name or its body)"))
    } else {
        None
    }
}

/// Splits "`path`: rest" into path and rest.
fn file_and_rest(cell: &str) -> (&str, &str) {
    let cell = cell.trim_start_matches('`');
    let end = cell.find(|c: char| !(c.is_ascii_alphanumeric() || "._-/".contains(c))).unwrap_or(cell.len());
    (&cell[..end], cell[end..].trim_matches(|c: char| "`: ,".contains(c)))
}

/// The id that a header line defines.
fn defined_id(line: &str) -> Option<&str> {
    let text = line.strip_prefix("//!")?.trim_start().trim_start_matches(['-', '*', '`']).trim_start();
    let id = leading_id(text)?;
    let foreign = FOREIGN.iter().any(|prefix| id.split('-').next() == Some(prefix));
    let ends = text[id.len()..].starts_with([' ', ':', '`', '*', '.', ',', '(']) || text.len() == id.len();
    (ends && !foreign).then_some(id)
}

/// An id such as `RING-1` or `TWO-PHASE-12` at the start of a text.
fn leading_id(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-')).unwrap_or(text.len());
    let id = &text[..end];
    let (name, number) = id.rsplit_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = name.len() >= 2 && name.starts_with(|c: char| c.is_ascii_uppercase());
    (is_number && is_name).then_some(id)
}

/// True when a line contains the id as a whole, or in the form that a function's name can have.
fn contains_id(line: &str, id: &str) -> bool {
    let name = id.to_lowercase().replace('-', "_");
    let whole = |id: &str| {
        line.match_indices(id).any(|(at, _)| {
            let starts = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '-');
            starts && !line[at + id.len()..].starts_with(|c: char| c.is_ascii_digit())
        })
    };
    whole(id) || whole(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "//! A ring.\n//!\n//! RING-1  holds.\nfn f() {} // RING-1\n\
                        #[cfg(test)]\nmod tests {\n    #[test]\n    fn holds_ring_1() {}\n}\n";

    fn check_table(table: &str, code: &str, expected: &[&str]) {
        let mut findings = Vec::new();
        check(&Tree::of(&[(TABLE, table), ("a/src/a.rs", code)]), &mut findings);
        let got: Vec<String> =
            findings.iter().map(|each| format!("{}:{}: {}", each.file, each.line, each.message)).collect();
        assert_eq!(got, expected, "{table}\n{code}");
    }

    #[test]
    fn a_row_with_check_and_test_passes() {
        let heading = "# Invariants\n| id | statement | checked | tested |\n|--|--|--|--|\n";
        check_table(&format!("{heading}| RING-1 | `a || b` | a/src/a.rs | a/src/a.rs: holds_ring_1 |\n"), CODE, &[]);
        check_table("| `RING-1` | x | `a/src/a.rs` | `a/src/a.rs`: `tests::holds_ring_1` |", CODE, &[]);
    }

    #[test]
    fn an_id_without_a_row_is_found_where_it_is_defined() {
        check_table("", CODE, &["a/src/a.rs:3: RING-1 has no row in spec/invariants.md"]);
        check_table(
            "",
            "//! RTT-SYN-1 is a surface.\n//! - HOST-12: x\n//! See RING-9.\n",
            &["a/src/a.rs:2: HOST-12 has no row in spec/invariants.md"],
        );
    }

    #[test]
    fn a_row_without_check_or_test_is_found() {
        let row = "| RING-1 | x | a/src/a.rs | a/src/a.rs: holds_ring_1 |";
        let header_only = CODE.replace(" // RING-1", " // RING-10");
        let message = "`a/src/a.rs` has no check that names it (outside of header and tests)";
        check_table(row, &header_only, &[&format!("{TABLE}:1: RING-1: {message}")]);
        let other_test = CODE.replace("ring_1", "ring_10");
        check_table(row, &other_test, &[&format!("{TABLE}:1: RING-1: `a/src/a.rs` has no test `holds_ring_1`")]);
        let helper = CODE.replace("    #[test]\n", "");
        let message = "`a/src/a.rs` has a function `holds_ring_1` that is no `#[test]`";
        check_table(row, &helper, &[&format!("{TABLE}:1: RING-1: {message}")]);
    }

    #[test]
    fn the_test_itself_names_the_id() {
        let row = "| RING-1 | x | a/src/a.rs | a/src/a.rs: holds |";
        let test = |before: &str, head: &str, body: &str| {
            let tests = format!("{before}    {head}#[test]\n    fn holds() {{\n        {body}\n    }}\n");
            format!("fn f() {{}} // RING-1\n#[cfg(test)]\nmod tests {{\n{tests}}}\n")
        };
        check_table(row, &test("", "/// RING-1: holds.\n    ", ""), &[]);
        check_table(row, &test("", "", "assert!(f(), \"RING-1\");"), &[]);
        check_table(row, &test("    proptest! {}\n", "/// RING-1\n    ", ""), &[]);
        let message = "`a/src/a.rs` has a test `holds` that does not name it (in its comment, its name or its body)";
        let message = format!("{TABLE}:1: RING-1: {message}");
        check_table(row, &test("    // RING-1\n\n", "", ""), &[&message]);
        check_table(row, &test("    /// RING-1\n    #[test]\n    fn other() {}\n", "", ""), &[&message]);
    }

    #[test]
    fn a_row_that_points_nowhere_is_found() {
        check_table(
            "| RING-1 | x | b.rs | c.rs: t |",
            CODE,
            &[
                "spec/invariants.md:1: RING-1: checked in `b.rs`, which does not exist",
                "spec/invariants.md:1: RING-1: tested in `c.rs`, which does not exist",
            ],
        );
        check_table(
            "| RING-1 | x | a/src/a.rs | a/src/a.rs |",
            CODE,
            &["spec/invariants.md:1: RING-1: name the test after its file: `file: test`"],
        );
    }

    #[test]
    fn a_row_is_whole_and_alone() {
        let row = "| RING-1 | x | a/src/a.rs | a/src/a.rs: holds_ring_1 |\n";
        check_table(&format!("{row}{row}"), CODE, &["spec/invariants.md:2: RING-1 has a row already, in line 1"]);
        let message = "RING-1: expected `| id | statement | file that checks | file: test |`";
        check_table("| RING-1 | x |", "", &[&format!("{TABLE}:1: {message}")]);
    }

    #[test]
    fn ids_have_one_form() {
        for (text, expected) in [
            ("RING-1  x", Some("RING-1")),
            ("TWO-PHASE-12: x", Some("TWO-PHASE-12")),
            ("ring-1", None),
            ("RING-", None),
            ("R-1", None),
            ("RING-1a", Some("RING-1")),
        ] {
            assert_eq!(leading_id(text), expected, "{text}");
        }
        assert_eq!(defined_id("//! RING-1a"), None);
    }
}
