//! Quantities with their units in the type: [`Nanos`], [`Bytes`], [`CpuId`], [`NumaNode`], [`Rate`].
//!
//! Every quantity parses what it prints. Text always carries its unit (`250us`, `64KiB`, `1.5M/s`),
//! because a bare number in a command line or a report is a guess. Arithmetic is checked.
//! Documents do not use these types: their fields are plain integers whose names carry the unit.

mod bytes;
mod cpu;
mod draw;
mod nanos;
mod rate;

pub use bytes::Bytes;
pub use cpu::{CpuId, CpuSet, NumaNode};
pub use draw::SplitMix64;
pub use nanos::Nanos;
pub use rate::Rate;

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The text does not begin with a number.
    #[error("`{text}` is not a {quantity}: write it as `{example}`")]
    NotANumber {
        /// What was read.
        text: String,
        /// What was expected.
        quantity: &'static str,
        /// A text that would have been taken.
        example: &'static str,
    },
    /// The number has no unit, or one that is not of this quantity.
    #[error("`{text}` is not a {quantity}: unit `{unit}` is none of {known}; write `{example}`")]
    Unit {
        /// What was read.
        text: String,
        /// The unit found, empty where there was none.
        unit: String,
        /// What was expected.
        quantity: &'static str,
        /// The units that are taken.
        known: &'static str,
        /// A text that would have been taken.
        example: &'static str,
    },
    /// The value does not fit.
    #[error("`{text}` is not a {quantity}: out of range")]
    Range {
        /// What was read.
        text: String,
        /// What was expected.
        quantity: &'static str,
    },
}

/// One unit of a quantity: its suffix and how many base units it holds.
type Unit = (&'static str, u64);

/// What [`parse_scaled`] needs to know of a quantity.
struct Grammar {
    quantity: &'static str,
    example: &'static str,
    known: &'static str,
    units: &'static [Unit],
}

/// Splits `text` in digits (with at most one point) and a unit, and scales to the nearest base unit, in integers: `1.5us` is 1500, never 1499.
fn parse_scaled(text: &str, grammar: &Grammar) -> Result<u64, ParseError> {
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = (&trimmed[..split], trimmed[split..].trim());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || (number.contains('.') && fraction.is_empty()) {
        return Err(ParseError::NotANumber { text: text.into(), quantity: grammar.quantity, example: grammar.example });
    }
    let Some(&(_, scale)) = grammar.units.iter().find(|(suffix, _)| *suffix == unit) else {
        return Err(ParseError::Unit {
            text: text.into(),
            unit: unit.into(),
            quantity: grammar.quantity,
            known: grammar.known,
            example: grammar.example,
        });
    };
    let range = || ParseError::Range { text: text.into(), quantity: grammar.quantity };
    if fraction.len() > 18 {
        return Err(range());
    }
    let whole: u128 = whole.parse().map_err(|_| range())?;
    let divisor = 10_u128.pow(fraction.len() as u32);
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| range())? };
    let scaled = whole.checked_mul(u128::from(scale)).ok_or_else(range)?;
    let part = fraction * u128::from(scale);
    if scale == 1 && part != 0 {
        return Err(range()); // A part of the base unit, such as 0.5 ns, is no value.
    }
    u64::try_from(scaled + (part + divisor / 2) / divisor).map_err(|_| range())
}

/// UNITS-1: writes `value` in the largest unit that it reaches, with up to three decimals and exact where possible.
fn format_scaled(value: u64, units: &[Unit], f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    let &(suffix, scale) =
        units.iter().rev().find(|(_, scale)| value >= *scale).unwrap_or(units.first().expect("a quantity has a unit"));
    let exact = value.is_multiple_of(scale);
    let thousandths = (u128::from(value) * 1000 + u128::from(scale) / 2) / u128::from(scale);
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    let text =
        if exact { (value / scale).to_string() } else { text.trim_end_matches('0').trim_end_matches('.').into() };
    f.pad(&format!("{text}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nanos(text: &str) -> Result<u64, String> {
        text.parse::<Nanos>().map(|n| n.0).map_err(|e| e.to_string())
    }

    #[test]
    fn a_text_with_a_unit_is_read_exactly() {
        for (text, value) in [("1ns", 1), ("1.5us", 1500), ("0.001ms", 1000), ("2s", 2_000_000_000), (" 7 us ", 7000)] {
            assert_eq!(nanos(text), Ok(value), "{text}");
        }
        assert_eq!("64KiB".parse(), Ok(Bytes(65536)));
        assert_eq!("1.5M/s".parse(), Ok(Rate(1_500_000)));
    }

    #[test]
    fn what_is_no_quantity_is_named() {
        for (text, part) in [
            ("", "write it as"),
            ("5", "unit `` is none of"),
            ("5 furlongs", "unit `furlongs`"),
            ("1.2.3s", "write it as"),
            ("-1s", "write it as"),
            ("0.5ns", "out of range"),
            ("99999999999999999999s", "out of range"),
        ] {
            let error = nanos(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn cpu_lists_follow_the_kernel() {
        let set: CpuSet = "0-2,5".parse().expect("a list");
        assert_eq!(set.iter().map(|c| c.0).collect::<Vec<_>>(), [0, 1, 2, 5]);
        assert_eq!(set.to_string(), "0-2,5");
        assert!("3-1".parse::<CpuSet>().is_err());
        assert!("a".parse::<CpuSet>().is_err());
        assert!("0-4000000000".parse::<CpuSet>().is_err(), "a list that would fill the memory is refused");
    }

    proptest! {
        /// UNITS-1: what a quantity prints, it reads back to within the three decimals printed.
        #[test]
        fn print_then_parse_is_the_value(value in any::<u64>()) {
            let near = |back: u64| (back as i128 - i128::from(value)).unsigned_abs() <= u128::from(value) / 1000 + 1;
            if value < u64::MAX / 2 {
                prop_assert!(near(Nanos(value).to_string().parse::<Nanos>().expect("nanos").0));
                prop_assert!(near(Rate(value).to_string().parse::<Rate>().expect("rate").0));
            }
        }
        #[test]
        fn exact_multiples_are_exact(value in 0_u64..1024, unit in 0_usize..4) {
            let bytes = Bytes(value << (10 * unit));
            prop_assert_eq!(bytes.to_string().parse::<Bytes>(), Ok(bytes));
        }
    }
}
