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

fn pair_axis(canvas: &mut Canvas, frame: Frame, pairs: &[PairRow]) -> Scale {
    let x = Scale::linear(0.0, pairs.len() as f64 + 1.0, frame.x0(), frame.x1());
    let ticks = x.ticks(if frame.narrow { 5 } else { 10 }).into_iter().filter(|t| *t >= 1.0 && t.fract() == 0.0);
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

/// Geometric mean of the pairs up to each pair.
fn running(pairs: &[PairRow]) -> Vec<(f64, f64)> {
    let (mut sum, mut count, mut line) = (0.0, 0.0, Vec::new());
    for (index, row) in pairs.iter().enumerate() {
        let Some(ratio) = ratio(row) else { continue };
        sum += ratio.ln();
        count += 1.0;
        line.push((index as f64 + 1.0, (sum / count).exp()));
    }
    line
}

/// How many times faster the candidate was in each pair; `None` without a valid pair.
pub fn log_ratios(confirmation: &Confirmation, unit: &str) -> Option<Chart> {
    let pairs = &confirmation.pairs;
    let line = running(pairs);
    let (_, mean) = *line.last()?;
    let paint = |canvas: &mut Canvas, frame: Frame| {
        let values = pairs.iter().filter_map(ratio).chain([1.0]);
        let Some(y) = Scale::log(values, frame.y0(), frame.y1()) else { return };
        canvas.y_axis(&y, "incumbent ÷ tuned: above 1 the tuned one is faster", &words::times);
        let x = pair_axis(canvas, frame, pairs);
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
        &["#Pair", "Order", "#Incumbent", "#Tuned", "#Ratio", "Regime", "#Wealth: better", "#Wealth: no better"],
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

fn wealth_text(wealth: f64) -> String {
    if wealth.is_finite() && wealth > 0.0 && wealth < 1e-3 { "< 0.001".into() } else { words::significant(wealth) }
}

/// The wealth of both bets; `None` without pairs.
pub fn wealth(confirmation: &Confirmation) -> Option<Chart> {
    let pairs = &confirmation.pairs;
    let goal = 1.0 / confirmation.alpha;
    if pairs.is_empty() || !goal.is_finite() || goal <= 0.0 {
        return None;
    }
    let shown = |value: f64| value.max(POOR);
    let bets: [(&str, Vec<f64>); 2] = [
        ("tuned", pairs.iter().map(|row| shown(row.wealth_better)).collect()),
        ("incumbent", pairs.iter().map(|row| shown(row.wealth_no_better)).collect()),
    ];
    let paint = |canvas: &mut Canvas, frame: Frame| {
        let values = bets.iter().flat_map(|(_, wealth)| wealth.iter().copied()).chain([1.0, goal]);
        let Some(y) = Scale::log(values, frame.y0(), frame.y1()) else { return };
        canvas.y_axis(&y, "wealth, log scale: 1 at the start", &words::significant);
        let x = pair_axis(canvas, frame, pairs);
        canvas.line("limit", (frame.x0(), y.at(goal)), (frame.x1(), y.at(goal)));
        let text = format!("1/α = {}: decided", words::significant(goal));
        canvas.text("note halo-text", Anchor::Start, (frame.x0() + 6.0, y.at(goal) - 5.0), &text);
        for (class, wealth) in &bets {
            let mut placed = vec![(x.at(0.0), y.at(1.0))];
            placed.extend(wealth.iter().enumerate().map(|(i, w)| (x.at(i as f64 + 1.0), y.at(*w))));
            canvas.path(&format!("curve {class}"), &placed);
            if let Some(end) = placed.last() {
                canvas.mark(if *class == "tuned" { Shape::Disc } else { Shape::Diamond }, class, *end, 4.0, "");
            }
        }
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
            "After {} pairs the bet on better holds {}, the bet on no better {}; a bet wins at {}.",
            pairs.len(),
            wealth_text(last.wealth_better),
            wealth_text(last.wealth_no_better),
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
        let line = running(&[row(Some(2.0_f64.ln())), row(None), row(Some(8.0_f64.ln())), row(Some(f64::NAN))]);
        assert_eq!(line.len(), 2);
        assert!((line[1].1 - 4.0).abs() < 1e-9 && line[1].0 == 3.0);
    }
}
