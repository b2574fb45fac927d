//! The search over its points: what each gave, the best so far, and chance at the same budget.

use super::{Chart, Words};
use crate::{
    search::{Measured, Search, Source},
    svg::{Anchor, Canvas, Frame, Scale, Shape},
    table::{Cell, Table},
    words,
};

/// Where duplicates of the incumbent fall.
#[derive(Clone, Copy, Debug)]
pub struct Placebo {
    /// Lower edge in the unit of the objective.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
}

fn usable(point: &Measured) -> Option<f64> {
    point.objective.filter(|o| o.is_finite() && *o > 0.0)
}

/// Best feasible objective after each point of `series`, as stairs.
fn best_so_far(series: &[&Measured]) -> Vec<(f64, f64)> {
    let mut best: Option<f64> = None;
    let mut stairs = Vec::new();
    for (index, point) in series.iter().enumerate() {
        let x = index as f64 + 1.0;
        let objective = usable(point).filter(|_| point.feasible);
        if let Some(before) = best {
            stairs.push((x, before));
        }
        if let Some(objective) = objective.filter(|o| best.is_none_or(|b| *o < b)) {
            best = Some(objective);
            stairs.push((x, objective));
        }
    }
    stairs
}

/// The search's course; `None` when no point has an objective.
pub fn convergence(search: &Search, placebo: Option<Placebo>, unit: &str) -> Option<Chart> {
    let of = |wanted: &dyn Fn(Source) -> bool| -> Vec<&Measured> {
        search.points.iter().filter(|p| wanted(p.source)).collect()
    };
    let own = of(&|source| matches!(source, Source::Start | Source::Spread | Source::Model));
    let random = of(&|source| source == Source::Random);
    let placed = own.iter().chain(&random).filter_map(|p| usable(p));
    let band = placebo.into_iter().flat_map(|p| [p.low, p.high]);
    let values: Vec<f64> = placed.chain(band).collect();
    if !own.iter().any(|p| usable(p).is_some()) {
        return None;
    }
    let (best, chance) = (best_so_far(&own), best_so_far(&random));
    let paint = |canvas: &mut Canvas, frame: Frame| {
        let Some(y) = Scale::log(values.iter().copied(), frame.y0(), frame.y1()) else { return };
        let longest = own.len().max(random.len()) as f64;
        let x = Scale::linear(0.0, longest + 1.0, frame.x0(), frame.x1());
        if let Some(band) = placebo {
            canvas.rect("band", (frame.x0(), y.at(band.low)), (frame.x1(), y.at(band.high)), "placebo: where duplicates of the incumbent fall");
        }
        canvas.y_axis(&y, "objective (p99), log scale", &|v| words::latency(v, unit));
        let ticks = x.ticks(if frame.narrow { 5 } else { 10 }).into_iter().filter(|t| *t >= 1.0 && t.fract() == 0.0);
        let ticks: Vec<_> = ticks.map(|t| (t, words::significant(t))).collect();
        canvas.x_axis(&x, &ticks, "points measured");
        let place = |stairs: &[(f64, f64)]| stairs.iter().map(|(n, v)| (x.at(*n), y.at(*v))).collect::<Vec<_>>();
        canvas.path("curve chance", &place(&chance));
        canvas.path("curve tuned", &place(&best));
        for (index, point) in random.iter().enumerate() {
            let Some(value) = usable(point) else { continue };
            let tip = format!("random search: {}", words::latency(value, unit));
            canvas.mark(Shape::Disc, "hollow", (x.at(index as f64 + 1.0), y.at(value)), 2.5, &tip);
        }
        for (index, point) in own.iter().enumerate() {
            let Some(value) = usable(point) else { continue };
            let at = (x.at(index as f64 + 1.0), y.at(value));
            let tip = format!("point {}: {}, {}", point.number, point.origin, words::latency(value, unit));
            match (search.is_recommended(point), search.is_incumbent(point), point.feasible) {
                (true, ..) => canvas.mark(Shape::Target, "tuned", at, 4.5, &tip),
                (_, true, _) => canvas.mark(Shape::Diamond, "incumbent", at, 4.5, &tip),
                (.., false) => canvas.mark(Shape::Cross, "worse", at, 3.2, &tip),
                _ => canvas.mark(Shape::Disc, if point.source == Source::Model { "model" } else { "point" }, at, 3.2, &tip),
            }
        }
        let spread = own.iter().filter(|p| p.source != Source::Model).count() as f64;
        if spread < own.len() as f64 && spread > 0.0 {
            let at = x.at(spread + 0.5);
            canvas.line("guide", (at, frame.y0()), (at, frame.y1()));
            canvas.text("note halo-text", Anchor::Start, (at + 6.0, frame.y1() + 10.0), "the model proposes");
        }
    };
    let mut twin = Table::new("Points in order", &["#Point", "Proposed by", "#Objective", "Feasible", "Knobs"]);
    for point in &search.points {
        twin.row(vec![
            Cell::figure(point.number.to_string()),
            Cell::text(point.origin.clone()),
            Cell::or(point.objective.map(|o| words::latency(o, unit)), "one of its trials gave no result"),
            Cell::text(if point.feasible { "yes" } else { "no" }),
            Cell::text(words::point(&point.point)),
        ]);
    }
    let last = best.last().map_or_else(|| "nothing feasible".into(), |(_, v)| words::latency(*v, unit));
    let words = Words {
        id: "convergence".into(),
        title: "Course of the search".into(),
        description: format!("{} points of the search in order; the best feasible one so far ends at {last}.", own.len()),
        caption: "The line is the lowest feasible observation so far, which noise flatters; the pick is made by the model.".into(),
    };
    let mut chart = Chart::draw(words, &[Frame::wide(360.0), Frame::narrow(300.0)], twin, &paint)
        .key("disc", "point", "spread over the space")
        .key("disc", "model", "proposed by the model")
        .key("cross", "worse", "infeasible")
        .key("line", "tuned", "best so far");
    if !random.is_empty() {
        chart = chart.key("dash", "chance", "random search, best so far");
    }
    if placebo.is_some() {
        chart = chart.key("band", "incumbent", "placebo: duplicates of the incumbent, 95 %");
    }
    Some(chart)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_so_far_falls_only_for_feasible_results() {
        let point = |objective, feasible| Measured { objective, feasible, ..Measured::default() };
        let points =
            [point(None, true), point(Some(9.0), true), point(Some(1.0), false), point(Some(f64::NAN), true), point(Some(4.0), true)];
        let series: Vec<&Measured> = points.iter().collect();
        assert_eq!(best_so_far(&series), [(2.0, 9.0), (3.0, 9.0), (4.0, 9.0), (5.0, 9.0), (5.0, 4.0)]);
    }
}
