//! Inline SVG: a canvas, scales with ticks, axes and marks. Colours and fonts come from the page's style sheet.
//!
//! REPORT-2 is checked at the lowest place: a mark with a coordinate that is not finite is not drawn.

use std::fmt::Write;

/// `text` with what means something to HTML and XML replaced, and without control characters.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Shape of a mark: arms differ by shape as well as by colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A disc.
    Disc,
    /// A square on its corner.
    Diamond,
    /// Two crossed strokes.
    Cross,
    /// A disc within a circle.
    Target,
}

/// Where a text is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// At its first letter.
    Start,
    /// In its middle.
    Middle,
    /// At its last letter.
    End,
}

/// Size of a drawing and the margins around its plot, in units of the viewBox, which are CSS pixels at full size.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Width of the drawing.
    pub width: f64,
    /// Height of the drawing.
    pub height: f64,
    /// Room for the labels of the y axis.
    pub left: f64,
    /// Room at the right.
    pub right: f64,
    /// Room for the y axis' title.
    pub top: f64,
    /// Room for the labels and the title of the x axis.
    pub bottom: f64,
    /// Whether this is the drawing for small screens.
    pub narrow: bool,
}

impl Frame {
    /// The drawing for desks and paper.
    pub const fn wide(height: f64) -> Frame {
        Frame { width: 860.0, height, left: 64.0, right: 24.0, top: 28.0, bottom: 44.0, narrow: false }
    }

    /// The drawing for phones.
    pub const fn narrow(height: f64) -> Frame {
        Frame { width: 340.0, height, left: 52.0, right: 12.0, top: 28.0, bottom: 42.0, narrow: true }
    }

    /// One of several drawings side by side, at every width.
    pub const fn panel() -> Frame {
        Frame { width: 410.0, height: 280.0, left: 54.0, right: 16.0, top: 26.0, bottom: 40.0, narrow: true }
    }

    /// Left edge of the plot.
    pub const fn x0(&self) -> f64 {
        self.left
    }

    /// Right edge of the plot.
    pub const fn x1(&self) -> f64 {
        self.width - self.right
    }

    /// Lower edge of the plot.
    pub const fn y0(&self) -> f64 {
        self.height - self.bottom
    }

    /// Upper edge of the plot.
    pub const fn y1(&self) -> f64 {
        self.top
    }
}

/// Maps values to a stretch of the drawing.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
}

impl Scale {
    /// A linear scale over `low..=high`, drawn from `from` to `to`.
    pub fn linear(low: f64, high: f64, from: f64, to: f64) -> Scale {
        let high = if high > low { high } else { low + 1.0 };
        Scale { low, high, from, to, log: false }
    }

    /// A logarithmic scale that shows all finite positive `values` with a little air; `None` where there are none.
    pub fn log(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Option<Scale> {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values.into_iter().filter(|v| v.is_finite() && *v > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            return None;
        }
        // At least a tenth of a decade, so that a single value stands in the middle.
        let air = ((high / low).log10() * 0.06).max(0.05);
        Some(Scale { low: low * 10_f64.powf(-air), high: high * 10_f64.powf(air), from, to, log: true })
    }

    /// The place of `value`; values outside the scale are held at its ends, what is not finite stays so.
    pub fn at(&self, value: f64) -> f64 {
        let share = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        // `clamp` keeps NaN, and the canvas then draws nothing.
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Whether `value` lies on the scale.
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// At most about `most` round values on the scale, rising.
    pub fn ticks(&self, most: usize) -> Vec<f64> {
        let most = most.max(2);
        if self.log && self.high / self.low > 4.0 { self.log_ticks(most) } else { self.linear_ticks(most) }
    }

    fn log_ticks(&self, most: usize) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        for (multiples, stride) in
            [(&[1.0, 2.0, 5.0][..], 1), (&[1.0, 3.0], 1), (&[1.0], 1), (&[1.0], 2), (&[1.0], 3), (&[1.0], 6)]
        {
            let decades = (first..=last).filter(|decade| decade.rem_euclid(stride) == 0);
            let ticks = decades.flat_map(|decade| multiples.iter().map(move |m| m * 10_f64.powi(decade)));
            let ticks: Vec<f64> = ticks.filter(|&tick| self.holds(tick)).collect();
            if ticks.len() <= most && ticks.len() >= 2 {
                return ticks;
            }
        }
        vec![self.low, self.high]
    }

    fn linear_ticks(&self, most: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / most as f64;
        let unit = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * unit).find(|step| *step >= rough).unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        (first..).map(|n| n as f64 * step).take_while(|tick| *tick <= self.high * (1.0 + 1e-12)).take(50).collect()
    }
}

/// A drawing in the making.
#[derive(Debug)]
pub struct Canvas {
    frame: Frame,
    body: String,
}

fn finite(coordinates: &[f64]) -> bool {
    coordinates.iter().all(|c| c.is_finite())
}

fn tip(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("<title>{}</title>", escape(text)) }
}

impl Canvas {
    /// An empty drawing.
    pub fn new(frame: Frame) -> Canvas {
        Canvas { frame, body: String::new() }
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.body.write_fmt(text).expect("a string takes all that is written");
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, (xa, ya): (f64, f64), (xb, yb): (f64, f64)) {
        if finite(&[xa, ya, xb, yb]) {
            self.put(format_args!(r#"<line class="{class}" x1="{xa:.1}" y1="{ya:.1}" x2="{xb:.1}" y2="{yb:.1}"/>"#));
        }
    }

    /// A line through `points`; those that are not finite are left out.
    pub fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut data = String::new();
        for (x, y) in points.iter().filter(|(x, y)| finite(&[*x, *y])) {
            let step = if data.is_empty() { 'M' } else { 'L' };
            write!(data, "{step}{x:.1} {y:.1}").expect("a string takes all that is written");
        }
        if !data.is_empty() {
            self.put(format_args!(r#"<path class="{class}" d="{data}"/>"#));
        }
    }

    /// A rectangle between two corners, with a tip.
    pub fn rect(&mut self, class: &str, (xa, ya): (f64, f64), (xb, yb): (f64, f64), text: &str) {
        if finite(&[xa, ya, xb, yb]) {
            let (x, y, width, height) = (xa.min(xb), ya.min(yb), (xb - xa).abs(), (yb - ya).abs());
            let tip = tip(text);
            self.put(format_args!(
                r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}">{tip}</rect>"#
            ));
        }
    }

    /// A mark of radius `radius`, with a tip.
    pub fn mark(&mut self, shape: Shape, class: &str, (x, y): (f64, f64), radius: f64, text: &str) {
        if !finite(&[x, y]) {
            return; // REPORT-2
        }
        let tip = tip(text);
        let r = radius;
        match shape {
            Shape::Disc => self.put(format_args!(
                r#"<circle class="mark {class}" cx="{x:.1}" cy="{y:.1}" r="{r:.1}">{tip}</circle>"#
            )),
            Shape::Target => self.put(format_args!(
                r#"<circle class="halo {class}" cx="{x:.1}" cy="{y:.1}" r="{:.1}"/><circle class="mark {class}" cx="{x:.1}" cy="{y:.1}" r="{r:.1}">{tip}</circle>"#,
                r + 4.0
            )),
            Shape::Diamond => {
                let r = r * 1.25;
                self.put(format_args!(
                    r#"<path class="mark {class}" d="M{x:.1} {:.1}L{:.1} {y:.1}L{x:.1} {:.1}L{:.1} {y:.1}Z">{tip}</path>"#,
                    y - r,
                    x + r,
                    y + r,
                    x - r
                ));
            }
            Shape::Cross => self.put(format_args!(
                r#"<path class="stroke {class}" d="M{:.1} {:.1}L{:.1} {:.1}M{:.1} {:.1}L{:.1} {:.1}">{tip}</path>"#,
                x - r,
                y - r,
                x + r,
                y + r,
                x - r,
                y + r,
                x + r,
                y - r
            )),
        }
    }

    /// A text.
    pub fn text(&mut self, class: &str, anchor: Anchor, (x, y): (f64, f64), text: &str) {
        if finite(&[x, y]) {
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            let text = escape(text);
            self.put(format_args!(
                r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
            ));
        }
    }

    /// The y axis: a hairline and a label for each tick, the title above.
    pub fn y_axis(&mut self, scale: &Scale, title: &str, label: &dyn Fn(f64) -> String) {
        let frame = self.frame;
        for tick in scale.ticks(if frame.height < 300.0 { 5 } else { 7 }) {
            let y = scale.at(tick);
            self.line("grid", (frame.x0(), y), (frame.x1(), y));
            self.text("tick", Anchor::End, (frame.x0() - 8.0, y + 4.0), &label(tick));
        }
        self.text("axis", Anchor::Start, (0.0, 12.0), title);
    }

    /// The x axis: a line, ticks with labels, the title below at the right.
    pub fn x_axis(&mut self, scale: &Scale, ticks: &[(f64, String)], title: &str) {
        let frame = self.frame;
        self.line("base", (frame.x0(), frame.y0()), (frame.x1(), frame.y0()));
        for (tick, label) in ticks {
            let x = scale.at(*tick);
            self.line("base", (x, frame.y0()), (x, frame.y0() + 4.0));
            self.text("tick", Anchor::Middle, (x, frame.y0() + 17.0), label);
        }
        self.text("axis", Anchor::End, (frame.x1(), frame.height - 5.0), title);
    }

    /// The drawing as an element. `id` must be unique in the page; `class` says at which widths it shows.
    pub fn finish(self, id: &str, class: &str, title: &str, description: &str) -> String {
        assert!(!title.is_empty() && !description.is_empty(), "REPORT-3: chart {id} has no title or description");
        let (width, height) = (self.frame.width, self.frame.height);
        format!(
            r#"<svg class="chart {class}" viewBox="0 0 {width:.0} {height:.0}" role="img" aria-labelledby="{id}-t {id}-d"><title id="{id}-t">{}</title><desc id="{id}-d">{}</desc>{}</svg>"#,
            escape(title),
            escape(description),
            self.body
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_1_hostile_text_is_escaped() {
        assert_eq!(escape("<a b='\"'>&\u{1}"), "&lt;a b=&#39;&quot;&#39;&gt;&amp;\u{fffd}");
        let mut canvas = Canvas::new(Frame::panel());
        canvas.text("tick", Anchor::Start, (0.0, 0.0), "</text><script>");
        canvas.mark(Shape::Disc, "tuned", (1.0, 1.0), 2.0, "<script>");
        let drawn = canvas.finish("x", "", "</title><script>", "<script>");
        assert!(!drawn.contains("<script"), "{drawn}");
    }

    #[test]
    fn report_2_marks_that_are_not_finite_are_not_drawn() {
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut canvas = Canvas::new(Frame::panel());
            canvas.line("a", (0.0, wrong), (1.0, 1.0));
            canvas.path("a", &[(wrong, 0.0), (0.0, wrong)]);
            canvas.rect("a", (0.0, 0.0), (wrong, 1.0), "");
            for shape in [Shape::Disc, Shape::Diamond, Shape::Cross, Shape::Target] {
                canvas.mark(shape, "a", (wrong, 1.0), 3.0, "");
            }
            canvas.text("a", Anchor::End, (wrong, 0.0), "t");
            assert_eq!(canvas.body, "");
        }
    }

    #[test]
    fn scales_hold_their_values_and_ticks_are_round() {
        let scale = Scale::log([494.0, 90_000.0, f64::NAN, -1.0], 0.0, 100.0).expect("two values");
        assert!(scale.holds(494.0) && scale.holds(90_000.0));
        assert!(scale.at(494.0) > 0.0 && scale.at(90_000.0) < 100.0);
        assert_eq!(scale.ticks(3), [1e3, 1e4, 1e5]);
        assert!(Scale::log([f64::INFINITY, 0.0], 0.0, 1.0).is_none());
        assert_eq!(Scale::linear(0.0, 2.0, 0.0, 1.0).ticks(4), [0.0, 0.5, 1.0, 1.5, 2.0]);
        assert!(Scale::linear(0.0, 1.0, 0.0, 1.0).at(f64::NAN).is_nan());
    }

    #[test]
    fn every_span_of_a_log_scale_has_ticks() {
        for decades in [0.0, 0.01, 0.3, 0.61, 1.0, 3.0, 9.0, 40.0] {
            let scale = Scale::log([1.7, 1.7 * 10_f64.powf(decades)], 0.0, 1.0).expect("two values");
            for most in [4, 6, 9] {
                let ticks = scale.ticks(most);
                assert!((2..=most + 2).contains(&ticks.len()), "{decades} decades, at most {most}: {ticks:?}");
            }
        }
    }
}
