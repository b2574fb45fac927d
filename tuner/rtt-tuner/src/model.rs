//! What is believed about a problem after some measurements: one Gaussian process for the logarithm of the
//! objective, one for each constraint, and what follows from them: which point to try, which to recommend.
//!
//! TUNER-4  Recommended is the evaluated point of least posterior mean among those that are feasible with 95 %, never
//!          the lowest observation as such.
//! TUNER-13 A run that the host or the lab disturbed says nothing of its site: neither that it is slow nor that it is
//!          infeasible. Where such runs gather is only less worth a try.

use crate::gaussian_process::{Data, GaussianProcess, Parameters};
use crate::objective::Evaluation;
use crate::space::{Key, Site, Space};
use rtt_measure::{Constraint, Interval, Verdict};
use rtt_units::SplitMix64;
use std::collections::BTreeSet;

/// A point that is this likely to keep every constraint may be recommended.
const FEASIBLE: f64 = 0.95;
/// Prior of the noise of one measurement, as a standard deviation of ln(objective).
const NOISE: f64 = 0.08;
/// Prior of the noise of a transformed constraint.
const CONSTRAINT_NOISE: f64 = 0.03;
/// Looks of the climb for parameters, from scratch and from those of the measurement before.
const LOOKS: (u64, u64) = (60, 16);
/// Measurements after which the parameters are found from scratch again.
const AFRESH: usize = 10;
/// Half the width of a 95 % interval in standard deviations.
const Z95: f64 = 1.96;

/// Why a site has no objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// A run was void: the generator fell behind, a fault did not strike.
    Disturbed,
    /// A run never settled or the endpoint crashed: that is the site's own.
    Failed,
}

/// One measured site.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) site: Site,
    /// Logarithm of the objective; absent where a run gave no result.
    pub(crate) log_objective: Option<f64>,
    /// Values of the constraints in the problem's order; absent where an answer was silent.
    pub(crate) constraints: Vec<Option<f64>>,
    /// Why there is no objective; absent where there is one.
    pub(crate) lost: Option<Lost>,
}

impl Told {
    /// What came of measuring `site`.
    pub(crate) fn of(site: Site, found: &Evaluation) -> Told {
        let lost = match (&found.log_objective, &found.reason) {
            (Some(_), _) => None,
            (None, Some((Verdict::Void, _))) => Some(Lost::Disturbed),
            (None, _) => Some(Lost::Failed),
        };
        Told { site, log_objective: found.log_objective, constraints: found.constraints.clone(), lost }
    }

    /// Whether there is an objective and every constraint that was told is kept.
    pub(crate) fn feasible(&self, constraints: &[Constraint]) -> bool {
        let kept = |(value, limit): (&Option<f64>, &Constraint)| value.is_none_or(|value| value <= limit.max);
        self.log_objective.is_some() && self.constraints.iter().zip(constraints).all(kept)
    }
}

/// What a proposal is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Aim {
    /// The most expected improvement, at least so far from every measured site: on each number's scale, 0 to 1, where
    /// the classes are equal. A model that is too sure of a slope would else measure one corner again and again.
    Improve(f64),
    /// The same by a model that is less sure of itself: a way out where it has settled on a false shape.
    Doubt(f64),
    /// The least posterior mean.
    Settle,
}

impl Aim {
    fn doubt(self) -> f64 {
        if matches!(self, Aim::Doubt(_)) { 2.0 } else { 1.0 }
    }

    fn apart(self) -> f64 {
        match self {
            Aim::Improve(apart) | Aim::Doubt(apart) => apart,
            Aim::Settle => 0.0,
        }
    }
}

/// Parameters of an earlier fit, to start the next from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warm {
    objective: Option<Parameters>,
    constraints: Vec<Option<Parameters>>,
    fits: usize,
}

/// The beliefs.
#[derive(Debug)]
pub(crate) struct Model<'a> {
    space: &'a Space,
    objective: GaussianProcess,
    constraints: Vec<GaussianProcess>,
    /// Where runs are disturbed; absent where none was.
    disturbance: Option<GaussianProcess>,
    /// Index in what was told, features, posterior mean and chance of being feasible.
    evaluated: Vec<Evaluated>,
    known: BTreeSet<Key>,
}

#[derive(Debug)]
struct Evaluated {
    index: usize,
    site: Site,
    features: Vec<f64>,
    mean: f64,
    sd: f64,
    feasible: f64,
}

/// How the model sees the values of one constraint: at most 0 where it is kept, on a logarithmic scale where values can
/// span orders of magnitude. Bounded, since a point that is far off says no more than one that is off.
#[derive(Clone, Copy, Debug)]
enum Seen {
    /// Never negative and a limit above 0: a ratio.
    Ratio,
    /// Never negative and the limit is 0: kept or not.
    Either,
    /// Any number: a distance in units of the greatest seen.
    Distance(f64),
}

impl Seen {
    fn of(values: &[f64], limit: f64) -> Seen {
        let signed = values.iter().any(|&value| value < 0.0);
        match () {
            () if !signed && limit > 0.0 => Seen::Ratio,
            () if !signed && limit == 0.0 => Seen::Either,
            () => Seen::Distance(values.iter().map(|value| (value - limit).abs()).fold(1e-12, f64::max)),
        }
    }

    fn transformed(self, value: f64, limit: f64) -> f64 {
        match self {
            Seen::Ratio => {
                let floor = 0.01 * limit;
                ((value + floor) / (limit + floor)).ln().clamp(-3.0, 3.0)
            }
            Seen::Either => {
                if value > limit {
                    1.0
                } else {
                    -1.0
                }
            }
            Seen::Distance(unit) => (value - limit) / unit,
        }
    }
}

fn normal_density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt()
}

/// Share of a standard normal variable below `z`. Source: Abramowitz and Stegun 1964, 26.2.17; error below 1e-7.
pub(crate) fn normal_below(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let series =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = series * normal_density(z);
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// Expected improvement below `best` of a normal belief, on the log scale; far below, its asymptote keeps the order.
fn log_expected_improvement(mean: f64, sd: f64, best: f64) -> f64 {
    let z = (best - mean) / sd;
    if z > -5.0 {
        (sd * (normal_density(z) + z * normal_below(z)).max(1e-300)).ln()
    } else {
        sd.ln() - 0.5 * z * z - 2.0 * z.abs().ln() - 0.918_938_533
    }
}

impl<'a> Model<'a> {
    /// Fits to what was told; `None` while fewer than two sites gave a result.
    pub(crate) fn fit(space: &'a Space, limits: &[Constraint], told: &[Told], warm: &mut Warm) -> Option<Model<'a>> {
        let afresh = warm.fits.is_multiple_of(AFRESH);
        warm.fits += 1;
        warm.constraints.resize(limits.len() + 2, None);
        let looks = if afresh { LOOKS.0 } else { LOOKS.1 };
        let process = |rows: Vec<(&Site, f64)>, noise, warm: &mut Option<Parameters>| {
            let features = rows.iter().map(|(site, _)| space.features(site)).collect();
            let data = Data::new(features, space.classes(), rows.iter().map(|row| row.1).collect(), noise);
            let start = warm.as_ref().filter(|_| !afresh);
            let fitted = GaussianProcess::fit(data, start, looks)?;
            *warm = Some(fitted.parameters().clone());
            Some(fitted)
        };
        let results = told.iter().filter_map(|told| told.log_objective);
        let worst = results.reduce(f64::max)?;
        // A site that failed is as bad as the worst that was seen: the model must not think well of it.
        let undisturbed = || told.iter().filter(|told| told.lost != Some(Lost::Disturbed)); // TUNER-13
        let rows = undisturbed().map(|told| (&told.site, told.log_objective.unwrap_or(worst))).collect();
        let objective = process(rows, NOISE, &mut warm.objective)?;
        let mut constraints = Vec::new();
        for (index, limit) in limits.iter().enumerate() {
            let values: Vec<(&Site, f64)> =
                told.iter().filter_map(|told| Some((&told.site, told.constraints[index]?))).collect();
            let seen = Seen::of(&values.iter().map(|row| row.1).collect::<Vec<_>>(), limit.max);
            let rows: Vec<(&Site, f64)> =
                values.into_iter().map(|(site, value)| (site, seen.transformed(value, limit.max))).collect();
            // Where all keep it clearly there is nothing to learn.
            if rows.iter().any(|row| row.1 > -0.2) {
                constraints.extend(process(rows, CONSTRAINT_NOISE, &mut warm.constraints[index]));
            }
        }
        let mut whether = |told: Vec<&Told>, lost: Lost, noise: f64, slot: usize| {
            let hit = |told: &Told| if told.lost == Some(lost) { 1.0 } else { -1.0 };
            let any = told.iter().any(|told| told.lost == Some(lost));
            let rows = told.iter().map(|told| (&told.site, hit(told))).collect();
            any.then(|| process(rows, noise, &mut warm.constraints[slot])).flatten()
        };
        constraints.extend(whether(undisturbed().collect(), Lost::Failed, 0.2, limits.len()));
        // Mostly chance, so the noise is wide.
        let disturbance = whether(told.iter().collect(), Lost::Disturbed, 0.8, limits.len() + 1);
        let (evaluated, known) = (Vec::new(), BTreeSet::new());
        let mut model = Model { space, objective, constraints, disturbance, evaluated, known };
        model.evaluated = told
            .iter()
            .enumerate()
            .map(|(index, told)| {
                let (mean, sd, mut feasible) = model.believe(&told.site);
                if told.log_objective.is_none() {
                    feasible = 0.0;
                }
                let features = space.features(&told.site);
                Evaluated { index, site: told.site.clone(), features, mean, sd, feasible }
            })
            .collect();
        model.known = told.iter().map(|told| Space::key(&told.site)).collect();
        Some(model)
    }

    /// Mean and standard deviation of the log objective without noise, and the chance of being feasible.
    fn believe(&self, site: &Site) -> (f64, f64, f64) {
        let features = self.space.features(site);
        let (mean, sd) = self.objective.predict(&features);
        let kept = |process: &GaussianProcess| {
            let (mean, sd) = process.predict(&features);
            normal_below(-mean / sd)
        };
        (mean, sd, self.constraints.iter().map(kept).product())
    }

    /// Chance that a run at `site` is not disturbed.
    fn calm(&self, site: &Site) -> f64 {
        let Some(process) = &self.disturbance else { return 1.0 };
        let (mean, sd) = process.predict(&self.space.features(site));
        normal_below(-mean / sd)
    }

    /// Whether what was told at `index` is believed feasible with 95 %.
    pub(crate) fn feasible(&self, index: usize) -> bool {
        self.evaluated[index].feasible >= FEASIBLE
    }

    /// Belief about what was told at `index`, with a 95 % interval, as an objective.
    pub(crate) fn posterior(&self, index: usize) -> Interval {
        let Evaluated { mean, sd, .. } = self.evaluated[index];
        Interval { estimate: mean.exp(), low: (mean - Z95 * sd).exp(), high: (mean + Z95 * sd).exp() }
    }

    /// Objective at `other` over the objective at `site`, with a 95 % interval.
    pub(crate) fn ratio(&self, other: &Site, site: &Site) -> Interval {
        let (step, sd) = self.objective.difference(&self.space.features(other), &self.space.features(site));
        Interval { estimate: step.exp(), low: (step - Z95 * sd).exp(), high: (step + Z95 * sd).exp() }
    }

    /// TUNER-4: index of the recommended site in what was told, among those that `eligible` takes; `None` when none is
    /// believed feasible.
    pub(crate) fn recommend(&self, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let feasible = self.evaluated.iter().filter(|site| site.feasible >= FEASIBLE && eligible(site.index));
        feasible.min_by(|a, b| a.mean.total_cmp(&b.mean)).map(|site| site.index)
    }

    /// The measured site that is worth a second look: the one that may be the best of those that are likely feasible.
    pub(crate) fn worth_again(&self) -> Option<Site> {
        let likely = self.evaluated.iter().filter(|site| site.feasible >= 0.5);
        likely.min_by(|a, b| (a.mean - a.sd).total_cmp(&(b.mean - b.sd))).map(|site| site.site.clone())
    }

    /// Whether a measured site of the same classes lies closer to `site` than `apart` on every axis.
    fn crowded(&self, site: &Site, apart: f64) -> bool {
        let features = self.space.features(site);
        apart > 0.0 && self.evaluated.iter().any(|other| self.space.within(&features, &other.features, apart))
    }

    /// The site to measure next, and its expected improvement as a share of the objective. `Aim::Settle` takes the least
    /// posterior mean instead; `None` when every site that was found is known already.
    pub(crate) fn propose(&self, draw: &mut SplitMix64, aim: Aim) -> Option<(Site, f64)> {
        let reachable = self.evaluated.iter().filter(|site| site.feasible >= 0.5);
        let best = reachable.map(|site| site.mean).min_by(f64::total_cmp);
        let worth = |site: &Site| {
            let (mean, sd, feasible) = self.believe(site);
            let feasible = feasible * self.calm(site);
            match best {
                // Nothing feasible is known yet: look where that is likeliest.
                None => feasible.max(1e-12).ln() + 0.01 * (-mean),
                Some(_) if aim == Aim::Settle => -mean + feasible.clamp(1e-12, FEASIBLE).ln() * 20.0,
                Some(best) => log_expected_improvement(mean, sd * aim.doubt(), best) + feasible.max(1e-12).ln(),
            }
        };
        let mut seen = self.known.clone();
        let mut ranked: Vec<(f64, Site)> = Vec::new();
        let mut consider = |sites: Vec<Site>, ranked: &mut Vec<(f64, Site)>| {
            let before = ranked.len();
            for site in sites {
                if seen.insert(Space::key(&site)) && !self.crowded(&site, aim.apart()) {
                    ranked.push((worth(&site), site));
                }
            }
            ranked.len() > before
        };
        consider((0..500).map(|_| self.space.random(draw)).collect(), &mut ranked);
        let mut leaders: Vec<&Evaluated> = self.evaluated.iter().collect();
        leaders.sort_by(|a, b| (b.feasible >= 0.5).cmp(&(a.feasible >= 0.5)).then(a.mean.total_cmp(&b.mean)));
        for leader in leaders.iter().take(6) {
            consider(self.space.neighbours(&leader.site, draw), &mut ranked);
            let moved = (0..40).map(|_| self.space.moved(&self.space.moved(&leader.site, draw), draw)).collect();
            consider(moved, &mut ranked);
        }
        for _ in 0..6 {
            ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
            ranked.truncate(40);
            let top: Vec<Site> = ranked.iter().take(4).map(|(_, site)| site.clone()).collect();
            let near = top.iter().flat_map(|site| self.space.neighbours(site, draw)).collect();
            if !consider(near, &mut ranked) {
                break;
            }
        }
        if ranked.is_empty() && aim.apart() > 0.0 {
            return self.propose(draw, Aim::Improve(0.0)); // A small space has no room left to keep away in.
        }
        let (_, site) = ranked.into_iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
        let (mean, sd, _) = self.believe(&site);
        let gain = best.map_or(f64::INFINITY, |best| log_expected_improvement(mean, sd, best).exp());
        Some((site, gain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::tests::mixed;
    use rtt_measure::{Kind, Scale};

    fn limits() -> Vec<Constraint> {
        vec![Constraint { name: "cpu".into(), max: 0.9 }]
    }

    fn told(space: &Space, count: usize, noise: f64) -> Vec<Told> {
        let mut draw = SplitMix64::new(5);
        let sites = space.latin_hypercube(count, &mut draw);
        sites
            .into_iter()
            .map(|site| {
                let spin = site[2] < 0.5;
                let log = 3.0 + 0.3 * (site[4] - 1.0).powi(2) + if spin { 0.0 } else { 0.7 } + noise * draw.normal();
                let cpu = if spin { 1.0 } else { 0.5 };
                Told { site, log_objective: Some(log), constraints: vec![Some(cpu)], lost: None }
            })
            .collect()
    }

    #[test]
    fn the_constraint_decides_what_is_recommended_and_proposed() {
        let space = mixed();
        let told = told(&space, 30, 0.05);
        let free = Model::fit(&space, &[], &told, &mut Warm::default()).expect("a model");
        assert!(told[free.recommend(|_| true).expect("a point")].site[2] < 0.5, "spin is best without the limit");
        let bound = Model::fit(&space, &limits(), &told, &mut Warm::default()).expect("a model");
        assert!(told[bound.recommend(|_| true).expect("a point")].site[2] > 0.5, "spin breaks the limit");
        let (site, _) = bound.propose(&mut SplitMix64::new(1), Aim::Improve(0.0)).expect("a proposal");
        assert!(site[2] > 0.5, "{site:?}");
    }

    /// TUNER-4: one lucky run among slow ones is the lowest observation and is not recommended.
    #[test]
    fn tuner_4_a_lucky_observation_is_not_recommended() {
        let space = mixed();
        let mut told = told(&space, 40, 0.05);
        let slow = told.iter().position(|t| t.site[2] > 0.5 && t.site[4] < -0.5).expect("a slow one");
        told[slow].log_objective = Some(2.0);
        let model = Model::fit(&space, &[], &told, &mut Warm::default()).expect("a model");
        assert_ne!(model.recommend(|_| true), Some(slow));
    }

    /// TUNER-13: half of the runs lost to the host move no posterior and make no measured site infeasible.
    #[test]
    fn tuner_13_disturbed_runs_change_no_belief() {
        let space = mixed();
        let measured = told(&space, 24, 0.05);
        let mut all = measured.clone();
        let mut draw = SplitMix64::new(9);
        let lost = |site| Told { site, log_objective: None, constraints: vec![None], lost: Some(Lost::Disturbed) };
        all.extend((0..24).map(|_| lost(space.random(&mut draw))));
        let fit = |told: &[Told]| Model::fit(&space, &[], told, &mut Warm::default()).expect("a model");
        let (without, with) = (fit(&measured), fit(&all));
        let means = |model: &Model<'_>| (0..24).map(|index| model.posterior(index)).collect::<Vec<_>>();
        assert_eq!(means(&without), means(&with));
        assert!((0..24).all(|index| with.feasible(index)), "what gave a result may be recommended");
        assert!((24..48).all(|index| !with.feasible(index)), "and what gave none may not");
        assert_eq!(with.recommend(|_| true), without.recommend(|_| true));
    }

    #[test]
    fn a_site_without_a_result_is_never_recommended_and_no_site_is_proposed_twice() {
        let space = mixed();
        let mut told = told(&space, 12, 0.05);
        let spinning = told.iter_mut().filter(|t| t.site[2] < 0.5);
        spinning.for_each(|t| (t.log_objective, t.lost) = (None, Some(Lost::Failed)));
        let model = Model::fit(&space, &[], &told, &mut Warm::default()).expect("a model");
        assert!(told[model.recommend(|_| true).expect("a point")].log_objective.is_some());
        let (site, _) = model.propose(&mut SplitMix64::new(2), Aim::Settle).expect("a proposal");
        assert!(told.iter().all(|t| Space::key(&t.site) != Space::key(&site)));
    }

    /// Eleven of twenty-one whole numbers are measured: nothing is far from them, and the best of the rest is proposed.
    #[test]
    fn a_space_without_room_is_searched_as_close_as_it_must_be() {
        let line = crate::space::tests::axis("x", Kind::Integer, Some((0.0, 20.0)), &[], Scale::Linear);
        let space = Space::new(vec![line]).expect("a space");
        let told = |x: f64| Told {
            site: vec![x],
            log_objective: Some(3.0 + 0.02 * (x - 13.0).powi(2)),
            constraints: vec![],
            lost: None,
        };
        let told: Vec<Told> = (0..=10).map(|x| told(f64::from(2 * x))).collect();
        let model = Model::fit(&space, &[], &told, &mut Warm::default()).expect("a model");
        let (site, _) = model.propose(&mut SplitMix64::new(3), Aim::Improve(0.1)).expect("a proposal");
        assert!(site[0].to_bits() == 13.0_f64.to_bits(), "{site:?}");
    }

    #[test]
    fn expected_improvement_is_continuous_where_its_asymptote_begins() {
        let (near, far) = (log_expected_improvement(4.99, 1.0, 0.0), log_expected_improvement(5.01, 1.0, 0.0));
        assert!((near - far).abs() < 0.3, "{near} {far}");
        assert!(log_expected_improvement(1.0, 0.5, 0.0) > log_expected_improvement(1.2, 0.5, 0.0));
    }
}
