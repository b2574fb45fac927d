//! The search: measured points, from the fit or, in a run without one, from the log itself.

use crate::{
    charts::{self, Chart, Placebo},
    knobs,
    run::Run,
    table::{Cell, Table},
    words,
};
use minijinja::{Value, context};
use rtt_measure::{Arm, Fit, Interval, Origin, Point, TrialRecord, Verdict, point_of};

/// Who proposed a point, as far as charts tell them apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The incumbent or the default.
    Start,
    /// Spread over the space before there is a model, or not known.
    #[default]
    Spread,
    /// The model.
    Model,
    /// Random search.
    Random,
    /// A preset.
    Preset,
}

/// One measured point.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// From 1, in the order of measuring.
    pub number: usize,
    /// Who proposed it, in words.
    pub origin: String,
    /// Who proposed it.
    pub source: Source,
    /// Where it is.
    pub point: Point,
    /// Observed objective in the run's unit; absent where a trial gave no result.
    pub objective: Option<f64>,
    /// The model's view of it.
    pub posterior: Option<Interval>,
    /// Whether it kept every constraint.
    pub feasible: bool,
    /// CPU used, thousandths.
    pub cpu_millicores: Option<f64>,
    /// Trials that measured it.
    pub trials: usize,
}

/// All points of a run.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The points in order.
    pub points: Vec<Measured>,
    /// Number of the recommended one.
    pub recommended: Option<usize>,
    /// Number of the incumbent's.
    pub incumbent: Option<usize>,
    /// Whether this is the log's raw view, without the tuner's weights and model.
    pub provisional: bool,
}

impl Search {
    /// The points of `run`.
    pub fn of(run: &Run) -> Search {
        match &run.fit {
            Some(fit) => Search::of_fit(fit),
            None => Search::of_log(run),
        }
    }

    fn of_fit(fit: &Fit) -> Search {
        let points: Vec<Measured> = fit
            .points
            .iter()
            .enumerate()
            .map(|(index, point)| Measured {
                number: index + 1,
                origin: words::origin(&point.origin),
                source: match point.origin {
                    Origin::Start(_) => Source::Start,
                    Origin::LatinHypercube => Source::Spread,
                    Origin::Model => Source::Model,
                    Origin::Random => Source::Random,
                    Origin::Preset(_) => Source::Preset,
                },
                point: point.point.clone(),
                objective: point.objective,
                posterior: point.posterior,
                feasible: point.feasible,
                cpu_millicores: point.cpu_millicores,
                trials: point.trials.len(),
            })
            .collect();
        let start = points.iter().find(|p| p.source == Source::Start && p.point == fit.incumbent);
        let incumbent = start.map(|p| p.number);
        let recommended = fit.recommended.filter(|index| *index < points.len()).map(|index| index + 1);
        Search { points, recommended, incumbent, provisional: false }
    }

    /// Groups the search's trials by arm and knobs; the objective is the unweighted geometric mean of their p99.
    fn of_log(run: &Run) -> Search {
        let mut groups: Vec<(Arm, Point, Vec<&TrialRecord>)> = Vec::new();
        for (_, trial) in &run.trials {
            if trial.pair.is_some() || trial.arm == Arm::Placebo {
                continue;
            }
            let point = point_of(&trial.knobs);
            match groups.iter_mut().find(|(arm, at, _)| *arm == trial.arm && *at == point) {
                Some((_, _, trials)) => trials.push(trial),
                None => groups.push((trial.arm, point, vec![trial])),
            }
        }
        let mut search = Search { provisional: true, ..Search::default() };
        for (index, (arm, point, trials)) in groups.into_iter().enumerate() {
            if arm == Arm::Incumbent && search.incumbent.is_none() {
                search.incumbent = Some(index + 1);
            }
            search.points.push(Measured {
                number: index + 1,
                origin: words::arm(arm).into(),
                source: match arm {
                    Arm::Incumbent | Arm::Default => Source::Start,
                    Arm::Control => Source::Preset,
                    _ => Source::Spread,
                },
                point,
                objective: geometric_mean(&trials),
                posterior: None,
                feasible: trials.iter().all(|t| t.verdict != Verdict::Crashed && t.handled >= t.sent),
                cpu_millicores: Some(trials.iter().map(|t| t.cpu_millicores as f64).sum::<f64>() / trials.len() as f64),
                trials: trials.len(),
            });
        }
        search
    }

    /// Whether `point` is the recommended one.
    pub fn is_recommended(&self, point: &Measured) -> bool {
        self.recommended == Some(point.number)
    }

    /// Whether `point` is the incumbent's first measurement.
    pub fn is_incumbent(&self, point: &Measured) -> bool {
        self.incumbent == Some(point.number)
    }

    fn numbered(&self, number: Option<usize>) -> Option<&Measured> {
        number.and_then(|number| self.points.get(number - 1))
    }
}

/// `None` unless every trial settled with a p99 above 0.
fn geometric_mean(trials: &[&TrialRecord]) -> Option<f64> {
    let mut sum = 0.0;
    for trial in trials {
        let p99 = trial.quantiles.filter(|_| trial.verdict == Verdict::Settled)?.p99;
        sum += (p99.max(1) as f64).ln();
    }
    Some((sum / trials.len() as f64).exp())
}

fn optional(chart: Option<Chart>, why: &str) -> Value {
    match chart {
        Some(chart) => context! { chart => chart.value() },
        None => context! { absent => why },
    }
}

/// Incumbent and tuned side by side, knob by knob.
pub fn knobs(run: &Run) -> Value {
    let fit = run.fit.as_ref();
    let recommended = fit.and_then(|fit| Some(&fit.points.get(fit.recommended?)?.point));
    let incumbent = match (fit, &run.header) {
        (Some(fit), _) => fit.incumbent.clone(),
        (None, Some(header)) => point_of(&header.default),
        (None, None) => return context! { absent => "neither a fit nor a log's header is there" },
    };
    let rows = knobs::rows(&incumbent, recommended);
    let why_none = match (fit, recommended) {
        (_, Some(_)) => "",
        (Some(_), None) => "Nothing is recommended: no feasible point was found.",
        (None, _) => {
            "The run was interrupted before a recommendation. The column shows the host\u{2019}s untuned default."
        }
    };
    context! {
        has_dash => rows.iter().any(|row| row.has_dash),
        rows => rows.into_iter().map(|row| row.value()).collect::<Value>(),
        origin => fit.map_or_else(|| "default".into(), |fit| fit.incumbent_origin.clone()),
        in_force => matches!(fit, Some(Fit { outcome: rtt_measure::Outcome::Better, .. })),
        none => why_none,
        conditional => "A dash is an axis that does not exist beside the others: a spin budget under \u{201c}spin\u{201d}, which knows no end.",
    }
}

/// Why the pick is not simply the lowest that was seen.
fn pick(fit: Option<&Fit>, search: &Search) -> Value {
    let Some(fit) = fit else { return context! { absent => "the run was interrupted before a recommendation" } };
    let lowest = fit.lowest.map(|index| index + 1);
    let mut table = Table::new(
        "The pick and the lowest seen",
        &["Which", "#Point", "#Observed", "#Model", "#Model's 95 %", "#Trials", "Knobs"],
    );
    for (name, number) in [("recommended", search.recommended), ("lowest seen", lowest)] {
        let Some(point) = search.numbered(number) else { continue };
        let model = point.posterior;
        let unfitted = "the model was not fitted to it";
        table.row(vec![
            Cell::text(name),
            Cell::figure(point.number.to_string()),
            Cell::or(point.objective.map(|o| words::latency(o, &fit.unit)), "one of its trials gave no result"),
            Cell::or(model.map(|m| words::latency(m.estimate, &fit.unit)), unfitted),
            Cell::or(model.map(|m| words::ends(&m, &fit.unit)), unfitted),
            Cell::figure(point.trials.to_string()),
            Cell::text(words::point(&point.point)),
        ]);
    }
    let relation = match (search.recommended, lowest) {
        (Some(a), Some(b)) if a == b => "The pick is also the lowest feasible point that was seen.",
        (Some(_), Some(_)) => {
            "The lowest of many noisy observations owes part of its place to luck; the pick is the point whose level the model puts lowest."
        }
        _ => "Nothing is recommended.",
    };
    context! { why => fit.why.as_str(), relation => relation, table => table.value(), empty => table.is_empty() }
}

/// The band of the placebo around the incumbent: 95 % of duplicates, if the noise is log-normal.
fn placebo(fit: &Fit, search: &Search) -> Option<Placebo> {
    let sd = fit.noise_log_sd.filter(|sd| sd.is_finite())?;
    let at = search.numbered(search.incumbent).and_then(|p| p.objective).filter(|o| o.is_finite() && *o > 0.0)?;
    Some(Placebo { low: at * (-1.96 * sd).exp(), high: at * (1.96 * sd).exp() })
}

/// The sections about the search: front, course, heat map, effects, pick, comparison.
pub fn sections(run: &Run) -> Value {
    let search = Search::of(run);
    let fit = run.fit.as_ref();
    let unit = run.unit();
    let interrupted = "the run was interrupted before its fit was written";
    let nothing = "no point has a result";
    let no_cpu = if search.points.is_empty() {
        "no point was measured"
    } else {
        "the problem does not tell what CPU its points use"
    };
    let heat = match charts::heatmap(&search, fit.map_or(&[], |fit| fit.space.as_slice()), unit) {
        Ok(chart) => optional(Some(chart), ""),
        Err(why) => optional(None, &why),
    };
    let no_rivals = match fit {
        None => interrupted,
        Some(fit) if fit.quick => "a quick run leaves presets and random search out; run without --quick to have them",
        Some(_) => "no preset and no random point was measured in this run",
    };
    context! {
        provisional => search.provisional && !search.points.is_empty(),
        points => search.points.len(),
        front => optional(charts::front(&search, unit), no_cpu),
        convergence => optional(charts::convergence(&search, fit.and_then(|fit| placebo(fit, &search)), unit), nothing),
        heatmap => heat,
        effects => match fit {
            Some(fit) => optional(charts::effects(&fit.effects), "the model was not fitted, or nothing is recommended"),
            None => optional(None, interrupted),
        },
        pick => pick(fit, &search),
        comparison => optional(fit.and_then(charts::comparison), no_rivals),
    }
}
