//! Service level objectives: what each scenario promises, and which of them stop a merge.
//!
//! SCEN-1  Numbers lie in their ranges, quantiles rise, each scenario has one objective ([`Slo::check`]).
//! Latencies are multiples of the limit that the same run measured on the same pair of CPUs, because a figure in
//! nanoseconds would hold for one machine. The same rules stand in `spec/schema/slo.cue`.

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
    /// Lost messages in a million: 0..=1 000 000.
    pub loss_ppm: u32,
    /// CPU that the endpoint uses, in thousandths of a CPU; no bound where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millicores: Option<u32>,
    /// How much slower than its base a candidate may be, in thousandths, before it counts as a regression: 1..=1000.
    pub tolerance_permille: u32,
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
            let mut below = ("p50", 0);
            for (quantile, permille) in objective.latencies() {
                let name = field(&format!("latency_permille_of_limit_{quantile}"));
                checker.integer(&name, permille.into());
                if permille < below.1 {
                    checker.contradiction(
                        &name,
                        format!("found {permille}, expected at least {}, the figure of {}", below.1, below.0),
                    );
                }
                below = (quantile, permille);
            }
            checker.integer(&field("loss_ppm"), objective.loss_ppm.into());
            if let Some(cpu_millicores) = objective.cpu_millicores {
                checker.integer(&field("cpu_millicores"), cpu_millicores.into());
            }
            checker.integer(&field("tolerance_permille"), objective.tolerance_permille.into());
        }
        checker.finish()
    }

    /// The objective of a scenario, if it has one.
    pub fn objective(&self, scenario: &str) -> Option<&Objective> {
        self.objectives.iter().find(|objective| objective.scenario == scenario)
    }
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
            loss_ppm: 0,
            cpu_millicores: None,
            tolerance_permille: 50,
        }
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
}
