//! One value of a row, whatever its column: what polars, JSON and text have in common.

use polars::prelude::AnyValue;
use std::{cmp::Ordering, fmt};

/// One value. In JSON it is `null`, a boolean, a number or a string.
#[derive(Clone, Debug)]
pub enum Cell {
    /// There is none; never a zero in disguise.
    Absent,
    /// Yes or no.
    Flag(bool),
    /// A whole number in the unit that the column's name carries.
    Count(u64),
    /// A number that need not be whole.
    Real(f64),
    /// A name, a digest or a text.
    Text(String),
}

impl Cell {
    /// `Absent` for `None`.
    pub fn count(value: Option<u64>) -> Cell {
        value.map_or(Cell::Absent, Cell::Count)
    }

    /// `Absent` for `None`.
    pub fn text(value: Option<impl Into<String>>) -> Cell {
        value.map_or(Cell::Absent, |text| Cell::Text(text.into()))
    }

    /// The number, of either kind.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Cell::Count(n) => Some(*n as f64),
            Cell::Real(x) => Some(*x),
            Cell::Absent | Cell::Flag(_) | Cell::Text(_) => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Cell::Absent => 0,
            Cell::Flag(_) => 1,
            Cell::Count(_) => 2,
            Cell::Real(_) => 3,
            Cell::Text(_) => 4,
        }
    }
}

/// A total order, so that rows have one order: absent first, then by kind and value.
impl Ord for Cell {
    fn cmp(&self, other: &Cell) -> Ordering {
        match (self, other) {
            (Cell::Flag(a), Cell::Flag(b)) => a.cmp(b),
            (Cell::Count(a), Cell::Count(b)) => a.cmp(b),
            (Cell::Real(a), Cell::Real(b)) => a.total_cmp(b),
            (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Cell {
    fn partial_cmp(&self, other: &Cell) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cell {
    fn eq(&self, other: &Cell) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cell {}

/// As CSV wants it: the plain value, nothing for `Absent`.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Absent => Ok(()),
            Cell::Flag(yes) => f.pad(if *yes { "true" } else { "false" }),
            Cell::Count(n) => n.fmt(f),
            Cell::Real(x) => x.fmt(f),
            Cell::Text(text) => f.pad(text),
        }
    }
}

impl From<AnyValue<'_>> for Cell {
    fn from(value: AnyValue<'_>) -> Cell {
        match value {
            AnyValue::Null => Cell::Absent,
            AnyValue::Boolean(yes) => Cell::Flag(yes),
            AnyValue::UInt32(n) => Cell::Count(u64::from(n)),
            AnyValue::UInt64(n) => Cell::Count(n),
            AnyValue::Float64(x) => Cell::Real(x),
            AnyValue::String(text) => Cell::Text(text.to_owned()),
            AnyValue::StringOwned(text) => Cell::Text(text.as_str().to_owned()),
            // No column and no measure has another type; a foreign file's is shown as polars writes it.
            other => Cell::Text(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_total_and_the_text_plain() {
        let sorted = [
            Cell::Absent,
            Cell::Flag(false),
            Cell::Flag(true),
            Cell::Count(7),
            Cell::Count(10),
            Cell::Real(f64::NAN),
            Cell::Text("a".into()),
        ];
        assert!(sorted.is_sorted());
        let texts: Vec<_> = sorted.iter().map(Cell::to_string).collect();
        assert_eq!(texts, ["", "false", "true", "7", "10", "NaN", "a"]);
        let json = serde_json::to_string(&sorted).expect("JSON");
        assert_eq!(json, r#"[null,false,true,7,10,null,"a"]"#);
    }
}
