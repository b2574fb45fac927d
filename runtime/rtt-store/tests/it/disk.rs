//! Each disk does what it is asked, counts it, and says what failed and where.

use rtt_store::{Access, Answer, Cause, Counts, Disk, DiskError, EntryKind, FileDisk, FileId, Request, UringDisk};

/// Runs a test on both disks; without io_uring on the one, and says so.
pub fn on_each_disk(test: impl Fn(&mut dyn Disk, &dyn Fn() -> Counts)) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut disk = FileDisk::open(folder.path()).expect("a disk");
    let counters = disk.counters();
    test(&mut disk, &|| counters.now());
    let folder = tempfile::tempdir().expect("a folder");
    match UringDisk::open(folder.path()) {
        Ok(mut disk) => {
            let counters = disk.counters();
            test(&mut disk, &|| counters.now());
        }
        Err(error) => eprintln!("skipped: no io_uring on this host: {error}"),
    }
}

fn run(disk: &mut dyn Disk, request: Request) -> Answer {
    let text = format!("{request:?}");
    disk.run(request).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn create(disk: &mut dyn Disk, path: &str) -> FileId {
    run(disk, Request::Create { path: path.into() }).opened()
}

fn read(disk: &mut dyn Disk, file: FileId, offset: u64, len: usize, buffer: Vec<u8>) -> Vec<u8> {
    run(disk, Request::Read { file, offset, len, buffer }).bytes()
}

fn refused(disk: &mut dyn Disk, request: Request) -> DiskError {
    disk.run(request).expect_err("refused")
}

#[test]
fn what_was_written_is_read_back() {
    on_each_disk(|disk, _| {
        let file = create(disk, "a");
        assert_eq!(run(disk, Request::Write { file, offset: 2, bytes: b"cde".to_vec() }).bytes(), b"cde");
        assert_eq!(run(disk, Request::WriteSync { file, offset: 0, bytes: b"ab".to_vec() }).bytes(), b"ab");
        run(disk, Request::Sync { file });
        for (offset, len, expected) in [(0, 5, &b"abcde"[..]), (0, 9, b"abcde"), (3, 1, b"d"), (5, 4, b""), (9, 1, b"")]
        {
            assert_eq!(read(disk, file, offset, len, Vec::new()), expected, "{len} at {offset}");
            assert_eq!(read(disk, file, offset, len, vec![9; 64]), expected, "{len} at {offset}, a used buffer");
        }
        run(disk, Request::SetLength { file, bytes: 3 });
        assert_eq!(run(disk, Request::Length { file }).length(), 3);
        run(disk, Request::Close { file });
        let file = run(disk, Request::Open { path: "a".into(), access: Access::Read }).opened();
        assert_eq!(read(disk, file, 0, 9, Vec::new()), b"abc");
        let error = refused(disk, Request::Write { file, offset: 0, bytes: b"x".to_vec() });
        assert_eq!((error.operation, error.path.as_str()), ("write", "a"), "a file that is open for reading only");
        let error = refused(disk, Request::WriteSync { file, offset: 0, bytes: b"x".to_vec() });
        assert_eq!((error.operation, error.path.as_str()), ("write", "a"), "the same for a write with its sync");
    });
}

#[test]
fn names_are_made_listed_renamed_and_removed() {
    on_each_disk(|disk, _| {
        run(disk, Request::CreateDirectory { path: "d".into() });
        run(disk, Request::CreateDirectory { path: "d".into() });
        for path in ["d/b", "d/a"] {
            create(disk, path);
        }
        assert_eq!(refused(disk, Request::Create { path: "d/a".into() }).cause, Cause::EXISTS);
        run(disk, Request::Rename { from: "d/b".into(), to: "d/c".into() });
        run(disk, Request::SyncDirectory { path: "d".into() });
        run(disk, Request::SyncDirectory { path: String::new() });
        let names = run(disk, Request::List { path: "d".into() }).names();
        let names: Vec<_> = names.iter().map(|entry| (entry.name.as_str(), entry.kind)).collect();
        assert_eq!(names, [("a", EntryKind::File), ("c", EntryKind::File)]);
        assert_eq!(run(disk, Request::Stat { path: "d".into() }).stat().kind, EntryKind::Directory);
        run(disk, Request::Remove { path: "d/a".into() });
        let error = refused(disk, Request::Open { path: "d/a".into(), access: Access::Read });
        assert!(error.is_missing());
        assert_eq!(error.to_string(), "d/a: open failed: No such file or directory (os error 2)");
        run(disk, Request::SyncAll);
    });
}

/// A write and its sync are one call each; several syncs of names are counted apart.
#[test]
fn calls_are_counted() {
    on_each_disk(|disk, counts| {
        let file = create(disk, "a");
        run(disk, Request::WriteSync { file, offset: 0, bytes: vec![1; 8192] });
        run(disk, Request::Write { file, offset: 0, bytes: vec![1; 8192] });
        run(disk, Request::SyncAll);
        run(disk, Request::SyncDirectory { path: String::new() });
        run(disk, Request::Rename { from: "a".into(), to: "b".into() });
        let expected =
            Counts { reads: 0, writes: 2, data_syncs: 1, directory_syncs: 1, file_system_syncs: 1, renames: 1 };
        assert_eq!(counts(), expected);
    });
}

/// Completions are told once each, and waiting for one keeps the others.
#[test]
fn waiting_for_one_keeps_the_others() {
    on_each_disk(|disk, _| {
        let file = create(disk, "a");
        let write = |offset, byte| Request::WriteSync { file, offset, bytes: vec![byte; 4] };
        let tokens = [disk.submit(write(0, 1)), disk.submit(write(4, 2)), disk.submit(write(8, 3))];
        assert_eq!(disk.wait(tokens[1]).expect("written").bytes(), [2; 4]);
        assert_eq!(run(disk, Request::Length { file }).length() % 4, 0);
        let mut others: Vec<_> = std::iter::from_fn(|| disk.complete()).map(|(token, _)| token).collect();
        others.sort();
        assert_eq!(others, [tokens[0], tokens[2]]);
        assert!(disk.complete().is_none());
    });
}

/// Locks are of open files: shared ones stand beside each other and keep one that would stand alone away.
#[test]
fn shared_locks_keep_an_exclusive_one_away() {
    on_each_disk(|disk, _| {
        let alone = create(disk, "a");
        let mut shared = || run(disk, Request::Open { path: "a".into(), access: Access::Read }).opened();
        let (first, second) = (shared(), shared());
        run(disk, Request::LockShared { file: first });
        run(disk, Request::LockShared { file: second });
        run(disk, Request::Unlock { file: first });
        assert_eq!(refused(disk, Request::Lock { file: alone }).cause, Cause::WOULD_BLOCK);
        run(disk, Request::Close { file: second });
        run(disk, Request::Lock { file: alone });
    });
}
