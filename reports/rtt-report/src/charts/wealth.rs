//! The confirmation over its pairs: each pair's ratio, and the wealth of the two bets against the line where one wins.

use super::{Chart, Words};
use crate::{
    svg::{Anchor, Canvas, Frame, Scale, Shape},
    table::{Cell, Table},
    words,
};
use rtt_measure::{Confirmation, PairRow};

/// Wealth below this is drawn at the lower edge: how poor a lost bet is tells nothing.
const POOR: f64 = 1e-3;

/// An axis of pair numbers with room beside the first and the last.
pub(super) fn pair_axis(canvas: &mut Canvas, frame: Frame, (first, last): (f64, f64)) -> Scale {
    let x = Scale::linear(first - 1.0, last + 1.0, frame.x0(), frame.x1());
    let ticks = x
        .ticks(if frame.narrow { 5 } else { 10 })
        .into_iter()
        .filter(|t| (first..=last).contains(t) && t.fract() == 0.0);
    let ticks: Vec<_> = ticks.map(|t| (t, words::significant(t))).collect();
    canvas.x_axis(&x, &ticks, "pair");
    x
}

fn ratio(row: &PairRow) -> Option<f64> {
    row.log_ratio.map(f64::exp).filter(|r| r.is_finite() && *r > 0.0)
}

fn order(row: &PairRow) -> &'static str {
    if row.incumbent_first { "incumbent first" } else { "tuned first" }
}

/// Geometric mean of the ratios up to each pair; `pairs` are places on the axis and ratios, none for a void pair.
pub(super) fn running(pairs: impl Iterator<Item = (f64, Option<f64>)>) -> Vec<(f64, f64)> {
    let (mut sum, mut count, mut line) = (0.0, 0.0, Vec::new());
    for (place, ratio) in pairs {
        let Some(ratio) = ratio else { continue };
        sum += ratio.ln();
        count += 1.0;
        line.push((place, (sum / count).exp()));
    }
    line
}

fn places(pairs: &[PairRow]) -> impl Iterator<Item = (f64, Option<f64>)> {
    pairs.iter().enumerate().map(|(index, row)| (index as f64 + 1.0, ratio(row)))
}

/// How many times faster the candidate was in each pair; `None` without a valid pair.
pub fn log_ratios(confirmation: &Confirmation, unit: &str) -> Option<Chart> {
    let pairs = &confirmation.pairs;
    let line = running(places(pairs));
    let (_, mean) = *line.last()?;
    let paint = |canvas: &mut Canvas, frame: Frame| {
        let values = pairs.iter().filter_map(ratio).chain([1.0]);
        let Some(y) = Scale::log(values, frame.y0(), frame.y1()) else { return };
        canvas.y_axis(&y, "incumbent ÷ tuned: above 1 the tuned one is faster", &words::times);
        let x = pair_axis(canvas, frame, (1.0, pairs.len() as f64));
        canvas.line("limit", (frame.x0(), y.at(1.0)), (frame.x1(), y.at(1.0)));
        for (index, row) in pairs.iter().enumerate() {
            let at = x.at(index as f64 + 1.0);
            let Some(ratio) = ratio(row) else {
                canvas.mark(Shape::Cross, "quiet", (at, y.at(1.0)), 3.0, &format!("pair {}: void", row.pair));
                continue;
            };
            let regime = row.regime.as_deref().map_or(String::new(), |regime| format!(", regime {regime}"));
            let tip = format!("pair {}: {}, {}{regime}", row.pair, words::times(ratio), order(row));
            let class = if row.incumbent_first { "tuned" } else { "hollow tuned" };
            canvas.line("stem", (at, y.at(1.0)), (at, y.at(ratio)));
            canvas.mark(Shape::Disc, class, (at, y.at(ratio)), 3.6, &tip);
        }
        let placed: Vec<_> = line.iter().map(|(n, v)| (x.at(*n), y.at(*v))).collect();
        canvas.path("curve mean", &placed);
    };
    let mut twin = Table::new(
        "Pairs in order",
        &["#Pair", "Order", "#Incumbent", "#Candidate", "#Ratio", "Regime", "#Wealth: better", "#Wealth: no better"],
    );
    for row in pairs {
        let void = "the pair is void: one of its trials gave no result";
        twin.row(vec![
            Cell::figure(row.pair.to_string()),
            Cell::text(order(row)),
            Cell::or(row.incumbent.map(|v| words::latency(v, unit)), void),
            Cell::or(row.candidate.map(|v| words::latency(v, unit)), void),
            Cell::or(ratio(row).map(words::times), void),
            row.regime.clone().map_or_else(|| Cell::absent("no probe ran around the pair"), Cell::text),
            Cell::or(Some(wealth_text(row.wealth_better)), ""),
            Cell::or(Some(wealth_text(row.wealth_no_better)), ""),
        ]);
    }
    let void = pairs.len() - line.len();
    let words = Words {
        id: "pairs".into(),
        title: "Every pair's ratio".into(),
        description: format!("{} pairs, {void} of them void; their geometric mean is {}.", pairs.len(), words::times(mean)),
        caption: "A coin decided which arm ran first. The line is the geometric mean so far; a drift of the machine moves both arms of a pair.".into(),
    };
    let chart = Chart::draw(words, &[Frame::wide(300.0), Frame::narrow(270.0)], twin, &paint)
        .key("disc", "tuned", "incumbent ran first")
        .key("disc", "hollow tuned", "tuned ran first")
        .key("line", "mean", "mean so far");
    Some(if void > 0 { chart.key("cross", "quiet", "void pair") } else { chart })
}

/// A wealth as a figure; how poor a lost bet is tells nothing.
pub fn wealth_text(wealth: f64) -> String {
    if wealth.is_finite() && wealth > 0.0 && wealth < POOR { "< 0.001".into() } else { words::significant(wealth) }
}

/// The wealth of one bet over the pairs.
pub(super) struct Bet {
    /// Its colour.
    pub class: &'static str,
    /// What stands at its end.
    pub shape: Shape,
    /// Place of each pair on the axis, and the wealth after it.
    pub wealth: Vec<(f64, f64)>,
}

/// A wealth at which a bet wins.
pub(super) struct Goal {
    /// The wealth.
    pub wealth: f64,
    /// What it means.
    pub label: String,
    /// Whether the label stands below the line instead of above it.
    pub below: bool,
}

/// Paints the bets from a wealth of 1 on, and the lines where they win.
pub(super) fn paint_wealth(canvas: &mut Canvas, frame: Frame, ends: (f64, f64), bets: &[Bet], goals: &[Goal]) {
    let shown = |value: f64| value.max(POOR);
    let values = bets.iter().flat_map(|bet| bet.wealth.iter().map(|(_, wealth)| shown(*wealth)));
    let values = values.chain([1.0]).chain(goals.iter().map(|goal| goal.wealth));
    let Some(y) = Scale::log(values, frame.y0(), frame.y1()) else { return };
    canvas.y_axis(&y, "wealth, log scale: 1 at the start", &words::significant);
    let x = pair_axis(canvas, frame, ends);
    for goal in goals {
        let at = y.at(goal.wealth);
        canvas.line("limit", (frame.x0(), at), (frame.x1(), at));
        let beside = if goal.below { 14.0 } else { -5.0 };
        canvas.text("note halo-text", Anchor::Start, (frame.x0() + 6.0, at + beside), &goal.label);
    }
    for bet in bets {
        let mut placed = vec![(x.at(ends.0 - 1.0), y.at(1.0))];
        placed.extend(bet.wealth.iter().map(|(place, wealth)| (x.at(*place), y.at(shown(*wealth)))));
        canvas.path(&format!("curve {}", bet.class), &placed);
        if let Some(end) = placed.last() {
            canvas.mark(bet.shape, bet.class, *end, 4.0, "");
        }
    }
}

/// The wealth of both bets; `None` without pairs.
pub fn wealth(confirmation: &Confirmation) -> Option<Chart> {
    let pairs = &confirmation.pairs;
    let (goal, better) = (1.0 / confirmation.alpha, f64::from(confirmation.processes) / confirmation.alpha);
    if pairs.is_empty() || !goal.is_finite() || goal <= 0.0 {
        return None;
    }
    let of = |wealth: fn(&PairRow) -> f64| {
        pairs.iter().enumerate().map(|(index, row)| (index as f64 + 1.0, wealth(row))).collect()
    };
    let bets = [
        Bet { class: "tuned", shape: Shape::Disc, wealth: of(|row| row.wealth_better) },
        Bet { class: "incumbent", shape: Shape::Diamond, wealth: of(|row| row.wealth_no_better) },
    ];
    let goals = if confirmation.processes > 1 {
        let label = |what: &str, wealth: f64| format!("{what} at {}", words::significant(wealth));
        vec![
            Goal { wealth: better, label: label("better", better), below: false },
            Goal { wealth: goal, label: label("no better", goal), below: true },
        ]
    } else {
        vec![Goal { wealth: goal, label: format!("1/α = {}: decided", words::significant(goal)), below: false }]
    };
    let paint = |canvas: &mut Canvas, frame: Frame| {
        paint_wealth(canvas, frame, (1.0, pairs.len() as f64), &bets, &goals);
    };
    let mut twin = Table::new(
        "Wealth after each pair",
        &["#Pair", "#Against \u{201c}no faster\u{201d}", "#Against \u{201c}faster by the tolerance\u{201d}"],
    );
    for row in pairs {
        twin.row(vec![
            Cell::figure(row.pair.to_string()),
            Cell::or(Some(wealth_text(row.wealth_better)), ""),
            Cell::or(Some(wealth_text(row.wealth_no_better)), ""),
        ]);
    }
    let last = &pairs[pairs.len() - 1];
    let words = Words {
        id: "wealth".into(),
        title: "Wealth of the two bets".into(),
        description: format!(
            "After {} pairs the bet on better holds {}, the bet on no better {}; better takes {}, no better {}.",
            pairs.len(),
            wealth_text(last.wealth_better),
            wealth_text(last.wealth_no_better),
            words::significant(better),
            words::significant(goal)
        ),
        caption: format!(
            "Each pair is a fair bet if the claim it bets against is true, so wealth reaches 1/α with a chance of at most α = {}, whenever one looks. \u{201c}No better\u{201d} bets against an advantage of {} %.",
            words::significant(confirmation.alpha),
            words::significant(confirmation.tolerance * 100.0)
        ),
    };
    let chart = Chart::draw(words, &[Frame::wide(280.0), Frame::narrow(260.0)], twin, &paint);
    Some(chart.key("line", "tuned", "betting on \u{201c}better\u{201d}").key(
        "line",
        "incumbent",
        "betting on \u{201c}no better\u{201d}",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn void_pairs_stay_out_of_the_mean() {
        let row = |log_ratio| PairRow {
            pair: 0,
            incumbent_first: true,
            log_ratio,
            incumbent: None,
            candidate: None,
            wealth_better: 1.0,
            wealth_no_better: 1.0,
            regime: None,
        };
        let pairs = [row(Some(2.0_f64.ln())), row(None), row(Some(8.0_f64.ln())), row(Some(f64::NAN))];
        let line = running(places(&pairs));
        assert_eq!(line.len(), 2);
        assert!((line[1].1 - 4.0).abs() < 1e-9 && line[1].0 == 3.0);
    }
}
