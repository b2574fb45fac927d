//! Dot and whisker: the arms' intervals, what each knob does around the pick, and the pick against presets and chance.

use super::{Chart, Row, RowMark, Rows, Words};
use crate::{
    svg::Shape,
    table::{Cell, Table},
    words,
};
use rtt_measure::{Confirmation, Fit, Interval, KnobEffect};

fn finite(interval: &Interval) -> bool {
    [interval.estimate, interval.low, interval.high].iter().all(|v| v.is_finite() && *v > 0.0)
}

fn arm_row(group: &str, label: &str, incumbent: &Interval, tuned: &Interval, unit: &str) -> Row {
    let tip =
        |name: &str, i: &Interval| format!("{name}: {}, {}", words::latency(i.estimate, unit), words::ends(i, unit));
    Row {
        group: group.into(),
        label: label.into(),
        marks: vec![
            RowMark::of(incumbent, Shape::Diamond, "incumbent", tip("incumbent", incumbent)),
            RowMark::of(tuned, Shape::Disc, "tuned", tip("candidate", tuned)),
        ],
        note: words::change(tuned.estimate / incumbent.estimate),
    }
}

/// Incumbent and tuned with their intervals: what decides over all scenarios, then each scenario and condition, with p99 over
/// whole runs beside it. `limit` is the
/// machine's one-line round trip (its label, nanoseconds).
pub fn intervals(confirmation: &Confirmation, unit: &str, limit: Option<(String, f64)>) -> Option<Chart> {
    let (incumbent, tuned) = (&confirmation.objective_incumbent, &confirmation.objective_tuned);
    let mut figures: Vec<(&str, &str, &Interval, &Interval)> = vec![("objective", "typical p99", incumbent, tuned)];
    for row in &confirmation.arms {
        let [decides, whole] = match row.faulted {
            true => ["recovery", "p99, faulted"],
            false => ["typical p99", "whole-run p99"],
        };
        figures.push((&row.scenario, decides, &row.incumbent, &row.tuned));
        figures.push((&row.scenario, whole, &row.whole_incumbent, &row.whole_tuned));
    }
    let rows: Vec<Row> =
        figures.iter().map(|(what, which, incumbent, tuned)| arm_row(what, which, incumbent, tuned, unit)).collect();
    if !finite(&confirmation.objective_incumbent) || !finite(&confirmation.objective_tuned) {
        return None;
    }
    let mut twin = Table::new(
        "Both arms with 95 % intervals",
        &["What", "Figure", "#Incumbent", "#95 %", "#Candidate", "#95 %", "#Change"],
    );
    let mut add = |what: &str, condition: &str, incumbent: &Interval, tuned: &Interval| {
        twin.row(vec![
            Cell::text(what),
            Cell::text(condition),
            Cell::figure(words::latency(incumbent.estimate, unit)),
            Cell::figure(words::ends(incumbent, unit)),
            Cell::figure(words::latency(tuned.estimate, unit)),
            Cell::figure(words::ends(tuned, unit)),
            Cell::figure(words::change(tuned.estimate / incumbent.estimate)),
        ]);
    };
    figures.iter().for_each(|(what, which, incumbent, tuned)| add(what, which, incumbent, tuned));
    let drawn = limit.is_some();
    let lines: Vec<_> = limit.into_iter().map(|(label, value)| (value, label, "limit")).collect();
    let label = |v: f64| words::latency(v, unit);
    let view = Rows { rows: &rows, lines: &lines, title: "log scale: left is faster", label: &label };
    let words = Words {
        id: "intervals".into(),
        title: "Incumbent and candidate".into(),
        description: format!(
            "Two dots with 95 % intervals in each of {} rows on a logarithmic axis; the candidate is {} overall.",
            rows.len(),
            words::change(confirmation.ratio.estimate)
        ),
        caption: String::new(),
    };
    let chart = Chart::draw(words, &view.frames(), twin, &|canvas, frame| view.paint(canvas, frame))
        .key("diamond", "incumbent", "incumbent, 95 % interval")
        .key("disc", "tuned", "candidate, 95 % interval");
    Some(if drawn { chart.key("dash", "limit", "the machine: one cache line there and back") } else { chart })
}

/// What one step of each knob away from the recommended point does; `None` without effects.
pub fn effects(effects: &[KnobEffect]) -> Option<Chart> {
    let effects: Vec<&KnobEffect> = effects.iter().filter(|e| finite(&e.ratio)).collect();
    if effects.is_empty() {
        return None;
    }
    let mut twin = Table::new(
        "Objective over that of the recommended point",
        &["Knob", "Value instead", "#Ratio", "#95 %", "Reading"],
    );
    let mut rows = Vec::new();
    for effect in &effects {
        let (name, value) = (words::axis_name(&effect.axis), words::axis_text(&effect.axis, &effect.value));
        let ends = format!("{} to {}", words::times(effect.ratio.low), words::times(effect.ratio.high));
        let (class, reading) = match effect.ratio {
            Interval { low, .. } if low > 1.0 => ("worse", "worse than the pick"),
            Interval { high, .. } if high < 1.0 => ("tuned", "better under the model: the search stopped before it"),
            _ => ("quiet", "not to be told from the pick"),
        };
        let tip = format!("{name} {value}: {}, {ends}", words::times(effect.ratio.estimate));
        rows.push(Row {
            group: name.clone(),
            label: value.clone(),
            marks: vec![RowMark::of(&effect.ratio, Shape::Disc, class, tip)],
            note: words::times(effect.ratio.estimate),
        });
        twin.row(vec![
            Cell::text(name),
            Cell::text(value),
            Cell::figure(words::times(effect.ratio.estimate)),
            Cell::figure(ends),
            Cell::text(reading),
        ]);
    }
    let lines = [(1.0, "the pick".to_owned(), "limit")];
    let view =
        Rows { rows: &rows, lines: &lines, title: "objective there ÷ at the pick, log scale", label: &words::times };
    let worse = effects.iter().filter(|e| e.ratio.low > 1.0).count();
    let words = Words {
        id: "effects".into(),
        title: "Each knob's effect around the pick".into(),
        description: format!(
            "{} steps away from the recommended point; {worse} of them are worse with an interval that leaves out 1.",
            rows.len()
        ),
        caption: "One knob is moved, the others stay. A whisker across the line means: this knob hardly matters here."
            .into(),
    };
    let chart = Chart::draw(words, &view.frames(), twin, &|canvas, frame| view.paint(canvas, frame));
    Some(chart.key("disc", "worse", "worse").key("disc", "quiet", "no difference shown").key("disc", "tuned", "better"))
}

/// One row of a comparison: who, how many points, the best objective, its interval under the model.
type Rival = (String, usize, f64, Option<Interval>, &'static str);

/// The pick beside the start, the presets and random search; `None` when there is neither preset nor random search.
pub fn comparison(fit: &Fit) -> Option<Chart> {
    use rtt_measure::Origin;
    let best = |wanted: &dyn Fn(&Origin) -> bool| {
        let points = fit.points.iter().filter(|p| wanted(&p.origin));
        let count = points.clone().count();
        let feasible = points.filter(|p| p.feasible).filter_map(|p| Some((p, p.objective?)));
        let best = feasible.filter(|(_, o)| o.is_finite() && *o > 0.0).min_by(|a, b| a.1.total_cmp(&b.1));
        best.map(|(point, objective)| (count, objective, point.posterior))
    };
    let mut rivals: Vec<Rival> = Vec::new();
    let mut others = 0;
    for point in &fit.points {
        let (Origin::Start(_) | Origin::Preset(_)) = &point.origin else { continue };
        let is_preset = matches!(point.origin, Origin::Preset(_));
        let Some(objective) = point.objective.filter(|o| o.is_finite() && *o > 0.0) else { continue };
        others += usize::from(is_preset);
        let name = words::origin(&point.origin) + if point.feasible { "" } else { " (infeasible)" };
        rivals.push((name, 1, objective, point.posterior, if is_preset { "quiet" } else { "incumbent" }));
    }
    if let Some((count, objective, posterior)) = best(&|o| *o == Origin::Random) {
        others += 1;
        rivals.push(("random search, its best".into(), count, objective, posterior, "quiet"));
    }
    if let Some(point) = fit.recommended.and_then(|index| fit.points.get(index))
        && let Some(objective) = point.objective.filter(|o| o.is_finite() && *o > 0.0)
    {
        let count = fit.points.iter().filter(|p| matches!(p.origin, Origin::LatinHypercube | Origin::Model)).count();
        rivals.push(("recommended".into(), count, objective, point.posterior, "tuned"));
    }
    (others > 0).then(|| draw_comparison(&rivals, &fit.unit))
}

fn draw_comparison(rivals: &[Rival], unit: &str) -> Chart {
    let mut twin = Table::new("Best objective of each", &["Who", "#Points", "#Observed", "#Model's 95 %"]);
    let mut rows = Vec::new();
    for (name, count, objective, posterior, class) in rivals {
        let posterior = posterior.filter(finite);
        let shape = if *class == "incumbent" { Shape::Diamond } else { Shape::Disc };
        let ends = posterior.map(|p| (p.low, p.high));
        let tip = format!("{name}: {}", words::latency(*objective, unit));
        rows.push(Row {
            group: String::new(),
            label: name.clone(),
            marks: vec![RowMark { estimate: *objective, ends, shape, class, tip }],
            note: words::latency(*objective, unit),
        });
        twin.row(vec![
            Cell::text(name.clone()),
            Cell::figure(count.to_string()),
            Cell::figure(words::latency(*objective, unit)),
            Cell::or(posterior.map(|p| words::ends(&p, unit)), "the model was not fitted to it"),
        ]);
    }
    let label = |v: f64| words::latency(v, unit);
    let view = Rows { rows: &rows, lines: &[], title: "objective, log scale: left is faster", label: &label };
    let words = Words {
        id: "comparison".into(),
        title: "Presets, random search and the pick".into(),
        description: format!("The best observed objective of {} ways to choose knobs.", rows.len()),
        caption: "Dots are observed in the search, whiskers the model's 95 % interval. Random search had the tuner's own budget. The best of many noisy observations is flattered: the confirmation decides, not this chart.".into(),
    };
    Chart::draw(words, &view.frames(), twin, &|canvas, frame| view.paint(canvas, frame))
}
