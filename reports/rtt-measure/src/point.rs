//! A point of a search space, and the one mapping between points and knobs.

use rtt_profile::{Knobs, KnobsError, Wait};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// One coordinate.
#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Of an `integer` axis.
    Integer(i64),
    /// Of a `real` axis.
    Real(f64),
    /// Of a `category` axis.
    Text(String),
}

impl Value {
    /// The number, or `None` for a category.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Integer(n) => Some(*n as f64),
            Value::Real(x) => Some(*x),
            Value::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Integer(n) => n.fmt(f),
            Value::Real(x) => x.fmt(f),
            Value::Text(text) => text.fmt(f),
        }
    }
}

/// Axis names and their values. An axis that does not exist at this point (see [`crate::When`]) is left out.
pub type Point = BTreeMap<String, Value>;

/// Why a point is no knobs.
#[derive(Debug, thiserror::Error)]
pub enum PointError {
    /// An axis is missing, unknown or of the wrong type.
    #[error("point {point}: {reason}")]
    Shape {
        /// The point as JSON.
        point: String,
        /// What is wrong.
        reason: String,
    },
    /// A value is out of its range.
    #[error(transparent)]
    Range(#[from] KnobsError),
}

/// The point of `knobs`: the axes are the knobs' fields; `huge_pages` is `off` or `on`; `spin_us` is left out under `spin`.
pub fn point_of(knobs: &Knobs) -> Point {
    let serde_json::Value::Object(fields) = serde_json::to_value(knobs).expect("knobs are integers and names") else {
        unreachable!("knobs are a struct")
    };
    let value = |value: serde_json::Value| match value {
        serde_json::Value::Bool(on) => Value::Text(if on { "on" } else { "off" }.into()),
        serde_json::Value::Number(n) => Value::Integer(n.as_i64().expect("knobs are below 2^63")),
        serde_json::Value::String(text) => Value::Text(text),
        other => unreachable!("{other} is no knob"),
    };
    let mut point: Point = fields.into_iter().map(|(name, field)| (name, value(field))).collect();
    if knobs.wait == Wait::Spin {
        point.remove("spin_us");
    }
    point
}

/// The knobs at `point`.
///
/// # Errors
/// [`PointError`] for an unknown or missing axis, a value of the wrong type or outside its range.
pub fn knobs_of(point: &Point) -> Result<Knobs, PointError> {
    let mut fields = serde_json::Map::new();
    for (name, value) in point {
        let value = match value {
            Value::Text(text) if name == "huge_pages" && (text == "on" || text == "off") => (text == "on").into(),
            value => serde_json::to_value(value).expect("a coordinate is a number or a name"),
        };
        fields.insert(name.clone(), value);
    }
    if point.get("wait") == Some(&Value::Text("spin".into())) {
        fields.entry("spin_us").or_insert(0.into());
    }
    let shape = |e: serde_json::Error| PointError::Shape {
        point: serde_json::to_string(point).expect("a point is JSON"),
        reason: e.to_string(),
    };
    let knobs: Knobs = serde_json::from_value(serde_json::Value::Object(fields)).map_err(shape)?;
    knobs.check()?;
    Ok(knobs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtt_profile::{Pin, Preset};
    use rtt_units::Nanos;

    #[test]
    fn knobs_go_to_a_point_and_back() {
        let pins = [Pin::SameCpu, Pin::SameL3];
        let presets = Preset::ALL.map(|preset| preset.knobs(&pins));
        for knobs in presets.into_iter().chain([Knobs::default_for(Nanos::from_micros(60))]) {
            assert_eq!(knobs_of(&point_of(&knobs)).expect("the knobs"), knobs);
        }
    }

    #[test]
    fn a_point_that_is_no_knobs_is_refused() {
        let good = point_of(&Knobs::default_for(Nanos(1)));
        let with = |name: &str, value: Value| {
            let mut point = good.clone();
            point.insert(name.into(), value);
            knobs_of(&point).map_err(|e| e.to_string())
        };
        assert!(with("batch", Value::Integer(0)).is_err_and(|e| e.contains("1..=256")));
        assert!(with("colour", Value::Integer(0)).is_err_and(|e| e.contains("colour")));
        assert!(with("wait", Value::Text("sleep".into())).is_err_and(|e| e.contains("sleep")));
        assert!(with("huge_pages", Value::Text("yes".into())).is_err());
        assert!(knobs_of(&Point::new()).is_err_and(|e| e.to_string().contains("missing")));
    }
}
