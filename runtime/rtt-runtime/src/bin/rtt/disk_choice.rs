//! Which way to its disk a store is opened by: pwrite and fdatasync, unless a probe of this host found io_uring no slower.
//!
//! The choice is `disk.json` in the store: `{"version":1,"backend":"file"|"io_uring","ratio":R}`, `R` io_uring's time over
//! that of the plain calls in the median round, absent where it was refused. Without the file it is the plain calls.

use crate::failure::{Failure, REFUSED, UNEXPECTED, failure};
use crate::output::DiskChoice;
use rtt_measure::write_whole;
use rtt_seal::{in_full, strict_json};
use rtt_store::{Backend, Disk, Probed, open_disk, probe};
use rtt_units::Nanos;
use std::io;
use std::path::Path;
use std::time::Instant;

/// The disk of a store.
pub(crate) type StoreDisk = Box<dyn Disk + Send>;

const FILE: &str = "disk.json";

/// Opens the disk of the store in `folder`, which is there.
pub(crate) fn open(folder: &Path) -> Result<StoreDisk, Failure> {
    let path = folder.join(FILE);
    let backend = match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Backend::File,
        Err(error) => return Err(failure(UNEXPECTED, format!("{}: {error}", path.display()))),
        Ok(bytes) => read(&bytes).map_err(|why| failure(REFUSED, format!("{}: {why}", path.display())))?,
    };
    let again = |error| match backend {
        Backend::File => in_full(&error),
        Backend::Uring => format!("{}; `rtt store probe` chooses again", in_full(&error)),
    };
    open_disk(folder, backend)
        .map_err(|error| failure(UNEXPECTED, format!("store {}: {}", folder.display(), again(error))))
}

fn read(bytes: &[u8]) -> Result<Backend, String> {
    let choice: DiskChoice = strict_json::parse(bytes).map_err(|error| in_full(&error))?;
    match (choice.version, choice.backend.as_str()) {
        (1, "file") => Ok(Backend::File),
        (1, "io_uring") => Ok(Backend::Uring),
        (1, other) => Err(format!("backend is {other:?}, expected `file` or `io_uring`")),
        (version, _) => Err(format!("version is {version}, expected 1")),
    }
}

/// Probes the disk of the store in `folder`, which is made where it is missing, and keeps the choice there; what was found,
/// in words and as the document.
pub(crate) fn choose(folder: &Path) -> Result<(String, String), Failure> {
    let failed = |error: &dyn std::error::Error| {
        failure(UNEXPECTED, format!("store {}: the disk cannot be probed: {}", folder.display(), in_full(error)))
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    let begin = Instant::now();
    let clock = || Nanos(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
    let probed = probe(folder, clock).map_err(|error| failed(&error))?;
    let (words, choice) = told(&probed);
    let text = serde_json::to_string(&choice).expect("a choice is JSON");
    write_whole(&folder.join(FILE), text.as_bytes()).map_err(|error| failed(&error))?;
    Ok((words, text))
}

fn told(probed: &Probed) -> (String, DiskChoice) {
    let backend = match probed.backend() {
        Backend::File => "file",
        Backend::Uring => "io_uring",
    };
    let ratio = probed.ratio();
    let words = match (&probed.refused, ratio) {
        (Some(error), _) => format!("pwrite and fdatasync: io_uring is refused ({})", in_full(error)),
        (None, Some(ratio)) => {
            let way = if backend == "file" { "pwrite and fdatasync" } else { "io_uring" };
            format!("{way}: io_uring took {ratio:.2} of the time of pwrite and fdatasync here")
        }
        (None, None) => "pwrite and fdatasync".to_owned(),
    };
    (words, DiskChoice { version: 1, backend: backend.to_owned(), ratio: ratio.filter(|_| probed.refused.is_none()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_that_rtt_did_not_write_is_refused_by_field() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(open(folder.path()).is_ok(), "none was made yet");
        let (words, text) = choose(folder.path()).expect("probed");
        assert!(words.starts_with("pwrite") || words.starts_with("io_uring"), "{words}");
        assert!(read(text.as_bytes()).is_ok() && open(folder.path()).is_ok(), "{text}");
        for (text, part) in [
            (r#"{"version":2,"backend":"file"}"#, "version is 2, expected 1"),
            (r#"{"version":1,"backend":"tape"}"#, "expected `file` or `io_uring`"),
            (r#"{"version":1}"#, "backend"),
            ("", "not JSON"),
        ] {
            std::fs::write(folder.path().join(FILE), text).expect("written");
            let refused = open(folder.path()).map(drop).expect_err(text);
            assert!(refused.code == REFUSED && refused.message.contains(part), "{}", refused.message);
        }
    }
}
