//! `--fix` and `--sweep`: a narrower space than the problem offers.
//!
//! An axis answers to its name and to its name without the unit (`ring` for `ring_bytes`). Values may carry their unit
//! (`64KiB`, `20us`). What lies outside the problem's own range is refused, with the range.

use crate::space::Space;
use rtt_measure::{Axis, Kind, Value};
use rtt_seal::near_name;
use rtt_units::{Bytes, Nanos};
use std::collections::BTreeSet;

/// Most values that a sweep may list.
const VALUES_MAX: usize = 4096;

/// Why an option narrows nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NarrowError {
    /// It is not of the form that it should have.
    #[error("{option} `{text}`: expected {expected}")]
    Form {
        /// `--fix` or `--sweep`.
        option: &'static str,
        /// What was given.
        text: String,
        /// What was expected.
        expected: &'static str,
    },
    /// There is no such axis.
    #[error("{option} `{text}`: no knob `{name}`{hint}")]
    Unknown {
        /// `--fix` or `--sweep`.
        option: &'static str,
        /// What was given.
        text: String,
        /// The name in it.
        name: String,
        /// A near name, and those that there are.
        hint: String,
    },
    /// The axis exists only under values of another that are left out.
    #[error("{option} `{text}`: {axis} means something only with {other}={values}, which the other options leave out")]
    Closed {
        /// `--fix` or `--sweep`.
        option: &'static str,
        /// What was given.
        text: String,
        /// The axis.
        axis: String,
        /// The axis that it hangs on.
        other: String,
        /// The values that it needs, with `|` between them.
        values: String,
    },
    /// A value is none of the axis.
    #[error("{option} `{text}`: `{value}` is no value of {axis}{hint}")]
    Value {
        /// `--fix` or `--sweep`.
        option: &'static str,
        /// What was given.
        text: String,
        /// The value in it.
        value: String,
        /// The axis.
        axis: String,
        /// A near name, and what the axis takes.
        hint: String,
    },
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// A size with a unit that is not known, such as `64KB` or `64k`, in the binary unit that was most likely meant.
fn binary_size(value: &str) -> Option<String> {
    let (number, unit) = value.split_at(value.find(|c: char| c.is_ascii_alphabetic())?);
    let prefix = unit.to_ascii_uppercase();
    let prefix = prefix.strip_suffix("IB").or_else(|| prefix.strip_suffix('B')).unwrap_or(&prefix);
    let meant = format!("{}{prefix}iB", number.trim());
    (["K", "M", "G"].contains(&prefix) && meant.parse::<Bytes>().is_ok()).then_some(meant)
}

/// The name without its unit: `ring` of `ring_bytes`, `huge` of `huge_pages`.
fn short(name: &str) -> &str {
    name.rsplit_once('_').map_or(name, |(short, _)| short)
}

fn expected(axis: &Axis) -> String {
    if !axis.values.is_empty() {
        let values: Vec<String> = axis.values.iter().map(ToString::to_string).collect();
        return format!("one of {}", values.join(", "));
    }
    let whole = if axis.kind == Kind::Integer { "a whole number" } else { "a number" };
    format!("{whole} in {}..={}", axis.min.unwrap_or(f64::NAN), axis.max.unwrap_or(f64::NAN))
}

/// One option with its axis found.
struct Given<'a> {
    option: &'static str,
    text: &'a str,
    index: usize,
    rest: &'a str,
}

impl<'a> Given<'a> {
    fn parse(space: &Space, option: &'static str, text: &'a str) -> Result<Given<'a>, NarrowError> {
        let form = if option == "--fix" {
            "KNOB=VALUE, such as wait=spin"
        } else {
            "KNOB=FROM..TO, KNOB=FROM..TO:xN, KNOB=FROM..TO:+N or KNOB=A,B,C"
        };
        let (name, rest) =
            text.split_once('=').ok_or(NarrowError::Form { option, text: text.into(), expected: form })?;
        let (name, rest) = (name.trim(), rest.trim());
        let names = || space.axes().iter().map(|axis| axis.name.as_str());
        let exact = names().position(|known| known == name);
        let found = exact.or_else(|| names().position(|known| short(known) == name)).ok_or_else(|| {
            let all: Vec<&str> = names().chain(names().map(short)).collect();
            NarrowError::Unknown {
                option,
                text: text.into(),
                name: name.into(),
                hint: format!(
                    "{}; knobs here: {}",
                    did_you_mean(near_name(name, all)),
                    names().collect::<Vec<_>>().join(", ")
                ),
            }
        })?;
        Ok(Given { option, text, index: found, rest })
    }

    fn refuse(&self, axis: &Axis, value: &str) -> NarrowError {
        let classes: Vec<String> = axis.values.iter().map(ToString::to_string).collect();
        // A size whose unit is right is outside the range, and no other spelling helps.
        let size = binary_size(value).filter(|meant| axis.name.ends_with("_bytes") && meant != value);
        let near = size.as_deref().or_else(|| near_name(value, classes.iter().map(String::as_str)));
        NarrowError::Value {
            option: self.option,
            text: self.text.into(),
            value: value.into(),
            axis: axis.name.clone(),
            hint: format!("{}; expected {}", did_you_mean(near), expected(axis)),
        }
    }

    fn form(&self, expected: &'static str) -> NarrowError {
        NarrowError::Form { option: self.option, text: self.text.into(), expected }
    }

    /// A number with or without the unit of the axis' name.
    fn number(&self, axis: &Axis, text: &str) -> Result<f64, NarrowError> {
        let plain = text.parse::<f64>().ok().filter(|number| number.is_finite());
        let unit = axis.name.rsplit_once('_').map_or("", |(_, unit)| unit);
        let nanos = |scale: f64| text.parse::<Nanos>().ok().map(|nanos| nanos.0 as f64 / scale);
        let number = plain.or_else(|| match unit {
            "bytes" => text.parse::<Bytes>().ok().map(|bytes| bytes.0 as f64),
            "ns" => nanos(1.0),
            "us" => nanos(1e3),
            "ms" => nanos(1e6),
            _ => None,
        });
        number.ok_or_else(|| self.refuse(axis, text))
    }

    /// One legal value.
    fn value(&self, axis: &Axis, text: &str) -> Result<Value, NarrowError> {
        let text = text.trim();
        let value = match axis.kind {
            Kind::Category => Value::Text(text.into()),
            kind => {
                let number = self.number(axis, text)?;
                let outside = axis.min.is_some_and(|min| number < min) || axis.max.is_some_and(|max| number > max);
                if outside || (kind == Kind::Integer && number.fract() != 0.0) {
                    return Err(self.refuse(axis, text));
                }
                if kind == Kind::Integer { Value::Integer(number as i64) } else { Value::Real(number) }
            }
        };
        if axis.values.is_empty() || axis.values.contains(&value) { Ok(value) } else { Err(self.refuse(axis, text)) }
    }

    /// The values from one end to the other, by factor or by step.
    fn stepped(&self, axis: &Axis, from: f64, to: f64, step: &str) -> Result<Vec<Value>, NarrowError> {
        const FORM: &str = "a step such as :x2 (a factor above 1) or :+8 (above 0)";
        let (by_factor, size) = match step.split_at_checked(1) {
            Some(("x", factor)) => (true, factor.parse::<f64>().ok().filter(|&factor| factor > 1.0)),
            Some(("+", step)) => (false, Some(self.number(axis, step)?).filter(|&step| step > 0.0)),
            _ => (false, None),
        };
        let size = size.filter(|_| !by_factor || from > 0.0).ok_or_else(|| self.form(FORM))?;
        let mut values = Vec::new();
        let mut number = from;
        while number <= to * (1.0 + 1e-12) {
            let value =
                if axis.kind == Kind::Integer { Value::Integer(number.round() as i64) } else { Value::Real(number) };
            let legal = axis.values.is_empty() || axis.values.contains(&value);
            if !legal {
                return Err(self.refuse(axis, &value.to_string()));
            }
            values.push(value);
            if values.len() > VALUES_MAX {
                return Err(self.form("at most 4096 values"));
            }
            number = if by_factor { number * size } else { number + size };
        }
        values.dedup();
        Ok(values)
    }

    /// The axis between two ends.
    fn range(&self, axis: &Axis, text: &str) -> Result<Axis, NarrowError> {
        let (ends, step) = text.split_once(':').map_or((text, None), |(ends, step)| (ends, Some(step)));
        let (from, to) = ends.split_once("..").ok_or_else(|| self.form("FROM..TO"))?;
        if axis.kind == Kind::Category {
            return Err(self.form("KNOB=A,B,C for a knob of classes"));
        }
        let end = |text: &str| {
            let number = self.number(axis, text.trim())?;
            let listed = axis.values.iter().filter_map(Value::as_f64);
            let low = axis.min.or_else(|| listed.clone().reduce(f64::min)).unwrap_or(f64::NEG_INFINITY);
            let high = axis.max.or_else(|| listed.reduce(f64::max)).unwrap_or(f64::INFINITY);
            if (low..=high).contains(&number) { Ok(number) } else { Err(self.refuse(axis, text)) }
        };
        let (low, high) = (end(from)?, end(to)?);
        if low > high {
            return Err(self.form("FROM at most TO"));
        }
        let values = match step {
            Some(step) => self.stepped(axis, low, high, step)?,
            None => {
                let inside = |value: &&Value| value.as_f64().is_some_and(|number| (low..=high).contains(&number));
                axis.values.iter().filter(inside).cloned().collect()
            }
        };
        if values.is_empty() && !axis.values.is_empty() {
            return Err(self.refuse(axis, text));
        }
        Ok(Axis { min: Some(low), max: Some(high), values, ..axis.clone() })
    }
}

/// Applies all `--fix` and `--sweep` to `space`.
///
/// # Errors
/// [`NarrowError`] for the first that cannot be.
pub(crate) fn narrow(space: &mut Space, fixes: &[String], sweeps: &[String]) -> Result<(), NarrowError> {
    for text in sweeps {
        let given = Given::parse(space, "--sweep", text)?;
        let axis = &space.axes()[given.index];
        let narrowed = if given.rest.contains("..") {
            given.range(axis, given.rest)?
        } else {
            let values = given.rest.split(',').map(|value| given.value(axis, value)).collect::<Result<Vec<_>, _>>()?;
            listed(axis, values)
        };
        space.narrow(given.index, narrowed);
    }
    let mut fixed = BTreeSet::new();
    for text in fixes {
        let given = Given::parse(space, "--fix", text)?;
        if !fixed.insert(given.index) {
            return Err(given.form("each knob once"));
        }
        let axis = &space.axes()[given.index];
        let narrowed = listed(axis, vec![given.value(axis, given.rest)?]);
        space.narrow(given.index, narrowed);
    }
    for (option, text) in sweeps.iter().map(|text| ("--sweep", text)).chain(fixes.iter().map(|text| ("--fix", text))) {
        let axis = &space.axes()[Given::parse(space, option, text)?.index];
        if let Some(when) = axis.when.as_ref().filter(|_| !space.open(axis)) {
            let values: Vec<String> = when.values.iter().map(ToString::to_string).collect();
            let (axis, other) = (axis.name.clone(), when.axis.clone());
            return Err(NarrowError::Closed { option, text: text.clone(), axis, other, values: values.join("|") });
        }
    }
    Ok(())
}

fn listed(axis: &Axis, mut values: Vec<Value>) -> Axis {
    if axis.kind != Kind::Category {
        values.sort_by(|a, b| a.partial_cmp(b).expect("numbers of one kind"));
    }
    values.dedup();
    Axis { values, ..axis.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::tests::mixed;

    fn check(option: &str, text: &str, expected: &str) {
        let mut space = mixed();
        let given = [text.to_owned()];
        let done = if option == "--fix" { narrow(&mut space, &given, &[]) } else { narrow(&mut space, &[], &given) };
        let found = match done {
            Err(error) => error.to_string(),
            Ok(()) => {
                let (old, new) = (mixed(), &space);
                let index = (0..6).find(|&i| old.axes()[i] != new.axes()[i]).unwrap_or(0);
                let axis = &space.axes()[index];
                let values: Vec<String> = axis.values.iter().map(ToString::to_string).collect();
                format!("{} [{}] {:?}..{:?}", axis.name, values.join(" "), axis.min, axis.max)
            }
        };
        assert!(found.contains(expected), "{option} {text}: {found}");
    }

    #[test]
    fn values_are_taken_with_and_without_units_and_by_short_names() {
        check("--fix", "wait=spin", "wait [spin]");
        check("--fix", "ring=64KiB", "ring_bytes [65536]");
        check("--fix", "ring_bytes=65536", "ring_bytes [65536]");
        check("--fix", "window=20us", "window_us [20]");
        check("--fix", "spin=100us", "spin_us [100]");
        check("--fix", "huge=on", "huge_pages [on]");
        check("--fix", "load=0.5", "load [0.5]");
    }

    #[test]
    fn sweeps_bound_step_and_list() {
        check("--sweep", "ring=32KiB..128KiB:x2", "ring_bytes [32768 65536 131072]");
        check("--sweep", "ring=32KiB..64KiB", "ring_bytes [32768 65536]");
        check("--sweep", "window=0..20:+5", "window_us [0 5 10 15 20]");
        check("--sweep", "window=10us..20us", "window_us [] Some(10.0)..Some(20.0)");
        check("--sweep", "wait=futex,spin", "wait [futex spin]");
        check("--sweep", "window=7,3,7", "window_us [3 7]");
    }

    #[test]
    fn a_knob_that_the_other_options_close_is_refused() {
        let narrowed = |fixes: &[&str], sweeps: &[&str]| {
            let words = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
            narrow(&mut mixed(), &words(fixes), &words(sweeps)).err().map(|error| error.to_string())
        };
        let closed = "spin_us means something only with wait=futex|yield, which the other options leave out";
        assert!(narrowed(&["wait=spin", "spin=100us"], &[]).is_some_and(|e| e.contains(closed)));
        assert!(narrowed(&["wait=spin"], &["spin=1..100"]).is_some_and(|e| e.contains(closed)));
        assert_eq!(narrowed(&["wait=futex", "spin=100us"], &[]), None);
        assert!(narrowed(&["wait=futex", "wait=spin"], &[]).is_some_and(|e| e.contains("each knob once")));
    }

    #[test]
    fn what_is_misspelt_or_outside_is_refused_with_the_near_name_and_the_range() {
        check("--fix", "rnig=64KiB", "no knob `rnig`; did you mean `ring`?");
        check("--fix", "wait=spni", "did you mean `spin`?; expected one of spin, yield, futex");
        check("--fix", "wait", "expected KNOB=VALUE");
        check("--fix", "ring=48KiB", "one of 16384, 32768");
        check("--fix", "window=300us", "a whole number in 0..=200");
        check("--fix", "window=1.5", "a whole number in 0..=200");
        check("--fix", "window=fast", "`fast` is no value of window_us");
        check("--sweep", "ring=64KiB..8MiB:x2", "`8MiB` is no value of ring_bytes");
        check("--sweep", "ring=64KB..128KiB", "`64KB` is no value of ring_bytes; did you mean `64KiB`?");
        check("--fix", "ring=1m", "did you mean `1MiB`?");
        check("--sweep", "ring=64KiB..16KiB", "FROM at most TO");
        check("--sweep", "ring=16KiB..128KiB:x3", "`49152` is no value");
        check("--sweep", "window=0..20:x2", "expected a step");
        check("--sweep", "window=0..20:/2", "expected a step");
        check("--sweep", "wait=spin..futex", "KNOB=A,B,C");
        check("--sweep", "colour=red", "no knob `colour`; knobs here");
    }
}
