//! What was acknowledged, kept outside of the system: the checker's memory.
//!
//! SIM-1  A record, plan or object that was acknowledged is there after any crash, as it was; what is there beyond that was
//!        at least asked for.
//! SIM-2  Damage is answered with an error; only what a write of the last group can have left is cut off a log's end, and
//!        said ([`crate::image`]). What is returned is what was written.
//! SIM-3  Nothing that a lease, a pin or a record names is condemned or removed.
//!
//! A log without a witness cannot tell damage to its last group from a torn write: there, and only there, a damaged log
//! may come back shorter.

use rtt_model::Action;
use rtt_plan::PlanId;
use rtt_reconcile::{Ended, Entry};
use rtt_seal::Digest;
use rtt_store::wal::Record;
use std::collections::{BTreeMap, BTreeSet};

/// What a log that was found holds against what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// All of it.
    Whole,
    /// Less, by damage that a log alone cannot tell from a torn write.
    CutShort,
}

/// A record of the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// Names nothing.
    Plain,
    /// Names an object, which stays from now on.
    Names(Digest),
    /// Names an object no longer.
    Drops(Digest),
}

/// What the writers of the feed pushed, and how much of it was acknowledged.
#[derive(Debug, Default)]
pub struct FeedLedger {
    pushed: Vec<Vec<u8>>,
    acknowledged: usize,
}

impl FeedLedger {
    /// The bytes of the next record, by one writer.
    pub fn payload(&self, writer: u8, note: Note) -> Vec<u8> {
        let mut bytes = vec![writer];
        bytes.extend((self.pushed.len() as u64).to_le_bytes());
        match note {
            Note::Plain => bytes.push(0),
            Note::Names(digest) => bytes.extend([&[1], &digest.0[..]].concat()),
            Note::Drops(digest) => bytes.extend([&[2], &digest.0[..]].concat()),
        }
        bytes
    }

    /// A record was pushed.
    pub fn push(&mut self, sequence: u64, payload: Vec<u8>) -> Result<(), String> {
        if sequence != self.pushed.len() as u64 {
            return Err(format!("feed: record {} was given the number {sequence}", self.pushed.len()));
        }
        self.pushed.push(payload);
        Ok(())
    }

    /// Records were acknowledged.
    pub fn acknowledge(&mut self, records: std::ops::Range<u64>) -> Result<(), String> {
        if records.start != self.acknowledged as u64 || records.end > self.pushed.len() as u64 {
            return Err(format!("feed: {records:?} were acknowledged after {}", self.acknowledged));
        }
        self.acknowledged = records.end as usize;
        Ok(())
    }

    /// Records that were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// SIM-1, SIM-2: what was found after a crash. What is found from now on counts as acknowledged, as the log says.
    pub fn judge(&mut self, found: &[Record], is_damaged: bool) -> Result<Found, String> {
        for (record, pushed) in found.iter().zip(&self.pushed) {
            if record.payload != *pushed {
                return Err(format!("feed: record {} is not what was appended", record.sequence));
            }
        }
        if found.len() > self.pushed.len() {
            return Err(format!("feed: {} records, but {} were pushed", found.len(), self.pushed.len()));
        }
        if found.len() < self.acknowledged {
            let lost = format!("feed: {} records, but {} were acknowledged", found.len(), self.acknowledged);
            return if is_damaged { Ok(Found::CutShort) } else { Err(lost) };
        }
        Ok(Found::Whole)
    }

    /// The log was opened with so many records, and takes the next.
    pub fn opened(&mut self, records: usize) {
        self.pushed.truncate(records);
        self.acknowledged = records;
    }

    /// What the acknowledged records name.
    pub fn roots(&self) -> BTreeSet<Digest> {
        let mut roots = BTreeSet::new();
        for payload in &self.pushed[..self.acknowledged] {
            let (tag, digest) = (payload[9], payload.get(10..42).map(|bytes| Digest(bytes.try_into().expect("32"))));
            match (tag, digest) {
                (1, Some(digest)) => drop(roots.insert(digest)),
                (2, Some(digest)) => drop(roots.remove(&digest)),
                _ => {}
            }
        }
        roots
    }
}

/// How a plan was said to have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It runs.
    Verified,
    /// It never ran.
    Aborted,
    /// It ran, and its base runs again.
    RolledBack,
}

impl End {
    /// The end that a reconciler told.
    pub fn of(ended: &Ended) -> End {
        match ended {
            Ended::Verified { .. } => End::Verified,
            Ended::Aborted { .. } => End::Aborted,
            Ended::RolledBack { .. } => End::RolledBack,
        }
    }
}

/// What is known of the reconciler's log.
#[derive(Debug, Default)]
pub struct PlanLedger {
    records: Vec<Digest>,
    ends: Vec<(PlanId, End)>,
}

impl PlanLedger {
    /// A plan's end was told.
    pub fn ended(&mut self, plan: PlanId, end: End) {
        self.ends.push((plan, end));
    }

    /// SIM-1, SIM-2: what was found; `aborted` are the plans that a participant was told to abort.
    pub fn judge(&self, found: &[Record], aborted: &BTreeSet<PlanId>, is_damaged: bool) -> Result<Found, String> {
        if let Some(at) = found.iter().zip(&self.records).position(|(record, known)| record.digest != *known) {
            return Err(format!("log: record {at} is not what it was"));
        }
        let mut ends: BTreeMap<PlanId, End> = BTreeMap::new();
        for record in found.iter().filter(|record| matches!(record.kind, 4 | 6 | 7 | 9)) {
            let entry = Entry::read(record).map_err(|error| format!("log: {error}"))?;
            let plan = |plan: rtt_model::PlanId| PlanId(Digest(plan.0));
            match entry.action {
                Action::Commit { plan: id, .. } if aborted.contains(&plan(id)) => {
                    return Err(format!("REC-7: plan {} was aborted and is committed", plan(id)));
                }
                Action::Verified { plan: id, .. } => drop(ends.insert(plan(id), End::Verified)),
                Action::Abort { plan: id, .. } => drop(ends.insert(plan(id), End::Aborted)),
                Action::RolledBack { plan: id, .. } => drop(ends.insert(plan(id), End::RolledBack)),
                _ => {}
            }
        }
        let lost = self.ends.iter().find(|(plan, end)| ends.get(plan) != Some(end));
        let lost = match lost {
            Some((plan, end)) => format!("log: plan {plan} was told to be {end:?}, found {:?}", ends.get(plan)),
            None if found.len() < self.records.len() => {
                format!("log: {} records, but {} were durable", found.len(), self.records.len())
            }
            None => return Ok(Found::Whole),
        };
        if is_damaged { Ok(Found::CutShort) } else { Err(lost) }
    }

    /// The log was opened, and what is in it counts.
    pub fn opened(&mut self, records: &[Record]) {
        self.records = records.iter().map(|record| record.digest).collect();
    }
}

/// Transactions that were closed in a log: its Verified, Abort and RolledBack.
pub fn closed(records: &[Record]) -> usize {
    records.iter().filter(|record| matches!(record.kind, 6 | 7 | 9)).count()
}

/// A lease as its holder was told of it.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// When it ends, should its holder have died.
    pub expires_unix_s: u64,
    /// Whether its holder lives.
    pub is_held: bool,
    /// What it names, by puts that were acknowledged.
    pub digests: BTreeSet<Digest>,
    /// Its file lacks what was written to it, without a sign of it.
    pub is_tainted: bool,
}

/// What is known of objects.
#[derive(Debug, Default)]
pub struct ObjectLedger {
    /// Every object that anybody ever put.
    pub known: BTreeMap<Digest, Vec<u8>>,
    /// Leases.
    pub leases: BTreeMap<String, Claim>,
    /// Pins that were acknowledged.
    pub pins: BTreeSet<Digest>,
    /// Objects that were found damaged and moved aside, until they are put again.
    pub tainted: BTreeSet<Digest>,
    /// Objects that a lease named by an entry that was lost: a collection may have taken them before a record named them.
    pub unsure: BTreeSet<Digest>,
}

impl ObjectLedger {
    /// SIM-3: what must be there, beside what records name.
    pub fn claimed(&self, now_unix_s: u64) -> BTreeSet<Digest> {
        let holds = |claim: &&Claim| !claim.is_tainted && (claim.is_held || claim.expires_unix_s > now_unix_s);
        let leased = self.leases.values().filter(holds).flat_map(|claim| &claim.digests);
        leased.chain(&self.pins).copied().collect()
    }

    /// Each lease with each object that it names.
    pub fn entries(&self) -> BTreeSet<(String, Digest)> {
        let each = |(name, claim): (&String, &Claim)| {
            claim.digests.iter().map(|digest| (name.clone(), *digest)).collect::<Vec<_>>()
        };
        self.leases.iter().flat_map(each).collect()
    }

    /// Forgets leases that have ended, for good: a clock that goes back does not bring them back.
    pub fn expire(&mut self, now_unix_s: u64) {
        self.leases.retain(|_, claim| claim.is_held || claim.expires_unix_s > now_unix_s);
    }

    /// The process ended, and with it the holders of leases.
    pub fn crashed(&mut self) {
        self.leases.values_mut().for_each(|claim| claim.is_held = false);
    }
}
