//! One scenario of a comparison: its pairs so far, what they say, and which run comes next.
//!
//! Pure: the runs that were seen go in, in order, and the state follows from them alone, so a track is taken up again by
//! telling it the runs of its logs.
//!
//! GATE-1  A pair with a run that is void, or of which only one was finished, bets nothing; one arm alone that never
//!         settles bets on that, and not on the ratio.
//! GATE-2  A defect of the candidate fails it at once while the base has had none, and is never a matter of chance; where
//!         the base has it too, nothing is decided.

use rtt_measure::{Decision, EProcess, EProcessConfig, GatePair, PairOrder, RegimeProbe, SignProcess, Verdict};

/// Of so many pairs at least, more than half void is too noisy to go on.
const PAIRS_JUDGED_FOR_NOISE: usize = 20;

/// One run of one arm, as far as the verdict hangs on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The trial.
    pub id: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Why it is no result.
    pub reason: Option<String>,
    /// p99 in nanoseconds, of a settled run.
    pub p99_ns: Option<f64>,
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
    /// The candidate is slower, or fails to settle more often, or has a defect of its own; in words.
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
    ratio: EProcess,
    unsettled: SignProcess,
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
            ratio: EProcess::new(config),
            unsettled: SignProcess::default(),
            pairs: Vec::new(),
            earlier: 0,
            defects: [Vec::new(), Vec::new()],
        }
    }

    /// The first `pairs` are of earlier gates.
    pub fn turn(self, pairs: usize) -> Track {
        Track { earlier: pairs.min(self.pairs.len()), ..self }
    }

    /// Begins a pair and tells its order; `None` once the ratio is decided.
    ///
    /// # Panics
    /// When a pair is open.
    pub fn begin(&mut self) -> Option<PairOrder> {
        self.ratio.next()
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
        let (log_ratio, void) = bet(seen);
        match log_ratio {
            Some(log_ratio) => self.ratio.observe(log_ratio),
            None => self.ratio.void(), // GATE-1
        }
        if let [Some(base), Some(candidate)] = seen {
            match (base.verdict, candidate.verdict) {
                (Verdict::Settled, Verdict::NeverSettled) => self.unsettled.observe(true),
                (Verdict::NeverSettled, Verdict::Settled) => self.unsettled.observe(false),
                _ => {}
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
            wealth_unsettled: self.unsettled.wealth(),
            regime: None,
        });
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
        if self.unsettled.wealth() >= fails_at {
            let [base, own] = self.unsettled.counts();
            return Standing::Fail(format!("it alone never settled in {own} pairs, the base alone in {base}"));
        }
        match self.ratio.decision() {
            Decision::Fail => {
                return Standing::Fail(format!("slower, wealth {:.0} of {fails_at:.0}", self.ratio.wealth_fail()));
            }
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
        self.unsettled.counts()
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
        Seen { id: "t".into(), verdict, reason: None, p99_ns, loss_over_ppm: 0, probe: None }
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
        check(&[('s', 'n'); 15], "Fail(\"it alone never settled in 15 pairs");
        check(&[('n', 's'); 19], "Open");
        check(&[('s', 'S'); 20], "Fail(\"slower");
        check(&[('S', 's'); 20], "Pass");
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
