//! Two settings side by side, knob by knob.

use crate::words;
use minijinja::{Value, context};
use rtt_measure::Point;
use rtt_profile::KNOB_NAMES;

/// One knob in both settings.
#[derive(Clone, Debug)]
pub struct KnobRow {
    /// Its name for a reader.
    pub name: String,
    /// Its value before.
    pub before: String,
    /// Its value after; a dash without a second setting.
    pub after: String,
    /// Whether there is a second setting that differs here.
    pub changed: bool,
    /// Whether a setting lacks it: it does not exist beside the others.
    pub has_dash: bool,
}

/// The knobs of `before` and `after`, the product's in its order first, then whatever else a problem has.
pub fn rows(before: &Point, after: Option<&Point>) -> Vec<KnobRow> {
    let mut names: Vec<&String> = before.keys().chain(after.into_iter().flat_map(|point| point.keys())).collect();
    let rank = |name: &str| KNOB_NAMES.iter().position(|known| *known == name).unwrap_or(KNOB_NAMES.len());
    names.sort_by(|a, b| rank(a).cmp(&rank(b)).then(a.cmp(b)));
    names.dedup();
    let show = |name: &String, point: Option<&Point>| match point.and_then(|point| point.get(name)) {
        Some(value) => words::axis_value(name, value),
        None => words::DASH.into(),
    };
    let row = |name: &String| {
        let (old, new) = (show(name, Some(before)), show(name, after));
        KnobRow {
            name: words::axis_name(name),
            changed: after.is_some() && old != new,
            has_dash: !before.contains_key(name) || after.is_some_and(|point| !point.contains_key(name)),
            before: old,
            after: new,
        }
    };
    names.into_iter().map(row).collect()
}

impl KnobRow {
    /// The row for the template.
    pub fn value(self) -> Value {
        let state = if self.changed { "changed" } else { "same" };
        context! { name => self.name, before => self.before, after => self.after, state => state }
    }
}
