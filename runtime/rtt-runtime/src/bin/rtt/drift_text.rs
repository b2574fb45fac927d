//! What somebody changed behind the log: what it is, and the commands that put it back.
//!
//! They are printed and never run: what a host does with a change that no plan made is for a person to say.

use crate::site::Site;
use rtt_plan::Op;
use rtt_profile::knobs_json;
use rtt_reconcile::Drift;
use rtt_seal::HostId;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// One item that drifted, as a line, and the command that heals it as another.
pub(crate) fn words(drift: &Drift, host: HostId, site: &Site) -> String {
    let Drift { participant, item, held, .. } = drift;
    let said = held.map_or("nothing".to_owned(), |held| {
        let mode = held.mode.map(|mode| format!(", mode {mode}")).unwrap_or_default();
        format!("{}{mode}", held.object.short())
    });
    let path = site.current_path(participant).join(item);
    let there = found(drift, &path);
    format!(
        "  {participant} {}: the log says {said}, there is {there}\n    to put it back: {}",
        item.escape_debug(),
        heal(drift, &path, host, site)
    )
}

/// What stands at `path`, which the scan found or did not: a link or a folder is no file that a plan makes.
fn found(drift: &Drift, path: &Path) -> String {
    let Ok(found) = fs::symlink_metadata(path) else { return "nothing".to_owned() };
    let kind = found.file_type();
    if kind.is_symlink() {
        let to = fs::read_link(path).map_or("somewhere".to_owned(), |to| to.display().to_string());
        return format!("a link to {to:?}");
    }
    if kind.is_dir() {
        return "a folder".to_owned();
    }
    if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
        return "no plain file".to_owned();
    }
    let Some(item) = drift.runs else { return "nothing".to_owned() };
    let mode = match (item.mode, drift.participant.as_str()) {
        (Some(mode), _) => format!(", mode {mode}"),
        (None, Op::FILES) => ", a mode that no plan sets".to_owned(),
        (None, _) => String::new(),
    };
    format!("{}{mode}", item.object.short())
}

fn heal(drift: &Drift, path: &Path, host: HostId, site: &Site) -> String {
    let current = site.current_path(&drift.participant);
    if current.symlink_metadata().is_err() {
        return relink(&current);
    }
    if drift.item.ends_with('\u{1}') {
        let folder = quoted(path.parent().unwrap_or(Path::new(".")));
        return format!("remove it by hand from {folder}: its name is not UTF-8");
    }
    let file = quoted(path);
    let Some(held) = drift.held else { return format!("rm -rf {file}") };
    let same = drift.runs.is_some_and(|runs| runs.object == held.object);
    if let (true, Some(mode)) = (same, held.mode) {
        return format!("chmod {mode} {file}");
    }
    if drift.participant == Op::RINGS {
        return match site.knobs_of(&held.object, host) {
            Some(knobs) => format!("rm -rf {file} && printf %s '{}' > {file}", knobs_json(&knobs)),
            None => format!("no plan in the log holds the knobs of {}", held.object),
        };
    }
    // What stands there goes once the bytes are there: it may be somebody's only copy. They come beside `current`, where
    // no plan has an item.
    let (folder, new) =
        (quoted(path.parent().unwrap_or(Path::new("."))), quoted(&current.with_file_name("healed.new")));
    let get = format!("mkdir -p {folder} && rtt store get {} --out {new}{}", held.object, site.store_option());
    let chmod = held.mode.map_or(String::new(), |mode| format!(" && chmod {mode} {new}"));
    format!("{get}{chmod} && rm -rf {file} && mv {new} {file}")
}

/// Leads `current` to the newest generation that is there, or to an empty one: what it lacks is told then.
fn relink(current: &Path) -> String {
    let folder = current.with_file_name("generations");
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let is_plan = |name: &str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let whole = entries.filter(|entry| entry.path().is_dir() && entry.file_name().to_str().is_some_and(is_plan));
    let newest = whole.max_by_key(|entry| entry.metadata().and_then(|found| found.modified()).ok());
    let (make, name) = match newest {
        Some(entry) => (String::new(), entry.file_name().to_string_lossy().into_owned()),
        None => (format!("mkdir -p {} && ", quoted(&folder.join("restored"))), "restored".to_owned()),
    };
    format!("{make}ln -s generations/{name} {}; rtt plan status", quoted(current))
}

/// A path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@".contains(c);
    if path.to_str().is_none() || text.chars().any(char::is_control) {
        // What a terminal would obey is spelt out.
        let bytes = path.as_os_str().as_bytes();
        let spelt = bytes.iter().map(|byte| match byte {
            b'/' | b'.' | b'_' | b'-' => char::from(*byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
            byte => format!("\\x{byte:02x}"),
        });
        return format!("$'{}'", spelt.collect::<String>());
    }
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
