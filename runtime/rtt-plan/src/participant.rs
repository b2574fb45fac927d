//! What carries a part of a plan out: files, rings, the profile in force; later views and connectors.
//!
//! PLAN-5  What a participant says its state will be is what the ops say: the one pure function of [`Inventory`].
//!
//! A participant keeps what it needs for `commit`, `abort` and `undo` where a crash does not reach it, under the plan's
//! id; which of them is called after a crash, the log alone says. Each of the five may be called again after it has
//! succeeded, and then changes nothing.

use crate::op::Op;
use crate::plan::PlanId;
use crate::state::{ConflictError, EffectError, HostState, Inventory};
use rtt_seal::Digest;
use rtt_seal::strict_json::JsonError;

/// Why a participant did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ParticipantError {
    /// An op cannot be carried out on the state that there is.
    #[error(transparent)]
    Conflict(#[from] ConflictError),
    /// A state is not canonical.
    #[error("participant {participant}: the state is malformed")]
    State {
        /// The participant.
        participant: String,
        /// Why.
        source: Box<JsonError>,
    },
    /// The object that an op names is not in the store.
    #[error("participant {participant}: object {object} for {item} is not in the store: rtt store put FILE")]
    Missing {
        /// The participant.
        participant: String,
        /// The item.
        item: String,
        /// The object.
        object: Digest,
    },
    /// Nothing was prepared under this plan.
    #[error("participant {participant}: plan {plan} was not prepared")]
    NotPrepared {
        /// The participant.
        participant: String,
        /// The plan.
        plan: PlanId,
    },
    /// The host said no.
    #[error("participant {participant}: cannot {what}")]
    Host {
        /// The participant.
        participant: String,
        /// What was tried, and on what.
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// One part of the host's state, changed in two phases.
pub trait Participant {
    /// Name in state roots, in the log and in messages: one of [`Op::PARTICIPANTS`].
    fn name(&self) -> &str;

    /// The canonical state ([`Inventory::to_canonical`]), read back from where it takes effect and not from a record.
    ///
    /// # Errors
    /// [`ParticipantError`] where the state cannot be told. It is never answered as empty then.
    fn scan(&mut self) -> Result<Vec<u8>, ParticipantError>;

    /// The canonical state that `state` becomes by `ops`, which are this participant's: pure, no effect.
    ///
    /// # Errors
    /// [`ParticipantError::Conflict`] where a pre-condition does not hold.
    fn apply_to(&self, state: &[u8], ops: &[Op]) -> Result<Vec<u8>, ParticipantError> {
        let malformed =
            |source| ParticipantError::State { participant: self.name().to_owned(), source: Box::new(source) };
        let inventory = Inventory::from_canonical(state).map_err(malformed)?;
        let mut host = HostState::default();
        host.participants.insert(self.name().to_owned(), inventory);
        match host.after(ops) {
            Ok(mut after) => {
                let inventory = after.participants.remove(self.name());
                Ok(inventory.expect("PLAN-5: ops never remove a participant").to_canonical())
            }
            Err(EffectError::Op { source, .. }) => Err(source.into()),
            Err(EffectError::Target { .. }) => unreachable!("`after` compares no root"),
        }
    }

    /// Readies `ops` so that `commit` cannot fail for want of an object, room or leave. The running state is untouched.
    ///
    /// # Errors
    /// [`ParticipantError`]; what was readied is then as `abort` leaves it, or will be once `abort` was called.
    fn prepare(&mut self, plan: PlanId, ops: &[Op]) -> Result<(), ParticipantError>;

    /// Puts what was prepared into effect, durably when this returns.
    ///
    /// # Errors
    /// [`ParticipantError`]; it may be called again, or `undo` be called.
    fn commit(&mut self, plan: PlanId) -> Result<(), ParticipantError>;

    /// Forgets what was prepared. Succeeds where nothing was.
    ///
    /// # Errors
    /// [`ParticipantError`]; it may be called again.
    fn abort(&mut self, plan: PlanId) -> Result<(), ParticipantError>;

    /// Digest of the canonical state, read back from where it takes effect.
    ///
    /// # Errors
    /// [`ParticipantError`] where the state cannot be told.
    fn verify(&mut self, plan: PlanId) -> Result<Digest, ParticipantError> {
        let _ = plan; // The state is the host's, whatever plan made it.
        self.scan().map(|state| Digest::of(&state))
    }

    /// Takes back what `commit` put into effect, whole or in part: the state before `prepare`, durably.
    ///
    /// # Errors
    /// [`ParticipantError`]; it may be called again.
    fn undo(&mut self, plan: PlanId) -> Result<(), ParticipantError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{Before, FileMode};
    use crate::state::Item;

    /// Holds files in memory.
    struct Shelf(Inventory);

    impl Participant for Shelf {
        fn name(&self) -> &str {
            Op::FILES
        }

        fn scan(&mut self) -> Result<Vec<u8>, ParticipantError> {
            Ok(self.0.to_canonical())
        }

        fn prepare(&mut self, _: PlanId, _: &[Op]) -> Result<(), ParticipantError> {
            Ok(())
        }

        fn commit(&mut self, _: PlanId) -> Result<(), ParticipantError> {
            Ok(())
        }

        fn abort(&mut self, _: PlanId) -> Result<(), ParticipantError> {
            Ok(())
        }

        fn undo(&mut self, _: PlanId) -> Result<(), ParticipantError> {
            Ok(())
        }
    }

    /// PLAN-5
    #[test]
    fn what_the_state_will_be_is_what_the_ops_say() {
        let mode = FileMode::new(0o644).expect("a mode");
        let put = |before| Op::FilePut { path: "a".parse().expect("a path"), object: Digest::of(b"1"), mode, before };
        let mut shelf = Shelf(Inventory::default());
        let empty = shelf.scan().expect("a state");
        let state = shelf.apply_to(&empty, &[put(Before::Absent)]).expect("applies");
        let item = Item { object: Digest::of(b"1"), mode: Some(mode) };
        assert_eq!(state, Inventory { items: [("a".to_owned(), item)].into() }.to_canonical());
        assert_eq!(shelf.scan().expect("a state"), empty, "nothing took effect");
        let again = shelf.apply_to(&state, &[put(Before::Absent)]).expect_err("stands there").to_string();
        assert!(again.contains("files a: ") && again.contains("the plan expects nothing"), "{again}");
        let ring = Op::RingRemove { name: "r".parse().expect("a name"), before: Digest::of(b"1") };
        assert!(
            shelf.apply_to(&empty, &[ring]).expect_err("not its op").to_string().contains("no participant `rings`")
        );
        assert!(matches!(shelf.apply_to(b"{ }", &[]), Err(ParticipantError::State { .. })));
        let plan = PlanId(Digest::of(b"plan"));
        assert_eq!(shelf.verify(plan).expect("a digest"), Digest::of(&empty));
    }
}
