//! The simulated host's keys: the same in every run, so that one seed gives one log, and known to everybody.

use rtt_plan::{Build, Policy};
use rtt_reconcile::Terms;
use rtt_seal::{HostId, Role, SigningKey, TrustedKeys};
use std::io;
use std::path::Path;

/// Private key files of a host key and a planner's.
const LINES: [&str; 2] = [
    "rtt-private-key-v1 host 83561adb398fd87f AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
    "rtt-private-key-v1 planner 1eed29b1654fbca9 AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
];
/// The simulated machine.
pub const MACHINE: &str = "0123456789abcdef";

/// What the simulated host and its planner sign with, and what the host trusts.
#[derive(Debug)]
pub struct Keys {
    /// Signs checkpoints.
    pub host: SigningKey,
    /// Signs plans.
    pub planner: SigningKey,
    /// Whose plans the host obeys.
    pub trusted: TrustedKeys,
    /// What the host holds against plans.
    pub terms: Terms,
    /// The host.
    pub id: HostId,
}

impl Keys {
    /// Loads the keys by way of a folder of this process, since a key is loaded from a file and nowhere else.
    ///
    /// # Errors
    /// Where the folder for temporary files takes none.
    pub fn load() -> io::Result<Keys> {
        let folder = std::env::temp_dir().join(format!("rtt-sim-{}", std::process::id()));
        let loaded = Keys::load_in(&folder);
        // Best effort: the keys are no secret.
        let _ = std::fs::remove_dir_all(&folder);
        loaded
    }

    fn load_in(folder: &Path) -> io::Result<Keys> {
        use std::io::Write;
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        std::fs::DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
        let mut keys = Vec::new();
        for line in LINES {
            // Threads of a test may load at once, each by a name of its own.
            let path = folder.join(format!("{:?}-{}", std::thread::current().id(), keys.len()));
            let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(format!("{line}\n").as_bytes())?;
            keys.push(SigningKey::load(&path).map_err(io::Error::other)?);
        }
        let [host, planner] = keys.try_into().expect("two lines");
        let trusted = TrustedKeys::new([planner.public().clone()]).map_err(io::Error::other)?;
        let build = Build { major: 0, minor: 1, patch: 0 };
        let terms = Terms { build, trust_version: 1, policy: Policy::everything(), machine: Some(MACHINE.to_owned()) };
        assert_eq!((host.role(), planner.role()), (Role::Host, Role::Planner), "the lines stand in this order");
        let id = HostId::of(host.public()).expect("a host key");
        Ok(Keys { host, planner, trusted, terms, id })
    }
}
