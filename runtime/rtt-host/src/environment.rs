//! Facts about the host that a trial record keeps and `doctor` shows: name and value, both text.
//!
//! A fact that the host does not show has the value `absent`, so that each record has the same names.

use crate::{
    fingerprint::{governors, thp},
    hypervisor::hypervisor,
    procfs::text,
};
use std::path::Path;

/// The facts of this host, in a fixed order.
pub fn environment() -> Vec<(String, String)> {
    let root = Path::new("/");
    read(root, hypervisor(root))
}

pub(crate) fn read(root: &Path, hypervisor: String) -> Vec<(String, String)> {
    let file = |path: &str| text(&root.join(path)).filter(|text| !text.is_empty()).unwrap_or_else(|| "absent".into());
    let cpu = "sys/devices/system/cpu";
    let (cgroup, quota) = cgroup(root);
    let facts = [
        ("kernel", file("proc/sys/kernel/osrelease")),
        ("kernel_build", file("proc/sys/kernel/version")),
        ("hypervisor", hypervisor),
        ("clocksource", file("sys/devices/system/clocksource/clocksource0/current_clocksource")),
        ("governor", governors(root).unwrap_or_else(|| "absent".into())),
        ("cpu_boost", boost(root)),
        ("idle_driver", file(&format!("{cpu}/cpuidle/current_driver"))),
        ("smt", file(&format!("{cpu}/smt/control"))),
        ("online_cpus", file(&format!("{cpu}/online"))),
        ("isolated_cpus", file(&format!("{cpu}/isolated"))),
        ("nohz_full_cpus", file(&format!("{cpu}/nohz_full"))),
        ("thp", thp(root)),
        ("swappiness", file("proc/sys/vm/swappiness")),
        ("numa_balancing", file("proc/sys/kernel/numa_balancing")),
        ("aslr", file("proc/sys/kernel/randomize_va_space")),
        ("perf_event_paranoid", file("proc/sys/kernel/perf_event_paranoid")),
        ("psi", if root.join("proc/pressure/cpu").exists() { "present".into() } else { "absent".into() }),
        ("memlock_limit", limit(&file("proc/self/limits"), "Max locked memory")),
        ("cgroup", cgroup),
        ("cgroup_cpu_quota", quota),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// `on`, `off`, or `absent` where no driver shows it.
fn boost(root: &Path) -> String {
    let cpu = root.join("sys/devices/system/cpu");
    let generic = text(&cpu.join("cpufreq/boost")).map(|boost| boost == "1");
    let intel = text(&cpu.join("intel_pstate/no_turbo")).map(|no_turbo| no_turbo == "0");
    match generic.or(intel) {
        Some(true) => "on".into(),
        Some(false) => "off".into(),
        None => "absent".into(),
    }
}

/// The soft limit in a table such as `/proc/self/limits`.
fn limit(table: &str, name: &str) -> String {
    let row = table.lines().find_map(|line| line.strip_prefix(name));
    row.and_then(|row| row.split_whitespace().next()).unwrap_or("absent").into()
}

/// The version of the CPU controller and the tightest quota on the way from the root to this process's group.
///
/// Source: Documentation/admin-guide/cgroup-v2.rst (`cpu.max`) and scheduler/sched-bwc.rst (`cpu.cfs_quota_us`).
fn cgroup(root: &Path) -> (String, String) {
    let Some(groups) = text(&root.join("proc/self/cgroup")) else { return ("absent".into(), "absent".into()) };
    let rows: Vec<(&str, &str)> =
        groups.lines().filter_map(|line| line.split_once(':').and_then(|(_, rest)| rest.split_once(':'))).collect();
    let v1 = rows.iter().find(|(controllers, _)| controllers.split(',').any(|name| name == "cpu"));
    let base = root.join("sys/fs/cgroup");
    let (version, mount, group) = match (v1, rows.iter().find(|(controllers, _)| controllers.is_empty())) {
        (Some((controllers, group)), _) => {
            let joined = base.join(controllers);
            ("v1", if joined.exists() { joined } else { base.join("cpu") }, *group)
        }
        (None, Some((_, group))) => ("v2", base, *group),
        (None, None) => return ("absent".into(), "absent".into()),
    };
    let mut shares = Vec::new();
    let mut place = mount.clone();
    let steps = Path::new(group.trim_start_matches('/')).components();
    for step in [None].into_iter().chain(steps.map(Some)) {
        match step {
            None => {}
            // A group outside this process's cgroup namespace reads as `/../..`: nothing is seen of it.
            Some(std::path::Component::Normal(name)) => place.push(name),
            Some(_) => break,
        }
        shares.extend(quota(&place));
    }
    let tightest = shares.into_iter().min_by(f64::total_cmp);
    (version.into(), tightest.map_or_else(|| "none".into(), |cpus| format!("{cpus:.2} CPUs")))
}

/// How many CPUs' time the group may use; `None` where it has no quota.
fn quota(group: &Path) -> Option<f64> {
    let (quota, period) = match text(&group.join("cpu.max")) {
        Some(both) => both.split_once(' ').map(|(quota, period)| (quota.to_owned(), period.to_owned()))?,
        None => (text(&group.join("cpu.cfs_quota_us"))?, text(&group.join("cpu.cfs_period_us"))?),
    };
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

#[cfg(test)]
mod tests;
