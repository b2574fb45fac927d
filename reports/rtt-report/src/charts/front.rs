//! p99 against CPU: what a lower latency costs, and which points nothing else beats on both.

use super::{Chart, Words};
use crate::{
    search::{Measured, Search},
    svg::{Anchor, Canvas, Frame, Scale, Shape},
    table::{Cell, Table},
    words,
};

/// A measured point with both coordinates.
struct Placed<'a> {
    point: &'a Measured,
    cpu: f64,
    objective: f64,
}

/// Feasible points that no feasible point beats in both CPU and objective, by rising CPU.
fn pareto<'a, 'b>(placed: &'b [Placed<'a>]) -> Vec<&'b Placed<'a>> {
    let mut feasible: Vec<&Placed<'_>> = placed.iter().filter(|p| p.point.feasible).collect();
    feasible.sort_by(|a, b| a.cpu.total_cmp(&b.cpu).then(a.objective.total_cmp(&b.objective)));
    let mut best = f64::INFINITY;
    feasible.retain(|p| {
        let beats = p.objective < best;
        best = best.min(p.objective);
        beats
    });
    feasible
}

/// The front; `None` when no point tells both its CPU and its objective.
pub fn front(search: &Search, unit: &str) -> Option<Chart> {
    let placed: Vec<Placed<'_>> = search
        .points
        .iter()
        .filter_map(|point| {
            let (cpu, objective) = (point.cpu_millicores? / 1000.0, point.objective?);
            (cpu.is_finite() && objective.is_finite() && objective > 0.0).then_some(Placed { point, cpu, objective })
        })
        .collect();
    if placed.is_empty() {
        return None;
    }
    let front = pareto(&placed);
    let paint = |canvas: &mut Canvas, frame: Frame| paint(canvas, frame, search, &placed, &front, unit);
    let infeasible = placed.iter().filter(|p| !p.point.feasible).count();
    let words = Words {
        id: "front".into(),
        title: "p99 against CPU".into(),
        description: format!(
            "{} measured points, {infeasible} of them infeasible; {} lie on the front that no other feasible point beats.",
            placed.len(),
            front.len()
        ),
        caption: "Below the stepped line nothing feasible was found; along it, less CPU costs latency.".into(),
    };
    let chart = Chart::draw(words, &[Frame::wide(400.0), Frame::narrow(320.0)], twin(&front, unit), &paint)
        .key("disc", "point", "feasible")
        .key("cross", "worse", "infeasible")
        .key("line", "pareto", "front")
        .key("diamond", "incumbent", "incumbent");
    Some(if search.recommended.is_some() { chart.key("ring", "tuned", "recommended") } else { chart })
}

fn paint(canvas: &mut Canvas, frame: Frame, search: &Search, placed: &[Placed<'_>], front: &[&Placed<'_>], unit: &str) {
    let top = placed.iter().map(|p| p.cpu).fold(0.0, f64::max);
    let Some(y) = Scale::log(placed.iter().map(|p| p.objective), frame.y0(), frame.y1()) else { return };
    let x = Scale::linear(0.0, (top * 1.06).max(0.1), frame.x0(), frame.x1());
    canvas.y_axis(&y, "objective (p99), log scale", &|v| words::latency(v, unit));
    let ticks: Vec<_> =
        x.ticks(if frame.narrow { 4 } else { 9 }).into_iter().map(|t| (t, words::significant(t))).collect();
    canvas.x_axis(&x, &ticks, "CPU used by the endpoint (CPUs)");
    let mut stairs = Vec::new();
    for pair in front {
        if let Some((_, above)) = stairs.last().copied() {
            stairs.push((x.at(pair.cpu), above));
        }
        stairs.push((x.at(pair.cpu), y.at(pair.objective)));
    }
    canvas.path("curve pareto", &stairs);
    // The two points that matter are drawn last, so that nothing hides them.
    let rank = |p: &Placed<'_>| u8::from(search.is_incumbent(p.point)) + 2 * u8::from(search.is_recommended(p.point));
    let mut order: Vec<&Placed<'_>> = placed.iter().collect();
    order.sort_by_key(|p| rank(p));
    for p in order {
        mark(canvas, search, p, (x.at(p.cpu), y.at(p.objective)), p.cpu > top * 0.6, unit);
    }
}

/// Draws one point; a label stands left of a point `at_right`, else right of it.
fn mark(canvas: &mut Canvas, search: &Search, p: &Placed<'_>, at: (f64, f64), at_right: bool, unit: &str) {
    let tip = format!(
        "point {}: {}, {}, {}",
        p.point.number,
        p.point.origin,
        words::latency(p.objective, unit),
        words::cpus(p.cpu * 1000.0)
    );
    let side = if at_right { (Anchor::End, -11.0) } else { (Anchor::Start, 11.0) };
    match (search.is_recommended(p.point), search.is_incumbent(p.point), p.point.feasible) {
        (true, ..) => {
            canvas.mark(Shape::Target, "tuned", at, 5.0, &tip);
            canvas.text("value halo-text tuned", side.0, (at.0 + side.1, at.1 + 17.0), "recommended");
        }
        (_, true, _) => {
            canvas.mark(Shape::Diamond, "incumbent", at, 5.0, &tip);
            canvas.text("value halo-text incumbent", side.0, (at.0 + side.1, at.1 - 8.0), "incumbent");
        }
        (.., true) => canvas.mark(Shape::Disc, "point", at, 3.5, &tip),
        (.., false) => canvas.mark(Shape::Cross, "worse", at, 3.5, &tip),
    }
}

fn twin(front: &[&Placed<'_>], unit: &str) -> Table {
    let mut twin = Table::new("Points on the front, by CPU", &["#Point", "Proposed by", "#CPU", "#Objective", "Knobs"]);
    for p in front {
        twin.row(vec![
            Cell::figure(p.point.number.to_string()),
            Cell::text(p.point.origin.clone()),
            Cell::figure(words::cpus(p.cpu * 1000.0)),
            Cell::figure(words::latency(p.objective, unit)),
            Cell::text(words::point(&p.point.point)),
        ]);
    }
    twin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_rises_in_cpu_and_falls_in_latency_and_leaves_the_infeasible_out() {
        let point = |feasible| Measured { feasible, ..Measured::default() };
        let (yes, no) = (point(true), point(false));
        let of = |point, cpu, objective| Placed { point, cpu, objective };
        let placed =
            [of(&yes, 1.0, 5.0), of(&yes, 0.5, 9.0), of(&no, 0.1, 1.0), of(&yes, 0.8, 9.5), of(&yes, 0.5, 8.0)];
        let front: Vec<_> = pareto(&placed).iter().map(|p| (p.cpu, p.objective)).collect();
        assert_eq!(front, [(0.5, 8.0), (1.0, 5.0)]);
    }
}
