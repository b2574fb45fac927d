//! A gate's charts: the ratio of every scenario, the wealth of its three bets, and each pair's ratio.

use super::wealth::{Bet, Goal, paint_wealth, pair_axis, running, wealth_text};
use super::{Chart, Row, RowMark, Rows, Words};
use crate::{
    svg::{Canvas, Frame, Scale, Shape},
    table::{Cell, Table},
    words,
};
use rtt_measure::{Gate, GatePair, GateScenario, GateVerdict, Interval};

fn finite(interval: &Interval) -> bool {
    [interval.estimate, interval.low, interval.high].iter().all(|v| v.is_finite() && *v > 0.0)
}

/// Candidate over base in one pair; `None` in a void one.
pub fn pair_ratio(pair: &GatePair) -> Option<f64> {
    let ratio = pair.log_ratio.filter(|_| pair.void.is_none()).map(f64::exp);
    ratio.filter(|ratio| ratio.is_finite() && *ratio > 0.0)
}

/// Which arm the coin put first.
pub const fn pair_first(pair: &GatePair) -> &'static str {
    if pair.candidate_first { "candidate" } else { "base" }
}

/// Why a pair has no ratio.
pub fn pair_void(pair: &GatePair) -> &str {
    pair.void.as_deref().unwrap_or("the verdict does not say why it is void")
}

/// First and last number of the pairs; `None` without pairs.
fn ends(pairs: &[GatePair]) -> Option<(f64, f64)> {
    let numbers = || pairs.iter().map(|pair| pair.pair);
    Some((f64::from(numbers().min()?), f64::from(numbers().max()?)))
}

fn verdict_row(scenario: &GateScenario, ratio: Option<Interval>) -> Row {
    let tolerance = 1.0 + scenario.tolerance;
    let mut marks = Vec::new();
    if tolerance.is_finite() && tolerance > 0.0 {
        let tip = format!("tolerance: {}", words::change(tolerance));
        marks.push(RowMark { estimate: tolerance, ends: None, shape: Shape::Cross, class: "quiet", tip });
    }
    let (shape, class) = match scenario.verdict {
        GateVerdict::Fail | GateVerdict::Breach => (Shape::Diamond, "worse"),
        GateVerdict::Pass => (Shape::Disc, "tuned"),
        GateVerdict::Undecided => (Shape::Disc, "quiet"),
    };
    if let Some(ratio) = ratio {
        let tip = format!("{}: {}", words::change(ratio.estimate), words::change_ends(&ratio));
        marks.push(RowMark::of(&ratio, shape, class, tip));
    }
    let note = words::gate_verdict(scenario.verdict).into();
    Row { group: String::new(), label: scenario.scenario.clone(), marks, note }
}

/// The ratio of every scenario with its interval and tolerance; `None` where none has a ratio.
pub fn gate_ratios(gate: &Gate) -> Option<Chart> {
    let mut twin = Table::new(
        "Candidate \u{f7} base at p99, by scenario",
        &["Scenario", "Verdict", "#Ratio", "#Change", "#95 %", "#Tolerance"],
    );
    let mut rows = Vec::new();
    for scenario in &gate.scenarios {
        let ratio = scenario.ratio.filter(finite);
        let why = "fewer than two pairs gave a ratio";
        rows.push(verdict_row(scenario, ratio));
        twin.row(vec![
            Cell::text(scenario.scenario.clone()),
            Cell::text(words::gate_verdict(scenario.verdict)),
            Cell::or(ratio.map(|r| words::ratio(r.estimate)), why),
            Cell::or(ratio.map(|r| words::change(r.estimate)), why),
            Cell::or(ratio.map(|r| words::change_ends(&r)), why),
            Cell::or(Some(words::percent(scenario.tolerance)), ""),
        ]);
    }
    let told = gate.scenarios.iter().filter_map(|scenario| {
        let ratio = scenario.ratio.filter(finite)?;
        Some(format!("{} {}", scenario.scenario, words::change(ratio.estimate)))
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() {
        return None;
    }
    let lines = [(1.0, "equal".to_owned(), "limit")];
    let title = "candidate \u{f7} base, log scale: left is faster";
    let view = Rows { rows: &rows, lines: &lines, title, label: &words::times };
    let words = Words {
        id: "ratios".into(),
        title: "p99 of the candidate over that of its base".into(),
        description: format!(
            "One dot with a 95 % interval for each scenario, on a logarithmic axis: {}.",
            told.join(", ")
        ),
        caption:
            "A cross stands at the tolerance: how much slower matters. The bets on the pairs decide, not the interval."
                .into(),
    };
    let chart = Chart::draw(words, &view.frames(), twin, &|canvas, frame| view.paint(canvas, frame));
    Some(chart.key("disc", "quiet", "ratio, 95 % interval").key("cross", "quiet", "tolerance"))
}

/// The wealth of the three bets; `None` without pairs, or where alpha gives no threshold.
pub fn gate_wealth(id: &str, gate: &Gate, scenario: &GateScenario) -> Option<Chart> {
    let pairs = &scenario.pairs;
    let ends = ends(pairs)?;
    let (fails_at, passes_at) = (f64::from(gate.processes) / gate.alpha, 1.0 / gate.alpha);
    if ![fails_at, passes_at].iter().all(|goal| goal.is_finite() && *goal > 0.0) {
        return None;
    }
    let of = |wealth: fn(&GatePair) -> f64| pairs.iter().map(|pair| (f64::from(pair.pair), wealth(pair))).collect();
    let bets = [
        Bet { class: "chance", shape: Shape::Cross, wealth: of(|pair| pair.wealth_lapses) },
        Bet { class: "tuned", shape: Shape::Disc, wealth: of(|pair| pair.wealth_pass) },
        Bet { class: "worse", shape: Shape::Diamond, wealth: of(|pair| pair.wealth_fail) },
    ];
    let goal = |wealth: f64, label: &str, below| {
        let label = format!("{label} = {}", words::significant(wealth));
        Goal { wealth, label, below }
    };
    let goals = [goal(fails_at, "FAIL at k/α", false), goal(passes_at, "PASS at 1/α", true)];
    let paint = |canvas: &mut Canvas, frame: Frame| paint_wealth(canvas, frame, ends, &bets, &goals);
    let mut twin = Table::new("Wealth after each pair", &["#Pair", "#FAIL", "#PASS", "#FAIL, lapses"]);
    for pair in pairs {
        let wealth = |wealth| Cell::or(Some(wealth_text(wealth)), "");
        let number = Cell::figure(pair.pair.to_string());
        twin.row(vec![number, wealth(pair.wealth_fail), wealth(pair.wealth_pass), wealth(pair.wealth_lapses)]);
    }
    let last = pairs.last()?;
    let words = Words {
        id: id.into(),
        title: "Wealth of the bets".into(),
        description: format!(
            "After {} pairs the bet on slower holds {}, that on not slower {}, that on lapses (runs that never settle, slices that stall) {}; FAIL takes {}, PASS {}.",
            pairs.len(),
            wealth_text(last.wealth_fail),
            wealth_text(last.wealth_pass),
            wealth_text(last.wealth_lapses),
            words::significant(fails_at),
            words::significant(passes_at),
        ),
        caption: format!(
            "k = {} bets share FAIL: if the arms are alike, the chance that any of them ever reaches k/α is at most α = {}, whenever one looks. PASS bets against a candidate slower by {}, and takes that one ratio holds in every pair.",
            gate.processes,
            words::significant(gate.alpha),
            words::percent(scenario.tolerance),
        ),
    };
    let chart = Chart::draw(words, &[Frame::wide(300.0), Frame::narrow(280.0)], twin, &paint);
    Some(chart.key("line", "worse", "FAIL: slower").key("line", "tuned", "PASS: not slower by the tolerance").key(
        "dash",
        "chance",
        "FAIL: the candidate alone never settles",
    ))
}

fn paint_pairs(canvas: &mut Canvas, frame: Frame, scenario: &GateScenario, line: &[(f64, f64)]) {
    let tolerance = 1.0 + scenario.tolerance;
    let ratios = scenario.pairs.iter().filter_map(pair_ratio);
    let Some(y) = Scale::log(ratios.chain([1.0, tolerance]), frame.y0(), frame.y1()) else { return };
    let Some(ends) = ends(&scenario.pairs) else { return };
    canvas.y_axis(&y, "candidate \u{f7} base, log scale: above 1 it is slower", &words::times);
    let x = pair_axis(canvas, frame, ends);
    canvas.line("base", (frame.x0(), y.at(1.0)), (frame.x1(), y.at(1.0)));
    canvas.line("limit", (frame.x0(), y.at(tolerance)), (frame.x1(), y.at(tolerance)));
    for pair in &scenario.pairs {
        let at = x.at(f64::from(pair.pair));
        let Some(ratio) = pair_ratio(pair) else {
            canvas.mark(
                Shape::Cross,
                "worse",
                (at, y.at(1.0)),
                3.5,
                &format!("pair {}: void: {}", pair.pair, pair_void(pair)),
            );
            continue;
        };
        let regime = pair.regime.as_deref().map_or(String::new(), |regime| format!(", regime {regime}"));
        let tip = format!("pair {}: {}, {} first{regime}", pair.pair, words::change(ratio), pair_first(pair));
        let class = if pair.candidate_first { "hollow tuned" } else { "tuned" };
        canvas.line("stem", (at, y.at(1.0)), (at, y.at(ratio)));
        canvas.mark(Shape::Disc, class, (at, y.at(ratio)), 3.6, &tip);
    }
    let placed: Vec<_> = line.iter().map(|(place, mean)| (x.at(*place), y.at(*mean))).collect();
    canvas.path("curve mean", &placed);
}

/// Each pair's ratio in order; `None` without pairs.
pub fn gate_pairs(id: &str, scenario: &GateScenario) -> Option<Chart> {
    let pairs = &scenario.pairs;
    ends(pairs)?;
    let line = running(pairs.iter().map(|pair| (f64::from(pair.pair), pair_ratio(pair))));
    let mut twin = Table::new("Pairs in order", &["#Pair", "First", "#Ratio", "#Change", "Regime"]);
    for pair in pairs {
        let ratio = pair_ratio(pair);
        twin.row(vec![
            Cell::figure(pair.pair.to_string()),
            Cell::text(pair_first(pair)),
            Cell::or(ratio.map(words::ratio), pair_void(pair)),
            Cell::or(ratio.map(words::change), pair_void(pair)),
            pair.regime.clone().map_or_else(|| Cell::absent("no probe ran around the pair"), Cell::text),
        ]);
    }
    let void = pairs.len() - line.len();
    let mean = match line.last() {
        Some((_, mean)) => format!("the candidate is {} by their geometric mean", words::change(*mean)),
        None => "none gave a ratio".into(),
    };
    let words = Words {
        id: id.into(),
        title: "Every pair's ratio".into(),
        description: format!("{} pairs, {void} of them void; {mean}.", pairs.len()),
        caption: "A coin decided which arm ran first. The line is the geometric mean so far; a drift of the machine moves both arms of a pair.".into(),
    };
    let frames = [Frame::wide(300.0), Frame::narrow(270.0)];
    let chart = Chart::draw(words, &frames, twin, &|canvas, frame| paint_pairs(canvas, frame, scenario, &line))
        .key("disc", "tuned", "base ran first")
        .key("disc", "hollow tuned", "candidate ran first")
        .key("line", "mean", "mean so far")
        .key("dash", "limit", format!("tolerance: {}", words::change(1.0 + scenario.tolerance)));
    Some(if void > 0 { chart.key("cross", "worse", "void pair") } else { chart })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_void_pair_has_no_ratio() {
        let pair = |log_ratio, void: Option<&str>| GatePair {
            pair: 0,
            candidate_first: false,
            base_ns_p99: None,
            candidate_ns_p99: None,
            log_ratio,
            void: void.map(Into::into),
            wealth_fail: 1.0,
            wealth_pass: 1.0,
            wealth_lapses: 1.0,
            regime: None,
        };
        assert_eq!(pair_ratio(&pair(Some(0.0), None)), Some(1.0));
        for none in
            [pair(None, None), pair(Some(0.0), Some("stall")), pair(Some(f64::NAN), None), pair(Some(1e9), None)]
        {
            assert_eq!(pair_ratio(&none), None, "{none:?}");
        }
    }
}
