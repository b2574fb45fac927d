//! A trend for people.

use super::output::{Burn, BurnRule, BurnWindow, Canary, Change, DayPoint, ScenarioTrend, SeriesTrend, Trend};
use crate::{Align, Layout, layout::visible, minute_of};
use rtt_units::Nanos;

/// Days of a series that are printed; the document has all.
const DAYS_SHOWN: usize = 14;

impl Trend {
    /// For people: units in the cells, advice called advice.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "advice, not a verdict: nights are not interleaved, only the gate decides\n{} rows in {} files of {} \
             partitions, {} of the columns; calm, settled runs; windows end at {}\n",
            self.rows,
            self.files,
            self.partitions,
            self.columns.len(),
            minute_of(self.now_unix_s)
        );
        for machine in &self.machines {
            text += &format!("\nmachine {}\n{}", visible(&machine.machine), canary(&machine.canary));
            for scenario in &machine.scenarios {
                text += &section(scenario);
            }
        }
        for note in &self.notes {
            text += &format!("note: {note}\n");
        }
        text
    }
}

fn canary(canary: &Canary) -> String {
    match canary.false_alarm_rate.zip(canary.false_alarm_interval) {
        None => "canary: none yet, so the false-alarm rate is not known; `cargo xtask gate --canary 20` measures it\n"
            .into(),
        Some((rate, [low, high])) => format!(
            "canary: {} of {} ended with FAIL: false-alarm rate {}, exact 95 % interval {} to {}; {} undecided\n",
            canary.failed,
            canary.canaries,
            percent(rate),
            percent(low),
            percent(high),
            canary.undecided
        ),
    }
}

fn section(scenario: &ScenarioTrend) -> String {
    let mut text = format!("\n{}\n", visible(&scenario.scenario));
    for series in &scenario.series {
        text += &line(series);
    }
    match &scenario.slo {
        Some(burn) => text += &budget(burn),
        None => text += "  budget: none for this scenario\n",
    }
    text
}

fn line(series: &SeriesTrend) -> String {
    let name = series.series.replace('_', " ");
    let (hidden, days) = series.days.split_at(series.days.len().saturating_sub(DAYS_SHOWN));
    let mut layout =
        Layout::new([("day", Align::Left), ("runs", Align::Right), ("p99", Align::Right), ("95 %", Align::Left)]);
    for point in days {
        layout.push(cells(point));
    }
    let earlier = if hidden.is_empty() { String::new() } else { format!(", the last {DAYS_SHOWN} of them here") };
    let days = if series.days.len() == 1 { "1 day".into() } else { format!("{} days", series.days.len()) };
    let mut text = format!("  {name}: {days}{earlier}\n{}", indented(&layout.to_text()));
    if series.change_points.is_empty() {
        text += "    no change point\n";
    }
    for change in &series.change_points {
        text += &format!("    {}\n", change_in_words(change));
    }
    text
}

fn cells(point: &DayPoint) -> Vec<String> {
    let interval = point.interval.map(|[low, high]| format!("{} to {}", nanos(low), nanos(high)));
    vec![
        point.day.clone(),
        point.runs.to_string(),
        nanos(point.latency_ns_p99),
        interval.unwrap_or_else(|| "- (one run)".into()),
    ]
}

/// `change from 2026-11-23 on: 1.2us -> 1.5us (+25.0 %, p 0.005); kernel 6.1 -> 6.2`.
fn change_in_words(change: &Change) -> String {
    let beside: String = change.beside.iter().map(|words| format!("; {}", visible(words))).collect();
    format!(
        "change from {} on: {} -> {} ({:+.1} %, p {}){beside}",
        change.day,
        nanos(change.before_ns_p99),
        nanos(change.after_ns_p99),
        (change.ratio - 1.0) * 100.0,
        change.p_value
    )
}

fn budget(burn: &Burn) -> String {
    let at_most = match (burn.p99_ns, burn.p99_permille_of_limit) {
        (Some(ns), _) => format!("{} on this machine", Nanos(ns)),
        (None, Some(permille)) => format!("{}x the limit", f64::from(permille) / 1_000.0),
        (None, None) => "-".into(),
    };
    let spent = match burn.budget_spent {
        Some(spent) => format!("{} of it spent, {} of {} runs bad", percent(spent), burn.budget.bad, burn.budget.runs),
        None => "no run in it".into(),
    };
    let target = percent(burn.target);
    let mut text = format!("  budget: p99 at most {at_most} in {target} of runs; 30d: {spent}\n");
    if burn.runs_without_limit > 0 {
        text += &format!("    {} more runs have no limit to judge them by\n", burn.runs_without_limit);
    }
    for rule in &burn.rules {
        text += &format!("    {}\n", rule_in_words(rule));
    }
    text
}

/// `14.4x: does not burn; 1h 0.0x on 12 runs, 5min no run`.
fn rule_in_words(rule: &BurnRule) -> String {
    let burns = match rule.burns {
        Some(true) => "BURNS",
        Some(false) => "does not burn",
        None => "cannot be told",
    };
    format!("{:>5}: {burns}; {}, {}", format!("{}x", rule.factor), window(&rule.long), window(&rule.short))
}

fn window(window: &BurnWindow) -> String {
    let length = match window.seconds {
        seconds if seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
        seconds if seconds % 3_600 == 0 => format!("{}h", seconds / 3_600),
        seconds => format!("{}min", seconds / 60),
    };
    match window.burn_rate {
        Some(rate) => format!("{length} {rate:.1}x on {} runs", window.runs),
        None => format!("{length} no run"),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

fn nanos(value: f64) -> String {
    Nanos(value.round() as u64).to_string()
}

/// With two decimals, without those that say nothing.
fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_keep_their_units() {
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(0.168_43), "16.84 %");
        assert_eq!(percent(1.0), "100 %");
        let named = |seconds, burn_rate| window(&BurnWindow { seconds, runs: 3, bad: 0, burn_rate });
        assert_eq!(named(259_200, Some(1.0)), "3d 1.0x on 3 runs");
        assert_eq!(named(21_600, Some(0.04)), "6h 0.0x on 3 runs");
        assert_eq!(named(300, None), "5min no run");
    }
}
