//! What one latency of one run may come to: the rule by which the gate and the history's trend judge.
//!
//! A budget is absolute where the objective names the machine, elsewhere a multiple of the limit. The limit is what the
//! probes around the run itself came to, since a pair of CPUs changes its regime from run to run; where there are none,
//! what the log measured at its start. Over how many runs a budget counts as broken is left to who judges.

use crate::Objective;

/// What one quantile may come to on one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatencyBudget {
    /// At most so many nanoseconds.
    Nanos(u64),
    /// At most so many thousandths of the run's limit.
    PermilleOfLimit(u32),
}

impl LatencyBudget {
    /// What `latency_ns` of a run is, in the unit of the budget; absent where it needs the limit and there is none.
    pub fn found(self, latency_ns: u64, limit_ns: Option<f64>) -> Option<f64> {
        match self {
            LatencyBudget::Nanos(_) => Some(latency_ns as f64),
            LatencyBudget::PermilleOfLimit(_) => Some(latency_ns as f64 / limit_ns?),
        }
    }

    /// The most that [`LatencyBudget::found`] may be.
    pub fn at_most(self) -> f64 {
        match self {
            LatencyBudget::Nanos(ns) => ns as f64,
            LatencyBudget::PermilleOfLimit(permille) => f64::from(permille) / 1000.0,
        }
    }

    /// The unit of both: `ns` or `x the limit`.
    pub const fn unit(self) -> &'static str {
        match self {
            LatencyBudget::Nanos(_) => "ns",
            LatencyBudget::PermilleOfLimit(_) => "x the limit",
        }
    }
}

impl Objective {
    /// The quantiles and what they may come to on the machine with that id, rising.
    pub fn latency_budgets(&self, machine: &str) -> [(&'static str, LatencyBudget); 4] {
        match self.machine(machine) {
            Some(absolute) => absolute.latencies().map(|(name, ns)| (name, LatencyBudget::Nanos(ns))),
            None => self.latencies().map(|(name, permille)| (name, LatencyBudget::PermilleOfLimit(permille))),
        }
    }
}

/// The limit of one run, one cache line there and back, in nanoseconds: the geometric mean of `around_ns`, its probes
/// before and after, else `at_start_ns`, that of its log. A reading of 0 is none.
pub fn limit_of_run_ns(around_ns: Option<[u64; 2]>, at_start_ns: Option<u64>) -> Option<f64> {
    match around_ns {
        Some([before_ns, after_ns]) if before_ns > 0 && after_ns > 0 => {
            Some((before_ns as f64 * after_ns as f64).sqrt())
        }
        _ => at_start_ns.filter(|limit_ns| *limit_ns > 0).map(|limit_ns| limit_ns as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_own_probes_are_its_limit_and_the_logs_where_there_are_none() {
        assert_eq!(limit_of_run_ns(Some([100, 400]), Some(140)), Some(200.0));
        assert_eq!(limit_of_run_ns(None, Some(140)), Some(140.0));
        for unread in [[0, 400], [100, 0]] {
            assert_eq!(limit_of_run_ns(Some(unread), Some(140)), Some(140.0));
        }
        assert_eq!(limit_of_run_ns(Some([100, 400]), None), Some(200.0));
        assert_eq!([limit_of_run_ns(None, None), limit_of_run_ns(None, Some(0))], [None, None]);
    }

    #[test]
    fn a_named_machine_is_judged_in_nanoseconds_and_another_by_the_limit() {
        let objective: Objective = serde_json::from_value(serde_json::json!({
            "scenario": "steady", "gating": true, "latency_permille_of_limit_p50": 1000,
            "latency_permille_of_limit_p95": 2000, "latency_permille_of_limit_p99": 2500,
            "latency_permille_of_limit_p999": 9000, "loss_ppm": 0, "tolerance_permille": 50,
            "machines": [{
                "machine": "0123456789abcdef", "latency_ns_p50": 10, "latency_ns_p95": 20, "latency_ns_p99": 30,
                "latency_ns_p999": 40,
            }],
        }))
        .expect("an objective");
        let p99 = |machine| objective.latency_budgets(machine)[2];
        assert_eq!(p99("0123456789abcdef"), ("p99", LatencyBudget::Nanos(30)));
        assert_eq!(p99("fedcba9876543210"), ("p99", LatencyBudget::PermilleOfLimit(2500)));
        let shown = |budget: LatencyBudget, limit_ns| (budget.found(60, limit_ns), budget.at_most(), budget.unit());
        assert_eq!(shown(LatencyBudget::Nanos(30), None), (Some(60.0), 30.0, "ns"));
        assert_eq!(shown(LatencyBudget::PermilleOfLimit(2500), Some(20.0)), (Some(3.0), 2.5, "x the limit"));
        assert_eq!(LatencyBudget::PermilleOfLimit(2500).found(60, None), None);
    }
}
