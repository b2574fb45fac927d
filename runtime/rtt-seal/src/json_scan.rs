//! Walks JSON text and sees what a value tree forgets: duplicate keys, nesting, and where each value stands.
//!
//! SEAL-2  An object with two equal keys (compared after unescaping) is refused, at any depth.
//!
//! Checks the structure; numbers and escapes inside values are left to the parser that runs after it on the same text.

use std::{borrow::Cow, collections::HashSet, fmt::Write as _, ops::Range};

/// One step from the document's root towards a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Member of an object.
    Key(String),
    /// Element of an array, from 0.
    Index(usize),
}

/// What the walk stumbled over, at which byte, and inside which value.
#[derive(Debug)]
pub(crate) struct ScanError {
    pub kind: ScanErrorKind,
    pub at: usize,
    pub path: String,
}

#[derive(Debug)]
pub(crate) enum ScanErrorKind {
    Syntax { expected: &'static str },
    TooDeep,
    DuplicateKey { key: String },
    Trailing,
}

/// Told of each key and value when it ends, children before their parent: where it stands and its bytes.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[Segment], Range<usize>);

/// Walks one JSON document; `depth_limit` counts objects and arrays inside one another.
pub(crate) fn walk(text: &str, depth_limit: usize, visit: Visit<'_>) -> Result<(), ScanError> {
    let mut scanner = Scanner { text, at: 0, path: Vec::new(), depth_left: depth_limit, visit };
    let result = scanner.document();
    result.map_err(|(at, kind)| ScanError { kind, at, path: field_name(&scanner.path) })
}

/// `workload.payload[2].bytes`; empty for the document itself.
pub(crate) fn field_name(path: &[Segment]) -> String {
    let mut name = String::new();
    for segment in path {
        match segment {
            Segment::Key(key) if name.is_empty() => name.push_str(key),
            Segment::Key(key) => name.extend([".", key]),
            Segment::Index(index) => write!(name, "[{index}]").expect("a string takes all text"),
        }
    }
    name
}

type Step = Result<(), (usize, ScanErrorKind)>;

struct Scanner<'t, 'v> {
    text: &'t str,
    at: usize,
    path: Vec<Segment>,
    depth_left: usize,
    visit: Visit<'v>,
}

impl<'t> Scanner<'t, '_> {
    fn document(&mut self) -> Step {
        self.value()?;
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err((self.at, ScanErrorKind::Trailing)) }
    }

    fn value(&mut self) -> Step {
        self.skip_space();
        let start = self.at;
        match self.peek() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::array)?,
            Some(b'"') => self.string().map(drop)?,
            Some(_) => self.scalar()?,
            None => return self.syntax("a value, found the end"),
        }
        (self.visit)(&self.path, start..self.at);
        Ok(())
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Step) -> Step {
        let Some(depth_left) = self.depth_left.checked_sub(1) else {
            return Err((self.at, ScanErrorKind::TooDeep));
        };
        self.depth_left = depth_left;
        self.at += 1;
        inner(self)?;
        self.depth_left += 1;
        Ok(())
    }

    fn object(&mut self) -> Step {
        let mut keys = HashSet::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.skip_space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return self.syntax("a key in double quotes");
            }
            let key = self.string()?;
            if !keys.insert(key.clone()) {
                return Err((start, ScanErrorKind::DuplicateKey { key: key.into_owned() })); // SEAL-2
            }
            self.path.push(Segment::Key(key.into_owned()));
            (self.visit)(&self.path, start..self.at);
            self.skip_space();
            if !self.take(b':') {
                return self.syntax("`:` after the key");
            }
            self.value()?;
            self.path.pop();
            self.skip_space();
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return self.syntax("`,` or `}`");
            }
        }
    }

    fn array(&mut self) -> Step {
        self.skip_space();
        if self.take(b']') {
            return Ok(());
        }
        for index in 0.. {
            self.path.push(Segment::Index(index));
            self.value()?;
            self.path.pop();
            self.skip_space();
            if self.take(b']') {
                break;
            }
            if !self.take(b',') {
                return self.syntax("`,` or `]`");
            }
        }
        Ok(())
    }

    /// Reads a string and returns it unescaped.
    fn string(&mut self) -> Result<Cow<'t, str>, (usize, ScanErrorKind)> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        loop {
            self.at += 1;
            match bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1; // The escaped byte never ends the string; hexadecimal digits follow as plain bytes.
                }
                Some(0..=31) => {
                    return Err((self.at, ScanErrorKind::Syntax { expected: "control characters escaped" }));
                }
                Some(_) => {}
                None => return Err((bytes.len(), ScanErrorKind::Syntax { expected: "`\"` at the end of the string" })),
            }
        }
        self.at += 1;
        if !escaped {
            return Ok(Cow::Borrowed(&self.text[start + 1..self.at - 1]));
        }
        // A key is compared by what it means: "\u0061" is "a".
        let unescaped = serde_json::from_str::<String>(&self.text[start..self.at]);
        unescaped
            .map(Cow::Owned)
            .map_err(|_| (start, ScanErrorKind::Syntax { expected: "valid escapes in the string" }))
    }

    fn scalar(&mut self) -> Step {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(rest.len());
        let word = &rest[..end];
        let number = word.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        if !number && !["true", "false", "null"].contains(&word) {
            return self.syntax("a value");
        }
        self.at += end;
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn syntax(&self, expected: &'static str) -> Step {
        Err((self.at, ScanErrorKind::Syntax { expected }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(text: &str) -> Vec<String> {
        let mut names = Vec::new();
        walk(text, 64, &mut |path, range| names.push(format!("{}={}", field_name(path), &text[range]))).expect(text);
        names
    }

    #[test]
    fn every_key_and_value_is_visited_with_its_place() {
        assert_eq!(
            names(r#" {"a": [1, {"b" :"x"}]} "#),
            [
                r#"a="a""#,
                "a[0]=1",
                r#"a[1].b="b""#,
                r#"a[1].b="x""#,
                r#"a[1]={"b" :"x"}"#,
                r#"a=[1, {"b" :"x"}]"#,
                r#"={"a": [1, {"b" :"x"}]}"#,
            ]
        );
    }

    proptest! {
        /// Text without duplicate keys that the value parser takes, the walk takes; what the walk refuses as syntax,
        /// the value parser refuses too. So neither can be led past the other.
        #[test]
        fn agrees_with_the_value_parser(text in r#"([\[\]{},: "\\abu0-9.+e-]|"[abc]":|true|null|\\u0061){0,24}"#) {
            let walked = walk(&text, 64, &mut |_, _| {});
            let parsed = serde_json::from_str::<serde_json::Value>(&text);
            match walked {
                Ok(()) => {}
                Err(ScanError { kind: ScanErrorKind::DuplicateKey { .. }, .. }) => {}
                Err(error) => prop_assert!(parsed.is_err(), "{text}: {error:?}"),
            }
        }
    }
}
