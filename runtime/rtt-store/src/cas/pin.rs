//! Pins: objects that stay until their pin is taken away. A pin is a name alone, so that nothing of it can tear.

use super::Cas;
use super::layout::{PINS, Place, is_name, pin, pin_path};
use super::read::{Condition, ReadError};
use crate::disk::{Disk, DiskError, Request};
use rtt_seal::Digest;

/// Why an object cannot be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The pin cannot be called so.
    #[error("pin {name:?}: expected 1 to 64 of a-z, 0-9, '-', '_' and '.', not '.' first")]
    Name {
        /// The name.
        name: String,
    },
    /// There is nothing whole to pin.
    #[error("pin {name}")]
    Object {
        /// The pin.
        name: String,
        /// What is wrong with the object.
        source: ReadError,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl<D: Disk> Cas<D> {
    /// Keeps the object until [`Cas::unpin`]; pins of different names count apart. Durable when this returns.
    ///
    /// # Errors
    /// [`PinError`]; then there is no pin, unless the disk failed.
    pub fn pin(&mut self, name: &str, digest: &Digest) -> Result<(), PinError> {
        if !is_name(name) {
            return Err(PinError::Name { name: name.into() });
        }
        let path = pin_path(name, digest);
        // As for a lease: the pin first, then the look whether the object is there.
        let is_new = self.beside_writers(|cas| {
            let created = match cas.disk.run(Request::Create { path: path.clone() }) {
                Err(error) if error.is_existing() => None,
                created => Some(created?.opened()),
            };
            let is_new = created.is_some();
            created.map_or(Ok(()), |file| cas.disk.run(Request::Close { file }).map(|_| ()))?;
            cas.spare(&[*digest])?;
            Ok::<_, DiskError>(is_new)
        })?;
        let source = match self.condition(&Place::of(digest), digest)? {
            Condition::Whole | Condition::WithoutTree => {
                self.sync_directory(PINS)?;
                return Ok(());
            }
            Condition::Missing => ReadError::Missing { digest: *digest },
            Condition::Damaged => ReadError::Damaged { digest: *digest },
        };
        if is_new {
            self.remove(&path)?;
        }
        Err(PinError::Object { name: name.into(), source })
    }

    /// Takes a pin away; `false` when there was none. Durable when this returns.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn unpin(&mut self, name: &str, digest: &Digest) -> Result<bool, DiskError> {
        let removed = is_name(name) && self.remove(&pin_path(name, digest))?;
        self.sync_directory(PINS)?;
        Ok(removed)
    }

    /// All pins, by object.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn pins(&mut self) -> Result<Vec<(String, Digest)>, DiskError> {
        let names = self.disk.run(Request::List { path: PINS.into() })?.names();
        Ok(names.iter().filter_map(|entry| pin(&entry.name)).map(|(name, digest)| (name.to_owned(), digest)).collect())
    }
}
