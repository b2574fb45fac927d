//! Key files: one line, opened without following links, created whole or not at all.
//!
//! SEAL-5  A private key is read only from a regular file of this user that nobody else may read or write, and is
//!         written only to such a file, which did not exist before.
//!
//! Buffers that held a private key are wiped. What the line means belongs to `signing_key` and `verifying_key`.

use crate::{KeyId, KeyTextError, Role};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustix::fs::{FileType, Mode, OFlags, RenameFlags, fstat};
use rustix::io::Errno;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longest key file, in bytes.
const LIMIT: usize = 256;

/// Who may see a key file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its user alone.
    Private,
    /// Everybody may read it.
    Public,
}

/// Why a key file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadKeyError {
    /// The file cannot be opened.
    #[error("cannot open key {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A symbolic link, which could lead anywhere.
    #[error("key {} is a symbolic link, expected the file itself", path.display())]
    Symlink {
        /// The file.
        path: PathBuf,
    },
    /// A directory, pipe or device.
    #[error("key {} is not a regular file", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// A private key of another user.
    #[error("private key {} belongs to user {owner}, expected user {user}, who runs this", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// User id of the file.
        owner: u32,
        /// Effective user id of this process.
        user: u32,
    },
    /// A private key that others may read, write or run.
    #[error(
        "private key {path} has mode {mode:04o}, expected 0600: treat it as seen by others and make a new one, \
         or run `chmod 600 {path}` if it cannot have been", path = path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// A public key that everybody may replace.
    #[error("public key {path} has mode {mode:04o}, so that anybody may change whom you trust: run `chmod o-w {path}`", path = path.display())]
    Writable {
        /// The file.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// Longer than any key.
    #[error("key {} is longer than {LIMIT} bytes, expected one line", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read key {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The line is not a key, or a weak one.
    #[error("key {} is refused", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyTextError,
    },
}

impl ReadKeyError {
    /// Whether the file holds an encrypted key, which its passphrase opens.
    pub const fn is_encrypted(&self) -> bool {
        matches!(self, ReadKeyError::Text { source: KeyTextError::Encrypted { .. }, .. })
    }
}

/// Why a key file was not written. The file is then as it was before.
#[derive(Debug, thiserror::Error)]
pub enum SaveKeyError {
    /// A file of that name exists. A key is never replaced: what it signed would lose its key.
    #[error("{} exists and is not replaced; name another file or move it away", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Directory or file cannot be written.
    #[error("cannot write key {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The operating system gave no random bytes for a key.
    #[error("no random bytes for a key")]
    Random {
        /// Why.
        source: io::Error,
    },
}

/// The words of a key line.
pub(crate) struct KeyLine<const N: usize> {
    pub role: Role,
    pub id: KeyId,
    pub bytes: Zeroizing<[u8; N]>,
}

/// Splits a key line whose first word must be `version`, and whose last one is `N` bytes.
pub(crate) fn parse_line<const N: usize>(line: &[u8], version: &'static str) -> Result<KeyLine<N>, KeyTextError> {
    let shape = KeyTextError::Shape { version };
    let text = std::str::from_utf8(line).ok().and_then(|text| text.strip_suffix('\n'));
    let words = text.map(|text| text.split(' '));
    let mut words = words.ok_or_else(|| shape.clone())?;
    let (Some(found), Some(role), Some(id), Some(key), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(shape);
    };
    if [found, role, id, key].iter().any(|word| word.is_empty() || word.contains(['\n', '\r', '\t'])) {
        return Err(shape);
    }
    if found != version {
        return Err(KeyTextError::Version { version });
    }
    let (role, id) = (role.parse()?, id.parse()?);
    let mut decoded = Zeroizing::new([0; LIMIT]); // The decoder asks for room as if there were no padding.
    if STANDARD.decode_slice(key, &mut decoded[..]) != Ok(N) {
        return Err(KeyTextError::Base64 { bytes: N });
    }
    let mut bytes = Zeroizing::new([0; N]);
    bytes.copy_from_slice(&decoded[..N]);
    Ok(KeyLine { role, id, bytes })
}

/// Reads a key file after checking what it is and who may touch it, on the open file: a path could be swapped between.
pub(crate) fn read(path: &Path, access: Access) -> Result<Zeroizing<Vec<u8>>, ReadKeyError> {
    // NONBLOCK: a pipe in the key's place must not hang the open; on regular files it means nothing.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::LOOP) => return Err(ReadKeyError::Symlink { path: path.into() }),
        Err(errno) => return Err(ReadKeyError::Open { path: path.into(), source: errno.into() }),
    };
    let stat = fstat(&file).map_err(|errno| ReadKeyError::Read { path: path.into(), source: errno.into() })?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(ReadKeyError::NotAFile { path: path.into() });
    }
    let mode = stat.st_mode & 0o7777;
    let user = rustix::process::geteuid().as_raw();
    match access {
        // SEAL-5
        Access::Private if stat.st_uid != user => {
            return Err(ReadKeyError::Owner { path: path.into(), owner: stat.st_uid, user });
        }
        Access::Private if mode & 0o077 != 0 => return Err(ReadKeyError::Mode { path: path.into(), mode }),
        Access::Public if mode & 0o002 != 0 => return Err(ReadKeyError::Writable { path: path.into(), mode }),
        Access::Private | Access::Public => {}
    }
    // Room for all that is read, so that growing never leaves a copy behind.
    let mut line = Zeroizing::new(Vec::with_capacity(2 * LIMIT));
    let read = (&file).take(LIMIT as u64 + 1).read_to_end(&mut line);
    read.map_err(|source| ReadKeyError::Read { path: path.into(), source })?;
    if line.len() > LIMIT { Err(ReadKeyError::TooLong { path: path.into() }) } else { Ok(line) }
}

/// Creates `path` with `line`, durable when this returns; missing directories are made (0700 for a private key).
pub(crate) fn write_new(path: &Path, line: &[u8], access: Access) -> Result<(), SaveKeyError> {
    let modes = if access == Access::Private { (0o600, 0o700) } else { (0o644, 0o755) };
    write_whole(path, line, modes, publish).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => SaveKeyError::Exists { path: path.into() },
        _ => SaveKeyError::Write { path: path.into(), source },
    })
}

/// Writes a temporary file beside `path`, syncs it, lets `publish` give it its name, and syncs the directory, which is
/// made where it is missing. `modes` are those of the file and of made directories.
pub(crate) fn write_whole(
    path: &Path,
    bytes: &[u8],
    modes: (u32, u32),
    publish: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(modes.1).create(directory).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(), // A file stands in its place.
        _ => error,
    })?;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let temporary = directory.join(format!(".{}.{:016x}.tmp", name.to_string_lossy(), u64::from_le_bytes(random)));
    let written = create_synced(&temporary, bytes, modes.0).and_then(|()| publish(&temporary, path));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&temporary); // The first error is the one to report.
        return Err(error);
    }
    File::open(directory)?.sync_all()
}

fn create_synced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut file = File::options().write(true).create_new(true).mode(mode).custom_flags(flags).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives the temporary file its name, unless that name is taken: the check and the rename are one step.
pub(crate) fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, renameat_with};
    match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        // Network file systems lack the flag; a hard link refuses an existing name as well.
        Err(Errno::INVAL | Errno::NOSYS) => {
            std::fs::hard_link(temporary, path)?;
            std::fs::remove_file(temporary)
        }
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
    }

    fn mode_of(path: &Path) -> u32 {
        std::fs::metadata(path).expect("metadata").permissions().mode() & 0o7777
    }

    /// SEAL-5, with 0600 and 0400 as the controls that the same file passes.
    #[test]
    fn a_private_key_that_others_may_touch_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        write_new(&path, b"x\n", Access::Private).expect("written");
        assert_eq!(mode_of(&path), 0o600);
        for mode in 0..=0o777 {
            set_mode(&path, mode | 0o400);
            let read = read(&path, Access::Private);
            if mode & 0o077 == 0 {
                assert_eq!(read.expect("the user's own file").as_slice(), b"x\n", "{mode:o}");
            } else {
                assert!(
                    matches!(read, Err(ReadKeyError::Mode { mode: found, .. }) if found == mode | 0o400),
                    "{mode:o}"
                );
            }
        }
    }

    #[test]
    fn a_public_key_that_everybody_may_write_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key.pub");
        write_new(&path, b"x\n", Access::Public).expect("written");
        for (mode, taken) in [(0o644, true), (0o664, true), (0o666, false), (0o602, false)] {
            set_mode(&path, mode);
            let read = read(&path, Access::Public);
            assert_eq!(read.is_ok(), taken, "{mode:o}");
            assert!(taken || matches!(read, Err(ReadKeyError::Writable { .. })), "{mode:o}");
        }
    }

    /// SEAL-5
    #[test]
    fn only_the_file_itself_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        write_new(&at("key"), b"x\n", Access::Private).expect("written");
        symlink(at("key"), at("link")).expect("a link");
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .expect("a pipe");
        std::fs::write(at("long"), vec![b'x'; LIMIT + 1]).expect("written");
        set_mode(&at("long"), 0o600);
        for access in [Access::Private, Access::Public] {
            assert!(read(&at("key"), access).is_ok());
            assert!(matches!(read(&at("link"), access), Err(ReadKeyError::Symlink { .. })));
            assert!(matches!(read(&at("pipe"), access), Err(ReadKeyError::NotAFile { .. })));
            assert!(matches!(read(directory.path(), access), Err(ReadKeyError::NotAFile { .. })));
            assert!(matches!(read(&at("none"), access), Err(ReadKeyError::Open { .. })));
            assert!(matches!(read(&at("long"), access), Err(ReadKeyError::TooLong { .. })));
        }
    }

    /// SEAL-5
    #[test]
    fn a_private_key_of_another_user_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        write_new(&path, b"x\n", Access::Private).expect("written");
        if !rustix::process::geteuid().is_root() {
            writeln!(io::stderr(), "skipped: only root can give a file away; run the tests as root").expect("stderr");
            return;
        }
        std::os::unix::fs::chown(&path, Some(65534), None).expect("chown");
        assert!(matches!(read(&path, Access::Private), Err(ReadKeyError::Owner { owner: 65534, .. })));
    }

    /// SEAL-5
    #[test]
    fn a_file_is_never_replaced_and_nothing_is_left_behind() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("made/below/key");
        write_new(&path, b"first\n", Access::Private).expect("written");
        assert_eq!(mode_of(path.parent().expect("a parent")), 0o700);
        assert!(matches!(write_new(&path, b"second\n", Access::Private), Err(SaveKeyError::Exists { .. })));
        symlink("nowhere", path.with_file_name("dangling")).expect("a link");
        let dangling = write_new(&path.with_file_name("dangling"), b"x\n", Access::Private);
        assert!(matches!(dangling, Err(SaveKeyError::Exists { .. })));
        assert_eq!(read(&path, Access::Private).expect("read").as_slice(), b"first\n");
        let names: Vec<_> = std::fs::read_dir(path.parent().expect("a parent")).expect("entries").collect();
        assert_eq!(names.len(), 2, "no temporary file is left: {names:?}");
        assert!(matches!(write_new(Path::new("/"), b"x\n", Access::Public), Err(SaveKeyError::Write { .. })));
    }
}
