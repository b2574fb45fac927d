//! Profiles for other programs: environment lines, JSON of the knobs, and how two profiles differ.

use crate::{KNOB_NAMES, Knobs, Profile};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// One field in which two profiles differ. A field that one of them lacks is empty there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The field, as `knobs.ring_bytes`.
    pub field: String,
    /// Its value in the first profile.
    pub left: String,
    /// Its value in the second profile.
    pub right: String,
}

/// The knobs as lines of a shell's or systemd's environment file: `RTT_RING_BYTES=65536`. Values are words or integers
/// and need no quotes.
pub fn env_lines(knobs: &Knobs) -> String {
    let value = value_of(knobs);
    let lines = KNOB_NAMES.map(|name| format!("RTT_{}={}\n", name.to_uppercase(), in_words(&value[name])));
    lines.concat()
}

/// The knobs as one line of JSON, without a newline, in the order of [`KNOB_NAMES`].
pub fn knobs_json(knobs: &Knobs) -> String {
    serde_json::to_string(knobs).expect("knobs are words and integers")
}

/// The fields in which two profiles differ: knobs first, then what they are worth, then where they come from.
pub fn diff(left: &Profile, right: &Profile) -> Vec<Row> {
    let (left, right) = (flat(left), flat(right));
    let mut fields: Vec<&String> = left.keys().chain(right.keys()).collect();
    fields.sort_by_key(|field| (section(field), *field));
    fields.dedup();
    let value = |of: &BTreeMap<String, String>, field: &String| of.get(field).cloned().unwrap_or_default();
    let rows = fields.into_iter().map(|field| Row {
        field: field.clone(),
        left: value(&left, field),
        right: value(&right, field),
    });
    rows.filter(|row| row.left != row.right).collect()
}

/// What a reader wants to see first.
fn section(field: &str) -> usize {
    const ORDER: [&str; 5] = ["knobs", "outcome", "p99_ns", "rows", "fingerprint"];
    ORDER.iter().position(|section| field.starts_with(section)).unwrap_or(ORDER.len())
}

fn flat(profile: &Profile) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    flatten(String::new(), &value_of(profile), &mut fields);
    fields
}

fn flatten(name: String, value: &Value, fields: &mut BTreeMap<String, String>) {
    let join = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| flatten(join(key), value, fields)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| flatten(format!("{name}[{index}]"), value, fields));
        }
        _ => drop(fields.insert(name, in_words(value))),
    }
}

fn in_words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn value_of(of: &impl Serialize) -> Value {
    serde_json::to_value(of).expect("a profile is strings and integers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::tests::profile;
    use crate::{Pin, Wait};

    #[test]
    fn knobs_are_exported_by_name() {
        let knobs = Knobs {
            ring_bytes: 65_536,
            batch: 8,
            window_us: 0,
            wait: Wait::Futex,
            spin_us: 120,
            pin: Pin::SameL3,
            huge_pages: false,
        };
        assert_eq!(
            env_lines(&knobs),
            "RTT_RING_BYTES=65536\nRTT_BATCH=8\nRTT_WINDOW_US=0\nRTT_WAIT=futex\nRTT_SPIN_US=120\nRTT_PIN=same_l3\n\
             RTT_HUGE_PAGES=false\n"
        );
        assert_eq!(
            knobs_json(&knobs),
            r#"{"ring_bytes":65536,"batch":8,"window_us":0,"wait":"futex","spin_us":120,"pin":"same_l3","huge_pages":false}"#
        );
    }

    #[test]
    fn each_changed_field_is_a_row_and_knobs_come_first() {
        let (left, mut right) = (profile(), profile());
        assert_eq!(diff(&left, &right), []);
        right.build = "rtt 0.2.0".into();
        right.rows.pop();
        right.knobs.batch = 64;
        right.p99_ns.tuned.low = 1;
        let rows = diff(&left, &right);
        let fields: Vec<_> = rows.iter().map(|row| row.field.as_str()).collect();
        assert_eq!(&fields[..2], ["knobs.batch", "p99_ns.tuned.low"]);
        assert_eq!(fields.last(), Some(&"build"));
        assert_eq!((rows[0].left.as_str(), rows[0].right.as_str()), ("32", "64"));
        let gone = rows.iter().find(|row| row.field == "rows[1].condition").expect("a row that one side lacks");
        assert_eq!((gone.left.as_str(), gone.right.as_str()), ("faulted", ""));
    }
}
