//! Three writers of one log, each a step at a time, and the group commit between them.

use crate::ledger::Note;
use crate::world::{Appender, World};
use rtt_store::wal::{AppendError, Room};
use rtt_units::SplitMix64;

/// Kind of the feed's records.
const KIND: u8 = 1;

impl World<'_> {
    /// A writer's next step.
    pub(crate) fn append(&mut self, writer: u8, draw: &mut SplitMix64) -> Result<(), String> {
        let at = usize::from(writer);
        let lease = format!("appender-{writer}");
        match self.appenders[at] {
            Appender::Idle if draw.below(3) == 0 => {
                let bytes = self.object(draw);
                if let Some(digests) = self.put(&lease, &[bytes], draw)? {
                    self.appenders[at] = Appender::Put(digests[0]);
                }
                Ok(())
            }
            Appender::Idle => {
                let roots = self.feed_ledger.roots();
                let dropped = roots.iter().nth(draw.below(6) as usize).copied();
                let note = dropped.map_or(Note::Plain, Note::Drops);
                self.push(writer, note)
            }
            Appender::Put(digest) => self.push(writer, Note::Names(digest)),
            Appender::Pushed(sequence) if sequence < self.feed_ledger.acknowledged() as u64 => {
                // What it put is named by a durable record now.
                self.appenders[at] = Appender::Idle;
                self.release(&lease)
            }
            Appender::Pushed(_) => Ok(()),
        }
    }

    fn push(&mut self, writer: u8, note: Note) -> Result<(), String> {
        let payload = self.feed_ledger.payload(writer, note);
        let Some(feed) = &mut self.feed else { return Ok(()) };
        match feed.push(KIND, &payload, Room::Ordinary) {
            Ok(sequence) => {
                self.appenders[usize::from(writer)] = Appender::Pushed(sequence);
                self.feed_ledger.push(sequence, payload)
            }
            Err(error) => self.feed_failed(error),
        }
    }

    /// Begins to write a group.
    pub(crate) fn start_group(&mut self) -> Result<(), String> {
        let Some(feed) = &mut self.feed else { return Ok(()) };
        match feed.start() {
            Ok(_) => Ok(()),
            Err(error) => self.feed_failed(error),
        }
    }

    /// Hears of the group that is in flight.
    pub(crate) fn finish_group(&mut self) -> Result<(), String> {
        let Some(feed) = &mut self.feed else { return Ok(()) };
        match feed.finish() {
            Ok(Some(records)) => self.feed_ledger.acknowledge(records),
            Ok(None) => Ok(()),
            Err(error) => self.feed_failed(error),
        }
    }

    /// The failure may be one that struck when the group was written, and is told only now.
    fn feed_failed(&mut self, error: AppendError) -> Result<(), String> {
        if !self.is_excused(self.started_injected) {
            return Err(format!("feed: no fault struck, and {}", rtt_seal::in_full(&error)));
        }
        // A full disk is no reason to stop; a poisoned log is opened again.
        self.must_restart |= !matches!(error, AppendError::NoSpace { .. });
        Ok(())
    }
}
