//! Who puts, names, reads, collects and scrubs objects, and what the checker holds against them.

use crate::ledger::Claim;
use crate::mutant::Mutant;
use crate::script::{APPENDERS, Event};
use crate::stepping::Stepping;
use crate::world::World;
use rtt_plan::Op;
use rtt_seal::Digest;
use rtt_store::cas::{Cas, CollectError, Collected, LeaseStatus, ReadError};
use rtt_store::{Disk, DiskError, Request};
use rtt_units::SplitMix64;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// How long a condemned object waits for somebody to name it, in seconds.
pub const GRACE_S: u64 = 60;
/// How long a lease outlives its holder, in seconds.
pub const LEASE_S: u64 = 600;

/// A collection, as those who act between its requests see it.
struct Pass<'a, 'k> {
    world: &'a mut World<'k>,
    draw: &'a mut SplitMix64,
    /// What was named all the time.
    throughout: BTreeSet<Digest>,
    /// Leases that were damaged at some time.
    damaged: BTreeSet<String>,
    violation: Result<(), String>,
    /// The collection was told to stop, because the process ends.
    stopped: bool,
}

impl Pass<'_, '_> {
    /// Others act before a request where they can: mostly before a section is entered, for between two of them a name may
    /// move from what was looked at to what is yet to be.
    fn before(&mut self, request: &Request) {
        let one_in = match request {
            Request::Lock { .. } => 2,
            Request::List { .. } => 512,
            _ => 64,
        };
        // Who would act then waits for the lock.
        if self.draw.below(one_in) == 0 && !self.world.device.with(|medium| medium.is_held_alone("cas/lock")) {
            self.interleave();
        }
    }

    fn interleave(&mut self) {
        if !self.is_over() {
            self.violation = self.world.interleave(self.draw, &mut self.throughout);
            self.damaged.append(&mut self.world.damaged_leases());
        }
    }

    fn is_over(&self) -> bool {
        self.violation.is_err() || self.world.device.is_dead() || self.world.must_restart
    }
}

impl World<'_> {
    /// Bytes of an object: new ones, or once in four those of one that was put before.
    pub(crate) fn object(&self, draw: &mut SplitMix64) -> Vec<u8> {
        let known = self.objects.known.len() as u64;
        if known > 0 && draw.below(4) == 0 {
            let again = self.objects.known.values().nth(draw.below(known) as usize);
            return again.expect("one of those known").clone();
        }
        (0..20 + draw.below(1500)).map(|_| draw.next_u64() as u8).collect()
    }

    /// Puts objects under a lease; `None` where a fault struck.
    pub(crate) fn put(
        &mut self,
        lease: &str,
        objects: &[Vec<u8>],
        draw: &mut SplitMix64,
    ) -> Result<Option<Vec<Digest>>, String> {
        if !self.take_lease(lease)? {
            return Ok(None);
        }
        // Who fails may try again, under the lease that it has.
        for _ in 0..=draw.below(2) {
            let injected = self.injected();
            let (Some(cas), Some(held)) = (&mut self.writers, self.leases.get_mut(lease)) else { return Ok(None) };
            let borrowed: Vec<&[u8]> = objects.iter().map(Vec::as_slice).collect();
            match cas.put_batch(held, &borrowed) {
                Ok(digests) => return self.was_put(lease, objects, digests).map(Some),
                Err(_) if self.is_excused(injected) => {}
                Err(error) => return Err(format!("put: no fault struck, and {}", rtt_seal::in_full(&error))),
            }
        }
        Ok(None)
    }

    fn was_put(&mut self, lease: &str, objects: &[Vec<u8>], digests: Vec<Digest>) -> Result<Vec<Digest>, String> {
        for (digest, bytes) in digests.iter().zip(objects) {
            if *digest != Digest::of(bytes) {
                return Err(format!("put: object {digest} is not what was put"));
            }
            self.objects.known.insert(*digest, bytes.clone());
            self.objects.tainted.remove(digest);
            self.objects.unsure.remove(digest);
        }
        self.objects.leases.entry(lease.to_owned()).or_default().digests.extend(&digests);
        self.taint_leases();
        Ok(digests)
    }

    fn take_lease(&mut self, name: &str) -> Result<bool, String> {
        if self.leases.contains_key(name) {
            return Ok(true);
        }
        self.taint_leases(); // What the next holder writes may lie where the entry belongs that is not there.
        let injected = self.injected();
        let expires_unix_s = self.now + LEASE_S;
        let Some(cas) = &mut self.writers else { return Ok(false) };
        match cas.lease(name, expires_unix_s) {
            Ok(lease) => {
                self.leases.insert(name.to_owned(), lease);
                let claim = self.objects.leases.entry(name.to_owned()).or_default();
                if !claim.is_held && claim.expires_unix_s <= self.now {
                    *claim = Claim::default(); // It may have been collected.
                }
                (claim.is_held, claim.expires_unix_s) = (true, expires_unix_s);
                Ok(true)
            }
            Err(_) if self.is_excused(injected) => {
                // Its end may have been moved all the same, by a clock that went back to an earlier one.
                if let Some(claim) = self.objects.leases.get_mut(name) {
                    claim.expires_unix_s = claim.expires_unix_s.min(expires_unix_s);
                }
                Ok(false)
            }
            Err(error) => Err(format!("lease {name}: no fault struck, and {}", rtt_seal::in_full(&error))),
        }
    }

    /// Gives a lease back, if it is held.
    pub(crate) fn release(&mut self, name: &str) -> Result<(), String> {
        let (Some(lease), Some(cas)) = (self.leases.remove(name), &mut self.writers) else { return Ok(()) };
        self.objects.leases.remove(name);
        let injected = self.device.with(|medium| medium.injected);
        match cas.release(lease) {
            Err(error) if !self.is_excused(injected) => {
                Err(format!("release: no fault struck, and {}", rtt_seal::in_full(&error)))
            }
            _ => Ok(()),
        }
    }

    /// The putter's batch: pinned, left behind by a holder that dies, named by nobody, or kept for a while.
    pub(crate) fn put_batch(&mut self, draw: &mut SplitMix64) -> Result<(), String> {
        let name = format!("putter-{}", draw.below(3));
        let objects: Vec<Vec<u8>> = (0..1 + draw.below(5)).map(|_| self.object(draw)).collect();
        let Some(digests) = self.put(&name, &objects, draw)? else { return Ok(()) };
        let injected = self.injected();
        let Some(cas) = &mut self.writers else { return Ok(()) };
        match draw.below(4) {
            0 => match cas.pin("kept", &digests[0]) {
                Ok(()) => drop(self.objects.pins.insert(digests[0])),
                Err(_) if self.is_excused(injected) => {}
                // Put and damaged since: the pin says so.
                Err(_) if self.device.with(|medium| medium.is_damaged(&path(&digests[0]))) => {}
                Err(error) => return Err(format!("pin: no fault struck, and {}", rtt_seal::in_full(&error))),
            },
            1 => {
                let lease = self.leases.remove(&name).expect("put under it");
                let left = cas.leave(lease);
                self.objects.leases.get_mut(&name).expect("claimed").is_held = left.is_err();
                self.objects.expire(self.now);
            }
            2 => return self.release(&name),
            _ => {}
        }
        Ok(())
    }

    /// What the system's records name now.
    pub(crate) fn roots(&self) -> BTreeSet<Digest> {
        let mut roots = self.feed_ledger.roots();
        if let Some(reconciler) = &self.reconciler {
            let told = reconciler.log().told();
            let held = [Op::FILES, Op::PROFILE].map(|participant| told.held.participants.get(participant));
            roots.extend(held.into_iter().flatten().flat_map(|held| held.items.values()).map(|item| item.object));
            roots.extend(told.plan.iter().flat_map(|plan| &plan.ops).filter_map(Op::object));
        }
        roots
    }

    /// SIM-3: what must be there now.
    pub(crate) fn protected(&self) -> BTreeSet<Digest> {
        let mut protected = self.objects.claimed(self.now);
        protected.extend(self.roots());
        protected.retain(|digest| !self.objects.tainted.contains(digest) && !self.objects.unsure.contains(digest));
        protected
    }

    /// A collection, between whose requests others take steps.
    pub(crate) fn collect(&mut self, draw: &mut SplitMix64) -> Result<(), String> {
        self.taint_leases();
        if self.collector.is_none() {
            return Ok(());
        }
        let injected = self.injected();
        let notes = self.device.with(|medium| medium.list("cas/condemned"));
        let (now, disk) = (self.now, self.device.handle());
        let mut early = (self.mutant == Mutant::LeaseAfterRoots).then(|| self.roots());
        let (throughout, damaged) = (self.protected(), self.damaged_leases());
        let pass = RefCell::new(Pass { world: self, draw, throughout, damaged, violation: Ok(()), stopped: false });
        let before = |request: &Request| pass.borrow_mut().before(request);
        let opened = Cas::open(Stepping::new(disk, &before)).map_err(CollectError::Disk);
        let result = opened.and_then(|mut cas| {
            let mut roots = |_: &mut Cas<_>| {
                let mut pass = pass.borrow_mut();
                pass.interleave();
                pass.stopped = pass.is_over();
                if pass.stopped {
                    return Err("the process ends".into());
                }
                Ok(early.take().unwrap_or_else(|| pass.world.roots()).into_iter().collect())
            };
            cas.collect(now, GRACE_S, &mut roots, &mut |_, _| Ok(Vec::new()))
        });
        let Pass { throughout, damaged, violation, stopped, .. } = pass.into_inner();
        violation?;
        if stopped {
            return Ok(());
        }
        let condemned = self.device.with(|medium| medium.list("cas/condemned"));
        let named = condemned.difference(&notes).find(|note| throughout.iter().any(|each| each.to_string() == **note));
        if let Some(note) = named {
            return Err(format!("SIM-3: object {note} was condemned and named throughout"));
        }
        self.collected(result, injected, &damaged, &throughout)
    }

    fn damaged_leases(&self) -> BTreeSet<String> {
        let is_damaged = |name: &String| self.device.with(|medium| medium.is_damaged(&format!("cas/leases/{name}")));
        self.device.with(|medium| medium.list("cas/leases")).into_iter().filter(is_damaged).collect()
    }

    /// What was written to a lease and never reached its file, or lies there as zeros, cannot be told from what a power
    /// cut took of a put that was never acknowledged.
    fn taint_leases(&mut self) {
        for (name, claim) in &mut self.objects.leases {
            claim.is_tainted |= self.device.with(|medium| medium.is_erased(&format!("cas/leases/{name}")));
            if claim.is_tainted {
                // Also once a record names them: they may have been removed before it did.
                self.objects.unsure.extend(&claim.digests);
            }
        }
    }

    /// `damaged` leases were so at some time of the collection; the objects `throughout` were named at every one.
    fn collected(
        &mut self,
        result: Result<Collected, CollectError>,
        injected: u64,
        damaged: &BTreeSet<String>,
        throughout: &BTreeSet<Digest>,
    ) -> Result<(), String> {
        self.taint_leases();
        match result {
            Ok(collected) => {
                let protected = self.protected();
                // Who names an object after it was removed has put it anew.
                let is_there = |digest: &Digest| self.device.with(|medium| medium.exists(&path(digest)));
                let is_lost = |digest: &Digest| protected.contains(digest) && !is_there(digest);
                if let Some(digest) = collected.removed.iter().find(|each| throughout.contains(*each) || is_lost(each))
                {
                    return Err(format!("SIM-3: object {digest} was removed and is named"));
                }
                let damaged = damaged | &self.damaged_leases();
                let is_whole = |lease: &&LeaseStatus| !damaged.contains(&lease.name);
                match collected.damaged_leases.iter().find(is_whole) {
                    Some(lease) => Err(format!("lease {} is whole and counts as damaged", lease.name)),
                    None => Ok(()),
                }
            }
            Err(_) if self.is_excused(injected) => Ok(()),
            Err(error) => Err(format!("collect: no fault struck, and {}", rtt_seal::in_full(&error))),
        }
    }

    fn interleave(&mut self, draw: &mut SplitMix64, throughout: &mut BTreeSet<Digest>) -> Result<(), String> {
        for _ in 0..if self.is_draining { 0 } else { draw.below(6) } {
            let event = match draw.below(8) {
                0 => Event::Put,
                1 | 2 => Event::Plan,
                3 => Event::Start,
                4 => Event::Finish,
                _ => Event::Append(draw.below(u64::from(APPENDERS)) as u8),
            };
            let before = self.objects.entries();
            self.act(event, draw)?;
            // A put takes back the note of what it names: that protects it, whatever this pass thinks of it.
            let put = self.objects.entries();
            for (_, digest) in put.difference(&before) {
                throughout.remove(digest);
            }
            if self.device.is_dead() || self.must_restart {
                break;
            }
            let now = self.protected();
            throughout.retain(|digest| now.contains(digest));
        }
        Ok(())
    }

    /// What a scrub moves aside was damaged.
    pub(crate) fn scrub(&mut self) -> Result<(), String> {
        if !self.take_lease("scrub")? {
            return Ok(());
        }
        let injected = self.injected();
        let (Some(cas), Some(lease)) = (&mut self.writers, self.leases.get_mut("scrub")) else { return Ok(()) };
        match cas.scrub(lease, None) {
            Ok(scrubbed) => {
                for damage in scrubbed.damaged {
                    let Some(aside) = damage.quarantined else { continue };
                    if !self.device.with(|medium| medium.is_damaged(&aside)) {
                        return Err(format!("SIM-2: object {} was moved aside and is whole", damage.digest));
                    }
                    self.objects.tainted.insert(damage.digest);
                }
            }
            Err(_) if self.is_excused(injected) => {
                self.taint_moved_aside();
            }
            Err(error) => return Err(format!("scrub: no fault struck, and {}", rtt_seal::in_full(&error))),
        }
        self.release("scrub")
    }

    /// Reads some of the objects that anybody ever put.
    pub(crate) fn read_some(&mut self, draw: &mut SplitMix64) -> Result<(), String> {
        let known: Vec<Digest> = self.objects.known.keys().copied().collect();
        let protected = self.protected();
        for _ in 0..4 {
            let Some(digest) = known.get(draw.below(known.len() as u64 + 1) as usize) else { continue };
            self.check_object(digest, protected.contains(digest))?;
            let (offset, length) = (draw.below(400), draw.below(400) as usize);
            let Some(cas) = &mut self.writers else { return Ok(()) };
            let bytes = &self.objects.known[digest];
            let from = bytes.len().min(offset as usize);
            let expected = &bytes[from..bytes.len().min(from + length)];
            if cas.range(digest, offset, length).is_ok_and(|found| found != expected) {
                return Err(format!("SIM-2: a range of object {digest} was read as other bytes"));
            }
        }
        Ok(())
    }

    /// SIM-1, SIM-2: every object that must be there is, as it was put.
    pub(crate) fn check_all(&mut self) -> Result<(), String> {
        self.taint_moved_aside();
        self.protected().iter().try_for_each(|digest| self.check_object(digest, true))
    }

    /// What a scrub had moved aside before a fault ended it is told by nobody.
    fn taint_moved_aside(&mut self) {
        let aside = self.device.with(|medium| medium.list("cas/quarantine"));
        for name in aside {
            let digest: Option<Digest> = name.split('.').next().and_then(|hex| hex.parse().ok());
            let is_there = |digest: &Digest| self.device.with(|medium| medium.exists(&path(digest)));
            if let Some(digest) = digest.filter(|digest| !is_there(digest)) {
                self.objects.tainted.insert(digest);
            }
        }
    }

    fn check_object(&mut self, digest: &Digest, must_be_there: bool) -> Result<(), String> {
        let injected = self.injected();
        let Some(cas) = &mut self.writers else { return Ok(()) };
        let expected = &self.objects.known[digest];
        match cas.get(digest) {
            Ok(bytes) if bytes == *expected => Ok(()),
            Ok(_) => Err(format!("SIM-2: object {digest} was read as other bytes")),
            Err(ReadError::Missing { .. }) if !must_be_there => Ok(()),
            Err(_) if self.is_excused(injected) => Ok(()),
            Err(_) if self.device.with(|medium| medium.is_damaged(&path(digest))) => Ok(()),
            Err(error) => Err(format!("SIM-1: {}", rtt_seal::in_full(&error))),
        }
    }

    /// Leases name after a crash what their holders were told that they name, or say that they are damaged. Some are then
    /// taken again.
    pub(crate) fn check_leases(&mut self, draw: &mut SplitMix64) -> Result<bool, String> {
        let injected = self.injected();
        let leases = match self.collector.as_mut().map(leases) {
            Some(Ok(leases)) => leases,
            _ if self.is_excused(injected) => return Ok(false),
            other => return Err(format!("leases: no fault struck, and {other:?}")),
        };
        self.taint_leases();
        for (name, claim) in &self.objects.leases {
            let found = leases.iter().find(|lease| lease.name == *name);
            let tells = found.is_some_and(|lease| lease.damaged > 0 || claim.digests.is_subset(&lease.digests));
            if !tells && !claim.is_tainted && claim.expires_unix_s > self.now && !claim.digests.is_empty() {
                return Err(format!("SIM-3: lease {name} does not name what was put under it, and counts as whole"));
            }
        }
        if draw.coin() {
            self.take_lease("appender-0")?;
        }
        Ok(!self.device.is_dead())
    }
}

fn leases<D: Disk>(cas: &mut Cas<D>) -> Result<Vec<LeaseStatus>, DiskError> {
    Ok(cas.leases()?.expect("nobody else is in a section"))
}

/// Where an object lies.
fn path(digest: &Digest) -> String {
    let hex = digest.to_string();
    format!("cas/objects/{}/{}", &hex[..2], &hex[2..])
}
