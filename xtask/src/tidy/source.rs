//! One Rust file, with its strings and comments blanked out, and its functions found.
//!
//! The blanked text has the same lines and columns as the file, so a rule can look for a word in code alone and for a
//! comment in the original. This is a lexer, not a parser: it knows where text ends, and counts braces.

/// One Rust file.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// Path from the root of the checkout.
    pub path: &'a str,
    /// The lines as they stand.
    pub lines: Vec<&'a str>,
    /// The same lines, with strings, characters and comments blanked out.
    pub code: Vec<String>,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// True when it carries `#[test]`.
    pub is_test: bool,
    /// First line of its comment and attributes, or of itself, counted from 1.
    pub head: usize,
    /// First line, with `fn`, counted from 1.
    pub first: usize,
    /// Last line, with the closing brace, counted from 1.
    pub last: usize,
}

impl<'a> Source<'a> {
    /// Lexes a file.
    pub fn new(path: &'a str, text: &'a str) -> Source<'a> {
        let code = blank(text).lines().map(str::to_owned).collect();
        Source { path, lines: text.lines().collect(), code }
    }

    /// The crate's folder name: the path component before `src`, `tests`, `benches` or `examples`, or before the file.
    pub fn package(&self) -> &str {
        let parts: Vec<&str> = self.path.split('/').collect();
        let inner = |part: &&str| ["src", "tests", "benches", "examples"].contains(part);
        let end = parts.iter().position(inner).unwrap_or(parts.len() - 1);
        if end == 0 { "" } else { parts[end - 1] }
    }

    /// The file's name with its ending.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    /// The first line (counted from 1) that belongs to tests: 1 in a file of tests, past the end in a file without.
    pub fn first_test_line(&self) -> usize {
        let folder = self.path.split('/').any(|part| part == "tests" || part == "benches" || part == "examples");
        if folder || self.name() == "tests.rs" {
            return 1;
        }
        self.code.iter().position(|line| is_test_attribute(line)).map_or(self.lines.len() + 1, |index| index + 1)
    }

    /// Every function with a body, in order.
    pub fn functions(&self) -> Vec<Function> {
        let text = self.code.join("\n");
        let bytes = text.as_bytes();
        let mut functions = Vec::new();
        for (at, _) in text.match_indices("fn ") {
            if at > 0 && is_word(bytes[at - 1]) {
                continue;
            }
            let name: String = text[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name.is_empty() {
                continue;
            }
            if let Some(end) = body_end(bytes, at) {
                let line = |end: usize| text[..end].matches('\n').count() + 1;
                let (first, last) = (line(at), line(end));
                let head = self.head(first);
                let is_test = self.code[head - 1..first].iter().any(|line| line.contains("#[test]"));
                functions.push(Function { name, is_test, head, first, last });
            }
        }
        functions
    }

    /// The first line of the comment and the attributes that stand above a function without a gap.
    fn head(&self, first: usize) -> usize {
        let belongs = |index: &usize| {
            let (line, code) = (self.lines[*index].trim(), self.code[*index].trim_end());
            !line.is_empty() && !line.starts_with("//!") && !code.ends_with(['{', '}', ';'])
        };
        first - (0..first - 1).rev().take_while(belongs).count()
    }
}

/// True for the attribute that opens a module of tests.
pub fn is_test_attribute(line: &str) -> bool {
    line.strip_prefix("#[cfg(").is_some_and(|rest| words(rest).any(|word| word == "test"))
}

/// The words of a line of code.
pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Where the body that follows `at` ends, or `None` for a declaration without one.
fn body_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut brackets = 0i32;
    let mut braces = 0i32;
    for (index, byte) in bytes.iter().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b'{' if brackets == 0 || braces > 0 => braces += 1,
            b'}' if braces > 0 => {
                braces -= 1;
                if braces == 0 {
                    return Some(index);
                }
            }
            // A semicolon inside brackets is an array's length.
            b';' if brackets == 0 && braces == 0 => return None,
            _ => {}
        }
    }
    None
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Replaces what is inside strings, characters and comments by blanks, line ends kept.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match skipped_until(&chars, at) {
            Some(end) => end,
            None => {
                code.push(chars[at]);
                at += 1;
                continue;
            }
        };
        code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    code
}

/// The end of the comment, string or character that starts at `at`, or `None` when code stands there.
fn skipped_until(chars: &[char], at: usize) -> Option<usize> {
    let next = |offset: usize| chars.get(at + offset).copied();
    match (chars[at], next(1)) {
        ('/', Some('/')) => Some(find(chars, at, |index| chars[index] == '\n')),
        ('/', Some('*')) => Some(block_comment_end(chars, at)),
        ('"', _) => Some(string_end(chars, at + 1)),
        ('r', Some('"' | '#')) if !follows_word(chars, at) => raw_string_end(chars, at + 1),
        // The two letters before a raw string: br"..." and cr"...".
        ('b' | 'c', Some('r')) if !follows_word(chars, at) => raw_string_end(chars, at + 2),
        ('\'', Some('\\')) => {
            let close = find(chars, at + 3, |index| chars[index] == '\'');
            Some((close + 1).min(chars.len()))
        }
        // Anything else after a quote is a lifetime unless the quote closes after one character.
        ('\'', Some(_)) if next(2) == Some('\'') => Some(at + 3),
        _ => None,
    }
}

fn follows_word(chars: &[char], at: usize) -> bool {
    // The `b` of br"..." is no reason to take its `r` for the end of a word: that pair is met at the `b`.
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

fn find(chars: &[char], from: usize, is_end: impl Fn(usize) -> bool) -> usize {
    (from..chars.len()).find(|index| is_end(*index)).unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut index = at;
    while index < chars.len() {
        match (chars[index], chars.get(index + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                index += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                index += 2;
                if depth == 0 {
                    return index;
                }
            }
            _ => index += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut index = from;
    while index < chars.len() {
        match chars[index] {
            '\\' => index += 2,
            '"' => return index + 1,
            _ => index += 1,
        }
    }
    chars.len()
}

/// `from` stands after the `r`; `None` for a raw identifier.
fn raw_string_end(chars: &[char], from: usize) -> Option<usize> {
    let hashes = chars[from..].iter().take_while(|c| **c == '#').count();
    if chars.get(from + hashes) != Some(&'"') {
        return None;
    }
    let closes = |index: usize| {
        chars[index] == '"' && chars[index + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    let close = find(chars, from + hashes + 1, closes);
    Some((close + 1 + hashes).min(chars.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_blank(text: &str, expected: &str) {
        assert_eq!(blank(text), expected, "{text}");
    }

    #[test]
    fn strings_and_comments_are_blanked() {
        check_blank("a // unsafe\nb", "a          \nb");
        check_blank("a /* x /* y */ z */ b", "a                   b");
        check_blank(r#"f("\" {", 1)"#, "f(      , 1)");
        check_blank("r#\"a\"b\"#;", "        ;");
        check_blank("br\"{\";", "     ;");
        check_blank("'{' '\\'' '\\u{7f}'", "                 ");
    }

    #[test]
    fn code_that_looks_like_text_stays() {
        check_blank("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}");
        check_blank("r#type + for_r", "r#type + for_r");
    }

    #[test]
    fn text_without_an_end_is_blanked_to_the_end() {
        for text in ["\"a", "r#\"a\"", "/* a", "'\\", "\"\\"] {
            assert!(blank(text).trim().is_empty(), "{text}");
        }
    }

    fn check_functions(text: &str, expected: &[(&str, usize, usize)]) {
        let functions = Source::new("a/src/lib.rs", text).functions();
        let got: Vec<_> = functions.iter().map(|each| (each.name.as_str(), each.first, each.last)).collect();
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn functions_are_found_with_their_lines() {
        check_functions("fn a() {}\n", &[("a", 1, 1)]);
        check_functions("pub const fn a(\n  x: [u8; 4],\n) -> u8\n{\n  {}\n}\n", &[("a", 1, 6)]);
        check_functions("trait T {\n  fn a();\n  fn b() {\n  }\n}\n", &[("b", 3, 4)]);
        check_functions("fn a() {\n  fn b() { \"}\" }\n}\n", &[("a", 1, 3), ("b", 2, 2)]);
        check_functions("type F = fn (u8);\nlet f: fn(u8) = g;\n", &[]);
    }

    #[test]
    fn a_test_is_known_by_its_attribute_and_begins_with_its_comment() {
        let text = "//! A.\nfn a() {}\n/// B.\n#[test]\n#[cfg(\n  unix,\n)]\nfn b() {\n  c();\n}\n\n\
                    // #[test]\nfn c() {}\n#[test] fn d() {}\n";
        let functions = Source::new("a/src/lib.rs", text).functions();
        let got: Vec<_> = functions.iter().map(|each| (each.name.as_str(), each.is_test, each.head)).collect();
        assert_eq!(got, [("a", false, 2), ("b", true, 3), ("c", false, 12), ("d", true, 14)]);
    }

    #[test]
    fn a_file_knows_its_package_and_where_tests_begin() {
        let check = |path: &str, text: &str, package: &str, first: usize| {
            let source = Source::new(path, text);
            assert_eq!((source.package(), source.first_test_line()), (package, first), "{path}");
        };
        check("runtime/rtt-ring/src/a/b.rs", "x\n#[cfg(test)]\nmod tests {}\n", "rtt-ring", 2);
        check("xtask/src/main.rs", "x\n// #[cfg(test)]\n", "xtask", 3);
        check("a/rtt-x/tests/it/main.rs", "x\n", "rtt-x", 1);
        check("a/rtt-x/src/a/tests.rs", "x\n", "rtt-x", 1);
        check("a/rtt-x/src/a.rs", "#[cfg(all(test, not(loom)))]\nmod tests;\n", "rtt-x", 1);
        check("build.rs", "", "", 1);
    }
}
