//! `SLO.md`: the objectives as a page, so that nobody has to read JSON to know what is promised.

use crate::slo::Slo;
use std::fmt::Write as _;

/// The page, as it must stand in the repository.
pub fn slo_page(slo: &Slo) -> String {
    let mut page = format!(
        "# Service level objectives\n\n\
         <!-- Written by `cargo xtask config build` from ci/slo.cue. Edit that file, not this one. -->\n\n\
         {}\n\n\
         | scenario | stops a merge | p50 | p95 | p99 | p99.9 | loss | CPU | tolerance |\n\
         |--|--|--:|--:|--:|--:|--:|--:|--:|\n",
        slo.about
    );
    for objective in &slo.objectives {
        let [p50, p95, p99, p999] = objective.latencies().map(|(_, permille)| format!("{}x", thousandths(permille)));
        let cpu = objective
            .cpu_millicores
            .map_or("no bound".to_owned(), |millicores| format!("{} CPU", thousandths(millicores)));
        writeln!(
            page,
            "| `{}` | {} | {p50} | {p95} | {p99} | {p999} | {} ppm | {cpu} | {} % |",
            objective.scenario,
            if objective.gating { "yes" } else { "no" },
            objective.loss_ppm,
            tenths(objective.tolerance_permille),
        )
        .expect("a string takes all text");
    }
    page.push_str(
        "\nLatencies are multiples of the limit that the same run measures on the same pair of CPUs. Loss and CPU are those of \
         the endpoint over a run. Tolerance is how much slower than its base a candidate may be before that is a regression.\n",
    );
    page
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
    use crate::slo::Objective;

    #[test]
    fn every_figure_of_an_objective_is_on_the_page() {
        let objective = Objective {
            scenario: "frugal".into(),
            gating: false,
            latency_permille_of_limit_p50: 1_500,
            latency_permille_of_limit_p95: 20_000,
            latency_permille_of_limit_p99: 300_000,
            latency_permille_of_limit_p999: 4_001_001,
            loss_ppm: 7,
            cpu_millicores: Some(250),
            tolerance_permille: 55,
        };
        let page = slo_page(&Slo { about: "How to read it.".into(), objectives: vec![objective] });
        assert!(page.contains("\nHow to read it.\n"), "{page}");
        let row = "| `frugal` | no | 1.5x | 20x | 300x | 4001.001x | 7 ppm | 0.25 CPU | 5.5 % |\n";
        assert!(page.contains(row), "{page}");
    }
}
