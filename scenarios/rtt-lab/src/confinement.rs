//! What keeps the faults' processes to themselves: a memory cgroup of the lab's own where one can be made, and a limit
//! on address space in any case.
//!
//! The cgroup is made below the lab's own, in the first hierarchy that has a memory controller for it, and removed with
//! the trial. One that a killed lab left is removed by the next: its processes died with it.

use rustix::process::{Pid, Resource, Rlimit, setrlimit, test_kill_process};
use std::fs;
use std::path::{Path, PathBuf};

/// Most memory of all faults' processes together, in bytes: twice what they ask for.
const MEMORY_MAX: u64 = 256 << 20;
/// Most address space of one fault's process, in bytes.
const ADDRESS_SPACE_MAX: u64 = 1 << 30;
const PREFIX: &str = "rtt-lab-";

/// A cgroup of the lab's own; dropping it removes it.
#[derive(Debug)]
pub struct Confinement {
    folder: PathBuf,
}

impl Confinement {
    /// Makes one where this process may; `None` elsewhere.
    pub fn make() -> Option<Confinement> {
        let memberships = fs::read_to_string("/proc/self/cgroup").ok()?;
        memberships.lines().filter_map(memory_hierarchy).find_map(|(own, limit)| Confinement::below(&own, limit))
    }

    fn below(own: &Path, limit: &str) -> Option<Confinement> {
        remove_left_behind(own);
        let confinement = Confinement { folder: own.join(format!("{PREFIX}{}", std::process::id())) };
        fs::create_dir(&confinement.folder).ok()?;
        // Without a memory controller here the file is not there, and the folder goes with the value.
        let limited = confinement.folder.join(limit);
        (limited.exists() && fs::write(limited, MEMORY_MAX.to_string()).is_ok()).then_some(confinement)
    }

    /// Takes process `pid` in.
    pub fn take(&self, pid: u32) -> std::io::Result<()> {
        fs::write(self.folder.join("cgroup.procs"), pid.to_string())
    }
}

impl Drop for Confinement {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder); // One that is not empty yet is removed by the next lab.
    }
}

/// The folder of this process in a hierarchy that a row of `/proc/self/cgroup` names, and its file for the limit.
fn memory_hierarchy(row: &str) -> Option<(PathBuf, &'static str)> {
    let mut fields = row.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?.trim_start_matches('/'));
    if controllers.split(',').any(|controller| controller == "memory") {
        return Some((Path::new("/sys/fs/cgroup/memory").join(path), "memory.limit_in_bytes"));
    }
    controllers.is_empty().then(|| (Path::new("/sys/fs/cgroup").join(path), "memory.max"))
}

fn remove_left_behind(own: &Path) {
    for entry in fs::read_dir(own).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|pid| pid.parse().ok());
        if pid.and_then(Pid::from_raw).is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH)) {
            let _ = fs::remove_dir(entry.path()); // It is empty: its processes died with the lab that made it.
        }
    }
}

/// Limits the address space of this process, a fault's own.
///
/// # Errors
/// The kernel's refusal.
pub fn limit_own_memory() -> std::io::Result<()> {
    let limit = Rlimit { current: Some(ADDRESS_SPACE_MAX), maximum: Some(ADDRESS_SPACE_MAX) };
    Ok(setrlimit(Resource::As, limit)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};

    #[test]
    fn the_hierarchy_with_a_memory_controller_is_found() {
        let found = |row| memory_hierarchy(row).map(|(path, limit)| (path.display().to_string(), limit));
        assert_eq!(found("4:memory:/a/b"), Some(("/sys/fs/cgroup/memory/a/b".into(), "memory.limit_in_bytes")));
        assert_eq!(found("0::/user.slice"), Some(("/sys/fs/cgroup/user.slice".into(), "memory.max")));
        assert_eq!(found("3:cpuset:/"), None);
        assert_eq!(found("nonsense"), None);
    }

    /// A folder stands for a hierarchy: what a dead lab left goes, what a living process has stays.
    #[test]
    fn what_a_dead_lab_left_is_removed() {
        let own = tempfile::tempdir().expect("a folder");
        let mut dead = std::process::Command::new("true").spawn().expect("true");
        dead.wait().expect("reaped");
        let (left, alive) = (format!("{PREFIX}{}", dead.id()), format!("{PREFIX}1"));
        for name in [&left, &alive, &"other".to_string()] {
            fs::create_dir(own.path().join(name)).expect("a folder");
        }
        assert!(Confinement::below(own.path(), "memory.max").is_none(), "it has no memory controller");
        assert!(!own.path().join(left).exists());
        assert!(own.path().join(alive).exists() && own.path().join("other").exists());
        assert_eq!(fs::read_dir(own.path()).expect("a folder").count(), 2, "nothing else is left");
    }

    #[test]
    fn a_process_that_was_taken_in_is_in_the_cgroup_while_it_lasts() {
        let Some(confinement) = Confinement::make() else {
            writeln!(
                io::stderr(),
                "skipped: no cgroup with a memory controller can be made here; run as root or with delegation"
            )
            .expect("stderr");
            return;
        };
        let mut child = std::process::Command::new("sleep").arg("600").spawn().expect("sleep");
        confinement.take(child.id()).expect("taken in");
        let member = fs::read_to_string(format!("/proc/{}/cgroup", child.id())).expect("its cgroups");
        child.kill().expect("killed");
        child.wait().expect("reaped");
        assert!(member.contains(PREFIX), "{member}");
        let folder = confinement.folder.clone();
        drop(confinement);
        assert!(!folder.exists());
    }
}
