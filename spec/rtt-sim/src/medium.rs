//! The simulated disk itself: what all handles share, and what each request does to it.
//!
//! Everything that a request meets is a function of the requests before it and of the seeds of the faults, so one seed
//! gives one trace. The trace is a digest over every request, its result and every crash.

use crate::arms::{Arms, Death, Traits, Verdict};
use crate::inode::{Change, Inode, SECTOR};
use crate::names::{Names, Node, parent};
use crate::strike::{Strike, Strikes};
use rtt_store::{Access, Answer, Cause, Entry, EntryKind, FileId, Request, Stat};
use rtt_units::SplitMix64;
use std::collections::{BTreeMap, BTreeSet};

/// An open file of one process.
#[derive(Debug)]
struct Open {
    inode: usize,
    path: String,
    write_errors: u64,
}

/// Who holds a file's advisory lock.
#[derive(Debug, Default)]
struct Lock {
    alone: Option<FileId>,
    shared: BTreeSet<FileId>,
}

/// The disk.
#[derive(Debug, Default)]
pub struct Medium {
    inodes: Vec<Inode>,
    dirty: BTreeSet<usize>,
    names: Names,
    open: BTreeMap<FileId, Open>,
    locks: BTreeMap<usize, Lock>,
    last_file: u64,
    /// Failures of a sync of everything, which each handle is told once.
    pub write_errors: u64,
    /// Faults that wait.
    pub arms: Arms,
    /// Faults that struck.
    pub strikes: Strikes,
    /// Requests that failed because of a fault.
    pub injected: u64,
    /// How the running process ended, if it did.
    pub death: Option<Death>,
    /// Processes that ran before this one.
    pub crashes: u64,
    /// Whether syncs are only said to be done: a mutant.
    pub forgets_syncs: bool,
    /// The trace.
    pub trace: blake3::Hasher,
}

impl Medium {
    /// Carries out one request for a handle that has been told of `seen` write errors.
    pub fn execute(&mut self, request: Request, seen: &mut u64) -> Result<Answer, Cause> {
        let verdict = self.arms.judge(traits(&request));
        self.trace_request(&request, verdict);
        let result = match verdict {
            Verdict::Carry => self.perform(request, seen),
            Verdict::Fail(draw) => self.fail(request, draw, seen),
            Verdict::Short(draw) => self.shorten(request, draw),
            Verdict::Misdirect(draw) => self.misdirect(request, draw, seen),
            Verdict::Die(death, draw) => self.die(request, death, draw, seen),
        };
        self.note(match &result {
            Ok(_) => 1,
            Err(Cause::Errno(errno)) => 2 + *errno as u64,
            Err(Cause::Short { written, .. }) => 1000 + *written as u64,
        });
        result
    }

    /// Adds a number to the trace.
    pub fn note(&mut self, number: u64) {
        self.trace.update(&number.to_le_bytes());
    }

    /// The process is gone, and perhaps the power: what remains is what the next one finds.
    pub fn crash(&mut self, death: Death, draw: &mut SplitMix64) {
        self.note(77 + death as u64);
        self.open.clear();
        self.locks.clear();
        self.death = None;
        self.crashes += 1;
        if death == Death::Killed {
            return;
        }
        let Medium { inodes, names, strikes, .. } = self;
        for inode in std::mem::take(&mut self.dirty) {
            inodes[inode].cut(draw, |strike| strikes.add(strike));
        }
        names.cut(draw, |strike| strikes.add(strike));
    }

    /// Whether the file at this path is not what was meant.
    pub fn is_damaged(&self, path: &str) -> bool {
        matches!(self.names.get(path), Some(Node::File(file)) if self.inodes[file].is_damaged())
    }

    /// Whether the file at this path lacks some of what was meant without showing it.
    pub fn is_erased(&self, path: &str) -> bool {
        matches!(self.names.get(path), Some(Node::File(file)) if self.inodes[file].is_erased())
    }

    /// Whether any file in this folder is not what was meant.
    pub fn is_folder_damaged(&self, folder: &str) -> bool {
        self.names.list(folder).any(|(_, node)| matches!(node, Node::File(file) if self.inodes[file].is_damaged()))
    }

    /// Brings back what was meant of the files in this folder, as an operator does from a copy.
    pub fn restore(&mut self, folder: &str) {
        for (_, node) in self.names.list(folder) {
            if let Node::File(file) = node {
                self.inodes[file].restore();
            }
        }
    }

    /// Takes the files in this folder as they are found for what was meant.
    pub fn accept(&mut self, folder: &str) {
        for (_, node) in self.names.list(folder) {
            if let Node::File(file) = node {
                self.inodes[file].accept();
            }
        }
    }

    /// Names and contents of the files in a folder, as they are read.
    pub fn contents(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let files = self.names.list(folder).filter_map(|(name, node)| match node {
            Node::File(file) => Some((name.to_owned(), self.inodes[file].bytes().to_vec())),
            Node::Directory => None,
        });
        files.collect()
    }

    /// Puts other bytes into a file of a folder, everywhere; `false` where part of it is not durable yet.
    pub fn overwrite(&mut self, path: &str, bytes: &[u8]) -> bool {
        let Some(Node::File(file)) = self.names.get(path) else { return false };
        if self.inodes[file].is_dirty() {
            return false;
        }
        self.inodes[file].overwrite(bytes);
        true
    }

    /// Whether a file stands at this path.
    pub fn exists(&self, path: &str) -> bool {
        self.names.get(path).is_some()
    }

    /// Whether somebody holds the lock of the file at this path alone.
    pub fn is_held_alone(&self, path: &str) -> bool {
        let Some(Node::File(file)) = self.names.get(path) else { return false };
        self.locks.get(&file).is_some_and(|lock| lock.alone.is_some())
    }

    /// The names in a folder.
    pub fn list(&self, folder: &str) -> BTreeSet<String> {
        self.names.list(folder).map(|(name, _)| name.to_owned()).collect()
    }

    /// Changes bits of one file, drawn among those in the folders where anything is at stake.
    pub fn rot(&mut self, draw: &mut SplitMix64) {
        let folders = ["feed/", "wal/", "cas/objects/", "cas/objects/", "cas/leases/", "cas/condemned/"];
        let folder = folders[draw.below(folders.len() as u64) as usize];
        let files: Vec<usize> =
            self.names.files().filter(|(path, _)| path.starts_with(folder)).map(|(_, file)| file).collect();
        if files.is_empty() {
            return;
        }
        let file = files[draw.below(files.len() as u64) as usize];
        if self.inodes[file].rot(draw) {
            self.strikes.add(Strike::Rot);
        }
    }

    /// Fails in one of the ways that devices fail: undone, done and said to have failed, or with dirty pages dropped.
    fn fail(&mut self, request: Request, draw: u64, seen: &mut u64) -> Result<Answer, Cause> {
        self.strikes.add(Strike::Eio);
        self.injected += 1;
        match request {
            Request::WriteSync { file, offset, bytes } => {
                let inode = self.open[&file].inode;
                self.write(file, offset, bytes)?;
                if draw.is_multiple_of(2) {
                    self.inodes[inode].drop_dirty();
                    self.dirty.remove(&inode);
                } else if draw.is_multiple_of(3) {
                    self.sync_file(inode);
                }
            }
            Request::Sync { file } if draw.is_multiple_of(2) => {
                let inode = self.open[&file].inode;
                self.inodes[inode].drop_dirty();
                self.dirty.remove(&inode);
            }
            Request::SyncAll if draw.is_multiple_of(2) => {
                for inode in std::mem::take(&mut self.dirty) {
                    self.inodes[inode].drop_dirty();
                }
                self.write_errors += 1;
                *seen = self.write_errors;
            }
            other if draw.is_multiple_of(3) => drop(self.perform(other, seen)),
            _ => {}
        }
        Err(Cause::INPUT_OUTPUT)
    }

    fn shorten(&mut self, request: Request, draw: u64) -> Result<Answer, Cause> {
        let (Request::Write { file, offset, mut bytes } | Request::WriteSync { file, offset, mut bytes }) = request
        else {
            unreachable!("only writes are shortened")
        };
        let expected = bytes.len();
        let written = SplitMix64::new(draw).below(expected.max(1) as u64) as usize;
        bytes.truncate(written);
        self.strikes.add(Strike::Short);
        self.injected += 1;
        self.write(file, offset, bytes)?;
        Err(Cause::Short { written, expected })
    }

    /// Writes to another place of this file or another, whole sectors apart, and says that all went well.
    fn misdirect(&mut self, request: Request, draw: u64, seen: &mut u64) -> Result<Answer, Cause> {
        let (file, offset, bytes, syncs) = match &request {
            Request::Write { file, offset, bytes } => (*file, *offset as usize, bytes.clone(), false),
            Request::WriteSync { file, offset, bytes } => (*file, *offset as usize, bytes.clone(), true),
            _ => unreachable!("only writes are misdirected"),
        };
        let meant = self.open[&file].inode;
        let mut draw = SplitMix64::new(draw);
        let targets: Vec<usize> = match draw.below(2) {
            0 => vec![meant],
            _ => self.names.files().map(|(_, file)| file).collect(),
        };
        let target = targets[draw.below(targets.len() as u64) as usize];
        let room = self.inodes[target].len().saturating_sub(bytes.len()) / SECTOR;
        let at = draw.below(room as u64 + 1) as usize * SECTOR;
        if self.inodes[target].len() < bytes.len() || (target == meant && at == offset) {
            return self.perform(request, seen); // It found its place by chance.
        }
        self.strikes.add(Strike::Misdirected);
        self.inodes[meant].miss(Change::Write { offset, bytes: bytes.clone() });
        self.inodes[target].receive(Change::Write { offset: at, bytes: bytes.clone() });
        self.dirty.extend([meant, target]);
        if syncs {
            self.sync_file(meant);
            self.sync_file(target);
        }
        Ok(Answer::Written(bytes))
    }

    /// The process ends in the middle of a request: before it, behind it, or between its write and its sync.
    fn die(&mut self, request: Request, death: Death, draw: u64, seen: &mut u64) -> Result<Answer, Cause> {
        match (request, draw % 3) {
            (_, 0) => {}
            (Request::WriteSync { file, offset, mut bytes }, _) if !draw.is_multiple_of(7) => {
                if draw.is_multiple_of(5) {
                    bytes.truncate(SplitMix64::new(draw).below(bytes.len() as u64) as usize);
                }
                drop(self.write(file, offset, bytes));
            }
            (request, _) => drop(self.perform(request, seen)),
        }
        self.death = Some(death);
        Err(Cause::INPUT_OUTPUT)
    }

    fn perform(&mut self, request: Request, seen: &mut u64) -> Result<Answer, Cause> {
        match request {
            Request::Create { path } => self.create(path),
            Request::Open { path, access: Access::Read | Access::Write } => match self.names.get(&path) {
                Some(Node::File(inode)) => Ok(self.opened(inode, path)),
                _ => Err(Cause::MISSING),
            },
            Request::Close { file } => {
                self.close(file);
                Ok(Answer::Done)
            }
            Request::Lock { file } => self.lock(file),
            Request::LockShared { file } => {
                let lock = self.locks.entry(self.open[&file].inode).or_default();
                assert!(lock.alone.is_none_or(|holder| holder == file), "one thread would wait for itself");
                lock.shared.insert(file);
                Ok(Answer::Done)
            }
            Request::Unlock { file } => {
                self.unlock(file);
                Ok(Answer::Done)
            }
            Request::Read { file, offset, len, mut buffer } => {
                self.inodes[self.open[&file].inode].read(offset as usize, len, &mut buffer);
                Ok(Answer::Read(buffer))
            }
            Request::Write { file, offset, bytes } => self.write(file, offset, bytes),
            Request::WriteSync { file, offset, bytes } => {
                let answer = self.write(file, offset, bytes)?;
                self.sync(file)?;
                Ok(answer)
            }
            Request::Sync { file } => self.sync(file),
            Request::SyncAll => self.sync_all(seen),
            Request::Length { file } => Ok(Answer::Length(self.inodes[self.open[&file].inode].len() as u64)),
            Request::SetLength { file, bytes } => {
                let inode = self.open[&file].inode;
                self.inodes[inode].change(Change::Length(bytes as usize));
                self.dirty.insert(inode);
                Ok(Answer::Done)
            }
            Request::SetMode { .. } => Ok(Answer::Done),
            names => self.perform_on_names(names),
        }
    }

    fn perform_on_names(&mut self, request: Request) -> Result<Answer, Cause> {
        match request {
            Request::Stat { path } => {
                let (kind, bytes) = match self.names.get(&path).ok_or(Cause::MISSING)? {
                    Node::File(file) => (EntryKind::File, self.inodes[file].len() as u64),
                    Node::Directory => (EntryKind::Directory, 0),
                };
                Ok(Answer::Stat(Stat { kind, bytes }))
            }
            Request::CreateDirectory { path } => {
                self.names.get(parent(&path)).ok_or(Cause::MISSING)?;
                if self.names.get(&path).is_none() {
                    self.names.add(&path, Node::Directory);
                }
                Ok(Answer::Done)
            }
            Request::SyncDirectory { path } => {
                self.names.get(&path).ok_or(Cause::MISSING)?;
                self.names.sync(&path);
                Ok(Answer::Done)
            }
            Request::List { path } => {
                self.names.get(&path).ok_or(Cause::MISSING)?;
                let entry = |(name, node): (&str, Node)| {
                    let kind = if node == Node::Directory { EntryKind::Directory } else { EntryKind::File };
                    Entry { name: name.to_owned(), kind }
                };
                Ok(Answer::Names(self.names.list(&path).map(entry).collect()))
            }
            Request::Rename { from, to } => {
                let node = self.names.get(&from).ok_or(Cause::MISSING)?;
                self.names.get(parent(&to)).ok_or(Cause::MISSING)?;
                self.names.rename(&from, &to, node);
                Ok(Answer::Done)
            }
            Request::Remove { path } => {
                let Some(Node::File(_)) = self.names.get(&path) else { return Err(Cause::MISSING) };
                self.names.remove(&path);
                Ok(Answer::Done)
            }
            other => panic!("nobody asks a store's disk for {other:?}"),
        }
    }

    fn create(&mut self, path: String) -> Result<Answer, Cause> {
        if self.names.get(&path).is_some() {
            return Err(Cause::EXISTS);
        }
        self.names.get(parent(&path)).ok_or(Cause::MISSING)?;
        self.inodes.push(Inode::default());
        let inode = self.inodes.len() - 1;
        self.names.add(&path, Node::File(inode));
        Ok(self.opened(inode, path))
    }

    fn opened(&mut self, inode: usize, path: String) -> Answer {
        self.last_file += 1;
        let file = FileId(self.last_file);
        self.open.insert(file, Open { inode, path, write_errors: self.inodes[inode].write_errors });
        Answer::Opened(file)
    }

    fn close(&mut self, file: FileId) {
        self.unlock(file);
        self.open.remove(&file).expect("an open file is closed");
    }

    /// What a process had open, when its handle goes.
    pub fn close_all(&mut self, files: impl IntoIterator<Item = FileId>) {
        for file in files {
            if self.open.contains_key(&file) {
                self.close(file);
            }
        }
    }

    fn lock(&mut self, file: FileId) -> Result<Answer, Cause> {
        let lock = self.locks.entry(self.open[&file].inode).or_default();
        if lock.alone.is_some_and(|holder| holder != file) || lock.shared.iter().any(|holder| *holder != file) {
            return Err(Cause::WOULD_BLOCK);
        }
        lock.alone = Some(file);
        Ok(Answer::Done)
    }

    fn unlock(&mut self, file: FileId) {
        if let Some(lock) = self.locks.get_mut(&self.open[&file].inode) {
            lock.shared.remove(&file);
            lock.alone = lock.alone.filter(|holder| *holder != file);
        }
    }

    fn write(&mut self, file: FileId, offset: u64, bytes: Vec<u8>) -> Result<Answer, Cause> {
        let inode = self.open[&file].inode;
        if self.arms.is_full() && offset as usize + bytes.len() > self.inodes[inode].len() {
            self.strikes.add(Strike::Enospc);
            self.injected += 1;
            return Err(Cause::NO_SPACE);
        }
        self.inodes[inode].change(Change::Write { offset: offset as usize, bytes: bytes.clone() });
        self.dirty.insert(inode);
        Ok(Answer::Written(bytes))
    }

    fn sync(&mut self, file: FileId) -> Result<Answer, Cause> {
        let Open { inode, write_errors, .. } = self.open.get_mut(&file).expect("an open file is synced");
        let told = self.inodes[*inode].write_errors;
        if std::mem::replace(write_errors, told) != told {
            self.injected += 1;
            return Err(Cause::INPUT_OUTPUT);
        }
        let inode = *inode;
        if !self.forgets_syncs {
            self.sync_file(inode);
        }
        Ok(Answer::Done)
    }

    fn sync_all(&mut self, seen: &mut u64) -> Result<Answer, Cause> {
        if std::mem::replace(seen, self.write_errors) != self.write_errors {
            self.injected += 1;
            return Err(Cause::INPUT_OUTPUT);
        }
        if !self.forgets_syncs {
            for inode in std::mem::take(&mut self.dirty) {
                self.inodes[inode].sync();
            }
            self.names.sync_all();
        }
        Ok(Answer::Done)
    }

    fn sync_file(&mut self, inode: usize) {
        self.inodes[inode].sync();
        self.dirty.remove(&inode);
    }

    fn trace_request(&mut self, request: &Request, verdict: Verdict) {
        let (tag, path, numbers): (u64, &str, [u64; 2]) = match request {
            Request::Create { path } => (1, path, [0; 2]),
            Request::Open { path, .. } => (2, path, [0; 2]),
            Request::Close { file } => (3, self.path(*file), [0; 2]),
            Request::Lock { file } => (4, self.path(*file), [0; 2]),
            Request::LockShared { file } => (5, self.path(*file), [0; 2]),
            Request::Unlock { file } => (6, self.path(*file), [0; 2]),
            Request::Read { file, offset, len, .. } => (7, self.path(*file), [*offset, *len as u64]),
            Request::Write { file, offset, bytes } => (8, self.path(*file), [*offset, bytes.len() as u64]),
            Request::WriteSync { file, offset, bytes } => (9, self.path(*file), [*offset, bytes.len() as u64]),
            Request::Sync { file } => (10, self.path(*file), [0; 2]),
            Request::SyncAll => (11, "", [0; 2]),
            Request::Length { file } => (12, self.path(*file), [0; 2]),
            Request::SetLength { file, bytes } => (13, self.path(*file), [*bytes, 0]),
            Request::SetMode { file, .. } => (14, self.path(*file), [0; 2]),
            Request::Stat { path } => (15, path, [0; 2]),
            Request::CreateDirectory { path } => (16, path, [0; 2]),
            Request::SyncDirectory { path } => (17, path, [0; 2]),
            Request::List { path } => (18, path, [0; 2]),
            Request::Rename { from, to } => (19, from, [to.len() as u64, 0]),
            Request::Remove { path } => (20, path, [0; 2]),
            Request::RemoveDirectory { path } => (21, path, [0; 2]),
        };
        let mut line = [0; 32];
        let words = [tag, numbers[0], numbers[1], u64::from(verdict != Verdict::Carry)];
        for (bytes, word) in line.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let path = path.to_owned();
        self.trace.update(&line).update(path.as_bytes());
    }

    /// Path under which a file was opened.
    pub fn path(&self, file: FileId) -> &str {
        self.open.get(&file).map_or("", |open| open.path.as_str())
    }
}

fn traits(request: &Request) -> Traits {
    use Request::{Close, Lock, LockShared, Sync, SyncAll, SyncDirectory, Unlock, Write, WriteSync};
    Traits {
        writes: matches!(request, Write { .. } | WriteSync { .. }),
        syncs: matches!(request, WriteSync { .. } | Sync { .. } | SyncAll | SyncDirectory { .. }),
        can_fail: !matches!(request, Close { .. } | Lock { .. } | LockShared { .. } | Unlock { .. }),
    }
}
