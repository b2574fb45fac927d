//! Private keys: wiped when dropped, never printed, never copied.
//!
//! File format, one line and a newline, single spaces: `rtt-private-key-v1 <role> <keyid> <base64 of the 32-byte seed>`.
//! The key id is that of the public half, so that a damaged file is noticed before it signs. An encrypted key has the first
//! word `rtt-encrypted-key-v1` and, as the last, the base64 of the 64 bytes that `key_cipher` makes of the seed.

use crate::key_cipher;
use crate::key_file::{self, Access, KeyLine, ReadKeyError, SaveKeyError};
use crate::{KeyId, KeyTextError, Passphrase, Role, VerifyingKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::Signer;
use std::path::{Path, PathBuf};
use std::{fmt, io};
use zeroize::Zeroizing;

/// First word of a private key file.
const VERSION: &str = "rtt-private-key-v1";
/// First word of a private key file under a passphrase.
const ENCRYPTED: &str = "rtt-encrypted-key-v1";

/// How a private key lies on disk. Either way its file has mode 0600.
#[derive(Clone, Copy, Debug)]
pub enum KeyRest<'a> {
    /// As it is: who reads the file has the key.
    Plain,
    /// Under a passphrase.
    Encrypted(&'a Passphrase),
}

/// Private half of a key, bound to a role.
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    public: VerifyingKey,
}

impl SigningKey {
    /// A new key, from the operating system's random bytes.
    ///
    /// # Errors
    /// Where the operating system has none to give.
    pub fn generate(role: Role) -> io::Result<SigningKey> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut seed[..]).map_err(|error| io::Error::other(error.to_string()))?;
        SigningKey::from_seed(&seed, role).map_err(io::Error::other) // Fails for about one seed in 2^252.
    }

    /// Loads a private key file: a regular file of this user, mode 0600 or 0400, no symbolic link.
    ///
    /// # Errors
    /// [`ReadKeyError`], which names the file and what to do; [`ReadKeyError::is_encrypted`] where it takes
    /// [`SigningKey::load_encrypted`]. No error repeats the file's content.
    pub fn load(path: &Path) -> Result<SigningKey, ReadKeyError> {
        let line = key_file::read(path, Access::Private)?;
        SigningKey::from_line(&line, None).map_err(|source| ReadKeyError::Text { path: path.into(), source })
    }

    /// Loads a private key file that is encrypted, under the same conditions. Takes about a second, on purpose.
    ///
    /// # Errors
    /// [`ReadKeyError`], also for a file that is not encrypted.
    pub fn load_encrypted(path: &Path, passphrase: &Passphrase) -> Result<SigningKey, ReadKeyError> {
        let line = key_file::read(path, Access::Private)?;
        SigningKey::from_line(&line, Some(passphrase))
            .map_err(|source| ReadKeyError::Text { path: path.into(), source })
    }

    /// Writes the private key file, mode 0600, with its directories (0700) where they are missing. Never replaces a file.
    ///
    /// # Errors
    /// [`SaveKeyError`], also where the file exists.
    pub fn save(&self, path: &Path, rest: KeyRest<'_>) -> Result<(), SaveKeyError> {
        let sealed = match rest {
            KeyRest::Plain => None,
            KeyRest::Encrypted(passphrase) => {
                let sealed = key_cipher::seal_seed(self.key.as_bytes(), passphrase, &context(self.role(), self.id()));
                Some(sealed.map_err(|source| SaveKeyError::Random { source })?)
            }
        };
        let (version, bytes) = match &sealed {
            None => (VERSION, &self.key.as_bytes()[..]),
            Some(sealed) => (ENCRYPTED, &sealed[..]),
        };
        let mut base64 = Zeroizing::new([0; 88]);
        let length = STANDARD.encode_slice(bytes, &mut base64[..]).expect("64 bytes are 88 characters");
        let prefix = format!("{version} {} {} ", self.role(), self.id());
        let mut line = Zeroizing::new(Vec::with_capacity(prefix.len() + length + 1));
        line.extend_from_slice(prefix.as_bytes());
        line.extend_from_slice(&base64[..length]);
        line.push(b'\n');
        key_file::write_new(path, &line, Access::Private)
    }

    /// Makes a new key and saves both halves: the private one as `private`, the public one in `public_directory` as
    /// `<keyid>.pub`. Returns the key and the public file's path. Where one half cannot be saved, none is.
    ///
    /// # Errors
    /// [`SaveKeyError`], also where `private` exists.
    pub fn create(
        role: Role,
        private: &Path,
        public_directory: &Path,
        rest: KeyRest<'_>,
    ) -> Result<(SigningKey, PathBuf), SaveKeyError> {
        let key = SigningKey::generate(role).map_err(|source| SaveKeyError::Random { source })?;
        key.save(private, rest)?;
        let public = public_directory.join(format!("{}.pub", key.id()));
        if let Err(error) = key.public.save(&public) {
            let _ = std::fs::remove_file(private); // Made above; nobody could check what it signs.
            return Err(error);
        }
        Ok((key, public))
    }

    /// The public half.
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// Name of the key.
    pub fn id(&self) -> KeyId {
        self.public.id()
    }

    /// What the key may sign.
    pub fn role(&self) -> Role {
        self.public.role()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    fn from_line(line: &[u8], passphrase: Option<&Passphrase>) -> Result<SigningKey, KeyTextError> {
        let (seed, role, id) = match (line.starts_with(ENCRYPTED.as_bytes()), passphrase) {
            (false, None) => {
                let KeyLine { role, id, bytes } = key_file::parse_line(line, VERSION)?;
                (bytes, role, id)
            }
            (true, None) => {
                let KeyLine::<{ key_cipher::SEALED_BYTES }> { role, .. } = key_file::parse_line(line, ENCRYPTED)?;
                return Err(KeyTextError::Encrypted { role });
            }
            (_, Some(passphrase)) => {
                let KeyLine { role, id, bytes } = key_file::parse_line(line, ENCRYPTED)?;
                let seed = key_cipher::open_seed(&bytes, passphrase, &context(role, id));
                (seed.ok_or(KeyTextError::Passphrase)?, role, id)
            }
        };
        let key = SigningKey::from_seed(&seed, role)?;
        key.public.expect_id(id)?;
        Ok(key)
    }

    fn from_seed(seed: &[u8; 32], role: Role) -> Result<SigningKey, KeyTextError> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = VerifyingKey::from_bytes(key.verifying_key().as_bytes(), role)?;
        Ok(SigningKey { key, public })
    }
}

/// What an encrypted key is bound to, besides its passphrase.
fn context(role: Role, id: KeyId) -> String {
    format!("{ENCRYPTED} {role} {id}")
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {}, seed withheld)", self.role(), self.id())
    }
}

/// Keeps this process out of core dumps and out of reach of other users' debuggers. A program calls it before it
/// loads or makes a private key.
///
/// # Errors
/// As the operating system words it.
pub fn forbid_core_dumps() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A key that is the same in every run.
    pub(crate) fn fixed(seed: u8) -> SigningKey {
        fixed_as(seed, Role::Profile)
    }

    pub(crate) fn fixed_as(seed: u8, role: Role) -> SigningKey {
        SigningKey::from_seed(&[seed; 32], role).expect("a key")
    }

    #[test]
    fn a_key_is_loaded_as_it_was_saved() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("profile.key");
        let key = SigningKey::generate(Role::Profile).expect("random bytes");
        key.save(&path, KeyRest::Plain).expect("saved");
        key.public().save(&path.with_extension("pub")).expect("saved");
        let loaded = SigningKey::load(&path).expect("loaded");
        assert_eq!(loaded.public(), key.public());
        assert_eq!(loaded.sign(b"x"), key.sign(b"x"));
        assert_eq!(&VerifyingKey::load(&path.with_extension("pub")).expect("loaded"), key.public());
        assert_ne!(SigningKey::generate(Role::Profile).expect("random bytes").id(), key.id());
    }

    #[test]
    fn both_halves_are_made_or_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let (key, public) =
            SigningKey::create(Role::Profile, &at("p/a.key"), &at("keys"), KeyRest::Plain).expect("made");
        assert_eq!(SigningKey::load(&at("p/a.key")).expect("private").id(), key.id());
        assert_eq!(VerifyingKey::load(&public).expect("public").id(), key.id());
        let again = SigningKey::create(Role::Profile, &at("p/a.key"), &at("keys"), KeyRest::Plain);
        assert!(matches!(again, Err(SaveKeyError::Exists { .. })));
        std::fs::write(at("file"), "").expect("written");
        let failed = SigningKey::create(Role::Profile, &at("p/b.key"), &at("file"), KeyRest::Plain);
        assert!(matches!(failed, Err(SaveKeyError::Write { .. })), "a file is no directory");
        assert!(!at("p/b.key").exists());
    }

    #[test]
    fn an_encrypted_key_is_opened_by_its_passphrase_alone() {
        let passphrase = |text: &str| Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).expect("a passphrase");
        let (right, wrong) = (passphrase("correct horse"), passphrase("battery staple"));
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let key = fixed_as(7, Role::Planner);
        key.save(&at("key"), KeyRest::Encrypted(&right)).expect("saved");
        assert_eq!(SigningKey::load_encrypted(&at("key"), &right).expect("a key").public(), key.public());
        let refused = |name: &str, passphrase| {
            crate::in_full(&SigningKey::load_encrypted(&at(name), passphrase).expect_err(name))
        };
        assert!(refused("key", &wrong).contains("the passphrase does not fit, or the file was changed"));
        assert!(SigningKey::load(&at("key")).expect_err("encrypted").is_encrypted());
        let line = std::fs::read_to_string(at("key")).expect("a line");
        assert!(
            line.starts_with("rtt-encrypted-key-v1 planner ") && !line.contains(&STANDARD.encode([7; 32])[..8]),
            "{line}"
        );
        // A line that is rewritten to another role does not open, and a plain key needs no passphrase to be read.
        std::fs::remove_file(at("key")).expect("removed");
        key_file::write_new(&at("key"), line.replace("planner", "root").as_bytes(), Access::Private).expect("written");
        assert!(refused("key", &right).contains("does not fit"));
        key.save(&at("plain"), KeyRest::Plain).expect("saved");
        assert!(refused("plain", &right).contains("does not begin with `rtt-encrypted-key-v1`"));
        assert!(!SigningKey::load(&at("none")).expect_err("no file").is_encrypted());
    }

    /// RFC 8032, section 7.1, test 1.
    #[test]
    fn the_public_half_is_the_standards() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key = SigningKey::from_seed(&crate::digest::from_hex(seed).expect("seed"), Role::Profile).expect("a key");
        assert_eq!(crate::digest::to_hex(key.public().as_bytes()), public);
        assert!(
            crate::digest::to_hex(&key.sign(b""))
                .starts_with("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065")
        );
    }

    /// Damage anywhere in the file is noticed, and no message shows what was in it.
    #[test]
    fn a_damaged_private_key_is_refused_without_showing_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        fixed(7).save(&path, KeyRest::Plain).expect("saved");
        let line = std::fs::read(&path).expect("read");
        let base64 = STANDARD.encode([7; 32]);
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut damaged = line.clone();
                damaged[at] ^= 1 << bit;
                let error = SigningKey::from_line(&damaged, None).expect_err("damaged");
                assert!(!format!("{error} {error:?}").contains(&base64[..8]), "byte {at}: {error}");
            }
        }
        assert!(SigningKey::from_line(&line, None).is_ok());
        assert!(!format!("{:?}", fixed(7)).contains(&base64[..8]));
        // The two kinds of file are not mistaken for each other.
        assert!(matches!(
            VerifyingKey::load(&path),
            Err(ReadKeyError::Text { source: KeyTextError::Version { .. }, .. })
        ));
    }
}
