//! Faults that wait for their request, and what each does to it.

use rtt_units::SplitMix64;

/// A fault that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A request fails.
    Eio,
    /// A write stops after some of its bytes.
    Short,
    /// A write goes to another place and is acknowledged.
    Misdirected,
    /// The disk is full for some requests.
    Full,
    /// Requests of the next while wait for each other.
    Slow,
    /// The process is killed in the middle of a request; the kernel goes on.
    Kill,
    /// The power is cut in the middle of a request.
    PowerCut,
}

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// It was killed: what the kernel has stays.
    Killed,
    /// The power was cut: what was not synced may be gone.
    Unpowered,
}

/// What to do with the request that is carried out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As asked.
    Carry,
    /// It fails, in one of several ways that the draw tells.
    Fail(u64),
    /// It writes only some of its bytes.
    Short(u64),
    /// It writes elsewhere.
    Misdirect(u64),
    /// Everything ends in it.
    Die(Death, u64),
}

/// What a request is, as far as faults care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// It writes bytes.
    pub writes: bool,
    /// It makes something durable.
    pub syncs: bool,
    /// It can fail for want of a device.
    pub can_fail: bool,
}

/// The faults of one run that have not struck yet.
#[derive(Debug, Default)]
pub struct Arms {
    waiting: Vec<(Fault, u64, u64)>,
    full_left: u64,
    slow_left: u64,
}

/// Requests that a full disk lasts.
const FULL_REQUESTS: u64 = 60;
/// Requests that a slow disk lasts.
const SLOW_REQUESTS: u64 = 4000;

impl Arms {
    /// Lets a fault strike the request that fits it after `after` others.
    pub fn arm(&mut self, fault: Fault, after: u64, seed: u64) {
        self.waiting.push((fault, after, seed));
    }

    /// Takes every fault back.
    pub fn disarm(&mut self) {
        *self = Arms::default();
    }

    /// Whether the disk is full now.
    pub fn is_full(&self) -> bool {
        self.full_left > 0
    }

    /// Whether requests wait now.
    pub fn is_slow(&self) -> bool {
        self.slow_left > 0
    }

    /// What becomes of a request. One fault strikes at a time.
    pub fn judge(&mut self, request: Traits) -> Verdict {
        self.full_left = self.full_left.saturating_sub(1);
        self.slow_left = self.slow_left.saturating_sub(1);
        for index in 0..self.waiting.len() {
            let (fault, after, seed) = &mut self.waiting[index];
            let prefers = SplitMix64::new(*seed).below(4);
            let fits = match fault {
                Fault::Eio => request.can_fail && (prefers < 2 || request.syncs),
                Fault::Short | Fault::Misdirected => request.writes,
                Fault::Full | Fault::Slow => true,
                Fault::Kill | Fault::PowerCut => match prefers {
                    0 => true,
                    1 => request.syncs || request.writes,
                    _ => request.syncs && request.writes,
                },
            };
            if !fits {
                continue;
            }
            if *after > 0 {
                *after -= 1;
                continue;
            }
            let (fault, seed) = (*fault, *seed);
            self.waiting.remove(index);
            let mut draw = SplitMix64::new(seed);
            draw.next_u64();
            match fault {
                Fault::Full => self.full_left = 1 + draw.below(FULL_REQUESTS),
                Fault::Slow => self.slow_left = 1 + draw.below(SLOW_REQUESTS),
                Fault::Eio => return Verdict::Fail(draw.next_u64()),
                Fault::Short => return Verdict::Short(draw.next_u64()),
                Fault::Misdirected => return Verdict::Misdirect(draw.next_u64()),
                Fault::Kill => return Verdict::Die(Death::Killed, draw.next_u64()),
                Fault::PowerCut => return Verdict::Die(Death::Unpowered, draw.next_u64()),
            }
            break;
        }
        Verdict::Carry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_once_and_only_what_fits_it() {
        let write = Traits { writes: true, syncs: false, can_fail: true };
        let read = Traits { writes: false, ..write };
        let mut arms = Arms::default();
        arms.arm(Fault::Short, 1, 7);
        let verdicts = [read, write, read, write, write].map(|request| arms.judge(request));
        assert!(matches!(verdicts[3], Verdict::Short(_)), "{verdicts:?}");
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Carry).count(), 4, "{verdicts:?}");
        arms.arm(Fault::Full, 0, 7);
        arms.judge(read);
        assert!(arms.is_full());
        for _ in 0..=FULL_REQUESTS {
            arms.judge(read);
        }
        assert!(!arms.is_full());
    }
}
