//! Sizes that a reader can hold: a file has one noun, a function fits a screen.

use super::Finding;
use super::source::Source;

/// Longest file, in lines.
const FILE_LINES: usize = 800;
/// Longest function, in lines, signature and closing brace included.
const FUNCTION_LINES: usize = 70;
/// Longest function of tests: a test may be a long table.
const TEST_FUNCTION_LINES: usize = 120;

/// Finds files and functions that are too long.
pub fn check(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let mut push = |line: usize, message: String| {
        findings.push(Finding { file: source.path.to_owned(), line, rule: "sizes", message });
    };
    let lines = source.lines.len();
    if lines > FILE_LINES {
        push(FILE_LINES + 1, format!("{lines} lines, at most {FILE_LINES}: find the second noun and give it a file"));
    }
    let first_test_line = source.first_test_line();
    for function in source.functions() {
        let lines = function.last - function.first + 1;
        let most = if function.first >= first_test_line { TEST_FUNCTION_LINES } else { FUNCTION_LINES };
        if lines > most {
            push(function.first, format!("function `{}` has {lines} lines, at most {most}", function.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_file(path: &str, text: &str, expected: &[&str]) {
        let mut findings = Vec::new();
        check(&Source::new(path, text), &mut findings);
        let got: Vec<String> = findings.iter().map(|each| format!("{}: {}", each.line, each.message)).collect();
        assert_eq!(got, expected, "{path}");
    }

    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    x();\n".repeat(lines - 2))
    }

    #[test]
    fn a_file_has_at_most_800_lines() {
        check_file("a/src/a.rs", &"\n".repeat(800), &[]);
        let message = "801: 801 lines, at most 800: find the second noun and give it a file";
        check_file("a/src/a.rs", &"\n".repeat(801), &[message]);
    }

    #[test]
    fn a_function_has_at_most_70_lines_and_120_in_tests() {
        check_file("a/src/a.rs", &function(70), &[]);
        check_file("a/src/a.rs", &function(71), &["1: function `long` has 71 lines, at most 70"]);
        check_file("a/tests/it/main.rs", &function(120), &[]);
        check_file("a/src/tests.rs", &function(121), &["1: function `long` has 121 lines, at most 120"]);
        let inner = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(100));
        check_file("a/src/a.rs", &inner, &[]);
    }
}
