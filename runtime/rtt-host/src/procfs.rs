//! Reading the small text files of `/proc` and `/sys` below a root, which is `/` or a made-up tree.

use crate::topology::TopologyError;
use rtt_units::{Bytes, CpuSet};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The text of a file without surrounding blanks, `None` where the file is not there or may not be read.
pub(crate) fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// As [`text`]; a file that is not there is an error.
pub(crate) fn needed(path: &Path) -> Result<String, TopologyError> {
    let read = fs::read_to_string(path);
    read.map(|text| text.trim().to_owned()).map_err(|source| TopologyError::Read { path: path.into(), source })
}

/// A list of CPUs or nodes in the kernel's format; `None` where the file is not there.
pub(crate) fn list(path: &Path) -> Result<Option<CpuSet>, TopologyError> {
    text(path).map(|text| parse_list(path, &text)).transpose()
}

/// As [`list`]; a file that is not there is an error.
pub(crate) fn needed_list(path: &Path) -> Result<CpuSet, TopologyError> {
    parse_list(path, &needed(path)?)
}

fn parse_list(path: &Path, text: &str) -> Result<CpuSet, TopologyError> {
    // An empty `nohz_full` or `isolated` reads `(null)` on some kernels.
    let text = if text == "(null)" { "" } else { text };
    text.parse().map_err(|_| content(path, text, "a list such as 0-2,5"))
}

/// The error for a file that holds something else than it should.
pub(crate) fn content(path: &Path, text: &str, expected: &'static str) -> TopologyError {
    let line: String = text.lines().next().unwrap_or("").chars().take(80).collect();
    TopologyError::Content { path: path.into(), text: line, expected }
}

/// `MemTotal` of `/proc/meminfo` below `root`; 0 where it is not shown.
pub(crate) fn memory_total(root: &Path) -> Bytes {
    let shown = text(&root.join("proc/meminfo")).and_then(|text| kib_after(&text, "MemTotal:"));
    shown.unwrap_or_default()
}

/// The size in KiB that follows `key` in a text such as `/proc/meminfo`.
pub(crate) fn kib_after(text: &str, key: &str) -> Option<Bytes> {
    let line = text.lines().find(|line| line.contains(key))?;
    let (_, after) = line.split_once(key)?;
    let kib: u64 = after.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024).map(Bytes)
}

/// The entries of a directory with names of the form `<prefix><number>`, by number; none where there is no directory.
pub(crate) fn numbered(directory: &Path, prefix: &str) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(io::Result::ok);
    let numbered = entries.filter_map(|entry| {
        let number = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
        Some((number, entry.path()))
    });
    let mut numbered: Vec<_> = numbered.collect();
    numbered.sort();
    numbered
}
