//! The passphrase of an encrypted key: wiped when dropped, never printed.
//!
//! SEAL-18  A passphrase is read from a regular file of this user that nobody else may read, from a pipe, or (by the
//!          program that asks) from a terminal. It is never an argument or a variable: other processes see these.

use rustix::fs::{FileType, Mode, OFlags, fstat};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Length of a passphrase in bytes. What is shorter is found by trying, whatever a trial costs.
const LENGTH: std::ops::RangeInclusive<usize> = 12..=1_024;

/// A passphrase, one line without its end.
pub struct Passphrase(Zeroizing<Vec<u8>>);

/// Why there is no passphrase. What was read is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// Too short or too long.
    #[error("the passphrase has {found} bytes, expected {} to {}", LENGTH.start(), LENGTH.end())]
    Length {
        /// Its length, where it is at most one more than allowed.
        found: usize,
    },
    /// More than one line, or bytes that no keyboard has.
    #[error("the passphrase has a control character, expected one line of text")]
    Control,
    /// The file cannot be opened or read.
    #[error("cannot read the passphrase from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory or a device.
    #[error("{} is neither a regular file nor a pipe, expected the passphrase in one", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Others may read or change it.
    #[error(
        "passphrase file {} has mode {mode:04o} and belongs to user {owner}, expected 0600 and user {user}, who runs this",
        path.display()
    )]
    Access {
        /// The file.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
        /// User id of the file.
        owner: u32,
        /// Effective user id of this process.
        user: u32,
    },
}

impl Passphrase {
    /// The passphrase that is `line`, with or without its newline.
    ///
    /// # Errors
    /// [`PassphraseError::Length`] or [`PassphraseError::Control`].
    pub fn new(line: Zeroizing<Vec<u8>>) -> Result<Passphrase, PassphraseError> {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if !LENGTH.contains(&text.len()) {
            return Err(PassphraseError::Length { found: text.len() });
        }
        if text.iter().any(|byte| byte.is_ascii_control()) {
            return Err(PassphraseError::Control);
        }
        Ok(Passphrase(Zeroizing::new(text.to_vec())))
    }

    /// Reads the passphrase from a file of mode 0600 or from a pipe, as `/dev/fd/3` or `/dev/stdin`.
    ///
    /// # Errors
    /// [`PassphraseError`], which names the file.
    pub fn from_file(path: &Path) -> Result<Passphrase, PassphraseError> {
        let fail = |source| PassphraseError::Read { path: path.into(), source };
        // Links are followed: `/dev/fd/3` is one. What counts is checked on the open file.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| fail(errno.into()))?);
        let stat = fstat(&file).map_err(|errno| fail(errno.into()))?;
        let (mode, owner, user) = (stat.st_mode & 0o7777, stat.st_uid, rustix::process::geteuid().as_raw());
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Fifo => {}
            FileType::RegularFile if owner == user && mode & 0o077 == 0 => {}
            FileType::RegularFile => return Err(PassphraseError::Access { path: path.into(), mode, owner, user }), // SEAL-18
            _ => return Err(PassphraseError::NotAFile { path: path.into() }),
        }
        // Room for all that is read, so that growing never leaves a copy behind.
        let mut line = Zeroizing::new(Vec::with_capacity(2 * LENGTH.end()));
        file.take(*LENGTH.end() as u64 + 2).read_to_end(&mut line).map_err(fail)?;
        Passphrase::new(line)
    }

    /// Whether `other` is the same, for a passphrase that is typed twice.
    pub fn is(&self, other: &Passphrase) -> bool {
        *self.0 == *other.0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(withheld)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    fn new(text: &[u8]) -> Result<Passphrase, PassphraseError> {
        Passphrase::new(Zeroizing::new(text.to_vec()))
    }

    #[test]
    fn a_passphrase_is_one_line_long_enough_to_be_one() {
        assert_eq!(new(b"correct horse\n").expect("a passphrase").as_bytes(), b"correct horse");
        assert_eq!(new(b"correct horse").expect("a passphrase").as_bytes(), b"correct horse");
        assert_eq!(new("zwölf Zeichen".as_bytes()).expect("a passphrase").as_bytes(), "zwölf Zeichen".as_bytes());
        for (text, part) in [
            (&b""[..], "0 bytes, expected 12 to 1024"),
            (b"eleven char\n", "11 bytes"),
            (&[b'x'; 1_025], "1025 bytes"),
            (b"correct\nhorse battery", "control character"),
            (b"correct horse\n\n", "control character"),
            (b"correct horse\r\n", "control character"),
        ] {
            let error = new(text).expect_err("refused");
            assert!(error.to_string().contains(part), "{error}");
        }
        assert_eq!(format!("{:?}", new(b"correct horse").expect("a passphrase")), "Passphrase(withheld)");
    }

    /// SEAL-18, with 0600 and 0400 as the controls that the same file passes.
    #[test]
    fn a_passphrase_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("passphrase");
        std::fs::write(&path, "correct horse\n").expect("written");
        for (mode, taken) in [(0o600, true), (0o400, true), (0o640, false), (0o644, false), (0o602, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
            match Passphrase::from_file(&path) {
                Ok(passphrase) => assert!(taken && passphrase.as_bytes() == b"correct horse", "{mode:o}"),
                Err(error) => assert!(!taken && matches!(error, PassphraseError::Access { .. }), "{mode:o}: {error}"),
            }
        }
        assert!(matches!(Passphrase::from_file(directory.path()), Err(PassphraseError::NotAFile { .. })));
        assert!(matches!(Passphrase::from_file(Path::new("/dev/zero")), Err(PassphraseError::NotAFile { .. })));
        assert!(matches!(Passphrase::from_file(&directory.path().join("none")), Err(PassphraseError::Read { .. })));
        // A pipe, as a shell's `<(...)` or `3<` makes one.
        let (reader, mut writer) = io::pipe().expect("a pipe");
        writer.write_all(b"battery staple\n").expect("written");
        drop(writer);
        let number = std::os::fd::AsRawFd::as_raw_fd(&reader);
        let piped = Passphrase::from_file(Path::new(&format!("/dev/fd/{number}"))).expect("a passphrase");
        assert_eq!(piped.as_bytes(), b"battery staple");
    }
}
