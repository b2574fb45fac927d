//! Objects against what their disk can do: put against files written, renamed and synced once; get against reading and
//! hashing, each alone.

use crate::race::{Contestant, Course, PeerLoad, Peers, median, race};
use crate::ratio::Row;
use crate::{Size, progress, timed};
use rtt_store::FileDisk;
use rtt_store::cas::Cas;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Objects of one kind, and how many are put at once.
struct Load {
    name: &'static str,
    objects: usize,
    bytes: usize,
    batch: usize,
}

const LOADS: [Load; 2] = [
    Load { name: "10000x4KiB", objects: 10_000, bytes: 4096, batch: 10_000 },
    // As many as fit in memory beside each other; the raw peer syncs as often.
    Load { name: "100x10MiB", objects: 100, bytes: 10 << 20, batch: 10 },
];
/// Courses that are run.
pub const COURSES: usize = 2 * LOADS.len();
/// What a put must reach of the raw batch.
const PUT_BAR: f64 = 0.8;
/// What a get must reach of reading, then hashing, by one thread.
const GET_BAR: f64 = 0.9;

impl Load {
    /// One in `share` of its objects.
    fn shared(&self, share: usize) -> Load {
        let (objects, batch) = (self.objects / share, (self.batch / share).max(1));
        Load { objects: objects.next_multiple_of(batch), batch, ..*self }
    }

    /// The objects of a batch; each of every batch differs from all others.
    fn batch(&self, batch: usize) -> Vec<Vec<u8>> {
        let object = |index: usize| {
            let mut bytes = vec![(index % 251) as u8; self.bytes];
            bytes[..8].copy_from_slice(&(batch * self.batch + index).to_le_bytes());
            bytes
        };
        (0..self.batch).map(object).collect()
    }

    fn batches(&self) -> usize {
        self.objects / self.batch
    }
}

/// Rows of all cases.
pub fn measure(root: &Path, size: Size, peers: Option<&Peers>) -> Vec<Row> {
    let mut rows = Vec::new();
    for load in LOADS.iter().map(|load| load.shared(size.objects_share)) {
        rows.extend(put(root, size.rounds, &load, peers));
        rows.push(get(root, size.rounds, &load));
    }
    rows
}

fn put(root: &Path, rounds: usize, load: &Load, peers: Option<&Peers>) -> Vec<Row> {
    let case = |name: &str| format!("cas/put/{}{name}", load.name);
    let mut contestants = vec![Contestant::new(case(""), |folder| put_ours(folder, load).0).with_bar(PUT_BAR)];
    contestants.extend(peers.map(|peers| {
        let load = PeerLoad { writers: 1, commits: 1, records: load.objects, bytes: load.bytes };
        let round = move |folder: &Path| peers.round("cacache", folder, load);
        Contestant::new(case("/cacache"), round).with_note(", and it never syncs")
    }));
    let course = Course { root, rounds, work: load.objects, unit: "objects" };
    race(&course, |folder| put_raw(folder, load), contestants)
}

fn put_ours(folder: &Path, load: &Load) -> (Duration, Cas<FileDisk>, Vec<rtt_seal::Digest>) {
    let mut cas = Cas::open(FileDisk::open(folder).expect("a disk")).expect("a store");
    let mut lease = cas.lease("bench", u64::MAX).expect("a lease");
    sync(folder);
    let (mut elapsed, mut digests) = (Duration::ZERO, Vec::new());
    for batch in 0..load.batches() {
        let objects = load.batch(batch);
        let objects: Vec<&[u8]> = objects.iter().map(Vec::as_slice).collect();
        let begin = Instant::now();
        digests.extend(cas.put_batch(&mut lease, &objects).expect("put"));
        elapsed += begin.elapsed();
    }
    (elapsed, cas, digests)
}

/// The limit: the same files under names of the same shape, in as many directories, and one syncfs for a batch.
fn put_raw(folder: &Path, load: &Load) -> Duration {
    let shard = |index: usize| folder.join(format!("objects/{:02x}", index * 151 % 256));
    fs::create_dir(folder.join("tmp")).expect("a folder");
    (0..256).for_each(|index| fs::create_dir_all(shard(index)).expect("a folder"));
    sync(folder);
    let mut elapsed = Duration::ZERO;
    for batch in 0..load.batches() {
        let objects = load.batch(batch);
        let begin = Instant::now();
        for (index, bytes) in objects.iter().enumerate() {
            let (temporary, index) = (folder.join(format!("tmp/{index}")), batch * load.batch + index);
            File::create_new(&temporary).and_then(|mut file| file.write_all(bytes)).expect("written");
            fs::rename(&temporary, shard(index).join(format!("{index:062}"))).expect("renamed");
        }
        sync(folder);
        elapsed += begin.elapsed();
    }
    elapsed
}

fn sync(folder: &Path) {
    rustix::fs::syncfs(File::open(folder).expect("open")).expect("synced");
}

/// The limit of a get is 1 / (1 / read + 1 / hash): one thread reads the file, then hashes it.
fn get(root: &Path, rounds: usize, load: &Load) -> Row {
    let folder = tempfile::tempdir_in(root).expect("a folder");
    let (_, mut cas, digests) = put_ours(folder.path(), load);
    let path = |digest: &rtt_seal::Digest| -> PathBuf {
        let hex = digest.to_string();
        folder.path().join("cas/objects").join(&hex[..2]).join(&hex[2..])
    };
    let paths: Vec<PathBuf> = digests.iter().map(path).collect();
    // In memory as many bytes as the caches of the machine do not hold, hashed over and over.
    let memory = load.batch(0);
    let (mut ratios, mut ours, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let read = || timed(|| paths.iter().for_each(|path| touch(fs::read(path).expect("read"))));
        let hash = || {
            timed(|| {
                let objects = memory.iter().cycle().take(load.objects);
                objects.for_each(|bytes| touch(blake3::hash(bytes)));
            })
        };
        let mut own = || timed(|| digests.iter().for_each(|digest| touch(cas.get(digest).expect("verified"))));
        let (own, limit) = if round % 2 == 0 {
            let own = own();
            (own, read() + hash())
        } else {
            let limit = read() + hash();
            (own(), limit)
        };
        // The first round warms the cache.
        if round > 0 {
            progress::step();
            ratios.push(limit.as_secs_f64() / own.as_secs_f64());
            ours.push(own);
            limits.push(limit);
        }
    }
    let note = format!("{} got and verified, {} read then hashed", rate(load, &ours), rate(load, &limits));
    Row::of(&format!("cas/get/{}", load.name), ratios, Some(GET_BAR), note)
}

/// Uses a value, so that making it is not left out.
fn touch<T>(value: T) {
    std::hint::black_box(value);
}

/// Objects and bytes of a second, of the median round.
fn rate(load: &Load, times: &[Duration]) -> String {
    let seconds = median(times).as_secs_f64();
    let megabytes = (load.objects * load.bytes) as f64 / seconds / 1e6;
    format!("{:.0} objects/s ({megabytes:.0} MB/s)", load.objects as f64 / seconds)
}
