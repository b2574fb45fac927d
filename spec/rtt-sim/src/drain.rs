//! Liveness: faults stop, and all that is owed ends within a number of steps.

use crate::arms::Death;
use crate::objects::{GRACE_S, LEASE_S};
use crate::planner::Stage;
use crate::script::Event;
use crate::world::{Appender, FEED, LOG, World};
use rtt_units::SplitMix64;

/// Transactions that each run has at least.
pub const TRANSACTIONS: usize = 20;
/// Steps in which anything that is owed ends.
const STEPS: usize = 120;
/// Collections in which everything that nothing names is gone: one condemns, one removes, and one takes what a lease that
/// ended between them held.
const PASSES: usize = 4;

impl World<'_> {
    /// Ends a run: everything opens at the first try, plans and appends end, and nothing is left that nothing names.
    ///
    /// # Errors
    /// What does not end, and what the checker holds against the system.
    pub fn drain(&mut self, draw: &mut SplitMix64) -> Result<(), String> {
        self.calm();
        self.is_draining = true;
        for folder in [FEED, LOG, "cas/leases", "cas/condemned"] {
            self.device.with(|medium| medium.restore(folder));
        }
        self.start_clean(draw)?;
        self.end_plans(draw)?;
        self.end_appends(draw)?;
        self.end_objects(draw)?;
        self.start_clean(draw)
    }

    fn start_clean(&mut self, draw: &mut SplitMix64) -> Result<(), String> {
        self.restart(Death::Unpowered, draw)?;
        if self.starts == 1 { Ok(()) } else { Err(format!("REC-13: {} starts without a fault", self.starts)) }
    }

    fn step(&mut self, event: Event, draw: &mut SplitMix64) -> Result<(), String> {
        self.act(event, draw)?;
        if self.device.is_dead() || self.must_restart {
            return Err(format!("{event:?}: the process ended without a fault"));
        }
        Ok(())
    }

    fn end_plans(&mut self, draw: &mut SplitMix64) -> Result<(), String> {
        let mut steps = 0;
        while self.closed < TRANSACTIONS || self.stage != Stage::Idle {
            self.step(Event::Plan, draw)?;
            steps += 1;
            if steps > STEPS {
                return Err(format!("REC-13: {} transactions after {STEPS} steps", self.closed));
            }
        }
        Ok(())
    }

    fn end_appends(&mut self, draw: &mut SplitMix64) -> Result<(), String> {
        for step in 0.. {
            let busy = (0..).zip(self.appenders).find(|(_, appender)| *appender != Appender::Idle);
            let Some((writer, _)) = busy else { return Ok(()) };
            for event in [Event::Append(writer), Event::Start, Event::Finish] {
                self.step(event, draw)?;
            }
            if step > STEPS {
                return Err(format!("WAL-2: writer {writer} waits after {STEPS} steps"));
            }
        }
        Ok(())
    }

    fn end_objects(&mut self, draw: &mut SplitMix64) -> Result<(), String> {
        self.step(Event::Scrub, draw)?;
        for name in self.leases.keys().cloned().collect::<Vec<_>>() {
            self.release(&name)?;
        }
        self.now = self.latest + LEASE_S;
        self.objects.expire(self.now);
        for _ in 0..PASSES {
            self.now += GRACE_S;
            self.step(Event::Collect, draw)?;
        }
        let mut protected = self.protected();
        let cas = self.writers.as_mut().expect("it runs");
        let stored = cas.list().map_err(|error| rtt_seal::in_full(&error))?;
        // A pin that was asked for and not acknowledged may stand.
        let pins = cas.pins().map_err(|error| rtt_seal::in_full(&error))?;
        protected.extend(pins.into_iter().map(|(_, digest)| digest));
        protected.extend(self.roots()); // Also what may have been lost before it was named.
        if let Some(digest) = stored.iter().find(|digest| !protected.contains(*digest)) {
            return Err(format!("CAS-5: object {digest} is named by nothing and still there after {PASSES} passes"));
        }
        let temporary = self.device.with(|medium| medium.list("cas/tmp"));
        if temporary.is_empty() { Ok(()) } else { Err(format!("CAS-10: {temporary:?} are left of no writer")) }
    }
}
