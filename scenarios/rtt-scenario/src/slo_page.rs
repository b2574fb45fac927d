//! `SLO.md`: the objectives as a page, so that nobody has to read JSON to know what is promised.

use crate::slo::{Objective, Slo};
use std::fmt::Write as _;

/// The page, as it must stand in the repository.
pub fn slo_page(slo: &Slo) -> String {
    let mut page = format!(
        "# Service level objectives\n\n\
         <!-- Written by `cargo xtask config build` from ci/slo.cue. Edit that file, not this one. -->\n\n\
         {}\n\n\
         | scenario | stops a merge | p50 | p95 | p99 | p99.9 | throughput | loss | CPU | queue depth | tolerance |\n\
         |--|--|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        slo.about
    );
    for objective in &slo.objectives {
        page.push_str(&row(objective));
    }
    page.push_str(
        "\nLatencies are multiples of the limit that the same run measures on the same pair of CPUs. Throughput is the least \
         share of the offered rate that is handled. Loss and CPU are those of the endpoint over a run, queue depth is the \
         most that stands in one ring. A budget is broken where the whole 95 % interval of what was measured lies beyond it: \
         its lower bound above the budget, for throughput its upper bound below. Tolerance is how much slower than its base a \
         candidate may be before that is a regression.\n",
    );
    if slo.objectives.iter().any(|objective| !objective.machines.is_empty()) {
        page.push_str(&machines(slo));
    }
    page
}

/// An objective as a row of the table.
fn row(objective: &Objective) -> String {
    let [p50, p95, p99, p999] = objective.latencies().map(|(_, permille)| format!("{}x", thousandths(permille)));
    let bound = |text: Option<String>| text.unwrap_or_else(|| "no bound".to_owned());
    let throughput = objective.throughput_permille_of_offered_min.map(|permille| format!("{} %", tenths(permille)));
    let cpu = objective.cpu_millicores.map(|millicores| format!("{} CPU", thousandths(millicores)));
    format!(
        "| `{}` | {} | {p50} | {p95} | {p99} | {p999} | {} | {} ppm | {} | {} | {} % |\n",
        objective.scenario,
        if objective.gating { "yes" } else { "no" },
        bound(throughput),
        objective.loss_ppm,
        bound(cpu),
        bound(objective.depth_bytes_max.map(bytes)),
        tenths(objective.tolerance_permille),
    )
}

/// The budgets that hold on one machine, as a table of their own.
fn machines(slo: &Slo) -> String {
    let mut section = "\n## Named machines\n\n\
                       On a machine that is named here, these latencies hold in place of the multiples.\n\n\
                       | scenario | machine | p50 | p95 | p99 | p99.9 |\n\
                       |--|--|--:|--:|--:|--:|\n"
        .to_owned();
    for objective in &slo.objectives {
        for budget in &objective.machines {
            let [p50, p95, p99, p999] = budget.latencies().map(|(_, latency_ns)| format!("{latency_ns} ns"));
            writeln!(section, "| `{}` | `{}` | {p50} | {p95} | {p99} | {p999} |", objective.scenario, budget.machine)
                .expect("a string takes all text");
        }
    }
    section
}

/// `4096` as `4 KiB`; what no unit divides stays in bytes.
fn bytes(bytes: u64) -> String {
    let units = [(1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(size, _)| bytes.is_multiple_of(*size));
    unit.map_or_else(|| format!("{bytes} B"), |(size, name)| format!("{} {name}", bytes / size))
}

/// `1500` as `1.5`.
fn thousandths(value: u32) -> String {
    let text = format!("{}.{:03}", value / 1_000, value % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Permille as per cent: `55` as `5.5`.
fn tenths(value: u32) -> String {
    if value.is_multiple_of(10) { (value / 10).to_string() } else { format!("{}.{}", value / 10, value % 10) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slo::MachineBudget;

    fn frugal() -> Objective {
        Objective {
            scenario: "frugal".into(),
            gating: false,
            latency_permille_of_limit_p50: 1_500,
            latency_permille_of_limit_p95: 20_000,
            latency_permille_of_limit_p99: 300_000,
            latency_permille_of_limit_p999: 4_001_001,
            throughput_permille_of_offered_min: Some(995),
            loss_ppm: 7,
            cpu_millicores: Some(250),
            depth_bytes_max: Some(262_144),
            tolerance_permille: 55,
            machines: vec![MachineBudget {
                machine: "0123456789abcdef".into(),
                latency_ns_p50: 900,
                latency_ns_p95: 2_000,
                latency_ns_p99: 9_000,
                latency_ns_p999: 90_000,
            }],
        }
    }

    fn check(objective: Objective, expected: &[&str], absent: &[&str]) {
        let page = slo_page(&Slo { about: "How to read it.".into(), objectives: vec![objective] });
        for text in expected {
            assert!(page.contains(text), "{text}: {page}");
        }
        for text in absent {
            assert!(!page.contains(text), "{text}: {page}");
        }
    }

    #[test]
    fn every_figure_of_an_objective_is_on_the_page() {
        check(
            frugal(),
            &[
                "\nHow to read it.\n",
                "| `frugal` | no | 1.5x | 20x | 300x | 4001.001x | 99.5 % | 7 ppm | 0.25 CPU | 256 KiB | 5.5 % |\n",
                "\n## Named machines\n",
                "| `frugal` | `0123456789abcdef` | 900 ns | 2000 ns | 9000 ns | 90000 ns |\n",
            ],
            &["no bound"],
        );
    }

    #[test]
    fn what_is_absent_has_no_bound() {
        let least = Objective {
            throughput_permille_of_offered_min: None,
            cpu_millicores: None,
            depth_bytes_max: None,
            machines: Vec::new(),
            ..frugal()
        };
        let row = "| 4001.001x | no bound | 7 ppm | no bound | no bound | 5.5 % |\n";
        check(least, &[row], &["Named machines"]);
    }

    #[test]
    fn bytes_are_shown_in_the_largest_unit_that_divides_them() {
        for (count, text) in
            [(1, "1 B"), (4_096, "4 KiB"), (4_097, "4097 B"), (1 << 20, "1 MiB"), (3 << 19, "1536 KiB")]
        {
            assert_eq!(bytes(count), text);
        }
    }
}
