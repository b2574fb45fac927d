//! A witness in memory: it outlives every crash, and takes nothing from a dead process.

use crate::sim_disk::Device;
use rtt_seal::Sealed;
use rtt_store::wal::{Checkpoint, Witness, WitnessError};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// The last checkpoint.
#[derive(Clone)]
pub struct MemoryWitness {
    last: Rc<RefCell<Option<Sealed<Checkpoint>>>>,
    device: Device,
}

impl MemoryWitness {
    /// One that has seen nothing.
    pub fn new(device: &Device) -> MemoryWitness {
        MemoryWitness { last: Rc::default(), device: device.clone() }
    }
}

impl Witness for MemoryWitness {
    fn remember(&mut self, checkpoint: &Sealed<Checkpoint>) -> Result<(), WitnessError> {
        if self.device.is_dead() {
            let source = io::Error::other("dead");
            return Err(WitnessError::File { path: "memory".into(), doing: "writing", source });
        }
        *self.last.borrow_mut() = Some(checkpoint.clone());
        Ok(())
    }

    fn recall(&mut self) -> Result<Option<Sealed<Checkpoint>>, WitnessError> {
        Ok(self.last.borrow().clone())
    }
}
