//! A u64 as a decimal string, for `#[serde(with = "rtt_seal::decimal")]`: numbers beyond 2^53 do not survive every JSON
//! reader, so a field that may hold one is never a number.
//!
//! SEAL-12  Such a field has one text: digits without a sign, leading zeros or quotes left out.

use serde::{Deserializer, Serializer, de};
use std::fmt;

/// Writes the number in quotes.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Reads a number in quotes.
///
/// # Errors
/// For a number without quotes, and for any text but the one that [`serialize`] writes.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_str(Decimal)
}

struct Decimal;

impl de::Visitor<'_> for Decimal {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal number below 2^64 as a string, without leading zeros")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        let value = text.parse::<u64>().ok().filter(|value| value.to_string() == text); // SEAL-12
        value.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Count {
        #[serde(with = "super")]
        n: u64,
    }

    /// SEAL-12
    #[test]
    fn a_large_number_has_one_text() {
        for n in [0, 9, 1 << 53, (1 << 53) + 1, u64::MAX] {
            let text = serde_json::to_string(&Count { n }).expect("json");
            assert_eq!(text, format!(r#"{{"n":"{n}"}}"#));
            assert_eq!(crate::strict_json::parse(text.as_bytes()), Ok(Count { n }));
        }
        for wrong in [
            "7",
            "9007199254740993",
            "7.0",
            "null",
            r#""07""#,
            r#""+7""#,
            r#""-7""#,
            r#"" 7""#,
            r#""""#,
            r#""1e3""#,
            r#""18446744073709551616""#,
            r#""0x7""#,
        ] {
            let error = crate::strict_json::parse::<Count>(format!(r#"{{"n":{wrong}}}"#).as_bytes()).expect_err(wrong);
            assert!(error.to_string().contains("(field `n`)"), "{wrong}: {error}");
        }
    }
}
