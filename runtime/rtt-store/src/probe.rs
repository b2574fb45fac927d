//! Which way to the disk this host is faster with, by trying both in turn.
//!
//! The speed of a disk drifts within seconds, so that only rounds of both, one after the other, say anything.

use crate::disk::{Disk, DiskError, Request};
use crate::{FileDisk, UringDisk};
use rtt_units::Nanos;
use std::path::Path;

/// Rounds of each way.
const ROUNDS: usize = 9;
/// Commits in a round.
const COMMITS: usize = 8;
/// Bytes of a commit: a group of some records.
const BYTES: usize = 8192;
/// File that is written to; it is removed afterwards.
const SCRATCH: &str = "probe.tmp";

/// A way to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// [`FileDisk`]: pwrite and fdatasync.
    File,
    /// [`UringDisk`]: both linked through io_uring.
    Uring,
}

/// What the rounds came to.
#[derive(Clone, Debug)]
pub struct Probed {
    /// Time of each round by pwrite and fdatasync, and by io_uring.
    pub rounds: Vec<(Nanos, Nanos)>,
    /// Why io_uring was not tried, or not to its end.
    pub refused: Option<DiskError>,
}

impl Probed {
    /// io_uring where it was no slower in the median of the rounds' ratios, else the plain calls.
    pub fn backend(&self) -> Backend {
        match self.ratio() {
            Some(median) if median <= 1.0 && self.refused.is_none() => Backend::Uring,
            _ => Backend::File,
        }
    }

    /// io_uring's time over that of the plain calls, in the median round.
    pub fn ratio(&self) -> Option<f64> {
        let mut ratios: Vec<f64> =
            self.rounds.iter().map(|(file, uring)| uring.0 as f64 / file.0.max(1) as f64).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied()
    }
}

/// Opens the directory `root` by the way that was chosen.
///
/// # Errors
/// [`DiskError`].
pub fn open_disk(root: &Path, backend: Backend) -> Result<Box<dyn Disk + Send>, DiskError> {
    Ok(match backend {
        Backend::File => Box::new(FileDisk::open(root)?),
        Backend::Uring => Box::new(UringDisk::open(root)?),
    })
}

/// Writes and syncs in `root` by both ways in turn. `clock` tells the time, from any beginning.
///
/// # Errors
/// [`DiskError`] when the plain calls fail; where io_uring does, that is part of the result.
pub fn probe(root: &Path, mut clock: impl FnMut() -> Nanos) -> Result<Probed, DiskError> {
    let mut plain = FileDisk::open(root)?;
    let mut probed = Probed { rounds: Vec::new(), refused: None };
    let mut uring = match UringDisk::open(root) {
        Ok(uring) => uring,
        Err(error) => {
            probed.refused = Some(error);
            return Ok(probed);
        }
    };
    match plain.run(Request::Remove { path: SCRATCH.into() }) {
        Err(error) if !error.is_missing() => return Err(error),
        _ => {}
    }
    let file = plain.run(Request::Create { path: SCRATCH.into() })?.opened();
    plain.run(Request::Write { file, offset: 0, bytes: vec![0; COMMITS * BYTES] })?;
    plain.run(Request::Sync { file })?;
    plain.run(Request::Close { file })?;
    for round in 0..ROUNDS {
        // Each goes first in every second round: what the first finds warm is not the second's merit.
        let tried = if round % 2 == 0 {
            let file = time(&mut plain, &mut clock)?;
            time(&mut uring, &mut clock).map(|uring| (file, uring))
        } else {
            time(&mut uring, &mut clock).and_then(|uring| time(&mut plain, &mut clock).map(|file| (file, uring)))
        };
        match tried {
            Ok(times) => probed.rounds.push(times),
            Err(error) => {
                probed.refused = Some(error);
                break;
            }
        }
    }
    plain.run(Request::Remove { path: SCRATCH.into() })?;
    Ok(probed)
}

fn time(disk: &mut dyn Disk, clock: &mut dyn FnMut() -> Nanos) -> Result<Nanos, DiskError> {
    let file = disk.run(Request::Open { path: SCRATCH.into(), access: crate::Access::Write })?.opened();
    let begin = clock();
    let mut bytes = vec![1; BYTES];
    for commit in 0..COMMITS {
        bytes = disk.run(Request::WriteSync { file, offset: (commit * BYTES) as u64, bytes })?.bytes();
    }
    let end = clock();
    disk.run(Request::Close { file })?;
    Ok(Nanos(end.0.saturating_sub(begin.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_uring_is_chosen_only_where_it_is_no_slower() {
        let rounds = |times: &[(u64, u64)]| Probed {
            rounds: times.iter().map(|(file, uring)| (Nanos(*file), Nanos(*uring))).collect(),
            refused: None,
        };
        for (times, expected) in [
            (&[][..], Backend::File),
            (&[(100, 90), (100, 95), (100, 300)], Backend::Uring),
            (&[(100, 100)], Backend::Uring),
            (&[(100, 101)], Backend::File),
            (&[(10, 90), (100, 95), (100, 300)], Backend::File),
        ] {
            assert_eq!(rounds(times).backend(), expected, "{times:?}");
        }
        let error = failed_probe();
        assert_eq!(Probed { refused: Some(error), ..rounds(&[(100, 50)]) }.backend(), Backend::File);
    }

    fn failed_probe() -> DiskError {
        DiskError { operation: "io_uring_setup", path: ".".into(), cause: crate::Cause::MISSING }
    }

    #[test]
    fn a_probe_tries_both_in_turn_and_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut now = 0;
        let clock = || {
            now += 1;
            Nanos(now)
        };
        let probed = probe(folder.path(), clock).expect("probed");
        match &probed.refused {
            Some(error) => eprintln!("skipped: {error}"),
            None => assert_eq!(probed.rounds, vec![(Nanos(1), Nanos(1)); ROUNDS]),
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
        assert!(open_disk(folder.path(), probed.backend()).is_ok());
    }
}
