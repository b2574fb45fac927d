//! From what was measured to a fit: the recommendation and why, the effects, the noise, the outcome, in words.

use crate::confirm::{Confirmed, Ended, FAULT_MARGIN, TOLERANCE};
use crate::finals::Finals;
use crate::model::{Model, Told, Warm};
use crate::objective::Evaluation;
use crate::output::Begun;
use crate::progress::shown;
use crate::session::{Measured, Session};
use crate::space::Space;
use rtt_measure::{
    ArmsP99, Confirmation, Decision, Fit, FitPoint, Hello, Interval, KnobEffect, Origin, Outcome, Point, PresetCheck,
    StallRow, geometric_mean_interval,
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
    /// What the finalists' rounds came to.
    finals: Finals,
    noise_log_sd: Option<f64>,
    /// Notes on presets and random search.
    notes: Vec<String>,
}

fn sd(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.len() > 1).then(|| (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt())
}

/// The points that deserve another look, the best first: the incumbent, those that the model expects most of, and the two
/// best presets that keep the constraints. No two of them are one point.
pub(crate) fn finalists(session: &Session<'_>, most: usize) -> Vec<usize> {
    let searched = look(session, Finals::default(), false);
    let cost = |index: usize| match searched.posteriors[index] {
        Some(posterior) => posterior.estimate,
        None => searched.points[index].found.log_objective.map_or(f64::INFINITY, f64::exp),
    };
    let eligible = |index: usize| index == 0 || session.space.drawable(&searched.points[index].site);
    let measured = |index: &usize| searched.points[*index].found.log_objective.is_some();
    let mut ranked: Vec<usize> = (0..searched.points.len())
        .filter(measured)
        .filter(|&index| searched.feasible[index] && eligible(index))
        .collect();
    ranked.sort_by(|&a, &b| cost(a).total_cmp(&cost(b)));
    let is_preset = |index: usize| matches!(searched.points[index].origin, Origin::Preset(_));
    // A preset that is far off needs no second look; the two that come closest are a person's own first guesses.
    let presets: Vec<usize> = ranked.iter().copied().filter(|&index| is_preset(index)).take(2).collect();
    let incumbent = ranked.iter().copied().find(|&index| index == 0);
    let left = most.saturating_sub(presets.len() + usize::from(incumbent.is_some()));
    let others = ranked.into_iter().filter(|index| *index != 0 && !presets.contains(index)).take(left);
    let mut field: Vec<usize> = incumbent.into_iter().chain(others).collect();
    field.extend(presets);
    field.sort_by(|&a, &b| cost(a).total_cmp(&cost(b)));
    field
}

/// Looks at all that was measured; the first point is the incumbent.
pub(crate) fn look(session: &Session<'_>, finals: Finals, nanos: bool) -> Searched {
    let (points, placebo) = (session.points(), session.placebo());
    let limits = &session.course.limits;
    let mut told: Vec<Told> = points.iter().map(Measured::told).collect();
    // What was measured again tells more about its site, and about the noise; the placebo's runs are the incumbent's.
    told.extend(placebo.iter().map(|found| Told::of(points[0].site.clone(), found)));
    for point in &points {
        told.extend(point.again.iter().map(|found| Told::of(point.site.clone(), found)));
    }
    let of_point = |index: usize| {
        let (placebos, mut left) = (placebo.len(), index.checked_sub(points.len())?);
        if left < placebos {
            return Some(0);
        }
        left -= placebos;
        points.iter().position(|point| {
            let own = left < point.again.len();
            left = left.saturating_sub(if own { 0 } else { point.again.len() });
            own
        })
    };
    let model = Model::fit(session.space, limits, &told, &mut Warm::default());
    let cost = |index: usize| told[index].log_objective.unwrap_or(f64::INFINITY);
    // After `--fix` the default and the presets may lie outside what was asked for; the incumbent competes anyhow.
    let eligible = |index: usize| {
        let point = of_point(index).unwrap_or(index);
        point == 0 || session.space.drawable(&points[point].site)
    };
    let lowest = (0..points.len())
        .filter(|&index| told[index].feasible(limits) && eligible(index))
        .min_by(|&a, &b| cost(a).total_cmp(&cost(b)));
    let by_model = match &model {
        Some(model) => model.recommend(eligible).map(|index| of_point(index).unwrap_or(index)),
        None => lowest,
    };
    let recommended = finals.winner().or(by_model); // TUNER-15
    let logs: Vec<f64> = placebo.iter().chain([&points[0].found]).filter_map(|found| found.log_objective).collect();
    let mut searched = Searched {
        recommended,
        lowest,
        posteriors: vec![None; points.len()],
        feasible: points.iter().map(|point| point.told().feasible(limits)).collect(),
        effects: vec![],
        why: String::new(),
        finals,
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

impl Searched {
    /// The preset that did best, by the finalists' rounds or else by the model, with its point.
    pub(crate) fn best_preset(&self) -> Option<(String, &Point)> {
        let named = |index: usize| match &self.points[index].origin {
            Origin::Preset(name) => Some((name.clone(), &self.points[index].point)),
            _ => None,
        };
        let raced = self.finals.ranking.iter().find_map(|row| named(row.0));
        let cost = |index: &usize| self.posteriors[*index].map_or(f64::INFINITY, |posterior| posterior.estimate);
        let presets = (0..self.points.len()).filter(|&index| self.feasible[index] && named(index).is_some());
        raced.or_else(|| named(presets.min_by(|a, b| cost(a).total_cmp(&cost(b)))?))
    }
}

/// What else the pairs showed: stalls and left-out slices of each arm, and the recommended point beside the best preset.
pub(crate) fn pairs_in_notes(
    session: &Session<'_>,
    confirmed: Option<&Confirmed>,
    against_preset: Option<&PresetCheck>,
) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(StallRow { slices, stalled, held_up, .. }) =
        confirmed.and_then(|confirmed| confirmed.record.as_ref()).map(|record| record.stalls)
    {
        let share = |part: u32, whole: u32| 100.0 * f64::from(part) / f64::from(whole.max(1));
        let left_out = [0, 1].map(|arm| share(held_up[arm], held_up[arm] + slices[arm]));
        notes.push(format!(
            "slices beyond three times what is typical of the slower arm: {:.1} % of the incumbent's, {:.1} % of the candidate's; \
             left out, since the host held the generator up: {:.1} % and {:.1} %",
            share(stalled[0], slices[0]),
            share(stalled[1], slices[1]),
            left_out[0],
            left_out[1]
        ));
        if differ(held_up, slices) {
            notes.push(
                "the arms differ in the share of slices that were left out: look at what the knobs do to the generator's CPU"
                    .into(),
            );
        }
    }
    if let Some(PresetCheck { preset, pairs, ratio, says }) = against_preset {
        let ratio = ratio.map_or_else(String::new, |ratio| {
            let percent = |ratio: f64| 100.0 * (ratio - 1.0);
            format!(
                ", typical p99 {:+.1} % ({:+.1} to {:+.1})",
                percent(ratio.estimate),
                percent(ratio.low),
                percent(ratio.high)
            )
        });
        let says = if says == "undecided" { "neither faster nor slower, as far as these pairs tell" } else { says };
        notes.push(format!("against the best preset, `{preset}`, in {pairs} pairs of their own: {says}{ratio}"));
    }
    let stolen = session.stolen().as_secs_f64();
    let spent = session.spent().as_secs_f64().max(1e-9);
    if stolen / spent >= 0.005 {
        notes.push(format!("the hypervisor took {:.1} % of the CPU time while trials ran", 100.0 * stolen / spent));
    }
    notes
}

/// Whether two shares differ beyond chance: three standard errors.
fn differ(held_up: [u32; 2], kept: [u32; 2]) -> bool {
    let [a, b] = held_up.map(f64::from);
    let [n, m] = [0, 1].map(|arm| f64::from(held_up[arm] + kept[arm]).max(1.0));
    let pooled = (a + b) / (n + m);
    let error = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    (a / n - b / m).abs() > 3.0 * error && error > 0.0
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
    let finals = &searched.finals;
    if let (rounds @ 1.., [_, second, ..]) = (finals.rounds(), finals.ranking.as_slice()) {
        let behind = 100.0 * ((second.1 - finals.ranking[0].1).exp() - 1.0);
        return format!(
            "{pick}: of {} finalists, measured again in turns, it was the fastest over {rounds} rounds; the next, point {}, was \
             {behind:.0} % slower. The model expects {} of it",
            finals.ranking.len(),
            second.0 + 1,
            of(best)
        );
    }
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
        _ => format!("{pick}: the model expects {} of it, the least of all that keep every constraint", of(best)),
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
    decided(confirmed, record)
}

/// Outcome and sentence of pairs that gave figures: each part says what it found, and none is averaged away.
fn decided(confirmed: &Confirmed, record: &Confirmation) -> (Outcome, String) {
    let counted = pairs_in_words(record.valid() as u32, (record.pairs.len() - record.valid()) as u32);
    let change = |ratio: Interval| format!("{:+.1} %", 100.0 * (ratio.estimate - 1.0));
    let calm = format!("typical p99 {}", change(record.ratio));
    let (percent, margin) = (100.0 * TOLERANCE, 100.0 * FAULT_MARGIN);
    let [faster, better_under_faults] = confirmed.gain.map(|decision| decision == Decision::Fail);
    let [slower, worse_under_faults] = confirmed.harm.map(|decision| decision == Decision::Fail);
    let faulted = record.faulted.as_ref().map(|faulted| format!("recovery from faults {}", change(faulted.ratio)));
    let beside = match (&faulted, better_under_faults, confirmed.harm[1]) {
        (None, ..) => String::new(),
        (Some(faulted), true, _) => format!("; under faults better too, {faulted}"),
        (Some(faulted), false, Decision::Pass) => format!("; no worse under faults, {faulted}"),
        (Some(faulted), ..) => format!("; under faults neither better nor worse by {margin:.0} % is shown, {faulted}"),
    };
    if faster && worse_under_faults {
        let faulted = faulted.unwrap_or_default();
        let text = format!(
            "no better: faster when calm ({calm}) but worse under faults ({faulted}) in {counted}, so the incumbent stays"
        );
        return (Outcome::NoBetter, text);
    }
    if confirmed.stalls_more {
        let StallRow { stalled, slices, .. } = record.stalls;
        let text = format!(
            "no better: it stalls more often than the incumbent ({} of {} slices against {} of {}; {calm}) in {counted}, so \
             the incumbent stays",
            stalled[1], slices[1], stalled[0], slices[0]
        );
        return (Outcome::NoBetter, text);
    }
    if faster {
        let text = format!("better: {calm} against the incumbent, decided by calm runs in {counted}{beside}");
        return (Outcome::Better, text);
    }
    if better_under_faults && confirmed.harm[0] == Decision::Pass {
        let faulted = faulted.unwrap_or_default();
        let text = format!(
            "better: {faulted} against the incumbent, decided by runs under faults in {counted}; calm no slower"
        );
        return (Outcome::Better, text);
    }
    match (confirmed.gain[0], confirmed.ended) {
        (Decision::Pass, _) => {
            let how = if slower {
                "the recommended point is slower".into()
            } else {
                format!("the incumbent is not {percent:.0} % slower")
            };
            (Outcome::NoBetter, format!("no better: {how} ({calm}, {counted}){beside}; it stays"))
        }
        (_, Ended::Time) => (
            Outcome::Undecided,
            format!("undecided: time ended after {counted} ({calm} so far){beside}; the incumbent stays"),
        ),
        _ => (
            Outcome::Undecided,
            format!("undecided: {counted} were too few for the noise ({calm} so far){beside}; the incumbent stays"),
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
    against_preset: Option<PresetCheck>,
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
        trials: point.evaluations().flat_map(|found| &found.runs).map(|run| run.id.clone()).collect(),
        objective: mean(&point.evaluations().filter_map(|found| found.log_objective).collect::<Vec<_>>()).map(f64::exp),
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
        faults: plan.faults.is_some(),
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
        whole_p99: confirmation.as_ref().and_then(whole_p99),
        against_preset,
        confirmation,
        outcome,
        sentence,
        noise,
        notes,
        spent_ms: session.spent().as_millis() as u64,
        time: session.time(),
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// p99 over whole runs, interruptions included: the geometric mean over the calm scenarios, end by end.
fn whole_p99(confirmation: &Confirmation) -> Option<ArmsP99> {
    let calm = || confirmation.arms.iter().filter(|row| !row.faulted);
    let over = |of: &dyn Fn(&rtt_measure::ArmRow) -> Interval| {
        let end = |end: &dyn Fn(Interval) -> f64| mean(&calm().map(|row| end(of(row)).ln()).collect::<Vec<_>>());
        Some(Interval {
            estimate: end(&|interval| interval.estimate)?.exp(),
            low: end(&|interval| interval.low)?.exp(),
            high: end(&|interval| interval.high)?.exp(),
        })
    };
    Some(ArmsP99 { incumbent: over(&|row| row.whole_incumbent)?, tuned: over(&|row| row.whole_tuned)? })
}

/// The options of the run in the form of a command line.
fn options(begun: &Begun) -> Vec<String> {
    let given = &begun.options;
    let mut words = Vec::new();
    let flags = [("--quick", given.quick), ("--no-faults", given.no_faults), ("--alike", given.alike)];
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
