//! Logs that were cut, flipped, zeroed, torn and spliced: what is read is a prefix of what was written, damage in the
//! middle is refused and left as it is, and only the last group may ever be missing unnoticed.

use crate::wal_disk::{Image, LogDisk};
use rtt_seal::{Digest, HostId};
use rtt_store::FileDisk;
use rtt_store::wal::OpenError;
use rtt_store::wal::{BLOCK, Checkpoint, GROUP_BYTES, Opened, Options, Room, Wal, merkle, read_log};

const SECTOR: usize = 512;

pub fn options() -> Options {
    let origin = HostId(Digest::of(b"host"));
    Options { folder: "wal".into(), origin, segment_bytes: 8 * BLOCK as u32, reserve_bytes: BLOCK as u32 }
}

pub fn payload(sequence: u64) -> Vec<u8> {
    let len = [0, 40, 700, 9, 2600][sequence as usize % 5];
    (0..len).map(|at| (sequence as u8).wrapping_mul(31).wrapping_add(at as u8) | 1).collect()
}

/// A log in two segments and a prepared one.
struct Sample {
    image: Image,
    groups: Vec<Written>,
    state: Checkpoint,
}

/// A group in the image.
struct Written {
    path: String,
    start: usize,
    end: usize,
    /// First byte and end of each record.
    records: Vec<(usize, usize)>,
}

fn path_of(segment: u32) -> String {
    format!("wal/{segment:08}.seg")
}

fn bytes_of(sequence: u64) -> usize {
    96 + payload(sequence).len().next_multiple_of(8)
}

fn sample() -> Sample {
    sample_of(payload)
}

fn sample_of(payload: impl Fn(u64) -> Vec<u8>) -> Sample {
    let disk = LogDisk::default();
    let (mut wal, opened) = Wal::open(disk.clone(), &options(), None).expect("a new log");
    assert!(opened.records.is_empty() && opened.torn.is_none());
    let (mut groups, mut sequence, mut segment, mut at) = (Vec::new(), 0, 0, 0);
    for records in [1, 3, 2, 5, 1, 4, 2, 3, 1, 2, 3] {
        let mut ends = Vec::new();
        let before = disk.log().len();
        for _ in 0..records {
            wal.push(1, &payload(sequence), Room::Ordinary).expect("pushed");
            sequence += 1;
        }
        wal.flush().expect("durable");
        let written =
            disk.log()[before..].iter().find(|line| line.starts_with("write_sync")).cloned().expect("a group");
        let (path, offset) = written["write_sync ".len()..].rsplit_once(' ').expect("path and offset");
        let start: usize = offset.parse().expect("a number");
        (segment, at) = (path[4..12].parse().expect("a number"), if start == 0 { BLOCK } else { start });
        for each in sequence - records..sequence {
            ends.push((at, at + bytes_of(each)));
            at += bytes_of(each);
        }
        groups.push(Written { path: path.to_owned(), start, end: at.next_multiple_of(BLOCK), records: ends });
    }
    assert_eq!(segment, 1, "two segments");
    assert!(
        groups.iter().filter(|group: &&Written| group.path == path_of(1)).count() >= 3,
        "the second with three groups"
    );
    assert!(at < 8 * BLOCK, "and room in the second");
    Sample { image: disk.image(), groups, state: wal.state() }
}

impl Sample {
    fn records_before(&self, group: usize) -> usize {
        self.groups[..group].iter().map(|group| group.records.len()).sum()
    }

    /// Whether a byte is part of a segment's header or of a record, and not of the zeros between them.
    fn is_told(&self, path: &str, at: usize) -> bool {
        let mut records = self.groups.iter().filter(|group| group.path == path).flat_map(|group| &group.records);
        at < 136 || records.any(|(start, end)| (*start..*end).contains(&at))
    }

    fn last(&self) -> &Written {
        self.groups.last().expect("a group")
    }
}

/// Opens what became of the log. What it says is checked against what was written; `None` when it was refused.
fn reopen(image: &Image, context: &str) -> Option<usize> {
    let disk = LogDisk::of(image);
    let (mut wal, opened) = match Wal::open(disk.clone(), &options(), None) {
        Ok(found) => found,
        Err(OpenError::Damaged(damage)) => {
            assert_eq!(disk.image(), *image, "WAL-4: {context}: the evidence was changed");
            assert!(image.contains_key(&damage.path) || damage.reason.contains("missing"), "{context}: {damage:?}");
            return None;
        }
        Err(other) => panic!("{context}: {other}"),
    };
    check_prefix(&opened, context);
    let records = opened.records.len();
    // The next record goes on from there, and nothing of the torn tail comes back.
    assert_eq!(wal.append(1, &payload(records as u64), Room::Ordinary).expect(context), records as u64);
    let again = read_log(LogDisk::of(&disk.durable()), &options()).unwrap_or_else(|error| panic!("{context}: {error}"));
    check_prefix(&again, context);
    assert_eq!((again.records.len(), again.torn), (records + 1, None), "{context}");
    Some(records)
}

fn check_prefix(opened: &Opened, context: &str) {
    for (index, record) in opened.records.iter().enumerate() {
        assert_eq!(record.sequence, index as u64, "{context}");
        assert_eq!(record.payload, payload(index as u64), "{context}: record {index}");
    }
}

/// WAL-3: a cut at any byte of the last segment keeps the records before it; a cut in an earlier one is noticed.
#[test]
fn wal_3_a_cut_at_any_byte_keeps_the_whole_records_before_it() {
    let sample = sample();
    for (name, bytes) in &sample.image {
        let last = *name == sample.last().path;
        let ends = sample.groups.iter().filter(|group| group.path == *name).flat_map(|group| &group.records);
        let ends: Vec<usize> = ends.map(|(_, end)| *end).collect();
        let before =
            sample.groups.iter().filter(|group| group.path < *name).map(|group| group.records.len()).sum::<usize>();
        for at in (0..=bytes.len()).filter(|at| sample.is_told(name, *at) || at % 29 == 0) {
            let mut image = sample.image.clone();
            image.insert(name.clone(), bytes[..at].to_vec());
            let whole = ends.iter().filter(|end| **end <= at).count();
            let lost = ends.len() - whole;
            let expected =
                (last || lost == 0).then_some(if lost == 0 { sample.state.size as usize } else { before + whole });
            assert_eq!(reopen(&image, &format!("{name} cut at {at}")), expected, "{name} cut at {at}");
        }
    }
}

/// WAL-4: a flipped byte is refused with its place, unless it is in the last group, or in zeros where it is cut.
#[test]
fn wal_4_a_flip_of_any_byte_is_refused_or_cuts_the_last_group_alone() {
    let sample = sample();
    let all = sample.state.size as usize;
    let Written { path: last_path, start: last_start, end: last_end, records: last_records } = sample.last();
    for (name, bytes) in &sample.image {
        // Of the zeros that fill blocks and segments, one in 29: they are all alike.
        for at in (0..bytes.len()).filter(|at| sample.is_told(name, *at) || at % 29 == 0) {
            let mut image = sample.image.clone();
            image.get_mut(name).expect("there")[at] ^= 1 << (at % 8);
            let context = format!("{name} flipped at {at}");
            let used = sample.groups.iter().any(|group| group.path == *name && (group.start..group.end).contains(&at));
            let in_last = name == last_path && (*last_start..*last_end).contains(&at);
            let found = reopen(&image, &context);
            if in_last {
                let kept = last_records.iter().filter(|(_, end)| *end <= at).count();
                assert_eq!(found, Some(all - last_records.len() + kept), "{context}");
            } else if used {
                assert_eq!(found, None, "{context}");
            } else if name >= last_path {
                assert_eq!(found, Some(all), "{context}: only zeros were behind the log");
            } else {
                assert_eq!(found, None, "{context}: zeros between two segments' records");
            }
        }
    }
}

/// WAL-4: bytes behind the end in a second segment are of no one write, the last group damaged or whole.
#[test]
fn wal_4_remains_in_two_segments_are_refused() {
    let sample = sample();
    let all = sample.state.size as usize;
    let Written { path, records, .. } = sample.last();
    let kept = all - records.len();
    for (damaged, spare, expected) in
        [(false, false, Some(all)), (true, false, Some(kept)), (false, true, Some(all)), (true, true, None)]
    {
        let mut image = sample.image.clone();
        if damaged {
            image.get_mut(path).expect("there")[records[0].0 + 70] ^= 1;
        }
        if spare {
            image.get_mut(&path_of(2)).expect("prepared")[5000] = 1;
        }
        assert_eq!(reopen(&image, "remains"), expected, "last group damaged {damaged}, prepared segment {spare}");
    }
}

/// WAL-4: no write is longer than a group may be.
#[test]
fn wal_4_remains_that_are_longer_than_a_group_are_refused() {
    let long = Options { segment_bytes: (2 * GROUP_BYTES) as u32, ..options() };
    let disk = LogDisk::default();
    let (mut wal, _) = Wal::open(disk.clone(), &long, None).expect("a new log");
    wal.append(1, &payload(0), Room::Ordinary).expect("appended");
    let end = 2 * BLOCK; // The header, and a block for the record.
    for (last, is_torn) in [(GROUP_BYTES - 1, true), (GROUP_BYTES, false)] {
        let mut image = disk.image();
        let bytes = image.get_mut(&path_of(0)).expect("there");
        (bytes[end], bytes[end + last]) = (1, 1);
        match read_log(LogDisk::of(&image), &long) {
            Ok(opened) => {
                assert!(is_torn && opened.records.len() == 1, "{last}");
                assert_eq!(opened.torn.expect("said").bytes, GROUP_BYTES as u64);
            }
            Err(OpenError::Damaged(damage)) => assert!(!is_torn && damage.record == 1, "{last}: {damage:?}"),
            Err(other) => panic!("{last}: {other}"),
        }
    }
}

/// WAL-4: where a later segment begins, records stood before it.
#[test]
fn wal_4_a_later_segments_header_behind_the_end_is_refused() {
    let disk = LogDisk::default();
    let (mut wal, _) = Wal::open(disk.clone(), &options(), None).expect("a new log");
    while disk.image().get(&path_of(2)).is_none_or(|bytes| bytes[0] == 0) {
        wal.append(1, &payload(4), Room::Ordinary).expect("appended");
    }
    let mut image = disk.image();
    image.get_mut(&path_of(1)).expect("there").fill(0);
    image.get_mut(&path_of(2)).expect("there")[BLOCK..].fill(0);
    let Err(OpenError::Damaged(damage)) = read_log(LogDisk::of(&image), &options()) else { panic!("not refused") };
    assert!(damage.reason.contains("a later segment begins at byte 0 of wal/00000002.seg"), "{}", damage.reason);
    image.get_mut(&path_of(2)).expect("there")[..BLOCK].fill(0);
    assert!(read_log(LogDisk::of(&image), &options()).is_ok(), "without it the log is one that ends in segment 0");
}

#[test]
fn damage_is_named_by_segment_offset_and_record() {
    let sample = sample();
    let Written { path, records, .. } = &sample.groups[3];
    let mut image = sample.image.clone();
    image.get_mut(path).expect("there")[records[2].0 + 70] ^= 1;
    let error = Wal::open(LogDisk::of(&image), &options(), None).expect_err("refused");
    let OpenError::Damaged(damage) = &error else { panic!("{error}") };
    let record = sample.records_before(3) as u64 + 2;
    assert_eq!((damage.path.as_str(), damage.offset, damage.record), (path.as_str(), records[2].0 as u64, record));
    assert!(error.to_string().starts_with(&format!("{path}: damaged at byte {}, record {record}:", records[2].0)));
}

/// WAL-3 and WAL-4, for sectors that were never written or were lost.
#[test]
fn a_sector_of_zeros_is_refused_or_cuts_the_last_group_alone() {
    let sample = sample();
    let all = sample.state.size as usize;
    let Written { path: last_path, start: last_start, end: last_end, records: last_records } = sample.last();
    for (name, bytes) in &sample.image {
        for at in (0..bytes.len()).step_by(SECTOR) {
            let mut image = sample.image.clone();
            image.get_mut(name).expect("there")[at..at + SECTOR].fill(0);
            let context = format!("{name} zeroed at {at}");
            let expected = if image == sample.image {
                Some(all)
            } else if name == last_path && (*last_start..*last_end).contains(&at) {
                Some(all - last_records.len() + last_records.iter().filter(|(_, end)| *end <= at).count())
            } else {
                None
            };
            assert_eq!(reopen(&image, &context), expected, "{context}");
        }
    }
}

/// WAL-3: any subset of the last write's sectors on the disk is a torn tail, never damage.
#[test]
fn wal_3_a_write_torn_in_any_way_is_cut() {
    for (group, count) in [(10, 2000), (7, 300), (5, 300)] {
        let sample = sample();
        let Written { path, start, end, records } = &sample.groups[group];
        let (start, end) = (*start, *end);
        let mut image = sample.image.clone();
        // The groups behind it were not written yet.
        for (name, bytes) in image.iter_mut().filter(|(name, _)| *name >= path) {
            let from = if name == path { end } else { 0 };
            bytes[from..].fill(0);
        }
        let sectors = (end - start) / SECTOR;
        let before = sample.records_before(group);
        let mut draw: u64 = 0x9e37_79b9_7f4a_7c15;
        for _ in 0..count {
            draw ^= draw << 13;
            draw ^= draw >> 7;
            draw ^= draw << 17;
            let mut torn = image.clone();
            let bytes = torn.get_mut(path).expect("there");
            let lost: Vec<usize> = (0..sectors).filter(|sector| draw >> (sector % 64) & 1 == 0).collect();
            for sector in &lost {
                let at = start + sector * SECTOR;
                bytes[at..at + SECTOR].fill(0);
            }
            let context = format!("group {group} without sectors {lost:?}");
            let found = reopen(&torn, &context).unwrap_or_else(|| panic!("{context}: refused"));
            assert!((before..=before + records.len()).contains(&found), "{context}: {found} records");
        }
    }
}

/// What is done to the pieces of a log, by their indices.
fn splices(count: usize) -> Vec<Vec<usize>> {
    let all: Vec<usize> = (0..count).collect();
    let mut spliced = Vec::new();
    for index in 0..count {
        let mut dropped = all.clone();
        dropped.remove(index);
        let mut repeated = all.clone();
        repeated.insert(index, index);
        spliced.extend([dropped, repeated]);
        for other in 0..index {
            let mut swapped = all.clone();
            swapped.swap(index, other);
            spliced.push(swapped);
        }
    }
    spliced
}

/// WAL-1: whole groups and whole records, dropped, repeated or swapped, are refused, but for an end that is cut off.
#[test]
fn wal_1_groups_and_records_that_are_moved_are_refused() {
    let sample = sample();
    let groups: Vec<_> = sample.groups.iter().filter(|group| group.path == sample.last().path).collect();
    let path = &sample.last().path;
    let bytes = &sample.image[path];
    let check = |pieces: &[(usize, usize)], cut_off: bool, what: &str| {
        let (start, end) = (pieces[0].0, pieces[pieces.len() - 1].1);
        for order in splices(pieces.len()) {
            let mut spliced: Vec<u8> = bytes[..start].to_vec();
            order.iter().for_each(|piece| spliced.extend_from_slice(&bytes[pieces[*piece].0..pieces[*piece].1]));
            spliced.extend_from_slice(&bytes[end..]);
            spliced.resize(bytes.len(), 0);
            let is_cut_off = cut_off && order.iter().enumerate().all(|(index, piece)| index == *piece);
            let mut image = sample.image.clone();
            image.insert(path.clone(), spliced);
            let context = format!("{what} in the order {order:?}");
            let found = reopen(&image, &context);
            assert_eq!(found.is_some(), is_cut_off, "{context}: {found:?}");
        }
    };
    let starts: Vec<(usize, usize)> = groups.iter().map(|group| (group.records[0].0, group.end)).collect();
    check(&starts, true, "groups");
    for (index, group) in groups.iter().enumerate() {
        if group.records.len() > 1 {
            check(&group.records, index + 1 == groups.len(), &format!("records of group {index}"));
        }
    }
}

/// WAL-1: a group of another history of the same host, whole and in its place, is no part of this one.
#[test]
fn wal_1_a_group_of_another_history_is_refused() {
    let ours = sample();
    let theirs = sample_of(|sequence| payload(sequence).iter().map(|byte| byte ^ 2).collect());
    for (index, Written { path, start, end, .. }) in ours.groups.iter().enumerate().skip(1) {
        let mut image = ours.image.clone();
        let group = &theirs.image[path][*start..*end];
        image.get_mut(path).expect("there")[*start..*end].copy_from_slice(group);
        assert_eq!(reopen(&image, &format!("group {index}")), None, "group {index} of another history");
    }
}

/// A write that went astray into zeros is no torn tail, wherever it lies.
#[test]
fn a_group_in_another_place_is_refused() {
    let sample = sample();
    let Written { path, start, end, .. } = sample.last();
    let group = sample.image[path][*start..*end].to_vec();
    for (name, bytes) in &sample.image {
        for at in (0..=bytes.len() - group.len()).step_by(BLOCK) {
            if name == path && at == *start {
                continue;
            }
            let mut image = sample.image.clone();
            image.get_mut(path).expect("there")[*start..*end].fill(0);
            image.get_mut(name).expect("there")[at..at + group.len()].copy_from_slice(&group);
            assert_eq!(reopen(&image, &format!("{name} at {at}")), None, "the last group at byte {at} of {name}");
        }
    }
}

#[test]
fn a_missing_segment_and_another_hosts_log_are_refused() {
    let sample = sample();
    let mut image = sample.image.clone();
    image.remove("wal/00000000.seg");
    assert_eq!(reopen(&image, "the first segment is gone"), None);
    let other = Options { origin: HostId(Digest::of(b"another host")), ..options() };
    let error = Wal::open(LogDisk::of(&sample.image), &other, None).expect_err("another host");
    assert!(matches!(error, OpenError::OtherOrigin { .. }), "{error}");
}

/// WAL-8: with what a witness saw, a cut-off end, an old copy and a rewritten history are refused, and nothing is cut.
#[test]
fn wal_8_a_log_that_is_not_what_was_witnessed_is_refused() {
    let sample = sample();
    let open = |image: &Image| {
        let disk = LogDisk::of(image);
        let found = Wal::open(disk.clone(), &options(), Some(&sample.state)).map(|(_, opened)| opened.records.len());
        assert!(found.is_ok() || disk.image() == *image, "WAL-8: a refused log was changed");
        found
    };
    let size = sample.state.size;
    assert_eq!(open(&sample.image).expect("the log itself") as u64, size);
    let Written { path, start, .. } = sample.last();
    let mut old = sample.image.clone();
    old.get_mut(path).expect("there")[*start..].fill(0);
    let found = sample.records_before(sample.groups.len() - 1) as u64;
    assert!(matches!(open(&old), Err(OpenError::Shorter { found: f, witnessed }) if (f, witnessed) == (found, size)));
    assert!(matches!(open(&Image::new()), Err(OpenError::Shorter { found: 0, .. })), "no log at all");
    let mut torn = sample.image.clone();
    torn.get_mut(path).expect("there")[*start + 100] ^= 1;
    assert!(matches!(open(&torn), Err(OpenError::Shorter { .. })), "a torn tail that was acknowledged");
    // An old copy that went on, and is longer than what was witnessed.
    let disk = LogDisk::of(&old);
    let (mut wal, _) = Wal::open(disk.clone(), &options(), None).expect("whole in itself");
    while wal.acknowledged() <= size {
        wal.append(1, b"another history", Room::Ordinary).expect("appended");
    }
    assert!(matches!(open(&disk.image()), Err(OpenError::Rewritten { .. })));
}

/// WAL-4: what a file says of its length is not believed, whatever it is: sparse files of 8 TiB cost no disk.
#[test]
fn wal_4_a_segment_that_is_too_long_is_refused() {
    let sample = sample();
    let (header, offsets) = (u64::from(options().segment_bytes), u64::from(u32::MAX));
    for (segment, bytes, most) in [(0, 8 << 40, header), (1, header + 1, header), (2, 8 << 40, offsets)] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("wal")).expect("a folder");
        for (name, bytes) in &sample.image {
            std::fs::write(folder.path().join(name), bytes).expect("a segment");
        }
        let file = std::fs::File::options().write(true).open(folder.path().join(path_of(segment))).expect("there");
        file.set_len(bytes).expect("a sparse file");
        let found = Wal::open(FileDisk::open(folder.path()).expect("a disk"), &options(), None).map(drop);
        let Err(OpenError::Damaged(damage)) = found else { panic!("segment {segment} of {bytes} bytes: {found:?}") };
        assert_eq!((damage.path, damage.offset), (path_of(segment), most), "{bytes} bytes");
        assert_eq!(damage.reason, format!("the segment has {bytes} bytes, expected at most {most}"));
        assert_eq!(file.metadata().expect("its length").len(), bytes, "the evidence was changed");
    }
}

/// A reader that has a checkpoint alone is shown that a record is in the log, and that a later log goes on from it.
#[test]
fn proofs_of_a_log_need_only_its_checkpoints() {
    let sample = sample();
    let opened = read_log(LogDisk::of(&sample.image), &options()).expect("read");
    let digests = opened.digests();
    let Checkpoint { size, root, tip, .. } = sample.state;
    assert_eq!((opened.tip, digests.len() as u64), (tip, size));
    for (index, digest) in digests.iter().enumerate() {
        let proof = merkle::prove_inclusion(&digests, index);
        assert!(merkle::verify_inclusion(&root, size, index as u64, digest, &proof));
        let earlier = merkle::root(&digests[..index]);
        let proof = merkle::prove_consistency(&digests, index);
        assert!(merkle::verify_consistency((index as u64, &earlier), (size, &root), &proof));
    }
}
