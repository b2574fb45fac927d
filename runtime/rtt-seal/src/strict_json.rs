//! JSON for documents that trust or configuration hangs on: one reading, or none.
//!
//! On top of what `serde_json` refuses: duplicate keys at any depth (SEAL-2), more than [`DEPTH_LIMIT`] levels, more bytes
//! than the limit, bytes that are not UTF-8, an array in place of an object (SEAL-10). Every error names line, column and field. Unknown fields are the
//! document type's choice (`#[serde(deny_unknown_fields)]`); where it refuses one, the error offers the nearest known name.
//!
//! A type with its own text form should refuse inside `Visitor::visit_str`: an error that is made after the string was
//! read stands at the enclosing object where the field was its last.

use crate::json_objects::Objects;
use crate::json_scan::{ScanErrorKind, Segment, field_name, walk};
use crate::near_name;
use serde::de::DeserializeOwned;
use std::fmt;

/// Largest document that [`parse`] takes, in bytes: 1 MiB.
pub const DEFAULT_LIMIT: usize = 1 << 20;

/// Objects and arrays that may stand inside one another.
pub const DEPTH_LIMIT: usize = 64;

/// Where in a document something stands. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Field as `workload.payload[2].bytes`, empty for the document itself.
    pub field: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} column {}", self.line, self.column)?;
        if self.field.is_empty() { Ok(()) } else { write!(f, " (field `{}`)", self.field) }
    }
}

/// Why bytes are not the document that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// More bytes than allowed.
    #[error("document has {bytes} bytes, expected at most {limit}")]
    TooLarge {
        /// Bytes found.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The bytes are not UTF-8.
    #[error("byte {offset}, on line {line}, is not UTF-8")]
    NotUtf8 {
        /// Offset of the first wrong byte.
        offset: usize,
        /// Line, from 1.
        line: usize,
    },
    /// The text is not JSON.
    #[error("{place}: not JSON: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What was expected.
        message: String,
    },
    /// Objects or arrays nested too deep.
    #[error("{place}: nested deeper than {limit} levels")]
    TooDeep {
        /// Where the level too many begins.
        place: Place,
        /// Levels allowed.
        limit: usize,
    },
    /// A key stands twice in one object, so that two readers could see two documents.
    #[error("{place}: duplicate key `{key}`, expected each key once")]
    DuplicateKey {
        /// Where the second one stands.
        place: Place,
        /// The key, unescaped.
        key: String,
    },
    /// Something follows the document.
    #[error("{place}: something follows the document, expected its end")]
    TrailingBytes {
        /// Where it begins.
        place: Place,
    },
    /// A field that the document does not have.
    #[error("{place}: unknown field `{name}`{}", hint(.near, .expected))]
    UnknownField {
        /// Where.
        place: Place,
        /// The name found.
        name: String,
        /// The known name nearest to it, if one is near.
        near: Option<String>,
        /// What would have been taken, as the parser words it.
        expected: String,
    },
    /// A value of the wrong type or out of range, or a missing field.
    #[error("{place}: {message}")]
    Value {
        /// Where: the value, or the object that lacks the field.
        place: Place,
        /// What is wrong and what was expected.
        message: String,
    },
}

/// Parses a document of at most [`DEFAULT_LIMIT`] bytes.
///
/// # Errors
/// See [`JsonError`]: nothing that more than one reader could read in more than one way is taken.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    parse_within(bytes, DEFAULT_LIMIT)
}

/// Parses a document of at most `limit` bytes.
///
/// # Errors
/// As [`parse`].
pub fn parse_within<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, JsonError> {
    let text = check(bytes, limit)?;
    // The text is whole and nothing follows it, as `check` saw.
    T::deserialize(Objects(&mut serde_json::Deserializer::from_str(text))).map_err(|error| explain(text, &error))
}

/// Where the value of `field` (as [`Place::field`] spells it) stands, for errors that a document finds after parsing.
/// `None` where the document has no such field or is not JSON.
pub fn place_of(bytes: &[u8], field: &str) -> Option<Place> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut start = None;
    let walked = walk(text, DEPTH_LIMIT, &mut |path, range| {
        if field_name(path) == field {
            start = Some(range.start); // The value comes after its key and overwrites it.
        }
    });
    walked.ok()?;
    start.map(|at| place(text, at, field.to_owned()))
}

/// Refuses what no document may contain, whatever its type.
fn check(bytes: &[u8], limit: usize) -> Result<&str, JsonError> {
    if bytes.len() > limit {
        return Err(JsonError::TooLarge { bytes: bytes.len(), limit });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to();
        JsonError::NotUtf8 { offset, line: 1 + bytes[..offset].iter().filter(|&&byte| byte == b'\n').count() }
    })?;
    walk(text, DEPTH_LIMIT, &mut |_, _| {}).map_err(|error| {
        let place = place(text, error.at, error.path);
        match error.kind {
            ScanErrorKind::Syntax { expected } => JsonError::Syntax { place, message: format!("expected {expected}") },
            ScanErrorKind::TooDeep => JsonError::TooDeep { place, limit: DEPTH_LIMIT },
            ScanErrorKind::DuplicateKey { key } => JsonError::DuplicateKey { place, key: printable(&key) },
            ScanErrorKind::Trailing => JsonError::TrailingBytes { place },
        }
    })?;
    Ok(text)
}

/// Turns an error of the typed parser, which knows a position just behind the culprit, into one that names the field.
fn explain(text: &str, error: &serde_json::Error) -> JsonError {
    let line_start = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let culprit = (line_start + error.column()).saturating_sub(1);
    let mut innermost: Option<(usize, Vec<Segment>)> = None;
    let walked = walk(text, DEPTH_LIMIT, &mut |path, range| {
        if innermost.is_none() && range.contains(&culprit) {
            innermost = Some((range.start, path.to_vec())); // Children are visited before their parents.
        }
    });
    debug_assert!(walked.is_ok(), "the text was walked before");
    let (at, path) = innermost.unwrap_or_default();
    let full = error.to_string();
    let message = printable(full.rsplit_once(" at line ").map_or(full.as_str(), |(message, _)| message));
    let message = message.as_str();
    let place = place(text, at, field_name(&path));
    match error.classify() {
        serde_json::error::Category::Data => {}
        _ => return JsonError::Syntax { place, message: message.to_owned() },
    }
    let (found, expected) = message.split_once(", ").unwrap_or((message, ""));
    let near = quoted(found).next().and_then(|name| near_name(name, quoted(expected)).map(str::to_owned));
    match found.strip_prefix("unknown field `").and_then(|rest| rest.strip_suffix('`')) {
        Some(name) => JsonError::UnknownField { place, name: name.to_owned(), near, expected: expected.to_owned() },
        None if found.starts_with("unknown variant `") => {
            JsonError::Value { place, message: format!("unknown value {}{}", &found[16..], hint(&near, expected)) }
        }
        None => JsonError::Value { place, message: message.to_owned() },
    }
}

fn place(text: &str, at: usize, field: String) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        line: 1 + before.matches('\n').count(),
        column: 1 + before[line_start..].chars().count(),
        field: printable(&field),
    }
}

/// Text from a document as it may be shown: control characters escaped, so that it cannot drive a terminal, and cut short.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == 200 => return shown + "...",
            c if c.is_control() || ('\u{200e}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c) => {
                shown.extend(c.escape_unicode());
            }
            c => shown.push(c),
        }
    }
    shown
}

fn hint(near: &Option<String>, expected: &str) -> String {
    match near {
        Some(near) => format!("; did you mean `{near}`?"),
        None if expected.is_empty() => String::new(),
        None => format!(", {expected}"),
    }
}

/// The names in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        name: String,
        #[serde(default)]
        rows: Vec<Row>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Row {
        spin_ns: u64,
        #[serde(default)]
        wait: Wait,
    }

    #[derive(Debug, Deserialize, PartialEq, Default)]
    #[serde(rename_all = "snake_case")]
    enum Wait {
        #[default]
        Spin,
        Yield,
    }

    fn check_error(text: &str, expected: &str) {
        let error = parse::<Outer>(text.as_bytes()).expect_err(text).to_string();
        assert_eq!(error, expected, "{text}");
    }

    #[test]
    fn a_document_is_read() {
        let read = parse::<Outer>(b" {\"name\":\"a\", \"rows\":[{\"spin_ns\":7,\"wait\":\"yield\"}]}\n");
        assert_eq!(read, Ok(Outer { name: "a".into(), rows: vec![Row { spin_ns: 7, wait: Wait::Yield }] }));
    }

    /// SEAL-2
    #[test]
    fn duplicate_keys_are_refused_at_any_depth() {
        check_error(r#"{"name":"a","name":"b"}"#, "line 1 column 13: duplicate key `name`, expected each key once");
        check_error(
            "{\"name\":\"a\",\n \"rows\":[{\"spin_ns\":1,\n  \"spin\\u005fns\":2}]}",
            "line 3 column 3 (field `rows[0]`): duplicate key `spin_ns`, expected each key once",
        );
        // Also where no field of the type looks at the value.
        assert!(matches!(
            parse::<serde::de::IgnoredAny>(br#"{"x":{"a":1,"a":1}}"#),
            Err(JsonError::DuplicateKey { key, .. }) if key == "a"
        ));
    }

    #[test]
    fn errors_name_line_column_and_field() {
        check_error("", "line 1 column 1: not JSON: expected a value, found the end");
        check_error("{\"name\":\"é\" x}", "line 1 column 13: not JSON: expected `,` or `}`");
        check_error("{\"name\":\"a\"}\n{}", "line 2 column 1: something follows the document, expected its end");
        check_error("\u{feff}{}", "line 1 column 1: not JSON: expected a value");
        check_error(r#"{"name":"a",}"#, "line 1 column 13: not JSON: expected a key in double quotes");
        check_error(
            "{\"name\":\"a\nb\"}",
            "line 1 column 11 (field `name`): not JSON: expected control characters escaped",
        );
        check_error(r#"{"name":01}"#, "line 1 column 9 (field `name`): not JSON: invalid number");
        check_error(
            "{\"name\":\"a\",\"rows\":[{\n\"spin_ns\":-1}]}",
            "line 2 column 11 (field `rows[0].spin_ns`): invalid value: integer `-1`, expected u64",
        );
        check_error(
            "{\"name\":\"a\",\"rows\":[\n {\"wait\":\"spin\"}]}",
            "line 2 column 2 (field `rows[0]`): missing field `spin_ns`",
        );
    }

    #[test]
    fn an_unknown_name_is_answered_with_a_near_one() {
        check_error(
            "{\"name\":\"a\",\n \"rosw\":[]}",
            "line 2 column 2 (field `rosw`): unknown field `rosw`; did you mean `rows`?",
        );
        check_error(
            r#"{"colour":1}"#,
            "line 1 column 2 (field `colour`): unknown field `colour`, expected `name` or `rows`",
        );
        check_error(
            r#"{"name":"a","rows":[{"spin_ns":1,"wait":"spni"}]}"#,
            "line 1 column 41 (field `rows[0].wait`): unknown value `spni`; did you mean `spin`?",
        );
    }

    #[test]
    fn what_a_document_says_cannot_drive_a_terminal() {
        for text in [
            r#"{"\u001b[2Jx":1,"\u001b[2Jx":2}"#,
            r#"{"\u001b[2Jx":1}"#,
            r#"{"name":"a","rows":[{"spin_ns":"\u202e"}]}"#,
        ] {
            let shown = parse::<Outer>(text.as_bytes()).expect_err(text).to_string();
            assert!(shown.contains("\\u{") && !shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
        }
    }

    #[test]
    fn limits_hold() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse::<serde_json::Value>(nested(DEPTH_LIMIT).as_bytes()).is_ok());
        for levels in [DEPTH_LIMIT + 1, 100_000] {
            let error = parse::<serde_json::Value>(nested(levels).as_bytes());
            assert!(matches!(error, Err(JsonError::TooDeep { limit: DEPTH_LIMIT, .. })), "{levels} levels");
        }
        assert!(parse_within::<serde_json::Value>(b"1234", 4).is_ok());
        assert_eq!(parse_within::<serde_json::Value>(b"12345", 4), Err(JsonError::TooLarge { bytes: 5, limit: 4 }));
        assert_eq!(parse::<String>(b"\"a\n\xff\""), Err(JsonError::NotUtf8 { offset: 3, line: 2 }));
    }

    #[test]
    fn a_field_is_found_again() {
        let text = "{\"name\":\"a\",\n \"rows\": [{\"spin_ns\": 5}]}".as_bytes();
        let found = place_of(text, "rows[0].spin_ns").expect("a place");
        assert_eq!((found.line, found.column), (2, 23));
        assert_eq!(place_of(text, "rows[1]"), None);
        assert_eq!(place_of(text, "").map(|place| place.column), Some(1));
    }
}
