//! Collection: removes what nothing names, in two passes.
//!
//! A pass condemns each object that nothing names by a note with the time; a later pass, when the grace period is over,
//! removes what still has its note and still has no name. A writer that finds an object takes its note back before it
//! looks, so an object is removed before a writer looks, and put anew, or not at all.
//!
//! CAS-5  Only what an earlier pass condemned, at least the grace period ago, is removed, and only while its note stands.
//! CAS-6  The notes are listed first, the leases next, pins and roots last: a name that moves from a lease to a record
//!        is seen in one of them.
//! CAS-12 While a lease that has not ended is damaged, no object is condemned or removed: what it names is unknown.
//!
//! One pass at a time. When roots or what they refer to cannot be read, nothing is removed.
//! Removals are not synced: an object that a power cut brings back is condemned again. Time is the caller's.

use super::Cas;
use super::archive::References;
use super::layout::{Place, QUARANTINE, Stored, TEMPORARY, lease_of_temporary, lease_path, note_path};
use super::lease::LeaseStatus;
use super::read::ReadError;
use crate::disk::{Disk, DiskError, Request};
use rtt_seal::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// Objects that are removed before writers get their turn.
const REMOVALS_AT_ONCE: usize = 64;

/// Why a collection removed nothing.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The caller could not tell the roots.
    #[error("roots cannot be listed")]
    Roots(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An object on the way from a root cannot be read, so what it refers to is unknown.
    #[error("object {digest}: what it refers to is unknown")]
    References {
        /// The object.
        digest: Digest,
        /// Why.
        source: ReadError,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What a collection did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Objects that were there.
    pub objects: usize,
    /// Objects that something names; 0 where a damaged lease kept the pass from asking.
    pub live: usize,
    /// Objects that were condemned by this pass.
    pub condemned: usize,
    /// Objects that were removed, sorted.
    pub removed: Vec<Digest>,
    /// Leases that had ended and were removed.
    pub leases: Vec<String>,
    /// Leases that were found damaged. Those that are not among the removed ones kept every object: each goes when it has
    /// ended, by an entry after the damage, or when who takes it gives it back.
    pub damaged_leases: Vec<LeaseStatus>,
    /// Temporary files whose lease is gone, and trees whose object is.
    pub leftovers: usize,
    /// Another collection runs, or a writer is where nothing may be removed: what is missing comes with a later pass.
    pub busy: bool,
}

/// Tells what the log names, when it is called.
pub type Roots<'a, D> = &'a mut dyn FnMut(&mut Cas<D>) -> Result<Vec<Digest>, Box<dyn std::error::Error + Send + Sync>>;

/// What a pass has seen, in the order in which it looked.
struct Seen {
    condemned: BTreeMap<Digest, Option<u64>>,
    objects: BTreeSet<Digest>,
    trees: BTreeSet<Digest>,
    temporaries: Vec<String>,
}

/// What a pass is to do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    condemn: Vec<Digest>,
    forget: Vec<Digest>,
    remove: Vec<Digest>,
}

/// CAS-5: decides by the notes that stood before anything was asked for its names.
fn plan(
    condemned: &BTreeMap<Digest, Option<u64>>,
    objects: &BTreeSet<Digest>,
    live: &BTreeSet<Digest>,
    now_unix_s: u64,
    grace_s: u64,
) -> Plan {
    let (mut condemn, mut remove) = (Vec::new(), Vec::new());
    for digest in objects.difference(live) {
        match condemned.get(digest) {
            // A clock that went back makes an object young, never old.
            Some(Some(since)) if now_unix_s >= since.saturating_add(grace_s) => remove.push(*digest),
            Some(Some(since)) if *since <= now_unix_s => {}
            _ => condemn.push(*digest),
        }
    }
    let stale = |digest: &&Digest| live.contains(digest) || !objects.contains(digest);
    Plan { condemn, forget: condemned.keys().filter(stale).copied().collect(), remove }
}

impl<D: Disk> Cas<D> {
    /// One pass. `roots` tells what the log names, and is called after the leases were listed; `references` lists what
    /// an object refers to.
    ///
    /// # Errors
    /// [`CollectError`].
    pub fn collect(
        &mut self,
        now_unix_s: u64,
        grace_s: u64,
        roots: Roots<'_, D>,
        references: References<'_>,
    ) -> Result<Collected, CollectError> {
        let pass = self.holding(self.collector, |cas| cas.pass(now_unix_s, grace_s, roots, references))?;
        Ok(pass.unwrap_or(Collected { busy: true, ..Collected::default() }))
    }

    fn pass(
        &mut self,
        now_unix_s: u64,
        grace_s: u64,
        roots: Roots<'_, D>,
        references: References<'_>,
    ) -> Result<Collected, CollectError> {
        let seen = self.look()?;
        let mut collected = Collected { objects: seen.objects.len(), ..Collected::default() };
        let Some(leases) = self.leases()? else {
            return Ok(Collected { busy: true, ..collected });
        };
        collected.damaged_leases.extend(leases.iter().filter(|lease| lease.damaged > 0).cloned());
        let (ended, alive): (Vec<_>, Vec<_>) = leases.into_iter().partition(|lease| lease.has_ended(now_unix_s));
        // CAS-12
        let plan = if alive.iter().any(|lease| lease.damaged > 0) {
            Plan::default()
        } else {
            let live = self.live(&alive, roots, references)?;
            collected.live = seen.objects.intersection(&live).count();
            plan(&seen.condemned, &seen.objects, &live, now_unix_s, grace_s)
        };
        for digest in &plan.forget {
            self.remove(&note_path(digest))?;
        }
        for digest in &plan.condemn {
            self.condemn(digest, now_unix_s)?;
        }
        collected.condemned = plan.condemn.len();
        collected.busy = self.remove_condemned(&plan.remove, &mut collected.removed)?.is_none()
            || self.remove_leftovers(&seen, &ended, now_unix_s, &mut collected)?.is_none();
        Ok(collected)
    }

    /// CAS-6: what is there and what is condemned, before leases, pins and roots are listed.
    fn look(&mut self) -> Result<Seen, DiskError> {
        let condemned = self.condemned()?;
        let names = self.disk.run(Request::List { path: TEMPORARY.into() })?.names();
        let (mut objects, mut trees) = (BTreeSet::new(), BTreeSet::new());
        for each in self.stored()? {
            match each {
                Stored::Object(digest) => objects.insert(digest),
                Stored::Tree(digest) => trees.insert(digest),
            };
        }
        Ok(Seen { condemned, objects, trees, temporaries: names.into_iter().map(|entry| entry.name).collect() })
    }

    /// What something names: leases, then pins, then roots, and what these refer to.
    fn live(
        &mut self,
        leases: &[LeaseStatus],
        roots: Roots<'_, D>,
        references: References<'_>,
    ) -> Result<BTreeSet<Digest>, CollectError> {
        let leased: BTreeSet<Digest> = leases.iter().flat_map(|lease| &lease.digests).copied().collect();
        let pinned = self.pins()?.into_iter().map(|(_, digest)| digest);
        let rooted = roots(self).map_err(CollectError::Roots)?;
        let mut live = BTreeSet::new();
        let mut next: Vec<Digest> = pinned.chain(rooted).chain(leased.iter().copied()).collect();
        while let Some(digest) = next.pop() {
            if !live.insert(digest) {
                continue;
            }
            match references(self, &digest) {
                Ok(more) => next.extend(more),
                // Its writer has named it and is still writing; what it refers to has been named before.
                Err(ReadError::Missing { digest: missing }) if missing == digest && leased.contains(&digest) => {}
                Err(source) => return Err(CollectError::References { digest, source }),
            }
        }
        Ok(live)
    }

    /// `None` when a writer is in a section of its own: the rest stays.
    fn remove_condemned(&mut self, digests: &[Digest], removed: &mut Vec<Digest>) -> Result<Option<()>, DiskError> {
        for batch in digests.chunks(REMOVALS_AT_ONCE) {
            let done = self.alone(|cas| {
                for digest in batch {
                    // CAS-5: a note that is gone was taken back by a writer that names the object.
                    if cas.remove(&note_path(digest))? {
                        let place = Place::of(digest);
                        cas.remove(&place.object)?;
                        cas.remove(&place.tree)?;
                        removed.push(*digest);
                    }
                }
                Ok::<_, DiskError>(())
            })?;
            if done.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// Removes leases that have ended, what their writers left, and trees without an object.
    fn remove_leftovers(
        &mut self,
        seen: &Seen,
        ended: &[LeaseStatus],
        now_unix_s: u64,
        collected: &mut Collected,
    ) -> Result<Option<()>, DiskError> {
        self.alone(|cas| {
            for lease in ended {
                // It may have been taken again since it was listed.
                if cas.lease_alone(&lease.name)?.is_some_and(|lease| lease.has_ended(now_unix_s)) {
                    cas.remove(&lease_path(&lease.name))?;
                    collected.leases.push(lease.name.clone());
                }
            }
            for name in &seen.temporaries {
                let lease = lease_of_temporary(name).map(lease_path);
                if lease.map_or(Ok(false), |path| cas.exists(&path))? {
                    continue;
                }
                collected.leftovers += usize::from(cas.remove(&format!("{TEMPORARY}/{name}"))?);
            }
            for digest in seen.trees.difference(&seen.objects) {
                let place = Place::of(digest);
                if !cas.exists(&place.object)? {
                    collected.leftovers += usize::from(cas.remove(&place.tree)?);
                }
            }
            Ok(())
        })
    }

    /// What scrubs moved aside, by its name in `cas/quarantine`.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn quarantined(&mut self) -> Result<Vec<String>, DiskError> {
        let names = self.disk.run(Request::List { path: QUARANTINE.into() })?.names();
        Ok(names.into_iter().map(|entry| entry.name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(bytes: &[u8]) -> BTreeSet<Digest> {
        bytes.iter().map(|byte| Digest([*byte; 32])).collect()
    }

    fn check(condemned: &[(u8, Option<u64>)], objects: &[u8], live: &[u8], expected: [&[u8]; 3]) {
        let notes = condemned.iter().map(|(byte, since)| (Digest([*byte; 32]), *since)).collect();
        let plan = plan(&notes, &digests(objects), &digests(live), 100, 10);
        let got = [plan.condemn, plan.forget, plan.remove].map(|list| list.iter().map(|d| d.0[0]).collect::<Vec<_>>());
        assert_eq!(got, expected, "{condemned:?} {objects:?} {live:?}");
    }

    /// CAS-5
    #[test]
    fn cas_5_only_what_was_condemned_long_enough_is_removed() {
        check(&[], &[1, 2, 3], &[2], [&[1, 3], &[], &[]]);
        check(&[(1, Some(90)), (2, Some(91)), (3, None)], &[1, 2, 3], &[], [&[3], &[], &[1]]);
        check(&[(1, Some(0)), (2, Some(0))], &[1], &[1], [&[], &[1, 2], &[]]);
        check(&[(1, Some(101)), (2, Some(u64::MAX))], &[1, 2], &[], [&[1, 2], &[], &[]]);
        check(&[(1, Some(100))], &[1], &[], [&[], &[], &[]]);
    }
}
