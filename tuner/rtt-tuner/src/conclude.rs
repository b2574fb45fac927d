//! From what was measured to a fit: the recommendation and why, the effects, the noise, the outcome, in words.

use crate::confirm::{Confirmed, Ended, TOLERANCE};
use crate::model::{Model, Told, Warm};
use crate::objective::Evaluation;
use crate::output::Begun;
use crate::plan::FAULT_WEIGHT;
use crate::progress::shown;
use crate::session::{Measured, Session};
use crate::space::Space;
use rtt_measure::{
    ArmsP99, Confirmation, Decision, Fit, FitPoint, Hello, Interval, KnobEffect, Origin, Outcome, Point,
    geometric_mean_interval,
};

/// What the search came to.
#[derive(Debug)]
pub(crate) struct Searched {
    pub(crate) points: Vec<Measured>,
    pub(crate) placebo: Vec<Evaluation>,
    /// Index of the recommended point.
    pub(crate) recommended: Option<usize>,
    /// Index of the lowest feasible observation.
    pub(crate) lowest: Option<usize>,
    posteriors: Vec<Option<Interval>>,
    feasible: Vec<bool>,
    effects: Vec<KnobEffect>,
    why: String,
    noise_log_sd: Option<f64>,
    /// Notes on presets and random search.
    notes: Vec<String>,
}

fn sd(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.len() > 1).then(|| (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt())
}

/// Looks at all that was measured; the first point is the incumbent.
pub(crate) fn look(session: &Session<'_>, nanos: bool) -> Searched {
    let (points, placebo) = (session.points(), session.placebo());
    let limits = &session.course.limits;
    let mut told: Vec<Told> = points.iter().map(Measured::told).collect();
    // The placebo's runs tell more about the incumbent's site, and about the noise.
    told.extend(placebo.iter().map(|found| Told::of(points[0].site.clone(), found)));
    let model = Model::fit(session.space, limits, &told, &mut Warm::default());
    let cost = |index: usize| told[index].log_objective.unwrap_or(f64::INFINITY);
    // After `--fix` the default and the presets may lie outside what was asked for; the incumbent competes anyhow.
    let eligible = |index: usize| index == 0 || index >= points.len() || session.space.drawable(&points[index].site);
    let lowest = (0..points.len())
        .filter(|&index| told[index].feasible(limits) && eligible(index))
        .min_by(|&a, &b| cost(a).total_cmp(&cost(b)));
    let recommended = match &model {
        Some(model) => model.recommend(eligible).map(|index| if index < points.len() { index } else { 0 }),
        None => lowest,
    };
    let logs: Vec<f64> = placebo.iter().chain([&points[0].found]).filter_map(|found| found.log_objective).collect();
    let mut searched = Searched {
        recommended,
        lowest,
        posteriors: vec![None; points.len()],
        feasible: points.iter().map(|point| point.told().feasible(limits)).collect(),
        effects: vec![],
        why: String::new(),
        noise_log_sd: sd(&logs),
        notes: vec![],
        points,
        placebo,
    };
    if let Some(model) = &model {
        for index in 0..searched.points.len() {
            if searched.points[index].found.log_objective.is_some() {
                searched.posteriors[index] = Some(model.posterior(index));
            }
            searched.feasible[index] = searched.feasible[index] && model.feasible(index);
        }
        if let Some(best) = recommended {
            searched.effects = effects(session.space, model, &searched.points[best]);
            searched.notes = comparisons(model, &searched.points, best);
        }
    }
    searched.why = why(&searched, model.as_ref(), nanos);
    searched
}

fn effects(space: &Space, model: &Model<'_>, best: &Measured) -> Vec<KnobEffect> {
    let steps = space.steps(&best.site).into_iter();
    steps
        .map(|(axis, site)| {
            let axis = &space.full()[axis].name;
            let value = space.point(&site).get(axis).map(ToString::to_string).unwrap_or_default();
            KnobEffect { axis: axis.clone(), value, ratio: model.ratio(&site, &best.site) }
        })
        .collect()
}

/// Says so when a preset or random search does as well as the model's pick.
fn comparisons(model: &Model<'_>, points: &[Measured], best: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let against = |index: usize| model.ratio(&points[index].site, &points[best].site);
    let words = |name: &str, ratio: Interval| {
        let percent = 100.0 * (ratio.estimate - 1.0);
        if ratio.low <= 1.0 {
            format!("{name} does as well as the recommended point, as far as the model can tell ({percent:+.0} %)")
        } else {
            format!("{name} is {percent:.0} % slower than the recommended point under the model")
        }
    };
    if let Origin::Preset(name) = &points[best].origin {
        notes.push(format!("the recommended point is the preset `{name}` itself: the search found nothing better"));
    }
    for (index, point) in points.iter().enumerate().filter(|(index, _)| *index != best) {
        let Origin::Preset(name) = &point.origin else { continue };
        let name = format!("preset `{name}`");
        notes.push(match (&point.found.log_objective, &point.found.reason) {
            (Some(_), _) if model.feasible(index) => words(&name, against(index)),
            (Some(_), _) => format!("{name} is not sure to keep every constraint"),
            (None, Some((_, reason))) => format!("{name} gave no result: {reason}"),
            (None, None) => format!("{name} gave no result"),
        });
    }
    let random = (0..points.len()).filter(|&index| points[index].origin == Origin::Random && model.feasible(index));
    let cost = |index: &usize| points[*index].found.log_objective.unwrap_or(f64::INFINITY);
    if points[best].origin == Origin::Random {
        notes.push("the recommended point was found by random search at equal budget, not by the model".into());
    } else if let Some(index) = random.min_by(|a, b| cost(a).total_cmp(&cost(b))) {
        notes.push(words("random search at equal budget", against(index)));
    }
    notes
}

fn why(searched: &Searched, model: Option<&Model<'_>>, nanos: bool) -> String {
    let (Some(best), Some(model)) = (searched.recommended, model) else {
        let tried = searched.points.len();
        return format!("nothing is recommended: of {tried} points none is known to keep every constraint with 95 %");
    };
    let seen = |index: usize| searched.points[index].found.log_objective.map_or(f64::NAN, f64::exp);
    let posterior = |index: usize| model.posterior(index);
    let of = |index: usize| {
        let Interval { estimate, low, high } = posterior(index);
        format!("{} ({} to {})", shown(estimate, nanos), shown(low, nanos), shown(high, nanos))
    };
    // Points are counted from 1, as on the page.
    let pick = format!("point {} is recommended", best + 1);
    match searched.lowest {
        Some(lowest) if lowest != best => {
            let kept = if searched.feasible[lowest] { "" } else { " and is not sure to keep every constraint" };
            format!(
                "{pick}: with what its neighbours showed the model expects {} of it. Point {} was seen at {}, the lowest \
                 that kept every constraint, but in one noisy measurement: the model expects {} of it{kept}",
                of(best),
                lowest + 1,
                shown(seen(lowest), nanos),
                of(lowest)
            )
        }
        Some(_) => format!(
            "{pick}: the model expects {} of it, the least of all that keep every constraint; it was also the lowest of \
             these that was seen, at {}",
            of(best),
            shown(seen(best), nanos)
        ),
        None => format!("{pick}: the model expects {} of it, the least of all that keep every constraint", of(best)),
    }
}

/// What a reader must know of the limits: one that no answer spoke of, and one that the incumbent itself breaks.
pub(crate) fn limits_in_words(searched: &Searched, hello: &Hello) -> Vec<String> {
    let values = |index: usize| searched.points.iter().filter_map(move |point| point.found.constraints[index]);
    let incumbent = &searched.points[0].found.constraints;
    let mut notes = Vec::new();
    for (index, limit) in hello.constraints.iter().enumerate() {
        // A lab tells a limit only for scenarios that have it; any other problem promised to tell it always.
        if values(index).next().is_none() && hello.protocol.is_none() {
            notes.push(format!("no answer told {}, so whether any point keeps it is not known", limit.name));
        }
        if let Some(value) = incumbent[index].filter(|value| *value > limit.max) {
            notes.push(format!(
                "the incumbent itself breaks a constraint: {} is {value}, at most {}",
                limit.name, limit.max
            ));
        }
    }
    notes
}

/// The count of pairs that gave a result, and of those that did not.
fn pairs_in_words(valid: u32, void: u32) -> String {
    let noun = if valid == 1 { "pair" } else { "pairs" };
    if void > 0 { format!("{valid} {noun}, {void} more void") } else { format!("{valid} {noun}") }
}

/// Outcome and sentence of a run.
pub(crate) fn outcome(searched: &Searched, confirmed: Option<&Confirmed>, limits: &[String]) -> (Outcome, String) {
    let Some(best) = searched.recommended else {
        let any = searched.points.iter().any(|point| point.found.log_objective.is_some());
        return if any {
            (Outcome::NoBetter, "no better: no measured point keeps every constraint, so the incumbent stays".into())
        } else {
            (Outcome::Undecided, "undecided: no run gave a result, so the incumbent stays".into())
        };
    };
    let Some(confirmed) = confirmed else {
        let same = searched.points[best].site == searched.points[0].site || best == 0;
        return if same {
            (Outcome::NoBetter, "no better: the incumbent is what the search recommends".into())
        } else {
            (
                Outcome::Undecided,
                "undecided: no time was left to confirm the recommended point; the incumbent stays".into(),
            )
        };
    };
    let pairs = confirmed.pairs;
    let limits = limits.join(", ");
    // A crash or a broken limit is a defect and no noise: one is enough, whatever the pairs say of p99.
    let defects =
        [(confirmed.crashed[0], "crashed".to_owned()), (confirmed.broke[0], format!("broke a constraint ({limits})"))];
    if let Some((count, what)) = defects.iter().find(|(count, _)| *count > 0) {
        let text =
            format!("no better: the recommended point {what} in {count} of {pairs} pairs, so the incumbent stays");
        return (Outcome::NoBetter, text);
    }
    let Some(record) = &confirmed.record else {
        let text = format!("undecided: fewer than two of {pairs} pairs gave a result; the incumbent stays");
        return (Outcome::Undecided, text);
    };
    let valid = record.valid() as u32;
    let counted = pairs_in_words(valid, pairs - valid);
    let (change, percent) = (100.0 * (record.ratio.estimate - 1.0), 100.0 * TOLERANCE);
    match (confirmed.decision, confirmed.ended) {
        (Decision::Fail, _) => {
            (Outcome::Better, format!("better: p99 {change:+.1} % against the incumbent, confirmed in {counted}"))
        }
        (Decision::Pass, _) => (
            Outcome::NoBetter,
            format!("no better: the incumbent is not {percent:.0} % slower ({counted}), so it stays"),
        ),
        (Decision::Undecided, Ended::Time) => (
            Outcome::Undecided,
            format!("undecided: time ended after {counted} (p99 {change:+.1} % so far); the incumbent stays"),
        ),
        (Decision::Undecided, _) => (
            Outcome::Undecided,
            format!("undecided: {counted} were too few for the noise (p99 {change:+.1} % so far); the incumbent stays"),
        ),
    }
}

/// The noise in a sentence.
fn noise(sd: Option<f64>, runs: usize, lost: f64) -> String {
    let lost = if lost > 0.0 { format!("; {:.0} % of the trials gave no result", 100.0 * lost) } else { String::new() };
    let Some(sd) = sd else {
        return format!("the noise is unknown: the placebo gave fewer than two results{lost}");
    };
    let verdict = match sd {
        sd if sd < 0.03 => "quiet",
        sd if sd < 0.08 => "ordinary",
        sd if sd < 0.20 => "noisy, small gains need many pairs",
        _ => "very noisy, only large gains can be confirmed here",
    };
    let factor = sd.exp();
    let spread =
        if factor < 1.5 { format!("{:.1} %", 100.0 * (factor - 1.0)) } else { format!("a factor of {factor:.1}") };
    format!("{verdict}: {runs} measurements of the incumbent spread by {spread} (one standard deviation){lost}")
}

/// All figures and words of a finished run.
#[expect(clippy::too_many_arguments, reason = "a fit is made of all that a run knows")]
pub(crate) fn fit(
    run: &str,
    begun: &Begun,
    hello: &Hello,
    session: &Session<'_>,
    searched: Searched,
    confirmed: Option<Confirmed>,
    mut notes: Vec<String>,
    solver: &str,
) -> Fit {
    let plan = &begun.plan;
    let limits: Vec<String> =
        hello.constraints.iter().map(|limit| format!("{} <= {}", limit.name, limit.max)).collect();
    let (outcome, sentence) = outcome(&searched, confirmed.as_ref(), &limits);
    notes.extend(searched.notes.iter().cloned());
    let confirmation = confirmed.and_then(|confirmed| confirmed.record);
    let placebo = searched.placebo.iter().flat_map(|found| &found.runs).map(|run| run.id.clone()).collect();
    let results = searched.placebo.iter().chain([&searched.points[0].found]);
    let runs = results.filter(|found| found.log_objective.is_some()).count();
    let noise = noise(searched.noise_log_sd, runs, session.lost_share());
    let points = searched.points.iter().enumerate().map(|(index, point)| FitPoint {
        point: point.point.clone(),
        origin: point.origin.clone(),
        trials: point.found.runs.iter().map(|run| run.id.clone()).collect(),
        objective: point.found.log_objective.map(f64::exp),
        posterior: searched.posteriors[index],
        feasible: searched.feasible[index],
        cpu_millicores: point.found.cpu_millicores,
    });
    Fit {
        version: 1,
        run: run.into(),
        trial_log: None, // The problem may still write to it.
        problem: hello.name.clone(),
        unit: if hello.protocol.is_some() { "ns" } else { "the problem's own" }.into(),
        seed: begun.seed.clone(),
        quick: begun.options.quick,
        options: options(begun),
        weights: plan.scenarios.iter().map(|scenario| (scenario.name.clone(), 1.0)).collect(),
        fault_weight: if plan.faults.is_some() { FAULT_WEIGHT } else { 0.0 },
        space: session.space.axes().to_vec(),
        solver: solver.into(),
        points: points.collect(),
        incumbent: begun.incumbent.clone(),
        incumbent_origin: begun.incumbent_origin.clone(),
        placebo,
        noise_log_sd: searched.noise_log_sd,
        recommended: searched.recommended,
        lowest: searched.lowest,
        why: searched.why,
        effects: searched.effects,
        p99: p99(&searched.placebo, confirmation.as_ref(), session.course.seed),
        confirmation,
        outcome,
        sentence,
        noise,
        notes,
        spent_ms: session.spent().as_millis() as u64,
    }
}

/// The options of the run in the form of a command line.
fn options(begun: &Begun) -> Vec<String> {
    let given = &begun.options;
    let mut words = Vec::new();
    let flags = [("--quick", given.quick), ("--no-faults", given.no_faults)];
    words.extend(flags.iter().filter(|(_, on)| *on).map(|(flag, _)| (*flag).to_owned()));
    let lists = [("--scenario", &given.scenario), ("--fix", &given.fix), ("--sweep", &given.sweep)];
    for (option, values) in lists {
        words.extend(values.iter().flat_map(|value| [option.to_owned(), value.clone()]));
    }
    if let Some(budget) = given.budget_ms {
        words.extend(["--budget".into(), format!("{budget}ms")]);
    }
    if let Some(cpus) = &given.cpus {
        words.extend(["--cpus".into(), cpus.clone()]);
    }
    words.extend(["--seed".into(), begun.seed.clone()]);
    if !given.simulate.is_empty() {
        words.push("--simulate".into());
        words.extend(given.simulate.iter().cloned());
    }
    words
}

/// p99 of both arms, where it has an interval: from the pairs, else, for the incumbent alone, from the placebo, which no
/// selection has touched.
fn p99(placebo: &[Evaluation], confirmation: Option<&Confirmation>, seed: u64) -> Option<ArmsP99> {
    if let Some(Confirmation { objective_incumbent, objective_tuned, .. }) = confirmation {
        return Some(ArmsP99 { incumbent: *objective_incumbent, tuned: *objective_tuned });
    }
    let values: Vec<f64> = placebo.iter().filter_map(|found| found.log_objective).map(f64::exp).collect();
    let incumbent = geometric_mean_interval(&values, seed)?;
    Some(ArmsP99 { incumbent, tuned: incumbent })
}

/// One point in words: `ring_bytes=65536 wait=spin`.
pub(crate) fn words(point: &Point) -> String {
    point.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_is_judged_by_its_spread() {
        assert!(noise(Some(0.01), 5, 0.0).starts_with("quiet: 5 measurements"));
        assert!(noise(Some(0.5), 5, 0.25).contains("25 % of the trials gave no result"));
        assert!(noise(Some(0.1), 5, 0.0).contains("spread by 10.5 %"));
        assert!(noise(Some(0.9), 5, 0.0).contains("spread by a factor of 2.5"));
        assert!(noise(None, 0, 0.0).contains("unknown"));
        assert!((sd(&[1.0, 3.0]).expect("two") - 2.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(sd(&[1.0]), None);
    }
}
