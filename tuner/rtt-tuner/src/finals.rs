//! The finalists: the best few of the search, measured again in turns, so that the pick does not rest on one lucky run.
//!
//! Each round measures every finalist once, in an order drawn anew; after a first stage only the better ones go on. A
//! finalist's score is the mean of its ln objective over the rounds, less that of the round, so that a drift of the host
//! meets all alike. The measurements of the search chose the finalists and enter no score.
//!
//! TUNER-15  The pick is the finalist with the lowest score, and the presets that keep every constraint are finalists: no pick
//!           is worse than a preset where the two were measured side by side, beyond the noise of these rounds.

use crate::objective::{Part, seed_for};
use crate::session::{Session, finalist};
use rtt_measure::Stop;
use rtt_units::SplitMix64;
use std::collections::BTreeMap;
use std::time::Duration;

/// Finalists and rounds, stage by stage.
pub(crate) const STAGES: [(usize, u32); 2] = [(8, 8), (3, 16)];

/// What the rounds came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Finals {
    /// Index of the point, its score, and how many rounds gave a result; the best first. Those that went out early come
    /// behind those that went on.
    pub(crate) ranking: Vec<(usize, f64, u32)>,
}

impl Finals {
    /// The pick.
    pub(crate) fn winner(&self) -> Option<usize> {
        self.ranking.first().map(|row| row.0)
    }

    /// How many times the winner was measured in them.
    pub(crate) fn rounds(&self) -> u32 {
        self.ranking.first().map_or(0, |row| row.2)
    }
}

/// ln objective by round and point.
type Seen = BTreeMap<(u32, usize), f64>;

/// Mean of each point's ln objective less the mean of its rounds, over the rounds in which all of `field` gave a result, or
/// else over its own; lowest first. A point without a result comes last.
fn scores(seen: &Seen, field: &[usize]) -> Vec<(usize, f64, u32)> {
    let rounds = |index: usize| seen.keys().filter(move |(_, point)| *point == index).map(|(round, _)| *round);
    let level = |round: u32| {
        let logs: Vec<f64> = field.iter().filter_map(|&index| seen.get(&(round, index)).copied()).collect();
        logs.iter().sum::<f64>() / logs.len() as f64
    };
    let whole: Vec<u32> = field
        .first()
        .map_or_else(Vec::new, |&first| rounds(first).collect())
        .into_iter()
        .filter(|&round| field.iter().all(|&index| seen.contains_key(&(round, index))))
        .collect();
    let score = |index: usize| {
        let own: Vec<u32> = if whole.len() >= 2 { whole.clone() } else { rounds(index).collect() };
        let logs = own.iter().filter_map(|&round| Some(seen.get(&(round, index))? - level(round)));
        let logs: Vec<f64> = logs.collect();
        if logs.is_empty() { f64::INFINITY } else { logs.iter().sum::<f64>() / logs.len() as f64 }
    };
    let mut rows: Vec<_> = field.iter().map(|&index| (index, score(index), rounds(index).count() as u32)).collect();
    rows.sort_by(|a, b| a.1.total_cmp(&b.1));
    rows
}

/// Runs the rounds for `field`, the best first; ends early where `deadline` is spent.
///
/// # Errors
/// What the problem did wrong.
pub(crate) fn finals(session: &Session<'_>, field: &[usize], deadline: Duration) -> Result<Finals, Stop> {
    let mut draw = SplitMix64::new(seed_for(session.course.seed, 0xf1_7a15));
    let mut seen = Seen::new();
    let mut out: Vec<(usize, f64, u32)> = Vec::new();
    let mut field: Vec<usize> = field.iter().copied().take(STAGES[0].0).collect();
    let mut round = 0;
    for (stage, (_, rounds)) in STAGES.into_iter().enumerate() {
        if field.len() < 2 {
            break;
        }
        for _ in 0..rounds {
            let mut order = field.clone();
            for last in (1..order.len()).rev() {
                order.swap(last, draw.below(last as u64 + 1) as usize);
            }
            if !session.may_begin(&finalist(order[0], round), Part::Calm, deadline) {
                break;
            }
            for index in order {
                if let Some(log_objective) = session.measure_again(index, round)? {
                    seen.insert((round, index), log_objective);
                }
            }
            round += 1;
        }
        let ranked = scores(&seen, &field);
        let stays = STAGES.get(stage + 1).map_or(ranked.len(), |next| next.0);
        let (on, off) = ranked.split_at(stays.min(ranked.len()));
        out.splice(0..0, off.iter().copied());
        field = on.iter().map(|row| row.0).collect();
    }
    let mut ranking = scores(&seen, &field);
    ranking.extend(out);
    ranking.retain(|row| row.2 > 0);
    Ok(Finals { ranking })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(rows: &[&[f64]]) -> Seen {
        let rounds = rows.iter().enumerate();
        rounds
            .flat_map(|(round, row)| {
                let row = row.iter().enumerate().filter(|(_, log)| log.is_finite());
                row.map(move |(index, log)| ((round as u32, index), *log))
            })
            .collect()
    }

    /// TUNER-15
    #[test]
    fn a_drift_of_the_host_meets_all_finalists() {
        // The third point is the best in every round, and the host gets slower by a factor of e from round to round.
        let rounds = seen(&[&[0.3, 0.2, 0.1], &[1.3, 1.2, 1.1], &[2.3, 2.2, 2.1]]);
        assert_eq!(scores(&rounds, &[0, 1, 2]).iter().map(|row| row.0).collect::<Vec<_>>(), [2, 1, 0]);
        // The first point was lost in the slow round: what is left of it must not win for that.
        let lost = f64::NAN;
        let rounds = seen(&[&[0.3, 0.2, 0.1], &[0.3, 0.2, 0.1], &[lost, 2.2, 2.1]]);
        assert_eq!(scores(&rounds, &[0, 1, 2])[0].0, 2);
        // One without a result comes last.
        let rounds = seen(&[&[lost, 0.2, 0.1], &[lost, 0.2, 0.1]]);
        let ranked = scores(&rounds, &[0, 1, 2]);
        assert_eq!((ranked[2].0, ranked[2].2), (0, 0));
    }
}
