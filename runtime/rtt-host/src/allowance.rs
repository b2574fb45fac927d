//! The CPUs that work may be placed on.
//!
//! The kernel starts every process off the isolated CPUs (`isolcpus=`), but lets it bind itself to them. So what a
//! process was started with is less than what it can reach, and someone who isolated CPUs wants them used. A process
//! that was started on fewer CPUs than that by someone else (`taskset`) keeps to them unless it is told otherwise.

use crate::pin::{allowed_cpus, reachable_cpus};
use rtt_units::CpuSet;

/// Why a list of CPUs is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowanceError {
    /// The list is empty.
    #[error("no CPU is named; expected some of {reachable}")]
    Empty {
        /// What may be asked for.
        reachable: CpuSet,
    },
    /// A part of the list is offline or outside the cpuset.
    #[error("CPUs {missing} may not be used here; expected some of {reachable}")]
    Unreachable {
        /// The part of the list that cannot be had.
        missing: CpuSet,
        /// What may be asked for.
        reachable: CpuSet,
    },
}

/// The CPUs that the calling thread may place work on, on a host whose kernel keeps `isolated` free: those that were
/// `asked` for, else all that nobody keeps it from.
///
/// # Errors
/// [`AllowanceError`] where one of the CPUs that were asked for cannot be had.
pub fn allowance(isolated: &CpuSet, asked: Option<&CpuSet>) -> Result<CpuSet, AllowanceError> {
    decide(&allowed_cpus(), &reachable_cpus(), isolated, asked)
}

fn decide(
    inherited: &CpuSet,
    reachable: &CpuSet,
    isolated: &CpuSet,
    asked: Option<&CpuSet>,
) -> Result<CpuSet, AllowanceError> {
    let Some(asked) = asked else {
        // Exactly the isolated CPUs are missing: the kernel's doing. Anything else is someone's `taskset`.
        let by_kernel = *inherited == reachable.difference(isolated);
        return Ok(if by_kernel { reachable } else { inherited }.clone());
    };
    let missing = asked.difference(reachable);
    match (asked.is_empty(), missing.is_empty()) {
        (true, _) => Err(AllowanceError::Empty { reachable: reachable.clone() }),
        (false, true) => Ok(asked.clone()),
        (false, false) => Err(AllowanceError::Unreachable { missing, reachable: reachable.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pin_thread;
    use rtt_units::CpuId;

    fn check(inherited: &str, reachable: &str, isolated: &str, asked: Option<&str>, expected: &str) {
        let set = |text: &str| text.parse::<CpuSet>().expect(text);
        let found = decide(&set(inherited), &set(reachable), &set(isolated), asked.map(set).as_ref());
        let found = found.map_or_else(|error| error.to_string(), |cpus| cpus.to_string());
        assert_eq!(found, expected, "{inherited} of {reachable}, isolated {isolated}, asked {asked:?}");
    }

    #[test]
    fn what_the_kernel_kept_free_is_used_and_what_taskset_left_out_is_not() {
        check("0-3", "0-3", "", None, "0-3");
        check("0-1", "0-7", "2-7", None, "0-7");
        check("0-1", "0-5", "2-7", None, "0-5"); // The cpuset holds a part of the isolated CPUs.
        check("0-3", "0-3", "4-7", None, "0-3"); // The cpuset holds none of them.
        check("0", "0-7", "2-7", None, "0");
        check("2-3", "0-7", "2-7", None, "2-3");
        check("0-2", "0-7", "2-7", None, "0-2");
        check("0-1", "0-3", "", None, "0-1");
        check("0-7", "0-7", "2-7", None, "0-7");
        check("", "0-3", "0-3", None, "0-3");
    }

    #[test]
    fn what_is_asked_for_is_had_whole_or_refused() {
        check("0-1", "0-7", "2-7", Some("2-7"), "2-7");
        check("0", "0-7", "2-7", Some("1,4"), "1,4");
        check("0", "0-3", "", Some("3"), "3");
        check("0-3", "0-3", "", Some("0-7"), "CPUs 4-7 may not be used here; expected some of 0-3");
        check("0-3", "0-3", "4-7", Some("4"), "CPUs 4 may not be used here; expected some of 0-3");
        check("0-3", "0-3", "", Some(""), "no CPU is named; expected some of 0-3");
    }

    /// A thread on one CPU stands for a process that was started so: it stays there, and may be told another.
    #[test]
    fn a_bound_thread_keeps_to_its_cpus_and_can_be_sent_to_any_other() {
        let reachable = reachable_cpus();
        let bound = std::thread::spawn(move || {
            let isolated = CpuSet::default();
            let first = CpuSet::from_iter(reachable_cpus().iter().take(1));
            pin_thread(&first).expect("a CPU that can be reached");
            assert_eq!(reachable_cpus(), reachable, "a bound thread reaches as far");
            assert_eq!(allowed_cpus(), first, "looking moves nobody");
            assert_eq!(allowance(&isolated, None).expect("nothing was asked for"), first);
            for cpu in reachable.iter() {
                let asked = CpuSet::from_iter([cpu]);
                let allowed = allowance(&isolated, Some(&asked)).expect("it can be reached");
                assert_eq!(pin_thread(&allowed).expect("and bound to"), asked);
            }
            let beyond = CpuSet::from_iter([CpuId(1023)]);
            assert!(allowance(&isolated, Some(&beyond)).is_err());
        });
        bound.join().expect("the thread's asserts");
    }

    #[test]
    fn what_is_reachable_contains_what_was_inherited() {
        let (inherited, reachable) = (allowed_cpus(), reachable_cpus());
        assert!(!inherited.is_empty() && inherited.difference(&reachable).is_empty(), "{inherited} of {reachable}");
    }
}
