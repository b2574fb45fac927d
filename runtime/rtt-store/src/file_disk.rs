//! The disk of a directory, over pwrite and fdatasync on the calling thread.
//!
//! A request is carried out while it is submitted; its completion waits in a queue. One system call for each write and
//! one for each sync, counted.

use crate::disk::{
    Access, Answer, Cause, Counters, Disk, DiskError, Entry, EntryKind, FileId, Request, Stat, Token, count,
};
use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// A directory as a [`Disk`].
#[derive(Debug)]
pub struct FileDisk {
    root: OwnedFd,
    files: HashMap<FileId, OpenFile>,
    next_file: u64,
    next_token: u64,
    done: VecDeque<(Token, Result<Answer, DiskError>)>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct OpenFile {
    descriptor: OwnedFd,
    path: String,
}

impl FileDisk {
    /// Opens the directory `root`, which must exist.
    ///
    /// # Errors
    /// [`DiskError`] when it cannot be opened or is no directory.
    pub fn open(root: &Path) -> Result<FileDisk, DiskError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty())
            .map_err(|errno| failed("open", &root.display().to_string(), errno))?;
        Ok(FileDisk {
            root,
            files: HashMap::new(),
            next_file: 0,
            next_token: 0,
            done: VecDeque::new(),
            counters: Arc::default(),
        })
    }

    /// What this disk has asked of the kernel so far.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    pub(crate) fn file(&self, file: FileId) -> (BorrowedFd<'_>, &str) {
        let open = self.files.get(&file).unwrap_or_else(|| panic!("file {} is not open", file.0));
        (open.descriptor.as_fd(), &open.path)
    }

    pub(crate) fn next_token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// Keeps what a request ended with until somebody asks.
    pub(crate) fn push_done(&mut self, token: Token, result: Result<Answer, DiskError>) {
        self.done.push_back((token, result));
    }

    /// Carries out a request now.
    pub(crate) fn execute(&mut self, request: Request) -> Result<Answer, DiskError> {
        match request {
            Request::Create { path } => self.open_file(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL),
            Request::Open { path, access: Access::Read } => self.open_file(path, OFlags::RDONLY),
            Request::Open { path, access: Access::Write } => self.open_file(path, OFlags::RDWR),
            Request::Close { file } => {
                self.files.remove(&file).unwrap_or_else(|| panic!("file {} is not open", file.0));
                Ok(Answer::Done)
            }
            Request::Lock { file } => {
                self.on_file("lock", file, |fd| rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive))
            }
            Request::LockShared { file } => self.on_file("share the lock", file, |fd| {
                rustix::io::retry_on_intr(|| rustix::fs::flock(fd, FlockOperation::LockShared))
            }),
            Request::Unlock { file } => {
                self.on_file("unlock", file, |fd| rustix::fs::flock(fd, FlockOperation::Unlock))
            }
            Request::Read { file, offset, len, buffer } => self.read(file, offset, len, buffer),
            Request::Write { file, offset, bytes } => self.write(file, offset, bytes),
            Request::WriteSync { file, offset, bytes } => self.write_sync(file, offset, bytes),
            Request::Sync { file } => {
                count(&self.counters.data_syncs);
                self.on_file("sync", file, |fd| rustix::fs::fdatasync(fd))
            }
            Request::Length { file } => {
                let (fd, path) = self.file(file);
                let stat = rustix::fs::fstat(fd).map_err(|errno| failed("stat", path, errno))?;
                Ok(Answer::Length(stat.st_size.unsigned_abs()))
            }
            Request::SetLength { file, bytes } => {
                self.on_file("set the length", file, |fd| rustix::fs::ftruncate(fd, bytes))
            }
            Request::SetMode { file, mode } => {
                self.on_file("set the mode", file, |fd| rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)))
            }
            names => self.execute_on_names(names),
        }
    }

    /// Carries out a request on names rather than on an open file.
    fn execute_on_names(&mut self, request: Request) -> Result<Answer, DiskError> {
        let root = self.root.as_fd();
        match request {
            Request::SyncAll => {
                count(&self.counters.file_system_syncs);
                done("sync the file system", ".", rustix::fs::syncfs(root))
            }
            Request::Stat { path } => stat(root, &path),
            Request::CreateDirectory { path } => match rustix::fs::mkdirat(root, &path, Mode::from_raw_mode(0o755)) {
                Err(Errno::EXIST) => Ok(Answer::Done),
                made => done("create the directory", &path, made),
            },
            Request::SyncDirectory { path } => {
                count(&self.counters.directory_syncs);
                let synced = open_directory(root, &path).and_then(rustix::fs::fsync);
                done("sync the directory", &path, synced)
            }
            Request::List { path } => {
                let names = list(root, &path).map_err(|errno| failed("list", &path, errno))?;
                Ok(Answer::Names(names))
            }
            Request::Rename { from, to } => {
                count(&self.counters.renames);
                done("rename", &from, rustix::fs::renameat(root, &from, root, &to))?;
                // An error names the file as it is called now.
                self.files.values_mut().filter(|file| file.path == from).for_each(|file| file.path.clone_from(&to));
                Ok(Answer::Done)
            }
            Request::Remove { path } => done("remove", &path, rustix::fs::unlinkat(root, &path, AtFlags::empty())),
            Request::RemoveDirectory { path } => {
                done("remove the directory", &path, rustix::fs::unlinkat(root, &path, AtFlags::REMOVEDIR))
            }
            other => panic!("{other:?} is a request on an open file"),
        }
    }

    fn open_file(&mut self, path: String, flags: OFlags) -> Result<Answer, DiskError> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY;
        let operation = if flags.contains(OFlags::CREATE) { "create" } else { "open" };
        let descriptor = rustix::fs::openat(&self.root, &path, flags, Mode::from_raw_mode(0o644))
            .map_err(|errno| failed(operation, &path, errno))?;
        self.next_file += 1;
        let file = FileId(self.next_file);
        self.files.insert(file, OpenFile { descriptor, path });
        Ok(Answer::Opened(file))
    }

    fn on_file(
        &self,
        operation: &'static str,
        file: FileId,
        call: impl FnOnce(BorrowedFd<'_>) -> rustix::io::Result<()>,
    ) -> Result<Answer, DiskError> {
        let (fd, path) = self.file(file);
        done(operation, path, call(fd))
    }

    fn read(&self, file: FileId, offset: u64, len: usize, mut buffer: Vec<u8>) -> Result<Answer, DiskError> {
        let (fd, path) = self.file(file);
        buffer.clear();
        buffer.reserve_exact(len);
        while buffer.len() < len {
            // A buffer that came with more room than was asked for must not be filled beyond `len`.
            let at = buffer.len();
            count(&self.counters.reads);
            let read = if buffer.capacity() == len {
                rustix::io::pread(fd, spare_capacity(&mut buffer), offset + at as u64)
            } else {
                buffer.resize(len, 0);
                let read = rustix::io::pread(fd, &mut buffer[at..], offset + at as u64);
                buffer.truncate(at + *read.as_ref().unwrap_or(&0));
                read
            };
            match read {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("read", path, errno)),
            }
        }
        Ok(Answer::Read(buffer))
    }

    fn write(&self, file: FileId, offset: u64, bytes: Vec<u8>) -> Result<Answer, DiskError> {
        let (fd, path) = self.file(file);
        let mut written = 0;
        while written < bytes.len() {
            count(&self.counters.writes);
            match rustix::io::pwrite(fd, &bytes[written..], offset + written as u64) {
                // A file that takes no bytes and gives no error would keep us here for ever.
                Ok(0) => return Err(short("write", path, written, bytes.len())),
                Ok(more) => written += more,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("write", path, errno)),
            }
        }
        Ok(Answer::Written(bytes))
    }

    fn write_sync(&self, file: FileId, offset: u64, bytes: Vec<u8>) -> Result<Answer, DiskError> {
        let (fd, path) = self.file(file);
        count(&self.counters.writes);
        let written = rustix::io::pwrite(fd, &bytes, offset).map_err(|errno| failed("write", path, errno))?;
        if written != bytes.len() {
            return Err(short("write", path, written, bytes.len()));
        }
        count(&self.counters.data_syncs);
        rustix::fs::fdatasync(fd).map_err(|errno| failed("sync", path, errno))?;
        Ok(Answer::Written(bytes))
    }
}

impl Disk for FileDisk {
    fn submit(&mut self, request: Request) -> Token {
        let token = self.next_token();
        let result = self.execute(request);
        self.push_done(token, result);
        token
    }

    fn complete(&mut self) -> Option<(Token, Result<Answer, DiskError>)> {
        self.done.pop_front()
    }

    fn wait(&mut self, token: Token) -> Result<Answer, DiskError> {
        // The newest first: `run` has just pushed its own.
        let at = self.done.iter().rposition(|(each, _)| *each == token);
        let (_, result) =
            at.and_then(|at| self.done.remove(at)).unwrap_or_else(|| panic!("{token:?} is not in flight"));
        result
    }

    fn descriptor(&mut self, file: FileId) -> Option<io::Result<File>> {
        let (fd, _) = self.file(file);
        Some(fd.try_clone_to_owned().map(File::from))
    }

    fn counters(&self) -> Option<Arc<Counters>> {
        Some(FileDisk::counters(self))
    }
}

/// A failure that the kernel named.
pub(crate) fn failed(operation: &'static str, path: &str, errno: Errno) -> DiskError {
    DiskError { operation, path: path.to_owned(), cause: Cause::Errno(errno.raw_os_error()) }
}

/// A write that stopped in its middle.
pub(crate) fn short(operation: &'static str, path: &str, written: usize, expected: usize) -> DiskError {
    DiskError { operation, path: path.to_owned(), cause: Cause::Short { written, expected } }
}

fn done(operation: &'static str, path: &str, result: rustix::io::Result<()>) -> Result<Answer, DiskError> {
    result.map(|()| Answer::Done).map_err(|errno| failed(operation, path, errno))
}

fn open_directory(root: BorrowedFd<'_>, path: &str) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_empty() { "." } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(root, path, flags, Mode::empty())
}

fn stat(root: BorrowedFd<'_>, path: &str) -> Result<Answer, DiskError> {
    let stat =
        rustix::fs::statat(root, path, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| failed("stat", path, errno))?;
    let kind = kind_of(FileType::from_raw_mode(stat.st_mode));
    let bytes = if kind == EntryKind::File { stat.st_size.unsigned_abs() } else { 0 };
    Ok(Answer::Stat(Stat { kind, bytes }))
}

fn list(root: BorrowedFd<'_>, path: &str) -> rustix::io::Result<Vec<Entry>> {
    let directory = open_directory(root, path)?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let file_type = match entry.file_type() {
            // Some file systems leave the kind to a call of its own.
            FileType::Unknown => {
                let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            told => told,
        };
        names.push(Entry { name: name.to_string_lossy().into_owned(), kind: kind_of(file_type) });
    }
    names.sort();
    Ok(names)
}

fn kind_of(file_type: FileType) -> EntryKind {
    match file_type {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        _ => EntryKind::Other,
    }
}
