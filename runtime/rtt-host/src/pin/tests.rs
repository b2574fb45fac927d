//! Binding of threads and processes, on this host's own CPUs.

use super::*;

/// The binding is that of a thread which ends: no other test sees it.
fn in_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().expect("the thread's asserts"))
}

fn one(cpu: CpuId) -> CpuSet {
    CpuSet::from_iter([cpu])
}

#[test]
fn host_3_what_is_answered_is_in_force() {
    in_a_thread(|| {
        let all = allowed_cpus();
        for cpu in all.iter() {
            assert_eq!(pin_thread(&one(cpu)).expect("an allowed CPU"), one(cpu));
            assert_eq!(allowed_cpus(), one(cpu));
            assert_eq!(rustix::thread::sched_getcpu(), cpu.0 as usize);
        }
        assert_eq!(pin_thread(&all).expect("all that was allowed"), all);
        assert_eq!(allowed_cpus(), all);
    });
}

/// HOST-3: the kernel takes a mask with CPUs that do not exist and cuts them away silently.
#[test]
fn host_3_a_mask_that_the_kernel_cut_is_an_error() {
    in_a_thread(|| {
        let here = allowed_cpus().iter().next().expect("a CPU");
        let asked = CpuSet::from_iter([here, CpuId(1023)]);
        match pin_thread(&asked) {
            Err(PinError::Differs { found, .. }) => assert_eq!(found, one(here)),
            other => panic!("CPU 1023 of a small host: {other:?}"),
        }
    });
}

#[test]
fn what_no_mask_can_hold_is_refused() {
    for (cpus, words) in [
        (CpuSet::default(), "the set is empty"),
        (one(CpuId(1023)), "refused"),
        (one(CpuId(1024)), "beyond 1023"),
        (CpuSet::from_iter([CpuId(0), CpuId(5000)]), "CPU 5000 is beyond"),
    ] {
        let error = in_a_thread(|| pin_thread(&cpus)).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_process_is_bound_with_its_threads() {
    let all = allowed_cpus();
    let last = one(all.iter().last().expect("a CPU"));
    let mut child = crate::Spawn::new("sleep").argument("1000").start().expect("sleep");
    assert_eq!(pin_process(child.pid(), &last).expect("own child"), last);
    let status = fs::read_to_string(format!("/proc/{}/status", child.pid())).expect("status");
    let row = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a row");
    assert_eq!(row.trim(), last.to_string());
    child.kill().expect("own child");
    child.wait(None).expect("own child");
    assert!(matches!(pin_process(child.pid(), &last), Err(PinError::Get { .. })), "it was waited for");
    assert!(matches!(pin_process(u32::MAX, &last), Err(PinError::Get { .. })));
}
