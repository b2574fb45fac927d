//! The names of arms, verdicts, wait strategies and pin classes, as trial logs and gates write them.

use rtt_measure::{Arm, GateVerdict, Verdict};
use rtt_profile::{Pin, Wait};

/// The name of `arm`.
pub const fn arm_name(arm: Arm) -> &'static str {
    match arm {
        Arm::Search => "search",
        Arm::Default => "default",
        Arm::Incumbent => "incumbent",
        Arm::Placebo => "placebo",
        Arm::Control => "control",
        Arm::Base => "base",
        Arm::Candidate => "candidate",
    }
}

/// The name of `verdict`.
pub const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Settled => "settled",
        Verdict::NeverSettled => "never_settled",
        Verdict::Void => "void",
        Verdict::Crashed => "crashed",
    }
}

/// The name of a gate's `verdict`.
pub const fn gate_verdict_name(verdict: GateVerdict) -> &'static str {
    match verdict {
        GateVerdict::Pass => "pass",
        GateVerdict::Undecided => "undecided",
        GateVerdict::Breach => "breach",
        GateVerdict::Fail => "fail",
    }
}

/// The name of `wait`.
pub const fn wait_name(wait: Wait) -> &'static str {
    match wait {
        Wait::Spin => "spin",
        Wait::Yield => "yield",
        Wait::Futex => "futex",
    }
}

/// The name of `pin`.
pub const fn pin_name(pin: Pin) -> &'static str {
    match pin {
        Pin::Unpinned => "unpinned",
        Pin::SameCpu => "same_cpu",
        Pin::SmtSibling => "smt_sibling",
        Pin::SameL3 => "same_l3",
        Pin::SameNuma => "same_numa",
        Pin::OtherNuma => "other_numa",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    fn check(value: impl Serialize, name: &str) {
        assert_eq!(serde_json::to_value(value).expect("JSON"), name);
    }

    #[test]
    fn the_names_are_those_of_the_log() {
        let arms = [Arm::Search, Arm::Default, Arm::Incumbent, Arm::Placebo, Arm::Control, Arm::Base, Arm::Candidate];
        arms.into_iter().for_each(|arm| check(arm, arm_name(arm)));
        let verdicts = [Verdict::Settled, Verdict::NeverSettled, Verdict::Void, Verdict::Crashed];
        verdicts.into_iter().for_each(|verdict| check(verdict, verdict_name(verdict)));
        let verdicts = [GateVerdict::Pass, GateVerdict::Undecided, GateVerdict::Breach, GateVerdict::Fail];
        verdicts.into_iter().for_each(|verdict| check(verdict, gate_verdict_name(verdict)));
        [Wait::Spin, Wait::Yield, Wait::Futex].into_iter().for_each(|wait| check(wait, wait_name(wait)));
        let pins = [Pin::Unpinned, Pin::SameCpu, Pin::SmtSibling, Pin::SameL3, Pin::SameNuma, Pin::OtherNuma];
        pins.into_iter().for_each(|pin| check(pin, pin_name(pin)));
    }
}
