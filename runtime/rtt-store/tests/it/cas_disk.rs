//! A disk in memory that tests of objects run on: shared by several "processes", failing where it is told, and forgetting
//! what was not synced when its power is cut.

use rtt_store::{Access, Answer, Cause, Disk, DiskError, Entry, EntryKind, FileId, Request, Stat, Token};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::rc::Rc;

/// What a disk does at the operation that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The operation is not carried out.
    Refuses,
    /// The operation is carried out, and said to have failed.
    LosesAnswer,
    /// The operation and all after it are refused: the process is gone.
    Dies,
}

/// Which names are there after a power cut; bytes that were not synced are gone in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    All,
    Synced,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// The open files that share the lock, or the one that holds it alone.
    shared: BTreeSet<(u64, FileId)>,
    alone: Option<(u64, FileId)>,
}

#[derive(Clone, Debug, Default)]
struct Medium {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    directories: BTreeSet<String>,
    processes: u64,
}

/// One process's view of the medium.
#[derive(Debug)]
pub struct MemoryDisk {
    medium: Rc<RefCell<Medium>>,
    process: u64,
    open: BTreeMap<FileId, (usize, String)>,
    done: VecDeque<(Token, Result<Answer, DiskError>)>,
    next: u64,
    operations: u64,
    failure: Option<(u64, Failure)>,
    interruption: Option<Interruption>,
    log: Vec<String>,
}

/// What another process does before an operation of this one.
struct Interruption {
    at: u64,
    action: Box<dyn FnOnce()>,
}

impl fmt::Debug for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interruption at {}", self.at)
    }
}

/// What a process that would wait for a lock is told instead: nothing else runs that could end the wait.
pub const WOULD_WAIT: Cause = Cause::Errno(35); // EDEADLK

impl MemoryDisk {
    pub fn new() -> MemoryDisk {
        MemoryDisk::on(Rc::default())
    }

    fn on(medium: Rc<RefCell<Medium>>) -> MemoryDisk {
        medium.borrow_mut().processes += 1;
        let process = medium.borrow().processes;
        let (open, done, log) = (BTreeMap::new(), VecDeque::new(), Vec::new());
        MemoryDisk { medium, process, open, done, next: 0, operations: 0, failure: None, interruption: None, log }
    }

    /// Another process on the same medium.
    pub fn process(&self) -> MemoryDisk {
        MemoryDisk::on(Rc::clone(&self.medium))
    }

    /// A medium of its own with the same files.
    pub fn copy(&self) -> MemoryDisk {
        let mut medium = self.medium.borrow().clone();
        for inode in &mut medium.inodes {
            (inode.shared, inode.alone) = (BTreeSet::new(), None);
        }
        MemoryDisk::on(Rc::new(RefCell::new(medium)))
    }

    /// What is left when the power is cut now.
    pub fn cut_power(&self, names: Names) -> MemoryDisk {
        let copy = self.copy();
        let mut medium = copy.medium.borrow_mut();
        if names == Names::Synced {
            medium.names = medium.synced_names.clone();
        }
        for inode in &mut medium.inodes {
            inode.bytes = inode.synced.clone();
        }
        drop(medium);
        copy
    }

    /// Lets the `at`-th operation from now (from 0) fail.
    pub fn fail_at(&mut self, at: u64, failure: Failure) {
        (self.operations, self.failure) = (0, Some((at, failure)));
    }

    /// Lets another process act before the `at`-th operation from now (from 0).
    pub fn interrupt_at(&mut self, at: u64, action: impl FnOnce() + 'static) {
        (self.operations, self.interruption) = (0, Some(Interruption { at, action: Box::new(action) }));
    }

    /// Whether the interruption that was asked for has come.
    pub fn was_interrupted(&self) -> bool {
        self.interruption.is_none()
    }

    /// Whether the failure that was asked for has come.
    pub fn has_failed(&self) -> bool {
        self.failure.is_some_and(|(at, _)| self.operations > at)
    }

    /// What was asked for since the last call, a line each.
    pub fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    pub fn paths(&self, prefix: &str) -> Vec<String> {
        self.medium.borrow().names.keys().filter(|path| path.starts_with(prefix)).cloned().collect()
    }

    pub fn bytes(&self, path: &str) -> Vec<u8> {
        let medium = self.medium.borrow();
        medium.inodes[medium.names[path]].bytes.clone()
    }

    /// Changes a file behind the store's back.
    pub fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut medium = self.medium.borrow_mut();
        let inode = medium.names[path];
        change(&mut medium.inodes[inode].bytes);
        medium.inodes[inode].synced = medium.inodes[inode].bytes.clone();
    }

    pub fn swap(&self, one: &str, other: &str) {
        let mut medium = self.medium.borrow_mut();
        let (first, second) = (medium.names[one], medium.names[other]);
        medium.names.insert(one.into(), second);
        medium.names.insert(other.into(), first);
    }

    fn inode(&self, file: FileId) -> usize {
        self.open[&file].0
    }

    fn open_inode(&mut self, inode: usize, path: String) -> Answer {
        self.next += 1;
        self.open.insert(FileId(self.next), (inode, path));
        Answer::Opened(FileId(self.next))
    }

    fn execute(&mut self, request: Request) -> Result<Answer, Cause> {
        let medium = Rc::clone(&self.medium);
        let mut medium = medium.borrow_mut();
        match request {
            Request::Create { path } => {
                if !medium.directories.contains(parent(&path)) {
                    return Err(Cause::MISSING);
                }
                if medium.names.contains_key(&path) {
                    return Err(Cause::EXISTS);
                }
                medium.inodes.push(Inode::default());
                let inode = medium.inodes.len() - 1;
                medium.names.insert(path.clone(), inode);
                Ok(self.open_inode(inode, path))
            }
            Request::Open { path, access: Access::Read | Access::Write } => {
                let inode = *medium.names.get(&path).ok_or(Cause::MISSING)?;
                Ok(self.open_inode(inode, path))
            }
            Request::Close { file } => {
                let (inode, _) = self.open.remove(&file).expect("an open file");
                unlock(&mut medium.inodes[inode], (self.process, file));
                Ok(Answer::Done)
            }
            Request::Lock { file } => lock(&mut medium.inodes[self.inode(file)], (self.process, file)),
            Request::LockShared { file } => {
                let inode = &mut medium.inodes[self.inode(file)];
                if inode.alone.is_some() {
                    return Err(WOULD_WAIT);
                }
                inode.shared.insert((self.process, file));
                Ok(Answer::Done)
            }
            Request::Unlock { file } => {
                unlock(&mut medium.inodes[self.inode(file)], (self.process, file));
                Ok(Answer::Done)
            }
            Request::Read { file, offset, len, .. } => {
                let bytes = &medium.inodes[self.inode(file)].bytes;
                let start = bytes.len().min(offset as usize);
                Ok(Answer::Read(bytes[start..bytes.len().min(start.saturating_add(len))].to_vec()))
            }
            Request::Write { file, offset, bytes } => {
                let inode = &mut medium.inodes[self.inode(file)].bytes;
                let end = offset as usize + bytes.len();
                inode.resize(inode.len().max(end), 0);
                inode[offset as usize..end].copy_from_slice(&bytes);
                Ok(Answer::Written(bytes))
            }
            Request::Sync { file } => {
                let inode = &mut medium.inodes[self.inode(file)];
                inode.synced = inode.bytes.clone();
                Ok(Answer::Done)
            }
            Request::Length { file } => Ok(Answer::Length(medium.inodes[self.inode(file)].bytes.len() as u64)),
            Request::SetLength { file, bytes } => {
                medium.inodes[self.inode(file)].bytes.resize(bytes as usize, 0);
                Ok(Answer::Done)
            }
            Request::SetMode { .. } => Ok(Answer::Done),
            names => execute_on_names(&mut medium, names),
        }
    }
}

fn execute_on_names(medium: &mut Medium, request: Request) -> Result<Answer, Cause> {
    match request {
        Request::SyncAll => {
            for inode in &mut medium.inodes {
                inode.synced = inode.bytes.clone();
            }
            medium.synced_names = medium.names.clone();
        }
        Request::Stat { path } => {
            let inode = *medium.names.get(&path).ok_or(Cause::MISSING)?;
            let bytes = medium.inodes[inode].bytes.len() as u64;
            return Ok(Answer::Stat(Stat { kind: EntryKind::File, bytes }));
        }
        Request::CreateDirectory { path } => {
            medium.directories.insert(path);
        }
        Request::SyncDirectory { path } => {
            let Medium { names, synced_names, .. } = medium;
            synced_names.retain(|name, _| parent(name) != path);
            let now = names.iter().filter(|(name, _)| parent(name) == path);
            synced_names.extend(now.map(|(name, inode)| (name.clone(), *inode)));
        }
        Request::List { path } => {
            if !medium.directories.contains(&path) {
                return Err(Cause::MISSING);
            }
            let names = medium.names.keys().filter(|name| parent(name) == path);
            let name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
            return Ok(Answer::Names(names.map(|path| Entry { name: name(path), kind: EntryKind::File }).collect()));
        }
        Request::Rename { from, to } => {
            let inode = medium.names.remove(&from).ok_or(Cause::MISSING)?;
            medium.names.insert(to, inode);
        }
        Request::Remove { path } => {
            medium.names.remove(&path).ok_or(Cause::MISSING)?;
        }
        other => panic!("{other:?} is not asked for by objects"),
    }
    Ok(Answer::Done)
}

/// A request without its bytes.
fn label(request: &Request) -> String {
    match request {
        Request::Write { file, offset, bytes } => format!("Write {} at {offset}: {} bytes", file.0, bytes.len()),
        Request::Read { file, offset, len, .. } => format!("Read {} at {offset}: {len} bytes", file.0),
        other => format!("{other:?}"),
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn lock(inode: &mut Inode, holder: (u64, FileId)) -> Result<Answer, Cause> {
    if inode.alone.is_some_and(|alone| alone != holder) || inode.shared.iter().any(|shared| *shared != holder) {
        return Err(Cause::WOULD_BLOCK);
    }
    inode.alone = Some(holder);
    Ok(Answer::Done)
}

fn unlock(inode: &mut Inode, holder: (u64, FileId)) {
    inode.shared.remove(&holder);
    inode.alone = inode.alone.filter(|alone| *alone != holder);
}

impl Disk for MemoryDisk {
    fn submit(&mut self, request: Request) -> Token {
        self.next += 1;
        let token = Token(self.next);
        let text = label(&request);
        let operation = self.operations;
        self.operations += 1;
        if let Some(interruption) = self.interruption.take_if(|interruption| interruption.at == operation) {
            (interruption.action)();
        }
        let failure =
            self.failure.filter(|(at, failure)| operation == *at || (operation > *at && *failure == Failure::Dies));
        let result = match failure {
            Some((_, Failure::Refuses | Failure::Dies)) => Err(Cause::INPUT_OUTPUT),
            Some((_, Failure::LosesAnswer)) => self.execute(request).and(Err(Cause::INPUT_OUTPUT)),
            None => self.execute(request),
        };
        let result = result.map_err(|cause| DiskError { operation: "operate", path: text.clone(), cause });
        self.log.push(text);
        self.done.push_back((token, result));
        token
    }

    fn complete(&mut self) -> Option<(Token, Result<Answer, DiskError>)> {
        self.done.pop_front()
    }

    fn wait(&mut self, token: Token) -> Result<Answer, DiskError> {
        let at = self.done.iter().position(|(each, _)| *each == token).expect("in flight");
        self.done.remove(at).expect("in flight").1
    }
}

/// A process that ends gives its locks back.
impl Drop for MemoryDisk {
    fn drop(&mut self) {
        let process = self.process;
        for inode in &mut self.medium.borrow_mut().inodes {
            inode.shared.retain(|(holder, _)| *holder != process);
            inode.alone = inode.alone.filter(|(holder, _)| *holder != process);
        }
    }
}
