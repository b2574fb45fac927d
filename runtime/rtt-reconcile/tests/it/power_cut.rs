//! The power goes: a file system that forgets, at any moment, all that nobody synced.
//!
//! A sparse file holds an ext4, mounted through a loop device. `FS_IOC_SHUTDOWN` without a flush of the journal stops it
//! in the middle of what the process does; what its disk holds then is what was synced, and what the kernel happened to
//! have written. The disk's own cache is not cut: a device that lies about a flush is not seen here.
//!
//! All of it runs in a mount namespace of its own, which ends with its last process, so that no mount outlives the test.
//! The call of `ioctl` is perl's, which is part of every Debian: in Rust it takes `unsafe`, which no test is worth.

use crate::struck::{Acks, ENDLESS, Place, Struck, WRITES, Work, check};
use rtt_units::SplitMix64;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::yield_now;
use std::time::{Duration, Instant};

const SEED: u64 = 0x706f_7765;
const CUTS: u64 = 10;
/// Cuts of the control, which carries out no sync.
const CONTROLS: u64 = 4;
/// How long the kernel may take to let a loop device go.
const PATIENCE: Duration = Duration::from_secs(60);
/// `FS_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`, on the directory that is its argument.
const SHUTDOWN: &str = r#"my $f = pack("L", 2); open(D, "<", $ARGV[0]) or die "open: $!\n";
ioctl(D, 0x8004587D, $f) or die "ioctl: $!\n""#;

/// Runs a program to its end; what it printed.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{program}: {}: {said}", output.status))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test's own")
}

/// A file system in a file. Dropping it unmounts it.
struct Drive {
    image: PathBuf,
    point: PathBuf,
    is_mounted: bool,
}

impl Drive {
    /// An empty one, mounted; or why there is none.
    fn new(folder: &Path) -> Result<Drive, String> {
        let drive = Drive { image: folder.join("image"), point: folder.join("mount"), is_mounted: false };
        File::create(&drive.image).and_then(|file| file.set_len(64 << 20)).map_err(|error| error.to_string())?;
        fs::create_dir_all(&drive.point).map_err(|error| error.to_string())?;
        run("mkfs.ext4", &["-q", "-F", text(&drive.image)])?;
        drive.mounted()
    }

    fn mounted(mut self) -> Result<Drive, String> {
        run("mount", &["-t", "ext4", "-o", "loop", text(&self.image), text(&self.point)])?;
        self.is_mounted = true;
        Ok(self)
    }

    /// Forgets what was not synced, from now on.
    fn cut(&self) {
        run("perl", &["-e", SHUTDOWN, text(&self.point)]).expect("the file system is shut down");
    }

    /// Unmounts it and mounts it again, as at a start of the host.
    fn started_again(mut self) -> Drive {
        run("umount", &[text(&self.point)]).expect("nobody uses it");
        self.is_mounted = false;
        let begun = Instant::now();
        // The kernel lets the device go later than the mount; until then a new mount would be of the one that was cut.
        while !run("losetup", &["-j", text(&self.image)]).expect("told").trim().is_empty() {
            assert!(begun.elapsed() < PATIENCE, "the loop device of {} stays", self.image.display());
            yield_now();
        }
        self.mounted().expect("it was mounted before")
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        if self.is_mounted
            && let Err(error) = run("umount", &["--lazy", text(&self.point)])
        {
            eprintln!("{error}"); // It ends with the namespace at the latest.
        }
    }
}

/// One cut at a moment that is drawn, after at least one acknowledgement.
fn cut(drive: Drive, place: &Place, work: Work, draw: &mut SplitMix64, acks: &mut Acks) -> Drive {
    let mut process = Struck::start(&mut place.command(work));
    let (what, count) = match work.job {
        "records" => ("ack record ", 1 + draw.below(20)),
        _ => ("ack plan ", 1 + draw.below(2)),
    };
    process.wait_for(what, count, acks);
    process.wait_for_writes(draw.below(WRITES));
    drive.cut();
    process.kill(acks);
    drive.started_again()
}

fn new_place(folder: &Path, drive: &Drive, name: &str) -> (Place, Acks) {
    let kept = folder.join(name);
    fs::create_dir_all(&kept).expect("made");
    let (place, mut acks) = (Place::new(&kept, &drive.point.join("root"), 32 << 10), Acks::default());
    check(&place, &mut acks).expect("a new log");
    // The folders of the test itself: what is below them is the store's own to sync.
    run("sync", &["-f", text(&drive.point)]).expect("synced");
    (place, acks)
}

fn skip(why: &str) {
    writeln!(io::stderr(), "skipped: no power cut: {why}").expect("stderr");
}

/// WAL-2, REC-7: whatever is cut, what was acknowledged is there, and the base or the target runs. Without syncs the same
/// cuts lose what was acknowledged, and are caught.
#[test]
fn what_was_acknowledged_outlives_a_power_cut() {
    match std::env::var_os("RTT_TEST_POWER_CUT") {
        Some(folder) => in_its_own_namespace(Path::new(&folder)),
        None => outside(),
    }
}

fn outside() {
    let namespace = ["--mount", "--propagation", "private"];
    if let Err(why) = run("unshare", &[&namespace[..], &["true"]].concat()) {
        return skip(&format!("{why}; run the tests as root, with util-linux"));
    }
    for (program, package) in [("mkfs.ext4", "e2fsprogs"), ("perl", "perl"), ("losetup", "util-linux")] {
        if Command::new(program).arg("--version").output().is_err() {
            return skip(&format!("no `{program}` program; install {package}"));
        }
    }
    // Made here and removed here, where nothing is mounted on it.
    let folder = tempfile::tempdir().expect("a folder");
    let status = Command::new("unshare")
        .args(namespace)
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", "power_cut::what_was_acknowledged_outlives_a_power_cut", "--nocapture"])
        .env("RTT_TEST_POWER_CUT", folder.path())
        .status();
    assert!(status.expect("a process").success(), "see above");
}

fn in_its_own_namespace(folder: &Path) {
    let drive = match Drive::new(folder) {
        Ok(drive) => drive,
        Err(why) => return skip(&format!("{why}; run as root on a host with loop devices")),
    };
    let mut draw = SplitMix64::new(SEED);
    let (place, mut acks) = new_place(folder, &drive, "kept");
    let (mut drive, mut torn) = (drive, 0);
    for at in 0..CUTS {
        // What a plan changes is synced by others than the log too, and takes the log's bytes along: each alone as well.
        let work = Work { job: ["both", "records", "plans"][at as usize % 3], ..ENDLESS };
        drive = cut(drive, &place, work, &mut draw, &mut acks);
        torn += check(&place, &mut acks).unwrap_or_else(|why| panic!("seed {SEED:#x}, cut {at}: {why}")).len();
    }
    eprintln!("{CUTS} cuts: {acks:?}, {torn} torn tails");
    drop(drive);
    let caught: Vec<String> = (0..CONTROLS).filter_map(|at| control(folder, at, &mut draw)).collect();
    eprintln!("without syncs, {} of {CONTROLS} cuts are caught: {caught:#?}", caught.len());
    let sees = caught.iter().any(|why| why.contains("WAL-2: lost"));
    assert!(sees, "no cut loses an acknowledged record where nothing is synced: this test sees nothing");
}

/// One cut where nothing is synced; what it lost.
fn control(folder: &Path, at: u64, draw: &mut SplitMix64) -> Option<String> {
    let folder = folder.join(format!("control-{at}"));
    fs::create_dir(&folder).expect("made");
    let drive = Drive::new(&folder).expect("it was mounted before");
    let (place, mut acks) = new_place(&folder, &drive, "kept");
    // Without syncs it would fill the drive before it is cut.
    let work = Work { job: ["records", "plans"][at as usize % 2], most: 500, syncs: false, ..ENDLESS };
    let _drive = cut(drive, &place, work, draw, &mut acks);
    check(&place, &mut acks).err()
}
