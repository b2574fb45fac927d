//! A process's disk under which others go on: before each request somebody is asked who acts first.

use crate::sim_disk::SimDisk;
use rtt_store::{Answer, Disk, DiskError, Request, Token};

/// The disk, and what happens before each of its requests.
pub struct Stepping<'a> {
    disk: SimDisk,
    before: &'a dyn Fn(&Request),
}

impl<'a> Stepping<'a> {
    /// A disk before whose requests `before` is called.
    pub fn new(disk: SimDisk, before: &'a dyn Fn(&Request)) -> Stepping<'a> {
        Stepping { disk, before }
    }
}

impl Disk for Stepping<'_> {
    fn submit(&mut self, request: Request) -> Token {
        (self.before)(&request);
        self.disk.submit(request)
    }

    fn complete(&mut self) -> Option<(Token, Result<Answer, DiskError>)> {
        self.disk.complete()
    }

    fn wait(&mut self, token: Token) -> Result<Answer, DiskError> {
        self.disk.wait(token)
    }
}
