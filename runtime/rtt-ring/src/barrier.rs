//! Expedited membarriers: the sleeper pays for the ordering, so that the publisher need not.
//!
//! A full fence after each publication would make the publisher wait until its store of the cursor has
//! fetched the line from the peer's cache. With a global expedited membarrier the sleeper interrupts the
//! registered processes instead, once per sleep, and the publisher needs only to keep the compiler honest.
//!
//! Where the kernel or a sandbox refuses the system call, both sides fall back to fences.
#![allow(unsafe_code)] // No safe wrapper of the system call exists among our dependencies.

use std::sync::OnceLock;

/// What this process may do; asked of the kernel once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membarrier {
    usable: bool,
}

impl Membarrier {
    /// Registers the process for others' barriers and tries one of its own.
    pub(crate) fn probe() -> Membarrier {
        static PROBED: OnceLock<Membarrier> = OnceLock::new();
        *PROBED.get_or_init(|| {
            let usable =
                call(libc::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) && call(libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED);
            Membarrier { usable }
        })
    }

    /// Whether others' barriers reach this process and its own reach others.
    pub(crate) fn usable(self) -> bool {
        self.usable
    }

    /// Full barrier on every running thread of every registered process; says whether it happened.
    pub(crate) fn issue(self) -> bool {
        self.usable && call(libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED)
    }
}

fn call(command: libc::c_int) -> bool {
    // SAFETY: membarrier takes two integers (three since 5.10) and touches no memory of the caller.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}
