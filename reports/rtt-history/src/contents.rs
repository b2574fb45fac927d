//! Which logs a file of the data set holds, as its own metadata says: a log, the bytes it was read from, its rows.
//!
//! The digests tell whether a log, or the verdict of its gate, has changed since. A compaction carries the entries of
//! all files that it took in, so nothing has to be decoded to know what is there.

use crate::Source;
use rtt_seal::Digest;
use serde_json::{Value, json};

/// One log in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The log.
    pub source: Source,
    /// BLAKE3 of the log's bytes.
    pub log: Digest,
    /// BLAKE3 of the gate's verdict; none for a tune.
    pub verdict: Option<Digest>,
    /// Its rows.
    pub rows: u64,
}

/// The pieces as the file's metadata has them.
pub(crate) fn contents_text(pieces: &[Piece]) -> String {
    let entry = |piece: &Piece| {
        json!({
            "log": piece.source.stem(),
            "log_blake3": piece.log.to_string(),
            "verdict_blake3": piece.verdict.map(|digest| digest.to_string()),
            "rows": piece.rows,
        })
    };
    Value::Array(pieces.iter().map(entry).collect()).to_string()
}

/// The pieces in such a text; none where it is not one.
pub(crate) fn contents_of(text: &str) -> Option<Vec<Piece>> {
    let Value::Array(entries) = serde_json::from_str(text).ok()? else { return None };
    let digest = |value: &Value| value.as_str()?.parse::<Digest>().ok();
    let piece = |entry: &Value| {
        let verdict = match entry.get("verdict_blake3")? {
            Value::Null => None,
            value => Some(digest(value)?),
        };
        let source = Source::of_stem(entry.get("log")?.as_str()?)?;
        Some(Piece { source, log: digest(entry.get("log_blake3")?)?, verdict, rows: entry.get("rows")?.as_u64()? })
    };
    entries.iter().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_read_back_and_nothing_else_is() {
        let pieces = [
            Piece {
                source: Source::Tune { run: "a \"b\"\nc".into() },
                log: Digest::of(b"log"),
                verdict: None,
                rows: 0,
            },
            Piece {
                source: Source::Gate { comparison: "c".into(), log: "000".into() },
                log: Digest::of(b"other"),
                verdict: Some(Digest::of(b"verdict")),
                rows: u64::MAX,
            },
        ];
        let text = contents_text(&pieces);
        assert_eq!(contents_of(&text).as_deref(), Some(&pieces[..]));
        for bad in ["", "{}", "[7]", "[{}]", &text.replace("rows", "row"), &text[1..], &text.replace("gate=", "x=")] {
            assert_eq!(contents_of(bad), None, "{bad}");
        }
    }
}
