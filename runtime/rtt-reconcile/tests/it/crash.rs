//! A crash at every request of the disk: what runs is the base or the target, whole, and the log can be gone on with.

use crate::host::{Host, NOW, World, profile, put, records, ring};
use rtt_reconcile::{Ended, Log, Reconciler, Told};
use rtt_seal::Digest;
use rtt_store::{Answer, Cause, Disk, DiskError, FileDisk, Request, Token};
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Fails for good after so many requests that change something: as a disk that is pulled out.
pub struct Pulled {
    disk: FileDisk,
    left: Rc<Cell<u64>>,
    /// Whether the first request that fails was carried out all the same: what a failed sync does not tell.
    carries_out: bool,
    failed: VecDeque<(Token, DiskError)>,
    next: u64,
}

impl Pulled {
    /// `disk` until `left` requests that change something are used up.
    pub fn new(disk: FileDisk, left: Rc<Cell<u64>>, carries_out: bool) -> Pulled {
        Pulled { disk, left, carries_out, failed: VecDeque::new(), next: 0 }
    }
}

const FAILED: u64 = 1 << 63;

fn changes(request: &Request) -> bool {
    use Request::{Create, CreateDirectory, Remove, Rename, SetLength, Sync, SyncAll, SyncDirectory, Write, WriteSync};
    matches!(
        request,
        Create { .. }
            | CreateDirectory { .. }
            | Remove { .. }
            | Rename { .. }
            | SetLength { .. }
            | Sync { .. }
            | SyncAll
            | SyncDirectory { .. }
            | Write { .. }
            | WriteSync { .. }
    )
}

impl Disk for Pulled {
    fn submit(&mut self, request: Request) -> Token {
        if !changes(&request) || self.left.get() > 0 {
            self.left.set(self.left.get() - u64::from(changes(&request)));
            return self.disk.submit(request);
        }
        if std::mem::take(&mut self.carries_out) {
            let token = self.disk.submit(request);
            self.disk.wait(token).expect("the disk below is well");
        }
        self.next += 1;
        let token = Token(FAILED | self.next);
        let error = DiskError { operation: "write", path: "pulled".into(), cause: Cause::INPUT_OUTPUT };
        self.failed.push_back((token, error));
        token
    }

    fn complete(&mut self) -> Option<(Token, Result<Answer, DiskError>)> {
        let failed = self.failed.pop_front().map(|(token, error)| (token, Err(error)));
        failed.or_else(|| self.disk.complete())
    }

    fn wait(&mut self, token: Token) -> Result<Answer, DiskError> {
        match self.failed.iter().position(|(other, _)| *other == token) {
            Some(at) => Err(self.failed.remove(at).expect("it was found").1),
            None => self.disk.wait(token),
        }
    }
}

/// Where a crash strikes: at a request of the disk, or at a call of a participant, which does its part first or not.
#[derive(Clone, Copy, Debug)]
enum Strike {
    Request(u64),
    /// The request is carried out, and told as failed.
    Untold(u64),
    Call(usize),
}

/// Applies one plan until `strike`, opens the log again, and says how the transaction ended then; `None` once the
/// strike comes too late.
fn struck(strike: Strike) -> Option<Option<Ended>> {
    let (host, world) = (Host::new(), World::default());
    drop(host.open(&world)); // Genesis is there: its own crashes are below.
    let base = world.runs();
    let ops = vec![put("a", Digest::of(b"1"), None), ring("r"), profile(Digest::of(b"p"))];
    let target = base.after(&ops).expect("an effect");
    let left = Rc::new(Cell::new(u64::MAX));
    let carries_out = matches!(strike, Strike::Untold(_));
    let disk = Pulled::new(host.disk(), Rc::clone(&left), carries_out);
    let (mut reconciler, _) = Reconciler::open(host.log(disk), world.participants(), &host.planners()).expect("opens");
    match strike {
        Strike::Request(allowed) | Strike::Untold(allowed) => left.set(allowed),
        Strike::Call(at) => {
            let calls = world.0.borrow().calls.len();
            world.0.borrow_mut().stopping = Some((calls + at, left));
        }
    }
    let applied = reconciler.apply(host.plan(&base, 0, 1, ops), &host.keys, &host.terms, NOW);
    drop(reconciler);
    world.0.borrow_mut().stopping = None;
    let (reconciler, ended) = host.open(&world);
    let runs = world.runs();
    assert!(runs == base || runs == target, "{strike:?}: something between runs");
    assert_eq!(reconciler.log().told().held, runs, "{strike:?}: the log says another thing");
    assert_eq!((reconciler.log().duty(), world.leftovers() > 0 && runs == base), (None, false), "{strike:?}");
    drop(reconciler);
    let told = Told::of(&records(&host)).expect("the spec agrees");
    assert_eq!(told.held, runs, "{strike:?}: REC-13: opening it once more changes nothing");
    if applied.is_ok() {
        assert_eq!(runs, target);
        return None;
    }
    Some(ended)
}

/// REC-3, REC-7: the log decides; before the commit point the base runs, behind it the target.
#[test]
fn rec_7_a_crash_anywhere_ends_in_the_base_or_the_target() {
    let every: [fn(u64) -> Strike; 3] = [Strike::Request, Strike::Untold, |at| Strike::Call(at as usize)];
    for (kind, least) in every.into_iter().zip([4, 4, 14]) {
        let (mut untouched, mut aborted, mut verified) = (0, 0, 0);
        let strikes = (0..).map(kind).map_while(struck).inspect(|ended| match ended {
            None => untouched += 1,
            Some(Ended::Aborted { .. }) => aborted += 1,
            Some(Ended::Verified { .. }) => verified += 1,
            Some(other) => panic!("{other:?}"),
        });
        let count = strikes.count();
        let words = format!("{count} strikes: {untouched} before, {aborted} aborted, {verified} verified");
        assert!(count >= least && aborted >= 1 && verified >= 1, "{words}");
    }
}

/// The first record of a log: whole or not there.
#[test]
fn a_crash_in_the_genesis_leaves_a_log_that_opens() {
    for allowed in 0..40 {
        let (host, world) = (Host::new(), World::default());
        let left = Rc::new(Cell::new(allowed));
        let disk = Pulled { disk: host.disk(), left, carries_out: false, failed: VecDeque::new(), next: 0 };
        if let Ok((log, _)) = Log::open(disk, &host.options(), &host.key, host.witness()) {
            let _ = Reconciler::open(log, world.participants(), &host.planners()); // Where it is pulled out is what differs.
        }
        let (reconciler, _) = host.open(&world);
        assert!(reconciler.log().told().state.host().is_some(), "after {allowed} requests");
    }
}
