//! One scenario of a comparison: its pairs so far, what they say, and which run comes next.
//!
//! Pure: the runs that were seen go in, in order, and the state follows from them alone, so a track is taken up again by
//! telling it the runs of its logs.
//!
//! GATE-1  A pair with a run that is void, or of which only one was finished, bets nothing; one arm alone that never
//!         settles bets on that, and not on the ratio. What the typical p99 leaves out is bet on too: the arm with the larger
//!         share of slices that stall.
//! GATE-2  A defect of the candidate fails it at once while the base has had none, and is never a matter of chance; where
//!         the base has it too, nothing is decided.

use rtt_measure::{
    Decision, EProcess, EProcessConfig, GatePair, PairOrder, RegimeProbe, SignProcess, StallRow, Stalls, Verdict,
};
use rtt_units::SplitMix64;

/// Of so many pairs at least, more than half void is too noisy to go on.
const PAIRS_JUDGED_FOR_NOISE: usize = 20;

/// Pairs before PASS: a slowdown of one slice in fifty needs so many slices to show in.
const PAIRS_PASS: usize = 40;
/// Wealth of the bet on lapses from which PASS waits for more pairs: alike arms ever reach it in one comparison of ten.
const LAPSES_IN_DOUBT: f64 = 10.0;

/// One run of one arm, as far as the verdict hangs on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The trial.
    pub id: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Why it is no result.
    pub reason: Option<String>,
    /// Typical p99 in nanoseconds, of a settled run.
    pub p99_ns: Option<f64>,
    /// p99 of each slice that it is drawn from.
    pub slices_ns_p99: Vec<u64>,
    /// Slices that were left out, since the host held the generator up.
    pub slices_held_up: u32,
    /// Lost messages in a million beyond the scenario's budget; 0 within it.
    pub loss_over_ppm: u64,
    /// Probes around it.
    pub probe: Option<RegimeProbe>,
}

impl Seen {
    /// What is wrong with the endpoint, if this run shows it.
    fn defect(&self) -> Option<String> {
        let reason = self.reason.as_deref().unwrap_or("no reason was told");
        match self.verdict {
            Verdict::Crashed => Some(format!("{}: crashed: {reason}", self.id)),
            _ if self.loss_over_ppm > 0 => {
                Some(format!("{}: lost {} messages in a million beyond its budget", self.id, self.loss_over_ppm))
            }
            _ => None,
        }
    }

    /// p99 of a run that is a result.
    fn result(&self) -> Option<f64> {
        self.p99_ns.filter(|_| self.verdict == Verdict::Settled)
    }
}

/// Where a track stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// More pairs may decide it.
    Open,
    /// The candidate is slower, or lapses more often, or has a defect of its own; in words.
    Fail(String),
    /// The candidate is not slower by the tolerance.
    Pass(String),
    /// More pairs cannot decide it.
    Stuck(String),
}

/// What a track is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Error rate of each verdict.
    pub alpha: f64,
    /// Processes that share the rate of FAIL.
    pub processes: u32,
    /// Seed of the coin for pairs to come.
    pub seed: u64,
}

/// A scenario's pairs and their bets.
#[derive(Clone, Debug)]
pub struct Track {
    /// The scenario.
    pub scenario: String,
    coin: SplitMix64,
    is_open: bool,
    ratio: EProcess,
    /// Bets on pairs in which one arm alone never settled, or stalled more.
    lapses: SignProcess,
    unsettled: [u32; 2],
    stalled: [u32; 2],
    slices: [u32; 2],
    held_up: [u32; 2],
    pairs: Vec<GatePair>,
    /// Pairs of earlier gates: noise is judged gate by gate, since another night may be quieter.
    earlier: usize,
    defects: [Vec<String>; 2],
}

impl Track {
    /// A track without pairs.
    pub fn new(scenario: &str, tolerance: f64, rules: &Rules) -> Track {
        let config = EProcessConfig {
            alpha: rules.alpha,
            processes: rules.processes,
            tolerance,
            pairs_max: u32::MAX, // How many are run now is the caller's to say.
            seed: rules.seed,
        };
        Track {
            scenario: scenario.into(),
            coin: SplitMix64::new(rules.seed),
            is_open: false,
            ratio: EProcess::new(config),
            lapses: SignProcess::default(),
            unsettled: [0; 2],
            stalled: [0; 2],
            slices: [0; 2],
            held_up: [0; 2],
            pairs: Vec::new(),
            earlier: 0,
            defects: [Vec::new(), Vec::new()],
        }
    }

    /// The first `pairs` are of earlier gates.
    pub fn turn(self, pairs: usize) -> Track {
        Track { earlier: pairs.min(self.pairs.len()), ..self }
    }

    /// Begins a pair and tells its order; `None` once it is decided.
    ///
    /// # Panics
    /// When a pair is open.
    pub fn begin(&mut self) -> Option<PairOrder> {
        assert!(!self.is_open, "pair {} is still open", self.pairs.len());
        if matches!(self.standing(), Standing::Fail(_) | Standing::Pass(_)) {
            return None;
        }
        self.is_open = true;
        Some(if self.coin.coin() { PairOrder::AFirst } else { PairOrder::BFirst })
    }

    /// Notes a run of arm 0, the base, or 1, the candidate, before its pair is closed.
    pub fn note(&mut self, arm: usize, seen: &Seen) {
        self.defects[arm].extend(seen.defect()); // GATE-2
    }

    /// Closes the open pair with what was seen of base and candidate; `None` is a run that was not finished.
    ///
    /// # Panics
    /// When no pair is open.
    pub fn close(&mut self, order: PairOrder, seen: [Option<&Seen>; 2]) {
        assert!(self.is_open, "no pair is open");
        self.is_open = false;
        let (log_ratio, void) = bet(seen);
        // The order is the track's own coin's. A ratio that is decided stays so, while rare lapses may still show.
        match (self.ratio.next(), log_ratio) {
            (Some(_), Some(log_ratio)) => self.ratio.observe(log_ratio),
            (Some(_), None) => self.ratio.void(), // GATE-1
            (None, _) => {}
        }
        if let [Some(base), Some(candidate)] = seen {
            let lapsed = match (base.verdict, candidate.verdict) {
                (Verdict::Settled, Verdict::NeverSettled) => Some(true),
                (Verdict::NeverSettled, Verdict::Settled) => Some(false),
                _ => None,
            };
            if let Some(candidate_alone) = lapsed {
                self.unsettled[usize::from(candidate_alone)] += 1;
            }
            let stalls = if log_ratio.is_some() { self.stalls([base, candidate]) } else { None };
            if let Some(candidate_more) = lapsed.or(stalls) {
                self.lapses.observe(candidate_more);
            }
        }
        let p99 = |seen: Option<&Seen>| seen.and_then(Seen::result).map(|p99| p99 as u64);
        self.pairs.push(GatePair {
            pair: self.pairs.len() as u32,
            candidate_first: order == PairOrder::BFirst,
            base_ns_p99: p99(seen[0]),
            candidate_ns_p99: p99(seen[1]),
            log_ratio,
            void,
            wealth_fail: self.ratio.wealth_fail(),
            wealth_pass: self.ratio.wealth_pass(),
            wealth_lapses: self.lapses.wealth(),
            regime: None,
        });
    }

    /// Counts the slices of a pair that stalled: whether the candidate has the larger share, or the base.
    fn stalls(&mut self, arms: [&Seen; 2]) -> Option<bool> {
        let found = Stalls::of(arms.map(|seen| seen.slices_ns_p99.as_slice()));
        for (arm, seen) in arms.into_iter().enumerate() {
            self.stalled[arm] += found.stalled[arm];
            self.slices[arm] += found.slices[arm];
            self.held_up[arm] += seen.slices_held_up;
        }
        found.second_has_more()
    }

    /// Where it stands.
    pub fn standing(&self) -> Standing {
        let [base, candidate] = &self.defects;
        match (base.first(), candidate.first()) {
            (None, Some(own)) => {
                return Standing::Fail(format!(
                    "a defect that the base has not shown, outside the false-alarm rate: {own}"
                ));
            }
            (Some(base), Some(own)) => {
                return Standing::Stuck(format!("both have a defect: base {base}; candidate {own}"));
            }
            _ => {}
        }
        let fails_at = self.ratio.config().fails_at();
        if self.lapses.wealth() >= fails_at {
            let ([base, own], [base_stalls, own_stalls]) = (self.unsettled, self.stalled);
            let [base_slices, own_slices] = self.slices;
            return Standing::Fail(format!(
                "it lapses more often: it alone never settled in {own} pairs, the base alone in {base}; of its slices \
                 {own_stalls} of {own_slices} stalled, of the base's {base_stalls} of {base_slices}"
            ));
        }
        match self.ratio.decision() {
            Decision::Fail => {
                return Standing::Fail(format!("slower, wealth {:.0} of {fails_at:.0}", self.ratio.wealth_fail()));
            }
            Decision::Pass if self.pairs.len() < PAIRS_PASS || self.lapses.wealth() >= LAPSES_IN_DOUBT => {}
            Decision::Pass => {
                let percent = 100.0 * self.ratio.config().tolerance;
                return Standing::Pass(format!(
                    "not slower by {percent:.0} % or more, if the ratio is one and the same in all pairs"
                ));
            }
            Decision::Undecided => {}
        }
        let recent = &self.pairs[self.earlier..];
        let (pairs, void) = (recent.len(), recent.iter().filter(|pair| pair.log_ratio.is_none()).count());
        if pairs >= PAIRS_JUDGED_FOR_NOISE && void > pairs / 2 {
            return Standing::Stuck(format!("{void} of {pairs} pairs are void: this host is too noisy for it"));
        }
        Standing::Open
    }

    /// All pairs.
    pub fn pairs(&self) -> &[GatePair] {
        &self.pairs
    }

    /// Pairs in which base alone and candidate alone never settled.
    pub fn unsettled(&self) -> [u32; 2] {
        self.unsettled
    }

    /// What the typical p99 left out, of base and candidate.
    pub fn stall_row(&self) -> StallRow {
        StallRow {
            slices: self.slices,
            stalled: self.stalled,
            held_up: self.held_up,
            wealth_second_more: self.lapses.wealth(),
        }
    }

    /// Defects of base and candidate.
    pub fn defects(&self) -> &[Vec<String>; 2] {
        &self.defects
    }

    /// Log ratios of the pairs with a result.
    pub fn log_ratios(&self) -> &[f64] {
        self.ratio.log_ratios()
    }

    /// The process of the ratio.
    pub fn config(&self) -> &EProcessConfig {
        self.ratio.config()
    }
}

/// ln(candidate / base), or why there is none.
fn bet(seen: [Option<&Seen>; 2]) -> (Option<f64>, Option<String>) {
    if let [Some(base), Some(candidate)] = seen.map(|seen| seen.and_then(Seen::result))
        && base > 0.0
        && candidate > 0.0
    {
        return (Some((candidate / base).ln()), None);
    }
    let told = |name: &str, seen: &Seen| {
        let ended = match seen.verdict {
            Verdict::Settled => return None,
            Verdict::NeverSettled => "never settled",
            Verdict::Void => "is void",
            Verdict::Crashed => "crashed",
        };
        let reason = seen.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        Some(format!("the {name}'s run {ended}{reason}"))
    };
    let names = ["base", "candidate"].into_iter().zip(seen);
    let told: Vec<String> = names.filter_map(|(name, seen)| told(name, seen?)).collect();
    let interrupted = || "interrupted: only one of its runs was finished".to_owned();
    (None, Some(if told.is_empty() { interrupted() } else { told.join("; ") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { alpha: 0.01, processes: 6, seed: 7 };

    fn run(verdict: Verdict, p99: f64) -> Seen {
        let p99_ns = (verdict == Verdict::Settled).then_some(p99);
        let slices_ns_p99 = p99_ns.map_or_else(Vec::new, |p99| vec![p99 as u64; 20]);
        Seen {
            id: "t".into(),
            verdict,
            reason: None,
            p99_ns,
            slices_ns_p99,
            slices_held_up: 0,
            loss_over_ppm: 0,
            probe: None,
        }
    }

    /// A candidate that stalls in one slice of fifty, on a host that makes one of a hundred stall for either arm: the typical
    /// p99 does not see it, and the bet on stalls does. Both arms with the host's share alone are not told apart.
    #[test]
    fn gate_1_a_slowdown_in_one_slice_of_fifty_is_found() {
        let found = |own: f64, seed: u64| {
            let mut draw = SplitMix64::new(seed);
            let mut track = Track::new("steady", 0.05, &Rules { seed, ..RULES });
            for _ in 0..1200 {
                let Some(order) = track.begin() else { break };
                let mut run = |share: f64| {
                    let mut seen = run(Verdict::Settled, 100.0 * (0.3 * draw.normal()).exp());
                    let typical = seen.p99_ns.expect("settled");
                    let slice = |_| {
                        let stalls = draw.unit() < share;
                        (typical * (0.1 * draw.normal()).exp() * if stalls { 20.0 } else { 1.0 }) as u64
                    };
                    seen.slices_ns_p99 = (0..20).map(slice).collect();
                    seen
                };
                let (base, candidate) = (run(0.01), run(0.01 + own));
                track.close(order, [Some(&base), Some(&candidate)]);
                if let Standing::Fail(why) = track.standing() {
                    return why.starts_with("it lapses more often");
                }
            }
            false
        };
        assert!((0..10).filter(|&seed| found(0.02, seed)).count() >= 9);
        assert_eq!((0..10).filter(|&seed| found(0.0, seed)).count(), 0);
    }

    /// `pairs` of (base, candidate); letters: s settled at 100, S at 300, n never settled, v void, c crashed, l lost.
    fn check(pairs: &[(char, char)], expected: &str) {
        let seen = |letter| match letter {
            's' => run(Verdict::Settled, 100.0),
            'S' => run(Verdict::Settled, 300.0),
            'n' => run(Verdict::NeverSettled, 0.0),
            'v' => run(Verdict::Void, 0.0),
            'c' => run(Verdict::Crashed, 0.0),
            _ => Seen { loss_over_ppm: 3, ..run(Verdict::Settled, 100.0) },
        };
        let mut track = Track::new("steady", 0.05, &RULES);
        for (base, candidate) in pairs {
            let Some(order) = track.begin() else { break };
            let (base, candidate) = (seen(*base), seen(*candidate));
            track.note(0, &base);
            track.note(1, &candidate);
            track.close(order, [Some(&base), Some(&candidate)]);
        }
        let found = format!("{:?}", track.standing());
        assert!(found.starts_with(expected), "{pairs:?}: {found}");
    }

    #[test]
    fn gate_1_void_pairs_bet_nothing_and_one_alone_that_never_settles_does() {
        check(&[('s', 'v'); 19], "Open");
        check(&[('s', 'v'); 20], "Stuck(\"20 of 20 pairs are void");
        check(&[('n', 'n'); 5], "Open");
        check(&[('s', 'n'); 9], "Open");
        check(&[('s', 'n'); 15], "Fail(\"it lapses more often: it alone never settled in 12 pairs");
        check(&[('n', 's'); 19], "Open");
        check(&[('s', 'S'); 20], "Fail(\"slower");
        check(&[('S', 's'); 39], "Open");
        check(&[('S', 's'); 40], "Pass");
        check(&[('s', 's'); 80], "Pass");
    }

    #[test]
    fn gate_2_a_defect_fails_the_candidate_at_once_unless_the_base_has_it_too() {
        check(&[('s', 'c')], "Fail(\"a defect");
        check(&[('s', 'l')], "Fail(\"a defect");
        check(&[('c', 's')], "Open");
        check(&[('c', 's'), ('s', 'c')], "Stuck(\"both have a defect");
        check(&[('l', 'l')], "Stuck");
    }

    #[test]
    fn an_unfinished_pair_bets_nothing() {
        let mut track = Track::new("steady", 0.05, &RULES);
        let order = track.begin().expect("a pair");
        track.close(order, [Some(&run(Verdict::Settled, 1.0)), None]);
        assert_eq!((track.log_ratios().len(), track.pairs().len()), (0, 1));
        assert!(track.pairs()[0].void.as_deref().is_some_and(|void| void.starts_with("interrupted")));
    }
}
