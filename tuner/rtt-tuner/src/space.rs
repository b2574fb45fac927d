//! The typed search space: which points there are, and what the model sees of them.
//!
//! A [`Site`] holds one number for each axis in the space's order: the value itself, the index of a category's class,
//! or NaN where the axis does not exist (its `when` is not met). Sites and points map one to one. The model sees
//! [`Space::features`]: numbers on the axis' own scale (log2, log1p) in 0..1, classes as they are.
//!
//! TUNER-2  Every site that is drawn is legal: in its range, one of its values, and without the axes that do not exist.
//! TUNER-3  A site goes to a point and back unchanged.

use rtt_measure::{Axis, Kind, Point, Scale, Value};
use rtt_units::SplitMix64;

/// One number for each axis.
pub(crate) type Site = Vec<f64>;

/// The bits of a site: equal sites have equal keys.
pub(crate) type Key = Vec<u64>;

/// What the model sees in place of an axis that does not exist.
const NOWHERE: f64 = 0.5;

/// Why axes make no space.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpaceError {
    /// An axis contradicts itself.
    #[error("axis `{axis}`: {reason}")]
    Axis {
        /// The axis.
        axis: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A point does not lie in the space.
    #[error("point {point}: axis `{axis}`: {reason}")]
    Point {
        /// The point as JSON.
        point: String,
        /// The axis.
        axis: String,
        /// What is wrong there.
        reason: String,
    },
}

/// The search space.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    /// As the problem gave them: what features are relative to.
    full: Vec<Axis>,
    /// What may be drawn.
    axes: Vec<Axis>,
    /// For each axis the index of the axis that it hangs on.
    parents: Vec<Option<usize>>,
}

fn transform(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Log2 => value.log2(),
        Scale::Log1p => value.ln_1p(),
    }
}

fn restore(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Log2 => value.exp2(),
        Scale::Log1p => value.exp_m1(),
    }
}

/// `value` to nine digits: what every JSON reader reads back exactly, and a person can type.
fn short_decimal(value: f64) -> f64 {
    format!("{value:.8e}").parse().expect("a number prints as a number")
}

/// Where `number` lies among the listed values of `axis`, 0 to 1 by rank: they are listed because each is interesting,
/// whatever the scale would make of the gaps between them. Between two it is interpolated.
fn rank(axis: &Axis, number: f64) -> f64 {
    let mut listed: Vec<f64> = axis.values.iter().filter_map(Value::as_f64).collect();
    listed.sort_by(f64::total_cmp);
    let above = listed.partition_point(|&value| value < number).clamp(1, listed.len() - 1);
    let (low, high) = (listed[above - 1], listed[above]);
    let part = if high > low { ((number - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
    (above as f64 - 1.0 + part) / (listed.len() - 1) as f64
}

/// Least and greatest value of a number.
fn ends(axis: &Axis) -> (f64, f64) {
    let listed = axis.values.iter().filter_map(Value::as_f64);
    let low = axis.min.or_else(|| listed.clone().reduce(f64::min));
    let high = axis.max.or_else(|| listed.reduce(f64::max));
    (low.unwrap_or(f64::NAN), high.unwrap_or(f64::NAN))
}

fn check(axis: &Axis) -> Result<(), String> {
    if axis.kind == Kind::Category {
        let texts = axis.values.iter().all(|value| matches!(value, Value::Text(_)));
        return if axis.values.is_empty() || !texts {
            Err("a category needs `values`, each a text".into())
        } else {
            Ok(())
        };
    }
    if axis.values.iter().any(|value| value.as_f64().is_none_or(|x| !x.is_finite())) {
        return Err("`values` holds what is no number".into());
    }
    let (low, high) = ends(axis);
    if !(low.is_finite() && high.is_finite() && low <= high) {
        return Err(format!("range {low}..{high}: expected `min` at most `max`, or `values`"));
    }
    match axis.scale {
        Scale::Log2 if low <= 0.0 => Err(format!("scale log2 needs values above 0, least is {low}")),
        Scale::Log1p if low <= -1.0 => Err(format!("scale log1p needs values above -1, least is {low}")),
        _ if axis.kind == Kind::Integer && low.ceil() > high.floor() => {
            Err(format!("no whole number lies in {low}..={high}"))
        }
        _ => Ok(()),
    }
}

impl Space {
    /// The space of `axes`.
    ///
    /// # Errors
    /// [`SpaceError::Axis`] for the first axis that contradicts itself or hangs on none before it.
    pub(crate) fn new(axes: Vec<Axis>) -> Result<Space, SpaceError> {
        let mut parents = Vec::new();
        for (index, axis) in axes.iter().enumerate() {
            let wrong = |reason| SpaceError::Axis { axis: axis.name.clone(), reason };
            check(axis).map_err(wrong)?;
            if axes[..index].iter().any(|other| other.name == axis.name) {
                return Err(wrong("there are two of this name".into()));
            }
            let parent = match &axis.when {
                None => None,
                Some(when) => {
                    let at = axes.iter().position(|other| other.name == when.axis && other.when.is_none());
                    Some(at.ok_or_else(|| {
                        wrong(format!("`when` names `{}`, which is no unconditional axis", when.axis))
                    })?)
                }
            };
            parents.push(parent);
        }
        if axes.is_empty() {
            return Err(SpaceError::Axis { axis: String::new(), reason: "the problem has no axes".into() });
        }
        Ok(Space { full: axes.clone(), axes, parents })
    }

    /// The axes that may be drawn.
    pub(crate) fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// The axes as the problem gave them.
    pub(crate) fn full(&self) -> &[Axis] {
        &self.full
    }

    /// Puts a narrower axis in the place of axis `index`; its values were checked against the old one.
    pub(crate) fn narrow(&mut self, index: usize, axis: Axis) {
        assert_eq!(axis.name, self.axes[index].name, "an axis keeps its name");
        self.axes[index] = axis;
    }

    /// Whether `axis` means anything in this space: its condition can still be met.
    pub(crate) fn open(&self, axis: &Axis) -> bool {
        let Some(when) = &axis.when else { return true };
        let other = self.axes.iter().find(|other| other.name == when.axis);
        other.is_none_or(|other| other.values.iter().any(|value| when.values.contains(value)))
    }

    /// Which axes are categories.
    pub(crate) fn classes(&self) -> Vec<bool> {
        self.full.iter().map(|axis| axis.kind == Kind::Category).collect()
    }

    /// How many points there are, when that is a number; a real axis has no end of them.
    pub(crate) fn points(&self) -> Option<f64> {
        // Axes under a condition are counted as if they were always there: an upper bound, which is all it is for.
        self.axes.iter().map(|axis| self.levels(axis).map(|count| count as f64)).product()
    }

    fn levels(&self, axis: &Axis) -> Option<usize> {
        match axis.kind {
            _ if !axis.values.is_empty() => Some(axis.values.len()),
            Kind::Real => None,
            _ => {
                let (low, high) = ends(axis);
                Some((high.floor() - low.ceil()) as usize + 1)
            }
        }
    }

    /// Whether axis `index` exists at `site`.
    fn exists(&self, index: usize, site: &Site) -> bool {
        let (Some(parent), Some(when)) = (self.parents[index], &self.full[index].when) else {
            return true;
        };
        when.values.contains(&self.value(parent, site[parent]))
    }

    fn value(&self, index: usize, number: f64) -> Value {
        let axis = &self.full[index];
        match axis.kind {
            Kind::Category => axis.values[number as usize].clone(),
            Kind::Integer => Value::Integer(number as i64),
            Kind::Real => Value::Real(number),
        }
    }

    /// The number of `value` on axis `index` of the full space.
    fn number(&self, index: usize, value: &Value) -> Result<f64, String> {
        let axis = &self.full[index];
        match axis.kind {
            Kind::Category => {
                let at = axis.values.iter().position(|class| class == value);
                at.map(|at| at as f64).ok_or_else(|| format!("`{value}` is none of its values"))
            }
            _ => {
                let number = value.as_f64().ok_or_else(|| format!("`{value}` is no number"))?;
                let (low, high) = ends(axis);
                let whole = axis.kind == Kind::Real || number.fract() == 0.0;
                if number.is_finite() && whole && (low..=high).contains(&number) {
                    Ok(number)
                } else {
                    Err(format!("{value} lies outside {low}..={high}"))
                }
            }
        }
    }

    /// TUNER-3: the site of `point`, which may lie outside what is drawn but not outside what the problem gave.
    ///
    /// # Errors
    /// [`SpaceError::Point`] when it lacks an axis, has one too many, or a value that the axis does not have.
    pub(crate) fn site(&self, point: &Point) -> Result<Site, SpaceError> {
        let wrong = |axis: &str, reason: String| SpaceError::Point {
            point: serde_json::to_string(point).expect("a point is JSON"),
            axis: axis.into(),
            reason,
        };
        if let Some(name) = point.keys().find(|name| self.full.iter().all(|axis| &axis.name != *name)) {
            return Err(wrong(name, "the problem has no such axis".into()));
        }
        let mut site = vec![f64::NAN; self.full.len()];
        // Axes under a condition hang on unconditional ones only, so two passes are enough.
        for conditional in [false, true] {
            for (index, axis) in self.full.iter().enumerate().filter(|(_, axis)| axis.when.is_some() == conditional) {
                match (point.get(&axis.name), self.exists(index, &site)) {
                    (Some(value), true) => {
                        site[index] = self.number(index, value).map_err(|reason| wrong(&axis.name, reason))?;
                    }
                    (None, true) => return Err(wrong(&axis.name, "it is missing".into())),
                    (Some(_), false) => return Err(wrong(&axis.name, "it does not exist there".into())),
                    (None, false) => {}
                }
            }
        }
        Ok(site)
    }

    /// The point at `site`.
    pub(crate) fn point(&self, site: &Site) -> Point {
        let present = self.full.iter().enumerate().filter(|(index, _)| !site[*index].is_nan());
        present.map(|(index, axis)| (axis.name.clone(), self.value(index, site[index]))).collect()
    }

    /// What tells `site` from others.
    pub(crate) fn key(site: &Site) -> Key {
        site.iter().map(|number| number.to_bits()).collect()
    }

    /// What the model sees: a number on the axis' scale within 0..1 of the full range, a class' index, or a half in
    /// place of a number that does not exist.
    pub(crate) fn features(&self, site: &Site) -> Vec<f64> {
        let feature = |(axis, &number): (&Axis, &f64)| match axis.kind {
            Kind::Category if number.is_nan() => -1.0,
            Kind::Category => number,
            _ if number.is_nan() => NOWHERE,
            _ if axis.values.len() > 1 => rank(axis, number),
            _ => {
                let (low, high) = ends(axis);
                let (low, high) = (transform(axis.scale, low), transform(axis.scale, high));
                if high > low { (transform(axis.scale, number) - low) / (high - low) } else { NOWHERE }
            }
        };
        self.full.iter().zip(site).map(feature).collect()
    }

    /// The legal number of axis `index` at `unit` of its drawable range, 0 to 1 on its scale.
    fn at(&self, index: usize, unit: f64) -> f64 {
        let axis = &self.axes[index];
        let unit = unit.clamp(0.0, 1.0);
        if axis.kind == Kind::Category {
            let at = ((unit * axis.values.len() as f64) as usize).min(axis.values.len() - 1);
            return self.number(index, &axis.values[at]).expect("a drawable class is one of the axis");
        }
        if !axis.values.is_empty() {
            // Listed values are equally likely: they are listed because each is interesting.
            let at = ((unit * axis.values.len() as f64) as usize).min(axis.values.len() - 1);
            return axis.values[at].as_f64().expect("checked: values of a number are numbers");
        }
        let (low, high) = ends(axis);
        let (from, to) = (transform(axis.scale, low), transform(axis.scale, high));
        let value = restore(axis.scale, from + unit * (to - from));
        match axis.kind {
            Kind::Integer => value.round().clamp(low.ceil(), high.floor()),
            _ => short_decimal(value).clamp(low, high),
        }
    }

    /// TUNER-2: takes away the axes that do not exist and gives those that do now a value.
    fn settle(&self, mut site: Site, draw: &mut SplitMix64) -> Site {
        for index in 0..site.len() {
            match (self.exists(index, &site), site[index].is_nan()) {
                (true, true) => site[index] = self.at(index, draw.unit()),
                (false, false) => site[index] = f64::NAN,
                _ => {}
            }
        }
        debug_assert!(self.site(&self.point(&site)).is_ok() && self.drawable(&site), "TUNER-2: {site:?}");
        site
    }

    /// Whether axis `index` may be drawn at `number`.
    fn allowed(&self, index: usize, number: f64) -> bool {
        let axis = &self.axes[index];
        if axis.values.is_empty() {
            let (low, high) = ends(axis);
            return (low..=high).contains(&number);
        }
        axis.values
            .iter()
            .any(|value| self.number(index, value).is_ok_and(|listed| listed.to_bits() == number.to_bits()))
    }

    /// Whether `site` lies inside what may be drawn: the incumbent may not, after `--fix`.
    pub(crate) fn drawable(&self, site: &Site) -> bool {
        site.iter().enumerate().all(|(index, &number)| number.is_nan() || self.allowed(index, number))
    }

    /// `site` with what may not be drawn replaced by the nearest that may, or by any class that may.
    fn projected(&self, site: &Site, draw: &mut SplitMix64) -> Site {
        let mut moved = site.clone();
        for index in (0..site.len()).filter(|&index| !site[index].is_nan() && !self.allowed(index, site[index])) {
            let axis = &self.axes[index];
            moved[index] = match axis.kind {
                Kind::Category => self.at(index, draw.unit()),
                _ if axis.values.is_empty() => {
                    let (low, high) = ends(axis);
                    site[index].clamp(if axis.kind == Kind::Integer { low.ceil() } else { low }, high)
                }
                _ => {
                    let listed = axis.values.iter().filter_map(Value::as_f64);
                    let nearest = listed.min_by(|a, b| (a - site[index]).abs().total_cmp(&(b - site[index]).abs()));
                    nearest.expect("the list is not empty")
                }
            };
        }
        self.settle(moved, draw)
    }

    /// The site at `units`, one for each axis, each 0 to 1.
    pub(crate) fn site_at(&self, units: &[f64]) -> Site {
        let site: Site = units.iter().enumerate().map(|(index, &unit)| self.at(index, unit)).collect();
        self.settle(site, &mut SplitMix64::new(0))
    }

    /// A site drawn evenly over the scales.
    pub(crate) fn random(&self, draw: &mut SplitMix64) -> Site {
        let site: Site = (0..self.axes.len()).map(|index| self.at(index, draw.unit())).collect();
        self.settle(site, draw)
    }

    /// `count` sites of which each axis' values are spread evenly (a Latin hypercube), of a few such designs the one
    /// whose closest two sites are farthest apart.
    pub(crate) fn latin_hypercube(&self, count: usize, draw: &mut SplitMix64) -> Vec<Site> {
        let design = |draw: &mut SplitMix64| -> Vec<Site> {
            let mut units = vec![vec![0.0; self.axes.len()]; count];
            for axis in 0..self.axes.len() {
                let mut strata: Vec<usize> = (0..count).collect();
                for last in (1..count).rev() {
                    strata.swap(last, draw.below(last as u64 + 1) as usize);
                }
                for (site, stratum) in units.iter_mut().zip(strata) {
                    site[axis] = (stratum as f64 + draw.unit()) / count as f64;
                }
            }
            units.iter().map(|units| self.site_at(units)).collect()
        };
        let closest = |sites: &Vec<Site>| {
            let features: Vec<Vec<f64>> = sites.iter().map(|site| self.features(site)).collect();
            let mut least = f64::INFINITY;
            for (index, left) in features.iter().enumerate() {
                for right in &features[..index] {
                    least = least.min(self.distance(left, right));
                }
            }
            least
        };
        let designs: Vec<(f64, Vec<Site>)> =
            (0..20).map(|_| design(draw)).map(|sites| (closest(&sites), sites)).collect();
        let best = designs.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
        best.map(|(_, sites)| sites).unwrap_or_default()
    }

    /// Whether two sites agree in every class and lie closer than `apart` on each number's scale, 0 to 1; both as
    /// features.
    pub(crate) fn within(&self, left: &[f64], right: &[f64], apart: f64) -> bool {
        self.full.iter().zip(left).zip(right).all(|((axis, a), b)| match axis.kind {
            Kind::Category => a.to_bits() == b.to_bits(),
            _ => (a - b).abs() < apart,
        })
    }

    fn distance(&self, left: &[f64], right: &[f64]) -> f64 {
        let apart = |((axis, a), b): ((&Axis, &f64), &f64)| match axis.kind {
            Kind::Category => f64::from(u8::from(a.to_bits() != b.to_bits())),
            _ => (a - b).abs(),
        };
        self.full.iter().zip(left).zip(right).map(apart).sum()
    }

    /// Sites that differ from `site` on one axis: other classes, neighbouring values, and a few farther ones. A site
    /// outside what may be drawn is moved inside first.
    pub(crate) fn neighbours(&self, site: &Site, draw: &mut SplitMix64) -> Vec<Site> {
        let site = &self.projected(site, draw);
        let mut found = vec![site.clone()];
        for index in (0..self.axes.len()).filter(|&index| !site[index].is_nan()) {
            for number in self.near(index, site[index], draw) {
                if number.to_bits() != site[index].to_bits() {
                    let mut moved = site.clone();
                    moved[index] = number;
                    found.push(self.settle(moved, draw));
                }
            }
        }
        found
    }

    /// Sites one telling step away from `site` on each axis, with the axis' index: all other classes, the values next to
    /// it in a list, or a tenth of the range down and up.
    pub(crate) fn steps(&self, site: &Site) -> Vec<(usize, Site)> {
        let mut found: Vec<(usize, Site)> = Vec::new();
        for index in (0..self.axes.len()).filter(|&index| !site[index].is_nan()) {
            let axis = &self.axes[index];
            let listed: Vec<f64> = axis.values.iter().filter_map(|value| self.number(index, value).ok()).collect();
            let next: Vec<f64> = if axis.kind == Kind::Category {
                listed
            } else if !listed.is_empty() {
                let at = listed.iter().position(|&other| other >= site[index]).unwrap_or(0);
                listed[at.saturating_sub(1)..(at + 2).min(listed.len())].to_vec()
            } else {
                let (low, high) = ends(axis);
                let (from, to) = (transform(axis.scale, low), transform(axis.scale, high));
                let unit = if to > from { (transform(axis.scale, site[index]) - from) / (to - from) } else { 0.0 };
                vec![self.at(index, unit - 0.1), self.at(index, unit + 0.1)]
            };
            for number in next.into_iter().filter(|number| number.to_bits() != site[index].to_bits()) {
                let mut moved = site.clone();
                moved[index] = number;
                // An axis that comes to be by the step starts in the middle of its range.
                for (child, parent) in self.parents.iter().enumerate() {
                    if *parent == Some(index) {
                        moved[child] = if self.exists(child, &moved) {
                            if moved[child].is_nan() { self.at(child, NOWHERE) } else { moved[child] }
                        } else {
                            f64::NAN
                        };
                    }
                }
                if found.iter().all(|(_, other)| Space::key(other) != Space::key(&moved)) {
                    found.push((index, moved));
                }
            }
        }
        found
    }

    /// One axis of `site` moved at random.
    pub(crate) fn moved(&self, site: &Site, draw: &mut SplitMix64) -> Site {
        let site = &self.projected(site, draw);
        let mut moved = site.clone();
        let index = draw.below(self.axes.len() as u64) as usize;
        if !moved[index].is_nan() {
            let near = self.near(index, site[index], draw);
            if !near.is_empty() {
                moved[index] = near[draw.below(near.len() as u64) as usize];
            }
        }
        self.settle(moved, draw)
    }

    fn near(&self, index: usize, number: f64, draw: &mut SplitMix64) -> Vec<f64> {
        let axis = &self.axes[index];
        if !axis.values.is_empty() {
            let all: Vec<f64> = axis.values.iter().filter_map(|value| self.number(index, value).ok()).collect();
            if axis.kind == Kind::Category || all.len() <= 5 {
                return all;
            }
            let at = all.iter().position(|&other| other >= number).unwrap_or(all.len() - 1);
            let low = at.saturating_sub(2);
            let mut near = all[low..(at + 3).min(all.len())].to_vec();
            near.push(all[draw.below(all.len() as u64) as usize]);
            return near;
        }
        let (low, high) = ends(axis);
        let (from, to) = (transform(axis.scale, low), transform(axis.scale, high));
        let unit = if to > from { (transform(axis.scale, number) - from) / (to - from) } else { 0.0 };
        let far = 0.08 + 0.25 * draw.unit();
        let steps = [0.015, 0.05, far];
        let mut near: Vec<f64> =
            steps.iter().flat_map(|step| [unit - step, unit + step]).map(|u| self.at(index, u)).collect();
        near.push(self.at(index, draw.unit()));
        if axis.kind == Kind::Integer {
            near.extend([number - 1.0, number + 1.0].map(|next| next.clamp(low.ceil(), high.floor())));
        }
        near
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtt_measure::When;

    pub(crate) fn axis(name: &str, kind: Kind, range: Option<(f64, f64)>, values: &[&str], scale: Scale) -> Axis {
        let value = |text: &&str| match kind {
            Kind::Category => Value::Text((*text).into()),
            _ => Value::Integer(text.parse().expect("a number")),
        };
        Axis {
            name: name.into(),
            kind,
            min: range.map(|range| range.0),
            max: range.map(|range| range.1),
            values: values.iter().map(value).collect(),
            scale,
            when: None,
        }
    }

    /// A space with every kind of axis.
    pub(crate) fn mixed() -> Space {
        let spin = When { axis: "wait".into(), values: vec![Value::Text("futex".into()), Value::Text("yield".into())] };
        let mut axes = vec![
            axis("ring_bytes", Kind::Integer, None, &["16384", "32768", "65536", "131072"], Scale::Log2),
            axis("window_us", Kind::Integer, Some((0.0, 200.0)), &[], Scale::Log1p),
            axis("wait", Kind::Category, None, &["spin", "yield", "futex"], Scale::Linear),
            axis("spin_us", Kind::Integer, Some((0.0, 1000.0)), &[], Scale::Log1p),
            axis("load", Kind::Real, Some((-2.0, 3.0)), &[], Scale::Linear),
            axis("huge_pages", Kind::Category, None, &["off", "on"], Scale::Linear),
        ];
        axes[3].when = Some(spin);
        Space::new(axes).expect("a space")
    }

    #[test]
    fn listed_values_are_apart_by_rank_whatever_their_gaps() {
        let mut gaps = axis("x", Kind::Integer, None, &["4096", "16384", "65536", "1048576"], Scale::Linear);
        let at = |axis: &Axis, number| (rank(axis, number) * 300.0).round() as u32;
        assert_eq!([4096.0, 16384.0, 65536.0, 1048576.0].map(|n| at(&gaps, n)), [0, 100, 200, 300]);
        assert_eq!((at(&gaps, 40960.0), at(&gaps, 1.0), at(&gaps, 2e6)), (150, 0, 300));
        gaps.values.reverse();
        assert_eq!(at(&gaps, 16384.0), 100, "in whatever order they are listed");
    }

    /// TUNER-2 in a narrowed space, from a site outside of it.
    #[test]
    fn tuner_2_neighbours_of_a_site_outside_lie_inside() {
        let mut space = mixed();
        let outside = space.site(&space.point(&vec![16384.0, 100.0, 2.0, 7.0, 2.5, 0.0])).expect("legal before");
        crate::narrow::narrow(
            &mut space,
            &["wait=spin".into(), "load=0".into()],
            &["ring=64KiB..128KiB".into(), "window=0..20".into()],
        )
        .expect("narrowed");
        let mut draw = SplitMix64::new(3);
        assert!(!space.drawable(&outside));
        let mut sites = space.neighbours(&outside, &mut draw);
        sites.extend((0..50).map(|_| space.moved(&outside, &mut draw)));
        sites.extend((0..50).map(|_| space.random(&mut draw)));
        sites.extend(space.steps(&sites[0].clone()).into_iter().map(|step| step.1));
        assert!(sites.iter().all(|site| space.drawable(site)), "{sites:?}");
    }

    proptest! {
        /// TUNER-2 and TUNER-3 for drawn sites, their neighbours and designs.
        #[test]
        fn tuner_2_tuner_3_what_is_drawn_is_legal_and_survives_the_point(seed: u64) {
            let space = mixed();
            let mut draw = SplitMix64::new(seed);
            let mut sites = space.latin_hypercube(7, &mut draw);
            let site = space.random(&mut draw);
            sites.extend(space.neighbours(&site, &mut draw));
            sites.push(space.moved(&site, &mut draw));
            sites.push(site);
            for site in sites {
                let point = space.point(&site);
                prop_assert_eq!(point.contains_key("spin_us"), point["wait"] != Value::Text("spin".into()));
                let text = serde_json::to_string(&point).expect("JSON");
                let back = space.site(&serde_json::from_str(&text).expect("a point")).expect("a legal point");
                prop_assert_eq!(Space::key(&back), Space::key(&site));
                prop_assert!(space.features(&site).iter().all(|feature| feature.is_finite()));
            }
        }
    }

    #[test]
    fn a_latin_hypercube_spreads_each_axis() {
        let space = mixed();
        let sites = space.latin_hypercube(8, &mut SplitMix64::new(1));
        for ring in [16384.0, 32768.0, 65536.0, 131_072.0] {
            assert_eq!(sites.iter().filter(|site| site[0].to_bits() == f64::to_bits(ring)).count(), 2, "{ring}");
        }
        assert_eq!(sites.iter().filter(|site| site[4] < 0.5).count(), 4);
    }

    #[test]
    fn sites_are_within_a_distance_on_every_scale_and_in_no_other_class() {
        let space = mixed();
        let here = vec![16384.0, 13.0, 1.0, 30.0, 0.0, 0.0];
        let check = |axis: usize, number: f64, apart: f64, expected: bool| {
            let mut there = here.clone();
            there[axis] = number;
            let found = space.within(&space.features(&here), &space.features(&there), apart);
            assert_eq!(found, expected, "axis {axis} at {number}");
        };
        check(1, 15.0, 0.05, true);
        check(1, 30.0, 0.05, false); // 17 µs of 200, and still 0.15 of the scale.
        check(4, 0.2, 0.05, true);
        check(2, 2.0, 0.05, false);
        check(0, 32768.0, 0.05, false);
        let features = space.features(&here);
        assert!(!space.within(&features, &features, 0.0), "no distance holds nothing");
    }

    #[test]
    fn features_follow_the_scale() {
        let space = mixed();
        let site = |window: f64| vec![16384.0, window, 0.0, f64::NAN, -2.0, 0.0];
        let feature = |window| space.features(&site(window))[1];
        assert!((feature(0.0), feature(200.0)) == (0.0, 1.0) && (feature(13.0) - 0.4976).abs() < 1e-3);
        assert!((space.features(&site(0.0))[0]).abs() < 1e-12);
    }

    #[test]
    fn axes_that_contradict_themselves_are_refused() {
        let check = |axis: Axis, part: &str| {
            let error = Space::new(vec![axis]).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        };
        check(axis("a", Kind::Integer, Some((5.0, 4.0)), &[], Scale::Linear), "range 5..4");
        check(axis("a", Kind::Integer, None, &[], Scale::Linear), "`min` at most `max`");
        check(axis("a", Kind::Integer, Some((0.2, 0.7)), &[], Scale::Linear), "no whole number");
        check(axis("a", Kind::Real, Some((0.0, 4.0)), &[], Scale::Log2), "above 0");
        check(axis("a", Kind::Category, None, &[], Scale::Linear), "needs `values`");
        let mut orphan = axis("a", Kind::Real, Some((0.0, 4.0)), &[], Scale::Linear);
        orphan.when = Some(When { axis: "b".into(), values: vec![] });
        check(orphan, "which is no unconditional axis");
        assert!(Space::new(vec![]).is_err());
    }

    #[test]
    fn points_outside_the_space_are_refused() {
        let space = mixed();
        let good = space.point(&space.random(&mut SplitMix64::new(1)));
        let check = |name: &str, value: Option<Value>, part: &str| {
            let mut point = good.clone();
            match value {
                Some(value) => point.insert(name.into(), value),
                None => point.remove(name),
            };
            let error = space.site(&point).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        };
        check("window_us", Some(Value::Integer(201)), "outside 0..=200");
        check("window_us", Some(Value::Real(0.5)), "outside");
        check("wait", Some(Value::Text("sleep".into())), "none of its values");
        check("load", None, "missing");
        check("colour", Some(Value::Integer(1)), "no such axis");
    }
}
