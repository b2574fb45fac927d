//! Rows of dots with whiskers on one logarithmic axis: the shape behind the verdict, the effects and the comparison.

use crate::{
    svg::{Anchor, Canvas, Frame, Scale, Shape},
    words,
};
use rtt_measure::Interval;

/// One dot with an optional whisker.
#[derive(Clone, Debug)]
pub struct RowMark {
    /// Where the dot stands.
    pub estimate: f64,
    /// Where the whisker begins and ends.
    pub ends: Option<(f64, f64)>,
    /// Its shape.
    pub shape: Shape,
    /// Its colour.
    pub class: &'static str,
    /// What it says when pointed at.
    pub tip: String,
}

impl RowMark {
    /// A dot with the interval as its whisker.
    pub fn of(interval: &Interval, shape: Shape, class: &'static str, tip: String) -> RowMark {
        RowMark { estimate: interval.estimate, ends: Some((interval.low, interval.high)), shape, class, tip }
    }
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Printed before the row when it differs from the one above.
    pub group: String,
    /// The row's label.
    pub label: String,
    /// Its dots.
    pub marks: Vec<RowMark>,
    /// A figure at the right end; may be empty.
    pub note: String,
}

/// The rows and the lines across them.
pub struct Rows<'a> {
    /// The rows, top first.
    pub rows: &'a [Row],
    /// Vertical lines: value, label, class.
    pub lines: &'a [(f64, String, &'static str)],
    /// Title of the axis.
    pub title: &'a str,
    /// How the axis prints a value.
    pub label: &'a dyn Fn(f64) -> String,
}

const WIDE_ROW: f64 = 27.0;
const NARROW_ROW: f64 = 40.0;

impl Rows<'_> {
    /// The frames that hold these rows.
    pub fn frames(&self) -> [Frame; 2] {
        let groups = self.group_starts().filter(|start| *start).count() as f64;
        let count = self.rows.len() as f64;
        let top = if self.lines.iter().any(|(_, label, _)| !label.is_empty()) { 26.0 } else { 10.0 };
        let wide = Frame { left: 190.0, right: 96.0, top, ..Frame::wide(top + 48.0 + count * WIDE_ROW + groups * 6.0) };
        let narrow = Frame { left: 8.0, right: 12.0, top, ..Frame::narrow(top + 46.0 + count * NARROW_ROW) };
        [wide, narrow]
    }

    fn group_starts(&self) -> impl Iterator<Item = bool> + '_ {
        (0..self.rows.len()).map(|i| i == 0 || self.rows[i].group != self.rows[i - 1].group)
    }

    fn scale(&self, frame: Frame) -> Option<Scale> {
        let marks = self.rows.iter().flat_map(|row| &row.marks);
        let values = marks.flat_map(|m| [Some(m.estimate), m.ends.map(|e| e.0), m.ends.map(|e| e.1)]).flatten();
        Scale::log(values.chain(self.lines.iter().map(|line| line.0)), frame.x0(), frame.x1())
    }

    /// Paints the rows.
    pub fn paint(&self, canvas: &mut Canvas, frame: Frame) {
        let Some(scale) = self.scale(frame) else { return };
        let ticks = scale.ticks(if frame.narrow { 4 } else { 8 });
        for tick in &ticks {
            canvas.line("grid", (scale.at(*tick), frame.y1()), (scale.at(*tick), frame.y0()));
        }
        let ticks: Vec<_> = ticks.into_iter().map(|tick| (tick, (self.label)(tick))).collect();
        canvas.x_axis(&scale, &ticks, self.title);
        for (value, label, class) in self.lines {
            let x = scale.at(*value);
            canvas.line(class, (x, frame.y1() - 6.0), (x, frame.y0()));
            // A label near an edge is held at that edge, so that it stays in the drawing.
            let (anchor, at) = match (x - frame.x0()) / (frame.x1() - frame.x0()) {
                share if share < 0.25 => (Anchor::Start, x - 2.0),
                share if share > 0.75 => (Anchor::End, x + 2.0),
                _ => (Anchor::Middle, x),
            };
            canvas.text("note", anchor, (at, frame.y1() - 12.0), label);
        }
        let mut y = frame.y1() + if frame.narrow { 4.0 } else { 14.0 };
        for (index, (row, start)) in self.rows.iter().zip(self.group_starts()).enumerate() {
            if start && !frame.narrow {
                if index > 0 {
                    canvas.line("rule", (0.0, y - 11.0), (frame.width, y - 11.0));
                }
                y += 6.0;
                canvas.text("group", Anchor::Start, (0.0, y + 4.0), &words::shorten(&row.group, 15));
            }
            self.paint_row(canvas, frame, &scale, row, y);
            y += if frame.narrow { NARROW_ROW } else { WIDE_ROW };
        }
    }

    fn paint_row(&self, canvas: &mut Canvas, frame: Frame, scale: &Scale, row: &Row, y: f64) {
        let center = if frame.narrow {
            let joint = if row.group.is_empty() || row.label.is_empty() { "" } else { " · " };
            let label = words::shorten(&format!("{}{joint}{}", row.group, row.label), 36);
            canvas.text("label halo-text", Anchor::Start, (frame.x0(), y + 10.0), &label);
            canvas.text("figure halo-text", Anchor::End, (frame.x1(), y + 10.0), &row.note);
            y + 24.0
        } else {
            // Beside a group there is room for half as much.
            let label = words::shorten(&row.label, if row.group.is_empty() { 28 } else { 14 });
            canvas.text("label", Anchor::End, (frame.x0() - 14.0, y + 4.0), &label);
            canvas.text("figure", Anchor::End, (frame.width, y + 4.0), &row.note);
            y
        };
        canvas.line("lane", (frame.x0(), center), (frame.x1(), center));
        let whiskers = row.marks.iter().filter(|mark| mark.ends.is_some()).count();
        for (index, mark) in row.marks.iter().enumerate() {
            // Two whiskers in a row are set a little apart, so that neither hides the other.
            let y =
                if whiskers > 1 { center - 3.5 + 7.0 * index as f64 / (row.marks.len() - 1) as f64 } else { center };
            if let Some((low, high)) = mark.ends {
                let class = format!("whisker {}", mark.class);
                canvas.line(&class, (scale.at(low), y), (scale.at(high), y));
                for end in [low, high] {
                    canvas.line(&class, (scale.at(end), y - 3.0), (scale.at(end), y + 3.0));
                }
            }
            canvas.mark(mark.shape, mark.class, (scale.at(mark.estimate), y), 4.5, &mark.tip);
        }
    }
}
