//! Charts: each is a drawing for wide and for small screens, a legend in words, and a table with the same figures.

mod cdf;
mod convergence;
mod effects;
mod front;
mod gate;
mod heatmap;
mod rows;
mod wealth;

pub use cdf::{Curve, Limit, cdf};
pub use convergence::{Placebo, convergence};
pub use effects::{comparison, effects, intervals};
pub use front::front;
pub use gate::{gate_pairs, gate_ratios, gate_wealth, pair_first, pair_ratio, pair_void};
pub use heatmap::heatmap;
pub use rows::{Row, RowMark, Rows};
pub use wealth::{log_ratios, wealth, wealth_text};

use crate::{
    svg::{Canvas, Frame},
    table::Table,
};
use minijinja::{Value, context};

/// What a chart shows, in words: its name in the page, its title and what a reader who cannot see it is told.
#[derive(Clone, Debug)]
pub struct Words {
    /// Unique in the page; letters, digits and hyphens.
    pub id: String,
    /// The title.
    pub title: String,
    /// What there is to see.
    pub description: String,
    /// How to read it, below the drawing; may be empty.
    pub caption: String,
}

/// A finished chart.
#[derive(Clone, Debug)]
pub struct Chart {
    words: Words,
    keys: Vec<(&'static str, &'static str, String)>,
    drawings: String,
    twin: Table,
}

impl Chart {
    /// Draws the chart once for each frame; with two frames the style sheet shows the one that fits.
    pub fn draw(words: Words, frames: &[Frame], twin: Table, paint: &dyn Fn(&mut Canvas, Frame)) -> Chart {
        let mut drawings = String::new();
        for frame in frames {
            let class = match (frames.len(), frame.narrow) {
                (1, _) => "",
                (_, true) => "narrow",
                (_, false) => "wide",
            };
            let mut canvas = Canvas::new(*frame);
            paint(&mut canvas, *frame);
            let id = format!("{}{}", words.id, if frame.narrow { "-n" } else { "" });
            drawings.push_str(&canvas.finish(&id, class, &words.title, &words.description));
        }
        Chart { words, keys: Vec::new(), drawings, twin }
    }

    /// Adds an entry to the legend: `shape` is `disc`, `diamond`, `ring`, `cross`, `line`, `dash`, `band` or `hatch`,
    /// `class` the colour.
    pub fn key(mut self, shape: &'static str, class: &'static str, label: impl Into<String>) -> Chart {
        self.keys.push((shape, class, label.into()));
        self
    }

    /// The chart for the template. REPORT-3: the table is part of it.
    pub fn value(&self) -> Value {
        let keys = self.keys.iter().map(|(shape, class, label)| {
            context! { shape => *shape, class => *class, label => label.as_str() }
        });
        context! {
            id => self.words.id.as_str(),
            title => self.words.title.as_str(),
            caption => self.words.caption.as_str(),
            keys => keys.collect::<Value>(),
            drawings => Value::from_safe_string(self.drawings.clone()),
            twin => self.twin.value(),
        }
    }
}
