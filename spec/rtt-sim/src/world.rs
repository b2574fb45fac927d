//! The system under simulation: one process at a time over the simulated disk, its crashes, and what comes after.
//!
//! A process holds the feed (a log of its own, for three writers), the reconciler with its log, and two views of the
//! objects: one for all writers, one for collections. When any part of it says that it must be opened again, the process is
//! killed, as a supervisor would.

use crate::arms::Death;
use crate::forge::{self, Lacks};
use crate::image::Image;
use crate::keys::Keys;
use crate::ledger::{FeedLedger, Found, ObjectLedger, PlanLedger};
use crate::mutant::Mutant;
use crate::planner::{InDoubt, Stage};
use crate::script::{APPENDERS, Event, Line};
use crate::shelves::Shelves;
use crate::sim_disk::{Device, SimDisk};
use crate::strike::Strike;
use crate::witness::MemoryWitness;
use rtt_plan::{HostState, Plan};
use rtt_reconcile::{Log, LogError, Reconciler, SettleError};
use rtt_seal::{Digest, Sealed, TrustedKeys};
use rtt_store::cas::{Cas, Lease};
use rtt_store::wal::{self, OpenError, Opened, Options, Wal, Witness};
use rtt_units::SplitMix64;
use std::collections::BTreeMap;

/// Folder of the writers' log.
pub const FEED: &str = "feed";
/// Folder of the reconciler's log.
pub const LOG: &str = "wal";
/// Times that a process may be started before it runs.
const STARTS: u64 = 16;
/// Starts after which no fault strikes any more: a run is to go on.
const TROUBLED_STARTS: u64 = 6;
/// When a simulated host's clock begins, in seconds since 1970.
pub const NOW: u64 = 1_800_000_000;

/// What a writer of the feed is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appender {
    /// Begin.
    Idle,
    /// Push the record that names what it put.
    Put(Digest),
    /// Wait for that record.
    Pushed(u64),
}

/// One run.
pub struct World<'k> {
    pub(crate) keys: &'k Keys,
    pub(crate) device: Device,
    pub(crate) mutant: Mutant,
    pub(crate) shelves: Shelves,
    witness: MemoryWitness,
    pub(crate) now: u64,
    /// The latest that any clock has shown.
    pub(crate) latest: u64,
    pub(crate) feed: Option<Wal<SimDisk>>,
    pub(crate) reconciler: Option<Reconciler<'k, SimDisk>>,
    pub(crate) writers: Option<Cas<SimDisk>>,
    pub(crate) collector: Option<Cas<SimDisk>>,
    pub(crate) leases: BTreeMap<String, Lease>,
    pub(crate) appenders: [Appender; APPENDERS as usize],
    pub(crate) stage: Stage,
    pub(crate) in_doubt: Option<InDoubt>,
    pub(crate) previous: Option<HostState>,
    pub(crate) last_plan: Option<Sealed<Plan>>,
    pub(crate) sequence: u64,
    pub(crate) must_restart: bool,
    /// No fault strikes any more, and nobody begins anything new.
    pub(crate) is_draining: bool,
    /// Starts that the last restart took.
    pub(crate) starts: u64,
    /// Failures that had struck when this process began.
    pub(crate) started_injected: u64,
    /// What should run.
    pub(crate) expected: HostState,
    pub(crate) feed_ledger: FeedLedger,
    pub(crate) plan_ledger: PlanLedger,
    pub(crate) objects: ObjectLedger,
    /// Transactions that are closed in the log.
    pub closed: usize,
    /// Logs that were refused or cut short because of damage, and restored.
    pub detected: u64,
}

impl<'k> World<'k> {
    /// A host with an empty disk.
    pub fn new(keys: &'k Keys, mutant: Mutant) -> World<'k> {
        let device = Device::default();
        device.with(|medium| medium.forgets_syncs = mutant == Mutant::NoSync);
        World {
            keys,
            witness: MemoryWitness::new(&device),
            device,
            mutant,
            shelves: Shelves::default(),
            now: NOW,
            latest: NOW,
            feed: None,
            reconciler: None,
            writers: None,
            collector: None,
            leases: BTreeMap::new(),
            appenders: [Appender::Idle; APPENDERS as usize],
            stage: Stage::Idle,
            in_doubt: None,
            previous: None,
            last_plan: None,
            sequence: 0,
            must_restart: false,
            is_draining: false,
            starts: 0,
            started_injected: 0,
            expected: HostState::empty(),
            feed_ledger: FeedLedger::default(),
            plan_ledger: PlanLedger::default(),
            objects: ObjectLedger::default(),
            closed: 0,
            detected: 0,
        }
    }

    /// Takes one line, and starts a new process where the old one ended.
    ///
    /// # Errors
    /// What the checker holds against the system.
    pub fn take(&mut self, line: &Line) -> Result<(), String> {
        let mut draw = SplitMix64::new(line.seed);
        self.device.with(|medium| medium.note(line.seed));
        self.act(line.event, &mut draw)?;
        if self.device.is_dead() || self.must_restart {
            self.restart(Death::Killed, &mut draw)?;
        }
        Ok(())
    }

    /// One event, in a process that runs.
    pub(crate) fn act(&mut self, event: Event, draw: &mut SplitMix64) -> Result<(), String> {
        match event {
            Event::Append(writer) => self.append(writer, draw),
            Event::Start => self.start_group(),
            Event::Finish => self.finish_group(),
            Event::Plan => self.plan(draw),
            Event::Put => self.put_batch(draw),
            Event::Collect => self.collect(draw),
            Event::Scrub => self.scrub(),
            Event::Read => self.read_some(draw),
            Event::Clock => {
                let back = draw.below(8) == 0;
                self.now = if back { self.now - draw.below(300) } else { self.now + draw.below(400) };
                self.latest = self.latest.max(self.now);
                self.objects.expire(self.now);
                Ok(())
            }
            Event::Arm(fault) => {
                let (after, seed) = (draw.below(80), draw.next_u64());
                self.device.with(|medium| medium.arms.arm(fault, after, seed));
                Ok(())
            }
            Event::StopCall => {
                let death = if draw.coin() { Death::Killed } else { Death::Unpowered };
                self.shelves.0.borrow_mut().stopping = Some((draw.below(40), death, draw.coin()));
                Ok(())
            }
            Event::Crash(by_power) => self.restart(if by_power { Death::Unpowered } else { Death::Killed }, draw),
            Event::Rot => {
                self.device.with(|medium| medium.rot(draw));
                Ok(())
            }
            Event::Forge => {
                // While nobody writes: a writer would go on where the log no longer ends.
                self.forge(draw);
                self.restart(Death::Killed, draw)
            }
        }
    }

    /// Ends the process and starts another, as often as it takes.
    pub(crate) fn restart(&mut self, death: Death, draw: &mut SplitMix64) -> Result<(), String> {
        let mut death = death;
        for start in 0..STARTS {
            self.device.crash(death, draw);
            self.forget_process();
            if start >= TROUBLED_STARTS {
                self.calm();
            }
            if self.open(draw)? {
                self.starts = start + 1;
                return self.check_all();
            }
            death = Death::Killed;
        }
        Err(format!("REC-13: no process runs after {STARTS} starts"))
    }

    /// Takes every fault back.
    pub(crate) fn calm(&mut self) {
        self.device.with(|medium| medium.arms.disarm());
        self.shelves.calm();
    }

    /// Whether a failure since `injected` is a fault's, or the process is dead.
    pub(crate) fn is_excused(&self, injected: u64) -> bool {
        self.device.is_dead() || self.device.with(|medium| medium.injected != injected)
    }

    pub(crate) fn injected(&self) -> u64 {
        self.device.with(|medium| medium.injected)
    }

    fn forget_process(&mut self) {
        (self.feed, self.reconciler, self.writers, self.collector) = (None, None, None, None);
        self.leases.clear();
        self.appenders = [Appender::Idle; APPENDERS as usize];
        self.stage = Stage::Idle;
        self.must_restart = false;
        self.started_injected = self.injected();
        self.objects.crashed();
        self.objects.expire(self.now);
        self.shelves.0.borrow_mut().failing = None;
    }

    /// Opens everything; `false` where a fault struck and the next process is to try.
    pub(crate) fn open(&mut self, draw: &mut SplitMix64) -> Result<bool, String> {
        Ok(self.open_feed()? && self.open_log()? && self.open_objects(draw)?)
    }

    pub(crate) fn options(&self, folder: &str) -> Options {
        let (segment_bytes, reserve_bytes) = (64 << 10, 24 << 10);
        Options { folder: folder.into(), segment_bytes, reserve_bytes, ..Options::new(self.keys.id) }
    }

    fn open_feed(&mut self) -> Result<bool, String> {
        let (image, injected) = (self.image(FEED), self.injected());
        let is_damaged = self.device.with(|medium| medium.is_folder_damaged(FEED));
        let options = self.options(FEED);
        let found = self.read_feed(&options);
        let judged = |world: &mut World<'k>, opened: &Opened| world.feed_ledger.judge(&opened.records, is_damaged);
        if self.judge_log(FEED, found, &image, is_damaged, injected, judged)? == Probe::Again {
            return Ok(false);
        }
        // It is gone on from as it was read: a group that went astray must not come back behind those that follow now.
        self.device.with(|medium| medium.accept(FEED));
        let image = self.image(FEED);
        match Wal::open(self.device.handle(), &options, None) {
            Ok((wal, opened)) => {
                let is_damaged = is_damaged || self.device.with(|medium| medium.is_folder_damaged(FEED));
                if self.feed_ledger.judge(&opened.records, is_damaged)? == Found::CutShort {
                    return Err("feed: cut short by opening it, and not by reading it".into());
                }
                self.feed_ledger.opened(opened.records.len());
                image.judge(&Ok(opened)).map_err(|why| format!("feed, opened: {why}"))?;
                self.feed = Some(wal);
                Ok(true)
            }
            Err(_) if self.is_excused(injected) => Ok(false),
            Err(error) => Err(format!("feed: {}", rtt_seal::in_full(&error))),
        }
    }

    /// Reads the feed, or plays a scan that lacks something.
    fn read_feed(&mut self, options: &Options) -> Result<Opened, OpenError> {
        match self.mutant {
            Mutant::NoChainCheck => self.heal_feed(Lacks::Chain),
            Mutant::NoSequenceCheck => self.heal_feed(Lacks::Sequence),
            _ => {}
        }
        match (wal::read_log(self.device.handle(), options), self.mutant) {
            (Err(OpenError::Damaged(damage)), Mutant::CutsDamage) => {
                let segment = damage.path[FEED.len() + 1..].trim_end_matches(".seg").parse().expect("a segment");
                let place = (segment, damage.offset as usize);
                self.rewrite(FEED, |segments| forge::cut(segments, place), None);
                wal::read_log(self.device.handle(), options)
            }
            (Ok(opened), Mutant::CutsUnsaid) => Ok(Opened { torn: None, ..opened }),
            (found, _) => found,
        }
    }

    /// A log as it lies on the disk.
    fn image(&self, folder: &str) -> Image {
        let files = self.device.with(|medium| medium.contents(folder));
        Image::of(files, self.options(folder).segment_bytes as usize)
    }

    fn open_log(&mut self) -> Result<bool, String> {
        let (image, injected) = (self.image(LOG), self.injected());
        let is_damaged = self.device.with(|medium| medium.is_folder_damaged(LOG));
        let options = self.options(LOG);
        let aborted = self.shelves.0.borrow().aborted.clone();
        let found = wal::read_log(self.device.handle(), &options);
        let judged = |world: &mut World<'k>, opened: &Opened| {
            let found = world.plan_ledger.judge(&opened.records, &aborted, is_damaged)?;
            if found == Found::CutShort {
                world.check_witness(opened.records.len() as u64, &options, injected)?;
            }
            Ok(found)
        };
        if self.judge_log(LOG, found, &image, is_damaged, injected, judged)? == Probe::Again {
            return Ok(false);
        }
        // Damage to records behind the last checkpoint looks like a torn write: what they decided is restored before
        // anybody acts without it.
        self.device.with(|medium| medium.restore(LOG));
        let witness = Box::new(self.witness.clone());
        let log = match Log::open(self.device.handle(), &options, &self.keys.host, witness) {
            Ok((log, _)) => log,
            Err(_) if self.is_excused(injected) => return Ok(false),
            Err(error) => return Err(format!("log: {}", rtt_seal::in_full(&error))),
        };
        match Reconciler::open(log, self.shelves.participants(&self.device), &|_| Some(self.keys.trusted.clone())) {
            Ok((reconciler, _)) => self.reconciler = Some(reconciler),
            Err(_) if self.is_excused(injected) => return Ok(false),
            // A participant did something else and nobody was told before the crash: the operator has to put it back.
            Err(SettleError::Drift { .. }) if self.shelves.put_back() => return Ok(false),
            Err(error) => return Err(format!("recovery: {}", rtt_seal::in_full(&error))),
        }
        let Ok(opened) = wal::read_log(self.device.handle(), &options) else { return Ok(false) };
        self.plan_ledger.opened(&opened.records);
        self.closed = crate::ledger::closed(&opened.records);
        self.check_recovered()?;
        Ok(true)
    }

    /// WAL-8: a log that lacks what its witness saw is not opened with it, and is left as it is.
    fn check_witness(&mut self, found: u64, options: &Options, injected: u64) -> Result<(), String> {
        let keys = TrustedKeys::new([self.keys.host.public().clone()]).expect("one key");
        let Some(sealed) = self.witness.recall().expect("it is in memory") else { return Ok(()) };
        if sealed.verify(&keys).expect("signed by the host").size <= found {
            return Ok(());
        }
        let before = self.device.with(|medium| medium.contents(LOG));
        let forgetful = self.mutant == Mutant::NoWitness;
        let witness = if forgetful { MemoryWitness::new(&self.device) } else { self.witness.clone() };
        let opened = Log::open(self.device.handle(), options, &self.keys.host, Box::new(witness));
        match opened.map(drop) {
            Err(LogError::Open(OpenError::Shorter { .. })) => {}
            _ if self.is_excused(injected) => {}
            other => return Err(format!("WAL-8: {found} records, fewer than were witnessed, and {other:?}")),
        }
        self.check_unchanged(LOG, &before)
    }

    fn check_unchanged(&self, folder: &str, before: &[(String, Vec<u8>)]) -> Result<(), String> {
        let after = self.device.with(|medium| medium.contents(folder));
        let is_unchanged = before.iter().all(|file| after.contains(file));
        if is_unchanged { Ok(()) } else { Err(format!("WAL-4: {folder} was refused and changed")) }
    }

    /// What was found of a log, against what is known and what is damaged. A refused log must not have been changed, and
    /// is then restored, as by an operator who has a copy.
    fn judge_log(
        &mut self,
        folder: &str,
        found: Result<Opened, OpenError>,
        image: &Image,
        is_damaged: bool,
        injected: u64,
        judged: impl FnOnce(&mut World<'k>, &Opened) -> Result<Found, String>,
    ) -> Result<Probe, String> {
        let told = image.judge(&found).map_err(|why| format!("{folder}: {why}"));
        match found {
            Ok(opened) => {
                let judged = judged(self, &opened)?;
                told?;
                if judged == Found::Whole {
                    return Ok(Probe::Good);
                }
            }
            Err(OpenError::Disk(error)) if error.is_missing() => {
                let nothing = Opened { records: Vec::new(), tip: Digest([0; 32]), torn: None };
                judged(self, &nothing)?;
                return Ok(Probe::Good);
            }
            Err(OpenError::Disk(_)) if self.is_excused(injected) => return Ok(Probe::Again),
            Err(error) if !is_damaged => return Err(format!("{folder}: {}", rtt_seal::in_full(&error))),
            Err(_) => {
                let before = self.device.with(|medium| medium.contents(folder));
                let opened = Wal::open(self.device.handle(), &self.options(folder), None);
                told?;
                if opened.is_ok() && !self.is_excused(injected) {
                    return Err(format!("{folder}: refused when read, and not when opened"));
                }
                self.check_unchanged(folder, &before)?;
            }
        }
        self.detected += 1;
        self.device.with(|medium| medium.restore(folder));
        Ok(Probe::Restored)
    }

    fn open_objects(&mut self, draw: &mut SplitMix64) -> Result<bool, String> {
        let injected = self.injected();
        let opened = [self.device.handle(), self.device.handle()].map(Cas::open);
        let [writers, collector] = opened;
        match (writers, collector) {
            (Ok(writers), Ok(collector)) => (self.writers, self.collector) = (Some(writers), Some(collector)),
            _ if self.is_excused(injected) => return Ok(false),
            (Err(error), _) | (_, Err(error)) => return Err(format!("objects: {}", rtt_seal::in_full(&error))),
        }
        self.check_leases(draw)
    }

    /// Rewrites a record of the feed together with its digest, or takes the last ones of the reconciler's log away.
    fn forge(&mut self, draw: &mut SplitMix64) {
        let records = self.feed_ledger.acknowledged();
        if draw.below(3) == 0 {
            self.rewrite(LOG, |segments| forge::cut_off(segments, draw), Some(Strike::Forged));
        } else {
            self.rewrite(FEED, |segments| forge::forge(segments, records, draw), Some(Strike::Forged));
        }
    }

    /// Plays a scan without one of its checks.
    fn heal_feed(&mut self, lacks: Lacks) {
        let origin = self.keys.id.0.0;
        self.rewrite(FEED, |segments| forge::heal(segments, &origin, lacks).is_some(), None);
    }

    fn rewrite(&mut self, folder: &str, rewrite: impl FnOnce(&mut [Vec<u8>]) -> bool, strike: Option<Strike>) {
        let found = self.device.with(|medium| medium.contents(folder));
        let found: Vec<_> = found.into_iter().filter(|(name, _)| name.ends_with(".seg")).collect();
        let mut segments: Vec<Vec<u8>> = found.iter().map(|(_, bytes)| bytes.clone()).collect();
        if segments.iter().any(|bytes| bytes.len() < 4096) || !rewrite(&mut segments) {
            return;
        }
        let mut changed = false;
        for ((name, before), after) in found.iter().zip(&segments) {
            if before != after {
                changed |= self.device.with(|medium| medium.overwrite(&format!("{folder}/{name}"), after));
            }
        }
        if let (true, Some(strike)) = (changed, strike) {
            self.device.with(|medium| medium.strikes.add(strike));
        }
    }
}

/// What reading a log came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// All that must be there is there.
    Good,
    /// It was damaged, that was noticed, and it is as it was meant to be again.
    Restored,
    /// A fault struck.
    Again,
}
