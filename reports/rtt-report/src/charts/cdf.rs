//! Latency against percentile: the percentile axis is logarithmic in what lies above, so each nine is one step.

use super::{Chart, Words};
use crate::{
    svg::{Anchor, Canvas, Frame, Scale, Shape},
    table::{Cell, Table},
    words,
};
use hdrhistogram::Histogram;

/// Percentiles that the axis names and the table lists.
const NAMED: [(f64, &str); 5] = [(0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9"), (0.9999, "99.99")];
/// A quantile is drawn while at least so many samples lie above it; beyond, single samples would draw the curve.
const SAMPLES_ABOVE: f64 = 10.0;
/// Right end of the axis in nines, a little beyond 99.99.
const NINES: f64 = 4.15;

/// One arm's merged histogram.
pub struct Curve<'a> {
    /// What the arm is called.
    pub name: &'static str,
    /// Its colour: `incumbent` or `tuned`.
    pub class: &'static str,
    /// All its settled runs of one scenario and condition, merged.
    pub histogram: &'a Histogram<u64>,
    /// How many runs were merged.
    pub runs: usize,
}

/// A line of the machine across the plot, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Limit {
    /// What it is.
    pub label: String,
    /// Where it lies.
    pub ns: f64,
}

fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

fn enough(histogram: &Histogram<u64>, quantile: f64) -> bool {
    histogram.len() as f64 * (1.0 - quantile) >= SAMPLES_ABOVE
}

/// The curve's points: nines and nanoseconds.
fn points(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let steps = (0..=208).map(|step| f64::from(step) * 0.02);
    let quantiles = steps.map(|nines| (nines, 1.0 - 10_f64.powf(-nines))).filter(|(_, q)| enough(histogram, *q));
    // A closed loop may answer within the clock's step: 0 has no place on a logarithmic axis.
    quantiles.map(|(nines, q)| (nines, histogram.value_at_quantile(q).max(1) as f64)).collect()
}

fn twin(title: &str, curves: &[Curve<'_>]) -> Table {
    let mut table =
        Table::new(title, &["Arm", "#Runs", "#Samples", "#p50", "#p90", "#p99", "#p99.9", "#p99.99", "#Max"]);
    for curve in curves {
        let mut cells = vec![
            Cell::text(curve.name),
            Cell::figure(curve.runs.to_string()),
            Cell::figure(words::count(curve.histogram.len())),
        ];
        for (quantile, _) in NAMED {
            let value =
                enough(curve.histogram, quantile).then(|| words::nanos(curve.histogram.value_at_quantile(quantile)));
            cells.push(Cell::or(value, "fewer than ten samples lie above it"));
        }
        cells.push(Cell::figure(words::nanos(curve.histogram.max())));
        table.row(cells);
    }
    table
}

/// Latency curves of one scenario and condition; `None` when no arm has enough samples for a median.
pub fn cdf(id: &str, title: &str, frames: &[Frame], curves: &[Curve<'_>], limits: &[Limit]) -> Option<Chart> {
    let drawn: Vec<_> =
        curves.iter().map(|curve| (curve, points(curve.histogram))).filter(|(_, p)| p.len() > 1).collect();
    if drawn.is_empty() {
        return None;
    }
    let p99 = |curve: &Curve<'_>| {
        enough(curve.histogram, 0.99).then(|| curve.histogram.value_at_quantile(0.99).max(1) as f64)
    };
    let paint = |canvas: &mut Canvas, frame: Frame| {
        let x = Scale::linear(0.0, NINES, frame.x0(), frame.x1());
        let values = drawn.iter().flat_map(|(_, points)| points.iter().map(|p| p.1));
        let values = values.chain(limits.iter().map(|limit| limit.ns));
        let Some(y) = Scale::log(values, frame.y0(), frame.y1()) else { return };
        canvas.y_axis(&y, "latency", &|v| words::latency(v, "ns"));
        let ticks: Vec<_> = NAMED.iter().map(|(q, name)| (nines(*q), (*name).to_owned())).collect();
        canvas.x_axis(&x, &ticks, "percentile");
        canvas.line("guide", (x.at(2.0), frame.y0()), (x.at(2.0), frame.y1()));
        for limit in limits {
            let at = y.at(limit.ns);
            canvas.line("limit", (frame.x0(), at), (frame.x1(), at));
            // At the right end every curve is at its highest, so the label stands free.
            canvas.text("note halo-text", Anchor::End, (frame.x1(), at - 5.0), &limit.label);
        }
        for (curve, points) in &drawn {
            let placed: Vec<_> = points.iter().map(|(nines, ns)| (x.at(*nines), y.at(*ns))).collect();
            canvas.path(&format!("curve {}", curve.class), &placed);
        }
        let highest = drawn.iter().filter_map(|(curve, _)| p99(curve)).fold(0.0, f64::max);
        for (curve, _) in &drawn {
            let Some(value) = p99(curve) else { continue };
            let (shape, at) =
                (if curve.class == "tuned" { Shape::Disc } else { Shape::Diamond }, (x.at(2.0), y.at(value)));
            let label = words::latency(value, "ns");
            canvas.mark(shape, curve.class, at, 4.0, &format!("{} p99: {label}", curve.name));
            // The slower arm is labelled above its curve, the faster one below: curves rise, so both stay clear.
            let (anchor, dx, dy) =
                if value >= highest { (Anchor::End, -8.0, -7.0) } else { (Anchor::Start, 8.0, 15.0) };
            canvas.text(&format!("value halo-text {}", curve.class), anchor, (at.0 + dx, at.1 + dy), &label);
        }
    };
    let told =
        drawn.iter().filter_map(|(curve, _)| Some(format!("{} p99 {}", curve.name, words::latency(p99(curve)?, "ns"))));
    let words = Words {
        id: id.into(),
        title: title.into(),
        description: format!("Latency by percentile, both axes logarithmic: {}.", told.collect::<Vec<_>>().join(", ")),
        caption: String::new(),
    };
    Some(Chart::draw(words, frames, twin(title, curves), &paint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_ends_where_fewer_than_ten_samples_lie_above() {
        let mut histogram = Histogram::<u64>::new(3).expect("three digits");
        for value in 0..1000_u64 {
            histogram.record(value).expect("it resizes");
        }
        let points = points(&histogram);
        let last = points.last().expect("points").0;
        assert!((1.9..=2.0 + 1e-9).contains(&last), "1000 samples reach two nines, found {last}");
        assert!(points.iter().all(|(_, ns)| *ns >= 1.0));
    }

    #[test]
    fn no_samples_are_no_chart() {
        let histogram = Histogram::<u64>::new(3).expect("three digits");
        assert!(
            cdf(
                "x",
                "t",
                &[Frame::panel()],
                &[Curve { name: "tuned", class: "tuned", histogram: &histogram, runs: 0 }],
                &[]
            )
            .is_none()
        );
    }
}
