//! Directories that belong to a participant: read without following links, removed without crossing into a mount.

use rtt_plan::{FileMode, Inventory, Item};
use rtt_seal::Digest;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Bytes that are read at once.
const CHUNK: usize = 128 << 10;

/// Opens a file for reading, and no link.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK; // Nobody is waited for behind a pipe.
    OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)
}

/// What the files below `root` are; nothing where there is no such directory. What is no plain file counts as an item that
/// no plan makes, so that it is told as a change. `with_mode` says whether the permission bits are a part of the state.
///
/// # Errors
/// Where a file cannot be read: a state that cannot be told is not told as empty.
pub fn inventory(root: &Path, with_mode: bool) -> io::Result<Inventory> {
    let mut inventory = Inventory::default();
    match fs::symlink_metadata(root) {
        Ok(found) if found.is_dir() => walk(root, "", with_mode, &mut inventory)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::NotADirectory, "expected a directory")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(inventory)
}

fn walk(folder: &Path, prefix: &str, with_mode: bool, inventory: &mut Inventory) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        // A name that is no UTF-8 is told by its bytes and a character that no plan's path has: it is no item of a plan, and
        // what lies below it is not either.
        let own = name.to_str();
        let item = own
            .map_or_else(|| format!("{prefix}{}\u{1}", name.as_bytes().escape_ascii()), |own| format!("{prefix}{own}"));
        let found = fs::symlink_metadata(&path)?;
        if found.is_dir() && own.is_some() {
            walk(&path, &format!("{item}/"), with_mode, inventory)?;
            continue;
        }
        let foreign = |what: &[u8]| Digest::of(&[b"no file: ", what, name.as_bytes()].concat());
        let (object, mode) = if found.is_symlink() {
            (foreign(fs::read_link(&path)?.as_os_str().as_bytes()), None)
        } else if !found.is_file() || own.is_none() {
            (foreign(b""), None)
        } else {
            // A mode that no plan sets is a change as well: it is told as none.
            let bits = u16::try_from(found.permissions().mode() & 0o7777).ok();
            (digest(&path)?, bits.and_then(FileMode::new).filter(|_| with_mode))
        };
        inventory.items.insert(item, Item { object, mode });
    }
    Ok(())
}

fn digest(path: &Path) -> io::Result<Digest> {
    copy(&mut open(path)?, &mut io::sink())
}

/// Writes what `from` gives up to its end, in bounded memory, and returns the digest of what was written.
pub fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => return Ok(Digest(*hasher.finalize().as_bytes())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        hasher.update(&chunk[..read]);
        to.write_all(&chunk[..read])?;
    }
}

/// Makes a directory for its owner, and those above it.
pub fn make(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// Makes the names in a directory durable.
pub fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes a tree of ours, links themselves and not what they lead to. What is mounted below it ends the removal.
///
/// # Errors
/// Where something cannot be removed, or is another file system's.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) => remove_on(path, found.dev(), &found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether something is mounted there, also a part of the same file system.
///
/// Source: statx(2), `STATX_ATTR_MOUNT_ROOT`.
pub fn is_mount(path: &Path) -> io::Result<bool> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn remove_on(path: &Path, device: u64, found: &fs::Metadata) -> io::Result<()> {
    if found.dev() != device || is_mount(path)? {
        let words = format!("{} is mounted: unmount it first", path.display());
        return Err(io::Error::new(io::ErrorKind::CrossesDevices, words));
    }
    if !found.is_dir() {
        return fs::remove_file(path);
    }
    for entry in fs::read_dir(path)? {
        let below = entry?.path();
        let found = fs::symlink_metadata(&below)?;
        remove_on(&below, device, &found)?;
    }
    fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Zeros, and the largest buffer that was asked to be filled.
    struct Zeros {
        left: usize,
        largest: usize,
    }

    impl Read for Zeros {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.largest = self.largest.max(into.len());
            let read = into.len().min(self.left).min(10_000);
            into[..read].fill(0);
            self.left -= read;
            Ok(read)
        }
    }

    /// Below a mount nothing is ours; the tree above it is left whole as well.
    #[test]
    fn what_lies_on_another_file_system_is_not_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("below")).expect("made");
        fs::write(tree.join("below/file"), "mine").expect("written");
        let found = fs::symlink_metadata(&tree).expect("there");
        let refused = remove_on(&tree, found.dev() + 1, &found).expect_err("another device");
        assert_eq!(refused.kind(), io::ErrorKind::CrossesDevices);
        assert!(refused.to_string().ends_with("is mounted: unmount it first"), "{refused}");
        assert!(tree.join("below/file").exists());
        remove(&tree).expect("the control");
        assert!(!tree.exists());
    }

    /// A bind mount has the device of what it shows, so that only the kernel can tell.
    #[test]
    fn a_mount_is_told_by_the_kernel() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(is_mount(Path::new("/proc")).expect("there"));
        assert!(!is_mount(folder.path()).expect("there") && !is_mount(Path::new("/proc/self/status")).expect("there"));
    }

    /// What a plan puts, what stays and what is read back all pass here.
    #[test]
    fn a_file_of_any_length_passes_in_pieces_of_one_size() {
        for bytes in [0, 1, CHUNK, 50 * CHUNK + 1] {
            let (mut zeros, mut written) = (Zeros { left: bytes, largest: 0 }, Vec::new());
            let digest = copy(&mut zeros, &mut written).expect("copied");
            assert_eq!((digest, written.len()), (Digest::of(&vec![0; bytes]), bytes));
            assert_eq!(zeros.largest, CHUNK);
        }
    }
}
