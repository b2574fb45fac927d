//! Whole histograms in records: HdrHistogram, three digits, V2-deflate, base64.

use crate::Quantiles;
use base64::{Engine, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer, V2DeflateSerializer},
};

/// Why a text is no histogram.
#[derive(Debug, thiserror::Error)]
pub enum HistogramError {
    /// Not base64.
    #[error("histogram is not base64")]
    Base64(#[from] base64::DecodeError),
    /// Not V2-deflate.
    #[error("histogram is not V2-deflate: {0}")]
    Format(String),
}

/// The whole histogram as text.
pub fn encode_histogram(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    let written = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
    written.expect("a histogram in memory serialises into memory");
    STANDARD.encode(bytes)
}

/// The histogram in `text`.
///
/// # Errors
/// [`HistogramError`] for anything that [`encode_histogram`] does not write.
pub fn decode_histogram(text: &str) -> Result<Histogram<u64>, HistogramError> {
    let bytes = STANDARD.decode(text)?;
    let read = Deserializer::new().deserialize(&mut bytes.as_slice());
    read.map_err(|e| HistogramError::Format(format!("{e:?}")))
}

/// The quantiles that a record names.
pub fn quantiles(histogram: &Histogram<u64>) -> Quantiles {
    let at = |quantile| histogram.value_at_quantile(quantile);
    Quantiles { p50: at(0.50), p95: at(0.95), p99: at(0.99), p999: at(0.999), n: histogram.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_survives_whole() {
        let mut histogram = Histogram::<u64>::new(3).expect("three digits");
        for value in 1..=10_000_u64 {
            histogram.record(value * 37).expect("it resizes");
        }
        let back = decode_histogram(&encode_histogram(&histogram)).expect("what was written");
        assert_eq!(back, histogram);
        assert_eq!(quantiles(&back).n, 10_000);
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        for text in ["", "AAAA", "no base64!"] {
            assert!(decode_histogram(text).is_err(), "{text}");
        }
    }
}
