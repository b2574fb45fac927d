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

/// All that the drawing needs.
struct Course<'a> {
    search: &'a Search,
    own: Vec<&'a Measured>,
    random: Vec<&'a Measured>,
    best: Vec<(f64, f64)>,
    chance: Vec<(f64, f64)>,
    placebo: Option<Placebo>,
    unit: &'a str,
}

impl<'a> Course<'a> {
    fn of(search: &'a Search, placebo: Option<Placebo>, unit: &'a str) -> Course<'a> {
        let of = |wanted: &dyn Fn(Source) -> bool| -> Vec<&'a Measured> {
            search.points.iter().filter(|p| wanted(p.source)).collect()
        };
        let own = of(&|source| matches!(source, Source::Start | Source::Spread | Source::Model));
        let random = of(&|source| source == Source::Random);
        let (best, chance) = (best_so_far(&own), best_so_far(&random));
        Course { search, own, random, best, chance, placebo, unit }
    }

    fn paint(&self, canvas: &mut Canvas, frame: Frame) {
        let placed = self.own.iter().chain(&self.random).filter_map(|p| usable(p));
        let band = self.placebo.into_iter().flat_map(|p| [p.low, p.high]);
        let Some(y) = Scale::log(placed.chain(band), frame.y0(), frame.y1()) else { return };
        let longest = self.own.len().max(self.random.len()) as f64;
        let x = Scale::linear(0.0, longest + 1.0, frame.x0(), frame.x1());
        if let Some(band) = self.placebo {
            let tip = "placebo: where duplicates of the incumbent fall";
            canvas.rect("band", (frame.x0(), y.at(band.low)), (frame.x1(), y.at(band.high)), tip);
        }
        canvas.y_axis(&y, "objective (p99), log scale", &|v| words::latency(v, self.unit));
        let ticks = x.ticks(if frame.narrow { 5 } else { 10 }).into_iter().filter(|t| *t >= 1.0 && t.fract() == 0.0);
        let ticks: Vec<_> = ticks.map(|t| (t, words::significant(t))).collect();
        canvas.x_axis(&x, &ticks, "points measured");
        let place = |stairs: &[(f64, f64)]| stairs.iter().map(|(n, v)| (x.at(*n), y.at(*v))).collect::<Vec<_>>();
        canvas.path("curve chance", &place(&self.chance));
        canvas.path("curve tuned", &place(&self.best));
        for (index, point) in self.random.iter().enumerate() {
            let Some(value) = usable(point) else { continue };
            let tip = format!("random search: {}", words::latency(value, self.unit));
            canvas.mark(Shape::Disc, "hollow", (x.at(index as f64 + 1.0), y.at(value)), 2.5, &tip);
        }
        for (index, point) in self.own.iter().enumerate() {
            if let Some(value) = usable(point) {
                self.mark(canvas, point, (x.at(index as f64 + 1.0), y.at(value)), value);
            }
        }
        let spread = self.own.iter().filter(|p| p.source != Source::Model).count() as f64;
        if spread < self.own.len() as f64 && spread > 0.0 {
            let at = x.at(spread + 0.5);
            canvas.line("guide", (at, frame.y0()), (at, frame.y1()));
            canvas.text("note halo-text", Anchor::Start, (at + 6.0, frame.y1() + 10.0), "the model proposes");
        }
    }

    fn mark(&self, canvas: &mut Canvas, point: &Measured, at: (f64, f64), value: f64) {
        let tip = format!("point {}: {}, {}", point.number, point.origin, words::latency(value, self.unit));
        let plain = if point.source == Source::Model { "model" } else { "point" };
        match (self.search.is_recommended(point), self.search.is_incumbent(point), point.feasible) {
            (true, ..) => canvas.mark(Shape::Target, "tuned", at, 4.5, &tip),
            (_, true, _) => canvas.mark(Shape::Diamond, "incumbent", at, 4.5, &tip),
            (.., false) => canvas.mark(Shape::Cross, "worse", at, 3.2, &tip),
            _ => canvas.mark(Shape::Disc, plain, at, 3.2, &tip),
        }
    }

    fn twin(&self) -> Table {
        let mut twin = Table::new("Points in order", &["#Point", "Proposed by", "#Objective", "Feasible", "Knobs"]);
        for point in &self.search.points {
            twin.row(vec![
                Cell::figure(point.number.to_string()),
                Cell::text(point.origin.clone()),
                Cell::or(point.objective.map(|o| words::latency(o, self.unit)), "one of its trials gave no result"),
                Cell::text(if point.feasible { "yes" } else { "no" }),
                Cell::text(words::point(&point.point)),
            ]);
        }
        twin
    }
}

/// The search's course; `None` when no point has an objective.
pub fn convergence(search: &Search, placebo: Option<Placebo>, unit: &str) -> Option<Chart> {
    let course = Course::of(search, placebo, unit);
    if !course.own.iter().any(|p| usable(p).is_some()) {
        return None;
    }
    let last = course.best.last().map_or_else(|| "nothing feasible".into(), |(_, v)| words::latency(*v, unit));
    let count = course.own.len();
    let words = Words {
        id: "convergence".into(),
        title: "Course of the search".into(),
        description: format!("{count} points of the search in order; the best feasible one so far ends at {last}."),
        caption:
            "The line is the lowest feasible observation so far, which noise flatters; the pick is the model\u{2019}s."
                .into(),
    };
    let frames = [Frame::wide(360.0), Frame::narrow(300.0)];
    let chart = Chart::draw(words, &frames, course.twin(), &|canvas, frame| course.paint(canvas, frame));
    let mut chart = chart.key("disc", "point", "spread over the space");
    if course.own.iter().any(|p| p.source == Source::Model) {
        chart = chart.key("disc", "model", "proposed by the model");
    }
    chart = chart.key("cross", "worse", "infeasible").key("line", "tuned", "best so far");
    if !course.random.is_empty() {
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
        let points = [
            point(None, true),
            point(Some(9.0), true),
            point(Some(1.0), false),
            point(Some(f64::NAN), true),
            point(Some(4.0), true),
        ];
        let series: Vec<&Measured> = points.iter().collect();
        assert_eq!(best_so_far(&series), [(2.0, 9.0), (3.0, 9.0), (4.0, 9.0), (5.0, 9.0), (5.0, 4.0)]);
    }
}
