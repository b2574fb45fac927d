//! A scenario: one way to load an endpoint, and what the endpoint may use up meanwhile.
//!
//! SCEN-1  Numbers lie in their ranges, and fields that depend on each other agree ([`Scenario::check`]).
//! The same rules stand in `spec/schema/scenario.cue`.

use crate::bounds::{CheckError, Checker};
use rtt_seal::Digest;
use serde::{Deserialize, Deserializer, Serialize, de};

/// A workload under a name, with its budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name in command lines, logs and reports: a letter of `a-z`, then `a-z`, `0-9` and `_`, at most 48 characters.
    pub name: String,
    /// Heading in reports, at most 80 characters.
    pub title: String,
    /// What it shows and what it does not, at most 1000 characters.
    pub about: String,
    /// What is sent.
    pub workload: Workload,
    /// What the endpoint may lose and use.
    pub budget: Budget,
}

/// Messages: when, how many, how large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// When a message is due.
    pub arrival: Arrival,
    /// How many messages are due, over all producers together.
    pub offered: Offered,
    /// Rings into the endpoint, each with a producer of its own: 1..=8.
    pub producers: u32,
    /// Sizes of messages and how often each is drawn: 1..=8 different sizes.
    pub payload: Vec<PayloadShare>,
    /// Whether the endpoint answers each message. True in a closed loop, false in an open one.
    pub reply: bool,
    /// Length of a run in milliseconds: 100..=60000.
    pub duration_ms: u32,
    /// A run with fewer samples is void: 1..=100 000 000.
    pub samples_min: u64,
}

/// When a message is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", try_from = "ArrivalForm")]
pub enum Arrival {
    /// When the reply to the one before it is there. Every other arrival is an open loop.
    ClosedLoop,
    /// At equal intervals.
    Fixed,
    /// At exponential intervals.
    Poisson,
    /// At equal intervals whose length changes: each period begins with a burst at `factor` times the rate of its rest.
    /// The mean over a period is the offered load.
    Burst {
        /// Rate inside a burst over the rate outside it: 2..=100.
        factor: u32,
        /// Part of each period that is a burst: 1..=500.
        share_permille: u32,
        /// Length of a period in microseconds: 1000..=1 000 000, and at most half the run.
        period_us: u32,
    },
}

/// How many messages are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Offered {
    /// Messages per second: 1..=100 000 000.
    RatePerS(u64),
    /// Share of the capacity that the same run measured: 1..=1000.
    CapacityPermille(u32),
    /// As many as a closed loop gives.
    AsFast,
}

/// One size of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayloadShare {
    /// Length in bytes: 32..=4096, a multiple of 8.
    pub bytes: u32,
    /// The size is drawn with this over the sum of all weights: 1..=1000.
    pub weight: u32,
}

/// What the endpoint may lose and use. Where a figure is absent there is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Lost messages in a million: 0..=1 000 000.
    pub loss_ppm: u32,
    /// CPU that the endpoint uses, in thousandths of a CPU over the run: 1..=1 024 000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millicores: Option<u32>,
    /// Resident memory of the endpoint: 1 MiB..=1 TiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

impl Scenario {
    /// BLAKE3 of the canonical JSON: fields in the order of the type, no white space.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("a scenario is plain data"))
    }

    /// Whether every value lies in its range and no two fields contradict each other.
    ///
    /// # Errors
    /// All violations at once, in the order of the document.
    pub fn check(&self) -> Result<(), CheckError> {
        let mut checker = Checker::default();
        checker.name("name", &self.name);
        checker.text("title", &self.title);
        checker.text("about", &self.about);
        self.workload.ranges(&mut checker);
        self.workload.agreement(&mut checker);
        self.budget.ranges(&mut checker);
        checker.finish()
    }
}

impl Workload {
    /// SCEN-1: each field by itself.
    fn ranges(&self, checker: &mut Checker) {
        if let Arrival::Burst { factor, share_permille, period_us } = self.arrival {
            checker.integer("workload.arrival.factor", factor.into());
            checker.integer("workload.arrival.share_permille", share_permille.into());
            checker.integer("workload.arrival.period_us", period_us.into());
        }
        match self.offered {
            Offered::RatePerS(rate) => checker.integer("workload.offered.rate_per_s", rate),
            Offered::CapacityPermille(share) => checker.integer("workload.offered.capacity_permille", share.into()),
            Offered::AsFast => {}
        }
        checker.integer("workload.producers", self.producers.into());
        if !(1..=8).contains(&self.payload.len()) {
            checker.refuse("workload.payload", &format!("found {} shares", self.payload.len()));
        }
        for (index, share) in self.payload.iter().enumerate() {
            checker.integer(&format!("workload.payload[{index}].bytes"), share.bytes.into());
            checker.integer(&format!("workload.payload[{index}].weight"), share.weight.into());
            if self.payload[..index].iter().any(|other| other.bytes == share.bytes) {
                checker.refuse("workload.payload", &format!("found {} bytes twice", share.bytes));
            }
        }
        checker.integer("workload.duration_ms", self.duration_ms.into());
        checker.integer("workload.samples_min", self.samples_min);
    }

    /// SCEN-1: fields that depend on each other.
    fn agreement(&self, checker: &mut Checker) {
        let closed = self.arrival == Arrival::ClosedLoop;
        if closed != (self.offered == Offered::AsFast) {
            let expected = if closed {
                "found a rate under a closed loop, expected \"as_fast\": a closed loop sends when the reply is there"
            } else {
                "found \"as_fast\" in an open loop, expected {\"rate_per_s\": N} or {\"capacity_permille\": N}"
            };
            checker.contradiction("workload.offered", expected.to_owned());
        }
        if closed && self.producers != 1 {
            checker.contradiction(
                "workload.producers",
                format!("found {} under a closed loop, expected 1: it has one message under way", self.producers),
            );
        }
        if closed != self.reply {
            let expected = if closed {
                "found false under a closed loop, expected true: the reply starts the next message"
            } else {
                "found true in an open loop, expected false: its latency is one way and nobody would read the reply"
            };
            checker.contradiction("workload.reply", expected.to_owned());
        }
        let duration_us = u64::from(self.duration_ms) * 1_000;
        if let Arrival::Burst { period_us, .. } = self.arrival
            && 2 * u64::from(period_us) > duration_us
        {
            checker.contradiction(
                "workload.arrival.period_us",
                format!("found {period_us}, expected at most {}: two bursts in the run", duration_us / 2),
            );
        }
        if let Offered::RatePerS(rate) = self.offered {
            let due = u128::from(rate) * u128::from(self.duration_ms) / 1_000;
            if due < u128::from(self.samples_min) {
                checker.contradiction(
                    "workload.samples_min",
                    format!("found {}, expected at most {due}: no more messages are due in the run", self.samples_min),
                );
            }
        }
    }
}

impl Budget {
    fn ranges(&self, checker: &mut Checker) {
        checker.integer("budget.loss_ppm", self.loss_ppm.into());
        if let Some(cpu_millicores) = self.cpu_millicores {
            checker.integer("budget.cpu_millicores", cpu_millicores.into());
        }
        if let Some(memory_bytes) = self.memory_bytes {
            checker.integer("budget.memory_bytes", memory_bytes);
        }
    }
}

/// [`Arrival`] as it stands in JSON: a flat object, so that errors keep the line of the field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ArrivalForm {
    kind: ArrivalKind,
    factor: Option<u32>,
    share_permille: Option<u32>,
    period_us: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ArrivalKind {
    ClosedLoop,
    Fixed,
    Poisson,
    Burst,
}

impl TryFrom<ArrivalForm> for Arrival {
    type Error = String;

    fn try_from(form: ArrivalForm) -> Result<Arrival, String> {
        let missing = |field: &str| format!("missing field `{field}`, which a burst has");
        let plain = match form.kind {
            ArrivalKind::ClosedLoop => Arrival::ClosedLoop,
            ArrivalKind::Fixed => Arrival::Fixed,
            ArrivalKind::Poisson => Arrival::Poisson,
            ArrivalKind::Burst => {
                return Ok(Arrival::Burst {
                    factor: form.factor.ok_or_else(|| missing("factor"))?,
                    share_permille: form.share_permille.ok_or_else(|| missing("share_permille"))?,
                    period_us: form.period_us.ok_or_else(|| missing("period_us"))?,
                });
            }
        };
        match (form.factor, form.share_permille, form.period_us) {
            (None, None, None) => Ok(plain),
            _ => Err("`factor`, `share_permille` and `period_us` belong to kind `burst` only".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for Offered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Offered, D::Error> {
        struct OneOf;
        const FIELDS: &[&str] = &["rate_per_s", "capacity_permille"];
        impl<'de> de::Visitor<'de> for OneOf {
            type Value = Offered;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("{\"rate_per_s\": N}, {\"capacity_permille\": N} or \"as_fast\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Offered, E> {
                if text == "as_fast" { Ok(Offered::AsFast) } else { Err(E::unknown_variant(text, &["as_fast"])) }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Offered, A::Error> {
                let Some(key) = map.next_key::<String>()? else {
                    return Err(de::Error::invalid_length(0, &self));
                };
                let offered = match key.as_str() {
                    "rate_per_s" => Offered::RatePerS(map.next_value()?),
                    "capacity_permille" => Offered::CapacityPermille(map.next_value()?),
                    _ => return Err(de::Error::unknown_field(&key, FIELDS)),
                };
                match map.next_key::<String>()? {
                    None => Ok(offered),
                    Some(more) => {
                        Err(de::Error::custom(format!("found `{key}` and `{more}`: one of them excludes the other")))
                    }
                }
            }
        }
        deserializer.deserialize_any(OneOf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady() -> Scenario {
        Scenario {
            name: "steady".into(),
            title: "Steady".into(),
            about: "For tests.".into(),
            workload: Workload {
                arrival: Arrival::Fixed,
                offered: Offered::RatePerS(20_000),
                producers: 1,
                payload: vec![PayloadShare { bytes: 64, weight: 1 }],
                reply: false,
                duration_ms: 1_000,
                samples_min: 10_000,
            },
            budget: Budget { loss_ppm: 0, cpu_millicores: None, memory_bytes: None },
        }
    }

    fn check(change: impl FnOnce(&mut Workload), expected: &str) {
        let mut scenario = steady();
        change(&mut scenario.workload);
        let found = scenario.check().err().map_or(String::new(), |error| error.to_string());
        assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{found}\n{expected}");
    }

    /// SCEN-1
    #[test]
    fn fields_that_contradict_each_other_are_refused() {
        check(|_| {}, "");
        check(|w| w.arrival = Arrival::ClosedLoop, "workload.offered: found a rate under a closed loop");
        check(|w| w.offered = Offered::AsFast, "workload.offered: found \"as_fast\" in an open loop");
        check(|w| w.reply = true, "workload.reply: found true in an open loop");
        check(|w| w.samples_min = 20_001, "workload.samples_min: found 20001, expected at most 20000");
        check(|w| w.samples_min = 20_000, "");
        let closed = |w: &mut Workload| (w.arrival, w.offered, w.reply) = (Arrival::ClosedLoop, Offered::AsFast, true);
        check(closed, "");
        check(
            |w| {
                closed(w);
                w.producers = 2;
            },
            "workload.producers: found 2 under a closed loop",
        );
        let burst = |period_us| Arrival::Burst { factor: 10, share_permille: 100, period_us };
        check(|w| w.arrival = burst(500_000), "");
        check(|w| w.arrival = burst(500_001), "workload.arrival.period_us: found 500001, expected at most 500000");
        check(|w| w.payload.push(w.payload[0]), "workload.payload: found 64 bytes twice");
        check(|w| w.payload.clear(), "workload.payload: found 0 shares, expected a list of 1..=8 shares");
    }

    #[test]
    fn all_violations_are_reported_together() {
        let mut scenario = steady();
        (scenario.workload.producers, scenario.budget.loss_ppm, scenario.name) = (9, 1_000_001, "Steady".into());
        let fields: Vec<String> =
            scenario.check().expect_err("three mistakes").violations.into_iter().map(|v| v.field).collect();
        assert_eq!(fields, ["name", "workload.producers", "budget.loss_ppm"]);
    }

    #[test]
    fn json_is_what_the_schema_says() {
        let json = r#"{"name":"steady","title":"Steady","about":"For tests.","workload":{"arrival":{"kind":"fixed"},"offered":{"rate_per_s":20000},"producers":1,"payload":[{"bytes":64,"weight":1}],"reply":false,"duration_ms":1000,"samples_min":10000},"budget":{"loss_ppm":0}}"#;
        assert_eq!(serde_json::to_string(&steady()).expect("json"), json);
        assert_eq!(serde_json::from_str::<Scenario>(json).expect("scenario"), steady());
        for arrival in [Arrival::ClosedLoop, Arrival::Burst { factor: 2, share_permille: 3, period_us: 4 }] {
            let text = serde_json::to_string(&arrival).expect("json");
            assert_eq!(serde_json::from_str::<Arrival>(&text).expect(&text), arrival);
        }
        for offered in [Offered::AsFast, Offered::CapacityPermille(800), Offered::RatePerS(1)] {
            let text = serde_json::to_string(&offered).expect("json");
            assert_eq!(serde_json::from_str::<Offered>(&text).expect(&text), offered);
        }
    }

    #[test]
    fn equal_scenarios_have_equal_digests_and_a_change_changes_it() {
        let mut other = steady();
        assert_eq!(steady().digest(), other.digest());
        other.workload.samples_min -= 1;
        assert_ne!(steady().digest(), other.digest());
    }
}
