//! Hosts made of a few files, and the line that each must give.

use super::*;

/// Builds a host from `path = content` pairs and compares one line, written `status: found`.
fn check(files: &[(&str, &str)], is_root: bool, name: &str, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let lines = Host::new(folder.path(), is_root).limits();
    let line = lines.iter().find(|line| line.name == name).unwrap();
    assert_eq!(format!("{}: {}", line.status.word(), line.found), expected, "{files:?}");
    assert_eq!(line.next.is_empty(), line.status == Status::Ok, "{line:?}");
}

#[test]
fn an_empty_host_gives_every_line_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let lines = Host::new(folder.path(), false).limits();
    let names: Vec<&str> = lines.iter().map(|line| line.name).collect();
    assert_eq!(names.len(), 15, "{names:?}");
    assert!(lines.iter().all(|line| !line.found.is_empty() && line.status != Status::Fail), "{lines:?}");
}

#[test]
fn counters_are_absent_forbidden_or_there() {
    let software = ("sys/bus/event_source/devices/software/type", "1");
    let hardware = ("sys/bus/event_source/devices/cpu/type", "4");
    let strict = ("proc/sys/kernel/perf_event_paranoid", "3\n");
    let absent = "warn: absent (ENOENT): no device for hardware counters, ";
    for is_root in [true, false] {
        check(&[], is_root, "perf counters", &format!("{absent}no perf events at all"));
    }
    check(&[software], true, "perf counters", &format!("{absent}software counters only"));
    let refused = "kernel-side counting is refused (EACCES): kernel.perf_event_paranoid is 2";
    check(&[software], false, "perf counters", &format!("{absent}software counters only; {refused}"));
    check(&[hardware], false, "perf counters", &format!("warn: {refused}"));
    let refused = "warn: kernel-side counting, or all, is refused (EACCES): kernel.perf_event_paranoid is 3";
    check(&[hardware, strict], false, "perf counters", refused);
    check(&[hardware, strict], true, "perf counters", "ok: cpu, perf_event_paranoid 3");
    let lax = ("proc/sys/kernel/perf_event_paranoid", "1\n");
    check(&[hardware, lax], false, "perf counters", "ok: cpu, perf_event_paranoid 1");
}

#[test]
fn only_x86_tells_a_hypervisor() {
    let path = "proc/cpuinfo";
    let x86 = "processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\n";
    let virtual_machine = "warn: virtual: neighbours share its caches, and its CPUs may move under it";
    check(&[(path, x86)], false, "machine", virtual_machine);
    check(&[(path, &x86.replace("hypervisor ", ""))], false, "machine", "ok: no sign of a hypervisor");
    let arm64 = "processor\t: 0\nFeatures\t: fp asimd\n";
    let unknown = "warn: unknown: this CPU has no flag that tells a hypervisor, as those of x86 have";
    check(&[(path, arm64)], false, "machine", unknown);
    check(&[], false, "machine", unknown);
}

#[test]
fn governors_are_listed_once() {
    let of = |cpu: u32| format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
    let (zero, one) = (of(0), of(1));
    check(&[(&zero, "performance\n"), (&one, "performance\n")], false, "governor", "ok: performance");
    check(&[(&zero, "powersave"), (&one, "performance")], false, "governor", "warn: performance, powersave");
}

#[test]
fn the_chosen_mode_of_huge_pages_is_in_brackets() {
    let path = "sys/kernel/mm/transparent_hugepage/shmem_enabled";
    let own = "sys/kernel/mm/transparent_hugepage/hugepages-2048kB/shmem_enabled";
    let reserved = "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
    let advise = "always within_size [advise] never deny force";
    let never = "always within_size advise [never] deny force";
    let private = ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never");
    let refused = "warn: none reserved and free; transparent for shared memory: never";
    check(&[(path, advise)], false, "huge pages", "ok: transparent for shared memory: advise");
    check(&[(path, never), private], false, "huge pages", refused);
    check(&[(path, never), (reserved, "0\n")], false, "huge pages", refused);
    check(&[(path, never), (reserved, "3\n")], false, "huge pages", "ok: 3 reserved and free");
    let inherit = "always [inherit] within_size advise never";
    check(&[(path, advise), (own, inherit)], false, "huge pages", "ok: transparent for shared memory: advise");
    check(&[(path, advise), (own, "always inherit within_size advise [never]")], false, "huge pages", refused);
    check(&[private], false, "huge pages", "warn: not in this kernel");
}

#[test]
fn smt_isolation_and_clock() {
    let active = "sys/devices/system/cpu/smt/active";
    check(&[(active, "1\n")], false, "smt", "warn: on: two CPUs share a core");
    check(&[(active, "0\n")], false, "smt", "ok: off (unknown)");
    check(&[("sys/devices/system/cpu/isolated", "2-3\n")], false, "isolcpus", "ok: 2-3");
    let empty = "warn: none: other tasks may run on the measured CPUs";
    check(&[("sys/devices/system/cpu/isolated", "\n")], false, "isolcpus", empty);
    let clock = "sys/devices/system/clocksource/clocksource0/current_clocksource";
    check(&[(clock, "tsc\n")], false, "clock source", "ok: tsc");
    check(&[(clock, "hpet\n")], false, "clock source", "warn: hpet: reading it is a system call or slow");
}

#[test]
fn the_limit_on_locked_memory_does_not_bind_root() {
    let path = "proc/self/limits";
    let small = "Limit  Soft Limit\nMax locked memory         8388608              8388608              bytes\n";
    check(&[(path, small)], false, "memlock", "warn: 8388608 bytes");
    check(&[(path, small)], true, "memlock", "ok: 8388608 bytes, not applied to root");
    check(&[(path, "Max locked memory  unlimited  unlimited  bytes")], false, "memlock", "ok: unlimited");
}

#[test]
fn io_uring_fuse_and_landlock() {
    let switch = "proc/sys/kernel/io_uring_disabled";
    check(&[(switch, "0\n")], false, "io_uring", "ok: allowed");
    check(&[(switch, "1\n")], true, "io_uring", "ok: allowed to root and its group");
    check(&[(switch, "2\n")], true, "io_uring", "warn: forbidden: kernel.io_uring_disabled is 2");
    check(&[("dev/fuse", "")], false, "fuse", "ok: /dev/fuse is there");
    let lsm = "sys/kernel/security/lsm";
    check(&[(lsm, "lockdown,landlock,yama")], false, "landlock", "ok: active");
    let inactive = "warn: not among the active security modules (lockdown,notlandlock)";
    check(&[(lsm, "lockdown,notlandlock")], false, "landlock", inactive);
    check(
        &[],
        false,
        "landlock",
        "warn: unknown: securityfs, where the kernel lists its security modules, is not mounted",
    );
}

#[test]
fn the_smallest_quota_on_the_way_up_counts() {
    let own = ("proc/self/cgroup", "0::/a/b\n");
    let mounted = ("sys/fs/cgroup/cgroup.controllers", "cpu\n");
    let outer = ("sys/fs/cgroup/a/cpu.max", "50000 100000\n");
    let inner = ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    check(&[own, mounted, inner], false, "cgroup", "ok: v2, no CPU quota");
    check(&[own, mounted, inner, outer], false, "cgroup", "warn: v2, CPU quota of 0.50 CPUs");
}

#[test]
fn version_one_keeps_its_quota_in_two_files() {
    let own = ("proc/self/cgroup", "3:memory:/x\n2:cpu,cpuacct:/not/visible/here\n0::/\n");
    let period = ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    let limited = ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n");
    let free = ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    check(&[own, period, limited], false, "cgroup", "warn: v1, CPU quota of 1.50 CPUs");
    check(&[own, period, free], false, "cgroup", "ok: v1, no CPU quota");
}

#[test]
fn steal_and_pressure() {
    check(
        &[("proc/stat", "cpu  50 0 0 45 0 0 0 5 9 0\ncpu0 1\n")],
        false,
        "steal",
        "warn: 5.00 % of CPU time since boot",
    );
    check(&[("proc/stat", "cpu  50 0 0 50 0 0 0 0 0 0\n")], false, "steal", "ok: 0.00 % of CPU time since boot");
    let path = "proc/pressure/cpu";
    check(&[(path, "some avg10=0.02 avg60=0.37\n")], false, "pressure", "ok: cpu 0.0 % of the last 10 s");
    check(&[(path, "some avg10=12.50 avg60=0\n")], false, "pressure", "warn: cpu 12.5 % of the last 10 s");
}

#[test]
fn one_allowed_cpu_is_too_few() {
    let online = ("sys/devices/system/cpu/online", "0-63\n");
    let status = "proc/self/status";
    check(&[online, (status, "Cpus_allowed_list:\t5\n")], false, "cpus", "warn: 5 allowed of 0-63 online");
    check(&[online, (status, "Cpus_allowed_list:\t0-1,8\n")], false, "cpus", "ok: 0-1,8 allowed of 0-63 online");
}

#[test]
fn lists_of_cpus_are_counted() {
    for (list, expected) in [("0", Some(1)), ("0-1,4", Some(3)), ("3-1", None), ("", None), ("x", None)] {
        assert_eq!(count_of_list(list), expected, "{list:?}");
    }
}
