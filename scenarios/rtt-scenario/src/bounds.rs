//! The range of every number and text in a document, in one table.
//!
//! SCEN-1  A value out of its range never leaves the reader: [`Checker`] is the only gate, and it knows no other ranges.
//! The table mirrors `spec/schema/*.cue`; the corpus proves that the two agree.

use rtt_seal::near_name;
use std::fmt;

/// One field whose value is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field, as `workload.payload[1].bytes`.
    pub field: String,
    /// What was found and what was expected.
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

/// All fields of a document whose values are not allowed: at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", joined(.violations))]
pub struct CheckError {
    /// In the order of the document.
    pub violations: Vec<Violation>,
}

fn joined(violations: &[Violation]) -> String {
    violations.iter().map(Violation::to_string).collect::<Vec<_>>().join("; ")
}

/// What a field may hold. Indices are left out of the name: `workload.payload[].bytes`.
struct Bound {
    field: &'static str,
    range: Range,
}

enum Range {
    /// Integer in `min..=max` that `step` divides.
    Integer { min: u64, max: u64, step: u64 },
    /// Text of at most `max` characters, not empty.
    Text { max: usize },
    /// A lower-case letter, then up to 47 of `a-z`, `0-9` and `_`.
    Name,
    /// `true` or `false`.
    Bool,
    /// Anything else, in words.
    Words(&'static str),
}

const fn integer(field: &'static str, min: u64, max: u64) -> Bound {
    Bound { field, range: Range::Integer { min, max, step: 1 } }
}

const fn words(field: &'static str, words: &'static str) -> Bound {
    Bound { field, range: Range::Words(words) }
}

const NAME_CHARS_MAX: usize = 48;
const MULTIPLE: (u64, u64) = (1_000, 100_000_000);
/// Up to the longest run.
const NANOS: (u64, u64) = (1, 60_000_000_000);

const BOUNDS: &[Bound] = &[
    Bound { field: "name", range: Range::Name },
    Bound { field: "title", range: Range::Text { max: 80 } },
    Bound { field: "about", range: Range::Text { max: 1_000 } },
    words("workload.arrival.kind", "one of `closed_loop`, `fixed`, `poisson`, `burst`"),
    integer("workload.arrival.factor", 2, 100),
    integer("workload.arrival.share_permille", 1, 500),
    integer("workload.arrival.period_us", 1_000, 1_000_000),
    words("workload.offered", "{\"rate_per_s\": N}, {\"capacity_permille\": N} or \"as_fast\""),
    integer("workload.offered.rate_per_s", 1, 100_000_000),
    integer("workload.offered.capacity_permille", 1, 1_000),
    integer("workload.producers", 1, 8),
    words("workload.payload", "a list of 1..=8 shares of different sizes"),
    Bound { field: "workload.payload[].bytes", range: Range::Integer { min: 32, max: 4096, step: 8 } },
    integer("workload.payload[].weight", 1, 1_000),
    Bound { field: "workload.reply", range: Range::Bool },
    integer("workload.duration_ms", 100, 60_000),
    integer("workload.samples_min", 1, 100_000_000),
    integer("budget.loss_ppm", 0, 1_000_000),
    integer("budget.cpu_millicores", 1, 1_024_000),
    integer("budget.memory_bytes", 1 << 20, 1 << 40),
    words("faults", "a list of 1..=16 faults"),
    words(
        "faults[].kind",
        "one of `cpu_hog`, `consumer_pause`, `neighbour_burst`, `memory_pressure`, `page_cache_pressure`",
    ),
    words("faults[].start_permille", "two rising integers in 0..=999"),
    integer("faults[].start_permille[]", 0, 999),
    words("faults[].duration_us", "two rising integers in 100..=10000000"),
    integer("faults[].duration_us[]", 100, 10_000_000),
    words("objectives", "a list of 1..=64 objectives, one for each scenario, at least one of them gating"),
    Bound { field: "objectives[].scenario", range: Range::Name },
    Bound { field: "objectives[].gating", range: Range::Bool },
    integer("objectives[].latency_permille_of_limit_p50", MULTIPLE.0, MULTIPLE.1),
    integer("objectives[].latency_permille_of_limit_p95", MULTIPLE.0, MULTIPLE.1),
    integer("objectives[].latency_permille_of_limit_p99", MULTIPLE.0, MULTIPLE.1),
    integer("objectives[].latency_permille_of_limit_p999", MULTIPLE.0, MULTIPLE.1),
    integer("objectives[].throughput_permille_of_offered_min", 1, 1_000),
    integer("objectives[].loss_ppm", 0, 1_000_000),
    integer("objectives[].cpu_millicores", 1, 1_024_000),
    integer("objectives[].depth_bytes_max", 1, 64 * (4 << 20)),
    integer("objectives[].tolerance_permille", 1, 1_000),
    words("objectives[].machines", "a list of 1..=64 budgets, one for each machine"),
    words("objectives[].machines[].machine", "16 hex digits of 0-9 and a-f, the id of a machine's fingerprint"),
    integer("objectives[].machines[].latency_ns_p50", NANOS.0, NANOS.1),
    integer("objectives[].machines[].latency_ns_p95", NANOS.0, NANOS.1),
    integer("objectives[].machines[].latency_ns_p99", NANOS.0, NANOS.1),
    integer("objectives[].machines[].latency_ns_p999", NANOS.0, NANOS.1),
];

/// What `field` may hold, in words; `None` for a field without a range of its own.
pub(crate) fn allowed(field: &str) -> Option<String> {
    let name = without_indices(field);
    BOUNDS.iter().find(|bound| bound.field == name).map(|bound| match bound.range {
        Range::Integer { min, max, step: 1 } => format!("an integer in {min}..={max}"),
        Range::Integer { min, max, step } => format!("an integer in {min}..={max}, a multiple of {step}"),
        Range::Text { max } => format!("a text of 1..={max} characters"),
        Range::Name => format!("a name of 1..={NAME_CHARS_MAX} characters: a letter of a-z, then a-z, 0-9 and _"),
        Range::Bool => "true or false".to_owned(),
        Range::Words(words) => words.to_owned(),
    })
}

/// The field beside `field` that was probably meant: one whose name has the same words in the same order and others as
/// well, as `latency_p99` lacks the unit of `latency_ns_p99`; else the near name.
pub(crate) fn near_field(field: &str) -> Option<&'static str> {
    let field = without_indices(field);
    let (parent, wanted) = field.rsplit_once('.').unwrap_or(("", &field));
    let beside = BOUNDS.iter().filter_map(|bound| {
        let rest = if parent.is_empty() { bound.field } else { bound.field.strip_prefix(parent)?.strip_prefix('.')? };
        rest.split(['.', '[']).next()
    });
    let longer = beside.clone().filter(|known| has_words(known, wanted)).min_by_key(|known| known.len());
    longer.or_else(|| near_name(wanted, beside))
}

/// Whether `name` has all words of `wanted` in their order.
fn has_words(name: &str, wanted: &str) -> bool {
    let mut words = name.split('_');
    wanted.split('_').all(|word| words.any(|other| other == word))
}

/// `a[12].b[0]` becomes `a[].b[]`.
fn without_indices(field: &str) -> String {
    let mut name = String::with_capacity(field.len());
    let mut inside = false;
    for c in field.chars() {
        inside = (inside || c == '[') && c != ']';
        if !inside || c == '[' {
            name.push(c);
        }
    }
    name
}

/// Collects what is wrong with a document, so that its writer sees all of it at once.
#[derive(Default)]
pub(crate) struct Checker {
    violations: Vec<Violation>,
}

impl Checker {
    /// SCEN-1: `value` lies in the range of `field`. A field without a range is our own mistake.
    pub(crate) fn integer(&mut self, field: &str, value: u64) {
        let name = without_indices(field);
        let bound = BOUNDS.iter().find(|bound| bound.field == name);
        let Some(Range::Integer { min, max, step }) = bound.map(|bound| &bound.range) else {
            panic!("SCEN-1: `{field}` is checked but has no range in the table");
        };
        if !(*min..=*max).contains(&value) || !value.is_multiple_of(*step) {
            self.refuse(field, &format!("found {value}"));
        }
    }

    /// SCEN-1: `text` is neither empty nor longer than `field` may be.
    pub(crate) fn text(&mut self, field: &str, text: &str) {
        let found = text.chars().count();
        let bound = BOUNDS.iter().find(|bound| bound.field == field);
        let fits = match bound.map(|bound| &bound.range) {
            Some(Range::Text { max }) => (1..=*max).contains(&found),
            _ => panic!("SCEN-1: `{field}` is checked but has no length in the table"),
        };
        if !fits {
            self.refuse(field, &format!("found {found} characters"));
        }
    }

    /// SCEN-1: `text` may stand in a file name, a column and a command line as it is.
    pub(crate) fn name(&mut self, field: &str, text: &str) {
        let fits = (1..=NAME_CHARS_MAX).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !fits {
            self.refuse(field, &format!("found {text:?}"));
        }
    }

    /// Notes that `field` is not what its range allows.
    pub(crate) fn refuse(&mut self, field: &str, found: &str) {
        let allowed = allowed(field).unwrap_or_else(|| panic!("SCEN-1: `{field}` has no range in the table"));
        self.violations.push(Violation { field: field.to_owned(), problem: format!("{found}, expected {allowed}") });
    }

    /// Notes that `field` contradicts another one.
    pub(crate) fn contradiction(&mut self, field: &str, problem: String) {
        self.violations.push(Violation { field: field.to_owned(), problem });
    }

    /// The verdict.
    pub(crate) fn finish(self) -> Result<(), CheckError> {
        if self.violations.is_empty() { Ok(()) } else { Err(CheckError { violations: self.violations }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(calls: impl FnOnce(&mut Checker), expected: &str) {
        let mut checker = Checker::default();
        calls(&mut checker);
        let found = checker.finish().err().map_or(String::new(), |error| error.to_string());
        assert_eq!(found, expected);
    }

    /// SCEN-1
    #[test]
    fn both_ends_of_a_range_are_in_it_and_their_neighbours_are_not() {
        for bound in BOUNDS {
            let Range::Integer { min, max, step } = bound.range else { continue };
            let field = bound.field.replace("[]", "[3]");
            for inside in [min, max] {
                check(|c| c.integer(&field, inside), "");
            }
            let expected = allowed(&field).expect("a range");
            for outside in [min.checked_sub(step), max.checked_add(step), Some(u64::MAX)].into_iter().flatten() {
                check(|c| c.integer(&field, outside), &format!("{field}: found {outside}, expected {expected}"));
            }
        }
    }

    #[test]
    fn a_step_is_part_of_the_range() {
        check(
            |c| c.integer("workload.payload[1].bytes", 68),
            "workload.payload[1].bytes: found 68, expected an integer in 32..=4096, a multiple of 8",
        );
    }

    #[test]
    fn names_and_texts() {
        for name in ["a", "ping_pong", "x9", &"a".repeat(48)] {
            check(|c| c.name("name", name), "");
        }
        for name in ["", "9x", "_x", "Steady", "ping-pong", "a/b", "é", &"a".repeat(49)] {
            let mut checker = Checker::default();
            checker.name("name", name);
            assert!(checker.finish().is_err(), "{name:?}");
        }
        check(|c| c.text("title", &"é".repeat(80)), "");
        check(|c| c.text("title", &"é".repeat(81)), "title: found 81 characters, expected a text of 1..=80 characters");
        check(|c| c.text("about", ""), "about: found 0 characters, expected a text of 1..=1000 characters");
    }

    #[test]
    fn a_figure_without_its_unit_finds_its_name() {
        for (field, near) in [
            ("objectives[3].latency_p99", Some("latency_permille_of_limit_p99")),
            ("objectives[0].machines[1].latency_p999", Some("latency_ns_p999")),
            ("objectives[0].loss", Some("loss_ppm")),
            ("objectives[0].depth_max", Some("depth_bytes_max")),
            ("objectives[0].throughput_min", Some("throughput_permille_of_offered_min")),
            ("objectives[0].scenaro", Some("scenario")),
            ("workload.offered.rate", Some("rate_per_s")),
            ("worklod", Some("workload")),
            ("objectives[0].latency_p42", None),
            ("objectives[0].\u{1b}", None),
            ("nowhere.latency_p99", None),
        ] {
            assert_eq!(near_field(field), near, "{field}");
        }
    }

    #[test]
    fn indices_are_left_out_of_a_name() {
        for (field, name) in [("a", "a"), ("a[0]", "a[]"), ("a[12].b[3].c", "a[].b[].c")] {
            assert_eq!(without_indices(field), name);
        }
    }
}
