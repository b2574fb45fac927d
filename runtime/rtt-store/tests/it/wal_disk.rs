//! A disk in memory for logs: it can be cut off from power, filled, and told to fail at any of its operations.

use rtt_store::{Answer, Cause, Disk, DiskError, Entry, EntryKind, FileId, Request, Token};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

/// Files of a folder, by name.
pub type Image = BTreeMap<String, Vec<u8>>;

/// What happens at the operation that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done.
    Refused(Cause),
    /// It is done, and said to have failed.
    AnswerLost,
    /// A write stops after half of its bytes, and nothing is synced.
    Short,
    /// A write is with the kernel, and its sync failed.
    Unsynced,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Debug, Default)]
struct Medium {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    folders: BTreeSet<String>,
    open: BTreeMap<FileId, (usize, String)>,
    locked: BTreeSet<usize>,
    done: VecDeque<(Token, Result<Answer, DiskError>)>,
    last_id: u64,
    /// Bytes that all files together may have.
    capacity: Option<usize>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    log: Vec<String>,
    /// Offset and length of each group that was written.
    groups: Vec<(u64, usize)>,
}

/// The disk of a reader, beside whom others act before one of its requests.
pub struct Beside<F> {
    pub disk: LogDisk,
    /// How many requests come before.
    pub before: u64,
    pub act: Option<F>,
}

impl<F: FnOnce()> Disk for Beside<F> {
    fn submit(&mut self, request: Request) -> Token {
        if self.before == 0
            && let Some(act) = self.act.take()
        {
            act();
        }
        self.before = self.before.saturating_sub(1);
        self.disk.submit(request)
    }

    fn complete(&mut self) -> Option<(Token, Result<Answer, DiskError>)> {
        self.disk.complete()
    }

    fn wait(&mut self, token: Token) -> Result<Answer, DiskError> {
        self.disk.wait(token)
    }
}

/// The disk; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct LogDisk(Arc<Mutex<Medium>>);

impl LogDisk {
    /// A disk that holds these files, durably.
    pub fn of(image: &Image) -> LogDisk {
        let disk = LogDisk::default();
        let mut medium = disk.medium();
        medium.folders.insert("wal".into());
        for (name, bytes) in image {
            medium.inodes.push(Inode { now: bytes.clone(), durable: bytes.clone() });
            let inode = medium.inodes.len() - 1;
            medium.names.insert(name.clone(), inode);
        }
        medium.durable_names = medium.names.clone();
        drop(medium);
        disk
    }

    /// The same disk for the next process: the last one's locks and open files are gone, what the kernel had is not.
    pub fn restarted(&self) -> LogDisk {
        let mut medium = self.medium();
        medium.locked.clear();
        medium.fault = None;
        drop(medium);
        self.clone()
    }

    /// Changes a file behind the log's back.
    pub fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut medium = self.medium();
        let inode = medium.names[path];
        change(&mut medium.inodes[inode].now);
    }

    /// The segments as they are now, synced or not.
    pub fn image(&self) -> Image {
        let medium = self.medium();
        let segments = medium.names.iter().filter(|(name, _)| name.ends_with(".seg"));
        segments.map(|(name, inode)| (name.clone(), medium.inodes[*inode].now.clone())).collect()
    }

    /// The segments as they are after the power was cut: what was not synced is gone.
    pub fn durable(&self) -> Image {
        let medium = self.medium();
        let segments = medium.durable_names.iter().filter(|(name, _)| name.ends_with(".seg"));
        segments.map(|(name, inode)| (name.clone(), medium.inodes[*inode].durable.clone())).collect()
    }

    /// Operations carried out, and what they were.
    pub fn log(&self) -> Vec<String> {
        self.medium().log.clone()
    }

    /// Offset and length of each group that was written.
    pub fn groups(&self) -> Vec<(u64, usize)> {
        self.medium().groups.clone()
    }

    /// Number of operations so far.
    pub fn operations(&self) -> u64 {
        self.medium().operations
    }

    /// Lets operation `at`, counted from the first, fail.
    pub fn fail(&self, at: u64, fault: Fault) {
        self.medium().fault = Some((at, fault));
    }

    /// Sets how many bytes all files together may have.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.medium().capacity = bytes;
    }

    fn medium(&self) -> MutexGuard<'_, Medium> {
        self.0.lock().expect("no test panicked with the disk")
    }
}

impl Disk for LogDisk {
    fn submit(&mut self, request: Request) -> Token {
        let mut medium = self.medium();
        medium.last_id += 1;
        let token = Token(medium.last_id);
        let result = medium.operate(request);
        medium.done.push_back((token, result));
        token
    }

    fn complete(&mut self) -> Option<(Token, Result<Answer, DiskError>)> {
        self.medium().done.pop_front()
    }

    fn wait(&mut self, token: Token) -> Result<Answer, DiskError> {
        let mut medium = self.medium();
        let at = medium.done.iter().position(|(each, _)| *each == token).expect("in flight");
        medium.done.remove(at).expect("in flight").1
    }
}

impl Medium {
    fn operate(&mut self, request: Request) -> Result<Answer, DiskError> {
        let at = self.operations;
        self.operations += 1;
        self.log.push(self.describe(&request));
        match self.fault.filter(|(fails, _)| *fails == at).map(|(_, fault)| fault) {
            None => self.perform(request),
            Some(Fault::Refused(cause)) => Err(error(cause)),
            Some(Fault::AnswerLost) => {
                let _ = self.perform(request);
                Err(error(Cause::INPUT_OUTPUT))
            }
            Some(Fault::Unsynced) => {
                if let Request::Write { file, offset, bytes } | Request::WriteSync { file, offset, bytes } = request {
                    self.perform(Request::Write { file, offset, bytes })?;
                }
                Err(error(Cause::INPUT_OUTPUT))
            }
            Some(Fault::Short) => match request {
                Request::Write { file, offset, mut bytes } | Request::WriteSync { file, offset, mut bytes } => {
                    let expected = bytes.len();
                    bytes.truncate(expected / 2);
                    let written = bytes.len();
                    self.perform(Request::Write { file, offset, bytes })?;
                    Err(error(Cause::Short { written, expected }))
                }
                _ => Err(error(Cause::INPUT_OUTPUT)),
            },
        }
    }

    fn describe(&self, request: &Request) -> String {
        let path = |file: &FileId| self.open.get(file).map_or("?", |(_, path)| path);
        match request {
            Request::Write { file, offset, .. } => format!("write {} {offset}", path(file)),
            Request::WriteSync { file, offset, .. } => format!("write_sync {} {offset}", path(file)),
            Request::Sync { file } => format!("sync {}", path(file)),
            Request::Close { file } => format!("close {}", path(file)),
            other => format!("{other:?}"),
        }
    }

    fn perform(&mut self, request: Request) -> Result<Answer, DiskError> {
        match request {
            Request::Create { path } if self.names.contains_key(&path) => Err(error(Cause::EXISTS)),
            Request::Create { path } => {
                self.inodes.push(Inode::default());
                self.names.insert(path.clone(), self.inodes.len() - 1);
                Ok(self.opened(path))
            }
            Request::Open { path, .. } if self.names.contains_key(&path) => Ok(self.opened(path)),
            Request::Open { .. } => Err(error(Cause::MISSING)),
            Request::Close { file } => {
                let (inode, _) = self.open.remove(&file).expect("an open file");
                self.locked.remove(&inode);
                Ok(Answer::Done)
            }
            Request::Lock { file } => {
                let inode = self.open[&file].0;
                if self.locked.insert(inode) { Ok(Answer::Done) } else { Err(error(Cause::WOULD_BLOCK)) }
            }
            Request::Read { file, offset, len, mut buffer } => {
                let bytes = &self.inodes[self.open[&file].0].now;
                let from = bytes.len().min(offset as usize);
                buffer.clear();
                buffer.extend_from_slice(&bytes[from..bytes.len().min(from + len)]);
                Ok(Answer::Read(buffer))
            }
            Request::Write { file, offset, bytes } => self.write(file, offset as usize, bytes),
            Request::WriteSync { file, offset, bytes } => {
                self.groups.push((offset, bytes.len()));
                let answer = self.write(file, offset as usize, bytes)?;
                self.sync(file);
                Ok(answer)
            }
            Request::Sync { file } => {
                self.sync(file);
                Ok(Answer::Done)
            }
            Request::Length { file } => Ok(Answer::Length(self.inodes[self.open[&file].0].now.len() as u64)),
            Request::CreateDirectory { path } => {
                self.folders.insert(path);
                Ok(Answer::Done)
            }
            Request::SyncDirectory { path } => {
                let inside = |name: &String| name.rsplit_once('/').map_or("", |(folder, _)| folder) == path;
                self.durable_names.retain(|name, _| !inside(name));
                let names = self.names.iter().filter(|(name, _)| inside(name));
                self.durable_names.extend(names.map(|(name, inode)| (name.clone(), *inode)));
                Ok(Answer::Done)
            }
            Request::List { path } if self.folders.contains(&path) => {
                let prefix = format!("{path}/");
                let names = self.names.keys().filter_map(|name| name.strip_prefix(&prefix));
                let entries = names.map(|name| Entry { name: name.into(), kind: EntryKind::File });
                Ok(Answer::Names(entries.collect()))
            }
            Request::List { .. } => Err(error(Cause::MISSING)),
            Request::Rename { from, to } => {
                let inode = self.names.remove(&from).ok_or(error(Cause::MISSING))?;
                self.open.values_mut().filter(|(_, path)| *path == from).for_each(|(_, path)| path.clone_from(&to));
                self.names.insert(to, inode);
                Ok(Answer::Done)
            }
            Request::Remove { path } => {
                let inode = self.names.remove(&path).ok_or(error(Cause::MISSING))?;
                self.inodes[inode].now.clear(); // Its blocks are free again, as no test reads a removed file.
                Ok(Answer::Done)
            }
            other => panic!("a log asks for no {other:?}"),
        }
    }

    fn opened(&mut self, path: String) -> Answer {
        self.last_id += 1;
        let file = FileId(self.last_id);
        self.open.insert(file, (self.names[&path], path));
        Answer::Opened(file)
    }

    fn write(&mut self, file: FileId, offset: usize, bytes: Vec<u8>) -> Result<Answer, DiskError> {
        let inode = self.open[&file].0;
        let end = offset + bytes.len();
        let used: usize = self.inodes.iter().map(|inode| inode.now.len()).sum();
        let grows = end.saturating_sub(self.inodes[inode].now.len());
        if self.capacity.is_some_and(|capacity| grows > 0 && used + grows > capacity) {
            return Err(error(Cause::NO_SPACE));
        }
        let now = &mut self.inodes[inode].now;
        now.resize(now.len().max(end), 0);
        now[offset..end].copy_from_slice(&bytes);
        Ok(Answer::Written(bytes))
    }

    fn sync(&mut self, file: FileId) {
        let inode = &mut self.inodes[self.open[&file].0];
        inode.durable.clone_from(&inode.now);
    }
}

fn error(cause: Cause) -> DiskError {
    DiskError { operation: "test", path: "disk".into(), cause }
}
