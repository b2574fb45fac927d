//! Ring by window: the best and the mean objective that was seen in each cell, hatched where nothing was measured.

use super::{Chart, Words};
use crate::{
    search::{Measured, Search},
    svg::{Anchor, Canvas, Frame},
    table::{Cell, Table},
    words,
};
use rtt_measure::{Axis, Kind, Scale as AxisScale, Value};

/// Why there is no heat map.
pub type Absent = String;

/// Most cells of a side; an axis with more values is cut into stretches that are equal on its own scale.
const CELLS: usize = 9;
/// Steps of the colour ramp in the style sheet: `h0` is the fastest.
const STEPS: usize = 8;

/// One side of the map: the upper edge of each stretch and its label.
struct Side {
    name: String,
    axis: String,
    cells: Vec<(f64, String)>,
}

impl Side {
    fn of(axis: &Axis) -> Option<Side> {
        let mut values: Vec<f64> = axis.values.iter().filter_map(Value::as_f64).collect();
        values.retain(|v| v.is_finite());
        values.sort_by(f64::total_cmp);
        let named = |value: f64| {
            let whole = value.fract() == 0.0 && value.abs() < 9e15;
            words::axis_value(&axis.name, &if whole { Value::Integer(value as i64) } else { Value::Real(value) })
        };
        let cells = if !values.is_empty() && values.len() <= CELLS {
            values.iter().map(|v| (*v, named(*v))).collect()
        } else {
            stretches(axis, axis.min.or(values.first().copied())?, axis.max.or(values.last().copied())?, &named)
        };
        let is_side = cells.len() > 1;
        is_side.then(|| Side { name: words::axis_name(&axis.name), axis: axis.name.clone(), cells })
    }

    fn cell(&self, point: &Measured) -> Option<usize> {
        let value = point.point.get(&self.axis)?.as_f64()?;
        Some(self.cells.iter().position(|(edge, _)| value <= *edge).unwrap_or(self.cells.len() - 1))
    }
}

fn stretches(axis: &Axis, min: f64, max: f64, named: &dyn Fn(f64) -> String) -> Vec<(f64, String)> {
    type Map = fn(f64) -> f64;
    let (to, from): (Map, Map) = match axis.scale {
        AxisScale::Linear => (|x| x, |x| x),
        AxisScale::Log2 => (f64::log2, f64::exp2),
        AxisScale::Log1p => (f64::ln_1p, f64::exp_m1),
    };
    let (low, high) = (to(min), to(max));
    if !low.is_finite() || !high.is_finite() || low >= high {
        return Vec::new();
    }
    let whole = axis.kind == Kind::Integer;
    let count =
        if axis.scale == AxisScale::Log2 && whole && high - low < CELLS as f64 { (high - low) as usize + 1 } else { 7 };
    let mut cells: Vec<(f64, String)> = Vec::new();
    // A window of 0 is no window at all: it is a cell of its own.
    if axis.scale == AxisScale::Log1p && min == 0.0 {
        cells.push((0.0, named(0.0)));
    }
    for step in 1..=count {
        let edge = if step == count { max } else { from(low + (high - low) * step as f64 / count as f64) };
        let edge = if whole { edge.round() } else { edge };
        if cells.last().is_none_or(|(before, _)| *before < edge) {
            cells.push((edge, format!("≤ {}", named(edge))));
        }
    }
    cells
}

/// What was seen in one cell.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    count: usize,
    best: f64,
    log_sum: f64,
}

impl Seen {
    fn mean(self) -> f64 {
        (self.log_sum / self.count as f64).exp()
    }
}

fn sides(space: &[Axis]) -> Result<(Side, Side), Absent> {
    let named =
        |wanted: &str| space.iter().find(|axis| words::axis_name(&axis.name) == wanted && axis.kind != Kind::Category);
    let (ring, window) = match (named("ring"), named("window")) {
        (Some(ring), Some(window)) => (ring, window),
        _ if space.is_empty() => return Err("the run has no fit, so its search space is not known".into()),
        _ => {
            let mut numbers = space.iter().filter(|axis| axis.kind != Kind::Category);
            match (numbers.next(), numbers.next()) {
                (Some(first), Some(second)) => (first, second),
                _ => return Err("ring and window are not both in the space that was searched".into()),
            }
        }
    };
    let side = |axis: &Axis| {
        Side::of(axis).ok_or_else(|| {
            format!("{} was held at one value, so there is no second direction", words::axis_name(&axis.name))
        })
    };
    Ok((side(ring)?, side(window)?))
}

/// The map of `search` over ring and window, or the first two numeric axes of a problem without these.
///
/// # Errors
/// Why there is none, in words.
pub fn heatmap(search: &Search, space: &[Axis], unit: &str) -> Result<Chart, Absent> {
    let (ring, window) = sides(space)?;
    let mut seen = vec![vec![Seen::default(); window.cells.len()]; ring.cells.len()];
    let mut pick = None;
    for point in &search.points {
        let (Some(row), Some(column)) = (ring.cell(point), window.cell(point)) else { continue };
        if search.is_recommended(point) {
            pick = Some((row, column));
        }
        // The best of a cell is one that could be picked.
        let result = point.objective.filter(|o| point.feasible && o.is_finite() && *o > 0.0);
        let Some(objective) = result else { continue };
        let cell = &mut seen[row][column];
        cell.best = if cell.count == 0 { objective } else { cell.best.min(objective) };
        cell.count += 1;
        cell.log_sum += objective.ln();
    }
    let filled = || seen.iter().flatten().filter(|cell| cell.count > 0);
    let (low, high) = filled().fold((f64::INFINITY, 0.0_f64), |(l, h), c| (l.min(c.best), h.max(c.best)));
    if filled().next().is_none() {
        return Err("no point with a result has both coordinates".into());
    }
    let step = |value: f64| {
        let share = if high > low { (value / low).ln() / (high / low).ln() } else { 0.0 };
        ((share * STEPS as f64) as usize).min(STEPS - 1)
    };
    let paint = |canvas: &mut Canvas, frame: Frame| paint(canvas, frame, &ring, &window, &seen, pick, &step, unit);
    let mut twin = Table::new("Cells with data", &[&ring.name, &window.name, "#Points", "#Best", "#Mean"]);
    for (row, cells) in seen.iter().enumerate() {
        for (column, cell) in cells.iter().enumerate().filter(|(_, cell)| cell.count > 0) {
            twin.row(vec![
                Cell::text(ring.cells[row].1.clone()),
                Cell::text(window.cells[column].1.clone()),
                Cell::figure(cell.count.to_string()),
                Cell::figure(words::latency(cell.best, unit)),
                Cell::figure(words::latency(cell.mean(), unit)),
            ]);
        }
    }
    let words = Words {
        id: "heatmap".into(),
        title: format!("Best objective by {} and {}", ring.name, window.name),
        description: format!(
            "A grid of {} by {} cells; {} hold measured points, from {} to {}.",
            ring.cells.len(),
            window.cells.len(),
            filled().count(),
            words::latency(low, unit),
            words::latency(high, unit)
        ),
        caption: "The other knobs vary inside a cell: the colour is the best that was seen there, the table has the mean (geometric) too. Infeasible points count too. Hatched cells were never measured.".into(),
    };
    let rows = ring.cells.len() as f64;
    let frames = [
        Frame { left: 84.0, ..Frame::wide(80.0 + rows * 32.0) },
        Frame { left: 58.0, ..Frame::narrow(78.0 + rows * 30.0) },
    ];
    let chart = Chart::draw(words, &frames, twin, &paint).key("cell", "h0", "fastest").key("cell", "h4", "between");
    Ok(chart.key("cell", "h7", "slowest").key("hatch", "void", "not measured").key("ring", "tuned", "holds the pick"))
}

#[expect(
    clippy::too_many_arguments,
    reason = "the two sides, the cells and how they look; a struct would only rename them"
)]
fn paint(
    canvas: &mut Canvas,
    frame: Frame,
    ring: &Side,
    window: &Side,
    seen: &[Vec<Seen>],
    pick: Option<(usize, usize)>,
    step: &dyn Fn(f64) -> usize,
    unit: &str,
) {
    let (width, height) = (frame.x1() - frame.x0(), frame.y0() - frame.y1());
    let (wide, tall) = (width / window.cells.len() as f64, height / ring.cells.len() as f64);
    canvas.text("axis", Anchor::Start, (0.0, 12.0), &format!("{}, rising downwards", ring.name));
    // Labels without their unit on a small screen leave it to the title.
    let micros = if frame.narrow && window.axis.ends_with("_us") { ", µs" } else { "" };
    canvas.text("axis", Anchor::End, (frame.x1(), frame.height - 5.0), &format!("{}{micros}", window.name));
    for (row, cells) in seen.iter().enumerate() {
        let y = frame.y1() + tall * row as f64;
        let label = &ring.cells[row].1;
        canvas.text("tick", Anchor::End, (frame.x0() - 8.0, y + tall / 2.0 + 4.0), label.trim_start_matches("≤ "));
        for (column, cell) in cells.iter().enumerate() {
            let x = frame.x0() + wide * column as f64;
            let corner = |inset: f64| ((x + inset, y + inset), (x + wide - inset, y + tall - inset));
            let (a, b) = corner(1.0);
            let place = format!("{} {label}, {} {}", ring.name, window.name, window.cells[column].1);
            if cell.count == 0 {
                canvas.rect("void", a, b, &format!("{place}: not measured"));
                let (x0, y0, x1, y1) = (a.0, a.1, b.0, b.1);
                for part in [0.33, 0.67, 1.0] {
                    canvas.line("hatch", (x0, y0 + (y1 - y0) * part), (x0 + (x1 - x0) * part, y0));
                }
                for part in [0.33, 0.67] {
                    canvas.line("hatch", (x0 + (x1 - x0) * part, y1), (x1, y0 + (y1 - y0) * part));
                }
            } else {
                let best = words::latency(cell.best, unit);
                let tip =
                    format!("{place}: best {best}, mean {}, {} points", words::latency(cell.mean(), unit), cell.count);
                let class = ["h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7"][step(cell.best)];
                canvas.rect(&format!("cell {class}"), a, b, &tip);
                // On a small screen a cell has no room for a figure with its unit; the table has it.
                if !frame.narrow {
                    let at = (x + wide / 2.0, y + tall / 2.0 + 4.0);
                    canvas.text(&format!("cell-text t-{class}"), Anchor::Middle, at, &best);
                }
            }
            if pick == Some((row, column)) {
                let (a, b) = corner(1.5);
                canvas.rect("pick", a, b, "holds the pick");
            }
        }
    }
    for (column, (_, label)) in window.cells.iter().enumerate() {
        let at = (frame.x0() + wide * (column as f64 + 0.5), frame.y0() + 16.0);
        let label = if frame.narrow { label.trim_start_matches("≤ ") } else { label };
        let label = if frame.narrow { label.replace("\u{202f}µs", "") } else { label.to_owned() };
        canvas.text("tick", Anchor::Middle, at, &label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(name: &str, min: f64, max: f64, scale: AxisScale) -> Axis {
        Axis {
            name: name.into(),
            kind: Kind::Integer,
            min: Some(min),
            max: Some(max),
            values: Vec::new(),
            scale,
            when: None,
        }
    }

    #[test]
    fn every_value_of_an_axis_has_one_cell() {
        for (name, min, max, scale) in [
            ("window_us", 0.0, 200.0, AxisScale::Log1p),
            ("ring_bytes", 16384.0, 4_194_304.0, AxisScale::Log2),
            ("batch", 1.0, 256.0, AxisScale::Log2),
            ("x", -5.0, 5.0, AxisScale::Linear),
        ] {
            let side = Side::of(&axis(name, min, max, scale)).expect(name);
            assert!(side.cells.windows(2).all(|pair| pair[0].0 < pair[1].0), "{name}: edges rise");
            for value in [min, (min + max) / 2.0, max] {
                let point =
                    Measured { point: [(name.into(), Value::Integer(value as i64))].into(), ..Measured::default() };
                let cell = side.cell(&point).expect("a cell");
                assert!(value.trunc() <= side.cells[cell].0, "{name} {value}");
            }
        }
    }

    #[test]
    fn a_space_without_two_numbers_says_why_there_is_no_map() {
        let search = Search::default();
        assert!(heatmap(&search, &[], "ns").is_err_and(|why| why.contains("no fit")));
        let one = [axis("ring_bytes", 16384.0, 65536.0, AxisScale::Log2)];
        assert!(heatmap(&search, &one, "ns").is_err_and(|why| why.contains("not both")));
        let held = [one[0].clone(), axis("window_us", 3.0, 3.0, AxisScale::Log1p)];
        assert!(heatmap(&search, &held, "ns").is_err_and(|why| why.contains("held")));
    }
}
