//! Archives: an object with all that it refers to, as one stream.
//!
//! Layout: `magic: 16 | roots: u64 | root: 32 each`, then for each object, sorted, `1: u8 | digest: 32 | bytes: u64 | the
//! bytes`, then `0: u8 | BLAKE3 of all before: 32`, and nothing after. Integers are little-endian.
//!
//! CAS-9  An import publishes all objects of an archive or none; what it publishes is the closure of the roots.
//!
//! Objects are written as they are read, in bounded memory. What an object refers to is the caller's to say.

use super::Cas;
use super::layout::Place;
use super::lease::Lease;
use super::put::{PutError, Staged};
use super::read::{ReadError, STEP_BYTES, Source};
use crate::disk::{Disk, DiskError};
use rtt_seal::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

const MAGIC: &[u8; 16] = b"rtt-cas-archive1";
const OBJECT: u8 = 1;
const END: u8 = 0;

/// Lists the objects that an object refers to; it reads what it needs from the source.
pub type References<'a> = &'a mut dyn FnMut(&mut dyn Source, &Digest) -> Result<Vec<Digest>, ReadError>;

/// Why an archive cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// An object of the closure cannot be read.
    #[error(transparent)]
    Object(#[from] ReadError),
    /// The archive cannot be written to.
    #[error("archive: writing failed")]
    Write(#[source] io::Error),
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is cut, changed, or something else.
    #[error("archive: {what} at byte {at}")]
    Archive {
        /// What is wrong.
        what: &'static str,
        /// Bytes that were read.
        at: u64,
    },
    /// The archive cannot be read.
    #[error("archive: reading failed at byte {at}")]
    Read {
        /// Bytes that were read before.
        at: u64,
        /// Why.
        source: io::Error,
    },
    /// An object's bytes are others.
    #[error("archive: the bytes of object {digest} are those of {found}")]
    Object {
        /// What the archive says.
        digest: Digest,
        /// What its bytes say.
        found: Digest,
    },
    /// The closure of the roots has an object that the archive has not.
    #[error("archive: object {digest} is missing")]
    Lacks {
        /// The object.
        digest: Digest,
    },
    /// The archive has an object that no root leads to, or one twice.
    #[error("archive: object {digest} does not belong in it")]
    Excess {
        /// The object.
        digest: Digest,
    },
    /// What an object refers to cannot be told.
    #[error("archive: what object {digest} refers to is unknown")]
    References {
        /// The object.
        digest: Digest,
        /// Why.
        source: ReadError,
    },
    /// An object cannot be stored.
    #[error(transparent)]
    Put(#[from] PutError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl<D: Disk> Cas<D> {
    /// Writes the closure of `roots` and returns its objects; each is verified as it is written.
    ///
    /// # Errors
    /// [`ExportError`]; what was written before is no whole archive, and no import takes it.
    pub fn export(
        &mut self,
        roots: &[Digest],
        references: References<'_>,
        archive: &mut dyn Write,
    ) -> Result<BTreeSet<Digest>, ExportError> {
        let closure = closure(roots, |digest| references(self, digest))?;
        let mut archive = Hashing { inner: archive, hasher: blake3::Hasher::new(), bytes: 0 };
        let write = |archive: &mut Hashing<_>, bytes: &[u8]| archive.write_all(bytes).map_err(ExportError::Write);
        write(&mut archive, MAGIC)?;
        write(&mut archive, &(roots.len() as u64).to_le_bytes())?;
        roots.iter().try_for_each(|root| write(&mut archive, &root.0))?;
        for digest in &closure {
            let bytes = self.object_length(digest)?;
            write(&mut archive, &[OBJECT])?;
            write(&mut archive, &digest.0)?;
            write(&mut archive, &bytes.to_le_bytes())?;
            let mut at = 0;
            while at < bytes {
                let step = self.range(digest, at, STEP_BYTES)?;
                write(&mut archive, &step)?;
                at += step.len() as u64;
            }
        }
        write(&mut archive, &[END])?;
        let check = *archive.hasher.finalize().as_bytes();
        write(&mut archive, &check)?;
        archive.flush().map_err(ExportError::Write)?;
        Ok(closure)
    }

    /// Reads an archive to its end and puts all of its objects; returns its roots. Durable when this returns.
    ///
    /// # Errors
    /// [`ImportError`]; then nothing was published, unless the disk failed among the renames: roots come last.
    pub fn import(
        &mut self,
        lease: &mut Lease,
        archive: &mut dyn Read,
        references: References<'_>,
    ) -> Result<Vec<Digest>, ImportError> {
        self.staging(lease, |cas, lease, staged| {
            let roots = cas.stage_archive(lease, staged, archive)?;
            // CAS-9: nothing has a name until the archive has been read to its end and found complete.
            cas.check_closure(&roots, staged, references)?;
            let digests: Vec<Digest> = staged.iter().map(|each| each.digest).collect();
            cas.protect(lease, &digests)?;
            cas.drop_known(staged)?;
            staged.sort_by_key(|each| roots.contains(&each.digest));
            Ok(roots)
        })
    }

    fn stage_archive(
        &mut self,
        lease: &mut Lease,
        staged: &mut Vec<Staged>,
        archive: &mut dyn Read,
    ) -> Result<Vec<Digest>, ImportError> {
        let mut archive = Hashing { inner: archive, hasher: blake3::Hasher::new(), bytes: 0 };
        if archive.array()? != *MAGIC {
            return Err(ImportError::Archive { what: "expected the head of an archive", at: archive.bytes });
        }
        let mut roots = Vec::new();
        // The count is the archive's word: nothing is reserved for it.
        for _ in 0..u64::from_le_bytes(archive.array()?) {
            roots.push(Digest(archive.array()?));
        }
        loop {
            match archive.array()? {
                [OBJECT] => {}
                [END] => break,
                _ => return Err(ImportError::Archive { what: "expected an object or the end", at: archive.bytes }),
            }
            let digest = Digest(archive.array()?);
            let bytes = u64::from_le_bytes(archive.array()?);
            self.stage_stream(lease, staged, &mut archive.by_ref().take(bytes))?;
            let found = &staged[staged.len() - 1];
            if found.bytes != bytes {
                return Err(ImportError::Archive { what: "it ends in an object", at: archive.bytes });
            }
            if found.digest != digest {
                return Err(ImportError::Object { digest, found: found.digest });
            }
        }
        let check = *archive.hasher.finalize().as_bytes();
        if archive.array()? != check {
            return Err(ImportError::Archive { what: "the check is another", at: archive.bytes });
        }
        let mut more = [0];
        match archive.read(&mut more) {
            Ok(0) => Ok(roots),
            Ok(_) => Err(ImportError::Archive { what: "there is more after the end", at: archive.bytes }),
            Err(source) => Err(ImportError::Read { at: archive.bytes, source }),
        }
    }

    /// The staged objects are the closure of the roots, each once.
    fn check_closure(
        &mut self,
        roots: &[Digest],
        staged: &[Staged],
        references: References<'_>,
    ) -> Result<(), ImportError> {
        let mut places = BTreeMap::new();
        for each in staged {
            if places.insert(each.digest, each.place.clone()).is_some() {
                return Err(ImportError::Excess { digest: each.digest });
            }
        }
        let mut source = StagedObjects { cas: self, places: &places };
        let closure = closure(roots, |digest| {
            if !places.contains_key(digest) {
                return Err(ImportError::Lacks { digest: *digest });
            }
            let listed = references(&mut source, digest);
            listed.map_err(|source| ImportError::References { digest: *digest, source })
        })?;
        match places.keys().find(|digest| !closure.contains(digest)) {
            Some(digest) => Err(ImportError::Excess { digest: *digest }),
            None => Ok(()),
        }
    }
}

/// The roots and what they lead to.
fn closure<E>(
    roots: &[Digest],
    mut references: impl FnMut(&Digest) -> Result<Vec<Digest>, E>,
) -> Result<BTreeSet<Digest>, E> {
    let mut closure = BTreeSet::new();
    let mut next = roots.to_vec();
    while let Some(digest) = next.pop() {
        if closure.insert(digest) {
            next.extend(references(&digest)?);
        }
    }
    Ok(closure)
}

/// What an import has staged, to be asked what it refers to.
struct StagedObjects<'a, D> {
    cas: &'a mut Cas<D>,
    places: &'a BTreeMap<Digest, Place>,
}

impl<D: Disk> StagedObjects<'_, D> {
    fn place(&self, digest: &Digest) -> Result<&Place, ReadError> {
        self.places.get(digest).ok_or(ReadError::Missing { digest: *digest })
    }
}

impl<D: Disk> Source for StagedObjects<'_, D> {
    fn range(&mut self, digest: &Digest, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        let place = self.place(digest)?.clone();
        self.cas.range_at(&place, digest, offset, len)
    }

    fn get(&mut self, digest: &Digest) -> Result<Vec<u8>, ReadError> {
        let place = self.place(digest)?.clone();
        self.cas.get_at(&place, digest)
    }
}

/// A stream that is hashed and counted as it passes.
struct Hashing<'a, T: ?Sized> {
    inner: &'a mut T,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<T: Read + ?Sized> Hashing<'_, T> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        let mut bytes = [0; N];
        let at = self.bytes;
        match self.read_exact(&mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(ImportError::Archive { what: "it is cut", at })
            }
            Err(source) => Err(ImportError::Read { at, source }),
        }
    }
}

impl<T: Read + ?Sized> Read for Hashing<'_, T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hasher.update(&into[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

impl<T: Write + ?Sized> Write for Hashing<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
