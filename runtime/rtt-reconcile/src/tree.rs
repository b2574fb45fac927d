//! A participant whose items are files below a root, switched as a whole: `files`, `rings` and `profile` are each one.
//!
//! Layout below the root:
//!
//! | path | what |
//! |---|---|
//! | `current` | a symbolic link to the generation that runs; absent before the first plan |
//! | `generations/<plan>/` | the items of one plan's target |
//! | `generations/<plan>.new/` | one that is being made |
//! | `undo/<plan>` | what `current` was before that plan: the name of a generation, or nothing |
//!
//! TREE-1  `current` names a whole generation or is absent: it is replaced by a rename, once all below is durable.
//! TREE-2  `prepare` and `abort` change nothing that `current` leads to.
//! TREE-3  What somebody else put below the root is neither run nor followed: a folder of ours that is a link or a mount is
//!         refused, and what stands where a plan's items go counts only where it is what the plan makes.
//!
//! A ring's item is the JSON of its knobs, the profile's the sealed profile. Who runs on them reads `current/<item>` and
//! is told elsewhere.

use crate::objects::Objects;
use crate::owned_tree;
use rtt_plan::{Inventory, Item, Op, Participant, ParticipantError, PlanId};
use rtt_profile::knobs_json;
use rtt_seal::Digest;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File, Permissions};
use std::io::{self, Cursor, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const CURRENT: &str = "current";
const GENERATIONS: &str = "generations";
const UNDO: &str = "undo";
/// Mode of an item whose mode is no part of the state.
const MODE: u32 = 0o644;

/// Items as files below a root.
pub struct Tree<O> {
    name: &'static str,
    root: PathBuf,
    objects: O,
}

impl<O: Objects> Tree<O> {
    /// The participant `name`, one of [`Op::PARTICIPANTS`], below `root`, which is made when it is first needed.
    pub fn new(name: &'static str, root: PathBuf, objects: O) -> Tree<O> {
        assert!(Op::PARTICIPANTS.contains(&name), "{name} is no participant");
        Tree { name, root, objects }
    }

    fn failed(&self, what: impl Into<String>, error: impl Into<Box<dyn Error + Send + Sync>>) -> ParticipantError {
        failed(self.name, what, error)
    }

    fn generation(&self, name: &str) -> PathBuf {
        self.root.join(GENERATIONS).join(name)
    }

    fn undo_path(&self, plan: PlanId) -> PathBuf {
        self.root.join(UNDO).join(plan.to_string())
    }

    /// TREE-3: whether the folders are directories on the root's file system, where they are there: what lies behind a link or
    /// a mount is not ours to remove, and is not made durable with the root.
    fn check_folders(&self) -> Result<(), ParticipantError> {
        let Ok(root) = fs::metadata(&self.root) else { return Ok(()) };
        for folder in [GENERATIONS, UNDO].map(|folder| self.root.join(folder)) {
            match fs::symlink_metadata(&folder) {
                Ok(found) if found.is_dir() && found.dev() == root.dev() && !self.is_mount(&folder)? => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.failed(format!("look at {}", folder.display()), error)),
                Ok(found) => {
                    let kind = if found.is_dir() { "a mount" } else { "no directory" };
                    let words = format!("{} is {kind}: expected a directory beside `{CURRENT}`", folder.display());
                    return Err(self.failed("tell what runs", words));
                }
            }
        }
        Ok(())
    }

    fn is_mount(&self, folder: &Path) -> Result<bool, ParticipantError> {
        owned_tree::is_mount(folder).map_err(|error| self.failed(format!("look at {}", folder.display()), error))
    }

    /// Name of the generation that runs; `None` before the first.
    fn running(&self) -> Result<Option<String>, ParticipantError> {
        self.check_folders()?;
        let path = self.root.join(CURRENT);
        let link = match fs::read_link(&path) {
            Ok(link) => link,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let path = path.display();
                let way = format!("move it away: mv {path} {path}.aside");
                return Err(
                    self.failed(format!("read {path}, expected a link to a folder of {GENERATIONS}; {way}"), error)
                );
            }
        };
        let name = link.strip_prefix(GENERATIONS).ok().and_then(Path::to_str).filter(|name| !name.contains('/'));
        match name {
            Some(name) => Ok(Some(name.to_owned())),
            None => {
                let words = format!("{} leads to {}, which is no generation", path.display(), link.display());
                Err(self.failed("tell what runs", words))
            }
        }
    }

    fn inventory(&self) -> Result<Inventory, ParticipantError> {
        let Some(running) = self.running()? else { return Ok(Inventory::default()) };
        let folder = self.generation(&running);
        if !folder.is_dir() {
            let (folder, current) = (folder.display(), self.root.join(CURRENT));
            let way = format!("restore it from a copy, or remove the link {}", current.display());
            let words = format!("{folder} is not there: {way}; then `rtt plan status` says what is missing");
            return Err(self.failed("tell what runs", words)); // A generation that is gone is not an empty one.
        }
        let read = owned_tree::inventory(&folder, self.name == Op::FILES);
        read.map_err(|error| self.failed(format!("read {}", folder.display()), error))
    }

    /// Makes `current` lead to a generation, or removes it: TREE-1.
    fn switch(&self, to: Option<&str>) -> Result<(), ParticipantError> {
        let (current, new) = (self.root.join(CURRENT), self.root.join("current.new"));
        let switched = match to {
            Some(name) => remove_if_there(&new)
                .and_then(|()| symlink(Path::new(GENERATIONS).join(name), &new))
                .and_then(|()| fs::rename(&new, &current)),
            None => remove_if_there(&current),
        };
        let synced = switched.and_then(|()| owned_tree::sync(&self.root));
        synced.map_err(|error| self.failed(format!("switch {}", current.display()), error))
    }

    /// The bytes of an item: what a plan puts, or what lies in `running` and stays.
    fn bytes_of<'a>(
        &'a mut self,
        item: &str,
        ops: &BTreeMap<&str, &'a Op>,
        running: Option<&Path>,
    ) -> Result<Box<dyn Read + 'a>, ParticipantError> {
        let participant = self.name;
        match ops.get(item) {
            None => {
                let path = running.expect("an item that no op puts was there").join(item);
                let opened = File::open(&path);
                let file = opened.map_err(|error| self.failed(format!("copy {}", path.display()), error))?;
                Ok(Box::new(file))
            }
            Some(Op::RingPut { knobs, .. }) => Ok(Box::new(Cursor::new(knobs_json(knobs)))),
            Some(op) => {
                let object = op.object().expect("an op that leaves an item behind puts it");
                let opened = self.objects.open(object);
                let opened = opened.map_err(|error| failed(participant, format!("fetch object {object}"), error))?;
                opened.ok_or_else(|| ParticipantError::Missing {
                    participant: participant.to_owned(),
                    item: item.to_owned(),
                    object,
                })
            }
        }
    }

    /// Writes the items of `after` below `stage`: what the ops put, and copies of what stays.
    fn fill(&mut self, stage: &Path, after: &Inventory, ops: &[Op]) -> Result<(), ParticipantError> {
        let ops: BTreeMap<&str, &Op> = ops.iter().map(|op| (op.item(), op)).collect();
        let running = self.running()?.map(|name| self.generation(&name));
        for (name, item) in &after.items {
            let path = stage.join(name);
            let written = write_item(&path, &mut *self.bytes_of(name, &ops, running.as_deref())?, item);
            let found = written.map_err(|error| self.failed(format!("write {}", path.display()), error))?;
            // Also of what stays: it is the plan's state from now on.
            if found != item.object {
                let words = format!("its bytes have the digest {found}, expected {}", item.object);
                return Err(self.failed(format!("take over {name}"), words));
            }
        }
        Ok(())
    }

    /// Whether `plan` is prepared already: its items stand as it makes them, and the way back is noted.
    fn is_prepared(&self, plan: PlanId, after: &Inventory) -> Result<bool, ParticipantError> {
        let made = self.generation(&plan.to_string());
        if !fs::symlink_metadata(&made).is_ok_and(|found| found.is_dir()) {
            return Ok(false);
        }
        let found = owned_tree::inventory(&made, self.name == Op::FILES);
        let found = found.map_err(|error| self.failed(format!("read {}", made.display()), error))?;
        let before = fs::read_to_string(self.undo_path(plan)).ok();
        Ok(found == *after && before == Some(self.running()?.unwrap_or_default()))
    }

    /// Removes the generations that nothing leads back to any more.
    fn sweep(&self) -> Result<(), ParticipantError> {
        let Some(running) = self.running()? else { return Ok(()) };
        let before = fs::read_to_string(self.root.join(UNDO).join(&running)).unwrap_or_default();
        for (folder, kept) in [(GENERATIONS, vec![running.as_str(), before.as_str()]), (UNDO, vec![running.as_str()])] {
            let folder = self.root.join(folder);
            let swept = fs::read_dir(&folder).and_then(|entries| {
                for entry in entries {
                    let entry = entry?;
                    if !kept.iter().any(|kept| entry.file_name() == *kept) {
                        owned_tree::remove(&entry.path())?;
                    }
                }
                Ok(())
            });
            swept.map_err(|error| self.failed(format!("sweep {}", folder.display()), error))?;
        }
        Ok(())
    }
}

impl<O: Objects> Participant for Tree<O> {
    fn name(&self) -> &str {
        self.name
    }

    fn scan(&mut self) -> Result<Vec<u8>, ParticipantError> {
        self.inventory().map(|inventory| inventory.to_canonical())
    }

    /// TREE-2
    fn prepare(&mut self, plan: PlanId, ops: &[Op]) -> Result<(), ParticipantError> {
        let state = self.scan()?;
        let after = self.apply_to(&state, ops)?;
        let after = Inventory::from_canonical(&after).expect("PLAN-5: what ops make of a state is canonical");
        if self.is_prepared(plan, &after)? {
            return Ok(());
        }
        let made = self.generation(&plan.to_string());
        let folders = [GENERATIONS, UNDO].map(|folder| self.root.join(folder));
        for folder in &folders {
            owned_tree::make(folder).map_err(|error| self.failed(format!("make {}", folder.display()), error))?;
        }
        self.sweep()?;
        owned_tree::remove(&made).map_err(|error| self.failed(format!("clear {}", made.display()), error))?;
        let stage = self.generation(&format!("{plan}.new"));
        owned_tree::remove(&stage)
            .and_then(|()| owned_tree::make(&stage))
            .map_err(|error| self.failed(format!("make {}", stage.display()), error))?;
        self.fill(&stage, &after, ops)?;
        let undo = self.undo_path(plan);
        let running = self.running()?.unwrap_or_default();
        let kept = owned_tree::remove(&undo).and_then(|()| {
            File::create_new(&undo)?.write_all(running.as_bytes())?;
            rustix::fs::syncfs(File::open(&self.root)?)?; // All of the stage and the way back, in one call.
            fs::rename(&stage, &made)?;
            folders.iter().try_for_each(|folder| owned_tree::sync(folder))
        });
        kept.map_err(|error| self.failed(format!("keep {}", made.display()), error))
    }

    fn commit(&mut self, plan: PlanId) -> Result<(), ParticipantError> {
        let name = plan.to_string();
        if !fs::symlink_metadata(self.generation(&name)).is_ok_and(|found| found.is_dir()) {
            return Err(ParticipantError::NotPrepared { participant: self.name.to_owned(), plan });
        }
        match self.running()? {
            Some(running) if running == name => Ok(()),
            _ => self.switch(Some(&name)),
        }
    }

    fn abort(&mut self, plan: PlanId) -> Result<(), ParticipantError> {
        let name = plan.to_string();
        if self.running()?.is_some_and(|running| running == name) {
            return Err(self.failed("abort", format!("plan {plan} runs")));
        }
        let stage = self.generation(&format!("{plan}.new"));
        let gone = [self.generation(&name), stage, self.undo_path(plan)].iter().try_for_each(|path| {
            owned_tree::remove(path) //
        });
        gone.map_err(|error| self.failed(format!("forget plan {plan}"), error))
    }

    fn undo(&mut self, plan: PlanId) -> Result<(), ParticipantError> {
        if self.running()?.is_some_and(|running| running == plan.to_string()) {
            let path = self.undo_path(plan);
            let before = fs::read_to_string(&path);
            let before = before.map_err(|error| self.failed(format!("read {}", path.display()), error))?;
            self.switch(Some(before.as_str()).filter(|before| !before.is_empty()))?;
        }
        self.abort(plan)
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn failed(
    participant: &str,
    what: impl Into<String>,
    error: impl Into<Box<dyn Error + Send + Sync>>,
) -> ParticipantError {
    ParticipantError::Host { participant: participant.to_owned(), what: what.into(), source: error.into() }
}

/// Returns the digest of what was written.
fn write_item(path: &Path, bytes: &mut dyn Read, item: &Item) -> io::Result<Digest> {
    owned_tree::make(path.parent().expect("an item lies below a stage"))?;
    let mut file = File::options().write(true).create_new(true).open(path)?;
    let digest = owned_tree::copy(bytes, &mut file)?;
    file.set_permissions(Permissions::from_mode(item.mode.map_or(MODE, |mode| u32::from(mode.bits()))))?;
    Ok(digest)
}
