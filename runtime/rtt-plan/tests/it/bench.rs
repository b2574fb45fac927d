//! A plan that holds, the key that signed it, and the host that takes it: what every test changes one thing of.

use rtt_plan::{Base, Before, Build, HostFacts, HostState, Kind, Op, Plan, Policy};
use rtt_profile::Knobs;
use rtt_seal::{Digest, HostId, Role, SealError, Sealed, SigningKey, TrustedKeys, Verified, seal};
use rtt_units::Nanos;
use std::collections::{BTreeMap, BTreeSet};

/// The host's clock.
pub const NOW: u64 = 1_800_000_000;
/// The machine that the knobs are for.
pub const MACHINE: &str = "0123456789abcdef";

/// Key, host and plan.
pub struct Bench {
    pub key: SigningKey,
    pub host: HostFacts,
    pub state: HostState,
    pub plan: Plan,
}

pub fn host_id(name: u8) -> HostId {
    HostId(Digest([name; 32]))
}

pub fn file_put(path: &str, content: &[u8], before: Before) -> Op {
    let (path, mode) = (path.parse().expect("a path"), "0644".parse().expect("a mode"));
    Op::FilePut { path, object: Digest::of(content), mode, before }
}

impl Bench {
    /// A plan that puts a file and a ring on an empty host.
    pub fn new() -> Bench {
        let knobs = Knobs::default_for(Nanos::from_micros(60));
        let ring = Op::RingPut { name: "feed".parse().expect("a name"), knobs, before: Before::Absent };
        Bench::with(vec![file_put("etc/app.conf", b"1", Before::Absent), ring])
    }

    /// A plan of these ops on an empty host.
    pub fn with(ops: Vec<Op>) -> Bench {
        let key = SigningKey::generate(Role::Planner).expect("random bytes");
        let (state, policy) = (HostState::empty(), Policy::everything());
        let build = Build { major: 0, minor: 1, patch: 0 };
        let plan = Plan {
            version: Plan::VERSION,
            kind: Kind::Apply,
            audience: host_id(1),
            runtime_build: build,
            trust_root_version: 3,
            planner: key.id(),
            sequence: 1,
            not_before_unix_s: NOW,
            expires_unix_s: NOW + 3_600,
            base: Base { generation: 0, state_root: state.root() },
            target_root: state.after(&ops).expect("a state").root(),
            machine: ops.iter().any(Op::carries_knobs).then(|| MACHINE.to_owned()),
            ops,
            capabilities: ["files:etc", "rings:feed"].map(|text| text.parse().expect("a capability")).into(),
            policy: policy.digest(),
            evidence: vec![Digest([7; 32])],
        };
        let host = HostFacts {
            host: host_id(1),
            build,
            build_floor: build,
            generation: 0,
            root: state.root(),
            sequences: BTreeMap::new(),
            attempted: BTreeSet::new(),
            clock_floor_unix_s: 0,
            trust_version: 3,
            trust_version_floor: 3,
            policy,
            machine: Some(MACHINE.to_owned()),
        };
        Bench { key, host, state, plan }
    }

    pub fn trust(&self) -> TrustedKeys {
        TrustedKeys::new([self.key.public().clone()]).expect("keys")
    }

    /// The plan, signed and verified.
    pub fn verified(&self) -> Verified<Plan> {
        let sealed = Sealed::<Plan>::sign(&self.plan.to_canonical(), &self.key).expect("signed");
        sealed.verify(&self.trust()).expect("verified")
    }

    /// Whatever bytes are given, under a signature that fits, as a faulty tool with a good key would make them.
    pub fn blindly(&self, payload: &[u8]) -> Result<Verified<Plan>, SealError> {
        let bytes = seal(payload, <Plan as rtt_seal::Document>::PAYLOAD_TYPE, &self.key).expect("sealed");
        Sealed::from_bytes(bytes).verify(&self.trust())
    }

    /// What the host answers: `admitted`, or the name of the reason.
    pub fn answer(&self) -> &'static str {
        Plan::admit(&self.verified(), &self.host, NOW).map_or_else(|error| error.name(), |()| "admitted")
    }

    /// What a host writes down at Begin.
    pub fn begin(&mut self, now: u64) {
        self.host.attempted.insert(self.plan.id());
        self.host.sequences.insert(self.plan.planner, self.plan.sequence);
        self.host.clock_floor_unix_s = self.host.time(now);
        self.host.trust_version_floor = self.host.trust_version;
        self.host.build_floor = self.host.build;
    }

    /// Begin, and all that follows up to Verified, or, where `back`, up to the rollback of the state.
    pub fn carry_out(&mut self, back: bool) {
        self.begin(NOW);
        let before = self.state.clone();
        self.state = self.plan.effect(&before).expect("an effect");
        self.host.generation += 1;
        if back {
            self.state = before;
            self.host.generation += 1;
        }
        self.host.root = self.state.root();
    }

    /// The next plan of this key, on the state that there is.
    pub fn plan_again(&mut self, ops: Vec<Op>) {
        self.plan.sequence += 1;
        self.plan.base = Base { generation: self.host.generation, state_root: self.host.root };
        self.plan.target_root = self.state.after(&ops).expect("a state").root();
        self.plan.machine = ops.iter().any(Op::carries_knobs).then(|| MACHINE.to_owned());
        self.plan.ops = ops;
    }
}
