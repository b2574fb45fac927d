//! Which logs the data set has, and from which bytes: what an append asks before it reads a log.

use crate::{
    HistoryFile, Holds, Piece, ReadHistoryError, Run, Source,
    dataset::{list_names, read_contents},
};
use rtt_seal::Digest;
use std::{collections::BTreeMap, path::Path};

/// A log in one file.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// The file.
    pub(crate) file: HistoryFile,
    /// What the file's metadata says of the log; nothing where the file cannot be read.
    pub(crate) piece: Option<Piece>,
}

/// The logs of a data set, each with the files that hold it, the one that counts first.
#[derive(Clone, Debug, Default)]
pub struct Index {
    logs: BTreeMap<Source, Vec<Standing>>,
}

impl Index {
    /// Reads the metadata of every file below `root`. A file that cannot be read is known by its name alone: a log's own
    /// file is then written anew, and the log of a damaged compaction gets a file of its own.
    ///
    /// # Errors
    /// [`ReadHistoryError::List`].
    pub fn read(root: &Path) -> Result<Index, ReadHistoryError> {
        let mut index = Index::default();
        for file in list_names(root)? {
            let pieces = read_contents(&file).unwrap_or_default();
            if let Holds::Log(source) = &file.holds {
                let piece = pieces.into_iter().find(|piece| piece.source == *source);
                index.insert(source.clone(), Standing { file, piece });
            } else {
                for piece in pieces {
                    index.insert(piece.source.clone(), Standing { file: file.clone(), piece: Some(piece) });
                }
            }
        }
        Ok(index)
    }

    fn insert(&mut self, source: Source, standing: Standing) {
        let standings = self.logs.entry(source).or_default();
        standings.push(standing);
        // HISTORY-6 as the readers have it: the log's own file, then the latest compaction.
        standings.sort_by_key(|standing| match standing.file.holds {
            Holds::Log(_) => 0,
            Holds::Compaction(number) => u64::MAX - number,
        });
    }

    /// Where the log `source` stands with exactly these bytes and this verdict, so that nothing is to be done.
    pub(crate) fn has(&self, source: &Source, log: &Digest, verdict: Option<&Digest>) -> Option<&Standing> {
        let first = self.logs.get(source)?.first()?;
        let piece = first.piece.as_ref()?;
        (piece.log == *log && piece.verdict.as_ref() == verdict).then_some(first)
    }

    /// A file of the same machine that has a log of this name under another day: another log.
    pub(crate) fn namesake(&self, source: &Source, machine: &str, day: &str) -> Option<&HistoryFile> {
        let files = self.logs.get(source)?.iter().map(|standing| &standing.file);
        files.into_iter().find(|file| file.machine == machine && file.day != day)
    }
}

impl Run {
    /// What a file's metadata says of this run.
    pub(crate) fn piece(&self) -> Piece {
        Piece {
            source: self.source(),
            log: self.digest,
            verdict: self.gate.as_ref().map(|gate| gate.document),
            rows: self.trials.len() as u64,
        }
    }
}
