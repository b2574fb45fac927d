//! What is true of this host for a whole run: placed, measured and named once, before the first trial.

use rtt_host::{
    AllowanceError, Prober, Topology, allowance, environment, fingerprint_of, latency_matrix, limits, pin_name,
    topology, wake_cost,
};
use rtt_measure::{AbsentValue, Axis, Kind, Limits, PairLatency, Point, Scale, Value, When, point_of};
use rtt_profile::{Fingerprint, Knobs, Pin, Preset};
use rtt_ring::Segment;
use rtt_units::{CpuId, CpuSet, Nanos};
use std::collections::{BTreeMap, btree_map::Entry};

/// Round trips of one regime probe: one to five milliseconds.
const PROBE_ROUNDS: u32 = 10_000;
/// Round trips for each pair of the matrix.
const MATRIX_ROUNDS: u32 = 20_000;

/// Why the host cannot be measured on.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The list of CPUs names some that this process may not use.
    #[error("--cpus {asked}: {refused}; nothing was run")]
    Cpus {
        /// What was asked for.
        asked: CpuSet,
        /// Why not.
        refused: AllowanceError,
    },
    /// The topology cannot be read.
    #[error(transparent)]
    Topology(#[from] rtt_host::TopologyError),
    /// The fingerprint cannot be made.
    #[error(transparent)]
    Fingerprint(#[from] rtt_host::FingerprintError),
}

/// The host.
pub struct Facts {
    /// Its topology.
    pub topology: Topology,
    /// The CPUs that trials may use.
    pub allowed: CpuSet,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    probers: BTreeMap<(CpuId, CpuId), Prober>,
}

/// What is measured once, and then read from the log.
pub struct Measured {
    /// Round trips between CPU pairs.
    pub latency_matrix: Vec<PairLatency>,
    /// Physical limits.
    pub limits: Limits,
    /// The untuned knobs.
    pub default: Knobs,
}

impl Facts {
    /// Reads what this host is; trials stay on `cpus` where given.
    ///
    /// # Errors
    /// [`FactsError`] when one of `cpus` may not be used or the host does not tell what it is.
    pub fn read(cpus: Option<&CpuSet>) -> Result<Facts, FactsError> {
        let topology = topology()?;
        let refused = |refused| FactsError::Cpus { asked: cpus.cloned().unwrap_or_default(), refused };
        let allowed = allowance(&topology.isolated(), cpus).map_err(refused)?;
        let fingerprint = fingerprint_of(&topology)?;
        Ok(Facts { topology, allowed, fingerprint, probers: BTreeMap::new() })
    }

    /// Measures limits, matrix and wake cost: about a second on a small host.
    pub fn measure(&self) -> Measured {
        let matrix = latency_matrix(&self.topology, &self.allowed, MATRIX_ROUNDS);
        let best = limits(&self.topology);
        let (a, b) = self.pair().unwrap_or((CpuId(0), CpuId(0)));
        // A host that cannot tell its wake cost gets that of an ordinary virtual machine.
        let wake = wake_cost(a, b).unwrap_or(Nanos::from_micros(60));
        let measured = matrix.pairs.iter().filter_map(|pair| Some(((pair.a, pair.b), pair.reading.as_ref().ok()?)));
        let line = measured.clone().find(|(pair, _)| *pair == (a, b)).or(measured.clone().next());
        let limits = Limits {
            line_round_trip_ns_p50: line.map(|(_, reading)| reading.p50.0),
            line_round_trip_ns_p99: line.map(|(_, reading)| reading.p99.0),
            wake_ns_p50: wake.0,
            clock_read_ns: best.clock_read.0,
            memcpy_bytes_per_s: best.cached_copy_bytes_per_s,
        };
        let row = |pair: &rtt_host::PairLatency| {
            let reading = pair.reading.as_ref();
            PairLatency {
                a: pair.a.0,
                b: pair.b.0,
                pin: pin_name(pair.pin).into(),
                round_trip_ns_p50: reading.ok().map(|reading| reading.p50.0),
                round_trip_ns_p99: reading.ok().map(|reading| reading.p99.0),
                absent: reading.err().cloned(),
            }
        };
        let latency_matrix = matrix.pairs.iter().map(row).collect();
        Measured { latency_matrix, limits, default: Knobs::default_for(wake) }
    }

    /// The first two allowed CPUs; `None` on a host with one.
    fn pair(&self) -> Option<(CpuId, CpuId)> {
        let mut cpus = self.allowed.iter();
        Some((cpus.next()?, cpus.next()?))
    }

    /// Round trip in nanoseconds of one line between the CPUs of producer and consumer, or between the first two where
    /// these are not one CPU each or the same, and which pair that was.
    ///
    /// # Errors
    /// In words: the host has one CPU, or another thread keeps one of the two.
    pub fn probe_regime(&mut self, producer: &CpuSet, consumer: &CpuSet) -> Result<([u32; 2], u64), String> {
        let single = |cpus: &CpuSet| cpus.iter().next().filter(|_| cpus.len() == 1);
        let pair = single(producer).zip(single(consumer)).filter(|(a, b)| a != b).or_else(|| self.pair());
        let (a, b) = pair.ok_or("one CPU has no pair to probe")?;
        let prober = match self.probers.entry((a, b)) {
            Entry::Occupied(kept) => kept.into_mut(),
            Entry::Vacant(place) => place.insert(Prober::new(a, b).map_err(|error| rtt_seal::in_full(&error))?),
        };
        let reading = prober.probe(PROBE_ROUNDS).map_err(|error| rtt_seal::in_full(&error))?;
        Ok(([a.0, b.0], reading.p50.0))
    }

    /// Name and value of what may limit a measurement.
    pub fn environment(&self) -> Vec<(String, String)> {
        environment()
    }

    /// Where each pin class of this host puts producer and consumer.
    pub fn placements(&self) -> BTreeMap<String, [String; 2]> {
        let placed = self.pins().into_iter().filter_map(|pin| {
            let placed = self.topology.place(pin, &self.allowed, 1).ok()?;
            Some((pin_name(pin).to_string(), [placed.producer.to_string(), placed.consumer.to_string()]))
        });
        placed.collect()
    }

    /// The pin classes of this host, `unpinned` among them.
    pub fn pins(&self) -> Vec<Pin> {
        self.topology.pin_classes(&self.allowed)
    }

    /// What this host cannot honour.
    pub fn absent(&self) -> Vec<AbsentValue> {
        let classes = self.topology.absent_classes(&self.allowed).into_iter();
        let mut absent: Vec<AbsentValue> = classes
            .map(|(pin, reason)| AbsentValue { axis: "pin".into(), value: Some(pin_name(pin).into()), reason })
            .collect();
        if let Err(reason) = Segment::huge_pages_available() {
            absent.push(AbsentValue { axis: "huge_pages".into(), value: None, reason });
        }
        absent
    }

    /// The search space: every knob that this host honours.
    pub fn axes(&self) -> Vec<Axis> {
        let pins = self.pins().into_iter().map(|pin| pin_name(pin).to_string());
        let huge = if Segment::huge_pages_available().is_ok() { vec!["off", "on"] } else { vec!["off"] };
        vec![
            powers("ring_bytes", Knobs::RING_BYTES_MIN, Knobs::RING_BYTES_MAX),
            powers("batch", 1, u64::from(Knobs::BATCH_MAX)),
            span("window_us", 0, Knobs::WINDOW_US_MAX, None),
            category("wait", ["spin", "yield", "futex"].map(String::from)),
            span("spin_us", 0, Knobs::SPIN_US_MAX, Some(["yield", "futex"])),
            category("pin", pins),
            category("huge_pages", huge.into_iter().map(String::from)),
        ]
    }

    /// The presets on this host.
    pub fn presets(&self) -> BTreeMap<String, Point> {
        let pins = self.pins();
        Preset::ALL.map(|preset| (preset.name().to_string(), point_of(&preset.knobs(&pins)))).into()
    }
}

fn axis(name: &str, kind: Kind) -> Axis {
    Axis { name: name.into(), kind, min: None, max: None, values: Vec::new(), scale: Scale::Linear, when: None }
}

fn powers(name: &str, min: u64, max: u64) -> Axis {
    let values = std::iter::successors(Some(min), |value| Some(value * 2)).take_while(|value| *value <= max);
    let values = values.map(|value| Value::Integer(value as i64)).collect();
    Axis { min: Some(min as f64), max: Some(max as f64), values, scale: Scale::Log2, ..axis(name, Kind::Integer) }
}

fn span(name: &str, min: u32, max: u32, when_wait: Option<[&str; 2]>) -> Axis {
    let when = when_wait
        .map(|waits| When { axis: "wait".into(), values: waits.map(|wait| Value::Text(wait.into())).to_vec() });
    let (min, max) = (Some(f64::from(min)), Some(f64::from(max)));
    Axis { min, max, scale: Scale::Log1p, when, ..axis(name, Kind::Integer) }
}

fn category(name: &str, values: impl IntoIterator<Item = String>) -> Axis {
    Axis { values: values.into_iter().map(Value::Text).collect(), ..axis(name, Kind::Category) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtt_measure::knobs_of;

    /// Every axis is a knob, and the corners of the space are knobs that an endpoint takes.
    #[test]
    fn the_space_is_made_of_knobs() {
        let facts = Facts::read(None).expect("this host");
        for pick in [0, usize::MAX] {
            let value = |axis: &Axis| match axis.values.as_slice() {
                [] => Value::Integer(if pick == 0 { axis.min } else { axis.max }.expect("a number") as i64),
                values => values[pick.min(values.len() - 1)].clone(),
            };
            let point: Point = facts.axes().iter().map(|axis| (axis.name.clone(), value(axis))).collect();
            knobs_of(&point).expect("knobs");
        }
    }

    /// Every pair is in the record: with figures, or with the reason why it has none.
    #[test]
    fn no_pair_of_the_matrix_is_lost() {
        let mut facts = Facts::read(None).expect("this host");
        let here = facts.topology.cpus[0].clone();
        facts.allowed = CpuSet::from_iter([here.id, CpuId(1023)]);
        facts.topology.cpus = vec![here.clone(), rtt_host::Cpu { id: CpuId(1023), ..here.clone() }];
        let Measured { latency_matrix, limits, .. } = facts.measure();
        let [row] = latency_matrix.as_slice() else { panic!("{latency_matrix:?}") };
        assert_eq!((row.a, row.b, row.pin.as_str()), (here.id.0, 1023, "smt_sibling"));
        assert!(row.absent.as_deref().is_some_and(|reason| reason.contains("1023")), "{row:?}");
        assert_eq!((row.round_trip_ns_p50, limits.line_round_trip_ns_p50), (None, None));
    }

    #[test]
    fn cpus_that_may_not_be_used_are_refused() {
        let here = Facts::read(None).expect("this host").allowed;
        for far in ["8000".to_owned(), format!("{here},8000")] {
            let asked: CpuSet = far.parse().expect("a list");
            let error = Facts::read(Some(&asked)).err().expect("no host has CPU 8000").to_string();
            let words = format!("--cpus {asked}: CPUs 8000 may not be used here; expected some of ");
            assert!(error.starts_with(&words), "{error}");
        }
    }
}
