//! Reads a document of configuration from JSON: closed, checked, and with errors that its writer can act on.
//!
//! SCEN-2  What the type does not say, the document must not say: after parsing, the document's own JSON is compared with
//!         what was read. That closes what `serde` leaves open: `null` for an absent field, `{"fixed": null}` for `"fixed"`.
//!
//! Syntax, duplicate keys and places are `rtt_seal::strict_json`'s; ranges are those of `bounds`.

use crate::{
    bounds::{CheckError, allowed, near_field},
    fault_plan::FaultPlan,
    scenario::Scenario,
    slo::Slo,
};
use rtt_seal::strict_json::{self, JsonError, Place};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// A document that people write: its kind, and the ranges and agreements that its type cannot express.
pub trait ConfigDocument: Serialize + DeserializeOwned {
    /// The kind in words, as `scenario`.
    const KIND: &'static str;

    /// Whether every value lies in its range and no two fields contradict each other.
    ///
    /// # Errors
    /// All violations at once.
    fn check(&self) -> Result<(), CheckError>;
}

impl ConfigDocument for Scenario {
    const KIND: &'static str = "scenario";

    fn check(&self) -> Result<(), CheckError> {
        Scenario::check(self)
    }
}

impl ConfigDocument for FaultPlan {
    const KIND: &'static str = "fault plan";

    fn check(&self) -> Result<(), CheckError> {
        FaultPlan::check(self)
    }
}

impl ConfigDocument for Slo {
    const KIND: &'static str = "service level objectives";

    fn check(&self) -> Result<(), CheckError> {
        Slo::check(self)
    }
}

/// One reason why a document is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Line, from 1.
    pub line: usize,
    /// The field, as `workload.payload[1].bytes`; empty for the document itself.
    pub field: String,
    /// What was found and what was expected.
    pub problem: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gap = if self.field.is_empty() { "" } else { ": " };
        write!(f, "{}: {}{gap}{}", self.line, self.field, self.problem)
    }
}

/// Why a file is no document of the expected kind.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{}: cannot be read, expected a {kind} as JSON; nothing was run", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What was expected.
        kind: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The document is refused. One line for each reason, then what follows from it.
    #[error("{}nothing was run", lines(.origin, .refusals))]
    Refused {
        /// The file.
        origin: String,
        /// At least one, in the order of the document.
        refusals: Vec<Refusal>,
    },
}

/// One line for each reason, with its file in front.
pub(crate) fn lines(origin: &str, refusals: &[Refusal]) -> String {
    refusals.iter().map(|refusal| format!("{origin}:{refusal}\n")).collect()
}

/// Reads a scenario that a user wrote as JSON.
///
/// # Errors
/// See [`ReadError`]: all values out of range are named at once, with file, line, field and range.
pub fn read_scenario_json(path: &Path) -> Result<Scenario, ReadError> {
    read_json(path)
}

/// Reads a fault plan that a user wrote as JSON.
///
/// # Errors
/// As [`read_scenario_json`].
pub fn read_fault_plan_json(path: &Path) -> Result<FaultPlan, ReadError> {
    read_json(path)
}

/// Reads a document of any kind from a file.
///
/// # Errors
/// As [`read_scenario_json`].
pub fn read_json<T: ConfigDocument>(path: &Path) -> Result<T, ReadError> {
    let unreadable = |source| ReadError::Unreadable { path: path.to_owned(), kind: T::KIND, source };
    parse_json(&path.display().to_string(), &fs::read(path).map_err(unreadable)?)
}

/// Reads a document of any kind from bytes; `origin` is what errors call it.
///
/// # Errors
/// As [`read_scenario_json`], never [`ReadError::Unreadable`].
pub fn parse_json<T: ConfigDocument>(origin: &str, bytes: &[u8]) -> Result<T, ReadError> {
    let refused = |refusals| ReadError::Refused { origin: origin.to_owned(), refusals };
    let document: T = strict_json::parse(bytes).map_err(|error| refused(vec![explain(error)]))?;
    let read: Value = strict_json::parse(bytes).map_err(|error| refused(vec![explain(error)]))?;
    let said = serde_json::to_value(&document).expect("a document of configuration is plain data");
    let mut refusals = Vec::new();
    compare(bytes, "", &read, &said, &mut refusals); // SCEN-2
    if let Err(error) = document.check() {
        refusals.extend(placed(error, bytes, ""));
    }
    refusals.sort_by_key(|refusal| refusal.line);
    if refusals.is_empty() { Ok(document) } else { Err(refused(refusals)) }
}

/// The violations of a document that stands in `bytes` under `parent`, which ends with a dot or is empty.
pub(crate) fn placed(error: CheckError, bytes: &[u8], parent: &str) -> Vec<Refusal> {
    let place = |violation: crate::Violation| {
        let field = format!("{parent}{}", violation.field);
        Refusal { line: line_of(bytes, &field), field, problem: violation.problem }
    };
    error.violations.into_iter().map(place).collect()
}

/// Line of the field, or of the nearest parent that the document has.
pub(crate) fn line_of(bytes: &[u8], field: &str) -> usize {
    if let Some(place) = strict_json::place_of(bytes, field) {
        return place.line;
    }
    match field.rfind(['.', '[']) {
        Some(end) => line_of(bytes, &field[..end]),
        None => strict_json::place_of(bytes, "").map_or(1, |place| place.line),
    }
}

/// SCEN-2: notes where the document that was `read` says more or other than `said`, its meaning.
fn compare(bytes: &[u8], field: &str, read: &Value, said: &Value, refusals: &mut Vec<Refusal>) {
    let mut refuse = |field: &str, problem: String| {
        refusals.push(Refusal { line: line_of(bytes, field), field: field.to_owned(), problem });
    };
    match (read, said) {
        (Value::Object(read), Value::Object(said)) => {
            for (key, value) in read {
                let field = joined(field, key);
                match said.get(key) {
                    Some(said) => compare(bytes, &field, value, said, refusals),
                    None if value.is_null() => refusals.push(Refusal {
                        line: line_of(bytes, &field),
                        problem: format!("found null, {}; leave the field out instead", expected(&field)),
                        field,
                    }),
                    None => refusals.push(Refusal {
                        line: line_of(bytes, &field),
                        problem: "the field says nothing here, expected it to be left out".to_owned(),
                        field,
                    }),
                }
            }
        }
        (Value::Array(read), Value::Array(said)) if read.len() == said.len() => {
            for (index, (read, said)) in read.iter().zip(said).enumerate() {
                compare(bytes, &format!("{field}[{index}]"), read, said, refusals);
            }
        }
        _ if read == said => {}
        (_, Value::Object(_)) => refuse(field, format!("found {}, expected an object", kind_of(read))),
        _ => refuse(field, format!("found {}, {}", kind_of(read), expected(field))),
    }
}

fn joined(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn expected(field: &str) -> String {
    allowed(field).map_or_else(|| "expected another value".to_owned(), |allowed| format!("expected {allowed}"))
}

/// What a JSON error means to the writer of a document: the parser knows types, the table of bounds knows ranges.
fn explain(error: JsonError) -> Refusal {
    let at = |place: Place, problem: String| Refusal { line: place.line, field: place.field, problem };
    match error {
        JsonError::Value { place, message } => {
            if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
                let field = joined(&place.field, name);
                let problem =
                    allowed(&field).map_or("missing".to_owned(), |allowed| format!("missing, expected {allowed}"));
                return Refusal { line: place.line, field, problem };
            }
            let message = in_words(&message);
            // A parser's own words for a type ("expected u32") are replaced by the range, a hint of a near name is kept.
            let problem = match (allowed(&place.field), message.split_once(", expected ")) {
                (Some(allowed), Some((found, _))) => format!("{found}, expected {allowed}"),
                (Some(allowed), None) if message.starts_with("unknown value") => {
                    format!("{message} expected {allowed}")
                }
                _ => message,
            };
            at(place, problem)
        }
        JsonError::UnknownField { place, near, expected, .. } => {
            let near = near_field(&place.field).map(str::to_owned).or(near);
            let hint = near.map_or(expected, |near| format!("did you mean `{near}`?"));
            at(place, format!("unknown field; {hint}"))
        }
        JsonError::DuplicateKey { place, key } => {
            let field = joined(&place.field, &key);
            Refusal { line: place.line, field, problem: "the field stands twice, expected it once".to_owned() }
        }
        JsonError::Syntax { place, message } => at(place, format!("not JSON: {message}")),
        JsonError::TooDeep { place, limit } => at(place, format!("nested deeper than {limit} levels")),
        JsonError::TrailingBytes { place } => at(place, "something follows the document, expected its end".to_owned()),
        JsonError::NotUtf8 { line, .. } => Refusal { line, field: String::new(), problem: error.to_string() },
        JsonError::TooLarge { .. } => Refusal { line: 1, field: String::new(), problem: error.to_string() },
    }
}

/// `invalid type: sequence, expected X` as `found an array, expected X`.
fn in_words(message: &str) -> String {
    let Some(found) = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: ")) else {
        return message.to_owned();
    };
    let terms =
        [("sequence", "an array"), ("map", "an object"), ("string ", "the text "), ("integer ", ""), ("boolean ", "")];
    let term = terms.into_iter().find_map(|(term, word)| Some((found.strip_prefix(term)?, word)));
    term.map_or_else(|| format!("found {found}"), |(rest, word)| format!("found {word}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{
  "name": "mine", "title": "Mine", "about": "For tests.",
  "workload": {
    "arrival": {"kind": "fixed"},
    "offered": {"rate_per_s": 20000},
    "producers": 1,
    "payload": [{"bytes": 64, "weight": 1}],
    "reply": false,
    "duration_ms": 1000,
    "samples_min": 100
  },
  "budget": {"loss_ppm": 0}
}"#;

    fn check(from: &str, to: &str, expected: &[&str]) {
        assert!(GOOD.contains(from), "{from}");
        let found = match parse_json::<Scenario>("my.json", GOOD.replace(from, to).as_bytes()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        let lines: Vec<&str> = found.lines().collect();
        assert_eq!(lines, expected, "{from} -> {to}");
    }

    #[test]
    fn a_good_document_is_read_whatever_the_order_of_its_fields() {
        check("", "", &[]);
        check(
            "\"producers\": 1,\n",
            "",
            &["my.json:3: workload.producers: missing, expected an integer in 1..=8", "nothing was run"],
        );
        check(r#""title": "Mine", "about": "For tests.""#, r#""about": "For tests.", "title": "Mine""#, &[]);
    }

    /// SCEN-1
    #[test]
    fn values_out_of_range_are_all_named_with_line_field_and_range() {
        let cases = [
            ("\"producers\": 1,", "\"producers\": 9,", "6: workload.producers: found 9, expected an integer in 1..=8"),
            (
                "\"producers\": 1,",
                "\"producers\": 99999999999,",
                "6: workload.producers: found `99999999999`, expected an integer in 1..=8",
            ),
            (
                "\"bytes\": 64",
                "\"bytes\": 68",
                "7: workload.payload[0].bytes: found 68, expected an integer in 32..=4096, a multiple of 8",
            ),
            ("20000", "0", "5: workload.offered.rate_per_s: found 0, expected an integer in 1..=100000000"),
        ];
        for (from, to, line) in cases {
            let found = parse_json::<Scenario>("my.json", GOOD.replace(from, to).as_bytes()).expect_err(to).to_string();
            assert!(found.starts_with(&format!("my.json:{line}\n")), "{found}");
            assert!(found.ends_with("\nnothing was run"), "{found}");
        }
        let two = GOOD.replace("\"producers\": 1,", "\"producers\": 9,").replace("64", "68");
        let found = parse_json::<Scenario>("my.json", two.as_bytes()).expect_err("two mistakes").to_string();
        assert_eq!(found.lines().count(), 3, "{found}");
    }

    /// SCEN-2
    #[test]
    fn a_document_says_no_more_than_its_type() {
        check(
            "\"loss_ppm\": 0",
            "\"loss_ppm\": 0, \"cpu_milicores\": 250",
            &["my.json:12: budget.cpu_milicores: unknown field; did you mean `cpu_millicores`?", "nothing was run"],
        );
        check(
            "\"loss_ppm\": 0",
            "\"loss_ppm\": 0, \"cpu_millicores\": null",
            &[
                "my.json:12: budget.cpu_millicores: found null, expected an integer in 1..=1024000; leave the field out instead",
                "nothing was run",
            ],
        );
        check(
            "{\"loss_ppm\": 0}",
            "[0]",
            &["my.json:12: budget: found an array, expected an object", "nothing was run"],
        );
        check(
            "{\"bytes\": 64, \"weight\": 1}",
            "[64, 1]",
            &["my.json:7: workload.payload[0]: found an array, expected an object", "nothing was run"],
        );
        check(
            "\"producers\": 1,",
            "\"producers\": 1,\n\"producers\": 1,",
            &["my.json:7: workload.producers: the field stands twice, expected it once", "nothing was run"],
        );
        check(
            "{\"kind\": \"fixed\"}",
            "{\"kind\": {\"fixed\": null}}",
            &[
                "my.json:4: workload.arrival.kind: found an object, expected one of `closed_loop`, `fixed`, `poisson`, `burst`",
                "nothing was run",
            ],
        );
    }

    #[test]
    fn a_wrong_type_is_answered_with_the_range_and_a_typo_with_a_near_name() {
        check(
            "\"duration_ms\": 1000",
            "\"duration_ms\": \"1000\"",
            &[
                "my.json:9: workload.duration_ms: found the text \"1000\", expected an integer in 100..=60000",
                "nothing was run",
            ],
        );
        check(
            "\"fixed\"",
            "\"fixd\"",
            &[
                "my.json:4: workload.arrival.kind: unknown value `fixd`; did you mean `fixed`? expected one of `closed_loop`, `fixed`, `poisson`, `burst`",
                "nothing was run",
            ],
        );
        check(
            "{\"rate_per_s\": 20000}",
            "{\"rate_per_s\": 20000, \"capacity_permille\": 800}",
            &[
                "my.json:5: workload.offered.capacity_permille: found `rate_per_s` and `capacity_permille`: one of them excludes the other",
                "nothing was run",
            ],
        );
    }

    #[test]
    fn what_cannot_be_read_names_the_file() {
        let error = read_scenario_json(Path::new("no/such/file.json")).expect_err("no file").to_string();
        assert_eq!(error, "no/such/file.json: cannot be read, expected a scenario as JSON; nothing was run");
        let error = parse_json::<Scenario>("my.json", b"{").expect_err("no JSON").to_string();
        assert!(error.starts_with("my.json:1: not JSON: "), "{error}");
    }
}
