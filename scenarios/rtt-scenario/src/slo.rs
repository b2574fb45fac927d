//! Service level objectives: what each scenario promises, and which of them stop a merge.
//!
//! SCEN-1  Numbers lie in their ranges, quantiles rise, each scenario has one objective and each machine one budget in it
//!         ([`Slo::check`]).
//!
//! Latencies are multiples of the limit that the same run measured on the same pair of CPUs, because a figure in
//! nanoseconds holds for one machine: it is taken only with that machine's id. The same rules stand in
//! `spec/schema/slo.cue`. Whether a scenario exists is `slo_lock`'s; by what a run is judged is `latency_budget`'s;
//! whether a budget is kept is the gate's: it is broken where the whole interval of what was measured lies beyond it.

use crate::bounds::{CheckError, Checker};
use rtt_seal::Digest;
use serde::{Deserialize, Serialize};

/// All objectives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    /// How to read them, at most 1000 characters.
    pub about: String,
    /// One for each scenario: 1..=64, at least one of them gating.
    pub objectives: Vec<Objective>,
}

/// What one scenario promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// The scenario's name.
    pub scenario: String,
    /// Whether a regression here stops a merge.
    pub gating: bool,
    /// Median, in thousandths of the measured limit: 1000..=100 000 000.
    pub latency_permille_of_limit_p50: u32,
    /// 95th percentile, likewise, not below the median.
    pub latency_permille_of_limit_p95: u32,
    /// 99th percentile, likewise.
    pub latency_permille_of_limit_p99: u32,
    /// 99.9th percentile, likewise.
    pub latency_permille_of_limit_p999: u32,
    /// Rate handled over rate offered, in thousandths: at least this, 1..=1000. No bound where absent, and none in
    /// a closed loop, which is offered nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput_permille_of_offered_min: Option<u32>,
    /// Lost messages in a million: 0..=1 000 000.
    pub loss_ppm: u32,
    /// CPU that the endpoint uses, in thousandths of a CPU: 1..=1 024 000; no bound where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millicores: Option<u32>,
    /// Most bytes that may stand in a ring: 1..=256 MiB; no bound where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth_bytes_max: Option<u64>,
    /// How much slower than its base a candidate may be, in thousandths, before it counts as a regression: 1..=1000.
    pub tolerance_permille: u32,
    /// Latency budgets that hold on one machine in place of the multiples: at most 64, each for another machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<MachineBudget>,
}

/// Latencies that a scenario may have on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineBudget {
    /// The id of the machine's fingerprint: 16 hex digits.
    pub machine: String,
    /// Median in nanoseconds: 1..=60 000 000 000.
    pub latency_ns_p50: u64,
    /// 95th percentile, likewise, not below the median.
    pub latency_ns_p95: u64,
    /// 99th percentile, likewise.
    pub latency_ns_p99: u64,
    /// 99.9th percentile, likewise.
    pub latency_ns_p999: u64,
}

impl Objective {
    /// The quantiles and their budgets in thousandths of the limit, rising.
    pub fn latencies(&self) -> [(&'static str, u32); 4] {
        [
            ("p50", self.latency_permille_of_limit_p50),
            ("p95", self.latency_permille_of_limit_p95),
            ("p99", self.latency_permille_of_limit_p99),
            ("p999", self.latency_permille_of_limit_p999),
        ]
    }

    /// The budgets in nanoseconds of the machine with that id, if it is named.
    pub fn machine(&self, id: &str) -> Option<&MachineBudget> {
        self.machines.iter().find(|budget| budget.machine == id)
    }

    /// SCEN-1, for the objective at `index`.
    fn check(&self, index: usize, checker: &mut Checker) {
        let field = |name: &str| format!("objectives[{index}].{name}");
        let mut optional = |name: &str, value: Option<u64>| {
            if let Some(value) = value {
                checker.integer(&field(name), value);
            }
        };
        optional("throughput_permille_of_offered_min", self.throughput_permille_of_offered_min.map(u64::from));
        optional("loss_ppm", Some(self.loss_ppm.into()));
        optional("cpu_millicores", self.cpu_millicores.map(u64::from));
        optional("depth_bytes_max", self.depth_bytes_max);
        optional("tolerance_permille", Some(self.tolerance_permille.into()));
        if self.machines.len() > 64 {
            checker.refuse(&field("machines"), &format!("found {} budgets", self.machines.len()));
        }
        for (place, budget) in self.machines.iter().enumerate() {
            let field = |name: &str| field(&format!("machines[{place}].{name}"));
            if !is_machine_id(&budget.machine) {
                checker.refuse(&field("machine"), &format!("found {:?}", budget.machine));
            } else if self.machines[..place].iter().any(|other| other.machine == budget.machine) {
                let problem = format!("found `{}` twice, expected one budget for each machine", budget.machine);
                checker.contradiction(&field("machine"), problem);
            }
            rising(&field("latency_ns_"), budget.latencies(), checker);
        }
    }
}

impl MachineBudget {
    /// The quantiles and their budgets in nanoseconds, rising.
    pub fn latencies(&self) -> [(&'static str, u64); 4] {
        [
            ("p50", self.latency_ns_p50),
            ("p95", self.latency_ns_p95),
            ("p99", self.latency_ns_p99),
            ("p999", self.latency_ns_p999),
        ]
    }
}

impl Slo {
    /// BLAKE3 of the canonical JSON: fields in the order of the type, no white space.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("objectives are plain data"))
    }

    /// Whether every value lies in its range.
    ///
    /// # Errors
    /// All violations at once, in the order of the document.
    pub fn check(&self) -> Result<(), CheckError> {
        let mut checker = Checker::default();
        checker.text("about", &self.about);
        if !(1..=64).contains(&self.objectives.len()) {
            checker.refuse("objectives", &format!("found {} objectives", self.objectives.len()));
        } else if self.objectives.iter().all(|objective| !objective.gating) {
            checker.refuse("objectives", "found none that is gating");
        }
        for (index, objective) in self.objectives.iter().enumerate() {
            let field = |name: &str| format!("objectives[{index}].{name}");
            checker.name(&field("scenario"), &objective.scenario);
            if self.objectives[..index].iter().any(|other| other.scenario == objective.scenario) {
                checker
                    .contradiction(&field("scenario"), format!("found `{}` twice, expected once", objective.scenario));
            }
            let multiples = objective.latencies().map(|(quantile, permille)| (quantile, permille.into()));
            rising(&field("latency_permille_of_limit_"), multiples, &mut checker);
            objective.check(index, &mut checker);
        }
        checker.finish()
    }

    /// The objective of a scenario, if it has one.
    pub fn objective(&self, scenario: &str) -> Option<&Objective> {
        self.objectives.iter().find(|objective| objective.scenario == scenario)
    }

    /// The objectives that stop a merge: at least one.
    pub fn gating(&self) -> impl Iterator<Item = &Objective> {
        self.objectives.iter().filter(|objective| objective.gating)
    }
}

/// SCEN-1: budgets in their ranges, none below that of a lower quantile. `prefix` is the field's name up to the quantile.
fn rising(prefix: &str, budgets: [(&'static str, u64); 4], checker: &mut Checker) {
    let mut below = ("p50", 0);
    for (quantile, budget) in budgets {
        let field = format!("{prefix}{quantile}");
        checker.integer(&field, budget);
        if budget < below.1 {
            let problem = format!("found {budget}, expected at least {}, the figure of {}", below.1, below.0);
            checker.contradiction(&field, problem);
        }
        below = (quantile, budget);
    }
}

/// Whether a text may be what a fingerprint's machine is called.
fn is_machine_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objective(scenario: &str) -> Objective {
        Objective {
            scenario: scenario.into(),
            gating: true,
            latency_permille_of_limit_p50: 2_000,
            latency_permille_of_limit_p95: 3_000,
            latency_permille_of_limit_p99: 3_000,
            latency_permille_of_limit_p999: 9_000,
            throughput_permille_of_offered_min: None,
            loss_ppm: 0,
            cpu_millicores: None,
            depth_bytes_max: None,
            tolerance_permille: 50,
            machines: Vec::new(),
        }
    }

    fn budget(machine: &str, latency_ns: [u64; 4]) -> MachineBudget {
        let [latency_ns_p50, latency_ns_p95, latency_ns_p99, latency_ns_p999] = latency_ns;
        MachineBudget { machine: machine.into(), latency_ns_p50, latency_ns_p95, latency_ns_p99, latency_ns_p999 }
    }

    fn check(change: impl FnOnce(&mut Slo), expected: &str) {
        let mut slo = Slo { about: "For tests.".into(), objectives: vec![objective("steady"), objective("burst")] };
        change(&mut slo);
        let found = slo.check().err().map_or(String::new(), |error| error.to_string());
        assert_eq!(found, expected);
    }

    /// SCEN-1
    #[test]
    fn objectives_agree_with_each_other() {
        check(|_| {}, "");
        check(|s| s.objectives[0].gating = false, "");
        check(
            |s| s.objectives.iter_mut().for_each(|o| o.gating = false),
            "objectives: found none that is gating, expected a list of 1..=64 objectives, one for each scenario, at least one of them gating",
        );
        check(
            |s| s.objectives[1].scenario = "steady".into(),
            "objectives[1].scenario: found `steady` twice, expected once",
        );
        check(
            |s| s.objectives[1].latency_permille_of_limit_p99 = 2_999,
            "objectives[1].latency_permille_of_limit_p99: found 2999, expected at least 3000, the figure of p95",
        );
        check(
            |s| s.objectives[0].tolerance_permille = 0,
            "objectives[0].tolerance_permille: found 0, expected an integer in 1..=1000",
        );
    }

    /// SCEN-1
    #[test]
    fn an_impossible_budget_is_refused() {
        for (permille, expected) in [
            (1, ""),
            (1_000, ""),
            (0, "objectives[1].throughput_permille_of_offered_min: found 0, expected an integer in 1..=1000"),
            (1_001, "objectives[1].throughput_permille_of_offered_min: found 1001, expected an integer in 1..=1000"),
        ] {
            check(|s| s.objectives[1].throughput_permille_of_offered_min = Some(permille), expected);
        }
        check(
            |s| s.objectives[0].depth_bytes_max = Some(0),
            "objectives[0].depth_bytes_max: found 0, expected an integer in 1..=268435456",
        );
        check(
            |s| s.objectives[0].loss_ppm = 1_000_001,
            "objectives[0].loss_ppm: found 1000001, expected an integer in 0..=1000000",
        );
        check(
            |s| s.objectives[0].latency_permille_of_limit_p50 = 999,
            "objectives[0].latency_permille_of_limit_p50: found 999, expected an integer in 1000..=100000000",
        );
    }

    /// SCEN-1
    #[test]
    fn a_machine_has_one_budget_that_rises() {
        let (a, b) = ("0123456789abcdef", "fedcba9876543210");
        let with = |machines: Vec<MachineBudget>, expected: &str| {
            check(|s| s.objectives[1].machines = machines, expected);
        };
        with(vec![budget(a, [1, 1, 1, 60_000_000_000]), budget(b, [7, 8, 9, 10])], "");
        with(
            vec![budget(b, [1; 4]), budget(a, [1; 4]), budget(b, [1; 4])],
            "objectives[1].machines[2].machine: found `fedcba9876543210` twice, expected one budget for each machine",
        );
        with(
            vec![budget(a, [900, 2_000, 800, 9_000])],
            "objectives[1].machines[0].latency_ns_p99: found 800, expected at least 2000, the figure of p95",
        );
        with(
            vec![budget(a, [1, 1, 1, 60_000_000_001])],
            "objectives[1].machines[0].latency_ns_p999: found 60000000001, expected an integer in 1..=60000000000",
        );
        for name in ["", "0123456789abcde", "0123456789ABCDEF", "0123456789abcdef0", "0123456789abcde\n"] {
            let expected = "16 hex digits of 0-9 and a-f, the id of a machine's fingerprint";
            let expected = format!("objectives[1].machines[0].machine: found {name:?}, expected {expected}");
            with(vec![budget(name, [1; 4])], &expected);
        }
        let many = (0..65).map(|n| budget(&format!("{n:016x}"), [1; 4])).collect();
        with(many, "objectives[1].machines: found 65 budgets, expected a list of 1..=64 budgets, one for each machine");
    }

    #[test]
    fn budgets_are_found_by_machine_and_gating_objectives_apart() {
        let mut slo = Slo { about: "For tests.".into(), objectives: vec![objective("steady"), objective("burst")] };
        slo.objectives[0].gating = false;
        slo.objectives[1].machines = vec![budget("0123456789abcdef", [1, 2, 3, 4])];
        assert_eq!(slo.gating().map(|objective| objective.scenario.as_str()).collect::<Vec<_>>(), ["burst"]);
        let found = slo.objectives[1].machine("0123456789abcdef").map(MachineBudget::latencies);
        assert_eq!(found, Some([("p50", 1), ("p95", 2), ("p99", 3), ("p999", 4)]));
        assert_eq!(slo.objectives[1].machine("fedcba9876543210"), None);
    }

    #[test]
    fn json_is_what_the_schema_says_and_what_is_absent_is_left_out() {
        let mut full = objective("steady");
        let least = serde_json::to_string(&full).expect("json");
        assert!(!["throughput", "cpu", "depth", "machines"].iter().any(|name| least.contains(name)), "{least}");
        full.throughput_permille_of_offered_min = Some(990);
        full.depth_bytes_max = Some(4_096);
        full.machines = vec![budget("0123456789abcdef", [1, 2, 3, 4])];
        let json = r#"{"scenario":"steady","gating":true,"latency_permille_of_limit_p50":2000,"latency_permille_of_limit_p95":3000,"latency_permille_of_limit_p99":3000,"latency_permille_of_limit_p999":9000,"throughput_permille_of_offered_min":990,"loss_ppm":0,"depth_bytes_max":4096,"tolerance_permille":50,"machines":[{"machine":"0123456789abcdef","latency_ns_p50":1,"latency_ns_p95":2,"latency_ns_p99":3,"latency_ns_p999":4}]}"#;
        assert_eq!(serde_json::to_string(&full).expect("json"), json);
        assert_eq!(serde_json::from_str::<Objective>(json).expect("objective"), full);
    }
}
