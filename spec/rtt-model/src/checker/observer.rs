//! Somebody who sees everything and keeps books of his own.
//!
//! He knows the documents, what participants do, and each record at the moment in which it becomes durable. He never asks
//! `next_state` whether something was right.

use super::documents::{Content, DRIFT, HOST, KEYS, PARTICIPANTS, PLANS, document, root};
use crate::{Action, Begin, Kind, PlanId, Root};

/// The books. A breach stays.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Observer {
    breaches: u16,
    attempts: [u8; PLANS],
    highest: [u64; KEYS],
    root: Root,
    previous: Option<Root>,
    in_force: Option<PlanId>,
    open: Option<PlanId>,
    is_committed: bool,
    is_unsealed: bool,
    is_counted: bool,
    is_drifted: bool,
    generation: u64,
    acknowledged: u64,
    now_unix_s: u64,
    trust_version: u64,
    build: u64,
}

impl Observer {
    /// The books of a host that has done nothing yet.
    pub fn new(root: Root) -> Observer {
        Observer {
            breaches: 0,
            attempts: [0; PLANS],
            highest: [0; KEYS],
            root,
            previous: None,
            in_force: None,
            open: None,
            is_committed: false,
            is_unsealed: false,
            is_counted: true,
            is_drifted: false,
            generation: 0,
            acknowledged: 0,
            now_unix_s: 0,
            trust_version: 0,
            build: 0,
        }
    }

    /// Notes that an invariant, `REC-n`, was broken unless `holds`.
    pub fn expect(&mut self, id: &str, holds: bool) {
        if !holds {
            let number: u16 = id.trim_start_matches("REC-").parse().expect("an id of the page");
            self.breaches |= 1 << number;
        }
    }

    /// True when this invariant was never seen broken.
    pub fn is_kept(&self, number: u16) -> bool {
        self.breaches >> number & 1 == 0
    }

    /// Attempts of all plans.
    pub fn attempts(&self) -> u8 {
        self.attempts.iter().sum()
    }

    /// The generation by the books.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The latest generation that an operator was told of.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// True when somebody changed what runs behind the reconciler's back.
    pub fn is_drifted(&self) -> bool {
        self.is_drifted
    }

    /// A Begin is on its way to the log.
    pub fn sees_begin(&mut self) {
        self.is_counted = false;
    }

    /// Somebody changes what runs.
    pub fn sees_drift(&mut self) {
        self.is_drifted = true;
    }

    /// The operator is told of a generation.
    pub fn sees_answer(&mut self, generation: u64) {
        self.acknowledged = generation;
    }

    /// A participant prepares: the attempt counts, durable or not.
    pub fn sees_prepare(&mut self, begin: &Begin, before: [Content; PARTICIPANTS], after: [Content; PARTICIPANTS]) {
        self.attempt(begin, before);
        self.expect("REC-7", before == after);
    }

    /// A participant commits.
    pub fn sees_commit(&mut self, is_durable: bool, is_prepared: bool) {
        self.expect("REC-7", is_durable);
        self.expect("REC-2", is_prepared);
    }

    /// A plan's first effect, which may be that its Begin is durable.
    fn attempt(&mut self, begin: &Begin, running: [Content; PARTICIPANTS]) {
        if std::mem::replace(&mut self.is_counted, true) {
            return;
        }
        self.expect("REC-1", document(begin.plan).is_signed && begin.audience == HOST);
        let (plan, key) = (usize::from(begin.plan.0[0]), usize::from(begin.key.0[0]));
        self.attempts[plan] += 1;
        self.expect("REC-4", self.attempts[plan] == 1);
        self.expect("REC-5", begin.sequence > self.highest[key]);
        self.highest[key] = begin.sequence;
        self.expect("REC-6", begin.base_generation == self.generation && begin.base_root == root(running));
        self.expect("REC-10", begin.kind == Kind::Apply || self.previous == Some(begin.target_root));
        self.expect("REC-11", begin.now_unix_s >= self.now_unix_s);
        self.expect("REC-11", (begin.not_before_unix_s..begin.expires_unix_s).contains(&begin.now_unix_s));
        self.expect("REC-12", begin.trust_version >= self.trust_version && begin.build >= self.build);
        self.now_unix_s = begin.now_unix_s;
        self.trust_version = begin.trust_version;
        self.build = begin.build;
    }

    /// A record became durable.
    pub fn sees_durable(&mut self, action: &Action, running: [Content; PARTICIPANTS]) {
        match *action {
            Action::Begin(ref begin) => {
                self.attempt(begin, running);
                self.expect("REC-3", self.open.is_none() && !self.is_unsealed);
                self.open = Some(begin.plan);
                self.is_committed = false;
            }
            Action::Commit { .. } => self.is_committed = true,
            Action::Verified { plan, .. } => {
                self.previous = Some(self.root);
                self.in_force = Some(plan);
                self.root = root([document(plan).content; PARTICIPANTS]);
                self.generation += 1;
                self.acknowledged = self.generation;
                self.close();
            }
            Action::Abort { .. } => {
                self.expect("REC-7", !self.is_committed);
                self.close();
            }
            Action::RolledBack { .. } => {
                self.generation += 2;
                self.close();
            }
            Action::Grant { plan, .. } => self.expect("REC-1", self.in_force == Some(plan)),
            Action::Checkpoint { .. } => self.is_unsealed = false,
            _ => {}
        }
    }

    /// What is said to have been read back is what runs.
    pub fn sees_end(&mut self, action: &Action, running: [Content; PARTICIPANTS]) {
        match *action {
            Action::Verified { plan, .. } => {
                self.expect("REC-9", running == [document(plan).content; PARTICIPANTS]);
            }
            Action::RolledBack { .. } => self.expect("REC-10", root(running) == self.root),
            _ => {}
        }
    }

    /// What was written behind the reconciler's back stands.
    pub fn keeps_drift(&self, running: [Content; PARTICIPANTS]) -> bool {
        !self.is_drifted || running[0] == DRIFT
    }

    fn close(&mut self) {
        self.open = None;
        self.is_unsealed = true;
    }
}
