//! What limits measurement on this host, read from /proc and /sys, a [`Line`] each.
//!
//! Everything is read below one root folder, so that a test can show a host that it made up. A file that is not there
//! is a finding, never an error. Nothing is changed: the next step is for a person to take.

use std::fs;
use std::path::PathBuf;

/// How far a line stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing to do.
    Ok,
    /// Results are worse or fewer; the line says how.
    Warn,
    /// Something will not work.
    Fail,
}

impl Status {
    /// The word in tables and in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "fail",
        }
    }
}

/// One line of `doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What was looked at.
    pub name: &'static str,
    /// How far it stands in the way.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do about it; empty when there is nothing to do.
    pub next: String,
}

impl Line {
    /// A line without a next step.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Line {
        Line { name, status: Status::Ok, found: found.into(), next: String::new() }
    }

    /// A line with a next step.
    pub fn warn(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Line {
        Line { name, status: Status::Warn, found: found.into(), next: next.into() }
    }

    /// A line that stops something, with a next step.
    pub fn fail(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Line {
        Line { name, status: Status::Fail, found: found.into(), next: next.into() }
    }
}

/// A host, seen through the files below one folder.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
    is_root: bool,
}

impl Host {
    /// The host whose /proc and /sys lie below `root`; `is_root` says whether the effective user is root.
    pub fn new(root: impl Into<PathBuf>, is_root: bool) -> Host {
        Host { root: root.into(), is_root }
    }

    /// Every limit, a line each.
    pub fn limits(&self) -> Vec<Line> {
        vec![
            self.machine(),
            self.cpus(),
            self.counters(),
            self.governor(),
            self.huge_pages(),
            self.smt(),
            self.isolation(),
            self.locked_memory(),
            self.io_uring(),
            self.fuse(),
            self.landlock(),
            self.cgroup(),
            self.steal(),
            self.pressure(),
            self.clock(),
        ]
    }

    fn machine(&self) -> Line {
        let Some(flags) = self.field("proc/cpuinfo", "flags") else {
            return Line::warn(
                "machine",
                "unknown: this CPU has no flag that tells a hypervisor, as those of x86 have",
                "if it is virtual, compare only runs that were paired on this host, as `tune` does",
            );
        };
        if flags.split_whitespace().any(|flag| flag == "hypervisor") {
            Line::warn(
                "machine",
                "virtual: neighbours share its caches, and its CPUs may move under it",
                "compare only runs that were paired on this host, as `tune` does",
            )
        } else {
            Line::ok("machine", "no sign of a hypervisor")
        }
    }

    fn cpus(&self) -> Line {
        let allowed = self.field("proc/self/status", "Cpus_allowed_list:").unwrap_or_else(|| "unknown".into());
        let online = self.read("sys/devices/system/cpu/online").unwrap_or_else(|| "unknown".into());
        let found = format!("{allowed} allowed of {online} online");
        match count_of_list(&allowed) {
            Some(0 | 1) => Line::warn(
                "cpus",
                found,
                "give this shell two CPUs (taskset -p, or the container's cpuset): else only shared placement is tuned",
            ),
            _ => Line::ok("cpus", found),
        }
    }

    fn counters(&self) -> Line {
        let devices = self.names("sys/bus/event_source/devices");
        let hardware: Vec<&String> =
            devices.iter().filter(|name| name.starts_with("cpu") || name.starts_with("armv")).collect();
        let paranoid: i32 = self.number("proc/sys/kernel/perf_event_paranoid").unwrap_or(2);
        let (mut found, mut next) = (Vec::new(), Vec::new());
        if hardware.is_empty() {
            let what = if devices.is_empty() { "no perf events at all" } else { "software counters only" };
            found.push(format!("absent (ENOENT): no device for hardware counters, {what}"));
            next.push("use bare metal, or give the guest a virtual PMU; reports say `absent`, never 0");
        }
        // Root has CAP_PERFMON. Above 2 is no level of the kernel's own: Debian's refuses everything then.
        if paranoid >= 2 && !self.is_root && !devices.is_empty() {
            let what = if paranoid > 2 { "kernel-side counting, or all," } else { "kernel-side counting" };
            found.push(format!("{what} is refused (EACCES): kernel.perf_event_paranoid is {paranoid}"));
            next.push("sudo sysctl kernel.perf_event_paranoid=1; else counts are of user space alone, or absent");
        }
        if found.is_empty() {
            return Line::ok("perf counters", format!("{}, perf_event_paranoid {paranoid}", hardware[0]));
        }
        Line::warn("perf counters", found.join("; "), next.join("; "))
    }

    fn governor(&self) -> Line {
        let mut governors: Vec<String> = self
            .names("sys/devices/system/cpu")
            .iter()
            .filter_map(|cpu| self.read(&format!("sys/devices/system/cpu/{cpu}/cpufreq/scaling_governor")))
            .collect();
        governors.sort();
        governors.dedup();
        let found = governors.join(", ");
        match found.as_str() {
            "" => Line::warn(
                "governor",
                "not visible: the hypervisor or the firmware sets the clock",
                "nothing to do in here; on the hypervisor choose `performance`",
            ),
            "performance" => Line::ok("governor", found),
            _ => Line::warn("governor", found, "sudo cpupower frequency-set -g performance"),
        }
    }

    /// What rings get, which are shared memory: reserved pages, else transparent ones where the kernel has them for shared
    /// memory. The same files decide when a ring is made (`runtime/rtt-ring/src/pages.rs`).
    fn huge_pages(&self) -> Line {
        const GENERAL: &str = "sys/kernel/mm/transparent_hugepage/shmem_enabled";
        const OWN: &str = "sys/kernel/mm/transparent_hugepage/hugepages-2048kB/shmem_enabled";
        let free: Option<u64> = self.number("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
        let free = free.filter(|free| *free > 0);
        if let Some(free) = free {
            return Line::ok("huge pages", format!("{free} reserved and free"));
        }
        let chosen = |path| {
            let text = self.read(path)?;
            text.split_whitespace().find_map(|word| Some(word.strip_prefix('[')?.strip_suffix(']')?.to_owned()))
        };
        let general = chosen(GENERAL);
        // The setting for the page size counts where the kernel has one; `inherit` leads to the general one.
        let own = chosen(OWN).filter(|own| own != "inherit" && general.as_deref() != Some("force"));
        let (path, mode) = if own.is_some() { (OWN, own) } else { (GENERAL, general) };
        match mode.as_deref() {
            Some(mode @ ("advise" | "within_size" | "always" | "force")) => {
                Line::ok("huge pages", format!("transparent for shared memory: {mode}"))
            }
            Some(mode) => Line::warn(
                "huge pages",
                format!("none reserved and free; transparent for shared memory: {mode}"),
                format!(
                    "echo advise | sudo tee /{path}, or sudo sysctl vm.nr_hugepages=64; else that knob leaves the search"
                ),
            ),
            None => Line::warn("huge pages", "not in this kernel", "nothing to do; that knob leaves the search"),
        }
    }

    fn smt(&self) -> Line {
        let control = self.read("sys/devices/system/cpu/smt/control").unwrap_or_else(|| "unknown".into());
        match self.read("sys/devices/system/cpu/smt/active").as_deref() {
            Some("1") => Line::warn(
                "smt",
                "on: two CPUs share a core",
                "nothing to do: siblings are a placement of their own; for steadier tails set `nosmt` at boot",
            ),
            _ => Line::ok("smt", format!("off ({control})")),
        }
    }

    fn isolation(&self) -> Line {
        match self.read("sys/devices/system/cpu/isolated").filter(|list| !list.is_empty()) {
            Some(list) => Line::ok("isolcpus", list),
            None => Line::warn(
                "isolcpus",
                "none: other tasks may run on the measured CPUs",
                "keep the host idle; on a host with CPUs to spare boot with isolcpus=domain,managed_irq,LIST",
            ),
        }
    }

    fn locked_memory(&self) -> Line {
        /// Enough to lock the largest ring of the search and its control pages.
        const ENOUGH: u64 = 64 << 20;
        let limit = self.field("proc/self/limits", "Max locked memory").unwrap_or_default();
        let soft = limit.split_whitespace().next().unwrap_or("unknown").to_owned();
        let enough = soft == "unlimited" || soft.parse::<u64>().is_ok_and(|bytes| bytes >= ENOUGH);
        let found = if soft.parse::<u64>().is_ok() { format!("{soft} bytes") } else { soft };
        if enough {
            Line::ok("memlock", found)
        } else if self.is_root {
            Line::ok("memlock", format!("{found}, not applied to root"))
        } else {
            Line::warn("memlock", found, format!("ulimit -l {} (limits.conf: memlock)", ENOUGH >> 10))
        }
    }

    fn io_uring(&self) -> Line {
        match self.number("proc/sys/kernel/io_uring_disabled") {
            Some(0) => Line::ok("io_uring", "allowed"),
            Some(1) if self.is_root => Line::ok("io_uring", "allowed to root and its group"),
            Some(value) => Line::warn(
                "io_uring",
                format!("forbidden: kernel.io_uring_disabled is {value}"),
                "sudo sysctl kernel.io_uring_disabled=0; else plain writes are used",
            ),
            None => Line::warn(
                "io_uring",
                "unknown: the kernel has no switch for it (before 6.6, or built without)",
                "nothing to do: it is probed where it is used, else plain writes are used",
            ),
        }
    }

    fn fuse(&self) -> Line {
        if self.root.join("dev/fuse").exists() {
            Line::ok("fuse", "/dev/fuse is there")
        } else {
            Line::warn("fuse", "no /dev/fuse", "sudo modprobe fuse, or pass the device to the container")
        }
    }

    fn landlock(&self) -> Line {
        match self.read("sys/kernel/security/lsm") {
            Some(list) if list.split(',').any(|name| name == "landlock") => Line::ok("landlock", "active"),
            Some(list) => Line::warn(
                "landlock",
                format!("not among the active security modules ({list})"),
                "boot with lsm=landlock,...; sandboxed connectors need it",
            ),
            None => Line::warn(
                "landlock",
                "unknown: securityfs, where the kernel lists its security modules, is not mounted",
                "sudo mount -t securityfs securityfs /sys/kernel/security, then look again",
            ),
        }
    }

    fn cgroup(&self) -> Line {
        let own = self.read("proc/self/cgroup").unwrap_or_default();
        let unified = self.root.join("sys/fs/cgroup/cgroup.controllers").exists();
        let version = match (unified, own.lines().any(|line| !line.starts_with("0::"))) {
            (true, _) => "v2",
            (false, true) => "v1",
            (false, false) => return Line::warn("cgroup", "none mounted", "faults run without a cgroup of their own"),
        };
        match self.quota(&own, unified) {
            Some(cpus) => Line::warn(
                "cgroup",
                format!("{version}, CPU quota of {cpus:.2} CPUs"),
                "lift the quota: throttling stops a process for milliseconds and looks like a slow tail",
            ),
            None => Line::ok("cgroup", format!("{version}, no CPU quota")),
        }
    }

    /// The smallest CPU quota from this process's cgroup up to the root, in CPUs.
    fn quota(&self, own: &str, unified: bool) -> Option<f64> {
        let mut smallest: Option<f64> = None;
        for line in own.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            let mount = if unified && controllers.is_empty() {
                "sys/fs/cgroup".to_owned()
            } else if controllers.split(',').any(|name| name == "cpu") {
                format!("sys/fs/cgroup/{controllers}")
            } else {
                continue;
            };
            // A container may see its own group at the mount's root while /proc names it by the host's path: groups
            // that are not there are passed over.
            let mut group = path.trim_matches('/');
            loop {
                let folder = format!("{mount}/{group}");
                if let Some(cpus) = self.quota_of(&folder) {
                    smallest = Some(smallest.map_or(cpus, |least| least.min(cpus)));
                }
                if group.is_empty() {
                    break;
                }
                group = group.rsplit_once('/').map_or("", |(parent, _)| parent);
            }
        }
        smallest
    }

    fn quota_of(&self, folder: &str) -> Option<f64> {
        let pair = match self.read(&format!("{folder}/cpu.max")) {
            Some(text) => text,
            None => {
                let quota = self.read(&format!("{folder}/cpu.cfs_quota_us"))?;
                format!("{quota} {}", self.read(&format!("{folder}/cpu.cfs_period_us"))?)
            }
        };
        let (quota, period) = pair.split_once(' ')?;
        // `max` in version 2 and -1 in version 1 mean no quota.
        let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
        (quota > 0.0 && period > 0.0).then_some(quota / period)
    }

    fn steal(&self) -> Line {
        /// Above this share of CPU time since boot the tail belongs to the neighbours.
        const NOTABLE_PERCENT: f64 = 0.5;
        let text = self.field("proc/stat", "cpu ").unwrap_or_default();
        let ticks: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guest time is counted in user already.
        let Some(steal) = ticks.get(7) else {
            return Line::warn("steal", "unknown: /proc/stat has no such column", "nothing to do");
        };
        let total: f64 = ticks.iter().take(8).sum();
        let percent = if total > 0.0 { steal / total * 100.0 } else { 0.0 };
        let found = format!("{percent:.2} % of CPU time since boot");
        if percent > NOTABLE_PERCENT {
            Line::warn("steal", found, "ask for dedicated CPUs; each trial records its own steal")
        } else {
            Line::ok("steal", found)
        }
    }

    fn pressure(&self) -> Line {
        /// Above this share of the last 10 s, somebody else is working here.
        const NOTABLE_PERCENT: f64 = 5.0;
        let mut notable = false;
        let mut parts = Vec::new();
        for resource in ["cpu", "memory", "io"] {
            let text = self.field(&format!("proc/pressure/{resource}"), "some ").unwrap_or_default();
            let average = text.split_whitespace().find_map(|word| word.strip_prefix("avg10=")?.parse::<f64>().ok());
            if let Some(percent) = average {
                notable |= percent > NOTABLE_PERCENT;
                parts.push(format!("{resource} {percent:.1} %"));
            }
        }
        if parts.is_empty() {
            return Line::warn("pressure", "absent: the kernel was built or booted without PSI", "boot with psi=1");
        }
        let found = format!("{} of the last 10 s", parts.join(", "));
        if notable {
            Line::warn("pressure", found, "other work runs here: stop it before measuring")
        } else {
            Line::ok("pressure", found)
        }
    }

    fn clock(&self) -> Line {
        let current = self.read("sys/devices/system/clocksource/clocksource0/current_clocksource");
        match current.as_deref() {
            Some(name @ ("tsc" | "kvm-clock" | "arch_sys_counter" | "hyperv_clocksource_tsc_page")) => {
                Line::ok("clock source", name)
            }
            Some(name) => Line::warn(
                "clock source",
                format!("{name}: reading it is a system call or slow"),
                "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource",
            ),
            None => Line::warn("clock source", "unknown", "nothing to do"),
        }
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok().map(|text| text.trim().to_owned())
    }

    fn number<T: std::str::FromStr>(&self, path: &str) -> Option<T> {
        self.read(path)?.parse().ok()
    }

    /// The rest of the first line that starts with `key`.
    fn field(&self, path: &str, key: &str) -> Option<String> {
        self.read(path)?.lines().find_map(|line| line.strip_prefix(key)).map(|rest| rest.trim().to_owned())
    }

    fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// How many CPUs a kernel list such as `0-1,4` names.
fn count_of_list(list: &str) -> Option<usize> {
    let mut count = 0;
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        count += last.checked_sub(first)? + 1;
    }
    Some(count)
}

#[cfg(test)]
mod tests;
